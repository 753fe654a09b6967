"""The simulated exchange: the rules of a fill, rejections, time, and no look-ahead."""

from __future__ import annotations

import datetime as dt
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.sim.exchange import SimExchange
from toolkit.types import (
    ExecType,
    Instrument,
    Kind,
    Modify,
    OptionType,
    OrderRequest,
    OrdType,
    Side,
    TimeInForce,
)

DAY = dt.date(2025, 8, 29)
OPEN = ist_ns(DAY, dt.time(9, 15))
CLOSE = ist_ns(DAY, dt.time(15, 30))
T = OPEN + 60 * 10**9
SECOND = 10**9


def option(token=1, **more):
    fields = {
        "instrument_id": 100 + token,
        "symbol": f"NIFTY 02SEP2025 {24400 + 50 * token} CE",
        "exchange": "NSE",
        "segment": "NFO",
        "underlying": "NIFTY",
        "kind": Kind.OPTION,
        "lot": 75,
        "tick_p": 5,
        "expiry": dt.date(2025, 9, 2),
        "strike_p": (24400 + 50 * token) * 100,
        "option_type": OptionType.CE,
        "token": token,
        "freeze_qty": 1800,
    }
    return Instrument(**{**fields, **more})


FUTURE = option(
    9, symbol="NIFTY 30SEP2025 FUT", kind=Kind.FUTURE, strike_p=None, option_type=None, expiry=dt.date(2025, 9, 30)
)
CALL = option()


def venue(**settings_):
    sim = SimExchange([CALL, FUTURE], **settings_)
    sim.open_session(OPEN, CLOSE)
    return sim


def show(sim, at, bid=99.0, bid_qty=300.0, ask=101.0, ask_qty=300.0, ltp=100.0, token=1):
    sim.on_quotes(at, [token], [bid], [bid_qty], [ask], [ask_qty], [ltp])


def order(cl_ord_id="A", side=Side.BUY, qty=75, price=10100, **more):
    return OrderRequest(cl_ord_id=cl_ord_id, symbol=CALL.symbol, side=side, order_qty=qty, price_p=price, **more)


def said(reports):
    return [(r.cl_ord_id, str(r.exec_type), r.last_qty, r.last_px_p) for r in reports]


def test_a_crossing_order_takes_the_displayed_price():
    sim = venue()
    show(sim, T)
    sim.place(order(price=10500), T)
    assert said(sim.advance(T)) == [("A", "new", 0, 0), ("A", "trade", 75, 10100)]
    assert sim.working() == ()


def test_partial_fill_by_displayed_size_and_each_quantity_once():
    sim = venue()
    show(sim, T, ask_qty=150)
    sim.place(order(qty=225), T)
    assert said(sim.advance(T)) == [("A", "new", 0, 0), ("A", "trade", 150, 10100)]
    sim.place(order("B"), T)
    assert said(sim.advance(T)) == [("B", "new", 0, 0)]
    show(sim, T + SECOND, ask_qty=150)
    assert sim.advance(T + SECOND) == [], "the same quote repeated is not new quantity"
    show(sim, T + 2 * SECOND, ask_qty=225)
    assert said(sim.advance(T + 2 * SECOND)) == [("A", "trade", 75, 10100), ("B", "trade", 75, 10100)]


def test_display_below_a_lot_fills_nothing_and_odd_rest_is_left():
    sim = venue()
    show(sim, T, ask_qty=74)
    sim.place(order(qty=150), T)
    assert said(sim.advance(T)) == [("A", "new", 0, 0)]
    show(sim, T + 1, ask_qty=149)
    assert said(sim.advance(T + 1)) == [("A", "trade", 75, 10100)]


def test_unknown_size_is_one_lot():
    sim = venue()
    show(sim, T, ask_qty=np.nan)
    sim.place(order(qty=150), T)
    assert said(sim.advance(T))[1:] == [("A", "trade", 75, 10100)]


