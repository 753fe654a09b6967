"""Alerts ring once at their line and not again until the figure has come back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BadSetting
from toolkit.risk.alerts import AlertRule, Alerts

S = 1_000_000_000
RULE = AlertRule(name="delta", figure="net_delta", raise_at=1000.0, clear_at=800.0, unit=" units")


def test_raised_at_the_line_and_cleared_below_the_other():
    alerts = Alerts([RULE])
    rang = [
        alerts.update({"net_delta": value}, n * S)
        for n, value in enumerate([999.0, 1000.0, 999.0, 1001.0, 801.0, 800.0])
    ]
    assert [[one.raised for one in each] for each in rang] == [[], [True], [], [], [], [False]]
    assert rang[1][0].text == "delta: net_delta is 1000 units, the line is 1000 units"
    assert rang[5][0].text == "delta: net_delta is back at 800 units"


def test_a_line_from_below():
    alerts = Alerts([AlertRule(name="funds", figure="funds", raise_at=10.0, clear_at=20.0)])
    assert alerts.update({"funds": 11.0}, 0) == ()
    assert alerts.update({"funds": 10.0}, S)[0].raised
    assert alerts.update({"funds": 15.0}, 2 * S) == ()
    assert not alerts.update({"funds": 20.0}, 3 * S)[0].raised


@pytest.mark.parametrize("unknown", [{}, {"net_delta": None}, {"net_delta": math.nan}])
def test_the_unknown_raises_and_does_not_clear(unknown):
    alerts = Alerts([RULE])
    raised = alerts.update(unknown, S)
    assert raised[0].value is None
    assert "is unknown" in raised[0].text
    assert alerts.update(unknown, 2 * S) == ()
    assert [one.name for one in alerts.standing] == ["delta"]
    assert not alerts.update({"net_delta": 0.0}, 3 * S)[0].raised
    assert alerts.standing == ()


def test_a_figure_must_stay_beyond_its_line():
    alerts = Alerts([AlertRule(name="a", figure="f", raise_at=1.0, clear_at=0.0, for_s=5.0)])
    assert alerts.update({"f": 2.0}, 0) == ()
    assert alerts.update({"f": 0.5}, 2 * S) == ()
    assert alerts.update({"f": 2.0}, 3 * S) == ()
    assert alerts.update({"f": 2.0}, 7 * S) == ()
    assert alerts.update({"f": 2.0}, 8 * S)[0].since_ns == 3 * S


@given(st.lists(st.floats(0.0, 2000.0), max_size=60))
def test_raised_and_cleared_take_turns(values):
    alerts, told = Alerts([RULE]), []
    for n, value in enumerate(values):
        told += [one.raised for one in alerts.update({"net_delta": value}, n)]
    assert told == [n % 2 == 0 for n in range(len(told))]


def test_rules_that_make_no_sense_are_refused():
    with pytest.raises(BadSetting, match="raise_at and clear_at must be different"):
        AlertRule(name="a", figure="f", raise_at=1.0, clear_at=1.0)
    with pytest.raises(BadSetting, match="for_s must be at least 0"):
        AlertRule(name="a", figure="f", raise_at=1.0, clear_at=0.0, for_s=-1.0)
    with pytest.raises(BadSetting, match="alert names must differ"):
        Alerts([RULE, RULE])
