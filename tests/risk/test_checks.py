"""Pre-trade checks: at the limit passes, one beyond is denied with rule, limit and value."""

from __future__ import annotations

import datetime as dt
import math

import msgspec
import pytest

import toolkit as tk
from toolkit.calendar import ist_ns
from toolkit.market.quotes import Quote
from toolkit.orders.lifecycle import apply, begin
from toolkit.risk.book import RiskBook
from toolkit.risk.checks import RULES, check, collar_p, protect
from toolkit.risk.limits import Limits, TradingState
from toolkit.risk.margin import default_params, span_margin
from toolkit.types import (
    ExecType,
    ExecutionReport,
    Instrument,
    Kind,
    OptionType,
    OrderRequest,
    OrdType,
    Side,
)

DAY = dt.date(2025, 8, 29)
OPEN, CLOSE = ist_ns(DAY, dt.time(9, 15)), ist_ns(DAY, dt.time(15, 30))
NOW = OPEN + 3600 * 10**9
CALL, FUT = "NIFTY 02SEP2025 24500 CE", "NIFTY 30SEP2025 FUT"
FREE = Limits(check_margin=False, duplicate_window_s=0.0, max_messages_per_s=10**6)


def contract(symbol, token, **more):
    fields = {
        "instrument_id": token, "symbol": symbol, "exchange": "NSE", "segment": "NFO", "underlying": "NIFTY",
        "kind": Kind.OPTION, "lot": 75, "tick_p": 5, "expiry": dt.date(2025, 9, 2), "strike_p": 2_450_000,
        "option_type": OptionType.CE, "token": token, "freeze_qty": 1800,
    }  # fmt: skip
    return Instrument(**{**fields, **more})


def make_book(ltp=10000):
    call = contract(CALL, 1)
    future = contract(FUT, 2, kind=Kind.FUTURE, option_type=None, strike_p=None, tick_p=10, expiry=dt.date(2025, 9, 30))
    old = contract("NIFTY 28AUG2025 24500 CE", 3, expiry=dt.date(2025, 8, 28))
    index = contract("NIFTY", 4, kind=Kind.INDEX, expiry=None, strike_p=None, option_type=None)
    book = RiskBook([call, future, old, index])
    book.session = (OPEN, CLOSE)
    book.funds_p = 10**12
    book.span["NIFTY"] = default_params(24500.0, 0.12)
    book.quotes.set(1, Quote(NOW, ltp - 50, 750, ltp + 50, 750, ltp))
    book.quotes.set(2, Quote(NOW, 2_449_900, 750, 2_450_100, 750, 2_450_000))
    book.quotes.set(3, Quote(NOW, 100, 75, 200, 75, 150))
    book.quotes.set(4, Quote(NOW, ltp_p=2_450_000))
    return book


def order(**more):
    fields = {"cl_ord_id": "A", "symbol": CALL, "side": Side.BUY, "order_qty": 75, "price_p": 10000}
    return OrderRequest(**{**fields, **more})


def rules(request, book=None, limits=FREE, now=NOW, **more):
    return [d.rule for d in check(request, make_book() if book is None else book, limits, now, **more)]


def rest(book, request, cum=0):
    placed = begin(request, NOW)
    book.on_order(None, placed)
    if cum:
        trade = ExecutionReport(
            cl_ord_id=request.cl_ord_id, exec_id=f"E{request.cl_ord_id}", exec_type=ExecType.TRADE, ts_ns=NOW,
            recv_ns=NOW, last_qty=cum, last_px_p=request.price_p,
        )  # fmt: skip
        after, _ = apply(placed, trade)
        book.on_order(placed, after)
        return after
    return placed


def hold(book, symbol, net):
    book.carry(symbol, net, book.cash_p)


def test_a_plain_order_passes_under_the_defaults():
    assert tk.risk.check(order(), make_book(), tk.risk.Limits(), NOW) == ()


