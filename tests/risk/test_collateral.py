"""Cash and collateral behind a margin, and the snapshots of a day."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.risk.collateral import Shot, funding, peak_margin
from toolkit.risk.margin import Margin

NEED = Margin(total=2_00_000.0)
DAY = dt.date(2026, 2, 13)


def test_half_in_cash_costs_nothing():
    made = funding(NEED, 1_00_000.0, 1_00_000.0, on=DAY)
    assert (made.cash_needed, made.cash_short, made.interest_a_day, made.short) == (1_00_000.0, 0.0, 0.0, 0.0)
    assert made.collateral_used == 1_00_000.0


def test_collateral_in_place_of_cash_costs_interest():
    made = funding(NEED, 40_000.0, 5_00_000.0, on=DAY)
    assert made.cash_short == 60_000.0
    assert made.collateral_used == 1_60_000.0
    assert made.interest_a_day == pytest.approx(60_000.0 * 0.00035)
    assert made.short == 0.0


def test_premium_is_paid_in_cash_only():
    made = funding(NEED, 50_000.0, 10_00_000.0, premium=70_000.0, on=DAY)
    assert made.short == 20_000.0
    assert made.cash_short == 1_00_000.0


def test_what_is_missing_altogether_is_short():
    made = funding(NEED, 30_000.0, 50_000.0, on=DAY)
    assert made.short == 1_20_000.0


@given(*(st.integers(0, 10**7) for _ in range(4)))
def test_the_parts_hold_together(total, cash, collateral, premium):
    made = funding(Margin(total=total), cash, collateral, premium=premium, on=DAY)
    left = max(0.0, cash - premium)
    assert 0.0 <= made.collateral_used <= collateral
    assert made.interest_a_day <= made.cash_short * 0.00035 + 1e-6
    if cash >= premium:
        assert (made.short == 0.0) == (left + collateral >= total)
    more = funding(Margin(total=total), cash + 1000.0, collateral, premium=premium, on=DAY)
    assert more.short <= made.short
    assert more.interest_a_day <= made.interest_a_day + 1e-9


@pytest.mark.parametrize("bad", [{"cash": -1.0}, {"collateral": float("nan")}, {"premium": -5.0}])
def test_negative_money_is_refused(bad):
    with pytest.raises(BadData, match="must be rupees from 0"):
        funding(NEED, **{"cash": 1.0, "collateral": 1.0, **bad})


def at(clock):
    hour, minute = map(int, clock.split(":"))
    return ist_ns(DAY, dt.time(hour, minute))


def test_a_naked_minute_inside_a_window_is_seen():
    shots = [Shot(at("09:15"), 50_000.0, 1_00_000.0), Shot(at("12:45"), 1_80_000.0, 1_00_000.0)]
    shots.append(Shot(at("12:46"), 60_000.0, 1_00_000.0))
    peak = peak_margin(shots, DAY)
    assert (peak.shortfall, peak.required, peak.window) == (80_000.0, 1_80_000.0, 1)
    assert peak.at_ns == at("12:45")
    assert peak.penalty == pytest.approx(0.01 * 80_000.0)  # above a tenth of the requirement


def test_the_same_minute_between_windows_is_not():
    shots = [Shot(at("09:15"), 50_000.0, 1_00_000.0), Shot(at("12:00"), 1_80_000.0, 1_00_000.0)]
    shots.append(Shot(at("12:01"), 60_000.0, 1_00_000.0))
    assert peak_margin(shots, DAY).shortfall == 0.0


@pytest.mark.parametrize(
    ("required", "repeated", "rate"),
    [(10_50_000.0, False, 0.005), (12_00_000.0, False, 0.01), (10_50_000.0, True, 0.05)],
)
def test_penalties_by_size(required, repeated, rate):
    peak = peak_margin([Shot(at("09:15"), required, 10_00_000.0)], DAY, repeated=repeated)
    assert peak.penalty == pytest.approx(rate * (required - 10_00_000.0))


def test_before_the_rule_nothing_is_seen():
    day = dt.date(2020, 11, 27)
    assert peak_margin([Shot(ist_ns(day, dt.time(11, 10)), 2.0, 1.0)], day).window == -1


def test_shots_out_of_order_or_of_another_day_are_refused():
    with pytest.raises(BadData, match="order of time"):
        peak_margin([Shot(at("12:00"), 1.0, 1.0), Shot(at("11:00"), 1.0, 1.0)], DAY)
    with pytest.raises(BadData, match="one day at a time"):
        peak_margin([Shot(at("12:00"), 1.0, 1.0)], dt.date(2026, 2, 12))


def test_what_is_not_yet_over_is_not_in_a_window_that_has_not_begun():
    shots = [Shot(at("11:00"), 100.0, 200.0), Shot(at("11:30"), 500.0, 200.0)]
    assert peak_margin(shots, DAY, until_ns=at("12:29")).required == 100.0
    assert peak_margin(shots, DAY, until_ns=at("12:31")).shortfall == 300.0
    assert peak_margin(shots, DAY, until_ns=at("10:59")).window == -1
    assert peak_margin(shots, DAY) == peak_margin(shots, DAY, until_ns=at("15:30"))
