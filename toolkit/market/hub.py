"""One market feed for everybody in the process: quotes to engines, chains with Greeks, open interest, ticks.

The hub owns the feed and the newest value of every contract. What is wanted is stated as symbols by the
watch-list, the engines and whoever asks for a chain; the feed is told the sum. Everything a reader gets is the
newest (conflated); nothing queues up behind a slow one. The whole hub lives on one event loop.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Protocol

import polars as pl

from toolkit import tables
from toolkit.errors import BadData, ToolkitError, UnknownSymbol, nearest
from toolkit.market.chain import build_day
from toolkit.market.plain import PlainBoard, chain_frame, plain, plain_quotes
from toolkit.market.quotes import Quote, key_of
from toolkit.market.selection import around_money
from toolkit.market.turnover import Turnover
from toolkit.market.view import ChainSlice
from toolkit.oi import OIConfig, OIShiftEngine
from toolkit.types import Instrument, Kind

__all__ = ["Hub", "PolledFeed", "Source"]

_LOG: Final = logging.getLogger("toolkit.market.hub")
_S: Final = 1_000_000_000
_KEEP: Final = 400
_STALE_S: Final = 5.0
_PROBES: Final = 20
_FILL: Final = 250

Taker = Callable[[int, Any, Any, Any, Any, Any, Any], None]


class Source(Protocol):
    """Where quotes come from: a broker's feed, a recorded tape, or its quote call asked again and again."""

    def want(self, modes: Mapping[int, str]) -> None:
        """State the keys wanted."""
        ...

    def ticks(self) -> AsyncIterator[Any]:
        """Batches of structured rows."""
        ...

    @property
    def state(self) -> str:
        """``idle connecting live down auth_expired closed``."""
        ...


