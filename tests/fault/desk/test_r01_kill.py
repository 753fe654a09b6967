"""R01: SIGKILL at random times in a stream of orders, modifications and cancels. Nothing lost, nothing twice."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest

BUYS = ("NIFTY 14JUL2026 25450 CE", "NIFTY 14JUL2026 25400 PE")
SELLS = ("NIFTY 14JUL2026 25500 CE", "NIFTY 14JUL2026 25450 PE")


class Stream(threading.Thread):
    """Places, modifies and cancels until told to stop; what the engine answers is not looked at."""

    def __init__(self, floor, market, rng: random.Random, prefix: str) -> None:
        super().__init__(daemon=True)
        self.floor, self.market, self.rng, self.prefix = floor, market, rng, prefix
        self.sent: list[str] = []
        self.answers: Counter[str] = Counter()
        self.over = threading.Event()

    def run(self) -> None:
        rng, desk = self.rng, self.floor.desk
        while not self.over.is_set():
            cl_ord_id = f"{self.prefix}{len(self.sent)}"
            self.sent.append(cl_ord_id)
            buy = rng.random() < 0.5
            symbol = rng.choice(BUYS if buy else SELLS)
            bid, ask = self.market[symbol]
            deep = rng.choice((0.75, 1.0, 1.2) if buy else (1.3, 1.0, 0.85))  # rests, joins, takes what there is
            price = round((ask if deep == 1.0 else bid) * deep * 20) / 20
            side, lots = "BUY" if buy else "SELL", rng.randint(1, 5)
            status, told = desk.place(cl_ord_id, side=side, lots=lots, price=price, symbol=symbol)
            self.answers[told.get("ord_status", str(told)) if status else "no answer"] += 1
            if status == 0:
                return  # it was killed
            roll, old = rng.random(), f"/v1/orders/{rng.choice(self.sent)}"
            if roll < 0.3:
                desk.call("DELETE", old, timeout=5)
            elif roll < 0.6:
                desk.call("PATCH", old, {"order_qty": self.floor.rig.lot * rng.randint(1, 5)}, timeout=5)


def kills(floor, seed: int, count: int, most_s: float) -> None:
    rng, rig, sim, desk = random.Random(seed), floor.rig, floor.sim, floor.desk
    before = {o["tag"] for o in sim.orders().values()}
    starts, recoveries, answers = [], [], Counter()
    for number in range(count):
        quotes = desk.quotes(*BUYS, *SELLS)  # after a kill too: what a feed tells only when it moves is asked for
        streams = [Stream(floor, quotes, random.Random(rng.random()), f"K{number}{name}") for name in "ABC"]
        for stream in streams:
            stream.start()
        time.sleep(rng.uniform(0.05, most_s))
        desk.kill()
        for stream in streams:
            stream.over.set()
        for stream in streams:
            stream.join(30)
            answers += stream.answers
        known, began = len(sim.rows()), time.monotonic()
        desk.start()
        starts.append(time.monotonic() - began)
        recoveries.append(desk.recovery_s(known))
    verdict = rig.ready(desk, sim, 60)
    assert verdict, verdict
    orders = [o for o in sim.orders().values() if o["tag"] not in before]
    tags = {o["tag"] for o in orders}
    assert len(tags) >= 3 * count, "the kills struck a stream of orders"
    assert tags <= desk.journaled(), "an order left that the journal lacks"
    words = Counter(row["call"].split()[0] for row in sim.rows() if row["kind"] == "call" and "order" in row["call"])
    partly = sum(0 < o["cum_qty"] < o["qty"] for o in orders)
    starts.sort()
    recoveries.sort()
    print(
        f"R01 {floor.dialect}: {count} kills, {sum(answers.values())} orders asked for {dict(answers)}, {len(tags)} at the exchange ({partly} partly filled), "
        f"{words['PUT']} modifications, {words['DELETE']} cancels; 0 lost, 0 twice, 0 mismatched; "
        f"recovery p50 {recoveries[len(recoveries) // 2]:.2f} s, p99 {recoveries[len(recoveries) * 99 // 100]:.2f} s, most {recoveries[-1]:.2f} s, "
        f"whole start p50 {starts[len(starts) // 2]:.1f} s"
    )


def test_kills_in_a_stream_of_orders_lose_and_double_nothing(floor, seed):
    kills(floor, seed, count=3, most_s=2.5)


@pytest.mark.soak
def test_r01_kills(floor, seed, rounds):
    kills(floor, seed, count=rounds(1000), most_s=2.5)
