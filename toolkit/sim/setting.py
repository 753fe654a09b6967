"""What every step of a synthetic day needs to know: the plan, the rules and the day's clock."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from toolkit.calendar import Calendar
from toolkit.contracts import ContractRules
from toolkit.sim.listing import Market
from toolkit.sim.paths import burst_times, receipt_delays, snapshot_stamps, stream
from toolkit.sim.surface import session_share

__all__ = ["Clock", "DayPlan", "Setting", "day_clock"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_AUCTION_NS: Final = 1_200 * 1_000_000_000
"""The index stands still while its constituents are in the closing auction: the 20 minutes
before the settlement value, on dates when trading in derivatives outlasts it."""


@dataclass(frozen=True, slots=True)
class DayPlan:
    """The part of a session plan that one day of one underlying needs."""

    seed: int
    each_side: tuple[int, ...]
    weeklies: int
    monthlies: int
    tick_start: dt.time | None
    tick_strikes: int
    every_event: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """One underlying on one day, with the calendar and the rules of its exchange."""

    plan: DayPlan
    market: Market
    calendar: Calendar
    rules: ContractRules
    day: dt.date

    @property
    def name(self) -> str:
        """The underlying."""
        return self.market.name

    @property
    def exchange(self) -> str:
        """Where its derivatives trade."""
        return self.rules.exchange(self.market.name)

    def rng(self, purpose: int) -> np.random.Generator:
        """The day's random stream for one purpose."""
        return stream(self.plan.seed, self.market.name, self.day, purpose)

    def shared_rng(self, purpose: int) -> np.random.Generator:
        """The day's random stream that all underlyings share."""
        return stream(self.plan.seed, "market", self.day, purpose)


@dataclass(frozen=True, slots=True)
class Clock:
    """The day's instants: ``fraction`` of the way to the settlement value, ``share`` of the activity."""

    open_ns: int
    close_ns: int
    settle_ns: int
    stamps: Ints
    recv: Ints
    bursts: Ints
    fraction: Floats
    share: Floats

    def index_at(self, spot: Floats) -> Floats:
        """The published index: ``spot`` to 0.05, frozen during a closing auction."""
        shown = np.rint(spot * 20.0) / 20.0
        if self.settle_ns == self.close_ns:
            return shown
        still = (self.stamps >= self.settle_ns - _AUCTION_NS) & (self.stamps < self.settle_ns)
        last = max(int(np.argmax(still)) - 1, 0)
        return np.where(still, shown[last], shown)


def day_clock(setting: Setting) -> Clock:
    """Draw the day's stamps, receipts and refreshes."""
    open_ns, close_ns = setting.calendar.bounds_ns(setting.day)
    settle_ns = setting.calendar.settlement_ns(setting.day)
    stamps = snapshot_stamps(setting.shared_rng(0), open_ns, close_ns)
    gone = (stamps - open_ns).astype(np.float64)
    share = np.diff(session_share(gone / (close_ns - open_ns)), prepend=0.0)
    rng = setting.rng(0)
    return Clock(
        open_ns,
        close_ns,
        settle_ns,
        stamps,
        stamps + receipt_delays(rng, len(stamps)),
        burst_times(rng, open_ns, close_ns),
        np.minimum(gone / (settle_ns - open_ns), 1.0),
        share,
    )
