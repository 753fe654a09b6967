"""Robust z-scores and change points of burst series: medians and MAD over history, a two-sided CUSUM."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from toolkit.oi.arrays import Floats, Ints, as_floats
from toolkit.oi.jit import kernel

__all__ = ["METRICS", "History", "ScoreBook", "cusum", "robust_z"]

METRICS: Final = (
    "ce_wall_step",
    "pe_wall_step",
    "ce_centroid",
    "pe_centroid",
    "ce_oi_step",
    "pe_oi_step",
    "straddle",
    "pcr",
)
ROOM: Final = 512  # bursts of a session that take part in its median
MAD_SCALE: Final = 1.4826


def robust_z(value: float, history: Any) -> float:
    """Standardise by median and MAD: (value - median) / (1.4826 MAD).

    NaN for an empty history or a MAD of 0: with no spread there is no scale.

    Examples
    --------
    >>> round(robust_z(10.0, [1.0, 2.0, 3.0]), 3)
    5.396
    """
    known = as_floats(np.asarray(history, dtype=np.float64).ravel(), np.size(history), "history")
    ordered = np.sort(known[np.isfinite(known)])
    return float(z_sorted(value, ordered, ordered.size))


def cusum(values: Any, k: float = 0.5, h: float = 5.0) -> Ints:
    """Run a two-sided CUSUM over standardised values: +1 or -1 where it alarms (and restarts), else 0.

    Unknown values leave it as it is.
    """
    z = np.asarray(values, dtype=np.float64).ravel()
    sums = np.zeros(2)
    return np.array([cusum_step(float(v), k, h, sums) for v in z], dtype=np.int64)


@kernel
def z_sorted(value: float, ordered: Floats, n: int) -> float:
    """Robust z against ``n`` ascending values, in O(n): the MAD is read off by walking out from the median."""
    if n == 0 or math.isnan(value):
        return math.nan
    median = 0.5 * (ordered[(n - 1) // 2] + ordered[n // 2])
    left = n - 1
    while left >= 0 and ordered[left] > median:
        left -= 1
    right = left + 1
    low = 0.0
    high = 0.0
    for j in range(n // 2 + 1):
        dl = median - ordered[left] if left >= 0 else math.inf
        dr = ordered[right] - median if right < n else math.inf
        if dl <= dr:
            d = dl
            left -= 1
        else:
            d = dr
            right += 1
        if j == (n - 1) // 2:
            low = d
        if j == n // 2:
            high = d
    mad = 0.5 * (low + high)
    return (value - median) / (MAD_SCALE * mad) if mad > 0.0 else math.nan


@kernel
def cusum_step(z: float, k: float, h: float, sums: Floats) -> int:
    """One step of the two-sided CUSUM; ``sums`` (up, down) restarts at an alarm."""
    if math.isnan(z):
        return 0
    sums[0] = max(0.0, sums[0] + z - k)
    sums[1] = max(0.0, sums[1] - z - k)
    if sums[0] > h:
        sums[:] = 0.0
        return 1
    if sums[1] > h:
        sums[:] = 0.0
        return -1
    return 0


@kernel
def score_rows(
    values: Floats,
    past: Floats,
    past_n: Ints,
    session: Floats,
    session_n: Ints,
    least: int,
    k: float,
    h: float,
    sums: Floats,
    z: Floats,
    alarm: Ints,
) -> None:
    """Score each metric against its past sessions, else this session, then let this session remember it."""
    for m in range(values.size):
        v = values[m]
        z[m] = math.nan
        alarm[m] = 0
        if math.isnan(v):
            continue
        if past_n[m] >= least:
            z[m] = z_sorted(v, past[m], past_n[m])
        elif session_n[m] >= least:
            z[m] = z_sorted(v, session[m], session_n[m])
        alarm[m] = cusum_step(z[m], k, h, sums[m])
        n = session_n[m]
        if n == session.shape[1]:
            continue
        at = n
        while at > 0 and session[m, at - 1] > v:
            session[m, at] = session[m, at - 1]
            at -= 1
        session[m, at] = v
        session_n[m] = n + 1


class History:
    """What earlier sessions of an underlying held: values by (days to expiry, time bucket), trailing sessions only."""

    def __init__(self, sessions: int) -> None:
        self.sessions = sessions
        self._held: dict[tuple[int, int], list[tuple[int, list[Floats]]]] = {}
        self._sorted: dict[tuple[int, int], tuple[int, Floats, Ints]] = {}

    def add(self, day: int, dte: int, bucket: int, values: Floats) -> None:
        """Remember one burst's metrics; days come in order."""
        days = self._held.setdefault((dte, bucket), [])
        if not days or days[-1][0] != day:
            days.append((day, []))
            # one more than asked: the newest may be the session that is still running
            del days[: -(self.sessions + 1)]
        days[-1][1].append(values)

    def before(self, day: int, dte: int, bucket: int) -> tuple[Floats, Ints]:
        """Values of earlier days, ascending by metric, NaN at the end; and how many of each."""
        key = (dte, bucket)
        cached = self._sorted.get(key)
        if cached is not None and cached[0] == day:
            return cached[1], cached[2]
        kept = [d for d in self._held.get(key, []) if d[0] < day][-self.sessions :]
        rows = [values for _, held in kept for values in held]
        table = np.sort(np.array(rows).T, axis=1) if rows else np.empty((len(METRICS), 0))
        counts = np.isfinite(table).sum(axis=1).astype(np.int64)
        table = np.ascontiguousarray(table)
        self._sorted[key] = (day, table, counts)
        return table, counts

    def dump(self) -> list[Any]:
        """Plain values for :meth:`load`."""
        return [
            [dte, bucket, [[day, [v.tolist() for v in values]] for day, values in days]]
            for (dte, bucket), days in sorted(self._held.items())
        ]

    def load(self, dumped: list[Any]) -> None:
        """Take back what :meth:`dump` gave."""
        self._sorted.clear()
        self._held = {
            (dte, bucket): [(day, [np.array(v, dtype=np.float64) for v in values]) for day, values in days]
            for dte, bucket, days in dumped
        }


class ScoreBook:
    """Scores of one expiry within a session: sorted session values and CUSUM sums."""

    __slots__ = ("alarm", "session", "session_n", "sums", "z")

    def __init__(self) -> None:
        m = len(METRICS)
        self.session = np.empty((m, ROOM))
        self.session_n = np.zeros(m, dtype=np.int64)
        self.sums = np.zeros((m, 2))
        self.z = np.full(m, np.nan)
        self.alarm = np.zeros(m, dtype=np.int64)

    def reset(self) -> None:
        """Start a session."""
        self.session_n[:] = 0
        self.sums[:] = 0.0

    def score(self, values: Floats, past: tuple[Floats, Ints], least: int, k: float, h: float) -> None:
        """Set ``z`` and ``alarm`` for one fresh burst."""
        score_rows(values, past[0], past[1], self.session, self.session_n, least, k, h, self.sums, self.z, self.alarm)

    def silence(self) -> None:
        """No score for this burst."""
        self.z[:] = np.nan
        self.alarm[:] = 0

    def copy(self) -> ScoreBook:
        """An independent copy."""
        twin = ScoreBook()
        most = int(self.session_n.max())
        twin.session[:, :most] = self.session[:, :most]
        for name in ("session_n", "sums", "z", "alarm"):
            getattr(twin, name)[:] = getattr(self, name)
        return twin
