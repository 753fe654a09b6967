"""One order as XTS's books tell it: its states, and the row of each in the spelling of the install."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from toolkit.sim.roster import Listed
from toolkit.sim.xts_form import OrderForm
from toolkit.sim.xts_install import Install
from toolkit.sim.xts_names import Directory, stamp, text_number, trading_symbol
from toolkit.types import OrderRequest, OrdType, Side, TimeInForce

__all__ = ["DONE", "XtsOrder", "XtsTrade", "order_row", "request_of", "trade_row"]

DONE: Final = frozenset({"Filled", "Cancelled", "Rejected", "Expired"})
_NO_EXPIRY: Final = 0


class XtsOrder(msgspec.Struct, kw_only=True):
    """The broker's state of one order. ``sent`` names it at the exchange, ``offset`` counts what had traded
    before it was sent under that name; ``price_p`` is what it is worth at the exchange (a market order's
    protection)."""

    order_id: str
    client: str
    login: str
    form: OrderForm
    price_p: int
    placed_ns: int
    status: str = "PendingNew"
    before: str = "PendingNew"
    reason: str = ""
    exchange_id: str = ""
    exchange_ns: int = 0
    updated_ns: int = 0
    filled: int = 0
    value_p: int = 0
    sequence: int = 0
    sent: str = ""
    offset: int = 0
    renamed: int = 0
    generated_by: str = "TWSAPI"

    @property
    def listed(self) -> Listed:
        """The contract."""
        return self.form.listed

    @property
    def side(self) -> str:
        """BUY or SELL."""
        return self.form.side

    @property
    def leaves(self) -> int:
        """Units that can still trade."""
        return 0 if self.status in DONE else self.form.quantity - self.filled

    @property
    def stop(self) -> bool:
        """Whether it waits for a price."""
        return self.form.order_type.startswith("Stop")


class XtsTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One execution."""

    order_id: str
    client: str
    exec_id: str
    index: int
    qty: int
    px_p: int
    at_ns: int
    row: dict[str, Any]


def request_of(order: XtsOrder) -> OrderRequest:
    """The order as the exchange takes it; what is left of it, under the name ``sent``."""
    instrument = order.listed.instrument
    kinds = {"StopLimit": OrdType.STOP_LIMIT, "StopMarket": OrdType.STOP}
    return OrderRequest(
        cl_ord_id=order.sent,
        symbol=instrument.symbol,
        side=Side(order.side),
        order_qty=order.form.quantity - order.offset,
        exchange=instrument.exchange,
        ord_type=kinds.get(order.form.order_type, OrdType.LIMIT),
        price_p=order.price_p,
        stop_px_p=order.form.trigger_p or None,
        time_in_force=TimeInForce.IOC if order.form.validity == "IOC" else TimeInForce.DAY,
        account=order.client,
        broker="xts",
    )


def order_row(order: XtsOrder, directory: Directory, install: Install) -> dict[str, Any]:
    """The row of the order book, in XTS's words."""
    form = order.form
    average = text_number(order.value_p / order.filled / 100) if order.filled else ""
    times = {
        "OrderGeneratedDateTime": order.placed_ns,
        "ExchangeTransactTime": order.exchange_ns or order.placed_ns,
        "LastUpdateDateTime": order.updated_ns,
        "OrderExpiryDate": _NO_EXPIRY,
    }
    left = form.quantity - order.filled
    row: dict[str, Any] = {
        "LoginID": order.login,
        "ClientID": order.client,
        "AppOrderID": app_id(order.order_id, install),
        "OrderReferenceID": "",
        "GeneratedBy": order.generated_by,
        "ExchangeOrderID": order.exchange_id,
        "OrderCategoryType": "NORMAL",
        "ExchangeSegment": directory.segment(form.listed),
        "ExchangeInstrumentID": directory.instrument(form.listed),
        "OrderSide": form.side.capitalize(),
        "OrderType": form.order_type,
        "ProductType": form.product,
        "TimeInForce": form.validity,
        "OrderPrice": form.price_p / 100 if form.price_p else 0,
        "OrderQuantity": form.quantity,
        "OrderStopPrice": form.trigger_p / 100 if form.trigger_p else 0,
        "OrderStatus": order.status,
        "OrderAverageTradedPrice": average,
        "LeavesQuantity": left if order.status not in ("Cancelled", "Expired") else 0,
        "CumulativeQuantity": order.filled,
        "OrderDisclosedQuantity": form.disclosed,
        **{name: stamp(ns, install.times) for name, ns in times.items()},
        "CancelRejectReason": order.reason,
        "OrderUniqueIdentifier": form.tag,
        "OrderLegStatus": "SingleOrderLeg",
        "IsSpread": False,
        "BoLegDetails": 0,
        "BoEntryOrderId": "",
        "OrderAverageTradedPriceAPI": order.value_p / order.filled / 100 if order.filled else "NaN",
        "OrderSideAPI": form.side,
        **{f"{name}API": stamp(ns, "day_first") for name, ns in times.items()},
        "AlgoID": "",
        "AlgoCategory": 0,
        "MessageSynchronizeUniqueKey": order.login,
        "MessageCode": 9004,
        "MessageVersion": 4,
        "TokenID": 0,
        "ApplicationType": 146,
        "SequenceNumber": order.sequence,
        "TradingSymbol": trading_symbol(form.listed),
    }
    if install.order_source != "ignore" and form.source is not None:
        row["ApiOrderSource"] = form.source
    return row


def trade_row(
    order: XtsOrder, directory: Directory, install: Install, trade: tuple[str, int, int, int, int]
) -> dict[str, Any]:
    """The row of the trade book; ``trade`` is execution id, index, units, paise and time."""
    exec_id, index, qty, px_p, at_ns = trade
    return {
        **order_row(order, directory, install),
        "MessageCode": 9005,
        "LastTradedPrice": px_p / 100,
        "LastTradedQuantity": qty,
        "LastExecutionTransactTime": stamp(at_ns, "iso")[:19],
        "LastExecutionTransactTimeAPI": stamp(at_ns, "day_first"),
        "ExecutionID": exec_id,
        "ExecutionReportIndex": index,
    }


def app_id(order_id: str, install: Install) -> int | str | float:
    """An AppOrderID in the spelling of the install."""
    if install.ids == "text":
        return order_id
    return float(order_id) if install.ids == "float" else int(order_id)
