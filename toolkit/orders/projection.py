"""The account as its journal's records make it: orders, positions, limits, algorithms. Pure.

The live core and a rebuilt one take the same path: a record is made, and folded in.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

import msgspec

from toolkit.calendar import ist_date
from toolkit.errors import BadData
from toolkit.market.quotes import Quote
from toolkit.orders import ids
from toolkit.orders.effects import Record
from toolkit.orders.lifecycle import Anomaly, apply, begin
from toolkit.orders.records import AlgoState, Aligned, Change, Opening, Placed, RefusedAct, rollup, rollup_algo
from toolkit.risk.book import RiskBook
from toolkit.risk.limits import Limits, TradingState
from toolkit.types import (
    Denial,
    ExecType,
    ExecutionReport,
    Fill,
    Instrument,
    Modify,
    Order,
    OrderRequest,
    OrdStatus,
)

__all__ = ["NOTES", "Gate", "Projection", "mark"]

_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode
_PLACED: Final = msgspec.json.Decoder(Placed).decode
_REPORT: Final = msgspec.json.Decoder(ExecutionReport).decode
Gate = Callable[[OrderRequest, int], tuple[Denial, ...]]
"""Reasons of the engine's own against an order (no link, a guard of the account): ``gate(order, now_ns)``."""


