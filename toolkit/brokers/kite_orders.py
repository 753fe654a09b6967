"""Between our orders and Kite's: forms out, rows of the books in. No I/O.

A row of the order book is never matched by order type or protection: Kite turns a MARKET order
into a LIMIT. It is matched by order id, or by its tag, which is our ``cl_ord_id``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from toolkit.brokers.kite_master import KiteMaster
from toolkit.brokers.kite_records import OrderRow, Position, TradeRow, stamp_ns
from toolkit.brokers.kite_settings import KiteSettings
from toolkit.brokers.port import Held
from toolkit.errors import BadData
from toolkit.types import (
    TERMINAL,
    ExecType,
    ExecutionReport,
    Fill,
    Instrument,
    Kind,
    Modify,
    Order,
    OrderRequest,
    OrdStatus,
    OrdType,
    Product,
    Side,
    TimeInForce,
)

__all__ = [
    "STATUSES",
    "KiteTerms",
    "check_terms",
    "ended",
    "fill_of",
    "held_of",
    "modified_row",
    "modify_form",
    "order_of",
    "own_id",
    "place_form",
    "placed_row",
    "reports_of",
    "states_between",
]

VARIETIES: Final = ("regular", "amo", "iceberg")
_ORDER_TYPES: Final = {
    OrdType.LIMIT: "LIMIT",
    OrdType.MARKET: "MARKET",
    OrdType.STOP: "SL-M",
    OrdType.STOP_LIMIT: "SL",
}
_ORD_TYPES: Final = {text: kind for kind, text in _ORDER_TYPES.items()}
_PRODUCTS: Final = {"FO": (Product.NRML, Product.MIS), "CM": (Product.CNC, Product.MIS)}

STATUSES: Final = {
    "PUT ORDER REQ RECEIVED": OrdStatus.PENDING_NEW,
    "VALIDATION PENDING": OrdStatus.PENDING_NEW,
    "OPEN PENDING": OrdStatus.PENDING_NEW,
    "AMO REQ RECEIVED": OrdStatus.NEW,
    "OPEN": OrdStatus.NEW,
    "TRIGGER PENDING": OrdStatus.NEW,
    "MODIFIED": OrdStatus.NEW,
    "MODIFY VALIDATION PENDING": OrdStatus.PENDING_REPLACE,
    "MODIFY PENDING": OrdStatus.PENDING_REPLACE,
    "CANCEL PENDING": OrdStatus.PENDING_CANCEL,
    "COMPLETE": OrdStatus.FILLED,
    "CANCELLED": OrdStatus.CANCELED,
    "REJECTED": OrdStatus.REJECTED,
}
"""Kite's words to ours; the list is open-ended and an unknown word means pending."""

_AT_EXCHANGE: Final = ("AMO REQ RECEIVED", "OPEN", "TRIGGER PENDING", "MODIFIED", "COMPLETE")
_SETTLED: Final = ("OPEN", "TRIGGER PENDING", "AMO REQ RECEIVED")
_ENDS: Final = {"CANCELLED": ExecType.CANCELED, "REJECTED": ExecType.REJECTED}


class KiteTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What Kite can do with an order beyond the port.

    ``variety`` is ``regular``, ``amo`` (after market) or ``iceberg`` (``iceberg_legs`` 2 to 50);
    ``autoslice`` lets Kite cut it at the freeze quantity; ``validity_ttl`` are minutes.
    """

    variety: str = "regular"
    iceberg_legs: int | None = None
    validity_ttl: int | None = None
    disclosed_qty: int | None = None
    autoslice: bool = False


def check_terms(request: OrderRequest, instrument: Instrument, terms: KiteTerms, today: dt.date) -> None:
    """Check an order against its contract before a byte leaves.

    Raises
    ------
    BadData
        Saying what is wrong and what is right: expiry, product, lot, tick, order type.
    """
    symbol, lot, tick = instrument.symbol, instrument.lot, instrument.tick_p
    if instrument.kind is Kind.INDEX:
        raise BadData(f"{symbol} is an index and does not trade; name a contract on it")
    if instrument.expiry is not None and instrument.expiry < today:
        raise BadData(f"{symbol} expired on {instrument.expiry}; name a live contract")
    fits = _PRODUCTS[instrument.segment[-2:]]
    if request.product not in fits:
        words = " or ".join(fits)
        raise BadData(f"product {request.product} does not go with {_venue(instrument)}; use {words}")
    qty = request.order_qty
    if not isinstance(qty, int) or isinstance(qty, bool) or qty <= 0:
        raise BadData(f"quantity must be a whole number of units from 1, was {qty!r}")
    if qty % lot:
        raise BadData(f"quantity of {symbol} must be a multiple of the lot {lot}, was {qty}")
    for name, price in (("price", request.price_p), ("stop_px", request.stop_px_p)):
        if price is not None and (price <= 0 or price % tick):
            raise BadData(
                f"{name} of {symbol} must be a positive multiple of the tick {tick / 100:.2f}, was {price / 100:.2f}"
            )
    _check_type(request, instrument)
    _check_variety(request, terms)


def _check_type(request: OrderRequest, instrument: Instrument) -> None:
    kind = request.ord_type
    if kind in (OrdType.LIMIT, OrdType.STOP_LIMIT) and request.price_p is None:
        raise BadData(f"a {kind} order needs a price")
    if kind in (OrdType.STOP, OrdType.STOP_LIMIT) and request.stop_px_p is None:
        raise BadData(f"a {kind} order needs a stop_px")
    if kind not in (OrdType.STOP, OrdType.STOP_LIMIT) and request.stop_px_p is not None:
        raise BadData(f"a {kind} order takes no stop_px; use STOP_LIMIT")
    if kind is OrdType.STOP and (instrument.kind is Kind.OPTION or instrument.exchange == "BSE"):
        raise BadData(
            f"stop-loss market orders are withdrawn for {_withdrawn(instrument)}; use STOP_LIMIT with a price"
        )
    if kind in (OrdType.STOP, OrdType.STOP_LIMIT) and request.time_in_force is TimeInForce.IOC:
        raise BadData("a stop order cannot be IOC; use DAY")


def _check_variety(request: OrderRequest, terms: KiteTerms) -> None:
    if terms.variety not in VARIETIES:
        raise BadData(f"variety must be one of {', '.join(VARIETIES)}, was {terms.variety!r}")
    legs = terms.iceberg_legs
    if (terms.variety == "iceberg") != (legs is not None) or (legs is not None and not 2 <= legs <= 50):
        raise BadData(f"an iceberg order has 2 to 50 legs, was {legs!r} for variety {terms.variety}")
    if terms.variety == "iceberg" and request.ord_type is not OrdType.LIMIT:
        raise BadData(f"an iceberg order is a LIMIT order, was {request.ord_type}")
    if terms.validity_ttl is not None and not 1 <= terms.validity_ttl <= 180:
        raise BadData(f"validity_ttl is 1 to 180 minutes, was {terms.validity_ttl!r}")


def place_form(
    request: OrderRequest, instrument: Instrument, name: str, terms: KiteTerms, settings: KiteSettings
) -> dict[str, Any]:
    """The arguments of the official ``place_order``. A MARKET or SL-M order always carries its protection."""
    venue, _, tradingsymbol = name.partition(":")
    form: dict[str, Any] = {
        "variety": terms.variety,
        "exchange": venue,
        "tradingsymbol": tradingsymbol,
        "transaction_type": str(request.side),
        "quantity": request.order_qty,
        "product": str(request.product),
        "order_type": _ORDER_TYPES[request.ord_type],
        "validity": "TTL" if terms.validity_ttl is not None else str(request.time_in_force),
        "tag": request.cl_ord_id,
    }
    optional = {
        "price": _rupees(request.price_p) if request.ord_type in (OrdType.LIMIT, OrdType.STOP_LIMIT) else None,
        "trigger_price": _rupees(request.stop_px_p),
        "validity_ttl": terms.validity_ttl,
        "disclosed_quantity": terms.disclosed_qty,
        "iceberg_legs": terms.iceberg_legs,
    }
    if request.ord_type in (OrdType.MARKET, OrdType.STOP):
        optional["market_protection"] = _whole(settings.market_protection)
    if settings.limit_only and request.ord_type is OrdType.MARKET:
        form["order_type"] = "LIMIT"
        optional["price"], optional["market_protection"] = _rupees(request.price_p), None
    if terms.iceberg_legs is not None:
        each = -(-request.order_qty // instrument.lot // terms.iceberg_legs) * instrument.lot
        optional["iceberg_quantity"] = each
    return form | {key: value for key, value in optional.items() if value is not None}


def modify_form(row: OrderRow, modify: Modify, settings: KiteSettings) -> dict[str, Any]:
    """The arguments of the official ``modify_order``: the full statement, nothing left to what Kite remembers."""
    kind = row.order_type or "LIMIT"
    price = modify.price_p if modify.price_p is not None else _paise(row.price)
    stop = modify.stop_px_p if modify.stop_px_p is not None else _paise(row.trigger_price)
    form: dict[str, Any] = {
        "variety": row.variety or "regular",
        "order_id": row.order_id,
        "quantity": modify.order_qty,
        "order_type": kind,
        "validity": row.validity or "DAY",
    }
    optional = {
        "parent_order_id": row.parent_order_id if row.variety == "co" else None,
        "price": _rupees(price) if kind in ("LIMIT", "SL") else None,
        "trigger_price": _rupees(stop) if kind in ("SL", "SL-M") else None,
        "disclosed_quantity": row.disclosed_quantity or None,
        "market_protection": _whole(settings.market_protection) if kind in ("MARKET", "SL-M") else None,
    }
    return form | {key: value for key, value in optional.items() if value is not None}


def placed_row(order_id: str, form: Mapping[str, Any]) -> OrderRow:
    """What is known of an order that was just placed, before a book shows it: its own words."""
    kept = ("variety", "order_type", "validity", "quantity", "price", "trigger_price", "disclosed_quantity", "tag")
    return OrderRow(order_id=order_id, **{name: form[name] for name in kept if name in form})


def modified_row(row: OrderRow, form: Mapping[str, Any]) -> OrderRow:
    """A row as a modification restates it: what the next message is made from until a book is read."""
    stated = {name: form[name] for name in ("quantity", "price", "trigger_price") if name in form}
    return msgspec.structs.replace(row, **stated)


def ended(row: OrderRow) -> OrdStatus | None:
    """The state in which a row's order ended, None while it may still trade."""
    state = STATUSES.get((row.status or "").upper())
    return state if state in TERMINAL else None


