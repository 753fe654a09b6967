"""Raw SVI: total variance a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)) of log-moneyness k.

Gatheral, "A parsimonious arbitrage-free implied volatility parameterization" (2004); the fit is
quasi-explicit after Zeliade Systems, "Quasi-explicit calibration of Gatheral's SVI model" (2009):
for each (m, sigma) the rest is a small bounded least-squares problem, solved exactly.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from toolkit.pricing.arrays import Floats

__all__ = ["SVI", "butterfly", "fit_svi", "svi_slopes"]

STARTS_M: Final = (-0.5, -0.25, 0.0, 0.25, 0.5)
STARTS_S: Final = (0.1, 0.3, 0.8, 2.0)
MOST: Final = 400


class SVI(NamedTuple):
    """The five parameters of raw SVI, in total variance."""

    a: float
    b: float
    rho: float
    m: float
    sigma: float


@njit(cache=True, nogil=True, error_model="numpy")
def inner(k: Floats, w: Floats, weight: Floats, m: float, sigma: float, out: Floats) -> float:
    """Best a, p, q of a + p (r + y) + q (r - y) with 0 <= p, q <= sigma; the weighted squared error.

    y = (k - m) / sigma and r = sqrt(y^2 + 1); the bounds are rho in [-1, 1] and wing slopes of at most 2.
    """
    n = k.size
    total = su = sv = sw = 0.0
    for i in range(n):
        y = (k[i] - m) / sigma
        r = math.sqrt(y * y + 1.0)
        h = weight[i] * weight[i]
        total += h
        su += h * (r + y)
        sv += h * (r - y)
        sw += h * w[i]
    su /= total
    sv /= total
    sw /= total
    uu = uv = vv = uw = vw = ww = 0.0
    for i in range(n):
        y = (k[i] - m) / sigma
        r = math.sqrt(y * y + 1.0)
        h = weight[i] * weight[i]
        u = r + y - su
        v = r - y - sv
        z = w[i] - sw
        uu += h * u * u
        uv += h * u * v
        vv += h * v * v
        uw += h * u * z
        vw += h * v * z
        ww += h * z * z
    best = math.inf
    det = uu * vv - uv * uv
    for case in range(5):
        if case == 0:
            if not abs(det) > 1e-14 * uu * vv:
                continue
            p = (uw * vv - vw * uv) / det
            q = (vw * uu - uw * uv) / det
            if p < 0.0 or q < 0.0 or p > sigma or q > sigma:
                continue
        elif case < 3:
            p = 0.0 if case == 1 else sigma
            q = min(max((vw - p * uv) / vv, 0.0), sigma) if vv > 0.0 else 0.0
        else:
            q = 0.0 if case == 3 else sigma
            p = min(max((uw - q * uv) / uu, 0.0), sigma) if uu > 0.0 else 0.0
        error = ww - 2.0 * (p * uw + q * vw) + p * p * uu + 2.0 * p * q * uv + q * q * vv
        if error < best:
            best = error
            out[0] = sw - p * su - q * sv
            out[1] = p
            out[2] = q
        if case == 0:
            break
    return max(best, 0.0) / total


@njit(cache=True, nogil=True, error_model="numpy")
def cost(
    k: Floats, w: Floats, weight: Floats, m: float, sigma: float, out: Floats, grid: Floats, scale: float
) -> float:
    """Squared error plus penalties for negative variance and for butterfly arbitrage on ``grid``."""
    error = inner(k, w, weight, m, sigma, out)
    c = out[1] + out[2]
    d = out[1] - out[2]
    for x in grid:
        y = (x - m) / sigma
        r = math.sqrt(y * y + 1.0)
        v = out[0] + c * r + d * y
        if v <= 1e-9 * scale:
            error += scale * scale * (1.0 + (v / scale) ** 2)
            continue
        g = density_factor(x, v, (c * y / r + d) / sigma, c / (r * r * r * sigma * sigma))
        if g < 0.0:
            error += scale * scale * min(abs(g), 1.0)
    return error


@njit(cache=True, nogil=True, error_model="numpy")
def density_factor(k: float, w: float, slope: float, curve: float) -> float:
    """Gatheral's g(k): the risk-neutral density is g times a lognormal one; negative is butterfly arbitrage."""
    one = 1.0 - k * slope / (2.0 * w)
    return one * one - 0.25 * slope * slope * (1.0 / w + 0.25) + 0.5 * curve


