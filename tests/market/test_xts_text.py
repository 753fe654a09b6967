"""XTS text events: the samples, every variant that installs show, partial merging, and a fuzzer."""

from __future__ import annotations

import json
import math
import statistics
import time
import timeit

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market import xts_text as xt
from toolkit.market.xts_wire import XTS_TICK

NEAR = 1_765_864_800  # a moment of the session that the samples are from
TOUCH = {
    "BidInfo": {"Size": 75, "Price": 25960.5, "TotalOrders": 1, "BuyBackMarketMaker": 0},
    "AskInfo": {"Size": 450, "Price": 25963, "TotalOrders": 2, "BuyBackMarketMaker": 0},
    "LastTradedPrice": 25960.5, "LastTradedQunatity": 75, "TotalBuyQuantity": 696825, "TotalSellQuantity": 552150,
    "TotalTradedQuantity": 3240450, "AverageTradedPrice": 25998.25, "LastTradedTime": 1450351799,
    "LastUpdateTime": 1450351800, "PercentChange": -0.5, "Open": 26012, "High": 26045, "Low": 25952.3, "Close": 26108.7,
    "TotalValueTraded": None, "BuyBackTotalBuy": 0, "BuyBackTotalSell": 0,
}  # fmt: skip
HEAD = {"MessageCode": 1501, "MessageVersion": 4, "ExchangeSegment": 2, "ExchangeInstrumentID": 49543}
NESTED = HEAD | {
    "ExchangeTimeStamp": 1450351800,
    "BookType": 1,
    "XMarketType": 1,
    "SequenceNumber": 9,
    "Touchline": TOUCH,
}
FLAT = {k: v for k, v in NESTED.items() if k != "Touchline"} | TOUCH


def sample(shared, name):
    found = json.loads(shared("fixtures", "xts", f"{name}.json").read_text())
    return found["event"], found["args"][0]


FULL = ["ev_1501_full", "ev_1502_full", "ev_1505_full", "ev_1507_full", "ev_1510_full", "ev_1512_full"]
PARTIAL = ["ev_1501_partial", "ev_1502_partial", "ev_1512_partial", "ev_1105_partial"]


@pytest.mark.parametrize("name", FULL)
def test_every_full_sample_is_read_with_and_without_its_event(shared, name):
    event, text = sample(shared, name)
    code, form = xt.event_code(event)
    assert form == "full"
    tick = xt.decode_full(text, code)
    assert tick == xt.decode_full(text.encode()) == xt.decode_full(json.loads(text), code) == xt.decode_full([text])
    raw = json.loads(text)
    assert (tick.code, tick.segment, tick.instrument) == (
        code,
        raw["ExchangeSegment"],
        int(raw["ExchangeInstrumentID"]),
    )


def test_a_touchline_is_read_whole(shared):
    tick = xt.decode_full(sample(shared, "ev_1501_full")[1])
    touch = tick.touch
    assert touch.bid == xt.Level(75, 25960.5, 1)
    assert touch.ask == xt.Level(450, 25963.0, 2)
    assert (touch.ltp, touch.last_qty, touch.volume, touch.avg_px) == (25960.5, 75, 3240450, 25998.25)
    assert (touch.open, touch.high, touch.low, touch.close) == (26012.0, 26045.0, 25952.3, 26108.7)
    assert (touch.total_bid_qty, touch.total_ask_qty, touch.value_traded) == (696825, 552150, None)
    assert tick.sequence == 1590018768596832
    assert tick.stamp_ns(NEAR) == 1765864800 * 10**9


def test_depth_candle_status_oi_and_ltp(shared):
    depth = xt.decode_full(sample(shared, "ev_1502_full")[1])
    assert [level.qty for level in depth.bids] == [75, 75, 150, 225, 300]
    assert [level.price for level in depth.asks] == [25963.0, 25963.3, 25963.5, 25964.0, 25964.5]
    assert depth.best_bid == depth.bids[0]
    assert depth.best_ask == depth.asks[0]
    bar = xt.decode_full(sample(shared, "ev_1505_full")[1])
    assert (bar.touch.open, bar.touch.close, bar.bar_volume, bar.oi) == (26012.0, 26018.25, 12450, 13253100)
    assert bar.stamp_ns(NEAR) == 1765864799 * 10**9
    status = xt.decode_full(sample(shared, "ev_1507_full")[1])
    assert (status.market_type, status.session, status.message) == (1, 2, "Normal market has opened")
    assert xt.decode_full(sample(shared, "ev_1510_full")[1]).oi == 13253100
    ltp = xt.decode_full(sample(shared, "ev_1512_full")[1], 1512)
    assert (ltp.touch.ltp, ltp.touch.last_qty, ltp.touch.high) == (25960.5, 75, None)


