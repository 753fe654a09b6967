"""The live engine on real sockets: a simulated Kite and a simulated XTS whose own books are the judges."""

from __future__ import annotations

import asyncio
import random

import pytest

from toolkit.brokers.tokens import TokenStore
from toolkit.brokers.xts_login import log_in
from toolkit.brokers.xts_session import forget_sessions
from toolkit.config import Secret
from toolkit.orders.live import LiveEngine
from toolkit.orders.settings import EngineSettings
from toolkit.risk.limits import Limits
from toolkit.types import Modify, OrderRequest, OrdStatus, Side

CE = "NIFTY 14JUL2026 25000 CE"
QUICK = EngineSettings(poll_s=0.02, answer_s=2.0, settle_s=0.0, book_s=0.2, positions_s=0.5)
PATIENCE = {"total_s": 4.0, "read_s": 1.0}


class Rig:
    """A live engine at a simulated broker."""

    def __init__(self, name, sim, folder, kill):
        self.name, self.sim, self.folder, self.kill, self.engine = name, sim, folder, kill, None
        self.tokens = TokenStore(folder.parent / "shared")

    def order(self, cl_ord_id, price_p=9000, **more):
        fields = {"symbol": CE, "side": Side.BUY, "order_qty": 65, "price_p": price_p, "account": "SIM001"}
        return OrderRequest(**{"cl_ord_id": cl_ord_id, "broker": self.name, **fields, **more})

    async def open(self, **more):
        broker = self.sim.broker(**(PATIENCE if self.name == "kite" else {}), **more)
        limits = Limits(check_margin=False, max_messages_per_s=10**6, max_cancels_per_s=10**6)
        fields = {"limits": limits, "engine": QUICK, "clock": broker.clock, "realm": self.sim.root}
        self.engine = LiveEngine(broker, "SIM001", folder=self.folder, **fields)
        await self.engine.start()
        return self.engine

    async def crash(self):
        self.kill(self.engine)
        await self.engine.broker.close()

    async def until(self, true, seconds=10.0):
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.01)

    def no_logins(self):
        """Options of a broker that logs in by nobody's leave but ours."""
        return {} if self.name == "kite" else {"terms": {"relogin": False}, "tokens": self.tokens}

    def expire(self):
        """The broker ends the session."""
        self.sim.server.expire()

    async def log_in(self):
        """Somebody logs in again, at XTS in another process."""
        if self.name == "kite":
            self.engine.broker.link.renew(Secret(self.sim.app.access_token))
            return
        forget_sessions()
        await log_in(self.sim.settings(), self.tokens)

    def fault(self, kind, nth):
        """Let the ``nth`` order call meet a fault."""
        path = "/orders" if self.name == "kite" else "/interactive/orders"
        self.sim.fault(f"{kind}@POST {path}#{nth}")

    def placed(self):
        """The ids of the order calls that reached the broker, in order."""
        call, key = (
            ("POST /orders", "tag") if self.name == "kite" else ("POST /interactive/orders", "orderUniqueIdentifier")
        )
        return [row["fields"][key] for row in self.sim.record("call") if row["call"].startswith(call)]

    def tags(self):
        """Our ids of the orders in the broker's book."""
        return [tag for tag, *_ in self._book()]

    def differences(self):
        """Every order at the broker must be ours, once, with the same fills and state."""
        found = []
        for tag, *theirs in self._book():
            ours = self.engine.core.orders.get(tag)
            mine = None if ours is None else [ours.cum_qty, ours.traded_value_p, str(ours.ord_status)]
            if mine != theirs:
                found.append((tag, mine, theirs))
        return found

    def _book(self):
        words = {
            "COMPLETE": "filled", "CANCELLED": "canceled", "REJECTED": "rejected", "OPEN": "new",
            "Filled": "filled", "Cancelled": "canceled", "Rejected": "rejected", "New": "new", "Replaced": "new",
        }  # fmt: skip
        for order in self.sim.app.book.orders.values():
            tag = order.tag if self.name == "kite" else order.form.tag
            yield tag, order.filled, order.value_p, words.get(order.status, order.status)

    async def agree(self):
        """Wait until both books are one; what differs is named."""
        try:
            await self.until(lambda: not self.differences())
        except TimeoutError:
            pytest.fail(f"{self.differences()}, {self.engine.state}")


@pytest.fixture(params=["kite", "xts-pro"])
async def rig(request, kite_sim, xts_sim, tmp_path, kill):
    sim = await (kite_sim() if request.param == "kite" else xts_sim())
    made = Rig(request.param, sim, tmp_path / "accounts", kill)
    yield made
    if made.engine is not None:
        if made.engine.state != "stopped":
            await made.engine.stop()
        await made.engine.broker.close()


