"""Quantities with their units: read exactly, written back, refused without a unit."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.errors import BadData
from toolkit.risk.units import Clock, Percent, Rupees, Span, written


@pytest.mark.parametrize(
    ("kind", "text", "value", "shown"),
    [
        (Rupees, "25000 Rs", 2_500_000, "25000 Rs"),
        (Rupees, "0.05 rs", 5, "0.05 Rs"),
        (Rupees, "2.5 lakh", 25_000_000, "250000 Rs"),
        (Rupees, "1 crore", 10**9, "1 crore"),
        (Rupees, "1,00,000 Rs", 10**7, "1 lakh"),
        (Span, "250 ms", 250 * 10**6, "250 ms"),
        (Span, "90 s", 90 * 10**9, "90 s"),
        (Span, "1.5 h", 5400 * 10**9, "90 min"),
        (Span, "1 day", 86400 * 10**9, "24 h"),
        (Percent, "5 %", 0.05, "5 %"),
        (Percent, "0.5%", 0.005, "0.5 %"),
        (Clock, "13:30", 48600, "13:30"),
        (Clock, "24:00", 86400, "24:00"),
        (Clock, dt.time(9, 20), 33600, "09:20"),
    ],
)
def test_read_and_written(kind, text, value, shown):
    made = kind.parse(text)
    assert made == value
    assert type(made) is kind
    assert written(made) == shown
    assert kind.parse(shown) == made


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Rupees, "25000"), (Rupees, 25000), (Rupees, "5 min"), (Rupees, "0.001 Rs"), (Rupees, "-5 Rs"), (Rupees, "nan Rs"),
        (Rupees, "99999999999999 crore"), (Span, "5"), (Span, 5), (Span, "0 s"), (Span, "-1 min"), (Span, "5 %"),
        (Percent, 0.05), (Percent, "5"), (Percent, "-1 %"), (Clock, "25:00"), (Clock, "24:01"), (Clock, "9"), (Clock, 930),
    ],
)  # fmt: skip
def test_refused(kind, text):
    with pytest.raises(BadData, match="was"):
        kind.parse(text)
