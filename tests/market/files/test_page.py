"""The exchange page's option chain: csv by position, JSON in both spellings."""

from __future__ import annotations

import datetime as dt
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market.files import page, reading
from toolkit.market.files.detect import form_of
from toolkit.market.files.page import is_page_csv, is_page_json, read_page_csv, read_page_json
from toolkit.market.schema import CHAIN, SPOT

HEADER = (
    ",OI,CHNG IN OI,VOLUME,IV,LTP,CHNG,BID QTY,BID,ASK,ASK QTY,STRIKE,"
    "BID QTY,BID,ASK,ASK QTY,CHNG,LTP,IV,VOLUME,CHNG IN OI,OI,"
)
ROW = (
    ',434,-13,860,10.69,"1,011.00",-68.30,65,"1,012.00","1,016.25",130,"24,000.00",'
    '"1,950",6.55,6.60,"1,430",-3.15,6.55,13.31,"27,994","7,431","1,19,368",'
)
DASHED = ',1,-,-,-,55.00,-,-,-,-,-,"23,000.00",-,-,-,-,-,-,-,-,-,-,'
NAME = "option-chain-ED-NIFTY-25-Nov-2025.csv"
AT = dt.datetime(2025, 11, 21, 15, 29)


def source(body: str | bytes, name: str = NAME, modified: dt.datetime | None = None) -> reading.Source:
    raw = body.encode() if isinstance(body, str) else body
    stamp = 0 if modified is None else int(modified.timestamp()) * 10**9 + 5
    return reading.Source(name=name, sha256="0" * 64, body=raw, modified_ns=stamp, path=name)


def text(*rows: str, header: str = HEADER, first: str = "CALLS,,PUTS\n") -> str:
    return first + "\n".join([header, *rows]) + "\n"


def side(chain: pl.DataFrame, option_type: str) -> dict[str, object]:
    return chain.filter(option_type=option_type).row(0, named=True)


def test_each_side_gets_its_own_mirrored_columns():
    done = read_page_csv(source(text(ROW)), at=AT, spot=25000.5)
    chain = done.tables["chain"]
    assert chain.schema == CHAIN
    call, put = side(chain, "CE"), side(chain, "PE")
    lot = call["lot"]
    assert lot == 75
    names = ("oi", "volume", "source_iv", "ltp", "bid", "ask", "bid_qty", "ask_qty")
    assert [call[c] for c in names] == [434 * lot, 860 * lot, pytest.approx(0.1069), 1011.0, 1012.0, 1016.25, 65, 130]
    assert [put[c] for c in names] == [119368 * lot, 27994 * lot, pytest.approx(0.1331), 6.55, 6.55, 6.6, 1950, 1430]
    assert {call["strike_p"], put["strike_p"]} == {2400000}
    assert (call["underlying"], call["expiry"], call["spot"]) == ("NIFTY", dt.date(2025, 11, 25), 25000.5)
    assert str(call["ts"]) == str(call["recv_ts"]) == "2025-11-21 15:29:00+05:30"
    assert done.tables["spot"].schema == SPOT
    assert done.tables["spot"]["ltp"].to_list() == [25000.5]


def test_a_dash_is_zero_for_counts_and_unknown_for_prices_and_an_empty_side_is_absent():
    done = read_page_csv(source(text(DASHED)), at=AT)
    chain = done.tables["chain"]
    assert chain["option_type"].to_list() == ["CE"]
    row = chain.row(0, named=True)
    assert (row["oi"], row["volume"], row["ltp"]) == (75, 0, 55.0)
    assert [row[c] for c in ("source_iv", "bid", "ask", "bid_qty", "ask_qty", "spot")] == [None] * 6
    assert (done.rows_read, done.rows_kept) == (1, 1)
    assert "spot" not in done.tables


def test_a_line_of_dashes_is_counted_and_refused():
    empty = "," + ",".join(["-"] * 10 + ['"23,050.00"'] + ["-"] * 10) + ","
    done = read_page_csv(source(text(ROW, empty)), at=AT)
    assert (done.rows_read, done.rows_kept, done.refused) == (2, 1, (("line without a figure", 1),))


def test_a_resaved_copy_gives_the_same():
    """A spreadsheet loses the first line, the blank edges, digit groups and trailing zeros."""
    resaved = (
        "434,-13,860,10.69,1011,-68.3,65,1012,1016.25,130,24000,1950,6.55,6.6,1430,-3.15,6.55,13.31,27994,7431,119368"
    )
    plain = text(resaved, header=HEADER.strip(","), first="")
    assert is_page_csv(source(plain))
    done, whole = read_page_csv(source(plain), at=AT), read_page_csv(source(text(ROW)), at=AT)
    assert done.tables["chain"].equals(whole.tables["chain"])


