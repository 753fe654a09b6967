"""Recorded chain snapshots: the real days, and what a collector may get wrong."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.detect import How, read_as, read_file
from toolkit.market.files.recorded import read_recorded
from toolkit.market.schema import CHAIN

Shared = Callable[..., Path]


def row(**change: object) -> dict[str, object]:
    side = {"OI": 100.0, "Chng_in_OI": 1.0, "Volume": 10, "IV": 11.5, "LTP": 20.0, "Net_Chng": 0.5}
    side |= {"Bid_Qty": 75, "Bid_Price": 19.9, "Ask_Price": 20.1, "Ask_Qty": 150}
    made: dict[str, object] = {
        "Fetch_Time": dt.datetime(2025, 8, 29, 10, 0),
        "Symbol": "NIFTY",
        "Expiry_Date": dt.date(2025, 9, 30),
        "Strike_Price": 24500,
        **{f"CALLS_{k}": v for k, v in side.items()},
        **{f"PUTS_{k}": v for k, v in side.items()},
        "collection_timestamp": dt.datetime(2025, 8, 29, 10, 1, 11, 500000),
    }
    return {**made, **change}


def source(name: str = "chain.parquet", body: bytes = b"") -> reading.Source:
    return reading.Source(name=name, sha256="0" * 64, body=body, modified_ns=0, path=name)


def test_the_real_day_keeps_every_row_and_gives_the_published_ratio(shared):
    done = read_file(shared("data", "nse", "chain_NIFTY_20250827_20250829.parquet"))
    assert (done.rows_read, done.rows_kept, done.refused) == (239131, 239131, ())
    assert done.noted == (("fractional contracts restored to units", 4025 + 13676),)
    chain = done.tables["chain"]
    assert chain.height == 2 * 239131
    assert chain.schema == CHAIN
    assert chain.select("recv_ts").n_unique() == 313
    last = chain.filter(pl.col("recv_ts") == chain["recv_ts"].max(), pl.col("expiry") == dt.date(2025, 9, 30))
    calls, puts = last.filter(option_type="CE"), last.filter(option_type="PE")
    assert round(puts["oi"].sum() / calls["oi"].sum(), 6) == 1.176069
    for strike, ce, pe in ((25000, 76618, 58824), (24500, 29432, 63299), (26000, 53660, 20760)):
        assert calls.filter(strike_p=strike * 100)["oi"].item() == ce * 75
        assert puts.filter(strike_p=strike * 100)["oi"].item() == pe * 75


def test_the_real_fractions_become_whole_units(shared):
    path = shared("data", "nse", "chain_NIFTY_20250827_20250829.parquet")
    raw = pl.read_parquet(path).filter(pl.col("CALLS_OI") != pl.col("CALLS_OI").round())
    done = read_recorded(raw, source())
    units = done.tables["chain"].filter(option_type="CE")["oi"]
    assert (units % 75 != 0).all()
    assert abs(units.sum() / 75 - raw["CALLS_OI"].sum()) < 1e-6 * units.sum()


def test_the_real_holiday_copies_are_kept_with_both_stamps(shared):
    done = read_file(shared("data", "nse", "chain_BANKNIFTY_20250827.parquet"))
    chain = done.tables["chain"]
    assert (done.rows_read, done.rows_kept) == (3031, 3031)
    assert chain["ts"].dt.date().unique().to_list() == [dt.date(2025, 8, 26)]
    assert chain["recv_ts"].dt.date().unique().to_list() == [dt.date(2025, 8, 27)]
    assert chain["lot"].unique().to_list() == [35]


def test_both_sides_take_their_own_columns():
    frame = pl.DataFrame([row(CALLS_OI=2.0, PUTS_OI=3.0, CALLS_LTP=5.0, PUTS_LTP=6.0, CALLS_IV=0.0)])
    chain = read_recorded(frame, source()).tables["chain"]
    assert chain.select("option_type", "oi", "ltp", "source_iv").rows() == [
        ("CE", 150, 5.0, None),
        ("PE", 225, 6.0, 0.115),
    ]
    assert str(chain["ts"][0]) == "2025-08-29 10:00:00+05:30"
    assert str(chain["recv_ts"][0]) == "2025-08-29 10:01:11.500000+05:30"


def test_text_and_typed_tables_give_the_same(tmp_path):
    frame = pl.DataFrame([row(), row(Strike_Price=24550, CALLS_OI=1 / 3)])
    typed, text = io.BytesIO(), tmp_path / "chain.csv"
    frame.write_parquet(typed)
    frame.write_csv(text)
    (tmp_path / "chain.parquet").write_bytes(typed.getvalue())
    assert read_file(text).tables["chain"].equals(read_file(tmp_path / "chain.parquet").tables["chain"])


def test_another_collectors_names_map(tmp_path):
    frame = pl.DataFrame([row()]).rename({"Fetch_Time": "when", "CALLS_OI": "c_oi"})
    frame.write_csv(tmp_path / "mine.csv")
    how = How(columns={"Fetch_Time": "when", "CALLS_OI": "c_oi"})
    done = read_as("nse-chain", reading.fetch(tmp_path / "mine.csv"), how)
    assert done.tables["chain"].height == 2
    assert done.options == (("CALLS_OI", "c_oi"), ("Fetch_Time", "when"))
    with pytest.raises(BadData, match="missing column nope"):
        read_recorded(frame, source(), columns={"Fetch_Time": "nope"})


def test_a_table_without_receive_stamps_has_none():
    chain = read_recorded(pl.DataFrame([row()]).drop("collection_timestamp"), source()).tables["chain"]
    assert chain["recv_ts"].to_list() == [None, None]


def test_aware_stamps_are_the_same_instants():
    frame = pl.DataFrame([row()]).with_columns(pl.col("Fetch_Time").dt.replace_time_zone("UTC"))
    assert str(read_recorded(frame, source()).tables["chain"]["ts"][0]) == "2025-08-29 15:30:00+05:30"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"CALLS_OI": -1.0, "PUTS_OI": -1.0}, "open interest below zero"),
        ({"CALLS_LTP": -1.0, "PUTS_Bid_Price": -1.0}, "negative price"),
        ({"Expiry_Date": dt.date(2025, 8, 28)}, "expiry before the stamp's day"),
        ({"Symbol": "NIFTTY"}, "no lot is known for the contract"),
        ({"Strike_Price": 0}, "strike is not a positive price"),
    ],
)
def test_bad_lines_are_refused_by_reason_and_all_bad_is_one_line(change, reason):
    done = read_recorded(
        pl.DataFrame([row(), row(Strike_Price=24600, **change) if "Strike_Price" not in change else row(**change)]),
        source(),
    )
    assert (done.rows_read, done.rows_kept, done.refused) == (2, 1, ((reason, 1),))
    with pytest.raises(BadData, match="holds no usable row") as caught:
        read_recorded(pl.DataFrame([row(**change)]), source())
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_columns_are_named():
    with pytest.raises(BadData, match="missing columns Strike_Price, PUTS_OI"):
        read_recorded(pl.DataFrame([row()]).drop("Strike_Price", "PUTS_OI"), source())


def test_cells_that_hold_no_number_are_counted():
    odd = pl.DataFrame([row(CALLS_LTP=float("inf"), PUTS_LTP=float("nan")), row(Strike_Price=24550)])
    assert dict(read_recorded(odd, source()).noted) == {reading.UNREADABLE: 1}
    text = odd.with_columns(pl.col("CALLS_OI").cast(pl.String).replace("100.0", "abc"))
    done = read_recorded(text, source())
    assert dict(done.noted)[reading.UNREADABLE] == 3
    assert done.tables["chain"].filter(option_type="CE")["oi"].is_null().all()


def test_an_empty_table_is_one_line():
    with pytest.raises(BadData, match="holds no usable row"):
        read_recorded(pl.DataFrame([row()]).clear(), source())
