"""SPAN-like margin of option and future positions: 16 scenarios, exposure and add-ons.

The risk array of one contract is exact against the exchange's published arrays when fed the
exchange's inputs; the book around it (calendar spreads, minimums, exposure) is an estimate,
so the parts of :class:`Margin` stay apart and its ``label`` says which it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit import pricing
from toolkit.errors import BadData

__all__ = ["Leg", "Margin", "SpanParams", "composite_delta", "default_params", "risk_array", "span_margin"]

Floats = npt.NDArray[np.float64]

_THIRD: Final = 1.0 / 3.0
PRICE_MOVES: Final = np.array([0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3, 6, -6]) * _THIRD
VOL_MOVES: Final = np.array([1.0, -1.0] * 7 + [0.0, 0.0])
FACTORS: Final = np.array([1.0] * 14 + [0.35, 0.35])
_DELTA_MOVES: Final = np.array([0.0, 1, -1, 2, -2, 3, -3]) * _THIRD
_DELTA_WEIGHTS: Final = np.array([0.270, 0.217, 0.217, 0.111, 0.111, 0.037, 0.037])
_AHEAD: Final = 2.0 / 365.0
_DAY: Final = 1.0 / 365.0


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One position: ``cp`` +1 call, -1 put, 0 future; ``qty`` in units, negative is short.

    ``tte`` in years by the file's rule, (expiry - file date + 1) / 365; ``strike`` in rupees
    (any number for a future); ``mark`` the option's settlement or market price in rupees per
    unit, NaN when unknown.
    """

    underlying: str
    cp: int
    qty: int
    tte: float
    strike: float = 0.0
    mark: float = math.nan


