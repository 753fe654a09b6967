"""The thread beside the loop: one line when it stands still, one when it goes on, nothing otherwise."""

from __future__ import annotations

import asyncio
import threading
import time

from toolkit.serve.pulse import Pulse

S = 10**9


class Time:
    """Monotonic time by hand."""

    def __init__(self):
        self.ns = S

    def __call__(self):
        return self.ns

    def run(self, seconds):
        self.ns += round(seconds * S)


def test_a_loop_that_stands_still_is_told_once_and_once_more_when_it_goes_on():
    now, told = Time(), []
    pulse = Pulse(2.0, now, told.append)
    for _ in range(4):
        now.run(0.5)
        pulse.look()
    assert told == []
    for _ in range(10):
        now.run(0.5)
        pulse.look()
    (line,) = told
    assert line.startswith("the engine has stood still for 3.0 s")
    assert "use the broker's own app" in line
    pulse.beat()
    pulse.look()
    assert told[1:] == ["the engine goes on after 7.0 s"]
    now.run(3)
    pulse.look()
    assert told[2].startswith("the engine has stood still for 3.0 s"), "it is told again the next time"


def test_a_loop_that_beats_is_left_alone():
    now, told = Time(), []
    pulse = Pulse(2.0, now, told.append)
    for _ in range(100):
        now.run(0.5)
        pulse.beat()
        now.run(1.9)
        pulse.look()
    assert told == []


async def test_a_blocked_loop_is_told_of_while_it_is_blocked():
    heard, before = threading.Event(), set(threading.enumerate())  # an engine of another test has its own
    pulse = Pulse(0.02, time.monotonic_ns, lambda line: heard.set())
    pulse.start()
    assert heard.wait(30), "the loop stands here, and the thread says so"
    await pulse.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "pulse" and thread not in before]
    assert asyncio.all_tasks() == {asyncio.current_task()}
