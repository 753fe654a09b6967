"""How open interest travels along the strikes: balanced (Wasserstein) and unbalanced (with creation) transport.

The unbalanced problem is total-variation denoising on a path: with U_i the net creation up to strike i and G_i the
cumulative change, the flow across edge i is U_i - G_i, so the cost is sum h_i |U_i - G_i| + L sum |U_i - U_{i-1}|
with both ends pinned. It is solved exactly by dynamic programming over convex piecewise-linear functions (slopes
clipped to +-L after each step; Johnson 2013, Kolmogorov, Pock, Rolinek 2016), O(n log n).

Open interest has no owner: "moved" means explained by relocation, not proven.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from toolkit.errors import BadData
from toolkit.oi.arrays import UNKNOWN, Floats, Ints, as_strikes, as_units, modal_step_kernel
from toolkit.oi.jit import kernel

__all__ = ["Shift", "Transport", "transport_shift", "wasserstein_shift"]

DEFAULT_STEPS: Final = 5.0
TIE: Final = 4.0  # slopes are scaled by this; one more unit on L prefers relocation among equal costs
SMALL: Final = 48  # up to so many live breakpoints a sorted array beats two heaps


class Shift(NamedTuple):
    """Balanced shift of the normalised OI: points, points, and signed / w1 in [-1, 1]."""

    w1: float
    signed: float
    directionality: float


class Transport(NamedTuple):
    """Unbalanced shift: cost in unit-points; units created and destroyed by strike; ``flow[i]`` units across
    (i, i+1), right positive; work moved right and left in unit-points."""

    cost: float
    created: Ints
    destroyed: Ints
    flow: Ints
    moved_right: float
    moved_left: float


def wasserstein_shift(strikes: Any, before: Any, after: Any) -> Shift:
    """Measure how far the shape of the OI moved, totals set aside.

    Parameters
    ----------
    strikes : array_like, shape (n,)
        Ascending, points.
    before, after : array_like of int, shape (n,)
        Units. A strike that is NaN in either is left out of both.

    Returns
    -------
    Shift
        ``w1`` the 1-Wasserstein distance of the normalised distributions, ``signed`` the change of the centroid,
        ``directionality`` their ratio. All NaN when a total is zero; ``w1`` 0 for a single strike.
    """
    k = as_strikes(strikes)
    w1, signed = wasserstein_kernel(k, as_units(before, k.size, "before"), as_units(after, k.size, "after"))
    return Shift(w1, signed, signed / w1 if w1 > 0 else math.nan)


def transport_shift(strikes: Any, before: Any, after: Any, reach: float | None = None) -> Transport:
    """Explain a change of OI by relocation, creation and destruction at least total cost.

    Minimises sum h_i |x_i| + L (sum created + sum destroyed) subject to
    b_i - a_i = x_{i-1} - x_i + created_i - destroyed_i. Among equal costs the least is created; among those the
    flows lie leftmost.

    Parameters
    ----------
    strikes : array_like, shape (n,)
        Ascending, points.
    before, after : array_like of int, shape (n,)
        Units. A strike that is NaN in either is left out (neither created nor destroyed there).
    reach : float, optional
        2L in points, the longest trip worth making; default 5 modal strike steps. ``inf`` gives pure transport.

    Returns
    -------
    Transport
        Exact: created, destroyed and flow are int64 and satisfy the constraint to the unit.

    Raises
    ------
    BadData
        For a reach that is not above zero.
    """
    if reach is not None and not reach > 0:
        raise BadData(f"reach must be above 0 points, was {reach!r}")
    k = np.asarray(strikes)
    a = np.asarray(before)
    b = np.asarray(after)
    least = 0
    if not (k.dtype == np.float64 and a.dtype == np.int64 and b.dtype == np.int64 and k.ndim == a.ndim == b.ndim == 1):
        k, a, b = _checked(strikes, before, after)
        least = UNKNOWN
    far = math.nan if reach is None else float(reach)
    sound, *found = transport_call(k, a, b, least, far, DEFAULT_STEPS)
    if not sound:
        _checked(strikes, before, after)
    return Transport(*found)


def _checked(strikes: Any, before: Any, after: Any) -> tuple[Floats, Ints, Ints]:
    k = as_strikes(strikes)
    return k, as_units(before, k.size, "before"), as_units(after, k.size, "after")


@kernel
def transport_call(
    k: Floats, a: Ints, b: Ints, least: int, reach: float, steps: float
) -> tuple[bool, float, Ints, Ints, Ints, float, float]:
    """Check, allocate and solve in one call: what a caller pays is mostly the crossing into compiled code.

    The first element is False when the input is not what it must be: lengths, order, figures below ``least``.
    """
    n = k.size
    created = np.zeros(n, dtype=np.int64)
    destroyed = np.zeros(n, dtype=np.int64)
    flow = np.zeros(max(n - 1, 0), dtype=np.int64)
    sound = a.size == n and b.size == n
    if sound:
        for i in range(n):
            if a[i] < least or b[i] < least or not math.isfinite(k[i]) or (i > 0 and not k[i] > k[i - 1]):
                sound = False
    if not sound:
        return False, math.nan, created, destroyed, flow, math.nan, math.nan
    far = default_reach(k, steps) if math.isnan(reach) else reach
    cost, right, left = transport_kernel(k, a, b, far, created, destroyed, flow)
    return True, cost, created, destroyed, flow, right, left


@kernel
def transport_cases(k: Floats, before: Ints, after: Ints, reach: float) -> tuple[Floats, Ints, Ints, Ints]:
    """Solve many cases over the same strikes: costs (m,), created and destroyed (m, n), flows (m, n - 1)."""
    m, n = before.shape
    cost = np.empty(m)
    created = np.empty((m, n), dtype=np.int64)
    destroyed = np.empty((m, n), dtype=np.int64)
    flow = np.empty((m, max(n - 1, 0)), dtype=np.int64)
    for j in range(m):
        cost[j], _, _ = transport_kernel(k, before[j], after[j], reach, created[j], destroyed[j], flow[j])
    return cost, created, destroyed, flow


@kernel
def default_reach(k: Floats, steps: float) -> float:
    """So many modal strike steps in points; 1 for a single strike, where it matters to nothing but the cost."""
    return steps * modal_step_kernel(k) if k.size > 1 else 1.0


@kernel
def wasserstein_kernel(k: Floats, a: Ints, b: Ints) -> tuple[float, float]:
    """Return (w1, signed); NaN when either total is zero."""
    n = k.size
    total_a = 0
    total_b = 0
    for i in range(n):
        if a[i] >= 0 and b[i] >= 0:
            total_a += a[i]
            total_b += b[i]
    if total_a == 0 or total_b == 0:
        return math.nan, math.nan
    share_a = 1.0 / total_a
    share_b = 1.0 / total_b
    w1 = 0.0
    signed = 0.0
    cum_a = 0
    cum_b = 0
    for i in range(n - 1):
        if a[i] >= 0 and b[i] >= 0:
            cum_a += a[i]
            cum_b += b[i]
        gap = (cum_a * share_a - cum_b * share_b) * (k[i + 1] - k[i])
        w1 += abs(gap)
        signed += gap
    return w1, signed


@kernel
def transport_kernel(
    k: Floats, a: Ints, b: Ints, reach: float, created: Ints, destroyed: Ints, flow: Ints
) -> tuple[float, float, float]:
    """Fill created, destroyed and flow; return cost, work moved right, work moved left.

    The change at a strike unknown on either side counts as zero. Long: forward pass, backward pass and the sums
    share the same arrays.
    """
    n = k.size
    if n == 0:
        return 0.0, 0.0, 0.0
    first = -1
    last = -1
    for i in range(n):
        created[i] = 0
        destroyed[i] = 0
        if a[i] >= 0 and b[i] >= 0 and a[i] != b[i]:
            last = i
            if first < 0:
                first = i
    for i in range(n - 1):
        flow[i] = 0
    if first < 0:
        return 0.0, 0.0, 0.0
    # outside the strikes that changed nothing can be worth creating or moving
    end = last + 1
    return transport_window(
        k[first:end], a[first:end], b[first:end], reach, created[first:end], destroyed[first:end], flow[first:last]
    )


@kernel
def transport_window(
    k: Floats, a: Ints, b: Ints, reach: float, created: Ints, destroyed: Ints, flow: Ints
) -> tuple[float, float, float]:
    """Solve between the first and the last strike that changed; see :func:`transport_kernel`."""
    n = k.size
    lo = np.empty(n, dtype=np.int64)
    hi = np.empty(n, dtype=np.int64)
    cum = np.empty(n, dtype=np.int64)
    run = 0
    for i in range(n):
        if a[i] >= 0 and b[i] >= 0:
            run += b[i] - a[i]
        cum[i] = run
    narrow = math.inf
    for i in range(n - 1):
        narrow = min(narrow, k[i + 1] - k[i])
    # beyond the whole width every trip is worth making: a larger clip changes no solution and costs exactness
    near = min(reach, 4.0 * (k[n - 1] - k[0]))
    clip = TIE * 50.0 * near + 1.0
    if n > 1:
        if near / narrow < SMALL - 4:
            clip_sorted(k, cum, clip, lo, hi)
        else:
            clip_heaps(k, cum, clip, lo, hi)
    u = cum[n - 1]
    right = 0.0
    left = 0.0
    made = 0
    gone = 0
    for i in range(n - 1, -1, -1):
        if i == 0:
            below = 0
        else:
            below = min(max(u, lo[i - 1]), hi[i - 1])
        net = u - below
        if net > 0:
            created[i] = net
            made += net
        elif net < 0:
            destroyed[i] = -net
            gone -= net
        if i > 0:
            x = below - cum[i - 1]
            flow[i - 1] = x
            if x > 0:
                right += x * (k[i] - k[i - 1])
            else:
                left -= x * (k[i] - k[i - 1])
        u = below
    price = 0.5 * reach * (made + gone) if made + gone > 0 else 0.0
    return right + left + price, right, left


@kernel
def clip_sorted(k: Floats, cum: Ints, clip: float, lo: Ints, hi: Ints) -> None:
    """Forward pass with the live breakpoints in a sorted array: O(n) while few are alive (short reach)."""
    n = k.size
    room = n + SMALL + 2
    pos = np.empty(2 * room, dtype=np.int64)
    weight = np.empty(2 * room)
    first = room
    end = room + 1
    pos[first] = 0
    weight[first] = 2.0 * clip
    for i in range(n - 1):
        h = TIE * 100.0 * (k[i + 1] - k[i])
        g = cum[i]
        j = end
        if end == 2 * room or first == 0:
            live = end - first
            start = room - live // 2
            if start > first:
                for t in range(live - 1, -1, -1):
                    pos[start + t] = pos[first + t]
                    weight[start + t] = weight[first + t]
            else:
                for t in range(live):
                    pos[start + t] = pos[first + t]
                    weight[start + t] = weight[first + t]
            first = start
            end = start + live
            j = end
        while j > first and pos[j - 1] > g:
            pos[j] = pos[j - 1]
            weight[j] = weight[j - 1]
            j -= 1
        pos[j] = g
        weight[j] = 2.0 * h
        end += 1
        rest = h
        while weight[first] < rest:
            rest -= weight[first]
            first += 1
        lo[i] = pos[first]
        weight[first] -= rest
        if weight[first] == 0.0:
            first += 1
        rest = h
        while weight[end - 1] < rest:
            rest -= weight[end - 1]
            end -= 1
        weight[end - 1] -= rest
        if weight[end - 1] == 0.0:
            end -= 1
        hi[i] = pos[end - 1]


@kernel
def clip_heaps(k: Floats, cum: Ints, clip: float, lo: Ints, hi: Ints) -> None:
    """Forward pass with two heaps over the same breakpoints (weight 0 is dead): O(n log n) at any reach."""
    n = k.size
    weight = np.empty(n)
    pos = np.empty(n, dtype=np.int64)
    small = np.empty(n, dtype=np.int64)
    large = np.empty(n, dtype=np.int64)
    pos[0] = 0
    weight[0] = 2.0 * clip
    small[0] = 0
    large[0] = 0
    smalls = 1
    larges = 1
    for i in range(n - 1):
        h = TIE * 100.0 * (k[i + 1] - k[i])
        node = i + 1
        pos[node] = cum[i]
        weight[node] = 2.0 * h
        smalls = heap_push(small, smalls, pos, node, 1)
        larges = heap_push(large, larges, pos, node, -1)
        rest = h
        while weight[small[0]] < rest:
            rest -= weight[small[0]]
            weight[small[0]] = 0.0
            smalls = heap_pop(small, smalls, pos, 1)
        lo[i] = pos[small[0]]
        weight[small[0]] -= rest
        while weight[small[0]] == 0.0:
            smalls = heap_pop(small, smalls, pos, 1)
        rest = h
        while weight[large[0]] < rest:
            rest -= weight[large[0]]
            weight[large[0]] = 0.0
            larges = heap_pop(large, larges, pos, -1)
        weight[large[0]] -= rest
        while weight[large[0]] == 0.0:
            larges = heap_pop(large, larges, pos, -1)
        hi[i] = pos[large[0]]
        while weight[small[0]] == 0.0:
            smalls = heap_pop(small, smalls, pos, 1)


@kernel
def heap_push(heap: Ints, size: int, pos: Ints, node: int, sign: int) -> int:
    """Push ``node`` on a binary heap of nodes ordered by ``sign * pos``; return the new size."""
    at = size
    key = sign * pos[node]
    while at > 0:
        up = (at - 1) // 2
        if sign * pos[heap[up]] <= key:
            break
        heap[at] = heap[up]
        at = up
    heap[at] = node
    return size + 1


@kernel
def heap_pop(heap: Ints, size: int, pos: Ints, sign: int) -> int:
    """Drop the first node; return the new size."""
    last = heap[size - 1]
    size -= 1
    key = sign * pos[last]
    at = 0
    while True:
        down = 2 * at + 1
        if down >= size:
            break
        if down + 1 < size and sign * pos[heap[down + 1]] < sign * pos[heap[down]]:
            down += 1
        if sign * pos[heap[down]] >= key:
            break
        heap[at] = heap[down]
        at = down
    heap[at] = last
    return size
