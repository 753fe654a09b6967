"""Events of one expiry, burst by burst: each detector reads a level row and the little it remembers."""

from __future__ import annotations

import copy
import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from toolkit.oi.arrays import Floats
from toolkit.oi.columns import LEVELS
from toolkit.oi.config import OIConfig, Threshold
from toolkit.oi.events import Event, chebyshev
from toolkit.oi.scores import METRICS, History, ScoreBook

__all__ = ["ExpiryEvents", "Latches", "Now", "roll_events"]

NAN: Final = math.nan
SIDES: Final = ("CE", "PE")
EPOCH: Final = dt.date(1970, 1, 1).toordinal()
DAY_NS: Final = 86_400_000_000_000
IST_NS: Final = 19_800_000_000_000
EOD_S: Final = 55_800
C: Final = {name: i for i, name in enumerate(LEVELS)}
M: Final = {name: i for i, name in enumerate(METRICS)}
CE_WALL: Final = C["ce_wall"]
CE_CENTROID: Final = C["ce_centroid"]
CE_STEP: Final = C["ce_oi_step"]
CE_WALL_STEP: Final = C["ce_wall_step"]


class Latches:
    """Enter, exit and cool-down: a type fires when its magnitude enters, and again only after it left and rested."""

    __slots__ = ("fired", "held")

    def __init__(self) -> None:
        self.held: dict[str, bool] = {}
        self.fired: dict[str, int] = {}

    def fires(self, key: str, magnitude: float, threshold: Threshold, ts_ns: int) -> bool:
        """Whether ``key`` fires now; an unknown magnitude changes nothing."""
        if magnitude != magnitude:
            return False
        if self.held.get(key, False):
            if magnitude <= threshold.exit:
                self.held[key] = False
            return False
        if magnitude < threshold.enter:
            return False
        last = self.fired.get(key)
        if last is not None and ts_ns - last < threshold.cooldown_s * 1e9:
            return False
        self.held[key] = True
        self.fired[key] = ts_ns
        return True

    def copy(self) -> Latches:
        """An independent copy."""
        twin = Latches()
        twin.held = dict(self.held)
        twin.fired = dict(self.fired)
        return twin


