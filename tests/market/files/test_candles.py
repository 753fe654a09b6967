"""Candles by a column map: units, zones, which end of the bar, what is known when."""

from __future__ import annotations

import datetime as dt
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.contracts import stand_in_token
from toolkit.errors import BadData, UnknownSymbol
from toolkit.market.files import reading
from toolkit.market.files.candles import CandleMap, candle_rows, is_candle_json, read_candles
from toolkit.market.files.detect import How, read_as
from toolkit.market.schema import CHAIN, FUTURES, SPOT

OPTION = "NIFTY 30SEP2025 24500 CE"
SAMPLE = {"ts": "timestamp_ist", "expiry": "actual_expiry_date", "spot": "provider_spot", "lot": "contract_lot_size"}


def source(body: str = "", name: str = "bars.csv") -> reading.Source:
    return reading.Source(name=name, sha256="0" * 64, body=body.encode(), modified_ns=0, path=name)


def bars(*rows: str, header: str = "ts,open,high,low,close,volume,oi") -> pl.DataFrame:
    return reading.csv_frame(("\n".join([header, *rows]) + "\n").encode(), "bars.csv")


def bar(
    clock: str = "2025-09-01T09:15:00+05:30",
    prices: str = "95.1,97.0,94.2,96.4",
    volume: object = 750,
    oi: object = 1500,
) -> str:
    return f"{clock},{prices},{volume},{oi}"


def read(*rows: str, header: str = "ts,open,high,low,close,volume,oi", **how: object) -> reading.Imported:
    said = {"volume_in": "units", "contract": OPTION, **how}
    return read_candles(bars(*rows, header=header), source(), CandleMap(**said))


def test_the_real_minute_sample(shared):
    path = shared("data", "nse", "nifty_1min_iv_greeks_span_sample.parquet")
    how = How(candles=CandleMap(volume_in="units", columns=SAMPLE))
    done = read_as("candles", reading.fetch(path), how)
    assert (done.rows_read, done.rows_kept, done.refused) == (499, 499, ())
    chain = done.tables["chain"]
    assert chain.schema == CHAIN
    raw = pl.read_parquet(path)
    assert chain["oi"].sum() == raw["open_interest"].sum()
    assert chain["ltp"].sum() == pytest.approx(raw["close"].sum())
    assert sorted(chain["lot"].unique()) == sorted(int(x) for x in raw["contract_lot_size"].unique())
    assert {str(t) for t in chain["ts"].dt.time().unique()} == {"09:31:00", "12:01:00", "15:01:00"}
    assert (chain["spot"] > 10000).all()


def test_a_bar_is_known_at_its_end():
    row = read(bar()).tables["chain"].row(0, named=True)
    assert str(row["ts"]) == "2025-09-01 09:16:00+05:30"
    five = read(bar(), interval_s=300).tables["chain"].row(0, named=True)
    assert str(five["ts"]) == "2025-09-01 09:20:00+05:30"
    ended = read(bar("2025-09-01T09:16:00+05:30"), stamp="end").tables["chain"].row(0, named=True)
    assert str(ended["ts"]) == "2025-09-01 09:16:00+05:30"
    assert (row["ltp"], row["bid"], row["ask"], row["recv_ts"], row["source_iv"]) == (96.4, None, None, None, None)


def test_the_last_bar_ends_with_the_session():
    row = read(bar("2025-09-01T15:15:00+05:30"), interval_s=3600).tables["chain"].row(0, named=True)
    assert str(row["ts"]) == "2025-09-01 15:30:00+05:30"


