"""What every request passes before it means anything: host, origin, token, scope, rate, form and size.

One ASGI layer for HTTP and WebSocket. Whatever it refuses has touched nothing. The token of a stream comes in its
first message (``stream.py``); everything else is checked here for it too.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from toolkit.serve.auth import SCOPES, Guesses, TokenBook

__all__ = ["MAX_BODY", "MAX_HEADERS", "Bucket", "Gate", "error_body", "needed_scope"]

MAX_BODY: Final = 64 * 1024
MAX_HEADERS: Final = 16 * 1024
_BODY_S: Final = 5.0
_S: Final = 1_000_000_000
_STATE_CHANGES: Final = frozenset({"POST", "PATCH", "DELETE", "PUT"})
_OVERRIDES: Final = ("x-http-method-override", "x-http-method", "x-method-override")
_ADMIN: Final = frozenset({"/v1/resume"})
_NEVER_LATE: Final = frozenset({"/v1/halt"})

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def error_body(code: str, text: str, request_id: str, **more: object) -> bytes:
    """An error as one line of JSON; never a stack."""
    line = " ".join(text.split())
    return msgspec.json.encode({"error": {"code": code, "text": line, "request_id": request_id, **more}})


def needed_scope(method: str, path: str) -> str | None:
    """The scope that a request needs; None for what anybody on this machine may ask."""
    if path == "/health":
        return None
    if method in ("GET", "HEAD"):
        return "read"
    return "admin" if path in _ADMIN else "trade"


class Bucket:
    """So many requests a second, as many at once; a little more is made to wait, much more is refused.

    Parameters
    ----------
    per_s : float
    patience_s : float
        The longest wait before a refusal.
    """

    def __init__(self, per_s: float, patience_s: float = 2.0) -> None:
        self.per_s = per_s
        self._patience_s = patience_s
        self._left = per_s
        self._at_ns: int | None = None

    def take(self, now_ns: int) -> float | None:
        """Take one: the seconds to wait before it may go on, None for a refusal (nothing is taken)."""
        since = 0 if self._at_ns is None else now_ns - self._at_ns
        self._left = min(self.per_s, self._left + since / _S * self.per_s)
        self._at_ns = now_ns
        wait_s = max(0.0, (1.0 - self._left) / self.per_s)
        if wait_s > self._patience_s:
            return None
        self._left -= 1.0
        return wait_s


class Gate:
    """The layer in front of the application.

    Parameters
    ----------
    app : ASGI application
    tokens : TokenBook
    port : callable
        The port that is listened on, known once it is.
    timer : callable
        Monotonic nanoseconds.
    read_per_s, trade_per_s : float
        Requests a second; cancels and halts are never limited.
    """

    def __init__(
        self,
        app: Any,
        tokens: TokenBook,
        port: Callable[[], int],
        *,
        timer: Callable[[], int],
        read_per_s: float = 20.0,
        trade_per_s: float = 40.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        on_refused: Callable[[str], None] = lambda code: None,
    ) -> None:
        self.app = app
        self.tokens = tokens
        self.guesses = Guesses()
        self._port = port
        self._timer = timer
        self._sleep = sleep
        self._on_refused = on_refused
        self._buckets = {
            "read": {scope: Bucket(read_per_s) for scope in SCOPES},
            "trade": {scope: Bucket(trade_per_s) for scope in SCOPES},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})["request_id"] = secrets.token_hex(8)
        heads = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._place(heads)
        if scope["type"] == "websocket":
            if refusal is not None:
                self._on_refused(refusal[1])
                await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
                return
            await self.app(scope, receive, send)
            return
        refusal = refusal or await self._token(scope, heads) or self._form(scope, heads)
        body: bytes | None = b""
        if refusal is None:
            body, refusal = await self._body(heads, receive)
        if refusal is not None:
            await self._refuse(scope, send, *refusal)
            return
        await self.app(scope, _once(body or b"", receive), send)

    def _place(self, heads: dict[str, str]) -> tuple[int, str, str] | None:
        """The name we were called by, and the page that calls."""
        port = self._port()
        hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        if heads.get("host") not in hosts:
            return 403, "host", "this engine answers to 127.0.0.1 and localhost only"
        origin = heads.get("origin")
        if origin is not None and origin not in {f"http://{host}" for host in hosts}:
            return 403, "origin", "pages of another origin may not call this engine"
        if any(name in heads for name in _OVERRIDES):
            return 403, "override", "a request's method is its own; leave the override header out"
        return None

    async def _token(self, scope: Scope, heads: dict[str, str]) -> tuple[int, str, str] | None:
        path, method = scope["path"], scope["method"]
        needed = needed_scope(method, path)
        if needed is None:
            return None
        kind, _, token = heads.get("authorization", "").partition(" ")
        held = self.tokens.scope(token.strip() if kind.lower() == "bearer" else None)
        if held is None:
            await self.late()
            return 401, "token", "a valid token is needed: Authorization: Bearer TOKEN, from the engine's token file"
        scope["state"]["scope"] = held
        if SCOPES.index(held) < SCOPES.index(needed):
            return 403, "scope", f"this needs a token of scope {needed}, was {held}"
        if method != "DELETE" and path not in _NEVER_LATE:
            sort = "read" if needed == "read" else "trade"
            wait_s = self._buckets[sort][held].take(self._timer())
            if wait_s is None:
                return 429, "rate", "too many requests a second; wait a second"
            if wait_s:
                await self._sleep(wait_s)
        return None

    async def late(self) -> None:
        """Count a wrong token, and wait when there were many."""
        wait_s = self.guesses.wrong(self._timer())
        if wait_s:
            await self._sleep(wait_s)

    @staticmethod
    def _form(scope: Scope, heads: dict[str, str]) -> tuple[int, str, str] | None:
        if scope["method"] not in _STATE_CHANGES:
            return None
        kind = heads.get("content-type", "").partition(";")[0].strip().lower()
        empty = "transfer-encoding" not in heads and heads.get("content-length", "0") == "0"
        if kind == "application/json" or (kind == "" and empty and scope["method"] == "DELETE"):
            return None
        return 415, "content_type", "a change is sent as Content-Type: application/json"

    @staticmethod
    async def _body(heads: dict[str, str], receive: Receive) -> tuple[bytes | None, tuple[int, str, str] | None]:
        """The whole body, in time and in bounds."""
        too_long = (413, "body", f"a body holds at most {MAX_BODY} bytes")
        declared = heads.get("content-length", "0")
        if not declared.isdecimal() or int(declared[:12]) > MAX_BODY:
            return None, too_long
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_BODY_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None, (400, "cut", "the request ended early")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > MAX_BODY:
                        return None, too_long
                    if not message.get("more_body", False):
                        return b"".join(parts), None
        except TimeoutError:
            return None, (408, "slow", f"a body must come within {_BODY_S:g} s")

    async def _refuse(self, scope: Scope, send: Send, status: int, code: str, text: str) -> None:
        self._on_refused(code)
        body = error_body(code, text, scope["state"]["request_id"])
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers.append((b"cache-control", b"no-store"))
        if status == 429:
            headers.append((b"retry-after", b"1"))
        if status in (408, 413):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _once(body: bytes, receive: Receive) -> Receive:
    """The body that was read already, and then what else comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again