@pytest.mark.parametrize("ask", [np.nan, 0.0, -5.0])
def test_no_offer_no_fill(ask):
    sim = venue()
    show(sim, T, ask=ask)
    sim.place(order(price=20000), T)
    assert said(sim.advance(T)) == [("A", "new", 0, 0)]


def test_a_resting_order_fills_at_its_limit_when_reached():
    sim = venue()
    show(sim, T)
    sim.place(order(price=10000), T)
    sim.advance(T)
    show(sim, T + SECOND, bid=97.0, ask=98.0)
    assert said(sim.advance(T + SECOND)) == [("A", "trade", 75, 10000)]


def test_a_taker_goes_on_taking_at_later_prices_within_its_limit():
    sim = venue()
    show(sim, T, ask_qty=75)
    sim.place(order(qty=225, price=10300), T)
    sim.advance(T)
    show(sim, T + SECOND, ask=102.0, ask_qty=75)
    assert said(sim.advance(T + SECOND)) == [("A", "trade", 75, 10200)]
    show(sim, T + 2 * SECOND, ask=104.0, ask_qty=75)
    assert sim.advance(T + 2 * SECOND) == []
    show(sim, T + 3 * SECOND, ask=102.0, ask_qty=75)
    assert said(sim.advance(T + 3 * SECOND)) == [("A", "trade", 75, 10300)], "it rested in between: its own limit"


def test_sells_mirror_buys():
    sim = venue()
    show(sim, T)
    sim.place(order(side=Side.SELL, price=9800), T)
    assert said(sim.advance(T))[1:] == [("A", "trade", 75, 9900)]
    sim.place(order("B", side=Side.SELL, price=10000), T)
    sim.advance(T)
    show(sim, T + 1, bid=100.5)
    assert said(sim.advance(T + 1)) == [("B", "trade", 75, 10000)]


def test_price_then_time_priority():
    sim = venue()
    show(sim, T, ask=105.0)
    for name, price in (("LOW", 10000), ("FIRST", 10050), ("SECOND", 10050)):
        sim.place(order(name, price=price), T)
    sim.advance(T)
    show(sim, T + 1, ask=100.0, ask_qty=225)
    assert [r.cl_ord_id for r in sim.advance(T + 1)] == ["FIRST", "SECOND", "LOW"]


def test_ioc_rest_is_canceled_at_once():
    sim = venue()
    show(sim, T, ask_qty=75)
    sim.place(order(qty=150, time_in_force=TimeInForce.IOC), T)
    assert said(sim.advance(T)) == [("A", "new", 0, 0), ("A", "trade", 75, 10100), ("A", "canceled", 0, 0)]


def test_market_needs_protection_and_is_a_limit_at_it():
    sim = venue()
    show(sim, T)
    sim.place(order("BARE", price=None, ord_type=OrdType.MARKET), T)
    sim.place(order("OK", price=12000, ord_type=OrdType.MARKET), T)
    reports = sim.advance(T)
    assert said(reports) == [("BARE", "rejected", 0, 0), ("OK", "new", 0, 0), ("OK", "trade", 75, 10100)]
    assert reports[0].text == "market order without protection"


def test_stop_limit_waits_for_the_last_price():
    sim = venue()
    show(sim, T)
    sim.place(order(price=11000, ord_type=OrdType.STOP_LIMIT, stop_px_p=10500), T)
    assert said(sim.advance(T)) == [("A", "new", 0, 0)]
    show(sim, T + 1, ask=106.0, ltp=104.95)
    assert sim.advance(T + 1) == []
    show(sim, T + 2, ask=106.0, ltp=105.0)
    assert said(sim.advance(T + 2)) == [("A", "new", 0, 0), ("A", "trade", 75, 10600)]


def test_a_stop_limit_gapped_through_rests_unfilled():
    sim = venue()
    show(sim, T)
    sim.place(order(price=10600, ord_type=OrdType.STOP_LIMIT, stop_px_p=10500), T)
    sim.advance(T)
    show(sim, T + 1, bid=119.0, ask=120.0, ltp=120.0)
    assert said(sim.advance(T + 1)) == [("A", "new", 0, 0)]
    assert sim.working() == ("A",)


