"""Stops and trailing stops: at the broker, held here, gapped through, after a crash."""

from __future__ import annotations

import math

import msgspec
import pytest

from toolkit.types import OrdStatus, OrdType

SECOND = 10**9


def long(f, qty=75):
    f.elsewhere(f.call, qty)
    return f


def test_a_stop_rests_at_the_broker_and_sells_when_triggered(floor):
    f = long(floor())
    f.run("stop", f.leg(f.call, "SELL", 75, stop=95.0))
    order = f.open[0]
    assert order.request.ord_type is OrdType.STOP_LIMIT
    assert (order.request.stop_px_p, order.request.price_p) == (9500, 9215), "3 percent past the stop"
    assert "75 units rest at the broker" in f.text
    f.quote(f.call, 94.0)
    f.wait(2)
    assert f.done
    assert f.net(f.call) == 0
    assert len(f.kids) == 1


def test_its_own_limit_is_kept(floor):
    f = long(floor())
    f.run("stop", f.leg(f.call, "SELL", 75, stop=95.0, price=94.5))
    assert (f.open[0].request.stop_px_p, f.open[0].request.price_p) == (9500, 9450)


def test_a_stop_gapped_through_is_chased_to_its_protection(floor):
    f = long(floor())
    f.run("stop gap_s=2 gap_give_pct=20 gap_give_ticks=0", f.leg(f.call, "SELL", 75, stop=95.0, price=94.5))
    f.quote(f.call, 88.0)
    assert f.open[0].cum_qty == 0
    assert "gapped through its stop-limit" in f.text
    f.quote(f.call, 87.0, qty=0)
    f.wait(2)
    assert "chasing" in f.text
    assert f.open[0].request.price_p == 8640, "two ticks past the bid"
    f.quote(f.call, 86.8)
    f.wait(2)
    assert f.done
    assert f.filled(f.call, "SELL") == 75
    assert f.kids[0].avg_px >= 76.0


def test_past_its_protection_it_rests_and_alarms(floor):
    f = long(floor())
    f.run("stop gap_s=0 gap_give_pct=5 gap_give_ticks=0", f.leg(f.call, "SELL", 75, stop=95.0))
    f.quote(f.call, 80.0)
    f.wait(3)
    assert f.open[0].request.price_p == 9025
    assert "ALARM" in f.text
    assert not f.done
    f.quote(f.call, 92.0)
    f.wait(1)
    assert f.done


def test_a_broker_without_stop_limits_has_it_held_here_and_said_so(floor):
    f = long(floor(features=("modify",)))
    f.run("stop", f.leg(f.call, "SELL", 75, stop=95.0))
    f.wait(5)
    assert f.kids == []
    assert "held here (the broker has no stop-limit)" in f.text
    f.quote(f.call, 94.9)
    assert f.done
    assert f.kids[0].request.ord_type is OrdType.LIMIT
    assert f.kids[0].request.price_p == 9430, "two ticks past the bid"


def test_a_held_stop_says_when_it_is_blind_and_fires_when_it_sees_again(floor):
    f = long(floor(max_quote_age_s=5.0))
    f.run("stop hold=local", f.leg(f.call, "SELL", 75, stop=95.0))
    f.wait(10, fresh=False)
    assert "no fresh quote: it cannot fire" in f.text
    f.quote(f.call, 90.0)
    assert f.done


def test_a_held_stop_comes_back_after_a_crash(floor):
    f = long(floor())
    f.run("stop hold=local", f.leg(f.call, "SELL", 75, stop=95.0))
    f.crash()
    f.wait(3)
    assert "held here" in f.text
    f.crash()
    f.quote(f.call, 94.0)
    assert f.done
    assert f.net(f.call) == 0


