"""What XTS's front door reads of a call: order forms, refusals with code and text.

A refusal here never reaches the books. What the front door does not check (lots, ticks,
bands, funds) comes back later, as a rejected order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from toolkit.errors import BadData, Refused
from toolkit.sim.roster import Listed
from toolkit.sim.xts_install import Install
from toolkit.sim.xts_names import Directory, whole
from toolkit.types import Kind, to_paise

__all__ = ["PRODUCTS", "OrderForm", "XtsRefusal", "change_form", "invalid", "no_data", "order_form", "paise"]

PRODUCTS: Final = ("MIS", "NRML", "CNC")
ORDER_TYPES: Final = {"market": "Market", "limit": "Limit", "stopmarket": "StopMarket", "stoplimit": "StopLimit"}
_TAG: Final = 20


class XtsRefusal(Refused):
    """A refusal with what the wire says: code, description, HTTP status, result."""

    def __init__(self, code: str, text: str, status: int = 400, result: Any = None) -> None:
        super().__init__(text)
        self.code = code
        self.status = status
        self.result = {} if result is None else result


class OrderForm(msgspec.Struct, frozen=True, kw_only=True):
    """An order as asked for: units, paise (0 where none is meant). ``source`` None was left out."""

    listed: Listed
    side: str
    quantity: int
    product: str
    order_type: str
    price_p: int
    trigger_p: int
    validity: str
    disclosed: int = 0
    tag: str = ""
    source: str | None = None


def invalid(text: str) -> XtsRefusal:
    """A bad field."""
    return XtsRefusal("e-property-validation-failed", "Bad Request", result={"errors": [{"messages": [text]}]})


def no_data(area: str) -> XtsRefusal:
    """The answer in place of an empty list."""
    return XtsRefusal(f"e-{area}-0005", "Data Not Available")


def order_form(body: Mapping[str, Any], directory: Directory, install: Install) -> OrderForm:
    """Read the body of a new order.

    Raises
    ------
    XtsRefusal
        For a field that is missing or wrong, and an instrument that is not listed.
    """
    source = body.get("apiOrderSource")
    if install.order_source == "strict" and not source:
        raise invalid("apiOrderSource is required")
    tag = str(body.get("orderUniqueIdentifier") or "")
    if len(tag) > _TAG:
        raise invalid(f"orderUniqueIdentifier must be at most {_TAG} characters")
    if not isinstance(body.get("exchangeSegment"), str):
        raise invalid("exchangeSegment must be a string")
    listed = directory.find(body["exchangeSegment"], body.get("exchangeInstrumentID"))
    if listed is None or listed.instrument.kind is Kind.INDEX:
        raise XtsRefusal("e-instrument-0001", "Instrument not found")
    form = OrderForm(
        listed=listed,
        side=_word(body, "orderSide", {"buy": "BUY", "sell": "SELL"}),
        quantity=_quantity(body, "orderQuantity"),
        product=_word(body, "productType", {name.lower(): name for name in PRODUCTS}),
        order_type=_word(body, "orderType", ORDER_TYPES),
        price_p=paise(body, "limitPrice"),
        trigger_p=paise(body, "stopPrice"),
        validity=_word(body, "timeInForce", {"day": "DAY", "ioc": "IOC"}),
        disclosed=whole(body.get("disclosedQuantity", 0)) or 0,
        tag=tag,
        source=None if source is None else str(source),
    )
    _check(form)
    return form


def change_form(body: Mapping[str, Any], before: OrderForm) -> OrderForm:
    """Read the body of a modification: a replacement of the whole order.

    Raises
    ------
    XtsRefusal
        For a field that is missing or wrong; nothing has a default, as on the wire.
    """
    form = msgspec.structs.replace(
        before,
        quantity=_quantity(body, "modifiedOrderQuantity"),
        product=_word(body, "modifiedProductType", {name.lower(): name for name in PRODUCTS}),
        order_type=_word(body, "modifiedOrderType", ORDER_TYPES),
        price_p=paise(body, "modifiedLimitPrice"),
        trigger_p=paise(body, "modifiedStopPrice"),
        validity=_word(body, "modifiedTimeInForce", {"day": "DAY", "ioc": "IOC"}),
        disclosed=whole(body.get("modifiedDisclosedQuantity", 0)) or 0,
    )
    _check(form)
    return form


def paise(body: Mapping[str, Any], name: str) -> int:
    """A price of the body in paise, 0 when none is meant.

    Raises
    ------
    XtsRefusal
        When it is no number with at most two decimals, or below 0.
    """
    value = body.get(name, 0)
    try:
        found = to_paise(float(value))
    except (BadData, TypeError, ValueError):
        raise invalid(f"{name} must be a number with two decimals") from None
    if found < 0:
        raise invalid(f"{name} must not be below 0")
    return found


def _check(form: OrderForm) -> None:
    if form.order_type in ("Limit", "StopLimit") and not form.price_p:
        raise invalid(f"limitPrice is required for {form.order_type}")
    if form.order_type in ("StopLimit", "StopMarket") and not form.trigger_p:
        raise invalid(f"stopPrice is required for {form.order_type}")


def _quantity(body: Mapping[str, Any], name: str) -> int:
    found = whole(body.get(name))
    if found is None or found <= 0:
        raise invalid(f"{name} must be a whole number above 0")
    return found


def _word(body: Mapping[str, Any], name: str, allowed: Mapping[str, str]) -> str:
    value = body.get(name)
    found = allowed.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        raise invalid(f"{name} must be one of {', '.join(allowed.values())}")
    return found
