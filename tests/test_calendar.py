"""Sessions, phases, settlement instants and year fractions."""

from __future__ import annotations

import datetime as dt
import warnings

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import tables
from toolkit.calendar import (
    IST,
    SESSIONS_PER_YEAR,
    Calendar,
    Hours,
    StaleTable,
    ist_date,
    ist_ns,
    read_clock,
    to_ist,
    year_fraction,
)
from toolkit.errors import BadData

NSE = tables.calendar("NSE")
BSE = tables.calendar("BSE")
DAY = dt.timedelta(days=1)
MINUTE_NS = 60_000_000_000
DAYS = st.dates(dt.date(2019, 1, 2), dt.date(2026, 12, 30))
INSTANTS = st.integers(ist_ns(dt.date(2019, 1, 8)), ist_ns(dt.date(2026, 12, 1)))


def at(date: dt.date, text: str) -> int:
    return ist_ns(date, dt.time.fromisoformat(text))


def test_ist_ns_is_the_instant_of_an_indian_clock():
    day, time = dt.date(2025, 8, 29), dt.time(15, 30)
    assert ist_ns(day, time) == int(dt.datetime.combine(day, time, IST).timestamp()) * 10**9
    assert ist_ns(day) == ist_ns(day, dt.time(0, 0))
    assert ist_ns(day, dt.time(0, 0, 0, 1)) == ist_ns(day) + 1000


@given(st.integers(-(10**18), 4 * 10**18))
def test_ist_date_and_to_ist_agree_at_every_instant(ns):
    there = to_ist(ns)
    assert there.date() == ist_date(ns)
    assert ist_ns(there.date(), there.time()) == ns // 1000 * 1000
    assert there.utcoffset() == dt.timedelta(hours=5, minutes=30)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("09:15", dt.time(9, 15)),
        ("15:30:05", dt.time(15, 30, 5)),
        ("09:15:00.25", dt.time(9, 15, 0, 250_000)),
    ],
)
def test_a_clock_is_read(text, time):
    assert read_clock(text) == time


@pytest.mark.parametrize("text", ["", "11.05", "1105", "11", "9:15", "T11:05", "11:05Z", "11:05+05", "24:01", "11:5"])
def test_what_is_no_clock_is_no_other_time(text):
    with pytest.raises(ValueError, match=r"HH:MM|hour must be in"):
        read_clock(text)


def test_the_indian_day_turns_at_half_past_six_in_the_evening_utc():
    turn = int(dt.datetime(2025, 8, 29, 18, 30, tzinfo=dt.UTC).timestamp()) * 10**9
    assert ist_date(turn - 1) == dt.date(2025, 8, 29)
    assert ist_date(turn) == dt.date(2025, 8, 30)


@pytest.mark.parametrize(
    "name",
    ["fo_udiff_eod_202501.parquet", "fo_udiff_eod_202502a.parquet", "fo_udiff_eod_20260101_20260213.parquet"],
)
def test_sessions_are_those_of_the_exchange_files(shared, name):
    traded = set(pl.read_parquet(shared("data", "nse", name))["TradDt"].unique().to_list())
    if name == "fo_udiff_eod_20260101_20260213.parquet":
        traded.add(dt.date(2026, 2, 1))  # the Sunday session is absent at the source (INDEX.md)
    assert NSE.sessions(min(traded), max(traded)) == sorted(traded)


def test_every_other_real_file_was_made_on_a_session(shared):
    bars = pl.read_parquet(shared("data", "nse", "nifty_1min_iv_greeks_span_sample.parquet"), columns=["trade_date"])
    index = pl.read_csv(shared("data", "nse", "index_close_2025.csv"), columns=["Index Date"])
    days = set(bars["trade_date"].cast(pl.String).str.to_date().unique())
    days |= set(index["Index Date"].str.to_date("%d-%m-%Y").unique())
    days |= {dt.date(2025, 2, 6), dt.date(2019, 8, 1), dt.date(2025, 8, 26), dt.date(2025, 8, 29), dt.date(2026, 7, 28)}
    assert [day for day in sorted(days) if not NSE.is_session(day)] == []


