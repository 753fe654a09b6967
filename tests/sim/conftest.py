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


@pytest.fixture(scope="session")
def make_world():
    """``make_world(rows, ...)`` gives a small simulated day: NIFTY 25000 CE and PE, a future and the spot.

    ``rows`` are (time, name, bid, bid_qty, ask, ask_qty, ltp, volume) with the names CE, PE, FUT and SPOT; the
    options expire on 14-Jul-2026 unless ``expiry`` says otherwise, the day is 13-Jul-2026, open 09:15 to 15:30.
    """
    import polars as pl

    from toolkit.calendar import IST, ist_ns
    from toolkit.market.schema import CHAIN, FUTURES, INSTRUMENTS, SPOT
    from toolkit.sim.roster import make_roster
    from toolkit.sim.tape import make_tape
    from toolkit.sim.world import World

    day = dt.date(2026, 7, 13)
    future_expiry = dt.date(2026, 7, 28)

    def at(text):
        return dt.datetime.combine(day, dt.time.fromisoformat(text), IST)

    def listed(expiry, lot=65, freeze=1800):
        common = {"valid_on": day, "exchange": "NSE", "segment": "NSE_FO", "underlying": "NIFTY", "lot": lot}
        rows = [
            {
                **common,
                "token": 40001,
                "symbol": f"NIFTY {expiry:%d%b%Y} 25000 CE".upper(),
                "source_symbol": "NIFTY2671425000CE",
                "kind": "option",
                "expiry": expiry,
                "strike_p": 2500000,
                "option_type": "CE",
                "tick_p": 5,
                "freeze_qty": freeze,
            },
            {
                **common,
                "token": 40002,
                "symbol": f"NIFTY {expiry:%d%b%Y} 25000 PE".upper(),
                "source_symbol": "NIFTY2671425000PE",
                "kind": "option",
                "expiry": expiry,
                "strike_p": 2500000,
                "option_type": "PE",
                "tick_p": 5,
                "freeze_qty": freeze,
            },
            {
                **common,
                "token": 40003,
                "symbol": "NIFTY 28JUL2026 FUT",
                "source_symbol": "NIFTY26JULFUT",
                "kind": "future",
                "expiry": future_expiry,
                "strike_p": None,
                "option_type": None,
                "tick_p": 10,
                "freeze_qty": freeze,
            },
        ]
        return pl.DataFrame(rows, schema=INSTRUMENTS)

    def make(rows, *, expiry=dt.date(2026, 7, 14), closes=None, spot=True, start="09:15:00", **terms):
        tables = {"chain": [], "futures": [], "spot": []}
        for when, name, bid, bid_qty, ask, ask_qty, ltp, volume in rows:
            stamps = {"ts": at(when), "recv_ts": at(when), "underlying": "NIFTY", "ltp": ltp}
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
                tables["futures"].append({**stamps, **quote, "token": 40003, "expiry": future_expiry})
            else:
                token = 40001 if name == "CE" else 40002
                tables["chain"].append(
                    {**stamps, **quote, "token": token, "expiry": expiry, "strike_p": 2500000, "option_type": name}
                )
        schemas = {"chain": CHAIN, "futures": FUTURES, "spot": SPOT}
        frames = {name: pl.DataFrame(held, schema=schemas[name]) for name, held in tables.items()}
        roster = make_roster(listed(expiry, **terms), ["NIFTY"] if spot else [], day)
        keys = {"CE": 40001 * 256 + 2, "PE": 40002 * 256 + 2, "FUT": 40003 * 256 + 2, "SPOT": 256265}
        made = World(
            roster,
            make_tape(frames, roster),
            (ist_ns(day, dt.time(9, 15)), ist_ns(day, dt.time(15, 30))),
            {keys[name]: close for name, close in (closes or {}).items()},
        )
        made.advance(ist_ns(day, dt.time.fromisoformat(start)))
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
