"""Acts that must not lose money, through the API's door, at a simulated Kite over its wire."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest

from toolkit.config import Settings
from toolkit.serve import build as building
from toolkit.serve.build import Plan, build
from toolkit.serve.run import Server

CE = "NIFTY 14JUL2026 25000 CE"
ACCOUNT = "SIM001"
FREE = {
    "risk": {"max_messages_per_s": 100, "max_cancels_per_s": 100, "duplicate_window_s": 0},
    "engine": {"throttle_per_s": 100, "poll_s": 0.02, "rest_s": 0.1, "answer_s": 2.0, "inflight_s": 0.0},
}


class Door:
    """The API of one live engine, and the exchange behind its broker."""

    def __init__(self, sim, server, http) -> None:
        self.sim, self.server, self.http = sim, server, http
        self.engine = server.station.seats[ACCOUNT].engine

    async def __call__(self, verb, path, body=None, status=200):
        answer = await self.http.request(verb, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def place(self, cl_ord_id, lots=1, price="80.00", side="BUY"):
        body = {"cl_ord_id": cl_ord_id, "symbol": CE, "side": side, "lots": lots, "price": price}
        return await self("POST", "/v1/orders", body)

    async def until(self, true, what):
        """Wait for something that the loops bring about."""
        for _ in range(2000):
            if true():
                return
            await asyncio.sleep(0.005)
        there = [(o.cl_ord_id, str(o.ord_status), o.cum_qty, o.text) for o in self.engine.core.orders.values()]
        pytest.fail(f"it never came: {what}; there are {there}")

    async def status(self, cl_ord_id, wanted):
        await self.until(lambda: str(self.engine.core.orders[cl_ord_id].ord_status) == wanted, f"{cl_ord_id} {wanted}")

    def quote(self, bid, ask, qty):
        """A new market at the exchange, a second later."""
        self.sim.advance(1)
        world = self.sim.server.app.world
        key = next(row.key for row in world.roster.rows if row.instrument.symbol == CE)
        world.exchange.on_quotes(world.now_ns, [key], [bid], [float(qty)], [ask], [float(qty)], [bid])
        world.pump()

    def at_broker(self):
        """The states of the orders that the broker holds, oldest first."""
        return [str(order.status) for order in self.sim.app.book.orders.values()]

    def calls(self, route):
        return sum(row["call"].startswith(route) for row in self.sim.record("call"))


@pytest.fixture
async def door(kite_sim, tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    sim = await kite_sim()
    monkeypatch.setattr(building, "connect", lambda name: sim.broker(read_s=0.5, total_s=1.0))
    tree = Settings.load(options=FREE)
    server = Server(await build(Plan(broker="kite", accounts=(f"kite:{ACCOUNT}",), live=(ACCOUNT,)), tree), tree, 0)
    async with contextlib.AsyncExitStack() as stack:
        await server.start()
        stack.push_async_callback(server.stop)
        headers = {"authorization": f"Bearer {server.tokens.path('admin').read_text().strip()}"}
        http = httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60, trust_env=False)
        yield Door(sim, server, await stack.enter_async_context(http))


async def test_a_resend_is_confirmed_once(door):
    door.sim.fault("cut-before@POST /orders#1")
    await door.place("UNK2")
    worst = (await door("POST", "/v1/resend/UNK2", {"confirm": "yes"}, 409))["error"]["text"]
    assert worst.endswith(f"in these words: BUY 130 {CE}, position 130")
    confirm = {"confirm": f"BUY 130 {CE}, position 130"}
    made = [await door("POST", "/v1/resend/UNK2", confirm) for _ in range(2)]
    assert made[0]["cl_ord_id"] == made[1]["cl_ord_id"] != "UNK2"
    assert len(door.sim.app.book.orders) == 1


async def test_an_unknown_cancel_is_no_reason_to_send_again_and_is_said_again_without_the_book(door):
    await door.place("A1")
    await door.status("A1", "new")
    door.sim.fault("status:503@DELETE /orders#1")
    door.sim.fault("hang@GET /orders")
    await door("DELETE", "/v1/orders/A1")
    text = (await door("POST", "/v1/resend/A1", {"confirm": ""}, 409))["error"]["text"]
    assert "not its placing" in text
    await door("DELETE", "/v1/orders/A1")
    assert door.calls("DELETE /orders") == 2
    assert door.at_broker() == ["CANCELLED"]


async def test_an_order_refused_by_its_answer_only_is_taken_up_and_swept(door):
    door.sim.fault("status:429,after@POST /orders#1")
    assert (await door.place("A1"))["ord_status"] in ("rejected", "unknown", "new")
    await door.status("A1", "new")
    alarms = [e.payload["kind"] for e in door.engine.events(0, 10_000) if e.kind == "alarm"]
    assert alarms.count("late_order") == 1
    await door("POST", "/v1/halt", {"reason": "test", "cancel_all": True})
    await door.status("A1", "canceled")
    assert door.at_broker() == ["CANCELLED"]


async def test_flatten_clears_the_way_and_chases_what_the_market_does_not_take_at_once(door):
    for n in range(2):
        door.quote(100.0 + n, 100.5 + n, 650)
        await door.place(f"B{n}", lots=10, price="102.00")
        await door.status(f"B{n}", "filled")
    await door.place("S1", lots=5, price="118.00", side="SELL")
    await door.status("S1", "new")
    door.quote(100.0, 100.5, 650)
    deleted = door.calls("DELETE /orders")

    async def refill():
        await door.until(lambda: door.calls("DELETE /orders") > deleted + 1, "the child that rested is withdrawn")
        door.quote(99.0, 99.5, 650)

    task = asyncio.create_task(refill())
    rows = (await door("POST", "/v1/flatten", {"reason": "test", "confirm": ACCOUNT}))["orders"]
    await task
    assert [(row["order_qty"], row["cum_qty"], row["ord_status"]) for row in rows] == [
        (1300, 650, "canceled"), (650, 650, "filled")
    ]  # fmt: skip
    assert door.engine.core.book.net == {}
    assert "flatten" not in [e.payload["kind"] for e in door.engine.events(0, 10_000) if e.kind == "alarm"]