def test_flow_figures_dated_on_a_holiday_are_the_only_contradiction(shared):
    # News figures of cash flows repeat on three holidays; the exchange's own files have no session there.
    flows = pl.read_csv(shared("data", "nse", "fii_dii_positions_2026.csv"), columns=["trade_date"])
    days = sorted(flows["trade_date"].str.to_date())
    assert [day for day in days if not NSE.is_session(day)] == [
        dt.date(2026, 1, 15),
        dt.date(2026, 3, 3),
        dt.date(2026, 3, 26),
    ]


def test_the_day_of_the_stale_snapshots_is_a_holiday():
    assert not NSE.is_session(dt.date(2025, 8, 27))
    assert NSE.previous(dt.date(2025, 8, 28)) == dt.date(2025, 8, 26)


@pytest.mark.parametrize("calendar", [NSE, BSE], ids=["NSE", "BSE"])
@pytest.mark.parametrize("day", ["2020-02-01", "2024-01-20", "2024-03-02", "2025-02-01", "2026-02-01", "2019-10-27"])
def test_weekend_sessions_trade_but_host_no_expiry(calendar, day):
    date = dt.date.fromisoformat(day)
    assert date.weekday() > 4
    assert calendar.is_session(date)
    assert not calendar.is_expiry_day(date)
    assert date in calendar.sessions(date - DAY, date + DAY)


def test_the_muhurat_hour_is_a_session_on_a_holiday():
    day = dt.date(2025, 10, 21)
    assert NSE.is_session(day)
    assert not NSE.is_expiry_day(day)
    assert NSE.bounds_ns(day) == (at(day, "13:45"), at(day, "14:45"))
    assert NSE.phase(at(day, "13:44")) == "closed"
    assert NSE.phase(at(day, "14:00")) == "open"
    assert NSE.phase(at(day, "14:45")) == "closed"


def test_a_day_of_two_sittings_is_closed_between_them():
    day = dt.date(2024, 3, 2)
    assert NSE.bounds_ns(day) == (at(day, "09:15"), at(day, "12:30"))
    phases = [NSE.phase(at(day, time)) for time in ("09:14", "09:15", "10:00", "11:29", "11:30", "12:30")]
    assert phases == ["closed", "open", "closed", "closed", "open", "closed"]


@given(DAYS, st.integers(0, 40))
def test_sessions_are_the_days_that_are_sessions(start, length):
    end = min(start + dt.timedelta(days=length), dt.date(2026, 12, 31))
    days = [start + dt.timedelta(days=i) for i in range((end - start).days + 1)]
    assert NSE.sessions(start, end) == [day for day in days if NSE.is_session(day)]


@given(st.dates(dt.date(2019, 1, 10), dt.date(2026, 12, 20)))
def test_previous_and_next_are_the_neighbours(day):
    before, after = NSE.previous(day), NSE.next(day)
    assert before < day < after
    assert NSE.sessions(before, after) == [before, *([day] if NSE.is_session(day) else []), after]


def test_sessions_of_an_empty_range_are_none():
    assert NSE.sessions(dt.date(2025, 8, 29), dt.date(2025, 8, 28)) == []


@pytest.mark.parametrize("calendar", [NSE, BSE], ids=["NSE", "BSE"])
@pytest.mark.parametrize(
    ("day", "close"),
    [("2025-08-29", "15:30"), ("2026-07-31", "15:30"), ("2026-08-03", "15:40"), ("2026-11-20", "15:40")],
)
def test_the_close_moves_to_1540_on_3_august_2026(calendar, day, close):
    date = dt.date.fromisoformat(day)
    assert calendar.bounds_ns(date) == (at(date, "09:15"), at(date, close))
    assert calendar.phase(at(date, close) - 1) == "open"
    assert calendar.phase(at(date, close)) == "closed"


