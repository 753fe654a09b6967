"""Stage loads and stores: the same values as plain indexing, and one stage after the other."""

from __future__ import annotations

import numpy as np
from numba import njit

from toolkit.pricing.lanes import get, put, scratch

FIRST = 101
SECOND = 102
SIZE = 64


@njit(error_model="numpy", forceinline=True)
def doubled(row, to, n):
    for i in range(n):
        put(FIRST, 0, to, i, 2.0 * get(FIRST, row, i))


@njit(error_model="numpy", forceinline=True)
def summed(row, also, to, n):
    for i in range(n):
        put(SECOND, 0, to, i, get(SECOND, row, i) + get(SECOND, also, i))


@njit(error_model="numpy")
def chain(row, out):
    buf = scratch(SIZE)
    for first in range(0, row.size, SIZE):
        n = min(SIZE, row.size - first)
        doubled(row[first:], buf, n)
        summed(buf, row[first:], out[first:], n)


@njit(error_model="numpy")
def size_of_scratch():
    return scratch(SIZE).size


def test_a_stage_reads_what_the_one_before_wrote_block_after_block():
    row = np.arange(1000.0)
    out = np.empty(1000)
    chain(row, out)
    assert np.array_equal(out, 3.0 * row)


def test_no_loop_is_guarded_by_comparisons_of_ranges():
    chain(np.arange(8.0), np.empty(8))
    text = chain.inspect_llvm(chain.signatures[0])
    assert "vector.body" in text
    assert "vector.memcheck" not in text


def test_scratch_has_its_size():
    assert size_of_scratch() == SIZE
