"""What a feed runner asks of a broker's wire, and Kite's answer: no socket, no clock.

A :class:`Wire` turns commands into frames to send and frames that came into what they say.
The runner (``market/feed.py``) owns the sockets; a broker adds a wire, never a runner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData
from toolkit.market import kite_wire
from toolkit.market.feed_session import Command, FeedTerms

__all__ = ["NOTHING", "Heard", "KiteWire", "Wire"]

Ticks = npt.NDArray[Any]


class Heard(NamedTuple):
    """What one frame said.

    ``ticks`` a structured array (may be empty), ``orders`` raw order updates, ``notices``
    what the broker says to a person, ``replies`` frames that must go back at once,
    ``skipped`` packets of an unknown kind, ``fault`` a text when the frame was malformed
    (its good ticks are kept).
    """

    ticks: Ticks
    orders: tuple[Mapping[str, Any], ...] = ()
    notices: tuple[str, ...] = ()
    replies: tuple[str | bytes, ...] = ()
    skipped: int = 0
    fault: str = ""


class Wire(Protocol):
    """One broker's market-data wire over WebSocket."""

    terms: FeedTerms

    @property
    def dtype(self) -> np.dtype[Any]:
        """The structured type of its ticks; field ``token`` names the instrument, ``recv_ns`` the receipt."""
        ...

    def url(self) -> str:
        """Where to connect, made anew for each attempt. It may carry a token: it is never shown."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Headers of the handshake."""
        ...

    def opened(self) -> Sequence[str | bytes]:
        """Frames to send first on a new connection."""
        ...

    def encode(self, commands: Sequence[Command]) -> Sequence[str | bytes]:
        """Frames that carry out commands, in order."""
        ...

    def hear(self, frame: str | bytes, recv_ns: int) -> Heard:
        """Say what a frame means; never raises, whatever the bytes are."""
        ...


NOTHING: Final = Heard(np.empty(0, kite_wire.TICK))
_LONGEST: Final = 400


class KiteWire:
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
        made = f"{self._root}?api_key={_escaped(self._api_key)}&access_token={_escaped(self._token())}"
        return made + (f"&user_id={_escaped(self._user_id)}" if self._user_id else "")

    def headers(self) -> Mapping[str, str]:
        """The version of the wire."""
        return {"X-Kite-Version": "3"}

    def opened(self) -> Sequence[str | bytes]:
        """Nothing: the token in the address has said it all."""
        return ()

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

    def hear(self, frame: str | bytes, recv_ns: int) -> Heard:
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


def _escaped(text: str) -> str:
    """Text for a query: letters, digits and ``-._~`` stay, the bytes of all else are percent-encoded."""
    return "".join(
        chr(b) if chr(b).isascii() and (chr(b).isalnum() or b in b"-._~") else f"%{b:02X}" for b in text.encode()
    )
