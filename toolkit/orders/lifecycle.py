"""The life of an order as one table: (state, what happened) -> state.

:func:`apply` is total: whatever a broker says, in whatever order, as often as it likes,
gives a new order and at most one :class:`Anomaly`, never an exception. Three rules stand
above the table:

- an execution counts once by its ``exec_id``, also on an order that is already dead;
- quantity decides ``filled``: an order whose executions reach its quantity is done, and one
  of which the exchange later took an execution back ends as ``canceled``, because the
  exchange does not put the quantity back into its book;
- a terminal order never opens again by a report (the broker's book may take it up again: a
  ``revived`` record, see :mod:`~toolkit.orders.reconcile`); of two terminal words the stronger stays
  (canceled < expired < rejected < denied), so the order of arrival does not matter.
"""

from __future__ import annotations

from typing import Final

import msgspec

from toolkit.types import TERMINAL, ExecType, ExecutionReport, Order, OrderRequest, OrdStatus

__all__ = ["TABLE", "Anomaly", "apply", "begin"]

# The table: a row a trigger, a column a state. ``.`` stays (a repeat, a late word, or news that
# changes numbers only), ``!`` stays or moves and is an anomaly; W is working: new before the
# first execution, partially_filled after it.
_GRID: Final = """
.                 PN   W    P    PC   PR   U    F    C    E    R    D
pending_new       .    .    .    .    .    .    .    .    .    !    !
new               W    .    .    .    .    W    .    .    .    !    !
trade             W    W    .    .    .    W    .    .    .    .!   .!
pending_cancel    .    PC   PC   .    PC   .    .    .    .    .    !
canceled          C    C    C    C    C    C    .    .    .!   .!   !
cancel_rejected   .    .    .    W    .    .    .    .    .    .    !
pending_replace   !    PR   PR   .    .    .    .    .    .    .    !
replaced          W    .    .    .    W    W    .    .    .    !    !
replace_rejected  .    .    .    .    W    .    .    .    .    .    !
rejected          R    R    R!   R    R    R    !    R!   R!   .    !
expired           E    E    E    E    E    E    .    E!   .    .!   !
trade_cancel      .    W    W    .    .    .    C    .    .    .    !
denied            D    !    !    !    !    !    !    !    !    !    .
unknown           U    .    .    U    U    .    .    .    .    .    !
"""

_CODES: Final = {
    "PN": OrdStatus.PENDING_NEW,
    "W": OrdStatus.NEW,
    "P": OrdStatus.PARTIALLY_FILLED,
    "PC": OrdStatus.PENDING_CANCEL,
    "PR": OrdStatus.PENDING_REPLACE,
    "U": OrdStatus.UNKNOWN,
    "F": OrdStatus.FILLED,
    "C": OrdStatus.CANCELED,
    "E": OrdStatus.EXPIRED,
    "R": OrdStatus.REJECTED,
    "D": OrdStatus.DENIED,
}


def _read() -> dict[tuple[OrdStatus, ExecType], tuple[OrdStatus, bool]]:
    head, *rows = _GRID.strip().splitlines()
    states = [_CODES[code] for code in head.split()[1:]]
    table = {}
    for row in rows:
        name, *cells = row.split()
        for state, cell in zip(states, cells, strict=True):
            code = cell.rstrip("!").rstrip(".")
            table[state, ExecType(name)] = (_CODES[code] if code else state, cell.endswith("!"))
    return table


TABLE: Final = _read()
"""(ord_status, exec_type) -> (next ord_status, is it an anomaly); ``new`` stands for working."""

_PENDING: Final = frozenset({ExecType.PENDING_CANCEL, ExecType.PENDING_REPLACE})
_ANSWERS: Final = frozenset({ExecType.REPLACED, ExecType.REPLACE_REJECTED, ExecType.CANCEL_REJECTED})
_CLOSING: Final = frozenset({ExecType.CANCELED, ExecType.EXPIRED, ExecType.REJECTED})
_WORKING: Final = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED})


class Anomaly(msgspec.Struct, frozen=True):
    """A report that cannot be true, or not yet: kept, shown, and raised as an alarm once."""

    kind: str
    cl_ord_id: str
    exec_id: str
    ts_ns: int
    text: str


def begin(request: OrderRequest, now_ns: int, status: OrdStatus = OrdStatus.PENDING_NEW, text: str = "") -> Order:
    """Start the life of an order: ``pending_new``, or ``denied`` with its reasons."""
    leaves = 0 if status in TERMINAL else request.order_qty
    return Order(
        request=request,
        ord_status=status,
        cum_qty=0,
        leaves_qty=leaves,
        traded_value_p=0,
        created_ns=now_ns,
        updated_ns=now_ns,
        text=text,
    )


def apply(order: Order, report: ExecutionReport) -> tuple[Order, Anomaly | None]:
    """Apply one report to an order.

    Parameters
    ----------
    order : Order
        The state so far; never changed.
    report : ExecutionReport
        Anything a broker, an exchange or our own engine says about it.

    Returns
    -------
    order : Order
        The new state; the same object when the report says nothing new.
    anomaly : Anomaly or None
        Set when the report is impossible in this state; its executions count all the same.
    """
    if report.cl_ord_id != order.cl_ord_id:
        return order, _odd("wrong_order", order, report, f"report names order '{report.cl_ord_id}'")
    if report.exec_type is ExecType.TRADE:
        return _trade(order, report)
    if report.exec_type is ExecType.TRADE_CANCEL:
        return _bust(order, report)
    if report.exec_type in _PENDING and report.ts_ns < order.answered_ns:
        return order, None
    status, odd = TABLE[order.ord_status, report.exec_type]
    changed = _restate(order, report)
    after = _stamp(order, _settle(changed, status), report)
    text = f"{report.exec_type} cannot happen to an order that is {order.ord_status}"
    if order.ord_status is OrdStatus.FILLED and _gross(after) < _target(after):
        odd, text = (
            True,
            f"a filled order of {_gross(after)} was raised to {_target(after)}; it stays closed: reconcile",
        )
    return after, _odd("impossible", order, report, text) if odd else None


