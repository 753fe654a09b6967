"""Candles from ticks: prices, exact volume whatever was conflated, lost or late, the session's grid."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.market.bars import BARS, BarBuilder
from toolkit.market.kite_wire import FULL, LTP, TICK

S = 1_000_000_000
OPEN = ist_ns(dt.date(2026, 7, 13), dt.time(9, 15))
CLOSE = ist_ns(dt.date(2026, 7, 13), dt.time(15, 30))


def ticks(*rows: tuple[float, int, int], token: int = 257, kind: int = FULL, oi: int = 500) -> np.ndarray:
    """Rows of (seconds after the open, price in paise, cumulative volume)."""
    out = np.zeros(len(rows), TICK)
    for row, (at_s, ltp, volume) in zip(out, rows, strict=True):
        row["token"], row["ltp"], row["volume"], row["oi"] = token, ltp, volume, oi
        row["kind"], row["divisor"], row["exch_s"] = kind, 100, OPEN // S + int(at_s)
        row["recv_ns"] = OPEN + int(at_s * S)
    return out


def builder(interval_s: int = 60, **options) -> BarBuilder:
    return BarBuilder(interval_s, OPEN, CLOSE, **options)


def test_a_bar_has_first_highest_lowest_last_and_the_volume_between_counters() -> None:
    made = builder(counters={257: 1000})
    made.update(ticks((1, 10_000, 1075), (20, 10_200, 1150), (40, 9_900, 1225), (59, 10_100, 1300)))
    (bar,) = made.finish()
    assert (bar.open, bar.high, bar.low, bar.close) == (10_000, 10_200, 9_900, 10_100)
    assert (bar.volume, bar.oi, bar.ticks, bar.start_ns) == (300, 500, 4, OPEN)


def test_bars_lie_on_the_sessions_grid_whatever_the_interval() -> None:
    made = builder(3600)
    made.update(ticks((0, 1, 0), (3599, 1, 0), (3600, 1, 0), (22_499, 1, 0), (22_500, 1, 0)))
    starts = [(b.start_ns - OPEN) // S for b in made.finish()]
    assert starts == [0, 3600, 21_600], "the closing tick is in the last bar"


def test_ticks_outside_the_session_are_counted_and_left_out() -> None:
    made = builder()
    made.update(ticks((-1, 1, 0), (22_501, 1, 0), (5, 2, 0)))
    assert made.outside == 2
    assert [b.open for b in made.finish()] == [2]


def test_without_a_counter_at_the_start_the_first_bar_counts_from_its_first_tick() -> None:
    made = builder()
    made.update(ticks((30, 10_000, 50_000), (50, 10_000, 50_075), (70, 10_000, 50_200)))
    assert [b.volume for b in made.finish()] == [75, 125]


def test_a_lost_minute_moves_volume_and_loses_none() -> None:
    made = builder(counters={257: 0})
    made.update(ticks((10, 1, 100), (190, 1, 700)))
    assert [(int((b.start_ns - OPEN) // S), b.volume) for b in made.finish()] == [(0, 100), (180, 600)]


def test_a_late_tick_takes_its_volume_back_from_the_bar_that_had_it() -> None:
    made = builder(counters={257: 0})
    made.update(ticks((59, 10_000, 100), (61, 10_500, 130)))
    assert [b.volume for b in made.open_bars()] == [100, 30]
    made.update(ticks((59, 10_300, 120), (58, 9_000, 90)))
    first, second = made.open_bars()
    assert (first.volume, second.volume) == (120, 10)
    assert (first.high, first.low, first.close) == (10_300, 9_000, 10_300)
    assert second.open == 10_500


def test_a_tick_for_a_finished_bar_is_counted_and_changes_nothing() -> None:
    made = builder(keep=0, counters={257: 0})
    done = made.update(ticks((10, 1, 10), (70, 2, 20), (130, 3, 30)))
    assert [(b.close, b.volume) for b in done] == [(1, 10), (2, 10)]
    assert made.update(ticks((20, 99, 99))) == []
    assert made.late == 1
    assert [(b.close, b.volume) for b in made.finish()] == [(3, 10)]


def test_a_feed_without_counters_has_no_volume_and_no_open_interest() -> None:
    made = builder()
    made.update(ticks((1, 10_000, 0), (2, 10_100, 0), kind=LTP))
    (bar,) = made.finish()
    assert (bar.volume, bar.oi, bar.close) == (None, None, 10_100)


def test_ticks_without_an_exchange_stamp_fall_by_their_receipt() -> None:
    made = builder()
    rows = ticks((61, 10_000, 0), kind=LTP)
    rows["exch_s"] = 0
    made.update(rows)
    assert [b.start_ns - OPEN for b in made.finish()] == [60 * S]


def test_the_frame_is_in_rupees_and_units_and_indian_time() -> None:
    made = builder()
    made.update(ticks((1, 10_155, 75)))
    made.update(ticks((1, 400, 0), token=513, kind=LTP))
    frame = BarBuilder.frame(made.finish())
    assert dict(frame.schema) == dict(BARS)
    assert frame["open"].to_list() == [101.55, 4.0]
    assert frame["volume"].to_list() == [0, None]
    assert str(frame["ts"][0]) == "2026-07-13 09:15:00+05:30"
    assert BarBuilder.frame([]).height == 0


@pytest.mark.parametrize(("step", "open_ns", "close_ns", "keep"), [(0, 0, 1, 1), (60, 5, 5, 1), (60, 0, 5, -1)])
def test_a_senseless_plan_is_refused(step, open_ns, close_ns, keep) -> None:
    with pytest.raises(BadData, match="bars need an interval"):
        BarBuilder(step, open_ns, close_ns, keep=keep)


@given(
    trades=st.lists(
        st.tuples(st.integers(0, 1800), st.integers(1, 20_000), st.integers(0, 500)), min_size=1, max_size=60
    ),
    lost=st.sets(st.integers(0, 59)),
    order=st.randoms(use_true_random=False),
)
def test_bars_equal_those_of_the_sorted_ticks_and_volume_is_exact(trades, lost, order) -> None:
    total, rows = 0, []
    for at_s, price, qty in sorted(trades):
        total += qty
        rows.append((at_s, price, total))
    rows = [r for i, r in enumerate(rows) if i not in lost or i == len(rows) - 1]
    # one tick a second, so that "first" and "last" have one meaning
    rows = list({at_s: (at_s, p, v) for at_s, p, v in rows}.values())
    straight = builder(300, counters={257: 0})
    straight.update(ticks(*rows))
    want = straight.finish()
    shuffled = list(rows)
    order.shuffle(shuffled)
    mixed = builder(300, counters={257: 0}, keep=100)
    for row in shuffled:
        assert mixed.update(ticks(row)) == []
    got = mixed.finish()
    assert [(b.start_ns, b.open, b.high, b.low, b.close, b.volume, b.ticks) for b in got] == [
        (b.start_ns, b.open, b.high, b.low, b.close, b.volume, b.ticks) for b in want
    ]
    assert sum(b.volume for b in want) == total
    assert sum(b.volume for b in got) == total
