"""The one writer's brain: intents and reports in, effects out. Pure: no socket, no clock, no file.

Every method returns the effects that its caller must perform, in order:

- :class:`~toolkit.orders.effects.Record` first, durable in the journal, before
- ``SendNew``, ``SendReplace``, ``SendCancel`` go to the broker; and
- ``Tell`` is passed to the strategy that asked.

The records alone rebuild the core: ``Core.replay(records)`` equals the core that wrote them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from toolkit.calendar import ist_date
from toolkit.errors import BadData, nearest
from toolkit.market.quotes import Quote
from toolkit.orders import ids
from toolkit.orders.effects import Effect, Record, SendCancel, SendNew, SendReplace, Tell
from toolkit.orders.lifecycle import Anomaly, apply, begin
from toolkit.orders.slicing import legal_max, slices
from toolkit.risk.book import RiskBook
from toolkit.risk.checks import check, protect
from toolkit.risk.limits import Limits, TradingState
from toolkit.types import (
    Cancel,
    Denial,
    ExecType,
    ExecutionReport,
    Fill,
    Instrument,
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
    TimeInForce,
)

__all__ = ["Core"]

_WORDS: Final[dict[str, type[StrEnum]]] = {
    "side": Side,
    "ord_type": OrdType,
    "time_in_force": TimeInForce,
    "product": Product,
}
_WORKING: Final = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED})
_RANK: Final = {
    OrdStatus.CANCELED: 1,
    OrdStatus.EXPIRED: 2,
    OrdStatus.REJECTED: 3,
    OrdStatus.FILLED: 0,
    OrdStatus.DENIED: 4,
}


class Core:
    """One account at one broker.

    Parameters
    ----------
    account, broker : str
        Whose orders these are.
    limits : Limits
        Pre-trade limits.
    instruments : iterable of Instrument
        Contracts listed; ``book.add`` adds more.
    funds_p : int or None
        Funds for margin in paise; None is unknown and denies while ``limits.check_margin``.
    """

    def __init__(
        self,
        account: str,
        *,
        broker: str = "paper",
        limits: Limits | None = None,
        instruments: Iterable[Instrument] = (),
        funds_p: int | None = None,
    ) -> None:
        self.account = account
        self.broker = broker
        self.limits = Limits() if limits is None else limits
        self.book = RiskBook(instruments)
        self.book.funds_p = funds_p
        self.day: dt.date | None = None
        self.orders: dict[str, Order] = {}
        self.children: dict[str, tuple[str, ...]] = {}
        self.denials: dict[str, tuple[Denial, ...]] = {}
        self.fills: dict[str, Fill] = {}
        self.anomalies: list[Anomaly] = []
        self._asked: dict[str, OrderRequest] = {}
        self._seq = 0
        self._denied = 0

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
        }
        return [self._write(now_ns, "open", "", payload)]

    def on_intents(self, now_ns: int, intents: Sequence[Intent], *, algo: str | None = None) -> list[Effect]:
        """Decide on one decision's intents, in order."""
        effects: list[Effect] = []
        for intent in intents:
            if isinstance(intent, Cancel):
                effects += self.cancel(now_ns, intent.cl_ord_id)
            elif isinstance(intent, Modify):
                effects += self.modify(now_ns, intent)
            else:
                place = self._to_place(intent) if isinstance(intent, Target) else intent
                if place is not None:
                    effects += self.submit(now_ns, self._request(now_ns, place, algo))
        return effects

    def submit(self, now_ns: int, request: OrderRequest) -> list[Effect]:
        """Decide on one order. The same ``cl_ord_id`` again is the same order and does nothing.

        Raises
        ------
        BadData
            When the id is malformed or was used for another order, or a field is not one of its words.
        """
        ids.check(request.cl_ord_id)
        _check_words(request)
        known = self._asked.get(request.cl_ord_id)
        if known is not None:
            if known == _journalable(request):
                return []
            raise BadData(f"cl_ord_id '{request.cl_ord_id}' is already another order; use a new id")
        if request.account != self.account:
            raise BadData(f"this engine trades account '{self.account}', was '{request.account}'")
        order = request
        if request.ord_type is OrdType.MARKET and request.price_p is None:
            order = msgspec.structs.replace(request, price_p=protect(request, self.book, self.limits, now_ns))
        parts = self.plan(order)
        denials = check(order, self.book, self.limits, now_ns, messages=len(parts))
        if denials:
            return self._deny(now_ns, request, denials)
        if len(parts) == 1:
            effects: list[Effect] = [self._write(now_ns, "order", order.cl_ord_id, {"asked": request, "sent": order})]
            return [*effects, SendNew(self.orders[order.cl_ord_id].request)]
        payload = {"asked": request, "sent": order, "children": parts}
        effects = [self._write(now_ns, "parent", order.cl_ord_id, payload)]
        return effects + [SendNew(self.orders[child].request) for child in self.children[order.cl_ord_id]]

    def deny(self, now_ns: int, request: OrderRequest, denials: tuple[Denial, ...]) -> list[Effect]:
        """Deny an order for reasons found outside the core (the broker's own margin); it never left."""
        ids.check(request.cl_ord_id)
        return self._deny(now_ns, request, denials)

    def new_id(self, now_ns: int, taken: Container[str] = ()) -> str:
        """The next free id of ours; ``taken`` are ids that the broker's book holds already."""
        step = 1
        while (made := ids.make(self.day or ist_date(now_ns), self.account, self._seq + step)) in taken:
            step += 1
        return made

    def modify(self, now_ns: int, modify: Modify) -> list[Effect]:
        """Decide on a modification: the full new statement of a working order."""
        order = self.orders.get(modify.cl_ord_id)
        if order is None:
            return self._refuse(now_ns, modify.cl_ord_id, ExecType.REPLACE_REJECTED, "no such order")
        if modify.cl_ord_id in self.children:
            text = "a sliced order cannot be modified as a whole; modify its children or cancel it"
            return self._refuse(now_ns, modify.cl_ord_id, ExecType.REPLACE_REJECTED, text)
        if order.ord_status not in _WORKING:
            text = f"only a working order can be modified, was {order.ord_status}"
            return self._refuse(now_ns, modify.cl_ord_id, ExecType.REPLACE_REJECTED, text)
        parent = order.request.parent_id
        if parent is not None and modify.order_qty > order.request.order_qty:
            text = f"a child of {parent} cannot grow beyond its {order.request.order_qty} units"
            return self._refuse(now_ns, modify.cl_ord_id, ExecType.REPLACE_REJECTED, text)
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
        denials = check(wanted, self.book, self.limits, now_ns, replaces=order)
        if denials:
            text = "; ".join(d.text for d in denials)
            return self._refuse(now_ns, modify.cl_ord_id, ExecType.REPLACE_REJECTED, text)
        return [
            self._write(now_ns, "modify", modify.cl_ord_id, statement),
            SendReplace(statement, before.exchange),
        ]

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
            text = f"at most {self.limits.max_cancels_per_s} messages a second with cancels, would be {count}"
            return self._refuse(now_ns, cl_ord_id, ExecType.CANCEL_REJECTED, text)
        return [self._write(now_ns, "cancel", cl_ord_id, {"exchange": exchange}), SendCancel(cl_ord_id, exchange)]

    def cancel_all(self, now_ns: int, *, only_increasing: bool = False) -> list[Effect]:
        """Cancel every open order, or only those that could increase a position (what a halt does)."""
        effects: list[Effect] = []
        for cl_ord_id, order in list(self.orders.items()):
            if not order.is_open or cl_ord_id in self.children:
                continue
            net = self.book.net.get(order.request.symbol, 0)
            reducing = net * order.request.side.sign < 0 and order.leaves_qty <= abs(net)
            if not (only_increasing and reducing):
                effects += self.cancel(now_ns, cl_ord_id)
        return effects

    def on_report(self, report: ExecutionReport) -> list[Effect]:
        """Fold in what a broker or an exchange says; a repeat does nothing."""
        order = self.orders.get(report.cl_ord_id)
        if order is None:
            odd = Anomaly(
                "unknown_order", report.cl_ord_id, report.exec_id, report.ts_ns, "report names no order of ours"
            )
            if any(a.exec_id == report.exec_id and a.kind == odd.kind for a in self.anomalies):
                return []
            return [self._write(report.recv_ns, "report", report.cl_ord_id, report)]
        after, anomaly = apply(order, report)
        if after is order and anomaly is None:
            return []
        return [self._write(report.recv_ns, "report", report.cl_ord_id, report), Tell(report)]

    def on_settlement(self, now_ns: int, fills: Iterable[Fill]) -> list[Effect]:
        """Book the closing of expired positions at their settlement values."""
        return [self._write(now_ns, "settlement", f.cl_ord_id, f) for f in fills if f.exec_id not in self.fills]

    def set_state(self, now_ns: int, state: TradingState, reason: str) -> list[Effect]:
        """Change what the engine accepts. HALTED and REDUCING also cancel what increases exposure."""
        effects: list[Effect] = [self._write(now_ns, "state", "", {"state": state, "reason": reason})]
        if state is not TradingState.ACTIVE:
            effects += self.cancel_all(now_ns, only_increasing=True)
        return effects

    def set_limits(self, now_ns: int, limits: Limits) -> list[Effect]:
        """Replace the limits: a journaled act."""
        return [self._write(now_ns, "limits", "", limits)]

    def open_orders(self) -> tuple[Order, ...]:
        """Orders that can still trade, oldest first; children, not their parents."""
        return tuple(o for c, o in self.orders.items() if o.is_open and c not in self.children)

    def quote(self, symbol: str) -> Quote | None:
        """The newest quote of a listed contract."""
        instrument = self.book.instruments.get(symbol)
        return None if instrument is None else self.book.quote(instrument)

    @classmethod
    def replay(cls, records: Iterable[Record], instruments: Iterable[Instrument] = ()) -> Core:
        """Rebuild a core from its journal records.

        Raises
        ------
        BadData
            When the records do not begin with the opening of a day, or one is of an unknown kind.
        """
        core: Core | None = None
        for record in records:
            if core is None:
                if record.kind != "open":
                    raise BadData(f"a journal begins with an 'open' record, was '{record.kind}'; restore the file")
                head = msgspec.json.decode(record.payload)
                core = cls(head["account"], broker=head["broker"], instruments=instruments)
            core._fold(record)
        if core is None:
            raise BadData("the journal is empty; nothing to rebuild from")
        return core

    def state(self) -> dict[str, Any]:
        """Everything that the records determine, for comparison and for views."""
        book = self.book
        return {
            "account": self.account,
            "broker": self.broker,
            "day": self.day,
            "limits": self.limits,
            "orders": dict(self.orders),
            "children": dict(self.children),
            "denials": dict(self.denials),
            "fills": dict(self.fills),
            "anomalies": list(self.anomalies),
            "asked": dict(self._asked),
            "seq": self._seq,
            "trading": (book.state, book.state_reason),
            "exposure": book.exposure(),
            "funds_p": book.funds_p,
        }

    def _write(self, ts_ns: int, kind: str, cl_ord_id: str, payload: object) -> Record:
        """Make a record and fold it in: the live core and a rebuilt one take the same path."""
        record = Record(ts_ns, kind, cl_ord_id, msgspec.json.encode(payload, order="deterministic"))
        self._fold(record)
        return record

    def _fold(self, record: Record) -> None:
        fold = _FOLDS.get(record.kind)
        if fold is None:
            raise BadData(f"journal record of unknown kind '{record.kind}'{_KINDS}; use the version that wrote it")
        fold(self, record)

    def _fold_open(self, record: Record) -> None:
        head = msgspec.json.decode(record.payload, type=_Opening)
        self.day = head.day
        self.limits = head.limits
        self.book.funds_p = head.funds_p
        self.book.net = dict(head.net)
        self.book.cash_p = head.cash_p
        self.book.state, self.book.state_reason = head.state, head.reason
        self._seq = 0

    def _fold_order(self, record: Record) -> None:
        placed = msgspec.json.decode(record.payload, type=_Placed)
        self._asked[record.cl_ord_id] = placed.asked
        self._count_id(record.cl_ord_id)
        self._begin(placed.sent, record.ts_ns)
        self.book.on_intent(record.ts_ns, placed.sent)

    def _fold_parent(self, record: Record) -> None:
        placed = msgspec.json.decode(record.payload, type=_Placed)
        parent = placed.sent
        if sum(placed.children) > parent.order_qty:
            raise BadData(f"children of {parent.cl_ord_id} hold {sum(placed.children)} of {parent.order_qty} units")
        self._asked[record.cl_ord_id] = placed.asked
        self._count_id(record.cl_ord_id)
        self.orders[parent.cl_ord_id] = begin(parent, record.ts_ns)
        self.book.on_intent(record.ts_ns, parent)
        ids = []
        for qty in placed.children:
            child = msgspec.structs.replace(
                parent, cl_ord_id=self._next_id(record.ts_ns), order_qty=qty, parent_id=parent.cl_ord_id
            )
            self._count_id(child.cl_ord_id)
            self._asked[child.cl_ord_id] = child
            self._begin(child, record.ts_ns)
            ids.append(child.cl_ord_id)
        self.children[parent.cl_ord_id] = tuple(ids)

    def _begin(self, request: OrderRequest, now_ns: int) -> None:
        order = begin(request, now_ns)
        self.orders[request.cl_ord_id] = order
        self.book.on_order(None, order)
        self.book.on_message(now_ns, request.exchange)

    def _fold_denied(self, record: Record) -> None:
        denied = msgspec.json.decode(record.payload, type=_Refused)
        self._asked[record.cl_ord_id] = denied.asked
        self._count_id(record.cl_ord_id)
        text = "; ".join(d.text for d in denied.denials)
        self.orders[record.cl_ord_id] = begin(denied.asked, record.ts_ns, OrdStatus.DENIED, text)
        self.denials[record.cl_ord_id] = denied.denials

    def _fold_modify(self, record: Record) -> None:
        modify = msgspec.json.decode(record.payload, type=Modify)
        order = self.orders[record.cl_ord_id]
        self._own(record, ExecType.PENDING_REPLACE, order_qty=modify.order_qty)
        self.book.on_message(record.ts_ns, order.request.exchange)

    def _fold_cancel(self, record: Record) -> None:
        order = self.orders[record.cl_ord_id]
        self._own(record, ExecType.PENDING_CANCEL)
        self.book.on_message(record.ts_ns, order.request.exchange)

    def _own(self, record: Record, exec_type: ExecType, order_qty: int | None = None) -> None:
        self._absorb(
            ExecutionReport(
                cl_ord_id=record.cl_ord_id,
                exec_id="",
                exec_type=exec_type,
                ts_ns=record.ts_ns,
                recv_ns=record.ts_ns,
                account=self.account,
                order_qty=order_qty,
            )
        )

    def _fold_report(self, record: Record) -> None:
        self._absorb(msgspec.json.decode(record.payload, type=ExecutionReport))

    def _fold_refused(self, record: Record) -> None:
        """A modification or cancel that our own engine refused changes no order."""

    def _fold_state(self, record: Record) -> None:
        change = msgspec.json.decode(record.payload, type=_Change)
        self.book.state, self.book.state_reason = change.state, change.reason

    def _fold_limits(self, record: Record) -> None:
        self.limits = msgspec.json.decode(record.payload, type=Limits)

    def _fold_settlement(self, record: Record) -> None:
        fill = msgspec.json.decode(record.payload, type=Fill)
        self.fills[fill.exec_id] = fill
        book, sign = self.book, fill.side.sign
        after = book.net.get(fill.symbol, 0) + sign * fill.last_qty
        book.carry(fill.symbol, after, book.cash_p - sign * fill.last_qty * fill.last_px_p)

    def _absorb(self, report: ExecutionReport) -> None:
        order = self.orders.get(report.cl_ord_id)
        if order is None:
            text = f"{report.cl_ord_id}: report names no order of ours"
            self.anomalies.append(Anomaly("unknown_order", report.cl_ord_id, report.exec_id, report.ts_ns, text))
            return
        after, anomaly = apply(order, report)
        if anomaly is not None:
            self.anomalies.append(anomaly)
        self.orders[report.cl_ord_id] = after
        self.book.on_order(order, after)
        self._keep_fills(order, after, report)
        parent = after.request.parent_id
        if parent in self.children:
            kin = [self.orders[child] for child in self.children[parent]]
            self.orders[parent] = _rollup(self.orders[parent], kin, report.ts_ns)

    def _keep_fills(self, before: Order, after: Order, report: ExecutionReport) -> None:
        request = after.request
        for exec_id, qty, px_p in after.execs[len(before.execs) :]:
            self.fills[exec_id] = Fill(
                exec_id=exec_id,
                cl_ord_id=request.cl_ord_id,
                order_id=after.order_id or "",
                account=request.account,
                broker=request.broker,
                symbol=request.symbol,
                exchange=request.exchange,
                side=request.side,
                last_qty=qty,
                last_px_p=px_p,
                exec_ns=report.ts_ns,
            )
        for exec_id in after.busts:
            if any(exec_id == known for known, _, _ in after.execs):
                self.fills.pop(exec_id, None)

    def _deny(self, now_ns: int, request: OrderRequest, denials: tuple[Denial, ...]) -> list[Effect]:
        asked = _journalable(request)
        record = self._write(now_ns, "denied", request.cl_ord_id, {"asked": asked, "denials": denials})
        text = "; ".join(d.text for d in denials)
        return [record, Tell(self._answer(now_ns, asked, ExecType.DENIED, text))]

    def _refuse(self, now_ns: int, cl_ord_id: str, exec_type: ExecType, text: str) -> list[Effect]:
        order = self.orders.get(cl_ord_id)
        record = self._write(now_ns, "refused", cl_ord_id, {"exec_type": exec_type, "text": text})
        if order is None:
            asked = OrderRequest(cl_ord_id=cl_ord_id, symbol="", side=Side.BUY, order_qty=0, account=self.account)
        else:
            asked = order.request
        return [record, Tell(self._answer(now_ns, asked, exec_type, text))]

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

    def _request(self, now_ns: int, place: Place, algo: str | None) -> OrderRequest:
        instrument = self.book.instruments.get(place.symbol)
        return OrderRequest(
            cl_ord_id=self._next_id(now_ns),
            symbol=place.symbol,
            side=place.side,
            order_qty=place.order_qty,
            exchange="NSE" if instrument is None else instrument.exchange,
            ord_type=place.ord_type,
            price_p=place.price_p,
            stop_px_p=place.stop_px_p,
            time_in_force=place.time_in_force,
            account=self.account,
            broker=self.broker,
            algo=algo,
            note=place.note or None,
        )

    def _next_id(self, now_ns: int) -> str:
        return ids.make(self.day or ist_date(now_ns), self.account, self._seq + 1)

    def _count_id(self, cl_ord_id: str) -> None:
        """Move the sequence on past an id of ours, so that a rebuilt core never uses it again."""
        if self.day is not None:
            self._seq = max(self._seq, ids.sequence(cl_ord_id, self.day, self.account))


