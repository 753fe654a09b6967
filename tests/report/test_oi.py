"""The page of open-interest shift: every state it can be in."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from toolkit import oi
from toolkit.config import share
from toolkit.report.oi import nearest_text, oi_page, write_oi_page
from toolkit.store.session import open_session


@pytest.fixture(scope="module")
def sample():
    frame = open_session(share("data", "sample")).frame("chain", "NIFTY")
    expiry = frame["expiry"].min()
    rows = frame.filter(pl.col("expiry") == expiry)
    return oi.oi_shift(rows), oi.heatmap(rows)


def page(sample, **named):
    return oi_page(*sample, underlying="NIFTY", expiry="expiry 14 Jul 2026", source="sample", **named)


def test_it_shows_what_there_is(sample):
    text = page(sample, synthetic=True, settings={"base": "open"}).html()
    for words in (
        "SYNTHETIC",
        "Calls: change of OI since the base",
        "Puts: created and destroyed",
        "Call wall",
        "base",
    ):
        assert words in text
    assert "Changes are measured against 13 Jul 2026" in text


def test_the_same_result_gives_the_same_bytes(sample, tmp_path):
    args = {"underlying": "NIFTY", "expiry": "x", "source": "sample"}
    a = write_oi_page(tmp_path / "a.html", *sample, **args)
    b = write_oi_page(tmp_path / "b.html", *sample, **args)
    assert a.read_bytes() == b.read_bytes()


def test_a_study_stands_beside_the_events(sample):
    study = oi.event_study(sample[0].events, sample[0].levels, [300.0], permutations=20)
    text = page(sample, study=study).html()
    assert "How often the reading held" in text
    assert "One day proves nothing" in text


def test_nothing_to_show_says_so(sample):
    result, heat = sample
    none = oi.ShiftResult(result.levels.head(0), result.shifts.head(0), result.events.head(0), result.quality)
    text = oi_page(none, heat.head(0), underlying="NIFTY", expiry="x", source="s").html()
    assert "No burst of this underlying and expiry" in text
    calm = oi.ShiftResult(result.levels, result.shifts, result.events.head(0), result.quality)
    assert "No event" in oi_page(calm, heat, underlying="NIFTY", expiry="x", source="s").html()


def test_text_of_a_file_never_becomes_markup(sample):
    text = oi_page(*sample, underlying="<b>NIFTY</b>", expiry="x", source="<script>alert(1)</script>").html()
    assert "<script>alert(1)" not in text
    assert "&lt;b&gt;NIFTY" in text


def test_only_the_last_of_several_recorded_days_is_drawn(sample):
    result, heat = sample
    shift = pl.col("ts") + dt.timedelta(days=1)
    both = oi.ShiftResult(
        pl.concat([result.levels, result.levels.with_columns(shift)]),
        pl.concat([result.shifts, result.shifts.with_columns(shift)]),
        result.events,
        result.quality,
    )
    text = oi_page(both, pl.concat([heat, heat.with_columns(shift)]), underlying="N", expiry="x", source="s").html()
    assert "Pictures show the last day" in text


def test_the_expiries_in_words():
    one, two = dt.date(2026, 7, 14), dt.date(2026, 7, 21)
    assert nearest_text([]) == "no expiry"
    assert nearest_text([one]) == "expiry 14 Jul 2026"
    assert nearest_text([one, two]) == "nearest expiries 14 Jul 2026 to 21 Jul 2026"