@njit(cache=True, nogil=True, error_model="numpy")
def search(
    k: Floats,
    w: Floats,
    weight: Floats,
    grid: Floats,
    m: float,
    log_sigma: float,
    step_m: float,
    step_s: float,
    scale: float,
    out: Floats,
) -> Any:
    """Nelder and Mead's simplex over m and ln(sigma); returns the best m, ln(sigma) and cost."""
    xs = np.array([m, m + step_m, m])
    ys = np.array([log_sigma, log_sigma, log_sigma + step_s])
    fs = np.empty(3)
    for i in range(3):
        fs[i] = cost(k, w, weight, xs[i], math.exp(ys[i]), out, grid, scale)
    for _ in range(MOST):
        order = np.argsort(fs)
        xs = xs[order]
        ys = ys[order]
        fs = fs[order]
        if abs(xs[2] - xs[0]) + abs(ys[2] - ys[0]) < 1e-9 or fs[2] - fs[0] < 1e-15 * fs[0]:
            break
        mx = 0.5 * (xs[0] + xs[1])
        my = 0.5 * (ys[0] + ys[1])
        x = 2.0 * mx - xs[2]
        y = min(max(2.0 * my - ys[2], -9.0), 3.0)
        f = cost(k, w, weight, x, math.exp(y), out, grid, scale)
        if f < fs[0]:
            x2 = 3.0 * mx - 2.0 * xs[2]
            y2 = min(max(3.0 * my - 2.0 * ys[2], -9.0), 3.0)
            f2 = cost(k, w, weight, x2, math.exp(y2), out, grid, scale)
            if f2 < f:
                x = x2
                y = y2
                f = f2
        elif f >= fs[1]:
            inward = 0.5 if f < fs[2] else -0.5
            x2 = mx + inward * (mx - xs[2])
            y2 = my + inward * (my - ys[2])
            f2 = cost(k, w, weight, x2, math.exp(y2), out, grid, scale)
            if f2 >= min(f, fs[2]):
                for i in range(1, 3):
                    xs[i] = 0.5 * (xs[i] + xs[0])
                    ys[i] = 0.5 * (ys[i] + ys[0])
                    fs[i] = cost(k, w, weight, xs[i], math.exp(ys[i]), out, grid, scale)
                continue
            x = x2
            y = y2
            f = f2
        xs[2] = x
        ys[2] = y
        fs[2] = f
    at = np.argmin(fs)
    return xs[at], ys[at], fs[at]


def fit_svi(k: Floats, w: Floats, weight: Floats, start: SVI | None = None) -> SVI:
    """Fit raw SVI to total variances ``w`` at log-moneyness ``k``, errors weighted by ``weight``.

    Parameters
    ----------
    k, w, weight : ndarray, shape (n,), n >= 5
        Log(strike / forward), total variance, weight of an error in total variance.
    start : SVI, optional
        A neighbour's parameters: the search starts there instead of at five.
    """
    width = float(max(np.ptp(k), 1e-4))
    centre = float(k[np.argmin(w)])
    scale = float(np.mean(w))
    grid = np.linspace(k.min() - 0.5 * width, k.max() + 0.5 * width, 81)
    out = np.zeros(3)
    weight = weight / float(np.max(weight))
    if start is not None:
        places = [(start.m, math.log(start.sigma))]
    else:
        places = []
        for a in STARTS_M:
            column = [(centre + a * width, math.log(b * width)) for b in STARTS_S]
            costs = [cost(k, w, weight, m, math.exp(y), out, grid, scale) for m, y in column]
            places.append(column[int(np.argmin(costs))])
    best: tuple[float, float, float] = (0.0, 0.0, math.inf)
    for place in places:
        found = search(k, w, weight, grid, *place, 0.1 * width, 0.3, scale, out)
        best = min(best, found, key=lambda x: x[2])
    m, sigma = best[0], math.exp(best[1])
    cost(k, w, weight, m, sigma, out, grid, scale)
    c, d = out[1] + out[2], out[1] - out[2]
    return SVI(float(out[0]), float(c / sigma), float(d / c) if c > 0.0 else 0.0, float(m), float(sigma))


def svi_slopes(svi: SVI, k: Floats) -> tuple[Floats, Floats, Floats]:
    """Total variance and its first and second derivative by log-moneyness."""
    y = k - svi.m
    r = np.hypot(y, svi.sigma)
    w = svi.a + svi.b * (svi.rho * y + r)
    return w, svi.b * (svi.rho + y / r), svi.b * svi.sigma**2 / r**3


def butterfly(k: Floats, w: Floats, slope: Floats, curve: Floats) -> Floats:
    """Gatheral's g on arrays; below 0 the density is negative."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((1.0 - k * slope / (2.0 * w)) ** 2 - 0.25 * slope**2 * (1.0 / w + 0.25) + 0.5 * curve)
