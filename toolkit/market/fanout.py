"""From one feed to many readers, each at its own pace: no loop, no clock, no file.

Ticks: an :class:`Outbox` hands a reader every batch while it keeps up; when more than its
bound waits it holds the newest tick of each instrument only (conflation), and when nothing
has been taken for ``stall_s`` it is dropped with a reason. Order updates: an
:class:`UpdateLog` numbers them and loses none; what no longer fits memory goes to a spill.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.market.last_values import LastValues

__all__ = ["Outbox", "Update", "UpdateLog"]

Ticks = npt.NDArray[Any]
_S: Final = 1_000_000_000


class Outbox:
    """What waits for one reader.

    Parameters
    ----------
    name : str
        The reader, for messages.
    dtype : dtype
        Of the ticks.
    capacity : int
        Ticks that may wait one by one before they are conflated.
    stall_s : float
        How long something may wait untaken before the reader is dropped.
    """

    def __init__(self, name: str, dtype: np.dtype[Any], *, capacity: int = 32_768, stall_s: float = 30.0) -> None:
        self.name = name
        self.reason = ""
        self.conflated = 0
        self._dtype = dtype
        self._capacity = capacity
        self._stall_ns = int(stall_s * _S)
        self._batches: deque[Ticks] = deque()
        self._waiting = 0
        self._newest: LastValues | None = None
        self._since_ns: int | None = None

    @property
    def waiting(self) -> int:
        """Ticks that wait one by one; conflated ones are not counted."""
        return self._waiting

    def put(self, ticks: Ticks, now_ns: int) -> None:
        """Lay a batch out for the reader."""
        if self.reason or not len(ticks):
            return
        if self._since_ns is None:
            self._since_ns = now_ns
        elif now_ns - self._since_ns >= self._stall_ns:
            self._drop(now_ns)
            return
        if self._newest is None and self._waiting + len(ticks) <= self._capacity:
            self._batches.append(ticks)
            self._waiting += len(ticks)
            return
        if self._newest is None:
            self._newest = LastValues(dtype=self._dtype)
            for batch in self._batches:
                self._newest.apply(batch)
            self.conflated += self._waiting
            self._batches.clear()
            self._waiting = 0
        self._newest.apply(ticks)
        self.conflated += len(ticks)

    def take(self, now_ns: int) -> Ticks | None:
        """The next batch, or after conflation the newest of each instrument; None when nothing waits."""
        out: Ticks | None = None
        if self._newest is not None:
            out = self._newest.changed()
            self._newest = None
        elif self._batches:
            out = self._batches.popleft()
            self._waiting -= len(out)
        self._since_ns = now_ns if self._batches else None
        return out

    def _drop(self, now_ns: int) -> None:
        assert self._since_ns is not None
        idle_s = (now_ns - self._since_ns) / _S
        self.reason = f"reader '{self.name}' took nothing for {idle_s:.0f} s and was dropped; call ticks() again"
        self._batches.clear()
        self._waiting = 0
        self._newest = None
        self._since_ns = None


class Update(msgspec.Struct, frozen=True):
    """One order update: its number (1, 2, ...), when it was received, the broker's own body."""

    seq: int
    recv_ns: int
    body: Mapping[str, Any]


_DECODE: Final = msgspec.json.Decoder(Update)


class UpdateLog:
    """Every order update of a process, by number; none is conflated or dropped.

    Parameters
    ----------
    spill : callable
        Gives a binary file that can be written and read; called when memory is full first.
    keep : int
        Updates held in memory; older ones are read back from the spill.
    """

    def __init__(self, spill: Callable[[], BinaryIO], *, keep: int = 1024) -> None:
        self._spill: BinaryIO | None = None
        self._make = spill
        self._keep = keep
        self._recent: deque[Update] = deque()
        self._ends: list[int] = [0]
        self.last = 0

    @property
    def spilled(self) -> int:
        """How many are in the spill."""
        return len(self._ends) - 1

    def add(self, body: Mapping[str, Any], recv_ns: int) -> Update:
        """Number and keep one update."""
        self.last += 1
        made = Update(self.last, recv_ns, body)
        self._recent.append(made)
        if len(self._recent) > self._keep:
            if self._spill is None:
                self._spill = self._make()
            blob = msgspec.json.encode(self._recent[0])
            self._spill.seek(self._ends[-1])
            self._spill.write(blob)
            self._ends.append(self._ends[-1] + len(blob))
            self._recent.popleft()
        return made

    def after(self, seq: int, most: int = 256) -> list[Update]:
        """Up to ``most`` updates with a number above ``seq``, in order."""
        out: list[Update] = []
        first = max(seq, 0)
        while first + len(out) < min(self.last, first + most):
            index = first + len(out)
            out.append(self._recent[index - self.spilled] if index >= self.spilled else self._read(index))
        return out

    def close(self) -> None:
        """Let the spill go."""
        if self._spill is not None:
            self._spill.close()

    def __del__(self) -> None:
        self.close()

    def _read(self, index: int) -> Update:
        assert self._spill is not None
        self._spill.seek(self._ends[index])
        return _DECODE.decode(self._spill.read(self._ends[index + 1] - self._ends[index]))
