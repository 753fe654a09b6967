"""Several legs and the premium stop against the real core and the simulated exchange."""

from __future__ import annotations

import math

import pytest

from toolkit.errors import BadData
from toolkit.types import OrdStatus, Side

SECOND = 10**9
FAST = "step_s=1 step_ticks=40"


def spread(f, qty=75):
    """Sell the call, buy the wing: a hedged short."""
    return f.leg(f.call, "SELL", qty), f.leg(f.wing, "BUY", qty)


def unwinding(f, qty=75):
    """Bounds that let a failed entry be taken back."""
    for symbol in (f.call, f.wing):
        for side in Side:
            f.most[symbol, side] = 0 if (symbol, side) in ((f.call, Side.SELL), (f.wing, Side.BUY)) else qty
    return f


def short_spread(f, qty=75):
    f.elsewhere(f.call, -qty)
    f.elsewhere(f.wing, qty)
    return f


def test_the_hedge_is_bought_before_the_short_is_sold(floor):
    f = floor()
    f.run(f"legs {FAST}", *spread(f))
    assert [o.request.symbol for o in f.open] == [f.wing]
    assert f"{f.call} waits for the buys" in f.text
    f.wait(10)
    assert f.done
    assert f.text.startswith("filled")
    assert [o.request.symbol for o in f.sent and f.kids] == [f.wing, f.call]
    assert (f.net(f.call), f.net(f.wing)) == (-75, 75)
    assert f.kids[1].created_ns >= f.kids[0].updated_ns


def test_pro_rata_sells_follow_each_fill_of_the_hedge(floor):
    f = floor()
    f.quote(f.wing, 100.0, qty=150)
    f.run("legs release=pro_rata timeout_s=600 step_s=1 step_ticks=40", *spread(f, 750))
    f.wait(5)
    assert f.net(f.wing) == 150
    f.wait(5)
    assert f.net(f.call) == -150
    f.quote(f.wing, 100.05, qty=1500)
    f.wait(30)
    assert f.done
    assert (f.net(f.call), f.net(f.wing)) == (-750, 750)


@pytest.mark.parametrize(("policy", "wing"), [("unwind", 0), ("hold_hedge", 75)])
def test_an_entry_whose_short_does_not_trade_is_taken_back_or_kept_as_a_hedge(floor, policy, wing):
    f = unwinding(floor())
    f.quote(f.call, 100.0, qty=0)
    f.run(f"legs {FAST} timeout_s=15", *spread(f), policy={"fail": policy})
    f.wait(5)
    assert f.net(f.wing) == 75
    f.wait(30)
    assert f.done
    assert (f.net(f.call), f.net(f.wing)) == (0, wing)
    assert "time-out after 15 s" in f.text


@pytest.mark.parametrize(("policy", "wing"), [("unwind", 0), ("hold_hedge", 150)])
def test_a_half_sold_short_is_bought_back_first(floor, policy, wing):
    f = unwinding(floor(), 150)
    f.quote(f.call, 100.0, qty=75)
    f.run(f"legs {FAST} timeout_s=15", *spread(f, 150), policy={"fail": policy})
    f.wait(10)
    assert f.net(f.call) == -75
    f.quote(f.call, 99.0, qty=0)
    f.wait(8)
    assert "holding" in f.text or "unwinding" in f.text
    assert f.net(f.wing) == 150, "the hedge stays while the short is open"
    f.quote(f.call, 99.2, qty=1500)
    f.wait(10)
    assert f.done
    assert (f.net(f.call), f.net(f.wing)) == (0, wing)


def test_complete_crosses_with_new_protection(floor):
    f = floor()
    f.run("legs step_s=600 give_pct=1 give_ticks=1 timeout_s=10", *spread(f), policy={"fail": "complete"})
    f.quote(f.wing, 110.0)
    f.wait(9)
    assert f.net(f.wing) == 0
    f.wait(2)
    assert f.net(f.wing) == 75, "it crosses, past the first protection"
    assert "completing: time-out after 10 s" in f.text or f.done
    f.wait(3)
    assert f.done
    assert (f.net(f.call), f.net(f.wing)) == (-75, 75)


