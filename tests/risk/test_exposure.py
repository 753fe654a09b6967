"""Greeks by group: the pricing room's, exact sums, and nothing unknown counted as nothing."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.risk.exposure import GREEKS, QUANTA, Position, columns, exposures, position_greeks

NEAR, FAR = dt.date(2026, 2, 17), dt.date(2026, 3, 30)


def position(qty=65, strike=25500.0, cp=1, *, iv=0.12, tte=0.03, forward=25480.0, **more):
    symbol = more.pop("symbol", f"NIFTY {strike:g} {cp}")
    return Position(
        symbol=symbol, underlying=more.pop("underlying", "NIFTY"), cp=cp, qty=qty, strike=strike, tte=tte, iv=iv,
        forward=forward, expiry=more.pop("expiry", NEAR), **more,
    )  # fmt: skip


def future(qty=65, forward=25480.0):
    return position(qty, 0.0, 0, iv=math.nan, forward=forward, symbol="FUT")


BOOKS = st.lists(
    st.builds(
        position,
        st.integers(-40, 40).filter(bool).map(lambda n: 65 * n),
        st.sampled_from([24000.0, 25000.0, 25500.0, 27000.0]),
        st.sampled_from([1, -1]),
        iv=st.floats(0.05, 0.8),
        tte=st.floats(0.001, 1.0),
        forward=st.floats(20000.0, 30000.0),
        account=st.sampled_from(["A", "B"]),
        strategy=st.sampled_from(["x", "y", "z"]),
        expiry=st.sampled_from([NEAR, FAR]),
        underlying=st.sampled_from(["NIFTY", "SENSEX"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(BOOKS)
def test_groups_of_any_kind_add_up_to_the_whole_to_the_last_bit(book):
    whole = exposures(book, ()).row(0, named=True)
    for by in ("account", "strategy", "underlying", "expiry", ["account", "expiry"], "symbol"):
        groups = exposures(book, by)
        assert groups["positions"].sum() == len(book)
        for name in GREEKS:
            assert groups[name].sum() == whole[name], (by, name)


def test_a_positions_greeks_are_pricings():
    book = [position(-130), position(65, 25000.0, -1, iv=0.2, rate=0.06)]
    found = position_greeks(book)
    for i, p in enumerate(book):
        greeks = pricing.greeks(p.cp, p.forward, p.strike, p.tte, p.iv, p.rate)
        for name in ("delta", "gamma", "vega", "theta", "rho"):
            assert abs(found[name][i] - p.qty * getattr(greeks, name)) <= QUANTA[name] / 2
        assert found["delta_value"][i] == pytest.approx(p.qty * greeks.delta * p.forward, rel=1e-9)


def test_a_future_is_delta_and_nothing_else():
    row = exposures([future(-65)], ()).row(0, named=True)
    assert (row["delta"], row["gamma"], row["vega"]) == (-65.0, 0.0, 0.0)
    assert row["delta_value"] == -65 * 25480.0


def test_a_vol_is_solved_from_a_mark():
    mark = float(pricing.price(1, 25480.0, 25500.0, 0.03, 0.14))
    assert columns([position(iv=math.nan, mark=mark)]).iv[0] == pytest.approx(0.14, rel=1e-9)


def test_what_is_unknown_makes_its_group_unknown_with_bounds():
    blind = position(-65, iv=math.nan, strategy="x")
    book = [blind, position(65, strategy="y"), position(-65, 25000.0, -1, iv=math.nan, strategy="x")]
    whole = exposures(book, ()).row(0, named=True)
    assert whole["unknown"] == 2
    assert all(whole[name] is None for name in GREEKS)
    seen = position_greeks([book[1]])["delta"][0]
    assert (whole["delta_low"], whole["delta_high"]) == (seen - 65.0, seen + 65.0)
    by = exposures(book, "strategy")
    assert by.row(1, named=True)["delta"] == seen
    assert by.row(0, named=True)["delta"] is None


def test_an_unknown_future_has_the_delta_it_has():
    row = exposures([future(65, math.nan)], ()).row(0, named=True)
    assert (row["delta_low"], row["delta_high"], row["unknown"]) == (65.0, 65.0, 1)


def test_a_price_below_intrinsic_is_unknown_not_zero():
    assert not columns([position(iv=math.nan, mark=1.0, strike=25000.0)]).known[0]


def test_wrong_words_and_positions_are_named():
    with pytest.raises(BadData, match="did you mean 'strategy'"):
        exposures([position()], "strat")
    with pytest.raises(BadData, match="must have cp 1, -1 or 0 and a strike"):
        columns([position(strike=0.0)])


def test_columns_can_be_taken_apart():
    c = columns([position(65), position(-65, 25000.0)])
    assert c.take([1]).symbols == (c.symbols[1],)
    assert np.array_equal(c.take([1]).strike, [25000.0])
    assert columns(c) is c
