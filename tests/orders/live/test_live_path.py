"""The path of every effect at its edges: a stop, a journal that is gone, a report that cannot be written."""

from __future__ import annotations

import asyncio

import pytest

from toolkit.errors import Refused
from toolkit.types import ExecType, ExecutionReport, OrdStatus


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
