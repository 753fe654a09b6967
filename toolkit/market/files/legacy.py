"""NSE's F&O bhavcopy before UDiFF (last: 5-Jul-2024): ``foDDMMMYYYYbhav.csv``.

Open interest is in units, volume in contracts, turnover in lakh rupees. The file names no
lot, token, underlying price or trade count: lots come from the dated table (unknown lot,
unknown volume), tokens are stable stand-ins. The original ends its lines with a comma; a
resaved copy does not and writes integers as ``1675780.0``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from toolkit.errors import BadData
from toolkit.market.files import reading, terms
from toolkit.market.files.udiff import check_dates, closing_tables, judge, only
from toolkit.market.schema import OPTION_TYPE

__all__ = ["COLUMNS", "read_legacy"]

COLUMNS: Final = (
    "INSTRUMENT",
    "SYMBOL",
    "EXPIRY_DT",
    "STRIKE_PR",
    "OPTION_TYP",
    "OPEN",
    "HIGH",
    "LOW",
    "CLOSE",
    "SETTLE_PR",
    "CONTRACTS",
    "VAL_INLAKH",
    "OPEN_INT",
    "CHG_IN_OI",
    "TIMESTAMP",
)
_KINDS: Final = {"FUTIDX": "future", "FUTSTK": "future", "FUTIVX": "future", "OPTIDX": "option", "OPTSTK": "option"}
_TYPES: Final = {"CA": "CE", "PA": "PE", "XX": ""}
_FIGURES: Final = ("STRIKE_PR", "OPEN", "HIGH", "LOW", "CLOSE", "SETTLE_PR", "VAL_INLAKH", "CHG_IN_OI")
_LAKH: Final = 100_000
_DAYS: Final = ("%d-%b-%Y", "%Y-%m-%d")


def read_legacy(frame: pl.DataFrame, source: reading.Source, *, underlyings: Sequence[str] = ()) -> reading.Imported:
    """Convert a legacy bhavcopy into end-of-day rows and a closing snapshot.

    Parameters
    ----------
    frame : polars.DataFrame
        The file's columns as text.
    source : Source
        The file it came from; a date in its name must be the date inside.
    underlyings : sequence of str, optional
        Keep only these symbols.

    Raises
    ------
    BadData
        A column is missing, the day is no session, the name's date differs, or no row is usable.
    UnknownSymbol
        A symbol of ``underlyings`` is not in the file.
    """
    reading.require(frame, COLUMNS, source.name, "a legacy F&O bhavcopy")
    rows, skipped = only(_typed(frame), underlyings, source.name)
    rows, refused = judge(rows, _rules())
    key = ["date", "kind", "underlying", "expiry", "strike_p", "option_text"]
    rows, repeats = reading.sift(rows, {"repeated contract": ~pl.struct(key).is_first_distinct()})
    refused = tuple(sorted((*refused, *repeats, *skipped)))
    if rows.is_empty():
        reasons = "; ".join(f"{n} {r}" for r, n in refused) or "the file has no rows"
        raise BadData(f"{source.name} holds no usable row ({reasons})")
    check_dates(rows, source.name)
    rows = terms.tokens(_meaning(terms.lots(rows.with_columns(on=pl.col("date")))))
    noted = {
        "lot not in the dated table: volume unknown": rows.filter(
            pl.col("lot").is_null() & (pl.col("traded") > 0)
        ).height,
        reading.UNREADABLE: reading.unreadable(frame, _FIGURES),
    }
    return reading.Imported(
        format="legacy",
        name=source.name,
        sha256=source.sha256,
        rows_read=frame.height,
        rows_kept=rows.height,
        refused=refused,
        noted=tuple(sorted((k, n) for k, n in noted.items() if n)),
        tables=closing_tables(rows),
        options=(("underlyings", ",".join(sorted(underlyings))),) if underlyings else (),
        chain_kind="eod",
    )


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    def text(column: str) -> pl.Expr:
        return pl.col(column).cast(pl.String).fill_null("").str.strip_chars()

    prices = {
        "strike": "STRIKE_PR",
        "open": "OPEN",
        "high": "HIGH",
        "low": "LOW",
        "close": "CLOSE",
        "settle": "SETTLE_PR",
        "lakh": "VAL_INLAKH",
    }
    counts = {"traded": "CONTRACTS", "oi": "OPEN_INT", "oi_change": "CHG_IN_OI"}
    paise = reading.number(frame, "STRIKE_PR") * 100
    whole_paise = ((paise - paise.round()).abs() < 1e-4) & (paise < float(1 << 53))
    return frame.select(
        reading.day(frame, "TIMESTAMP", *_DAYS).alias("date"),
        pl.lit("FO").alias("sgmt"),
        pl.lit("NSE").alias("exchange"),
        text("INSTRUMENT").replace_strict(_KINDS, default=None, return_dtype=pl.String).alias("kind"),
        text("INSTRUMENT").str.ends_with("STK").alias("stock"),
        text("SYMBOL").alias("underlying"),
        reading.day(frame, "EXPIRY_DT", *_DAYS).alias("expiry"),
        text("OPTION_TYP").replace(_TYPES).alias("option_text"),
        pl.when(whole_paise).then(paise.round()).otherwise(None).cast(pl.Int64, strict=False).alias("strike_p"),
        *[reading.number(frame, theirs).alias(ours) for ours, theirs in prices.items()],
        *[reading.whole(frame, theirs).alias(ours) for ours, theirs in counts.items()],
    ).with_columns(turnover=pl.col("lakh") * _LAKH)


def _rules() -> dict[str, pl.Expr]:
    option = pl.col("kind") == "option"
    return {
        "trade date is not a date": pl.col("date").is_null(),
        "instrument type is not known": pl.col("kind").is_null(),
        "symbol is not a name": ~pl.col("underlying").str.contains(reading.SYMBOL),
        "expiry is not a date": pl.col("expiry").is_null(),
        "expiry before the trade date": pl.col("expiry") < pl.col("date"),
        "strike is not a positive price": option & (pl.col("strike_p").is_null() | (pl.col("strike_p") <= 0)),
        "option type is not CE or PE": option & ~pl.col("option_text").is_in(["CE", "PE"]),
        "open interest is not a number": pl.col("oi").is_null(),
        "volume is not a number": pl.col("traded").is_null(),
    }


def _meaning(rows: pl.DataFrame) -> pl.DataFrame:
    traded, option = pl.col("traded") > 0, pl.col("kind") == "option"
    ends = pl.col("expiry") == pl.col("date")
    settled = pl.when(pl.col("settle") == 0).then(None).otherwise(pl.col("settle"))
    return rows.with_columns(
        *[pl.when(pl.col(c) == 0).then(None).otherwise(pl.col(c)).alias(c) for c in ("open", "high", "low")],
        pl.when(traded & (pl.col("close") != 0)).then(pl.col("close")).otherwise(None).alias("close"),
        pl.when(option & ends).then(None).otherwise(settled).alias("settle"),
        pl.when(~option & ends).then(settled).otherwise(None).alias("final_settlement"),
        (pl.col("traded") * pl.col("lot")).alias("volume"),
        pl.when(option)
        .then(pl.col("option_text"))
        .otherwise(None)
        .cast(OPTION_TYPE, strict=False)
        .alias("option_type"),
        pl.when(option).then(pl.col("strike_p")).otherwise(None).alias("strike_p"),
        pl.lit(None, pl.Float64).alias("last"),
        pl.lit(None, pl.Float64).alias("prev_close"),
        pl.lit(None, pl.Float64).alias("spot"),
        pl.lit(None, pl.Int64).alias("trades"),
        pl.lit(None, pl.String).alias("source_symbol"),
    )
