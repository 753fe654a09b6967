"""A broker's basket margin beside ours, asked over the real wire of a simulated broker."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.brokers.margin_beside import BasketLeg, beside
from toolkit.brokers.paper import PaperBroker
from toolkit.calendar import ist_date, ist_ns
from toolkit.contracts import parse_symbol
from toolkit.risk.margin import Leg, default_params, span_margin
from toolkit.store.margin_pairs import MarginPairs
from toolkit.types import Instrument, Kind

CE, PE = "NIFTY 14JUL2026 25000 CE", "NIFTY 14JUL2026 25000 PE"


def basket(now_ns, *parts):
    made = []
    for symbol, qty, mark in parts:
        c = parse_symbol(symbol)
        days = (c.expiry - ist_date(now_ns)).days
        leg = Leg(
            underlying="NIFTY",
            cp=c.option_type.cp,
            qty=qty,
            tte=(days + 1) / 365,
            strike=c.strike_p / 100,
            mark=mark,
            expiry=c.expiry,
        )
        made.append(BasketLeg(symbol, "NSE", leg))
    return made


async def test_kites_figure_stands_beside_ours_and_is_kept(kite_sim, tmp_path):
    sim = await kite_sim()
    broker = sim.broker()
    pairs = MarginPairs(tmp_path / "margins.db")
    params = {"NIFTY": default_params(25_000.0, 0.15)}
    legs = basket(broker.clock(), (CE, -65, 120.0), (PE, 65, 60.0))
    found = await beside(broker, legs, params, pairs)
    assert found.theirs.label == "Kite's basket margin"
    assert found.theirs.total > 0
    assert found.ours.total == span_margin([one.leg for one in legs], params).total
    assert found.pair.error == (found.ours.total - found.theirs.total) / found.theirs.total
    kept = pairs.frame("kite")
    assert kept["basket"][0] == "-65 NIFTY 14JUL2026 25000 CE, +65 NIFTY 14JUL2026 25000 PE"
    assert kept["theirs"][0] == found.theirs.total
    assert pairs.errors("kite").median == abs(found.pair.error)
    assert list(await broker.orders()) == []
    await broker.close()


async def test_where_the_brokers_figure_holds_the_book_ours_does_too(tmp_path):
    rows = []
    for number, symbol in enumerate((CE, PE), start=1):
        c = parse_symbol(symbol)
        rows.append(
            Instrument(
                instrument_id=number, symbol=symbol, exchange="NSE", segment="NSE_FO", underlying="NIFTY",
                kind=Kind.OPTION, lot=65, tick_p=5, expiry=c.expiry, strike_p=c.strike_p,
                option_type=c.option_type, token=number,
            )
        )  # fmt: skip
    now = ist_ns(dt.date(2026, 7, 13), dt.time(11))
    broker = PaperBroker("A", instruments=rows, clock=lambda: now)
    params = {"NIFTY": default_params(25_000.0, 0.15)}
    broker.set_span(params)
    found = await beside(broker, basket(now, (CE, -65, float("nan"))), params)
    assert found.ours.total == pytest.approx(found.theirs.total)
    assert found.pair.error == pytest.approx(0.0)
    assert found.uncounted == ()
