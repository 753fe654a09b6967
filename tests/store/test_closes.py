"""Past closes of an underlying in a session store."""

from __future__ import annotations

import datetime as dt

from toolkit.config import share
from toolkit.store.closes import past_closes
from toolkit.store.session import open_session


def test_official_files_give_the_closes_of_the_days_before(shared):
    session = open_session(shared("data", "nse", "fo_udiff_eod_20260101_20260213.parquet"))
    found = past_closes(session, "NIFTY", dt.date(2026, 2, 13))
    days = session.dates("NIFTY")
    assert list(found) == [day for day in days if day < dt.date(2026, 2, 13)]
    assert all(24_000 < close < 27_000 for close in found.values())
    assert list(past_closes(session, "NIFTY", dt.date(2026, 2, 13), most=3)) == list(found)[-3:]
    assert past_closes(session, "MOON", dt.date(2026, 2, 13)) == {}


def test_a_recorded_day_gives_its_last_value():
    session = open_session(share("data", "sample"))
    spot = session.frame("spot", "NIFTY").sort("ts")["ltp"][-1]
    found = past_closes(session, "NIFTY", dt.date(2026, 7, 14))
    assert list(found) == [dt.date(2026, 7, 13)]
    assert abs(found[dt.date(2026, 7, 13)] / spot - 1) < 0.01
    assert past_closes(session, "NIFTY", dt.date(2026, 7, 13)) == {}