@pytest.mark.parametrize(
    ("clock", "zone"),
    [
        ("2025-09-01T09:15:00+05:30", "Asia/Kolkata"),
        ("2025-09-01T09:15:00+0530", "America/New_York"),
        ("2025-09-01T03:45:00+00:00", "Asia/Kolkata"),
        ("2025-09-01 09:15:00", "Asia/Kolkata"),
        ("2025-09-01 09:15", "Asia/Kolkata"),
        ("2025-09-01 03:45:00", "UTC"),
        ("2025-08-31 23:45:00", "America/New_York"),
    ],
)
def test_times_in_any_zone_are_one_instant(clock, zone):
    assert str(read(bar(clock), zone=zone).tables["chain"]["ts"][0]) == "2025-09-01 09:16:00+05:30"


def test_volume_adds_up_since_open_and_starts_again_each_day():
    clocks = ["2025-09-01T09:17:00+05:30", "2025-09-01T09:15:00+05:30", "2025-09-02T09:15:00+05:30"]
    chain = read(*(bar(clock, volume=75) for clock in clocks)).tables["chain"]
    assert chain["volume"].to_list() == [75, 150, 75]


def test_contracts_become_units_of_the_contracts_lot():
    row = read(bar(volume=10, oi=20), volume_in="contracts").tables["chain"].row(0, named=True)
    assert (row["volume"], row["oi"], row["lot"]) == (750, 1500, 75)
    assert row["token"] == stand_in_token("NSE_FO", "NIFTY", dt.date(2025, 9, 30), 2450000, "CE")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=15), st.sampled_from(["units", "contracts"]))
def test_volumes_round_trip(volumes, unit):
    rows = [bar(f"2025-09-01T10:{i:02d}:00+05:30", volume=v, oi=v) for i, v in enumerate(volumes)]
    chain = read(*rows, volume_in=unit).tables["chain"]
    times = 1 if unit == "units" else 75
    assert chain["volume"].diff().fill_null(chain["volume"][0]).to_list() == [v * times for v in volumes]
    assert chain["oi"].to_list() == [v * times for v in volumes]


def test_futures_and_indices_go_to_their_own_tables():
    future = read(bar(), contract="NIFTY 30SEP2025 FUT").tables
    assert set(future) == {"futures"}
    assert future["futures"].schema == FUTURES
    assert future["futures"].select("ltp", "oi", "lot").row(0) == (96.4, 1500, 75)
    index = read(bar(oi=""), contract="NIFTY").tables
    assert set(index) == {"spot"}
    assert index["spot"].schema == SPOT
    assert index["spot"].select("open", "high", "low", "ltp").row(0) == (95.1, 97.0, 94.2, 96.4)
    share = read(bar(oi=""), contract="TCS EQ").tables["spot"]
    assert share["underlying"].to_list() == ["TCS"]


def test_rows_that_name_their_contract_by_a_column_map():
    header = "time,o,h,l,c,volume,oi,sym,exp,k,right"
    rows = [
        f"2025-09-01 09:15:00,1,2,1,2,75,75,{sym},30-09-2025,24500,{right}"
        for sym, right in (("NIFTY", "CALL"), ("NIFTY", "p"), ("SENSEX", "CE"))
    ]
    names = {
        "open": "o",
        "high": "h",
        "low": "l",
        "close": "c",
        "underlying": "sym",
        "expiry": "exp",
        "strike": "k",
        "option_type": "right",
    }
    done = read(*rows, header=header, contract=None, columns=names)
    chain = done.tables["chain"]
    assert chain.select("underlying", "option_type").rows() == [("NIFTY", "CE"), ("NIFTY", "PE"), ("SENSEX", "CE")]
    assert chain["token"].n_unique() == 3
    assert ("column open", "o") in done.options


