"""Positions, limits and margins by client, as text and as numbers."""

from __future__ import annotations

import pytest

from toolkit import tables
from toolkit.sim.xts_account import XtsAccount
from toolkit.sim.xts_book import XtsBook
from toolkit.sim.xts_form import XtsRefusal, order_form
from toolkit.sim.xts_install import Install
from toolkit.sim.xts_names import Directory

CE = {
    "exchangeSegment": "NSEFO", "exchangeInstrumentID": 40001, "productType": "NRML", "orderType": "LIMIT",
    "orderSide": "BUY", "timeInForce": "DAY", "orderQuantity": 65, "limitPrice": 101, "stopPrice": 0,
}  # fmt: skip
KEY = 40001 * 256 + 2


@pytest.fixture
def make(quiet_world):
    def account(funds_p=10_000_000_00):
        book = XtsBook(
            quiet_world, Directory(quiet_world.roster), "DLR01", ("CLI01", "CLI02"), Install(profile="dealer_named")
        )
        return XtsAccount(quiet_world, book, funds_p, tables.charges())

    return account


def place(account, client="CLI01", **changes):
    book = account.book
    return book.place(client, order_form({**CE, **changes}, book.directory, book.install))


def listed(account):
    return account.world.roster.by_key[KEY]


def number(text):
    return float(text.replace(",", ""))


def test_positions_are_each_clients_own(make):
    account = make()
    place(account)
    place(account, "CLI02", orderSide="SELL", orderQuantity=130, limitPrice=99)
    rows = account.positions(("CLI01", "CLI02"), day_wise=False)
    assert [(row["AccountID"], row["Quantity"], row["NetAmount"]) for row in rows] == [
        ("CLI01", "65", "-6,532.50"),
        ("CLI02", "-130", "13,000.00"),
    ]
    assert account.positions(("CLI02",), day_wise=True)[0]["OpenSellQuantity"] == "130"
    assert rows[0]["TradingSymbol"] == "NIFTY 14JUL2026 CE 25000"


def test_a_round_trip_is_realized(make, clock_ns):
    account = make()
    place(account)
    account.world.advance(clock_ns("10:00:00"))
    place(account, orderSide="SELL", limitPrice=119)
    row = account.positions(("CLI01",), day_wise=True)[0]
    assert (row["Quantity"], row["RealizedMTM"], row["UnrealizedMTM"], row["MTM"]) == (
        "0",
        "1,267.50",
        "0.00",
        "1,267.50",
    )
    events = account.position_events("CLI01", KEY)
    assert [(e["IsDayWiseNetWise"], e["NetPosition"], e["RealizedMTM"]) for e in events] == [
        ("DayWise", 0, 1267.5),
        ("NetWise", 0, 1267.5),
    ]


def test_unrealized_moves_with_the_last_price(make, clock_ns):
    account = make()
    place(account, orderQuantity=130)
    account.world.advance(clock_ns("10:00:00"))
    row = account.positions(("CLI01",), day_wise=False)[0]
    assert number(row["UnrealizedMTM"]) == pytest.approx(130 * (120 - 100.5))
    assert row["RealizedMTM"] == "0.00"


def test_a_carried_position_is_net_but_not_of_the_day(make):
    account = make()
    account.accounts["CLI02"].carry(listed(account), "NRML", -65, 9000)
    assert account.positions(("CLI02",), day_wise=True) == []
    assert account.positions(("CLI02",), day_wise=False)[0]["Quantity"] == "-65"
    assert [e["IsDayWiseNetWise"] for e in account.position_events("CLI02", KEY)] == ["NetWise"]


def test_limits_fall_by_what_is_used(make):
    account = make()
    place(account)
    first, second = account.balance("CLI01")["BalanceList"]
    assert (first["limitHeader"], second["limitHeader"]) == ("CASH|NSE|MTF", "ALL|ALL|ALL")
    used = second["limitObject"]["RMSSubLimits"]
    assert (used["cashAvailable"], used["marginUtilized"], used["netMarginAvailable"]) == (
        "10000000",
        "6532.5",
        "9993467.5",
    )
    assert first["limitObject"]["RMSSubLimits"]["netMarginAvailable"] == "0"
    assert account.balance("CLI02")["BalanceList"][1]["limitObject"]["RMSSubLimits"]["RealizedMTM"] == "NaN"


