"""The day's history: round trips to the paisa, busts taken back, repeats counted once."""

from __future__ import annotations

import datetime as dt
import random

from toolkit.calendar import ist_ns
from toolkit.risk.history import History, strategy_of, underlying_of
from toolkit.types import ExecType, Side

DAY = dt.date(2025, 9, 2)
CALL = "NIFTY 02SEP2025 24500 CE"
MINUTE = 60 * 10**9


def at(hour, minute=0, second=0):
    return ist_ns(DAY, dt.time(hour, minute, second))


def test_a_fill_through_flat_closes_one_trip_and_opens_the_next(afternoon):
    history = History()
    afternoon.fill(history, CALL, Side.BUY, 75, 10000, at(10))
    afternoon.fill(history, CALL, Side.SELL, 225, 11000, at(10, 1))
    (trip,) = history.trips
    assert (trip.profit_p, trip.opened_ns, trip.closed_ns) == (75 * 1000, at(10), at(10, 1))
    afternoon.fill(history, CALL, Side.BUY, 150, 10500, at(10, 2))
    assert [t.profit_p for t in history.trips] == [75_000, 75_000]
    assert history.trips[1].opened_ns == at(10, 1)


def test_the_profit_of_trips_is_the_cash_of_fills(afternoon):
    draw, history = random.Random(5), History()
    cash = 0
    net = 0
    for n in range(200):
        side, qty, px = draw.choice(list(Side)), 75 * draw.randint(1, 4), draw.randint(5000, 15000)
        afternoon.fill(history, CALL, side, qty, px, at(10) + n * 10**9)
        net += side.sign * qty
        cash -= side.sign * qty * px
    if net:
        afternoon.fill(history, CALL, Side.SELL if net > 0 else Side.BUY, abs(net), 10000, at(11))
        cash += net * 10000
    assert sum(t.profit_p for t in history.trips) == cash


def test_a_report_told_twice_counts_once(afternoon):
    history = History()
    order = afternoon.fill(history, CALL, Side.BUY, 75, 10000, at(10))
    afternoon.report(history, order.cl_ord_id, ExecType.TRADE, at(10), last_qty=75, last_px_p=10000)
    assert len(history.fills) == 1
    assert history.entries == {"manual": 1}


def test_a_bust_takes_its_fill_back(afternoon):
    history = History()
    order = afternoon.fill(history, CALL, Side.BUY, 75, 10000, at(10))
    (exec_id, _, _), *_ = order.execs
    afternoon.report(history, order.cl_ord_id, ExecType.TRADE_CANCEL, at(10, 1), exec_id="B1", exec_ref_id=exec_id)
    assert [f.qty for f in history.fills] == [75, -75]
    assert [t.profit_p for t in history.trips] == [0]


def test_a_restarted_history_counts_only_what_is_new(afternoon):
    first = History()
    request = afternoon.request(qty=150)
    afternoon.place(request, at(10))
    afternoon.report(first, request.cl_ord_id, ExecType.TRADE, at(10), last_qty=75, last_px_p=10000)
    second = History()
    second.restore(first.state())
    afternoon.report(second, request.cl_ord_id, ExecType.TRADE, at(10, 1), last_qty=75, last_px_p=10000)
    assert [f.qty for f in second.fills] == [75, 75]
    empty = History()
    afternoon.place(afternoon.request(), at(10))
    afternoon.report(empty, request.cl_ord_id, ExecType.CANCELED, at(10, 2))
    assert list(empty.fills) == [], "what was filled before it began is not its own"


def test_positions_carried_into_the_day_have_their_marks(afternoon):
    history = History()
    history.open_at_start({CALL: -75, "GONE": 75}, {CALL: 12000}, at(9, 15))
    afternoon.fill(history, CALL, Side.BUY, 75, 10000, at(10))
    assert [(t.profit_p, t.strategy) for t in history.trips] == [(150_000, "carried")]


def test_answers_and_fills_are_kept_for_ten_minutes(afternoon):
    history = History()
    afternoon.fill(history, CALL, Side.BUY, 75, 10000, at(10))
    afternoon.fill(history, CALL, Side.BUY, 75, 10000, at(10, 10))
    assert [f.ts_ns for f in history.fills] == [a.ts_ns for a in history.answers] == [at(10, 10)]


def test_names():
    assert underlying_of(CALL) == "NIFTY"
    assert (strategy_of(None), strategy_of("twap duration_s=600")) == ("manual", "twap")
