"""OCO, OUO, OTO and bracket against the real core and the simulated exchange."""

from __future__ import annotations

import pytest

from toolkit.errors import BadData
from toolkit.types import OrdStatus, OrdType, Side

SECOND = 10**9


def long(f, qty=75):
    f.elsewhere(f.call, qty)
    return f


def exits(f, qty=75, target=110.0, stop=95.0):
    return f.leg(f.call, "SELL", qty, price=target), f.leg(f.call, "SELL", qty, stop=stop)


def test_oco_of_one_position_keeps_only_the_stop_in_the_market(floor):
    f = long(floor())
    f.run("oco", *exits(f))
    assert [o.request.ord_type for o in f.open] == [OrdType.STOP_LIMIT]
    f.quote(f.call, 94.0)
    f.wait(2)
    assert f.done
    assert f.net(f.call) == 0


def test_oco_swaps_to_the_target_and_back(floor):
    f = long(floor(latency_ns=SECOND))
    f.most[f.call, Side.SELL] = 0
    f.run("oco reduce=true", *exits(f))
    f.wait(3)
    f.quote(f.call, 110.5, qty=0)
    assert "withdrawing the stop first" in f.text
    assert len(f.kids) == 1
    f.wait(4)
    assert [(o.request.ord_type, o.ord_status) for o in f.kids] == [
        (OrdType.STOP_LIMIT, OrdStatus.CANCELED),
        (OrdType.LIMIT, OrdStatus.NEW),
    ]
    f.quote(f.call, 109.8, qty=0)
    f.wait(3)
    assert len(f.open) == 1
    assert f.open[0].request.ord_type is OrdType.LIMIT, "no swap within swap_ticks"
    f.quote(f.call, 104.0, qty=0)
    f.wait(5)
    assert [o.request.ord_type for o in f.open] == [OrdType.STOP_LIMIT]
    f.quote(f.call, 111.0)
    f.wait(5)
    f.quote(f.call, 111.2)
    f.wait(5)
    assert f.done
    assert f.net(f.call) == 0


def test_oco_of_two_contracts_rests_both_and_cancels_the_other(floor):
    f = floor()
    f.run("oco", f.leg(f.call, "BUY", 75, price=99.0), f.leg(f.put, "BUY", 75, price=98.0))
    assert len(f.open) == 2
    f.quote(f.put, 97.0)
    f.wait(2)
    assert f.done
    assert (f.net(f.call), f.net(f.put)) == (0, 75)
    assert f.text.startswith("filled")


def test_oco_after_a_partial_fill_works_only_the_winner(floor):
    f = floor()
    f.run("oco", f.leg(f.call, "BUY", 150, price=99.0), f.leg(f.put, "BUY", 150, price=98.0))
    f.quote(f.put, 97.0, qty=75)
    f.wait(2)
    assert [o.request.symbol for o in f.open] == [f.put]
    f.quote(f.call, 90.0)
    f.quote(f.put, 97.2)
    f.wait(2)
    assert (f.net(f.call), f.net(f.put)) == (0, 150)


@pytest.mark.parametrize(("price", "net"), [(106.0, 75), (94.0, -75)])
def test_a_breakout_oco_enters_on_one_side(floor, price, net):
    f = floor()
    f.run("oco", f.leg(f.call, "BUY", 75, stop=105.0), f.leg(f.call, "SELL", 75, stop=95.0))
    assert [o.request.side for o in f.open] == [Side.BUY]
    assert "held here (the other arm rests)" in f.text
    f.quote(f.call, price)
    f.wait(2)
    assert f.done
    assert f.net(f.call) == net
    assert {o.ord_status for o in f.kids} <= {OrdStatus.FILLED, OrdStatus.CANCELED}, "nothing was denied"


def test_oco_says_when_both_traded_in_the_race(floor):
    f = floor(latency_ns=2 * SECOND)
    f.run("oco", f.leg(f.call, "BUY", 75, price=99.0), f.leg(f.put, "BUY", 75, price=98.0))
    f.wait(5)
    f.quote(f.call, 97.0)
    f.quote(f.put, 97.0)
    f.wait(6)
    assert f.done
    assert f.text.endswith("both arms traded")


def test_ouo_shrinks_the_other_arm_by_each_fill(floor):
    f = floor()
    f.run("ouo", f.leg(f.call, "BUY", 300, price=99.0), f.leg(f.put, "BUY", 300, price=98.0))
    f.quote(f.put, 97.0, qty=75)
    f.wait(2)
    assert [(o.request.symbol, o.leaves_qty) for o in f.open] == [(f.call, 225), (f.put, 225)]
    f.quote(f.call, 98.0, qty=150)
    f.wait(2)
    assert [(o.request.symbol, o.leaves_qty) for o in f.open] == [(f.call, 75), (f.put, 75)]
    f.quote(f.put, 97.5, qty=75)
    f.wait(2)
    assert f.done
    assert f.net(f.call) + f.net(f.put) == 300


def test_ouo_without_modify_places_the_other_arm_anew(floor):
    f = floor(features=("stop_limit",))
    f.run("ouo", f.leg(f.call, "BUY", 150, price=99.0), f.leg(f.put, "BUY", 150, price=98.0))
    f.quote(f.put, 97.0, qty=75)
    f.wait(4)
    assert [(o.request.symbol, o.leaves_qty) for o in f.open] == [(f.put, 75), (f.call, 75)]


