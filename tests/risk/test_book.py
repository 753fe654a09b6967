"""The book behind the checks: incremental sums equal the sums over the orders."""

from __future__ import annotations

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.calendar import ist_ns
from toolkit.market.quotes import Quote
from toolkit.orders.lifecycle import apply, begin
from toolkit.risk.book import RiskBook, intent_key
from toolkit.risk.margin import default_params
from toolkit.types import ExecType, ExecutionReport, Instrument, Kind, OptionType, OrderRequest, Side

SECOND = 10**9
NOW = ist_ns(dt.date(2025, 8, 29), dt.time(10))


def contract(symbol, token, **more):
    fields = {
        "instrument_id": token, "symbol": symbol, "exchange": "NSE", "segment": "NFO", "underlying": "NIFTY",
        "kind": Kind.OPTION, "lot": 75, "tick_p": 5, "expiry": dt.date(2025, 9, 2), "strike_p": 2_450_000,
        "option_type": OptionType.PE, "token": token,
    }  # fmt: skip
    return Instrument(**{**fields, **more})


PUT = contract("P", 1)
FUT = contract("F", 2, kind=Kind.FUTURE, option_type=None, strike_p=None)


def request(n, side=Side.BUY, qty=75, price=1000, symbol="P"):
    return OrderRequest(cl_ord_id=f"A{n}", symbol=symbol, side=side, order_qty=qty, price_p=price)


def report(order, kind, n=0, **more):
    return ExecutionReport(
        cl_ord_id=order.cl_ord_id, exec_id=f"{order.cl_ord_id}-{n}", exec_type=kind, ts_ns=n, recv_ns=n, **more
    )


def test_positions_cash_and_exposure_follow_an_order():
    book = RiskBook([PUT])
    placed = begin(request(1, qty=150), 0)
    book.on_order(None, placed)
    assert (book.open_qty("P", Side.BUY), book.open_value_p, book.net) == (150, 150_000, {})
    part, _ = apply(placed, report(placed, ExecType.TRADE, 1, last_qty=75, last_px_p=990))
    book.on_order(placed, part)
    assert (book.open_qty("P", Side.BUY), book.open_value_p, book.net) == (75, 75_000, {"P": 75})
    assert book.cash_p == -75 * 990
    done, _ = apply(part, report(part, ExecType.CANCELED, 2))
    book.on_order(part, done)
    assert (book.open_qty("P", Side.BUY), book.open_value_p, book.resting) == (0, 0, {})


def test_messages_slide_by_exchange():
    book = RiskBook()
    book.on_message(NOW, "NSE", "A")
    book.on_message(NOW + SECOND // 2, "NSE", "A")
    assert book.messages(NOW + SECOND - 1, "NSE") == 2
    assert book.messages(NOW + SECOND, "NSE") == 1
    assert book.messages(NOW, "BSE") == 0


def test_a_message_keeps_its_place_until_a_second_after_its_answer():
    book = RiskBook()
    book.answered = True
    for name in ("A", "A", "B"):
        book.on_message(NOW, "NSE", name)
    assert book.messages(NOW + 5 * SECOND, "NSE") == 3
    book.on_answer(NOW + 5 * SECOND, "NSE", "A")
    assert book.messages(NOW + 6 * SECOND - 1, "NSE") == 3
    assert book.messages(NOW + 6 * SECOND, "NSE") == 2
    book.on_answer(NOW + 6 * SECOND, "NSE", "C")  # never sent: no place of another is given up
    assert book.messages(NOW + 7 * SECOND, "NSE") == 2
    assert book.messages(NOW + 60 * SECOND, "NSE") == 0  # an answer that never comes blocks nobody for ever


def test_repeats_are_remembered_for_a_minute():
    book = RiskBook()
    book.on_intent(NOW, request(1))
    book.on_intent(NOW + 5, request(2))
    assert book.repeated_ns(request(3)) == NOW + 5
    assert book.repeated_ns(request(3, price=1005)) is None
    book.on_intent(NOW + 61 * SECOND, request(4, price=1005))
    assert book.repeated_ns(request(3)) is None
    assert intent_key(request(1)) == intent_key(request(2))


@pytest.mark.parametrize(
    ("net", "side", "qty", "reduces"),
    [
        (150, Side.SELL, 150, True),
        (150, Side.SELL, 225, False),
        (150, Side.BUY, 75, False),
        (-75, Side.BUY, 75, True),
        (0, Side.BUY, 75, False),
    ],
)
def test_what_reduces(net, side, qty, reduces):
    book = RiskBook([PUT])
    book.carry("P", net, 0)
    assert book.reduces("P", side, qty) is reduces


def test_marks():
    book = RiskBook([PUT])
    assert math.isnan(book.mark(PUT))
    book.quotes.set(1, Quote(NOW, 990, 1, 1010, 1, 5))
    assert book.mark(PUT) == 10.0
    book.quotes.set(1, Quote(NOW, None, 1, 1010, 1, 995))
    assert book.mark(PUT) == 9.95
    book.quotes.set(1, Quote(NOW, None, 1, 1010, 1))
    assert math.isnan(book.mark(PUT))


def test_futures_are_marked_to_market_and_option_premium_is_cash():
    book = RiskBook([PUT, FUT])
    book.carry("F", 75, -75 * 2_450_000)
    book.quotes.set(2, Quote(NOW, 2_451_000, 1, 2_451_000, 1, 2_451_000))
    assert book.cash_and_marks_p() == 75 * 1000
    book.quotes.set(2, Quote(NOW))
    book.span["NIFTY"] = default_params(24_490.0, 0.12)
    assert book.cash_and_marks_p() == -75 * 1000, "without a quote the spot of the margin parameters marks it"
    option = RiskBook([PUT])
    option.carry("P", -75, 75 * 1000)
    assert option.cash_and_marks_p() == 75 * 1000


def test_legs_are_the_worst_case():
    book = RiskBook([PUT, FUT])
    book.carry("P", -75, 0)
    book.on_order(None, begin(request(1, Side.SELL, 150), 0))
    book.on_order(None, begin(request(2, Side.BUY, 75, 900), 0))
    book.on_order(None, begin(request(3, Side.BUY, 225, 2_450_000, "F"), 0))
    sells = {leg.cp: leg.qty for leg in book.legs("NIFTY", NOW, None, buys=False)}
    buys = {leg.cp: leg.qty for leg in book.legs("NIFTY", NOW, None, buys=True)}
    assert sells == {-1: -225}
    assert buys == {-1: -225, 0: 225}
    extra = book.legs("NIFTY", NOW, ("P", Side.SELL, 75), buys=False)
    assert [leg.qty for leg in extra] == [-300]
    assert extra[0].tte == pytest.approx(5 / 365)
    assert book.legs("SENSEX", NOW, None, buys=True) == []


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from(["new", "trade", "cancel", "replace", "unknown", "reject", "bust"]),
        st.integers(1, 3),
        st.integers(900, 1100),
    ),
    max_size=30,
)


