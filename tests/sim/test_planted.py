"""The list of planted events."""

from __future__ import annotations

import datetime as dt
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.sim.paths import stream
from toolkit.sim.planted import (
    KINDS,
    PLANTED,
    Planted,
    draw_windows,
    frame_of_records,
    planted_frame,
    planted_records,
)

DAY = dt.date(2026, 7, 13)
NOON = ist_ns(DAY, dt.time(12))
SHIFT = Planted("WALL_SHIFT_UP", "NIFTY", NOON, NOON + 60 * 10**9, 650, DAY, "CE", 2500000, 2510000)
GAP = Planted("DATA_GAP", "SENSEX", NOON - 10**9, NOON, 12)


@settings(deadline=None)
@given(seed=st.integers(0, 5000), every=st.booleans(), near=st.booleans())
def test_windows_do_not_overlap_and_stay_inside_the_session(seed, every, near):
    windows = draw_windows(stream(seed, "NIFTY", DAY, 2), DAY, every=every, near_expiry=near)
    for before, after in pairwise(windows):
        assert before.end_ns + 6 * 60 * 10**9 <= after.start_ns
    for window in windows:
        assert window.kind in KINDS
        assert ist_ns(DAY, dt.time(9, 45)) <= window.start_ns < window.end_ns <= ist_ns(DAY, dt.time(14, 50))
    if every:
        assert len(windows) == 5


def test_a_roll_is_usual_next_to_expiry_and_rare_before():
    def share(near):
        drawn = [draw_windows(stream(s, "x", DAY, 2), DAY, near_expiry=near) for s in range(300)]
        return sum(any(w.kind == "ROLL" for w in windows) for windows in drawn) / 300

    assert share(True) > 0.8
    assert share(False) < 0.5


def test_some_days_have_no_outage():
    drawn = [draw_windows(stream(s, "x", DAY, 2), DAY) for s in range(200)]
    gaps = sum(any(w.kind == "DATA_GAP" for w in windows) for windows in drawn)
    assert 10 < gaps < 60


def test_the_frame_is_in_order_of_time_and_schema():
    frame = planted_frame([SHIFT, GAP])
    assert frame.schema == PLANTED
    assert frame["type"].to_list() == ["DATA_GAP", "WALL_SHIFT_UP"]
    assert frame["ts"][1].isoformat() == "2026-07-13T12:00:00+05:30"
    assert frame["side"].to_list() == [None, "CE"]
    assert frame["size"].to_list() == [12, 650]


def test_no_event_is_an_empty_frame():
    assert planted_frame([]).schema == PLANTED
    assert planted_records(planted_frame([])) == []
    assert frame_of_records([]).equals(planted_frame([]))


def test_records_survive_json():
    frame = planted_frame([SHIFT, GAP])
    records = json.loads(json.dumps(planted_records(frame)))
    assert records[1]["ts"] == "2026-07-13T12:00:00+05:30"
    assert records[1]["expiry"] == "2026-07-13"
    assert frame_of_records(records).equals(frame)


@pytest.mark.parametrize(
    "broken",
    [{"ts": "noon"}, {"size": "many"}, {"side": "XX"}, {"expiry": "13/07/2026"}, {"ts": 5}],
)
def test_broken_records_are_refused_in_one_line(broken):
    record = planted_records(planted_frame([SHIFT]))[0] | broken
    with pytest.raises(BadData, match="regenerate"):
        frame_of_records([record])


def test_a_missing_field_is_refused():
    record = planted_records(planted_frame([SHIFT]))[0]
    del record["size"]
    with pytest.raises(BadData, match="size"):
        frame_of_records([record])
