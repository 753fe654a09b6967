"""What holds of every algorithm, whatever the market, the wire and the account do.

The floor itself asserts at every message: inside the session, legal quantity and price, no bare market order, and that
what was traded and may still trade never exceeds the bound, unknown orders in full.
"""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.orders.algos import ALGOS
from toolkit.risk.limits import TradingState
from toolkit.types import ExecType, ExecutionReport, OrdStatus, Side

SECOND = 10**9
BUY, SELL = Side.BUY, Side.SELL

# name -> (text, positions held at the start, legs, bounds where they are not what the legs ask)
PLANS = {
    "twap": ("twap duration_s=20 slices=4 cross_s=3", {}, [("call", "BUY", 300, None, None)], {}),
    "vwap": ("vwap duration_s=20 curve=3,1,2 every_s=2", {}, [("call", "SELL", 450, None, None)], {}),
    "pov": ("pov rate_pct=20 every_s=2 style=mid", {}, [("call", "BUY", 300, 101.0, None)], {}),
    "iceberg": ("iceberg show_lots=2", {}, [("call", "BUY", 450, 100.5, None)], {}),
    "sniper": ("sniper max_lots=2", {}, [("call", "SELL", 450, 100.0, None)], {}),
    "best_limit": ("best_limit", {}, [("call", "BUY", 300, None, None)], {}),
    "chase": ("chase step_s=1 step_ticks=10", {}, [("call", "BUY", 3000, None, None)], {}),
    "stop": ("stop retry_s=1", {"call": 300}, [("call", "SELL", 300, None, 97.0)], {}),
    "trailing_stop": ("trailing_stop trail=3", {"call": -300}, [("call", "BUY", 300, None, None)], {}),
    "bracket": ("bracket target=2 stop=2 entry_s=5", {}, [("call", "BUY", 150, 101.0, None)], {("call", SELL): 150}),
    "oco": ("oco reduce=true", {"call": 150}, [("call", "SELL", 150, 103.0, None), ("call", "SELL", 150, None, 97.0)], {("call", SELL): 150}),
    "ouo": ("ouo", {}, [("call", "BUY", 150, 99.0, None), ("put", "BUY", 150, 99.0, None)], {}),
    "oto": ("oto release=pro_rata", {}, [("call", "BUY", 300, 100.5, None), ("put", "SELL", 150, 99.0, None)], {}),
    "target": ("target net_lots=2 step_s=1 timeout_s=30", {"call": -75}, [("call", "BUY", 300, None, None)], {("call", BUY): 300, ("call", SELL): 300}),
    "delta_hedge": (
        "delta_hedge band=20 every_s=3 step_s=1 step_ticks=20", {"call": -300},
        [("future", "BUY", 300, None, None), ("call", "BUY", 75, None, None)], {("future", BUY): 300, ("future", SELL): 300},
    ),
    "legs": (
        "legs step_s=1 step_ticks=20 timeout_s=10 retry_s=1", {}, [("call", "SELL", 150, None, None), ("wing", "BUY", 150, None, None)],
        {("call", SELL): 150, ("wing", BUY): 150, ("call", BUY): 150, ("wing", SELL): 150},
    ),
    "premium_stop": (
        "premium_stop stop=203 step_s=1 step_ticks=20", {"call": -150, "put": -150},
        [("call", "BUY", 150, None, None), ("put", "BUY", 150, None, None)], {},
    ),
}  # fmt: skip
CLOSING = ("stop", "trailing_stop", "oco", "premium_stop")

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("quote"), st.sampled_from(["call", "put", "wing"]), st.integers(-40, 40), st.sampled_from([0, 75, 150, 2000])),
        st.tuples(st.just("gap"), st.sampled_from(["call", "put", "wing"]), st.integers(-300, 300), st.sampled_from([75, 2000])),
        st.tuples(st.just("blind"), st.sampled_from(["call", "put", "wing"]), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 6), st.just(0)),
        st.tuples(st.just("elsewhere"), st.sampled_from(["call", "put", "wing"]), st.integers(-3, 3), st.just(0)),
        st.tuples(st.just("halt"), st.sampled_from(["call", "wing"]), st.just(0), st.just(0)),
        st.tuples(st.just("resume"), st.just("call"), st.just(0), st.just(0)),
        st.tuples(st.just("volume"), st.just("call"), st.integers(0, 5000), st.just(0)),
        st.tuples(st.just("reduce_only"), st.just(""), st.just(0), st.just(0)),
        st.tuples(st.just("active"), st.just(""), st.just(0), st.just(0)),
        st.tuples(st.just("cancel_child"), st.just(""), st.just(0), st.just(0)),
        st.tuples(st.just("late_fill"), st.just(""), st.just(0), st.just(0)),
    ),
    min_size=4,
    max_size=18,
)  # fmt: skip
EXAMPLES = pytest.mark.parametrize("examples", [12, pytest.param(300, marks=pytest.mark.slow)])


def trials(examples):
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


