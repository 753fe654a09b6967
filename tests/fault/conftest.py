"""A feed's counterpart for the market-data faults: a server that does what the test wants, and time in the hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import struct

import pytest

S = 1_000_000_000


class Venue:
    """Speaks Kite's ticker wire on loopback; keeps what each client said and lets the test break things."""

    MODES = ("ltp", "quote", "full")
    DEAD = "half-open: no byte for 8."

    def __init__(self) -> None:
        self.deaf = False
        self.said: list[list[dict]] = []
        self.links: list = []
        self.refuse: list[int] = []
        self.arrivals: list[int] = []
        self.timer = lambda: 0
        self.port = 0
        self.server = None

    async def open(self) -> Venue:
        from websockets.asyncio.server import serve

        rng = random.Random()
        while self.server is None:
            self.port = rng.randrange(20_000, 32_000)
            with contextlib.suppress(OSError):
                self.server = await serve(
                    self.talk,
                    "127.0.0.1",
                    self.port,
                    process_request=self.check,
                    compression=None,
                    max_size=None,
                    ping_interval=None,
                )
        return self

    async def close(self) -> None:
        self.server.close()
        await self.server.wait_closed()

    def check(self, connection, request):
        self.arrivals.append(self.timer())
        return connection.respond(self.refuse.pop(0), "no") if self.refuse else None

    async def talk(self, ws) -> None:
        from websockets.exceptions import ConnectionClosed

        said: list[dict] = []
        self.said.append(said)
        self.links.append(ws)
        with contextlib.suppress(ConnectionClosed):
            async for text in ws:
                said.append(json.loads(text))
        self.links.remove(ws)

    def modes(self) -> dict[int, str]:
        """What the newest connection carries, from what its client said."""
        found: dict[int, str] = {}
        for command in self.said[-1] if self.said else ():
            if command["a"] == "subscribe":
                found |= {t: found.get(t, "quote") for t in command["v"]}
            elif command["a"] == "mode":
                found |= dict.fromkeys(command["v"][1], command["v"][0])
            else:
                for t in command["v"]:
                    found.pop(t, None)
        return found

    def feed(self, hand=None, **options):
        """A feed of this server; with ``hand`` its time is the test's."""
        from toolkit.market.feed import MarketFeed
        from toolkit.market.wire import KiteWire

        if hand is not None:
            options = {"timer": hand.timer, "sleep": hand.sleep, "clock": hand.timer, **options}
        return MarketFeed(KiteWire(f"ws://127.0.0.1:{self.port}", "key", lambda: "token"), **options)

    async def beat(self) -> None:
        """Say that the link lives, and nothing else."""
        await self.links[-1].send(b"\x00")

    async def show(self, *tokens: int) -> None:
        """Let instruments tick."""
        await self.links[-1].send(binary_frame(*(full_packet(t) for t in tokens)))


class XtsVenue(Venue):
    """Speaks XTS's market-data socket (Engine.IO 3, packets) with subscriptions of its own session beside it."""

    MODES = ("quote", "full")
    DEAD = "no pong within 4 s"

    def __init__(self) -> None:
        super().__init__()
        self.desk = XtsDesk()
        self.rng = random.Random(7)

    async def talk(self, ws) -> None:
        from websockets.exceptions import ConnectionClosed

        from toolkit.market.socketio import encode_open

        if self.rng.random() < 0.5:
            self.desk.subscribed = frozenset()  # somebody has logged in anew meanwhile
        await ws.send(encode_open("sid", 25_000, 5_000))
        await ws.send("40")
        self.said.append([])
        self.links.append(ws)
        with contextlib.suppress(ConnectionClosed):
            async for text in ws:
                self.said[-1].append(text)
                if text == "2" and not self.deaf:
                    await ws.send("3")
        self.links.remove(ws)

    def modes(self) -> dict[int, str]:
        codes: dict[int, set[int]] = {}
        for segment, instrument, code in self.desk.subscribed:
            codes.setdefault(segment << 32 | instrument, set()).add(code)
        names = {frozenset({1501}): "quote", frozenset({1502, 1510}): "full"}
        return {token: names.get(frozenset(found), "?") for token, found in sorted(codes.items())}

    def feed(self, hand=None, **options):
        from toolkit.market.feed import MarketFeed
        from toolkit.market.xts_feed import XtsWire
        from toolkit.market.xts_socket import Door

        async def door():
            return Door(f"http://127.0.0.1:{self.port}/apimarketdata", "token", "U")

        if hand is not None:
            options = {"timer": hand.timer, "sleep": hand.sleep, "clock": hand.timer, **options}
        return MarketFeed(XtsWire(door, {"publishFormat": "JSON"}, desk=self.desk), **options)

    async def beat(self) -> None:
        await self.links[-1].send("6")  # Engine.IO's "nothing"

    async def show(self, *tokens: int) -> None:
        for frame in xts_frames(*(xts_packet(t) for t in tokens)):
            await self.links[-1].send(frame)