def _trade(order: Order, report: ExecutionReport) -> tuple[Order, Anomaly | None]:
    if report.last_qty <= 0 or report.last_px_p < 0:
        text = f"execution needs a positive quantity and a price, was {report.last_qty} at {report.last_px_p} paise"
        return order, _odd("bad_execution", order, report, text)
    execution = (report.exec_id, report.last_qty, report.last_px_p)
    for known in order.execs:
        if known[0] == report.exec_id:
            if known == execution:
                return order, None
            return order, _odd("exec_id_reused", order, report, f"execution {known} came again as {execution}")
    status, odd = TABLE[order.ord_status, ExecType.TRADE]
    counted = msgspec.structs.replace(order, execs=(*order.execs, execution))
    after = _stamp(order, _settle(counted, status), report)
    gross = _gross(after)
    if gross > _target(order):
        return after, _odd("overfill", order, report, f"executed {gross} of {_target(order)}")
    if odd:
        text = f"execution on an order that is {order.ord_status}; it counts"
        return after, _odd("late_execution", order, report, text)
    return after, None


def _bust(order: Order, report: ExecutionReport) -> tuple[Order, Anomaly | None]:
    ref = report.exec_ref_id
    if ref is None:
        return order, _odd("bad_bust", order, report, "a trade cancel must name its execution in exec_ref_id")
    if ref in order.busts:
        return order, None
    status, odd = TABLE[order.ord_status, ExecType.TRADE_CANCEL]
    noted = msgspec.structs.replace(order, busts=(*order.busts, ref))
    after = _stamp(order, _settle(noted, status), report)
    text = f"execution {ref} was taken back" + (f"; the order is {order.ord_status}" if odd else "")
    return after, _odd("bust", order, report, text)


def _restate(order: Order, report: ExecutionReport) -> Order:
    """Numbers that an answer or a request in flight changes, newest answer winning."""
    kind = report.exec_type
    if kind is ExecType.PENDING_REPLACE and order.ord_status in _WORKING:
        return msgspec.structs.replace(order, pending_qty=report.order_qty)
    if kind not in _ANSWERS:
        return order
    newest = report.ts_ns >= order.answered_ns
    request = order.request
    if kind is ExecType.REPLACED and newest:
        request = msgspec.structs.replace(
            request,
            order_qty=request.order_qty if report.order_qty is None else report.order_qty,
            price_p=request.price_p if report.price_p is None else report.price_p,
            stop_px_p=request.stop_px_p if report.stop_px_p is None else report.stop_px_p,
        )
    return msgspec.structs.replace(
        order,
        request=request,
        pending_qty=order.pending_qty if kind is ExecType.CANCEL_REJECTED else None,
        answered_ns=max(order.answered_ns, report.ts_ns),
    )


def _settle(order: Order, status: OrdStatus) -> Order:
    """Numbers and quantity rules: the sums of the executions decide working, filled and leaves."""
    cum = value = gross = 0
    for exec_id, qty, px_p in order.execs:
        gross += qty
        if exec_id not in order.busts:
            cum += qty
            value += qty * px_p
    target = _target(order)
    if gross >= target:
        if status not in TERMINAL or status is OrdStatus.FILLED or cum >= target:
            status = OrdStatus.FILLED if cum >= target else OrdStatus.CANCELED
    elif status in _WORKING:
        status = OrdStatus.PARTIALLY_FILLED if gross else OrdStatus.NEW
    leaves = 0 if status in TERMINAL else max(0, target - gross)
    return msgspec.structs.replace(order, ord_status=status, cum_qty=cum, leaves_qty=leaves, traded_value_p=value)


def _target(order: Order) -> int:
    """Quantity the order may trade: while a modification is in flight, the larger of the two."""
    return max(order.request.order_qty, order.pending_qty or 0)


def _gross(order: Order) -> int:
    return sum(qty for _, qty, _ in order.execs)


def _stamp(before: Order, order: Order, report: ExecutionReport) -> Order:
    newest = report.ts_ns >= order.updated_ns
    return msgspec.structs.replace(
        order,
        updated_ns=max(order.updated_ns, report.ts_ns),
        order_id=order.order_id if report.order_id is None else report.order_id,
        exch_order_id=order.exch_order_id if report.exch_order_id is None else report.exch_order_id,
        text=_text(before, order, report) if newest else order.text,
    )


def _text(before: Order, order: Order, report: ExecutionReport) -> str:
    """What is said of an order: a word about a state (unknown, a refused cancel) ends with that state.

    An order that is closed keeps what was said when it closed, and an unknown one why it is, whatever becomes of
    requests still under way.
    """
    if order.ord_status is not before.ord_status:
        return report.text
    if (report.exec_type is ExecType.UNKNOWN) is not (order.ord_status is OrdStatus.UNKNOWN):
        return before.text  # neither is a word about the other
    if before.ord_status in TERMINAL:
        return before.text or (report.text if report.exec_type in _CLOSING else "")
    return report.text if report.exec_type is ExecType.TRADE else report.text or before.text


def _odd(kind: str, order: Order, report: ExecutionReport, text: str) -> Anomaly:
    return Anomaly(kind, order.cl_ord_id, report.exec_id, report.ts_ns, f"{order.cl_ord_id}: {text}")
