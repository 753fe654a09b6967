"""Triggers: what is refused, when they fire, what they place."""

from __future__ import annotations

import json

import pytest

from toolkit.sim.kite_book import KiteBook
from toolkit.sim.kite_form import WireRefusal
from toolkit.sim.kite_gtt import KiteGtt

NAME = "NIFTY2671425000CE"


@pytest.fixture
def gtt(quiet_world):
    return KiteGtt(KiteBook(quiet_world, "SIM001"))


def form(values, last=100.0, kind=None, **leg):
    order = {
        "exchange": "NFO",
        "tradingsymbol": NAME,
        "transaction_type": "SELL",
        "quantity": 65,
        "order_type": "LIMIT",
        "product": "NRML",
        "price": 90.0,
    }
    legs = [{**order, **leg} for _ in values]
    condition = {"exchange": "NFO", "tradingsymbol": NAME, "trigger_values": values, "last_price": last}
    return {
        "type": kind or ("single" if len(values) == 1 else "two-leg"),
        "condition": json.dumps(condition),
        "orders": json.dumps(legs),
    }


def test_a_trigger_has_the_mocks_fields(gtt, shared):
    made = gtt.place(form([98.0]))
    row = gtt.row(str(made["trigger_id"]))
    mock = json.loads(shared("fixtures", "kite", "gtt_get_orders.json").read_text())["data"][0]
    assert set(mock) <= set(row)
    assert set(row["condition"]) == set(mock["condition"])
    assert set(row["orders"][0]) == set(mock["orders"][0])
    assert (row["status"], row["created_at"]) == ("active", "2026-07-13 09:15:00")


@pytest.mark.parametrize(
    ("values", "last", "at", "fires"),
    [
        ([98.0], 100.0, "09:20:00", True),
        ([97.0], 100.0, "09:59:00", False),
        ([120.0], 100.0, "10:00:00", True),
        ([121.0], 100.0, "15:00:00", False),
    ],
)
def test_a_single_trigger_fires_in_the_direction_of_its_last_price(gtt, clock_ns, values, last, at, fires):
    made = gtt.place(form(values, last))
    gtt.book.world.advance(clock_ns(at))
    row = gtt.row(str(made["trigger_id"]))
    assert row["status"] == ("triggered" if fires else "active")
    assert len(gtt.book.rows()) == int(fires)


def test_of_two_legs_one_fires(gtt, clock_ns):
    made = gtt.place(form([97.0, 110.0]))
    gtt.book.world.advance(clock_ns("12:00:00"))
    row = gtt.row(str(made["trigger_id"]))
    assert [leg["result"] is None for leg in row["orders"]] == [True, False]
    result = row["orders"][1]["result"]
    assert (result["triggered_at"], result["order_result"]["status"]) == (120.0, "success")
    assert gtt.book.rows()[0]["order_id"] == result["order_result"]["order_id"]
    assert gtt.book.rows()[0]["status"] == "COMPLETE"


def test_a_result_has_the_mocks_fields(gtt, clock_ns, shared):
    made = gtt.place(form([98.0]))
    gtt.book.world.advance(clock_ns("09:20:00"))
    mock = json.loads(shared("fixtures", "kite", "gtt_get_order.json").read_text())["data"]["orders"][1]["result"]
    result = gtt.row(str(made["trigger_id"]))["orders"][0]["result"]
    assert set(result) == set(mock)
    assert set(result["order_result"]) == set(mock["order_result"])


def test_a_leg_that_is_refused_says_why(quiet_world, clock_ns):
    def poor(form, replaced):
        raise WireRefusal(400, "MarginException", "Insufficient funds.")

    gtt = KiteGtt(KiteBook(quiet_world, "SIM001", poor))
    made = gtt.place(form([98.0]))
    quiet_world.advance(clock_ns("09:20:00"))
    told = gtt.row(str(made["trigger_id"]))["orders"][0]["result"]["order_result"]
    assert told == {"status": "failed", "order_id": "", "rejection_reason": "Insufficient funds."}


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (form([98.0], kind="oco"), "Invalid `type`"),
        (form([98.0], kind="two-leg"), "needs 2 trigger values"),
        (form([98.0, 110.0], kind="single"), "needs 1 trigger values"),
        (form([100.0]), "already met"),
        (form([101.0, 110.0]), "below and above"),
        (form([98.0], order_type="MARKET"), "must be of type LIMIT"),
        (form([98.0], tradingsymbol="NIFTY26JULFUT"), "in the instrument of its condition"),
        (form([98.0], quantity=66), "multiples of the lot"),
        (form([98.0], price=90.03), "Tick size"),
        ({"type": "single", "condition": "{", "orders": "[]"}, "Invalid `condition` or `orders`"),
        ({"type": "single"}, "Invalid `condition` or `orders`"),
    ],
)
def test_what_is_refused(gtt, made, says):
    with pytest.raises(WireRefusal, match=says) as caught:
        gtt.place(made)
    assert caught.value.error_type == "InputException"
    assert gtt.rows() == []


def test_an_unknown_instrument_is_refused(gtt):
    made = form([98.0])
    made["condition"] = made["condition"].replace(NAME, "NOPE")
    with pytest.raises(WireRefusal, match="does not exist"):
        gtt.place(made)


def test_modify_and_delete(gtt, clock_ns):
    trigger = str(gtt.place(form([98.0]))["trigger_id"])
    gtt.modify(trigger, form([50.0]))
    gtt.book.world.advance(clock_ns("09:20:00"))
    assert gtt.row(trigger)["condition"]["trigger_values"] == [50.0]
    assert gtt.row(trigger)["status"] == "active"
    gtt.delete(trigger)
    assert gtt.rows() == []
    with pytest.raises(WireRefusal, match="Couldn't find") as caught:
        gtt.row(trigger)
    assert caught.value.code == 404


def test_a_fired_trigger_cannot_change(gtt, clock_ns):
    trigger = str(gtt.place(form([98.0]))["trigger_id"])
    gtt.book.world.advance(clock_ns("09:20:00"))
    for act in (lambda: gtt.delete(trigger), lambda: gtt.modify(trigger, form([97.0]))):
        with pytest.raises(WireRefusal, match="is triggered"):
            act()


def test_nothing_fires_outside_the_session(make_world, clock_ns):
    world = make_world(
        [("09:10:00", "CE", None, None, None, None, 90.0, 65), ("09:16:00", "CE", None, None, None, None, 91.0, 130)],
        start="09:00:00",
    )
    gtt = KiteGtt(KiteBook(world, "SIM001"))
    trigger = str(gtt.place(form([98.0]))["trigger_id"])
    world.advance(clock_ns("09:14:00"))
    assert gtt.row(trigger)["status"] == "active"
    world.advance(clock_ns("09:15:00"))
    assert gtt.row(trigger)["status"] == "triggered"


def test_triggers_are_on_record(gtt, clock_ns):
    gtt.place(form([98.0]))
    gtt.book.world.advance(clock_ns("09:20:00"))
    assert [e["status"] for e in gtt.book.events if e["kind"] == "gtt"] == ["active", "triggered"]