class XtsDesk:
    """Subscriptions of a session, without snapshots."""

    def __init__(self) -> None:
        self.subscribed = frozenset()

    async def subscribe(self, places, code):
        from types import SimpleNamespace

        self.subscribed |= {(*place, code) for place in places}
        return SimpleNamespace(ticks=())

    async def unsubscribe(self, places, code) -> None:
        self.subscribed -= {(*place, code) for place in places}

    async def renew(self, places, code):
        await self.unsubscribe(places, code)
        return await self.subscribe(places, code)

    async def quotes(self, places, code=1502):
        return {}

    async def leave(self) -> None:
        """It holds nothing."""


def xts_packet(
    token: int, ltp: float = 100.0, volume: int = 0, *, raw_s: int = 0, deflated: bool = False, wide: bool = False
):
    from toolkit.sim.xts_frames import packet

    level = {"Size": 75, "Price": ltp, "TotalOrders": 1}
    names = ("LastTradedQunatity", "TotalBuyQuantity", "TotalSellQuantity", "TotalTradedQuantity", "LastTradedTime")
    touch = dict.fromkeys(names, 0) | dict.fromkeys(("Open", "High", "Low", "Close", "AverageTradedPrice"), ltp)
    touch |= {"BidInfo": level, "AskInfo": level, "LastTradedPrice": ltp, "LastUpdateTime": raw_s, "PercentChange": 0}
    touch |= {"TotalTradedQuantity": volume, "TotalValueTraded": None}
    event = {"MessageCode": 1501, "ExchangeSegment": token >> 32, "ExchangeInstrumentID": token & 0xFFFFFFFF}
    return packet(event | {"ExchangeTimeStamp": raw_s, "Touchline": touch}, wide=wide, deflated=deflated)


def xts_frames(*packets: bytes) -> list[str | bytes]:
    from toolkit.market.socketio import encode_event

    return [f if isinstance(f, str) else b"\x04" + f for f in encode_event("xts-binary-packet", b"".join(packets))]


class Hand:
    """Time that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now_ns = 1000 * S
        self.waits: list = []

    def timer(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self.waits.append((self.now_ns + int(seconds * S), future))
        await future

    async def move(self, seconds: float) -> None:
        end = self.now_ns + int(seconds * S)
        while due := [w for w in self.waits if w[0] <= end and not w[1].done()]:
            at, future = min(due, key=lambda w: w[0])
            self.now_ns = max(self.now_ns, at)
            future.set_result(None)
            await self.settle()
        self.now_ns = end
        self.waits = [w for w in self.waits if not w[1].done()]
        await self.settle()

    @staticmethod
    async def settle(turns: int = 12) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async def until(self, what, step_s: float = 0.25, most: int = 4000) -> None:
        """Move on until something holds; sockets need real time too, so early turns move nothing."""
        for turn in range(most):
            if what():
                return
            if turn % 4 == 3 and step_s:
                await self.move(step_s)
            await asyncio.sleep(0.0005)
        raise AssertionError("it did not come to pass")

    async def connected(self, venue, count: int, wanted: dict[int, str]) -> None:
        """The server has its ``count``-th connection and it carries what is wanted; time stands still after the accept."""
        await self.until(lambda: len(venue.said) >= count)
        await self.until(lambda: venue.modes() == wanted, step_s=0)

    async def hold(self, venue, feed, seconds: float, step_s: float = 4.0) -> None:
        """Let time pass on a link that the server keeps alive with heartbeats."""
        end = self.now_ns + int(seconds * S)
        while self.now_ns < end:
            await venue.beat()
            await self.until(lambda: feed._links[0].session._byte_ns >= self.now_ns, step_s=0)
            await self.move(min(step_s, (end - self.now_ns) / S))


def full_packet(token: int, ltp: int = 10_000, volume: int = 0, exch_s: int = 1, oi: int = 500) -> bytes:
    words = [token, ltp, 75, ltp, volume, 0, 0, ltp, ltp, ltp, ltp, exch_s, oi, oi, oi, exch_s]
    return struct.pack(">16I", *words) + b"".join(
        struct.pack(">IIHH", 75, max(0, ltp - 5 * i), 1, 0) for i in range(10)
    )


def binary_frame(*packets: bytes) -> bytes:
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets)


class Packets:
    """Writes frames."""

    full = staticmethod(full_packet)
    frame = staticmethod(binary_frame)
    xts = staticmethod(xts_packet)
    xts_frames = staticmethod(xts_frames)


@pytest.fixture
def packets():
    return Packets


@pytest.fixture
async def venue(request):
    """A server of Kite's wire; of XTS's where the test is asked for it (``both_wires``)."""
    pytest.importorskip("websockets", reason="the feed is in the extra kite")
    made = await (XtsVenue if getattr(request, "param", "kite") == "xts" else Venue)().open()
    yield made
    await made.close()


@pytest.fixture
def hand(request):
    made = Hand()
    if "venue" in request.fixturenames:
        request.getfixturevalue("venue").timer = made.timer
    return made


@pytest.fixture
def seed():
    """The seed of a fault test: printed, and taken from ``FAULT_SEED`` to repeat a run."""
    found = int(os.environ.get("FAULT_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed: FAULT_SEED={found}")
    return found


@pytest.fixture
def rounds():
    """``rounds(1000)``: how often the full form of a fault test strikes; ``FAULT_ROUNDS`` says another number."""
    return lambda usual: int(os.environ.get("FAULT_ROUNDS", usual))
