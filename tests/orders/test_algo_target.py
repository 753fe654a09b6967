"""Target position and delta hedger against the real core and the simulated exchange."""

from __future__ import annotations

import pytest

from toolkit.types import OrdStatus, Side

SECOND = 10**9


@pytest.mark.parametrize(("held", "lots", "traded"), [(0, 2, 150), (150, -1, -225), (-75, 0, 75), (75, 1, 0)])
def test_the_position_is_brought_to_its_target(floor, held, lots, traded):
    f = floor()
    if held:
        f.elsewhere(f.call, held)
    f.most = {(f.call, Side.BUY): 300, (f.call, Side.SELL): 300}
    f.run(f"target net_lots={lots} step_s=1 step_ticks=40", f.leg(f.call, "BUY", 300))
    f.wait(10)
    assert f.done
    assert f.net(f.call) == lots * 75
    assert f.filled(f.call, "BUY") - f.filled(f.call, "SELL") == traded
    assert f.text.startswith("at the target")


def test_a_square_off_elsewhere_turns_the_target_around(floor):
    f = floor()
    f.most = {(f.call, Side.BUY): 300, (f.call, Side.SELL): 300}
    f.run("target net_lots=2 step_s=60", f.leg(f.call, "BUY", 300))
    assert [(o.request.side, o.leaves_qty) for o in f.open] == [(Side.BUY, 150)]
    f.elsewhere(f.call, 225)
    f.wait(3)
    assert [(o.request.side, o.leaves_qty) for o in f.open] == [(Side.SELL, 75)]


def test_the_parent_bounds_all_that_is_traded(floor):
    f = floor()
    f.most = {(f.call, Side.BUY): 150}
    f.run("target net_lots=5 step_s=1 step_ticks=40", f.leg(f.call, "BUY", 150))
    f.wait(10)
    assert f.done
    assert f.net(f.call) == 150
    assert "it may trade 150 units in all" in f.text


def test_it_waits_while_other_orders_are_open(floor):
    f = floor()
    f.perform(f.core.submit(f.now, f.leg(f.call, "BUY", 75, price=90.0)))
    f.settle(f.now)
    f.run("target net_lots=1", f.leg(f.call, "BUY", 75))
    f.wait(3)
    assert f.kids == []
    assert "waiting: other orders for 75 units" in f.text


def test_a_target_gives_up_in_time(floor):
    f = floor()
    f.run("target net_lots=1 timeout_s=5 step_s=60", f.leg(f.call, "BUY", 75))
    f.wait(7)
    assert f.done
    assert f.open == []


def test_an_unknown_order_is_not_replaced(floor):
    f = floor()
    f.lost[1] = "drop"
    f.run("target net_lots=1", f.leg(f.call, "BUY", 75))
    f.wait(60)
    assert len(f.kids) == 1


ROOM = {"max_order_value_p": 10**11, "confirm_value_p": 10**11, "max_open_value_p": 10**11}
"""Limits that a bound of 20 lots of a future fits into."""


def hedged(f, held=-750, delta=0.5):
    f.elsewhere(f.call, held)
    f.deltas.update({f.call: delta, f.put: -delta, f.wing: 0.3})
    f.most = {(f.future, Side.BUY): 1500, (f.future, Side.SELL): 1500}
    return f


def test_delta_outside_the_band_is_hedged_with_whole_lots(floor):
    f = hedged(floor(**ROOM))
    f.run(
        "delta_hedge band=50 every_s=4 step_s=1 step_ticks=40", f.leg(f.future, "BUY", 1500), f.leg(f.call, "BUY", 75)
    )
    f.wait(10)
    assert f.net(f.future) == 375, "750 x 0.5 in lots of 75"
    assert "net delta 0, target 0 within 50" in f.text


def test_inside_the_band_nothing_is_traded(floor):
    f = hedged(floor(**ROOM), held=-75)
    f.run("delta_hedge band=50", f.leg(f.future, "BUY", 1500), f.leg(f.call, "BUY", 75))
    f.wait(60)
    assert f.kids == []


def test_the_hedge_follows_the_delta_both_ways(floor):
    f = hedged(floor(**ROOM))
    f.run(
        "delta_hedge band=50 every_s=5 step_s=1 step_ticks=40", f.leg(f.future, "BUY", 1500), f.leg(f.call, "BUY", 75)
    )
    f.wait(10)
    f.deltas[f.call] = 0.2
    f.quote(f.future, 24510.0)
    f.wait(10)
    assert f.net(f.future) == 150
    f.deltas[f.call] = 0.4
    f.quote(f.future, 24520.0)
    f.wait(10)
    assert f.net(f.future) == 300
    assert not f.done


def test_a_rest_below_a_lot_stays(floor):
    f = hedged(floor(**ROOM), held=-225)
    f.run("delta_hedge band=10 step_s=1 step_ticks=40", f.leg(f.future, "BUY", 1500), f.leg(f.call, "BUY", 75))
    f.wait(60)
    assert f.net(f.future) == 75, "112.5 units is one lot; the rest of 37.5 is left"


def test_an_unknown_delta_stops_trading_and_is_said(floor):
    f = hedged(floor(**ROOM))
    del f.deltas[f.call]
    f.run("delta_hedge", f.leg(f.future, "BUY", 1500), f.leg(f.call, "BUY", 75))
    f.wait(20)
    assert f.kids == []
    assert "waiting: a delta is unknown" in f.text


def test_an_option_with_no_delta_left_cannot_hedge(floor):
    f = hedged(floor(**ROOM))
    f.deltas[f.wing] = 0.001
    f.run("delta_hedge", f.leg(f.wing, "BUY", 1500), f.leg(f.call, "BUY", 75))
    f.wait(5)
    assert f.kids == []
    assert "the hedge's own delta is too small" in f.text


def test_the_hedge_is_bounded_and_an_unknown_one_is_not_doubled(floor):
    f = hedged(floor(**ROOM))
    f.lost[1] = "drop"
    f.run("delta_hedge band=10 every_s=5", f.leg(f.future, "BUY", 1500), f.leg(f.call, "BUY", 75))
    f.wait(120)
    assert [o.ord_status for o in f.kids] == [OrdStatus.UNKNOWN]
    g = hedged(floor(**ROOM), held=-7500)
    g.most = {(g.future, Side.BUY): 375}
    g.run("delta_hedge band=10 every_s=5 step_s=1 step_ticks=40", g.leg(g.future, "BUY", 375), g.leg(g.call, "BUY", 75))
    g.wait(60)
    assert g.net(g.future) == 375
    assert g.done


def test_a_hedge_not_filled_is_decided_anew(floor):
    f = hedged(floor(**ROOM))
    f.run("delta_hedge band=50 every_s=5 step_s=60", f.leg(f.future, "BUY", 1500), f.leg(f.call, "BUY", 75))
    assert f.open[0].leaves_qty == 375
    f.deltas[f.call] = 0.05
    f.quote(f.future, 24500.2)
    f.wait(8)
    assert f.open == []
    assert f.net(f.future) == 0
