"""A broker's candles with a column map: options, futures or an index, one row a bar.

Brokers disagree on names, on units and on whether a bar is stamped at its start or its
end; all three are said by the caller, never guessed. A bar becomes a row stamped at its
*end*, so that nothing is known before it happened; the volume of the day's bars so far is
the row's volume since open. Bars know no bid, ask or receive stamp.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import polars as pl

from toolkit import tables
from toolkit.contracts import parse_symbol
from toolkit.errors import BadData, nearest
from toolkit.market.files import reading, terms
from toolkit.market.schema import CHAIN, FUTURES, IST, OPTION_TYPE, SPOT
from toolkit.types import Kind

__all__ = ["NAMES", "CandleMap", "candle_rows", "is_candle_json", "read_candles"]

NAMES: Final = (
    "ts",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "oi",
    "underlying",
    "expiry",
    "strike",
    "option_type",
    "lot",
    "spot",
)
_REQUIRED: Final = ("ts", "open", "high", "low", "close")
_ALIASES: Final = {
    "timestamp": "ts",
    "datetime": "ts",
    "date": "ts",
    "time": "ts",
    "open_interest": "oi",
    "openinterest": "oi",
    "symbol": "underlying",
    "strike_price": "strike",
    "right": "option_type",
    "lot_size": "lot",
}
_WORDS: Final = {"CALL": "CE", "PUT": "PE", "C": "CE", "P": "PE"}
_ZONED: Final = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S%z")
_NAIVE: Final = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%d-%m-%Y %H:%M:%S",
)
_CONTRACT: Final = ["underlying", "expiry", "strike_p", "option_type"]


class CandleMap(msgspec.Struct, frozen=True, kw_only=True):
    """How to read somebody's candles.

    ``columns`` maps our names (:data:`NAMES`) to theirs; names that are ours already, or
    common aliases, need no entry. ``volume_in`` is the unit of volume and open interest.
    ``stamp`` says which end of the bar its time is, ``interval_s`` how long a bar is, ``zone``
    what naive times mean, ``contract`` the instrument of a file whose rows do not name it
    (``NIFTY 25NOV2025 24500 CE``, ``NIFTY 25NOV2025 FUT``, ``NIFTY``).
    """

    volume_in: Literal["units", "contracts"]
    interval_s: int = 60
    stamp: Literal["start", "end"] = "start"
    zone: str = IST
    columns: dict[str, str] = {}
    contract: str | None = None

    def __post_init__(self) -> None:
        if self.volume_in not in ("units", "contracts"):
            raise BadData(f"volume-in must be units or contracts, was {self.volume_in!r}")
        if self.stamp not in ("start", "end"):
            raise BadData(f"stamp must be start or end, was {self.stamp!r}")
        if not 1 <= self.interval_s <= 86_400:
            raise BadData(f"interval must be 1 to 86400 seconds, was {self.interval_s}")
        for name in self.columns:
            if name not in NAMES:
                raise BadData(f"no candle column {name!r}{nearest(name, NAMES)}; names are {', '.join(NAMES)}")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise BadData(f"zone must be a name such as Asia/Kolkata, was {self.zone!r}") from None


def is_candle_json(source: reading.Source) -> bool:
    """Whether a file is an answer ``{"data": {"candles": [...]}}``."""
    return source.body[:64].lstrip()[:1] == b"{" and b'"candles"' in source.body[:4096]


def candle_rows(source: reading.Source) -> pl.DataFrame:
    """The bars of a broker's answer as text columns ``ts open high low close volume oi``."""
    try:
        bars = json.loads(source.body.decode("utf-8-sig"))["data"]["candles"]
        names = NAMES[:7]
        cells = [[None if v is None else str(v) for v in [*bar, None, None][:7]] for bar in bars]
        return pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String), orient="row")
    except (ValueError, KeyError, TypeError, RecursionError, pl.exceptions.PolarsError) as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
        raise BadData(f"{source.name} is no answer with data.candles ({text}); save it again") from None


def read_candles(frame: pl.DataFrame, source: reading.Source, how: CandleMap) -> reading.Imported:
    """Convert candles into chain, futures or spot rows.

    Parameters
    ----------
    frame : polars.DataFrame
        The file's columns, text or typed.
    source : Source
        The file it came from.
    how : CandleMap
        Names, units, zone, stamp and contract.

    Raises
    ------
    BadData
        A column is missing, the contract is named nowhere, or no row is usable.
    """
    frame = _renamed(frame, source.name, how)
    reading.require(frame, _REQUIRED, source.name, "a file of candles")
    rows = _typed(frame, source.name, how)
    kept, refused = reading.sift(_in_session(rows, how), _rules())
    kept, repeats = reading.sift(kept, {"repeated bar": ~pl.struct([*_CONTRACT, "ts"]).is_first_distinct()})
    refused = tuple(sorted((*refused, *repeats)))
    if kept.is_empty():
        reasons = "; ".join(f"{n} {r}" for r, n in refused) or "the file has no rows"
        raise BadData(f"{source.name} holds no usable bar ({reasons})")
    kept = _in_units(kept, how)
    options = msgspec.to_builtins(how)
    columns = options.pop("columns")
    return reading.Imported(
        format="candles",
        name=source.name,
        sha256=source.sha256,
        rows_read=frame.height,
        rows_kept=kept.height,
        refused=refused,
        tables=_tables(kept),
        options=tuple(
            sorted((k, str(v)) for k, v in {**options, **{f"column {k}": v for k, v in columns.items()}}.items() if v)
        ),
    )


