"""XTS market data as a feed's wire: Socket.IO in, subscriptions over REST, one row an instrument out.

A subscription belongs to the session, not to the socket, and is one of (segment, id, message code): depth and open
interest of an option are two. What is wanted is compared with what this connection knows to be
subscribed, so that a new connection, a new login, a changed wish and a failed call are all the same work.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
import numpy as np

from toolkit.errors import AuthExpired, BadData, Refused, Retryable
from toolkit.market.feed_session import Command
from toolkit.market.socketio import Event
from toolkit.market.wire import Heard
from toolkit.market.xts_rows import Board, place_of, token_of
from toolkit.market.xts_socket import SocketWire
from toolkit.market.xts_text import TextBook, TextStat, TextTick, decode_full, decode_partial, event_code, to_array
from toolkit.market.xts_wire import decode_binary

__all__ = ["Desk", "XtsWire"]

Place = tuple[int, int]
Wish = tuple[int, int, int]

_TOUCHLINE: Final = 1501
_DEPTH: Final = 1502
_INDEX: Final = 1504
_OI: Final = 1510
_LAST: Final = 1512
_ORDER: Final = (_DEPTH, _TOUCHLINE, _OI, _INDEX)  # prices first, what some installs lack last
_PRICED: Final = (_TOUCHLINE, _DEPTH, _INDEX, _OI, _LAST)
_CASH: Final = (1, 11, 41)  # segments without open interest


class Answer(Protocol):
    """What a subscription brought: snapshots of what is new."""

    @property
    def ticks(self) -> tuple[TextTick, ...]:
        """Snapshots."""
        ...


class Desk(Protocol):
    """Where subscriptions are made: XTS's REST, bound to the session."""

    @property
    def subscribed(self) -> frozenset[Wish]:
        """Segment, id and code of what the session has."""
        ...

    async def subscribe(self, places: Iterable[Place], code: int) -> Answer:
        """Subscribe; what the session has already is passed over."""
        ...

    async def unsubscribe(self, places: Iterable[Place], code: int) -> None:
        """Give up."""
        ...

    async def renew(self, places: Iterable[Place], code: int) -> Answer:
        """Give up and subscribe anew what is silent."""
        ...

    async def quotes(self, places: Iterable[Place], code: int = ...) -> Mapping[Place, TextTick]:
        """Newest state; what has none yet is absent."""
        ...

    async def leave(self) -> None:
        """Let go of what this loop holds."""
        ...


