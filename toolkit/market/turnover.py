"""What was traded while an order lived: the market's average price between two times, from cumulative volumes."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any, Final

__all__ = ["Turnover"]

_KEPT: Final = 4096


class _Line:
    """Cumulative quantity and value of one contract at the times they changed."""

    __slots__ = ("followers", "qty", "stamps", "value", "volume")

    def __init__(self, now_ns: int, volume: float) -> None:
        self.followers = 0
        self.volume = volume
        self.stamps, self.qty, self.value = [now_ns], [0.0], [0.0]

    def add(self, now_ns: int, volume: float, ltp: float) -> None:
        """Count a rise of the day's volume at the last price; the first volume known is where counting begins."""
        traded = volume - self.volume
        if math.isnan(volume) or math.isnan(ltp) or traded == 0.0:
            return
        self.volume = volume
        if not traded > 0.0:  # the first volume, or a correction downwards: from here on
            return
        self.stamps.append(now_ns)
        self.qty.append(self.qty[-1] + traded)
        self.value.append(self.value[-1] + traded * ltp)
        if len(self.stamps) > _KEPT:  # of the older half every second one goes
            half = _KEPT // 2
            for column in (self.stamps, self.qty, self.value):
                del column[1:half:2]

    def at(self, ns: int) -> tuple[float, float] | None:
        found = bisect_right(self.stamps, ns) - 1
        return (self.qty[found], self.value[found]) if found >= 0 else None


class Turnover:
    """Traded quantity and value of the contracts that somebody follows.

    A feed tells the day's volume and the last price: each rise counts at that price, so the average is exact for a
    feed that tells every trade and an estimate for one that skips some. Memory is bounded a contract; of long
    histories the older stamps grow coarser.
    """

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}

    def follow(self, key: int, now_ns: int, volume: float) -> None:
        """Begin to count a contract, from the day's volume so far (NaN: from the first that comes)."""
        line = self._lines.setdefault(key, _Line(now_ns, volume))
        line.followers += 1

    def leave(self, key: int) -> None:
        """One follower fewer; the last one ends the counting."""
        line = self._lines.get(key)
        if line is not None:
            line.followers -= 1
            if line.followers <= 0:
                del self._lines[key]

    def take(self, now_ns: int, rows: Any) -> None:
        """Count a batch of merged rows (``key``, ``volume``, ``ltp``)."""
        if not self._lines:
            return
        for i, key in enumerate(rows["key"].tolist()):
            line = self._lines.get(key)
            if line is not None:
                line.add(now_ns, float(rows["volume"][i]), float(rows["ltp"][i]))

    def vwap(self, key: int, from_ns: int, to_ns: int) -> float | None:
        """Average price in rupees of what was traded after ``from_ns`` until ``to_ns``; None when nothing is known.

        >>> import numpy as np
        >>> told, kind = Turnover(), [("key", "i8"), ("volume", "f8"), ("ltp", "f8")]
        >>> told.follow(7, 0, 100.0)
        >>> told.take(1, np.array([(7, 130.0, 10.0)], kind))
        >>> told.take(2, np.array([(7, 140.0, 14.0)], kind))
        >>> told.vwap(7, 0, 2)
        11.0
        """
        line = self._lines.get(key)
        if line is None or (first := line.at(from_ns)) is None:
            return None
        last = line.at(to_ns)
        if last is None or last[0] <= first[0]:
            return None
        return (last[1] - first[1]) / (last[0] - first[0])
