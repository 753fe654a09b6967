"""XTS market data as text: full JSON events and the partial form, to one typed record. No socket, no clock.

A full event is decoded straight into :class:`TextTick`; whatever that strict reading does not take (other
spelling or casing, numbers and ids as text, a list around the object) is read again leniently. A
partial event names only what changed: :class:`TextBook` keeps the last state and merges.

Source: the field names of Symphony's public SDKs and of published samples; their misspellings are theirs.
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData
from toolkit.market.xts_wire import XTS_TICK, unix_s

__all__ = [
    "FULL_CODES",
    "PARTIAL_CODES",
    "PROPERTIES",
    "SEGMENTS",
    "Level",
    "Partial",
    "TextBook",
    "TextStat",
    "TextTick",
    "Touch",
    "decode_full",
    "decode_partial",
    "event_code",
    "segment_number",
    "to_array",
]

FULL_CODES: Final = (1501, 1502, 1504, 1505, 1507, 1510, 1512)
PARTIAL_CODES: Final = (1105, 1501, 1502, 1504, 1505, 1510, 1512)
PROPERTIES: Final = {87: "low_price_range", 88: "high_price_range", 110: "high_exec_band", 111: "low_exec_band"}
"""Property codes of event 1105: bands, never a price."""

SEGMENTS: Final = {
    "NSECM": 1,
    "NSEFO": 2,
    "NSECD": 3,
    "NSECO": 4,
    "SLBM": 5,
    "NIFSC": 7,
    "BSECM": 11,
    "BSEFO": 12,
    "BSECD": 13,
    "BSECO": 14,
    "NCDEX": 21,
    "MSECM": 41,
    "MSEFO": 42,
    "MSECD": 43,
    "MCXFO": 51,
}
"""Segment names (orders) to numbers (market data)."""

_I64: Final = 2**63
_MOST_LEVELS: Final = 20
Int = Annotated[int, msgspec.Meta(ge=-_I64, le=_I64 - 1)]


class Level(msgspec.Struct, frozen=True, gc=False):
    """One depth level: units, rupees, number of orders."""

    qty: Int | None = msgspec.field(default=None, name="Size")
    price: float | None = msgspec.field(default=None, name="Price")
    orders: Int | None = msgspec.field(default=None, name="TotalOrders")


class Touch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a touchline states. Raw stamps count seconds on the wire's own epoch; ``close`` is the previous close."""

    bid: Level | None = msgspec.field(default=None, name="BidInfo")
    ask: Level | None = msgspec.field(default=None, name="AskInfo")
    ltp: float | None = msgspec.field(default=None, name="LastTradedPrice")
    last_qty_sic: Int | None = msgspec.field(default=None, name="LastTradedQunatity")
    last_qty_spelled: Int | None = msgspec.field(default=None, name="LastTradedQuantity")
    total_bid_qty: Int | None = msgspec.field(default=None, name="TotalBuyQuantity")
    total_ask_qty: Int | None = msgspec.field(default=None, name="TotalSellQuantity")
    volume: Int | None = msgspec.field(default=None, name="TotalTradedQuantity")
    avg_px: float | None = msgspec.field(default=None, name="AverageTradedPrice")
    last_trade_raw_s: Int | None = msgspec.field(default=None, name="LastTradedTime")
    last_update_raw_s: Int | None = msgspec.field(default=None, name="LastUpdateTime")
    percent_change: float | None = msgspec.field(default=None, name="PercentChange")
    open: float | None = msgspec.field(default=None, name="Open")
    high: float | None = msgspec.field(default=None, name="High")
    low: float | None = msgspec.field(default=None, name="Low")
    close: float | None = msgspec.field(default=None, name="Close")
    value_traded: float | None = msgspec.field(default=None, name="TotalValueTraded")

    @property
    def last_qty(self) -> int | None:
        """Units of the last trade, under either spelling."""
        return self.last_qty_spelled if self.last_qty_sic is None else self.last_qty_sic


