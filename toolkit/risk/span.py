"""The risk array of one contract, and the inputs it is made from.

Exact against the clearing corporation's published arrays when fed its inputs; what turns
arrays into a book's margin is in ``margin.py``.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit import defaults, pricing
from toolkit.errors import BadData
from toolkit.risk.rates import MarginRates

__all__ = [
    "FACTORS",
    "PRICE_MOVES",
    "VOL_MOVES",
    "FiledContract",
    "SpanParams",
    "Spread",
    "composite_delta",
    "default_params",
    "model_value",
    "risk_array",
]

Floats = npt.NDArray[np.float64]

_THIRD: Final = 1.0 / 3.0
PRICE_MOVES: Final = np.array([0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3, 6, -6]) * _THIRD
VOL_MOVES: Final = np.array([1.0, -1.0] * 7 + [0.0, 0.0])
FACTORS: Final = np.array([1.0] * 14 + [0.35, 0.35])
_MOVES_AND_BASE: Final = np.concatenate(([0.0], PRICE_MOVES))
_VOLS_AND_BASE: Final = np.concatenate(([0.0], VOL_MOVES))
_DELTA_MOVES: Final = np.array([0.0, 1, -1, 2, -2, 3, -3]) * _THIRD
_DELTA_WEIGHTS: Final = np.array([0.270, 0.217, 0.217, 0.111, 0.111, 0.037, 0.037])
_AHEAD: Final = 2.0 / 365.0
_TOGETHER: Final = 256
"""Contracts of one pass: their 17 values stay in the cache, and in memory that is not asked of the system anew."""


class FiledContract(msgspec.Struct, frozen=True):
    """What the clearing corporation's file says of one contract, rupees a long unit."""

    losses: tuple[float, ...]
    composite: float
    price: float


class Spread(msgspec.Struct, frozen=True):
    """A calendar spread of the file: the two expiries, rupees a matched unit of composite delta."""

    near: dt.date
    far: dt.date
    rate: float


