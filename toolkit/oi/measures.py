"""Price-based columns of the levels: straddle, skew, gamma and delta exposure, burst by burst."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from toolkit.oi.arrays import Floats, Ints
from toolkit.oi.columns import LEVELS
from toolkit.oi.config import OIConfig
from toolkit.oi.gamma import SIGNS, delta_kernel, filled, gex_kernel, roots_kernel
from toolkit.oi.jit import kernel
from toolkit.oi.premium import skew_kernel, straddle_kernel

if TYPE_CHECKING:
    from toolkit.oi.core import ExpiryCore, Rows

__all__ = ["fill_prices"]

L_SPOT: Final = LEVELS.index("spot")
L_FORWARD: Final = LEVELS.index("forward")
L_STRADDLE: Final = LEVELS.index("straddle")
L_ATM: Final = LEVELS.index("atm_iv")
L_SKEW: Final = LEVELS.index("skew")
L_GEX: Final = LEVELS.index("gex")
L_ZERO: Final = LEVELS.index("zero_gamma")
L_DELTA: Final = LEVELS.index("ce_delta_oi")
L_GROSS: Final = LEVELS.index("gex_gross")
L_TRAPPED: Final = LEVELS.index("ce_trapped")
DAY_NS: Final = 86_400_000_000_000
IST_NS: Final = 19_800_000_000_000
SPAN: Final = 0.10
POINTS: Final = 201


def fill_prices(
    core: ExpiryCore, ts_ns: Ints, rows: Rows, price: Floats, iv: Floats, tte: Floats, config: OIConfig
) -> None:
    """Fill the price-based columns of T bursts in place.

    ``price iv`` (T, 2, n), NaN unknown; ``tte`` (T,) years. ``core`` carries the straddle followed since the
    day's first burst and the entries of the day's opened contracts.
    """
    signs = SIGNS[config.gex_signs]
    price_rows(
        core.strikes_p / 100.0,
        ts_ns,
        rows.effective,
        price,
        iv,
        tte,
        signs[0],
        signs[1],
        config.zero_gamma_days / 365.0,
        core.followed,
        core.held_oi,
        core.entries,
        rows.levels,
    )


@kernel
def price_rows(
    k: Floats,
    ts: Ints,
    effective: Ints,
    price: Floats,
    iv: Floats,
    tte: Floats,
    call_sign: float,
    put_sign: float,
    zero_within: float,
    followed: Floats,
    held_oi: Ints,
    entries: Floats,
    levels: Floats,
) -> None:
    """Kernel of :func:`fill_prices`: ``followed`` (day, strike), ``held_oi`` (2, n) OI when entries were last
    counted, ``entries`` (2, 2, n) units opened today and their premium in rupees. Long: one sweep over T."""
    n = k.size
    kc = np.empty(n)
    oi = np.empty((2, n), dtype=np.int64)
    px = np.empty((2, n))
    vol = np.empty((2, n))
    by = np.empty(n)
    for t in range(levels.shape[0]):
        row = levels[t]
        day = float((ts[t] + IST_NS) // DAY_NS)
        if followed[0] != day:
            followed[0] = day
            followed[1] = math.nan
            entries[:] = 0.0
            held_oi[:] = -1
        trap(effective[t], price[t], held_oi, entries, row)
        forward = row[L_FORWARD]
        m = 0
        for i in range(n):
            if effective[t, 0, i] >= 0 or effective[t, 1, i] >= 0:
                kc[m] = k[i]
                for s in range(2):
                    oi[s, m] = effective[t, s, i]
                    px[s, m] = price[t, s, i]
                    vol[s, m] = iv[t, s, i]
                m += 1
        ks = kc[:m]
        cost, at = straddle_kernel(ks, px[0, :m], px[1, :m], forward)
        row[L_STRADDLE] = cost
        row[L_STRADDLE + 1] = at
        row[L_STRADDLE + 2] = 100.0 * cost / forward
        if math.isnan(followed[1]):
            followed[1] = at
        row[L_STRADDLE + 3] = math.nan
        for i in range(m):
            if ks[i] == followed[1]:
                row[L_STRADDLE + 3] = px[0, i] + px[1, i]
        reversal, atm, _ = skew_kernel(ks, vol[0, :m], vol[1, :m], forward, tte[t])
        row[L_ATM] = atm
        row[L_SKEW] = reversal
        civ = filled(ks, vol[0, :m])
        piv = filled(ks, vol[1, :m])
        row[L_GEX] = math.nan
        row[L_ZERO] = math.nan
        row[L_DELTA], row[L_DELTA + 1] = math.nan, math.nan
        if m == 0 or math.isnan(civ[0]) or math.isnan(piv[0]) or not tte[t] > 0.0:
            continue
        level = row[L_SPOT] if not math.isnan(row[L_SPOT]) else forward
        row[L_GEX] = gex_kernel(ks, oi[0, :m], oi[1, :m], civ, piv, level, tte[t], call_sign, put_sign, by)
        row[L_DELTA], row[L_DELTA + 1] = delta_kernel(ks, oi[0, :m], oi[1, :m], civ, piv, forward, tte[t])
        gross = 0.0
        for i in range(m):
            gross += abs(by[i])
        row[L_GROSS] = gross
        if tte[t] <= zero_within:
            # a grid step of a quarter of the narrowest bell resolves what the full grid does
            finest = 0.25 * min(civ.min(), piv.min()) * math.sqrt(tte[t])
            points = int(min(max(2.0 * SPAN / finest, 33.0), POINTS - 1.0)) + 1
            roots = roots_kernel(
                ks, oi[0, :m], oi[1, :m], civ, piv, level, tte[t], call_sign, put_sign, SPAN, points, True
            )
            if roots.size:
                row[L_ZERO] = roots[0]


@kernel
def trap(now: Ints, price: Floats, held_oi: Ints, entries: Floats, row: Floats) -> None:
    """Count the contracts opened today at the premium of their burst, and what their writers are under water.

    Publishes rupees (sum of units times premium above the average entry) and the share of the opened units that
    are under water. The entry is an estimate: open interest is published minutes late.
    """
    for s in range(2):
        pain = 0.0
        deep = 0.0
        opened = 0.0
        for i in range(now.shape[1]):
            v = now[s, i]
            if v < 0:
                continue
            px = price[s, i]
            change = v - held_oi[s, i] if held_oi[s, i] >= 0 else 0
            if change > 0 and px > 0.0:
                entries[0, s, i] += change
                entries[1, s, i] += change * px
            elif change < 0 and entries[0, s, i] > 0.0:
                left = max(entries[0, s, i] + change, 0.0) / entries[0, s, i]
                entries[0, s, i] *= left
                entries[1, s, i] *= left
            held_oi[s, i] = v
            units = entries[0, s, i]
            if units > 0.0 and px > 0.0:
                opened += units
                under = units * px - entries[1, s, i]
                if under > 0.0:
                    pain += under
                    deep += units
        row[L_TRAPPED + s] = pain if opened > 0.0 else math.nan
        row[L_TRAPPED + 2 + s] = deep / opened if opened > 0.0 else math.nan
