"""The quick look at an order: every rule but margin in one compiled pass over whole numbers.

:func:`screen` answers a bit for each rule that fails, in the order of ``risk.checks.RULES``;
the rules themselves then say why. Both decide from the same figures and must never disagree.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["ORDER", "TERMS", "marks", "screen"]

TERMS = (
    "lot", "tick", "most_units", "expires_ns", "option", "tradable", "allowed", "restricted", "order_units",
    "order_value", "confirm_value", "net_units", "gross_units", "open_value", "slices", "rate", "collar_low",
    "collar_floor", "age_ns", "repeat_ns",
)  # fmt: skip
"""What a contract and its limits say: the places of the first array."""

ORDER = (
    "now_ns", "state", "open_ns", "close_ns", "qty", "price", "stop", "ord_type", "sign", "messages", "sent", "net",
    "side_open", "open_base", "unpriced", "done", "leaves", "new", "repeated_ns", "confirmed", "own_touch",
    "armed_ns", "gross", "parent_room", "band_low", "band_high", "volume", "row", "was_stop",
)  # fmt: skip
"""What an order and its book say: the places of the second array."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_MOST = 1e13


@njit(cache=True, nogil=True)
def screen(terms: Ints, order: Ints, collar_pct: float, values: Floats, stamps: Ints) -> int:  # pragma: no cover
    """Answer the rules that an order breaks, one bit each.

    Parameters
    ----------
    terms, order : arrays of int64
        As :data:`TERMS` and :data:`ORDER` name their places.
    collar_pct : float
        The collar of this contract in percent.
    values, stamps : arrays
        The quote board: bid, bid_qty, ask, ask_qty, ltp in rupees by row; receive times.

    Notes
    -----
    One function and longer than others: every figure is read once and nothing is boxed.
    Products are compared by division, so that no figure below 2**62 overflows.
    """
    lot, tick, most_units, expires_ns = terms[0], terms[1], terms[2], terms[3]
    now_ns, qty, price, stop, kind, sign = order[0], order[4], order[5], order[6], order[7], order[8]
    messages, net, side_open, done, leaves, new = order[9], order[11], order[12], order[15], order[16], order[17]
    added = qty - done - leaves
    grows = max(0, added)
    reduces = net * sign < 0 and side_open + grows <= abs(net)
    broken = 0
    if order[1] == 2 or (order[1] == 1 and not reduces):
        broken |= 1 << 0
    if terms[5] == 0:
        broken |= 1 << 1
    if terms[6] == 0:
        broken |= 1 << 2
    if terms[7] != 0:
        broken |= 1 << 3
    if now_ns >= order[21]:
        broken |= 1 << 4
    if now_ns >= expires_ns:
        broken |= 1 << 5
    if not order[2] <= now_ns < order[3]:
        broken |= 1 << 6
    if qty == 0:
        broken |= 1 << 7
    if qty % lot != 0:
        broken |= 1 << 8
    if messages <= 1 and qty > most_units:
        broken |= 1 << 9
    if messages > terms[14]:
        broken |= 1 << 10
    if qty > terms[8]:
        broken |= 1 << 11
    if price == 0:
        broken |= 1 << 12
    wants_stop = kind >= 2
    if (stop <= 0 if wants_stop else stop != 0) or (kind == 2 and terms[4] != 0):
        broken |= 1 << 13
    if price % tick != 0 or (stop > 0 and stop % tick != 0):
        broken |= 1 << 14
    row, reference, known, traded = order[27], 0, False, False
    fresh = row >= 0 and 0 <= now_ns - stamps[row] <= terms[18]
    if fresh:
        last, bid, ask = values[row, 4], values[row, 0], values[row, 2]
        if 0.0 < last < _MOST:
            reference, known, traded = int(np.rint(last * 100.0)), True, True
        elif 0.0 < bid < _MOST and 0.0 < ask < _MOST:
            reference, known = (int(np.rint(bid * 100.0)) + int(np.rint(ask * 100.0))) // 2, True
    if not known:
        broken |= 1 << 15
    was = order[28]
    waiting = wants_stop and stop > 0 and was >= 0 and not (was > 0 and known and sign * (reference - was) >= 0)
    if waiting and known and sign * (stop - reference) <= 0:
        broken |= 1 << 13
    if kind == 1 and (order[26] == 0 or (order[26] < 0 and fresh and not traded)):
        broken |= 1 << 16
    if known:
        around = stop if waiting else reference
        room = int(np.floor(around * collar_pct / 100.0))
        if terms[4] != 0 and around <= terms[16]:
            room = terms[17]
        if price > 0 and not max(0, around - room) <= price <= around + room:
            broken |= 1 << 17
    low, high = order[24], order[25]
    if (price > 0 and not low <= price <= high) or (stop > 0 and not low <= stop <= high):
        broken |= 1 << 18
    if qty > 0 and price > 0:
        if qty > terms[9] // price:
            broken |= 1 << 19
        if order[19] & 1 == 0 and qty > terms[10] // price:
            broken |= 1 << 20
        left = terms[13] - order[13]
        if left < 0 or max(0, qty - done) > left // price or (order[14] > 0 and not reduces):
            broken |= 1 << 21
    if qty > 0:
        if sign * net + side_open + added > terms[11]:
            broken |= 1 << 22
        if not reduces and order[22] + grows > terms[12]:
            broken |= 1 << 23
        if added > order[23]:
            broken |= 1 << 24
    if new != 0 and order[19] & 2 == 0 and order[18] >= 0 and now_ns - order[18] < terms[19]:
        broken |= 1 << 25
    if price > 0 and not waiting and order[20] >= 0 and sign * (price - order[20]) >= 0:
        broken |= 1 << 26
    if order[10] + messages > terms[15]:
        broken |= 1 << 27
    return broken


@njit(cache=True, nogil=True)
def marks(values: Floats, rows: Ints, held: Floats, moved: Ints) -> int:  # pragma: no cover
    """Read the marks of some contracts into ``held``; answer how many moved, their places in ``moved``.

    A mark in rupees is the middle of a two-sided quote, else the last price, else NaN, of whole
    paise as the rest of the risk book reads them. A row below 0 has no quote.
    """
    count = 0
    for i in range(len(rows)):
        mark = np.nan
        if rows[i] >= 0:
            bid, ask, last = values[rows[i], 0], values[rows[i], 2], values[rows[i], 4]
            bid_p = np.rint(bid * 100.0) if 0.0 < bid < _MOST else np.nan
            ask_p = np.rint(ask * 100.0) if 0.0 < ask < _MOST else np.nan
            if bid_p <= ask_p:
                mark = (bid_p + ask_p) / 200.0
            elif 0.0 < last < _MOST:
                mark = np.rint(last * 100.0) / 100.0
        if mark != held[i] and (mark == mark or held[i] == held[i]):
            held[i] = mark
            moved[count] = i
            count += 1
    return count
