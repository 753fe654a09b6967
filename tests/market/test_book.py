import datetime as dt
import math

import numpy as np
import pytest

from toolkit.calendar import ist_ns
from toolkit.market.book import MarketView, TickQuote
from toolkit.market.chain import DayChain, ExpiryDay
from toolkit.types import Instrument, Kind

NEAR, FAR, GONE = dt.date(2025, 9, 2), dt.date(2025, 9, 30), dt.date(2025, 8, 28)


def expiry_day(expiry, row_of):
    n = max(max(row_of) + 1, 1)
    quotes = {name: np.full((n, 2, 3), 1.0) for name in ("oi", "volume", "ltp", "bid", "ask", "bid_qty", "ask_qty")}
    return ExpiryDay(
        underlying="NIFTY",
        exchange="NSE",
        expiry=expiry,
        lot=75,
        strikes=np.array([24400.0, 24500.0, 24600.0]),
        ts_ns=np.arange(n),
        recv_ns=np.arange(n) + 10,
        row_of=np.array(row_of),
        spot=np.full(n, math.nan),
        forward=24510.0 + np.arange(n),
        tte=np.full(n, 0.01),
        token=np.arange(n * 6).reshape(n, 2, 3),
        present=np.ones((n, 2, 3), dtype=bool),
        quotes=quotes,
    )


@pytest.fixture
def day():
    days = {GONE: expiry_day(GONE, [0, 0]), NEAR: expiry_day(NEAR, [0, 1]), FAR: expiry_day(FAR, [-1, 0])}
    return DayChain(
        underlying="NIFTY",
        exchange="NSE",
        ts_ns=np.arange(2),
        recv_ns=np.arange(2) + 10,
        spot=np.array([math.nan, 24500.0]),
        expiries=tuple(days),
        days=days,
    )


def instrument(symbol):
    return Instrument(
        instrument_id=7,
        symbol=symbol,
        exchange="NSE",
        segment="NFO",
        underlying="NIFTY",
        kind=Kind.OPTION,
        lot=75,
        tick_p=5,
    )


def view(day, moment, **more):
    levels = {NEAR: {"pcr": 0.5}}
    return MarketView(
        now_ns=ist_ns(dt.date(2025, 8, 29)),
        day=day,
        moment=moment,
        live=(NEAR, FAR),
        all_levels=levels,
        find_instrument=instrument,
        **more,
    )


def test_only_what_has_arrived_is_seen(day):
    early, late = view(day, 0), view(day, 1)
    assert early.expiries() == (NEAR,)
    assert late.expiries() == (NEAR, FAR)
    assert early.chain(FAR) is None
    assert early.chain().forward == 24510.0
    assert late.chain().forward == 24511.0
    assert late.chain(FAR).expiry == FAR
    assert math.isnan(early.spot)
    assert late.spot == 24500.0


def test_an_unknown_expiry_has_no_chain_and_no_levels(day):
    assert view(day, 1).chain(dt.date(2030, 1, 1)) is None
    assert view(day, 1).levels(FAR) is None
    assert view(day, 1).levels() == {"pcr": 0.5}


def test_nothing_live_is_nothing_seen(day):
    empty = MarketView(now_ns=0, day=day, moment=0, live=(), all_levels={}, find_instrument=instrument)
    assert empty.expiries() == ()
    assert empty.chain() is None
    assert empty.levels() is None


def test_own_positions_and_orders(day):
    held = view(day, 1, net={"B": -75, "A": 150, "C": 0})
    assert held.positions() == {"A": 150, "B": -75}
    assert list(held.positions()) == ["A", "B"]
    assert (held.position("A"), held.position("Z")) == (150, 0)
    assert held.orders() == ()
    assert held.underlying == "NIFTY"
    assert held.instrument("X").symbol == "X"


def test_a_view_is_frozen(day):
    with pytest.raises(AttributeError):
        view(day, 1).moment = 0


def test_newer_ticks_replace_quotes_and_nothing_else(day):
    token = int(day.days[NEAR].token[1, 0, 1])
    late = TickQuote(ts_ns=50, bid=7.0, bid_qty=75.0, ask=0.0, ask_qty=0.0, ltp=7.5)
    seen = view(day, 1, ticks={token: late, -99: late}).chain()
    plain = view(day, 1).chain()
    assert (seen.ce.bid[1], seen.ce.ltp[1]) == (7.0, 7.5)
    assert math.isnan(seen.ce.ask[1])
    assert seen.ce.bid[0] == plain.ce.bid[0]
    assert seen.forward == plain.forward
    np.testing.assert_array_equal(seen.ce.iv, plain.ce.iv)
    np.testing.assert_array_equal(seen.pe.bid, plain.pe.bid)
    with pytest.raises(ValueError, match="read-only"):
        seen.ce.bid[1] = 1.0


def test_a_tick_older_than_the_snapshot_changes_nothing(day):
    token = int(day.days[NEAR].token[1, 0, 1])
    early = TickQuote(ts_ns=1, bid=7.0, bid_qty=75.0, ask=8.0, ask_qty=75.0, ltp=7.5)
    assert view(day, 1, ticks={token: early}).chain().ce.bid[1] == 1.0
