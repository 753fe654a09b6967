"""XTS answers and events as frozen records: whatever an install calls a field, and however it writes a number.

Rows are read through alias tables without regard to case. Ids are text, numbers may be text with
separators, ``""`` and ``NaN`` are None; a time without a zone is IST. Fields that nobody needs are ignored.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from toolkit.calendar import ist_ns
from toolkit.config import Secret
from toolkit.errors import BadData

__all__ = [
    "BalanceRow",
    "Envelope",
    "HoldingRow",
    "LoginRow",
    "MarginRow",
    "MarketLoginRow",
    "OrderRow",
    "PlacedRow",
    "PositionRow",
    "ProfileRow",
    "TradeRow",
    "balances_of",
    "event_rows",
    "holdings_of",
    "identity",
    "login_of",
    "margin_of",
    "market_login_of",
    "number",
    "order_rows",
    "placed_of",
    "positions_of",
    "profile_of",
    "read_envelope",
    "stamp_ns",
    "trade_rows",
    "whole",
]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An answer opened: whether it is a success, the code, the words, what it holds."""

    ok: bool
    code: str = ""
    text: str = ""
    result: Any = None
    typed: bool = False


def read_envelope(body: bytes) -> Envelope:
    """Open an answer: an object, a list of one, or one level down under ``data``.

    ``type`` alone decides; the code's prefix does not (a login succeeds with ``e-response-0010``).

    >>> read_envelope(b'[{"type":"success","code":"e-response-0010"}]').ok
    True

    Raises
    ------
    BadData
        When it is not JSON, or no such answer.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BadData("an answer that is not JSON") from None
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict):
        raise BadData("an answer in no documented form")
    cells = _lower(found)
    inner = cells.get("data")
    if isinstance(inner, list) and len(inner) == 1:
        inner = inner[0]
    if "type" not in cells and isinstance(inner, dict) and ("type" in _lower(inner) or "code" in _lower(inner)):
        cells = _lower(inner)
    kind = cells.get("type")
    code, text = _text(cells.get("code")), _text(cells.get("description"))
    if kind is None and not code:
        raise BadData("an answer in no documented form")
    ok = kind is True or (isinstance(kind, str) and kind.strip().lower() == "success")
    result = cells.get("result")
    errors = _lower(result).get("errors") if isinstance(result, dict) else None
    if errors and not ok:
        text = f"{text}: {msgspec.json.encode(errors).decode()[:160]}"
    return Envelope(ok=ok, code=code, text=text, result=result, typed=kind is not None and bool(code or text))


def number(value: object) -> float | None:
    """A finite number, also from text with separators; None for everything that is none.

    >>> number("2,853.50"), number("NaN"), number("")
    (2853.5, None, None)
    """
    if isinstance(value, str):
        text = value.replace(",", "").strip()
        if not text.isascii() or "_" in text:
            return None
        try:
            value = float(text)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        made = float(value)
    except OverflowError:
        return None
    return made if math.isfinite(made) else None


def whole(value: object) -> int | None:
    """A whole number; None for what is none. Text of digits keeps all of them."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**63 else None
    if isinstance(value, str):
        text = value.replace(",", "").strip()
        if text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20:
            return whole(int(text))
    made = number(value)
    return int(made) if made is not None and made.is_integer() and abs(made) < 2**63 else None


def identity(value: object) -> str:
    """An id as text: digits of a number however it is written, any other text as it stands.

    >>> identity(1110037830.0), identity("1,110,037,830"), identity("X_30698353"), identity(None)
    ('1110037830', '1110037830', 'X_30698353', '')
    """
    made = whole(value)
    if made is not None:
        return str(made)
    return value.strip() if isinstance(value, str) else ""


