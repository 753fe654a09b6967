"""The simulated day: quotes reach the exchange in time, bands, spot, settlement at the close."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from toolkit.sim.world import bands, references
from toolkit.types import ExecType, OrderRequest, Side

CE, PE, FUT, SPOT = 40001 * 256 + 2, 40002 * 256 + 2, 40003 * 256 + 2, 256265
SYMBOL = "NIFTY 14JUL2026 25000 CE"


def order(name, side, qty, price_p, symbol=SYMBOL, **more):
    return OrderRequest(cl_ord_id=name, symbol=symbol, side=side, order_qty=qty, price_p=price_p, **more)


def test_time_never_runs_back(quiet_world, clock_ns):
    quiet_world.advance(clock_ns("09:30:00"))
    assert quiet_world.advance(clock_ns("09:20:00")).size == 0
    assert quiet_world.now_ns == clock_ns("09:30:00")


def test_advance_names_the_keys_whose_quote_changed(quiet_world, clock_ns):
    assert quiet_world.advance(clock_ns("09:30:00")).tolist() == [CE]
    assert quiet_world.advance(clock_ns("09:31:00")).tolist() == []
    assert quiet_world.advance(clock_ns("10:00:00")).tolist() == sorted([SPOT, CE])


def test_an_order_fills_when_the_quote_comes_not_when_the_clock_jumps_past_it(quiet_world, clock_ns):
    heard = []
    quiet_world.listen(heard.append, lambda now_ns: None)
    quiet_world.exchange.place(order("A1", Side.BUY, 65, 9850), quiet_world.now_ns)
    quiet_world.advance(clock_ns("12:00:00"))
    fill = next(report for report in heard if report.exec_type is ExecType.TRADE)
    assert (fill.ts_ns, fill.last_px_p) == (clock_ns("09:20:00"), 9850)


def test_watches_see_every_moment(quiet_world, clock_ns):
    seen = []
    quiet_world.listen(lambda report: None, seen.append)
    quiet_world.advance(clock_ns("10:00:00"))
    assert seen == sorted(seen)
    assert {clock_ns("09:20:00"), clock_ns("10:00:00")} <= set(seen)


def test_the_spot_is_the_recorded_one(quiet_world, clock_ns):
    assert quiet_world.spot("NIFTY") == 25010.0
    quiet_world.advance(clock_ns("10:00:00"))
    assert quiet_world.spot("NIFTY") == 25060.0


@pytest.mark.parametrize(
    ("names", "spot"),
    [(("FUT", "CE", "PE"), 25040.0), (("CE", "PE"), 25020.0), (("CE",), None)],
    ids=["future", "parity", "nothing"],
)
def test_without_a_recorded_spot_the_future_then_parity_stand_in(make_world, names, spot):
    prices = {"FUT": 25040.0, "CE": 100.0, "PE": 80.0}
    world = make_world([("09:15:00", n, None, None, None, None, prices[n], 65) for n in names], spot=False)
    found = world.spot("NIFTY")
    assert found == spot if spot is not None else math.isnan(found)


def test_a_reference_is_the_close_and_else_the_first_price(quiet_world):
    assert references(quiet_world.tape, {CE: 95.0}) == {CE: 95.0, PE: 80.0, FUT: 25040.0, SPOT: 25010.0}


def test_bands_are_on_the_tick_and_an_index_has_none(quiet_world):
    found = bands(quiet_world.roster, {CE: 95.0, FUT: 25040.0, SPOT: 25010.0})
    assert found[CE] == (5, 509700)
    assert found[FUT] == (2253600, 2754400)
    assert SPOT not in found
    assert PE not in found
    for key, (low, high) in found.items():
        tick = quiet_world.roster.by_key[key].instrument.tick_p
        assert low % tick == high % tick == 0


def test_the_exchange_enforces_the_band(quiet_world):
    heard = []
    quiet_world.listen(heard.append, lambda now_ns: None)
    future = "NIFTY 28JUL2026 FUT"
    quiet_world.exchange.place(order("A1", Side.BUY, 65, 2754410, future), quiet_world.now_ns)
    quiet_world.pump()
    assert heard[-1].exec_type is ExecType.REJECTED
    assert "band" in heard[-1].text


def test_what_expires_today_settles_at_the_close(make_world, clock_ns):
    rows = [
        ("09:15:00", "SPOT", None, None, None, None, 25010.0, None),
        ("09:15:00", "CE", 20.0, 65, 21.0, 65, 20.0, 65),
        ("15:29:00", "SPOT", None, None, None, None, 25033.4, None),
    ]
    world = make_world(rows, expiry=dt.date(2026, 7, 13))
    world.advance(clock_ns("15:29:59"))
    assert world.settled == {}
    world.advance(clock_ns("15:30:00"))
    assert world.settled == {"NIFTY 13JUL2026 25000 CE": 3340, "NIFTY 13JUL2026 25000 PE": 0}


def test_nothing_settles_on_another_day(quiet_world, clock_ns):
    quiet_world.advance(clock_ns("15:35:00"))
    assert quiet_world.closed
    assert quiet_world.settled == {}


def test_last_price_is_none_before_the_first_trade(make_world):
    world = make_world(
        [("09:15:00", "CE", 100.0, 65, 101.0, 65, None, None), ("09:16:00", "PE", 1.0, 65, 1.1, 65, 1.05, 65)]
    )
    assert world.last_p(CE) is None
    assert world.next_ns() is not None
    world.advance(world.tape.last_ns)
    assert world.last_p(PE) == 105
    assert world.next_ns() is None
