"""Orders of several clients at one exchange: life cycles, events, changes, and what goes wrong."""

from __future__ import annotations

import pytest

from toolkit.sim.xts_book import XtsBook
from toolkit.sim.xts_form import XtsRefusal, order_form
from toolkit.sim.xts_install import Install
from toolkit.sim.xts_names import Directory
from toolkit.sim.xts_order import DONE

CE = {
    "exchangeSegment": "NSEFO", "exchangeInstrumentID": 40001, "productType": "NRML", "orderType": "LIMIT",
    "orderSide": "BUY", "timeInForce": "DAY", "orderQuantity": 65, "limitPrice": 90, "stopPrice": 0,
    "orderUniqueIdentifier": "tag0001",
}  # fmt: skip


@pytest.fixture
def make(quiet_world):
    def book(**settings):
        names = Directory(quiet_world.roster)
        return XtsBook(quiet_world, names, "DLR01", ("CLI01", "CLI02"), Install(profile="dealer_named", **settings))

    return book


def place(book, client="CLI01", **changes):
    return book.place(client, order_form({**CE, **changes}, book.directory, book.install))


def change(**changes):
    return {
        "modifiedProductType": "NRML", "modifiedOrderType": "LIMIT", "modifiedOrderQuantity": 65,
        "modifiedDisclosedQuantity": 0, "modifiedLimitPrice": 91, "modifiedStopPrice": 0, "modifiedTimeInForce": "DAY",
        **changes,
    }  # fmt: skip


def states(book, order):
    return [row["OrderStatus"] for row in book.history(order)]


def test_two_clients_at_one_exchange_share_what_is_displayed(make):
    book = make()
    first = place(book, orderQuantity=130, limitPrice=101)
    second = place(book, "CLI02", limitPrice=101)
    assert (states(book, first), states(book, second)) == (["PendingNew", "New", "Filled"], ["PendingNew", "New"])
    assert [(t.client, t.qty, t.px_p) for t in book.trades] == [("CLI01", 130, 10050)]
    assert book.books["CLI01"].trades[0]["quantity"] == 130
    assert book.books["CLI02"].trades == []


def test_events_tell_every_state_in_order_and_once(make):
    book = make()
    order = place(book, limitPrice=101)
    assert [(name, row["OrderStatus"]) for name, row in book.events] == [
        ("order", "PendingNew"),
        ("order", "New"),
        ("order", "Filled"),
        ("trade", "Filled"),
    ]
    numbers = [row["SequenceNumber"] for name, row in book.events if name == "order"]
    assert numbers == sorted(set(numbers))
    assert {row["kind"] for row in book.told} == {"order", "trade"}
    assert all(row["order_id"] == order.order_id for row in book.told)


def test_partial_fills_keep_their_quantities_to_the_end(make, clock_ns):
    book = make()
    order = place(book, orderQuantity=260, limitPrice=100.5)
    assert (order.status, order.filled, order.leaves) == ("PartiallyFilled", 130, 130)
    book.world.advance(clock_ns("09:20:00"))
    assert (order.status, order.filled) == ("Filled", 260)
    assert [trade.index for trade in book.trades] == [1, 2]
    assert len({trade.exec_id for trade in book.trades}) == 2
    row = book.row(order)
    assert (row["OrderAverageTradedPrice"], row["LeavesQuantity"]) == (f"{order.value_p / 260 / 100:,.2f}", 0)


def test_ioc_cancels_its_rest_and_day_orders_expire(make, clock_ns):
    book = make()
    ioc = place(book, orderQuantity=195, limitPrice=100.5, timeInForce="IOC")
    assert (ioc.status, ioc.filled, book.row(ioc)["LeavesQuantity"]) == ("Cancelled", 130, 0)
    rests = place(book, limitPrice=50)
    book.world.advance(clock_ns("15:30:00"))
    assert (rests.status, rests.reason) == ("Expired", "day order expired at the close")
    late = place(book)
    assert (late.status, late.reason) == ("Rejected", "OEMS:RMS : The market is closed")


