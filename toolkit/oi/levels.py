"""Levels of one chain at one moment: put-call ratio, max pain, moments of the OI over strikes.

Arrays in, named tuples out. ``strikes`` ascend in points, OI is in units, unknown is NaN.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from toolkit.oi.arrays import Floats, Ints, as_strikes, as_units
from toolkit.oi.jit import kernel

__all__ = ["MaxPain", "Moments", "max_pain", "oi_moments", "pain_curve", "pcr"]


class MaxPain(NamedTuple):
    """Least total pay-out: ``[lo, hi]`` is the whole tie interval, ``strike`` the one in it nearest the forward."""

    lo: float
    hi: float
    strike: float


class Moments(NamedTuple):
    """Where one side's OI lies: units, points, and shares of 1."""

    total: int
    centroid: float
    spread: float
    q10: float
    q50: float
    q90: float
    hhi: float
    top3_share: float


def pcr(ce_oi: Any, pe_oi: Any) -> float:
    """Divide put by call open interest; works on volumes too.

    Parameters
    ----------
    ce_oi, pe_oi : array_like of int, shape (n,)
        Units (or contracts: a ratio has none). NaN entries are unknown and left out.

    Returns
    -------
    float
        NaN when the calls sum to zero: unknown, never 0 or infinity.

    Examples
    --------
    >>> pcr([200, 100], [150, 0])
    0.5
    """
    ce, pe = _pair(ce_oi, pe_oi)
    calls = int(ce[ce > 0].sum())
    return int(pe[pe > 0].sum()) / calls if calls else math.nan


def max_pain(strikes: Any, ce_oi: Any, pe_oi: Any, forward: float = math.nan) -> MaxPain:
    """Find the settlement at which all options together pay least.

    The minimum lies at the smallest strike whose cumulative call plus put OI reaches the total put OI; when it
    meets it exactly the pain is flat up to the next strike that holds OI, and the interval is published.

    Parameters
    ----------
    strikes : array_like, shape (n,)
        Ascending, points.
    ce_oi, pe_oi : array_like of int, shape (n,)
        Units.
    forward : float
        Chooses the strike within a tie interval; unknown gives its lower end.

    Returns
    -------
    MaxPain
        All NaN when there is no OI.

    Examples
    --------
    >>> max_pain([100.0, 110.0, 120.0], [5, 5, 0], [0, 0, 10], forward=118.0)
    MaxPain(lo=110.0, hi=120.0, strike=120.0)
    """
    k = as_strikes(strikes)
    lo, hi, at = max_pain_kernel(k, as_units(ce_oi, k.size, "ce_oi"), as_units(pe_oi, k.size, "pe_oi"), float(forward))
    return MaxPain(lo, hi, at)


def pain_curve(strikes: Any, ce_oi: Any, pe_oi: Any) -> Floats:
    """Sum what all options would pay if the underlying settled at each strike.

    Parameters
    ----------
    strikes : array_like, shape (n,)
        Ascending, points.
    ce_oi, pe_oi : array_like of int, shape (n,)
        Units: the lot is already in them.

    Returns
    -------
    ndarray, shape (n,)
        Rupees, by exact prefix sums in O(n).
    """
    k = as_strikes(strikes)
    return pain_kernel(k, as_units(ce_oi, k.size, "ce_oi"), as_units(pe_oi, k.size, "pe_oi"))


def oi_moments(strikes: Any, oi: Any, forward: float = math.nan, window: float | None = None) -> Moments:
    """Describe where one side's OI lies.

    Parameters
    ----------
    strikes : array_like, shape (n,)
        Ascending, points.
    oi : array_like of int, shape (n,)
        Units; NaN entries are left out.
    forward, window : float
        With both, only strikes within ``forward * (1 +- window)`` count: deep hedges drag the plain mean.

    Returns
    -------
    Moments
        ``spread`` is the OI-weighted standard deviation; ``q10 q50 q90`` the weighted inverse CDF (the smallest
        strike that reaches the share); ``hhi`` the sum of squared shares. NaN without OI.
    """
    k = as_strikes(strikes)
    units = as_units(oi, k.size)
    half = -1.0
    if window is not None and math.isfinite(forward):
        half = window * forward
    out = np.empty(7)
    total = moments_kernel(k, units, float(forward), half, out)
    return Moments(int(total), *(float(v) for v in out))


