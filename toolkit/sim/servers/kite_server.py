"""``toolkit sim kite``: the simulated day, its routes, ticker, record and faults on one loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import math
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from toolkit.errors import BadData
from toolkit.sim.kite_form import WireRefusal
from toolkit.sim.servers.clock import SimClock
from toolkit.sim.servers.control import Control
from toolkit.sim.servers.faults import DAMAGE, STAND_INS, FaultBox, spoil, stand_in
from toolkit.sim.servers.http import Call, Reply, json_reply, read_call, send
from toolkit.sim.servers.kite import KiteApp
from toolkit.sim.servers.kite_feed import CALL, TickerBoard
from toolkit.sim.servers.record import Record, redacted
from toolkit.sim.world import World

__all__ = ["KiteServer", "free_port"]

_HOST: Final = "127.0.0.1"
_TICKERS: Final = 3
_CONTROL: Final = "/__sim/"


class KiteServer:
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
        self.app = app
        self.clock = clock
        self.record = record
        self.faults = faults
        self._beat_s = beat_s
        self.tickers = TickerBoard(app.world.board, faults)
        self.control = Control(self)
        self._visible_at: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.on_end: Callable[[], None] = lambda: None
        self._ended = False
        self._tasks: set[asyncio.Task[None]] = set()
        app.hidden = lambda order_id: time.monotonic() < self._visible_at.get(order_id, 0.0)

    @property
    def world(self) -> World:
        """The simulated day."""
        return self.app.world

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, port: int) -> None:
        """Listen on ``port``, 0 for a free one below 32768; raises `BadData` when it is taken."""
        chosen = port or free_port()
        try:
            self._server = await asyncio.start_server(self._connection, _HOST, chosen, limit=1 << 20)
        except OSError as error:
            raise BadData(f"port {chosen} of {_HOST} cannot be used: {error.strerror}; choose another") from None
        self.step()
        self._keep(asyncio.create_task(self._run()))

    async def stop(self) -> None:
        """Close every connection and the record."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.write([{"kind": "stop"}])
        self.record.close()

    def step(self) -> None:
        """Bring the world up to the clock and tell whoever listens."""
        touched = self.world.advance(self.clock.now_ns())
        self.tell()
        self.tickers.ticks(touched)
        if not self._ended and self.world.next_ns() is None:
            self._ended = True
            self.write([{"kind": "data", "what": "ended"}])
            self.on_end()

    def tell(self) -> None:
        """Put on record what has happened, then send the order updates."""
        book = self.app.book
        events, book.events = book.events, []
        ticker_events, self.tickers.events = self.tickers.events, []
        self.write([*events, *ticker_events])
        updates, book.updates = book.updates, []
        self.tickers.orders(updates)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append to the record."""
        if rows:
            self.record.append(rows, self.app.now_text(), time.monotonic_ns())

    def wake(self) -> None:
        """Have the feed look at the clock at once (it was moved)."""
        self._wake.set()

    def date(self) -> str:
        """The simulated time as an HTTP Date."""
        return email.utils.formatdate(self.clock.now_ns() // 10**9, usegmt=True)

    async def _run(self) -> None:
        """Move the day along: at each recorded quote, and for the heartbeat."""
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._beat_s
        while True:
            next_ns = self.world.next_ns()
            wait = math.inf if next_ns is None else self.clock.real_s(next_ns)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(0.001, min(wait, beat_at - loop.time())))
            self._wake.clear()
            self.step()
            if loop.time() >= beat_at:
                beat_at = loop.time() + self._beat_s
                self.tickers.beat()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._keep(task)
        try:
            while (call := await read_call(reader)) is not None:
                if call.upgrade:
                    await self._upgrade(call, reader, writer)
                    return
                if not await send(reader, writer, self.answer(call), self.date()):
                    return
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _upgrade(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refused = self._handshake(call)
        self.write([{"kind": "handshake", "code": 101 if refused is None else refused.status}])
        if refused is not None:
            await send(reader, writer, refused, self.date())
        else:
            await self.tickers.serve(call, reader, writer)

    def _handshake(self, call: Call) -> Reply | None:
        """What refuses a ticker, None when it may come in."""
        query = dict(call.query)
        self._expire_on_request()
        fault = self.faults.draw(("handshake",), CALL)
        if fault is not None:
            return json_reply({"status": "error"}, int(fault.figure(403)))
        if not self.app.knows(query.get("api_key", ""), query.get("access_token", ""), query.get("user_id", "")):
            return json_reply({"status": "error", "message": "Token is invalid or has expired."}, 403)
        # A connection that a fault made half-open is dead to the client, which may come again.
        if sum(1 for ticker in self.tickers.tickers.values() if not ticker.deaf) >= _TICKERS:
            return json_reply({"status": "error", "message": "Too many connections"}, 429)
        return None

    def answer(self, call: Call) -> Reply:
        """Answer one call, with whatever goes wrong on the way; the record comes first."""
        if call.path.startswith(_CONTROL):
            return self.control.answer(call)
        name = f"{call.method} {call.path}"
        self._expire_on_request()
        self.step()
        before = self.faults.draw(STAND_INS, name)
        if before is not None and before.name == "cut-before":
            return stand_in(before)
        known = set(self.app.book.orders)
        told: dict[str, Any] = {"kind": "call", "call": name, "fields": redacted(call.form())}
        if before is not None and not before.executes:
            self.write([{**told, "fault": before.name, "executed": False}])
            return stand_in(before)
        reply = self._carried_out(call)
        after = self.faults.draw(DAMAGE, name) if before is None else before
        self._hide(set(self.app.book.orders) - known)
        told |= {"executed": True, "status": reply.status}
        self.write([{**told, "fault": after.name} if after is not None else told])
        self.tell()
        if after is None:
            return reply
        return stand_in(after) if before is not None else spoil(after, reply)

    def _carried_out(self, call: Call) -> Reply:
        try:
            if call.path.endswith(("/quote", "/quote/ohlc", "/quote/ltp")) and self.faults.draw(
                ("empty-quote",), f"{call.method} {call.path}"
            ):
                return json_reply({"status": "success", "data": {}})
            return self.app.serve(call, time.monotonic_ns())
        except WireRefusal as refusal:
            told = {"status": "error", "message": str(refusal), "data": None, "error_type": refusal.error_type}
            return json_reply(told, refusal.code)

    def _hide(self, order_ids: set[str]) -> None:
        """Keep new orders out of the books for a while, where the fault says so."""
        for order_id in order_ids:
            fault = self.faults.draw(("late",), "POST /orders")
            if fault is not None:
                self._visible_at[order_id] = time.monotonic() + fault.figure(1.0)

    def _expire_on_request(self) -> None:
        if self.faults.draw(("token-expiry",), "*"):
            self.faults.clear("token-expiry")
            self.expire()

    def expire(self) -> None:
        """Let the token die; the tickers that live on it are closed."""
        self.app.expire()
        self.tickers.drop(1000)
        self.write([{"kind": "token", "what": "expired"}])

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def free_port() -> int:
    """A free loopback port below 32768, out of the way of the system's own choices."""
    for _ in range(200):
        port = 20_000 + secrets.randbelow(12_768)
        with socket.socket() as probe:
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
    raise BadData("no free port between 20000 and 32767; name one with --port")
