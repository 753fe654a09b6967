"""Studies: planted effects are found, absent ones are not claimed, planted events are counted."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest

from toolkit import oi
from toolkit.errors import BadData
from toolkit.oi.events import Event, events_frame
from toolkit.oi.study import adjusted, reading, wilson

EXPIRY = dt.date(2025, 9, 30)
START = 1_756_438_200_000_000_000  # 29-Aug-2025 09:00 IST
MINUTE = 60_000_000_000
DAY = 86_400_000_000_000


def path(jumps, days=5, steps=300, seed=1):
    """Levels whose forward wanders, and jumps by so many basis points a burst after the given (day, burst)."""
    rng = np.random.default_rng(seed)
    rows = []
    for day in range(days):
        moves = rng.normal(0, 1.0, steps)
        for at in (b for d, b in jumps if d == day):
            moves[at + 1 : at + 6] += 6.0
        price = 24500.0 * np.exp(np.cumsum(moves) / 1e4)
        ts = START + day * DAY + MINUTE * np.arange(steps)
        rows.append(pl.DataFrame({"us": ts // 1000, "forward": price}))
    frame = pl.concat(rows)
    stamp = pl.col("us").cast(pl.Datetime("us", "UTC")).dt.convert_time_zone("Asia/Kolkata").alias("ts")
    return frame.select(
        stamp, pl.lit("NIFTY").alias("underlying"), pl.lit(EXPIRY).alias("expiry"), "forward", pl.lit(1).alias("fresh")
    )


def events(places, kind="WALL_UNWIND", side="CE"):
    made = [
        Event(START + d * DAY + b * MINUTE, "NIFTY", EXPIRY, side, kind, 1.0, 1.0, 75, math.nan, math.nan, {})
        for d, b in places
    ]
    return events_frame(made)


PLACES = [(d, b + 11 * d) for d in range(5) for b in (40, 110, 180, 240)]


def test_a_planted_effect_is_found_against_both_baselines():
    study = oi.event_study(events(PLACES), path(PLACES), [300.0], permutations=200)
    row = study.row(0, named=True)
    assert row["n"] == 20
    assert row["hit_rate"] > 0.9
    assert row["mean_return_bp"] > 20
    assert row["low"] > row["baseline_times"]
    assert row["p_times"] < 0.01
    assert row["p_days"] < 0.05
    assert row["q_times"] < 0.01


def test_no_effect_is_claimed_where_there_is_none():
    study = oi.event_study(events(PLACES), path([]), [300.0, 900.0], permutations=200)
    assert (study["p_times"] > 0.05).all()
    assert (study["q_times"] >= study["p_times"]).all()
    assert study["hit_rate"].is_between(0.1, 0.9).all()


def test_types_without_a_reading_are_tested_on_their_range():
    study = oi.event_study(events(PLACES, "STRADDLE_EXPAND", None), path(PLACES), [300.0], permutations=200)
    row = study.row(0, named=True)
    assert row["hit_rate"] is None
    assert row["range_bp"] > row["baseline_times"]
    assert row["p_times"] < 0.01


def test_the_same_seed_gives_the_same_study():
    a, b = (oi.event_study(events(PLACES), path([]), [300.0], permutations=50, seed=4) for _ in range(2))
    assert a.equals(b)


def test_events_too_late_or_off_the_path_are_left_out():
    study = oi.event_study(events([(0, 298), (0, 10)]), path([]), [300.0])
    assert study["n"].to_list() == [1]
    other = events([(0, 10)]).with_columns(pl.lit("BANKNIFTY").alias("underlying"))
    assert oi.event_study(other, path([]), [300.0])["n"].to_list() == [0]
    assert oi.event_study(events([]), path([])).is_empty()
    with pytest.raises(BadData, match="no column 'forward'"):
        oi.event_study(events([]), path([]).drop("forward"))


@pytest.mark.parametrize(
    ("kind", "side", "start", "to", "want"),
    [
        ("WALL_UNWIND", "CE", 1.0, 1.0, 1),
        ("WALL_UNWIND", "PE", 1.0, 1.0, -1),
        ("WALL_BUILD", "CE", 1.0, 1.0, -1),
        ("CENTROID_SHIFT", "PE", 10.0, 5.0, -1),
        ("MAXPAIN_DRIFT", None, 10.0, 15.0, 1),
        ("CENTROID_SHIFT", "PE", None, 5.0, 0),
        ("FUT_SHORT_COVER", None, 1.0, 2.0, 1),
        ("GAMMA_FLIP", None, 1.0, -1.0, 0),
    ],
)
def test_readings(kind, side, start, to, want):
    assert reading(kind, side, start, to) == want


def test_wilson_and_benjamini_hochberg_against_scipy():
    from scipy.stats import binomtest, false_discovery_control

    interval = binomtest(8, 10).proportion_ci(method="wilson")
    assert wilson(8, 10) == pytest.approx((interval.low, interval.high))
    assert all(math.isnan(v) for v in wilson(0, 0))
    p = [0.01, 0.2, 0.03, 0.5, 0.04]
    np.testing.assert_allclose(adjusted(p), false_discovery_control(p))
    with_gap = adjusted([0.01, math.nan, 0.03])
    assert math.isnan(with_gap[1])
    np.testing.assert_allclose(with_gap[[0, 2]], false_discovery_control([0.01, 0.03]))


def test_lead_lag_finds_who_moves_first():
    rng = np.random.default_rng(2)
    moves = rng.normal(0, 1, 300)
    levels = path([], days=1).with_columns(
        pl.Series("forward", 24500.0 * np.exp(np.cumsum(moves) / 1e4)),
        pl.Series("pe_centroid", np.cumsum(np.concatenate([moves[3:], np.zeros(3)]))),
    )
    found = oi.lead_lag(levels, "pe_centroid")
    best = found.sort("correlation").row(-1, named=True)
    assert best["lag"] == 3
    assert best["correlation"] > 0.9
    still = levels.with_columns(pl.lit(1.0).alias("pe_centroid"))
    assert oi.lead_lag(still, "pe_centroid", [0])["correlation"][0] is None
    with pytest.raises(BadData, match="no column"):
        oi.lead_lag(levels, "ce_centroids")
    with pytest.raises(BadData, match="one underlying"):
        oi.lead_lag(pl.concat([levels, levels.with_columns(pl.lit("X").alias("underlying"))]), "pe_centroid")


def test_recall_counts_found_missed_and_false():
    found = events([(0, 10), (0, 100), (0, 200)])
    planted = pl.DataFrame(
        {
            "ts": [found["ts"][0], found["ts"][1] + dt.timedelta(hours=1)],
            "end_ts": [found["ts"][0] + dt.timedelta(minutes=5)] * 2,
            "underlying": ["NIFTY"] * 2,
            "expiry": [EXPIRY] * 2,
            "side": ["CE"] * 2,
            "type": ["WALL_UNWIND"] * 2,
        }
    )
    row = oi.recall(found, planted, sessions=2).by_type.row(0, named=True)
    assert (row["planted"], row["found"], row["recall"]) == (2, 1, 0.5)
    assert (row["alarms"], row["false_alarms"], row["false_per_day"]) == (3, 2, 1.0)
    assert row["delay_s"] == 0.0
    other = planted.with_columns(pl.lit("PE").alias("side"))
    assert oi.recall(found, other, sessions=1).by_type["found"][0] == 0


def test_planted_events_of_the_shipped_sample_are_found(calendar):
    from toolkit.config import share
    from toolkit.sim.planted import frame_of_records
    from toolkit.store.session import open_session

    session = open_session(share("data", "sample"))
    result = oi.oi_shift(session.frame("chain"), oi.OIConfig(calendar=calendar))
    planted = frame_of_records(session.meta["planted"])
    table = {r["type"]: r for r in oi.recall(result.events, planted, sessions=1).by_type.iter_rows(named=True)}
    for kind in ("DATA_GAP", "DATA_NEW_STRIKE", "WALL_SHIFT_DOWN", "WALL_UNWIND"):
        assert table[kind]["recall"] == 1.0, kind
    assert table["DATA_NEW_STRIKE"]["false_alarms"] == 0
    assert table["WALL_SHIFT_DOWN"]["false_per_day"] <= 3
