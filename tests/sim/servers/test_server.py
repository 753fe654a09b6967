"""The part that all simulated brokers share: record, then reply; faults; orders kept hidden; the token that dies once."""

from __future__ import annotations

import contextlib

import httpx
import numpy as np
import pytest

from toolkit.errors import BadData
from toolkit.sim.servers.clock import SimClock
from toolkit.sim.servers.faults import FaultBox, parse_fault
from toolkit.sim.servers.http import json_reply
from toolkit.sim.servers.record import Record, read_record
from toolkit.sim.servers.server import LoopbackServer, free_port


class Shop(LoopbackServer):
    """A broker that sells one thing: POST makes an order."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.orders = set()
        self.log = []

    def controlled(self, call):
        return json_reply({"control": call.path})

    def carried_out(self, call):
        if call.method == "POST":
            self.orders.add(str(len(self.orders) + 1))
        self.log.append("carried out")
        return json_reply(sorted(o for o in self.orders if not self.hidden(o)))

    def fields(self, call):
        return call.form()

    def order_ids(self):
        return set(self.orders)

    def tell(self):
        self.log.append("tell")

    def ticks(self, keys):
        self.log.append(np.asarray(keys).size)

    def beat(self):
        self.log.append("beat")

    def expire(self):
        self.log.append("expired")

    async def upgraded(self, call, reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
async def shop(quiet_world, tmp_path):
    async with contextlib.AsyncExitStack() as stack:

        async def start(*faults, port=0, name="record.jsonl"):
            box = FaultBox([parse_fault(text) for text in faults], seed=1)
            server = Shop(quiet_world, SimClock(quiet_world.now_ns, 0.0), Record(tmp_path / name), box, beat_s=0.02)
            await server.start(port)
            stack.push_async_callback(server.stop)
            return server, await stack.enter_async_context(
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, verify=False)
            )

        yield start


def test_a_free_port_is_below_the_systems_range():
    assert all(20_000 <= free_port() < 32_768 for _ in range(5))


async def test_a_port_that_is_taken_is_one_clear_line(shop):
    server, _ = await shop()
    with pytest.raises(BadData, match=f"port {server.port} of 127.0.0.1 cannot be used"):
        await shop(port=server.port, name="other.jsonl")


async def test_the_world_moves_and_the_act_is_on_record_before_the_reply(shop):
    server, http = await shop()
    server.log.clear()
    assert (await http.post("/buy", data={"n": "1"})).json() == ["1"]
    assert [word for word in server.log if word != "beat"] == ["tell", 0, "carried out", "tell"]
    row = read_record(server.record.path)[-1]
    assert (row["call"], row["fields"], row["executed"], row["status"]) == ("POST /buy", {"n": "1"}, True, 200)


@pytest.mark.parametrize(("fault", "orders", "status"), [("status:503", 0, 503), ("status:503,after", 1, 503)])
async def test_a_stand_in_decides_whether_the_act_happens(shop, fault, orders, status):
    server, http = await shop(f"{fault}@POST /buy#1")
    assert (await http.post("/buy")).status_code == status
    assert len(server.orders) == orders
    assert (await http.post("/buy")).status_code == 200


async def test_a_late_order_is_hidden_and_a_scoped_token_dies_once(shop):
    server, http = await shop("late:60#1", "token-expiry@GET /me#1")
    assert (await http.post("/buy")).json() == ["1"]  # the answer itself knows it
    assert (await http.get("/orders")).json() == []
    assert "expired" not in server.log
    await http.get("/me")
    await http.get("/me")
    assert server.log.count("expired") == 1


async def test_control_and_the_beat_are_the_brokers_own(shop):
    server, http = await shop()
    assert (await http.get("/__sim/state")).json() == {"control": "/__sim/state"}
    assert server.date() == "Mon, 13 Jul 2026 03:45:00 GMT"
    assert server.now_text() == "2026-07-13T09:15:00+05:30"
    reply = await http.get("/ws", headers={"Upgrade": "websocket"})
    assert reply.status_code == 400