@pytest.mark.parametrize("change", ["\r\n", "\ufeff"])
def test_line_ends_and_marks_do_not_matter(change):
    body = text(ROW).replace("\n", "\r\n") if change == "\r\n" else change + text(ROW)
    assert read_page_csv(source(body), at=AT).rows_kept == 1


def test_fractional_contracts_of_the_csv_are_restored():
    done = read_page_csv(source(text(ROW.replace(",434,", ",46100.333333333,"))), at=AT)
    assert side(done.tables["chain"], "CE")["oi"] == 3457525
    assert done.noted == (("fractional contracts restored to units", 1),)


def test_an_assumed_time_after_the_expiry_asks_for_at():
    late = dt.datetime(2026, 2, 1, 9, 59, tzinfo=dt.UTC)
    with pytest.raises(BadData, match=r"its modification time 2026-02-01 15:29 was assumed, give --at$"):
        read_page_csv(source(text(ROW), modified=late))
    with pytest.raises(BadData, match=r"\(1 expiry before the stamp's day\)$"):
        read_page_csv(source(text(ROW)), at=late)


def test_without_at_the_files_time_is_assumed_and_said():
    modified = dt.datetime(2025, 11, 21, 9, 59, tzinfo=dt.UTC)
    done = read_page_csv(source(text(ROW), modified=modified))
    assert done.noted == (("stamp assumed from the file's modification time", 1),)
    assert str(done.tables["chain"]["ts"][0]) == "2025-11-21 15:29:00+05:30"
    assert "at" not in dict(done.options)
    assert dict(read_page_csv(source(text(ROW)), at=AT).options)["at"] == "2025-11-21T09:59:00+00:00"


@pytest.mark.parametrize(
    "name", ["option-chain-ED-NIFTY-25-Nov-2025 (1).csv", "option-chain-ED-NIFTY-25-Nov-2025_21-11.csv"]
)
def test_names_that_browsers_and_users_lengthen(name):
    done = read_page_csv(source(text(ROW), name=name), at=AT)
    assert done.tables["chain"]["expiry"].unique().to_list() == [dt.date(2025, 11, 25)]


def test_a_name_without_symbol_needs_it_said():
    with pytest.raises(BadData, match="give --underlying and --expiry"):
        read_page_csv(source(text(ROW), name="chain.csv"), at=AT)
    done = read_page_csv(
        source(text(ROW), name="chain.csv"), at=AT, underlying="BANKNIFTY", expiry=dt.date(2025, 11, 25)
    )
    assert done.tables["chain"]["underlying"].unique().to_list() == ["BANKNIFTY"]


def test_symbols_with_signs_are_read_from_the_name():
    found = page._identity("option-chain-ED-BAJAJ-AUTO-25-Nov-2025.csv", None, None)
    assert found == ("BAJAJ-AUTO", dt.date(2025, 11, 25))


def test_negative_open_interest_and_crossed_quotes():
    bad = ROW.replace(",434,", ",-434,")
    done = read_page_csv(source(text(bad)), at=AT)
    assert done.noted == (("one side left out: open interest below zero", 1),)
    crossed = ROW.replace('"1,016.25"', '"1,000.00"')
    assert read_page_csv(source(text(crossed)), at=AT).noted == (("crossed quotes set to unknown", 1),)


@pytest.mark.parametrize("body", ["", "a,b\n1,2\n", text(ROW, header=HEADER.replace("STRIKE", "K"))])
def test_another_csv_is_refused(body):
    with pytest.raises(BadData, match="no header with STRIKE"):
        read_page_csv(source(body), at=AT)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["", "-", "1", "-5", '"1,2"', "x", "nan", "1e999", "0.5", '"', "é"]), max_size=26))
def test_hostile_cells_are_a_frame_or_one_line(cells):
    message = ""
    try:
        done = read_page_csv(source(text(",".join(cells), ROW)), at=AT)
        assert done.rows_kept + sum(n for _, n in done.refused) == done.rows_read
    except BadData as refused:
        message = str(refused)
    assert "\n" not in message


def classic(**change: object) -> dict[str, object]:
    made = {"strikePrice": 24000, "expiryDate": "25-Nov-2025", "underlying": "NIFTY", "openInterest": 4 + 1 / 3}
    made |= {"changeinOpenInterest": 1, "totalTradedVolume": 860, "impliedVolatility": 10.69, "lastPrice": 1011}
    made |= {"bidQty": 65, "bidprice": 1012, "askQty": 130, "askPrice": 1016.25, "underlyingValue": 25000.5}
    return {**made, **change}


