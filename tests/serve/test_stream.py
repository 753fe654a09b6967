"""The stream: token first, topics, sequence numbers, replay, conflation; orders are never dropped."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from .conftest import CE


class Stream:
    def __init__(self, served, first, **options):
        self.link = connect(f"ws://127.0.0.1:{served.server.port}/v1/stream", proxy=None, **options)
        self.socket = self.link.__enter__()
        if first is not None:
            self.say(first)

    def say(self, message):
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def get(self, topic=None, seconds=10):
        """The next message (of a topic)."""
        while True:
            message = json.loads(self.socket.recv(timeout=seconds))
            if topic in (None, message["topic"]):
                return message

    def end(self):
        """Close code and reason, once the server has ended it."""
        with contextlib.suppress(TimeoutError):
            try:
                while True:
                    self.socket.recv(timeout=10)
            except ConnectionClosed as closed:
                return closed.rcvd.code, closed.rcvd.reason
        raise AssertionError("the server did not end it")


@pytest.fixture
def stream(served):
    opened = []

    def start(*topics, first=None, scope="read", **more):
        message = {"token": served.token(scope), "topics": list(topics), **more} if first is None else first
        opened.append(Stream(served, message))
        return opened[-1]

    yield start
    for one in opened:
        one.link.__exit__(None, None, None)


@pytest.mark.parametrize(
    "first",
    [{}, {"token": "A" * 43}, {"token": 7}, {"topics": ["orders"]}, "no json", "[]", '{"token": "' + "x" * 200 + '"}'],
)
def test_without_the_token_first_it_closes(stream, first):
    code, _ = stream(first=first).end()
    assert code == 1008


def test_silence_closes_after_two_seconds(served, monkeypatch):
    monkeypatch.setattr("toolkit.serve.stream._FIRST_S", 0.1)
    with contextlib.closing(Stream(served, None).socket) as socket, pytest.raises(ConnectionClosed) as caught:
        socket.recv(timeout=10)
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1008, "no token within 2 s")


def test_a_token_in_the_address_is_none(served, monkeypatch):
    monkeypatch.setattr("toolkit.serve.stream._FIRST_S", 0.1)
    address = f"ws://127.0.0.1:{served.server.port}/v1/stream?token={served.token()}"
    with connect(address, proxy=None) as socket, pytest.raises(ConnectionClosed) as caught:
        socket.recv(timeout=10)
    assert caught.value.rcvd.code == 1008


@pytest.mark.parametrize("origin", ["null", "http://evil.test", "http://127.0.0.1:1", "http://127.0.0.1.evil.test"])
def test_a_page_of_another_origin_gets_no_stream(served, origin):
    address = f"ws://127.0.0.1:{served.server.port}/v1/stream"
    with pytest.raises(InvalidStatus) as caught, connect(address, origin=origin, proxy=None):
        pass
    assert caught.value.response.status_code == 403


def test_a_message_over_64_kb_closes(stream):
    one = stream("state")
    one.get("state")
    one.say('{"subscribe": ["' + "x" * 70_000 + '"]}')
    assert one.end()[0] == 1009


def test_too_many_messages_a_second_close(stream):
    one = stream("state")
    with contextlib.suppress(ConnectionClosed):  # it may be closed before the last one is said
        for _ in range(60):
            one.say({"subscribe": ["state"]})
    assert one.end() == (1008, "too many messages a second")


@pytest.mark.parametrize(
    "topic", ["order", "ticks:", "chain:NIFTY", "chain:NIFTY:2020-01-01", "oi:NOPE", "ticks:NOPE", "../x"]
)
def test_an_unknown_topic_closes_with_a_reason(stream, topic):
    code, reason = stream(topic).end()
    assert code == 1008
    assert reason


def test_orders_come_at_once_numbered_and_whole(served, stream, api):
    one = stream("orders")
    assert one.get()["topic"] == "hello"
    made = api.post("/v1/orders", json=served.order()).json()
    seen = []
    while True:
        message = one.get("orders")
        seen.append(message["seq"])
        if (
            message["data"]["order"]
            and message["data"]["order"]["cl_ord_id"] == made["cl_ord_id"]
            and message["data"]["order"]["ord_status"] == "new"
        ):
            break
    assert seen == list(range(seen[0], seen[0] + len(seen)))
    assert message["account"] == "PAPER"


def test_after_replays_what_was_missed_without_a_gap(served, stream, api):
    for _ in range(3):
        api.post("/v1/orders", json=served.order())
    last = served.seq()
    one = stream("orders", after=0)
    numbers = [one.get("orders")["seq"] for _ in range(last)]
    assert numbers == list(range(1, last + 1))
    assert [e["seq"] for e in api.get("/v1/events?after=2&most=5").json()["events"]] == [3, 4, 5, 6, 7]


def test_a_slow_reader_misses_no_order_and_gets_the_newest_of_the_rest(served, stream, api):
    one = stream("orders", "state")
    one.get("hello")
    start = served.seq()
    ids = [api.post("/v1/orders", json=served.order()).json()["cl_ord_id"] for _ in range(20)]
    numbers, seen = [], set()
    while not seen.issuperset(ids):
        message = one.get("orders")
        numbers.append(message["seq"])
        seen.add(message["data"]["event"]["cl_ord_id"])
    assert numbers == list(range(start + 1, start + 1 + len(numbers)))


def test_the_state_comes_each_second_and_says_what_a_page_needs(stream):
    one = stream("state")
    first, second = one.get("state"), one.get("state")
    assert (first["seq"], second["seq"]) == (1, 2)
    data = second["data"]
    assert data["mode"] == "paper"
    assert data["accounts"][0]["trading"] == "active"
    assert set(data["feed"]) == {"state", "age_s", "stale"}
    assert set(data["session"]) == {"phase", "open_ns", "close_ns"}


def test_market_topics_come_conflated(stream):
    one = stream("ticks:NIFTY", "chain:NIFTY:2026-07-14", "oi:NIFTY", max_hz=5)
    chain = one.get("chain:NIFTY:2026-07-14")["data"]
    assert chain["forward"] > 20_000
    assert any(row["ce_iv"] for row in chain["rows"])
    tick = one.get("ticks:NIFTY")
    assert all(symbol.startswith("NIFTY") for symbol in tick["data"])
    assert one.get("oi:NIFTY")["data"]["levels"][0]["pcr"] > 0


def test_positions_and_pnl_follow_a_fill(served, stream, api):
    one = stream("positions", "pnl", max_hz=20)
    api.post("/v1/orders", json=served.order(price="125"))
    while not any(r["symbol"] == CE and r["net_qty"] for r in one.get("positions")["data"]["positions"]):
        pass
    assert one.get("pnl")["data"]["pnl"][0]["account"] == "PAPER"


def test_alerts_are_numbered(served, stream):
    one = stream("alerts", scope="admin")
    one.get("hello")
    served.loop.wait(_alert(served))
    message = one.get("alerts")
    while message["data"]["kind"] != "test":
        message = one.get("alerts")
    assert message["data"]["text"] == "one line of two"
    assert message["seq"] == message["data"]["seq"]


def _alert(served):
    async def tell():
        served.server.station.alert("test", "one line\nof two")

    return tell


def test_unsubscribing_stops_a_topic(stream):
    one = stream("state", "orders")
    one.get("state")
    one.say({"unsubscribe": ["state"], "subscribe": ["positions"]})
    one.get("positions")
    end, later = time.monotonic() + 1.5, set()
    while time.monotonic() < end:
        with contextlib.suppress(TimeoutError):
            later.add(json.loads(one.socket.recv(timeout=0.2))["topic"])
    assert "state" not in later


def test_a_token_that_has_died_ends_the_stream(served, stream):
    one = stream("state")
    one.get("state")
    served.server.tokens.rotate()
    assert one.end() == (1008, "the token has expired")
