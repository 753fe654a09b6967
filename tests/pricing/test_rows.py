"""The vector kernels are vector code, and blocks leave no seams."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from toolkit import pricing
from toolkit.pricing import inverse, kernels, rows

WIDE = ("zmm", "ymm") if platform.machine() in ("x86_64", "AMD64") else ()


@pytest.fixture(scope="module")
def compiled():
    """Both kernels compiled here, not loaded: assembly is kept only for fresh code."""
    from numba import njit

    flags = {"nogil": True, "error_model": "numpy"}
    row = np.full(16, 1.0)
    price, implied = njit(**flags)(rows.price_rows.py_func), njit(**flags)(inverse.implied_rows.py_func)
    zero = np.zeros(1)
    price(row, row, row, row, row, zero, zero, False, 0, 16, np.empty(16))
    implied(row, row, row, row, row, zero, zero, False, 0, 16, np.empty(16))
    return {name: "\n".join(f.inspect_asm().values()) for name, f in (("price", price), ("implied", implied))}


@pytest.mark.skipif(not WIDE, reason="vector registers are named here for x86-64 only")
@pytest.mark.parametrize("name", ["price", "implied"])
def test_arithmetic_is_vectorised(compiled, name):
    text = compiled[name]
    assert text.count("vdivpd") >= 3
    assert any(register in line for line in text.splitlines() if "vsqrtpd" in line for register in WIDE)
    wide = sum(1 for line in text.splitlines() if "vfmadd" in line and "pd" in line.split()[0])
    assert wide > 40


@pytest.mark.parametrize("n", [rows.BLOCK - 1, rows.BLOCK, rows.BLOCK + 1, 3 * rows.BLOCK + 5])
def test_blocks_leave_no_seams(n):
    k = np.linspace(80.0, 125.0, n)
    got = pricing.price_greeks(-1, 100.0, k, 0.3, 0.25, 0.04)
    for i in {0, n // 2, n - 1}:
        assert tuple(c[i] for c in got) == pricing.price_greeks(-1, 100.0, float(k[i]), 0.3, 0.25, 0.04)


def test_long_rows_do_not_change_short_neighbours():
    v = np.full(128, 0.1)
    calm = pricing.price(1, 100.0, 101.0, 0.1, v)
    v[64] = 4.0
    assert np.array_equal(np.delete(pricing.price(1, 100.0, 101.0, 0.1, v), 64), np.delete(calm, 64))


def test_rates_as_rows_or_as_one_number_agree():
    k = np.linspace(80.0, 120.0, 300)
    one = pricing.price(1, 100.0, k, 0.5, 0.2, 0.06)
    assert np.array_equal(pricing.price(1, 100.0, k, 0.5, 0.2, np.full(300, 0.06)), one)
    assert np.array_equal(pricing.price(1, 100.0, k, 0.5, 0.2, np.zeros(300)), pricing.price(1, 100.0, k, 0.5, 0.2))


def test_steps_say_which_inputs_have_rows():
    a, b = np.ones(4), np.ones(1)
    assert kernels.steps(a, b, b, a, b, b, b, 4) == 0b1001
    assert kernels.steps(a, np.ones(3), b, a, b, b, b, 4) == -1
