"""The only threads among the numerical rooms: one serial kernel on slices of the rows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np

from toolkit.errors import BadData
from toolkit.pricing.arrays import Floats

__all__ = ["alone", "run"]

_GRAIN: Final = 8192
_BLOCKS: Final = 1024


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="pricing")


def alone(threads: Any, lead: Any) -> bool:
    """Whether one thread does all the rows: asked for, or too few rows to share (``lead`` is an input)."""
    if threads == 1:
        return True
    return type(threads) is int and threads > 1 and type(lead) is np.ndarray and lead.size < 2 * _GRAIN


def run(kernel: Callable[..., None], before: tuple[Any, ...], after: list[Floats], n: int, threads: int) -> None:
    """Call ``kernel(*before, start, stop, *after)`` over the rows, on ``threads`` threads when there is enough to do.

    The result does not depend on ``threads``: slices start at whole blocks and rows do not depend on each other.

    Raises
    ------
    BadData
        When ``threads`` is not a whole number of at least 1.
    """
    if threads == 1:
        kernel(*before, 0, n, *after)
        return
    if not isinstance(threads, int) or threads < 1:
        raise BadData(f"threads must be a whole number of at least 1, was {threads!r}")
    parts = min(threads, n // _GRAIN)
    if parts < 2:
        kernel(*before, 0, n, *after)
        return
    slices = iter(list(pairwise(_cuts(n, parts))))

    def work() -> None:
        for start, stop in slices:
            kernel(*before, start, stop, *after)

    jobs = [_pool(parts).submit(work) for _ in range(parts - 1)]
    work()
    for job in jobs:
        job.result()


def _cuts(n: int, parts: int) -> list[int]:
    """Where slices start and stop: each a share of what is left, so that a thread the system held up gets less."""
    cuts = [0]
    while cuts[-1] < n:
        left = n - cuts[-1]
        step = max(left // (2 * parts), _GRAIN) // _BLOCKS * _BLOCKS
        cuts.append(n if left < 2 * _GRAIN else cuts[-1] + step)
    return cuts
