"""The short way gives the same bits as the long one and refuses what it cannot take."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit import pricing
from toolkit.pricing import rows
from toolkit.pricing.direct import ABSENT, direct

K = np.linspace(90.0, 110.0, 200)
ONES = np.ones(200)


def test_same_bits_as_the_long_way():
    short = pricing.price(ONES, 100.0, K, 0.1, 0.2)
    assert np.array_equal(short, pricing.price(ONES, 100.0, K, 0.1, 0.2, out=np.empty(200)))
    assert np.array_equal(short, pricing.price(ONES.reshape(1, 200), 100.0, K, 0.1, 0.2)[0])


@pytest.mark.parametrize("strike", [K.astype(np.float32), K.astype(">f8"), K[::2], K.reshape(2, 100), K.tolist(), "K"])
def test_what_it_refuses_is_left_unwritten(strike):
    out = np.full(200, -1.0)
    assert direct(rows.price_rows, (ONES, 100.0, strike, 0.1, 0.2, ABSENT, ABSENT), False, 200, [out]) is False
    assert (out == -1.0).all()


def test_read_only_rows_are_refused_here_and_taken_by_the_long_way():
    frozen = K.copy()
    frozen.flags.writeable = False
    assert not direct(rows.price_rows, (ONES, 100.0, frozen, 0.1, 0.2, ABSENT, ABSENT), False, 200, [np.empty(200)])
    assert np.array_equal(pricing.price(ONES, 100.0, frozen, 0.1, 0.2), pricing.price(ONES, 100.0, K, 0.1, 0.2))


def test_lengths_must_agree():
    values = (ONES, 100.0, K[:7].copy(), 0.1, 0.2, ABSENT, ABSENT)
    assert not direct(rows.price_rows, values, False, 200, [np.empty(200)])


def test_numbers_and_defaults():
    out = np.empty(200)
    assert direct(rows.price_rows, (1, 100, K, 0.1, 0.2, 0.05, 0.01), True, 200, [out])
    assert np.array_equal(out, pricing.price(1, 100, K, 0.1, 0.2, 0.05, model="bsm", dividend=0.01, out=np.empty(200)))
