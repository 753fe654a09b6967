"""The start-up benchmark: real processes, limits as shares of numba's import, nothing heavy loaded."""

from __future__ import annotations

import pytest

from toolkit.bench import startup as bench
from toolkit.errors import BadData


@pytest.fixture
def cheap(monkeypatch):
    """Every process a bare interpreter, each named as it is; what was started, in order."""
    started = []

    def spawn(arguments):
        started.append(tuple(arguments))
        return "sys toolkit toolkit.errors"

    monkeypatch.setattr(bench, "spawn", spawn)
    return started


def test_each_process_starts_in_turn(cheap):
    result = bench.run(rounds=3)
    every = [*bench.FLOORS.values(), *(start.arguments for start in bench.STARTS)]
    assert cheap[-1 - 3 * len(every) : -1] == every * 3
    assert {(row.job, row.peer) for row in result.rows} == {(s.job, f) for s in bench.STARTS for f in bench.FLOORS}


def test_limits_are_shares_of_numbas_import(cheap):
    goals = {row.job: row.goal for row in bench.run(rounds=1).rows if row.goal is not None}
    assert goals == {"import toolkit": 1.2, "toolkit --help": 0.9, "first price, warm cache": 0.36}


def test_a_slow_start_is_a_miss(cheap, monkeypatch):
    slow = {"import toolkit": 0.5, "toolkit --help": 0.3, "first price, warm cache": 0.9}
    monkeypatch.setattr(bench, "interleave", lambda jobs, **_: {name: [slow.get(name, 0.36)] for name in jobs})
    assert bench.run().missed == ["import toolkit, n = 1: 0.72x of import numba, the goal is 1.2x"]


def test_heavy_packages_are_a_miss(cheap, monkeypatch):
    monkeypatch.setattr(bench, "spawn", lambda arguments: "sys numpy.linalg numpy polars._typing toolkit numbat")
    (line,) = [x for x in bench.run(rounds=1).missed if "loads" in x]
    assert "import toolkit loads numpy, polars;" in line


def test_a_real_import_of_the_toolkit_loads_nothing_heavy():
    assert bench.heavy(bench.spawn(("-c", "import sys, toolkit; print(*sys.modules)"))) == []
    assert bench.heavy(bench.spawn(("-c", "import sys, numpy; print(*sys.modules)"))) == ["numpy"]


@pytest.mark.parametrize("start", bench.STARTS, ids=lambda start: start.job)
def test_each_start_works_for_real(start):
    said = bench.spawn(start.arguments)
    assert ("Usage" in said) == (start.job == "toolkit --help")


def test_a_process_that_fails_is_no_measurement():
    with pytest.raises(BadData, match="ended with 1: ZeroDivisionError: division by zero"):
        bench.spawn(("-c", "1 / 0"))