def test_nested_and_flat_give_the_same_record():
    assert xt.decode_full(json.dumps(FLAT)) == xt.decode_full(json.dumps(NESTED))


def test_fields_beside_the_touchline_do_not_replace_those_in_it():
    assert xt.decode_full(json.dumps(NESTED | {"LastTradedPrice": 1.0, "High": "1"})).touch.ltp == 25960.5


@pytest.mark.parametrize("form", [NESTED, FLAT])
def test_both_spellings_of_the_last_quantity(form):
    text = json.dumps(form).replace("LastTradedQunatity", "LastTradedQuantity")
    assert xt.decode_full(text).touch.last_qty == 75
    assert xt.decode_full(text.lower().replace("messagecode", "MessageCode")).touch.last_qty == 75


def as_text(value):
    if isinstance(value, dict):
        return {k: as_text(v) for k, v in value.items()}
    if isinstance(value, list):
        return [as_text(v) for v in value]
    return f"{value:,}" if isinstance(value, int | float) else value


def test_numbers_and_ids_as_text_with_separators():
    assert xt.decode_full(json.dumps(as_text(NESTED))) == xt.decode_full(json.dumps(NESTED))


def test_whole_numbers_written_with_a_point():
    tick = xt.decode_full(json.dumps(NESTED | {"ExchangeInstrumentID": 49543.0, "ExchangeSegment": 2.0}))
    assert (tick.segment, tick.instrument) == (2, 49543)


@pytest.mark.parametrize("empty", [None, "", "NaN", "null"])
def test_what_says_nothing_is_unknown(empty):
    tick = xt.decode_full(json.dumps(NESTED | {"Touchline": TOUCH | {"LastTradedPrice": empty, "High": empty}}))
    assert tick.touch.ltp is None
    assert tick.touch.high is None
    assert tick.touch.low == 25952.3


def test_segment_by_name_and_other_casing():
    text = json.dumps({k.lower(): v for k, v in NESTED.items()} | {"exchangesegment": "NSEFO"})
    assert xt.decode_full(text, 1501) == xt.decode_full(json.dumps(NESTED))


def test_text_in_text_and_a_list_around():
    plain = xt.decode_full(json.dumps(NESTED))
    assert xt.decode_full(json.dumps(json.dumps(NESTED))) == plain
    assert xt.decode_full([NESTED]) == plain
    assert xt.decode_full(json.dumps([NESTED])) == plain


def test_a_body_without_its_code_takes_the_events():
    body = {k: v for k, v in NESTED.items() if k != "MessageCode"}
    assert xt.decode_full(json.dumps(body), 1501) == xt.decode_full(json.dumps(NESTED))


def test_an_index_by_name_and_as_a_touchline():
    index = {"MessageCode": 1504, "ExchangeSegment": 1, "IndexName": "NIFTY 50", "IndexValue": "26,010.5",
             "OpeningIndex": 25990, "HighIndexValue": 26050, "LowIndexValue": 25950, "ClosingIndex": 26100,
             "PercentChange": -0.3, "YearlyHigh": 26300, "YearlyLow": 21700, "NoOfUpmoves": 20, "NoOfDownmoves": 30,
             "MarketCapitalisation": 1.5e12}  # fmt: skip
    tick = xt.decode_full(json.dumps(index), 1504)
    assert (tick.index_name, tick.instrument, tick.touch.ltp, tick.touch.open) == ("NIFTY 50", 0, 26010.5, 25990.0)
    assert (tick.touch.high, tick.touch.low, tick.touch.close, tick.touch.percent_change) == (26050, 25950, 26100, -0.3)
    assert (tick.year_high, tick.year_low, tick.up_moves, tick.down_moves) == (26300.0, 21700.0, 20, 30)
    assert tick.market_cap == 1.5e12
    by_id = xt.decode_full(json.dumps(NESTED | {"ExchangeSegment": 1, "ExchangeInstrumentID": 26000}))
    assert (by_id.code, by_id.instrument) == (1501, 26000)