def _renamed(frame: pl.DataFrame, name: str, how: CandleMap) -> pl.DataFrame:
    reading.require(frame, how.columns.values(), name, "the file the column map describes")
    chosen = dict(how.columns)
    for column in frame.columns:
        key = column.strip().lower()
        ours = key if key in NAMES else _ALIASES.get(key)
        if ours is not None and ours not in chosen and column not in chosen.values():
            chosen[ours] = column
    return frame.select([pl.col(theirs).alias(ours) for ours, theirs in chosen.items()])


def _typed(frame: pl.DataFrame, name: str, how: CandleMap) -> pl.DataFrame:
    def maybe(column: str) -> pl.Expr:
        return reading.number(frame, column) if column in frame.columns else pl.lit(None, pl.Float64)

    contract = _contract(frame, name, how)
    strike = maybe("strike") * 100
    own = {
        "underlying": _text(frame, "underlying"),
        "expiry": reading.day(frame, "expiry", "%Y-%m-%d", "%d-%m-%Y", "%d-%b-%Y")
        if "expiry" in frame.columns
        else pl.lit(None, pl.Date),
        "strike_p": pl.when((strike - strike.round()).abs() < 1e-4).then(strike.round()).cast(pl.Int64, strict=False),
        "option_text": _text(frame, "option_type").replace(_WORDS).replace("XX", None),
    }
    own |= {key: pl.lit(value) for key, value in contract.items()}
    rows = frame.select(
        _stamp(frame, how.zone).alias("stamp"),
        *[expression.alias(key) for key, expression in own.items()],
        *[maybe(c).alias(c) for c in ("open", "high", "low", "close", "volume", "oi", "lot", "spot")],
    )
    return rows.with_columns(
        strike_p=pl.col("strike_p").cast(pl.Int64),
        option_type=pl.when(pl.col("option_text").is_in(["CE", "PE"])).then(pl.col("option_text")).cast(OPTION_TYPE),
        kind=pl.when(pl.col("strike_p").is_not_null() & pl.col("option_text").is_not_null())
        .then(pl.lit("option"))
        .when(pl.col("expiry").is_not_null())
        .then(pl.lit("future"))
        .otherwise(pl.lit("index")),
    )


def _contract(frame: pl.DataFrame, name: str, how: CandleMap) -> dict[str, Any]:
    """What ``contract`` says of every row, or nothing when the rows name it themselves."""
    if how.contract is None:
        if "underlying" not in frame.columns:
            raise BadData(f"{name} names no underlying; map its column or give --contract 'NIFTY 25NOV2025 24500 CE'")
        return {}
    if " " not in how.contract.strip():
        return {"underlying": how.contract.strip(), "expiry": None, "strike_p": None, "option_text": None}
    found = parse_symbol(how.contract)
    if found.kind is Kind.EQUITY:
        return {"underlying": found.underlying, "expiry": None, "strike_p": None, "option_text": None}
    right = None if found.option_type is None else str(found.option_type)
    return {"underlying": found.underlying, "expiry": found.expiry, "strike_p": found.strike_p, "option_text": right}


def _text(frame: pl.DataFrame, column: str) -> pl.Expr:
    if column not in frame.columns:
        return pl.lit(None, pl.String)
    text = pl.col(column).cast(pl.String).str.strip_chars().str.to_uppercase()
    return pl.when(text == "").then(None).otherwise(text)


def _stamp(frame: pl.DataFrame, zone: str) -> pl.Expr:
    kind = frame.schema["ts"]
    if isinstance(kind, pl.Datetime):
        moment = pl.col("ts").cast(pl.Datetime("us", kind.time_zone))
        if kind.time_zone is None:
            moment = moment.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
        return moment.dt.convert_time_zone(IST)
    if kind != pl.String:
        return pl.lit(None, pl.Datetime("us", IST))
    text = pl.col("ts").str.strip_chars()
    zoned = [text.str.to_datetime(f, time_unit="us", strict=False).dt.convert_time_zone(IST) for f in _ZONED]
    naive = [
        text.str.to_datetime(f, time_unit="us", strict=False)
        .dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
        .dt.convert_time_zone(IST)
        for f in _NAIVE
    ]
    return pl.coalesce([*zoned, *naive])


