"""Kite's wire as the runner sees it: what is sent, what a frame says, and that nothing makes it raise."""

from __future__ import annotations

import json
import struct
import urllib.parse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.market.feed_session import Command, FeedTerms
from toolkit.market.kite_wire import TICK
from toolkit.market.wire import Heard, KiteWire


def wire(**options) -> KiteWire:
    return KiteWire("ws://127.0.0.1:1/", "key", lambda: "token", **options)


def ltp_frame(*tokens: int) -> bytes:
    return struct.pack(">H", len(tokens)) + b"".join(struct.pack(">HII", 8, t, 100) for t in tokens)


def test_the_address_carries_key_and_token_as_of_now_and_the_repr_neither() -> None:
    tokens = ["one", "a+b/c="]
    made = KiteWire("wss://ws.kite.trade", "key", lambda: tokens[0], user_id="AB1234")
    assert made.url() == "wss://ws.kite.trade?api_key=key&access_token=one&user_id=AB1234"
    tokens.pop(0)
    assert made.url() == "wss://ws.kite.trade?api_key=key&access_token=a%2Bb%2Fc%3D&user_id=AB1234"
    assert repr(made) == "KiteWire('wss://ws.kite.trade')"
    assert made.headers() == {"X-Kite-Version": "3"}
    assert list(made.opened()) == []


def test_a_path_in_the_root_is_kept() -> None:
    made = KiteWire("ws://127.0.0.1:9/feed", "key", lambda: "t").url()
    assert made == "ws://127.0.0.1:9/feed?api_key=key&access_token=t"


@given(st.text(max_size=30).filter(lambda text: text.isprintable()))
def test_tokens_are_escaped_as_everybody_does(token) -> None:
    made = KiteWire("wss://h", "k", lambda: token).url()
    assert made == f"wss://h?api_key=k&access_token={urllib.parse.quote(token, safe='')}"


def test_commands_become_the_wires_texts_in_order() -> None:
    frames = wire().encode([Command("unsubscribe", (3,)), Command("subscribe", (1, 2), "full")])
    assert [json.loads(f) for f in frames] == [
        {"a": "unsubscribe", "v": [3]},
        {"a": "subscribe", "v": [1, 2]},
        {"a": "mode", "v": ["full", [1, 2]]},
    ]


def test_limits_may_be_given_and_the_type_is_kites() -> None:
    assert wire().terms == FeedTerms()
    assert wire(terms=FeedTerms(connections=1)).terms.connections == 1
    assert wire().dtype is TICK


def test_binary_frames_are_ticks_with_their_receipt() -> None:
    heard = wire().hear(ltp_frame(257, 513), 77)
    assert heard.ticks["token"].tolist() == [257, 513]
    assert heard.ticks["recv_ns"].tolist() == [77, 77]
    assert (heard.fault, heard.skipped, heard.orders) == ("", 0, ())


def test_a_packet_without_an_instrument_is_a_fault_and_no_tick() -> None:
    heard = wire().hear(ltp_frame(257, 0), 0)
    assert heard.ticks["token"].tolist() == [257]
    assert heard.fault == "1 packets name no instrument"


@pytest.mark.parametrize(
    ("text", "orders", "notices", "fault"),
    [
        ('{"type":"order","data":{"order_id":"1"}}', ({"order_id": "1"},), (), False),
        ('{"type":"order","data":{}}', (), (), False),
        ('{"type":"error","data":"too many"}', (), ("error: too many",), False),
        ('{"type":"message","data":{"a":1}}', (), ("message: {'a': 1}",), False),
        ('{"type":"instruments_meta","data":1}', (), (), False),
        ("[1]", (), (), True),
        ("nonsense", (), (), True),
        ("", (), (), True),
    ],
)
def test_text_frames(text, orders, notices, fault) -> None:
    heard = wire().hear(text, 0)
    assert heard.orders == orders
    assert heard.notices == notices
    assert bool(heard.fault) is fault
    assert len(heard.ticks) == 0


def test_a_long_notice_is_cut() -> None:
    (notice,) = wire().hear(json.dumps({"type": "error", "data": "x" * 10_000}), 0).notices
    assert len(notice) < 500


@given(
    st.one_of(
        st.binary(max_size=600),
        st.text(max_size=200),
        st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=9).map(json.dumps),
    )
)
def test_whatever_comes_is_heard_and_never_raises(frame) -> None:
    heard = wire().hear(frame, 1)
    assert isinstance(heard, Heard)
    assert heard.ticks.dtype == TICK
    assert np.all(heard.ticks["token"] != 0)
