"""Positions, funds and margins in Kite's words; the identities that its published rows obey."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit import tables
from toolkit.sim.kite_account import KiteAccount, Need, Open
from toolkit.sim.kite_book import KiteBook
from toolkit.sim.kite_form import WireRefusal, read_form

CE = {
    "exchange": "NFO", "tradingsymbol": "NIFTY2671425000CE", "transaction_type": "BUY", "quantity": "65", "product": "NRML",
    "order_type": "LIMIT", "price": "101",
}  # fmt: skip
FUT = {**CE, "tradingsymbol": "NIFTY26JULFUT", "price": "25041"}
FIELDS = {
    "tradingsymbol", "exchange", "instrument_token", "product", "quantity", "overnight_quantity", "multiplier", "average_price",
    "close_price", "last_price", "value", "pnl", "m2m", "unrealised", "realised", "buy_quantity", "buy_price", "buy_value", "buy_m2m",
    "sell_quantity", "sell_price", "sell_value", "sell_m2m", "day_buy_quantity", "day_buy_price", "day_buy_value", "day_sell_quantity",
    "day_sell_price", "day_sell_value",
}  # fmt: skip


@pytest.fixture
def desk(quiet_world):
    def make(funds_p=1_000_000_00, world=quiet_world):
        book = KiteBook(world, "SIM001")
        return book, KiteAccount(world, book, funds_p, tables.charges())

    return make


def listed(account, name="NIFTY2671425000CE"):
    return account.world.roster.by_name["NFO", name]


def test_a_position_has_every_field_and_obeys_the_identities(desk, clock_ns):
    book, account = desk()
    account.carry(listed(account), "NRML", 65, 9000)
    book.place("regular", CE)
    book.place("regular", {**CE, "transaction_type": "SELL", "price": "99"})
    book.world.advance(clock_ns("10:00:00"))
    (row,) = account.positions()["net"]
    assert set(row) == FIELDS
    assert row["value"] == pytest.approx(row["sell_value"] - row["buy_value"])
    assert row["pnl"] == pytest.approx(row["value"] + row["quantity"] * row["last_price"] * row["multiplier"])
    assert row["m2m"] == pytest.approx(row["sell_m2m"] - row["buy_m2m"] + row["quantity"] * row["last_price"])
    assert (row["quantity"], row["overnight_quantity"], row["buy_quantity"], row["sell_quantity"]) == (65, 65, 130, 65)
    assert row["buy_m2m"] == 65 * 95.0 + 65 * 100.5
    assert row["unrealised"] == row["pnl"]


def test_day_holds_only_todays_trades(desk):
    book, account = desk()
    account.carry(listed(account), "NRML", -65, 9000)
    assert account.positions()["day"] == []
    book.place("regular", CE)
    both = account.positions()
    assert both["net"][0]["quantity"] == 0
    assert both["net"][0]["average_price"] == 0
    assert both["day"][0]["quantity"] == 65
    assert both["day"][0]["overnight_quantity"] == 0


def test_products_are_apart(desk):
    book, account = desk()
    book.place("regular", CE)
    book.place("regular", {**CE, "product": "MIS", "price": "100.5"})
    assert [row["product"] for row in account.positions()["net"]] == ["MIS", "NRML"]
    assert account.net() == {listed(account).key: 130}


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_conversion_moves_units_at_their_cost(desk, side):
    book, account = desk(10_000_000_00)
    price = "101" if side == "BUY" else "99"
    book.place("regular", {**CE, "transaction_type": side, "quantity": "130", "price": price})
    account.convert(listed(account), "NRML", "MIS", side, 65, "day")
    rows = account.positions()["net"]
    assert [(r["product"], abs(r["quantity"])) for r in rows] == [("MIS", 65), ("NRML", 65)]
    assert rows[0]["average_price"] == rows[1]["average_price"] == (100.5 if side == "BUY" else 100.0)


def test_conversion_of_a_carried_position(desk):
    _, account = desk()
    account.carry(listed(account), "NRML", 130, 9000)
    account.convert(listed(account), "NRML", "MIS", "BUY", 65, "overnight")
    assert [(r["product"], r["overnight_quantity"], r["buy_value"]) for r in account.positions()["net"]] == [
        ("MIS", 65, 5850.0),
        ("NRML", 65, 5850.0),
    ]


@pytest.mark.parametrize(
    ("old", "new", "side", "qty", "kind"),
    [("NRML", "NRML", "BUY", 65, "day"), ("NRML", "MIS", "BUY", 130, "day"), ("NRML", "MIS", "SELL", 65, "day"), ("NRML", "MIS", "BUY", 65, "overnight"), ("NRML", "MIS", "BUY", 0, "day"), ("MIS", "NRML", "BUY", 65, "day")],
)  # fmt: skip
def test_what_is_not_there_cannot_be_converted(desk, old, new, side, qty, kind):
    book, account = desk()
    book.place("regular", CE)
    with pytest.raises(WireRefusal, match="Cannot convert"):
        account.convert(listed(account), old, new, side, qty, kind)


def test_a_bought_option_costs_its_premium(desk):
    book, account = desk()
    book.place("regular", CE)
    equity = account.margins()["equity"]
    assert equity["utilised"]["option_premium"] == 65 * 100.5
    assert equity["utilised"]["span"] == 0
    assert equity["net"] == 1_000_000 - 65 * 100.5
    assert account.margins()["commodity"]["enabled"] is False


def test_a_working_buy_blocks_its_price_and_a_closing_buy_does_not(desk):
    book, account = desk()
    book.place("regular", {**CE, "price": "90"})
    assert account.need().premium == 65 * 90
    _, other = desk()
    other.carry(listed(other), "NRML", -65, 9000)
    before = other.need()
    assert other.need([Open(listed(other), 65, 9000)]).premium == before.premium


def test_a_short_option_needs_span_and_exposure(desk):
    book, account = desk()
    book.place("regular", {**CE, "transaction_type": "SELL", "price": "99"})
    need = account.need()
    assert need.span > 100_000
    assert need.exposure > 0.02 * 65 * 25_000
    assert need.premium == -65 * 100.0


def test_a_hedge_lowers_the_margin(desk):
    book, account = desk(10_000_000_00)
    book.place("regular", {**FUT, "transaction_type": "SELL", "price": "25040"})
    naked = account.need().span
    book.place("regular", CE)
    assert account.need().span < naked


def test_funds_that_do_not_suffice_refuse_with_both_figures(desk):
    book, _ = desk(6000_00)
    with pytest.raises(WireRefusal, match=r"Required margin is 6565\.00 but available margin is 6000\.00") as caught:
        book.place("regular", CE)
    assert (caught.value.code, caught.value.error_type) == (400, "MarginException")
    assert book.rows() == []


def test_working_orders_count_against_the_next(desk):
    book, _ = desk(10_000_00)
    book.place("regular", {**CE, "price": "90"})
    with pytest.raises(WireRefusal, match="available margin is 4150"):
        book.place("regular", {**CE, "price": "90"})


def test_a_modification_is_not_counted_twice(desk):
    book, _ = desk(6000_00)
    order_id = book.place("regular", {**CE, "price": "90"})["order_id"]
    book.modify("regular", order_id, {"price": "91"})
    with pytest.raises(WireRefusal, match="Insufficient funds"):
        book.modify("regular", order_id, {"price": "93"})


def test_closing_needs_no_funds(desk):
    book, account = desk(0)
    account.carry(listed(account), "NRML", 65, 9000)
    book.place("regular", {**CE, "transaction_type": "SELL", "price": "99"})
    assert account.net() == {}


def test_a_futures_gain_is_marked(desk):
    book, account = desk(10_000_000_00)
    book.place("regular", FUT)
    assert account.margins()["equity"]["utilised"]["m2m_realised"] == 65 * (25040.0 - 25041.0)


def test_expiry_closes_a_position_at_its_settlement(make_world, desk, clock_ns):
    rows = [("09:15:00", "SPOT", None, None, None, None, 25010.0, None), ("09:15:00", "CE", 20.0, 650, 21.0, 650, 20.0, 650), ("15:29:00", "SPOT", None, None, None, None, 25033.4, None)]  # fmt: skip
    world = make_world(rows, expiry=dt.date(2026, 7, 13))
    book, account = desk(world=world)
    book.place("regular", {**CE, "price": "21"})
    world.advance(clock_ns("15:30:00"))
    (row,) = account.positions()["net"]
    assert (row["quantity"], row["sell_price"], row["pnl"]) == (0, 33.4, pytest.approx(65 * (33.4 - 21.0)))
    assert account.net() == {}
    assert len(book.trades) == 1


def test_order_margins_stand_alone(desk):
    book, account = desk(10_000_000_00)
    book.place("regular", FUT)
    roster = account.world.roster
    sell = read_form("regular", {**FUT, "transaction_type": "SELL"}, roster)
    (row,) = account.order_margins([(sell, 25040.0)])
    assert row["span"] > 100_000
    assert row["total"] == pytest.approx(row["span"] + row["exposure"] + row["option_premium"])
    assert row["charges"]["total"] == pytest.approx(
        sum(
            row["charges"][n]
            for n in ("transaction_tax", "exchange_turnover_charge", "sebi_turnover_charge", "brokerage", "stamp_duty")
        )
        + row["charges"]["gst"]["total"]
    )
    basket = account.basket([(sell, 25040.0)], with_positions=True)
    assert basket["final"]["span"] == pytest.approx(-account.need().span)
    assert set(basket) == {"initial", "final", "orders", "charges"}


def test_a_basket_knows_the_hedge_between_its_orders(desk):
    _, account = desk()
    roster = account.world.roster
    legs = [
        (read_form("regular", {**FUT, "transaction_type": "SELL"}, roster), 25040.0),
        (read_form("regular", FUT, roster), 25040.0),
    ]
    made = account.basket(legs, with_positions=False)
    assert made["initial"]["span"] > 0
    assert made["final"]["span"] < made["initial"]["span"]
    assert made["charges"]["brokerage"] == sum(row["charges"]["brokerage"] for row in made["orders"])


def test_margin_rows_have_the_mocks_fields(desk, shared):
    import json

    mock = json.loads(shared("fixtures", "kite", "order_margins.json").read_text())["data"][0]
    _, account = desk()
    (row,) = account.order_margins([(read_form("regular", CE, account.world.roster), 100.0)])
    assert set(row) == set(mock)
    assert set(row["charges"]) == set(mock["charges"])
    assert set(row["charges"]["gst"]) == set(mock["charges"]["gst"])


def test_segment_margins_have_the_mocks_fields(desk, shared):
    import json

    mock = json.loads(shared("fixtures", "kite", "margins_equity.json").read_text())["data"]
    equity = desk()[1].margins()["equity"]
    assert set(equity) == set(mock)
    assert {name: set(equity[name]) for name in ("available", "utilised")} == {
        name: set(mock[name]) for name in ("available", "utilised")
    }


def test_a_contract_note_repeats_the_order(desk):
    _, account = desk()
    (row,) = account.contract_note([(read_form("regular", CE, account.world.roster), 100.5)])
    assert (row["tradingsymbol"], row["price"], row["quantity"]) == ("NIFTY2671425000CE", 100.5, 65)
    assert row["charges"]["brokerage"] == 20.0


def test_need_adds_up():
    assert Need(1.0, 2.0, 3.0).total == 6.0
