"""Cancels and modifications of Kite leave whatever the order book does, on the simulated wire."""

from __future__ import annotations

import pytest

from toolkit.errors import Refused, Unknown
from toolkit.types import Modify, OrderRequest, OrdType, Side

CE = "NIFTY 14JUL2026 25000 CE"


def order(cl_ord_id, **more):
    fields = {"symbol": CE, "side": Side.BUY, "order_qty": 65, "price_p": 9000, "account": "SIM001", "broker": "kite"}
    return OrderRequest(cl_ord_id=cl_ord_id, **{**fields, **more})


def calls(sim, route):
    """How often a call came, as the simulator's own record has it."""
    return sum(row["call"].startswith(route) for row in sim.record("call"))


async def status(broker, cl_ord_id):
    return {o.cl_ord_id: str(o.ord_status) for o in await broker.orders()}[cl_ord_id]


@pytest.fixture
async def sim(kite_sim):
    return await kite_sim()


async def test_a_cancel_right_after_placing_reads_no_book(sim):
    broker = sim.broker()
    await broker.place(order("A1"))
    before = calls(sim, "GET /orders")
    await broker.cancel("A1")
    assert calls(sim, "GET /orders") == before
    assert await status(broker, "A1") == "canceled"


async def test_a_cancel_said_again_leaves_at_once_though_the_book_hangs(sim):
    broker = sim.broker(read_s=0.2, total_s=0.5)
    await broker.place(order("A1"))
    await broker.orders()
    before = calls(sim, "GET /orders")
    sim.fault("status:503@DELETE /orders#1")
    with pytest.raises(Unknown):
        await broker.cancel("A1")
    sim.fault("hang@GET /orders")
    await broker.cancel("A1")
    assert calls(sim, "GET /orders") == before
    sim.server.faults.faults.clear()
    assert await status(broker, "A1") == "canceled"


async def test_a_stop_that_waits_for_its_trigger_is_canceled_without_the_book(sim):
    broker = sim.broker(read_s=0.2, total_s=0.5)
    await broker.place(order("A1", side=Side.SELL, ord_type=OrdType.STOP_LIMIT, stop_px_p=7000, price_p=6500))
    assert await status(broker, "A1") == "new"
    before = calls(sim, "GET /orders")
    await broker.cancel("A1")
    assert calls(sim, "GET /orders") == before
    assert await status(broker, "A1") == "canceled"


async def test_modifications_one_after_the_other_read_no_book_and_state_everything(sim):
    broker = sim.broker()
    await broker.place(order("A1"))
    before = calls(sim, "GET /orders")
    await broker.modify(Modify(cl_ord_id="A1", order_qty=130))
    await broker.modify(Modify(cl_ord_id="A1", order_qty=130, price_p=9100))
    await broker.modify(Modify(cl_ord_id="A1", order_qty=195))
    assert calls(sim, "GET /orders") == before
    found = next(o for o in await broker.orders() if o.cl_ord_id == "A1")
    assert (found.request.order_qty, found.request.price_p) == (195, 9100)


async def test_what_has_ended_and_what_never_was_is_refused(sim):
    broker = sim.broker(read_s=0.2, total_s=0.5)
    await broker.place(order("A1"))
    await broker.cancel("A1")
    for _ in range(2):
        with pytest.raises(Refused, match="order A1 is already canceled"):
            await broker.cancel("A1")
    with pytest.raises(Refused, match="no order 'A2' today"):
        await broker.cancel("A2")
    sim.fault("hang@GET /orders")
    with pytest.raises(Refused, match="nothing was sent"):
        await broker.cancel("A2")


async def test_a_cancel_of_an_order_that_may_be_placed_names_no_other_order(sim):
    broker = sim.broker(read_s=0.2, total_s=0.5)
    await broker.place(order("UNK1"))
    sim.fault("cut-before@POST /orders#1")
    with pytest.raises(Unknown):
        await broker.place(order("UNK2"))
    with pytest.raises(Refused, match="order UNK2 was sent and kite's book does not show it"):
        await broker.cancel("UNK2")
