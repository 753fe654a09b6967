"""An XTS socket as a feed's runner sees it: Socket.IO over WebSocket, whichever version the install speaks.

:class:`SocketWire` is what the market-data and the order socket have in common: the address with its
token, the greeting, the heart, and which Engine.IO version the host speaks. With ``auto`` it asks for
version 3, goes by what the server shows, and asks for the other one after a connection that was never greeted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

import numpy as np

from toolkit.errors import AuthExpired
from toolkit.market.feed_session import FeedTerms
from toolkit.market.socketio import ClientSession, Closed, Connected, Event, Refused
from toolkit.market.wire import Heard, Wire, escaped
from toolkit.market.xts_rows import ROW

__all__ = ["SOCKET_TERMS", "Door", "SocketWire"]

_S: Final = 1_000_000_000
_GREETING_NS: Final = 5 * _S
_PING_NS: Final = 3 * _S
_PONG_NS: Final = 4 * _S
_LONGEST: Final = 400
_SAYS: Final = ("error", "socketError", "warning", "marketStatusUpdate", "exchangeAdapterState")

SOCKET_TERMS: Final = FeedTerms(per_connection=100_000, connections=1, silence_s=3600.0, token_bits=48)
"""One socket for everything. Its own heart judges silence: an idle link may bring no byte for half a minute."""
_NOTHING: Final = Heard(np.empty(0, ROW))


class Door:
    """Where a session lets us in: the API's base address, the token, whose it is."""

    __slots__ = ("base", "token", "user")

    def __init__(self, base: str, token: str, user: str) -> None:
        self.base = base
        self.token = token
        self.user = user

    def __repr__(self) -> str:
        return f"Door({self.base!r}, {self.user!r})"


