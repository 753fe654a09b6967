"""Vectorised kernels over rows: price, and price with the five Greeks.

Rows are taken in blocks through one scratch array that stays in the first-level cache; each
stage is a loop without branches, which LLVM turns into vector code. Rows outside the common
domain (limits, NaN, total volatility above 1.5, prices near underflow) are counted and computed
again by the careful scalar kernels. Nothing depends on a row's neighbours.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

from toolkit.pricing.kernels import greeks_one, price_one
from toolkit.pricing.normal import bracket, exp_poly, fma, log_ratio, mills, series_long, series_short, touch

__all__ = ["BLOCK", "greeks_rows", "price_rows"]

BLOCK: Final = 128
PITCH: Final = BLOCK + 8
S_SHORT: Final = 0.25
S_LONG: Final = 1.5
INV_SQRT_2PI: Final = 0.3989422804014327
SMALL: Final = 1e-100
LARGE: Final = 1e100

F: Final = 0 * PITCH
K: Final = 1 * PITCH
T: Final = 2 * PITCH
V: Final = 3 * PITCH
W: Final = 4 * PITCH
R: Final = 5 * PITCH
Q: Final = 6 * PITCH
X: Final = 7 * PITCH
S: Final = 8 * PITCH
H: Final = 9 * PITCH
D: Final = 10 * PITCH
DF: Final = 12 * PITCH
BASE: Final = 11 * PITCH
OUT: Final = 13 * PITCH
PRICE: Final = 14 * PITCH
TAIL: Final = 15 * PITCH
DELTA: Final = 16 * PITCH
GAMMA: Final = 17 * PITCH
VEGA: Final = 18 * PITCH
THETA: Final = 19 * PITCH
RHO: Final = 20 * PITCH
SCRATCH: Final = 21 * PITCH


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def load(buf, at, row, step, start, m, width):
    """Copy ``m`` values of an input (or repeat its only one), padded to ``width``."""
    if step:
        for i in range(m):
            buf[at + i] = row[np.uint64(start + i)]
        for i in range(m, width):
            buf[at + i] = row[start]
        for i in range(0, BLOCK, 8):
            touch(row, start + BLOCK + i)
    else:
        value = row[0]
        for i in range(width):
            buf[at + i] = value


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def gaps(buf, width, longer):
    """D <- (M(h - t) - M(h + t)) / 2t for every row, t = s / 2."""
    for i in range(width):
        buf[D + i] = bracket(buf[H + i])
    if longer:
        for i in range(width):
            h = buf[H + i]
            t = 0.5 * buf[S + i]
            buf[D + i] = series_long(buf[D + i], h * h, t * t)
    else:
        for i in range(width):
            h = buf[H + i]
            t = 0.5 * buf[S + i]
            buf[D + i] = series_short(buf[D + i], h * h, t * t)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def discount(buf, t, mask, r, width):
    """DF <- exp(-rate * tte), 1 where every rate is the one number 0."""
    if mask >> 5 & 1 or r[0] != 0.0:
        for i in range(width):
            z = -buf[R + i] * buf[T + i]
            buf[DF + i] = exp_poly(z if abs(z) < 700.0 else 0.0)
    else:
        for i in range(width):
            buf[DF + i] = 1.0


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def carried(buf, q, mask, start, m, width):
    """F <- spot * exp((rate - dividend) * tte)."""
    load(buf, Q, q, mask >> 6 & 1, start, m, width)
    for i in range(width):
        z = (buf[R + i] - buf[Q + i]) * buf[T + i]
        buf[F + i] = buf[F + i] * exp_poly(z if abs(z) < 700.0 else 0.0)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def front(buf, f, k, t, v, w, r, q, mask, bsm, start, m, width):
    """Load a block and find x = ln(F/K), s and h = |x|/s; other rows get h = -1 and harmless values.

    Returns how many rows need the long series and how many are out of the common domain.
    """
    load(buf, W, w, mask & 1, start, m, width)
    load(buf, F, f, mask >> 1 & 1, start, m, width)
    load(buf, K, k, mask >> 2 & 1, start, m, width)
    load(buf, T, t, mask >> 3 & 1, start, m, width)
    load(buf, V, v, mask >> 4 & 1, start, m, width)
    load(buf, R, r, mask >> 5 & 1, start, m, width)
    if bsm:
        carried(buf, q, mask, start, m, width)
    discount(buf, t, mask, r, width)
    longer = 0
    marked = 0
    for i in range(width):
        f_i = buf[F + i]
        k_i = buf[K + i]
        t_i = buf[T + i]
        v_i = buf[V + i]
        s = v_i * math.sqrt(t_i)
        x = log_ratio(f_i, k_i)
        h = abs(x) / s
        a = h - 0.5 * s
        lo = f_i if f_i < k_i else k_i
        hi = f_i if f_i > k_i else k_i
        short = t_i if t_i < v_i else v_i
        good = (
            (lo > SMALL)
            & (hi < LARGE)
            & (short > SMALL)
            & (s < S_LONG)
            & (abs(a - 38.0) > 1.0)
            & (abs(buf[W + i]) == 1.0)
            & (abs(buf[R + i] * t_i) < 700.0)
        )
        buf[S + i] = s if good else 0.0
        buf[X + i] = x if good else 0.0
        buf[H + i] = h if good else -1.0
        longer += good & (s > S_SHORT)
        marked += not good
    return longer, marked


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def time_values(buf, width):
    """OUT <- undiscounted time value; BASE <- F * phi(d1)."""
    for i in range(width):
        f_i = buf[F + i]
        k_i = buf[K + i]
        s = buf[S + i]
        a = buf[H + i] - 0.5 * s
        z = -0.5 * a * a
        lo = f_i if f_i < k_i else k_i
        base = lo * (INV_SQRT_2PI * exp_poly(z if z > -700.0 else -700.0))
        base = base if z > -700.0 else 0.0
        buf[BASE + i] = base
        buf[OUT + i] = base * (s * buf[D + i])


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def prices(buf, width):
    """PRICE <- discounted price from the time value."""
    for i in range(width):
        inside = buf[W + i] * (buf[F + i] - buf[K + i])
        buf[PRICE + i] = buf[DF + i] * (buf[OUT + i] + (inside if inside > 0.0 else 0.0))


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def store(buf, at, out, first, m):
    """Copy ``m`` results to their place."""
    for i in range(m):
        out[np.uint64(first + i)] = buf[at + i]
    for i in range(0, BLOCK, 8):
        touch(out, first + BLOCK + i)


@njit(cache=True, nogil=True, error_model="numpy")
def price_rows(w, f, k, t, v, r, q, mask, bsm, start, stop, out):
    buf = np.empty(SCRATCH)
    for first in range(start, stop, BLOCK):
        m = min(BLOCK, stop - first)
        width = (m + 7) & ~7
        longer, marked = front(buf, f, k, t, v, w, r, q, mask, bsm, first, m, width)
        gaps(buf, width, longer)
        time_values(buf, width)
        prices(buf, width)
        store(buf, PRICE, out, first, m)
        if marked:
            for i in range(m):
                if buf[H + i] < 0.0:
                    out[first + i] = price_one(
                        buf[W + i], buf[F + i], buf[K + i], buf[T + i], buf[V + i], math.exp(-buf[R + i] * buf[T + i])
                    )


@njit(cache=True, nogil=True, error_model="numpy")
def greeks_rows(w, f, k, t, v, r, q, mask, bsm, start, stop, price, delta, gamma, vega, theta, rho):
    buf = np.empty(SCRATCH)
    for first in range(start, stop, BLOCK):
        m = min(BLOCK, stop - first)
        width = (m + 7) & ~7
        longer, marked = front(buf, f, k, t, v, w, r, q, mask, bsm, first, m, width)
        gaps(buf, width, longer)
        time_values(buf, width)
        prices(buf, width)
        for i in range(width):
            d1 = fma(0.5, buf[S + i], buf[X + i] / buf[S + i])
            buf[D + i] = d1
            buf[TAIL + i] = mills(abs(d1))
        first_greeks(buf, width)
        if bsm:
            load(buf, K, f, mask >> 1 & 1, first, m, width)
            to_spot(buf, width)
        if price.size:
            store(buf, PRICE, price, first, m)
        store(buf, DELTA, delta, first, m)
        store(buf, GAMMA, gamma, first, m)
        store(buf, VEGA, vega, first, m)
        store(buf, THETA, theta, first, m)
        store(buf, RHO, rho, first, m)
        if marked:
            for i in range(m):
                if buf[H + i] < 0.0:
                    j = first + i
                    p, delta[j], gamma[j], vega[j], theta[j], rho[j] = greeks_one(
                        buf[W + i],
                        f[j * (mask >> 1 & 1)],
                        k[j * (mask >> 2 & 1)],
                        buf[T + i],
                        buf[V + i],
                        buf[R + i],
                        q[j * (mask >> 6 & 1)],
                        bsm,
                    )
                    if price.size:
                        price[j] = p


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def first_greeks(buf, width):
    """The Greeks by the forward, undiscounted tail probabilities from Mills ratios."""
    for i in range(width):
        f_i = buf[F + i]
        t_i = buf[T + i]
        s = buf[S + i]
        root = math.sqrt(t_i)
        df = buf[DF + i]
        base = buf[BASE + i]
        inverse = 1.0 / (f_i * s * t_i)
        over_f = inverse * (s * t_i)
        w = buf[W + i]
        d1 = buf[D + i]
        tail = base * over_f * buf[TAIL + i]
        up = tail if d1 < 0.0 else 1.0 - tail
        down = 1.0 - tail if d1 < 0.0 else tail
        buf[DELTA + i] = df * (up if w > 0.0 else -down)
        buf[GAMMA + i] = df * base * over_f * (inverse * t_i)
        buf[VEGA + i] = df * base * root
        buf[THETA + i] = fma(buf[R + i], buf[PRICE + i], -0.5 * df * base * (s * (inverse * f_i * s)))
        buf[RHO + i] = -t_i * buf[PRICE + i]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def to_spot(buf, width):
    """From the forward's Greeks to the spot's; K holds the spot, Q the dividend yield."""
    for i in range(width):
        spot = buf[K + i]
        t_i = buf[T + i]
        q_i = buf[Q + i]
        growth = buf[F + i] / spot
        by_forward = buf[DELTA + i]
        delta = by_forward * growth
        buf[DELTA + i] = delta
        buf[GAMMA + i] = buf[GAMMA + i] * growth * growth
        buf[THETA + i] = fma(q_i - buf[R + i], spot * delta, buf[THETA + i])
        buf[RHO + i] = fma(spot * delta, t_i, buf[RHO + i])
