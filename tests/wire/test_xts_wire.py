"""XTS binary packets: the fixtures, an independent struct reader, both layouts, every way to be malformed."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market import xts_wire as wire

NAMES = {
    "LastTradedPrice": "ltp",
    "LastTradedQuantity": "last_qty",
    "TotalBuyQuantity": "total_bid_qty",
    "TotalSellQuantity": "total_ask_qty",
    "TotalTradedQuantity": "volume",
    "AverageTradedPrice": "avg_px",
    "LastTradedTime": "last_trade_raw_s",
    "LastUpdateTime": "last_update_raw_s",
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "MessageCode": "code",
    "ExchangeSegment": "segment",
    "ExchangeInstrumentID": "instrument",
    "MessageVersion": "version",
    "OpenInterest": "oi",
    "UnderlyingExchangeSegment": "underlying_segment",
    "UnderlyingInstrumentID": "underlying_instrument",
    "UnderlyingTotalOpenInterest": "underlying_oi",
    "XTSMarketType": "market_type",
}
FIXTURES = [
    "bin_1501_narrow_raw", "bin_1501_narrow_deflate", "bin_1501_wide_raw", "bin_1501_wide_deflate", "bin_1502_wide_raw", "bin_1510_raw",
]  # fmt: skip


@pytest.mark.parametrize("name", FIXTURES)
@pytest.mark.parametrize("prefix", [b"", b"\x04"])
def test_the_fixtures_give_their_expected_values(shared: Any, name: str, prefix: bytes) -> None:
    sample = json.loads(shared("fixtures", "xts", f"{name}.json").read_text())
    got = wire.decode_binary(prefix + bytes.fromhex(sample["hex"]), recv_ns=7)
    assert (len(got.ticks), got.skipped, got.bad, got.fault) == (len(sample["expect"]), 0, 0, "")
    for tick, expected in zip(got.ticks, sample["expect"], strict=True):
        for theirs, ours in NAMES.items():
            if theirs in expected:
                assert tick[ours] == expected[theirs], theirs
        for side, word in (("bid", "Bid"), ("ask", "Ask")):
            if f"{word}Price" in expected:
                assert tick[side][0]["price"] == expected[f"{word}Price"]
                assert tick[side][0]["qty"] == expected[f"{word}Size"]
        assert tick["recv_ns"] == 7


def level(qty: int, price: float, orders: int, wide: bool) -> bytes:
    return struct.pack("<qdih" if wide else "<idih", qty, price, orders, 0)


def touchline(v: dict[str, Any], wide: bool) -> bytes:
    quantities = (v["last_qty"], v["total_bid_qty"], v["total_ask_qty"], v["volume"])
    return (
        level(*v["bid"][0], wide)
        + level(*v["ask"][0], wide)
        + struct.pack("<Qd", v["update"], v["ltp"])
        + struct.pack("<4q" if wide else "<4I", *quantities)
        + struct.pack("<dqd", v["avg_px"], v["trade"], 0.5)
        + struct.pack("<5d", v["open"], v["high"], v["low"], v["close"], 0.0)
        + struct.pack("<hh", 0, 0)
    )


def packet(
    code: int, body: bytes, *, version: int = 4, ids: tuple[int, int] = (2, 49543), deflate: bool = False, skip: int = 0
) -> bytes:
    head = struct.pack("<HHHQ", code, version, 0, 0)
    head += struct.pack("<Qi", 99, 0) if version >= 4 else b"\x00" * skip
    payload = head + struct.pack("<hiQ", *ids, 1_450_351_800) + body
    packed = zlib.compressobj(wbits=-15)
    data = packed.compress(payload) + packed.flush() if deflate else payload
    front = struct.pack("<bHhihhH", int(deflate), code, *ids, 1, 1, len(payload))
    return front + (struct.pack("<H", len(data)) if deflate else b"") + data


PRICE = st.integers(1, 5_000_000).map(lambda p: p / 100)
QTY = st.integers(0, 2**31 - 1)


@st.composite
def quotes(draw: Any) -> dict[str, Any]:
    low, ltp, high = sorted(draw(st.tuples(PRICE, PRICE, PRICE)))
    rows = st.lists(st.tuples(QTY, PRICE, st.integers(0, 30_000)), min_size=1, max_size=7)
    return {
        "bid": draw(rows), "ask": draw(rows), "ltp": ltp, "low": low, "high": high, "open": draw(PRICE), "close": draw(PRICE),
        "avg_px": draw(PRICE), "last_qty": draw(QTY), "total_bid_qty": draw(QTY), "total_ask_qty": draw(QTY), "volume": draw(QTY),
        "update": draw(st.integers(0, 2**40)), "trade": draw(st.integers(0, 2**40)),
    }  # fmt: skip


def expect(tick: Any, v: dict[str, Any], levels: int) -> None:
    for name in (
        "ltp",
        "low",
        "high",
        "open",
        "close",
        "avg_px",
        "last_qty",
        "total_bid_qty",
        "total_ask_qty",
        "volume",
    ):
        assert tick[name] == v[name], name
    assert (tick["last_update_raw_s"], tick["last_trade_raw_s"]) == (v["update"], v["trade"])
    for side in ("bid", "ask"):
        kept = [tuple(row) for row in tick[side].tolist()]
        shown = v[side][:levels][:5]
        assert kept == shown + [(0, 0.0, 0)] * (5 - len(shown))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(quotes(), st.booleans(), st.booleans(), st.sampled_from([1501, 1502])), min_size=1, max_size=5)
)
def test_every_field_of_both_layouts_equals_an_independent_writer(
    rows: list[tuple[dict[str, Any], bool, bool, int]],
) -> None:
    data = b""
    for v, wide, deflate, code in rows:
        if code == 1501:
            body = touchline(v, wide)
        else:
            body = b"".join(
                struct.pack("<i", len(v[side])) + b"".join(level(*row, wide) for row in v[side])
                for side in ("bid", "ask")
            ) + touchline(v, wide)
        data += packet(code, body + struct.pack("<hh", 1, 1), deflate=deflate)
    got = wire.decode_binary(data)
    assert (got.skipped, got.bad, got.fault) == (0, 0, "")
    for tick, (v, wide, _, code) in zip(got.ticks, rows, strict=True):
        expect(tick, v, 1 if code == 1501 else 5)
        assert tick["layout"] == (wire.WIDE if wide else wire.NARROW)
        assert tick["sequence"] == 99


GOOD = {
    "bid": [(75, 100.0, 1)], "ask": [(75, 101.0, 1)], "ltp": 100.5, "low": 99.0, "high": 102.0, "open": 100.0, "close": 98.0,
    "avg_px": 100.2, "last_qty": 75, "total_bid_qty": 1, "total_ask_qty": 2, "volume": 3, "update": 5, "trade": 6,
}  # fmt: skip
GOOD_PACKET = packet(1501, touchline(GOOD, False) + b"\x00" * 4)


@pytest.mark.parametrize("skip", [0, 4])
@pytest.mark.parametrize("wide", [False, True])
def test_earlier_versions_are_read_with_either_header(skip: int, wide: bool) -> None:
    got = wire.decode_binary(packet(1501, touchline(GOOD, wide) + b"\x00" * 4, version=2, skip=skip))
    assert (len(got.ticks), got.bad) == (1, 0)
    expect(got.ticks[0], GOOD, 1)
    assert got.ticks[0]["sequence"] == 0


@pytest.mark.parametrize("tail", [0, 2, 40])
def test_the_tail_of_the_wide_layout_is_ignored(tail: int) -> None:
    body = touchline(GOOD, True)[:-12] + b"\x07" * tail
    got = wire.decode_binary(packet(1501, body))
    assert (len(got.ticks), got.bad) == (1, 0)
    expect(got.ticks[0], GOOD, 1)


def test_open_interest_with_a_name_is_read() -> None:
    body = struct.pack("<hihQ", 1, 13253100, 1, 26000) + b"\x01\x05NIFTY" + struct.pack("<i", 25481225)
    tick = wire.decode_binary(packet(1510, body)).ticks[0]
    assert (tick["oi"], tick["underlying_instrument"], tick["underlying_oi"]) == (13253100, 26000, 25481225)


def test_a_price_outside_low_and_high_is_bad_and_not_a_tick() -> None:
    got = wire.decode_binary(packet(1501, touchline({**GOOD, "ltp": 500.0}, False) + b"\x00" * 4) + GOOD_PACKET)
    assert (len(got.ticks), got.bad) == (1, 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_bad(value: float) -> None:
    assert wire.decode_binary(packet(1501, touchline({**GOOD, "ltp": value}, True) + b"\x00" * 4)).bad == 1


def test_a_payload_of_another_instrument_is_bad() -> None:
    data = bytearray(GOOD_PACKET)
    data[5] ^= 1
    assert wire.decode_binary(bytes(data)).bad == 1


def test_unknown_codes_are_skipped_by_their_size() -> None:
    got = wire.decode_binary(packet(1512, b"\x01" * 30) + GOOD_PACKET)
    assert (len(got.ticks), got.skipped, got.fault) == (1, 1, "")


def test_deflated_bombs_and_lies_about_the_size_are_bad() -> None:
    packed = zlib.compressobj(wbits=-15)
    bomb = packed.compress(b"\x00" * 50_000_000) + packed.flush()
    front = struct.pack("<bHhihhHH", 1, 1501, 2, 49543, 1, 1, 180, min(len(bomb), 65_535))
    got = wire.decode_binary(front + bomb[:65_535] + GOOD_PACKET)
    assert (len(got.ticks), got.bad) == (1, 1)
    broken = bytearray(packet(1501, touchline(GOOD, False) + b"\x00" * 4, deflate=True))
    broken[20] ^= 0xFF
    assert wire.decode_binary(bytes(broken)).bad + len(wire.decode_binary(bytes(broken)).ticks) == 1


@pytest.mark.parametrize("cut", range(1, len(GOOD_PACKET)))
def test_a_cut_packet_is_a_fault_and_costs_only_itself(cut: int) -> None:
    got = wire.decode_binary(GOOD_PACKET + GOOD_PACKET[:cut])
    assert len(got.ticks) == 1
    assert "breaks off" in got.fault


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 250), st.booleans())
def test_any_bytes_are_decoded_or_counted(noise: bytes, at: int, deflate: bool) -> None:
    real = packet(1501, touchline(GOOD, False) + b"\x00" * 4, deflate=deflate)
    for data in (noise, real[:at] + noise, real + noise):
        got = wire.decode_binary(data)
        assert set(got.ticks["code"].tolist()) <= set(wire.CODES)
        assert np.isfinite(got.ticks["ltp"]).all()


def test_a_buffer_is_reused_and_one_too_small_is_refused() -> None:
    room = wire.XtsBuffer(8)
    first = wire.decode_binary(GOOD_PACKET, into=room)
    assert np.shares_memory(first.ticks, room.ticks)
    body = struct.pack("<hihQ", 1, 10, 1, 26000) + b"\x00" + struct.pack("<i", 20)
    second = wire.decode_binary(packet(1510, body), into=room).ticks[0]
    assert (second["ltp"], second["bid"]["qty"].sum(), second["oi"]) == (0.0, 0, 10)
    with pytest.raises(BadData, match="was 1"):
        wire.decode_binary(GOOD_PACKET * 4, into=wire.XtsBuffer(1))


def test_nothing_is_nothing() -> None:
    for data in (b"", b"\x04"):
        assert len(wire.decode_binary(data).ticks) == 0


@given(st.integers(315_532_800 + 10**9, 2 * 10**9))
def test_both_epochs_come_back_to_now(now_s: int) -> None:
    assert wire.unix_s(now_s - 315_532_800 + 19_800, now_s) == now_s
    assert wire.unix_s(now_s, now_s) == now_s
