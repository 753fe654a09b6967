"""UDiFF bhavcopies: the real files of 52 sessions, and the two exchanges' units and expiry rules."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import zipfile

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData, UnknownSymbol
from toolkit.market.files import reading, udiff
from toolkit.market.files.detect import read_file
from toolkit.market.files.udiff import COLUMNS, read_udiff
from toolkit.market.schema import CHAIN, EOD, FUTURES, INSTRUMENTS, SPOT

HEADER = (
    "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,OptnTp,"
    "FinInstrmNm,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,ChngInOpnIntrst,"
    "TtlTradgVol,TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty,Rmks,Rsvd1,Rsvd2,Rsvd3,Rsvd4"
)
DAY = dt.date(2025, 9, 1)
NSE = {
    "TradDt": "2025-09-01",
    "BizDt": "2025-09-01",
    "Sgmt": "FO",
    "Src": "NSE",
    "FinInstrmTp": "IDO",
    "FinInstrmId": "51111",
    "TckrSymb": "NIFTY",
    "XpryDt": "2025-09-09",
    "FininstrmActlXpryDt": "2025-09-09",
    "StrkPric": "24500.00",
    "OptnTp": "CE",
    "FinInstrmNm": "NIFTY2590924500CE",
    "OpnPric": "88.00",
    "HghPric": "104.50",
    "LwPric": "71.20",
    "ClsPric": "90.15",
    "LastPric": "91.00",
    "PrvsClsgPric": "95.40",
    "UndrlygPric": "24480.10",
    "SttlmPric": "90.15",
    "OpnIntrst": "1301300",
    "ChngInOpnIntrst": "-65000",
    "TtlTradgVol": "20400",
    "TtlTrfVal": f"{20400 * 75 * (24500 + 90):.2f}",
    "TtlNbOfTxsExctd": "9120",
    "SsnId": "F1",
    "NewBrdLotQty": "75",
}
FUTURE = {
    **NSE,
    "FinInstrmTp": "IDF",
    "FinInstrmId": "35013",
    "StrkPric": "",
    "OptnTp": "",
    "FinInstrmNm": "NIFTY25SEPFUT",
    "XpryDt": "2025-09-30",
    **dict.fromkeys(("OpnPric", "HghPric", "LwPric", "ClsPric", "LastPric", "PrvsClsgPric", "SttlmPric"), "24600.00"),
    "TtlTrfVal": f"{20400 * 75 * 24600:.2f}",
}
BSE = {
    **NSE,
    "Src": "BSE",
    "FinInstrmId": "871234",
    "TckrSymb": "SENSEX",
    "StrkPric": "80000.00",
    "OptnTp": "PE",
    "FinInstrmNm": "SENSEX2590980000PE",
    "UndrlygPric": "80110.20",
    "TtlTradgVol": "1440000",
    "TtlTrfVal": f"{1440000 * (80000 + 90):.2f}",
    "NewBrdLotQty": "20",
}
UNTRADED = {
    "TtlTradgVol": "0",
    "TtlTrfVal": "0.00",
    "TtlNbOfTxsExctd": "0",
    "OpnPric": "0.00",
    "HghPric": "0.00",
    "LwPric": "0.00",
}


def text_of(*rows: dict[str, str]) -> bytes:
    names = HEADER.split(",")
    lines = [HEADER, *(",".join(row.get(name, "") for name in names) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def source(body: bytes, name: str = "bhav.csv") -> reading.Source:
    return reading.Source(name=name, sha256="0" * 64, body=body, modified_ns=0, path=name)


def read(*rows: dict[str, str], name: str = "bhav.csv", underlyings: tuple[str, ...] = ()) -> reading.Imported:
    body = text_of(*rows)
    return read_udiff(reading.csv_frame(body, name), source(body, name), underlyings=underlyings)


def strikes(*rows: dict[str, str]) -> list[dict[str, str]]:
    return [{**row, "StrkPric": f"{float(row['StrkPric']) + 50 * i:.2f}"} for i, row in enumerate(rows)]


def test_every_row_of_the_real_whole_market_file_is_accounted_for(shared):
    done = read_file(shared("data", "nse", "BhavCopy_NSE_FO_0_0_0_20250206_F_0000.csv.zip"))
    assert (done.rows_read, done.rows_kept, done.refused, done.noted) == (35984, 35984, (), ())
    heights = {name: frame.height for name, frame in done.tables.items()}
    assert heights == {"eod": 35984, "instruments": 35984, "chain": 35322, "futures": 662, "spot": 232}
    assert done.chain_kind == "eod"
    schemas = {"eod": EOD, "chain": CHAIN, "futures": FUTURES, "spot": SPOT, "instruments": INSTRUMENTS}
    assert all(done.tables[name].schema == schema for name, schema in schemas.items())


def test_the_real_files_prices_and_units(shared):
    eod = read_file(shared("data", "nse", "BhavCopy_NSE_FO_0_0_0_20250206_F_0000.csv.zip")).tables["eod"]
    untraded = eod.filter(pl.col("volume") == 0)
    assert untraded.height == 22789
    assert untraded.select(pl.col("open", "high", "low", "close").is_null().all()).row(0) == (True,) * 4
    ends = eod.filter(expiry=dt.date(2025, 2, 6), kind="option")
    assert ends["settle"].is_null().all()
    assert (ends["final_settlement"] == ends["spot"]).all()
    traded = eod.filter((pl.col("volume") > 0) & (pl.col("kind") == "option"))
    ratio = traded["turnover"] / (
        traded["volume"] * (traded["strike_p"] / 100 + traded["close"].fill_null(traded["last"]))
    )
    assert abs(ratio.median() - 1) < 1e-3


@pytest.mark.parametrize(
    ("name", "rows", "days"),
    [
        ("fo_udiff_eod_202501", 34922, 8),
        ("fo_udiff_eod_202502a", 66069, 14),
        ("fo_udiff_eod_20260101_20260213", 147557, 30),
    ],
)
def test_the_real_extracts_of_many_sessions(shared, name, rows, days):
    done = read_file(shared("data", "nse", f"{name}.parquet"))
    assert (done.rows_read, done.rows_kept, done.refused) == (rows, rows, ())
    assert done.tables["eod"]["date"].n_unique() == days
    chain = done.tables["chain"]
    closes = chain.select(pl.col("ts").dt.time().unique())["ts"].to_list()
    assert closes == [dt.time(15, 30)]
    assert chain.select("ts").n_unique() == days


def test_the_published_ratios_of_real_days(shared):
    chain = read_file(shared("data", "nse", "fo_udiff_eod_202502a.parquet")).tables["chain"]
    for day, symbol, expiry, ce, pe in (
        (dt.date(2025, 2, 3), "NIFTY", dt.date(2025, 2, 6), 192808500, 143113275),
        (dt.date(2025, 2, 3), "BANKNIFTY", dt.date(2025, 2, 27), 20663040, 16408800),
        (dt.date(2025, 2, 20), "NIFTY", dt.date(2025, 2, 20), 130407450, 108333525),
    ):
        rows = chain.filter(pl.col("ts").dt.date() == day, underlying=symbol, expiry=expiry)
        sums = [rows.filter(option_type=side)["oi"].sum() for side in ("CE", "PE")]
        assert sums == [ce, pe]


def test_the_change_in_open_interest_holds_between_real_days(shared):
    eod = read_file(shared("data", "nse", "fo_udiff_eod_202502a.parquet")).tables["eod"]
    rows = eod.filter(pl.col("underlying").is_in(["NIFTY", "BANKNIFTY", "RELIANCE", "HDFCBANK"])).sort("date")
    rows = rows.with_columns(before=pl.col("oi").shift(1).over("token", "expiry")).drop_nulls("before")
    assert rows.height > 30000
    assert (rows["oi"] - rows["before"] == rows["oi_change"]).all()


@pytest.mark.parametrize("container", ["csv", "csv.gz", "csv.zip", "CSV", "parquet"])
def test_every_container_gives_the_same_tables(tmp_path, container):
    body = text_of(NSE, FUTURE)
    plain = read_udiff(reading.csv_frame(body, "x"), source(body))
    raw = body
    if container == "csv.gz":
        raw = gzip.compress(body)
    elif container == "csv.zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("x.csv", body)
        raw = buffer.getvalue()
    elif container == "parquet":
        frame = pl.read_csv(body, try_parse_dates=True).select(COLUMNS)
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        raw = buffer.getvalue()
    path = tmp_path / f"BhavCopy_NSE_FO_0_0_0_20250901_F_0000.{container}"
    path.write_bytes(raw)
    done = read_file(path)
    assert all(done.tables[name].equals(frame) for name, frame in plain.tables.items())


def test_volume_is_contracts_on_nse_and_units_on_bse():
    nse, bse = read(NSE).tables["eod"].row(0, named=True), read(BSE).tables["eod"].row(0, named=True)
    assert (nse["volume"], nse["oi"], nse["oi_change"], nse["lot"]) == (20400 * 75, 1301300, -65000, 75)
    assert (bse["volume"], bse["oi"], bse["lot"]) == (1440000, 1301300, 20)
    assert nse["turnover"] == 20400 * 75 * 24590.0


@pytest.mark.parametrize("row", [{**NSE, "TtlTradgVol": str(20400 * 75)}, {**BSE, "TtlTradgVol": str(1440000 // 20)}])
def test_volume_in_the_other_unit_is_refused_by_its_turnover(row):
    with pytest.raises(BadData, match="turnover contradicts volume in 1 of 1 traded rows"):
        read(row)


def test_a_stray_turnover_is_noted_not_fatal():
    rows = strikes(*[NSE] * 150)
    for row in rows:
        row["TtlTrfVal"] = f"{20400 * 75 * (float(row['StrkPric']) + 90):.2f}"
    rows[0]["TtlTrfVal"] = "1.00"
    assert read(*rows).noted == (("turnover differs from volume by more than 2 %", 1),)


def test_an_ordinary_day_keeps_close_and_settlement():
    row = read(NSE).tables["eod"].row(0, named=True)
    assert [row[c] for c in ("open", "high", "low", "close", "last", "prev_close", "settle")] == [
        88.0,
        104.5,
        71.2,
        90.15,
        91.0,
        95.4,
        90.15,
    ]
    assert (row["final_settlement"], row["spot"], row["strike_p"], row["option_type"]) == (None, 24480.1, 2450000, "CE")


@pytest.mark.parametrize(("row", "close"), [(NSE, 90.15), (BSE, None)])
def test_on_expiry_day_settlement_is_not_a_premium(row, close):
    ends = {**row, "XpryDt": "2025-09-01", "SttlmPric": row["UndrlygPric"]}
    if row is BSE:
        ends["ClsPric"] = row["UndrlygPric"]
    done = read(ends)
    found = done.tables["eod"].row(0, named=True)
    assert (found["settle"], found["final_settlement"]) == (None, float(row["UndrlygPric"]))
    assert found["close"] == close
    assert done.tables["chain"]["ltp"].to_list() == [90.15 if close else 91.0]


def test_a_future_keeps_its_daily_settlement_on_its_last_day():
    found = read({**FUTURE, "XpryDt": "2025-09-01"}).tables["eod"].row(0, named=True)
    assert (found["settle"], found["final_settlement"]) == (24600.0, 24600.0)


@pytest.mark.parametrize("row", [NSE, BSE])
def test_an_untraded_close_is_no_price_of_today(row):
    done = read({**row, **UNTRADED, "ClsPric": "95.40"})
    found = done.tables["eod"].row(0, named=True)
    assert [found[c] for c in ("open", "high", "low", "close")] == [None] * 4
    assert (found["prev_close"], found["last"], found["volume"]) == (95.4, 91.0, 0)
    assert done.tables["chain"]["ltp"].to_list() == [None]


def test_the_closing_snapshot_has_spot_and_the_future_of_its_own_expiry():
    weekly, monthly = NSE, {**NSE, "FinInstrmId": "51112", "XpryDt": "2025-09-30"}
    tables = read(weekly, monthly, FUTURE).tables
    chain = tables["chain"].sort("expiry")
    assert chain["futures"].to_list() == [None, 24600.0]
    assert chain["spot"].to_list() == [24480.1] * 2
    assert chain["recv_ts"].to_list() == [None] * 2
    assert {str(ts) for ts in chain["ts"]} == {"2025-09-01 15:30:00+05:30"}
    assert tables["futures"].select("token", "ltp", "settle", "oi").rows() == [(35013, 24600.0, 24600.0, 1301300)]
    assert tables["spot"].select("underlying", "ltp", "open").rows() == [("NIFTY", 24480.1, None)]


def test_instruments_have_both_names_and_the_files_lot():
    rows = (
        read(NSE, FUTURE).tables["instruments"].sort("token").select("symbol", "source_symbol", "segment", "lot").rows()
    )
    assert rows == [
        ("NIFTY 30SEP2025 FUT", "NIFTY25SEPFUT", "NSE_FO", 75),
        ("NIFTY 09SEP2025 24500 CE", "NIFTY2590924500CE", "NSE_FO", 75),
    ]


def test_a_lot_that_the_dated_table_does_not_have_is_kept_and_reported():
    other = {**NSE, "NewBrdLotQty": "25", "TtlTrfVal": f"{20400 * 25 * 24590:.2f}"}
    done = read(other)
    assert done.noted == (("lot differs from the dated table (the file's is kept)", 1),)
    assert done.tables["chain"]["lot"].to_list() == [25]


def test_stock_contracts_of_bse_stay_in_eod():
    stock = {**BSE, "FinInstrmTp": "STO", "TckrSymb": "RELIANCE", "StrkPric": "1400.00", "NewBrdLotQty": "500"}
    stock["TtlTrfVal"] = f"{1440000 * 1490:.2f}"
    done = read(stock, BSE)
    assert done.noted == (("BSE stock contracts kept in eod only", 1),)
    assert done.tables["eod"].height == 2
    assert done.tables["chain"]["underlying"].to_list() == ["SENSEX"]
    assert done.tables["spot"]["underlying"].to_list() == ["SENSEX"]


def test_cash_rows_give_share_closes_in_shares():
    share = {
        **NSE,
        "Sgmt": "CM",
        "FinInstrmTp": "STK",
        "TckrSymb": "TCS",
        "SctySrs": "EQ",
        "XpryDt": "",
        "StrkPric": "",
        "OptnTp": "",
        "NewBrdLotQty": "1",
    }
    share |= {"UndrlygPric": "", "OpnIntrst": "", "ChngInOpnIntrst": "", "TtlTrfVal": f"{20400 * 90:.2f}"}
    bond = {**share, "SctySrs": "GB", "FinInstrmId": "7"}
    done = read(share, bond)
    assert done.refused == (("series is not EQ or BE", 1),)
    found = done.tables["eod"].row(0, named=True)
    assert (found["kind"], found["volume"], found["oi"], found["expiry"]) == ("equity", 20400, None, None)
    assert done.tables["spot"].select("underlying", "ltp", "open", "high", "low").rows() == [
        ("TCS", 90.15, 88.0, 104.5, 71.2)
    ]
    assert set(done.tables) == {"eod", "instruments", "spot"}
    assert done.tables["instruments"]["symbol"].to_list() == ["TCS EQ"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"TradDt": "soon"}, "trade date is not a date"),
        ({"Src": "XSE"}, "exchange is not NSE or BSE"),
        ({"FinInstrmTp": "ABC"}, "instrument type is not known"),
        ({"Sgmt": "CM"}, "instrument type is not of its segment"),
        ({"TckrSymb": "../etc"}, "symbol is not a name"),
        ({"TckrSymb": ""}, "symbol is not a name"),
        ({"FinInstrmId": "abc"}, "token is not a number"),
        ({"XpryDt": ""}, "expiry is not a date"),
        ({"XpryDt": "2025-08-29"}, "expiry before the trade date"),
        ({"StrkPric": ""}, "strike is not a positive price"),
        ({"StrkPric": "-5"}, "strike is not a positive price"),
        ({"StrkPric": "24500.001"}, "strike is not a positive price"),
        ({"OptnTp": "XX"}, "option type is not CE or PE"),
        ({"NewBrdLotQty": "0"}, "lot is not a positive number"),
        ({"OpnIntrst": ""}, "open interest is not a number"),
        ({"OpnIntrst": "1.5"}, "open interest is not a number"),
        ({"OpnIntrst": "-75"}, "open interest below zero"),
        ({"TtlTradgVol": "many"}, "volume is not a number"),
        ({"TtlTradgVol": "-1"}, "volume below zero"),
        ({"TtlTrfVal": "-1"}, "turnover below zero"),
        ({"LastPric": "-0.05"}, "negative price"),
        ({"LwPric": "104.55"}, "crossed prices: high below low"),
    ],
)
def test_a_bad_row_is_refused_by_reason_and_alone_it_refuses_the_file(change, reason):
    good = {**NSE, "StrkPric": "25000.00", "TtlTrfVal": f"{20400 * 75 * 25090:.2f}"}
    done = read(good, {**NSE, **change})
    assert (done.rows_read, done.rows_kept, done.refused) == (2, 1, ((reason, 1),))
    with pytest.raises(BadData, match="no usable row") as caught:
        read({**NSE, **change})
    assert f"1 {reason}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_contract_named_twice_is_kept_once():
    assert read(NSE, NSE).refused == (("repeated contract", 1),)


def test_the_date_in_the_name_must_be_the_date_inside():
    name = "BhavCopy_NSE_FO_0_0_0_20250902_F_0000.csv"
    with pytest.raises(BadData, match="the name says 2025-09-02, the rows say 2025-09-01"):
        read(NSE, name=name)
    assert read(NSE, name=name.replace("0902", "0901")).rows_kept == 1


@pytest.mark.parametrize("day", ["2025-08-27", "2025-08-30"])
def test_a_day_without_a_session_is_refused(day):
    with pytest.raises(BadData, match=f"{day} is no session of NSE"):
        read({**NSE, "TradDt": day})


def test_only_the_symbols_asked_for():
    bank = {**NSE, "TckrSymb": "BANKNIFTY", "FinInstrmId": "3"}
    done = read(NSE, bank, underlyings=("NIFTY",))
    assert done.refused == (("symbol not asked for", 1),)
    assert done.options == (("underlyings", "NIFTY"),)
    assert done.tables["eod"]["underlying"].to_list() == ["NIFTY"]
    with pytest.raises(UnknownSymbol, match=r"no symbol 'NIFFTY' in bhav\.csv; did you mean 'NIFTY'"):
        read(NSE, bank, underlyings=("NIFFTY",))


@pytest.mark.parametrize("missing", ["TradDt", "StrkPric", "NewBrdLotQty"])
def test_a_missing_column_is_named(missing):
    body = text_of(NSE).replace(missing.encode(), b"Else")
    with pytest.raises(BadData, match=f"missing column {missing}$"):
        read_udiff(reading.csv_frame(body, "x"), source(body))


def test_an_extra_column_is_kept_silent():
    lines = text_of(NSE).decode().splitlines()
    body = f"{lines[0]},New\n{lines[1]},7\n".encode()
    assert read_udiff(reading.csv_frame(body, "x"), source(body)).rows_kept == 1


def test_a_header_alone_is_one_line():
    with pytest.raises(BadData, match="no usable row"):
        read()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 10**7), st.integers(0, 10**9)), min_size=1, max_size=8))
def test_units_round_trip(rows):
    """Contracts written in the file come back as contracts x lot, open interest untouched."""
    made = []
    for i, (lot, contracts, oi) in enumerate(rows):
        strike = 24500 + 50 * i
        change = (
            UNTRADED
            if contracts == 0
            else {"TtlTradgVol": str(contracts), "TtlTrfVal": f"{contracts * lot * (strike + 90):.2f}"}
        )
        made.append({**NSE, "StrkPric": f"{strike}.00", "NewBrdLotQty": str(lot), "OpnIntrst": str(oi), **change})
    eod = read(*made).tables["eod"].sort("strike_p")
    assert eod["volume"].to_list() == [lot * contracts for lot, contracts, _ in rows]
    assert eod["oi"].to_list() == [oi for *_, oi in rows]


CELLS = st.sampled_from(
    ["", "-", "0", "-1", "1e400", "nan", "NIFTY", "2025-09-01", "CE", "x" * 40, "9" * 25, "0.001", "é"]
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(HEADER.split(",")), CELLS, max_size=6), min_size=1, max_size=4))
def test_hostile_cells_are_refused_rows_or_one_line(changes):
    rows = [{**NSE, "FinInstrmId": str(i), **change} for i, change in enumerate(changes)]
    try:
        done = read(*rows)
    except BadData as refused:
        text = str(refused)
    else:
        text = ""
        assert done.rows_kept + sum(n for _, n in done.refused) == len(rows)
        assert (done.tables["eod"]["oi"].fill_null(0) >= 0).all()
    assert "\n" not in text


def test_columns_needed_are_of_the_official_header():
    assert set(COLUMNS) <= set(HEADER.split(","))
    assert udiff.COLUMNS == COLUMNS
