"""Gamma and delta exposure against the pricing room; roots where the exposure is zero."""

from __future__ import annotations

import math

import numpy as np
import pytest

from toolkit import oi, pricing
from toolkit.errors import BadData
from toolkit.oi.gamma import add_bells, filled

K = 24000.0 + 50.0 * np.arange(21)
TTE = 5 / 365


def book(seed=1):
    rng = np.random.default_rng(seed)
    ce = rng.integers(0, 5000, 21) * 75
    pe = rng.integers(0, 5000, 21) * 75
    ce[:8] //= 20
    pe[-8:] //= 20
    return ce, pe, 0.12 + 0.02 * rng.random(21), 0.12 + 0.02 * rng.random(21)


def test_gex_is_gamma_times_oi_times_spot_squared_for_one_percent():
    ce, pe, civ, piv = book()
    spot = 24480.0
    found = oi.gex(K, ce, pe, civ, piv, spot, TTE)
    call = pricing.greeks(1, spot, K, TTE, civ).gamma
    put = pricing.greeks(-1, spot, K, TTE, piv).gamma
    by = (call * ce - put * pe) * spot**2 * 0.01
    np.testing.assert_allclose(found.by_strike, by, rtol=1e-9, atol=1e-3)
    assert found.net == pytest.approx(by.sum(), rel=1e-9)


def test_signs_are_an_assumption_of_the_caller():
    ce, pe, civ, piv = book()
    plain = oi.gex(K, ce, pe, civ, piv, 24480.0, TTE, signs=(1.0, 1.0)).net
    assert oi.gex(K, ce, pe, civ, piv, 24480.0, TTE, signs="dealer_short_both").net == pytest.approx(-plain)
    with pytest.raises(BadData, match="did you mean 'dealer_long_calls'"):
        oi.gex(K, ce, pe, civ, piv, 24480.0, TTE, signs="dealer_long_call")
    with pytest.raises(BadData, match="two finite figures"):
        oi.gex(K, ce, pe, civ, piv, 24480.0, TTE, signs=(1.0,))


def test_missing_volatility_is_interpolated_and_none_is_unknown():
    ce, pe, civ, piv = book()
    gap = civ.copy()
    gap[5] = np.nan
    x = np.log(K)
    want = civ[4] + (civ[6] - civ[4]) * (x[5] - x[4]) / (x[6] - x[4])
    assert filled(K, gap)[5] == pytest.approx(want)
    ends = civ.copy()
    ends[:3] = np.nan
    ends[-2:] = 0.0
    assert filled(K, ends)[[0, -1]].tolist() == [civ[3], civ[-3]]
    nothing = oi.gex(K, ce, pe, np.full(21, np.nan), piv, 24480.0, TTE)
    assert math.isnan(nothing.net)
    assert math.isnan(oi.gex(K, ce, pe, civ, piv, 24480.0, 0.0).net)
    assert oi.zero_gamma(K, ce, pe, civ, piv, 24480.0, 0.0).size == 0


def test_roots_are_where_the_exposure_is_zero():
    for seed in range(20):
        ce, pe, civ, piv = book(seed)
        roots = oi.zero_gamma(K, ce, pe, civ, piv, 24480.0, TTE)
        assert (np.diff(roots) > 0).all()
        gross = np.abs(oi.gex(K, ce, pe, civ, piv, 24480.0, TTE).by_strike).sum()
        for root in roots:
            assert abs(oi.gex(K, ce, pe, civ, piv, root, TTE).net) < 1e-8 * gross
        grid = 24480.0 * np.exp(np.linspace(math.log(0.9), math.log(1.1), 201))
        net = np.array([oi.gex(K, ce, pe, civ, piv, x, TTE).net for x in grid])
        strong = np.abs(net) > 1e-7 * np.abs(net).max()
        flips = [j for j in range(200) if strong[j] and strong[j + 1] and net[j] * net[j + 1] < 0]
        assert len(roots) >= len(flips)
        for j in flips:
            assert ((roots > grid[j]) & (roots < grid[j + 1])).any()


def test_one_sided_books_have_no_root():
    ce, _, civ, piv = book()
    assert oi.zero_gamma(K, ce, np.zeros(21, dtype=int), civ, piv, 24480.0, TTE).size == 0
    assert oi.zero_gamma(K, ce * 0, ce * 0, civ, piv, 24480.0, TTE).size == 0
    with pytest.raises(BadData, match="points of 3"):
        oi.zero_gamma(K, ce, ce, civ, piv, 24480.0, TTE, points=2)
    with pytest.raises(BadData, match="span"):
        oi.zero_gamma(K, ce, ce, civ, piv, 24480.0, TTE, span=1.5)


def test_the_coarse_exponential_is_good_to_five_millionths():
    sums = np.zeros(201)
    add_bells(sums, 2.0, -5.0, 0.05)
    x = -5.0 + 0.05 * np.arange(201)
    np.testing.assert_allclose(sums, 2.0 * np.exp(-0.5 * x * x), rtol=5e-6)


def test_delta_weighted_oi_is_the_absolute_delta():
    ce, pe, civ, piv = book()
    calls, puts = oi.delta_weighted_oi(K, ce, pe, civ, piv, 24500.0, TTE)
    assert calls == pytest.approx((pricing.greeks(1, 24500.0, K, TTE, civ).delta * ce).sum(), rel=1e-9)
    assert puts == pytest.approx(-(pricing.greeks(-1, 24500.0, K, TTE, piv).delta * pe).sum(), rel=1e-9)
    assert all(math.isnan(v) for v in oi.delta_weighted_oi(K, ce, pe, civ, piv, 24500.0, 0.0))
