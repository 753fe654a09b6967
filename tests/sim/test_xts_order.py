"""Rows of orders and trades in every spelling, and the order as the exchange takes it."""

from __future__ import annotations

import datetime as dt
import json

import msgspec
import pytest

from toolkit.calendar import ist_ns
from toolkit.sim.xts_form import OrderForm
from toolkit.sim.xts_install import Install
from toolkit.sim.xts_names import Directory
from toolkit.sim.xts_order import XtsOrder, app_id, order_row, request_of, trade_row
from toolkit.types import OrdType, Side, TimeInForce


@pytest.fixture
def order(quiet_world):
    listed = quiet_world.roster.by_name["NFO", "NIFTY2671425000CE"]
    form = OrderForm(
        listed=listed,
        side="SELL",
        quantity=130,
        product="NRML",
        order_type="StopLimit",
        price_p=9500,
        trigger_p=9600,
        validity="DAY",
        tag="t1",
        source="ALGO",
    )
    return XtsOrder(
        order_id="3110000010",
        client="CLI01",
        login="DLR01",
        form=form,
        price_p=9500,
        placed_ns=quiet_world.now_ns,
        updated_ns=quiet_world.now_ns,
        sent="3110000010R1",
        offset=65,
    )


def row_of(order, world, **settings):
    return order_row(order, Directory(world.roster), Install(**settings))


def test_rows_have_every_field_of_the_samples(order, quiet_world, shared):
    book = json.loads(shared("fixtures", "xts", "order_book.json").read_text())["body"]["result"][0]
    event = json.loads(json.loads(shared("fixtures", "xts", "ev_order_pending_new.json").read_text())["args"][0])
    trade = json.loads(json.loads(shared("fixtures", "xts", "ev_trade.json").read_text())["args"][0])
    row = row_of(order, quiet_world)
    assert not (set(book) | set(event)) - set(row)
    made = trade_row(
        order,
        Directory(quiet_world.roster),
        Install(),
        ("2177829", 1, 65, 9550, ist_ns(dt.date(2026, 7, 13))),
    )
    assert not set(trade) - set(made)
    assert (made["LastTradedPrice"], made["LastTradedQuantity"], made["ExecutionID"], made["MessageCode"]) == (
        95.5,
        65,
        "2177829",
        9005,
    )


def test_numbers_of_an_order_that_has_traded_in_part(order, quiet_world):
    order.filled, order.value_p, order.status = 65, 65 * 285_350, "PartiallyFilled"
    row = row_of(order, quiet_world)
    assert (row["OrderAverageTradedPrice"], row["OrderAverageTradedPriceAPI"]) == ("2,853.50", 2853.5)
    assert (row["CumulativeQuantity"], row["LeavesQuantity"], row["OrderStopPrice"], row["OrderPrice"]) == (
        65,
        65,
        96,
        95,
    )
    assert (row["OrderSide"], row["OrderSideAPI"], row["AppOrderID"]) == ("Sell", "SELL", 3_110_000_010)
    assert row["AppOrderID"] > 2**31


@pytest.mark.parametrize(("status", "left"), [("Rejected", 130), ("Cancelled", 0), ("Expired", 0), ("New", 130)])
def test_what_is_left_by_status(order, quiet_world, status, left):
    order.status = status
    assert row_of(order, quiet_world)["LeavesQuantity"] == left
    assert order.leaves == (130 if status == "New" else 0)


def test_an_order_without_trades_has_no_average(order, quiet_world):
    row = row_of(order, quiet_world)
    assert (row["OrderAverageTradedPrice"], row["OrderAverageTradedPriceAPI"], row["OrderExpiryDate"]) == (
        "",
        "NaN",
        "1980-01-01T00:00:00",
    )


@pytest.mark.parametrize(
    ("mode", "source", "shown"),
    [("echo", "ALGO", "ALGO"), ("echo", None, None), ("ignore", "ALGO", None), ("strict", "", "")],
)
def test_the_order_source_is_echoed_where_the_install_does(order, quiet_world, mode, source, shown):
    order.form = msgspec.structs.replace(order.form, source=source)
    assert row_of(order, quiet_world, order_source=mode).get("ApiOrderSource") == shown


@pytest.mark.parametrize(("ids", "found"), [("number", 17), ("text", "17"), ("float", 17.0)])
def test_ids(ids, found):
    made = app_id("17", Install(ids=ids))
    assert (made, type(made)) == (found, type(found))


@pytest.mark.parametrize(
    ("kind", "ord_type"),
    [
        ("StopLimit", OrdType.STOP_LIMIT),
        ("StopMarket", OrdType.STOP),
        ("Limit", OrdType.LIMIT),
        ("Market", OrdType.LIMIT),
    ],
)
def test_the_exchange_gets_what_is_left(order, kind, ord_type):
    order.form = msgspec.structs.replace(order.form, order_type=kind)
    request = request_of(order)
    assert (request.ord_type, request.order_qty, request.cl_ord_id, request.side) == (
        ord_type,
        65,
        "3110000010R1",
        Side.SELL,
    )
    assert (request.price_p, request.stop_px_p, request.time_in_force, request.account) == (
        9500,
        9600,
        TimeInForce.DAY,
        "CLI01",
    )
