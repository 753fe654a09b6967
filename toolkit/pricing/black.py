"""Price and Greeks of European options: Black-76 and Black-Scholes-Merton."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from toolkit.errors import BadData
from toolkit.pricing import kernels, parallel, rows
from toolkit.pricing.arrays import BLOCK_FROM, check_scalars, columns, hand_back, outputs, pack
from toolkit.pricing.direct import ABSENT, KNOWN, Entry, closed, direct, greeks_entry, price_entry

__all__ = ["Greeks", "Greeks2", "PriceGreeks", "greeks", "greeks2", "model_flag", "price", "price_greeks"]

_NAMES: Final = ("cp", "forward", "strike", "tte", "iv", "rate", "dividend")
_MODELS: Final = {"black76": False, "bsm": True}
_UNUSED: Final = np.empty(0)
_PRICE: Final = ("price",)
_new: Final = tuple.__new__
_array: Final = np.ndarray
_empty: Final = np.empty


class Greeks(NamedTuple):
    """First-order Greeks and gamma: theta per year as time passes, vega per 1.00 of vol."""

    delta: Any
    gamma: Any
    vega: Any
    theta: Any
    rho: Any


class PriceGreeks(NamedTuple):
    """Price and :class:`Greeks` of one pass."""

    price: Any
    delta: Any
    gamma: Any
    vega: Any
    theta: Any
    rho: Any


class Greeks2(NamedTuple):
    """Higher Greeks; charm and color as time passes (-d/dtte), per year."""

    vanna: Any
    volga: Any
    charm: Any
    speed: Any
    zomma: Any
    color: Any


def model_flag(model: str, dividend: Any) -> bool:
    """Whether the second argument is a spot (``bsm``) and not a forward.

    Raises
    ------
    BadData
        For an unknown model, or a dividend yield given to ``black76``.
    """
    if model not in _MODELS:
        raise BadData(f"model must be black76 or bsm, was {model!r}")
    bsm = _MODELS[model]
    if not bsm and (dividend != 0.0 if type(dividend) is float else np.any(np.asarray(dividend) != 0.0)):
        raise BadData("dividend belongs to model='bsm'; with black76 it is already in the forward")
    return bsm


def price(
    cp: Any,
    forward: Any,
    strike: Any,
    tte: Any,
    iv: Any,
    rate: Any = ABSENT,
    *,
    model: str = "black76",
    dividend: Any = ABSENT,
    threads: int = 1,
    out: Any = None,
) -> Any:
    """Price European options.

    Parameters
    ----------
    cp : int or str, or array of either
        +1 or "CE"/"C" for a call, -1 or "PE"/"P" for a put, any case.
    forward, strike : float or array
        Rupees (points); with ``model="bsm"`` the second argument is the spot.
    tte : float or array
        Years (ACT/365).
    iv : float or array
        Volatility per square root of a year, 0.12 for 12 %.
    rate, dividend : float or array
        Continuous, per year; ``dividend`` only with ``model="bsm"``.
    model : {"black76", "bsm"}
    threads : int
        Slices of large inputs run on this many threads; the result is the same to the last bit.
    out : ndarray, optional
        Writable float64 array of the broadcast shape; it may be one of the inputs.

    Returns
    -------
    float or ndarray
        Rupees, by NumPy broadcasting; scalars give a float. NaN in gives NaN out; no time or no vol gives
        discounted intrinsic value, an infinite vol or tte the upper bound.

    Raises
    ------
    BadData
        For scalars outside the domain (negative strike, forward, tte or iv); in arrays such rows are NaN.

    Notes
    -----
    Error against 70-digit arithmetic on the reference table (K/F from 1e-3 to 1e3, one second to ten years,
    vol 0.1 % to 1000 %, prices down to 1e-270): at most 2 times what rounding the inputs to doubles costs.
    ``toolkit bench pricing`` prints the cost an option. Black (1976); the difference of normal tails is
    taken as a difference of Mills ratios, for small total vol by the odd derivatives of the Mills ratio.
    """
    if out is None and threads == 1 and model == "black76" and dividend is ABSENT and type(strike) is _array:
        to = _empty(strike.shape)
        sign = float(cp) if type(cp) is int else cp
        if price_entry.call(KNOWN, sign, forward, strike, tte, iv, rate, ABSENT, False, to) > 0:
            return to
    values = (cp, forward, strike, tte, iv, rate, dividend)
    return _run(price_entry, rows.price_rows, _PRICE, values, model, threads, out)


def greeks(
    cp: Any,
    forward: Any,
    strike: Any,
    tte: Any,
    iv: Any,
    rate: Any = ABSENT,
    *,
    model: str = "black76",
    dividend: Any = ABSENT,
    threads: int = 1,
    out: Any = None,
) -> Greeks:
    """Compute delta, gamma, vega (per 1.00), theta (per year) and rho; arguments as for :func:`price`.

    ``delta`` and ``gamma`` are by the forward (``black76``) or the spot (``bsm``). ``rho`` holds the
    forward fixed under ``black76`` (it is ``-tte * price``) and the spot fixed under ``bsm``.
    ``out`` is a sequence of five arrays. With no time or no vol: the limits; at the money delta is half
    its range and gamma infinite. Error on the reference table: each within 1e-14 of its natural scale
    (delta: the discount factor; vega: df F sqrt(tte); gamma: df / (F s); theta: df F iv / sqrt(tte)).
    """
    if out is None and threads == 1 and model == "black76" and dividend is ABSENT and type(strike) is _array:
        n = strike.size
        to = (_empty(n), _empty(n), _empty(n), _empty(n), _empty(n)) if n < BLOCK_FROM else columns(5, n)
        sign = float(cp) if type(cp) is int else cp
        if greeks_entry.call(KNOWN, sign, forward, strike, tte, iv, rate, ABSENT, False, (_UNUSED, *to)) > 0:
            return _new(Greeks, to)
    values = (cp, forward, strike, tte, iv, rate, dividend)
    return _new(Greeks, _run(greeks_entry, rows.greeks_rows, Greeks._fields, values, model, threads, out))


def price_greeks(
    cp: Any,
    forward: Any,
    strike: Any,
    tte: Any,
    iv: Any,
    rate: Any = ABSENT,
    *,
    model: str = "black76",
    dividend: Any = ABSENT,
    threads: int = 1,
    out: Any = None,
) -> PriceGreeks:
    """Compute the price and the five Greeks of :func:`greeks` in one pass, cheaper than two calls.

    ``out`` is a sequence of six arrays; without it, large results share one block of memory, kept as long
    as any of them.
    """
    if threads == 1 and model == "black76" and dividend is ABSENT and type(strike) is _array:
        if out is None:
            n = strike.size
            to = (_empty(n), _empty(n), _empty(n), _empty(n), _empty(n), _empty(n)) if n < BLOCK_FROM else columns(6, n)
        else:
            to = tuple(out) if isinstance(out, list) else out
        sign = float(cp) if type(cp) is int else cp
        if greeks_entry.call(KNOWN, sign, forward, strike, tte, iv, rate, ABSENT, False, to) > 0:
            return _new(PriceGreeks, to)
    values = (cp, forward, strike, tte, iv, rate, dividend)
    return _new(PriceGreeks, _run(greeks_entry, rows.greeks_rows, PriceGreeks._fields, values, model, threads, out))


def greeks2(
    cp: Any,
    forward: Any,
    strike: Any,
    tte: Any,
    iv: Any,
    rate: Any = ABSENT,
    *,
    model: str = "black76",
    dividend: Any = ABSENT,
    threads: int = 1,
    out: Any = None,
) -> Greeks2:
    """Compute vanna, volga, charm, speed, zomma and color; arguments as for :func:`price`.

    Charm and color are the change of delta and gamma as time passes (-d/dtte), per year.
    ``out`` is a sequence of six arrays. Error on the reference table: each within 1e-11 relative.
    """
    values = (cp, forward, strike, tte, iv, rate, dividend)
    return Greeks2(*_run(None, kernels.greeks2_rows, Greeks2._fields, values, model, threads, out))


def _run(
    entry: Entry | None,
    kernel: Callable[..., None],
    names: tuple[str, ...],
    values: tuple[Any, ...],
    model: str,
    threads: int,
    out: Any,
) -> Any:
    dividend = values[6]
    bsm = False if dividend is ABSENT and model == "black76" else model_flag(model, dividend)
    half = names is Greeks._fields
    if entry is not None and parallel.alone(threads, values[2]):
        found = direct(entry, values, values[2], bsm, out, half)
        if found is not None:
            return found
    packed, shape, n = pack(_NAMES, values)
    if not shape:
        check_scalars(_NAMES, packed)
    to, given = outputs(names, out, shape, n, packed)
    whole = [_UNUSED, *to] if half else to
    parallel.run(closed(kernel, len(whole)), (*packed, bsm), whole, n, threads)
    return hand_back(out, to, given, shape)
