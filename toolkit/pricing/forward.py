"""One forward for an expiry, from put-call parity over its liquid strikes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from toolkit.pricing.arrays import Floats

__all__ = ["ParityForward", "parity_forward"]

_STRIKES = 12


class ParityForward(NamedTuple):
    """A forward, its standard error and the number of strikes it rests on."""

    forward: float
    error: float
    strikes: int


def parity_forward(
    strike: Floats,
    call_bid: Floats,
    call_ask: Floats,
    put_bid: Floats,
    put_ask: Floats,
    df: float = 1.0,
) -> ParityForward:
    """Estimate the forward robustly from two-sided quotes.

    Each strike gives ``strike + (call mid - put mid) / df`` with an error of half the sum of both
    spreads. Strikes are ranked by that error, the best twelve stay, and the estimate is their median
    weighted by 1 / error, so that one wild quote cannot move it.

    Parameters
    ----------
    strike, call_bid, call_ask, put_bid, put_ask : ndarray, shape (n,)
        Rupees; a missing quote is NaN or 0.
    df : float
        Discount factor.

    Returns
    -------
    ParityForward
        ``forward`` and ``error`` NaN and ``strikes`` 0 where no strike has four sound quotes.
        ``error`` is 1.4826 times the weighted median absolute deviation over the root of the count,
        and at least the quotes' own error over that root.
    """
    quotes = [np.asarray(q, np.float64) for q in (call_bid, call_ask, put_bid, put_ask)]
    cb, ca, pb, pa = quotes
    with np.errstate(invalid="ignore"):
        sound = (cb > 0) & (ca >= cb) & (pb > 0) & (pa >= pb)
    if not sound.any():
        return ParityForward(np.nan, np.nan, 0)
    k = np.asarray(strike, np.float64)[sound]
    cb, ca, pb, pa = (q[sound] for q in quotes)
    implied = k + ((cb + ca) - (pb + pa)) / (2.0 * df)
    half = np.maximum((ca - cb + pa - pb) / (2.0 * df), 1e-9 * k)
    best = np.lexsort((k, half))[:_STRIKES]
    implied, half = implied[best], half[best]
    forward = _weighted_median(implied, 1.0 / half)
    spread = 1.4826 * _weighted_median(np.abs(implied - forward), 1.0 / half)
    root = np.sqrt(len(implied))
    return ParityForward(forward, float(max(spread, np.median(half)) / root), len(implied))


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    at = np.searchsorted(total, 0.5 * total[-1])
    chosen = values[order]
    if total[at] == 0.5 * total[-1] and at + 1 < len(chosen):
        return float(0.5 * (chosen[at] + chosen[at + 1]))
    return float(chosen[at])
