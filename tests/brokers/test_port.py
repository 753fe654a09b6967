from __future__ import annotations

import inspect

import pytest

from toolkit.brokers.port import CAPABILITIES, TICK, Broker, Capability
from toolkit.types import OrdType, TimeInForce

PROMISED = [
    "profile",
    "instruments",
    "quote",
    "place",
    "modify",
    "cancel",
    "orders",
    "order_history",
    "trades",
    "positions",
    "holdings",
    "margins",
    "order_margins",
    "convert",
    "updates",
    "feed",
    "capabilities",
]


@pytest.mark.parametrize("name", PROMISED)
def test_the_port_has_every_promised_call(name):
    assert hasattr(Broker, name)
    if name not in ("updates", "feed", "capabilities"):
        assert inspect.iscoroutinefunction(getattr(Broker, name))


def test_the_capability_table_is_frozen():
    with pytest.raises(TypeError):
        CAPABILITIES["other"] = CAPABILITIES["paper"]
    with pytest.raises(AttributeError):
        CAPABILITIES["paper"].max_slices = 99


def test_paper_takes_no_bare_stops():
    paper = CAPABILITIES["paper"]
    assert isinstance(paper, Capability)
    assert OrdType.STOP not in paper.ord_types
    assert TimeInForce.IOC in paper.time_in_force


def test_a_tick_says_key_time_and_both_sides():
    assert TICK.names == ("key", "recv_ns", "ltp", "bid", "bid_qty", "ask", "ask_qty")
