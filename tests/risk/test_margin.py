"""Margin: the exchange's own scenario values, and the parts of a book's estimate."""

from __future__ import annotations

import datetime as dt
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.risk.margin import Leg, Margin, SpanParams, default_params, margin_by, span_margin
from toolkit.risk.span import FiledContract, Spread, composite_delta, risk_array

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


def test_strategies_alone_and_together():
    groups = {"short": [priced(-75)], "hedge": [priced(75, 24700.0)], "idle": []}
    found = margin_by(groups, PARAMS)
    assert found["short"] == span_margin(groups["short"], PARAMS)
    assert found["idle"] == Margin()
    assert found[""] == span_margin([priced(-75), priced(75, 24700.0)], PARAMS)
    assert found[""].total < found["short"].total + found["hedge"].total


def test_an_empty_book_needs_nothing():
    assert span_margin([], PARAMS) == Margin()


def test_a_naked_short_straddle():
    margin = span_margin([priced(-75), priced(-75, cp=-1)], PARAMS)
    notional = 75 * SPOT
    assert margin.exposure == pytest.approx(0.02 * 2 * notional)
    assert margin.short_option_minimum == 0.0
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


def test_an_option_of_more_than_nine_months_is_scanned_wider_and_a_future_is_not():
    params = default_params(SPOT, 0.12)
    assert params.long_scan == pytest.approx(0.177 * SPOT)
    near, far = (span_margin([leg(-75, tte=years)], params) for years in (0.75, 0.7501))
    wide = msgspec.structs.replace(params, price_scan=params.long_scan)
    assert far.scan == span_margin([leg(-75, tte=0.7501)], wide).scan > 1.3 * near.scan
    assert span_margin([future(75, tte=0.9)], params).scan == pytest.approx(75 * params.price_scan)
    assert default_params(SPOT, 0.12, on=dt.date(2020, 6, 1)).long_from == math.inf
    assert default_params(SPOT, 0.30, stock=True).long_from == math.inf


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


def test_opposite_legs_of_one_contract_are_nothing():
    assert span_margin([priced(75), priced(-75)], PARAMS).total == 0.0
    assert span_margin([priced(-75), priced(-75)], PARAMS).total == pytest.approx(
        span_margin([priced(-150)], PARAMS).total
    )


def test_the_hedge_benefit_is_what_the_legs_would_need_more_alone():
    legs = [priced(-75), priced(75, 24700.0)]
    margin = span_margin(legs, PARAMS)
    alone = sum(span_margin([one], PARAMS).total for one in legs)
    assert margin.hedge_benefit == pytest.approx(alone - margin.total)
    assert margin.hedge_benefit > 0


def test_a_future_with_a_price_pays_exposure_on_it():
    priced_future = Leg(underlying="NIFTY", cp=0, qty=65, tte=WEEK, mark=23748.0)
    assert span_margin([priced_future], PARAMS).exposure == pytest.approx(0.02 * 65 * 23748.0)  # a broker's 30 872


def test_a_brokers_published_figures_of_june_2026_are_within_one_percent():
    """One lot of the NIFTY future, 174 539 rupees of which 30 873 exposure, at a spot of 23 547.75."""
    params = default_params(23_547.75, 0.16, on=dt.date(2026, 6, 15))
    margin = span_margin([Leg(underlying="NIFTY", cp=0, qty=65, tte=WEEK, mark=23_748.0)], params)
    assert margin.exposure == pytest.approx(30_873.0, abs=2.0)
    assert margin.total == pytest.approx(1_74_539.0, rel=0.01)


def test_short_options_far_out_of_the_money_pay_more_exposure():
    near, far = span_margin([priced(-75, 26900.0)], PARAMS), span_margin([priced(-75, 27000.0)], PARAMS)
    assert near.exposure == pytest.approx(0.02 * 75 * SPOT)
    assert far.exposure == pytest.approx(0.05 * 75 * SPOT)
    assert span_margin([priced(-75, 27000.0, cp=-1)], PARAMS).exposure == near.exposure


def test_the_short_option_minimum_binds_where_it_is_asked():
    params = default_params(SPOT, VOL, on=dt.date(2020, 6, 1))
    margin = span_margin([priced(-75, 27000.0)], params)
    assert margin.short_option_minimum == pytest.approx(0.03 * 75 * SPOT)
    assert margin.span == pytest.approx(max(margin.scan, margin.short_option_minimum) - margin.net_option_value)


def test_before_the_rule_an_expiring_leg_still_offset_others():
    today = 1 / 365
    book = [future(75, tte=today), future(-75, tte=WEEK)]
    before = span_margin(book, default_params(SPOT, VOL, on=dt.date(2025, 2, 9)))
    after = span_margin(book, default_params(SPOT, VOL, on=dt.date(2025, 2, 10)))
    assert before.scan == 0.0
    assert before.calendar > 0.0
    assert after.scan == pytest.approx(2 * 75 * PARAMS.price_scan)
    assert after.calendar == 0.0


def stock_leg(qty, strike, left, cp=1):
    return Leg(underlying="SHARE", cp=cp, qty=qty, tte=(left + 3) / 365, strike=strike, mark=60.0, sessions_left=left)