def own_id(row: OrderRow, taken: Mapping[str, str]) -> str:
    """The ``cl_ord_id`` of a row: its tag, or ``K`` and the order id for orders from elsewhere.

    ``taken`` holds ids already given, to their order id: legs and slices repeat the tag of their parent.
    """
    tag = row.tag or next((t for t in row.tags or () if t.isalnum() and t not in _MARKS), None)
    fits = tag is not None and tag.isascii() and tag.isalnum() and len(tag) <= 20
    if tag is not None and fits and taken.get(tag, row.order_id) == row.order_id:
        return tag
    return f"K{row.order_id}"[:20]


_MARKS: Final = ("autoslice", "mktp")


def order_of(row: OrderRow, cl_ord_id: str, master: KiteMaster, account: str, now_ns: int) -> Order:
    """An order as the book states it. ``filled_quantity`` decides, never ``pending_quantity``."""
    instrument = master.by_kite(row.exchange, row.tradingsymbol)
    qty, filled = row.quantity or 0, row.filled_quantity or 0
    status = STATUSES.get((row.status or "").upper(), OrdStatus.PENDING_NEW)
    if status is OrdStatus.NEW and filled:
        status = OrdStatus.PARTIALLY_FILLED
    request = OrderRequest(
        cl_ord_id=cl_ord_id,
        symbol=instrument.symbol if instrument else row.tradingsymbol or "",
        side=Side.SELL if row.transaction_type == "SELL" else Side.BUY,
        order_qty=qty,
        exchange=instrument.exchange if instrument else (row.exchange or ""),
        ord_type=_ORD_TYPES.get(row.order_type or "", OrdType.LIMIT),
        price_p=_paise(row.price),
        stop_px_p=_paise(row.trigger_price),
        time_in_force=TimeInForce.IOC if row.validity == "IOC" else TimeInForce.DAY,
        product=_product(row.product),
        account=account,
        broker="kite",
        parent_id=row.parent_order_id,
    )
    created = stamp_ns(row.order_timestamp) or now_ns
    return Order(
        request=request,
        ord_status=status,
        cum_qty=filled,
        leaves_qty=0 if status in TERMINAL else max(0, qty - filled),
        traded_value_p=round((row.average_price or 0.0) * filled * 100.0),
        created_ns=created,
        updated_ns=stamp_ns(row.exchange_update_timestamp) or created,
        order_id=row.order_id,
        exch_order_id=row.exchange_order_id,
        text=row.status_message or "",
    )


def reports_of(
    cl_ord_id: str,
    history: Sequence[OrderRow],
    trades: Sequence[TradeRow],
    account: str,
    symbol: str,
    now_ns: int,
    *,
    modified: int = 0,
) -> tuple[ExecutionReport, ...]:
    """Everything that happened to one order, oldest first, from its states and executions.

    ``exec_id`` is a pure function of the event, so that the same history read twice says nothing new.
    ``modified`` counts the modifications before the first state given.
    """
    made: list[ExecutionReport] = []
    seen: set[str] = set()
    before = ""
    for row in history:
        status = (row.status or "").upper()
        kind: ExecType | None = None
        if status in _AT_EXCHANGE and "new" not in seen:
            seen.add("new")
            kind = ExecType.NEW
        elif status in _SETTLED and before.startswith("MODIF"):
            modified += 1
            kind = ExecType.REPLACED
        elif status in _SETTLED and before == "CANCEL PENDING":
            kind = ExecType.CANCEL_REJECTED
        elif status in _ENDS:
            kind = _ENDS[status]
        if kind is not None:
            number = f"-{modified}" if kind is ExecType.REPLACED else ""
            made.append(_report(cl_ord_id, row, kind, f"{row.order_id}-{kind}{number}", account, symbol, now_ns))
        before = status
    fills = [_trade(cl_ord_id, t, account, symbol, now_ns) for t in trades]
    ends = [r for r in made if r.exec_type in (ExecType.CANCELED, ExecType.REJECTED)]
    return (*[r for r in made if r not in ends], *fills, *ends)


