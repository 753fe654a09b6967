"""The feed runner against small loopback servers: subscriptions, dead links, refusals, slow readers, threads."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import random
import socket
import struct
import threading

import numpy as np
import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

from toolkit.errors import AuthExpired, BadData, Retryable
from toolkit.market.feed import MAX_FRAME, MarketFeed, ThreadFeed
from toolkit.market.feed_session import FeedTerms
from toolkit.market.wire import KiteWire
from toolkit.types import Instrument, Kind

S = 1_000_000_000
TOKEN = "s3cretToken42"


def full(token: int, ltp: int = 10_000, volume: int = 0, exch_s: int = 1) -> bytes:
    words = [token, ltp, 75, ltp, volume, 0, 0, ltp, ltp, ltp, ltp, exch_s, 500, 600, 400, exch_s]
    depth = b"".join(struct.pack(">IIHH", 75, max(0, ltp - 5 * i), 1, 0) for i in range(10))
    return struct.pack(">16I", *words) + depth


def frame(*packets: bytes) -> bytes:
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets)


class Venue:
    """A WebSocket server that records what clients say and does what the test wants."""

    def __init__(self) -> None:
        self.said: list[list[dict]] = []
        self.links: list = []
        self.refuse: list[int] = []
        self.location = ""
        self.paths: list[str] = []
        self.news = asyncio.Condition()

    async def __aenter__(self) -> Venue:
        rng = random.Random()
        while True:
            self.port = rng.randrange(20_000, 32_000)
            with contextlib.suppress(OSError):
                self.server = await serve(
                    self.talk, "127.0.0.1", self.port, process_request=self.check, compression=None, max_size=None
                )
                return self

    async def __aexit__(self, *of) -> None:
        self.server.close()
        await self.server.wait_closed()

    def check(self, connection, request):
        self.paths.append(request.path)
        if self.refuse:
            status = self.refuse.pop(0)
            headers = {"Location": self.location} if self.location else {}
            response = connection.respond(status, "no")
            return Response(
                status, "no", type(response.headers)([*response.headers.raw_items(), *headers.items()]), b"no"
            )
        return None

    async def talk(self, ws) -> None:
        said: list[dict] = []
        self.said.append(said)
        self.links.append(ws)
        await self.tell()
        with contextlib.suppress(ConnectionClosed):
            async for text in ws:
                said.append(json.loads(text))
                await self.tell()
        self.links.remove(ws)
        await self.tell()

    async def tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def until(self, what) -> None:
        async with self.news:
            await asyncio.wait_for(self.news.wait_for(what), 10)

    def modes(self, link: int = -1) -> dict[int, str]:
        """What the server would send, from what the client said."""
        found: dict[int, str] = {}
        for command in self.said[link]:
            if command["a"] == "subscribe":
                found |= {t: found.get(t, "quote") for t in command["v"]}
            elif command["a"] == "mode":
                found |= dict.fromkeys(command["v"][1], command["v"][0])
            else:
                for t in command["v"]:
                    found.pop(t, None)
        return found

    def wire(self, **terms) -> KiteWire:
        return KiteWire(f"ws://127.0.0.1:{self.port}", "key", lambda: TOKEN, terms=FeedTerms(**terms))


class Hand:
    """Time that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now_ns = 1000 * S
        self.waits: list[tuple[int, asyncio.Future]] = []

    def timer(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self.waits.append((self.now_ns + int(seconds * S), future))
        await future

    async def move(self, seconds: float) -> None:
        end = self.now_ns + int(seconds * S)
        while due := sorted((w for w in self.waits if w[0] <= end and not w[1].done()), key=lambda w: w[0]):
            self.now_ns = max(self.now_ns, due[0][0])
            due[0][1].set_result(None)
            await settle()
        self.now_ns = end
        self.waits = [w for w in self.waits if not w[1].done()]
        await settle()


async def settle() -> None:
    """Let everything run that can run now, sockets included."""
    for _ in range(30):
        await asyncio.sleep(0)


async def eventually(what, hand: Hand | None = None, step_s: float = 0.0) -> None:
    for _ in range(4000):
        if what():
            return
        if hand is not None and step_s:
            await hand.move(step_s)
        await asyncio.sleep(0.001 if hand is None else 0)
    raise AssertionError("it did not come to pass")


@pytest.fixture
async def venue():
    async with Venue() as made:
        yield made


@contextlib.asynccontextmanager
async def feeding(venue, **options):
    terms = options.pop("terms", {})
    feed = MarketFeed(venue.wire(**terms), rng=random.Random(5), **options)
    try:
        yield feed
    finally:
        await feed.close()


async def test_it_connects_subscribes_and_hands_on_ticks(venue) -> None:
    async with feeding(venue) as feed:
        assert feed.state == "idle"
        ticks = feed.ticks()
        feed.want({257: "full", 513: "ltp"})
        await venue.until(lambda: venue.said and len(venue.modes()) == 2 and len(venue.said[-1]) == 4)
        assert venue.modes() == {257: "full", 513: "ltp"}
        assert feed.state == "live"
        await venue.links[0].send(frame(full(257, 10_155), full(513, 400)))
        batch = await anext(ticks)
        assert batch["token"].tolist() == [257, 513]
        assert batch["ltp"].tolist() == [10_155, 400]
        assert not batch.flags.writeable
        assert feed.stats["quotes"] == 2
        assert feed.last.row(257)["ltp"] == 10_155
    assert feed.state == "closed"


async def test_a_changed_wish_sends_the_difference_only(venue) -> None:
    async with feeding(venue) as feed:
        feed.want({257: "full", 513: "full"})
        await venue.until(lambda: venue.said and len(venue.modes()) == 2)
        feed.want({513: "full", 769: "quote"})
        await venue.until(lambda: set(venue.modes()) == {513, 769})
        assert [c["a"] for c in venue.said[0]] == ["subscribe", "mode", "unsubscribe", "subscribe", "mode"]
        assert len(venue.said) == 1


async def test_an_instrument_may_stand_for_its_key_and_bad_wishes_are_refused(venue) -> None:
    contract = Instrument(
        instrument_id=1,
        symbol="X",
        exchange="NSE",
        segment="NSE_FO",
        underlying="NIFTY",
        kind=Kind.FUTURE,
        lot=75,
        tick_p=5,
        token=257,
    )
    async with feeding(venue, terms={"per_connection": 2, "connections": 1}) as feed:
        with pytest.raises(BadData, match=r"the feed holds 2 instruments .* was 3"):
            feed.want(dict.fromkeys((1, 2, 3), "full"))
        with pytest.raises(BadData, match="mode of token 1 must be"):
            feed.want({1: "deep"})
        feed.want({contract: "full"})
        await venue.until(lambda: venue.said and venue.modes() == {257: "full"})


async def test_after_a_drop_everything_is_restored_with_what_changed_meanwhile(venue) -> None:
    hand = Hand()
    async with feeding(venue, timer=hand.timer, sleep=hand.sleep) as feed:
        feed.want({257: "full", 513: "quote"})
        await venue.until(lambda: venue.said and len(venue.modes()) == 2)
        await venue.links[0].close(1001)
        await eventually(lambda: feed.state == "down")
        assert "code 1001" in feed.reason
        assert feed.stale() == {257, 513}
        feed.want({257: "ltp", 769: "full"})
        await eventually(lambda: len(venue.said) == 2, hand, 0.5)
        await venue.until(lambda: len(venue.modes()) == 2)
        assert venue.modes() == {257: "ltp", 769: "full"}
        assert feed.stats["connects"] == 2
        assert feed.stats["drops"] == 1


async def test_a_link_without_a_byte_is_dropped_and_made_again(venue) -> None:
    hand = Hand()
    async with feeding(venue, timer=hand.timer, sleep=hand.sleep) as feed:
        feed.want({257: "full"})
        await venue.until(lambda: venue.said and len(venue.modes()) == 1)
        await settle()
        await hand.move(7.9)
        assert feed.state == "live"
        await hand.move(0.3)
        await eventually(lambda: feed.state == "down")
        assert feed.reason.startswith("half-open: no byte for 8.")
        await eventually(lambda: len(venue.said) == 2, hand, 0.5)
        await venue.until(lambda: venue.modes() == {257: "full"})


async def test_heartbeats_without_ticks_are_an_alarm_in_the_session_only(venue) -> None:
    hand, opened = Hand(), [None]
    async with feeding(
        venue, timer=hand.timer, clock=hand.timer, sleep=hand.sleep, session_open=lambda now: opened[0]
    ) as feed:
        feed.want({257: "full"})
        await venue.until(lambda: venue.said and len(venue.modes()) == 1)
        for _ in range(30):  # a quiet pre-open
            await hand.move(1.0)
            await venue.links[0].send(b"\x00")
            await settle()
        await eventually(lambda: feed.stats["connects"] == 1)
        assert feed.state == "live"
        opened[0] = hand.now_ns
        for _ in range(5):
            if feed.state != "live":
                break
            await venue.links[0].send(b"\x00")
            await settle()
            await hand.move(1.0)
        await eventually(lambda: feed.state != "live" or feed.stats["drops"] == 1, hand, 0.1)
        assert feed.stats["drops"] == 1
        assert feed.stale() == {257}


async def test_an_expired_token_stops_the_feed_until_someone_logs_in(venue) -> None:
    async def probe() -> None:
        raise AuthExpired("log in again with: toolkit login kite")

    hand = Hand()
    venue.refuse = [403]
    async with feeding(venue, probe=probe, timer=hand.timer, sleep=hand.sleep) as feed:
        feed.want({257: "full"})
        await eventually(lambda: feed.state == "auth_expired")
        assert "no longer valid" in feed.reason
        await hand.move(600)
        assert len(venue.paths) == 1, "nobody knocks again with a dead token"
        feed.rearm()
        await hand.move(1.1)
        await venue.until(lambda: venue.said and venue.modes() == {257: "full"})
        assert feed.state == "live"


async def test_a_new_token_is_taken_up_without_a_word(venue) -> None:
    tokens = ["old"]
    hand = Hand()
    venue.refuse = [403]
    wire = KiteWire(f"ws://127.0.0.1:{venue.port}", "key", lambda: tokens[-1])
    feed = MarketFeed(wire, timer=hand.timer, sleep=hand.sleep)
    feed.want({257: "full"})
    await eventually(lambda: feed.state == "auth_expired")
    await hand.move(5)
    assert len(venue.paths) == 1
    tokens.append("new")
    await hand.move(1.1)
    await venue.until(lambda: len(venue.said) == 1)
    assert venue.paths[-1].endswith("access_token=new")
    await feed.close()


async def test_a_valid_token_that_is_refused_lacks_the_data_subscription(venue) -> None:
    async def probe() -> None:
        return None

    venue.refuse = [403]
    async with feeding(venue, probe=probe) as feed:
        feed.want({257: "full"})
        await eventually(lambda: feed.state == "auth_expired")
        assert "no data subscription" in feed.reason


async def test_a_valid_token_refused_after_it_had_worked_is_tried_again(venue) -> None:
    async def probe() -> None:
        return None

    hand = Hand()
    async with feeding(venue, probe=probe, timer=hand.timer, sleep=hand.sleep) as feed:
        feed.want({257: "full"})
        await venue.until(lambda: len(venue.links) == 1)
        venue.refuse = [403, 403]
        await venue.links[0].close()
        await eventually(lambda: len(venue.said) == 2, hand, 0.5)
        await eventually(lambda: feed.state == "live")


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_other_refusals_are_passing(venue, status) -> None:
    hand = Hand()
    venue.refuse = [status]
    async with feeding(venue, timer=hand.timer, sleep=hand.sleep) as feed:
        feed.want({257: "full"})
        await eventually(lambda: feed.state == "down")
        assert f"HTTP {status}" in feed.reason
        await eventually(lambda: len(venue.said) == 1, hand, 0.5)


async def test_a_probe_that_fails_for_another_reason_leaves_it_passing(venue) -> None:
    async def probe() -> None:
        raise Retryable("the API does not answer")

    venue.refuse = [403]
    hand = Hand()
    async with feeding(venue, probe=probe, timer=hand.timer, sleep=hand.sleep) as feed:
        feed.want({257: "full"})
        await eventually(lambda: feed.state == "down")
        assert "could not be checked" in feed.reason


async def test_a_redirect_is_not_followed(venue) -> None:
    async with Venue() as thief:
        venue.refuse, venue.location = [302], f"ws://127.0.0.1:{thief.port}/"
        hand = Hand()
        async with feeding(venue, timer=hand.timer, sleep=hand.sleep) as feed:
            feed.want({257: "full"})
            await eventually(lambda: feed.state == "down")
            assert "HTTP 302" in feed.reason
            assert thief.paths == []


async def test_a_frame_beyond_the_limit_ends_the_connection_and_the_next_one_works(venue) -> None:
    hand = Hand()
    async with feeding(venue, timer=hand.timer, sleep=hand.sleep) as feed:
        ticks = feed.ticks()
        feed.want({257: "full"})
        await venue.until(lambda: len(venue.links) == 1)
        await venue.links[0].send(bytes(MAX_FRAME + 1))
        await eventually(lambda: len(venue.said) == 2, hand, 0.5)
        await venue.links[-1].send(frame(full(257)))
        assert (await anext(ticks))["token"].tolist() == [257]


async def test_instruments_are_spread_over_connections_and_stay_where_they_are(venue) -> None:
    async with feeding(venue, terms={"per_connection": 3, "connections": 3}) as feed:
        feed.want(dict.fromkeys(range(1, 8), "full"))
        await venue.until(lambda: len(venue.said) == 3 and sum(len(venue.modes(i)) for i in range(3)) == 7)
        feed.want(dict.fromkeys([*range(2, 8), 9], "full"))
        await venue.until(lambda: sum(9 in venue.modes(i) for i in range(3)) == 1)
        assert sorted(t for i in range(3) for t in venue.modes(i)) == [2, 3, 4, 5, 6, 7, 9]
        assert sum(len(said) for said in venue.said) == 3 * 2 + 1 + 2, "one left, one came, nothing moved"
        feed.want({2: "full"})
        await venue.until(lambda: len(venue.links) == 1)
        assert feed.stats["connects"] == 3


async def test_order_updates_come_numbered_and_replay_from_any_number(venue) -> None:
    async with feeding(venue) as feed:
        feed.start()
        await venue.until(lambda: len(venue.links) == 1)
        for i in range(3000):
            await venue.links[0].send(json.dumps({"type": "order", "data": {"order_id": str(i)}}))
        seen = []
        async for update in feed.updates():
            seen.append(update)
            if len(seen) == 3000:
                break
        assert [u.seq for u in seen] == list(range(1, 3001))
        assert [u.body["order_id"] for u in seen] == [str(i) for i in range(3000)]
        async for update in feed.updates(after=10):
            assert update.seq == 11
            break


async def test_notices_and_malformed_frames_are_counted_and_hurt_nothing(venue, caplog) -> None:
    async with feeding(venue) as feed:
        ticks = feed.ticks()
        await venue.until(lambda: len(venue.links) == 1)
        for bad in (
            b"\x00\x02" + frame(full(257))[2:],
            "no json {",
            "[1]",
            b"\x01\x02\x03",
            frame(full(0)),
            frame(b"1234567"),
        ):
            await venue.links[0].send(bad)
        await venue.links[0].send(json.dumps({"type": "error", "data": "too many tokens"}))
        await venue.links[0].send(frame(full(513)))
        got = [await anext(ticks), await anext(ticks)]
        assert [b["token"].tolist() for b in got] == [[257], [513]], "the good packet of a cut frame is kept"
        assert feed.stats["bad"] == 5
        assert feed.stats["skipped"] == 1
        assert feed.notices == ["error: too many tokens"]
        assert "too many tokens" in caplog.text


async def test_a_slow_reader_is_conflated_then_dropped_and_others_see_everything(venue) -> None:
    hand = Hand()
    async with feeding(venue, timer=hand.timer, sleep=hand.sleep) as feed:
        slow, quick = feed.ticks("dashboard", capacity=4, stall_s=30), feed.ticks("engine")
        feed.want({257: "full", 513: "full"})
        await venue.until(lambda: len(venue.links) == 1)
        for i in range(1, 11):
            await venue.links[0].send(frame(full(257, i, volume=i, exch_s=i), full(513, 100 + i, exch_s=i)))
        assert [(await anext(quick))["ltp"].tolist() for _ in range(10)] == [[i, 100 + i] for i in range(1, 11)]
        batch = await anext(slow)
        assert batch["ltp"].tolist() == [10, 110], "the newest of each"
        assert batch["volume"].tolist() == [10, 0]
        assert feed.stats["conflated"] == 20
        for i in range(11, 13):
            await venue.links[0].send(frame(full(257, i, exch_s=i)))
            await anext(quick)
            await hand.move(7.0) if i == 11 else None
        hand.now_ns += 31 * S
        await venue.links[0].send(frame(full(257, 99, exch_s=20)))
        assert (await anext(quick))["ltp"].tolist() == [99]
        with pytest.raises(Retryable, match=r"reader 'dashboard' took nothing for 3[0-9] s and was dropped"):
            await anext(slow)
        assert feed.stats["dropped"] == 1
        assert feed.stats["readers"] == 1


async def test_no_log_line_and_no_repr_shows_the_token(venue, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.client", "toolkit.market.feed"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    venue.refuse = [403]
    async with feeding(venue) as feed:
        feed.want({257: "full"})
        await eventually(lambda: feed.state == "auth_expired")
        feed.rearm()
        await venue.until(lambda: len(venue.links) == 1)
        assert TOKEN in venue.paths[0]
        mine = [r.getMessage() for r in caplog.records if not r.name.startswith("websockets.server")]
        assert TOKEN not in "\n".join(mine)
        assert TOKEN not in repr(feed.wire) + repr(feed) + feed.reason + str(feed.stats)
    caplog.clear()


async def test_nothing_is_reached_for_the_address_of_a_dead_port() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hand = Hand()
    feed = MarketFeed(KiteWire(f"ws://127.0.0.1:{port}", "k", lambda: TOKEN), timer=hand.timer, sleep=hand.sleep)
    feed.want({1: "ltp"})
    await eventually(lambda: feed.state == "down")
    assert feed.reason == "cannot connect: ConnectionRefusedError"
    assert TOKEN not in feed.reason
    await feed.close()


async def test_it_starts_and_closes_again_and_again_without_growth(venue) -> None:
    feed = MarketFeed(venue.wire())
    before = len(asyncio.all_tasks())
    for round_ in range(1, 16):
        feed.want({257: "full"})
        feed.start()
        await venue.until(lambda n=round_: len(venue.said) == n and venue.modes() == {257: "full"})
        await feed.close()
        await feed.close()
        assert feed.state == "closed"
        await venue.until(lambda: not venue.links)
    await settle()
    assert len(asyncio.all_tasks()) == before
    assert feed.stats["connects"] == 15


def threads() -> int:
    return sum(t.name == "market-feed" for t in threading.enumerate())


async def test_the_thread_facade_starts_and_stops_as_often_as_one_likes(venue) -> None:
    def work() -> None:
        feed = ThreadFeed(lambda: MarketFeed(venue.wire()))
        assert feed.state == "idle"
        feed.want({257: "full"})
        for round_ in range(1, 6):
            feed.start()
            assert feed.start() is feed
            walk = feed.ticks()
            asyncio.run_coroutine_threadsafe(push(round_), loop).result(10)
            assert next(walk)["ltp"].tolist() == [round_]
            assert feed.rows()["ltp"].tolist() == [round_]
            assert feed.stats["batches"] == 1
            assert threads() == 1
            feed.stop()
            feed.stop()
            assert feed.state == "closed"
            assert feed.rows()["ltp"].tolist() == [round_], "the last values stay"
            assert feed.stale() == {257}
            assert list(walk) == []
            assert threads() == 0
        with pytest.raises(BadData, match="call start"):
            feed.ticks()

    async def push(n: int) -> None:
        await venue.until(lambda: len(venue.said) == n and venue.modes() == {257: "full"})
        await venue.links[-1].send(frame(full(257, n)))

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(work)


async def test_the_thread_facade_gives_order_updates_and_takes_a_new_wish(venue) -> None:
    def work() -> None:
        with ThreadFeed(lambda: MarketFeed(venue.wire())) as feed:
            feed.want({513: "ltp"})
            asyncio.run_coroutine_threadsafe(push(), loop).result(10)
            assert next(feed.updates()).body == {"order_id": "7"}
            with pytest.raises(BadData, match="mode of token 1"):
                feed.want({1: "x"})
            assert feed.state == "live"
            assert feed.reason == ""

    async def push() -> None:
        await venue.until(lambda: venue.said and venue.modes() == {513: "ltp"})
        await venue.links[-1].send('{"type":"order","data":{"order_id":"7"}}')

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(work)


def test_a_factory_that_fails_leaves_no_thread() -> None:
    def make() -> MarketFeed:
        raise BadData("no token; log in")

    feed = ThreadFeed(make)
    with pytest.raises(BadData, match="no token"):
        feed.start()
    assert threads() == 0
    assert feed.state == "idle"


async def test_a_lost_reader_costs_nothing_after_its_stall(venue) -> None:
    hand = Hand()
    async with feeding(venue, timer=hand.timer, sleep=hand.sleep) as feed:
        forgotten = feed.ticks("forgotten", stall_s=1)
        await venue.until(lambda: len(venue.links) == 1)
        await venue.links[0].send(frame(full(257)))
        await eventually(lambda: feed.stats["batches"] == 1)
        hand.now_ns += 2 * S
        await venue.links[0].send(frame(full(257)))
        await eventually(lambda: feed.stats["readers"] == 0)
        del forgotten
        gc.collect()


def test_rows_of_a_never_started_feed_are_empty() -> None:
    feed = ThreadFeed(lambda: MarketFeed(KiteWire("ws://127.0.0.1:1", "k", lambda: "t")))
    assert len(feed.rows()) == 0
    assert isinstance(feed.rows(), np.ndarray)
    assert feed.stats == {}
    feed.stop()
