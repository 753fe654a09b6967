"""The parts of the solver: the guess, the step, the careful root."""

from __future__ import annotations

import math

import numpy as np
import pytest

from toolkit import pricing
from toolkit.pricing import inverse


@pytest.mark.parametrize("h", [1e-6, 1e-3, 0.1, 0.5, 1.0, 3.0, 8.0, 20.0, 36.0])
def test_guess_is_the_normal_models_volatility(h):
    from mpmath import mp, mpf

    with mp.workdps(60):
        bell = mp.exp(-(mpf(h) ** 2) / 2) / mp.sqrt(2 * mp.pi)
        time_value = float(bell / h - mp.erfc(mpf(h) / mp.sqrt(2)) / 2)
    assert inverse.guess(1.0, time_value) == pytest.approx(1.0 / h, rel=1e-5)


def test_lognormal_from_normal():
    for x in (0.0, 0.05, 0.3):
        for s in (0.01, 0.1, 0.3):
            f, k = 1.0, math.exp(x)
            c = pricing.price(1, f, k, 1.0, s)
            first = max(x, 1e-7 * c) * inverse.guess(k - f, c)
            assert inverse.lognormal(first, x) == pytest.approx(s, rel=2e-4)


def test_one_step_reaches_the_root_from_one_in_ten_thousand():
    for h, s in ((0.0, 0.1), (1.0, 0.05), (6.0, 0.2), (20.0, 0.01)):
        x = h * s
        c = pricing.price(1, 1.0, math.exp(x), 1.0, s)
        s0 = s * 1.0001
        h0, t0 = x / s0, 0.5 * s0
        d = inverse.gap(h0, t0) / s0
        rho = math.log(c * inverse.SQRT_2PI / (s0 * d)) + 0.5 * (h0 - t0) ** 2
        assert s0 * (1.0 + inverse.relative_step(rho, d, h0 * h0, t0 * t0)) == pytest.approx(s, rel=3e-15)


@pytest.mark.parametrize("s", [1e-7, 1e-3, 0.2, 1.4, 1.6, 3.0, 8.0, 15.0])
@pytest.mark.parametrize("x", [0.0, 1e-6, 0.1, 1.0, 6.9])
def test_careful_root(s, x):
    f, k = 1.0, math.exp(x)
    x = math.log(k)
    c = pricing.price(1, f, k, 1.0, s)
    vega = pricing.greeks(1, f, k, 1.0, s).vega
    if c == 0.0 or c * 2.0**-52 > 1e-9 * vega * s:
        return
    attainable = 2.0**-53 * (c / vega + s)
    assert abs(inverse.implied_total(f, x, k - f, c) - s) <= 12 * attainable


def test_bounds_of_the_careful_root():
    assert inverse.implied_total(1.0, 0.2, 0.22, 0.0) == 0.0
    assert inverse.implied_total(1.0, 0.2, 0.22, 1.0) == math.inf
    assert math.isnan(inverse.implied_total(1.0, 0.2, 0.22, 1.1))
    assert math.isnan(inverse.implied_total(1.0, 0.2, 0.22, -0.1))
    assert math.isnan(inverse.implied_one(1.0, math.nan, 1.0, 1.2, 1.0, 0.0, 0.0, False))


def test_neighbours_do_not_matter():
    k = np.linspace(80.0, 120.0, 300)
    value = pricing.price(1, 100.0, k, 0.1, 0.2)
    value[100] = np.nan
    value[150] = 99.9999
    whole = pricing.implied_vol(1, value, 100.0, k, 0.1)
    alone = [pricing.implied_vol(1, float(p), 100.0, float(x), 0.1) for p, x in zip(value, k, strict=True)]
    assert np.array_equal(whole, alone, equal_nan=True)
