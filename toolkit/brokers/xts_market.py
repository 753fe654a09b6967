"""XTS market data over REST: the day's contracts, quotes, candles, and subscriptions bound to the session.

A subscription belongs to the session (the token), not to a socket: after a reconnect the data flows on, after a
new login everything must be subscribed anew. One subscription is a segment, an id and a message code.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from toolkit.brokers.clock import session_open
from toolkit.brokers.errors_map import Answer
from toolkit.brokers.master import INDICES, cached, keep
from toolkit.brokers.port import DayTerms
from toolkit.brokers.xts_errors import to_error
from toolkit.brokers.xts_master import BANDS, TRADED, XtsMaster, index_rows, read_listed, read_master
from toolkit.brokers.xts_records import number, whole
from toolkit.brokers.xts_session import OPS, XtsLink
from toolkit.brokers.xts_updates import EIO_BY_HOST, again, door, own_ca, probe
from toolkit.calendar import ist_date, ist_ns, to_ist
from toolkit.errors import AuthExpired, BadData, Refused, Retryable, ToolkitError
from toolkit.market.quotes import Quote
from toolkit.market.xts_text import SEGMENTS, Level, TextStat, TextTick, decode_full
from toolkit.types import Instrument, Kind

if TYPE_CHECKING:
    from toolkit.market.feed import MarketFeed

__all__ = ["Candle", "Subscribed", "XtsMarket", "candles_of", "listed_quotes", "make_feed"]

Place = tuple[int, int]
"""Segment number and instrument id."""

_OPEN: Final = dt.time(9, 15)
_IST_S: Final = 19_800
_S: Final = 10**9
_DAY_NS: Final = 86_400 * _S
_PIECE_DAYS: Final = 7  # of minute bars, what public clients ask for at most
_YEAR_DAYS: Final = 366
_LOW, _HIGH = 87, 88  # the properties low_price_range and high_price_range of event 1105
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"


class Candle(msgspec.Struct, frozen=True):
    """One bar by its start (ns UTC): rupees, units; ``oi`` None where the row has none."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    oi: int | None = None


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscription brought.

    ``ticks`` snapshots of what is new; ``already`` those that this session had, of which the snapshot must be
    asked for; ``remaining`` how many more the session may have, None where the install does not say.
    """

    ticks: tuple[TextTick, ...] = ()
    already: tuple[Place, ...] = ()
    remaining: int | None = None


class XtsMarket:
    """Market data of one key pair.

    Parameters
    ----------
    link : XtsLink
        To the market-data API.
    clock : callable
        Nanoseconds UTC.
    segments : sequence of str
        Segments whose masters are asked for.
    cache : Path, optional
        Folder where the day's contracts are kept for the next process.
    """

    def __init__(
        self,
        link: XtsLink,
        clock: Callable[[], int],
        segments: Sequence[str] = tuple(TRADED),
        cache: Path | None = None,
    ) -> None:
        self.link = link
        self.skipped: dict[str, int] = {}
        self.odd = 0
        self.remaining: int | None = None
        self.clock = clock
        self._segments = tuple(segments)
        self._cache = cache
        self._master: XtsMaster | None = None
        self._closes: dict[int, int] = {}
        self.moved: dict[Place, dict[int, float]] = {}
        self._of_indices: tuple[XtsMaster | None, tuple[Instrument, ...]] | None = None
        self._reading: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()
        self._have: set[tuple[int, int, int]] = set()
        self._wanted: set[tuple[int, int, int]] = set()
        self._token = ""
        self._in_minutes = False

    def __repr__(self) -> str:
        return f"XtsMarket({self.link.state})"

    async def login(self) -> None:
        """Log in, if there is no session yet."""
        await self.link.session()

    async def logout(self) -> None:
        """End the session at the broker."""
        await self.link.logout()

    async def leave(self) -> None:
        """Let the connections of this loop go, as a feed does whose thread ends."""
        await self.link.leave()

    async def config(self) -> Mapping[str, Any]:
        """What the install says of its segments and message codes."""
        found = await self.link.call("md_config")
        if not isinstance(found, dict):
            raise BadData("the client configuration is not in the documented form")
        return found

    async def master(self) -> XtsMaster:
        """The day's contracts: the masters of all segments with the index lists, read once a day."""
        today = ist_date(self.clock())
        async with self._reading.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if self._master is None or self._master.on != today:
                self._master = XtsMaster(await self._table(today), today)
                self._closes.clear()
                self.moved.clear()
        return self._master

    async def _table(self, today: dt.date) -> pl.DataFrame:
        """The day's table: of the cache, or read and kept there."""
        if self._cache is None:
            return await self._read(today)
        settings = self.link.settings
        where = "|".join((settings.md_root, settings.md_prefix, *self._segments))
        salt = settings.md_secret_key.reveal() if settings.loopback else ""  # tells simulated ones apart
        path, table = await asyncio.to_thread(cached, self._cache, "xts", where, salt, today, BANDS)
        if table is None:
            table = await self._read(today)
            await asyncio.to_thread(keep, path, table)
        return table

    async def _read(self, today: dt.date) -> pl.DataFrame:
        text = await self.link.call(
            "master", json={"exchangeSegmentList": list(self._segments)}, what="the master dump"
        )
        if not isinstance(text, str) or not text:
            raise BadData("the master dump is not a text; ask for it again")
        table, self.skipped = await asyncio.to_thread(read_master, text, today)
        frames = [table]
        for segment in [s for s in self._segments if s.endswith("CM")]:
            listed = index_rows(await self.indices(segment), segment, today)
            frames.append(listed.join(table, on="key", how="anti"))
        return pl.concat(frames)

    async def indices(self, segment: str) -> tuple[str, ...]:
        """Names and ids of a segment's indices (``NIFTY 50_26000``); none where the install has no list."""
        try:
            found = await self.link.call(
                "indices", params={"exchangeSegment": SEGMENTS[segment]}, what="the index list"
            )
        except Retryable:
            raise
        except ToolkitError:
            return ()
        listed = found.get("indexList") if isinstance(found, dict) else found
        return tuple(str(entry) for entry in listed) if isinstance(listed, list) else ()

    async def expiries(self, segment: str, series: str, symbol: str) -> tuple[dt.date, ...]:
        """Expiry dates of an underlying, ascending."""
        params = {"exchangeSegment": SEGMENTS[segment], "series": series, "symbol": symbol}
        found = await self.link.call("expiries", params=params, what="the expiry dates")
        dates = set()
        for text in found if isinstance(found, list) else ():
            try:
                dates.add(dt.date.fromisoformat(str(text)[:10]))
            except ValueError:
                self.odd += 1
        return tuple(sorted(dates))

    async def described(self, places: Iterable[Place]) -> pl.DataFrame:
        """Instruments by segment number and id, in the form of the master: for one that the day's dump lacks."""
        rows = [{"exchangeSegment": segment, "exchangeInstrumentID": token} for segment, token in places]
        body = {"source": self.link.settings.source, "instruments": rows}
        found = await self.link.call("search_by_id", json=body, what="the instruments")
        return read_listed(found, ist_date(self.clock()))[0]

    async def options(
        self, segment: str, series: str, symbol: str, expiry: dt.date, option_type: str, strike: float
    ) -> pl.DataFrame:
        """Options of an underlying as the install lists them, in the form of the master."""
        params: dict[str, object] = {
            "exchangeSegment": SEGMENTS[segment],
            "series": series,
            "symbol": symbol,
            "expiryDate": f"{expiry.day:02d}{_MONTHS[3 * expiry.month - 3 : 3 * expiry.month]}{expiry.year}",
            "optionType": option_type,
            "strikePrice": f"{strike:g}",
        }
        found = await self.link.call("option_symbol", params=params, what="the options")
        return read_listed(found, ist_date(self.clock()))[0]

    async def quotes(self, places: Iterable[Place], code: int = 1502) -> Mapping[Place, TextTick]:
        """Newest state of instruments by segment number and id; one without a tick yet is absent."""
        found: dict[Place, TextTick] = {}
        asked = list(dict.fromkeys(places))
        for at in range(0, len(asked), self.link.terms.batch):
            for tick in await self._quoted(asked[at : at + self.link.terms.batch], code):
                found[tick.segment, tick.instrument] = tick
        return {place: found[place] for place in asked if place in found}

    async def _quoted(self, places: Sequence[Place], code: int) -> tuple[TextTick, ...]:
        body = _body(places, code) | {"publishFormat": "JSON"}
        verdict, answer, result = await self.link.ask("quotes", json=body)
        if verdict == "ok":
            return self._ticks(result, code)
        if verdict == "split" and len(places) > 1:
            half = len(places) // 2
            return await self._quoted(places[:half], code) + await self._quoted(places[half:], code)
        raise self._error("quotes", "quotes", answer)

    async def quote(self, instruments: Iterable[Instrument]) -> Mapping[int, Quote]:
        """Best levels and last price by the contract's key; a contract without a quote is absent."""
        master = await self.master()
        wanted = {}
        for instrument in instruments:
            segment, token = master.place_of(instrument)
            wanted[SEGMENTS[segment], token] = instrument.token or 0
        now_ns = self.clock()
        return {wanted[place]: _quote(tick, now_ns) for place, tick in (await self.quotes(wanted)).items()}

    async def day_terms(self, instruments: Iterable[Instrument]) -> Mapping[int, DayTerms]:
        """Previous close and price band of contracts by their key; a close is asked for once a day.

        The band is the master's, or what the market-data socket said of it since.
        """
        master = await self.master()
        listed = list(instruments)
        places = {}
        for instrument in listed:
            segment, token = master.place_of(instrument)
            places[SEGMENTS[segment], token] = instrument.token or 0
        lacking = [place for place, key in places.items() if key not in self._closes]
        for place, tick in (await self.quotes(lacking, 1501)).items():
            if tick.touch.close:
                self._closes[places[place]] = round(tick.touch.close * 100.0)
        bands = {i.token: master.band_of(i) for i in listed}
        return {
            key: DayTerms(self._closes.get(key), *(_moved(self.moved.get(place)) or bands[key] or (None, None)))
            for place, key in places.items()
        }

    async def candles(
        self, segment: str, instrument: int, start_ns: int, end_ns: int, seconds: int | None = 60
    ) -> tuple[Candle, ...]:
        """Bars of ``seconds`` (None: days) whose stamps lie in the range, oldest first.

        A long range is asked for in pieces of at most 7 days (of a year for days); a piece that the install
        refuses is halved down to a day. Installs differ in whether the size is asked for in seconds or in
        minutes: when the bars that come are sixty times too far apart, minutes are meant, which is remembered.
        """
        if seconds is not None and (seconds <= 0 or seconds % 60):
            raise BadData(f"bars are whole minutes, was {seconds} seconds")
        place: dict[str, object] = {"exchangeSegment": segment, "exchangeInstrumentID": instrument}
        piece_ns = (_PIECE_DAYS if seconds else _YEAR_DAYS) * _DAY_NS
        made: dict[int, Candle] = {}
        at = start_ns
        while True:
            until = min(at + piece_ns - _S, end_ns)
            made |= {bar.start_ns: bar for bar in await self._piece(place, at, until, seconds)}
            at = until + _S
            if at > end_ns:
                return tuple(made[key] for key in sorted(made))

    async def _piece(
        self, place: Mapping[str, object], start_ns: int, end_ns: int, seconds: int | None
    ) -> tuple[Candle, ...]:
        params = {**place, "startTime": _moment(start_ns), "endTime": _moment(end_ns)}
        try:
            return await self._bars(params, seconds)
        except AuthExpired:
            raise
        except Refused as error:
            if end_ns - start_ns < _DAY_NS or "e-instrument" in str(error).lower():
                raise  # no install takes less than a day
        half = (end_ns - start_ns) // (2 * _S) * _S
        first = await self._piece(place, start_ns, start_ns + half - _S, seconds)
        return first + await self._piece(place, start_ns + half, end_ns, seconds)

    async def _bars(self, params: Mapping[str, object], seconds: int | None) -> tuple[Candle, ...]:
        size: object = "D" if seconds is None else seconds // 60 if self._in_minutes else seconds
        bars = candles_of(await self._ohlc({**params, "compressionValue": size}), seconds)
        if seconds is not None and not self._in_minutes and _gap_s(bars) == 60 * seconds:
            other = candles_of(await self._ohlc({**params, "compressionValue": seconds // 60}), seconds)
            if _gap_s(other) == seconds:
                self._in_minutes = True
                return other
        return bars

    async def _ohlc(self, params: Mapping[str, object]) -> str:
        found = await self.link.call("ohlc", params=params, what="candles")
        cells = {str(k).lower(): v for k, v in found.items()} if isinstance(found, dict) else {}
        text = cells.get("datareponse", cells.get("dataresponse", ""))
        if not isinstance(text, str):
            raise BadData("the candles are not a text; ask again")
        return text

    async def subscribe(self, places: Iterable[Place], code: int) -> Subscribed:
        """Subscribe instruments to a message code, in batches; what this session has is not asked for again.

        Raises
        ------
        Refused
            Over the install's limit: what came before stays subscribed.
        """
        await self._same_session()
        asked = list(dict.fromkeys(places))
        self._wanted |= {(*place, code) for place in asked}
        wanted = [place for place in asked if (*place, code) not in self._have]
        ticks: list[TextTick] = []
        already: list[Place] = []
        for at in range(0, len(wanted), self.link.terms.batch):
            await self._subscribe(wanted[at : at + self.link.terms.batch], code, ticks, already)
        return Subscribed(ticks=tuple(ticks), already=tuple(already), remaining=self.remaining)

    async def _subscribe(self, batch: Sequence[Place], code: int, ticks: list[TextTick], already: list[Place]) -> None:
        verdict, answer, result = await self.link.ask("subscribe", json=_body(batch, code))
        self._count(result)
        if verdict == "ok":
            self._have |= {(*place, code) for place in batch}
            new = self._ticks(result, code)
            ticks += new
            # an install that answers the new ones only says nothing of those it had
            named = _named(result)
            already += [place for place in batch if named and place not in named]
        elif verdict == "done" and len(batch) == 1:
            self._have.add((*batch[0], code))
            already.append(batch[0])
        elif verdict == "done":
            half = len(batch) // 2
            await self._subscribe(batch[:half], code, ticks, already)
            await self._subscribe(batch[half:], code, ticks, already)
        else:
            raise self._error("the subscription", "subscribe", answer)

    async def unsubscribe(self, places: Iterable[Place], code: int) -> None:
        """Give instruments up, in batches."""
        asked = list(dict.fromkeys(places))
        for at in range(0, len(asked), self.link.terms.batch):
            batch = asked[at : at + self.link.terms.batch]
            result = await self.link.call("unsubscribe", json=_body(batch, code), what="the end of a subscription")
            self._count(result)
            self._have -= {(*place, code) for place in batch}
            self._wanted -= {(*place, code) for place in batch}

    async def renew(self, places: Iterable[Place], code: int) -> Subscribed:
        """Subscribe anew what is subscribed and silent: give up, then subscribe."""
        asked = list(places)
        await self.unsubscribe(asked, code)
        return await self.subscribe(asked, code)

    async def resubscribe(self) -> Subscribed:
        """Subscribe whatever is wanted and this session lacks: the whole set after a new login, usually nothing."""
        await self._same_session()
        lacking = sorted(self._wanted - self._have)
        ticks: list[TextTick] = []
        already: list[Place] = []
        for code in sorted({row[2] for row in lacking}):
            made = await self.subscribe([row[:2] for row in lacking if row[2] == code], code)
            ticks += made.ticks
            already += made.already
        return Subscribed(ticks=tuple(ticks), already=tuple(already), remaining=self.remaining)

    async def subscriptions(self, code: int) -> tuple[Place, ...]:
        """What the install says this session has of a message code, ascending; not every install can say."""
        found = await self.link.call("subscriptions", params={"xtsMessageCode": code}, what="the subscriptions")
        return tuple(sorted(_listed(found)))

    def is_index(self, token: int) -> bool:
        """Whether a key of ours is an index, as far as the contracts have been read."""
        found = None if self._master is None else self._master.by_key(token)
        return found is not None and found.kind is Kind.INDEX

    def index_token(self, segment: int, name: str) -> int | None:
        """The key of an index by segment number and name, XTS's or ours."""
        if self._master is None:
            return None
        wanted = INDICES.get(name.upper(), name.upper())
        listed = (i for i in self._indices() if i.token is not None and i.token >> 32 == segment)
        return next((i.token for i in listed if i.symbol == wanted), None)

    def _indices(self) -> tuple[Instrument, ...]:
        if self._of_indices is None or self._of_indices[0] is not self._master:
            listed = () if self._master is None else tuple(i for i in self._master if i.kind is Kind.INDEX)
            self._of_indices = (self._master, listed)
        return self._of_indices[1]

    @property
    def subscribed(self) -> frozenset[tuple[int, int, int]]:
        """Segment number, id and message code of everything this session has."""
        return frozenset(self._have)

    async def _same_session(self) -> None:
        """Forget what a dead session had."""
        token = (await self.link.session()).token.reveal()
        if token != self._token:
            self._token = token
            self._have.clear()
            self.remaining = None

    def _count(self, result: object) -> None:
        cells = {str(k).lower(): v for k, v in result.items()} if isinstance(result, dict) else {}
        left = whole(cells.get("remaining_subscription_count"))
        if left is not None:
            self.remaining = left

    def _ticks(self, result: object, code: int) -> tuple[TextTick, ...]:
        made = []
        for entry in listed_quotes(result):
            try:
                made.append(decode_full(entry, code))
            except BadData:
                self.odd += 1
        return tuple(made)

    def _error(self, what: str, op: str, answer: Answer) -> ToolkitError:
        return to_error(self.link.name, what, OPS[op][0], answer)


def make_feed(market: XtsMarket) -> MarketFeed:
    """Make the runner of the market-data socket: ticks by our keys, as from any other broker."""
    try:
        from toolkit.market.feed import MarketFeed
    except ImportError as error:
        raise BadData(f"{error.name} is not installed; add it with: pip install 'trading-toolkit[xts]'") from None
    from toolkit.market.xts_feed import XtsWire

    link = market.link
    settings, terms = link.settings, link.terms
    wire = XtsWire(
        lambda: door(link),
        {"publishFormat": terms.md_format or _format(settings.md_prefix), "broadcastMode": terms.md_mode},
        eio=settings.eio,
        versions=EIO_BY_HOST,
        again=lambda: again(link),
        lost=link.expire,
        desk=market,
        index=market.is_index,
        named=market.index_token,
        batch=terms.batch,
    )
    market.moved = wire.bands
    return MarketFeed(
        wire,
        probe=lambda: probe(link, "md_config"),
        session_open=session_open,
        clock=lambda: market.clock(),
        ssl=own_ca(link),
    )


def _format(prefix: str) -> str:
    return "Binary" if "binary" in prefix.lower() else "JSON"


def listed_quotes(result: object) -> list[object]:
    """The quotes of an answer, under either of its two keys: JSON texts, or objects with a message code.

    >>> listed_quotes({"quotesList": [{"exchangeSegment": 2}], "listQuotes": ["{}", None]})
    ['{}']
    """
    cells = {str(k).lower(): v for k, v in result.items()} if isinstance(result, dict) else {}
    for key in ("listquotes", "quoteslist"):
        rows = cells.get(key)
        if isinstance(rows, list):
            held = [row for row in rows if (isinstance(row, str) and row) or _is_quote(row)]
            if held:
                return held
    return []


def _is_quote(row: object) -> bool:
    return isinstance(row, dict) and any(str(key).lower() in ("messagecode", "touchline") for key in row)


def _named(result: object) -> set[Place]:
    """The instruments that an answer names."""
    cells = {str(k).lower(): v for k, v in result.items()} if isinstance(result, dict) else {}
    found = set()
    for key in ("quoteslist", "listquotes"):
        for row in cells.get(key) or ():
            inner = {str(k).lower(): v for k, v in row.items()} if isinstance(row, dict) else {}
            segment, token = whole(inner.get("exchangesegment")), whole(inner.get("exchangeinstrumentid"))
            if segment is not None and token is not None:
                found.add((segment, token))
    return found


def _listed(found: object) -> set[Place]:
    """Instruments wherever an answer lists them: objects, ``2_49543``, or JSON text of either."""
    if isinstance(found, str):
        segment, line, token = found.rpartition("_")
        if line and segment.strip().isdigit() and token.strip().isdigit():
            return {(int(segment), int(token))}
        try:
            found = msgspec.json.decode(found)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return set()
    if isinstance(found, list):
        return {place for row in found for place in _listed(row)}
    if not isinstance(found, dict):
        return set()
    cells = {str(k).lower(): v for k, v in found.items()}
    segment_of, token_of = cells.get("exchangesegment"), whole(cells.get("exchangeinstrumentid"))
    if token_of is not None:
        number_of = SEGMENTS.get(str(segment_of).upper(), whole(segment_of))
        return set() if number_of is None else {(number_of, token_of)}
    return {place for value in cells.values() if isinstance(value, list | dict) for place in _listed(value)}


def candles_of(text: str, seconds: int | None) -> tuple[Candle, ...]:
    """Bars of ``ts|open|high|low|close|volume|oi|`` rows parted by commas, by the start of each bar.

    ``ts`` is IST wall clock written as if UTC, a second before the bar's end. Bars count from 9:15.

    Raises
    ------
    BadData
        When a row has no time or no prices.
    """
    made: dict[int, Candle] = {}
    for row in text.split(","):
        if not row.strip():
            continue
        cells = row.strip().split("|")
        stamp = whole(cells[0])
        values = [number(cell) for cell in cells[1:7]]
        if stamp is None or len(values) < 4 or None in values[:4] or not 0 < stamp < 2**33:
            raise BadData(f"a candle must be ts|open|high|low|close|volume|oi, was {row.strip()[:60]!r}")
        start_ns = _bar_start(stamp, seconds)
        first, high, low, last = (0.0 if v is None else v for v in values[:4])
        volume, oi = (*values[4:6], None, None)[:2]
        made[start_ns] = Candle(
            start_ns, first, high, low, last, 0 if volume is None else int(volume), None if oi is None else int(oi)
        )
    return tuple(made[key] for key in sorted(made))


def _bar_start(stamp: int, seconds: int | None) -> int:
    ended_ns = (stamp - _IST_S) * 10**9
    day = ist_date(ended_ns)
    if seconds is None:
        return ist_ns(day, dt.time(0))
    opened = ist_ns(day, _OPEN)
    return opened + (ended_ns - opened) // (seconds * 10**9) * seconds * 10**9


def _gap_s(bars: Sequence[Candle]) -> int:
    """Seconds between the closest two bars; 0 when there are not two."""
    gaps = [(b.start_ns - a.start_ns) // 10**9 for a, b in itertools.pairwise(bars)]
    return min(gaps, default=0)


def _moment(ns: int) -> str:
    """``Dec 16 2025 091500``, in no one's locale."""
    at = to_ist(ns)
    return (
        f"{_MONTHS[3 * at.month - 3 : 3 * at.month]} {at.day:02d} {at.year} {at.hour:02d}{at.minute:02d}{at.second:02d}"
    )


def _body(places: Sequence[Place], code: int) -> dict[str, object]:
    return {
        "instruments": [{"exchangeSegment": segment, "exchangeInstrumentID": token} for segment, token in places],
        "xtsMessageCode": code,
    }


def _quote(tick: TextTick, now_ns: int) -> Quote:
    bid_p, bid_qty = _level(tick.best_bid)
    ask_p, ask_qty = _level(tick.best_ask)
    ltp = None if isinstance(tick, TextStat) else tick.touch.ltp
    return Quote(now_ns, bid_p, bid_qty, ask_p, ask_qty, round(ltp * 100.0) if ltp else None)


def _moved(said: Mapping[int, float] | None) -> tuple[int, int] | None:
    """The price range of event 1105 in paise; None while it has not named both ends."""
    low, high = (None if said is None else said.get(code) for code in (_LOW, _HIGH))
    return (round(low * 100.0), round(high * 100.0)) if low is not None and high is not None and low < high else None


def _level(level: Level | None) -> tuple[int | None, int | None]:
    """Paise and units; a level of price 0 is absent."""
    if level is None or not level.price:
        return None, None
    return round(level.price * 100.0), level.qty
