"""The master dump and the look-ups, against the samples."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from toolkit.sim.xts_form import XtsRefusal
from toolkit.sim.xts_master import LOOKUPS, index_list, instrument_row, lookup, master, search
from toolkit.sim.xts_names import Directory


@pytest.fixture
def day(quiet_world):
    return quiet_world, Directory(quiet_world.roster)


@pytest.fixture
def sample(shared):
    return lambda name: json.loads(shared("fixtures", "xts", f"{name}.json").read_text())["body"]["result"]


def test_lines_have_the_columns_of_the_samples(day, sample):
    lines = {line.split("|")[2]: line.split("|") for line in master(*day, ["NSEFO"]).split("\n")}
    wanted = {line.split("|")[2]: line.split("|") for line in sample("md_master_nse").split("\n")}
    assert (
        {kind: len(line) for kind, line in lines.items()}
        == {kind: len(wanted[kind]) for kind in lines}
        == {"1": 21, "2": 23}
    )
    for kind, line in lines.items():
        for ours, theirs in zip(line, wanted[kind], strict=True):
            assert ours.replace(".", "").lstrip("-").isdigit() == theirs.replace(".", "").lstrip("-").isdigit(), (
                ours,
                theirs,
            )


def test_an_option_line_says_what_it_is(day):
    line = next(line for line in master(*day, ["NSEFO", "NSECM"]).split("\n") if "|40002|" in line).split("|")
    assert line[:8] == ["NSEFO", "40002", "2", "NIFTY", "NIFTY2671425000PE", "OPTIDX", "NIFTY-OPTIDX", "2260000040002"]
    assert line[10:18] == ["1801", "0.05", "65", "1", "-1", "Nifty 50", "2026-07-14T14:30:00", "25000"]
    assert line[18:] == ["4", "NIFTY 14JUL2026 PE 25000", "1", "1", "NIFTY2671425000PE"]


def test_indices_are_not_in_the_dump_but_in_their_list(day):
    assert master(*day, ["NSECM"]) == ""
    assert index_list(day[1], "1") == index_list(day[1], 1) == {"exchangeSegment": "1", "indexList": ["NIFTY 50_26000"]}
    with pytest.raises(XtsRefusal, match="Data Not Available"):
        index_list(day[1], 2)


@pytest.mark.parametrize("segments", [[], ["NSEFO", "XXX"], [2]])
def test_unknown_segments(day, segments):
    with pytest.raises(XtsRefusal, match="Bad Request"):
        master(*day, segments)


FO = {"exchangeSegment": "2", "series": "OPTIDX", "symbol": "NIFTY"}


@pytest.mark.parametrize(
    ("what", "query", "found"),
    [
        ("series", {"exchangeSegment": "2"}, ["FUTIDX", "OPTIDX"]),
        ("series", {"exchangeSegment": "1"}, ["INDEX"]),
        ("expirydate", FO, ["2026-07-14T14:30:00"]),
        ("expirydate", {**FO, "series": "FUTIDX"}, ["2026-07-28T14:30:00"]),
        ("optiontype", {**FO, "expiryDate": "14Jul2026"}, ["CE", "PE"]),
    ],
)
def test_plain_lists(day, what, query, found):
    assert lookup(*day, what, query) == found


def test_symbols_have_the_fields_of_the_sample(day, sample):
    asked = {**FO, "expiryDate": "14Jul2026", "optionType": "PE", "strikePrice": "25000"}
    rows = lookup(*day, "optionsymbol", asked)
    wanted = sample("md_option_symbol")[0]
    assert len(rows) == 1
    assert not set(wanted) - set(rows[0])
    assert {k: type(v) for k, v in rows[0].items() if k in wanted and k != "TickSize"} == {
        k: type(v) for k, v in wanted.items() if k != "TickSize"
    }
    assert (rows[0]["ExchangeInstrumentID"], rows[0]["OptionType"], rows[0]["RemainingExpiryDays"]) == (40002, 4, 1)
    future = lookup(
        *day, "futuresymbol", {"exchangeSegment": "2", "series": "FUTIDX", "symbol": "NIFTY", "expiryDate": "28Jul2026"}
    )
    assert [row["DisplayName"] for row in future] == ["NIFTY 28JUL2026"]
    assert len(lookup(*day, "symbol", FO)) == 2


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "e-property-validation-failed"),
        ({**FO, "expiryDate": "2026-07-14"}, "e-property-validation-failed"),
        ({**FO, "strikePrice": "x"}, "e-property-validation-failed"),
        ({**FO, "strikePrice": "1"}, "e-instrument-0005"),
        ({**FO, "exchangeSegment": "99"}, "e-instrument-0005"),
    ],
)
def test_wrong_questions(day, query, code):
    with pytest.raises(XtsRefusal) as told:
        lookup(*day, "optionsymbol", query)
    assert told.value.code == code


def test_every_lookup_answers(day):
    for what in LOOKUPS:
        assert lookup(*day, what, {"exchangeSegment": "2"})


def test_search_finds_every_word(day, sample):
    rows = search(*day, "nifty pe")
    assert [row["ExchangeInstrumentID"] for row in rows] == [40002]
    assert search(*day, "nothing like it") == []
    with pytest.raises(XtsRefusal):
        search(*day, "  ")
    index = instrument_row(*day, day[0].roster.spots["NIFTY"])
    assert not set(sample("md_search_by_id")[0]) - set(index)
    assert (index["InstrumentType"], index["Name"], index["ExchangeSegment"]) == (16, "NIFTY 50", 1)


def test_our_own_reader_finds_every_contract_with_its_terms():
    """The shipped session's derivatives of both exchanges, through the dump and back."""
    from toolkit.brokers.xts_master import read_master
    from toolkit.config import share
    from toolkit.sim.servers.load import load_world
    from toolkit.store.session import open_session

    world = load_world(open_session(share("data", "sample")))
    names = Directory(world.roster)
    table, counts = read_master(master(world, names, ["NSECM", "NSEFO", "BSECM", "BSEFO"]), dt.date(2026, 7, 13))
    read = {row["symbol"]: row for row in table.iter_rows(named=True)}
    listed = [row.instrument for row in world.roster.rows if row.instrument.expiry is not None]
    assert len(read) == len(listed) > 400
    assert counts == {}
    for one in listed:
        row = read[one.symbol]
        terms = (row["lot"], row["tick_p"], row["strike_p"], row["expiry"], row["exchange"], row["freeze_qty"])
        assert terms == (one.lot, one.tick_p, one.strike_p, one.expiry, one.exchange, one.freeze_qty), one.symbol
