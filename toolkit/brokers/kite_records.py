"""Kite's answers as frozen records: unknown fields are ignored, a missing one is None.

Field names are Kite's own. Order ids are strings (19 digits pass 2^53), prices float rupees,
time stamps the IST text that came; :func:`stamp_ns` turns one into nanoseconds UTC.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, TypeVar

import msgspec

from toolkit.calendar import ist_ns
from toolkit.errors import BadData

__all__ = [
    "Auction",
    "AutosliceAnswer",
    "AutosliceChild",
    "BankAccount",
    "BasketMargin",
    "Candles",
    "Charges",
    "CompactHolding",
    "ContractNote",
    "Gtt",
    "GttAnswer",
    "GttCondition",
    "GttOrder",
    "GttOrderOutcome",
    "GttResult",
    "Holding",
    "HoldingsSummary",
    "Level",
    "Ltp",
    "Ohlc",
    "OhlcRow",
    "OrderAnswer",
    "OrderMargin",
    "OrderRow",
    "PnlParts",
    "Position",
    "Positions",
    "Postback",
    "QuoteRow",
    "SegmentMargin",
    "SessionRow",
    "TradeRow",
    "TriggerRange",
    "UserMargins",
    "UserRow",
    "decode",
    "read",
    "stamp_ns",
]

T = TypeVar("T")


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Common shape of the records."""


class UserRow(_Record, frozen=True, kw_only=True):
    """Who is logged in: ``/user/profile`` and ``/user/profile/full``."""

    user_id: str | None = None
    user_type: str | None = None
    email: str | None = None
    user_name: str | None = None
    user_shortname: str | None = None
    broker: str | None = None
    exchanges: tuple[str, ...] | None = None
    products: tuple[str, ...] | None = None
    order_types: tuple[str, ...] | None = None
    avatar_url: str | None = None
    meta: dict[str, Any] | None = None
    twofa_type: str | None = None
    twofa_timestamp: str | None = None
    password_timestamp: str | None = None
    phone: str | None = None
    pan: str | None = None
    bank_accounts: tuple[BankAccount, ...] | None = None
    dp_ids: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None


class BankAccount(_Record, frozen=True, kw_only=True):
    """One bank account of a profile."""

    name: str | None = None
    branch: str | None = None
    account: str | None = None


class SessionRow(_Record, frozen=True, kw_only=True):
    """Answer of the login, without its secrets: those are taken out before this is made."""

    user_id: str | None = None
    user_name: str | None = None
    user_type: str | None = None
    broker: str | None = None
    login_time: str | None = None
    exchanges: tuple[str, ...] | None = None
    products: tuple[str, ...] | None = None
    order_types: tuple[str, ...] | None = None


class Available(_Record, frozen=True, kw_only=True):
    """Money that can be used."""

    adhoc_margin: float | None = None
    cash: float | None = None
    opening_balance: float | None = None
    live_balance: float | None = None
    collateral: float | None = None
    intraday_payin: float | None = None


class Utilised(_Record, frozen=True, kw_only=True):
    """Money in use."""

    debits: float | None = None
    exposure: float | None = None
    m2m_realised: float | None = None
    m2m_unrealised: float | None = None
    option_premium: float | None = None
    payout: float | None = None
    span: float | None = None
    holding_sales: float | None = None
    turnover: float | None = None
    liquid_collateral: float | None = None
    stock_collateral: float | None = None
    delivery: float | None = None


class SegmentMargin(_Record, frozen=True, kw_only=True):
    """``/user/margins/equity``."""

    enabled: bool | None = None
    net: float | None = None
    available: Available | None = None
    utilised: Utilised | None = None


class UserMargins(_Record, frozen=True, kw_only=True):
    """``/user/margins``."""

    equity: SegmentMargin | None = None
    commodity: SegmentMargin | None = None


class OrderAnswer(_Record, frozen=True, kw_only=True):
    """Answer to placing, modifying or cancelling an order."""

    order_id: str


class ChildError(_Record, frozen=True, kw_only=True):
    """Why one slice was refused."""

    code: int | None = None
    error_type: str | None = None
    message: str | None = None


class AutosliceChild(_Record, frozen=True, kw_only=True):
    """One slice: an order id, or why there is none."""

    order_id: str | None = None
    error: ChildError | None = None


