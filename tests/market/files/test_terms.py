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


def master(*rows: tuple) -> pl.DataFrame:
    names = ["valid_on", "token", "underlying", "kind", "expiry", "strike_p", "option_type"]
    frame = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    return frame.select(
        [(pl.col(c) if c in names else pl.lit(None)).cast(kind).alias(c) for c, kind in INSTRUMENTS.items()]
    )


EXPIRY = dt.date(2025, 11, 25)
NAMED = (dt.date(2025, 9, 1), 51111, "NIFTY", "option", EXPIRY, 2450000, "CE")
LATER = (dt.date(2025, 9, 2), 61111, "NIFTY", "option", EXPIRY, 2450000, "CE")
FUTURE = (dt.date(2025, 9, 1), 35013, "NIFTY", "future", EXPIRY, None, None)
STAND_IN = (dt.date(2025, 9, 3), -7, "NIFTY", "option", EXPIRY, 2450000, "CE")


def test_a_master_replaces_the_stand_ins_it_names_and_no_other_token():
    frame = contracts(
        ("NIFTY", EXPIRY, 2450000, "CE"), ("NIFTY", EXPIRY, 2450000, "PE"), ("NIFTY", EXPIRY, 2450000, "CE")
    ).with_columns(token=pl.Series([-1, -2, 9]))
    assert terms.with_named_tokens(frame, master(NAMED))["token"].to_list() == [51111, -2, 9]
    assert terms.with_named_tokens(frame, master(LATER, NAMED, STAND_IN))["token"].to_list() == [61111, -2, 9]
    for other in (master(FUTURE), master(STAND_IN), INSTRUMENTS.to_frame()):
        assert terms.with_named_tokens(frame, other).equals(frame)


def test_futures_are_named_by_their_expiry():
    frame = pl.DataFrame(
        {"underlying": ["NIFTY", "NIFTY"], "expiry": [EXPIRY, dt.date(2025, 12, 30)], "token": [-1, -2]}
    )
    made = terms.with_named_tokens(frame, master(NAMED, FUTURE))
    assert made["token"].to_list() == [35013, -2]
    assert made.columns == frame.columns


def test_dated_terms_fill_only_what_the_file_does_not_say():
    share = (dt.date(2025, 9, 1), 5, "TCS", "equity", None, None, None)
    made = terms.with_dated_terms(
        master(NAMED, share, FUTURE).with_columns(tick_p=pl.Series([1, None, None], dtype=pl.Int32))
    )
    assert made["tick_p"].to_list()[:2] == [1, None]
    assert made["tick_p"][2] >= 5
    assert made["freeze_qty"].to_list() == [1800, None, 1800]
