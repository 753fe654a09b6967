"""Events as text from the simulated day: full, partial against our merging reader, candles."""

from __future__ import annotations

import json
import math

import pytest

from toolkit.market.xts_text import TextBook, decode_full, decode_partial
from toolkit.sim.xts_form import XtsRefusal
from toolkit.sim.xts_market import CODES, Bar, XtsMarket
from toolkit.sim.xts_names import Directory

CE, INDEX = 40001 * 256 + 2, 256265
ASKED = {
    "exchangeSegment": "NSEFO",
    "exchangeInstrumentID": "40001",
    "startTime": "Jul 13 2026 091500",
    "endTime": "Jul 13 2026 153000",
    "compressionValue": "60",
}


@pytest.fixture
def market(quiet_world):
    return XtsMarket(quiet_world, Directory(quiet_world.roster))


def listed(market, key=CE):
    return market.world.roster.by_key[key]


@pytest.mark.parametrize("code", [1501, 1502, 1510, 1512])
def test_full_events_have_the_fields_of_the_samples_in_their_order(market, shared, code):
    sample = json.loads(json.loads(shared("fixtures", "xts", f"ev_{code}_full.json").read_text())["args"][0])
    event = market.full(code, listed(market))
    assert set(event) == set(sample)
    if "Touchline" in sample:
        assert list(event["Touchline"]) == list(sample["Touchline"])