@pytest.mark.parametrize(
    ("day", "time", "phase"),
    [
        ("2025-12-05", "09:00", "closed"),
        ("2025-12-08", "08:59", "closed"),
        ("2025-12-08", "09:00", "pre_open"),
        ("2025-12-08", "09:14", "pre_open"),
        ("2025-12-08", "09:15", "open"),
        ("2025-12-08", "15:30", "closed"),
        ("2025-12-06", "11:00", "holiday"),
        ("2026-02-01", "09:05", "closed"),
        ("2026-02-01", "11:00", "open"),
        ("2025-08-27", "11:00", "holiday"),
    ],
)
def test_phase(day, time, phase):
    assert NSE.phase(at(dt.date.fromisoformat(day), time)) == phase


def test_bounds_of_a_holiday_are_refused_with_the_session_before():
    with pytest.raises(BadData, match="2025-08-27 is no session of NSE; the previous one is 2025-08-26"):
        NSE.bounds_ns(dt.date(2025, 8, 27))


@pytest.mark.parametrize("calendar", [NSE, BSE], ids=["NSE", "BSE"])
@pytest.mark.parametrize(
    ("expiry", "time"), [("2026-07-28", "15:30"), ("2026-08-04", "15:35"), ("2030-12-31", "15:35")]
)
def test_settlement_is_dated_and_does_not_warn_for_a_far_expiry(calendar, expiry, time):
    date = dt.date.fromisoformat(expiry)
    assert calendar.settlement_ns(date) == at(date, time)


def test_settlement_before_the_first_row_is_refused():
    with pytest.raises(BadData, match="settlement time of NSE is not known on 2009-01-01"):
        NSE.settlement_ns(dt.date(2009, 1, 1))


def test_before_the_first_holiday_row_is_refused():
    for ask in (NSE.is_session, NSE.is_expiry_day, NSE.bounds_ns):
        with pytest.raises(BadData, match="sessions of NSE are not known on 2010-12-31; the table starts 2011-01-01"):
            ask(dt.date(2010, 12, 31))
    with pytest.raises(BadData, match="not known"):
        NSE.sessions(dt.date(2010, 12, 1), dt.date(2011, 1, 31))


def test_hours_missing_for_a_day_are_refused():
    late = msgspec.structs.replace(
        NSE, hours=(Hours(dt.date(2025, 1, 1), "open", dt.time(9), dt.time(15), dt.date.max),)
    )
    with pytest.raises(BadData, match="session hours of NSE are not known on 2024-12-31"):
        late.bounds_ns(dt.date(2024, 12, 31))
    with pytest.raises(BadData, match="session hours of NSE are not known on 2024-12-31"):
        late.year_fraction(at(dt.date(2024, 12, 31), "10:00"), dt.date(2025, 1, 2), "trading")


def test_the_last_verified_day_does_not_warn_and_the_next_one_warns():
    assert NSE.verified_until == dt.date(2026, 12, 31)
    assert NSE.is_session(dt.date(2026, 12, 31))
    with pytest.warns(StaleTable, match="holidays of NSE were verified until 2026-12-31"):
        assert not NSE.is_session(dt.date(2027, 1, 26))


def test_stale_hours_warn_too():
    old = msgspec.structs.replace(
        NSE, hours=(Hours(dt.date(2019, 1, 1), "open", dt.time(9, 15), dt.time(15, 30), dt.date(2025, 1, 1)),)
    )
    with pytest.warns(StaleTable, match="session hours of NSE were verified until 2025-01-01"):
        old.bounds_ns(dt.date(2025, 1, 2))


def test_a_stale_table_warns_once_under_the_default_filter():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("default")
        for _ in range(5):
            NSE.is_expiry_day(dt.date(2027, 3, 1))
    assert [w.category for w in heard] == [StaleTable]


def test_a_forecast_of_an_expiry_day_is_judged_as_of_its_date():
    assert NSE.is_expiry_day(dt.date(2030, 6, 25), on=dt.date(2026, 1, 1))
    assert not NSE.is_expiry_day(dt.date(2029, 12, 25), on=dt.date(2026, 1, 1))


