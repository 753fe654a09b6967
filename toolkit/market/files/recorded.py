"""Chain snapshots as a collector recorded them: one row a strike, calls and puts side by side.

Layout: ``Fetch_Time`` (the exchange's stamp), ``collection_timestamp`` (the collector's
clock), both naive IST, ``Symbol``, ``Expiry_Date``, ``Strike_Price`` and ``CALLS_`` and
``PUTS_`` columns. Open interest and volume are in contracts, quoted sizes in units,
volatility in percent. Another collector's names map through ``columns``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.sides import SIDE, to_chain
from toolkit.market.schema import IST

__all__ = ["REQUIRED", "read_recorded"]

_SIDES: Final = {
    "oi_contracts": "OI",
    "volume_contracts": "Volume",
    "source_iv": "IV",
    "ltp": "LTP",
    "bid": "Bid_Price",
    "ask": "Ask_Price",
    "bid_qty": "Bid_Qty",
    "ask_qty": "Ask_Qty",
}
REQUIRED: Final = ("Fetch_Time", "Symbol", "Expiry_Date", "Strike_Price", "CALLS_OI", "PUTS_OI")
_STAMPS: Final = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%d-%b-%Y %H:%M:%S")


def read_recorded(
    frame: pl.DataFrame, source: reading.Source, *, columns: Mapping[str, str] | None = None
) -> reading.Imported:
    """Convert a collector's table into the chain table.

    Parameters
    ----------
    frame : polars.DataFrame
        The table as read, typed (Parquet) or text (csv).
    source : Source
        The file it came from.
    columns : mapping, optional
        Our name of a column to the collector's (``{"Fetch_Time": "time"}``).

    Raises
    ------
    BadData
        A required column is missing, or no row can be kept.
    """
    if columns:
        reading.require(frame, columns.values(), source.name, "the table the column map describes")
        frame = frame.rename({theirs: ours for ours, theirs in columns.items()})
    reading.require(frame, REQUIRED, source.name, "a recorded option chain")
    lines = frame.height
    common = frame.select(
        pl.int_range(pl.len()).alias("line"),
        _stamp(frame, "Fetch_Time").alias("ts"),
        (_stamp(frame, "collection_timestamp") if "collection_timestamp" in frame.columns else pl.lit(None)).alias(
            "recv_ts"
        ),
        pl.col("Symbol").cast(pl.String).str.strip_chars().alias("underlying"),
        reading.day(frame, "Expiry_Date", "%Y-%m-%d", "%d-%b-%Y", "%d-%m-%Y").alias("expiry"),
        reading.number(frame, "Strike_Price").alias("strike"),
        (reading.number(frame, "Spot") if "Spot" in frame.columns else pl.lit(None, pl.Float64)).alias("spot"),
    )
    both = pl.concat([_side(frame, common, "CALLS", "CE"), _side(frame, common, "PUTS", "PE")])
    done = to_chain(both, lines)
    if done.chain.is_empty():
        reasons = "; ".join(f"{n} {r}" for r, n in done.refused) or "the file has no rows"
        raise BadData(f"{source.name} holds no usable row ({reasons}); check that it is a recorded chain")
    figures = [f"{side}_{name}" for side in ("CALLS", "PUTS") for name in _SIDES.values()]
    odd = reading.unreadable(frame, figures)
    return reading.Imported(
        format="recorded",
        name=source.name,
        sha256=source.sha256,
        rows_read=lines,
        rows_kept=done.lines_kept,
        refused=done.refused,
        noted=tuple(sorted((*done.noted, *(((reading.UNREADABLE, odd),) if odd else ())))),
        tables={"chain": done.chain},
        options=tuple(sorted((columns or {}).items())),
    )


def _stamp(frame: pl.DataFrame, column: str) -> pl.Expr:
    """An IST stamp to the microsecond; naive times are India's."""
    kind = frame.schema[column]
    if isinstance(kind, pl.Datetime):
        moment = pl.col(column).cast(pl.Datetime("us", kind.time_zone))
        return moment.dt.convert_time_zone(IST) if kind.time_zone else moment.dt.replace_time_zone(IST)
    if kind != pl.String:
        return pl.lit(None, pl.Datetime("us", IST))
    text = pl.col(column).str.strip_chars()
    parsed = [text.str.to_datetime(f, time_unit="us", strict=False) for f in _STAMPS]
    return pl.coalesce(parsed).dt.replace_time_zone(IST)


def _side(frame: pl.DataFrame, common: pl.DataFrame, prefix: str, option_type: str) -> pl.DataFrame:
    values = []
    for ours, theirs in _SIDES.items():
        column = f"{prefix}_{theirs}"
        known = column in frame.columns
        values.append((reading.number(frame, column) if known else pl.lit(None, pl.Float64)).alias(ours))
    side = pl.concat([common, frame.select(values)], how="horizontal")
    side = side.with_columns(pl.lit(option_type).alias("option_type"), pl.col("source_iv") / 100)
    return side.filter(pl.any_horizontal(pl.col("oi_contracts", "volume_contracts", *_prices()).is_not_null())).select(
        SIDE
    )


def _prices() -> tuple[str, ...]:
    return ("ltp", "bid", "ask")
