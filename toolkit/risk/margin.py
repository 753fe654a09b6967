"""SPAN-like margin of option and future positions: 16 scenarios, exposure and add-ons.

Exact: the risk arrays, given the clearing corporation's inputs or its file. Estimates: the
charges around them (calendar spreads, exposure, delivery) from dated public rates, and every
figure whose inputs are documented defaults. So the parts of :class:`Margin` stay apart, and
its ``label`` says which it is.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData
from toolkit.risk import kernels
from toolkit.risk.span import SpanParams, composite_delta, default_params, model_value, risk_array

__all__ = [
    "Leg",
    "Margin",
    "SpanParams",
    "composite_delta",
    "default_params",
    "make_cells",
    "margin_by",
    "risk_array",
    "span_margin",
    "spread_rows",
]

Floats = npt.NDArray[np.float64]

_DAY: Final = 1.0 / 365.0
UNCALIBRATED: Final = "SPAN-like estimate, uncalibrated"


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One position: ``cp`` +1 call, -1 put, 0 future; ``qty`` in units, negative is short.

    ``tte`` in years by the file's rule, (expiry - file date + 1) / 365; ``strike`` in rupees
    (any number for a future); ``mark`` the settlement or market price in rupees per unit, NaN
    when unknown; ``expiry`` finds the contract in a file's arrays; ``sessions_left`` counts
    trading days to expiry, for the delivery margin of a share's options.
    """

    underlying: str
    cp: int
    qty: int
    tte: float
    strike: float = 0.0
    mark: float = math.nan
    expiry: dt.date | None = None
    sessions_left: int | None = None


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """A margin figure with its parts, rupees.

    ``span`` = max(``scan`` + ``calendar``, ``short_option_minimum``) - ``net_option_value``, at
    least 0, by underlying; ``total`` = span + exposure + expiry_addon + delivery. ``premium`` is
    what the long options are worth: paid upfront in cash, shown and not added.
    ``hedge_benefit`` is how much more the same legs would need one by one.
    ``scenario`` is the worst of the 16 (0 for several underlyings). ``filed`` of ``legs``
    contracts took their array from the clearing corporation's file.
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
    label: str = UNCALIBRATED
    delivery: float = 0.0
    hedge_benefit: float = 0.0
    legs: int = 0
    filed: int = 0


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

    Notes
    -----
    For many questions about one book use :class:`~toolkit.risk.margin_book.MarginBook`: the same
    figures from cached arrays, in microseconds.
    """
    by_underlying: dict[str, list[Leg]] = {}
    for leg in positions:
        by_underlying.setdefault(leg.underlying, []).append(leg)
    parts = []
    for underlying in sorted(by_underlying):
        known = params if isinstance(params, SpanParams) else params.get(underlying)
        if known is None:
            raise BadData(f"no margin parameters for {underlying}; give spot, vol and scan ranges")
        parts.append(_one(_netted(by_underlying[underlying]), known))
    return combined(parts)


def margin_by(groups: Mapping[str, Sequence[Leg]], params: SpanParams | Mapping[str, SpanParams]) -> dict[str, Margin]:
    """Margin of each strategy (or account) by itself, and of all together under ``""``.

    The whole is no more than the sum of its parts: what strategies save each other is
    ``sum of the parts - the whole``, and belongs to none of them.
    """
    found = {name: span_margin(legs, params) for name, legs in sorted(groups.items())}
    return {**found, "": span_margin([leg for legs in groups.values() for leg in legs], params)}


def _netted(legs: Iterable[Leg]) -> list[Leg]:
    """One leg a contract; a mark that only some legs know is everybody's."""
    found: dict[tuple[object, ...], Leg] = {}
    for leg in legs:
        key = (leg.cp, leg.strike if leg.cp else 0.0, leg.tte, leg.expiry)
        before = found.get(key)
        if before is not None:
            mark = leg.mark if math.isnan(before.mark) else before.mark
            leg = msgspec.structs.replace(before, qty=before.qty + leg.qty, mark=mark)
        found[key] = leg
    return [leg for leg in found.values() if leg.qty]


