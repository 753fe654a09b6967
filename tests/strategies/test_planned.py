import json
import math

import pytest

from toolkit.errors import BadData
from toolkit.strategies import SHIPPED, catalogue, shipped
from toolkit.strategies.planned import clock, located, mark, net_delta, steer
from toolkit.strategies.protocol import Param
from toolkit.types import Cancel, ExecType, OrdStatus, Side

CALL = "NIFTY 02SEP2025 24600 CE"
PUT = "NIFTY 02SEP2025 24500 PE"
ALL = sorted(SHIPPED)


def index_of(market, strike):
    return int(abs(market.slice_.strikes - strike).argmin())


def test_steer_buys_before_it_sells(market):
    plan = {CALL: -150, PUT: 150}
    first = steer(market, plan, "entry", 1.0, 100.0)
    assert [(i.symbol, i.side, i.order_qty, i.note) for i in first] == [(PUT, Side.BUY, 150, "entry")]
    market.net[PUT] = 150
    second = steer(market, plan, "entry", 1.0, 100.0)
    assert [(i.symbol, i.side, i.order_qty) for i in second] == [(CALL, Side.SELL, 150)]
    market.net[CALL] = -150
    assert steer(market, plan, "entry", 1.0, 100.0) == []


def test_steer_sells_nothing_while_a_buy_works(market):
    market.work(PUT, "BUY", 150)
    assert steer(market, {CALL: -150, PUT: 150}, "", 1.0, 100.0) == []


@pytest.mark.parametrize(("side", "slack"), [("BUY", 0.0), ("BUY", 1.0), ("SELL", 0.0), ("SELL", 3.0)])
def test_limits_stand_beyond_the_touch_on_the_tick(market, side, slack):
    sign = 1 if side == "BUY" else -1
    (place,) = steer(market, {CALL: sign * 75}, "", slack, 100.0)
    leg, at = market.slice_.ce, index_of(market, 24600)
    touch_p = round(float(leg.ask[at] if side == "BUY" else leg.bid[at]) * 100)
    assert place.price_p % 5 == 0
    assert 0 < sign * (place.price_p - touch_p) <= max(5, touch_p * slack / 100)


def test_a_limit_never_falls_below_one_tick(market):
    market.unquoted(index_of(market, 24600), "CE", bid=0.05)
    (place,) = steer(market, {CALL: -75}, "", 20.0, 100.0)
    assert place.price_p == 5


def test_an_unquoted_leg_waits(market):
    market.unquoted(index_of(market, 24600), "CE", ask=math.nan)
    assert steer(market, {CALL: 75}, "", 1.0, 100.0) == []


def test_partial_fills_are_completed(market):
    market.net[CALL] = -75
    (place,) = steer(market, {CALL: -150}, "", 1.0, 100.0)
    assert (place.side, place.order_qty) == (Side.SELL, 75)


def test_a_late_order_is_cancelled_once_and_an_unwanted_one_at_once(market):
    market.work(CALL, "SELL", 75, age_s=101)
    (cancel,) = steer(market, {CALL: -75}, "", 1.0, 100.0)
    assert cancel == Cancel(cl_ord_id=market.working[0].cl_ord_id)
    market.working.clear()
    market.work(CALL, "SELL", 75, age_s=500, status=OrdStatus.PENDING_CANCEL)
    assert steer(market, {CALL: -75}, "", 1.0, 100.0) == []
    market.working.clear()
    market.work(CALL, "SELL", 75, age_s=1)
    assert steer(market, {CALL: -75}, "", 1.0, 100.0) == []
    assert [type(i) for i in steer(market, {CALL: 0}, "", 1.0, 100.0)] == [Cancel]
    market.net[CALL] = -75
    assert Cancel(cl_ord_id=market.working[0].cl_ord_id) in steer(market, {CALL: 0}, "", 1.0, 100.0)


def test_an_unknown_order_is_never_sent_again(market):
    market.work(CALL, "SELL", 75, age_s=1000, status=OrdStatus.UNKNOWN)
    assert steer(market, {CALL: -75}, "", 1.0, 100.0) == []


