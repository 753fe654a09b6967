"""XTS's binary packets and spoiled frames, written: the other direction of :mod:`toolkit.market.xts_wire`.

Written apart from the decoder on purpose, from the wire's description, so that the two check
each other.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolkit.errors import BadData

__all__ = ["BINARY_CODES", "MALFORMED", "attachments", "malformed", "packet"]

BINARY_CODES: Final = (1501, 1502, 1510)
MALFORMED: Final = ("cut", "json", "type", "text", "deflate", "size", "ack", "attachment")
_MARKETS: Final = 1


def packet(event: Mapping[str, Any], *, wide: bool = False, deflated: bool = False) -> bytes:
    """Write one full event (1501, 1502 or 1510) as a packet.

    Raises
    ------
    BadData
        For another code, which has no known layout.

    >>> packet({"MessageCode": 1510, "MessageVersion": 4, "ExchangeSegment": 2, "ExchangeInstrumentID": 7,
    ...         "ExchangeTimeStamp": 0, "OpenInterest": 65})[:5].hex()
    '00e6050200'
    """
    code = int(event["MessageCode"])
    if code not in BINARY_CODES:
        raise BadData(f"no binary layout of code {code} is known; it goes as text")
    payload = _payload(code, event, wide)
    packed = _deflate(payload) if deflated else payload
    head = struct.pack(
        "<bHhihhH",
        int(deflated),
        code,
        event["ExchangeSegment"],
        int(event["ExchangeInstrumentID"]),
        1,
        1,
        len(payload),
    )
    return head + (struct.pack("<H", len(packed)) if deflated else b"") + packed


def attachments(packets: Sequence[bytes], most: int) -> list[bytes]:
    """Put packets together, at most ``most`` in one attachment."""
    return [b"".join(packets[i : i + most]) for i in range(0, len(packets), most)]


def malformed(kind: str, frames: Sequence[str | bytes]) -> list[str | bytes]:
    """Damage the frames of one event in one named way.

    ``cut`` ends the last frame in its middle, ``json`` breaks the text, ``type`` gives it an unknown type,
    ``text`` is no packet at all, ``deflate`` claims that raw bytes are compressed, ``size`` lies about a
    packet's size, ``ack`` puts an ack id in (which is no damage), ``attachment`` sends the bytes without
    their header.

    Raises
    ------
    BadData
        For another kind.
    """
    if kind not in MALFORMED:
        raise BadData(f"malformed must be one of {', '.join(MALFORMED)}, was {kind!r}")
    head, *blobs = frames
    text = head if isinstance(head, str) else head.decode("latin-1")
    if kind == "cut":
        return [text, *blobs[:-1], blobs[-1][: len(blobs[-1]) // 2]] if blobs else [text[: len(text) // 2]]
    if kind == "ack":
        at = text.index("[")
        return [f"{text[:at]}17{text[at:]}", *blobs]
    if kind in ("deflate", "size") and blobs:
        return [text, *(_spoiled(kind, blob) for blob in blobs)]
    if kind == "attachment" and blobs:
        return list(blobs)
    made = {"type": f"9{text}", "text": "no packet"}
    return [made.get(kind, text.replace("[", "{", 1)), *blobs]


def _spoiled(kind: str, blob: str | bytes) -> bytes:
    raw = blob.encode() if isinstance(blob, str) else blob
    return b"\x01" + raw[1:] if kind == "deflate" else raw[:13] + b"\xff\xff" + raw[15:]


def _payload(code: int, event: Mapping[str, Any], wide: bool) -> bytes:
    base = struct.pack(
        "<HHHQQihiQ",
        code,
        4,
        0,
        0,
        int(event.get("SequenceNumber", 0)),
        0,
        event["ExchangeSegment"],
        int(event["ExchangeInstrumentID"]),
        int(event.get("ExchangeTimeStamp", 0)),
    )
    if code == 1510:
        segment, instrument = event.get("UnderlyingExchangeSegment", 0), event.get("UnderlyingInstrumentID", 0)
        total = event.get("UnderlyingTotalOpenInterest", 0)
        return base + struct.pack("<hIhQbI", _MARKETS, event["OpenInterest"], segment, instrument, 0, total)
    body = b""
    if code == 1502:
        for side in ("Bids", "Asks"):
            rows = event[side]
            body += struct.pack("<i", len(rows)) + b"".join(_level(row, wide) for row in rows)
    touch = event.get("Touchline", event)
    return base + body + _touchline(touch, wide) + struct.pack("<hh", event.get("BookType", 1), _MARKETS)


def _level(row: Mapping[str, Any], wide: bool) -> bytes:
    return struct.pack("<qdih" if wide else "<idih", row["Size"], row["Price"], row["TotalOrders"], 0)


def _touchline(touch: Mapping[str, Any], wide: bool) -> bytes:
    names = ("LastTradedQunatity", "TotalBuyQuantity", "TotalSellQuantity", "TotalTradedQuantity")
    quantities = [int(touch[name]) for name in names]
    prices = [float(touch[name] or 0) for name in ("PercentChange", "Open", "High", "Low", "Close", "TotalValueTraded")]
    return (
        _level(touch["BidInfo"], wide)
        + _level(touch["AskInfo"], wide)
        + struct.pack("<Qd", touch["LastUpdateTime"], touch["LastTradedPrice"])
        + struct.pack("<4q" if wide else "<i3I", *quantities)
        + struct.pack("<dq6d", touch["AverageTradedPrice"], touch["LastTradedTime"], *prices)
        + struct.pack("<hh", 0, 0)
    )


def _deflate(payload: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(payload) + packer.flush()
