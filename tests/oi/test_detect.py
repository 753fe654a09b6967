"""Every event type from a chain that shows it, and from none that does not."""

from __future__ import annotations

import datetime as dt
import json
import math
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from toolkit import oi
from toolkit.errors import BadData
from toolkit.oi.detect import Latches
from toolkit.oi.events import THRESHOLDS, Event, chebyshev, event_id, events_frame, thresholds_of

N = 21
K = 24000.0 + 50.0 * np.arange(N)


def quiet(steps, seed=1):
    """A calm book: call wall 24700, put wall 24300, a few lots in and out of every strike."""
    rng = np.random.default_rng(seed)
    base = np.full((2, N), 2000)
    base[0, 14] = 9000
    base[1, 6] = 9000
    noise = rng.integers(-8, 9, (steps, 2, N))
    return np.maximum(base + np.cumsum(noise, axis=0), 0)


def quotes(forward, vol=0.0):
    forward = np.asarray(forward, dtype=float)
    call = np.maximum(forward[:, None] - K, 0.0) + 60.0 + np.asarray(vol).reshape(-1, 1)
    put = np.maximum(K - forward[:, None], 0.0) + 60.0 + np.asarray(vol).reshape(-1, 1)
    return np.stack([call, put], axis=1)


def run(chain, units, forward=None, vol=0.0, config=None, **named):
    steps = units.shape[0]
    forward = np.full(steps, 24500.0) if forward is None else np.asarray(forward, dtype=float)
    vol = np.full(steps, vol) if np.isscalar(vol) else vol
    frame = chain(units, price=quotes(forward, vol), start="2025-08-29 09:20:00", **named)
    return oi.oi_shift(frame, config)


def kinds(result, *names):
    found = result.events
    return found.filter(pl.col("type").is_in(names)) if names else found


def test_a_calm_book_has_no_event_of_walls_or_prices(chain):
    result = run(chain, quiet(60))
    noisy = {"CENTROID_SHIFT"}
    assert set(result.events["type"].to_list()) <= noisy


def test_wall_build_and_unwind(chain):
    units = quiet(60)
    units[40:, 0, 14] += 3000
    units[50:, 1, 6] -= 3000
    found = kinds(run(chain, units), "WALL_BUILD", "WALL_UNWIND").sort("ts")
    build = found.filter(pl.col("type") == "WALL_BUILD").row(0, named=True)
    assert (build["side"], build["from"], build["to"]) == ("CE", 24700.0, 24700.0)
    assert build["size"] == pytest.approx(3000 * 75, rel=0.05)
    assert build["z"] > 5
    assert build["confidence"] == pytest.approx(1 - 1 / build["z"] ** 2)
    unwind = found.filter(pl.col("type") == "WALL_UNWIND").row(0, named=True)
    assert (unwind["side"], unwind["size"] < 0) == ("PE", True)
    assert build["ts"].strftime("%H:%M") == "10:00"


def test_a_wall_moves_up_once_and_the_range_widens(chain):
    units = quiet(40)
    units[20:, 0, 18] = 12_000 + np.arange(20)
    result = run(chain, units)
    moved = kinds(result, "WALL_SHIFT_UP", "WALL_SHIFT_DOWN")
    assert moved.height == 1
    row = moved.row(0, named=True)
    assert (row["type"], row["side"], row["from"], row["to"]) == ("WALL_SHIFT_UP", "CE", 24700.0, 24900.0)
    wide = kinds(result, "RANGE_WIDEN").row(0, named=True)
    assert (wide["from"], wide["to"]) == (400.0, 600.0)
    assert row["ts"].strftime("%H:%M") == "09:41"


def test_a_breach_and_covering_behind_it(chain):
    units = quiet(60)
    units[40:, 0, 14] -= 2500
    forward = np.concatenate([np.full(30, 24500.0), np.full(30, 24730.0)])
    result = run(chain, units, forward)
    breach = kinds(result, "WALL_BREACH").row(0, named=True)
    assert (breach["side"], breach["from"]) == ("CE", 24700.0)
    assert breach["to"] == pytest.approx(24730.0)
    cover = kinds(result, "BREACH_WITH_UNWIND").row(0, named=True)
    assert cover["side"] == "CE"
    assert json.loads(cover["evidence"])["reading"] == "short-cover rally"
    assert cover["ts"] > breach["ts"]