def test_mark_is_at_mid_and_falls_back_to_the_last_price(market):
    at = index_of(market, 24600)
    leg = market.slice_.ce
    market.net[CALL] = -150
    assert mark(market) == pytest.approx(-150 * (leg.bid[at] + leg.ask[at]) / 2)
    market.unquoted(at, "CE", bid=math.nan)
    assert mark(market) == pytest.approx(-150 * leg.ltp[at])
    market.unquoted(at, "CE", ltp=math.nan)
    assert math.isnan(mark(market))


def test_net_delta_adds_up_and_unknown_stays_unknown(market):
    call, put = index_of(market, 24600), index_of(market, 24500)
    market.net.update({CALL: -75, PUT: -150})
    expected = -75 * market.slice_.ce.delta[call] - 150 * market.slice_.pe.delta[put]
    assert net_delta(market) == pytest.approx(expected)
    market.unquoted(put, "PE", delta=math.nan)
    assert math.isnan(net_delta(market))


def test_located_finds_listed_strikes_only(market):
    chain, at, kind = located(market, CALL)
    assert (chain.strikes[at], kind) == (24600.0, "CE")
    assert located(market, "NIFTY 02SEP2025 24610 CE")[0] is None
    assert located(market, "NIFTY 02SEP2025 99000 PE")[0] is None
    assert located(market, "NIFTY 09SEP2025 24600 CE")[0] is None
    market.net["NIFTY 09SEP2025 24600 CE"] = 75
    assert math.isnan(mark(market))
    assert math.isnan(net_delta(market))


@pytest.mark.parametrize("text", ["25:00", "noon", "", "9.30"])
def test_clock_refuses_what_is_no_time(text):
    with pytest.raises(BadData, match=r"'exit_at' of strategy 'x' must be HH:MM, was"):
        clock("x", "exit_at", text)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "times",
    [
        {"enter_from": "14:50"},
        {"enter_until": "15:10"},
        {"exit_at": "09:30"},
        {"enter_from": "10:00", "enter_until": "09:59", "exit_at": "15:00"},
    ],
)
def test_times_in_the_wrong_order_are_refused(name, times):
    with pytest.raises(
        BadData, match=f"strategy '{name}' must stand in the order enter_from, enter_until, exit_at, were"
    ):
        shipped(name)(**times)
    shipped(name)(enter_from="10:00", enter_until="10:00", exit_at="10:01")


def test_clock_reads_seconds_of_the_day():
    assert clock("x", "exit_at", "09:15") == 33300


def test_every_shipped_strategy_is_found_documented_and_bounded():
    assert [cls.name for cls in catalogue()] == ALL
    for cls in catalogue():
        assert cls.hypothesis.endswith("Not a promise.")
        assert "Rules." in cls.__doc__
        for param in cls.params.values():
            assert isinstance(param, Param)
            assert param.unit
            assert param.doc
            if not isinstance(param.default, str):
                assert param.low is not None
                assert param.high is not None
                assert param.low <= param.default <= param.high


def test_an_unknown_strategy_names_the_nearest():
    with pytest.raises(BadData, match=r"no strategy 'oi-wal'; did you mean 'oi-wall'\? shipped: iron-condor, oi-wall"):
        shipped("oi-wal")


@pytest.mark.parametrize("name", ALL)
def test_a_parameter_that_does_not_exist_names_the_nearest(name):
    with pytest.raises(BadData, match=r"has no parameter 'stopp'; did you mean 'stop'\?"):
        shipped(name)(stopp=1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("key", "value"), [("lots", 0), ("lots", 1.5), ("stop", -1), ("exit_at", "late"), ("slack", 99)]
)
def test_parameters_are_bounded(name, key, value):
    with pytest.raises(BadData, match=f"'{key}'"):
        shipped(name)(**{key: value})


