"""Ids, stamps and text numbers, against the samples and our own readers."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.calendar import ist_ns
from toolkit.market.xts_text import SEGMENTS
from toolkit.market.xts_wire import unix_s
from toolkit.sim.xts_names import SEGMENT_NUMBERS, Directory, raw_s, stamp, text_number, trading_symbol, whole

NS = 10**9


def test_segments_are_numbered_as_our_reader_knows_them():
    assert {name: SEGMENTS[name] for name in SEGMENT_NUMBERS} == SEGMENT_NUMBERS


def test_every_contract_is_found_by_name_and_number(quiet_world):
    directory = Directory(quiet_world.roster)
    for row in quiet_world.roster.rows:
        for segment in (directory.segment(row), directory.number(row), str(directory.number(row))):
            assert directory.find(segment, directory.instrument(row)) is row
            assert directory.find(segment, str(directory.instrument(row))) is row
    names = {row.name: (directory.segment(row), directory.instrument(row)) for row in directory.rows}
    assert names["NIFTY 50"] == ("NSECM", 26000)
    assert names["NIFTY2671425000CE"] == ("NSEFO", 40001)
    assert len(directory.among(["NSEFO"])) == 3


@pytest.mark.parametrize(
    ("segment", "instrument"),
    [("NSEFO", 1), ("NSECD", 40001), (None, 40001), (2, None), (2, "x"), ("", ""), (True, 40001), (2, 40001.5)],
)
def test_what_is_not_listed_is_none(quiet_world, segment, instrument):
    assert Directory(quiet_world.roster).find(segment, instrument) is None


def test_trading_symbols_read_as_in_rows(quiet_world):
    found = {trading_symbol(row) for row in quiet_world.roster.rows}
    assert found == {"NIFTY 14JUL2026 CE 25000", "NIFTY 14JUL2026 PE 25000", "NIFTY 28JUL2026", "NIFTY 50"}


@given(st.integers(1_600_000_000, 2_000_000_000))
def test_raw_stamps_are_read_back_by_our_reader(at_s):
    assert unix_s(raw_s(at_s * NS), near_s=at_s) == at_s


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("iso", "2026-07-13T14:59:41.1535468"),
        ("zoned", "2026-07-13T14:59:41+05:30"),
        ("day_first", "13-07-2026 14:59:41"),
        ("day_first_ms", "13-07-2026 14:59:41.153"),
        ("month_first", "Jul 13 2026 14:59:41"),
    ],
)
def test_stamps_in_each_spelling(style, text):
    assert stamp(ist_ns(dt.date(2026, 7, 13), dt.time(14, 59, 41)) + 153_546_800, style) == text


@pytest.mark.parametrize(("style", "text"), [("iso", "1980-01-01T00:00:00"), ("day_first", "01-01-1980 00:00:00")])
def test_no_time_is_1980(style, text):
    assert stamp(0, style) == text
    assert raw_s(0) == 0


@given(st.integers(-(10**12), 10**12))
def test_text_numbers_come_back_without_their_commas(paise):
    assert round(float(text_number(paise / 100).replace(",", "")) * 100) == paise


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (5, 5),
        ("5", 5),
        (" -5 ", -5),
        (5.0, 5),
        (5.5, None),
        ("", None),
        ("5.0", None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_whole_numbers(value, found):
    assert whole(value) == found
