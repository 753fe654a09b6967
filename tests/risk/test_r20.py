"""R20 in pure form: a runaway strategy in front of the core and its rules; the rest is denied, never queued."""

from __future__ import annotations

import datetime as dt
from collections import Counter, deque

import pytest

from toolkit.calendar import ist_ns
from toolkit.market.quotes import Quote
from toolkit.orders.core import Core
from toolkit.orders.effects import SendCancel, SendNew, SendReplace
from toolkit.risk.guards import Facts
from toolkit.risk.limits import Limits, TradingState
from toolkit.risk.rulefile import parse, standard
from toolkit.risk.rules import RuleBook
from toolkit.types import (
    Cancel,
    ExecType,
    ExecutionReport,
    Instrument,
    Kind,
    Modify,
    OptionType,
    OrdStatus,
    Place,
    Side,
)

DAY = dt.date(2025, 8, 29)
OPEN, CLOSE = ist_ns(DAY, dt.time(9, 15)), ist_ns(DAY, dt.time(15, 30))
START = OPEN + 3600 * 10**9
SECOND = 10**9
CALL = "NIFTY 02SEP2025 24500 CE"


class Runaway:
    """A core, its rules and a broker that only counts what reaches it."""

    def __init__(self, rules=None, **limits):
        call = Instrument(
            instrument_id=1, symbol=CALL, exchange="NSE", segment="NFO", underlying="NIFTY", kind=Kind.OPTION, lot=75,
            tick_p=5, expiry=dt.date(2025, 9, 2), strike_p=2_450_000, option_type=OptionType.CE, token=1, freeze_qty=1800,
        )  # fmt: skip
        wide = {"max_net_lots": 10**6, "max_gross_lots": 10**6, "max_open_value_p": 10**15}
        self.core = Core("AB1234", limits=Limits(check_margin=False, **{**wide, **limits}), instruments=[call])
        self.rules = RuleBook(standard() if rules is None else rules, "AB1234")
        self.core.start_day(OPEN)
        self.core.book.session = (OPEN, CLOSE)
        self.core.book.quotes.set(1, Quote(START, 9950, 7500, 10050, 7500, 10000))
        self.wire = []
        self.denied = Counter()
        self.filled = 0

    def place(self, now, side=Side.BUY, price_p=10000, **more):
        place = Place(symbol=CALL, side=side, order_qty=75, price_p=price_p, **more)
        (request,) = self.core.requests(now, [place])
        denials = self.rules.check(request, self.core, now)
        effects = self.core.deny(now, request, denials) if denials else self.core.submit(now, request)
        self._sent(now, effects)
        for denial in self.core.denials.get(request.cl_ord_id, ()):
            self.denied[denial.rule] += 1
        return request.cl_ord_id

    def intend(self, now, *intents):
        self._sent(now, self.core.on_intents(now, intents))

    def answer(self, cl_ord_id, kind, now, **more):
        self.filled += 1
        said = ExecutionReport(
            cl_ord_id=cl_ord_id, exec_id=f"E{self.filled}", exec_type=kind, ts_ns=now, recv_ns=now, **more
        )
        self.core.on_report(said)
        self.rules.on_report(said, self.core.orders[cl_ord_id], now)

    def fill(self, cl_ord_id, now, px=10000):
        self.answer(cl_ord_id, ExecType.TRADE, now, last_qty=75, last_px_p=px)

    def _sent(self, now, effects):
        self.wire += [now for e in effects if isinstance(e, (SendNew, SendReplace, SendCancel))]

    def busiest(self):
        """The most messages in any sliding second."""
        most, recent = 0, deque()
        for now in self.wire:
            recent.append(now)
            while recent[0] <= now - SECOND:
                recent.popleft()
            most = max(most, len(recent))
        return most


