"""Risk as rows: groups, unknown positions at their worst, alerts' figures, uses of limits."""

from __future__ import annotations

import datetime as dt
import math

import msgspec
import pytest

from toolkit.errors import BadData
from toolkit.orders.risk_views import (
    expiry_view,
    figures_of,
    greek_rows,
    historical_view,
    read_groups,
    rule_rows,
    scenario_view,
    split_by_strategy,
    underlying_greeks,
    var_view,
)
from toolkit.risk.closing import Touch
from toolkit.risk.exposure import Position

EXPIRY = dt.date(2026, 7, 14)
LEVELS = {"NIFTY": 25_000.0}


def option(symbol="C", qty=-75, cp=1, strike=25_000.0, forward=25_000.0, mark=100.0, **more):
    fields = {"underlying": "NIFTY", "tte": 5 / 365, "expiry": EXPIRY, "account": "A"}
    return Position(symbol=symbol, qty=qty, cp=cp, strike=strike, forward=forward, mark=mark, **fields | more)


def future(qty=75, forward=25_010.0):
    return option("F", qty, 0, 0.0, forward, forward)


def test_a_position_is_parted_by_strategy_and_nothing_is_lost():
    parts = split_by_strategy([option(qty=-150), option("P", 75, -1)], {"straddle": {"C": -75}, "hedge": {"P": 150}})
    assert [(p.symbol, p.strategy, p.qty) for p in parts] == [
        ("C", "straddle", -75), ("C", "", -75), ("P", "hedge", 150), ("P", "", -75),
    ]  # fmt: skip
    whole = greek_rows([option(qty=-150), option("P", 75, -1)], ())[0]
    assert greek_rows(parts, ())[0]["delta"] == pytest.approx(whole["delta"], abs=1e-6)


def test_theta_is_a_day_and_vega_a_point():
    row = greek_rows([option(qty=1)], ("symbol",))[0]
    assert row["vega_pt"] == pytest.approx(25_000 * 0.3989 * math.sqrt(5 / 365) / 100, rel=0.01)
    assert row["theta_day"] == pytest.approx(-100 / (2 * 5), rel=0.05)


def test_an_unknown_position_makes_its_group_unknown_with_bounds():
    row = greek_rows([option(), option("X", -75, mark=math.nan)], ("underlying",))[0]
    assert (row["unknown"], row["delta"], row["theta_day"]) == (1, None, None)
    assert row["delta_low"] < -75 < row["delta_high"] < 0


def test_guards_get_none_for_what_cannot_be_valued_and_the_worse_delta_while_it_is_new():
    book = [option(), option("X", -75, mark=math.nan)]
    assert underlying_greeks(book, LEVELS) == {"NIFTY": None}
    greek = underlying_greeks(book, LEVELS, new=frozenset({"NIFTY"}))["NIFTY"]
    assert greek.delta == pytest.approx(-75 - 75 * 0.5, rel=0.05)
    assert greek.gross_delta == -greek.delta
    assert underlying_greeks([option()], {"NIFTY": math.nan}) == {"NIFTY": None}
    hedged = underlying_greeks([option(), future(38)], LEVELS)["NIFTY"]
    assert abs(hedged.delta) < 2 < 70 < hedged.gross_delta


def test_a_short_call_without_a_forward_loses_without_bound_and_says_so():
    found = scenario_view([option(forward=math.nan, mark=math.nan)], {"spot": "0", "vol": "0", "days": "0"})
    assert found["worst"] == {"pnl": None, "unbounded": True, "move": 0.0, "vol": 0.0, "days": 0.0}
    assert found["unknown"] == ["C"]


def test_a_future_is_valued_at_its_own_mark():
    found = scenario_view([future(75, 25_010.0)], {"spot": "0.01", "vol": "0", "days": "0"})
    assert found["worst"]["pnl"] == pytest.approx(75 * 250.10)


def test_value_at_risk_needs_every_volatility():
    assert var_view([future()], {"NIFTY": math.nan}) is None
    found = var_view([future()], {"NIFTY": 0.16})
    assert found["var"] == pytest.approx(75 * 25_010 * 2.326 * 0.16 / math.sqrt(252), rel=0.02)


def test_what_expires_shows_its_pins():
    found = expiry_view([option(), option("P", -75, -1)], LEVELS, EXPIRY)[0]
    assert [(pin["strike"], pin["kink"]) for pin in found["pins"]] == [(25_000.0, -150)]
    worth = {round(row["level"]): row["settles_at"] for row in found["profile"]}
    assert worth[25_000] == 0.0
    assert worth[26_250] == pytest.approx(-75 * 1250)
    assert expiry_view([option()], LEVELS, EXPIRY + dt.timedelta(1)) == []


