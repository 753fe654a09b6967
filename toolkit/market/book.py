"""The view a strategy gets: everything known at one moment, nothing later.

A :class:`MarketView` is immutable; the replay and the live engine make a new one at
each event.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from toolkit.market.chain import DayChain
from toolkit.market.view import ChainSlice
from toolkit.types import Instrument, Order

__all__ = ["MarketView"]


@dataclass(frozen=True, slots=True)
class MarketView:
    """What is known at ``now_ns`` of one underlying and of one strategy's own book.

    Parameters
    ----------
    now_ns : int
        Receive time of the newest event, nanoseconds UTC.
    day : DayChain
        The day's chains; only rows up to ``moment`` are ever read.
    moment : int
        Index of the newest moment received.
    live : tuple of date
        Expiries that still trade, nearest first.
    """

    now_ns: int
    day: DayChain
    moment: int
    live: tuple[dt.date, ...]
    all_levels: Mapping[dt.date, Mapping[str, float]]
    find_instrument: Callable[[str], Instrument]
    net: Mapping[str, int] = field(default_factory=dict)
    open_orders: tuple[Order, ...] = ()

    @property
    def underlying(self) -> str:
        """The underlying this strategy runs on."""
        return self.day.underlying

    @property
    def spot(self) -> float:
        """Last spot in points, NaN when unknown."""
        return float(self.day.spot[self.moment])

    def expiries(self) -> tuple[dt.date, ...]:
        """Live expiries with at least one slice by now, nearest first."""
        return tuple(e for e in self.live if int(self.day.days[e].row_of[self.moment]) >= 0)

    def chain(self, expiry: dt.date | None = None) -> ChainSlice | None:
        """The newest slice of an expiry (default: the nearest), None before the first."""
        chosen = self._chosen(expiry)
        return None if chosen is None else self.day.slice_at(self.moment, chosen)

    def levels(self, expiry: dt.date | None = None) -> Mapping[str, float] | None:
        """OI levels of an expiry: pcr, max_pain, ce_wall, pe_wall, ... NaN is unknown."""
        chosen = self._chosen(expiry)
        return None if chosen is None else self.all_levels.get(chosen)

    def position(self, symbol: str) -> int:
        """This strategy's net position in units."""
        return self.net.get(symbol, 0)

    def positions(self) -> Mapping[str, int]:
        """All non-zero net positions of this strategy, units by symbol."""
        return {symbol: net for symbol, net in sorted(self.net.items()) if net}

    def orders(self) -> tuple[Order, ...]:
        """This strategy's open orders."""
        return self.open_orders

    def instrument(self, symbol: str) -> Instrument:
        """Contract terms as of today."""
        return self.find_instrument(symbol)

    def _chosen(self, expiry: dt.date | None) -> dt.date | None:
        if expiry is not None:
            return expiry
        known = self.expiries()
        return known[0] if known else None
