"""Plain levels of all expiries of a snapshot in one call: for scans, screens and sweeps where microseconds count.

A *grid* lays the strikes of E expiries end to end (``offsets`` says where each begins), so that a snapshot is two
int64 vectors and a day two matrices.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from toolkit.errors import BadData
from toolkit.oi.arrays import UNKNOWN, Floats, Ints
from toolkit.oi.jit import kernel
from toolkit.oi.transport import default_reach, transport_kernel

__all__ = ["METRIC_NAMES", "Cube", "cube", "cube_metrics", "snapshot_metrics"]

METRIC_NAMES: Final = (
    "ce_oi",
    "pe_oi",
    "pcr",
    "max_pain_lo",
    "max_pain_hi",
    "ce_centroid",
    "pe_centroid",
    "ce_w1",
    "pe_w1",
    "ce_signed",
    "pe_signed",
)
TRANSPORT_NAMES: Final = ("created", "destroyed", "moved_right", "moved_left")


class Cube(NamedTuple):
    """A day of one underlying: ``ts_ns`` (T,), ``expiry`` (E,) days since the epoch, ``strikes`` (N,) points end to
    end, ``offsets`` (E + 1,), ``ce pe`` (T, N) units with -1 unknown."""

    ts_ns: Ints
    expiry: Ints
    strikes: Floats
    offsets: Ints
    ce: Ints
    pe: Ints


def cube(frame: pl.DataFrame) -> Cube:
    """Lay a clean chain frame of one underlying out as a cube, in one pass over its rows, in whatever order.

    Raises
    ------
    BadData
        When the frame holds no row or several underlyings.
    """
    if frame.height == 0 or not bool((frame["underlying"] == frame["underlying"][0]).all()):
        raise BadData("cube takes the rows of one underlying, was none or several; filter the frame first")
    ts = frame["ts"].to_physical().to_numpy()
    expiry = frame["expiry"].to_physical().to_numpy()
    strike = frame["strike_p"].to_numpy()
    side = frame["option_type"].to_physical().to_numpy()
    oi = frame["oi"] if frame["oi"].null_count() == 0 else frame["oi"].fill_null(UNKNOWN)
    starts, novel = novel_rows(ts, expiry, strike, side)
    stamps = np.unique(ts[starts])
    days = np.unique(expiry[novel])
    low, step, width = strike_grid(strike, novel)
    listed = np.zeros((days.size, width), dtype=np.bool_)
    mark_listed(expiry, strike, novel, days, low, step, listed)
    offsets = np.concatenate(([0], np.cumsum(listed.sum(axis=1)))).astype(np.int64)
    place = np.cumsum(listed.ravel()).reshape(listed.shape) - 1
    strikes = np.concatenate([low + step * np.flatnonzero(row) for row in listed]) / 100.0
    ce = np.full((stamps.size, offsets[-1]), UNKNOWN, dtype=np.int64)
    pe = np.full((stamps.size, offsets[-1]), UNKNOWN, dtype=np.int64)
    fill_cube(ts, expiry, strike, side, oi.to_numpy(), starts, novel, stamps, days, low, step, place, ce, pe)
    scale = 1000 if frame.schema["ts"].time_unit == "us" else 1  # type: ignore[attr-defined]
    return Cube(stamps * scale, days.astype(np.int64), strikes, offsets, ce, pe)


def snapshot_metrics(grid: Cube, ce: Ints, pe: Ints, before_ce: Ints, before_pe: Ints, out: Floats) -> Floats:
    """Measure one snapshot of all expiries.

    Parameters
    ----------
    grid : Cube
        Its strikes and offsets.
    ce, pe, before_ce, before_pe : ndarray of int64, shape (N,)
        Units, -1 unknown; ``before`` is what the Wasserstein shift is measured against.
    out : ndarray of float64, shape (E, 11)
        Filled with ``METRIC_NAMES`` and returned; NaN is unknown.
    """
    metrics_kernel(grid.strikes, grid.offsets, ce, pe, before_ce, before_pe, out)
    return out


def cube_metrics(grid: Cube, *, transport: bool = True) -> tuple[Floats, Floats]:
    """Measure every snapshot against the first, and the transport from each snapshot to the next.

    Returns
    -------
    (ndarray (T, E, 11), ndarray (T, E, 2, 4))
        ``METRIC_NAMES``, and by side created, destroyed (units), work moved right and left (unit-points), zero for
        the first snapshot (NaN throughout when ``transport`` is False).
    """
    steps, expiries = grid.ce.shape[0], grid.offsets.size - 1
    out = np.empty((steps, expiries, len(METRIC_NAMES)))
    moved = np.full((steps, expiries, 2, len(TRANSPORT_NAMES)), np.nan)
    day_kernel(grid.strikes, grid.offsets, grid.ce, grid.pe, out, moved, transport)
    return out, moved


@kernel
def novel_rows(ts: Ints, expiry: Ints, strike: Ints, side: Ints) -> tuple[Ints, Ints]:
    """First row of each run of one stamp, and rows whose contract is not the one at the same place of the run before.

    Snapshots repeat their contracts in order, so that nearly all rows need no search.
    """
    starts = np.empty(ts.size, dtype=np.int64)
    novel = np.empty(ts.size, dtype=np.int64)
    runs = 0
    found = 0
    shift = 0
    for i in range(ts.size):
        if i == 0 or ts[i] != ts[i - 1]:
            shift = i - starts[runs - 1] if runs > 0 else 0
            starts[runs] = i
            runs += 1
        j = i - shift
        if (
            shift == 0
            or j >= starts[runs - 1]
            or expiry[j] != expiry[i]
            or strike[j] != strike[i]
            or side[j] != side[i]
        ):
            novel[found] = i
            found += 1
    return starts[:runs], novel[:found]


@kernel
def strike_grid(strike: Ints, rows: Ints) -> tuple[int, int, int]:
    """Lowest strike, the step that all share, and how many places that makes."""
    first = strike[rows[0]]
    low = first
    high = first
    step = 0
    for r in rows:
        v = strike[r]
        low = min(low, v)
        high = max(high, v)
        a, b = step, abs(v - first)
        while b > 0:
            a, b = b, a % b
        step = a
    step = max(step, 1)
    return low, step, (high - low) // step + 1


@kernel
def place_of(value: int, table: Ints, guess: int) -> int:
    """Index of ``value`` in an ascending table, trying ``guess`` and its successor first."""
    if table[guess] == value:
        return guess
    if guess + 1 < table.size and table[guess + 1] == value:
        return guess + 1
    return int(np.searchsorted(table, value))


@kernel
def mark_listed(expiry: Ints, strike: Ints, rows: Ints, days: Ints, low: int, step: int, listed: Ints) -> None:
    """Mark which (expiry, strike place) occur."""
    e = 0
    for r in rows:
        e = place_of(expiry[r], days, e)
        listed[e, (strike[r] - low) // step] = True


@kernel
def fill_cube(
    ts: Ints,
    expiry: Ints,
    strike: Ints,
    side: Ints,
    oi: Ints,
    starts: Ints,
    novel: Ints,
    stamps: Ints,
    days: Ints,
    low: int,
    step: int,
    place: Ints,
    ce: Ints,
    pe: Ints,
) -> None:
    """Write every row into its place: that of its twin in the run before, or searched where it has none."""
    most = ts.size - starts[starts.size - 1]
    for j in range(starts.size - 1):
        most = max(most, starts[j + 1] - starts[j])
    places = np.empty(most, dtype=np.int64)
    next_novel = 0
    t = 0
    e = 0
    for run in range(starts.size):
        begin = starts[run]
        end = starts[run + 1] if run + 1 < starts.size else ts.size
        t = place_of(ts[begin], stamps, t)
        for i in range(begin, end):
            if next_novel < novel.size and novel[next_novel] == i:
                next_novel += 1
                e = place_of(expiry[i], days, e)
                places[i - begin] = place[e, (strike[i] - low) // step]
            at = places[i - begin]
            if side[i] == 0:
                ce[t, at] = oi[i]
            else:
                pe[t, at] = oi[i]


@kernel
def metrics_kernel(k: Floats, offsets: Ints, ce: Ints, pe: Ints, before_ce: Ints, before_pe: Ints, out: Floats) -> None:
    """Kernel of :func:`snapshot_metrics`; slices let the compiler drop the checks for negative indices."""
    for e in range(offsets.size - 1):
        a = offsets[e]
        b = offsets[e + 1]
        expiry_metrics(k[a:b], ce[a:b], pe[a:b], before_ce[a:b], before_pe[a:b], out[e])


@kernel
def expiry_metrics(k: Floats, ce: Ints, pe: Ints, before_ce: Ints, before_pe: Ints, row: Floats) -> None:
    """One expiry: integer totals that vectorise, then both sides' running sums in one sweep."""
    n = k.size
    calls = puts = old_calls = old_puts = 0
    for i in range(n):
        calls += max(ce[i], 0)
        puts += max(pe[i], 0)
        old_calls += max(before_ce[i], 0)
        old_puts += max(before_pe[i], 0)
    row[0] = calls
    row[1] = puts
    row[2] = puts / calls if calls > 0 else math.nan
    pain(k, ce, pe, calls, puts, row)
    # an unknown share makes its side's figures NaN without a branch in the sweep
    share_c = 1.0 / calls if calls > 0 else math.nan
    share_p = 1.0 / puts if puts > 0 else math.nan
    share_oc = 1.0 / old_calls if old_calls > 0 else math.nan
    share_op = 1.0 / old_puts if old_puts > 0 else math.nan
    low = k[0]
    centre_c = centre_p = old_c = old_p = 0.0
    gap_c = gap_p = w_c = w_p = 0.0
    for i in range(n):
        at = k[i] - low
        h = k[i + 1] - k[i] if i + 1 < n else 0.0
        c = max(ce[i], 0) * share_c
        p = max(pe[i], 0) * share_p
        bc = max(before_ce[i], 0) * share_oc
        bp = max(before_pe[i], 0) * share_op
        centre_c += c * at
        centre_p += p * at
        old_c += bc * at
        old_p += bp * at
        gap_c += bc - c
        gap_p += bp - p
        w_c += abs(gap_c) * h
        w_p += abs(gap_p) * h
    row[5] = low + centre_c
    row[6] = low + centre_p
    row[7] = w_c
    row[8] = w_p
    # the signed shift is the change of the centroid
    row[9] = centre_c - old_c
    row[10] = centre_p - old_p