class XtsWire(SocketWire):
    """XTS's market-data socket.

    Parameters
    ----------
    desk : Desk
        Makes the subscriptions.
    index : callable, optional
        Whether a key is an index.
    named : callable, optional
        The key of an index by segment and XTS's name, for installs that give no id; None for an unknown one.
    batch : int
        Instruments in one call.
    **common
        As for :class:`SocketWire`.
    """

    gathers = True

    def __init__(
        self,
        *common: Any,
        desk: Desk,
        index: Callable[[int], bool] = lambda token: False,
        named: Callable[[int, str], int | None] = lambda segment, name: None,
        batch: int = 50,
        **options: Any,
    ) -> None:
        super().__init__(*common, **options)
        self._desk = desk
        self._index = index
        self._named = named
        self._batch = batch
        self._board = Board()
        self._book = TextBook()
        self.bands = self._book.bands
        self._modes: dict[int, str] = {}
        self._mine: set[Wish] = set()
        self._told: set[Wish] = set()
        self._renews = False

    def opened(self, now_ns: int = 0) -> Sequence[str | bytes]:
        """A new connection knows of no wish and no subscription: it is told the one and asks about the other."""
        self._modes.clear()
        self._told.clear()
        return super().opened(now_ns)

    def ended(self, reason: str, status: int = 0) -> None:
        """After a silent link the subscriptions are made anew, not taken for granted."""
        self._renews = reason.startswith("silent")
        super().ended(reason, status)

    async def leave(self) -> None:
        """Let the connections of this loop go."""
        await self._desk.leave()

    async def carry_out(
        self, commands: Sequence[Command], clock: Callable[[], int] = lambda: 0
    ) -> AsyncIterator[Heard]:
        """Subscribe what is wanted and give up what is not, in batches; snapshots come as they are answered."""
        self._note(commands)
        wanted = {(*place_of(t), code) for t, mode in self._modes.items() for code in self._codes(t, mode)}
        await self._give_up(self._mine - wanted)
        renews, self._renews = self._renews, False
        lacking = wanted - self._told
        failed: list[Retryable] = []
        for code, places in self._batches(lacking):
            try:
                async for heard in self._subscribe(places, code, renews, clock):
                    yield heard
            except Retryable as error:
                failed.append(error)
                if len(failed) > 1:
                    break  # it is not that one batch
            except _Full as full:
                left = len(lacking - self._told)
                yield self.notice(f"the install's limit of subscriptions is reached, {left} are left out: {full}")
                return
        if failed:
            self._renews = renews
            raise failed[0]

    def _batches(self, wishes: set[Wish]) -> Iterator[tuple[int, list[Place]]]:
        for code in _ORDER:
            places = sorted(wish[:2] for wish in wishes if wish[2] == code)
            for at in range(0, len(places), self._batch):
                yield code, places[at : at + self._batch]

    async def _give_up(self, gone: set[Wish]) -> None:
        for code, places in self._batches(gone & self._desk.subscribed):
            with _gentle(Refused):  # the session has ended, and with it the subscription
                await self._desk.unsubscribe(places, code)
        self._mine -= gone
        self._told -= gone

    async def _subscribe(
        self, places: Sequence[Place], code: int, renews: bool, clock: Callable[[], int]
    ) -> AsyncIterator[Heard]:
        """One call; a batch that is refused is halved until the instrument at fault stands alone."""
        try:
            made = await (self._desk.renew if renews else self._desk.subscribe)(places, code)
        except AuthExpired:
            raise
        except (Refused, Retryable) as error:
            if isinstance(error, Retryable) and code != _INDEX:
                raise
            if "limit" in str(error).lower():
                raise _Full(str(error)) from None
            if len(places) == 1:
                self._told.add((*places[0], code))
                if code != _INDEX:  # an install may tell of an index as a touchline only
                    yield self.notice(f"event {code} of instrument {places[0][0]}_{places[0][1]}: {error}")
                return
            half = len(places) // 2
            for some in (places[:half], places[half:]):
                async for heard in self._subscribe(some, code, False, clock):
                    yield heard
            return
        news = {(*place, code) for place in places}
        self._told |= news
        self._mine |= news
        ticks = list(made.ticks)
        have = {(tick.segment, tick.instrument) for tick in ticks}
        silent = [place for place in places if place not in have]
        if silent and code != _INDEX:
            with _gentle(Refused, Retryable):  # the events will come without it
                ticks += (await self._desk.quotes(silent, code)).values()
        yield self._rows([self._book.full(tick) for tick in ticks if self._wanted(tick)], clock())

    def _event(self, event: Event, recv_ns: int) -> Heard:
        name = event.name
        if name == "xts-binary-packet" or "-binary-" in name:
            return self._binary(event.args, recv_ns)
        found = event_code(name)
        if found is None:
            return super()._event(event, recv_ns)
        try:
            return self._text(*found, event.args[0] if event.args else None, recv_ns)
        except BadData as error:
            return self.notice()._replace(fault=str(error))

    def _binary(self, args: Sequence[Any], recv_ns: int) -> Heard:
        rows, skipped, faults = [], 0, []
        for arg in args:
            if not isinstance(arg, bytes):
                faults.append(f"a binary event carries {type(arg).__name__}")
                continue
            made = decode_binary(arg, recv_ns)
            taken = self._board.take(made.ticks, recv_ns)
            rows.append(taken.rows)
            skipped += made.skipped + taken.late + taken.others
            if made.bad or made.fault:
                faults.append(made.fault or f"{made.bad} packets that no layout explains")
        ticks = rows[0] if len(rows) == 1 else np.concatenate(rows) if rows else self.notice().ticks
        return Heard(ticks, skipped=skipped, fault=faults[0] if faults else "")

    def _text(self, code: int, form: str, arg: object, recv_ns: int) -> Heard:
        if form == "full":
            tick: TextTick | None = self._placed(decode_full(arg, code))
            if tick is not None and tick.code == 1507 and isinstance(tick, TextStat):
                return self.notice(f"market status of segment {tick.segment}: {self._clean(tick.message or '')}")
            if tick is None or not self._wanted(tick):
                return self.notice()._replace(skipped=1)
            return self._rows([self._book.full(tick)], recv_ns)
        change = decode_partial(code, arg)
        token = token_of(change.segment, change.instrument)
        if change.index_name is not None:
            token = self._named(change.segment, change.index_name) or 0
        if token not in self._modes:
            return self.notice()._replace(skipped=1)
        tick = self._book.partial(change)
        tick = None if tick is None else self._placed(tick)
        return self.notice() if tick is None else self._rows([tick], recv_ns)

    def _rows(self, ticks: Sequence[TextTick], recv_ns: int) -> Heard:
        taken = self._board.take(to_array([tick for tick in ticks if tick.code in _PRICED], recv_ns), recv_ns)
        return Heard(taken.rows, skipped=taken.late + taken.others)

    def _placed(self, tick: TextTick) -> TextTick:
        """An index that comes by its name gets its id."""
        if tick.instrument or not isinstance(tick, TextStat) or not tick.index_name:
            return tick
        token = self._named(tick.segment, tick.index_name)
        return tick if token is None else msgspec.structs.replace(tick, instrument=place_of(token)[1])

    def _wanted(self, tick: TextTick) -> bool:
        """Whether anybody wants it; a session may carry what another program subscribed."""
        return 0 < tick.instrument < 1 << 32 and token_of(tick.segment, tick.instrument) in self._modes

    def _note(self, commands: Sequence[Command]) -> None:
        for command in commands:
            for token in command.tokens:
                if command.action == "unsubscribe":
                    self._modes.pop(token, None)
                else:
                    self._modes[token] = command.mode
        if commands:
            self._board.want({t: (mode, self._index(t)) for t, mode in self._modes.items()})

    def _codes(self, token: int, mode: str) -> tuple[int, ...]:
        """Message codes that make up a mode."""
        if self._index(token):
            return (_TOUCHLINE, _INDEX)
        if mode != "full":
            return (_TOUCHLINE,)
        return (_DEPTH,) if place_of(token)[0] in _CASH else (_DEPTH, _OI)


class _Full(Exception):
    """The session may not subscribe more."""


@contextlib.contextmanager
def _gentle(*kinds: type[Exception]) -> Iterator[None]:
    """Pass over errors of some kinds, but never a dead token."""
    try:
        yield
    except AuthExpired:
        raise
    except kinds:
        return