def test_rows_of_futures_and_indices_named_by_columns():
    header = "ts,open,high,low,close,volume,oi,underlying,expiry,strike,option_type"
    rows = ["2025-09-01 09:15:00,1,2,1,2,75,75,NIFTY,2025-09-30,0,XX", "2025-09-01 09:15:00,1,2,1,2,75,,NIFTY,,,"]
    tables = read(*rows, header=header, contract=None).tables
    assert {name: frame.height for name, frame in tables.items()} == {"futures": 1, "spot": 1}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (bar("soon"), "time is not a time"),
        (bar("2025-09-01T03:30:00+05:30"), "bar outside the sessions"),
        (bar("2025-09-01T15:30:00+05:30"), "bar outside the sessions"),
        (bar("2025-08-31T10:00:00+05:30"), "bar outside the sessions"),
        (bar("2025-08-27T10:00:00+05:30"), "bar outside the sessions"),
        (bar("2025-10-01T10:00:00+05:30"), "expiry before the bar"),
        (bar("2025-09-01T10:00:00+05:30", prices="1,2,1,-"), "price is not a number"),
        (bar("2025-09-01T10:00:00+05:30", prices="-1,2,-1,1"), "negative price"),
        (bar("2025-09-01T10:00:00+05:30", prices="1,1,2,1"), "crossed prices: high below low"),
        (bar("2025-09-01T10:00:00+05:30", volume=-1), "volume below zero"),
        (bar("2025-09-01T10:00:00+05:30", oi=-1), "open interest below zero"),
        (bar(), "repeated bar"),
    ],
)
def test_bad_bars_are_refused_by_reason(row, reason):
    done = read(bar(), row)
    assert (done.rows_read, done.rows_kept, done.refused) == (2, 1, ((reason, 1),))


def test_no_usable_bar_is_one_line():
    with pytest.raises(BadData, match=r"no usable bar .1 bar outside"):
        read(bar("2025-08-31T10:00:00+05:30"))


def answer(*candles: list[object]) -> str:
    return json.dumps({"status": "success", "data": {"candles": list(candles)}})


def test_an_answer_newest_first_is_put_in_order():
    body = answer(
        ["2025-09-01T09:16:00+05:30", 96.4, 97, 96, 96.5, 75, 1575],
        ["2025-09-01T09:15:00+05:30", 95.1, 97.0, 94.2, 96.4, 150, 1500],
    )
    made = source(body, "upstox.json")
    assert is_candle_json(made)
    done = read_as("candles", made, How(candles=CandleMap(volume_in="units", contract=OPTION)))
    assert done.tables["chain"].select("ltp", "volume", "oi").rows() == [(96.4, 150, 1500), (96.5, 225, 1575)]


def test_six_values_a_bar_are_enough():
    frame = candle_rows(source(answer(["2025-09-01T09:15:00+0530", 1, 2, 1, 2, 75])))
    assert frame["oi"].to_list() == [None]


@pytest.mark.parametrize("body", ["{", '{"data": {}}', '{"data": {"candles": 5}}', '{"data": {"candles": [5]}}', "[]"])
def test_other_answers_are_one_line(body):
    with pytest.raises(BadData, match=r"no answer with data\.candles") as caught:
        candle_rows(source(body))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"volume_in": "lots"}, "volume-in must be units or contracts, was 'lots'"),
        ({"stamp": "middle"}, "stamp must be start or end"),
        ({"interval_s": 0}, "interval must be 1 to 86400"),
        ({"zone": "Mars/Olympus"}, "zone must be a name"),
        ({"zone": "../etc/passwd"}, "zone must be a name"),
        ({"columns": {"clos": "c"}}, "no candle column 'clos'; did you mean 'close'"),
        ({"columns": {"close": "c"}}, "missing column c"),
        ({"contract": None}, "names no underlying"),
    ],
)
def test_a_bad_map_is_one_line(how, match):
    with pytest.raises(BadData, match=match) as caught:
        read(bar(), **how)
    assert "\n" not in str(caught.value)


def test_a_contract_that_is_none_is_refused():
    with pytest.raises(UnknownSymbol):
        read(bar(), contract="NIFTY 31FEB2025 24500 CE")


def test_candles_need_their_unit_said():
    with pytest.raises(BadData, match="--volume-in"):
        read_as("candles", source("ts,open,high,low,close\n"), How())
