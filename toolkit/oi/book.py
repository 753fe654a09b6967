"""Everything remembered of one underlying: its expiries' series, the trailing history, the burst in progress."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from toolkit.oi.arrays import UNKNOWN, Ints
from toolkit.oi.config import OIConfig, SessionDays, Threshold
from toolkit.oi.core import Bursts, ExpiryCore, Rows
from toolkit.oi.detect import ExpiryEvents, Latches, Now, roll_events
from toolkit.oi.events import Event
from toolkit.oi.layout import NO_CHANGE, Block
from toolkit.oi.measures import fill_prices
from toolkit.oi.scores import History

__all__ = ["Book", "OpenBurst", "Record", "Series"]

EPOCH = dt.date(1970, 1, 1)


@dataclass(slots=True)
class Record:
    """One burst of one expiry as published: level row, shift rows, base stamp, and the feed's own quarrels."""

    ts_ns: int
    expiry: dt.date
    levels: Any
    shifts: Any
    base_ts: int
    restated: int = 0
    redated_from: dt.date | None = None


@dataclass(slots=True)
class Series:
    """One contract series through time; its expiry date may be moved while it lives."""

    expiry: dt.date
    core: ExpiryCore
    events: ExpiryEvents
    tokens: Ints = field(default_factory=lambda: np.zeros((2, 0), dtype=np.int64))
    implied: Ints = field(default_factory=lambda: np.full((2, 0), NO_CHANGE, dtype=np.int64))

    def copy(self) -> Series:
        """An independent copy."""
        return Series(self.expiry, self.core.copy(), self.events.copy(), self.tokens.copy(), self.implied.copy())

    def run(self, block: Block, config: OIConfig) -> list[Record]:
        """Take the block's bursts; stamps must lie after those taken before."""
        was = self.core.strikes_p
        self.core.grow(block.strikes_p)
        wide = _widened(block, self.core.strikes_p)
        if self.core.strikes_p.size != was.size:
            at = np.searchsorted(self.core.strikes_p, was)
            for name, blank in (("tokens", 0), ("implied", NO_CHANGE)):
                grown = np.full((2, self.core.strikes_p.size), blank, dtype=np.int64)
                grown[:, at] = getattr(self, name)
                setattr(self, name, grown)
        restated = self._restated(wide, config.calendar)
        rows = self.core.run(Bursts(wide.ts_ns, wide.oi, wide.volume, wide.spot, wide.forward))
        fill_prices(self.core, wide.ts_ns, rows, wide.price, wide.iv, wide.tte, config)
        self.tokens = np.where(wide.token != 0, wide.token, self.tokens)
        return _records(block, rows, restated)

    def _restated(self, block: Block, calendar: SessionDays | None) -> Ints:
        """Contracts a burst whose implied previous OI (OI minus the feed's change) is not what it must be."""
        counts = np.zeros(block.ts_ns.size, dtype=np.int64)
        if block.feed_change is None:
            return counts
        last, day = self.core.last.copy(), -1 if self.core.last_ts_ns < 0 else _day(self.core.last_ts_ns)
        for t, ts in enumerate(block.ts_ns.tolist()):
            change, oi = block.feed_change[t], block.oi[t]
            given = (change != NO_CHANGE) & (oi >= 0)
            implied = np.where(given, oi - np.where(given, change, 0), NO_CHANGE)
            if _day(ts) != day:
                # the whole OI as change is what a re-dating prints: counted there, not here
                wrong = given & (last >= 0) & (implied != last) & (implied != 0) & _adjacent(day, _day(ts), calendar)
                self.implied = implied
            else:
                wrong = given & (self.implied != NO_CHANGE) & (implied != self.implied)
                self.implied = np.where(given, implied, self.implied)
            counts[t] = int(wrong.sum())
            last = np.where(oi >= 0, oi, last)
            day = _day(ts)
        return counts


def _day(ts_ns: int) -> int:
    return (ts_ns + 19_800_000_000_000) // 86_400_000_000_000


def _adjacent(day: int, later: int, calendar: SessionDays | None) -> bool:
    """Whether no session lies between two days; without a calendar every weekday may be one."""
    if day < 0 or later - day > 14:
        return False
    between = [EPOCH + dt.timedelta(days=d) for d in range(day + 1, later)]
    return not any(d.weekday() < 5 if calendar is None else calendar.is_session(d) for d in between)


def _widened(block: Block, strikes_p: Ints) -> Block:
    if block.strikes_p.size == strikes_p.size:
        return block
    at = np.searchsorted(strikes_p, block.strikes_p)
    shape = (block.ts_ns.size, 2, strikes_p.size)

    def spread(values: Any, blank: float, dtype: Any) -> Any:
        out = np.full(shape, blank, dtype=dtype)
        out[:, :, at] = values
        return out

    token = np.zeros((2, strikes_p.size), dtype=np.int64)
    token[:, at] = block.token
    feed = None if block.feed_change is None else spread(block.feed_change, NO_CHANGE, np.int64)
    return Block(
        block.underlying,
        block.expiry,
        block.ts_ns,
        strikes_p,
        spread(block.oi, UNKNOWN, np.int64),
        spread(block.volume, UNKNOWN, np.int64),
        spread(block.price, np.nan, np.float64),
        spread(block.iv, np.nan, np.float64),
        block.spot,
        block.futures,
        block.forward,
        block.tte,
        token,
        feed,
    )


