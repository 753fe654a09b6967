"""The parity forward: exact on clean quotes, unmoved by a wild one, honest about its error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from toolkit import pricing


def chain(forward=24540.0, tte=0.02, half=0.5, rate=0.0, seed=0, noise=0.0):
    k = np.arange(23500.0, 25501.0, 50.0)
    rng = np.random.default_rng(seed)
    call, put = (pricing.price(cp, forward, k, tte, 0.12, rate) + rng.normal(0, noise, len(k)) for cp in (1, -1))
    return k, call - half, call + half, put - half, put + half


def positive(k, *quotes):
    return (k, *(np.maximum(q, 0.05) for q in quotes))


def test_exact_on_clean_quotes():
    fit = pricing.parity_forward(*chain())
    assert fit.forward == pytest.approx(24540.0, abs=1e-8)
    assert 0.0 < fit.error < 1.0
    assert fit.strikes == 12


def test_discounting():
    df = math.exp(-0.07 * 0.5)
    fit = pricing.parity_forward(*chain(tte=0.5, rate=0.07), df=df)
    assert fit.forward == pytest.approx(24540.0, abs=1e-6)


def test_a_wild_quote_does_not_move_it():
    k, cb, ca, pb, pa = chain(noise=0.2)
    calm = pricing.parity_forward(k, cb, ca, pb, pa)
    cb[20] += 300.0
    ca[20] += 300.0
    moved = pricing.parity_forward(k, cb, ca, pb, pa)
    assert abs(moved.forward - calm.forward) < 0.5


def test_error_covers_the_truth_most_of_the_time():
    off = []
    for seed in range(60):
        fit = pricing.parity_forward(*chain(noise=0.4, seed=seed))
        off.append(abs(fit.forward - 24540.0) / fit.error)
    assert np.mean(np.array(off) < 2.0) > 0.9


def test_missing_crossed_and_one_sided_quotes_are_left_out():
    k, cb, ca, pb, pa = chain()
    cb[:10] = np.nan
    pb[10:15] = 0.0
    ca[15:20] = cb[15:20] - 1.0
    fit = pricing.parity_forward(k, cb, ca, pb, pa)
    assert fit.forward == pytest.approx(24540.0, abs=1e-8)
    nothing = pricing.parity_forward(k, np.full(len(k), np.nan), ca, pb, pa)
    assert math.isnan(nothing.forward)
    assert math.isnan(nothing.error)
    assert nothing.strikes == 0


def test_one_strike_is_enough_and_says_so():
    fit = pricing.parity_forward(*(np.array([x]) for x in (100.0, 4.9, 5.1, 2.9, 3.1)))
    assert fit == pytest.approx((102.0, 0.2, 1))
