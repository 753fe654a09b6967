"""Ticks: bursts by quiet time in event time, exact totals after every tick, the same result in any split."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from toolkit import oi
from toolkit.errors import BadData
from toolkit.oi.ticks import TickBook

CONFIG = oi.OIConfig(burst="quiet", quiet_s=5.0)


def tape(chain, walk, seed=1, bursts=12):
    """Ticks of some contracts each second, then half a minute of silence."""
    frame = chain(walk(seed, bursts, 6), step_s=30)
    rng = np.random.default_rng(seed)
    delay = pl.Series(rng.integers(0, 4000, frame.height) * 1000).cast(pl.Duration("us"))
    return frame.with_columns(pl.col("ts") + delay).sort("ts", maintain_order=True)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1), st.integers(0, 10**8)), max_size=80))
def test_totals_moments_and_max_pain_are_exact_after_every_tick(ticks):
    book = TickBook()
    held = {}
    for place, side, units in ticks:
        strike = 2_400_000 + 5_000 * place
        book.update(np.array([strike]), np.array([side]), np.array([units]))
        held[strike, side] = units
    live = book.live()
    strikes = np.array(sorted({k for k, _ in held}), dtype=np.int64)
    ce, pe = (np.array([held.get((k, s), 0) for k in strikes.tolist()], dtype=np.int64) for s in (0, 1))
    assert live["ce_oi"] == ce.sum()
    assert live["pe_oi"] == pe.sum()
    if ce.sum():
        m = oi.oi_moments(strikes / 100.0, ce)
        assert live["ce_centroid"] == pytest.approx(m.centroid, rel=1e-14)
        assert live["ce_spread"] == pytest.approx(m.spread, rel=1e-9, abs=1e-4)
        assert live["ce_median"] == m.q50
        assert live["pcr"] == pe.sum() / ce.sum()
    else:
        assert math.isnan(live["pcr"])
    lowest = oi.max_pain(strikes / 100.0, ce, pe).lo if strikes.size else math.nan
    assert live["max_pain_lo"] == lowest or (math.isnan(live["max_pain_lo"]) and math.isnan(lowest))


def test_a_burst_closes_after_quiet_in_event_time(chain, walk):
    engine = oi.OIShiftEngine(CONFIG)
    ticks = tape(chain, walk)
    for row in ticks.iter_slices(1):
        engine.update(row)
    assert engine.levels().height == 11
    engine.flush()
    levels = engine.levels()
    assert levels.height == 12
    assert (levels["ts"].diff().drop_nulls() > dt.timedelta(seconds=20)).all()


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
def test_any_split_gives_the_same_bursts_and_batch_too(chain, walk, size):
    ticks = tape(chain, walk, 3)
    engine = oi.OIShiftEngine(CONFIG)
    for j, part in enumerate(ticks.iter_slices(size)):
        engine.update(part)
        if j % 5 == 2:
            engine = oi.OIShiftEngine(CONFIG).restore(engine.state())
    engine.flush()
    batch = oi.oi_shift(ticks, CONFIG)
    assert_frame_equal(engine.levels(), batch.levels, check_exact=True)
    assert_frame_equal(engine.shifts(), batch.shifts, check_exact=True)
    assert batch.levels.height == 12


def test_an_untouched_contract_stands_as_it_was(chain):
    first = chain(np.full((1, 2, 3), 100))
    later = first.filter((pl.col("strike_p") == 2400000) & (pl.col("option_type") == "CE")).with_columns(
        pl.col("ts") + dt.timedelta(minutes=20), pl.col("oi") + 75, pl.lit(None, dtype=pl.Float64).alias("spot")
    )
    engine = oi.OIShiftEngine(CONFIG)
    engine.update(first)
    engine.update(later)
    engine.flush()
    assert engine.levels()["ce_oi"].to_list() == [22_500, 22_575]
    assert engine.levels()["pe_oi"].to_list() == [22_500, 22_500]
    assert engine.live("NIFTY", dt.date(2025, 9, 2))["ce_oi"] == 22_575


def test_ticks_by_token_need_to_know_what_the_tokens_are(chain, walk):
    ticks = tape(chain, walk)
    bare = ticks.select("ts", "token", "oi", "volume", "ltp")
    with pytest.raises(BadData, match="instruments"):
        oi.OIShiftEngine(CONFIG).update(bare)
    instruments = ticks.select("token", "underlying", "expiry", "strike_p", "option_type", "lot").unique("token")
    engine = oi.OIShiftEngine(CONFIG, instruments=instruments)
    engine.update(bare)
    engine.flush()
    named = oi.OIShiftEngine(CONFIG)
    named.update(ticks.drop("spot"))
    named.flush()
    assert_frame_equal(engine.levels(), named.levels(), check_exact=True)
    with pytest.raises(BadData, match="no tick"):
        engine.live("NIFTY", dt.date(2030, 1, 1))
