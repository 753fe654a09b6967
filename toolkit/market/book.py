"""The view a strategy gets: everything known at one moment, nothing later.

A :class:`MarketView` is immutable; the replay and the live engine make a new one at
each event.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from toolkit.market.chain import DayChain
from toolkit.market.view import ChainSlice, LegArrays
from toolkit.types import Instrument, Order

__all__ = ["MarketView", "TickQuote"]


class TickQuote(NamedTuple):
    """The newest tick of a contract: exchange stamp, rupees, units; NaN is unknown."""

    ts_ns: int
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    ltp: float


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
    all_levels, find_instrument, net, open_orders
        Levels by expiry, contract terms by symbol, own positions and orders.
    ticks : mapping
        Newest tick by token.
    """

    now_ns: int
    day: DayChain
    moment: int
    live: tuple[dt.date, ...]
    all_levels: Mapping[dt.date, Mapping[str, float]]
    find_instrument: Callable[[str], Instrument]
    net: Mapping[str, int] = field(default_factory=dict)
    open_orders: tuple[Order, ...] = ()
    ticks: Mapping[int, TickQuote] = field(default_factory=dict)

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
        """The newest slice of an expiry (default: the nearest), None before the first.

        Quotes of contracts that have ticked since are the tick's; forward, volatilities,
        Greeks and open interest stay those of the snapshot.
        """
        chosen = self._chosen(expiry)
        found = None if chosen is None else self.day.slice_at(self.moment, chosen)
        if found is None or not self.ticks:
            return found
        ce, pe = (_with_ticks(leg, self.ticks, found.ts_ns) for leg in (found.ce, found.pe))
        return found if ce is found.ce and pe is found.pe else replace(found, ce=ce, pe=pe)

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


def _with_ticks(leg: LegArrays, ticks: Mapping[int, TickQuote], ts_ns: int) -> LegArrays:
    """One side with the quotes of ticks stamped after ``ts_ns``; itself when there is none."""
    newer = [
        (i, tick)
        for i, token in enumerate(leg.token.tolist())
        if (tick := ticks.get(token)) is not None and tick.ts_ns > ts_ns
    ]
    if not newer:
        return leg
    changed = {}
    for name in ("bid", "bid_qty", "ask", "ask_qty", "ltp"):
        array = getattr(leg, name).copy()
        for i, tick in newer:
            value = getattr(tick, name)
            array[i] = value if value > 0.0 else np.nan
        array.flags.writeable = False
        changed[name] = array
    return replace(leg, **changed)
