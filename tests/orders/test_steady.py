"""R18: no step of the wall moves the engine's clock; a slow drift is followed; a step is told."""

from __future__ import annotations

import pytest

from toolkit.orders.steady import SteadyClock

S = 10**9


class Walls:
    def __init__(self):
        self.wall_ns, self.mono_ns = 1_756_400_000 * S, 5 * S

    def pass_s(self, seconds):
        self.wall_ns += int(seconds * S)
        self.mono_ns += int(seconds * S)


@pytest.mark.parametrize("step_s", [1, -1, 3600, -3600, 86_400, -86_400])
def test_a_step_of_the_wall_does_not_move_the_clock(step_s):
    w = Walls()
    clock = SteadyClock(lambda: w.wall_ns, lambda: w.mono_ns)
    before = clock()
    w.wall_ns += step_s * S
    w.pass_s(10)
    told = clock.step_s
    assert clock() - before == pytest.approx(10 * S, abs=S)
    assert clock() >= before
    assert told == (0.0 if abs(step_s) <= 2 else float(step_s))


def test_a_frozen_process_catches_up():
    w = Walls()
    clock = SteadyClock(lambda: w.wall_ns, lambda: w.mono_ns)
    before = clock()
    w.pass_s(30)
    assert clock() - before == 30 * S
    assert clock.step_s == 0.0


def test_a_clock_that_is_disciplined_is_followed_and_never_runs_backwards():
    w = Walls()
    clock = SteadyClock(lambda: w.wall_ns, lambda: w.mono_ns)
    seen = []
    for _ in range(1000):
        w.pass_s(1)
        w.wall_ns -= S // 1000
        assert clock.step_s == 0.0
        seen.append(clock())
    assert seen == sorted(seen)
    assert abs(clock() - w.wall_ns) < S // 100


def test_a_step_that_is_taken_back_is_over():
    w = Walls()
    clock = SteadyClock(lambda: w.wall_ns, lambda: w.mono_ns)
    w.wall_ns += 3600 * S
    assert clock.step_s == 3600.0
    w.wall_ns -= 3600 * S
    assert clock.step_s == 0.0
