"""Robust z against NumPy, CUSUM, and the history by time of day and days to expiry."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import oi
from toolkit.oi.scores import METRICS, History, ScoreBook, z_sorted

FINITE = st.floats(-1e6, 1e6)


@given(FINITE, st.lists(FINITE, max_size=40))
def test_the_robust_z_is_median_and_mad(value, history):
    got = oi.robust_z(value, history)
    if not history:
        assert math.isnan(got)
        return
    median = float(np.median(history))
    mad = float(np.median(np.abs(np.array(history) - median)))
    if mad == 0:
        assert math.isnan(got)
    else:
        assert got == pytest.approx((value - median) / (1.4826 * mad), rel=1e-9, abs=1e-9)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.integers(-9, 9))
def test_ties_in_the_history(history, value):
    ordered = np.sort(np.array(history, dtype=float))
    median = np.median(ordered)
    mad = np.median(np.abs(ordered - median))
    got = z_sorted(float(value), ordered, ordered.size)
    assert math.isnan(got) if mad == 0 else got == pytest.approx((value - median) / (1.4826 * mad))


def test_unknown_values_have_no_score():
    assert math.isnan(oi.robust_z(math.nan, [1.0, 2.0, 3.0]))
    assert oi.robust_z(3.0, [1.0, math.nan, 2.0, 3.0]) == oi.robust_z(3.0, [1.0, 2.0, 3.0])


def test_cusum_alarms_on_a_lasting_shift_and_starts_over():
    z = np.concatenate([np.zeros(20), np.full(20, 1.5)])
    alarms = oi.cusum(z)
    assert alarms[:20].tolist() == [0] * 20
    assert np.flatnonzero(alarms).tolist() == [25, 31, 37]
    assert set(alarms[20:]) == {0, 1}
    assert (oi.cusum(-z) == -alarms).all()
    assert oi.cusum([math.nan] * 5).tolist() == [0] * 5
    assert oi.cusum([6.0], k=0.5, h=5.0).tolist() == [1]


def values(x):
    return np.full(len(METRICS), float(x))


def test_history_gives_earlier_days_of_the_same_bucket_and_days_to_expiry():
    history = History(3)
    for day in range(6):
        for _ in range(2):
            history.add(day, 4, 10, values(day))
        history.add(day, 3, 10, values(100 + day))
    table, counts = history.before(6, 4, 10)
    assert counts.tolist() == [6] * len(METRICS)
    assert table[0].tolist() == [3.0, 3.0, 4.0, 4.0, 5.0, 5.0]
    table, counts = history.before(5, 4, 10)
    assert table[0].tolist() == [2.0, 2.0, 3.0, 3.0, 4.0, 4.0]
    assert history.before(6, 4, 11)[1].sum() == 0


def test_a_running_session_is_no_history_and_a_dump_restores_it():
    history = History(20)
    history.add(1, 4, 10, values(1))
    history.add(2, 4, 10, values(2))
    assert history.before(2, 4, 10)[0][0].tolist() == [1.0]
    twin = History(20)
    twin.load(history.dump())
    np.testing.assert_array_equal(twin.before(3, 4, 10)[0], history.before(3, 4, 10)[0])


def test_scores_rest_on_past_sessions_when_there_are_enough_else_on_this_one():
    book = ScoreBook()
    empty = (np.empty((len(METRICS), 0)), np.zeros(len(METRICS), dtype=np.int64))
    for x in range(5):
        book.score(values(x), empty, 4, 0.5, 5.0)
    assert book.z[0] == pytest.approx(oi.robust_z(4.0, [0, 1, 2, 3]))
    past = (np.tile(np.arange(10.0), (len(METRICS), 1)), np.full(len(METRICS), 10))
    book.score(values(20), past, 4, 0.5, 5.0)
    assert book.z[0] == pytest.approx(oi.robust_z(20.0, np.arange(10.0)))
    twin = book.copy()
    book.reset()
    assert twin.session_n[0] == 6
    book.score(values(1), empty, 4, 0.5, 5.0)
    assert math.isnan(book.z[0])
