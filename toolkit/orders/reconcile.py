"""What must be done so that our book says what the broker's says. Pure: a reading in, steps out.

The broker's book is the truth; ours is a projection. Nothing here places an order: the steps
take in what was placed or traded elsewhere, bring our own orders up to the book, and report
every difference. Absence is evidence only after ``settle_s``, two readings and a search by tag.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

import msgspec

from toolkit.types import (
    ExecType,
    ExecutionReport,
    Fill,
    Order,
    OrderRequest,
    OrdStatus,
    OrdType,
    Side,
)

__all__ = [
    "Adopt",
    "Align",
    "Averages",
    "Difference",
    "Differs",
    "Hear",
    "Holding",
    "Lose",
    "Missing",
    "OurBook",
    "Reading",
    "Revive",
    "Search",
    "Step",
    "Suspect",
    "book_reports",
    "plan",
    "unjournaled",
]

_WORKING: Final = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED})
_AT_BROKER: Final = frozenset(
    {*_WORKING, OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.EXPIRED, OrdStatus.PENDING_CANCEL}
) | {OrdStatus.PENDING_REPLACE}
_ENDS: Final = {
    OrdStatus.CANCELED: ExecType.CANCELED,
    OrdStatus.REJECTED: ExecType.REJECTED,
    OrdStatus.EXPIRED: ExecType.EXPIRED,
}
_UNSEEN: Final = frozenset({OrdStatus.PENDING_NEW, OrdStatus.UNKNOWN})
_NEVER_TRADED: Final = frozenset({OrdStatus.REJECTED, OrdStatus.DENIED})
_NAMED: Final = 20
_ASKED: Final = frozenset({OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE, OrdStatus.UNKNOWN})


class Difference(msgspec.Struct, frozen=True):
    """One thing in which our book and the broker's differ.

    ``kind``: ``external_order``, ``unjournaled_order``, ``late_order``, ``fills``, ``bust``, ``terms``, ``state``,
    ``missing``, ``not_found``, ``position``.
    """

    kind: str
    cl_ord_id: str
    symbol: str
    ours: str
    theirs: str
    text: str


class Adopt(msgspec.Struct, frozen=True):
    """Take in an order that we do not have, with everything the book says of it."""

    request: OrderRequest
    reports: tuple[ExecutionReport, ...]


class Hear(msgspec.Struct, frozen=True):
    """Fold in a report that the book implies."""

    report: ExecutionReport


class Missing(msgspec.Struct, frozen=True):
    """An order whose settling time is over, or an execution, is not in this reading."""

    name: str


class Search(msgspec.Struct, frozen=True):
    """Look for the order by its tag before it is given up."""

    cl_ord_id: str


class Lose(msgspec.Struct, frozen=True):
    """Settle the order as not found."""

    cl_ord_id: str
    text: str


class Revive(msgspec.Struct, frozen=True):
    """An order that is closed here is at work or has traded after all, for ``order_qty`` units in all."""

    cl_ord_id: str
    text: str
    order_qty: int


class Suspect(msgspec.Struct, frozen=True):
    """A position differs in this reading; the next one tells whether an execution was just on its way."""

    symbol: str
    ours: int
    theirs: int


class Align(msgspec.Struct, frozen=True):
    """Bring a position to the broker's: signed units and the price in paise that restores its average."""

    symbol: str
    exchange: str
    qty: int
    price_p: int
    text: str


class Differs(msgspec.Struct, frozen=True):
    """Report a difference."""

    difference: Difference


Step = Adopt | Hear | Missing | Search | Lose | Revive | Suspect | Align | Differs


class Holding(msgspec.Struct, frozen=True):
    """A position over all products: net units and their average price in rupees (NaN unknown)."""

    symbol: str
    exchange: str
    net_qty: int
    avg_px: float


class Reading(msgspec.Struct, frozen=True):
    """One reading of the broker's books. ``held`` is None when positions were not read."""

    orders: Mapping[str, Order]
    trades: Mapping[str, Sequence[Fill]]
    held: Mapping[str, Holding] | None = None


