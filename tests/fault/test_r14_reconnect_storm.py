"""R14: a storm of disconnects. Everything comes back each time, nothing grows, nobody is hammered."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

S = 1_000_000_000
both_wires = pytest.mark.parametrize("venue", ["kite", "xts"], indirect=True)


def handles() -> int:
    """Open file descriptors of this process."""
    folder = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
    return len(os.listdir(folder))


async def storm(venue, hand, packets, seed: int, disconnects: int, tokens: int) -> None:
    rng = random.Random(seed)

    async def token_is_good() -> None:
        return None

    wanted = {257 + 256 * i: venue.MODES[i % len(venue.MODES)] for i in range(tokens)}
    feed = venue.feed(hand, rng=rng, probe=token_is_good)
    feed.want(wanted)
    await hand.connected(venue, 1, wanted)
    tasks, files = len(asyncio.all_tasks()), handles()
    for turn in range(1, disconnects + 1):
        link, before = venue.links[-1], len(venue.said)
        how = rng.choice(["reset", "mid-frame", "clean", "away", "refused"])
        if how in ("clean", "away"):
            await link.close({"clean": 1000, "away": 1001}[how])
        elif how == "refused":
            venue.refuse = [rng.choice([403, 429, 503]) for _ in range(rng.randrange(1, 3))]
            link.transport.abort()
        else:
            if how == "mid-frame":
                link.transport.write(b"\x82\x7e\x10\x00" + packets.frame(packets.full(257))[:50])
            link.transport.abort()
        await hand.until(lambda: feed.state != "live")
        if rng.random() < 0.5:  # the wish changes while the link is down
            gone, new = rng.choice(sorted(wanted)), 257 + 256 * (tokens + turn)
            wanted = {**{t: m for t, m in wanted.items() if t != gone}, new: rng.choice(venue.MODES)}
            feed.want(wanted)
        await hand.connected(venue, before + 1, wanted)  # no time passes between the accept and the last command
        await hand.until(lambda: feed.state == "live" and len(venue.links) == 1, step_s=0)
        await hand.hold(venue, feed, rng.choice([0.0, 1.0, 12.0]))
    minute = 60 * S
    busiest = max(sum(a <= b < a + minute for b in venue.arrivals) for a in venue.arrivals)
    assert busiest <= 40, f"{busiest} attempts in a minute"
    assert len(asyncio.all_tasks()) == tasks
    await hand.until(lambda: handles() <= files, step_s=0)  # another test's engine may let go of its own meanwhile
    assert len(feed._links) == 1
    await feed.close()


@both_wires
async def test_twenty_disconnects_restore_every_subscription(venue, hand, packets, seed) -> None:
    await storm(venue, hand, packets, seed, disconnects=20, tokens=300)


@pytest.mark.soak
@both_wires
async def test_a_hundred_disconnects_with_three_thousand_tokens(venue, hand, packets, seed) -> None:
    await storm(venue, hand, packets, seed, disconnects=100, tokens=2800)


@both_wires
async def test_a_server_that_accepts_and_drops_at_once_is_not_hammered(venue, hand) -> None:
    feed = venue.feed(hand, rng=random.Random(1))
    feed.want({257: "full"})
    start = hand.now_ns
    while hand.now_ns - start < 600 * S:
        for link in list(venue.links):
            link.transport.abort()
        await asyncio.sleep(0.0005)
        await hand.move(1.0)
    minute = 60 * S
    assert max(sum(a <= b < a + minute for b in venue.arrivals) for a in venue.arrivals) <= 40
    assert len(venue.arrivals) < 100, "the delays grow to half a minute"
    assert len(venue.arrivals) > 15
    await feed.close()
