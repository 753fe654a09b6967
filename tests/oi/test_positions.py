"""Writers, trapped writers, rolls and participants from small chains whose answer is known."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from toolkit import oi
from toolkit.errors import BadData

K = 24000.0 + 50.0 * np.arange(5)


def test_writers_are_told_from_buyers_by_the_premium_net_of_the_spot(chain):
    units = np.full((2, 2, 5), 100)
    units[1, 0] = [120, 120, 80, 80, 100]
    # parity holds, so that the forward moves by ten and a call of delta near one half gains about five by that alone
    forward = [24100.0, 24110.0]
    value = [100.0, 100.0]
    extra = np.array([-9.0, 9.0, 9.0, -9.0, 0.0])
    price = np.empty((2, 2, 5))
    for t in range(2):
        time_value = value[t] - 0.0008 * (K - forward[t]) ** 2 + (extra if t else 0.0)
        price[t, 0] = np.maximum(forward[t] - K, 0) + time_value
        price[t, 1] = np.maximum(K - forward[t], 0) + time_value
    found = oi.writer_class(chain(units, price=price, spot=24100.0)).filter(pl.col("option_type") == "CE")
    assert found["class"].to_list() == ["writing", "buying", "covering", "liquidation", "neutral"]
    assert found["oi_change"].to_list() == [1500, 1500, -1500, -1500, 0]
    rise = found["premium_change"] - found["net_premium_change"]
    assert (rise > 2).all()
    assert (rise < 9).all()


def test_writer_class_knows_nothing_without_a_price_and_needs_two_bursts(chain):
    units = np.full((2, 2, 3), 100)
    units[1] += 10
    found = oi.writer_class(chain(units))
    assert found["class"].null_count() == found.height
    with pytest.raises(BadData, match="at least two stamps"):
        oi.writer_class(chain(units[:1]))


def test_trapped_writers_by_strike(chain):
    units = np.full((4, 2, 2), 100)
    units[1:, 0, 0] = 200
    units[2:, 0, 0] = 300
    units[3, 0, 0] = 250
    price = np.full((4, 2, 2), 50.0)
    price[1, 0, 0], price[2, 0, 0], price[3, 0, 0] = 60.0, 80.0, 100.0
    found = oi.trapped_writers(chain(units, price=price))
    assert found.height == 1
    row = found.row(0, named=True)
    assert (row["strike_p"], row["option_type"], row["opened"]) == (2400000, "CE", 150 * 75)
    assert row["entry"] == pytest.approx(70.0)
    assert row["pain"] == pytest.approx(150 * 75 * 30.0)
    with pytest.raises(BadData, match="empty frame"):
        oi.trapped_writers(chain(units).head(0))


def futures(rows):
    frame = pl.DataFrame(rows, schema=["ts", "underlying", "expiry", "oi", "settle"], orient="row")
    return frame.with_columns(pl.col("ts").dt.replace_time_zone("Asia/Kolkata"))


def test_roll_over_share_carry_and_what_rolled():
    near, far = dt.date(2025, 9, 30), dt.date(2025, 10, 28)
    day = [dt.datetime(2025, 9, d, 15, 30) for d in (28, 29, 30)]
    frame = futures(
        [
            (day[0], "NIFTY", near, 1000, 24500.0),
            (day[0], "NIFTY", far, 500, 24600.0),
            (day[1], "NIFTY", near, 700, 24500.0),
            (day[1], "NIFTY", far, 700, 24600.0),
            (day[2], "NIFTY", near, 800, 24500.0),
            (day[2], "NIFTY", far, 900, 24600.0),
        ]
    )
    found = oi.roll_over(frame)
    assert found["share"].to_list() == pytest.approx([500 / 1500, 0.5, 900 / 1700])
    assert found["rolled"].to_list() == [None, 200, 0]
    assert found["carry"][0] == pytest.approx(np.log(24600 / 24500) / (28 / 365))
    late = oi.roll_over(frame.filter(pl.col("ts") > frame["ts"][0]).with_columns(pl.col("ts") + dt.timedelta(days=2)))
    assert late["near"].to_list() == []


def test_an_expiry_is_no_unwinding():
    first, second, third = dt.date(2025, 9, 2), dt.date(2025, 9, 9), dt.date(2025, 9, 16)
    rows = []
    for day, held in ((2, (900, 500, 100)), (3, (None, 520, 110))):
        ts = dt.datetime(2025, 9, day, 15, 30)
        for expiry, units in zip((first, second, third), held, strict=True):
            if units is not None:
                rows.append((ts, "NIFTY", expiry, units, 24500.0))
    found = oi.roll_over(futures(rows))
    assert found["near"].to_list() == [first, second]
    assert found["near_change"].to_list() == [None, 20]
    assert found["rolled"].to_list() == [None, 0]


def test_chain_rows_roll_too_without_a_carry(chain):
    frame = pl.concat(
        [
            chain(np.array([[[100, 100]] * 2, [[80, 80]] * 2])),
            chain(np.array([[[50, 50]] * 2, [[90, 90]] * 2]), expiry=dt.date(2025, 9, 9), token=50),
        ]
    )
    found = oi.roll_over(frame)
    assert found["near_oi"].to_list() == [30_000, 24_000]
    assert found["rolled"].to_list() == [None, 6_000]
    assert found["carry"].null_count() == 2
    with pytest.raises(BadData, match="expiry is missing"):
        oi.roll_over(frame.drop("expiry"))


def test_the_real_roll_of_february(real):
    found = oi.roll_over(real("fo_udiff_eod_202502a.parquet").frame("futures", "NIFTY"))
    assert found.height == 14
    assert found["share"].is_between(0.0, 1.0).all()
    assert found["share"][-1] > found["share"][0]
    assert found["carry"].is_between(0.0, 0.15).all()


def test_the_stores_participant_table(shared):
    long = pl.DataFrame(
        {
            "date": [dt.date(2026, 7, 28)] * 6,
            "who": ["Client", "Client", "FII", "FII", "TOTAL", "TOTAL"],
            "instrument": ["future_index"] * 6,
            "side": ["long", "short"] * 3,
            "contracts": [60, 20, 40, 79, 100, 100],
        }
    )
    found = oi.participant_positions(long)
    assert found["who"].to_list() == ["Client", "FII"]
    assert found["net"].to_list() == [40, -39]
    assert found["long_share"].to_list() == [0.6, 0.4]
    assert found["total_gap_short"].to_list() == [1, 1]
    both = [long.with_columns(pl.lit(m).alias("measure")) for m in ("oi", "volume")]
    assert oi.participant_positions(pl.concat(both)).equals(found)
    with pytest.raises(BadData, match="Client Type"):
        oi.participant_positions(pl.DataFrame({"a": [1]}))
