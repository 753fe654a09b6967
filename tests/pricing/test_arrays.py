"""Every kind of input that NumPy users pass, and outputs as asked."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.pricing.arrays import check_scalars, columns, option_sign, outputs, pack

K = np.linspace(90.0, 110.0, 5)
WANT = pricing.price(1, 100.0, K, 0.25, 0.2)


@pytest.mark.parametrize(
    "cp",
    [
        1,
        1.0,
        "CE",
        "ce",
        "C",
        "c",
        np.int8(1),
        np.ones(5),
        ["CE"] * 5,
        np.array(["c"] * 5),
        np.array(["Ce"] * 5, dtype=object),
        pl.Series(["CE"] * 5),
    ],
)
def test_cp_in_any_form(cp):
    assert np.array_equal(pricing.price(cp, 100.0, K, 0.25, 0.2), WANT)


def test_cp_mixed_text():
    got = pricing.price(["CE", "pe", "C", "p", "PE"], 100.0, K, 0.25, 0.2)
    put = pricing.price(-1, 100.0, K, 0.25, 0.2)
    assert np.array_equal(got, [WANT[0], put[1], WANT[2], put[3], put[4]])


@pytest.mark.parametrize("cp", ["X", "CALL", ["CE", "XX", "PE", "PE", "PE"]])
def test_cp_of_unknown_text_is_refused(cp):
    with pytest.raises(BadData, match="option type must be CE, PE, C or P, was"):
        pricing.price(cp, 100.0, K, 0.25, 0.2)


def test_cp_of_unknown_number():
    with pytest.raises(BadData, match=r"cp must be \+1, -1"):
        pricing.price(2, 100.0, 100.0, 0.25, 0.2)
    assert np.isnan(pricing.price(np.array([1.0, 0.0, 2.0, -2.0, 1.0]), 100.0, K, 0.25, 0.2)).tolist() == [
        0,
        1,
        1,
        1,
        0,
    ]


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 127, 128, 129, 255, 256, 257, 1000])
def test_every_length(n):
    k = np.linspace(80.0, 120.0, n)
    whole = pricing.price(1, 100.0, k, 0.25, 0.2)
    assert whole.shape == (n,)
    assert np.array_equal(whole, [pricing.price(1, 100.0, float(x), 0.25, 0.2) for x in k])


def test_read_only_strided_reversed_and_fortran():
    frozen = K.copy()
    frozen.flags.writeable = False
    assert np.array_equal(pricing.price(1, 100.0, frozen, 0.25, 0.2), WANT)
    spread = np.empty(10)
    spread[::2] = K
    assert np.array_equal(pricing.price(1, 100.0, spread[::2], 0.25, 0.2), WANT)
    assert np.array_equal(pricing.price(1, 100.0, K[::-1], 0.25, 0.2), WANT[::-1])
    square = np.asfortranarray(np.linspace(80, 120, 12).reshape(3, 4))
    assert np.array_equal(
        pricing.price(1, 100.0, square, 0.25, 0.2), pricing.price(1, 100.0, square.copy("C"), 0.25, 0.2)
    )


def test_large_read_only_rows_are_not_copied_and_not_written():
    k = np.linspace(80.0, 120.0, 10_000)
    k.flags.writeable = False
    before = k.copy()
    assert np.array_equal(pricing.price(1, 100.0, k, 0.25, 0.2), pricing.price(1, 100.0, before, 0.25, 0.2))
    assert np.array_equal(k, before)
    assert not k.flags.writeable
    got, *_ = pack(("cp", "strike"), (1.0, k))
    assert got[1].__array_interface__["data"][0] == k.__array_interface__["data"][0]


def test_unaligned_and_swapped_bytes():
    raw = np.zeros(41, dtype=np.uint8)
    odd = raw[1:].view(np.float64)
    odd[:] = K
    assert np.array_equal(pricing.price(1, 100.0, odd, 0.25, 0.2), WANT)
    assert np.array_equal(pricing.price(1, 100.0, K.astype(">f8"), 0.25, 0.2), WANT)


def test_zero_dimensional_empty_float32_and_integer():
    assert type(pricing.price(1, np.array(100.0), np.float64(100), 0.25, 0.2)) is float
    assert type(pricing.price(1, 100.0, np.array(100.0), 0.25, 0.2)) is float
    assert type(pricing.price(1.0, np.array(100.0), 100.0, 0.25, np.array(0.2))) is float
    assert pricing.price(1, 100.0, np.empty(0), 0.25, 0.2).shape == (0,)
    assert pricing.price(1, 100.0, np.empty((0, 3)), 0.25, 0.2).shape == (0, 3)
    assert pricing.price(1, np.empty(0), np.ones(1), 0.25, 0.2).shape == (0,)
    assert pricing.price(np.array([1, -1], np.int8), 100, np.array([100, 100]), 1, np.float32(0.25)) == pytest.approx(
        pricing.price(1, 100.0, 100.0, 1.0, 0.25), rel=1e-15
    )
    assert np.array_equal(
        pricing.price(1, 100.0, K.astype(np.float32), 0.25, 0.25), pricing.price(1, 100.0, K, 0.25, 0.25)
    )


def test_broadcasting_is_numpys():
    f, k, v = np.full((2, 1, 1), 100.0), K[:3].reshape(3, 1), np.array([0.1, 0.2])
    got = pricing.price(1, f, k, 0.25, v)
    assert got.shape == (2, 3, 2)
    assert got[1, 2, 0] == pricing.price(1, 100.0, float(K[2]), 0.25, 0.1)
    one = pricing.price(1, np.array([100.0]), K, 0.25, 0.2)
    assert np.array_equal(one, WANT)
    assert pricing.price(1, np.array([100.0]), 100.0, 0.25, 0.2).shape == (1,)
    assert pricing.price(1, np.array([[100.0]]), K, 0.25, 0.2).shape == (1, 5)


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(BadData, match=r"forward \(3,\), strike \(5,\)"):
        pricing.price(1, np.ones(3), K, 0.25, 0.2)


def test_no_number_is_refused():
    for bad in ("abc", None, object(), [1, "x"]):
        with pytest.raises(BadData, match="strike must be a number"):
            pricing.price(1, 100.0, bad, 0.25, 0.2)


def test_out_is_written_and_returned():
    out = np.empty(5)
    assert pricing.price(1, 100.0, K, 0.25, 0.2, out=out) is out
    assert np.array_equal(out, WANT)
    wide = np.zeros(10)
    pricing.price(1, 100.0, K, 0.25, 0.2, out=wide[::2])
    assert np.array_equal(wide[::2], WANT)
    assert not wide[1::2].any()
    five = [np.empty(5) for _ in range(5)]
    got = pricing.greeks(1, 100.0, K, 0.25, 0.2, out=five)
    assert all(a is b for a, b in zip(got, five, strict=True))
    scalar = np.empty(())
    pricing.price(1, 100.0, 100.0, 0.25, 0.2, out=scalar)
    assert scalar == pricing.price(1, 100.0, 100.0, 0.25, 0.2)


def test_out_may_be_an_input():
    k = K.copy()
    k[3] = np.nan
    want = pricing.price(1, 100.0, k, 0.25, 0.2)
    assert pricing.price(1, 100.0, k, 0.25, 0.2, out=k) is k
    assert np.array_equal(k, want, equal_nan=True)
    value = WANT.copy()
    pricing.implied_vol(1, value, 100.0, K, 0.25, out=value)
    assert value == pytest.approx(np.full(5, 0.2), rel=1e-12)


@pytest.mark.parametrize("out", [np.empty(4), np.empty(5, np.float32), [0.0] * 5, np.empty((5, 1))])
def test_out_of_another_kind_is_refused(out):
    with pytest.raises(BadData, match="out for price must be a writable float64 array"):
        pricing.price(1, 100.0, K, 0.25, 0.2, out=out)


def test_out_read_only_or_of_another_count():
    out = np.empty(5)
    out.flags.writeable = False
    with pytest.raises(BadData, match="writable"):
        pricing.price(1, 100.0, K, 0.25, 0.2, out=out)
    with pytest.raises(BadData, match="out must hold 5 arrays"):
        pricing.greeks(1, 100.0, K, 0.25, 0.2, out=[np.empty(5)] * 4)


def test_inputs_are_never_written():
    columns = [np.full(300, x) for x in (1.0, 100.0, 95.0, 0.25, 0.2, 0.03)]
    before = [c.copy() for c in columns]
    pricing.price_greeks(*columns, model="bsm", dividend=0.01)
    pricing.implied_vol(columns[0], np.full(300, 8.0), *columns[1:4], columns[5], model="bsm")
    assert all(np.array_equal(a, b) for a, b in zip(columns, before, strict=True))


def test_parts():
    assert option_sign("pe") == -1.0
    rows, shape, n = pack(("cp", "x", "y"), (1.0, np.ones(3), 2))
    assert (shape, n) == ((3,), 3)
    assert [len(r) for r in rows] == [1, 3, 1]
    to, given = outputs(("a", "b"), None, (2, 2), 4, [])
    assert [t.shape for t in to] == [(4,), (4,)]
    assert [g.shape for g in given] == [(2, 2), (2, 2)]
    check_scalars(("cp", "iv"), [np.array([1.0]), np.array([np.nan])])
    with pytest.raises(BadData, match="iv"):
        check_scalars(("cp", "iv"), [np.array([1.0]), np.array([-1.0])])


@pytest.mark.parametrize("n", [0, 1, 200, 65_535, 65_536, 1 << 17, 100_003])
def test_columns_are_apart_contiguous_and_writable(n):
    rows = columns(6, n)
    for i, row in enumerate(rows):
        assert row.shape == (n,)
        assert row.dtype == np.float64
        assert row.flags.c_contiguous
        row[:] = i
    assert [set(row.tolist()) for row in rows] == [{float(i)} if n else set() for i in range(6)]
    places = {row.ctypes.data % 4096 for row in rows}
    assert n < 65_536 or len(places) == 6


def test_one_column_owns_its_memory():
    assert columns(1, 1 << 17)[0].flags.owndata


def test_large_results_of_one_block_are_those_of_separate_arrays():
    n = 70_001
    k = np.linspace(80.0, 125.0, n)
    shared = pricing.price_greeks(1, 100.0, k, 0.3, 0.25, 0.04)
    apart = pricing.price_greeks(1, 100.0, k, 0.3, 0.25, 0.04, out=[np.empty(n) for _ in range(6)])
    assert all(np.array_equal(a, b) for a, b in zip(shared, apart, strict=True))
    assert all(
        np.array_equal(a, b) for a, b in zip(pricing.greeks(1, 100.0, k, 0.3, 0.25, 0.04), apart[1:], strict=True)
    )
