"""R20: a client that sends as fast as it can. The exchange's own stamps show the limit kept; a person's cancel passes."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter

import pytest


def most_in_a_second(stamps: list[int]) -> int:
    stamps, first, most = sorted(stamps), 0, 0
    for last, stamp in enumerate(stamps):
        while stamp - stamps[first] >= 1_000_000_000:
            first += 1
        most = max(most, last - first + 1)
    return most


def runaway(rig, dialect: str, count: int) -> float:
    """Flood until ``count`` intents are answered and the cancel amid them is through; gives the cancel's seconds."""
    sim = rig.sim(dialect)
    legal = {f"TOOLKIT_{name}": value for name, value in (
        ("ENGINE__THROTTLE_PER_S", "8"), ("RISK__MAX_MESSAGES_PER_S", "8"), ("RISK__MAX_CANCELS_PER_S", "10"))}  # fmt: skip
    desk = rig.desk(sim, **legal)
    desk.start()
    assert desk.place("MINE", price=75.0)[0] == 200
    rig.wait_until(lambda: desk.orders()["MINE"]["ord_status"] == "new", 20, "the first order is not working")
    numbers, answers, lock, over = itertools.count(), Counter(), threading.Lock(), threading.Event()

    def flood() -> None:
        while not over.is_set() or answers.total() < count:
            with lock:
                number = next(numbers)
            side, price = ("BUY", 75.0 + number % 20 * 0.05) if number % 2 else ("SELL", 140.0 + number % 20 * 0.05)
            status, answer = desk.place(f"RUN{number}", side=side, price=price)
            with lock:
                answers[answer["ord_status"] if status == 200 else status] += 1

    began = time.monotonic()
    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        rig.wait_until(lambda: sum(answers.values()) > count // 3, 60, "nothing is answered")
        asked_ns = time.monotonic_ns()
        status, answer = desk.call("DELETE", "/v1/orders/MINE")
        rig.wait_until(lambda: desk.orders()["MINE"]["ord_status"] == "canceled", 20, "a person's cancel did not pass")
    finally:
        over.set()
        for thread in threads:
            thread.join(120)
    took = time.monotonic() - began
    assert status == 200, answer
    cancels = [r["real_ns"] for r in sim.rows() if r["kind"] == "call" and r["call"].startswith("DELETE")]
    waited = (min(stamp for stamp in cancels if stamp > asked_ns) - asked_ns) / 1e9
    assert answers["denied"] > answers.total() / 2, answers
    messages = sim.arrivals_ns()
    assert most_in_a_second(messages) <= 10
    news = [
        r["real_ns"]
        for r in sim.rows()
        if r["kind"] == "call" and r["call"].split()[0] == "POST" and "order" in r["call"]
    ]
    seconds = (max(news) - min(news)) / 1e9
    assert len(news) <= 8 * (seconds + 1), f"{len(news)} new orders in {seconds:.1f} s"
    before = len(messages)
    assert rig.ready(desk, sim)
    assert len(sim.arrivals_ns()) == before, "what was denied was kept for later"
    print(
        f"R20 {dialect}: {answers.total()} intents in {took:.1f} s: {dict(answers)}; at most {most_in_a_second(messages)} messages "
        f"in any second at the exchange; a cancel arrived after {waited * 1000:.0f} ms"
    )
    return waited


def test_a_runaway_is_denied_and_not_queued_and_a_cancel_passes(rig, dialect):
    runaway(rig, dialect, 150)


@pytest.mark.soak
def test_r20_runaway(rig, dialect, rounds):
    waited = runaway(rig, dialect, rounds(2400))
    assert waited <= 1.0, f"the cancel reached the exchange after {waited:.2f} s"
