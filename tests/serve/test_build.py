"""Margin terms of a running engine's underlyings: of their day, a share's not an index's."""

from __future__ import annotations

import datetime as dt
import math
from types import SimpleNamespace

from toolkit.calendar import ist_ns
from toolkit.risk.margin import default_params
from toolkit.serve.build import spans


def hub(day, **levels):
    return SimpleNamespace(
        clock=lambda: ist_ns(day, dt.time(11)), spot=lambda name: levels.get(name, math.nan), watched=()
    )


def test_terms_are_those_of_the_day_and_of_what_the_underlying_is():
    day = dt.date(2026, 2, 13)
    found = spans(hub(day, NIFTY=25_000.0, RELIANCE=1_400.0), {}, ["NIFTY", "RELIANCE", "TCS"])
    assert found == {
        "NIFTY": default_params(25_000.0, 0.15, on=day),
        "RELIANCE": default_params(1_400.0, 0.15, on=day, stock=True),
    }
    assert found["RELIANCE"].stock
    old = spans(hub(dt.date(2024, 11, 19), NIFTY=25_000.0), {}, ["NIFTY"])
    assert (old["NIFTY"].expiry_rate, found["NIFTY"].expiry_rate) == (0.0, 0.02)


def test_an_imported_file_wins():
    filed = default_params(25_100.0, 0.13)
    assert spans(hub(dt.date(2026, 2, 13), NIFTY=25_000.0), {"NIFTY": filed}, ["NIFTY"]) == {"NIFTY": filed}