REJECTED = {
    "lot": (order(qty=76), "multiple of the lot 75, was 76"),
    "zero": (order(qty=0), "multiple of the lot"),
    "freeze": (order(qty=1875), "freeze quantity 1800"),
    "tick": (order(price=10102), "tick 5 paise, was 10102"),
    "negative": (order(price=-5), "positive multiple"),
    "no price": (order(price=None), "needs a price"),
    "stop without": (order(ord_type=OrdType.STOP_LIMIT), "needs stop_px"),
    "sl-m": (order(ord_type=OrdType.STOP, stop_px_p=10500), "STOP_LIMIT"),
    "ioc stop": (
        order(ord_type=OrdType.STOP_LIMIT, stop_px_p=10500, time_in_force=TimeInForce.IOC),
        "must be DAY",
    ),
    "unlisted": (OrderRequest(cl_ord_id="A", symbol="NOPE", side=Side.BUY, order_qty=75, price_p=5), "NOPE"),
}


@pytest.mark.parametrize("case", list(REJECTED))
def test_rejections_say_why(case):
    request, words = REJECTED[case]
    sim = venue()
    show(sim, T)
    sim.place(request, T)
    (report,) = sim.advance(T)
    assert report.exec_type is ExecType.REJECTED
    assert words in report.text
    assert sim.working() == ()


def test_band_and_repeated_id_and_index_are_rejected():
    index = option(5, symbol="NIFTY", kind=Kind.INDEX, expiry=None, strike_p=None, option_type=None)
    sim = venue()
    sim.add([index])
    sim.band({CALL.symbol: (5000, 15000)})
    sim.place(order("HIGH", price=15005), T)
    sim.place(order("GOOD", price=9000), T)
    sim.place(order("GOOD", price=9000), T)
    sim.place(OrderRequest(cl_ord_id="I", symbol="NIFTY", side=Side.BUY, order_qty=75, price_p=5), T)
    texts = [r.text for r in sim.advance(T)]
    assert "outside the band" in texts[0]
    assert texts[1] == ""
    assert "used before" in texts[2]
    assert "is an index" in texts[3]


@pytest.mark.parametrize("at", [OPEN - 1, CLOSE, CLOSE + SECOND])
def test_outside_the_session_is_rejected(at):
    sim = venue()
    sim.place(order(), at)
    (report,) = sim.advance(at)
    assert report.text == "the market is closed"


def test_an_expired_contract_is_rejected():
    old = option(7, expiry=dt.date(2025, 8, 28))
    sim = venue()
    sim.add([old])
    sim.place(OrderRequest(cl_ord_id="A", symbol=old.symbol, side=Side.BUY, order_qty=75, price_p=5), T)
    assert "expired on 2025-08-28" in sim.advance(T)[0].text


def test_day_orders_expire_at_the_close():
    sim = venue()
    show(sim, T)
    sim.place(order(price=9000), T)
    sim.advance(T)
    assert sim.advance(CLOSE - 1) == []
    (report,) = sim.advance(CLOSE)
    assert (report.exec_type, report.ts_ns) == (ExecType.EXPIRED, CLOSE)


def test_modify_changes_price_and_may_cross():
    sim = venue()
    show(sim, T)
    sim.place(order(price=9500, qty=150), T)
    sim.modify(Modify(cl_ord_id="A", order_qty=75, price_p=10100), T)
    assert said(sim.advance(T)) == [("A", "new", 0, 0), ("A", "replaced", 0, 0), ("A", "trade", 75, 10100)]


def test_modify_loses_time_priority_when_it_asks_for_more():
    sim = venue()
    show(sim, T, ask=105.0)
    for name in ("A", "B", "C"):
        sim.place(order(name, price=10000, qty=150), T)
    sim.modify(Modify(cl_ord_id="A", order_qty=225), T)
    sim.modify(Modify(cl_ord_id="B", order_qty=75), T)
    sim.advance(T)
    show(sim, T + 1, ask=100.0, ask_qty=3000)
    assert [r.cl_ord_id for r in sim.advance(T + 1)] == ["B", "C", "A"]


