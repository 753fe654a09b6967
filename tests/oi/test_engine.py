"""Streaming equals batch to the bit, however the rows arrive and wherever it stops and goes on."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from toolkit import oi
from toolkit.errors import BadData


def same(engine, batch):
    assert_frame_equal(engine.levels(), batch.levels, check_exact=True)
    assert_frame_equal(engine.shifts(), batch.shifts, check_exact=True)
    assert_frame_equal(engine.events(), batch.events, check_exact=True)


def two_expiries(chain, walk, seed, steps=30):
    near, far = walk(seed, steps, 7), walk(seed + 1, steps, 5)
    near[5:, :, 6] = near[5:, :, 6]
    near[:5, :, 6] = -1  # a strike that appears after five bursts
    near[11, 0, 2] = -1  # a contract missing once
    return pl.concat(
        [
            chain(near, price=price(near), spot=24150.0),
            chain(far, expiry=dt.date(2025, 9, 9), token=500, price=price(far), spot=24150.0),
        ]
    )


def price(units):
    steps, _, n = units.shape
    k = 24000.0 + 50.0 * np.arange(n)
    wave = 24150.0 + 20.0 * np.sin(np.arange(steps) / 3.0)
    call = np.maximum(wave[:, None] - k, 0.0) + 60.0
    put = np.maximum(k - wave[:, None], 0.0) + 60.0
    return np.stack([call, put], axis=1)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 50),
    baseline=st.sampled_from(["open", "prev_close", "rolling", "expiry"]),
    stops=st.sets(st.integers(0, 29), max_size=4),
    shuffle=st.integers(0, 10**6),
)
def test_any_arrival_order_duplicates_splits_and_restarts(chain, walk, seed, baseline, stops, shuffle):
    frame = two_expiries(chain, walk, seed)
    config = oi.OIConfig(baseline=baseline, min_history=4)
    batch = oi.oi_shift(frame, config)
    rng = np.random.default_rng(shuffle)
    engine = oi.OIShiftEngine(config)
    for j, burst in enumerate(frame.partition_by("ts", maintain_order=True)):
        mixed = burst.sample(fraction=1.0, shuffle=True, seed=int(rng.integers(1 << 30)))
        cut = int(rng.integers(0, mixed.height + 1))
        engine.update(mixed[:cut])
        if j in stops:
            engine = oi.OIShiftEngine(config).restore(engine.state())
        engine.update(mixed[cut:])
        engine.update(mixed.head(3))
    same(engine, batch)


def test_whole_snapshots_return_the_events_as_they_come(chain, walk):
    frame = two_expiries(chain, walk, 3, steps=60)
    config = oi.OIConfig(min_history=4)
    engine = oi.OIShiftEngine(config)
    told = [engine.update(burst) for burst in frame.partition_by("ts", maintain_order=True)]
    batch = oi.oi_shift(frame, config)
    assert batch.events.height > 3
    assert_frame_equal(pl.concat(told).sort("ts", "id"), batch.events.sort("ts", "id"), check_exact=True)


def test_several_days_carry_the_previous_close_and_the_history(chain, walk):
    days = [two_expiries(chain, walk, d).with_columns(pl.col("ts") + dt.timedelta(days=d)) for d in range(4)]
    frame = pl.concat(days)
    config = oi.OIConfig(min_history=4)
    engine = oi.OIShiftEngine(config)
    for j, day in enumerate(days):
        engine.update(day)
        if j == 2:
            engine = oi.OIShiftEngine(config).restore(engine.state())
    same(engine, oi.oi_shift(frame, config))


def test_the_recorded_day(day_frame, day_result, calendar):
    chosen = [dt.date(2025, 9, 2), dt.date(2025, 9, 9)]
    frame = day_frame.filter(pl.col("expiry").is_in(chosen))
    config = oi.OIConfig(calendar=calendar)
    engine = oi.OIShiftEngine(config)
    for j, burst in enumerate(frame.partition_by("recv_ts", maintain_order=True)):
        if j % 9 == 0:
            half = burst.sample(fraction=1.0, shuffle=True, seed=j)
            engine.update(half[:50])
            engine.update(half[50:])
        else:
            engine.update(burst)
        if j == 150:
            engine = oi.OIShiftEngine(config).restore(engine.state())
    same(engine, oi.oi_shift(frame, config))
    want = day_result.levels.filter(pl.col("expiry").is_in(chosen))
    assert_frame_equal(engine.levels(), want, check_exact=True)


def test_redating_over_the_stream(real, calendar):
    frame = real("fo_udiff_eod_202501.parquet").frame("chain", "FINNIFTY")
    config = oi.OIConfig(calendar=calendar)
    engine = oi.OIShiftEngine(config)
    for burst in frame.partition_by("ts", maintain_order=True):
        engine.update(burst)
        engine = oi.OIShiftEngine(config).restore(engine.state())
    batch = oi.oi_shift(frame, config)
    assert batch.events.filter(pl.col("type") == "DATA_REDATED").height > 0
    same(engine, batch)


def test_backward_stamps_are_refused_and_counted(chain, walk):
    frame = chain(walk(2, 4, 5))
    bursts = frame.partition_by("ts", maintain_order=True)
    engine = oi.OIShiftEngine()
    engine.update(bursts[0])
    engine.update(bursts[2])
    assert engine.update(bursts[1]).is_empty()
    assert engine.levels().height == 2
    quality = engine.quality()
    assert quality.filter(pl.col("rule") == "backward_stamp")["count"][0] == 1


def test_an_anchor_is_the_previous_close(chain):
    before = chain(np.full((1, 2, 4), 100), start="2025-08-28 15:30:00")
    today = chain(np.full((3, 2, 4), 130), start="2025-08-29 09:15:00")
    result = oi.oi_shift(today, anchor=before)
    first = result.shifts.filter(pl.col("side") == "CE").row(0, named=True)
    assert (first["total_before"], first["total_after"], first["created"]) == (30_000, 39_000, 9_000)
    assert first["base_ts"].strftime("%d %H:%M") == "28 15:30"
    assert result.levels.height == 3
    engine = oi.OIShiftEngine(anchor=before)
    engine.update(today)
    same(engine, result)
    assert oi.oi_shift(today).shifts["created"].null_count() == 6


def test_the_base_is_the_first_burst_after_0920(chain):
    lots = np.arange(1, 9)[:, None, None] * np.full((8, 2, 3), 10)
    result = oi.oi_shift(chain(lots, start="2025-08-29 09:18:00"))
    rows = result.shifts.filter(pl.col("side") == "PE")
    assert rows["base_ts"].drop_nulls().dt.strftime("%H:%M").unique().to_list() == ["09:20"]
    assert rows["created"].to_list()[:3] == [None, None, None]
    assert rows["created"].to_list()[3:] == [2250, 4500, 6750, 9000, 11250]
    assert rows["step_created"].to_list()[1:] == [2250] * 7


def test_a_rolling_base_looks_back_by_time_and_bursts(chain):
    lots = np.arange(1, 31)[:, None, None] * np.full((30, 2, 3), 10)
    config = oi.OIConfig(baseline="rolling", rolling_s=600, rolling_bursts=4)
    rows = oi.oi_shift(chain(lots), config).shifts.filter(pl.col("side") == "CE")
    assert rows["created"].to_list()[:10] == [None] * 10
    assert rows["created"].to_list()[10:] == [10 * 2250] * 20


def test_a_missing_contract_is_carried_then_left_out_of_both_sides(chain):
    lots = np.full((15, 2, 3), 100)
    lots[0] = 90
    lots[2:, 0, 1] = -1
    result = oi.oi_shift(chain(lots, start="2025-08-29 09:20:00"), oi.OIConfig(max_age_s=300))
    calls = result.levels["ce_oi"].to_list()
    assert calls[1:7] == [22_500] * 6
    assert calls[7:] == [15_000] * 8
    rows = result.shifts.filter(pl.col("side") == "CE")
    assert rows["created"].to_list()[2:] == [2250] * 5 + [1500] * 8
    assert rows["total_before"].to_list()[-1] == 2 * 90 * 75
    assert result.levels["carried"].sum() == 5


@pytest.mark.parametrize(("traded", "created"), [(60, 50 * 75), (10, 0)])
def test_a_new_strike_starts_at_zero_only_when_its_volume_accounts_for_it(chain, traded, created):
    lots = np.full((4, 2, 3), 100)
    lots[:2, 0, 2] = -1
    lots[2:, 0, 2] = 50
    volume = np.full((4, 2, 3), 5000)
    volume[2:, 0, 2] = traded
    result = oi.oi_shift(chain(lots, volume=volume, start="2025-08-29 09:20:00"))
    last = result.shifts.filter(pl.col("side") == "CE").row(-1, named=True)
    assert last["created"] == created
    rule = "new_strike_accounted" if created else "new_strike_unknown_before"
    assert result.quality.filter(pl.col("rule") == rule)["count"][0] == 1
    assert result.events.filter(pl.col("type") == "DATA_NEW_STRIKE").height == 1


def test_an_absent_strike_of_a_closing_file_was_zero(chain):
    before = chain(np.full((1, 2, 3), 100), start="2025-08-28 15:30:00")
    lots = np.full((1, 2, 4), 100)
    volume = np.full((1, 2, 4), 1)
    result = oi.oi_shift(pl.concat([before, chain(lots, volume=volume, start="2025-08-29 15:30:00")]))
    last = result.shifts.filter(pl.col("side") == "CE").row(-1, named=True)
    assert (last["created"], last["total_before"]) == (7500, 22_500)


def test_state_is_refused_where_it_does_not_belong(chain, walk):
    engine = oi.OIShiftEngine()
    engine.update(chain(walk(1, 2, 3)))
    state = engine.state()
    with pytest.raises(BadData, match="other settings"):
        oi.OIShiftEngine(oi.OIConfig(reach=100.0)).restore(state)
    with pytest.raises(BadData, match="no state"):
        oi.OIShiftEngine().restore(b"nonsense")
    with pytest.raises(BadData, match="no state"):
        oi.OIShiftEngine().restore(state[: len(state) // 2])
    assert oi.OIShiftEngine().restore(state).levels().height == 2


def test_bad_rows_leave_the_state_as_it_was(chain, walk):
    frame = chain(walk(1, 3, 4))
    engine = oi.OIShiftEngine()
    engine.update(frame)
    before = engine.levels()
    with pytest.raises(BadData):
        engine.update(frame.drop("oi"))
    assert_frame_equal(engine.levels(), before)
    assert engine.update(frame.head(0)).is_empty()


def test_futures_rows_travel_in_their_own_frame(chain, walk):
    stamps = pl.datetime_range(
        dt.datetime(2025, 8, 28, 15, 30), dt.datetime(2025, 8, 31, 15, 30), "1d", time_zone="Asia/Kolkata", eager=True
    )
    futures = pl.DataFrame(
        {
            "ts": stamps.cast(pl.Datetime("us", "Asia/Kolkata")),
            "underlying": ["NIFTY"] * 4,
            "expiry": [dt.date(2025, 9, 30)] * 4,
            "oi": [100_000, 120_000, 150_000, 130_000],
            "settle": [24500.0, 24600.0, 24500.0, 24400.0],
        }
    )
    frame = chain(walk(1, 2, 3))
    batch = oi.oi_shift(frame, futures=futures)
    kinds = batch.events.filter(pl.col("type").str.starts_with("FUT_"))
    assert kinds["type"].to_list() == ["FUT_LONG_BUILD", "FUT_SHORT_BUILD", "FUT_LONG_UNWIND"]
    assert kinds["size"].to_list() == [20_000, 30_000, -20_000]
    engine = oi.OIShiftEngine()
    for row in futures.partition_by("ts", maintain_order=True):
        engine.update(row)
        engine = oi.OIShiftEngine().restore(engine.state())
    engine.update(frame)
    same(engine, batch)
    with pytest.raises(BadData, match="no column oi"):
        engine.update(futures.drop("oi"))
