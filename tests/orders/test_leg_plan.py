"""The order of legs as text, without a margin, and what no margin may change."""

from __future__ import annotations

import msgspec
import pytest

from toolkit.errors import BadData
from toolkit.orders.leg_plan import buys_first, follows, hedges, is_exit, read_stages, stages_of, write_stages
from toolkit.risk.leg_order import Step
from toolkit.risk.margin import Leg
from toolkit.types import Kind, OrderRequest, Side

BUY, SELL = Side.BUY, Side.SELL


def request(symbol, side, qty=75):
    return OrderRequest(cl_ord_id="A1", symbol=symbol, side=side, order_qty=qty)


@pytest.mark.parametrize(
    ("text", "stages"),
    [("1", [[0]]), ("2,4;1,3", [[1, 3], [0, 2]]), (" 3 ; 1 , 2 ", [[2], [0, 1]]), ("10;" + "9,8,7,6,5,4,3,2,1", None)],
)
def test_stages_are_read_as_they_are_written(text, stages):
    count = text.count(",") + text.count(";") + 1
    found = read_stages(text, count)
    assert stages is None or found == stages
    assert read_stages(write_stages(found), count) == found


@pytest.mark.parametrize("text", ["1", "1,2,3", "1,1", "0,1", "1;;2", "one,two", "1,2;", "1-2"])
def test_each_leg_is_named_once(text):
    with pytest.raises(BadData, match="names each of the legs 1 to 2 once"):
        read_stages(text, 2)


def test_steps_of_one_stage_come_together():
    leg = Leg(underlying="NIFTY", cp=1, qty=75, tte=0.02, strike=24500.0)
    steps = [Step(n, leg, 0.0, 0.0, 0.0, stage) for n, stage in ((3, 0), (1, 0), (0, 1), (2, 2))]
    assert stages_of(steps) == [[3, 1], [0], [2]]


def test_without_a_margin_shorts_are_bought_back_then_the_buys_then_the_sells():
    assert buys_first([SELL, BUY, BUY, SELL], [True, False, True, False]) == [[2], [1], [0, 3]]
    assert buys_first([SELL, SELL], [False, False]) == [[0, 1]]


@pytest.mark.parametrize(
    ("kind", "net", "expected"),
    [
        ("auto", {"A": -75, "B": 75}, True),
        ("auto", {"A": -75}, False),
        ("auto", {}, False),
        ("entry", {"A": -75, "B": 75}, False),
        ("exit", {}, True),
    ],
)
def test_an_exit_is_one_by_its_word_or_by_what_is_held(kind, net, expected):
    assert is_exit(kind, [request("A", BUY), request("B", SELL)], net) is expected


def test_puts_hedge_puts_and_calls_and_futures_hedge_each_other(make_option):
    call, put, wing = make_option(24500, "CE", 1), make_option(24400, "PE", 2), make_option(24600, "CE", 3)
    future = msgspec.structs.replace(make_option(0, "CE", 4, kind=Kind.FUTURE), symbol="FUT", option_type=None)
    other = make_option(50000, "CE", 5, underlying="BANKNIFTY")
    found = {(a.symbol, b.symbol) for a in (call, put, wing, future, other) for b in (call,) if hedges(a, b)}
    assert {a for a, _ in found} == {call.symbol, wing.symbol, future.symbol}
    assert [hedges(one, put) for one in (call, wing, future, put)] == [False, False, False, True]


def test_what_goes_short_follows_the_buys_that_hedge_it(make_option):
    terms = {
        i.symbol: i for i in (make_option(24500, "CE", 1), make_option(24400, "PE", 2), make_option(24600, "CE", 3))
    }
    call, put, wing = terms
    legs = [request(call, SELL), request(put, SELL), request(wing, BUY)]
    assert follows(legs, terms, {}) == [{2}, frozenset(), frozenset()]
    assert follows(legs, terms, {call: 75}) == [frozenset()] * 3, "a long that is sold is no short"
    assert follows(legs, terms, {call: 74}) == [{2}, frozenset(), frozenset()]
