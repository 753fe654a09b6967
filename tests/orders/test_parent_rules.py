"""A parent order obeys what a plain order obeys: trading state, every limit, the account's margin; before it starts."""

from __future__ import annotations

import msgspec
import pytest

from toolkit.errors import BadData
from toolkit.orders.algos import make
from toolkit.orders.core import Core
from toolkit.orders.parents import Parents
from toolkit.risk.limits import TradingState
from toolkit.types import Denial, OrderRequest, OrdStatus, Product, Side


def against(f):
    """The rules that denied the parent; nothing of it has left then."""
    order = f.core.orders[f.parent]
    rules = [d.rule for d in f.core.denials.get(f.parent, ())]
    assert (order.ord_status is OrdStatus.DENIED) == bool(rules)
    if rules:
        assert f.parent not in f.parents.running
        assert f.parent not in f.core.algos
        assert order.text
        assert "\n" not in order.text
    return rules


def state(f, which):
    f.perform(f.core.set_state(f.now, which, "a test", cancel=False))


PLANS = [
    ("twap", [("call", "BUY", 150, None)]),
    ("iceberg", [("call", "BUY", 150, 100.0)]),
    ("chase", [("call", "BUY", 150, None)]),
    ("sniper", [("call", "SELL", 150, 100.0)]),
    ("bracket", [("call", "BUY", 150, 100.0)]),
    ("legs kind=entry", [("call", "SELL", 150, None), ("wing", "BUY", 150, None)]),
    ("oco", [("call", "BUY", 150, 99.0), ("put", "BUY", 150, 99.0)]),
    ("target net_lots=2", [("call", "BUY", 150, None)]),
    ("delta_hedge", [("call", "BUY", 150, None)]),
]
"""What adds to positions."""


@pytest.mark.parametrize(("text", "legs"), PLANS, ids=[text.split()[0] for text, _ in PLANS])
@pytest.mark.parametrize(("which", "rule"), [(TradingState.HALTED, "halted"), (TradingState.REDUCING, "reducing")])
def test_while_halted_or_reducing_nothing_that_adds_is_started(floor, which, rule, text, legs):
    f = floor()
    state(f, which)
    f.run(text, *[f.leg(getattr(f, name), side, qty, price) for name, side, qty, price in legs])
    assert set(against(f)) == {rule}
    state(f, TradingState.ACTIVE)
    f.wait(5)
    assert f.sent == [], "what was denied is not queued"
    assert f.core.state() == Core.replay(f.sink.records, f.instruments).state()


CLOSERS = [
    ("twap", [("call", "SELL", 150, None)]),
    ("stop", [("call", "SELL", 150, None, 95.0)]),
    ("trailing_stop", [("call", "SELL", 150, None)]),
    ("oco", [("call", "SELL", 150, 110.0), ("call", "SELL", 150, None, 95.0)]),
    ("target net_lots=0", [("call", "BUY", 300, None)]),
    ("legs", [("call", "SELL", 150, None), ("put", "BUY", 150, None)]),
    ("premium_stop stop=1", [("call", "SELL", 150, None), ("put", "BUY", 150, None)]),
]


@pytest.mark.parametrize(("text", "legs"), CLOSERS, ids=[text.split()[0] for text, _ in CLOSERS])
def test_while_reducing_what_only_shrinks_is_started_and_while_halted_it_is_not(floor, text, legs):
    for which, wanted in ((TradingState.REDUCING, set()), (TradingState.HALTED, {"halted"})):
        f = floor()
        f.elsewhere(f.call, 150)
        f.elsewhere(f.put, -150)
        state(f, which)
        f.run(text, *[f.leg(getattr(f, leg[0]), *leg[1:]) for leg in legs])
        assert set(against(f)) == wanted


def test_legs_that_together_reverse_a_position_do_not_shrink_it(floor):
    f = floor()
    f.elsewhere(f.call, 150)
    state(f, TradingState.REDUCING)
    f.run("legs", f.leg(f.call, "SELL", 150), f.leg(f.call, "SELL", 75))
    assert against(f) == ["reducing"]


