"""The stream: topics over one WebSocket, each reader at its own pace.

Order events are read from the journal by each connection's own cursor: nothing waits in memory for a slow reader
and nothing is lost. Everything else is the newest value when the reader is ready for it (conflated), at most
``max_hz`` times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from toolkit.errors import ToolkitError, nearest
from toolkit.orders.station import Station
from toolkit.serve.auth import TokenBook
from toolkit.serve.gate import Bucket

__all__ = ["TOPICS", "Stream"]

TOPICS: Final = ("state", "orders", "positions", "pnl", "limits", "alerts", "ticks", "chain", "oi")
_FIRST_S: Final = 2.0
_SEND_S: Final = 30.0
_CHECK_S: Final = 1.0
_MOST_HZ: Final = 20.0
_MOST_TOPICS: Final = 32
_NAMED: Final = re.compile(r"(ticks|oi):[A-Z0-9&-]{1,20}|chain:[A-Z0-9&-]{1,20}:\d{4}-\d{2}-\d{2}")


class _Closed(Exception):
    def __init__(self, reason: str, code: int = 1008) -> None:
        super().__init__(reason)
        self.code = code


class Stream:
    """Serves every connection of one station."""

    def __init__(self, station: Station, tokens: TokenBook, *, timer: Callable[[], int]) -> None:
        self.station = station
        self.tokens = tokens
        self.timer = timer
        self.readers = 0

    async def serve(self, socket: WebSocket) -> None:
        """One connection, from the token in its first message to its end."""
        await socket.accept()
        try:
            try:
                async with asyncio.timeout(_FIRST_S):
                    first = _object(await socket.receive_text())
            except TimeoutError:
                raise _Closed("no token within 2 s") from None
            token = first.pop("token", None)
            if not isinstance(token, str) or self.tokens.scope(token) is None:
                raise _Closed("token")
            self.readers += 1
            try:
                await _Reader(self, socket, token).run(first)
            finally:
                self.readers -= 1
        except _Closed as end:
            with contextlib.suppress(RuntimeError):
                await socket.close(end.code, str(end)[:120])
        except (WebSocketDisconnect, KeyError):
            return


class _Reader:
    """One connection."""

    def __init__(self, stream: Stream, socket: WebSocket, token: str) -> None:
        self.stream = stream
        self.station = stream.station
        self.socket = socket
        self.token = token
        self.topics: dict[str, _Topic] = {}
        self.cursor: dict[str, int] | None = None
        self.alerts: int | None = None
        self.max_hz = 4.0
        self.wake = asyncio.Event()

    async def run(self, first: dict[str, Any]) -> None:
        self.station.wakes.add(self.wake)
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._hear(first)
            await self._send({"topic": "hello", "seq": 0, "data": {"topics": sorted(self._names())}})
            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(self._listen()), loop.create_task(self._pump())]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self.station.wakes.discard(self.wake)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for topic in self.topics.values():
                topic.close()

    def _names(self) -> set[str]:
        named = set(self.topics)
        return (
            named
            | ({"orders"} if self.cursor is not None else set())
            | ({"alerts"} if self.alerts is not None else set())
        )

    async def _listen(self) -> None:
        """What the client asks for later: ``subscribe`` and ``unsubscribe``."""
        bucket = Bucket(20.0, patience_s=0.0)
        while True:
            text = await self.socket.receive_text()
            if bucket.take(self.stream.timer()) is None:
                raise _Closed("too many messages a second")
            await self._hear(_object(text))
            self.wake.set()

    async def _hear(self, message: Mapping[str, Any]) -> None:
        known = ("topics", "subscribe", "unsubscribe", "after", "max_hz")
        for name in message:
            if name not in known:
                raise _Closed(f"no field '{name[:30]}'{nearest(name, known)}")
        hz = message.get("max_hz", self.max_hz)
        if not isinstance(hz, int | float) or isinstance(hz, bool) or not 0 < hz <= _MOST_HZ:
            raise _Closed(f"max_hz must lie in (0, {_MOST_HZ:g}]")
        self.max_hz = float(hz)
        for name in _names(message.get("unsubscribe", [])):
            self._drop(name)
        for name in [*_names(message.get("topics", [])), *_names(message.get("subscribe", []))]:
            self._add(name, message.get("after"))

    def _add(self, name: str, after: object) -> None:
        if len(self._names()) >= _MOST_TOPICS:
            raise _Closed(f"at most {_MOST_TOPICS} topics")
        if name == "orders":
            self.cursor = self._after(after)
        elif name == "alerts":
            self.alerts = 0
        elif name in self.topics:
            self.topics[name].hz = self.max_hz
        elif name in ("state", "positions", "pnl", "limits") or _NAMED.fullmatch(name):
            try:
                self.topics[name] = _Topic(self.station, name, self.max_hz)
            except ToolkitError as error:
                raise _Closed(str(error)) from None
        else:
            raise _Closed(f"no topic '{name[:40]}'{nearest(name, TOPICS)}")

    def _after(self, after: object) -> dict[str, int]:
        """Where each account's events begin: after a number, or from now on."""
        found = {account: self.station.last_seq(account) for account in self.station.accounts}
        if after is None:
            return found
        wanted = after if isinstance(after, dict) else dict.fromkeys(found, after)
        for account, seq in wanted.items():
            if account not in found or isinstance(seq, bool) or not isinstance(seq, int) or seq < 0:
                raise _Closed("after must be a sequence number, or one an account")
            found[account] = min(seq, found[account])
        return found

    def _drop(self, name: str) -> None:
        if name == "orders":
            self.cursor = None
        elif name == "alerts":
            self.alerts = None
        elif name in self.topics:
            self.topics.pop(name).close()

    async def _pump(self) -> None:
        """Send what is due, then wait for news or for the next due time."""
        checked_ns = self.stream.timer()
        while True:
            self.wake.clear()
            await self._orders()
            await self._alerts()
            now_ns = self.stream.timer()
            for topic in list(self.topics.values()):
                if topic.due_ns <= now_ns:
                    value = await topic.take(now_ns)
                    if value is not None:
                        await self._send({"topic": topic.name, "seq": topic.seq, "data": value})
            if now_ns - checked_ns >= _CHECK_S * 1e9:
                checked_ns = now_ns
                if self.stream.tokens.scope(self.token) is None:
                    raise _Closed("the token has expired")
            due_ns = min((t.due_ns for t in self.topics.values()), default=now_ns + int(_CHECK_S * 1e9))
            wait_s = max(0.0, min(_CHECK_S, (due_ns - self.stream.timer()) / 1e9))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):  # wait_for would swallow a cancellation that meets the wake
                    await self.wake.wait()

    async def _orders(self) -> None:
        """Every event since the cursor, from the journal: never conflated, never dropped."""
        if self.cursor is None:
            return
        for account in self.cursor:
            while self.cursor is not None:
                found = (await self.station.events(self.cursor[account], 256, account))["events"]
                for event in found:
                    order = self.station.order_row(account, event["cl_ord_id"])
                    data = {"event": event, "order": order}
                    await self._send({"topic": "orders", "seq": event["seq"], "account": account, "data": data})
                    if self.cursor is not None:
                        self.cursor[account] = event["seq"]
                if not found:
                    break

    async def _alerts(self) -> None:
        if self.alerts is None:
            return
        for alert in self.station.alerts_after(self.alerts):
            self.alerts = alert["seq"]
            await self._send({"topic": "alerts", "seq": alert["seq"], "data": alert})

    async def _send(self, message: Mapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(_SEND_S):
                await self.socket.send_text(msgspec.json.encode(message).decode())
        except TimeoutError:
            raise _Closed(f"nothing was taken for {_SEND_S:g} s", 1013) from None


class _Topic:
    """One conflated topic of one connection."""

    def __init__(self, station: Station, name: str, hz: float) -> None:
        self.name = name
        self.hz = hz
        self.seq = 0
        self.due_ns = 0
        self._station = station
        self._last = b""
        self._said_ns = 0
        self._dirty: set[int] | None = None
        if name.startswith("ticks:"):
            self._dirty = station.hub.tick_set(name.partition(":")[2])
        elif ":" in name:
            station.check_topic(name)

    async def take(self, now_ns: int) -> Any | None:
        """The newest value when it has changed (the state each second); None otherwise."""
        self.due_ns = now_ns + int(1e9 / self.hz)
        if self._dirty is not None:
            if not self._dirty:
                return None
            keys = sorted(self._dirty)
            self._dirty.clear()
            self.seq += 1
            return self._station.ticks(keys)
        try:
            value = await self._station.topic(self.name)
        except ToolkitError as error:
            value = {"error": str(error)}
        encoded = msgspec.json.encode(value)
        again = self.name == "state" and now_ns - self._said_ns >= 1_000_000_000
        if encoded == self._last and not again:
            return None
        self._last, self._said_ns = encoded, now_ns
        self.seq += 1
        return value

    def close(self) -> None:
        """Give back what the hub keeps for it."""
        if self._dirty is not None:
            self._station.hub.drop_tick_set(self.name.partition(":")[2], self._dirty)


def _object(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise _Closed("a message must be a JSON object") from None
    if not isinstance(found, dict):
        raise _Closed("a message must be a JSON object")
    return found


def _names(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value) or len(value) > _MOST_TOPICS:
        raise _Closed("topics must be a list of names")
    return value
