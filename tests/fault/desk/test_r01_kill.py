"""R01: SIGKILL at random times in a stream of orders, modifications and cancels. Nothing lost, nothing twice."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

BUYS = ("NIFTY 14JUL2026 25450 CE", "NIFTY 14JUL2026 25400 PE")
DAY = 100
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


@dataclass
class Tally:
    """What was seen over all days."""

    kills: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    partly: int = 0
    records: int = 0
    starts: list[float] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        starts, recoveries = sorted(self.starts), sorted(self.recoveries)
        return (
            f"{self.kills} kills, {sum(self.answers.values())} orders asked for {dict(self.answers)}, {self.orders} at the "
            f"exchange ({self.partly} partly filled), {self.calls['PUT']} modifications, {self.calls['DELETE']} cancels; "
            f"0 lost, 0 twice, 0 mismatched; recovery p50 {recoveries[len(recoveries) // 2]:.2f} s, "
            f"p99 {recoveries[len(recoveries) * 99 // 100]:.2f} s, most {recoveries[-1]:.2f} s, whole start "
            f"p50 {starts[len(starts) // 2]:.1f} s, up to {self.records} records in the journal"
        )


def kills(floor, rng: random.Random, count: int, tally: Tally, most_s: float = 1.5) -> None:
    """Kill an engine again and again while three clients order, and compare with the exchange's record."""
    rig, sim, desk = floor.rig, floor.sim, floor.desk
    before, calls = {o["tag"] for o in sim.orders().values()}, len(sim.rows())
    for number in range(tally.kills, tally.kills + count):
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
            tally.answers += stream.answers
        known, began = len(sim.rows()), time.monotonic()
        desk.start()
        tally.starts.append(time.monotonic() - began)
        tally.recoveries.append(desk.recovery_s(known))
    tally.kills += count
    verdict = rig.ready(desk, sim, 60)
    assert verdict, verdict
    orders = [o for o in sim.orders().values() if o["tag"] not in before]
    tags = {o["tag"] for o in orders}
    events = desk.events()
    assert tags <= {event["cl_ord_id"] for event in events}, "an order left that the journal lacks"
    rows = (row["call"] for row in sim.rows()[calls:] if row["kind"] == "call")
    tally.calls += Counter(call.split()[0] for call in rows if "order" in call)
    tally.orders += len(tags)
    tally.partly += sum(0 < o["cum_qty"] < o["qty"] for o in orders)
    tally.records = max(tally.records, len(events))


def test_kills_in_a_stream_of_orders_lose_and_double_nothing(floor, seed):
    tally = Tally()
    kills(floor, random.Random(seed), 3, tally)
    assert tally.orders >= 3, "the kills struck a stream of orders"


@pytest.mark.soak
def test_r01_kills(rig, dialect, seed, rounds):
    """A new day every hundred kills: a journal then holds some five thousand records."""
    rng, tally, count = random.Random(seed), Tally(), rounds(1000)
    while tally.kills < count:
        floor = rig.floor(dialect)
        floor.desk.start()
        kills(floor, rng, min(DAY, count - tally.kills), tally)
        rig.close()
    assert tally.orders >= 3 * count, f"the kills struck a stream of orders: {tally}"
    print(f"R01 {dialect}: {tally}")
