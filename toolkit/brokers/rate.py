"""Request limits: one set of buckets for every user of an account in this process.

:class:`RateLimiter` is pure: the time is an argument and a reservation is an answer.
:class:`Throttle` is the asyncio skin around it, safe between threads and event loops.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Final

import msgspec

from toolkit.errors import Refused, Retryable

__all__ = ["LEAVING", "Quota", "RateLimiter", "Throttle", "leave", "shared_throttle"]

SECOND_NS: Final = 1_000_000_000
GUARD_NS: Final = 60_000_000
"""Added to a window of one second: requests bunch on their way, and the broker counts arrivals."""

LEAVING: Final[ContextVar[Callable[[], object] | None]] = ContextVar("LEAVING", default=None)
"""What an order message is asked when its turn has come, before its first byte; raises Refused to keep it back.

The caller sets it in its task: a message may wait here for a second, and trading may be halted meanwhile.
"""


class Quota(msgspec.Struct, frozen=True):
    """At most ``most`` requests of a bucket in any ``span_ns``."""

    bucket: str
    most: int
    span_ns: int


class RateLimiter:
    """Reservations under several quotas, first come first served.

    A request may start when the ``most``-th before it lies a whole span back. So no sliding
    second holds more than the quota, and no calendar second of the broker's clock either.

    Parameters
    ----------
    quotas : sequence of Quota
        Windows of one second are stretched by :data:`GUARD_NS`.
    """

    def __init__(self, quotas: Sequence[Quota]) -> None:
        self.quotas = tuple(quotas)
        self._paused: dict[str, int] = {}
        self._booked: dict[Quota, deque[int]] = {quota: deque(maxlen=max(1, quota.most)) for quota in self.quotas}
        self._last: dict[str, int] = {}

    def reserve(self, bucket: str, now_ns: int, latest_ns: int) -> int | None:
        """Book the next free start in a bucket.

        Returns
        -------
        int or None
            When the request may start (``now_ns`` or later); None when that is after ``latest_ns``: nothing is booked.
        """
        start = max(now_ns, self.free_ns(bucket, now_ns))
        if start > latest_ns:
            return None
        for quota in self.quotas:
            if quota.bucket == bucket:
                self._booked[quota].append(start)
        self._last[bucket] = start
        return start

    def free_ns(self, bucket: str, now_ns: int) -> int:
        """The earliest start a new request would get."""
        start = max(now_ns, self._paused.get(bucket, now_ns), self._last.get(bucket, now_ns))
        for quota in self.quotas:
            booked = self._booked[quota]
            if quota.bucket == bucket and len(booked) >= quota.most:
                start = max(start, booked[0] + _span(quota))
        return start

    def pause(self, bucket: str, until_ns: int) -> None:
        """Let nothing start before ``until_ns``; a shorter pause never ends a longer one."""
        self._paused[bucket] = max(until_ns, self._paused.get(bucket, until_ns))


def _span(quota: Quota) -> int:
    return quota.span_ns + (GUARD_NS if quota.span_ns == SECOND_NS else 0)


class Throttle:
    """A limiter that waits, shared by threads and loops.

    Parameters
    ----------
    limiter : RateLimiter
    clock : callable
        Monotonic nanoseconds.
    sleep : callable
        ``await sleep(seconds)``.
    """

    def __init__(
        self,
        limiter: RateLimiter,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._limiter = limiter
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()

    async def enter(self, bucket: str, wait_s: float, *, order: bool = False) -> None:
        """Wait for the bucket's turn, at most ``wait_s``.

        Raises
        ------
        Refused, Retryable
            When the turn would come later; nothing was sent.
        """
        with self._lock:
            now_ns = self._clock()
            start = self._limiter.reserve(bucket, now_ns, now_ns + int(wait_s * SECOND_NS))
            free = self._limiter.free_ns(bucket, now_ns)
        if start is None:
            left = (free - now_ns) / SECOND_NS
            text = f"the broker's limit for {bucket} is used up for {left:.1f} s; nothing was sent, ask again then"
            raise Refused(text) if order else Retryable(text)
        if start > now_ns:
            await self._sleep((start - now_ns) / SECOND_NS)

    def pause(self, bucket: str, seconds: float) -> None:
        """Obey a ``Retry-After``."""
        with self._lock:
            self._limiter.pause(bucket, self._clock() + int(seconds * SECOND_NS))


def leave() -> None:
    """Say that the next act sends an order message. Raises what :data:`LEAVING` does to keep it back."""
    asked = LEAVING.get()
    if asked is not None:
        asked()


_SHARED: dict[tuple[str, ...], Throttle] = {}
_SHARED_LOCK: Final = threading.Lock()


def shared_throttle(key: tuple[str, ...], quotas: Sequence[Quota]) -> Throttle:
    """The one throttle of an account in this process; the first to ask states its quotas."""
    with _SHARED_LOCK:
        found = _SHARED.get(key)
        if found is None:
            found = _SHARED[key] = Throttle(RateLimiter(quotas))
        return found