@kernel
def pain(k: Floats, ce: Ints, pe: Ints, calls: int, puts: int, row: Floats) -> None:
    """Max pain interval: the quantile rule, stopping where it is met."""
    if calls + puts == 0:
        row[3] = math.nan
        row[4] = math.nan
        return
    n = k.size
    cum = 0
    at = n - 1
    for i in range(n):
        cum += max(ce[i], 0) + max(pe[i], 0)
        if cum >= puts:
            at = i
            break
    row[3] = k[at]
    if cum == puts:
        while at < n - 1:
            at += 1
            if max(ce[at], 0) + max(pe[at], 0) > 0:
                break
    row[4] = k[at]


@kernel
def day_kernel(k: Floats, offsets: Ints, ce: Ints, pe: Ints, out: Floats, moved: Floats, transport: bool) -> None:
    """Kernel of :func:`cube_metrics`."""
    steps = ce.shape[0]
    most = 0
    for e in range(offsets.size - 1):
        most = max(most, offsets[e + 1] - offsets[e])
    created = np.empty(most, dtype=np.int64)
    destroyed = np.empty(most, dtype=np.int64)
    flow = np.empty(most, dtype=np.int64)
    reach = np.empty(offsets.size - 1)
    for e in range(offsets.size - 1):
        reach[e] = default_reach(k[offsets[e] : offsets[e + 1]], 5.0)
    for t in range(steps):
        metrics_kernel(k, offsets, ce[t], pe[t], ce[0], pe[0], out[t])
        if not transport:
            continue
        before = max(t - 1, 0)
        for e in range(offsets.size - 1):
            a = offsets[e]
            b = offsets[e + 1]
            for s in range(2):
                side = ce if s == 0 else pe
                _, right, left = transport_kernel(
                    k[a:b], side[before, a:b], side[t, a:b], reach[e], created, destroyed, flow
                )
                made = 0
                gone = 0
                for i in range(b - a):
                    made += created[i]
                    gone += destroyed[i]
                moved[t, e, s, 0] = made
                moved[t, e, s, 1] = gone
                moved[t, e, s, 2] = right
                moved[t, e, s, 3] = left
