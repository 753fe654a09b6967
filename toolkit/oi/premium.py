"""Measures of premium: straddle, skew, and the quadrants of price and open interest."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.oi.arrays import Floats, Ints, as_floats, as_strikes
from toolkit.oi.jit import kernel

__all__ = ["Skew", "Straddle", "buildup", "skew", "straddle"]

QUADRANTS = ("long_buildup", "short_buildup", "long_unwinding", "short_covering")


class Straddle(NamedTuple):
    """At the money: ``price`` in rupees interpolated to the forward, the strike nearest it, percent of the forward."""

    price: float
    strike: float
    percent: float


class Skew(NamedTuple):
    """``risk_reversal`` IV(25d put) - IV(25d call), the at-the-money level (fractions), and dIV / d ln K."""

    risk_reversal: float
    atm_iv: float
    slope: float


def straddle(strikes: Any, ce_price: Any, pe_price: Any, forward: float) -> Straddle:
    """Price the at-the-money straddle.

    Interpolated linearly between the two strikes around the forward, so that it does not jump when the nearest
    strike changes. Under a normal law one standard deviation to expiry is about 1.25 times it.

    Parameters
    ----------
    strikes, ce_price, pe_price : array_like, shape (n,)
        Points; rupees, NaN where unknown.
    forward : float
        Points, not the spot.

    Returns
    -------
    Straddle
        NaN without a forward or without both prices at the strikes next to it; the price is not extrapolated.
    """
    k = as_strikes(strikes)
    n = k.size
    price, at = straddle_kernel(
        k, as_floats(ce_price, n, "ce_price"), as_floats(pe_price, n, "pe_price"), float(forward)
    )
    return Straddle(price, at, 100.0 * price / forward if forward else math.nan)


def skew(strikes: Any, ce_iv: Any, pe_iv: Any, forward: float, tte: float) -> Skew:
    """Measure the smile: 25-delta risk reversal, at-the-money level, slope in log-moneyness.

    Parameters
    ----------
    strikes, ce_iv, pe_iv : array_like, shape (n,)
        Points; fractions, NaN where unknown.
    forward, tte : float
        Points; ACT/365 years.

    Returns
    -------
    Skew
        Interpolated in delta; NaN where the quotes do not reach 25 delta: nothing is extrapolated.
    """
    k = as_strikes(strikes)
    n = k.size
    return Skew(*skew_kernel(k, as_floats(ce_iv, n, "ce_iv"), as_floats(pe_iv, n, "pe_iv"), float(forward), float(tte)))


def buildup(
    price_before: Any,
    price_after: Any,
    oi_before: Any,
    oi_after: Any,
    price_band: float = 0.0005,
    oi_band: float = 0.001,
) -> npt.NDArray[np.object_]:
    """Name the quadrant of price change and OI change.

    Parameters
    ----------
    price_before, price_after, oi_before, oi_after : array_like, broadcast together
        Rupees (settlement or matched prices); units. NaN is unknown.
    price_band, oi_band : float
        Dead bands as fractions of the earlier figure; inside either the class is "neutral".

    Returns
    -------
    ndarray of object
        "long_buildup" (price up, OI up), "short_buildup" (down, up), "long_unwinding" (down, down),
        "short_covering" (up, down), "neutral", or None where a figure is unknown or the earlier price is not
        above zero.

    Examples
    --------
    >>> buildup([100.0, 100.0], [102.0, 99.0], [1000, 1000], [1200, 900]).tolist()
    ['long_buildup', 'long_unwinding']
    """
    arrays = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (price_before, price_after, oi_before, oi_after))
    )
    p0, p1, o0, o1 = arrays
    known = np.isfinite(p0) & np.isfinite(p1) & np.isfinite(o0) & np.isfinite(o1) & (p0 > 0) & (o0 >= 0)
    dp = np.where(known, p1 - p0, 0.0)
    do = np.where(known, o1 - o0, 0.0)
    flat = (np.abs(dp) <= price_band * np.where(known, p0, 1.0)) | (np.abs(do) <= oi_band * np.where(known, o0, 1.0))
    names = np.array([*QUADRANTS, "neutral", None], dtype=object)
    quadrant = np.where(do > 0, np.where(dp > 0, 0, 1), np.where(dp > 0, 3, 2))
    return np.asarray(names[np.where(~known, 5, np.where(flat, 4, quadrant))])


@kernel
def straddle_kernel(k: Floats, ce: Floats, pe: Floats, forward: float) -> tuple[float, float]:
    """Return (interpolated price, strike nearest the forward)."""
    n = k.size
    if math.isnan(forward) or n == 0:
        return math.nan, math.nan
    right = 0
    while right < n and k[right] < forward:
        right += 1
    if right == n:
        return math.nan, k[n - 1]
    if k[right] == forward:
        return ce[right] + pe[right], k[right]
    if right == 0:
        return math.nan, k[0]
    left = right - 1
    nearest = k[left] if forward - k[left] <= k[right] - forward else k[right]
    w = (forward - k[left]) / (k[right] - k[left])
    return (1.0 - w) * (ce[left] + pe[left]) + w * (ce[right] + pe[right]), nearest


@kernel
def skew_kernel(k: Floats, civ: Floats, piv: Floats, forward: float, tte: float) -> tuple[float, float, float]:
    """Return (risk reversal, at-the-money volatility, slope in log-moneyness)."""
    if not (tte > 0.0 and forward > 0.0) or k.size == 0:
        return math.nan, math.nan, math.nan
    put = at_delta(k, piv, forward, tte, -0.25)
    call = at_delta(k, civ, forward, tte, 0.25)
    right = 0
    while right < k.size and k[right] < forward:
        right += 1
    if right == k.size or (right == 0 and k[0] != forward):
        return put - call, math.nan, math.nan
    if right == 0:
        right = 1
    if right >= k.size:
        return put - call, 0.5 * (civ[0] + piv[0]), math.nan
    left = right - 1
    low = 0.5 * (civ[left] + piv[left])
    high = 0.5 * (civ[right] + piv[right])
    w = (forward - k[left]) / (k[right] - k[left])
    return put - call, (1.0 - w) * low + w * high, (high - low) / math.log(k[right] / k[left])


@kernel
def at_delta(k: Floats, iv: Floats, forward: float, tte: float, delta: float) -> float:
    """Volatility where the option's delta is ``delta``, linear between the two out-of-the-money quotes around it."""
    n = k.size
    root = math.sqrt(tte)
    had = False
    d0 = 0.0
    v0 = 0.0
    for j in range(n):
        i = j if delta > 0 else n - 1 - j
        if not iv[i] > 0.0 or (delta > 0 and k[i] < forward) or (delta < 0 and k[i] > forward):
            continue
        sd = iv[i] * root
        d1 = math.log(forward / k[i]) / sd + 0.5 * sd
        d = 0.5 * math.erfc(-d1 / math.sqrt(2.0))
        if delta < 0:
            d = 1.0 - d
        if had and d <= abs(delta) <= d0:
            w = (d0 - abs(delta)) / (d0 - d) if d0 > d else 0.0
            return v0 + w * (iv[i] - v0)
        had = True
        d0 = d
        v0 = iv[i]
    return math.nan


