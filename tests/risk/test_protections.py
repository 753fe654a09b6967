"""Protections: what each locks or denies, at its edge, and what it lets pass."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.calendar import ist_ns
from toolkit.risk.guards import Facts
from toolkit.risk.limits import TradingState
from toolkit.risk.rulefile import parse
from toolkit.risk.rules import RuleBook
from toolkit.types import ExecType, OrdType, Side

DAY = dt.date(2025, 9, 2)
MINUTE = 60 * 10**9
LOT = 75
CALL, PUT, LATER = "NIFTY 02SEP2025 24500 CE", "NIFTY 02SEP2025 24500 PE", "NIFTY 30SEP2025 25000 CE"
WING, FUT = "NIFTY 02SEP2025 25000 CE", "NIFTY 30SEP2025 FUT"


def at(hour, minute=0, second=0):
    return ist_ns(DAY, dt.time(hour, minute, second))


def book_of(text, account="AB1234"):
    """Only the rules that are written, without the standard ones."""
    return RuleBook(parse(text, "rules.toml").rules, account)


def denied(rules, afternoon, request, now):
    return [d.rule for d in rules.check(request, afternoon, now)]


def test_the_third_losing_trip_within_the_window_locks_from_its_end(afternoon):
    rules = book_of('[[rule]]\nkind = "stoploss_guard"\nlosses = 3\nwindow = "60 min"\nlock = "30 min"')
    afternoon.trip(rules, -750, at(10))
    afternoon.trip(rules, 7500, at(10, 20))
    afternoon.trip(rules, -750, at(10, 30))
    assert denied(rules, afternoon, afternoon.request(), at(10, 31)) == []
    afternoon.trip(rules, -750, at(10, 59))
    assert denied(rules, afternoon, afternoon.request(), at(11)) == ["lock"]
    (lock,) = rules.locks(at(11))
    assert (lock.scope, lock.state, lock.until_ns) == ("account", TradingState.REDUCING, at(11, 29))
    assert "3 losing round trips, Rs -22.50 together" in lock.text
    assert denied(rules, afternoon, afternoon.request(), at(11, 29) - 1) == ["lock"]
    assert denied(rules, afternoon, afternoon.request(), at(11, 29)) == [], "it does not lock again for the same losses"


def test_losses_outside_the_window_or_too_small_or_not_by_a_stop_do_not_count(afternoon):
    rules = book_of('[[rule]]\nkind = "stoploss_guard"\nlosses = 2\nwindow = "30 min"\nmin_loss = "100 Rs"')
    afternoon.trip(rules, -15000, at(10))
    afternoon.trip(rules, -15000, at(10, 31))
    afternoon.trip(rules, -7500, at(10, 40))
    assert rules.locks(at(10, 41)) == () == tuple(denied(rules, afternoon, afternoon.request(), at(10, 41)))
    stops = book_of('[[rule]]\nkind = "stoploss_guard"\nlosses = 2\nonly_stops = true')
    afternoon.trip(stops, -15000, at(11))
    afternoon.stop(stops, 15000, at(11, 5))
    assert denied(stops, afternoon, afternoon.request(), at(11, 6)) == []
    afternoon.stop(stops, 15000, at(11, 10))
    assert denied(stops, afternoon, afternoon.request(), at(11, 11)) == ["lock"]


def test_a_scope_locks_only_its_own(afternoon):
    rules = book_of('[[rule]]\nkind = "stoploss_guard"\nlosses = 1\nscope = "strategy"')
    afternoon.trip(rules, -750, at(10), algo="condor")
    assert denied(rules, afternoon, afternoon.request(algo="condor"), at(10, 1)) == ["lock"]
    assert denied(rules, afternoon, afternoon.request(algo="straddle"), at(10, 1)) == []
    assert denied(rules, afternoon, afternoon.request(), at(10, 1)) == []


def test_a_lock_lets_what_reduces_pass(afternoon):
    rules = book_of('[[rule]]\nkind = "stoploss_guard"\nlosses = 1')
    afternoon.fill(rules, PUT, Side.BUY, 2 * LOT, 10000, at(9, 30))
    afternoon.trip(rules, -750, at(10))
    assert denied(rules, afternoon, afternoon.request(PUT, Side.SELL, 2 * LOT), at(10, 1)) == []
    assert denied(rules, afternoon, afternoon.request(PUT, Side.SELL, 3 * LOT), at(10, 1)) == ["lock"]


def test_cooldown_follows_the_newest_trip_of_the_contract(afternoon):
    rules = book_of('[[rule]]\nkind = "cooldown"\nlock = "5 min"')
    afternoon.trip(rules, 750, at(10))
    assert denied(rules, afternoon, afternoon.request(), at(10, 4, 59)) == ["lock"]
    assert denied(rules, afternoon, afternoon.request(PUT), at(10, 1)) == []
    afternoon.trip(rules, 750, at(10, 4))
    assert denied(rules, afternoon, afternoon.request(), at(10, 8, 59)) == ["lock"]
    assert denied(rules, afternoon, afternoon.request(), at(10, 9)) == []
    calm = book_of('[[rule]]\nkind = "cooldown"\nonly_losses = true\nscope = "underlying"')
    afternoon.trip(calm, 750, at(11))
    assert denied(calm, afternoon, afternoon.request(), at(11, 1)) == []
    afternoon.trip(calm, -750, at(11, 5))
    assert denied(calm, afternoon, afternoon.request(PUT), at(11, 6)) == ["lock"]


def test_low_performer_needs_its_number_of_trips(afternoon):
    rules = book_of('[[rule]]\nkind = "low_performer"\ntrips = 3\nmax_loss = "10 Rs"\nlock = "2 h"')
    afternoon.trip(rules, -1500, at(10))
    afternoon.trip(rules, 750, at(10, 10))
    assert denied(rules, afternoon, afternoon.request(), at(10, 11)) == []
    afternoon.trip(rules, -225, at(10, 20))
    assert denied(rules, afternoon, afternoon.request(), at(10, 21)) == [], "Rs 9.75 lost is within Rs 10"
    afternoon.trip(rules, -75, at(10, 30))
    assert denied(rules, afternoon, afternoon.request(), at(10, 31)) == ["lock"]
    assert rules.locks(at(10, 31))[0].scope == "underlying NIFTY"
    assert denied(rules, afternoon, afternoon.request(), at(12, 30)) == []


def test_trade_count_counts_entries_and_orders_that_wait(afternoon):
    rules = book_of('[[rule]]\nkind = "trade_count"\nentries = 2')
    afternoon.fill(rules, CALL, Side.BUY, LOT, 10000, at(10))
    afternoon.fill(rules, CALL, Side.SELL, LOT, 10000, at(10, 1))
    assert denied(rules, afternoon, afternoon.request(PUT), at(10, 2)) == []
    waiting = afternoon.request(PUT)
    afternoon.place(waiting, at(10, 2))
    (denial,) = rules.check(afternoon.request(PUT), afternoon, at(10, 3))
    assert (denial.rule, denial.limit, denial.value) == ("trade_count", 2, 2)
    assert "1 made and 1 waiting" in denial.text
    assert denied(rules, afternoon, waiting, at(10, 3)) == [], "changing what waits is no further entry"
    afternoon.report(rules, waiting.cl_ord_id, ExecType.TRADE, at(10, 4), last_qty=LOT, last_px_p=10000)
    assert denied(rules, afternoon, afternoon.request(PUT, Side.SELL), at(10, 5)) == []
    assert denied(rules, afternoon, afternoon.request(PUT), at(10, 5)) == ["trade_count"]


def test_slices_of_one_order_are_one_entry(afternoon):
    rules = book_of('[[rule]]\nkind = "trade_count"\nentries = 2\nscope = "strategy"')
    for _ in range(3):
        afternoon.fill(rules, CALL, Side.BUY, LOT, 10000, at(10), parent_id="P", algo="condor")
    assert denied(rules, afternoon, afternoon.request(algo="condor"), at(10, 1)) == []
    afternoon.fill(rules, CALL, Side.BUY, LOT, 10000, at(10), algo="condor x=1")
    assert denied(rules, afternoon, afternoon.request(algo="condor"), at(10, 1)) == ["trade_count"]
    assert denied(rules, afternoon, afternoon.request(algo="other"), at(10, 1)) == []


@pytest.mark.parametrize(
    ("now", "wanted"),
    [(at(9, 19, 59), ["time_window"]), (at(9, 20), []), (at(11, 0), ["time_window"]), (at(14, 59, 59), []), (at(15), ["time_window"])],
)  # fmt: skip
def test_time_windows(afternoon, now, wanted):
    rules = book_of('[[rule]]\nkind = "time_window"\nopen = [["09:20", "11:00"], ["13:00", "15:00"]]')
    assert denied(rules, afternoon, afternoon.request(), now) == wanted
    afternoon.book.carry(CALL, LOT, 0)
    assert denied(rules, afternoon, afternoon.request(side=Side.SELL), now) == [], "closing is always possible"


def test_expiry_afternoon_holds_short_options_of_the_day(afternoon):
    rules = book_of('[[rule]]\nkind = "expiry_gamma"\nafter = "13:30"\nmax_short_lots = 1')
    sell = afternoon.request(side=Side.SELL, qty=2 * LOT)
    assert denied(rules, afternoon, sell, at(13, 29, 59)) == []
    (denial,) = rules.check(sell, afternoon, at(13, 30))
    assert (denial.rule, denial.limit, denial.value) == ("expiry_gamma", LOT, 2 * LOT)
    assert denied(rules, afternoon, afternoon.request(side=Side.SELL), at(13, 30)) == []
    assert denied(rules, afternoon, afternoon.request(LATER, Side.SELL, 9 * LOT), at(13, 30)) == []
    assert denied(rules, afternoon, afternoon.request(side=Side.BUY), at(13, 30)) == []
    afternoon.place(afternoon.request(PUT, Side.SELL), at(13, 0))
    assert denied(rules, afternoon, afternoon.request(side=Side.SELL), at(13, 31)) == ["expiry_gamma"]


def test_the_hedge_is_bought_first_and_not_sold_first(afternoon):
    rules = book_of('[[rule]]\nkind = "no_naked_shorts"')
    short = afternoon.request(side=Side.SELL, qty=2 * LOT)
    assert denied(rules, afternoon, short, at(10)) == ["no_naked_shorts"]
    afternoon.place(afternoon.request(WING, qty=2 * LOT), at(10))
    assert denied(rules, afternoon, short, at(10)) == ["no_naked_shorts"], "an open buy covers nothing yet"
    afternoon.book.carry(WING, 2 * LOT, 0)
    assert denied(rules, afternoon, short, at(10)) == []
    assert denied(rules, afternoon, afternoon.request(side=Side.SELL, qty=3 * LOT), at(10)) == ["no_naked_shorts"]
    assert denied(rules, afternoon, afternoon.request(PUT, Side.SELL), at(10)) == ["no_naked_shorts"]
    afternoon.book.carry(CALL, -2 * LOT, 0)
    closing = afternoon.request(WING, Side.SELL)
    assert afternoon.book.reduces(WING, Side.SELL, LOT)
    assert denied(rules, afternoon, closing, at(10)) == ["no_naked_shorts"], "the short would stand bare"
    assert denied(rules, afternoon, afternoon.request(side=Side.BUY), at(10)) == []


def test_a_hedge_covers_its_own_and_earlier_expiries_only(afternoon):
    rules = book_of('[[rule]]\nkind = "no_naked_shorts"\nmax_naked_lots = 1')
    afternoon.book.carry(LATER, 2 * LOT, 0)
    assert denied(rules, afternoon, afternoon.request(side=Side.SELL, qty=3 * LOT), at(10)) == []
    assert denied(rules, afternoon, afternoon.request(side=Side.SELL, qty=4 * LOT), at(10)) == ["no_naked_shorts"]
    afternoon.book.carry(LATER, 0, 0)
    afternoon.book.carry(CALL, 5 * LOT, 0)
    assert denied(rules, afternoon, afternoon.request(LATER, Side.SELL, LOT), at(10)) == []
    assert denied(rules, afternoon, afternoon.request(LATER, Side.SELL, 2 * LOT), at(10)) == ["no_naked_shorts"]


def test_futures_cover_where_that_is_said(afternoon):
    plain = book_of('[[rule]]\nkind = "no_naked_shorts"')
    futures = book_of('[[rule]]\nkind = "no_naked_shorts"\nfutures_cover = true')
    afternoon.book.carry(FUT, LOT, 0)
    short = afternoon.request(side=Side.SELL)
    assert denied(plain, afternoon, short, at(10)) == ["no_naked_shorts"]
    assert denied(futures, afternoon, short, at(10)) == []
    assert denied(futures, afternoon, afternoon.request(PUT, Side.SELL), at(10)) == ["no_naked_shorts"]
    afternoon.book.carry(CALL, -LOT, 0)
    assert denied(futures, afternoon, afternoon.request(FUT, Side.SELL), at(10)) == ["no_naked_shorts"]


def test_fills_that_change_nothing_halt(afternoon):
    rules = book_of('[[rule]]\nkind = "repeated_execution"\nfills = 6\nwindow = "60 s"')
    for n in range(6):
        assert denied(rules, afternoon, afternoon.request(PUT), at(10, 0, n)) == []
        afternoon.fill(rules, CALL, (Side.BUY, Side.SELL)[n % 2], LOT, 10000, at(10, 0, n))
    assert denied(rules, afternoon, afternoon.request(PUT), at(10, 0, 7)) == ["lock"]
    (lock,) = rules.locks(at(10, 0, 7))
    assert (lock.state, lock.until_ns, lock.scope) == (TradingState.HALTED, None, "account")
    assert "6 fills" in lock.text
    assert denied(rules, afternoon, afternoon.request(PUT), at(15)) == ["lock"], "only a person lifts it"
    rules.unlock(lock.lock_id, account="AB1234", now_ns=at(15))
    assert denied(rules, afternoon, afternoon.request(PUT), at(15)) == []


def test_building_a_position_or_trading_slowly_is_no_repeated_execution(afternoon):
    rules = book_of('[[rule]]\nkind = "repeated_execution"\nfills = 6\nwindow = "60 s"')
    for n in range(30):
        afternoon.fill(rules, CALL, Side.BUY, LOT, 10000, at(10, 0, n))
    for n in range(30):
        afternoon.fill(rules, PUT, (Side.BUY, Side.SELL)[n % 2], LOT, 10000, at(10, 1) + n * 15 * 10**9)
    assert rules.watch(at(10, 9), Facts()) is None


def test_stop_orders_are_what_a_stop_is(afternoon):
    rules = book_of('[[rule]]\nkind = "stoploss_guard"')
    afternoon.stop(rules, 7500, at(10))
    (trip,) = rules.scene.history.trips
    assert (trip.stopped, trip.profit_p, trip.opened_ns, trip.closed_ns) == (True, -7500, at(9, 59), at(10))
    assert afternoon.orders["A2"].request.ord_type is OrdType.STOP_LIMIT
