"""The newest quote of every contract, kept as arrays and read as exact paise.

A snapshot of 1 500 contracts goes in as arrays in one step; only the contracts that
someone asks about are converted to integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData
from toolkit.types import Instrument

__all__ = ["Quote", "QuoteBoard", "key_of"]

Floats = npt.NDArray[np.float64]
_COLUMNS: Final = 5
_MOST: Final = 1e13


class Quote(msgspec.Struct, frozen=True):
    """Best bid and offer and last price of one contract; None is unknown or absent.

    Prices in paise, quantities in units, ``ts_ns`` when it was received.
    """

    ts_ns: int
    bid_p: int | None = None
    bid_qty: int | None = None
    ask_p: int | None = None
    ask_qty: int | None = None
    ltp_p: int | None = None

    @property
    def two_sided(self) -> bool:
        """Whether both sides are there and not crossed."""
        return self.bid_p is not None and self.ask_p is not None and self.bid_p <= self.ask_p


def key_of(instrument: Instrument) -> int:
    """Key of a contract on a quote board: its token, or its instrument_id without one."""
    return instrument.instrument_id if instrument.token is None else instrument.token


class QuoteBoard:
    """Newest quote by key (a token, or an instrument_id where a source has no token)."""

    def __init__(self) -> None:
        self._row: dict[int, int] = {}
        self._values: Floats = np.full((64, _COLUMNS), np.nan)
        self._ts = np.zeros(64, np.int64)
        self._last_keys: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._last_rows: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def update(
        self,
        ts_ns: int,
        keys: npt.ArrayLike,
        bid: npt.ArrayLike,
        bid_qty: npt.ArrayLike,
        ask: npt.ArrayLike,
        ask_qty: npt.ArrayLike,
        ltp: npt.ArrayLike,
    ) -> None:
        """Take one batch of quotes received at ``ts_ns``.

        Parameters
        ----------
        ts_ns : int
            Receive time, nanoseconds UTC.
        keys : array of int64, shape (n,)
            Contracts; a key of -1 (no contract at that strike) is passed over.
        bid, ask, ltp : arrays of float64, shape (n,)
            Rupees; NaN, zero or less is no price.
        bid_qty, ask_qty : arrays, shape (n,)
            Units; NaN is unknown.

        Raises
        ------
        BadData
            When the arrays differ in length.
        """
        wanted = np.asarray(keys, np.int64)
        columns = [np.asarray(c, np.float64) for c in (bid, bid_qty, ask, ask_qty, ltp)]
        if any(c.shape != wanted.shape for c in columns):
            raise BadData(f"quote arrays must be as long as the keys ({len(wanted)}), was {[len(c) for c in columns]}")
        rows = self._rows(wanted)
        known = rows >= 0
        if not known.all():
            rows = rows[known]
            columns = [c[known] for c in columns]
        self._values[rows] = np.stack(columns, axis=1)
        self._ts[rows] = ts_ns

    def set(self, key: int, quote: Quote) -> None:
        """Take one quote in exact paise."""
        values = (quote.bid_p, quote.bid_qty, quote.ask_p, quote.ask_qty, quote.ltp_p)
        row = int(self._rows(np.array([key], np.int64))[0])
        scale = (100.0, 1.0, 100.0, 1.0, 100.0)
        self._values[row] = [np.nan if v is None else v / s for v, s in zip(values, scale, strict=True)]
        self._ts[row] = quote.ts_ns

    def quote(self, key: int) -> Quote | None:
        """The newest quote of a contract, None before the first."""
        row = self._row.get(key)
        if row is None:
            return None
        bid, bid_qty, ask, ask_qty, ltp = self._values[row].tolist()
        return Quote(int(self._ts[row]), _paise(bid), _units(bid_qty), _paise(ask), _units(ask_qty), _paise(ltp))

    def row(self, key: int) -> int:
        """Row of a contract in :attr:`values` and :attr:`stamps`, -1 before its first quote."""
        return self._row.get(key, -1)

    @property
    def values(self) -> Floats:
        """Bid, bid_qty, ask, ask_qty, ltp in rupees and units by row, to read."""
        return self._values

    @property
    def stamps(self) -> npt.NDArray[np.int64]:
        """Receive time by row, nanoseconds UTC, to read."""
        return self._ts

    def known(self) -> Sequence[int]:
        """Every contract ever quoted, in the order first seen."""
        return list(self._row)

    def _rows(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if keys.shape == self._last_keys.shape and np.array_equal(keys, self._last_keys):
            return self._last_rows
        index = self._row
        rows = np.empty(len(keys), np.int64)
        for i, key in enumerate(keys.tolist()):
            rows[i] = -1 if key == -1 else index.setdefault(key, len(index))
        while len(index) > len(self._ts):
            self._values = np.concatenate([self._values, np.full_like(self._values, np.nan)])
            self._ts = np.concatenate([self._ts, np.zeros_like(self._ts)])
        self._last_keys, self._last_rows = keys.copy(), rows
        return rows


def _paise(rupees: float) -> int | None:
    return round(rupees * 100.0) if 0.0 < rupees < _MOST else None


def _units(qty: float) -> int | None:
    return int(qty) if 0.0 <= qty < _MOST else None