def test_complete_that_cannot_ends_with_the_hedge_alone(floor):
    f = unwinding(floor())
    f.quote(f.call, 100.0, qty=0)
    f.run(f"legs {FAST} timeout_s=10 fail=complete", *spread(f))
    f.wait(30)
    assert f.done
    assert (f.net(f.call), f.net(f.wing)) == (0, 75)
    assert "then time-out" in f.text


def test_the_naked_clock_buys_a_short_back(floor):
    f = unwinding(floor())
    f.quote(f.wing, 100.0, qty=0)
    f.run(f"legs release=together naked_s=8 timeout_s=600 {FAST}", *spread(f))
    f.wait(3)
    assert f.net(f.call) == -75
    f.wait(3)
    assert "NAKED for" in f.text
    f.wait(10)
    f.quote(f.call, 100.1)
    f.wait(3)
    assert f.done
    assert (f.net(f.call), f.net(f.wing)) == (0, 0)
    assert "naked for" in f.text


def test_a_hedge_that_comes_in_time_stops_the_clock(floor):
    f = floor()
    f.quote(f.wing, 100.0, qty=0)
    f.run(f"legs release=together naked_s=8 timeout_s=600 {FAST}", *spread(f))
    f.wait(6)
    f.quote(f.wing, 100.05, qty=1500)
    f.wait(10)
    assert f.done
    assert f.text.startswith("filled")
    assert "NAKED" not in f.text


def test_a_refused_leg_is_a_failure(floor):
    f = unwinding(floor())
    f.exchange.halt([f.call])
    f.run(f"legs {FAST} retry_s=1 timeout_s=600", *spread(f))
    f.wait(30)
    assert f.done
    assert (f.net(f.call), f.net(f.wing)) == (0, 0)
    assert "refused in a row" in f.text


def test_an_exit_buys_back_the_short_before_it_sells_the_hedge(floor):
    f = short_spread(floor())
    f.run(f"legs {FAST}", f.leg(f.wing, "SELL", 75), f.leg(f.call, "BUY", 75))
    assert [o.request.symbol for o in f.open] == [f.call]
    f.wait(10)
    assert f.done
    assert (f.net(f.call), f.net(f.wing)) == (0, 0)
    assert [o.request.symbol for o in f.kids] == [f.call, f.wing]


def test_a_square_off_elsewhere_never_reverses_an_exit(floor):
    f = short_spread(floor(), 300)
    f.run("legs kind=exit step_s=600", f.leg(f.wing, "SELL", 300), f.leg(f.call, "BUY", 300))
    assert f.open[0].leaves_qty == 300
    f.elsewhere(f.call, 225)
    f.wait(1)
    assert f.open[0].leaves_qty == 75
    f.elsewhere(f.call, 75)
    f.elsewhere(f.wing, -300)
    f.wait(3)
    assert f.done
    assert (f.net(f.call), f.net(f.wing)) == (0, 0)
    assert f.text.startswith("closed, partly elsewhere")


def test_an_exit_is_never_unwound(floor):
    f = short_spread(floor())
    f.quote(f.wing, 100.0, qty=0)
    f.run(f"legs {FAST} timeout_s=5 fail=unwind", f.leg(f.wing, "SELL", 75), f.leg(f.call, "BUY", 75))
    f.wait(40)
    assert not f.done
    assert (f.net(f.call), f.net(f.wing)) == (0, 75)
    assert "completing" in f.text
    f.quote(f.wing, 80.0, qty=1500)
    f.wait(10)
    assert f.done
    assert f.net(f.wing) == 0


def test_legs_that_close_and_open_must_say_what_they_are(floor):
    f = floor()
    f.elsewhere(f.call, -75)
    f.run("legs", f.leg(f.call, "BUY", 75), f.leg(f.put, "SELL", 75))
    assert f.done
    assert f.kids == []
    assert "say kind=entry or kind=exit" in f.text


