"""Between our orders and XTS's: forms out, rows of books and events in. No I/O.

Rows and events come twice, late and out of order, some before the answer to the order itself.
:class:`Trail` keeps what each order is known to have been and says only what is new: an execution counts once
by its id, and an order that has ended never opens again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from toolkit.brokers.port import Funds, Held
from toolkit.brokers.xts_records import (
    BalanceRow,
    HoldingRow,
    OrderRow,
    PlacedRow,
    PositionRow,
    TradeRow,
    number,
    whole,
)
from toolkit.brokers.xts_settings import LEFT_OUT, MASK, XtsSettings
from toolkit.errors import BadData
from toolkit.market.xts_text import SEGMENTS
from toolkit.types import (
    TERMINAL,
    ExecType,
    ExecutionReport,
    Fill,
    Instrument,
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
    "Names",
    "Trail",
    "fill_of",
    "funds_of",
    "held_of",
    "history_of",
    "holding_of",
    "margin_form",
    "modify_form",
    "order_of",
    "place_form",
    "sent_row",
    "status_of",
]

Find = Callable[[str, "int | None"], "Instrument | None"]
"""The contract of a segment and an id, None for one that is not in the master."""

STATUSES: Final = {
    "pendingnew": OrdStatus.PENDING_NEW,
    "new": OrdStatus.NEW,
    "open": OrdStatus.NEW,
    "replaced": OrdStatus.NEW,
    "triggerpending": OrdStatus.NEW,
    "partiallyfilled": OrdStatus.PARTIALLY_FILLED,
    "pendingreplace": OrdStatus.PENDING_REPLACE,
    "pendingcancel": OrdStatus.PENDING_CANCEL,
    "filled": OrdStatus.FILLED,
    "cancelled": OrdStatus.CANCELED,
    "canceled": OrdStatus.CANCELED,
    "expired": OrdStatus.EXPIRED,
    "rejected": OrdStatus.REJECTED,
}
"""XTS's words, lower case without blanks, to ours; another word says nothing."""

_RANK: Final = {
    OrdStatus.UNKNOWN: 0,
    OrdStatus.PENDING_NEW: 0,
    OrdStatus.NEW: 1,
    OrdStatus.PARTIALLY_FILLED: 2,
    OrdStatus.PENDING_REPLACE: 3,
    OrdStatus.PENDING_CANCEL: 3,
}
_OPEN: Final = (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)
_ENDS: Final = {
    OrdStatus.CANCELED: ExecType.CANCELED,
    OrdStatus.EXPIRED: ExecType.EXPIRED,
    OrdStatus.REJECTED: ExecType.REJECTED,
}
_ORDER_TYPES: Final = {
    OrdType.LIMIT: "LIMIT",
    OrdType.MARKET: "MARKET",
    OrdType.STOP: "STOPMARKET",
    OrdType.STOP_LIMIT: "STOPLIMIT",
}
_ORD_TYPES: Final = {text: kind for kind, text in _ORDER_TYPES.items()}


def status_of(row: OrderRow) -> OrdStatus:
    """Where a row says the order stands; quantities decide over the word."""
    status = STATUSES.get(_word(row), OrdStatus.UNKNOWN)
    cum, qty = row.cum_qty, row.qty or 0
    if cum is None:
        return status
    if qty > 0 and cum >= qty:
        return OrdStatus.FILLED
    if status in (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED, OrdStatus.FILLED):
        return OrdStatus.PARTIALLY_FILLED if cum else OrdStatus.NEW
    return status


def _word(row: OrderRow) -> str:
    return "".join(row.status.lower().replace("_", " ").split())


