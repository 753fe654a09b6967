"""Walls: strikes whose open interest stands out of its neighbourhood, with hysteresis over time."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.oi.arrays import Floats, Ints, as_strikes, as_units
from toolkit.oi.config import OIConfig
from toolkit.oi.jit import kernel

__all__ = ["Walls", "walls"]

Flags = npt.NDArray[np.bool_]


class Walls(NamedTuple):
    """Walls of one side, by strike: points, units, units, share of the window's OI; ``primary`` the largest or NaN."""

    strike: Floats
    oi: Ints
    prominence: Floats
    share: Floats
    primary: float


def walls(strikes: Any, oi: Any, forward: float, config: OIConfig | None = None) -> Walls:
    """Find the walls of one side of a chain.

    A strike is a wall when its OI is the largest within ``wall_window`` of the forward on either side of it, its
    topographic prominence is at least ``wall_prominence`` of the side's maximum, and its share of the window's OI
    exceeds ``wall_share`` times the median non-zero share.

    Parameters
    ----------
    strikes : array_like, shape (n,)
        Ascending, points.
    oi : array_like of int, shape (n,)
        Units; NaN entries are unknown.
    forward : float
        Points. Unknown: the window is taken about the OI centroid's level instead.
    config : OIConfig, optional

    Returns
    -------
    Walls
        Empty arrays and a NaN primary without OI. ``primary`` is the wall of largest OI, of equals the one
        nearest the forward, then the lower.
    """
    chosen = OIConfig() if config is None else config
    k = as_strikes(strikes)
    units = as_units(oi, k.size)
    is_wall = np.zeros(k.size, dtype=np.bool_)
    prominence = np.zeros(k.size)
    share = np.zeros(k.size)
    first = walls_kernel(
        k,
        units,
        float(forward),
        chosen.wall_window,
        chosen.wall_prominence,
        chosen.wall_share,
        is_wall,
        prominence,
        share,
    )
    at = np.flatnonzero(is_wall)
    return Walls(k[at], units[at], prominence[at], share[at], float(k[first]) if first >= 0 else math.nan)


@kernel
def prominence_kernel(oi: Ints, out: Floats) -> None:
    """Topographic prominence of every element (the edge minimum is the base where nothing higher stands): O(n)."""
    n = oi.size
    base = np.empty(n)
    stack = np.empty(n, dtype=np.int64)
    low = np.empty(n)
    for sweep in range(2):
        top = 0
        for j in range(n):
            i = j if sweep == 0 else n - 1 - j
            v = max(oi[i], 0)
            least = float(v)
            while top > 0 and max(oi[stack[top - 1]], 0) <= v:
                top -= 1
                least = min(least, low[top])
            # low[top] keeps the minimum between this element and the next higher one on this side
            stack[top] = i
            low[top] = least
            top += 1
            if sweep == 0:
                base[i] = least
            else:
                base[i] = max(base[i], least)
                out[i] = v - base[i]


@kernel
def walls_kernel(
    k: Floats,
    oi: Ints,
    forward: float,
    window: float,
    least_prominence: float,
    least_share: float,
    is_wall: Flags,
    prominence: Floats,
    share: Floats,
) -> int:
    """Flag walls, fill prominence and share, return the index of the primary or -1.

    Long because window, prominence and share are one sweep over the same neighbourhoods.
    """
    n = k.size
    is_wall[:] = False
    share[:] = 0.0
    top = 0
    total = 0
    work = 0.0
    for i in range(n):
        v = max(oi[i], 0)
        total += v
        work += v * k[i]
        top = max(top, v)
    if top == 0:
        prominence[:] = 0.0
        return -1
    level = work / total if math.isnan(forward) else forward
    half = window * level
    prominence_kernel(oi, prominence)
    buffer = np.empty(n, dtype=np.int64)
    left = 0
    right = 0
    inside = 0
    primary = -1
    for i in range(n):
        while right < n and k[right] <= k[i] + half:
            inside += max(oi[right], 0)
            right += 1
        while k[left] < k[i] - half:
            inside -= max(oi[left], 0)
            left += 1
        v = oi[i]
        if v <= 0:
            continue
        share[i] = v / inside
        if prominence[i] < least_prominence * top:
            continue
        largest = True
        held = 0
        for j in range(left, right):
            w = oi[j]
            if w > v or (w == v and j < i):
                largest = False
                break
            if w > 0:
                buffer[held] = w
                held += 1
        if not largest or v <= least_share * np.median(buffer[:held]):
            continue
        is_wall[i] = True
        if primary < 0 or v > oi[primary] or (v == oi[primary] and abs(k[i] - level) < abs(k[primary] - level)):
            primary = i
    return primary


@kernel
def hold_wall(k: Floats, oi: Ints, raw: int, lead: float, bursts: int, held: Floats) -> float:
    """Apply hysteresis to the primary wall; ``held`` is (incumbent, challenger, times running), updated in place.

    The incumbent stays until a challenger leads it by ``lead`` of its OI for ``bursts`` bursts running; an
    incumbent that is no longer listed or known gives way at once.
    """
    if raw < 0:
        return held[0]
    now = -1
    if not math.isnan(held[0]):
        for i in range(k.size):
            if k[i] == held[0]:
                now = i
                break
    if now < 0 or oi[now] < 0:
        held[0] = k[raw]
        held[1] = math.nan
        held[2] = 0.0
        return held[0]
    if raw == now or oi[raw] - oi[now] < lead * oi[now] or oi[raw] <= oi[now]:
        held[1] = math.nan
        held[2] = 0.0
        return held[0]
    if held[1] == k[raw]:
        held[2] += 1.0
    else:
        held[1] = k[raw]
        held[2] = 1.0
    if held[2] >= bursts:
        held[0] = k[raw]
        held[1] = math.nan
        held[2] = 0.0
    return held[0]