def test_all_reasons_at_once():
    book = make_book()
    book.state = TradingState.HALTED
    found = check(order(order_qty=76, price_p=99_999), book, msgspec.structs.replace(FREE, max_order_lots=1), CLOSE)
    assert [d.rule for d in found] == ["halted", "session", "lot", "max_order_lots", "tick", "quote"]
    assert all(d.text and "\n" not in d.text for d in found)


# rule, limits, what sets the scene, what passes at the limit, what is denied beyond it
LADDER = {
    "lot": ({}, None, {"order_qty": 150}, {"order_qty": 151}),
    "freeze": ({"max_order_lots": 99}, None, {"order_qty": 1800}, {"order_qty": 1875}),
    "max_order_lots": ({"max_order_lots": 3}, None, {"order_qty": 225}, {"order_qty": 300}),
    "tick": ({}, None, {"price_p": 10005}, {"price_p": 10006}),
    "max_order_value": (
        {"max_order_value_p": 1_500_000},
        None,
        {"order_qty": 150},
        {"order_qty": 150, "price_p": 10005},
    ),
    "collar": ({}, None, {"price_p": 14000}, {"price_p": 14005}),
    "max_net_lots": ({"max_net_lots": 4}, lambda b: hold(b, CALL, 150), {"order_qty": 150}, {"order_qty": 225}),
    "max_open_value": (
        {"max_open_value_p": 1_500_000},
        lambda b: rest(b, order(cl_ord_id="R", price_p=9000)),
        {"price_p": 11000},
        {"price_p": 11005},
    ),
}


@pytest.mark.parametrize("rule", list(LADDER))
def test_at_the_limit_passes_beyond_is_denied(rule):
    changes, scene, at, beyond = LADDER[rule]
    limits = msgspec.structs.replace(FREE, **changes)
    book = make_book()
    if scene is not None:
        scene(book)
    assert rules(order(**at), book, limits) == []
    (denial,) = check(order(**beyond), book, limits, NOW)
    assert denial.rule == rule
    assert denial.limit != denial.value
    assert str(denial.text)


@pytest.mark.parametrize(
    ("ltp", "low", "high"), [(10000, 6000, 14000), (5000, 3000, 7000), (4995, 2995, 6995), (1000, 0, 3000)]
)
def test_option_collar(ltp, low, high):
    book = make_book(ltp)
    assert collar_p(book.instruments[CALL], book.quote(book.instruments[CALL]), FREE) == (low, high)
    assert rules(order(price_p=high), book) == []
    assert rules(order(price_p=high + 5), book) == ["collar"]
    if low:
        assert rules(order(price_p=low), book) == []
        assert rules(order(price_p=low - 5), book) == ["collar"]


def test_future_collar_is_three_percent():
    room = 2_450_000 * 3 // 100
    assert rules(order(symbol=FUT, price_p=2_450_000 + room)) == []
    assert rules(order(symbol=FUT, price_p=2_450_000 + room + 10)) == ["collar"]


def test_a_stop_is_on_the_tick_and_its_limit_inside_the_collar_around_its_trigger():
    stop = {"ord_type": OrdType.STOP_LIMIT, "price_p": 13500}
    assert rules(order(stop_px_p=13000, **stop)) == []
    assert rules(order(stop_px_p=13001, **stop)) == ["tick"]
    assert rules(order(stop_px_p=20000, price_p=28000, ord_type=OrdType.STOP_LIMIT)) == []
    assert rules(order(stop_px_p=20000, price_p=28005, ord_type=OrdType.STOP_LIMIT)) == ["collar"]
    assert rules(order(stop_px_p=4000, price_p=2000, side=Side.SELL, ord_type=OrdType.STOP_LIMIT)) == []
    assert rules(order(stop_px_p=4000, price_p=1995, side=Side.SELL, ord_type=OrdType.STOP_LIMIT)) == ["collar"]
    assert rules(order(**stop)) == ["stop_px"]
    assert rules(order(stop_px_p=9000)) == ["stop_px"]
    assert rules(order(ord_type=OrdType.STOP, stop_px_p=9000)) == ["stop_px"]


