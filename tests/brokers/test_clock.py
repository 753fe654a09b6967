from __future__ import annotations

import datetime as dt
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from toolkit.brokers.clock import VenueClock, date_ns, session_open, until_next_second
from toolkit.calendar import ist_ns

S = 10**9
START = 1_783_918_800


def stamp(seconds):
    return format_datetime(dt.datetime.fromtimestamp(START + seconds, dt.UTC), usegmt=True)


class Hand:
    def __init__(self, speed=1.0):
        self.mono = 0
        self.clock = VenueClock(speed, lambda: self.mono, lambda: 7)


def test_dates():
    assert date_ns(stamp(0)) == START * S
    for text in (None, "", "soon", "Fri, 99 Foo 2025", "1"):
        assert date_ns(text) is None


def test_before_the_first_stamp_it_is_the_walls_time():
    hand = Hand()
    assert (hand.clock.now_ns(), hand.clock.seen) == (7, False)
    hand.clock.observe("rubbish")
    assert hand.clock.now_ns() == 7
    hand.clock.observe(stamp(0))
    assert (hand.clock.now_ns(), hand.clock.seen) == (START * S, True)


def test_it_runs_with_the_machine_times_speed():
    hand = Hand(speed=10.0)
    hand.clock.observe(stamp(0))
    hand.mono = 3 * S
    assert hand.clock.now_ns() == (START + 30) * S


def test_a_later_stamp_moves_it_forward_and_an_earlier_one_never_back():
    hand = Hand()
    hand.clock.observe(stamp(100))
    hand.clock.observe(stamp(0))
    assert hand.clock.now_ns() == (START + 100) * S
    hand.mono = 5 * S
    assert hand.clock.now_ns() <= (START + 101) * S
    hand.clock.observe(stamp(500))
    assert hand.clock.now_ns() == (START + 500) * S


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.integers(0, 2000)), min_size=1, max_size=30), st.floats(0, 50))
def test_it_is_monotonic_whatever_the_stamps(steps, speed):
    hand = Hand(speed)
    before = 0
    for wait, second in steps:
        hand.mono += wait
        hand.clock.observe(stamp(second))
        now = hand.clock.now_ns()
        assert now >= before or before == 7
        before = now


@given(st.lists(st.integers(1, 400_000_000), min_size=1, max_size=60))
def test_it_follows_a_true_clock_to_the_second(waits):
    hand = Hand()
    for wait in waits:
        hand.mono += wait
        hand.clock.observe(stamp(hand.mono // S))
        assert abs(hand.clock.now_ns() - (START * S + hand.mono)) <= S


def test_until_the_next_second():
    assert until_next_second(5 * S) == 1.0
    assert until_next_second(5 * S + 750_000_000) == 0.25


def test_the_session_is_known_only_while_it_runs():
    day = dt.date(2026, 7, 13)
    assert session_open(ist_ns(day, dt.time(11))) == ist_ns(day, dt.time(9, 15))
    assert session_open(ist_ns(day, dt.time(8))) is None
    assert session_open(ist_ns(dt.date(2026, 7, 12), dt.time(11))) is None
