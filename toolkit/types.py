"""The nouns: frozen messages with FIX names and exact integers.

Quantities are int64 *units* (never lots), prices and cash int64 *paise* (suffix
``_p``), times int64 nanoseconds UTC (suffix ``_ns``). :func:`to_paise` and
:func:`to_rupees` are the only two conversions between paise and float rupees.
"""

from __future__ import annotations

import datetime as dt
import math
from enum import StrEnum
from typing import Final

import msgspec

from toolkit.errors import BadData

__all__ = [
    "BROKERS",
    "TERMINAL",
    "Cancel",
    "Denial",
    "ExecType",
    "ExecutionReport",
    "Fill",
    "Instrument",
    "Intent",
    "Kind",
    "Modify",
    "OptionType",
    "OrdStatus",
    "OrdType",
    "Order",
    "OrderRequest",
    "Place",
    "Product",
    "Side",
    "Target",
    "TimeInForce",
    "to_paise",
    "to_rupees",
]

BROKERS: Final = ("kite", "paper", "xts-client", "xts-pro")
"""Every broker by its name."""


class Side(StrEnum):
    """Side (FIX 54)."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1


class OrdType(StrEnum):
    """Order type (FIX 40). MARKET is always sent with protection, as a limit."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"


class TimeInForce(StrEnum):
    """Time in force (FIX 59)."""

    DAY = "DAY"
    IOC = "IOC"


class Product(StrEnum):
    """Margin product, in the words Indian brokers share."""

    NRML = "NRML"
    MIS = "MIS"
    CNC = "CNC"


class Kind(StrEnum):
    """What an instrument is."""

    OPTION = "option"
    FUTURE = "future"
    EQUITY = "equity"
    INDEX = "index"


class OptionType(StrEnum):
    """Call or put."""

    CE = "CE"
    PE = "PE"

    @property
    def cp(self) -> int:
        """+1 for a call, -1 for a put."""
        return 1 if self is OptionType.CE else -1


class OrdStatus(StrEnum):
    """Where an order stands (FIX 39), with two of our own: ``denied`` (our risk said
    no; it never left) and ``unknown`` (it may be placed; reconcile)."""

    PENDING_NEW = "pending_new"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DENIED = "denied"
    UNKNOWN = "unknown"


TERMINAL: Final = frozenset(
    {OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED, OrdStatus.DENIED}
)


