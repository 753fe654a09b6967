"""Simulated time: chosen, scaled, frozen, never backwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.sim.servers.clock import SimClock


class Real:
    def __init__(self):
        self.ns = 5_000

    def __call__(self):
        return self.ns


def test_it_runs_at_its_speed():
    real = Real()
    clock = SimClock(1_000_000, 10.0, real)
    assert clock.now_ns() == 1_000_000
    real.ns += 100
    assert clock.now_ns() == 1_001_000


def test_frozen_time_moves_only_by_a_jump():
    real = Real()
    clock = SimClock(100, 0.0, real)
    real.ns += 10**12
    assert clock.now_ns() == 100
    clock.jump(250)
    assert clock.now_ns() == 250
    assert clock.real_s(251) == float("inf")
    assert clock.real_s(250) == 0.0


def test_real_seconds_until_an_instant():
    clock = SimClock(0, 20.0, Real())
    assert clock.real_s(10 * 10**9) == pytest.approx(0.5)


def test_a_change_of_speed_keeps_the_time():
    real = Real()
    clock = SimClock(0, 1.0, real)
    real.ns += 1000
    clock.run(0.0)
    real.ns += 1000
    assert clock.now_ns() == 1000
    clock.run(2.0)
    real.ns += 10
    assert clock.now_ns() == 1020


def test_a_day_is_not_lived_twice():
    clock = SimClock(2_000_000_000, 0.0, Real())
    with pytest.raises(BadData, match=r"runs forward only: .* is 1\.500 s ago"):
        clock.jump(500_000_000)
    assert clock.now_ns() == 2_000_000_000


@pytest.mark.parametrize("speed", [-1.0, 10_001.0, float("nan")])
def test_a_speed_out_of_range_is_refused(speed):
    with pytest.raises(BadData, match="speed must be"):
        SimClock(0, speed, Real())


@given(st.lists(st.tuples(st.integers(0, 10**10), st.sampled_from([None, 0.0, 1.0, 7.5])), max_size=30))
def test_whatever_happens_time_does_not_run_back(steps):
    real = Real()
    clock = SimClock(0, 1.0, real)
    before = clock.now_ns()
    for passed, speed in steps:
        real.ns += passed
        if speed is None:
            clock.jump(clock.now_ns() + 5)
        else:
            clock.run(speed)
        now = clock.now_ns()
        assert now >= before
        before = now
