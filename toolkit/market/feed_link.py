"""One connection of a market feed, from its handshake to its end, again and again.

It carries what the pure parts decide: :mod:`toolkit.market.feed_session` says what is to be subscribed and
whether the link is alive, the wire says what goes out for it. A wire whose commands go another way than the
socket (XTS subscribes over REST) carries them out beside the socket, one lot after another, so that a heart
keeps beating while they wait for the broker's limits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import numpy as np
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from toolkit.errors import AuthExpired, Retryable, ToolkitError
from toolkit.market.feed_session import Command, ConnectPacer, FeedSession, FeedState, Verdict
from toolkit.market.wire import Heard

if TYPE_CHECKING:
    from toolkit.market.feed import MarketFeed

__all__ = ["Link"]

_S: Final = 1_000_000_000
_GRACE_S: Final = 0.05
_LOGIN_POLL_S: Final = 1.0
_AGAIN_S: Final = 1.0
_GATHERED: Final = 256
_AGAIN_MOST_S: Final = 30.0
_FORBIDDEN: Final = (401, 403)
_LOG: Final = logging.getLogger("toolkit.market.feed")


class Link:
    """One connection, for as long as it is wanted.

    Parameters
    ----------
    feed : MarketFeed
        Whose wire, clocks and readers it uses.
    pacer : ConnectPacer
        When it may connect.
    """

    def __init__(self, feed: MarketFeed, pacer: ConnectPacer) -> None:
        self.feed = feed
        self.pacer = pacer
        self.session = FeedSession(feed.wire.terms)
        self.armed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._asked = asyncio.Event()
        self._replies: list[str | bytes] = []
        self._commands: list[Command] = []
        self._to_carry_out: list[Command] = []
        self._gathered: list[Heard] = []
        self._status = 0
        self._used = 0

    def want(self, share: Mapping[int, str], liquid: frozenset[int] | None) -> None:
        """Replace what this connection should carry."""
        self.session.want(share, liquid=liquid)
        self._changed.set()

    def cancel(self) -> None:
        """Let it go without waiting."""
        if self.task is not None:
            self.task.cancel()

    async def stop(self) -> None:
        """Let it go and wait until it has gone."""
        self.cancel()
        if self.task is not None:
            with suppress(asyncio.CancelledError):
                await self.task
        self.session.closed()

    async def run(self) -> None:
        """Connect, listen, drop, wait, again."""
        feed, first = self.feed, True
        while True:
            now = feed.timer()
            start = self.pacer.next_start_ns(now)
            if not first:
                await feed.sleep(max(0.0, (start - now) / _S))
            first = False
            self.session.connecting()
            self._status = 0
            try:
                reason = await self._once()
            except Exception as error:
                # A fault of ours must not end the feed without a word.
                _LOG.exception("feed: connection ended by a fault of the program")
                reason = f"fault of the program: {type(error).__name__}"
            self.pacer.down(feed.timer())
            feed.wire.ended(reason, self._status)
            if self.session.state is FeedState.AUTH_EXPIRED:
                _LOG.warning("feed refused: %s", reason)
                await self._until_login()
                first = True
            else:
                self.session.disconnected(reason)
                _LOG.info("feed down: %s", reason)

    async def _once(self) -> str:
        """One connection from its handshake to its end; says why it ended."""
        try:
            await self.feed.wire.prepare()
            self._used = hash(self.feed.wire.url())
            ws = await self.feed._open()
        except AuthExpired as error:
            self._used = 0
            self.session.refused(str(error))
            return str(error)
        except ToolkitError as error:
            return f"cannot connect: {error}"
        except InvalidStatus as error:
            self._status = error.response.status_code
            said = f"handshake refused with HTTP {self._status}"
            return await self._refusal(said) if self._status in self.feed.wire.refusals else said
        except (OSError, TimeoutError, WebSocketException, ValueError) as error:
            return f"cannot connect: {type(error).__name__}"
        try:
            return await self._carry(ws)
        finally:
            # A close handshake would wait for a peer that may be gone.
            ws.transport.abort()

    async def _carry(self, ws: ClientConnection) -> str:
        feed, wire = self.feed, self.feed.wire
        self._commands, self._to_carry_out = [], []
        self._replies = list(wire.opened(feed.timer()))
        self._changed.set()
        if not wire.greets:
            self._live()
        tasks = [asyncio.create_task(work) for work in (self._send(ws), self._watch(ws), self._act(ws))]
        heart, beats_ns = asyncio.create_task(self._heart(ws)), wire.due_ns
        why = refused = ""
        try:
            while not refused:
                frame = await ws.recv()
                now, recv = feed.timer(), feed.clock()
                heard = wire.hear(frame, recv, now)
                self._take(heard, now, recv)
                refused = heard.refused
                if heard.ended:
                    why = heard.ended
                    break
                if beats_ns is not None and wire.due_ns is not None and wire.due_ns < beats_ns:
                    heart.cancel()
                    heart = asyncio.create_task(self._heart(ws))
                beats_ns = wire.due_ns
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd is not None else 1006
            why = f"closed by the server (code {code})"
        finally:
            self._flush()
            for task in (*tasks, heart):
                task.cancel()
            done = await asyncio.gather(*tasks, heart, return_exceptions=True)
        if refused:
            return await self._refusal(refused)
        return next((found for found in done if isinstance(found, str) and found), why)

    def _live(self) -> None:
        """The broker listens: whatever is wanted goes out."""
        now = self.feed.timer()
        self.pacer.up(now)
        self._commands += self.session.connected(now)
        self._changed.set()

    def _take(self, heard: Heard, now_ns: int, recv_ns: int) -> None:
        """Act on what a frame, or an answer beside the socket, says."""
        if heard.greeted and self.session.state is not FeedState.LIVE:
            self._live()
        if len(heard.ticks):
            self.session.ticked(now_ns, heard.ticks["token"].tolist())
        else:
            self.session.received(now_ns)
        if heard.replies:
            self._replies += heard.replies
            self._changed.set()
        if not self.feed.wire.gathers or len(heard.ticks) == 0 or heard.fault:
            self._flush()
            self.feed._publish(heard, now_ns, recv_ns)
            return
        # The loop comes back to us before the flush as long as frames wait that have come already.
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._flush)
        self._gathered.append(heard)
        if len(self._gathered) >= _GATHERED:
            self._flush()

    def _flush(self) -> None:
        """Publish the ticks that were gathered, in their order."""
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        heard = gathered[0]
        if len(gathered) > 1:
            # joining bytes costs a fraction of joining structured arrays
            ticks = np.frombuffer(bytearray().join([some.ticks.tobytes() for some in gathered]), heard.ticks.dtype)
            heard = heard._replace(ticks=ticks, skipped=sum(some.skipped for some in gathered))
        self.feed._publish(heard, self.feed.timer(), self.feed.clock())

    async def _send(self, ws: ClientConnection) -> str:
        """Send what a new connection needs, then every change; ends with the connection."""
        wire = self.feed.wire
        with suppress(ConnectionClosed):
            while True:
                await self._changed.wait()
                self._changed.clear()
                frames, self._replies = self._replies, []
                commands, self._commands = self._commands, []
                commands += self.session.commands()
                for frame in [*frames, *wire.encode(commands)]:
                    await ws.send(frame)
                if commands:
                    self._to_carry_out += commands
                    self._asked.set()
        return ""

    async def _act(self, ws: ClientConnection) -> str:
        """Carry out what goes beside the socket; what fails for now is tried again, ever later."""
        feed, pause = self.feed, _AGAIN_S
        while True:
            await self._asked.wait()
            self._asked.clear()
            commands, self._to_carry_out = self._to_carry_out, []
            try:
                async for heard in feed.wire.carry_out(commands, feed.clock):
                    self._take(heard, feed.timer(), feed.clock())
                pause = _AGAIN_S
            except AuthExpired as error:
                self.session.refused(str(error))
                ws.transport.abort()
                return str(error)
            except Retryable as error:
                feed._publish(feed.wire.notice(f"not subscribed yet: {error}"), feed.timer(), feed.clock())
                await feed.sleep(pause)
                pause = min(2 * pause, _AGAIN_MOST_S)
                self._asked.set()
            except ToolkitError as error:
                feed._publish(feed.wire.notice(f"not subscribed: {error}"), feed.timer(), feed.clock())

    async def _watch(self, ws: ClientConnection) -> str:
        """Drop the connection when it is dead or useless; says why."""
        feed, verdict = self.feed, self._verdict()
        while True:
            await feed.sleep(max(0.0, (verdict.next_ns - feed.timer()) / _S))
            verdict = self._verdict()
            if verdict.drop:
                # After a pause of our own (a suspended host, a stopped process) bytes may wait unread.
                await feed.sleep(_GRACE_S)
                verdict = self._verdict()
            if verdict.drop:
                ws.transport.abort()
                return verdict.reason

    async def _heart(self, ws: ClientConnection) -> str:
        """Let the wire's heart beat where it has one; says why when the other side's has stopped."""
        feed = self.feed
        while (due_ns := feed.wire.due_ns) is not None:
            await feed.sleep(max(0.0, (due_ns - feed.timer()) / _S))
            heard = feed.wire.beat(feed.timer())
            if heard.ended:
                await feed.sleep(_GRACE_S)
                heard = feed.wire.beat(feed.timer())
            if heard.ended:
                ws.transport.abort()
                return heard.ended
            if heard.replies:
                self._replies += heard.replies
                self._changed.set()
        return ""

    def _verdict(self) -> Verdict:
        feed, now = self.feed, self.feed.timer()
        opened = None
        if feed.session_open is not None:
            wall = feed.clock()
            at = feed.session_open(wall)
            opened = None if at is None else now - (wall - at)
        return self.session.verdict(now, opened)

    async def _refusal(self, said: str) -> str:
        """Why the broker refuses us; a refusal for good stops the link."""
        feed = self.feed
        if feed.probe is not None:
            try:
                await feed.probe()
            except AuthExpired as error:
                self.session.refused(f"the token is no longer valid: {error}")
                return self.session.reason
            except ToolkitError as error:
                return f"{said}, and the token could not be checked: {error}"
            if await self._address() not in (0, self._used):
                return f"{said}; there is a new login"
            if self.session.connects:
                return f"{said} although the token is valid; it had been accepted before"
            if self._status not in (0, *_FORBIDDEN):
                return f"{said} although the token is valid"
            self.session.refused("the token is valid, the market feed refuses it: no data subscription on this app")
        else:
            self.session.refused("the market feed refuses the token: expired, or no data subscription; log in again")
        return self.session.reason

    async def _until_login(self) -> None:
        """Wait until somebody rearms the feed or the wire has another token than the one refused."""
        while not self.armed.is_set() and await self._address() in (0, self._used):
            await self.feed.sleep(_LOGIN_POLL_S)
        self.armed.clear()

    async def _address(self) -> int:
        """A mark of the address as the wire has it now; 0 without one."""
        try:
            await self.feed.wire.revive()
            return hash(self.feed.wire.url())
        except ToolkitError:
            return 0
