"""The level tracker is the engine's numbers from arrays."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from toolkit import oi
from toolkit.errors import BadData
from toolkit.oi.columns import LEVELS

K = 24000.0 + 50.0 * np.arange(7)
START = 1_756_440_000_000_000_000
MINUTE = 60_000_000_000


def test_its_rows_are_the_levels_of_the_frame(chain, walk):
    units = walk(3, 20, 7)
    frame = chain(units, spot=24150.0)
    batch = oi.oi_shift(frame).levels
    tracker = oi.LevelTracker()
    stamps = frame["ts"].unique().sort().dt.epoch("us").to_numpy() * 1000
    volume = units * 750
    for t in range(20):
        row = tracker.update(
            int(stamps[t]), K, units[t, 0] * 75, units[t, 1] * 75, volume[t, 0], volume[t, 1], 24150.0, 24150.0
        )
        want = batch.row(t, named=True)
        for name, value in row.items():
            known = want[name]
            assert math.isnan(value) if known is None else value == known, name


def test_its_keys_are_the_level_columns():
    row = oi.LevelTracker().update(START, K, *([np.ones(7, dtype=int)] * 4), math.nan, 24150.0)
    assert tuple(row) == LEVELS
    assert LEVELS[:14] == (
        "spot", "forward", "ce_oi", "pe_oi", "pcr", "pcr_volume", "pcr_change", "max_pain_lo", "max_pain_hi",
        "max_pain", "ce_wall", "pe_wall", "ce_centroid", "pe_centroid",
    )  # fmt: skip
    assert math.isnan(row["spot"])
    assert math.isnan(row["gex"])
    assert math.isnan(row["straddle"])


def test_prices_and_volatilities_bring_their_columns():
    from toolkit import pricing

    f, tte = 24160.0, 5 / 365
    iv = np.full(7, 0.12)
    ce, pe = (pricing.price(cp, f, K, tte, iv) for cp in (1, -1))
    units = np.full(7, 75_000)
    tracker = oi.LevelTracker()
    row = tracker.update(
        START, K, units, units, units, units, f, f, ce_price=ce, pe_price=pe, ce_iv=iv, pe_iv=iv, tte=tte
    )
    assert row["straddle"] == pytest.approx(oi.straddle(K, ce, pe, f).price)
    assert row["gex"] == pytest.approx(oi.gex(K, units, units, iv, iv, f, tte).net, abs=1e-3)
    assert row["ce_delta_oi"] == pytest.approx(oi.delta_weighted_oi(K, units, units, iv, iv, f, tte)[0])
    assert row["atm_iv"] == pytest.approx(0.12)


def test_floats_with_gaps_are_unknown_contracts():
    units = np.array([75.0, math.nan, 150.0, 0.0, 75.0, 75.0, 75.0])
    row = oi.LevelTracker().update(START, K, units, units, units, units, math.nan, 24150.0)
    assert row["ce_oi"] == 450.0
    assert row["contracts"] == 12.0


def test_nothing_at_all_is_unknown():
    zero = np.zeros(7, dtype=int)
    row = oi.LevelTracker().update(START, K, zero, zero, zero, zero, 24150.0, 24150.0)
    for name in ("pcr", "pcr_volume", "max_pain", "ce_wall", "ce_centroid", "ce_hhi", "ce_max"):
        assert math.isnan(row[name]), name
    assert row["ce_oi"] == 0.0


def test_open_interest_over_volume():
    units, traded = np.full(7, 750), np.full(7, 3000)
    row = oi.LevelTracker().update(START, K, units, units, traded, traded * 0, 24150.0, 24150.0)
    assert row["ce_oi_volume"] == 0.25
    assert math.isnan(row["pe_oi_volume"])


def test_the_change_of_ratio_is_null_when_signs_differ_and_bounded_beside_it():
    tracker = oi.LevelTracker()
    base = np.full(7, 7500)
    tracker.update(START, K, base, base, base, base, 24150.0, 24150.0)
    tracker.update(START + 5 * 60 * MINUTE // 60 + MINUTE, K, base, base, base, base, 24150.0, 24150.0)
    up, down = base + 75, base - 75
    same = tracker.update(START + 30 * MINUTE, K, up, up + 75, base, base, 24150.0, 24150.0)
    assert same["pcr_change"] == pytest.approx(2.0)
    assert same["pcr_change_bounded"] == pytest.approx(1 / 3)
    mixed = tracker.update(START + 31 * MINUTE, K, down, up, base, base, 24150.0, 24150.0)
    assert math.isnan(mixed["pcr_change"])
    assert mixed["pcr_change_bounded"] == pytest.approx(1.0)


def test_strikes_may_come_late_and_stamps_must_advance():
    tracker = oi.LevelTracker()
    units = np.full(7, 750)
    tracker.update(START, K, units, units, units, units, 24150.0, 24150.0)
    with pytest.raises(BadData, match="stamps must advance"):
        tracker.update(START, K, units, units, units, units, 24150.0, 24150.0)
    wide = np.append(K, 24350.0)
    more = np.append(units, 75)
    row = tracker.update(START + MINUTE, wide, more, more, more, more, 24150.0, 24150.0)
    assert row["ce_oi"] == 7 * 750 + 75
    assert row["new_accounted"] == 2.0


def test_prominence_is_adjusted_by_the_days_before(chain, walk):
    days = [chain(walk(1, 5, 11) + 50, start=f"2025-08-{d} 10:00:00", spot=24250.0) for d in (26, 28, 29)]
    levels = oi.oi_shift(pl.concat(days)).levels
    first = levels.filter(pl.col("ts").dt.day() == 26)
    assert first["ce_wall_prominence_adj"].null_count() == first.height
    later = levels.filter((pl.col("ts").dt.day() == 29) & pl.col("ce_wall").is_not_null())
    assert later.height == 0 or later["ce_wall_prominence_adj"].null_count() < later.height
