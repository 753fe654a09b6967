"""Clocks: elapsed time, session time, whole days."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from toolkit import pricing
from toolkit.calendar import SESSIONS_PER_YEAR, ist_ns
from toolkit.errors import BadData
from toolkit.pricing.clock import settlement_ns

NOON = ist_ns(dt.date(2025, 8, 29), dt.time(12, 0))
TUESDAY = dt.date(2025, 9, 2)


class Weekdays:
    """A calendar of Monday to Friday, 09:15 to 15:30, with a day off."""

    def __init__(self, off=()):
        self.off = set(off)

    def sessions(self, start, end):
        days = [start + dt.timedelta(days=i) for i in range((end - start).days + 1)]
        return [d for d in days if d.weekday() < 5 and d not in self.off]

    def bounds_ns(self, date):
        return ist_ns(date, dt.time(9, 15)), ist_ns(date, dt.time(15, 30))

    def settlement_ns(self, expiry):
        return ist_ns(expiry, dt.time(15, 30))


def test_calendar_clock_is_elapsed_time_over_365_days():
    years = pricing.tte(NOON, TUESDAY)
    assert years == pytest.approx((4 * 24 + 3.5) / (365 * 24), rel=1e-14)
    assert type(years) is float
    assert pricing.tte(NOON, settlement_ns(TUESDAY)) == years


def test_days_clock_counts_whole_days():
    assert pricing.tte(NOON, TUESDAY, "days") == 4 / 365
    assert pricing.tte(ist_ns(TUESDAY, dt.time(9, 20)), TUESDAY, "days") == 0.0


def test_trading_clock_counts_session_time():
    session = 6.25
    want = ((15.5 - 12) / session + 2) / SESSIONS_PER_YEAR
    assert pricing.tte(NOON, TUESDAY, "trading", calendar=Weekdays()) == pytest.approx(want, rel=1e-12)
    closed = Weekdays(off=[dt.date(2025, 9, 1)])
    assert pricing.tte(NOON, TUESDAY, "trading", calendar=closed) == pytest.approx(
        want - 1 / SESSIONS_PER_YEAR, rel=1e-12
    )
    weekend = ist_ns(dt.date(2025, 8, 30), dt.time(11, 0))
    assert pricing.tte(weekend, TUESDAY, "trading", calendar=Weekdays()) == pytest.approx(
        2 / SESSIONS_PER_YEAR, rel=1e-12
    )


def test_shipped_calendar_is_the_default():
    assert pricing.tte(NOON, TUESDAY, "trading") == pytest.approx(
        pricing.tte(NOON, TUESDAY, "trading", calendar=Weekdays())
    )


def test_settlement_moves_with_the_closing_auction():
    before, after = dt.date(2026, 7, 28), dt.date(2026, 8, 25)
    assert settlement_ns(before) == ist_ns(before, dt.time(15, 30))
    assert settlement_ns(after) == ist_ns(after, dt.time(15, 35))


@pytest.mark.parametrize("clock", ["calendar", "trading", "days"])
def test_past_expiry_is_zero(clock):
    assert pricing.tte(NOON, dt.date(2025, 8, 28), clock) == 0.0
    assert pricing.tte(settlement_ns(TUESDAY), TUESDAY, clock) == 0.0


def test_arrays_broadcast():
    now = np.array([NOON, NOON + 3_600_000_000_000])
    got = pricing.tte(now, TUESDAY)
    assert got.shape == (2,)
    assert got[0] - got[1] == pytest.approx(1 / 8760)
    days = np.array(["2025-09-02", "2025-09-09"], dtype="datetime64[D]")
    assert pricing.tte(NOON, days)[1] - pricing.tte(NOON, days)[0] == pytest.approx(7 / 365)
    assert pricing.tte(now[:, None], [TUESDAY, dt.date(2025, 9, 9)], "trading").shape == (2, 2)


def test_bad_arguments_are_named():
    with pytest.raises(BadData, match="clock must be one of calendar, trading, days, was 'lunar'"):
        pricing.tte(NOON, TUESDAY, "lunar")
    with pytest.raises(BadData, match="datetime"):
        pricing.tte(NOON, dt.datetime(2025, 9, 2, 15, 30))
    with pytest.raises(BadData, match="expiry must be a date or nanoseconds"):
        pricing.tte(NOON, 1.5)
