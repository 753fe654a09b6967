"""The live engine on real sockets: a simulated Kite whose own book is the judge."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from toolkit.config import Secret
from toolkit.orders.live import LiveEngine
from toolkit.orders.settings import EngineSettings
from toolkit.risk.limits import Limits
from toolkit.types import Modify, OrderRequest, OrdStatus, Side

CE = "NIFTY 14JUL2026 25000 CE"
QUICK = EngineSettings(poll_s=0.02, answer_s=2.0, settle_s=0.0, book_s=0.2, positions_s=0.5)


def order(name, price_p=9000, **more):
    fields = {"symbol": CE, "side": Side.BUY, "order_qty": 65, "price_p": price_p, "account": "SIM001"}
    return OrderRequest(**{"cl_ord_id": name, "broker": "kite", **fields, **more})


class Rig:
    def __init__(self, sim, folder):
        self.sim, self.folder, self.engine = sim, folder, None

    async def open(self):
        broker = self.sim.broker(total_s=4.0, read_s=1.0)
        limits = Limits(check_margin=False, max_messages_per_s=10**6, max_cancels_per_s=10**6)
        fields = {"limits": limits, "engine": QUICK, "clock": broker.clock, "realm": self.sim.root}
        self.engine = LiveEngine(broker, "SIM001", folder=self.folder, **fields)
        await self.engine.start()
        return self.engine

    async def crash(self):
        engine = self.engine
        engine.watch.ended = True
        for task in [*engine.watch._loops, *engine._tasks, *engine.wire._last.values()]:
            task.cancel()
        engine._pen.backlog = []
        engine._pen.journal._db.close()
        os.close(engine._lease._file)
        engine._lease._file = -1
        engine._pen = None
        await engine.broker.close()

    async def until(self, true, seconds=10.0):
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.01)

    def differences(self):
        """Every order at the broker must be ours, once, with the same fills and state."""
        core = self.engine.core
        words = {"COMPLETE": "filled", "CANCELLED": "canceled", "REJECTED": "rejected", "OPEN": "new"}
        found = []
        for there in self.sim.app.book.orders.values():
            ours = core.orders.get(there.tag)
            theirs = (there.filled, there.value_p, words.get(there.status, there.status))
            mine = None if ours is None else (ours.cum_qty, ours.traded_value_p, str(ours.ord_status))
            if mine != theirs:
                found.append((there.tag, mine, theirs))
        return found

    def agrees(self):
        return not self.differences()

    def tags(self):
        return [o.tag for o in self.sim.app.book.orders.values()]


@pytest.fixture
async def rig(kite_sim, tmp_path):
    made = Rig(await kite_sim(), tmp_path / "accounts")
    yield made
    if made.engine is not None and made.engine.state != "stopped":
        await made.engine.stop()
    await made.engine.broker.close()


@pytest.mark.parametrize("seed", [11])
async def test_killed_in_a_stream_nothing_is_lost_or_doubled(rig, seed):
    """R01, quick: ten kills at random moments of a stream of orders, changes and cancels."""
    chance = random.Random(seed)
    await rig.open()
    asked = 0
    for _ in range(10):
        work = []
        for _ in range(chance.randrange(2, 6)):
            asked += 1
            price = 10100 if chance.random() < 0.3 else 8000 + 5 * asked
            work.append(asyncio.ensure_future(rig.engine.place(order(f"S{asked}", price))))
        for one in list(rig.engine.core.open_orders())[:2]:
            if chance.random() < 0.5:
                work.append(asyncio.ensure_future(rig.engine.cancel(one.cl_ord_id)))
            else:
                change = Modify(cl_ord_id=one.cl_ord_id, order_qty=130, price_p=one.request.price_p)
                work.append(asyncio.ensure_future(rig.engine.modify(change)))
        wanted = len(rig.sim.app.book.orders) + chance.randrange(0, 4)
        await asyncio.wait(work, timeout=chance.random() * 0.1)
        if chance.random() < 0.5:
            await rig.until(lambda wanted=wanted, work=work: len(rig.tags()) >= wanted or all(t.done() for t in work))
        await rig.crash()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await rig.open()
        assert rig.engine.state == "ready"
    rig.sim.advance(10)
    try:
        await rig.until(rig.agrees)
    except TimeoutError:
        pytest.fail(f"{rig.differences()}, {rig.engine.state}")
    assert len(rig.tags()) == len(set(rig.tags()))
    placed = [r["fields"]["tag"] for r in rig.sim.record("call") if r["call"].startswith("POST /orders")]
    assert len(placed) == len(set(placed)), "an order was sent twice"
    journaled = {e.cl_ord_id for e in rig.engine.events(most=10**6) if e.kind == "order"}
    assert set(placed) <= journaled


async def test_cuts_around_the_answer_over_the_wire(rig):
    """R02, quick."""
    await rig.open()
    for n, fault in enumerate(["cut-after", "html:502,after", "cut-before", "status:503"]):
        rig.sim.fault(f"{fault}@POST /orders#{n + 1}")
    for n in range(4):
        found = await rig.engine.place(order(f"C{n}", 8000 + 5 * n))
        assert found.ord_status is OrdStatus.UNKNOWN
    await rig.until(lambda: rig.engine.core.orders["C0"].ord_status is OrdStatus.NEW)
    await rig.until(lambda: rig.engine.core.orders["C1"].ord_status is OrdStatus.NEW)
    placed = [r["fields"]["tag"] for r in rig.sim.record("call") if r["call"].startswith("POST /orders")]
    assert len(placed) == len(set(placed))
    assert sorted(rig.tags()) == ["C0", "C1"]
    await rig.until(lambda: rig.engine.core.orders["C3"].ord_status is OrdStatus.REJECTED)
    assert rig.agrees()


async def test_a_token_that_dies_and_comes_back(rig):
    """R09: 0 sent while it is dead, everything read again after it is back."""
    await rig.open()
    for n in range(5):
        await rig.engine.place(order(f"T{n}", 8000 + 5 * n))
    rig.sim.app.expire()
    await rig.until(lambda: rig.engine.state == "auth_expired", 2)
    calls = len(rig.sim.record("call"))
    assert (await rig.engine.place(order("T9", 8100))).ord_status is OrdStatus.DENIED
    assert len(rig.sim.record("call")) == calls
    rig.engine.broker.link.renew(Secret(rig.sim.app.access_token))
    await rig.until(lambda: rig.engine.state == "ready", 5)
    assert (await rig.engine.place(order("T10", 8105))).ord_status in (OrdStatus.NEW, OrdStatus.PENDING_NEW)
    await rig.until(rig.agrees)


async def test_fills_and_orders_from_elsewhere_arrive_over_the_wire(rig):
    await rig.open()
    other = rig.sim.broker()
    await other.place(order("ELSE1", 10100))
    await other.close()
    await rig.until(lambda: "ELSE1" in rig.engine.core.orders and rig.engine.core.book.net == {CE: 65})
    await rig.engine.place(order("MINE1", 9900, side=Side.SELL))
    await rig.until(lambda: rig.engine.core.book.net == {})
    assert rig.agrees()
