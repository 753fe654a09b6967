"""Value at risk on a scenario grid: of past days, and of a normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData
from toolkit.risk.scenarios import ScenarioGrid

__all__ = ["Var", "grid_pnl", "historical_var", "parametric_var", "var_of"]

Floats = npt.NDArray[np.float64]


class Var(NamedTuple):
    """Losses in rupees, above zero: at the confidence, their mean beyond it, the worst seen; and of how many."""

    var: float
    shortfall: float
    worst: float
    points: int


def grid_pnl(grid: ScenarioGrid, moves: npt.ArrayLike, vols: npt.ArrayLike, day: int = 0) -> Floats:
    """Profit at moves and vol shifts between the grid's points, bilinear; ``day`` is an index of ``grid.days``.

    Raises
    ------
    BadData
        A point outside the grid: an extrapolated loss would be a guess.
    """
    x, y = np.broadcast_arrays(np.asarray(moves, np.float64), np.asarray(vols, np.float64))
    i, wx = _between("move", grid.moves, x)
    j, wy = _between("vol shift", grid.vols, y)
    z = grid.pnl[:, :, day]
    i1, j1 = np.minimum(i + 1, len(grid.moves) - 1), np.minimum(j + 1, len(grid.vols) - 1)
    with np.errstate(invalid="ignore"):
        low = z[i, j] * (1.0 - wx) + np.where(wx > 0.0, z[i1, j] * wx, 0.0)
        high = z[i, j1] * (1.0 - wx) + np.where(wx > 0.0, z[i1, j1] * wx, 0.0)
        made = low * (1.0 - wy) + np.where(wy > 0.0, high * wy, 0.0)
    return np.where(np.isnan(made), -math.inf, made)


def historical_var(
    grid: ScenarioGrid,
    moves: npt.ArrayLike,
    vols: npt.ArrayLike = 0.0,
    *,
    confidence: float = 0.99,
    day: int = 0,
) -> Var:
    """Value at risk of past days: each day's move and vol change on today's book.

    Parameters
    ----------
    grid : ScenarioGrid
        The book; its steps bound the error of the interpolation.
    moves, vols : array
        Relative moves and vol changes of past days (fractions), one a day.
    confidence : float
        0.99: the loss that one day in a hundred exceeds.
    day : int
        Which of ``grid.days`` is the horizon.
    """
    return var_of(grid_pnl(grid, moves, vols, day).ravel(), confidence)


def parametric_var(
    grid: ScenarioGrid,
    sigma: float,
    vol_sigma: float = 0.0,
    correlation: float = 0.0,
    *,
    confidence: float = 0.99,
    day: int = 0,
    nodes: int = 201,
) -> Var:
    """Value at risk under a normal distribution of the move and the vol change over the horizon.

    Parameters
    ----------
    sigma, vol_sigma : float
        Standard deviations of the relative move and of the vol change over the horizon.
    correlation : float
        Between them; an index's is usually below zero.
    nodes : int
        Equally likely points on each side; nothing is drawn at random.
    """
    if not (sigma > 0.0 and vol_sigma >= 0.0 and -1.0 <= correlation <= 1.0):
        raise BadData(
            "sigma must be above 0, vol_sigma from 0, correlation from -1 to 1,"
            f" was {sigma:g}, {vol_sigma:g}, {correlation:g}"
        )
    normal = NormalDist()
    z = np.array([normal.inv_cdf((n + 0.5) / nodes) for n in range(nodes)])
    first, second = np.meshgrid(z, z if vol_sigma > 0.0 else np.zeros(1), indexing="ij")
    other = correlation * first + math.sqrt(1.0 - correlation**2) * second
    return var_of(grid_pnl(grid, sigma * first, vol_sigma * other, day).ravel(), confidence)


def _between(name: str, axis: Floats, at: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    if len(axis) == 1 and (at == axis[0]).all():
        return np.zeros(at.shape, np.int64), np.zeros(at.shape)
    if not len(at.ravel()) or np.isnan(at).any() or at.min() < axis[0] or at.max() > axis[-1]:
        was = "none" if not at.size else f"{np.nanmin(at):g} to {np.nanmax(at):g}"
        raise BadData(f"every {name} must lie in the grid, {axis[0]:g} to {axis[-1]:g}, was {was}; widen the grid")
    i = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, max(len(axis) - 2, 0))
    if len(axis) == 1:
        return i, np.zeros(at.shape)
    return i, np.asarray((at - axis[i]) / (axis[i + 1] - axis[i]))


def var_of(pnl: Sequence[float] | Floats, confidence: float) -> Var:
    """Value at risk of equally likely profits, rupees."""
    if not 0.5 < confidence < 1.0:
        raise BadData(f"confidence must lie between 0.5 and 1, was {confidence:g}")
    losses = np.sort(-np.asarray(pnl))[::-1]
    beyond = max(1, math.floor(len(losses) * (1.0 - confidence) + 1e-9))
    at = float(losses[beyond - 1])
    return Var(max(0.0, at), max(0.0, float(losses[:beyond].mean())), max(0.0, float(losses[0])), len(losses))
