"""Plain versions of the open-interest measures: NumPy, polars expressions, a linear programme, a Python loop.

They are what the fast kernels are timed against, and what tests compare them with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

__all__ = ["linear_programme", "loop_max_pain", "numpy_expiry", "numpy_snapshot", "polars_day"]


def numpy_expiry(strikes: Any, ce: Any, pe: Any, before_ce: Any, before_pe: Any) -> tuple[float, ...]:
    """Totals, PCR, max pain, centroids and W1 of one expiry, as one writes them in NumPy."""
    calls, puts = ce.sum(), pe.sum()
    cum = np.cumsum(ce + pe)
    lo = int(np.argmax(cum >= puts))
    above = cum > puts
    hi = lo if cum[lo] > puts else int(np.argmax(above)) if above.any() else len(strikes) - 1
    h = np.diff(strikes)
    out = [calls, puts, puts / calls, strikes[lo], strikes[hi], (ce @ strikes) / calls, (pe @ strikes) / puts]
    gaps = []
    for now, was in ((ce, before_ce), (pe, before_pe)):
        gaps.append((np.cumsum(was) / was.sum() - np.cumsum(now) / now.sum())[:-1] * h)
    return (*out, *(np.abs(g).sum() for g in gaps), *(g.sum() for g in gaps))


def numpy_snapshot(strikes: Any, ce: Any, pe: Any, before_ce: Any, before_pe: Any) -> Any:
    """Totals, PCR, max pain, centroids and W1 of padded (E, K) arrays, vectorised over expiries.

    Padding repeats the last strike and holds no OI. Returns (E, 11) in the order of ``toolkit.oi.grid``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        calls, puts = ce.sum(axis=1), pe.sum(axis=1)
        both = ce + pe
        cum = both.cumsum(axis=1)
        lo = (cum >= puts[:, None]).argmax(axis=1)
        rows = np.arange(len(lo))
        later = (cum > puts[:, None]).argmax(axis=1)
        later = np.where((cum > puts[:, None]).any(axis=1), later, strikes.shape[1] - 1)
        tie = cum[rows, lo] == puts
        hi = np.where(tie, later, lo)
        h = np.diff(strikes, axis=1)
        out = [
            calls,
            puts,
            np.where(calls > 0, puts / calls, np.nan),
            np.where(calls + puts > 0, strikes[rows, lo], np.nan),
            np.where(calls + puts > 0, strikes[rows, hi], np.nan),
            (ce * strikes).sum(axis=1) / calls,
            (pe * strikes).sum(axis=1) / puts,
        ]
        gaps = []
        for now, was in ((ce, before_ce), (pe, before_pe)):
            shape = was.cumsum(axis=1) / was.sum(axis=1)[:, None] - now.cumsum(axis=1) / now.sum(axis=1)[:, None]
            gaps.append(shape[:, :-1] * h)
        out += [np.abs(g).sum(axis=1) for g in gaps] + [g.sum(axis=1) for g in gaps]
    return np.stack(out, axis=1)


def polars_day(frame: pl.DataFrame) -> pl.DataFrame:
    """Totals, PCR, max pain, centroids and W1 against the first snapshot, by expressions over a long chain frame."""
    key = ["ts", "expiry"]
    calls = pl.col("oi").filter(pl.col("option_type") == "CE").sum().alias("ce")
    puts = pl.col("oi").filter(pl.col("option_type") == "PE").sum().alias("pe")
    wide = frame.lazy().group_by(*key, "strike_p").agg(calls, puts).sort(*key, "strike_p")
    k = pl.col("strike_p") / 100.0
    first = wide.filter(pl.col("ts") == pl.col("ts").min().over("expiry")).select(
        "expiry", "strike_p", pl.col("ce").alias("ce0"), pl.col("pe").alias("pe0")
    )
    laid = wide.join(first, on=["expiry", "strike_p"], how="left", maintain_order="left").with_columns(
        (pl.col("ce") + pl.col("pe")).cum_sum().over(key).alias("cum"),
        pl.col("pe").sum().over(key).alias("puts"),
        (pl.col("strike_p").shift(-1).over(key) - pl.col("strike_p")).alias("h"),
        *(
            (
                pl.col(f"{s}0").cum_sum().over(key) / pl.col(f"{s}0").sum().over(key)
                - pl.col(s).cum_sum().over(key) / pl.col(s).sum().over(key)
            ).alias(f"{s}_gap")
            for s in ("ce", "pe")
        ),
    )
    return (
        laid.group_by(key)
        .agg(
            pl.col("ce").sum().alias("ce_oi"),
            pl.col("pe").sum().alias("pe_oi"),
            (pl.col("pe").sum() / pl.col("ce").sum()).alias("pcr"),
            k.filter(pl.col("cum") >= pl.col("puts")).min().alias("max_pain_lo"),
            ((k * pl.col("ce")).sum() / pl.col("ce").sum()).alias("ce_centroid"),
            ((k * pl.col("pe")).sum() / pl.col("pe").sum()).alias("pe_centroid"),
            *(((pl.col(f"{s}_gap") * pl.col("h")).abs().sum() / 100.0).alias(f"{s}_w1") for s in ("ce", "pe")),
        )
        .sort(key)
        .collect()
    )


def linear_programme(strikes: Any, before: Any, after: Any, reach: float) -> float:
    """Cost of the unbalanced transport by HiGHS."""
    from scipy import sparse
    from scipy.optimize import linprog

    n = len(strikes)
    h = np.diff(strikes)
    eye = sparse.identity(n, format="csr")
    across = sparse.diags([-np.ones(n - 1), np.ones(n - 1)], [0, -1], shape=(n, n - 1), format="csr")
    matrix = sparse.hstack([across, -across, eye, -eye], format="csr")
    cost = np.concatenate([h, h, np.full(2 * n, reach / 2.0)])
    change = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    return float(linprog(cost, A_eq=matrix, b_eq=change, bounds=(0, None), method="highs").fun)


def loop_max_pain(strikes: Any, ce: Any, pe: Any) -> float:
    """Max pain as most tools compute it: every strike against every strike."""
    best, least = float("nan"), float("inf")
    for x in strikes:
        paid = 0.0
        for k, c, p in zip(strikes, ce, pe, strict=True):
            paid += c * max(x - k, 0.0) + p * max(k - x, 0.0)
        if paid < least:
            best, least = x, paid
    return best
