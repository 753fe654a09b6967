"""The core: records before sends, ids, slicing, states, and a rebuild from records alone."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.orders.core import Core
from toolkit.orders.effects import Record, SendCancel, SendNew, SendReplace, Tell
from toolkit.risk.limits import Limits, TradingState
from toolkit.types import (
    Cancel,
    Denial,
    ExecType,
    ExecutionReport,
    Fill,
    Modify,
    OrderRequest,
    OrdStatus,
    OrdType,
    Place,
    Side,
    Target,
)


def kinds(effects):
    return [type(e).__name__ for e in effects]


def request(scene, **more):
    fields = {"cl_ord_id": "USER1", "symbol": scene.call, "side": Side.BUY, "order_qty": 75, "price_p": 10000}
    return OrderRequest(**{**fields, **more})


def heard(cl_ord_id, kind, ts, **more):
    return ExecutionReport(
        cl_ord_id=cl_ord_id, exec_id=f"{cl_ord_id}-{kind}-{ts}", exec_type=kind, ts_ns=ts, recv_ns=ts, **more
    )


def test_the_record_comes_before_the_send(scene):
    s = scene()
    effects = s.core.submit(s.now, request(s))
    assert kinds(effects) == ["Record", "SendNew"]
    assert effects[0].kind == "order"
    assert effects[1].request == request(s)
    assert s.core.orders["USER1"].ord_status is OrdStatus.PENDING_NEW


def test_a_request_is_pending_though_the_exchange_stamps_ahead_of_our_clock(scene):
    s = scene()
    s.core.submit(s.now, request(s))
    s.core.on_report(heard("USER1", ExecType.NEW, s.now + 9 * 10**8))
    s.core.modify(s.now, Modify(cl_ord_id="USER1", order_qty=75, price_p=9995))
    assert s.core.orders["USER1"].ord_status is OrdStatus.PENDING_REPLACE
    s.core.on_report(heard("USER1", ExecType.REPLACED, s.now + 95 * 10**7, price_p=9995))
    s.core.cancel(s.now, "USER1")
    assert s.core.orders["USER1"].ord_status is OrdStatus.PENDING_CANCEL
    s.core.on_report(heard("USER1", ExecType.CANCELED, s.now + 96 * 10**7))
    assert s.core.orders["USER1"].ord_status is OrdStatus.CANCELED


def test_the_same_id_is_the_same_order(scene):
    s = scene()
    s.core.submit(s.now, request(s))
    assert s.core.submit(s.now + 10**10, request(s)) == []
    with pytest.raises(BadData, match="already another order"):
        s.core.submit(s.now, request(s, order_qty=150))
    assert len(s.core.orders) == 1


@pytest.mark.parametrize("bad", ["", "A" * 21, "A-1", "A 1", "é1", "A\n"])
def test_malformed_ids_are_refused(scene, bad):
    s = scene()
    with pytest.raises(BadData, match="1 to 20 ASCII letters and digits"):
        s.core.submit(s.now, request(s, cl_ord_id=bad))
    assert s.core.orders == {}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("side", "BYU", "side must be BUY, SELL, was 'BYU'; did you mean 'BUY'"),
        ("ord_type", "LIMT", "did you mean 'LIMIT'"),
        ("time_in_force", None, "time_in_force must be DAY, IOC, was None"),
        ("product", 5, "product must be NRML, MIS, CNC, was 5"),
        ("symbol", 5, "symbol must be text, was 5"),
    ],
)
def test_a_word_that_is_none_is_refused_with_the_nearest(scene, field, value, words):
    s = scene()
    with pytest.raises(BadData) as caught:
        s.core.submit(s.now, request(s, **{field: value}))
    assert words in str(caught.value)
    assert s.core.orders == {}


def test_another_account_is_refused(scene):
    s = scene()
    with pytest.raises(BadData, match="trades account 'PAPER', was 'OTHER'"):
        s.core.submit(s.now, request(s, account="OTHER"))


def test_generated_ids_are_short_unique_and_the_same_each_run(scene):
    def ids():
        s = scene(duplicate_window_s=0.0)
        for n in range(5):
            s.engine.intents(
                s.now + n * 10**9, [Place(symbol=s.call, side=Side.BUY, order_qty=75, price_p=9000 + 5 * n)]
            )
        return list(s.core.orders)

    first = ids()
    assert first == ids()
    assert len(set(first)) == 5
    assert all(len(i) <= 20 and i.isalnum() and i.startswith("250829") for i in first)


def test_a_denied_order_is_kept_with_every_reason(scene):
    s = scene()
    effects = s.core.submit(s.now, request(s, order_qty=76, price_p=10003))
    assert kinds(effects) == ["Record", "Tell"]
    order = s.core.orders["USER1"]
    assert order.ord_status is OrdStatus.DENIED
    assert [d.rule for d in s.core.denials["USER1"]] == ["lot", "tick"]
    assert "lot 75" in order.text
    assert "tick 5" in order.text
    assert effects[1].report.exec_type is ExecType.DENIED
    assert effects[1].report.text == order.text


@pytest.mark.parametrize("qty", [0, -75, 10**18, 10**30, math.nan, math.inf, 75.0, True, None, "75"])
def test_senseless_quantities_are_denied_journaled_and_rebuilt(scene, qty):
    s = scene()
    s.engine.submit(s.now, request(s, order_qty=qty))
    assert s.core.orders["USER1"].ord_status is OrdStatus.DENIED
    assert s.exchange.working() == ()
    assert s.rebuilt().state() == s.core.state()


@pytest.mark.parametrize("price", [0, -5, 10**18, math.nan, math.inf, 100.5, None])
def test_senseless_prices_are_denied(scene, price):
    s = scene()
    s.engine.submit(s.now, request(s, price_p=price))
    assert s.core.orders["USER1"].ord_status is OrdStatus.DENIED
    assert s.rebuilt().state() == s.core.state()


def test_a_market_order_leaves_with_protection(scene):
    s = scene()
    effects = s.core.submit(s.now, request(s, ord_type=OrdType.MARKET, price_p=None))
    sent = effects[1].request
    assert sent.ord_type is OrdType.MARKET
    assert sent.price_p == 12060  # 20 % through an offer of 100.50
    assert s.core.submit(s.now, request(s, ord_type=OrdType.MARKET, price_p=None)) == []


def test_a_market_order_without_a_quote_is_denied(scene):
    s = scene()
    s.core.submit(s.now + 10**12, request(s, ord_type=OrdType.MARKET, price_p=None))
    assert {d.rule for d in s.core.denials["USER1"]} == {"quote"}


def test_large_orders_are_sliced_into_legal_children(scene):
    s = scene(max_order_lots=100)
    effects = s.core.submit(s.now, request(s, order_qty=4500))
    assert kinds(effects) == ["Record", "SendNew", "SendNew", "SendNew"]
    sent = [e.request for e in effects[1:]]
    assert [c.order_qty for c in sent] == [1800, 1800, 900]
    assert all(c.parent_id == "USER1" and c.price_p == 10000 for c in sent)
    assert len({c.cl_ord_id for c in sent}) == 3
    assert s.core.book.open_qty(s.call, Side.BUY) == 4500
    assert {o.cl_ord_id for o in s.core.open_orders()} == {c.cl_ord_id for c in sent}


def test_a_parent_adds_up_its_children(scene):
    s = scene(max_order_lots=100)
    s.engine.submit(s.now, request(s, order_qty=3600, price_p=10050))
    s.quotes(100.0, 1500, after_s=60)
    parent = s.core.orders["USER1"]
    assert parent.ord_status is OrdStatus.PARTIALLY_FILLED
    assert parent.cum_qty == sum(s.core.orders[c].cum_qty for c in s.core.children["USER1"])
    s.quotes(100.05, 5000, after_s=60)
    s.quotes(100.0, 5000, after_s=60)
    assert s.core.orders["USER1"].ord_status is OrdStatus.FILLED
    assert s.core.book.net == {s.call: 3600}


def test_a_parent_says_what_was_refused_of_it_once(scene):
    s = scene(max_order_lots=100)
    s.core.submit(s.now, request(s, order_qty=3600, price_p=9000))
    for child in s.core.children["USER1"]:
        report = ExecutionReport(
            cl_ord_id=child,
            exec_type=ExecType.REJECTED,
            exec_id=f"R{child}",
            ts_ns=s.now,
            recv_ns=s.now,
            text="RMS: no",
        )
        s.core.on_report(report)
    parent = s.core.orders["USER1"]
    assert parent.ord_status is OrdStatus.REJECTED
    assert parent.text == f"{s.core.children['USER1'][0]} rejected: RMS: no"


def test_canceling_a_parent_cancels_its_children(scene):
    s = scene(max_order_lots=100)
    s.engine.submit(s.now, request(s, order_qty=3600, price_p=9000))
    s.engine.intents(s.now, [Cancel(cl_ord_id="USER1")])
    s.engine.run_until(s.now)
    assert s.core.orders["USER1"].ord_status is OrdStatus.CANCELED
    assert s.core.book.open_value_p == 0


def test_a_child_cannot_outgrow_its_part(scene):
    s = scene(max_order_lots=100)
    s.engine.submit(s.now, request(s, order_qty=1875, price_p=9000))
    s.engine.run_until(s.now)
    small = s.core.children["USER1"][1]
    s.engine.intents(s.now, [Modify(cl_ord_id=small, order_qty=150)])
    assert s.told[-1].exec_type is ExecType.REPLACE_REJECTED
    assert "cannot grow" in s.told[-1].text
    s.engine.intents(s.now, [Modify(cl_ord_id="USER1", order_qty=1875, price_p=9100)])
    assert "sliced order" in s.told[-1].text


def test_modify_goes_through_the_same_checks(scene):
    s = scene()
    s.engine.submit(s.now, request(s, price_p=9000))
    s.engine.run_until(s.now)
    assert kinds(s.core.modify(s.now, Modify(cl_ord_id="USER1", order_qty=76))) == ["Record", "Tell"]
    effects = s.core.modify(s.now, Modify(cl_ord_id="USER1", order_qty=150, price_p=9100))
    assert kinds(effects) == ["Record", "SendReplace"]
    assert s.core.orders["USER1"].ord_status is OrdStatus.PENDING_REPLACE
    assert s.core.book.open_qty(s.call, Side.BUY) == 150
    assert effects[1].modify == Modify(cl_ord_id="USER1", order_qty=150, price_p=9100)


@pytest.mark.parametrize("intent", [Modify(cl_ord_id="NOPE", order_qty=75), Cancel(cl_ord_id="NOPE")])
def test_acts_on_unknown_orders_are_refused_in_words(scene, intent):
    s = scene()
    effects = s.core.on_intents(s.now, [intent])
    assert kinds(effects) == ["Record", "Tell"]
    assert effects[1].report.text == "no such order"


def test_only_a_working_order_is_modified_and_only_an_open_one_canceled(scene):
    s = scene()
    s.engine.submit(s.now, request(s, price_p=10100))
    pending = s.core.modify(s.now, Modify(cl_ord_id="USER1", order_qty=75))
    assert "only a working order" in pending[1].report.text
    s.engine.run_until(s.now)
    done = s.core.cancel(s.now, "USER1")
    assert done[1].report.text == "the order is already filled"


def test_a_second_cancel_in_flight_sends_nothing(scene):
    s = scene()
    s.engine.submit(s.now, request(s, price_p=9000))
    s.engine.run_until(s.now)
    assert kinds(s.core.cancel(s.now, "USER1")) == ["Record", "SendCancel"]
    assert s.core.cancel(s.now, "USER1") == []


def test_target_counts_what_is_on_its_way(scene):
    s = scene(latency_ns=10**9)
    s.engine.intents(s.now, [Target(symbol=s.call, net_qty=-150)])
    s.engine.intents(s.now, [Target(symbol=s.call, net_qty=-150)])
    assert len(s.core.orders) == 1
    s.engine.run_until(s.now + 3 * 10**9)
    assert s.core.book.net == {s.call: -150}
    s.engine.intents(s.now + 3 * 10**9, [Target(symbol=s.call, net_qty=75)])
    assert [o.request.order_qty for o in s.core.open_orders()] == [225]


def test_a_repeated_report_leaves_no_trace(scene):
    s = scene()
    s.core.submit(s.now, request(s))
    fill = heard("USER1", ExecType.TRADE, s.now, last_qty=75, last_px_p=10000)
    assert kinds(s.core.on_report(fill)) == ["Record", "Tell"]
    before = s.core.state()
    assert s.core.on_report(fill) == []
    assert s.core.state() == before


def test_a_report_of_an_unknown_order_is_one_anomaly(scene):
    s = scene()
    fill = heard("ELSEWHERE", ExecType.TRADE, s.now, last_qty=75, last_px_p=10000)
    assert kinds(s.core.on_report(fill)) == ["Record"]
    assert s.core.on_report(fill) == []
    assert [a.kind for a in s.core.anomalies] == ["unknown_order"]
    assert s.core.book.net == {}


def test_unknown_counts_in_full(scene):
    s = scene()
    s.core.submit(s.now, request(s))
    s.core.on_report(heard("USER1", ExecType.UNKNOWN, s.now))
    assert s.core.orders["USER1"].ord_status is OrdStatus.UNKNOWN
    assert s.core.book.open_value_p == 75 * 10000
    s.core.on_report(heard("USER1", ExecType.NEW, s.now + 1))
    assert s.core.orders["USER1"].ord_status is OrdStatus.NEW


def test_a_bust_takes_the_fill_back(scene):
    s = scene()
    s.core.submit(s.now, request(s))
    fill = heard("USER1", ExecType.TRADE, s.now, last_qty=75, last_px_p=10000)
    s.core.on_report(fill)
    assert s.core.book.net == {s.call: 75}
    s.core.on_report(heard("USER1", ExecType.TRADE_CANCEL, s.now + 1, exec_ref_id=fill.exec_id))
    assert (s.core.book.net, s.core.book.cash_p, s.core.fills) == ({}, 0, {})


def test_halt_stops_orders_and_keeps_what_protects(scene):
    s = scene()
    s.engine.submit(s.now, request(s, side=Side.SELL, price_p=9950))
    s.engine.run_until(s.now)
    assert s.core.book.net == {s.call: -75}
    stop = request(s, cl_ord_id="STOP", ord_type=OrdType.STOP_LIMIT, stop_px_p=13000, price_p=13500)
    s.engine.submit(s.now, stop)
    s.engine.submit(s.now, request(s, cl_ord_id="GOAL", price_p=8000))
    s.engine.submit(s.now, request(s, cl_ord_id="MORE", symbol=s.put, price_p=9000))
    s.engine.run_until(s.now)
    assert len(s.core.open_orders()) == 3
    s.engine.set_state(s.now, TradingState.HALTED, "day loss")
    s.engine.run_until(s.now)
    assert {o.cl_ord_id for o in s.core.open_orders()} == {"STOP"}
    s.engine.submit(s.now, request(s, cl_ord_id="NEXT", symbol=s.put, price_p=9100))
    assert [d.rule for d in s.core.denials["NEXT"]] == ["halted"]
    assert "day loss" in s.core.orders["NEXT"].text
    assert kinds(s.core.cancel(s.now, "STOP")) == ["Record", "SendCancel"]


def test_reducing_lets_only_the_closing_order_out(scene):
    s = scene()
    s.engine.submit(s.now, request(s, side=Side.SELL, order_qty=150, price_p=9950))
    s.engine.run_until(s.now)
    s.engine.set_state(s.now, TradingState.REDUCING, "margin")
    s.engine.submit(s.now, request(s, cl_ord_id="OVER", order_qty=225, price_p=10000))
    s.engine.submit(s.now, request(s, cl_ord_id="CLOSE", order_qty=150, price_p=10000))
    s.engine.submit(s.now, request(s, cl_ord_id="AGAIN", order_qty=75, price_p=10005))
    status = {k: s.core.orders[k].ord_status for k in ("OVER", "CLOSE", "AGAIN")}
    assert status == {
        "OVER": OrdStatus.DENIED,
        "CLOSE": OrdStatus.PENDING_NEW,
        "AGAIN": OrdStatus.DENIED,
    }


def test_message_rate_denies_new_orders_and_reserves_cancels(scene):
    s = scene()
    for n in range(12):
        s.core.submit(s.now, request(s, cl_ord_id=f"U{n}", price_p=9000 + 5 * n))
    sent = [o for o in s.core.orders.values() if o.ord_status is OrdStatus.PENDING_NEW]
    assert len(sent) == 8
    assert s.core.denials["U8"][0].rule == "message_rate"
    canceled = [s.core.cancel(s.now, o.cl_ord_id) for o in sent]
    assert [kinds(e)[-1] for e in canceled] == ["SendCancel"] * 2 + ["Tell"] * 6
    assert kinds(s.core.submit(s.now + 10**9, request(s, cl_ord_id="LATER", price_p=9500)))[-1] == "SendNew"


def test_limits_change_is_journaled(scene):
    s = scene()
    effects = s.core.set_limits(s.now, Limits(max_order_lots=1))
    assert [e.kind for e in effects] == ["limits"]
    s.core.submit(s.now, request(s, order_qty=150))
    assert s.core.denials["USER1"][0].rule == "max_order_lots"


def test_settlement_flattens_once(scene):
    s = scene()
    s.engine.submit(s.now, request(s, side=Side.SELL, price_p=9950))
    s.engine.run_until(s.now)
    closing = Fill(
        exec_id="EXPIRY-1", cl_ord_id="EXPIRY", order_id="EXPIRY", account="PAPER", broker="paper",
        symbol=s.call, exchange="NSE", side=Side.BUY, last_qty=75, last_px_p=0, exec_ns=s.now,
    )  # fmt: skip
    s.engine.settle(s.now, [closing])
    s.engine.settle(s.now, [closing])
    assert s.core.book.net == {}
    assert s.rebuilt().state() == s.core.state()


def test_a_new_day_starts_ids_again_and_carries_positions(scene):
    s = scene()
    s.engine.submit(s.now, request(s, side=Side.SELL, price_p=9950))
    s.engine.run_until(s.now)
    day_ns = 86_400 * 10**9
    s.engine.set_state(s.now, TradingState.HALTED, "day loss")
    head = s.core.start_day(s.now + 3 * day_ns, {"note": "carried"})
    fresh = Core.replay(head, s.instruments)
    assert (fresh.book.state, fresh.book.state_reason) == (TradingState.HALTED, "day loss")
    assert fresh.book.net == {s.call: -75}
    assert fresh.book.cash_p == s.core.book.cash_p
    assert msgspec.json.decode(head[0].payload)["carried"] == {"note": "carried"}


def test_replay_says_what_is_wrong():
    with pytest.raises(BadData, match="journal is empty"):
        Core.replay([])
    with pytest.raises(BadData, match="begins with an 'open' record, was 'order'"):
        Core.replay([Record(0, "order", "A", b"{}")])
    head = Core("PAPER").start_day(0)
    with pytest.raises(BadData, match="unknown kind 'dance'"):
        Core.replay([*head, Record(0, "dance", "", b"{}")])


ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["buy", "sell", "market", "big", "cancel", "modify", "target", "quotes", "halt", "active", "bad"]
        ),
        st.integers(0, 7),
        st.integers(1, 4),
    ),
    max_size=25,
)


def act(s, word, pick, lots):
    ids = list(s.core.orders)
    some = ids[pick % len(ids)] if ids else "NONE"
    symbol = s.instruments[pick % 3].symbol
    price = 9950 + 25 * (pick - 3)
    if word in ("buy", "sell"):
        side = Side.BUY if word == "buy" else Side.SELL
        return [Place(symbol=symbol, side=side, order_qty=75 * lots, price_p=price)]
    if word == "market":
        return [Place(symbol=symbol, side=Side.SELL, order_qty=75 * lots, ord_type=OrdType.MARKET)]
    if word == "big":
        return [Place(symbol=symbol, side=Side.BUY, order_qty=75 * 30, price_p=price)]
    if word == "cancel":
        return [Cancel(cl_ord_id=some)]
    if word == "modify":
        return [Modify(cl_ord_id=some, order_qty=75 * lots, price_p=price)]
    if word == "bad":
        return [Place(symbol="NOPE", side=Side.BUY, order_qty=-lots, price_p=price)]
    return [Target(symbol=symbol, net_qty=75 * (lots - 2))]


@settings(max_examples=60, deadline=None)
@given(ACTS)
def test_the_journal_alone_rebuilds_an_equal_core(scene_class, acts):
    s = scene_class(latency_ns=1000)
    for word, pick, lots in acts:
        if word == "quotes":
            s.quotes(100.0 + pick / 4, 75.0 * lots, after_s=30)
        elif word in ("halt", "active"):
            s.engine.set_state(s.now, TradingState.HALTED if word == "halt" else TradingState.ACTIVE, "test")
        else:
            s.engine.intents(s.now, act(s, word, pick, lots))
        s.now += 400_000_000
    assert s.rebuilt().state() == s.core.state()
    check_sums(s)
    s.engine.end_day()
    assert s.rebuilt().state() == s.core.state()
    assert s.core.open_orders() == ()
    assert s.core.book.open_value_p == 0
    assert s.core.book.resting == {}
    assert s.core.anomalies == []


def check_sums(s):
    """Incremental figures equal those added up from the orders; children never exceed their parent."""
    core = s.core
    net: dict[str, int] = {}
    for fill in core.fills.values():
        net[fill.symbol] = net.get(fill.symbol, 0) + fill.side.sign * fill.last_qty
    assert core.book.net == {k: v for k, v in net.items() if v}
    live = core.open_orders()
    assert core.book.open_value_p == sum(o.leaves_qty * o.request.price_p for o in live)
    for parent, children in core.children.items():
        parts = [core.orders[c].request.order_qty for c in children]
        assert sum(parts) <= core.orders[parent].request.order_qty
        assert all(part <= 1800 for part in parts)


def test_every_effect_has_its_record_first(scene):
    s = scene()
    seen = []
    effects = s.core.on_intents(
        s.now,
        [
            Place(symbol=s.call, side=Side.BUY, order_qty=75, price_p=9000),
            Place(symbol=s.put, side=Side.BUY, order_qty=75, price_p=9000),
            Place(symbol="NOPE", side=Side.BUY, order_qty=75, price_p=9000),
        ],
    )
    for effect in effects:
        if isinstance(effect, Record):
            seen.append(effect.cl_ord_id)
        elif isinstance(effect, SendNew):
            assert effect.request.cl_ord_id in seen
        elif isinstance(effect, Tell):
            assert effect.report.cl_ord_id in seen
        else:
            assert not isinstance(effect, (SendCancel, SendReplace))
    assert len(seen) == 3


def test_a_denial_from_outside_is_journaled_and_never_leaves(scene):
    s = scene()
    reason = Denial("margin", 1, 2, "margin Rs 2.00 exceeds the available Rs 1.00")
    effects = s.core.deny(s.now, request(s), (reason,))
    assert kinds(effects) == ["Record", "Tell"]
    assert s.core.orders["USER1"].ord_status is OrdStatus.DENIED
    assert s.core.denials["USER1"] == (reason,)
    with pytest.raises(BadData, match="letters and digits"):
        s.core.deny(s.now, request(s, cl_ord_id="no good"), (reason,))


def test_new_ids_pass_over_those_that_are_taken(scene):
    s = scene()
    first, second, third, fourth = (f"250829ZC860000{n}" for n in (1, 2, 3, 4))
    assert s.core.new_id(s.now) == first
    assert s.core.new_id(s.now) == second, "an id is given once"
    assert s.core.new_id(s.now, {third}) == fourth
    s.core.submit(s.now, request(s, cl_ord_id=first))
    assert s.core.new_id(s.now) > fourth


def test_no_order_takes_an_id_that_a_caller_still_waits_with_and_a_rebuilt_core_says_the_same(scene):
    s = scene()
    first, waiting = s.core.new_id(s.now), s.core.new_id(s.now)
    effects = s.core.submit(s.now, request(s, cl_ord_id=first, order_qty=2700))
    effects += s.core.on_intents(s.now, [Place(symbol=s.put, side=Side.BUY, order_qty=75, price_p=10000)])
    assert len(s.core.children[first]) == 2
    assert waiting not in s.core.orders
    s.sink.append([e for e in effects if isinstance(e, Record)])
    assert s.rebuilt().state() == s.core.state()
    s.core.submit(s.now, request(s, cl_ord_id=waiting, symbol=s.wing))
    assert s.core.orders[waiting].ord_status is OrdStatus.PENDING_NEW


def test_the_plan_of_an_order_is_what_it_is_cut_into(scene):
    s = scene()
    assert s.core.plan(request(s)) == (75,)
    assert s.core.plan(request(s, order_qty=75 * 30)) == (1800, 450)
    assert s.core.plan(request(s, order_qty=75 * 3000)) == (75 * 3000,)