class OurBook(Protocol):
    """What the plan looks at on our side."""

    @property
    def orders(self) -> Mapping[str, Order]:
        """Every order of the day."""
        ...

    @property
    def children(self) -> Mapping[str, Sequence[str]]:
        """Orders that are never at the broker themselves, with their parts."""
        ...

    @property
    def lost(self) -> AbstractSet[str]:
        """Orders settled as not found."""
        ...

    def open_orders(self) -> Sequence[Order]:
        """Orders that can still trade."""
        ...


Averages = Mapping[str, tuple[int, int]]
"""Our open units and their exact cost in paise by symbol."""


def plan(
    ours: OurBook,
    reading: Reading,
    net: Mapping[str, int],
    now_ns: int,
    settle_s: float,
    *,
    inflight_s: float = 5.0,
    in_flight: AbstractSet[str] = frozenset(),
    missed: Mapping[str, int] | None = None,
    searched: AbstractSet[str] = frozenset(),
    suspects: Mapping[str, tuple[int, int]] | None = None,
    averages: Averages | None = None,
    own: str = "",
) -> tuple[Step, ...]:
    """Compare our book with a reading of the broker's.

    Parameters
    ----------
    ours : OurBook
        The core.
    reading : Reading
        Orders first, then trades, then positions.
    net : mapping
        Our net positions in units.
    now_ns : int
    settle_s : float
        How long an order must be absent before that means anything.
    inflight_s : float
        How long a request may stay unanswered before the book decides.
    in_flight : set
        Orders with a message under way in this process, or with news since the reading began: those speak first.
    missed : mapping
        Readings, after the settling time, in which an order (or an execution) was absent so far.
    searched : set
        Absent orders that a search by tag did not find either.
    suspects : mapping
        Positions that differed in the last reading: (ours, theirs).
    averages : mapping
        Our units and cost by symbol.
    own : str
        How our own ids of this account begin today: such an order from elsewhere lost its record.

    Returns
    -------
    tuple of Step
        Orders from elsewhere first, then our own, then positions.
    """
    steps: list[Step] = []
    for cl_ord_id, theirs in reading.orders.items():
        order = ours.orders.get(cl_ord_id)
        fills = reading.trades.get(cl_ord_id, ())
        if order is None:
            steps += _adopt(theirs, fills, now_ns, own)
        elif cl_ord_id not in ours.children:
            busy = cl_ord_id in in_flight
            if cl_ord_id in ours.lost:
                text = f"{cl_ord_id}: the broker's book shows it after all, as {theirs.ord_status}"
                steps.append(Revive(cl_ord_id, text, order.request.order_qty))
                steps.append(_differs("late_order", order, "not found", str(theirs.ord_status), text))
                order = msgspec.structs.replace(order, ord_status=OrdStatus.UNKNOWN)
            elif not order.is_open and not busy:
                again, order = _again(order, theirs, fills, now_ns, inflight_s)
                steps += again
            steps += _bring(order, theirs, fills, now_ns, inflight_s, busy, missed or {})
    for order in ours.open_orders():
        if order.cl_ord_id not in reading.orders and order.cl_ord_id not in in_flight:
            steps += _absent(order, now_ns, settle_s, (missed or {}).get(order.cl_ord_id, 0), searched)
    if reading.held is not None:
        changed = any(isinstance(s, Adopt | Hear | Revive) for s in steps)
        steps += _positions(reading.held, net, suspects or {}, averages or {}, changed)
    return tuple(steps)


def book_reports(theirs: Order, fills: Iterable[Fill], now_ns: int) -> tuple[ExecutionReport, ...]:
    """Everything that one order of the broker's book says, as reports: new, its executions, its end."""
    made: list[ExecutionReport] = []
    if theirs.ord_status in _AT_BROKER or theirs.cum_qty:
        made.append(_report(theirs, ExecType.NEW, now_ns, theirs.created_ns))
    made += [_trade(theirs, fill, now_ns) for fill in fills]
    if theirs.ord_status in _ENDS:
        made.append(_report(theirs, _ENDS[theirs.ord_status], now_ns))
    return tuple(made)


def unjournaled(differences: Iterable[Difference]) -> str:
    """Name the orders that a reading took in although no record knows them; empty when there is none.

    After a loss of records these are what was lost, or were placed elsewhere: nobody can tell the two apart.
    """
    names = [d.cl_ord_id for d in differences if d.kind in ("external_order", "unjournaled_order")]
    if not names:
        return ""
    count = "1 order" if len(names) == 1 else f"{len(names)} orders"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{count} in the broker's book and not in the journal, taken in: {', '.join(names[:_NAMED])}{more}"