class Names:
    """Our ids and XTS's: an order's tag is our id; one from elsewhere is ``X`` and its AppOrderID."""

    def __init__(self) -> None:
        self._ours: dict[str, str] = {}
        self._theirs: dict[str, str] = {}

    def note(self, cl_ord_id: str, app_order_id: str) -> None:
        """Take what the answer to an order says."""
        self._ours[app_order_id] = cl_ord_id
        self._theirs[cl_ord_id] = app_order_id

    def of(self, row: OrderRow) -> str:
        """Our id of a row's order; of several with one tag the first has it."""
        known = self._ours.get(row.app_order_id)
        if known is None:
            tag = row.tag
            fits = tag.isascii() and tag.isalnum() and len(tag) <= 20 and tag not in self._theirs
            known = tag if fits else f"X{row.app_order_id}"[:20]
            self.note(known, row.app_order_id)
        return known

    def app_id(self, cl_ord_id: str) -> str | None:
        """XTS's id of an order of ours."""
        return self._theirs.get(cl_ord_id)

    def known(self) -> Iterable[str]:
        """Every id of ours, in the order first seen."""
        return self._theirs.keys()


class _Life(msgspec.Struct):
    """What is known of one order so far."""

    key: tuple[int, int, int, int] | None = None
    new: bool = False
    ended: OrdStatus | None = None
    cum: int = 0
    traded: int = 0
    terms: tuple[int | None, float | None, float | None] | None = None
    pending: ExecType | None = None
    replaced: bool = False


class Trail:
    """Turns rows into execution reports, each said once.

    Parameters
    ----------
    names : Names
    find : callable
        Contract of a segment and an id.
    account : str
        Of rows that name no client.
    """

    def __init__(self, names: Names, find: Find, account: str) -> None:
        self.odd_words: set[str] = set()
        self._names = names
        self._find = find
        self._account = account
        self._lives: dict[str, _Life] = {}
        self._execs: set[str] = set()

    def order(self, row: OrderRow, now_ns: int) -> list[ExecutionReport]:
        """What an order's row, of a book or an event, says that is new."""
        life = self._lives.setdefault(row.app_order_id, _Life())
        status = status_of(row)
        if status is OrdStatus.UNKNOWN:
            self.odd_words.add(row.status[:40])
            return []
        key, cum = _key(row, status), row.cum_qty or 0
        ends = status in TERMINAL
        if life.ended is not None or (not ends and _stale(life, key, cum, status)):
            life.cum = max(life.cum, cum)
            return []
        made: list[ExecutionReport] = []
        if (
            not life.new
            and status is not OrdStatus.REJECTED
            and (row.exch_order_id or status is not OrdStatus.PENDING_NEW)
        ):
            life.new = True
            made.append(self._report(row, ExecType.NEW, "new", now_ns))
        if status in _OPEN:
            made += self._answers(row, life, now_ns)
        elif status is OrdStatus.PENDING_REPLACE:
            life.pending = ExecType.PENDING_REPLACE
        elif status is OrdStatus.PENDING_CANCEL:
            life.pending = ExecType.PENDING_CANCEL
        if status in _ENDS:
            made.append(self._report(row, _ENDS[status], str(_ENDS[status]), now_ns))
        life.ended = status if ends else None
        life.key = key if life.key is None else max(key, life.key)
        life.cum = max(life.cum, cum)
        return made

    def trade(self, row: TradeRow, now_ns: int) -> list[ExecutionReport]:
        """What an execution's row says that is new: the execution once, and the order's state that it carries."""
        exec_id = _exec_id(row)
        life = self._lives.setdefault(row.app_order_id, _Life())
        made: list[ExecutionReport] = []
        if exec_id not in self._execs and row.last_qty and row.last_px is not None:
            self._execs.add(exec_id)
            if not life.new:
                life.new = True
                made.append(self._report(row, ExecType.NEW, "new", now_ns))
            life.traded += row.last_qty
            report = self._report(row, ExecType.TRADE, "", now_ns)
            made.append(
                msgspec.structs.replace(
                    report,
                    exec_id=exec_id,
                    ts_ns=row.exec_ns or report.ts_ns,
                    last_qty=row.last_qty,
                    last_px_p=round(row.last_px * 100.0),
                    price_p=None,
                    stop_px_p=None,
                    order_qty=None,
                    text="",
                )
            )
        return made + self.order(row, now_ns)

    def lacks_trades(self) -> bool:
        """Whether an order has traded more than was told of: the trade book must be read."""
        return any(life.cum > life.traded for life in self._lives.values())

    def _answers(self, row: OrderRow, life: _Life, now_ns: int) -> list[ExecutionReport]:
        """Answers to a modification or a cancel that an open row implies."""
        terms = (row.qty, row.price, row.stop_px)
        changed = life.terms is not None and terms != life.terms
        said = _word(row) == "replaced" and not life.replaced
        made: list[ExecutionReport] = []
        mark = row.updated_ns or row.sequence
        if changed or said:
            made.append(self._report(row, ExecType.REPLACED, f"replaced-{mark}", now_ns))
        elif life.pending is ExecType.PENDING_REPLACE and life.terms is not None and _word(row) != "replaced":
            made.append(self._report(row, ExecType.REPLACE_REJECTED, f"replace_rejected-{mark}", now_ns))
        elif life.pending is ExecType.PENDING_CANCEL:
            made.append(self._report(row, ExecType.CANCEL_REJECTED, f"cancel_rejected-{mark}", now_ns))
        life.replaced = _word(row) == "replaced"
        life.pending, life.terms = None, terms
        return made

    def _report(self, row: OrderRow, kind: ExecType, mark: str, now_ns: int) -> ExecutionReport:
        found = self._find(row.segment, row.instrument)
        return ExecutionReport(
            cl_ord_id=self._names.of(row),
            exec_id=f"{row.app_order_id}-{mark}",
            exec_type=kind,
            ts_ns=row.updated_ns or row.exchange_ns or row.created_ns or now_ns,
            recv_ns=now_ns,
            order_id=row.app_order_id,
            exch_order_id=row.exch_order_id or None,
            account=_whose(row, self._account),
            symbol=found.symbol if found else row.trading_symbol,
            side=_side(row),
            price_p=_paise(row.price),
            stop_px_p=_paise(row.stop_px),
            order_qty=row.qty,
            text=row.reason,
        )


