"""Engine.IO 3 and 4 with Socket.IO on top, over the WebSocket transport: no socket, no clock.

XTS servers speak Socket.IO 2 (Engine.IO 3), and no maintained library does on current
Python; this is the small part of it that a market feed needs. :func:`decode` and
:func:`encode_event` are the codec, for either end; :class:`ClientSession` is a client's
state: what was said, what to answer, when the heart must beat and when it has stopped.

Source: the Engine.IO protocol revisions 3 and 4, the Socket.IO protocol, and captured
frames of python-socketio 4.6.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import msgspec

from toolkit.errors import BadData

__all__ = [
    "BINARY_PREFIX",
    "ClientSession",
    "Closed",
    "Connected",
    "Event",
    "Kind",
    "Opened",
    "Packet",
    "Refused",
    "decode",
    "encode_event",
    "encode_open",
]

BINARY_PREFIX: Final = b"\x04"  # Engine.IO 3 puts its message type in front of an attachment
_S: Final = 1_000_000_000
_MAX_ATTACHMENTS: Final = 16


class Kind(IntEnum):
    """Engine.IO packet types, then Socket.IO's inside a message (offset 40)."""

    OPEN = 0
    CLOSE = 1
    PING = 2
    PONG = 3
    UPGRADE = 5
    NOOP = 6
    CONNECT = 40
    DISCONNECT = 41
    EVENT = 42
    ACK = 43
    CONNECT_ERROR = 44
    BINARY_EVENT = 45
    BINARY_ACK = 46


class Packet(msgspec.Struct, frozen=True):
    """One text frame: its kind, its JSON (None without), how many attachments follow, its ack id."""

    kind: Kind
    body: Any = None
    attachments: int = 0
    ack: int | None = None


class Opened(msgspec.Struct, frozen=True):
    """The engine is open: the heartbeat's interval and time-out."""

    ping_interval_ns: int
    ping_timeout_ns: int


class Connected(msgspec.Struct, frozen=True):
    """The namespace is connected: events may come now."""


class Event(msgspec.Struct, frozen=True):
    """An event with its arguments, attachments put in place of their placeholders."""

    name: str
    args: tuple[Any, ...]


class Refused(msgspec.Struct, frozen=True):
    """The server refused the namespace, as for a dead token."""

    text: str


class Closed(msgspec.Struct, frozen=True):
    """The server ended the namespace or the engine."""

    text: str


Happening = Opened | Connected | Event | Refused | Closed


def decode(frame: str) -> Packet:
    """Decode one text frame.

    Raises
    ------
    BadData
        For an unknown type, broken JSON or a malformed header.

    >>> decode('42["order",{"a":1}]')
    Packet(kind=<Kind.EVENT: 42>, body=['order', {'a': 1}], attachments=0, ack=None)
    >>> decode('451-["xts-binary-packet",{"_placeholder":true,"num":0}]').attachments
    1
    """
    if not frame or not frame[0].isascii() or not frame[0].isdigit():
        raise BadData(f"frame must start with a packet type, was {frame[:20]!r}")
    if frame[0] != "4":
        return Packet(_kind(int(frame[0]), frame), _json(frame[1:]) if frame[0] == "0" else None)
    if len(frame) < 2 or not frame[1].isascii() or not frame[1].isdigit():
        raise BadData(f"message must name its type, was {frame[:20]!r}")
    kind = _kind(40 + int(frame[1]), frame)
    at = 2
    attachments = 0
    if kind in (Kind.BINARY_EVENT, Kind.BINARY_ACK):
        digits, dash, _ = frame[2:].partition("-")
        if not dash or not digits.isascii() or not digits.isdigit() or not 0 <= int(digits[:4]) <= _MAX_ATTACHMENTS:
            raise BadData(f"binary message must name 0 to {_MAX_ATTACHMENTS} attachments, was {frame[:20]!r}")
        attachments = int(digits)
        at += len(digits) + 1
    if frame[at : at + 1] == "/":  # a namespace other than the default one
        name, comma, _ = frame[at:].partition(",")
        at += len(name) + len(comma)
    start = at
    while at < len(frame) and at - start < 10 and frame[at].isascii() and frame[at].isdigit():
        at += 1
    ack = int(frame[start:at]) if at > start else None
    return Packet(kind, _json(frame[at:]), attachments, ack)


