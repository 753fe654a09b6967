"""The execution monitor: stages, states, alarms and costs of orders."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.market.quotes import Quote
from toolkit.orders.lifecycle import apply, begin
from toolkit.orders.monitor import KEPT, STAGES, Histogram, Monitor
from toolkit.types import ExecType, ExecutionReport, OrderRequest, OrdStatus, Side

S = 1_000_000_000
SYMBOL = "NIFTY 02SEP2025 24500 CE"
HUNDRED = Quote(ts_ns=0, bid_p=9_950, bid_qty=75, ask_p=10_050, ask_qty=75, ltp_p=10_000)


class Desk:
    """Feeds a monitor what an engine would."""

    def __init__(self, **more) -> None:
        self.monitor = Monitor(**more)
        self.now = 0
        self.orders = {}

    def place(self, cl_ord_id="A1", *, side=Side.BUY, qty=150, quote=HUNDRED, status=OrdStatus.PENDING_NEW):
        request = OrderRequest(cl_ord_id=cl_ord_id, symbol=SYMBOL, side=side, order_qty=qty, price_p=10_100)
        self.orders[cl_ord_id] = order = begin(request, self.now, status)
        self.monitor.on_order(None, order, self.now, quote)

    def hear(self, exec_type, cl_ord_id="A1", *, quote=HUNDRED, **more) -> None:
        before = self.orders[cl_ord_id]
        report = ExecutionReport(
            cl_ord_id=cl_ord_id,
            exec_id=f"{self.now}{exec_type}",
            exec_type=exec_type,
            ts_ns=self.now,
            recv_ns=self.now,
            **more,
        )
        self.orders[cl_ord_id] = after = apply(before, report)[0]
        self.monitor.on_order(before, after, self.now, quote)


class Traded:
    """Two followed lives in one contract, at an average price of 99 between the times of the first."""

    def __init__(self) -> None:
        self.followed = []

    def follow(self, symbol, since_ns):
        self.followed.append((symbol, since_ns))

    def leave(self, symbol):
        self.followed.pop(0)

    def vwap(self, symbol, from_ns, to_ns):
        return 99.0 if (symbol, from_ns, to_ns) == (SYMBOL, 0, 4 * S) else None


def test_a_fill_costs_what_it_was_beyond_each_reference():
    traded = Traded()
    desk = Desk(traded=traded)
    desk.place()
    assert traded.followed == [(SYMBOL, 0)]
    desk.place("A2", status=OrdStatus.DENIED)
    desk.now = 2 * S
    desk.hear(ExecType.TRADE, last_qty=75, last_px_p=10_100, quote=HUNDRED)
    desk.now = 4 * S
    moved = Quote(ts_ns=0, bid_p=10_150, ask_p=10_250)
    desk.hear(ExecType.TRADE, last_qty=75, last_px_p=10_200, quote=moved)
    found = desk.monitor.execution()
    assert found["slippage"]["arrival"] == {"rupees": 225.0, "per_unit": 1.5, "orders": 1, "unmeasured": 0}
    assert found["slippage"]["mid"] == {"rupees": 75.0, "per_unit": 0.5, "orders": 1, "unmeasured": 0}
    assert found["slippage"]["vwap"] == {"rupees": 375.0, "per_unit": 2.5, "orders": 1, "unmeasured": 0}
    assert (found["fill_ratio"], found["reject_ratio"], found["by_status"]) == (1.0, 0.0, {"denied": 1, "filled": 1})
    assert desk.monitor.outcomes[1].life_s == 4.0
    assert traded.followed == []


def test_a_sale_below_the_middle_is_a_cost_too():
    desk = Desk()
    desk.place(side=Side.SELL, qty=75)
    desk.hear(ExecType.TRADE, last_qty=75, last_px_p=9_900)
    assert desk.monitor.execution()["slippage"]["arrival"]["rupees"] == 75.0


def test_an_unknown_market_gives_no_figure_and_is_counted():
    desk = Desk()
    desk.place(quote=None, qty=75)
    desk.hear(ExecType.TRADE, last_qty=75, last_px_p=10_000, quote=None)
    for name in ("arrival", "mid", "vwap"):
        assert desk.monitor.execution()["slippage"][name] == {
            "rupees": None,
            "per_unit": None,
            "orders": 0,
            "unmeasured": 1,
        }


def test_a_crossed_quote_is_no_middle():
    desk = Desk()
    desk.place(quote=Quote(ts_ns=0, bid_p=10_100, ask_p=10_000), qty=75)
    desk.hear(ExecType.TRADE, last_qty=75, last_px_p=10_000)
    assert desk.monitor.outcomes[0].arrival is None


def test_ratios_count_units_filled_and_orders_that_left():
    desk = Desk()
    desk.place("A1", qty=100)
    desk.hear(ExecType.TRADE, "A1", last_qty=25, last_px_p=10_000)
    desk.hear(ExecType.CANCELED, "A1")
    desk.place("A2", qty=100)
    desk.hear(ExecType.REJECTED, "A2")
    desk.place("A3", qty=100, status=OrdStatus.DENIED)
    found = desk.monitor.execution()
    assert found["fill_ratio"] == 0.125
    assert found["reject_ratio"] == 0.5
    assert found["by_status"] == {"canceled": 1, "denied": 1, "rejected": 1}
    assert (found["orders"], found["open"]) == (3, 0)


def test_before_any_order_ratios_are_unknown():
    found = Monitor().execution()
    assert (found["fill_ratio"], found["reject_ratio"], found["orders"]) == (None, None, 0)
    assert found["latency"]["total"] == {"n": 0, "p50_us": None, "p99_us": None, "p999_us": None, "max_us": None}


@pytest.mark.parametrize(
    ("exec_type", "patience_s", "kind"),
    [
        (ExecType.UNKNOWN, 2, "unknown_order"),
        (None, 5, "stuck_order"),
        (ExecType.PENDING_CANCEL, 5, "stuck_order"),
        (ExecType.PENDING_REPLACE, 5, "stuck_order"),
    ],
)
def test_a_stay_beyond_its_patience_is_told_once(exec_type, patience_s, kind):
    desk = Desk()
    desk.place()
    if exec_type is not None:
        if exec_type is not ExecType.UNKNOWN:
            desk.hear(ExecType.NEW)
        desk.hear(exec_type)
    assert desk.monitor.alarms(patience_s * S) == ()
    (alarm,) = desk.monitor.alarms(patience_s * S + 1)
    assert (alarm.kind, alarm.cl_ord_id, alarm.since_ns) == (kind, "A1", 0)
    assert str(desk.orders["A1"].ord_status) in alarm.text
    assert desk.monitor.alarms(100 * S) == ()


def test_a_new_stay_is_a_new_alarm_and_a_working_order_is_none():
    desk = Desk()
    desk.place()
    assert len(desk.monitor.alarms(6 * S)) == 1
    desk.hear(ExecType.NEW)
    assert desk.monitor.alarms(1000 * S) == ()
    desk.now = 1000 * S
    desk.hear(ExecType.PENDING_CANCEL)
    assert desk.monitor.alarms(1004 * S) == ()
    assert len(desk.monitor.alarms(1006 * S)) == 1


def test_time_in_each_state_is_kept():
    desk = Desk()
    desk.place(qty=75)
    desk.now = 1 * S
    desk.hear(ExecType.NEW)
    desk.now = 4 * S
    desk.hear(ExecType.TRADE, last_qty=75, last_px_p=10_000)
    states = desk.monitor.execution()["states"]
    assert states["pending_new"]["max_us"] == 1e6
    assert states["new"]["max_us"] == 3e6


def test_stages_are_timed_from_the_stage_before():
    monitor = Monitor()
    for at, stage in enumerate(STAGES):
        monitor.on_stage("A1", stage, 1000 * at)
    latency = monitor.latency()
    assert [latency[s].max_ns for s in STAGES[1:]] == [1000] * 5
    assert latency["total"].max_ns == 5000
    monitor.on_stage("A2", "risk", 0)
    monitor.on_stage("A2", "wire", 700)
    monitor.on_stage("A2", "wire", 900)
    assert (latency["wire"].n, latency["journal"].n) == (2, 1)


def test_a_late_fill_of_a_closed_order_opens_no_second_life():
    desk = Desk()
    desk.place(qty=75)
    desk.hear(ExecType.CANCELED)
    desk.hear(ExecType.TRADE, last_qty=75, last_px_p=10_000)
    assert desk.monitor.execution()["orders"] == 1


def test_memory_is_bounded():
    desk = Desk()
    for n in range(KEPT + 50):
        desk.place(f"A{n}", qty=75)
        desk.monitor.on_stage(f"A{n}", "signal", n)
        desk.hear(ExecType.REJECTED, f"A{n}")
    assert len(desk.monitor.outcomes) == KEPT
    assert len(desk.monitor._lives) == len(desk.monitor._marks) == 0
    assert msgspec.json.encode(desk.monitor.execution())


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_at_most_a_thirty_second_above_the_true_one(values, q):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    true = int(np.sort(values)[max(1, int(np.ceil(q * len(values)))) - 1])
    found = histogram.quantile(q)
    assert true <= found <= true * (1 + 1 / 32)
    assert histogram.n == len(values)
    assert histogram.quantile(1.0) == max(values)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (ExecType.PENDING_CANCEL, "its cancel was not answered; it is at the broker and may still trade: "),
        (ExecType.PENDING_REPLACE, "its modification was not answered; either form may trade: "),
        (None, "its placing was not answered, it may be placed: "),
    ],
)
def test_an_alarm_of_an_unknown_order_says_what_is_unknown(asked, words):
    desk = Desk()
    desk.place()
    if asked is not None:
        desk.hear(ExecType.NEW, order_id="B1")
        report = ExecutionReport(cl_ord_id="A1", exec_id="", exec_type=asked, ts_ns=0, recv_ns=0)
        desk.orders["A1"] = apply(desk.orders["A1"], report)[0]  # the engine's own request is no news for the monitor
    desk.hear(ExecType.UNKNOWN)
    (alarm,) = desk.monitor.alarms(3 * S)
    assert alarm.kind == "unknown_order"
    assert words in alarm.text
    assert ("do not send it again" in alarm.text) is (asked is None)
