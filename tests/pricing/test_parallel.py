"""Threads change nothing but the time."""

from __future__ import annotations

from threading import Event, get_ident

import numpy as np
import pytest

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.pricing.parallel import run

rng = np.random.default_rng(5)
N = 50_001
ROWS = (
    rng.choice([-1.0, 1.0], N), np.full(N, 24500.0), 24500.0 * np.exp(rng.normal(0.0, 0.3, N)),
    10.0 ** rng.uniform(-6, 1, N), 10.0 ** rng.uniform(-2.5, 0.8, N), rng.uniform(-0.02, 0.1, N),
)  # fmt: skip


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_bits_do_not_depend_on_threads(threads):
    assert pricing.price(*ROWS, threads=threads).tobytes() == pricing.price(*ROWS).tobytes()
    one, many = pricing.price_greeks(*ROWS), pricing.price_greeks(*ROWS, threads=threads)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, many, strict=True))
    assert all(
        a.tobytes() == b.tobytes()
        for a, b in zip(pricing.greeks2(*ROWS), pricing.greeks2(*ROWS, threads=threads), strict=True)
    )
    cp, f, k, t, _, r = ROWS
    args = (cp, one.price, f, k, t, r)
    assert pricing.implied_vol(*args, threads=threads).tobytes() == pricing.implied_vol(*args).tobytes()


def test_slices_cover_every_row_once():
    seen = np.zeros(100_003)

    def kernel(start, stop, out):
        out[start:stop] += 1.0

    run(kernel, (), [seen], len(seen), 4)
    assert (seen == 1.0).all()


def test_a_thread_that_is_held_up_leaves_its_rows_to_the_others():
    rest_done = Event()
    rows = {}

    def kernel(start, stop):
        mine = rows.setdefault(get_ident(), [])
        mine.append(stop - start)
        if start == 0:
            assert rest_done.wait(10.0)
        elif stop == 1_000_000:
            rest_done.set()

    run(kernel, (), [], 1_000_000, 2)
    assert sum(map(sum, rows.values())) == 1_000_000
    assert min(map(sum, rows.values())) <= 250_000


def test_an_error_in_a_slice_is_raised():
    def kernel(start, stop, out):
        if start:
            raise ValueError("slice")

    with pytest.raises(ValueError, match="slice"):
        run(kernel, (), [np.zeros(1)], 100_000, 2)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_threads_is_checked(threads):
    with pytest.raises(BadData, match="threads must be a whole number of at least 1"):
        pricing.price(*ROWS, threads=threads)


def test_few_rows_stay_on_one_thread():
    calls = []
    run(lambda start, stop: calls.append((start, stop)), (), [], 200, 2)
    assert calls == [(0, 200)]
