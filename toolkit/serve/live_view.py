"""What a strategy sees in a running engine: the hub's chains and levels, its account's book. Newest only."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import Final

from toolkit.errors import BadData
from toolkit.market.hub import Hub
from toolkit.market.view import ChainSlice
from toolkit.orders.live import LiveEngine
from toolkit.types import Instrument, Order

__all__ = ["LiveView", "Look"]

_AGE_S: Final = 1.0
_LEVELS_NS: Final = 5_000_000_000


class LiveView:
    """The world of one underlying at one decision; made anew for each.

    Parameters
    ----------
    hub : Hub
    engine : LiveEngine
        Its account's positions and orders.
    underlying : str
    levels : callable
        The newest open-interest levels by expiry.
    """

    def __init__(
        self,
        hub: Hub,
        engine: LiveEngine,
        underlying: str,
        levels: Callable[[], Mapping[dt.date, Mapping[str, float]]],
    ) -> None:
        self._levels = levels
        self._hub = hub
        self._engine = engine
        self.underlying = underlying
        self.now_ns = engine.now_ns()
        self._slices: dict[dt.date, ChainSlice | None] = {}

    @property
    def spot(self) -> float:
        """Last spot in points, NaN when unknown."""
        newest = self.chain()
        return self._hub.spot(self.underlying) if newest is None or math.isnan(newest.spot) else newest.spot

    def expiries(self) -> tuple[dt.date, ...]:
        """Listed expiries, nearest first."""
        return self._hub.expiries(self.underlying)

    def chain(self, expiry: dt.date | None = None) -> ChainSlice | None:
        """The newest slice of an expiry (default: the nearest), at most a second old; None before the first."""
        listed = self.expiries()
        wanted = listed[0] if expiry is None and listed else expiry
        if wanted not in listed:
            return None
        if wanted not in self._slices:
            try:
                self._slices[wanted] = self._hub.chain(self.underlying, wanted, age_s=_AGE_S)
            except BadData:
                self._slices[wanted] = None
        return self._slices[wanted]

    def levels(self, expiry: dt.date | None = None) -> Mapping[str, float] | None:
        """Open-interest levels of an expiry's newest snapshot; None before the first, NaN is unknown."""
        listed = self.expiries()
        wanted = listed[0] if expiry is None and listed else expiry
        return None if wanted is None else self._levels().get(wanted)

    def position(self, symbol: str) -> int:
        """The account's net position in units."""
        return self._engine.core.book.net.get(symbol, 0)

    def positions(self) -> Mapping[str, int]:
        """All non-zero net positions, units by symbol."""
        return {symbol: net for symbol, net in sorted(self._engine.core.book.net.items()) if net}

    def orders(self) -> tuple[Order, ...]:
        """The account's open orders."""
        return tuple(self._engine.core.open_orders())

    def instrument(self, symbol: str) -> Instrument:
        """Contract terms as of today."""
        key = self._hub.by_symbol.get(symbol)
        if key is None:
            raise BadData(f"{symbol} is not listed today")
        return self._hub.listed[key]


class Look:
    """Gives a strategy's view each time it is asked; None while the feed is not to be trusted."""

    def __init__(self, hub: Hub, engine: LiveEngine, underlying: str) -> None:
        self._hub, self._engine, self._underlying = hub, engine, underlying
        self._levels: dict[dt.date, Mapping[str, float]] = {}
        self._measured_ns = 0

    def __call__(self) -> LiveView | None:
        return None if self._hub.is_stale else LiveView(self._hub, self._engine, self._underlying, self.levels)

    def levels(self) -> Mapping[dt.date, Mapping[str, float]]:
        """The newest levels by expiry, read again as often as the hub takes a snapshot."""
        now_ns = self._engine.now_ns()
        if now_ns - self._measured_ns >= _LEVELS_NS:
            self._measured_ns = now_ns
            frame = self._hub.oi(self._underlying)["levels"]
            for row in frame.group_by("expiry").last().iter_rows(named=True) if frame.height else ():
                numbers = {k: v for k, v in row.items() if isinstance(v, int | float) or v is None}
                self._levels[row["expiry"]] = {k: math.nan if v is None else float(v) for k, v in numbers.items()}
        return self._levels
