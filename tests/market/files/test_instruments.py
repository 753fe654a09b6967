"""Instrument masters: Kite's real dump, the exchanges' 1980 epoch and paise."""

from __future__ import annotations

import datetime as dt
import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.detect import How, read_as
from toolkit.market.files.instruments import KITE_COLUMNS, MASTER_COLUMNS, read_instruments
from toolkit.market.schema import INSTRUMENTS

EPOCH = dt.date(1980, 1, 1)
MASTER = [*MASTER_COLUMNS, "DelFlg", "StockNm", "PrtdToTrad"]
DAY = dt.date(2025, 9, 1)


def seconds(day: dt.date, hour: int = 14) -> str:
    return str((day - EPOCH).days * 86400 + hour * 3600 + 1800)


def master(**change: str) -> dict[str, str]:
    made = {
        "FinInstrmId": "51111",
        "FinInstrmNm": "OPTIDX",
        "TckrSymb": "NIFTY",
        "XpryDt": seconds(dt.date(2025, 9, 9)),
    }
    made |= {"StrkPric": "2450000", "OptnTp": "CE", "NewBrdLotQty": "75", "BidIntrvl": "5"}
    return {**made, "DelFlg": "N", "StockNm": "NIFTY2590924500CE", "PrtdToTrad": "1", **change}


def kite(**change: str) -> dict[str, str]:
    made = {
        "exchange_token": "47164",
        "tradingsymbol": "BANKNIFTY25SEP55000CE",
        "name": "BANKNIFTY",
        "expiry": "2025-09-30",
    }
    made |= {"strike": "55000.0", "tick_size": "0.05", "lot_size": "35", "instrument_type": "CE", "segment": "NFO-OPT"}
    return {**made, "exchange": "NFO", **change}


def source(rows: list[dict[str, str]], columns: list[str], name: str) -> reading.Source:
    lines = [",".join(columns), *(",".join(row[c] for c in columns) for row in rows)]
    body = ("\n".join(lines) + "\n").encode()
    return reading.Source(name=name, sha256="0" * 64, body=body, modified_ns=0, path=name)


def read(*rows: dict[str, str], name: str | None = None, on: dt.date | None = None) -> reading.Imported:
    columns = list(KITE_COLUMNS) if "tradingsymbol" in rows[0] else MASTER
    name = name or ("instruments.csv" if "tradingsymbol" in rows[0] else "NSE_FO_contract_01092025.csv.gz")
    made = source(list(rows), columns, name)
    if on is None and name == "instruments.csv":
        on = DAY
    return read_instruments(reading.csv_frame(made.body, name), made, on=on)


def test_kites_real_dump_on_its_own_day(shared):
    path = shared("fixtures", "kite", "instruments_all.csv")
    done = read_as("instruments", reading.fetch(path), How(on=dt.date(2017, 12, 15)))
    assert (done.rows_read, done.rows_kept) == (99, 96)
    assert done.refused == (("expired before the day", 3),)
    frame = done.tables["instruments"]
    assert frame.schema == INSTRUMENTS
    row = frame.filter(source_symbol="BANKNIFTY18JAN23500CE").row(0, named=True)
    assert (row["symbol"], row["underlying"]) == ("BANKNIFTY 25JAN2018 23500 CE", "BANKNIFTY")
    assert (row["token"], row["lot"], row["tick_p"], row["strike_p"]) == (47164, 40, 5, 2350000)
    assert (row["exchange"], row["segment"], row["valid_on"]) == ("NSE", "NSE_FO", dt.date(2017, 12, 15))
    assert frame.filter(kind="equity", exchange="BSE").height == 19


def test_the_exchanges_epoch_and_paise():
    row = read(master()).tables["instruments"].row(0, named=True)
    assert (row["expiry"], row["strike_p"], row["tick_p"], row["lot"]) == (dt.date(2025, 9, 9), 2450000, 5, 75)
    assert (row["symbol"], row["source_symbol"]) == ("NIFTY 09SEP2025 24500 CE", "NIFTY2590924500CE")
    assert (row["token"], row["segment"], row["valid_on"]) == (51111, "NSE_FO", DAY)


@settings(max_examples=40, deadline=None)
@given(st.dates(DAY, dt.date(2040, 1, 1)), st.integers(0, 23))
def test_the_time_of_an_expiry_means_nothing(day, hour):
    row = read(master(XpryDt=seconds(day, hour))).tables["instruments"].row(0, named=True)
    assert row["expiry"] == day


def test_bse_says_dates_in_words_and_a_name_that_begins_so():
    change = {
        "TckrSymb": "SENSEX",
        "XpryDt": "09-SEP-2025",
        "StrkPric": "8000000",
        "NewBrdLotQty": "20",
        "StockNm": "x",
    }
    row = read(master(**change), name="BSE_EQD_CONTRACT_01092025.csv").tables["instruments"].row(0, named=True)
    assert (row["exchange"], row["segment"], row["expiry"]) == ("BSE", "BSE_FO", dt.date(2025, 9, 9))