def _one(legs: Sequence[Leg], p: SpanParams) -> Margin:
    if not legs:
        return Margin(label=label(p))
    cells = make_cells(legs, p)
    expiries = np.unique(cells[:, kernels.TTE])
    cells[:, kernels.EXPIRY] = np.searchsorted(expiries, cells[:, kernels.TTE])
    cells[:, kernels.QTY] = [leg.qty for leg in legs]
    numbers = cells[:, kernels.EXPIRY].tolist() if p.spreads else []
    spreads = spread_rows(p, {leg.expiry: int(n) for leg, n in zip(legs, numbers, strict=False)})
    work, out = np.empty(32 + len(expiries)), np.empty(kernels.PARTS)
    charge = p.calendar_rate * p.spot
    alone = kernels.standalone(cells, len(legs), spreads, charge, work, out)
    kernels.book_parts(cells, 0, len(legs), kernels.QTY, spreads, charge, work, out)
    filed = sum((leg.expiry, leg.cp, paise(leg)) in p.filed for leg in legs) if p.filed else 0
    return named(out, alone, len(legs), filed, p)


def named(out: Floats, alone: float, legs: int, filed: int, p: SpanParams) -> Margin:
    """The kernel's parts with their names."""
    scan, calendar, minimum, value, span, exposure, addon, delivery, premium, total, worst = out.tolist()
    return Margin(
        scan=scan,
        calendar=calendar,
        short_option_minimum=minimum,
        net_option_value=value,
        span=span,
        exposure=exposure,
        expiry_addon=addon,
        premium=premium,
        total=total,
        scenario=int(worst),
        label=label(p),
        delivery=delivery,
        hedge_benefit=max(0.0, alone - total),
        legs=legs,
        filed=filed,
    )


def label(p: SpanParams) -> str:
    """What the figure is: calibrated inputs with date and source, or an uncalibrated estimate."""
    if not p.calibrated:
        return UNCALIBRATED
    text = "SPAN-like, calibrated inputs"
    return text if p.on is None else f"{text} of {p.on} ({p.source})"


def make_cells(legs: Sequence[Leg], p: SpanParams) -> Floats:
    """What the kernel needs of each contract, one row a leg; expiry number and quantities are left 0.

    The array of an option is kept without its cap, so that a new price changes one number.
    """
    cp = np.array([leg.cp for leg in legs], np.float64)
    tte = np.array([leg.tte for leg in legs])
    strike = np.array([leg.strike for leg in legs])
    cells = np.zeros((len(legs), kernels.CELLS))
    scan = np.where((cp != 0.0) & (tte > p.long_from), p.long_scan, p.price_scan)
    cells[:, :16] = risk_array(cp, strike, tte, p.spot, p.vol, p.rate, scan, p.vol_scan, math.nan)
    cells[:, kernels.COMPOSITE] = composite_delta(cp, strike, tte, p.spot, p.vol, p.rate, scan)
    cells[:, kernels.MODEL] = model_value(cp, np.full_like(cp, p.spot), strike, tte, p.vol, p.rate)
    cells[:, kernels.OPTION] = cp != 0.0
    cells[:, kernels.TTE] = tte
    cells[:, kernels.ALONE] = (tte < 1.5 * _DAY) & (not p.calendar_on_expiry)
    cells[:, kernels.NOTIONAL] = p.spot
    out_by = np.where(cp != 0.0, cp * (strike / p.spot - 1.0), 0.0)
    cells[:, kernels.EXPOSURE] = np.where(out_by > p.far_from, max(p.far_rate, p.exposure_rate), p.exposure_rate)
    cells[:, kernels.ADDON] = np.where(tte < 1.5 * _DAY, p.expiry_rate, 0.0)
    cells[:, kernels.MINIMUM] = p.short_option_rate * p.spot
    if p.filed or p.by_contract:
        for row, leg in zip(cells, legs, strict=True):
            _from_file(row, leg, p)
    if p.stock:
        cells[:, kernels.DELIVERY] = [_delivery(leg, p) if leg.cp else 0.0 for leg in legs]
    _mark(cells, np.array([leg.mark for leg in legs]))
    return cells


