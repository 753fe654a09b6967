"""Interleaved ratios: ours, peer, ours, peer in one run; only such ratios count.

A shared machine moves by a factor of two between minutes, so a figure alone says little. Each round
times every contestant once; the ratio of a round is peer / ours, and its median and range are shown.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any, Final

__all__ = ["ROUNDS", "Result", "Row", "calls_for", "interleave", "machine", "pinned", "ratio_row", "versions"]

ROUNDS: Final = 9
_SAMPLE_S: Final = 0.004

Job = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One comparison. Times are nanoseconds an item; ``ratio`` is peer / ours (higher is better for us)."""

    job: str
    n: int
    peer: str
    ours_ns: float
    peer_ns: float
    ratio: float
    low: float
    high: float
    goal: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        return None if self.goal is None else self.ratio >= self.goal


@dataclass
class Result:
    """What a benchmark hands to the command line."""

    name: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)

    @property
    def missed(self) -> list[str]:
        """Every stated ratio or limit that was not reached, one line each."""
        short = [
            f"{r.job}, n = {r.n}: {r.ratio:.2f}x of {r.peer}, the goal is {r.goal:g}x"
            for r in self.rows
            if r.met is False
        ]
        return short + self.misses

    def document(self) -> dict[str, Any]:
        """The result as plain values for JSON."""
        rows = [asdict(r) | {"met": r.met} for r in self.rows]
        return {"bench": self.name, "machine": self.machine, "rows": rows, "notes": self.notes, "missed": self.missed}

    def text(self) -> str:
        """The result as a table for people."""
        head = [f"{key}: {value}" for key, value in self.machine.items()]
        lines = [
            f"{'job':<26}{'n':>9}  {'against':<24}{'ours ns':>10}{'theirs ns':>12}{'ratio':>8}  range          goal"
        ]
        for r in self.rows:
            goal = "" if r.goal is None else f"{r.goal:g}x {'met' if r.met else 'MISSED'}"
            span = f"{r.low:.2f}-{r.high:.2f}"
            figures = f"{r.ours_ns:>10.1f}{r.peer_ns:>12.1f}{r.ratio:>7.2f}x  {span:<14} {goal}"
            lines.append(f"{r.job:<26}{r.n:>9}  {r.peer:<24}{figures}  {r.note}".rstrip())
        return "\n".join([*head, "", *lines, *([""] if self.notes else []), *self.notes])


def calls_for(job: Job, sample_s: float = _SAMPLE_S, clock: Callable[[], float] = time.perf_counter) -> int:
    """How many calls make one sample long enough to time."""
    job()
    start = clock()
    job()
    once = max(clock() - start, 1e-9)
    return max(1, round(sample_s / once))


def interleave(
    jobs: Mapping[str, Job],
    *,
    rounds: int = ROUNDS,
    sample_s: float = _SAMPLE_S,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time every job once a round, in order; seconds a call, one value a round.

    Each job runs twice before the first round, so that compilation and first touches are not timed.
    """
    calls = {name: calls_for(job, sample_s, clock) for name, job in jobs.items()}
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            count = calls[name]
            start = clock()
            for _ in range(count):
                job()
            times[name].append((clock() - start) / count)
    return times


def ratio_row(
    job: str,
    n: int,
    peer: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    peer_n: int | None = None,
    goal: float | None = None,
    note: str = "",
) -> Row:
    """One row from the rounds of both sides; ``peer_n`` where the peer was given fewer items."""
    ours_ns = [1e9 * t / n for t in ours]
    peer_ns = [1e9 * t / (peer_n or n) for t in theirs]
    ratios = [b / a for a, b in zip(ours_ns, peer_ns, strict=True)]
    return Row(job, n, peer, median(ours_ns), median(peer_ns), median(ratios), min(ratios), max(ratios), goal, note)


@contextmanager
def pinned() -> Iterator[None]:
    """Run on one core where the system can say so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Installed versions; ``not installed`` where there is none."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine(packages: Sequence[str] = ("numpy", "numba", "polars")) -> dict[str, str]:
    """The machine, the interpreter and the versions that a figure belongs to."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": f"{_processor()}, {cores} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": ", ".join(f"{k} {v}" for k, v in versions(packages).items()),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"
