"""What XTS has beyond the port: cancel all, square-off, status and messages of the exchange."""

from __future__ import annotations

from typing import Any

from toolkit.brokers.xts import XtsBroker
from toolkit.errors import BadData
from toolkit.types import Product

__all__ = ["cancel_all", "exchange_messages", "exchange_status", "square_off"]


async def cancel_all(broker: XtsBroker, symbol: str) -> None:
    """Cancel every working order of one contract; any success counts, the book tells the rest.

    Raises
    ------
    Refused, Unknown
    """
    segment, token = await broker.place_of(symbol)
    body: dict[str, object] = {"exchangeSegment": segment, "exchangeInstrumentID": token}
    await broker.link.call("cancel_all", json=body | await broker.acting(), what=f"cancel of all in {symbol}")
    broker.nudge()


async def square_off(broker: XtsBroker, symbol: str, product: Product, qty: int, *, day: bool = False) -> None:
    """Close a number of units of a position at the market by XTS itself; then read the positions.

    Raises
    ------
    Refused, Unknown
    """
    segment, token = await broker.place_of(symbol)
    if qty <= 0:
        raise BadData(f"quantity must be a whole number of units from 1, was {qty}")
    body: dict[str, object] = {
        "exchangeSegment": segment,
        "exchangeInstrumentID": token,
        "productType": str(product),
        "squareoffMode": "DayWise" if day else "Netwise",
        "positionSquareOffQuantityType": "ExactQty",
        "squareOffQtyValue": qty,
        "blockOrderSending": True,
        "cancelOrders": True,
    }
    await broker.link.call("squareoff", json=body | await broker.acting(), what=f"square-off of {symbol}")
    broker.nudge()


async def exchange_status(broker: XtsBroker) -> Any:
    """Market status by segment, as XTS has it."""
    user = (await broker.link.session()).user_id
    found = await broker.link.call("exchange_status", params={"userID": user}, what="the exchange status")
    return found.get("marketStatus", found) if isinstance(found, dict) else found


async def exchange_messages(broker: XtsBroker, segment: str) -> Any:
    """Broadcast messages of a segment, as XTS has them."""
    params = {"exchangeSegment": segment}
    found = await broker.link.call("exchange_messages", params=params, what="the exchange messages")
    return found.get("messageList", found) if isinstance(found, dict) else found
