"""Past closes by a broker's own day bars: today's is not one."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import polars as pl
import pytest

from toolkit.brokers import kite_more
from toolkit.brokers.closes import past_closes
from toolkit.brokers.xts_market import Candle
from toolkit.calendar import IST, ist_date, ist_ns
from toolkit.errors import BadData

DAY = dt.date(2026, 7, 13)
CLOSES = {dt.date(2026, 7, 9): 24_900.0, dt.date(2026, 7, 10): 25_010.5}


async def test_kites_bars(kite_sim, monkeypatch):
    asked = []

    async def candles(broker, symbol, interval, start_ns, end_ns, **more):
        asked.append((symbol, interval, ist_date(start_ns), ist_date(end_ns)))
        rows = {**CLOSES, DAY: 25_100.0}
        stamps = [dt.datetime.combine(day, dt.time(), IST) for day in rows]
        return pl.DataFrame({"ts": stamps, "close": list(rows.values())})

    monkeypatch.setattr(kite_more, "candles", candles)
    broker = (await kite_sim()).broker()
    await broker.profile()
    assert await past_closes(broker, "NIFTY", 30) == CLOSES
    assert asked == [("NIFTY", "day", DAY - dt.timedelta(days=30), DAY)]
    await broker.close()


async def test_xts_bars(xts_sim, monkeypatch):
    broker = (await xts_sim()).broker()
    await broker.profile()

    async def candles(segment, token, start_ns, end_ns, seconds):
        assert (segment, seconds) == ("NSECM", None)
        rows = {**CLOSES, DAY: 25_100.0}
        return tuple(Candle(ist_ns(day), close, close, close, close, 0) for day, close in rows.items())

    monkeypatch.setattr(broker.market, "candles", candles)
    assert await past_closes(broker, "NIFTY") == CLOSES
    await broker.close()


async def test_the_simulated_ones_answer_with_what_they_have(kite_sim, xts_sim):
    for sim in (await kite_sim(), await xts_sim()):
        broker = sim.broker()
        await broker.profile()
        found = await past_closes(broker, "NIFTY")
        assert all(day < DAY for day in found)
        await broker.close()


async def test_paper_has_none():
    with pytest.raises(BadData, match="paper has no bars of past days"):
        await past_closes(SimpleNamespace(name="paper", clock=lambda: ist_ns(DAY)), "NIFTY")
