"""The engine process: build, reconcile, listen, say so in one line, serve until told to end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from toolkit.config import Settings
from toolkit.orders.settings import EngineSettings
from toolkit.serve.alerts import Outlet
from toolkit.serve.app import make_app
from toolkit.serve.auth import TokenBook
from toolkit.serve.build import Built, Plan, build
from toolkit.serve.gate import Gate
from toolkit.serve.listen import Listener, bind
from toolkit.serve.metrics import Metrics
from toolkit.serve.pulse import Pulse
from toolkit.serve.settings import AlertSettings, ApiSettings
from toolkit.serve.stream import Stream

__all__ = ["Server", "serve"]

Say = Callable[[str], None]
_AUDITED: Final = 20
_MINUTE_NS: Final = 60 * 10**9


class Server:
    """A station with its API on one socket.

    Parameters
    ----------
    built : Built
    port : int or None
        None takes the setting; 0 a free one.
    """

    def __init__(self, built: Built, tree: Settings, port: int | None) -> None:
        self.built = built
        self.station = built.station
        api = tree.section("api", ApiSettings)
        self._host = api.host
        self._socket = bind(api.host, api.port if port is None else port)
        self.port = int(self._socket.getsockname()[1])
        self.tokens = TokenBook(time.time_ns)
        self.metrics = Metrics(self.station)
        self.outlet = Outlet(tree.section("alerts", AlertSettings), self.station.halt)
        self.station.tell = self.outlet.put
        stream = Stream(self.station, self.tokens, timer=time.monotonic_ns)
        engine = tree.section("engine", EngineSettings)
        throttle = engine.throttle_per_s
        self.pulse = Pulse(engine.stall_s, time.monotonic_ns)
        self.gate = Gate(
            make_app(self.station, self.metrics, stream),
            self.tokens,
            lambda: self.port,
            timer=time.monotonic_ns,
            trade_per_s=max(40.0, 4.0 * throttle),
            on_refused=self._refused,
        )
        self.listener = Listener(self.gate, self._socket)
        self._audits: set[asyncio.Task[None]] = set()
        self._audit_ns = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self._host}]" if ":" in self._host else "127.0.0.1"
        return f"http://{host}:{self.port}"

    async def start(self) -> dict[str, Any]:
        """Start everything; gives the ready line. Nothing is listened to before every account is reconciled."""
        token_file = self.tokens.open()
        try:
            await self.station.start()
        except BaseException:
            self._socket.close()
            raise
        try:
            await self.listener.start()
            self.outlet.start()
            self.pulse.start()
            for seat in self.station.seats.values():
                seat.engine.announce(self.url, token_file, self.station.mode)
        except BaseException:
            await self.stop()
            raise
        return self.ready(token_file)

    def ready(self, token_file: Path) -> dict[str, Any]:
        """The ready line."""
        return {
            "state": "ready",
            "url": self.url,
            "token_file": str(token_file),
            "pid": os.getpid(),
            "account": self.station.accounts[0],
            "mode": self.station.mode,
        }

    async def stop(self) -> None:
        """Take no more requests, then stop the engines."""
        await self.pulse.stop()
        await self.listener.stop()
        await self.station.stop()
        await self.outlet.stop()
        await self.built.close()

    def _refused(self, code: str) -> None:
        """Count a refusal; a wrong token is journaled (a flood of them once a minute, with their number) and told."""
        self.metrics.refused.labels(code).inc()
        if code != "token":
            return
        total, now_ns = self.gate.guesses.total, time.monotonic_ns()
        if total > _AUDITED and now_ns < self._audit_ns:
            return
        self._audit_ns = now_ns + _MINUTE_NS
        self.station.alert("wrong_token", f"{total} requests came with a wrong token since the start")
        task = asyncio.get_running_loop().create_task(self.station.audit("wrong_token", total=total))
        self._audits.add(task)
        task.add_done_callback(self._audits.discard)


async def serve(plan: Plan, port: int | None, say: Say, warn: Say) -> None:
    """Serve until SIGTERM or SIGINT; ``say`` gets the ready line, ``warn`` what a person should know."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    tree = Settings.load()
    starting = loop.create_task(_begin(plan, tree, port))
    ending = loop.create_task(over.wait())
    await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    server, line = starting.result()
    gc.freeze()  # what start-up made lives as long as the process: looking through it again would hold the loop up
    for note in server.built.notes:
        warn(f"serve: {note}")
    say(msgspec.json.encode(line).decode())
    try:
        await ending
    finally:
        await server.stop()


async def _begin(plan: Plan, tree: Settings, port: int | None) -> tuple[Server, dict[str, Any]]:
    built = await build(plan, tree)
    try:
        server = Server(built, tree, port)
        return server, await server.start()
    except BaseException:
        await built.close()
        raise