def flood(count):
    account = Runaway(duplicate_window_s=0.0)
    for n in range(count):
        account.place(START + n * SECOND // count)
    assert len(account.wire) == account.busiest() == 8
    assert account.denied["message_rate"] == count - 8
    later = START + 3600 * SECOND
    account.core.book.quotes.set(1, Quote(later, 9950, 7500, 10050, 7500, 10000))
    account.intend(later)
    assert len(account.wire) == 8, "nothing was kept for later"
    assert sum(o.ord_status is OrdStatus.DENIED for o in account.core.orders.values()) == count - 8


def test_ten_thousand_intents_in_a_second():
    flood(10_000)


@pytest.mark.slow
def test_a_hundred_thousand_intents_in_a_second():
    flood(100_000)


def test_the_same_intent_again_and_again_is_a_repeat_before_it_is_a_flood():
    account = Runaway()
    for n in range(100):
        account.place(START + n * 10**6)
    assert len(account.wire) == 1
    assert account.denied["duplicate"] == 99


def test_a_flip_loop_is_halted_by_its_own_fills():
    account = Runaway()
    for n in range(500):
        now = START + n * SECOND
        account.core.book.quotes.set(1, Quote(now, 9950, 7500, 10050, 7500, 10000))
        made = account.place(now, (Side.BUY, Side.SELL)[n % 2])
        if account.core.orders[made].is_open:
            account.fill(made, now)
    assert len(account.wire) == 10
    assert account.denied["lock"] == 490
    trip = account.rules.watch(START + 501 * SECOND, Facts())
    assert (trip.state, trip.rule, trip.until_ns) == (TradingState.HALTED, "repeated_execution", None)


def test_a_slow_losing_loop_is_stopped_by_loss():
    rules = parse('[[rule]]\nkind = "loss_speed"\nmax_loss = "1000 Rs"\nwindow = "60 s"', "r").rules
    account = Runaway(rules, duplicate_window_s=0.0)
    account.rules.watch(START - SECOND, Facts(realized_p=0, unrealized_p=0, charges_p=0))
    lost = 0
    for n in range(200):
        now = START + n * 2 * SECOND
        account.core.book.quotes.set(1, Quote(now, 9950, 7500, 10050, 7500, 10000))
        for side, px in ((Side.BUY, 10050), (Side.SELL, 9950)):
            made = account.place(now, side, px)
            if account.core.orders[made].is_open:
                account.fill(made, now, px)
                lost += side.sign * px * 75
        account.rules.watch(now, Facts(realized_p=-lost, unrealized_p=0, charges_p=0))
    assert 100_000 < lost <= 107_500, "one round trip beyond the limit of Rs 1000 at most"
    assert account.denied["lock"] > 300


def test_rejections_stop_a_strategy_that_goes_on_sending():
    account = Runaway(parse('[[rule]]\nkind = "reject_ratio"\nanswers = 8', "r").rules, duplicate_window_s=0.0)
    for n in range(100):
        made = account.place(START + n * SECOND // 4)
        if account.core.orders[made].is_open:
            account.answer(made, ExecType.REJECTED, START + n * SECOND // 4)
    assert len(account.wire) == 8
    assert account.denied["lock"] == 92


def test_a_storm_of_replacements_and_cancels_stays_within_the_second_and_leaves_room_to_cancel():
    account = Runaway(duplicate_window_s=0.0)
    working = account.place(START, price_p=9000)
    account.answer(working, ExecType.NEW, START)
    for n in range(1000):
        now = START + n * 10**6
        account.intend(now, Modify(cl_ord_id=working, order_qty=75, price_p=9000 + 5 * (n % 20 + 1)))
        if account.core.orders[working].ord_status is OrdStatus.PENDING_REPLACE:
            account.answer(working, ExecType.REPLACED, now, price_p=9000 + 5 * (n % 20 + 1), order_qty=75)
    assert len(account.wire) == account.busiest() == 8
    account.intend(START + SECOND - 1, Cancel(cl_ord_id=working))
    assert len(account.wire) == 9, "a cancel has its own share of the second"
    assert account.busiest() <= 10
