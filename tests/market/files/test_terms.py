"""Terms that a file lacks: lots by date, stand-in tokens, symbols, session closes."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.contracts import future_symbol, option_symbol, stand_in_token
from toolkit.market.files import terms
from toolkit.market.schema import CHAIN, INSTRUMENTS, OPTION_TYPE


def contracts(*rows: tuple) -> pl.DataFrame:
    names = {"underlying": pl.String, "expiry": pl.Date, "strike_p": pl.Int64, "option_type": OPTION_TYPE}
    return pl.DataFrame(rows, schema=names, orient="row")


def keys(*rows: tuple) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"underlying": pl.String, "expiry": pl.Date, "on": pl.Date}, orient="row")


def test_lots_follow_the_dated_table_and_are_null_where_it_does_not_know():
    frame = keys(
        ("NIFTY", dt.date(2025, 9, 30), dt.date(2025, 8, 29)),
        ("BANKNIFTY", dt.date(2025, 9, 30), dt.date(2025, 8, 29)),
        ("RELIANCE", dt.date(2025, 9, 30), dt.date(2025, 8, 29)),
        ("NIFTY", dt.date(2010, 9, 30), dt.date(2010, 8, 29)),
        (None, dt.date(2025, 9, 30), dt.date(2025, 8, 29)),
    )
    assert terms.lots(frame)["lot"].to_list() == [75, 35, None, None, None]


def test_the_previous_lot_is_the_one_before_the_last_change():
    frame = keys(
        ("NIFTY", dt.date(2026, 2, 24), dt.date(2026, 2, 3)), ("RELIANCE", dt.date(2025, 9, 30), dt.date(2025, 8, 29))
    )
    assert terms.previous_lots(frame)["previous_lot"].to_list() == [75, None]


def test_tokens_are_the_stand_ins_of_the_exchange_that_lists_the_contract():
    expiry = dt.date(2025, 11, 25)
    frame = contracts(
        ("NIFTY", expiry, 2450000, "CE"), ("SENSEX", expiry, 8000000, "PE"), ("NIFTY", expiry, 2450000, "CE")
    )
    made = terms.tokens(frame)["token"].to_list()
    assert made[0] == made[2] == stand_in_token("NSE_FO", "NIFTY", expiry, 2450000, "CE")
    assert made[1] == stand_in_token("BSE_FO", "SENSEX", expiry, 8000000, "PE")
    assert all(token < 0 for token in made)


def test_segments_have_one_name():
    assert terms.segment("NSE") == "NSE_FO"
    assert terms.segment("BSE", "future") == "BSE_FO"
    assert terms.segment("NSE", "equity") == "NSE_CM"


@settings(max_examples=60, deadline=None)
@given(st.dates(dt.date(2001, 1, 1), dt.date(2039, 12, 31)), st.integers(1, 10**8), st.sampled_from(["CE", "PE"]))
def test_symbols_are_those_of_the_contract_rules(expiry, strike_p, right):
    frame = contracts(("M&M", expiry, strike_p, right), ("M&M", expiry, None, None)).with_columns(
        kind=pl.Series(["option", "future"])
    )
    made = frame.select(terms.symbols(frame)).to_series().to_list()
    assert made == [option_symbol("M&M", expiry, strike_p, right), future_symbol("M&M", expiry)]


def test_symbols_of_shares_and_indices():
    frame = contracts(("TCS", None, None, None), ("NIFTY", None, None, None)).with_columns(
        kind=pl.Series(["equity", "index"])
    )
    assert frame.select(terms.symbols(frame)).to_series().to_list() == ["TCS EQ", "NIFTY"]


@pytest.mark.parametrize(
    ("date", "close"),
    [
        (dt.date(2025, 8, 29), dt.time(15, 30)),
        (dt.date(2025, 8, 27), None),
        (dt.date(2025, 8, 30), None),
        (dt.date(2026, 8, 3), dt.time(15, 40)),
    ],
)
def test_closes_are_the_sessions_own(date, close):
    found = terms.close_stamps([date])["close_ts"][0]
    assert (None if found is None else (found.date(), found.time())) == (None if close is None else (date, close))


def test_derived_instruments_have_one_row_a_contract_and_day():
    row = {
        "underlying": "SENSEX",
        "expiry": dt.date(2025, 9, 4),
        "strike_p": 8000000,
        "option_type": "CE",
        "token": -5,
        "lot": 20,
    }
    stamps = [dt.datetime(2025, 8, 28, 10), dt.datetime(2025, 8, 29, 10), dt.datetime(2025, 8, 29, 11)]
    frame = pl.DataFrame([{**row, "ts": stamp} for stamp in stamps]).with_columns(
        pl.col("ts").cast(pl.Datetime("us")).dt.replace_time_zone("Asia/Kolkata"),
        pl.col("option_type").cast(OPTION_TYPE),
    )
    made = terms.derived_instruments(frame)
    assert made.schema == INSTRUMENTS
    assert made["valid_on"].to_list() == [dt.date(2025, 8, 28), dt.date(2025, 8, 29)]
    last = made.row(-1, named=True)
    assert (last["symbol"], last["exchange"], last["segment"]) == ("SENSEX 04SEP2025 80000 CE", "BSE", "BSE_FO")
    assert (last["token"], last["lot"], last["tick_p"]) == (-5, 20, 5)
    assert last["freeze_qty"] % 20 == 0
    assert set(CHAIN) >= {"token", "lot"}