class PolledFeed:
    """A broker without a feed of its own: its quote call, asked every ``every_s`` seconds.

    Parameters
    ----------
    quote : coroutine function
        Newest quotes by symbol.
    name_of : callable
        Symbol of a key.
    """

    def __init__(
        self,
        quote: Callable[[Sequence[str]], Awaitable[Mapping[str, Quote]]],
        name_of: Callable[[int], str],
        *,
        every_s: float = 1.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._quote = quote
        self._name_of = name_of
        self._every_s = every_s
        self._sleep = sleep
        self._keys: tuple[int, ...] = ()
        self._state = "idle"

    def want(self, modes: Mapping[int, str]) -> None:
        """State the keys wanted."""
        self._keys = tuple(modes)

    @property
    def state(self) -> str:
        """``idle`` before the first answer, then ``live`` or ``down``."""
        return self._state

    async def ticks(self) -> AsyncIterator[Any]:
        """Quotes as rows, one batch a round."""
        while True:
            names = {self._name_of(key): key for key in self._keys}
            if names:
                try:
                    quotes = await self._quote(list(names))
                except ToolkitError as error:
                    self._state = "down"
                    _LOG.warning("quotes could not be read: %s", error)
                else:
                    self._state = "live"
                    yield plain_quotes({names[symbol]: quote for symbol, quote in quotes.items()})
            await self._sleep(self._every_s)


class Hub:
    """The market as one process sees it.

    Parameters
    ----------
    source : Source
        The feed.
    instruments : iterable of Instrument
        The day's contracts.
    clock : callable
        Nanoseconds UTC: the engine's time.
    snapshot_s : float
        Seconds of ``clock`` between two snapshots of an underlying for the open-interest engine.
    strikes, expiries : int
        How wide a chain is watched: strikes each side of the money, nearest expiries.
    quote : coroutine function, optional
        The broker's own quotes by symbol, for a contract that has not ticked yet.
    """

    def __init__(
        self,
        source: Source,
        instruments: Iterable[Instrument],
        *,
        clock: Callable[[], int],
        snapshot_s: float = 5.0,
        strikes: int = 30,
        expiries: int = 2,
        quote: Callable[[Sequence[str]], Awaitable[Mapping[str, Quote]]] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        mono: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.source = source
        self._mono = mono
        self._heard_mono: int | None = None
        self._quote = quote
        self._asked: set[str] = set()
        self._turnover = Turnover()
        self._filled: set[int] = set()
        self._lacking: frozenset[int] = frozenset()
        self._filling: asyncio.Task[None] | None = None
        self._beats: list[Callable[[int], None]] = []
        self.clock = clock
        self.board = PlainBoard()
        self.listed = {key_of(i): i for i in instruments}
        self.by_symbol = {i.symbol: key for key, i in self.listed.items()}
        self._snapshot_ns = int(snapshot_s * _S)
        self._strikes, self._expiries = strikes, expiries
        self._sleep = sleep
        self._takers: list[Taker] = []
        self._wishes: dict[str, frozenset[int]] = {}
        self._told: frozenset[int] = frozenset()
        self._watched: dict[str, set[dt.date]] = {}
        self._tick_sets: dict[str, list[set[int]]] = {}
        self._waiters: set[asyncio.Event] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._oi: dict[str, _OiDay] = {}
        self._chains: dict[tuple[str, dt.date], tuple[int, int, ChainSlice]] = {}
        self._heard_ns = 0

    @cached_property
    def underlyings(self) -> tuple[str, ...]:
        """What has options here."""
        return tuple(sorted({i.underlying for i in self.listed.values() if i.kind is Kind.OPTION}))

    @property
    def watched(self) -> tuple[str, ...]:
        """Underlyings whose chain is watched."""
        return tuple(sorted(self._watched))

    def feed_to(self, taker: Taker) -> None:
        """Have every batch handed on as ``taker(now_ns, keys, bid, bid_qty, ask, ask_qty, ltp)``."""
        self._takers.append(taker)

    def on_beat(self, beat: Callable[[int], None]) -> None:
        """Have ``beat(now_ns)`` called twice a second, whether anything ticks or not."""
        self._beats.append(beat)

    async def ensure(self, symbols: Iterable[str]) -> None:
        """Watch contracts that somebody is about to trade, and ask for a quote of those that have none yet."""
        names = [s for s in symbols if s in self.by_symbol]
        if not self._asked.issuperset(names):
            self._asked.update(names)
            self.want(self._asked, "asked")
        missing = [s for s in names if self.board.row(self.by_symbol[s]) is None]
        if missing and self._quote is not None:
            found = await self._quote(missing)
            self.take(plain_quotes({self.by_symbol[symbol]: quote for symbol, quote in found.items()}))

    async def fill(self) -> None:
        """Ask once for quotes of wanted contracts that two calls of this found without any.

        A feed may say nothing of a contract before it moves: most of a chain stays blank for minutes.
        """
        if self._quote is None:
            return
        blank = frozenset(k for k in self._told if k not in self._filled and self.board.row(k) is None)
        keys = sorted(blank & self._lacking)[:_FILL]
        self._lacking = blank
        if not keys:
            return
        self._filled.update(keys)
        try:
            found = await self._quote([self.listed[key].symbol for key in keys])
        except ToolkitError as error:
            _LOG.warning("first quotes could not be read: %s", error)
            return
        told = {self.by_symbol[symbol]: quote for symbol, quote in found.items()}
        self.take(plain_quotes({key: quote for key, quote in told.items() if self.board.row(key) is None}))

    def start(self) -> None:
        """Listen to the feed and take snapshots, on the running loop."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [
                loop.create_task(self._listen(), name="hub-ticks"),
                loop.create_task(self._measure(), name="hub-snapshots"),
            ]

    async def stop(self) -> None:
        """Stop listening; the last values stay readable."""
        tasks, self._tasks = self._tasks, []
        if self._filling is not None:
            tasks.append(self._filling)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        close = getattr(self.source, "close", None)
        if close is not None:
            done = close()
            if asyncio.iscoroutine(done):
                await done

    def want(self, symbols: Iterable[str], who: str = "watch") -> None:
        """State everything ``who`` wants; the feed gets the sum of all wishes.

        Raises
        ------
        UnknownSymbol
            For a symbol that is not listed.
        """
        keys = set()
        for symbol in symbols:
            if symbol not in self.by_symbol:
                raise UnknownSymbol(f"no contract '{symbol}' is listed today{nearest(symbol, self.by_symbol)}")
            keys.add(self.by_symbol[symbol])
        self._wishes[who] = frozenset(keys)
        self._tell()

    def watch(self, underlying: str, money: float | None = None) -> None:
        """Watch the nearest expiries of an underlying around the money, its future and its index."""
        self._known(underlying)
        level = self.spot(underlying) if money is None else money
        chosen = around_money(
            list(self.listed.values()), underlying, level if level == level else None, self._expiries, self._strikes
        )
        self._wishes[f"watch:{underlying}"] = frozenset(key_of(i) for i in chosen)
        dates = {i.expiry for i in chosen if i.kind is Kind.OPTION and i.expiry is not None}
        self._watched.setdefault(underlying, set()).update(dates)
        self._oi.setdefault(underlying, _OiDay())
        self._tell()

    def expiries(self, underlying: str) -> tuple[dt.date, ...]:
        """Listed expiries of an underlying, nearest first."""
        self._known(underlying)
        found = {i.expiry for i in self.listed.values() if i.underlying == underlying and i.kind is Kind.OPTION}
        return tuple(sorted(e for e in found if e is not None))

    def spot(self, underlying: str) -> float:
        """The index's (or share's) last value in rupees, else the nearest future's; NaN is unknown."""
        for key in self._levels.get(underlying, ()):
            row = self.board.row(key)
            if row is not None and row["ltp"] == row["ltp"]:
                return float(row["ltp"])
        return math.nan

    def follow(self, symbol: str, since_ns: int) -> None:
        """Begin to count what a contract trades from now, called ``since_ns``, for :meth:`vwap`.

        Each call wants one :meth:`leave`.
        """
        key = self.by_symbol.get(symbol)
        if key is not None:
            row = self.board.row(key)
            self._turnover.follow(key, since_ns, math.nan if row is None else float(row["volume"]))

    def leave(self, symbol: str) -> None:
        """One follower of a contract fewer."""
        self._turnover.leave(self.by_symbol.get(symbol, -1))

    def vwap(self, symbol: str, from_ns: int, to_ns: int) -> float | None:
        """The market's average price of a followed contract between two times, in rupees; None is unknown."""
        return self._turnover.vwap(self.by_symbol.get(symbol, -1), from_ns, to_ns)

    @cached_property
    def _levels(self) -> dict[str, tuple[int, ...]]:
        """What tells the level of each underlying, by key, the best first."""
        rank, found = {Kind.INDEX: 0, Kind.EQUITY: 1, Kind.FUTURE: 2}, dict[str, list[Instrument]]()
        for one in self.listed.values():
            if one.kind in rank:
                found.setdefault(one.underlying, []).append(one)
        best = {name: sorted(mine, key=lambda i: (rank[i.kind], str(i.expiry))) for name, mine in found.items()}
        return {name: tuple(key_of(i) for i in mine) for name, mine in best.items()}

    def mark(self, symbol: str) -> float:
        """Middle of a two-sided quote, else the last price, in rupees; NaN is unknown."""
        row = self.board.row(self.by_symbol.get(symbol, -1))
        if row is None:
            return math.nan
        if row["bid"] <= row["ask"]:
            return float(row["bid"] + row["ask"]) / 2.0
        return float(row["ltp"])

    def take(self, batch: Any) -> None:
        """Take a batch of ticks: keep the newest and hand it on."""
        rows = plain(batch)
        if not len(rows):
            return
        rows = self.board.take(rows)
        now_ns = self.clock()
        self._turnover.take(now_ns, rows)
        self._heard_ns, self._heard_mono = now_ns, self._mono()
        columns = (rows["bid"], rows["bid_qty"], rows["ask"], rows["ask_qty"], rows["ltp"])
        for taker in self._takers:
            taker(now_ns, rows["key"], *columns)
        if self._tick_sets:
            for key in rows["key"].tolist():
                one = self.listed.get(key)
                for dirty in self._tick_sets.get(one.underlying if one else "", ()):
                    dirty.add(key)
        for event in self._waiters:
            event.set()

    @property
    def age_s(self) -> float | None:
        """Seconds since the last tick of all; None before the first."""
        return None if not self._heard_ns else max(0.0, (self.clock() - self._heard_ns) / 1e9)

    @property
    def wanted(self) -> frozenset[int]:
        """Keys that the feed was asked for."""
        return self._told

    @property
    def silence_s(self) -> float | None:
        """Real seconds in which a tick was due and none came; None before the first tick.

        A recording says itself when its next row is due; of a live feed's silence see :meth:`prove`.
        """
        if self._heard_mono is None:
            return None
        due: Callable[[], int | None] | None = getattr(self.source, "due_ns", None)
        next_ns = None if due is None else due()
        if next_ns is not None and self.clock() < next_ns:
            return 0.0
        return max(0.0, (self._mono() - self._heard_mono) / 1e9)

    async def prove(self) -> None:
        """Ask the broker whether a silent feed hides anything: nothing changed is as good as a tick.

        Raises
        ------
        ToolkitError
            When the broker does not answer: the silence stays what it is.
        """
        newest = sorted(self.board.rows(self._told), key=lambda row: -int(row["recv_ns"]))[:_PROBES]
        names = {self.listed[int(row["key"])].symbol: row for row in newest if int(row["key"]) in self.listed}
        if self._quote is None or not names:
            return
        heard, quotes = self._heard_mono, await self._quote(list(names))
        fresh = {int(row["key"]): row for row in plain_quotes({self.by_symbol[s]: q for s, q in quotes.items()})}
        same = [_same(row, fresh.get(int(row["key"]))) for row in names.values()]
        if all(same) and self._heard_mono == heard:
            self._heard_mono = self._mono()

    @property
    def stale(self) -> frozenset[str]:
        """Wanted symbols that cannot be trusted: the feed's own watchdog judges, else the age of their last tick."""
        judge = getattr(self.source, "stale", None)
        if callable(judge):
            return frozenset(self.listed[key].symbol for key in judge() if key in self.listed)
        if self.source.state == "live":
            return frozenset()
        return frozenset(self.listed[key].symbol for key in self._told if key in self.listed)

    @property
    def is_stale(self) -> bool:
        """Whether the feed as a whole is not to be trusted now."""
        if self.source.state != "live" or self.age_s is None:
            return True
        judge = getattr(self.source, "stale", None)
        return bool(self._told) and callable(judge) and len(judge()) * 2 > len(self._told)

    def chain(self, underlying: str, expiry: dt.date | None = None, *, age_s: float = 0.0) -> ChainSlice | None:
        """The newest slice of an expiry with volatilities and Greeks; None before its first quote.

        Asking for a chain watches it from then on. One computed at most ``age_s`` seconds ago will do.
        """
        wanted = self._expiry(underlying, expiry)
        held = self._held(underlying, wanted, age_s)
        if held is not None:
            return held
        frame = self._frame(underlying, {wanted})
        return self._keep(underlying, wanted, _slice(frame, underlying, wanted))

    async def fresh_chain(self, underlying: str, expiry: dt.date | None = None) -> ChainSlice | None:
        """As :meth:`chain`, computed beside the loop: orders do not wait for volatilities."""
        wanted = self._expiry(underlying, expiry)
        held = self._held(underlying, wanted, 0.0)
        if held is not None:
            return held
        frame = self._frame(underlying, {wanted})
        return self._keep(underlying, wanted, await asyncio.to_thread(_slice, frame, underlying, wanted))

    def oi(self, underlying: str, at_ns: int | None = None) -> dict[str, pl.DataFrame]:
        """Levels, shifts and events of an underlying as known at a time (default: now), and its chain snapshots."""
        self._known(underlying)
        if underlying not in self._oi:
            self.watch(underlying)
        day = self._oi[underlying]
        limit = self.clock() if at_ns is None else at_ns
        frames = {"levels": day.engine.levels(), "shifts": day.engine.shifts(), "events": day.engine.events()}
        when = pl.lit(limit // 1000).cast(pl.Datetime("us", "UTC"))
        found = {
            name: frame.filter(pl.col("ts").dt.convert_time_zone("UTC") <= when) if "ts" in frame.columns else frame
            for name, frame in frames.items()
        }
        kept = [f for f in day.snapshots if f.height and f["ts"][0].timestamp() * 1e9 <= limit]
        found["snapshots"] = pl.concat(kept) if kept else pl.DataFrame()
        return found

    def prime(self, chain: pl.DataFrame) -> None:
        """Give the open-interest engines what a session had recorded before the hub began (rows of ``CHAIN``)."""
        for (name,), rows in chain.partition_by("underlying", as_dict=True, maintain_order=True).items():
            day = self._oi.setdefault(str(name), _OiDay())
            day.prime(rows.filter(pl.col("oi").is_not_null()).sort("recv_ts", "ts"))

    def tick_set(self, underlying: str) -> set[int]:
        """A set that gathers the keys of an underlying that ticked; its owner empties it, and gives it back."""
        self._known(underlying)
        if underlying not in self._oi:
            self.watch(underlying)
        dirty: set[int] = set()
        self._tick_sets.setdefault(underlying, []).append(dirty)
        return dirty

    def drop_tick_set(self, underlying: str, dirty: set[int]) -> None:
        """Give a set of :meth:`tick_set` back."""
        left = [held for held in self._tick_sets.get(underlying, []) if held is not dirty]
        if left:
            self._tick_sets[underlying] = left
        else:
            self._tick_sets.pop(underlying, None)

    def waiter(self) -> asyncio.Event:
        """An event that is set at every batch; :meth:`drop_waiter` ends it."""
        made = asyncio.Event()
        self._waiters.add(made)
        return made

    def drop_waiter(self, event: asyncio.Event) -> None:
        """End an event of :meth:`waiter`."""
        self._waiters.discard(event)

    def snapshot(self, now_ns: int) -> None:
        """Give every watched underlying's snapshot to its open-interest engine."""
        for underlying, day in self._oi.items():
            if not day.due(now_ns, self._snapshot_ns):
                continue
            frame = self._frame(underlying, self._watched.get(underlying, set()))
            if frame.is_empty() or frame["oi"].null_count() == frame.height:
                continue
            try:
                day.take(frame.filter(pl.col("oi").is_not_null()))
            except ToolkitError as error:
                _LOG.warning("a snapshot of %s was not taken: %s", underlying, error)

    async def _listen(self) -> None:
        while True:
            try:
                async for batch in self.source.ticks():
                    self.take(batch)
                return
            except ToolkitError as error:
                _LOG.warning("the feed dropped the hub: %s; it listens again", error)
                await self._sleep(0.1)

    async def _measure(self) -> None:
        while True:
            await self._sleep(0.5)
            now_ns = self.clock()
            try:
                for beat in self._beats:
                    beat(now_ns)
                self.snapshot(now_ns)
                if self._filling is None or self._filling.done():
                    self._filling = asyncio.create_task(self.fill(), name="hub-fill")
            except Exception:  # a fault here must not end the market for everybody
                _LOG.exception("the hub's beat failed by a fault of the program")

    def _frame(self, underlying: str, expiries: set[dt.date]) -> pl.DataFrame:
        mine = {
            key: i
            for key, i in self.listed.items()
            if i.underlying == underlying and i.kind is Kind.OPTION and i.expiry in expiries
        }
        spot = self.spot(underlying)
        future = self._future(underlying)
        return chain_frame(
            self.board,
            mine,
            self.clock(),
            spot=spot if spot == spot else None,
            future=future if future == future else None,
        )

    def _future(self, underlying: str) -> float:
        mine = [i for i in self.listed.values() if i.underlying == underlying and i.kind is Kind.FUTURE]
        for one in sorted(mine, key=lambda i: str(i.expiry)):
            row = self.board.row(key_of(one))
            return math.nan if row is None else float(row["ltp"])
        return math.nan

    def _expiry(self, underlying: str, expiry: dt.date | None) -> dt.date:
        listed = self.expiries(underlying)
        wanted = listed[0] if expiry is None else expiry
        if wanted not in listed:
            known = ", ".join(map(str, listed[:6]))
            raise BadData(f"{underlying} has no expiry {wanted}; listed are {known}")
        self._ask(underlying, wanted)
        return wanted

    def _held(self, underlying: str, expiry: dt.date, age_s: float) -> ChainSlice | None:
        version, made_ns, found = self._chains.get((underlying, expiry), (-1, 0, None))
        fresh = version == self.board.version or (age_s > 0 and self.clock() - made_ns <= age_s * _S)
        return found if fresh else None

    def _keep(self, underlying: str, expiry: dt.date, made: ChainSlice | None) -> ChainSlice | None:
        if made is not None:
            self._chains[underlying, expiry] = (self.board.version, self.clock(), made)
        return made

    def _ask(self, underlying: str, expiry: dt.date) -> None:
        if expiry in self._watched.get(underlying, set()):
            return
        if underlying not in self._oi:
            self.watch(underlying)
        if expiry not in self._watched[underlying]:
            mine = [i for i in self.listed.values() if i.underlying == underlying and i.expiry == expiry]
            spot = self.spot(underlying)
            chosen = around_money(mine, underlying, spot if spot == spot else None, 1, self._strikes)
            self._wishes[f"chain:{underlying}:{expiry}"] = frozenset(key_of(i) for i in chosen)
            self._watched[underlying].add(expiry)
            self._tell()

    def _tell(self) -> None:
        keys = frozenset().union(*self._wishes.values())
        if keys != self._told:
            self._told = keys
            self.source.want(dict.fromkeys(sorted(keys), "full"))

    def _known(self, underlying: str) -> None:
        if underlying not in self.underlyings:
            near, known = nearest(underlying, self.underlyings) or ";", ", ".join(self.underlyings[:20])
            raise UnknownSymbol(f"no options on '{underlying}' are listed{near} known: {known}")


def _same(held: Any, told: Any) -> bool:
    """Whether what the broker tells now is what the feed told last; what it leaves out is no proof."""
    if told is None:
        return False
    names = ("ltp", "bid", "ask")
    return all(held[n] == told[n] or (held[n] != held[n] and told[n] != told[n]) for n in names)


def _slice(frame: pl.DataFrame, underlying: str, expiry: dt.date) -> ChainSlice | None:
    if frame.is_empty():
        return None
    exchange = tables.contracts().exchange(underlying)
    settlement_ns = tables.calendar(exchange).settlement_ns
    return build_day(frame, settlement_ns, exchange=exchange).slice_at(0, expiry)


class _OiDay:
    """The open-interest engine of one underlying, and the snapshots it was given."""

    def __init__(self) -> None:
        self.engine = OIShiftEngine(OIConfig(calendar=tables.calendar("NSE")))
        self.snapshots: list[pl.DataFrame] = []
        self._next_ns = 0

    def due(self, now_ns: int, every_ns: int) -> bool:
        return now_ns >= self._next_ns and every_ns > 0 and self._set(now_ns, every_ns)

    def _set(self, now_ns: int, every_ns: int) -> bool:
        self._next_ns = (now_ns // every_ns + 1) * every_ns
        return True

    def prime(self, frame: pl.DataFrame) -> None:
        """Take all snapshots of the past at once."""
        if frame.height:
            self.engine.update(frame)
            self._keep(frame.partition_by("ts", maintain_order=True))

    def take(self, frame: pl.DataFrame) -> None:
        if self.snapshots and frame["ts"][0] <= self.snapshots[-1]["ts"][0]:
            return
        self.engine.update(frame)
        self._keep([frame])

    def _keep(self, frames: list[pl.DataFrame]) -> None:
        self.snapshots += frames
        while len(self.snapshots) > _KEEP:  # of the older half every second one: a day stays in bounded memory
            half = len(self.snapshots) // 2
            self.snapshots = self.snapshots[:half:2] + self.snapshots[half:]