def _stale(life: _Life, key: tuple[int, int, int, int], cum: int, status: OrdStatus) -> bool:
    """Whether a row says nothing newer. An open row of the same stamp answers what is pending."""
    if life.key is None or key > life.key or cum > life.cum:
        return False
    return not (life.pending is not None and status in _OPEN and key[:3] == life.key[:3])


def _key(row: OrderRow, status: OrdStatus) -> tuple[int, int, int, int]:
    return (row.sequence, row.updated_ns or 0, row.cum_qty or 0, _RANK.get(status, 9))


def _exec_id(row: TradeRow) -> str:
    """The key of an execution: its id, or where an install gives none, what had traded by then."""
    if row.exec_id:
        return f"{row.app_order_id}-{row.exec_id}"
    return f"{row.app_order_id}-c{row.cum_qty or 0}-{row.exec_index or 0}-{row.last_qty or 0}"


def history_of(
    rows: Sequence[OrderRow], trades: Sequence[TradeRow], names: Names, find: Find, account: str, now_ns: int
) -> tuple[ExecutionReport, ...]:
    """Everything that happened to one order, oldest first, whatever the order of its rows."""
    trail = Trail(names, find, account)
    ordered = sorted(rows, key=lambda row: _key(row, status_of(row)))
    ends = [row for row in ordered if status_of(row) in TERMINAL]
    made = [report for row in ordered if row not in ends for report in trail.order(row, now_ns)]
    for trade in sorted(trades, key=lambda row: (row.exec_ns or 0, row.cum_qty or 0, row.exec_id)):
        made += [r for r in trail.trade(trade, now_ns) if r.exec_type not in _ENDS.values()]
    closing = Trail(names, find, account)
    said = {report.exec_id for report in made}
    made += [r for row in ends for r in closing.order(row, now_ns) if r.exec_id not in said]
    return tuple(made)


