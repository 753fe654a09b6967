"""An order in the words of the surface: one reader and one writer for the CLI, the API and Python.

Whatever came as text, number or nonsense ends here as exact integers or as one
:class:`~toolkit.errors.BadOrder` with the field, what it must be and what it was, so that the three
ways to give an order refuse alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from toolkit.errors import BadData, BadOrder, UnknownSymbol, nearest
from toolkit.orders import ids
from toolkit.risk.limits import CONFIRMABLE
from toolkit.types import (
    BROKERS,
    Denial,
    Fill,
    Instrument,
    Order,
    OrderRequest,
    OrdStatus,
    OrdType,
    Product,
    Side,
    TimeInForce,
)

__all__ = [
    "FIELDS",
    "MOST_PRICE",
    "MOST_QTY",
    "Asked",
    "Basket",
    "Change",
    "IdTaken",
    "NoOrder",
    "NotListed",
    "Unnamed",
    "asked_of",
    "event_json",
    "fill_json",
    "no_account",
    "no_order",
    "order_from_json",
    "order_json",
    "read_basket",
    "read_change",
    "read_named",
    "read_order",
    "read_price_p",
    "read_qty",
    "request_of",
    "taken",
    "unlisted",
]

FIELDS: Final = (
    "cl_ord_id",
    "symbol",
    "exchange",
    "side",
    "order_qty",
    "lots",
    "ord_type",
    "price",
    "stop_px",
    "time_in_force",
    "product",
    "account",
    "broker",
    "algo",
    "order_source",
    "note",
    "confirm",
)
MOST_QTY: Final = 10**9
"""Units that one order may name before any rule of risk looks at it."""
MOST_PRICE: Final = 10**7
"""Rupees that a price may be."""
_LONGEST: Final = {"cl_ord_id": 64, "symbol": 64, "exchange": 10, "account": 40, "algo": 300, "order_source": 20}
_NOTE: Final = 300
_CHANGES: Final = ("order_qty", "price", "stop_px")
_MOST_LEGS: Final = 20
_SHOWN: Final = 60
_DECIMAL: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)

W = TypeVar("W", bound=StrEnum)


class IdTaken(BadOrder):
    """The same ``cl_ord_id`` with another body."""


class NoOrder(BadOrder):
    """No order has that id."""


class NotListed(BadOrder, UnknownSymbol):
    """An order's symbol names no contract that is listed today, or more than one."""


class Unnamed(StrEnum):
    """What a ticket bears that names no account or broker: paper's words; a desk takes its own for them."""

    ACCOUNT = "PAPER"
    BROKER = "paper"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One order as asked for: typed, not yet resolved. Quantity is in units or in lots."""

    symbol: str
    side: Side
    order_qty: int | None = None
    lots: int | None = None
    ord_type: OrdType = OrdType.LIMIT
    price_p: int | None = None
    stop_px_p: int | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    product: Product = Product.NRML
    exchange: str | None = None
    account: str | None = None
    broker: str | None = None
    algo: str | None = None
    order_source: str | None = None
    cl_ord_id: str | None = None
    note: str | None = None
    confirm: tuple[str, ...] = ()


class Basket(msgspec.Struct, frozen=True, kw_only=True):
    """Legs that belong together, and what to do when one of them fails."""

    legs: tuple[Asked, ...]
    algo: str | None = None
    policy: dict[str, Any] | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a modification changes; None stays as it is."""

    order_qty: int | None = None
    price_p: int | None = None
    stop_px_p: int | None = None


