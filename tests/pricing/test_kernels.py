"""The careful scalar kernels agree with the vector ones and with limits, one row at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from toolkit import pricing
from toolkit.pricing import kernels


@pytest.mark.parametrize(("f", "k", "t", "v"), [
    (100.0, 101.0, 0.02, 0.15), (100.0, 300.0, 0.5, 0.9), (24500.0, 24500.0, 1e-5, 0.1), (50.0, 49.999999, 2.0, 1.0),
])  # fmt: skip
@pytest.mark.parametrize("w", [1.0, -1.0])
def test_same_price_either_way(w, f, k, t, v):
    careful = kernels.price_careful(w, f, k, t, v, 0.03, 0.0, False)
    assert careful == pytest.approx(pricing.price(w, f, k, t, v, 0.03), rel=4e-15)
    greeks = kernels.greeks_one(w, f, k, t, v, 0.03, 0.01, True)
    assert greeks[1:] == pytest.approx(pricing.greeks(w, f, k, t, v, 0.03, model="bsm", dividend=0.01), rel=1e-12)


def test_gap_is_continuous_where_its_form_changes():
    for h in (0.0, 0.3, 0.7, 2.0):
        below, above = kernels.gap(h, 0.75), kernels.gap(h, math.nextafter(0.75, 1.0))
        assert above == pytest.approx(below, rel=2e-14)


def test_tail():
    assert kernels.tail(0.0) == 0.5
    assert kernels.tail(-50.0) == 1.0
    assert kernels.tail(50.0) == 0.0
    assert math.isnan(kernels.tail(math.nan))
    for z in (-3.0, -0.1, 0.2, 5.0, 30.0):
        assert kernels.tail(z) == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)), rel=1e-14)


def test_log_of_extreme_ratios():
    assert kernels.log_of_ratio(1e300, 1e-300) == pytest.approx(600 * math.log(10), rel=1e-15)
    assert kernels.log_of_ratio(5.0, 5.0) == 0.0


def test_extreme_scales_and_deep_underflow():
    assert pricing.price(1, 1e200, 1e200, 1.0, 0.2) == pytest.approx(
        1e200 * pricing.price(1, 1.0, 1.0, 1.0, 0.2), rel=1e-14
    )
    assert pricing.price(1, 1e-200, 1e-200, 1.0, 0.2) == pytest.approx(
        1e-200 * pricing.price(1, 1.0, 1.0, 1.0, 0.2), rel=1e-14
    )
    assert pricing.price(1, 100.0, 200.0, 1e-4, 0.1) == 0.0
    strip = pricing.price(1, 1.0, np.exp(0.01 * np.linspace(36.5, 39.5, 61)), 1.0, 0.01)
    assert (np.diff(strip) <= 0.0).all()
    assert (strip >= 0.0).all()


@pytest.mark.parametrize(("t", "v"), [(1e-60, 1e-30), (1e-9, 1e-3), (1e-80, 1e-80), (1e-20, 1e-90)])
@pytest.mark.parametrize("k", [50.0, 100.0, 200.0])
def test_hardly_any_total_volatility_is_none(k, t, v):
    for w in (1.0, -1.0):
        got = pricing.price_greeks(w, 100.0, k, t, v)
        assert got.price == pytest.approx(max(w * (100.0 - k), 0.0), abs=1e-5)
        assert got.delta == pytest.approx(w * (0.5 if k == 100.0 else float(w * (100.0 - k) > 0.0)))
        assert (got.gamma > 0.0) == (k == 100.0)


def test_higher_greeks_at_the_limits():
    with np.errstate(all="raise"):
        for t, v in ((0.0, 0.2), (0.5, 0.0)):
            away = kernels.greeks2_one(1.0, 100.0, 90.0, t, v, 0.0, 0.0, False)
            assert away == (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            vanna, volga, charm, speed, zomma, color = kernels.greeks2_one(1.0, 100.0, 100.0, t, v, 0.0, 0.0, False)
            assert (volga, speed, zomma, color) == (0.0, -math.inf, -math.inf, math.inf)
            assert vanna == pytest.approx(0.5 * math.sqrt(t) / math.sqrt(2 * math.pi))
            assert charm == (-math.inf if t == 0.0 else 0.0)


def test_rows_of_mixed_kinds_in_one_block():
    k = np.array([100.0, 0.0, 100.0, np.nan, 1e250, 100.0, -1.0, 130.0])
    t = np.array([0.5, 0.5, 0.0, 0.5, 0.5, 40.0, 0.5, 0.5])
    got = pricing.price(1, 105.0, k, t, 0.4)
    want = [
        pricing.price(1, 105.0, x, y, 0.4) if x >= 0 else math.nan for x, y in zip(k.tolist(), t.tolist(), strict=True)
    ]
    assert np.array_equal(got, want, equal_nan=True)
