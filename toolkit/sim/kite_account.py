"""Kite's view of an account: positions, funds, margins and contract notes. Pure.

Margin is the toolkit's SPAN-like estimate of the positions with open orders at their worst;
a long option costs its premium. A position at expiry is closed at the settlement price.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import polars as pl

from toolkit.calendar import ist_date
from toolkit.portfolio.charges import ChargeSchedule, charges
from toolkit.risk.margin import Leg, default_params, span_margin
from toolkit.sim.kite_form import OrderForm, WireRefusal
from toolkit.sim.kite_money import Line, Need, charge_row, margin_row, position_row, segment_row, summed
from toolkit.sim.roster import Listed
from toolkit.sim.world import World
from toolkit.types import Kind

__all__ = ["Book", "KiteAccount", "Need", "Open"]

_VOL: Final = 0.15


class Book(Protocol):
    """The orders and trades of one user, as the account needs them: `KiteBook`, or another broker's book.

    An order has ``listed side leaves filled price_p order_id``; a trade is a mapping with
    ``instrument_token product transaction_type quantity average_price`` (rupees).
    """

    account: str
    orders: dict[str, Any]
    trades: list[dict[str, Any]]
    margin: Any


class Open(NamedTuple):
    """An order (or a part of one) that margin counts: signed units at a price."""

    listed: Listed
    qty: int
    price_p: int


class KiteAccount:
    """Positions and money of one user.

    Parameters
    ----------
    world, book
        The market, and the orders whose trades count.
    funds_p : int
        Cash at the start of the day, paise.
    schedule : ChargeSchedule
        Rates of the contract notes.
    """

    def __init__(self, world: World, book: Book, funds_p: int, schedule: ChargeSchedule) -> None:
        self.world = world
        self.book = book
        self.funds_p = funds_p
        self._schedule = schedule
        self._lines: dict[tuple[int, str], Line] = {}
        self._folded = 0
        self._settled = False
        book.margin = self.check

    def carry(self, listed: Listed, product: str, qty: int, average_p: int) -> None:
        """Bring a position over from the day before."""
        line = self._line(listed, product)
        line.carried += qty
        line.carried_p += qty * average_p

    def convert(self, listed: Listed, old: str, new: str, side: str, qty: int, kind: str) -> None:
        """Move units of a position to another product; raises `WireRefusal` when there are not so many."""
        self._fold()
        sign = 1 if side == "BUY" else -1
        line = self._line(listed, old)
        held = line.carried if kind == "overnight" else line.buy_qty if side == "BUY" else line.sell_qty
        if old == new or qty <= 0 or sign * line.net < qty or abs(held) < qty:
            raise WireRefusal(400, "InputException", f"Cannot convert {qty} of {listed.name} from {old} to {new}.")
        other = self._line(listed, new)
        if kind == "overnight":
            cost = line.carried_p * qty // abs(line.carried)
            line.carried, line.carried_p = line.carried - sign * qty, line.carried_p - cost
            other.carried, other.carried_p = other.carried + sign * qty, other.carried_p + cost
        elif side == "BUY":
            cost = line.buy_p * qty // line.buy_qty
            line.buy_qty, line.buy_p = line.buy_qty - qty, line.buy_p - cost
            other.buy_qty, other.buy_p = other.buy_qty + qty, other.buy_p + cost
        else:
            cost = line.sell_p * qty // line.sell_qty
            line.sell_qty, line.sell_p = line.sell_qty - qty, line.sell_p - cost
            other.sell_qty, other.sell_p = other.sell_qty + qty, other.sell_p + cost

    def positions(self) -> dict[str, list[dict[str, Any]]]:
        """``net`` (carried and today) and ``day`` (today's trades only)."""
        self._fold()
        lines = sorted(self._lines.values(), key=lambda line: (line.listed.venue, line.listed.name, line.product))
        used = [line for line in lines if line.carried or line.buy_qty or line.sell_qty]
        return {
            "net": [self._row(line, line.carried) for line in used],
            "day": [self._row(line, 0) for line in used if line.buy_qty or line.sell_qty],
        }

    def net(self) -> dict[int, int]:
        """Signed units by key over all products, without the flat ones."""
        self._fold()
        found: dict[int, int] = {}
        for line in self._lines.values():
            found[line.listed.key] = found.get(line.listed.key, 0) + line.net
        return {key: qty for key, qty in sorted(found.items()) if qty}

    def need(self, orders: Iterable[Open] = (), *, positions: bool = True) -> Need:
        """What positions and open orders need, with ``orders`` on top."""
        if not positions:
            return self._need({}, list(orders), 0)
        return self._need(self.net(), [*self._working(None), *orders], self._premium_p())

    def check(self, form: OrderForm, replaced: str | None) -> None:
        """Refuse an order that available funds do not cover (Kite: MarginException)."""
        sign = 1 if form.side == "BUY" else -1
        done = 0 if replaced is None else self.book.orders[replaced].filled
        asked = Open(form.listed, sign * (form.quantity - done), form.price_p or 0)
        working = self._working(replaced)
        held, paid = self.net(), self._premium_p()
        before = self._need(held, working, paid).total
        required = self._need(held, [*working, asked], paid).total - before
        available = self._cash_p() / 100 - before
        if required > 0 and required > available:
            raise WireRefusal(
                400,
                "MarginException",
                f"Insufficient funds. Required margin is {required:.2f} but available margin is {available:.2f}. "
                "Check the orderbook for open orders.",
            )

    def margins(self) -> dict[str, Any]:
        """Funds by segment; commodity is there and empty."""
        need = self.need()
        equity = segment_row(True, self.funds_p / 100, need, self._marked_p() / 100)
        return {"equity": equity, "commodity": segment_row(False, 0.0, Need(), 0.0)}

    def order_margins(self, orders: Sequence[tuple[OrderForm, float]]) -> list[dict[str, Any]]:
        """Margin of each order alone, on an empty account."""
        return [
            margin_row(form.listed, self._after({}, [], 0, [_open(form)]), charge)
            for form, charge in self._noted(orders)
        ]

    def basket(self, orders: Sequence[tuple[OrderForm, float]], *, with_positions: bool) -> dict[str, Any]:
        """Margin of a basket as if it had traded: ``initial`` without the hedge between its orders, ``final``
        with it."""
        noted = self._noted(orders)
        base = self.need() if with_positions else Need()
        held = self.net() if with_positions else {}
        working = self._working(None) if with_positions else []
        paid = self._premium_p() if with_positions else 0
        alone = [self._after(held, working, paid, [_open(form)]) for form, _ in noted]
        initial = Need(*(sum(getattr(n, k) - getattr(base, k) for n in alone) for k in ("span", "exposure", "premium")))
        whole = self._after(held, working, paid, [_open(form) for form, _ in noted])
        final = Need(*(getattr(whole, k) - getattr(base, k) for k in ("span", "exposure", "premium")))
        total = summed([charge for _, charge in noted])
        return {
            "initial": margin_row(None, initial, total),
            "final": margin_row(None, final, total),
            "orders": [margin_row(f.listed, self._after({}, [], 0, [_open(f)]), c) for f, c in noted],
            "charges": total,
        }

    def contract_note(self, orders: Sequence[tuple[OrderForm, float]]) -> list[dict[str, Any]]:
        """Charges of executed orders at their average prices."""
        return [
            {
                "transaction_type": form.side,
                "tradingsymbol": form.listed.name,
                "exchange": form.listed.venue,
                "variety": form.variety,
                "product": form.product,
                "order_type": form.order_type,
                "quantity": form.quantity,
                "price": price,
                "charges": charge,
            }
            for (form, price), (_, charge) in zip(orders, self._noted(orders), strict=True)
        ]

    def _line(self, listed: Listed, product: str) -> Line:
        return self._lines.setdefault((listed.key, product), Line(listed, product))

    def _fold(self) -> None:
        """Bring the lines up to the trade book, and settle what has expired."""
        for trade in self.book.trades[self._folded :]:
            line = self._line(self.world.roster.by_key[trade["instrument_token"]], trade["product"])
            self._add(line, trade["transaction_type"], trade["quantity"], round(trade["average_price"] * 100))
        self._folded = len(self.book.trades)
        if self.world.settled and not self._settled:
            self._settled = True
            for line in self._lines.values():
                price_p = self.world.settled.get(line.listed.instrument.symbol)
                if price_p is not None and line.net:
                    self._add(line, "SELL" if line.net > 0 else "BUY", abs(line.net), price_p)

    def _add(self, line: Line, side: str, qty: int, price_p: int) -> None:
        if side == "BUY":
            line.buy_qty, line.buy_p = line.buy_qty + qty, line.buy_p + qty * price_p
        else:
            line.sell_qty, line.sell_p = line.sell_qty + qty, line.sell_p + qty * price_p

    def _working(self, without: str | None) -> list[Open]:
        return [
            Open(order.listed, order.leaves if order.side == "BUY" else -order.leaves, order.price_p)
            for order in self.book.orders.values()
            if order.leaves and order.order_id != without
        ]

    def _need(self, held: Mapping[int, int], orders: Sequence[Open], paid_p: int) -> Need:
        """Open sells count as done, bought options by their premium, futures at the worse side."""
        roster = self.world.roster
        premium = paid_p / 100
        books: list[dict[int, int]] = [dict(held), dict(held)]
        for order in orders:
            option = order.listed.instrument.kind is Kind.OPTION
            if option and order.qty > 0:
                covered = max(0, -held.get(order.listed.key, 0))
                premium += max(0, order.qty - covered) * order.price_p / 100
                continue
            for number, book in enumerate(books):
                if option or (order.qty > 0) == (number == 0):
                    book[order.listed.key] = book.get(order.listed.key, 0) + order.qty
        if books[0] == books[1]:
            del books[1]
        found = [self._span([(roster.by_key[key], qty) for key, qty in sorted(book.items()) if qty]) for book in books]
        worst = max(found, key=lambda pair: pair[0] + pair[1])
        return Need(worst[0], worst[1], premium)

    def traded(self, orders: Iterable[Open]) -> Need:
        """What positions and open orders need once ``orders`` have traded."""
        return self._after(self.net(), self._working(None), self._premium_p(), orders)

    def _after(self, held: Mapping[int, int], working: Sequence[Open], paid_p: int, orders: Iterable[Open]) -> Need:
        after = dict(held)
        for order in orders:
            key = order.listed.key
            if order.qty > 0 and order.listed.instrument.kind is Kind.OPTION:
                paid_p += max(0, order.qty - max(0, -after.get(key, 0))) * order.price_p
            after[key] = after.get(key, 0) + order.qty
        return self._need(after, working, paid_p)

    def _span(self, legs: Sequence[tuple[Listed, int]]) -> tuple[float, float]:
        spots = {name: self.world.spot(name) for name in sorted({row.instrument.underlying for row, _ in legs})}
        params = {name: default_params(spot, _VOL) for name, spot in spots.items() if spot > 0}
        today = ist_date(self.world.now_ns)
        made = [self._leg(row, qty, today) for row, qty in legs if row.instrument.underlying in params]
        margin = span_margin(made, params)
        return margin.span, margin.exposure + margin.expiry_addon

    def _leg(self, row: Listed, qty: int, today: dt.date) -> Leg:
        instrument = row.instrument
        days = 0 if instrument.expiry is None else (instrument.expiry - today).days
        return Leg(
            underlying=instrument.underlying,
            cp=0 if instrument.option_type is None else instrument.option_type.cp,
            qty=qty,
            tte=(max(days, 0) + 1) / 365.0,
            strike=(instrument.strike_p or 0) / 100.0,
            mark=self._last(row),
        )

    def _last(self, row: Listed) -> float:
        settled = self.world.settled.get(row.instrument.symbol)
        if settled is not None:
            return settled / 100
        last_p = self.world.last_p(row.key)
        return math.nan if last_p is None else last_p / 100

    def _premium_p(self) -> int:
        """Net premium of today's option trades: paid is above zero."""
        self._fold()
        options = [line for line in self._lines.values() if line.listed.instrument.kind is Kind.OPTION]
        return sum(line.buy_p - line.sell_p for line in options)

    def _marked_p(self) -> int:
        """Futures' gain of the day at the last price."""
        gain = 0
        for line in self._lines.values():
            if line.listed.instrument.kind is Kind.OPTION:
                continue
            last = self._last(line.listed)
            mark_p = 0 if math.isnan(last) else round(last * 100)
            gain += line.sell_p - line.buy_p - line.carried_p + line.net * mark_p
        return gain

    def _cash_p(self) -> int:
        return self.funds_p + min(0, self._marked_p())

    def _row(self, line: Line, carried: int) -> dict[str, Any]:
        row = self.world.row(line.listed.key)
        close = 0.0 if row is None or math.isnan(row["close"]) else float(row["close"])
        last = self._last(line.listed)
        return position_row(line, carried, close, 0.0 if math.isnan(last) else last)

    def _noted(self, orders: Sequence[tuple[OrderForm, float]]) -> list[tuple[OrderForm, dict[str, Any]]]:
        return [(form, self._charges(form, price)) for form, price in orders]

    def _charges(self, form: OrderForm, price: float) -> dict[str, Any]:
        instrument = form.listed.instrument
        fill = pl.DataFrame(
            {
                "exec_id": ["1"],
                "cl_ord_id": ["1"],
                "order_id": ["1"],
                "account": [self.book.account],
                "broker": ["kite"],
                "symbol": [instrument.symbol],
                "exchange": [instrument.exchange],
                "side": [form.side],
                "last_qty": [form.quantity],
                "last_px": [float(price)],
                "exec_ns": [self.world.now_ns],
            }
        )
        if instrument.kind not in (Kind.OPTION, Kind.FUTURE):
            return charge_row({})
        return charge_row(charges(fill, None, schedule=self._schedule).row(0, named=True))


def _open(form: OrderForm) -> Open:
    return Open(form.listed, form.quantity if form.side == "BUY" else -form.quantity, form.price_p or 0)
