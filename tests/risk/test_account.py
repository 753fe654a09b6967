"""Rules over the account's figures: at the limit nothing, one paisa beyond a lock that says why."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.risk.account import Accounts, Across, end_of_day, summed
from toolkit.risk.guards import Facts, Greek
from toolkit.risk.limits import TradingState
from toolkit.risk.rulefile import parse
from toolkit.risk.rules import RuleBook
from toolkit.types import Side

DAY = dt.date(2025, 9, 2)
PUT = "NIFTY 02SEP2025 24500 PE"


def at(hour, minute=0, second=0):
    return ist_ns(DAY, dt.time(hour, minute, second))


def book_of(text):
    return RuleBook(parse(text, "rules.toml").rules, "AB1234")


def profit(rupees, **more):
    return Facts(realized_p=rupees * 100, unrealized_p=0, charges_p=0, **more)


DAY_LOSS = '[[rule]]\nkind = "day_loss"\nmax_loss = "1000 Rs"\n'


def test_the_day_loss_locks_the_account_until_midnight(afternoon):
    rules = book_of(DAY_LOSS)
    assert rules.watch(at(10), Facts(realized_p=-60_000, unrealized_p=-30_000, charges_p=10_000)) is None
    trip = rules.watch(at(10, 0, 1), Facts(realized_p=-60_000, unrealized_p=-30_000, charges_p=10_001))
    assert (trip.state, trip.rule, trip.until_ns) == (
        TradingState.REDUCING,
        "day_loss",
        ist_ns(DAY + dt.timedelta(days=1), dt.time(0)),
    )
    assert "Rs 1000.01 marked after charges, at most Rs 1000.00" in trip.text
    assert "toolkit rules unlock day_loss-1" in trip.rearm
    assert [d.rule for d in rules.check(afternoon.request(), afternoon, at(10, 1))] == ["lock"]
    assert rules.watch(at(14), profit(5000)) is not None, "a better profit later lifts nothing"
    afternoon.book.carry(PUT, 75, 0)
    assert rules.check(afternoon.request(PUT, Side.SELL), afternoon, at(14)) == ()


def test_the_lock_is_gone_the_next_day_and_the_day_begins_anew(afternoon):
    rules = book_of(DAY_LOSS)
    rules.watch(at(10), profit(-2000))
    morning = ist_ns(DAY + dt.timedelta(days=1), dt.time(9, 15))
    assert rules.watch(morning, profit(-1000)) is None
    assert rules.check(afternoon.request(), afternoon, morning) == ()


def test_the_realized_basis_looks_past_open_positions():
    rules = book_of(DAY_LOSS + 'basis = "realized"\nstate = "halted"')
    assert rules.watch(at(10), Facts(realized_p=-100_000, unrealized_p=None, charges_p=0)) is None
    assert rules.watch(at(11), Facts(realized_p=-100_001, unrealized_p=None, charges_p=0)).state is TradingState.HALTED


def test_unlocking_is_an_act_that_names_the_account_and_counts_anew():
    rules = book_of(DAY_LOSS)
    rules.watch(at(10), profit(-1500))
    (lock,) = rules.locks(at(10))
    for wrong in ("", "XY9999", "ab1234"):
        with pytest.raises(BadData, match="unlocking needs the account's own id"):
            rules.unlock(lock.lock_id, account=wrong, now_ns=at(10, 1))
    with pytest.raises(BadData, match=r"no lock 'day_loss-9' stands \(standing: day_loss-1\)"):
        rules.unlock("day_loss-9", account="AB1234", now_ns=at(10, 1))
    assert rules.unlock(lock.lock_id, account="AB1234", now_ns=at(10, 1)) == lock
    assert rules.watch(at(10, 2), profit(-2500)) is None, "counted from Rs -1500"
    assert rules.watch(at(10, 3), profit(-2501)).rule == "day_loss"


def test_an_unnamed_account_cannot_be_unlocked():
    rules = RuleBook(parse(DAY_LOSS, "rules.toml").rules)
    rules.watch(at(10), profit(-1500))
    with pytest.raises(BadData, match="unlocking needs"):
        rules.unlock("day_loss-1", account="", now_ns=at(10))


def test_drawdown_is_measured_from_the_peak_of_the_day():
    rules = book_of('[[rule]]\nkind = "max_drawdown"\nmax_fall = "1000 Rs"')
    assert rules.watch(at(10), profit(5000)) is None
    assert rules.watch(at(10, 1), profit(4000)) is None
    assert "fell Rs 1001.00 from its peak" in rules.watch(at(10, 2), profit(3999)).text
    fresh = book_of('[[rule]]\nkind = "max_drawdown"\nmax_fall = "1000 Rs"')
    assert fresh.watch(at(10), profit(-1001)) is not None, "the day began at nothing"


def test_a_short_drawdown_lock_counts_anew_when_its_time_is_over():
    rules = book_of('[[rule]]\nkind = "max_drawdown"\nmax_fall = "1000 Rs"\nlock = "30 min"')
    rules.watch(at(10), profit(5000))
    assert rules.watch(at(10, 1), profit(3000)).until_ns == at(10, 31)
    assert rules.watch(at(10, 20), profit(2000)).until_ns == at(10, 31), "it is not extended"
    assert rules.watch(at(10, 31), profit(2000)) is None
    assert rules.watch(at(10, 32), profit(1000)) is None
    assert rules.watch(at(10, 33), profit(999)) is not None


def test_a_profit_that_stays_unknown_reduces():
    rules = book_of('[[rule]]\nkind = "unknown_profit"\nafter = "60 s"')
    unknown = Facts(realized_p=0, unrealized_p=None, charges_p=0)
    assert rules.watch(at(10), unknown) is None
    assert rules.watch(at(10, 1), unknown) is None
    assert rules.watch(at(10, 1, 1), unknown).state is TradingState.REDUCING
    assert rules.watch(at(10, 2), profit(0)) is None
    assert rules.watch(at(10, 3), unknown) is None, "the time starts again"


def test_open_value_trips_and_rearms_with_hysteresis():
    rules = book_of('[[rule]]\nkind = "open_value"\nmax_value = "1000 Rs"\nrearm = "80 %"')
    levels = [
        (100_000, False),
        (100_001, True),
        (90_000, True),
        (None, True),
        (80_001, True),
        (80_000, False),
        (100_000, False),
    ]
    for n, (value, tripped) in enumerate(levels):
        assert (rules.watch(at(10, n), Facts(open_value_p=value)) is not None) is tripped, value


def test_margin_used_counts_against_the_funds():
    rules = book_of('[[rule]]\nkind = "margin_used"\nmax_share = "90 %"\nrearm = "80 %"')
    assert rules.watch(at(10), Facts(margin_used_p=90, funds_p=100)) is None
    assert (
        rules.watch(at(10), Facts(margin_used_p=91, funds_p=100)).text
        == "margin takes 91.0% of the funds, at most 90.0%"
    )
    assert rules.watch(at(10), Facts(margin_used_p=None, funds_p=100)) is not None, "unknown re-arms nothing"
    assert rules.watch(at(10), Facts(margin_used_p=80, funds_p=100)) is None
    assert rules.watch(at(10), Facts(margin_used_p=1, funds_p=0)) is not None


def test_net_greeks_by_underlying_and_the_one_that_cannot_be_valued():
    rules = book_of('[[rule]]\nkind = "net_greeks"\ndelta = "10000 Rs"\ngamma = "5000 Rs"\nvega = "2000 Rs"')
    calm = Greek(delta=40.0, gamma=0.08, vega=200_000.0, theta=-1.0, level=25_000.0)
    assert rules.watch(at(10), Facts(greeks={"NIFTY": calm})) is None
    steep = Greek(delta=40.1, gamma=0.0, vega=0.0, theta=0.0, level=25_000.0)
    assert (
        "delta of NIFTY is Rs 10025.00, at most Rs 10000.00" in rules.watch(at(10), Facts(greeks={"NIFTY": steep})).text
    )
    assert rules.watch(at(10), Facts(greeks={"NIFTY": calm})) is not None, "at the limit is not re-armed"
    assert rules.watch(at(10), Facts(greeks={})) is None
    assert "delta of SENSEX is unknown" in rules.watch(at(10), Facts(greeks={"NIFTY": calm, "SENSEX": None})).text


def test_the_exchange_s_position_limit():
    rules = book_of('[[rule]]\nkind = "position_limit"\nnet = "1 crore"\ngross = "10 crore"')
    at_limit = Greek(delta=-400.0, gamma=0.0, vega=0.0, theta=0.0, gross_delta=4000.0, level=25_000.0)
    assert rules.watch(at(10), Facts(greeks={"NIFTY": at_limit})) is None
    over = Greek(delta=0.0, gamma=0.0, vega=0.0, theta=0.0, gross_delta=4001.0, level=25_000.0)
    assert rules.watch(at(10), Facts(greeks={"NIFTY": over})).text == "gross delta of NIFTY is 100.0% of Rs 10 crore"
    unknown = Greek(delta=0.0, gamma=0.0, vega=0.0, theta=0.0, gross_delta=None, level=25_000.0)
    found = book_of('[[rule]]\nkind = "position_limit"').watch(at(10), Facts(greeks={"NIFTY": unknown}))
    assert found.text == "gross delta of NIFTY is unknown, at most Rs 10000 crore"


def test_several_accounts_lose_together():
    accounts = Accounts(("A", "B"))
    guards = {name: Across(accounts, book_of(DAY_LOSS), name) for name in ("A", "B")}
    assert guards["A"].watch(at(10), profit(-600)) is None
    assert guards["B"].watch(at(10), profit(-400)) is None
    assert guards["B"].watch(at(10, 0, 1), profit(-401)).rule == "day_loss"
    assert guards["A"].watch(at(10, 0, 2), profit(-600)).rule == "day_loss"


def test_an_account_that_does_not_report_makes_the_sum_unknown():
    accounts = Accounts(("A", "B"), max_age_ns=10 * 10**9)
    accounts.put("A", at(10), profit(1))
    assert accounts.facts(at(10)).profit_p is None
    accounts.put("B", at(10), profit(2))
    assert accounts.facts(at(10, 0, 10)).profit_p == 300
    assert accounts.facts(at(10, 0, 11)).profit_p is None


def test_greeks_of_several_accounts_add_up():
    one = Facts(greeks={"NIFTY": Greek(1.0, 2.0, 3.0, 4.0, 5.0, 25_000.0), "SENSEX": None})
    two = Facts(greeks={"NIFTY": Greek(10.0, 20.0, 30.0, 40.0, 50.0, 25_000.0)})
    both = summed([one, two]).greeks
    assert both["NIFTY"] == Greek(11.0, 22.0, 33.0, 44.0, 55.0, 25_000.0)
    assert both["SENSEX"] is None


def test_the_day_ends_at_indian_midnight():
    assert end_of_day(at(23, 59, 59)) == at(0) + 86_400 * 10**9
    assert end_of_day(at(0)) == at(0) + 86_400 * 10**9


def test_across_remembers_like_its_rules(afternoon):
    accounts = Accounts(("A",))
    first = Across(accounts, book_of(DAY_LOSS), "A")
    first.watch(at(10), profit(-1500))
    second = Across(Accounts(("A",)), book_of(DAY_LOSS), "A")
    second.restore(first.state())
    assert [d.rule for d in second.check(afternoon.request(), afternoon, at(10, 1))] == ["lock"]
