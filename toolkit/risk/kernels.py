"""Kernels of the risk room: a book's margin parts from its cells, and a book's value over a grid."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from toolkit.pricing.kernels import price_careful
from toolkit.pricing.normal import exp_poly, log_ratio, mills_slope, series_long, series_short
from toolkit.pricing.rows import LARGE, NO_VALUE, S_LONG, S_SHORT, SMALL, base_of, value_of

__all__ = ["CELLS", "book_after", "book_parts", "grid_values", "standalone"]

Floats = npt.NDArray[np.float64]

ARRAY: Final = 0
CAP: Final = 16
COMPOSITE: Final = 17
LONG_VALUE: Final = 18
SHORT_VALUE: Final = 19
OPTION: Final = 20
EXPIRY: Final = 21
ALONE: Final = 22
NOTIONAL: Final = 23
EXPOSURE: Final = 24
ADDON: Final = 25
MINIMUM: Final = 26
DELIVERY: Final = 27
QTY: Final = 28
OTHER_QTY: Final = 29
MODEL: Final = 30
TTE: Final = 31
CELLS: Final = 32
PARTS: Final = 11

LANES: Final = 128


@njit(cache=True, nogil=True, error_model="numpy")
def book_parts(
    cells: Floats, first: int, n: int, column: int, spreads: Floats, calendar: float, work: Floats, out: Floats
) -> float:
    """Margin parts of rows ``first`` to ``n`` with the quantities in ``column``; returns the total.

    ``work`` holds 16 sums of the contracts together, 16 of those that stand alone, then the composite delta by
    expiry. ``out`` takes scan, calendar, minimum, net option value, span, exposure, addon, delivery, premium,
    total, worst scenario.
    """
    work[:] = 0.0
    minimum = value = exposure = addon = delivery = premium = 0.0
    for i in range(first, n):
        qty = cells[i, column]
        if qty == 0.0:
            continue
        option = cells[i, OPTION] != 0.0
        cap = cells[i, CAP]
        at = 16 if cells[i, ALONE] != 0.0 else 0
        for j in range(16):
            loss = cells[i, ARRAY + j]
            work[at + j] += qty * (cap if loss > cap else loss)
        if at == 0:
            work[32 + int(cells[i, EXPIRY])] += qty * cells[i, COMPOSITE]
        if not option:
            exposure += abs(qty) * cells[i, NOTIONAL] * cells[i, EXPOSURE]
        elif qty < 0.0:
            value += qty * cells[i, SHORT_VALUE]
            exposure -= qty * cells[i, NOTIONAL] * cells[i, EXPOSURE]
            addon -= qty * cells[i, NOTIONAL] * cells[i, ADDON]
            minimum -= qty * cells[i, MINIMUM]
        else:
            value += qty * cells[i, LONG_VALUE]
            premium += qty * cells[i, LONG_VALUE]
            delivery += qty * cells[i, DELIVERY]
    together = max_of(work, 0)
    alone = max_of(work, 16)
    scan = max(0.0, together) + max(0.0, alone)
    charge = matched(work, spreads, calendar)
    span = max(0.0, max(scan + charge, minimum) - value)
    worst = 0
    for j in range(1, 16):
        if work[j] + work[16 + j] > work[worst] + work[16 + worst]:
            worst = j
    total = span + exposure + addon + delivery
    out[0], out[1], out[2], out[3], out[4], out[5] = scan, charge, minimum, value, span, exposure
    out[6], out[7], out[8], out[9], out[10] = addon, delivery, premium, total, worst + 1
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def max_of(work: Floats, at: int) -> float:
    most = work[at]
    for j in range(1, 16):
        most = max(most, work[at + j])
    return most


@njit(cache=True, nogil=True, error_model="numpy")
def matched(work: Floats, spreads: Floats, calendar: float) -> float:
    """Charge composite deltas that offset each other between expiries.

    ``spreads`` rows are (near expiry, far expiry, rupees a unit of delta) in order of priority; without rows all
    expiries match each other at ``calendar`` rupees a unit.
    """
    if spreads.shape[0] == 0:
        up = down = 0.0
        for i in range(32, work.shape[0]):
            up += max(0.0, work[i])
            down += max(0.0, -work[i])
        return calendar * min(up, down)
    charge = 0.0
    for s in range(spreads.shape[0]):
        a, b = 32 + int(spreads[s, 0]), 32 + int(spreads[s, 1])
        if work[a] * work[b] < 0.0:
            units = min(abs(work[a]), abs(work[b]))
            charge += units * spreads[s, 2]
            work[a] -= math.copysign(units, work[a])
            work[b] -= math.copysign(units, work[b])
    return charge


@njit(cache=True, nogil=True, error_model="numpy")
def standalone(cells: Floats, n: int, spreads: Floats, calendar: float, work: Floats, out: Floats) -> float:
    """Sum of the margins that each row would need by itself."""
    total = 0.0
    for i in range(n):
        total += book_parts(cells, i, i + 1, QTY, spreads, calendar, work, out)
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def book_after(
    cells: Floats,
    n: int,
    at: int,
    sold: float,
    bought: float,
    spreads: Floats,
    calendar: float,
    work: Floats,
    out: Floats,
) -> float:
    """Total with row ``at`` changed in both quantity columns, the worse of the two; nothing is kept.

    ``at`` below 0 changes nothing.
    """
    if at >= 0:
        keep, other = cells[at, QTY], cells[at, OTHER_QTY]
        cells[at, QTY] = keep + sold
        cells[at, OTHER_QTY] = other + bought
    total = book_parts(cells, 0, n, QTY, spreads, calendar, work, out)
    same = True
    for i in range(n):
        same &= cells[i, QTY] == cells[i, OTHER_QTY]
    if not same:
        total = max(total, book_parts(cells, 0, n, OTHER_QTY, spreads, calendar, work, out))
    if at >= 0:
        cells[at, QTY] = keep
        cells[at, OTHER_QTY] = other
    return total


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def ready(
    s_row: Floats, h_row: Floats, logs: Floats, low: Floats, v: Floats, shift: float, root: Floats
) -> tuple[int, int]:
    """Total vol and |ln(F/K)| over it for one block; h is -1 where the careful kernel must answer, -2 at expiry.

    Returns how many rows need the long series and how many the careful kernel: the domain of ``pricing.rows``.
    """
    longer = 0
    marked = 0
    for i in range(LANES):
        vol = v[i] + shift
        vol = vol if vol > 0.0 else 0.0
        s = vol * root[i]
        x = logs[i]
        short = vol if vol < root[i] * root[i] else root[i] * root[i]
        good = (low[i] > 0.0) & (short > SMALL) & (s < S_LONG) & (abs(x - s * (0.5 * s + 38.0)) > s)
        dead = root[i] == 0.0
        s_row[i] = s if good else 1.0
        h = x / (s if good else 1.0)
        h = h if h < NO_VALUE else NO_VALUE
        h_row[i] = h if good else (-2.0 if dead else -1.0)
        longer += good & (s > S_SHORT)
        marked += (not good) & (not dead)
    return longer, marked


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def halves(sums: Floats) -> float:
    """The sum of a block, in any order the same: every addend is a whole number of quanta."""
    for width in (64, 32, 16, 8, 4, 2, 1):
        for i in range(width):
            sums[i] += sums[i + width]
    return sums[0]


@njit(cache=True, nogil=True, error_model="numpy")
def grid_values(
    w: Floats,
    f: Floats,
    k: Floats,
    t: Floats,
    v: Floats,
    r: Floats,
    qty: Floats,
    beta: Floats,
    base: Floats,
    moves: Floats,
    vols: Floats,
    years: Floats,
    scale: float,
    out: Floats,
) -> None:
    """Add quantity x (value - base) of every option to ``out[price, vol, time]``.

    The arithmetic of a value is that of ``pricing.price`` (Black-76 on the forward), operation for operation, with
    the logarithm taken once a price move and the root once a time; a test holds it to the last bit. Positions come
    in blocks of lanes, the last one filled up with rows of no quantity. Each product is rounded to a quantum
    (``scale`` of them are a rupee, a power of two), so that the sums are exact and books add up in whatever parts
    they are taken.
    """
    n = w.size
    cw, ck, cv, cq, c0 = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    logs, fs, low = np.empty((moves.size, LANES)), np.empty((moves.size, LANES)), np.empty((moves.size, LANES))
    root, df, rest = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    s_row, h_row, sums = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for first in range(0, n, LANES):
        for i in range(LANES):
            j = first + i if first + i < n else first
            cw[i], ck[i], cv[i], c0[i] = w[j], k[j], v[j], base[j]
            cq[i] = qty[j] if first + i < n else 0.0
            for p in range(moves.size):
                forward = f[j] * (1.0 + moves[p] * beta[j])
                fs[p, i] = forward if forward > 0.0 else 0.0
        for p in range(moves.size):
            for i in range(LANES):
                lo = fs[p, i] if fs[p, i] < ck[i] else ck[i]
                hi = fs[p, i] if fs[p, i] > ck[i] else ck[i]
                sound = (lo > SMALL) & (hi < LARGE) & (abs(cw[i]) == 1.0)
                low[p, i] = 1.0 if sound else -1.0
                logs[p, i] = abs(log_ratio(fs[p, i] if sound else 1.0, ck[i] if sound else 1.0))
        for m in range(years.size):
            for i in range(LANES):
                j = first + i if first + i < n else first
                left = t[j] - years[m]
                rest[i] = left if left > 0.0 else 0.0
                root[i] = math.sqrt(rest[i])
                df[i] = exp_poly(max(-700.0, min(700.0, -r[j] * rest[i])))
            for q in range(vols.size):
                for p in range(moves.size):
                    longer, marked = ready(s_row, h_row, logs[p], low[p], cv, vols[q], root)
                    if longer:
                        for i in range(LANES):
                            h, s = h_row[i], s_row[i]
                            d = series_long(mills_slope(h if h > 0.0 else 0.0)[1], h * h, 0.25 * s * s)
                            over = df[i] * base_of(fs[p, i], ck[i], h, s) if h >= 0.0 else 0.0
                            value = value_of(cw[i], fs[p, i], ck[i], df[i], over, s * d)
                            sums[i] = np.rint(cq[i] * (value - c0[i]) * scale) / scale
                    else:
                        for i in range(LANES):
                            h, s = h_row[i], s_row[i]
                            d = series_short(mills_slope(h if h > 0.0 else 0.0)[1], h * h, 0.25 * s * s)
                            over = df[i] * base_of(fs[p, i], ck[i], h, s) if h >= 0.0 else 0.0
                            value = value_of(cw[i], fs[p, i], ck[i], df[i], over, s * d)
                            sums[i] = np.rint(cq[i] * (value - c0[i]) * scale) / scale
                    if marked:
                        for i in range(LANES):
                            if h_row[i] == -1.0:
                                j = first + i if first + i < n else first
                                vol = max(0.0, cv[i] + vols[q])
                                exact = price_careful(cw[i], fs[p, i], ck[i], rest[i], vol, r[j], 0.0, False)
                                sums[i] = np.rint(cq[i] * (exact - c0[i]) * scale) / scale
                    out[p, q, m] += halves(sums)
