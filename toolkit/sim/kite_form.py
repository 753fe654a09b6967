"""What Kite's front door checks before an order reaches risk or the exchange.

A refusal is a :class:`WireRefusal` with Kite's HTTP code, error type and, where it is known,
its text. Nothing refused here enters the order book; it counts for the rate limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from toolkit.errors import BadData, Refused
from toolkit.orders.slicing import legal_max
from toolkit.sim.roster import Listed, Roster
from toolkit.types import Kind, to_paise

__all__ = ["OrderForm", "WireRefusal", "check_numbers", "number", "paise", "protected_p", "protection", "read_form"]

VARIETIES: Final = ("regular", "amo", "iceberg", "co", "auction")
PRODUCTS: Final = {"NFO": ("NRML", "MIS"), "BFO": ("NRML", "MIS"), "NSE": ("CNC", "MIS"), "BSE": ("CNC", "MIS")}
ORDER_TYPES: Final = ("LIMIT", "MARKET", "SL", "SL-M")
VALIDITIES: Final = ("DAY", "IOC", "TTL")
_TAG: Final = re.compile(r"[ -~]{1,20}")
_NUMBER: Final = re.compile(r"-?\d{1,12}(\.\d{1,20})?", re.ASCII)
_SLICES: Final = 10
# Automatic market protection in percent by price in rupees, as Zerodha publishes it.
_OPTION_STEPS: Final = ((10.0, 5.0), (100.0, 3.0), (500.0, 2.0), (float("inf"), 1.0))
_OTHER_STEPS: Final = ((100.0, 2.0), (500.0, 1.0), (float("inf"), 0.5))


class WireRefusal(Refused):
    """A refusal with what the wire says: HTTP code, Kite's error type, text."""

    def __init__(self, code: int, error_type: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.error_type = error_type


class OrderForm(msgspec.Struct, frozen=True, kw_only=True):
    """An order as asked for: units, paise, ``None`` where nothing was said. ``marks``
    are the tags that Kite itself adds."""

    variety: str
    listed: Listed
    side: str
    quantity: int
    product: str
    order_type: str
    price_p: int | None
    trigger_p: int | None
    validity: str
    ttl_minutes: int | None
    disclosed: int
    protection: float
    iceberg_legs: int | None
    iceberg_quantity: int | None
    tag: str | None
    autoslice: bool
    marks: tuple[str, ...] = ()


def read_form(variety: str, form: Mapping[str, str], roster: Roster) -> OrderForm:
    """Read and check the form of a new order.

    Raises
    ------
    WireRefusal
        With code 400 for anything that Kite's front door refuses.
    """
    if variety not in VARIETIES:
        raise _input("Invalid `variety`.")
    if variety in ("co", "auction"):
        raise _input(f"Orders of variety `{variety}` are not available for this segment.")
    listed = _listed(form, roster)
    made = OrderForm(
        variety=variety,
        listed=listed,
        side=_one_of(form, "transaction_type", ("BUY", "SELL")),
        quantity=_required(form, "quantity"),
        product=_one_of(form, "product", PRODUCTS[listed.venue]),
        order_type=_one_of(form, "order_type", ORDER_TYPES),
        price_p=paise(form, "price"),
        trigger_p=paise(form, "trigger_price"),
        validity=_one_of({"validity": "DAY", **form}, "validity", VALIDITIES),
        ttl_minutes=number(form, "validity_ttl"),
        disclosed=number(form, "disclosed_quantity") or 0,
        protection=protection(form),
        iceberg_legs=number(form, "iceberg_legs"),
        iceberg_quantity=number(form, "iceberg_quantity"),
        tag=_tag(form),
        autoslice=form.get("autoslice", "").lower() == "true",
    )
    _check(made)
    return made


def check_numbers(form: OrderForm, *, freeze: bool = True) -> None:
    """Check quantity, tick, freeze quantity and prices against order type; raises `WireRefusal`."""
    listed, instrument = form.listed, form.listed.instrument
    if form.quantity <= 0:
        raise _input("Invalid quantity: it must be above zero.")
    if form.quantity % instrument.lot:
        raise _input(
            f"Order quantity should be in multiples of the lot size. The lot size of {listed.name} is {instrument.lot}."
        )
    limit = instrument.freeze_qty
    if freeze and limit is not None and form.quantity > legal_max(limit, instrument.lot):
        raise _input(f"Order quantity exceeds the freeze quantity of {limit}. Place it in slices or use autoslice.")
    for name, value in (("price", form.price_p), ("trigger price", form.trigger_p)):
        if value is not None and (value < 0 or value % instrument.tick_p):
            tick = f"{instrument.tick_p / 100:.2f}"
            raise _input(f"Tick size for this script is {tick}. Kindly enter {name} in the multiple of tick size.")
    if form.order_type in ("LIMIT", "SL") and not form.price_p:
        raise _input(f"Missing or invalid `price` for an order of type {form.order_type}.")
    if form.order_type in ("SL", "SL-M") and not form.trigger_p:
        raise _input(f"Missing or invalid `trigger_price` for an order of type {form.order_type}.")
    if form.order_type == "SL" and form.price_p and form.trigger_p:
        beyond = form.trigger_p - form.price_p if form.side == "BUY" else form.price_p - form.trigger_p
        if beyond > 0:
            side = form.side.lower()
            word = "lower" if form.side == "BUY" else "higher"
            raise _input(f"Trigger price for stoploss {side} orders should not be {word} than the limit price.")


def protected_p(form: OrderForm, reference_p: int) -> tuple[int, float]:
    """The limit in paise that a protected order becomes, and the percent used.

    ``reference_p`` is the last price (MARKET) or the trigger (SL-M).
    """
    instrument = form.listed.instrument
    percent = form.protection
    if percent == -1:
        steps = _OPTION_STEPS if instrument.kind is Kind.OPTION else _OTHER_STEPS
        percent = next(p for below, p in steps if reference_p / 100 < below)
    tick = instrument.tick_p
    # Rounded towards the reference: never worse than the percentage says.
    hundredths = round(percent * 100)
    if form.side == "BUY":
        price_p = reference_p * (10_000 + hundredths) // 10_000 // tick * tick
    else:
        price_p = -(-(reference_p * (10_000 - hundredths)) // 10_000 // tick) * tick
    return max(price_p, tick), percent


def protection(form: Mapping[str, str]) -> float:
    """``market_protection``: 0 when it was not said.

    Raises
    ------
    WireRefusal
        When it is neither -1 nor 0 to 100.
    """
    text = form.get("market_protection", "0")
    value = float(text) if _NUMBER.fullmatch(text) else 101.0
    if value != -1 and not 0 <= value <= 100:
        raise _input("Invalid `market_protection`: it must be -1, or above 0 and at most 100.")
    return value


def number(form: Mapping[str, str], name: str) -> int | None:
    """A whole number of the form, None when it was not said."""
    text = form.get(name)
    if text is None or text == "":
        return None
    if not _NUMBER.fullmatch(text) or float(text) != int(float(text)):
        raise _input(f"Invalid `{name}`: it must be a whole number.")
    return int(float(text))


def paise(form: Mapping[str, str], name: str) -> int | None:
    """A price of the form in paise, None when it was not said or is 0."""
    text = form.get(name)
    if text is None or text == "":
        return None
    if not _NUMBER.fullmatch(text):
        raise _input(f"Invalid `{name}`.")
    try:
        return to_paise(float(text)) or None
    except BadData:
        raise _input(f"Invalid `{name}`: prices have two decimals.") from None


def _check(form: OrderForm) -> None:
    check_numbers(form, freeze=not (form.autoslice or form.variety == "iceberg"))
    kind = form.listed.instrument.kind
    if kind is Kind.INDEX:
        raise _input("The instrument you are placing an order for is an index and cannot be traded.")
    if form.order_type in ("MARKET", "SL-M") and form.protection == 0:
        raise _input(
            "Market orders without market protection are not allowed via API. "
            "Please set market protection or use a Limit order."
        )
    if form.order_type == "SL-M" and (kind is Kind.OPTION or form.listed.venue in ("BSE", "BFO")):
        raise _input(
            "Stop-loss market (SL-M) orders are discontinued for this segment. Place an SL order with a limit."
        )
    if form.order_type in ("SL", "SL-M") and form.validity == "IOC":
        raise _input("Stop-loss orders cannot have validity IOC.")
    if form.validity == "TTL" and not 1 <= (form.ttl_minutes or 0) <= 180:
        raise _input("Invalid `validity_ttl`: it must be 1 to 180 minutes.")
    if form.disclosed and form.listed.venue in ("NFO", "BFO"):
        raise _input("Disclosed quantity is not allowed for this segment.")
    if form.variety == "iceberg":
        _check_iceberg(form)
    if form.autoslice and form.listed.instrument.freeze_qty is not None:
        step = legal_max(form.listed.instrument.freeze_qty, form.listed.instrument.lot)
        if form.quantity > _SLICES * step:
            raise _input(f"Autoslice allows at most {_SLICES} slices; {_SLICES * step} is the most in one order.")


def _check_iceberg(form: OrderForm) -> None:
    legs, each = form.iceberg_legs or 0, form.iceberg_quantity or 0
    instrument = form.listed.instrument
    if not 2 <= legs <= 50:
        raise _input("Invalid `iceberg_legs`: it must be 2 to 50.")
    if form.order_type != "LIMIT":
        raise _input("Iceberg orders must be of type LIMIT.")
    if each <= 0 or each % instrument.lot or -(-form.quantity // each) != legs:
        raise _input("Invalid `iceberg_quantity`: it must be lots, and legs x quantity must cover the order.")
    if instrument.freeze_qty is not None and each > legal_max(instrument.freeze_qty, instrument.lot):
        raise _input(f"Iceberg leg quantity exceeds the freeze quantity of {instrument.freeze_qty}.")


def _listed(form: Mapping[str, str], roster: Roster) -> Listed:
    venue, name = form.get("exchange", ""), form.get("tradingsymbol", "")
    if venue not in PRODUCTS:
        raise _input("Invalid `exchange`.")
    listed = roster.by_name.get((venue, name))
    if listed is None:
        raise _input("The instrument you are placing an order for has either expired or does not exist.")
    return listed


def _one_of(form: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = form.get(name, "")
    if value not in allowed:
        raise _input(f"Invalid `{name}`.")
    return value


def _required(form: Mapping[str, str], name: str) -> int:
    value = number(form, name)
    if value is None:
        raise _input(f"Missing `{name}`.")
    return value


def _tag(form: Mapping[str, str]) -> str | None:
    tag = form.get("tag")
    if not tag:
        return None
    if not _TAG.fullmatch(tag):
        raise _input("Invalid `tag`: it must be at most 20 characters.")
    return tag


def _input(text: str) -> WireRefusal:
    return WireRefusal(400, "InputException", text)
