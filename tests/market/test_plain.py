"""Ticks of every wire as plain rows, and the chain snapshots made of them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from toolkit.brokers.port import TICK as PAPER_TICK
from toolkit.errors import BadData
from toolkit.market.kite_wire import FULL, LTP, TICK
from toolkit.market.plain import PLAIN, PlainBoard, chain_frame, plain, plain_quotes
from toolkit.market.quotes import Quote
from toolkit.market.xts_rows import ROW as XTS_ROW
from toolkit.types import Instrument, Kind, OptionType

S = 10**9


def kite(token, kind, **fields):
    row = np.zeros(1, TICK)
    row["token"], row["kind"], row["divisor"], row["recv_ns"] = token, kind, 100, 7
    for name, value in fields.items():
        if name in ("bid", "ask"):
            row[name]["price"][0, 0], row[name]["qty"][0, 0] = value
        else:
            row[name] = value
    return row


def rows(*pairs, **columns):
    made = np.zeros(len(pairs), PLAIN)
    for name in ("ltp", "bid", "bid_qty", "ask", "ask_qty", "volume", "oi"):
        made[name] = np.nan
    for at, (key, ltp) in enumerate(pairs):
        made["key"][at], made["ltp"][at], made["recv_ns"][at] = key, ltp, at + 1
    for name, value in columns.items():
        made[name] = value
    return made


def test_a_full_tick_of_kite_becomes_rupees_and_units():
    (row,) = plain(kite(5, FULL, ltp=11205, bid=(11200, 65), ask=(11210, 130), volume=900, oi=6500, exch_s=3))
    assert (row["key"], row["ltp"], row["bid"], row["bid_qty"], row["ask"], row["ask_qty"]) == (
        5,
        112.05,
        112.0,
        65,
        112.1,
        130,
    )
    assert (row["volume"], row["oi"], row["exch_ns"], row["recv_ns"]) == (900, 6500, 3 * S, 7)


def test_what_no_event_of_xts_has_told_yet_is_unknown():
    made = np.zeros(1, XTS_ROW)
    made["token"], made["kind"], made["divisor"], made["ltp"], made["volume"], made["oi"] = 5, FULL, 100, 11205, -1, -1
    made["bid"]["qty"], made["ask"]["qty"] = -1, 65
    (row,) = plain(made)
    assert (row["ltp"], row["ask_qty"]) == (112.05, 65)
    assert all(np.isnan(row[name]) for name in ("volume", "oi", "bid_qty"))


def test_what_a_mode_does_not_carry_is_unknown_and_never_zero():
    (row,) = plain(kite(5, LTP, ltp=0))
    assert all(np.isnan(row[name]) for name in ("ltp", "bid", "bid_qty", "ask", "volume", "oi"))


def test_papers_ticks_carry_over():
    tick = np.zeros(1, PAPER_TICK)
    tick["key"], tick["bid"], tick["ask"], tick["ltp"] = 9, 1.0, 2.0, np.nan
    (row,) = plain(tick)
    assert (row["key"], row["bid"], row["ask"]) == (9, 1.0, 2.0)
    assert np.isnan(row["ltp"])
    assert np.isnan(row["oi"])


def test_an_undeclared_type_is_refused():
    with pytest.raises(BadData, match="unknown type"):
        plain(np.zeros(1, np.dtype([("a", "<i8")])))


def test_quotes_in_paise_become_rows():
    (row,) = plain_quotes({3: Quote(5, bid_p=100, bid_qty=65, ltp_p=150)})
    assert (row["key"], row["recv_ns"], row["bid"], row["bid_qty"], row["ltp"]) == (3, 5, 1.0, 65, 1.5)
    assert np.isnan(row["ask"])


def test_of_a_batch_the_last_row_of_a_contract_counts_and_unknown_figures_stay():
    board = PlainBoard()
    board.take(rows((1, 10.0), (2, 20.0), oi=[100, 200], exch_ns=[5, 6]))
    touched = board.take(rows((1, 11.0), (1, np.nan), exch_ns=[1, 2]))
    assert len(touched) == 1
    assert (board.row(1)["ltp"], board.row(1)["oi"], board.row(1)["exch_ns"]) == (10.0, 100, 5)
    assert (board.row(2)["ltp"], len(board), board.row(3)) == (20.0, 2, None)
    assert board.version == 2


def option(key, strike, side):
    return Instrument(
        instrument_id=key, symbol=f"X {strike} {side}", exchange="NSE", segment="NSE_FO", underlying="X", kind=Kind.OPTION, lot=65,
        tick_p=5, expiry=dt.date(2026, 7, 14), strike_p=strike * 100, option_type=OptionType(side), token=key,
    )  # fmt: skip


def test_a_snapshot_holds_every_known_option_with_one_stamp():
    board = PlainBoard()
    board.take(rows((1, 10.0), (2, 20.0), (9, 25.0), oi=[650, np.nan, 1], exch_ns=[4 * S, 5 * S, 9 * S]))
    contracts = {1: option(1, 100, "CE"), 2: option(2, 100, "PE"), 3: option(3, 105, "CE")}
    frame = chain_frame(board, contracts, 6 * S, spot=101.0, future=None)
    assert frame["option_type"].to_list() == ["CE", "PE"]
    assert frame["oi"].to_list() == [650, None]
    assert frame["ts"].dt.epoch("s").unique().to_list() == [5]
    assert frame["recv_ts"].dt.epoch("s").unique().to_list() == [6]
    assert frame.select("spot", "futures", "lot").unique().rows() == [(101.0, None, 65)]
    assert chain_frame(PlainBoard(), contracts, 6 * S, spot=None, future=None).schema == frame.schema
    assert isinstance(frame, pl.DataFrame)
