"""Synthetic sessions that several tests read."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest


@pytest.fixture(scope="session")
def calendars():
    from toolkit import tables

    return {name: tables.calendar(name) for name in ("NSE", "BSE")}


@pytest.fixture(scope="session")
def rules():
    from toolkit import tables

    return tables.contracts()


@pytest.fixture(scope="session")
def small():
    """A plan that is quick to run and still has every kind of row and event."""
    from toolkit.sim.generate import SAMPLE

    return replace(SAMPLE, seed=11, each_side=(16, 12, 8), tick_strikes=2)


@pytest.fixture(scope="session")
def sample(calendars, rules):
    """The shipped session, generated again."""
    from toolkit.sim.generate import SAMPLE, generate

    return generate(SAMPLE, calendars, rules)


@pytest.fixture(scope="session")
def week(small, calendars, rules):
    """Four sessions: NIFTY expires on the second, SENSEX on the fourth."""
    from toolkit.sim.generate import generate

    return generate(replace(small, start=dt.date(2026, 7, 13), days=4), calendars, rules)


@pytest.fixture(scope="session")
def make_setting(calendars, rules, small):
    """``make_setting(name, day)`` gives what one day of one underlying needs."""
    from toolkit.sim.listing import market
    from toolkit.sim.setting import DayPlan, Setting

    def make(name="NIFTY", day=dt.date(2026, 7, 13), **changes):
        plan = DayPlan(small.seed, small.each_side, 3, 2, small.tick_start, small.tick_strikes, True)
        return Setting(replace(plan, **changes), market(name), calendars[rules.exchange(name)], rules, day)

    return make


DAY = dt.date(2026, 7, 13)
FUTURE_EXPIRY = dt.date(2026, 7, 28)


def small_master(expiry, lot=65, freeze=1800):
    """NIFTY 25000 CE and PE and a future, as a session's table of instruments."""
    import polars as pl

    from toolkit.market.schema import INSTRUMENTS

    common = {"valid_on": DAY, "exchange": "NSE", "segment": "NSE_FO", "underlying": "NIFTY", "lot": lot}
    common |= {"freeze_qty": freeze, "kind": "option", "expiry": expiry, "strike_p": 2500000, "tick_p": 5}
    future = {
        "kind": "future",
        "expiry": FUTURE_EXPIRY,
        "strike_p": None,
        "tick_p": 10,
        "symbol": "NIFTY 28JUL2026 FUT",
    }
    stem = f"NIFTY {expiry:%d%b%Y} 25000".upper()
    rows = [
        {"token": 40001, "symbol": f"{stem} CE", "source_symbol": "NIFTY2671425000CE", "option_type": "CE"},
        {"token": 40002, "symbol": f"{stem} PE", "source_symbol": "NIFTY2671425000PE", "option_type": "PE"},
        {"token": 40003, "source_symbol": "NIFTY26JULFUT", "option_type": None, **future},
    ]
    return pl.DataFrame([{**common, **row} for row in rows], schema=INSTRUMENTS)


def small_tables(rows, expiry):
    """The rows of :func:`make_world` as the tables of a session."""
    import polars as pl

    from toolkit.calendar import IST
    from toolkit.market.schema import CHAIN, FUTURES, SPOT

    tables = {"chain": [], "futures": [], "spot": []}
    for when, name, bid, bid_qty, ask, ask_qty, ltp, volume in rows:
        at = dt.datetime.combine(DAY, dt.time.fromisoformat(when), IST)
        stamps = {"ts": at, "recv_ts": at, "underlying": "NIFTY", "ltp": ltp}
        quote = {
            "bid": bid,
            "bid_qty": bid_qty,
            "ask": ask,
            "ask_qty": ask_qty,
            "volume": volume,
            "lot": 65,
            "oi": 6500,
        }
        if name == "SPOT":
            tables["spot"].append({**stamps, "open": ltp, "high": ltp, "low": ltp})
        elif name == "FUT":
            tables["futures"].append({**stamps, **quote, "token": 40003, "expiry": FUTURE_EXPIRY})
        else:
            named = {
                "token": 40001 if name == "CE" else 40002,
                "option_type": name,
                "expiry": expiry,
                "strike_p": 2500000,
            }
            tables["chain"].append({**stamps, **quote, **named})
    schemas = {"chain": CHAIN, "futures": FUTURES, "spot": SPOT}
    return {name: pl.DataFrame(held, schema=schemas[name]) for name, held in tables.items()}


@pytest.fixture(scope="session")
def make_world():
    """``make_world(rows, ...)`` gives a small simulated day: NIFTY 25000 CE and PE, a future and the spot.

    ``rows`` are (time, name, bid, bid_qty, ask, ask_qty, ltp, volume) with the names CE, PE, FUT and SPOT; the
    options expire on 14-Jul-2026 unless ``expiry`` says otherwise, the day is 13-Jul-2026, open 09:15 to 15:30.
    """
    from toolkit.calendar import ist_ns
    from toolkit.sim.roster import make_roster
    from toolkit.sim.tape import make_tape
    from toolkit.sim.world import World

    keys = {"CE": 40001 * 256 + 2, "PE": 40002 * 256 + 2, "FUT": 40003 * 256 + 2, "SPOT": 256265}

    def make(rows, *, expiry=dt.date(2026, 7, 14), closes=None, spot=True, start="09:15:00", **terms):
        roster = make_roster(small_master(expiry, **terms), ["NIFTY"] if spot else [], DAY)
        bounds = ist_ns(DAY, dt.time(9, 15)), ist_ns(DAY, dt.time(15, 30))
        known = {keys[name]: close for name, close in (closes or {}).items()}
        made = World(roster, make_tape(small_tables(rows, expiry), roster), bounds, known)
        made.advance(ist_ns(DAY, dt.time.fromisoformat(start)))
        return made

    return make


@pytest.fixture(scope="session")
def clock_ns():
    """``clock_ns("09:16:00")`` gives the instant on the small simulated day."""
    from toolkit.calendar import ist_ns

    return lambda text: ist_ns(dt.date(2026, 7, 13), dt.time.fromisoformat(text))


@pytest.fixture
def quiet_world(make_world):
    """A small day with a quiet two-sided market and one move at 09:20 and at 10:00."""
    return make_world(
        [
            ("09:15:00", "SPOT", None, None, None, None, 25010.0, None),
            ("09:15:00", "FUT", 25040.0, 650, 25041.0, 650, 25040.0, 6500),
            ("09:15:00", "CE", 100.0, 650, 100.5, 130, 100.0, 1300),
            ("09:15:00", "PE", 80.0, 650, 80.5, 650, 80.0, 1300),
            ("09:20:00", "CE", 98.0, 650, 98.5, 650, 98.0, 2600),
            ("10:00:00", "CE", 120.0, 650, 120.5, 650, 120.0, 3900),
            ("10:00:00", "SPOT", None, None, None, None, 25060.0, None),
        ],
        closes={"CE": 95.0},
    )
