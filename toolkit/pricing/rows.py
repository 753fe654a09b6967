"""Vectorised kernels over rows: price, and price with the five Greeks.

Rows are taken in blocks through one scratch array that stays in the second-level cache; each stage is a
loop without branches, which LLVM turns into vector code. A block of 1024 rows beats one of 256, which the
first level would hold: every block has a fixed cost, and it outweighs the slower cache. Stages are short on
purpose: a processor holds about a hundred vector instructions at once, so in a short loop the next rows
start while the long dependent chains of these (a division, a polynomial) are still on their way. Rows
outside the common domain (limits, NaN, total volatility above 1.5, prices near underflow) are counted and
computed again by the careful scalar kernels. Nothing depends on a row's neighbours.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit

from toolkit.pricing.arrays import Floats
from toolkit.pricing.kernels import greeks_one, price_careful, steps
from toolkit.pricing.lanes import get, put, scratch
from toolkit.pricing.normal import (
    density_poly,
    exp_poly,
    fma,
    log_ratio,
    middle_long,
    middle_short,
    mills_slope,
    series_long,
    series_short,
)

__all__ = ["BLOCK", "greeks_rows", "price_rows"]

BLOCK: Final = 1024
PITCH: Final = BLOCK + 40
S_SHORT: Final = 0.25
S_LONG: Final = 1.5
NO_VALUE: Final = 60.0
SMALL: Final = 1e-100
LARGE: Final = 1e100

F: Final = 0 * PITCH
K: Final = 1 * PITCH
T: Final = 2 * PITCH
V: Final = 3 * PITCH
W: Final = 4 * PITCH
R: Final = 5 * PITCH
Q: Final = 6 * PITCH
S: Final = 7 * PITCH
H: Final = 8 * PITCH
G: Final = 9 * PITCH
M: Final = 10 * PITCH
DF: Final = 11 * PITCH
GROWN: Final = 12 * PITCH
ROOT: Final = 13 * PITCH
X: Final = 14 * PITCH
OUT: Final = 15 * PITCH
SCRATCH: Final = 21 * PITCH

FRONT: Final = 1
RATIOS: Final = 2
PRICES: Final = 3
SLOPES: Final = 4


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def constant(buf: Floats, at: int, row: Floats, step: int, width: int) -> None:
    """Repeat the only value of an input; done once, before the blocks.

    Indices are unsigned here and below: a sign to check turns plain stores into slow scatters.
    """
    if not step:
        value = row[0]
        for i in range(width):
            buf[np.uint64(at + i)] = value


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def view(buf: Floats, at: int, row: Floats, step: int, first: int, m: int) -> Floats:
    """The block of an input: its own memory where whole eights, else a padded copy (or the repeated constant)."""
    if step:
        if not m & 7:
            return row[first : first + BLOCK]
        for i in range(m):
            buf[np.uint64(at + i)] = row[np.uint64(first + i)]
        for i in range(m, (m + 7) & ~7):
            buf[np.uint64(at + i)] = row[first]
    return buf[at : at + BLOCK]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def views(
    buf: Floats, w: Floats, f: Floats, k: Floats, t: Floats, v: Floats, r: Floats, q: Floats,
    mask: int, first: int, m: int,
) -> Any:  # fmt: skip
    """The block of every input."""
    return (
        view(buf, W, w, mask & 1, first, m),
        view(buf, F, f, mask >> 1 & 1, first, m),
        view(buf, K, k, mask >> 2 & 1, first, m),
        view(buf, T, t, mask >> 3 & 1, first, m),
        view(buf, V, v, mask >> 4 & 1, first, m),
        view(buf, R, r, mask >> 5 & 1, first, m),
        view(buf, Q, q, mask >> 6 & 1, first, m),
    )


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def target(buf: Floats, at: int, out: Floats, first: int, m: int) -> Floats:
    """Where a block of results goes: its place where whole eights, else scratch."""
    return buf[at : at + BLOCK] if m & 7 else out[first : first + BLOCK]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def finish(buf: Floats, at: int, out: Floats, first: int, m: int) -> None:
    """Copy the results of a block that is not made of whole eights."""
    if m & 7:
        for i in range(m):
            out[np.uint64(first + i)] = buf[np.uint64(at + i)]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def discount(buf: Floats, rates: Floats, years: Floats, width: int) -> None:
    """DF <- exp(-rate * tte); NaN where that is no normal number."""
    for i in range(width):
        z = -rates[i] * years[i]
        df = exp_poly(z if abs(z) < 700.0 else 0.0)
        buf[DF + i] = df if abs(z) < 700.0 else math.nan


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def carried(buf: Floats, spots: Floats, rates: Floats, yields: Floats, years: Floats, width: int) -> Floats:
    """GROWN <- spot * exp((rate - dividend) * tte), the forward; NaN where that is no normal number."""
    for i in range(width):
        z = (rates[i] - yields[i]) * years[i]
        growth = exp_poly(z if abs(z) < 700.0 else 0.0)
        buf[GROWN + i] = spots[i] * (growth if abs(z) < 700.0 else math.nan)
    return buf[GROWN : GROWN + BLOCK]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def front(buf: Floats, ws: Floats, fs: Floats, ks: Floats, ts: Floats, vs: Floats, width: int) -> Any:
    """ROOT, S, X <- root of tte, total volatility and |ln(F/K)|; rows of no common kind get -1 in X and 1 in S.

    Returns how many rows need the long series and how many are out of the domain.
    """
    longer = 0
    marked = 0
    for i in range(width):
        f = get(FRONT, fs, i)
        k = get(FRONT, ks, i)
        t = get(FRONT, ts, i)
        v = get(FRONT, vs, i)
        root = math.sqrt(t)
        s = v * root
        x = abs(log_ratio(f, k))
        lo = f if f < k else k
        hi = f if f > k else k
        short = t if t < v else v
        good = (
            (lo > SMALL)
            & (hi < LARGE)
            & (short > SMALL)
            & (s < S_LONG)
            & (abs(x - s * (0.5 * s + 38.0)) > s)
            & (abs(get(FRONT, ws, i)) == 1.0)
            & (get(FRONT, buf, DF + i) > 0.0)
        )
        put(FRONT, 0, buf, ROOT + i, root)
        put(FRONT, 1, buf, S + i, s if good else 1.0)
        put(FRONT, 2, buf, X + i, x if good else -1.0)
        longer += good & (s > S_SHORT)
        marked += not good
    return longer, marked


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def ratios(buf: Floats, width: int) -> None:
    """H, M, G <- h = |ln(F/K)| / s, the Mills ratio at h and minus its slope there.

    From h = 60 on there is no time value left: it stays 60, whatever the powers of a larger h would overflow.
    """
    for i in range(width):
        h = get(RATIOS, buf, X + i) / get(RATIOS, buf, S + i)
        h = h if h < NO_VALUE else NO_VALUE
        put(RATIOS, 0, buf, H + i, h)
        m, g = mills_slope(h)
        put(RATIOS, 1, buf, M + i, m)
        put(RATIOS, 2, buf, G + i, g)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def base_of(f: float, k: float, h: float, s: float) -> float:
    """F * phi(d1), which is min(F, K) * phi(h - s/2)."""
    a = h - 0.5 * s
    z = -0.5 * a * a
    base = (f if f < k else k) * density_poly(z if z > -700.0 else -700.0)
    return base if z > -700.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def value_of(w: float, f: float, k: float, df: float, base: float, width: float) -> float:
    """Price: discounted intrinsic value and the time value, ``base`` times the ``width`` between Mills ratios."""
    inside = w * (f - k)
    return fma(base, width, df * (inside if inside > 0.0 else 0.0))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def prices(buf: Floats, ws: Floats, fs: Floats, ks: Floats, to: Floats, width: int, longer: bool) -> None:
    """The price of every row, from what :func:`front` and :func:`ratios` left."""
    for i in range(width):
        f = get(PRICES, fs, i)
        k = get(PRICES, ks, i)
        s = get(PRICES, buf, S + i)
        h = get(PRICES, buf, H + i)
        df = get(PRICES, buf, DF + i)
        y = 0.25 * s * s
        d = (
            series_long(get(PRICES, buf, G + i), h * h, y)
            if longer
            else series_short(get(PRICES, buf, G + i), h * h, y)
        )
        put(PRICES, 0, to, i, value_of(get(PRICES, ws, i), f, k, df, df * base_of(f, k, h, s), s * d))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def slopes(
    buf: Floats, ws: Floats, fs: Floats, ks: Floats, ts: Floats, vs: Floats, rs: Floats,
    price: Floats, delta: Floats, gamma: Floats, vega: Floats, theta: Floats, rho: Floats, width: int, longer: bool,
) -> None:  # fmt: skip
    """The price and the forward's Greeks of every row; the tail beyond d1 comes from the Mills ratio at h +- s/2."""
    for i in range(width):
        f = get(SLOPES, fs, i)
        k = get(SLOPES, ks, i)
        s = get(SLOPES, buf, S + i)
        h = get(SLOPES, buf, H + i)
        df = get(SLOPES, buf, DF + i)
        g = get(SLOPES, buf, G + i)
        q = h * h
        y = 0.25 * s * s
        d = series_long(g, q, y) if longer else series_short(g, q, y)
        e = (
            middle_long(get(SLOPES, buf, M + i), g, h, q, y)
            if longer
            else middle_short(get(SLOPES, buf, M + i), g, h, q, y)
        )
        w = get(SLOPES, ws, i)
        v = get(SLOPES, vs, i)
        half = 0.5 * s
        base = df * base_of(f, k, h, s)
        value = value_of(w, f, k, df, base, s * d)
        inverse = 1.0 / (f * s)
        narrow = base * inverse
        over_f = narrow * s
        tail = over_f * fma(-half if f > k else half, d, e)
        rest = df - tail
        put(SLOPES, 0, price, i, value)
        put(SLOPES, 1, delta, i, (rest if f > k else tail) if w > 0.0 else -(tail if f > k else rest))
        put(SLOPES, 2, gamma, i, over_f * inverse)
        put(SLOPES, 3, vega, i, base * get(SLOPES, buf, ROOT + i))
        put(SLOPES, 4, theta, i, fma(narrow * f * (v * v), -0.5, get(SLOPES, rs, i) * value))
        put(SLOPES, 5, rho, i, -get(SLOPES, ts, i) * value)