class TextTick(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event; what it does not carry is None. ``instrument`` is 0 where the event is about none."""

    code: Literal[1501, 1502, 1504, 1505, 1507, 1510, 1512] = msgspec.field(name="MessageCode")
    version: Int | None = msgspec.field(default=None, name="MessageVersion")
    segment: Int = msgspec.field(name="ExchangeSegment")
    instrument: Int = msgspec.field(name="ExchangeInstrumentID")
    exch_raw_s: Int | None = msgspec.field(default=None, name="ExchangeTimeStamp")
    book_type: Int | None = msgspec.field(default=None, name="BookType")
    market_type: Int | None = msgspec.field(default=None, name="XMarketType")
    sequence: Int | None = msgspec.field(default=None, name="SequenceNumber")
    bids: tuple[Level, ...] | None = msgspec.field(default=None, name="Bids")
    asks: tuple[Level, ...] | None = msgspec.field(default=None, name="Asks")
    touchline: Touch | None = msgspec.field(default=None, name="Touchline")

    @property
    def touch(self) -> Touch:
        """The touchline, empty where the event has none."""
        return _NOTHING if self.touchline is None else self.touchline

    @property
    def best_bid(self) -> Level | None:
        """The best bid: of the depth where there is one."""
        return self.bids[0] if self.bids else self.touch.bid

    @property
    def best_ask(self) -> Level | None:
        """The best offer: of the depth where there is one."""
        return self.asks[0] if self.asks else self.touch.ask

    def stamp_ns(self, near_s: int) -> int | None:
        """When the exchange says it happened, nanoseconds UTC; ``near_s`` (Unix) settles the epoch.

        None without a stamp. The raw values stay as they came.
        """
        touch = self.touch
        for raw in (self.exch_raw_s, touch.last_update_raw_s, self._bar(), touch.last_trade_raw_s):
            if raw is not None and raw > 0:
                return unix_s(raw, near_s) * 1_000_000_000
        return None

    def _bar(self) -> int | None:
        return None


class TextStat(TextTick, frozen=True, kw_only=True, gc=False):
    """An event of the codes 1504, 1505, 1507 and 1510.

    An index (1504) has its value as the touchline's ``ltp`` with its own open, high, low and close, and its
    name in ``index_name``; a candle (1505) has the bar's open, high, low and close there.
    """

    oi: Int | None = msgspec.field(default=None, name="OpenInterest")
    underlying_segment: Int | None = msgspec.field(default=None, name="UnderlyingExchangeSegment")
    underlying_instrument: Int | None = msgspec.field(default=None, name="UnderlyingInstrumentID")
    underlying_name: str | None = msgspec.field(default=None, name="UnderlyingIDIndexName")
    underlying_oi: Int | None = msgspec.field(default=None, name="UnderlyingTotalOpenInterest")
    index_name: str | None = msgspec.field(default=None, name="IndexName")
    year_high: float | None = msgspec.field(default=None, name="YearlyHigh")
    year_low: float | None = msgspec.field(default=None, name="YearlyLow")
    up_moves: Int | None = msgspec.field(default=None, name="NoOfUpmoves")
    down_moves: Int | None = msgspec.field(default=None, name="NoOfDownmoves")
    market_cap: float | None = msgspec.field(default=None, name="MarketCapitalisation")
    bar_raw_s: Int | None = msgspec.field(default=None, name="BarTime")
    bar_volume: Int | None = msgspec.field(default=None, name="BarVolume")
    bar_value: float | None = msgspec.field(default=None, name="SumOfQtyInToPrice")
    session: Int | None = msgspec.field(default=None, name="tradingSession")
    message: str | None = msgspec.field(default=None, name="message")

    def _bar(self) -> int | None:
        return self.bar_raw_s


_NOTHING: Final = Touch()
_quote: Final = msgspec.json.Decoder(TextTick).decode
_stat: Final = msgspec.json.Decoder(TextStat).decode
_flat: Final = msgspec.json.Decoder(Touch).decode
_ANY: Final = msgspec.json.Decoder()
_STATS: Final = frozenset({1504, 1505, 1507, 1510})

_RENAMED: Final = {
    "lasttradedquantity": "LastTradedQunatity",
    "xtsmarkettype": "XMarketType",
    "makettype": "XMarketType",
    "markettype": "XMarketType",
}
_INDEX: Final = {
    "indexvalue": "LastTradedPrice",
    "openingindex": "Open",
    "highindexvalue": "High",
    "lowindexvalue": "Low",
    "closingindex": "Close",
}
_KINDS: Final = (Level, Touch, TextStat)
_BY_FIELD: Final = {f.name: f.encode_name for kind in _KINDS for f in msgspec.structs.fields(kind)}
_LEVEL_WIRE: Final = {f.encode_name.lower(): f.encode_name for f in msgspec.structs.fields(Level)}
_TOUCH_WIRE: Final = {f.encode_name.lower(): f.encode_name for f in msgspec.structs.fields(Touch)} | _RENAMED
_EVENT_WIRE: Final = {f.encode_name.lower(): f.encode_name for f in msgspec.structs.fields(TextStat)} | _RENAMED
_FLOATS: Final = frozenset(f.encode_name for k in _KINDS for f in msgspec.structs.fields(k) if f.type == float | None)
_TEXTS: Final = frozenset(f.encode_name for f in msgspec.structs.fields(TextStat) if f.type == str | None)


def event_code(name: str) -> tuple[int, str] | None:
    """Code and form of an event's name; None for one that carries no data.

    >>> event_code("1501-json-full")
    (1501, 'full')
    >>> event_code("joined") is None
    True
    """
    parts = name.split("-")
    if len(parts) != 3 or parts[1] != "json" or parts[2] not in ("full", "partial") or not _is_digits(parts[0]):
        return None
    return int(parts[0][:6]), parts[2]


def segment_number(segment: object) -> int:
    """The number of a segment given as number, text number or name.

    >>> segment_number("NSEFO"), segment_number("2")
    (2, 2)

    Raises
    ------
    BadData
        For anything else.
    """
    if isinstance(segment, float) and segment.is_integer():
        segment = int(segment)
    text = str(segment).strip().upper()
    if _is_digits(text) and len(text) < 6:
        return int(text)
    if text in SEGMENTS:
        return SEGMENTS[text]
    raise BadData(f"exchange segment must be one of {', '.join(SEGMENTS)} or its number, was {text[:20]!r}")


def decode_full(body: object, code: int | None = None) -> TextTick:
    """Decode a full event's argument, or an entry of a quote answer's list.

    Parameters
    ----------
    body : str, bytes, dict or list
        JSON text as sent; an object or a list around it is taken too.
    code : int, optional
        The code that the event's name states, for installs whose body leaves it out.

    Raises
    ------
    BadData
        When it is no such event, or states another code.
    """
    try:
        tick = _quote(body)  # type: ignore[arg-type]  # the TypeError of another type is caught
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError):
        return _lenient(body, code)
    touch = tick.touchline
    if touch is not None and touch.ltp is not None and (code is None or code == tick.code):
        return tick
    if code == 1512 == tick.code:
        with contextlib.suppress(msgspec.MsgspecError):
            touch = _flat(body)  # type: ignore[arg-type]
            if touch.ltp is not None:
                return msgspec.structs.replace(tick, touchline=touch)
    return _lenient(body, code)


def _lenient(body: object, code: int | None) -> TextTick:
    found = _object(body)
    stated = _number(next((v for k, v in found.items() if str(k).lower() == "messagecode"), None), "MessageCode")
    if stated is not None and code is not None and stated != code:
        raise BadData(f"event {code} carries a body of code {stated:g}")
    real = code if stated is None else int(stated)
    if real not in FULL_CODES:
        raise BadData(f"message code must be one of {', '.join(map(str, FULL_CODES))}, was {real!r}")
    fields = _fields(found, _EVENT_WIRE) | {"MessageCode": real}
    inner = next((v for k, v in found.items() if str(k).lower() == "touchline"), None)
    touch = _fields(found, _TOUCH_WIRE | (_INDEX if real == 1504 else {}))
    if isinstance(inner, Mapping):
        touch |= _fields(inner, _TOUCH_WIRE)
    if touch:
        fields["Touchline"] = touch
    if real == 1507 or fields.get("IndexName"):
        fields.setdefault("ExchangeInstrumentID", 0)
    try:
        return msgspec.convert(fields, TextStat if real in _STATS else TextTick)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadData(f"event {real} cannot be read: {str(error)[:120]}") from None


def _object(body: object) -> Mapping[str, Any]:
    for _ in range(3):
        if isinstance(body, str | bytes):
            try:
                body = _ANY.decode(body)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                raise BadData("the event's text is not JSON") from None
        elif isinstance(body, list) and len(body) == 1:
            body = body[0]
    if not isinstance(body, Mapping):
        raise BadData(f"an event carries an object, was {type(body).__name__}")
    return body


def _fields(found: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The known fields under the wire's usual names, numbers as numbers; what is empty is left out."""
    made: dict[str, Any] = {}
    for key, value in found.items():
        name = names.get(str(key).lower())
        if name is None or value is None:
            continue
        if name in ("BidInfo", "AskInfo"):
            clean: Any = _fields(value, _LEVEL_WIRE) if isinstance(value, Mapping) else None
        elif name in ("Bids", "Asks"):
            rows = value if isinstance(value, list) else []
            clean = [_fields(row, _LEVEL_WIRE) for row in rows[:_MOST_LEVELS] if isinstance(row, Mapping)]
        elif name == "Touchline":
            continue
        elif name == "ExchangeSegment" or name == "UnderlyingExchangeSegment":
            clean = segment_number(value)
        elif name in _TEXTS:
            clean = str(value)[:200]
        else:
            clean = _number(value, name)
        if clean is not None:
            made[name] = clean
    return made


def _number(value: object, name: str) -> float | int | None:
    """A number, or one written as text with separators; None for what says that there is none."""
    if isinstance(value, str):
        text = value.replace(",", "").strip()
        if not text.isascii() or "_" in text:
            raise BadData(f"{name} must be a number, was {value[:20]!r}")
        if text.lower() in ("", "nan", "null", "none"):
            return None
        try:
            value = int(text) if name not in _FLOATS and _is_digits(text.removeprefix("-")) else float(text)
        except ValueError:
            raise BadData(f"{name} must be a number, was {text[:20]!r}") from None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadData(f"{name} must be a number, was {str(value)[:20]!r}")
    if name not in _FLOATS and value != int(value):
        raise BadData(f"{name} must be a whole number, was {value!r}")
    return float(value) if name in _FLOATS else int(value)


class Partial(msgspec.Struct, frozen=True, kw_only=True):
    """What changed: ``values`` by field of the record and its touchline, levels by index, bands of event 1105."""

    code: int
    segment: int
    instrument: int = 0
    index_name: str | None = None
    values: dict[str, float | int]
    bids: tuple[tuple[int, Level], ...] = ()
    asks: tuple[tuple[int, Level], ...] = ()
    properties: dict[int, float]


_KEYS: Final = {
    "ltp": "ltp",
    "ltq": "last_qty_sic",
    "tb": "total_bid_qty",
    "ts": "total_ask_qty",
    "v": "volume",
    "ap": "avg_px",
    "ltt": "last_trade_raw_s",
    "lut": "last_update_raw_s",
    "pc": "percent_change",
    "o": "open",
    "h": "high",
    "l": "low",
    "c": "close",
    "vp": "value_traded",
    "yh": "year_high",
    "yl": "year_low",
    "bt": "book_type",
    "mt": "market_type",
}
_CODE_KEYS: Final = {
    1505: {"bt": "bar_raw_s", "bv": "bar_volume", "pv": "bar_value"},
    1510: {
        "o": "oi",
        "oi": "oi",
        "uex": "underlying_segment",
        "uid": "underlying_instrument",
        "toi": "underlying_oi",
    },
}


def decode_partial(code: int, text: object) -> Partial:
    """Decode a partial event: ``key:value`` parted by commas; a key that is absent or empty is unchanged.

    >>> decode_partial(1510, "t:2_49543,o:13253100").values
    {'oi': 13253100}
    >>> decode_partial(1105, "t:12_1140025,110:2067.75").properties
    {110: 2067.75}

    Raises
    ------
    BadData
        When it names no instrument, or a value is no number.
    """
    if code not in PARTIAL_CODES:
        raise BadData(f"partial events have the codes {', '.join(map(str, PARTIAL_CODES))}, was {code!r}")
    if isinstance(text, list) and len(text) == 1:
        text = text[0]
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str):
        raise BadData(f"a partial event carries text, was {type(text).__name__}")
    keys = _KEYS | _CODE_KEYS.get(code, {})
    where: tuple[int, int, str | None] | None = None
    values: dict[str, float | int] = {}
    sides: dict[str, tuple[tuple[int, Level], ...]] = {}
    properties: dict[int, float] = {}
    for part in text.strip().strip('"').split(","):
        key, colon, value = (piece.strip() for piece in part.partition(":"))
        if not key and not value:
            continue
        if not colon:
            raise BadData(f"partial {code}: every part is key:value, was {part[:30]!r}")
        if key == "t":
            where = _where(code, value)
        elif code == 1105:
            if _is_digits(key) and len(key) < 9 and (band := _number(value, "Price")) is not None:
                properties[int(key)] = float(band)
        elif key in ("ai", "bi"):
            sides[key] = _levels(code, value)
        elif key in keys and (number := _number(value, _BY_FIELD[keys[key]])) is not None:
            values[keys[key]] = _bounded(code, key, number)
    if where is None:
        raise BadData(f"partial {code} names no instrument")
    return Partial(
        code=code,
        segment=where[0],
        instrument=where[1],
        index_name=where[2],
        values=values,
        bids=sides.get("bi", ()),
        asks=sides.get("ai", ()),
        properties=properties,
    )


