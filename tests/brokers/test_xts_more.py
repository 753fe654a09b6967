"""What XTS has beyond the port, whatever an install answers to it."""

from __future__ import annotations

import pytest

from toolkit.brokers.xts_more import cancel_all, exchange_messages, exchange_status, square_off
from toolkit.errors import BadData, Refused, Unknown
from toolkit.types import Product

CALL = "NIFTY 30JUN2026 24500 CE"
SUCCESSES = ({}, [], "", None, {"AppOrderID": 5}, [{"AppOrderID": 5}], "Request sent", True)


@pytest.mark.parametrize("result", SUCCESSES, ids=repr)
async def test_any_success_is_one(make_xts, result):
    broker, install = make_xts()
    for method, path in (("POST", "orders/cancelall"), ("PUT", "portfolio/squareoff")):
        install.script[method, f"/interactive/{path}"] = lambda body: install.ok(result)
    await cancel_all(broker, CALL)
    await square_off(broker, CALL, Product.NRML, 65, day=True)
    (sent,) = install.made("PUT", "/portfolio/squareoff")
    assert (sent["squareoffMode"], sent["squareOffQtyValue"], sent["exchangeInstrumentID"]) == ("DayWise", 65, 49543)


async def test_they_land_like_any_order(make_xts):
    broker, install = make_xts()
    install.script["POST", "/interactive/orders/cancelall"] = lambda body: install.no("e-odd-1", "?")
    with pytest.raises(Unknown, match="see the order book"):
        await cancel_all(broker, CALL)
    install.script["PUT", "/interactive/portfolio/squareoff"] = lambda body: install.no("e-trade-00002", "not mapped")
    with pytest.raises(Refused, match="not mapped"):
        await square_off(broker, CALL, Product.NRML, 65)
    with pytest.raises(BadData, match="from 1, was 0"):
        await square_off(broker, CALL, Product.NRML, 0)
    assert len(install.made("POST", "/orders/cancelall")) == len(install.made("PUT", "/portfolio/squareoff")) == 1


@pytest.mark.parametrize("wrapped", [True, False])
async def test_status_and_messages_with_and_without_their_wrapping(make_xts, wrapped):
    broker, install = make_xts()
    status, message = [{"exchangeSegment": "NSEFO"}], [{"BroadcastMessage": "hello"}]
    install.script["GET", "/interactive/status/exchange"] = lambda body: install.ok(
        {"marketStatus": status} if wrapped else status
    )
    install.script["GET", "/interactive/messages/exchange"] = lambda body: install.ok(
        {"messageList": message} if wrapped else message
    )
    assert await exchange_status(broker) == status
    assert await exchange_messages(broker, "NSEFO") == message
