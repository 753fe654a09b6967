"""What a kernel reads from a Python object is what Python and NumPy say of it."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from toolkit.pricing import cells
from toolkit.pricing.cells import CELL, READ, WRITE, known, part, readable, row_at


@njit
def place(table, cell, flags):
    return part(table, cells.address(cell), flags)


@njit
def total(table, cell):
    at, n = part(table, cells.address(cell), READ)
    return row_at(at, max(n, 1)).sum() if n > -2 else -1.0


@pytest.fixture(scope="module")
def table():
    return known()


@pytest.fixture(scope="module")
def read():
    return place.compile((CELL, CELL, cells.types.int64))


@pytest.fixture(scope="module")
def add():
    return total.compile((CELL, CELL))


def test_the_layout_is_the_one_of_this_interpreter():
    assert readable()


def test_free_threading_and_short_words_are_not_read(monkeypatch):
    monkeypatch.setattr(cells.sysconfig, "get_config_var", lambda name: 1)
    assert not readable()


def test_known_addresses(table):
    assert table.tolist() == [id(float), id(np.float64), id(np.ndarray), id(np.dtype("f8")), id(tuple)]


@pytest.mark.parametrize("n", [0, 1, 7, 1000])
def test_rows_are_found_where_they_lie(read, table, n):
    row = np.arange(float(n))
    assert read(table, row, READ) == (row.ctypes.data, n)
    assert read(table, row, WRITE) == (row.ctypes.data, n)
    row.flags.writeable = False
    assert read(table, row, READ) == (row.ctypes.data, n)
    assert read(table, row, WRITE) == (0, -2)


@pytest.mark.parametrize("value", [0.0, -2.5, 1e300, np.float64(3.25)])
def test_floats_are_rows_of_one(read, add, table, value):
    assert read(table, value, READ)[1] == -1
    assert add(table, value) == value


def test_a_float_is_read_bit_for_bit(add, table):
    assert np.isnan(add(table, float("nan")))
    assert add(table, np.arange(10.0)) == 45.0


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        True,
        "x",
        [1.0],
        1j,
        object(),
        float,
        np.float32(1),
        np.int64(1),
        np.array(1.0),
        np.ones((2, 2)),
        np.ones(4)[::2],
        np.ones(4)[::-1],
        np.ones(4, np.float32),
        np.ones(4, np.int64),
        np.ones(4, ">f8"),
        np.ones(4, "m8[s]"),
        np.ma.ones(4),
        np.zeros(33, np.uint8)[1:].view(np.float64),
    ],
)
def test_everything_else_is_refused(read, add, table, value):
    assert read(table, value, READ) == (0, -2)
    assert add(table, value) == -1.0


def test_no_reference_is_kept_or_lost(read, table):
    import sys

    row = np.ones(3)
    before = sys.getrefcount(row)
    for _ in range(100):
        read(table, row, READ)
    assert sys.getrefcount(row) == before


def test_the_row_is_the_memory_itself(table):
    @njit
    def double(cells_, cell):
        at, n = part(cells_, cells.address(cell), WRITE)
        row_at(at, n)[:] *= 2.0
        return n

    row = np.ones(5)
    assert double.compile((CELL, CELL))(table, row) == 5
    assert row.tolist() == [2.0] * 5


def test_only_a_tuple_of_that_many_has_items(table):
    @njit
    def where(table, cell, count):
        return cells.items(table, cell, count)

    find = where.compile((CELL, CELL, cells.types.int64))
    pair = (1.0, 2.0)
    assert find(table, pair, 2) == id(pair) + tuple.__basicsize__
    for other in ((1.0,), [1.0, 2.0], "ab", 2, None):
        assert find(table, other, 2) == 0
