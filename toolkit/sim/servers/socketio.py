"""The server's side of Engine.IO 3 and 4 with Socket.IO on top, over ``websockets`` sans-IO.

The version is the client's ``EIO`` parameter, or what the install speaks. Heartbeats run in
real time: an EIO 3 client pings and is closed when it stops, an EIO 4 client is pinged and
closed when it does not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from toolkit.errors import BadData
from toolkit.market.socketio import BINARY_PREFIX, Kind, decode, encode_event, encode_open
from toolkit.sim.servers.faults import FaultBox
from toolkit.sim.servers.http import Call, abort
from toolkit.sim.xts_frames import malformed

__all__ = ["Peer", "SocketBoard"]

# websockets writes the request line, and with it the client's token, to its logger.
_SILENT: Final = logging.getLogger("toolkit.sim.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)
_MOST_BUFFERED: Final = 16 * 1024 * 1024
_UNSUPPORTED: Final = b'{"code":5,"message":"Unsupported protocol version"}'


class Peer:
    """One client's connection: what it asked for, and the state of its heart."""

    def __init__(self, number: int, api: str, eio: int, call: Call, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.api = api
        self.eio = eio
        self.path = call.path.rstrip("/")
        self.query = dict(call.query)
        self.writer = writer
        self.protocol = ServerProtocol(max_size=1 << 20, logger=_SILENT)
        self.opened_s = time.monotonic()
        self.heard_s = self.opened_s
        self.ping_s = self.opened_s
        self.connected = False
        self.deaf = False
        self.sent = 0
        self.beats = 0

    @property
    def call(self) -> str:
        """What faults name it by: ``WS /interactive/socket.io``."""
        return f"WS {self.path}"

    def flush(self) -> None:
        """Hand to the socket what the protocol wants sent, as long as there is one."""
        for data in self.protocol.data_to_send():
            if data and not self.writer.transport.is_closing():
                self.writer.write(data)

    def send(self, frame: str | bytes) -> None:
        """Send one frame; a client that lets 16 MB pile up is cut off."""
        if self.protocol.state.name != "OPEN" or self.deaf:
            return
        if isinstance(frame, str):
            self.protocol.send_text(frame.encode("utf-8", "surrogatepass"))
        else:
            self.protocol.send_binary(BINARY_PREFIX + frame if self.eio == 3 else frame)
        self.flush()
        if self.writer.transport.get_write_buffer_size() > _MOST_BUFFERED:
            abort(self.writer)

    def close(self, code: int = 0) -> None:
        """End it: with a close frame of ``code``, or (0) by a reset."""
        if not code:
            abort(self.writer)
        elif self.protocol.state.name == "OPEN":
            self.protocol.send_close(code)
            self.flush()


class SocketBoard:
    """All socket connections of a server.

    Parameters
    ----------
    faults : FaultBox
    speaks : str
        ``both``, ``3`` (whatever the client asks) or ``4`` (3 is refused as socket.io 4 does).
    ping_ms, timeout_ms : int
        The heartbeat.
    """

    def __init__(
        self, faults: FaultBox, *, speaks: str = "both", ping_ms: int = 25_000, timeout_ms: int = 5_000
    ) -> None:
        self.faults = faults
        self.speaks = speaks
        self.ping_ms = ping_ms
        self.timeout_ms = timeout_ms
        self.peers: dict[int, Peer] = {}
        self.told: list[dict[str, Any]] = []
        self._count = 0

    async def serve(
        self,
        call: Call,
        api: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        refusal: Callable[[], str],
    ) -> None:
        """Speak with one client until it goes; ``refusal`` gives why its namespace is refused, or nothing."""
        asked = 4 if dict(call.query).get("EIO") == "4" else 3
        self._count += 1
        peer = Peer(self._count, api, asked if self.speaks == "both" else int(self.speaks), call, writer)
        peer.protocol.receive_data(call.head)
        request = peer.protocol.events_received()[0]
        assert isinstance(request, Request)
        peer.protocol.send_response(peer.protocol.accept(request))
        peer.flush()
        if self.speaks == "4" and asked == 3:
            self._say(peer, "wrong version")
            writer.write(_bad_request())
            writer.close()
            return
        self.peers[peer.number] = peer
        self._say(peer, "open")
        try:
            self._open(peer, refusal)
            with contextlib.suppress(ConnectionError):
                await self._listen(peer, reader, refusal)
        finally:
            del self.peers[peer.number]
            self._say(peer, "close")
            writer.close()

    def emit(self, api: str, name: str, *args: Any) -> None:
        """Send an event to every connected client of an API."""
        for peer in self.of(api):
            self.event(peer, name, *args)

    def event(self, peer: Peer, name: str, *args: Any) -> None:
        """Send an event to one client, unless a fault keeps it quiet."""
        if not peer.connected or self.quiet(peer, "mute"):
            return
        frames = encode_event(name, *args)
        fault = self.faults.draw(("malformed",), peer.call)
        if fault is not None:
            frames = malformed(fault.arg or "cut", frames)
        peer.sent += 1
        for frame in frames:
            peer.send(frame)

    def of(self, api: str) -> list[Peer]:
        """The connections of one API."""
        return [peer for peer in self.peers.values() if peer.api == api]

    def beat(self) -> None:
        """Ping, find the dead, and break what a fault wants broken."""
        now_s = time.monotonic()
        for peer in list(self.peers.values()):
            if self.faults.draw(("half-open",), peer.call):
                peer.deaf = True
            if not peer.deaf:
                self._heart(peer, now_s)
        for peer in list(self.peers.values()):
            fault = self.faults.draw(("drop",), peer.call)
            if fault is not None:
                peer.close(int(fault.figure(0)))

    def drop(self, api: str | None = None, code: int = 0) -> int:
        """Break every connection (of one API); gives how many."""
        held = list(self.peers.values()) if api is None else self.of(api)
        for peer in held:
            peer.close(code)
        return len(held)

    def end(self, api: str, text: str) -> None:
        """Tell the clients of an API that their session is over, and close them."""
        for peer in self.of(api):
            self.event(peer, "logout", text)
            if not self.quiet(peer, "mute"):
                peer.send("41")
            peer.close(1000)

    def quiet(self, peer: Peer, name: str) -> bool:
        """Whether a fault keeps this connection quiet: for good, or for its first S real seconds."""
        fault = self.faults.on(name, peer.call)
        if fault is None:
            return peer.deaf
        return peer.deaf or time.monotonic() - peer.opened_s < fault.figure(float("inf"))

    def state(self) -> list[dict[str, Any]]:
        """Each connection: API, version, events sent, heartbeats heard."""
        return [
            {"socket": p.number, "api": p.api, "eio": p.eio, "sent": p.sent, "beats": p.beats}
            for p in self.peers.values()
        ]

    def _open(self, peer: Peer, refusal: Callable[[], str]) -> None:
        opening = encode_open(secrets.token_urlsafe(15), self.ping_ms, self.timeout_ms)
        if peer.eio == 4:
            opening = opening[:-1] + ',"maxPayload":1000000}'
        peer.send(opening)
        if peer.eio == 3:
            self._connect(peer, refusal)

    def _connect(self, peer: Peer, refusal: Callable[[], str]) -> None:
        why = refusal()
        if why:
            peer.send(f'44"{why}"' if peer.eio == 3 else f'44{{"message":"{why}"}}')
            self._say(peer, "refused")
            peer.close(1000)
            return
        peer.send("40" if peer.eio == 3 else f'40{{"sid":"{secrets.token_urlsafe(15)}"}}')
        peer.connected = True
        self.event(peer, "joined", "Connection is successful")

    async def _listen(self, peer: Peer, reader: asyncio.StreamReader, refusal: Callable[[], str]) -> None:
        while data := await reader.read(65536):
            if peer.deaf:
                await asyncio.Event().wait()
            peer.protocol.receive_data(data)
            for event in peer.protocol.events_received():
                if getattr(event, "opcode", None) is Opcode.TEXT:
                    self._heard(peer, bytes(event.data).decode("utf-8", "replace"), refusal)  # type: ignore[union-attr]
            peer.flush()
            if peer.protocol.close_expected():
                return

    def _heard(self, peer: Peer, text: str, refusal: Callable[[], str]) -> None:
        try:
            kind = decode(text).kind
        except BadData:
            return
        if kind is Kind.PING:
            peer.heard_s, peer.beats = time.monotonic(), peer.beats + 1
            peer.send("3" + text[1:])
        elif kind is Kind.PONG:
            peer.heard_s, peer.beats = time.monotonic(), peer.beats + 1
        elif kind is Kind.CONNECT and not peer.connected:
            self._connect(peer, refusal)
        elif kind in (Kind.DISCONNECT, Kind.CLOSE):
            peer.connected = False
            peer.close(1000)

    def _heart(self, peer: Peer, now_s: float) -> None:
        interval_s, timeout_s = self.ping_ms / 1000, self.timeout_ms / 1000
        if now_s - peer.heard_s > interval_s + timeout_s:
            self._say(peer, "dead")
            peer.close(1000)
        elif peer.eio == 4 and now_s - peer.ping_s >= interval_s:
            peer.ping_s = now_s
            peer.send("2")

    def _say(self, peer: Peer, what: str) -> None:
        self.told.append({"kind": "socket", "socket": peer.number, "api": peer.api, "eio": peer.eio, "what": what})


def _bad_request() -> bytes:
    """What socket.io 4 writes to an Engine.IO 3 client: a plain HTTP answer after the upgrade."""
    head = f"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: {len(_UNSUPPORTED)}\r\n\r\n"
    return head.encode() + _UNSUPPORTED