def test_open_interest_with_its_underlying():
    rich = {"MessageCode": 1510, "ExchangeSegment": 2, "ExchangeInstrumentID": "49543", "XTSMarketType": 1,
            "OpenInterest": 13253100, "UnderlyingExchangeSegment": 1, "UnderlyingInstrumentID": 26000,
            "UnderlyingIDIndexName": "NIFTY 50", "UnderlyingTotalOpenInterest": 2**40}  # fmt: skip
    tick = xt.decode_full(json.dumps(rich), 1510)
    assert (tick.oi, tick.market_type, tick.underlying_oi) == (13253100, 1, 2**40)
    assert (tick.underlying_segment, tick.underlying_instrument, tick.underlying_name) == (1, 26000, "NIFTY 50")


@pytest.mark.parametrize(
    ("raw", "expected"), [(1450351800, 1765864800), (1765864799, 1765864799)], ids=["since 1980", "since 1970"]
)
def test_both_epochs_by_what_is_nearer_to_now(raw, expected):
    tick = xt.decode_full(json.dumps(NESTED | {"ExchangeTimeStamp": raw}))
    assert tick.stamp_ns(NEAR) == expected * 10**9
    assert tick.exch_raw_s == raw


def test_no_stamp_is_no_time():
    body = NESTED | {"ExchangeTimeStamp": 0, "Touchline": TOUCH | {"LastTradedTime": 0, "LastUpdateTime": 0}}
    assert xt.decode_full(json.dumps(body)).stamp_ns(NEAR) is None


