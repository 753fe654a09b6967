"""One call at a time about an id: the others wait their turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

__all__ = ["Turns"]


class Turns:
    """Who decides about which id.

    A lock that is being handed on looks free, so the calls are counted: it goes with the last of them.

    Example
    -------
    ``async with turns.take("A1"): ...``
    """

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._calls: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @contextlib.asynccontextmanager
    async def take(self, cl_ord_id: str) -> AsyncIterator[None]:
        """Wait for the calls about an id that came before, then be the only one."""
        lock = self._locks.setdefault(cl_ord_id, asyncio.Lock())
        self._calls[cl_ord_id] = self._calls.get(cl_ord_id, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._calls[cl_ord_id] -= 1
            if not self._calls[cl_ord_id]:
                del self._locks[cl_ord_id], self._calls[cl_ord_id]