@pytest.mark.parametrize(("side", "right", "wrong"), [(Side.BUY, 10005, 10000), (Side.SELL, 9995, 10000)])
def test_a_stop_triggers_on_its_own_side_of_the_last_price(side, right, wrong):
    stop = {"ord_type": OrdType.STOP_LIMIT, "side": side, "price_p": 10000}
    assert rules(order(stop_px_p=right, **stop)) == []
    (denial,) = check(order(stop_px_p=wrong, **stop), make_book(), FREE, NOW)
    assert (denial.rule, denial.limit, denial.value) == ("stop_px", 10000, wrong)
    assert "last price 100.00, was 100.00" in denial.text


def test_a_stop_that_the_market_has_reached_is_changed_like_a_limit():
    book, stop = make_book(), {"ord_type": OrdType.STOP_LIMIT, "side": Side.SELL, "stop_px_p": 11000}
    placed = begin(order(price_p=10500, **stop), NOW)
    book.on_order(None, placed)
    assert rules(order(price_p=9000, **stop), book, replaces=placed) == []
    assert rules(order(price_p=5995, **stop), book, replaces=placed) == ["collar"]


def test_a_stop_rests_at_its_limit_only_once_it_was_reached():
    book = make_book()
    stop = order(cl_ord_id="S", side=Side.SELL, price_p=6500, stop_px_p=7000, ord_type=OrdType.STOP_LIMIT)
    book.on_order(None, begin(stop, NOW))
    assert rules(order(price_p=8000), book) == []
    book.quotes.set(book.instruments[CALL].token, Quote(NOW, 6950, 750, 7050, 750, 7000))
    (denial,) = check(order(price_p=6500), book, FREE, NOW)
    assert (denial.rule, denial.limit, denial.value) == ("self_match", 6500, 6500)


def test_a_stop_may_be_placed_beside_an_own_order_that_it_would_meet_only_later():
    book = make_book()
    book.on_order(None, begin(order(cl_ord_id="B", price_p=8000), NOW))
    assert rules(order(side=Side.SELL, price_p=6500, stop_px_p=7000, ord_type=OrdType.STOP_LIMIT), book) == []
    assert rules(order(side=Side.SELL, price_p=6500), book) == ["self_match"]


@pytest.mark.parametrize("qty", [0, -75, 10**18, 10**30, math.nan, math.inf, -math.inf, 75.0, True, None, "75"])
def test_senseless_quantities(qty):
    assert "quantity" in rules(order(order_qty=qty))


@pytest.mark.parametrize("price", [0, -5, 10**18, math.nan, math.inf, 100.0, None, "x"])
def test_senseless_prices(price):
    assert "price" in rules(order(price_p=price))


