"""The live engine on a simulated XTS: the same acts, judged by a second reader of the broker's book."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from toolkit.orders.live import LiveEngine
from toolkit.orders.settings import EngineSettings
from toolkit.risk.limits import Limits
from toolkit.types import OrderRequest, OrdStatus, Side

CE = "NIFTY 14JUL2026 25000 CE"
QUICK = EngineSettings(poll_s=0.02, answer_s=2.0, settle_s=0.0, book_s=0.2, positions_s=0.5)


class Rig:
    def __init__(self, sim, folder):
        self.sim, self.folder, self.engine = sim, folder, None

    def order(self, name, price_p=9000, **more):
        fields = {"symbol": CE, "side": Side.BUY, "order_qty": 65, "price_p": price_p, "account": "SIM001"}
        return OrderRequest(**{"cl_ord_id": name, "broker": "xts-pro", **fields, **more})

    async def open(self):
        broker = self.sim.broker()
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

    async def differences(self):
        core, found = self.engine.core, []
        for there in await self.engine.broker.orders():
            ours = core.orders.get(there.cl_ord_id)
            mine = None if ours is None else (ours.cum_qty, str(ours.ord_status))
            if mine != (there.cum_qty, str(there.ord_status)):
                found.append((there.cl_ord_id, mine, there.cum_qty, str(there.ord_status)))
        return found

    async def agree(self, seconds=15.0):
        found = await self.differences()
        async with asyncio.timeout(seconds):
            while found:
                await asyncio.sleep(0.02)
                found = await self.differences()


@pytest.fixture
async def rig(xts_sim, tmp_path):
    made = Rig(await xts_sim(), tmp_path / "accounts")
    yield made
    if made.engine is not None and made.engine.state != "stopped":
        await made.engine.stop()


async def test_orders_fills_and_cancels_over_the_wire(rig):
    await rig.open()
    await rig.engine.place(rig.order("F1", 10100))
    await rig.engine.place(rig.order("W1", 8000))
    await rig.agree()
    assert rig.engine.core.book.net == {CE: 65}
    await rig.engine.cancel("W1")
    await rig.agree()
    assert rig.engine.core.orders["W1"].ord_status is OrdStatus.CANCELED
    assert sorted(f.last_qty for f in rig.engine.core.fills.values()) == [65]
    assert [e.payload for e in rig.engine.events(most=999) if e.kind == "difference"] == []


async def test_killed_in_a_stream_nothing_is_lost_or_doubled(rig):
    """R01, quick."""
    chance = random.Random(5)
    await rig.open()
    asked = 0
    for _ in range(5):
        work = []
        for _ in range(chance.randrange(2, 5)):
            asked += 1
            price = 10100 if chance.random() < 0.3 else 8000 + 5 * asked
            work.append(asyncio.ensure_future(rig.engine.place(rig.order(f"S{asked}", price))))
        work += [asyncio.ensure_future(rig.engine.cancel(o.cl_ord_id)) for o in rig.engine.core.open_orders()[:1]]
        await asyncio.wait(work, timeout=chance.random() * 0.1)
        await rig.crash()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await rig.open()
        assert rig.engine.state == "ready"
    rig.sim.advance(10)
    try:
        await rig.agree()
    except TimeoutError:
        pytest.fail(f"{await rig.differences()}")
    tags = [o.cl_ord_id for o in await rig.engine.broker.orders()]
    assert len(tags) == len(set(tags))
    assert all(tag.startswith("S") for tag in tags), "an order bears an id that is not ours: sent twice"
