import pytest

from toolkit.batch import stopwatch
from toolkit.batch.stopwatch import STAGES, Stopwatch


@pytest.fixture
def ticking(monkeypatch):
    """A counter that moves only when told: ``ticking(seconds)``."""
    now = [100.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


def test_a_stage_counts_its_own_time(ticking):
    watch = Stopwatch()
    ticking(5)
    with watch.stage("load"):
        ticking(2)
    ticking(7)
    with watch.stage("load"):
        ticking(1)
    assert watch.seconds == {**dict.fromkeys(STAGES, 0.0), "load": 3.0}


def test_a_stage_inside_another_is_not_counted_twice(ticking):
    watch = Stopwatch()
    with watch.stage("exchange"):
        ticking(1)
        with watch.stage("strategy"):
            ticking(2)
        ticking(4)
    assert (watch.seconds["exchange"], watch.seconds["strategy"]) == (5.0, 2.0)


def test_a_stage_that_raises_still_ends(ticking):
    watch = Stopwatch()
    with pytest.raises(ValueError, match="x"):
        broken(watch, ticking)
    with watch.stage("load"):
        ticking(1)
    assert (watch.seconds["load"], watch.seconds["strategy"]) == (1.0, 3.0)


def broken(watch, ticking):
    with watch.stage("strategy"):
        ticking(3)
        raise ValueError("x")
