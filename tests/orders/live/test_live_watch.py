"""What runs beside the acts: guards, the monitor, alarms, the links, the turn of the day."""

from __future__ import annotations

import asyncio

import pytest

from toolkit.errors import BadData, Refused, Retryable
from toolkit.orders.monitor import Monitor
from toolkit.orders.steady import SteadyClock
from toolkit.risk.guards import Trip, Watcher
from toolkit.risk.limits import TradingState
from toolkit.types import Denial, OrdStatus, OrdType, Side


class Loss(Watcher):
    """Denies one contract; halts beyond a loss; remembers how many reports it heard."""

    name = "loss"

    def __init__(self, banned=""):
        self.banned, self.heard, self.facts, self.most = banned, 0, [], 10**12
        self.demands, self.fault = TradingState.HALTED, ""

    def check(self, order, core, now_ns):
        return (Denial("banned", "", order.symbol, "not this one"),) if order.symbol == self.banned else ()

    def on_report(self, report, order, now_ns):
        self.heard += 1

    def watch(self, now_ns, facts):
        self.facts.append(facts)
        if self.fault:
            raise BadData(self.fault)
        lost = -(facts.profit_p or 0)
        return Trip(self.demands, "day_loss", f"lost Rs {lost / 100:.0f}", "by a person") if lost > self.most else None

    def state(self):
        return {"heard": self.heard}

    def restore(self, state):
        self.heard = state["heard"]


async def test_a_guard_is_asked_with_the_rules_and_all_reasons_come_together(pit):
    p = pit()
    guard = Loss(p.call)
    engine = await p.open(guards=[guard])
    order = await engine.place(p.buy("A1", 9001))
    assert order.ord_status is OrdStatus.DENIED
    assert [d.rule for d in engine.core.denials["A1"]] == ["tick", "banned"]


async def test_a_trip_halts_first_tells_second_and_lifts_with_its_condition(pit):
    p = pit()
    guard = Loss()
    engine = await p.open(guards=[guard])
    engine.core.book.add(p.instruments)
    await engine.place(p.buy("A1", 10100))
    await engine.place(p.buy("A2", 9000))
    await p.hours.run(1.1)
    assert guard.facts[-1].realized_p == 0
    assert guard.facts[-1].unrealized_p == 75 * (10000 - 10050)
    assert guard.facts[-1].charges_p > 0
    guard.most = 10_00
    p.quotes(90.0)
    await p.hours.run(1.1)
    assert engine.core.book.state is TradingState.HALTED
    assert engine.core.orders["A2"].ord_status is OrdStatus.CANCELED
    kinds = [(e.kind, e.payload.get("kind")) for e in engine.events() if e.kind in ("state", "alarm")]
    assert kinds.index(("state", None)) < kinds.index(("alarm", "guard:day_loss"))
    assert (await engine.place(p.buy("A3", 9005))).ord_status is OrdStatus.DENIED
    guard.most = 10**12
    await p.hours.run(1.1)
    assert engine.core.book.state is TradingState.ACTIVE


async def test_a_persons_halt_is_not_lifted_by_a_guard(pit):
    p = pit()
    guard = Loss()
    engine = await p.open(guards=[guard])
    await engine.halt("by hand")
    guard.most = -1
    await p.hours.run(1.1)
    guard.most = 10**12
    await p.hours.run(2.1)
    assert engine.core.book.state is TradingState.HALTED


async def test_a_demand_after_a_flatten_sweeps_what_adds_and_gives_back_nothing(pit):
    p = pit()
    guard = Loss()
    guard.demands = TradingState.REDUCING
    engine = await p.open(guards=[guard])
    await engine.place(p.buy("W1", 9000))
    await p.hours.during(engine.flatten("end of day"))
    assert engine.core.orders["W1"].is_open, "nothing is held of its contract"
    guard.most = -1
    await p.hours.run(1.1)
    assert engine.core.orders["W1"].ord_status is OrdStatus.CANCELED
    assert "guard:day_loss" in p.alarms()
    guard.most = 10**12
    await p.hours.run(2.1)
    assert (engine.core.book.state, engine.core.book.state_reason) == (TradingState.REDUCING, "flatten: end of day")


