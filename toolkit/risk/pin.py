"""Expiry day: what the book gains at each settlement level, its gamma on the way, and the strikes that can pin it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.risk.exposure import Columns, Position, columns

if TYPE_CHECKING:
    import polars as pl

__all__ = ["expiry_profile", "pins"]

Floats = npt.NDArray[np.float64]


def expiry_profile(
    positions: Sequence[Position], underlying: str, expiry: dt.date, levels: npt.ArrayLike, tte: float | None = None
) -> pl.DataFrame:
    """Settlement profit, delta and gamma of one expiry at levels of its underlying.

    Parameters
    ----------
    positions : sequence of Position
        A book; only options and futures of ``underlying`` and ``expiry`` count.
    levels : array
        Levels of the underlying, rupees.
    tte : float, optional
        Years left when delta and gamma are taken; default: each position's own.

    Returns
    -------
    polars.DataFrame
        ``level``, ``settles_at`` (rupees the book is worth at that settlement value), ``delta`` (units),
        ``gamma`` (units a rupee), ``unknown`` (options whose vol is not known: their delta and gamma are
        null for the book, their settlement value is exact all the same).
    """
    import polars as pl

    mine = [p for p in positions if p.underlying == underlying and p.expiry == expiry and p.qty]
    if not mine:
        raise BadData(f"no position in {underlying} expires on {expiry}")
    at = np.atleast_1d(np.asarray(levels, np.float64))
    c = columns(mine)
    option = c.cp != 0.0
    inside = np.where(option, np.maximum(c.cp * (at[:, None] - c.strike), 0.0), at[:, None])
    worth = (inside * c.qty).sum(axis=1)
    unknown = int((option & ~np.isfinite(c.iv)).sum())
    delta, gamma = _greeks_at(c, at, tte) if not unknown else (np.full(len(at), np.nan), np.full(len(at), np.nan))
    frame = pl.DataFrame({"level": at, "settles_at": worth, "delta": delta, "gamma": gamma})
    return frame.with_columns(pl.col("delta", "gamma").fill_nan(None), unknown=pl.lit(unknown))


def pins(positions: Sequence[Position], underlying: str, expiry: dt.date, level: float) -> pl.DataFrame:
    """Strikes at which the book's settlement profit has a kink, nearest first.

    ``kink`` is how many units of delta settlement just above a strike gives more than just below it (below
    zero: a short strike, where a pin leaves the delta open until the value is determined); ``distance`` is
    the strike less the level, in rupees; ``at_stake`` the rupees that one percent of the level through a
    strike costs or gains.
    """
    import polars as pl

    kinks: dict[float, int] = {}
    for p in positions:
        if p.underlying == underlying and p.expiry == expiry and p.cp and p.qty:
            kinks[p.strike] = kinks.get(p.strike, 0) + p.qty
    rows = [(k, qty, k - level, qty * 0.01 * level) for k, qty in kinks.items() if qty]
    schema = {"strike": pl.Float64, "kink": pl.Int64, "distance": pl.Float64, "at_stake": pl.Float64}
    return pl.DataFrame(sorted(rows, key=lambda row: (abs(row[2]), row[0])), schema=schema, orient="row")


def _greeks_at(c: Columns, at: Floats, tte: float | None) -> tuple[Floats, Floats]:
    option = c.cp != 0.0
    delta = np.full(len(at), float(c.qty[~option].sum()))
    gamma = np.zeros(len(at))
    if option.any():
        o = np.flatnonzero(option)
        years = np.maximum(c.tte[o], 0.0) if tte is None else np.full(len(o), tte)
        n = len(at)
        found = pricing.greeks(
            np.tile(c.cp[o], n), np.repeat(at, len(o)), np.tile(c.strike[o], n), np.tile(years, n), np.tile(c.iv[o], n),
            np.tile(c.rate[o], n),
        )  # fmt: skip
        delta = delta + found.delta.reshape(n, -1) @ c.qty[o]
        gamma = gamma + found.gamma.reshape(n, -1) @ c.qty[o]
    return delta, gamma
