"""A risk book as positions: terms, marks and forwards, and what is not known stays unknown."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from toolkit import pricing
from toolkit.bench.risk import account
from toolkit.market.quotes import Quote, key_of
from toolkit.risk.closing import Touch, close_out
from toolkit.risk.exposure import exposures
from toolkit.risk.held import held_positions, touches_of
from toolkit.risk.scenarios import scenario_grid

EXPIRY = dt.date(2026, 2, 24)
FORWARDS = {("NIFTY", EXPIRY): 24_530.0}


@pytest.fixture
def book():
    made, _, _ = account(orders=0)
    return made


NOW = account(orders=0)[2]


def test_terms_marks_and_time_are_those_of_the_book(book):
    held = held_positions(book, NOW, FORWARDS, account="A", strategies={"NIFTY 24FEB2026 23600 PE": "wings"})
    assert len(held) == 30
    one = next(p for p in held if p.symbol == "NIFTY 24FEB2026 23600 PE")
    assert (one.cp, one.strike, one.qty, one.account, one.strategy) == (-1, 23_600.0, 65 * (2 - 15), "A", "wings")
    assert one.mark == 100.10
    assert one.forward == 24_530.0
    assert one.tte == float(pricing.tte(NOW, EXPIRY))
    row = exposures([one], ()).row(0, named=True)
    iv = pricing.implied_vol(-1, one.mark, one.forward, one.strike, one.tte)
    assert row["delta"] == pytest.approx(one.qty * pricing.greeks(-1, one.forward, one.strike, one.tte, iv).delta)


def test_without_a_forward_or_terms_a_position_is_unknown_and_stays_in_the_book(book):
    assert all(math.isnan(p.forward) for p in held_positions(book, NOW, {}))
    book.carry("GONE 24FEB2026 100 CE", 5, 0)
    held = held_positions(book, NOW, FORWARDS)
    gone = next(p for p in held if p.symbol.startswith("GONE"))
    assert (gone.qty, gone.underlying) == (5, "")
    assert "GONE 24FEB2026 100 CE" in scenario_grid(held, (0.0,), (0.0,), (0.0,)).unknown


def test_touches_close_the_book(book):
    held = held_positions(book, NOW, FORWARDS)
    touches = touches_of(book)
    assert touches[held[0].symbol].bid_qty == 650
    cost = close_out(held, touches)
    assert cost.unknown == ()
    assert cost.spread == pytest.approx(sum(abs(p.qty) for p in held) * 0.5)
    instrument = book.instruments[held[0].symbol]
    book.quotes.set(key_of(instrument), Quote(NOW, ltp_p=10_000))
    assert touches_of(book)[held[0].symbol] == Touch(None, None, None, None)
    assert held[0].symbol in close_out(held_positions(book, NOW, FORWARDS), touches_of(book)).unknown