def read_order(body: object) -> Asked:
    """Read one order.

    Raises
    ------
    BadOrder
        With the field as ``rule``.

    >>> read_order({"symbol": "NIFTY 25NOV2025 24500 CE", "side": "buy", "lots": 1, "price": "112.05"}).price_p
    11205
    """
    fields = _fields(body, FIELDS, "an order")
    if "symbol" not in fields or "side" not in fields:
        missing = "symbol" if "symbol" not in fields else "side"
        raise BadOrder(missing, "given", "nothing", f"{missing} is missing; an order needs symbol, side and a quantity")
    if ("order_qty" in fields) == ("lots" in fields):
        seen = "both" if "lots" in fields else "neither"
        raise BadOrder("order_qty", "order_qty or lots", seen, f"give either order_qty or lots, was {seen}")
    broker = fields.get("broker")
    return Asked(
        symbol=_text("symbol", fields["symbol"]),
        side=_word(Side, "side", fields["side"]),
        order_qty=read_qty("order_qty", fields["order_qty"]) if "order_qty" in fields else None,
        lots=read_qty("lots", fields["lots"]) if "lots" in fields else None,
        ord_type=_word(OrdType, "ord_type", fields.get("ord_type", "LIMIT")),
        price_p=read_price_p("price", fields.get("price")),
        stop_px_p=read_price_p("stop_px", fields.get("stop_px")),
        time_in_force=_word(TimeInForce, "time_in_force", fields.get("time_in_force", "DAY")),
        product=_word(Product, "product", fields.get("product", "NRML")),
        cl_ord_id=_id(fields.get("cl_ord_id")),
        confirm=_confirmed(fields.get("confirm")),
        algo=_algo(fields.get("algo")),
        broker=None if broker is None else _among("broker", BROKERS, broker),
        **{
            name: _text(name, fields[name]) if name in fields else None
            for name in ("exchange", "account", "order_source", "note")
        },
    )


def read_basket(body: object) -> Asked | Basket:
    """Read one order, or ``{"legs": [...], "algo": ..., "policy": {...}}``."""
    if not isinstance(body, Mapping) or "legs" not in body:
        return read_order(body)
    fields = _fields(body, ("legs", "algo", "policy"), "a basket")
    legs, policy = fields["legs"], fields.get("policy")
    if not isinstance(legs, Sequence) or isinstance(legs, str) or not 1 <= len(legs) <= _MOST_LEGS:
        limit = f"1 to {_MOST_LEGS} orders"
        seen = len(legs) if isinstance(legs, list | tuple) else _shown(legs)
        raise BadOrder("legs", limit, seen, f"legs must be {limit}, was {seen}")
    if isinstance(policy, str):
        policy = {"fail": policy}  # a word alone is what to do when a leg fails
    if policy is not None and not (isinstance(policy, Mapping) and all(isinstance(k, str) for k in policy)):
        limit, shown = "a word or an object", _shown(policy)
        raise BadOrder("policy", limit, shown, f"policy must be {limit}, was {shown}")
    return Basket(
        legs=_apart([read_order(leg) for leg in legs]),
        algo=_algo(fields.get("algo", "legs"), policy) if "algo" in fields or policy else None,
        policy=None if policy is None else dict(policy),
    )


def _apart(legs: Sequence[Asked]) -> tuple[Asked, ...]:
    """Legs that each have an id of their own, and one algorithm between them."""
    seen: set[str] = set()
    for n, leg in enumerate(legs, 1):
        if leg.algo is not None:
            limit, shown = "one algorithm beside the legs", _shown(leg.algo)
            raise BadOrder("algo", limit, shown, f"leg {n} must leave algo to its basket, was {shown}")
        if leg.cl_ord_id in seen:
            limit = "an id of its own"
            raise BadOrder("cl_ord_id", limit, leg.cl_ord_id, f"leg {n} must have {limit}, was {leg.cl_ord_id} again")
        seen |= set() if leg.cl_ord_id is None else {leg.cl_ord_id}
    return tuple(legs)


def read_change(body: object) -> Change:
    """Read a modification; at least one field."""
    fields = _fields(body, _CHANGES, "a modification")
    if not fields:
        known = ", ".join(_CHANGES)
        raise BadOrder("order_qty", "a change", "nothing", f"a modification needs one of {known}, was empty")
    return Change(
        order_qty=read_qty("order_qty", fields["order_qty"]) if "order_qty" in fields else None,
        price_p=read_price_p("price", fields.get("price")),
        stop_px_p=read_price_p("stop_px", fields.get("stop_px")),
    )


