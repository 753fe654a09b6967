"""The shapes a guard is made of."""

from __future__ import annotations

import pytest

from toolkit.risk.guards import Facts, Guard, Watcher
from toolkit.risk.rulefile import Shut, standard
from toolkit.risk.rules import RuleBook


def test_profit_is_unknown_when_a_part_of_it_is():
    assert Facts(realized_p=5, unrealized_p=-3, charges_p=1).profit_p == 1
    for part in ("realized_p", "unrealized_p", "charges_p"):
        known = {"realized_p": 5, "unrealized_p": -3, "charges_p": 1, part: None}
        assert Facts(**known).profit_p is None


@pytest.mark.parametrize("made", [Watcher(), Shut("x"), RuleBook(standard(), "A")], ids=lambda made: made.name)
def test_every_guard_has_the_whole_shape(made, afternoon):
    guard: Guard = made
    guard.restore(guard.state())
    assert isinstance(guard.check(afternoon.request(), afternoon, 0), tuple)
    assert guard.watch(0, Facts()) is None or made.name == "rules_file"


def test_a_watcher_says_nothing(afternoon):
    watcher = Watcher()
    assert watcher.check(afternoon.request(), afternoon, 0) == ()
    assert watcher.watch(0, Facts()) is None
    assert watcher.state() == {}