def _mark(cells: Floats, marks: Floats) -> None:
    """Put prices into all rows, as :func:`mark_cell` does into one."""
    known, option = ~np.isnan(marks), cells[:, kernels.OPTION] != 0.0
    cells[:, kernels.CAP] = np.where(known & option, marks, math.inf)
    cells[:, kernels.LONG_VALUE] = np.where(known & option, marks, 0.0)
    cells[:, kernels.SHORT_VALUE] = np.where(option, np.where(known, marks, cells[:, kernels.MODEL]), 0.0)
    cells[:, kernels.NOTIONAL] = np.where(known & ~option, marks, cells[:, kernels.NOTIONAL])


def _from_file(row: Floats, leg: Leg, p: SpanParams) -> None:
    if leg.expiry is None:
        return
    key = (leg.expiry, leg.cp, paise(leg))
    filed = p.filed.get(key)
    if filed is not None:
        row[:16] = filed.losses
        row[kernels.COMPOSITE] = filed.composite
        row[kernels.MODEL] = filed.price
    rate = p.by_contract.get(key)
    if rate is not None:
        row[kernels.EXPOSURE] = rate


def paise(leg: Leg) -> int:
    """The strike in paise, 0 for a future."""
    return round(leg.strike * 100.0) if leg.cp else 0


def mark_cell(row: Floats, mark: float) -> None:
    """Put a price into a row: an option's cap and value, a future's notional; NaN is unknown.

    An unknown option counts at the worse side: nothing when long, the model's value when short.
    """
    known = mark == mark
    if row[kernels.OPTION] == 0.0:
        row[kernels.CAP] = math.inf
        if known:
            row[kernels.NOTIONAL] = mark
        return
    row[kernels.CAP] = mark if known else math.inf
    row[kernels.LONG_VALUE] = mark if known else 0.0
    row[kernels.SHORT_VALUE] = mark if known else row[kernels.MODEL]


def _delivery(leg: Leg, p: SpanParams) -> float:
    """Delivery margin of one long unit of a share's option: in the money and near its expiry."""
    left = leg.sessions_left
    if left is None:
        left = round(leg.tte * 365.0) - 1
    if not 0 <= left < len(p.delivery) or leg.cp * (p.spot - leg.strike) <= 0.0:
        return 0.0
    return p.delivery[left] * (p.var_rate or p.price_scan / p.spot) * leg.strike


def spread_rows(p: SpanParams, numbers: Mapping[dt.date | None, int]) -> Floats:
    """The file's calendar spreads between expiries that the book holds, for the kernel."""
    rows = [
        (numbers[spread.near], numbers[spread.far], spread.rate)
        for spread in p.spreads
        if spread.near in numbers and spread.far in numbers
    ]
    return np.array(rows, np.float64).reshape(len(rows), 3)


def combined(parts: Sequence[Margin]) -> Margin:
    """Sum margins of several underlyings; the least certain label stands for all."""
    held = [part for part in parts if part.legs]
    if len(held) < 2:
        return held[0] if held else Margin()
    names = [n for n in Margin.__struct_fields__ if n not in ("scenario", "label")]
    sums = {name: sum(getattr(part, name) for part in held) for name in names}
    labels = sorted({part.label for part in held}, key=lambda text: "uncalibrated" not in text)
    one = labels[0] if "uncalibrated" in labels[0] or len(labels) == 1 else "; ".join(labels)
    return Margin(**sums, scenario=0, label=one)