BAD = [
    ("{", "not JSON"),
    ("[1,2]", "object"),
    ("7", "object"),
    (json.dumps(HEAD | {"MessageCode": 9999}), "message code"),
    (json.dumps({"MessageCode": 1501, "ExchangeSegment": 2, "LastTradedPrice": 1}), "ExchangeInstrumentID"),
    (json.dumps({"MessageCode": 1504, "ExchangeSegment": 1, "IndexValue": 1}), "ExchangeInstrumentID"),
    (json.dumps(FLAT | {"ExchangeSegment": "MOON"}), "segment"),
    (json.dumps(FLAT | {"LastTradedPrice": "12x"}), "LastTradedPrice"),
    (json.dumps(FLAT | {"LastTradedPrice": "1_2"}), "LastTradedPrice"),
    (json.dumps(FLAT | {"LastTradedPrice": "inf"}), "LastTradedPrice"),
    (json.dumps(FLAT | {"LastTradedPrice": True}), "LastTradedPrice"),
    (json.dumps(FLAT | {"TotalTradedQuantity": 1.5}), "TotalTradedQuantity"),
    (json.dumps(FLAT | {"TotalTradedQuantity": 10**30}), "cannot be read"),
    ('{"MessageCode":1501,"LastTradedPrice":NaN}', "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (None, "object"),
    ("[" * 5000, "not JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "words"), BAD)
def test_what_is_no_event_says_so_in_one_line(body, words):
    with pytest.raises(BadData, match=words) as caught:
        xt.decode_full(body)
    assert "\n" not in str(caught.value)


def test_another_code_than_the_events_is_refused():
    for form in (NESTED, FLAT):
        with pytest.raises(BadData, match="event 1502 carries a body of code 1501"):
            xt.decode_full(json.dumps(form), 1502)


def test_event_names():
    assert xt.event_code("1502-json-partial") == (1502, "partial")
    for name in ("joined", "xts-binary-packet", "1501-binary-full", "1501-json-odd", "x-json-full", ""):
        assert xt.event_code(name) is None


def test_segment_numbers():
    assert [xt.segment_number(s) for s in (1, "2", " bsefo ", 51.0)] == [1, 2, 12, 51]
    for odd in ("", None, -1, "NSE", "9999999"):
        with pytest.raises(BadData, match="exchange segment"):
            xt.segment_number(odd)


# partial events


@pytest.mark.parametrize("name", PARTIAL)
def test_every_partial_sample_is_read(shared, name):
    event, text = sample(shared, name)
    code, form = xt.event_code(event)
    assert form == "partial"
    change = xt.decode_partial(code, text)
    assert change == xt.decode_partial(code, [text]) == xt.decode_partial(code, text.encode())
    assert f"{change.segment}_{change.instrument}" == text.split(",")[0].removeprefix("t:")


def test_the_partial_touchline_sample(shared):
    change = xt.decode_partial(1501, sample(shared, "ev_1501_partial")[1])
    assert change.values["ltp"] == 1567.95
    assert change.values["total_ask_qty"] == 0
    assert change.values["value_traded"] == 177838490.0
    assert change.asks == ((0, xt.Level(1428, 1567.95, 10)),)
    assert change.bids == ((0, xt.Level(0, 0.0, 0)),)


def test_a_partial_depth_changes_only_what_it_names(shared):
    book = xt.TextBook()
    full = book.full(xt.decode_full(sample(shared, "ev_1502_full")[1]))
    merged = book.partial(xt.decode_partial(1502, sample(shared, "ev_1502_partial")[1]))
    assert merged.touch.ltp == 25961.0
    assert merged.touch.volume == 3240525
    assert merged.touch.high == full.touch.high
    assert merged.touch.last_update_raw_s == 1450351801
    assert merged.bids == (xt.Level(150, 25961.0, 2), *full.bids[1:])
    assert merged.asks == (xt.Level(375, 25963.0, 2), *full.asks[1:])
    assert (merged.touch.bid, merged.touch.ask) == (merged.bids[0], merged.asks[0])
    assert merged.best_bid == merged.bids[0]
    assert len(book) == 1
    again = book.partial(xt.decode_partial(1502, "t:2_49543,bi:0||25961.5||3|500||"))
    assert again.bids[0] == xt.Level(150, 25961.5, 2)
    assert again.bids[3] == xt.Level(500, full.bids[3].price, full.bids[3].orders)
    assert again.touch.ltp == 25961.0


def test_a_partial_touchline_into_a_nested_state():
    book = xt.TextBook()
    full = book.full(xt.decode_full(json.dumps(NESTED)))
    merged = book.partial(xt.decode_partial(1501, "t:2_49543,ltp:25970,ltq:150,bi:0|10|25969|1|1"))
    assert (merged.touch.ltp, merged.touch.last_qty, merged.touch.bid) == (25970.0, 150, xt.Level(10, 25969.0, 1))
    assert merged.touch.ask == full.touch.ask
    assert merged.sequence == full.sequence


def test_a_partial_with_nothing_before_it_knows_only_itself():
    merged = xt.TextBook().partial(xt.decode_partial(1501, "t:2_7,ltp:10"))
    assert (merged.instrument, merged.touch.ltp, merged.touch.volume, merged.touch.bid) == (7, 10.0, None, None)
    assert xt.TextBook().partial(xt.decode_partial(1502, "t:2_7,ai:2|5|9.5|1")).asks[2] == xt.Level(5, 9.5, 1)


def test_spelled_quantity_does_not_hide_a_newer_one():
    book = xt.TextBook()
    book.full(xt.decode_full(json.dumps(NESTED).replace("Qunatity", "Quantity")))
    assert book.partial(xt.decode_partial(1501, "t:2_49543,ltq:150")).touch.last_qty == 150


def test_o_means_what_the_code_says():
    assert xt.decode_partial(1501, "t:2_7,o:5.5").values == {"open": 5.5}
    assert xt.decode_partial(1505, "t:2_7,o:5,bt:9,bv:3,pv:4").values == {
        "open": 5.0, "bar_raw_s": 9, "bar_volume": 3, "bar_value": 4.0,
    }  # fmt: skip
    assert xt.decode_partial(1510, "t:2_7,o:100").values == {"oi": 100}
    other = xt.decode_partial(1510, "t:2_7,oi:100,mt:1,uex:1,uid:26000,toi:7").values
    assert other == {
        "oi": 100,
        "market_type": 1,
        "underlying_segment": 1,
        "underlying_instrument": 26000,
        "underlying_oi": 7,
    }
    assert xt.decode_partial(1512, "t:2_7,bt:1,mt:2").values == {"book_type": 1, "market_type": 2}
    merged = xt.TextBook().partial(xt.decode_partial(1510, "t:2_7,o:100"))
    assert (merged.oi, merged.touch.open) == (100, None)


def test_a_property_change_is_never_a_price(shared):
    book = xt.TextBook()
    change = xt.decode_partial(1105, sample(shared, "ev_1105_partial")[1])
    assert change.values == {}
    assert book.partial(change) is None
    assert len(book) == 0
    assert book.bands[12, 1140025] == {110: 2067.75, 111: 516.95}
    assert xt.decode_partial(1105, "t:12_1,87:1,88:2,ltp:5").properties == {87: 1.0, 88: 2.0}
    assert set(xt.PROPERTIES) == {87, 88, 110, 111}


def test_an_index_by_name_splits_at_the_first_bar():
    change = xt.decode_partial(1504, "t:1_NIFTY_50 X,ltp:26010.5,yh:26300,yl:21700")
    assert (change.segment, change.instrument, change.index_name) == (1, 0, "NIFTY_50 X")
    merged = xt.TextBook().partial(change)
    assert (merged.index_name, merged.touch.ltp, merged.year_high, merged.year_low) == (
        "NIFTY_50 X",
        26010.5,
        26300,
        21700,
    )
    assert xt.decode_partial(1504, "t:1_26000,ltp:1").instrument == 26000


def test_indices_by_name_are_kept_apart():
    book = xt.TextBook()
    book.partial(xt.decode_partial(1504, "t:1_NIFTY 50,ltp:1"))
    book.partial(xt.decode_partial(1504, "t:1_NIFTY BANK,h:2"))
    assert book.partial(xt.decode_partial(1504, "t:1_NIFTY 50,h:3")).touch.ltp == 1.0
    assert len(book) == 2
    book.clear()
    assert len(book) == 0


LEVELS = [
    ("0|1|2.5|3", ((0, xt.Level(1, 2.5, 3)),)),
    ("0|1|2.5|3|1", ((0, xt.Level(1, 2.5, 3)),)),
    ("0|1|2.5", ((0, xt.Level(1, 2.5)),)),
    ("0|||", ()),
    ("", ()),
    ("0|1|1|1|1|2|2|2|2|3|3|3|3|4|4|4|4|5|5|5", tuple((k, xt.Level(k + 1, k + 1.0, k + 1)) for k in range(5))),
    ("0|1|1|1|0|1|2|2|2|0|2|3|3|3|0", tuple((k, xt.Level(k + 1, k + 1.0, k + 1)) for k in range(3))),
    ("|9|||4|8||", ((0, xt.Level(9)), (4, xt.Level(8)))),
]


@pytest.mark.parametrize(("text", "expected"), LEVELS)
def test_levels_in_groups_of_four_or_five(text, expected):
    assert xt.decode_partial(1502, f"t:2_7,bi:{text}").bids == expected


BAD_PARTIAL = [
    (1501, "ltp:5", "names no instrument"),
    (1501, "t:2_7,ltp", "key:value"),
    (1501, "t:2_7,ltp:x", "number"),
    (1501, "t:2,ltp:5", "segment_instrument"),
    (1501, "t:2_ABC,ltp:5", "must be a number"),
    (1501, "t:2_7,bi:x|1|2|3", "levels"),
    (1501, "t:2_7,bi:1|1|2|3|0|1|2|3", "levels"),
    (1501, "t:2_7,bi:99|1|2|3", "levels"),
    (1501, f"t:2_7,v:{10**30}", "out of range"),
    (1501, "t:2_7,v:1.5", "whole"),
    (1501, None, "carries text"),
    (1507, "t:1_0,x:1", "partial events have the codes"),
]


@pytest.mark.parametrize(("code", "text", "words"), BAD_PARTIAL)
def test_what_is_no_partial_event_says_so(code, text, words):
    with pytest.raises(BadData, match=words):
        xt.decode_partial(code, text)


def test_empty_and_unknown_parts_are_passed_over():
    change = xt.decode_partial(1501, "t:2_7,,ltp:,zz:a:b:c,h:5,")
    assert change.values == {"high": 5.0}


def test_rows_equal_those_of_the_binary_decoder_in_form():
    ticks = [
        xt.decode_full(json.dumps(NESTED)),
        xt.decode_full(json.dumps({**HEAD, "MessageCode": 1510, "OpenInterest": 5})),
    ]
    rows = xt.to_array(ticks, recv_ns=3)
    assert rows.dtype == XTS_TICK
    assert (rows["ltp"][0], rows["volume"][0], rows["last_qty"][0], rows["recv_ns"][1]) == (25960.5, 3240450, 75, 3)
    assert rows["bid"][0]["price"].tolist() == [25960.5, 0, 0, 0, 0]
    assert (rows["n_bids"][0], rows["n_asks"][1], rows["oi"].tolist()) == (1, 0, [-1, 5])
    assert np.isnan(rows["ltp"][1])
    assert rows["volume"][1] == -1


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(),
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda x: st.lists(x) | st.dictionaries(st.sampled_from(sorted(FLAT)) | st.text(max_size=4), x),
        ),
    ),
    st.sampled_from([None, *xt.FULL_CODES]),
)
def test_anything_is_decoded_or_bad_data(body, code):
    check_full(body, code)