class SpanParams(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of one underlying and one date. Rates are fractions of notional.

    ``price_scan`` in rupees, ``vol_scan`` in vol points as a fraction (0.04). ``calibrated``
    says whether the figures come from the clearing corporation's file of the day.
    """

    spot: float
    vol: float
    price_scan: float
    vol_scan: float = 0.04
    rate: float = 0.0
    exposure_rate: float = 0.02
    short_option_rate: float = 0.03
    expiry_rate: float = 0.02
    calendar_rate: float = 0.0175
    calibrated: bool = False
    source: str = "documented defaults"


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """A margin figure with its parts, rupees.

    ``span`` = max(``scan`` + ``calendar``, ``short_option_minimum``) - ``net_option_value``, at
    least 0, by underlying; ``total`` = span + exposure + expiry_addon. ``premium`` is what the
    long options are worth: paid upfront in cash, shown and not added.
    """

    scan: float = 0.0
    calendar: float = 0.0
    short_option_minimum: float = 0.0
    net_option_value: float = 0.0
    span: float = 0.0
    exposure: float = 0.0
    expiry_addon: float = 0.0
    premium: float = 0.0
    total: float = 0.0
    scenario: int = 0
    label: str = "SPAN-like estimate, uncalibrated"


def default_params(spot: float, vol: float, rate: float = 0.0) -> SpanParams:
    """Make documented default parameters for an index.

    The price scan range is the larger of 9.3 % of the underlying (the floor seen in the file of
    2-Sep-2025) and 6 x sqrt(2) x vol / sqrt(365) (seen on 4-Jan-2021); vol scan 4 points.

    Raises
    ------
    BadData
        When spot or vol is not a positive finite number.
    """
    for name, value in (("spot", spot), ("vol", vol)):
        if not (math.isfinite(value) and value > 0.0):
            raise BadData(f"margin parameter {name} must be positive and finite, was {value!r}")
    scan = spot * max(0.093, 6.0 * math.sqrt(2.0) * vol / math.sqrt(365.0))
    return SpanParams(spot=spot, vol=vol, price_scan=scan, rate=rate)


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
    args = _spread(cp, strike, tte, spot, vol, rate, price_scan, vol_scan, settlement)
    side, k, t, s, sigma, r, scan, vscan, cap = (a[..., None] for a in args)
    moves = scan * PRICE_MOVES
    base = _value(side, s, k, t, sigma, r)
    shocked = _value(side, s + moves, k, t - _AHEAD, sigma + vscan * VOL_MOVES, r)
    option = np.fmin((base - shocked) * FACTORS, cap)
    return np.asarray(np.where(side == 0.0, -moves * FACTORS, option))


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
    args = _spread(cp, strike, tte, spot, vol, rate, price_scan)
    side, k, t, s, sigma, r, scan = (a[..., None] for a in args)
    prices = s + scan * _DELTA_MOVES
    delta = pricing.greeks(np.where(side < 0.0, -1.0, 1.0), prices, k, t, sigma, r, model="bsm").delta
    return np.asarray(np.where(side[..., 0] == 0.0, 1.0, np.sum(delta * _DELTA_WEIGHTS, axis=-1)))


def span_margin(positions: Sequence[Leg], params: SpanParams | Mapping[str, SpanParams]) -> Margin:
    """Estimate the margin of a book.

    Parameters
    ----------
    positions : sequence of Leg
        Legs of any underlyings; several legs of one contract add up.
    params : SpanParams or mapping by underlying
        One set for a book of one underlying, else one set an underlying.

    Returns
    -------
    Margin
        Sums over the underlyings; no benefit between underlyings.

    Raises
    ------
    BadData
        When an underlying has no parameters.
    """
    total = Margin()
    for underlying in sorted({leg.underlying for leg in positions}):
        known = params if isinstance(params, SpanParams) else params.get(underlying)
        if known is None:
            raise BadData(f"no margin parameters for {underlying}; give spot, vol and scan ranges")
        total = _add(total, _one([leg for leg in positions if leg.underlying == underlying], known))
    return total


def _one(legs: Sequence[Leg], p: SpanParams) -> Margin:
    cp = np.array([leg.cp for leg in legs], np.float64)
    qty = np.array([leg.qty for leg in legs], np.float64)
    tte = np.array([leg.tte for leg in legs])
    strike = np.array([leg.strike for leg in legs])
    mark = np.array([leg.mark for leg in legs])
    losses = risk_array(cp, strike, tte, p.spot, p.vol, p.rate, p.price_scan, p.vol_scan, mark) * qty[:, None]
    expiring = tte < 1.5 * _DAY
    by_scenario = losses[~expiring].sum(axis=0), losses[expiring].sum(axis=0)
    scan = sum(max(0.0, float(part.max())) for part in by_scenario)
    option = cp != 0.0
    value = np.where(np.isnan(mark), _value(cp, np.full_like(cp, p.spot), strike, tte, p.vol, p.rate), mark)
    long_value = np.where(np.isnan(mark), 0.0, value)
    nov = float(np.sum(np.where(option, np.where(qty > 0, long_value, value) * qty, 0.0)))
    short = np.where(option & (qty < 0), -qty, 0.0) * p.spot
    minimum = p.short_option_rate * float(short.sum())
    calendar = _calendar(cp, qty, tte, strike, p, expiring)
    span = max(0.0, max(scan + calendar, minimum) - nov)
    exposure = p.exposure_rate * (float(short.sum()) + p.spot * float(np.abs(qty[~option]).sum()))
    addon = p.expiry_rate * float(short[expiring].sum())
    return Margin(
        scan=scan,
        calendar=calendar,
        short_option_minimum=minimum,
        net_option_value=nov,
        span=span,
        exposure=exposure,
        expiry_addon=addon,
        premium=float(np.sum(np.where(option & (qty > 0), long_value * qty, 0.0))),
        total=span + exposure + addon,
        scenario=int(np.argmax(by_scenario[0] + by_scenario[1])) + 1,
        label="SPAN-like, calibrated inputs" if p.calibrated else "SPAN-like estimate, uncalibrated",
    )


def _calendar(
    cp: Floats, qty: Floats, tte: Floats, strike: Floats, p: SpanParams, expiring: npt.NDArray[np.bool_]
) -> float:
    """Charge the composite deltas that offset each other across expiries; today's expiry offsets nothing."""
    if len(np.unique(tte[~expiring])) < 2:
        return 0.0
    delta = composite_delta(cp, strike, tte, p.spot, p.vol, p.rate, p.price_scan) * qty
    by_expiry = [float(delta[(tte == t) & ~expiring].sum()) for t in np.unique(tte[~expiring])]
    matched = min(sum(d for d in by_expiry if d > 0), -sum(d for d in by_expiry if d < 0))
    return p.calendar_rate * p.spot * max(0.0, matched)


def _value(
    cp: npt.ArrayLike,
    spot: npt.ArrayLike,
    strike: npt.ArrayLike,
    tte: npt.ArrayLike,
    vol: npt.ArrayLike,
    rate: npt.ArrayLike,
) -> Floats:
    """Black-Scholes value with the edges of :func:`risk_array`; a future (cp 0) is worth nothing here."""
    side, s, k, t, sigma, r = _spread(cp, spot, strike, tte, vol, rate)
    alive = (t > 0.0) & (sigma > 0.0) & (s > 0.0) & (k > 0.0)
    years = np.where(t > 0.0, t, 0.0)
    intrinsic = np.maximum(side * (np.maximum(s, 0.0) - k * np.exp(-r * years)), 0.0)
    model = pricing.price(
        np.where(side < 0.0, -1.0, 1.0),
        np.where(alive, s, 1.0),
        np.where(alive, k, 1.0),
        np.where(alive, t, 1.0),
        np.where(alive, sigma, 1.0),
        r,
        model="bsm",
    )
    return np.where(alive & (side != 0.0), model, intrinsic)


def _spread(*arrays: npt.ArrayLike) -> tuple[Floats, ...]:
    """Broadcast to one shape, as arrays of their own (NumPy's views of a broadcast must not be written to)."""
    return tuple(np.array(a) for a in np.broadcast_arrays(*(np.asarray(a, np.float64) for a in arrays)))


def _add(a: Margin, b: Margin) -> Margin:
    if a.total == 0.0 and a.scan == 0.0 and a.premium == 0.0:
        return b
    sums = {
        name: getattr(a, name) + getattr(b, name)
        for name in Margin.__struct_fields__
        if name not in ("scenario", "label")
    }
    return Margin(**sums, scenario=0, label=a.label if "uncalibrated" in a.label else b.label)
