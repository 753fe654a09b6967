"""XTS events to ticks as Kite's have them: one row an instrument, whatever the events that made it.

XTS tells of one option in several events (depth 1502, open interest 1510, touchline 1501); readers of a feed
want one row with everything. :class:`Board` keeps the newest state of every wanted instrument and
gives, for each event that changes it, a row of :data:`ROW`: the names of Kite's ticks in words of eight
bytes, because XTS's ids name a segment too and its quantities outgrow four bytes. Unknown is -1 for a whole number and
0 for a price, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from toolkit.market.kite_wire import FULL, INDEX_FULL, INDEX_QUOTE, LTP, QUOTE
from toolkit.market.xts_wire import XTS_TICK, unix_s

__all__ = ["ROW", "Board", "Taken", "place_of", "token_of"]

_DEPTH: Final = np.dtype([("qty", "<i8"), ("price", "<i8"), ("orders", "<i8")])

ROW: Final = np.dtype(
    [
        ("token", "<i8"),
        ("ltp", "<i8"),
        ("last_qty", "<i8"),
        ("avg_px", "<i8"),
        ("volume", "<i8"),
        ("total_bid_qty", "<i8"),
        ("total_ask_qty", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("last_trade_s", "<i8"),
        ("oi", "<i8"),
        ("oi_high", "<i8"),
        ("oi_low", "<i8"),
        ("exch_s", "<i8"),
        ("bid", _DEPTH, (5,)),
        ("ask", _DEPTH, (5,)),
        ("kind", "<i8"),
        ("divisor", "<i8"),
        ("recv_ns", "<i8"),
    ]
)
"""One tick of the feed: the fields of ``kite_wire.TICK``; prices are whole numbers over ``divisor``."""

_SHIFT: Final = 32
_CODES: Final = 5  # kinds of event with a stamp of their own
_KINDS: Final = {
    ("ltp", False): LTP,
    ("quote", False): QUOTE,
    ("full", False): FULL,
    ("ltp", True): LTP,
    ("quote", True): INDEX_QUOTE,
    ("full", True): INDEX_FULL,
}
_FINE: Final = (3, 13, 42)  # currency segments: prices have four decimals
_AHEAD_S: Final = 3600

Words = npt.NDArray[np.int64]


def token_of(segment: int, instrument: int) -> int:
    """The feed's key of a segment's number and an id in it.

    >>> token_of(2, 49543)
    8589984135
    """
    return segment << _SHIFT | instrument


def place_of(token: int) -> tuple[int, int]:
    """Segment number and id of a key.

    >>> place_of(8589984135)
    (2, 49543)
    """
    return token >> _SHIFT, token & (1 << _SHIFT) - 1


class Taken(NamedTuple):
    """``rows`` that events made; ``late`` events older than the state, ``others`` of instruments nobody wants
    or of another market (odd lots, auctions)."""

    rows: npt.NDArray[Any]
    late: int
    others: int


class Board:
    """Newest state of every wanted instrument."""

    def __init__(self) -> None:
        self._tokens: Words = np.empty(0, np.int64)
        self._kinds: Words = np.empty(0, np.int64)
        self._divisors: Words = np.empty(0, np.int64)
        self._state: Words = np.empty((0, ROW.itemsize // 8), np.int64)
        self._stamps: Words = np.empty((0, _CODES), np.int64)

    def want(self, modes: Mapping[int, tuple[str, bool]]) -> None:
        """Replace what is wanted: mode and whether it is an index, by key. What stays keeps its state."""
        tokens = np.array(sorted(modes), np.int64)
        state = np.zeros((len(tokens), ROW.itemsize // 8), np.int64)
        state[:, 2] = -1
        state[:, 4:7] = -1
        state[:, 12:15] = -1
        stamps = np.zeros((len(tokens), _CODES), np.int64)
        _, old, new = np.intersect1d(self._tokens, tokens, assume_unique=True, return_indices=True)
        state[new], stamps[new] = self._state[old], self._stamps[old]
        self._tokens, self._state, self._stamps = tokens, state, stamps
        self._kinds = np.array([_KINDS[modes[t]] for t in tokens.tolist()], np.int64)
        self._divisors = np.where(np.isin(tokens >> _SHIFT, _FINE), 10_000_000, 100)

    def take(self, ticks: npt.NDArray[Any], recv_ns: int) -> Taken:
        """Take events as :data:`toolkit.market.xts_wire.XTS_TICK` and give the rows they make, in their order."""
        out = np.empty(len(ticks), ROW)
        if not len(ticks):
            return Taken(out, 0, 0)
        n, late, others = _merge(
            ticks.view(np.int64).reshape(len(ticks), -1),
            ticks.view(np.float64).reshape(len(ticks), -1),
            self._tokens,
            self._kinds,
            self._divisors,
            self._state,
            self._stamps,
            recv_ns,
            out.view(np.int64).reshape(len(ticks), -1),
        )
        return Taken(out[:n], late, others)


assert XTS_TICK.itemsize == 59 * 8
_nearest: Any = njit(cache=True, nogil=True)(unix_s)


@njit(cache=True, nogil=True)
def _slot(tokens: Words, token: int) -> int:
    low, high = 0, tokens.size
    while low < high:
        middle = (low + high) >> 1
        if tokens[middle] < token:
            low = middle + 1
        else:
            high = middle
    return low if low < tokens.size and tokens[low] == token else -1


@njit(cache=True, nogil=True)
def _price(value: float, divisor: int) -> int:
    """A price as a whole number of its smallest part; 0 for none."""
    return int(value * divisor + 0.5) if 0.0 < value < 1e11 else 0


@njit(cache=True, nogil=True)
def _touch(w: Words, f: npt.NDArray[np.float64], divisor: int, state: Words, recv_s: int) -> None:
    state[1] = _price(f[7], divisor)
    state[2] = w[8]
    state[3] = _price(f[12], divisor)
    state[4], state[5], state[6] = w[11], w[9], w[10]
    for k in range(4):  # open, high, low, close
        state[7 + k] = _price(f[14 + k], divisor)
    if w[6] > 0:
        state[11] = _nearest(w[6], recv_s)


@njit(cache=True, nogil=True)
def _levels(w: Words, f: npt.NDArray[np.float64], divisor: int, state: Words) -> None:
    for k in range(10):
        a, b = 29 + 3 * k, 16 + 3 * k
        state[b] = w[a]
        state[b + 1] = _price(f[a + 1], divisor)
        state[b + 2] = w[a + 2]


@njit(cache=True, nogil=True)
def _merge(
    words: Words,
    floats: npt.NDArray[np.float64],
    tokens: Words,
    kinds: Words,
    divisors: Words,
    state: Words,
    stamps: Words,
    recv_ns: int,
    out: Words,
) -> Any:
    """Rows written, late events, events of others."""
    n, late, others = 0, 0, 0
    recv_s = recv_ns // 1_000_000_000
    for i in range(words.shape[0]):
        w, f = words[i], floats[i]
        code = w[0]
        at = _slot(tokens, (w[1] << 32) | w[2])
        which = 0 if code == 1501 else 1 if code == 1502 else 2 if code == 1510 else 3 if code == 1512 else 4
        if at < 0 or w[23] == 2 or w[23] == 4 or (which == 4 and code != 1504):
            others += 1
            continue
        raw = max(w[4], w[5])
        raw = raw if raw > 0 else max(w[6], 0)
        if raw > 0 and _nearest(raw, recv_s) > recv_s + _AHEAD_S:
            raw = 0  # nobody's clock is an hour wrong: taken for true, it would make every later event late
        if raw > 0 and raw < stamps[at, which]:
            late += 1
            continue
        stamps[at, which] = max(raw, stamps[at, which])
        row = state[at]
        if raw > 0:
            row[15] = max(row[15], _nearest(raw, recv_s))
        if which == 2:
            row[12] = w[18]
        elif which == 3:
            row[1] = _price(f[7], divisors[at])
            row[2] = w[8]
        else:
            _touch(w, f, divisors[at], row, recv_s)
            if which == 1 or (which == 0 and stamps[at, 1] == 0):
                _levels(w, f, divisors[at], row)
        row[46], row[47], row[48] = kinds[at], divisors[at], recv_ns
        row[0] = tokens[at]
        if row[1] == 0 and which == 2:
            continue  # open interest before any price: it shows with the first one
        out[n] = row
        n += 1
    return n, late, others