def v3(**change: object) -> dict[str, object]:
    made = {"expiryDate": "25-11-2025", "underlying": "NIFTY", "openInterest": 4 + 1 / 3, "totalTradedVolume": 860}
    made |= {"impliedVolatility": 10.69, "lastPrice": 1011, "buyPrice1": 1012, "buyQuantity1": 65}
    made |= {"sellPrice1": 1016.25, "sellQuantity1": 130, "underlyingValue": 25000.5, "optionType": None}
    return {**made, **change}


def answer(*data: object, **records: object) -> str:
    found = {"timestamp": "21-Nov-2025 15:29:00", "underlyingValue": 25000.5, "data": list(data), **records}
    return json.dumps({"records": found, "filtered": {}})


OLD = {"strikePrice": 24000, "expiryDate": "25-Nov-2025", "CE": classic()}
NEW = {"strikePrice": 24000, "expiryDates": "25-Nov-2025", "CE": v3()}


def test_both_spellings_of_the_json_give_the_same():
    old = read_page_json(source(answer(OLD), name="a.json"))
    new = read_page_json(source(answer(NEW), name="a.json"))
    assert old.tables["chain"].equals(new.tables["chain"])
    row = old.tables["chain"].row(0, named=True)
    names = ("oi", "volume", "ltp", "bid", "ask", "bid_qty", "ask_qty", "spot")
    assert [row[c] for c in names] == [325, 860 * 75, 1011.0, 1012.0, 1016.25, 65, 130, 25000.5]
    assert row["source_iv"] == pytest.approx(0.1069)
    assert (str(row["ts"]), row["recv_ts"]) == ("2025-11-21 15:29:00+05:30", None)
    assert old.noted == (("fractional contracts restored to units", 1),)


def test_zero_is_none_in_the_json_too():
    dead = classic(impliedVolatility=0, lastPrice=0, bidprice=0, bidQty=0, underlyingValue=0, openInterest=0)
    row = read_page_json(source(answer({**OLD, "CE": dead}))).tables["chain"].row(0, named=True)
    assert [row[c] for c in ("source_iv", "ltp", "bid", "bid_qty")] == [None] * 4
    assert (row["oi"], row["spot"]) == (0, 25000.5)


def test_a_receive_stamp_may_be_given():
    done = read_page_json(source(answer(NEW)), at=dt.datetime(2025, 11, 21, 15, 30, 11))
    assert str(done.tables["chain"]["recv_ts"][0]) == "2025-11-21 15:30:11+05:30"


def test_rows_without_sides_are_counted():
    done = read_page_json(source(answer(NEW, {"strikePrice": 1}, "text", None)))
    assert (done.rows_read, done.rows_kept, done.refused) == (4, 1, (("line without a figure", 3),))


def test_a_side_without_its_symbol_takes_the_one_given():
    bare = {**NEW, "CE": {k: v for k, v in v3().items() if k != "underlying"}}
    with pytest.raises(BadData, match="symbol is not a name"):
        read_page_json(source(answer(bare)))
    done = read_page_json(source(answer(bare)), underlying="NIFTY")
    assert done.tables["chain"]["underlying"].to_list() == ["NIFTY"]


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (answer(NEW)[:-20], "is not whole JSON"),
        ('{"records": []}', "it has no records"),
        ('{"data": 1}', "it has no records"),
        (answer(NEW, timestamp="now"), "timestamp must read"),
        (answer(NEW, timestamp=None), "timestamp must read"),
        (answer(NEW, data={}), "records.data is no list"),
        (answer(), "holds no usable row"),
        ("[" * 100000, "is not whole JSON"),
    ],
)
def test_other_json_is_one_line(body, match):
    with pytest.raises(BadData, match=match) as caught:
        read_page_json(source(body, name="a.json"))
    assert "\n" not in str(caught.value)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted({*classic(), *v3()})), VALUES), VALUES, VALUES)
def test_hostile_values_are_a_frame_or_one_line(changes, strike, expiry):
    item = {"strikePrice": strike, "expiryDate": expiry, "CE": classic(**changes), "PE": v3(**changes)}
    message = ""
    try:
        read_page_json(source(answer(item, NEW)))
    except BadData as refused:
        message = str(refused)
    assert "\n" not in message


def test_the_forms_are_told_apart():
    assert is_page_json(source(answer(NEW)))
    assert not is_page_json(source(text(ROW)))
    assert not is_page_csv(source("a,b\n"))
    assert form_of(source(text(ROW))) == form_of(source(answer(NEW))) == "nse-chain"
