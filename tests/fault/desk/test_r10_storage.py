"""R10: the disk refuses. Nothing leaves unwritten, cancels pass, and it clears without a restart."""

from __future__ import annotations

import resource

import pytest

PLACE = {"kite": "POST /orders", "xts": "POST /interactive/orders"}


def state_of(desk) -> str:
    return desk.get("/v1/limits")["trading"][0]["state"]


def full(floor, count: int, prefix: str) -> None:
    """The system refuses every further byte of the engine's files, as a full disk does, and then takes them again."""
    rig, sim, desk = floor.rig, floor.sim, floor.desk
    pid = desk.ready_line["pid"]
    for number in range(count):
        work, denied = f"{prefix}{number}W", f"{prefix}{number}D"
        told = desk.place(work, price=75.0 + number % 100 * 0.05)[1]
        assert told["ord_status"] in ("pending_new", "new"), told
        rig.wait_until(lambda c=work: desk.orders()[c]["ord_status"] == "new", 20, "an order is not working")
        tried = floor.nem.tried(PLACE[floor.dialect])
        free = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, free[1]))
        try:
            status, answer = desk.place(denied, price=85.0)
            assert (status, answer["ord_status"]) == (200, "denied"), answer
            assert floor.nem.tried(PLACE[floor.dialect]) == tried, "an order left without its record"
            assert state_of(desk) == "journal_failed"
            assert desk.orders()[work]["ord_status"] == "new", "reading goes on"
            assert desk.call("DELETE", f"/v1/orders/{work}")[0] == 200
            rig.wait_until(lambda c=work: _status(sim, c) == "canceled", 20, "a cancel did not pass")
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, free)
        rig.wait_until(lambda: state_of(desk) == "ready", 20, "it does not clear when the disk takes bytes again")
        rig.wait_until(lambda c=work: desk.orders()[c]["ord_status"] == "canceled", 20, "the cancel is not known")
    assert desk.runs, "it did not live through it"
    assert (verdict := rig.ready(desk, sim)), verdict
    tags = {o["tag"] for o in sim.orders().values()}
    assert not {f"{prefix}{n}D" for n in range(count)} & tags
    assert tags <= desk.journaled()
    print(
        f"R10 {floor.dialect}: {count} times full: 0 orders left unwritten, {count} cancels passed, cleared without a restart"
    )


def journal_of(desk):
    (path,) = desk.journals()
    return path


def wal_of(path):
    return path.with_name(path.name + "-wal")


FRAME, HEAD = 4096 + 24, 24  # a page in the write-ahead log is two writes: its header, then itself


def wal_end(wal) -> int:
    """Where the log goes on: its file is written over from the start once everything in it is in the journal."""
    data, at = wal.read_bytes(), 32
    while data[at + 8 : at + 16] == data[16:24] and at < len(data):
        at += FRAME
    return at


def fails_at(floor, number: int, prefix: str) -> list[str]:
    """The journal's ``number``-th write from now on fails, and each later one; gives the orders that were asked for."""
    rig, desk = floor.rig, floor.desk
    pid, wal = desk.ready_line["pid"], wal_of(journal_of(desk))
    whole, part = divmod(number - 1, 2)
    free, asked = resource.prlimit(pid, resource.RLIMIT_FSIZE), []
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (wal_end(wal) + whole * FRAME + part * HEAD, free[1]))
    try:
        while state_of(desk) == "ready":
            assert len(asked) < 3000, "no write fails"
            for _ in range(4):
                lots = 1 if len(asked) % 16 == 0 else 10**6  # the others fill the journal only: too large, denied
                asked.append(f"{prefix}{number}N{len(asked)}")
                status, answer = desk.place(asked[-1], price=75.0 + len(asked) % 100 * 0.05, lots=lots)
                assert status == 200, answer
        tried = floor.nem.tried(PLACE[floor.dialect])
        assert state_of(desk) == "journal_failed"
        asked.append(f"{prefix}{number}NX")
        assert desk.place(asked[-1], price=85.0)[1]["ord_status"] == "denied"
        assert floor.nem.tried(PLACE[floor.dialect]) == tried, "an order left without its record"
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, free)
    rig.wait_until(lambda: state_of(desk) == "ready", 20, "it does not clear when the disk takes bytes again")
    return asked


def nth_writes(floor, numbers: range, prefix: str) -> None:
    rig, sim, desk = floor.rig, floor.sim, floor.desk
    asked = [name for number in numbers for name in fails_at(floor, number, prefix)]
    assert desk.runs, "it did not live through it"
    assert (verdict := rig.ready(desk, sim)), verdict
    tags, journaled = {o["tag"] for o in sim.orders().values()}, desk.journaled()
    assert tags <= journaled
    assert not {name for name in asked if name.endswith("NX")} & tags
    ours = desk.orders()
    never = [name for name in asked if name in ours and ours[name]["ord_status"] == "denied" and name in tags]
    assert not never, "told as denied, and at the exchange"
    print(
        f"R10 {floor.dialect}: each of the writes {numbers[0]} to {numbers[-1]} failed once, {len(asked)} orders asked for, "
        f"{len(tags & set(asked))} at the exchange, all of them in the journal; cleared without a restart each time"
    )


def test_the_nth_write_that_fails_stops_new_orders_and_nothing_leaves_unwritten(floor):
    nth_writes(floor, range(4, 7), "QN")


@pytest.mark.soak
def test_r10_nth_write(floor, rounds):
    nth_writes(floor, range(1, rounds(500) + 1), "W")


def _status(sim, tag: str) -> str:
    return next(o["status"] for o in sim.orders().values() if o["tag"] == tag)


def test_a_full_disk_stops_new_orders_lets_cancels_pass_and_clears_by_itself(floor):
    full(floor, 1, "QF")


@pytest.mark.soak
def test_r10_full_disk(floor, rounds):
    full(floor, rounds(100), "F")
