"""The engine's pen: records become durable, several acts in one transaction, and are then told."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import msgspec

from toolkit.errors import BadData
from toolkit.orders.effects import Record
from toolkit.store.journal import Entry, Journal

__all__ = ["Event", "Pen"]

_MINUTE_NS: Final = 60_000_000_000
_MOST: Final = 256
_RIDE_S: Final = 0.005


class Event(msgspec.Struct, frozen=True):
    """One durable record in public words. ``seq`` counts from 1 without a gap; 0 is news that is not durable yet."""

    seq: int
    ts_ns: int
    kind: str
    cl_ord_id: str
    payload: dict[str, Any]


class Pen:
    """Writes one journal in the engine's loop.

    What is added while the loop is busy shares one transaction: each commit costs one flush however
    many acts wait for it. What nothing waits for rides with the next commit, or has its own after
    5 ms. When the disk refuses, everything added stays in :attr:`backlog` until it takes records again,
    in the same order.

    Parameters
    ----------
    journal : Journal
    mono : callable
        Monotonic nanoseconds, for the figures.
    limit_ns : int
        How long a commit may take.
    slow : callable
        Told what a longer one took, before anything that waited for it goes on.
    """

    def __init__(
        self,
        journal: Journal,
        mono: Callable[[], int] = time.monotonic_ns,
        limit_ns: int = _MINUTE_NS,
        slow: Callable[[int], None] = lambda took_ns: None,
    ) -> None:
        self.journal = journal
        self.backlog: list[Record] = []
        self.failed = ""
        self.commits = 0
        self.closed = False
        self._mono = mono
        self._limit_ns = limit_ns
        self._slow = slow
        self._waiting: list[Callable[[bool], None]] = []
        self._pressed = False
        self._riding: asyncio.TimerHandle | None = None
        self._news: asyncio.Future[None] | None = None
        self._took: deque[tuple[int, int]] = deque()

    def add(self, records: Sequence[Record]) -> None:
        """Queue records for the next commit."""
        self.backlog += records

    def write(self, records: Sequence[Record], then: Callable[[bool], None]) -> None:
        """Queue records; ``then(written)`` is called once everything added so far is durable, or the disk refused."""
        self.backlog += records
        if not self.backlog or self.failed:
            then(not self.failed)
            return
        if not self._waiting and not self._pressed:
            asyncio.get_running_loop().call_soon(self.press)
        self._waiting.append(then)

    async def durable(self) -> bool:
        """Wait until everything added so far is durable; False when the disk refused it."""
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def then(done: bool) -> None:
            if not written.done():
                written.set_result(done)

        self.write((), then)
        return await written

    def ride(self, records: Sequence[Record], failed: Callable[[], None]) -> None:
        """Queue records that nothing waits for; ``failed`` is called when the disk refuses their own commit."""
        self.add(records)
        if self._riding is None and not self._waiting and not self.failed:
            self._riding = asyncio.get_running_loop().call_later(_RIDE_S, self._ridden, failed)

    def _ridden(self, failed: Callable[[], None]) -> None:
        if not self.flush():
            failed()

    def press(self) -> None:
        """Commit now what somebody waits for; nothing when nobody does."""
        if self._waiting:
            self.flush()

    def together(self, act: Callable[[], None]) -> None:
        """Do something and commit at its end what it waits for, in this turn of the loop."""
        self._pressed = True
        try:
            act()
        finally:
            self._pressed = False
            self.press()

    def flush(self) -> bool:
        """Commit now; True when everything is durable."""
        if self._riding is not None:
            self._riding.cancel()
            self._riding = None
        waiting, self._waiting = self._waiting, []
        done = self._commit() if self.backlog else not self.failed
        for then in waiting:
            try:
                then(done)
            except Exception as error:  # one act that fails must not keep the others from their answer
                _report(error)
        if done and self._news is not None:
            news, self._news = self._news, None
            if not news.done():
                news.set_result(None)
        return done

    def retry(self) -> bool:
        """Try again after the disk refused; True when everything is durable."""
        return self.flush()

    def _commit(self) -> bool:
        began_ns = self._mono()
        try:
            self.journal.append(self.backlog)
        except BadData as error:
            self.failed = str(error)
            return False
        finally:
            now_ns = self._mono()
            self._took.append((now_ns, now_ns - began_ns))
            while self._took[0][0] < now_ns - _MINUTE_NS:
                self._took.popleft()
        self.backlog = []
        self.failed = ""
        self.commits += 1
        if now_ns - began_ns > self._limit_ns:
            self._slow(now_ns - began_ns)
        return True

    def close(self) -> None:
        """Let the file go; listeners end."""
        self.closed = True
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
        self.journal.close()

    @property
    def slowest_ms(self) -> float | None:
        """The slowest commit of the last minute, None when there was none."""
        oldest_ns = self._mono() - _MINUTE_NS
        recent = [took for at_ns, took in self._took if at_ns >= oldest_ns]
        return max(recent) / 1e6 if recent else None

    def entries(self, after: int = 0, most: int = _MOST) -> list[Entry]:
        """Durable records after a sequence number as they lie in the file, oldest first, at most ``most``."""
        if self._riding is not None:
            self.flush()
        return list(self.journal.records(after, most))

    def events(self, after: int = 0, most: int = _MOST) -> list[Event]:
        """The same in public words."""
        found = self.entries(after, most)
        return [Event(e.seq, e.ts_ns, e.kind, e.cl_ord_id, msgspec.json.decode(e.payload)) for e in found]

    async def listen(self, after: int | None = None) -> AsyncIterator[Event]:
        """Events from now on (or after a sequence number). A slow reader reads the file: nothing is dropped."""
        at = self.journal.last_seq if after is None else after
        while not self.closed:
            for event in self.events(at):
                at = event.seq
                yield event
            if at >= self.journal.last_seq:
                if self._news is None:
                    self._news = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._news)


def _report(error: Exception) -> None:
    """Hand a fault in somebody's answer to the loop, as a task of its own would."""
    context = {"message": "an act failed after its record was written", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