class AutosliceAnswer(_Record, frozen=True, kw_only=True):
    """Answer to an autosliced order; partial failure is normal."""

    order_id: str
    children: tuple[AutosliceChild, ...] = ()


class OrderRow(_Record, frozen=True, kw_only=True):
    """One order of the book, one state of its history, or a pushed update."""

    order_id: str
    placed_by: str | None = None
    account_id: str | None = None
    exchange_order_id: str | None = None
    parent_order_id: str | None = None
    status: str | None = None
    status_message: str | None = None
    status_message_raw: str | None = None
    order_timestamp: str | None = None
    exchange_update_timestamp: str | None = None
    exchange_timestamp: str | None = None
    variety: str | None = None
    modified: bool | None = None
    exchange: str | None = None
    tradingsymbol: str | None = None
    instrument_token: int | None = None
    order_type: str | None = None
    transaction_type: str | None = None
    validity: str | None = None
    validity_ttl: int | None = None
    product: str | None = None
    quantity: int | None = None
    disclosed_quantity: int | None = None
    price: float | None = None
    trigger_price: float | None = None
    auction_number: str | int | None = None
    average_price: float | None = None
    filled_quantity: int | None = None
    pending_quantity: int | None = None
    cancelled_quantity: int | None = None
    market_protection: float | None = None
    meta: dict[str, Any] | str | None = None
    tag: str | None = None
    tags: tuple[str, ...] | None = None
    guid: str | None = None
    terminal_id: str | None = None


class Postback(OrderRow, frozen=True, kw_only=True):
    """A pushed order: the row with who and a checksum."""

    user_id: str | None = None
    app_id: int | None = None
    unfilled_quantity: int | None = None
    checksum: str | None = None


class TradeRow(_Record, frozen=True, kw_only=True):
    """One execution."""

    trade_id: str
    order_id: str
    exchange_order_id: str | None = None
    exchange: str | None = None
    tradingsymbol: str | None = None
    instrument_token: int | None = None
    product: str | None = None
    average_price: float | None = None
    quantity: int | None = None
    transaction_type: str | None = None
    fill_timestamp: str | None = None
    order_timestamp: str | None = None
    exchange_timestamp: str | None = None


class Position(_Record, frozen=True, kw_only=True):
    """One position: a symbol in one product. ``realised`` and ``unrealised`` are the broker's words, not used."""

    tradingsymbol: str | None = None
    exchange: str | None = None
    instrument_token: int | None = None
    product: str | None = None
    quantity: int | None = None
    overnight_quantity: int | None = None
    multiplier: float | None = None
    average_price: float | None = None
    close_price: float | None = None
    last_price: float | None = None
    value: float | None = None
    pnl: float | None = None
    m2m: float | None = None
    unrealised: float | None = None
    realised: float | None = None
    buy_quantity: int | None = None
    buy_price: float | None = None
    buy_value: float | None = None
    buy_m2m: float | None = None
    sell_quantity: int | None = None
    sell_price: float | None = None
    sell_value: float | None = None
    sell_m2m: float | None = None
    day_buy_quantity: int | None = None
    day_buy_price: float | None = None
    day_buy_value: float | None = None
    day_sell_quantity: int | None = None
    day_sell_price: float | None = None
    day_sell_value: float | None = None


class Positions(_Record, frozen=True, kw_only=True):
    """``/portfolio/positions``: carried and today's; today's alone."""

    net: tuple[Position, ...] | None = None
    day: tuple[Position, ...] | None = None


class Holding(_Record, frozen=True, kw_only=True):
    """Delivered shares."""

    tradingsymbol: str | None = None
    exchange: str | None = None
    instrument_token: int | None = None
    isin: str | None = None
    product: str | None = None
    price: float | None = None
    quantity: int | None = None
    used_quantity: int | None = None
    t1_quantity: int | None = None
    realised_quantity: int | None = None
    authorised_quantity: int | None = None
    authorised_date: str | None = None
    authorisation: dict[str, Any] | None = None
    opening_quantity: int | None = None
    short_quantity: int | None = None
    collateral_quantity: int | None = None
    collateral_type: str | None = None
    discrepancy: bool | None = None
    average_price: float | None = None
    last_price: float | None = None
    close_price: float | None = None
    pnl: float | None = None
    day_change: float | None = None
    day_change_percentage: float | None = None
    mtf: dict[str, Any] | None = None


