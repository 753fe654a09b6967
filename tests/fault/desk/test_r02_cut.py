"""R02 and R03: the link is cut around the answer, or the order becomes visible late. Unknown, never sent again."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace

import pytest

PLACE = {"kite": "POST /orders", "xts": "POST /interactive/orders"}
CUTS = {
    "cut-before": "before any byte was read",
    "mid-request": "in the middle of the request",
    "short": "in the middle of the answer",
    "cut-after": "after it was recorded",
}
PRESENT = {"new", "partially_filled", "filled"}


def cut(floor, seed: int, fault: str, count: int, prefix: str) -> None:
    rng, rig, sim, desk = random.Random(seed), floor.rig, floor.sim, floor.desk
    tried, present = floor.nem.tried(PLACE[floor.dialect]), fault in ("short", "cut-after")
    ids = [f"{prefix}{number}" for number in range(count)]
    waits, unknown = [], 0
    for number, cl_ord_id in enumerate(ids):
        if fault == "mid-request":
            floor.nem.cut(PLACE[floor.dialect], after=rng.randint(1, 400))
        else:
            sim.fault(f"{fault}@{PLACE[floor.dialect]}#1")
        status, answer = desk.place(cl_ord_id, price=75.0 + number % 100 * 0.05)
        assert status == 200, answer
        assert answer["ord_status"] in ({"unknown", *PRESENT} if present else {"unknown"}), f"{number + 1}: {answer!s}"
        unknown += answer["ord_status"] == "unknown"  # else the order socket told before the cut was felt
    began = time.monotonic()
    wanted = PRESENT if present else {"rejected"}
    left = set(ids)
    while left:
        settled = {c for c, o in desk.orders().items() if c in left and o["ord_status"] in wanted}
        waits += [time.monotonic() - began] * len(settled)
        left -= settled
        assert time.monotonic() - began < 60 + 4 * count, f"{sorted(left)[:5]} stay unknown"
    assert (verdict := rig.ready(desk, sim)), verdict
    placed = [o["tag"] for o in sim.orders().values() if o["tag"] in set(ids)]
    assert sorted(placed) == (sorted(ids) if present else []), "one order at the exchange for each that reached it"
    assert floor.nem.tried(PLACE[floor.dialect]) - tried == count, "the machine sent an order again"
    print(
        f"R02 {floor.dialect}: {count} cuts {CUTS[fault]}, {unknown} unknown (the socket told of the others); 0 sent again, 0 lost, 0 twice; "
        f"the last settled {max(waits):.1f} s after the last cut"
    )


@pytest.mark.parametrize("fault", CUTS)
def test_a_cut_around_the_answer_is_unknown_and_settled_by_the_book(floor, seed, fault):
    cut(floor, seed, fault, 3, f"Q{fault[-3:]}".replace("-", ""))


@pytest.mark.soak
@pytest.mark.parametrize("fault", CUTS)
def test_r02_cuts(floor, seed, fault, rounds):
    cut(floor, seed, fault, rounds(300), f"C{fault[-3:]}".replace("-", ""))


def test_the_standard_rules_take_no_new_order_while_the_fate_of_four_is_unknown(rig, dialect):
    sim = rig.sim(dialect)
    desk = rig.desk(sim, TOOLKIT_ENGINE__SETTLE_S="60")
    desk.start()
    for number in range(4):
        sim.fault(f"cut-before@{PLACE[dialect]}#1")
        assert desk.place(f"DARK{number}", price=75.0 + number)[1]["ord_status"] == "unknown"
    rig.wait_until(
        lambda: desk.get("/v1/limits")["trading"][0]["trading"] == "reducing", 20, "trading goes on in the dark"
    )
    answer = desk.place("FIFTH", price=80.0)[1]
    assert answer["ord_status"] == "denied"
    assert "locked by unknown_orders: the fate of 4 orders is unknown, at most 3" in answer["text"]


def test_an_unknown_order_counts_at_its_worst_is_told_and_counts_no_more_once_it_is_not_found(floor):
    rig, sim, desk = floor.rig, floor.sim, floor.desk

    def open_value() -> int:
        return next(row["used"] for row in desk.get("/v1/limits")["limits"] if row["limit"] == "max_open_value_p")

    # Orders that other tests left working would be filled or not while this one looks.
    assert desk.call("POST", "/v1/halt", {"reason": "clear the floor", "cancel_all": True}, timeout=60)[0] == 200
    assert desk.call("POST", "/v1/resume", {"reason": "it is clear"})[0] == 200
    assert rig.ready(desk, sim)
    before = open_value()
    sim.fault(f"cut-before@{PLACE[floor.dialect]}#1")
    assert desk.place("WORST1", price=76.0, lots=2)[1]["ord_status"] == "unknown"
    assert open_value() - before == 2 * rig.lot * 76_00
    rig.wait_until(
        lambda: ("alarm", "WORST1") in {(e["kind"], e["cl_ord_id"]) for e in desk.events()}, 20, "nobody is told of it"
    )
    rig.wait_until(lambda: desk.orders()["WORST1"]["ord_status"] == "rejected", 20, "it stays unknown")
    assert open_value() == before
    assert rig.ready(desk, sim)


def late(floor, seed: int, count: int, most_s: float, prefix: str) -> None:
    rng, rig, sim, desk = random.Random(seed), floor.rig, floor.sim, floor.desk
    tried = floor.nem.tried(PLACE[floor.dialect])
    ids = [f"{prefix}{number}" for number in range(count)]
    silent = 0
    for number, cl_ord_id in enumerate(ids):
        sim.clear()
        sim.fault(f"late:{rng.uniform(0, most_s):.2f}")
        if rng.random() < 0.7:
            sim.fault(f"cut-after@{PLACE[floor.dialect]}#1")
            silent += 1
        status, answer = desk.place(cl_ord_id, price=75.0 + number % 100 * 0.05)
        assert status == 200, answer
        assert answer["ord_status"] in {"unknown", "pending_new", *PRESENT}, f"{number + 1}: {answer!s}"
    sim.clear()
    rig.wait_until(
        lambda: all(desk.orders()[c]["ord_status"] in PRESENT for c in ids), most_s + 30, "a late order stays unknown"
    )
    given_up = [e for e in desk.events() if e["kind"] == "lost" and e["cl_ord_id"] in set(ids)]
    assert not given_up, "an order was declared not found early"
    assert (verdict := rig.ready(desk, sim)), verdict
    placed = sorted(o["tag"] for o in sim.orders().values() if o["tag"] in set(ids))
    assert placed == sorted(ids)
    assert floor.nem.tried(PLACE[floor.dialect]) - tried == count, "the machine sent an order again"
    print(
        f"R03 {floor.dialect}: {count} orders shown 0 to {most_s:g} s late, {silent} of them without an answer; "
        "0 sent again, 0 given up early, 0 lost, 0 twice"
    )


def test_an_order_that_shows_late_is_never_given_up_or_doubled(floor, seed):
    late(floor, seed, 3, most_s=1.5, prefix="QL")


@pytest.mark.soak
def test_r03_late_orders(rig, dialect, seed, rounds):
    sim = rig.sim(dialect)
    nem = rig.nem(sim)
    desk = rig.desk(sim, nem=nem, rules=rig.wide, TOOLKIT_ENGINE__SETTLE_S="60")
    desk.start()
    late(
        SimpleNamespace(rig=rig, sim=sim, nem=nem, desk=desk, dialect=dialect), seed, rounds(300), most_s=30, prefix="L"
    )
