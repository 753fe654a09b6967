"""Every named combination against a payoff written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from toolkit.errors import BadData
from toolkit.pricing import builders

S = np.linspace(50.0, 160.0, 221)


def c(k):
    return np.maximum(S - k, 0.0)


def p(k):
    return np.maximum(k - S, 0.0)


COST = {("CE", 90.0): 12.0, ("CE", 95.0): 8.0, ("CE", 100.0): 5.0, ("CE", 105.0): 3.0, ("CE", 110.0): 1.5,
        ("PE", 90.0): 1.0, ("PE", 95.0): 2.5, ("PE", 100.0): 5.0, ("PE", 105.0): 8.0, ("PE", 110.0): 11.5}  # fmt: skip

CASES = {
    "straddle": ((100.0,), lambda: c(100) + p(100) - 10.0),
    "strangle": ((95.0, 105.0), lambda: p(95) + c(105) - 5.5),
    "strip": ((100.0,), lambda: c(100) + 2 * p(100) - 15.0),
    "strap": ((100.0,), lambda: 2 * c(100) + p(100) - 15.0),
    "bull_call_spread": ((95.0, 105.0), lambda: c(95) - c(105) - 5.0),
    "bear_call_spread": ((95.0, 105.0), lambda: c(105) - c(95) + 5.0),
    "bull_put_spread": ((95.0, 105.0), lambda: p(95) - p(105) + 5.5),
    "bear_put_spread": ((95.0, 105.0), lambda: p(105) - p(95) - 5.5),
    "butterfly": ((95.0, 100.0, 105.0), lambda: c(95) - 2 * c(100) + c(105) - 1.0),
    "condor": ((90.0, 95.0, 105.0, 110.0), lambda: c(90) - c(95) - c(105) + c(110) - 2.5),
    "iron_butterfly": ((95.0, 100.0, 105.0), lambda: p(95) - p(100) - c(100) + c(105) + 4.5),
    "iron_condor": ((90.0, 95.0, 105.0, 110.0), lambda: p(90) - p(95) - c(105) + c(110) + 3.0),
    "ratio_spread": ((100.0, 110.0), lambda: c(100) - 2 * c(110) - 2.0),
    "back_spread": ((100.0, 110.0), lambda: 2 * c(110) - c(100) + 2.0),
    "jade_lizard": ((95.0, 105.0, 110.0), lambda: -p(95) - c(105) + c(110) + 4.0),
    "synthetic_future": ((100.0,), lambda: S - 100.0),
    "box": ((95.0, 105.0), lambda: np.full(len(S), 10.0) - 10.5),
    "covered_call": ((101.0, 105.0), lambda: S - 101.0 - c(105) + 3.0),
    "protective_put": ((101.0, 95.0), lambda: S - 101.0 + p(95) - 2.5),
    "collar": ((101.0, 95.0, 105.0), lambda: S - 101.0 + p(95) - c(105) + 0.5),
}


def quote(kind, strike):
    return COST[kind, strike]


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("qty", [1.0, -75.0])
def test_payoff_is_the_one_written_by_hand(name, qty):
    strikes, payoff = CASES[name]
    held = builders.build(name, *strikes, qty, quote)
    assert held.name == name
    assert held.payoff(S) == pytest.approx(qty * payoff(), abs=1e-12)


def test_every_builder_is_covered():
    assert set(builders.BUILDERS) == set(CASES) | {"calendar", "diagonal"}


def test_puts_where_the_kind_may_be_chosen():
    assert builders.butterfly(95.0, 100.0, 105.0, 1.0, quote, "PE").payoff(S) == pytest.approx(
        p(95) - 2 * p(100) + p(105) - 0.5
    )
    assert builders.ratio_spread(100.0, 95.0, 1.0, quote, "PE", 3.0).payoff(S) == pytest.approx(
        p(100) - 3 * p(95) + 2.5
    )
    assert builders.condor(90.0, 95.0, 105.0, 110.0, 1.0, quote, "PE").payoff(S) == pytest.approx(
        p(90) - p(95) - p(105) + p(110) - 2.0
    )


def test_calendar_and_diagonal():
    near, far = builders.Quote(5.0, 0.05, 0.2), builders.Quote(7.0, 0.1, 0.2)
    held = builders.calendar(100.0, near, far, 2.0, "PE")
    assert [(leg.kind, leg.qty, leg.strike, leg.tte) for leg in held.legs] == [
        ("PE", -2.0, 100.0, 0.05),
        ("PE", 2.0, 100.0, 0.1),
    ]
    assert held.name == "calendar"
    other = builders.build("diagonal", 105.0, 100.0, near, far)
    assert [leg.strike for leg in other.legs] == [105.0, 100.0]
    with pytest.raises(BadData, match=r"near\.tte below far\.tte"):
        builders.calendar(100.0, far, near)


@pytest.mark.parametrize(
    ("name", "strikes"),
    [("strangle", (105.0, 95.0)), ("iron_condor", (90.0, 105.0, 95.0, 110.0)), ("butterfly", (95.0, 95.0, 105.0))],
)
def test_strikes_must_ascend(name, strikes):
    with pytest.raises(BadData, match="ascending strikes"):
        builders.build(name, *strikes)


def test_farther_out_is_checked_and_names_are_suggested():
    with pytest.raises(BadData, match="farther out"):
        builders.ratio_spread(110.0, 100.0)
    with pytest.raises(BadData, match="did you mean 'iron_condor'"):
        builders.build("iron_condr", 1, 2, 3, 4)


def test_quotes_carry_time_and_vol():
    held = builders.straddle(100.0, 1.0, lambda kind, strike: builders.Quote(4.0, 0.1, 0.3))
    assert {(leg.tte, leg.iv) for leg in held.legs} == {(0.1, 0.3)}
    assert all(math.isnan(leg.tte) for leg in builders.straddle(100.0).legs)
