"""R04 on the wire: each order update comes twice and in another order, answers come late, fills race cancels."""

from __future__ import annotations

import random
from collections import Counter

import pytest

TAKEN = "NIFTY 14JUL2026 25550 CE"
CALL = {"kite": ("POST /orders", "DELETE /orders"), "xts": ("POST /interactive/orders", "DELETE /interactive/orders")}


def messy(floor, seed: int, count: int, prefix: str) -> None:
    rng, rig, sim, desk = random.Random(seed), floor.rig, floor.sim, floor.desk
    ids = [f"{prefix}{number}" for number in range(count)]
    taking = round(desk.quotes(TAKEN)[TAKEN][0] * 1.2 * 20) / 20
    for fault in ("duplicate-updates", "shuffle-updates"):
        sim.fault(fault)
    for call in CALL[floor.dialect]:
        sim.fault(f"delay:0.3@{call}~0.3")  # the update overtakes the answer
    for number, cl_ord_id in enumerate(ids):
        crossing = number % 2 == 0
        symbol, price = (TAKEN, taking) if crossing else (rig.symbol, 75.0 + number % 100 * 0.05)
        status, answer = desk.place(cl_ord_id, symbol=symbol, price=price, lots=rng.randint(1, 6))
        assert status == 200, answer
        if number == 1 or rng.random() < 0.4:  # the second rests: one cancel at least is carried out
            desk.call("DELETE", f"/v1/orders/{cl_ord_id}")
        elif rng.random() < 0.3:
            desk.call("PATCH", f"/v1/orders/{cl_ord_id}", {"order_qty": rig.lot * rng.randint(1, 6)})
    sim.clear()
    rig.wait_until(lambda: any(desk.orders()[c]["cum_qty"] for c in ids), 30, "no order that crosses was filled")
    assert (verdict := rig.ready(desk, sim, 60)), verdict
    mine = [o for o in desk.orders().values() if o["cl_ord_id"] in set(ids)]
    assert sorted(o["tag"] for o in sim.orders().values() if o["tag"] in set(ids)) == sorted(ids)
    wrong = [
        e["payload"] for e in desk.events() if e["kind"] == "alarm" and e["payload"]["kind"] in ("overfill", "bust")
    ]
    assert not wrong, "a repeated update was taken for another execution"
    ends = Counter(o["ord_status"] for o in mine)
    assert any(o["cum_qty"] for o in mine), ends
    assert ends["canceled"] > 0, ends
    print(f"R04 {floor.dialect}: {count} orders with updates twice, shuffled and late: {dict(ends)}; 0 mismatched")


def test_updates_twice_shuffled_and_late_end_in_the_exchanges_own_figures(floor, seed):
    messy(floor, seed, 12, "QM")


@pytest.mark.soak
def test_r04_messy_updates(floor, seed, rounds):
    messy(floor, seed, rounds(1000), "M")
