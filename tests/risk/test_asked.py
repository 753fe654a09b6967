"""Legs in words: what is read, and what each wrong word is answered."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from toolkit.errors import BadData
from toolkit.risk.asked import parse_legs
from toolkit.types import Kind, OptionType, Side


def test_legs_are_read():
    sold, bought, future = parse_legs(
        "SELL 1 lot NIFTY 24FEB2026 25000 CE, buy 2 Lots nifty 24feb2026 25500 ce @ 211.15; BUY 65 units NIFTY 24FEB2026 FUT"
    )
    assert (sold.side, sold.count, sold.in_lots) == (Side.SELL, 1, True)
    assert (sold.contract.strike_p, sold.contract.option_type) == (2500000, OptionType.CE)
    assert sold.contract.expiry == dt.date(2026, 2, 24)
    assert math.isnan(sold.price)
    assert (bought.side, bought.count, bought.price) == (Side.BUY, 2, 211.15)
    assert (future.contract.kind, future.count, future.in_lots) == (Kind.FUTURE, 65, False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must name at least one leg"),
        ("SELL NIFTY", "leg 1 must read like 'SELL 1 lot NIFTY 24FEB2026 25000 CE'"),
        ("SEL 1 lot NIFTY 24FEB2026 25000 CE", "leg 1 must begin with BUY or SELL, was 'SEL'; did you mean 'SELL'"),
        ("SELL one lot NIFTY 24FEB2026 25000 CE", "leg 1: the quantity must be a whole number from 1, was 'one'"),
        ("SELL 0 lot NIFTY 24FEB2026 25000 CE", "whole number from 1, was '0'"),
        (
            "SELL 1 lotts NIFTY 24FEB2026 25000 CE",
            "leg 1 must say lot, lots or units .*was 'lotts'; did you mean 'LOTS'",
        ),
        ("BUY 1 lot NIFTY 24FEB2026 25000 CE, SELL 1 lot NIFTY 24FEB 25000 CE", "leg 2: symbol must look like"),
        ("SELL 1 lot NIFTY 31FEB2026 25000 CE", "leg 1: expiry of a symbol must be a date"),
        ("SELL 1 lot NIFTY 24FEB2026 25000 CE @ x", "leg 1: the price after @ must be rupees above zero, was 'x'"),
        ("SELL 1 lot NIFTY 24FEB2026 25000 CE @ nan", "above zero, was 'nan'"),
    ],
)
def test_a_wrong_word_is_named(text, says):
    with pytest.raises(BadData, match=says):
        parse_legs(text)
