"""Engine.IO 3 and 4: the captured dialogue, heartbeats on both sides' terms, hostile frames."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market.socketio import (
    ClientSession,
    Closed,
    Connected,
    Event,
    Kind,
    Opened,
    Packet,
    Refused,
    decode,
    encode_event,
    encode_open,
)

S = 1_000_000_000


def opened(eio: int, interval_ms: int = 25_000, timeout_ms: int = 5_000) -> ClientSession:
    session = ClientSession(eio)
    session.receive(encode_open("abc", interval_ms, timeout_ms), 0)
    return session


def test_the_captured_dialogue_of_engine_io_3_is_understood(shared: Any) -> None:
    frames = json.loads(shared("fixtures", "xts", "frames_eio3.json").read_text())["frames"]
    session = ClientSession(3)
    happened: list[Any] = []
    now = 0
    for direction, kind, body in frames:
        if direction == "<":
            happened += session.receive(bytes.fromhex(body) if kind == "binary" else body, now)
        elif body == "2":
            now = session.next_ns or 0
            assert session.beat(now) is None
            assert session.to_send() == ["2"]
    assert session.odd == 0
    assert happened[0] == Opened(3_000_000_000, 2_000_000_000)
    assert happened[1] == Connected()
    assert happened[2] == Event("joined", ("Connection is successful",))
    assert [e.args[0] for e in happened[3:] if e.name == "xts-binary-packet"] == [
        bytes.fromhex(f"00dd050{n}") for n in (1, 2, 3, 4)
    ]
    assert sum(1 for e in happened[3:] if e.name == "1501-json-full") == 4


def test_engine_io_4_connects_on_request_and_answers_pings() -> None:
    session = opened(4)
    assert session.to_send() == ["40"]
    assert session.receive('40{"sid":"x"}', S) == [Connected()]
    assert session.receive("2", 10 * S) == []
    assert session.to_send() == ["3"]
    assert session.next_ns == 40 * S
    assert session.beat(39 * S) is None
    assert session.beat(40 * S) == Closed("no ping for 30 s")


def test_engine_io_3_pings_and_needs_the_pong() -> None:
    session = opened(3)
    assert session.to_send() == []
    assert session.next_ns == 25 * S
    assert session.beat(24 * S) is None
    assert session.to_send() == []
    session.beat(25 * S)
    assert session.to_send() == ["2"]
    session.receive("3", 26 * S)
    assert session.next_ns == 51 * S
    session.beat(51 * S)
    assert session.beat(56 * S) == Closed("no pong within 5 s")


def test_an_attachment_of_engine_io_4_keeps_its_first_byte() -> None:
    session = opened(4)
    session.receive('451-["b",{"_placeholder":true,"num":0}]', 0)
    assert session.receive(b"\x04\x00", 0) == [Event("b", (b"\x04\x00",))]


def test_several_attachments_take_their_places() -> None:
    session = opened(4)
    head, first, second = encode_event("b", b"one", {"k": 1}, b"two")
    assert session.receive(head, 0) == []
    assert session.receive(first, 0) == []
    assert session.receive(second, 0) == [Event("b", (b"one", {"k": 1}, b"two"))]


def test_a_text_frame_between_header_and_attachment_drops_the_header_only() -> None:
    session = opened(3)
    session.receive('451-["b",{"_placeholder":true,"num":0}]', 0)
    assert session.receive('42["x",1]', 0) == [Event("x", (1,))]
    assert session.odd == 1
    assert session.receive(b"\x04data", 0) == []
    assert session.odd == 2


@pytest.mark.parametrize(
    ("frame", "packet"),
    [
        ('42["a"]', Packet(Kind.EVENT, ["a"])),
        ('4217["a"]', Packet(Kind.EVENT, ["a"], 0, 17)),
        ('42/md,["a"]', Packet(Kind.EVENT, ["a"])),
        ("40", Packet(Kind.CONNECT)),
        ('40{"sid":"q"}', Packet(Kind.CONNECT, {"sid": "q"})),
        ('44"bad token"', Packet(Kind.CONNECT_ERROR, "bad token")),
        ("41", Packet(Kind.DISCONNECT)),
        ("2", Packet(Kind.PING)),
        ("3probe", Packet(Kind.PONG)),
        (
            '452-["a",{"_placeholder":true,"num":0}]',
            Packet(Kind.BINARY_EVENT, ["a", {"_placeholder": True, "num": 0}], 2),
        ),
    ],
)
def test_frames_decode(frame: str, packet: Packet) -> None:
    assert decode(frame) == packet


@pytest.mark.parametrize(
    "frame", ["", "x", "9", "4", "4x", "42[", "0{", "45[]", "45-[]", "4599-[]", "47", "4\N{SUPERSCRIPT TWO}"]
)
def test_malformed_frames_are_bad_data_and_only_counted_by_a_session(frame: str) -> None:
    with pytest.raises(BadData):
        decode(frame)
    session = opened(3)
    assert session.receive(frame, 0) == []
    assert session.odd == 1


@pytest.mark.parametrize(
    ("frame", "text"),
    [('44"dead token"', "dead token"), ('44{"message":"no"}', "no"), ('44{"a":1}', '{"a":1}'), ("44", "null")],
)
def test_a_refused_namespace_says_why(frame: str, text: str) -> None:
    assert opened(3).receive(frame, 0) == [Refused(text)]


def test_the_end_is_told() -> None:
    session = opened(3)
    session.receive("40", 0)
    assert session.connected
    assert session.receive("41", 0) == [Closed("the server closed the namespace")]
    assert not session.connected
    assert session.receive("1", 0) == [Closed("the server closed the engine")]


@pytest.mark.parametrize(
    "body", ["{}", '{"pingInterval":"x"}', '{"pingInterval":-1,"pingTimeout":0}', "[]", '{"pingInterval":1e99}']
)
def test_a_strange_opening_takes_the_usual_heartbeat(body: str) -> None:
    assert ClientSession(3).receive("0" + body, 0) == [Opened(25 * S, 5 * S)]


def test_only_versions_3_and_4_exist() -> None:
    with pytest.raises(BadData, match="was 5"):
        ClientSession(5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.text(min_size=1, max_size=20), st.lists(JSON | st.binary(max_size=40), max_size=4), st.sampled_from([3, 4]))
def test_what_is_encoded_is_received(name: str, args: list[Any], eio: int) -> None:
    session = opened(eio)
    happened: list[Any] = []
    for frame in encode_event(name, *args):
        blob = b"\x04" + frame if eio == 3 and isinstance(frame, bytes) else frame
        happened += session.receive(blob, 0)
    assert session.odd == 0
    assert happened == [Event(name, tuple(args))]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text(max_size=40) | st.binary(max_size=20) | st.from_regex(r"4[0-6]\d?-?[\[{\"].{0,20}"), max_size=8)
)
def test_no_frame_breaks_a_session(frames: list[Any]) -> None:
    session = ClientSession(3)
    for n, frame in enumerate(frames):
        for happening in session.receive(frame, n):
            assert isinstance(happening, (Opened, Connected, Event, Refused, Closed))
    session.beat(10**15)