async def test_a_halt_over_a_flatten_gives_back_what_flatten_took_after_a_kill_too(pit):
    p = pit()
    guard = Loss()
    engine = await p.open(guards=[guard])
    await p.hours.during(engine.flatten("end of day"))
    guard.most = -1
    await p.hours.run(1.1)
    assert engine.core.book.state is TradingState.HALTED
    await p.crash()
    engine = await p.open(guards=[guard])
    await p.hours.run(1.1)
    assert engine.core.book.state is TradingState.HALTED
    guard.most = 10**12
    await p.hours.run(1.1)
    assert (engine.core.book.state, engine.core.book.state_reason) == (TradingState.REDUCING, "flatten: end of day")
    p.verdict()


async def test_what_is_taken_under_a_guards_halt_stands_when_it_ends(pit):
    p = pit()
    guard = Loss()
    guard.most = -1
    engine = await p.open(guards=[guard])
    await p.hours.run(1.1)
    await p.hours.during(engine.flatten("enough"))
    assert engine.core.book.state_reason.startswith("day_loss: ")
    guard.most = 10**12
    await p.hours.run(1.1)
    assert (engine.core.book.state, engine.core.book.state_reason) == (TradingState.REDUCING, "flatten: enough")
    guard.most = -1
    await p.hours.run(1.1)
    (engine.folder / "HALT").touch()
    await p.hours.run(0.2)
    guard.most = 10**12
    await p.hours.run(1.1)
    assert engine.core.book.state is TradingState.HALTED
    assert "the file flag" in engine.core.book.state_reason
    (engine.folder / "HALT").unlink()
    await engine.resume("go on")
    assert engine.core.taken == (TradingState.ACTIVE, "go on")
    p.verdict()


async def test_a_guard_that_fails_ends_no_watch_and_is_logged_once(pit, caplog):
    p = pit()
    guard = Loss()
    engine = await p.open(guards=[guard])
    guard.fault = "no figures"
    await p.hours.run(3)
    logged = [r.getMessage() for r in caplog.records if r.name == "toolkit.watch"]
    assert logged == ["account ACC: a look at the account failed: no figures"]
    (engine.folder / "HALT").touch()
    await p.hours.run(0.2)
    assert engine.core.book.state is TradingState.HALTED
    guard.fault, seen = "", len(guard.facts)
    await p.hours.run(2)
    assert len(guard.facts) > seen


async def test_a_demand_that_could_not_be_enforced_is_enforced_at_the_next_look(pit, monkeypatch):
    p = pit()
    guard = Loss()
    engine = await p.open(guards=[guard])
    whole, fails = engine.brakes.set_state, [1]

    async def set_state(*words, **more):
        if fails:
            fails.pop()
            raise Refused("the engine is stopped")
        await whole(*words, **more)

    monkeypatch.setattr(engine.brakes, "set_state", set_state)
    guard.most = -1
    await p.hours.run(2.2)
    assert engine.core.book.state is TradingState.HALTED
    assert p.alarms().count("guard:day_loss") == 1


async def test_a_day_that_cannot_be_opened_ends_no_watch_and_the_flag_halts_after_it(pit, monkeypatch, caplog):
    p = pit()
    engine = await p.open()
    opens, fails = engine._open, [1, 2, 3]

    async def full():
        if fails:
            fails.pop()
            raise BadData("disk full")
        await opens()

    monkeypatch.setattr(engine, "_open", full)
    p.hours.now_ns += 86_400 * 10**9
    await p.hours.run(1.2)
    assert engine.pen is None
    (engine.folder / "HALT").touch()
    await p.hours.run(1)
    logged = [r.getMessage() for r in caplog.records if r.name == "toolkit.watch"]
    assert logged == ["account ACC: the new day cannot be opened: disk full"]
    assert "new_day" not in engine.watch._alarmed, "no pen took it"
    await p.hours.run(4)
    assert (engine.state, engine.core.book.state) == ("ready", TradingState.HALTED)
    assert not any(loop.done() for loop in engine.watch._loops)
    (engine.folder / "HALT").unlink()
    await engine.resume("go on")
    (engine.folder / "HALT").touch()
    await p.hours.run(0.2)
    assert engine.core.book.state is TradingState.HALTED


