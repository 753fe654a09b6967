"""The levels of one expiry as its bursts come: arrays in, a row of numbers out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from toolkit.errors import BadData
from toolkit.oi.arrays import as_floats, as_strikes, as_units
from toolkit.oi.columns import LEVELS
from toolkit.oi.config import OIConfig
from toolkit.oi.core import Bursts, ExpiryCore
from toolkit.oi.measures import fill_prices

__all__ = ["LevelTracker"]


class LevelTracker:
    """Levels of one (underlying, expiry), with wall hysteresis and the change since the base.

    Parameters
    ----------
    config : OIConfig, optional
    """

    def __init__(self, config: OIConfig | None = None) -> None:
        self.config = OIConfig() if config is None else config
        self._core = ExpiryCore.new(self.config)

    def update(
        self,
        ts_ns: int,
        strikes: Any,
        ce_oi: Any,
        pe_oi: Any,
        ce_volume: Any,
        pe_volume: Any,
        spot: float,
        forward: float,
        *,
        ce_price: Any = None,
        pe_price: Any = None,
        ce_iv: Any = None,
        pe_iv: Any = None,
        tte: float = math.nan,
    ) -> dict[str, float]:
        """Take one burst; O(n log n) in the strikes.

        Parameters
        ----------
        ts_ns : int
            Exchange stamp, nanoseconds UTC; later than the one before.
        strikes : array_like, shape (n,)
            Ascending, points.
        ce_oi, pe_oi, ce_volume, pe_volume : array_like, shape (n,)
            Units; NaN is unknown.
        spot, forward : float
            Points; NaN is unknown.
        ce_price, pe_price, ce_iv, pe_iv, tte : optional
            Rupees, fractions and years, for straddle, skew, gamma and delta figures; without them these are NaN.

        Returns
        -------
        dict
            The level columns after ``expiry``; NaN is unknown.

        Raises
        ------
        BadData
            For a stamp that is not later than the one before, or arrays that are not what they must be.
        """
        if ts_ns <= self._core.last_ts_ns:
            raise BadData(f"stamps must advance, was {ts_ns} after {self._core.last_ts_ns}; drop repeats first")
        k = as_strikes(strikes)
        n = k.size
        paise = np.rint(k * 100.0).astype(np.int64)
        self._core.grow(paise)
        at = np.searchsorted(self._core.strikes_p, paise)
        width = self._core.strikes_p.size
        oi = np.full((1, 2, width), -1, dtype=np.int64)
        volume = np.full((1, 2, width), -1, dtype=np.int64)
        oi[0, 0, at] = as_units(ce_oi, n, "ce_oi")
        oi[0, 1, at] = as_units(pe_oi, n, "pe_oi")
        volume[0, 0, at] = as_units(ce_volume, n, "ce_volume")
        volume[0, 1, at] = as_units(pe_volume, n, "pe_volume")
        bursts = Bursts(
            np.array([ts_ns], dtype=np.int64), oi, volume, np.array([float(spot)]), np.array([float(forward)])
        )
        rows = self._core.run(bursts)
        sides = [(ce_price, "ce_price"), (pe_price, "pe_price"), (ce_iv, "ce_iv"), (pe_iv, "pe_iv")]
        wide = np.full((4, width), np.nan)
        for row, (values, name) in zip(wide, sides, strict=True):
            row[at] = as_floats(values, n, name)
        years = np.array([float(tte)])
        fill_prices(self._core, bursts.ts_ns, rows, wide[None, :2], wide[None, 2:], years, self.config)
        return dict(zip(LEVELS, rows.levels[0].tolist(), strict=True))
