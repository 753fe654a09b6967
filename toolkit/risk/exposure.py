"""Positions as risk sees them, and their Greeks by whatever they are grouped by.

Every figure of a position is rounded to a fixed binary quantum before it is summed, so sums are
exact: the groups of any grouping add up to the whole to the last bit. A position without a price
or a forward is unknown: it makes its group's Greeks unknown (null), with bounds for delta beside.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit import pricing
from toolkit.errors import BadData, nearest

if TYPE_CHECKING:
    import polars as pl

__all__ = ["GREEKS", "QUANTA", "Columns", "Position", "columns", "exposures", "position_greeks", "rounded"]

Floats = npt.NDArray[np.float64]

QUANTA: Final = {
    "pnl": 2.0**-20,
    "delta": 2.0**-26,
    "gamma": 2.0**-40,
    "vega": 2.0**-16,
    "theta": 2.0**-16,
    "rho": 2.0**-16,
    "delta_value": 2.0**-16,
}
"""Rounding of one position's figure: rupees to 1e-6, units of delta to 1.5e-8."""

GREEKS: Final = ("delta", "gamma", "vega", "theta", "rho", "delta_value")
GROUPS: Final = ("account", "strategy", "underlying", "expiry", "symbol")


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One position: ``cp`` +1 call, -1 put, 0 future; ``qty`` in units, negative is short.

    ``forward`` of its expiry and ``mark`` in rupees, ``iv`` a fraction; NaN is unknown. ``tte`` in
    years of the caller's clock. An unknown ``iv`` of a marked option is solved from its mark.
    """

    symbol: str
    underlying: str
    cp: int
    qty: int
    strike: float = 0.0
    expiry: dt.date | None = None
    tte: float = 0.0
    forward: float = math.nan
    iv: float = math.nan
    rate: float = 0.0
    mark: float = math.nan
    account: str = ""
    strategy: str = ""


class Columns(NamedTuple):
    """Positions as arrays; ``iv`` is NaN where neither it nor the mark says it."""

    cp: Floats
    qty: Floats
    strike: Floats
    tte: Floats
    forward: Floats
    iv: Floats
    rate: Floats
    mark: Floats
    symbols: tuple[str, ...]
    underlyings: tuple[str, ...]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether a position can be valued."""
        option = self.cp != 0.0
        return np.isfinite(self.forward) & (~option | np.isfinite(self.iv) | (self.tte <= 0.0))

    def take(self, rows: Sequence[int]) -> Columns:
        """The positions of some rows."""
        at = list(rows)
        return Columns(
            self.cp[at],
            self.qty[at],
            self.strike[at],
            self.tte[at],
            self.forward[at],
            self.iv[at],
            self.rate[at],
            self.mark[at],
            tuple(self.symbols[i] for i in at),
            tuple(self.underlyings[i] for i in at),
        )


def columns(positions: Sequence[Position] | Columns) -> Columns:
    """Turn positions into arrays once, for several questions about one book.

    Raises
    ------
    BadData
        A ``cp`` other than 1, -1 and 0, or an option's strike that is not above 0.
    """
    if isinstance(positions, Columns):
        return positions
    rows = [(p.cp, p.qty, p.strike, p.tte, p.forward, p.iv, p.rate, p.mark) for p in positions]
    numbers = np.array(rows, np.float64).reshape(len(rows), 8).T
    cp, qty, strike, tte, forward, iv, rate, mark = (np.ascontiguousarray(column) for column in numbers)
    wrong = ~np.isin(cp, (1.0, -1.0, 0.0)) | ((cp != 0.0) & ~(strike > 0.0))
    if wrong.any():
        p = positions[int(np.argmax(wrong))]
        raise BadData(f"position {p.symbol} must have cp 1, -1 or 0 and a strike, was cp {p.cp} at {p.strike:g}")
    solve = (cp != 0.0) & np.isnan(iv) & np.isfinite(mark) & np.isfinite(forward) & (tte > 0.0)
    if solve.any():
        with np.errstate(invalid="ignore"):
            at = np.flatnonzero(solve)
            iv[at] = pricing.implied_vol(cp[at], mark[at], forward[at], strike[at], tte[at], rate[at])
    return Columns(
        cp,
        qty,
        strike,
        tte,
        forward,
        iv,
        rate,
        mark,
        tuple(p.symbol for p in positions),
        tuple(p.underlying for p in positions),
    )


