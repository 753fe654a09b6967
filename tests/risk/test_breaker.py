"""The circuit breaker: when each level stops or reduces, and what re-arms it."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit import tables
from toolkit.calendar import ist_ns
from toolkit.risk.guards import Facts
from toolkit.risk.limits import TradingState
from toolkit.risk.rulefile import parse, standard
from toolkit.risk.rules import RuleBook
from toolkit.types import ExecType, Side

DAY = dt.date(2025, 9, 2)
CALL = "NIFTY 02SEP2025 24500 CE"
MINUTE = 60 * 10**9


def at(hour, minute=0, second=0):
    return ist_ns(DAY, dt.time(hour, minute, second))


def book_of(text):
    return RuleBook(parse(text, "rules.toml", breakers=tables.breakers()).rules, "AB1234")


def moved(nifty, sensex=0.0):
    return Facts(index_moves={"NIFTY": nifty, "SENSEX": sensex})


MWCB = '[[rule]]\nkind = "exchange_breaker"'
DAY_END = ist_ns(DAY + dt.timedelta(days=1), dt.time(0))


@pytest.mark.parametrize(
    ("move", "now", "until"),
    [
        (-0.0999, at(10), None),
        (-0.10, at(9, 15), at(9, 15) + 60 * MINUTE),
        (0.10, at(12, 59, 59), at(12, 59, 59) + 60 * MINUTE),
        (-0.10, at(13), at(13) + 30 * MINUTE),
        (-0.10, at(14, 29, 59), at(14, 29, 59) + 30 * MINUTE),
        (-0.10, at(14, 30), None),
        (-0.15, at(12, 59), at(12, 59) + 120 * MINUTE),
        (-0.15, at(13, 59), at(13, 59) + 60 * MINUTE),
        (-0.15, at(14), DAY_END),
        (-0.15, at(15), DAY_END),
        (-0.20, at(9, 16), DAY_END),
        (-0.31, at(15, 29), DAY_END),
    ],
)
def test_the_exchange_stops_by_move_and_time_of_day(move, now, until):
    trip = book_of(MWCB).watch(now, moved(move))
    if until is None:
        assert trip is None
    else:
        assert (trip.state, trip.until_ns) == (TradingState.HALTED, until)
        assert f"NIFTY moved {move:+.2%}" in trip.text


def test_either_index_stops_it_and_each_level_stops_once():
    rules = book_of(MWCB)
    assert rules.watch(at(10), Facts(index_moves={"NIFTY": None, "SENSEX": -0.11})).until_ns == at(11)
    assert rules.watch(at(10, 30), moved(-0.11)).until_ns == at(11), "the same level does not extend it"
    assert rules.watch(at(11), moved(-0.11)) is None, "trading goes on after the auction"
    assert rules.watch(at(11, 1), moved(-0.16)).until_ns == at(13, 1)
    assert rules.watch(at(13, 1), moved(-0.16)) is None
    assert rules.watch(at(13, 2), moved(-0.20)).until_ns == DAY_END


def test_without_a_table_row_of_the_day_nothing_is_claimed():
    rules = book_of(MWCB)
    early = ist_ns(dt.date(2013, 9, 2), dt.time(10))
    assert rules.watch(early, moved(-0.5)) is None
    assert RuleBook(standard()).watch(at(10), moved(-0.5)) is None


def test_the_feed_is_watched_within_the_session_only():
    rules = book_of('[[rule]]\nkind = "feed_stale"\nmax_age = "5 s"\nrearm = "1 s"\nrequired = true')
    session = (at(9, 15), at(15, 30))
    steps = [
        (at(9), 1e9, False), (at(9, 15, 4), None, False), (at(9, 15, 6), None, True), (at(9, 15, 7), 0.4, False),
        (at(10), 5.0, False), (at(10, 0, 1), 5.1, True), (at(10, 0, 2), 1.1, True), (at(10, 0, 3), 1.0, False),
        (at(15, 30), 99.0, False),
    ]  # fmt: skip
    for now, age, tripped in steps:
        trip = rules.watch(now, Facts(feed_age_s=age, session=session))
        assert (trip is not None) is tripped, (now, age)
        assert trip is None or trip.state is TradingState.HALTED
    assert rules.watch(at(12), Facts(feed_age_s=60.0)) is None, "no session, no alarm"
    without = book_of('[[rule]]\nkind = "feed_stale"')
    assert without.watch(at(12), Facts(feed_age_s=None, session=session)) is None, "an account without a feed"


def answer(afternoon, rules, rejected, now):
    request = afternoon.request()
    afternoon.place(request, now)
    afternoon.report(rules, request.cl_ord_id, ExecType.REJECTED if rejected else ExecType.NEW, now)


def test_too_many_rejects_reduce_for_a_while(afternoon):
    rules = book_of('[[rule]]\nkind = "reject_ratio"\nmax_share = "50 %"\nanswers = 4\nwindow = "60 s"\nlock = "5 min"')
    for second, rejected in enumerate((True, True, True)):
        answer(afternoon, rules, rejected, at(10, 0, second))
    assert rules.watch(at(10, 0, 3), Facts()) is None, "three answers are too few"
    answer(afternoon, rules, False, at(10, 0, 3))
    trip = rules.watch(at(10, 0, 4), Facts())
    assert (trip.state, trip.until_ns, trip.text) == (
        TradingState.REDUCING,
        at(10, 5, 3),
        "3 of 4 orders rejected within 60 s",
    )
    assert rules.watch(at(10, 5, 3), Facts()) is None


def test_half_rejected_is_at_the_limit(afternoon):
    rules = book_of('[[rule]]\nkind = "reject_ratio"\nmax_share = "50 %"\nanswers = 4')
    for second, rejected in enumerate((True, True, False, False)):
        answer(afternoon, rules, rejected, at(10, 0, second))
    assert rules.watch(at(10, 0, 5), Facts()) is None


def test_messages_a_minute_and_a_day():
    rules = book_of('[[rule]]\nkind = "message_rate"\nper_minute = 100\nper_day = 1000\nlock = "5 min"')
    assert rules.watch(at(10), Facts(messages_60s=100, messages_day=1000)) is None
    assert rules.watch(at(10, 1), Facts(messages_60s=101, messages_day=101)).until_ns == at(10, 6)
    assert rules.watch(at(10, 6), Facts(messages_60s=0, messages_day=101)) is None
    assert rules.watch(at(10, 7), Facts(messages_60s=0, messages_day=1001)).until_ns == DAY_END


def test_losing_too_fast_reduces_even_within_the_day_loss():
    rules = book_of('[[rule]]\nkind = "loss_speed"\nmax_loss = "1000 Rs"\nwindow = "60 s"\nlock = "15 min"')

    def profit(rupees):
        return Facts(realized_p=rupees * 100, unrealized_p=0, charges_p=0)

    assert rules.watch(at(10), profit(3000)) is None
    assert rules.watch(at(10, 0, 59), profit(2000)) is None
    assert rules.watch(at(10, 1, 1), profit(1900)) is None, "the peak is out of the window"
    trip = rules.watch(at(10, 1, 30), profit(999))
    assert (trip.state, trip.until_ns) == (TradingState.REDUCING, at(10, 16, 30))
    assert "Rs 1001.00 lost within 60 s" in trip.text


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_clock_halts_above_thirty_seconds_and_rearms_at_two(sign):
    rules = book_of('[[rule]]\nkind = "clock_skew"')
    for skew, tripped in ((30.0, False), (30.1, True), (2.1, True), (2.0, False)):
        trip = rules.watch(at(10), Facts(clock_skew_s=sign * skew))
        assert (trip is not None) is tripped, skew
    assert rules.watch(at(10), Facts(clock_skew_s=None)) is None
    strict = book_of('[[rule]]\nkind = "clock_skew"\nrequired = true')
    assert "not compared yet" in strict.watch(at(10), Facts(clock_skew_s=None)).text


def test_a_stalled_journal_halts_and_a_level_cannot_be_unlocked():
    rules = book_of('[[rule]]\nkind = "journal_stall"')
    assert rules.watch(at(10), Facts(journal_ms=1000.0)) is None
    trip = rules.watch(at(10, 0, 1), Facts(journal_ms=1001.0))
    assert (trip.state, trip.rearm) == (TradingState.HALTED, "writes under 250 ms for a minute")
    (lock,) = rules.locks(at(10, 0, 1))
    with pytest.raises(Exception, match="cannot be lifted while its cause stands: a journal write took 1001 ms"):
        rules.unlock(lock.lock_id, account="AB1234", now_ns=at(10, 0, 2))
    assert rules.watch(at(10, 0, 3), Facts(journal_ms=251.0)) is not None
    assert rules.watch(at(10, 0, 4), Facts(journal_ms=250.0)) is None
    assert rules.watch(at(10, 0, 5), Facts(journal_ms=None)) is None


def test_orders_of_unknown_fate():
    rules = book_of('[[rule]]\nkind = "unknown_orders"\nmost = 2')
    counts = [(2, False), (3, True), (1, True), (0, False)]
    for count, tripped in counts:
        assert (rules.watch(at(10), Facts(unknown_orders=count)) is not None) is tripped


def test_the_edge_of_the_price_band(afternoon):
    rules = book_of('[[rule]]\nkind = "price_band"\nnear = "1 %"')

    def denied(side=Side.BUY):
        return [d.rule for d in rules.check(afternoon.request(CALL, side), afternoon, at(10))]

    assert denied() == [], "no band is known"
    afternoon.book.bands[CALL] = (5, 10_102)
    assert denied() == []
    afternoon.book.bands[CALL] = (5, 10_101)
    assert denied() == ["price_band"]
    afternoon.book.carry(CALL, 75, 0)
    assert denied(Side.SELL) == []


def test_a_feed_that_comes_back_leaves_the_worse_trip_standing():
    rules = book_of('[[rule]]\nkind = "day_loss"\nmax_loss = "1000 Rs"\n[[rule]]\nkind = "feed_stale"')
    lost = {"realized_p": -200_000, "unrealized_p": 0, "charges_p": 0, "session": (at(9, 15), at(15, 30))}
    assert rules.watch(at(10), Facts(**lost, feed_age_s=0.1)).rule == "day_loss"
    assert rules.watch(at(10, 0, 1), Facts(**lost, feed_age_s=9.0)).rule == "feed_stale"
    assert rules.watch(at(10, 0, 2), Facts(**lost, feed_age_s=0.1)).rule == "day_loss"