class Now:
    """One burst of one expiry as the detectors see it: ``row`` holds the level columns."""

    __slots__ = ("bucket", "day", "dte", "eod", "expiry", "fresh", "new_day", "row", "ts_ns", "underlying")

    def __init__(self, ts_ns: int, underlying: str, expiry: dt.date, row: list[float], bucket_s: float) -> None:
        self.ts_ns = ts_ns
        self.underlying = underlying
        self.expiry = expiry
        self.row = row
        self.day = (ts_ns + IST_NS) // DAY_NS
        self.dte = expiry.toordinal() - EPOCH - self.day
        tod = ((ts_ns + IST_NS) % DAY_NS) / 1e9
        self.bucket = int(tod // bucket_s)
        self.eod = tod >= EOD_S
        self.fresh = row[C["fresh"]] == 1.0
        self.new_day = False

    def event(
        self,
        kind: str,
        *,
        side: int | None = None,
        start: float = NAN,
        to: float = NAN,
        size: float = NAN,
        z: float = NAN,
        confidence: float = NAN,
        **evidence: Any,
    ) -> Event:
        """An event at this burst; NaN evidence is left out."""
        kept = {k: v for k, v in evidence.items() if v == v}
        units = int(size) if size == size else None
        name = None if side is None else SIDES[side]
        return Event(self.ts_ns, self.underlying, self.expiry, name, kind, start, to, units, z, confidence, kept)


class ExpiryEvents:
    """What the detectors remember of one expiry between bursts."""

    __slots__ = (
        "breached",
        "config",
        "day",
        "fresh_ns",
        "gamma_sign",
        "gamma_times",
        "last_eod",
        "last_ns",
        "latches",
        "limits",
        "pain_hi",
        "pain_lo",
        "pain_times",
        "prev",
        "scores",
        "touched",
    )

    def __init__(self, config: OIConfig, limits: Mapping[str, Threshold]) -> None:
        self.config = config
        self.limits = limits
        self.latches = Latches()
        self.scores = ScoreBook()
        self.prev: list[float] | None = None
        self.day = -1
        self.last_ns = -1
        self.fresh_ns = -1
        self.last_eod = False
        self.breached = [False, False]
        self.touched = [NAN, NAN]
        self.pain_lo = NAN
        self.pain_hi = NAN
        self.pain_times = 0
        self.gamma_sign = 0
        self.gamma_times = 0

    def copy(self) -> ExpiryEvents:
        """An independent copy."""
        twin = copy.copy(self)
        twin.latches = self.latches.copy()
        twin.scores = self.scores.copy()
        twin.breached = list(self.breached)
        twin.touched = list(self.touched)
        return twin

    def step(self, now: Now, history: History) -> tuple[list[Event], Floats | None]:
        """Take one burst; give its events, and the metrics that history should keep (None when not scored)."""
        now.new_day = now.day != self.day
        now.eod = now.eod and now.new_day
        found = list(self._feed(now))
        metrics = self._score(now, history)
        for detector in _DETECTORS:
            found.extend(detector(self, now))
        found.extend(self._pcr(now, history))
        self.day = now.day
        self.last_ns = now.ts_ns
        self.last_eod = now.eod
        if now.fresh or self.prev is None:
            self.prev = now.row
            self.fresh_ns = now.ts_ns
        return found, metrics

    def _gap(self, now: Now) -> bool:
        pause = now.ts_ns - self.last_ns
        return self.last_ns >= 0 and not now.new_day and pause > self.limits["DATA_GAP"].enter * 1e9

    def _feed(self, now: Now) -> Iterator[Event]:
        if self._gap(now):
            pause = (now.ts_ns - self.last_ns) / 1e9
            yield now.event("DATA_GAP", start=pause, to=0.0, confidence=1.0, seconds=pause)
        fresh = now.new_day or now.fresh or self.fresh_ns < 0 or self._gap(now)
        quiet = 0.0 if fresh else (now.ts_ns - self.fresh_ns) / 1e9
        if self.latches.fires("DATA_STALE", quiet, self.limits["DATA_STALE"], now.ts_ns):
            yield now.event("DATA_STALE", start=quiet, confidence=1.0, seconds=quiet)
        came = now.row[C["new_accounted"]] + now.row[C["new_unknown"]]
        if came >= self.limits["DATA_NEW_STRIKE"].enter and not now.new_day:
            yield now.event(
                "DATA_NEW_STRIKE",
                to=came,
                confidence=1.0,
                contracts=int(came),
                unknown_before=int(now.row[C["new_unknown"]]),
            )

    def _score(self, now: Now, history: History) -> Floats | None:
        daily = now.eod and (self.last_eod or self.prev is None)
        if now.new_day and not daily:
            self.scores.reset()
        if not now.fresh or self.prev is None or (now.new_day and not daily) or self._gap(now):
            self.scores.silence()
            return None
        row, was = now.row, self.prev
        open_now, open_was = row[C["straddle_open"]], was[C["straddle_open"]]
        values = np.array(
            [
                row[CE_WALL_STEP],
                row[CE_WALL_STEP + 1],
                row[CE_CENTROID] - was[CE_CENTROID],
                row[CE_CENTROID + 1] - was[CE_CENTROID + 1],
                row[CE_STEP],
                row[CE_STEP + 1],
                open_now / open_was - 1.0 if open_was > 0 and not now.new_day else NAN,
                row[C["pcr"]],
            ]
        )
        past = history.before(now.day, now.dte, now.bucket)
        cfg = self.config
        self.scores.score(values, past, cfg.min_history, cfg.cusum_k, cfg.cusum_h)
        return values

    def _walls(self, now: Now) -> Iterator[Event]:
        if self.prev is None:
            return
        row, was, limits = now.row, self.prev, self.limits
        for s in (0, 1):
            new, old = row[CE_WALL + s], was[CE_WALL + s]
            if new != old and new == new and old == old:
                kind = "WALL_SHIFT_UP" if new > old else "WALL_SHIFT_DOWN"
                units, rise = row[C["ce_wall_oi"] + s], row[C["ce_wall_prominence"] + s]
                if self.latches.fires(f"{kind}{s}", 1.0, limits[kind], now.ts_ns):
                    self.latches.held[f"{kind}{s}"] = False
                    share = rise / units if units else NAN
                    yield now.event(kind, side=s, start=old, to=new, size=units, confidence=share, prominence=rise)
            z = float(self.scores.z[s])
            change = row[CE_WALL_STEP + s]
            for kind, sign in (("WALL_BUILD", 1.0), ("WALL_UNWIND", -1.0)):
                # a jump of the wall itself compares two strikes, not one strike over time
                score = sign * z if new == old else NAN
                if self.latches.fires(f"{kind}{s}", score, limits[kind], now.ts_ns):
                    yield now.event(
                        kind,
                        side=s,
                        start=new,
                        to=new,
                        size=change,
                        z=z,
                        confidence=chebyshev(z),
                        enter=limits[kind].enter,
                    )
        yield from self._range(now)

    def _range(self, now: Now) -> Iterator[Event]:
        if self.prev is None:
            return
        width = now.row[CE_WALL] - now.row[CE_WALL + 1]
        was = self.prev[CE_WALL] - self.prev[CE_WALL + 1]
        if width != width or was != was or width == was:
            return
        forward = now.row[C["forward"]]
        kind = "RANGE_TIGHTEN" if width < was else "RANGE_WIDEN"
        share = abs(width - was) / forward if forward > 0 else NAN
        if self.latches.fires(kind, share, self.limits[kind], now.ts_ns):
            self.latches.held[kind] = False
            yield now.event(kind, start=was, to=width, ce_wall=now.row[CE_WALL], pe_wall=now.row[CE_WALL + 1])

    def _breach(self, now: Now) -> Iterator[Event]:
        forward = now.row[C["forward"]]
        if not forward > 0:
            return
        for s, sign in ((0, 1.0), (1, -1.0)):
            wall = now.row[CE_WALL + s]
            beyond = sign * (forward / wall - 1.0) if wall > 0 else NAN
            if self.latches.fires(f"WALL_BREACH{s}", beyond, self.limits["WALL_BREACH"], now.ts_ns):
                units = now.row[C["ce_wall_oi"] + s]
                yield now.event("WALL_BREACH", side=s, start=wall, to=forward, size=units, beyond=beyond)
            self.breached[s] = beyond > 0
            z = float(self.scores.z[s])
            score = -z if self.breached[s] else (NAN if z != z else 0.0)
            if self.latches.fires(f"BREACH_WITH_UNWIND{s}", score, self.limits["BREACH_WITH_UNWIND"], now.ts_ns):
                yield now.event(
                    "BREACH_WITH_UNWIND",
                    side=s,
                    start=wall,
                    to=forward,
                    size=now.row[CE_WALL_STEP + s],
                    z=z,
                    confidence=chebyshev(z),
                    reading="short-cover rally" if s == 0 else "long-liquidation fall",
                )
            yield from self._defended(now, s, sign, wall, forward)

    def _defended(self, now: Now, s: int, sign: float, wall: float, forward: float) -> Iterator[Event]:
        limit = self.limits["WALL_DEFENDED"]
        gap = sign * (1.0 - forward / wall) if wall > 0 else NAN
        units = now.row[C["ce_wall_oi"] + s]
        if gap != gap or (self.prev is not None and self.prev[CE_WALL + s] != wall):
            self.touched[s] = NAN
        elif abs(gap) <= limit.enter and self.touched[s] != self.touched[s]:
            self.touched[s] = units
        elif gap < -limit.exit:
            self.touched[s] = NAN
        elif gap >= limit.exit and self.touched[s] == self.touched[s]:
            grown = units - self.touched[s]
            self.touched[s] = NAN
            key = f"WALL_DEFENDED{s}"
            if grown > 0 and self.latches.fires(key, 1.0, Threshold(1.0, 0.0, limit.cooldown_s), now.ts_ns):
                self.latches.held[key] = False
                yield now.event("WALL_DEFENDED", side=s, start=wall, to=forward, size=grown, away=gap)

    def _centroid(self, now: Now) -> Iterator[Event]:
        if self.prev is None:
            return
        for s in (0, 1):
            m = M["ce_centroid"] + s
            z, alarm = float(self.scores.z[m]), int(self.scores.alarm[m])
            score = abs(z)
            if alarm:
                score = max(score, self.limits["CENTROID_SHIFT"].enter)
            if self.latches.fires(f"CENTROID_SHIFT{s}", score, self.limits["CENTROID_SHIFT"], now.ts_ns):
                yield now.event(
                    "CENTROID_SHIFT",
                    side=s,
                    start=self.prev[CE_CENTROID + s],
                    to=now.row[CE_CENTROID + s],
                    size=now.row[CE_STEP + s],
                    z=z,
                    confidence=chebyshev(z),
                    cusum=alarm,
                )

    def _pain(self, now: Now) -> Iterator[Event]:
        lo, hi = now.row[C["max_pain_lo"]], now.row[C["max_pain_hi"]]
        if lo != lo:
            return
        if self.pain_lo != self.pain_lo:
            self.pain_lo, self.pain_hi = lo, hi
            return
        if lo <= self.pain_hi and hi >= self.pain_lo:
            # overlapping intervals are one tie seen from two sides
            self.pain_lo, self.pain_hi = max(lo, self.pain_lo), min(hi, self.pain_hi)
            self.pain_times = 0
            return
        self.pain_times += 1
        if self.pain_times >= self.limits["MAXPAIN_DRIFT"].enter:
            was = self.pain_lo if lo > self.pain_hi else self.pain_hi
            self.pain_lo, self.pain_hi, self.pain_times = lo, hi, 0
            if self.latches.fires("MAXPAIN_DRIFT", 1.0, Threshold(1.0, 0.0, self._rest("MAXPAIN_DRIFT")), now.ts_ns):
                self.latches.held["MAXPAIN_DRIFT"] = False
                yield now.event("MAXPAIN_DRIFT", start=was, to=now.row[C["max_pain"]], lo=lo, hi=hi)

    def _rest(self, kind: str) -> float:
        return self.limits[kind].cooldown_s

    def _trapped(self, now: Now) -> Iterator[Event]:
        for s, kind in ((0, "TRAPPED_CALL_WRITERS"), (1, "TRAPPED_PUT_WRITERS")):
            share, pain = now.row[C["ce_trapped_share"] + s], now.row[C["ce_trapped"] + s]
            opened, total = now.row[C["ce_oi_change"] + s], now.row[C["ce_oi"] + s]
            if not opened > 0.01 * total:
                share = NAN
            if self.latches.fires(kind, share, self.limits[kind], now.ts_ns):
                yield now.event(kind, side=s, size=opened, confidence=share, pain_rupees=pain, share=share)

    def _gamma(self, now: Now) -> Iterator[Event]:
        net, gross = now.row[C["gex"]], now.row[C["gex_gross"]]
        share = net / gross if gross > 0 else NAN
        limit = self.limits["GAMMA_FLIP"]
        if share != share or abs(share) < limit.enter:
            return
        sign = 1 if share > 0 else -1
        if self.gamma_sign in (0, sign):
            self.gamma_sign, self.gamma_times = sign, 0
            return
        self.gamma_times += 1
        if self.gamma_times < self.config.wall_bursts:
            return
        self.gamma_sign, self.gamma_times = sign, 0
        if self.latches.fires("GAMMA_FLIP", 1.0, Threshold(1.0, 0.0, limit.cooldown_s), now.ts_ns):
            self.latches.held["GAMMA_FLIP"] = False
            zero = now.row[C["zero_gamma"]]
            yield now.event("GAMMA_FLIP", start=-float(sign), to=float(sign), confidence=abs(share), net=net, zero=zero)

    def _straddle(self, now: Now) -> Iterator[Event]:
        if self.prev is None:
            return
        z = float(self.scores.z[M["straddle"]])
        for kind, sign in (("STRADDLE_CRUSH", -1.0), ("STRADDLE_EXPAND", 1.0)):
            if self.latches.fires(kind, sign * z, self.limits[kind], now.ts_ns):
                was, is_now = self.prev[C["straddle_open"]], now.row[C["straddle_open"]]
                yield now.event(kind, start=was, to=is_now, z=z, confidence=chebyshev(z))

    def _pcr(self, now: Now, history: History) -> Iterator[Event]:
        value = now.row[C["pcr"]]
        past, counts = history.before(now.day, now.dte, now.bucket)
        n = int(counts[M["pcr"]])
        if value != value or n < self.config.min_history:
            return
        below = int(np.searchsorted(past[M["pcr"], :n], value))
        rank = below / n
        extreme = max(rank, 1.0 - rank)
        if self.latches.fires("PCR_EXTREME", extreme, self.limits["PCR_EXTREME"], now.ts_ns):
            yield now.event("PCR_EXTREME", to=value, confidence=extreme, percentile=rank, n=n)


_DETECTORS: Final[tuple[Callable[[ExpiryEvents, Now], Iterator[Event]], ...]] = (
    ExpiryEvents._walls,
    ExpiryEvents._breach,
    ExpiryEvents._centroid,
    ExpiryEvents._pain,
    ExpiryEvents._trapped,
    ExpiryEvents._gamma,
    ExpiryEvents._straddle,
)


def roll_events(near: Now, far: Now, latches: Latches, limits: Mapping[str, Threshold]) -> Iterator[Event]:
    """Open interest that left the nearest expiry while the next one grew, since the base."""
    gone = near.row[C["ce_oi_change"]] + near.row[C["pe_oi_change"]]
    came = far.row[C["ce_oi_change"]] + far.row[C["pe_oi_change"]]
    total = near.row[C["ce_oi"]] + near.row[C["pe_oi"]] - gone
    rolled = min(-gone, came)
    share = (max(rolled, 0.0) / total) if total > 0 else NAN
    if latches.fires(f"ROLL{near.expiry}", share, limits["ROLL"], near.ts_ns):
        yield near.event("ROLL", size=rolled, confidence=NAN, share=share, to_expiry=far.expiry.isoformat())
