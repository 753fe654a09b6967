"""What all clients of one XTS login share in a process: order ids, rows last seen, and those who listen."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from toolkit.brokers.xts_orders import Names, Trail
from toolkit.brokers.xts_records import OrderRow, PositionRow, TradeRow
from toolkit.types import ExecutionReport

__all__ = ["Hub", "said"]

Row = OrderRow | PositionRow


class Hub:
    """Shared state of a login. Every listener has its own box of rows, and is woken by a count that only grows.

    ``names`` our ids and XTS's; ``rows`` the row last read of each order; ``sent`` ids that went out; ``odd_events``
    events that could not be read.
    """

    def __init__(self) -> None:
        self.names = Names()
        self.rows: dict[str, OrderRow] = {}
        self.sent: set[str] = set()
        self.boxes: list[deque[Row]] = []
        self.ended = asyncio.Event()
        self.odd_events = 0
        self.count = 0
        self._sleepers: set[asyncio.Event] = set()

    def heard(self, rows: Sequence[Row]) -> None:
        """Put the rows of an event before everyone who listens."""
        for row in rows:
            if isinstance(row, OrderRow):
                self.rows.setdefault(row.app_order_id, row)
            for box in self.boxes:
                box.append(row)

    def nudge(self) -> None:
        """Wake everyone who waits for news."""
        self.count += 1
        for event in self._sleepers:
            event.set()

    async def news(self, heard: int, seconds: float) -> int:
        """Wait until the count has passed ``heard``, at most ``seconds``; gives the count."""
        if self.count != heard:
            return self.count
        event = asyncio.Event()
        self._sleepers.add(event)
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return self.count
        finally:
            self._sleepers.discard(event)
        return self.count


def said(box: deque[Row], trail: Trail, now_ns: int) -> list[ExecutionReport]:
    """Empty a box and give what its rows say that is new."""
    made: list[ExecutionReport] = []
    while box:
        row = box.popleft()
        if isinstance(row, TradeRow):
            made += trail.trade(row, now_ns)
        elif isinstance(row, OrderRow):
            made += trail.order(row, now_ns)
    return made