def strategy_in_the_market(name, market):
    """A strategy that has entered, with walls for the one that needs them."""
    market.all_levels = {"pcr": 0.6, "ce_wall": 24800.0, "pe_wall": 24300.0}
    strategy = shipped(name)()
    for minute in range(10):
        market.at(f"10:{minute:02d}")
        market.run(strategy)
    assert market.positions(), name
    return strategy


@pytest.mark.parametrize("name", ALL)
def test_everything_is_closed_at_the_exit_time(name, market):
    strategy = strategy_in_the_market(name, market)
    market.run(market_at_exit := strategy) if market.at("15:10") else None
    assert market_at_exit is strategy
    assert market.positions() == {}
    assert market.at("15:20").run(strategy) == []


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_entered_outside_the_window(name, market):
    market.all_levels = {"pcr": 0.6, "ce_wall": 24800.0, "pe_wall": 24300.0}
    strategy = shipped(name)()
    for clock_ in ("09:16", "09:29", "13:01", "14:59", "15:29"):
        for _ in range(8):
            assert market.at(clock_).run(strategy) == []


@pytest.mark.parametrize("name", ALL)
def test_a_denied_order_ends_the_day_and_closes_what_is_open(name, market):
    market.all_levels = {"pcr": 0.6, "ce_wall": 24800.0, "pe_wall": 24300.0}
    strategy = shipped(name)()
    intents = ()
    for minute in range(10):
        market.at(f"10:{minute:02d}")
        intents = strategy.on_chain(market)
        if intents:
            break
    first, *others = intents
    market.fill(strategy, others)
    strategy.on_report(market.report(first, ExecType.DENIED, "order value"))
    market.run(strategy)
    assert market.positions() == {}
    for minute in range(10, 40):
        assert market.at(f"10:{minute}").run(strategy) == []


@pytest.mark.parametrize("name", ALL)
def test_a_day_carried_over_is_closed_first(name, market):
    strategy = strategy_in_the_market(name, market)
    later = strategy.state()
    market.now_ns += 3 * 86_400 * 10**9
    intents = strategy.on_chain(market)
    assert intents
    assert all(i.note == "carried over from the day before" for i in intents)
    market.fill(strategy, intents)
    market.run(strategy)
    assert strategy.state()["day"] != later["day"]


@pytest.mark.parametrize("name", ALL)
def test_state_is_json_and_restore_continues_the_same_way(name, market):
    market.all_levels = {"pcr": 0.6, "ce_wall": 24800.0, "pe_wall": 24300.0}
    first, forward = shipped(name)(), 24576.0
    for step in range(60):
        market.at(f"{10 + step // 12}:{(step % 12) * 5:02d}", forward := forward + (7 if step % 3 else -11))
        copy = shipped(name)()
        copy.restore(json.loads(json.dumps(first.state())))
        assert copy.state() == first.state()
        intents = list(first.on_chain(market))
        assert list(copy.on_chain(market)) == intents
        assert copy.state() == first.state()
        market.fill(first, intents)


@pytest.mark.parametrize("name", ALL)
def test_no_chain_is_no_decision(name, market):
    market.slice_ = None
    assert shipped(name)().on_chain(market) == []


@pytest.mark.parametrize("name", ALL)
def test_an_unfilled_entry_is_given_up(name, market):
    market.all_levels = {"pcr": 0.6, "ce_wall": 24800.0, "pe_wall": 24300.0}
    strategy = shipped(name)(patience=1.0)
    for minute in range(30):
        market.at(f"10:{minute:02d}")
        strategy.on_chain(market)
    assert market.at("10:31").run(strategy) == [] or strategy.trades >= 1
    assert market.positions() == {} or strategy.stage in ("entering", "holding")


@pytest.mark.parametrize("name", ALL)
def test_the_nearest_expiry_far_enough_is_used(name, market):
    market.all_levels = {"pcr": 0.6, "ce_wall": 24800.0, "pe_wall": 24300.0}
    strategy = shipped(name)(min_days=5)
    for minute in range(12):
        assert market.at(f"10:{minute:02d}").run(strategy) == []
