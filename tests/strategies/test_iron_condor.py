import math

import pytest

from toolkit.errors import BadData
from toolkit.strategies.iron_condor import IronCondor
from toolkit.types import Side


def legs(market):
    """Net units and delta by side, from the positions."""
    out = []
    for symbol, net in market.positions().items():
        strike, side = symbol.split()[2:]
        at = int(abs(market.slice_.strikes - float(strike)).argmin())
        out.append((side, net, abs(float(market.slice_.side(side).delta[at])), float(strike)))
    return out


def test_four_legs_by_delta_wings_first(market):
    strategy = IronCondor()
    first = list(strategy.on_chain(market))
    assert [i.side for i in first] == [Side.BUY, Side.BUY]
    market.fill(strategy, first)
    second = list(strategy.on_chain(market))
    assert [i.side for i in second] == [Side.SELL, Side.SELL]
    market.fill(strategy, second)
    held = legs(market)
    assert sorted((side, net) for side, net, _, _ in held) == [("CE", -150), ("CE", 150), ("PE", -150), ("PE", 150)]
    for _, net, delta, _ in held:
        assert delta == pytest.approx(0.20 if net < 0 else 0.08, abs=0.06)
    strikes = {(side, net): strike for side, net, _, strike in held}
    assert strikes["PE", 150] < strikes["PE", -150] < market.slice_.forward
    assert market.slice_.forward < strikes["CE", -150] < strikes["CE", 150]


@pytest.mark.parametrize(("iv", "reason"), [(0.25, "stop"), (0.08, "profit")])
def test_leaves_at_the_stop_and_at_the_profit(market, iv, reason):
    strategy = IronCondor(take=0.3)
    market.run(strategy)
    assert len(market.positions()) == 4
    seen = market.at("11:00", iv=iv).run(strategy)
    assert {i.note for i in seen} == {reason}
    sides = [i.side for i in seen]
    assert sides == sorted(sides)
    assert market.positions() == {}
    assert market.at("12:00").run(strategy) == []


def test_waits_when_no_strike_is_near_the_delta(market):
    assert market.at("10:05", iv=0.004).run(IronCondor(tolerance=0.001)) == []


def test_unquoted_or_unpriced_strikes_are_passed_over(market):
    strategy = IronCondor()
    plan = strategy.choose(market, market.slice_)
    short = next(s for s, net in plan.items() if net < 0 and s.endswith("CE"))
    at = int(abs(market.slice_.strikes - float(short.split()[2])).argmin())
    market.unquoted(at, "CE", bid=math.nan)
    other = strategy.choose(market, market.slice_)
    assert other
    assert short not in other
    market.unquoted(at, "CE", delta=math.nan)
    assert strategy.choose(market, market.slice_) == other


def test_wings_must_be_further_out_than_the_short_legs():
    with pytest.raises(BadData, match=r"'wing_delta' of strategy 'iron-condor' must be below short_delta 0.1, was 0.2"):
        IronCondor(short_delta=0.1, wing_delta=0.2)


def test_equal_strikes_are_no_condor(market):
    market.at("10:05", step=1500.0)
    assert IronCondor(tolerance=0.3).choose(market, market.slice_) == {}
