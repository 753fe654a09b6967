"""Kite's order and trade book over the simulated exchange: the broker's half of the wire.

Rows have Kite's words (``kite_order``), refusals Kite's codes and texts (``kite_form``). What
happens to an order is told in three ways: a row of its history at each state, an update for
the ticker on a trade, a modification, a cancel or a rejection (not on mere acceptance), and
an event for the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from toolkit.calendar import ist_date
from toolkit.orders.slicing import legal_max, slices
from toolkit.sim.kite_form import (
    OrderForm,
    WireRefusal,
    check_numbers,
    number,
    paise,
    protected_p,
    protection,
    read_form,
)
from toolkit.sim.kite_order import DONE, KiteOrder, order_row, request_of, trade_row
from toolkit.sim.world import World
from toolkit.types import ExecType, ExecutionReport, Modify

__all__ = ["KiteBook"]

_MODIFICATIONS: Final = 25
# Successive ids differ by this, as they do on the wire, so that nobody adds one to find the next.
_ID_STEP: Final = 46_137_344
_MINUTE_NS: Final = 60_000_000_000
_AT_EXCHANGE: Final = ("OPEN", "TRIGGER PENDING")

Margin = Callable[[OrderForm, str | None], None]


class KiteBook:
    """One account's orders of the day.

    Parameters
    ----------
    world : World
        The market and the exchange.
    account : str
        Kite's user id.
    margin : callable
        Called with each order that would reach risk and the id of the order it replaces;
        raises `WireRefusal` when funds are short.
    """

    def __init__(self, world: World, account: str, margin: Margin = lambda form, replaced: None) -> None:
        self.world = world
        self.account = account
        self.margin = margin
        self.orders: dict[str, KiteOrder] = {}
        self.trades: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self._history: dict[str, list[dict[str, Any]]] = {}
        self._sent: dict[str, KiteOrder] = {}
        self._timed: list[KiteOrder] = []
        self._icebergs: dict[str, list[OrderForm]] = {}
        self._count = 0
        world.listen(self._hear, self._watch)

    def place(self, variety: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Take a new order: ``{"order_id"}``, with ``children`` when it was sliced.

        Raises
        ------
        WireRefusal
            When the front door or margin refuses it; it is not in the book then.
        """
        asked = read_form(variety, form, self.world.roster)
        asked = self._protect(asked)
        open_now = self._is_open()
        if variety == "amo" and open_now:
            raise _order("After market orders (AMO) cannot be placed during market hours.")
        if variety != "amo" and not open_now:
            raise _order("Markets are closed right now. Place an after market order (AMO) instead.")
        if asked.variety == "iceberg":
            return {"order_id": self._iceberg(asked)}
        if asked.autoslice:
            return self._autoslice(asked)
        self.margin(asked, None)
        return {"order_id": self._enter(asked).order_id}

    def modify(self, variety: str, order_id: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Change a working order; what the form leaves out stays."""
        order = self._working(order_id)
        if order.modifications >= _MODIFICATIONS:
            raise WireRefusal(429, "NetworkException", "Maximum allowed order modifications exceeded.")
        wanted = self._restated(order, form)
        check_numbers(wanted)
        if wanted.quantity <= order.filled:
            raise _order(f"Order quantity cannot be at or below the traded quantity of {order.filled}.")
        self.margin(wanted, order_id)
        self._state(order, "MODIFY VALIDATION PENDING")
        self._state(order, "MODIFY PENDING")
        order.modifications += 1
        if order.sent is None:
            self._restate(order, wanted)
            self._state(order, "AMO REQ RECEIVED")
        elif wanted.order_type != order.order_type or wanted.validity != order.validity:
            self._resend(order, wanted)
        else:
            change = Modify(
                cl_ord_id=order.sent,
                order_qty=wanted.quantity - order.offset,
                price_p=wanted.price_p,
                stop_px_p=wanted.trigger_p,
            )
            self._restate(order, wanted)
            self.world.exchange.modify(change, self.world.now_ns)
        self.world.pump()
        return {"order_id": order_id}

    def cancel(self, variety: str, order_id: str) -> dict[str, Any]:
        """Cancel a working order."""
        order = self._working(order_id)
        self._state(order, "CANCEL PENDING")
        if order.sent is None:
            self._end(order, "CANCELLED", None, self.world.now_ns)
        else:
            self.world.exchange.cancel(order.sent, self.world.now_ns)
        self.world.pump()
        return {"order_id": order_id}

    def rows(self) -> list[dict[str, Any]]:
        """The day's orders, latest state each, oldest first."""
        return [order_row(order, self.account) for order in self.orders.values()]

    def history(self, order_id: str) -> list[dict[str, Any]]:
        """Every state of one order, oldest first."""
        if order_id not in self._history:
            raise WireRefusal(404, "GeneralException", "Couldn't find that `order_id`.")
        return list(self._history[order_id])

    def order_trades(self, order_id: str) -> list[dict[str, Any]]:
        """Trades of one order."""
        if order_id not in self.orders:
            raise WireRefusal(404, "GeneralException", "Couldn't find that `order_id`.")
        return [trade for trade in self.trades if trade["order_id"] == order_id]

    def _is_open(self) -> bool:
        return self.world.bounds[0] <= self.world.now_ns < self.world.bounds[1]

    def _protect(self, form: OrderForm) -> OrderForm:
        """Turn MARKET into LIMIT and SL-M into SL at the protected price, as Kite does."""
        if form.order_type not in ("MARKET", "SL-M"):
            return form
        reference_p = form.trigger_p if form.order_type == "SL-M" else self.world.last_p(form.listed.key)
        if reference_p is None:
            raise _order(f"Market orders need a last traded price and {form.listed.name} has none; use a Limit order.")
        price_p, percent = protected_p(form, reference_p)
        kind = "SL" if form.order_type == "SL-M" else "LIMIT"
        marks = ("mktp", f"mktp:{percent:.2f}")
        return msgspec.structs.replace(form, order_type=kind, price_p=price_p, protection=0.0, marks=marks)

    def _enter(
        self,
        form: OrderForm,
        *,
        marks: tuple[str, ...] = (),
        parent_id: str | None = None,
        iceberg: tuple[int, int, int, int] | None = None,
    ) -> KiteOrder:
        now_ns = self.world.now_ns
        order = KiteOrder(
            order_id=self._new_id(),
            number=self._count,
            variety=form.variety,
            listed=form.listed,
            side=form.side,
            quantity=form.quantity,
            product=form.product,
            order_type=form.order_type,
            price_p=form.price_p or 0,
            trigger_p=form.trigger_p or 0,
            validity=form.validity,
            ttl_minutes=form.ttl_minutes or 0,
            disclosed=form.disclosed,
            tag=form.tag,
            tags=(*((form.tag,) if form.tag else ()), *form.marks, *marks),
            placed_ns=now_ns,
            updated_ns=now_ns,
            parent_id=parent_id,
            iceberg=iceberg,
        )
        self.orders[order.order_id] = order
        if form.variety == "amo" or form.validity == "TTL":
            self._timed.append(order)
        if form.variety == "amo":
            self._state(order, "AMO REQ RECEIVED")
            return order
        for status in ("PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING"):
            self._state(order, status)
        self._send(order, order.order_id)
        self.world.pump()
        return order

    def _send(self, order: KiteOrder, name: str) -> None:
        order.sent = name
        self._sent[name] = order
        self.world.exchange.place(request_of(order, self.account), self.world.now_ns)

    def _iceberg(self, form: OrderForm) -> str:
        each = form.iceberg_quantity or form.quantity
        self.margin(form, None)
        parts = slices(form.quantity, each)
        legs = [msgspec.structs.replace(form, quantity=qty) for qty in parts]
        first = self._enter(legs[0], iceberg=(1, len(legs), each, form.quantity))
        self._icebergs[first.order_id] = legs
        self._next_leg(first)
        return first.order_id

    def _next_leg(self, order: KiteOrder) -> None:
        """Send the next leg of an iceberg once the one before has traded in full."""
        legs = self._icebergs.get(order.order_id)
        while legs is not None and order.status == "COMPLETE" and order.iceberg is not None:
            done, count, each, total = order.iceberg
            del self._icebergs[order.order_id]
            if done == count:
                return
            order = self._enter(legs[done], iceberg=(done + 1, count, each, total))
            self._icebergs[order.order_id] = legs

    def _autoslice(self, form: OrderForm) -> dict[str, Any]:
        instrument = form.listed.instrument
        most = form.quantity if instrument.freeze_qty is None else legal_max(instrument.freeze_qty, instrument.lot)
        parent = self._new_id()
        children: list[dict[str, Any]] = []
        for qty in slices(form.quantity, most):
            part = msgspec.structs.replace(form, quantity=qty)
            try:
                self.margin(part, None)
            except WireRefusal as refusal:
                told = {"code": refusal.code, "error_type": refusal.error_type, "message": str(refusal), "data": None}
                children.append({"error": told})
                continue
            child = self._enter(part, marks=("autoslice", f"autoslice:{parent}"))
            children.append({"order_id": child.order_id})
        return {"order_id": parent, "children": children}

    def _restated(self, order: KiteOrder, form: Mapping[str, str]) -> OrderForm:
        """The full new statement of an order."""
        kind = form.get("order_type") or order.order_type
        price_p, trigger_p, quantity = paise(form, "price"), paise(form, "trigger_price"), number(form, "quantity")
        stop = kind in ("SL", "SL-M")
        base = read_form(
            "regular",
            {
                "exchange": order.listed.venue,
                "tradingsymbol": order.listed.name,
                "transaction_type": order.side,
                "product": order.product,
                "order_type": kind,
                "quantity": str(order.quantity if quantity is None else quantity),
                "price": str((order.price_p if price_p is None else price_p) / 100),
                "trigger_price": str((order.trigger_p if trigger_p is None else trigger_p) / 100) if stop else "0",
                "validity": form.get("validity") or order.validity,
                "validity_ttl": form.get("validity_ttl") or str(order.ttl_minutes or ""),
                "market_protection": str(protection(form)),
            },
            self.world.roster,
        )
        return self._protect(base)

    def _restate(self, order: KiteOrder, wanted: OrderForm) -> None:
        order.quantity, order.order_type = wanted.quantity, wanted.order_type
        order.price_p, order.trigger_p = wanted.price_p or 0, wanted.trigger_p or 0
        order.validity, order.ttl_minutes = wanted.validity, wanted.ttl_minutes or 0
        if order.validity == "TTL" and all(known is not order for known in self._timed):
            self._timed.append(order)

    def _resend(self, order: KiteOrder, wanted: OrderForm) -> None:
        """Change the type of a working order: withdraw it and send what is left under another name."""
        before = order.sent or ""
        del self._sent[before]
        self.world.exchange.cancel(before, self.world.now_ns)
        self.world.pump()
        self._restate(order, wanted)
        order.offset = order.filled
        order.renamed += 1
        self._modified(order)
        self._send(order, f"{order.order_id}R{order.renamed}")

    def _modified(self, order: KiteOrder) -> None:
        order.modified = True
        self._state(order, "MODIFIED")

    def _working(self, order_id: str) -> KiteOrder:
        order = self.orders.get(order_id)
        if order is None:
            raise WireRefusal(400, "OrderException", "Couldn't find that `order_id`.")
        if order.status in DONE:
            raise _order(f"Order cannot be changed: it is already {order.status}.")
        return order

    def _new_id(self) -> str:
        self._count += 1
        day = f"{_day(self.world.bounds[0])}"
        return str(int(day.ljust(19, "0")) + self._count * _ID_STEP)

    def _watch(self, now_ns: int) -> None:
        """Release after-market orders at the open and cancel what has outlived its minutes."""
        self._timed = [order for order in self._timed if order.status not in DONE]
        for order in list(self._timed):
            if order.sent is None and order.variety == "amo" and self._is_open():
                for status in ("VALIDATION PENDING", "OPEN PENDING"):
                    self._state(order, status)
                self._send(order, order.order_id)
            elif order.validity == "TTL" and order.sent and order.status in _AT_EXCHANGE and self._outlived(order):
                self.world.exchange.cancel(order.sent, now_ns)

    def _outlived(self, order: KiteOrder) -> bool:
        return self.world.now_ns >= order.placed_ns + order.ttl_minutes * _MINUTE_NS

    def _hear(self, report: ExecutionReport) -> None:
        order = self._sent.get(report.cl_ord_id)
        if order is None:
            return
        order.updated_ns = report.ts_ns
        order.exchange_id = self._exchange_id(order)
        kind = report.exec_type
        if kind is ExecType.NEW:
            order.exchange_ns = order.exchange_ns or report.ts_ns
            waits = order.order_type == "SL" and report.text != "stop triggered"
            self._state(order, "TRIGGER PENDING" if waits else "OPEN")
        elif kind is ExecType.TRADE:
            self._trade(order, report)
        elif kind in (ExecType.REPLACED, ExecType.REPLACE_REJECTED):
            self._answered(order, report)
        elif kind in (ExecType.CANCELED, ExecType.EXPIRED):
            self._end(order, "CANCELLED", report.text or None, report.ts_ns)
        elif kind is ExecType.REJECTED:
            order.exchange_id = None
            self._end(order, "REJECTED", report.text, report.ts_ns)

    def _trade(self, order: KiteOrder, report: ExecutionReport) -> None:
        order.filled += report.last_qty
        order.value_p += report.last_qty * report.last_px_p
        done = order.filled == order.quantity
        trade = trade_row(order, str(10_000_000 + len(self.trades)), report.last_qty, report.last_px_p, report.ts_ns)
        self.trades.append(trade)
        self.events.append({"kind": "trade", **trade})
        order.exchange_ns = report.ts_ns
        self._state(order, "COMPLETE" if done else "OPEN")
        self._update(order, "COMPLETE" if done else "UPDATE")
        if done:
            self._next_leg(order)

    def _answered(self, order: KiteOrder, report: ExecutionReport) -> None:
        if report.exec_type is ExecType.REPLACE_REJECTED:
            order.message = report.text
            order.price_p, order.trigger_p = report.price_p or 0, report.stop_px_p or 0
            order.quantity = order.offset + (report.order_qty or 0)
        else:
            order.message = None
            self._modified(order)
        before = self._history[order.order_id]
        waits = order.order_type == "SL" and not any(row["status"] == "OPEN" for row in before)
        self._state(order, "TRIGGER PENDING" if waits else "OPEN")
        self._update(order, "UPDATE")

    def _end(self, order: KiteOrder, status: str, text: str | None, at_ns: int) -> None:
        order.cancelled = order.quantity - order.filled if status == "CANCELLED" else 0
        order.message = text
        order.updated_ns = at_ns
        self._icebergs.pop(order.order_id, None)
        self._state(order, status)
        self._update(order, status)

    def _state(self, order: KiteOrder, status: str) -> None:
        order.status = status
        row = order_row(order, self.account)
        self._history.setdefault(order.order_id, []).append(row)
        self.events.append({"kind": "order", **row})

    def _update(self, order: KiteOrder, status: str) -> None:
        row = order_row(order, self.account)
        row |= {
            "status": status,
            "user_id": self.account,
            "app_id": 1,
            "unfilled_quantity": order.quantity - order.filled,
            "checksum": "",
        }
        self.updates.append(row)

    def _exchange_id(self, order: KiteOrder) -> str:
        return f"11{order.number:014d}"


def _day(ns: int) -> str:
    return f"{ist_date(ns):%y%m%d}"


def _order(text: str) -> WireRefusal:
    return WireRefusal(400, "OrderException", text)