def rounded(values: Floats, name: str) -> Floats:
    """Round to the quantum of a figure, so that sums of it are exact in any order."""
    quantum = QUANTA[name]
    return np.asarray(np.round(values / quantum) * quantum)


def position_greeks(positions: Sequence[Position] | Columns) -> dict[str, Floats]:
    """Greeks of each position, quantity times ``pricing.greeks``, rounded; NaN where unknown.

    ``delta`` in units of the underlying, by the forward; ``gamma`` a rupee; ``vega`` for 1.00 of vol,
    ``theta`` a year, ``rho`` for 1.00, in rupees; ``delta_value`` = delta x forward. A future's delta is
    its quantity.
    """
    c = columns(positions)
    known, option = c.known, c.cp != 0.0
    use = known & option
    made = {name: np.where(known & ~option, 0.0, math.nan) for name in GREEKS}
    made["delta"] = np.where(known & ~option, c.qty, math.nan)
    if use.any():
        iv = np.where(np.isfinite(c.iv[use]), c.iv[use], 0.0)
        found = pricing.greeks(c.cp[use], c.forward[use], c.strike[use], np.maximum(c.tte[use], 0.0), iv, c.rate[use])
        for name in ("delta", "gamma", "vega", "theta", "rho"):
            made[name][use] = c.qty[use] * getattr(found, name)
    made["delta_value"] = made["delta"] * c.forward
    return {name: rounded(made[name], name) for name in GREEKS}


def exposures(positions: Sequence[Position], by: Sequence[str] | str = ("underlying",)) -> pl.DataFrame:
    """Greeks by group.

    Parameters
    ----------
    positions : sequence of Position
    by : str or sequence of str
        Any of ``account``, ``strategy``, ``underlying``, ``expiry``, ``symbol``; empty: the whole book.

    Returns
    -------
    polars.DataFrame
        One row a group, sorted: the group's columns, ``positions``, ``unknown`` (positions that could not be
        valued), the Greeks (null where any is unknown) and ``delta_low``, ``delta_high``: delta with every
        unknown option at the worse end of what it can have.
    """
    import polars as pl

    names = [by] if isinstance(by, str) else list(by)
    for name in names:
        if name not in GROUPS:
            raise BadData(f"positions are grouped by {', '.join(GROUPS)}, was {name!r}{nearest(name, GROUPS)}")
    c = columns(positions)
    greeks = position_greeks(c)
    low, high = _delta_bounds(c, greeks["delta"])
    frame = pl.DataFrame(
        {
            **{name: [getattr(p, name) for p in positions] for name in names},
            "unknown": ~c.known,
            **greeks,
            "delta_low": low,
            "delta_high": high,
        },
        schema_overrides={"expiry": pl.Date} if "expiry" in names else {},
    )
    whole = [
        pl.len().alias("positions"),
        pl.col("unknown").sum(),
        *(pl.when(pl.col("unknown").any()).then(None).otherwise(pl.col(name).sum()).alias(name) for name in GREEKS),
        pl.col("delta_low").sum(),
        pl.col("delta_high").sum(),
    ]
    if not names:
        return frame.select(whole)
    return frame.group_by(names).agg(whole).sort(names)


def _delta_bounds(c: Columns, delta: Floats) -> tuple[Floats, Floats]:
    """Least and largest delta of each position: an unknown call has 0 to 1, a put -1 to 0, a future its quantity."""
    unknown = ~c.known
    end = np.where(c.cp == 0.0, 1.0, c.cp) * c.qty
    start = np.where(c.cp == 0.0, end, 0.0)
    low = np.where(unknown, np.minimum(start, end), delta)
    high = np.where(unknown, np.maximum(start, end), delta)
    return rounded(low, "delta"), rounded(high, "delta")
