"""Kite's ticker frames, written: the other direction of :mod:`toolkit.market.kite_wire`.

Written apart from the decoder on purpose, from the wire's description, so that the two
check each other. Unknown is 0 on this wire, as Kite sends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData
from toolkit.sim.roster import INDEX_SEGMENT

__all__ = ["FULL", "HEARTBEAT", "MODES", "error_frame", "malformed", "order_frame", "tick_frames"]

HEARTBEAT: Final = b"\x00"
MODES: Final = ("ltp", "quote", "full")
_LEVEL: Final = np.dtype([("quantity", ">u4"), ("price", ">u4"), ("orders", ">u2"), ("padding", ">u2")])
_LTP: Final = [("length", ">u2"), ("token", ">u4"), ("ltp", ">u4")]
_INDEX: Final = [*_LTP, *((name, ">u4") for name in ("high", "low", "open", "close", "change"))]
_QUOTE: Final = [
    *_LTP,
    *((name, ">u4") for name in ("last_qty", "avg_px", "volume", "buy_qty", "sell_qty")),
    *((name, ">u4") for name in ("open", "high", "low", "close")),
]
LTP: Final = np.dtype(_LTP)
INDEX_QUOTE: Final = np.dtype(_INDEX)
INDEX_FULL: Final = np.dtype([*_INDEX, ("exch_s", ">u4")])
QUOTE: Final = np.dtype(_QUOTE)
FULL: Final = np.dtype(
    [
        *_QUOTE,
        *((name, ">u4") for name in ("last_trade_s", "oi", "oi_high", "oi_low", "exch_s")),
        ("depth", _LEVEL, (10,)),
    ]
)
"""A full packet with its two bytes of length; a frame is a count and such rows."""

_MOST: Final = 3000
_NS: Final = 1_000_000_000


def tick_frames(rows: npt.NDArray[Any], modes: Mapping[int, str]) -> list[bytes]:
    """Write the day rows of subscribed keys as binary frames.

    Parameters
    ----------
    rows : array of :data:`toolkit.sim.tape.BOARD`
        The day so far; rows of keys without a mode are passed over.
    modes : mapping of int to str
        ``ltp``, ``quote`` or ``full`` by key.

    Returns
    -------
    list of bytes
        Frames of at most 3 000 packets; none when nothing is wanted.
    """
    packets = []
    mode_of = np.array([MODES.index(modes[key]) if key in modes else -1 for key in rows["key"].tolist()])
    index = rows["key"] % 256 == INDEX_SEGMENT
    for number, (plain, of_index) in enumerate(((LTP, LTP), (QUOTE, INDEX_QUOTE), (FULL, INDEX_FULL))):
        for dtype, chosen in ((plain, ~index), (of_index, index)):
            part = rows[(mode_of == number) & chosen]
            if len(part):
                whole = _packets(part, dtype).tobytes()
                packets += [whole[i : i + dtype.itemsize] for i in range(0, len(whole), dtype.itemsize)]
    return [
        len(packets[i : i + _MOST]).to_bytes(2, "big") + b"".join(packets[i : i + _MOST])
        for i in range(0, len(packets), _MOST)
    ]


def order_frame(row: Mapping[str, Any]) -> str:
    """Write an order update."""
    return msgspec.json.encode({"type": "order", "data": row}).decode()


def error_frame(text: str) -> str:
    """Write an error message."""
    return msgspec.json.encode({"type": "error", "data": text}).decode()


def malformed(kind: str, frame: bytes) -> bytes | str:
    """Damage a frame in one named way.

    ``cut`` ends inside the last packet, ``count`` promises one packet more than there is, ``length`` gives the
    first packet an unknown length, ``token`` a token of 0, ``short`` is three bytes, ``text`` is text that is
    not JSON, ``array`` a JSON array.

    Raises
    ------
    BadData
        For another kind.
    """
    made: dict[str, bytes | str] = {
        "cut": frame[:-3],
        "count": (int.from_bytes(frame[:2], "big") + 1).to_bytes(2, "big") + frame[2:],
        "length": b"\x00\x01\x00\x07" + frame[4:11],
        "token": frame[:4] + bytes(4) + frame[8:],
        "short": frame[:3],
        "text": "this is no JSON {",
        "array": "[1, 2, 3]",
    }
    if kind not in made:
        raise BadData(f"malformed must be one of {', '.join(made)}, was {kind!r}")
    return made[kind]


def _packets(day: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    out = np.zeros(len(day), dtype)
    out["length"] = dtype.itemsize - 2
    out["token"] = day["key"]
    names: Iterable[str] = dtype.names or ()
    for name in names:
        if name in ("ltp", "open", "high", "low", "close"):
            out[name] = _paise(day[name])
        elif name in ("last_qty", "volume", "oi", "oi_high", "oi_low"):
            out[name] = _whole(day[name])
    if "change" in names:
        change = np.nan_to_num(day["ltp"] - day["close"]) * 100.0
        out["change"] = np.rint(change).astype(np.int64).astype(np.uint32)
    if "exch_s" in names:
        out["exch_s"] = day["exch_ns"] // _NS
    if "avg_px" in names:
        with np.errstate(invalid="ignore", divide="ignore"):
            out["avg_px"] = _paise(day["value"] / day["volume"])
        out["buy_qty"], out["sell_qty"] = _whole(day["bid_qty"]), _whole(day["ask_qty"])
    if "depth" in names:
        out["last_trade_s"] = day["trade_ns"] // _NS
        for level, price, qty in ((0, "bid", "bid_qty"), (5, "ask", "ask_qty")):
            shown = day[price] > 0
            out["depth"]["price"][:, level] = _paise(np.where(shown, day[price], np.nan))
            out["depth"]["quantity"][:, level] = _whole(np.where(shown, day[qty], np.nan))
            out["depth"]["orders"][:, level] = shown & (day[qty] > 0)
    return out


def _paise(rupees: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.asarray(np.rint(np.nan_to_num(rupees, posinf=0.0, neginf=0.0) * 100.0), np.int64)


def _whole(units: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.asarray(np.clip(np.nan_to_num(units), 0, 2**32 - 1), np.int64)