def order_of(row: OrderRow, names: Names, find: Find, account: str, broker: str, now_ns: int) -> Order:
    """An order as the book states it; the cumulative quantity decides what has traded."""
    found = find(row.segment, row.instrument)
    status = status_of(row)
    qty, cum = row.qty or 0, row.cum_qty or 0
    created = row.created_ns or now_ns
    request = OrderRequest(
        cl_ord_id=names.of(row),
        symbol=found.symbol if found else row.trading_symbol,
        side=_side(row),
        order_qty=qty,
        exchange=found.exchange if found else row.segment,
        ord_type=_ORD_TYPES.get(row.ord_type.upper(), OrdType.LIMIT),
        price_p=_paise(row.price),
        stop_px_p=_paise(row.stop_px),
        time_in_force=TimeInForce.IOC if row.time_in_force.upper() == "IOC" else TimeInForce.DAY,
        product=_product(row.product),
        account=_whose(row, account),
        broker=broker,
        order_source=row.source,
    )
    return Order(
        request=request,
        ord_status=status,
        cum_qty=cum,
        leaves_qty=0 if status in TERMINAL else max(0, qty - cum),
        traded_value_p=round((row.avg_px or 0.0) * cum * 100.0),
        created_ns=created,
        updated_ns=row.updated_ns or created,
        order_id=row.app_order_id,
        exch_order_id=row.exch_order_id or None,
        text=row.reason,
    )


def fill_of(row: TradeRow, names: Names, find: Find, account: str, broker: str, now_ns: int) -> Fill:
    """One execution of the trade book.

    Raises
    ------
    BadData
        When it states no quantity or no price.
    """
    if not row.last_qty or row.last_px is None:
        raise BadData(f"trade {row.exec_id or row.app_order_id} states no quantity or no price; ask again")
    found = find(row.segment, row.instrument)
    return Fill(
        exec_id=_exec_id(row),
        cl_ord_id=names.of(row),
        order_id=row.app_order_id,
        account=_whose(row, account),
        broker=broker,
        symbol=found.symbol if found else row.trading_symbol,
        exchange=found.exchange if found else row.segment,
        side=_side(row),
        last_qty=row.last_qty,
        last_px_p=round(row.last_px * 100.0),
        exec_ns=row.exec_ns or row.updated_ns or now_ns,
    )


def held_of(row: PositionRow, find: Find) -> Held:
    """A position; its average is that of the side that is open."""
    found = find(row.segment, row.instrument)
    net = row.net_qty or 0
    average = row.buy_avg if net > 0 else row.sell_avg
    return Held(
        symbol=found.symbol if found else row.trading_symbol,
        exchange=found.exchange if found else row.segment,
        product=_product(row.product),
        net_qty=net,
        avg_px=average or 0.0,
        realized=row.realized or 0.0,
    )


def funds_of(rows: Sequence[BalanceRow], name: str) -> Funds:
    """The account's money of the line to use first; ``name`` is what the broker is called in errors."""
    if not rows or rows[0].available is None:
        raise BadData(f"{name} names no available margin; ask the broker to enable it")
    available_p, used_p = round(rows[0].available * 100.0), round((rows[0].used or 0.0) * 100.0)
    pledged = rows[0].collateral
    collateral_p = None if pledged is None else round(pledged * 100.0)
    return Funds(cash_p=available_p + used_p, used_p=used_p, available_p=available_p, collateral_p=collateral_p)


def holding_of(row: HoldingRow, find: Find) -> Held:
    """Delivered shares; one that is in no master goes by its ISIN."""
    found = find("NSECM", row.nse_instrument) or find("BSECM", row.bse_instrument)
    return Held(
        symbol=found.symbol if found else row.isin,
        exchange=found.exchange if found else "",
        product=Product.CNC,
        net_qty=row.qty,
        avg_px=row.avg_px or 0.0,
    )


