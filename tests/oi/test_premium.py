"""Straddle, skew, quadrants and the parity forward."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from toolkit import oi, pricing
from toolkit.oi.premium import parity_forward

K = 24000.0 + 50.0 * np.arange(41)
TTE = 7 / 365


def smile(f=24800.0):
    x = np.log(K / f)
    return 0.12 - 0.15 * x + 0.8 * x * x


def prices(f=24800.0):
    iv = smile(f)
    return pricing.price(1, f, K, TTE, iv), pricing.price(-1, f, K, TTE, iv)


def test_the_straddle_is_interpolated_at_the_forward():
    ce, pe = prices()
    exact = oi.straddle(K, ce, pe, 24800.0)
    at = int(np.flatnonzero(K == 24800.0)[0])
    assert exact.price == pytest.approx(ce[at] + pe[at])
    assert exact.strike == 24800.0
    assert exact.percent == pytest.approx(100 * exact.price / 24800.0)
    between = oi.straddle(K, ce, pe, 24810.0)
    both = ce + pe
    assert between.price == pytest.approx(0.8 * both[at] + 0.2 * both[at + 1])
    assert between.strike == 24800.0


def test_the_straddle_does_not_jump_with_its_strike():
    ce, pe = prices()
    left, right = (oi.straddle(K, ce, pe, f) for f in (24824.999, 24825.001))
    assert left.strike != right.strike
    assert left.price == pytest.approx(right.price, abs=0.01)


@pytest.mark.parametrize("forward", [math.nan, 20000.0, 30000.0])
def test_no_straddle_beyond_the_strikes(forward):
    assert math.isnan(oi.straddle(K, *prices(), forward).price)


def test_an_unknown_price_is_an_unknown_straddle():
    ce, pe = prices()
    ce[K == 24800.0] = math.nan
    assert math.isnan(oi.straddle(K, ce, pe, 24800.0).price)


def test_skew_reads_the_smile_at_25_delta():
    f = 24800.0
    iv = smile(f)
    found = oi.skew(K, iv, iv, f, TTE)
    call = pricing.greeks(1, f, K, TTE, iv).delta
    want = np.interp(-0.25, (call - 1)[::-1], iv[::-1]) - np.interp(0.25, call[::-1], iv[::-1])
    assert found.risk_reversal == pytest.approx(want, abs=2e-4)
    assert found.risk_reversal > 0
    assert found.atm_iv == pytest.approx(0.12, abs=1e-6)
    assert found.slope == pytest.approx(-0.15, abs=0.01)


def test_nothing_is_extrapolated():
    iv = smile()
    near = (K > 24700) & (K < 24900)
    cut = np.where(near, iv, math.nan)
    found = oi.skew(K, cut, cut, 24800.0, TTE)
    assert math.isnan(found.risk_reversal)
    assert found.atm_iv == pytest.approx(0.12, abs=1e-6)
    assert all(math.isnan(v) for v in oi.skew(K, iv, iv, 24800.0, 0.0))


def test_quadrants_dead_bands_and_unknown():
    got = oi.buildup(
        [100.0, 100.0, 100.0, 100.0, 100.0, 100.0, math.nan, 0.0],
        [102.0, 99.0, 99.0, 102.0, 100.04, 102.0, 100.0, 5.0],
        [1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000],
        [1200, 1200, 900, 900, 1200, 1000.5, 1200, 1200],
    )
    assert got.tolist() == [
        "long_buildup",
        "short_buildup",
        "long_unwinding",
        "short_covering",
        "neutral",
        "neutral",
        None,
        None,
    ]
    assert oi.buildup(100.0, 102.0, 0, 50).tolist() == "long_buildup"
    assert oi.buildup([100.0], [100.04], [1000], [1200], price_band=0.0001).tolist() == ["long_buildup"]


def test_the_parity_forward_rests_on_the_five_most_traded_near_strikes():
    f = 24812.5
    ce, pe = prices(f)
    volume = np.full(K.size, 10, dtype=np.int64)
    busy = [14, 15, 16, 17, 18]
    volume[busy] = 1000
    wild = ce.copy()
    wild[3] += 500.0
    assert parity_forward(K, wild, pe, volume, volume, 24800.0, 1.0) == pytest.approx(f, abs=1e-9)
    assert parity_forward(K, ce, pe, volume, volume, math.nan, 1.0) == pytest.approx(f, abs=1e-9)
    df = math.exp(-0.06 * TTE)
    assert parity_forward(K, ce * df, pe * df, volume, volume, 24800.0, df) == pytest.approx(f, abs=1e-9)
    none = np.full(K.size, math.nan)
    assert math.isnan(parity_forward(K, none, pe, volume, volume, 24800.0, 1.0))
    one = none.copy()
    one[16] = ce[16]
    assert parity_forward(K, one, pe, volume, volume, 24800.0, 1.0) == pytest.approx(f, abs=1e-9)


def test_parity_on_the_recorded_end_of_day(real):
    session = real("fo_udiff_eod_202502a.parquet")
    levels = oi.oi_shift(session.frame("chain", "NIFTY")).levels
    levels = levels.filter(pl.col("expiry") > pl.col("ts").dt.date()).sort("ts", "expiry")
    near = levels.group_by("ts", maintain_order=True).first()
    premium = (near["forward"] / near["spot"] - 1.0).median()
    assert -0.001 < premium < 0.006
