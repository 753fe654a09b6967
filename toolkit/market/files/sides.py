"""One contract a row, in contracts, to rows of the chain table, in units.

The exchange shows open interest and volume in contracts, each contract's open interest
divided by its own lot, so that a series which lived through a lot change shows thirds or
sevenths. :func:`to_chain` multiplies them back into exact units and refuses what is no
whole number of units under the contract's lot or the one before it.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from toolkit.market.files import terms
from toolkit.market.files.reading import SYMBOL
from toolkit.market.schema import CHAIN, OPTION_TYPE

__all__ = ["SIDE", "Sides", "to_chain"]

_TOLERANCE: Final = 0.01
_PRICES: Final = ("ltp", "bid", "ask")
_KEY: Final = ["ts", "recv_ts", "underlying", "expiry", "strike_p", "option_type"]

SIDE: Final = (
    "line",
    "ts",
    "recv_ts",
    "underlying",
    "expiry",
    "strike",
    "option_type",
    "oi_contracts",
    "volume_contracts",
    "source_iv",
    "ltp",
    "bid",
    "ask",
    "bid_qty",
    "ask_qty",
    "spot",
)

Counts = tuple[tuple[str, int], ...]


class Sides:
    """What :func:`to_chain` made of the lines: the frame, and the account by line."""

    __slots__ = ("chain", "lines_kept", "noted", "refused")

    def __init__(self, chain: pl.DataFrame, lines_kept: int, refused: Counts, noted: Counts) -> None:
        self.chain = chain
        self.lines_kept = lines_kept
        self.refused = refused
        self.noted = noted


def to_chain(sides: pl.DataFrame, lines: int) -> Sides:
    """Convert rows of the columns :data:`SIDE` into the chain table.

    Parameters
    ----------
    sides : polars.DataFrame
        One contract a row; ``line`` is the file's line it came from, so that a line is
        refused only when none of its sides survives. Prices and sizes of 0 mean none.
    lines : int
        Lines in the file, those without any side included.
    """
    rows = _priced(sides)
    rows = _in_units(terms.lots(rows.with_columns(on=pl.col("ts").dt.date())))
    reason = _reason()
    rows = rows.with_columns(reason.alias("reason"))
    good = rows.filter(pl.col("reason").is_null())
    bad = rows.filter(pl.col("reason").is_not_null())
    kept_lines = good["line"].n_unique()
    refused, noted = _account(bad, good, lines - kept_lines, sides)
    good, crossed = _uncrossed(good)
    fractions = int(good.select((pl.col("oi_contracts") != pl.col("oi_contracts").round()).sum()).item() or 0)
    good = terms.tokens(good).with_columns(pl.lit(None, pl.Float64).alias("futures"))
    chain = good.select([pl.col(c).cast(t) for c, t in CHAIN.items()])
    chain = chain.sort("recv_ts", "ts", "underlying", "expiry", "strike_p", "option_type", nulls_last=False)
    counts = {
        "crossed quotes set to unknown": crossed,
        "fractional contracts restored to units": fractions,
        **noted,
    }
    return Sides(chain, kept_lines, refused, tuple(sorted((k, n) for k, n in counts.items() if n)))


def _priced(sides: pl.DataFrame) -> pl.DataFrame:
    none_at_zero = [pl.when(pl.col(c) == 0).then(None).otherwise(pl.col(c)).alias(c) for c in (*_PRICES, "source_iv")]
    sizes = [
        pl.when(pl.col(price).is_null() | (pl.col(price) == 0)).then(None).otherwise(pl.col(f"{price}_qty"))
        for price in ("bid", "ask")
    ]
    strike = pl.col("strike") * 100
    exact = (strike - strike.round()).abs() < 1e-6 * 100
    return sides.with_columns(
        *none_at_zero,
        sizes[0].alias("bid_qty"),
        sizes[1].alias("ask_qty"),
        pl.when(pl.col("spot") == 0).then(None).otherwise(pl.col("spot")).alias("spot"),
        pl.when(exact).then(strike.round()).otherwise(None).cast(pl.Int64, strict=False).alias("strike_p"),
        pl.col("option_type").cast(OPTION_TYPE),
    )


def _in_units(rows: pl.DataFrame) -> pl.DataFrame:
    rows = rows.with_columns(_units("oi_contracts", "lot").alias("oi"))
    odd = rows["oi"].is_null() & rows["oi_contracts"].is_not_null() & rows["lot"].is_not_null()
    if odd.any():
        rows = terms.previous_lots(rows)
        rows = rows.with_columns(pl.coalesce("oi", _units("oi_contracts", "previous_lot")).alias("oi"))
    return rows.with_columns(_units("volume_contracts", "lot").alias("volume"))


def _units(contracts: str, lot: str) -> pl.Expr:
    value = pl.col(contracts) * pl.col(lot)
    exact = ((value - value.round()).abs() <= _TOLERANCE) & (value.abs() < float(1 << 53))
    return pl.when(exact).then(value.round()).otherwise(None).cast(pl.Int64, strict=False)


def _reason() -> pl.Expr:
    """The first rule a row breaks; null when it breaks none."""
    expiry_past = pl.col("expiry") < pl.col("ts").dt.date()
    below = pl.any_horizontal([pl.col(c) < 0 for c in _PRICES]).fill_null(False)
    rules = {
        "stamp is not a time": pl.col("ts").is_null(),
        "symbol is not a name": ~pl.col("underlying").str.contains(SYMBOL).fill_null(False),
        "expiry is not a date": pl.col("expiry").is_null(),
        "expiry before the stamp's day": expiry_past,
        "strike is not a positive price": pl.col("strike_p").is_null() | (pl.col("strike_p") <= 0),
        "open interest below zero": pl.col("oi_contracts") < 0,
        "volume below zero": pl.col("volume_contracts") < 0,
        "negative price": below,
        "quantity is no whole number of units": ~_whole("bid_qty") | ~_whole("ask_qty"),
        "no lot is known for the contract": pl.col("lot").is_null(),
        "open interest is no whole number of units": pl.col("oi").is_null() & pl.col("oi_contracts").is_not_null(),
        "volume is no whole number of units": pl.col("volume").is_null() & pl.col("volume_contracts").is_not_null(),
        "repeated contract in a snapshot": ~pl.struct(_KEY).is_first_distinct(),
    }
    reason: pl.Expr = pl.lit(None, pl.String)
    for text, broken in reversed(list(rules.items())):
        reason = pl.when(broken.fill_null(False)).then(pl.lit(text)).otherwise(reason)
    return reason


def _whole(column: str) -> pl.Expr:
    return pl.col(column).is_null() | ((pl.col(column) >= 0) & (pl.col(column) == pl.col(column).round()))


def _account(bad: pl.DataFrame, good: pl.DataFrame, lost: int, sides: pl.DataFrame) -> tuple[Counts, dict[str, int]]:
    """Reasons of the lines that gave nothing, and of single sides lost from lines that stay."""
    if bad.is_empty():
        return ((("line without a figure", lost),) if lost else ()), {}
    kept = good.select("line").unique()
    dead = bad.join(kept, on="line", how="anti").unique("line", keep="first", maintain_order=True)
    half = bad.join(kept, on="line", how="semi")
    refused = {str(r): int(n) for r, n in dead.group_by("reason").len().iter_rows()}
    if lost > dead.height:
        refused["line without a figure"] = lost - dead.height
    noted = {f"one side left out: {r}": int(n) for r, n in half.group_by("reason").len().iter_rows()}
    return tuple(sorted(refused.items())), noted


def _uncrossed(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    crossed = (pl.col("bid") > pl.col("ask")).fill_null(False)
    count = int(rows.select(crossed.sum()).item() or 0)
    if not count:
        return rows, 0
    quote = ("bid", "ask", "bid_qty", "ask_qty")
    return rows.with_columns([pl.when(crossed).then(None).otherwise(pl.col(c)).alias(c) for c in quote]), count
