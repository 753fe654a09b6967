"""Participant-wise reports: the real one of 28-Jul-2026, title spellings, order of columns."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.detect import read_file
from toolkit.market.files.participant import is_participant, read_participant
from toolkit.market.schema import PARTICIPANTS

TITLE = '"Participant wise Open Interest (no. of contracts) in Equity Derivatives as on Jul 28, 2026",,,,,,,,,,,,,,'
HEADER = (
    "Client Type,Future Index Long,Future Index Short,Future Stock Long,Future Stock Short       ,"
    "Option Index Call Long,Option Index Put Long,Option Index Call Short,Option Index Put Short,"
    "Option Stock Call Long,Option Stock Put Long,Option Stock Call Short,Option Stock Put Short,"
    "Total Long Contracts      ,Total Short Contracts"
)
FII = "FII,31000,190500,3301200,2810400,298000,655000,470100,230900,55200,98100,101000,47700,4438500,3850600"


def source(body: str, name: str = "fao_participant_oi_28072026.csv") -> reading.Source:
    return reading.Source(name=name, sha256="0" * 64, body=body.encode(), modified_ns=0, path=name)


def text(*rows: str, title: str = TITLE, header: str = HEADER) -> str:
    return "\n".join([title, header, *rows]) + "\n"


def figure(frame: pl.DataFrame, who: str, instrument: str, side: str) -> int:
    return int(frame.filter(who=who, instrument=instrument, side=side)["contracts"].item())


def test_the_real_report(shared):
    done = read_file(shared("data", "nse", "fao_participant_oi_28072026.csv"))
    assert (done.rows_read, done.rows_kept, done.refused) == (5, 5, ())
    assert done.noted == (("columns whose parts miss TOTAL", 3),)
    frame = done.tables["participants"]
    assert frame.schema == PARTICIPANTS
    assert frame.height == 5 * 14
    assert frame["date"].unique().to_list() == [dt.date(2026, 7, 28)]
    assert frame["measure"].unique().to_list() == ["oi"]
    assert figure(frame, "TOTAL", "option_index_put", "long") == 2697954
    parts = frame.filter(pl.col("who") != "TOTAL", instrument="option_index_put", side="long")
    assert parts["contracts"].sum() == 2697953
    longs = frame.filter(who="TOTAL", side="long").sort("instrument")["contracts"].to_list()
    assert longs == frame.filter(who="TOTAL", side="short").sort("instrument")["contracts"].to_list()


def test_put_long_comes_before_call_short():
    frame = read_participant(source(text(FII))).tables["participants"]
    assert figure(frame, "FII", "option_index_call", "long") == 298000
    assert figure(frame, "FII", "option_index_put", "long") == 655000
    assert figure(frame, "FII", "option_index_call", "short") == 470100
    assert figure(frame, "FII", "total", "short") == 3850600
    assert frame["crore"].is_null().all()


@pytest.mark.parametrize(
    "title",
    [
        TITLE,
        TITLE.replace('"', '""'),
        TITLE.replace('"', "").replace("Jul 28, 2026", "Jul 28,2026"),
        TITLE.replace("Jul", "July"),
    ],
)
def test_spellings_of_the_title(title):
    done = read_participant(source(text(FII, title=title)))
    assert done.tables["participants"]["date"][0] == dt.date(2026, 7, 28)


def test_volume_is_told_from_open_interest():
    title = TITLE.replace("Open Interest", "Trading Volumes")
    done = read_participant(source(text(FII, title=title), name="fao_participant_vol_28072026.csv"))
    assert done.tables["participants"]["measure"].unique().to_list() == ["volume"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (FII.replace("FII", "Others"), "participant is not known"),
        (FII.replace("31000", "many"), "figure is not a whole number"),
        (FII.replace("31000", "1.5"), "figure is not a whole number"),
        (FII.replace("31000", "-1"), "figure below zero"),
        (FII, "repeated participant"),
    ],
)
def test_bad_rows_are_refused_by_reason(row, reason):
    done = read_participant(source(text(FII, row)))
    assert (done.rows_read, done.rows_kept, done.refused) == (2, 1, ((reason, 1),))


@pytest.mark.parametrize(
    ("body", "name", "match"),
    [
        (text(FII, title="x"), "p.csv", "has no title"),
        (text(FII, title=TITLE.replace("Jul 28, 2026", "today")), "p.csv", "must hold a date"),
        (text(FII), "fao_participant_oi_29072026.csv", "the name says 2026-07-29, the title says 2026-07-28"),
        (text(FII, title=TITLE.replace("Jul 28", "Jul 26")), "p.csv", "2026-07-26 is no session of NSE"),
        (
            text(FII, header=HEADER.replace("Future Index Long", "Future Long")),
            "p.csv",
            "missing column Future Index Long",
        ),
        (text(), "p.csv", "no usable row"),
    ],
)
def test_bad_reports_are_one_line(body, name, match):
    with pytest.raises(BadData, match=match) as caught:
        read_participant(source(body, name))
    assert "\n" not in str(caught.value)


def test_the_report_is_recognised():
    assert is_participant(source(text(FII)))
    assert not is_participant(source("a,b\n1,2\n"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=14, max_size=14))
def test_contracts_stay_contracts(figures):
    frame = read_participant(source(text("Pro," + ",".join(map(str, figures))))).tables["participants"]
    assert sorted(frame["contracts"].to_list()) == sorted(figures)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet='Jul 28,6"\n\ré-x', max_size=80))
def test_hostile_text_is_a_frame_or_one_line(rest):
    message = ""
    try:
        read_participant(source(TITLE + "\n" + rest))
    except BadData as refused:
        message = str(refused)
    assert message
    assert "\n" not in message
