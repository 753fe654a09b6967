"""Ticker frames written here and read by the decoder, which was written apart from them."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from toolkit.errors import BadData
from toolkit.market.kite_wire import (
    FULL,
    INDEX_FULL,
    INDEX_QUOTE,
    LTP,
    QUOTE,
    decode,
    decode_text,
    is_heartbeat,
    prices,
)
from toolkit.sim import kite_frames
from toolkit.sim.kite_frames import HEARTBEAT, error_frame, malformed, order_frame, tick_frames
from toolkit.sim.tape import BOARD

CE, INDEX = 40001 * 256 + 2, 256265


def day(**fields):
    row = np.zeros(1, BOARD)
    for name in BOARD.names:
        if BOARD[name] == np.float64:
            row[name] = np.nan
    for name, value in fields.items():
        row[name] = value
    return row


WHOLE = day(
    key=CE, ltp=101.5, last_qty=75, bid=101.45, ask=101.55, bid_qty=130, ask_qty=195, volume=1000, oi=6500, open=99.0, high=105.0,
    low=98.0, close=95.0, value=102_100.0, oi_high=7000, oi_low=6000, exch_ns=1_783_900_001_900_000_000, trade_ns=1_783_900_000_000_000_000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("LTP", 8), ("INDEX_QUOTE", 28), ("INDEX_FULL", 32), ("QUOTE", 44), ("FULL", 184)],
)
def test_packets_have_the_wires_lengths(dtype, size):
    assert getattr(kite_frames, dtype).itemsize == size + 2


def test_a_full_packet_comes_back_whole():
    (frame,) = tick_frames(WHOLE, {CE: "full"})
    assert len(frame) == 188
    ticks, skipped, fault = decode(frame)
    assert (len(ticks), skipped, fault) == (1, 0, "")
    tick, rupees = ticks[0], prices(ticks)
    assert (tick["token"], tick["kind"], tick["last_qty"], tick["volume"]) == (CE, FULL, 75, 1000)
    assert {name: rupees[name][0] for name in ("ltp", "avg_px", "open", "high", "low", "close")} == {
        "ltp": 101.5, "avg_px": 102.1, "open": 99.0, "high": 105.0, "low": 98.0, "close": 95.0,
    }  # fmt: skip
    assert (tick["total_bid_qty"], tick["total_ask_qty"]) == (130, 195)
    assert (tick["oi"], tick["oi_high"], tick["oi_low"]) == (6500, 7000, 6000)
    assert (tick["exch_s"], tick["last_trade_s"]) == (1_783_900_001, 1_783_900_000)
    assert (rupees["bid_px"][0][0], rupees["ask_px"][0][0]) == (101.45, 101.55)
    assert tick["bid"]["qty"].tolist() == [130, 0, 0, 0, 0]
    assert tick["ask"]["orders"].tolist() == [1, 0, 0, 0, 0]
    assert np.isnan(rupees["bid_px"][0][1:]).all()


@pytest.mark.parametrize(
    ("key", "mode", "kind"),
    [
        (CE, "ltp", LTP),
        (CE, "quote", QUOTE),
        (INDEX, "ltp", LTP),
        (INDEX, "quote", INDEX_QUOTE),
        (INDEX, "full", INDEX_FULL),
    ],
)
def test_mode_and_segment_choose_the_packet(key, mode, kind):
    row = WHOLE.copy()
    row["key"] = key
    (frame,) = tick_frames(row, {key: mode})
    ticks = decode(frame).ticks
    assert ticks["kind"].tolist() == [kind]
    rupees = prices(ticks)
    assert rupees["ltp"][0] == 101.5
    if kind != LTP:
        assert [rupees[name][0] for name in ("open", "high", "low", "close")] == [99.0, 105.0, 98.0, 95.0]
    if kind == INDEX_FULL:
        assert ticks["exch_s"][0] == 1_783_900_001


def test_unknown_is_zero_on_this_wire():
    (frame,) = tick_frames(day(key=CE), {CE: "full"})
    tick = decode(frame).ticks[0]
    words = [int(tick[name]) for name in ("ltp", "last_qty", "avg_px", "volume", "open", "oi", "exch_s")]
    assert words == [0] * 7
    assert tick["bid"]["orders"].sum() == tick["ask"]["orders"].sum() == 0


def test_the_test_vector_of_the_protocol_notes_is_reproduced():
    known = "000100b800c35102000027a60000004b000027e20012d6440007a50800079c3e000026ac00002904000026480000251c6912b13c0063d779006acff2005b8d806912b13d"
    row = day(
        key=12800258, ltp=101.5, last_qty=75, volume=1234500, value=1234500 * 102.1, bid_qty=501000, ask_qty=498750, open=99.0, high=105.0,
        low=98.0, close=95.0, trade_ns=0x6912B13C * 10**9, oi=6543225, oi_high=7000050, oi_low=6000000, exch_ns=0x6912B13D * 10**9,
    )  # fmt: skip
    (frame,) = tick_frames(row, {12800258: "full"})
    assert frame[:68].hex() == known


def test_only_wanted_keys_are_sent():
    rows = np.concatenate([WHOLE, day(key=INDEX, ltp=25000.0)])
    assert tick_frames(rows, {}) == []
    (frame,) = tick_frames(rows, {INDEX: "ltp"})
    assert decode(frame).ticks["token"].tolist() == [INDEX]


def test_modes_mix_in_one_frame():
    rows = np.concatenate([WHOLE, day(key=INDEX, ltp=25000.0)])
    (frame,) = tick_frames(rows, {CE: "full", INDEX: "ltp"})
    assert sorted(decode(frame).ticks["kind"].tolist()) == [LTP, FULL]


def test_more_than_3000_packets_are_cut_into_frames():
    rows = np.repeat(WHOLE, 3001)
    rows["key"] = np.arange(1, 3002) * 256 + 2
    frames = tick_frames(rows, dict.fromkeys(rows["key"].tolist(), "ltp"))
    assert [len(decode(frame).ticks) for frame in frames] == [3000, 1]


def test_text_frames_are_what_the_decoder_reads():
    assert decode_text(order_frame({"order_id": "1"})) == decode_text('{"type": "order", "data": {"order_id": "1"}}')
    assert decode_text(error_frame("too many")).body == "too many"
    assert is_heartbeat(HEARTBEAT)


@pytest.mark.parametrize(
    ("kind", "says"),
    [("cut", "breaks off"), ("count", "breaks off"), ("short", "too short")],
)
def test_damage_shows_as_a_fault(kind, says):
    (frame,) = tick_frames(WHOLE, {CE: "full"})
    assert says in decode(malformed(kind, frame)).fault


def test_damage_that_is_no_fault_of_the_frame():
    (frame,) = tick_frames(WHOLE, {CE: "full"})
    assert decode(malformed("length", frame)).skipped == 1
    assert decode(malformed("token", frame)).ticks["token"].tolist() == [0]


@pytest.mark.parametrize("kind", ["text", "array"])
def test_damaged_text_is_bad_data(kind):
    made = malformed(kind, b"")
    assert isinstance(made, str)
    with pytest.raises(BadData, match="text frame"):
        decode_text(made)


def test_an_unknown_damage_names_the_known():
    with pytest.raises(BadData, match="malformed must be one of cut, count"):
        malformed("odd", b"")


def test_values_past_the_wire_are_capped():
    (frame,) = tick_frames(day(key=CE, volume=2.0**40, oi=-5.0), {CE: "full"})
    tick = decode(frame).ticks[0]
    assert (int(tick["volume"]), int(tick["oi"])) == (2**32 - 1, 0)


def test_an_update_keeps_every_field():
    row = {"order_id": "2607130000046137344", "price": 100.05, "tags": ["a"], "meta": {}, "tag": None}
    assert msgspec.json.decode(order_frame(row))["data"] == row
    assert not math.isnan(row["price"])
