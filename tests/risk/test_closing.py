"""What closing costs: the spread, the walk, and what has no quote."""

from __future__ import annotations

import math

import pytest

from toolkit.risk.closing import CloseOut, Touch, close_out
from toolkit.risk.exposure import Position


def held(qty, symbol="C", mark=math.nan, cp=1):
    return Position(symbol=symbol, underlying="NIFTY", cp=cp, qty=qty, strike=25000.0, mark=mark)


TOUCH = {"C": Touch(99.0, 101.0, 130, 65)}


def test_inside_the_touch_it_is_half_the_spread():
    assert close_out([held(130)], TOUCH) == CloseOut(130.0, 0.0, 0.0, 130.0, ())


@pytest.mark.parametrize(
    ("qty", "impact"), [(-65, 0.0), (-130, 65 * 2.0), (-195, 65 * 2.0 + 65 * 4.0), (-100, 35 * 2.0)]
)
def test_beyond_the_touch_it_walks_a_spread_a_level(qty, impact):
    cost = close_out([held(qty)], TOUCH)
    assert cost.impact == impact
    assert cost.total == abs(qty) * 1.0 + impact


def test_a_long_position_without_a_bid_loses_all_it_is_worth():
    cost = close_out([held(65, mark=12.0)], {"C": Touch(None, 14.0, None, 65)})
    assert (cost.lost, cost.total, cost.unknown) == (65 * 12.0, 65 * 12.0, ("C",))


@pytest.mark.parametrize(
    ("position", "touches"),
    [
        (held(-65, mark=12.0), {"C": Touch(10.0, None)}),
        (held(-65), {}),
        (held(65), {}),
        (held(65, cp=0, mark=25000.0), {}),
        (held(-65), {"C": Touch(99.0, 101.0, 65, 1)}),
        (held(-65), {"C": Touch(99.0, 101.0, 65, None)}),
    ],
)
def test_what_cannot_be_closed_has_no_bound_and_is_named(position, touches):
    cost = close_out([position], touches)
    assert cost.total == math.inf
    assert cost.unknown == ("C",)


def test_nothing_held_costs_nothing():
    assert close_out([held(0)], {}) == CloseOut(0.0, 0.0, 0.0, 0.0, ())
