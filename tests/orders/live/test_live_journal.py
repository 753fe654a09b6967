"""The pen: one flush for many, nothing told before it is durable, a disk that refuses and comes back."""

from __future__ import annotations

import asyncio

import pytest

from toolkit.errors import BadData
from toolkit.orders.effects import Record
from toolkit.orders.live_journal import Pen
from toolkit.store.journal import Journal

S = 10**9


def record(n):
    return Record(n, "act", f"A{n}", b'{"n":%d}' % n)


@pytest.fixture
def pen(tmp_path):
    made = Pen(Journal(tmp_path / "j.db", account="A", day="2026-07-13"))
    yield made
    made.close()


async def test_acts_that_wait_together_share_a_flush(pen):
    async def act(n):
        pen.add([record(n)])
        return await pen.durable()

    assert await asyncio.gather(*[act(n) for n in range(100)]) == [True] * 100
    assert pen.commits == 1
    assert [e.cl_ord_id for e in pen.events()] == [f"A{n}" for n in range(100)]
    assert await pen.durable()
    assert pen.commits == 1


async def test_events_are_paged_without_a_gap(pen):
    pen.add([record(n) for n in range(600)])
    await pen.durable()
    seen, at = [], 0
    while page := pen.events(at, 256):
        seen += [e.seq for e in page]
        at = page[-1].seq
    assert seen == list(range(1, 601))
    assert pen.events(600) == []


async def test_a_slow_listener_misses_nothing_and_costs_nothing(pen):
    heard = []

    async def listen():
        async for event in pen.listen():
            heard.append(event.seq)
            if len(heard) == 3000:
                return

    task = asyncio.ensure_future(listen())
    await asyncio.sleep(0)
    for n in range(30):
        pen.add([record(n)] * 100)
        await pen.durable()
    await asyncio.wait_for(task, 20)
    assert heard == list(range(1, 3001))


async def test_a_disk_that_refuses_keeps_what_was_added_and_takes_it_later_in_order(pen):
    write = pen.journal.append
    pen.journal.append = refuse
    pen.add([record(1)])
    assert not await pen.durable()
    assert "disk is full" in pen.failed
    pen.add([record(2)])
    assert not await pen.durable()
    assert not pen.retry()
    assert pen.events() == []
    pen.journal.append = write
    assert pen.retry()
    assert pen.failed == ""
    assert [e.cl_ord_id for e in pen.events()] == ["A1", "A2"]


def refuse(records):
    raise BadData("journal j.db could not be written: database or disk is full; no order leaves, free the disk")


def test_the_slowest_write_of_the_last_minute_is_known(tmp_path):
    now = [0]

    def mono():
        now[0] += 5_000_000
        return now[0]

    pen = Pen(Journal(tmp_path / "j.db", account="A", day="2026-07-13"), mono)
    assert pen.slowest_ms is None
    pen.add([record(1)])
    pen.flush()
    assert pen.slowest_ms == 5.0
    now[0] += 61 * S
    pen.add([record(2)])
    pen.flush()
    assert len(pen._took) == 1
    pen.close()


async def test_what_nothing_waits_for_rides_with_the_next_commit(pen):
    pen.ride([record(1)], lambda: None)
    pen.add([record(2)])
    assert await pen.durable()
    assert pen.commits == 1
    assert [e.cl_ord_id for e in pen.events()] == ["A1", "A2"]
    assert pen.commits == 1


async def test_what_nothing_waits_for_is_written_by_itself_soon_after(pen):
    listening = aiter(pen.listen())
    pen.ride([record(1)], lambda: None)
    pen.ride([record(2)], lambda: None)
    heard = [(await asyncio.wait_for(anext(listening), 5)).cl_ord_id for _ in range(2)]
    assert heard == ["A1", "A2"]
    assert pen.commits == 1


async def test_a_reader_sees_what_rides(pen):
    pen.ride([record(1)], lambda: None)
    assert [e.cl_ord_id for e in pen.events()] == ["A1"]


async def test_a_disk_that_refuses_what_rides_is_told(pen):
    told = asyncio.Event()
    pen.journal.append = refuse
    pen.ride([record(1)], told.set)
    await asyncio.wait_for(told.wait(), 5)
    assert "disk is full" in pen.failed
    assert not await pen.durable()


async def test_a_waiter_that_ends_does_not_end_the_commit_of_the_others(pen):
    pen.add([record(1)])
    gone = asyncio.ensure_future(pen.durable())
    stays = asyncio.ensure_future(pen.durable())
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays
    assert [e.cl_ord_id for e in pen.events()] == ["A1"]


async def test_what_waits_is_called_in_order_and_one_that_fails_keeps_none_of_the_others(pen):
    called, faults = [], []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(str(context["exception"])))

    def fail(written):
        raise ValueError("this act fails")

    pen.write([record(1)], lambda written: called.append(("first", written, pen.journal.last_seq)))
    pen.write([record(2)], fail)
    pen.write([record(3)], lambda written: called.append(("third", written, pen.journal.last_seq)))
    assert called == []
    await asyncio.sleep(0)
    assert called == [("first", True, 3), ("third", True, 3)]
    assert faults == ["this act fails"]


async def test_a_press_commits_what_is_waited_for_at_once_and_nothing_else(pen):
    called = []
    pen.add([record(1)])
    pen.press()
    assert pen.commits == 0
    pen.write([record(2)], called.append)
    pen.press()
    assert (called, pen.commits) == ([True], 1)
    pen.press()
    await asyncio.sleep(0)
    assert pen.commits == 1


async def test_what_is_queued_while_others_are_called_has_a_commit_of_its_own(pen):
    seen = []

    def first(written):
        pen.write([record(2)], lambda again: seen.append((again, pen.commits)))
        seen.append((written, pen.commits))

    pen.write([record(1)], first)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen == [(True, 1), (True, 2)]
