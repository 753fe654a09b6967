"""A recorded day as a simulated market sees it: quotes in order of receipt, and the day so far.

:class:`Tape` holds the recorded rows by receive time; :class:`DayBoard` folds them into the
last values, the day's open, high, low, traded value and open-interest range of each key.
Unknown is NaN throughout; what a wire shows for it is the wire's matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.errors import BadData
from toolkit.sim.roster import Roster

__all__ = ["BOARD", "ROW", "DayBoard", "Tape", "make_tape"]

Rows = npt.NDArray[np.void]

ROW: Final = np.dtype(
    [
        ("recv_ns", "<i8"),
        ("exch_ns", "<i8"),
        ("key", "<i8"),
        ("source", "<i8"),
        ("ltp", "<f8"),
        ("last_qty", "<f8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("bid_qty", "<f8"),
        ("ask_qty", "<f8"),
        ("volume", "<f8"),
        ("oi", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
    ]
)
"""One recorded row: rupees, units, nanoseconds UTC; ``high`` and ``low`` of the row's own span."""

BOARD: Final = np.dtype(
    [
        ("key", "<i8"),
        *((name, "<f8") for name in ("ltp", "last_qty", "bid", "ask", "bid_qty", "ask_qty", "volume", "oi")),
        *((name, "<f8") for name in ("open", "high", "low", "close", "value", "oi_high", "oi_low")),
        ("exch_ns", "<i8"),
        ("trade_ns", "<i8"),
    ]
)
"""One key's day so far; ``close`` is the previous day's, ``value`` the sum of price x quantity traded."""

_TABLES: Final = ("chain", "futures", "spot", "ticks")