def place_form(
    request: OrderRequest, place: tuple[str, int], client_id: str | None, settings: XtsSettings
) -> dict[str, object]:
    """The body of a new order. A MARKET order goes as the setting ``market_as`` says.

    Raises
    ------
    BadData
        For a MARKET order without the protection price that a limit needs.
    """
    kind, tif = request.ord_type, request.time_in_force
    price_p = request.price_p if kind in (OrdType.LIMIT, OrdType.STOP_LIMIT) else None
    if kind is OrdType.MARKET and settings.market_as != "native":
        if request.price_p is None:
            raise BadData(f"a MARKET order goes as a limit here ({settings.market_as}) and needs a protection price")
        kind, price_p = OrdType.LIMIT, request.price_p
        tif = TimeInForce.IOC if settings.market_as == "limit_ioc" else tif
    form: dict[str, object] = {
        "exchangeSegment": place[0],
        "exchangeInstrumentID": place[1],
        "productType": str(request.product),
        "orderType": _ORDER_TYPES[kind],
        "orderSide": str(request.side),
        "timeInForce": str(tif),
        "disclosedQuantity": 0,
        "orderQuantity": request.order_qty,
        "limitPrice": _rupees(price_p),
        "stopPrice": _rupees(request.stop_px_p),
        "orderUniqueIdentifier": request.cl_ord_id,
    }
    source = settings.api_order_source if request.order_source is None else request.order_source
    if source != LEFT_OUT:
        form["apiOrderSource"] = source
    if client_id is not None:
        form["clientID"] = client_id
    return form


def margin_form(request: OrderRequest, place: tuple[str, int], settings: XtsSettings) -> dict[str, object]:
    """One order of ``margindetails``, where the exchange is a number."""
    form = place_form(request, place, None, settings)
    return {
        "exchange": SEGMENTS[place[0]],
        "exchangeInstrumentId": place[1],
        "productType": form["productType"],
        "orderType": form["orderType"],
        "orderSide": form["orderSide"],
        "quantity": request.order_qty,
        "price": form["limitPrice"],
        "stopPrice": form["stopPrice"],
        "orderSessionType": 1,
    }


def sent_row(placed: PlacedRow, form: Mapping[str, object]) -> OrderRow:
    """What is known of an order between its answer and its first row: what was sent."""
    return OrderRow(
        app_order_id=placed.app_order_id,
        client_id=placed.client_id,
        segment=str(form["exchangeSegment"]),
        instrument=whole(form["exchangeInstrumentID"]),
        side=str(form["orderSide"]),
        ord_type=str(form["orderType"]),
        product=str(form["productType"]),
        time_in_force=str(form["timeInForce"]),
        price=number(form["limitPrice"]),
        stop_px=number(form["stopPrice"]),
        qty=whole(form["orderQuantity"]),
        disclosed_qty=0,
        status="PendingNew",
        tag=str(form["orderUniqueIdentifier"]),
    )


def modify_form(row: OrderRow, modify: Modify, client_id: str | None) -> dict[str, object]:
    """The body of a modification: the full new statement, all fields every time; the quantity is the total."""
    kind = row.ord_type.upper() or "LIMIT"
    price = row.price if modify.price_p is None else modify.price_p / 100.0
    stop = row.stop_px if modify.stop_px_p is None else modify.stop_px_p / 100.0
    form: dict[str, object] = {
        "appOrderID": int(row.app_order_id) if row.app_order_id.isdigit() else row.app_order_id,
        "modifiedProductType": row.product,
        "modifiedOrderType": kind,
        "modifiedOrderQuantity": modify.order_qty,
        "modifiedDisclosedQuantity": row.disclosed_qty or 0,
        "modifiedLimitPrice": (price or 0) if kind in ("LIMIT", "STOPLIMIT") else 0,
        "modifiedStopPrice": (stop or 0) if kind.startswith("STOP") else 0,
        "modifiedTimeInForce": row.time_in_force or "DAY",
        "orderUniqueIdentifier": row.tag,
    }
    if client_id is not None:
        form["clientID"] = client_id
    return form


def _whose(row: OrderRow, account: str) -> str:
    """The client of a row; one that an install masks or leaves out is whom was asked for."""
    return account if row.client_id in ("", MASK) else row.client_id


def _side(row: OrderRow) -> Side:
    return Side.SELL if row.side.upper() == "SELL" else Side.BUY


def _product(text: str) -> Product:
    return Product(text.upper()) if text.upper() in Product.__members__ else Product.NRML


def _rupees(paise: int | None) -> float:
    return 0 if paise is None else paise / 100.0


def _paise(rupees: float | None) -> int | None:
    return None if not rupees else round(rupees * 100.0)
