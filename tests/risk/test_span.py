"""The risk array of one contract against the exchange's own values, and the dated inputs."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest

from toolkit import pricing, tables
from toolkit.errors import BadData
from toolkit.risk.rates import MarginRates
from toolkit.risk.span import FACTORS, composite_delta, default_params, risk_array

FILES = {
    dt.date(2021, 1, 4): (14018.50, 0.0367, 0.29498615),
    dt.date(2025, 9, 2): (24625.05, 0.0608, 0.15885968),
}
SPOT, VOL = 24500.0, 0.12
WEEK = 8 / 365


@pytest.fixture(scope="module")
def sample(shared):
    frame = pl.read_parquet(shared("data", "nse", "nifty_1min_iv_greeks_span_sample.parquet"))
    keys = ["trade_date", "actual_expiry_date", "strike", "option_type"]
    frame = frame.filter(pl.col("span_s1").is_not_null()).unique(keys, maintain_order=True)
    days = (pl.col("actual_expiry_date") - pl.col("trade_date")).dt.total_days() + 1
    cp = pl.when(pl.col("option_type") == "CALL").then(1.0).otherwise(-1.0)
    return frame.with_columns(t=days / 365, cp=cp, k=pl.col("strike").cast(pl.Float64))


def inputs(frame, day):
    spot, rate, vol = FILES[day]
    g = frame.filter(pl.col("trade_date") == day)
    column = {name: g.get_column(name).to_numpy() for name in g.columns if g.schema[name] == pl.Float64}
    return g, column, spot, rate, vol


def test_the_sample_is_whole(sample):
    assert sample.height == 192
    assert set(sample.get_column("trade_date")) == set(FILES)


@pytest.mark.parametrize("day", list(FILES), ids=str)
def test_scenario_values_of_the_exchange(sample, day):
    g, c, spot, rate, vol = inputs(sample, day)
    ours = risk_array(
        c["cp"], c["k"], c["t"], spot, vol, rate, c["span_price_scan_range"], c["span_vol_scan_range"], c["span_price"]
    )
    theirs = g.select([f"span_s{n}" for n in range(1, 17)]).to_numpy()
    assert ours.shape == (g.height, 16)
    worst = np.unravel_index(np.argmax(np.abs(ours - theirs)), ours.shape)
    assert np.abs(ours - theirs).max() < 0.006, f"scenario {worst[1] + 1} of {g.row(int(worst[0]))[:10]}"
    assert np.median(np.abs(ours - theirs)) < 0.0025


@pytest.mark.parametrize("day", list(FILES), ids=str)
def test_deltas_of_the_exchange(sample, day):
    g, c, spot, rate, vol = inputs(sample, day)
    plain = pricing.greeks(c["cp"], np.full(g.height, spot), c["k"], c["t"], vol, rate, model="bsm").delta
    assert np.abs(plain - c["span_delta"]).max() < 0.00006
    composite = composite_delta(c["cp"], c["k"], c["t"], spot, vol, rate, c["span_price_scan_range"])
    assert np.abs(composite - c["span_composite_delta"]).max() < 0.00006


def test_shapes_broadcast():
    strikes = np.arange(24000.0, 25000.0, 100.0)
    grid = risk_array(np.array([[1.0], [-1.0]]), strikes, WEEK, SPOT, VOL, 0.0, 2000.0, 0.04, np.nan)
    assert grid.shape == (2, 10, 16)
    single = risk_array(1.0, 24500.0, WEEK, SPOT, VOL, 0.0, 2000.0, 0.04, np.nan)
    assert single.shape == (16,)
    assert np.array_equal(single, grid[0, 5])


def test_a_future_moves_one_for_one():
    moves = np.array([0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3, 6, -6]) / 3
    array = risk_array(0.0, 0.0, WEEK, SPOT, VOL, 0.0, 300.0, 0.04, np.nan)
    assert np.allclose(array, -300.0 * moves * FACTORS)


def test_a_long_option_loses_at_most_its_price():
    array = risk_array(1.0, 24500.0, WEEK, SPOT, VOL, 0.0, 2000.0, 0.04, 50.0)
    assert array.max() == 50.0
    assert array.min() < -1000.0


@pytest.mark.parametrize("days", [0, 1, 2])
def test_at_the_end_the_shocked_value_is_intrinsic(days):
    array = risk_array(1.0, 24000.0, days / 365, SPOT, VOL, 0.0, 300.0, 0.04, np.nan)
    base = 500.0 if days == 0 else float(pricing.price(1, SPOT, 24000.0, days / 365, VOL, 0.0, model="bsm"))
    assert array[2] == pytest.approx(base - 600.0)
    assert array[4] == pytest.approx(base - 400.0)


def test_a_vol_shocked_below_zero_is_zero_vol():
    array = risk_array(1.0, 24000.0, WEEK, SPOT, 0.03, 0.05, 300.0, 0.04, np.nan)
    assert np.isfinite(array).all()
    base = float(pricing.price(1, SPOT, 24000.0, WEEK, 0.03, 0.05, model="bsm"))
    floor = SPOT - 24000.0 * math.exp(-0.05 * (WEEK - 2 / 365))
    assert array[1] == pytest.approx(base - floor)


def test_default_parameters():
    calm, wild = default_params(20000.0, 0.12), default_params(20000.0, 0.60)
    assert calm.price_scan == pytest.approx(0.093 * 20000)
    assert wild.price_scan == pytest.approx(20000 * 6 * math.sqrt(2) * 0.6 / math.sqrt(365))
    assert not calm.calibrated


@pytest.mark.parametrize("day", list(FILES), ids=str)
def test_default_parameters_find_the_scan_ranges_of_both_files(sample, day):
    _, c, spot, rate, vol = inputs(sample, day)
    ours = default_params(spot, vol, rate, on=day)
    assert ours.price_scan == pytest.approx(c["span_price_scan_range"][0], rel=1.1e-4)
    assert ours.vol_scan == c["span_vol_scan_range"][0]


def test_rates_are_those_of_their_day():
    def on(*day, stock=False):
        return default_params(SPOT, VOL, on=dt.date(*day), stock=stock)

    assert on(2020, 6, 1).short_option_rate == 0.03
    assert on(2026, 2, 13).short_option_rate == 0.0
    assert (on(2024, 11, 19).expiry_rate, on(2024, 11, 20).expiry_rate) == (0.0, 0.02)
    assert (on(2025, 2, 9).calendar_on_expiry, on(2025, 2, 10).calendar_on_expiry) == (True, False)
    assert (on(2026, 5, 3, stock=True).calendar_on_expiry, on(2026, 5, 4, stock=True).calendar_on_expiry) == (
        True,
        False,
    )
    share = on(2026, 2, 13, stock=True)
    assert share.price_scan == pytest.approx(0.142 * SPOT)
    assert (share.exposure_rate, share.expiry_rate, share.vol_scan) == (0.035, 0.0, 0.10)
    assert share.delivery == (1.0, 0.7, 0.45, 0.25, 0.1)


def test_a_rate_that_is_not_known_is_said():
    with pytest.raises(BadData, match="price_scan_sigmas of index is not known on 2001-01-01"):
        default_params(SPOT, VOL, on=dt.date(2001, 1, 1))
    with pytest.raises(BadData, match="did you mean 'exposure'"):
        tables.margins().rate("exposur", "index")
    with pytest.raises(BadData, match="price_scan_sigmas"):
        default_params(SPOT, VOL, rates=MarginRates(()))


@pytest.mark.parametrize("rate", [math.nan, math.inf, -math.inf, 1.0, 7.0])
def test_a_rate_that_is_no_fraction_is_refused(rate):
    with pytest.raises(BadData, match="rate must be a fraction a year"):
        default_params(SPOT, VOL, rate)


def test_peak_windows_are_dated():
    assert tables.margins().peak_windows(dt.date(2020, 11, 30)) == ()
    assert [w.opens.hour for w in tables.margins().peak_windows(dt.date(2026, 2, 13))] == [11, 12, 13, 14]


@pytest.mark.parametrize("bad", [(0.0, 0.1), (-1.0, 0.1), (math.nan, 0.1), (1.0, 0.0), (1.0, math.inf)])
def test_default_parameters_need_numbers(bad):
    with pytest.raises(BadData, match="must be positive and finite"):
        default_params(*bad)