@pytest.mark.parametrize("word", ["New", "Trigger Pending"])
def test_a_stop_waits_and_then_works(make, clock_ns, word):
    book = make(stops=word)
    order = place(book, orderType="STOPLIMIT", stopPrice=110, limitPrice=125)
    assert states(book, order) == ["PendingNew", word]
    book.world.advance(clock_ns("10:00:00"))
    assert states(book, order)[2:] == ["New", "Filled"]


def test_market_orders_are_held_within_reach_of_the_last_price(make):
    book = make()
    order = place(book, orderType="MARKET", limitPrice=0)
    assert (order.status, order.price_p, book.row(order)["OrderPrice"], book.row(order)["OrderType"]) == (
        "Filled",
        10500,
        0,
        "Market",
    )
    sell = place(book, orderType="MARKET", orderSide="SELL", limitPrice=0)
    assert (sell.status, sell.price_p) == ("Filled", 9500)


def test_a_market_order_needs_a_last_price(make_world):
    world = make_world([("09:15:00", "CE", 100.0, 65, 101.0, 65, None, None)])
    book = XtsBook(world, Directory(world.roster), "SIM", ("SIM",), Install())
    order = place(book, "SIM", orderType="MARKET", limitPrice=0)
    assert (order.status, order.reason) == ("Rejected", "OEMS:RMS : No last price for a market order")


def test_a_change_keeps_what_has_traded(make):
    book = make()
    order = place(book, orderQuantity=260, limitPrice=100.5)
    book.modify(order, change(modifiedOrderQuantity=195, modifiedLimitPrice=99))
    assert (order.status, order.filled, order.leaves, order.form.price_p) == ("Replaced", 130, 65, 9900)
    with pytest.raises(XtsRefusal, match="Bad Request"):
        book.modify(order, change(modifiedOrderQuantity=130))
    assert order.status == "Replaced"


def test_a_change_the_exchange_refuses_restores_the_terms(make):
    book = make()
    order = place(book)
    book.modify(order, change(modifiedLimitPrice=91.03, modifiedOrderQuantity=130))
    assert (order.status, order.form.price_p, order.form.quantity) == ("New", 9000, 65)
    assert order.reason.startswith("price must be a positive multiple of the tick")
    assert states(book, order) == ["PendingNew", "New", "PendingReplace", "New"]


@pytest.mark.parametrize(
    "changes",
    [
        {"modifiedOrderType": "STOPLIMIT", "modifiedStopPrice": 110, "modifiedLimitPrice": 125},
        {"modifiedTimeInForce": "IOC"},
    ],
)
def test_another_kind_of_order_goes_out_under_another_name(make, changes):
    book = make()
    order = place(book)
    book.modify(order, change(**changes))
    assert order.sent == f"{order.order_id}R1"
    assert order.status == ("Cancelled" if "modifiedTimeInForce" in changes else "New")
    assert len(book.orders) == 1


def test_done_orders_are_left_alone(make):
    book = make()
    order = place(book, limitPrice=101)
    assert order.status in DONE
    for act in (book.cancel, lambda o: book.modify(o, change())):
        with pytest.raises(XtsRefusal, match="already Filled"):
            act(order)
    assert book.working() == []


def test_margin_words_reject_and_refuse(make):
    book = make()
    order = place(book)
    book.margin = lambda client, form, replaced: "Margin Exceeds" if form.quantity > 65 else ""
    assert place(book, orderQuantity=130).reason == "OEMS:RMS : Margin Exceeds"
    with pytest.raises(XtsRefusal, match="Margin Exceeds"):
        book.modify(order, change(modifiedOrderQuantity=130))
    assert book.working() == [order]


@pytest.mark.parametrize("given", ["{}", "{}.0", " {} "])
def test_orders_are_found_in_any_spelling_of_their_id(make, given):
    book = make()
    order = place(book)
    assert book.find(given.format(order.order_id), ("CLI01",)) is order
    assert book.find(float(order.order_id), ("CLI01", "CLI02")) is order


@pytest.mark.parametrize("given", [None, "", "x", "nan", float("inf"), 1, []])
def test_others_are_not_found(make, given):
    book = make()
    order = place(book)
    for wanted, clients in ((given, ("CLI01",)), (order.order_id, ("CLI02",))):
        with pytest.raises(XtsRefusal, match="order not found"):
            book.find(wanted, clients)
