"""Sessions, holidays and times to expiry in Indian time: pure, over values read by ``tables``.

Instants are int64 nanoseconds UTC (``_ns``), days are ``datetime.date`` in Indian time
(UTC+5:30, no daylight saving, so the offset is a constant here).
"""

from __future__ import annotations

import datetime as dt
import re
import warnings
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from toolkit.errors import BadData

__all__ = [
    "IST",
    "SESSIONS_PER_YEAR",
    "Calendar",
    "Hours",
    "SettlementTime",
    "Sitting",
    "StaleTable",
    "ist_date",
    "ist_ns",
    "read_clock",
    "to_ist",
    "year_fraction",
]

IST: Final = dt.timezone(dt.timedelta(hours=5, minutes=30), "IST")
SESSIONS_PER_YEAR: Final = 248
"""Sessions in a mean year: the calendar's count of 2019 to 2025, rounded."""

_NS: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _NS
_OFFSET_NS: Final = 19_800 * _NS
_YEAR_NS: Final = 365 * _DAY_NS
_EPOCH: Final = dt.date(1970, 1, 1)
_CLOCK: Final = re.compile(r"\d\d:\d\d(:\d\d([.]\d{1,6})?)?", re.ASCII)
_ONE_DAY: Final = dt.timedelta(days=1)


class StaleTable(UserWarning):
    """A dated table is used past the date on which its last row was verified."""


def ist_ns(date: dt.date, time: dt.time = dt.time()) -> int:
    """Give the instant at which Indian clocks show ``time`` on ``date``.

    >>> ist_ns(dt.date(1970, 1, 1), dt.time(5, 30))
    0
    """
    seconds = (time.hour * 60 + time.minute) * 60 + time.second
    return (date - _EPOCH).days * _DAY_NS + seconds * _NS + time.microsecond * 1000 - _OFFSET_NS


