"""Gamma and delta exposure of open interest: sums over strikes under a stated sign assumption.

Gammas are Black-76 on the forward with the carry folded into it; sticky strike when the spot is moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from toolkit.errors import BadData, nearest
from toolkit.oi.arrays import Floats, Ints, as_floats, as_strikes, as_units
from toolkit.oi.jit import kernel, kernel_fast

__all__ = ["SIGNS", "Gex", "delta_weighted_oi", "gex", "zero_gamma"]

SIGNS: Final = {
    "dealer_long_calls": (1.0, -1.0),
    "dealer_short_both": (-1.0, -1.0),
}
BELL_REACH: Final = 6.5  # standard deviations beyond which a gamma no longer moves a sign
ROOT_2PI: Final = math.sqrt(2.0 * math.pi)


class Gex(NamedTuple):
    """Rupees that dealers must trade for a 1 % move: the sum, and by strike."""

    net: float
    by_strike: Floats


def gex(
    strikes: Any,
    ce_oi: Any,
    pe_oi: Any,
    ce_iv: Any,
    pe_iv: Any,
    spot: float,
    tte: float,
    signs: str | Sequence[float] = "dealer_long_calls",
) -> Gex:
    """Sum gamma exposure for a 1 % move of the spot: s Gamma OI S^2 0.01.

    Parameters
    ----------
    strikes, ce_oi, pe_oi : array_like, shape (n,)
        Points; units (the lot is in them).
    ce_iv, pe_iv : array_like, shape (n,)
        Fractions per root year. Missing: interpolated over log strike from the strikes that have one, never 0.
    spot, tte : float
        Points; ACT/365 years. ``tte`` of zero or less gives NaN.
    signs : str or (call, put)
        An assumption about who holds what: ``dealer_long_calls`` (dealers long calls and short puts, from US hedging
        flow), ``dealer_short_both`` (dealers wrote everything), or two figures of the caller's from participant OI.

    Returns
    -------
    Gex
        ``net`` is NaN when an option with OI has no implied volatility at all to work with.
    """
    k, ce, pe, civ, piv = _book(strikes, ce_oi, pe_oi, ce_iv, pe_iv)
    sign = _signs(signs)
    by = np.zeros(k.size)
    net = gex_kernel(k, ce, pe, filled(k, civ), filled(k, piv), float(spot), float(tte), sign[0], sign[1], by)
    return Gex(net, by)


def zero_gamma(
    strikes: Any,
    ce_oi: Any,
    pe_oi: Any,
    ce_iv: Any,
    pe_iv: Any,
    spot: float,
    tte: float,
    signs: str | Sequence[float] = "dealer_long_calls",
    *,
    span: float = 0.10,
    points: int = 201,
) -> Floats:
    """Find the spots at which net gamma exposure is zero, gammas recomputed at each.

    Parameters are those of :func:`gex`; the spot runs over ``1 +- span`` in ``points`` equal log steps.

    Returns
    -------
    ndarray
        Roots ascending in points, to 1e-9 relative: none, one or many. Empty when the exposure is unknown.
    """
    k, ce, pe, civ, piv = _book(strikes, ce_oi, pe_oi, ce_iv, pe_iv)
    if points < 3 or not 0 < span < 1:
        raise BadData(f"zero_gamma needs points of 3 or more and span in (0, 1), was {points} and {span!r}")
    sign = _signs(signs)
    return roots_kernel(
        k, ce, pe, filled(k, civ), filled(k, piv), float(spot), float(tte), sign[0], sign[1], span, points, False
    )


def delta_weighted_oi(
    strikes: Any, ce_oi: Any, pe_oi: Any, ce_iv: Any, pe_iv: Any, forward: float, tte: float
) -> tuple[float, float]:
    """Weigh each side's OI with the absolute delta: units of the underlying in (calls, puts).

    A proxy of the exchanges' FutEq figure, which nets deltas by portfolio and cannot be computed from a chain.
    NaN when ``tte`` is not above zero or no volatility is known.
    """
    k, ce, pe, civ, piv = _book(strikes, ce_oi, pe_oi, ce_iv, pe_iv)
    return delta_kernel(k, ce, pe, filled(k, civ), filled(k, piv), float(forward), float(tte))


def _book(strikes: Any, ce_oi: Any, pe_oi: Any, ce_iv: Any, pe_iv: Any) -> tuple[Floats, Ints, Ints, Floats, Floats]:
    k = as_strikes(strikes)
    n = k.size
    return (
        k,
        as_units(ce_oi, n, "ce_oi"),
        as_units(pe_oi, n, "pe_oi"),
        as_floats(ce_iv, n, "ce_iv"),
        as_floats(pe_iv, n, "pe_iv"),
    )


def _signs(signs: str | Sequence[float]) -> tuple[float, float]:
    if isinstance(signs, str):
        if signs not in SIGNS:
            raise BadData(
                f"signs must be one of {', '.join(SIGNS)} or two figures, was {signs!r}{nearest(signs, SIGNS)}"
            )
        return SIGNS[signs]
    pair = tuple(float(v) for v in signs)
    if len(pair) != 2 or not all(math.isfinite(v) for v in pair):
        raise BadData(f"signs must be two finite figures (calls, puts), was {signs!r}")
    return pair[0], pair[1]


@kernel
def filled(k: Floats, iv: Floats) -> Floats:
    """Volatilities with the gaps interpolated over log strike, flat beyond the ends; all NaN when none is known."""
    n = k.size
    out = iv.copy()
    left = -1
    for i in range(n + 1):
        known = i < n and iv[i] > 0.0
        if i < n and not known:
            continue
        if i == n and left < 0:
            out[:] = math.nan
            break
        for j in range(left + 1, i):
            if left < 0:
                out[j] = iv[i]
            elif i == n:
                out[j] = iv[left]
            else:
                w = math.log(k[j] / k[left]) / math.log(k[i] / k[left])
                out[j] = iv[left] + w * (iv[i] - iv[left])
        left = i
    return out


@kernel
def gex_kernel(
    k: Floats,
    ce: Ints,
    pe: Ints,
    civ: Floats,
    piv: Floats,
    spot: float,
    tte: float,
    call_sign: float,
    put_sign: float,
    by: Floats,
) -> float:
    """Kernel of :func:`gex` over filled volatilities."""
    if not (tte > 0.0 and spot > 0.0):
        by[:] = math.nan
        return math.nan
    root = math.sqrt(tte)
    net = 0.0
    for i in range(k.size):
        here = 0.0
        for s in range(2):
            units = ce[i] if s == 0 else pe[i]
            if units <= 0:
                continue
            sd = (civ[i] if s == 0 else piv[i]) * root
            d1 = math.log(spot / k[i]) / sd + 0.5 * sd
            sign = call_sign if s == 0 else put_sign
            here += sign * units * spot * 0.01 * math.exp(-0.5 * d1 * d1) / (sd * ROOT_2PI)
        by[i] = here
        net += here
    return net


@kernel
def delta_kernel(
    k: Floats, ce: Ints, pe: Ints, civ: Floats, piv: Floats, forward: float, tte: float
) -> tuple[float, float]:
    """Kernel of :func:`delta_weighted_oi` over filled volatilities."""
    if not (tte > 0.0 and forward > 0.0):
        return math.nan, math.nan
    root = math.sqrt(tte)
    calls = 0.0
    puts = 0.0
    for i in range(k.size):
        x = math.log(forward / k[i])
        if ce[i] > 0:
            sd = civ[i] * root
            calls += ce[i] * 0.5 * math.erfc(-(x / sd + 0.5 * sd) / math.sqrt(2.0))
        if pe[i] > 0:
            sd = piv[i] * root
            puts += pe[i] * 0.5 * math.erfc((x / sd + 0.5 * sd) / math.sqrt(2.0))
    return calls, puts


@kernel
def roots_kernel(
    k: Floats,
    ce: Ints,
    pe: Ints,
    civ: Floats,
    piv: Floats,
    spot: float,
    tte: float,
    call_sign: float,
    put_sign: float,
    span: float,
    points: int,
    nearest_only: bool,
) -> Floats:
    """Kernel of :func:`zero_gamma`: a coarse exponential finds the sign changes, the exact one the roots.

    Net exposure over log spot is a sum of bells: weight sign * OI / sd, centre ln K - sd^2 / 2, width sd.
    """
    n = k.size
    weight = np.empty(2 * n)
    centre = np.empty(2 * n)
    width = np.empty(2 * n)
    bells = 0
    root_t = math.sqrt(tte) if tte > 0.0 else math.nan
    for i in range(n):
        at = math.log(k[i])
        for s in range(2):
            units = ce[i] if s == 0 else pe[i]
            if units <= 0:
                continue
            sd = (civ[i] if s == 0 else piv[i]) * root_t
            weight[bells] = (call_sign if s == 0 else put_sign) * units / sd
            centre[bells] = at - 0.5 * sd * sd
            width[bells] = sd
            if not sd > 0.0:
                return np.empty(0)
            bells += 1
    if bells == 0 or not spot > 0.0:
        return np.empty(0)
    weight, centre, width = weight[:bells], centre[:bells], width[:bells]
    here = math.log(spot)
    low = math.log(spot * (1.0 - span))
    step = (math.log(spot * (1.0 + span)) - low) / (points - 1)
    sums = np.zeros(points)
    for i in range(bells):
        add_bells(sums, weight[i], (low - centre[i]) / width[i], step / width[i])
    # beyond the reach of every strike's gamma the sums are rounding, not exposure
    floor = 1e-9 * np.max(np.abs(sums))
    cells = np.empty(points, dtype=np.int64)
    found = 0
    for j in range(points - 1):
        if max(abs(sums[j]), abs(sums[j + 1])) <= floor or (sums[j] > 0.0) == (sums[j + 1] > 0.0):
            continue
        cells[found] = j
        found += 1
    if nearest_only and found > 1:
        best = 0
        for j in range(1, found):
            if abs(low + (cells[j] + 0.5) * step - here) < abs(low + (cells[best] + 0.5) * step - here):
                best = j
        cells[0] = cells[best]
        found = 1
    out = np.empty(found)
    kept = 0
    for j in range(found):
        a = low + cells[j] * step
        x = bracketed(weight, centre, width, a, a + step)
        if not math.isnan(x):
            out[kept] = math.exp(x)
            kept += 1
    return out[:kept]


@kernel_fast
def add_bells(sums: Floats, weight: float, d: float, step: float) -> None:
    """Add ``weight * exp(-(d + j step)^2 / 2)`` to every point j, to about 5e-6 relative; branch-free to vectorise."""
    first = max(math.ceil((-BELL_REACH - d) / step), 0)
    last = min(math.floor((BELL_REACH - d) / step) + 1, sums.size)
    for j in range(first, last):
        x = d + j * step
        y = x * x * (0.5 / 256.0)
        e = 1.0 - y * (1.0 - y * (0.5 - y * (1.0 / 6.0 - y * (1.0 / 24.0 - y * (1.0 / 120.0)))))
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        sums[j] += weight * (e * e)


@kernel
def net_at(weight: Floats, centre: Floats, width: Floats, x: float) -> float:
    """Net exposure at log spot ``x``, up to the positive factor that roots do not feel."""
    net = 0.0
    for i in range(weight.size):
        d = (x - centre[i]) / width[i]
        net += weight[i] * math.exp(-0.5 * d * d)
    return net


@kernel
def bracketed(weight: Floats, centre: Floats, width: Floats, a: float, b: float) -> float:
    """Root of the net exposure in log spot [a, b] by false position with halving (Illinois), to 1e-12."""
    fa = net_at(weight, centre, width, a)
    fb = net_at(weight, centre, width, b)
    if fa == 0.0 or fb == 0.0:
        return a if fa == 0.0 else b
    if (fa > 0.0) == (fb > 0.0):
        return math.nan
    side = 0
    x = a
    for _ in range(100):
        was = x
        x = (fa * b - fb * a) / (fa - fb)
        if not a < x < b:
            x = 0.5 * (a + b)
        if abs(x - was) < 1e-12:
            break
        fx = net_at(weight, centre, width, x)
        if fx == 0.0:
            break
        if (fx > 0.0) == (fa > 0.0):
            a, fa = x, fx
            if side == 1:
                fb *= 0.5
            side = 1
        else:
            b, fb = x, fx
            if side == -1:
                fa *= 0.5
            side = -1
    return x
