"""Which contracts live on a day."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.errors import BadData
from toolkit.sim.listing import (
    MARKETS,
    check_unchanged,
    future_expiries,
    market,
    option_expiries,
    sessions_left,
    sessions_of,
    strikes_around,
)


def test_markets_are_nifty_and_sensex_with_tokens_apart():
    assert sorted(MARKETS) == ["NIFTY", "SENSEX"]
    assert market("NIFTY").first_token != market("SENSEX").first_token
    for drawn in MARKETS.values():
        assert drawn.curve.eta * (1 + abs(drawn.curve.rho)) <= 2.0


def test_an_unknown_market_names_the_nearest():
    with pytest.raises(BadData, match=r"was 'NIFTI'; did you mean 'NIFTY'"):
        market("NIFTI")


def test_expiries_are_weeklies_and_monthlies(rules):
    day = dt.date(2026, 7, 13)
    assert option_expiries(rules, "NIFTY", day, 3, 2) == [
        dt.date(2026, 7, 14),
        dt.date(2026, 7, 21),
        dt.date(2026, 7, 28),
        dt.date(2026, 8, 25),
    ]
    assert option_expiries(rules, "SENSEX", day, 2, 1) == [
        dt.date(2026, 7, 16),
        dt.date(2026, 7, 23),
        dt.date(2026, 7, 30),
    ]


def test_an_expiry_lives_on_its_own_day_and_not_after(rules):
    assert option_expiries(rules, "NIFTY", dt.date(2026, 7, 14), 2, 1)[0] == dt.date(2026, 7, 14)
    assert option_expiries(rules, "NIFTY", dt.date(2026, 7, 15), 2, 1)[0] == dt.date(2026, 7, 21)


def test_futures_are_three_months(rules):
    assert future_expiries(rules, "SENSEX", dt.date(2026, 7, 13)) == [
        dt.date(2026, 7, 30),
        dt.date(2026, 8, 27),
        dt.date(2026, 9, 24),
    ]
    assert future_expiries(rules, "NIFTY", dt.date(2026, 7, 29))[0] == dt.date(2026, 8, 25)


def test_an_expiry_on_a_holiday_comes_a_day_earlier(rules, calendars):
    holiday = dt.date(2026, 3, 3)
    assert not calendars["NSE"].is_session(holiday)
    assert option_expiries(rules, "NIFTY", dt.date(2026, 2, 26), 1, 1)[0] == dt.date(2026, 3, 2)


def test_sessions_pass_over_weekends_and_holidays(calendars):
    days = sessions_of(calendars["NSE"], dt.date(2026, 2, 27), 3)
    assert days == [dt.date(2026, 2, 27), dt.date(2026, 3, 2), dt.date(2026, 3, 4)]


def test_an_evening_ceremony_is_passed_over_and_a_full_sunday_is_not(calendars):
    assert dt.date(2025, 10, 21) not in sessions_of(calendars["NSE"], dt.date(2025, 10, 20), 3)
    assert dt.date(2026, 2, 1) in sessions_of(calendars["NSE"], dt.date(2026, 1, 30), 3)


@pytest.mark.parametrize(
    ("start", "days", "text"),
    [
        (dt.date(2026, 7, 12), 1, "no session of NSE; the next one is 2026-07-13"),
        (dt.date(2026, 7, 13), 0, "days must be at least 1, was 0"),
    ],
)
def test_bad_starts_are_refused(calendars, start, days, text):
    with pytest.raises(BadData, match=text):
        sessions_of(calendars["NSE"], start, days)


def test_sessions_left_count_to_the_expiry(calendars):
    count = sessions_left
    nse = calendars["NSE"]
    assert count(nse, dt.date(2026, 7, 14), dt.date(2026, 7, 14)) == 0
    assert count(nse, dt.date(2026, 7, 13), dt.date(2026, 7, 14)) == 1
    assert count(nse, dt.date(2026, 7, 10), dt.date(2026, 7, 14)) == 2
    assert count(nse, dt.date(2026, 2, 27), dt.date(2026, 3, 10)) == 6


def test_terms_that_change_overnight_are_refused():
    first, second = dt.date(2026, 7, 14), dt.date(2026, 7, 21)
    check_unchanged({first: 65}, [first, second], {first: 65, second: 65}, "NIFTY", dt.date(2026, 7, 13))
    with pytest.raises(BadData, match="re-dated before 2026-07-13"):
        check_unchanged({first: 65}, [second], {second: 65}, "NIFTY", dt.date(2026, 7, 13))
    with pytest.raises(BadData, match="became 65 on 2026-07-13, was 75"):
        check_unchanged({first: 75}, [first], {first: 65}, "NIFTY", dt.date(2026, 7, 13))


def test_strikes_lie_around_the_money():
    assert strikes_around(83149.0, 10000, 2) == [8290000, 8300000, 8310000, 8320000, 8330000]
    assert len(strikes_around(25000.0, 5000, 40)) == 81