def test_one_at_work_before_a_halt_keeps_what_protects(floor):
    f = floor()
    f.elsewhere(f.call, 150)
    f.run("stop hold=local", f.leg(f.call, "SELL", 150, stop=95.0))
    state(f, TradingState.HALTED)
    f.quote(f.call, 94.0)
    assert f.net(f.call) == 0


CAPS = [
    ("max_order_lots", {"max_order_lots": 40}, "iceberg", [("call", "BUY", 60 * 75, 95.0)]),
    ("max_order_lots", {"max_order_lots": 40}, "target net_lots=1", [("call", "BUY", 60 * 75, None)]),
    ("max_order_value", {"confirm_value_p": 10**12}, "twap", [("future", "BUY", 12 * 75, 24500.0)]),
    ("confirm_value", {}, "twap", [("future", "BUY", 6 * 75, 24500.0)]),
    ("lot", {}, "chase", [("call", "BUY", 64, None)]),
    ("collar", {}, "best_limit", [("call", "BUY", 75, 1.0)]),
    ("tick", {}, "twap", [("call", "BUY", 75, 99.99)]),
    ("max_net_lots", {"max_net_lots": 5}, "twap", [("call", "BUY", 6 * 75, None)]),
    ("max_net_lots", {"max_net_lots": 5}, "legs", [("call", "BUY", 3 * 75, None), ("call", "BUY", 3 * 75, 99.0)]),
    ("max_gross_lots", {"max_gross_lots": 5}, "legs kind=entry", [("call", "BUY", 225, None), ("wing", "SELL", 225, None)]),
    ("max_open_value", {"max_open_value_p": 3_000_000}, "legs", [("call", "BUY", 150, 100.0), ("put", "BUY", 225, 100.0)]),
    ("restricted", {"restricted": ("NIFTY",)}, "twap", [("call", "BUY", 75, None)]),
    ("collar", {}, "stop reduce=false", [("call", "BUY", 75, 150.0, 105.0)]),
    ("stop_px", {}, "stop reduce=false", [("call", "BUY", 75, 100.0, 95.0)]),
    ("stop_px", {}, "bracket", [("call", "BUY", 75, 100.0, 95.0)]),
    ("collar", {}, "oco rest=both", [("call", "SELL", 75, 150.0), ("call", "SELL", 75, None, 95.0)]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "limits", "text", "legs"), CAPS)
def test_every_cap_binds_the_whole_parent(floor, rule, limits, text, legs):
    f = floor(**limits)
    f.run(text, *[f.leg(getattr(f, leg[0]), *leg[1:]) for leg in legs])
    assert against(f) == [rule]
    denial = f.core.denials[f.parent][0]
    assert denial.limit != denial.value


def test_what_the_parent_does_not_send_itself_does_not_bind_it(floor):
    f = floor(freeze=75, max_messages_per_s=1, max_slices=1)
    f.run("twap duration_s=20 slices=10", f.leg(f.call, "BUY", 750, 101.0))
    assert against(f) == []


def test_prices_of_a_later_market_are_for_the_children(floor):
    f = floor()
    f.elsewhere(f.call, 75)
    f.run("oco", f.leg(f.call, "SELL", 75, 190.0), f.leg(f.call, "SELL", 75, stop=60.0))
    assert against(f) == [], "the target is sent only when the market is there"
    g = floor()
    g.run("oto", g.leg(g.call, "BUY", 75, 100.0), g.leg(g.call, "SELL", 75, 190.0))
    assert against(g) == []


def test_a_person_s_confirmation_holds_for_the_children(floor):
    f = floor(confirm_value_p=1_000_000)
    leg = msgspec.structs.replace(f.leg(f.call, "BUY", 150, 101.0), confirm=("confirm_value",))
    f.run("iceberg show_lots=2", leg)
    assert against(f) == []
    assert f.filled(f.call, "BUY") == 150
    assert f.kids[0].request.confirm == ("confirm_value",)


def test_a_derivative_is_no_delivery(floor):
    f = floor()
    f.run("chase", msgspec.structs.replace(f.leg(f.call, "BUY", 75), product=Product.CNC))
    (denial,) = f.core.denials[f.parent]
    assert (denial.rule, denial.limit, denial.value) == ("product", "NRML, MIS", "CNC")