def test_alerts_watch_shares_of_the_funds_and_an_unknown_is_none():
    touch = {"C": Touch(99.0, 101.0, 75, 75)}
    found = figures_of([option()], touch, 10_000_000, 5_000_000)
    assert found["worst_of_funds"] == pytest.approx(found["worst_case"] / 100_000)
    assert (found["margin_share"], found["close_out"], found["unknown_positions"]) == (0.5, 75.0, 0.0)
    blind = figures_of([option(mark=math.nan)], {}, None, None)
    assert (blind["delta_value"], blind["worst_of_funds"], blind["unknown_positions"]) == (None, None, 1.0)
    assert figures_of([], {}, 100, 0)["worst_of_funds"] == 0.0


@pytest.mark.parametrize("text", ["strateg", "delta", "account,expire"])
def test_a_wrong_group_is_refused(text):
    with pytest.raises(BadData, match="by takes account, strategy"):
        read_groups(text)


def weekdays(count, start=dt.date(2026, 1, 5)):
    days = (start + dt.timedelta(days=n) for n in range(2 * count))
    return [day for day in days if day.weekday() < 5][:count]


def test_past_days_give_the_worst_of_a_hundred_on_todays_book():
    days, level = weekdays(101), 25_000.0
    closes = dict.fromkeys(days, level)
    for n, day in enumerate(days):
        closes[day] = level * (0.97 if n == 40 else 1.0)  # one fall of 3 %, one rise back
    found = historical_view([future(75)], {"NIFTY": closes})
    assert found["points"] == 100
    assert (found["since"], found["until"]) == (days[1].isoformat(), days[-1].isoformat())
    assert found["var"] == found["worst"] == pytest.approx(75 * 25_010.0 * 0.03)
    short = historical_view([future(-75)], {"NIFTY": closes})
    assert short["var"] == pytest.approx(75 * 25_010.0 * (1 / 0.97 - 1))
    option_book = [option()]
    moved = historical_view(option_book, {"NIFTY": closes})
    cell = scenario_view(option_book, {"spot": f"{1 / 0.97 - 1!r}", "vol": "0", "days": "1"})["worst"]["pnl"]
    assert moved["var"] == pytest.approx(-cell)  # no interpolation: each day is a point of the grid


def test_days_of_several_underlyings_are_taken_together_and_holes_are_no_moves():
    days = weekdays(101)
    falls = {day: 25_000.0 * (1 - 0.001 * (n % 2)) for n, day in enumerate(days)}
    other = {day: 80_000.0 * (1 + 0.001 * (n % 2)) for n, day in enumerate(days)}
    book = [
        future(75),
        msgspec.structs.replace(future(24), symbol="S", underlying="SENSEX", forward=80_000.0, mark=80_000.0),
    ]
    both = historical_view(book, {"NIFTY": falls, "SENSEX": other})
    one = historical_view(book[:1], {"NIFTY": falls})
    assert both["var"] < 0.1 * one["var"]  # they move against each other
    assert historical_view(book, {"NIFTY": falls}) is None
    assert historical_view([], {"NIFTY": falls}) is None
    few = dict(list(falls.items())[:50])
    assert historical_view(book[:1], {"NIFTY": few}) is None
    weekly = {dt.date(2024, 1, 1) + dt.timedelta(weeks=n): 100.0 + n for n in range(100)}
    assert historical_view(book[:1], {"NIFTY": weekly}) is None


def test_the_exchanges_breaker_shows_the_largest_move_and_null_while_no_close_is_known():
    from toolkit import tables
    from toolkit.calendar import ist_ns
    from toolkit.risk.guards import Facts
    from toolkit.risk.rulefile import parse
    from toolkit.risk.rules import RuleBook

    rules = RuleBook(parse('[[rule]]\nkind = "exchange_breaker"', "r", breakers=tables.breakers()).rules)
    noon = ist_ns(dt.date(2026, 7, 13), dt.time(12))
    for moves, value in (({"NIFTY": None}, None), ({"NIFTY": -0.04, "SENSEX": 0.01, "BANKNIFTY": 0.3}, 0.04)):
        rules.watch(noon, Facts(index_moves=moves))
        (row,) = rule_rows("A", rules, noon)
        assert (row["value"], row["trip"], row["locked"]) == (value, 0.10, False)
