"""What all clients of one XTS login share in a process: order ids, rows last seen, who listens, and the order socket.

The socket says at once what happens to orders, but what happens between two of its connections it never says. So
the books are read after every connection, after an event that could not be read, and from time to time; without a
live socket they are all there is.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from toolkit.brokers.xts_orders import Names, Trail, status_of
from toolkit.brokers.xts_records import OrderRow, PositionRow, TradeRow
from toolkit.brokers.xts_session import XtsLink
from toolkit.errors import AuthExpired, BadData, Refused
from toolkit.types import TERMINAL, ExecutionReport

if TYPE_CHECKING:
    from toolkit.market.feed import MarketFeed
    from toolkit.market.xts_socket import Door

__all__ = ["EIO_BY_HOST", "Hub", "OrderSocket", "again", "door", "order_socket", "own_ca", "probe", "said"]

Row = OrderRow | PositionRow

EIO_BY_HOST: Final[dict[str, int]] = {}
"""Engine.IO version by host, as this process has met them."""

_LOG: Final = logging.getLogger("toolkit.brokers.xts")


class Hub:
    """Shared state of a login. Every listener has its own box of rows, and is woken by a count that only grows.

    ``names`` our ids and XTS's; ``rows`` the newest row of each order; ``sent`` ids that went out, ``clients`` for
    whom; ``odd_events`` events that could not be read; ``gaps`` how often something may have been missed, so that the
    books must be read.
    """

    def __init__(self) -> None:
        self.names = Names()
        self.rows: dict[str, OrderRow] = {}
        self.former: dict[str, OrderRow] = {}
        self.canceled: set[str] = set()
        self.sent: set[str] = set()
        self.clients: set[str] = set()
        self.boxes: list[deque[Row]] = []
        self.ended = asyncio.Event()
        self.odd_events = 0
        self.gaps = 0
        self.count = 0
        self.feed: MarketFeed | None = None
        self.socket: OrderSocket | None = None
        self._sleepers: set[asyncio.Event] = set()
        self._shown: dict[str, float] = {}
        self._changed: set[str] = set()

    def showed(self, rows: Sequence[OrderRow]) -> None:
        """Take the rows of a book just read."""
        now_s = time.monotonic()
        for row in rows:
            self.rows[row.app_order_id] = row
            self._shown[row.app_order_id] = now_s

    def changes(self, app_order_id: str) -> None:
        """A modification or a cancel goes out: what was known of the order names it, and says no more of its state."""
        row = self.rows.pop(app_order_id, None)
        if row is not None:
            self.former[app_order_id] = row
        self._shown.pop(app_order_id, None)
        self._changed.add(app_order_id)

    def shown(self, cl_ord_id: str, app_order_id: str, seconds: float) -> OrderRow | None:
        """An order's row that says all of its life: ours, never changed, and ended or shown by a book just now.

        Just now is less than ``seconds`` ago, before which the install would not let the book be read again.
        """
        row = self.rows.get(app_order_id)
        if row is None or cl_ord_id not in self.sent or app_order_id in self._changed:
            return None
        age_s = time.monotonic() - self._shown.get(app_order_id, -math.inf)
        return row if age_s < seconds or status_of(row) in TERMINAL else None

    def heard(self, rows: Sequence[Row]) -> None:
        """Put the rows of an event before everyone who listens."""
        for row in rows:
            if isinstance(row, OrderRow):
                old = self.rows.get(row.app_order_id)
                if old is None or (row.sequence, row.updated_ns or 0) >= (old.sequence, old.updated_ns or 0):
                    self.rows[row.app_order_id] = row
            for box in self.boxes:
                box.append(row)

    @property
    def live(self) -> bool:
        """Whether the order socket speaks to us now."""
        return self.socket is not None and self.socket.feed.state == "live"

    async def close(self) -> None:
        """End the feed, the order socket and everyone who listens."""
        self.ended.set()
        self.nudge()
        if self.feed is not None:
            await self.feed.close()
        if self.socket is not None:
            await self.socket.close()

    def nudge(self) -> None:
        """Wake everyone who waits for news."""
        self.count += 1
        for event in self._sleepers:
            event.set()

    async def news(self, heard: int, seconds: float) -> int:
        """Wait until the count has passed ``heard``, at most ``seconds``; gives the count."""
        if self.count != heard:
            return self.count
        event = asyncio.Event()
        self._sleepers.add(event)
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return self.count
        finally:
            self._sleepers.discard(event)
        return self.count


def said(box: deque[Row], trail: Trail, now_ns: int) -> list[ExecutionReport]:
    """Empty a box and give what its rows say that is new."""
    made: list[ExecutionReport] = []
    while box:
        row = box.popleft()
        if isinstance(row, TradeRow):
            made += trail.trade(row, now_ns)
        elif isinstance(row, OrderRow):
            made += trail.order(row, now_ns)
    return made


class OrderSocket:
    """The interactive socket: hands every order event to ``hear``, and ``connected`` after each connection.

    Parameters
    ----------
    link : XtsLink
        The interactive API.
    eio : str
        ``auto``, ``3`` or ``4``.
    hear : callable
        Takes an event's name and its argument.
    """

    def __init__(self, link: XtsLink, eio: str, hear: Callable[[str, object], None]) -> None:
        from toolkit.market.feed import MarketFeed
        from toolkit.market.xts_socket import SocketWire

        self._hear = hear
        wire = SocketWire(
            lambda: door(link),
            {"apiType": "INTERACTIVE"},
            eio=eio,
            versions=EIO_BY_HOST,
            again=lambda: again(link),
            lost=link.expire,
            tells=_TOLD,
        )
        self.feed = MarketFeed(wire, probe=lambda: probe(link, "profile"), ssl=own_ca(link))
        self._task = asyncio.get_running_loop().create_task(self._listen(), name="xts-order-socket")

    async def close(self) -> None:
        """End the connection."""
        await self.feed.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        self.feed.start()
        async for update in self.feed.updates():
            body: Mapping[str, Any] = update.body
            try:
                self._hear(str(body["event"]), body["argument"])
            except Exception:
                # A fault of ours must not end the updates without a word; the books are still read.
                _LOG.exception("an order event could not be taken")


_TOLD: Final = ("connected", "order", "trade", "position", "tradeConversion", "logout")


def order_socket(link: XtsLink, eio: str, hear: Callable[[str, object], None]) -> OrderSocket | None:
    """The order socket, None where its library is not installed: then the books alone tell."""
    try:
        return OrderSocket(link, eio, hear)
    except ImportError as error:
        _LOG.warning("%s is not installed: order updates come by reading the books only", error.name)
        return None


async def door(link: XtsLink) -> Door:
    """The session that is good now, as a socket's wire wants it."""
    from toolkit.market.xts_socket import Door

    found = await link.session()
    return Door(found.base, found.token.reveal(), found.user_id)


async def again(link: XtsLink) -> Door:
    """The session after a refusal: another one that somebody made, or a login where that is allowed.

    Whoever logged out on purpose is not logged in again.
    """
    if link.state == "no_token":
        raise AuthExpired(f"logged out of {link.name}; run: toolkit login {link.name}")
    return await door(link)


async def probe(link: XtsLink, op: str) -> None:
    """Ask whether the token lives: any answer but a dead token says that it does."""
    if link.state == "no_token":
        raise AuthExpired(f"logged out of {link.name}; run: toolkit login {link.name}")
    try:
        await link.call(op)
    except AuthExpired:
        raise
    except (Refused, BadData):
        return


def own_ca(link: XtsLink) -> ssl.SSLContext | None:
    """The context of an own certificate authority; None for the system's."""
    return ssl.create_default_context(cafile=link.terms.ca_file) if link.terms.ca_file else None
