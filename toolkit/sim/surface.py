"""The price model of the synthetic sessions: business clock, volatility surface, quotes.

Total variance is a SSVI surface (Gatheral and Jacquier 2014, equation 4.1) over forward
variance on a business clock. Its power law with exponent 1/2 and ``eta * (1 + |rho|) <= 2``
is free of butterfly arbitrage, and at-the-money variance that grows with time is free of
calendar arbitrage; quotes add only their rounding to half a tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "INTRADAY_SHARE",
    "SESSIONS_A_YEAR",
    "VolCurve",
    "business_time",
    "quote",
    "session_share",
    "total_variance",
]

Floats = npt.NDArray[np.float64]

SESSIONS_A_YEAR: Final = 252.0
INTRADAY_SHARE: Final = 0.75
"""Share of a trading day's variance that falls between open and close; the rest is the gap."""

_OPEN_WEIGHT: Final = 1.6
_OPEN_SCALE: Final = 0.07
_CLOSE_WEIGHT: Final = 0.9
_CLOSE_SCALE: Final = 0.09


@dataclass(frozen=True, slots=True)
class VolCurve:
    """Volatility of one underlying: how its variance spreads over time and strike.

    ``long_run`` is a vol per square root of a business year, ``reversion`` per business
    year, ``rho`` and ``eta`` the SSVI skew and curvature.
    """

    long_run: float
    reversion: float
    rho: float
    eta: float


def session_share(fraction: npt.ArrayLike) -> Floats:
    """Share of the session's activity done by ``fraction`` of its length, in a U shape.

    >>> [round(float(v), 3) for v in session_share([0.0, 0.1, 0.5, 0.9, 1.0])]
    [0.0, 0.155, 0.513, 0.871, 1.0]
    """
    x = np.clip(np.asarray(fraction, dtype=np.float64), 0.0, 1.0)
    return (_activity(x) - _activity(np.float64(0.0))) / (_activity(np.float64(1.0)) - _activity(np.float64(0.0)))


def _activity(x: Floats | np.float64) -> Floats:
    early = _OPEN_WEIGHT * _OPEN_SCALE * (1.0 - np.exp(-x / _OPEN_SCALE))
    late = _CLOSE_WEIGHT * _CLOSE_SCALE * np.exp((x - 1.0) / _CLOSE_SCALE)
    return np.asarray(x + early + late, dtype=np.float64)


def business_time(fraction: npt.ArrayLike, sessions_after: npt.ArrayLike) -> Floats:
    """Business years left: the rest of today's session and whole sessions after it.

    Parameters
    ----------
    fraction : array_like
        Fraction of today's session gone, in [0, 1].
    sessions_after : array_like
        Sessions after today up to and including the expiry, 0 on expiry day.
    """
    rest = (1.0 - session_share(fraction)) * INTRADAY_SHARE
    return np.asarray((rest + np.asarray(sessions_after, dtype=np.float64)) / SESSIONS_A_YEAR, dtype=np.float64)


def total_variance(log_moneyness: Floats, years: Floats, vol: npt.ArrayLike, curve: VolCurve) -> Floats:
    """Black total variance at ``ln(strike / forward)``.

    Parameters
    ----------
    log_moneyness, years : ndarray
        Broadcast against each other; ``years`` in business years.
    vol : array_like
        Present short-term vol per square root of a business year.
    curve : VolCurve
        Long-run level, speed, skew and curvature.

    Returns
    -------
    ndarray
        Total variance, 0 where no time is left.
    """
    long_var = curve.long_run**2
    excess = np.asarray(vol, dtype=np.float64) ** 2 - long_var
    theta = long_var * years + excess * (-np.expm1(-curve.reversion * years)) / curve.reversion
    safe = np.maximum(theta, 1e-12)
    phi = curve.eta / np.sqrt(safe * (1.0 + safe))
    tilt = phi * log_moneyness
    variance = 0.5 * safe * (1.0 + curve.rho * tilt + np.sqrt((tilt + curve.rho) ** 2 + 1.0 - curve.rho**2))
    return np.asarray(np.where(theta > 1e-12, variance, 0.0), dtype=np.float64)


def quote(fair: Floats, half_spread: Floats, tick: float) -> tuple[Floats, Floats]:
    """Turn fair values into bid and ask on the tick grid, bid below ask, bid at least one tick.

    The mid is the fair value rounded to half a tick, so that quotes disturb parity and
    convexity by no more than rounding does.

    >>> bid, ask = quote(np.array([100.013, 0.001]), np.array([0.1, 0.02]), 0.05)
    >>> bid.round(2).tolist(), ask.round(2).tolist()
    ([99.9, 0.05], [100.15, 0.1])
    """
    halves = np.maximum(np.rint(fair / tick * 2.0), 3.0).astype(np.int64)
    width = np.maximum(np.rint(half_spread / tick * 2.0), 1.0).astype(np.int64)
    width += (halves + width) % 2
    width = np.minimum(width, halves - 2)
    paise = round(tick * 100)
    bid, ask = (halves - width) // 2, (halves + width) // 2
    return bid * paise / 100.0, ask * paise / 100.0
