from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.market.quotes import Quote
from toolkit.orders.algo_price import cap_p, chase_p, on_tick, styled_p, within, worse
from toolkit.types import Side

QUOTE = Quote(0, 9950, 75, 10050, 75, 10000)


@pytest.mark.parametrize(
    ("price", "side", "passive", "want"),
    [
        (10052, Side.BUY, True, 10050),
        (10052, Side.BUY, False, 10055),
        (10052, Side.SELL, True, 10055),
        (10052, Side.SELL, False, 10050),
        (10050, Side.BUY, True, 10050),
        (2, Side.BUY, True, 5),
        (-40, Side.SELL, True, 5),
    ],
)
def test_a_price_goes_to_the_tick_on_the_side_asked_for(price, side, passive, want):
    assert on_tick(price, side, 5, passive=passive) == want


@given(
    st.integers(1, 10**7), st.sampled_from(Side), st.sampled_from([1, 5, 10, 20]), st.floats(0, 50), st.integers(0, 99)
)
def test_protection_is_on_the_tick_never_better_than_the_anchor_and_never_further_than_said(
    anchor, side, tick, pct, ticks
):
    cap = cap_p(anchor, side, tick, pct, ticks)
    assert cap > 0
    assert cap % tick == 0
    room = max(anchor * pct / 100, ticks * tick)
    assert side.sign * (cap - anchor) <= room + 1e-6 or cap == tick


@pytest.mark.parametrize(
    ("style", "side", "want"),
    [
        ("join", Side.BUY, 9950),
        ("join", Side.SELL, 10050),
        ("mid", Side.BUY, 10000),
        ("cross", Side.BUY, 10060),
        ("cross", Side.SELL, 9940),
    ],
)
def test_a_style_has_its_price(style, side, want):
    assert styled_p(QUOTE, side, 5, style, 2) == want


@pytest.mark.parametrize(
    ("quote", "style"),
    [
        (Quote(0, 10060, 75, 10050, 75), "cross"),
        (Quote(0, None, None, 10050, 75), "join"),
        (Quote(0, 9950, 75, None, None), "cross"),
        (Quote(0, None, None, 10050, 75), "mid"),
    ],
)
def test_a_quote_that_lacks_a_side_or_is_crossed_has_none(quote, style):
    assert styled_p(quote, Side.BUY, 5, style, 2) is None


def test_a_chase_steps_from_where_it_began_and_stops_past_the_far_touch():
    assert chase_p(QUOTE, Side.BUY, 5, 9940, 2) == 9950, "the touch has come nearer than the steps"
    assert chase_p(QUOTE, Side.BUY, 5, 9990, 2) == 9990
    assert chase_p(QUOTE, Side.BUY, 5, 99990, 2) == 10060
    assert chase_p(QUOTE, Side.SELL, 5, 10000, 2) == 10000
    assert chase_p(QUOTE, Side.SELL, 5, 10, 2) == 9940
    assert chase_p(Quote(0, None, None, 10050, 75), Side.BUY, 5, 9990, 2) is None


def test_worse_is_higher_for_a_buyer_and_lower_for_a_seller():
    assert worse(101, 100, Side.BUY)
    assert worse(99, 100, Side.SELL)
    assert not worse(100, 100, Side.BUY)
    assert within(101, 100, Side.BUY) == 100
    assert within(99, 100, Side.BUY) == 99
    assert within(99, 100, Side.SELL) == 100
    assert within(99, None, Side.SELL) == 99
