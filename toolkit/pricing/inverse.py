"""Kernels of implied volatility.

After P. Jaeckel, "Let's Be Rational" (2013-2024): the price is reduced to the time value of the
out-of-the-money option, a rational guess is improved by third-order Householder steps on the
logarithm of the price, or of its distance to the bound where the price is near it. Here the guess
is the normal-model volatility (one rational function of ln(1 + |F - K| / c)) turned lognormal by the
short-time expansion, and the residual needs no exponential: it is a logarithm of a ratio of
Mills-ratio differences plus half a square.
"""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit

from toolkit.pricing.arrays import Floats
from toolkit.pricing.kernels import decay_of, forward_of, gap, log_of_ratio, steps
from toolkit.pricing.lanes import scratch
from toolkit.pricing.normal import bracket, expm1_poly, fma, log_poly, log_ratio, mills, series_long, series_short
from toolkit.pricing.rows import (
    BLOCK,
    DF,
    LARGE,
    PITCH,
    SCRATCH,
    SMALL,
    F,
    H,
    K,
    Q,
    R,
    S,
    T,
    V,
    W,
    carried,
    constant,
    discount,
    finish,
    target,
    view,
)

__all__ = ["implied_rows"]

SQRT_2PI: Final = 2.5066282746310002
S_SHORT: Final = 0.25
S_LONG: Final = 1.5
CLOSE: Final = 5e-5
D: Final = 9 * PITCH
X: Final = 10 * PITCH
DONE: Final = 13 * PITCH
C: Final = 14 * PITCH
GROWTH: Final = 15 * PITCH
OUT: Final = 16 * PITCH


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def guess(apart: float, c: float) -> float:
    """Normal-model volatility over |F - K| = ``apart``, at least 1e-7 * c, from the time value ``c``."""
    ratio = apart / c
    ratio = ratio if ratio > 1e-7 else 1e-7
    g = log_poly(1.0 + ratio)
    p = 6.172447563670647e-08
    p = fma(p, g, 1.7310891564460624e-05)
    p = fma(p, g, 0.0005192692242677042)
    p = fma(p, g, 0.0056525687070410014)
    p = fma(p, g, 0.033881527216349946)
    p = fma(p, g, 0.15915479989181833)
    q = 3.0895077724260294e-08
    q = fma(q, g, 9.039628274687139e-06)
    q = fma(q, g, 0.0003384623711140392)
    q = fma(q, g, 0.004821545092113799)
    q = fma(q, g, 0.043070423536735666)
    q = fma(q, g, 0.2128678427350667)
    q = fma(q, g, 1.0)
    return math.sqrt(q / (p * g * g))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def lognormal(s: float, x: float) -> float:
    """Total lognormal volatility of a normal one (in units of the root of F * K)."""
    y = s * s
    return s * fma(y, fma(y, 0.0036458333333333334, fma(x * x, -0.00034722222222222224, 0.041666666666666664)), 1.0)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def relative_step(rho: float, d: float, h2: float, t2: float) -> float:
    """Householder's third-order step on ln c, relative to s.

    ``rho`` = ln(target / model), ``d`` = (M(h - t) - M(h + t)) / 2t, negative for the distance to the bound.
    """
    a = d * (h2 - t2)
    b = rho * (a - 1.0)
    e = d * d * ((h2 - t2) * (h2 - t2) - 3.0 * h2 - t2) - 3.0 * a + 2.0
    return rho * d * fma(0.5, b, 1.0) / (1.0 + b + rho * rho * e * 0.16666666666666666)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def improve(buf: Floats, width: int, longer: int) -> int:
    """One step for every row not done; a row is done after a step below ``CLOSE``."""
    if longer:
        for i in range(width):
            s = buf[S + i]
            h = buf[X + i] / s
            t = 0.5 * s
            buf[H + i] = h
            buf[D + i] = series_long(bracket(h), h * h, t * t)
    else:
        for i in range(width):
            s = buf[S + i]
            h = buf[X + i] / s
            t = 0.5 * s
            buf[H + i] = h
            buf[D + i] = series_short(bracket(h), h * h, t * t)
    left = 0
    for i in range(width):
        s = buf[S + i]
        h = buf[H + i]
        d = buf[D + i]
        t = 0.5 * s
        a = h - t
        rho = fma(0.5 * a, a, log_poly(buf[C + i] / (s * d)))
        step = relative_step(rho, d, h * h, t * t)
        todo = buf[DONE + i] == 0.0
        buf[S + i] = fma(s, step, s) if todo else s
        done = abs(step) < CLOSE
        buf[DONE + i] = 1.0 if todo & done else buf[DONE + i]
        left += todo & (not done)
    return left


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def begin(
    buf: Floats, ws: Floats, ps: Floats, spots: Floats, fs: Floats, ks: Floats, ts: Floats, bsm: bool, width: int
) -> Any:
    """Time value, |x| and the first guess; rows out of the common domain are marked in DONE by 2.

    A grown spot has a rounding error that near the money is many times a price's: there x is the
    spot's own logarithm plus the growth's exponent, and the intrinsic value comes from x.
    """
    longer = 0
    marked = 0
    for i in range(width):
        f = fs[i]
        k = ks[i]
        w = ws[i]
        t = ts[i]
        lo = f if f < k else k
        hi = f if f > k else k
        x = log_ratio(spots[i], k)
        if bsm:
            x += buf[GROWTH + i]
            apart = k * expm1_poly(x)
        else:
            apart = f - k
        inside = w * apart
        c = ps[i] / buf[DF + i] - (inside if inside > 0.0 else 0.0)
        x = abs(x)
        share = c / lo
        floor = 1e-7 * share
        s = lognormal((x if x > floor else floor) * guess(abs(apart), c), x)
        fine = (
            (lo > SMALL)
            & (hi < LARGE)
            & (t > SMALL)
            & (t < LARGE)
            & (share > 1e-290)
            & (share < 0.5)
            & (abs(w) == 1.0)
            & (s < S_LONG)
        )
        buf[S + i] = s if fine else 1.0
        buf[X + i] = x if fine else 0.0
        buf[C + i] = SQRT_2PI * share if fine else 1.0
        buf[DONE + i] = 0.0 if fine else 2.0
        longer += fine & (s > 0.24)
        marked += not fine
    return marked, longer


