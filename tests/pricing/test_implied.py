"""Implied volatility against the 50-digit table, at its bounds, and round trips."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import pricing
from toolkit.bench import reference
from toolkit.errors import BadData

ULP = 2.0**-53


@pytest.fixture(scope="module")
def solved():
    t = reference.load()
    iv = pricing.implied_vol(t["cp"], t["price"], t["forward"], t["strike"], t["tte"], t["rate"])
    sound = 2.0 * ULP * t["price"] / t["vega"] < 1e-9
    error = np.abs((iv - t["iv"]) / t["iv"] - t["iv_shift"])
    attainable = ULP * t["price"] / t["vega"] / t["iv"] + 0.5 * np.spacing(t["iv"]) / t["iv"]
    return t, iv, sound, error, attainable


def test_errors_are_those_the_docstring_states(solved):
    _, _, sound, error, attainable = solved
    text = " ".join(pricing.implied_vol.__doc__.split())
    most, median = re.search(r"at most ([\d.]+) times the attainable error, median ([\d.]+)", text).groups()
    times = (error / attainable)[sound]
    assert sound.sum() > 15_000
    assert times.max() <= float(most) <= 10.0
    assert np.median(times) <= float(median) <= 1.5


def test_no_row_is_wrong(solved):
    t, iv, sound, error, _ = solved
    assert not np.isnan(iv[sound]).any()
    assert (error * t["iv"])[sound].max() < 1e-9


def test_far_and_short_rows_keep_relative_precision(solved):
    t, _, sound, error, _ = solved
    total = t["iv"] * np.sqrt(t["tte"])
    distance = np.abs(np.log(t["forward"] / t["strike"])) / total
    outside = t["cp"] == np.where(t["strike"] >= t["forward"], 1.0, -1.0)
    far = sound & outside & (distance > 5.0)
    assert far.sum() > 2000
    assert error[far].max() <= 2e-15
    short = far & (t["tte"] < 1.0 / 365.0)
    assert short.sum() > 500
    assert error[short].max() <= 2e-15


@settings(max_examples=300, deadline=None)
@given(
    cp=st.sampled_from([1.0, -1.0]),
    x=st.floats(-0.7, 0.7),
    t=st.floats(1e-4, 3.0),
    v=st.floats(0.02, 3.0),
    r=st.floats(-0.02, 0.1),
)
def test_round_trip(cp, x, t, v, r):
    f, k = 24500.0, 24500.0 * math.exp(x)
    value = pricing.price(cp, f, k, t, v, r)
    vega = pricing.greeks(cp, f, k, t, v, r).vega
    if vega == 0.0 or value * ULP / vega > 1e-12:
        return
    got = pricing.implied_vol(cp, value, f, k, t, r)
    assert abs(got - v) <= 40 * ULP * (value / vega + v + (f + k) * ULP / vega)


def test_bounds():
    f, k, t = 100.0, 90.0, 0.5
    assert pricing.implied_vol(1, 10.0, f, k, t) == 0.0
    assert pricing.implied_vol(-1, 0.0, f, k, t) == 0.0
    assert pricing.implied_vol(1, 100.0, f, k, t) == math.inf
    assert pricing.implied_vol(-1, 90.0, f, k, t) == math.inf
    assert math.isnan(pricing.implied_vol(1, 9.99, f, k, t))
    assert math.isnan(pricing.implied_vol(1, 100.01, f, k, t))
    assert math.isnan(pricing.implied_vol(-1, 90.01, f, k, t))
    assert math.isnan(pricing.implied_vol(1, 12.0, f, k, 0.0))
    assert math.isnan(pricing.implied_vol(1, math.nan, f, k, t))


def test_near_the_upper_bound():
    f, k, t = 100.0, 150.0, 1.0
    for v in (3.0, 5.0, 9.0, 12.0):
        value = pricing.price(1, f, k, t, v)
        vega = pricing.greeks(1, f, k, t, v).vega
        got = pricing.implied_vol(1, value, f, k, t)
        assert abs(got - v) <= 10 * ULP * (value / vega + v)


def test_at_the_money_from_tiny_to_large():
    for v in (1e-3, 1e-2, 0.1, 1.0, 5.0):
        for t in (3.2e-8, 1e-3, 1.0, 10.0):
            value = pricing.price(1, 24500.0, 24500.0, t, v)
            vega = pricing.greeks(1, 24500.0, 24500.0, t, v).vega
            got = pricing.implied_vol(1, value, 24500.0, 24500.0, t)
            assert abs(got - v) <= 10 * ULP * (value / vega + v)


def test_negative_scalars_raise_and_rows_are_nan():
    with pytest.raises(BadData, match="tte must not be negative"):
        pricing.implied_vol(1, 5.0, 100.0, 100.0, -1.0)
    assert math.isnan(pricing.implied_vol(1, -5.0, 100.0, 100.0, 1.0))
    got = pricing.implied_vol(1, np.array([5.0, -5.0, 5.0]), 100.0, 100.0, np.array([1.0, 1.0, -1.0]))
    assert np.isnan(got).tolist() == [False, True, True]


def test_bsm_solves_on_the_forward():
    value = pricing.price(-1, 100.0, 95.0, 0.4, 0.3, 0.07, model="bsm", dividend=0.02)
    assert pricing.implied_vol(-1, value, 100.0, 95.0, 0.4, 0.07, model="bsm", dividend=0.02) == pytest.approx(
        0.3, rel=1e-13
    )


def test_out_and_shapes():
    k = np.linspace(80, 120, 6).reshape(2, 3)
    value = pricing.price("CE", 100.0, k, 0.5, 0.2)
    out = np.empty((2, 3))
    assert pricing.implied_vol("CE", value, 100.0, k, 0.5, out=out) is out
    assert out == pytest.approx(np.full((2, 3), 0.2), rel=1e-13)


def test_implied_forward():
    assert pricing.implied_forward(100.0, 8.0, 3.0) == 105.0
    assert type(pricing.implied_forward(100.0, 8.0, 3.0)) is float
    k = np.array([90.0, 100.0, 110.0])
    call, put = (pricing.price(cp, 104.0, k, 0.5, 0.2, 0.06) for cp in (1, -1))
    assert pricing.implied_forward(k, call, put, math.exp(-0.03)) == pytest.approx(np.full(3, 104.0), rel=1e-13)
    assert np.isnan(pricing.implied_forward(k, np.nan, put)).all()


def bsm_rows(n):
    """Spots with a carry below the total vol, around the money, priced in 50 digits."""
    from mpmath import mp, mpf

    rng = np.random.default_rng(3)
    tail = lambda z: mp.erfc(z / mp.sqrt(2)) / 2  # noqa: E731
    while n:
        s, t = 10.0 ** rng.uniform(-3, 0), 10.0 ** rng.uniform(-3, 0.7)
        spot, r, q, cp = 24500.0, rng.uniform(-0.02, 0.12), rng.uniform(0, 0.05), rng.choice([-1.0, 1.0])
        if abs(r - q) * t > s:
            continue
        k = spot * math.exp((r - q) * t + rng.normal() * s * 1.5)
        v = s / math.sqrt(t)
        with mp.workdps(50):
            root, df = mpf(v) * mp.sqrt(mpf(t)), mp.exp(-mpf(r) * t)
            forward = spot * mp.exp((mpf(r) - mpf(q)) * t)
            d1 = mp.log(forward / k) / root + root / 2
            price = df * cp * (forward * tail(-cp * d1) - k * tail(-cp * (d1 - root)))
            vega = df * forward * mp.npdf(d1) * mp.sqrt(mpf(t))
            shift = float((float(price) - price) / vega)
        if price > 1e-290 and price * ULP < 1e-9 * vega * v:
            n -= 1
            yield (cp, float(price), spot, k, t, r, q), v, shift, ULP * float(price / vega) + ULP * v / 2


def test_bsm_reaches_the_attainable_error_too():
    times = []
    for (cp, value, spot, k, t, r, q), v, shift, attainable in bsm_rows(250):
        got = pricing.implied_vol(cp, value, spot, k, t, r, model="bsm", dividend=q)
        times.append(abs((got - v) - shift) / attainable)
    assert max(times) <= 10.0
    assert np.median(times) <= 1.5
