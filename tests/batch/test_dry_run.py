"""A rules file against the shipped sample day."""

from __future__ import annotations

import pytest

from toolkit.batch.dry_run import dry_run, dry_run_session
from toolkit.config import share
from toolkit.errors import BadData
from toolkit.risk.rulefile import parse
from toolkit.risk.rules import RuleBook

RULES = """
[[rule]]
kind = "no_naked_shorts"
[[rule]]
kind = "time_window"
open = [["09:15", "12:00"]]
[[rule]]
kind = "day_loss"
max_loss = "100 Rs"
"""


@pytest.fixture(scope="module")
def found():
    return dry_run_session(parse(RULES, "r").rules, share("data", "sample"), "short-straddle", underlying="NIFTY")


def test_every_order_is_looked_at_and_those_denied_say_why(found):
    assert found.orders >= 10
    assert 0 < len(found.stopped) <= found.orders
    naked = [s for s in found.stopped if any(d.rule == "no_naked_shorts" for d in s.denials)]
    assert [s.order.symbol.split()[-1] for s in naked[:2]] == ["CE", "PE"]
    late = [s for s in found.stopped if any(d.rule == "time_window" for d in s.denials)]
    assert all(
        "positions are opened 09:15 to 12:00 only" in d.text for s in late for d in s.denials if d.rule == "time_window"
    )


def test_the_profit_of_the_day_locks(found):
    (lock,) = found.locks
    assert (lock.rule, lock.scope) == ("day_loss", "account")
    locked = [s for s in found.stopped if any(d.rule == "lock" for d in s.denials)]
    assert locked
    assert all(s.ts_ns >= lock.since_ns for s in locked)


def test_what_a_person_reads(found):
    first, *rest = found.lines()
    assert first == f"would have denied {len(found.stopped)} of {found.orders} orders and made 1 locks"
    assert len(rest) == len(found.stopped) + 1


def test_an_empty_journal_is_refused():
    with pytest.raises(BadData, match="the journal is empty"):
        dry_run(RuleBook(()), [])
