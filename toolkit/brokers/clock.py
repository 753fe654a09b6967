"""The venue's clock: now as the broker's HTTP ``Date`` tells it, advanced monotonically."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Callable
from typing import Final

from toolkit import tables
from toolkit.calendar import ist_date

__all__ = ["VenueClock", "date_ns", "session_open", "until_next_second"]

_S: Final = 1_000_000_000


def date_ns(header: str | None) -> int | None:
    """Nanoseconds UTC of an HTTP ``Date``; None for anything else.

    >>> date_ns("Fri, 29 Aug 2025 04:00:00 GMT")
    1756440000000000000
    """
    try:
        found = email.utils.parsedate_to_datetime(header or "")
        return int(found.timestamp()) * _S if found.tzinfo is not None else None
    except (TypeError, ValueError, OverflowError):
        return None


def until_next_second(now_ns: int) -> float:
    """Seconds until the next calendar second: when a broker's per-second count starts anew."""
    return 1.0 - (now_ns % _S) / _S


def session_open(now_ns: int) -> int | None:
    """When the exchange session that runs now opened; None outside a session."""
    calendar, day = tables.calendar("NSE"), ist_date(now_ns)
    if not calendar.is_session(day):
        return None
    open_ns, close_ns = calendar.bounds_ns(day)
    return open_ns if open_ns <= now_ns < close_ns else None


class VenueClock:
    """Time by the stamps of a broker's answers, which have whole seconds only.

    Between two stamps it runs with ``mono`` times ``speed``; it never runs backwards, and it stands still
    while it is ahead of the second that the broker just named.

    Parameters
    ----------
    speed : float
        Venue seconds a real second.
    mono, wall : callable
        Monotonic nanoseconds; wall time, used until the first stamp.
    """

    def __init__(
        self,
        speed: float = 1.0,
        mono: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._speed = speed
        self._mono = mono
        self._wall = wall
        self._lock = threading.Lock()
        self._anchor: tuple[int, int] | None = None
        self._floor = 0

    def observe(self, header: str | None) -> None:
        """Take the ``Date`` of an answer that has just come."""
        stamp = date_ns(header)
        if stamp is None:
            return
        with self._lock:
            mono = self._mono()
            guess = None if self._anchor is None else self._at(mono)
            if guess is None or guess < stamp:
                self._anchor = (stamp, mono)
            elif guess >= stamp + _S:
                self._floor = max(self._floor, guess)
                self._anchor = (stamp + _S - 1, mono)

    def now_ns(self) -> int:
        """Nanoseconds UTC."""
        with self._lock:
            if self._anchor is None:
                return self._wall()
            self._floor = max(self._floor, self._at(self._mono()))
            return self._floor

    @property
    def seen(self) -> bool:
        """Whether a stamp has come yet."""
        return self._anchor is not None

    def _at(self, mono: int) -> int:
        assert self._anchor is not None
        start, since = self._anchor
        return start + int((mono - since) * self._speed)
