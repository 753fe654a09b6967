"""Implied volatility and implied forward."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from toolkit.pricing import inverse, parallel
from toolkit.pricing.arrays import check_scalars, hand_back, outputs, pack
from toolkit.pricing.black import model_flag
from toolkit.pricing.direct import ABSENT, closed, direct, implied_entry

__all__ = ["implied_forward", "implied_vol"]

_NAMES: Final = ("cp", "price", "forward", "strike", "tte", "rate", "dividend")


def implied_vol(
    cp: Any,
    price: Any,
    forward: Any,
    strike: Any,
    tte: Any,
    rate: Any = ABSENT,
    *,
    model: str = "black76",
    dividend: Any = ABSENT,
    threads: int = 1,
    out: Any = None,
) -> Any:
    """Find the volatility that gives ``price``; the other arguments as for :func:`toolkit.pricing.price`.

    Returns
    -------
    float or ndarray
        Volatility per square root of a year. NaN below intrinsic value, above the upper bound and for
        ``tte`` 0; 0 at intrinsic value; inf at the bound.

    Raises
    ------
    BadData
        For scalars outside the domain; in arrays such rows are NaN.

    Notes
    -----
    On the reference table, where one rounding of the price moves the vol by less than 1e-9: at most 8 times
    the attainable error, median 1 (attainable: half a unit in the last place of the price over vega, plus
    half a unit in the last place of the vol). ``toolkit bench pricing`` prints the cost an option.
    With ``model="bsm"`` the same holds while the carry (rate - dividend) * tte is below the total vol;
    beyond it the carry's own rounding dominates. After Jaeckel, "Let's Be Rational"; see
    :mod:`toolkit.pricing.inverse`.
    """
    bsm = False if dividend is ABSENT and model == "black76" else model_flag(model, dividend)
    values = (cp, price, forward, strike, tte, rate, dividend)
    if parallel.alone(threads, price):
        found = direct(implied_entry, values, price, bsm, out)
        if found is not None:
            return found
    rows, shape, n = pack(_NAMES, values)
    if not shape:
        check_scalars(_NAMES, rows)
    to, given = outputs(("iv",), out, shape, n, rows)
    parallel.run(closed(inverse.implied_rows, 1), (*rows, bsm), to, n, threads)
    return hand_back(out, to, given, shape)


def implied_forward(strike: Any, call: Any, put: Any, df: Any = 1.0) -> Any:
    """Forward from put-call parity at each strike: ``strike + (call - put) / df``.

    Parameters
    ----------
    strike, call, put : float or array
        Rupees; call and put prices at the same strike, expiry and moment.
    df : float or array
        Discount factor to the expiry.

    Returns
    -------
    float or ndarray
        By NumPy broadcasting; NaN where a price is NaN. For one robust forward of a chain use
        :func:`toolkit.pricing.parity_forward`.
    """
    spread = np.subtract(np.asarray(call, np.float64), np.asarray(put, np.float64))
    value = np.asarray(strike, np.float64) + spread / np.asarray(df, np.float64)
    return float(value) if np.ndim(value) == 0 else value