def test_refused_modifies_and_cancels():
    sim = venue()
    show(sim, T, ask_qty=75)
    sim.place(order(qty=150), T)
    sim.modify(Modify(cl_ord_id="A", order_qty=75), T)
    sim.modify(Modify(cl_ord_id="A", order_qty=100), T)
    sim.modify(Modify(cl_ord_id="Z", order_qty=75), T)
    sim.cancel("Z", T)
    sim.cancel("A", T)
    sim.cancel("A", T)
    reports = sim.advance(T)
    assert [r.text for r in reports if r.exec_type is ExecType.CANCEL_REJECTED] == [
        "the order is not in the book",
        "the order is done and no longer in the book",
    ]
    kinds = [(r.cl_ord_id, str(r.exec_type)) for r in reports]
    assert kinds[2:] == [
        ("A", "replace_rejected"),
        ("A", "replace_rejected"),
        ("Z", "replace_rejected"),
        ("Z", "cancel_rejected"),
        ("A", "canceled"),
        ("A", "cancel_rejected"),
    ]


def test_latency_both_ways_and_the_quote_in_between():
    sim = venue(latency_ns=2 * SECOND)
    show(sim, T)
    sim.place(order(price=10500), T)
    assert sim.next_ns() == T + 2 * SECOND
    show(sim, T + SECOND, ask=103.0)
    show(sim, T + 3 * SECOND, ask=90.0)
    assert sim.advance(T + 4 * SECOND - 1) == []
    reports = sim.advance(T + 4 * SECOND)
    assert said(reports) == [("A", "new", 0, 0), ("A", "trade", 75, 10300)]
    assert {r.ts_ns for r in reports} == {T + 2 * SECOND}


def test_jitter_comes_from_the_seed():
    def times(seed):
        sim = venue(latency_ns=SECOND, jitter_ns=SECOND, seed=seed)
        for n in range(5):
            sim.place(order(f"O{n}", price=9000), T)
        return [r.recv_ns for r in sim.advance(T + 10 * SECOND)]

    assert times(1) == times(1)
    assert times(1) != times(2)
    assert all(T + 2 * SECOND <= t <= T + 4 * SECOND for t in times(3))


def test_ids_of_two_days_never_meet():
    def ids(day):
        sim = SimExchange([CALL])
        start = ist_ns(day, dt.time(9, 15))
        sim.open_session(start, start + 3600 * SECOND)
        sim.place(order(price=9000), start)
        return {i for r in sim.advance(start) for i in (r.exec_id, r.order_id)}

    assert not ids(DAY) & ids(dt.date(2025, 9, 1))
    assert ids(DAY) == ids(DAY)


@pytest.mark.parametrize("bad", [{"latency_ns": -1}, {"jitter_ns": -1}])
def test_negative_latency_is_refused(bad):
    with pytest.raises(BadData, match="must not be negative"):
        SimExchange(**bad)


def test_settings_are_checked():
    with pytest.raises(BadData, match="tokens must differ"):
        SimExchange([CALL, option(1, symbol="OTHER")])
    with pytest.raises(BadData, match="close after it opens"):
        SimExchange().open_session(5, 5)
    with pytest.raises(BadData, match="as long as the keys"):
        venue().on_quotes(T, [1, 2], [1.0], [1.0], [1.0], [1.0], [1.0])


QUOTES = st.tuples(st.integers(80, 120), st.integers(0, 400), st.integers(1, 8), st.integers(0, 400))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("quote"), QUOTES),
        st.tuples(st.just("order"), st.tuples(st.booleans(), st.integers(1, 5), st.integers(80, 128), st.booleans())),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
    ),
    max_size=30,
)