def _where(code: int, value: str) -> tuple[int, int, str | None]:
    segment, bar, name = value.partition("_")
    if not bar or not name:
        raise BadData(f"partial {code}: t must be segment_instrument, was {value[:30]!r}")
    if _is_digits(name) and len(name) < 19:
        return segment_number(segment), int(name), None
    if code != 1504:
        raise BadData(f"partial {code}: the instrument must be a number, was {name[:30]!r}")
    return segment_number(segment), 0, name[:200]


def _bounded(code: int, key: str, number: float | int) -> float | int:
    if isinstance(number, int) and not -_I64 <= number < _I64:
        raise BadData(f"partial {code}: {key} is out of range")
    return number


def _levels(code: int, text: str) -> tuple[tuple[int, Level], ...]:
    """Changes by level: ``index|size|price|orders`` again and again; a single level may have a fifth value."""
    parts = text.split("|")
    if len(parts) < 2:
        return ()
    width = 5 if len(parts) % 5 == 0 and not _counts(parts, 4) else 4
    if not _counts(parts, width):
        raise BadData(f"partial {code}: levels must be index|size|price|orders, was {text[:40]!r}")
    made = []
    for at in range(0, len(parts), width):
        row = (*parts[at : at + width], "", "", "")
        qty, price, orders = (_number(row[k], n) for k, n in ((1, "Size"), (2, "Price"), (3, "TotalOrders")))
        level = Level(
            None if qty is None else int(_bounded(code, "size", qty)),
            None if price is None else float(price),
            None if orders is None else int(_bounded(code, "orders", orders)),
        )
        if level != _SAME:
            made.append((int(row[0].strip() or at // width), level))
    return tuple(made)


_SAME: Final = Level()


def _counts(parts: Sequence[str], width: int) -> bool:
    """Whether every ``width``-th part can be a level's index: rising, or left out."""
    if 0 < len(parts) % width < 2:
        return False
    last = -1
    for at in range(0, len(parts), width):
        text = parts[at].strip() or str(at // width)
        if not _is_digits(text) or len(text) > 2 or not last < int(text) < _MOST_LEVELS:
            return False
        last = int(text)
    return True


class TextBook:
    """The last state of every (code, segment, instrument), into which partial events are merged.

    Seed it with :meth:`full` from the snapshots of a subscription's answer. A partial event for which
    nothing was seen before gives a record that knows only what the event says.
    """

    def __init__(self) -> None:
        self._state: dict[tuple[int, int, int | str], TextTick] = {}
        self.bands: dict[tuple[int, int], dict[int, float]] = {}

    def __len__(self) -> int:
        return len(self._state)

    def clear(self) -> None:
        """Forget everything: after a new login, when the snapshots come anew."""
        self._state.clear()

    def full(self, tick: TextTick) -> TextTick:
        """Keep a full state and give it back."""
        name = tick.index_name if isinstance(tick, TextStat) else None
        self._state[tick.code, tick.segment, tick.instrument or name or 0] = tick
        return tick

    def partial(self, change: Partial) -> TextTick | None:
        """Merge what changed and give the new state; None for a change of bands (1105)."""
        if change.code == 1105:
            self.bands.setdefault((change.segment, change.instrument), {}).update(change.properties)
            return None
        key = (change.code, change.segment, change.instrument or change.index_name or 0)
        before = self._state.get(key) or _first_seen(change)
        touch = before.touch
        own: dict[str, Any] = {name: value for name, value in change.values.items() if name not in _TOUCH_FIELDS}
        new: dict[str, Any] = {name: value for name, value in change.values.items() if name in _TOUCH_FIELDS}
        if change.code == 1502:
            own["bids"] = bids = _merged(before.bids, change.bids)
            own["asks"] = asks = _merged(before.asks, change.asks)
        else:
            bids, asks = _merged(_alone(touch.bid), change.bids), _merged(_alone(touch.ask), change.asks)
        new["bid"], new["ask"] = _first(bids) or touch.bid, _first(asks) or touch.ask
        merged = msgspec.structs.replace(before, touchline=msgspec.structs.replace(touch, **new), **own)
        self._state[key] = merged
        return merged


_TOUCH_FIELDS: Final = frozenset(Touch.__struct_fields__)


def _first_seen(change: Partial) -> TextTick:
    fields = {"MessageCode": change.code, "ExchangeSegment": change.segment, "ExchangeInstrumentID": change.instrument}
    if change.index_name is not None:
        fields |= {"IndexName": change.index_name}  # type: ignore[dict-item]
    return msgspec.convert(fields, TextStat if change.code in _STATS else TextTick)


def _alone(level: Level | None) -> tuple[Level, ...] | None:
    return None if level is None else (level,)


def _first(levels: tuple[Level, ...] | None) -> Level | None:
    return levels[0] if levels else None


def _merged(before: tuple[Level, ...] | None, changes: tuple[tuple[int, Level], ...]) -> tuple[Level, ...] | None:
    if not changes:
        return before
    rows = list(before or ())
    for index, level in changes:
        while len(rows) <= index:
            rows.append(Level())
        old = rows[index]
        rows[index] = Level(
            old.qty if level.qty is None else level.qty,
            old.price if level.price is None else level.price,
            old.orders if level.orders is None else level.orders,
        )
    return tuple(rows)


_ROW: Final = struct.Struct("<7qd4qd5d11q" + "qdq" * 10)
_NO_LEVEL: Final = (0, 0.0, 0)


def to_array(ticks: Sequence[TextTick], recv_ns: int = 0) -> npt.NDArray[Any]:
    """The rows that the binary decoder would give for the same events.

    Parameters
    ----------
    ticks : sequence of TextTick
        Of codes 1501, 1502, 1510 and 1512, those that carry an instrument.
    recv_ns : int
        When they were received.

    Returns
    -------
    array of XTS_TICK
        An unknown price is NaN, an unknown whole number -1; ``layout`` is 0.
    """
    return np.frombuffer(bytearray().join([_packed(tick, recv_ns) for tick in ticks]), XTS_TICK)


def _packed(tick: TextTick, recv_ns: int) -> bytes:
    """One row as bytes: half a dozen times as fast as filling the fields of a structured row."""
    touch = tick.touch
    bids, asks = tick.bids or _alone(touch.bid) or (), tick.asks or _alone(touch.ask) or ()
    stat = tick if isinstance(tick, TextStat) else None
    raw = (tick.sequence, tick.exch_raw_s, touch.last_update_raw_s, touch.last_trade_raw_s)
    traded = (touch.last_qty, touch.total_bid_qty, touch.total_ask_qty, touch.volume)
    prices = (touch.avg_px, touch.percent_change, touch.open, touch.high, touch.low, touch.close)
    more = (
        (None,) * 4
        if stat is None
        else (stat.oi, stat.underlying_segment, stat.underlying_instrument, stat.underlying_oi)
    )
    marks = (tick.book_type, tick.market_type, tick.version)
    ends = [cell for levels in (bids, asks) for cell in _five(levels)]
    return _ROW.pack(
        tick.code,
        tick.segment,
        tick.instrument,
        *[-1 if v is None else v for v in raw],
        math.nan if touch.ltp is None else touch.ltp,
        *[-1 if v is None else v for v in traded],
        *[math.nan if v is None else v for v in prices],
        *[-1 if v is None else v for v in (*more, *marks)],
        0,
        len(bids),
        len(asks),
        recv_ns,
        *ends,
    )


def _five(levels: Sequence[Level]) -> list[float | int]:
    cells: list[float | int] = []
    for level in levels[:5]:
        cells += (level.qty or 0, level.price or 0.0, level.orders or 0)
    return cells + [*_NO_LEVEL] * (5 - min(5, len(levels)))


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
