"""The simulated clock: a chosen time that runs at a chosen speed, or stands still."""

from __future__ import annotations

import time
from collections.abc import Callable

from toolkit.errors import BadData

__all__ = ["SimClock"]


class SimClock:
    """Simulated nanoseconds UTC, monotonic.

    Parameters
    ----------
    start_ns : int
        The first instant.
    speed : float
        Simulated seconds a real second; 0 stands still until :meth:`jump`.
    real_ns : callable
        A monotonic clock in nanoseconds.
    """

    def __init__(self, start_ns: int, speed: float = 1.0, real_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._real_ns = real_ns
        self._mark_sim = start_ns
        self._mark_real = real_ns()
        self.speed = _checked(speed)

    def now_ns(self) -> int:
        """The simulated time."""
        return self._mark_sim + int((self._real_ns() - self._mark_real) * self.speed)

    def jump(self, to_ns: int) -> None:
        """Move forward to ``to_ns``.

        Raises
        ------
        BadData
            For a time that has passed: a day cannot be lived twice.
        """
        now_ns = self.now_ns()
        if to_ns < now_ns:
            raise BadData(
                f"simulated time runs forward only: {to_ns} ns is {(now_ns - to_ns) / 1e9:.3f} s ago; start anew"
            )
        self._mark_sim, self._mark_real = to_ns, self._real_ns()

    def run(self, speed: float) -> None:
        """Change the speed from now on."""
        self._mark_sim, self._mark_real = self.now_ns(), self._real_ns()
        self.speed = _checked(speed)

    def real_s(self, until_ns: int) -> float:
        """Real seconds until the simulated time is ``until_ns``; infinite while it stands still."""
        left_ns = until_ns - self.now_ns()
        if left_ns <= 0:
            return 0.0
        return left_ns / self.speed / 1e9 if self.speed else float("inf")


def _checked(speed: float) -> float:
    if not 0 <= speed <= 10_000:
        raise BadData(f"speed must be 0 (frozen) to 10000, was {speed!r}")
    return float(speed)
