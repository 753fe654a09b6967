"""XTS events to one row an instrument: what each code changes, what is unknown, what comes late."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.brokers import xts_master
from toolkit.market.kite_wire import FULL, INDEX_FULL, QUOTE, TICK
from toolkit.market.last_values import quotes
from toolkit.market.xts_rows import ROW, Board, place_of, token_of
from toolkit.market.xts_wire import XTS_TICK

S = 1_000_000_000
NOW_S = 1_765_864_800  # 2025-12-16 11:30 IST
RAW = NOW_S - 315_532_800 + 19_800
OPTION = token_of(2, 49543)
SHARE = token_of(1, 2885)
INDEX = token_of(1, 26000)
DOLLAR = token_of(3, 7)


def event(code: int, token: int = OPTION, **fields):
    row = np.zeros(1, XTS_TICK)
    row["code"], row["segment"], row["instrument"] = code, *place_of(token)
    row["market_type"] = 1
    for name in ("last_qty", "total_bid_qty", "total_ask_qty", "volume", "oi", "exch_raw_s"):
        row[name] = fields.pop(name, -1)
    for name in ("ltp", "avg_px", "open", "high", "low", "close"):
        row[name] = fields.pop(name, np.nan)
    for name, value in fields.items():
        row[name] = value
    return row


@pytest.fixture
def board() -> Board:
    made = Board()
    made.want({OPTION: ("full", False), SHARE: ("full", False), INDEX: ("full", True), DOLLAR: ("quote", False)})
    return made


def rows(board: Board, *events, recv_ns: int = NOW_S * S):
    return board.take(np.concatenate(events), recv_ns).rows


def depth(first: float):
    side = np.zeros(5, [("qty", "<i8"), ("price", "<f8"), ("orders", "<i8")])
    side["qty"], side["price"], side["orders"] = 65, first + np.arange(5) * 0.05, 3
    return side


def test_keys_are_those_of_the_master() -> None:
    assert token_of(2, 49543) == xts_master.key_of("NSEFO", 49543)
    assert place_of(OPTION) == xts_master.split_key(OPTION) == (2, 49543)


def test_a_row_has_the_fields_of_kites_ticks() -> None:
    assert TICK.names == ROW.names


def test_depth_and_open_interest_make_one_row(board) -> None:
    assert len(rows(board, event(1510, oi=13_253_100, exch_raw_s=RAW))) == 0, "no price yet: nothing to show"
    made = rows(
        board,
        event(1502, ltp=100.05, volume=5_000_000_000, high=101.0, exch_raw_s=RAW, bid=depth(99.8), ask=depth(100.1)),
    )
    assert made["token"].tolist() == [OPTION]
    assert (made["ltp"][0], made["high"][0], made["low"][0], made["oi"][0]) == (10005, 10100, 0, 13_253_100)
    assert made["volume"][0] == 5_000_000_000, "more than four bytes hold"
    assert made["ask"][0]["price"].tolist() == [10010, 10015, 10020, 10025, 10030]
    assert made["bid"][0]["qty"].tolist() == [65] * 5
    assert (made["exch_s"][0], made["kind"][0], made["divisor"][0], made["recv_ns"][0]) == (NOW_S, FULL, 100, NOW_S * S)
    later = rows(board, event(1510, oi=13_253_200, exch_raw_s=RAW + 1))
    assert (later["oi"][0], later["ltp"][0], later["exch_s"][0]) == (13_253_200, 10005, NOW_S + 1)


def test_unknown_is_null_and_zero_is_zero(board) -> None:
    one = quotes(rows(board, event(1502, SHARE, ltp=1440.4, volume=0))).to_dicts()[0]
    assert (one["ltp"], one["volume"], one["oi"], one["last_qty"], one["bid"], one["high"]) == (
        1440.4,
        0,
        None,
        None,
        None,
        None,
    )
    assert not one["stamped"]


def test_an_index_has_no_volume_and_no_depth(board) -> None:
    one = rows(board, event(1504, INDEX, ltp=25_464.4, open=25_500.0, close=25_453.65, volume=0))
    assert one["kind"][0] == INDEX_FULL
    found = quotes(one).to_dicts()[0]
    assert (found["ltp"], found["open"], found["volume"], found["bid"]) == (25_464.4, 25_500.0, None, None)


def test_currencies_have_four_decimals_and_a_mode_keeps_its_kind(board) -> None:
    one = rows(board, event(1501, DOLLAR, ltp=88.1275, volume=3))
    assert (one["ltp"][0], one["divisor"][0], one["kind"][0]) == (881_275_000, 10_000_000, QUOTE)
    assert quotes(one)["ltp"][0] == 88.1275


def test_a_touchline_after_depth_leaves_the_deeper_levels_alone(board) -> None:
    rows(board, event(1502, ltp=100.0, exch_raw_s=RAW, bid=depth(99.8), ask=depth(100.1)))
    made = rows(board, event(1501, ltp=100.2, exch_raw_s=RAW + 1))
    assert (made["ltp"][0], made["bid"][0]["price"][4]) == (10020, 10000)


def test_late_events_odd_lots_auctions_and_strangers_change_nothing(board) -> None:
    rows(board, event(1502, ltp=100.0, exch_raw_s=RAW))
    late = board.take(event(1502, ltp=90.0, exch_raw_s=RAW - 1), NOW_S * S)
    assert (len(late.rows), late.late) == (0, 1)
    others = board.take(
        np.concatenate([
            event(1502, ltp=1.0, market_type=2), event(1502, ltp=1.0, market_type=4),
            event(1502, token_of(2, 1), ltp=1.0), event(1505, ltp=1.0), event(1507, ltp=1.0),
        ]),
        NOW_S * S,
    )  # fmt: skip
    assert (len(others.rows), others.others) == (0, 5)
    assert rows(board, event(1502, ltp=100.5, exch_raw_s=RAW))["ltp"][0] == 10050, "the same second is not late"


def test_a_stamp_an_hour_ahead_is_no_stamp(board) -> None:
    """It would make every later event late."""
    made = rows(board, event(1502, ltp=100.0, exch_raw_s=RAW + 7200))
    assert made["exch_s"][0] == 0
    assert len(rows(board, event(1502, ltp=101.0, exch_raw_s=RAW))) == 1


def test_either_epoch_is_taken_and_the_newest_stamp_of_an_event_counts(board) -> None:
    made = rows(board, event(1502, ltp=100.0, exch_raw_s=NOW_S))
    assert made["exch_s"][0] == NOW_S
    made = rows(
        board, event(1502, SHARE, ltp=100.0, exch_raw_s=RAW - 60, last_update_raw_s=RAW, last_trade_raw_s=RAW - 5)
    )
    assert (made["exch_s"][0], made["last_trade_s"][0]) == (NOW_S, NOW_S - 5)


def test_a_changed_wish_keeps_the_state_of_what_stays(board) -> None:
    rows(board, event(1510, oi=7, exch_raw_s=RAW))
    board.want({OPTION: ("quote", False)})
    made = rows(board, event(1501, ltp=100.0, exch_raw_s=RAW))
    assert (made["oi"][0], made["kind"][0]) == (7, QUOTE)
    assert len(rows(board, event(1502, SHARE, ltp=1.0))) == 0


def test_nothing_is_nothing() -> None:
    assert len(Board().take(np.zeros(0, XTS_TICK), 0).rows) == 0


@given(
    st.lists(st.binary(min_size=XTS_TICK.itemsize, max_size=XTS_TICK.itemsize), min_size=1, max_size=4),
    st.integers(0, 2**62),
)
def test_any_words_give_rows_of_wanted_instruments_only(blobs: list[bytes], recv_ns: int) -> None:
    made = Board()
    made.want({OPTION: ("full", False)})
    ticks = np.frombuffer(bytearray().join(blobs), XTS_TICK)
    known = bytearray().join(struct.pack("<qqq", 1502, 2, 49543) + blob[24:] for blob in blobs)
    for some in (ticks, np.frombuffer(known, XTS_TICK)):
        taken = made.take(some, recv_ns)
        assert set(taken.rows["token"].tolist()) <= {OPTION}
        assert len(taken.rows) + taken.late + taken.others <= len(some)
        assert (taken.rows["ltp"] >= 0).all()
        assert (taken.rows["exch_s"] <= recv_ns // S + 3600).all()
