"""Kite's ticker frames to structured arrays and back to nothing else: no socket, no clock.

A binary frame is ``uint16 count`` and then ``count`` times ``uint16 length`` and a packet
of that length, all big-endian; a frame of one byte is a heartbeat. The packet's length
alone tells what it is. Every word of a packet is kept as it came, an unsigned integer;
:func:`prices` divides by the segment's divisor when somebody wants rupees.

Source: Kite Connect v3 documentation of the WebSocket API, and the packets the official
client parses.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from numba import njit

from toolkit.errors import BadData

__all__ = [
    "DEPTH",
    "FULL",
    "INDEX_FULL",
    "INDEX_QUOTE",
    "LTP",
    "QUOTE",
    "TICK",
    "Decoded",
    "TextFrame",
    "TickBuffer",
    "decode",
    "decode_text",
    "is_heartbeat",
    "mode_frame",
    "prices",
    "subscribe_frame",
    "unsubscribe_frame",
]

LTP: Final = 1
QUOTE: Final = 2
FULL: Final = 3
INDEX_QUOTE: Final = 4
INDEX_FULL: Final = 5

# The last word of a wire entry is (uint16 orders, 2 bytes padding); swapped as one word the orders come second.
DEPTH: Final = np.dtype([("qty", "<u4"), ("price", "<u4"), ("padding", "<u2"), ("orders", "<u2")])

# In the wire's order, so that a full packet is 46 swapped words; our own words follow.
TICK: Final = np.dtype(
    [
        ("token", "<u4"),
        ("ltp", "<u4"),
        ("last_qty", "<u4"),
        ("avg_px", "<u4"),
        ("volume", "<u4"),
        ("total_bid_qty", "<u4"),
        ("total_ask_qty", "<u4"),
        ("open", "<u4"),
        ("high", "<u4"),
        ("low", "<u4"),
        ("close", "<u4"),
        ("last_trade_s", "<u4"),
        ("oi", "<u4"),
        ("oi_high", "<u4"),
        ("oi_low", "<u4"),
        ("exch_s", "<u4"),
        ("bid", DEPTH, (5,)),
        ("ask", DEPTH, (5,)),
        ("kind", "<u4"),
        ("divisor", "<u4"),
        ("recv_ns", "<i8"),
    ]
)
_MIN_PACKET: Final = 10  # two bytes of length and the shortest packet

_PRICES: Final = ("ltp", "avg_px", "open", "high", "low", "close")


class Decoded(NamedTuple):
    """What a frame held: ``ticks`` (n,) of :data:`TICK`; ``skipped`` packets of a length
    nobody knows; ``fault`` a text when the frame was cut or malformed, else empty. Ticks
    before the fault are good and are kept."""

    ticks: npt.NDArray[Any]
    skipped: int
    fault: str


class TextFrame(msgspec.Struct, frozen=True):
    """A text frame: ``kind`` is order, error, message or other; ``body`` as decoded."""

    kind: str
    body: Any


@njit(cache=True, nogil=True, inline="always")
def _word(b: npt.NDArray[np.uint8], i: np.uint64) -> np.uint32:
    return np.uint32(
        (np.uint32(b[i]) << np.uint32(24))
        | (np.uint32(b[i + np.uint64(1)]) << np.uint32(16))
        | (np.uint32(b[i + np.uint64(2)]) << np.uint32(8))
        | np.uint32(b[i + np.uint64(3)])
    )


@njit(cache=True, nogil=True, inline="always")
def _divisor(segment: int) -> int:
    return 10_000_000 if segment == 3 else 10_000 if segment == 6 or segment == 12 else 100


@njit(cache=True, nogil=True, inline="always")
def _kind(length: int) -> int:
    if length == 184:
        return 3
    return 2 if length == 44 else 1 if length == 8 else 4 if length == 28 else 5 if length == 32 else 0


# One function: indices are unsigned (no wrap-around test) and the loop of a full packet has a constant length, so
# that LLVM turns the four byte loads of a word into one swapped load; rows as slices cost five times as much.
@njit(cache=True, nogil=True)
def _decode(b: npt.NDArray[np.uint8], recv_ns: int, out: npt.NDArray[np.uint32]) -> Any:
    """Ticks written, packets skipped, and the byte at which the frame broke off (-1: whole)."""
    size = b.size
    count = (np.int64(b[0]) << 8) | np.int64(b[1])
    low = np.uint32(recv_ns & 0xFFFFFFFF)
    high = np.uint32((recv_ns >> 32) & 0xFFFFFFFF)
    at = np.int64(2)
    n = 0
    skipped = 0
    for _ in range(count):
        if at + 2 > size:
            return n, skipped, at
        length = (np.int64(b[np.uint64(at)]) << 8) | np.int64(b[np.uint64(at + 1)])
        start = np.uint64(at + 2)
        at = at + 2 + length
        if at > size:
            return n, skipped, np.int64(start)
        kind = _kind(length)
        if kind == 0:
            skipped += 1
            continue
        row = np.uint64(n * 50)
        if kind == 3:
            for j in range(46):
                out[row + np.uint64(j)] = _word(b, start + np.uint64(4 * j))
        else:
            words = 11 if kind == 2 else 2
            for j in range(words):
                out[row + np.uint64(j)] = _word(b, start + np.uint64(4 * j))
            for j in range(words, 46):
                out[row + np.uint64(j)] = np.uint32(0)
            if kind >= 4:
                out[row + np.uint64(8)] = _word(b, start + np.uint64(8))
                out[row + np.uint64(9)] = _word(b, start + np.uint64(12))
                out[row + np.uint64(7)] = _word(b, start + np.uint64(16))
                out[row + np.uint64(10)] = _word(b, start + np.uint64(20))
            if kind == 5:
                out[row + np.uint64(15)] = _word(b, start + np.uint64(28))
        out[row + np.uint64(46)] = np.uint32(kind)
        out[row + np.uint64(47)] = np.uint32(_divisor(np.int64(b[start + np.uint64(3)])))
        out[row + np.uint64(48)] = low
        out[row + np.uint64(49)] = high
        n += 1
    return n, skipped, at if at != size else -1


def is_heartbeat(frame: bytes | bytearray | memoryview) -> bool:
    """Say whether a binary frame is Kite's heartbeat: one byte of any value."""
    return len(frame) == 1


