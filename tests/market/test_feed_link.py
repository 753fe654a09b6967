"""One connection's bookkeeping: frames that came together are published together, nothing lost or reordered."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace

import numpy as np

from toolkit.market import feed_link
from toolkit.market.feed_link import Link
from toolkit.market.feed_session import ConnectPacer, FeedTerms
from toolkit.market.wire import Heard
from toolkit.market.xts_rows import ROW


class FakeFeed:
    def __init__(self, gathers: bool) -> None:
        self.wire = SimpleNamespace(terms=FeedTerms(token_bits=48), gathers=gathers)
        self.published: list[Heard] = []
        self.timer = self.clock = lambda: 5

    def _publish(self, heard: Heard, now_ns: int, recv_ns: int) -> None:
        self.published.append(heard)


def tick(token: int, **more) -> Heard:
    rows = np.zeros(1, ROW)
    rows["token"] = token
    return Heard(rows, **more)


def made(gathers: bool = True) -> tuple[Link, list[Heard]]:
    feed = FakeFeed(gathers)
    return Link(feed, ConnectPacer(random.Random(1))), feed.published  # type: ignore[arg-type]


async def test_ticks_of_one_turn_of_the_loop_are_one_batch() -> None:
    link, published = made()
    for token in (3, 1, 2):
        link._take(tick(token, skipped=1), 0, 0)
    assert published == []
    await asyncio.sleep(0)
    assert [heard.ticks["token"].tolist() for heard in published] == [[3, 1, 2]]
    assert published[0].skipped == 3
    link._take(tick(7), 0, 0)
    await asyncio.sleep(0)
    assert published[1].ticks["token"].tolist() == [7]


async def test_a_fault_or_an_update_comes_after_the_ticks_before_it() -> None:
    link, published = made()
    link._take(tick(1), 0, 0)
    link._take(tick(2, fault="broken off"), 0, 0)
    link._take(tick(3), 0, 0)
    link._take(Heard(np.empty(0, ROW), orders=({"event": "order"},)), 0, 0)
    assert [heard.ticks["token"].tolist() for heard in published] == [[1], [2], [3], []]
    await asyncio.sleep(0)
    assert len(published) == 4


async def test_a_flood_is_published_before_it_ends() -> None:
    link, published = made()
    for token in range(1, feed_link._GATHERED + 2):
        link._take(tick(token), 0, 0)
    assert [len(heard.ticks) for heard in published] == [feed_link._GATHERED]
    await asyncio.sleep(0)
    assert [len(heard.ticks) for heard in published] == [feed_link._GATHERED, 1]


async def test_a_wire_of_large_frames_publishes_each() -> None:
    link, published = made(gathers=False)
    link._take(tick(1), 0, 0)
    link._take(tick(2), 0, 0)
    assert len(published) == 2
