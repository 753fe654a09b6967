"""Stamps, bursts and the path of spot and volatility through one synthetic session.

Index paths share a market factor: the same seed and date give every underlying the same
common shocks, so that NIFTY and SENSEX move together as they do.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from toolkit.sim.surface import INTRADAY_SHARE, SESSIONS_A_YEAR, session_share

__all__ = ["DayPath", "PathModel", "bridge", "burst_times", "day_path", "receipt_delays", "snapshot_stamps", "stream"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SECOND: Final = 1_000_000_000

_GAPS_S: Final = np.array([30, 60, 90, 120])
_GAP_ODDS: Final = np.array([0.05, 0.70, 0.22, 0.03])
_BURST_GAPS_S: Final = np.array([45.0, 60.0, 120.0, 160.0, 210.0, 275.0, 330.0])
_BURST_RANKS: Final = np.array([0.0, 0.05, 0.25, 0.50, 0.75, 0.95, 1.0])


@dataclass(frozen=True, slots=True)
class PathModel:
    """How one index moves.

    ``beta_share`` is the share of its variance that is the market's, ``realized`` the
    ratio of realized to implied vol, ``vol_of_vol`` and ``vol_reversion`` per business
    year, ``leverage`` the correlation of vol with the index, ``jumps`` expected a day,
    ``jump_size`` their scale as a fraction of the index.
    """

    beta_share: float = 0.95
    realized: float = 0.9
    vol_of_vol: float = 1.3
    vol_reversion: float = 9.0
    leverage: float = -0.65
    jumps: float = 0.3
    jump_size: float = 0.0035


@dataclass(frozen=True, slots=True)
class DayPath:
    """Spot and vol at the stamps of one day, with the range of each interval.

    ``spot`` is the value that options are priced on; ``fraction`` of the session's
    variance time gone, ``high`` and ``low`` since the stamp before.
    """

    spot: Floats
    vol: Floats
    fraction: Floats
    high: Floats
    low: Floats
    open: float
    jump_at: Ints


def stream(seed: int, name: str, day: dt.date, purpose: int) -> np.random.Generator:
    """Give the random stream of one purpose on one day, independent of every other.

    Parameters
    ----------
    seed : int
        The user's seed, not negative.
    name : str
        Underlying, or a name for what several share.
    day : date
        The session.
    purpose : int
        Which of the day's streams.
    """
    key = [seed, int.from_bytes(name.encode(), "big"), day.toordinal(), purpose]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def snapshot_stamps(rng: np.random.Generator, open_ns: int, close_ns: int) -> Ints:
    """Draw the exchange stamps of a day's snapshots: about a minute apart, inside the session."""
    most = (close_ns - open_ns) // (30 * SECOND) + 1
    first = int(rng.integers(2, 30))
    gaps = rng.choice(_GAPS_S, size=most, p=_GAP_ODDS)
    seconds = first + np.concatenate([[0], np.cumsum(gaps)])
    stamps = open_ns + seconds.astype(np.int64) * SECOND
    return stamps[stamps < close_ns]