def _in_session(rows: pl.DataFrame, how: CandleMap) -> pl.DataFrame:
    """Add the bar's end ``ts`` and whether it lies in a session of its exchange."""
    length = pl.duration(seconds=how.interval_s)
    start = pl.col("stamp") if how.stamp == "start" else pl.col("stamp") - length
    rows = rows.with_columns(start=start, ts=start + length, on=start.dt.date())
    days = rows.select("underlying", "on").unique(maintain_order=True)
    bounds = [_bounds(underlying, day) for underlying, day in days.iter_rows()]
    moment = pl.Datetime("us", IST)
    days = days.hstack(pl.DataFrame(bounds, schema={"opens": moment, "closes": moment}, orient="row"))
    rows = rows.join(days, on=["underlying", "on"], how="left", nulls_equal=True, maintain_order="left")
    inside = (pl.col("start") >= pl.col("opens")) & (pl.col("start") < pl.col("closes"))
    return rows.with_columns(inside=inside.fill_null(False), ts=pl.min_horizontal("ts", "closes"))


def _bounds(underlying: str | None, day: dt.date | None) -> tuple[dt.datetime | None, dt.datetime | None]:
    if day is None or underlying is None:
        return None, None
    calendar = tables.calendar(tables.contracts().exchange(underlying))
    try:
        if not calendar.is_session(day):
            return None, None
        opens, closes = calendar.bounds_ns(day)
    except BadData:
        return None, None
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return epoch + dt.timedelta(microseconds=opens // 1000), epoch + dt.timedelta(microseconds=closes // 1000)


def _rules() -> dict[str, pl.Expr]:
    prices = ("open", "high", "low", "close")
    return {
        "time is not a time": pl.col("ts").is_null() & pl.col("stamp").is_null(),
        "symbol is not a name": ~pl.col("underlying").fill_null("").str.contains(reading.SYMBOL),
        "bar outside the sessions": ~pl.col("inside"),
        "price is not a number": pl.any_horizontal([pl.col(c).is_null() for c in prices]),
        "negative price": pl.any_horizontal([pl.col(c) < 0 for c in prices]),
        "crossed prices: high below low": pl.col("high") < pl.col("low"),
        "option without expiry": (pl.col("kind") == "option") & pl.col("expiry").is_null(),
        "option type is not CE or PE": (pl.col("kind") == "option") & pl.col("option_type").is_null(),
        "strike is not a positive price": (pl.col("kind") == "option") & (pl.col("strike_p") <= 0),
        "expiry before the bar": pl.col("expiry") < pl.col("on"),
        "volume below zero": pl.col("volume") < 0,
        "open interest below zero": pl.col("oi") < 0,
    }


def _in_units(rows: pl.DataFrame, how: CandleMap) -> pl.DataFrame:
    named = pl.col("lot").cast(pl.Int32, strict=False)
    rows = terms.lots(rows.with_columns(named_lot=named).drop("lot"))
    rows = rows.with_columns(lot=pl.coalesce("named_lot", "lot"))
    times = pl.lit(1) if how.volume_in == "units" else pl.col("lot")
    rows = rows.sort([*_CONTRACT, "ts"], maintain_order=True)
    since_open = (pl.col("volume") * times).cum_sum().over([*_CONTRACT, "on"])
    return rows.with_columns(
        volume=since_open.round().cast(pl.Int64, strict=False),
        oi=(pl.col("oi") * times).round().cast(pl.Int64, strict=False),
    )


def _tables(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    unknown = {
        c: pl.lit(None) for c in ("bid", "ask", "bid_qty", "ask_qty", "source_iv", "futures", "settle", "recv_ts")
    }
    rows = rows.with_columns(ltp=pl.col("close"), **unknown)
    rows = _with_tokens(rows)
    option, future = pl.col("kind") == "option", pl.col("kind") == "future"
    made = {
        "chain": rows.filter(option).select([pl.col(c).cast(t) for c, t in CHAIN.items()]),
        "futures": rows.filter(future).select([pl.col(c).cast(t) for c, t in FUTURES.items()]),
        "spot": rows.filter(~option & ~future).select([pl.col(c).cast(t) for c, t in SPOT.items()]),
    }
    by = {"chain": ["ts", *_CONTRACT], "futures": ["ts", "underlying", "expiry"], "spot": ["ts", "underlying"]}
    return {name: frame.sort(by[name], maintain_order=True) for name, frame in made.items() if frame.height}


def _with_tokens(rows: pl.DataFrame) -> pl.DataFrame:
    dated = rows.filter(pl.col("kind") != "index")
    plain = rows.filter(pl.col("kind") == "index").with_columns(token=pl.lit(None, pl.Int64))
    return pl.concat([terms.tokens(dated), plain], how="diagonal") if dated.height else plain
