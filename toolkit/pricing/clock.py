"""Time to expiry on a stated clock. Pure: the moment and the calendar are arguments."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, Protocol

import numpy as np

from toolkit import defaults
from toolkit.calendar import SESSIONS_PER_YEAR, ist_date
from toolkit.errors import BadData

__all__ = ["CLOCKS", "SessionCalendar", "settlement_ns", "tte"]

CLOCKS: Final = ("calendar", "trading", "days")
_DAY_NS: Final = 86_400_000_000_000
_IST_NS: Final = 19_800_000_000_000
_YEAR_NS: Final = 365 * _DAY_NS


class SessionCalendar(Protocol):
    """What ``tte`` asks of a calendar; ``toolkit.calendar.Calendar`` is one."""

    def sessions(self, start: dt.date, end: dt.date) -> list[dt.date]:
        """Trading days from ``start`` to ``end``, both included."""
        ...

    def bounds_ns(self, date: dt.date) -> tuple[int, int]:
        """Open and close of the session, nanoseconds UTC."""
        ...

    def settlement_ns(self, expiry: dt.date) -> int:
        """The instant at which the settlement value is determined."""
        ...


def settlement_ns(expiry: dt.date, calendar: SessionCalendar | None = None) -> int:
    """The instant an option's time ends, of ``calendar`` or of the shipped one."""
    return _calendar(calendar).settlement_ns(expiry)


def _calendar(calendar: SessionCalendar | None) -> SessionCalendar:
    return defaults.get("calendar") if calendar is None else calendar


def tte(
    now_ns: Any,
    expiry: Any,
    clock: str = "calendar",
    *,
    calendar: SessionCalendar | None = None,
) -> Any:
    """Measure the time to expiry in years; 0 once it has passed.

    Parameters
    ----------
    now_ns : int or array of int
        Nanoseconds UTC.
    expiry : date, int, or array of either
        An expiry date (IST; its time ends at the settlement instant) or that instant in nanoseconds UTC.
    clock : {"calendar", "trading", "days"}
        ``calendar``: elapsed time over 365 days. ``trading``: session time left, one session counting
        1/248 year. ``days``: whole calendar days over 365, the clock of the exchange's published IV.
    calendar : optional
        Sessions and settlement instants; the shipped dated tables when None.

    Returns
    -------
    float or ndarray
        Years, by NumPy broadcasting of ``now_ns`` and ``expiry``; scalars give a float.

    Raises
    ------
    BadData
        For an unknown clock or an expiry that is neither a date nor nanoseconds.
    """
    if clock not in CLOCKS:
        raise BadData(f"clock must be one of {', '.join(CLOCKS)}, was {clock!r}")
    now = np.asarray(now_ns)
    ends = _ends(expiry, calendar)
    if clock == "trading":
        pairs = np.broadcast(now, ends)
        years: Any = np.array([_trading(int(a), int(b), calendar) for a, b in pairs]).reshape(pairs.shape)
    elif clock == "days":
        days = (ends + _IST_NS) // _DAY_NS - (now + _IST_NS) // _DAY_NS
        years = np.maximum(days, 0) / 365.0
    else:
        years = np.maximum(ends - now, 0) / _YEAR_NS
    return float(years) if np.ndim(years) == 0 else years


def _ends(expiry: Any, calendar: SessionCalendar | None) -> Any:
    if isinstance(expiry, dt.datetime):
        raise BadData(f"expiry must be a date or nanoseconds UTC, was the datetime {expiry}; pass its date")
    if isinstance(expiry, dt.date):
        return np.int64(settlement_ns(expiry, calendar))
    array = np.asarray(expiry)
    if array.dtype.kind == "M":
        array = array.astype("datetime64[D]").astype(object)
    if array.dtype.kind == "O":
        flat = [settlement_ns(day, calendar) for day in array.ravel()]
        return np.array(flat, dtype=np.int64).reshape(array.shape)
    if array.dtype.kind not in "iu":
        raise BadData(f"expiry must be a date or nanoseconds UTC as an integer, was {expiry!r}")
    return array


def _trading(now_ns: int, end_ns: int, calendar: SessionCalendar | None) -> float:
    if end_ns <= now_ns:
        return 0.0
    total = 0.0
    for open_ns, close_ns in _bounds(ist_date(now_ns), ist_date(end_ns), calendar):
        left = min(close_ns, end_ns) - max(open_ns, now_ns)
        total += max(left, 0) / (close_ns - open_ns)
    return total / SESSIONS_PER_YEAR


def _bounds(first: dt.date, last: dt.date, calendar: SessionCalendar | None) -> list[tuple[int, int]]:
    sessions = _calendar(calendar)
    return [sessions.bounds_ns(day) for day in sessions.sessions(first, last)]
