"""The smart order router: which account, broker and exchange take how much of an order, and why.

Pure and deterministic: the same order and the same venues give the same plan, which can be
shown before anything is sent. A venue is left out with a reason, never in silence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from toolkit.errors import BadData
from toolkit.market.quotes import Quote
from toolkit.orders.slicing import legal_max, slices
from toolkit.types import OrderRequest, OrdType, Product, Side, TimeInForce

__all__ = ["Child", "Plan", "Venue", "route"]

_FAR: Final = math.inf


class Venue(msgspec.Struct, frozen=True, kw_only=True):
    """One way to the market for one order: an account at a broker on an exchange.

    Parameters
    ----------
    account, broker, exchange : str
    ord_types, time_in_force, products : tuples
        What the broker takes.
    lot, tick_p : int
        Of the contract on this exchange.
    freeze_qty : int or None
        Largest order in units; None where the exchange has none (shares).
    max_slices : int
        Exchange orders one order may become at this broker.
    healthy : bool
        Connected, reconciled, logged in and not halted; ``reason`` says what is wrong.
    messages_left : int
        Order messages that may leave in the current second.
    funds_p : int or None
        Free margin in paise; None is unknown, and unknown takes only what reduces.
    margin_p : int or None
        Margin of one more unit in paise; None is unknown.
    net_qty : int
        The account's position in the contract.
    working_qty : int
        Units of the account's open orders on this side.
    quote : Quote or None
        The contract on this exchange; None is unknown or stale.
    cost_p : float or None
        Charges and brokerage of one unit in paise; None is unknown, and comes after what is known.
    """

    account: str
    broker: str
    exchange: str
    ord_types: tuple[OrdType, ...]
    time_in_force: tuple[TimeInForce, ...]
    products: tuple[Product, ...]
    lot: int
    tick_p: int
    freeze_qty: int | None
    max_slices: int
    healthy: bool
    reason: str = ""
    messages_left: int = 8
    funds_p: int | None = None
    margin_p: int | None = None
    net_qty: int = 0
    working_qty: int = 0
    quote: Quote | None = None
    cost_p: float | None = 0.0

    @property
    def label(self) -> str:
        """Account, broker and exchange in one word each."""
        return f"{self.account}@{self.broker}/{self.exchange}"


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange order of a plan. ``batch`` 0 leaves now, 1 a second later, and so on."""

    account: str
    broker: str
    exchange: str
    order_qty: int
    batch: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Where an order goes.

    ``left_qty`` is what no venue can take; a plan with something left is not sent. ``why`` has a
    line a venue, used or not, in the order they were considered.
    """

    children: tuple[Child, ...]
    left_qty: int
    why: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the whole order has a place."""
        return self.left_qty == 0


def route(
    order: OrderRequest, venues: Sequence[Venue], *, account: str | None = None, broker: str | None = None
) -> Plan:
    """Plan an order over its venues.

    Positions are closed where they are. What is left goes to the cheapest price after costs, level by
    level: first the units shown at each touch inside the limit, then the rest to the best venue. Each venue
    takes at most what its margin, slice cap and lots allow.

    Parameters
    ----------
    order : OrderRequest
        The whole order; ``price_p`` is its limit.
    venues : sequence of Venue
        Every account, broker and exchange that lists the contract.
    account, broker : str or None
        Pins of the user; None leaves it to the router. ``exchange`` is pinned by giving only its venues.

    Returns
    -------
    Plan

    Raises
    ------
    BadData
        When the quantity is not positive or two venues are the same.
    """
    if order.order_qty <= 0:
        raise BadData(f"an order needs a positive quantity, was {order.order_qty}")
    labels = [v.label for v in venues]
    if len(set(labels)) != len(labels):
        raise BadData(f"a venue is named twice, was {', '.join(sorted(labels))}")
    why: list[str] = []
    usable = []
    for venue in sorted(venues, key=lambda v: v.label):
        fault = _fault(order, venue, account, broker)
        if fault:
            why.append(f"{venue.label}: not used, {fault}")
        else:
            usable.append(venue)
    shares = _Shares(order, usable)
    shares.close(why)
    shares.open(why, shown=True)
    shares.open(why, shown=False)
    shares.rest(why)
    children = [child for venue in usable for child in _cut(venue, shares.taken.get(venue.label, 0))]
    children.sort(key=lambda child: child.batch)
    if shares.left:
        why.append(f"{shares.left} of {order.order_qty} units have no place: nothing is sent")
    return Plan(children=tuple(children), left_qty=shares.left, why=tuple(why))


def _fault(order: OrderRequest, venue: Venue, account: str | None, broker: str | None) -> str:
    """Why a venue cannot take any of the order; empty when it can."""
    if account is not None and venue.account != account:
        return f"the order is for account {account}"
    if broker is not None and venue.broker != broker:
        return f"the order is for broker {broker}"
    if not venue.healthy:
        return venue.reason or "it is not healthy"
    for word, known in (
        (order.ord_type, venue.ord_types),
        (order.time_in_force, venue.time_in_force),
        (order.product, venue.products),
    ):
        if word not in known:
            return f"it does not take {word}"
    return "" if venue.messages_left > 0 else "its message budget of this second is used up"


