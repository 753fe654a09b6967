"""XTS binary market data (event ``xts-binary-packet``) to structured arrays: no socket, no clock.

An attachment is an optional byte 0x04 (Engine.IO 3) and then packets, little-endian, each a
header of 15 or 17 bytes and a payload, raw or deflated. Two layouts are in the field:
*narrow* with 4-byte quantities, *wide* with 8-byte ones; the length tells which. What the
length cannot tell is checked: the payload must name the header's instrument, and the last
price must lie within low and high; a packet that fails is counted, never guessed.

Source: the layout of Symphony's public binary SDKs (narrow) and the offsets that public
adapters read on live installs (wide).
"""

from __future__ import annotations

import zlib
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import intrinsic

from toolkit.errors import BadData

__all__ = ["CODES", "LEVEL", "NARROW", "WIDE", "XTS_TICK", "XtsBuffer", "XtsDecoded", "decode_binary", "unix_s"]

CODES: Final = (1501, 1502, 1510)
NARROW: Final = 1
WIDE: Final = 2
_EPOCH_1980: Final = 315_532_800
_IST_S: Final = 19_800
_MAX_PACKET: Final = 65_535

LEVEL: Final = np.dtype([("qty", "<i8"), ("price", "<f8"), ("orders", "<i8")])

# Eight-byte fields throughout: the kernel writes the row as words and keeps every quantity of the wide layout.
XTS_TICK: Final = np.dtype(
    [
        ("code", "<i8"),
        ("segment", "<i8"),
        ("instrument", "<i8"),
        ("sequence", "<i8"),
        ("exch_raw_s", "<i8"),
        ("last_update_raw_s", "<i8"),
        ("last_trade_raw_s", "<i8"),
        ("ltp", "<f8"),
        ("last_qty", "<i8"),
        ("total_bid_qty", "<i8"),
        ("total_ask_qty", "<i8"),
        ("volume", "<i8"),
        ("avg_px", "<f8"),
        ("percent_change", "<f8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("oi", "<i8"),
        ("underlying_segment", "<i8"),
        ("underlying_instrument", "<i8"),
        ("underlying_oi", "<i8"),
        ("book_type", "<i8"),
        ("market_type", "<i8"),
        ("version", "<i8"),
        ("layout", "<i8"),
        ("n_bids", "<i8"),
        ("n_asks", "<i8"),
        ("recv_ns", "<i8"),
        ("bid", LEVEL, (5,)),
        ("ask", LEVEL, (5,)),
    ]
)
_WORDS: Final = XTS_TICK.itemsize // 8


class XtsDecoded(NamedTuple):
    """What an attachment held: ``ticks`` (n,) of :data:`XTS_TICK`; ``skipped`` packets of other
    codes; ``bad`` packets that no layout explains; ``fault`` where the attachment broke off."""

    ticks: npt.NDArray[Any]
    skipped: int
    bad: int
    fault: str


class XtsBuffer:
    """Room for ``capacity`` ticks, made once and decoded into again and again."""

    __slots__ = ("_words", "ticks")

    def __init__(self, capacity: int) -> None:
        self.ticks: npt.NDArray[Any] = np.zeros(capacity, XTS_TICK)
        self._words = self.ticks.view(np.int64)


def _loader(kind: Any) -> Any:
    """An unaligned little-endian load of one number: a single instruction where byte by byte costs ten times that."""

    @intrinsic
    def load(typingctx: Any, array: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            at = builder.gep(data, [args[1]])
            wanted = context.get_value_type(kind)
            loaded = builder.load(builder.bitcast(at, wanted.as_pointer()))
            loaded.align = 1
            return loaded

        return kind(array, types.int64), codegen

    return load


@intrinsic
def _put(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Store one word without the wrap-around test of a negative index."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        builder.store(args[2], builder.gep(data, [args[1]]))
        return context.get_dummy_value()

    return types.none(array, types.int64, types.int64), codegen


_I16 = _loader(types.int16)
_U16 = _loader(types.uint16)
_I32 = _loader(types.int32)
_U32 = _loader(types.uint32)
_I64 = _loader(types.int64)
_F64 = _loader(types.float64)


# Inlined by name: LLVM leaves some of these as calls that pass whole arrays, and a packet takes 80 ns in place of 46.
@njit(cache=True, nogil=True, inline="always")
def _base(b: npt.NDArray[np.uint8], start: int, size: int, segment: int, instrument: int) -> int:
    """Bytes before the body: 40 at version 4; earlier versions skip nothing or four bytes more, told by the ids."""
    version = np.int64(_U16(b, start + 2))
    if version >= 4:
        if size >= 40 and _I16(b, start + 26) == segment and _I32(b, start + 28) == instrument:
            return 40
        return -1
    for base in (28, 32):
        if size >= base and _I16(b, start + base - 14) == segment and _I32(b, start + base - 12) == instrument:
            return base
    return -1


@njit(cache=True, nogil=True, inline="always")
def _levels(b: npt.NDArray[np.uint8], at: int, n: int, width: int, out: npt.NDArray[np.int64], word: int) -> None:
    """Keep the first five of ``n`` rows: quantity, price bits, orders."""
    qty = width - 14  # 4 or 8 bytes
    for k in range(5):
        w = word + 3 * k
        if k >= n:
            _put(out, w, 0)
            _put(out, w + 1, 0)
            _put(out, w + 2, 0)
            continue
        row = at + k * width
        _put(out, w, _I32(b, row) if qty == 4 else _I64(b, row))
        _put(out, w + 1, _I64(b, row + qty))
        _put(out, w + 2, _I32(b, row + qty + 8))


@njit(cache=True, nogil=True, inline="always")
def _touchline(b: npt.NDArray[np.uint8], at: int, width: int, out: npt.NDArray[np.int64], row: int) -> bool:
    """Read a touchline after its two level rows; False when the last price lies outside low and high."""
    q = width - 14
    p = at + 2 * width
    _put(out, row + 5, _I64(b, p))
    _put(out, row + 7, _I64(b, p + 8))
    p += 16
    for k in range(4):
        _put(out, row + 8 + k, _I64(b, p + k * q) if q == 8 else np.int64(_U32(b, p + k * q)))
    p += 4 * q
    _put(out, row + 12, _I64(b, p))
    _put(out, row + 6, _I64(b, p + 8))
    for k in range(5):  # percent change, open, high, low, close
        _put(out, row + 13 + k, _I64(b, p + 16 + 8 * k))
    ltp, high, low = _F64(b, at + 2 * width + 8), _F64(b, p + 32), _F64(b, p + 40)
    if not (np.isfinite(ltp) and np.isfinite(high) and np.isfinite(low)):
        return False
    return high <= 0.0 or low <= ltp <= high


@njit(cache=True, nogil=True, inline="always")
def _body_1501(b: npt.NDArray[np.uint8], at: int, size: int, out: npt.NDArray[np.int64], row: int) -> int:
    width = 18 if size == 140 else 22 if size >= 148 else 0
    if width == 0:
        return 0
    _levels(b, at, 1, width, out, row + 29)
    _levels(b, at + width, 1, width, out, row + 44)
    _put(out, row + 26, 1)
    _put(out, row + 27, 1)
    if not _touchline(b, at, width, out, row):
        return 0
    return 1 if width == 18 else 2


@njit(cache=True, nogil=True, inline="always")
def _body_1502(b: npt.NDArray[np.uint8], at: int, size: int, out: npt.NDArray[np.int64], row: int) -> int:
    if size < 8:
        return 0
    n_bids = _I32(b, at)
    if n_bids < 0 or n_bids > 200:
        return 0
    for width in (18, 22):
        asks_at = at + 4 + width * n_bids
        if asks_at + 4 > at + size:
            continue
        n_asks = _I32(b, asks_at)
        if n_asks < 0 or n_asks > 200:
            continue
        rows = 8 + width * (n_bids + n_asks)
        if (width == 18 and size == rows + 140) or (width == 22 and size >= rows + 148):
            _levels(b, at + 4, n_bids, width, out, row + 29)
            _levels(b, asks_at + 4, n_asks, width, out, row + 44)
            _put(out, row + 26, n_bids)
            _put(out, row + 27, n_asks)
            if _touchline(b, at + rows, width, out, row):
                return 1 if width == 18 else 2
    return 0


@njit(cache=True, nogil=True, inline="always")
def _body_1510(b: npt.NDArray[np.uint8], at: int, size: int, out: npt.NDArray[np.int64], row: int) -> int:
    if size < 21:
        return 0
    tail: Any = at + 17
    if b[np.uint64(at + 16)] != 0:
        tail += 1 + np.int64(b[np.uint64(at + 17)])
    if tail + 4 > at + size:
        return 0
    _put(out, row + 23, _I16(b, at))
    _put(out, row + 18, np.int64(_U32(b, at + 2)))
    _put(out, row + 19, _I16(b, at + 6))
    _put(out, row + 20, _I64(b, at + 8))
    _put(out, row + 21, np.int64(_U32(b, tail)))
    return 1


# One loop over the packets; a row is written as eight-byte words in the order of XTS_TICK (bids from word 29).
@njit(cache=True, nogil=True)
def _decode(b: npt.NDArray[np.uint8], start: int, recv_ns: int, out: npt.NDArray[np.int64]) -> Any:
    """Ticks, skipped, bad, where it broke off (-1: whole)."""
    at: Any = start
    n, skipped, bad = 0, 0, 0
    while at < b.size:
        if at + 15 > b.size or b[np.uint64(at)] != 0:
            return n, skipped, bad, at
        code = np.int64(_U16(b, at + 1))
        segment = _I16(b, at + 3)
        instrument = _I32(b, at + 5)
        size = np.int64(_U16(b, at + 13))
        payload = at + 15
        if payload + size > b.size:
            return n, skipped, bad, at
        at = payload + size
        if code != 1501 and code != 1502 and code != 1510:
            skipped += 1
            continue
        base = _base(b, payload, size, segment, instrument) if size >= 28 else -1
        if base < 0:
            bad += 1
            continue
        row = n * 59
        for w in range(29):
            _put(out, row + w, 0)
        _put(out, row + 22, _I16(b, payload - 6))
        _put(out, row + 23, _I16(b, payload - 4))
        if code == 1501:
            layout = _body_1501(b, payload + base, size - base, out, row)
        elif code == 1502:
            layout = _body_1502(b, payload + base, size - base, out, row)
        else:
            for w in range(29, 59):
                _put(out, row + w, 0)
            layout = _body_1510(b, payload + base, size - base, out, row)
        if layout == 0:
            bad += 1
            continue
        _put(out, row, code)
        _put(out, row + 1, segment)
        _put(out, row + 2, instrument)
        _put(out, row + 3, _I64(b, payload + 14) if base == 40 else 0)
        _put(out, row + 4, _I64(b, payload + base - 8))
        _put(out, row + 24, np.int64(_U16(b, payload + 2)))
        _put(out, row + 25, layout)
        _put(out, row + 28, recv_ns)
        n += 1
    return n, skipped, bad, -1


def decode_binary(
    attachment: bytes | bytearray | memoryview, recv_ns: int = 0, *, into: XtsBuffer | None = None
) -> XtsDecoded:
    """Decode one attachment.

    Parameters
    ----------
    attachment : bytes-like
        As received, with or without Engine.IO 3's leading 0x04.
    recv_ns : int
        When it was received, nanoseconds UTC; kept on every tick.
    into : XtsBuffer, optional
        Room to decode into; the ticks returned are a view of it, good until the next call.

    Returns
    -------
    XtsDecoded
        Prices in rupees, quantities in units as the wire has them; raw stamps count seconds from
        1980 on the IST wall clock for NSE (:func:`unix_s`). A deflated packet that does not
        inflate to its stated size is bad, and nothing larger than 65,535 bytes is ever inflated.

    Raises
    ------
    BadData
        When ``into`` is too small. Malformed bytes raise nothing: good ticks come back with the fault.
    """
    data = bytes(attachment)
    if not data:
        return XtsDecoded(np.empty(0, XTS_TICK), 0, 0, "")
    start = 1 if len(data) > 3 and data[0] == 4 and data[1] in (0, 1) else 0
    spoiled = 0
    if _has_deflated(np.frombuffer(data, np.uint8), start):
        data, spoiled = _inflated(data, start)
        start = 0
    room = max(1, (len(data) - start) // 43)  # the shortest packet that can be a tick: header and 28 bytes
    if into is None:
        into = XtsBuffer(room)
    elif into.ticks.size < room:
        raise BadData(f"the buffer must hold at least {room} ticks, was {into.ticks.size}")
    if len(data) == start:
        return XtsDecoded(into.ticks[:0], 0, spoiled, "")
    n, skipped, bad, broke = _decode(np.frombuffer(data, np.uint8), start, recv_ns, into._words)
    fault = "" if broke < 0 else f"attachment of {len(data)} bytes breaks off at byte {broke} after {n} ticks"
    return XtsDecoded(into.ticks[:n], skipped, bad + spoiled, fault)


def unix_s(raw_s: int, near_s: int) -> int:
    """Turn a raw stamp into Unix seconds.

    NSE counts from 1980 on the IST wall clock; some installs send Unix seconds for other
    segments. Both are computed and the one nearer to ``near_s`` (when it was received) wins.

    >>> unix_s(1450351800, near_s=1765864800)
    1765864800
    >>> unix_s(1765864799, near_s=1765864800)
    1765864799
    """
    from_1980 = raw_s + _EPOCH_1980 - _IST_S
    return from_1980 if abs(from_1980 - near_s) <= abs(raw_s - near_s) else raw_s


@njit(cache=True, nogil=True)
def _has_deflated(b: npt.NDArray[np.uint8], start: int) -> bool:
    at: Any = start
    while at + 15 <= b.size:
        if b[at] != 0:
            return True
        at += 15 + np.int64(_U16(b, at + 13))
    return False


def _inflated(data: bytes, start: int) -> tuple[bytes, int]:
    """The same packets, all raw; those that do not inflate to their stated size are left out and counted."""
    out: list[bytes] = []
    spoiled = 0
    at: Any = start
    while at < len(data):
        deflated = data[at] == 1
        head = at + (17 if deflated else 15)
        if data[at] > 1 or head > len(data):
            out.append(data[at:])
            break
        stated = data[at + 13] | data[at + 14] << 8
        size = (data[at + 15] | data[at + 16] << 8) if deflated else stated
        if head + size > len(data):
            out.append(data[at:])
            break
        if not deflated:
            out.append(data[at : head + size])
        else:
            payload = _inflate(data[head : head + size], stated)
            if payload is None:
                spoiled += 1
            else:
                out.append(b"\x00" + data[at + 1 : at + 15] + payload)
        at = head + size
    return b"".join(out), spoiled


def _inflate(packed: bytes, stated: int) -> bytes | None:
    try:
        payload = zlib.decompressobj(-15).decompress(packed, _MAX_PACKET + 1)
    except zlib.error:
        return None
    return payload if len(payload) == stated else None
