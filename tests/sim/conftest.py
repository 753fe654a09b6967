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