class SpanParams(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of one underlying and one date. Rates are fractions of notional.

    Parameters
    ----------
    spot, price_scan : float
        Rupees: the index close of the previous session, and the price scan range.
    vol, vol_scan : float
        Fractions; one vol for all strikes and expiries.
    rate : float
        Continuous, a year.
    long_scan, long_from : float
        Price scan range in rupees of options whose ``tte`` exceeds ``long_from`` years; 0 and infinity: none differ.
    exposure_rate, far_rate, far_from : float
        Extreme loss margin of short options and futures; the rate of short options that are out of the money
        by more than ``far_from`` of the spot.
    short_option_rate, expiry_rate, calendar_rate : float
        Short-option minimum, expiry-day addition of short options, calendar-spread charge.
    calendar_on_expiry : bool
        Whether contracts that expire today still offset other expiries.
    delivery : tuple of float
        Share of ``var_rate`` asked of long in-the-money stock options at the strike: today's by sessions left,
        ``delivery[0]`` on expiry day; empty for an index.
    var_rate : float
        VaR and ELM of the share, a fraction; 0 takes the price scan range.
    stock : bool
        Whether the underlying is a share: its contracts are settled by delivery.
    calibrated : bool
        Whether the inputs come from the clearing corporation's file of the day.
    on, source : date, str
        The day they hold for, and where they come from.
    filed : mapping
        The file's own arrays by (expiry, cp, strike in paise); a future is (expiry, 0, 0).
    spreads : tuple of Spread
        The file's calendar spreads in order of priority; without them ``calendar_rate``.
    by_contract : mapping
        Extreme loss margin by (expiry, cp, strike in paise), where a file gives it.
    """

    spot: float
    vol: float
    price_scan: float
    vol_scan: float = 0.04
    rate: float = 0.0
    long_scan: float = 0.0
    long_from: float = math.inf
    exposure_rate: float = 0.02
    far_rate: float = 0.0
    far_from: float = math.inf
    short_option_rate: float = 0.0
    expiry_rate: float = 0.02
    calendar_rate: float = 0.0175
    calendar_on_expiry: bool = False
    delivery: tuple[float, ...] = ()
    var_rate: float = 0.0
    stock: bool = False
    calibrated: bool = False
    on: dt.date | None = None
    source: str = "documented defaults"
    filed: Mapping[tuple[dt.date, int, int], FiledContract] = msgspec.field(default_factory=dict)
    spreads: tuple[Spread, ...] = ()
    by_contract: Mapping[tuple[dt.date, int, int], float] = msgspec.field(default_factory=dict)


def default_params(
    spot: float,
    vol: float,
    rate: float = 0.0,
    *,
    on: dt.date | None = None,
    stock: bool = False,
    rates: MarginRates | None = None,
) -> SpanParams:
    """Make documented parameters from a level, a vol and the dated rates.

    Parameters
    ----------
    spot, vol, rate : float
        Rupees; fractions a year.
    on : date, optional
        The day whose rates hold; default: the newest.
    stock : bool
        Rates of a share instead of an index.
    rates : MarginRates, optional
        Default: the shipped ``data/tables/margins.csv``.

    Notes
    -----
    The price scan range is the larger of a floor (9.3 % for an index, 17.7 % for its options of more
    than nine months, 14.2 % for a share) and 6 sigma scaled by the root of two days; the vol scan
    range a quarter of the vol in whole points, at least 4 (10) points. Both agree with the files of
    4-Jan-2021 and 2-Sep-2025 (13.10 % and 9.3 %; 7 and 4 points) when given the files' vol, which is not
    published elsewhere, so a vol from market prices makes an estimate.

    Raises
    ------
    BadData
        When spot or vol is not a positive finite number, ``rate`` is no fraction, or a rate is not known by ``on``.
    """
    for name, value in (("spot", spot), ("vol", vol)):
        if not (math.isfinite(value) and value > 0.0):
            raise BadData(f"margin parameter {name} must be positive and finite, was {value!r}")
    if not -1.0 < rate < 1.0:
        raise BadData(f"margin parameter rate must be a fraction a year, between -1 and 1, was {rate!r}")
    known: MarginRates = defaults.get("margins") if rates is None else rates
    kind = "stock" if stock else "index"

    def of(item: str, otherwise: float | None = None) -> float:
        return known.rate(item, kind, on, otherwise)

    sigmas = of("price_scan_sigmas") * math.sqrt(of("price_scan_days")) * vol / math.sqrt(365.0)
    steps = (0, 1, 2, 3, 4)
    return SpanParams(
        spot=spot,
        vol=vol,
        rate=rate,
        price_scan=spot * max(of("price_scan_floor"), sigmas),
        long_scan=spot * max(of("price_scan_floor_long", 0.0), sigmas),
        long_from=of("price_scan_long_months", math.inf) / 12.0,
        vol_scan=max(of("vol_scan_floor"), round(of("vol_scan_share") * vol, 2)),
        exposure_rate=of("exposure"),
        far_rate=of("exposure_far", 0.0),
        far_from=of("exposure_far_from", math.inf),
        short_option_rate=of("short_option_minimum"),
        expiry_rate=of("expiry_addon"),
        calendar_rate=of("calendar_spread"),
        calendar_on_expiry=of("calendar_on_expiry") > 0.0,
        delivery=tuple(of(f"delivery_{n}", 0.0) for n in steps) if stock else (),
        stock=stock,
        on=on,
        source="documented rates" if on is None else f"documented rates on {on}",
    )


def risk_array(
    cp: npt.ArrayLike,
    strike: npt.ArrayLike,
    tte: npt.ArrayLike,
    spot: npt.ArrayLike,
    vol: npt.ArrayLike,
    rate: npt.ArrayLike,
    price_scan: npt.ArrayLike,
    vol_scan: npt.ArrayLike,
    settlement: npt.ArrayLike,
) -> Floats:
    """Compute the 16 scenario losses of one long unit.

    Parameters
    ----------
    cp : array
        +1 call, -1 put, 0 future.
    strike, spot, price_scan, settlement : arrays
        Rupees; a future uses neither strike nor settlement.
    tte : array
        Years by the file's rule, (expiry - file date + 1) / 365.
    vol, vol_scan, rate : arrays
        Fractions; one vol for all strikes and expiries.
        All arrays broadcast against each other.

    Returns
    -------
    ndarray, shape (..., 16)
        Loss in rupees, negative is a gain; an option's is at most its settlement price
        (a NaN settlement price caps nothing). A future loses ``-move x price_scan x factor``.

    Notes
    -----
    Black-Scholes, no dividend; base at ``tte``, shocked two calendar days later. At or past
    expiry the shocked value is intrinsic; a vol shocked to zero or below is zero vol (the
    discounted intrinsic value). Nothing is rounded.

    Error: within 0.006 rupees of all 3 072 values of the exchange's files of 4-Jan-2021 and
    2-Sep-2025. Source: the rules measured on those files.
    """
    given = (cp, strike, tte, spot, vol, rate, price_scan, vol_scan, settlement)
    args = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in given))
    rows = [a.reshape(-1, 1) for a in args]
    made = np.empty((len(rows[0]), 16))
    for at in range(0, len(made), _TOGETHER):
        made[at : at + _TOGETHER] = _losses(*(row[at : at + _TOGETHER] for row in rows))
    return made.reshape(*args[0].shape, 16)


def _losses(
    side: Floats, k: Floats, t: Floats, s: Floats, sigma: Floats, r: Floats, scan: Floats, vscan: Floats, cap: Floats
) -> Floats:
    values = _values(side, s + scan * _MOVES_AND_BASE, k, t, sigma + vscan * _VOLS_AND_BASE, r)
    option = np.minimum((values[:, :1] - values[:, 1:]) * FACTORS, np.where(np.isnan(cap), math.inf, cap))
    return np.where(side == 0.0, -scan * PRICE_MOVES * FACTORS, option)


def _values(side: Floats, spot: Floats, k: Floats, t: Floats, vol: Floats, r: Floats) -> Floats:
    """Model values now (first column) and two days later (the others): ``spot`` and ``vol`` are n x 17, the rest n x 1.

    The forward is taken here: a year fraction occurs 16 times a row, and its exponential once.
    """
    now, then = np.maximum(t, 0.0), np.maximum(t - _AHEAD, 0.0)
    cells = np.empty((4, *spot.shape))
    np.maximum(spot, 0.0, out=cells[0])
    cells[0, :, :1] *= np.exp(r * now)
    cells[0, :, 1:] *= np.exp(r * then)
    cells[1] = np.where(side == 0.0, 1.0, k)
    cells[2, :, :1], cells[2, :, 1:] = now, then
    np.maximum(vol, 0.0, out=cells[3])
    signs = np.repeat(np.where(side < 0.0, -1.0, 1.0), spot.shape[1])
    rates = np.repeat(r, spot.shape[1]) if r.any() else 0.0
    forward, strike, years, vols = (row.ravel() for row in cells)
    return np.asarray(pricing.price(signs, forward, strike, years, vols, rates)).reshape(spot.shape)


def composite_delta(
    cp: npt.ArrayLike,
    strike: npt.ArrayLike,
    tte: npt.ArrayLike,
    spot: npt.ArrayLike,
    vol: npt.ArrayLike,
    rate: npt.ArrayLike,
    price_scan: npt.ArrayLike,
) -> Floats:
    """Average the delta over seven prices at base vol and base time; 1 for a future (cp 0).

    Arguments as in :func:`risk_array`, broadcast. Error: within 0.00006 of the composite deltas
    in the exchange's two files.
    """
    given = (cp, strike, tte, spot, vol, rate, price_scan)
    args = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in given))
    side, k, t, s, sigma, r, scan = (a.reshape(-1, 1) for a in args)
    growth = np.exp(r * t)
    forward = (s + scan * _DELTA_MOVES) * growth
    signs, strikes, years, vols = (
        np.repeat(column, forward.shape[1])
        for column in (np.where(side < 0.0, -1.0, 1.0), np.where(side == 0.0, 1.0, k), t, sigma)
    )
    by_forward = np.asarray(pricing.greeks(signs, forward.ravel(), strikes, years, vols).delta)
    delta = by_forward.reshape(forward.shape) @ _DELTA_WEIGHTS
    return np.asarray(np.where(side[:, 0] == 0.0, 1.0, delta).reshape(args[0].shape))


def model_value(
    cp: npt.ArrayLike,
    spot: npt.ArrayLike,
    strike: npt.ArrayLike,
    tte: npt.ArrayLike,
    vol: npt.ArrayLike,
    rate: npt.ArrayLike,
) -> Floats:
    """Black-Scholes value with the edges of :func:`risk_array`; a future (cp 0) is worth nothing here."""
    side = np.asarray(cp, np.float64)
    future = side == 0.0
    model = pricing.price(
        np.where(side < 0.0, -1.0, 1.0),
        np.maximum(spot, 0.0),
        np.where(future, 1.0, strike),
        np.maximum(tte, 0.0),
        np.maximum(vol, 0.0),
        rate,
        model="bsm",
    )
    return np.where(future, 0.0, model)
