"""A simulated Kite in the test's own loop, on a small frozen day."""

from __future__ import annotations

import contextlib
import ssl

import httpx
import pytest

# Reading the system's certificates for each client costs more than the whole test; no TLS is spoken here.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CE = {
    "exchange": "NFO", "tradingsymbol": "NIFTY2671425000CE", "transaction_type": "BUY", "quantity": "65", "product": "NRML",
    "order_type": "LIMIT", "price": "90",
}  # fmt: skip


class Client:
    """Plain calls to one server, with or without its token."""

    def __init__(self, server, http):
        self.server = server
        self.http = http
        self.form = CE

    @property
    def auth(self):
        return {"X-Kite-Version": "3", "Authorization": f"token simkey:{self.server.app.access_token}"}

    async def ask(self, method, path, *, form=None, body=None, headers=None, query=None):
        sent = self.auth if headers is None else headers
        return await self.http.request(method, path, data=form, json=body, headers=sent, params=query)

    async def data(self, method, path, **more):
        reply = await self.ask(method, path, **more)
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    async def place(self, **changes):
        return (await self.data("POST", "/orders/regular", form={**CE, **changes}))["order_id"]

    async def control(self, method, name, body=None, query=None):
        reply = await self.http.request(method, f"/__sim/{name}", json=body, params=query)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def fault(self, text):
        return await self.control("POST", "faults", {"text": text})

    async def record(self, kind):
        return (await self.control("GET", "record", query={"kind": kind}))["records"]


@pytest.fixture
async def serve(quiet_world, tmp_path):
    """``await serve(*faults, ...)`` gives a client of a running server."""
    from toolkit import tables
    from toolkit.sim.servers.clock import SimClock
    from toolkit.sim.servers.faults import FaultBox, parse_fault
    from toolkit.sim.servers.kite import PROFILES, KiteApp
    from toolkit.sim.servers.kite_server import KiteServer
    from toolkit.sim.servers.record import Record

    async with contextlib.AsyncExitStack() as stack:
        count = 0

        async def start(*faults, profile="unlimited", speed=0.0, funds_p=10_000_000_00):
            nonlocal count
            count += 1
            app = KiteApp(quiet_world, "SIM001", funds_p, tables.charges(), PROFILES[profile])
            box = FaultBox([parse_fault(text) for text in faults], seed=7)
            record = Record(tmp_path / f"record{count}.jsonl")
            server = KiteServer(app, SimClock(quiet_world.now_ns, speed), record, box, beat_s=0.05)
            await server.start(0)
            stack.push_async_callback(server.stop)
            http = await stack.enter_async_context(
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=5, trust_env=False, verify=NO_TLS)
            )
            return Client(server, http)

        yield start
