"""Ticks: bursts by quiet time in event time, and totals that are exact after every tick."""

from __future__ import annotations

import datetime as dt
import math
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from toolkit.errors import BadData
from toolkit.oi.arrays import UNKNOWN, Ints
from toolkit.oi.config import OIConfig
from toolkit.oi.jit import kernel

__all__ = ["Tape", "TickBook"]

CONTRACT: Final = ["underlying", "expiry", "strike_p", "option_type"]
LOW_BITS: Final = 20  # K^2 OI is kept in two int64 sums, split here, so that it never overflows or rounds


class TickBook:
    """Open interest of one expiry under ticks: O(1) exact totals and moments, O(log n) max pain and medians."""

    __slots__ = ("oi", "strikes_p", "sums", "tree")

    def __init__(self) -> None:
        self.strikes_p = np.empty(0, dtype=np.int64)
        self.oi = np.full((2, 0), UNKNOWN, dtype=np.int64)
        self.sums = np.zeros((2, 4), dtype=np.int64)
        self.tree = np.zeros((3, 1), dtype=np.int64)

    def update(self, strike_p: Ints, side: Ints, oi: Ints) -> None:
        """Take ticks in order: strike in paise, side 0 or 1, OI in units (-1: this tick carries none)."""
        union = np.union1d(self.strikes_p, strike_p)
        if union.size != self.strikes_p.size:
            self._grow(union)
        apply_ticks(np.searchsorted(self.strikes_p, strike_p), side, oi, self.strikes_p, self.oi, self.sums, self.tree)

    def _grow(self, union: Ints) -> None:
        at = np.searchsorted(union, self.strikes_p)
        held = np.full((2, union.size), UNKNOWN, dtype=np.int64)
        held[:, at] = self.oi
        self.strikes_p = union
        self.oi = np.full((2, union.size), UNKNOWN, dtype=np.int64)
        self.sums = np.zeros((2, 4), dtype=np.int64)
        self.tree = np.zeros((3, union.size + 1), dtype=np.int64)
        s, i = np.nonzero(held >= 0)
        apply_ticks(i, s, held[s, i], union, self.oi, self.sums, self.tree)

    def live(self) -> dict[str, float]:
        """Totals, PCR, max pain, centroids, spreads and medians now; NaN is unknown."""
        out: dict[str, float] = {}
        for s, name in ((0, "ce"), (1, "pe")):
            total, work, high, low = (int(v) for v in self.sums[s])
            square = (high << LOW_BITS) + low
            out[f"{name}_oi"] = float(total)
            out[f"{name}_centroid"] = work / total / 100.0 if total else math.nan
            # exact integers until the one division: the variance cannot go negative or drift
            spread = math.sqrt((square * total - work * work) / (total * total)) / 100.0 if total else math.nan
            out[f"{name}_spread"] = spread
            at = descend(self.tree[s], (total + 1) // 2) if total else -1
            out[f"{name}_median"] = float(self.strikes_p[at]) / 100.0 if at >= 0 else math.nan
        out["pcr"] = out["pe_oi"] / out["ce_oi"] if out["ce_oi"] else math.nan
        puts = int(self.sums[1, 0])
        held = puts + int(self.sums[0, 0])
        at = descend(self.tree[2], puts) if held else -1
        out["max_pain_lo"] = float(self.strikes_p[at]) / 100.0 if at >= 0 else math.nan
        return out


@kernel
def apply_ticks(at: Ints, side: Ints, oi: Ints, strikes_p: Ints, held: Ints, sums: Ints, tree: Ints) -> None:
    """Apply ticks one by one to totals (units, K units, K^2 units in two parts) and Fenwick trees (CE, PE, both)."""
    n = strikes_p.size
    for t in range(at.size):
        if oi[t] < 0:
            continue
        i = at[t]
        s = side[t]
        change = oi[t] - max(held[s, i], 0)
        held[s, i] = oi[t]
        if change == 0:
            continue
        k = strikes_p[i]
        square = k * k
        sums[s, 0] += change
        sums[s, 1] += change * k
        sums[s, 2] += change * (square >> LOW_BITS)
        sums[s, 3] += change * (square & ((1 << LOW_BITS) - 1))
        j = i + 1
        while j <= n:
            tree[s, j] += change
            tree[2, j] += change
            j += j & -j


@kernel
def descend(tree: Ints, target: int) -> int:
    """Smallest index whose cumulative sum reaches ``target``."""
    n = tree.size - 1
    bit = 1
    while bit * 2 <= n:
        bit *= 2
    at = 0
    rest = target
    while bit > 0:
        if at + bit <= n and tree[at + bit] < rest:
            at += bit
            rest -= tree[at]
        bit //= 2
    return min(at, n - 1)


class Tape:
    """Ticks in, snapshots out: every time ``quiet_s`` passes without a tick, the state of all contracts so far."""

    def __init__(self, config: OIConfig, instruments: pl.DataFrame | None) -> None:
        self.config = config
        self.instruments = instruments
        self.waiting: dict[str, pl.DataFrame] = {}
        self.latest: dict[str, pl.DataFrame] = {}
        self.books: dict[tuple[str, dt.date], TickBook] = {}

    def update(self, rows: pl.DataFrame) -> list[pl.DataFrame]:
        """Take ticks; give the snapshots of the bursts that they closed, in order of time."""
        named = self._named(rows)
        self._book(named)
        out: list[pl.DataFrame] = []
        for part in named.partition_by("underlying", maintain_order=True):
            out.extend(self._split(str(part["underlying"][0]), part, last=False))
        return sorted(out, key=lambda f: (f["ts"][0], f["underlying"][0]))

    def flush(self) -> list[pl.DataFrame]:
        """Close what is open."""
        return [f for name in sorted(self.waiting) for f in self._split(name, None, last=True)]

    def live(self, underlying: str, expiry: dt.date) -> dict[str, float]:
        """See :meth:`toolkit.oi.OIShiftEngine.live`."""
        book = self.books.get((underlying, expiry))
        if book is None:
            raise BadData(f"no tick of {underlying} {expiry} has come")
        return book.live()

    def _named(self, rows: pl.DataFrame) -> pl.DataFrame:
        if "strike_p" in rows.columns:
            return rows.with_columns(pl.col("underlying").cast(pl.String))
        if self.instruments is None:
            raise BadData("ticks name contracts by token: give OIShiftEngine(instruments=...) to say what they are")
        if "token" not in rows.columns:
            raise BadData("ticks need a column token")
        columns = ["token", *CONTRACT, *(["lot"] if "lot" in self.instruments.columns else [])]
        keep = [c for c in rows.columns if c == "token" or c not in columns]
        options = self.instruments.select(columns).filter(pl.col("strike_p").is_not_null())
        return rows.select(keep).join(options, on="token", how="inner", maintain_order="left")

    def _book(self, rows: pl.DataFrame) -> None:
        for part in rows.partition_by("underlying", "expiry", maintain_order=True):
            key = (str(part["underlying"][0]), part["expiry"][0])
            side = (part["option_type"].cast(pl.String) == "PE").cast(pl.Int64).to_numpy()
            oi = part["oi"].cast(pl.Int64).fill_null(UNKNOWN).to_numpy()
            self.books.setdefault(key, TickBook()).update(part["strike_p"].to_numpy(), side, oi)

    def _split(self, underlying: str, part: pl.DataFrame | None, *, last: bool) -> list[pl.DataFrame]:
        waiting = self.waiting.pop(underlying, None)
        frames = [f for f in (waiting, part) if f is not None]
        if not frames:
            return []
        rows = pl.concat(frames, how="diagonal").sort("ts", maintain_order=True)
        known = self.latest.get(underlying)
        if known is not None:
            # a tick older than the burst that closed changes nothing any more
            rows = rows.filter(pl.col("ts") > known["ts"].max())
        if rows.is_empty():
            return []
        us = rows["ts"].dt.epoch("us").to_numpy()
        cuts = [0, *(np.flatnonzero(np.diff(us) >= self.config.quiet_s * 1e6) + 1).tolist(), rows.height]
        out = []
        for j, (a, b) in enumerate(pairwise(cuts)):
            chunk = rows[a:b]
            if j == len(cuts) - 2 and not last:
                self.waiting[underlying] = chunk
            else:
                out.append(self._settle(underlying, chunk))
        return out

    def _settle(self, underlying: str, chunk: pl.DataFrame) -> pl.DataFrame:
        """All contracts at the burst's last stamp: what ticked now, and the rest as it was."""
        held = self.latest.get(underlying)
        both = chunk if held is None else pl.concat([held, chunk], how="diagonal")
        stamp = chunk["ts"].max()
        fields = [pl.col(c).drop_nulls().last() for c in both.columns if c not in CONTRACT]
        newest = both.group_by(CONTRACT, maintain_order=True).agg(fields)
        newest = newest.filter(pl.col("expiry") >= pl.lit(stamp).dt.date()).with_columns(pl.lit(stamp).alias("ts"))
        newest = newest.select(both.columns).cast({"ts": chunk.schema["ts"]})
        if "recv_ts" in newest.columns:
            newest = newest.with_columns(pl.lit(None, dtype=newest.schema["recv_ts"]).alias("recv_ts"))
        self.latest[underlying] = newest
        return newest

    def dump(self) -> dict[str, Any]:
        """Plain values for :meth:`load`."""
        return {
            "waiting": {k: frame_bytes(v) for k, v in sorted(self.waiting.items())},
            "latest": {k: frame_bytes(v) for k, v in sorted(self.latest.items())},
            "books": [
                [u, e.isoformat(), b.strikes_p.tolist(), b.oi.tolist()] for (u, e), b in sorted(self.books.items())
            ],
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Take back what :meth:`dump` gave."""
        self.waiting = {k: pl.read_ipc(v) for k, v in dumped["waiting"].items()}
        self.latest = {k: pl.read_ipc(v) for k, v in dumped["latest"].items()}
        self.books = {}
        for underlying, expiry, strikes, oi in dumped["books"]:
            book = TickBook()
            table = np.array(oi, dtype=np.int64).reshape(2, -1)
            s, i = np.nonzero(table >= 0)
            grid = np.array(strikes, dtype=np.int64)
            book.update(grid, np.zeros_like(grid), np.full(grid.size, UNKNOWN, dtype=np.int64))
            book.update(grid[i], s.astype(np.int64), table[s, i])
            self.books[(underlying, dt.date.fromisoformat(expiry))] = book


def frame_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as Arrow bytes."""
    return frame.write_ipc(None).getvalue()