@given(EVENTS)
def test_running_sums_equal_the_sums_over_all_orders(events):
    book = RiskBook([PUT])
    orders = {}
    for n in range(5):
        orders[n] = begin(request(n, Side.BUY if n % 2 else Side.SELL, 225, 950 + 10 * n), 0)
        book.on_order(None, orders[n])
    for ts, (n, what, lots, px) in enumerate(events, 1):
        before = orders[n]
        kind = {"cancel": ExecType.CANCELED, "replace": ExecType.REPLACED, "reject": ExecType.REJECTED}.get(what)
        if what == "trade":
            news = report(before, ExecType.TRADE, ts, last_qty=75 * lots, last_px_p=px)
        elif what == "bust":
            ref = before.execs[0][0] if before.execs else "none"
            news = report(before, ExecType.TRADE_CANCEL, ts, exec_ref_id=ref)
        elif what == "replace":
            news = report(before, ExecType.REPLACED, ts, order_qty=75 * lots, price_p=px)
        else:
            news = report(before, kind or ExecType(what), ts)
        orders[n], _ = apply(before, news)
        book.on_order(before, orders[n])
    live = [o for o in orders.values() if o.is_open]
    net = sum(o.request.side.sign * o.cum_qty for o in orders.values())
    assert book.net == ({"P": net} if net else {})
    assert book.cash_p == -sum(o.request.side.sign * o.traded_value_p for o in orders.values())
    assert book.open_value_p == sum(o.leaves_qty * o.request.price_p for o in live)
    for side in Side:
        assert book.open_qty("P", side) == sum(o.leaves_qty for o in live if o.request.side is side)


def test_a_shares_option_asks_for_delivery_margin_by_trading_days():
    from toolkit import tables
    from toolkit.risk.margin import span_margin

    expiry, wednesday = dt.date(2026, 7, 28), dt.date(2026, 7, 22)  # four sessions, six days
    call = contract("C", 3, underlying="RELIANCE", expiry=expiry, strike_p=100_000, option_type=OptionType.CE)
    far = contract("FAR", 4, expiry=dt.date(2026, 9, 29))
    book = RiskBook([call, far])
    params = default_params(1100.0, 0.25, stock=True)
    before = span_margin([book.leg(call, 500, ist_ns(wednesday))], params)
    calendars = {name: tables.calendar(name) for name in ("NSE", "BSE")}
    book.count_sessions(wednesday, calendars)
    assert book.sessions_left == {("NSE", expiry): 4}
    after = span_margin([book.leg(call, 500, ist_ns(wednesday))], params)
    assert (before.delivery, after.delivery) == (0.0, pytest.approx(0.10 * (params.price_scan / 1100.0) * 1000.0 * 500))
    book.count_sessions(expiry, calendars)
    assert book.sessions_left == {("NSE", expiry): 0}
    book.count_sessions(dt.date(2080, 1, 1), calendars)  # past the calendar: nothing is known
    assert book.sessions_left == {}
