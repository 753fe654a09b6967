"""Dated rules of the exchanges over prices and positions."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit import tables
from toolkit.calendar import ist_ns
from toolkit.risk.bands import position_row, price_band

DAY = dt.date(2026, 2, 13)


@pytest.mark.parametrize(
    ("exchange", "kind", "basis", "on", "wanted"),
    [
        ("NSE", "future", 2_500_000, DAY, (2_250_000, 2_750_000)),
        ("NSE", "option", 10_000, DAY, None),
        ("BSE", "option", 10_000, DAY, (6_000, 14_000)),
        ("BSE", "option", 1_000, DAY, (0, 3_000)),
        ("BSE", "future", 8_000_000, DAY, (7_840_000, 8_160_000)),
        ("BSE", "future", 500_000, DAY, (480_000, 520_000)),
        ("BSE", "option", 10_000, dt.date(2025, 11, 30), None),
    ],
)
def test_price_bands(exchange, kind, basis, on, wanted):
    assert price_band(tables.price_bands(), exchange, kind, "index", basis, on) == wanted


def test_position_limits_by_phase_and_date():
    rows = tables.position_limits()
    assert position_row(rows, "index", "end_of_day", DAY).net_p == 1500 * 10**9
    assert position_row(rows, "index", "intraday", DAY).net_p == 5000 * 10**9
    assert position_row(rows, "index", "intraday", dt.date(2025, 9, 30)) is None
    assert position_row(rows, "index", "end_of_day", dt.date(2025, 5, 28)) is None


def test_a_move_takes_the_highest_level_it_meets():
    breakers = tables.breakers()
    noon = ist_ns(DAY, dt.time(12))
    assert [None if (row := breakers.row(move, noon)) is None else row.halt_min for move in (0.09, 0.1, 0.149, 0.15, 0.2, 0.9)] == [
        None, 45, 45, 105, None, None,
    ]  # fmt: skip
    assert breakers.row(0.2, noon).move == 0.2
    assert breakers.row(0.5, ist_ns(dt.date(2013, 9, 2), dt.time(12))) is None