class SocketWire(Wire):
    """What both sockets have in common.

    Parameters
    ----------
    door : coroutine function
        Gives the session that is good now, by logging in if need be. Raises `AuthExpired` when there is none.
    query : mapping
        Of the address, beside token, user and version.
    eio : str
        ``auto``, ``3`` or ``4``.
    versions : mutable mapping, optional
        The version by host, where it is remembered.
    again : coroutine function, optional
        As ``door``, while a refused token keeps the socket from connecting; default: ``door``.
    lost : callable, optional
        Called when the server says that the session has ended.
    tells : sequence of str
        Events that go out as order updates, ``{"event": name, "argument": ...}``; ``connected`` among them stands
        for each greeting.
    terms : FeedTerms, optional
    """

    greets = True

    def __init__(
        self,
        door: Callable[[], Awaitable[Door]],
        query: Mapping[str, str],
        *,
        eio: str = "auto",
        versions: MutableMapping[str, int] | None = None,
        again: Callable[[], Awaitable[Door]] | None = None,
        lost: Callable[[], None] | None = None,
        tells: Sequence[str] = (),
        terms: FeedTerms = SOCKET_TERMS,
    ) -> None:
        self.terms = terms
        self._ask = door
        self._ask_again = again or door
        self._query = dict(query)
        self._eio = eio
        self._versions: MutableMapping[str, int] = {} if versions is None else versions
        self._lost = lost
        self._tells = frozenset(tells)
        self._door: Door | None = None
        self._sio = ClientSession()
        self._guess = 0
        self._tried: set[int] = set()
        self._opened_ns: int | None = None
        self._met = False
        self._turned_away = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._door!r})"

    @property
    def dtype(self) -> np.dtype[Any]:
        """:data:`toolkit.market.xts_rows.ROW`."""
        return ROW

    def notice(self, *texts: str) -> Heard:
        """Texts for a person."""
        return _NOTHING._replace(notices=texts) if texts else _NOTHING

    @property
    def eio(self) -> int:
        """The Engine.IO version that the next connection asks for."""
        if self._eio != "auto":
            return int(self._eio)
        return self._guess or self._versions.get(self._host, 3)

    @property
    def due_ns(self) -> int | None:
        """When a ping goes out or must have come, or the greeting must have been said."""
        if self._opened_ns is None:
            return None
        due, greeting = self._sio.next_ns, self._opened_ns + _GREETING_NS
        if self._met:
            return due
        return greeting if due is None else min(due, greeting)

    @property
    def refusals(self) -> tuple[int, ...]:
        """401 and 403; 400 too once it cannot mean the version."""
        sure = self._eio != "auto" or len(self._tried) > 1
        return (400, 401, 403) if sure else (401, 403)

    async def prepare(self) -> None:
        """Take the session that is good now."""
        self._opened_ns = None
        self._met = self._turned_away = False
        self._door = await self._ask()

    async def revive(self) -> None:
        """Take another session, where logging in is allowed."""
        self._door = await self._ask_again()

    def url(self) -> str:
        """The address with the token, which XTS wants there and nowhere else; never log it."""
        door = self._door
        if door is None:
            raise AuthExpired("no XTS session yet; nothing was sent")
        query = {"token": door.token, "userID": door.user, **self._query, "EIO": str(self.eio)}
        asked = "&".join(f"{name}={escaped(value)}" for name, value in query.items())
        return f"ws{door.base.removeprefix('http')}/socket.io/?{asked}&transport=websocket"

    def headers(self) -> Mapping[str, str]:
        """None: the address says it all."""
        return {}

    def opened(self, now_ns: int = 0) -> Sequence[str | bytes]:
        """Nothing: the server speaks first."""
        self._opened_ns = now_ns
        self._tried.add(self.eio)
        self._sio = ClientSession(self.eio, adapt=self._eio == "auto", ping_ns=_PING_NS, pong_ns=_PONG_NS)
        return ()

    def hear(self, frame: str | bytes, recv_ns: int, now_ns: int = 0) -> Heard:
        """What one frame says; an attachment's event comes with its last part."""
        sio, odd = self._sio, self._sio.odd
        heard = self.notice()
        for happening in sio.receive(frame, now_ns):
            if isinstance(happening, Event):
                heard = self._event(happening, recv_ns)
            elif isinstance(happening, Connected):
                self._met, self._guess, self._tried = True, 0, set()
                self._versions[self._host] = sio.eio
                heard = heard._replace(greeted=True, orders=self._tell("connected", None))
            elif isinstance(happening, Refused):
                self._turned_away = True
                heard = heard._replace(refused=f"the server refuses the connection: {self._clean(happening.text)}")
            elif isinstance(happening, Closed):
                heard = heard._replace(ended=happening.text)
        if sio.odd > odd:
            heard = heard._replace(fault="a frame that is no Socket.IO packet")
        replies = sio.to_send()
        return heard._replace(replies=tuple(replies)) if replies else heard

    def beat(self, now_ns: int) -> Heard:
        """A ping, or the finding that the server is dead or never greeted us."""
        if not self._met and self._opened_ns is not None and now_ns >= self._opened_ns + _GREETING_NS:
            return self.notice()._replace(ended=f"no greeting within {_GREETING_NS / _S:g} s")
        dead = self._sio.beat(now_ns)
        return self.notice()._replace(replies=tuple(self._sio.to_send()), ended="" if dead is None else dead.text)

    def ended(self, reason: str, status: int = 0) -> None:
        """Ask for the other version next when this connection was never greeted."""
        spoke = self._opened_ns is not None or status == 400
        self._opened_ns = None
        if self._eio != "auto" or self._met or self._turned_away or not spoke:
            return
        self._tried.add(self.eio)
        known = self._versions.get(self._host)
        if known is not None and self._guess == 0:
            self._guess = known  # a host that is known gets a second chance: it may be starting
        else:
            self._guess = 7 - self.eio

    @property
    def _host(self) -> str:
        return "" if self._door is None else self._door.base.partition("://")[2].partition("/")[0]

    def _event(self, event: Event, recv_ns: int) -> Heard:
        """What an event says; the sockets add their own."""
        if event.name == "logout":
            self._turned_away = True
            if self._lost is not None:
                self._lost()
            return self.notice()._replace(refused="the session was ended elsewhere", orders=self._tell("logout", None))
        argument = event.args[0] if event.args else None
        if event.name in _SAYS:
            return self.notice(f"{event.name}: {self._clean(str(argument))}")
        return self.notice()._replace(orders=self._tell(event.name, argument))

    def _tell(self, name: str, argument: object) -> tuple[Mapping[str, Any], ...]:
        return ({"event": name, "argument": argument},) if name in self._tells else ()

    def _clean(self, text: str) -> str:
        """The server's words, cut, without our token."""
        token = "" if self._door is None else self._door.token
        return (text.replace(token, "***") if len(token) > 3 else text)[:_LONGEST]