def _adopt(theirs: Order, fills: Sequence[Fill], now_ns: int, own: str) -> list[Step]:
    request = theirs.request
    kind = "unjournaled_order" if own and request.cl_ord_id.startswith(own) else "external_order"
    why = "bears our id and has no record" if kind == "unjournaled_order" else "was placed elsewhere"
    text = (
        f"{request.cl_ord_id}: {request.side} {request.order_qty} {request.symbol}, "
        f"{theirs.ord_status}, {theirs.cum_qty} filled, {why}; taken in"
    )
    steps: list[Step] = [Adopt(request, book_reports(theirs, fills, now_ns))]
    steps.append(_differs(kind, theirs, "none", str(theirs.ord_status), text))
    if sum(f.last_qty for f in fills) < theirs.cum_qty:
        steps += _short(theirs, sum(f.last_qty for f in fills), theirs)
    return steps


def _bring(
    order: Order,
    theirs: Order,
    fills: Sequence[Fill],
    now_ns: int,
    inflight_s: float,
    busy: bool,
    missed: Mapping[str, int],
) -> list[Step]:
    """Steps that bring one order of ours up to the book; none when the two agree.

    Of a ``busy`` order we know more than the reading: what it adds is taken, what it lacks says nothing.
    """
    steps: list[Step] = []
    status = theirs.ord_status
    if order.is_open and (order.ord_status in _UNSEEN or order.order_id is None) and status in _AT_BROKER:
        steps.append(Hear(_report(theirs, ExecType.NEW, now_ns, theirs.created_ns)))
    known = {exec_id for exec_id, _, _ in order.execs}
    steps += [Hear(_trade(theirs, fill, now_ns)) for fill in fills if fill.exec_id not in known]
    if not busy:
        steps += _busts(order, theirs, fills, now_ns, missed)
    cum = sum(f.last_qty for f in fills)
    if cum < theirs.cum_qty:
        steps += _short(order, cum, theirs)
    if not order.is_open:
        if theirs.is_open and not busy and _aged(order, now_ns, inflight_s):
            text = f"{order.cl_ord_id}: closed here as {order.ord_status}, {status} at the broker"
            steps.append(_differs("state", order, str(order.ord_status), str(status), text))
        return steps
    quiet = not busy and _aged(order, now_ns, inflight_s)
    steps += _answers(order, theirs, now_ns, busy, quiet)
    if status in _ENDS:
        steps.append(Hear(_report(theirs, _ENDS[status], now_ns)))
    return steps


def _again(
    order: Order, theirs: Order, fills: Sequence[Fill], now_ns: int, inflight_s: float
) -> tuple[list[Step], Order]:
    """Take a closed order of ours up again when the book shows it at work, or traded though it was refused.

    A refusal that was only an answer (no id of the broker's) gives way at once; what the broker itself closed may be
    a book that lags, so its word must be ``inflight_s`` old. An order that is another's under our id stays closed, and
    so does one whose executions leave nothing to trade.
    """
    known = {exec_id for exec_id, _, _ in order.execs}
    refused = order.ord_status in _NEVER_TRADED
    traded = refused and any(fill.exec_id not in known for fill in fills)
    mine = (order.request.symbol, order.request.side) == (theirs.request.symbol, theirs.request.side)
    left = theirs.request.order_qty - sum(qty for _, qty, _ in order.execs)
    by_answer = refused and order.order_id is None
    if not (theirs.is_open or traded) or not mine or left <= 0 or not (by_answer or _aged(order, now_ns, inflight_s)):
        return [], order
    was = f"{order.ord_status} here" + (f" ({order.text})" if order.text else "")
    text = f"{order.cl_ord_id}: {was}, and {theirs.ord_status} in the broker's book; it counts again"
    again: list[Step] = [Revive(order.cl_ord_id, text, theirs.request.order_qty)]
    again.append(_differs("late_order", order, str(order.ord_status), str(theirs.ord_status), text))
    request = msgspec.structs.replace(order.request, order_qty=theirs.request.order_qty)
    unseen = {"ord_status": OrdStatus.UNKNOWN, "order_id": None, "pending_qty": None}
    return again, msgspec.structs.replace(order, request=request, **unseen)