def _records(block: Block, rows: Rows, restated: Ints) -> list[Record]:
    return [
        Record(ts, block.expiry, rows.levels[t], rows.shifts[t], base, int(restated[t]))
        for t, (ts, base) in enumerate(zip(block.ts_ns.tolist(), rows.base_ts.tolist(), strict=True))
    ]


class Book:
    """The series of one underlying and what happens across them."""

    def __init__(self, underlying: str, config: OIConfig, limits: dict[str, Threshold]) -> None:
        self.underlying = underlying
        self.config = config
        self.limits = limits
        self.series: dict[dt.date, Series] = {}
        self.history = History(config.history_sessions)
        self.roll = Latches()

    def find(self, block: Block) -> tuple[Series, dt.date | None]:
        """The series of a block, and the expiry it was listed under before when its tokens were re-dated."""
        known = self.series.get(block.expiry)
        if known is not None:
            return known, None
        moved = self._redated(block)
        if moved is not None:
            series = self.series.pop(moved)
            series.expiry = block.expiry
            self.series[block.expiry] = series
            return series, moved
        made = Series(block.expiry, ExpiryCore.new(self.config), ExpiryEvents(self.config, self.limits))
        self.series[block.expiry] = made
        return made, None

    def _redated(self, block: Block) -> dt.date | None:
        """An expiry whose tokens, at the same strikes and sides, most of this new expiry's contracts carry."""
        listed = block.oi[0] >= 0
        tokens = np.where(listed, block.token, 0)
        real = int((tokens > 0).sum())
        today = EPOCH + dt.timedelta(days=_day(int(block.ts_ns[0])))
        for expiry in sorted(self.series):
            held = self.series[expiry]
            # a contract that has expired may hand its token on: only a living one can be re-dated
            if expiry < today and expiry < block.expiry - dt.timedelta(days=7):
                continue
            if held.core.last_ts_ns >= int(block.ts_ns[0]):
                continue
            at = np.searchsorted(held.core.strikes_p, block.strikes_p)
            at = np.minimum(at, max(held.core.strikes_p.size - 1, 0))
            if not held.core.strikes_p.size:
                continue
            same = held.core.strikes_p[at] == block.strikes_p
            matches = int(((held.tokens[:, at] == tokens) & (tokens > 0) & same).sum())
            if matches * 2 > real > 0:
                return expiry
        return None

    def step(self, series: Series, record: Record) -> tuple[list[Event], Now, Any]:
        """Run one record through its series' detectors: events, the burst as seen, metrics for the history."""
        row = record.levels.tolist()
        now = Now(record.ts_ns, self.underlying, record.expiry, row, self.config.bucket_s)
        found, metrics = series.events.step(now, self.history)
        if record.redated_from is not None:
            found.append(
                now.event(
                    "DATA_REDATED",
                    start=float((record.redated_from - EPOCH).days),
                    to=float((record.expiry - EPOCH).days),
                    confidence=1.0,
                    from_expiry=record.redated_from.isoformat(),
                    to_expiry=record.expiry.isoformat(),
                )
            )
        if record.restated:
            found.append(
                now.event("DATA_RESTATED", to=float(record.restated), confidence=1.0, contracts=record.restated)
            )
        return found, now, metrics

    def across(self, seen: list[Now]) -> list[Event]:
        """Events between expiries at one stamp: the roll from the nearest to the next."""
        live = sorted((n for n in seen if n.dte >= 0), key=lambda n: n.expiry)
        return list(roll_events(live[0], live[1], self.roll, self.limits)) if len(live) > 1 else []

    def remember(self, pending: list[tuple[int, int, int, Any]]) -> None:
        """Add (day, days to expiry, bucket, metrics) of finished bursts to the history."""
        for day, dte, bucket, metrics in pending:
            self.history.add(day, dte, bucket, metrics)


@dataclass(slots=True)
class OpenBurst:
    """The newest burst of an underlying: it may still receive rows of its stamp, so the state before it is kept."""

    ts_ns: int = -1
    frames: list[pl.DataFrame] = field(default_factory=list)
    blocks: dict[dt.date, Block] = field(default_factory=dict)
    before: dict[dt.date, Series | None] = field(default_factory=dict)
    moved: dict[dt.date, dt.date] = field(default_factory=dict)
    records: dict[dt.date, Record] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    pending: list[tuple[int, int, int, Any]] = field(default_factory=list)
    roll: Latches = field(default_factory=Latches)
