"""Master, quotes and candles: shapes of the mocks, bounds, what is left out."""

from __future__ import annotations

import csv
import io
import json

import pytest

from toolkit.sim.kite_form import WireRefusal
from toolkit.sim.kite_market import (
    INTERVALS,
    candles,
    find,
    instruments_csv,
    ltp_row,
    ohlc_row,
    quote_row,
    trigger_range,
)

CE = 40001 * 256 + 2
DAY = {"from": "2026-07-13 09:15:00", "to": "2026-07-13 15:30:00"}


def ask(world, text):
    return find(world, [text])[text]


def test_the_dump_is_what_the_published_one_looks_like(quiet_world, shared):
    header = shared("fixtures", "kite", "instruments_all.csv").read_text().splitlines()[0]
    text = instruments_csv(quiet_world.roster.rows)
    assert text.splitlines()[0] == header
    rows = {row["tradingsymbol"]: row for row in csv.DictReader(io.StringIO(text))}
    assert rows["NIFTY2671425000CE"] == {
        "instrument_token": str(CE), "exchange_token": "40001", "tradingsymbol": "NIFTY2671425000CE", "name": "NIFTY", "last_price": "0.0",
        "expiry": "2026-07-14", "strike": "25000.0", "tick_size": "0.05", "lot_size": "65", "instrument_type": "CE", "segment": "NFO-OPT", "exchange": "NFO",
    }  # fmt: skip
    assert (
        rows["NIFTY26JULFUT"]["segment"],
        rows["NIFTY26JULFUT"]["instrument_type"],
        rows["NIFTY26JULFUT"]["strike"],
    ) == ("NFO-FUT", "FUT", "0.0")
    assert (rows["NIFTY 50"]["segment"], rows["NIFTY 50"]["expiry"], rows["NIFTY 50"]["lot_size"]) == (
        "INDICES",
        "",
        "0",
    )
    assert all(int(r["instrument_token"]) >> 8 == int(r["exchange_token"]) for r in rows.values())


def test_the_toolkits_own_reader_reads_the_dump(quiet_world, tmp_path):
    import polars as pl

    from toolkit.market.files import reading
    from toolkit.market.files.instruments import read_instruments

    path = tmp_path / "instruments_20260713.csv"
    path.write_text(instruments_csv(quiet_world.roster.rows))
    held = read_instruments(pl.read_csv(path, infer_schema=False), reading.fetch(path)).tables["instruments"]
    assert set(held["source_symbol"]) >= {"NIFTY2671425000CE", "NIFTY2671425000PE", "NIFTY26JULFUT"}


def test_unknown_instruments_are_left_out(quiet_world):
    found = find(
        quiet_world, ["NFO:NIFTY2671425000CE", str(CE), "NFO:NOPE", "999", "NSE:NIFTY 50", "", "NIFTY2671425000CE"]
    )
    assert sorted(found) == sorted(["NFO:NIFTY2671425000CE", str(CE), "NSE:NIFTY 50"])


def test_a_quote_has_the_mocks_fields(quiet_world, shared):
    mock = json.loads(shared("fixtures", "kite", "quote.json").read_text())["data"]["NSE:INFY"]
    row = quote_row(quiet_world, ask(quiet_world, "NFO:NIFTY2671425000CE"))
    assert set(row) == set(mock)
    assert set(row["depth"]["buy"][0]) == set(mock["depth"]["buy"][0])
    assert [len(row["depth"][side]) for side in ("buy", "sell")] == [5, 5]


def test_a_quote_tells_the_day_so_far(quiet_world, clock_ns):
    quiet_world.advance(clock_ns("10:00:00"))
    row = quote_row(quiet_world, ask(quiet_world, "NFO:NIFTY2671425000CE"))
    assert (row["last_price"], row["volume"], row["timestamp"]) == (120.0, 3900, "2026-07-13 10:00:00")
    assert row["ohlc"] == {"open": 100.0, "high": 120.0, "low": 98.0, "close": 95.0}
    assert row["net_change"] == 25.0
    assert row["depth"]["buy"][0] == {"price": 120.0, "quantity": 650, "orders": 1}
    assert row["depth"]["sell"][1] == {"price": 0, "quantity": 0, "orders": 0}
    assert row["average_price"] == pytest.approx((100 + 98 + 120) / 3)
    assert (row["lower_circuit_limit"], row["upper_circuit_limit"]) == (0.05, 5097.0)


def test_an_index_has_no_book(quiet_world):
    row = quote_row(quiet_world, ask(quiet_world, "NSE:NIFTY 50"))
    assert set(row) == {"instrument_token", "timestamp", "last_price", "net_change", "ohlc"}
    assert row["last_price"] == 25010.0


