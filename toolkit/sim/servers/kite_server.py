"""``toolkit sim kite``: the simulated day, its routes, ticker, record and faults on one loopback port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.sim.kite_form import WireRefusal
from toolkit.sim.servers.clock import SimClock
from toolkit.sim.servers.control import Control
from toolkit.sim.servers.faults import FaultBox
from toolkit.sim.servers.http import Call, Reply, json_reply, send
from toolkit.sim.servers.kite import KiteApp
from toolkit.sim.servers.kite_feed import CALL, TickerBoard
from toolkit.sim.servers.record import Record, redacted
from toolkit.sim.servers.server import LoopbackServer

__all__ = ["KiteControl", "KiteServer"]

_TICKERS: Final = 3


class KiteServer(LoopbackServer):
    """One simulated Kite on one port.

    Parameters
    ----------
    app : KiteApp
        The routes.
    clock : SimClock
        Simulated time.
    record : Record
        Written to disk before any reply to what it tells of.
    faults : FaultBox
        What goes wrong.
    beat_s : float
        Real seconds between the ticker's heartbeats.
    """

    def __init__(self, app: KiteApp, clock: SimClock, record: Record, faults: FaultBox, *, beat_s: float = 1.0) -> None:
        super().__init__(app.world, clock, record, faults, beat_s=beat_s)
        self.app = app
        self.tickers = TickerBoard(app.world.board, faults)
        self.control = KiteControl(self)
        app.hidden = self.hidden

    def tell(self) -> None:
        """Put on record what has happened, then send the order updates."""
        book = self.app.book
        events, book.events = book.events, []
        ticker_events, self.tickers.events = self.tickers.events, []
        self.write([*events, *ticker_events])
        updates, book.updates = book.updates, []
        self.tickers.orders(updates)

    def ticks(self, keys: npt.NDArray[np.int64]) -> None:
        """Send the new day rows of ``keys`` to the tickers."""
        self.tickers.ticks(keys)

    def beat(self) -> None:
        """Send the tickers' heartbeat."""
        self.tickers.beat()

    def controlled(self, call: Call) -> Reply:
        """Answer a call to the simulator itself."""
        return self.control.answer(call)

    def fields(self, call: Call) -> Mapping[str, Any]:
        """The form of a call without its secrets."""
        return redacted(call.form())

    def order_ids(self) -> set[str]:
        """Every order in the book."""
        return set(self.app.book.orders)

    async def upgraded(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a ticker, or refuse it."""
        refused = self._handshake(call)
        self.write([{"kind": "handshake", "code": 101 if refused is None else refused.status}])
        if refused is not None:
            await send(reader, writer, refused, self.date())
        else:
            await self.tickers.serve(call, reader, writer)

    def _handshake(self, call: Call) -> Reply | None:
        """What refuses a ticker, None when it may come in."""
        query = dict(call.query)
        self.expire_on_request(call)
        fault = self.faults.draw(("handshake",), CALL)
        if fault is not None:
            return json_reply({"status": "error"}, int(fault.figure(403)))
        if not self.app.knows(query.get("api_key", ""), query.get("access_token", ""), query.get("user_id", "")):
            return json_reply({"status": "error", "message": "Token is invalid or has expired."}, 403)
        # A connection that a fault made half-open is dead to the client, which may come again.
        if sum(1 for ticker in self.tickers.tickers.values() if not ticker.deaf) >= _TICKERS:
            return json_reply({"status": "error", "message": "Too many connections"}, 429)
        return None

    def carried_out(self, call: Call) -> Reply:
        """Answer a call by its route."""
        try:
            if call.path.endswith(("/quote", "/quote/ohlc", "/quote/ltp")) and self.faults.draw(
                ("empty-quote",), f"{call.method} {call.path}"
            ):
                return json_reply({"status": "success", "data": {}})
            return self.app.serve(call, time.monotonic_ns())
        except WireRefusal as refusal:
            told = {"status": "error", "message": str(refusal), "data": None, "error_type": refusal.error_type}
            return json_reply(told, refusal.code)

    def expire(self) -> None:
        """Let the token die; the tickers that live on it are closed."""
        self.app.expire()
        self.tickers.drop(1000)
        self.write([{"kind": "token", "what": "expired"}])


class KiteControl(Control):
    """The control calls of a simulated Kite."""

    def __init__(self, server: KiteServer) -> None:
        super().__init__(server)
        self.kite = server
        self.acts |= {
            "POST carry": self._carry,
            "POST order": self._order,
            "POST cancel": self._cancel,
            "POST drop": lambda call, body: {"dropped": server.tickers.drop(int(body.get("code", 0)))},
            "POST login": lambda call, body: {"request_token": server.app.request_token()},
            "POST redirect": self._redirect,
            "POST say": self._say,
        }

    def more_state(self) -> dict[str, Any]:
        """Tickers, orders, trades and net units by name."""
        app = self.kite.app
        return {
            "tickers": self.kite.tickers.state(),
            "orders": len(app.book.orders),
            "trades": len(app.book.trades),
            "net": {self.kite.world.roster.by_key[k].name: q for k, q in app.money.net().items()},
        }

    def _carry(self, call: Call, body: dict[str, Any]) -> dict[str, Any]:
        """Bring a position over from the day before."""
        listed = self.kite.world.roster.by_name[body["exchange"], body["tradingsymbol"]]
        price_p = round(float(body["average_price"]) * 100)
        self.kite.app.money.carry(listed, body.get("product", "NRML"), int(body["quantity"]), price_p)
        return {"net": self.kite.app.money.net().get(listed.key, 0)}

    def _order(self, call: Call, body: dict[str, Any]) -> Any:
        """An order that the user places elsewhere: same account, no rate limit, no faults."""
        form = {name: str(value) for name, value in body.items()}
        made = self.kite.app.book.place(form.get("variety", "regular"), form)
        self.kite.tell()
        return made

    def _cancel(self, call: Call, body: dict[str, Any]) -> Any:
        made = self.kite.app.book.cancel("regular", str(body["order_id"]))
        self.kite.tell()
        return made

    def _redirect(self, call: Call, body: dict[str, Any]) -> dict[str, str]:
        self.kite.app.redirect_url = str(body["url"])
        return {"url": self.kite.app.redirect_url}

    def _say(self, call: Call, body: dict[str, Any]) -> dict[str, int]:
        """Send a text frame as it is to every ticker: ``{"frame": {"type": "message", "data": "..."}}``."""
        frame = msgspec.json.encode(body["frame"]).decode()
        held = list(self.kite.tickers.tickers.values())
        for ticker in held:
            ticker.send(frame)
        return {"told": len(held)}
