"""The short way gives the same bits as the long one and refuses what it cannot take."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from toolkit import pricing
from toolkit.pricing import direct as short
from toolkit.pricing.direct import ABSENT, KNOWN, direct, greeks_entry, implied_entry, plain, price_entry

K = np.linspace(90.0, 110.0, 200)
ONES = np.ones(200)


def call(strike, out, *, cp=ONES, forward=100.0):
    return price_entry.call(KNOWN, cp, forward, strike, 0.1, 0.2, ABSENT, ABSENT, False, out)


def test_same_bits_as_the_long_way():
    short = pricing.price(ONES, 100.0, K, 0.1, 0.2)
    assert np.array_equal(short, pricing.price(ONES, 100.0, K, 0.1, 0.2, out=np.empty(400)[::2]))
    assert np.array_equal(short, pricing.price(ONES.reshape(1, 200), 100.0, K, 0.1, 0.2)[0])
    assert np.array_equal(short, pricing.price("ce", np.float64(100), K, np.float32(0.1), 0.2)) is False
    assert np.array_equal(short, pricing.price("ce", np.float64(100), K, 0.1, np.array([0.2])))
    vols = pricing.implied_vol(1, short, 100, K, 0.1)
    assert np.array_equal(vols, pricing.implied_vol(ONES.reshape(1, 200), short, 100.0, K, 0.1)[0])


def test_greeks_same_bits_as_the_long_way():
    short = pricing.price_greeks(1, 100.0, K, 0.1, 0.2, 0.03)
    spread = [np.empty(400)[::2] for _ in range(6)]
    long = pricing.price_greeks(1, 100.0, K, 0.1, 0.2, 0.03, out=spread)
    out = tuple(np.empty(200) for _ in range(6))
    given = pricing.price_greeks(1, 100.0, K, 0.1, 0.2, 0.03, out=out)
    only = pricing.greeks(1, 100.0, K, 0.1, 0.2, 0.03)
    for a, b, c, d in zip(short, long, given, out, strict=True):
        assert np.array_equal(a, b)
        assert c is d
        assert np.array_equal(a, c)
    assert all(np.array_equal(a, b) for a, b in zip(short[1:], only, strict=True))


@pytest.mark.parametrize("strike", [K.astype(np.float32), K.astype(">f8"), K[::2], K.reshape(2, 100), K.tolist(), "K"])
def test_what_it_refuses_is_left_unwritten(strike):
    out = np.full(200, -1.0)
    assert call(strike, out) < 0
    assert (out == -1.0).all()


@pytest.mark.parametrize("value", [None, 1, True, "CE", object(), np.float32(1), np.array(1.0), np.ma.ones(200), 1j])
def test_other_objects_are_refused(value):
    out = np.full(200, -1.0)
    assert call(K, out, cp=value) < 0
    assert call(K, out, forward=value) < 0
    assert (out == -1.0).all()


def test_read_only_rows_are_taken_and_not_written():
    frozen = K.copy()
    frozen.flags.writeable = False
    out = np.empty(200)
    assert call(frozen, out) > 0
    assert np.array_equal(out, pricing.price(ONES, 100.0, K, 0.1, 0.2))
    assert call(K, frozen) < 0
    assert np.array_equal(frozen, K)


def test_unaligned_rows_are_refused():
    odd = np.zeros(1601, np.uint8)[1:].view(np.float64)
    odd[:] = K
    assert call(odd, np.empty(200)) < 0
    assert call(K, odd) < 0


def test_lengths_must_agree():
    assert call(K[:7].copy(), np.empty(200)) < 0
    assert call(K, np.empty(199)) < 0
    one = np.ones(1)
    assert call(one, np.empty(5), cp=one) < 0
    assert call(100.0, np.empty(5), cp=1.0) < 0
    assert call(100.0, np.empty(1), cp=1.0) == 0
    assert call(one, np.empty(1), cp=1.0) > 0
    assert call(np.empty(0), np.empty(0), cp=1.0) > 0


def test_outputs_that_overlap_an_input_are_refused():
    memory = np.concatenate([K, K])
    assert call(memory[:200], memory[100:300]) < 0
    assert np.array_equal(memory, np.concatenate([K, K]))
    assert call(memory[:200], memory[200:]) > 0
    six = tuple(np.empty(200) for _ in range(6))
    values = (ONES, 100.0, six[4], 0.1, 0.2, ABSENT, ABSENT)
    assert greeks_entry.call(KNOWN, *values, False, six) < 0
    values = (ONES, 100.0, K, 0.1, 0.2, ABSENT, ABSENT)
    for refused in ((*six[:5], np.empty(199)), six[:5], list(six), six[0], (*six[:5], None)):
        assert greeks_entry.call(KNOWN, *values, False, refused) < 0
    assert greeks_entry.call(KNOWN, *values, False, six) > 0


def test_direct_takes_numbers_and_out():
    out = np.empty(200)
    values = (1, 100, K, 0.1, np.float32(0.25), 0.05, 0.01)
    assert direct(price_entry, values, K, True, out) is out
    want = pricing.price(1, 100, K.reshape(1, -1), 0.1, 0.25, 0.05, model="bsm", dividend=0.01)[0]
    assert np.array_equal(out, want)
    scalar = (1, 100, 100, 0.1, 0.2, ABSENT, ABSENT)
    assert direct(price_entry, scalar, 100, False, None) == pricing.price(1, 100.0, np.array([100.0]), 0.1, 0.2)[0]
    assert direct(price_entry, scalar, 100, False, np.empty(1)) is None
    assert direct(greeks_entry, values, K, True, [out]) is None


def test_nan_of_numbers_goes_the_long_way():
    assert direct(price_entry, (1, 100.0, -5.0, 0.1, 0.2, ABSENT, ABSENT), -5.0, False, None) is None
    assert direct(implied_entry, (1, 1e9, 100.0, 100.0, 0.1, ABSENT, ABSENT), 1e9, False, None) is None
    assert np.isnan(pricing.price(1, np.nan, 100.0, 0.1, 0.2))


def test_plain():
    assert plain(K) is K
    assert type(plain(3)) is float
    assert type(plain(np.int8(3))) is float
    assert plain("CE") == "CE"
    assert plain(None) is None


def test_the_first_price_leaves_scipy_out_and_numba_whole():
    program = (
        "import sys, numpy as np\n"
        "from toolkit import pricing\n"
        "pricing.price(1, 100.0, 101.0, 0.1, 0.2)\n"
        "assert 'scipy.linalg' not in sys.modules\n"
        "from numba import njit\n"
        "print(njit(lambda a: np.dot(a, a))(np.arange(4.0)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "14.0\n", done.stderr


def test_a_numba_without_that_check_is_left_alone(monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        return SimpleNamespace()

    monkeypatch.delitem(sys.modules, "numba.np.arraymath", raising=False)
    monkeypatch.setattr(short, "find_spec", lambda name: object())
    monkeypatch.setattr(short, "import_module", load)
    short.spare_scipy()
    assert asked == ["numba.np.linalg"]
