"""Synthetic sessions: seeded days of NIFTY and SENSEX in the tables of a session store.

Everything follows from the plan: the same plan gives the same rows on every machine.
Prices are Black-76 on an arbitrage-free surface, futures and options share one forward,
open interest arrives late and in bursts, and the planted events are listed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from toolkit.calendar import Calendar
from toolkit.contracts import ContractRules
from toolkit.errors import BadData
from toolkit.market.schema import TABLES
from toolkit.sim.day import generate_day
from toolkit.sim.listing import market, sessions_of
from toolkit.sim.planted import Planted, planted_frame, planted_records
from toolkit.sim.setting import DayPlan, Setting

__all__ = ["SAMPLE", "Generated", "GeneratedDay", "SessionPlan", "describe", "generate", "generate_days"]

VERSION: Final = 1
"""Raised whenever the same plan gives other rows than before."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What to generate.

    Attributes
    ----------
    seed : int
        Not negative.
    start : date
        First session.
    days : int
        Consecutive sessions.
    underlyings : tuple of str
        Of ``NIFTY`` and ``SENSEX``.
    each_side : tuple of int
        Strikes above and below the money when a series is listed: nearest series first,
        the last number serves all later ones.
    weeklies, monthlies : tuple of int
        Series listed, one number an underlying; the last serves all later ones.
    tick_start : time or None
        Start of the hour of ticks, None for no ticks.
    tick_strikes : int
        Strikes of the nearest series on each side of the money that tick.
    every_event : bool
        Plant one event of each kind on each day; otherwise the days differ.
    """

    seed: int = 1
    start: dt.date = dt.date(2026, 7, 13)
    days: int = 1
    underlyings: tuple[str, ...] = ("NIFTY", "SENSEX")
    each_side: tuple[int, ...] = (40, 40, 32)
    weeklies: tuple[int, ...] = (4, 3)
    monthlies: tuple[int, ...] = (2,)
    tick_start: dt.time | None = dt.time(11, 0)
    tick_strikes: int = 5
    every_event: bool = False


SAMPLE: Final = SessionPlan(
    seed=20260713, each_side=(24, 16, 12), weeklies=(3, 2), monthlies=(2, 1), tick_strikes=4, every_event=True
)
"""The plan of the session that ships in ``data/sample``."""


@dataclass(frozen=True, slots=True)
class Generated:
    """Tables of a session store, the planted events and the store's description."""

    tables: dict[str, pl.DataFrame]
    planted: pl.DataFrame
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class GeneratedDay:
    """One underlying on one day."""

    date: dt.date
    underlying: str
    tables: dict[str, pl.DataFrame]
    events: tuple[Planted, ...]


def generate(plan: SessionPlan, calendars: Mapping[str, Calendar], rules: ContractRules) -> Generated:
    """Generate the sessions of a plan in memory; `generate_days` gives them one by one.

    Parameters
    ----------
    plan : SessionPlan
    calendars : mapping of str to Calendar
        By exchange.
    rules : ContractRules
        Lots, ticks, expiries and freeze quantities by date.

    Returns
    -------
    Generated
        ``tables`` has ``chain futures spot eod ticks instruments``.

    Raises
    ------
    BadData
        As `generate_days`.
    """
    days = list(generate_days(plan, calendars, rules))
    tables = {name: pl.concat([d.tables[name] for d in days], rechunk=True) for name in (*TABLES, "instruments")}
    events = planted_frame(event for day in days for event in day.events)
    return Generated(tables, events, describe(plan, events))


def generate_days(plan: SessionPlan, calendars: Mapping[str, Calendar], rules: ContractRules) -> Iterator[GeneratedDay]:
    """Generate the sessions of a plan, each underlying's days in order.

    Raises
    ------
    BadData
        For a negative seed, no underlying or one that is not drawn, days below 1, a start
        that is no session or lies before the dated tables.
    """
    _check(plan)
    for i, name in enumerate(plan.underlyings):
        drawn = market(name)
        calendar = calendars[rules.exchange(name)]
        day_plan = DayPlan(
            plan.seed,
            plan.each_side,
            _nth(plan.weeklies, i),
            _nth(plan.monthlies, i),
            plan.tick_start,
            plan.tick_strikes,
            plan.every_event,
        )
        state = None
        for day in sessions_of(calendar, plan.start, plan.days):
            done = generate_day(Setting(day_plan, drawn, calendar, rules, day), state)
            state = done.state
            yield GeneratedDay(day, name, done.tables, done.events)


def _check(plan: SessionPlan) -> None:
    if plan.seed < 0:
        raise BadData(f"seed must not be negative, was {plan.seed}")
    if not plan.underlyings:
        raise BadData("underlyings must name at least one index, was nothing; give NIFTY,SENSEX")
    if len(set(plan.underlyings)) < len(plan.underlyings):
        raise BadData(f"underlyings must differ, was {','.join(plan.underlyings)}")
    if min(plan.each_side) < 6:
        raise BadData(f"each_side must be at least 6 strikes, was {min(plan.each_side)}")


def _nth(numbers: tuple[int, ...], i: int) -> int:
    return numbers[min(i, len(numbers) - 1)]


def describe(plan: SessionPlan, events: pl.DataFrame) -> dict[str, Any]:
    """Say in ``session.json`` that the session is synthetic, how to make it again, and what is planted."""
    return {
        "name": f"synthetic {'+'.join(plan.underlyings)} from {plan.start.isoformat()}",
        "synthetic": True,
        "source": "toolkit generate",
        "generator": {
            "version": VERSION,
            "seed": plan.seed,
            "start": plan.start.isoformat(),
            "days": plan.days,
            "underlyings": list(plan.underlyings),
            "each_side": list(plan.each_side),
            "weeklies": list(plan.weeklies),
            "monthlies": list(plan.monthlies),
            "tick_start": None if plan.tick_start is None else plan.tick_start.isoformat(),
            "tick_strikes": plan.tick_strikes,
            "every_event": plan.every_event,
            "polars": pl.__version__,
        },
        "planted": planted_records(events),
    }