class ExecType(StrEnum):
    """What happened (FIX 150)."""

    PENDING_NEW = "pending_new"
    NEW = "new"
    TRADE = "trade"
    PENDING_CANCEL = "pending_cancel"
    CANCELED = "canceled"
    CANCEL_REJECTED = "cancel_rejected"
    PENDING_REPLACE = "pending_replace"
    REPLACED = "replaced"
    REPLACE_REJECTED = "replace_rejected"
    REJECTED = "rejected"
    EXPIRED = "expired"
    TRADE_CANCEL = "trade_cancel"
    DENIED = "denied"
    UNKNOWN = "unknown"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A contract as of one date. Lot, tick, expiry and freeze are dated attributes."""

    instrument_id: int
    symbol: str
    exchange: str
    segment: str
    underlying: str
    kind: Kind
    lot: int
    tick_p: int
    expiry: dt.date | None = None
    strike_p: int | None = None
    option_type: OptionType | None = None
    token: int | None = None
    freeze_qty: int | None = None


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: the intent that is journaled before a byte leaves.

    ``cl_ord_id`` is ours: 1 to 20 ASCII letters and digits. ``confirm`` names the risk rules that
    a person says are meant (``duplicate``, ``confirm_value``); an intent of a strategy has no such word.
    """

    cl_ord_id: str
    symbol: str
    side: Side
    order_qty: int
    exchange: str = "NSE"
    ord_type: OrdType = OrdType.LIMIT
    price_p: int | None = None
    stop_px_p: int | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    product: Product = Product.NRML
    account: str = "PAPER"
    broker: str = "paper"
    algo: str | None = None
    order_source: str | None = None
    note: str | None = None
    parent_id: str | None = None
    confirm: tuple[str, ...] = ()
    via: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order's state: the request and all that was reported of it, replaced as a
    whole by each event. ``traded_value_p`` is the exact sum of quantity x price.

    ``execs`` holds every execution once as (exec_id, quantity, price in paise), ``busts`` the
    exec_ids that the exchange took back, ``pending_qty`` the quantity a modification in
    flight asks for, ``answered_ns`` the time of the newest answer to a request of ours.
    """

    request: OrderRequest
    ord_status: OrdStatus
    cum_qty: int
    leaves_qty: int
    traded_value_p: int
    created_ns: int
    updated_ns: int
    order_id: str | None = None
    exch_order_id: str | None = None
    text: str = ""
    execs: tuple[tuple[str, int, int], ...] = ()
    busts: tuple[str, ...] = ()
    pending_qty: int | None = None
    answered_ns: int = 0

    @property
    def cl_ord_id(self) -> str:
        """Our id of the order."""
        return self.request.cl_ord_id

    @property
    def is_open(self) -> bool:
        """Whether the order can still trade."""
        return self.ord_status not in TERMINAL

    @property
    def avg_px(self) -> float:
        """Average fill price in rupees, NaN before the first fill."""
        return self.traded_value_p / self.cum_qty / 100.0 if self.cum_qty else math.nan


class ExecutionReport(msgspec.Struct, frozen=True, kw_only=True):
    """Any statement by a broker, an exchange or our own risk about one order (FIX 35=8).

    ``exec_ref_id`` names the execution that a ``trade_cancel`` takes back (FIX 19).
    """

    cl_ord_id: str
    exec_id: str
    exec_type: ExecType
    ts_ns: int
    recv_ns: int
    order_id: str | None = None
    exch_order_id: str | None = None
    account: str = "PAPER"
    symbol: str = ""
    side: Side | None = None
    last_qty: int = 0
    last_px_p: int = 0
    price_p: int | None = None
    stop_px_p: int | None = None
    order_qty: int | None = None
    exec_ref_id: str | None = None
    text: str = ""


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. ``exec_id`` is the key that makes a repeat harmless."""

    exec_id: str
    cl_ord_id: str
    order_id: str
    account: str
    broker: str
    symbol: str
    exchange: str
    side: Side
    last_qty: int
    last_px_p: int
    exec_ns: int


class Denial(msgspec.Struct, frozen=True):
    """One reason why risk refuses: rule, its limit, the value seen, one line of text."""

    rule: str
    limit: float | int | str
    value: float | int | str
    text: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Intent: a new order. The engine gives it its ``cl_ord_id``.

    ``ref`` is an execution algorithm's own name for a child order; ``product`` and ``exchange``
    None take the parent's, or the engine's own.
    """

    symbol: str
    side: Side
    order_qty: int
    ord_type: OrdType = OrdType.LIMIT
    price_p: int | None = None
    stop_px_p: int | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    note: str = ""
    ref: str = ""
    product: Product | None = None
    exchange: str | None = None


class Modify(msgspec.Struct, frozen=True, kw_only=True):
    """Intent: the full new statement of a working order."""

    cl_ord_id: str
    order_qty: int
    price_p: int | None = None
    stop_px_p: int | None = None


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Intent: withdraw a working order."""

    cl_ord_id: str


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Intent: bring the strategy's net position in ``symbol`` to ``net_qty`` units."""

    symbol: str
    net_qty: int
    note: str = ""


Intent = Place | Modify | Cancel | Target


def to_paise(rupees: float) -> int:
    """Convert rupees to exact paise.

    >>> to_paise(112.05)
    11205

    Raises
    ------
    BadData
        When the value is not finite, not a whole number of paise (within 1e-6 of one) or past int64.
    """
    paise = rupees * 100.0
    if not abs(paise) < 2**63 or abs(paise - round(paise)) > 1e-6 * max(1.0, abs(paise) * 1e-6):
        raise BadData(f"price must be a whole number of paise, was {rupees!r}; use two decimals")
    return round(paise)


def to_rupees(paise: int) -> float:
    """Convert paise to float rupees, for analytics and display.

    >>> to_rupees(11205)
    112.05
    """
    return paise / 100.0
