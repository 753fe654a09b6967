"""Dated rules of the exchanges over prices and positions, as plain rows that ``tables.py`` read."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable

import msgspec

from toolkit.calendar import to_ist

__all__ = ["BandRow", "BreakerRow", "Breakers", "PositionRow", "position_row", "price_band"]


class BreakerRow(msgspec.Struct, frozen=True):
    """One row of the exchange-wide breaker: a move at a time of day stops trading for ``halt_min`` minutes.

    ``move`` is a fraction; ``closes`` None holds to the end of the day; ``halt_min`` None stops the
    rest of the day, 0 does not stop; ``auction_min`` is the call auction that follows.
    """

    start: dt.date
    move: float
    opens: dt.time
    closes: dt.time | None
    halt_min: int | None
    auction_min: int
    source: str
    verified_until: dt.date


class Breakers(msgspec.Struct, frozen=True):
    """The exchange-wide breaker's rows in order of date."""

    rows: tuple[BreakerRow, ...] = ()

    def row(self, move: float, now_ns: int) -> BreakerRow | None:
        """The row that a fall or rise of ``move`` (a fraction, without sign) meets now, None below the first level."""
        now = to_ist(now_ns)
        starts = {r.start for r in self.rows if r.start <= now.date()}
        mine = [r for r in self.rows if starts and r.start == max(starts)]
        met = [
            r for r in mine if move >= r.move and r.opens <= now.time() and (r.closes is None or now.time() < r.closes)
        ]
        return max(met, key=lambda r: r.move, default=None)


class BandRow(msgspec.Struct, frozen=True):
    """A price band of an exchange: ``percent`` around its basis as a fraction, at least ``floor_p`` paise wide."""

    start: dt.date
    exchange: str
    kind: str
    underlying_kind: str
    basis: str
    percent: float
    floor_p: int
    source: str
    verified_until: dt.date


def price_band(
    rows: Iterable[BandRow], exchange: str, kind: str, underlying_kind: str, basis_p: int, on: dt.date
) -> tuple[int, int] | None:
    """Lowest and highest price in paise that an exchange accepts around a basis, None where no row says it."""
    mine = [
        r
        for r in rows
        if (r.exchange, r.kind) == (exchange, kind) and r.underlying_kind == underlying_kind and r.start <= on
    ]
    if not mine:
        return None
    row = max(mine, key=lambda r: r.start)
    room = max(row.floor_p, math.floor(basis_p * row.percent))
    return max(0, basis_p - room), basis_p + room


class PositionRow(msgspec.Struct, frozen=True):
    """The exchanges' limit on delta-weighted positions in one underlying, paise; ``phase`` intraday or end_of_day."""

    start: dt.date
    underlying_kind: str
    phase: str
    net_p: int
    gross_p: int
    source: str
    verified_until: dt.date


def position_row(rows: Iterable[PositionRow], underlying_kind: str, phase: str, on: dt.date) -> PositionRow | None:
    """The limit in force on a day, None before the first."""
    mine = [r for r in rows if (r.underlying_kind, r.phase) == (underlying_kind, phase) and r.start <= on]
    return max(mine, key=lambda r: r.start, default=None)