class TickBuffer:
    """Room for ``capacity`` ticks, made once and decoded into again and again."""

    __slots__ = ("_words", "ticks")

    def __init__(self, capacity: int) -> None:
        self.ticks: npt.NDArray[Any] = np.zeros(capacity, TICK)
        self._words = self.ticks.view(np.uint32)


def decode(frame: bytes | bytearray | memoryview, recv_ns: int = 0, *, into: TickBuffer | None = None) -> Decoded:
    """Decode one binary frame.

    Parameters
    ----------
    frame : bytes-like
        The WebSocket message.
    recv_ns : int
        When it was received, nanoseconds UTC; kept on every tick.
    into : TickBuffer, optional
        Room to decode into; the ticks returned are a view of it, good until the next call.

    Returns
    -------
    Decoded
        Ticks in the order of the frame, with what was skipped and where it broke off.

    Raises
    ------
    BadData
        When ``into`` is too small. A malformed frame raises nothing: its good ticks come back with the fault.
    """
    size = len(frame)
    if size < 4:
        fault = "" if size == 1 else f"frame of {size} bytes is too short; a frame has a count and packets"
        return Decoded(np.empty(0, TICK), 0, fault)
    # No more packets fit in the bytes than this, whatever the count says.
    room = min((frame[0] << 8) | frame[1], (size - 2) // _MIN_PACKET)
    if into is None:
        into = TickBuffer(room)
    elif into.ticks.size < room:
        raise BadData(f"the buffer must hold at least {room} ticks, was {into.ticks.size}")
    n, skipped, broke = _decode(np.frombuffer(frame, np.uint8), recv_ns, into._words)
    fault = "" if broke < 0 else f"frame of {size} bytes breaks off at byte {broke} after {n} ticks"
    return Decoded(into.ticks[:n], skipped, fault)


def prices(ticks: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Prices of decoded ticks in rupees: ``ltp avg_px open high low close`` (n,), NaN where the mode has none.

    Depth is ``bid_px`` and ``ask_px`` of shape (n, 5), NaN for a level without quantity.
    """
    divisor = ticks["divisor"].astype(np.float64)
    kind = ticks["kind"]
    out: dict[str, npt.NDArray[np.float64]] = {}
    for name in _PRICES:
        value = ticks[name] / divisor
        if name == "avg_px":
            value[(kind != QUOTE) & (kind != FULL)] = np.nan
        elif name != "ltp":
            value[kind == LTP] = np.nan
        out[name] = value
    for side in ("bid", "ask"):
        level = ticks[side]["price"] / divisor[:, None]
        level[(kind != FULL)[:, None] | (ticks[side]["qty"] == 0)] = np.nan
        out[f"{side}_px"] = level
    return out


def decode_text(frame: str | bytes) -> TextFrame:
    """Decode one text frame: an order update, an error, a broker's message, or something else.

    Raises
    ------
    BadData
        When the text is not JSON or not an object.
    """
    try:
        body = msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadData(f"text frame is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadData(f"text frame must be a JSON object, was {type(body).__name__}")
    kind = body.get("type")
    if kind == "order" and isinstance(body.get("data"), dict) and body["data"]:
        return TextFrame("order", body["data"])
    if kind in ("error", "message"):
        return TextFrame(str(kind), body.get("data"))
    return TextFrame("other", body)


def subscribe_frame(tokens: list[int]) -> str:
    """The text that subscribes tokens (in mode quote)."""
    return _command("subscribe", tokens)


def unsubscribe_frame(tokens: list[int]) -> str:
    """The text that unsubscribes tokens."""
    return _command("unsubscribe", tokens)


def mode_frame(mode: str, tokens: list[int]) -> str:
    """The text that sets the mode of tokens: ``ltp``, ``quote`` or ``full``.

    Raises
    ------
    BadData
        For another mode.
    """
    if mode not in ("ltp", "quote", "full"):
        raise BadData(f"mode must be ltp, quote or full, was {mode!r}")
    return _command("mode", [mode, tokens])


def _command(action: str, value: object) -> str:
    return msgspec.json.encode({"a": action, "v": value}).decode()
