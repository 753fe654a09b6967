"""What every simulated broker's server does: one loopback port, time, record before reply, faults on the way."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import math
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from toolkit.calendar import to_ist
from toolkit.errors import BadData
from toolkit.sim.servers.clock import SimClock
from toolkit.sim.servers.faults import DAMAGE, STAND_INS, Fault, FaultBox, spoil, stand_in
from toolkit.sim.servers.http import Call, Reply, read_call, send
from toolkit.sim.servers.record import Record
from toolkit.sim.world import World

__all__ = ["LoopbackServer", "free_port"]

_HOST: Final = "127.0.0.1"
_CONTROL: Final = "/__sim/"


class LoopbackServer(ABC):
    """One simulated broker on one port; what is said on it is the subclass's.

    Parameters
    ----------
    world : World
        The simulated day.
    clock : SimClock
        Simulated time.
    record : Record
        Written to disk before any reply to what it tells of.
    faults : FaultBox
        What goes wrong.
    beat_s : float
        Real seconds between calls of :meth:`beat`.
    """

    def __init__(self, world: World, clock: SimClock, record: Record, faults: FaultBox, *, beat_s: float = 1.0) -> None:
        self.world = world
        self.clock = clock
        self.record = record
        self.faults = faults
        self._beat_s = beat_s
        self.visible_at: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.on_end: Callable[[], None] = lambda: None
        self._ended = False
        self._tasks: set[asyncio.Task[None]] = set()

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
        self.ticks(touched)
        if not self._ended and self.world.next_ns() is None:
            self._ended = True
            self.write([{"kind": "data", "what": "ended"}])
            self.on_end()

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append to the record."""
        if rows:
            self.record.append(rows, self.now_text(), time.monotonic_ns())

    def now_text(self) -> str:
        """The simulated time in Indian clocks, for the record."""
        return to_ist(self.world.now_ns).isoformat()

    def wake(self) -> None:
        """Have the feed look at the clock at once (it was moved)."""
        self._wake.set()

    def date(self) -> str:
        """The simulated time as an HTTP Date."""
        return email.utils.formatdate(self.clock.now_ns() // 10**9, usegmt=True)

    def hidden(self, order_id: str) -> bool:
        """Whether a fault still keeps this order out of the books."""
        return time.monotonic() < self.visible_at.get(order_id, 0.0)

    def answer(self, call: Call) -> Reply:
        """Answer one call, with whatever goes wrong on the way; the record comes first."""
        if call.path.startswith(_CONTROL):
            return self.controlled(call)
        name = f"{call.method} {call.path}"
        self.expire_on_request(call)
        self.step()
        before = self.faults.draw(STAND_INS, name)
        if before is not None and before.name == "cut-before":
            return self.stand_in(before)
        known = self.order_ids()
        told: dict[str, Any] = {"kind": "call", "call": name, "fields": self.fields(call)}
        if before is not None and not before.executes:
            self.write([{**told, "fault": before.name, "executed": False}])
            return self.stand_in(before)
        reply = self.carried_out(call)
        after = self.faults.draw(DAMAGE, name) if before is None else before
        self._hide(self.order_ids() - known)
        told |= {"executed": True, "status": reply.status}
        self.write([{**told, "fault": after.name} if after is not None else told])
        self.tell()
        if after is None:
            return reply
        return self.stand_in(after) if before is not None else spoil(after, reply)

    def stand_in(self, fault: Fault) -> Reply:
        """The answer of a call that a fault stands in for."""
        return stand_in(fault)

    def expire_on_request(self, call: Call) -> None:
        """Let the token die where a fault says so; it dies once."""
        if self.faults.draw(("token-expiry",), f"{call.method} {call.path}"):
            self.faults.clear("token-expiry")
            self.expire()

    @abstractmethod
    def controlled(self, call: Call) -> Reply:
        """Answer a call to the simulator itself."""

    @abstractmethod
    def carried_out(self, call: Call) -> Reply:
        """Answer a call to the broker; refusals are answers."""

    @abstractmethod
    def fields(self, call: Call) -> Mapping[str, Any]:
        """What the record keeps of a call, without secrets."""

    @abstractmethod
    def order_ids(self) -> set[str]:
        """Every order in the books."""

    @abstractmethod
    def tell(self) -> None:
        """Put on record what has happened, then send what clients must hear."""

    @abstractmethod
    def ticks(self, keys: npt.NDArray[np.int64]) -> None:
        """Publish the new day rows of ``keys``."""

    @abstractmethod
    def beat(self) -> None:
        """Do what is due every ``beat_s``."""

    @abstractmethod
    def expire(self) -> None:
        """Let the token die."""

    @abstractmethod
    async def upgraded(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak with a client that wants a WebSocket until it goes."""

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
                self.beat()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._keep(task)
        try:
            while (call := await read_call(reader)) is not None:
                if call.upgrade:
                    await self.upgraded(call, reader, writer)
                    return
                if not await send(reader, writer, self.answer(call), self.date()):
                    return
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _hide(self, order_ids: set[str]) -> None:
        """Keep new orders out of the books for a while, where the fault says so."""
        for order_id in sorted(order_ids):
            fault = self.faults.draw(("late",), "POST /orders")
            if fault is not None:
                self.visible_at[order_id] = time.monotonic() + fault.figure(1.0)

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