@njit(cache=True, nogil=True, error_model="numpy")
def implied_rows(
    w: Floats,
    p: Floats,
    f: Floats,
    k: Floats,
    t: Floats,
    r: Floats,
    q: Floats,
    bsm: bool,
    start: int,
    stop: int,
    out: Floats,
) -> bool:
    mask = steps(w, p, f, k, t, r, q, out.size)
    if mask < 0:
        return False
    buf = scratch(SCRATCH)
    most = min(BLOCK, (stop - start + 7) & ~7)
    free = not (mask >> 5 & 1) and r[0] == 0.0
    constant(buf, W, w, mask & 1, most)
    constant(buf, V, p, mask >> 1 & 1, most)
    constant(buf, F, f, mask >> 2 & 1, most)
    constant(buf, K, k, mask >> 3 & 1, most)
    constant(buf, T, t, mask >> 4 & 1, most)
    constant(buf, R, r, mask >> 5 & 1, most)
    constant(buf, Q, q, mask >> 6 & 1, most)
    for i in range(most):
        buf[DF + i] = 1.0
    for first in range(start, stop, BLOCK):
        m = min(BLOCK, stop - first)
        width = (m + 7) & ~7
        ws = view(buf, W, w, mask & 1, first, m)
        ps = view(buf, V, p, mask >> 1 & 1, first, m)
        spots = view(buf, F, f, mask >> 2 & 1, first, m)
        ks = view(buf, K, k, mask >> 3 & 1, first, m)
        ts = view(buf, T, t, mask >> 4 & 1, first, m)
        rs = view(buf, R, r, mask >> 5 & 1, first, m)
        fs = spots
        if not free:
            discount(buf, rs, ts, width)
        if bsm:
            qs = view(buf, Q, q, mask >> 6 & 1, first, m)
            fs = carried(buf, spots, rs, qs, ts, width)
            for i in range(width):
                buf[GROWTH + i] = (rs[i] - qs[i]) * ts[i]
        marked, longer = begin(buf, ws, ps, spots, fs, ks, ts, bsm, width)
        left = improve(buf, width, longer)
        if left:
            improve(buf, width, longer)
        to = target(buf, OUT, out, first, m)
        for i in range(width):
            to[i] = buf[S + i] / math.sqrt(ts[i])
        finish(buf, OUT, out, first, m)
        if marked or left:
            for i in range(m):
                if not (buf[DONE + i] == 1.0 and buf[S + i] < S_LONG):
                    j = first + i
                    out[j] = implied_one(ws[i], ps[i], spots[i], ks[i], ts[i], rs[i], q[j * (mask >> 6 & 1)], bsm)
    return True


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def implied_one(w: float, p: float, spot: float, k: float, t: float, r: float, q: float, bsm: bool) -> float:
    """One row with care: NaN without a solution, 0 at intrinsic value, inf at the bound."""
    f = forward_of(spot, t, r, q, bsm)
    if not (w * w == 1.0 and f > 0.0 and k > 0.0 and t > 0.0 and p >= 0.0):
        return math.nan
    if math.isinf(f) or math.isinf(k) or math.isinf(t):
        return math.nan
    x = log_of_ratio(spot, k)
    apart = f - k
    if bsm:
        x += (r - q) * t
        apart = k * math.expm1(x)
    c = p / decay_of(r, t) - max(w * apart, 0.0)
    return implied_total(min(f, k), abs(x), abs(apart), c) / math.sqrt(t)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def implied_total(lo: float, x: float, apart: float, c: float) -> float:
    """Total volatility that gives the time value ``c`` of the out-of-the-money option.

    ``lo`` is the smaller of forward and strike, ``x`` the log of their ratio (positive), ``apart`` their distance.
    """
    if c == 0.0:
        return 0.0
    if c == lo:
        return math.inf
    if not 0.0 < c < lo:
        return math.nan
    low = 0.0
    high = 90.0
    s = max(x, 1e-7 * c / lo) * guess(apart, c)
    s = min(lognormal(min(s, 2.0), 0.0), 3.0)
    for _ in range(100):
        h = x / s
        t = 0.5 * s
        a = h - t
        if t > 0.75 and a < 0.0:
            d = -(mills(-a) + mills(h + t))
            target = (lo - c) / lo
            rho = math.log(target * SQRT_2PI / -d) + 0.5 * a * a
            above = rho < 0.0
        else:
            d = gap(h, t)
            rho = math.log(c / lo * SQRT_2PI / d) + 0.5 * a * a if d > 0.0 else math.inf
            above = rho > 0.0
        if above:
            low = max(low, s)
        else:
            high = min(high, s)
        step = relative_step(rho, d / s, h * h, t * t)
        new = s + s * step
        if not low <= new <= high:
            new = 0.5 * (low + high) if low > 0.0 else 0.25 * high
        if abs(new - s) <= CLOSE * s and low <= s + s * step <= high:
            return new
        s = new
    return s