class _Shares:
    """Units given out so far, and the funds of each account that they bind."""

    def __init__(self, order: OrderRequest, venues: Sequence[Venue]) -> None:
        self.order = order
        self.left = order.order_qty
        self.taken: dict[str, int] = {}
        self._ranked = sorted(venues, key=lambda v: _rank(order, v))
        self._bound: dict[tuple[str, str], int] = {}

    def close(self, why: list[str]) -> None:
        """Close positions where they are; that needs no margin."""
        for venue in self._ranked:
            qty = self._give(venue, min(_closable(self.order, venue), _room(venue)), margin_p=0)
            if qty:
                why.append(f"{venue.label}: {qty} units close its position of {venue.net_qty}")

    def open(self, why: list[str], *, shown: bool) -> None:
        """Give what is left to the best prices: units shown at the touch, or as much as fits."""
        for venue in self._ranked:
            before = self.taken.get(venue.label, 0)
            most = self._affordable(venue)
            if shown:
                most = min(most, _touch(self.order, venue) - before)
            qty = self._give(venue, most, margin_p=venue.margin_p or 0)
            if qty:
                why.append(f"{venue.label}: {qty} units, {_reason(self.order, venue, shown=shown)}")

    def rest(self, why: list[str]) -> None:
        """Say why the others take nothing."""
        for venue in self._ranked:
            if venue.label not in self.taken:
                fault = _limit(venue) if self.left else "better venues take it all"
                why.append(f"{venue.label}: not used, {fault}")

    def _give(self, venue: Venue, most: int, margin_p: int) -> int:
        qty = min(self.left, most)
        qty -= qty % venue.lot
        if qty <= 0:
            return 0
        self.taken[venue.label] = self.taken.get(venue.label, 0) + qty
        purse = (venue.account, venue.broker)
        self._bound[purse] = self._bound.get(purse, 0) + qty * margin_p
        self.left -= qty
        return qty

    def _affordable(self, venue: Venue) -> int:
        """Further units that margin and slice cap allow; unknown funds or margin allow none."""
        room = _room(venue) - self.taken.get(venue.label, 0)
        if venue.funds_p is None or venue.margin_p is None:
            return 0
        if venue.margin_p <= 0:
            return room
        free_p = venue.funds_p - self._bound.get((venue.account, venue.broker), 0)
        return min(room, free_p // venue.margin_p)


def _closable(order: OrderRequest, venue: Venue) -> int:
    """Units that only shrink the account's position, its open orders on this side counted first."""
    if venue.net_qty * order.side.sign >= 0:
        return 0
    return max(0, abs(venue.net_qty) - venue.working_qty)


def _room(venue: Venue) -> int:
    """Units that the broker's slice cap allows in one order."""
    if venue.freeze_qty is None:
        return 10**12
    return legal_max(venue.freeze_qty, venue.lot) * venue.max_slices


def _rank(order: OrderRequest, venue: Venue) -> tuple[bool, bool, float, str]:
    """The cheapest first; unknown costs come after known ones, unknown quotes last."""
    price = _price(order, venue)
    return (price is _FAR, venue.cost_p is None, price, venue.label)


def _price(order: OrderRequest, venue: Venue) -> float:
    """Paise a unit at the touch with costs as far as they are known, as a cost to us."""
    quote = venue.quote
    touch = None if quote is None else (quote.ask_p if order.side is Side.BUY else quote.bid_p)
    if touch is None:
        return _FAR
    return order.side.sign * touch + (venue.cost_p or 0.0)


def _touch(order: OrderRequest, venue: Venue) -> int:
    """Units shown at a touch that the limit reaches."""
    quote = venue.quote
    if quote is None:
        return 0
    price, qty = (quote.ask_p, quote.ask_qty) if order.side is Side.BUY else (quote.bid_p, quote.bid_qty)
    if price is None or qty is None:
        return 0
    if order.price_p is not None and order.side.sign * (price - order.price_p) > 0:
        return 0
    return qty


def _cut(venue: Venue, qty: int) -> list[Child]:
    """Legal slices of a venue's share, in batches of its message budget."""
    if not qty:
        return []
    most = qty if venue.freeze_qty is None else legal_max(venue.freeze_qty, venue.lot)
    return [
        Child(
            account=venue.account,
            broker=venue.broker,
            exchange=venue.exchange,
            order_qty=size,
            batch=number // venue.messages_left,
        )
        for number, size in enumerate(slices(qty, most))
    ]


def _reason(order: OrderRequest, venue: Venue, *, shown: bool) -> str:
    price = _price(order, venue)
    if price is _FAR:
        return "the only one with room; its price is not known"
    rupees = abs(price) / 100.0
    costs = "with costs" if venue.cost_p is not None else "without its costs, which are unknown"
    return f"{'shown at' if shown else 'the rest at the best price,'} {rupees:.2f} a unit {costs}"


def _limit(venue: Venue) -> str:
    if venue.funds_p is None or venue.margin_p is None:
        return "its funds or the margin are unknown"
    if venue.margin_p > venue.funds_p:
        return f"a unit needs Rs {venue.margin_p / 100:.2f} and Rs {venue.funds_p / 100:.2f} are free"
    return "less than one lot fits"