def test_a_wall_that_is_touched_and_holds(chain):
    units = quiet(60)
    units[31:, 1, 6] += 400
    forward = np.concatenate([np.full(30, 24500.0), np.full(5, 24310.0), np.full(25, 24420.0)])
    row = kinds(run(chain, units, forward), "WALL_DEFENDED").row(0, named=True)
    assert (row["side"], row["from"]) == ("PE", 24300.0)
    assert row["size"] > 0


def test_max_pain_drifts_but_ties_do_not(chain):
    units = np.full((30, 2, N), 1000)
    units += np.arange(30)[:, None, None]  # fresh bursts, same shape
    still = run(chain, units)
    assert kinds(still, "MAXPAIN_DRIFT").is_empty()
    units[15:, 1, 12:] += 3000
    units[15:, 0, 12:] -= 500
    moved = kinds(run(chain, units), "MAXPAIN_DRIFT").row(0, named=True)
    assert moved["to"] > moved["from"]


def test_writers_are_trapped_when_the_premium_runs_away(chain):
    units = quiet(40)
    units[10:20, 0, 12] += np.arange(1, 11) * 400
    units[20:, 0, 12] += 4000
    forward = np.concatenate([np.full(20, 24500.0), np.linspace(24500.0, 24800.0, 20)])
    row = kinds(run(chain, units, forward), "TRAPPED_CALL_WRITERS").row(0, named=True)
    assert row["side"] == "CE"
    evidence = json.loads(row["evidence"])
    assert evidence["share"] >= 0.7
    assert evidence["pain_rupees"] > 0


def test_the_straddle_is_crushed_and_expands(chain):
    rng = np.random.default_rng(1)
    vol = np.cumsum(rng.normal(0, 0.05, 60))
    vol[30:] -= 25.0
    vol[45:] += 30.0
    result = run(chain, quiet(60), vol=vol)
    crush = kinds(result, "STRADDLE_CRUSH").row(0, named=True)
    expand = kinds(result, "STRADDLE_EXPAND").row(0, named=True)
    assert crush["to"] < crush["from"]
    assert expand["to"] > expand["from"]
    assert crush["ts"] < expand["ts"]


def test_gamma_flips_once_with_hysteresis(chain):
    units = np.full((40, 2, N), 500)
    units += np.arange(40)[:, None, None]
    units[:20, 0] += 3000
    units[20:, 1] += 3000
    flips = kinds(run(chain, units), "GAMMA_FLIP")
    assert flips.height == 1
    assert (flips["from"][0], flips["to"][0]) == (1.0, -1.0)


def test_the_centroid_shifts_by_score_or_by_creeping(chain):
    units = quiet(60)
    units[40:, 0, 16:] += 1500
    found = kinds(run(chain, units, config=oi.OIConfig(cusum_h=1e9)), "CENTROID_SHIFT")
    row = found.filter(pl.col("side") == "CE").row(0, named=True)
    assert row["ts"].strftime("%H:%M") == "10:00"
    assert row["to"] > row["from"]
    assert row["z"] > 5
    creeping = quiet(60)
    creeping[30:, 0, 18] += 25 * np.arange(30)
    never = oi.OIConfig(thresholds={"CENTROID_SHIFT": oi.Threshold(40.0, 2.0)})
    crept = kinds(run(chain, creeping, config=never), "CENTROID_SHIFT").filter(pl.col("side") == "CE")
    assert crept.height > 0
    assert json.loads(crept["evidence"][0])["cusum"] == 1
    assert crept["z"][0] < 40


def test_open_interest_rolls_to_the_next_expiry(chain):
    near, far = quiet(30), quiet(30, 2)
    near[15:] -= 300
    far[15:] += 300
    frame = pl.concat(
        [
            chain(near, start="2025-08-29 09:20:00"),
            chain(far, start="2025-08-29 09:20:00", expiry=dt.date(2025, 9, 9), token=900),
        ]
    )
    row = kinds(oi.oi_shift(frame), "ROLL").row(0, named=True)
    assert row["expiry"] == dt.date(2025, 9, 2)
    assert json.loads(row["evidence"])["to_expiry"] == "2025-09-09"
    assert row["size"] > 0
    far[15:] -= 300
    assert kinds(oi.oi_shift(pl.concat([frame.head(0), chain(near, start="2025-08-29 09:20:00")])), "ROLL").is_empty()


