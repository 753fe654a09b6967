"""The state of one market feed, without a socket, a loop or a clock.

The runner tells what happened and when (``connected``, ``received``, ``ticked``,
``disconnected``) and asks what to do (``commands``, ``verdict``). One object serves every
broker: a command names tokens and a mode, and the broker's codec writes the bytes.

Two clocks watch the link, because a socket may stay open and yet be dead:

* *silence*: no byte at all for ``silence_s`` (the broker sends heartbeats): half-open;
* *data age*: bytes come but not one liquid token has ticked for ``data_age_s`` of session
  time: alive and useless. Outside the session only silence counts.

A subscription is answered with the last values, so ticks within two seconds of a connect
prove nothing. When link after link brings only those, it is the source that is slow (a
replayed session with a snapshot a minute): patience doubles each time, and once a tick
comes by itself the gap it ended is the age allowed for the next ten minutes.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from toolkit.errors import BadData

__all__ = ["Command", "ConnectPacer", "FeedSession", "FeedState", "FeedTerms", "Verdict", "delays", "spread"]

_S: Final = 1_000_000_000
_MODES: Final = ("ltp", "quote", "full")
_BURST_NS: Final = 2 * _S
_SLOW_FOR_NS: Final = 600 * _S
_SILENT: Final = "silent"


class FeedState(StrEnum):
    """Where the feed stands."""

    IDLE = "idle"
    CONNECTING = "connecting"
    LIVE = "live"
    DOWN = "down"
    AUTH_EXPIRED = "auth_expired"
    CLOSED = "closed"


class FeedTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker's feed allows, and how long silence may last.

    ``per_connection`` instruments and ``connections`` are the broker's limits; ``batch``
    is how many tokens go into one command; ``stale_s`` the age after which one
    instrument's quote is stale; ``token_bits`` how large a token may be.
    """

    per_connection: int = 3000
    connections: int = 3
    batch: int = 1000
    silence_s: float = 8.0
    data_age_s: float = 4.0
    stale_s: float = 5.0
    token_bits: int = 32


