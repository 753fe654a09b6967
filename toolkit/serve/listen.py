"""The listening side of uvicorn, with bounds: connections, idle sockets, headers, frames."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from toolkit.errors import BadData
from toolkit.serve.gate import MAX_HEADERS

__all__ = ["MOST_CONNECTIONS", "Listener", "bind"]

MOST_CONNECTIONS: Final = 100
_FIRST_S: Final = 5.0
_FRAME: Final = 64 * 1024


class _Bounded(H11Protocol):
    """A connection that must ask for something soon, and is cut at once when there are too many."""

    _first: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._first = self.loop.call_later(_FIRST_S, self._idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        asked = self.conn.their_state is not h11.IDLE
        if asked or self.transport.get_protocol() is not self:
            self._stop()  # it asked for something, or became a stream

    def _stop(self) -> None:
        if self._first is not None:
            self._first.cancel()
            self._first = None

    def _idle(self) -> None:
        self.transport.abort()


def bind(host: str, port: int) -> socket.socket:
    """Take the address; loopback only.

    Raises
    ------
    BadData
        When it is not this machine's own, or taken.
    """
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise BadData(f"the API listens on 127.0.0.1 or ::1 only, was {host!r}; put a TLS proxy in front for others")
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise BadData(f"port {port} cannot be used: {error.strerror}; choose another, or 0 for a free one") from None
    return made


class Listener:
    """One application on one socket, inside the running loop: it takes no signal and writes no log line a request."""

    def __init__(self, app: Any, sock: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http=_Bounded,
            ws="websockets-sansio",
            ws_max_size=_FRAME,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            ws_per_message_deflate=False,
            h11_max_incomplete_event_size=MAX_HEADERS,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config)
        self._socket = sock
        self._task: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections)

    async def start(self) -> None:
        """Listen; returns when connections are taken."""
        self._task = asyncio.get_running_loop().create_task(self._server._serve([self._socket]), name="api")
        await self._server.up.wait()

    async def stop(self) -> None:
        """Close every connection and the socket."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


class _Server(uvicorn.Server):
    """uvicorn that says when it listens; it takes no signal, for that is the engine's own business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()
