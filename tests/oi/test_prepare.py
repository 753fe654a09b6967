"""Cleaning rules, each counted; units that cannot be what they are said to be are refused."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from toolkit import oi
from toolkit.errors import BadData


def count(prepared, rule):
    return prepared.quality.filter(pl.col("rule") == rule)["count"].sum()


def received(frame, delay_s=60):
    return frame.with_columns((pl.col("ts") + dt.timedelta(seconds=delay_s)).alias("recv_ts"))


def test_rows_come_out_ordered_whatever_order_they_came_in(chain, walk):
    frame = received(chain(walk(1, 6, 5)))
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=3)
    assert_frame_equal(oi.prepare_chain(shuffled).frame, oi.prepare_chain(frame).frame)
    keys = ["underlying", "expiry", "ts", "strike_p", "option_type"]
    assert_frame_equal(oi.prepare_chain(shuffled).frame.select(keys), frame.select(keys).sort(keys))


def test_of_a_repeated_stamp_the_first_receipt_is_kept_and_differences_are_counted(chain, walk):
    frame = received(chain(walk(1, 4, 5)))
    again = frame.filter(pl.col("ts") == frame["ts"].max()).with_columns(
        pl.col("recv_ts") + dt.timedelta(seconds=60), pl.col("oi") + 75
    )
    prepared = oi.prepare_chain(pl.concat([frame, again]))
    assert_frame_equal(prepared.frame, oi.prepare_chain(frame).frame)
    assert count(prepared, "repeated_stamp") == 1
    assert count(prepared, "duplicate_row") == again.height
    detail = prepared.quality.filter(pl.col("rule") == "repeated_stamp")["detail"][0]
    assert f"{again.height} with another OI, 0 with another volume" in detail


def test_exact_duplicates_count_once(chain, walk):
    frame = chain(walk(2, 3, 4))
    prepared = oi.prepare_chain(pl.concat([frame, frame]))
    assert prepared.frame.height == frame.height
    assert count(prepared, "duplicate_row") == frame.height
    assert count(prepared, "rows_read") == 2 * frame.height


def test_a_backward_stamp_is_refused(chain, walk):
    frame = received(chain(walk(1, 5, 4)))
    late = frame.filter(pl.col("ts") == frame["ts"].min()).with_columns(
        pl.lit(frame["recv_ts"].max() + dt.timedelta(seconds=5)).alias("recv_ts")
    )
    older = late.with_columns((pl.col("ts") - dt.timedelta(seconds=30)).alias("ts"))
    prepared = oi.prepare_chain(pl.concat([frame, older]))
    assert prepared.frame.height == frame.height
    assert count(prepared, "backward_stamp") == 1


def test_a_date_that_is_no_session_is_dropped(chain, walk, calendar):
    frame = pl.concat([chain(walk(1, 3, 4)), chain(walk(1, 3, 4), start="2025-08-27 10:00:00")])
    prepared = oi.prepare_chain(frame, oi.OIConfig(calendar=calendar))
    assert prepared.frame["ts"].dt.date().unique().to_list() == [dt.date(2025, 8, 29)]
    assert count(prepared, "non_session_date") == 24
    without = oi.prepare_chain(frame)
    assert without.frame.height == frame.height
    assert "no calendar" in without.quality.filter(pl.col("rule") == "non_session_date")["detail"][0]


def test_a_missing_token_gets_a_stable_stand_in(chain, walk):
    frame = chain(walk(1, 3, 4)).with_columns(pl.lit(None, dtype=pl.Int64).alias("token"))
    prepared = oi.prepare_chain(frame)
    assert count(prepared, "stand_in_token") == frame.height
    tokens = prepared.frame.group_by("strike_p", "option_type").agg(pl.col("token").n_unique().alias("n"))
    assert tokens["n"].to_list() == [1] * 8
    assert prepared.frame["token"].max() < 0
    assert prepared.frame["token"].n_unique() == 8


def test_a_supplied_corporate_action_is_applied_and_none_is_inferred(chain):
    frame = pl.concat(
        [
            chain(
                np.full((1, 2, 3), 100),
                strikes=[1000, 1050, 1100],
                underlying="RELIANCE",
                lot=250,
                start="2025-08-28 15:30:00",
            ),
            chain(np.full((1, 2, 3), 200), strikes=[500, 525, 550], underlying="RELIANCE", lot=250),
        ]
    )
    action = oi.Adjustment("RELIANCE", dt.date(2025, 8, 29), 0.5, 2.0)
    prepared = oi.prepare_chain(frame, oi.OIConfig(adjustments=(action,)))
    assert prepared.frame["strike_p"].unique().sort().to_list() == [50000, 52500, 55000]
    assert prepared.frame["oi"].unique().to_list() == [50000]
    assert count(prepared, "adjusted") == 6
    assert oi.prepare_chain(frame).frame["strike_p"].n_unique() == 6


def test_contracts_passed_as_units_are_refused_with_the_way_to_state_them(chain, walk):
    frame = chain(walk(3, 4, 12))
    lots = frame.with_columns(pl.col("oi") // 75)
    with pytest.raises(BadData, match=r"looks like contracts.*oi_unit='contracts'"):
        oi.prepare_chain(lots)
    stated = oi.prepare_chain(lots, oi.OIConfig(oi_unit="contracts"))
    assert_frame_equal(stated.frame, oi.prepare_chain(frame).frame)
    with pytest.raises(BadData, match=r"looks like units.*oi_unit='units'"):
        oi.prepare_chain(frame, oi.OIConfig(oi_unit="contracts"))


def test_volume_in_contracts_is_found_too(chain, walk):
    frame = chain(walk(3, 4, 12)).with_columns(pl.col("volume") // 75 + 1)
    with pytest.raises(BadData, match=r"column volume looks like contracts.*volume_unit='contracts'"):
        oi.prepare_chain(frame)


def test_units_after_a_lot_change_are_not_mistaken_for_contracts(chain):
    rng = np.random.default_rng(1)
    frame = chain(rng.integers(1, 900, (1, 2, 30)))
    mixed = frame.with_columns((pl.col("oi") // 75 * 25 + 25).alias("oi"), pl.lit(75, dtype=pl.Int32).alias("lot"))
    assert oi.prepare_chain(mixed).frame.height == 60


def test_fractional_contracts_become_exact_units(chain):
    frame = chain(np.full((1, 2, 4), 9)).with_columns(
        pl.Series("oi", [46100.333, 756.571, 100.0, 0.0, 33.333, 66.667, 1.0, 2.0])
    )
    with pytest.raises(BadData, match=r"whole units, was 46100.333.*oi_unit='contracts'"):
        oi.prepare_chain(frame)
    stated = oi.prepare_chain(frame, oi.OIConfig(oi_unit="contracts")).frame
    assert stated["oi"].to_list() == [3457525, 56743, 7500, 0, 2500, 5000, 75, 150]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda f: f.drop("oi"), "no column oi"),
        (lambda f: f.with_columns(pl.col("oi") - 10**9), "must not be negative"),
        (lambda f: f.with_columns(pl.col("ts").dt.replace_time_zone(None)), "IST-aware"),
        (lambda f: f.with_columns(pl.lit(None, dtype=pl.Date).alias("expiry")), "every row"),
        (lambda f: f.with_columns(pl.lit("XX").alias("option_type")), "wrong type"),
    ],
)
def test_bad_frames_are_refused_in_one_line(chain, walk, change, text):
    with pytest.raises(BadData, match=text) as caught:
        oi.prepare_chain(change(chain(walk(1, 3, 4))))
    assert "\n" not in str(caught.value)


def test_an_empty_frame_stays_empty(chain, walk):
    prepared = oi.prepare_chain(chain(walk(1, 1, 2)).head(0))
    assert prepared.frame.is_empty()
    assert oi.oi_shift(chain(walk(1, 1, 2)).head(0)).levels.is_empty()


def test_chain_matrix_is_dense_and_absent_is_unknown(chain, walk):
    units = walk(1, 3, 4)
    units[1, 0, 2] = -1
    matrix = oi.chain_matrix(oi.prepare_chain(chain(units)).frame)
    assert matrix.ce_oi.dtype == np.int64
    assert matrix.ce_oi.shape == (3, 4)
    np.testing.assert_array_equal(matrix.ce_oi, np.where(units[:, 0] < 0, -1, units[:, 0] * 75))
    np.testing.assert_array_equal(matrix.pe_oi, units[:, 1] * 75)
    assert matrix.strikes.tolist() == [24000.0, 24050.0, 24100.0, 24150.0]
    two = pl.concat([chain(units), chain(units, underlying="BANKNIFTY")])
    with pytest.raises(BadData, match="needs one underlying"):
        oi.chain_matrix(two)
    assert oi.chain_matrix(two, "BANKNIFTY").ce_oi.shape == (3, 4)


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(BadData, match="did you mean 'baseline'"):
        oi.OIConfig().but(baselin="open")
    with pytest.raises(BadData, match="baseline must be one of"):
        oi.OIConfig(baseline="yesterday")
    with pytest.raises(BadData, match="wall_window must be above 0"):
        oi.OIConfig(wall_window=0)
    with pytest.raises(BadData, match="reach must be above 0"):
        oi.OIConfig(reach=-1.0)
    with pytest.raises(BadData, match="gex_signs"):
        oi.OIConfig(gex_signs="guess")
    assert oi.OIConfig().but(reach=250.0).reach == 250.0
