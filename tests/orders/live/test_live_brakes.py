"""Halts, the file flag and flattening, on a simulated exchange."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from toolkit.brokers.rate import Quota, RateLimiter, Throttle, leave
from toolkit.errors import Refused
from toolkit.risk.limits import TradingState
from toolkit.types import Modify, OrdStatus, OrdType, Side


async def test_a_halt_stops_new_exposure_at_once_keeps_protection_and_survives_a_kill(pit):
    """R21."""
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("S1", 9900, side=Side.SELL, symbol=p.put))
    await engine.place(p.buy("P1", 9000, symbol=p.put))
    await engine.place(p.buy("A1"))
    racing = asyncio.ensure_future(engine.place(p.buy("A2", 9005)))
    await engine.halt("enough")
    await p.hours.calm()
    assert (await racing).ord_status in (OrdStatus.CANCELED, OrdStatus.DENIED, OrdStatus.PENDING_CANCEL)
    assert engine.core.orders["A1"].ord_status is OrdStatus.CANCELED
    assert engine.core.orders["P1"].ord_status is OrdStatus.NEW
    assert (await engine.place(p.buy("A3", 9010))).ord_status is OrdStatus.DENIED
    await p.crash()
    engine = await p.open()
    assert engine.core.book.state is TradingState.HALTED
    assert (await engine.place(p.buy("A4", 9015))).ord_status is OrdStatus.DENIED
    await engine.resume("checked")
    assert (await engine.place(p.buy("A5", 9020))).is_open
    await engine.halt("all", cancel_all=True)
    await p.hours.calm()
    assert engine.core.open_orders() == ()
    p.verdict()


async def test_a_file_flag_halts_within_a_beat_and_blocks_the_way_back(pit):
    p = pit()
    engine = await p.open()
    (engine.folder / "HALT").touch()
    await p.hours.run(0.1)
    assert engine.core.book.state is TradingState.HALTED
    with pytest.raises(Refused, match="remove it first"):
        await engine.resume("now")
    await p.crash()
    engine = await p.open()
    assert engine.core.book.state is TradingState.HALTED
    (engine.folder / "HALT").unlink()
    await engine.resume("now")
    assert engine.core.book.state is TradingState.ACTIVE


async def test_an_order_on_its_way_when_the_halt_comes_does_not_leave(pit, monkeypatch):
    p = pit()
    engine = await p.open()
    task = asyncio.ensure_future(engine.place(p.buy("A1")))
    while "A1" not in engine.core.orders:
        await asyncio.sleep(0)
    engine.later(engine.core.set_state(p.hours.now_ns, TradingState.HALTED, "now", cancel=False))
    order = await task
    assert (order.ord_status, order.text) == (OrdStatus.DENIED, "trading was halted before it left: now")
    assert p.broker.sent == []


def limited(p):
    """One message a second at the broker's door, as its client waits for it."""
    place, throttle = p.broker.place, Throttle(RateLimiter((Quota("orders", 1, 10**9),)), p.hours.mono, p.hours.sleep)

    async def waits(request):
        await throttle.enter("orders", 5, order=True)
        leave()
        return await place(request)

    p.broker.place = waits


async def test_an_order_that_waits_for_the_brokers_limits_when_the_halt_comes_does_not_leave(pit):
    p = pit()
    engine = await p.open()
    limited(p)
    await engine.place(p.buy("A1", 9000))
    waits = asyncio.ensure_future(engine.place(p.buy("A2", 9005)))
    await p.hours.run(0.3)
    assert not waits.done()
    await p.hours.during(engine.halt("now"))
    order = await p.hours.during(waits)
    assert (order.ord_status, order.text) == (OrdStatus.DENIED, "trading was halted before it left: now")
    assert [name for kind, name, _ in p.broker.sent if kind == "place"] == ["A1"]
    assert engine.wire.sent_today == engine.wire.messages_60s() == len(p.broker.sent)
    await p.crash()
    await p.open()
    p.verdict()


async def test_what_reduces_leaves_after_its_wait_though_trading_was_halted_meanwhile(pit):
    p = pit()
    engine = await p.open()
    await p.hours.during(engine.place(p.buy("L1", 10100)))
    await p.hours.calm()
    limited(p)
    await engine.place(p.buy("A1", 9000))
    waits = asyncio.ensure_future(engine.place(p.buy("S1", 9900, side=Side.SELL)))
    await p.hours.run(0.3)
    await p.hours.during(engine.halt("now"))
    order = await p.hours.during(waits)
    assert order.ord_status is not OrdStatus.DENIED
    assert ("place", "S1") in [(kind, name) for kind, name, _ in p.broker.sent]


