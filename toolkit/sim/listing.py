"""Which contracts of an underlying are alive on a day, and what they carry overnight."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from toolkit.calendar import Calendar
from toolkit.contracts import ContractRules
from toolkit.errors import BadData, nearest
from toolkit.sim.paths import PathModel
from toolkit.sim.surface import VolCurve

__all__ = [
    "MARKETS",
    "Carried",
    "Key",
    "Market",
    "Overnight",
    "check_unchanged",
    "future_expiries",
    "market",
    "option_expiries",
    "sessions_left",
    "sessions_of",
    "strikes_around",
]


class Key(NamedTuple):
    """An option: expiry, strike in paise, +1 call or -1 put. Sorts as the chain is ordered."""

    expiry: dt.date
    strike_p: int
    cp: int


@dataclass(frozen=True, slots=True)
class Market:
    """How one underlying is drawn: levels, activity and tokens of the synthetic market.

    ``side_oi_lots`` and ``side_day_lots`` are the open interest and the day's volume of one
    side of a weekly series one session before expiry, in lots.
    """

    name: str
    segment: str
    level: float
    vol: float
    carry: float
    side_oi_lots: float
    side_day_lots: float
    future_oi_lots: float
    first_token: int
    curve: VolCurve
    path: PathModel = field(default_factory=PathModel)


_CURVE: Final = VolCurve(long_run=0.125, reversion=8.0, rho=-0.3, eta=1.35)

MARKETS: Final[Mapping[str, Market]] = {
    "NIFTY": Market(
        "NIFTY",
        "NSE_FO",
        level=25_420.0,
        vol=0.112,
        carry=0.052,
        side_oi_lots=2_300_000.0,
        side_day_lots=14_000_000.0,
        future_oi_lots=230_000.0,
        first_token=40_001,
        curve=_CURVE,
    ),
    "SENSEX": Market(
        "SENSEX",
        "BSE_FO",
        level=83_150.0,
        vol=0.114,
        carry=0.050,
        side_oi_lots=1_250_000.0,
        side_day_lots=7_000_000.0,
        future_oi_lots=14_000.0,
        first_token=840_001,
        curve=replace(_CURVE, long_run=0.127),
        path=PathModel(beta_share=0.93),
    ),
}


@dataclass(frozen=True, slots=True)
class Carried:
    """What one contract carries overnight; ``close_p`` is None before its first close."""

    token: int
    lot: int
    oi_lots: int
    close_p: int | None
    weight: float


@dataclass(frozen=True, slots=True)
class Overnight:
    """State of one underlying between two sessions."""

    spot: float
    vol: float
    carry: float
    next_token: int
    options: Mapping[Key, Carried]
    futures: Mapping[dt.date, Carried]


def market(name: str) -> Market:
    """Give the synthetic market of an underlying.

    Raises
    ------
    BadData
        When none is drawn for that name.
    """
    if name not in MARKETS:
        known = ", ".join(MARKETS)
        raise BadData(f"underlying must be one of {known}, was {name!r}{nearest(name, MARKETS)}")
    return MARKETS[name]


def sessions_of(calendar: Calendar, start: dt.date, days: int) -> list[dt.date]:
    """List ``days`` sessions of ordinary length from ``start`` on.

    An evening ceremony and a test of the second site are passed over: no contract settles in them.

    Raises
    ------
    BadData
        When ``days`` is not positive or ``start`` is no session.
    """
    if days < 1:
        raise BadData(f"days must be at least 1, was {days}")
    if not calendar.is_session(start):
        raise BadData(f"{start} is no session of {calendar.exchange}; the next one is {calendar.next(start)}")
    found: list[dt.date] = []
    day = start
    while len(found) < days:
        if _ordinary(calendar, day):
            found.append(day)
        day = calendar.next(day)
    return found


def _ordinary(calendar: Calendar, day: dt.date) -> bool:
    opening, close = calendar.bounds_ns(day)
    return opening < calendar.settlement_ns(day) <= close


def option_expiries(
    rules: ContractRules, underlying: str, day: dt.date, weeklies: int, monthlies: int
) -> list[dt.date]:
    """List the option expiries on ``day``: the nearest ``weeklies`` and the next ``monthlies``."""
    coming = _coming(rules, underlying, day, monthlies)
    months = [e for e in coming if rules.is_monthly(underlying, e, on=day)]
    return sorted(set(coming[:weeklies]) | set(months[:monthlies]))


def future_expiries(rules: ContractRules, underlying: str, day: dt.date, months: int = 3) -> list[dt.date]:
    """List the ``months`` nearest futures expiries on ``day``."""
    coming = _coming(rules, underlying, day, months)
    return [e for e in coming if rules.is_monthly(underlying, e, on=day)][:months]


def _coming(rules: ContractRules, underlying: str, day: dt.date, months: int) -> list[dt.date]:
    return rules.expiries(underlying, day, day + dt.timedelta(days=31 * (months + 1)), on=day)


def sessions_left(calendar: Calendar, day: dt.date, expiry: dt.date) -> int:
    """Count the regular sessions after ``day`` up to and including ``expiry``."""
    days = (day + dt.timedelta(days=i) for i in range(1, (expiry - day).days + 1))
    return sum(calendar.is_expiry_day(d, on=day) for d in days)


def check_unchanged(
    held: Mapping[dt.date, int], expiries: Sequence[dt.date], lots: Mapping[dt.date, int], name: str, day: dt.date
) -> None:
    """Refuse a day on which living contracts were given another expiry or another lot.

    Parameters
    ----------
    held : mapping of date to int
        Lot of each series alive last night.
    expiries, lots
        Series and lots of today.
    name, day
        For the text.

    Raises
    ------
    BadData
        When the terms changed overnight: their history is no plain continuation.
    """
    for expiry, lot in sorted(held.items()):
        if expiry not in expiries:
            raise BadData(f"{name} contracts of {expiry} were re-dated before {day}; start there or end before it")
        if lots[expiry] != lot:
            now = lots[expiry]
            raise BadData(f"lot of {name} {expiry} became {now} on {day}, was {lot}; start there or end before it")


def strikes_around(spot: float, step_p: int, each_side: int) -> list[int]:
    """List strikes in paise, ``each_side`` below and above the one nearest ``spot``.

    >>> strikes_around(25013.0, 5000, 1)
    [2495000, 2500000, 2505000]
    """
    middle = round(spot * 100 / step_p) * step_p
    return [middle + i * step_p for i in range(-each_side, each_side + 1)]
