"""The words for what happened to open interest: types, thresholds, stable ids, the events frame.

Every type is a hypothesis about who moved; ``toolkit.oi.study`` measures how often its reading held.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from toolkit.errors import BadData, nearest
from toolkit.oi.config import OIConfig, Threshold

__all__ = ["EVENTS", "READINGS", "THRESHOLDS", "Event", "chebyshev", "event_id", "events_frame", "thresholds_of"]

IST: Final = "Asia/Kolkata"
SIDES: Final[Any] = pl.Enum(["CE", "PE"])

EVENTS: Final[Any] = pl.Schema(
    {
        "id": pl.String,
        "ts": pl.Datetime("us", IST),
        "underlying": pl.String,
        "expiry": pl.Date,
        "side": SIDES,
        "type": pl.String,
        "from": pl.Float64,
        "to": pl.Float64,
        "size": pl.Int64,
        "z": pl.Float64,
        "confidence": pl.Float64,
        "evidence": pl.String,
    }
)

THRESHOLDS: Final[dict[str, Threshold]] = {
    "WALL_SHIFT_UP": Threshold(0.0, 0.0, 0.0),
    "WALL_SHIFT_DOWN": Threshold(0.0, 0.0, 0.0),
    "WALL_BUILD": Threshold(5.0, 2.5),
    "WALL_UNWIND": Threshold(5.0, 2.5),
    "WALL_BREACH": Threshold(0.0005, 0.0),
    "BREACH_WITH_UNWIND": Threshold(2.0, 1.0),
    "WALL_DEFENDED": Threshold(0.001, 0.002, 1800.0),
    "RANGE_TIGHTEN": Threshold(0.001, 0.0, 0.0),
    "RANGE_WIDEN": Threshold(0.001, 0.0, 0.0),
    "CENTROID_SHIFT": Threshold(5.0, 2.5),
    "MAXPAIN_DRIFT": Threshold(2.0, 0.0),
    "ROLL": Threshold(0.01, 0.005, 3600.0),
    "FUT_LONG_BUILD": Threshold(0.02, 0.01, 3600.0),
    "FUT_SHORT_BUILD": Threshold(0.02, 0.01, 3600.0),
    "FUT_LONG_UNWIND": Threshold(0.02, 0.01, 3600.0),
    "FUT_SHORT_COVER": Threshold(0.02, 0.01, 3600.0),
    "TRAPPED_CALL_WRITERS": Threshold(0.7, 0.5, 3600.0),
    "TRAPPED_PUT_WRITERS": Threshold(0.7, 0.5, 3600.0),
    "PCR_EXTREME": Threshold(0.95, 0.90, 3600.0),
    "GAMMA_FLIP": Threshold(0.05, 0.0, 1800.0),
    "STRADDLE_CRUSH": Threshold(4.0, 2.0),
    "STRADDLE_EXPAND": Threshold(4.0, 2.0),
    "DATA_STALE": Threshold(600.0, 0.0),
    "DATA_RESTATED": Threshold(1.0, 0.0, 0.0),
    "DATA_REDATED": Threshold(1.0, 0.0, 0.0),
    "DATA_NEW_STRIKE": Threshold(1.0, 0.0, 0.0),
    "DATA_GAP": Threshold(300.0, 0.0, 0.0),
}
"""Enter, exit and cool-down by type. Enter is a robust z for builds, unwinds, centroid and straddle; a fraction of
the forward for breach, defence and range; a share for roll, futures, trapped, PCR percentile and gamma; a count of
bursts for max pain; seconds for stale and gap."""

READINGS: Final[dict[str, int]] = {
    "WALL_SHIFT_UP": 1,
    "WALL_SHIFT_DOWN": -1,
    "BREACH_WITH_UNWIND": 0,
    "FUT_LONG_BUILD": 1,
    "FUT_SHORT_COVER": 1,
    "FUT_SHORT_BUILD": -1,
    "FUT_LONG_UNWIND": -1,
    "TRAPPED_CALL_WRITERS": 1,
    "TRAPPED_PUT_WRITERS": -1,
}
"""The direction a type is usually read as (+1 up, -1 down); 0 and absent have none without their side."""


class Event(NamedTuple):
    """One event, in the order of the frame's columns after ``id``."""

    ts_ns: int
    underlying: str
    expiry: dt.date | None
    side: str | None
    type: str
    start: float
    to: float
    size: int | None
    z: float
    confidence: float
    evidence: Mapping[str, Any]


def event_id(event: Event) -> str:
    """Hash the fields that say what happened: the same input always gives the same id."""
    parts = (
        str(event.ts_ns),
        event.underlying,
        "" if event.expiry is None else event.expiry.isoformat(),
        event.side or "",
        event.type,
        f"{event.start!r}",
        f"{event.to!r}",
        "" if event.size is None else str(event.size),
    )
    return hashlib.blake2b("|".join(parts).encode(), digest_size=8).hexdigest()


def chebyshev(z: float) -> float:
    """Confidence that needs no distribution: at most 1 / z^2 of any lies as far out. NaN for an unknown z."""
    return max(0.0, 1.0 - 1.0 / (z * z)) if z else 0.0


def events_frame(events: Sequence[Event]) -> pl.DataFrame:
    """Events as a frame, ordered by stamp, underlying, expiry, side, type and id."""
    rows = [
        (
            event_id(e),
            e.ts_ns // 1000,
            e.underlying,
            e.expiry,
            e.side,
            e.type,
            _null(e.start),
            _null(e.to),
            e.size,
            _null(e.z),
            _null(e.confidence),
            json.dumps(e.evidence, sort_keys=True, separators=(",", ":")),
        )
        for e in events
    ]
    schema = dict(EVENTS) | {"ts": pl.Int64}
    made = pl.DataFrame(rows, schema=schema, orient="row")
    made = made.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(IST))
    return made.sort("ts", "underlying", "expiry", "side", "type", "id", nulls_last=True)


def _null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def thresholds_of(config: OIConfig) -> dict[str, Threshold]:
    """The thresholds in force.

    Raises
    ------
    BadData
        When the settings override a type that does not exist.
    """
    for name in config.thresholds:
        if name not in THRESHOLDS:
            raise BadData(f"no event type '{name}'{nearest(name, sorted(THRESHOLDS), tell=True)}")
    merged = {**THRESHOLDS, **config.thresholds}
    if "DATA_GAP" not in config.thresholds:
        merged["DATA_GAP"] = Threshold(config.gap_s, 0.0, 0.0)
    return merged
