"""Margin: the exchange's own scenario values, and the parts of a book's estimate."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.risk.margin import (
    FACTORS,
    Leg,
    Margin,
    SpanParams,
    composite_delta,
    default_params,
    risk_array,
    span_margin,
)

FILES = {
    dt.date(2021, 1, 4): (14018.50, 0.0367, 0.29498615),
    dt.date(2025, 9, 2): (24625.05, 0.0608, 0.15885968),
}
SPOT, VOL = 24500.0, 0.12
PARAMS = default_params(SPOT, VOL)
WEEK = 8 / 365


def leg(qty, strike=24500.0, cp=1, tte=WEEK, mark=math.nan, underlying="NIFTY"):
    return Leg(underlying=underlying, cp=cp, qty=qty, tte=tte, strike=strike, mark=mark)


def future(qty, tte=WEEK):
    return Leg(underlying="NIFTY", cp=0, qty=qty, tte=tte)


def priced(qty, strike=24500.0, cp=1, tte=WEEK):
    mark = float(pricing.price(cp, SPOT, strike, tte, VOL, 0.0, model="bsm"))
    return leg(qty, strike, cp, tte, mark)


@pytest.fixture(scope="module")
def sample(shared):
    frame = pl.read_parquet(shared("data", "nse", "nifty_1min_iv_greeks_span_sample.parquet"))
    keys = ["trade_date", "actual_expiry_date", "strike", "option_type"]
    frame = frame.filter(pl.col("span_s1").is_not_null()).unique(keys, maintain_order=True)
    days = (pl.col("actual_expiry_date") - pl.col("trade_date")).dt.total_days() + 1
    cp = pl.when(pl.col("option_type") == "CALL").then(1.0).otherwise(-1.0)
    return frame.with_columns(t=days / 365, cp=cp, k=pl.col("strike").cast(pl.Float64))


def inputs(frame, day):
    spot, rate, vol = FILES[day]
    g = frame.filter(pl.col("trade_date") == day)
    column = {name: g.get_column(name).to_numpy() for name in g.columns if g.schema[name] == pl.Float64}
    return g, column, spot, rate, vol


def test_the_sample_is_whole(sample):
    assert sample.height == 192
    assert set(sample.get_column("trade_date")) == set(FILES)


@pytest.mark.parametrize("day", list(FILES), ids=str)
def test_scenario_values_of_the_exchange(sample, day):
    g, c, spot, rate, vol = inputs(sample, day)
    ours = risk_array(
        c["cp"], c["k"], c["t"], spot, vol, rate, c["span_price_scan_range"], c["span_vol_scan_range"], c["span_price"]
    )
    theirs = g.select([f"span_s{n}" for n in range(1, 17)]).to_numpy()
    assert ours.shape == (g.height, 16)
    worst = np.unravel_index(np.argmax(np.abs(ours - theirs)), ours.shape)
    assert np.abs(ours - theirs).max() < 0.006, f"scenario {worst[1] + 1} of {g.row(int(worst[0]))[:10]}"
    assert np.median(np.abs(ours - theirs)) < 0.0025


@pytest.mark.parametrize("day", list(FILES), ids=str)
def test_deltas_of_the_exchange(sample, day):
    g, c, spot, rate, vol = inputs(sample, day)
    plain = pricing.greeks(c["cp"], np.full(g.height, spot), c["k"], c["t"], vol, rate, model="bsm").delta
    assert np.abs(plain - c["span_delta"]).max() < 0.00006
    composite = composite_delta(c["cp"], c["k"], c["t"], spot, vol, rate, c["span_price_scan_range"])
    assert np.abs(composite - c["span_composite_delta"]).max() < 0.00006


def test_shapes_broadcast():
    strikes = np.arange(24000.0, 25000.0, 100.0)
    grid = risk_array(np.array([[1.0], [-1.0]]), strikes, WEEK, SPOT, VOL, 0.0, 2000.0, 0.04, np.nan)
    assert grid.shape == (2, 10, 16)
    single = risk_array(1.0, 24500.0, WEEK, SPOT, VOL, 0.0, 2000.0, 0.04, np.nan)
    assert single.shape == (16,)
    assert np.array_equal(single, grid[0, 5])


def test_a_future_moves_one_for_one():
    moves = np.array([0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3, 6, -6]) / 3
    array = risk_array(0.0, 0.0, WEEK, SPOT, VOL, 0.0, 300.0, 0.04, np.nan)
    assert np.allclose(array, -300.0 * moves * FACTORS)


def test_a_long_option_loses_at_most_its_price():
    array = risk_array(1.0, 24500.0, WEEK, SPOT, VOL, 0.0, 2000.0, 0.04, 50.0)
    assert array.max() == 50.0
    assert array.min() < -1000.0


@pytest.mark.parametrize("days", [0, 1, 2])
def test_at_the_end_the_shocked_value_is_intrinsic(days):
    array = risk_array(1.0, 24000.0, days / 365, SPOT, VOL, 0.0, 300.0, 0.04, np.nan)
    base = 500.0 if days == 0 else float(pricing.price(1, SPOT, 24000.0, days / 365, VOL, 0.0, model="bsm"))
    assert array[2] == pytest.approx(base - 600.0)
    assert array[4] == pytest.approx(base - 400.0)


def test_a_vol_shocked_below_zero_is_zero_vol():
    array = risk_array(1.0, 24000.0, WEEK, SPOT, 0.03, 0.05, 300.0, 0.04, np.nan)
    assert np.isfinite(array).all()
    base = float(pricing.price(1, SPOT, 24000.0, WEEK, 0.03, 0.05, model="bsm"))
    floor = SPOT - 24000.0 * math.exp(-0.05 * (WEEK - 2 / 365))
    assert array[1] == pytest.approx(base - floor)


def test_default_parameters():
    calm, wild = default_params(20000.0, 0.12), default_params(20000.0, 0.60)
    assert calm.price_scan == pytest.approx(0.093 * 20000)
    assert wild.price_scan == pytest.approx(20000 * 6 * math.sqrt(2) * 0.6 / math.sqrt(365))
    assert not calm.calibrated


@pytest.mark.parametrize("bad", [(0.0, 0.1), (-1.0, 0.1), (math.nan, 0.1), (1.0, 0.0), (1.0, math.inf)])
def test_default_parameters_need_numbers(bad):
    with pytest.raises(BadData, match="must be positive and finite"):
        default_params(*bad)


def test_an_empty_book_needs_nothing():
    assert span_margin([], PARAMS) == Margin()


def test_a_naked_short_straddle():
    margin = span_margin([priced(-75), priced(-75, cp=-1)], PARAMS)
    notional = 75 * SPOT
    assert margin.exposure == pytest.approx(0.02 * 2 * notional)
    assert margin.short_option_minimum == pytest.approx(0.03 * 2 * notional)
    assert margin.net_option_value < 0
    assert margin.span == pytest.approx(max(margin.scan, margin.short_option_minimum) - margin.net_option_value)
    assert margin.total == pytest.approx(margin.span + margin.exposure)
    assert margin.premium == 0.0
    assert 100_000 < margin.total < 400_000
    assert "estimate" in margin.label
    assert 1 <= margin.scenario <= 16


def test_a_long_option_needs_its_premium_only():
    margin = span_margin([priced(75)], PARAMS)
    assert margin.total == 0.0
    assert margin.premium == pytest.approx(margin.net_option_value)
    assert margin.premium > 0


def test_a_wing_cuts_the_margin():
    naked = span_margin([priced(-75)], PARAMS)
    spread = span_margin([priced(-75), priced(75, 24700.0)], PARAMS)
    assert spread.scan < naked.scan / 3
    assert spread.total < naked.total
    assert spread.exposure == naked.exposure


def test_a_future_margin():
    margin = span_margin([future(75)], PARAMS)
    assert margin.scan == pytest.approx(75 * PARAMS.price_scan)
    assert margin.exposure == pytest.approx(0.02 * 75 * SPOT)
    assert span_margin([future(-75)], PARAMS).total == pytest.approx(margin.total)


def test_a_calendar_spread_is_charged_not_free():
    spread = span_margin([future(75), future(-75, tte=36 / 365)], PARAMS)
    assert spread.scan == 0.0
    assert spread.calendar == pytest.approx(PARAMS.calendar_rate * SPOT * 75)


def test_expiry_day_gives_no_calendar_benefit_and_adds_two_percent():
    today = 1 / 365
    margin = span_margin([priced(-75, tte=today), priced(75, tte=WEEK)], PARAMS)
    alone = span_margin([priced(-75, tte=today)], PARAMS)
    assert margin.scan >= alone.scan
    assert margin.calendar == 0.0
    assert margin.expiry_addon == pytest.approx(0.02 * 75 * SPOT)
    assert span_margin([priced(-75)], PARAMS).expiry_addon == 0.0


def test_unknown_marks_count_at_the_worse_side():
    long = span_margin([leg(75)], PARAMS)
    assert (long.net_option_value, long.premium) == (0.0, 0.0)
    assert long.total > 0
    short = span_margin([leg(-75)], PARAMS)
    assert short.net_option_value < 0
    assert short.total == pytest.approx(span_margin([priced(-75)], PARAMS).total)


def test_underlyings_add_up_without_benefit():
    both = [future(75), Leg(underlying="SENSEX", cp=0, qty=-20, tte=WEEK)]
    params = {"NIFTY": PARAMS, "SENSEX": default_params(80_000.0, 0.13)}
    total = span_margin(both, params)
    parts = [span_margin([one], params) for one in both]
    assert total.total == pytest.approx(sum(p.total for p in parts))
    with pytest.raises(BadData, match="no margin parameters for SENSEX"):
        span_margin(both, {"NIFTY": PARAMS})


def test_calibrated_inputs_are_said():
    params = SpanParams(spot=SPOT, vol=VOL, price_scan=2290.13, calibrated=True, source="file")
    assert span_margin([future(75)], params).label == "SPAN-like, calibrated inputs"
    mixed = span_margin([future(75), leg(-20, underlying="SENSEX")], {"NIFTY": params, "SENSEX": PARAMS})
    assert "uncalibrated" in mixed.label


LEGS = st.lists(
    st.builds(
        priced,
        st.integers(-10, 10).filter(bool).map(lambda n: 75 * n),
        st.sampled_from([24000.0, 24500.0, 25000.0]),
        st.sampled_from([1, -1]),
        st.sampled_from([1 / 365, WEEK, 36 / 365]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(LEGS)
def test_splitting_a_leg_changes_nothing_and_parts_hold_together(legs):
    margin = span_margin(legs, PARAMS)
    halves = [leg_half for one in legs for leg_half in split(one)]
    assert span_margin(halves, PARAMS).total == pytest.approx(margin.total, abs=1e-6)
    assert margin.scan >= 0
    assert margin.span >= 0
    assert margin.total == pytest.approx(margin.span + margin.exposure + margin.expiry_addon)
    assert margin.total >= 0


def split(one):
    third = one.qty // 3
    return [
        leg(third, one.strike, one.cp, one.tte, one.mark),
        leg(one.qty - third, one.strike, one.cp, one.tte, one.mark),
    ]
