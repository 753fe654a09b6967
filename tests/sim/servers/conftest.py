"""A simulated Kite, and a simulated XTS, in the test's own loop, on a small frozen day."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import urllib.parse

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


XTS_CE = {
    "exchangeSegment": "NSEFO", "exchangeInstrumentID": 40001, "productType": "NRML", "orderType": "LIMIT",
    "orderSide": "BUY", "timeInForce": "DAY", "disclosedQuantity": 0, "orderQuantity": 65, "limitPrice": 90,
    "stopPrice": 0, "apiOrderSource": "WEBAPI", "orderUniqueIdentifier": "tag0001",
}  # fmt: skip


class XtsClient:
    """Plain calls to one simulated XTS; logs in when it is made."""

    def __init__(self, server, http):
        self.server = server
        self.http = http
        self.form = XTS_CE
        self.client = {"clientID": "CLI01"} if server.app.install.dealer else {}

    async def log_in(self, path="/interactive", **more):
        keys = {"appKey": "simxtsapp", "secretKey": self.server.app.secret_key, "source": "WEBAPI"}
        return await self.http.post(f"{path}/user/session", json={**keys, **more})

    async def md_log_in(self, path="/apimarketdata", **more):
        keys = {"appKey": "simxtsmdapp", "secretKey": self.server.md.secret_key, "source": "WebAPI"}
        return await self.http.post(f"{path}/auth/login", json={**keys, **more})

    async def ask(self, method, path, body=None, query=None, headers=None, **raw):
        token = self.server.app.token if path.split("/")[1].endswith("interactive") else self.server.md.token
        sent = {"Authorization": token} if headers is None else headers
        return await self.http.request(method, path, json=body, params=query, headers=sent, **raw)

    async def result(self, method, path, body=None, query=None):
        reply = await self.ask(method, path, body, query)
        assert reply.status_code == 200, reply.text
        assert reply.json()["type"] == "success"
        return reply.json()["result"]

    async def refusal(self, method, path, body=None, query=None):
        reply = await self.ask(method, path, body, query)
        told = reply.json()
        assert told["type"] == "error", told
        return reply.status_code, told["code"], told["description"]

    async def place(self, **changes):
        return (await self.result("POST", "/interactive/orders", {**self.form, **self.client, **changes}))["AppOrderID"]

    async def orders(self, **query):
        return await self.result("GET", "/interactive/orders", query={**self.client, **query})

    async def subscribe(self, code, *ids, segment=2):
        asked = [{"exchangeSegment": segment, "exchangeInstrumentID": i} for i in ids]
        return await self.ask(
            "POST", "/apimarketdata/instruments/subscription", {"instruments": asked, "xtsMessageCode": code}
        )

    control = Client.control
    fault = Client.fault
    record = Client.record


@pytest.fixture
async def serve_xts(quiet_world, tmp_path):
    """``await serve_xts(*faults, NAME=VALUE, ...)`` gives a client of a running install, logged in to both APIs."""
    from toolkit import tables
    from toolkit.sim.servers.clock import SimClock
    from toolkit.sim.servers.faults import FaultBox, parse_fault
    from toolkit.sim.servers.record import Record
    from toolkit.sim.servers.xts import XtsApp
    from toolkit.sim.servers.xts_server import XtsServer
    from toolkit.sim.xts_install import make_install

    async with contextlib.AsyncExitStack() as stack:
        count = 0

        async def start(*faults, funds_p=10_000_000_00, **settings):
            nonlocal count
            count += 1
            install = make_install(**{"rates": "off", **settings})
            login, clients = ("DLR01", ("CLI01", "CLI02")) if install.dealer else ("SIM001", ("SIM001",))
            app = XtsApp(quiet_world, login, clients, funds_p, tables.charges(), install)
            box = FaultBox([parse_fault(text) for text in faults], seed=7)
            record = Record(tmp_path / f"xts{count}.jsonl")
            server = XtsServer(app, SimClock(quiet_world.now_ns, 0.0), record, box, beat_s=0.05)
            await server.start(0)
            stack.push_async_callback(server.stop)
            http = await stack.enter_async_context(
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=5, trust_env=False, verify=NO_TLS)
            )
            client = XtsClient(server, http)
            assert (await client.log_in()).status_code == 200
            prefix = "/apibinarymarketdata" if install.md == "binary" else "/apimarketdata"
            assert (await client.md_log_in(prefix)).status_code == 200
            return client

        yield start


class Wire:
    """One raw socket to a simulated XTS."""

    def __init__(self, ws):
        self.ws = ws

    async def take(self, wanted=lambda frame: True, seconds=5.0):
        """The first frame that ``wanted`` accepts."""
        async with asyncio.timeout(seconds):
            while True:
                frame = await self.ws.recv()
                if wanted(frame):
                    return frame

    async def event(self, name, seconds=5.0):
        """The argument of the next event of this name: its text read as JSON where it is JSON."""
        frame = await self.take(lambda f: isinstance(f, str) and f.startswith(f'42["{name}"'), seconds)
        arg = json.loads(frame[2:])[1]
        return json.loads(arg) if isinstance(arg, str) and arg.startswith("{") else arg

    async def ready(self):
        """Wait for the namespace."""
        await self.take(lambda f: isinstance(f, str) and f.startswith("40"))
        return self


@pytest.fixture
async def dial_xts():
    """``await dial_xts(client, api, ...)`` gives a raw socket; all are closed at the end."""
    from websockets.asyncio.client import connect

    made = []

    async def call(
        client, api="marketdata", *, eio=3, token=None, user=None, prefix="apimarketdata", wait=True, **query
    ):
        live = client.server.md.token if api == "marketdata" else client.server.app.token
        words = {
            "token": token or live,
            "userID": user or client.server.app.login,
            "EIO": eio,
            "transport": "websocket",
            **query,
        }
        path = prefix if api == "marketdata" else "interactive"
        url = f"ws://127.0.0.1:{client.server.port}/{path}/socket.io/?{urllib.parse.urlencode(words)}"
        ws = await connect(url, compression=None, ping_interval=None, open_timeout=5, close_timeout=0.2, proxy=None)
        made.append(ws)
        wire = Wire(ws)
        if wait:
            if eio == 4:
                await ws.send("40")
            await wire.ready()
        return wire

    yield call
    for ws in made:
        ws.transport.abort()
