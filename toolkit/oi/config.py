"""Settings of the open-interest room: one frozen object, every figure with its unit."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

from toolkit.errors import BadData, nearest

__all__ = ["Adjustment", "OIConfig", "SessionDays", "Threshold"]

Baseline = Literal["open", "prev_close", "rolling", "expiry"]
Unit = Literal["units", "contracts"]


class SessionDays(Protocol):
    """What this room asks of a calendar (``toolkit.calendar.Calendar`` answers it)."""

    def is_session(self, date: dt.date) -> bool:
        """Whether the exchange trades on ``date``."""
        ...

    def settlement_ns(self, expiry: dt.date) -> int:
        """The instant the settlement value of ``expiry`` is determined, nanoseconds UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A corporate action: from ``on``, older strikes and units are multiplied by these factors."""

    underlying: str
    on: dt.date
    strike_factor: float
    units_factor: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """When an event type fires (``enter``), when it may fire again (``exit``), and how soon at most."""

    enter: float
    exit: float
    cooldown_s: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OIConfig:
    """How open-interest shift is measured.

    Parameters
    ----------
    calendar : object with ``is_session(date)`` and ``settlement_ns(expiry)``, optional
        ``toolkit.tables.calendar()``. Without one no date is refused as a holiday and options settle at 15:30.
    oi_unit, volume_unit : {"units", "contracts"}
        What the frame's ``oi`` and ``volume`` count. Contracts are multiplied by the row's lot.
    baseline : {"open", "prev_close", "rolling", "expiry"}
        What changes are measured against: the first burst at or after ``open_s`` (and, up to it, the
        previous close); the previous session's last burst or the anchor; the burst ``rolling_s`` ago with at
        least ``rolling_bursts`` since; the first burst ever seen of the expiry.
    open_s : int
        Seconds after midnight IST (09:20).
    max_age_s : float
        How long a contract missing from a burst keeps its last OI, seconds.
    gap_s : float
        A pause between bursts of a session that is a data gap, seconds.
    burst : {"stamp", "quiet"}
        Snapshots close when the exchange stamp advances; ticks after ``quiet_s`` of event time without one.
    reach : float, optional
        Longest trip of the transport in points (2L); default ``reach_steps`` modal strike steps.
    wall_window, wall_prominence, wall_share : float
        Half window as a fraction of the forward; least prominence as a fraction of the side's maximum;
        least share as a multiple of the median non-zero share of the window.
    wall_lead, wall_bursts : float, int
        A challenger becomes the primary wall when it leads by this fraction for so many bursts running.
    moment_window : float
        Half window of the windowed centroids, a fraction of the forward.
    rate : float
        Continuous rate per ACT/365 year for implied volatility and Greeks on the forward.
    gex_signs : str
        The sign assumption of :func:`toolkit.oi.gex`.
    zero_gamma_days : float
        Expiries at most this many days away carry ``zero_gamma`` in the levels.
    bucket_s, history_sessions, min_history : float, int, int
        Robust z-scores: time-of-day bucket, trailing sessions of the same days to expiry, least sample.
    cusum_k, cusum_h : float
        Drift and threshold of the two-sided CUSUM on standardised bursts.
    thresholds : mapping of event type to :class:`Threshold`
        Overrides of ``toolkit.oi.events.THRESHOLDS``.
    adjustments : tuple of :class:`Adjustment`
        Corporate actions, supplied and never inferred.
    """

    calendar: SessionDays | None = None
    oi_unit: Unit = "units"
    volume_unit: Unit = "units"
    baseline: Baseline = "open"
    open_s: int = 9 * 3600 + 20 * 60
    rolling_s: float = 900.0
    rolling_bursts: int = 4
    max_age_s: float = 600.0
    gap_s: float = 300.0
    burst: Literal["stamp", "quiet"] = "stamp"
    quiet_s: float = 5.0
    reach: float | None = None
    reach_steps: float = 5.0
    wall_window: float = 0.02
    wall_prominence: float = 0.15
    wall_share: float = 1.5
    wall_lead: float = 0.05
    wall_bursts: int = 2
    moment_window: float = 0.10
    rate: float = 0.0
    gex_signs: str = "dealer_long_calls"
    zero_gamma_days: float = 35.0
    bucket_s: float = 900.0
    history_sessions: int = 20
    min_history: int = 12
    cusum_k: float = 0.5
    cusum_h: float = 5.0
    thresholds: Mapping[str, Threshold] = field(default_factory=lambda: MappingProxyType({}))
    adjustments: tuple[Adjustment, ...] = ()

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise BadData(f"OIConfig {name} must be one of {', '.join(choices)}, was {value!r}")
        known = ("dealer_long_calls", "dealer_short_both")
        if self.gex_signs not in known:
            raise BadData(f"OIConfig gex_signs must be one of {', '.join(known)}, was {self.gex_signs!r}")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise BadData(f"OIConfig {name} must be above 0, was {getattr(self, name)!r}")
        if self.reach is not None and not self.reach > 0:
            raise BadData(f"OIConfig reach must be above 0 points, was {self.reach!r}")

    def but(self, **changes: Any) -> OIConfig:
        """The same settings with some changed; an unknown name is refused with the nearest known one."""
        known = set(self.__dataclass_fields__)
        for name in changes:
            if name not in known:
                raise BadData(f"OIConfig has no setting '{name}'{nearest(name, sorted(known))}")
        return replace(self, **changes)


_CHOICES: Final = {
    "oi_unit": ("units", "contracts"),
    "volume_unit": ("units", "contracts"),
    "baseline": ("open", "prev_close", "rolling", "expiry"),
    "burst": ("stamp", "quiet"),
}
_POSITIVE: Final = (
    "max_age_s",
    "gap_s",
    "quiet_s",
    "rolling_s",
    "reach_steps",
    "wall_window",
    "moment_window",
    "bucket_s",
    "history_sessions",
    "min_history",
    "wall_bursts",
)
