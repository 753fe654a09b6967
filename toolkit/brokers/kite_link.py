"""One account's calls to Kite off the event loop: limits, retries of reads, the state of the token."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from toolkit.brokers.clock import VenueClock, date_ns, until_next_second
from toolkit.brokers.errors_map import Answer, classify, to_error
from toolkit.brokers.kite_client import Wire, WireError, make_client
from toolkit.brokers.kite_settings import KiteSettings
from toolkit.brokers.rate import SECOND_NS, Quota, leave, shared_throttle
from toolkit.brokers.tokens import TokenStore
from toolkit.config import Secret
from toolkit.errors import AuthExpired, BadData, Refused, Retryable, ToolkitError, Unknown

__all__ = ["OPS", "KiteLink", "quotas"]

T = TypeVar("T")

OPS: Final = {
    "place": ("order", "orders"),
    "modify": ("order", "orders"),
    "cancel": ("order", "orders"),
    "gtt": ("order", "orders"),
    "convert": ("order", "others"),
    "login": ("login", "others"),
    "logout": ("login", "others"),
    "quote": ("read", "quotes"),
    "candles": ("read", "candles"),
    "instruments": ("read", "others"),
    "profile": ("read", "others"),
    "orders": ("read", "others"),
    "order_history": ("read", "others"),
    "trades": ("read", "others"),
    "positions": ("read", "others"),
    "holdings": ("read", "others"),
    "margins": ("read", "others"),
    "order_margins": ("read", "others"),
    "charges": ("read", "others"),
    "gtts": ("read", "others"),
}
"""Call -> (kind for the error map, bucket of the limits)."""

_RETRIES: Final = 3
_BACKOFF_S: Final = 0.2
_MINUTE: Final = 60 * SECOND_NS
_DAY: Final = 86_400 * SECOND_NS


def quotas(settings: KiteSettings) -> tuple[Quota, ...]:
    """The limits of one account as the settings state them."""
    return (
        Quota("orders", settings.orders_per_s, SECOND_NS),
        Quota("orders", settings.orders_per_min, _MINUTE),
        Quota("orders", settings.orders_per_day, _DAY),
        Quota("quotes", settings.quotes_per_s, SECOND_NS),
        Quota("candles", settings.candles_per_s, SECOND_NS),
        Quota("others", settings.others_per_s, SECOND_NS),
    )


class KiteLink:
    """Every call of one account goes through here.

    Parameters
    ----------
    settings : KiteSettings
    wall : callable
        Nanoseconds UTC, for the day of the token.
    tokens : TokenStore, optional
        Where ``toolkit login kite`` keeps the day's token.
    """

    def __init__(
        self, settings: KiteSettings, *, wall: Callable[[], int] = time.time_ns, tokens: TokenStore | None = None
    ) -> None:
        self.settings = settings
        self.venue = VenueClock()
        self._wall = wall
        self._tokens = TokenStore() if tokens is None else tokens
        self._throttle = shared_throttle(("kite", settings.root, settings.api_key), quotas(settings))
        self._given: Secret | None = settings.access_token or None
        self._dead: str | None = None
        self._made: tuple[Any, Wire] | None = None
        self._lock = threading.Lock()
        self._threads = _Threads()
        self.closed = False
        self.skew_s: float | None = None

    @property
    def state(self) -> str:
        """``ready``, ``no_token``, ``auth_expired`` or ``closed``."""
        if self.closed:
            return "closed"
        token = self._token()
        if token is not None and token.reveal() != self._dead:
            return "ready"
        return "no_token" if self._dead is None else "auth_expired"

    def token(self) -> Secret:
        """The token that is good now.

        Raises
        ------
        AuthExpired
            When there is none, or the broker said that it is dead. Nothing was sent.
        """
        found = self._token()
        if found is None:
            raise AuthExpired("no token of today for kite; run: toolkit login kite")
        if found.reveal() == self._dead:
            raise AuthExpired("the kite token is no longer valid; nothing was sent; run: toolkit login kite")
        return found

    def renew(self, token: Secret) -> None:
        """Use a new token from now on."""
        self._given = token

    def expire(self) -> None:
        """Take the token for dead: what a 403 on the ticker means once REST said so too."""
        found = self._token()
        self._dead = None if found is None else found.reveal()

    async def call(self, op: str, act: Callable[[Any], T], what: str = "") -> T:
        """Run ``act(client)`` in a worker thread.

        Order calls are sent once. Reads are repeated at most three times with growing pauses. The whole
        takes at most ``total_s`` seconds, waiting for the limits included.

        Raises
        ------
        Refused, Unknown, Retryable, AuthExpired
            What the error map makes of the answer.
        """
        if self.closed:
            raise Refused("this kite connection is closed; connect again")
        kind, bucket = OPS[op]
        name = what or op.replace("_", " ")
        token = None if kind == "login" else self.token()
        client = await self._ready()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.total_s
        for attempt in range(_RETRIES + 1):
            await self._throttle.enter(bucket, max(0.0, deadline - loop.time()), order=kind != "read")
            if kind == "order":
                leave()
            if token is not None:
                client.access_token = token.reveal()
            value, answer = await self._once(client, act, max(0.05, deadline - loop.time()))
            if answer is None:
                return value  # type: ignore[return-value]
            pause = self._heed(bucket, answer)
            error = self._error(kind, name, answer)
            wait = max(pause, _BACKOFF_S * 2**attempt)
            if attempt == _RETRIES or not isinstance(error, Retryable) or loop.time() + wait >= deadline:
                raise error
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Let the connections go."""
        self.closed = True
        self._threads.end()
        if self._made is not None:
            self._made[1].session.close()

    def _token(self) -> Secret | None:
        if self._given is not None and self._given.reveal() != self._dead:
            return self._given
        stored = self._tokens.load("kite", self.settings.api_key, self._wall())
        return self._given if stored is None else stored.token

    def _heed(self, bucket: str, answer: Answer) -> float:
        """Seconds to stay away from a bucket after an answer; every user of the account waits."""
        if answer.status != 429 and answer.retry_after_s is None:
            return 0.0
        pause = answer.retry_after_s
        if pause is None:
            pause = until_next_second(self.venue.now_ns())
        self._throttle.pause(bucket, pause)
        return pause

    def _error(self, kind: str, name: str, answer: Answer) -> ToolkitError:
        verdict = classify("kite", kind, answer)
        if verdict == "auth" and kind != "login":
            self.expire()
        return to_error("kite", name, kind, answer)

    def _observe(self, header: str | None) -> None:
        """Take a ``Date``: the venue's time, and how far this machine is from it (to the half second)."""
        self.venue.observe(header)
        stamp = date_ns(header)
        if stamp is not None:
            self.skew_s = (self._wall() - stamp) / 1e9 - 0.5

    async def _ready(self) -> Any:
        """The client, made on first use in a worker thread."""
        if self._made is None:
            made, failed = await self._thread(self._make, 60.0)
            if failed is not None:
                raise failed
            return made
        return self._made[0]

    def _make(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = make_client(self.settings, "", self._observe)
            return self._made[0]

    async def _once(self, client: Any, act: Callable[[Any], T], seconds: float) -> tuple[T | None, Answer | None]:
        value, failed = await self._thread(lambda: act(client), seconds)
        if failed is None:
            return value, None
        if isinstance(failed, WireError):
            return None, failed.answer
        if isinstance(failed, TimeoutError):
            return None, Answer(shape="cut", text=f"no answer within {seconds:.1f} s")
        if isinstance(failed, Refused | Unknown | AuthExpired):
            raise failed
        if isinstance(failed, BadData):
            return None, Answer(status=200, shape="odd", text=str(failed))
        return None, Answer(status=200, shape="odd", text=f"{type(failed).__name__} while reading the answer")

    async def _thread(self, act: Callable[[], T], seconds: float) -> tuple[T | None, Exception | None]:
        """Run in a thread that no shutdown waits for; give its value or its error."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[T | None, Exception | None]] = loop.create_future()

        def finish(value: T | None, error: Exception | None) -> None:
            if not done.done():
                done.set_result((value, error))

        def work() -> None:
            value: T | None = None
            error: Exception | None = None
            try:
                value = act()
            except Exception as caught:
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop may be gone
                loop.call_soon_threadsafe(finish, value, error)

        self._threads.run(work)
        try:
            return await asyncio.wait_for(done, seconds)
        except TimeoutError:
            return None, TimeoutError()


class _Threads:
    """Daemon threads, kept for the next call: starting one costs as much as the call. A call never waits for one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = 0
        self._all = 0

    def run(self, job: Callable[[], None]) -> None:
        """Run a job in an idle thread, or in a new one."""
        with self._lock:
            fresh = self._idle == 0
            self._all += fresh
            self._idle -= not fresh
        self._jobs.put(job)
        if fresh:
            threading.Thread(target=self._work, name="kite-call", daemon=True).start()

    def end(self) -> None:
        """Let every thread end after the call it is in."""
        with self._lock:
            count, self._all, self._idle = self._all, 0, 0
        for _ in range(count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            with self._lock:
                self._idle += 1
