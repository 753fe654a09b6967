"""The order of legs that a margin gave: asked once, journaled with the parent, the same after each crash."""

from __future__ import annotations

import pytest

from toolkit.errors import BadData
from toolkit.types import OrdStatus, OrdType, Side

FAST = "legs step_s=1 step_ticks=40 timeout_s=600"


class Margin:
    """Says an order, and counts how often it was asked."""

    def __init__(self, order):
        self.order, self.asked = order, []

    async def __call__(self, legs, kind):
        self.asked.append((tuple(leg.symbol for leg in legs), kind))
        return self.order


def legs(p):
    market = {"ord_type": OrdType.MARKET}
    return [
        p.buy("L1", None, side=Side.SELL, **market),
        p.buy("L2", None, symbol=p.wing, **market),
        p.buy("L3", None, symbol=p.put, **market),
    ]


def children(engine):
    return [engine.core.orders[c].request.symbol for c in engine.core.children["L1"]]


@pytest.mark.parametrize("seconds", range(6))
async def test_a_crash_in_the_middle_goes_on_in_the_order_that_was_journaled(pit, seconds):
    p = pit()
    engine = await p.open()
    margin = engine.deciders.leg_order = Margin("2;3;1")
    await engine.place_algo(legs(p), FAST)
    assert margin.asked == [((p.call, p.wing, p.put), "auto")]
    for _ in range(seconds):
        await p.hours.run(1)
        p.quotes()
    before = children(engine)
    await p.crash()
    engine = await p.open()
    engine.deciders.leg_order = other = Margin("1;2;3")
    engine.core.book.add(p.instruments)
    assert engine.core.algos["L1"].policy == {"order": "2;3;1"}
    for _ in range(70):
        p.quotes()
        await p.hours.run(1)
    assert engine.core.orders["L1"].ord_status is OrdStatus.FILLED
    assert children(engine)[: len(before)] == before
    assert list(dict.fromkeys(children(engine))) == [p.wing, p.put, p.call]
    assert other.asked == [], "what is journaled is not asked again"
    p.verdict()


async def test_an_order_that_nobody_knows_is_left_to_the_rule(pit):
    p = pit()
    engine = await p.open()
    await engine.place_algo(legs(p), FAST, {"fail": "hold_hedge"})
    assert engine.core.algos["L1"].policy == {"fail": "hold_hedge"}
    for _ in range(10):
        p.quotes()
        await p.hours.run(1)
    assert set(children(engine)[:2]) == {p.wing, p.put}
    assert children(engine)[2] == p.call


async def test_the_margin_is_not_asked_where_an_order_was_said_or_means_nothing(pit):
    p = pit()
    engine = await p.open()
    margin = engine.deciders.leg_order = Margin("2;3;1")
    await engine.place_algo(legs(p), f"{FAST} order=3;2;1")
    await engine.place_algo([p.buy("T1", 10100, order_qty=300)], "twap duration_s=8 slices=4")
    assert margin.asked == []
    assert engine.core.algos["L1"].policy is None


async def test_what_is_no_algorithm_is_refused_before_anything_is_written(pit):
    p = pit()
    engine = await p.open()
    before = engine.journal.last_seq
    with pytest.raises(BadData, match="names each of the legs"):
        await engine.place_algo(legs(p), f"{FAST} order=1;2")
    assert engine.journal.last_seq == before
