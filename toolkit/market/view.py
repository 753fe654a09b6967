"""What a strategy may see: immutable snapshots, built by the chain room.

Arrays are read-only NumPy arrays over the ascending strikes of one expiry, one
element a strike; a missing contract or quote is NaN (float) or -1 (token), never 0.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from toolkit.types import Instrument, OptionType, Order

__all__ = ["ChainSlice", "LegArrays", "View"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LegArrays:
    """One side (calls or puts) of a chain, each array of shape (n strikes,).

    ``oi``, ``volume``, ``bid_qty``, ``ask_qty`` in units (float64 so that NaN can say
    unknown; integers up to 2**53 stay exact), prices in rupees, ``iv`` a fraction,
    Greeks per unit of the underlying: ``vega`` per 1.00 vol, ``theta`` per year.
    """

    token: Ints
    oi: Floats
    volume: Floats
    ltp: Floats
    bid: Floats
    ask: Floats
    bid_qty: Floats
    ask_qty: Floats
    iv: Floats
    delta: Floats
    gamma: Floats
    vega: Floats
    theta: Floats

    @property
    def mid(self) -> Floats:
        """(bid + ask) / 2, NaN where either is unknown."""
        return (self.bid + self.ask) / 2.0


@dataclass(frozen=True, slots=True)
class ChainSlice:
    """One underlying, one expiry, one moment."""

    underlying: str
    exchange: str
    expiry: dt.date
    ts_ns: int
    recv_ns: int
    strikes: Floats
    lot: int
    spot: float
    forward: float
    tte: float
    ce: LegArrays
    pe: LegArrays

    def side(self, option_type: OptionType | str) -> LegArrays:
        """The calls or the puts."""
        return self.ce if str(option_type) == "CE" else self.pe

    @property
    def atm(self) -> int:
        """Index of the strike nearest the forward; -1 when the forward is unknown."""
        if not np.isfinite(self.forward) or not len(self.strikes):
            return -1
        return int(np.argmin(np.abs(self.strikes - self.forward)))

    def symbol(self, index: int, option_type: OptionType | str) -> str:
        """Exchange-neutral symbol, as in ``NIFTY 25NOV2025 24500 CE``."""
        return option_symbol(self.underlying, self.expiry, float(self.strikes[index]), str(option_type))


def option_symbol(underlying: str, expiry: dt.date, strike: float, option_type: str) -> str:
    """Build the exchange-neutral symbol of an option.

    >>> option_symbol("NIFTY", dt.date(2025, 11, 25), 24500.0, "CE")
    'NIFTY 25NOV2025 24500 CE'
    """
    months = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
    return f"{underlying} {expiry.day:02d}{months[expiry.month - 1]}{expiry.year} {strike:g} {option_type}"


class View(Protocol):
    """The world as known at ``now_ns``: only what has been received by then."""

    @property
    def now_ns(self) -> int:
        """Receive time of the newest event, nanoseconds UTC."""
        ...

    @property
    def underlying(self) -> str:
        """The underlying this strategy runs on."""
        ...

    @property
    def spot(self) -> float:
        """Last spot in points, NaN when unknown."""
        ...

    def expiries(self) -> tuple[dt.date, ...]:
        """Live expiries, nearest first."""
        ...

    def chain(self, expiry: dt.date | None = None) -> ChainSlice | None:
        """The newest slice of an expiry (default: the nearest), None before the first."""
        ...

    def levels(self, expiry: dt.date | None = None) -> Mapping[str, float] | None:
        """OI levels of an expiry: pcr, max_pain, ce_wall, pe_wall, ... NaN is unknown."""
        ...

    def position(self, symbol: str) -> int:
        """This strategy's net position in units."""
        ...

    def positions(self) -> Mapping[str, int]:
        """All non-zero net positions of this strategy, units by symbol."""
        ...

    def orders(self) -> tuple[Order, ...]:
        """This strategy's open orders."""
        ...

    def instrument(self, symbol: str) -> Instrument:
        """Contract terms as of today."""
        ...
