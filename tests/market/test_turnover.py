"""The market's average price while an order lives, against a plain sum over every trade."""

from __future__ import annotations

import random

import numpy as np
import pytest

from toolkit.market.turnover import Turnover

KIND = [("key", "i8"), ("volume", "f8"), ("ltp", "f8")]


def rows(*told):
    return np.array(list(told), KIND)


def test_it_is_the_quantity_weighted_average_of_every_trade_between_two_times():
    rng, told, trades, volume = random.Random(4), Turnover(), [], 1000
    told.follow(7, 0, float(volume))
    for now in range(1, 500):
        qty, px = rng.randrange(0, 5) * 65, 100 + rng.randrange(-40, 40) / 20
        volume += qty
        trades.append((now, qty, px))
        told.take(now, rows((8, 5.0, 1.0), (7, float(volume), px)))
    for start, end in ((0, 499), (100, 200), (250, 251)):
        mine = [(q, px) for now, q, px in trades if start < now <= end]
        total = sum(q for q, _ in mine)
        expected = sum(q * px for q, px in mine) / total if total else None
        assert told.vwap(7, start, end) == (None if expected is None else pytest.approx(expected, rel=1e-12))


def test_what_is_not_known_is_none():
    told = Turnover()
    assert told.vwap(7, 0, 10) is None
    told.follow(7, 5, float("nan"))
    told.take(6, rows((7, 500.0, 10.0)))  # the first volume: where counting begins
    assert told.vwap(7, 5, 10) is None
    told.take(7, rows((7, 565.0, 12.0)))
    told.take(8, rows((7, float("nan"), 99.0)))
    told.take(9, rows((7, 400.0, 99.0)))  # corrected downwards: nothing was traded by that
    told.take(10, rows((7, 465.0, 14.0)))
    assert told.vwap(7, 5, 10) == 13.0
    assert told.vwap(7, 4, 10) is None  # nobody counted then
    assert told.vwap(7, 10, 20) is None


def test_the_last_follower_ends_the_counting_and_memory_is_bounded():
    told = Turnover()
    told.follow(7, 0, 0.0)
    told.follow(7, 0, 0.0)
    told.leave(7)
    for now in range(1, 20_000):
        told.take(now, rows((7, float(now), 2.0)))
    assert len(told._lines[7].stamps) <= 4096
    assert told.vwap(7, 0, 20_000) == 2.0
    told.leave(7)
    told.leave(7)
    assert told.vwap(7, 0, 20_000) is None