class Tape:
    """Rows in order of receipt."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._recv = np.ascontiguousarray(rows["recv_ns"])
        change = (np.diff(self._recv) != 0) | (np.diff(rows["source"]) != 0)
        self._starts = np.concatenate([[0], np.flatnonzero(change) + 1])

    @property
    def first_ns(self) -> int:
        """When the first row was received."""
        return int(self._recv[0])

    @property
    def last_ns(self) -> int:
        """When the last row was received."""
        return int(self._recv[-1])

    def next_ns(self, after_ns: int) -> int | None:
        """When the next row after ``after_ns`` was received, None past the end."""
        at = int(np.searchsorted(self._recv, after_ns, side="right"))
        return None if at == len(self._recv) else int(self._recv[at])

    def between(self, after_ns: int, until_ns: int) -> Iterator[tuple[int, Rows]]:
        """Batches received after ``after_ns`` and by ``until_ns``: time and rows, one row a key."""
        low = int(np.searchsorted(self._recv, after_ns, side="right"))
        high = int(np.searchsorted(self._recv, until_ns, side="right"))
        first = int(np.searchsorted(self._starts, low))
        while first < len(self._starts) and self._starts[first] < high:
            start = int(self._starts[first])
            end = int(self._starts[first + 1]) if first + 1 < len(self._starts) else len(self.rows)
            yield int(self._recv[start]), self.rows[start:end]
            first += 1


class DayBoard:
    """The day so far of every listed key."""

    def __init__(self, keys: npt.ArrayLike, closes: dict[int, float]) -> None:
        wanted = np.unique(np.asarray(keys, np.int64))
        self.rows: Rows = np.zeros(len(wanted), BOARD)
        for name in BOARD.names or ():
            if BOARD[name] == np.float64:
                self.rows[name] = np.nan
        self.rows["key"] = wanted
        self._at = {int(key): i for i, key in enumerate(wanted)}
        for key, close in closes.items():
            if key in self._at:
                self.rows["close"][self._at[key]] = close

    def row(self, key: int) -> Any | None:
        """The day of one key, None when it is not listed."""
        at = self._at.get(key)
        return None if at is None else self.rows[at]

    def index(self, keys: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """Row numbers of listed keys."""
        return np.searchsorted(self.rows["key"], np.asarray(keys, np.int64))

    def take(self, rows: Rows) -> npt.NDArray[np.intp]:
        """Fold in one batch (one row a key); gives the numbers of the rows it touched."""
        at = self.index(rows["key"])
        day = self.rows[at]
        ltp, volume = rows["ltp"], rows["volume"]
        grown = np.fmax(volume, day["volume"]) - np.where(np.isnan(day["volume"]), 0.0, day["volume"])
        traded = (grown > 0) | ((ltp != day["ltp"]) & ~np.isnan(ltp))
        paid = np.nan_to_num(grown) * np.where(np.isnan(ltp), 0.0, ltp)
        day["value"] = np.where(np.isnan(grown), day["value"], np.nan_to_num(day["value"]) + paid)
        day["trade_ns"] = np.where(traded, rows["exch_ns"], day["trade_ns"])
        day["open"] = np.where(np.isnan(day["open"]), ltp, day["open"])
        day["high"] = np.fmax(np.fmax(day["high"], ltp), rows["high"])
        day["low"] = np.fmin(np.fmin(day["low"], ltp), rows["low"])
        day["volume"] = np.fmax(day["volume"], volume)
        for name in ("ltp", "last_qty", "oi"):
            day[name] = np.where(np.isnan(rows[name]), day[name], rows[name])
        for name in ("bid", "ask", "bid_qty", "ask_qty"):
            day[name] = rows[name]
        day["oi_high"] = np.fmax(day["oi_high"], rows["oi"])
        day["oi_low"] = np.fmin(day["oi_low"], rows["oi"])
        day["exch_ns"] = np.maximum(day["exch_ns"], rows["exch_ns"])
        self.rows[at] = day
        return at


def make_tape(frames: dict[str, pl.DataFrame], roster: Roster) -> Tape:
    """Put the tables of one day (``chain futures spot ticks``) in order of receipt.

    A row without a receive stamp counts from the exchange's.

    Raises
    ------
    BadData
        When no table has a row of a listed contract.
    """
    tokens = roster.source_keys()
    spots = {row.instrument.underlying: row.key for row in roster.rows if row.source_token is None}
    parts = []
    for number, table in enumerate(_TABLES):
        frame = frames.get(table)
        if frame is None or frame.is_empty():
            continue
        if table == "spot":
            keyed = frame.with_columns(pl.col("underlying").replace_strict(spots, return_dtype=pl.Int64).alias("key"))
        else:
            keyed = frame.join(tokens, on=["underlying", "token"], how="inner", maintain_order="left")
        parts.append(_rows(keyed, number))
    rows = np.concatenate(parts) if parts else np.empty(0, ROW)
    if not len(rows):
        raise BadData("the session has no quotes on this day; record or generate snapshots first")
    order = np.lexsort((rows["key"], rows["source"], rows["recv_ns"]))
    rows = rows[order]
    # The newest row of a key within one moment and source is the one that counts.
    same = (np.diff(rows["recv_ns"]) == 0) & (np.diff(rows["source"]) == 0) & (np.diff(rows["key"]) == 0)
    return Tape(rows[np.concatenate([~same, [True]])])


def _rows(frame: pl.DataFrame, source: int) -> Rows:
    out = np.full(frame.height, 0, ROW)
    received = frame.select(pl.coalesce("recv_ts", "ts").dt.epoch("us") * 1000).to_series().to_numpy()
    out["recv_ns"] = received
    stamped = frame.select(pl.coalesce("ts", "recv_ts").dt.epoch("us") * 1000).to_series().to_numpy()
    out["exch_ns"] = stamped
    out["key"] = frame["key"].to_numpy()
    out["source"] = source
    for name in ("ltp", "last_qty", "bid", "ask", "bid_qty", "ask_qty", "volume", "oi", "high", "low"):
        if name in frame.columns:
            out[name] = frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        else:
            out[name] = np.nan
    return out