@njit(cache=True, nogil=True, error_model="numpy")
def price_rows(
    w: Floats,
    f: Floats,
    k: Floats,
    t: Floats,
    v: Floats,
    r: Floats,
    q: Floats,
    bsm: bool,
    start: int,
    stop: int,
    out: Floats,
) -> bool:
    mask = steps(w, f, k, t, v, r, q, out.size)
    if mask < 0:
        return False
    buf = scratch(SCRATCH)
    free = not (mask >> 5 & 1) and r[0] == 0.0
    constants(buf, w, f, k, t, v, r, q, mask, bsm, min(BLOCK, (stop - start + 7) & ~7))
    for first in range(start, stop, BLOCK):
        m = min(BLOCK, stop - first)
        width = (m + 7) & ~7
        ws, spots, ks, ts, vs, rs, qs = views(buf, w, f, k, t, v, r, q, mask, first, m)
        if not free:
            discount(buf, rs, ts, width)
        fs = carried(buf, spots, rs, qs, ts, width) if bsm else spots
        longer, marked = front(buf, ws, fs, ks, ts, vs, width)
        ratios(buf, width)
        to = target(buf, OUT, out, first, m)
        if longer:
            prices(buf, ws, fs, ks, to, width, True)
        else:
            prices(buf, ws, fs, ks, to, width, False)
        finish(buf, OUT, out, first, m)
        if marked:
            for i in range(m):
                if buf[X + i] < 0.0:
                    out[first + i] = price_careful(ws[i], spots[i], ks[i], ts[i], vs[i], rs[i], qs[i], bsm)
    return True


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def constants(
    buf: Floats,
    w: Floats,
    f: Floats,
    k: Floats,
    t: Floats,
    v: Floats,
    r: Floats,
    q: Floats,
    mask: int,
    bsm: bool,
    width: int,
) -> None:
    """Repeat every input that has one value and is read, and a discount factor of 1."""
    constant(buf, W, w, mask & 1, width)
    constant(buf, F, f, mask >> 1 & 1, width)
    constant(buf, K, k, mask >> 2 & 1, width)
    constant(buf, T, t, mask >> 3 & 1, width)
    constant(buf, V, v, mask >> 4 & 1, width)
    constant(buf, R, r, mask >> 5 & 1, width)
    if bsm:
        constant(buf, Q, q, mask >> 6 & 1, width)
    for i in range(width):
        buf[DF + i] = 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def greeks_rows(
    w: Floats,
    f: Floats,
    k: Floats,
    t: Floats,
    v: Floats,
    r: Floats,
    q: Floats,
    bsm: bool,
    start: int,
    stop: int,
    price: Floats,
    delta: Floats,
    gamma: Floats,
    vega: Floats,
    theta: Floats,
    rho: Floats,
) -> bool:
    mask = steps(w, f, k, t, v, r, q, delta.size)
    if mask < 0:
        return False
    buf = scratch(SCRATCH)
    free = not (mask >> 5 & 1) and r[0] == 0.0
    constants(buf, w, f, k, t, v, r, q, mask, bsm, min(BLOCK, (stop - start + 7) & ~7))
    for first in range(start, stop, BLOCK):
        m = min(BLOCK, stop - first)
        width = (m + 7) & ~7
        ws, spots, ks, ts, vs, rs, qs = views(buf, w, f, k, t, v, r, q, mask, first, m)
        if not free:
            discount(buf, rs, ts, width)
        fs = carried(buf, spots, rs, qs, ts, width) if bsm else spots
        longer, marked = front(buf, ws, fs, ks, ts, vs, width)
        ratios(buf, width)
        to_price = target(buf, OUT, price, first, m) if price.size else buf[OUT : OUT + BLOCK]
        to_delta = target(buf, OUT + PITCH, delta, first, m)
        to_gamma = target(buf, OUT + 2 * PITCH, gamma, first, m)
        to_vega = target(buf, OUT + 3 * PITCH, vega, first, m)
        to_theta = target(buf, OUT + 4 * PITCH, theta, first, m)
        to_rho = target(buf, OUT + 5 * PITCH, rho, first, m)
        to = (to_price, to_delta, to_gamma, to_vega, to_theta, to_rho)
        if longer:
            slopes(buf, ws, fs, ks, ts, vs, rs, *to, width, True)
        else:
            slopes(buf, ws, fs, ks, ts, vs, rs, *to, width, False)
        if bsm:
            to_spot(spots, fs, rs, qs, ts, to_delta, to_gamma, to_theta, to_rho, width)
        if price.size:
            finish(buf, OUT, price, first, m)
        finish(buf, OUT + PITCH, delta, first, m)
        finish(buf, OUT + 2 * PITCH, gamma, first, m)
        finish(buf, OUT + 3 * PITCH, vega, first, m)
        finish(buf, OUT + 4 * PITCH, theta, first, m)
        finish(buf, OUT + 5 * PITCH, rho, first, m)
        if marked:
            for i in range(m):
                if buf[X + i] < 0.0:
                    j = first + i
                    p, delta[j], gamma[j], vega[j], theta[j], rho[j] = greeks_one(
                        ws[i], spots[i], ks[i], ts[i], vs[i], rs[i], qs[i], bsm
                    )
                    if price.size:
                        price[j] = p
    return True


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def to_spot(
    spots: Floats,
    fs: Floats,
    rs: Floats,
    qs: Floats,
    ts: Floats,
    delta: Floats,
    gamma: Floats,
    theta: Floats,
    rho: Floats,
    width: int,
) -> None:
    """From the forward's Greeks to the spot's."""
    for i in range(width):
        spot = spots[i]
        growth = fs[i] / spot
        by_spot = delta[i] * growth
        delta[i] = by_spot
        gamma[i] = gamma[i] * growth * growth
        theta[i] = fma(qs[i] - rs[i], spot * by_spot, theta[i])
        rho[i] = fma(spot * by_spot, ts[i], rho[i])
