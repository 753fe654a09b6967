"""``toolkit sim xts``: interactive and market-data API, their sockets, record and faults on one loopback port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData
from toolkit.sim.servers.clock import SimClock
from toolkit.sim.servers.control import Control
from toolkit.sim.servers.faults import Fault, FaultBox, stand_in
from toolkit.sim.servers.http import Call, Reply, json_reply, send
from toolkit.sim.servers.record import Record
from toolkit.sim.servers.server import LoopbackServer
from toolkit.sim.servers.socketio import SocketBoard
from toolkit.sim.servers.xts import XtsApp, body_of, page_404, refused
from toolkit.sim.servers.xts_feed import MARKET_DATA, XtsFeed
from toolkit.sim.servers.xts_md import XtsMarketApp
from toolkit.sim.xts_form import XtsRefusal, order_form
from toolkit.sim.xts_market import XtsMarket

__all__ = ["INTERACTIVE", "XtsControl", "XtsServer"]

INTERACTIVE: Final = "interactive"
_PREFIXES: Final = {
    "interactive": INTERACTIVE,
    "1interactive": INTERACTIVE,
    "apimarketdata": MARKET_DATA,
    "marketdata": MARKET_DATA,
    "apibinarymarketdata": MARKET_DATA,
}
_SECRETS: Final = frozenset({"secretkey", "token", "uniquekey", "accesspassword", "accesstoken"})
_CODES: Final = {
    400: ("e-server-0001", "Simulated failure"),
    401: ("e-session-0007", "Invalid Token"),
    403: ("e-session-0007", "Invalid Token"),
    429: ("e-apirl-0004", "Max limit for this API has been exceeded"),
}


class XtsServer(LoopbackServer):
    """One simulated XTS install on one port.

    Parameters
    ----------
    app : XtsApp
        The interactive routes; their install says how this one behaves.
    clock, record, faults, beat_s
        As for every simulated broker.
    """

    def __init__(self, app: XtsApp, clock: SimClock, record: Record, faults: FaultBox, *, beat_s: float = 1.0) -> None:
        install = app.install
        beat_s = min(beat_s, install.ping_ms / 2000)
        super().__init__(app.world, clock, record, faults, beat_s=beat_s)
        self.app = app
        self.sockets = SocketBoard(
            faults, speaks=install.eio, ping_ms=install.ping_ms, timeout_ms=install.ping_timeout_ms
        )
        market = XtsMarket(app.world, app.directory, flat=install.touchline == "flat")
        self.feed = XtsFeed(market, self.sockets, install)
        self.md = XtsMarketApp(app, market, self.feed, faults)
        self.control = XtsControl(self)
        self._later: list[tuple[str, dict[str, Any]]] = []
        app.hidden = self.hidden
        app.on_new_session = lambda text: self.sockets.end(INTERACTIVE, text)
        self.md.on_new_session = lambda text: self.sockets.end(MARKET_DATA, text)

    async def start(self, port: int) -> None:
        """Listen; the host look-up names this address from then on."""
        await super().start(port)
        self.app.base = f"http://127.0.0.1:{self.port}"

    def controlled(self, call: Call) -> Reply:
        """Answer a call to the simulator itself."""
        return self.control.answer(call)

    def carried_out(self, call: Call) -> Reply:
        """Answer a call by its prefix and route."""
        try:
            if call.method == "POST" and call.path.lower() in ("/hostlookup", "/interactive/hostlookup"):
                return self.app.look_up(call)
            prefix, _, rest = call.path.lstrip("/").partition("/")
            api = self._api(prefix)
            if api is None:
                return page_404()
            serve = self.app.serve if api == INTERACTIVE else self.md.serve
            return serve(call, f"/{rest}", time.monotonic_ns())
        except XtsRefusal as refusal:
            return refused(refusal, self.app.install)

    def stand_in(self, fault: Fault) -> Reply:
        """The answer in place of the true one, in XTS's words."""
        made = stand_in(fault)
        if made.headers.get("Content-Type") != "application/json":
            return made
        code, text = _CODES.get(made.status, ("e-server-0002", f"Simulated failure {made.status}"))
        told: dict[str, Any] = {"type": "error", "code": code, "description": text, "result": {}}
        if fault.name == "no-error-type":
            told = {"message": "Simulated failure"}
        return msgspec.structs.replace(made, body=msgspec.json.encode(told))

    def fields(self, call: Call) -> Mapping[str, Any]:
        """The fields of a call without its secrets."""
        try:
            held = body_of(call)
        except XtsRefusal:
            return {}
        return {name: "***" if name.lower() in _SECRETS else value for name, value in held.items()}

    def order_ids(self) -> set[str]:
        """Every order in the book."""
        return set(self.app.book.orders)

    def tell(self) -> None:
        """Put on record what has happened, then send the events: after the answer, or before it."""
        book = self.app.book
        told, book.told = book.told, []
        sockets, self.sockets.told = self.sockets.told, []
        dropped, self.app.dropped[:] = list(self.app.dropped), []
        self.write([*told, *sockets, *dropped])
        events, book.events = book.events, []
        if not events:
            return
        self._later += self._with_positions(events)
        if self.app.install.events == "before":
            self._send_events()
        else:
            # The answer to the call goes out before the loop comes back to this.
            asyncio.get_running_loop().call_soon(self._send_events)

    def ticks(self, keys: npt.NDArray[np.int64]) -> None:
        """Publish the new day rows of ``keys``."""
        self.feed.ticks(keys)

    def beat(self) -> None:
        """Keep the sockets' hearts."""
        self.sockets.beat()

    def expire(self, api: str = "") -> None:
        """Let the token of one API die, or both; their sockets are told and closed."""
        for name, owner in ((INTERACTIVE, self.app), (MARKET_DATA, self.md)):
            if api in ("", name):
                owner.expire()
                self.sockets.end(name, "session ended")
        self.write([{"kind": "token", "what": "expired", "api": api or "both"}])

    async def upgraded(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a socket, or refuse the handshake."""
        prefix, _, rest = call.path.strip("/").partition("/")
        api = self._api(prefix)
        path = f"WS /{prefix}/{rest}"
        fault = self.faults.draw(("handshake",), path)
        self.expire_on_request(call)
        if api is None or rest != "socket.io" or fault is not None:
            code = 404 if fault is None else int(fault.figure(403))
            self.write([{"kind": "handshake", "code": code}])
            await send(reader, writer, page_404() if fault is None else json_reply({}, code), self.date())
            return
        self.write([{"kind": "handshake", "code": 101, "api": api}])
        await self.sockets.serve(call, api, reader, writer, lambda: self._unwelcome(api, dict(call.query)))

    def _unwelcome(self, api: str, query: Mapping[str, str]) -> str:
        live = self.app.token if api == INTERACTIVE else self.md.token
        if not live or query.get("token") != live or query.get("userID") != self.app.login:
            return "Invalid Token"
        return ""

    def _api(self, prefix: str) -> str | None:
        api = _PREFIXES.get(prefix)
        kind = "binary" if prefix == "apibinarymarketdata" else "json"
        return None if api == MARKET_DATA and self.app.install.md not in ("both", kind) else api

    def _with_positions(self, events: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
        """A trade brings the new position, by day and net."""
        found = []
        for name, row in events:
            found.append((name, row))
            listed = self.app.directory.find(row["ExchangeSegment"], row["ExchangeInstrumentID"])
            if name == "trade" and listed is not None:
                rows = self.app.money.position_events(row["ClientID"], listed.key)
                found += [("position", position) for position in rows]
        return found

    def _send_events(self) -> None:
        events, self._later = self._later, []
        call = "WS /interactive/socket.io"
        if events and self.faults.draw(("duplicate-updates",), call):
            events = [event for event in events for _ in range(2)]
        if events and self.faults.draw(("shuffle-updates",), call):
            self.faults.random.shuffle(events)
        shape = self.app.install.args
        for name, row in events:
            arg = msgspec.json.encode(row).decode() if shape == "text" else row if shape == "object" else [row]
            self.sockets.emit(INTERACTIVE, name, arg)


class XtsControl(Control):
    """The control calls of a simulated XTS."""

    def __init__(self, server: XtsServer) -> None:
        super().__init__(server)
        self.xts = server
        self.acts |= {
            "POST carry": self._carry,
            "POST order": self._order,
            "POST cancel": self._cancel,
            "POST drop": lambda call, body: {"dropped": server.sockets.drop(body.get("api"), int(body.get("code", 0)))},
            "POST expire": self._expire_one,
            "POST event": self._event,
        }

    def more_state(self) -> dict[str, Any]:
        """Sockets, subscriptions, orders, trades and net units by client and name."""
        server = self.xts
        net = {
            client: {server.world.roster.by_key[key].name: qty for key, qty in account.net().items()}
            for client, account in server.app.money.accounts.items()
        }
        return {
            "sockets": server.sockets.state(),
            "subscriptions": len(server.feed.wanted),
            "orders": len(server.app.book.orders),
            "trades": len(server.app.book.trades),
            "net": net,
        }

    def _client(self, body: Mapping[str, Any]) -> str:
        client = str(body.get("clientID") or self.xts.app.clients[0])
        if client not in self.xts.app.clients:
            raise BadData(f"clientID must be one of {', '.join(self.xts.app.clients)}, was {client!r}")
        return client

    def _carry(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        """Bring a position over from the day before."""
        app = self.xts.app
        listed = app.directory.find(body["exchangeSegment"], body["exchangeInstrumentID"])
        if listed is None:
            raise BadData(f"no contract {body['exchangeInstrumentID']} is listed in {body['exchangeSegment']}")
        price_p = round(float(body["average_price"]) * 100)
        account = app.money.accounts[self._client(body)]
        account.carry(listed, body.get("productType", "NRML"), int(body["quantity"]), price_p)
        return {"net": account.net().get(listed.key, 0)}

    def _order(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        """An order that the user places elsewhere: same account, no rate limit, no faults."""
        app = self.xts.app
        form = order_form({"apiOrderSource": "TWS", **body}, app.directory, app.install)
        order = app.book.place(self._client(body), form, generated_by="TWS")
        self.xts.tell()
        return {"AppOrderID": order.order_id, "OrderStatus": order.status}

    def _cancel(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        order = self.xts.app.book.find(body["appOrderID"], self.xts.app.clients)
        self.xts.app.book.cancel(order)
        self.xts.tell()
        return {"OrderStatus": order.status}

    def _expire_one(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        api = str(body.get("api", ""))
        if api not in ("", INTERACTIVE, MARKET_DATA):
            raise BadData(f"api must be {INTERACTIVE} or {MARKET_DATA}, was {api!r}")
        self.xts.expire(api)
        return {"expired": api or "both"}

    def _event(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        """Send any event, as 1105-json-partial or a warning."""
        api = str(body.get("api", MARKET_DATA))
        self.xts.sockets.emit(api, str(body["name"]), *body.get("args", []))
        return {"sent": len(self.xts.sockets.of(api))}
