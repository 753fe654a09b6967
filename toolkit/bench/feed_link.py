"""A feed from end to end for ``toolkit bench feed``: a server in its own process, and clients to time.

The server sends frames of full packets whose ``oi_high`` and ``oi_low`` words carry the time
of sending (the monotonic clock, one for all processes of a machine). The access token of the
address says what it sends: ``pace-S`` at the market's pace for S seconds, ``spike-S`` the same
after a spike of ten times that pace for a fifth as long, ``burst-N`` N frames as fast as they go.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.bench.process import apart, beside
from toolkit.market.last_values import LastValues

__all__ = ["FRAME", "INSTRUMENTS", "UPDATES_PER_S", "Lag", "ours_burst", "paced", "peer_burst", "raw_burst", "server"]

INSTRUMENTS: Final = 3000
UPDATES_PER_S: Final = 10
FRAME: Final = 500
_ROW: Final = 186
_FRAMES_PER_S: Final = INSTRUMENTS * UPDATES_PER_S // FRAME
_PORTS: Final = range(20_000, 32_000)


class Lag(NamedTuple):
    """What a paced run saw: packets sent and received, lag from sending to the table in
    milliseconds, seconds of processor time a second, and whether the totals were exact."""

    sent: int
    received: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    processor: float
    exact: bool


class _Timed(LastValues):
    """A last-value table that notes when each batch was in it."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        super().__init__(dtype=dtype)
        self.lags: list[int] = []
        self.count = 0
        self.first_ns = self.last_ns = 0

    def apply(self, ticks: npt.NDArray[Any]) -> None:
        super().apply(ticks)
        self.last_ns = time.monotonic_ns()
        self.first_ns = self.first_ns or self.last_ns
        self.lags.append(self.last_ns - (int(ticks["oi_high"][-1]) << 32 | int(ticks["oi_low"][-1])))
        self.count += len(ticks)


def server() -> AbstractContextManager[int]:
    """A server in another process, on another core where there is one; gives its port."""
    return beside(_serve, what="the benchmark's server")


def paced(port: int, seconds: float, *, spike: bool = False) -> Lag:
    """Take the market's pace through a `MarketFeed` for some seconds; lags are those after the first half second.

    With ``spike`` ten times that pace comes first for a fifth as long, and lags count from its end on.
    """
    return asyncio.run(_paced(port, seconds, spike))


def ours_burst(port: int, frames: int) -> float:
    """Seconds a packet from the socket into the last-value table, all frames at once."""
    return asyncio.run(_ours_burst(port, frames))


def raw_burst(port: int, frames: int) -> float:
    """Seconds a packet of a client that receives frames and does nothing: the limit of the transport."""
    return asyncio.run(_raw_burst(port, frames))


def peer_burst(port: int, frames: int) -> float:
    """Seconds a packet of the official ticker into a dict by token; in a process of its own, for its
    reactor starts once."""
    with beside(_peer, port, frames, what="the official ticker", wait_s=60) as seconds:
        return float(seconds)


