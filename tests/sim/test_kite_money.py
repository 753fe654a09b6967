"""Rows about money: identities of positions, sums of charges, funds of a segment."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.sim.kite_money import Line, Need, charge_row, margin_row, position_row, segment_row, summed
from toolkit.sim.roster import Listed
from toolkit.types import Instrument, Kind

LISTED = Listed(
    Instrument(instrument_id=1, symbol="X", exchange="NSE", segment="NSE_FO", underlying="X", kind=Kind.OPTION, lot=65, tick_p=5),
    258, 1, 2, "NFO", "XCE", 1,
)  # fmt: skip
UNITS = st.integers(0, 50).map(lambda lots: lots * 65)
PAISE = st.integers(5, 100_000)


@given(st.integers(-20, 20), PAISE, UNITS, PAISE, UNITS, PAISE, PAISE, PAISE)
def test_every_position_obeys_the_published_identities(carried, cost, bought, buy, sold, sell, close, last):
    line = Line(LISTED, "NRML", carried * 65, carried * 65 * cost, bought, bought * buy, sold, sold * sell)
    row = position_row(line, line.carried, close / 100, last / 100)
    assert row["quantity"] == line.net == row["buy_quantity"] - row["sell_quantity"]
    assert row["value"] == pytest.approx(row["sell_value"] - row["buy_value"], abs=1e-6)
    assert row["pnl"] == pytest.approx(row["value"] + row["quantity"] * row["last_price"], abs=1e-6)
    assert row["m2m"] == pytest.approx(row["sell_m2m"] - row["buy_m2m"] + row["quantity"] * row["last_price"], abs=1e-6)
    today = (last - close) / 100 * carried * 65 + bought * (last - buy) / 100 + sold * (sell - last) / 100
    assert row["m2m"] == pytest.approx(today, abs=1e-6)
    json.dumps(row, allow_nan=False)


def test_the_average_is_of_the_side_that_is_open():
    long = Line(LISTED, "NRML", buy_qty=130, buy_p=130 * 1000, sell_qty=65, sell_p=65 * 2000)
    assert position_row(long, 0, 0.0, 15.0)["average_price"] == 10.0
    short = Line(LISTED, "NRML", buy_qty=65, buy_p=65 * 1000, sell_qty=130, sell_p=130 * 2000)
    assert position_row(short, 0, 0.0, 15.0)["average_price"] == 20.0
    flat = Line(LISTED, "NRML", buy_qty=65, buy_p=65 * 1000, sell_qty=65, sell_p=65 * 2000)
    row = position_row(flat, 0, 0.0, 15.0)
    assert (row["average_price"], row["pnl"], row["quantity"]) == (0, 650.0, 0)


def test_the_days_view_leaves_the_night_out():
    line = Line(LISTED, "NRML", 65, 65 * 1000, buy_qty=65, buy_p=65 * 2000)
    row = position_row(line, 0, 9.0, 21.0)
    assert (row["quantity"], row["overnight_quantity"], row["average_price"], row["pnl"]) == (65, 0, 20.0, 65.0)


NOTE = {
    "brokerage": 20.0,
    "stt": 7.0,
    "exchange_charge": 1.57,
    "sebi_fee": 0.01,
    "stamp_duty": 0.2,
    "gst": 3.88,
    "total": 32.66,
}


def test_charges_in_kites_words_and_their_sum():
    row = charge_row(NOTE)
    assert (row["transaction_tax"], row["transaction_tax_type"], row["gst"]["total"]) == (7.0, "stt", 3.88)
    both = summed([row, row])
    assert both["total"] == 2 * row["total"]
    assert both["gst"] == {"igst": 7.76, "cgst": 0, "sgst": 0, "total": 7.76}
    assert both["transaction_tax_type"] == "stt"
    assert summed([]) == charge_row({})
    assert row == charge_row(NOTE), "the parts of a sum are not changed"


def test_a_margin_row_adds_up():
    need = Need(100.0, 20.0, 3.0)
    row = margin_row(LISTED, need, charge_row(NOTE))
    assert (row["total"], row["tradingsymbol"], row["exchange"]) == (123.0, "XCE", "NFO")
    assert margin_row(None, need, charge_row(NOTE))["tradingsymbol"] == ""


def test_funds_are_cash_less_what_is_used():
    row = segment_row(True, 1000.0, Need(100.0, 20.0, -30.0), 5.0)
    assert row["net"] == row["available"]["live_balance"] == 1000.0 - 90.0 + 5.0
    assert row["utilised"]["debits"] == 85.0
    assert row["available"]["opening_balance"] == 1000.0
