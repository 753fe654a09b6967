"""The dated tables: what ships, and what the reader refuses."""

from __future__ import annotations

import csv
import datetime as dt
import shutil
import warnings
from itertools import pairwise
from pathlib import Path

import pytest

from toolkit import tables
from toolkit.config import share
from toolkit.errors import BadData

SHIPPED = share("data", "tables")
READERS = {
    "lots.csv": tables.contracts,
    "freeze.csv": tables.contracts,
    "ticks.csv": tables.contracts,
    "expiry_rules.csv": tables.contracts,
    "underlyings.csv": tables.contracts,
    "holidays.csv": tables.calendar,
    "special_sessions.csv": tables.calendar,
    "sessions.csv": tables.calendar,
    "settlement.csv": tables.calendar,
    "charges.csv": tables.charges,
    "order_to_trade.csv": tables.order_to_trade,
    "margins.csv": tables.margins,
    "peak_windows.csv": tables.margins,
    "circuit_breakers.csv": tables.breakers,
    "price_bands.csv": tables.price_bands,
    "position_limits.csv": tables.position_limits,
}


def rows_of(name: str) -> list[dict[str, str]]:
    with (SHIPPED / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the tables that the readers use for one test, with nothing cached on either side."""
    folder = tmp_path / "tables"
    shutil.copytree(SHIPPED, folder)
    monkeypatch.setattr(tables, "share", lambda *parts: tmp_path.joinpath(*parts[1:]))
    caches = set(READERS.values())
    for cached in caches:
        cached.cache_clear()
    yield folder
    for cached in caches:
        cached.cache_clear()


def edit(path: Path, line: int, column: str, value: str) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    lines[line - 1][lines[0].index(column)] = value
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def test_every_shipped_table_has_a_reader():
    assert sorted(path.name for path in SHIPPED.iterdir()) == sorted(READERS)


@pytest.mark.parametrize("name", sorted(READERS))
def test_every_row_is_dated_and_says_where_it_is_from(name):
    rows = rows_of(name)
    assert rows
    for row in rows:
        assert next(iter(row)) == "from"
        assert list(row)[-2:] == ["source", "verified_until"]
        dt.date.fromisoformat(row["from"])
        assert len(row["source"]) > 3
        assert "http" not in row["source"]


@pytest.mark.parametrize("name", sorted(READERS))
def test_reading_does_not_warn_and_is_done_once(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert READERS[name]() is READERS[name]()


def test_the_values_are_plain_and_complete():
    rules = tables.contracts()
    assert sum(len(rows) for rows in rules.lots.values()) == len(rows_of("lots.csv"))
    assert sum(len(rows) for rows in rules.freezes.values()) == len(rows_of("freeze.csv"))
    assert sum(len(rows) for rows in rules.expiry_rules.values()) == len(rows_of("expiry_rules.csv"))
    assert len(rules.ticks) == len(rows_of("ticks.csv"))
    assert sorted(rules.underlyings) == sorted(row["underlying"] for row in rows_of("underlyings.csv"))
    assert len(tables.charges().rates) == len(rows_of("charges.csv"))
    assert len(tables.calendar("NSE").holidays) + len(tables.calendar("BSE").holidays) == len(rows_of("holidays.csv"))


def test_every_underlying_has_lots_freeze_quantities_and_expiries():
    rules = tables.contracts()
    assert sorted(rules.lots) == sorted(rules.freezes) == sorted(rules.underlyings)
    assert sorted(rules.expiry_rules) == sorted(["*", *rules.underlyings])


def library_holidays() -> list[dt.date]:
    """Weekdays of 2011 to 2026 without a session of XBOM in the maintained calendar library."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import exchange_calendars

        calendar = exchange_calendars.get_calendar("XBOM", start="2011-01-01", end="2026-12-31")
    open_days = {session.date() for session in calendar.sessions}
    days = [dt.date(2011, 1, 1) + dt.timedelta(days=i) for i in range(16 * 365 + 4)]
    return [day for day in days if day.weekday() < 5 and day not in open_days]


@pytest.mark.parametrize("exchange", ["NSE", "BSE"])
def test_the_frozen_holidays_are_those_of_the_library(exchange):
    frozen = [
        dt.date.fromisoformat(row["from"])
        for row in rows_of("holidays.csv")
        if row["exchange"] == exchange and row["source"].startswith("exchange_calendars")
    ]
    assert len(frozen) == 236
    assert frozen == library_holidays()


def test_holidays_of_years_not_published_are_fixed_dates_only():
    expected = {(1, 26), (4, 14), (5, 1), (8, 15), (10, 2), (12, 25)}
    for row in rows_of("holidays.csv"):
        day = dt.date.fromisoformat(row["from"])
        if day.year > 2026:
            assert (day.month, day.day) in expected
            assert row["verified_until"] == "2026-12-31"
            assert "not published" in row["source"]


def test_an_unknown_exchange_is_refused_with_the_nearest():
    with pytest.raises(BadData, match="exchange must be one of BSE, NSE, was 'NSEE'; did you mean 'NSE'"):
        tables.calendar("NSEE")


@pytest.mark.parametrize(
    ("name", "line", "column", "value", "text"),
    [
        ("lots.csv", 3, "lot", "0", "lots.csv line 3: lot must be a whole number above zero, was '0'"),
        ("lots.csv", 3, "lot", "5O", "lots.csv line 3: lot must be a whole number above zero, was '5O'"),
        ("lots.csv", 3, "lot", "²", "lots.csv line 3: lot must be a whole number above zero, was '²'"),
        ("lots.csv", 4, "from", "26-Apr-2024", "lots.csv line 4: from must be a date YYYY-MM-DD, was '26-Apr-2024'"),
        ("lots.csv", 4, "from", "20240426", "lots.csv line 4: from must be a date YYYY-MM-DD, was '20240426'"),
        ("lots.csv", 4, "from", "2024-W17-5", "lots.csv line 4: from must be a date YYYY-MM-DD, was '2024-W17-5'"),
        ("lots.csv", 4, "expiry_from", "soon", "lots.csv line 4: expiry_from must be a date YYYY-MM-DD, was 'soon'"),
        ("lots.csv", 4, "source", "", "lots.csv line 4: source must be a text, was ''"),
        ("lots.csv", 4, "verified_until", "2024-04-25", "lots.csv line 4: verified_until must be no earlier than 'from'"),
        ("lots.csv", 6, "expiry_from", "2025-01-15", "lots.csv line 6: expiry_from must be outside the other ranges"),
        ("lots.csv", 3, "from", "2019-01-01", "lots.csv: rows of NIFTY must be in order of date, was 2019-01-01 after"),
        ("freeze.csv", 4, "from", "2023-01-01", "freeze.csv: rows of BANKNIFTY must be in order of date"),
        ("freeze.csv", 2, "freeze_qty", "-1", "freeze.csv line 2: freeze_qty must be a whole number above zero, was '-1'"),
        ("ticks.csv", 2, "kind", "swap", "ticks.csv line 2: kind must be one of option, future, was 'swap'"),
        ("ticks.csv", 5, "level_from", "14000", "ticks.csv line 5: level_from must be the end of the step before, 15000"),
        ("ticks.csv", 5, "level_to", "-1", "ticks.csv line 5: level_to must be a number that is not negative, was '-1'"),
        ("expiry_rules.csv", 2, "weekday", "SUN", "expiry_rules.csv line 2: weekday must be one of MON, TUE"),
        ("expiry_rules.csv", 2, "cycle", "daily", "expiry_rules.csv line 2: cycle must be one of weekly, monthly"),
        ("underlyings.csv", 2, "exchange", "MCX", "underlyings.csv line 2: exchange must be one of NSE, BSE, was 'MCX'"),
        ("holidays.csv", 2, "from", "2011-01-09", "holidays.csv line 2: from must be a weekday named once, was '2011-01-09'"),
        ("holidays.csv", 3, "from", "2011-01-26", "holidays.csv line 3: from must be a weekday named once, was '2011-01-26'"),
        ("sessions.csv", 2, "end", "15.30", "sessions.csv line 2: end must be a time HH:MM, was '15.30'"),
        ("sessions.csv", 2, "end", "09:15", "sessions.csv line 2: end must be after the start, was '09:15'"),
        ("sessions.csv", 2, "phase", "lunch", "sessions.csv line 2: phase must be one of open, pre_open, was 'lunch'"),
        ("sessions.csv", 3, "from", "2001-01-01", "sessions.csv: rows of open must be in order of date"),
        ("settlement.csv", 2, "time", "24:00", "settlement.csv line 2: time must be a time HH:MM, was '24:00'"),
        ("special_sessions.csv", 2, "kind", "fun", "special_sessions.csv line 2: kind must be one of muhurat, full, test"),
        ("special_sessions.csv", 2, "end", "10:00", "special_sessions.csv line 2: end must be after the start"),
        ("charges.csv", 2, "rate", "five", "charges.csv line 2: rate must be a number, was 'five'"),
        ("charges.csv", 2, "rate", "NaN", "charges.csv line 2: rate must be a number that is not negative, was 'NaN'"),
        ("charges.csv", 2, "rate", "0.00000001", "charges.csv line 2: rate must be a whole number of billionths"),
        ("charges.csv", 2, "unit", "bps", "charges.csv line 2: unit must be one of percent, rs_per_crore, rs_per_order"),
        ("charges.csv", 2, "item", "tax", "charges.csv line 2: item must be one of stt, stt_exercise"),
        ("charges.csv", 2, "side", "sell", "charges.csv line 2: side must be one of BUY, SELL, was 'sell'"),
        ("charges.csv", 3, "from", "2010-01-01", "charges.csv: rows of"),
        ("circuit_breakers.csv", 2, "halt_min", "some", "circuit_breakers.csv line 2: halt_min must be a whole number from zero"),
        ("circuit_breakers.csv", 2, "end", "09:15", "circuit_breakers.csv line 2: end must be after the start, was '09:15'"),
        ("price_bands.csv", 2, "basis", "luck", "price_bands.csv line 2: basis must be one of previous_close, reference"),
        ("position_limits.csv", 2, "phase", "noon", "position_limits.csv line 2: phase must be one of intraday, end_of_day"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_one_line_naming_file_line_column_and_value(copied, name, line, column, value, text):
    edit(copied / name, line, column, value)
    with pytest.raises(BadData) as caught:
        READERS[name]()
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


def test_the_copy_itself_is_read_without_complaint(copied):
    for reader in READERS.values():
        reader()


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_missing_or_broken_file_is_refused(copied, name):
    path = copied / name
    whole = path.read_text(encoding="utf-8")
    path.unlink()
    with pytest.raises(BadData, match=f"{name} cannot be read"):
        READERS[name]()
    path.write_text("", encoding="utf-8")
    with pytest.raises(BadData, match=f"{name} line 1: columns must be from,.*was an empty file"):
        READERS[name]()
    path.write_text(whole.replace("from,", "since,", 1), encoding="utf-8")
    with pytest.raises(BadData, match=f"{name} line 1: columns must be from,.*was since,"):
        READERS[name]()
    path.write_text(whole + "2030-01-01,x\n", encoding="utf-8")
    with pytest.raises(BadData, match=rf"{name} line \d+: \d+ columns must be filled, was 2"):
        READERS[name]()
    path.write_bytes(b"\xff\xfe" + whole.encode())
    with pytest.raises(BadData, match=f"{name} cannot be read"):
        READERS[name]()


def test_an_exchange_without_holidays_is_refused(copied):
    path = copied / "holidays.csv"
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if ",BSE," not in line]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    assert tables.calendar("NSE").exchange == "NSE"
    with pytest.raises(BadData, match="no holidays or settlement time of BSE"):
        tables.calendar("BSE")


GROUPED = {
    "freeze.csv": ["underlying"],
    "ticks.csv": ["underlying", "kind", "level_from"],
    "expiry_rules.csv": ["underlying", "cycle"],
    "sessions.csv": ["exchange", "phase"],
    "settlement.csv": ["exchange"],
    "charges.csv": ["item", "exchange", "kind", "underlying", "side", "plan"],
    "underlyings.csv": ["underlying"],
    "circuit_breakers.csv": ["move_percent", "start"],
    "price_bands.csv": ["exchange", "kind", "underlying_kind"],
    "position_limits.csv": ["underlying_kind", "phase"],
}


def groups(name: str) -> dict[tuple[str, ...], list[dict[str, str]]]:
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows_of(name):
        found.setdefault(tuple(row[column] for column in GROUPED[name]), []).append(row)
    return found


@pytest.mark.parametrize("name", sorted(GROUPED))
def test_a_row_is_verified_until_the_next_one_starts(name):
    for key, rows in groups(name).items():
        for row, after in pairwise(rows):
            assert row["from"] < after["from"], key
            gap = dt.date.fromisoformat(after["from"]) - dt.date.fromisoformat(row["verified_until"])
            assert dt.timedelta(days=0) < gap <= dt.timedelta(days=3), (key, row["verified_until"], after["from"])


@pytest.mark.parametrize("name", [name for name in sorted(GROUPED) if name != "ticks.csv"])
def test_the_open_ended_row_of_every_group_was_verified_in_2026(name):
    for key, rows in groups(name).items():
        assert rows[-1]["verified_until"] in ("2026-08-31", "2026-12-31"), key


@pytest.mark.parametrize("name", sorted(READERS))
def test_the_files_are_plain_text_that_diffs_well(name):
    raw = (SHIPPED / name).read_bytes()
    assert raw.isascii()
    assert raw.endswith(b"\n")
    assert b"\r" not in raw
    assert not any(line.endswith(b" ") for line in raw.split(b"\n"))


def test_both_exchanges_share_holidays_and_special_sessions():
    nse, bse = tables.calendar("NSE"), tables.calendar("BSE")
    assert nse.holidays == bse.holidays
    assert nse.specials == bse.specials


def test_special_sessions_fall_outside_the_weekly_pattern():
    calendar = tables.calendar("NSE")
    for day, sittings in calendar.specials.items():
        assert day.weekday() > 4 or day in calendar.holidays, day
        assert len(sittings) == (2 if sittings[0].kind == "test" else 1), day


def test_every_lot_of_an_index_is_followed_by_another_for_the_same_contract():
    for underlying, rows in tables.contracts().lots.items():
        assert rows[0].expiry_from is None, underlying
        assert rows[-1].expiry_to is None, underlying
        starts = [row.start for row in rows]
        assert starts == sorted(starts), underlying


def test_every_rate_is_a_share_or_a_fee_of_sane_size():
    for rate in tables.charges().rates:
        if rate.item == "brokerage":
            assert rate.amount in (0, 2000)
        elif rate.item == "gst":
            assert rate.amount == 180_000_000
        else:
            assert 0 <= rate.amount <= 2_000_000, rate
