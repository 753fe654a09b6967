"""Vectorised kernels over rows: price, and price with the five Greeks.

Rows are taken in blocks through one scratch array that stays in the first-level cache; each
stage is a loop without branches, which LLVM turns into vector code. Rows outside the common
domain (limits, NaN, total volatility above 1.5, prices near underflow) are counted and computed
again by the careful scalar kernels. Nothing depends on a row's neighbours.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit

from toolkit.pricing.arrays import Floats
from toolkit.pricing.kernels import greeks_one, price_careful, steps
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
S: Final = 8 * PITCH
H: Final = 9 * PITCH
D: Final = 10 * PITCH
DF: Final = 11 * PITCH
GROWN: Final = 12 * PITCH
OUT: Final = 13 * PITCH
TAIL: Final = 14 * PITCH
ROOT: Final = 15 * PITCH
BASE: Final = 16 * PITCH
D1: Final = 17 * PITCH
OUTS: Final = 18 * PITCH
SCRATCH: Final = 23 * PITCH


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def constant(buf: Floats, at: int, row: Floats, step: int) -> None:
    """Repeat the only value of an input; done once, before the blocks.

    Indices are unsigned here and below: a sign to check turns plain stores into slow scatters.
    """
    if not step:
        for i in range(BLOCK):
            buf[np.uint64(at + i)] = row[0]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def view(buf: Floats, at: int, row: Floats, step: int, first: int, m: int) -> Floats:
    """The block of an input: its own memory where whole eights, else a padded copy (or the repeated constant)."""
    if step:
        if not m & 7:
            for i in range(0, BLOCK, 8):
                touch(row, first + BLOCK + i)
            return row[first : first + BLOCK]
        for i in range(m):
            buf[np.uint64(at + i)] = row[np.uint64(first + i)]
        for i in range(m, (m + 7) & ~7):
            buf[np.uint64(at + i)] = row[first]
    return buf[at : at + BLOCK]


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def target(buf: Floats, at: int, out: Floats, first: int, m: int) -> Floats:
    """Where a block of results goes: its place where whole eights, else scratch."""
    if not m & 7:
        for i in range(0, BLOCK, 8):
            touch(out, first + BLOCK + i)
        return out[first : first + BLOCK]
    return buf[at : at + BLOCK]


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
    """ROOT, S, H <- root of tte, total volatility and |ln(F/K)|/s; rows of no common kind get h = -1 and s = 1.

    Returns how many rows need the long series and how many are out of the domain.
    """
    longer = 0
    marked = 0
    for i in range(width):
        f = fs[i]
        k = ks[i]
        t = ts[i]
        v = vs[i]
        root = math.sqrt(t)
        s = v * root
        h = abs(log_ratio(f, k)) / s
        lo = f if f < k else k
        hi = f if f > k else k
        short = t if t < v else v
        good = (
            (lo > SMALL)
            & (hi < LARGE)
            & (short > SMALL)
            & (s < S_LONG)
            & (abs(h - 0.5 * s - 38.0) > 1.0)
            & (abs(ws[i]) == 1.0)
            & (buf[DF + i] > 0.0)
        )
        buf[ROOT + i] = root
        buf[S + i] = s if good else 1.0
        buf[H + i] = h if good else -1.0
        longer += good & (s > S_SHORT)
        marked += not good
    return longer, marked


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def gaps(buf: Floats, width: int, longer: int) -> None:
    """D <- (M(h - t) - M(h + t)) / 2t for every row, t = s / 2."""
    if longer:
        for i in range(width):
            h = buf[H + i]
            t = 0.5 * buf[S + i]
            buf[D + i] = series_long(bracket(h), h * h, t * t)
    else:
        for i in range(width):
            h = buf[H + i]
            t = 0.5 * buf[S + i]
            buf[D + i] = series_short(bracket(h), h * h, t * t)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def base_of(lo: float, h: float, s: float) -> float:
    """F * phi(d1), which is min(F, K) * phi(h - s/2)."""
    a = h - 0.5 * s
    z = -0.5 * a * a
    base = lo * (INV_SQRT_2PI * exp_poly(z if z > -700.0 else -700.0))
    return base if z > -700.0 else 0.0


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
    buf = np.empty(SCRATCH)
    free = not (mask >> 5 & 1) and r[0] == 0.0
    constants(buf, w, f, k, t, v, r, q, mask)
    for first in range(start, stop, BLOCK):
        m = min(BLOCK, stop - first)
        width = (m + 7) & ~7
        ws = view(buf, W, w, mask & 1, first, m)
        fs = view(buf, F, f, mask >> 1 & 1, first, m)
        ks = view(buf, K, k, mask >> 2 & 1, first, m)
        ts = view(buf, T, t, mask >> 3 & 1, first, m)
        vs = view(buf, V, v, mask >> 4 & 1, first, m)
        if not free:
            discount(buf, view(buf, R, r, mask >> 5 & 1, first, m), ts, width)
        if bsm:
            rs = view(buf, R, r, mask >> 5 & 1, first, m)
            fs = carried(buf, fs, rs, view(buf, Q, q, mask >> 6 & 1, first, m), ts, width)
        longer, marked = front(buf, ws, fs, ks, ts, vs, width)
        gaps(buf, width, longer)
        to = target(buf, OUT, out, first, m)
        for i in range(width):
            f_i = fs[i]
            k_i = ks[i]
            s = buf[S + i]
            df = buf[DF + i]
            inside = ws[i] * (f_i - k_i)
            base = df * base_of(f_i if f_i < k_i else k_i, buf[H + i], s)
            to[i] = fma(base, s * buf[D + i], df * (inside if inside > 0.0 else 0.0))
        finish(buf, OUT, out, first, m)
        if marked:
            for i in range(m):
                if buf[H + i] < 0.0:
                    j = first + i
                    out[j] = price_careful(
                        ws[i],
                        f[j * (mask >> 1 & 1)],
                        ks[i],
                        ts[i],
                        vs[i],
                        r[j * (mask >> 5 & 1)],
                        q[j * (mask >> 6 & 1)],
                        bsm,
                    )
    return True


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def constants(
    buf: Floats, w: Floats, f: Floats, k: Floats, t: Floats, v: Floats, r: Floats, q: Floats, mask: int
) -> None:
    """Repeat every input that has one value, and a discount factor of 1."""
    constant(buf, W, w, mask & 1)
    constant(buf, F, f, mask >> 1 & 1)
    constant(buf, K, k, mask >> 2 & 1)
    constant(buf, T, t, mask >> 3 & 1)
    constant(buf, V, v, mask >> 4 & 1)
    constant(buf, R, r, mask >> 5 & 1)
    constant(buf, Q, q, mask >> 6 & 1)
    for i in range(BLOCK):
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
    buf = np.empty(SCRATCH)
    free = not (mask >> 5 & 1) and r[0] == 0.0
    constants(buf, w, f, k, t, v, r, q, mask)
    for first in range(start, stop, BLOCK):
        m = min(BLOCK, stop - first)
        width = (m + 7) & ~7
        ws = view(buf, W, w, mask & 1, first, m)
        spots = view(buf, F, f, mask >> 1 & 1, first, m)
        ks = view(buf, K, k, mask >> 2 & 1, first, m)
        ts = view(buf, T, t, mask >> 3 & 1, first, m)
        vs = view(buf, V, v, mask >> 4 & 1, first, m)
        rs = view(buf, R, r, mask >> 5 & 1, first, m)
        qs = view(buf, Q, q, mask >> 6 & 1, first, m)
        if not free:
            discount(buf, rs, ts, width)
        fs = carried(buf, spots, rs, qs, ts, width) if bsm else spots
        longer, marked = front(buf, ws, fs, ks, ts, vs, width)
        gaps(buf, width, longer)
        to_price = target(buf, OUT, price, first, m) if price.size else buf[OUT : OUT + BLOCK]
        to_delta = target(buf, OUTS, delta, first, m)
        to_gamma = target(buf, OUTS + PITCH, gamma, first, m)
        to_vega = target(buf, OUTS + 2 * PITCH, vega, first, m)
        to_theta = target(buf, OUTS + 3 * PITCH, theta, first, m)
        to_rho = target(buf, OUTS + 4 * PITCH, rho, first, m)
        for i in range(width):
            f_i = fs[i]
            k_i = ks[i]
            s = buf[S + i]
            h = buf[H + i]
            df = buf[DF + i]
            w_i = ws[i]
            base = df * base_of(f_i if f_i < k_i else k_i, h, s)
            d1 = fma(0.5, s, h if f_i > k_i else -h)
            inside = w_i * (f_i - k_i)
            buf[BASE + i] = base
            buf[TAIL + i] = base * mills(abs(d1))
            buf[D1 + i] = d1
            to_price[i] = fma(base, s * buf[D + i], df * (inside if inside > 0.0 else 0.0))
        for i in range(width):
            f_i = fs[i]
            t_i = ts[i]
            root = buf[ROOT + i]
            s = buf[S + i]
            df = buf[DF + i]
            base = buf[BASE + i]
            inverse = 1.0 / (f_i * s * t_i)
            over_f = inverse * (s * t_i)
            tail = over_f * buf[TAIL + i]
            rest = df - tail
            outside = buf[D1 + i] < 0.0
            to_delta[i] = (tail if outside else rest) if ws[i] > 0.0 else -(rest if outside else tail)
            to_gamma[i] = base * over_f * (inverse * t_i)
            to_vega[i] = base * root
            to_theta[i] = fma(rs[i], to_price[i], -0.5 * base * (s * (inverse * f_i * s)))
            to_rho[i] = -t_i * to_price[i]
        if bsm:
            to_spot(spots, fs, rs, qs, ts, to_delta, to_gamma, to_theta, to_rho, width)
        if price.size:
            finish(buf, OUT, price, first, m)
        finish(buf, OUTS, delta, first, m)
        finish(buf, OUTS + PITCH, gamma, first, m)
        finish(buf, OUTS + 2 * PITCH, vega, first, m)
        finish(buf, OUTS + 3 * PITCH, theta, first, m)
        finish(buf, OUTS + 4 * PITCH, rho, first, m)
        if marked:
            for i in range(m):
                if buf[H + i] < 0.0:
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
