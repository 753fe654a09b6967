"""Kite's ticker frames: the published vector, the official parser, every way to be malformed."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market import kite_wire as wire

VECTOR = bytes.fromhex(
    "000300b800c35102000027a60000004b000027e20012d6440007a50800079c3e000026ac00002904000026480000251c6912b13c0063d779006a"
    "cff2005b8d806912b13d0000004b000027a60001000000000096000027a100020000000000e10000279c000300000000012c0000279700040000"
    "00000177000027920005000000000096000027ab000200000000012c000027b000030000000001c2000027b50004000000000258000027ba0005"
    "0000000002ee000027bf0006000000200003e90900272b8500274a980026e8fa002710000026e52b0000465a6912b13d00080004d2033296e5b0"
)
LENGTHS = {wire.LTP: 8, wire.QUOTE: 44, wire.FULL: 184, wire.INDEX_QUOTE: 28, wire.INDEX_FULL: 32}


def frame(*packets: bytes) -> bytes:
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets)


def packet(token: int, length: int, seed: int) -> bytes:
    body = np.random.default_rng(seed).integers(0, 256, length - 4, dtype=np.uint8).tobytes()
    return struct.pack(">I", token) + body


def test_the_published_vector_gives_its_published_values() -> None:
    got = wire.decode(VECTOR, recv_ns=1_762_832_701_500_000_000)
    assert (got.skipped, got.fault, len(got.ticks)) == (0, "", 3)
    option, index, currency = got.ticks
    assert [int(option[f]) for f in ("token", "last_qty", "volume", "total_bid_qty", "total_ask_qty")] == [
        12800258, 75, 1234500, 501000, 498750,
    ]  # fmt: skip
    assert [int(option[f]) for f in ("oi", "oi_high", "oi_low", "last_trade_s", "exch_s")] == [
        6543225, 7000050, 6000000, 1762832700, 1762832701,
    ]  # fmt: skip
    px = wire.prices(got.ticks)
    assert [px[f][0] for f in ("ltp", "avg_px", "open", "high", "low", "close")] == [
        101.5,
        102.1,
        99.0,
        105.0,
        98.0,
        95.0,
    ]
    assert [px[f][1] for f in ("ltp", "open", "high", "low", "close")] == [
        25670.45,
        25600.0,
        25750.0,
        25500.1,
        25490.35,
    ]
    assert px["ltp"][2] == 84.875
    assert [int(q) for q in option["bid"]["qty"]] == [75, 150, 225, 300, 375]
    assert [int(q) for q in option["ask"]["orders"]] == [2, 3, 4, 5, 6]
    assert list(px["bid_px"][0]) == [101.5, 101.45, 101.4, 101.35, 101.3]
    assert list(px["ask_px"][0]) == [101.55, 101.6, 101.65, 101.7, 101.75]
    assert [int(k) for k in got.ticks["kind"]] == [wire.FULL, wire.INDEX_FULL, wire.LTP]
    assert set(got.ticks["recv_ns"].tolist()) == {1_762_832_701_500_000_000}
    assert int(index["exch_s"]) == 1762832701
    assert int(currency["divisor"]) == 10_000_000


def test_what_a_mode_does_not_carry_is_unknown_and_not_zero() -> None:
    px = wire.prices(wire.decode(VECTOR).ticks)
    assert math.isnan(px["avg_px"][1])
    assert all(math.isnan(px[f][2]) for f in ("open", "high", "low", "close", "avg_px"))
    assert np.isnan(px["bid_px"][1:]).all()


def test_the_recorded_quote_packet_decodes(shared: Any) -> None:
    body = base64.b64decode(shared("fixtures", "kite", "ticker_quote.packet").read_bytes())
    expected = json.loads(shared("fixtures", "kite", "ticker_quote.json").read_text())
    got = wire.decode(frame(body))
    px = wire.prices(got.ticks)
    tick = got.ticks[0]
    assert int(tick["kind"]) == wire.QUOTE
    assert px["ltp"][0] == expected["last_price"]
    assert px["close"][0] == expected["ohlc"]["close"]
    assert int(tick["volume"]) == expected["volume"]
    assert int(tick["token"]) == expected["instrument_token"]


def official(data: bytes) -> list[dict[str, Any]]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the official client's own imports warn
        from kiteconnect import KiteTicker
    return KiteTicker("key", "token")._parse_binary(data)


def token_of(segment: int) -> st.SearchStrategy[int]:
    return st.integers(1, 2**23).map(lambda n: (n << 8) | segment)


PACKETS = st.one_of(
    st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 12]), st.sampled_from([8, 44, 184])),
    st.tuples(st.just(9), st.sampled_from([8, 28, 32])),
).flatmap(lambda sl: st.tuples(token_of(sl[0]), st.just(sl[1]), st.integers(0, 2**32)))


def same(tick: Any, px: dict[str, Any], i: int, theirs: dict[str, Any]) -> None:
    assert int(tick["token"]) == theirs["instrument_token"]
    assert px["ltp"][i] == pytest.approx(theirs["last_price"], rel=1e-15)
    if "ohlc" in theirs:
        for name in ("open", "high", "low", "close"):
            assert px[name][i] == pytest.approx(theirs["ohlc"][name], rel=1e-15)
    for ours, name in (
        ("last_qty", "last_traded_quantity"),
        ("volume", "volume_traded"),
        ("total_bid_qty", "total_buy_quantity"),
        ("total_ask_qty", "total_sell_quantity"),
        ("oi", "oi"),
        ("oi_high", "oi_day_high"),
        ("oi_low", "oi_day_low"),
    ):
        if name in theirs:
            assert int(tick[ours]) == theirs[name]
    for ours, name in (("bid", "buy"), ("ask", "sell")):
        for level, entry in enumerate(theirs.get("depth", {}).get(name, ())):
            assert int(tick[ours]["qty"][level]) == entry["quantity"]
            assert int(tick[ours]["orders"][level]) == entry["orders"]
            if entry["quantity"]:
                assert px[f"{ours}_px"][i, level] == pytest.approx(entry["price"], rel=1e-15)


@settings(max_examples=60, deadline=None)
@given(st.lists(PACKETS, min_size=1, max_size=12))
def test_every_field_equals_the_official_parser(rows: list[tuple[int, int, int]]) -> None:
    # Stamps past year 9999 break the official parser; clear the high byte so that both can read every packet.
    bodies = []
    for token, length, seed in rows:
        body = bytearray(packet(token, length, seed))
        for at in (28, 44, 60):
            if len(body) > at + 4:
                body[at] &= 0x7F
        bodies.append(bytes(body))
    data = frame(*bodies)
    got = wire.decode(data)
    theirs = official(data)
    px = wire.prices(got.ticks)
    assert len(got.ticks) == len(theirs)
    for i, (tick, other) in enumerate(zip(got.ticks, theirs, strict=True)):
        same(tick, px, i, other)


def test_a_heartbeat_is_no_tick_and_no_fault() -> None:
    assert wire.is_heartbeat(b"\x00")
    assert wire.decode(b"\x00").fault == ""
    assert len(wire.decode(b"\x00").ticks) == 0


def test_a_packet_of_unknown_length_is_skipped_and_the_rest_is_kept() -> None:
    got = wire.decode(frame(packet(12800258, 44, 1), packet(1, 13, 2), packet(256265, 28, 3)))
    assert [int(k) for k in got.ticks["kind"]] == [wire.QUOTE, wire.INDEX_QUOTE]
    assert (got.skipped, got.fault) == (1, "")


@pytest.mark.parametrize("cut", range(len(VECTOR)))
def test_a_cut_frame_keeps_the_ticks_before_the_cut(cut: int) -> None:
    got = wire.decode(VECTOR[:cut])
    whole = sum(1 for end in (2 + 186, 2 + 186 + 34, len(VECTOR)) if cut >= end)
    assert len(got.ticks) == whole
    np.testing.assert_array_equal(got.ticks, wire.decode(VECTOR).ticks[:whole])
    assert bool(got.fault) == (cut != 1)


def test_a_count_larger_than_the_frame_reads_no_byte_beyond_it() -> None:
    got = wire.decode(b"\xff\xff" + VECTOR[2:])
    assert len(got.ticks) == 3
    assert "breaks off" in got.fault


def test_bytes_after_the_last_packet_are_a_fault_and_cost_no_tick() -> None:
    got = wire.decode(VECTOR + b"\x00\x01")
    assert len(got.ticks) == 3
    assert got.fault


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.booleans(), st.integers(0, 600))
def test_any_bytes_are_decoded_or_named_as_a_fault(noise: bytes, real: bool, at: int) -> None:
    data = VECTOR[:at] + noise if real else noise
    got = wire.decode(data)
    assert isinstance(got.fault, str)
    assert set(got.ticks["kind"].tolist()) <= set(LENGTHS)
    assert wire.prices(got.ticks)["ltp"].shape == got.ticks.shape


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_text_is_decoded_or_bad_data(noise: bytes) -> None:
    try:
        text = wire.decode_text(noise)
    except BadData:
        return
    assert text.kind in {"order", "error", "message", "other"}


def test_a_buffer_is_reused_and_one_too_small_is_refused() -> None:
    room = wire.TickBuffer(8)
    first = wire.decode(VECTOR, into=room)
    assert np.shares_memory(first.ticks, room.ticks)
    wire.decode(frame(packet(256265, 28, 9)), into=room)
    assert int(room.ticks[0]["kind"]) == wire.INDEX_QUOTE
    with pytest.raises(BadData, match="at least 3 ticks, was 1"):
        wire.decode(VECTOR, into=wire.TickBuffer(1))


def test_a_reused_buffer_leaves_nothing_of_the_tick_before() -> None:
    room = wire.TickBuffer(1)
    wire.decode(frame(packet(12800258, 184, 5)), into=room)
    short = wire.decode(frame(packet(12800258, 8, 6)), into=room)
    assert int(short.ticks[0]["oi"]) == 0
    assert int(short.ticks[0]["bid"]["qty"].sum()) == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_frame_is_accepted(kind: Any) -> None:
    assert len(wire.decode(kind(VECTOR)).ticks) == 3


def test_text_frames_are_told_apart() -> None:
    assert wire.decode_text('{"type":"order","data":{"order_id":"1"}}') == wire.TextFrame("order", {"order_id": "1"})
    assert wire.decode_text('{"type":"order","data":{}}').kind == "other"
    assert wire.decode_text('{"type":"error","data":"too many"}') == wire.TextFrame("error", "too many")
    assert wire.decode_text('{"type":"message","data":{"a":1}}').kind == "message"
    assert wire.decode_text('{"x":1}').kind == "other"
    for bad in ("[]", "1", "no", "", '"order"'):
        with pytest.raises(BadData):
            wire.decode_text(bad)


def test_commands_are_the_documented_json() -> None:
    assert json.loads(wire.subscribe_frame([256265, 12800258])) == {"a": "subscribe", "v": [256265, 12800258]}
    assert json.loads(wire.unsubscribe_frame([256265])) == {"a": "unsubscribe", "v": [256265]}
    assert json.loads(wire.mode_frame("full", [1])) == {"a": "mode", "v": ["full", [1]]}
    with pytest.raises(BadData, match="was 'deep'"):
        wire.mode_frame("deep", [1])
