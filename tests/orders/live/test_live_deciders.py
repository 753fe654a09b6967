"""Strategies and algorithms in the live engine: decisions journaled, restored, and the same in a replay."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace

import pytest

from toolkit.errors import AuthExpired, BadData, Refused
from toolkit.market.quotes import key_of
from toolkit.orders.core import Core
from toolkit.orders.engine import Engine
from toolkit.orders.monitor import Monitor
from toolkit.risk.limits import Limits, TradingState
from toolkit.sim.exchange import SimExchange
from toolkit.strategies.protocol import Strategy
from toolkit.types import Cancel, ExecType, OrdStatus, OrdType, Place, Side, Target

SECOND = 10**9


class Slice:
    def __init__(self, ts_ns):
        self.ts_ns = self.recv_ns = ts_ns


class Sight:
    """The little of a View that the test's strategy reads."""

    def __init__(self, now_ns, core, symbols):
        self.now_ns, self.core, self.symbols = now_ns, core, symbols
        self.mids = [(q.bid_p + q.ask_p) // 2 for q in map(core.quote, symbols)]

    def chain(self, expiry=None):
        return Slice(self.now_ns)

    def position(self, symbol):
        return self.core.book.net.get(symbol, 0)


class Reverter(Strategy):
    """Sells what rose, buys what fell, takes half back on each fill, and counts what it hears."""

    name = "reverter"

    def __init__(self):
        super().__init__()
        self.heard = 0
        self.last = None

    def on_chain(self, view):
        call, put = view.symbols[:2]
        mid, last, self.last = view.mids[0], self.last, view.mids[0]
        if last is None or abs(mid - last) < 100:
            return []
        if mid < last:
            return [Place(symbol=call, side=Side.BUY, order_qty=75, price_p=mid // 5 * 5 + 5 * (self.heard % 7))]
        return [Target(symbol=put, net_qty=-75 * (1 + self.heard % 3))]

    def on_report(self, report):
        self.heard += 1
        if report.exec_type is ExecType.NEW and self.heard % 5 == 0:
            return [Cancel(cl_ord_id=report.cl_ord_id)]
        if report.exec_type is ExecType.TRADE and report.side is Side.BUY and self.heard % 2:
            price_p = report.last_px_p // 5 * 5 + 200
            return [Place(symbol=report.symbol, side=Side.SELL, order_qty=75, price_p=price_p)]
        return []

    def state(self):
        return {"heard": self.heard, "last": self.last}

    def restore(self, state):
        self.heard, self.last = state["heard"], state["last"]


def tape(seed, steps=120):
    """A day of quotes: (seconds from the start, middle, quantity shown)."""
    chance = random.Random(seed)
    middle = 100.0
    for n in range(steps):
        middle = min(130.0, max(70.0, middle + chance.choice([-2.0, -1.0, 0.0, 0.5, 1.0, 2.5])))
        yield n + 1, middle, chance.choice([75.0, 150.0, 1500.0])


def orders_of(core):
    words = []
    for o in core.orders.values():
        r = o.request
        words.append(
            (r.symbol, r.side, r.order_qty, r.ord_type, r.price_p, r.algo, o.created_ns, o.ord_status, o.cum_qty)
        )
    return words


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_recorded_live_day_replayed_gives_the_same_orders(pit, seed):
    p = pit()
    engine = await p.open(watching=False)
    symbols = [p.call, p.put, p.wing]
    engine.core.book.add(p.instruments)
    start = p.hours.now_ns

    async def hear():
        async for report in p.broker.updates():
            await engine.take_reports([report])

    listening = engine.task(hear())
    engine.run_strategy(Reverter(), "NIFTY", lambda: Sight(engine.now_ns(), engine.core, symbols))
    for seconds, middle, qty in tape(seed):
        p.hours.now_ns = start + seconds * SECOND
        p.market(middle, qty)  # what trades on them is reported before the strategy sees them, as in a replay
        await p.hours.calm()
        p.shown(middle, qty)
        for _ in range(4):
            await p.hours.calm()
    listening.cancel()
    live = orders_of(engine.core)

    core = Core("ACC", broker="kite", limits=p.limits, instruments=p.instruments)
    strategy = Reverter()
    exchange = SimExchange(p.instruments)

    class Sink:
        def append(self, records):
            return 0

    again = Engine(core, Sink(), exchange, lambda report, now_ns: strategy.on_report(report))
    again.start_day(start, engine.core.book.session)
    keys = [key_of(i) for i in p.instruments]
    again.on_quotes(start, keys, [99.5] * 3, [15000.0] * 3, [100.5] * 3, [15000.0] * 3, [100.0] * 3)
    for seconds, middle, qty in tape(seed):
        now = start + seconds * SECOND
        columns = ([middle - 0.5] * 3, [qty] * 3, [middle + 0.5] * 3, [qty] * 3, [middle] * 3)
        again.on_quotes(now, keys, *columns)
        again.intents(now, strategy.on_chain(Sight(now, core, symbols)), algo="reverter")
    again.run_until(now)
    assert len(live) > 20
    assert {row[0] for row in live} == {p.call, p.put}
    assert live == orders_of(core)


async def test_the_state_of_a_strategy_survives_a_kill(pit):
    p = pit()
    engine = await p.open()
    engine.core.book.add(p.instruments)
    symbols = [p.call, p.put, p.wing]
    first = Reverter()
    engine.run_strategy(first, "NIFTY", lambda: Sight(engine.now_ns(), engine.core, symbols))
    for middle in (100.0, 95.0, 97.0, 91.0):
        await p.hours.run(1)
        p.quotes(middle)
        await p.hours.calm()
    assert first.heard
    await p.crash()
    engine = await p.open()
    second = Reverter()
    engine.run_strategy(second, "NIFTY", lambda: None)
    assert second.state() == first.state()
    assert {o.request.algo for o in engine.core.orders.values()} == {"reverter"}
    with pytest.raises(BadData, match="runs already"):
        engine.run_strategy(Reverter(), "NIFTY", lambda: None)
    p.verdict()


class Broken(Strategy):
    name = "broken"

    def on_clock(self, now_ns):
        raise KeyError("view")


async def test_a_strategy_that_fails_is_stopped_and_named_and_the_engine_goes_on(pit):
    p = pit()
    engine = await p.open()
    engine.run_strategy(Broken(), "NIFTY", lambda: None)
    await p.hours.run(3)
    told = [e.payload["text"] for e in engine.events() if e.kind == "alarm"]
    assert told == ["strategy 'broken' failed and was stopped: KeyError: 'view'"]
    assert (await engine.place(p.buy("A1"))).is_open


async def test_margin_is_asked_before_a_strategys_order(pit):
    p = pit(limits=None)
    p.more = {}
    p.limits = Limits(check_margin=True, max_messages_per_s=1000)
    p.broker._funds_p = 100_00
    engine = await p.open()

    class Buyer(Strategy):
        name = "buyer"

        def on_clock(self, now_ns):
            return [Place(symbol=p.call, side=Side.BUY, order_qty=75, price_p=10000)]

    engine.run_strategy(Buyer(), "NIFTY", lambda: None)
    p.broker.order_margins = margin_of(9999.0)
    await p.hours.run(1.2)
    order = next(iter(engine.core.orders.values()))
    assert order.ord_status is OrdStatus.DENIED
    assert "margin Rs 9999.00 exceeds the available Rs 100.00" in order.text
    assert p.broker.sent == []


def margin_of(total):
    from toolkit.risk.margin import Margin

    async def order_margins(requests):
        return Margin(span=0.0, exposure=0.0, expiry_addon=0.0, premium=total, total=total, label="test")

    return order_margins


async def test_an_algorithm_works_its_children_and_closes_its_parent(pit):
    p = pit()
    engine = await p.open()
    parent = await engine.place_algo([p.buy("T1", 10100, order_qty=300)], "twap duration_s=8 slices=4")
    assert parent.cl_ord_id == "T1"
    for _ in range(12):
        await p.hours.run(1)
        p.quotes()
        await p.hours.calm()
    parent = engine.core.orders["T1"]
    assert (parent.ord_status, parent.cum_qty, parent.leaves_qty) == (OrdStatus.FILLED, 300, 0)
    kin = [engine.core.orders[c] for c in engine.core.children["T1"]]
    assert {o.request.parent_id for o in kin} == {"T1"}
    assert sum(o.cum_qty for o in kin) == 300
    assert "T1" not in engine.deciders.parents.running
    assert (await engine.place_algo([p.buy("T1", 10100, order_qty=300)], "twap duration_s=8 slices=4")).cum_qty == 300
    with pytest.raises(BadData, match="already another order"):
        await engine.place_algo([p.buy("T1", 10100, order_qty=225)], "twap duration_s=8 slices=4")
    p.verdict()


async def test_a_trailing_stop_survives_a_kill_and_still_fires(pit):
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("A1", 10100))
    await p.hours.calm()
    leg = p.buy("TS1", None, ord_type=OrdType.MARKET, side=Side.SELL, order_qty=75)
    await engine.place_algo([leg], "trailing_stop trail=10 hold=local")
    for middle in (105.0, 110.0, 120.0):
        await p.hours.run(1)
        p.quotes(middle)
        await p.hours.calm()
    kept = dict(engine.core.algos["TS1"].state)
    await p.crash()
    p.quotes(119.0)
    engine = await p.open()
    assert engine.deciders.parents.running["TS1"].state() == kept
    engine.core.book.add(p.instruments)
    for middle in (118.0, 108.0, 107.0, 107.0, 107.0):
        await p.hours.run(1)
        p.quotes(middle)
        await p.hours.calm()
    await p.hours.run(3)
    assert engine.core.book.net == {}
    assert engine.core.orders["TS1"].ord_status is OrdStatus.FILLED
    p.verdict()


async def test_a_person_cancels_a_parent_with_what_it_has_working(pit):
    p = pit()
    engine = await p.open()
    await engine.place_algo([p.buy("T1", 9000, order_qty=300)], "iceberg show_lots=1")
    await p.hours.run(1)
    assert any(o.request.parent_id == "T1" for o in engine.core.open_orders())
    await p.hours.during(engine.cancel("T1"))
    await p.hours.run(2)
    assert engine.core.open_orders() == ()
    assert engine.core.orders["T1"].ord_status is OrdStatus.CANCELED
    p.verdict()


async def test_a_halt_ends_what_adds_and_keeps_what_protects(pit):
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("A1", 10100))
    await p.hours.calm()
    await engine.place_algo(
        [p.buy("TS1", None, ord_type=OrdType.MARKET, side=Side.SELL)], "trailing_stop trail=10 hold=local"
    )
    await engine.place_algo([p.buy("T1", 9000, order_qty=300, symbol=p.put)], "iceberg show_lots=1")
    await p.hours.run(1)
    await engine.halt("enough")
    await p.hours.run(2)
    assert set(engine.deciders.parents.running) == {"TS1"}
    assert "protection" in p.alarms()
    assert all(o.request.symbol != p.put for o in engine.core.open_orders())
    denied = await engine.place(p.buy("S1", 9900, side=Side.SELL))
    assert denied.ord_status is OrdStatus.DENIED
    for middle in (95.0, 89.0, 88.5, 88.0):
        p.quotes(middle)
        await p.hours.run(1)
    assert engine.core.book.state is TradingState.HALTED
    assert engine.core.book.net == {}, "the stop that was held here fired during the halt"
    p.verdict()


class Once(Strategy):
    """Buys one lot at the first chain."""

    name = "once"

    def __init__(self):
        super().__init__()
        self.done = False

    def on_chain(self, view):
        if self.done:
            return []
        self.done = True
        return [Place(symbol=view.symbols[0], side=Side.BUY, order_qty=75, price_p=10_050)]


async def test_a_strategys_order_is_timed_from_its_decision_to_its_fill(pit):
    monitor = Monitor()
    one = pit(monitor=monitor)
    engine = await one.open()
    view = SimpleNamespace(chain=lambda: Slice(one.hours.now_ns), symbols=[one.call])
    engine.run_strategy(Once(), "NIFTY", lambda: view)
    one.quotes()
    await one.hours.run(1.0)
    assert {name: h.n for name, h in monitor.latency().items()} == {
        "risk": 1, "journal": 1, "wire": 1, "ack": 1, "fill": 1, "total": 1
    }  # fmt: skip


@pytest.mark.parametrize("text", ["twap duration_s=8 slices=4", "chase", "sniper", "legs kind=entry"])
async def test_nothing_asked_for_during_a_halt_trades_after_it(pit, text):
    p = pit()
    engine = await p.open()
    await engine.halt("enough")
    parent = await engine.place_algo([p.buy("T1", 10100, order_qty=150)], text)
    assert parent.ord_status is OrdStatus.DENIED
    assert [d.rule for d in engine.core.denials["T1"]] == ["halted"]
    await p.hours.during(engine.resume("go on"))
    for _ in range(5):
        await p.hours.run(1)
        p.quotes()
    assert p.broker.sent == []
    assert (await engine.place_algo([p.buy("T1", 10100, order_qty=150)], text)).ord_status is OrdStatus.DENIED
    await p.crash()
    engine = await p.open()
    assert engine.deciders.parents.running == {}
    assert engine.core.orders["T1"].ord_status is OrdStatus.DENIED


async def test_the_broker_is_asked_about_margin_only_for_a_parent_that_the_rules_let_pass(pit):
    p = pit(limits=Limits(max_order_lots=2, max_messages_per_s=1000))
    p.broker._funds_p = 100_00
    engine = await p.open()
    asked = []

    async def order_margins(requests):
        asked.append(len(requests))
        return await margin_of(9999.0)(requests)

    p.broker.order_margins = order_margins
    large = await engine.place_algo([p.buy("T1", 10100, order_qty=225)], "twap")
    assert [d.rule for d in engine.core.denials["T1"]] == ["max_order_lots"]
    assert (large.ord_status, asked) == (OrdStatus.DENIED, [])
    await engine.place_algo([p.buy("T2", 10100), p.buy("T3", 10100, symbol=p.put)], "legs")
    assert [d.rule for d in engine.core.denials["T2"]] == ["margin"]
    assert asked == [2], "the legs together"
    assert engine.checks.short == ()
    assert p.broker.sent == []


async def test_a_preview_without_the_brokers_calculator_leaves_the_margin_unknown(pit):
    p = pit(limits=Limits(max_messages_per_s=1000))
    p.broker._funds_p = 10_000_00
    engine = await p.open()

    async def order_margins(requests):
        raise fault

    p.broker.order_margins = order_margins
    fault = Refused("no calculator")
    found = await engine.preview(p.buy("A1", 10000))
    assert (found["failed"], found["margin"], found["would_leave"]) == ([], None, True)
    assert (await engine.place(p.buy("A1", 9000))).is_open, "and it leaves"
    with pytest.raises(Refused, match="no calculator"):
        await engine.preview(p.buy("S1", 10000, side=Side.SELL))
    fault = AuthExpired("log in again")
    with pytest.raises(AuthExpired):
        await engine.preview(p.buy("A2", 10000))


async def test_an_algorithm_works_beside_an_own_stop_that_waits(pit):
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("A1", 10100))
    await p.hours.calm()
    stop = p.buy("S1", 6500, side=Side.SELL, ord_type=OrdType.STOP_LIMIT, stop_px_p=7000)
    await engine.place_algo([stop], "stop")
    await p.hours.run(1)
    assert [o.request.stop_px_p for o in engine.core.open_orders()] == [7000]
    await engine.place_algo([p.buy("T1", 10100, order_qty=150)], "twap duration_s=4 slices=1 style=cross")
    await p.hours.run(2)
    assert engine.core.orders["T1"].ord_status is OrdStatus.FILLED
    p.verdict()


async def test_no_decision_takes_the_id_with_which_another_order_still_waits(pit):
    p = pit()
    engine = await p.open()
    await p.hours.during(engine.place(p.buy("H1", None, ord_type=OrdType.MARKET)))
    await p.hours.run(3)  # the quotes are too old: flattening waits for one of the broker's
    asked, answer = asyncio.Event(), asyncio.Event()

    async def quote(symbols):
        asked.set()
        await answer.wait()
        return await type(p.broker).quote(p.broker, symbols)

    p.broker.quote = quote
    flat = asyncio.ensure_future(engine.flatten("end of day"))
    await p.hours.calm()
    assert asked.is_set()
    place = Place(symbol=p.put, side=Side.BUY, order_qty=75, price_p=9000)
    await engine.perform(engine.core.on_intents(engine.now_ns(), [place], algo="s"))
    answer.set()
    p.quotes()
    (order,) = await p.hours.during(flat)
    assert order.ord_status is OrdStatus.FILLED
    assert engine.core.book.net == {}