async def _paced(port: int, seconds: float, spike: bool) -> Lag:
    from toolkit.market.feed import MarketFeed
    from toolkit.market.wire import KiteWire

    feed = MarketFeed(KiteWire(f"ws://127.0.0.1:{port}", "bench", lambda: f"{'spike' if spike else 'pace'}-{seconds}"))
    table = feed.last = _Timed(feed.wire.dtype)
    before = _spike_frames(seconds) if spike else 0
    sent = (before + int(seconds * _FRAMES_PER_S)) * FRAME
    feed.want(dict.fromkeys(_tokens().tolist(), "full"))
    end = time.monotonic() + 1.2 * seconds + 10
    while table.count == 0 and time.monotonic() < end:
        await asyncio.sleep(0.01)
    start, used = time.monotonic(), time.process_time()
    while table.count < sent and time.monotonic() < end:
        await asyncio.sleep(0.05)
    share = (time.process_time() - used) / max(time.monotonic() - start, 1e-9)
    await feed.close()
    # The first half second is the subscription: 3 000 tokens in six commands.
    lags = np.array(table.lags[before + _FRAMES_PER_S // 2 :] or table.lags or [0]) / 1e6
    rounds = sent // INSTRUMENTS
    rows = table.rows()
    exact = bool(len(rows) == INSTRUMENTS and (rows["volume"] >= rounds).all())
    p50, p99, most = (float(np.percentile(lags, q)) for q in (50, 99, 100))
    return Lag(sent, table.count, p50, p99, most, share, exact)


async def _ours_burst(port: int, frames: int) -> float:
    from toolkit.market.feed import MarketFeed
    from toolkit.market.wire import KiteWire

    feed = MarketFeed(KiteWire(f"ws://127.0.0.1:{port}", "bench", lambda: f"burst-{frames}"))
    table = feed.last = _Timed(feed.wire.dtype)
    feed.want({int(_tokens()[0]): "full"})
    while table.count < frames * FRAME:
        await asyncio.sleep(0.005)
    await feed.close()
    return (table.last_ns - table.first_ns) / 1e9 / ((frames - 1) * FRAME)


async def _raw_burst(port: int, frames: int) -> float:
    from websockets.asyncio.client import connect

    url = f"ws://127.0.0.1:{port}/?api_key=bench&access_token=burst-{frames}"
    async with connect(url, compression=None, max_size=None, proxy=None, ping_interval=None) as ws:
        await ws.send('{"a":"subscribe","v":[1]}')
        await ws.recv()
        start = time.perf_counter()
        for _ in range(frames - 1):
            await ws.recv()
        return (time.perf_counter() - start) / ((frames - 1) * FRAME)


def _peer(pipe: Connection, port: int, frames: int) -> None:
    from kiteconnect import KiteTicker

    logging.disable(logging.CRITICAL)  # it reports the end of the run as an error
    table: dict[int, Any] = {}
    seen = [0, 0.0]
    ticker = KiteTicker("bench", f"burst-{frames}", root=f"ws://127.0.0.1:{port}")

    def on_ticks(ws: Any, ticks: list[dict[str, Any]]) -> None:
        seen[1] = seen[1] or time.perf_counter()
        for tick in ticks:
            table[tick["instrument_token"]] = tick
        seen[0] += len(ticks)
        if seen[0] >= frames * FRAME:
            pipe.send((time.perf_counter() - seen[1]) / max(1, seen[0] - FRAME))
            ws.stop_retry()

    def on_connect(ws: Any, response: Any) -> None:
        ws.subscribe([1])

    ticker.on_ticks, ticker.on_connect = on_ticks, on_connect
    ticker.connect()


def _tokens() -> npt.NDArray[np.int64]:
    return np.arange(1, INSTRUMENTS + 1, dtype=np.int64) * 256 + 2


def _frames() -> list[npt.NDArray[np.uint8]]:
    """The frames of one round of all instruments, ready but for volume and time."""
    rng = np.random.default_rng(7)
    out = []
    for tokens in _tokens().reshape(-1, FRAME):
        words = rng.integers(1, 2**24, (FRAME, 46)).astype(">u4")
        words[:, 0] = tokens
        words[:, 4] = 0
        rows = np.zeros((FRAME, _ROW), np.uint8)
        rows[:, :2] = np.frombuffer(struct.pack(">H", 184), np.uint8)
        rows[:, 2:] = words.view(np.uint8).reshape(FRAME, 184)
        out.append(np.concatenate([np.frombuffer(struct.pack(">H", FRAME), np.uint8), rows.reshape(-1)]))
    return out


def _stamp(frame: npt.NDArray[np.uint8], turn: int) -> bytes:
    """Put the volume of the turn and the time of now into every packet; exchange stamps stay equal."""
    rows = frame[2:].reshape(FRAME, _ROW)
    rows[:, 18:22] = np.frombuffer(struct.pack(">I", turn), np.uint8)
    rows[:, 62:66] = 1
    rows[:, 54:62] = np.frombuffer(struct.pack(">Q", time.monotonic_ns()), np.uint8)
    return frame.tobytes()


def _serve(pipe: Connection) -> None:
    apart(_listen(pipe.send))


async def _listen(say: Callable[[int], None]) -> None:
    from websockets.asyncio.server import ServerConnection, serve

    async def talk(ws: ServerConnection) -> None:
        assert ws.request is not None
        what, _, how = ws.request.path.rpartition("=")[2].partition("-")
        await ws.recv()
        with suppress(Exception):
            await (_burst(ws, int(how)) if what == "burst" else _pace(ws, float(how), what == "spike"))
            await ws.wait_closed()

    for port in _PORTS:
        with suppress(OSError):
            async with serve(talk, "127.0.0.1", port, compression=None, ping_interval=None, max_size=None):
                say(port)
                await asyncio.Event().wait()


def _spike_frames(seconds: float) -> int:
    return int(seconds / 5 * 10 * _FRAMES_PER_S)


async def _pace(ws: Any, seconds: float, spike: bool) -> None:
    frames, start = _frames(), time.monotonic()
    first = _spike_frames(seconds) if spike else 0
    for n in range(first + int(seconds * _FRAMES_PER_S)):
        due = n / (10 * _FRAMES_PER_S) if n < first else seconds / 5 * (first > 0) + (n - first) / _FRAMES_PER_S
        await asyncio.sleep(max(0.0, start + due - time.monotonic()))
        await ws.send(_stamp(frames[n % len(frames)], n // len(frames) + 1))


async def _burst(ws: Any, count: int) -> None:
    frames = [_stamp(frame, 1) for frame in _frames()]
    for n in range(count):
        await ws.send(frames[n % len(frames)])
