"""Implied volatility and implied forward."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from toolkit.pricing import inverse, parallel
from toolkit.pricing.arrays import check_scalars, hand_back, outputs, pack
from toolkit.pricing.black import model_flag

__all__ = ["implied_forward", "implied_vol"]

_NAMES: Final = ("cp", "price", "forward", "strike", "tte", "rate", "dividend")
_NONE: Final = 0.0


def implied_vol(
    cp: Any,
    price: Any,
    forward: Any,
    strike: Any,
    tte: Any,
    rate: Any = 0.0,
    *,
    model: str = "black76",
    dividend: Any = _NONE,
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
    """
    bsm = False if model == "black76" and dividend is _NONE else model_flag(model, dividend)
    rows, mask, shape, n = pack(_NAMES, (cp, price, forward, strike, tte, rate, dividend))
    if out is None and threads == 1 and shape == (n,):
        iv = np.empty(n)
        inverse.implied_rows(*rows, mask, bsm, 0, n, iv)
        return iv
    if not shape:
        check_scalars(_NAMES, rows)
    to, given = outputs(("iv",), out, shape, n)
    parallel.run(inverse.implied_rows, (*rows, mask, bsm), to, n, threads)
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