async def test_a_change_that_waits_behind_its_order_when_the_halt_comes_does_not_leave(pit):
    p = pit()
    engine = await p.open()
    place = p.broker.place

    async def slow(request):
        order_id = await place(request)
        await p.hours.sleep(2.0)
        return order_id

    p.broker.place = slow
    placing = asyncio.ensure_future(engine.place(p.buy("A1", 9000)))
    await p.hours.run(0.5)
    asked = Modify(cl_ord_id="A1", order_qty=150, price_p=9005)
    changing = asyncio.ensure_future(engine.modify(asked))
    await p.hours.run(0.2)
    await p.hours.during(engine.halt("now"))
    with pytest.raises(Refused, match="halted before it left: now"):
        await p.hours.during(changing)
    await p.hours.during(placing)
    assert [kind for kind, _, _ in p.broker.sent if kind == "modify"] == []
    await p.crash()
    await p.open()
    p.verdict()


async def test_flatten_buys_shorts_back_first_in_slices_and_reads_the_net_before_each_child(pit):
    p = pit()
    engine = await p.open()
    await p.hours.during(engine.place(p.buy("L1", None, ord_type=OrdType.MARKET, order_qty=150)))
    await engine.place(p.buy("S1", None, ord_type=OrdType.MARKET, symbol=p.put, side=Side.SELL, order_qty=3000))
    await p.hours.calm()
    await engine.place(p.buy("W1", 9000, symbol=p.put))
    p.quotes()
    reads = p.broker.reads
    orders = await p.hours.during(engine.flatten("end of day"))
    assert [(o.request.symbol, str(o.request.side), o.request.order_qty) for o in orders] == [
        (p.put, "BUY", 1800), (p.put, "BUY", 1200), (p.call, "SELL", 150)
    ]  # fmt: skip
    assert {o.ord_status for o in orders} == {OrdStatus.FILLED}
    assert p.broker.reads - reads >= 3
    assert engine.core.book.net == {}
    assert engine.core.orders["W1"].ord_status is OrdStatus.CANCELED
    assert engine.core.book.state is TradingState.REDUCING
    p.verdict()


async def test_flatten_never_reverses_a_position_that_was_closed_elsewhere(pit):
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("S1", 9900, symbol=p.put, side=Side.SELL, order_qty=75))
    await p.broker.elsewhere("K1", p.put, Side.BUY, 75, 10100)
    await engine.halt("first")
    orders = await p.hours.during(engine.flatten("late"))
    assert orders == ()
    assert engine.core.book.state is TradingState.HALTED


async def hold(p, units):
    """A long position, bought at the offer."""
    p.quotes(qty=15000)
    await p.hours.during(p.engine.place(p.buy("L1", None, ord_type=OrdType.MARKET, order_qty=units)))
    await p.hours.calm()
    p.quotes(qty=15000)
    assert p.engine.core.book.net == {p.call: units}


def sell(p, cl_ord_id, price_p, **more):
    return p.buy(cl_ord_id, price_p, side=Side.SELL, **more)


async def test_a_halt_keeps_of_two_resting_exits_what_cannot_reverse_the_position(pit):
    p = pit()
    engine = await p.open()
    await hold(p, 150)
    for name, price_p, qty in (("T1", 11000, 75), ("T2", 10500, 150), ("T3", 10700, 75)):
        await engine.place(sell(p, name, price_p, order_qty=qty))
    await p.hours.calm()
    await p.hours.during(engine.halt("enough"))
    await p.hours.calm()
    assert [o.cl_ord_id for o in engine.core.open_orders()] == ["T2"], "the nearest, for all that is held"
    told = [e.payload["text"] for e in engine.events() if e.kind == "alarm" and e.payload["kind"] == "protection"]
    assert told == ["halted: T2 protect positions and stay; they may only reduce"]
    p.verdict()


async def test_flatten_waits_for_its_cancels_before_the_first_child(pit, monkeypatch):
    p = pit()
    engine = await p.open()
    await hold(p, 150)
    await engine.place(sell(p, "T1", 11000, order_qty=150))
    cancel = p.broker.cancel

    async def slow(cl_ord_id):
        await p.hours.sleep(1.5)
        return await cancel(cl_ord_id)

    monkeypatch.setattr(p.broker, "cancel", slow)
    orders = await p.hours.during(engine.flatten("end of day"))
    assert [(o.request.order_qty, o.ord_status) for o in orders] == [(150, OrdStatus.FILLED)]
    assert engine.core.book.net == {}
    assert engine.core.orders["T1"].ord_status is OrdStatus.CANCELED