def test_two_resting_exits_of_one_position_are_refused(floor):
    f = long(floor())
    with pytest.raises(BadData, match="could reverse it"):
        f.run("oco rest=both reduce=true", *exits(f))
    with pytest.raises(BadData, match="needs a limit and a stop"):
        f.run("ouo rest=one", f.leg(f.call, "BUY", 75, price=99.0), f.leg(f.put, "BUY", 75, price=98.0))


def test_oto_sends_the_others_after_the_first(floor):
    f = floor()
    f.run("oto", f.leg(f.call, "BUY", 150, price=99.0), f.leg(f.put, "SELL", 75, price=101.0))
    assert [o.request.symbol for o in f.open] == [f.call]
    f.quote(f.call, 98.0, qty=75)
    f.wait(1)
    assert len(f.kids) == 1
    f.quote(f.call, 98.1)
    f.wait(1)
    assert [o.request.symbol for o in f.open] == [f.put]
    f.quote(f.put, 103.0)
    assert f.done


def test_oto_pro_rata_follows_each_fill_in_lots(floor):
    f = floor()
    f.run(
        "oto release=pro_rata entry_s=20", f.leg(f.call, "BUY", 300, price=99.0), f.leg(f.put, "SELL", 150, price=101.0)
    )
    f.quote(f.call, 98.0, qty=75)
    f.wait(1)
    assert len(f.kids) == 1, "half a lot is no lot"
    f.quote(f.call, 98.1, qty=75)
    f.wait(3)
    assert [(o.request.symbol, o.leaves_qty) for o in f.open] == [(f.call, 150), (f.put, 75)]
    f.wait(20)
    assert [o.request.symbol for o in f.open] == [f.put], "the rest of the first is withdrawn"
    f.quote(f.put, 103.0)
    f.wait(1)
    assert f.done


def test_a_bracket_enters_guards_and_takes_its_target(floor):
    f = floor()
    f.run("bracket target=10 stop=5", f.leg(f.call, "BUY", 75, price=100.5))
    f.wait(1)
    assert f.net(f.call) == 75
    (stop,) = f.open
    assert stop.request.stop_px_p == 9550
    f.quote(f.call, 111.2)
    f.wait(3)
    f.quote(f.call, 111.3)
    assert f.done
    assert f.net(f.call) == 0
    assert f.kids[-1].execs[0][2] >= 11050
    assert "75 closed at the target" in f.text


def test_a_short_bracket_is_stopped_out(floor):
    f = floor()
    f.run("bracket target=10 stop=5", f.leg(f.call, "SELL", 75, price=99.5))
    f.wait(1)
    assert f.open[0].request.stop_px_p == 10450
    f.quote(f.call, 105.0)
    f.wait(2)
    assert f.done
    assert f.net(f.call) == 0
    assert "75 at the stop" in f.text


def test_a_partly_filled_entry_is_guarded_here_and_closed_if_its_stop_is_reached(floor):
    f = floor()
    f.run("bracket target=10 stop=5 entry_s=30", f.leg(f.call, "BUY", 300, price=100.5))
    f.wait(1)
    g = floor()
    g.quote(g.call, 100.0, qty=75)
    g.run("bracket target=10 stop=5 entry_s=30", g.leg(g.call, "BUY", 300, price=100.5))
    g.wait(5)
    assert g.net(g.call) == 75
    assert "held here until the entry is over" in g.text
    g.quote(g.call, 96.0, ltp=95.0, qty=0)
    g.wait(1)
    g.quote(g.call, 95.0)
    g.wait(2)
    assert g.done
    assert g.net(g.call) == 0


def test_an_entry_that_does_not_trade_ends_the_bracket(floor):
    f = floor()
    f.run("bracket entry_s=10", f.leg(f.call, "BUY", 75, price=90.0))
    f.wait(12)
    assert f.done
    assert f.text.startswith("the entry did not trade")
    assert f.open == []


def test_a_bracket_closed_elsewhere_does_not_reverse(floor):
    f = floor()
    f.run("bracket target=10 stop=5", f.leg(f.call, "BUY", 75, price=100.5))
    f.wait(1)
    f.elsewhere(f.call, -75)
    f.wait(3)
    assert f.done
    assert f.open == []
    assert f.net(f.call) == 0


def test_a_bracket_survives_a_crash_in_the_middle_of_its_swap(floor):
    f = floor(latency_ns=SECOND)
    f.run("bracket target=10 stop=5", f.leg(f.call, "BUY", 75, price=100.5))
    f.wait(5)
    f.quote(f.call, 111.2)
    f.crash()
    f.wait(4)
    f.crash()
    f.quote(f.call, 111.4)
    f.wait(5)
    assert f.done
    assert f.net(f.call) == 0


def test_an_unknown_entry_is_not_entered_again_and_guards_nothing_it_may_not_have(floor):
    f = floor()
    f.lost[1] = "drop"
    f.run("bracket", f.leg(f.call, "BUY", 75, price=100.5))
    f.wait(120)
    assert len(f.kids) == 1
    assert not f.done
