"""Best-limit, chase and sniper against the real core and the simulated exchange."""

from __future__ import annotations

import math

import msgspec
import pytest

from toolkit.errors import BadOrder
from toolkit.types import OrdStatus, TimeInForce

SECOND = 10**9


def test_a_peg_follows_its_touch_frugally_and_within_its_limit(floor):
    f = floor()
    f.run("best_limit", f.leg(f.call, "BUY", 150, price=101.0))
    assert f.open[0].request.price_p == 9950
    f.quote(f.call, 100.2)
    f.quote(f.call, 100.4)
    assert f.open[0].request.price_p == 9970, "the second change within a second waits"
    f.wait(1)
    assert f.open[0].request.price_p == 9990
    f.quote(f.call, 103.0)
    f.wait(2)
    assert f.open[0].request.price_p == 10100
    assert len(f.kids) == 1, "it is one order, changed"


def test_a_peg_that_betters_the_touch_does_not_chase_itself(floor):
    f = floor()
    f.run("best_limit offset_ticks=-2", f.leg(f.call, "BUY", 75))
    assert f.open[0].request.price_p == 9960
    f.quote(f.call, 100.05, half=0.45)
    f.wait(3)
    assert f.open[0].request.price_p == 9960, "the touch of 99.60 is its own order"
    f.quote(f.call, 99.62, half=0.03)
    f.wait(3)
    assert f.open[0].request.price_p < 9965, "short of the far touch"


def test_where_the_broker_cannot_modify_it_withdraws_and_places_anew(floor):
    f = floor(features=("stop_limit",))
    f.run("best_limit", f.leg(f.call, "BUY", 75))
    f.quote(f.call, 100.5)
    f.wait(3)
    assert [o.ord_status for o in f.kids] == [OrdStatus.CANCELED, OrdStatus.NEW]
    assert f.open[0].request.price_p == 10000


def test_a_child_changed_too_often_is_placed_anew(floor):
    f = floor()
    f.run("best_limit min_reprice_s=1", f.leg(f.call, "BUY", 75))
    for i in range(23):
        f.quote(f.call, 100 + (i % 2) / 5)
        f.wait(2)
    assert [o.ord_status for o in f.kids] == [OrdStatus.CANCELED, OrdStatus.NEW]


def test_a_refused_modification_keeps_the_order_and_is_tried_again(floor):
    f = floor(max_messages_per_s=1)
    f.run("best_limit", f.leg(f.call, "BUY", 75))
    f.quote(f.call, 100.5)
    assert f.open[0].request.price_p == 9950, "the account's message rate refused it"
    f.wait(2)
    assert f.open[0].request.price_p == 10000


def test_a_chase_steps_to_the_market(floor):
    f = floor()
    f.run("chase step_s=2 step_ticks=4", f.leg(f.call, "BUY", 75))
    seen = []
    for _ in range(12):
        seen.append(f.kids[0].request.price_p)
        f.wait(1)
    assert seen[:6] == [9950, 9950, 9970, 9970, 9990, 9990]
    assert f.done
    assert f.kids[0].execs[0][2] == 10050


def test_a_chase_stops_at_its_protection_and_gives_up(floor):
    f = floor()
    f.run("chase step_s=1 step_ticks=50 give_pct=1 give_ticks=1 timeout_s=30", f.leg(f.call, "BUY", 75))
    f.quote(f.call, 110.0)
    f.wait(10)
    assert f.kids[0].request.price_p == 10150, "one percent past the ask of the start"
    assert "past the protection price 101.50" in f.text
    f.wait(20)
    assert f.done
    assert f.open == []
    assert f.text.startswith("time is up; 0 of 75")


def test_a_chase_keeps_its_limit(floor):
    f = floor()
    f.run("chase step_s=1 step_ticks=50", f.leg(f.call, "SELL", 75, price=100.0))
    f.wait(10)
    assert f.open[0].request.price_p == 10000


def test_a_chase_waits_for_both_sides(floor):
    f = floor()
    f.quote(f.call, 50.0, half=math.nan)
    f.run("chase", f.leg(f.call, "BUY", 75, price=60.0))
    assert f.kids == []
    assert "waiting: nobody quotes the other side" in f.text