def play(steps, latency=0):
    """Run steps one second apart; gives every report with the quotes that were shown by then."""
    sim = venue(latency_ns=latency)
    now, number, seen = T, 0, []
    for verb, what in steps:
        now += SECOND
        if verb == "quote":
            bid, bid_qty, width, ask_qty = what
            show(sim, now, bid=float(bid), bid_qty=float(bid_qty), ask=float(bid + width), ask_qty=float(ask_qty))
        elif verb == "order":
            buy, lots, price, ioc = what
            number += 1
            sim.place(
                order(
                    f"O{number}",
                    Side.BUY if buy else Side.SELL,
                    75 * lots,
                    price * 100,
                    time_in_force=TimeInForce.IOC if ioc else TimeInForce.DAY,
                ),
                now,
            )
        else:
            sim.cancel(f"O{what}", now)
        seen += sim.advance(now)
    return seen + sim.advance(CLOSE + 10 * SECOND)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_fills_respect_limits_displays_and_quantities(steps):
    prices = {}
    number = 0
    for verb, what in steps:
        if verb == "order":
            number += 1
            prices[f"O{number}"] = (what[0], 75 * what[1], what[2] * 100)
    done: dict[str, int] = {}
    ended = set()
    for report in play(steps):
        if report.exec_type is ExecType.TRADE:
            buy, qty, limit = prices[report.cl_ord_id]
            assert report.cl_ord_id not in ended
            assert report.last_px_p <= limit if buy else report.last_px_p >= limit
            assert report.last_qty % 75 == 0
            done[report.cl_ord_id] = done.get(report.cl_ord_id, 0) + report.last_qty
            assert done[report.cl_ord_id] <= qty
        elif report.exec_type in (ExecType.CANCELED, ExecType.EXPIRED, ExecType.REJECTED):
            ended.add(report.cl_ord_id)
    filled = {name for name, qty in done.items() if qty == prices[name][1]}
    assert ended | filled == set(prices)
    assert not ended & filled
    shown = sum(w[1] + w[3] for v, w in steps if v == "quote")
    assert sum(done.values()) <= shown


@settings(max_examples=40, deadline=None)
@given(STEPS, st.integers(0, 30), st.sampled_from([0, 300_000_000, 5 * SECOND]))
def test_the_future_changes_nothing_that_was_reported(steps, cut, latency):
    until = T + cut * SECOND
    whole = [r for r in play(steps, latency) if r.recv_ns <= until]
    part = [r for r in play(steps[:cut], latency) if r.recv_ns <= until]
    assert whole == part


def test_a_snapshot_of_1500_contracts_is_fast():
    sim = SimExchange([option(n) for n in range(1, 1501)])
    sim.open_session(OPEN, CLOSE)
    keys = np.arange(1, 1501)
    column = np.full(1500, 100.0)
    sim.on_quotes(T, keys, column, column, column + 1, column, column)
    for n in range(1, 21):
        sim.place(
            OrderRequest(cl_ord_id=f"R{n}", symbol=option(n).symbol, side=Side.BUY, order_qty=75, price_p=9000), T
        )
    sim.advance(T)
    best = min(timed(sim, T + SECOND * n, keys, column) for n in range(1, 20))
    assert best < 0.005, f"a snapshot took {best * 1e3:.3f} ms"


def timed(sim, at, keys, column):
    start = time.perf_counter()
    sim.on_quotes(at, keys, column, column, column + 1, column, column)
    sim.advance(at)
    return time.perf_counter() - start


def kinds(sim, at):
    return [(r.cl_ord_id, r.exec_type) for r in sim.advance(at)]


def test_a_halt_refuses_new_orders_and_rests_working_ones():
    sim = venue()
    show(sim, T)
    sim.place(order("A", price=9900), T)
    sim.advance(T)
    sim.halt([CALL.symbol])
    show(sim, T + SECOND, bid=97.0, ask=98.0)
    assert kinds(sim, T + SECOND) == []
    sim.place(order("B", price=10100), T + SECOND)
    (report,) = sim.advance(T + SECOND)
    assert report.exec_type is ExecType.REJECTED
    assert "is halted" in report.text


