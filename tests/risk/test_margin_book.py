"""The margin kept ready: the figures of span_margin, whatever came before."""

from __future__ import annotations

import datetime as dt
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.risk.margin import Leg, Margin, span_margin
from toolkit.risk.margin_book import MarginBook
from toolkit.risk.span import default_params

NIFTY, SENSEX = default_params(24500.0, 0.12), default_params(80_000.0, 0.13)
PARAMS = {"NIFTY": NIFTY, "SENSEX": SENSEX}
TERMS = {
    f"{name} {days} {strike:g} {cp}": Leg(
        underlying=name,
        cp=cp,
        qty=0,
        tte=days / 365,
        strike=strike if cp else 0.0,
        mark=math.nan if days == 36 else 90.0,
    )
    for name, level in (("NIFTY", 24500.0), ("SENSEX", 80_000.0))
    for days in (1, 8, 36)
    for strike in (0.98 * level, level, 1.12 * level)
    for cp in (1, -1, 0)
    if cp or strike == level
}
ACTS = st.lists(
    st.tuples(st.sampled_from(sorted(TERMS)), st.integers(-9, 9), st.integers(0, 4), st.integers(0, 4)), max_size=12
)


def worst(held):
    """The checks' worst case, by span_margin."""
    sells, buys = [], []
    for key, (net, sold, bought) in held.items():
        leg = TERMS[key]
        sells.append(msgspec.structs.replace(leg, qty=net - sold))
        buys.append(msgspec.structs.replace(leg, qty=net - sold if leg.cp else net + bought))
    total = 0.0
    for name in PARAMS:
        sides = ([leg for leg in side if leg.underlying == name and leg.qty] for side in (sells, buys))
        total += max(span_margin(side, PARAMS).total for side in sides)
    return total


def booked(acts):
    book, held = MarginBook(PARAMS), {}
    for key, net, sold, bought in acts:
        if key not in book:
            book.add(key, TERMS[key])
        book.set(key, net=65 * net, sells=65 * sold, buys=65 * bought)
        held[key] = (65 * net, 65 * sold, 65 * bought)
    return book, held


@settings(max_examples=60, deadline=None)
@given(ACTS)
def test_the_total_is_that_of_the_worst_legs(acts):
    book, held = booked(acts)
    assert book.total() == pytest.approx(worst(held), rel=1e-12, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(ACTS, st.sampled_from(sorted(TERMS)), st.integers(-5, 5).filter(bool))
def test_one_order_more_is_counted_and_not_kept(acts, key, lots):
    book, held = booked(acts)
    if key not in book:
        book.add(key, TERMS[key])
    before = book.total()
    after = book.after(key, 65 * lots)
    net, sold, bought = held.get(key, (0, 0, 0))
    more = {**held, key: (net, sold + 65 * max(-lots, 0), bought + 65 * max(lots, 0))}
    assert after == pytest.approx(worst(more), rel=1e-12, abs=1e-6)
    assert book.total() == before


@settings(max_examples=30, deadline=None)
@given(ACTS)
def test_the_parts_are_those_of_span_margin(acts):
    book, held = booked([(key, net, 0, 0) for key, net, _, _ in acts])
    legs = [msgspec.structs.replace(TERMS[key], qty=net) for key, (net, _, _) in held.items() if net]
    ours, theirs = book.margin(), span_margin(legs, PARAMS)
    for name in Margin.__struct_fields__:
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert mine == (pytest.approx(other, rel=1e-12, abs=1e-6) if isinstance(mine, float) else other), name


def short_call(mark=90.0):
    book = MarginBook(PARAMS)
    book.add("CALL", Leg(underlying="NIFTY", cp=1, qty=0, tte=8 / 365, strike=24500.0, mark=mark))
    book.set("CALL", net=-65)
    return book


@pytest.mark.parametrize("mark", [10.0, 150.0, math.nan])
def test_a_new_price_counts_at_once(mark):
    book = short_call()
    book.mark("CALL", mark)
    assert book.total() == pytest.approx(short_call(mark).total(), rel=1e-12)
    book.mark("CALL", 90.0)
    assert book.total() == short_call().total()


def test_a_futures_price_moves_its_exposure_only():
    book = MarginBook(PARAMS)
    book.add("FUT", Leg(underlying="NIFTY", cp=0, qty=0, tte=8 / 365))
    book.set("FUT", net=65)
    base = book.total()
    book.mark("FUT", 24600.0)
    assert book.total() - base == pytest.approx(0.02 * 65 * 100.0)
    book.mark("FUT", math.nan)
    assert book.total() == base


def test_new_parameters_keep_positions_and_prices():
    book = short_call()
    book.mark("CALL", 95.0)
    wild = default_params(24500.0, 0.40)
    book.set_params("NIFTY", wild)
    leg = Leg(underlying="NIFTY", cp=1, qty=-65, tte=8 / 365, strike=24500.0, mark=95.0)
    assert book.total() == pytest.approx(span_margin([leg], wild).total, rel=1e-12)
    assert book.params("NIFTY") is wild
    assert book.params("BANKNIFTY") is None


def test_new_terms_of_a_contract_keep_its_position():
    book = short_call()
    book.add("CALL", Leg(underlying="NIFTY", cp=1, qty=0, tte=1 / 365, strike=24500.0, mark=90.0))
    leg = Leg(underlying="NIFTY", cp=1, qty=-65, tte=1 / 365, strike=24500.0, mark=90.0)
    assert book.total() == pytest.approx(span_margin([leg], NIFTY).total, rel=1e-12)


def test_a_bought_hedge_counts_once_it_has_traded():
    book = short_call()
    book.add("WING", Leg(underlying="NIFTY", cp=1, qty=0, tte=8 / 365, strike=24700.0, mark=30.0))
    assert book.after("WING", 65) == book.total()
    assert book.traded("WING", 65) < book.total()


def test_an_underlying_without_parameters_is_named():
    with pytest.raises(BadData, match="no margin parameters for BANKNIFTY"):
        MarginBook(PARAMS).add("X", Leg(underlying="BANKNIFTY", cp=0, qty=0, tte=0.1))


def test_calendar_spreads_of_the_file_follow_the_contracts():
    near, far = dt.date(2026, 2, 24), dt.date(2026, 3, 30)
    from toolkit.risk.span import Spread

    params = msgspec.structs.replace(NIFTY, spreads=(Spread(near, far, 420.0),))
    book = MarginBook({"NIFTY": params})
    legs = []
    for expiry, days, qty in ((near, 8, 65), (far, 43, -65)):
        leg = Leg(underlying="NIFTY", cp=0, qty=qty, tte=days / 365, expiry=expiry)
        book.add(str(expiry), leg)
        book.set(str(expiry), net=qty)
        legs.append(leg)
    assert book.margin().calendar == pytest.approx(420.0 * 65)
    assert book.total() == pytest.approx(span_margin(legs, params).total)
