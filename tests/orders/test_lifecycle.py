"""The table of the order life cycle, and the three rules above it."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.orders.lifecycle import TABLE, apply, begin
from toolkit.types import TERMINAL, ExecType, ExecutionReport, Order, OrderRequest, OrdStatus, Side

REQUEST = OrderRequest(cl_ord_id="A1", symbol="X", side=Side.BUY, order_qty=100, price_p=1000)


def report(kind: ExecType, ts: int = 1, exec_id: str | None = None, **more: object) -> ExecutionReport:
    exec_id = f"{kind}-{ts}" if exec_id is None else exec_id
    return ExecutionReport(cl_ord_id="A1", exec_id=exec_id, exec_type=kind, ts_ns=ts, recv_ns=ts, **more)


def trade(qty: int, ts: int = 1, exec_id: str | None = None, px: int = 1000) -> ExecutionReport:
    return report(ExecType.TRADE, ts, exec_id, last_qty=qty, last_px_p=px)


def run(*reports: ExecutionReport, order: Order | None = None) -> tuple[Order, list[str]]:
    order = begin(REQUEST, 0) if order is None else order
    odd = []
    for one in reports:
        order, anomaly = apply(order, one)
        if anomaly is not None:
            odd.append(anomaly.kind)
    return order, odd


ORDERS = {
    OrdStatus.PENDING_NEW: (),
    OrdStatus.NEW: (report(ExecType.NEW),),
    OrdStatus.PARTIALLY_FILLED: (trade(40),),
    OrdStatus.FILLED: (trade(100),),
    OrdStatus.PENDING_CANCEL: (report(ExecType.NEW), report(ExecType.PENDING_CANCEL)),
    OrdStatus.PENDING_REPLACE: (report(ExecType.NEW), report(ExecType.PENDING_REPLACE, order_qty=100)),
    OrdStatus.CANCELED: (report(ExecType.CANCELED),),
    OrdStatus.REJECTED: (report(ExecType.REJECTED),),
    OrdStatus.EXPIRED: (report(ExecType.EXPIRED),),
    OrdStatus.DENIED: (report(ExecType.DENIED),),
    OrdStatus.UNKNOWN: (report(ExecType.UNKNOWN),),
}


def any_report(kind: ExecType) -> ExecutionReport:
    if kind is ExecType.TRADE:
        return trade(10, 9, "T9")
    if kind is ExecType.TRADE_CANCEL:
        return report(kind, 9, exec_ref_id="trade-1")
    return report(kind, 9)


def test_the_table_is_total():
    assert set(TABLE) == set(itertools.product(OrdStatus, ExecType))


@pytest.mark.parametrize("status", list(OrdStatus))
def test_every_state_can_be_reached(status):
    assert run(*ORDERS[status])[0].ord_status is status


@pytest.mark.parametrize(("status", "kind"), list(itertools.product(OrdStatus, ExecType)))
def test_every_pair_follows_the_table_and_never_reopens(status, kind):
    order, _ = run(*ORDERS[status])
    after, anomaly = apply(order, any_report(kind))
    expected, odd = TABLE[status, kind]
    if expected in {OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED}:
        expected = OrdStatus.PARTIALLY_FILLED if after.execs else OrdStatus.NEW
    assert after.ord_status is expected
    if odd:
        assert anomaly is not None
        assert "\n" not in anomaly.text
    if status in TERMINAL:
        assert after.ord_status in TERMINAL
        assert after.leaves_qty == 0


def test_a_plain_life():
    order, odd = run(report(ExecType.NEW, 1, order_id="B1"), trade(40, 2), trade(60, 3, px=1010))
    assert (order.ord_status, order.cum_qty, order.leaves_qty) == (OrdStatus.FILLED, 100, 0)
    assert order.traded_value_p == 40 * 1000 + 60 * 1010
    assert order.avg_px == pytest.approx(10.06)
    assert order.order_id == "B1"
    assert odd == []


def say(kind, ts, text):
    return report(kind, ts, text=text)


STALE = [
    ((report(ExecType.NEW, 1),), say(ExecType.UNKNOWN, 2, "no answer"), ""),
    ((say(ExecType.UNKNOWN, 1, "no answer"),), say(ExecType.CANCEL_REJECTED, 2, "no such order"), "no answer"),
    ((say(ExecType.UNKNOWN, 2, "no answer"),), report(ExecType.NEW, 3), ""),
    ((report(ExecType.PENDING_CANCEL, 1), say(ExecType.UNKNOWN, 2, "no answer")), say(ExecType.UNKNOWN, 3, "no"), "no"),
    ((report(ExecType.PENDING_CANCEL, 1), say(ExecType.UNKNOWN, 2, "no answer")), report(ExecType.NEW, 3), ""),
    ((report(ExecType.PENDING_CANCEL, 1), say(ExecType.UNKNOWN, 2, "no answer")), trade(40, 3), ""),
    ((report(ExecType.PENDING_CANCEL, 1), say(ExecType.UNKNOWN, 2, "no answer")), report(ExecType.CANCELED, 3), ""),
    ((trade(40, 1), say(ExecType.CANCEL_REJECTED, 2, "already filled")), trade(60, 3), ""),
    ((trade(40, 1), say(ExecType.CANCEL_REJECTED, 2, "being processed")), trade(20, 3), ""),
    ((trade(100, 1),), say(ExecType.CANCEL_REJECTED, 2, "already filled"), ""),
    ((say(ExecType.REJECTED, 1, "no funds"),), say(ExecType.CANCEL_REJECTED, 2, "no such order"), "no funds"),
    ((say(ExecType.CANCELED, 1, "by the exchange"),), say(ExecType.UNKNOWN, 2, "no answer"), "by the exchange"),
    ((report(ExecType.CANCELED, 1),), say(ExecType.CANCELED, 2, "by the exchange"), "by the exchange"),
    ((report(ExecType.NEW, 1),), say(ExecType.CANCEL_REJECTED, 2, "being processed"), "being processed"),
]


@pytest.mark.parametrize(("before", "last", "text"), STALE)
def test_a_word_about_a_state_ends_with_it(before, last, text):
    assert run(*before, last)[0].text == text


def test_fill_before_ack():
    order, odd = run(trade(40, 2), report(ExecType.NEW, 1))
    assert order.ord_status is OrdStatus.PARTIALLY_FILLED
    assert odd == []


def test_late_fill_counts_on_a_canceled_order():
    order, odd = run(report(ExecType.NEW), report(ExecType.CANCELED, 3), trade(40, 2))
    assert (order.ord_status, order.cum_qty, order.leaves_qty) == (OrdStatus.CANCELED, 40, 0)
    assert odd == []


@pytest.mark.parametrize("kind", [ExecType.REJECTED, ExecType.DENIED])
def test_a_fill_on_an_order_that_never_was_counts_and_alarms(kind):
    order, odd = run(report(kind), trade(40, 2))
    assert order.cum_qty == 40
    assert odd == ["late_execution"]


def test_repeated_execution_counts_once():
    order, odd = run(trade(40, 2, "T1"), trade(40, 2, "T1"))
    assert order.cum_qty == 40
    assert odd == []


def test_exec_id_with_other_numbers_is_an_anomaly():
    order, odd = run(trade(40, 2, "T1"), trade(50, 2, "T1"))
    assert order.cum_qty == 40
    assert odd == ["exec_id_reused"]


def test_overfill_counts_and_alarms_once():
    order, odd = run(trade(60, 1, "T1"), trade(50, 2, "T2"))
    assert (order.ord_status, order.cum_qty, order.leaves_qty) == (OrdStatus.FILLED, 110, 0)
    assert odd == ["overfill"]


@pytest.mark.parametrize(("qty", "px"), [(0, 100), (-5, 100), (5, -1)])
def test_senseless_execution_is_an_anomaly_and_changes_nothing(qty, px):
    order, odd = run(trade(qty, 1, "T1", px))
    assert order == begin(REQUEST, 0)
    assert odd == ["bad_execution"]


def test_bust_of_a_partial_fill():
    order, odd = run(trade(40, 1, "T1"), report(ExecType.TRADE_CANCEL, 2, exec_ref_id="T1"))
    assert (order.cum_qty, order.traded_value_p, order.leaves_qty) == (0, 0, 60)
    assert order.ord_status is OrdStatus.PARTIALLY_FILLED
    assert odd == ["bust"]


def test_bust_of_a_filled_order_ends_it_as_canceled():
    order, odd = run(trade(60, 1, "T1"), trade(40, 2, "T2"), report(ExecType.TRADE_CANCEL, 3, exec_ref_id="T1"))
    assert (order.ord_status, order.cum_qty, order.leaves_qty) == (OrdStatus.CANCELED, 40, 0)
    assert odd == ["bust"]


def test_bust_without_a_reference_is_an_anomaly():
    order, odd = run(trade(60, 1, "T1"), report(ExecType.TRADE_CANCEL, 3))
    assert order.cum_qty == 60
    assert odd == ["bad_bust"]


def test_report_of_another_order_is_refused():
    _, anomaly = apply(begin(REQUEST, 0), msgspec.structs.replace(trade(5), cl_ord_id="B2"))
    assert anomaly is not None
    assert anomaly.kind == "wrong_order"


def test_cancel_refused_goes_back_to_working():
    order, _ = run(report(ExecType.NEW), trade(40, 2), report(ExecType.PENDING_CANCEL, 3))
    assert run(report(ExecType.CANCEL_REJECTED, 4), order=order)[0].ord_status is OrdStatus.PARTIALLY_FILLED


def test_a_cancel_refused_for_an_unproven_order_proves_nothing():
    order, _ = run(report(ExecType.PENDING_CANCEL, 1), report(ExecType.CANCEL_REJECTED, 2))
    assert order.ord_status is OrdStatus.PENDING_NEW
    assert run(report(ExecType.UNKNOWN, 3), order=order)[0].ord_status is OrdStatus.UNKNOWN


def test_unknown_resolves_on_sight_even_when_the_proof_is_older():
    order, _ = run(report(ExecType.UNKNOWN, 10))
    assert order.leaves_qty == 100
    assert run(report(ExecType.NEW, 5), order=order)[0].ord_status is OrdStatus.NEW


def test_replace_takes_numbers_and_late_news_does_not_take_them_back():
    order, _ = run(
        report(ExecType.NEW),
        report(ExecType.PENDING_REPLACE, 2, order_qty=150),
        report(ExecType.REPLACED, 3, order_qty=150, price_p=1100),
    )
    assert (order.request.order_qty, order.request.price_p, order.leaves_qty) == (150, 1100, 150)
    older, _ = run(report(ExecType.REPLACED, 2, order_qty=120, price_p=900), order=order)
    assert (older.request.order_qty, older.request.price_p) == (150, 1100)
    assert run(report(ExecType.PENDING_REPLACE, 2, order_qty=999), order=order)[0].ord_status is OrdStatus.NEW


def test_worst_case_quantity_while_a_replace_is_in_flight():
    order, _ = run(report(ExecType.NEW), report(ExecType.PENDING_REPLACE, 2, order_qty=150), trade(100, 3))
    assert (order.ord_status, order.leaves_qty) == (OrdStatus.PENDING_REPLACE, 50)
    assert run(report(ExecType.REPLACE_REJECTED, 4), order=order)[0].ord_status is OrdStatus.FILLED
    grown, _ = run(report(ExecType.REPLACED, 4, order_qty=150), order=order)
    assert (grown.ord_status, grown.leaves_qty) == (OrdStatus.PARTIALLY_FILLED, 50)


def test_a_filled_order_raised_from_elsewhere_stays_closed_and_alarms():
    order, odd = run(trade(100, 1), report(ExecType.REPLACED, 2, order_qty=150))
    assert order.ord_status is OrdStatus.FILLED
    assert odd == ["impossible"]


def test_denied_begins_terminal():
    order = begin(REQUEST, 5, OrdStatus.DENIED, "no")
    assert (order.leaves_qty, order.is_open, order.text) == (0, False, "no")


@st.composite
def streams(draw):
    """What an exchange may truthfully say about one order of 100, after our own requests."""
    own = [report(ExecType.NEW, 1)]
    target = 100
    heard = []
    ask = draw(st.sampled_from(["none", "cancel", "replace"]))
    if ask == "cancel":
        own.append(report(ExecType.PENDING_CANCEL, 2))
    if ask == "replace":
        target = draw(st.integers(50, 150))
        own.append(report(ExecType.PENDING_REPLACE, 2, order_qty=target))
        if draw(st.booleans()):
            heard.append(report(ExecType.REPLACED, 3, order_qty=target, price_p=1100))
        else:
            heard.append(report(ExecType.REPLACE_REJECTED, 3))
            target = 100
    left = target
    for number in range(draw(st.integers(0, 4))):
        qty = draw(st.integers(1, 60))
        if qty <= left:
            left -= qty
            heard.append(trade(qty, 10 + number, f"T{number}", draw(st.integers(900, 1100))))
            if draw(st.integers(0, 3)) == 0:
                heard.append(report(ExecType.TRADE_CANCEL, 30 + number, exec_ref_id=f"T{number}"))
    end = draw(st.sampled_from(["open", "canceled", "expired"]))
    if left and end == "canceled":
        heard.append(report(ExecType.CANCELED, 50))
    elif left and end == "expired":
        heard.append(report(ExecType.EXPIRED, 50))
    elif ask == "cancel":
        heard.append(report(ExecType.CANCEL_REJECTED, 50))
    heard += draw(st.lists(st.sampled_from(heard), max_size=4)) if heard else []
    return own, heard, draw(st.permutations(heard))


@given(streams())
def test_any_order_of_arrival_gives_the_same_final_order(case):
    own, heard, shuffled = case
    straight, _ = run(*own, *heard)
    mixed, _ = run(*own, *shuffled)
    assert facts(mixed) == facts(straight)


def facts(order: Order) -> tuple[object, ...]:
    return (
        order.ord_status,
        order.cum_qty,
        order.leaves_qty,
        order.traded_value_p,
        order.request,
        order.updated_ns,
        sorted(order.execs),
        sorted(order.busts),
    )


ANYTHING = st.builds(
    ExecutionReport,
    cl_ord_id=st.sampled_from(["A1", "A1", "A1", "B2"]),
    exec_id=st.sampled_from(["E1", "E2", "E3"]),
    exec_type=st.sampled_from(ExecType),
    ts_ns=st.integers(0, 20),
    recv_ns=st.integers(0, 20),
    last_qty=st.integers(-5, 200),
    last_px_p=st.integers(-5, 2000),
    order_qty=st.none() | st.integers(1, 200),
    exec_ref_id=st.none() | st.sampled_from(["E1", "E2"]),
)


@given(st.lists(ANYTHING, max_size=20))
def test_whatever_is_reported_no_exception_and_no_resurrection(reports):
    order = begin(REQUEST, 0)
    for one in reports:
        was_terminal = order.ord_status in TERMINAL
        order, anomaly = apply(order, one)
        assert not was_terminal or order.ord_status in TERMINAL
        assert order.leaves_qty >= 0
        counted = {e: q for e, q, _ in order.execs if e not in order.busts}
        assert order.cum_qty == sum(counted.values())
        assert anomaly is None or anomaly.text