async def test_orders_fills_changes_and_cancels(rig):
    engine = await rig.open()
    await engine.place(rig.order("F1", 10100))
    await engine.place(rig.order("W1", 8000))
    await rig.agree()
    assert engine.core.book.net == {CE: 65}
    rig.sim.advance(1)
    await engine.modify(Modify(cl_ord_id="W1", order_qty=130, price_p=8100))
    await rig.agree()
    await engine.cancel("W1")
    await rig.agree()
    assert engine.core.orders["W1"].ord_status is OrdStatus.CANCELED
    assert engine.core.orders["W1"].request.order_qty == 130
    assert [f.last_qty for f in engine.core.fills.values()] == [65]
    assert [e.payload for e in engine.events(most=999) if e.kind == "difference"] == []


@pytest.mark.parametrize("seed", [11])
async def test_killed_in_a_stream_nothing_is_lost_or_doubled(rig, seed):
    """R01, quick: twelve kills at random moments of a stream of orders, changes and cancels."""
    chance = random.Random(seed)
    await rig.open()
    asked = 0
    for _ in range(12):
        work = []
        for _ in range(chance.randrange(2, 6)):
            asked += 1
            price = 10100 if chance.random() < 0.3 else 8000 + 5 * asked
            work.append(asyncio.ensure_future(rig.engine.place(rig.order(f"S{asked}", price))))
        for one in list(rig.engine.core.open_orders())[:2]:
            if chance.random() < 0.5:
                work.append(asyncio.ensure_future(rig.engine.cancel(one.cl_ord_id)))
            else:
                change = Modify(cl_ord_id=one.cl_ord_id, order_qty=130, price_p=one.request.price_p)
                work.append(asyncio.ensure_future(rig.engine.modify(change)))
        wanted = len(rig.tags()) + chance.randrange(1, 4)
        await rig.until(lambda wanted=wanted, work=work: len(rig.tags()) >= wanted or all(t.done() for t in work))
        await asyncio.wait(work, timeout=chance.random() * 0.05)
        await rig.crash()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await rig.open()
        assert rig.engine.state == "ready"
    rig.sim.advance(10)
    await rig.agree()
    assert len(rig.tags()) == len(set(rig.tags()))
    placed = rig.placed()
    assert [one for one in placed if placed.count(one) > 1] == [], "an order was sent twice"
    assert len(placed) > 10, "too few were sent before the kills to prove anything"
    journaled = {e.cl_ord_id for e in rig.engine.events(most=10**6) if e.kind == "order"}
    assert set(placed) <= journaled


async def test_cuts_around_the_answer_over_the_wire(rig):
    """R02, quick."""
    await rig.open()
    for n, kind in enumerate(["cut-after", "html:502,after", "cut-before", "status:503"]):
        rig.fault(kind, n + 1)
    for n in range(4):
        found = await rig.engine.place(rig.order(f"C{n}", 8000 + 5 * n))
        assert n < 2 or found.ord_status is OrdStatus.UNKNOWN  # of those placed the broker's news may be here already
    reports = [e for e in rig.engine.events(most=10**6) if e.kind == "report"]
    first = {e.cl_ord_id: e.payload["exec_type"] for e in reversed(reports)}
    news = ("new", "unknown")  # a push may be quicker than the answer that was spoilt
    assert first["C0"] in news
    assert first["C1"] in news
    assert (first["C2"], first["C3"]) == ("unknown", "unknown")
    await rig.until(lambda: rig.engine.core.orders["C0"].ord_status is OrdStatus.NEW)
    await rig.until(lambda: rig.engine.core.orders["C1"].ord_status is OrdStatus.NEW)
    placed = rig.placed()
    assert len(placed) == len(set(placed))
    assert sorted(rig.tags()) == ["C0", "C1"]
    await rig.until(lambda: rig.engine.core.orders["C3"].ord_status is OrdStatus.REJECTED)
    assert rig.differences() == []


async def test_a_token_that_dies_and_comes_back(rig):
    """R09: 0 sent while it is dead, everything read again after it is back."""
    await rig.open(**rig.no_logins())
    for n in range(5):
        await rig.engine.place(rig.order(f"T{n}", 8000 + 5 * n))
    rig.expire()
    await rig.until(lambda: rig.engine.state == "auth_expired", 2)
    calls = len(rig.sim.record("call"))
    assert (await rig.engine.place(rig.order("T9", 8100))).ord_status is OrdStatus.DENIED
    assert len(rig.sim.record("call")) == calls
    await rig.log_in()
    await rig.until(lambda: rig.engine.state == "ready", 5)
    assert (await rig.engine.place(rig.order("T10", 8105))).ord_status in (OrdStatus.NEW, OrdStatus.PENDING_NEW)
    await rig.agree()


async def test_fills_and_orders_from_elsewhere_arrive_over_the_wire(rig):
    await rig.open()
    other = rig.sim.broker()
    await other.place(rig.order("ELSE1", 10100))
    await other.close()
    await rig.until(lambda: "ELSE1" in rig.engine.core.orders and rig.engine.core.book.net == {CE: 65})
    await rig.engine.place(rig.order("MINE1", 9900, side=Side.SELL))
    await rig.until(lambda: rig.engine.core.book.net == {})
    assert rig.differences() == []
