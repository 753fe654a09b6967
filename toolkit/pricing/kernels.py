"""Careful scalar kernels of Black's formula on the out-of-the-money side."""

from __future__ import annotations

import math
from typing import Final

from numba import njit

__all__ = ["greeks2_rows", "greeks_rows", "implied_rows", "price_rows"]

SQRT_2PI: Final = 2.5066282746310002
SQRT_HALF_PI: Final = 1.2533141373155003
SQRT_HALF: Final = 0.7071067811865476


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def mills(z):
    if z < 3.0:
        return math.erfc(z * SQRT_HALF) * SQRT_HALF_PI * math.exp(0.5 * z * z)
    t = 0.0
    for k in range(70, 0, -1):
        t = k / (z + t)
    return 1.0 / (z + t)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def log_ratio(f, k):
    if 0.5 * k < f < 2.0 * k:
        return math.log1p((f - k) / k)
    return math.log(f / k)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def gap(h, t):
    """(M(h - t) - M(h + t)), with the short-interval form where the difference cancels."""
    a = h - t
    b = h + t
    if t > 0.03:
        if a >= 0.0:
            return mills(a) - mills(b)
        return SQRT_2PI * math.exp(0.5 * a * a) - mills(-a) - mills(b)
    m = mills(h)
    q = h * h
    if h < 5.0:
        i1 = 1.0 - h * m
        i3 = (3.0 + q) * i1 - 1.0
        i5 = 4.0 * i3 - 3.0 * (1.0 - (1.0 + q) * i1) + q * i3
    else:
        i1 = 0.0
        w = 1.0
        for k in range(12):
            i1 += w
            w *= -(2.0 * k + 3.0) / q
        i1 /= q
        i3 = 6.0 / (q * q)
        i5 = 0.0
    return 2.0 * t * (i1 + t * t / 6.0 * i3 + t**4 / 120.0 * i5)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def tail(z):
    """Upper tail of the normal distribution."""
    return 0.5 * math.erfc(z * SQRT_HALF)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def time_value(f, k, s):
    """Undiscounted price of the out-of-the-money option."""
    lo = min(f, k)
    if lo == 0.0 or s == 0.0:
        return 0.0
    if math.isinf(max(f, k)):
        return 0.0 if f != k else math.nan
    if s > 80.0:
        return lo
    x = abs(log_ratio(f, k))
    h = x / s
    a = h - 0.5 * s
    if a > 39.0:
        return 0.0
    if a < -1.0:
        return lo * (1.0 - math.exp(-0.5 * a * a) / SQRT_2PI * (mills(-a) + mills(h + 0.5 * s)))
    return lo * math.exp(-0.5 * a * a) / SQRT_2PI * gap(h, 0.5 * s)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def price_one(w, f, k, t, v, df):
    if not (w * w == 1.0 and f >= 0.0 and k >= 0.0 and t >= 0.0 and v >= 0.0):
        return math.nan
    s = v * math.sqrt(t)
    if t == 0.0 or v == 0.0:
        s = 0.0
    intrinsic = max(w * (f - k), 0.0)
    return df * (intrinsic + time_value(f, k, s))


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def forward_of(f, t, r, q, bsm):
    return f * math.exp((r - q) * t) if bsm else f


@njit(cache=True, nogil=True, error_model="numpy")
def price_rows(w, f, k, t, v, r, q, mask, bsm, start, stop, out):
    for i in range(start, stop):
        ti = t[i * (mask >> 3 & 1)]
        ri = r[i * (mask >> 5 & 1)]
        fi = forward_of(f[i * (mask >> 1 & 1)], ti, ri, q[i * (mask >> 6 & 1)], bsm)
        df = math.exp(-ri * ti)
        out[i] = price_one(w[i * (mask & 1)], fi, k[i * (mask >> 2 & 1)], ti, v[i * (mask >> 4 & 1)], df)


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def implied_total(f, k, c):
    """Total volatility that gives the time value ``c`` of the out-of-the-money option."""
    lo = min(f, k)
    if c == 0.0:
        return 0.0
    if c == lo:
        return math.inf
    if not 0.0 < c < lo:
        return math.nan
    low = 0.0
    high = 80.0
    s = math.sqrt(2.0 * abs(log_ratio(f, k)))
    if s == 0.0:
        s = c / lo * SQRT_2PI
    x = abs(log_ratio(f, k))
    upper = c > 0.5 * lo
    for _ in range(200):
        m = time_value(f, k, s)
        if m > c:
            high = min(high, s)
        else:
            low = max(low, s)
        a = x / s - 0.5 * s
        vega = lo * math.exp(-0.5 * a * a) / SQRT_2PI
        if upper:
            step = math.log((lo - m) / (lo - c)) * (lo - m) / vega if m < lo else math.nan
        else:
            step = -math.log(m / c) * m / vega if m > 0.0 else math.nan
        new = s + step
        if not low < new < high:
            new = 0.5 * (low + high) if low > 0.0 else 0.1 * high
        if abs(new - s) <= 1e-16 * s:
            return new
        s = new
    return s


