"""Day-over-day changes of open interest, computed by us on the exchange token."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import Final, Protocol

import polars as pl

from toolkit.errors import BadData

__all__ = ["anchor_rows", "day_over_day"]

REQUIRED: Final = ("date", "underlying", "token", "expiry", "strike_p", "option_type", "oi", "oi_change")
_CHANGE: Final = pl.col("oi") - pl.col("oi_before")


class Previous(Protocol):
    """What is asked of a calendar (``toolkit.calendar.Calendar`` answers it)."""

    def previous(self, date: dt.date) -> dt.date:
        """The session before ``date``."""
        ...


def day_over_day(eod: pl.DataFrame | pl.LazyFrame, calendar: Previous | None = None) -> pl.LazyFrame:
    """Compare each contract's OI with the session before, through re-dated expiries and lot changes.

    The key is the exchange token with its underlying, strike and side: the expiry may be re-dated while the contract
    lives, and a token whose contract expired is a new contract when it comes back. Quantities are units, so that a
    lot change alters nothing.

    Parameters
    ----------
    eod : polars.DataFrame or LazyFrame
        The session store's ``eod`` rows of consecutive sessions.
    calendar : object with ``previous(date)``, optional
        ``toolkit.tables.calendar()``: a session that is absent from the frame then makes the next day's earlier OI
        unknown (status ``gap``) instead of comparing over the hole.

    Returns
    -------
    polars.LazyFrame
        ``date underlying token expiry strike_p option_type oi oi_before change feed_change expiry_before status``;
        ``status`` is ``same`` (the feed agrees), ``redated`` (the expiry moved), ``restated`` (the feed's previous
        OI differs from ours), ``new`` (not listed the session before: from 0 in a closing file), or
        ``first`` or ``gap`` (no earlier session in the frame: unknown, null).

    Raises
    ------
    BadData
        For a missing column.
    """
    rows = eod.lazy()
    names = rows.collect_schema().names()
    missing = [c for c in REQUIRED if c not in names]
    if missing:
        raise BadData(f"end-of-day frame has no column {missing[0]!r}; give the eod table of a session")
    return _linked(rows, _holes(rows, calendar)).select(
        "date",
        "underlying",
        "token",
        "expiry",
        "strike_p",
        "option_type",
        "oi",
        "oi_before",
        _CHANGE.alias("change"),
        pl.col("oi_change").alias("feed_change"),
        "expiry_before",
        _status().alias("status"),
    )


def _linked(rows: pl.LazyFrame, holes: list[dt.date]) -> pl.LazyFrame:
    """Each contract beside itself of the session before; ``hole`` marks a day whose session before is absent."""
    dated = rows.select(REQUIRED).with_columns(pl.col("date").rank("dense").over("underlying").alias("session"))
    key = ["underlying", "token", "strike_p", "option_type"]
    linked = dated.sort("date").with_columns(
        pl.col("oi").shift(1).over(key, order_by="date").alias("oi_before"),
        pl.col("expiry").shift(1).over(key, order_by="date").alias("expiry_before"),
        pl.col("date").shift(1).over(key, order_by="date").alias("date_before"),
        (pl.col("session") - pl.col("session").shift(1).over(key, order_by="date")).alias("gap"),
        pl.col("date").is_in(holes).alias("hole"),
    )
    # a contract that expired on its last day did not come back: its token did
    alive = (pl.col("gap") == 1) & (pl.col("expiry_before") > pl.col("date_before")) & ~pl.col("hole")
    before = pl.when("hole").then(None).when(alive).then("oi_before").when(pl.col("session") > 1).then(0)
    return linked.with_columns(before.alias("oi_before"), pl.when(alive).then("expiry_before").alias("expiry_before"))


def _status() -> pl.Expr:
    """What became of a linked row's contract since the session before."""
    return (
        pl.when(pl.col("session") == 1)
        .then(pl.lit("first"))
        .when("hole")
        .then(pl.lit("gap"))
        .when(pl.col("expiry_before").is_null())
        .then(pl.lit("new"))
        .when(pl.col("expiry_before") != pl.col("expiry"))
        .then(pl.lit("redated"))
        .when(pl.col("oi_change") != _CHANGE)
        .then(pl.lit("restated"))
        .otherwise(pl.lit("same"))
    )


def _holes(rows: pl.LazyFrame, calendar: Previous | None) -> list[dt.date]:
    """Dates whose session before is not in the frame."""
    if calendar is None:
        return []
    dates = rows.select(pl.col("date").unique().sort()).collect()["date"].to_list()
    return [day for was, day in pairwise(dates) if calendar.previous(day) != was]


def anchor_rows(eod: pl.DataFrame, before: dt.date, close_time: str = "15:30:00") -> pl.DataFrame:
    """Chain rows of the last closing file before a date: the previous close that intraday snapshots start from.

    Parameters
    ----------
    eod : polars.DataFrame
        The session store's ``eod`` rows.
    before : date
        The first day that is to be compared.
    close_time : str
        The stamp to give the rows, IST.

    Raises
    ------
    BadData
        When no earlier session is in the frame.
    """
    earlier = eod.filter((pl.col("date") < before) & pl.col("strike_p").is_not_null())
    if earlier.height == 0:
        raise BadData(f"no end-of-day rows before {before}; import the bhavcopy of the session before")
    last = earlier.filter(pl.col("date") == pl.col("date").max().over("underlying"))
    stamp = pl.concat_str(pl.col("date").cast(pl.String), pl.lit(" " + close_time)).str.to_datetime(
        "%Y-%m-%d %H:%M:%S", time_unit="us", time_zone="Asia/Kolkata"
    )
    columns = ["underlying", "expiry", "strike_p", "option_type", "token", "oi", "volume", "lot"]
    price = pl.col("close").alias("ltp")
    return last.select(stamp.alias("ts"), *columns, price, "spot", "oi_change")