@settings(max_examples=400)
@given(st.data())
def test_a_damaged_event_is_decoded_or_bad_data(data):
    text = json.dumps(data.draw(st.sampled_from([NESTED, FLAT, as_text(NESTED)])))
    at = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(0, 12))
    put = data.draw(st.text(alphabet='0123456789-.e",:{}[]NaN\\', max_size=6))
    check_full(text[:at] + put + text[at + cut :], data.draw(st.sampled_from([None, 1501])))


def check_full(body, code):
    try:
        tick = xt.decode_full(body, code)
    except BadData:
        return
    rows = xt.to_array([tick])
    for name in ("ltp", "open", "high", "low", "close", "avg_px"):
        assert not math.isinf(rows[name][0])
    again = xt.TextBook()
    assert again.full(tick) is tick


@settings(max_examples=400)
@given(
    st.sampled_from(xt.PARTIAL_CODES),
    st.one_of(
        st.text(),
        st.text(alphabet="t:2_7,ltpobiv|.-0123456789 "),
        st.lists(
            st.tuples(
                st.sampled_from(["t", "ltp", "bi", "ai", "o", "v", "110"]),
                st.text(alphabet="0123456789|._-", max_size=20),
            )
        ).map(lambda r: "t:2_7," + ",".join(f"{k}:{v}" for k, v in r)),
    ),
)
def test_any_partial_text_is_merged_or_bad_data(code, text):
    try:
        change = xt.decode_partial(code, text)
    except BadData:
        return
    merged = xt.TextBook().partial(change)
    assert (merged is None) == (code == 1105)
    if merged is not None:
        assert xt.to_array([merged])["code"][0] == code