@kernel
def parity_forward(
    k: Floats, ce: Floats, pe: Floats, ce_volume: Ints, pe_volume: Ints, spot: float, df: float
) -> float:
    """Median of K + (C - P) / df over the five most traded strikes within 3 % of the money; NaN without one.

    Without a spot the money is taken where call and put prices are nearest.
    """
    n = k.size
    level = spot
    if math.isnan(level):
        closest = math.inf
        for i in range(n):
            gap = abs(ce[i] - pe[i])
            if gap < closest:
                closest = gap
                level = k[i]
    if math.isnan(level):
        return math.nan
    best = np.full(5, -1, dtype=np.int64)
    traded = np.full(5, -1, dtype=np.int64)
    for i in range(n):
        if math.isnan(ce[i]) or math.isnan(pe[i]) or abs(k[i] - level) > 0.03 * level:
            continue
        v = max(min(ce_volume[i], pe_volume[i]), 0)
        at = 5
        while at > 0 and (best[at - 1] < 0 or v > traded[at - 1]):
            at -= 1
        for j in range(4, at, -1):
            best[j] = best[j - 1]
            traded[j] = traded[j - 1]
        if at < 5:
            best[at] = i
            traded[at] = v
    count = 0
    values = np.empty(5)
    for j in range(5):
        if best[j] >= 0:
            i = best[j]
            values[count] = k[i] + (ce[i] - pe[i]) / df
            count += 1
    return np.median(values[:count]) if count else math.nan
