"""Events planted in synthetic sessions and the list that says where they are.

Names are those of the open-interest events that a study should find. Times are IST-aware
and bound the flows themselves; what the exchange publishes follows at its next refresh,
up to some minutes later.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from toolkit.calendar import ist_ns, to_ist
from toolkit.errors import BadData
from toolkit.market.schema import IST, OPTION_TYPE

__all__ = [
    "KINDS",
    "PLANTED",
    "Planted",
    "Window",
    "draw_windows",
    "frame_of_records",
    "planted_frame",
    "planted_records",
]

PLANTED: Final = pl.Schema(
    {
        "ts": pl.Datetime("us", IST),
        "end_ts": pl.Datetime("us", IST),
        "underlying": pl.String,
        "expiry": pl.Date,
        "side": OPTION_TYPE,
        "type": pl.String,
        "from_p": pl.Int64,
        "to_p": pl.Int64,
        "to_expiry": pl.Date,
        "size": pl.Int64,
    }
)

KINDS: Final = ("WALL_SHIFT", "WALL_UNWIND", "ROLL", "DATA_GAP", "DATA_NEW_STRIKE", "DATA_REPEAT", "EXPIRY_DAY")
"""What is planted. A wall shift is listed as ``WALL_SHIFT_UP`` or ``WALL_SHIFT_DOWN``."""

_SLOTTED: Final = ("WALL_SHIFT", "WALL_UNWIND", "ROLL", "DATA_GAP", "DATA_NEW_STRIKE")
_MINUTES: Final = {
    "WALL_SHIFT": (20, 32),
    "WALL_UNWIND": (15, 25),
    "ROLL": (20, 32),
    "DATA_GAP": (8, 20),
    "DATA_NEW_STRIKE": (1, 2),
}
_ODDS: Final = {
    "WALL_SHIFT": 0.6,
    "WALL_UNWIND": 0.5,
    "ROLL": 0.35,
    "DATA_GAP": 0.15,
    "DATA_NEW_STRIKE": 0.35,
}
_ROLL_ODDS_AT_EXPIRY: Final = 0.9
_FIRST: Final = dt.time(9, 45)
_LAST: Final = dt.time(14, 50)


@dataclass(frozen=True, slots=True)
class Window:
    """When a kind of event happens on one day."""

    kind: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Planted:
    """One planted event.

    ``size`` is open interest in units for events of open interest (what left the wall,
    what arrived for a shift, what rolled, what expires), a count of rows or snapshots
    for ``DATA_*``.
    """

    type: str
    underlying: str
    start_ns: int
    end_ns: int
    size: int
    expiry: dt.date | None = None
    side: str | None = None
    from_p: int | None = None
    to_p: int | None = None
    to_expiry: dt.date | None = None


def draw_windows(
    rng: np.random.Generator, day: dt.date, *, every: bool = False, near_expiry: bool = False
) -> tuple[Window, ...]:
    """Draw which events a day has and when; no two overlap.

    Parameters
    ----------
    rng : Generator
        Random stream.
    day : date
        The session.
    every : bool
        Plant one of each kind.
    near_expiry : bool
        Whether the nearest expiry is today or the next session, when positions roll.
    """
    odds = dict(_ODDS)
    if near_expiry:
        odds["ROLL"] = _ROLL_ODDS_AT_EXPIRY
    order = [_SLOTTED[i] for i in rng.permutation(len(_SLOTTED))]
    chance = rng.random(len(order))
    chosen = [kind for kind, u in zip(order, chance, strict=True) if every or u < odds[kind]]
    if not chosen:
        return ()
    first, last = ist_ns(day, _FIRST), ist_ns(day, _LAST)
    slot = (last - first) // len(chosen)
    windows = []
    for i, kind in enumerate(chosen):
        low, high = _MINUTES[kind]
        length = int(rng.integers(low * 60, high * 60)) * 1_000_000_000
        room = (slot - length - 420 * 1_000_000_000) // 1_000_000_000
        start = first + i * slot + int(rng.integers(0, max(1, room))) * 1_000_000_000
        windows.append(Window(kind, start, start + length))
    return tuple(windows)


def planted_frame(events: Iterable[Planted]) -> pl.DataFrame:
    """List planted events as a frame of schema `PLANTED`, in order of time."""
    ordered = sorted(events, key=lambda e: (e.start_ns, e.underlying, e.type, e.side or "", e.from_p or 0))
    rows = [
        (
            to_ist(e.start_ns),
            to_ist(e.end_ns),
            e.underlying,
            e.expiry,
            e.side,
            e.type,
            e.from_p,
            e.to_p,
            e.to_expiry,
            e.size,
        )
        for e in ordered
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(PLANTED)
    series = [_column(n, v, t) for (n, t), v in zip(PLANTED.items(), columns, strict=True)]
    return pl.DataFrame(series)


def _column(name: str, values: Sequence[Any], dtype: Any) -> pl.Series:
    if isinstance(dtype, pl.Datetime):
        micros = [round(v.timestamp() * 1_000_000) if v is not None else None for v in values]
        return pl.Series(name, micros, dtype=pl.Int64).cast(dtype)
    return pl.Series(name, list(values), dtype=dtype)


def planted_records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Give a planted frame as plain values, ready for ``session.json``; times in ISO form."""
    texts = frame.with_columns(
        *[pl.col(c).dt.strftime("%Y-%m-%dT%H:%M:%S%:z") for c in ("ts", "end_ts")],
        *[pl.col(c).dt.strftime("%Y-%m-%d") for c in ("expiry", "to_expiry")],
        pl.col("side").cast(pl.String),
    )
    return texts.to_dicts()


def frame_of_records(records: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Read `planted_records` back.

    Raises
    ------
    BadData
        When a record lacks a field or holds what is no time, date or number.
    """
    rows = list(records)
    try:
        series = [_column(name, [_value(row[name], dtype) for row in rows], dtype) for name, dtype in PLANTED.items()]
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise BadData(f"planted events cannot be read: {error!s}; regenerate the session") from None
    return pl.DataFrame(series)


def _value(value: Any, dtype: Any) -> Any:
    if value is None:
        return None
    if isinstance(dtype, pl.Datetime):
        return dt.datetime.fromisoformat(value)
    if dtype == pl.Date:
        return dt.date.fromisoformat(value)
    return value
