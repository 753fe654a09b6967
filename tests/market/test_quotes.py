"""The quote board: arrays in, exact paise out, unknown stays unknown."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market.quotes import Quote, QuoteBoard, key_of
from toolkit.types import Instrument, Kind


def one(board, key, bid=99.95, bid_qty=75.0, ask=100.05, ask_qty=150.0, ltp=100.0, ts=1):
    board.update(ts, [key], [bid], [bid_qty], [ask], [ask_qty], [ltp])


def test_a_quote_comes_back_in_paise():
    board = QuoteBoard()
    one(board, 7)
    assert board.quote(7) == Quote(1, 9995, 75, 10005, 150, 10000)
    assert board.quote(8) is None
    assert board.known() == [7]


@pytest.mark.parametrize("bad", [np.nan, 0.0, -1.0, np.inf, -np.inf, 1e300])
def test_no_price_is_none(bad):
    board = QuoteBoard()
    one(board, 7, bid=bad, ltp=bad)
    quote = board.quote(7)
    assert quote is not None
    assert (quote.bid_p, quote.ltp_p, quote.ask_p) == (None, None, 10005)
    assert not quote.two_sided


def test_zero_quantity_is_zero_and_nan_is_unknown():
    board = QuoteBoard()
    one(board, 7, bid_qty=0.0, ask_qty=np.nan)
    quote = board.quote(7)
    assert quote is not None
    assert (quote.bid_qty, quote.ask_qty) == (0, None)


def test_a_crossed_quote_is_not_two_sided():
    assert not Quote(1, 101, 1, 100, 1).two_sided
    assert Quote(1, 100, 1, 100, 1).two_sided


def test_missing_contracts_are_passed_over():
    board = QuoteBoard()
    board.update(1, [-1, 5, -1], [1.0, 2.0, 3.0], [1, 1, 1], [2.0, 3.0, 4.0], [1, 1, 1], [1.0, 2.0, 3.0])
    assert board.known() == [5]
    assert board.quote(5) == Quote(1, 200, 1, 300, 1, 200)
    assert board.quote(-1) is None


def test_negative_stand_in_keys_are_keys():
    board = QuoteBoard()
    one(board, -123456789)
    assert board.quote(-123456789) is not None


def test_it_grows_and_keeps_what_was_there():
    board = QuoteBoard()
    one(board, 1)
    many = np.arange(2, 1500)
    column = np.full(len(many), 50.0)
    board.update(2, many, column, column, column, column, column)
    assert board.quote(1) == Quote(1, 9995, 75, 10005, 150, 10000)
    assert board.quote(1499) == Quote(2, 5000, 50, 5000, 50, 5000)


def test_arrays_must_match():
    with pytest.raises(BadData, match="as long as the keys"):
        QuoteBoard().update(1, [1], [1.0, 2.0], [1.0], [1.0], [1.0], [1.0])


def test_key_is_the_token_or_the_id():
    known = Instrument(
        instrument_id=9, symbol="X", exchange="NSE", segment="NFO", underlying="X", kind=Kind.FUTURE, lot=1,
        tick_p=5, expiry=dt.date(2025, 9, 2), token=0,
    )  # fmt: skip
    assert key_of(known) == 0
    without = Instrument(
        instrument_id=9, symbol="X", exchange="NSE", segment="NFO", underlying="X", kind=Kind.FUTURE, lot=1, tick_p=5
    )
    assert key_of(without) == 9


PAISE = st.none() | st.integers(1, 10**11)
UNITS = st.none() | st.integers(0, 10**9)


@given(st.integers(0, 2**62), PAISE, UNITS, PAISE, UNITS, PAISE)
def test_exact_paise_survive_the_arrays(ts, bid, bid_qty, ask, ask_qty, ltp):
    board = QuoteBoard()
    quote = Quote(ts, bid, bid_qty, ask, ask_qty, ltp)
    board.set(3, quote)
    assert board.quote(3) == quote


@given(st.lists(st.lists(st.integers(-1, 6), unique=True), min_size=1, max_size=8))
def test_each_key_has_its_newest_batch(batches):
    board, newest = QuoteBoard(), {}
    for ts, keys in enumerate(batches, 1):
        column = [float(ts)] * len(keys)
        board.update(ts, keys, column, column, column, column, column)
        newest.update({k: ts for k in keys if k != -1})
    assert {k: board.quote(k).ts_ns for k in board.known()} == newest