def encode_event(name: str, *args: Any) -> list[str | bytes]:
    """The frames of an event: text, then one binary frame for each bytes argument (no prefix).

    >>> encode_event("joined", "x")
    ['42["joined","x"]']
    """
    blobs: list[bytes] = []
    placed: list[Any] = [name]
    for arg in args:
        if isinstance(arg, bytes):
            placed.append({"_placeholder": True, "num": len(blobs)})
            blobs.append(arg)
        else:
            placed.append(arg)
    text = msgspec.json.encode(placed).decode()
    head = f"45{len(blobs)}-" if blobs else "42"
    return [head + text, *blobs]


def encode_open(sid: str, ping_interval_ms: int, ping_timeout_ms: int) -> str:
    """The server's opening frame."""
    body = {"sid": sid, "upgrades": [], "pingInterval": ping_interval_ms, "pingTimeout": ping_timeout_ms}
    return "0" + msgspec.json.encode(body).decode()


class ClientSession:
    """A client's side of one connection.

    Give it what arrives (:meth:`receive`), send what :meth:`to_send` returns, call
    :meth:`beat` when :attr:`next_ns` has come. Frames that cannot be read are counted in
    ``odd`` and skipped: one bad frame does not end a feed. Any frame proves that the other side
    lives.

    Parameters
    ----------
    eio : int
        The version asked for.
    adapt : bool
        Whether what the server shows of its version counts for more than what was asked for.
    ping_ns, pong_ns : int, optional
        Ping at least that often, and wait at most that long for an answer, where the server allows more
        (Engine.IO 3; in version 4 the server alone pings).
    """

    def __init__(
        self, eio: int = 3, *, adapt: bool = False, ping_ns: int | None = None, pong_ns: int | None = None
    ) -> None:
        if eio not in (3, 4):
            raise BadData(f"eio must be 3 or 4, was {eio!r}")
        self.eio = eio
        self.odd = 0
        self.connected = False
        self.next_ns: int | None = None
        self._out: list[str] = []
        self._interval_ns = 0
        self._timeout_ns = 0
        self._adapt = adapt
        self._ping_ns = ping_ns
        self._pong_ns = pong_ns
        self._awaiting_pong = False
        self._heard = False
        self._pending: Packet | None = None
        self._blobs: list[bytes] = []

    def to_send(self) -> list[str]:
        """Take the frames to send now."""
        out, self._out = self._out, []
        return out

    def receive(self, frame: str | bytes, now_ns: int) -> list[Happening]:
        """Take one frame and say what it means."""
        self._heard = True
        if self.eio == 4 and self.next_ns is not None:
            self.next_ns = now_ns + self._interval_ns + self._timeout_ns
        if isinstance(frame, (bytes, bytearray, memoryview)):
            return self._binary(bytes(frame))
        try:
            packet = decode(frame)
        except BadData:
            self.odd += 1
            return []
        if self._pending is not None:
            self._pending, self._blobs = None, []
            self.odd += 1
        if packet.kind in (Kind.OPEN, Kind.PING, Kind.PONG, Kind.CLOSE):
            return self._engine(packet, now_ns)
        return self._message(packet, now_ns)

    def beat(self, now_ns: int) -> Closed | None:
        """Let the heart beat: a ping to send, or the finding that the other side is dead."""
        if self.next_ns is None or now_ns < self.next_ns:
            return None
        if self.eio == 4:
            return Closed(f"no ping for {(self._interval_ns + self._timeout_ns) / _S:g} s")
        patience_ns = _least(self._timeout_ns, self._pong_ns)
        if self._awaiting_pong and not self._heard:
            return Closed(f"no pong within {patience_ns / _S:g} s")
        self._out.append("2")
        self._awaiting_pong, self._heard = True, False
        self.next_ns = now_ns + patience_ns
        return None

    def _engine(self, packet: Packet, now_ns: int) -> list[Happening]:
        if packet.kind is Kind.CLOSE:
            return [Closed("the server closed the engine")]
        if packet.kind is Kind.OPEN:
            return self._open(packet.body, now_ns)
        if packet.kind is Kind.PING:
            self._out.append("3")
            self._speaks(4, now_ns)
        elif self._awaiting_pong:
            self._awaiting_pong = False
            self.next_ns = now_ns + _least(self._interval_ns, self._ping_ns)
        return []

    def _open(self, body: Any, now_ns: int) -> list[Happening]:
        interval, timeout = _ms(body, "pingInterval", 25_000), _ms(body, "pingTimeout", 5_000)
        self._interval_ns, self._timeout_ns = interval, timeout
        if isinstance(body, dict) and "maxPayload" in body and self._adapt:
            self.eio = 4  # only version 4 states it
        if self.eio == 4:
            self._out.append("40")
        self._restart(now_ns)
        return [Opened(interval, timeout)]

    def _restart(self, now_ns: int) -> None:
        """Let the heart of this version start anew."""
        self._awaiting_pong = False
        interval = self._interval_ns + self._timeout_ns if self.eio == 4 else _least(self._interval_ns, self._ping_ns)
        self.next_ns = now_ns + interval

    def _speaks(self, eio: int, now_ns: int) -> None:
        """The server has shown its version."""
        if self._adapt and self.eio != eio:
            self.eio = eio
            self._restart(now_ns)

    def _message(self, packet: Packet, now_ns: int) -> list[Happening]:
        if packet.kind is Kind.CONNECT:
            # version 4 answers with a session id, version 3 connects unasked and without one
            self._speaks(4 if isinstance(packet.body, dict) and "sid" in packet.body else 3, now_ns)
            repeated, self.connected = self.connected, True
            return [] if repeated else [Connected()]
        if packet.kind is Kind.CONNECT_ERROR:
            return [Refused(_text(packet.body))]
        if packet.kind is Kind.DISCONNECT:
            self.connected = False
            return [Closed("the server closed the namespace")]
        if packet.kind is Kind.EVENT:
            return self._event(packet.body)
        if packet.kind is Kind.BINARY_EVENT:
            self._pending = packet
            return self._complete()
        return []

    def _binary(self, blob: bytes) -> list[Happening]:
        if self._pending is None:
            self.odd += 1
            return []
        if self.eio == 3 and blob[:1] == BINARY_PREFIX:
            blob = blob[1:]
        self._blobs.append(blob)
        return self._complete()

    def _complete(self) -> list[Happening]:
        packet = self._pending
        if packet is None or len(self._blobs) < packet.attachments:
            return []
        blobs, self._pending, self._blobs = self._blobs, None, []
        if not isinstance(packet.body, list):
            self.odd += 1
            return []
        return self._event([_place(item, blobs) for item in packet.body])

    def _event(self, body: Any) -> list[Happening]:
        if not isinstance(body, list) or not body or not isinstance(body[0], str):
            self.odd += 1
            return []
        return [Event(body[0], tuple(body[1:]))]


def _least(stated_ns: int, own_ns: int | None) -> int:
    return stated_ns if own_ns is None else min(stated_ns, own_ns)


def _place(item: Any, blobs: list[bytes]) -> Any:
    if isinstance(item, dict) and item.get("_placeholder") is True:
        num = item.get("num")
        return blobs[num] if isinstance(num, int) and 0 <= num < len(blobs) else None
    return item


def _kind(number: int, frame: str) -> Kind:
    try:
        return Kind(number)
    except ValueError:
        raise BadData(f"unknown packet type, was {frame[:20]!r}") from None


def _json(text: str) -> Any:
    if not text:
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise BadData(f"frame holds no JSON: {error}") from None


def _ms(body: Any, key: str, default: int) -> int:
    value = body.get(key) if isinstance(body, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 3_600_000:
        value = default
    return int(value * 1_000_000)


def _text(body: Any) -> str:
    if isinstance(body, str):
        return body
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    return msgspec.json.encode(body).decode()
