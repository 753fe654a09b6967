"""HTTP/1.1 on asyncio streams, with the connection in reach: faults must be able to cut it anywhere.

A framework ends a response for you; a simulated exchange must reset after the record and
before the reply, keep a socket open and say nothing, or promise more bytes than it sends.
So the few rules of HTTP that brokers' clients use are spoken here, over plain streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

__all__ = ["Call", "Reply", "abort", "json_reply", "read_call", "send"]

_BODY: Final = 4 * 1024 * 1024


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request; ``head`` holds its first bytes as they came."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes
    head: bytes

    def form(self) -> dict[str, str]:
        """Query and form body as one mapping; the last of repeated keys wins."""
        found = dict(self.query)
        if "form-urlencoded" in self.headers.get("content-type", ""):
            found |= dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
        return found

    def every(self, name: str) -> list[str]:
        """All values of a repeated query key."""
        return [value for key, value in self.query if key == name]

    @property
    def upgrade(self) -> bool:
        """Whether the caller wants a WebSocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One answer and how it goes out.

    ``how`` is ``send``; ``chunked``; ``short`` (promise the whole body, send half, close); ``reset`` (TCP reset,
    no byte); ``close`` (end of stream, no byte); ``hold`` (say nothing, keep the connection open).
    ``delay_s`` is waited first, in real time.
    """

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes = b""
    how: str = "send"
    delay_s: float = 0.0


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """An answer in JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status=status, headers={"Content-Type": "application/json", **named}, body=msgspec.json.encode(value))


async def read_call(reader: asyncio.StreamReader) -> Call | None:
    """Read one request; None when the peer has closed, or sends what is no HTTP request."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > _BODY or "transfer-encoding" in headers:
        return None
    try:
        body = await reader.readexactly(int(length)) if int(length) else b""
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    parts = urlsplit(words[1])
    return Call(
        method=words[0].upper(),
        path=unquote(parts.path) or "/",
        query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
        headers=headers,
        body=body,
        head=head,
    )


async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reply: Reply, date: str) -> bool:
    """Send an answer; gives whether the connection may carry another call."""
    if reply.delay_s:
        await asyncio.sleep(reply.delay_s)
    if reply.how == "reset":
        abort(writer)
        return False
    if reply.how == "close":
        writer.close()
        return False
    if reply.how == "hold":
        await _until_closed(reader)
        writer.close()
        return False
    writer.write(_head(reply, date))
    if reply.how == "chunked":
        for start in range(0, len(reply.body), 1000):
            piece = reply.body[start : start + 1000]
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        writer.write(b"0\r\n\r\n")
    elif reply.how == "short":
        writer.write(reply.body[: len(reply.body) // 2])
    else:
        writer.write(reply.body)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
        if reply.how == "short":
            writer.close()
    return reply.how != "short"


def abort(writer: asyncio.StreamWriter) -> None:
    """Reset the connection: what was not read is lost, the peer sees an error and no end of stream."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _head(reply: Reply, date: str) -> bytes:
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}", f"Date: {date}", "Server: toolkit-sim"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    lines.append("Transfer-Encoding: chunked" if reply.how == "chunked" else f"Content-Length: {len(reply.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _until_closed(reader: asyncio.StreamReader) -> None:
    """Keep the connection without a byte until the peer gives up."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass
