"""Kite's front door: every refusal with its code, type and text; the protected price."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import Refused
from toolkit.sim.kite_form import WireRefusal, number, paise, protected_p, protection, read_form

CE = {
    "exchange": "NFO", "tradingsymbol": "NIFTY2671425000CE", "transaction_type": "BUY", "quantity": "65", "product": "NRML",
    "order_type": "LIMIT", "price": "100.05",
}  # fmt: skip
FUT = {**CE, "tradingsymbol": "NIFTY26JULFUT", "price": "25040.1"}


@pytest.fixture(scope="module")
def roster(make_world):
    return make_world([("09:15:00", "CE", 100.0, 650, 100.5, 130, 100.0, 1300)]).roster


@pytest.fixture
def read(roster):
    return lambda variety="regular", base=CE, **changes: read_form(
        variety, {k: v for k, v in {**base, **changes}.items() if v is not None}, roster
    )


def test_a_plain_order_is_read(read):
    form = read(tag="mine1", validity="IOC")
    assert (form.quantity, form.price_p, form.trigger_p, form.side, form.validity) == (65, 10005, None, "BUY", "IOC")
    assert (form.tag, form.protection, form.autoslice, form.marks) == ("mine1", 0.0, False, ())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exchange": "NFE"}, "Invalid `exchange`"),
        ({"exchange": None}, "Invalid `exchange`"),
        ({"tradingsymbol": "NOPE"}, "expired or does not exist"),
        ({"exchange": "BFO"}, "expired or does not exist"),
        ({"transaction_type": "HOLD"}, "Invalid `transaction_type`"),
        ({"product": "CNC"}, "Invalid `product`"),
        ({"order_type": "STOP"}, "Invalid `order_type`"),
        ({"validity": "GTC"}, "Invalid `validity`"),
        ({"quantity": None}, "Missing `quantity`"),
        ({"quantity": "0"}, "above zero"),
        ({"quantity": "-65"}, "above zero"),
        ({"quantity": "66"}, "The lot size of NIFTY2671425000CE is 65"),
        ({"quantity": "65.5"}, "whole number"),
        ({"quantity": "many"}, "whole number"),
        ({"quantity": "1820"}, "exceeds the freeze quantity of 1800"),
        ({"price": "100.03"}, "Tick size for this script is 0.05"),
        ({"price": "100.053"}, "two decimals"),
        ({"price": "nan"}, "Invalid `price`"),
        ({"price": "1e400"}, "Invalid `price`"),
        ({"price": "-5"}, "Tick size"),
        ({"price": None}, "`price` for an order of type LIMIT"),
        ({"price": "0"}, "`price` for an order of type LIMIT"),
        ({"order_type": "SL"}, "`trigger_price` for an order of type SL"),
        ({"order_type": "SL", "trigger_price": "100.1"}, "should not be lower than the limit price"),
        ({"order_type": "SL", "trigger_price": "99.9", "transaction_type": "SELL"}, "should not be higher"),
        ({"order_type": "SL", "trigger_price": "99.03"}, "trigger price in the multiple of tick size"),
        ({"order_type": "SL", "trigger_price": "99", "validity": "IOC"}, "cannot have validity IOC"),
        ({"order_type": "MARKET", "price": None}, "Market orders without market protection are not allowed via API"),
        ({"order_type": "MARKET", "market_protection": "0"}, "without market protection"),
        ({"order_type": "MARKET", "market_protection": "101"}, "Invalid `market_protection`"),
        ({"order_type": "MARKET", "market_protection": "-2"}, "Invalid `market_protection`"),
        ({"order_type": "SL-M", "trigger_price": "99", "market_protection": "2"}, "SL-M.*discontinued"),
        ({"validity": "TTL"}, "1 to 180 minutes"),
        ({"disclosed_quantity": "65"}, "Disclosed quantity is not allowed"),
        ({"tag": "x" * 21}, "at most 20 characters"),
        ({"exchange": "NSE", "tradingsymbol": "NIFTY 50", "product": "MIS"}, "index and cannot be traded"),
        ({"autoslice": "true", "quantity": str(65 * 271)}, "at most 10 slices; 17550"),
    ],
)  # fmt: skip
def test_what_the_front_door_refuses(read, changes, says):
    with pytest.raises(WireRefusal, match=says) as caught:
        read(**changes)
    assert (caught.value.code, caught.value.error_type) == (400, "InputException")
    assert isinstance(caught.value, Refused)


@pytest.mark.parametrize("variety", ["bracket", "co", "auction"])
def test_varieties_that_are_not_taken(read, variety):
    with pytest.raises(WireRefusal, match="variety"):
        read(variety)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"iceberg_legs": "1", "iceberg_quantity": "65"}, "2 to 50"),
        ({"iceberg_legs": "51", "iceberg_quantity": "65"}, "2 to 50"),
        ({"iceberg_legs": "2"}, "iceberg_quantity"),
        ({"iceberg_legs": "3", "iceberg_quantity": "65"}, "cover the order"),
        ({"iceberg_legs": "2", "iceberg_quantity": "1820", "quantity": "3640"}, "freeze quantity"),
        (
            {"iceberg_legs": "2", "iceberg_quantity": "65", "order_type": "MARKET", "market_protection": "1"},
            "type LIMIT",
        ),
    ],
)
def test_iceberg_rules(read, changes, says):
    with pytest.raises(WireRefusal, match=says):
        read("iceberg", **{"quantity": "130", **changes})


def test_an_iceberg_may_be_above_the_freeze_quantity(read):
    assert read("iceberg", quantity="3510", iceberg_legs="2", iceberg_quantity="1755").iceberg_legs == 2


def test_an_autosliced_order_may_be_above_the_freeze_quantity(read):
    assert read(quantity="17550", autoslice="true").autoslice


def test_a_stop_market_on_a_future_needs_protection(read):
    assert (
        read(base=FUT, order_type="SL-M", price=None, trigger_price="25100", market_protection="1").trigger_p == 2510000
    )
    with pytest.raises(WireRefusal, match="without market protection"):
        read(base=FUT, order_type="SL-M", price=None, trigger_price="25100")


@pytest.mark.parametrize(
    ("reference", "buy", "sell", "percent"),
    [
        (900, 945, 855, 5.0),
        (5000, 5150, 4850, 3.0),
        (10000, 10200, 9800, 2.0),
        (60000, 60600, 59400, 1.0),
        (5, 5, 5, 5.0),
    ],
)
def test_automatic_protection_of_an_option(read, reference, buy, sell, percent):
    form = read(order_type="MARKET", market_protection="-1")
    assert protected_p(form, reference) == (buy, percent)
    assert protected_p(msgspec.structs.replace(form, side="SELL"), reference) == (sell, percent)


def test_automatic_protection_of_a_future(read):
    form = read(base=FUT, order_type="MARKET", market_protection="-1")
    assert protected_p(form, 2504000) == (2516520, 0.5)


@given(st.sampled_from(["BUY", "SELL"]), st.integers(5, 500_000), st.floats(0.01, 100))
def test_protection_is_never_worse_than_its_percentage(side, reference, percent):
    from toolkit.sim.kite_form import OrderForm
    from toolkit.sim.roster import Listed
    from toolkit.types import Instrument, Kind

    instrument = Instrument(
        instrument_id=1,
        symbol="X",
        exchange="NSE",
        segment="NSE_FO",
        underlying="X",
        kind=Kind.OPTION,
        lot=65,
        tick_p=5,
    )
    form = OrderForm(
        variety="regular", listed=Listed(instrument, 1, 1, 2, "NFO", "X", 1), side=side, quantity=65, product="NRML",
        order_type="MARKET", price_p=None, trigger_p=None, validity="DAY", ttl_minutes=None, disclosed=0, protection=percent,
        iceberg_legs=None, iceberg_quantity=None, tag=None, autoslice=False,
    )  # fmt: skip
    price, _ = protected_p(form, reference)
    assert price % 5 == 0
    assert price >= 5
    if side == "BUY":
        assert price <= max(5, reference * (1 + percent / 100) + 0.5 * reference / 10_000 + 1e-6)
    else:
        assert price >= reference * (1 - percent / 100) - 0.5 * reference / 10_000 - 1e-6


def test_numbers_of_a_form():
    assert number({"q": "65.0"}, "q") == 65
    assert number({"q": ""}, "q") is None
    assert paise({"p": "47.150000000000006"}, "p") == 4715
    assert paise({"p": "0.0"}, "p") is None
    assert protection({}) == 0.0
    assert protection({"market_protection": "-1"}) == -1.0


@given(
    st.dictionaries(
        st.sampled_from([*CE, "trigger_price", "validity", "tag", "autoslice", "market_protection", "iceberg_legs"]),
        st.text(max_size=12),
    )
)
def test_any_form_is_read_or_refused(roster, changes):
    refused = None
    try:
        form = read_form("regular", {**CE, **changes}, roster)
    except WireRefusal as refusal:
        refused = refusal
    if refused is None:
        assert form.quantity % 65 == 0
    else:
        assert refused.code == 400
        assert "\n" not in str(refused)
