"""``toolkit bench startup``: what a new process costs before it does anything.

Fresh interpreters, one after another in turn: a bare one, the imports everybody pays for (numpy, numba), and
ours. The limits are seconds on the machine where ``import numba`` takes 0.36 s, interpreter included; other
machines, and busy ones, are judged by the same share of their own ``import numba`` in the same round.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from toolkit.bench.runner import ROUNDS, Result, interleave, machine, ratio_row
from toolkit.errors import BadData

__all__ = ["FLOORS", "HEAVY", "STARTS", "Start", "heavy", "run", "spawn"]

NUMBA_S: Final = 0.36
"""``import numba`` in a new process on the machine for which the limits are stated."""

HEAVY: Final = ("numba", "numpy", "pandas", "polars", "scipy")
"""What ``import toolkit`` leaves alone until something needs it."""


class Start(NamedTuple):
    """A process: its name, the interpreter's arguments, and how long it may take where numba takes 0.36 s."""

    job: str
    arguments: tuple[str, ...]
    limit_s: float


FLOORS: Final = {
    "bare interpreter": ("-c", "pass"),
    "import numpy": ("-c", "import numpy"),
    "import numba": ("-c", "import numba"),
}

STARTS: Final = (
    Start("import toolkit", ("-c", "import toolkit"), 0.3),
    Start("toolkit --help", ("-m", "toolkit", "--help"), 0.4),
    Start(
        "first price, warm cache", ("-c", "from toolkit import pricing; pricing.price(1, 100.0, 101.0, 0.1, 0.2)"), 1.0
    ),
)


def spawn(arguments: Sequence[str]) -> str:
    """Run this interpreter with ``arguments`` to its end; what it printed.

    Raises
    ------
    BadData
        When it fails: its time would say nothing.
    """
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BadData(f"startup: python {' '.join(arguments)} ended with {done.returncode}: {last}")
    return done.stdout


def heavy(loaded: str) -> list[str]:
    """The heavy packages among the module names in ``loaded``, separated by spaces."""
    return sorted({name.partition(".")[0] for name in loaded.split()} & set(HEAVY))


def run(peers: bool = False, check: bool = False, rounds: int = ROUNDS) -> Result:
    """Start every process once a round, after one that fills the caches of files and kernels.

    ``peers`` and ``check`` change nothing: the floors are always run, they are what the limits refer to.
    """
    result = Result("startup", machine=machine(("numpy", "numba")))
    jobs = {name: partial(spawn, arguments) for name, arguments in FLOORS.items()}
    jobs |= {start.job: partial(spawn, start.arguments) for start in STARTS}
    times = interleave(jobs, rounds=rounds, sample_s=0.0)
    for start in STARTS:
        for floor in FLOORS:
            goal = round(NUMBA_S / start.limit_s, 2) if floor == "import numba" else None
            result.rows.append(ratio_row(start.job, 1, floor, times[start.job], times[floor], goal=goal))
    loaded = heavy(spawn(("-c", "import sys, toolkit; print(*sys.modules)")))
    if loaded:
        result.misses.append(f"import toolkit loads {', '.join(loaded)}; nothing heavy may load before it is used")
    result.notes.append(
        f"goals: {', '.join(f'{s.job} under {s.limit_s:g} s' for s in STARTS)} where import numba takes {NUMBA_S} s"
    )
    return result