class Projection:
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
        self.algos: dict[str, AlgoState] = {}
        self.external: set[str] = set()
        self.lost: set[str] = set()
        self.resent: dict[str, tuple[str, str]] = {}
        self.notes: dict[str, dict[str, Any]] = {}
        self.carried: dict[str, Any] = {}
        self.gate: Gate = open_gate
        self._open: dict[str, None] = {}
        self._odd: set[tuple[str, str, str]] = set()
        self._asked: dict[str, OrderRequest] = {}
        self._denied_legs: dict[str, tuple[OrderRequest, ...]] = {}
        self.under: tuple[TradingState, str] | None = None
        self._seq = 0
        self._given = 0  # numbers handed out, of which a journal need not know
        self._denied = 0

    def open_orders(self) -> tuple[Order, ...]:
        """Orders that can still trade, oldest first; children, not their parents."""
        return tuple(self.orders[c] for c in self._open)

    @property
    def taken(self) -> tuple[TradingState, str]:
        """The trading state that a person, flatten or the file flag took last: a passing demand gives it back."""
        return self.under or (self.book.state, self.book.state_reason)

    def asked(self, cl_ord_id: str) -> OrderRequest | None:
        """What was asked for under an id, before it was resolved or sliced; None for an order from elsewhere."""
        return self._asked.get(cl_ord_id)

    def algo_legs(self, cl_ord_id: str) -> tuple[OrderRequest, ...]:
        """The legs that were handed to an algorithm under an id, denied ones too; empty for any other order."""
        kept = self.algos.get(cl_ord_id)
        return self._denied_legs.get(cl_ord_id, ()) if kept is None else kept.legs

    def quote(self, symbol: str) -> Quote | None:
        """The newest quote of a listed contract."""
        instrument = self.book.instruments.get(symbol)
        return None if instrument is None else self.book.quote(instrument)

    @classmethod
    def replay(cls, records: Iterable[Record], instruments: Iterable[Instrument] = ()) -> Self:
        """Rebuild a core from its journal records.

        Raises
        ------
        BadData
            When the records do not begin with the opening of a day, or one is of an unknown kind.
        """
        core: Self | None = None
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

    def fold(self, record: Record) -> None:
        """Fold in the next record of a journal: what a look back at a recorded day steps through."""
        self._fold(record)

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
            "algos": {name: msgspec.to_builtins(algo) for name, algo in self.algos.items()},
            "external": sorted(self.external),
            "lost": sorted(self.lost),
            "resent": dict(self.resent),
            "notes": {kind: dict(notes) for kind, notes in self.notes.items()},
            "open": list(self._open),
            "asked": dict(self._asked),
            "seq": self._seq,
            "trading": (book.state, book.state_reason, self.under),
            "exposure": book.exposure(),
            "funds_p": book.funds_p,
        }

    def _write(self, ts_ns: int, kind: str, cl_ord_id: str, payload: object) -> Record:
        """Make a record and fold it in: the live core and a rebuilt one take the same path."""
        record = Record(ts_ns, kind, cl_ord_id, _ENCODE(payload))
        self._fold(record)
        return record

    def _write_report(self, order: Order, report: ExecutionReport, outcome: tuple[Order, Anomaly | None]) -> Record:
        """The same for a report whose outcome is known: what a rebuilt core will read decides, as there."""
        record = Record(report.recv_ns, "report", report.cl_ord_id, _ENCODE(report))
        read = _REPORT(record.payload)
        self._settle(order, read, *(outcome if read == report else apply(order, read)))
        return record

    def _fold(self, record: Record) -> None:
        fold = _FOLDS.get(record.kind)
        if fold is None:
            raise BadData(f"journal record of unknown kind '{record.kind}'{_KINDS}; use the version that wrote it")
        fold(self, record)

    def _fold_open(self, record: Record) -> None:
        head = msgspec.json.decode(record.payload, type=Opening)
        self.day = head.day
        self.limits = head.limits
        self.book.funds_p = head.funds_p
        self.book.net = dict(head.net)
        self.book.cash_p = head.cash_p
        self.book.state, self.book.state_reason, self.under = head.state, head.reason, head.under
        self.carried = head.carried
        self._seq = self._given = 0

    def _fold_order(self, record: Record) -> None:
        placed = _PLACED(record.payload)
        order = placed.order
        self._asked[record.cl_ord_id] = order if placed.asked == order else placed.asked
        self._count_id(record.cl_ord_id)
        self._begin(order, record.ts_ns)
        self.book.on_intent(record.ts_ns, order)
        self._join(order)

    def _fold_parent(self, record: Record) -> None:
        placed = msgspec.json.decode(record.payload, type=Placed)
        parent = placed.order
        if sum(placed.children) > parent.order_qty:
            raise BadData(f"children of {parent.cl_ord_id} hold {sum(placed.children)} of {parent.order_qty} units")
        self._asked[record.cl_ord_id] = placed.asked
        self._count_id(record.cl_ord_id)
        self._seq = max(self._seq, placed.after)
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
        self._join(parent)

    def _join(self, request: OrderRequest) -> None:
        """Enter an algorithm's child with its parent."""
        if request.parent_id in self.algos:
            self.children[request.parent_id] = (*self.children[request.parent_id], request.cl_ord_id)

    def _begin(self, request: OrderRequest, now_ns: int) -> None:
        order = begin(request, now_ns)
        self.orders[request.cl_ord_id] = order
        self._open[request.cl_ord_id] = None
        self.book.on_order(None, order)
        self.book.on_message(now_ns, request.exchange, request.cl_ord_id)

    def _fold_denied(self, record: Record) -> None:
        denied = msgspec.json.decode(record.payload, type=RefusedAct)
        self._asked[record.cl_ord_id] = denied.asked
        self._count_id(record.cl_ord_id)
        text = "; ".join(d.text for d in denied.denials)
        self.orders[record.cl_ord_id] = begin(denied.asked, record.ts_ns, OrdStatus.DENIED, text)
        self.denials[record.cl_ord_id] = denied.denials
        if denied.legs:
            self._denied_legs[record.cl_ord_id] = denied.legs
        self._join(denied.asked)

    def _fold_modify(self, record: Record) -> None:
        modify = msgspec.json.decode(record.payload, type=Modify)
        order = self.orders[record.cl_ord_id]
        self._own(record, ExecType.PENDING_REPLACE, order_qty=modify.order_qty)
        self.book.on_message(record.ts_ns, order.request.exchange, record.cl_ord_id)

    def _fold_cancel(self, record: Record) -> None:
        order = self.orders[record.cl_ord_id]
        self._own(record, ExecType.PENDING_CANCEL)
        self.book.on_message(record.ts_ns, order.request.exchange, record.cl_ord_id)

    def _own(self, record: Record, exec_type: ExecType, order_qty: int | None = None) -> None:
        # what we ask follows what we have heard, though the exchange's clock be ahead of ours
        asked_ns = max(record.ts_ns, self.orders[record.cl_ord_id].answered_ns)
        self._absorb(
            ExecutionReport(
                cl_ord_id=record.cl_ord_id,
                exec_id="",
                exec_type=exec_type,
                ts_ns=asked_ns,
                recv_ns=record.ts_ns,
                account=self.account,
                order_qty=order_qty,
            )
        )

    def _fold_report(self, record: Record) -> None:
        self._absorb(_REPORT(record.payload))

    def _fold_external(self, record: Record) -> None:
        request = msgspec.json.decode(record.payload, type=OrderRequest)
        self._asked[record.cl_ord_id] = request
        self._count_id(record.cl_ord_id)
        self.external.add(record.cl_ord_id)
        order = begin(request, record.ts_ns)
        self.orders[record.cl_ord_id] = order
        self._open[record.cl_ord_id] = None
        self.book.on_order(None, order)

    def _fold_lost(self, record: Record) -> None:
        self.lost.add(record.cl_ord_id)
        self._fold_report(record)

    def _fold_revived(self, record: Record) -> None:
        self.lost.discard(record.cl_ord_id)
        before = self.orders[record.cl_ord_id]
        qty = msgspec.json.decode(record.payload).get("order_qty") or before.request.order_qty
        after = msgspec.structs.replace(
            before,
            request=msgspec.structs.replace(before.request, order_qty=qty),
            ord_status=OrdStatus.UNKNOWN,
            leaves_qty=max(0, qty - sum(units for _, units, _ in before.execs)),
            pending_qty=None,
            text="",
        )
        self.orders[record.cl_ord_id] = after
        self._open[record.cl_ord_id] = None
        self.book.on_order(before, after)
        self._roll(after, record.ts_ns)

    def _fold_aligned(self, record: Record) -> None:
        self._book_fill(msgspec.json.decode(record.payload, type=Aligned).fill)

    def _fold_algo(self, record: Record) -> None:
        begun = msgspec.json.decode(record.payload, type=AlgoState)
        self._asked[record.cl_ord_id] = begun.asked
        self._count_id(record.cl_ord_id)
        self.algos[record.cl_ord_id] = begun
        self.children[record.cl_ord_id] = ()
        self.orders[record.cl_ord_id] = begin(begun.asked, record.ts_ns, OrdStatus.NEW)
        for leg in begun.legs:
            self.book.on_intent(record.ts_ns, leg, begun.asked.algo or "legs")

    def _fold_algo_state(self, record: Record) -> None:
        found = msgspec.json.decode(record.payload)
        algo = self.algos[record.cl_ord_id]
        algo.state, algo.done, algo.text = found["state"], found["done"], found["text"]
        self._roll_algo(record.cl_ord_id, record.ts_ns)

    def _fold_note(self, record: Record) -> None:
        """The newest state of each strategy and guard is kept, and what was sent again; the others change nothing."""
        if record.kind in _KEPT:
            self.notes.setdefault(record.kind, {})[record.cl_ord_id] = msgspec.json.decode(record.payload)
        elif record.kind == "act":
            act = msgspec.json.decode(record.payload)
            if act.get("act") == "resend":
                self.resent[act["of"]] = (act["as"], act["confirmed"])
                self._count_id(act["as"])

    def _fold_refused(self, record: Record) -> None:
        """A modification or cancel that our own engine refused changes no order."""

    def _fold_state(self, record: Record) -> None:
        change = msgspec.json.decode(record.payload, type=Change)
        self.book.state, self.book.state_reason, self.under = change.state, change.reason, change.under

    def _fold_limits(self, record: Record) -> None:
        self.limits = msgspec.json.decode(record.payload, type=Limits)

    def _fold_settlement(self, record: Record) -> None:
        self._book_fill(msgspec.json.decode(record.payload, type=Fill))

    def _book_fill(self, fill: Fill) -> None:
        self.fills[fill.exec_id] = fill
        book, sign = self.book, fill.side.sign
        after = book.net.get(fill.symbol, 0) + sign * fill.last_qty
        book.carry(fill.symbol, after, book.cash_p - sign * fill.last_qty * fill.last_px_p)

    def _absorb(self, report: ExecutionReport) -> None:
        order = self.orders.get(report.cl_ord_id)
        if order is None:
            text = f"{report.cl_ord_id}: report names no order of ours"
            self._note_odd(Anomaly("unknown_order", report.cl_ord_id, report.exec_id, report.ts_ns, text))
            return
        self._settle(order, report, *apply(order, report))

    def _settle(self, order: Order, report: ExecutionReport, after: Order, anomaly: Anomaly | None) -> None:
        """Take over what a report made of an order."""
        if anomaly is not None:
            self._note_odd(anomaly)
        self.orders[report.cl_ord_id] = after
        if not after.is_open:
            self._open.pop(report.cl_ord_id, None)
        self.book.on_order(order, after)
        if after.execs is not order.execs or after.busts is not order.busts:
            self._keep_fills(order, after, report)
        self._roll(after, report.ts_ns)

    def _note_odd(self, anomaly: Anomaly) -> None:
        self._odd.add(mark(anomaly))
        self.anomalies.append(anomaly)

    def _roll(self, child: Order, ts_ns: int) -> None:
        """Bring the parents of a changed order up to it."""
        parent = child.request.parent_id
        while parent is not None and parent in self.children:
            if parent in self.algos:
                self._roll_algo(parent, ts_ns)
            else:
                kin = [self.orders[c] for c in self.children[parent]]
                self.orders[parent] = rollup(self.orders[parent], kin, ts_ns)
            parent = self.orders[parent].request.parent_id

    def _roll_algo(self, parent: str, ts_ns: int) -> None:
        kin = (self.orders[c] for c in self.children[parent])
        self.orders[parent] = rollup_algo(self.orders[parent], self.algos[parent], kin, ts_ns)

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

    def _next_id(self, now_ns: int) -> str:
        return ids.make(self.day or ist_date(now_ns), self.account, max(self._seq, self._given) + 1)

    def _count_id(self, cl_ord_id: str) -> None:
        """Move the sequence on past an id of ours, so that a rebuilt core never uses it again."""
        if self.day is not None:
            self._seq = max(self._seq, ids.sequence(cl_ord_id, self.day, self.account))