def begin(floor, name, latency, lost, near_close=False):
    text, held, legs, most = PLANS[name]
    f = floor(latency_ns=latency * SECOND // 2, max_quote_age_s=30.0, freeze=400)
    if near_close:
        f.now = f.core.book.session[1] - 25 * SECOND
        f.quotes(100.0)
        f.quote(f.future, 24500.0)
    for which, qty in held.items():
        f.elsewhere(getattr(f, which), qty)
    f.lost = lost
    f.deltas.update({f.call: 0.5, f.put: -0.5, f.wing: 0.3})
    asked = [f.leg(getattr(f, which), side, qty, price, stop) for which, side, qty, price, stop in legs]
    f.run(text, *asked)
    f.most |= {(getattr(f, which), side): qty for (which, side), qty in most.items()}
    return f


def play(f, events, crashes=frozenset()):
    """Let things happen; after each in ``crashes`` the process dies and comes back."""
    middle = dict.fromkeys(("call", "put", "wing"), 100.0)
    for i, (what, which, n, qty) in enumerate(events):
        if what in ("quote", "gap"):
            middle[which] = min(160.0, max(20.0, middle[which] + n / 20.0 * (1 if what == "quote" else 2)))
            f.quote(getattr(f, which), round(middle[which] * 20) / 20, qty=qty)
        elif what == "blind":
            f.quote(getattr(f, which), float("nan"))
        elif what == "wait":
            f.wait(n)
        elif what == "elsewhere" and n:
            f.elsewhere(getattr(f, which), 75 * n)
            f.perform(f.parents.on_clock(f.core, f.now))
            f.settle(f.now)
        elif what == "halt":
            f.exchange.halt([getattr(f, which)])
        elif what == "resume":
            f.exchange.resume()
        elif what == "volume":
            f.core.book.volumes[f.call] = f.core.book.volumes.get(f.call, 0) + n
        elif what in ("reduce_only", "active"):
            f.perform(
                f.core.set_state(f.now, TradingState(what.removesuffix("_only").replace("reduce", "reducing")), "test")
            )
        elif what == "cancel_child" and f.open:
            f.perform(f.core.cancel(f.now, f.open[0].cl_ord_id))
        elif what == "late_fill":
            late_fill(f)
        if i in crashes:
            f.crash()
    f.wait(8)
    return f


def late_fill(f):
    """A fill of an order that was withdrawn, told late."""
    gone = [o for o in f.kids if o.ord_status is OrdStatus.CANCELED and o.cum_qty < o.request.order_qty and not o.execs]
    if gone:
        order = gone[-1]
        report = ExecutionReport(
            cl_ord_id=order.cl_ord_id, exec_id=f"LATE{order.cl_ord_id}", exec_type=ExecType.TRADE, ts_ns=f.now, recv_ns=f.now,
            last_qty=75, last_px_p=order.request.price_p,
        )  # fmt: skip
        f.hear(report)


def story(f):
    return [(r.symbol, r.side, r.order_qty, r.price_p, r.stop_px_p, r.note) for r in f.sent], f.text, f.done


WORLDS = {
    "events": EVENTS,
    "latency": st.integers(0, 3),
    "lost": st.dictionaries(st.integers(1, 6), st.sampled_from(["drop", "mute"]), max_size=2),
}


@pytest.mark.parametrize("name", sorted(PLANS))
def test_every_algorithm_has_a_plan(name):
    assert set(PLANS) == set(ALGOS)
    assert PLANS[name][0].split()[0] == name


@pytest.mark.parametrize("name", sorted(PLANS))
@EXAMPLES
def test_nothing_that_happens_breaks_the_bounds_and_no_fault_stops_it(floor, name, examples):
    @trials(examples)
    @given(**WORLDS)
    def run(events, latency, lost):
        # a fill after the end of an order is the exchange's own excess; every other bound is ours
        f = play(begin(floor, name, latency, lost), [e for e in events if e[0] != "late_fill"])
        assert "fault" not in f.text, f.text
        unknown = [o for o in f.kids if o.ord_status is OrdStatus.UNKNOWN]
        assert not (f.done and unknown), "an algorithm with an unknown child is not done"

    run()


@pytest.mark.parametrize("name", sorted(PLANS))
@EXAMPLES
def test_late_fills_are_never_a_fault(floor, name, examples):
    @trials(examples)
    @given(events=EVENTS, latency=st.integers(0, 3))
    def run(events, latency):
        f = begin(floor, name, latency, {})
        f.most = {}
        play(f, events)
        assert "fault" not in f.text, f.text

    run()


@pytest.mark.parametrize("name", sorted(PLANS))
@EXAMPLES
def test_the_same_world_gives_the_same_orders_and_a_crash_anywhere_changes_nothing(floor, name, examples):
    @trials(examples)
    @given(**WORLDS, crashes=st.frozensets(st.integers(0, 17), max_size=5))
    def run(events, latency, lost, crashes):
        events = [e for e in events if e[0] != "late_fill"]
        straight = story(play(begin(floor, name, latency, dict(lost)), events))
        assert story(play(begin(floor, name, latency, dict(lost)), events)) == straight
        assert story(play(begin(floor, name, latency, dict(lost)), events, crashes)) == straight

    run()


@pytest.mark.parametrize("name", sorted(PLANS))
@EXAMPLES
def test_nothing_leaves_after_the_close(floor, name, examples):
    @trials(examples)
    @given(events=EVENTS, latency=st.integers(0, 2))
    def run(events, latency):
        events = [e for e in events if e[0] not in ("late_fill", "elsewhere")]
        f = play(begin(floor, name, latency, {}, near_close=True), events)
        f.wait(60)
        assert f.open == []
        assert f.done, f.text

    run()


@pytest.mark.parametrize("name", CLOSING)
@EXAMPLES
def test_a_closing_algorithm_never_reverses_a_position(floor, name, examples):
    @trials(examples)
    @given(events=EVENTS, lost=WORLDS["lost"])
    def run(events, lost):
        f = begin(floor, name, 0, lost)
        signs = {symbol: qty > 0 for symbol, qty in f.core.book.net.items()}
        for what, which, n, qty in events:
            if what == "late_fill":
                continue
            if what == "elsewhere":  # others may only take off, or add to, what is held; they do not reverse it either
                symbol = getattr(f, which)
                held = f.net(symbol)
                n = max(-(abs(held) // 75), n) if held > 0 else min(abs(held) // 75, n) if held < 0 else 0
                play(f, [(what, which, n, qty)])
            else:
                play(f, [(what, which, n, qty)])
            for symbol, long in signs.items():
                assert f.net(symbol) == 0 or (f.net(symbol) > 0) is long

    run()


@pytest.mark.parametrize("name", sorted(PLANS))
def test_state_is_json_and_comes_back_the_same(floor, name):
    f = begin(floor, name, 1, {2: "drop"})
    f.wait(6)
    if f.parent not in f.parents.running:
        return
    algo = f.parents.running[f.parent]
    state = json.loads(json.dumps(algo.state()))
    twin = ALGOS[name](algo.legs, **algo.p)
    twin.restore(state)
    assert twin.state() == algo.state()
    assert msgspec.json.decode(msgspec.json.encode(algo.state())) == state


@pytest.mark.parametrize("name", sorted(PLANS))
def test_messages_stay_within_the_algorithm_s_own_rate(floor, name):
    f = begin(floor, name, 0, {})
    for i in range(60):
        f.now += SECOND // 8
        f.quote(f.call, 100.0 + (i % 9) / 4, qty=75)
    stamps = [r.ts_ns for r in f.sink.records if r.kind in ("order", "modify")]
    for ts_ns in stamps:
        assert sum(1 for other in stamps if ts_ns - SECOND < other <= ts_ns) <= 4


def test_the_account_holds_the_children_to_the_parent_whatever_the_algorithm_believes(floor):
    f = floor()
    f.run("iceberg show_lots=1", f.leg(f.call, "BUY", 150, price=90.0))
    rogue = msgspec.structs.replace(f.leg(f.call, "BUY", 150, price=90.0), parent_id=f.parent)
    f.core.submit(f.now, rogue)
    denied = f.core.orders[rogue.cl_ord_id]
    assert denied.ord_status is OrdStatus.DENIED
    assert "may trade 75 more units" in denied.text


def test_a_child_that_no_journal_holds_is_forgotten_after_a_crash(floor):
    f = floor()
    f.run("iceberg", f.leg(f.call, "BUY", 150, price=90.0))
    algo = f.parents.running[f.parent]
    state = algo.state()
    state["new"]["L0.2"] = [f.call, "BUY", 75, f.now, 9000, None]
    algo.restore(state)
    f.wait(1)
    assert "L0.2" not in algo.state()["new"]


def test_what_was_changed_a_moment_ago_is_remembered_through_a_crash(floor):
    f = floor()
    f.run("best_limit min_reprice_s=5", f.leg(f.call, "BUY", 75))
    f.quote(f.call, 100.2)
    assert f.open[0].request.price_p == 9970
    f.crash()
    f.quote(f.call, 100.4)
    f.wait(3)
    assert f.open[0].request.price_p == 9970
    f.wait(2)
    assert f.open[0].request.price_p == 9990


def test_a_child_it_withdrew_itself_is_no_refusal_after_a_crash(floor):
    f = floor(features=("stop_limit",), latency_ns=SECOND // 2)
    f.run("best_limit retry_s=60", f.leg(f.call, "BUY", 75))
    f.wait(3)
    f.quote(f.call, 100.2)
    f.crash()
    f.wait(3)
    assert [o.ord_status for o in f.kids] == [OrdStatus.CANCELED, OrdStatus.NEW]


def test_waiting_writes_nothing(floor):
    """An algorithm with nothing new to say or do costs the journal no record."""
    f = floor()
    f.run("stop hold=local reduce=false", f.leg(f.call, "SELL", 75, stop=90.0))
    before = len(f.sink.records)
    for i in range(20):
        f.quote(f.call, 100.0 + i / 10)
    f.wait(20)
    assert len(f.sink.records) == before
