"""Index closes: the real sessions of 2025, names that are not symbols, dashes and bare fractions."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.detect import read_file
from toolkit.market.files.index_close import SYMBOLS, read_index_close
from toolkit.market.schema import EOD, SPOT

HEADER = (
    "Index Name,Index Date,Open Index Value,High Index Value,Low Index Value,Closing Index Value,Points Change,"
    "Change(%),Volume,Turnover (Rs. Cr.),P/E,P/B,Div Yield"
)
NIFTY = "Nifty 50,03-03-2025,22194.55,22261.55,22004.7,22119.3,-5.4,-.02,250114020,21044.11,21.4,3.31,1.3"
VIX = "India VIX,03-03-2025,13.9125,14.6725,13.03,13.755,-.16,-1.12,-,-,-,-,-"


def read(*rows: str, name: str = "ind_close_all_03032025.csv", header: str = HEADER) -> reading.Imported:
    body = ("\n".join([header, *rows]) + "\n").encode()
    made = reading.Source(name=name, sha256="0" * 64, body=body, modified_ns=0, path=name)
    return read_index_close(reading.csv_frame(body, name), made)


def test_the_real_sessions(shared):
    done = read_file(shared("data", "nse", "index_close_2025.csv"))
    assert (done.rows_read, done.rows_kept) == (652, 5 * 6)
    assert done.refused == (("index without listed derivatives", 622),)
    spot, eod = done.tables["spot"], done.tables["eod"]
    assert (spot.schema, eod.schema) == (SPOT, EOD)
    assert spot["underlying"].unique().sort().to_list() == sorted(SYMBOLS.values())
    first = spot.filter(underlying="NIFTY").row(0, named=True)
    assert str(first["ts"]) == "2025-01-01 15:30:00+05:30"
    assert [first[c] for c in ("open", "high", "low", "ltp")] == [23637.65, 23822.8, 23562.8, 23742.9]


def test_the_real_closes_are_those_of_the_bhavcopy(shared):
    """UndrlygPric of the end-of-day file is the index close of the same day."""
    closes = read_file(shared("data", "nse", "index_close_2025.csv")).tables["spot"]
    bhav = read_file(shared("data", "nse", "fo_udiff_eod_202501.parquet")).tables["spot"]
    both = closes.join(bhav, on=["ts", "underlying"], suffix="_bhav")
    assert both.height == 4 * 4
    assert (both["ltp"] == both["ltp_bhav"]).all()


def test_a_row_in_store_units():
    tables = read(NIFTY, VIX).tables
    row = tables["eod"].filter(underlying="NIFTY").row(0, named=True)
    assert (row["kind"], row["exchange"], row["close"], row["prev_close"]) == ("index", "NSE", 22119.3, 22124.7)
    assert (row["volume"], row["oi"], row["expiry"]) == (250114020, None, None)
    assert row["turnover"] == pytest.approx(21044.11e7)
    vix = tables["eod"].filter(underlying="INDIAVIX").row(0, named=True)
    assert (vix["close"], vix["volume"], vix["turnover"], vix["prev_close"]) == (13.755, None, None, 13.915)


@pytest.mark.parametrize("name", ["Nifty 500", "Nifty 50 Arbitrage", "Nifty Financial Services 25/50", "Nifty50 USD"])
def test_an_index_that_only_begins_alike_is_another_one(name):
    done = read(NIFTY, NIFTY.replace("Nifty 50", name))
    assert done.refused == (("index without listed derivatives", 1),)
    assert done.tables["spot"]["underlying"].to_list() == ["NIFTY"]


@pytest.mark.parametrize("name", ["NIFTY 50", " nifty 50 "])
def test_case_and_blanks_do_not_matter(name):
    assert read(NIFTY.replace("Nifty 50", name)).rows_kept == 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("03-03-2025", "soon", "date is not a date"),
        ("22119.3", "-", "close is not a number"),
        ("22119.3", "-1", "price not above zero"),
        ("22261.55", "22000", "crossed prices: high below low"),
        ("x", "x", "repeated index"),
    ],
)
def test_bad_rows_are_refused_by_reason(old, new, reason):
    done = read(NIFTY, VIX, NIFTY.replace(old, new))
    assert (done.rows_kept, done.refused) == (2, ((reason, 1),))


def test_unknown_open_of_an_index_is_null():
    row = read(NIFTY.replace("22194.55", "-")).tables["spot"].row(0, named=True)
    assert (row["open"], row["ltp"]) == (None, 22119.3)


@pytest.mark.parametrize(
    ("rows", "name", "header", "match"),
    [
        ([NIFTY], "ind_close_all_04032025.csv", HEADER, "the name says 2025-03-04, the rows say 2025-03-03"),
        ([NIFTY.replace("03-03-2025", "02-03-2025")], "x.csv", HEADER, "2025-03-02 is no session of NSE"),
        ([NIFTY], "x.csv", HEADER.replace("Index Date", "Date"), "missing column Index Date"),
        ([NIFTY.replace("Nifty 50", "Other")], "x.csv", HEADER, "no usable row .1 index without"),
        ([], "x.csv", HEADER, "no usable row"),
    ],
)
def test_bad_files_are_one_line(rows, name, header, match):
    with pytest.raises(BadData, match=match) as caught:
        read(*rows, name=name, header=header)
    assert "\n" not in str(caught.value)


def test_optional_columns_may_lack():
    header = ",".join(HEADER.split(",")[:6])
    row = read(",".join(NIFTY.split(",")[:6]), header=header).tables["eod"].row(0, named=True)
    assert (row["volume"], row["prev_close"], row["date"]) == (None, None, dt.date(2025, 3, 3))