def test_a_stop_that_fired_stays_fired_through_a_crash(floor):
    f = long(floor())
    f.run("stop hold=local", f.leg(f.call, "SELL", 75, stop=95.0))
    f.quote(f.call, math.nan, ltp=94.0)
    assert "triggered; waiting" in f.text
    f.crash()
    f.quote(f.call, 97.0)
    assert f.done
    assert f.net(f.call) == 0


def test_the_far_touch_may_trigger_instead_of_the_last_trade(floor):
    f = long(floor())
    f.run("stop hold=local source=touch", f.leg(f.call, "SELL", 75, stop=95.0))
    f.quote(f.call, 96.0, ltp=90.0)
    assert f.kids == []
    f.quote(f.call, 95.4, ltp=99.0)
    assert f.done


def test_a_stop_the_broker_refuses_is_held_here(floor):
    f = long(floor(restricted=()))
    f.exchange.halt([f.call])
    f.run("stop retry_s=1", f.leg(f.call, "SELL", 75, stop=95.0))
    f.wait(8)
    assert [o.ord_status for o in f.kids] == [OrdStatus.REJECTED] * 3
    assert "held here (the broker refused it" in f.text
    (alarm,) = alarms(f)
    assert alarm["kind"] == "stop_held"
    assert "is held here and lives with this process: the broker refused it" in alarm["text"]
    f.exchange.resume([f.call])
    f.quote(f.call, 94.0)
    f.wait(2)
    assert f.done
    assert f.net(f.call) == 0


def test_a_stop_that_our_own_rules_deny_does_not_accuse_the_broker(floor):
    f = long(floor())
    f.run("stop hold=auto retry_s=1", f.leg(f.call, "SELL", 75, stop=95.0))
    f.perform(f.core.cancel(f.now, f.open[0].cl_ord_id))
    f.perform(f.core.set_limits(f.now, msgspec.structs.replace(f.limits, restricted=("NIFTY",))))
    f.wait(8)
    assert "held here (our own rules denied it: NIFTY is on the restricted list)" in f.text
    (alarm,) = alarms(f)
    assert "our own rules denied it: NIFTY is on the restricted list" in alarm["text"]
    f.crash()
    f.wait(3)
    assert len(alarms(f)) == 1, "told once, though the process came back"


def test_a_stop_far_from_the_market_rests_at_the_broker(floor):
    f = floor()
    f.elsewhere(f.call, -75)
    f.run("stop", f.leg(f.call, "BUY", 75, stop=200.0))
    assert f.open[0].request.stop_px_p == 20000
    assert f.open[0].request.price_p == 20600
    assert alarms(f) == []


def test_a_broker_without_stop_limits_raises_an_alarm_and_a_stop_held_as_asked_none(floor):
    f = long(floor(features=("modify",)))
    f.run("stop", f.leg(f.call, "SELL", 75, stop=95.0))
    assert [alarm["text"].rpartition(": ")[2] for alarm in alarms(f)] == ["the broker has no stop-limit"]
    g = long(floor())
    g.run("stop hold=local", g.leg(g.call, "SELL", 75, stop=95.0))
    g.wait(2)
    assert alarms(g) == []


def test_a_stop_on_the_touch_is_held_here_while_the_last_trade_is_past_it(floor):
    f = long(floor())
    f.run("stop source=touch", f.leg(f.call, "SELL", 75, stop=95.0))
    f.perform(f.core.cancel(f.now, f.open[0].cl_ord_id))
    f.settle(f.now)
    f.quote(f.call, 97.0, ltp=94.0)
    f.wait(4)
    assert len(f.kids) == 1, "a broker would trigger it at once, and our rules deny it"
    assert "held here (the last price is past it" in f.text
    f.quote(f.call, 97.0)
    f.wait(1)
    assert f.open[0].request.stop_px_p == 9500


def alarms(f):
    return [msgspec.json.decode(r.payload) for r in f.sink.records if r.kind == "alarm"]


