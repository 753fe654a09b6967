"""Raw SVI: recovers what it is given, keeps its bounds, derivatives by difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.pricing.svi import SVI, butterfly, density_factor, fit_svi, inner, svi_slopes

K = np.linspace(-0.12, 0.1, 61)
TRUE = SVI(0.0004, 0.02, -0.4, 0.01, 0.05)


@pytest.mark.parametrize("true", [TRUE, SVI(0.001, 0.05, 0.2, -0.02, 0.08), SVI(-0.0002, 0.03, -0.6, 0.02, 0.04)])
def test_recovers_clean_parameters(true):
    w = svi_slopes(true, K)[0]
    fit = fit_svi(K, w, np.ones(len(K)))
    assert np.abs(svi_slopes(fit, K)[0] - w).max() < 1e-7 * w.max()
    assert fit == pytest.approx(true, rel=1e-3, abs=1e-5)


def test_warm_start_finds_the_same_curve():
    w = svi_slopes(TRUE, K)[0]
    near = TRUE._replace(m=0.012, sigma=0.055)
    fit = fit_svi(K, w, np.ones(len(K)), near)
    assert np.abs(svi_slopes(fit, K)[0] - w).max() < 1e-7 * w.max()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), noise=st.floats(0.0, 0.3))
def test_noise_never_breaks_the_bounds(seed, noise):
    rng = np.random.default_rng(seed)
    w = svi_slopes(TRUE, K)[0] * np.exp(rng.normal(0.0, noise, len(K)))
    a, b, rho, m, sigma = fit_svi(K, w, rng.uniform(0.1, 1.0, len(K)))
    assert b >= 0.0
    assert abs(rho) <= 1.0 + 1e-12
    assert sigma > 0.0
    assert b * (1.0 + abs(rho)) <= 2.0 + 1e-9
    assert np.isfinite([a, m]).all()


def test_inner_problem_is_solved_exactly():
    rng = np.random.default_rng(3)
    w = rng.uniform(0.001, 0.01, len(K))
    weight = rng.uniform(0.1, 1.0, len(K))
    out = np.zeros(3)
    best = inner(K, w, weight, 0.01, 0.05, out)
    y = (K - 0.01) / 0.05
    r = np.sqrt(y * y + 1)
    for _ in range(400):
        p, q = np.clip(out[1:] + rng.normal(0, 1e-3, 2), 0.0, 0.05)
        base = p * (r + y) + q * (r - y)
        a = np.average(w - base, weights=weight**2)
        assert np.average((a + base - w) ** 2, weights=weight**2) >= best * (1 - 1e-9)


def test_slopes_are_derivatives():
    h = 1e-6
    w, slope, curve = svi_slopes(TRUE, K)
    up, down = svi_slopes(TRUE, K + h), svi_slopes(TRUE, K - h)
    assert slope == pytest.approx((up[0] - down[0]) / (2 * h), rel=1e-6)
    assert curve == pytest.approx((up[1] - down[1]) / (2 * h), rel=1e-6)
    assert (w > 0).all()


def test_butterfly_sees_a_negative_density():
    vogt = SVI(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)
    k = np.linspace(-1.5, 1.5, 301)
    g = butterfly(k, *svi_slopes(vogt, k))
    assert g.min() < -0.01
    w, slope, curve = (float(x[150]) for x in svi_slopes(vogt, k))
    assert density_factor(float(k[150]), w, slope, curve) == pytest.approx(float(g[150]), rel=1e-12)


def test_fit_avoids_the_butterfly_of_its_data():
    vogt = SVI(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)
    k = np.linspace(-1.5, 1.5, 61)
    fit = fit_svi(k, svi_slopes(vogt, k)[0], np.ones(61))
    assert butterfly(k, *svi_slopes(fit, k)).min() > -2e-3
