"""Packets against the samples, byte by byte, and against our decoder for any values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market.socketio import encode_event
from toolkit.market.xts_wire import decode_binary
from toolkit.sim.xts_frames import MALFORMED, attachments, malformed, packet

I32 = st.integers(0, 2**31 - 1)
PRICE = st.integers(1, 10**7).map(lambda p: p / 100)


@pytest.fixture
def sample(shared):
    return lambda name: json.loads(shared("fixtures", "xts", f"{name}.json").read_text())


def of_sample(sample, code):
    return json.loads(sample(f"ev_{code}_full")["args"][0])


@pytest.mark.parametrize(
    ("name", "code", "wide"),
    [("bin_1501_narrow_raw", 1501, False), ("bin_1501_wide_raw", 1501, True), ("bin_1502_wide_raw", 1502, True)],
)
def test_a_raw_packet_is_the_sample_to_the_byte(sample, name, code, wide):
    wanted = bytes.fromhex(sample(name)["hex"])
    made = packet(of_sample(sample, code), wide=wide)
    assert len(made) == len(wanted)
    # The samples carry a sum of value traded, which the JSON sample leaves null; all else is equal.
    differ = {i for i, (a, b) in enumerate(zip(made, wanted, strict=True)) if a != b}
    value_at = len(wanted) - 4 - 4 - 8
    assert differ <= set(range(value_at, value_at + 8))


@pytest.mark.parametrize("name", ["bin_1501_narrow_deflate", "bin_1501_wide_deflate"])
def test_a_deflated_packet_decodes_as_the_sample_does(sample, name):
    wanted = decode_binary(bytes.fromhex(sample(name)["hex"])).ticks
    made = decode_binary(packet(of_sample(sample, 1501), wide="wide" in name, deflated=True)).ticks
    assert made.tobytes() == wanted.tobytes()


def test_open_interest_is_the_sample_to_the_byte(sample):
    found = sample("bin_1510_raw")
    expected = found["expect"][0]
    event = {**of_sample(sample, 1510), **{k: v for k, v in expected.items() if k.startswith("Underlying")}}
    head = {"SequenceNumber": decode_binary(bytes.fromhex(found["hex"])).ticks["sequence"].tolist()[0]}
    assert packet({**event, **head}).hex() == found["hex"]


@given(
    price=PRICE,
    bid=PRICE,
    size=I32,
    orders=st.integers(0, 2**15),
    instrument=I32,
    volume=I32,
    wide=st.booleans(),
    deflated=st.booleans(),
    depth=st.booleans(),
)
def test_our_decoder_reads_whatever_is_written(price, bid, size, orders, instrument, volume, wide, deflated, depth):
    level = {"Size": size, "Price": bid, "TotalOrders": orders}
    touch = {
        "BidInfo": level, "AskInfo": level, "LastTradedPrice": price, "LastTradedQunatity": size, "TotalBuyQuantity": size,
        "TotalSellQuantity": size, "TotalTradedQuantity": volume, "AverageTradedPrice": price, "LastTradedTime": 7,
        "LastUpdateTime": 8, "PercentChange": 0.5, "Open": price, "High": price, "Low": price, "Close": bid, "TotalValueTraded": None,
    }  # fmt: skip
    event = {
        "MessageCode": 1502 if depth else 1501,
        "ExchangeSegment": 2,
        "ExchangeInstrumentID": instrument,
        "ExchangeTimeStamp": 9,
        "SequenceNumber": 3,
        "Touchline": touch,
    }
    if depth:
        event |= {"Bids": [level] * 5, "Asks": [level] * 5}
    decoded = decode_binary(packet(event, wide=wide, deflated=deflated))
    assert (len(decoded.ticks), decoded.bad, decoded.fault) == (1, 0, "")
    tick = decoded.ticks[0]
    assert (tick["ltp"], tick["volume"], tick["instrument"], tick["close"], tick["sequence"]) == (
        price,
        volume,
        instrument,
        bid,
        3,
    )
    assert (tick["bid"]["qty"][0], tick["ask"]["price"][0], tick["bid"]["orders"][0]) == (size, bid, orders)


def test_flat_events_and_several_packets_in_one_attachment(sample):
    nested = of_sample(sample, 1501)
    flat = {**{k: v for k, v in nested.items() if k != "Touchline"}, **nested["Touchline"]}
    assert packet(flat) == packet(nested)
    parts = [packet(nested), packet(nested, deflated=True), packet(of_sample(sample, 1510))]
    assert [len(a) for a in attachments(parts, 2)] == [len(parts[0]) + len(parts[1]), len(parts[2])]
    assert len(decode_binary(attachments(parts, 9)[0]).ticks) == 3
    assert attachments([], 3) == []


def test_a_code_without_a_layout_is_refused(sample):
    with pytest.raises(BadData, match="no binary layout of code 1512"):
        packet(of_sample(sample, 1512))


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("args", [("text",), (b"\x00\xdd\x05" + bytes(40),)])
def test_each_damage_changes_the_frames(kind, args):
    frames = encode_event("name", *args)
    spoiled = malformed(kind, frames)
    assert spoiled != frames
    assert all(isinstance(frame, (str, bytes)) for frame in spoiled)


def test_an_unknown_damage_names_the_known():
    with pytest.raises(BadData, match="malformed must be one of cut, json"):
        malformed("burn", ["42[]"])