_ISO: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_DMY: Final = re.compile(r"(\d\d)-(\d\d)-(\d{4}) (\d\d):(\d\d):(\d\d)(?:\.(\d+))?", re.ASCII)
_MDY: Final = re.compile(r"([A-Za-z]{3}) +(\d{1,2}) (\d{4}) (\d\d):?(\d\d):?(\d\d)", re.ASCII)
_MONTHS: Final = {"janfebmaraprmayjunjulaugsepoctnovdec"[3 * k : 3 * k + 3]: k + 1 for k in range(12)}
_S: Final = 1_000_000_000


def stamp_ns(value: object) -> int | None:
    """Nanoseconds UTC of a time in any of the forms seen; without a zone it is IST. None for what is no time.

    ``2020-12-21T14:59:41.1535468``, ``...T14:59:42+05:30``, ``13-08-2026 10:33:28.482``,
    ``Jun 18 2026 09:20:15``. The year 1980 says that there is no time.
    """
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        if found := _ISO.fullmatch(text):
            y, mo, d, h, mi, s = (int(found[k]) for k in range(1, 7))
            return _utc_ns((y, mo, d), (h, mi, s), found[7], found[8])
        if found := _DMY.fullmatch(text):
            d, mo, y, h, mi, s = (int(found[k]) for k in range(1, 7))
            return _utc_ns((y, mo, d), (h, mi, s), found[7], None)
        if (found := _MDY.fullmatch(text)) and found[1].lower() in _MONTHS:
            d, y, h, mi, s = (int(found[k]) for k in range(2, 7))
            return _utc_ns((y, _MONTHS[found[1].lower()], d), (h, mi, s), None, None)
    except ValueError:
        return None
    return None


def _utc_ns(
    day: tuple[int, int, int], time: tuple[int, int, int], fraction: str | None, zone: str | None
) -> int | None:
    if day[0] <= 1980:
        return None
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    ns = ist_ns(dt.date(*day), dt.time(*time, micro))
    if zone is None:
        return ns
    offset = 0
    if zone != "Z":
        sign = -1 if zone[0] == "-" else 1
        offset = sign * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)
    return ns + (19_800 - offset) * _S


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One order of a book, one state of a history, or an ``order`` event. Prices in rupees, None is unknown."""

    app_order_id: str
    login_id: str = ""
    client_id: str = ""
    exch_order_id: str = ""
    segment: str = ""
    instrument: int | None = None
    trading_symbol: str = ""
    side: str = ""
    ord_type: str = ""
    product: str = ""
    time_in_force: str = ""
    price: float | None = None
    stop_px: float | None = None
    qty: int | None = None
    disclosed_qty: int | None = None
    status: str = ""
    avg_px: float | None = None
    leaves_qty: int | None = None
    cum_qty: int | None = None
    created_ns: int | None = None
    exchange_ns: int | None = None
    updated_ns: int | None = None
    reason: str = ""
    tag: str = ""
    source: str | None = None
    generated_by: str = ""
    sequence: int = 0


class TradeRow(OrderRow, frozen=True, kw_only=True):
    """One execution: an order's row with what traded."""

    exec_id: str = ""
    exec_index: int | None = None
    last_px: float | None = None
    last_qty: int | None = None
    exec_ns: int | None = None