def states_between(before: OrderRow | None, after: OrderRow) -> tuple[OrderRow, ...]:
    """The states that two readings of the book imply: a change of terms was a modification."""
    if before is None:
        return (after,)
    terms = [(row.quantity, row.price, row.trigger_price) for row in (before, after)]
    if terms[0] != terms[1] and (before.status or "").upper() in (*_SETTLED, "MODIFIED"):
        return (before, msgspec.structs.replace(before, status="MODIFY PENDING"), after)
    return (before, after)


def _report(
    cl_ord_id: str, row: OrderRow, kind: ExecType, exec_id: str, account: str, symbol: str, now_ns: int
) -> ExecutionReport:
    stamp = stamp_ns(row.exchange_update_timestamp) or stamp_ns(row.order_timestamp) or now_ns
    return ExecutionReport(
        cl_ord_id=cl_ord_id,
        exec_id=exec_id,
        exec_type=kind,
        ts_ns=stamp,
        recv_ns=now_ns,
        order_id=row.order_id,
        exch_order_id=row.exchange_order_id,
        account=account,
        symbol=symbol,
        side=Side.SELL if row.transaction_type == "SELL" else Side.BUY,
        price_p=_paise(row.price),
        stop_px_p=_paise(row.trigger_price),
        order_qty=row.quantity,
        text=row.status_message or "",
    )


def _trade(cl_ord_id: str, trade: TradeRow, account: str, symbol: str, now_ns: int) -> ExecutionReport:
    return ExecutionReport(
        cl_ord_id=cl_ord_id,
        exec_id=f"{trade.order_id}-{trade.trade_id}",
        exec_type=ExecType.TRADE,
        ts_ns=stamp_ns(trade.fill_timestamp) or stamp_ns(trade.exchange_timestamp) or now_ns,
        recv_ns=now_ns,
        order_id=trade.order_id,
        exch_order_id=trade.exchange_order_id,
        account=account,
        symbol=symbol,
        side=Side.SELL if trade.transaction_type == "SELL" else Side.BUY,
        last_qty=trade.quantity or 0,
        last_px_p=_paise(trade.average_price) or 0,
    )


def fill_of(trade: TradeRow, cl_ord_id: str, master: KiteMaster, account: str, now_ns: int) -> Fill:
    """One execution of the trade book."""
    instrument = master.by_kite(trade.exchange, trade.tradingsymbol)
    return Fill(
        exec_id=f"{trade.order_id}-{trade.trade_id}",
        cl_ord_id=cl_ord_id,
        order_id=trade.order_id,
        account=account,
        broker="kite",
        symbol=instrument.symbol if instrument else trade.tradingsymbol or "",
        exchange=instrument.exchange if instrument else trade.exchange or "",
        side=Side.SELL if trade.transaction_type == "SELL" else Side.BUY,
        last_qty=trade.quantity or 0,
        last_px_p=_paise(trade.average_price) or 0,
        exec_ns=stamp_ns(trade.fill_timestamp) or stamp_ns(trade.exchange_timestamp) or now_ns,
    )


def held_of(position: Position, master: KiteMaster) -> Held:
    """A position with its realized profit computed from what was bought and sold: Kite's own field is not."""
    instrument = master.by_kite(position.exchange, position.tradingsymbol)
    net = position.quantity or 0
    bought, sold = position.buy_quantity or 0, position.sell_quantity or 0
    paid, got = position.buy_value or 0.0, position.sell_value or 0.0
    if net >= 0:
        realized = got - sold * (paid / bought) if bought else got
    else:
        realized = bought * (got / sold) - paid if sold else -paid
    return Held(
        symbol=instrument.symbol if instrument else position.tradingsymbol or "",
        exchange=instrument.exchange if instrument else position.exchange or "",
        product=_product(position.product),
        net_qty=net,
        avg_px=position.average_price or 0.0,
        realized=round(realized, 6),
    )


def _product(text: str | None) -> Product:
    return Product(text) if text is not None and text in Product.__members__ else Product.NRML


def _venue(instrument: Instrument) -> str:
    return {"NSE_FO": "NFO", "BSE_FO": "BFO"}.get(instrument.segment, instrument.exchange)


def _withdrawn(instrument: Instrument) -> str:
    return "BSE" if instrument.exchange == "BSE" else "options"


def _rupees(paise: int | None) -> float | None:
    return None if paise is None else paise / 100.0


def _paise(rupees: float | None) -> int | None:
    return None if not rupees else round(rupees * 100.0)


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value