def read_qty(name: str, value: object) -> int:
    """Read a quantity: a whole number from 1, as a number or its decimal text."""
    number = _number(value)
    limit = f"1 to {MOST_QTY}"
    if number is None or number != number.to_integral_value() or not 1 <= number <= MOST_QTY:
        shown = _shown(value)
        raise BadOrder(name, limit, shown, f"{name} must be a whole number from {limit}, was {shown}")
    return int(number)


def read_price_p(name: str, value: object) -> int | None:
    """Read a price in rupees as paise; None stays None."""
    if value is None:
        return None
    number = _number(value)
    limit = f"above 0 to {MOST_PRICE}, in whole paise"
    if number is None or not 0 < number <= MOST_PRICE or (number * 100) != (number * 100).to_integral_value():
        shown = _shown(value)
        raise BadOrder(name, limit, shown, f"{name} must be rupees {limit}, was {shown}")
    return int(number * 100)


def read_named(value: object) -> str:
    """Read the id of an order that there is, ours or another's."""
    name = _text("cl_ord_id", value)
    if "/" in name or name in (".", ".."):  # no order has it, and it would be another path of the API
        raise no_order(name, ())
    return name


def asked_of(request: OrderRequest) -> dict[str, Any]:
    """An order request as the fields that :func:`read_order` takes; numbers that are none go on as they are.

    An account or broker that the ticket did not name is left out.
    """

    def rupees(value: object) -> object:
        return str(Decimal(value).scaleb(-2)) if type(value) is int else value

    found: dict[str, Any] = {
        "cl_ord_id": request.cl_ord_id,
        "symbol": request.symbol,
        "exchange": request.exchange,
        "side": request.side,
        "order_qty": request.order_qty,
        "ord_type": request.ord_type,
        "price": rupees(request.price_p),
        "stop_px": rupees(request.stop_px_p),
        "time_in_force": request.time_in_force,
        "product": request.product,
        "account": request.account,
        "broker": request.broker,
        "algo": request.algo,
        "order_source": request.order_source,
        "note": request.note,
        "confirm": list(request.confirm) or None,
    }
    named = {name: v for name, v in found.items() if v is not None and not isinstance(v, Unnamed)}
    return {name: str(v) if isinstance(v, StrEnum) else v for name, v in named.items()}


def request_of(
    asked: Asked, instrument: Instrument, *, cl_ord_id: str, account: str, broker: str, via: str
) -> OrderRequest:
    """What was asked for as the request of one account: contract resolved, quantity in units."""
    qty = asked.order_qty if asked.order_qty is not None else (asked.lots or 0) * instrument.lot
    return OrderRequest(
        cl_ord_id=cl_ord_id,
        symbol=instrument.symbol,
        side=asked.side,
        order_qty=qty,
        exchange=instrument.exchange,
        ord_type=asked.ord_type,
        price_p=asked.price_p,
        stop_px_p=asked.stop_px_p,
        time_in_force=asked.time_in_force,
        product=asked.product,
        account=account,
        broker=broker,
        algo=asked.algo,
        order_source=asked.order_source,
        note=asked.note,
        confirm=asked.confirm,
        via=via,
    )


def order_json(order: Order, denials: Sequence[Denial] = ()) -> dict[str, Any]:
    """An order in the words of the surface: rupees, units; unknown is None. A denied one says every rule."""
    request = order.request
    row: dict[str, Any] = {
        "cl_ord_id": request.cl_ord_id,
        "order_id": order.order_id,
        "exch_order_id": order.exch_order_id,
        "account": request.account,
        "broker": request.broker,
        "symbol": request.symbol,
        "exchange": request.exchange,
        "side": str(request.side),
        "order_qty": request.order_qty,
        "ord_type": str(request.ord_type),
        "price": None if request.price_p is None else request.price_p / 100.0,
        "stop_px": None if request.stop_px_p is None else request.stop_px_p / 100.0,
        "time_in_force": str(request.time_in_force),
        "product": str(request.product),
        "ord_status": str(order.ord_status),
        "cum_qty": order.cum_qty,
        "leaves_qty": order.leaves_qty,
        "avg_px": order.avg_px if order.cum_qty else None,
        "text": order.text,
        "parent_id": request.parent_id,
        "created_ns": order.created_ns,
        "updated_ns": order.updated_ns,
    }
    if denials:
        row["denials"] = [msgspec.to_builtins(d) for d in denials]
    return row