class Command(msgspec.Struct, frozen=True):
    """What to send: ``subscribe`` tokens in a mode, or ``unsubscribe`` them."""

    action: str
    tokens: tuple[int, ...]
    mode: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What the watchdog says: ``drop`` the link or not, why, and when to look again."""

    drop: bool
    reason: str
    next_ns: int


def delays(rng: random.Random, *, first_s: float = 1.0, factor: float = 2.0, most_s: float = 30.0) -> Iterator[float]:
    """Give the delays before each attempt to connect: seconds, growing, jittered, without end.

    The first lies in [0, ``first_s``), so that many clients do not come back together; each
    later one is drawn from the upper half of ``first_s * factor**n``, at most ``most_s``.

    >>> import itertools, random
    >>> [round(d, 2) for d in itertools.islice(delays(random.Random(7)), 4)]
    [0.32, 1.15, 3.3, 4.29]
    """
    yield rng.random() * first_s
    ceiling = first_s * factor
    while True:
        yield ceiling * (0.5 + 0.5 * rng.random())
        ceiling = min(ceiling * factor, most_s)


class ConnectPacer:
    """When the next attempt may start: growing delays, and never more than ``per_minute`` a minute.

    The delays start again only after a link has held for ``stable_s``; a server that accepts
    and drops at once is not hammered.
    """

    def __init__(self, rng: random.Random, *, per_minute: int = 30, stable_s: float = 10.0) -> None:
        self._rng = rng
        self._per_minute = per_minute
        self._stable_ns = int(stable_s * _S)
        self._delays = delays(rng)
        self._starts: list[int] = []
        self._up_ns: int | None = None

    def up(self, now_ns: int) -> None:
        """The link is up."""
        self._up_ns = now_ns

    def down(self, now_ns: int) -> None:
        """The link is down; a link that had held makes the delays start again."""
        if self._up_ns is not None and now_ns - self._up_ns >= self._stable_ns:
            self._delays = delays(self._rng)
        self._up_ns = None

    def next_start_ns(self, now_ns: int) -> int:
        """Reserve the next attempt and say when it starts."""
        start = now_ns + int(next(self._delays) * _S)
        minute = 60 * _S
        self._starts = [s for s in self._starts if s > start - minute]
        if len(self._starts) >= self._per_minute:
            start = self._starts[-self._per_minute] + minute
        self._starts.append(start)
        return start


def spread(wanted: Mapping[int, str], terms: FeedTerms, held: Sequence[Mapping[int, str]] = ()) -> list[dict[int, str]]:
    """Share wanted tokens out over as many connections as they need, at least one.

    A token stays on the connection of ``held`` that carries it, so that a changed wish moves
    nothing but what changed; the others fill the free places in ascending order.

    Raises
    ------
    BadData
        When they are more than the broker's connections hold.
    """
    limit = terms.per_connection * terms.connections
    if len(wanted) > limit:
        raise BadData(
            f"the feed holds {limit} instruments ({terms.connections} connections of {terms.per_connection}), "
            f"was {len(wanted)}; want fewer"
        )
    needed = max(1, -(-len(wanted) // terms.per_connection))
    shares = [{t: wanted[t] for t in sorted(share) if t in wanted} for share in held[:needed]]
    shares += [{} for _ in range(needed - len(shares))]
    placed = {t for share in shares for t in share}
    free = iter(sorted(wanted.keys() - placed))
    for share in shares:
        for token in itertools.islice(free, terms.per_connection - len(share)):
            share[token] = wanted[token]
    return [dict(sorted(share.items())) for share in shares]


class FeedSession:
    """What one connection should carry, what it carries, and whether it is alive."""

    def __init__(self, terms: FeedTerms | None = None) -> None:
        self.terms = terms or FeedTerms()
        self.state = FeedState.IDLE
        self.reason = ""
        self.connects = 0
        self.drops = 0
        self._wanted: dict[int, str] = {}
        self._sent: dict[int, str] = {}
        self._liquid: frozenset[int] = frozenset()
        self._last_tick: dict[int, int] = {}
        self._byte_ns = 0
        self._tick_ns = 0
        self._live_ns = 0
        self._natural_ns = 0
        self._useless = 0
        self._gap_ns = 0
        self._slow_until_ns = 0

    @property
    def wanted(self) -> dict[int, str]:
        """Tokens and their modes as the user wants them."""
        return dict(self._wanted)

    def want(self, wanted: Mapping[int, str], *, liquid: Iterable[int] | None = None) -> None:
        """Replace the whole wanted set; ``liquid`` are the tokens whose silence is an alarm (default: all).

        Raises
        ------
        BadData
            For an unknown mode, a token that is no positive integer, or more than one connection holds.
        """
        for token, mode in wanted.items():
            if mode not in _MODES:
                raise BadData(f"mode of token {token} must be ltp, quote or full, was {mode!r}")
            bits = self.terms.token_bits
            if not isinstance(token, int) or isinstance(token, bool) or not 0 < token < 1 << bits:
                raise BadData(f"a token must be a positive {bits}-bit integer, was {token!r}")
        if len(wanted) > self.terms.per_connection:
            raise BadData(f"one connection holds {self.terms.per_connection} instruments, was {len(wanted)}")
        self._wanted = dict(sorted(wanted.items()))
        self._liquid = frozenset(self._wanted if liquid is None else liquid) & self._wanted.keys()
        self._last_tick = {t: ns for t, ns in self._last_tick.items() if t in self._wanted}

    def commands(self) -> list[Command]:
        """What must be sent now so that the server carries the wanted set; empty while the link is down."""
        if self.state is not FeedState.LIVE:
            return []
        gone = [t for t in self._sent if t not in self._wanted]
        out = [Command("unsubscribe", chunk) for chunk in self._batches(gone)]
        for mode in _MODES:
            tokens = [t for t, m in self._wanted.items() if m == mode and self._sent.get(t) != mode]
            out += [Command("subscribe", chunk, mode) for chunk in self._batches(tokens)]
        self._sent = dict(self._wanted)
        return out

    def connecting(self) -> None:
        """An attempt has started."""
        self.state = FeedState.CONNECTING

    def connected(self, now_ns: int) -> list[Command]:
        """The handshake is done: give all that must be subscribed again."""
        self.state = FeedState.LIVE
        self.reason = ""
        self.connects += 1
        self._sent = {}
        self._byte_ns = self._tick_ns = self._live_ns = now_ns
        self._natural_ns = self._natural_ns or now_ns
        return self.commands()

    def disconnected(self, reason: str) -> None:
        """The link is gone; nothing is subscribed any more."""
        if self.state is FeedState.LIVE:
            self.drops += 1
            if reason.startswith(_SILENT) and self._tick_ns > self._live_ns >= self._natural_ns:
                self._useless += 1
        self.state = FeedState.DOWN
        self.reason = reason
        self._sent = {}

    def refused(self, reason: str) -> None:
        """The server refused us for good: an expired token or no data subscription. Nobody retries."""
        self.state = FeedState.AUTH_EXPIRED
        self.reason = reason
        self._sent = {}

    def closed(self) -> None:
        """The user closed the feed."""
        self.state = FeedState.CLOSED
        self.reason = "closed by the user"
        self._sent = {}

    def received(self, now_ns: int) -> None:
        """Bytes of any kind have come."""
        self._byte_ns = now_ns

    def ticked(self, now_ns: int, tokens: Sequence[int]) -> None:
        """These tokens have ticked."""
        self._byte_ns = now_ns
        alive = False
        for token in tokens:
            if token in self._wanted:
                self._last_tick[token] = now_ns
                alive = alive or token in self._liquid
        if alive:
            self._tick_ns = now_ns
            if now_ns - self._live_ns > _BURST_NS:
                self._natural(now_ns)

    def _natural(self, now_ns: int) -> None:
        """A tick that no subscription asked for."""
        gap = now_ns - self._natural_ns
        slow = now_ns < self._slow_until_ns and gap > self.terms.data_age_s * _S
        if self._useless > 1 or slow:
            self._gap_ns = gap
            self._slow_until_ns = now_ns + _SLOW_FOR_NS
        self._natural_ns = now_ns
        self._useless = 0

    def _data_age_ns(self, now_ns: int) -> int:
        age = int(self.terms.data_age_s * _S) << min(self._useless, 5)
        return max(age, self._gap_ns * 3 // 2) if now_ns < self._slow_until_ns else age

    def verdict(self, now_ns: int, session_open_ns: int | None) -> Verdict:
        """Judge the link: half-open, silent, or alive.

        ``session_open_ns`` is when the running session opened, None outside a session.
        """
        if self.state is not FeedState.LIVE:
            return Verdict(False, self.reason, now_ns + _S)
        silent_ns = self._byte_ns + int(self.terms.silence_s * _S)
        if now_ns >= silent_ns:
            return Verdict(True, f"half-open: no byte for {(now_ns - self._byte_ns) / _S:.1f} s", now_ns)
        due = silent_ns
        if session_open_ns is not None and self._liquid:
            since = max(self._tick_ns, session_open_ns)
            data_ns = since + self._data_age_ns(now_ns)
            if now_ns >= data_ns:
                age_s = (now_ns - since) / _S
                return Verdict(True, f"{_SILENT}: none of {len(self._liquid)} tokens ticked for {age_s:.1f} s", now_ns)
            due = min(due, data_ns)
        return Verdict(False, "", due)

    def stale(self, now_ns: int) -> frozenset[int]:
        """Wanted tokens whose last tick is older than ``stale_s``, or that have none; all while the link is down."""
        if self.state is not FeedState.LIVE:
            return frozenset(self._wanted)
        oldest = now_ns - int(self.terms.stale_s * _S)
        return frozenset(t for t in self._wanted if self._last_tick.get(t, -1) < oldest)

    def _batches(self, tokens: Sequence[int]) -> list[tuple[int, ...]]:
        size = self.terms.batch
        return [tuple(tokens[i : i + size]) for i in range(0, len(tokens), size)]