async def test_a_child_rests_before_it_is_chased_and_patience_counts_in_time(pit):
    """Eight times as much is held as the market shows, and the market takes more only each fourth second."""
    p = pit()
    engine = await p.open()
    await hold(p, 600)
    p.quotes(qty=75)
    began = p.hours.mono_ns

    async def market():
        for n in itertools.count():
            await p.hours.sleep(4.0)
            p.quotes(100.0 - n % 2, qty=75)

    task = asyncio.ensure_future(market())
    orders = await p.hours.during(engine.flatten("end of day"))
    task.cancel()
    assert engine.core.book.net == {}
    assert "flatten" not in p.alarms()
    placed = [at for kind, name, at in p.broker.sent if kind == "place" and name in {o.cl_ord_id for o in orders}]
    assert min(b - a for a, b in itertools.pairwise(placed)) >= 2 * 10**9, "each rested"
    assert 25 * 10**9 < p.hours.mono_ns - began < 60 * 10**9
    assert {o.ord_status for o in orders} <= {OrdStatus.FILLED, OrdStatus.CANCELED}
    p.verdict()


async def test_flatten_works_every_short_at_once_and_the_longs_after_them(pit):
    """A thin market gives one lot a second of each contract: four lots of two shorts take no longer than of one."""
    p = pit()
    engine = await p.open()
    await hold(p, 150)
    for symbol in (p.put, p.wing):
        await engine.place(sell(p, f"S{symbol[-8:-3]}{symbol[-2:]}", 9900, symbol=symbol, order_qty=300))
    await p.hours.calm()
    p.quotes(qty=75)

    async def market():
        for n in itertools.count(1):
            await p.hours.sleep(1.0)
            p.quotes(100.0 + n % 2, qty=75)

    task = asyncio.ensure_future(market())
    began = p.hours.mono_ns
    orders = await p.hours.during(engine.flatten("end of day"))
    task.cancel()
    assert engine.core.book.net == {}
    sides = [o.request.side for o in orders]
    assert sides == sorted(sides, key=[Side.BUY, Side.SELL].index)
    assert {o.request.symbol for o in orders[:2]} == {p.put, p.wing}
    assert p.hours.mono_ns - began < 12 * 10**9
    p.verdict()


async def test_flatten_gives_up_after_its_patience_and_tells_what_is_left(pit):
    p = pit()
    engine = await p.open()
    await hold(p, 150)
    p.market(100.0, 0.0)
    began = p.hours.mono_ns
    orders = await p.hours.during(engine.flatten("end of day"))
    assert 30 * 10**9 <= p.hours.mono_ns - began < 40 * 10**9
    assert {o.ord_status for o in orders} == {OrdStatus.CANCELED}
    texts = [e.payload["text"] for e in engine.events(most=10**6) if e.kind == "alarm"]
    last = orders[-1].cl_ord_id
    assert texts[-1] == (
        f"not closed: +150 {p.call} (its last order {last} is canceled); look at the last orders, or close at the broker"
    )
    assert engine.core.open_orders() == ()
    p.verdict()


async def test_flatten_sends_nothing_beside_a_child_whose_answer_is_unknown(pit):
    p = pit()
    engine = await p.open()
    await hold(p, 150)
    p.broker.muted = True
    p.broker.faults["place"] = ["late:8"]
    p.market(100.0, 0.0)
    task = asyncio.ensure_future(engine.flatten("end of day"))
    await p.hours.run(7)
    assert sum(kind == "place" for kind, _, _ in p.broker.sent) == 2, "the position's own and one child"
    p.quotes()
    await p.hours.during(task)
    assert engine.core.book.net == {}
    assert sum(kind == "place" for kind, _, _ in p.broker.sent) == 2
    p.verdict()


async def test_flatten_says_that_the_positions_cannot_be_read(pit):
    p = pit()
    engine = await p.open()
    await hold(p, 150)
    p.broker.link = "down"
    assert await p.hours.during(engine.flatten("end of day")) == ()
    texts = [e.payload["text"] for e in engine.events() if e.kind == "alarm"]
    assert texts[-1].startswith(
        "the broker's positions cannot be read (the broker does not answer); look at the broker"
    )
