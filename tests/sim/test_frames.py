"""Arrays become frames of the store's schemas."""

from __future__ import annotations

import datetime as dt

import numpy as np

from toolkit.market.schema import CHAIN, EOD, FUTURES, INSTRUMENTS, SPOT, TICKS
from toolkit.sim.flows import Board
from toolkit.sim.frames import chain_frame, eod_frame, futures_frame, instruments_frame, spot_frame, ticks_frame
from toolkit.sim.listing import Key
from toolkit.sim.ticktape import TickRows

EXPIRY = dt.date(2026, 7, 14)
KEYS = (Key(EXPIRY, 2500000, 1), Key(EXPIRY, 2500000, -1))
BOARD = Board(
    KEYS,
    (EXPIRY,),
    np.zeros(2, dtype=np.int64),
    np.array([25000.0, 25000.0]),
    np.array([1, -1]),
    np.array([65, 65]),
    np.ones(2),
    np.zeros(2, dtype=np.int64),
    np.array([1]),
    np.array([False]),
    50.0,
)
TOKEN = np.array([40001, 40002])
NOON = 1_783_924_200_000_000_000


def test_chain_rows_carry_their_contract_and_stamp():
    grid = np.arange(4.0).reshape(2, 2)
    whole = np.arange(4).reshape(2, 2) * 65
    ltp = np.array([[np.nan, 1.0], [2.0, 3.0]])
    columns = {"oi": whole, "volume": whole, "ltp": ltp, "bid": grid, "spot": np.array([25000.0, 25001.0])}
    step, contract = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    stamps = NOON + step * 60_000_000_000
    later = np.array([0, 0, 1, 1])
    frame = chain_frame(BOARD, "NIFTY", TOKEN, step, contract, stamps, stamps + 10**9, columns, later)
    assert frame.schema == CHAIN
    assert frame["ts"][0].isoformat() == "2026-07-13T12:00:00+05:30"
    assert frame["recv_ts"][2].isoformat() == "2026-07-13T12:01:01+05:30"
    assert frame["option_type"].to_list() == ["CE", "PE"] * 2
    assert frame["token"].to_list() == [40001, 40002] * 2
    assert frame["expiry"].unique().to_list() == [EXPIRY]
    assert frame["ltp"].to_list() == [None, 1.0, 2.0, 3.0]
    assert frame["ask"].null_count() == 4
    assert frame["spot"].to_list() == [25000.0, 25000.0, 25001.0, 25001.0]


def test_a_repeat_may_show_the_next_volume_at_the_old_stamp():
    whole = np.array([[65, 65], [130, 130]])
    at = np.array([0, 0])
    stamps = np.array([NOON, NOON])
    frame = chain_frame(
        BOARD, "NIFTY", TOKEN, at, np.array([0, 1]), stamps, stamps, {"oi": whole, "volume": whole}, np.array([0, 1])
    )
    assert frame["volume"].to_list() == [65, 130]


def test_futures_and_spot_rows():
    stamps = np.array([NOON, NOON + 60_000_000_000])
    grid = np.array([[1.0, 2.0], [3.0, 4.0]])
    expiries = [dt.date(2026, 7, 28), dt.date(2026, 8, 25)]
    frame = futures_frame("NIFTY", expiries, TOKEN, np.array([65, 65]), stamps, stamps, {"ltp": grid})
    assert frame.schema == FUTURES
    assert frame["ltp"].to_list() == [1.0, 2.0, 3.0, 4.0]
    assert frame["expiry"].to_list() == expiries * 2
    spot = spot_frame("NIFTY", stamps, stamps, {k: np.array([1.0, 2.0]) for k in ("open", "high", "low", "ltp")})
    assert spot.schema == SPOT
    assert spot.height == 2


def test_tick_rows_take_the_token_of_their_contract():
    whole, real = np.array([65, 130]), np.array([1.0, 2.0])
    stamps = np.array([NOON, NOON + 10**9])
    rows = TickRows(stamps, stamps, np.array([1, 0]), real, whole, real, real, whole, whole, whole, whole)
    frame = ticks_frame("NIFTY", TOKEN, rows)
    assert frame.schema == TICKS
    assert frame["token"].to_list() == [40002, 40001]


def test_rows_of_end_of_day_and_instruments_leave_the_unknown_null():
    eod = eod_frame([{"date": EXPIRY, "underlying": "NIFTY", "oi": 65}])
    assert eod.schema == EOD
    assert eod["close"].to_list() == [None]
    instruments = instruments_frame([{"valid_on": EXPIRY, "token": 1, "option_type": "PE"}])
    assert instruments.schema == INSTRUMENTS
    assert instruments["option_type"].to_list() == ["PE"]
