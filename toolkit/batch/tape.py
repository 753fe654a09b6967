"""Quotes between snapshots: ticks and futures of a day in the order they were received."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.store.session import Session

__all__ = ["COLUMNS", "Tape", "read_tape"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
COLUMNS: Final = ("bid", "bid_qty", "ask", "ask_qty", "ltp")


@dataclass(frozen=True, slots=True)
class Tape:
    """Rows of shape (n,), ascending in ``recv_ns``; rupees and units, NaN is unknown."""

    recv_ns: Ints
    ts_ns: Ints
    token: Ints
    quotes: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.recv_ns)

    def until(self, start: int, now_ns: int) -> int:
        """End of the rows from ``start`` on that had been received by ``now_ns``."""
        return int(np.searchsorted(self.recv_ns, now_ns, side="right")) if start < len(self) else start

    def instant(self, start: int) -> int:
        """End of the rows received at the same instant as row ``start``."""
        return int(np.searchsorted(self.recv_ns, self.recv_ns[start], side="right"))


def read_tape(session: Session, underlying: str, day: dt.date) -> Tape:
    """Read the ticks and the futures of an underlying that were stamped and received on a day."""
    known = pl.coalesce("recv_ts", "ts")
    parts = []
    for table in ("ticks", "futures"):
        rows = session.frame(table, underlying, day).with_columns(known.alias("recv_ts"))
        rows = rows.filter(
            pl.col("token").is_not_null() & (pl.col("ts").dt.date() == day) & (pl.col("recv_ts").dt.date() == day)
        )
        parts.append(rows.select("recv_ts", "ts", "token", *(pl.col(name).cast(pl.Float64) for name in COLUMNS)))
    frame = pl.concat(parts).sort("recv_ts", "ts", maintain_order=True)
    quotes = {name: frame[name].fill_null(np.nan).to_numpy() for name in COLUMNS}
    return Tape(_ns(frame, "recv_ts"), _ns(frame, "ts"), frame["token"].to_numpy(), quotes)


def _ns(frame: pl.DataFrame, column: str) -> Ints:
    return frame[column].dt.epoch("us").to_numpy().astype(np.int64) * 1000
