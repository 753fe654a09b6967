"""Price and Greeks of European options: Black-76 and Black-Scholes-Merton."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from toolkit.errors import BadData
from toolkit.pricing import kernels, parallel
from toolkit.pricing.arrays import Floats, option_sign, outputs, pack

__all__ = ["Greeks", "Greeks2", "greeks", "greeks2", "model_flag", "price"]

_NAMES: Final = ("cp", "forward", "strike", "tte", "iv", "rate", "dividend")
_MODELS: Final = {"black76": False, "bsm": True}


class Greeks(NamedTuple):
    """First-order Greeks and gamma: theta per year as time passes, vega per 1.00 of vol."""

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
    if not bsm and dividend is not _ZERO and np.any(np.asarray(dividend) != 0.0):
        raise BadData("dividend belongs to model='bsm'; with black76 it is already in the forward")
    return bsm


_ZERO: Final = 0.0


def price(
    cp: Any,
    forward: Any,
    strike: Any,
    tte: Any,
    iv: Any,
    rate: Any = 0.0,
    *,
    model: str = "black76",
    dividend: Any = 0.0,
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
        Writable float64 array of the broadcast shape.

    Returns
    -------
    float or ndarray
        Rupees, by NumPy broadcasting; scalars give a float.

    Raises
    ------
    BadData
        For scalars outside the domain (negative strike, forward, tte or iv); in arrays such rows are NaN.
    """
    return _run(kernels.price_rows, 1, ("price",), cp, forward, strike, tte, iv, rate, model, dividend, threads, out)


def greeks(
    cp: Any,
    forward: Any,
    strike: Any,
    tte: Any,
    iv: Any,
    rate: Any = 0.0,
    *,
    model: str = "black76",
    dividend: Any = 0.0,
    threads: int = 1,
    out: Any = None,
) -> Greeks:
    """Compute delta, gamma, vega (per 1.00), theta (per year) and rho; arguments as for :func:`price`.

    ``delta`` and ``gamma`` are by the forward (``black76``) or the spot (``bsm``). ``rho`` holds the
    forward fixed under ``black76`` (it is ``-tte * price``) and the spot fixed under ``bsm``.
    ``out`` is a sequence of five arrays.
    """
    names = Greeks._fields
    return Greeks(
        *_run(kernels.greeks_rows, 5, names, cp, forward, strike, tte, iv, rate, model, dividend, threads, out)
    )


def greeks2(
    cp: Any,
    forward: Any,
    strike: Any,
    tte: Any,
    iv: Any,
    rate: Any = 0.0,
    *,
    model: str = "black76",
    dividend: Any = 0.0,
    threads: int = 1,
    out: Any = None,
) -> Greeks2:
    """Compute vanna, volga, charm, speed, zomma and color; arguments as for :func:`price`.

    Charm and color are the change of delta and gamma as time passes (-d/dtte), per year.
    ``out`` is a sequence of six arrays.
    """
    names = Greeks2._fields
    return Greeks2(
        *_run(kernels.greeks2_rows, 6, names, cp, forward, strike, tte, iv, rate, model, dividend, threads, out)
    )


def _run(
    kernel: Callable[..., None],
    count: int,
    names: tuple[str, ...],
    cp: Any,
    forward: Any,
    strike: Any,
    tte: Any,
    iv: Any,
    rate: Any,
    model: str,
    dividend: Any,
    threads: int,
    out: Any,
) -> Any:
    bsm = model_flag(model, dividend)
    values = (option_sign(cp), forward, strike, tte, iv, rate, dividend)
    rows, mask, shape, n = pack(_NAMES, values)
    if not shape:
        check_scalars(_NAMES, rows)
    to, given = outputs(count, names, out, shape, n)
    parallel.run(lambda start, stop: kernel(*rows, mask, bsm, start, stop, *to), n, threads)
    return hand_back(count, out, to, given, shape)


def check_scalars(names: tuple[str, ...], rows: list[Floats]) -> None:
    """Refuse scalars outside the domain; NaN passes.

    Raises
    ------
    BadData
        Naming the argument and its value.
    """
    for name, row in zip(names, rows, strict=True):
        value = row[0]
        if name == "cp" and not (value * value == 1.0 or value != value):
            raise BadData(f"cp must be +1, -1, CE, PE, C or P, was {value:g}")
        if value < 0.0 and name in ("forward", "strike", "tte", "iv"):
            raise BadData(f"{name} must not be negative, was {value:g}")


def hand_back(count: int, out: Any, to: list[Floats], given: list[Any], shape: tuple[int, ...]) -> Any:
    """Arrays of the broadcast shape, ``out`` itself where given, floats for scalars."""
    if out is not None:
        for row, array in zip(to, given, strict=True):
            if not array.flags.c_contiguous:
                array[...] = row.reshape(array.shape)
        return out if count == 1 else tuple(given)
    if not shape:
        values = tuple(float(row[0]) for row in to)
        return values[0] if count == 1 else values
    return given[0] if count == 1 else tuple(given)
