import math

import pytest

from toolkit.strategies.oi_wall import OIWall
from toolkit.types import Side

LEVELS = {"pcr": 0.6, "ce_wall": 24800.0, "pe_wall": 24300.0}
SHORT = "NIFTY 02SEP2025 24800 CE"
WING = "NIFTY 02SEP2025 25000 CE"


def watch(strategy, market, minutes, start=0):
    """Let snapshots pass, one a minute from 10:00; all intents, filled."""
    seen = []
    for minute in range(start, start + minutes):
        market.at(f"{10 + minute // 60}:{minute % 60:02d}")
        seen += market.run(strategy, rounds=1)
    return seen


@pytest.fixture
def walled(market):
    market.all_levels = dict(LEVELS)
    return market


def test_sells_the_call_spread_at_a_wall_that_has_stood(walled):
    strategy = OIWall()
    assert watch(strategy, walled, 4) == []
    first, *rest = watch(strategy, walled, 3, 4)
    assert (first.symbol, first.side, first.order_qty) == (WING, Side.BUY, 150)
    assert [(i.symbol, i.side) for i in rest] == [(SHORT, Side.SELL)]
    assert walled.positions() == {SHORT: -150, WING: 150}


def test_sells_the_put_spread_when_puts_are_written_more(walled):
    walled.all_levels["pcr"] = 1.3
    watch(OIWall(), walled, 7)
    assert walled.positions() == {"NIFTY 02SEP2025 24300 PE": -150, "NIFTY 02SEP2025 24100 PE": 150}


def test_a_flickering_wall_is_never_sold(walled):
    strategy = OIWall()
    for minute in range(50):
        walled.all_levels["ce_wall"] = 24800.0 if minute % 4 else 25000.0
        assert watch(strategy, walled, 1, minute) == []


@pytest.mark.parametrize(
    "change",
    [
        {"pcr": math.nan},
        {"ce_wall": math.nan},
        {"ce_wall": 24600.0},
        {"ce_wall": 24825.0},
        {"ce_wall": 25950.0},
        {"ce_wall": 25500.0},
    ],
    ids=["no pcr", "no wall", "too near", "no such strike", "no room for the wing", "too little credit"],
)
def test_reasons_to_wait(walled, change):
    walled.all_levels.update(change)
    assert watch(OIWall(), walled, 20) == []


def test_no_levels_is_no_trade(market):
    assert watch(OIWall(), market, 20) == []


def entered(market, **params):
    strategy = OIWall(**params)
    watch(strategy, market, 8)
    assert market.positions() == {SHORT: -150, WING: 150}
    return strategy


@pytest.mark.parametrize(
    ("forward", "iv", "reason"),
    [(24790.0, 0.11, "wall breached"), (24740.0, 0.18, "stop"), (24576.0, 0.06, "profit")],
)
def test_leaves_when_the_forward_or_the_price_says_so(walled, forward, iv, reason):
    strategy = entered(walled)
    walled.at("11:00", forward, iv=iv)
    seen = walled.run(strategy)
    assert {i.note for i in seen} == {reason}
    assert [i.side for i in seen] == [Side.BUY, Side.SELL]
    assert walled.positions() == {}


def test_leaves_only_after_the_wall_has_stayed_away(walled):
    strategy = entered(walled)
    walled.all_levels["ce_wall"] = 25000.0
    assert watch(strategy, walled, 4, 20) == []
    walled.all_levels["ce_wall"] = 24800.0
    assert watch(strategy, walled, 1, 24) == []
    walled.all_levels["ce_wall"] = 25000.0
    seen = watch(strategy, walled, 7, 25)
    assert {i.note for i in seen} == {"wall moved away"}
    assert walled.positions() == {}


def test_a_wall_that_comes_nearer_is_no_reason_to_leave(walled):
    strategy = entered(walled)
    walled.all_levels["ce_wall"] = 24700.0
    assert watch(strategy, walled, 20, 20) == []


def test_at_most_two_trades_a_day(walled):
    strategy = OIWall(take=0.01, distance=0.0, min_credit=0.0)
    for minute in range(150):
        iv = 0.11 if minute % 2 else 0.07
        walled.at(f"{10 + minute // 60}:{minute % 60:02d}", iv=iv)
        walled.run(strategy, rounds=1)
    assert strategy.trades == 2
    assert walled.positions() == {}


def test_state_keeps_unknown_walls_as_null(market):
    state = OIWall().state()
    assert state["walls"] == {"CE": None, "PE": None}
    assert state["strike"] is None