@pytest.mark.parametrize("flat", [False, True])
def test_our_reader_takes_every_full_event(quiet_world, flat):
    market = XtsMarket(quiet_world, Directory(quiet_world.roster), flat=flat)
    for code, key in ((1501, CE), (1502, CE), (1510, CE), (1512, CE), (1504, INDEX), (1501, INDEX)):
        tick = decode_full(json.dumps(market.full(code, listed(market, key))))
        assert tick.code == code
        assert tick.stamp_ns(market.world.now_ns // 10**9) == market.world.bounds[0]
    tick = decode_full(json.dumps(market.full(1501, listed(market))))
    assert (tick.touch.ltp, tick.best_bid.price, tick.best_ask.qty, tick.touch.volume) == (100, 100, 130, 1300)
    assert tick.touch.percent_change == pytest.approx((100 / 95 - 1) * 100)


def test_what_is_not_there_is_no_event(market, make_world):
    assert market.full(1504, listed(market)) is None
    assert market.full(1510, listed(market, INDEX)) is None
    assert market.full(1505, listed(market)) is None
    bare = make_world([("09:15:00", "FUT", 1.0, 65, 2.0, 65, 1.5, 65)])
    empty = XtsMarket(bare, Directory(bare.roster))
    assert all(empty.full(code, listed(empty)) is None for code in CODES)
    assert not any(
        math.isnan(v)
        for v in json.loads(json.dumps(market.full(1501, listed(market, INDEX))["Touchline"]["BidInfo"])).values()
    )


@pytest.mark.parametrize("code", [1501, 1502])
def test_partial_text_merges_to_the_full_state(market, clock_ns, code):
    """Our own merging reader, from the snapshot and the partial text, reaches what a full event says."""
    before = market.full(code, listed(market))
    book = TextBook()
    book.full(decode_full(json.dumps(before)))
    market.world.advance(clock_ns("09:20:00"))
    after = market.full(code, listed(market))
    text = market.partial(code, after, before)
    merged = book.partial(decode_partial(code, text))
    wanted = decode_full(json.dumps(after))
    assert merged is not None
    for name in ("ltp", "volume", "avg_px", "high", "low", "open", "close", "total_bid_qty", "last_update_raw_s"):
        assert getattr(merged.touch, name) == pytest.approx(getattr(wanted.touch, name)), name
    assert (merged.best_bid.price, merged.best_ask.qty) == (wanted.best_bid.price, wanted.best_ask.qty) == (98, 650)


def test_partial_text_of_the_other_codes(market):
    assert market.partial(1510, market.full(1510, listed(market)), {}) == "t:2_40001,o:6500"
    index = market.full(1504, listed(market, INDEX))
    assert market.partial(1504, index, {}).startswith("t:1_NIFTY 50,ltp:25010,o:25010,")
    assert market.partial(1504, index, index) == "t:1_NIFTY 50"
    bar = market.candle(listed(market), Bar(market.world.bounds[0], 1.0, 3.0, 0.5, 2.0, 0.0, 65.0))
    parts = dict(part.split(":", 1) for part in market.partial(1505, bar, {}).split(","))
    assert list(parts) == ["t", "o", "h", "l", "c", "bt", "bv", "pv"]
    assert (parts["h"], parts["bv"]) == ("3", "65")


def test_a_bar_is_stamped_with_its_end_less_a_second(market, shared):
    bar = market.candle(listed(market), Bar(market.world.bounds[0], 1.0, 3.0, 0.5, 2.0, 0.0, 65.0))
    sample = json.loads(json.loads(shared("fixtures", "xts", "ev_1505_full.json").read_text())["args"][0])
    assert set(bar) == set(sample)
    assert type(bar["ExchangeInstrumentID"]) is str
    assert decode_full(json.dumps(bar)).stamp_ns(market.world.now_ns // 10**9) == market.world.bounds[0] + 59 * 10**9


def test_candles_are_odd_the_documented_way(market, clock_ns, shared):
    market.world.advance(clock_ns("10:00:30"))
    found = market.ohlc(ASKED)
    sample = json.loads(shared("fixtures", "xts", "md_ohlc.json").read_text())["body"]["result"]
    assert set(found) == set(sample)
    rows = [row.split("|") for row in found["dataReponse"].split(",")]
    assert all(len(row) == len(sample["dataReponse"].split(",")[0].split("|")) == 8 for row in rows)
    stamps = [int(row[0]) - 19_800 for row in rows]
    assert stamps == [clock_ns(text) // 10**9 for text in ("09:15:59", "09:20:59", "10:00:59")]
    assert rows[0][1:] == ["100", "100", "100", "100", "1300", "6500", ""]


@pytest.mark.parametrize(("value", "end"), [("300", "09:19:59"), ("3600", "10:14:59"), ("D", "15:29:59")])
def test_other_widths(market, clock_ns, value, end):
    first = market.ohlc({**ASKED, "compressionValue": value})["dataReponse"].split(",")[0]
    if value == "D":
        first = market.ohlc({**ASKED, "compressionValue": value, "startTime": "Jul 13 2026 000000"})["dataReponse"]
    assert int(first.split("|")[0]) - 19_800 == clock_ns(end) // 10**9


def test_no_bars_is_an_empty_text(market):
    assert market.ohlc({**ASKED, "startTime": "Jul 13 2026 140000"})["dataReponse"] == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exchangeInstrumentID": "1"}, "e-instrument-0001"),
        ({"compressionValue": "61"}, "e-property-validation-failed"),
        ({"startTime": "2026-07-13"}, "e-property-validation-failed"),
        ({"endTime": "Jul 12 2026 100000"}, "e-property-validation-failed"),
        ({"startTime": "Jul 13 2020 091500"}, "e-property-validation-failed"),
    ],
)
def test_wrong_questions(market, changes, code):
    with pytest.raises(XtsRefusal) as told:
        market.ohlc({**ASKED, **changes})
    assert told.value.code == code


def test_the_segments_number_or_name_will_do(market):
    assert market.ohlc({**ASKED, "exchangeSegment": "2"})["dataReponse"] == market.ohlc(ASKED)["dataReponse"]


def test_market_status(market, shared):
    sample = json.loads(json.loads(shared("fixtures", "xts", "ev_1507_full.json").read_text())["args"][0])
    made = market.status(1, 2, "Normal market has opened")
    assert {k: v for k, v in made.items() if k != "ExchangeTimeStamp"} == {
        k: v for k, v in sample.items() if k != "ExchangeTimeStamp"
    }