def test_a_fired_stop_that_is_refused_alarms_and_tries_on(floor):
    f = long(floor())
    f.run("stop hold=local retry_s=2", f.leg(f.call, "SELL", 75, stop=95.0))
    f.exchange.halt([f.call])
    f.quote(f.call, 94.0)
    f.wait(20)
    assert "ALARM" in f.text
    assert not f.done
    f.exchange.resume([f.call])
    f.wait(4)
    f.quote(f.call, 93.0)
    assert f.done


def test_a_square_off_elsewhere_shrinks_and_then_ends_the_stop(floor):
    f = long(floor(), 300)
    f.run("stop", f.leg(f.call, "SELL", 300, stop=95.0))
    assert f.open[0].leaves_qty == 300
    f.elsewhere(f.call, -225)
    f.wait(1)
    assert f.open[0].leaves_qty == 75
    f.elsewhere(f.call, -75)
    f.wait(3)
    assert f.done
    assert f.open == []
    assert f.net(f.call) == 0
    assert "no position in" in f.text


def test_a_stop_without_a_position_ends(floor):
    f = floor()
    f.run("stop", f.leg(f.call, "SELL", 75, stop=95.0))
    assert f.done
    assert f.kids == []


def test_an_entry_stop_opens_when_told_to(floor):
    f = floor()
    f.run("stop reduce=false", f.leg(f.call, "BUY", 75, stop=105.0))
    f.quote(f.call, 106.0)
    f.wait(2)
    assert f.done
    assert f.net(f.call) == 75


def test_other_closing_orders_leave_nothing_to_stop(floor):
    f = long(floor())
    other = f.leg(f.call, "SELL", 75, price=130.0)
    f.perform(f.core.submit(f.now, other))
    f.settle(f.now)
    f.run("stop", f.leg(f.call, "SELL", 75, stop=95.0))
    assert f.kids == []
    f.perform(f.core.cancel(f.now, other.cl_ord_id))
    f.wait(3)
    assert f.open[0].leaves_qty == 75


def test_a_stop_already_reached_closes_at_once(floor):
    f = long(floor())
    f.run("stop", f.leg(f.call, "SELL", 75, stop=105.0))
    assert f.done
    assert f.kids[0].request.ord_type is OrdType.LIMIT


def test_a_trailing_stop_only_rises(floor):
    f = long(floor())
    f.run("trailing_stop trail=5 step_ticks=10", f.leg(f.call, "SELL", 75, stop=None))
    f.wait(1)
    assert f.open[0].request.stop_px_p == 9500
    f.quote(f.call, 100.3)
    f.wait(2)
    assert f.open[0].request.stop_px_p == 9500, "less than a step"
    f.quote(f.call, 110.0)
    f.wait(2)
    assert f.open[0].request.stop_px_p == 10500
    f.quote(f.call, 106.0)
    f.wait(2)
    assert f.open[0].request.stop_px_p == 10500
    f.crash()
    f.quote(f.call, 104.5)
    f.wait(2)
    assert f.done
    assert f.net(f.call) == 0


def test_a_trailing_stop_of_a_short_only_falls(floor):
    f = floor()
    f.elsewhere(f.call, -75)
    f.run("trailing_stop trail_pct=10 hold=local", f.leg(f.call, "BUY", 75))
    f.quote(f.call, 80.0)
    assert "stop 88.00" in f.text
    f.quote(f.call, 87.0)
    assert "stop 88.00" in f.text
    f.quote(f.call, 88.5)
    assert f.done
    assert f.net(f.call) == 0


@pytest.mark.parametrize("hold", ["auto", "local"])
def test_an_unknown_closing_order_is_never_sent_again(floor, hold):
    f = long(floor())
    f.lost[1] = "drop"
    f.run(f"stop hold={hold}", f.leg(f.call, "SELL", 75, stop=95.0))
    f.quote(f.call, 90.0)
    f.wait(60)
    assert len(f.kids) == 1
    assert f.kids[0].ord_status is OrdStatus.UNKNOWN
    assert not f.done