async def test_a_guards_memory_survives_a_kill(pit):
    p = pit()
    guard = Loss()
    engine = await p.open(guards=[guard])
    await engine.place(p.buy("A1", 10100))
    await p.hours.run(1.1)
    assert guard.heard
    await p.crash()
    again = Loss()
    await p.open(guards=[again])
    assert again.heard == guard.heard


async def test_a_fill_is_shown_to_the_guards_at_the_next_beat(pit):
    p = pit()
    guard = Loss()
    engine = await p.open(guards=[guard])
    await p.hours.run(1.05)
    seen = len(guard.facts)
    await engine.place(p.buy("A1", 10100))
    await p.hours.run(0.15)
    assert len(guard.facts) == seen + 1


async def test_an_unknown_order_alarms_after_two_seconds_and_the_book_is_read_each_second(pit):
    p = pit()
    engine = await p.open(monitor=Monitor())
    p.broker.muted = True
    p.broker.faults["place"] = ["cut-before"]
    await engine.place(p.buy("A1"))
    await p.hours.run(3.2)
    assert "unknown" in " ".join(p.alarms())
    before = p.broker.reads
    await p.hours.run(5)
    assert p.broker.reads - before >= 5


async def test_the_monitor_sees_each_stage_in_order(pit):
    stages = []

    class Ear(Monitor):
        def on_stage(self, cl_ord_id, stage, at_ns):
            stages.append((cl_ord_id, stage))
            super().on_stage(cl_ord_id, stage, at_ns)

    p = pit()
    engine = await p.open(monitor=Ear())
    await engine.place(p.buy("A1", 10100))
    await p.hours.calm()
    assert [s for c, s in stages if c == "A1"] == ["signal", "risk", "journal", "wire", "ack", "fill"]
    assert engine.monitor.latency()["wire"].n == 1


async def test_the_monitor_measures_from_the_market_of_the_decision(pit):
    p = pit()
    engine = await p.open(monitor=Monitor())
    engine.core.book.add(p.instruments)
    p.quotes(100.0)
    await engine.place(p.buy("A1", 10100))
    p.quotes(110.0)
    await p.hours.calm()
    (done,) = engine.monitor.outcomes
    assert done.arrival == pytest.approx(75 * 0.5)


async def test_books_that_cannot_be_read_alarm_once_and_reading_goes_on(pit):
    p = pit()
    engine = await p.open()
    p.broker.link = "down"
    await p.hours.run(25)
    assert p.alarms() == ["books"]
    p.broker.link = "ready"
    await p.broker.elsewhere("K1", p.call, Side.BUY, 75, 9000)
    await p.hours.run(6)
    assert engine.core.orders["K1"].ord_status is OrdStatus.NEW


async def test_a_stream_that_breaks_is_opened_again(pit, monkeypatch):
    p = pit()
    opened = []
    whole = p.broker.updates

    async def updates():
        opened.append(1)
        if len(opened) < 3:
            raise Retryable("cut")
        async for report in whole():
            yield report

    monkeypatch.setattr(p.broker, "updates", updates)
    engine = await p.open()
    await p.hours.run(5)
    assert len(opened) == 3
    await engine.place(p.buy("A1", 10100))
    await p.hours.calm()
    assert engine.core.orders["A1"].ord_status is OrdStatus.FILLED


async def test_the_day_turns_over_in_a_running_engine(pit):
    p = pit()
    engine = await p.open()
    heard = []

    async def listen():
        async for event in engine.listen():
            heard.append((event.seq, event.kind))

    task = asyncio.ensure_future(listen())
    await engine.place(p.buy("A1", 10100))
    await p.hours.calm()
    first = engine.journal
    p.broker._orders.clear()
    p.hours.now_ns += 86_400 * 10**9
    await p.hours.run(2)
    assert engine.state == "ready"
    assert engine.journal.day == "2025-08-30"
    assert engine.journal._prev_hash == first.last_hash
    assert engine.core.book.net == {p.call: 75}
    assert (await engine.place(p.buy("B1"))).ord_status is OrdStatus.DENIED
    await p.hours.run(1)
    assert (1, "open") in heard[3:]
    await engine.stop()
    await p.hours.run(1)
    await asyncio.wait_for(task, 1)


