"""Orders that name no account: the router's plan over the accounts of one process, and the parents it leaves.

A routed order is one parent record in the home account's journal, durable before any child leaves, that names every
child with its account. A child that is not in its account's journal never left, and is never sent later.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import math
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from toolkit.errors import BadOrder, Refused, ToolkitError, UnknownSymbol
from toolkit.market.quotes import Quote
from toolkit.orders.previews import charges_of
from toolkit.orders.records import rollup
from toolkit.orders.router import Plan, Venue, route
from toolkit.orders.words import Asked, order_json, request_of, taken, unlisted
from toolkit.risk.limits import TradingState
from toolkit.types import Instrument, Kind, Order, OrderRequest, OrdStatus, Side

if TYPE_CHECKING:
    from toolkit.orders.station import Seat, Station

__all__ = ["Choice", "Parent", "Routes", "contract_of", "joined", "priced", "shown"]

_KIND: Final = "route"
_PAGE: Final = 1000


class Choice(msgspec.Struct, frozen=True):
    """One place an order could go: an account, and the contract on one exchange."""

    seat: Seat
    instrument: Instrument


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """A routed order as the home account's journal keeps it; ``children`` are requests, each of its own account."""

    asked: Asked
    request: OrderRequest
    children: tuple[OrderRequest, ...]
    left_qty: int
    why: tuple[str, ...]
    created_ns: int


class _Day(msgspec.Struct):
    """The routed orders of one day by their ids, and by those of their children."""

    day: dt.date | None = None
    parents: dict[str, Parent] = {}
    of: dict[str, str] = {}


