"""XTS's order and trade books over the simulated exchange, one book per client under one login.

What happens to an order is told twice: as rows of its history, which the book shows, and as
events (``order``, ``trade``) for the sockets. ``told`` collects what the record must know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from toolkit.calendar import ist_date
from toolkit.sim.world import World
from toolkit.sim.xts_form import OrderForm, XtsRefusal, change_form, invalid
from toolkit.sim.xts_install import Install
from toolkit.sim.xts_names import Directory
from toolkit.sim.xts_order import DONE, XtsOrder, XtsTrade, order_row, request_of, trade_row
from toolkit.types import ExecType, ExecutionReport, Modify

__all__ = ["ClientBook", "XtsBook"]

_PROTECTION: Final = 0.05
_FIRST_ID: Final = 1_000_000
_SEQUENCE: Final = 307_029_544_559_178

Margin = Callable[[str, OrderForm, XtsOrder | None], str]


class ClientBook(msgspec.Struct):
    """One client's orders and trades, as :class:`toolkit.sim.kite_account.KiteAccount` reads them."""

    account: str
    orders: dict[str, Any] = {}
    trades: list[dict[str, Any]] = []
    margin: Any = None


class XtsBook:
    """The orders of the day of every client of a login.

    Parameters
    ----------
    world : World
        The market and the exchange.
    directory : Directory
        XTS's names.
    login : str
        Who is logged in: the investor, or the dealer.
    clients : tuple of str
        The accounts.
    install : Install
        How rows are spelled.

    Attributes
    ----------
    margin : callable
        Called with client, form and the order it replaces; gives the words of a refusal, or none.
    """

    def __init__(
        self, world: World, directory: Directory, login: str, clients: tuple[str, ...], install: Install
    ) -> None:
        self.world = world
        self.directory = directory
        self.login = login
        self.install = install
        self.books = {client: ClientBook(client) for client in clients}
        self.margin: Margin = lambda client, form, replaced: ""
        self.orders: dict[str, XtsOrder] = {}
        self.trades: list[XtsTrade] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.told: list[dict[str, Any]] = []
        self._history: dict[str, list[dict[str, Any]]] = {}
        self._sent: dict[str, XtsOrder] = {}
        self._sequence = _SEQUENCE
        world.listen(self._hear, lambda now_ns: None)

    def place(self, client: str, form: OrderForm, generated_by: str = "TWSAPI") -> XtsOrder:
        """Take a new order; what risk or the exchange refuses ends as Rejected, not as an error."""
        now_ns = self.world.now_ns
        order = XtsOrder(
            order_id=f"{ist_date(self.world.bounds[0]):%d}{_FIRST_ID + len(self.orders) + 1}".lstrip("0") + "0",
            client=client,
            login=self.login,
            form=form,
            price_p=self._worth(form),
            placed_ns=now_ns,
            updated_ns=now_ns,
            generated_by=generated_by,
        )
        self.orders[order.order_id] = order
        self._state(order, "PendingNew")
        reason = "" if self.world.bounds[0] <= now_ns < self.world.bounds[1] else "The market is closed"
        reason = (
            reason or ("" if order.price_p else "No last price for a market order") or self.margin(client, form, None)
        )
        self.books[client].orders[order.order_id] = order
        if reason:
            self._end(order, "Rejected", f"OEMS:RMS : {reason}")
        else:
            self._send(order, order.order_id)
            self.world.pump()
        return order

    def modify(self, order: XtsOrder, body: Mapping[str, Any]) -> None:
        """Restate a working order in full.

        Raises
        ------
        XtsRefusal
            When it is done, the quantity has traded, or funds are short.
        """
        self._must_work(order)
        form = change_form(body, order.form)
        price_p = self._worth(form)
        if form.quantity <= order.filled:
            raise invalid(f"modifiedOrderQuantity must be above the traded {order.filled}")
        reason = self.margin(order.client, form, order)
        if reason:
            raise XtsRefusal("e-orders-0010", f"OEMS:RMS : {reason}")
        self._state(order, "PendingReplace")
        if form.validity != order.form.validity or form.order_type.startswith("Stop") != order.stop:
            self._resend(order, form, price_p)
        else:
            wanted = Modify(
                cl_ord_id=order.sent,
                order_qty=form.quantity - order.offset,
                price_p=price_p,
                stop_px_p=form.trigger_p or None,
            )
            order.form, order.price_p = form, price_p
            self.world.exchange.modify(wanted, self.world.now_ns)
        self.world.pump()

    def cancel(self, order: XtsOrder) -> None:
        """Cancel a working order; raises `XtsRefusal` when it is done."""
        self._must_work(order)
        self._state(order, "PendingCancel")
        self.world.exchange.cancel(order.sent, self.world.now_ns)
        self.world.pump()

    def find(self, order_id: Any, clients: tuple[str, ...]) -> XtsOrder:
        """The order of an AppOrderID among some clients; raises `XtsRefusal` when there is none."""
        try:
            found = self.orders.get(str(int(float(order_id))))
        except (TypeError, ValueError, OverflowError):
            found = None
        if found is None or found.client not in clients:
            raise XtsRefusal("e-orders-0001", "order not found")
        return found

    def row(self, order: XtsOrder) -> dict[str, Any]:
        """The row of an order as it stands."""
        return order_row(order, self.directory, self.install)

    def history(self, order: XtsOrder) -> list[dict[str, Any]]:
        """Every state of an order, oldest first."""
        return list(self._history[order.order_id])

    def working(self) -> list[XtsOrder]:
        """Orders that can still trade, oldest first."""
        return [order for order in self.orders.values() if order.leaves]

    def _must_work(self, order: XtsOrder) -> None:
        if order.status in DONE:
            raise XtsRefusal("e-orders-0002", f"Order is already {order.status}")

    def _worth(self, form: OrderForm) -> int:
        """The limit in paise at the exchange: a market order is held within 5 % of the last price or trigger."""
        if form.order_type in ("Limit", "StopLimit"):
            return form.price_p
        instrument = form.listed.instrument
        reference_p = form.trigger_p if form.order_type == "StopMarket" else self.world.last_p(form.listed.key)
        if not reference_p:
            return 0
        sign = 1 if form.side == "BUY" else -1
        # Ten ticks at least: five percent of a cheap option is less than one.
        room = max(round(reference_p * _PROTECTION), 10 * instrument.tick_p)
        low, high = self.world.bands.get(form.listed.key, (instrument.tick_p, 1 << 40))
        price_p = (reference_p + sign * room) // instrument.tick_p * instrument.tick_p
        return min(max(price_p, low, instrument.tick_p), high)

    def _send(self, order: XtsOrder, name: str) -> None:
        order.sent = name
        self._sent[name] = order
        self.world.exchange.place(request_of(order), self.world.now_ns)

    def _resend(self, order: XtsOrder, form: OrderForm, price_p: int) -> None:
        """Change the kind of a working order: withdraw it and send what is left under another name."""
        del self._sent[order.sent]
        self.world.exchange.cancel(order.sent, self.world.now_ns)
        self.world.pump()
        order.form, order.price_p = form, price_p
        order.offset = order.filled
        order.renamed += 1
        self._state(order, "Replaced")
        self._send(order, f"{order.order_id}R{order.renamed}")

    def _hear(self, report: ExecutionReport) -> None:
        order = self._sent.get(report.cl_ord_id)
        if order is None:
            return
        order.updated_ns = report.ts_ns
        kind = report.exec_type
        if kind is not ExecType.REJECTED:
            order.exchange_id = f"11{order.order_id}"
            order.exchange_ns = report.ts_ns
        if kind is ExecType.NEW:
            waits = order.stop and report.text != "stop triggered"
            self._state(order, self.install.stops if waits else "New")
        elif kind is ExecType.TRADE:
            self._trade(order, report)
        elif kind is ExecType.REPLACED:
            self._state(order, "Replaced")
        elif kind is ExecType.REPLACE_REJECTED:
            self._restore(order, report)
        elif kind is ExecType.CANCEL_REJECTED and order.status == "PendingCancel":
            self._state(order, order.before)
        elif kind is ExecType.CANCELED:
            self._end(order, "Cancelled", report.text)
        elif kind is ExecType.EXPIRED:
            self._end(order, "Expired", report.text)
        elif kind is ExecType.REJECTED:
            self._end(order, "Rejected", f"16388 : {report.text}")

    def _restore(self, order: XtsOrder, report: ExecutionReport) -> None:
        """Go back to the terms that the exchange still holds."""
        order.reason = report.text
        if report.order_qty is not None:
            price_p = report.price_p or 0
            shown = price_p if order.form.order_type in ("Limit", "StopLimit") else 0
            quantity = order.offset + report.order_qty
            order.price_p = price_p
            order.form = msgspec.structs.replace(
                order.form, quantity=quantity, price_p=shown, trigger_p=report.stop_px_p or 0
            )
        self._state(order, order.before)

    def _trade(self, order: XtsOrder, report: ExecutionReport) -> None:
        order.filled += report.last_qty
        order.value_p += report.last_qty * report.last_px_p
        self._state(order, "Filled" if order.filled == order.form.quantity else "PartiallyFilled")
        index = 1 + sum(1 for trade in self.trades if trade.order_id == order.order_id)
        exec_id = f"{2_000_000 + len(self.trades) + 1}"
        what = (exec_id, index, report.last_qty, report.last_px_p, report.ts_ns)
        row = trade_row(order, self.directory, self.install, what)
        self.trades.append(
            XtsTrade(
                order_id=order.order_id,
                client=order.client,
                exec_id=exec_id,
                index=index,
                qty=report.last_qty,
                px_p=report.last_px_p,
                at_ns=report.ts_ns,
                row=row,
            )
        )
        self.books[order.client].trades.append(
            {
                "instrument_token": order.listed.key,
                "product": order.form.product,
                "transaction_type": order.side,
                "quantity": report.last_qty,
                "average_price": report.last_px_p / 100,
            }
        )
        self.events.append(("trade", row))
        self.told.append({"kind": "trade", "order_id": order.order_id, **row})

    def _end(self, order: XtsOrder, status: str, reason: str) -> None:
        order.reason = reason
        self._state(order, status)

    def _state(self, order: XtsOrder, status: str) -> None:
        if not order.status.startswith("Pending"):
            order.before = order.status
        self._sequence += 1
        order.status, order.sequence = status, self._sequence
        row = self.row(order)
        self._history.setdefault(order.order_id, []).append(row)
        self.events.append(("order", row))
        self.told.append({"kind": "order", "order_id": order.order_id, **row})