def test_an_unknown_hedge_is_not_bought_twice_and_nothing_is_sold_on_it(floor):
    f = unwinding(floor())
    f.lost[1] = "drop"
    f.run(f"legs {FAST} timeout_s=10", *spread(f))
    f.wait(60)
    assert [o.ord_status for o in f.kids] == [OrdStatus.UNKNOWN]
    assert not f.done
    assert f"withdrawing {f.wing} first" in f.text


def test_an_unknown_short_counts_as_sold_for_the_clock(floor):
    f = unwinding(floor())
    f.quote(f.wing, 100.0, qty=0)
    f.lost[1] = "drop"
    f.run(f"legs release=together naked_s=300 timeout_s=600 {FAST}", *spread(f))
    f.wait(10)
    assert f.kids[0].ord_status is OrdStatus.UNKNOWN
    assert "NAKED for" in f.text


def test_legs_survive_a_crash_at_every_second(floor):
    f = unwinding(floor(latency_ns=SECOND), 150)
    f.quote(f.call, 100.0, qty=75)
    f.run(f"legs {FAST} timeout_s=15", *spread(f, 150))
    for _ in range(45):
        f.crash()
        f.wait(1)
        f.quote(f.call, 100.0 + (f.now // SECOND % 2) / 20, qty=0 if f.net(f.call) > -75 else 75)
    assert f.done
    assert (f.net(f.call), f.net(f.wing)) == (0, 0)


def test_cancel_withdraws_and_leaves_what_traded(floor):
    f = floor()
    f.run("legs step_s=600", *spread(f))
    f.cancel()
    assert f.done
    assert f.open == []


def condor(f, qty=75):
    """Sell the call and the put, buy the wing of the call; the future stands for the other hedge."""
    return (
        f.leg(f.call, "SELL", qty),
        f.leg(f.wing, "BUY", qty),
        f.leg(f.put, "SELL", qty),
        f.leg(f.future, "BUY", qty),
    )


def asked(f):
    return [o.request.symbol for o in f.kids]


def test_legs_go_in_the_order_said_stage_by_stage(floor):
    f = floor()
    f.run(f"legs {FAST} timeout_s=600", *condor(f), policy={"order": "2;3;1,4"})
    assert asked(f) == [f.wing]
    assert f"{f.put} waits for the buys" in f.text
    f.quote(f.put, 100.0, qty=0)
    f.wait(5)
    assert asked(f) == [f.wing, f.put]
    assert f"{f.call} waits for {f.put}" in f.text
    f.quote(f.put, 100.0, qty=1500)
    f.wait(20)
    assert f.done
    assert f.text.startswith("filled")
    assert asked(f)[:2] == [f.wing, f.put]
    assert set(asked(f)[2:]) == {f.call, f.future}


def test_a_part_of_a_stage_lets_its_share_of_the_next_one_go(floor):
    f = floor()
    f.quote(f.put, 100.0, qty=150)
    f.run(
        "legs release=pro_rata timeout_s=600 step_s=1 step_ticks=40 order=2;1;3",
        *spread(f, 750),
        f.leg(f.put, "BUY", 750),
    )
    f.wait(8)
    assert (f.net(f.wing), f.net(f.call)) == (750, -750)
    assert f.net(f.put) == 150


@pytest.mark.parametrize("after", range(0, 24, 3))
def test_a_crash_in_the_middle_keeps_the_order(floor, after):
    f = floor(latency_ns=SECOND)
    f.run(f"legs {FAST} timeout_s=600", *condor(f), policy={"order": "2;3;4;1"})
    f.wait(after)
    before, done = asked(f), f.done
    f.crash()
    assert f.core.algos[f.parent].policy == {"order": "2;3;4;1"}
    f.wait(40)
    assert f.done
    assert asked(f)[: len(before)] == before
    assert list(dict.fromkeys(asked(f))) == [f.wing, f.put, f.future, f.call]
    assert done == (before == asked(f) and done)


def test_a_crash_keeps_the_order_that_was_found_without_a_margin(floor):
    f = floor(latency_ns=SECOND)
    f.elsewhere(f.put, -75)
    legs = [f.leg(f.call, "SELL", 75), f.leg(f.wing, "BUY", 75), f.leg(f.put, "BUY", 75)]
    f.run(f"legs {FAST} kind=entry timeout_s=600", *legs)
    assert asked(f) == [f.put], "the short is bought back before anything is opened"
    f.wait(6)
    assert f.net(f.put) == 0
    f.crash()
    f.wait(30)
    assert f.done
    assert asked(f) == [f.put, f.wing, f.call]


def test_an_exit_buys_back_first_whatever_order_was_said(floor):
    f = short_spread(floor())
    f.run(f"legs {FAST} order=1;2", f.leg(f.wing, "SELL", 75), f.leg(f.call, "BUY", 75))
    f.wait(10)
    assert f.done
    assert asked(f) == [f.call, f.wing]


def test_a_short_that_cannot_trade_keeps_no_other_from_being_bought_back(floor):
    f = floor()
    for symbol in (f.call, f.put):
        f.elsewhere(symbol, -75)
    f.elsewhere(f.wing, 75)
    f.quote(f.call, 100.0, qty=0)
    legs = [f.leg(f.call, "BUY", 75), f.leg(f.put, "BUY", 75), f.leg(f.wing, "SELL", 75)]
    f.run(f"legs {FAST} order=1;2;3", *legs)
    f.wait(5)
    assert (f.net(f.call), f.net(f.put), f.net(f.wing)) == (-75, 0, 75)


def test_a_short_hedged_by_an_earlier_stage_is_not_naked_while_a_later_one_waits(floor):
    f = floor()
    f.quote(f.future, 24500.0, qty=0)
    f.run(f"legs {FAST} timeout_s=600 naked_s=5", *condor(f), policy={"order": "2;1;4;3"})
    f.wait(15)
    assert (f.net(f.wing), f.net(f.call), f.net(f.put)) == (75, -75, 0)
    assert "NAKED" not in f.text


def test_a_sell_before_its_hedge_runs_the_clock_even_where_a_person_said_so(floor):
    f = unwinding(floor())
    f.quote(f.wing, 100.0, qty=0)
    f.run(f"legs {FAST} timeout_s=600 naked_s=8 order=1;2", *spread(f))
    f.wait(4)
    assert f.net(f.call) == -75
    assert "NAKED for" in f.text
    f.wait(8)
    f.quote(f.call, 100.1)
    f.wait(4)
    assert f.done
    assert (f.net(f.call), f.net(f.wing)) == (0, 0)


def test_a_long_that_is_sold_first_is_not_naked(floor):
    f = floor()
    f.elsewhere(f.call, 75)
    f.quote(f.wing, 100.0, qty=0)
    f.run(f"legs {FAST} kind=entry timeout_s=600 naked_s=3 order=1;2", *spread(f))
    f.wait(10)
    assert f.net(f.call) == 0
    assert "NAKED" not in f.text
    f.quote(f.wing, 100.0, qty=1500)
    f.wait(5)
    assert f.done
    assert f.net(f.wing) == 75


@pytest.mark.parametrize("text", ["legs order=1", "legs order=1,2,3", "premium_stop stop=230 order=2;1"])
def test_an_order_names_each_leg_once_and_a_premium_stop_takes_none(floor, text):
    f = floor()
    with pytest.raises(BadData, match="order"):
        f.run(text, *spread(f))


def straddle(f, qty=75):
    """The orders that close a short straddle."""
    f.elsewhere(f.call, -qty)
    f.elsewhere(f.put, -qty)
    return f.leg(f.call, "BUY", qty), f.leg(f.put, "BUY", qty)


def test_a_premium_stop_closes_the_set_when_its_cost_is_reached(floor):
    f = floor()
    f.run(f"premium_stop stop=230 {FAST}", *straddle(f))
    f.wait(3)
    assert f.kids == []
    assert "net premium 200.00 a set; the stop is held here" in f.text
    f.quote(f.call, 128.0)
    assert f.kids == []
    f.quote(f.call, 131.0)
    assert len(f.kids) == 2
    assert "cost 231.00 reached the stop 230.00" in f.text
    f.wait(10)
    assert f.done
    assert (f.net(f.call), f.net(f.put)) == (0, 0)


@pytest.mark.parametrize(
    ("text", "path", "why"),
    [
        ("use=target target=150", (90, 70, 50), "reached the target"),
        ("use=trail trail=30", (80, 60, 91), "above its lowest 160.00"),
        ("use=stop,target stop=250 target=150", (120, 151), "reached the stop"),
        ("stop=205 price=far", (102, 105), "reached the stop"),
    ],
)
def test_a_premium_may_have_a_target_a_trail_or_the_far_touch(floor, text, path, why):
    f = floor()
    f.run(f"premium_stop {text} {FAST}", *straddle(f))
    for price in path[:-1]:
        f.quote(f.call, price)
    before = f.kids
    f.quote(f.call, path[-1])
    assert before == [] or text.endswith("far")
    assert why in f.text


def test_the_premium_of_a_ratio_counts_in_sets(floor):
    f = floor()
    f.elsewhere(f.call, 75)
    f.elsewhere(f.put, -150)
    f.run("premium_stop stop=120", f.leg(f.call, "SELL", 75), f.leg(f.put, "BUY", 150))
    assert "net premium 100.00 a set" in f.text


def test_a_premium_stop_is_blind_without_a_quote_of_each_leg_and_says_so(floor):
    f = floor()
    f.run("premium_stop stop=230", *straddle(f))
    f.quote(f.put, 300.0, half=math.nan)
    f.wait(5)
    assert f.kids == []
    assert "the premium stop is held here and blind" in f.text


def test_a_spike_shorter_than_the_confirmation_does_not_fire(floor):
    f = floor()
    f.run("premium_stop stop=230 confirm_s=5", *straddle(f))
    f.quote(f.call, 140.0)
    f.wait(3)
    f.quote(f.call, 100.0)
    f.wait(10)
    assert f.kids == []
    f.quote(f.call, 140.0)
    f.wait(6)
    assert f.kids != []


def test_a_premium_stop_comes_back_after_a_crash_with_its_lowest_cost(floor):
    f = floor()
    f.run(f"premium_stop use=trail trail=30 {FAST}", *straddle(f))
    f.quote(f.call, 50.0)
    f.crash()
    f.quote(f.call, 81.0)
    f.crash()
    f.wait(10)
    assert f.done
    assert (f.net(f.call), f.net(f.put)) == (0, 0)


def test_a_set_closed_elsewhere_ends_its_stop(floor):
    f = floor()
    f.run("premium_stop stop=230", *straddle(f))
    f.elsewhere(f.call, 75)
    f.elsewhere(f.put, 75)
    f.wait(1)
    assert f.done
    assert "no position left to close" in f.text


@pytest.mark.parametrize("text", ["use=never", "use=stop", "use=trail", "use=stop,target stop=5"])
def test_a_condition_must_be_known_and_have_its_figure(floor, text):
    f = floor()
    with pytest.raises(BadData, match="premium_stop"):
        f.run(f"premium_stop {text}", *straddle(f))


def test_a_premium_that_moves_is_not_a_record_each(floor):
    f = floor()
    f.run("premium_stop stop=230", *straddle(f))
    before = len(f.sink.records)
    for i in range(20):
        f.quote(f.call, 100.0 + i / 10)
    assert len(f.sink.records) == before
    f.wait(16)
    assert "net premium 201.90 a set" in f.text