@njit(cache=True, nogil=True, error_model="numpy")
def implied_rows(w, p, f, k, t, r, q, mask, bsm, start, stop, out):
    for i in range(start, stop):
        ti = t[i * (mask >> 4 & 1)]
        ri = r[i * (mask >> 5 & 1)]
        wi = w[i * (mask & 1)]
        ki = k[i * (mask >> 3 & 1)]
        fi = forward_of(f[i * (mask >> 2 & 1)], ti, ri, q[i * (mask >> 6 & 1)], bsm)
        c = p[i * (mask >> 1 & 1)] / math.exp(-ri * ti) - max(wi * (fi - ki), 0.0)
        if wi * wi == 1.0 and fi > 0.0 and ki > 0.0 and ti > 0.0 and math.isfinite(fi) and math.isfinite(ki):
            out[i] = implied_total(fi, ki, c) / math.sqrt(ti)
        else:
            out[i] = math.nan


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def d_terms(f, k, t, v):
    s = v * math.sqrt(t)
    if t == 0.0 or v == 0.0:
        s = 0.0
    if f == k and f > 0.0:
        return s, 0.5 * s, -0.5 * s
    if f == 0.0 or k == 0.0 or s == 0.0:
        big = math.inf if f > k else -math.inf
        return s, big, big
    x = log_ratio(f, k)
    return s, x / s + 0.5 * s, x / s - 0.5 * s


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def density(d):
    return math.exp(-0.5 * d * d) / SQRT_2PI if abs(d) < 40.0 else 0.0 * d * 0.0 if math.isnan(d) else 0.0


@njit(cache=True, nogil=True, error_model="numpy", inline="never")
def over(a, b):
    return 0.0 if a == 0.0 else a / b


@njit(cache=True, nogil=True, error_model="numpy")
def greeks_rows(w, f, k, t, v, r, q, mask, bsm, start, stop, delta, gamma, vega, theta, rho):
    for i in range(start, stop):
        wi = w[i * (mask & 1)]
        ti = t[i * (mask >> 3 & 1)]
        ri = r[i * (mask >> 5 & 1)]
        qi = q[i * (mask >> 6 & 1)]
        ki = k[i * (mask >> 2 & 1)]
        vi = v[i * (mask >> 4 & 1)]
        spot = f[i * (mask >> 1 & 1)]
        fi = forward_of(spot, ti, ri, qi, bsm)
        df = math.exp(-ri * ti)
        p = price_one(wi, fi, ki, ti, vi, df)
        if math.isnan(p):
            delta[i] = gamma[i] = vega[i] = theta[i] = rho[i] = math.nan
            continue
        s, d1, d2 = d_terms(fi, ki, ti, vi)
        n1 = density(d1)
        carry = math.exp(-qi * ti) if bsm else df
        base = df * fi * n1
        delta[i] = carry * wi * tail(-wi * d1)
        gamma[i] = over(carry * n1, spot * s)
        vega[i] = base * math.sqrt(ti)
        decay = -0.5 * over(base * vi, math.sqrt(ti))
        if bsm:
            strike_leg = wi * ki * df * tail(-wi * d2)
            theta[i] = decay + qi * spot * delta[i] - ri * strike_leg
            rho[i] = ti * strike_leg
        else:
            theta[i] = decay + ri * p
            rho[i] = -ti * p


@njit(cache=True, nogil=True, error_model="numpy")
def greeks2_rows(w, f, k, t, v, r, q, mask, bsm, start, stop, vanna, volga, charm, speed, zomma, color):
    for i in range(start, stop):
        wi = w[i * (mask & 1)]
        ti = t[i * (mask >> 3 & 1)]
        ri = r[i * (mask >> 5 & 1)]
        qi = q[i * (mask >> 6 & 1)]
        ki = k[i * (mask >> 2 & 1)]
        vi = v[i * (mask >> 4 & 1)]
        spot = f[i * (mask >> 1 & 1)]
        fi = forward_of(spot, ti, ri, qi, bsm)
        df = math.exp(-ri * ti)
        if math.isnan(price_one(wi, fi, ki, ti, vi, df)):
            vanna[i] = volga[i] = charm[i] = speed[i] = zomma[i] = color[i] = math.nan
            continue
        s, d1, d2 = d_terms(fi, ki, ti, vi)
        carry_rate = qi if bsm else ri
        drift = ri - qi if bsm else 0.0
        carry = math.exp(-carry_rate * ti)
        n1 = carry * density(d1)
        if n1 == 0.0:
            vanna[i] = volga[i] = speed[i] = zomma[i] = color[i] = 0.0
            charm[i] = carry_rate * carry * wi * tail(-wi * d1)
            continue
        gamma = n1 / (spot * s)
        vanna[i] = -n1 * d2 / vi
        volga[i] = spot * n1 * math.sqrt(ti) * d1 * d2 / vi
        d1_t = drift / s - 0.5 * d2 / ti
        charm[i] = carry_rate * carry * wi * tail(-wi * d1) - n1 * d1_t
        speed[i] = -gamma / spot * (d1 / s + 1.0)
        zomma[i] = gamma * (d1 * d2 - 1.0) / vi
        color[i] = gamma * (carry_rate + 0.5 / ti + d1 * d1_t)