def ist_date(ns: int) -> dt.date:
    """Give the Indian date at an instant.

    >>> ist_date(0)
    datetime.date(1970, 1, 1)
    """
    return _EPOCH + dt.timedelta(days=(ns + _OFFSET_NS) // _DAY_NS)


def to_ist(ns: int) -> dt.datetime:
    """Give the instant as an aware Indian datetime, cut (not rounded) to microseconds."""
    midnight = dt.datetime(1970, 1, 1, tzinfo=IST)
    return midnight + dt.timedelta(microseconds=(ns + _OFFSET_NS) // 1000)


def read_clock(text: str) -> dt.time:
    """Read what an Indian clock shows: ``HH:MM``, ``HH:MM:SS`` or with a fraction of the second.

    Python's own reader also takes ``11.05``, as a fraction of a second after eleven.

    Raises
    ------
    ValueError
        For anything else; the caller says what is meant.

    >>> read_clock("11:05")
    datetime.time(11, 5)
    """
    if _CLOCK.fullmatch(text) is None:
        raise ValueError(f"a clock shows HH:MM, was {text!r}")
    return dt.time.fromisoformat(text)


def year_fraction(now_ns: int, expiry_ns: int) -> float:
    """Give the ACT/365 years from ``now_ns`` to ``expiry_ns``; negative once it has passed."""
    return (expiry_ns - now_ns) / _YEAR_NS


class Hours(msgspec.Struct, frozen=True):
    """One row of session hours: in force from a date, for ``open`` or ``pre_open``."""

    start: dt.date
    phase: str
    open: dt.time
    close: dt.time
    verified_until: dt.date


class SettlementTime(msgspec.Struct, frozen=True):
    """From a date, the time of day at which the settlement value is determined."""

    start: dt.date
    time: dt.time
    verified_until: dt.date


class Sitting(msgspec.Struct, frozen=True):
    """One continuous sitting of a special session (``muhurat``, ``full`` or ``test``)."""

    open: dt.time
    close: dt.time
    kind: str


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """The sessions of one exchange's derivatives.

    Parameters
    ----------
    exchange : str
    first : date
        First day the holiday table covers; an earlier question is refused.
    verified_until : date
        Last day the exchange has published; a later question warns once (`StaleTable`).
    holidays : frozenset of date
        Weekdays without a regular session.
    specials : mapping of date to sittings
        Sessions outside the weekly pattern: they trade, but no contract expires on them.
    hours : tuple of Hours
        Ascending by start.
    settlements : tuple of SettlementTime
        Ascending by start.
    """

    exchange: str
    first: dt.date
    verified_until: dt.date
    holidays: frozenset[dt.date]
    specials: Mapping[dt.date, tuple[Sitting, ...]]
    hours: tuple[Hours, ...]
    settlements: tuple[SettlementTime, ...]

    def is_session(self, date: dt.date) -> bool:
        """Tell whether the exchange trades on ``date``, special sessions included."""
        self._covered(date)
        return date in self.specials or self._regular(date)

    def is_expiry_day(self, date: dt.date, on: dt.date | None = None) -> bool:
        """Tell whether a contract may expire on ``date``: a session that is no ceremony, test or weekend.

        As of ``on`` a later date is a forecast by its nature, so only ``on`` can be past the
        verified holidays and warn.
        """
        self._covered(date if on is None else min(on, date))
        return self._regular(date)

    def sessions(self, start: dt.date, end: dt.date) -> list[dt.date]:
        """List the sessions from ``start`` to ``end``, both included."""
        self._covered(start)
        days = (start + dt.timedelta(days=i) for i in range((end - start).days + 1))
        return [day for day in days if self.is_session(day)]

    def previous(self, date: dt.date) -> dt.date:
        """Give the last session before ``date``."""
        day = date - _ONE_DAY
        while not self.is_session(day):
            day -= _ONE_DAY
        return day

    def next(self, date: dt.date) -> dt.date:
        """Give the first session after ``date``."""
        day = date + _ONE_DAY
        while not self.is_session(day):
            day += _ONE_DAY
        return day

    def bounds_ns(self, date: dt.date) -> tuple[int, int]:
        """Give the instants at which continuous trading opens and closes on ``date``.

        A day of two sittings opens with the first and closes with the second.

        Raises
        ------
        BadData
            When ``date`` is no session.
        """
        sittings = self._sittings(date)
        return ist_ns(date, sittings[0].open), ist_ns(date, sittings[-1].close)

    def phase(self, now_ns: int) -> Literal["pre_open", "open", "closed", "holiday"]:
        """Name what the exchange does at an instant: ``pre_open``, ``open``, ``closed`` or ``holiday``.

        The opening instant is ``open``, the closing instant is ``closed``; ``holiday``
        is a day without a session, weekends included.
        """
        date = ist_date(now_ns)
        if not self.is_session(date):
            return "holiday"
        if any(ist_ns(date, s.open) <= now_ns < ist_ns(date, s.close) for s in self._sittings(date)):
            return "open"
        if date not in self.specials:
            early = self._hours(date, "pre_open")
            if early is not None and ist_ns(date, early.open) <= now_ns < ist_ns(date, early.close):
                return "pre_open"
        return "closed"

    def settlement_ns(self, expiry: dt.date) -> int:
        """Give the instant at which a contract's time to expiry ends.

        It is the determination of the settlement value, which is not the end of trading
        (15:35 against 15:40 from 3-Aug-2026). A far expiry takes the rule in force now:
        that is what a price can know, so it does not warn.
        """
        starts = [row.start for row in self.settlements]
        at = bisect_right(starts, expiry)
        if at == 0:
            raise BadData(f"settlement time of {self.exchange} is not known on {expiry}; the table starts {starts[0]}")
        return ist_ns(expiry, self.settlements[at - 1].time)

    def year_fraction(self, now_ns: int, expiry: dt.date, clock: str = "calendar") -> float:
        """Give the years to the settlement of ``expiry``.

        Parameters
        ----------
        now_ns : int
        expiry : date
        clock : {"calendar", "trading"}
            ``calendar`` is ACT/365. ``trading`` counts the share of each session still to
            come over `SESSIONS_PER_YEAR`: a day of half a session counts a half, nights
            and weekends nothing.

        Raises
        ------
        BadData
            For another clock.
        """
        end_ns = self.settlement_ns(expiry)
        if clock == "calendar":
            return year_fraction(now_ns, end_ns)
        if clock != "trading":
            raise BadData(f"clock must be 'calendar' or 'trading', was {clock!r}")
        if end_ns < now_ns:
            return -self._session_shares(end_ns, now_ns) / SESSIONS_PER_YEAR
        return self._session_shares(now_ns, end_ns) / SESSIONS_PER_YEAR

    def _session_shares(self, start_ns: int, end_ns: int) -> float:
        shares = 0.0
        for date in self.sessions(ist_date(start_ns), ist_date(end_ns)):
            row = self._hours(date, "open")
            if row is None:
                raise BadData(f"session hours of {self.exchange} are not known on {date}; add a row to sessions.csv")
            whole = ist_ns(date, row.close) - ist_ns(date, row.open)
            for sitting in self._sittings(date):
                open_ns, close_ns = ist_ns(date, sitting.open), ist_ns(date, sitting.close)
                shares += max(0, min(end_ns, close_ns) - max(start_ns, open_ns)) / whole
        return shares

    def _regular(self, date: dt.date) -> bool:
        return date.weekday() < 5 and date not in self.holidays

    def _sittings(self, date: dt.date) -> tuple[Sitting, ...]:
        if date in self.specials:
            return self.specials[date]
        if not self.is_session(date):
            raise BadData(f"{date} is no session of {self.exchange}; the previous one is {self.previous(date)}")
        row = self._hours(date, "open")
        if row is None:
            raise BadData(f"session hours of {self.exchange} are not known on {date}; add a row to sessions.csv")
        return (Sitting(row.open, row.close, "regular"),)

    def _hours(self, date: dt.date, phase: str) -> Hours | None:
        found = None
        for row in self.hours:
            if row.phase == phase and row.start <= date:
                found = row
        if found is not None and date > found.verified_until:
            _warn_stale(f"session hours of {self.exchange}", found.verified_until)
        return found

    def _covered(self, date: dt.date) -> None:
        if date < self.first:
            raise BadData(f"sessions of {self.exchange} are not known on {date}; the table starts {self.first}")
        if date > self.verified_until:
            _warn_stale(f"holidays of {self.exchange}", self.verified_until)


def _warn_stale(what: str, verified_until: dt.date) -> None:
    """Warn that a table is used past its date; Python's default filter shows each text once."""
    warnings.warn(
        f"{what} were verified until {verified_until} and are used past it; update data/tables",
        StaleTable,
        stacklevel=3,
    )
