from __future__ import annotations

import datetime as dt
import time

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.brokers.kite_master import COLUMNS, KiteMaster, read_dump
from toolkit.errors import BadData, UnknownSymbol
from toolkit.market.schema import INSTRUMENTS
from toolkit.types import Kind

ON = dt.date(2026, 7, 13)
HEAD = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange\n"
ROWS = """\
10240258,40001,NIFTY2671425000CE,NIFTY,0,2026-07-14,25000.0,0.05,65,CE,NFO-OPT,NFO
10240514,40002,NIFTY2671425000PE,NIFTY,0,2026-07-14,25000.0,0.05,65,PE,NFO-OPT,NFO
10240770,40003,NIFTY2671425050CE,NIFTY,0,2026-07-14,25050.0,0.05,65,CE,NFO-OPT,NFO
10241026,40004,NIFTY26JULFUT,NIFTY,0,2026-07-28,0.0,0.1,65,FUT,NFO-FUT,NFO
10241282,40005,NIFTY2670725000CE,NIFTY,0,2026-07-07,25000.0,0.05,65,CE,NFO-OPT,NFO
215040261,840001,SENSEX2671680800CE,SENSEX,0,2026-07-16,80800.0,0.05,20,CE,BFO-OPT,BFO
10241538,40006,M&M26JUL3000CE,,0,2026-07-28,3000.0,0.05,200,CE,NFO-OPT,NFO
408065,1594,INFY,INFOSYS,0,,0.0,0.05,1,EQ,NSE,NSE
128008708,500034,INFY,INFOSYS,0,,,0.05,1,EQ,BSE,BSE
256265,1001,NIFTY 50,NIFTY 50,0,,0.0,0.05,0,EQ,INDICES,NSE
412675,1612,USDINR21JUNFUT,USDINR,0,2026-07-28,0.0,0.0025,1,FUT,CDS-FUT,CDS
"""
BODY = (HEAD + ROWS).encode()


@pytest.fixture(scope="module")
def master():
    return KiteMaster(read_dump(BODY, ON), ON)


def test_the_table_has_the_schema_and_the_terms(master):
    table = master.table
    assert dict(table.schema) == dict(INSTRUMENTS)
    assert len(master) == 10  # currency is left out
    call = table.filter(pl.col("source_symbol") == "NIFTY2671425000CE").row(0, named=True)
    assert (call["symbol"], call["exchange"], call["segment"]) == ("NIFTY 14JUL2026 25000 CE", "NSE", "NSE_FO")
    assert (call["strike_p"], call["lot"], call["tick_p"], call["freeze_qty"]) == (2_500_000, 65, 5, 1800)


@pytest.mark.parametrize(
    ("text", "kite"),
    [
        ("NIFTY 14JUL2026 25000 CE", "NFO:NIFTY2671425000CE"),
        ("nifty  14jul2026 25000 ce", "NFO:NIFTY2671425000CE"),
        ("NFO:NIFTY2671425000CE", "NFO:NIFTY2671425000CE"),
        ("NIFTY2671425000CE", "NFO:NIFTY2671425000CE"),
        ("NSE:NIFTY 14JUL2026 25000 CE", "NFO:NIFTY2671425000CE"),
        ("10240258", "NFO:NIFTY2671425000CE"),
        ("NIFTY 28JUL2026 FUT", "NFO:NIFTY26JULFUT"),
        ("SENSEX 16JUL2026 80800 CE", "BFO:SENSEX2671680800CE"),
        ("M&M 28JUL2026 3000 CE", "NFO:M&M26JUL3000CE"),
        ("NSE:INFY EQ", "NSE:INFY"),
        ("BSE:INFY", "BSE:INFY"),
        ("NIFTY", "NSE:NIFTY 50"),
    ],
)
def test_both_ways(master, text, kite):
    found = master.find(text)
    assert master.kite_name(found) == kite
    assert master.by_kite(*kite.split(":")) == found
    assert master.by_key(found.token) == found
    assert master.find(kite) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("NIFTY 14JUL2026 25005 CE", "did you mean 'NIFTY 14JUL2026 25050 CE'"),
        ("NIFTTY 14JUL2026 25000 CE", "did you mean 'NIFTY'"),
        ("NIFTY2671425001CE", "did you mean 'NIFTY"),
        ("NIFTY 07JUL2026 25000 CE", "expired on 2026-07-07; live ones: NIFTY 14JUL2026 25000 CE"),
        ("NIFTY 01JUL2025 25000 CE", "expired on 2025-07-01"),
        ("INFY EQ", "names 2 instruments: NSE:INFY, BSE:INFY; name the exchange"),
        ("", "no instrument ''"),
        ("999", "no instrument"),
    ],
)
def test_what_names_nothing_says_why(master, text, says):
    with pytest.raises(UnknownSymbol, match=says):
        master.find(text)


