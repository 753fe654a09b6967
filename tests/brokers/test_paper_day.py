from __future__ import annotations

import datetime as dt

import pytest

from toolkit.brokers.paper_day import paper_on
from toolkit.calendar import to_ist
from toolkit.config import share
from toolkit.errors import BadData
from toolkit.store.session import open_session
from toolkit.types import OrderRequest, Side

CE = "NIFTY 14JUL2026 25450 CE"


@pytest.fixture(scope="module")
def session():
    return open_session(share("data", "sample"))


async def test_it_stands_at_an_instant_with_quotes_hours_and_margin(session):
    broker = paper_on(session)
    assert to_ist(broker.clock()).time() == dt.time(11)
    quote = (await broker.quote([CE]))[CE]
    assert quote.two_sided
    instrument = await broker.resolve(CE)
    order = OrderRequest(cl_ord_id="A1", symbol=CE, side=Side.BUY, order_qty=instrument.lot, price_p=quote.ask_p)
    await broker.place(order)
    (state,) = await broker.orders()
    assert state.cum_qty == instrument.lot
    assert (await broker.order_margins([])).total >= 0
    await broker.close()


async def test_another_instant_has_other_quotes(session):
    early, late = paper_on(session, "10:00"), paper_on(session, "2026-07-13 14:00")
    assert (await early.quote([CE]))[CE] != (await late.quote([CE]))[CE]


@pytest.mark.parametrize(("at", "text"), [("25:00", "--at must be"), ("08:00", "no quote on 2026-07-13 by then"), ("2026-07-15 11:00", "no quote"), ("noon", "--at must be")])  # fmt: skip
def test_wrong_instants(session, at, text):
    with pytest.raises(BadData, match=text):
        paper_on(session, at)