_KEPT: Final = ("strategy", "guard")
NOTES: Final = (*_KEPT, "alarm", "difference", "act", "route")
_FOLDS: Final = {
    "open": Projection._fold_open,
    "order": Projection._fold_order,
    "parent": Projection._fold_parent,
    "denied": Projection._fold_denied,
    "refused": Projection._fold_refused,
    "modify": Projection._fold_modify,
    "cancel": Projection._fold_cancel,
    "report": Projection._fold_report,
    "settlement": Projection._fold_settlement,
    "state": Projection._fold_state,
    "limits": Projection._fold_limits,
    "external": Projection._fold_external,
    "lost": Projection._fold_lost,
    "revived": Projection._fold_revived,
    "aligned": Projection._fold_aligned,
    "algo": Projection._fold_algo,
    "algo_state": Projection._fold_algo_state,
    **dict.fromkeys(NOTES, Projection._fold_note),
}
_KINDS: Final = f" (known: {', '.join(_FOLDS)})"


def mark(anomaly: Anomaly) -> tuple[str, str, str]:
    """What makes two anomalies the same."""
    return (anomaly.kind, anomaly.cl_ord_id, anomaly.exec_id)


def open_gate(order: OrderRequest, now_ns: int) -> tuple[Denial, ...]:
    """No reason."""
    return ()