def test_year_fraction_is_act_365():
    start = ist_ns(dt.date(2025, 1, 1))
    assert year_fraction(start, ist_ns(dt.date(2026, 1, 1))) == 1.0
    assert year_fraction(start, start) == 0.0
    expiry = dt.date(2025, 9, 30)
    now = at(dt.date(2025, 8, 29), "15:27")
    assert NSE.year_fraction(now, expiry) == pytest.approx((32 + 3 / 1440) / 365, abs=1e-15)


@given(INSTANTS, INSTANTS, st.dates(dt.date(2019, 2, 1), dt.date(2026, 12, 31)))
def test_calendar_time_falls_with_now(one, other, expiry):
    early, late = sorted((one, other))
    assert NSE.year_fraction(early, expiry) >= NSE.year_fraction(late, expiry)
    assert NSE.year_fraction(early, expiry) - NSE.year_fraction(late, expiry) == pytest.approx(
        (late - early) / (365 * 86_400e9), abs=1e-9
    )


def test_trading_time_of_one_day_is_the_share_of_its_session():
    day = dt.date(2025, 8, 29)
    half = at(day, "15:30") - 375 * MINUTE_NS // 2
    assert NSE.year_fraction(half, day, "trading") == pytest.approx(0.5 / SESSIONS_PER_YEAR)
    assert NSE.year_fraction(at(day, "03:00"), day, "trading") == pytest.approx(1 / SESSIONS_PER_YEAR)
    assert NSE.year_fraction(at(day, "15:30"), day, "trading") == 0.0
    assert NSE.year_fraction(at(day, "23:00"), day, "trading") == 0.0


def test_trading_time_of_an_ended_contract_is_negative():
    assert NSE.year_fraction(at(dt.date(2025, 9, 2), "15:30"), dt.date(2025, 9, 1), "trading") == pytest.approx(
        -1 / SESSIONS_PER_YEAR
    )


def test_trading_time_does_not_run_through_a_weekend():
    friday, monday = dt.date(2025, 8, 29), dt.date(2025, 9, 1)
    expiry = dt.date(2025, 9, 2)
    assert NSE.year_fraction(at(friday, "16:00"), expiry, "trading") == NSE.year_fraction(
        at(monday, "09:00"), expiry, "trading"
    )


@given(st.integers(0, 40 * 1440), st.integers(0, 40 * 1440))
def test_trading_time_never_rises_as_time_passes(one, other):
    start, expiry = ist_ns(dt.date(2025, 10, 1)), dt.date(2025, 11, 25)
    early, late = (start + minutes * MINUTE_NS for minutes in sorted((one, other)))
    assert NSE.year_fraction(early, expiry, "trading") >= NSE.year_fraction(late, expiry, "trading")


def test_the_muhurat_hour_counts_its_share():
    day = dt.date(2025, 10, 21)
    spent = NSE.year_fraction(at(day, "00:00"), dt.date(2025, 10, 28), "trading") - NSE.year_fraction(
        at(day, "23:59"), dt.date(2025, 10, 28), "trading"
    )
    assert spent == pytest.approx(60 / 375 / SESSIONS_PER_YEAR)


def test_sessions_per_year_is_the_rounded_mean_of_2019_to_2025():
    counts = [len(NSE.sessions(dt.date(year, 1, 1), dt.date(year, 12, 31))) for year in range(2019, 2026)]
    assert round(sum(counts) / len(counts)) == SESSIONS_PER_YEAR


def test_another_clock_is_refused():
    with pytest.raises(BadData, match="clock must be 'calendar' or 'trading', was 'business'"):
        NSE.year_fraction(0, dt.date(2025, 8, 28), "business")


def test_a_calendar_cannot_be_changed():
    with pytest.raises(AttributeError):
        NSE.exchange = "BSE"  # type: ignore[misc]
    assert isinstance(NSE, Calendar)
