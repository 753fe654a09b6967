"""Index closes ``ind_close_all_DDMMYYYY.csv``: open, high, low and close of the traded indices.

Names in the file are not symbols: the whole name decides, without case, never its
beginning (``Nifty 500`` is another index). India VIX becomes ``INDIAVIX``, in percent
points as published. BSE's indices are not in it.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.terms import close_stamps
from toolkit.market.files.udiff import check_dates
from toolkit.market.schema import EOD, SPOT

__all__ = ["COLUMNS", "SYMBOLS", "read_index_close"]

COLUMNS: Final = (
    "Index Name",
    "Index Date",
    "Open Index Value",
    "High Index Value",
    "Low Index Value",
    "Closing Index Value",
)
SYMBOLS: Final = {
    "nifty 50": "NIFTY",
    "nifty bank": "BANKNIFTY",
    "nifty financial services": "FINNIFTY",
    "nifty midcap select": "MIDCPNIFTY",
    "nifty next 50": "NIFTYNXT50",
    "india vix": "INDIAVIX",
}
_CRORE: Final = 10_000_000
_PRICES: Final = ("open", "high", "low", "close")


def read_index_close(frame: pl.DataFrame, source: reading.Source) -> reading.Imported:
    """Convert index closes into ``spot`` rows stamped at the session's close, and ``eod`` rows.

    Raises
    ------
    BadData
        A column is missing, a day is no session, the name's date differs, or no row is usable.
    """
    reading.require(frame, COLUMNS, source.name, "a file of index closes")
    rows = _typed(frame)
    negative = pl.any_horizontal([pl.col(c) <= 0 for c in _PRICES])
    kept, refused = reading.sift(
        rows,
        {
            "date is not a date": pl.col("date").is_null(),
            "index without listed derivatives": pl.col("underlying").is_null(),
            "close is not a number": pl.col("close").is_null(),
            "price not above zero": negative,
            "crossed prices: high below low": pl.col("high") < pl.col("low"),
            "repeated index": ~pl.struct("date", "underlying").is_first_distinct(),
        },
    )
    if kept.is_empty():
        reasons = "; ".join(f"{n} {r}" for r, n in refused) or "the file has no rows"
        raise BadData(f"{source.name} holds no usable row ({reasons})")
    check_dates(kept, source.name)
    return reading.Imported(
        format="index-close",
        name=source.name,
        sha256=source.sha256,
        rows_read=frame.height,
        rows_kept=kept.height,
        refused=refused,
        tables=_tables(kept),
    )


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    def maybe(column: str) -> pl.Expr:
        return reading.number(frame, column) if column in frame.columns else pl.lit(None, pl.Float64)

    name = pl.col("Index Name").cast(pl.String).str.strip_chars().str.to_lowercase()
    return frame.select(
        reading.day(frame, "Index Date", "%d-%m-%Y", "%d-%b-%Y", "%Y-%m-%d").alias("date"),
        pl.lit("NSE").alias("exchange"),
        name.replace_strict(SYMBOLS, default=None, return_dtype=pl.String).alias("underlying"),
        reading.number(frame, "Open Index Value").alias("open"),
        reading.number(frame, "High Index Value").alias("high"),
        reading.number(frame, "Low Index Value").alias("low"),
        reading.number(frame, "Closing Index Value").alias("close"),
        maybe("Points Change").alias("change"),
        maybe("Volume").alias("volume"),
        (maybe("Turnover (Rs. Cr.)") * _CRORE).alias("turnover"),
    )


def _tables(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    closes = close_stamps(rows["date"].unique().sort().to_list())
    rows = rows.join(closes, on="date", how="left", maintain_order="left")
    spot = rows.with_columns(ts=pl.col("close_ts"), recv_ts=None, ltp=pl.col("close"))
    eod = rows.with_columns(
        kind=pl.lit("index"), prev_close=(pl.col("close") - pl.col("change")).round(4), volume=pl.col("volume").round()
    )
    unknown = {c: pl.lit(None, t) for c, t in EOD.items() if c not in eod.columns}
    eod = eod.with_columns(**unknown)
    return {
        "spot": spot.select([pl.col(c).cast(t) for c, t in SPOT.items()]).sort("ts", "underlying"),
        "eod": eod.select([pl.col(c).cast(t) for c, t in EOD.items()]).sort("date", "underlying"),
    }
