"""The kernel both modes share: bursts of one expiry in, level and shift rows out, state carried along.

``OIShiftEngine`` calls it with one burst, ``oi_shift`` with all bursts of an expiry at once; the loop body is the
same machine code, so integers are bit-equal and floats equal. Sides are index 0 (calls) and 1 (puts).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from toolkit.oi.arrays import Floats, Ints
from toolkit.oi.columns import LEVELS, SHIFTS
from toolkit.oi.jit import kernel
from toolkit.oi.levels import max_pain_kernel, moments_kernel
from toolkit.oi.transport import default_reach, transport_kernel, wasserstein_kernel
from toolkit.oi.walls import hold_wall, prominence_kernel, walls_kernel

__all__ = ["PARAMS", "SCALARS", "run_bursts"]

DAY_NS: Final = 86_400_000_000_000
IST_NS: Final = 19_800_000_000_000
EOD_S: Final = 55_800  # 15:30 IST: the first burst of a date at or after it is a closing file

PARAMS: Final = (
    "baseline",
    "open_s",
    "max_age_ns",
    "rolling_ns",
    "rolling_bursts",
    "reach",
    "reach_steps",
    "wall_window",
    "wall_prominence",
    "wall_share",
    "wall_lead",
    "wall_bursts",
    "moment_window",
)
SCALARS: Final = ("day", "open_set", "base_ts", "last_ts", "close_ts", "bursts", "ring_at", "last_eod")
OPEN: Final = 0
PREV_CLOSE: Final = 1
ROLLING: Final = 2
EXPIRY: Final = 3

_L: Final = {name: i for i, name in enumerate(LEVELS)}
_S: Final = {name: i for i, name in enumerate(SHIFTS)}
L_SPOT: Final = _L["spot"]
L_FORWARD: Final = _L["forward"]
L_OI: Final = _L["ce_oi"]
L_PCR: Final = _L["pcr"]
L_PCR_VOLUME: Final = _L["pcr_volume"]
L_PCR_CHANGE: Final = _L["pcr_change"]
L_PAIN: Final = _L["max_pain_lo"]
L_WALL: Final = _L["ce_wall"]
L_CENTROID: Final = _L["ce_centroid"]
L_BOUNDED: Final = _L["pcr_change_bounded"]
L_CHANGE: Final = _L["ce_oi_change"]
L_WALL_OI: Final = _L["ce_wall_oi"]
L_PROMINENCE: Final = _L["ce_wall_prominence"]
L_ADJUSTED: Final = _L["ce_wall_prominence_adj"]
L_MAX: Final = _L["ce_max"]
L_SPREAD: Final = _L["ce_spread"]
L_Q10: Final = _L["ce_q10"]
L_MEDIAN: Final = _L["ce_median"]
L_Q90: Final = _L["ce_q90"]
L_HHI: Final = _L["ce_hhi"]
L_TOP3: Final = _L["ce_top3_share"]
L_WINDOW: Final = _L["ce_centroid_window"]
L_CONTRACTS: Final = _L["contracts"]
L_FRESH: Final = _L["fresh"]
L_STEP: Final = _L["ce_oi_step"]
L_COUNTS: Final = _L["carried"]
L_CHURN: Final = _L["ce_oi_volume"]
L_WALL_STEP: Final = _L["ce_wall_step"]
S_W1: Final = _S["w1"]
S_STEP: Final = _S["step_w1"]
PROFILE_SPAN: Final = 10  # distance buckets of 1 % of the forward on either side
DISTANCES: Final = 2 * PROFILE_SPAN + 1
PROFILE_KEEP: Final = 0.8  # weight of the past in the trailing profile, a session


@kernel
def run_bursts(
    k: Floats,
    ts: Ints,
    oi: Ints,
    volume: Ints,
    spot: Floats,
    forward: Floats,
    p: Floats,
    last: Ints,
    seen: Ints,
    prev: Ints,
    base: Ints,
    close: Ints,
    scalars: Ints,
    held: Floats,
    profile: Floats,
    ring: Ints,
    ring_ts: Ints,
    effective: Ints,
    compared: Ints,
    levels: Floats,
    shifts: Floats,
    base_ts: Ints,
    was_known: Ints,
) -> None:
    """Run T bursts over n strikes.

    Shapes: ``k`` (n,) points; ``ts spot forward`` (T,); ``oi volume effective`` (T, 2, n) with -1 unknown,
    ``compared`` the same or (0, 2, n) to keep no copy of the base; state
    ``last seen prev base close`` (2, n), ``held`` (2, 3), ``profile`` (2, 2, 84) of trailing sessions and today,
    ``ring`` (R, 2, n); results ``levels`` (T, len(LEVELS)), ``shifts`` (T, 2, len(SHIFTS)), ``base_ts`` (T,),
    ``was_known`` (T, 4): contracts carried forward, excluded as too old, new and accounted for, new and unknown
    before. Long because it is the one place where a burst's order of work stands.
    """
    n = k.size
    kc = np.empty(n)
    now = np.empty((2, n), dtype=np.int64)
    old = np.empty((2, n), dtype=np.int64)
    step = np.empty((2, n), dtype=np.int64)
    vol = np.empty((2, n), dtype=np.int64)
    created = np.empty(n, dtype=np.int64)
    destroyed = np.empty(n, dtype=np.int64)
    flow = np.empty(n, dtype=np.int64)
    for t in range(ts.size):
        day = (ts[t] + IST_NS) // DAY_NS
        tod = ((ts[t] + IST_NS) % DAY_NS) // 1_000_000_000
        new_day = scalars[0] != day
        eod = 1 if new_day and tod >= EOD_S else 0
        if new_day:
            open_day(p, scalars, day, last, base, close, profile)
        eff = effective[t]
        admit(ts[t], oi[t], volume[t], eod, new_day, p[2], scalars, last, seen, prev, base, close, eff, was_known[t])
        if int(p[0]) == ROLLING:
            pick_rolling(ts[t], p, ring, ring_ts, scalars, base)
        m, changed = gather(k, eff, volume[t], prev, base, kc, now, vol, old, step)
        fresh = changed or scalars[5] == 0
        row = levels[t]
        row[:] = math.nan
        row[L_SPOT] = spot[t]
        row[L_FORWARD] = forward[t]
        row[L_FRESH] = 1.0 if fresh else 0.0
        for c in range(4):
            row[L_COUNTS + c] = was_known[t, c]
        known_base = scalars[2] >= 0
        base_ts[t] = scalars[2]
        if compared.shape[0] > 0:
            compared[t] = base
            if not known_base:
                compared[t] = -1
        # a closing file is settled: its lead needs no second burst
        need = 1 if eod == 1 else int(p[11])
        level_row(
            kc[:m], now[:, :m], vol[:, :m], old[:, :m], known_base, fresh, need, forward[t], p, held, profile, row
        )
        if fresh and scalars[5] > 0:
            step_columns(kc[:m], now[:, :m], step[:, :m], row)
        reach = p[5] if p[5] > 0 else default_reach(kc[:m], p[6])
        for s in range(2):
            out = shifts[t, s]
            out[:] = math.nan
            if known_base:
                shift_row(kc[:m], old[s, :m], now[s, :m], reach, created, destroyed, flow, out, S_W1, True)
            if scalars[5] > 0:
                shift_row(kc[:m], step[s, :m], now[s, :m], reach, created, destroyed, flow, out, S_STEP, False)
        settle(ts[t], tod, fresh, p, scalars, eff, prev, base, ring, ring_ts)
        scalars[7] = eod


@kernel
def gather(
    k: Floats,
    eff: Ints,
    volume: Ints,
    prev: Ints,
    base: Ints,
    kc: Floats,
    now: Ints,
    vol: Ints,
    old: Ints,
    step: Ints,
) -> tuple[int, bool]:
    """Pack the strikes of which a side is known to the front; their count, and whether OI differs from the last."""
    m = 0
    changed = False
    for i in range(k.size):
        if eff[0, i] < 0 and eff[1, i] < 0:
            continue
        kc[m] = k[i]
        for s in range(2):
            now[s, m] = eff[s, i]
            old[s, m] = base[s, i]
            step[s, m] = prev[s, i]
            vol[s, m] = volume[s, i]
            if step[s, m] >= 0 and now[s, m] >= 0 and step[s, m] != now[s, m]:
                changed = True
        m += 1
    return m, changed


@kernel
def open_day(p: Floats, scalars: Ints, day: int, last: Ints, base: Ints, close: Ints, profile: Floats) -> None:
    """Start a session date: yesterday's last known OI becomes the previous close, and the base for now.

    Yesterday's strike profile joins the trailing one here and not before: a profile that holds today's own walls
    would divide them away.
    """
    for s in range(2):
        for c in range(profile.shape[2]):
            share = profile[s, 1, c]
            if not math.isnan(share):
                had = profile[s, 0, c]
                profile[s, 0, c] = share if math.isnan(had) else PROFILE_KEEP * had + (1.0 - PROFILE_KEEP) * share
                profile[s, 1, c] = math.nan
    if scalars[0] >= 0 and scalars[3] >= 0:
        close[:] = last
        scalars[4] = scalars[3]
    scalars[0] = day
    scalars[1] = 0
    if int(p[0]) <= PREV_CLOSE:
        base[:] = close
        scalars[2] = scalars[4]


@kernel
def admit(
    ts: int,
    oi: Ints,
    volume: Ints,
    eod: int,
    new_day: bool,
    max_age: float,
    scalars: Ints,
    last: Ints,
    seen: Ints,
    prev: Ints,
    base: Ints,
    close: Ints,
    eff: Ints,
    counts: Ints,
) -> None:
    """Take one burst into the state; ``eff`` gets the OI that counts now (-1: unknown or too old).

    A contract not seen before (or not yet today, once the day's first burst has passed) starts at 0 only when its
    volume accounts for its OI or the burst is a closing file after another; else it is unknown before, and no mass
    is created.
    """
    counts[:] = 0
    for s in range(2):
        for i in range(eff.shape[1]):
            v = oi[s, i]
            if v < 0:
                if last[s, i] >= 0 and ts - seen[s, i] <= max_age:
                    eff[s, i] = last[s, i]
                    counts[0] += 1
                else:
                    eff[s, i] = -1
                    counts[1] += 1 if last[s, i] >= 0 else 0
                continue
            eff[s, i] = v
            unseen = last[s, i] < 0 and close[s, i] < 0 and scalars[5] > 0
            if unseen or (not new_day and (seen[s, i] + IST_NS) // DAY_NS < scalars[0]):
                accounted = volume[s, i] >= v or (eod == 1 and scalars[7] == 1)
                counts[2 if accounted else 3] += 1
                if accounted:
                    if base[s, i] < 0:
                        base[s, i] = 0
                    if prev[s, i] < 0:
                        prev[s, i] = 0
            last[s, i] = v
            seen[s, i] = ts


@kernel
def pick_rolling(ts: int, p: Floats, ring: Ints, ring_ts: Ints, scalars: Ints, base: Ints) -> None:
    """Set the base to the newest burst at least ``rolling_ns`` old with ``rolling_bursts`` bursts since."""
    size = ring_ts.size
    best = -1
    for back in range(int(p[4]), min(size, scalars[6]) + 1):
        slot = (scalars[6] - back) % size
        if ts - ring_ts[slot] >= p[3]:
            best = slot
            break
    if best < 0:
        scalars[2] = -1
        base[:] = -1
    else:
        scalars[2] = ring_ts[best]
        base[:] = ring[best]


@kernel
def settle(
    ts: int,
    tod: int,
    fresh: bool,
    p: Floats,
    scalars: Ints,
    eff: Ints,
    prev: Ints,
    base: Ints,
    ring: Ints,
    ring_ts: Ints,
) -> None:
    """Close the burst: what the next one is compared with."""
    baseline = int(p[0])
    if (baseline == OPEN and scalars[1] == 0 and tod >= p[1]) or (baseline == EXPIRY and scalars[5] == 0):
        base[:] = eff
        scalars[2] = ts
        scalars[1] = 1
    if baseline == ROLLING:
        slot = scalars[6] % ring_ts.size
        ring[slot] = eff
        ring_ts[slot] = ts
        scalars[6] += 1
    if fresh:
        prev[:] = eff
    scalars[3] = ts
    scalars[5] += 1


@kernel
def level_row(
    k: Floats,
    now: Ints,
    vol: Ints,
    old: Ints,
    known_base: bool,
    fresh: bool,
    need: int,
    forward: float,
    p: Floats,
    held: Floats,
    profile: Floats,
    row: Floats,
) -> None:
    """Fill the level columns of one burst over its listed strikes. One sweep a measure; long for that."""
    n = k.size
    totals = np.zeros(2, dtype=np.int64)
    contracts = 0
    for s in range(2):
        listed = 0
        trades = 0
        change = 0
        best = -1
        for i in range(n):
            if vol[s, i] > 0:
                trades += vol[s, i]
            v = now[s, i]
            if v < 0:
                continue
            listed += 1
            totals[s] += v
            if old[s, i] >= 0:
                change += v - old[s, i]
            if v > 0 and (best < 0 or v > now[s, best]):
                best = i
        contracts += listed
        row[L_OI + s] = totals[s] if listed else math.nan
        row[L_PCR_VOLUME] = trades if s == 0 else (trades / row[L_PCR_VOLUME] if row[L_PCR_VOLUME] > 0 else math.nan)
        row[L_CHANGE + s] = change if known_base else math.nan
        row[L_CHURN + s] = totals[s] / trades if trades > 0 and listed > 0 else math.nan
        row[L_MAX + s] = k[best] if best >= 0 else math.nan
    row[L_CONTRACTS] = contracts
    if totals[0] > 0 and not math.isnan(row[L_OI + 1]):
        row[L_PCR] = totals[1] / totals[0]
    if known_base:
        change_ratios(row, totals[0])
    row[L_PAIN], row[L_PAIN + 1], row[L_PAIN + 2] = max_pain_kernel(k, now[0], now[1], forward)
    six = np.empty(7)
    half = p[12] * forward if not math.isnan(forward) else -1.0
    classes = np.empty(n, dtype=np.int64)
    if forward > 0:
        classify(k, forward, classes)
    for s in range(2):
        moments_kernel(k, now[s], forward, -1.0, six)
        row[L_CENTROID + s] = six[0]
        row[L_SPREAD + s] = six[1]
        row[L_Q10 + s] = six[2]
        row[L_MEDIAN + s] = six[3]
        row[L_Q90 + s] = six[4]
        row[L_HHI + s] = six[5]
        row[L_TOP3 + s] = six[6]
        if half >= 0.0:
            moments_kernel(k, now[s], forward, half, six)
            row[L_WINDOW + s] = six[0]
        wall_columns(k, now[s], fresh, need, forward, p, held[s], classes, profile[s], s, row)


@kernel
def change_ratios(row: Floats, calls: int) -> None:
    """PCR of changes: null when the signs differ or the calls barely changed; the bounded form beside it."""
    dc = row[L_CHANGE]
    dp = row[L_CHANGE + 1]
    if abs(dc) > 1e-6 * calls and dc != 0 and dc * dp >= 0:
        row[L_PCR_CHANGE] = dp / dc
    if abs(dc) + abs(dp) > 0:
        row[L_BOUNDED] = (dp - dc) / (abs(dp) + abs(dc))


@kernel
def wall_columns(
    k: Floats,
    oi: Ints,
    fresh: bool,
    need: int,
    forward: float,
    p: Floats,
    held: Floats,
    classes: Ints,
    profile: Floats,
    side: int,
    row: Floats,
) -> None:
    """Primary wall with hysteresis, its OI and prominence, raw and after the trailing strike profile."""
    n = k.size
    is_wall = np.empty(n, dtype=np.bool_)
    prominence = np.empty(n)
    share = np.empty(n)
    raw = walls_kernel(k, oi, forward, p[7], p[8], p[9], is_wall, prominence, share)
    # only news counts towards the hysteresis: a repeated state is no second vote
    wall = hold_wall(k, oi, raw, p[10], need, held) if fresh else held[0]
    row[L_WALL + side] = wall
    if math.isnan(wall):
        return
    where = -1
    for i in range(n):
        if k[i] == wall:
            where = i
    if where < 0 or oi[where] < 0:
        return
    row[L_WALL_OI + side] = oi[where]
    row[L_PROMINENCE + side] = prominence[where]
    if forward > 0:
        row[L_ADJUSTED + side] = adjusted_prominence(oi, classes, profile[0], where)
        if fresh:
            learn_profile(oi, classes, profile[1])


@kernel
def step_columns(k: Floats, now: Ints, step: Ints, row: Floats) -> None:
    """Change since the last fresh burst: the side's total over comparable contracts, and at its wall."""
    for s in range(2):
        change = 0
        for i in range(k.size):
            if now[s, i] >= 0 and step[s, i] >= 0:
                change += now[s, i] - step[s, i]
                if k[i] == row[L_WALL + s]:
                    row[L_WALL_STEP + s] = now[s, i] - step[s, i]
        row[L_STEP + s] = change


@kernel
def classify(k: Floats, forward: float, classes: Ints) -> None:
    """Class of each strike: roundness (multiple of 1000, 500, 100, other) times distance in whole percent."""
    per = 100.0 / forward
    for i in range(k.size):
        whole = int(k[i])
        if whole != k[i] or whole % 100 != 0:
            roundness = 3
        elif whole % 500 != 0:
            roundness = 2
        else:
            roundness = 1 if whole % 1000 != 0 else 0
        percent = math.floor((k[i] - forward) * per + 0.5)
        distance = int(min(max(percent, -PROFILE_SPAN), PROFILE_SPAN)) + PROFILE_SPAN
        classes[i] = roundness * DISTANCES + distance


@kernel
def adjusted_prominence(oi: Ints, classes: Ints, profile: Floats, where: int) -> float:
    """Prominence of ``where`` after dividing by what its roundness and distance usually hold; NaN before history."""
    n = oi.size
    usual = profile[classes[where]]
    if not usual > 0.0:
        return math.nan
    scale = np.zeros(profile.size)
    for c in range(profile.size):
        if profile[c] > 0.0:
            scale[c] = usual / profile[c]
    scaled = np.zeros(n, dtype=np.int64)
    for i in range(n):
        if oi[i] > 0:
            scaled[i] = int(oi[i] * scale[classes[i]])
    out = np.empty(n)
    prominence_kernel(scaled, out)
    return out[where]


@kernel
def learn_profile(oi: Ints, classes: Ints, profile: Floats) -> None:
    """Take this burst's mean share a strike by (roundness, distance) as today's profile."""
    total = 0
    sums = np.zeros(profile.size)
    counts = np.zeros(profile.size)
    for i in range(oi.size):
        if oi[i] >= 0:
            total += oi[i]
            sums[classes[i]] += oi[i]
            counts[classes[i]] += 1.0
    if total == 0:
        return
    for c in range(profile.size):
        if counts[c] > 0.0:
            profile[c] = sums[c] / (counts[c] * total)


@kernel
def shift_row(
    k: Floats,
    before: Ints,
    after: Ints,
    reach: float,
    created: Ints,
    destroyed: Ints,
    flow: Ints,
    out: Floats,
    first: int,
    full: bool,
) -> None:
    """Fill one side's shift columns from ``first``; ``full`` adds cost, totals and centroids."""
    n = k.size
    total_a = 0
    total_b = 0
    work_a = 0.0
    work_b = 0.0
    both = 0
    for i in range(n):
        if before[i] >= 0 and after[i] >= 0:
            both += 1
            total_a += before[i]
            total_b += after[i]
            work_a += before[i] * k[i]
            work_b += after[i] * k[i]
    if both == 0:
        return
    w1, signed = wasserstein_kernel(k, before, after)
    cost, right, left = transport_kernel(k, before, after, reach, created, destroyed, flow)
    made = 0
    gone = 0
    for i in range(n):
        made += created[i]
        gone += destroyed[i]
    out[first] = w1
    out[first + 1] = signed
    if full:
        out[first + 2] = signed / w1 if w1 > 0 else math.nan
        out[first + 3] = made
        out[first + 4] = gone
        out[first + 5] = right
        out[first + 6] = left
        out[first + 7] = cost
        out[first + 8] = total_a
        out[first + 9] = total_b
        out[first + 10] = work_a / total_a if total_a > 0 else math.nan
        out[first + 11] = work_b / total_b if total_b > 0 else math.nan
    else:
        out[first + 2] = made
        out[first + 3] = gone
        out[first + 4] = right
        out[first + 5] = left
