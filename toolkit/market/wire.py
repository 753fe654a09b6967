"""What a feed runner asks of a broker's wire, and Kite's answer: no socket, no clock.

A :class:`Wire` turns commands into frames to send and frames that came into what they say.
The runner (``market/feed.py``) owns the sockets; a broker adds a wire, never a runner.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData
from toolkit.market import kite_wire
from toolkit.market.feed_session import Command, FeedTerms

__all__ = ["NOTHING", "Heard", "KiteWire", "Wire", "escaped"]

Ticks = npt.NDArray[Any]


class Heard(NamedTuple):
    """What one frame said.

    ``ticks`` a structured array (may be empty), ``orders`` raw order updates, ``notices``
    what the broker says to a person, ``replies`` frames that must go back at once,
    ``skipped`` packets of an unknown kind, ``fault`` a text when the frame was malformed
    (its good ticks are kept). ``greeted``: the broker listens from now on; ``refused`` and
    ``ended`` say why, when it refuses the token, or ends the connection.
    """

    ticks: Ticks
    orders: tuple[Mapping[str, Any], ...] = ()
    notices: tuple[str, ...] = ()
    replies: tuple[str | bytes, ...] = ()
    skipped: int = 0
    fault: str = ""
    greeted: bool = False
    refused: str = ""
    ended: str = ""


class Wire(Protocol):
    """One broker's market-data wire over WebSocket.

    A wire that subclasses it inherits what a plain wire does: it is live from the handshake on, has no heart
    of its own and says everything in frames.
    """

    terms: FeedTerms

    greets: bool = False
    """Whether the broker says when it listens; else the handshake does."""

    gathers: bool = False
    """Whether ticks of frames that came together are published together: a broker may send a frame a tick."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The structured type of its ticks; field ``token`` names the instrument, ``recv_ns`` the receipt."""
        ...

    @property
    def due_ns(self) -> int | None:
        """When :meth:`beat` is to be called next, by the monotonic clock; None without a heart."""
        return None

    @property
    def refusals(self) -> tuple[int, ...]:
        """HTTP codes of a handshake that may mean a dead token."""
        return (401, 403)

    async def prepare(self) -> None:
        """Get ready for an attempt: here a token may be fetched. Raises `AuthExpired` when there is none."""
        return

    async def leave(self) -> None:
        """The feed is closed: let go of what this loop holds."""
        return

    async def revive(self) -> None:
        """Get another token where that is allowed, while the one refused keeps the link from connecting."""
        return

    def url(self) -> str:
        """Where to connect, made anew for each attempt. It may carry a token: it is never shown."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Headers of the handshake."""
        ...

    def opened(self, now_ns: int = 0) -> Sequence[str | bytes]:
        """Frames to send first on a new connection."""
        return ()

    def encode(self, commands: Sequence[Command]) -> Sequence[str | bytes]:
        """Frames that carry out commands, in order."""
        return ()

    async def carry_out(
        self, commands: Sequence[Command], clock: Callable[[], int] = lambda: 0
    ) -> AsyncIterator[Heard]:
        """Carry out what goes another way than the socket, and say what the answers bring, received at ``clock``.

        Called again without commands when it raised `Retryable`: it remembers what is still to be done.
        """
        nothing: tuple[Heard, ...] = ()
        for heard in nothing:
            yield heard

    def hear(self, frame: str | bytes, recv_ns: int, now_ns: int = 0) -> Heard:
        """Say what a frame means; never raises, whatever the bytes are. ``now_ns`` by the monotonic clock."""
        ...

    def beat(self, now_ns: int) -> Heard:
        """Let the heart beat: replies to send, or why the other side is dead."""
        return self.notice()

    def ended(self, reason: str, status: int = 0) -> None:
        """Take note that a connection ended, or that its handshake was refused with an HTTP code."""
        return

    def notice(self, *texts: str) -> Heard:
        """Texts for a person."""
        return Heard(np.empty(0, self.dtype), notices=texts)


NOTHING: Final = Heard(np.empty(0, kite_wire.TICK))
_LONGEST: Final = 400


class KiteWire(Wire):
    """Kite Connect's ticker.

    Parameters
    ----------
    root : str
        ``wss://host`` or, on loopback, ``ws://host:port``; a path is kept.
    api_key : str
        The app's key.
    token : callable
        Gives the day's access token when a connection starts, so that a new login is taken up.
    user_id : str, optional
        Sent too where it is given (the broker's sandbox wants it).
    terms : FeedTerms, optional
        Limits and patience; Kite allows 3 connections of 3 000 instruments.
    """

    def __init__(
        self,
        root: str,
        api_key: str,
        token: Callable[[], str],
        *,
        user_id: str = "",
        terms: FeedTerms | None = None,
    ) -> None:
        self.terms = terms or FeedTerms()
        self._root = root.rstrip("/")
        self._api_key = api_key
        self._token = token
        self._user_id = user_id

    def __repr__(self) -> str:
        return f"KiteWire({self._root!r})"

    @property
    def dtype(self) -> np.dtype[Any]:
        """:data:`toolkit.market.kite_wire.TICK`."""
        return kite_wire.TICK

    def url(self) -> str:
        """The address with key and token, as this wire has it; never log it."""
        made = f"{self._root}?api_key={escaped(self._api_key)}&access_token={escaped(self._token())}"
        return made + (f"&user_id={escaped(self._user_id)}" if self._user_id else "")

    def headers(self) -> Mapping[str, str]:
        """The version of the wire."""
        return {"X-Kite-Version": "3"}

    def encode(self, commands: Sequence[Command]) -> Sequence[str | bytes]:
        """``subscribe`` and ``mode`` (a plain subscription means quote), or ``unsubscribe``."""
        frames: list[str | bytes] = []
        for command in commands:
            tokens = list(command.tokens)
            if command.action == "unsubscribe":
                frames.append(kite_wire.unsubscribe_frame(tokens))
                continue
            frames.append(kite_wire.subscribe_frame(tokens))
            frames.append(kite_wire.mode_frame(command.mode, tokens))
        return frames

    def hear(self, frame: str | bytes, recv_ns: int, now_ns: int = 0) -> Heard:
        """Ticks of a binary frame; an order update, an error or a message of a text frame."""
        if isinstance(frame, str):
            return self._text(frame)
        made = kite_wire.decode(frame, recv_ns)
        ticks = made.ticks
        fault = made.fault
        named = ticks["token"] != 0
        if not named.all():
            fault = fault or f"{int((~named).sum())} packets name no instrument"
            ticks = ticks[named]
        return Heard(ticks, skipped=made.skipped, fault=fault)

    def _text(self, frame: str) -> Heard:
        try:
            text = kite_wire.decode_text(frame)
        except BadData as error:
            return NOTHING._replace(fault=str(error))
        if text.kind == "order":
            return NOTHING._replace(orders=(text.body,))
        if text.kind in ("error", "message"):
            return NOTHING._replace(notices=(f"{text.kind}: {str(text.body)[:_LONGEST]}",))
        return NOTHING


def escaped(text: str) -> str:
    """Text for a query: letters, digits and ``-._~`` stay, the bytes of all else are percent-encoded."""
    return "".join(
        chr(b) if chr(b).isascii() and (chr(b).isalnum() or b in b"-._~") else f"%{b:02X}" for b in text.encode()
    )
