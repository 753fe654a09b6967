"""Records and events as the frames of a result."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from toolkit.oi.book import Record
from toolkit.oi.columns import LEVEL_INTS, LEVELS, SHIFT_INTS, SHIFTS

__all__ = ["ShiftResult", "levels_frame", "run_counts", "shifts_frame"]

IST: Final = "Asia/Kolkata"
TS: Final[Any] = pl.Datetime("us", IST)
SIDES: Final[Any] = pl.Enum(["CE", "PE"])


@dataclass(frozen=True, slots=True)
class ShiftResult:
    """What happened to the open interest of a frame: four frames.

    ``levels`` one row a burst and expiry, ``shifts`` one row a burst, expiry and side, ``events``, and
    ``quality`` (rule, count, detail).
    """

    levels: pl.DataFrame
    shifts: pl.DataFrame
    events: pl.DataFrame
    quality: pl.DataFrame


def levels_frame(rows: Iterable[tuple[str, Sequence[Record]]]) -> pl.DataFrame:
    """Level rows of (underlying, records), ordered by underlying, stamp and expiry."""
    names, records = _flat(rows)
    values = np.array([r.levels for r in records]) if records else np.empty((0, len(LEVELS)))
    head = _head(names, records)
    return _ordered(head.with_columns(_columns(LEVELS, LEVEL_INTS, values)), ["underlying", "ts", "expiry"])


def shifts_frame(rows: Iterable[tuple[str, Sequence[Record]]]) -> pl.DataFrame:
    """Shift rows, calls before puts; ``base_ts`` says against which burst the unprefixed columns are measured."""
    names, records = _flat(rows)
    both = np.array([r.shifts for r in records]) if records else np.empty((0, 2, len(SHIFTS)))
    head = _head(names, records).with_columns(_stamps("base_ts", [r.base_ts for r in records]))
    parts = []
    for s, side in enumerate(("CE", "PE")):
        part = head.with_columns(pl.lit(side).cast(SIDES).alias("side"))
        parts.append(part.with_columns(_columns(SHIFTS, SHIFT_INTS, both[:, s])))
    frame = pl.concat(parts).select("ts", "underlying", "expiry", "side", *SHIFTS, "base_ts")
    return _ordered(frame, ["underlying", "ts", "expiry", "side"])


def _flat(rows: Iterable[tuple[str, Sequence[Record]]]) -> tuple[list[str], list[Record]]:
    names: list[str] = []
    records: list[Record] = []
    for name, found in rows:
        names.extend([name] * len(found))
        records.extend(found)
    return names, records


def _head(names: list[str], records: list[Record]) -> pl.DataFrame:
    days = np.array([r.expiry.toordinal() for r in records], dtype=np.int32) - dt.date(1970, 1, 1).toordinal()
    return pl.DataFrame(
        [
            _stamps("ts", [r.ts_ns for r in records]),
            pl.Series("underlying", names, dtype=pl.String),
            pl.Series("expiry", days, dtype=pl.Int32).cast(pl.Date),
        ]
    )


def _stamps(name: str, ns: list[int]) -> pl.Series:
    raw = pl.Series(name, ns, dtype=pl.Int64)
    micros = raw.to_frame().select(pl.when(pl.col(name) >= 0).then(pl.col(name) // 1000))[name]
    return micros.cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(IST).alias(name)


def _columns(names: Sequence[str], ints: frozenset[str], values: Any) -> list[pl.Series]:
    made = []
    for j, name in enumerate(names):
        column = pl.Series(name, np.ascontiguousarray(values[:, j]), dtype=pl.Float64).fill_nan(None)
        made.append(column.cast(pl.Int64) if name in ints else column)
    return made


def _ordered(frame: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    return frame.sort(by, maintain_order=True)


def run_counts(levels: pl.DataFrame, rows: list[tuple[str, list[Record]]]) -> dict[str, tuple[int, str]]:
    """Quality of a run: what the rules that need memory did, contract by contract."""
    sums = levels.select(
        pl.col("fresh").sum(), *(pl.col(c).sum() for c in ("carried", "excluded", "new_accounted", "new_unknown"))
    ).row(0)
    fresh, carried, excluded, accounted, unknown = (int(v or 0) for v in sums)
    restated = sum(r.restated for _, found in rows for r in found)
    redated = [r for _, found in rows for r in found if r.redated_from is not None]
    moved = ", ".join(f"{r.redated_from} to {r.expiry}" for r in redated)
    return {
        "bursts": (levels.height, f"{fresh} of them fresh"),
        "carried_forward": (carried, "contracts missing from a burst that kept their last OI"),
        "excluded_too_old": (excluded, "contracts missing for longer than max_age_s"),
        "new_strike_accounted": (accounted, "contracts that appeared with volume enough for their OI: from 0"),
        "new_strike_unknown_before": (unknown, "contracts that appeared with more OI than volume: nothing created"),
        "restated": (restated, "contracts whose reported change disagrees with ours"),
        "redated": (len(redated), moved),
    }
