"""What a margin costs to hold: cash and collateral, interest on missing cash, penalties of a shortfall."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from toolkit import defaults
from toolkit.calendar import ist_date, ist_ns
from toolkit.errors import BadData
from toolkit.risk.margin import Margin
from toolkit.risk.rates import MarginRates

__all__ = ["Funding", "Peak", "Shot", "funding", "peak_margin"]


class Funding(msgspec.Struct, frozen=True, kw_only=True):
    """How a margin is covered, rupees.

    ``cash_needed`` = premium + the cash half of the overnight margin, of which ``cash_short`` is missing:
    where collateral stands in for it that costs ``interest_a_day``. ``short`` is missing altogether, so
    the order would be refused.
    """

    required: float
    premium: float
    cash_needed: float
    cash_short: float
    collateral_used: float
    interest_a_day: float
    short: float


def funding(
    margin: Margin,
    cash: float,
    collateral: float,
    *,
    premium: float = 0.0,
    on: dt.date | None = None,
    rates: MarginRates | None = None,
) -> Funding:
    """Cover a margin from cash and pledged collateral.

    Parameters
    ----------
    margin : Margin
        What is to be covered overnight.
    cash, collateral : float
        Rupees; collateral is shares and funds after their haircut (cash equivalents such as
        liquid funds count as cash).
    premium : float
        Premium of options still to be bought: cash only, upfront by the rule of 10-Feb-2025.
    on, rates
        The day and the dated rates; default: the newest of the shipped table.

    Notes
    -----
    At least half of the margin must be cash or its equivalent. Collateral beyond the other half
    still covers the margin, but the missing cash is lent by the broker at interest (an estimate:
    one broker's rate). Premium is never paid from collateral.
    """
    for name, value in (("cash", cash), ("collateral", collateral), ("premium", premium)):
        if not value >= 0.0:
            raise BadData(f"{name} must be rupees from 0, was {value!r}")
    known: MarginRates = defaults.get("margins") if rates is None else rates
    share = known.rate("cash_share", "account", on)
    left = max(0.0, cash - premium)
    half = share * margin.total
    used = min(collateral, max(margin.total - left, margin.total - half, 0.0))
    lent = max(0.0, min(used, margin.total - left) - (margin.total - half))
    return Funding(
        required=margin.total,
        premium=premium,
        cash_needed=premium + half,
        cash_short=max(0.0, half - left),
        collateral_used=used,
        interest_a_day=lent * known.rate("cash_interest", "account", on),
        short=max(0.0, premium - cash) + max(0.0, margin.total - left - collateral),
    )


class Shot(msgspec.Struct, frozen=True):
    """Margin required and funds there, from an instant on, rupees."""

    at_ns: int
    required: float
    available: float


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """The worst that the day's snapshots could have seen.

    ``penalty`` is what the exchange would charge the day for ``shortfall`` (0 without one);
    ``window`` is the index of the worst window, -1 without one.
    """

    required: float
    shortfall: float
    penalty: float
    window: int
    at_ns: int


def peak_margin(
    shots: Sequence[Shot],
    on: dt.date,
    *,
    repeated: bool = False,
    until_ns: int | None = None,
    rates: MarginRates | None = None,
) -> Peak:
    """Find the worst instant of the windows in which a snapshot is taken.

    Parameters
    ----------
    shots : sequence of Shot
        Every change of the requirement or the funds of the day, in order; each holds until the next.
    on : date
        The day; its dated windows and penalties hold.
    repeated : bool
        Whether shortfalls of the month already passed the limit of repetition.
    until_ns : int, optional
        How far the day is known: the last shot holds until then. Default: its end.

    Notes
    -----
    The instant in each window is random, so any state within a window may be the one that counts.
    Before 1-Dec-2020 there were none.

    Raises
    ------
    BadData
        Shots out of order, or of another day.
    """
    known: MarginRates = defaults.get("margins") if rates is None else rates
    for before, after in pairwise(shots):
        if after.at_ns < before.at_ns:
            raise BadData(f"shots must be in order of time, was {after.at_ns} after {before.at_ns}")
    if any(ist_date(shot.at_ns) != on for shot in shots):
        raise BadData(f"shots must be of {on}; pass one day at a time")
    worst = Peak(required=0.0, shortfall=0.0, penalty=0.0, window=-1, at_ns=0)
    for number, window in enumerate(known.peak_windows(on)):
        opens, closes = ist_ns(on, window.opens), ist_ns(on, window.closes)
        if until_ns is not None:
            closes = min(closes, until_ns)
        for at, shot in enumerate(shots):
            until = shots[at + 1].at_ns if at + 1 < len(shots) else closes
            if shot.at_ns >= closes or until <= opens:
                continue
            short = max(0.0, shot.required - shot.available)
            if (short, shot.required) > (worst.shortfall, worst.required):
                seen = max(shot.at_ns, opens)
                fine = short * _penalty(short, shot.required, on, repeated, known)
                worst = Peak(required=shot.required, shortfall=short, penalty=fine, window=number, at_ns=seen)
    return worst


def _penalty(short: float, required: float, on: dt.date, repeated: bool, rates: MarginRates) -> float:
    if repeated:
        return rates.rate("penalty_repeated", "account", on)
    small = short < 1_00_000.0 and short < 0.10 * required
    return rates.rate("penalty_small" if small else "penalty_large", "account", on)
