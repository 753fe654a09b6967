"""The margin of a book kept ready: arrays cached by contract, so that one more order costs microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData
from toolkit.risk import kernels
from toolkit.risk.margin import Leg, Margin, SpanParams, combined, make_cells, mark_cell, named, paise, spread_rows

__all__ = ["MarginBook"]

Floats = npt.NDArray[np.float64]
_ROOM: Final = 16


class _Side:
    """Cells of one underlying; rows are contracts in order of arrival."""

    def __init__(self, params: SpanParams) -> None:
        self.params = params
        self.cells = np.zeros((_ROOM, kernels.CELLS))
        self.legs: list[Leg] = []
        self.keys: list[str] = []
        self.numbers: dict[float, int] = {}
        self.spreads = np.zeros((0, 3))
        self.work = np.empty(32)
        self.out = np.empty(kernels.PARTS)
        self.charge = params.calendar_rate * params.spot
        self.filed = 0

    def add(self, key: str, leg: Leg) -> int:
        at = len(self.legs)
        if at == len(self.cells):
            self.cells = np.vstack([self.cells, np.zeros_like(self.cells)])
        row = make_cells([leg], self.params)[0]
        row[kernels.EXPIRY] = self.numbers.setdefault(leg.tte, len(self.numbers))
        self.cells[at] = row
        self.legs.append(leg)
        self.keys.append(key)
        self.work = np.empty(32 + len(self.numbers))
        dates = {held.expiry: self.numbers[held.tte] for held in self.legs}
        self.spreads = spread_rows(self.params, dates)
        return at

    def total(self, column: int) -> float:
        n = len(self.legs)
        return float(kernels.book_parts(self.cells, 0, n, column, self.spreads, self.charge, self.work, self.out))

    def after(self, at: int, sold: int, bought: int) -> float:
        """Total with row ``at`` (-1: none) changed, the worse of open sells and open buys."""
        n = len(self.legs)
        made = kernels.book_after(self.cells, n, at, sold, bought, self.spreads, self.charge, self.work, self.out)
        return float(made)


class MarginBook:
    """Margin of positions, open orders and one order more, from arrays cached by contract.

    The arrays depend on the contract, the day and the parameters only, so they are made once by
    :meth:`add`; a quote changes a cap (:meth:`mark`), a fill or an order changes two quantities
    (:meth:`set`). :meth:`after` answers what a check asks: the margin once an order is open,
    with nothing kept. Figures equal :func:`~toolkit.risk.margin.span_margin` of the same legs.

    Worst case of open orders, as the pre-trade checks count: open sells count as done; open buys of
    options give no benefit; futures count with their open sells or with their open buys, whichever
    needs more.

    Examples
    --------
    >>> book = MarginBook()
    >>> book.set_params("NIFTY", default_params(24500.0, 0.12))
    >>> book.add("NIFTY 25NOV2025 24500 CE", Leg(underlying="NIFTY", cp=1, qty=0, tte=8 / 365, strike=24500.0))
    >>> book.set("NIFTY 25NOV2025 24500 CE", net=-75)
    >>> now, then = book.total(), book.after("NIFTY 25NOV2025 24500 CE", -75)
    """

    def __init__(self, params: Mapping[str, SpanParams] | None = None) -> None:
        self._sides: dict[str, _Side] = {}
        self._at: dict[str, tuple[_Side, int]] = {}
        for underlying, one in (params or {}).items():
            self.set_params(underlying, one)

    def set_params(self, underlying: str, params: SpanParams) -> None:
        """Take a day's parameters; listed contracts get new arrays, quantities and marks stay."""
        old = self._sides.get(underlying)
        fresh = _Side(params)
        self._sides[underlying] = fresh
        for at, (key, leg) in enumerate(zip(old.keys, old.legs, strict=True) if old else ()):
            assert old is not None
            fresh.add(key, leg)
            for column in (kernels.QTY, kernels.OTHER_QTY):
                fresh.cells[at, column] = old.cells[at, column]
            mark_cell(fresh.cells[at], leg.mark)
            self._at[key] = (fresh, at)

    def params(self, underlying: str) -> SpanParams | None:
        """The parameters held, None when there are none."""
        side = self._sides.get(underlying)
        return None if side is None else side.params

    def __contains__(self, key: str) -> bool:
        return key in self._at

    def add(self, key: str, leg: Leg) -> None:
        """Add a contract under a key (its symbol); ``leg.qty`` is not taken. A known key gets the new terms.

        Raises
        ------
        BadData
            When its underlying has no parameters.
        """
        side = self._sides.get(leg.underlying)
        if side is None:
            raise BadData(f"no margin parameters for {leg.underlying}; give spot, vol and scan ranges")
        held = self._at.get(key)
        if held is None:
            self._at[key] = (side, side.add(key, leg))
            return
        side, at = held
        side.legs[at] = leg
        keep = side.cells[at, [kernels.QTY, kernels.OTHER_QTY]]
        row = make_cells([leg], side.params)[0]
        row[kernels.EXPIRY] = side.numbers.setdefault(leg.tte, len(side.numbers))
        row[[kernels.QTY, kernels.OTHER_QTY]] = keep
        side.cells[at] = row
        side.work = np.empty(32 + len(side.numbers))
        side.spreads = spread_rows(side.params, {one.expiry: side.numbers[one.tte] for one in side.legs})

    def set(self, key: str, *, net: int, sells: int = 0, buys: int = 0) -> None:
        """Set a contract's net position and what its open orders may still sell and buy, in units."""
        side, at = self._at[key]
        done = net - sells
        side.cells[at, kernels.QTY] = done
        side.cells[at, kernels.OTHER_QTY] = done if side.legs[at].cp else net + buys

    def net(self, key: str) -> int:
        """The units held with open sells done."""
        side, at = self._at[key]
        return int(side.cells[at, kernels.QTY])

    def mark(self, key: str, price: float) -> None:
        """Set a contract's price in rupees; NaN is unknown and counts at the worse side."""
        side, at = self._at[key]
        leg = side.legs[at]
        if price == leg.mark or (price != price and leg.mark != leg.mark):
            return
        side.legs[at] = msgspec.structs.replace(leg, mark=price)
        row = side.cells[at]
        if not leg.cp and price != price:
            row[kernels.NOTIONAL] = side.params.spot
        mark_cell(row, price)

    def after(self, key: str, qty: int) -> float:
        """Margin in rupees of the whole book with ``qty`` more units open (below zero: to sell)."""
        side, at = self._at[key]
        if side.legs[at].cp:
            return self._with(side, at, min(qty, 0), min(qty, 0))
        return self._with(side, at, min(qty, 0), max(qty, 0))

    def traded(self, key: str, qty: int) -> float:
        """Margin in rupees once ``qty`` units more have traded (a bought hedge counts)."""
        side, at = self._at[key]
        return self._with(side, at, qty, qty)

    def total(self) -> float:
        """Margin in rupees of the whole book, open orders at their worst case."""
        return self._with(None, -1, 0, 0)

    def margin(self) -> Margin:
        """The parts, with open sells done and open buys not."""
        parts = []
        for underlying in sorted(self._sides):
            side = self._sides[underlying]
            n = int(np.count_nonzero(side.cells[: len(side.legs), kernels.QTY]))
            if not n:
                continue
            alone = kernels.standalone(side.cells, len(side.legs), side.spreads, side.charge, side.work, side.out)
            side.total(kernels.QTY)
            filed = sum((leg.expiry, leg.cp, paise(leg)) in side.params.filed for leg in side.legs)
            parts.append(named(side.out, alone, n, filed, side.params))
        return combined(parts)

    def _with(self, changed: _Side | None, at: int, sold: int, bought: int) -> float:
        total = 0.0
        for side in self._sides.values():
            if side is changed:
                total += side.after(at, sold, bought)
            elif side.legs:
                total += side.after(-1, 0, 0)
        return total