def test_before_the_first_trade_numbers_are_zero(make_world):
    world = make_world([("09:15:00", "CE", 100.0, 65, 101.0, 65, None, None)])
    row = quote_row(world, ask(world, "NFO:NIFTY2671425000PE"))
    assert (row["last_price"], row["volume"], row["timestamp"], row["last_trade_time"]) == (0, 0, None, None)
    json.dumps(row, allow_nan=False)


def test_ohlc_and_ltp_have_the_mocks_fields(quiet_world, shared):
    mock = json.loads(shared("fixtures", "kite", "ohlc.json").read_text())["data"]["NSE:INFY"]
    listed = ask(quiet_world, "NFO:NIFTY2671425000CE")
    assert set(ohlc_row(quiet_world, listed)) == set(mock)
    assert ltp_row(quiet_world, listed) == {"instrument_token": CE, "last_price": 100.0}
    assert trigger_range(quiet_world, listed) == {"instrument_token": CE, "lower": 0.05, "upper": 5097.0}


def test_candles_are_of_what_has_been_received(quiet_world, clock_ns):
    quiet_world.advance(clock_ns("09:21:00"))
    made = candles(quiet_world, str(CE), "minute", {**DAY, "oi": "1"})["candles"]
    assert made == [
        ["2026-07-13T09:15:00+0530", 100.0, 100.0, 100.0, 100.0, 1300, 6500],
        ["2026-07-13T09:20:00+0530", 98.0, 98.0, 98.0, 98.0, 1300, 6500],
    ]


@pytest.mark.parametrize(
    ("interval", "times"),
    [
        ("5minute", ["09:15", "09:20", "10:00"]),
        ("30minute", ["09:15", "09:45"]),
        ("60minute", ["09:15"]),
        ("day", ["00:00"]),
    ],
)
def test_intervals_start_at_the_open(quiet_world, clock_ns, interval, times):
    quiet_world.advance(clock_ns("10:00:00"))
    made = candles(quiet_world, str(CE), interval, {"from": "2026-07-13", "to": "2026-07-13 15:30:00"})["candles"]
    assert [candle[0][11:16] for candle in made] == times
    assert all(len(candle) == 6 for candle in made)
    assert sum(candle[5] for candle in made) == 3900
    assert made[0][1] == 100.0
    assert made[-1][4] == 120.0
    assert max(candle[2] for candle in made) == 120.0
    assert min(candle[3] for candle in made) == 98.0


def test_bounds_include_both_ends(quiet_world, clock_ns):
    quiet_world.advance(clock_ns("10:00:00"))
    made = candles(quiet_world, str(CE), "minute", {"from": "2026-07-13 09:20:00", "to": "2026-07-13 10:00:00"})[
        "candles"
    ]
    assert [candle[0][11:16] for candle in made] == ["09:20", "10:00"]
    assert [candle[5] for candle in made] == [1300, 1300]


@pytest.mark.parametrize(
    ("token", "interval", "query", "says"),
    [
        ("1", "minute", DAY, "invalid token"),
        ("x", "minute", DAY, "invalid token"),
        (str(CE), "2minute", DAY, "invalid interval"),
        (str(CE), "minute", {**DAY, "from": "soon"}, "invalid from date"),
        (str(CE), "minute", {"from": DAY["from"]}, "invalid to date"),
        (str(CE), "minute", {"from": DAY["to"], "to": DAY["from"]}, "from is after to"),
        (str(CE), "minute", {**DAY, "from": "2026-05-01 09:15:00"}, "exceeds max limit: 60 days"),
    ],
)
def test_what_is_refused(quiet_world, token, interval, query, says):
    with pytest.raises(WireRefusal, match=says) as caught:
        candles(quiet_world, token, interval, query)
    assert (caught.value.code, caught.value.error_type) == (400, "InputException")


def test_an_aware_bound_is_taken_in_indian_time(quiet_world):
    made = candles(
        quiet_world, str(CE), "minute", {"from": "2026-07-13T03:45:00+00:00", "to": "2026-07-13T09:15:00+05:30"}
    )
    assert len(made["candles"]) == 1


def test_every_interval_is_served(quiet_world):
    assert set(INTERVALS) == {"minute", "3minute", "5minute", "10minute", "15minute", "30minute", "60minute", "day"}
    for interval in INTERVALS:
        assert candles(quiet_world, str(CE), interval, {"from": "2026-07-13", "to": "2026-07-13 15:30:00"})["candles"]
