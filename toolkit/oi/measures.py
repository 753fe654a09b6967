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
    from toolkit.oi.core import Rows

__all__ = ["fill_prices"]

L_SPOT: Final = LEVELS.index("spot")
L_FORWARD: Final = LEVELS.index("forward")
L_STRADDLE: Final = LEVELS.index("straddle")
L_ATM: Final = LEVELS.index("atm_iv")
L_SKEW: Final = LEVELS.index("skew")
L_GEX: Final = LEVELS.index("gex")
L_ZERO: Final = LEVELS.index("zero_gamma")
L_DELTA: Final = LEVELS.index("ce_delta_oi")
SPAN: Final = 0.10
POINTS: Final = 201


def fill_prices(
    k: Floats,
    rows: Rows,
    price: Floats,
    iv: Floats,
    tte: Floats,
    config: OIConfig,
    open_strike: float,
    zero: bool = True,
) -> float:
    """Fill the price-based columns of T bursts in place.

    ``price iv`` (T, 2, n); ``open_strike`` is the strike of the straddle followed since its first sight (NaN
    before), and its successor is returned. ``zero`` asks for ``zero_gamma``: the root nearest the forward.
    """
    signs = SIGNS[config.gex_signs]
    held = np.array([open_strike])
    price_rows(k, rows.effective, price, iv, tte, signs[0], signs[1], zero, held, rows.levels)
    return float(held[0])


@kernel
def price_rows(
    k: Floats,
    effective: Ints,
    price: Floats,
    iv: Floats,
    tte: Floats,
    call_sign: float,
    put_sign: float,
    zero: bool,
    held: Floats,
    levels: Floats,
) -> None:
    """Kernel of :func:`fill_prices`."""
    n = k.size
    kc = np.empty(n)
    oi = np.empty((2, n), dtype=np.int64)
    px = np.empty((2, n))
    vol = np.empty((2, n))
    by = np.empty(n)
    for t in range(levels.shape[0]):
        row = levels[t]
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
        if math.isnan(held[0]):
            held[0] = at
        row[L_STRADDLE + 3] = math.nan
        for i in range(m):
            if ks[i] == held[0]:
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
        if zero:
            # a grid step of a quarter of the narrowest bell resolves what the full grid does
            finest = 0.25 * min(civ.min(), piv.min()) * math.sqrt(tte[t])
            points = int(min(max(2.0 * SPAN / finest, 33.0), POINTS - 1.0)) + 1
            roots = roots_kernel(
                ks, oi[0, :m], oi[1, :m], civ, piv, level, tte[t], call_sign, put_sign, SPAN, points, True
            )
            if roots.size:
                row[L_ZERO] = roots[0]