def test_the_order_of_17_lakh_units_is_stopped():
    found = check(order(order_qty=1_700_000 // 75 * 75), make_book(), Limits(), NOW)
    assert {"freeze", "max_order_lots", "max_order_value", "max_net_lots"} <= {d.rule for d in found}


@pytest.mark.parametrize("symbol", ["NOPE", "", None, 5, "NIFTY"])
def test_unknown_symbols_and_indexes(symbol):
    assert rules(order(symbol=symbol))[0] == "symbol"


def test_expired_contract_and_expiry_day_itself():
    assert "expired" in rules(order(symbol="NIFTY 28AUG2025 24500 CE", price_p=150))
    last = ist_ns(dt.date(2025, 9, 2), dt.time(15, 0))
    book = make_book()
    book.session = (last - 1, last + 1)
    book.quotes.set(1, Quote(last, 9950, 75, 10050, 75, 10000))
    assert rules(order(), book, now=last) == []


@pytest.mark.parametrize(
    ("now", "wanted"), [(OPEN, []), (OPEN - 1, ["session"]), (CLOSE - 1, []), (CLOSE, ["session"])]
)
def test_session_edges(now, wanted):
    book = make_book()
    book.quotes.set(1, Quote(now, 9950, 75, 10050, 75, 10000))
    assert rules(order(), book, now=now) == wanted


def test_unknown_session_denies():
    book = make_book()
    book.session = None
    assert rules(order(), book) == ["session"]


def test_quote_age():
    old = int(FREE.max_quote_age_s * 1e9)
    assert rules(order(), now=NOW + old) == []
    assert rules(order(), now=NOW + old + 1) == ["quote"]
    assert rules(order(), now=NOW - 1) == ["quote"], "a quote from the future is not known yet"


@pytest.mark.parametrize("quote", [None, Quote(NOW), Quote(NOW, bid_p=10000)])
def test_missing_quotes(quote):
    book = make_book()
    book.quotes.set(1, Quote(NOW) if quote is None else quote)
    assert rules(order(), book) == ["quote"]


def test_allow_list():
    assert rules(order(), limits=msgspec.structs.replace(FREE, allowed_underlyings=("NIFTY",))) == []
    assert rules(order(), limits=msgspec.structs.replace(FREE, allowed_underlyings=("SENSEX",))) == ["allowed"]


def test_duplicates_within_the_window():
    limits = msgspec.structs.replace(FREE, duplicate_window_s=2.0)
    book = make_book()
    book.on_intent(NOW, order())
    assert rules(order(cl_ord_id="B"), book, limits, NOW + 1) == ["duplicate"]
    assert rules(order(cl_ord_id="B"), book, limits, NOW + 2 * 10**9) == []
    assert rules(order(cl_ord_id="B", price_p=10005), book, limits, NOW + 1) == []
    assert rules(order(cl_ord_id="B", side=Side.SELL), book, limits, NOW + 1) == []


def test_self_match():
    book = make_book()
    rest(book, order(cl_ord_id="R", side=Side.SELL, price_p=10100))
    assert rules(order(price_p=10095), book) == []
    assert rules(order(price_p=10100), book) == ["self_match"]
    assert rules(order(side=Side.SELL, price_p=9000), book) == []


def test_message_rate_slides():
    limits = msgspec.structs.replace(FREE, max_messages_per_s=8)
    book = make_book()
    for n in range(7):
        book.on_message(NOW + n, "NSE", "A")
    assert rules(order(), book, limits, NOW + 10) == []
    book.on_message(NOW + 8, "NSE", "A")
    assert rules(order(), book, limits, NOW + 10) == ["message_rate"]
    assert rules(order(exchange="BSE"), book, limits, NOW + 10) == []
    assert rules(order(), book, limits, NOW + 10**9) == []


def test_slices_count_as_messages_and_free_the_freeze_quantity():
    limits = msgspec.structs.replace(FREE, max_order_lots=999, max_net_lots=9999, max_slices=3)
    assert rules(order(order_qty=5400), limits=limits, messages=3) == []
    assert rules(order(order_qty=5400), limits=limits, messages=4) == ["max_slices"]


def test_net_position_counts_open_orders_on_its_side_and_allows_closing():
    limits = msgspec.structs.replace(FREE, max_net_lots=2)
    book = make_book()
    rest(book, order(cl_ord_id="R", order_qty=75, price_p=9000))
    assert rules(order(), book, limits) == []
    assert rules(order(order_qty=150), book, limits) == ["max_net_lots"]
    hold(book, CALL, -600)
    assert rules(order(order_qty=450), book, limits) == [], "buying back a too large short is allowed"
    assert rules(order(side=Side.SELL), book, limits) == ["max_net_lots"]


def test_a_modification_counts_itself_once():
    limits = msgspec.structs.replace(FREE, max_net_lots=2, max_open_value_p=150 * 10000)
    book = make_book()
    resting = rest(book, order(cl_ord_id="R", order_qty=150), cum=75)
    assert book.net == {CALL: 75}
    larger = msgspec.structs.replace(resting.request, order_qty=225)
    assert rules(msgspec.structs.replace(resting.request, price_p=10500), book, limits, replaces=resting) == []
    assert rules(larger, book, limits, replaces=resting) == ["max_net_lots"]


def test_states():
    book = make_book()
    hold(book, CALL, -150)
    book.state = TradingState.REDUCING
    assert rules(order(order_qty=150), book) == []
    assert rules(order(order_qty=225), book) == ["reducing"]
    assert rules(order(side=Side.SELL), book) == ["reducing"]
    rest(book, order(cl_ord_id="R", order_qty=75, price_p=9000))
    assert rules(order(order_qty=150), book) == ["reducing"]
    book.state = TradingState.HALTED
    assert rules(order(), book) == ["halted"]


def test_margin_at_the_limit():
    limits = msgspec.structs.replace(FREE, check_margin=True)
    book = make_book()
    sell = order(side=Side.SELL)
    leg = book.leg(book.instruments[CALL], -75, NOW)
    need = round(span_margin([leg], book.span).total * 100)
    book.funds_p = need
    assert rules(sell, book, limits) == []
    book.funds_p = need - 1
    (denial,) = check(sell, book, limits, NOW)
    assert (denial.rule, denial.limit, denial.value) == ("margin", need - 1, need)


def test_margin_premium_is_paid_in_cash():
    limits = msgspec.structs.replace(FREE, check_margin=True)
    book = make_book()
    book.funds_p = 75 * 10000
    assert rules(order(), book, limits) == []
    book.funds_p -= 1
    assert rules(order(), book, limits) == ["margin"]


def test_unknown_funds_or_parameters_deny_and_closing_is_always_allowed():
    limits = msgspec.structs.replace(FREE, check_margin=True)
    book = make_book()
    book.funds_p = None
    assert rules(order(), book, limits) == ["margin"]
    book.funds_p = 10**12
    book.span.clear()
    assert rules(order(), book, limits) == ["margin"]
    hold(book, CALL, -75)
    assert rules(order(), book, limits) == []


def test_a_held_contract_without_terms_denies_what_needs_margin():
    book = make_book()
    hold(book, "NIFTY 21AUG2025 24500 CE", 75)
    (denial,) = check(order(), book, msgspec.structs.replace(FREE, check_margin=True), NOW)
    assert denial.rule == "margin"
    assert "NIFTY 21AUG2025 24500 CE" in denial.text


def test_open_sells_count_in_the_margin_and_open_buys_give_no_benefit():
    limits = msgspec.structs.replace(FREE, check_margin=True)
    book = make_book()
    one = round(span_margin([book.leg(book.instruments[CALL], -75, NOW)], book.span).total * 100)
    book.funds_p = one * 3 // 2
    rest(book, order(cl_ord_id="R", side=Side.SELL, price_p=11000))
    assert rules(order(side=Side.SELL), book, limits) == ["margin"]


def test_protection_lies_through_the_far_touch_inside_the_collar_on_the_tick():
    book = make_book()
    assert protect(order(ord_type=OrdType.MARKET, price_p=None), book, FREE, NOW) == 12060
    assert protect(order(side=Side.SELL, ord_type=OrdType.MARKET, price_p=None), book, FREE, NOW) == 7960
    cheap = make_book(1000)
    assert protect(order(ord_type=OrdType.MARKET, price_p=None), cheap, FREE, NOW) == 2050
    assert protect(order(side=Side.SELL, ord_type=OrdType.MARKET, price_p=None), cheap, FREE, NOW) == 5
    assert protect(order(symbol=FUT, ord_type=OrdType.MARKET, price_p=None), book, FREE, NOW) == 2_474_600
    assert protect(order(symbol="NOPE"), book, FREE, NOW) is None


@pytest.mark.parametrize("quote", [Quote(NOW, None, 75, 10050, 75, 10000), Quote(NOW, 10100, 75, 10050, 75, 10000)])
def test_no_protection_without_a_two_sided_quote(quote):
    book = make_book()
    book.quotes.set(1, quote)
    bare = order(ord_type=OrdType.MARKET, price_p=None)
    assert protect(bare, book, FREE, NOW) is None
    assert rules(bare, book) == ["quote"]


def test_every_rule_has_one_place():
    assert len(set(RULES)) == len(RULES)