def _aged(order: Order, now_ns: int, seconds: float) -> bool:
    """Whether the newest word of an order is that old: a book may lag behind what was heard."""
    return now_ns - max(order.updated_ns, order.created_ns) >= seconds * 1e9


def _answers(order: Order, theirs: Order, now_ns: int, busy: bool, quiet: bool) -> list[Step]:
    """What the book says about a modification or a cancel that was asked for, here or elsewhere."""
    if theirs.ord_status is OrdStatus.FILLED and theirs.request.order_qty != order.request.order_qty:
        return [Hear(_report(theirs, ExecType.REPLACED, now_ns, now_ns))]  # what was left of it was taken away
    if theirs.ord_status is OrdStatus.FILLED and (order.pending_qty or 0) > order.request.order_qty and not busy:
        text = "the broker's book shows it filled as it was before"
        return [Hear(_report(theirs, ExecType.REPLACE_REJECTED, now_ns, now_ns, text))]
    if theirs.ord_status not in _WORKING:
        return []
    steps: list[Step] = []
    if _terms(order, theirs) and quiet:
        steps.append(Hear(_report(theirs, ExecType.REPLACED, now_ns, now_ns)))
        if order.ord_status in _WORKING:
            ours, other = _shown(order.request), _shown(theirs.request)
            text = f"{order.cl_ord_id}: modified elsewhere, from {ours} to {other}"
            steps.append(_differs("terms", order, ours, other, text))
    elif order.ord_status in _ASKED and quiet and order.order_id is not None:
        kind = ExecType.CANCEL_REJECTED if order.ord_status is OrdStatus.PENDING_CANCEL else ExecType.REPLACE_REJECTED
        if order.ord_status is OrdStatus.UNKNOWN:
            kind = ExecType.NEW
        text = "the broker's book shows it working as before"
        steps.append(Hear(_report(theirs, kind, now_ns, now_ns, text)))
    return steps


def _terms(order: Order, theirs: Order) -> bool:
    """Whether quantity or prices differ. A market order's price is the broker's own affair."""
    ours, other = order.request, theirs.request
    if ours.order_qty != other.order_qty:
        return True
    if ours.ord_type not in (OrdType.LIMIT, OrdType.STOP_LIMIT) or other.price_p is None:
        return False
    stop = ours.ord_type is OrdType.STOP_LIMIT and other.stop_px_p is not None and ours.stop_px_p != other.stop_px_p
    return ours.price_p != other.price_p or stop


def _shown(request: OrderRequest) -> str:
    price = "-" if request.price_p is None else f"{request.price_p / 100:.2f}"
    return f"{request.order_qty} at {price}"


def _busts(order: Order, theirs: Order, fills: Sequence[Fill], now_ns: int, missed: Mapping[str, int]) -> list[Step]:
    """Executions that two readings no longer hold, whose own sums agree that they are gone."""
    if theirs.cum_qty >= order.cum_qty or sum(f.last_qty for f in fills) != theirs.cum_qty:
        return []
    there = {f.exec_id for f in fills}
    steps: list[Step] = []
    for exec_id, qty, _ in order.execs:
        if exec_id in there or exec_id in order.busts:
            continue
        if missed.get(exec_id, 0) < 1:
            steps.append(Missing(exec_id))
            continue
        report = _report(theirs, ExecType.TRADE_CANCEL, now_ns, now_ns)
        steps.append(Hear(msgspec.structs.replace(report, exec_id=f"{exec_id}-bust", exec_ref_id=exec_id)))
        text = f"{order.cl_ord_id}: execution {exec_id} of {qty} is no longer in the broker's book"
        steps.append(_differs("bust", order, str(order.cum_qty), str(theirs.cum_qty), text))
    return steps


def _short(order: Order, cum: int, theirs: Order) -> list[Step]:
    text = f"{order.cl_ord_id}: the broker's book says {theirs.cum_qty} filled, its trades add up to {cum}"
    return [_differs("fills", order, str(cum), str(theirs.cum_qty), text)]


