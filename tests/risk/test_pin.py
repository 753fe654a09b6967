"""Expiry day: settlement values, gamma on the way there, and the strikes that pin."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.risk.exposure import Position
from toolkit.risk.pin import expiry_profile, pins

DAY = dt.date(2026, 2, 24)


def option(qty, strike, cp=1, *, iv=0.12, expiry=DAY, underlying="NIFTY"):
    return Position(
        symbol=f"{strike:g} {cp}", underlying=underlying, cp=cp, qty=qty, strike=strike, expiry=expiry, tte=2 / 8760,
        iv=iv, forward=25490.0,
    )  # fmt: skip


FLY = [option(65, 25400.0), option(-130, 25500.0), option(65, 25600.0)]
FUTURE = Position(symbol="F", underlying="NIFTY", cp=0, qty=-65, expiry=DAY, forward=25490.0)


def test_settlement_value_is_the_payoff():
    made = expiry_profile(FLY, "NIFTY", DAY, [25300.0, 25450.0, 25500.0, 25700.0])
    assert made["settles_at"].to_list() == [0.0, 65 * 50.0, 65 * 100.0, 0.0]


def test_gamma_on_the_way_is_pricings():
    made = expiry_profile(FLY, "NIFTY", DAY, [25490.0])
    expected = sum(p.qty * pricing.greeks(1, 25490.0, p.strike, p.tte, 0.12).gamma for p in FLY)
    assert made["gamma"][0] == pytest.approx(expected, rel=1e-12)
    sharper = expiry_profile(FLY, "NIFTY", DAY, [25500.0], tte=10 / 525600)
    assert sharper["gamma"][0] < 3 * expiry_profile(FLY, "NIFTY", DAY, [25500.0])["gamma"][0] < 0


def test_a_future_adds_its_slope():
    levels = np.array([25000.0, 25100.0])
    with_future = expiry_profile([*FLY, FUTURE], "NIFTY", DAY, levels)
    without = expiry_profile(FLY, "NIFTY", DAY, levels)
    assert (with_future["settles_at"] - without["settles_at"]).to_list() == [-65 * 25000.0, -65 * 25100.0]
    assert with_future["delta"][0] == without["delta"][0] - 65


def test_other_expiries_and_underlyings_do_not_count():
    other = [option(65, 25000.0, expiry=dt.date(2026, 3, 2)), option(65, 25000.0, underlying="SENSEX")]
    assert expiry_profile([*FLY, *other], "NIFTY", DAY, [25450.0])["settles_at"][0] == 65 * 50.0
    with pytest.raises(BadData, match="no position in BANKNIFTY expires on 2026-02-24"):
        expiry_profile(FLY, "BANKNIFTY", DAY, [1.0])


def test_an_unknown_vol_leaves_the_settlement_and_hides_the_greeks():
    made = expiry_profile([*FLY, option(-65, 25500.0, -1, iv=math.nan)], "NIFTY", DAY, [25450.0])
    assert made["settles_at"][0] == 65 * 50.0 - 65 * 50.0
    assert made["gamma"][0] is None
    assert made["unknown"][0] == 1


def test_pins_are_the_kinks_nearest_first():
    made = pins([*FLY, option(-65, 25500.0, -1), FUTURE], "NIFTY", DAY, 25490.0)
    assert made["strike"].to_list() == [25500.0, 25400.0, 25600.0]
    assert made["kink"].to_list() == [-195, 65, 65]
    assert made["distance"][0] == pytest.approx(10.0)
    assert made["at_stake"][0] == pytest.approx(-195 * 254.9)
    assert pins([option(65, 25500.0), option(-65, 25500.0, -1)], "NIFTY", DAY, 25490.0).height == 0


def test_a_kink_is_the_change_of_slope():
    book = [*FLY, option(-65, 25500.0, -1)]
    for strike, kink, *_ in pins(book, "NIFTY", DAY, 25490.0).rows():
        low, at, high = expiry_profile(book, "NIFTY", DAY, [strike - 1.0, strike, strike + 1.0])["settles_at"]
        assert (high - at) - (at - low) == pytest.approx(kink)
