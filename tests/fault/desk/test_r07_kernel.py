"""R07: a kernel interrupted inside ``place`` and run again is the same order; two tabs pressing together are one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time

import pytest

KERNEL = """
import signal, sys
import toolkit as tk

asking = False

def stop(number, frame):  # as a kernel does: an interrupt reaches a cell, and only while it runs
    global asking
    if asking:
        asking = False
        raise KeyboardInterrupt

desk = tk.attach(sys.argv[1], open(sys.argv[2]).read().strip())
count, prefix = int(sys.argv[3]), sys.argv[4]
signal.signal(signal.SIGINT, stop)
broken, number = 0, 0
print("go", flush=True)
while number < count:
    cl_ord_id = f"{prefix}{number}"
    try:
        asking = True
        desk.place({"cl_ord_id": cl_ord_id, "symbol": "NIFTY 14JUL2026 25450 CE", "side": "BUY", "lots": 1,
                    "price": f"{75 + number % 100 * 0.05:.2f}"})
        asking = False
    except KeyboardInterrupt:
        broken += 1  # the person runs the same cell again
        continue
    except tk.errors.Unknown:
        continue
    number += 1
print(broken, flush=True)
"""


def interrupted(floor, seed: int, count: int, prefix: str) -> None:
    rng, rig, sim, desk = random.Random(seed), floor.rig, floor.sim, floor.desk
    words = [sys.executable, "-c", KERNEL, desk.url, desk.ready_line["token_file"], str(count), prefix]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=desk.env)
    try:
        assert process.stdout.readline() == "go\n", process.stderr.read()
        sent, end = 0, time.monotonic() + 30 + count
        while process.poll() is None and time.monotonic() < end:
            time.sleep(rng.uniform(0.005, 0.12))
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                sent += 1
        assert process.poll() is not None, "the kernel does not come to its end"
    finally:
        process.kill()
        told, errors = process.communicate()
    ids = [f"{prefix}{number}" for number in range(count)]
    assert (verdict := rig.ready(desk, sim)), verdict
    assert sorted(o["tag"] for o in sim.orders().values() if o["tag"] in set(ids)) == sorted(ids), errors[-500:]
    print(
        f"R07 {floor.dialect}: {count} orders, {sent} interrupts, {told.strip()} of them inside place; each placed once"
    )


def pressed(floor, count: int, prefix: str) -> None:
    rig, sim, desk = floor.rig, floor.sim, floor.desk
    answers: dict[str, list] = {f"{prefix}{number}": [] for number in range(count)}
    both = threading.Barrier(2)

    def tab() -> None:
        for number, cl_ord_id in enumerate(answers):
            both.wait(30)
            answers[cl_ord_id].append(desk.place(cl_ord_id, price=75.0 + number % 100 * 0.05))

    tabs = [threading.Thread(target=tab) for _ in range(2)]
    for thread in tabs:
        thread.start()
    for thread in tabs:
        thread.join(30 + count)
    for pair in answers.values():
        assert [status for status, _ in pair] == [200, 200], pair
        assert pair[0][1]["order_id"] == pair[1][1]["order_id"]
    assert (verdict := rig.ready(desk, sim)), verdict
    assert sorted(o["tag"] for o in sim.orders().values() if o["tag"] in answers) == sorted(answers)
    print(f"R07 {floor.dialect}: {count} presses in two tabs together, {count} orders")


def test_an_interrupted_cell_run_again_is_the_same_order(floor, seed):
    interrupted(floor, seed, 10, "QK")


def test_two_tabs_that_press_together_place_one_order(floor):
    pressed(floor, 8, "QT")


@pytest.mark.soak
def test_r07_interrupts(floor, seed, rounds):
    interrupted(floor, seed, rounds(300), "N")


@pytest.mark.soak
def test_r07_two_tabs(floor, rounds):
    pressed(floor, rounds(200), "T")
