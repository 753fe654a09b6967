"""The XTS master dump: the sample's real rows, every layout and way to be short, finding contracts."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.brokers.master import known
from toolkit.brokers.xts_master import XtsMaster, index_rows, key_of, read_listed, read_master, split_key
from toolkit.errors import BadData, UnknownSymbol
from toolkit.market.schema import INSTRUMENTS
from toolkit.types import Kind, OptionType

ON = dt.date(2026, 6, 15)
OPTION = "NSEFO|75452|2|BANKNIFTY|BANKNIFTY26JUN52100PE|OPTIDX|BANKNIFTY-OPTIDX|2618100075452|27.25|0.05|901|0.05|30|1|-1|Nifty Bank|2026-06-30T14:30:00|52100|4|BANKNIFTY 30JUN2026 PE 52100|1|1|BANKNIFTY26JUN52100PE"
FUTURE = "NSEFO|62329|1|NIFTY|NIFTY26JUNFUT|FUTIDX|NIFTY-FUTIDX|2618100062329|26237.7|21467.3|1801|0.1|65|1|-1|Nifty 50|2026-06-30T14:30:00|NIFTY 30JUN2026|1|1|NIFTY26JUNFUT"
SHARE = "NSECM|2885|8|RELIANCE|RELIANCE-EQ|EQ|RELIANCE-EQ|1100100002885|1440.4|1178.6|67662|0.1|1|1|RELIANCE|INE002A01018|1|1|RELIANCE INDUSTRIES LTD-EQ|0|-1|-1"


@pytest.fixture
def sample(shared):
    return json.loads(shared("fixtures", "xts", "md_master_nse.json").read_text())["body"]["result"]


def master(*lines):
    return XtsMaster(read_master("\n".join(lines), ON)[0], ON)


def test_the_sample_becomes_the_instrument_table(sample):
    table, skipped = read_master(sample, ON)
    assert skipped == {}
    assert table.select(list(INSTRUMENTS)).schema == INSTRUMENTS
    assert table["symbol"].to_list() == ["RELIANCE EQ", "NIFTY 30JUN2026 FUT", "BANKNIFTY 30JUN2026 52100 PE"]
    assert table["segment"].to_list() == ["NSE_CM", "NSE_FO", "NSE_FO"]
    assert table["tick_p"].to_list() == [10, 10, 5]
    assert table["lot"].to_list() == [1, 65, 30]
    assert table["freeze_qty"].to_list() == [67662, 1800, 900]
    assert table["expiry"].to_list() == [None, dt.date(2026, 6, 30), dt.date(2026, 6, 30)]


def test_a_contract_is_found_in_every_language(sample):
    found = XtsMaster(read_master(sample, ON)[0], ON)
    option = found.find("BANKNIFTY 30JUN2026 52100 PE")
    assert (option.kind, option.strike_p, option.option_type, option.lot) == (Kind.OPTION, 5_210_000, OptionType.PE, 30)
    assert option.token == key_of("NSEFO", 75452)
    for text in ("banknifty26jun52100pe", "NSEFO:75452", str(key_of("NSEFO", 75452)), " BANKNIFTY  30JUN2026 52100 PE"):
        assert found.find(text) is option
    assert found.place_of(option) == ("NSEFO", 75452)
    assert found.by_id("NSEFO", 75452) is found.by_key(option.token) is option
    assert found.find("RELIANCE EQ", "NSE").kind is Kind.EQUITY
    assert (len(found), next(iter(found)).symbol) == (3, "RELIANCE EQ")
    assert found.by_id("NSEFO", None) is found.by_id("MOON", 1) is found.by_id("NSECM", 1) is None
    assert found.table.height == 3


def test_the_price_band_of_the_day_comes_with_the_contract(sample, shared):
    found = XtsMaster(read_master(sample, ON)[0], ON)
    bands = {i.symbol: found.band_of(i) for i in found}
    assert bands == {
        "RELIANCE EQ": (117_860, 144_040),
        "NIFTY 30JUN2026 FUT": (2_146_730, 2_623_770),
        "BANKNIFTY 30JUN2026 52100 PE": (5, 2725),
    }
    listed = json.loads(shared("fixtures", "xts", "md_search_by_id.json").read_text())["body"]["result"]
    table, _ = read_listed(listed, ON)
    assert table.select("low_p", "high_p").row(0) == (117_860, 144_040)


@pytest.mark.parametrize("band", ["0|0", "|", "27.25|27.25", "0.05|27.25", "-1|-2", "x|y", "1e12|1", "nan|1", "inf|1"])
def test_a_band_that_is_none_is_unknown(band):
    found = master(OPTION.replace("27.25|0.05", band))
    assert found.band_of(found.find("BANKNIFTY 30JUN2026 52100 PE")) is None


def test_known_leaves_out_what_is_not_one_contract():
    both = master(SHARE, SHARE.replace("NSECM|2885", "BSECM|500325").replace("|EQ|", "|A|"), FUTURE)
    future = "NIFTY 30JUN2026 FUT"
    assert known(both.find, ["RELIANCE EQ", future, future, "NIFTY 30JUN2026 9 CE"]) == {future: both.find(future)}


def test_names_that_name_nothing(sample):
    found = XtsMaster(read_master(sample, ON)[0], ON)
    with pytest.raises(UnknownSymbol, match="did you mean 'BANKNIFTY 30JUN2026 52100 PE'"):
        found.find("BANKNIFTY 30JUN2026 52100 CE")
    with pytest.raises(UnknownSymbol, match="not listed on BSE; it is on NSE"):
        found.find("RELIANCE EQ", "BSE")
    with pytest.raises(UnknownSymbol, match="expired on 2026-06-30"):
        XtsMaster(read_master(sample, ON)[0], dt.date(2026, 7, 1)).find("NIFTY 30JUN2026 FUT")
    both = master(SHARE, SHARE.replace("NSECM|2885", "BSECM|500325").replace("|EQ|", "|A|"))
    with pytest.raises(UnknownSymbol, match="NSECM:2885, BSECM:500325; name the exchange"):
        both.find("RELIANCE EQ")
    assert both.find("RELIANCE EQ", "BSE").exchange == "BSE"


def test_the_same_id_in_two_segments_is_two_contracts():
    found = master(OPTION, FUTURE, SHARE.replace("|2885|", "|75452|"))
    assert found.find("NSECM:75452").symbol == "RELIANCE EQ"
    assert found.find("NSEFO:75452").symbol == "BANKNIFTY 30JUN2026 52100 PE"
    assert split_key(found.find("RELIANCE EQ").token) == (1, 75452)


@pytest.mark.parametrize("least", [("option", OPTION, 19), ("future", FUTURE, 17), ("equity", SHARE, 14)])
def test_older_dumps_lack_trailing_columns(least):
    kind, line, fields = least
    whole = read_master(line, ON)[0]
    for n in range(fields, line.count("|") + 1):
        if n not in (21, 22, 23):
            assert read_master("|".join(line.split("|")[:n]), ON)[0].equals(whole), (kind, n)
    with pytest.raises(BadData, match="no usable line"):
        read_master("|".join(line.split("|")[: fields - 1]), ON)


def test_calls_puts_and_series_of_bse():
    call = OPTION.replace("|4|", "|3|")
    assert master(call).find("BANKNIFTY 30JUN2026 52100 CE").option_type is OptionType.CE
    bse = OPTION.replace("NSEFO|75452", "BSEFO|860001").replace("BANKNIFTY|", "SENSEX|").replace("OPTIDX", "IO")
    assert master(bse).find("SENSEX 30JUN2026 52100 PE").segment == "BSE_FO"
    future = FUTURE.replace("NSEFO", "BSEFO").replace("|NIFTY|", "|SENSEX|").replace("FUTIDX", "IF")
    assert master(future).find("SENSEX 30JUN2026 FUT").freeze_qty == 1801


def test_every_line_left_out_is_counted_by_its_reason():
    lines = [
        SHARE, "", "   ", "a|b", "NSECD" + FUTURE[5:], "NSEFO|1|4" + FUTURE[13:], OPTION.replace("|2|BANK", "|8|BANK"),
        OPTION.replace("75452", "x", 1), OPTION.replace("|52100|4|", "|0|4|").replace("75452", "75453", 1), SHARE,
        OPTION.replace("|52100|4|", "|52100|9|").replace("75452", "75454", 1), SHARE.replace("|EQ|", "|GB|"),
        FUTURE.replace("2026-06-30T14:30:00", "soon"), SHARE.replace("|RELIANCE|RELIANCE-EQ|", "||RELIANCE-EQ|"),
    ]  # fmt: skip
    table, skipped = read_master("\r\n".join(lines), ON)
    assert table["symbol"].to_list() == ["RELIANCE EQ"]
    assert skipped == {
        "fewer than 14 fields": 1, "segment not traded here": 1, "instrument type not traded here": 2,
        "columns do not fit the instrument type": 1, "no id or name": 2, "no strike or option type": 2,
        "no expiry or lot": 1, "repeated id": 1,
    }  # fmt: skip


def test_index_lists_split_at_the_last_bar(shared):
    listed = json.loads(shared("fixtures", "xts", "md_indexlist.json").read_text())["body"]["result"]["indexList"]
    rows = index_rows([*listed, "odd", "_5", "X_y", "NIFTY 50_26000"], "NSECM", ON)
    assert rows["symbol"].to_list()[:3] == ["NIFTY", "BANKNIFTY", "INDIAVIX"]
    assert rows["symbol"].to_list()[4] == "HANGSENG BEES-NAV"
    assert rows.height == 5
    assert rows.select(list(INSTRUMENTS)).schema == INSTRUMENTS
    found = XtsMaster(rows, ON).find("NIFTY")
    assert (found.kind, found.token) == (Kind.INDEX, key_of("NSECM", 26000))
    assert XtsMaster(rows, ON).find("nifty 50") is not None
    assert index_rows([], "BSECM", ON).height == 0


@given(
    st.lists(
        st.sampled_from([OPTION, FUTURE, SHARE]).flatmap(
            lambda line: st.tuples(st.just(line), st.integers(0, 22), st.text(max_size=12))
        ),
        max_size=6,
    )
)
def test_any_dump_is_read_or_bad_data(changes):
    lines = []
    for line, at, text in changes:
        cells = line.split("|")
        cells[min(at, len(cells) - 1)] = text
        lines.append("|".join(cells))
    try:
        table, _ = read_master("\n".join(lines), ON)
    except BadData:
        return
    assert [i.symbol for i in XtsMaster(table, ON)] == table["symbol"].to_list()


def test_listed_instruments_equal_those_of_the_dump(shared, sample):
    dump = read_master(sample, ON)[0]
    for name, symbol in (("md_option_symbol", "BANKNIFTY 30JUN2026 52100 PE"), ("md_search_by_id", "RELIANCE EQ")):
        listed = json.loads(shared("fixtures", "xts", f"{name}.json").read_text())["body"]["result"]
        table, skipped = read_listed(listed, ON)
        assert skipped == {}
        assert table.rows() == dump.filter(dump["symbol"] == symbol).rows()
    assert read_listed([row | {"ExchangeSegment": "NSECM"} for row in listed], ON)[0].height == 1
    for odd in ({}, None, [1], [{}], [], "x"):
        with pytest.raises(BadData):
            read_listed(odd, ON)
