"""The order-to-trade meter, with the dated exemptions of the shipped table."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit import tables
from toolkit.calendar import ist_ns
from toolkit.orders.compliance import MessageMeter
from toolkit.types import Kind

BEFORE = ist_ns(dt.date(2026, 4, 2), dt.time(10, 0))
AFTER = ist_ns(dt.date(2026, 7, 13), dt.time(10, 0))


@pytest.fixture
def meter():
    return MessageMeter(tables.order_to_trade())


@pytest.mark.parametrize(
    ("kind", "price_p", "ltp_p", "now_ns", "exempt"),
    [
        (Kind.OPTION, 14_000, 10_000, AFTER, True),
        (Kind.OPTION, 14_005, 10_000, AFTER, False),
        (Kind.OPTION, 6_000, 10_000, AFTER, True),
        (Kind.OPTION, 3_000, 1_000, AFTER, True),
        (Kind.OPTION, 3_005, 1_000, AFTER, False),
        (Kind.OPTION, 10_000, 10_000, BEFORE, False),
        (Kind.OPTION, None, 10_000, AFTER, False),
        (Kind.OPTION, 10_000, None, AFTER, False),
        (Kind.FUTURE, 2_518_750, 2_500_000, AFTER, True),
        (Kind.FUTURE, 2_518_760, 2_500_000, AFTER, False),
        (Kind.EQUITY, 10_000, 10_000, AFTER, False),
    ],
)
def test_an_order_near_the_last_price_does_not_count(meter, kind, price_p, ltp_p, now_ns, exempt):
    assert meter.on_message("new", "NSE", kind, price_p, ltp_p, now_ns) is exempt


def test_the_ratio_is_counted_messages_a_trade(meter):
    assert meter.summary() == {}
    for what in ("new", "replace", "cancel"):
        meter.on_message(what, "NSE", Kind.OPTION, None, None, AFTER)
    meter.on_message("new", "NSE", Kind.OPTION, 10_000, 10_000, AFTER)
    assert meter.summary()["NSE"]["ratio"] is None
    meter.on_trade("NSE")
    meter.on_trade("NSE")
    assert meter.summary() == {
        "NSE": {"new": 2, "replace": 1, "cancel": 1, "exempt": 1, "trades": 2, "counted": 3, "ratio": 1.5}
    }