class Routes:
    """The routed orders of one process, of the home account's day: at a new one no account knows their children.

    Parameters
    ----------
    station : Station
    """

    def __init__(self, station: Station) -> None:
        self._station = station
        self._kept = _Day()
        self._busy: set[str] = set()

    def recall(self) -> None:
        """Read the day's routed orders back from the home account's journal."""
        engine, after = self._home.engine, 0
        while batch := engine.events(after, _PAGE):
            for event in batch:
                if event.kind == _KIND:
                    self._keep(msgspec.convert(event.payload, Parent))
            after = batch[-1].seq

    def __contains__(self, cl_ord_id: object) -> bool:
        return cl_ord_id in self._day.parents

    def parent_of(self, cl_ord_id: str) -> str | None:
        """The routed order that an account's order is part of."""
        return self._day.of.get(cl_ord_id)

    def rows(self) -> list[dict[str, Any]]:
        """Every routed order in the words of the surface."""
        return [self.row(name) for name in self._day.parents]

    def row(self, cl_ord_id: str) -> dict[str, Any]:
        """One routed order: the sum of its children, and the plan that made them."""
        parent = self._day.parents[cl_ord_id]
        busy = cl_ord_id in self._busy
        kin = [self._order(child) or _unsent(child, parent.created_ns, busy) for child in parent.children]
        whole = msgspec.structs.replace(_unsent(parent.request, parent.created_ns, False), text="; ".join(parent.why))
        if kin:
            whole = rollup(whole, kin, max(order.updated_ns for order in kin))
        return {**order_json(whole), "route": _shown(parent.children, parent.left_qty, parent.why, self._slices)}

    def children(self, cl_ord_id: str) -> list[tuple[Seat, Order]]:
        """The children that are in their account's journal."""
        found = []
        for child in self._day.parents[cl_ord_id].children:
            order = self._order(child)
            if order is not None:
                found.append((self._station.seats[child.account], order))
        return found

    async def choices(self, asked: Asked) -> list[Choice]:
        """Where an order could go: every account it does not rule out, and of a share every exchange that lists it.

        Raises
        ------
        NotListed
            When no account knows the contract.
        """
        fault: BadOrder | None = None
        found: list[Choice] = []
        for seat in self._station.seats.values():
            if asked.account not in (None, seat.account) or asked.broker not in (None, seat.broker):
                continue
            try:
                found += [Choice(seat, one) for one in await _listings(seat, asked)]
            except BadOrder as error:
                fault = error
        if not found and fault is not None:
            raise fault
        return found

    async def plan(self, asked: Asked, choices: Sequence[Choice]) -> tuple[Plan, tuple[OrderRequest, ...]]:
        """The router's plan, and the orders it comes to: one an account and exchange."""
        cl_ord_id = asked.cl_ord_id or "ROUTE"
        await self._station.hub.ensure(sorted({choice.instrument.symbol for choice in choices}))
        venues = await asyncio.gather(*(self._venue(choice, asked) for choice in choices))
        first = choices[0]
        whole = _request(asked, first, cl_ord_id, "preview")
        made = route(whole, venues, account=asked.account, broker=asked.broker)
        places = {(c.seat.account, c.instrument.exchange): c for c in choices}
        sums: dict[tuple[str, str], int] = {}
        for child in made.children:
            at = (child.account, child.exchange)
            sums[at] = sums.get(at, 0) + child.order_qty
        children = []
        for at, qty in sums.items():
            request = _request(asked, places[at], _child_id(cl_ord_id, *at), "route")
            children.append(msgspec.structs.replace(request, order_qty=qty))
        return made, tuple(children)

    async def preview(self, asked: Asked, choices: Sequence[Choice]) -> tuple[dict[str, Any], tuple[OrderRequest, ...]]:
        """What a routed order would do in all its accounts, with the plan and its reasons; and the orders."""
        made, children = await self.plan(asked, choices)
        seats = self._station.seats
        if children:
            found = joined([await seats[child.account].engine.preview(child) for child in children])
        else:
            children = (_request(asked, choices[0], asked.cl_ord_id or "ROUTE", "preview"),)
            found = dict(await choices[0].seat.engine.preview(children[0]))
        found["route"] = shown(made, children if made.children else (), self._slices)
        found["would_leave"] = found["would_leave"] and made.ok
        return found, children

    async def alone(self, asked: Asked, choices: Sequence[Choice]) -> dict[str, Any]:
        """The plan of an order that has one place to go."""
        made, children = await self.plan(asked, choices)
        return shown(made, children, self._slices)

    def whole(
        self, legs: Sequence[OrderRequest], text: str, against: Sequence[str], choice: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The plan of what an algorithm works: every leg whole, in one account; it cuts them as it goes.

        ``against`` are reasons for which it would not leave, ``choice`` says why in this account.
        """
        name, at = text.partition(" ")[0], f"{legs[0].account}@{legs[0].broker}"
        if against:
            units = sum(leg.order_qty for leg in legs)
            return {**_shown((), units, [*choice, *(f"{at}: not used, {reason}" for reason in against)]), "algo": text}
        what = "the order" if len(legs) == 1 else f"the {len(legs)} legs"
        why = [*choice, f"{at}: '{name}' works {what} in one account and cuts as it goes"]
        return {**_shown(legs, 0, why), "algo": text}

    def _slices(self, child: OrderRequest) -> tuple[int, ...]:
        """The exchange orders that a part in one account comes to."""
        return self._station.seats[child.account].engine.core.plan(child)

    async def place(self, asked: Asked, choices: Sequence[Choice], via: str) -> dict[str, Any]:
        """Plan, journal the parent, then place a child in each account; a plan that does not fit is denied whole."""
        cl_ord_id = asked.cl_ord_id or f"R{secrets.token_hex(8).upper()}"
        asked = msgspec.structs.replace(asked, cl_ord_id=cl_ord_id)
        known = self.again(asked)
        if known is not None:
            return known
        if any(cl_ord_id in seat.engine.core.orders for seat in self._station.seats.values()):
            raise taken(cl_ord_id)
        made, children = await self.plan(asked, choices)
        home = self._home
        whole = _request(asked, choices[0], cl_ord_id, via)
        parent = Parent(
            asked=asked,
            request=msgspec.structs.replace(whole, account=home.account, broker=home.broker),
            children=tuple(msgspec.structs.replace(c, via=via) for c in children) if made.ok else (),
            left_qty=made.left_qty,
            why=made.why,
            created_ns=home.engine.now_ns(),
        )
        self._keep(parent)
        try:
            note = home.engine.core.note(parent.created_ns, _KIND, cl_ord_id, msgspec.to_builtins(parent))
            await home.engine.perform(note)
            if home.engine.state == "journal_failed":
                raise Refused(f"the journal of {home.account} could not be written; nothing was sent")
        except ToolkitError:
            self._forget(parent)
            raise
        await self._send(parent)
        return self.row(cl_ord_id)

    async def _send(self, parent: Parent) -> None:
        """Place the children side by side; an error is raised only when none of them reached its journal."""
        seats, name = self._station.seats, parent.request.cl_ord_id
        self._busy.add(name)
        try:
            done = await asyncio.gather(
                *(seats[c.account].engine.place(c) for c in parent.children), return_exceptions=True
            )
        finally:
            self._busy.discard(name)
        faults = [error for error in done if isinstance(error, BaseException)]
        if faults and not self.children(name):
            raise faults[0]

    def again(self, asked: Asked) -> dict[str, Any] | None:
        """The routed order that has this id already; another body under the same id is refused."""
        parent = self._day.parents.get(asked.cl_ord_id or "")
        if parent is None:
            return None
        if parent.asked != asked:
            raise taken(parent.request.cl_ord_id)
        return self.row(parent.request.cl_ord_id)

    async def cancel(self, cl_ord_id: str) -> dict[str, Any]:
        """Cancel what is open of it in every account."""
        working = [(seat, order) for seat, order in self.children(cl_ord_id) if order.is_open]
        if not working:
            raise Refused(f"order {cl_ord_id} is already {self.row(cl_ord_id)['ord_status']}; nothing to cancel")
        done = await asyncio.gather(
            *(seat.engine.cancel(order.cl_ord_id) for seat, order in working), return_exceptions=True
        )
        faults = [error for error in done if isinstance(error, BaseException)]
        if faults:
            raise faults[0]
        return self.row(cl_ord_id)

    def no_modify(self, cl_ord_id: str) -> BadOrder:
        """A routed order is changed child by child."""
        names = ", ".join(f"{o.cl_ord_id} at {seat.account}" for seat, o in self.children(cl_ord_id)) or "none"
        text = f"a routed order cannot be modified as a whole; modify its children ({names}) or cancel it"
        return BadOrder("cl_ord_id", "an order of one account", cl_ord_id, text)

    @property
    def _home(self) -> Seat:
        return next(iter(self._station.seats.values()))

    @property
    def _day(self) -> _Day:
        """What is kept of today; what is of a day before is forgotten."""
        day = self._home.engine.core.day
        if self._kept.day != day:
            self._kept = _Day(day)
        return self._kept

    def _keep(self, parent: Parent) -> None:
        self._day.parents[parent.request.cl_ord_id] = parent
        self._day.of |= dict.fromkeys((c.cl_ord_id for c in parent.children), parent.request.cl_ord_id)

    def _forget(self, parent: Parent) -> None:
        self._day.parents.pop(parent.request.cl_ord_id, None)
        for child in parent.children:
            self._day.of.pop(child.cl_ord_id, None)

    def _order(self, child: OrderRequest) -> Order | None:
        seat = self._station.seats.get(child.account)
        return None if seat is None else seat.engine.core.orders.get(child.cl_ord_id)

    async def _venue(self, choice: Choice, asked: Asked) -> Venue:
        """What an account can take now: its state, capabilities, money, position, quote and costs."""
        seat, instrument = choice.seat, choice.instrument
        engine, can = seat.engine, seat.engine.broker.capabilities
        one = msgspec.structs.replace(_request(asked, choice, "ROUTE", "preview"), order_qty=instrument.lot)
        fault = self.fault(seat)
        if not fault:
            try:
                await engine.checks.prepare(one)
            except ToolkitError as error:
                fault = str(error)
        book, now_ns = engine.core.book, engine.now_ns()
        quote = book.quote(instrument)
        one = priced(one, quote)
        closes = book.net.get(instrument.symbol, 0) * asked.side.sign < 0
        if not fault and not closes:
            fault = self.no_opening(seat)
        funds_p, margin_p = (None, None) if fault or self.no_opening(seat) else await _money(seat, instrument, one)
        cost = charges_of([one], self._station.hub.mark, now_ns).get("total")
        return Venue(
            account=seat.account,
            broker=seat.broker,
            exchange=instrument.exchange,
            ord_types=can.ord_types,
            time_in_force=can.time_in_force,
            products=can.products,
            lot=instrument.lot,
            tick_p=instrument.tick_p,
            freeze_qty=instrument.freeze_qty,
            max_slices=can.max_slices,
            healthy=not fault,
            reason=fault,
            messages_left=max(0, engine.core.limits.max_messages_per_s - book.messages(now_ns, instrument.exchange)),
            funds_p=funds_p,
            margin_p=margin_p,
            net_qty=book.net.get(instrument.symbol, 0),
            working_qty=book.open_qty(instrument.symbol, asked.side),
            quote=quote,
            cost_p=None if cost is None else cost * 100.0 / instrument.lot,
        )

    def fault(self, seat: Seat) -> str:
        """Why an account can take nothing at all."""
        engine = seat.engine
        if engine.state != "ready":
            return f"its engine is {engine.state}"
        if engine.core.book.state is TradingState.HALTED:
            return f"its trading is halted: {engine.core.book.state_reason}"
        return ""

    def no_opening(self, seat: Seat) -> str:
        """Why an account may only shrink its positions."""
        book = seat.engine.core.book
        if book.state is TradingState.REDUCING:
            return f"it only takes what reduces: {book.state_reason}"
        return "" if self._station.is_armed(seat) else "live trading of it is not armed"


def joined(previews: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The previews of a routed order's children as one.

    >>> one = {"plan": [65], "lot": 65, "margin": {"total": 2.0}, "failed": [], "passed": ["a"], "would_leave": True}
    >>> both = joined([{**one, "quote_age_s": 1.0}, {**one, "passed": [], "quote_age_s": None}])
    >>> both["plan"], both["margin"], both["passed"], both["quote_age_s"]
    ([65, 65], {'total': 4.0}, [], None)
    """
    margins = [preview["margin"] for preview in previews]
    ages = [preview["quote_age_s"] for preview in previews]
    total = None
    if all(margins):
        total = {k: sum(m[k] for m in margins) for k, v in margins[0].items() if isinstance(v, float)}
    return {
        "plan": [qty for preview in previews for qty in preview["plan"]],
        "lot": previews[0]["lot"],
        "margin": total,
        "failed": [denial for preview in previews for denial in preview["failed"]],
        "passed": [rule for rule in previews[0]["passed"] if all(rule in p["passed"] for p in previews)],
        "quote_age_s": None if None in ages else max(ages),
        "would_leave": all(preview["would_leave"] for preview in previews),
    }


def shown(
    plan: Plan, children: Sequence[OrderRequest], slices: Callable[[OrderRequest], Sequence[int]] | None = None
) -> dict[str, Any]:
    """A plan in the words of the surface; ``slices`` gives a child's exchange orders.

    >>> shown(Plan(children=(), left_qty=65, why=("A@paper/NSE: not used, it is halted",)), ())["ok"]
    False
    """
    return _shown(children, plan.left_qty, plan.why, slices)


def _shown(
    children: Sequence[OrderRequest],
    left_qty: int,
    why: Sequence[str],
    slices: Callable[[OrderRequest], Sequence[int]] | None = None,
) -> dict[str, Any]:
    names = ("cl_ord_id", "account", "broker", "exchange", "symbol", "side", "order_qty")
    rows: list[dict[str, Any]] = [{name: getattr(child, name) for name in names} for child in children]
    for row, child in zip(rows, children, strict=True):
        row["side"] = str(child.side)
        row["slices"] = None if slices is None else list(slices(child))
    return {"children": rows, "left_qty": left_qty, "ok": left_qty == 0, "why": list(why)}


class Lists(Protocol):
    """What knows the contracts that are listed: a broker."""

    async def resolve(self, symbol: str, exchange: str | None = None) -> Instrument:
        """The one live contract that a text names."""
        ...


async def contract_of(
    broker: Lists, asked: Asked, ensure: Callable[[Sequence[str]], Awaitable[object]] | None = None
) -> Instrument:
    """The contract that an order names; ``ensure`` has its quotes come, or does not know it.

    Raises
    ------
    NotListed
        When it names none, or several; the text lists the nearest or the candidates.
    BadOrder
        When only the exchange is wrong.
    """
    try:
        found = await broker.resolve(asked.symbol, asked.exchange)
    except UnknownSymbol as error:
        elsewhere = None
        if asked.exchange is not None:
            with contextlib.suppress(UnknownSymbol):
                elsewhere = await broker.resolve(asked.symbol)
        raise unlisted(asked, error, elsewhere) from None
    if ensure is not None:
        try:
            await ensure([found.symbol])
        except UnknownSymbol as error:
            raise unlisted(asked, error) from None
    return found


async def _listings(seat: Seat, asked: Asked) -> list[Instrument]:
    """The contract at one account's broker; of a share without an exchange, on each exchange that lists it."""
    broker = seat.engine.broker
    found: list[Instrument] = []
    fault: BadOrder | None = None
    try:
        found.append(await contract_of(broker, asked))
    except BadOrder as error:
        fault = error
    if asked.exchange is None and (fault is not None or found[0].kind is Kind.EQUITY):
        for exchange in broker.capabilities.exchanges:
            if all(one.exchange != exchange for one in found):
                try:
                    found.append(await broker.resolve(asked.symbol, exchange))
                except UnknownSymbol:
                    continue
    if not found and fault is not None:
        raise fault
    return found


async def _money(seat: Seat, instrument: Instrument, one: OrderRequest) -> tuple[int | None, int | None]:
    """Free money, and the margin of one unit rounded up; None is what the broker does not say."""
    engine = seat.engine
    if not (engine.core.limits.check_margin or engine.checks.asks_margin):
        return 0, 0
    try:
        funds = await engine.broker.margins()
        need_p = await engine.checks.need_p([one])
    except ToolkitError:
        return None, None
    if instrument.kind is Kind.OPTION and one.side is Side.BUY:
        need_p = max(need_p, one.order_qty * (one.price_p or 0))  # the premium is paid at once
    return funds.available_p, math.ceil(need_p / one.order_qty)


def priced(one: OrderRequest, quote: Quote | None) -> OrderRequest:
    """An order without a price, at the touch: for a question about its margin."""
    touch = None if quote is None else (quote.ask_p if one.side is Side.BUY else quote.bid_p)
    return one if one.price_p is not None or touch is None else msgspec.structs.replace(one, price_p=touch)


def _request(asked: Asked, choice: Choice, cl_ord_id: str, via: str) -> OrderRequest:
    seat = choice.seat
    return request_of(asked, choice.instrument, cl_ord_id=cl_ord_id, account=seat.account, broker=seat.broker, via=via)


def _unsent(request: OrderRequest, now_ns: int, busy: bool) -> Order:
    """An order that its account's journal does not hold: about to be placed, or one that never left."""
    return Order(
        request=request,
        ord_status=OrdStatus.PENDING_NEW if busy else OrdStatus.DENIED,
        cum_qty=0,
        leaves_qty=request.order_qty if busy else 0,
        traded_value_p=0,
        created_ns=now_ns,
        updated_ns=now_ns,
    )


def _child_id(cl_ord_id: str, account: str, exchange: str) -> str:
    """The id of the part in one account on one exchange: the same parent always has the same children."""
    mark = hashlib.blake2b(f"{cl_ord_id}|{account}|{exchange}".encode(), digest_size=7)
    return f"RC{mark.hexdigest().upper()}"
