"""Stamps, bursts, delays and paths."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.sim.paths import PathModel, bridge, burst_times, day_path, receipt_delays, snapshot_stamps, stream
from toolkit.sim.surface import SESSIONS_A_YEAR

SECOND = 1_000_000_000
OPEN = 1_783_914_300 * SECOND
CLOSE = OPEN + 375 * 60 * SECOND
DAY = dt.date(2026, 7, 13)
FRACTION = np.linspace(0.002, 0.998, 340)


def walk(seed, model=None, name="NIFTY"):
    common, own = stream(seed, "market", DAY, 1), stream(seed, name, DAY, 1)
    return day_path(common, own, model or PathModel(), FRACTION, (25000.0, 0.12), 0.12)


def test_streams_repeat_and_differ():
    draws = {
        key: stream(*key).random(4).tolist()
        for key in [
            (1, "NIFTY", DAY, 0),
            (2, "NIFTY", DAY, 0),
            (1, "SENSEX", DAY, 0),
            (1, "NIFTY", DAY, 1),
            (1, "NIFTY", dt.date(2026, 7, 14), 0),
        ]
    }
    assert len({tuple(v) for v in draws.values()}) == len(draws)
    assert stream(1, "NIFTY", DAY, 0).random(4).tolist() == draws[1, "NIFTY", DAY, 0]


@settings(deadline=None)
@given(seed=st.integers(0, 10_000))
def test_snapshots_are_about_a_minute_apart_inside_the_session(seed):
    stamps = snapshot_stamps(stream(seed, "x", DAY, 0), OPEN, CLOSE)
    gaps = np.diff(stamps) // SECOND
    assert OPEN < stamps[0] < OPEN + 30 * SECOND
    assert CLOSE - 120 * SECOND <= stamps[-1] < CLOSE
    assert set(gaps.tolist()) <= {30, 60, 90, 120}
    assert np.median(gaps) == 60


def test_bursts_have_the_measured_cadence():
    gaps = [np.diff(burst_times(stream(s, "x", DAY, 0), OPEN, CLOSE)) / SECOND for s in range(40)]
    found = np.quantile(np.concatenate(gaps), [0.05, 0.25, 0.5, 0.75, 0.95])
    assert found == pytest.approx([60, 120, 160, 210, 275], abs=12)


def test_delays_are_a_few_seconds_in_whole_milliseconds():
    delays = receipt_delays(stream(1, "x", DAY, 0), 20_000)
    assert (delays % 1_000_000 == 0).all()
    assert delays.min() >= 0.9 * SECOND
    assert delays.max() <= 6 * SECOND
    assert 1.2 * SECOND < np.median(delays) < 1.6 * SECOND


def test_realized_vol_is_the_implied_one_times_its_ratio():
    quiet = PathModel(jumps=0.0, vol_of_vol=0.0)
    moves = [np.log(path.spot[-1] / path.open) for path in (walk(s, quiet) for s in range(400))]
    found = np.std(moves) / np.sqrt(0.75 / SESSIONS_A_YEAR)
    assert found == pytest.approx(0.9 * 0.12, rel=0.12)


def test_indices_move_together():
    pairs = [(walk(s), walk(s, name="SENSEX")) for s in range(60)]
    moves = np.array([[np.log(p.spot[-1] / 25000.0) for p in pair] for pair in pairs])
    assert np.corrcoef(moves.T)[0, 1] > 0.9
    assert not np.array_equal(pairs[0][0].spot, pairs[0][1].spot)


def test_vol_rises_when_the_index_falls():
    paths = [walk(s) for s in range(80)]
    down = np.array([np.log(p.spot[-1] / p.spot[0]) for p in paths])
    up = np.array([np.log(p.vol[-1] / p.vol[0]) for p in paths])
    assert np.corrcoef(down, up)[0, 1] < -0.4


def test_every_day_opens_with_a_gap_and_stays_inside_its_ranges():
    path = walk(5)
    before = np.concatenate([[path.open], path.spot[:-1]])
    assert path.open != 25000.0
    assert (path.high >= np.maximum(before, path.spot)).all()
    assert (path.low <= np.minimum(before, path.spot)).all()


def test_jumps_are_where_the_path_says():
    path = walk(3, PathModel(jumps=4.0, jump_size=0.01))
    steps = np.abs(np.diff(np.log(path.spot)))
    assert len(path.jump_at) > 0
    assert (steps[path.jump_at - 1] > 5 * np.median(steps)).all()


def test_spot_stands_still_once_the_settlement_is_known():
    fraction = np.minimum(np.linspace(0.1, 1.05, 60), 1.0)
    path = day_path(
        stream(1, "market", DAY, 1), stream(1, "NIFTY", DAY, 1), PathModel(), fraction, (25000.0, 0.12), 0.12
    )
    still = path.spot[fraction == 1.0]
    assert len(still) > 2
    assert (still == still[0]).all()


@settings(deadline=None)
@given(start=st.floats(100, 1e5), move=st.floats(-50, 50), steps=st.integers(1, 90), seed=st.integers(0, 99))
def test_a_bridge_ends_where_it_must(start, move, steps, seed):
    path = bridge(stream(seed, "x", DAY, 0), start, start + move, steps, 10.0)
    assert len(path) == steps
    assert path[-1] == start + move


def test_a_bridge_has_the_variance_of_one():
    middles = [bridge(stream(s, "x", DAY, 0), 0.0, 0.0, 60, 1.0)[29] for s in range(3000)]
    assert np.std(middles) == pytest.approx(0.5, rel=0.06)
