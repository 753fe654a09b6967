"""One order as Kite's order book tells it: its states and the row of each."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from toolkit.calendar import to_ist
from toolkit.sim.roster import Listed
from toolkit.types import OrderRequest, OrdType, Side, TimeInForce

__all__ = ["DONE", "KiteOrder", "order_row", "request_of", "stamp", "trade_row"]

DONE: Final = frozenset({"COMPLETE", "CANCELLED", "REJECTED"})


class KiteOrder(msgspec.Struct, kw_only=True):
    """The broker's state of one order. ``sent`` names it at the exchange (None before it is there),
    ``offset`` counts what had traded before it was sent under that name."""

    order_id: str
    number: int
    variety: str
    listed: Listed
    side: str
    quantity: int
    product: str
    order_type: str
    price_p: int
    trigger_p: int
    validity: str
    ttl_minutes: int
    disclosed: int
    tag: str | None
    tags: tuple[str, ...]
    placed_ns: int
    status: str = "PUT ORDER REQ RECEIVED"
    message: str | None = None
    parent_id: str | None = None
    exchange_id: str | None = None
    exchange_ns: int | None = None
    updated_ns: int = 0
    filled: int = 0
    value_p: int = 0
    cancelled: int = 0
    modified: bool = False
    modifications: int = 0
    sent: str | None = None
    offset: int = 0
    renamed: int = 0
    iceberg: tuple[int, int, int, int] | None = None

    @property
    def leaves(self) -> int:
        """Units that can still trade."""
        return 0 if self.status in DONE else self.quantity - self.filled


def request_of(order: KiteOrder, account: str) -> OrderRequest:
    """The order as the exchange takes it; what is left of it, under the name ``sent``."""
    instrument = order.listed.instrument
    return OrderRequest(
        cl_ord_id=order.sent or order.order_id,
        symbol=instrument.symbol,
        side=Side(order.side),
        order_qty=order.quantity - order.offset,
        exchange=instrument.exchange,
        ord_type=OrdType.STOP_LIMIT if order.order_type == "SL" else OrdType.LIMIT,
        price_p=order.price_p,
        stop_px_p=order.trigger_p or None,
        time_in_force=TimeInForce.IOC if order.validity == "IOC" else TimeInForce.DAY,
        account=account,
        broker="kite",
    )


def stamp(ns: int | None) -> str | None:
    """Kite's time stamp: Indian wall time to the second."""
    return None if ns is None else f"{to_ist(ns):%Y-%m-%d %H:%M:%S}"


def order_row(order: KiteOrder, account: str) -> dict[str, Any]:
    """The row of the order book, in Kite's words."""
    row: dict[str, Any] = {
        "placed_by": account,
        "account_id": account,
        "order_id": order.order_id,
        "exchange_order_id": order.exchange_id,
        "parent_order_id": order.parent_id,
        "status": order.status,
        "status_message": order.message,
        "status_message_raw": order.message,
        "order_timestamp": stamp(order.placed_ns),
        "exchange_update_timestamp": stamp(order.updated_ns) if order.exchange_id else None,
        "exchange_timestamp": stamp(order.exchange_ns),
        "variety": order.variety,
        "modified": order.modified,
        "exchange": order.listed.venue,
        "tradingsymbol": order.listed.name,
        "instrument_token": order.listed.key,
        "order_type": order.order_type,
        "transaction_type": order.side,
        "validity": order.validity,
        "validity_ttl": order.ttl_minutes,
        "product": order.product,
        "quantity": order.quantity,
        "disclosed_quantity": order.disclosed,
        "price": order.price_p / 100,
        "trigger_price": order.trigger_p / 100,
        "auction_number": None,
        "average_price": round(order.value_p / order.filled / 100, 6) if order.filled else 0,
        "filled_quantity": order.filled,
        "pending_quantity": order.leaves,
        "cancelled_quantity": order.cancelled,
        "market_protection": 0,
        "meta": _meta(order),
        "tag": order.tag,
        "guid": f"{order.number:020d}",
    }
    if order.tags:
        row["tags"] = list(order.tags)
    return row


def trade_row(order: KiteOrder, trade_id: str, qty: int, px_p: int, at_ns: int) -> dict[str, Any]:
    """The row of the trade book, in Kite's words."""
    return {
        "trade_id": trade_id,
        "order_id": order.order_id,
        "exchange_order_id": order.exchange_id,
        "exchange": order.listed.venue,
        "tradingsymbol": order.listed.name,
        "instrument_token": order.listed.key,
        "product": order.product,
        "average_price": px_p / 100,
        "quantity": qty,
        "transaction_type": order.side,
        "fill_timestamp": stamp(at_ns),
        "order_timestamp": (stamp(at_ns) or "")[-8:],
        "exchange_timestamp": stamp(at_ns),
    }


def _meta(order: KiteOrder) -> dict[str, Any]:
    if order.iceberg is None:
        return {}
    leg, legs, each, total = order.iceberg
    return {
        "iceberg": {
            "leg": leg,
            "legs": legs,
            "leg_quantity": each,
            "total_quantity": total,
            "remaining_quantity": max(0, total - leg * each),
        }
    }
