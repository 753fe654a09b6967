"""The rule engine: locks are made, seen, extended, lifted and remembered; a rule is a small callable."""

from __future__ import annotations

import datetime as dt
import json

import msgspec
import pytest

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.risk.guards import Facts
from toolkit.risk.limits import TradingState
from toolkit.risk.rulefile import locked_lines, parse, standard
from toolkit.risk.rules import KINDS, Hold, Kind, Reading, Rule, RuleBook, Scene
from toolkit.types import Side

DAY = dt.date(2025, 9, 2)
CALL, PUT = "NIFTY 02SEP2025 24500 CE", "NIFTY 02SEP2025 24500 PE"
MINUTE = 60 * 10**9


def at(hour, minute=0, second=0):
    return ist_ns(DAY, dt.time(hour, minute, second))


class Nothing(msgspec.Struct, frozen=True):
    """No parameter."""


def rule_of(phase, call, name="mine"):
    return Rule(name, Kind(name, phase, call, Nothing, "A test."), Nothing())


def holding(*holds):
    return lambda scene, params: holds


def test_a_lock_says_rule_scope_reason_since_until_and_what_lifts_it(afternoon):
    rules = RuleBook([rule_of("lock", holding(Hold("underlying NIFTY", at(11), "because")))], "AB1234")
    rules.watch(at(10), Facts())
    (line,) = locked_lines(rules, at(10))
    assert line == (
        "mine-1: underlying NIFTY reducing by mine: because; lifts at 02-Sep 11:00:00 or by 'toolkit rules unlock mine-1' "
        "with the account's id"
    )
    (denial,) = rules.check(afternoon.request(), afternoon, at(10))
    assert (denial.rule, denial.limit, denial.value) == ("lock", "11:00:00", "mine")
    assert "because" in denial.text


def test_a_scope_that_is_not_the_account_trips_nothing():
    rules = RuleBook([rule_of("lock", holding(Hold(f"symbol {CALL}", at(11), "x")))], "AB1234")
    assert rules.watch(at(10), Facts()) is None
    assert len(rules.locks(at(10))) == 1


def test_the_longest_demand_of_a_rule_and_scope_is_one_lock():
    until = [at(11)]
    rules = RuleBook([rule_of("lock", lambda s, p: [Hold("account", until[0], "x")])], "AB1234")
    rules.watch(at(10), Facts())
    until[0] = at(10, 30)
    rules.watch(at(10, 1), Facts())
    assert [lock.until_ns for lock in rules.locks(at(10, 1))] == [at(11)]
    until[0] = at(12)
    rules.watch(at(10, 2), Facts())
    (lock,) = rules.locks(at(10, 2))
    assert (lock.lock_id, lock.since_ns, lock.until_ns) == ("mine-1", at(10), at(12))
    assert rules.locks(at(12)) == ()


def test_the_worst_lock_speaks_for_the_account(afternoon):
    held = [Hold("account", at(11), "a"), Hold("account", None, "b", TradingState.HALTED)]
    rules = RuleBook([rule_of("lock", holding(held[0])), rule_of("lock", holding(held[1]), "worse")], "AB1234")
    trip = rules.watch(at(10), Facts())
    assert (trip.rule, trip.state, trip.text) == ("worse", TradingState.HALTED, "b")
    afternoon.book.carry(CALL, 75, 0)
    closing = afternoon.request(CALL, Side.SELL)
    assert [d.value for d in rules.check(closing, afternoon, at(10))] == ["worse"], "halted stops closing too"


def test_a_level_trips_above_and_rearms_at_or_below():
    value = [10.0]
    rules = RuleBook([rule_of("level", lambda s, p: Reading(value[0], 10.0, 5.0, "too much", "it is calm"))], "AB1234")
    for reading, tripped in ((10.0, False), (10.1, True), (5.1, True), (None, True), (5.0, False), (None, False)):
        value[0] = reading
        assert (rules.watch(at(10), Facts()) is not None) is tripped, reading
    value[0] = 11.0
    assert rules.watch(at(10), Facts()).rearm == "it is calm"


def test_unknown_can_be_told_to_trip():
    rules = RuleBook([rule_of("level", lambda s, p: Reading(None, 1, 0, "x", "y", unknown_trips=True))], "AB1234")
    assert rules.watch(at(10), Facts()) is not None


def test_a_modification_is_judged_by_what_it_adds(afternoon):
    seen = []

    def note(scene: Scene, params):
        seen.append((scene.added, scene.reduces))

    rules = RuleBook([rule_of("order", note)], "AB1234")
    afternoon.book.carry(CALL, -300, 0)
    request = afternoon.request(qty=75)
    afternoon.place(request, at(10))
    rules.check(msgspec.structs.replace(request, order_qty=225), afternoon, at(10))
    rules.check(afternoon.request(qty=225), afternoon, at(10))
    rules.check(afternoon.request(qty=300), afternoon, at(10))
    assert seen == [(150, True), (225, True), (300, False)]


def test_everything_is_remembered_as_json_can_carry_it(afternoon):
    text = '[[rule]]\nkind = "stoploss_guard"\nlosses = 1\n[[rule]]\nkind = "max_drawdown"\nmax_fall = "1000 Rs"'
    text += '\n[[rule]]\nkind = "trade_count"\nentries = 2'
    first = RuleBook(parse(text, "r").rules, "AB1234")
    afternoon.trip(first, -750, at(10))
    first.watch(at(10), Facts(realized_p=5_000_000, unrealized_p=0, charges_p=0))
    kept = json.loads(json.dumps(first.state()))
    second = RuleBook(parse(text, "r").rules, "AB1234")
    second.restore(kept)
    assert second.state() == first.state()
    assert second.locks(at(10, 1)) == first.locks(at(10, 1)) != ()
    assert second.watch(at(10, 1), Facts(realized_p=4_899_900, unrealized_p=0, charges_p=0)).rule == "max_drawdown"
    second.unlock("stoploss_guard-1", account="AB1234", now_ns=at(10, 2))
    afternoon.fill(second, PUT, Side.BUY, 75, 10000, at(11))
    assert second.scene.history.entries == {"manual": 2}


def test_an_unlocked_cause_stays_unlocked_after_a_restart(afternoon):
    text = '[[rule]]\nkind = "stoploss_guard"\nlosses = 1\nlock = "3 h"'
    first = RuleBook(parse(text, "r").rules, "AB1234")
    afternoon.trip(first, -750, at(10))
    first.unlock("stoploss_guard-1", account="AB1234", now_ns=at(10, 1))
    second = RuleBook(parse(text, "r").rules, "AB1234")
    second.restore(json.loads(json.dumps(first.state())))
    assert second.watch(at(10, 2), Facts()) is None


def test_the_passing_of_time_changes_nothing_to_remember():
    rules = RuleBook(standard(), "AB1234")
    rules.watch(at(10), Facts(realized_p=100, unrealized_p=0, charges_p=0))
    before = rules.state()
    for second in range(1, 20):
        rules.watch(at(10, 0, second), Facts(realized_p=100 - second, unrealized_p=0, charges_p=0))
    assert rules.state() == before


def test_two_rules_cannot_share_a_name():
    with pytest.raises(BadData, match="two rules are named 'mine'"):
        RuleBook([rule_of("lock", holding()), rule_of("order", lambda s, p: None)])


def test_every_kind_is_small_and_says_what_it_does():
    import inspect

    for kind in KINDS.values():
        lines = inspect.getsource(kind.call).splitlines()
        assert len(lines) <= 32, kind.name
        assert kind.does.endswith("."), kind.name
        assert kind.params.__struct_config__.forbid_unknown_fields, kind.name
