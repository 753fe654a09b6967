"""One expiry's memory and the call into the shared kernel: arrays that grow with the strikes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from toolkit.oi.arrays import UNKNOWN, Floats, Ints
from toolkit.oi.columns import LEVELS, SHIFTS
from toolkit.oi.config import OIConfig
from toolkit.oi.kernel import DISTANCES, PARAMS, SCALARS, run_bursts

__all__ = ["Bursts", "ExpiryCore", "Rows", "kernel_params"]

RING: Final = 512  # bursts a rolling base may look back
_BASELINES: Final = ("open", "prev_close", "rolling", "expiry")


@dataclass(slots=True)
class Bursts:
    """T bursts of one expiry over the core's n strikes: what the kernel reads.

    ``ts_ns spot forward`` (T,), ``oi volume`` (T, 2, n) int64 with -1 unknown, side 0 calls, 1 puts.
    """

    ts_ns: Ints
    oi: Ints
    volume: Ints
    spot: Floats
    forward: Floats


@dataclass(slots=True)
class Rows:
    """What the kernel writes for T bursts; ``effective`` is the OI that counted, ``compared`` what it was compared
    with (empty unless asked for), -1 where unknown."""

    levels: Floats
    shifts: Floats
    effective: Ints
    base_ts: Ints
    counts: Ints
    compared: Ints


def kernel_params(config: OIConfig) -> Floats:
    """The settings the kernel reads, in its order (``PARAMS``)."""
    values = {
        "baseline": float(_BASELINES.index(config.baseline)),
        "max_age_ns": config.max_age_s * 1e9,
        "rolling_ns": config.rolling_s * 1e9,
        "reach": np.nan if config.reach is None else config.reach,
    }
    return np.array([values[name] if name in values else float(getattr(config, name)) for name in PARAMS])


def _blank(sides: int, n: int) -> Ints:
    return np.full((sides, n), UNKNOWN, dtype=np.int64)


@dataclass(slots=True)
class ExpiryCore:
    """State of one (underlying, expiry) between bursts; strikes in paise, ascending."""

    params: Floats
    strikes_p: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    last: Ints = field(default_factory=lambda: _blank(2, 0))
    seen: Ints = field(default_factory=lambda: _blank(2, 0))
    prev: Ints = field(default_factory=lambda: _blank(2, 0))
    base: Ints = field(default_factory=lambda: _blank(2, 0))
    close: Ints = field(default_factory=lambda: _blank(2, 0))
    scalars: Ints = field(default_factory=lambda: np.array([-1, 0, -1, -1, -1, 0, 0, 0], dtype=np.int64))
    held: Floats = field(default_factory=lambda: np.tile([np.nan, np.nan, 0.0], (2, 1)))
    profile: Floats = field(default_factory=lambda: np.full((2, 2, 4 * DISTANCES), np.nan))
    ring: Ints = field(default_factory=lambda: np.empty((0, 2, 0), dtype=np.int64))
    ring_ts: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    followed: Floats = field(default_factory=lambda: np.array([np.nan, np.nan]))
    held_oi: Ints = field(default_factory=lambda: _blank(2, 0))
    entries: Floats = field(default_factory=lambda: np.zeros((2, 2, 0)))

    @classmethod
    def new(cls, config: OIConfig) -> ExpiryCore:
        """An empty state for ``config``."""
        core = cls(kernel_params(config))
        size = RING if config.baseline == "rolling" else 1
        core.ring = np.full((size, 2, 0), UNKNOWN, dtype=np.int64)
        core.ring_ts = np.full(size, UNKNOWN, dtype=np.int64)
        return core

    @property
    def bursts(self) -> int:
        """Bursts taken so far."""
        return int(self.scalars[SCALARS.index("bursts")])

    @property
    def last_ts_ns(self) -> int:
        """Stamp of the newest burst, -1 before the first."""
        return int(self.scalars[SCALARS.index("last_ts")])

    def grow(self, strikes_p: Ints) -> None:
        """Make room for strikes not listed before; what was known stays with its strike."""
        if strikes_p.size == self.strikes_p.size and bool((strikes_p == self.strikes_p).all()):
            return
        union = np.union1d(self.strikes_p, strikes_p)
        if union.size == self.strikes_p.size:
            return
        at = np.searchsorted(union, self.strikes_p)
        for name in ("last", "seen", "prev", "base", "close", "held_oi"):
            wide = _blank(2, union.size)
            wide[:, at] = getattr(self, name)
            setattr(self, name, wide)
        ring = np.full((self.ring.shape[0], 2, union.size), UNKNOWN, dtype=np.int64)
        ring[:, :, at] = self.ring
        self.ring = ring
        entries = np.zeros((2, 2, union.size))
        entries[:, :, at] = self.entries
        self.entries = entries
        self.strikes_p = union

    def run(self, bursts: Bursts, *, keep_base: bool = False) -> Rows:
        """Take T bursts, stamps ascending, arrays over ``strikes_p``; the state moves on."""
        steps, n = bursts.ts_ns.size, self.strikes_p.size
        rows = Rows(
            np.empty((steps, len(LEVELS))),
            np.empty((steps, 2, len(SHIFTS))),
            np.empty((steps, 2, n), dtype=np.int64),
            np.empty(steps, dtype=np.int64),
            np.empty((steps, 4), dtype=np.int64),
            np.empty((steps if keep_base else 0, 2, n), dtype=np.int64),
        )
        run_bursts(
            self.strikes_p / 100.0,
            bursts.ts_ns,
            bursts.oi,
            bursts.volume,
            bursts.spot,
            bursts.forward,
            self.params,
            self.last,
            self.seen,
            self.prev,
            self.base,
            self.close,
            self.scalars,
            self.held,
            self.profile,
            self.ring,
            self.ring_ts,
            rows.effective,
            rows.compared,
            rows.levels,
            rows.shifts,
            rows.base_ts,
            rows.counts,
        )
        return rows

    def copy(self) -> ExpiryCore:
        """An independent copy."""
        twin = ExpiryCore(self.params, self.strikes_p)
        for name in _ARRAYS:
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state by name, for :meth:`from_arrays`."""
        return {"strikes_p": self.strikes_p, **{name: getattr(self, name) for name in _ARRAYS}}

    @classmethod
    def from_arrays(cls, config: OIConfig, arrays: dict[str, np.ndarray]) -> ExpiryCore:
        """The state that :meth:`arrays` gave."""
        core = cls(kernel_params(config), arrays["strikes_p"])
        for name in _ARRAYS:
            setattr(core, name, np.ascontiguousarray(arrays[name]))
        return core


_ARRAYS: Final = (
    "last",
    "seen",
    "prev",
    "base",
    "close",
    "scalars",
    "held",
    "profile",
    "ring",
    "ring_ts",
    "followed",
    "held_oi",
    "entries",
)