def test_a_partial_fill_keeps_the_rest_chasing(floor):
    f = floor()
    f.run("chase step_s=1 step_ticks=30", f.leg(f.call, "BUY", 750))
    f.quote(f.call, 100.0, qty=150)
    f.wait(5)
    assert f.kids[0].cum_qty == 150
    f.quote(f.call, 100.1, qty=1500)
    f.wait(3)
    assert f.done
    assert f.filled(f.call, "BUY") == 750


def test_a_sniper_shows_nothing_until_the_price_is_there(floor):
    f = floor()
    f.run("sniper max_lots=4", f.leg(f.call, "BUY", 450, price=100.0))
    f.wait(10)
    assert f.kids == []
    assert "waiting for" in f.text
    f.quote(f.call, 99.0, qty=225)
    assert [(o.request.time_in_force, o.cum_qty) for o in f.kids] == [(TimeInForce.IOC, 225)]
    f.quote(f.call, 99.1, qty=1500)
    assert f.done
    assert [o.request.order_qty for o in f.kids] == [225, 225]


def test_a_sniper_takes_no_more_than_a_shot(floor):
    f = floor()
    f.run("sniper max_lots=2 min_lots=3", f.leg(f.call, "SELL", 450, price=100.0))
    f.quote(f.call, 101.0, qty=150)
    assert f.kids == []
    f.quote(f.call, 101.0, qty=600)
    assert [o.request.order_qty for o in f.kids] == [150]


def test_an_ioc_that_misses_is_no_refusal(floor):
    f = floor(latency_ns=SECOND)
    f.run("sniper", f.leg(f.call, "BUY", 75, price=100.0))
    for i in range(8):
        f.quote(f.call, 99.0 + i / 20)
        f.quote(f.call, 102.0 + i / 20)
        f.wait(3)
    assert not f.done
    assert len(f.kids) == 8
    assert {o.ord_status for o in f.kids} == {OrdStatus.CANCELED}


def test_a_sniper_without_ioc_withdraws_its_shot(floor):
    f = floor(features=("modify",), latency_ns=SECOND)
    f.run("sniper hold_s=3", f.leg(f.call, "BUY", 75, price=100.0))
    f.quote(f.call, 99.0)
    f.quote(f.call, 102.0)
    f.wait(7)
    assert f.kids[0].ord_status is OrdStatus.CANCELED


def test_a_quote_without_quantities_counts_as_one_lot(floor):
    f = floor()
    f.run("sniper", f.leg(f.call, "BUY", 450, price=100.0))
    f.quote(f.call, 99.0, qty=math.nan)
    assert f.kids[0].request.order_qty == 75


@pytest.mark.parametrize("name", ["sniper"])
def test_a_sniper_needs_a_limit(floor, name):
    f = floor()
    with pytest.raises(BadOrder, match="algorithm 'sniper' takes ord_type LIMIT, was MARKET"):
        f.run(name, f.leg(f.call, "BUY", 75))
    assert f.sink.records[-1].kind == "open", "nothing was accepted"


@pytest.mark.parametrize(("tif", "sent"), [(TimeInForce.DAY, TimeInForce.DAY), (TimeInForce.IOC, TimeInForce.IOC)])
def test_an_ioc_sniper_never_shoots_with_a_day_order(floor, tif, sent):
    f = floor(features=("stop_limit", "modify", "ioc") if tif is TimeInForce.IOC else ("stop_limit", "modify"))
    f.run("sniper", msgspec.structs.replace(f.leg(f.call, "BUY", 75, price=101.0), time_in_force=tif))
    assert [o.request.time_in_force for o in f.kids] == [sent]


def test_an_ioc_sniper_is_refused_where_there_is_no_ioc(floor):
    f = floor(features=("stop_limit", "modify"))
    with pytest.raises(BadOrder, match="this broker takes time_in_force DAY, was IOC"):
        f.run("sniper", msgspec.structs.replace(f.leg(f.call, "BUY", 75, price=101.0), time_in_force=TimeInForce.IOC))
