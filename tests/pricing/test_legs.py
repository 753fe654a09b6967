"""Leg sets against brute force: payoffs, break-evens, extremes, probabilities, expectations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.pricing import builders
from toolkit.pricing.legs import Extremes, Leg, LegSet

F, T, V = 100.0, 0.1, 0.25


def brute(legs, spot):
    total = 0.0
    for leg in legs:
        if leg.kind == "CE":
            total += leg.qty * (max(spot - leg.strike, 0.0) - leg.price)
        elif leg.kind == "PE":
            total += leg.qty * (max(leg.strike - spot, 0.0) - leg.price)
        elif leg.kind == "FUT":
            total += leg.qty * (spot - leg.price)
        else:
            total += leg.qty
    return total


def quote(kind, strike):
    return builders.Quote(pricing.price(kind, F, strike, T, V), T, V)


some_leg = st.one_of(
    st.builds(
        Leg,
        st.sampled_from(["CE", "PE"]),
        st.sampled_from([-2.0, -1.0, 1.0, 3.0]),
        st.sampled_from([80.0, 90.0, 95.0, 100.0, 105.0, 120.0]),
        st.floats(0.0, 10.0),
    ),
    st.builds(Leg, st.just("FUT"), st.sampled_from([-1.0, 1.0]), st.just(math.nan), st.floats(90.0, 110.0)),
    st.builds(Leg, st.just("CASH"), st.floats(-20.0, 20.0)),
)


@settings(max_examples=150, deadline=None)
@given(legs=st.lists(some_leg, min_size=1, max_size=5))
def test_any_set_against_brute_force(legs):
    held = LegSet(legs)
    spots = np.linspace(0.0, 600.0, 2401)
    want = np.array([brute(legs, float(s)) for s in spots])
    assert held.payoff(spots) == pytest.approx(want, abs=1e-9)
    ends = held.extremes()
    slope = sum(leg.qty for leg in legs if leg.kind in ("CE", "FUT"))
    assert (ends.gain == math.inf) == (slope > 0)
    assert (ends.loss == -math.inf) == (slope < 0)
    if slope <= 0:
        assert ends.gain == pytest.approx(want.max(), abs=1e-9)
        assert held.payoff(ends.gain_at) == pytest.approx(ends.gain)
    if slope >= 0:
        assert ends.loss == pytest.approx(want.min(), abs=1e-9)
    roots = held.breakevens()
    scale = max(1.0, np.abs(want).max())
    assert np.abs(held.payoff(roots)).max(initial=0.0) < 1e-7 * scale
    signs = np.sign(np.where(np.abs(want) < 1e-7 * scale, 0.0, want))
    for i in np.flatnonzero(signs[:-1] * signs[1:] < 0):
        assert ((roots >= spots[i]) & (roots <= spots[i + 1])).any()


@settings(max_examples=60, deadline=None)
@given(legs=st.lists(some_leg, min_size=1, max_size=4))
def test_probability_and_expectation_against_sampling(legs):
    held = LegSet(legs)
    from scipy.special import ndtri

    n = 200_001
    s = V * math.sqrt(T)
    spots = F * np.exp(s * ndtri((np.arange(n) + 0.5) / n) - 0.5 * s * s)
    pay = held.payoff(spots)
    scale = max(1.0, float(np.abs(pay).max()))
    flat = np.abs(pay) < 1e-6 * scale
    assert abs(held.pop(F, T, V) - np.mean((pay > 0) & ~flat)) <= np.mean(flat) + 1e-4
    assert held.expected(F, T, V) == pytest.approx(pay.mean(), abs=2e-4 * scale)


def test_short_straddle():
    held = builders.straddle(100.0, -50.0, quote)
    credit = held.premium
    assert credit == pytest.approx(100.0 * quote("CE", 100.0).price)
    assert held.breakevens() == pytest.approx([100.0 - credit / 50, 100.0 + credit / 50])
    ends = held.extremes()
    assert ends.gain == pytest.approx(credit)
    assert ends.gain_at == 100.0
    assert ends.loss == -math.inf
    assert held.expected(F, T, V) == pytest.approx(0.0, abs=1e-9)
    assert 0.5 < held.pop(F, T, V) < 0.7


def test_value_reaches_the_payoff_and_the_entry():
    held = builders.iron_condor(90.0, 95.0, 105.0, 110.0, 75.0, quote)
    spots = np.linspace(80.0, 120.0, 81)
    assert held.value(spots, T) == pytest.approx(held.payoff(spots), abs=1e-12)
    assert held.value(F) == pytest.approx(0.0, abs=1e-10)
    assert held.value(F, vol_shift=0.01) - held.value(F, vol_shift=-0.01) == pytest.approx(
        0.02 * held.greeks(F)["vega"], rel=1e-2
    )
    assert held.value(F + 0.01) - held.value(F - 0.01) == pytest.approx(0.02 * held.greeks(F)["delta"], abs=1e-4)


def test_calendar_spread_at_the_near_expiry():
    far = builders.Quote(pricing.price(1, F, 100.0, 0.3, 0.22), 0.3, 0.22)
    held = builders.calendar(100.0, quote("CE", 100.0), far, 10.0)
    spots = np.linspace(85.0, 115.0, 61)
    want = 10.0 * (
        pricing.price(1, spots, 100.0, 0.2, 0.22)
        - far.price
        - np.maximum(spots - 100.0, 0.0)
        + quote("CE", 100.0).price
    )
    assert held.payoff(spots) == pytest.approx(want, abs=1e-10)
    low, high = held.breakevens()
    assert low < 100.0 < high
    assert held.payoff(np.array([low, high])) == pytest.approx([0.0, 0.0], abs=1e-7)
    ends = held.extremes()
    assert ends.gain_at == pytest.approx(100.0, abs=0.2)
    assert ends.gain == pytest.approx(want.max(), rel=1e-3)
    assert ends.loss >= -held.premium * -1.0 - 1e-6 or ends.loss == pytest.approx(held.premium, rel=1e-6)
    rng = np.random.default_rng(1)
    s = V * math.sqrt(T)
    sample = held.payoff(F * np.exp(s * rng.standard_normal(400_000) - 0.5 * s * s))
    assert held.expected(F, T, V) == pytest.approx(sample.mean(), abs=4 * sample.std() / 600)
    assert held.pop(F, T, V) == pytest.approx((sample > 0).mean(), abs=0.004)


def test_touch_against_simulation():
    rng = np.random.default_rng(7)
    steps, paths = 2000, 4000
    moves = rng.standard_normal((paths, steps)) * V * math.sqrt(T / steps) - 0.5 * V * V * T / steps
    walks = F * np.exp(np.cumsum(moves, axis=1))
    for level in (92.0, 106.0, 112.0):
        hit = (walks.max(1) >= level) if level > F else (walks.min(1) <= level)
        got = LegSet.touch(level, F, T, V)
        assert got == pytest.approx(hit.mean(), abs=0.03)
    assert LegSet.touch(F, F, T, V) == 1.0
    assert LegSet.touch(110.0, F, 0.0, V) == 0.0
    s = V * math.sqrt(T)
    settle = 1.0 - pricing.price(1, F, 106.0, T, V) * 0.0
    assert LegSet.touch(106.0, F, T, V) > settle - 1.0 + float(
        0.5 * math.erfc((math.log(1.06) + 0.5 * s * s) / s / math.sqrt(2))
    )


def test_fitted_smile_in_place_of_a_vol():
    strikes = np.linspace(70.0, 140.0, 71)
    flat = pricing.smile(strikes, np.full(71, V), F, T)
    held = builders.jade_lizard(95.0, 105.0, 110.0, 1.0, quote)
    assert held.pop(F, T, flat) == pytest.approx(held.pop(F, T, V), abs=1e-4)
    assert held.expected(F, T, flat) == pytest.approx(held.expected(F, T, V), abs=1e-4)
    assert LegSet.touch(108.0, F, T, flat) == pytest.approx(LegSet.touch(108.0, F, T, V), abs=1e-5)
    skew = pricing.smile(strikes, 0.25 - 0.3 * np.log(strikes / F), F, T)
    spots, mass = strikes_and_mass(skew)
    assert held.expected(F, T, skew) == pytest.approx(float(np.dot(held.payoff(spots), mass)), abs=5e-3)


def strikes_and_mass(smile):
    edges = np.linspace(50.0, 190.0, 20_001)
    mass = np.diff(smile.cdf(edges))
    return 0.5 * (edges[1:] + edges[:-1]), mass / mass.sum()


def test_sets_add_and_scale():
    one = builders.bull_call_spread(95.0, 105.0, 1.0, quote)
    two = one + builders.bear_call_spread(95.0, 105.0, 1.0, quote)
    assert two.payoff(np.linspace(80, 120, 9)) == pytest.approx(np.zeros(9), abs=1e-12)
    assert one.scaled(75.0).payoff(120.0) == pytest.approx(75.0 * one.payoff(120.0))
    assert two.name == "bull_call_spread + bear_call_spread"


def test_unbounded_is_stated_downwards_only_to_zero():
    assert LegSet([Leg("PE", -1.0, 100.0, 4.0)]).extremes() == Extremes(4.0, -96.0, 100.0, 0.0)
    assert LegSet([Leg("FUT", -1.0, price=100.0)]).extremes().gain == 100.0


@pytest.mark.parametrize(("make", "text"), [
    (lambda: Leg("XX", 1.0), "leg kind must be one of CE, PE, FUT, CASH, was 'XX'"),
    (lambda: Leg("CE", 1.0), "positive strike"),
    (lambda: Leg("CE", math.inf, 100.0), "finite qty"),
    (lambda: LegSet([]), "at least one leg"),
    (lambda: LegSet([Leg("CE", 1.0, 100.0, 1.0, 0.1), Leg("CE", 1.0, 100.0, 1.0, 0.2)]), "outlives the horizon"),
    (lambda: builders.straddle(100.0).value(100.0), "needs tte and iv"),
    (lambda: LegSet.touch(-1.0, 100.0, 0.1, 0.2), "positive level"),
])  # fmt: skip
def test_bad_legs_are_named(make, text):
    with pytest.raises(BadData, match=text):
        make()
