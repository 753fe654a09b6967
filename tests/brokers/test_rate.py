from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.brokers.rate import GUARD_NS, SECOND_NS, Quota, RateLimiter, Throttle, shared_throttle
from toolkit.errors import Refused, Retryable

FOREVER = 10**18
TEN = (Quota("orders", 10, SECOND_NS),)


def starts(limiter, asks, bucket="orders"):
    return [limiter.reserve(bucket, at, FOREVER) for at in asks]


@given(st.lists(st.integers(0, 3 * SECOND_NS), min_size=1, max_size=80), st.integers(1, 10))
def test_no_sliding_second_and_no_calendar_second_holds_more(gaps, most):
    limiter = RateLimiter((Quota("orders", most, SECOND_NS),))
    asks = sorted(gaps)
    found = starts(limiter, asks)
    assert found == sorted(found)
    assert all(start >= at for start, at in zip(found, asks, strict=True))
    for start in found:
        assert sum(start - SECOND_NS < other <= start for other in found) <= most
        assert sum(other // SECOND_NS == start // SECOND_NS for other in found) <= most


def test_a_burst_is_let_through_up_to_the_limit_then_waits_a_guarded_second():
    limiter = RateLimiter(TEN)
    assert starts(limiter, [5] * 11) == [5] * 10 + [5 + SECOND_NS + GUARD_NS]


def test_the_longest_window_decides():
    limiter = RateLimiter((*TEN, Quota("orders", 12, 60 * SECOND_NS)))
    found = starts(limiter, [0] * 13)
    assert found[12] == 60 * SECOND_NS


def test_buckets_do_not_touch_each_other():
    limiter = RateLimiter((*TEN, Quota("quotes", 1, SECOND_NS)))
    starts(limiter, [0] * 10)
    assert limiter.reserve("quotes", 0, FOREVER) == 0
    assert limiter.reserve("nothing", 0, FOREVER) == 0


def test_what_would_come_too_late_books_nothing():
    limiter = RateLimiter((Quota("quotes", 1, SECOND_NS),))
    assert limiter.reserve("quotes", 0, FOREVER) == 0
    assert limiter.reserve("quotes", 0, 10) is None
    assert limiter.reserve("quotes", 0, FOREVER) == SECOND_NS + GUARD_NS


def test_a_pause_holds_and_is_not_shortened():
    limiter = RateLimiter(TEN)
    limiter.pause("orders", 500)
    limiter.pause("orders", 100)
    assert limiter.reserve("orders", 0, FOREVER) == 500
    assert limiter.reserve("orders", 1000, FOREVER) == 1000


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0
        self.slept = []

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += round(seconds * SECOND_NS)


async def test_the_throttle_waits_its_turn():
    time = Time()
    throttle = Throttle(RateLimiter((Quota("quotes", 1, SECOND_NS),)), lambda: time.now, time.sleep)
    await throttle.enter("quotes", 5)
    await throttle.enter("quotes", 5)
    assert time.slept == [1.06]


async def test_the_throttle_refuses_what_would_wait_too_long_and_sends_nothing():
    time = Time()
    throttle = Throttle(RateLimiter(TEN), lambda: time.now, time.sleep)
    throttle.pause("orders", 30)
    with pytest.raises(Refused, match=r"used up for 30\.0 s; nothing was sent"):
        await throttle.enter("orders", 5, order=True)
    with pytest.raises(Retryable, match="ask again"):
        await throttle.enter("orders", 5)
    assert time.slept == []


async def test_many_tasks_share_one_account():
    time = Time()
    throttle = Throttle(RateLimiter(TEN), lambda: time.now, lambda s: asyncio.sleep(0))
    entered = [throttle.enter("orders", 10) for _ in range(25)]
    await asyncio.gather(*entered)
    with pytest.raises(Retryable):
        await throttle.enter("orders", 1.5)


def test_one_throttle_an_account_in_the_process():
    one = shared_throttle(("kite", "here", "a"), TEN)
    assert shared_throttle(("kite", "here", "a"), ()) is one
    assert shared_throttle(("kite", "here", "b"), TEN) is not one
