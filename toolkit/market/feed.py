"""The runner of a market feed: sockets, tasks and a thread around the pure feed session.

One :class:`MarketFeed` holds as many connections as its instruments need. Each is judged by
:mod:`toolkit.market.feed_session`: a dead or silent link is dropped and made again at the
pacer's times with all its subscriptions. A handshake refused with 401 or 403 is asked about
over REST: an expired token or a missing data subscription stops the link until somebody logs
in; it is never taken for a network fault. :class:`ThreadFeed` is the same feed for notebooks,
on a thread and loop of its own.

The address of a feed carries its token, so no address is ever logged or put in an error.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl as tls
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, BinaryIO, Final, TypeVar, cast

import numpy as np
import numpy.typing as npt
from websockets.asyncio.client import ClientConnection, connect

from toolkit.errors import BadData, Retryable
from toolkit.market.fanout import Outbox, Update, UpdateLog
from toolkit.market.feed_link import Link
from toolkit.market.feed_session import ConnectPacer, FeedSession, FeedState, spread
from toolkit.market.last_values import LastValues
from toolkit.market.quotes import key_of
from toolkit.market.wire import Heard, Wire
from toolkit.types import Instrument

__all__ = ["MAX_FRAME", "MarketFeed", "ThreadFeed"]

MAX_FRAME: Final = 4 * 1024 * 1024
"""Longest message taken, bytes: seven times a frame of 3 000 full packets. A longer one ends the connection."""

Ticks = npt.NDArray[Any]
Wanted = Mapping[int, str] | Mapping[Instrument, str]
Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")

_ATTEMPTS_A_MINUTE: Final = 36  # of all connections together

# websockets writes the request line, and with it the token, to its logger.
_SILENT: Final = logging.getLogger("toolkit.market.feed.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)
_LOG: Final = logging.getLogger("toolkit.market.feed")


class _Connect(connect):
    """A connection that follows no redirect: the feed's address is the user's and no server's to change."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class MarketFeed:
    """One broker's market feed.

    Parameters
    ----------
    wire : Wire
        The broker's codec and limits.
    probe : coroutine function, optional
        A REST call that needs the token: it tells an expired token (`AuthExpired`) from a missing
        data subscription (no error) after a refused handshake.
    session_open : callable, optional
        When the session running at a time (nanoseconds UTC) opened, None outside a session.
        Without it no session is known and only silence of the whole link is watched.
    clock, timer : callable, optional
        Wall clock (for receipts) and monotonic clock (for everything that waits), nanoseconds.
    sleep : coroutine function, optional
        Waits that many seconds.
    rng : random.Random, optional
        Jitter of the reconnects.
    ssl, proxy : optional
        A context with an own certificate authority; a proxy. Nothing is taken from the environment.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        probe: Callable[[], Awaitable[object]] | None = None,
        session_open: Callable[[int], int | None] | None = None,
        clock: Callable[[], int] = time.time_ns,
        timer: Callable[[], int] = time.monotonic_ns,
        sleep: Sleep = asyncio.sleep,
        rng: random.Random | None = None,
        ssl: tls.SSLContext | None = None,
        proxy: str | None = None,
        open_timeout_s: float = 10.0,
    ) -> None:
        self.wire = wire
        self.probe = probe
        self.session_open = session_open
        self.clock = clock
        self.timer = timer
        self.sleep = sleep
        self.last = LastValues(dtype=wire.dtype)
        self.notices: list[str] = []
        self._rng = rng or random.Random()  # noqa: S311 - jitter, no secret
        self._ssl = ssl
        self._proxy = proxy
        self._open_timeout_s = open_timeout_s
        self._wanted: dict[int, str] = {}
        self._liquid: frozenset[int] | None = None
        self._links: list[Link] = []
        self._readers: list[_Reader] = []
        self._updates = UpdateLog(_spill)
        self._wakes: set[asyncio.Event] = set()
        self._closed = False
        self._counts = dict.fromkeys(("batches", "quotes", "dropped", "conflated", "bad", "skipped", "notices"), 0)
        self._past = {"connects": 0, "drops": 0}

    def want(self, modes: Wanted, *, liquid: Iterable[int] | None = None) -> None:
        """State everything wanted and each one's mode; what is no longer in it is unsubscribed.

        Parameters
        ----------
        modes : mapping
            ``ltp``, ``quote`` or ``full`` by feed key (the instrument's token) or by `Instrument`.
        liquid : iterable of int, optional
            Keys whose silence in the session is an alarm; default: all.

        Raises
        ------
        BadData
            For an unknown mode, a key that is none, or more than the broker's connections hold.
        """
        keyed = {key_of(k) if isinstance(k, Instrument) else k: mode for k, mode in modes.items()}
        for share in spread(keyed, self.wire.terms):
            FeedSession(self.wire.terms).want(share)
        self._wanted = keyed
        self._liquid = None if liquid is None else frozenset(liquid)
        self.last.keep(keyed)
        if self._links:
            self._share()
        elif not self._closed and _loop_runs():
            self.start()

    def start(self) -> None:
        """Connect, on the running loop; does nothing while it runs. A closed feed starts again."""
        self._closed = False
        if not self._links:
            self._share()

    async def close(self) -> None:
        """End every connection and every reader; the wish is kept for another start."""
        self._closed = True
        links, self._links = self._links, []
        for link in links:
            await link.stop()
            self._note(link)
        await self.wire.leave()
        for event in [*self._wakes, *(reader.wake for reader in self._readers)]:
            event.set()

    def ticks(self, name: str = "reader", *, capacity: int = 32_768, stall_s: float = 30.0) -> AsyncIterator[Ticks]:
        """Batches of ticks from now on, in the wire's structured type, read-only.

        A reader that falls ``capacity`` ticks behind gets the newest of each instrument instead;
        one that takes nothing for ``stall_s`` is dropped.

        Raises
        ------
        Retryable
            While iterating: the reader was dropped; call again.
        """
        if not self._links and not self._closed:
            self.start()
        reader = _Reader(Outbox(name, self.wire.dtype, capacity=capacity, stall_s=stall_s))
        self._readers.append(reader)
        return self._read(reader)

    async def updates(self, after: int = 0) -> AsyncIterator[Update]:
        """Order updates numbered above ``after``, every one, in order; then those to come.

        Several connections of one account each carry them: expect repeats, and read the order
        book to settle.
        """
        if not self._links and not self._closed:
            self.start()
        wake = asyncio.Event()
        self._wakes.add(wake)
        try:
            while True:
                wake.clear()
                for update in self._updates.after(after):
                    after = update.seq
                    yield update
                if after < self._updates.last:
                    continue
                if self._closed:
                    return
                await wake.wait()
        finally:
            self._wakes.discard(wake)

    def rearm(self) -> None:
        """Try again after a refusal: somebody has logged in."""
        for link in self._links:
            link.armed.set()

    @property
    def state(self) -> str:
        """``idle connecting live down auth_expired closed``: the worst of its connections."""
        if self._closed:
            return FeedState.CLOSED.value
        states = [link.session.state for link in self._links]
        for one in (FeedState.AUTH_EXPIRED, FeedState.DOWN, FeedState.CONNECTING, FeedState.IDLE):
            if one in states:
                return one.value
        return FeedState.LIVE.value if states else FeedState.IDLE.value

    @property
    def reason(self) -> str:
        """Why it is not live; empty when it is."""
        return next((link.session.reason for link in self._links if link.session.reason), "")

    @property
    def stats(self) -> Mapping[str, int]:
        """Counters: ``batches quotes dropped conflated bad skipped notices connects drops updates late readers``."""
        conflated = sum(reader.box.conflated for reader in self._readers)
        found = {**self._counts, **self._past, "updates": self._updates.last, "late": self.last.late}
        found["conflated"] += conflated
        found["readers"] = len(self._readers)
        for link in self._links:
            found["connects"] += link.session.connects
            found["drops"] += link.session.drops
        return found

    def stale(self) -> frozenset[int]:
        """Wanted keys whose last tick is too old to trust; all of a connection that is down."""
        if not self._links:
            return frozenset(self._wanted)
        now = self.timer()
        return frozenset().union(*(link.session.stale(now) for link in self._links))

    def _share(self) -> None:
        held = [link.session.wanted for link in self._links]
        shares = spread(self._wanted, self.wire.terms, held)
        while len(self._links) > len(shares):
            link = self._links.pop()
            link.cancel()
            self._note(link)
        a_minute = max(6, _ATTEMPTS_A_MINUTE // max(1, len(shares)))
        for share, link in zip(shares, self._links, strict=False):
            link.want(share, self._liquid)
        for share in shares[len(self._links) :]:
            link = Link(self, ConnectPacer(self._rng, per_minute=a_minute))
            link.want(share, self._liquid)
            self._links.append(link)
            link.task = asyncio.get_running_loop().create_task(link.run(), name="market-feed-link")

    async def _read(self, reader: _Reader) -> AsyncIterator[Ticks]:
        try:
            while True:
                reader.wake.clear()
                batch = reader.box.take(self.timer())
                if batch is not None:
                    yield batch
                elif reader.box.reason:
                    raise Retryable(reader.box.reason)
                elif self._closed:
                    return
                else:
                    await reader.wake.wait()
        finally:
            self._forget(reader)

    def _forget(self, reader: _Reader) -> None:
        if reader in self._readers:
            self._readers.remove(reader)
            self._counts["conflated"] += reader.box.conflated

    def _note(self, link: Link) -> None:
        self._past["connects"] += link.session.connects
        self._past["drops"] += link.session.drops

    def _publish(self, heard: Heard, now_ns: int, recv_ns: int) -> None:
        counts = self._counts
        counts["bad"] += bool(heard.fault)
        counts["skipped"] += heard.skipped
        if len(heard.ticks):
            counts["batches"] += 1
            counts["quotes"] += len(heard.ticks)
            heard.ticks.flags.writeable = False
            self.last.apply(heard.ticks)
            for reader in list(self._readers):
                reader.box.put(heard.ticks, now_ns)
                if reader.box.reason:
                    counts["dropped"] += 1
                    self._forget(reader)
                reader.wake.set()
        for body in heard.orders:
            self._updates.add(body, recv_ns)
        if heard.orders:
            for wake in self._wakes:
                wake.set()
        for notice in heard.notices:
            counts["notices"] += 1
            self.notices = [*self.notices[-99:], notice]
            _LOG.warning("feed: %s", notice)

    async def _open(self) -> ClientConnection:
        extra: dict[str, Any] = {} if self._ssl is None else {"ssl": self._ssl}
        return await _Connect(
            self.wire.url(),
            additional_headers=dict(self.wire.headers()),
            compression=None,
            max_size=MAX_FRAME,
            ping_interval=None,  # the broker's heartbeats and our own watchdog judge the link
            open_timeout=self._open_timeout_s,
            close_timeout=1.0,
            logger=_SILENT,
            proxy=self._proxy,
            **extra,
        )


class _Reader:
    def __init__(self, box: Outbox) -> None:
        self.box = box
        self.wake = asyncio.Event()


class ThreadFeed:
    """A market feed on a thread and event loop of its own, for notebooks and other synchronous code.

    Start and stop as often as you like; both do nothing when there is nothing to do. Ctrl-C in
    the notebook does not reach the feed. Every call answers within ``patience_s`` or raises.

    Parameters
    ----------
    make : callable
        Makes the `MarketFeed`; called on the feed's own thread at each start.
    """

    def __init__(self, make: Callable[[], MarketFeed], *, patience_s: float = 10.0) -> None:
        self._make = make
        self._patience_s = patience_s
        self._wanted: Wanted = {}
        self._liquid: tuple[int, ...] | None = None
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._feed: MarketFeed | None = None
        self._kept: Ticks = np.empty(0)
        self._said: tuple[str, Mapping[str, int]] = (FeedState.IDLE.value, {})

    def __enter__(self) -> ThreadFeed:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> ThreadFeed:
        """Connect and subscribe what is wanted."""
        with self._lock:
            if self._thread is not None:
                return self
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_serve, args=(loop,), name="market-feed", daemon=True)
            thread.start()
            self._loop, self._thread = loop, thread
            try:
                self._feed = self._on_loop(self._begin())
            except BaseException:
                self._end()
                raise
        return self

    def stop(self) -> None:
        """Close every connection and end the thread; the last values stay readable."""
        with self._lock:
            if self._thread is not None:
                self._end()

    def want(self, modes: Wanted, *, liquid: Iterable[int] | None = None) -> None:
        """As :meth:`MarketFeed.want`; kept over a stop and start."""
        keys = None if liquid is None else tuple(liquid)
        feed = self._feed
        if feed is not None:
            self._on_loop(_soon(lambda: feed.want(modes, liquid=keys)))
        self._wanted, self._liquid = dict(modes), keys

    @property
    def state(self) -> str:
        """As :attr:`MarketFeed.state`."""
        return self._ask(lambda feed: feed.state, self._said[0])

    @property
    def reason(self) -> str:
        """Why it is not live."""
        return self._ask(lambda feed: feed.reason, "")

    @property
    def stats(self) -> Mapping[str, int]:
        """As :attr:`MarketFeed.stats`."""
        return self._ask(lambda feed: feed.stats, self._said[1])

    def stale(self) -> frozenset[int]:
        """As :meth:`MarketFeed.stale`; everything while stopped."""
        keys = [key_of(k) if isinstance(k, Instrument) else k for k in self._wanted]
        return self._ask(lambda feed: feed.stale(), frozenset(keys))

    def rows(self) -> Ticks:
        """The newest tick of every instrument, a copy by ascending token."""
        return self._ask(lambda feed: feed.last.rows(), self._kept)

    def ticks(self, name: str = "notebook") -> Iterator[Ticks]:
        """Batches as they come, until the feed stops; a slow loop body gets the newest of each instrument."""
        feed = self._feed
        if feed is None:
            raise BadData("the feed is stopped; call start() first")
        return self._walk(self._on_loop(_soon(lambda: feed.ticks(name))))

    def updates(self, after: int = 0) -> Iterator[Update]:
        """Order updates numbered above ``after``, every one, until the feed stops."""
        feed = self._feed
        if feed is None:
            raise BadData("the feed is stopped; call start() first")
        return self._walk(feed.updates(after))

    def _walk(self, source: AsyncIterator[T]) -> Iterator[T]:
        while (loop := self._loop) is not None:
            waiting: Future[list[T]] = asyncio.run_coroutine_threadsafe(_next(source), loop)
            try:
                items = waiting.result()
            except CancelledError:
                return
            except BaseException:
                waiting.cancel()
                raise
            if not items:
                return
            yield items[0]

    async def _begin(self) -> MarketFeed:
        feed = self._make()
        feed.want(self._wanted, liquid=self._liquid)
        feed.start()
        return feed

    def _end(self) -> None:
        feed, loop, thread = self._feed, self._loop, self._thread
        assert loop is not None
        assert thread is not None
        try:
            if feed is not None:
                self._kept, self._said = self.rows(), (FeedState.CLOSED.value, dict(self.stats))
                self._feed = None
                self._on_loop(feed.close())
        finally:
            self._feed = self._loop = self._thread = None
            loop.call_soon_threadsafe(loop.stop)
            thread.join(self._patience_s)

    def _ask(self, what: Callable[[MarketFeed], T], stopped: T) -> T:
        feed = self._feed
        return stopped if feed is None else self._on_loop(_soon(lambda: what(feed)))

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(self._patience_s)
        except TimeoutError:
            raise Retryable(f"the feed's thread did not answer within {self._patience_s:g} s; ask again") from None


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _soon(act: Callable[[], T]) -> T:
    return act()


async def _next(source: AsyncIterator[T]) -> list[T]:
    """The next item, or nothing at the end."""
    async for item in source:
        return [item]
    return []


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """A loop until it is stopped; then what still runs on it is cancelled."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _spill() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile(prefix="toolkit-updates-"))
