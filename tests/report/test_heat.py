"""The mesh behind the heatmaps: every figure where it belongs, nothing where nothing was received."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.report.heat import GAP_MS, grid

IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
OPEN = dt.datetime(2025, 11, 24, 9, 15, tzinfo=IST)


def heat(minutes, strikes=(24000.0, 24050.0, 24100.0), side="CE", value=lambda m, k: int(m * 1000 + k)):
    rows = [
        {
            "ts": OPEN + dt.timedelta(minutes=m),
            "expiry": dt.date(2025, 11, 25),
            "strike": k,
            "option_type": side,
            "oi": value(m, k),
            "oi_change": value(m, k) - value(minutes[0], k),
        }
        for m in minutes
        for k in strikes
    ]
    return pl.DataFrame(rows).with_columns(pl.col("ts").cast(pl.Datetime("us", "Asia/Kolkata")))


def wall(minutes: float) -> float:
    return (9 * 60 + 15 + minutes) * 60_000.0 + dt.datetime(2025, 11, 24, tzinfo=dt.UTC).timestamp() * 1000


def test_every_snapshot_stands_in_its_own_column_in_lakh():
    mesh = grid(heat([0, 1, 2, 3]), "CE", "oi", center=24050.0)
    assert mesh.values.shape == (3, 4)
    assert mesh.values[1, 2] == pytest.approx((2 * 1000 + 24050) / 1e5)
    assert (mesh.left, mesh.right) == (wall(0), wall(4))
    assert (mesh.bottom, mesh.top) == (23975.0, 24125.0)
    assert mesh.missing == ()
    assert not mesh.signed


def test_a_short_gap_carries_the_last_figure_and_an_outage_is_missing_not_zero():
    mesh = grid(heat([0, 1, 2, 3, 5, 6, 7, 25, 26, 27, 28]), "CE", "oi_change", center=24050.0)
    columns = mesh.values.shape[1]
    minute = [int((wall(m) - mesh.left) // 60_000) for m in (4, 7, 20, 25)]
    assert mesh.values[0, minute[0]] == mesh.values[0, minute[0] - 1], "one missed minute shows the last known"
    assert np.isnan(mesh.values[:, minute[2]]).all(), "twenty minutes in, nothing is known"
    assert np.isfinite(mesh.values[:, minute[3] : columns]).all()
    ((left, right),) = mesh.missing
    assert left == pytest.approx(wall(7) + GAP_MS, abs=61_000)
    assert right == pytest.approx(wall(25), abs=1)
    assert mesh.signed


def test_strikes_that_are_not_listed_stay_empty():
    frame = heat([0, 1], strikes=(24000.0, 24050.0, 24150.0))
    mesh = grid(frame, "CE", "oi", center=24050.0)
    assert mesh.values.shape[0] == 4
    assert np.isnan(mesh.values[2]).all()


def test_only_strikes_around_the_center_are_kept():
    strikes = tuple(np.arange(20000.0, 30001.0, 50.0))
    mesh = grid(heat([0, 1], strikes=strikes), "CE", "oi", center=24050.0)
    assert mesh.strikes[0] > 21500
    assert mesh.strikes[-1] < 26500
    assert 24050.0 in mesh.strikes


def test_far_strikes_with_a_wider_step_do_not_blow_up_the_mesh():
    strikes = (*np.arange(20000.0, 24000.0, 1000.0), *np.arange(24000.0, 24501.0, 50.0), 30000.0)
    mesh = grid(heat([0, 1], strikes=strikes), "CE", "oi", center=24250.0)
    assert mesh.values.shape[0] <= 90


def test_one_snapshot_one_strike_and_unknown_center():
    mesh = grid(heat([0], strikes=(24000.0,)), "CE", "oi", center=float("nan"))
    assert mesh.values.shape == (1, 1)
    assert mesh.scale > 0


def test_no_figure_gives_nothing_to_draw():
    assert grid(heat([0, 1]), "PE", "oi", center=24050.0) is None
    assert grid(heat([0, 1]).clear(), "CE", "oi", center=24050.0) is None


def test_an_all_zero_change_still_has_a_scale():
    assert grid(heat([0, 1], value=lambda m, k: 5), "CE", "oi_change", center=24050.0).scale > 0


def test_an_unknown_measure_is_refused():
    with pytest.raises(BadData, match="'oi' or 'oi_change', was 'volume'"):
        grid(heat([0]), "CE", "volume", center=1.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 370), min_size=2, max_size=60, unique=True).map(sorted))
def test_what_is_drawn_was_known_at_that_time_and_is_never_older_than_the_gap(minutes):
    frame = heat(minutes, strikes=(24000.0, 24050.0), value=lambda m, k: m + 1)
    mesh = grid(frame, "CE", "oi", center=24000.0)
    width = (mesh.right - mesh.left) / mesh.values.shape[1]
    for column in range(mesh.values.shape[1]):
        left, right = mesh.left + column * width, mesh.left + (column + 1) * width
        drawn = mesh.values[0, column]
        inside = any(a <= left + 1 and right - 1 <= b for a, b in mesh.missing)
        assert np.isnan(drawn) == inside
        if not np.isnan(drawn):
            at = wall(round(float(drawn) * 1e5) - 1)
            assert at < right + 1
            assert left - at <= GAP_MS + 1