def _pair(ce_oi: Any, pe_oi: Any) -> tuple[Ints, Ints]:
    ce, pe = np.asarray(ce_oi), np.asarray(pe_oi)
    return as_units(ce.ravel(), ce.size, "ce_oi"), as_units(pe.ravel(), pe.size, "pe_oi")


@kernel
def max_pain_kernel(k: Floats, ce: Ints, pe: Ints, forward: float) -> tuple[float, float, float]:
    """Kernel of :func:`max_pain`; a negative figure is unknown and counts for nothing."""
    n = k.size
    puts = 0
    total = 0
    for i in range(n):
        if pe[i] > 0:
            puts += pe[i]
        total += max(ce[i], 0) + max(pe[i], 0)
    if total == 0:
        return math.nan, math.nan, math.nan
    cum = 0
    lo = n - 1
    for i in range(n):
        cum += max(ce[i], 0) + max(pe[i], 0)
        if cum >= puts:
            lo = i
            break
    hi = lo
    if cum == puts:
        while hi < n - 1:
            hi += 1
            if max(ce[hi], 0) + max(pe[hi], 0) > 0:
                break
    at = lo
    if not math.isnan(forward):
        for i in range(lo + 1, hi + 1):
            if abs(k[i] - forward) < abs(k[at] - forward):
                at = i
    return k[lo], k[hi], k[at]


@kernel
def pain_kernel(k: Floats, ce: Ints, pe: Ints) -> Floats:
    """Kernel of :func:`pain_curve`."""
    n = k.size
    out = np.zeros(n)
    calls = 0
    paid = 0.0
    for i in range(1, n):
        calls += max(ce[i - 1], 0)
        paid += calls * (k[i] - k[i - 1])
        out[i] = paid
    puts = 0
    paid = 0.0
    for i in range(n - 2, -1, -1):
        puts += max(pe[i + 1], 0)
        paid += puts * (k[i + 1] - k[i])
        out[i] += paid
    return out


@kernel
def moments_kernel(k: Floats, oi: Ints, forward: float, half: float, out: Floats) -> int:
    """Fill centroid, spread, q10, q50, q90, hhi, top3; return the total. ``half`` < 0 means no window."""
    n = k.size
    total = 0
    work = 0.0
    a = 0
    b = 0
    c = 0
    for i in range(n):
        v = oi[i]
        if v <= 0 or (half >= 0.0 and abs(k[i] - forward) > half):
            continue
        total += v
        work += v * k[i]
        if v > a:
            a, b, c = v, a, b
        elif v > b:
            b, c = v, b
        elif v > c:
            c = v
    if total == 0:
        out[:] = math.nan
        return 0
    mean = work / total
    var = 0.0
    squares = 0.0
    cum = 0
    out[2:5] = math.nan
    for i in range(n):
        v = oi[i]
        if v <= 0 or (half >= 0.0 and abs(k[i] - forward) > half):
            continue
        var += v * (k[i] - mean) ** 2
        squares += (v / total) ** 2
        before = cum
        cum += v
        if 10 * before < total <= 10 * cum:
            out[2] = k[i]
        if 2 * before < total <= 2 * cum:
            out[3] = k[i]
        if 10 * before < 9 * total <= 10 * cum:
            out[4] = k[i]
    out[0] = mean
    out[1] = math.sqrt(var / total)
    out[5] = squares
    out[6] = (a + b + c) / total
    return total