def order_from_json(row: Mapping[str, Any]) -> Order:
    """An order of a running engine as the noun of this library."""

    def paise(value: float | None) -> int | None:
        return None if value is None else round(value * 100.0)

    request = OrderRequest(
        cl_ord_id=row["cl_ord_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        order_qty=row["order_qty"],
        exchange=row["exchange"],
        ord_type=OrdType(row["ord_type"]),
        price_p=paise(row["price"]),
        stop_px_p=paise(row["stop_px"]),
        time_in_force=TimeInForce(row["time_in_force"]),
        product=Product(row["product"]),
        account=row["account"],
        broker=row["broker"],
        parent_id=row["parent_id"],
    )
    return Order(
        request=request,
        ord_status=OrdStatus(row["ord_status"]),
        cum_qty=row["cum_qty"],
        leaves_qty=row["leaves_qty"],
        traded_value_p=round((row["avg_px"] or 0.0) * 100.0 * row["cum_qty"]),
        created_ns=row["created_ns"],
        updated_ns=row["updated_ns"],
        order_id=row["order_id"],
        exch_order_id=row["exch_order_id"],
        text=row["text"],
    )


def fill_json(fill: Fill) -> dict[str, Any]:
    """A fill in the words of the surface."""
    row = msgspec.structs.asdict(fill)
    row["last_px"] = row.pop("last_px_p") / 100.0
    row["side"] = str(fill.side)
    return {name: row[name] for name in _FILL}


def taken(cl_ord_id: str) -> IdTaken:
    """The refusal of an id that is another order."""
    text = f"cl_ord_id {cl_ord_id} is already another order; use a new id"
    return IdTaken("cl_ord_id", "a new id", cl_ord_id, text)


def no_order(cl_ord_id: str, known: Sequence[str]) -> NoOrder:
    """The refusal of an id that no order has; ``known`` are those there are."""
    shown = _cut(cl_ord_id)
    return NoOrder("cl_ord_id", "an order of today", shown, f"no order {shown} today{nearest(cl_ord_id[:40], known)}")


def no_account(name: str, known: Sequence[str], value: object) -> BadOrder:
    """The refusal of an account or broker that is not among those there are."""
    limit, shown = ", ".join(known), _shown(value)
    near = nearest(str(value)[:40], known)
    return BadOrder(name, limit, shown, f"{name} must be one of {limit}, was {shown}{near}")


def unlisted(asked: Asked, error: UnknownSymbol, elsewhere: Instrument | None = None) -> BadOrder:
    """The refusal of a contract that the broker does not list; ``elsewhere`` is it without the exchange asked for."""
    if elsewhere is not None:
        shown = _shown(asked.exchange)
        text = f"exchange of {elsewhere.symbol} must be {elsewhere.exchange}, was {shown}"
        return BadOrder("exchange", elsewhere.exchange, shown, text)
    return NotListed("symbol", "a contract listed today", _shown(asked.symbol), str(error))


def event_json(event: Any, account: str) -> dict[str, Any]:
    """A journal event of an account in the words of the surface."""
    return {
        "seq": event.seq,
        "ts_ns": event.ts_ns,
        "kind": event.kind,
        "cl_ord_id": event.cl_ord_id,
        "account": account,
        "payload": event.payload,
    }


_FILL: Final = (
    "exec_id",
    "cl_ord_id",
    "order_id",
    "account",
    "broker",
    "symbol",
    "exchange",
    "side",
    "last_qty",
    "last_px",
    "exec_ns",
)


def _fields(body: object, known: Sequence[str], what: str) -> dict[str, Any]:
    if not isinstance(body, Mapping):
        raise BadOrder("body", "an object", _shown(body), f"{what} must be an object, was {_shown(body)}")
    for name in body:
        if not isinstance(name, str) or name not in known:
            shown = _shown(name)
            near = nearest(name, known) if isinstance(name, str) else ""
            raise BadOrder("field", ", ".join(known), shown, f"{what} has no field {shown}{near}")
    return {name: value for name, value in body.items() if value is not None}


def _text(name: str, value: object) -> str:
    most = _LONGEST.get(name, _NOTE)
    limit = f"1 to {most} printable characters"
    if not isinstance(value, str) or not 1 <= len(value) <= most or not value.isprintable() or not value.strip():
        shown = _shown(value)
        raise BadOrder(name, limit, shown, f"{name} must be {limit}, was {shown}")
    return value.strip()


def _id(value: object) -> str | None:
    if value is None:
        return None
    try:
        ids.check(value)  # type: ignore[arg-type]
    except (BadData, TypeError, AttributeError):
        limit, shown = "1 to 20 letters and digits", _shown(value)
        raise BadOrder("cl_ord_id", limit, shown, f"cl_ord_id must be {limit}, was {shown}") from None
    return str(value)


def _confirmed(value: object) -> tuple[str, ...]:
    """Rules that a person says are meant: a word, words parted by commas, or a list of words."""
    words = value.split(",") if isinstance(value, str) else () if value is None else value
    if not isinstance(words, list | tuple) or len(words) > len(CONFIRMABLE):
        limit, shown = " and ".join(CONFIRMABLE), _shown(value)
        raise BadOrder("confirm", limit, shown, f"confirm names {limit}, was {shown}")
    for word in words:
        if not isinstance(word, str) or word.strip() not in CONFIRMABLE:
            limit, shown = ", ".join(CONFIRMABLE), _shown(word)
            near = nearest(word, CONFIRMABLE) if isinstance(word, str) else ""
            raise BadOrder("confirm", limit, shown, f"confirm must be one of {limit}, was {shown}{near}")
    return tuple(sorted({word.strip() for word in words}))


def _word(kind: type[W], name: str, value: object) -> W:
    return kind(_among(name, [str(word) for word in kind], value.upper() if isinstance(value, str) else value, value))


def _among(name: str, known: Sequence[str], word: object, said: object = None) -> str:
    """One of the known words; ``said`` is how it came."""
    if not isinstance(word, str) or word not in known:
        limit, shown = ", ".join(known), _shown(word if said is None else said)
        near = nearest(word, known) if isinstance(word, str) and word else ""
        raise BadOrder(name, limit, shown, f"{name} must be one of {limit}, was {shown}{near}")
    return word


def _algo(value: object, policy: Mapping[str, object] | None = None) -> str | None:
    """The text of an algorithm whose name and parameters are known ones."""
    if value is None:
        return None
    from toolkit.orders import algos

    text = _text("algo", value)
    algos.check(text, policy)
    return text


def _number(value: object) -> Decimal | None:
    """A finite decimal, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    if isinstance(value, str) and not _DECIMAL.fullmatch(value.strip()):
        return None
    try:
        number = Decimal(str(value).strip()) if _short(value) else None
    except (InvalidOperation, ValueError):
        return None
    return number if number is not None and number.is_finite() and abs(number.adjusted()) < _SHOWN else None


def _short(value: object) -> bool:
    """Whether a value's text is short enough to be a number; a huge integer is never written out."""
    if isinstance(value, int):
        return value.bit_length() < 190
    return not isinstance(value, str) or len(value) <= _SHOWN


def _shown(value: object) -> str:
    """A value as one short line, alike whether it came as a number or as its text."""
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "nothing"
    if isinstance(value, int) and not _short(value):
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, int | float | str):
        try:
            return str(Decimal(str(value).strip())) if _short(value) else _cut(str(value))
        except (InvalidOperation, ValueError):
            return _cut(str(value))
    return f"a value of type {type(value).__name__}"


def _cut(text: str) -> str:
    safe = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:_SHOWN])
    return f"'{safe}{'...' if len(text) > _SHOWN else ''}'"
