"""The edge: journal before send, answers to answers, time, and a real journal rebuilt."""

from __future__ import annotations

import pytest

from toolkit.orders.core import Core
from toolkit.orders.engine import Engine
from toolkit.risk.limits import TradingState
from toolkit.store.journal import Journal
from toolkit.types import Cancel, ExecType, OrderRequest, OrdStatus, OrdType, Place, Side, Target, TimeInForce

SECOND = 10**9


def buy(s, n, price=9000):
    return Place(symbol=s.call, side=Side.BUY, order_qty=75, price_p=price + 5 * n)


class Watch:
    """An exchange door that notes what the journal held when each message left."""

    def __init__(self, scene) -> None:
        self.exchange, self.sink, self.sent = scene.exchange, scene.sink, []

    def place(self, request, now_ns):
        self.sent.append((request.cl_ord_id, {r.cl_ord_id for r in self.sink.records}, len(self.sink.bursts)))
        self.exchange.place(request, now_ns)

    def __getattr__(self, name):
        return getattr(self.exchange, name)


def test_nothing_leaves_before_its_whole_burst_is_durable(scene):
    s = scene()
    watch = Watch(s)
    engine = Engine(s.core, s.sink, watch)
    before = len(s.sink.bursts)
    engine.intents(s.now, [buy(s, n) for n in range(4)])
    ids = {i for i, _, _ in watch.sent}
    assert len(ids) == 4
    for _, durable, bursts in watch.sent:
        assert ids <= durable
        assert bursts == before + 1


def test_a_journal_that_fails_lets_nothing_out(scene):
    s = scene()
    s.sink.broken = True
    with pytest.raises(OSError, match="No space left"):
        s.engine.intents(s.now, [buy(s, 0)])
    assert s.exchange.next_ns() is None
    assert s.exchange.working() == ()


def test_the_strategy_hears_of_everything_in_order(scene):
    s = scene(latency_ns=SECOND)
    s.engine.intents(s.now, [buy(s, 0, 10050), Place(symbol="NOPE", side=Side.BUY, order_qty=75, price_p=5)])
    assert [str(r.exec_type) for r in s.told] == ["denied"]
    s.engine.run_until(s.now + 2 * SECOND - 1)
    assert len(s.told) == 1
    s.engine.run_until(s.now + 2 * SECOND)
    assert [str(r.exec_type) for r in s.told] == ["denied", "new", "trade"]


def test_an_answer_to_a_report_is_an_intent_at_that_instant(scene):
    s = scene(latency_ns=SECOND)
    s.answers = [[], [Target(symbol=s.put, net_qty=-75)]]
    s.engine.intents(s.now, [buy(s, 0, 10050)])
    s.engine.run_until(s.now + 10 * SECOND)
    assert s.core.book.net == {s.call: 75, s.put: -75}
    hedge = next(o for o in s.core.orders.values() if o.request.symbol == s.put)
    assert hedge.created_ns == s.now + 2 * SECOND


def test_a_strategy_that_answers_without_end_is_halted(scene):
    s = scene(max_messages_per_s=10**6, max_net_lots=10**6)
    rounds = iter(range(10**6))

    def always(report, now_ns):
        return [Place(symbol="NOPE", side=Side.BUY, order_qty=75, price_p=5 * next(rounds))]

    engine = Engine(s.core, s.sink, s.exchange, always)
    engine.intents(s.now, [Place(symbol="NOPE", side=Side.BUY, order_qty=75, price_p=5)])
    assert s.core.book.state is TradingState.HALTED
    assert "answered its own reports" in s.core.book.state_reason
    assert len(s.core.orders) < 200
    assert s.rebuilt().state() == s.core.state()


def test_end_of_day_expires_and_delivers_everything(scene):
    s = scene(latency_ns=SECOND)
    s.engine.intents(s.now, [buy(s, 0)])
    s.engine.end_day()
    (order,) = s.core.orders.values()
    assert order.ord_status is OrdStatus.EXPIRED
    assert s.exchange.next_ns() is None
    assert s.told[-1].exec_type is ExecType.EXPIRED


def test_end_of_day_before_any_day_does_nothing(scene):
    s = scene()
    s.core.book.session = None
    s.engine.end_day()
    assert s.told == []


def test_cancel_and_ioc_through_the_whole_engine(scene):
    s = scene()
    s.engine.intents(s.now, [buy(s, 0)])
    s.engine.run_until(s.now)
    (cl_ord_id,) = s.core.orders
    s.engine.intents(s.now, [Cancel(cl_ord_id=cl_ord_id)])
    s.engine.run_until(s.now)
    assert s.core.orders[cl_ord_id].ord_status is OrdStatus.CANCELED
    big = OrderRequest(
        cl_ord_id="IOC1",
        symbol=s.call,
        side=Side.BUY,
        order_qty=1800,
        ord_type=OrdType.MARKET,
        time_in_force=TimeInForce.IOC,
    )
    s.engine.submit(s.now, big)
    s.engine.run_until(s.now)
    order = s.core.orders["IOC1"]
    assert (order.ord_status, order.cum_qty) == (OrdStatus.CANCELED, 1500)


def test_quotes_meet_orders_that_were_under_way_first(scene):
    s = scene(latency_ns=SECOND)
    s.engine.intents(s.now, [buy(s, 0, 10100)])
    s.quotes(90.0, after_s=60)
    (fill,) = s.core.fills.values()
    assert fill.last_px_p == 10050, "it arrived before the later, cheaper quote"


def test_a_real_journal_rebuilds_the_day(scene, tmp_path):
    s = scene(latency_ns=SECOND)
    with Journal(tmp_path / "j.db", account="PAPER", day="2025-08-29") as journal:
        journal.append(s.sink.records)
        engine = Engine(s.core, journal, s.exchange)
        engine.intents(s.now, [buy(s, 0, 10050), buy(s, 1), Target(symbol=s.put, net_qty=-150)])
        engine.end_day()
        rebuilt = Core.replay([e.record for e in journal.records()], s.instruments)
        assert rebuilt.state() == s.core.state()
        assert journal.verify().state == "sound"
        assert len(s.core.fills) == 2


def test_two_runs_write_the_same_records(scene):
    def run():
        s = scene(latency_ns=SECOND)
        s.engine.intents(s.now, [buy(s, n, 10050) for n in range(3)])
        s.quotes(101.0, 225, after_s=60)
        s.engine.end_day()
        return s.sink.records

    assert run() == run()