class _Level(msgspec.Struct):
    Size: int
    Price: float
    TotalOrders: int
    BuyBackMarketMaker: int


class _Touch(msgspec.Struct):
    BidInfo: _Level
    AskInfo: _Level
    LastTradedPrice: float
    LastTradedQunatity: int
    TotalBuyQuantity: int
    TotalSellQuantity: int
    TotalTradedQuantity: int
    AverageTradedPrice: float
    LastTradedTime: int
    LastUpdateTime: int
    PercentChange: float
    Open: float
    High: float
    Low: float
    Close: float
    TotalValueTraded: float | None
    BuyBackTotalBuy: int
    BuyBackTotalSell: int


class _Full(msgspec.Struct):
    MessageCode: int
    MessageVersion: int
    ExchangeSegment: int
    ExchangeInstrumentID: int
    ExchangeTimeStamp: int
    BookType: int
    XMarketType: int
    SequenceNumber: int
    Touchline: _Touch


def test_a_touchline_costs_little_more_than_a_plain_typed_decode(shared):
    """Interleaved, in the thread's own time; the bench states the ratio, this catches a lost fast path."""
    text = sample(shared, "ev_1501_full")[1].encode()
    plain = msgspec.json.Decoder(_Full).decode
    ratios = []
    for _ in range(15):
        ours = timeit.timeit(lambda: xt.decode_full(text, 1501), number=500, timer=time.thread_time)
        theirs = timeit.timeit(lambda: plain(text), number=500, timer=time.thread_time)
        ratios.append(ours / theirs)
    assert statistics.median(ratios) < 2.0
