"""The short way into a kernel for the common call: one-dimensional float64 arrays and floats.

A chain of 200 strikes takes a microsecond to price, so every check counts. They are made in compiled
code, on the objects themselves (:mod:`toolkit.pricing.cells`); whoever is refused (other types, lengths
that do not agree, an ``out`` that shares memory with an input) goes the long way, through ``pack``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numba import boolean, float64, int64, njit

from toolkit.pricing.arrays import columns, option_sign
from toolkit.pricing.cells import CELL, READ, WRITE, address, items, known, part, readable, row_at, word
from toolkit.pricing.inverse import implied_rows
from toolkit.pricing.rows import greeks_rows, price_rows

__all__ = ["ABSENT", "KNOWN", "Entry", "closed", "direct", "greeks_entry", "implied_entry", "price_entry"]

ABSENT: Final = 0.0
"""The default of ``rate`` and ``dividend``, told apart by identity."""

KNOWN: Final = known()
REFUSED: Final = -64
_EMPTY: Final = np.empty(0)
_ROW: Final = float64[::1]
_CLOSED: Final[set[Any]] = set()


def spare_scipy() -> None:
    """Keep numba from importing ``scipy.linalg`` before the first kernel, a part of the time that one takes.

    numba only asks whether it is there, for ``np.dot``; what needs it imports it itself, then. A numba that asks
    in another way is left alone.
    """
    if "numba.np.arraymath" in sys.modules or find_spec("scipy") is None:
        return
    linalg: Any = import_module("numba.np.linalg")
    check = getattr(linalg, "ensure_blas", None)
    if check is None:
        return
    linalg.ensure_blas = _found
    try:
        arrays: Any = import_module("numba.np.arraymath")
        arrays.ensure_blas = check
    finally:
        linalg.ensure_blas = check


def _found() -> None:
    """Stand for a check that finds what it looks for."""


def closed(kernel: Any, outputs: int) -> Any:
    """The kernel, compiled for rows of float64 and for nothing else, ever."""
    if kernel not in _CLOSED:
        spare_scipy()
        kernel.compile((*(_ROW,) * 7, boolean, int64, int64, *(_ROW,) * outputs))
        kernel.disable_compile()
        _CLOSED.add(kernel)
    return kernel


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def taken(cells: Any, cell: Any, n: int) -> Any:
    """An input as a row, and 0 for a float, 1 for ``n`` values, 16 for an array of one, REFUSED for the rest."""
    at, size = part(cells, address(cell), READ)
    if size == n:
        return row_at(at, n), 1
    if size == 1:
        return row_at(at, 1), 16
    if size == -1:
        return row_at(at, 1), 0
    return row_at(at, 0), REFUSED


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def apart(out: Any, rows: Any) -> bool:
    """Whether ``out`` shares no memory with the rows."""
    first = out.ctypes.data
    clear = True
    for row in rows:
        at = row.ctypes.data
        clear &= (at + 8 * row.size <= first) | (first + 8 * out.size <= at)
    return clear


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def all_taken(cells: Any, w: Any, f: Any, k: Any, t: Any, v: Any, r: Any, q: Any, n: int) -> Any:
    """The seven inputs as rows, and the sum of what :func:`taken` says; negative where they are refused."""
    ws, a = taken(cells, w, n)
    fs, b = taken(cells, f, n)
    ks, c = taken(cells, k, n)
    ts, d = taken(cells, t, n)
    vs, e = taken(cells, v, n)
    rs, g = taken(cells, r, n)
    qs, h = taken(cells, q, n)
    count = a + b + c + d + e + g + h
    if not count & 15 and (count or n != 1):
        count = REFUSED
    return (ws, fs, ks, ts, vs, rs, qs), count


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def given(cells: Any, place: int) -> Any:
    """The output whose object lies at ``place`` as a row, and whether it is one."""
    at, size = part(cells, place, WRITE)
    return row_at(at, max(size, 0)), size >= 0


@njit(cache=True, nogil=True, error_model="numpy")
def price_cells(cells: Any, w: Any, f: Any, k: Any, t: Any, v: Any, r: Any, q: Any, bsm: bool, out: Any) -> int:
    to, fit = given(cells, address(out))
    rows, count = all_taken(cells, w, f, k, t, v, r, q, to.size)
    if count < 0 or not fit or not apart(to, rows):
        return REFUSED
    price_rows(*rows, bsm, 0, to.size, to)
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def implied_cells(cells: Any, w: Any, p: Any, f: Any, k: Any, t: Any, r: Any, q: Any, bsm: bool, out: Any) -> int:
    to, fit = given(cells, address(out))
    rows, count = all_taken(cells, w, p, f, k, t, r, q, to.size)
    if count < 0 or not fit or not apart(to, rows):
        return REFUSED
    implied_rows(*rows, bsm, 0, to.size, to)
    return count


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def six(cells: Any, outs: Any) -> Any:
    """Six outputs, a tuple, as rows of one length (the first may be empty), and whether they are."""
    at = items(cells, outs, 6)
    if not at:
        none = row_at(0, 0)
        return (none, none, none, none, none, none), False
    to_a, fit_a = given(cells, word(at))
    to_b, fit_b = given(cells, word(at + 8))
    to_c, fit_c = given(cells, word(at + 16))
    to_d, fit_d = given(cells, word(at + 24))
    to_e, fit_e = given(cells, word(at + 32))
    to_g, fit_g = given(cells, word(at + 40))
    n = to_b.size
    same = (to_c.size == n) & (to_d.size == n) & (to_e.size == n) & (to_g.size == n)
    same &= (to_a.size == n) | (to_a.size == 0)
    return (to_a, to_b, to_c, to_d, to_e, to_g), same & fit_a & fit_b & fit_c & fit_d & fit_e & fit_g


@njit(cache=True, nogil=True, error_model="numpy")
def greeks_cells(cells: Any, w: Any, f: Any, k: Any, t: Any, v: Any, r: Any, q: Any, bsm: bool, outs: Any) -> int:
    to, fit = six(cells, outs)
    n = to[1].size
    rows, count = all_taken(cells, w, f, k, t, v, r, q, n)
    if count < 0 or not fit:
        return REFUSED
    for out in to:
        fit &= apart(out, rows)
    if not fit:
        return REFUSED
    greeks_rows(*rows, bsm, 0, n, *to)
    return count


class Entry:
    """One compiled function of cells, called past numba's dispatch; compiled or loaded on first use.

    ``call(KNOWN, *seven inputs, bsm, output)``, with a tuple of outputs where there are several, gives 0 when
    all inputs were floats, a positive number when some were arrays, and a negative one when it refused and
    wrote nothing.
    """

    __slots__ = ("call", "function", "kernel", "outputs")

    def __init__(self, function: Any, kernel: Any, outputs: int) -> None:
        self.function = function
        self.kernel = kernel
        self.outputs = outputs
        self.call: Callable[..., int] = self._first

    def _first(self, *values: Any) -> int:
        if not readable():
            self.call = _refuse
        else:
            spare_scipy()
            self.call = self.function.compile((*(CELL,) * 8, boolean, CELL))
        return self.call(*values)


def _refuse(*_: Any) -> int:
    return REFUSED


def plain(value: Any) -> Any:
    """A float for what is one number; anything else as it is."""
    kind = type(value)
    if kind is np.ndarray or kind is float:
        return value
    return float(value) if kind is int or isinstance(value, np.number) else value


def direct(entry: Entry, values: tuple[Any, ...], lead: Any, bsm: bool, out: Any, unused: bool = False) -> Any:
    """What ``entry`` gives for these inputs, one of which leads with its shape; None when the long way is needed."""
    plural = entry.outputs > 1
    if out is None:
        to = columns(entry.outputs - unused, lead.size if type(lead) is np.ndarray else 1)
    elif type(lead) is np.ndarray:
        to = tuple(out) if plural else (out,)
    else:
        return None
    whole = (_EMPTY, *to) if unused else to
    if len(whole) != entry.outputs:
        return None
    target = whole if plural else whole[0]
    count = entry.call(KNOWN, *values, bsm, target)
    if count < 0:
        cp, *others = values
        sign = option_sign(cp) if type(cp) is str else plain(cp)
        count = entry.call(KNOWN, sign, *[plain(value) for value in others], bsm, target)
    if count > 0:
        return out if out is not None else to if plural else to[0]
    if count < 0 or out is not None:
        return None
    numbers = [float(row[0]) for row in to]
    if any(x != x for x in numbers):
        return None
    return numbers if plural else numbers[0]


price_entry: Final = Entry(price_cells, price_rows, 1)
greeks_entry: Final = Entry(greeks_cells, greeks_rows, 6)
implied_entry: Final = Entry(implied_cells, implied_rows, 1)
