"""Walls: prominence against SciPy, the three conditions one by one, hysteresis."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import find_peaks, peak_prominences

from toolkit import oi
from toolkit.oi.walls import hold_wall, prominence_kernel

K = 24000.0 + 50.0 * np.arange(21)


@given(arrays(np.int64, st.integers(3, 40), elements=st.integers(0, 60)))
def test_prominence_is_scipys_at_every_peak(units):
    out = np.empty(units.size)
    prominence_kernel(units, out)
    peaks, _ = find_peaks(units)
    if peaks.size:
        np.testing.assert_array_equal(out[peaks], peak_prominences(units, peaks)[0])


def hill(**tops):
    units = np.full(21, 100, dtype=np.int64)
    for strike, top in tops.items():
        units[int((int(strike[1:]) - 24000) // 50)] = top
    return units


def test_a_wall_stands_out_of_its_neighbourhood():
    found = oi.walls(K, hill(k24500=1000), 24500.0)
    assert found.strike.tolist() == [24500.0]
    assert found.oi.tolist() == [1000]
    assert found.prominence.tolist() == [900.0]
    assert found.primary == 24500.0
    assert found.share[0] == pytest.approx(1000 / 2800)


def test_the_largest_wall_is_primary_and_of_equals_the_nearest_the_forward():
    wide = oi.OIConfig(wall_window=0.005)
    both = oi.walls(K, hill(k24200=800, k24800=1000), 24500.0, wide)
    assert both.strike.tolist() == [24200.0, 24800.0]
    assert both.primary == 24800.0
    tie = hill(k24200=1000, k24800=1000)
    assert oi.walls(K, tie, 24300.0, wide).primary == 24200.0
    assert oi.walls(K, tie, 24700.0, wide).primary == 24800.0


def test_each_condition_can_refuse():
    assert oi.walls(K, hill(k24500=1000), 24500.0, oi.OIConfig(wall_prominence=0.95)).strike.size == 0
    assert oi.walls(K, hill(k24500=1000), 24500.0, oi.OIConfig(wall_share=11.0)).strike.size == 0
    near = hill(k24500=1000, k24550=1100)
    assert oi.walls(K, near, 24500.0).strike.tolist() == [24550.0]


def test_nothing_is_a_wall_of_nothing():
    empty = oi.walls(K, np.zeros(21, dtype=np.int64), 24500.0)
    assert empty.strike.size == 0
    assert math.isnan(empty.primary)
    assert math.isnan(oi.walls([], [], 24500.0).primary)
    assert oi.walls(K, hill(k24500=1000), math.nan).primary == 24500.0


@given(st.integers(1, 100), arrays(np.int64, 21, elements=st.integers(0, 1000)))
def test_walls_do_not_depend_on_the_unit(scale, units):
    one, many = oi.walls(K, units, 24500.0), oi.walls(K, units * scale, 24500.0)
    assert one.strike.tolist() == many.strike.tolist()
    np.testing.assert_allclose(one.share, many.share)


def test_a_challenger_needs_a_lead_for_two_bursts():
    held = np.array([np.nan, np.nan, 0.0])
    k = np.array([24000.0, 24500.0])

    def step(first, second):
        units = np.array([first, second])
        return hold_wall(k, units, int(units.argmax()), 0.05, 2, held)

    assert step(100, 90) == 24000.0
    assert step(100, 104) == 24000.0  # leads by 4 %: not enough
    assert step(100, 106) == 24000.0  # once
    assert step(100, 99) == 24000.0  # and not again: the count starts over
    assert step(100, 106) == 24000.0
    assert step(100, 106) == 24500.0
    assert step(100, 106) == 24500.0


def test_an_incumbent_that_is_gone_gives_way_at_once():
    held = np.array([23000.0, np.nan, 0.0])
    assert hold_wall(np.array([24000.0]), np.array([5]), 0, 0.05, 2, held) == 24000.0
    held = np.array([24000.0, np.nan, 0.0])
    assert hold_wall(np.array([24000.0, 24500.0]), np.array([-1, 5]), 1, 0.05, 2, held) == 24500.0


def test_the_tracker_holds_its_wall_through_a_flicker():
    tracker = oi.LevelTracker()
    walls = []
    for j, (a, b) in enumerate([(1000, 500), (1000, 1010), (1000, 990), (1000, 1100), (1000, 1100), (1000, 1100)]):
        row = tracker.update(
            1_756_440_000_000_000_000 + j * 60_000_000_000,
            K,
            hill(k24300=a, k24700=b),
            hill(k24000=800 + j),
            hill(),
            hill(),
            24500.0,
            24500.0,
        )
        walls.append(row["ce_wall"])
    assert walls == [24300.0] * 4 + [24700.0] * 2
