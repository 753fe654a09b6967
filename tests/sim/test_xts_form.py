"""What the front door takes and refuses."""

from __future__ import annotations

import pytest

from toolkit.sim.xts_form import XtsRefusal, change_form, invalid, no_data, order_form, paise
from toolkit.sim.xts_install import Install
from toolkit.sim.xts_names import Directory

CE = {
    "exchangeSegment": "NSEFO", "exchangeInstrumentID": 40001, "productType": "NRML", "orderType": "LIMIT",
    "orderSide": "BUY", "timeInForce": "DAY", "disclosedQuantity": 0, "orderQuantity": 65, "limitPrice": 90.05,
    "stopPrice": 0, "apiOrderSource": "WEBAPI", "orderUniqueIdentifier": "tag0001",
}  # fmt: skip
CHANGE = {
    "modifiedProductType": "MIS", "modifiedOrderType": "StopLimit", "modifiedOrderQuantity": 130,
    "modifiedDisclosedQuantity": 0, "modifiedLimitPrice": 95, "modifiedStopPrice": 94, "modifiedTimeInForce": "IOC",
}  # fmt: skip


@pytest.fixture
def names(quiet_world):
    return Directory(quiet_world.roster)


def test_a_whole_order(names):
    form = order_form(CE, names, Install())
    assert (form.side, form.quantity, form.product, form.order_type) == ("BUY", 65, "NRML", "Limit")
    assert (form.price_p, form.trigger_p, form.validity, form.tag, form.source) == (9005, 0, "DAY", "tag0001", "WEBAPI")
    assert form.listed.name == "NIFTY2671425000CE"


def test_words_have_no_case_and_numbers_may_be_text(names):
    form = order_form(
        {
            **CE,
            "orderSide": "Buy",
            "orderType": "Limit",
            "exchangeInstrumentID": "40001",
            "orderQuantity": "65",
            "limitPrice": "90.05",
        },
        names,
        Install(),
    )
    assert form == order_form(CE, names, Install())


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"exchangeSegment": 2}, "e-property-validation-failed", "exchangeSegment must be a string"),
        ({"exchangeInstrumentID": 1}, "e-instrument-0001", None),
        ({"exchangeSegment": "NSECM", "exchangeInstrumentID": 26000}, "e-instrument-0001", None),
        ({"productType": "XX"}, "e-property-validation-failed", "productType must be one of MIS, NRML, CNC"),
        ({"orderType": "SL"}, "e-property-validation-failed", "orderType must be one of"),
        ({"orderSide": 1}, "e-property-validation-failed", "orderSide must be one of BUY, SELL"),
        ({"timeInForce": "GTC"}, "e-property-validation-failed", "timeInForce must be one of DAY, IOC"),
        ({"orderQuantity": 0}, "e-property-validation-failed", "orderQuantity must be a whole number above 0"),
        ({"orderQuantity": 65.5}, "e-property-validation-failed", "orderQuantity must be"),
        ({"limitPrice": 0}, "e-property-validation-failed", "limitPrice is required for Limit"),
        ({"limitPrice": "x"}, "e-property-validation-failed", "limitPrice must be a number"),
        ({"limitPrice": float("nan")}, "e-property-validation-failed", "limitPrice must be a number"),
        ({"limitPrice": -1}, "e-property-validation-failed", "limitPrice must not be below 0"),
        ({"orderType": "STOPLIMIT"}, "e-property-validation-failed", "stopPrice is required"),
        ({"orderUniqueIdentifier": "x" * 21}, "e-property-validation-failed", "at most 20"),
    ],
)
def test_refusals(names, changes, code, says):
    with pytest.raises(XtsRefusal) as told:
        order_form({**CE, **changes}, names, Install())
    assert (told.value.code, told.value.status) == (code, 400)
    if says is not None:
        assert says in told.value.result["errors"][0]["messages"][0]


def test_the_order_source_is_compulsory_only_where_the_install_says_so(names):
    bare = {k: v for k, v in CE.items() if k != "apiOrderSource"}
    assert order_form(bare, names, Install()).source is None
    with pytest.raises(XtsRefusal):
        order_form(bare, names, Install(order_source="strict"))


def test_a_change_replaces_everything_and_defaults_nothing(names):
    before = order_form(CE, names, Install())
    form = change_form(CHANGE, before)
    assert (form.product, form.order_type, form.quantity, form.price_p, form.trigger_p, form.validity) == (
        "MIS",
        "StopLimit",
        130,
        9500,
        9400,
        "IOC",
    )
    assert (form.listed, form.side, form.tag, form.source) == (before.listed, before.side, before.tag, before.source)
    for name in CHANGE:
        if name not in ("modifiedDisclosedQuantity",):
            with pytest.raises(XtsRefusal):
                change_form({k: v for k, v in CHANGE.items() if k != name}, before)


def test_the_small_ones():
    assert (no_data("orders").code, str(no_data("orders"))) == ("e-orders-0005", "Data Not Available")
    assert str(invalid("x")) == "Bad Request"
    assert paise({}, "limitPrice") == 0
