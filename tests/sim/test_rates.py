"""Sliding windows of requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toolkit.sim.rates import Limit, RateBook

SECOND = 1_000_000_000


def test_the_window_slides():
    book = RateBook([Limit("orders", 2, SECOND)])
    assert book.take("orders", 0) is None
    assert book.take("orders", SECOND // 2) is None
    assert book.take("orders", SECOND - 1) == Limit("orders", 2, SECOND)
    assert book.take("orders", SECOND) is None


def test_each_limit_of_a_group_counts():
    minute = Limit("orders", 3, 60 * SECOND)
    book = RateBook([Limit("orders", 2, SECOND), minute])
    taken = [book.take("orders", i * SECOND) for i in range(4)]
    assert taken == [None, None, None, minute]


def test_groups_and_names_within_are_apart():
    book = RateBook([Limit("other", 1, SECOND)])
    assert book.take("other", 0, "a") is None
    assert book.take("other", 0, "b") is None
    assert book.take("quote", 0) is None
    assert book.take("other", 1, "a") is not None


def test_a_refused_request_does_not_lengthen_the_wait():
    book = RateBook([Limit("orders", 1, SECOND)])
    book.take("orders", 0)
    for i in range(10):
        assert book.take("orders", i * SECOND // 10 + 1) is not None
    assert book.take("orders", SECOND) is None


@given(st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=60))
def test_no_window_ever_passes_more_than_its_limit(times):
    book = RateBook([Limit("orders", 5, SECOND)])
    passed = [at for at in sorted(times) if book.take("orders", at) is None]
    assert all(sum(1 for other in passed if at - SECOND < other <= at) <= 5 for at in passed)
    assert passed[: min(5, len(times))] == sorted(times)[: min(5, len(passed))]
