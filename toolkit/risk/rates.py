"""Dated margin rates as plain values: what ``tables.py`` read, looked up by item, kind and date."""

from __future__ import annotations

import datetime as dt

import msgspec

from toolkit.errors import BadData, nearest

__all__ = ["MarginRates", "PeakWindow", "RateRow"]


class RateRow(msgspec.Struct, frozen=True):
    """One rate from its date on: a fraction (or a plain number), for ``index``, ``stock`` or ``account``."""

    start: dt.date
    item: str
    kind: str
    rate: float
    source: str
    verified_until: dt.date


class PeakWindow(msgspec.Struct, frozen=True):
    """A window of the day with one random margin snapshot, from its date on (Indian time)."""

    start: dt.date
    opens: dt.time
    closes: dt.time
    verified_until: dt.date


class MarginRates(msgspec.Struct, frozen=True):
    """All dated margin rates, by item and kind in order of date."""

    rows: tuple[RateRow, ...]
    windows: tuple[PeakWindow, ...] = ()

    def row(self, item: str, kind: str, on: dt.date | None = None) -> RateRow | None:
        """The row that holds on a date (None: the newest), None before the first."""
        found = None
        for row in self.rows:
            if row.item == item and row.kind == kind and (on is None or row.start <= on):
                found = row
        return found

    def rate(self, item: str, kind: str, on: dt.date | None = None, otherwise: float | None = None) -> float:
        """The rate that holds on a date.

        Raises
        ------
        BadData
            No such rate by then and no ``otherwise``.
        """
        row = self.row(item, kind, on)
        if row is not None:
            return row.rate
        if otherwise is not None:
            return otherwise
        known = sorted({row.item for row in self.rows if row.kind == kind})
        if item in known:
            raise BadData(f"margin rate {item} of {kind} is not known on {on}; add a row to data/tables/margins.csv")
        raise BadData(f"no margin rate {item!r} of {kind}{nearest(item, known)}; add it to data/tables/margins.csv")

    def peak_windows(self, on: dt.date) -> tuple[PeakWindow, ...]:
        """The windows of the newest set that holds on a date; none before the first."""
        starts = {window.start for window in self.windows if window.start <= on}
        return tuple(window for window in self.windows if starts and window.start == max(starts))