class PlacedRow(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to placing, modifying or cancelling."""

    app_order_id: str
    tag: str = ""
    client_id: str = ""


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One position. ``level`` and ``kind`` tell rows apart that would count twice."""

    client_id: str = ""
    login_id: str = ""
    trading_symbol: str = ""
    segment: str = ""
    instrument: int | None = None
    product: str = ""
    lot: int | None = None
    multiplier: float | None = None
    buy_qty: int | None = None
    sell_qty: int | None = None
    net_qty: int | None = None
    buy_avg: float | None = None
    sell_avg: float | None = None
    buy_value: float | None = None
    sell_value: float | None = None
    net_value: float | None = None
    realized: float | None = None
    unrealized: float | None = None
    mtm: float | None = None
    break_even: float | None = None
    level: str = ""
    kind: str = ""
    sequence: int = 0


class HoldingRow(msgspec.Struct, frozen=True, kw_only=True):
    """Delivered shares of one ISIN; XTS gives no market price."""

    isin: str
    qty: int
    avg_px: float | None = None
    nse_instrument: int | None = None
    bse_instrument: int | None = None
    collateral_qty: int | None = None
    client_id: str = ""


class BalanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of limits, rupees."""

    header: str
    client_id: str = ""
    cash: float | None = None
    collateral: float | None = None
    used: float | None = None
    available: float | None = None
    mtm: float | None = None
    realized: float | None = None
    unrealized: float | None = None


class LoginRow(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of the interactive login. ``is_investor`` None: an old install that does not say."""

    token: Secret
    user_id: str
    is_investor: bool | None = None
    client_codes: tuple[str, ...] = ()
    socket_events: tuple[str, ...] = ()


class MarketLoginRow(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of the market-data login."""

    token: Secret
    user_id: str
    app_version: str = ""
    expires: str = ""


class ProfileRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who an account is."""

    client_id: str = ""
    name: str = ""
    is_investor: bool | None = None
    segments: tuple[str, ...] = ()


class MarginRow(msgspec.Struct, frozen=True, kw_only=True):
    """Margin of a basket, rupees."""

    required: float
    available: float | None = None
    shortfall: float | None = None
    valid: bool = True
    text: str = ""


Read = Callable[[object], Any]


def _say(value: object) -> str:
    return value.strip() if isinstance(value, str) else identity(value)


_ORDER: Final[Mapping[str, tuple[Read, tuple[str, ...]]]] = {
    "app_order_id": (identity, ("AppOrderID",)),
    "login_id": (_say, ("LoginID",)),
    "client_id": (_say, ("ClientID", "AccountID")),
    "exch_order_id": (_say, ("ExchangeOrderID",)),
    "segment": (_say, ("ExchangeSegment",)),
    "instrument": (whole, ("ExchangeInstrumentID",)),
    "trading_symbol": (_say, ("TradingSymbol",)),
    "side": (_say, ("OrderSide", "OrderSideAPI")),
    "ord_type": (_say, ("OrderType",)),
    "product": (_say, ("ProductType",)),
    "time_in_force": (_say, ("TimeInForce",)),
    "price": (number, ("OrderPrice",)),
    "stop_px": (number, ("OrderStopPrice",)),
    "qty": (whole, ("OrderQuantity",)),
    "disclosed_qty": (whole, ("OrderDisclosedQuantity",)),
    "status": (_say, ("OrderStatus",)),
    "avg_px": (number, ("OrderAverageTradedPrice", "OrderAverageTradedPriceAPI")),
    "leaves_qty": (whole, ("LeavesQuantity",)),
    "cum_qty": (whole, ("CumulativeQuantity",)),
    "created_ns": (stamp_ns, ("OrderGeneratedDateTime", "OrderGeneratedDateTimeAPI")),
    "exchange_ns": (stamp_ns, ("ExchangeTransactTime", "ExchangeTransactTimeAPI")),
    "updated_ns": (stamp_ns, ("LastUpdateDateTime", "LastUpdateDateTimeAPI")),
    "reason": (_say, ("CancelRejectReason",)),
    "tag": (_say, ("OrderUniqueIdentifier",)),
    "source": (_say, ("ApiOrderSource",)),
    "generated_by": (_say, ("GeneratedBy",)),
    "sequence": (whole, ("SequenceNumber",)),
}
_TRADE: Final[Mapping[str, tuple[Read, tuple[str, ...]]]] = {
    **_ORDER,
    "exec_id": (identity, ("ExecutionID",)),
    "exec_index": (whole, ("ExecutionReportIndex",)),
    "last_px": (number, ("LastTradedPrice",)),
    "last_qty": (whole, ("LastTradedQuantity", "LastTradedQunatity")),
    "exec_ns": (stamp_ns, ("LastExecutionTransactTime", "LastExecutionTransactTimeAPI")),
}
_POSITION: Final[Mapping[str, tuple[Read, tuple[str, ...]]]] = {
    "client_id": (_say, ("AccountID", "ClientID")),
    "login_id": (_say, ("LoginID",)),
    "trading_symbol": (_say, ("TradingSymbol",)),
    "segment": (_say, ("ExchangeSegment",)),
    "instrument": (whole, ("ExchangeInstrumentId",)),
    "product": (_say, ("ProductType",)),
    "lot": (whole, ("Marketlot",)),
    "multiplier": (number, ("Multiplier",)),
    "buy_qty": (whole, ("OpenBuyQuantity", "LongPosition")),
    "sell_qty": (whole, ("OpenSellQuantity", "ShortPosition")),
    "net_qty": (whole, ("Quantity", "NetPosition")),
    "buy_avg": (number, ("BuyAveragePrice",)),
    "sell_avg": (number, ("SellAveragePrice",)),
    "buy_value": (number, ("BuyAmount", "BuyValue")),
    "sell_value": (number, ("SellAmount", "SellValue")),
    "net_value": (number, ("NetAmount", "NetValue")),
    "realized": (number, ("RealizedMTM",)),
    "unrealized": (number, ("UnrealizedMTM",)),
    "mtm": (number, ("MTM",)),
    "break_even": (number, ("BEP",)),
    "level": (_say, ("StatisticsLevel",)),
    "kind": (_say, ("IsDayWiseNetWise",)),
    "sequence": (whole, ("SequenceNumber",)),
}


def _cells(row: Mapping[str, Any], table: Mapping[str, tuple[Read, tuple[str, ...]]]) -> dict[str, Any]:
    """What a row says under our names: the first alias that holds something decides."""
    cells = _lower(row)
    made: dict[str, Any] = {}
    for name, (read, aliases) in table.items():
        for alias in aliases:
            value = read(cells.get(alias.lower()))
            if value is not None and value != "":
                made[name] = value
                break
    return made


def order_rows(result: object) -> tuple[OrderRow, ...]:
    """The rows of an order book or history.

    Raises
    ------
    BadData
        When it is no list of orders with ids.
    """
    return tuple(_order(row) for row in _list(result, "orders"))


def trade_rows(result: object) -> tuple[TradeRow, ...]:
    """The rows of a trade book."""
    return tuple(_trade(row) for row in _list(result, "trades"))


def _order(row: Mapping[str, Any]) -> OrderRow:
    made = _cells(row, _ORDER)
    if "app_order_id" not in made:
        raise BadData("an order of the answer has no AppOrderID")
    return OrderRow(**made)


def _trade(row: Mapping[str, Any]) -> TradeRow:
    made = _cells(row, _TRADE)
    if "app_order_id" not in made:
        raise BadData("a trade of the answer has no AppOrderID")
    return TradeRow(**made)


def event_rows(name: str, argument: object) -> tuple[OrderRow | TradeRow | PositionRow, ...]:
    """The rows of an ``order``, ``trade`` or ``position`` event: JSON text, an object, a list, or nested text.

    Raises
    ------
    BadData
        For another event, or what cannot be read.
    """
    if name not in ("order", "trade", "position"):
        raise BadData(f"event {name[:30]!r} carries no row")
    found = _opened(argument, 0)
    if name == "position":
        return tuple(PositionRow(**_cells(row, _POSITION)) for row in found)
    return tuple(_trade(row) if name == "trade" else _order(row) for row in found)


def _opened(argument: object, depth: int) -> list[Mapping[str, Any]]:
    if isinstance(argument, str | bytes) and depth < 4:
        try:
            argument = msgspec.json.decode(argument)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise BadData("the event's text is not JSON") from None
        return _opened(argument, depth + 1)
    if isinstance(argument, Mapping):
        inner = _lower(argument).get("appended")
        if inner is not None and depth < 4:
            return _opened(inner, depth + 1)
        return [argument]
    if isinstance(argument, list) and depth < 4:
        return [row for item in argument for row in _opened(item, depth + 1)]
    raise BadData(f"an event carries an object, was {type(argument).__name__}")


def positions_of(result: object) -> tuple[PositionRow, ...]:
    """The rows of ``{positionList: [...]}`` or of a bare list; of one position the ``ParentLevel`` alone."""
    if isinstance(result, Mapping):
        result = _lower(result).get("positionlist")
    rows = [PositionRow(**_cells(row, _POSITION)) for row in _list(result, "positions")]
    parents = {_place(row) for row in rows if row.level.lower() == "parentlevel"}
    return tuple(row for row in rows if _place(row) not in parents or row.level.lower() == "parentlevel")


def _place(row: PositionRow) -> tuple[object, ...]:
    return (row.client_id, row.segment, row.instrument, row.product, row.kind.lower())


def holdings_of(result: object) -> tuple[HoldingRow, ...]:
    """Holdings by ISIN, or the older ``RMSHoldingList``."""
    cells = _lower(result) if isinstance(result, Mapping) else {}
    inner: object = cells.get("rmsholdings", cells.get("rmsholdinglist", result))
    if isinstance(inner, Mapping) and "holdings" in _lower(inner):
        inner = _lower(inner)["holdings"]
    rows: Iterable[tuple[str, object]]
    if isinstance(inner, Mapping):
        rows = [(str(isin), row) for isin, row in inner.items()]
    else:
        rows = [("", row) for row in _list(inner, "holdings")]
    return tuple(_holding(isin, row, _say(cells.get("clientid"))) for isin, row in rows if isinstance(row, Mapping))


def _holding(isin: str, row: Mapping[str, Any], client_id: str) -> HoldingRow:
    cells = _lower(row)
    qty = whole(cells.get("holdingquantity"))
    named = _say(cells.get("isin")) or isin
    if qty is None or not named:
        raise BadData("a holding of the answer has no ISIN or no HoldingQuantity")
    return HoldingRow(
        isin=named,
        qty=qty,
        avg_px=number(cells.get("buyavgprice")),
        nse_instrument=whole(cells.get("exchangenseinstrumentid")),
        bse_instrument=whole(cells.get("exchangebseinstrumentid")),
        collateral_qty=whole(cells.get("collateralquantity")),
        client_id=_say(cells.get("clientid")) or client_id,
    )


def balances_of(result: object) -> tuple[BalanceRow, ...]:
    """Lines of limits, the one to use first: ``ALL|ALL|ALL`` where there is one."""
    if isinstance(result, Mapping):
        result = _lower(result).get("balancelist")
    rows = [_balance(row) for row in _list(result, "balances")]
    return tuple(sorted(rows, key=lambda row: row.header.replace(" ", "").upper() != "ALL|ALL|ALL"))


def _balance(row: Mapping[str, Any]) -> BalanceRow:
    cells = _lower(row)
    limits = cells.get("limitobject")
    limits = _lower(limits) if isinstance(limits, Mapping) else {}
    found = limits.get("rmssublimits")
    money = _lower(found) if isinstance(found, Mapping) else {}
    return BalanceRow(
        header=_say(cells.get("limitheader")),
        client_id=_say(limits.get("accountid")),
        cash=number(money.get("cashavailable")),
        collateral=number(money.get("collateral")),
        used=number(money.get("marginutilized")),
        available=number(money.get("netmarginavailable")),
        mtm=number(money.get("mtm")),
        realized=number(money.get("realizedmtm")),
        unrealized=number(money.get("unrealizedmtm")),
    )


def login_of(result: object) -> LoginRow:
    """The answer of the interactive login."""
    cells = _object(result, "login")
    codes = cells.get("clientcodes")
    enums = cells.get("enums")
    events = _lower(enums).get("socketevent") if isinstance(enums, Mapping) else None
    return LoginRow(
        token=_token(cells),
        user_id=_say(cells.get("userid")),
        is_investor=_flag(cells.get("isinvestorclient")),
        client_codes=_words(codes),
        socket_events=_words(events),
    )


def market_login_of(result: object) -> MarketLoginRow:
    """The answer of the market-data login."""
    cells = _object(result, "login")
    return MarketLoginRow(
        token=_token(cells),
        user_id=_say(cells.get("userid")),
        app_version=_say(cells.get("appversion")),
        expires=_say(cells.get("application_expiry_date")),
    )


def profile_of(result: object) -> ProfileRow:
    """Who an account is; segments that are not switched off."""
    cells = _object(result, "profile")
    found = cells.get("clientexchangedetailslist")
    segments = found if isinstance(found, Mapping) else {}
    on = [
        name
        for name, row in segments.items()
        if not isinstance(row, Mapping) or _flag(_lower(row).get("enabled")) is not False
    ]
    return ProfileRow(
        client_id=_say(cells.get("clientid")),
        name=_say(cells.get("clientname")),
        is_investor=_flag(cells.get("isinvestorclient")),
        segments=tuple(sorted(str(name) for name in on)),
    )


def margin_of(result: object) -> MarginRow:
    """The answer of ``margindetails`` (``brokerageDeatils``, so spelled).

    Raises
    ------
    BadData
        When it names no margin.
    """
    cells = _object(result, "margin")
    inner = cells.get("brokeragedeatils", cells.get("brokeragedetails", cells))
    found = _lower(inner) if isinstance(inner, Mapping) else {}
    required = number(found.get("marginrequired"))
    if required is None:
        raise BadData("the answer names no MarginRequired; ask again")
    return MarginRow(
        required=required,
        available=number(found.get("marginavailable")),
        shortfall=number(found.get("marginshortfall")),
        valid=_flag(found.get("isvalid")) is not False,
        text=_say(found.get("errormessage")),
    )


def placed_of(result: object) -> PlacedRow:
    """The answer to an order call: an id under any spelling, of a cover order that of its entry.

    Raises
    ------
    BadData
        When it names no order.
    """
    if isinstance(result, list) and len(result) == 1:
        result = result[0]
    cells = _lower(result) if isinstance(result, Mapping) else {}
    for key in ("apporderid", "entryapporderid"):
        order_id = identity(cells.get(key))
        if order_id:
            tag, client = _say(cells.get("orderuniqueidentifier")), _say(cells.get("clientid"))
            return PlacedRow(app_order_id=order_id, tag=tag, client_id=client)
    raise BadData("the answer names no AppOrderID")


def _object(result: object, what: str) -> dict[str, Any]:
    if isinstance(result, list) and len(result) == 1:
        result = result[0]
    if not isinstance(result, Mapping):
        raise BadData(f"the answer to {what} is not in the documented form: no object")
    return _lower(result)


def _list(result: object, what: str) -> Sequence[Mapping[str, Any]]:
    """A list of objects; what is empty in any form is an empty one."""
    if result is None or result == "" or result == {}:
        return []
    if isinstance(result, Mapping) and any(isinstance(v, list) for v in result.values()):
        result = next(v for v in result.values() if isinstance(v, list))
    elif isinstance(result, Mapping):
        result = [result]
    if not isinstance(result, list) or not all(isinstance(row, Mapping) for row in result):
        raise BadData(f"the list of {what} is not in the documented form")
    return result


def _token(cells: Mapping[str, Any]) -> Secret:
    text = _text(cells.get("token"))
    if not text.isascii() or not text.isprintable() or not text:
        raise BadData("the answer to login names no token")
    return Secret(text)


def _words(value: object) -> tuple[str, ...]:
    return tuple(text for item in value if (text := _say(item))) if isinstance(value, list) else ()


def _flag(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False, "1": True, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int) else None


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _lower(row: Mapping[str, Any]) -> dict[str, Any]:
    """Keys in lower case; of two that then agree the first stays."""
    made: dict[str, Any] = {}
    for key, value in row.items():
        made.setdefault(str(key).lower(), value)
    return made
