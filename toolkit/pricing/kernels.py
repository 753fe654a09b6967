"""Careful scalar kernels of Black's formula on the out-of-the-money side."""

from __future__ import annotations

import math
from typing import Any, Final

from numba import njit

from toolkit.pricing.arrays import Floats
from toolkit.pricing.normal import bracket, log_ratio, mills, series_long

__all__ = [
    "decay_of",
    "forward_of",
    "gap",
    "greeks2_rows",
    "greeks_one",
    "log_of_ratio",
    "price_careful",
    "price_one",
    "steps",
    "time_value",
]

SQRT_2PI: Final = 2.5066282746310002


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def log_of_ratio(f: float, k: float) -> float:
    """ln(f / k) for any positive finite f and k."""
    if min(f, k) > 1e-290 and max(f, k) < 1e290:
        return log_ratio(f, k)
    return math.log(f) - math.log(k)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def gap(h: float, t: float) -> float:
    """M(h - t) - M(h + t), M the Mills ratio, where h - t > -40."""
    if t <= 0.75:
        return 2.0 * t * series_long(bracket(h), h * h, t * t)
    a = h - t
    if a >= 0.0:
        return mills(a) - mills(h + t)
    return SQRT_2PI * math.exp(0.5 * a * a) - mills(-a) - mills(h + t)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def tail(z: float) -> float:
    """Upper tail of the normal distribution, relative precision on both sides."""
    if math.isnan(z):
        return z
    if z == 0.0:
        return 0.5
    if z > 39.0:
        return 0.0
    if z >= 0.0:
        return math.exp(-0.5 * z * z) / SQRT_2PI * mills(z)
    if z < -39.0:
        return 1.0
    return 1.0 - math.exp(-0.5 * z * z) / SQRT_2PI * mills(-z)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def time_value(f: float, k: float, s: float) -> float:
    """Undiscounted price of the out-of-the-money option."""
    lo = min(f, k)
    if lo == 0.0 or s == 0.0:
        return 0.0
    if math.isinf(max(f, k)):
        return 0.0 if f != k else math.nan
    if s > 80.0:
        return lo
    h = abs(log_of_ratio(f, k)) / s
    t = 0.5 * s
    a = h - t
    if a > 39.0:
        return 0.0
    if t > 0.75 and a < 0.0:
        return lo - lo * math.exp(-0.5 * a * a) / SQRT_2PI * (mills(-a) + mills(h + t))
    return lo * (math.exp(-0.5 * a * a) / SQRT_2PI) * gap(h, t)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def price_one(w: float, f: float, k: float, t: float, v: float, df: float) -> float:
    if not (w * w == 1.0 and f >= 0.0 and k >= 0.0 and t >= 0.0 and v >= 0.0):
        return math.nan
    s = v * math.sqrt(t)
    if t == 0.0 or v == 0.0:
        s = 0.0
    intrinsic = max(w * (f - k), 0.0)
    return df * (intrinsic + time_value(f, k, s))


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def forward_of(f: float, t: float, r: float, q: float, bsm: bool) -> float:
    return f * decay_of(q - r, t) if bsm else f


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def decay_of(r: float, t: float) -> float:
    """exp(-r t), 1 for no rate even where t is infinite."""
    return 1.0 if r == 0.0 else math.exp(-r * t)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def price_careful(w: float, f: float, k: float, t: float, v: float, r: float, q: float, bsm: bool) -> float:
    """One row of any kind: limits, NaN, any total volatility."""
    return price_one(w, forward_of(f, t, r, q, bsm), k, t, v, decay_of(r, t))


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def d_terms(f: float, k: float, t: float, v: float) -> Any:
    s = v * math.sqrt(t)
    if t == 0.0 or v == 0.0:
        s = 0.0
    if f == k and f > 0.0:
        return s, 0.5 * s, -0.5 * s
    if f == 0.0 or k == 0.0 or s == 0.0:
        big = math.inf if f > k else -math.inf
        return s, big, big
    x = log_of_ratio(f, k)
    return s, x / s + 0.5 * s, x / s - 0.5 * s


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def density(d: float) -> float:
    return math.exp(-0.5 * d * d) / SQRT_2PI if abs(d) < 40.0 else 0.0 * d * 0.0 if math.isnan(d) else 0.0


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def over(a: float, b: float) -> float:
    return 0.0 if a == 0.0 else a / b


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def greeks_one(w: float, f: float, k: float, t: float, v: float, r: float, q: float, bsm: bool) -> Any:
    """Price, delta, gamma, vega, theta, rho of one row."""
    forward = forward_of(f, t, r, q, bsm)
    df = decay_of(r, t)
    p = price_one(w, forward, k, t, v, df)
    if math.isnan(p):
        return p, p, p, p, p, p
    s, d1, d2 = d_terms(forward, k, t, v)
    n1 = density(d1)
    carry = decay_of(q, t) if bsm else df
    base = df * forward * n1
    delta = carry * w * tail(-w * d1)
    gamma = over(carry * n1, f * s)
    vega = base * math.sqrt(t)
    theta = -0.5 * over(base * v, math.sqrt(t))
    if bsm:
        strike_leg = w * k * df * tail(-w * d2)
        return p, delta, gamma, vega, theta + q * f * delta - r * strike_leg, t * strike_leg
    return p, delta, gamma, vega, theta + r * p, -t * p


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def greeks2_one(w: float, f: float, k: float, t: float, v: float, r: float, q: float, bsm: bool) -> Any:
    """Vanna, volga, charm, speed, zomma, color of one row; limits where tte or vol is 0."""
    forward = forward_of(f, t, r, q, bsm)
    if math.isnan(price_one(w, forward, k, t, v, 1.0)) or math.isnan(r) or math.isnan(q):
        return math.nan, math.nan, math.nan, math.nan, math.nan, math.nan
    s, d1, d2 = d_terms(forward, k, t, v)
    carry_rate = q if bsm else r
    drift = r - q if bsm else 0.0
    carry = decay_of(carry_rate, t)
    decay = carry_rate * carry * w * tail(-w * d1)
    n1 = carry * density(d1)
    if n1 == 0.0:
        return 0.0, 0.0, decay, 0.0, 0.0, 0.0
    if s == 0.0:
        return limits2(n1, decay, t, v, drift)
    gamma = n1 / (f * s)
    d1_t = drift / s - 0.5 * d2 / t
    return (
        -n1 * d2 / v,
        f * n1 * math.sqrt(t) * d1 * d2 / v,
        decay - n1 * d1_t,
        -gamma / f * (d1 / s + 1.0),
        gamma * (d1 * d2 - 1.0) / v,
        gamma * (carry_rate + 0.5 / t + d1 * d1_t),
    )


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def limits2(n1: float, decay: float, t: float, v: float, drift: float) -> Any:
    """At the money with no total volatility: d1 = s/2 and d2 = -s/2 with s going to 0."""
    vanna = 0.5 * n1 * math.sqrt(t)
    charm = decay - n1 * over(drift, 0.0) - (0.0 if v == 0.0 else 0.25 * n1 * over(v, math.sqrt(t)))
    return vanna, 0.0, charm, -math.inf, -math.inf, math.inf


