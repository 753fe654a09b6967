"""Smiles: fit, density, flags, warm start, calendar, term structure."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.pricing.svi import SVI, svi_slopes

F, T = 24500.0, 20 / 365
STRIKES = np.arange(22500.0, 26501.0, 50.0)
TRUE = SVI(0.0004, 0.02, -0.4, 0.01, 0.05)
IV = np.sqrt(svi_slopes(TRUE, np.log(STRIKES / F))[0] / T)


@pytest.fixture(params=["svi", "spline"])
def fitted(request):
    return pricing.smile(STRIKES, IV, F, T, request.param)


def test_fits_the_curve(fitted):
    assert fitted.flags == ()
    assert np.abs(fitted.residuals).max() < 1e-4
    assert fitted.rmse < 1e-5
    assert fitted.iv(STRIKES) == pytest.approx(IV, abs=1e-4)
    assert type(fitted.iv(24000.0)) is float


def test_density_is_a_density(fitted):
    x = np.linspace(15000.0, 40000.0, 200_001)
    p = fitted.density(x)
    assert p.min() > -1e-12
    assert np.trapezoid(p, x) == pytest.approx(1.0, abs=2e-3)
    assert np.trapezoid(p * x, x) == pytest.approx(F, rel=2e-3)


def test_density_is_the_second_difference_of_prices(fitted):
    h = 5.0
    for k in (23500.0, 24500.0, 25300.0):
        down, mid, up = (fitted.price(1, x) for x in (k - h, k, k + h))
        assert fitted.density(k) == pytest.approx((up - 2 * mid + down) / h**2, rel=2e-3)
        assert fitted.cdf(k) == pytest.approx(1.0 + (up - down) / (2 * h), abs=1e-4)


def test_flat_smile_is_lognormal():
    flat = pricing.smile(STRIKES, np.full(len(STRIKES), 0.15), F, T)
    assert flat.iv(np.array([20000.0, 24500.0, 30000.0])) == pytest.approx(np.full(3, 0.15), abs=1e-6)
    s = 0.15 * np.sqrt(T)
    d2 = np.log(F / 24000.0) / s - 0.5 * s
    assert flat.density(24000.0) == pytest.approx(np.exp(-0.5 * d2**2) / (24000.0 * s * np.sqrt(2 * np.pi)), rel=1e-4)


def test_spread_weights_the_fit():
    rng = np.random.default_rng(2)
    noisy = IV + np.where(STRIKES > 25000, rng.normal(0, 0.02, len(STRIKES)), 0.0)
    spread = np.where(STRIKES > 25000, 50.0, 0.5)
    weighted = pricing.smile(STRIKES, noisy, F, T, spread=spread)
    calm = STRIKES < 25000
    plain = pricing.smile(STRIKES, noisy, F, T)
    assert np.abs(weighted.residuals[calm]).max() < np.abs(plain.residuals[calm]).max()
    assert np.abs(weighted.residuals[calm]).max() < 1e-3


def test_unknown_rows_are_left_out():
    iv = IV.copy()
    iv[::3] = np.nan
    got = pricing.smile(STRIKES, iv, F, T)
    assert len(got.strike) == np.isfinite(iv).sum()
    assert got.iv(STRIKES) == pytest.approx(IV, abs=1e-6)


def test_noisy_data_are_flagged_or_sound():
    rng = np.random.default_rng(4)
    for model in ("svi", "spline"):
        got = pricing.smile(STRIKES, IV + rng.normal(0, 0.004, len(STRIKES)), F, T, model)
        x = np.linspace(STRIKES[0], STRIKES[-1], 1001)
        if "butterfly" not in got.flags:
            assert got.density(x).min() > -1e-9
        assert got.rmse < 0.02


def test_impossible_data_are_flagged():
    k = np.log(STRIKES / F)
    hump = np.sqrt((0.002 + 0.02 * np.exp(-((k / 0.002) ** 2))) / T)
    got = pricing.smile(STRIKES, hump, F, T, "spline")
    assert got.flags == () or "butterfly" in got.flags
    assert got.rmse > 0.05


def test_warm_start_is_as_good():
    rng = np.random.default_rng(6)
    first = pricing.smile(STRIKES, IV, F, T)
    noisy = IV + rng.normal(0, 0.001, len(STRIKES))
    cold = pricing.smile(STRIKES, noisy, F, T)
    warm = pricing.smile(STRIKES, noisy, F, T, start=first)
    assert warm.rmse <= cold.rmse * 1.01


def test_calendar_arbitrage():
    near = pricing.smile(STRIKES, IV, F, T)
    far = pricing.smile(STRIKES, IV, F, 2 * T)
    assert len(pricing.calendar_arbitrage(near, far)) == 0
    cheap = pricing.smile(STRIKES, IV * 0.6, F, 2 * T)
    assert len(pricing.calendar_arbitrage(near, cheap)) > 50
    with pytest.raises(BadData, match="nearer smile first"):
        pricing.calendar_arbitrage(far, near)


@pytest.mark.parametrize(("change", "text"), [
    ({"model": "sabr"}, "smile model must be svi or spline, was 'sabr'"),
    ({"forward": -1.0}, "positive forward and tte"),
    ({"tte": 0.0}, "positive forward and tte"),
    ({"strike": STRIKES[:4], "iv": IV[:4]}, "at least 5 strikes"),
    ({"iv": np.full(len(IV), np.nan)}, "at least 5 strikes"),
])  # fmt: skip
def test_bad_input_is_named(change, text):
    with pytest.raises(BadData, match=text):
        pricing.smile(**({"strike": STRIKES, "iv": IV, "forward": F, "tte": T} | change))


def test_term_structure():
    got = pricing.term_structure([0.02, 0.1, 0.3], [0.12, 0.13, 0.14])
    assert got.flags == ()
    assert got.iv(np.array([0.02, 0.1, 0.3])) == pytest.approx([0.12, 0.13, 0.14])
    assert got.iv(0.01) == pytest.approx(0.12)
    between = got.forward_iv(0.02, 0.1)
    assert between**2 * 0.08 + 0.12**2 * 0.02 == pytest.approx(0.13**2 * 0.1)
    assert got.forward_variance[1] == pytest.approx(between**2)
    assert got.iv(1.0) ** 2 == pytest.approx(0.14**2 * 0.3 + got.forward_variance[2] * 0.7)


def test_falling_total_variance_is_flagged():
    got = pricing.term_structure([0.1, 0.2], [0.3, 0.1])
    assert got.flags == ("calendar",)
    assert np.isnan(got.forward_iv(0.1, 0.2))
    for times, vols in (([0.2, 0.1], [0.1, 0.1]), ([0.1], [0.1, 0.2]), ([], []), ([0.1], [np.nan])):
        with pytest.raises(BadData, match="term_structure needs"):
            pricing.term_structure(times, vols)
