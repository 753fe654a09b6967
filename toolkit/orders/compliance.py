"""The order-to-trade meter: messages that count against trades, by the exchange's dated exemptions. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from toolkit.calendar import ist_date
from toolkit.types import Kind

__all__ = ["ExemptionRow", "MessageMeter"]

_TYPES: Final = ("new", "replace", "cancel")


class ExemptionRow(msgspec.Struct, frozen=True):
    """From a date on: orders of a kind within this distance of the last price do not count."""

    start: dt.date
    kind: Kind
    percent: float
    floor_p: int
    verified_until: dt.date


class MessageMeter:
    """Messages and trades of one account and day, by exchange.

    An order message is exempt when its price lies within ``max(percent of the last price, floor)`` of the last
    price by the newest row at its date. Without a row, a price or a last price it counts.

    Parameters
    ----------
    exemptions : sequence of ExemptionRow
        Ascending by date; ``tables.order_to_trade()`` reads them.
    """

    def __init__(self, exemptions: Sequence[ExemptionRow]) -> None:
        self._rows = tuple(exemptions)
        self._counts: dict[str, dict[str, int]] = {}

    def on_message(
        self, what: str, exchange: str, kind: Kind, price_p: int | None, ltp_p: int | None, now_ns: int
    ) -> bool:
        """Count one message (``new``, ``replace`` or ``cancel``); gives whether it was exempt."""
        counts = self._of(exchange)
        counts[what] += 1
        exempt = self._exempt(kind, price_p, ltp_p, ist_date(now_ns))
        if exempt:
            counts["exempt"] += 1
        return exempt

    def on_trade(self, exchange: str) -> None:
        """Count one execution."""
        self._of(exchange)["trades"] += 1

    def summary(self) -> dict[str, dict[str, float | int | None]]:
        """Counts by exchange; ``ratio`` is counted messages a trade, None before the first trade."""
        found: dict[str, dict[str, float | int | None]] = {}
        for exchange, counts in sorted(self._counts.items()):
            counted = sum(counts[t] for t in _TYPES) - counts["exempt"]
            ratio = counted / counts["trades"] if counts["trades"] else None
            found[exchange] = {**counts, "counted": counted, "ratio": ratio}
        return found

    def _of(self, exchange: str) -> dict[str, int]:
        return self._counts.setdefault(exchange, {**dict.fromkeys(_TYPES, 0), "exempt": 0, "trades": 0})

    def _exempt(self, kind: Kind, price_p: int | None, ltp_p: int | None, day: dt.date) -> bool:
        if price_p is None or ltp_p is None:
            return False
        rows = [row for row in self._rows if row.kind is kind and row.start <= day]
        if not rows:
            return False
        room = max(ltp_p * rows[-1].percent / 100.0, rows[-1].floor_p)
        return abs(price_p - ltp_p) <= room
