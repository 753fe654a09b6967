"""Orders that an algorithm works, alone or as a basket of legs: their ids, their one account, and why that one."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from toolkit.errors import BadOrder, Refused, ToolkitError
from toolkit.orders.previews import charges_of
from toolkit.orders.routing import contract_of, priced
from toolkit.orders.words import Asked, Basket, no_account, request_of, taken
from toolkit.types import Denial, Kind, Order, OrderRequest, Side

if TYPE_CHECKING:
    from toolkit.orders.station import Seat, Station

__all__ = ["Plan", "Wholes", "is_known", "named"]

_ACT: Final = "route"
_PAGE: Final = 1000


class Plan(msgspec.Struct, frozen=True):
    """The account that takes all of it; ``why`` has a line an account, empty where there is only one.

    ``ok`` False: none takes it, and it is denied in this one.
    """

    seat: Seat
    why: tuple[str, ...] = ()
    ok: bool = True


class _Look(msgspec.Struct, frozen=True):
    """One account: why it cannot take it, or the units it would close there and its cost in rupees, if known."""

    seat: Seat
    fault: str = ""
    closes: int = 0
    cost: float | None = None

    @property
    def label(self) -> str:
        return f"{self.seat.account}@{self.seat.broker}"


class Wholes:
    """The orders of one process that are worked whole in one account.

    Parameters
    ----------
    station : Station
    """

    def __init__(self, station: Station) -> None:
        self._station = station
        self._why: dict[str, tuple[str, ...]] = {}
        self._day: dt.date | None = None

    def recall(self) -> None:
        """Read the day's reasons back from the home account's journal."""
        engine, after = self._home.engine, 0
        while batch := engine.events(after, _PAGE):
            for event in batch:
                if event.kind == "act" and event.payload.get("act") == _ACT:
                    self._today[event.cl_ord_id] = tuple(event.payload["why"])
            after = batch[-1].seq

    def shown(self, cl_ord_id: str) -> dict[str, Any]:
        """What an order's row says of its route: nothing where its account was named or is the only one."""
        why = self._today.get(cl_ord_id)
        return {} if why is None else {"route": {"why": list(why)}}

    def seat_of(self, asked: Basket) -> Seat | None:
        """The account that has the first leg's id already.

        Raises
        ------
        IdTaken
            When it has not the account that is asked for now.
        """
        first, seats = asked.legs[0].cl_ord_id, self._station.seats.values()
        found = next((seat for seat in seats if first in seat.engine.core.orders), None)
        if first is not None and (first in self._station.routes or found not in (None, *self._candidates(asked.legs))):
            raise taken(first)
        return found

    async def plan(self, asked: Basket) -> Plan:
        """Choose one account for all legs: where they close most, then where they cost least, then the first.

        An unknown cost comes after every known one.

        Raises
        ------
        BadOrder
            When legs name different accounts or brokers, or one that is not served.
        """
        seats = self._candidates(asked.legs)
        if len(seats) == 1:
            return Plan(seats[0])
        looks = await asyncio.gather(*(self._look(seat, asked.legs) for seat in seats))
        able = sorted(
            (look for look in looks if not look.fault), key=lambda k: (-k.closes, k.cost is None, k.cost or 0.0)
        )
        if not able:
            why = [f"{look.label}: not used, {look.fault}" for look in looks]
            return Plan(seats[0], tuple(why), ok=False)
        best = able[0]
        charges = "its charges are unknown" if best.cost is None else f"charges of about Rs {best.cost:.2f}"
        reason = f"closes {best.closes} units there" if best.closes else charges
        why = [f"{best.label}: takes it whole, {reason}; an algorithm works in one account"]
        why += [f"{k.label}: not used, {k.fault or f'{best.label} takes it all'}" for k in looks if k is not best]
        return Plan(best.seat, tuple(why))

    async def place(self, seat: Seat, made: Sequence[OrderRequest], asked: Basket, plan: Plan) -> Order:
        """Journal why it goes where it goes, then hand it over; deny it where no account takes it."""
        engine, text, first = seat.engine, asked.algo or "legs", made[0].cl_ord_id
        engine.deciders.parents.make(text, made, asked.policy)  # what is none leaves no trace
        if plan.why:
            home = self._home.engine
            note = {"act": _ACT, "account": seat.account, "broker": seat.broker, "why": plan.why}
            await home.perform(home.core.note(home.now_ns(), "act", first, note))
            if home.state == "journal_failed":
                raise Refused(f"the journal of {home.account} could not be written; nothing was sent")
            self._today[first] = plan.why
        if plan.ok:
            return await engine.place_algo(made, text, asked.policy)
        parent = msgspec.structs.replace(made[0], algo=text, order_qty=sum(leg.order_qty for leg in made))
        denial = Denial("route", "an account that takes it whole", "none", "; ".join(plan.why))
        await engine.perform(engine.core.deny_algo(engine.now_ns(), parent, made, (denial,)))
        return engine.core.orders[first]

    def _candidates(self, legs: Sequence[Asked]) -> list[Seat]:
        """The accounts that no leg rules out."""
        account, broker = _one(legs, "account"), _one(legs, "broker")
        seats = list(self._station.seats.values())
        found = [s for s in seats if account in (None, s.account) and broker in (None, s.broker)]
        if not found and account is not None and account not in self._station.seats:
            raise no_account("account", self._station.accounts, account)
        if not found:
            raise no_account("broker", sorted({s.broker for s in seats}), broker)
        return found

    async def _look(self, seat: Seat, legs: Sequence[Asked]) -> _Look:
        """Whether an account can take every leg now, by what the router asks of it: state, contracts, margin."""
        fault = self._station.routes.fault(seat)
        if fault:
            return _Look(seat, fault)
        engine, made = seat.engine, []
        try:
            for n, leg in enumerate(legs):
                instrument = await contract_of(engine.broker, leg)
                await self._station.hub.ensure([instrument.symbol])
                where = {"account": seat.account, "broker": seat.broker, "via": "preview"}
                request = request_of(leg, instrument, cl_ord_id=f"ROUTE{n}", **where)
                if request.product not in engine.broker.capabilities.products:
                    return _Look(seat, f"it does not take {request.product}")
                await engine.checks.prepare(request)
                made.append(priced(request, engine.core.book.quote(instrument)))
            fault = await self._short(seat, made)
        except ToolkitError as error:
            fault = str(error)
        if fault:
            return _Look(seat, fault)
        book = engine.core.book
        closes = sum(r.order_qty for r in made if book.reduces(r.symbol, r.side, r.order_qty))
        cost = charges_of(made, self._station.hub.mark, engine.now_ns()).get("total")
        return _Look(seat, "", closes, cost)

    async def _short(self, seat: Seat, made: Sequence[OrderRequest]) -> str:
        """Why an account's state or money does not do for what the legs add."""
        engine = seat.engine
        adds = [r for r in made if not engine.core.book.reduces(r.symbol, r.side, r.order_qty)]
        no_opening = self._station.routes.no_opening(seat)
        if adds and no_opening:
            return no_opening
        if not adds or not (engine.core.limits.check_margin or engine.checks.asks_margin):
            return ""
        have_p, need_p = (await engine.broker.margins()).available_p, await engine.checks.need_p(adds)
        terms = engine.core.book.instruments
        bought = [r for r in adds if r.side is Side.BUY and terms[r.symbol].kind is Kind.OPTION]
        need_p = max(need_p, sum(r.order_qty * (r.price_p or 0) for r in bought))  # premium is paid at once
        if have_p is None:
            return "its funds are unknown"
        return "" if need_p <= have_p else f"it needs Rs {need_p / 100:.2f} and Rs {have_p / 100:.2f} are free"

    @property
    def _today(self) -> dict[str, tuple[str, ...]]:
        """The reasons of the home account's day; those of a day before are forgotten with its orders."""
        day = self._home.engine.core.day
        if self._day != day:
            self._day, self._why = day, {}
        return self._why

    @property
    def _home(self) -> Seat:
        return next(iter(self._station.seats.values()))


