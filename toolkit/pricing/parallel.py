"""The only threads among the numerical rooms: one serial kernel on slices of the rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final

from toolkit.errors import BadData

__all__ = ["run"]

_GRAIN: Final = 8192


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="pricing")


def run(kernel: Callable[[int, int], None], n: int, threads: int) -> None:
    """Call ``kernel(start, stop)`` over ``range(n)``, on ``threads`` threads when there is enough to do.

    The result does not depend on ``threads``: rows are independent and each row's arithmetic is the same.

    Raises
    ------
    BadData
        When ``threads`` is not a whole number of at least 1.
    """
    if threads == 1:
        kernel(0, n)
        return
    if not isinstance(threads, int) or threads < 1:
        raise BadData(f"threads must be a whole number of at least 1, was {threads!r}")
    parts = min(threads, n // _GRAIN, os.cpu_count() or 1)
    if parts < 2:
        kernel(0, n)
        return
    cuts = [n * i // parts for i in range(parts + 1)]
    jobs = [_pool(parts).submit(kernel, a, b) for a, b in zip(cuts[1:-1], cuts[2:], strict=True)]
    kernel(0, cuts[1])
    for job in jobs:
        job.result()