@pytest.mark.parametrize(("left", "share"), [(5, 0.0), (4, 0.1), (3, 0.25), (2, 0.45), (1, 0.7), (0, 1.0)])
def test_delivery_margin_rises_to_expiry_for_long_options_in_the_money(left, share):
    params = default_params(1000.0, 0.25, on=dt.date(2026, 2, 13), stock=True)
    inside = span_margin([stock_leg(500, 950.0, left)], params)
    assert inside.delivery == pytest.approx(share * (params.price_scan / 1000.0) * 950.0 * 500)
    assert inside.total == pytest.approx(inside.span + inside.exposure + inside.delivery)
    for other in (stock_leg(500, 1050.0, left), stock_leg(-500, 950.0, left), stock_leg(500, 950.0, left, cp=-1)):
        assert span_margin([other], params).delivery == 0.0


EXPIRY, LATER = dt.date(2026, 2, 24), dt.date(2026, 3, 30)


def filed_params(**more):
    losses = tuple(float(n) for n in range(16))
    filed = {(EXPIRY, 1, 2450000): FiledContract(losses, 0.5, 210.0), (EXPIRY, 0, 0): FiledContract(losses, 1.0, SPOT)}
    filed |= {(LATER, 1, 2450000): FiledContract(losses, 0.4, 300.0)}
    return SpanParams(
        spot=SPOT,
        vol=VOL,
        price_scan=2290.13,
        calibrated=True,
        on=dt.date(2026, 2, 13),
        source="file",
        filed=filed,
        **more,
    )


def test_arrays_and_prices_of_the_file_win():
    params = filed_params()
    one = msgspec.structs.replace(leg(-65), expiry=EXPIRY)
    margin = span_margin([one], params)
    assert margin.scan == 0.0  # every filed value is a loss of the long side
    assert margin.net_option_value == -65 * 210.0
    assert (margin.filed, margin.legs) == (1, 1)
    assert margin.label == "SPAN-like, calibrated inputs of 2026-02-13 (file)"
    long_future = msgspec.structs.replace(future(65), expiry=EXPIRY)
    assert span_margin([long_future], params).scan == 65 * 15.0
    missing = msgspec.structs.replace(leg(-65, 24550.0), expiry=EXPIRY)
    assert span_margin([missing, one], params).filed == 1


def test_spreads_of_the_file_charge_by_priority():
    params = filed_params(spreads=(Spread(EXPIRY, LATER, 420.0),))
    near = msgspec.structs.replace(leg(100), expiry=EXPIRY)
    far = msgspec.structs.replace(leg(-100, tte=50 / 365), expiry=LATER)
    assert span_margin([near, far], params).calendar == pytest.approx(420.0 * 40.0)
    none = filed_params(spreads=(Spread(EXPIRY, dt.date(2027, 1, 1), 420.0),))
    assert span_margin([near, far], none).calendar == pytest.approx(none.calendar_rate * SPOT * 40.0)


def test_exposure_by_contract_wins():
    key = (EXPIRY, 1, 2450000)
    params = filed_params(by_contract={key: 0.0425})
    margin = span_margin([msgspec.structs.replace(leg(-65), expiry=EXPIRY)], params)
    assert margin.exposure == pytest.approx(0.0425 * 65 * SPOT)


def slow_margin(legs, p):
    """The same rules, leg by leg in plain Python."""
    sums, alone, delta = [0.0] * 16, [0.0] * 16, {}
    value = exposure = addon = minimum = 0.0
    for one in legs:
        last_day = one.tte < 1.5 / 365
        scan = p.long_scan if one.cp and one.tte > p.long_from else p.price_scan
        array = risk_array(one.cp, one.strike, one.tte, p.spot, p.vol, p.rate, scan, p.vol_scan, one.mark)
        to = alone if last_day else sums
        for j in range(16):
            to[j] += one.qty * float(array[j])
        if not last_day:
            unit = float(composite_delta(one.cp, one.strike, one.tte, p.spot, p.vol, p.rate, scan))
            delta[one.tte] = delta.get(one.tte, 0.0) + one.qty * unit
        if one.cp == 0:
            exposure += abs(one.qty) * p.spot * p.exposure_rate
            continue
        value += one.qty * one.mark
        if one.qty < 0:
            far = one.cp * (one.strike / p.spot - 1) > p.far_from
            exposure += -one.qty * p.spot * (p.far_rate if far else p.exposure_rate)
            addon += -one.qty * p.spot * p.expiry_rate * last_day
            minimum += -one.qty * p.spot * p.short_option_rate
    up, down = (sum(max(0.0, s * d) for d in delta.values()) for s in (1, -1))
    scan = max(0.0, *sums) + max(0.0, *alone)
    return max(0.0, max(scan + p.calendar_rate * p.spot * min(up, down), minimum) - value) + exposure + addon


CONTRACTS = st.dictionaries(
    st.tuples(
        st.sampled_from([24000.0, 24500.0, 27500.0]),
        st.sampled_from([1, -1]),
        st.sampled_from([1 / 365, WEEK, 0.1, 0.8]),
    ),
    st.integers(-10, 10).filter(bool),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(CONTRACTS, st.sampled_from([PARAMS, default_params(SPOT, VOL, 0.065, on=dt.date(2020, 6, 1))]))
def test_a_plain_reading_of_the_rules_agrees(contracts, params):
    legs = [priced(65 * n, k, cp, t) for (k, cp, t), n in contracts.items()]
    params = msgspec.structs.replace(params, calendar_on_expiry=False)
    assert span_margin(legs, params).total == pytest.approx(slow_margin(legs, params), rel=1e-12)


def split(one):
    third = one.qty // 3
    return [
        leg(third, one.strike, one.cp, one.tte, one.mark),
        leg(one.qty - third, one.strike, one.cp, one.tte, one.mark),
    ]
