"""The bhavcopy before UDiFF: the real part of 1-Aug-2019, the original's trailing comma, lakh and lots."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.contracts import stand_in_token
from toolkit.errors import BadData, UnknownSymbol
from toolkit.market.files import reading
from toolkit.market.files.detect import read_file
from toolkit.market.files.legacy import COLUMNS, read_legacy
from toolkit.market.schema import CHAIN, EOD

HEADER = ",".join(COLUMNS) + ","
OPTION = "OPTIDX,BANKNIFTY,29-Aug-2019,28500,PE,41.5,60,33.1,48.25,48.25,15210,86843.13,1842060,-22500,01-AUG-2019,"
FUTURE = "FUTIDX,NIFTY,29-Aug-2019,0,XX,11000,11050,10950,11010,11010.00,1000,8257.5,75000,0,01-AUG-2019,"
SHARE = "FUTSTK,TCS,29-Aug-2019,0,XX,2200,2210,2190,2205,2205.00,10,55.1,25000,0,01-AUG-2019,"


def body(*rows: str, header: str = HEADER) -> bytes:
    return ("\n".join([header, *rows]) + "\n").encode()


def read(
    *rows: str, name: str = "fo01AUG2019bhav.csv", header: str = HEADER, underlyings: tuple[str, ...] = ()
) -> reading.Imported:
    raw = body(*rows, header=header)
    made = reading.Source(name=name, sha256="0" * 64, body=raw, modified_ns=0, path=name)
    return read_legacy(reading.csv_frame(raw, name), made, underlyings=underlyings)


def test_the_real_part_keeps_every_row(shared):
    done = read_file(shared("data", "nse", "fo_legacy_20190801_partial.csv"))
    assert (done.rows_read, done.rows_kept, done.refused) == (1000, 1000, ())
    eod = done.tables["eod"]
    assert eod.schema == EOD
    untraded = eod.filter(pl.col("open").is_null())
    assert untraded.height == 390
    assert untraded["close"].is_null().all()
    ends = eod.filter(expiry=dt.date(2019, 8, 1), kind="option")
    assert ends.height == 124
    assert ends["settle"].is_null().all()
    first = eod.filter(underlying="BANKNIFTY", kind="future").row(0, named=True)
    assert (first["oi"], first["volume"], first["turnover"]) == (1675780, 214569 * 20, 1225914.96 * 1e5)


def test_the_real_turnover_is_contracts_times_the_dated_lot(shared):
    eod = read_file(shared("data", "nse", "fo_legacy_20190801_partial.csv")).tables["eod"]
    rows = eod.filter((pl.col("underlying") == "BANKNIFTY") & (pl.col("volume") > 2000) & (pl.col("kind") == "option"))
    paid = rows["turnover"] / rows["volume"] - rows["strike_p"] / 100
    assert rows.height > 100
    assert ((paid >= rows["low"] - 5) & (paid <= rows["high"] + 5)).all()


def test_lots_it_does_not_name_leave_volume_unknown_and_counted(shared):
    done = read_file(shared("data", "nse", "fo_legacy_20190801_partial.csv"))
    assert done.noted == (("lot not in the dated table: volume unknown", 381),)
    shares = done.tables["eod"].filter(underlying="TCS")
    assert shares["volume"].is_null().all()
    assert (shares["oi"] > 0).any()


def test_a_row_in_units_and_rupees():
    done = read(OPTION, FUTURE)
    row = done.tables["eod"].filter(kind="option").row(0, named=True)
    assert (row["volume"], row["lot"], row["oi"], row["oi_change"]) == (15210 * 20, 20, 1842060, -22500)
    assert row["turnover"] == pytest.approx(8684313000.0)
    assert (row["close"], row["settle"], row["trades"], row["spot"], row["last"]) == (48.25, 48.25, None, None, None)
    chain = done.tables["chain"]
    assert chain.schema == CHAIN
    assert chain["token"].to_list() == [stand_in_token("NSE_FO", "BANKNIFTY", dt.date(2019, 8, 29), 2850000, "PE")]
    assert str(chain["ts"][0]) == "2019-08-01 15:30:00+05:30"
    assert done.tables["futures"]["volume"].to_list() == [75000]
    assert done.tables["instruments"]["symbol"].sort().to_list() == [
        "BANKNIFTY 29AUG2019 28500 PE",
        "NIFTY 29AUG2019 FUT",
    ]
    assert "spot" not in done.tables


@pytest.mark.parametrize("header", [HEADER, HEADER.rstrip(",")])
def test_the_trailing_comma_may_be_there_or_not(header):
    assert read(OPTION, header=header).rows_kept == 1
    assert read(OPTION.rstrip(","), header=header).rows_kept == 1


def test_american_options_of_old_years_are_calls_and_puts():
    done = read(OPTION.replace(",PE,", ",PA,"), OPTION.replace(",PE,", ",CA,"))
    assert done.tables["chain"]["option_type"].to_list() == ["CE", "PE"]


def test_settlement_of_zero_on_expiry_day_is_unknown():
    row = OPTION.replace("29-Aug-2019", "01-Aug-2019").replace("48.25,48.25", "48.25,0")
    found = read(row).tables["eod"].row(0, named=True)
    assert (found["settle"], found["final_settlement"], found["close"]) == (None, None, 48.25)


def test_an_untraded_row_has_no_price_of_the_day():
    row = OPTION.replace("41.5,60,33.1", "0,0,0").replace("15210,86843.13", "0,0")
    found = read(row).tables["eod"].row(0, named=True)
    assert [found[c] for c in ("open", "high", "low", "close")] == [None] * 4
    assert found["settle"] == 48.25


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("OPTIDX", "OPTCUR", "instrument type is not known"),
        ("BANKNIFTY", "a b", "symbol is not a name"),
        ("29-Aug-2019", "29-Foo-2019", "expiry is not a date"),
        ("29-Aug-2019", "25-Jul-2019", "expiry before the trade date"),
        (",28500,", ",0,", "strike is not a positive price"),
        (",PE,", ",XX,", "option type is not CE or PE"),
        ("1842060", "", "open interest is not a number"),
        ("1842060", "-60", "open interest below zero"),
        ("15210", "-1", "volume below zero"),
        ("60,33.1", "60,61", "crossed prices: high below low"),
        ("41.5", "-41.5", "negative price"),
        ("01-AUG-2019", "soon", "trade date is not a date"),
    ],
)
def test_bad_rows_are_refused_by_reason(old, new, reason):
    done = read(FUTURE, OPTION.replace(old, new))
    assert (done.rows_kept, done.refused) == (1, ((reason, 1),))
    with pytest.raises(BadData, match=f"no usable row .1 {reason}"):
        read(OPTION.replace(old, new))


def test_the_files_date_and_day_are_checked():
    with pytest.raises(BadData, match="the name says 2019-08-02, the rows say 2019-08-01"):
        read(OPTION, name="fo02AUG2019bhav.csv")
    with pytest.raises(BadData, match="2019-08-15 is no session of NSE"):
        read(OPTION.replace("01-AUG-2019", "15-AUG-2019"), name="x.csv")


def test_symbols_asked_for_and_repeats():
    done = read(OPTION, OPTION, SHARE, underlyings=("BANKNIFTY",))
    assert done.refused == (("repeated contract", 1), ("symbol not asked for", 1))
    with pytest.raises(UnknownSymbol, match="BANKNIFTI"):
        read(OPTION, underlyings=("BANKNIFTI",))


def test_a_missing_column_is_named():
    with pytest.raises(BadData, match="missing column OPEN_INT"):
        read(OPTION, header=HEADER.replace("OPEN_INT", "OI"))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**7), st.integers(0, 10**9), st.booleans())
def test_units_round_trip_in_both_spellings_of_integers(contracts, oi, resaved):
    tail = ".0" if resaved else ""
    row = f"FUTIDX,NIFTY,29-Aug-2019,0{tail},XX,1,1,1,1,1,{contracts}{tail},0,{oi}{tail},0,01-AUG-2019,"
    found = read(row).tables["eod"].row(0, named=True)
    assert (found["volume"], found["oi"]) == (contracts * 75, oi)


def test_a_file_older_than_the_dated_lots_keeps_its_rows_and_says_so():
    row = "OPTIDX,NIFTY,25-Jan-2018,10500,PE,41.5,60,33.1,48.25,48.25,15210,120388.4,1842075,-22500,18-JAN-2018,"
    done = read(row, name="fo18JAN2018bhav.csv")
    (kept,) = done.tables["eod"].iter_rows(named=True)
    assert (kept["date"], kept["oi"], kept["lot"], kept["volume"]) == (dt.date(2018, 1, 18), 1842075, None, None)
    assert kept["turnover"] == pytest.approx(120388.4e5)
    assert done.noted == (("lot not in the dated table: volume unknown", 1),)