class _Opening(msgspec.Struct):
    account: str
    broker: str
    day: dt.date
    limits: Limits
    funds_p: int | None
    net: dict[str, int]
    cash_p: int
    state: TradingState
    reason: str


class _Placed(msgspec.Struct):
    asked: OrderRequest
    sent: OrderRequest
    children: tuple[int, ...] = ()


class _Refused(msgspec.Struct):
    asked: OrderRequest
    denials: tuple[Denial, ...]


class _Change(msgspec.Struct):
    state: TradingState
    reason: str


_FOLDS: Final = {
    "open": Core._fold_open,
    "order": Core._fold_order,
    "parent": Core._fold_parent,
    "denied": Core._fold_denied,
    "refused": Core._fold_refused,
    "modify": Core._fold_modify,
    "cancel": Core._fold_cancel,
    "report": Core._fold_report,
    "settlement": Core._fold_settlement,
    "state": Core._fold_state,
    "limits": Core._fold_limits,
}
_KINDS: Final = f" (known: {', '.join(_FOLDS)})"


def _rollup(parent: Order, kin: Sequence[Order], ts_ns: int) -> Order:
    """State of a sliced order: the sums of its children."""
    cum = sum(o.cum_qty for o in kin)
    states = [o.ord_status for o in kin]
    if all(not o.is_open for o in kin):
        status = OrdStatus.FILLED if cum >= parent.request.order_qty else max(states, key=lambda s: _RANK[s])
    elif OrdStatus.UNKNOWN in states:
        status = OrdStatus.UNKNOWN
    elif cum:
        status = OrdStatus.PARTIALLY_FILLED
    else:
        status = OrdStatus.PENDING_NEW if all(s is OrdStatus.PENDING_NEW for s in states) else OrdStatus.NEW
    return msgspec.structs.replace(
        parent,
        ord_status=status,
        cum_qty=cum,
        leaves_qty=sum(o.leaves_qty for o in kin),
        traded_value_p=sum(o.traded_value_p for o in kin),
        updated_ns=max(parent.updated_ns, ts_ns),
    )


def _check_words(request: OrderRequest) -> None:
    """Check what has a closed list of words; numbers are left to the risk rules."""
    for name, words in _WORDS.items():
        value = getattr(request, name)
        if not isinstance(value, words):
            known = [str(word) for word in words]
            raise BadData(f"{name} must be {', '.join(known)}, was {value!r}{nearest(str(value), known)}")
    for name in ("symbol", "exchange", "account", "broker"):
        if not isinstance(getattr(request, name), str):
            raise BadData(f"{name} must be text, was {getattr(request, name)!r}")


def _journalable(request: OrderRequest) -> OrderRequest:
    """A denied order as JSON can carry it: numbers that are none become 0 or nothing; the denial shows them."""

    def whole(value: object) -> int | None:
        return value if type(value) is int and abs(value) < 1 << 62 else None

    return msgspec.structs.replace(
        request,
        order_qty=whole(request.order_qty) or 0,
        price_p=whole(request.price_p),
        stop_px_p=whole(request.stop_px_p),
    )