def test_the_exchange_must_be_right(master):
    assert master.find("INFY EQ", "BSE").exchange == "BSE"
    with pytest.raises(UnknownSymbol, match="not listed on BSE; it is on NSE"):
        master.find("NIFTY 14JUL2026 25000 CE", "BSE")


def test_single_contracts(master):
    kinds = {i.symbol: i.kind for i in master}
    assert kinds["NIFTY"] is Kind.INDEX
    assert kinds["INFY EQ"] is Kind.EQUITY
    assert master.by_key(1) is None
    assert master.by_kite(None, None) is None


def test_the_official_mock(shared):
    body = shared("fixtures", "kite", "instruments_all.csv").read_bytes()
    table = read_dump(body, dt.date(2018, 1, 1))
    assert table.height == body.strip().count(b"\n")
    keys = table.select((pl.col("token") * 256 + pl.col("venue").replace_strict({"NSE": 1, "NFO": 2, "BSE": 4}, return_dtype=pl.Int64) == pl.col("key")).all())  # fmt: skip
    assert keys.item()
    assert "BANKNIFTY 25JAN2018 23500 CE" in table["symbol"].to_list()


@pytest.mark.parametrize("body", [b"", b"<html>", b"a,b\n1,2\n", HEAD.encode(), (HEAD + "x,y\n").encode(), b"\xff\xfe"])
def test_what_is_no_dump_is_bad_data(body):
    with pytest.raises(BadData, match="instrument dump of kite"):
        read_dump(body, ON)


@given(st.lists(st.lists(st.sampled_from(["", "1", "-5", "NFO", "CE", "2026-07-14", "x", "1e99", "NFO-OPT", "NaN", "9" * 30]), min_size=12, max_size=12), min_size=1, max_size=4))  # fmt: skip
def test_hostile_rows_are_left_out_or_read(rows):
    body = (HEAD + "\n".join(",".join(r) for r in rows) + "\n").encode() + ROWS.encode()
    table = read_dump(body, ON)
    assert table.height >= 10
    assert table["key"].is_unique().all()


def test_a_hundred_thousand_rows_take_under_half_a_second():
    lines = [
        f"{n * 256 + 2},{n},U{n % 50:02d}26JUL{20000 + n}CE,U{n % 50:02d},0,2026-07-28,{20000 + n}.0,0.05,65,CE,NFO-OPT,NFO"
        for n in range(1, 100_001)
    ]
    body = (HEAD + "\n".join(lines)).encode()
    best = 1e9
    for _ in range(5):
        start = time.perf_counter()
        table = read_dump(body, ON)
        best = min(best, time.perf_counter() - start)
    assert table.height == 100_000
    assert best < 0.5
    assert KiteMaster(table, ON).find("U07 28JUL2026 20007 CE").lot == 65


def test_columns_are_those_of_the_documents():
    assert set(COLUMNS) <= set(HEAD.strip().split(","))