def test_pcr_is_extreme_against_its_own_history(chain):
    frames = []
    for day in range(15):
        units = quiet(3, seed=day)
        if day == 14:
            units[:, 1] += 4000
        expiry = dt.date(2025, 9, 2) + dt.timedelta(days=day)
        start = f"2025-09-{day + 1:02d} 10:00:00"
        frames.append(chain(units, start=start, expiry=expiry, token=1 + 1000 * day))
    config = oi.OIConfig(min_history=6)
    found = kinds(oi.oi_shift(pl.concat(frames), config), "PCR_EXTREME")
    last = found.filter(pl.col("ts").dt.date() == dt.date(2025, 9, 15)).row(0, named=True)
    assert json.loads(last["evidence"])["percentile"] == 1.0
    assert kinds(oi.oi_shift(frames[14], config), "PCR_EXTREME").is_empty()


def test_gaps_and_stale_feeds(chain):
    units = quiet(12)
    minutes = [0, 1, 2, 22, 23, 24, 25, 26, 27, 28, 29, 30]
    start = dt.datetime(2025, 8, 29, 9, 20, tzinfo=ZoneInfo("Asia/Kolkata"))
    stamps = [start + dt.timedelta(minutes=m) for m in minutes]
    gap = kinds(oi.oi_shift(chain(units, stamps=stamps)), "DATA_GAP").row(0, named=True)
    assert gap["from"] == 1200.0
    still = np.repeat(quiet(1), 30, axis=0)
    stale = kinds(oi.oi_shift(chain(still)), "DATA_STALE")
    assert stale.height == 1
    assert stale["from"][0] >= 600.0


def test_latches_enter_leave_and_rest():
    latch = Latches()
    limit = oi.Threshold(3.0, 1.0, 100.0)
    second = 1_000_000_000
    assert not latch.fires("a", 2.9, limit, 0)
    assert latch.fires("a", 3.0, limit, 1 * second)
    assert not latch.fires("a", 9.0, limit, 2 * second)  # still in
    assert not latch.fires("a", 0.5, limit, 3 * second)  # leaves
    assert not latch.fires("a", 9.0, limit, 4 * second)  # rests
    assert latch.fires("a", 9.0, limit, 102 * second)
    assert not latch.fires("b", math.nan, limit, 0)


def test_ids_are_stable_and_thresholds_can_be_set(chain):
    units = quiet(60)
    units[40:, 0, 14] += 3000
    once, again = run(chain, units), run(chain, units)
    assert_frame_equal(once.events, again.events)
    assert once.events["id"].n_unique() == once.events.height
    strict = run(chain, units, config=oi.OIConfig(thresholds={"WALL_BUILD": oi.Threshold(1e9, 1.0)}))
    assert kinds(strict, "WALL_BUILD").is_empty()
    with pytest.raises(BadData, match="did you mean 'WALL_BUILD'"):
        thresholds_of(oi.OIConfig(thresholds={"WALL_BUILT": oi.Threshold(1.0, 0.0)}))


def test_an_id_hashes_what_happened():
    event = Event(
        1_756_440_000_000_000_000, "NIFTY", dt.date(2025, 9, 2), "CE", "WALL_BUILD", 1.0, 2.0, 75, 3.0, 0.9, {}
    )
    assert event_id(event) == event_id(event._replace(z=9.0, evidence={"x": 1}))
    assert event_id(event) != event_id(event._replace(to=3.0))
    frame = events_frame([event._replace(z=math.nan, size=None)])
    assert frame["z"][0] is None
    assert frame["size"][0] is None
    assert events_frame([]).height == 0
    assert chebyshev(2.0) == 0.75
    assert chebyshev(0.0) == 0.0


def test_events_can_be_detected_again_from_saved_levels(day_result, calendar):
    again = oi.detect_events(day_result.levels, oi.OIConfig(calendar=calendar))
    assert_frame_equal(again, day_result.events)
    with pytest.raises(BadData, match="no column"):
        oi.detect_events(day_result.levels.drop("pcr"))


def test_every_type_of_the_specification_has_a_threshold():
    assert len(THRESHOLDS) == 27
    assert all(t.enter >= 0 for t in THRESHOLDS.values())
