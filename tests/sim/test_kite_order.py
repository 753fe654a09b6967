"""The rows of the order and trade books, field by field against Kite's published mocks."""

from __future__ import annotations

import json

import pytest

from toolkit.sim.kite_order import KiteOrder, order_row, request_of, stamp, trade_row
from toolkit.types import OrdType, TimeInForce

IST_0915 = 1_783_914_300_000_000_000


@pytest.fixture
def order(quiet_world):
    def make(**changes):
        fields = {
            "order_id": "2607130000046137344", "number": 1, "variety": "regular", "listed": quiet_world.roster.by_name["NFO", "NIFTY2671425000CE"],
            "side": "BUY", "quantity": 130, "product": "NRML", "order_type": "LIMIT", "price_p": 10005, "trigger_p": 0, "validity": "DAY",
            "ttl_minutes": 0, "disclosed": 0, "tag": None, "tags": (), "placed_ns": IST_0915,
        }  # fmt: skip
        return KiteOrder(**{**fields, **changes})

    return make


def test_every_field_of_the_mocks_is_there(order, shared):
    mock = json.loads(shared("fixtures", "kite", "orders.json").read_text())["data"]
    ours = order_row(order(tag="a", tags=("a",)), "SIM001")
    for row in mock:
        assert set(row) - set(ours) <= {"terminal_id"}, row["order_id"]
        for name, value in row.items():
            if value is not None and ours.get(name) is not None:
                assert isinstance(ours[name], (int, float)) == isinstance(value, (int, float)), name


def test_every_field_of_the_trade_mocks_is_there(order, shared):
    mock = json.loads(shared("fixtures", "kite", "trades.json").read_text())["data"]
    ours = trade_row(order(), "10000000", 65, 10000, IST_0915)
    assert all(set(row) == set(ours) for row in mock)
    assert all(
        type(row[name]) is type(ours[name]) or {type(row[name]), type(ours[name])} == {int, float}
        for row in mock
        for name in row
        if ours[name] is not None
    )


def test_times_are_indian_wall_time():
    assert stamp(IST_0915) == "2026-07-13 09:15:00"
    assert stamp(None) is None


def test_a_new_row(order):
    row = order_row(order(), "SIM001")
    assert (row["status"], row["order_timestamp"], row["exchange_timestamp"], row["exchange_order_id"]) == (
        "PUT ORDER REQ RECEIVED", "2026-07-13 09:15:00", None, None,
    )  # fmt: skip
    assert (row["price"], row["average_price"], row["pending_quantity"], row["tag"]) == (100.05, 0, 130, None)
    assert "tags" not in row


def test_the_average_is_of_what_was_filled(order):
    row = order_row(order(filled=130, value_p=65 * 10000 + 65 * 10005, status="COMPLETE"), "SIM001")
    assert (row["average_price"], row["filled_quantity"], row["pending_quantity"]) == (100.025, 130, 0)


@pytest.mark.parametrize("status", ["COMPLETE", "CANCELLED", "REJECTED"])
def test_nothing_is_left_of_a_done_order(order, status):
    assert order(status=status).leaves == 0


def test_an_iceberg_tells_its_leg(order):
    meta = order_row(order(iceberg=(2, 5, 200, 1000)), "SIM001")["meta"]
    assert meta == {
        "iceberg": {"leg": 2, "legs": 5, "leg_quantity": 200, "total_quantity": 1000, "remaining_quantity": 600}
    }


def test_what_goes_to_the_exchange(order):
    request = request_of(order(order_type="SL", trigger_p=9900, validity="IOC", offset=65, sent="X"), "SIM001")
    assert (request.cl_ord_id, request.order_qty, request.ord_type, request.stop_px_p) == (
        "X",
        65,
        OrdType.STOP_LIMIT,
        9900,
    )
    assert request.time_in_force is TimeInForce.IOC
    assert request.exchange == "NSE"
