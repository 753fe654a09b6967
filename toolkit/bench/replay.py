"""Where the time of a replay goes, by stage: the shipped sample through the whole desk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from toolkit.batch.replay import Replay, replay
from toolkit.batch.stopwatch import STAGES
from toolkit.bench.runner import Result, machine
from toolkit.config import share
from toolkit.store.session import Session, open_session

__all__ = ["LIMIT_NS_A_ROW", "Timed", "run", "stages"]

ROUNDS: Final = 5
LIMIT_NS_A_ROW: Final = 21_400.0
"""A recorded day of 467 524 option rows (306 snapshots, 18 expiries) in 10 seconds; the page is not in it,
for its cost does not grow with the rows."""


@dataclass(frozen=True)
class Timed:
    """One replay: seconds by stage, seconds in all, and how much went through."""

    seconds: dict[str, float]
    total: float
    rows: int
    snapshots: int
    orders: int


def run(peers: bool = False, check: bool = False) -> Result:
    """Replay the sample several times and show the median of each stage.

    Parameters
    ----------
    peers : bool
        No installed library does the same work; nothing is compared.
    check : bool
        The limit is always judged; the command turns a miss into its exit code.
    """
    path = share("data", "sample")
    once = _once(path, open_session)
    return stages([_once(path, open_session) for _ in range(ROUNDS)], first=once.total)


def stages(runs: list[Timed], first: float) -> Result:
    """Make the table from timed runs; a miss when the median costs more than the limit allows."""
    result = Result("replay", machine=machine())
    rows = runs[0].rows
    middle = {name: median(one.seconds[name] for one in runs) for name in STAGES}
    total = median(one.total for one in runs)
    result.notes.append(f"{'stage':<20}{'ms':>10}{'share':>9}{'ns a row':>11}")
    for name, seconds in {**middle, "everything else": total - sum(middle.values())}.items():
        result.notes.append(f"{name:<20}{seconds * 1e3:>10.1f}{seconds / total:>9.1%}{seconds * 1e9 / rows:>11.0f}")
    spread = f"{min(one.total for one in runs):.2f} to {max(one.total for one in runs):.2f} s"
    result.notes.append(f"{'whole':<20}{total * 1e3:>10.1f}{1:>9.1%}{total * 1e9 / rows:>11.0f}   {spread}")
    result.notes.append(
        f"{rows} option rows, {runs[0].snapshots} snapshots, {runs[0].orders} orders; median of {len(runs)} runs; "
        f"the first, with kernels loaded or compiled, took {first:.2f} s"
    )
    cost = median(one.total - one.seconds["report"] for one in runs) * 1e9 / rows
    result.notes.append(f"without the report {cost:.0f} ns a row; the limit is {LIMIT_NS_A_ROW:.0f}")
    if cost > LIMIT_NS_A_ROW:
        result.misses.append(f"{cost:.0f} ns a row, the limit is {LIMIT_NS_A_ROW:.0f} (a day of 467 524 rows in 10 s)")
    return result


def _once(path: Path, opener: Callable[[Path], Session]) -> Timed:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        session = opener(path)
        opened = time.perf_counter() - start
        found = replay(session, "oi-wall", underlying="NIFTY", journal=Path(folder) / "journal.db")
        written = time.perf_counter()
        found.write(folder)
        end = time.perf_counter()
    seconds = dict(found.seconds)
    seconds["load"] += opened
    seconds["report"] += end - written
    return Timed(seconds, end - start, _rows(found), found.pnl.height, found.orders.height)


def _rows(found: Replay) -> int:
    return int(found.quality.filter(found.quality["rule"] == "rows_read")["count"].sum())