def test_a_parent_repeated_at_once_is_denied_and_its_own_child_is_not(floor):
    f = floor()
    f.run("iceberg show_lots=2", f.leg(f.call, "BUY", 150, 99.0))
    assert [o.ord_status for o in f.kids] == [OrdStatus.NEW], "a child that is the whole of it is no repeat"
    f.run("iceberg show_lots=2", f.leg(f.call, "BUY", 150, 99.0))
    assert against(f) == ["duplicate"]
    meant = msgspec.structs.replace(f.leg(f.call, "BUY", 150, 99.0), confirm=("duplicate",))
    assert f.parents.denials(f.core, f.now, "iceberg show_lots=2", [meant], None) == ()
    other = f.leg(f.call, "BUY", 150, 99.05)
    assert f.parents.denials(f.core, f.now, "iceberg show_lots=2", [other], None) == ()


def test_a_contract_that_is_not_listed_is_denied_by_its_rule(floor):
    f = floor()
    f.run("target net_lots=1", f.leg("NIFTY 02SEP2025 99999 CE", "BUY", 75))
    assert "symbol" in against(f)


def test_the_account_s_own_gate_is_asked_for_each_order(floor):
    f = floor()
    asked = []

    def gate(order, now_ns):
        asked.append((order.symbol, order.side, order.order_qty))
        return (Denial("engine", "ready", "stopped", "no order leaves now"),)

    f.core.gate = gate
    f.run("legs kind=entry", f.leg(f.call, "SELL", 150), f.leg(f.wing, "BUY", 75))
    assert asked == [(f.wing, Side.BUY, 75), (f.call, Side.SELL, 150)]
    assert against(f) == ["engine"], "said once"


def test_a_basket_is_margined_with_the_hedge_it_buys(scene):
    s = scene(max_capital_p=10**13)
    naked = s.core.book.need.after_p(s.call, Side.SELL, 150, s.now)
    s.core.book.funds_p = naked // 2
    denied = parents_of(s)
    sell, buy = leg_of(s, s.call, Side.SELL, "P1"), leg_of(s, s.wing, Side.BUY, "P2")
    before = s.core.book.exposure()
    assert [d.rule for d in denied("legs kind=entry", [sell])] == ["margin"]
    assert denied("legs kind=entry", [sell, buy]) == ()
    assert s.core.book.exposure() == before, "nothing is supposed any more"
    assert s.core.book.need.after_p(s.call, Side.SELL, 150, s.now) == naked


def leg_of(s, symbol, side, name):
    return OrderRequest(cl_ord_id=name, symbol=symbol, side=side, order_qty=150, price_p=10000)


def parents_of(s):
    parents = Parents(make, ("modify",))
    return lambda text, legs: parents.denials(s.core, s.now, text, legs, None)


def test_a_denied_parent_posted_again_is_the_same_and_another_under_its_id_is_refused(floor):
    f = floor()
    state(f, TradingState.HALTED)
    legs = [f.leg(f.call, "BUY", 75), f.leg(f.put, "BUY", 75)]
    f.run("legs", *legs)
    records = len(f.sink.records)
    f.run("legs", *legs)
    assert len(f.sink.records) == records
    state(f, TradingState.ACTIVE)
    f.run("legs", *legs)
    assert f.core.orders[f.parent].ord_status is OrdStatus.DENIED
    with pytest.raises(BadData, match="already another order"):
        f.run("legs", legs[0], msgspec.structs.replace(legs[1], symbol=f.wing))
    f.crash()
    f.run("legs", *legs)
    with pytest.raises(BadData, match="already another order"):
        f.run("legs", legs[0], msgspec.structs.replace(legs[1], symbol=f.wing))


def test_a_parent_of_another_account_is_refused(floor):
    f = floor()
    with pytest.raises(BadData, match="trades account 'PAPER', was 'OTHER'"):
        f.run("twap", msgspec.structs.replace(f.leg(f.call, "BUY", 75), account="OTHER"))
