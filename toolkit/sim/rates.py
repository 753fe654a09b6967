"""Request limits as a broker counts them: sliding windows, time as an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

__all__ = ["Limit", "RateBook"]


class Limit(msgspec.Struct, frozen=True):
    """At most ``most`` requests of a group in any ``span_ns``."""

    group: str
    most: int
    span_ns: int


class RateBook:
    """Counts the requests that it lets pass, by group."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self.limits = tuple(limits)
        self._seen: dict[tuple[Limit, str], deque[int]] = {}

    def take(self, group: str, now_ns: int, within: str = "") -> Limit | None:
        """Count one request of a group (apart from those ``within`` another name); gives the limit that it
        breaks, None when it may pass."""
        windows = []
        for limit in self.limits:
            if limit.group != group:
                continue
            seen = self._seen.setdefault((limit, within), deque())
            while seen and seen[0] <= now_ns - limit.span_ns:
                seen.popleft()
            if len(seen) >= limit.most:
                return limit
            windows.append(seen)
        for seen in windows:
            seen.append(now_ns)
        return None
