"""Contracts to exact units, with fractions restored and lines accounted for."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.market.files import terms
from toolkit.market.files.sides import SIDE, Sides, to_chain
from toolkit.market.schema import CHAIN, IST

TS = dt.datetime(2025, 8, 29, 10, 0, tzinfo=ZoneInfo(IST))
GOOD = {
    "line": 0,
    "ts": TS,
    "recv_ts": TS + dt.timedelta(seconds=71),
    "underlying": "NIFTY",
    "expiry": dt.date(2025, 9, 30),
    "strike": 24500.0,
    "option_type": "CE",
    "oi_contracts": 100.0,
    "volume_contracts": 7.0,
    "source_iv": 0.1069,
    "ltp": 101.5,
    "bid": 101.0,
    "ask": 102.0,
    "bid_qty": 75.0,
    "ask_qty": 150.0,
    "spot": 24480.5,
}


def made(*changes: dict, lines: int | None = None) -> Sides:
    rows = [{**GOOD, "line": i, "strike": 24500.0 + 50 * i, **change} for i, change in enumerate(changes)]
    moment = pl.Datetime("us", IST)
    schema = dict.fromkeys(SIDE, pl.Float64) | {"line": pl.Int64, "ts": moment, "recv_ts": moment}
    schema |= {"underlying": pl.String, "expiry": pl.Date, "option_type": pl.String}
    return to_chain(pl.DataFrame(rows, schema=schema).select(SIDE), len(rows) if lines is None else lines)


def test_a_row_becomes_units_and_keeps_its_prices():
    done = made({})
    assert done.chain.schema == CHAIN
    row = done.chain.row(0, named=True)
    assert (row["oi"], row["volume"], row["lot"], row["strike_p"]) == (7500, 525, 75, 2450000)
    assert (row["ltp"], row["bid"], row["ask"], row["bid_qty"], row["ask_qty"]) == (101.5, 101.0, 102.0, 75, 150)
    assert (row["source_iv"], row["spot"], row["futures"]) == (0.1069, 24480.5, None)
    assert (done.lines_kept, done.refused, done.noted) == (1, (), ())


@pytest.mark.parametrize(
    ("contracts", "units"), [(46100 + 1 / 3, 3457525), (756.571428571, None), (0.0, 0), (None, None)]
)
def test_fractions_are_exact_units_of_the_lot(contracts, units):
    done = made({"oi_contracts": contracts})
    if contracts is not None and units is None:
        assert done.refused == (("open interest is no whole number of units", 1),)
        return
    assert done.chain["oi"].to_list() == [units]
    assert done.noted == ((("fractional contracts restored to units", 1),) if contracts and contracts % 1 else ())


def test_the_lot_before_a_change_is_tried_before_a_row_is_refused(monkeypatch):
    """BANKNIFTY went from 30 to 35: 756.571 of 35 is whole, of 30 it is not, and the other way."""
    lots = {"lot": 30, "previous_lot": 35}
    monkeypatch.setattr(terms, "lots", lambda rows: rows.with_columns(lot=pl.lit(lots["lot"], pl.Int32)))
    monkeypatch.setattr(
        terms, "previous_lots", lambda rows: rows.with_columns(previous_lot=pl.lit(lots["previous_lot"], pl.Int32))
    )
    done = made({"oi_contracts": 26480 / 35})
    assert done.chain["oi"].to_list() == [26480]
    lots["previous_lot"] = 25
    assert made({"oi_contracts": 26480 / 35}).refused == (("open interest is no whole number of units", 1),)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_units_survive_being_shown_as_contracts(units):
    done = made(*[{"oi_contracts": u / 75} for u in units])
    by_strike = done.chain.sort("strike_p")["oi"].to_list()
    assert by_strike == units
    assert dict(done.noted).get("fractional contracts restored to units", 0) == sum(u % 75 != 0 for u in units)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ts": None}, "stamp is not a time"),
        ({"underlying": "../x"}, "symbol is not a name"),
        ({"underlying": None}, "symbol is not a name"),
        ({"expiry": None}, "expiry is not a date"),
        ({"expiry": dt.date(2025, 8, 28)}, "expiry before the stamp's day"),
        ({"strike": 0.0}, "strike is not a positive price"),
        ({"strike": -24500.0}, "strike is not a positive price"),
        ({"strike": 24500.005}, "strike is not a positive price"),
        ({"oi_contracts": -1.0}, "open interest below zero"),
        ({"volume_contracts": -1.0}, "volume below zero"),
        ({"volume_contracts": 0.3}, "volume is no whole number of units"),
        ({"ltp": -0.05}, "negative price"),
        ({"bid": -1.0}, "negative price"),
        ({"ask": -1.0}, "negative price"),
        ({"bid_qty": -75.0}, "quantity is no whole number of units"),
        ({"ask_qty": 0.5}, "quantity is no whole number of units"),
        ({"underlying": "RELIANCE"}, "no lot is known for the contract"),
        ({"strike": 24500.0, "line": 1}, "repeated contract in a snapshot"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason_and_the_good_one_stays(change, reason):
    done = made({}, change)
    assert done.refused == ((reason, 1),)
    assert done.chain["strike_p"].to_list() == [2450000]
    assert done.lines_kept == 1


def test_zero_means_none_for_prices_and_volatility_but_not_for_open_interest():
    zeros = dict.fromkeys(("ltp", "bid", "ask", "bid_qty", "ask_qty", "source_iv", "spot", "oi_contracts"), 0.0)
    row = made({**zeros, "volume_contracts": 0.0}).chain.row(0, named=True)
    assert [row[c] for c in ("ltp", "bid", "ask", "bid_qty", "ask_qty", "source_iv", "spot")] == [None] * 7
    assert (row["oi"], row["volume"]) == (0, 0)


def test_a_crossed_quote_is_unknown_and_counted_and_its_open_interest_stays():
    done = made({"bid": 103.0, "ask": 102.0}, {"bid": 102.0, "ask": 102.0})
    assert done.noted == (("crossed quotes set to unknown", 1),)
    assert done.chain["bid"].to_list() == [None, 102.0]
    assert done.chain["ask_qty"].to_list() == [None, 150]
    assert done.chain["oi"].to_list() == [7500, 7500]


def test_one_bad_side_does_not_refuse_its_line():
    put = {"line": 0, "strike": 24500.0, "option_type": "PE", "oi_contracts": -1.0}
    done = made({}, put, lines=1)
    assert (done.lines_kept, done.refused) == (1, ())
    assert done.noted == (("one side left out: open interest below zero", 1),)


def test_lines_without_any_side_are_counted():
    done = made({}, {"oi_contracts": -1.0}, lines=5)
    assert done.lines_kept == 1
    assert done.refused == (("line without a figure", 3), ("open interest below zero", 1))


def test_rows_are_ordered_by_receipt_then_contract():
    late = {"recv_ts": TS + dt.timedelta(seconds=200), "strike": 100.0}
    done = made(late, {}, {"option_type": "PE", "strike": 24550.0})
    assert done.chain.select("strike_p", "option_type").rows() == [(2455000, "CE"), (2455000, "PE"), (10000, "CE")]
