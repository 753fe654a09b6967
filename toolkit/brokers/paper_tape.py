"""A recorded day as a market feed: every row at its time of receipt, at a chosen speed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from toolkit.market.plain import plain
from toolkit.sim.servers.clock import SimClock
from toolkit.sim.tape import Tape

__all__ = ["TapeFeed"]

_LONGEST_S = 0.5


class TapeFeed:
    """Plays a tape by a simulated clock.

    The first batch is everything received before the clock's start, so that a day that is joined late is known at
    once. Whatever is wanted, the whole tape is played: a recording has no limit of subscriptions.

    Parameters
    ----------
    tape : Tape
    clock : SimClock
    """

    def __init__(
        self, tape: Tape, clock: SimClock, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._tape = tape
        self._clock = clock
        self._sleep = sleep
        self._at_ns = tape.first_ns - 1
        self._closed = False

    def want(self, modes: Mapping[int, str]) -> None:
        """Nothing to do: everything is played."""

    @property
    def state(self) -> str:
        """``live`` while the recording lasts, then ``down``: its last values grow old."""
        if self._closed:
            return "closed"
        return "live" if self._at_ns < self._tape.last_ns else "down"

    def due_ns(self) -> int | None:
        """When the recording's next row is due; None after the last."""
        return self._tape.next_ns(self._at_ns)

    def catch_up(self) -> Any:
        """Everything received by now and not played yet, as one batch."""
        now_ns = self._clock.now_ns()
        parts = [plain(rows) for _, rows in self._tape.between(self._at_ns, now_ns)]
        self._at_ns = max(self._at_ns, now_ns)
        return np.concatenate(parts) if parts else plain(self._tape.rows[:0])

    async def ticks(self) -> AsyncIterator[Any]:
        """Batches as they were received, until the recording ends or the feed is closed."""
        while not self._closed:
            batch = self.catch_up()
            if len(batch):
                yield batch
            next_ns = self._tape.next_ns(self._at_ns)
            if next_ns is None:
                return
            await self._sleep(min(_LONGEST_S, max(0.001, self._clock.real_s(next_ns))))

    def close(self) -> None:
        """Stop playing."""
        self._closed = True
