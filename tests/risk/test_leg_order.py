"""The order of legs: never a higher peak than any other order has."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import pricing
from toolkit.risk.leg_order import leg_order
from toolkit.risk.margin import Leg, span_margin
from toolkit.risk.span import default_params

SPOT, VOL, WEEK = 24500.0, 0.12, 8 / 365
PARAMS = default_params(SPOT, VOL)


def leg(qty, strike, cp=1):
    mark = float(pricing.price(cp, SPOT, strike, WEEK, VOL, 0.0, model="bsm"))
    return Leg(underlying="NIFTY", cp=cp, qty=qty, tte=WEEK, strike=strike, mark=mark)


CONDOR = [leg(-65, 24800.0), leg(65, 25000.0), leg(-65, 24200.0, -1), leg(65, 24000.0, -1)]


def peak(order, held=()):
    """The most that is needed after any leg, by span_margin alone."""
    most, done, cash = -1e18, list(held), 0.0
    for one in order:
        done.append(one)
        cash += one.qty * one.mark
        most = max(most, span_margin(done, PARAMS).total + cash)
    return most


def test_hedges_come_first_and_the_figures_are_those_of_the_book():
    steps = leg_order(CONDOR, PARAMS)
    assert [step.leg.qty > 0 for step in steps] == [True, True, False, False]
    assert sorted(step.number for step in steps) == [0, 1, 2, 3]
    done, cash = [], 0.0
    for step in steps:
        done.append(step.leg)
        cash += step.leg.qty * step.leg.mark
        assert step.margin == pytest.approx(span_margin(done, PARAMS).total)
        assert step.cash == pytest.approx(cash)
        assert step.needed == pytest.approx(step.margin + cash)


def test_selling_first_would_have_needed_more_than_twice():
    steps = leg_order(CONDOR, PARAMS)
    assert peak([CONDOR[0], CONDOR[2], CONDOR[1], CONDOR[3]]) > 2 * max(step.needed for step in steps)


LEGS = st.lists(
    st.builds(
        leg,
        st.sampled_from([-130, -65, 65, 130]),
        st.sampled_from([24000.0, 24500.0, 25000.0]),
        st.sampled_from([1, -1]),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(LEGS, st.lists(st.builds(leg, st.sampled_from([-65, 65]), st.just(24500.0)), max_size=1))
def test_no_other_order_has_a_lower_peak(legs, held):
    ours = max(step.needed for step in leg_order(legs, PARAMS, held))
    assert ours == pytest.approx(min(peak(order, held) for order in permutations(legs)), abs=1e-6)


def test_positions_held_are_kept_in_mind():
    short = leg(-65, 24500.0)
    steps = leg_order([leg(65, 24500.0)], PARAMS, held=[short])
    assert steps[0].margin == 0.0


def test_many_legs_go_one_by_one_to_what_needs_least():
    wings = [leg(65, 24000.0 + 100.0 * n) for n in range(7)]
    sold = [leg(-65, 23900.0 - 100.0 * n, -1) for n in range(7)]
    steps = leg_order([*sold, *wings], PARAMS)
    assert len(steps) == 14
    assert sorted(step.number for step in steps) == list(range(14))
    assert max(step.needed for step in steps) <= peak([*sold, *wings]) + 1e-6


def test_what_must_go_first_goes_first_and_the_rest_is_as_little_as_it_can_be():
    free = [step.number for step in leg_order(CONDOR, PARAMS)]
    bound = leg_order(CONDOR, PARAMS, after=[(), (), (), (0,)])
    numbers = [step.number for step in bound]
    assert free.index(3) < free.index(0)
    assert numbers.index(0) < numbers.index(3)
    allowed = [order for order in permutations(range(4)) if order.index(0) < order.index(3)]
    least = min(peak([CONDOR[n] for n in order]) for order in allowed)
    assert max(step.needed for step in bound) == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("after", [(), [(1,), (), (3,), ()]])
def test_no_part_of_a_stage_needs_more_than_the_peak(after):
    steps = leg_order(CONDOR, PARAMS, after=after)
    most = max(step.needed for step in steps)
    assert [step.stage for step in steps] == sorted(step.stage for step in steps)
    assert len({step.stage for step in steps}) < len(steps), "hedges of both sides are bought together"
    for stage in {step.stage for step in steps}:
        base = [step.leg for step in steps if step.stage < stage]
        mine = [step.leg for step in steps if step.stage == stage]
        for parts in permutations(mine):
            for count in range(1, len(parts) + 1):
                done = [*base, *parts[:count]]
                cash = sum(one.qty * one.mark for one in done)
                assert span_margin(done, PARAMS).total + cash <= most + 1e-6


def test_many_legs_keep_what_must_go_first_and_their_stages_are_runs_of_one_side():
    wings = [leg(65, 25000.0 + 100.0 * n) for n in range(7)]
    sold = [leg(-65, 24900.0 - 100.0 * n) for n in range(7)]
    after = [range(7, 14)] * 7 + [()] * 7
    steps = leg_order([*sold, *wings], PARAMS, after=after)
    assert {step.number for step in steps[:7]} == set(range(7, 14))
    assert [step.stage for step in steps] == [0] * 7 + [1] * 7