def named(asked: Basket, first: str) -> list[tuple[Asked, str]]:
    """The legs with their ids: a leg without one has it from the first, so that the same basket has the same."""
    found = []
    for n, leg in enumerate(asked.legs):
        mark = hashlib.blake2b(f"{first}|leg {n}".encode(), digest_size=7).hexdigest().upper()
        found.append((leg, leg.cl_ord_id or (first if n == 0 else f"L{mark}")))
    return found


def is_known(
    seats: Mapping[str, Seat],
    seat: Seat,
    made: Sequence[OrderRequest],
    algo: str | None = None,
    policy: Mapping[str, Any] | None = None,
) -> bool:
    """Whether an order, or legs for an algorithm, are in the account's journal already.

    Raises
    ------
    IdTaken
        When something else has one of the ids.
    """
    core, first = seat.engine.core, made[0].cl_ord_id
    if first not in core.orders:
        for leg in made:
            if any(leg.cl_ord_id in other.engine.core.orders for other in seats.values()):
                raise taken(leg.cl_ord_id)
        return False
    asked, kept = core.asked(first), core.algos.get(first)
    before = core.algo_legs(first) if algo else () if asked is None else (asked,)
    after = [msgspec.structs.replace(r, via=b.via) for r, b in zip(made, before, strict=False)]
    same = len(made) == len(before) and after == list(before)
    if algo:
        same = same and asked is not None and asked.algo == algo
        said = {} if kept is None else dict(kept.policy or {})
        found = "order" in said and "order" not in (policy or {})  # by least margin, not by the person
        same = same and (kept is None or {k: v for k, v in said.items() if k != "order" or not found} == (policy or {}))
    if not same:
        raise taken(first)
    return True


def _one(legs: Sequence[Asked], field: str) -> str | None:
    """The one account or broker that legs name, None without one."""
    said = list(dict.fromkeys(value for leg in legs if (value := getattr(leg, field)) is not None))
    if len(said) > 1:
        raise BadOrder(field, said[0], said[1], f"every leg must be of one {field}, was {' and '.join(said)}")
    return said[0] if said else None
