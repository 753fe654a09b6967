"""Contract terms that a file lacks: lots by date, stand-in tokens, symbols, session closes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Final, TypeVar

import polars as pl

from toolkit import tables
from toolkit.contracts import stand_in_token
from toolkit.errors import BadData
from toolkit.market.schema import INSTRUMENTS, IST

__all__ = [
    "close_stamps",
    "derived_instruments",
    "lots",
    "previous_lots",
    "segment",
    "symbols",
    "tokens",
    "with_dated_terms",
    "with_named_tokens",
]

T = TypeVar("T")

_CONTRACT: Final = ["underlying", "expiry", "strike_p", "option_type"]
_LOT_KEY: Final = ["underlying", "expiry", "on"]
_LOOK_BACK_DAYS: Final = 800
_MONTHS: Final = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


def segment(exchange: str, kind: str = "option") -> str:
    """The segment's name in identities: ``NSE_FO``, ``BSE_FO``, ``NSE_CM``, ``BSE_CM``."""
    return f"{exchange}_{'FO' if kind in ('option', 'future') else 'CM'}"


def lots(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``lot`` (Int32, null where no table knows it) by ``underlying``, ``expiry``, ``on``."""
    return _with_lot(frame, "lot", _lot)


def previous_lots(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``previous_lot``: the lot of the same contract before its last change, null without one."""
    return _with_lot(frame, "previous_lot", _previous_lot)


def _with_lot(frame: pl.DataFrame, name: str, find: object) -> pl.DataFrame:
    keys = frame.select(_LOT_KEY).unique(maintain_order=True)
    found = [find(*key) if None not in key else None for key in keys.iter_rows()]  # type: ignore[operator]
    return frame.join(
        keys.with_columns(pl.Series(name, found, pl.Int32)),
        on=_LOT_KEY,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )


def _lot(underlying: str, expiry: dt.date, on: dt.date) -> int | None:
    try:
        return int(tables.contracts().lot(underlying, expiry, on))
    except BadData:
        return None


def _previous_lot(underlying: str, expiry: dt.date, on: dt.date) -> int | None:
    now = _lot(underlying, expiry, on)
    for back in range(14, _LOOK_BACK_DAYS, 14):
        then = _lot(underlying, expiry, on - dt.timedelta(days=back))
        if then is None:
            return None
        if then != now:
            return then
    return None


def tokens(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``token``: the stable negative stand-in of each contract, until a master names the real one."""
    keys = frame.select(_CONTRACT).unique(maintain_order=True)
    rules = tables.contracts()
    places = {u: segment(rules.exchange(u)) for u in keys["underlying"].unique().to_list()}
    made = [stand_in_token(places[u], u, e, s, o) for u, e, s, o in keys.iter_rows()]
    return frame.join(
        keys.with_columns(pl.Series("token", made, pl.Int64)),
        on=_CONTRACT,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )


def symbols(frame: pl.DataFrame) -> pl.Expr:
    """Exchange-neutral symbols of rows with ``underlying kind expiry strike_p option_type``."""
    stamp = pl.format(
        "{}{}{}",
        pl.col("expiry").dt.day().cast(pl.String).str.zfill(2),
        pl.col("expiry").dt.month().cast(pl.String).replace_strict({str(i): m for i, m in enumerate(_MONTHS, 1)}),
        pl.col("expiry").dt.year(),
    )
    rupees, paise = pl.col("strike_p") // 100, pl.col("strike_p") % 100
    cents = paise.cast(pl.String).str.zfill(2).str.strip_chars_end("0")
    strike = pl.when(paise == 0).then(rupees.cast(pl.String)).otherwise(pl.format("{}.{}", rupees, cents))
    return (
        pl.when(pl.col("kind") == "option")
        .then(pl.format("{} {} {} {}", "underlying", stamp, strike, pl.col("option_type").cast(pl.String)))
        .when(pl.col("kind") == "future")
        .then(pl.format("{} {} FUT", "underlying", stamp))
        .when(pl.col("kind") == "index")
        .then(pl.col("underlying"))
        .otherwise(pl.format("{} EQ", "underlying"))
    )


def close_stamps(dates: list[dt.date], exchange: str = "NSE") -> pl.DataFrame:
    """``date`` and ``close_ts``: the close of each session, null for a day that is none."""
    calendar = tables.calendar(exchange)
    closes = [calendar.bounds_ns(d)[1] // 1000 if calendar.is_session(d) else None for d in dates]
    frame = pl.DataFrame({"date": pl.Series(dates, dtype=pl.Date), "close_ts": pl.Series(closes, dtype=pl.Int64)})
    moment = pl.col("close_ts").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return frame.with_columns(moment.dt.convert_time_zone(IST).alias("close_ts"))


def derived_instruments(rows: pl.DataFrame) -> pl.DataFrame:
    """Instruments of chain rows (``ts underlying expiry strike_p option_type token lot``).

    One row a contract and day; exchange, tick and freeze quantity from the dated tables,
    null where those do not know.
    """
    rules = tables.contracts()
    rows = rows.with_columns(valid_on=pl.col("ts").dt.date(), kind=pl.lit("option")).drop("ts")
    rows = rows.unique(["valid_on", *_CONTRACT], keep="last", maintain_order=True)
    places = {u: rules.exchange(u) for u in rows["underlying"].unique().to_list()}
    rows = rows.with_columns(exchange=pl.col("underlying").replace_strict(places, return_dtype=pl.String))
    rows = rows.with_columns(
        segment=pl.format("{}_FO", "exchange"), tick_p=None, freeze_qty=None, symbol=symbols(rows), source_symbol=None
    )
    rows = with_dated_terms(rows).select([pl.col(c).cast(t) for c, t in INSTRUMENTS.items()])
    return rows.sort("valid_on", "exchange", "segment", "token", "symbol")


def with_dated_terms(rows: pl.DataFrame) -> pl.DataFrame:
    """Fill ``tick_p`` and ``freeze_qty`` of options and futures from the dated tables, where null.

    What the file says stays. Null remains where the tables do not know: a share's own
    tick, and a stock future's since it follows the share.
    """
    rules = tables.contracts()
    key = ["underlying", "kind", "valid_on"]
    keys = rows.filter(pl.col("kind").is_in(["option", "future"])).select(key).unique(maintain_order=True)
    found = [
        (_or_none(rules.tick_p, underlying, kind, on), _or_none(rules.freeze_qty, underlying, on))
        for underlying, kind, on in keys.iter_rows()
    ]
    names = {"table_tick_p": pl.Int32, "table_freeze_qty": pl.Int64}
    terms = keys.hstack(pl.DataFrame(found, schema=names, orient="row"))
    rows = rows.join(terms, on=key, how="left", maintain_order="left")
    filled = [pl.coalesce(pl.col(c).cast(names[f"table_{c}"]), f"table_{c}").alias(c) for c in ("tick_p", "freeze_qty")]
    return rows.with_columns(filled).drop(list(names))


def with_named_tokens(rows: pl.DataFrame, master: pl.DataFrame) -> pl.DataFrame:
    """Replace stand-in tokens by those of the contracts that an instrument table names.

    ``rows`` are of any table with ``token``, ``underlying`` and ``expiry``; one without strikes
    holds futures.
    """
    if rows.is_empty() or not rows.select((pl.col("token") < 0).any()).item():
        return rows
    named = master.filter(pl.col("token") >= 0).filter(pl.col("kind").is_in(["option", "future"]))
    if named.is_empty():
        return rows
    named = named.sort("valid_on", maintain_order=True).unique(_CONTRACT, keep="last", maintain_order=True)
    named = named.select(*_CONTRACT, named="token")
    absent = [c for c in _CONTRACT if c not in rows.columns]
    rows = rows.with_columns([pl.lit(None, named.schema[c]).alias(c) for c in absent])
    rows = rows.join(named, on=_CONTRACT, how="left", nulls_equal=True, maintain_order="left")
    stands_in = (pl.col("token") < 0) & pl.col("named").is_not_null()
    token = pl.when(stands_in).then(pl.col("named")).otherwise(pl.col("token"))
    return rows.with_columns(token.alias("token")).drop("named", *absent)


def _or_none(ask: Callable[..., T], *args: object) -> T | None:
    try:
        return ask(*args)
    except BadData:
        return None