def burst_times(rng: np.random.Generator, open_ns: int, close_ns: int) -> Ints:
    """Draw the instants at which the exchange refreshes open interest of the whole chain.

    The gaps follow the 5, 25, 50, 75 and 95 percentiles measured on a recorded day.
    """
    most = int((close_ns - open_ns) // (45 * SECOND)) + 1
    gaps = np.rint(np.interp(rng.random(most), _BURST_RANKS, _BURST_GAPS_S)).astype(np.int64)
    times = open_ns + np.cumsum(gaps) * SECOND
    return times[times < close_ns]


def receipt_delays(rng: np.random.Generator, count: int) -> Ints:
    """Draw feed delays in ns: 0.9 s at least, 1.4 s median, a thin tail up to 6 s; whole milliseconds."""
    millis = 900.0 + np.minimum(rng.lognormal(6.2, 0.6, count), 5100.0)
    return np.rint(millis).astype(np.int64) * 1_000_000


def day_path(
    common: np.random.Generator,
    own: np.random.Generator,
    model: PathModel,
    fraction: Floats,
    start: tuple[float, float],
    long_run: float,
) -> DayPath:
    """Walk spot and vol through a session.

    Parameters
    ----------
    common, own : Generator
        The market's shocks and the index's own.
    model : PathModel
        How the index moves.
    fraction : ndarray
        Fraction of the session's length gone at each stamp; spot stands still from 1 on.
    start : tuple of float
        Previous close and previous vol.
    long_run : float
        Vol to which vol reverts.

    Returns
    -------
    DayPath
        One element a stamp.
    """
    count = len(fraction)
    market, single = common.standard_normal(count + 1), own.standard_normal(count + 1)
    shock = np.sqrt(model.beta_share) * market + np.sqrt(1.0 - model.beta_share) * single
    vol_shock = common.standard_normal(count)
    years = np.diff(session_share(fraction), prepend=0.0) * INTRADAY_SHARE / SESSIONS_A_YEAR
    jump, jump_at = _jumps(common, model, fraction)
    opening, level = _gap(model, shock[-1], start)
    spot, vol = np.empty(count), np.empty(count)
    last = opening
    for i in range(count):
        step = model.realized * level * np.sqrt(years[i]) * shock[i] + jump[i]
        last *= np.exp(step)
        turn = model.leverage * shock[i] + np.sqrt(1.0 - model.leverage**2) * vol_shock[i]
        pull = -model.vol_reversion * np.log(level / long_run) * years[i]
        level *= np.exp(pull + model.vol_of_vol * np.sqrt(years[i]) * turn - 6.0 * jump[i])
        level = min(max(level, 0.4 * long_run), 3.0 * long_run)
        spot[i], vol[i] = last, level
    high, low = _range(own, model, spot, opening, vol * np.sqrt(years))
    return DayPath(spot, vol, fraction, high, low, float(opening), jump_at)


def _gap(model: PathModel, shock: float, start: tuple[float, float]) -> tuple[float, float]:
    close, vol = start
    overnight = vol * np.sqrt((1.0 - INTRADAY_SHARE) / SESSIONS_A_YEAR) * shock
    level = vol * np.exp(2.0 * model.leverage * overnight)
    return float(close * np.exp(overnight)), float(level)


def _jumps(rng: np.random.Generator, model: PathModel, fraction: Floats) -> tuple[Floats, Ints]:
    count = len(fraction)
    number = int(rng.poisson(model.jumps))
    inside = np.flatnonzero((fraction > 0.03) & (fraction < 0.97))
    at = np.sort(rng.choice(inside, size=min(number, len(inside)), replace=False)).astype(np.int64)
    jump = np.zeros(count)
    jump[at] = np.where(rng.random(len(at)) < 0.55, -1.0, 1.0) * model.jump_size * (0.7 + rng.exponential(0.5, len(at)))
    return jump, at


def _range(
    rng: np.random.Generator, model: PathModel, spot: Floats, opening: float, scale: Floats
) -> tuple[Floats, Floats]:
    """Highest and lowest value of a Brownian bridge between the stamps, drawn exactly."""
    before = np.concatenate([[opening], spot[:-1]])
    variance = (model.realized * scale * before) ** 2
    reach_up, reach_down = rng.exponential(1.0, len(spot)), rng.exponential(1.0, len(spot))
    span = (spot - before) ** 2
    high = 0.5 * (before + spot + np.sqrt(span + 2.0 * variance * reach_up))
    low = 0.5 * (before + spot - np.sqrt(span + 2.0 * variance * reach_down))
    return high, low


def bridge(rng: np.random.Generator, start: float, end: float, steps: int, scale: float) -> Floats:
    """Draw a Brownian bridge from ``start`` to ``end``.

    Parameters
    ----------
    rng : Generator
        Random stream.
    start, end : float
        Value before the first step and at the last.
    steps : int
        Number of values to give, the last of them ``end``.
    scale : float
        Standard deviation of the unpinned walk over all steps.
    """
    walk = np.cumsum(rng.standard_normal(steps)) * (scale / np.sqrt(steps))
    ramp = np.arange(1, steps + 1) / steps
    path = start + walk + ramp * (end - start - walk[-1])
    path[-1] = end
    return np.asarray(path, dtype=np.float64)