def test_funds_bound_orders_but_never_a_closing_one(make):
    account = make(funds_p=6_600_00)
    assert place(account).status == "Filled"
    assert place(account, limitPrice=50).reason == "OEMS:RMS : Margin Exceeds"
    assert place(account, "CLI02", limitPrice=50).status == "New"  # another client's funds
    assert place(account, orderSide="SELL", limitPrice=99).status == "Filled"


def test_a_change_counts_only_what_it_adds(make):
    account = make(funds_p=6_000_00)
    order = place(account, limitPrice=90)
    base = {
        "modifiedProductType": "NRML",
        "modifiedOrderType": "LIMIT",
        "modifiedOrderQuantity": 65,
        "modifiedStopPrice": 0,
        "modifiedTimeInForce": "DAY",
    }
    account.book.modify(order, {**base, "modifiedLimitPrice": 92})
    assert order.status == "Replaced"
    with pytest.raises(XtsRefusal, match="Margin Exceeds"):
        account.book.modify(order, {**base, "modifiedLimitPrice": 95})
    assert order.order_id in account.book.books["CLI01"].orders


def test_margin_of_a_portfolio(make):
    account = make(funds_p=10_000_00)
    row = {"exchange": 2, "exchangeInstrumentId": 40001, "orderSide": "BUY", "quantity": 65, "price": 100}
    found = account.need("CLI01", {"portfolio": [row]})["brokerageDeatils"]
    assert (found["IsValid"], found["MarginRequired"], found["MarginAvailable"], found["MarginShortfall"]) == (
        True,
        6500,
        10_000,
        0,
    )
    found = account.need("CLI01", {"portfolio": [row, row]})["brokerageDeatils"]
    assert (found["IsValid"], found["MarginShortfall"], found["ErrorMessage"]) == (False, 3000, "Margin Exceeds")
    sold = {**row, "orderSide": "SELL"}
    naked, flat = (
        account.need("CLI01", {"portfolio": rows})["brokerageDeatils"]["MarginRequired"]
        for rows in ([sold], [sold, row])
    )
    assert flat < naked / 10, "as if both had traded: nothing is held"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"portfolio": []},
        {"portfolio": "x"},
        {"portfolio": [1]},
        {"portfolio": [{"exchange": 2, "exchangeInstrumentId": 5, "quantity": 65}]},
    ],
)
def test_a_portfolio_that_is_none(make, body):
    with pytest.raises(XtsRefusal):
        make().need("CLI01", body)


@pytest.mark.parametrize(
    ("kind", "value", "left"), [("ExactQty", 65, 65), ("Percentage", 50, 65), ("Percentage", 100, 0)]
)
def test_square_off(make, kind, value, left):
    account = make()
    place(account, orderQuantity=130)
    account.flatten(
        "CLI01",
        listed(account),
        {"productType": "NRML", "positionSquareOffQuantityType": kind, "squareOffQtyValue": value},
    )
    assert account.net("CLI01", listed(account), "NRML") == left


def test_square_off_can_clear_working_orders_first(make):
    account = make()
    place(account)
    rests = place(account, limitPrice=50)
    account.flatten(
        "CLI01",
        listed(account),
        {
            "productType": "NRML",
            "positionSquareOffQuantityType": "ExactQty",
            "squareOffQtyValue": 65,
            "cancelOrders": True,
        },
    )
    assert rests.status == "Cancelled"
    with pytest.raises(XtsRefusal, match="No position"):
        account.flatten("CLI01", listed(account), {"productType": "NRML", "squareOffQtyValue": 65})


def test_conversion_moves_units_of_the_day_or_carried(make):
    account = make()
    place(account)
    account.accounts["CLI01"].carry(listed(account), "NRML", 65, 9000)
    body = {"targetQty": 65, "oldProductType": "NRML", "newProductType": "MIS"}
    for day_wise in (True, False):
        made = account.convert("CLI01", listed(account), {**body, "isDayWise": day_wise})
        assert made["CovertedQty"] == 65
    assert account.net("CLI01", listed(account), "MIS") == 130
    with pytest.raises(XtsRefusal):
        account.convert("CLI01", listed(account), {**body, "isDayWise": False})
    with pytest.raises(XtsRefusal, match="Bad Request"):
        account.convert("CLI01", listed(account), {})