class Auction(Holding, frozen=True, kw_only=True):
    """A holding that may be offered in an auction."""

    auction_number: str | int | None = None


class CompactHolding(_Record, frozen=True, kw_only=True):
    """A holding in five words."""

    tradingsymbol: str | None = None
    exchange: str | None = None
    instrument_token: int | None = None
    quantity: int | None = None
    t1_quantity: int | None = None


class HoldingsSummary(_Record, frozen=True, kw_only=True):
    """Totals of the holdings."""

    total_pnl: float | None = None
    total_pnl_percent: float | None = None
    today_pnl: float | None = None
    today_pnl_percent: float | None = None
    invested_amount: float | None = None
    current_value: float | None = None


class OhlcRow(_Record, frozen=True, kw_only=True):
    """Open, high, low of the day; ``close`` is the previous close."""

    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None


class Level(_Record, frozen=True, kw_only=True):
    """One depth level."""

    price: float | None = None
    quantity: int | None = None
    orders: int | None = None


class Depth(_Record, frozen=True, kw_only=True):
    """Five levels a side."""

    buy: tuple[Level, ...] = ()
    sell: tuple[Level, ...] = ()


class QuoteRow(_Record, frozen=True, kw_only=True):
    """``/quote``."""

    instrument_token: int | None = None
    timestamp: str | None = None
    last_trade_time: str | None = None
    last_price: float | None = None
    last_quantity: int | None = None
    buy_quantity: int | None = None
    sell_quantity: int | None = None
    volume: int | None = None
    average_price: float | None = None
    oi: int | None = None
    oi_day_high: int | None = None
    oi_day_low: int | None = None
    net_change: float | None = None
    lower_circuit_limit: float | None = None
    upper_circuit_limit: float | None = None
    ohlc: OhlcRow | None = None
    depth: Depth | None = None


class Ohlc(_Record, frozen=True, kw_only=True):
    """``/quote/ohlc``."""

    instrument_token: int | None = None
    last_price: float | None = None
    ohlc: OhlcRow | None = None


class Ltp(_Record, frozen=True, kw_only=True):
    """``/quote/ltp``."""

    instrument_token: int | None = None
    last_price: float | None = None


class TriggerRange(_Record, frozen=True, kw_only=True):
    """``/instruments/trigger_range``."""

    instrument_token: int | None = None
    lower: float | None = None
    upper: float | None = None
    percentage: float | None = None


class Candles(_Record, frozen=True, kw_only=True):
    """``/instruments/historical``: rows of stamp, open, high, low, close, volume and, when asked, OI."""

    candles: tuple[tuple[Any, ...], ...] = ()


class PnlParts(_Record, frozen=True, kw_only=True):
    """Profit and loss inside a margin."""

    realised: float | None = None
    unrealised: float | None = None


class Gst(_Record, frozen=True, kw_only=True):
    """Goods and services tax."""

    igst: float | None = None
    cgst: float | None = None
    sgst: float | None = None
    total: float | None = None


class Charges(_Record, frozen=True, kw_only=True):
    """Taxes and fees of one order or a basket."""

    transaction_tax: float | None = None
    transaction_tax_type: str | None = None
    exchange_turnover_charge: float | None = None
    sebi_turnover_charge: float | None = None
    brokerage: float | None = None
    stamp_duty: float | None = None
    gst: Gst | None = None
    total: float | None = None


class OrderMargin(_Record, frozen=True, kw_only=True):
    """Margin of one order, or of a basket before and after its hedge benefit."""

    type: str | None = None
    tradingsymbol: str | None = None
    exchange: str | None = None
    span: float | None = None
    exposure: float | None = None
    option_premium: float | None = None
    additional: float | None = None
    bo: float | None = None
    cash: float | None = None
    var: float | None = None
    pnl: PnlParts | None = None
    leverage: float | None = None
    charges: Charges | None = None
    total: float | None = None


