"""One small run through every kernel, so that a first day does not wait for the compiler."""

from __future__ import annotations

import datetime as dt
from typing import Final

import numpy as np
import polars as pl

from toolkit.oi.batch import oi_shift
from toolkit.oi.config import OIConfig
from toolkit.oi.engine import OIShiftEngine
from toolkit.oi.gamma import gex, zero_gamma
from toolkit.oi.grid import cube, cube_metrics
from toolkit.oi.levels import oi_moments, pain_curve
from toolkit.oi.pictures import heatmap
from toolkit.oi.positions import trapped_writers, writer_class
from toolkit.oi.transport import transport_shift, wasserstein_shift
from toolkit.oi.walls import walls

__all__ = ["run_all", "small_chain"]

STRIKES: Final = 9
STEPS: Final = 16
START: Final = dt.datetime(2025, 8, 29, 9, 20, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))


def small_chain() -> pl.DataFrame:
    """A few bursts of one expiry with two-sided quotes."""
    k = 24_000.0 + 50.0 * np.arange(STRIKES)
    t, i, s = (a.ravel() for a in np.indices((STEPS, STRIKES, 2)))
    forward = 24_200.0 + 5.0 * t
    value = np.maximum(np.where(s == 0, 1.0, -1.0) * (forward - k[i]), 0.0) + 40.0
    stamps = pl.Series([START]).dt.convert_time_zone("Asia/Kolkata").new_from_index(0, t.size)
    return pl.DataFrame(
        {
            "ts": stamps + pl.Series(t * 60_000_000).cast(pl.Duration("us")),
            "underlying": pl.Series(["NIFTY"]).new_from_index(0, t.size),
            "expiry": pl.Series([dt.date(2025, 9, 2)]).new_from_index(0, t.size),
            "strike_p": np.rint(k[i] * 100).astype(np.int64),
            "option_type": pl.Series(np.array(["CE", "PE"])[s], dtype=pl.Enum(["CE", "PE"])),
            "token": 1 + 2 * i + s,
            "oi": 75 * (100 + 7 * i * (s + 1) + 3 * t * (i % 3)),
            "volume": 75 * 1000 * (t + 1),
            "lot": pl.Series(np.full(t.size, 75), dtype=pl.Int32),
            "bid": value - 0.05,
            "ask": value + 0.05,
        }
    )


def run_all() -> None:
    """Call every kernel once."""
    frame = small_chain()
    oi_shift(frame)
    OIShiftEngine(OIConfig(burst="quiet")).update(frame)
    heatmap(frame)
    writer_class(frame)
    trapped_writers(frame)
    cube_metrics(cube(frame))
    k = 24_000.0 + 50.0 * np.arange(STRIKES)
    units = np.full(STRIKES, 75)
    iv = np.full(STRIKES, 0.12)
    walls(k, units, 24_200.0)
    oi_moments(k, units)
    pain_curve(k, units, units)
    wasserstein_shift(k, units, units + 75)
    for reach in (None, 1e9):
        transport_shift(k, units, units[::-1].copy() + 75 * np.arange(STRIKES), reach)
    gex(k, units, units, iv, iv, 24_200.0, 0.02)
    zero_gamma(k, units, units, iv, iv, 24_200.0, 0.02)
