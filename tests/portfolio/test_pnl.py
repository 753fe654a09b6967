"""Value of a book, and what expiry makes of it."""

from __future__ import annotations

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.portfolio.pnl import expiry_fills, pnl, settlement_value_p, unrealized
from toolkit.portfolio.positions import Position, PositionBook
from toolkit.types import Fill, Instrument, Kind, OptionType, Side


def fill(n, side, qty, px_p, symbol="C"):
    return Fill(
        exec_id=f"E{n}", cl_ord_id="C", order_id="O", account="A", broker="paper", symbol=symbol,
        exchange="NSE", side=side, last_qty=qty, last_px_p=px_p, exec_ns=n,
    )  # fmt: skip


def contract(symbol, kind=Kind.OPTION, option_type=OptionType.CE, strike=24500):
    return Instrument(
        instrument_id=1, symbol=symbol, exchange="NSE", segment="NFO", underlying="NIFTY", kind=kind, lot=75, tick_p=5,
        expiry=dt.date(2025, 9, 2), strike_p=strike * 100, option_type=option_type,
    )  # fmt: skip


CALL, PUT = contract("C"), contract("P", option_type=OptionType.PE)
FUTURE = contract("F", kind=Kind.FUTURE, option_type=None)
TERMS = {i.symbol: i for i in (CALL, PUT, FUTURE)}


def book(*fills):
    made = PositionBook()
    for f in fills:
        made.apply(f)
    return made


def test_a_marked_book():
    held = book(fill(1, Side.SELL, 75, 10000), fill(2, Side.BUY, 75, 9000, "P"), fill(3, Side.SELL, 75, 9500, "P"))
    value = pnl(held, {"C": 90.0}, charges=61.5)
    assert value.realized == 375.0
    assert value.unrealized == 750.0
    assert value.gross == 1125.0
    assert value.net == 1063.5
    assert value.unmarked == ()


@pytest.mark.parametrize("marks", [{}, {"C": math.nan}])
def test_a_missing_mark_is_unknown_never_zero(marks):
    value = pnl(book(fill(1, Side.SELL, 75, 10000)), marks)
    assert value.realized == 0.0
    assert math.isnan(value.unrealized)
    assert math.isnan(value.net)
    assert value.unmarked == ("C",)


def test_flat_needs_no_mark():
    flat = Position(account="A", exchange="NSE", symbol="C")
    assert unrealized(flat, math.nan) == 0.0


@pytest.mark.parametrize(
    ("instrument", "final", "value"),
    [
        (CALL, 2460000, 10000),
        (CALL, 2450000, 0),
        (CALL, 2440000, 0),
        (PUT, 2440000, 10000),
        (PUT, 2460000, 0),
        (FUTURE, 2461235, 2461235),
    ],
)
def test_settlement_values(instrument, final, value):
    assert settlement_value_p(instrument, final) == value


def test_settlement_says_what_is_wrong():
    with pytest.raises(BadData, match="positive paise, was 0"):
        settlement_value_p(CALL, 0)
    with pytest.raises(BadData, match="does not expire"):
        settlement_value_p(contract("E", kind=Kind.EQUITY), 100)
    with pytest.raises(BadData, match="no terms for the expired position in C"):
        expiry_fills(book(fill(1, Side.BUY, 75, 100)).held(), {}, 2450000, 9)


def test_expiry_closes_the_book_once():
    held = book(fill(1, Side.SELL, 75, 10000), fill(2, Side.BUY, 150, 5000, "P"), fill(3, Side.BUY, 75, 2450000, "F"))
    closing = expiry_fills(held.held(), TERMS, 2460000, 9)
    assert [(f.symbol, str(f.side), f.last_qty, f.last_px_p) for f in closing] == [
        ("C", "BUY", 75, 10000),
        ("F", "SELL", 75, 2460000),
        ("P", "SELL", 150, 0),
    ]
    for f in (*closing, *closing):
        held.apply(f)
    assert held.held() == ()
    assert held.realized_p == 0 - 150 * 5000 + 75 * 10000
    assert expiry_fills(held.all(), TERMS, 2460000, 9) == ()


@given(st.integers(-500, 500).filter(bool), st.integers(1, 50_000), st.integers(2_400_000, 2_500_000))
def test_settled_profit_is_payoff_minus_price(qty, px_p, final_p):
    side = Side.BUY if qty > 0 else Side.SELL
    held = book(fill(1, side, abs(qty), px_p), fill(2, side, abs(qty), px_p, "P"))
    for f in expiry_fills(held.held(), TERMS, final_p, 9):
        held.apply(f)
    payoff = abs(final_p - 2_450_000)
    assert held.realized_p == qty * (payoff - 2 * px_p)
    assert pnl(held, {}).net == held.realized_p / 100
