import math

import pytest

from toolkit.strategies.planned import net_delta
from toolkit.strategies.short_straddle import ShortStraddle
from toolkit.types import Side

CALL = "NIFTY 02SEP2025 24600 CE"
PUT = "NIFTY 02SEP2025 24600 PE"


def entered(market, **params):
    strategy = ShortStraddle(**params)
    market.run(strategy)
    assert market.positions() == {CALL: -150, PUT: -150}
    market.run(strategy)
    return strategy


def test_sells_both_legs_at_the_strike_nearest_the_forward(market):
    strategy = ShortStraddle(lots=3)
    intents = list(strategy.on_chain(market))
    assert [(i.symbol, i.side, i.order_qty) for i in intents] == [(CALL, Side.SELL, 225), (PUT, Side.SELL, 225)]


def test_waits_while_a_leg_has_no_bid(market):
    at = market.slice_.atm
    market.unquoted(at, "PE", bid=math.nan)
    assert ShortStraddle().on_chain(market) == []


def test_enters_once_a_day(market):
    strategy = entered(market, take=0.01)
    market.run(strategy)
    market.at("10:30", iv=0.08)
    market.run(strategy)
    assert market.positions() == {}
    assert market.at("11:00").run(strategy) == []


@pytest.mark.parametrize(("forward", "iv", "reason"), [(24576.0, 0.25, "stop"), (24576.0, 0.04, "profit")])
def test_leaves_at_the_stop_and_at_the_profit(market, forward, iv, reason):
    strategy = entered(market)
    market.at("11:00", forward, iv=iv)
    seen = market.run(strategy)
    assert {i.note for i in seen} == {reason}
    assert {i.side for i in seen} == {Side.BUY}
    assert market.positions() == {}


def test_stays_between_stop_and_profit(market):
    strategy = entered(market)
    assert market.at("11:00", 24590.0).run(strategy) == []


@pytest.mark.parametrize("forward", [24440.0, 24470.0, 24725.0, 24750.0])
def test_hedges_in_whole_lots_towards_zero_delta(market, forward):
    strategy = entered(market, stop=10.0)
    market.at("11:00", forward)
    before = net_delta(market)
    assert abs(before) > 0.6 * 75
    seen = market.run(strategy, rounds=2)
    assert {i.note for i in seen} == {"delta hedge"}
    assert abs(net_delta(market)) < abs(before)
    assert abs(net_delta(market)) <= 0.6 * 75
    assert all(net % 75 == 0 for net in market.positions().values())


def test_does_not_hedge_inside_the_band_nor_while_orders_work(market):
    strategy = entered(market, stop=10.0, band=2.0)
    assert market.at("11:00", 24650.0).run(strategy) == []
    strategy = entered(market, stop=10.0) if not market.positions() else strategy
    market.at("11:05", 24850.0)
    market.work(CALL, "BUY", 75)
    before = dict(strategy.plan)
    strategy.on_chain(market)
    assert strategy.plan == before


def test_does_not_hedge_on_an_unknown_delta(market):
    strategy = entered(market, stop=10.0)
    market.at("11:00", 24720.0)
    market.unquoted(int(abs(market.slice_.strikes - 24600).argmin()), "CE", delta=math.nan)
    assert market.run(strategy) == []
