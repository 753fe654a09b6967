"""Recorded rows in order of receipt, and the day so far that they add up to."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest

from toolkit.errors import BadData
from toolkit.sim.tape import BOARD, ROW, DayBoard, Tape, make_tape

CE, PE, FUT, SPOT = 40001 * 256 + 2, 40002 * 256 + 2, 40003 * 256 + 2, 256265


def rows(*made):
    out = np.zeros(len(made), ROW)
    for name in ROW.names:
        if ROW[name] == np.float64:
            out[name] = np.nan
    for i, fields in enumerate(made):
        for name, value in fields.items():
            out[i][name] = value
    return out


def test_batches_come_by_time_of_receipt_and_only_once(quiet_world, clock_ns):
    tape = quiet_world.tape
    seen = [(at, set(batch["key"].tolist())) for at, batch in tape.between(0, tape.last_ns)]
    assert seen == [
        (clock_ns("09:15:00"), {CE, PE}),
        (clock_ns("09:15:00"), {FUT}),
        (clock_ns("09:15:00"), {SPOT}),
        (clock_ns("09:20:00"), {CE}),
        (clock_ns("10:00:00"), {CE}),
        (clock_ns("10:00:00"), {SPOT}),
    ]


def test_bounds_are_open_below_and_closed_above(quiet_world, clock_ns):
    tape = quiet_world.tape
    at = clock_ns("09:20:00")
    assert [when for when, _ in tape.between(at - 1, at)] == [at]
    assert list(tape.between(at, at)) == []
    assert list(tape.between(at, clock_ns("09:59:59"))) == []


def test_next_is_none_past_the_end(quiet_world, clock_ns):
    tape = quiet_world.tape
    assert tape.first_ns == clock_ns("09:15:00")
    assert tape.next_ns(clock_ns("09:15:00")) == clock_ns("09:20:00")
    assert tape.next_ns(clock_ns("10:00:00")) is None


def test_the_newest_of_two_rows_of_one_moment_counts(make_world, clock_ns):
    world = make_world(
        [("09:15:00", "CE", 100.0, 65, 101.0, 65, 100.0, 65), ("09:15:00", "CE", 102.0, 65, 103.0, 65, 102.0, 130)]
    )
    assert len(world.tape.rows) == 1
    assert world.row(CE)["ltp"] == 102.0


def test_a_row_without_a_receive_stamp_counts_from_the_exchanges(quiet_world):
    from toolkit.market.schema import SPOT as SCHEMA

    stamp = dt.datetime(2026, 7, 13, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))
    frame = pl.DataFrame([{"ts": stamp, "underlying": "NIFTY", "ltp": 25000.0}], schema=SCHEMA)
    tape = make_tape({"spot": frame}, quiet_world.roster)
    assert tape.first_ns == int(stamp.timestamp()) * 10**9


def test_a_day_without_quotes_is_refused(quiet_world):
    with pytest.raises(BadData, match="no quotes on this day"):
        make_tape({}, quiet_world.roster)


def test_the_board_adds_up_the_day(quiet_world, clock_ns):
    quiet_world.advance(clock_ns("10:00:00"))
    day = quiet_world.row(CE)
    assert (day["open"], day["high"], day["low"], day["ltp"], day["close"]) == (100.0, 120.0, 98.0, 120.0, 95.0)
    assert day["volume"] == 3900
    assert day["value"] == 1300 * 100.0 + 1300 * 98.0 + 1300 * 120.0
    assert (day["bid"], day["ask"]) == (120.0, 120.5)
    assert (day["oi"], day["oi_high"], day["oi_low"]) == (6500, 6500, 6500)
    assert day["trade_ns"] == day["exch_ns"] == clock_ns("10:00:00")


def test_what_never_came_is_unknown(quiet_world):
    assert math.isnan(quiet_world.row(FUT)["close"])
    assert math.isnan(quiet_world.row(SPOT)["volume"])
    assert quiet_world.row(123) is None


def test_an_unknown_price_keeps_the_last_but_an_absent_quote_is_absent():
    board = DayBoard([1], {})
    board.take(rows({"key": 1, "ltp": 10.0, "bid": 9.0, "ask": 11.0, "exch_ns": 5}))
    board.take(rows({"key": 1, "exch_ns": 9}))
    day = board.row(1)
    assert day["ltp"] == 10.0
    assert math.isnan(day["bid"])
    assert (day["exch_ns"], day["trade_ns"]) == (9, 5)


def test_a_volume_that_falls_back_is_no_trade():
    board = DayBoard([1], {})
    board.take(rows({"key": 1, "ltp": 10.0, "volume": 100.0, "exch_ns": 5}))
    board.take(rows({"key": 1, "ltp": 10.0, "volume": 90.0, "exch_ns": 9}))
    assert (board.row(1)["volume"], board.row(1)["value"], board.row(1)["trade_ns"]) == (100.0, 1000.0, 5)


def test_the_rows_own_high_and_low_count():
    board = DayBoard([1], {})
    board.take(rows({"key": 1, "ltp": 10.0, "high": 12.0, "low": 8.0}))
    assert (board.row(1)["high"], board.row(1)["low"]) == (12.0, 8.0)


def test_closes_of_unlisted_keys_are_ignored():
    board = DayBoard([3, 1, 2], {2: 7.0, 9: 1.0})
    assert board.rows["key"].tolist() == [1, 2, 3]
    assert board.row(2)["close"] == 7.0
    assert board.index([3, 1]).tolist() == [2, 0]


def test_any_split_of_time_gives_the_same_day(quiet_world):
    tape = quiet_world.tape
    whole, pieces = DayBoard([CE, PE, FUT, SPOT], {}), DayBoard([CE, PE, FUT, SPOT], {})
    for _, batch in tape.between(0, tape.last_ns):
        whole.take(batch)
    at = tape.first_ns - 1
    while at < tape.last_ns:
        for _, batch in tape.between(at, at + 7 * 10**9):
            pieces.take(batch)
        at += 7 * 10**9
    for name in BOARD.names:
        np.testing.assert_array_equal(whole.rows[name], pieces.rows[name], err_msg=name)


def test_a_tape_of_one_row_has_one_batch():
    tape = Tape(rows({"key": 1, "recv_ns": 4, "ltp": 1.0}))
    assert [(at, len(batch)) for at, batch in tape.between(0, 9)] == [(4, 1)]