async def test_cancels_of_many_orders_are_spread_under_the_limit(pit):
    p = pit()
    engine = await p.open()
    for n in range(30):
        await engine.place(p.buy(f"A{n}", 9000 + 5 * n))
    await p.hours.calm()
    from toolkit.risk.limits import Limits

    await engine.perform(engine.core.set_limits(p.hours.now_ns, Limits(check_margin=False)))
    await p.hours.run(2)
    p.broker.sent.clear()
    await p.hours.during(engine.cancel_all())
    await p.hours.calm()
    assert engine.core.open_orders() == ()
    times = [at for kind, _, at in p.broker.sent if kind == "cancel"]
    assert len(times) == 30
    assert all(sum(a <= t < a + 10**9 for t in times) <= 10 for a in times)
    assert times[-1] - times[0] < 4 * 10**9


async def test_a_runaway_is_denied_not_queued_and_a_cancel_still_gets_through(pit):
    """R20's part of the engine."""
    p = pit()
    from toolkit.risk.limits import Limits

    p.limits = Limits(check_margin=False)
    engine = await p.open()
    work = [engine.place(p.buy(f"A{n}", 9000 + 5 * (n % 200))) for n in range(300)]
    done = await asyncio.gather(*work)
    assert sum(o.ord_status is not OrdStatus.DENIED for o in done) == 8
    await engine.cancel("A0")
    await p.hours.run(10)
    assert [kind for kind, _, _ in p.broker.sent].count("place") == 8
    assert engine.core.orders["A0"].ord_status is OrdStatus.CANCELED


async def test_a_market_order_carries_its_protection(pit):
    p = pit()
    engine = await p.open()
    order = await engine.place(p.buy("A1", None, ord_type=OrdType.MARKET))
    assert order.request.price_p is not None


async def test_a_step_of_this_machines_time_moves_nothing_and_is_told(pit, monkeypatch):
    """R18: the engine lives on monotonic time; a step alarms, one beyond half a minute stops orders."""
    p = pit()
    engine = await p.open()
    shift = [0]
    steady = SteadyClock(lambda: p.hours.now_ns + shift[0], p.hours.mono)
    monkeypatch.setattr(engine, "_clock", steady)
    before = engine.now_ns()
    shift[0] = 3600 * 10**9
    await p.hours.run(1.2)
    assert engine.now_ns() - before < 2 * 10**9
    assert p.alarms() == ["clock"]
    with pytest.raises(Refused, match="3600 s off"):
        await engine.place(p.buy("A1"))
    shift[0] = -86_400 * 10**9
    assert engine.now_ns() >= before
    shift[0] = 0
    assert (await engine.place(p.buy("A1"))).is_open
    stamps = [e.ts_ns for e in engine.events()]
    assert stamps == sorted(stamps)


async def test_nothing_grows_beside_the_orders_themselves(pit):
    p = pit()
    engine = await p.open(monitor=Monitor())
    for n in range(200):
        p.hours.now_ns += 3 * 10**9
        p.hours.mono_ns += 3 * 10**9
        p.quotes()
        side = Side.BUY if n % 2 == 0 else Side.SELL
        await engine.place(p.buy(f"A{n}", None, side=side, ord_type=OrdType.MARKET))
        await p.hours.calm()
        await engine.reconcile()
    assert engine.core.open_orders() == ()
    for kept in (engine._placing, engine.wire._last, engine.core._open, engine.core.book.resting, engine.books._missed):
        assert not kept
    assert len(engine._tasks) <= 1
    assert len(engine.wire._sent) <= 21
    assert len(engine.pen._took) <= 200
    assert len(engine.books.touched) <= 1
    p.verdict()


async def test_what_the_broker_says_together_is_one_commit(pit):
    one = pit()
    engine = await one.open()
    before = engine.pen.commits
    await engine.place(one.buy("T1", price_p=10_100))
    await one.hours.calm()
    assert engine.core.orders["T1"].cum_qty == 75
    assert [e.kind for e in engine.events(1)] == ["order", "report", "report", "report"]
    assert engine.pen.commits - before == 2  # the intent; then acknowledgement, new and trade
