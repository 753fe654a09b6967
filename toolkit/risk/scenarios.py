"""A whole book under moves of price, vol and time: one compiled pass, exact to the pricing room."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.risk import kernels
from toolkit.risk.exposure import QUANTA, Columns, Position, columns, rounded

if TYPE_CHECKING:
    import polars as pl

__all__ = ["DAYS", "MOVES", "VOLS", "Cell", "ScenarioGrid", "position_pnl", "scenario_grid"]

Floats = npt.NDArray[np.float64]

MOVES: Final = tuple(round(-0.10 + 0.01 * n, 2) for n in range(21))
VOLS: Final = tuple(round(-0.05 + 0.01 * n, 2) for n in range(11))
DAYS: Final = (0.0, 1.0, 2.0, 5.0, 7.0)
UNKNOWN_IV: Final = (0.05, 1.00)
_QUANTA_A_RUPEE: Final = 1.0 / QUANTA["pnl"]


class Cell(NamedTuple):
    """One cell of a grid: profit in rupees at a move (fraction), a vol shift and days from now."""

    pnl: float
    move: float
    vol: float
    days: float


class ScenarioGrid(NamedTuple):
    """Profit of a book in rupees, ``pnl[move, vol, day]``.

    ``unknown`` names the positions that could not be valued; they are in ``pnl`` at their worst case
    (``-inf`` where a loss has no bound), never at 0.
    """

    pnl: Floats
    moves: Floats
    vols: Floats
    days: Floats
    unknown: tuple[str, ...]

    @property
    def worst(self) -> Cell:
        """The cell that loses most."""
        p, v, t = np.unravel_index(int(np.argmin(self.pnl)), self.pnl.shape)
        return self._cell(int(p), int(v), int(t))

    @property
    def best(self) -> Cell:
        """The cell that gains most."""
        p, v, t = np.unravel_index(int(np.argmax(self.pnl)), self.pnl.shape)
        return self._cell(int(p), int(v), int(t))

    def _cell(self, p: int, v: int, t: int) -> Cell:
        return Cell(float(self.pnl[p, v, t]), float(self.moves[p]), float(self.vols[v]), float(self.days[t]))

    def frame(self) -> pl.DataFrame:
        """One row a cell: ``move`` (fraction), ``vol`` (shift, fraction), ``days``, ``pnl`` (rupees)."""
        import polars as pl

        p, v, t = np.meshgrid(self.moves, self.vols, self.days, indexing="ij")
        return pl.DataFrame({"move": p.ravel(), "vol": v.ravel(), "days": t.ravel(), "pnl": self.pnl.ravel()})


def scenario_grid(
    positions: Sequence[Position] | Columns,
    moves: Sequence[float] | Floats = MOVES,
    vols: Sequence[float] | Floats = VOLS,
    days: Sequence[float] | Floats = DAYS,
    *,
    betas: Mapping[str, float] | None = None,
    unknown_iv: tuple[float, float] = UNKNOWN_IV,
) -> ScenarioGrid:
    """Revalue a book over price moves x vol shifts x days.

    Parameters
    ----------
    positions : sequence of Position, or Columns
        Options and futures of any underlyings; ``exposure.columns`` prepares a book once.
    moves : sequence of float
        Relative moves of every forward, 0.01 for 1 %.
    vols : sequence of float
        Absolute shifts of implied vol, 0.01 for a point; below 0 vol counts as 0.
    days : sequence of float
        Calendar days from now; past its expiry an option is worth its intrinsic value.
    betas : mapping, optional
        How far an underlying moves for each 1.0 of ``moves``; default 1 for all.
    unknown_iv : (low, high)
        Vols between which an option without a price lies, for its worst case.

    Returns
    -------
    ScenarioGrid
        Profit against now in rupees, shape (moves, vols, days).

    Notes
    -----
    A value is that of ``pricing.price`` to the last bit (Black-76 on the position's forward, flat vol of the
    position); quantity x (value - value now) is rounded to 2^-20 rupees, so that the grids of any parts of a
    book add up to that of the whole exactly. One core does 21 x 11 x 5 cells of 1,000 options in the order of
    5 to 10 ms; ``toolkit bench risk`` prints it.

    A position without vol takes the worse of ``unknown_iv`` before and after the move (a mark, where known,
    is its value now); one without a forward takes its bound: a short call or a future has none.

    Raises
    ------
    BadData
        An empty or unusable axis: moves below -1, or numbers that are not finite.
    """
    p, v, t = (_axis(name, axis) for name, axis in (("moves", moves), ("vols", vols), ("days", days)))
    if p.min() < -1.0 or t.min() < 0.0:
        raise BadData(f"moves must be at least -1 and days at least 0, was {p.min():g} and {t.min():g}")
    c = columns(positions)
    beta = np.array([(betas or {}).get(name, 1.0) for name in c.underlyings], np.float64)
    known, option = c.known, c.cp != 0.0
    out = np.zeros((len(p), len(v), len(t)))
    years = t / 365.0
    use = np.flatnonzero(known & option)
    iv = np.where(np.isfinite(c.iv[use]), c.iv[use], 0.0)
    _add(c, use, iv, _now(c, use, iv), beta, p, v, years, out)
    future = np.flatnonzero(known & ~option)
    if len(future):
        value = c.qty[future] * c.forward[future] * beta[future]
        out += rounded(value[:, None] * p, "pnl").sum(axis=0)[:, None, None]
    _worst_case(c, np.flatnonzero(~known), beta, unknown_iv, p, v, years, out)
    unknown = tuple(c.symbols[i] for i in np.flatnonzero(~known))
    return ScenarioGrid(out, p, v, t, unknown)


def position_pnl(
    positions: Sequence[Position] | Columns,
    move: float,
    vol: float,
    days: float,
    *,
    betas: Mapping[str, float] | None = None,
) -> Floats:
    """Profit of each position in one cell, rupees: who makes the worst case. Arguments as :func:`scenario_grid`."""
    c = columns(positions)
    made = np.empty(len(c.cp))
    for i in range(len(made)):
        made[i] = scenario_grid(c.take([i]), (move,), (vol,), (days,), betas=betas).pnl[0, 0, 0]
    return made


def _axis(name: str, values: Sequence[float] | Floats) -> Floats:
    axis = np.ascontiguousarray(values, np.float64)
    if axis.ndim != 1 or not axis.size or not np.isfinite(axis).all():
        raise BadData(f"{name} must be finite numbers, at least one, was {values!r}")
    return axis


def _now(c: Columns, use: npt.NDArray[np.int64], iv: Floats) -> Floats:
    if not len(use):
        return np.empty(0)
    left = np.maximum(c.tte[use], 0.0)
    return np.asarray(pricing.price(c.cp[use], c.forward[use], c.strike[use], left, iv, c.rate[use]))


def _add(
    c: Columns,
    use: npt.NDArray[np.int64],
    iv: Floats,
    base: Floats,
    beta: Floats,
    p: Floats,
    v: Floats,
    years: Floats,
    out: Floats,
) -> None:
    if len(use):
        kernels.grid_values(
            c.cp[use], c.forward[use], c.strike[use], c.tte[use], iv, c.rate[use], c.qty[use], beta[use], base,
            p, v, years, _QUANTA_A_RUPEE, out,
        )  # fmt: skip


def _worst_case(
    c: Columns,
    use: npt.NDArray[np.int64],
    beta: Floats,
    unknown_iv: tuple[float, float],
    p: Floats,
    v: Floats,
    years: Floats,
    out: Floats,
) -> None:
    """Add what cannot be valued at its worst: between two vols where the forward is known, else at its bound."""
    low, high = unknown_iv
    placed = use[np.isfinite(c.forward[use]) & (c.cp[use] != 0.0)]
    if len(placed):
        long = c.qty[placed] > 0.0
        before, after = np.where(long, high, low), np.where(long, low, high)
        base = np.where(np.isfinite(c.mark[placed]), c.mark[placed], _now(c, placed, before))
        _add(c, placed, after, base, beta, p, v, years, out)
    for i in use[~np.isfinite(c.forward[use])]:
        out += _bound(float(c.cp[i]), float(c.qty[i]), float(c.strike[i]), float(c.mark[i]))


def _bound(cp: float, qty: float, strike: float, mark: float) -> float:
    """The most a position can lose wherever its underlying goes, as a profit in rupees."""
    if qty == 0.0:
        return 0.0
    paid = mark if math.isfinite(mark) else math.inf
    if cp > 0.0:
        return -qty * paid if qty > 0.0 else -math.inf
    if cp < 0.0:
        return -qty * min(paid, strike) if qty > 0.0 else qty * (strike - (mark if math.isfinite(mark) else 0.0))
    return -math.inf