@njit(cache=True, nogil=True, error_model="numpy")
def steps(a: Floats, b: Floats, c: Floats, d: Floats, e: Floats, g: Floats, h: Floats, n: int) -> int:
    """Bits of the inputs that have ``n`` values; -1 where one has neither ``n`` nor 1."""
    mask = 0
    for i, size in enumerate((a.size, b.size, c.size, d.size, e.size, g.size, h.size)):
        if size == n:
            mask |= 1 << i
        elif size != 1:
            return -1
    return mask


@njit(cache=True, nogil=True, error_model="numpy")
def greeks2_rows(
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
    vanna: Floats,
    volga: Floats,
    charm: Floats,
    speed: Floats,
    zomma: Floats,
    color: Floats,
) -> bool:
    mask = steps(w, f, k, t, v, r, q, vanna.size)
    if mask < 0:
        return False
    for i in range(start, stop):
        vanna[i], volga[i], charm[i], speed[i], zomma[i], color[i] = greeks2_one(
            w[i * (mask & 1)],
            f[i * (mask >> 1 & 1)],
            k[i * (mask >> 2 & 1)],
            t[i * (mask >> 3 & 1)],
            v[i * (mask >> 4 & 1)],
            r[i * (mask >> 5 & 1)],
            q[i * (mask >> 6 & 1)],
            bsm,
        )
    return True
