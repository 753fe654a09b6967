"""The path of every effect at its edges: a stop, a journal that is gone, a report that cannot be written."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from toolkit.errors import Refused
from toolkit.orders.effects import SendNew
from toolkit.risk.limits import TradingState
from toolkit.types import ExecType, ExecutionReport, Modify, OrdStatus, Place, Side


async def test_what_was_decided_leaves_before_the_engine_stops(pit):
    p = pit()
    engine = await p.open()
    engine.core.book.add(p.instruments)
    p.quotes()
    engine.later(engine.core.submit(engine.now_ns(), p.buy("A1")))
    await p.hours.during(engine.stop())
    assert [row[:2] for row in p.broker.sent] == [("place", "A1")]
    assert (await p.open()).core.orders["A1"].ord_status is OrdStatus.NEW


async def test_what_is_durable_only_once_the_engine_let_go_does_not_leave(pit):
    p = pit()
    engine = await p.open(watching=False)
    engine.core.book.add(p.instruments)
    p.quotes()
    work = asyncio.ensure_future(engine.perform(engine.core.submit(engine.now_ns(), p.buy("A1"))))
    await asyncio.sleep(0)
    engine._let_go()
    with pytest.raises(Refused, match="nothing was sent"):
        await work
    assert p.broker.sent == []
    assert (await p.open(watching=False)).core.orders["A1"].request.price_p == 9000


@pytest.mark.parametrize("source", ["feed", "quote"])
async def test_a_quote_by_a_clock_ahead_of_ours_counts_as_received_now(pit, source):
    """Two brokers' clocks differ by seconds, the machine's and a steady one by microseconds."""
    p = pit()
    engine = await p.open()
    engine.core.book.add(p.instruments)
    ahead_ns = p.hours.now_ns + 3_700_000_000
    asked = p.broker.quote

    async def quote(symbols):
        known = {} if source == "feed" else await asked(symbols)
        return {s: msgspec.structs.replace(q, ts_ns=ahead_ns) for s, q in known.items()}

    p.broker.quote = quote
    if source == "feed":
        engine.on_quotes(ahead_ns, *p._columns(100.0, 15000.0))
    placed = await p.hours.during(engine.place(p.buy("A1")))
    assert placed.ord_status in (OrdStatus.NEW, OrdStatus.PENDING_NEW), placed.text
    assert engine.core.book.quote(p.instruments[0]).ts_ns == p.hours.now_ns


async def long(pit):
    """One lot is held."""
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("L1", 10100))
    await p.hours.calm()
    p.quotes()
    assert engine.core.book.net == {p.call: 75}
    return p, engine


async def stopped(p, effects, state):
    """Have something decided, and trading stopped before its record is written."""
    engine = p.engine
    engine.later(effects)
    engine.later(engine.core.set_state(engine.now_ns(), state, "enough", cancel=False))
    await p.hours.calm()


@pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
async def test_what_adds_and_waits_for_its_record_when_trading_stops_does_not_leave(pit, state):
    """R21: a plain order, and a child of an algorithm that works."""
    p, engine = await long(pit)
    await p.hours.during(engine.place_algo([p.buy("T1", 10100, order_qty=1125)], "twap duration_s=600 slices=15"))
    await p.hours.run(1)
    p.quotes()
    core, sent, net = engine.core, len(p.broker.sent), dict(engine.core.book.net)
    place = Place(symbol=p.call, side=Side.BUY, order_qty=75, price_p=10095)
    child = core.on_intents(engine.now_ns(), [place], algo="twap", parent="T1")
    await stopped(p, [*child, *core.submit(engine.now_ns(), p.buy("A1", 10110))], state)
    name = next(e.request.cl_ord_id for e in child if isinstance(e, SendNew))
    assert p.broker.sent[sent:] == []
    assert {core.orders[n].ord_status for n in (name, "A1")} == {OrdStatus.DENIED}
    assert all("enough" in core.orders[n].text for n in (name, "A1"))
    assert core.book.net == net
    p.verdict()


@pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
async def test_what_only_shrinks_leaves_though_trading_stopped_before_its_record_was_written(pit, state):
    p, engine = await long(pit)
    await stopped(p, engine.core.submit(engine.now_ns(), p.buy("S1", 9900, side=Side.SELL)), state)
    assert engine.core.orders["S1"].ord_status is OrdStatus.FILLED
    assert engine.core.book.net == {}
    p.verdict()


async def test_a_change_that_adds_and_waits_when_trading_stops_does_not_leave(pit):
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("A1"))
    more = engine.core.modify(engine.now_ns(), Modify(cl_ord_id="A1", order_qty=150, price_p=10100))
    await stopped(p, more, TradingState.REDUCING)
    assert [row[0] for row in p.broker.sent] == ["place"]
    order = engine.core.orders["A1"]
    assert (order.ord_status, order.request.order_qty, order.request.price_p) == (OrdStatus.NEW, 75, 9000)
    p.verdict()


async def test_a_report_that_cannot_be_written_keeps_none_of_those_before_it(pit):
    p = pit()
    engine = await p.open(watching=False)
    await engine.place(p.buy("A1"))
    await engine.place(p.buy("A2", 9005))
    now = p.hours.now_ns
    fields = {"recv_ns": now, "ts_ns": now, "exec_type": ExecType.NEW}
    good = ExecutionReport(cl_ord_id="A1", exec_id="n1", order_id="X1", **fields)
    bad = ExecutionReport(cl_ord_id="A2", exec_id="n2", order_id=object(), **fields)
    with pytest.raises(TypeError):
        await engine.take_reports([good, bad])
    await p.hours.calm()
    assert [e.payload["exec_id"] for e in engine.events(most=999) if e.payload.get("exec_id") == "n1"] == ["n1"]
    assert engine.core.orders["A1"].ord_status is OrdStatus.NEW