def _absent(order: Order, now_ns: int, settle_s: float, missed: int, searched: AbstractSet[str]) -> list[Step]:
    """An open order of ours that this reading does not hold."""
    cl_ord_id = order.cl_ord_id
    age_s = (now_ns - order.created_ns) / 1e9
    steps: list[Step] = []
    if order.ord_status is OrdStatus.PENDING_NEW and order.order_id is None:
        report = _report(order, ExecType.UNKNOWN, now_ns, now_ns, "no answer, and not in the broker's book yet")
        steps.append(Hear(report))
    if age_s < settle_s:
        return steps
    if order.ord_status not in _UNSEEN:
        if missed == 1:
            text = f"{cl_ord_id}: {order.ord_status} here, and not in the broker's book"
            steps.append(_differs("missing", order, str(order.ord_status), "none", text))
        return [*steps, Missing(cl_ord_id)]
    if missed < 1:
        return [*steps, Missing(cl_ord_id)]
    if cl_ord_id not in searched:
        return [*steps, Missing(cl_ord_id), Search(cl_ord_id)]
    text = f"not found: not in the broker's book after {age_s:.0f} s, in two readings and a search by its tag"
    return [*steps, Lose(cl_ord_id, text), _differs("not_found", order, "unknown", "none", f"{cl_ord_id}: {text}")]


def _positions(
    held: Mapping[str, Holding],
    net: Mapping[str, int],
    suspects: Mapping[str, tuple[int, int]],
    averages: Averages,
    changed: bool,
) -> list[Step]:
    steps: list[Step] = []
    for symbol in sorted({*held, *net}):
        ours, there = net.get(symbol, 0), held.get(symbol)
        theirs = 0 if there is None else there.net_qty
        if ours == theirs:
            continue
        if changed or suspects.get(symbol) != (ours, theirs):
            steps.append(Suspect(symbol, ours, theirs))
            continue
        units, cost_p = averages.get(symbol, (ours, 0))
        price_p = _price_p(units, cost_p, theirs, math.nan if there is None else there.avg_px)
        text = f"{symbol}: {ours} units here, {theirs} at the broker; taken over from the broker"
        exchange = "" if there is None else there.exchange
        difference = Difference("position", "", symbol, str(ours), str(theirs), text)
        steps += [Differs(difference), Align(symbol, exchange, theirs - ours, price_p, text)]
    return steps


def _price_p(units: int, cost_p: int, theirs: int, avg_px: float) -> int:
    """The execution price that leaves the broker's average; when units only leave, their own average."""
    moved = theirs - units
    average_p = 0.0 if not units else cost_p / units
    if units * theirs >= 0 and abs(theirs) > abs(units) and math.isfinite(avg_px):
        return max(0, round((avg_px * 100.0 * theirs - cost_p) / moved))
    if units * theirs < 0 and math.isfinite(avg_px):
        return max(0, round(avg_px * 100.0))
    return max(0, round(average_p))


def _differs(kind: str, order: Order, ours: str, theirs: str, text: str) -> Differs:
    return Differs(Difference(kind, order.cl_ord_id, order.request.symbol, ours, theirs, text))


def _report(
    order: Order, kind: ExecType, now_ns: int, ts_ns: int | None = None, text: str | None = None
) -> ExecutionReport:
    request = order.request
    return ExecutionReport(
        cl_ord_id=request.cl_ord_id,
        exec_id=f"{order.order_id or request.cl_ord_id}-{kind}",
        exec_type=kind,
        ts_ns=order.updated_ns if ts_ns is None else ts_ns,
        recv_ns=now_ns,
        order_id=order.order_id,
        exch_order_id=order.exch_order_id,
        account=request.account,
        symbol=request.symbol,
        side=request.side,
        price_p=request.price_p,
        stop_px_p=request.stop_px_p,
        order_qty=request.order_qty,
        text=order.text if text is None else text,
    )


def _trade(order: Order, fill: Fill, now_ns: int) -> ExecutionReport:
    return ExecutionReport(
        cl_ord_id=order.cl_ord_id,
        exec_id=fill.exec_id,
        exec_type=ExecType.TRADE,
        ts_ns=fill.exec_ns,
        recv_ns=now_ns,
        order_id=order.order_id,
        exch_order_id=order.exch_order_id,
        account=order.request.account,
        symbol=order.request.symbol,
        side=Side(fill.side),
        last_qty=fill.last_qty,
        last_px_p=fill.last_px_p,
    )
