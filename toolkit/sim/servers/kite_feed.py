"""Kite's ticker served: WebSocket connections with their subscriptions, over ``websockets`` sans-IO."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from toolkit.sim.kite_frames import HEARTBEAT, MODES, error_frame, malformed, order_frame, tick_frames
from toolkit.sim.servers.faults import FaultBox
from toolkit.sim.servers.http import Call, abort
from toolkit.sim.tape import DayBoard

__all__ = ["Ticker", "TickerBoard"]

_MOST_TOKENS: Final = 3000
_MOST_BUFFERED: Final = 16 * 1024 * 1024
# The library logs each request line at debug level, and Kite's carries the token.
_QUIET: Final = logging.getLogger("toolkit.sim.ticker")
_QUIET.disabled = True
_COMMAND: Final = msgspec.json.Decoder(dict[str, Any])
# A binary message that promises 400 bytes, and its first four.
_HALF_FRAME: Final = b"\x82\x7e\x01\x90" + b"\x00\x02\x00\xb8"
CALL: Final = "WS /"


class Ticker:
    """One client's connection."""

    def __init__(self, number: int, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.writer = writer
        self.modes: dict[int, str] = {}
        self.protocol = ServerProtocol(max_size=1 << 20, logger=_QUIET)
        self.opened_ns = time.monotonic_ns()
        self.deaf = False
        self.sent = 0

    def flush(self) -> None:
        """Hand to the socket what the protocol wants sent."""
        for data in self.protocol.data_to_send():
            if data:
                self.writer.write(data)

    def send(self, frame: bytes | str) -> None:
        """Send one message; a client that lets 16 MB pile up is cut off, as a broker would."""
        if self.protocol.state.name != "OPEN":
            return
        self.sent += 1
        if isinstance(frame, str):
            self.protocol.send_text(frame.encode())
        else:
            self.protocol.send_binary(frame)
        self.flush()
        if self.writer.transport.get_write_buffer_size() > _MOST_BUFFERED:
            abort(self.writer)


class TickerBoard:
    """All ticker connections of a server."""

    def __init__(self, board: DayBoard, faults: FaultBox) -> None:
        self.board = board
        self.faults = faults
        self.tickers: dict[int, Ticker] = {}
        self.events: list[dict[str, Any]] = []
        self._count = 0

    async def serve(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak with one client until it goes; the caller has checked its token."""
        self._count += 1
        ticker = Ticker(self._count, writer)
        ticker.protocol.receive_data(call.head)
        request = ticker.protocol.events_received()[0]
        assert isinstance(request, Request)
        ticker.protocol.send_response(ticker.protocol.accept(request))
        self.tickers[ticker.number] = ticker
        self.events.append({"kind": "ticker", "ticker": ticker.number, "what": "open"})
        ticker.flush()
        try:
            with contextlib.suppress(ConnectionError):
                await self._listen(ticker, reader)
        finally:
            del self.tickers[ticker.number]
            self.events.append({"kind": "ticker", "ticker": ticker.number, "what": "close"})
            writer.close()

    async def _listen(self, ticker: Ticker, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            if ticker.deaf:
                await asyncio.Event().wait()
            ticker.protocol.receive_data(data)
            for event in ticker.protocol.events_received():
                if getattr(event, "opcode", None) is Opcode.TEXT:
                    self._command(ticker, bytes(event.data))  # type: ignore[union-attr]
            ticker.flush()
            if ticker.protocol.close_expected():
                return

    def _command(self, ticker: Ticker, data: bytes) -> None:
        """Carry out subscribe, unsubscribe or mode; what is not understood is ignored, as on the wire."""
        try:
            command = _COMMAND.decode(data)
        except msgspec.DecodeError:
            return
        action, value = command.get("a"), command.get("v")
        if action == "subscribe" and isinstance(value, list):
            self._subscribe(ticker, _tokens(value), None)
        elif action == "unsubscribe" and isinstance(value, list):
            for token in _tokens(value):
                ticker.modes.pop(token, None)
        elif action == "mode" and isinstance(value, list) and len(value) == 2 and value[0] in MODES:
            self._subscribe(ticker, _tokens(value[1]), value[0])
        else:
            return
        counts = {mode: sum(1 for m in ticker.modes.values() if m == mode) for mode in MODES}
        self.events.append({"kind": "subscription", "ticker": ticker.number, "action": action, **counts})

    def _subscribe(self, ticker: Ticker, tokens: list[int], mode: str | None) -> None:
        wanted = {token: mode or ticker.modes.get(token, "quote") for token in tokens}
        if len({*ticker.modes, *wanted}) > _MOST_TOKENS:
            ticker.send(error_frame(f"Subscription limit exceeded: at most {_MOST_TOKENS} instruments a connection."))
            return
        ticker.modes |= wanted
        known = [token for token in wanted if self.board.row(token) is not None]
        if known and self._lets_ticks(ticker):
            for frame in tick_frames(self.board.rows[self.board.index(known)], ticker.modes):
                ticker.send(frame)

    def ticks(self, keys: npt.NDArray[np.int64]) -> None:
        """Send the new day rows of ``keys`` to whoever wants them."""
        if not len(keys) or not self.tickers:
            return
        rows = self.board.rows[self.board.index(keys)]
        for ticker in list(self.tickers.values()):
            if not ticker.modes or not self._lets_ticks(ticker):
                continue
            for frame in tick_frames(rows, ticker.modes):
                fault = self.faults.draw(("malformed",), CALL)
                ticker.send(frame if fault is None else malformed(fault.arg or "cut", frame))

    def orders(self, rows: Iterable[dict[str, Any]]) -> None:
        """Send order updates to every connection of the account."""
        frames = [order_frame(row) for row in rows]
        if not frames:
            return
        if self.faults.draw(("duplicate-updates",), CALL):
            frames = [frame for frame in frames for _ in range(2)]
        if self.faults.draw(("shuffle-updates",), CALL):
            self.faults.random.shuffle(frames)
        for ticker in list(self.tickers.values()):
            if not self._quiet(ticker, "mute"):
                for frame in frames:
                    ticker.send(frame)

    def beat(self) -> None:
        """Send the heartbeat, break what a fault wants broken."""
        for ticker in list(self.tickers.values()):
            if self.faults.draw(("half-open",), CALL):
                ticker.deaf = True
            elif not self._quiet(ticker, "mute"):
                ticker.send(HEARTBEAT)
        fault = self.faults.draw(("drop",), CALL) if self.tickers else None
        if fault is not None:
            self.drop(int(fault.figure(0)), mid="mid" in fault.words)

    def drop(self, code: int = 0, *, mid: bool = False) -> int:
        """Break every connection: with a close frame of ``code``, or (0) by a reset, or in the middle of a
        frame; gives how many."""
        held = list(self.tickers.values())
        for ticker in held:
            if mid:
                ticker.writer.write(_HALF_FRAME)
                ticker.writer.close()
            elif not code:
                abort(ticker.writer)
            elif ticker.protocol.state.name == "OPEN":
                ticker.protocol.send_close(code)
                ticker.flush()
        return len(held)

    def state(self) -> list[dict[str, Any]]:
        """Each connection's subscriptions: tokens by mode."""
        return [
            {
                "ticker": ticker.number,
                "sent": ticker.sent,
                "modes": {mode: sorted(t for t, m in ticker.modes.items() if m == mode) for mode in MODES},
            }
            for ticker in self.tickers.values()
        ]

    def _lets_ticks(self, ticker: Ticker) -> bool:
        return not self._quiet(ticker, "silent") and not self._quiet(ticker, "mute")

    def _quiet(self, ticker: Ticker, name: str) -> bool:
        """Whether a fault keeps this connection quiet: for good, or for its first S real seconds."""
        if ticker.deaf:
            return True
        fault = self.faults.on(name, CALL)
        if fault is None:
            return False
        seconds = fault.figure(float("inf"))
        return (time.monotonic_ns() - ticker.opened_ns) / 1e9 < seconds


def _tokens(value: Any) -> list[int]:
    """Only JSON numbers count, as on the wire."""
    found = value if isinstance(value, list) else []
    return [token for token in found if isinstance(token, int) and not isinstance(token, bool) and 0 < token < 2**32]
