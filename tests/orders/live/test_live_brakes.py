"""Halts, the file flag and flattening, on a simulated exchange."""

from __future__ import annotations

import asyncio

import pytest

from toolkit.errors import Refused
from toolkit.risk.limits import TradingState
from toolkit.types import OrdStatus, OrdType, Side


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
    assert (order.ord_status, order.text) == (OrdStatus.DENIED, "trading was halted before it left")
    assert p.broker.sent == []


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
