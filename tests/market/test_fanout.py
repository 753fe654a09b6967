"""Readers at their own pace: every batch, then the newest of each, then out; and no order update lost."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolkit.market.fanout import Outbox, UpdateLog
from toolkit.market.kite_wire import TICK

S = 1_000_000_000


def batch(*pairs: tuple[int, int]) -> np.ndarray:
    out = np.zeros(len(pairs), TICK)
    out["token"], out["ltp"] = [t for t, _ in pairs], [p for _, p in pairs]
    return out


def box(**options) -> Outbox:
    return Outbox("dashboard", TICK, **{"capacity": 4, "stall_s": 30.0, **options})


def values(ticks) -> list[tuple[int, int]]:
    return list(zip(ticks["token"].tolist(), ticks["ltp"].tolist(), strict=True))


def test_a_reader_that_keeps_up_gets_every_batch_in_order() -> None:
    made = box()
    first, second = batch((1, 1)), batch((1, 2), (2, 2))
    made.put(first, 0)
    made.put(second, 0)
    assert made.waiting == 3
    assert made.take(1) is first
    assert made.take(1) is second
    assert made.take(1) is None
    assert (made.conflated, made.reason) == (0, "")


def test_beyond_its_bound_only_the_newest_of_each_waits() -> None:
    made = box()
    for i in range(1, 9):
        made.put(batch((1, i), (2, 10 * i)), 0)
    assert made.waiting == 0
    assert values(made.take(1)) == [(1, 8), (2, 80)]
    assert made.take(1) is None
    assert made.conflated == 16
    made.put(batch((1, 9)), 2)
    assert values(made.take(2)) == [(1, 9)], "and then one by one again"


def test_a_reader_that_takes_nothing_is_dropped_with_a_reason_and_holds_nothing() -> None:
    made = box()
    made.put(batch((1, 1)), 10 * S)
    made.put(batch((1, 2)), 39 * S)
    assert made.reason == ""
    made.put(batch((1, 3)), 40 * S)
    assert made.reason == "reader 'dashboard' took nothing for 30 s and was dropped; call ticks() again"
    assert made.take(41 * S) is None
    made.put(batch((1, 4)), 50 * S)
    assert made.waiting == 0


def test_a_quiet_feed_is_no_stall() -> None:
    made = box()
    made.put(batch((1, 1)), 0)
    made.take(1)
    made.put(batch((1, 2)), 1000 * S)
    made.put(batch((1, 3)), 1001 * S)
    assert made.reason == ""
    made.take(1002 * S)
    made.put(batch((1, 4)), 1031 * S)
    assert made.reason == "", "a take of one batch shows that the reader is there"


def test_an_empty_batch_is_nothing() -> None:
    made = box()
    made.put(batch(), 0)
    assert made.take(0) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5), st.integers(1, 1000)), max_size=80), st.integers(1, 6))
def test_the_last_value_always_arrives(steps, capacity) -> None:
    made, seen, newest = box(capacity=capacity), {}, {}
    for take, token, price in steps:
        if take:
            got = made.take(0)
            seen |= {} if got is None else dict(values(got))
        else:
            made.put(batch((token, price)), 0)
            newest[token] = price
        assert made.waiting <= capacity
    while (got := made.take(0)) is not None:
        seen |= dict(values(got))
    assert seen == newest


def test_order_updates_are_numbered_and_spilled_and_read_back_exactly() -> None:
    files = []

    def spill():
        files.append(io.BytesIO())
        return files[-1]

    log = UpdateLog(spill, keep=3)
    for i in range(1, 11):
        assert log.add({"order_id": f"{i}", "price": i / 4, "tags": ["a"], "none": None}, i * S).seq == i
    assert log.spilled == 7
    assert len(files) == 1
    for after in range(11):
        got = log.after(after)
        assert [u.seq for u in got] == list(range(after + 1, 11))
        assert [u.body["order_id"] for u in got] == [str(n) for n in range(after + 1, 11)]
        assert all(u.body["none"] is None and u.body["tags"] == ["a"] and u.recv_ns == u.seq * S for u in got)
    assert [u.seq for u in log.after(2, most=4)] == [3, 4, 5, 6]
    assert log.after(99) == []
    assert [u.seq for u in log.after(-5, most=1)] == [1]
    log.close()
    assert files[0].closed


def test_no_file_is_made_while_memory_holds_all() -> None:
    def spill():
        raise AssertionError("not needed")

    log = UpdateLog(spill, keep=5)
    for i in range(5):
        log.add({"i": i}, 0)
    assert [u.body["i"] for u in log.after(0)] == [0, 1, 2, 3, 4]
    log.close()