def test_cancels_pass_during_a_halt():
    sim = venue()
    show(sim, T)
    sim.place(order("A", price=9900), T)
    sim.advance(T)
    sim.halt()
    sim.cancel("A", T + SECOND)
    assert kinds(sim, T + SECOND) == [("A", ExecType.CANCELED)]


def test_after_a_halt_orders_meet_the_next_quote():
    sim = venue()
    show(sim, T)
    sim.place(order("A", price=9900), T)
    sim.advance(T)
    sim.halt()
    show(sim, T + SECOND, bid=97.0, ask=98.0)
    sim.resume([CALL.symbol])
    show(sim, T + 2 * SECOND, bid=97.0, ask=98.5)
    (fill,) = sim.advance(T + 2 * SECOND)
    assert (fill.exec_type, fill.last_px_p) == (ExecType.TRADE, 9900)


def test_a_halt_of_one_contract_leaves_the_others():
    sim = venue()
    show(sim, T, token=9, bid=24500.0, ask=24501.0, ltp=24500.0)
    sim.halt([CALL.symbol])
    sim.place(msgspec.structs.replace(order("A", price=2450100), symbol=FUTURE.symbol), T)
    assert kinds(sim, T) == [("A", ExecType.NEW), ("A", ExecType.TRADE)]


EXPIRY = dt.date(2025, 9, 2)
EXPIRY_CLOSE = ist_ns(EXPIRY, dt.time(15, 30))


def on_expiry(*contracts):
    sim = SimExchange(contracts)
    sim.open_session(ist_ns(EXPIRY, dt.time(9, 15)), EXPIRY_CLOSE)
    return sim


@pytest.mark.parametrize(
    ("right", "final", "worth"),
    [
        (OptionType.CE, 2450000, 5000),
        (OptionType.CE, 2445000, 0),
        (OptionType.CE, 2400000, 0),
        (OptionType.PE, 2400000, 45000),
        (OptionType.PE, 2450000, 0),
        (OptionType.PE, 2444995, 5),
    ],
)
def test_an_option_settles_at_its_intrinsic_value(right, final, worth):
    contract = option(option_type=right)
    assert on_expiry(contract).settle({"NIFTY": final}, EXPIRY_CLOSE) == {contract.symbol: worth}


def test_a_future_settles_at_the_final_value():
    future = option(8, kind=Kind.FUTURE, strike_p=None, option_type=None)
    assert on_expiry(future).settle({"NIFTY": 2451235}, EXPIRY_CLOSE) == {future.symbol: 2451235}


def test_only_what_expires_today_and_has_a_final_value_settles():
    sim = on_expiry(CALL, FUTURE)
    assert sim.settle({}, EXPIRY_CLOSE) == {}
    assert sim.settle({"NIFTY": 2450000}, EXPIRY_CLOSE) == {CALL.symbol: 5000}
    assert sim.settle({"NIFTY": 2450000}, EXPIRY_CLOSE) == {}


def test_a_settled_contract_is_off_the_list_and_its_orders_are_gone():
    sim = on_expiry(CALL)
    at = EXPIRY_CLOSE - SECOND
    show(sim, at)
    sim.place(order("A", price=9000), at)
    sim.advance(at)
    sim.settle({"NIFTY": 2450000}, at)
    assert kinds(sim, at) == [("A", ExecType.EXPIRED)]
    assert sim.working() == ()
    sim.place(order("B", price=9000), at)
    (report,) = sim.advance(at)
    assert "no contract" in report.text


def test_a_quote_of_another_contract_trades_nothing_here():
    sim = venue()
    show(sim, T, ask_qty=75)
    sim.place(order(qty=150, price=10100), T)
    assert [r.last_qty for r in sim.advance(T)] == [0, 75]
    show(sim, T + SECOND, token=9, bid=100.0, ask=100.5, ltp=100.0)
    assert sim.advance(T + SECOND) == []
    show(sim, T + 2 * SECOND, ask_qty=150)
    assert [r.last_qty for r in sim.advance(T + 2 * SECOND)] == [75]
    assert sim.working() == ()
