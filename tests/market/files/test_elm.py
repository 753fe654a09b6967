"""Extreme loss margins: by symbol as published, by contract wherever the header says enough."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.detect import form_of, read_as

HEADER = "Sr No.,Symbol,Instrument Type,Normal ELM Margin%,Additional ELM% for Trade Date 13-Feb-2026,Total applicable ELM%\n"
ROWS = "17,EXAMPLE,OTH,3.50,0.00,3.50\n18,EXAMPLE,OTM,5.25,1.00,6.25\n19,M&M,OTH,3.50,x,\n20,M&M,WHAT,3.50,0,3.50\n"


def source(text, name="ael_13022026.csv"):
    return reading.Source(name=name, sha256="0" * 64, body=text.encode(), modified_ns=0, path=name)


def test_rates_by_symbol_are_fractions():
    done = read_as("elm", source(HEADER + ROWS))
    rows = done.tables["margin_rates"]
    assert rows.select("date", "underlying", "kind", "rate").rows() == [
        (dt.date(2026, 2, 13), "EXAMPLE", "other", 0.035),
        (dt.date(2026, 2, 13), "EXAMPLE", "far", 0.0625),
    ]
    assert (done.rows_read, done.rows_kept) == (4, 2)
    assert dict(done.refused) == {
        "percent is not a number from 0 to 100": 1,
        "instrument type is neither OTH nor OTM": 1,
    }


def test_the_form_is_known_by_header_or_name():
    assert form_of(source(HEADER + ROWS, "download.csv")) == "elm"
    assert form_of(source("Symbol,Expiry Date,AEL %\n", "F_AEL_OPT_CONTRACTS_13022026.CSV")) == "elm"


def test_rates_by_contract():
    text = "Symbol,Expiry Date,Strike Price,Option Type,Total ELM %\nNIFTY,24-Feb-2026,25000.00,CE,2.00\nNIFTY,24-Feb-2026,0,XX,2.00\n"
    rows = read_as("elm", source(text, "F_AEL_OPT_CONTRACTS_13022026.CSV")).tables["margin_rates"]
    assert rows.select("kind", "expiry", "strike_p", pl.col("option_type").cast(pl.String), "rate").rows() == [
        ("contract", dt.date(2026, 2, 24), 2500000, "CE", 0.02),
        ("contract", dt.date(2026, 2, 24), None, None, 0.02),
    ]


def test_a_header_that_does_not_say_enough_is_shown():
    with pytest.raises(BadData, match=r"no column says the expiry and percent; its header is Symbol,Group"):
        read_as("elm", source("Symbol,Group\nNIFTY,A\n", "F_AEL_OPT_CONTRACTS_13022026.CSV"))


def test_a_name_of_another_day_is_refused():
    with pytest.raises(BadData, match="is of 2026-02-13 inside, its name says 2026-02-16"):
        read_as("elm", source(HEADER + ROWS, "ael_16022026.csv"))


def test_a_file_without_a_date_is_refused():
    text = HEADER.replace(" 13-Feb-2026", "") + ROWS
    with pytest.raises(BadData, match="says its date neither in its name nor inside"):
        read_as("elm", source(text, "ael.csv"))


def test_a_file_without_usable_rows_says_why():
    with pytest.raises(BadData, match=r"holds no usable row \(1 instrument type"):
        read_as("elm", source(HEADER + "1,M&M,WHAT,1,1,1\n"))
