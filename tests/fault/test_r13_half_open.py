"""R13: a link that is open and dead, and one that is alive and useless, are noticed, shown and cured."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

S = 1_000_000_000
TOKENS = dict.fromkeys(range(257, 257 + 256 * 40, 256), "full")


both_wires = pytest.mark.parametrize("venue", ["kite", "xts"], indirect=True)


async def ticking(venue, hand, feed, seconds: int, rng: random.Random) -> None:
    """The market as usual: a heartbeat and some ticks each second."""
    for _ in range(seconds):
        await venue.beat()
        some = rng.sample(sorted(TOKENS), 8)
        before = feed.stats["batches"]
        await venue.show(*some)
        await hand.until(lambda n=before: feed.stats["batches"] > n, step_s=0)
        await hand.move(1.0)


@both_wires
async def test_a_server_that_falls_silent_is_dropped_within_ten_seconds_and_restored(venue, hand, seed, caplog) -> None:
    caplog.set_level("INFO", "toolkit.market.feed")
    rng = random.Random(seed)
    feed = venue.feed(hand, rng=rng)
    feed.want(TOKENS)
    await hand.connected(venue, 1, TOKENS)
    for episode in range(1, 5):
        await ticking(venue, hand, feed, rng.randrange(3, 15), rng)
        venue.deaf = True
        venue.refuse = [503]  # so that the time between two links can be looked at
        start = hand.now_ns
        await hand.until(lambda n=episode: feed.stats["drops"] == n)
        assert (hand.now_ns - start) / S <= 10.0
        assert caplog.text.count(venue.DEAD) == episode
        venue.deaf = False
        assert feed.state != "live"
        assert feed.stale() == TOKENS.keys(), "every quote is flagged"
        await hand.connected(venue, episode + 1, TOKENS)
        await hand.until(lambda: feed.state == "live", step_s=0)
        assert feed.stale() == TOKENS.keys(), "until it has ticked again"
    await feed.close()


@both_wires
async def test_heartbeats_without_ticks_are_noticed_within_five_seconds_of_session(venue, hand, seed) -> None:
    rng = random.Random(seed)
    opened = hand.now_ns
    feed = venue.feed(hand, rng=rng, session_open=lambda now: opened)
    feed.want(TOKENS)
    await hand.connected(venue, 1, TOKENS)
    for episode in range(1, 5):
        await ticking(venue, hand, feed, rng.randrange(5, 12), rng)
        start = hand.now_ns
        while feed.stats["drops"] < episode and hand.now_ns - start < 60 * S:
            await hand.hold(venue, feed, 0.5)
        assert (hand.now_ns - start) / S <= 5.0
        assert feed.stats["drops"] == episode
        await hand.connected(venue, episode + 1, TOKENS)
    await feed.close()


@both_wires
async def test_some_instruments_that_stop_are_stale_though_the_link_lives(venue, hand) -> None:
    opened = hand.now_ns
    feed = venue.feed(hand, session_open=lambda now: opened)
    feed.want({257: "full", 513: "full"})
    await hand.connected(venue, 1, {257: "full", 513: "full"})
    await venue.show(257, 513)
    await hand.until(lambda: feed.stats["batches"] == 1, step_s=0)
    for _ in range(12):
        await venue.show(257)
        before = feed.stats["batches"]
        await hand.until(lambda n=before: feed.stats["batches"] > n or n >= 12, step_s=0)
        await hand.move(0.9)
    assert feed.state == "live"
    assert feed.stale() == {513}
    await feed.close()


@both_wires
async def test_half_an_hour_of_quiet_pre_open_is_no_alarm(venue, hand) -> None:
    feed = venue.feed(hand, session_open=lambda now: None)
    feed.want(TOKENS)
    await hand.connected(venue, 1, TOKENS)
    await hand.hold(venue, feed, 30 * 60, step_s=5.0)
    assert feed.stats["drops"] == 0
    assert feed.state == "live"
    await feed.close()


def exchange(name: str, folder, seed: int):
    """A simulated broker's server and how to connect to it."""
    from toolkit.config import share
    from toolkit.sim.servers.run import Plan, make_kite, ready
    from toolkit.sim.servers.xts_run import XtsPlan, make_xts, xts_ready

    plan = {"session": share("data", "sample"), "at": "11:00:30", "seed": seed, "record": folder / "record.jsonl"}
    if name == "kite":
        kite = Plan(**plan, profile="unlimited")
        server = make_kite(kite)
        return server, lambda: ready(server, kite)["env"]
    xts = XtsPlan(**plan, settings=("rates=off", "subscriptions=5000"))
    made = make_xts(xts)
    return made, lambda: xts_ready(made, xts)["env"]


@pytest.mark.soak
@pytest.mark.parametrize("name", ["kite", "xts-pro"])
@pytest.mark.parametrize("fault", ["half-open", "silent", "mute"])
async def test_in_real_time_against_the_simulated_exchange(name, fault, tmp_path, seed) -> None:
    from toolkit.brokers.factory import connect
    from toolkit.brokers.xts_session import forget_sessions
    from toolkit.sim.servers.faults import parse_fault

    forget_sessions()
    server, env = exchange(name, tmp_path, seed)
    await server.start(0)
    broker = connect(name, **{k.rpartition("__")[2].lower(): v for k, v in env().items()})
    broker.follow_venue()
    try:
        listed = [i for i in await broker.instruments() if i.underlying == "NIFTY"]
        feed = broker.feed()
        feed.want({i.token: "full" for i in listed})
        ticks = feed.ticks()
        await asyncio.wait_for(anext(ticks), 10)
        server.faults.add(parse_fault(fault))
        start = time.monotonic()
        while feed.state == "live":
            await asyncio.sleep(0.05)
            assert time.monotonic() - start < 10.5
        server.faults.clear()
        connects = feed.stats["connects"]
        while feed.state != "live" or feed.stats["connects"] == connects:
            await asyncio.sleep(0.05)
            assert time.monotonic() - start < 30
    finally:
        await broker.close()
        await server.stop()