class BasketMargin(_Record, frozen=True, kw_only=True):
    """``/margins/basket``: ``final`` is what the basket needs."""

    initial: OrderMargin | None = None
    final: OrderMargin | None = None
    orders: tuple[OrderMargin, ...] | None = None
    charges: Charges | None = None


class ContractNote(_Record, frozen=True, kw_only=True):
    """``/charges/orders``: one order of a virtual contract note."""

    transaction_type: str | None = None
    tradingsymbol: str | None = None
    exchange: str | None = None
    variety: str | None = None
    product: str | None = None
    order_type: str | None = None
    quantity: int | None = None
    price: float | None = None
    charges: Charges | None = None


class GttCondition(_Record, frozen=True, kw_only=True):
    """When a trigger fires."""

    exchange: str | None = None
    tradingsymbol: str | None = None
    trigger_values: tuple[float, ...] | None = None
    last_price: float | None = None
    instrument_token: int | None = None


class GttOrderOutcome(_Record, frozen=True, kw_only=True):
    """What became of the order that a trigger sent."""

    status: str | None = None
    order_id: str | None = None
    rejection_reason: str | None = None


class GttResult(_Record, frozen=True, kw_only=True):
    """One fired leg."""

    account_id: str | None = None
    exchange: str | None = None
    tradingsymbol: str | None = None
    validity: str | None = None
    product: str | None = None
    order_type: str | None = None
    transaction_type: str | None = None
    quantity: int | None = None
    price: float | None = None
    meta: dict[str, Any] | str | None = None
    timestamp: str | None = None
    triggered_at: float | None = None
    order_result: GttOrderOutcome | None = None


class GttOrder(_Record, frozen=True, kw_only=True):
    """One leg of a trigger."""

    exchange: str | None = None
    tradingsymbol: str | None = None
    product: str | None = None
    order_type: str | None = None
    transaction_type: str | None = None
    quantity: int | None = None
    price: float | None = None
    result: GttResult | None = None


class Gtt(_Record, frozen=True, kw_only=True):
    """One good-till-triggered order: ``single``, or ``two-leg`` (one cancels the other)."""

    id: int
    user_id: str | None = None
    parent_trigger: Any = None
    type: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    expires_at: str | None = None
    status: str | None = None
    condition: GttCondition | None = None
    orders: tuple[GttOrder, ...] | None = None
    meta: dict[str, Any] | str | None = None


class GttAnswer(_Record, frozen=True, kw_only=True):
    """Answer to placing, modifying or deleting a trigger."""

    trigger_id: int


class _Envelope(msgspec.Struct):
    status: str | None = None
    data: Any = None


def decode(body: bytes, kind: type[T]) -> T:
    """Read a whole response body ``{"status": "success", "data": ...}`` into records.

    >>> decode(b'{"status":"success","data":{"order_id":"151220000000000"}}', OrderAnswer).order_id
    '151220000000000'

    Raises
    ------
    BadData
        When the body is not such an answer.
    """
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadData(f"answer cannot be read: {_line(error)}") from None
    if envelope.status not in (None, "success"):
        raise BadData(f"answer is no success, was status {envelope.status!r}")
    return read(envelope.data, kind)


def read(value: object, kind: type[T]) -> T:
    """Turn the ``data`` of an answer into records.

    Raises
    ------
    BadData
        When a field has another kind of value.
    """
    try:
        return msgspec.convert(value, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadData(f"answer is not in the documented form: {_line(error)}") from None


_SIZE: Final = 19


def stamp_ns(text: str | None, day: dt.date | None = None) -> int | None:
    """Nanoseconds UTC of one of Kite's stamps, which are IST wall time; None for what is no time.

    ``HH:MM:SS`` alone needs ``day``. A zone in the text (candles) is used.

    >>> stamp_ns("2021-05-31 09:16:39") == ist_ns(dt.date(2021, 5, 31), dt.time(9, 16, 39))
    True
    """
    if not text:
        return None
    try:
        if len(text) == 8 and day is not None:
            return ist_ns(day, dt.time.fromisoformat(text))
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.year < 1971:
        return None
    if found.tzinfo is not None:
        whole = found.astimezone(dt.UTC).replace(tzinfo=None) - dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the epoch
        return (whole.days * 86_400 + whole.seconds) * 10**9 + whole.microseconds * 1000
    return ist_ns(found.date(), found.time())


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
