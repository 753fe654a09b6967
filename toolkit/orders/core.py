"""The one writer's brain: intents and reports in, effects out. Pure: no socket, no clock, no file.

Every method returns the effects that its caller must perform, in order:

- :class:`~toolkit.orders.effects.Record` first, durable in the journal, before
- ``SendNew``, ``SendReplace``, ``SendCancel`` go to the broker; and
- ``Tell`` is passed to the strategy that asked.

The records alone rebuild the core: ``Core.replay(records)`` equals the core that wrote them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from toolkit.calendar import ist_date
from toolkit.errors import BadData
from toolkit.orders import ids
from toolkit.orders.effects import Effect, SendCancel, SendNew, SendReplace, Tell
from toolkit.orders.lifecycle import Anomaly, apply
from toolkit.orders.projection import NOTES, Projection, mark
from toolkit.orders.protection import adding
from toolkit.orders.records import AlgoState, check_words, journalable
from toolkit.orders.slicing import legal_max, slices
from toolkit.orders.words import taken
from toolkit.risk.checks import check, protect
from toolkit.risk.limits import Limits, TradingState
from toolkit.types import (
    Cancel,
    Denial,
    ExecType,
    ExecutionReport,
    Fill,
    Intent,
    Modify,
    Order,
    OrderRequest,
    OrdStatus,
    OrdType,
    Place,
    Product,
    Side,
    Target,
)

__all__ = ["Core"]

_WORKING: Final = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED})


class Core(Projection):
    """One account at one broker: what :class:`~toolkit.orders.projection.Projection` knows, and what it decides."""

    def start_day(self, now_ns: int, carried: Mapping[str, Any] | None = None) -> list[Effect]:
        """Open a day: ids start again; positions, cash and a halt are carried.

        ``carried`` (a position book's own words, say) is journaled as it is.
        """
        payload = {
            "account": self.account,
            "broker": self.broker,
            "day": ist_date(now_ns).isoformat(),
            "limits": self.limits,
            "funds_p": self.book.funds_p,
            "net": self.book.net,
            "cash_p": self.book.cash_p,
            "state": self.book.state,
            "reason": self.book.state_reason,
            "carried": dict(carried or {}),
        } | ({"under": self.under} if self.under else {})
        return [self._write(now_ns, "open", "", payload)]

    def on_intents(
        self, now_ns: int, intents: Sequence[Intent], *, algo: str | None = None, parent: str | None = None
    ) -> list[Effect]:
        """Decide on one decision's intents, in order; those of an algorithm become children of its ``parent``."""
        effects: list[Effect] = []
        for intent in intents:
            if isinstance(intent, Cancel):
                effects += self.cancel(now_ns, intent.cl_ord_id)
            elif isinstance(intent, Modify):
                effects += self.modify(now_ns, intent)
            else:
                place = self._to_place(intent) if isinstance(intent, Target) else intent
                if place is not None:
                    effects += self.submit(now_ns, self._request(now_ns, place, algo, parent))
        return effects

    def submit(self, now_ns: int, request: OrderRequest) -> list[Effect]:
        """Decide on one order. The same ``cl_ord_id`` again is the same order and does nothing.

        Raises
        ------
        BadData
            When the id is malformed or was used for another order, or a field is not one of its words.
        """
        ids.check(request.cl_ord_id)
        check_words(request)
        known = self._asked.get(request.cl_ord_id)
        if known is not None:
            if known == journalable(request):
                return []
            raise taken(request.cl_ord_id)
        if request.account != self.account:
            raise BadData(f"this engine trades account '{self.account}', was '{request.account}'")
        order = request
        if request.ord_type is OrdType.MARKET and request.price_p is None:
            order = msgspec.structs.replace(request, price_p=protect(request, self.book, self.limits, now_ns))
        parts = self.plan(order)
        denials = check(order, self.book, self.limits, now_ns, messages=len(parts)) + self.gate(order, now_ns)
        if denials:
            return self._deny(now_ns, request, denials)
        payload: dict[str, Any] = {"asked": request} if order is request else {"asked": request, "sent": order}
        if len(parts) == 1:
            effects: list[Effect] = [self._write(now_ns, "order", order.cl_ord_id, payload)]
            return [*effects, SendNew(self.orders[order.cl_ord_id].request)]
        payload |= {"children": parts, "after": max(self._seq, self._given)}
        effects = [self._write(now_ns, "parent", order.cl_ord_id, payload)]
        return effects + [SendNew(self.orders[child].request) for child in self.children[order.cl_ord_id]]

    def requests(self, now_ns: int, intents: Sequence[Place | Target]) -> list[OrderRequest]:
        """The orders that intents would become now, with protection prices, for a question about margin."""
        found = []
        for intent in intents:
            place = self._to_place(intent) if isinstance(intent, Target) else intent
            if place is not None:
                request = self._request(now_ns, place, None)
                if request.ord_type is OrdType.MARKET and request.price_p is None:
                    price_p = protect(request, self.book, self.limits, now_ns)
                    request = msgspec.structs.replace(request, price_p=price_p)
                found.append(request)
        return found

    def deny(self, now_ns: int, request: OrderRequest, denials: tuple[Denial, ...]) -> list[Effect]:
        """Deny an order for reasons found outside the core (the broker's own margin); it never left."""
        ids.check(request.cl_ord_id)
        return self._deny(now_ns, request, denials)

    def new_id(self, now_ns: int, taken: Container[str] = ()) -> str:
        """The next free id of ours, kept for the caller; ``taken`` are ids that the broker's book holds already.

        No order made meanwhile gets it. One that is never used leaves a gap: without a record it never left.
        """
        while True:
            made = self._next_id(now_ns)
            self._given = max(self._seq, self._given) + 1
            if made not in taken:
                return made

    def reserve(self, cl_ord_id: str) -> None:
        """Keep an id that a caller still waits with: no id of ours to come is the same."""
        if self.day is not None:
            self._given = max(self._given, ids.sequence(cl_ord_id, self.day, self.account))

    def modify(self, now_ns: int, modify: Modify) -> list[Effect]:
        """Decide on a modification: the full new statement of a working order."""
        order = self.orders.get(modify.cl_ord_id)
        if order is None:
            return self._refuse(now_ns, modify.cl_ord_id, ExecType.REPLACE_REJECTED, "no such order")
        fault = self._unfit(order, modify)
        if fault is not None:
            return self._refuse(now_ns, modify.cl_ord_id, ExecType.REPLACE_REJECTED, fault.text, (fault,))
        before = order.request
        statement = Modify(
            cl_ord_id=modify.cl_ord_id,
            order_qty=modify.order_qty,
            price_p=before.price_p if modify.price_p is None else modify.price_p,
            stop_px_p=before.stop_px_p if modify.stop_px_p is None else modify.stop_px_p,
        )
        wanted = msgspec.structs.replace(
            before, order_qty=statement.order_qty, price_p=statement.price_p, stop_px_p=statement.stop_px_p
        )
        denials = check(wanted, self.book, self.limits, now_ns, replaces=order) + self.gate(wanted, now_ns)
        if denials:
            text = "; ".join(d.text for d in denials)
            return self._refuse(now_ns, modify.cl_ord_id, ExecType.REPLACE_REJECTED, text, denials)
        return [
            self._write(now_ns, "modify", modify.cl_ord_id, statement),
            SendReplace(statement, before.exchange),
        ]

    def _unfit(self, order: Order, modify: Modify) -> Denial | None:
        """Why an order as it stands cannot be modified so."""
        before, parent = order.request, order.request.parent_id
        if order.cl_ord_id in self.children:
            text = "a sliced order cannot be modified as a whole; modify its children or cancel it"
            return Denial("cl_ord_id", "an order that is not sliced", order.cl_ord_id, text)
        if order.ord_status not in _WORKING:
            text = f"only a working order can be modified, was {order.ord_status}"
            return Denial("ord_status", ", ".join(sorted(_WORKING)), str(order.ord_status), text)
        if parent is not None and modify.order_qty > before.order_qty:
            text = f"a child of {parent} cannot grow beyond its {before.order_qty} units, was {modify.order_qty}"
            return Denial("order_qty", before.order_qty, modify.order_qty, text)
        return None

    def cancel(self, now_ns: int, cl_ord_id: str) -> list[Effect]:
        """Cancel an order, or every open child of a sliced one. Passes in every trading state."""
        if cl_ord_id in self.children:
            open_children = [c for c in self.children[cl_ord_id] if self.orders[c].is_open]
            return [effect for child in open_children for effect in self.cancel(now_ns, child)]
        order = self.orders.get(cl_ord_id)
        if order is None or not order.is_open:
            text = "no such order" if order is None else f"the order is already {order.ord_status}"
            return self._refuse(now_ns, cl_ord_id, ExecType.CANCEL_REJECTED, text)
        if order.ord_status is OrdStatus.PENDING_CANCEL:
            return []
        exchange = order.request.exchange
        count = self.book.messages(now_ns, exchange) + 1
        if count > self.limits.max_cancels_per_s:
            most = self.limits.max_cancels_per_s
            text = f"at most {most} messages a second with cancels, unanswered ones counted, would be {count}"
            return self._refuse(now_ns, cl_ord_id, ExecType.CANCEL_REJECTED, text)
        return [self._write(now_ns, "cancel", cl_ord_id, {"exchange": exchange}), SendCancel(cl_ord_id, exchange)]

    def cancel_all(self, now_ns: int, *, only_increasing: bool = False) -> list[Effect]:
        """Cancel every open order, or only those that could increase a position (what a halt does)."""
        orders = adding(self.open_orders(), self.book.net) if only_increasing else self.open_orders()
        return [effect for order in orders for effect in self.cancel(now_ns, order.cl_ord_id)]

    def on_report(self, report: ExecutionReport) -> list[Effect]:
        """Fold in what a broker or an exchange says; a repeat does nothing."""
        order = self.orders.get(report.cl_ord_id)
        if order is None:
            odd = Anomaly(
                "unknown_order", report.cl_ord_id, report.exec_id, report.ts_ns, "report names no order of ours"
            )
            if mark(odd) in self._odd:
                return []
            return [self._write(report.recv_ns, "report", report.cl_ord_id, report)]
        after, anomaly = apply(order, report)
        if after == order and (anomaly is None or mark(anomaly) in self._odd):
            return []
        return [self._write_report(order, report, (after, anomaly)), Tell(report)]

    def on_settlement(self, now_ns: int, fills: Iterable[Fill]) -> list[Effect]:
        """Book the closing of expired positions at their settlement values."""
        return [self._write(now_ns, "settlement", f.cl_ord_id, f) for f in fills if f.exec_id not in self.fills]

    def external_order(self, now_ns: int, request: OrderRequest) -> list[Effect]:
        """Take in an order that was placed elsewhere: it counts, works and can be canceled like any other."""
        if request.cl_ord_id in self.orders:
            return []
        return [self._write(now_ns, "external", request.cl_ord_id, request)]

    def lose(self, now_ns: int, cl_ord_id: str, text: str) -> list[Effect]:
        """Settle an unknown order as not found: the broker's book never showed it."""
        order = self.orders[cl_ord_id]
        report = self._answer(now_ns, order.request, ExecType.REJECTED, text)
        report = msgspec.structs.replace(report, exec_id=f"{cl_ord_id}-absent")
        return [self._write(now_ns, "lost", cl_ord_id, report), Tell(report)]

    def revive(self, now_ns: int, cl_ord_id: str, text: str, order_qty: int | None = None) -> list[Effect]:
        """Take back that an order is closed: the broker's book shows it after all, for ``order_qty`` units in all."""
        if self.orders[cl_ord_id].is_open:
            return []
        return [self._write(now_ns, "revived", cl_ord_id, {"text": text, "order_qty": order_qty})]

    def align(self, now_ns: int, fill: Fill, text: str) -> list[Effect]:
        """Bring a position to the broker's by the execution that explains the difference."""
        if fill.exec_id in self.fills:
            return []
        return [self._write(now_ns, "aligned", fill.cl_ord_id, {"fill": fill, "text": text})]

    def start_algo(
        self, now_ns: int, request: OrderRequest, legs: Sequence[OrderRequest], policy: Mapping[str, Any] | None = None
    ) -> list[Effect]:
        """Accept a parent order that an algorithm works through children; the same again does nothing.

        Raises
        ------
        BadData
            When the id is malformed or was used for another order, or the account is another's.
        """
        if self._is_known(request, legs):
            return []
        begun = AlgoState(request, tuple(legs), dict(policy) if policy else None)
        return [self._write(now_ns, "algo", request.cl_ord_id, begun)]

    def deny_algo(
        self, now_ns: int, request: OrderRequest, legs: Sequence[OrderRequest], denials: tuple[Denial, ...]
    ) -> list[Effect]:
        """Deny a parent order, as :meth:`start_algo` would accept it; none of its children ever leaves."""
        if self._is_known(request, legs):
            return []
        return self._deny(now_ns, request, denials, tuple(journalable(leg) for leg in legs))

    def _is_known(self, request: OrderRequest, legs: Sequence[OrderRequest]) -> bool:
        """Whether a parent order was asked for before, to the letter; another under its id is refused."""
        ids.check(request.cl_ord_id)
        for leg in (request, *legs):
            check_words(leg)
            if leg.account != self.account:
                raise BadData(f"this engine trades account '{self.account}', was '{leg.account}'")
        known = self.algo_legs(request.cl_ord_id)
        if known and (self._asked[request.cl_ord_id], known) == (
            journalable(request),
            tuple(journalable(leg) for leg in legs),
        ):
            return True
        if request.cl_ord_id in self._asked:
            raise taken(request.cl_ord_id)
        return False

    def keep_algo(
        self, now_ns: int, cl_ord_id: str, state: dict[str, Any], *, done: bool = False, text: str = ""
    ) -> list[Effect]:
        """Note where an algorithm stands, before its messages leave."""
        return [self._write(now_ns, "algo_state", cl_ord_id, {"state": state, "done": done, "text": text})]

    def note(self, now_ns: int, kind: str, name: str, payload: Mapping[str, Any]) -> list[Effect]:
        """Write down what changes no order: ``strategy`` and ``guard`` states, ``alarm``, ``difference``, ``act``."""
        if kind not in NOTES:
            raise BadData(f"a note is one of {', '.join(NOTES)}, was '{kind}'")
        return [self._write(now_ns, kind, name, payload)]

    def set_state(
        self, now_ns: int, state: TradingState, reason: str, *, cancel: bool = True, passing: bool = False
    ) -> list[Effect]:
        """Change what the engine accepts. HALTED and REDUCING also cancel what increases exposure.

        ``passing`` is what a guard or the disk demands: :attr:`taken` stays, and stands again when the demand ends.
        """
        change = {"state": state, "reason": reason} | ({"under": self.taken} if passing else {})
        effects: list[Effect] = [self._write(now_ns, "state", "", change)]
        if cancel and state is not TradingState.ACTIVE:
            effects += self.cancel_all(now_ns, only_increasing=True)
        return effects

    def set_taken(self, now_ns: int, state: TradingState, reason: str) -> list[Effect]:
        """Change what trading comes to when the demand that stands now has ended."""
        change = {"state": self.book.state, "reason": self.book.state_reason, "under": (state, reason)}
        return [self._write(now_ns, "state", "", change)]

    def set_limits(self, now_ns: int, limits: Limits) -> list[Effect]:
        """Replace the limits: a journaled act."""
        return [self._write(now_ns, "limits", "", limits)]

    def _deny(
        self, now_ns: int, request: OrderRequest, denials: tuple[Denial, ...], legs: tuple[OrderRequest, ...] = ()
    ) -> list[Effect]:
        asked = journalable(request)
        payload = {"asked": asked, "denials": denials} | ({"legs": legs} if legs else {})
        record = self._write(now_ns, "denied", request.cl_ord_id, payload)
        text = "; ".join(d.text for d in denials)
        return [record, Tell(self._answer(now_ns, asked, ExecType.DENIED, text))]

    def _refuse(
        self, now_ns: int, cl_ord_id: str, exec_type: ExecType, text: str, denials: tuple[Denial, ...] = ()
    ) -> list[Effect]:
        order = self.orders.get(cl_ord_id)
        record = self._write(now_ns, "refused", cl_ord_id, {"exec_type": exec_type, "text": text})
        if order is None:
            asked = OrderRequest(cl_ord_id=cl_ord_id, symbol="", side=Side.BUY, order_qty=0, account=self.account)
        else:
            asked = order.request
        return [record, Tell(self._answer(now_ns, asked, exec_type, text), denials)]

    def _answer(self, now_ns: int, request: OrderRequest, exec_type: ExecType, text: str) -> ExecutionReport:
        self._denied += 1
        return ExecutionReport(
            cl_ord_id=request.cl_ord_id,
            exec_id=f"L{self._denied:08d}",
            exec_type=exec_type,
            ts_ns=now_ns,
            recv_ns=now_ns,
            account=request.account,
            symbol=request.symbol,
            side=request.side,
            price_p=request.price_p,
            order_qty=request.order_qty,
            text=text,
        )

    def plan(self, order: OrderRequest) -> tuple[int, ...]:
        """Quantities of the exchange orders it takes; one when it cannot be cut."""
        instrument = self.book.instruments.get(order.symbol)
        whole = (order.order_qty,)
        if instrument is None or instrument.freeze_qty is None or instrument.freeze_qty < instrument.lot:
            return whole
        qty = order.order_qty
        if not isinstance(qty, int) or not 0 < qty <= self.limits.max_order_lots * instrument.lot:
            return whole
        return slices(qty, legal_max(instrument.freeze_qty, instrument.lot))

    def _to_place(self, target: Target) -> Place | None:
        """The market order that closes the gap between the target and what is held or on its way."""
        net = self.book.net.get(target.symbol, 0)
        on_way = self.book.open_qty(target.symbol, Side.BUY) - self.book.open_qty(target.symbol, Side.SELL)
        gap = target.net_qty - net - on_way
        if gap == 0:
            return None
        side = Side.BUY if gap > 0 else Side.SELL
        return Place(symbol=target.symbol, side=side, order_qty=abs(gap), ord_type=OrdType.MARKET, note=target.note)

    def _request(self, now_ns: int, place: Place, algo: str | None, parent: str | None = None) -> OrderRequest:
        instrument = self.book.instruments.get(place.symbol)
        whole = None if parent is None else self.orders[parent].request
        return OrderRequest(
            cl_ord_id=self._next_id(now_ns),
            symbol=place.symbol,
            side=place.side,
            order_qty=place.order_qty,
            exchange=place.exchange or ("NSE" if instrument is None else instrument.exchange),
            ord_type=place.ord_type,
            price_p=place.price_p,
            stop_px_p=place.stop_px_p,
            time_in_force=place.time_in_force,
            product=place.product or (Product.NRML if whole is None else whole.product),
            account=self.account,
            broker=self.broker,
            algo=algo,
            order_source=None if whole is None else whole.order_source,
            note=place.ref or place.note or None,
            parent_id=parent,
            confirm=() if parent is None else self._confirmed(parent, place),
        )

    def _confirmed(self, parent: str, place: Place) -> tuple[str, ...]:
        """What a person confirmed of the legs holds for their children too, but for repeats: they are their own."""
        kept = self.algos.get(parent)
        legs = () if kept is None else kept.legs
        said = {word for leg in legs if (leg.symbol, leg.side) == (place.symbol, place.side) for word in leg.confirm}
        return ("confirm_value",) if "confirm_value" in said else ()
