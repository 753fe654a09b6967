"""Writing synthetic sessions a day at a time."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from toolkit import tables
from toolkit.errors import BadData
from toolkit.sim.generate import SAMPLE, generate
from toolkit.store.session import open_session, write_tables
from toolkit.store.synthetic import write_synthetic

PLAN = replace(SAMPLE, each_side=(8, 6), underlyings=("NIFTY",), weeklies=(2,), monthlies=(1,), tick_strikes=1)


def _files(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_day_by_day_is_the_same_store_as_all_at_once(tmp_path):
    plan = replace(PLAN, days=2)
    write_synthetic(tmp_path / "days", plan)
    whole = generate(plan, {"NSE": tables.calendar("NSE")}, tables.contracts())
    write_tables(tmp_path / "whole", whole.tables, whole.meta)
    assert _files(tmp_path / "days") == _files(tmp_path / "whole")


def test_writing_twice_changes_no_byte(tmp_path):
    write_synthetic(tmp_path / "s", PLAN)
    before = _files(tmp_path / "s")
    write_synthetic(tmp_path / "s", PLAN)
    assert _files(tmp_path / "s") == before


def test_it_reports_each_day_and_what_it_planted(tmp_path):
    seen = []
    meta = write_synthetic(tmp_path / "s", replace(PLAN, days=2), lambda day: seen.append((day.date, day.underlying)))
    assert seen == [(dt.date(2026, 7, 13), "NIFTY"), (dt.date(2026, 7, 14), "NIFTY")]
    session = open_session(tmp_path / "s")
    assert session.synthetic
    assert session.meta["planted"] == meta["planted"]
    assert session.dates() == [dt.date(2026, 7, 13), dt.date(2026, 7, 14)]


def test_recorded_data_is_never_replaced(tmp_path):
    table = generate(PLAN, {"NSE": tables.calendar("NSE")}, tables.contracts()).tables["spot"]
    write_tables(tmp_path / "s", {"spot": table}, {"name": "mine", "synthetic": False})
    before = _files(tmp_path / "s")
    with pytest.raises(BadData, match="is a store of recorded data; name another folder for synthetic sessions"):
        write_synthetic(tmp_path / "s", PLAN)
    assert _files(tmp_path / "s") == before
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_bad_plan_leaves_the_earlier_store(tmp_path):
    write_synthetic(tmp_path / "s", PLAN)
    before = _files(tmp_path / "s")
    with pytest.raises(BadData, match="no session"):
        write_synthetic(tmp_path / "s", replace(PLAN, start=dt.date(2026, 7, 12)))
    assert _files(tmp_path / "s") == before


def test_a_failure_between_days_leaves_the_earlier_store_and_no_rest(tmp_path):
    write_synthetic(tmp_path / "s", PLAN)
    before = _files(tmp_path / "s")

    def stop(day):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "s", replace(PLAN, seed=5, days=2), stop)
    assert _files(tmp_path / "s") == before
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_folder_of_other_files_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadData):
        write_synthetic(tmp_path, PLAN)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
