"""The runner: interleaving, ratios, goals, what is printed."""

from __future__ import annotations

import os

import pytest

from toolkit.bench.runner import Result, Row, calls_for, interleave, machine, pinned, ratio_row, versions


class Clock:
    """A clock that only work moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds, log, name):
        def job():
            self.now += seconds
            log.append(name)

        return job


def test_rounds_are_interleaved_and_timed():
    clock, log = Clock(), []
    jobs = {"ours": clock.work(0.004, log, "a"), "theirs": clock.work(0.020, log, "b")}
    times = interleave(jobs, rounds=3, clock=clock)
    assert log == ["a", "a", "b", "b", *("a", "b") * 3]
    assert times["ours"] == pytest.approx([0.004] * 3)
    assert times["theirs"] == pytest.approx([0.020] * 3)


def test_quick_jobs_are_repeated_to_a_sample():
    clock, log = Clock(), []
    assert calls_for(clock.work(0.001, log, "a"), 0.01, clock) == 10
    assert calls_for(clock.work(5.0, log, "a"), 0.01, clock) == 1
    times = interleave({"a": clock.work(0.001, log, "a")}, rounds=2, sample_s=0.01, clock=clock)
    assert times["a"] == pytest.approx([0.001, 0.001])


def test_ratio_is_the_median_of_rounds():
    row = ratio_row("price", 100, "peer", [1e-6, 2e-6, 1e-6], [7e-6, 8e-6, 9e-6], goal=7.0)
    assert (row.ratio, row.low, row.high) == pytest.approx((7.0, 4.0, 9.0))
    assert (row.ours_ns, row.peer_ns) == pytest.approx((10.0, 80.0))
    assert row.met


def test_fewer_rows_for_a_slow_peer():
    row = ratio_row("price", 1000, "peer", [1e-5], [1e-5], peer_n=10)
    assert row.ratio == pytest.approx(100.0)
    assert row.met is None


def result():
    rows = [
        Row("price", 200, "fast", 10.0, 30.0, 3.0, 2.5, 3.5, 4.0),
        Row("price", 200, "slow", 10.0, 90.0, 9.0, 8.0, 9.5, 4.0),
    ]
    return Result("pricing", rows, ["a note"], ["one limit"], {"machine": "m"})


def test_missed_goals_are_named():
    assert result().missed == ["price, n = 200: 3.00x of fast, the goal is 4x", "one limit"]


def test_text_and_document():
    text = result().text()
    assert "machine: m" in text
    assert "4x MISSED" in text
    assert "4x met" in text
    assert text.endswith("a note")
    document = result().document()
    assert document["bench"] == "pricing"
    assert [r["met"] for r in document["rows"]] == [False, True]
    assert document["missed"] == result().missed


def test_machine_and_versions():
    assert set(machine(("numpy",))) == {"machine", "python", "versions"}
    assert versions(["no-such-package-here"]) == {"no-such-package-here": "not installed"}
    assert "numpy" in machine()["versions"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process to a core")
def test_pinning_is_undone():
    before = os.sched_getaffinity(0)
    with pinned():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
