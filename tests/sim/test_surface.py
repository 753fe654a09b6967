"""The surface is free of arbitrage and its quotes are on the grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import pricing
from toolkit.sim.listing import MARKETS
from toolkit.sim.surface import (
    INTRADAY_SHARE,
    SESSIONS_A_YEAR,
    business_time,
    quote,
    session_share,
    total_variance,
)

CURVE = MARKETS["NIFTY"].curve


def test_activity_is_a_u_shape():
    minutes = np.linspace(0.0, 1.0, 376)
    rate = np.diff(session_share(minutes))
    assert rate[:15].mean() > 1.7 * rate[180:200].mean()
    assert rate[-15:].mean() > 1.4 * rate[180:200].mean()
    assert (rate > 0).all()
    assert session_share([0.0, 1.0]).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("outside", "inside"), [(-0.5, 0.0), (1.5, 1.0)])
def test_activity_ends_with_the_session(outside, inside):
    assert session_share(outside) == session_share(inside)


def test_business_time_counts_sessions():
    assert business_time(1.0, 0) == 0.0
    assert business_time(0.0, 0) == pytest.approx(INTRADAY_SHARE / SESSIONS_A_YEAR)
    assert business_time(1.0, 5) == pytest.approx(5 / SESSIONS_A_YEAR)


@settings(deadline=None)
@given(
    vol=st.floats(0.05, 0.4),
    near=st.integers(0, 20),
    gap=st.integers(1, 40),
    fraction=st.floats(0.0, 0.99),
)
def test_variance_grows_with_time_at_every_moneyness(vol, near, gap, fraction):
    moneyness = np.linspace(-0.15, 0.15, 61)
    short = total_variance(moneyness, business_time(fraction, near), vol, CURVE)
    long = total_variance(moneyness, business_time(fraction, near + gap), vol, CURVE)
    assert (long >= short).all()


@settings(deadline=None)
@given(vol=st.floats(0.05, 0.4), left=st.integers(0, 60), fraction=st.floats(0.0, 0.95))
def test_call_prices_fall_and_are_convex_in_strike(vol, left, fraction):
    strike = np.linspace(0.85, 1.15, 121) * 25000.0
    variance = total_variance(np.log(strike / 25000.0), business_time(fraction, left), vol, CURVE)
    call = pricing.price(1, 25000.0, strike, 1.0, np.sqrt(variance))
    assert (np.diff(call) <= 1e-9).all()
    assert (np.diff(call) >= -np.diff(strike) - 1e-9).all()
    assert (np.diff(call, 2) >= -1e-7).all()


def test_no_variance_is_left_at_settlement():
    assert total_variance(np.array([-0.1, 0.0, 0.1]), business_time(1.0, 0), 0.12, CURVE).tolist() == [0.0] * 3


def test_puts_are_dearer_than_calls_as_far_from_the_money():
    left, right = total_variance(np.array([-0.03, 0.03]), business_time(0.5, 5), 0.12, CURVE)
    assert left > 1.1 * right


def test_calm_today_rises_to_the_long_run_level():
    days = np.array([1.0, 20.0, 250.0]) / SESSIONS_A_YEAR
    vol = np.sqrt(total_variance(np.zeros(3), days, 0.08, CURVE) / days)
    assert vol[0] < 0.082
    assert (np.diff(vol) > 0).all()
    assert vol[2] < CURVE.long_run


@settings(deadline=None)
@given(
    fair=st.floats(0.0, 3000.0),
    half=st.floats(0.0, 20.0),
    tick_p=st.sampled_from([5, 10, 20]),
)
def test_a_quote_is_on_the_grid_around_the_fair_value(fair, half, tick_p):
    bid, ask = quote(np.array([fair]), np.array([half]), tick_p / 100.0)
    bid_p, ask_p = round(bid[0] * 100), round(ask[0] * 100)
    assert abs(bid[0] * 100 - bid_p) < 1e-6
    assert (bid_p % tick_p, ask_p % tick_p) == (0, 0)
    assert tick_p <= bid_p < ask_p
    middle = (bid_p + ask_p) / 2
    assert abs(middle - max(fair * 100, 1.5 * tick_p)) <= tick_p / 4 + 1e-6