@pytest.mark.parametrize("strike", ["0", "-1", ""])
def test_a_future_has_no_strike(strike):
    row = read(master(FinInstrmNm="FUTIDX", StrkPric=strike, OptnTp="XX")).tables["instruments"].row(0, named=True)
    assert (row["kind"], row["strike_p"], row["option_type"], row["symbol"]) == (
        "future",
        None,
        None,
        "NIFTY 09SEP2025 FUT",
    )


@pytest.mark.parametrize(
    ("row", "kind", "symbol", "underlying"),
    [
        (kite(), "option", "BANKNIFTY 30SEP2025 55000 CE", "BANKNIFTY"),
        (kite(name=""), "option", "BANKNIFTY 30SEP2025 55000 CE", "BANKNIFTY"),
        (kite(name="", tradingsymbol="360ONE25SEP1000CE"), "option", "360ONE 30SEP2025 55000 CE", "360ONE"),
        (
            kite(name="", tradingsymbol="M&M25SEP3000.5PE", instrument_type="PE"),
            "option",
            "M&M 30SEP2025 55000 PE",
            "M&M",
        ),
        (kite(name="", tradingsymbol="NIFTY2590224500CE"), "option", "NIFTY 30SEP2025 55000 CE", "NIFTY"),
        (
            kite(name="", tradingsymbol="NIFTYNXT5025SEPFUT", instrument_type="FUT", strike="0"),
            "future",
            "NIFTYNXT50 30SEP2025 FUT",
            "NIFTYNXT50",
        ),
        (kite(exchange="BFO", name="SENSEX"), "option", "SENSEX 30SEP2025 55000 CE", "SENSEX"),
        (
            kite(
                exchange="NSE",
                segment="NSE",
                instrument_type="EQ",
                tradingsymbol="TCS",
                name="TATA",
                expiry="",
                strike="0",
            ),
            "equity",
            "TCS EQ",
            "TCS",
        ),
        (
            kite(
                exchange="NSE",
                segment="INDICES",
                instrument_type="EQ",
                tradingsymbol="NIFTY 50",
                name="NIFTY 50",
                expiry="",
            ),
            "index",
            "NIFTY",
            "NIFTY",
        ),
    ],
)
def test_kites_rows_of_each_kind(row, kind, symbol, underlying):
    found = read(row).tables["instruments"].row(0, named=True)
    assert (found["kind"], found["symbol"], found["underlying"]) == (kind, symbol, underlying)
    assert found["exchange"] == ("BSE" if row["exchange"].startswith("B") else "NSE")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (master(FinInstrmId="2", DelFlg="Y"), "marked as deleted"),
        (master(FinInstrmId="2", FinInstrmNm="UNDCUR"), "instrument type is not known"),
        (master(FinInstrmId="2", TckrSymb="a b"), "symbol is not a name"),
        (master(FinInstrmId="x"), "token is not a number"),
        (master(FinInstrmId="2", XpryDt="never"), "expiry is not a date"),
        (master(FinInstrmId="2", XpryDt=seconds(dt.date(2025, 8, 28))), "expired before the day"),
        (master(FinInstrmId="2", StrkPric="0"), "strike is not a positive price"),
        (master(FinInstrmId="2", NewBrdLotQty=""), "lot is not a positive number"),
        (master(), "repeated token"),
    ],
)
def test_bad_rows_of_a_master_are_refused_by_reason(row, reason):
    done = read(master(), row)
    assert (done.rows_read, done.rows_kept, done.refused) == (2, 1, ((reason, 1),))


def test_other_segments_of_kite_are_refused():
    done = read(kite(), kite(exchange="MCX", exchange_token="5"))
    assert done.refused == (("exchange or segment is not one we keep", 1),)


def test_an_expiry_read_as_unix_time_would_be_ten_years_early():
    unix = str(int(dt.datetime(2025, 9, 9, tzinfo=dt.UTC).timestamp()))
    found = read(master(XpryDt=unix)).tables["instruments"]["expiry"][0]
    assert found == dt.date(2025, 9, 9) + (EPOCH - dt.date(1970, 1, 1))


def test_the_day_is_in_the_name_or_said():
    assert read(master(), on=DAY).options == (("on", "2025-09-01"),)
    with pytest.raises(BadData, match="the name says 2025-09-01, asked for 2025-09-02"):
        read(master(), on=dt.date(2025, 9, 2))
    with pytest.raises(BadData, match="carries no date; say on which day"):
        read(master(), name="contract.csv")


def test_a_missing_column_or_no_usable_row_is_one_line():
    made = source([kite()], [c for c in KITE_COLUMNS if c != "lot_size"], "instruments.csv")
    with pytest.raises(BadData, match="missing column lot_size"):
        read_instruments(reading.csv_frame(made.body, "x"), made, on=DAY)
    with pytest.raises(BadData, match=r"no usable row .1 expired"):
        read(kite(expiry="2025-08-01"))


def test_a_gzip_master_is_opened(tmp_path):
    made = source([master()], MASTER, "x")
    path = tmp_path / "NSE_FO_contract_01092025.csv.gz"
    path.write_bytes(gzip.compress(made.body))
    assert read_as("instruments", reading.fetch(path)).rows_kept == 1
