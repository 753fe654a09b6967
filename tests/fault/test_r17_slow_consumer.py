"""R17: a dashboard that reads once a second and a callback that sleeps. The others do not feel it."""

from __future__ import annotations

import asyncio
import json
import time

import numpy as np
import pytest

from toolkit.errors import Retryable
from toolkit.market.kite_wire import TICK

TOKENS = range(257, 257 + 256 * 200, 256)
S = 1_000_000_000


def frame(packets, turn: int) -> bytes:
    return packets.frame(*(packets.full(t, 1000 + turn, volume=turn, exch_s=turn) for t in TOKENS))


async def test_the_slow_are_conflated_then_dropped_and_the_quick_see_every_batch(venue, hand, packets) -> None:
    feed = venue.feed(hand)
    quick, dashboard, sleeper = (
        feed.ticks("engine"),
        feed.ticks("dashboard", capacity=2000),
        feed.ticks("sleeper", capacity=2000),
    )
    feed.want(dict.fromkeys(TOKENS, "full"))
    await hand.connected(venue, 1, dict.fromkeys(TOKENS, "full"))
    seen, shown = [], []
    most = 0
    for turn in range(1, 326):  # 32 s of ten updates a second
        await venue.links[-1].send(frame(packets, turn))
        batch = await anext(quick)
        seen.append(int(batch["ltp"][0]))
        await hand.move(0.1)
        if turn % 10 == 0:
            latest = await anext(dashboard)
            shown.append((len(latest), int(latest["ltp"].max())))
        most = max(most, sum(reader.box.waiting for reader in feed._readers))
    assert seen == list(range(1001, 1326)), "not one batch is missing"
    assert shown[-1][1] >= 1320 - 20, "a conflated reader is at most two of its own turns behind"
    assert [n for n, _ in shown[-5:]] == [200] * 5
    with pytest.raises(Retryable, match="reader 'sleeper' took nothing for 30 s and was dropped; call ticks"):
        await anext(sleeper)
    assert feed.stats["dropped"] == 1
    assert feed.stats["readers"] == 2
    assert most * TICK.itemsize < 50 * 2**20, "what waits is bounded"
    await feed.close()


async def test_order_updates_outlive_every_slowness(venue, hand) -> None:
    feed = venue.feed(hand)
    feed.start()
    await hand.connected(venue, 1, {})
    late = feed.updates()
    first = asyncio.ensure_future(anext(late))
    for n in range(1, 5001):
        await venue.links[-1].send(json.dumps({"type": "order", "data": {"order_id": str(n), "pad": "x" * 200}}))
        if n % 500 == 0:
            await hand.until(lambda n=n: feed.stats["updates"] == n, step_s=0)
            await hand.hold(venue, feed, 4.0)
    seen = [await first]
    async for update in late:
        seen.append(update)
        if len(seen) == 5000:
            break
    assert [u.seq for u in seen] == list(range(1, 5001))
    assert [int(u.body["order_id"]) for u in seen] == list(range(1, 5001))
    replay = feed.updates(after=4321)
    assert (await anext(replay)).seq == 4322
    await feed.close()


async def latencies(venue, packets, feed, quick, turns: int) -> float:
    """p99 in milliseconds from sending to the quick reader's hands, ten frames a second."""
    found = []
    for turn in range(turns):
        start = time.perf_counter()
        await venue.links[-1].send(frame(packets, turn + 1))
        await anext(quick)
        found.append(time.perf_counter() - start)
        await asyncio.sleep(0.01)
    return float(np.percentile(found, 99)) * 1e3


@pytest.mark.soak
async def test_the_others_latency_moves_by_less_than_a_tenth(venue, packets) -> None:
    feed = venue.feed()
    quick = feed.ticks("engine")
    feed.want(dict.fromkeys(TOKENS, "full"))
    while venue.modes() != dict.fromkeys(TOKENS, "full"):
        await asyncio.sleep(0.01)
    await latencies(venue, packets, feed, quick, 200)
    ratios = []
    for _ in range(5):
        alone = await latencies(venue, packets, feed, quick, 1000)
        slow = [feed.ticks(f"slow {n}", capacity=2000, stall_s=600) for n in range(2)]
        ratios.append(await latencies(venue, packets, feed, quick, 1000) / alone)
        for reader in slow:
            await anext(reader)
            await reader.aclose()
    assert sorted(ratios)[2] < 1.10
    await feed.close()
