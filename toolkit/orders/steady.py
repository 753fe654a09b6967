"""A clock that no step of the machine's time can move: wall time at the start, monotonic time from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["SteadyClock"]

_SLEW_NS: Final = 2_000_000_000


class SteadyClock:
    """Nanoseconds UTC that never run backwards and never jump.

    Small differences from the wall (a clock that is being disciplined) are followed, forwards only; a
    larger one is a step: it is kept in :attr:`step_s` and not followed.

    Parameters
    ----------
    wall, mono : callable
        Wall time and monotonic time, nanoseconds.
    """

    def __init__(self, wall: Callable[[], int], mono: Callable[[], int]) -> None:
        self._wall = wall
        self._mono = mono
        self._offset_ns = wall() - mono()
        self._last_ns = 0

    def __call__(self) -> int:
        """Now."""
        self._last_ns = max(self._last_ns, self._mono() + self._offset_ns)
        return self._last_ns

    @property
    def step_s(self) -> float:
        """Seconds by which the wall was moved away from this clock; 0.0 while it was not."""
        drift_ns = self._wall() - self._mono() - self._offset_ns
        if abs(drift_ns) <= _SLEW_NS:
            self._offset_ns += drift_ns
            return 0.0
        return drift_ns / 1e9
