"""Kite's order book over the exchange: life cycles, modifications, protection, slices, icebergs, AMO."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.sim.kite_book import KiteBook
from toolkit.sim.kite_form import WireRefusal

CE = {
    "exchange": "NFO", "tradingsymbol": "NIFTY2671425000CE", "transaction_type": "BUY", "quantity": "65", "product": "NRML",
    "order_type": "LIMIT", "price": "90",
}  # fmt: skip
NEW = ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN"]
CHANGED = ["MODIFY VALIDATION PENDING", "MODIFY PENDING", "MODIFIED", "OPEN"]


@pytest.fixture
def book(quiet_world):
    return KiteBook(quiet_world, "SIM001")


@pytest.fixture
def place(book):
    return lambda variety="regular", **changes: book.place(variety, {**CE, **changes})["order_id"]


def states(book, order_id):
    return [row["status"] for row in book.history(order_id)]


def row(book, order_id):
    return next(r for r in book.rows() if r["order_id"] == order_id)


def updates(book):
    return [(u["status"], u["filled_quantity"]) for u in book.updates]


def test_an_order_that_rests(book, place):
    order_id = place(tag="mine")
    assert states(book, order_id) == NEW
    held = row(book, order_id)
    assert (held["tag"], held["tags"], held["pending_quantity"]) == ("mine", ["mine"], 65)
    assert held["exchange_order_id"] is not None
    assert book.history(order_id)[0]["exchange_order_id"] is None
    assert book.updates == []


def test_ids_are_texts_of_19_digits_that_grow_and_start_with_the_day(place):
    ids = [place() for _ in range(3)]
    assert all(len(i) == 19 and i.isdigit() and i.startswith("260713") for i in ids)
    assert ids == sorted(set(ids))
    assert int(ids[1]) - int(ids[0]) > 1


def test_a_fill_on_arrival(book, place):
    order_id = place(price="101")
    assert states(book, order_id) == [*NEW, "COMPLETE"]
    assert row(book, order_id)["average_price"] == 100.5
    (trade,) = book.order_trades(order_id)
    assert (trade["quantity"], trade["average_price"], trade["fill_timestamp"]) == (65, 100.5, "2026-07-13 09:15:00")
    assert updates(book) == [("COMPLETE", 65)]


def test_a_partial_fill_is_open_with_a_quantity(book, place, clock_ns):
    order_id = place(quantity="260", price="100.5")
    assert states(book, order_id) == [*NEW, "OPEN"]
    held = row(book, order_id)
    assert (held["filled_quantity"], held["pending_quantity"], held["average_price"]) == (130, 130, 100.5)
    assert updates(book) == [("UPDATE", 130)]
    book.world.advance(clock_ns("09:20:00"))
    assert row(book, order_id)["status"] == "COMPLETE"
    assert updates(book)[-1] == ("COMPLETE", 260)
    assert sum(t["quantity"] for t in book.trades) == 260


def test_cancel(book, place):
    order_id = place()
    assert book.cancel("regular", order_id) == {"order_id": order_id}
    assert states(book, order_id) == [*NEW, "CANCEL PENDING", "CANCELLED"]
    held = row(book, order_id)
    assert (held["cancelled_quantity"], held["pending_quantity"]) == (65, 0)
    assert updates(book) == [("CANCELLED", 0)]


def test_a_cancelled_order_keeps_its_fills(book, place):
    order_id = place(quantity="260", price="100.5")
    book.cancel("regular", order_id)
    held = row(book, order_id)
    assert (held["filled_quantity"], held["cancelled_quantity"]) == (130, 130)


@pytest.mark.parametrize("act", ["cancel", "modify"])
def test_a_done_or_unknown_order_cannot_change(book, place, act):
    done = place(price="101")
    for order_id, says in ((done, "already COMPLETE"), ("123", "Couldn't find that `order_id`")):
        with pytest.raises(WireRefusal, match=says) as caught:
            book.cancel("regular", order_id) if act == "cancel" else book.modify("regular", order_id, {"price": "91"})
        assert (caught.value.code, caught.value.error_type) == (400, "OrderException")


def test_modify_keeps_what_it_leaves_out(book, place):
    order_id = place()
    book.modify("regular", order_id, {"price": "91.05"})
    assert states(book, order_id) == [*NEW, *CHANGED]
    held = row(book, order_id)
    assert (held["price"], held["quantity"], held["modified"]) == (91.05, 65, True)
    assert updates(book) == [("UPDATE", 0)]


def test_modify_into_the_market_fills(book, place):
    order_id = place()
    book.modify("regular", order_id, {"price": "101", "quantity": "130"})
    assert states(book, order_id) == [*NEW, *CHANGED, "COMPLETE"]
    assert row(book, order_id)["filled_quantity"] == 130


def test_the_26th_modification_is_refused(book, place):
    order_id = place()
    for i in range(25):
        book.modify("regular", order_id, {"price": str(80 + i % 2)})
    with pytest.raises(WireRefusal, match="Maximum allowed order modifications exceeded") as caught:
        book.modify("regular", order_id, {"price": "85"})
    assert (caught.value.code, caught.value.error_type) == (429, "NetworkException")


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"quantity": "66"}, "multiples of the lot"), ({"price": "90.02"}, "Tick size"), ({"quantity": "1820"}, "freeze")],
)
def test_a_modification_is_checked_like_an_order(book, place, changes, says):
    order_id = place()
    with pytest.raises(WireRefusal, match=says):
        book.modify("regular", order_id, changes)
    assert states(book, order_id) == NEW


def test_quantity_cannot_go_below_what_has_traded(book, place):
    order_id = place(quantity="260", price="100.5")
    with pytest.raises(WireRefusal, match="traded quantity of 130"):
        book.modify("regular", order_id, {"quantity": "130"})


def test_the_exchange_may_refuse_a_modification(book, place):
    order_id = place()
    book.modify("regular", order_id, {"price": "9000"})
    held = row(book, order_id)
    assert (held["status"], held["price"], held["modified"]) == ("OPEN", 90.0, False)
    assert "outside the band" in held["status_message"]


def test_a_limit_order_becomes_a_stop_and_keeps_its_id(book, place, clock_ns):
    order_id = place(quantity="260", price="100.5")
    book.modify("regular", order_id, {"order_type": "SL", "trigger_price": "119", "price": "121"})
    held = row(book, order_id)
    assert (held["status"], held["order_type"], held["filled_quantity"], held["pending_quantity"]) == (
        "TRIGGER PENDING",
        "SL",
        130,
        130,
    )
    book.world.advance(clock_ns("10:00:00"))
    assert states(book, order_id)[-2:] == ["OPEN", "COMPLETE"]
    assert [t["average_price"] for t in book.order_trades(order_id)] == [100.5, 120.5]


def test_a_stop_waits_and_then_takes(book, place, clock_ns):
    order_id = place(transaction_type="SELL", order_type="SL", price="90", trigger_price="99")
    assert states(book, order_id) == [*NEW[:-1], "TRIGGER PENDING"]
    book.world.advance(clock_ns("09:20:00"))
    assert states(book, order_id)[-2:] == ["OPEN", "COMPLETE"]
    assert row(book, order_id)["average_price"] == 98.0


def test_a_market_order_shows_as_the_limit_it_became(book, place):
    order_id = place(order_type="MARKET", price="", market_protection="-1")
    held = row(book, order_id)
    assert (held["order_type"], held["price"], held["market_protection"]) == ("LIMIT", 102.0, 0)
    assert (held["tags"], held["tag"]) == (["mktp", "mktp:2.00"], None)
    assert held["average_price"] == 100.5


def test_a_market_order_keeps_its_own_tag_first(book, place):
    held = row(book, place(order_type="MARKET", price="", market_protection="3.5", tag="mine"))
    assert held["tags"] == ["mine", "mktp", "mktp:3.50"]


def test_a_market_order_without_a_last_price_is_refused(make_world):
    world = make_world([("09:15:00", "CE", 100.0, 65, 101.0, 65, None, None)])
    with pytest.raises(WireRefusal, match="need a last traded price"):
        KiteBook(world, "SIM001").place("regular", {**CE, "order_type": "MARKET", "market_protection": "-1"})


def test_ioc_takes_what_is_there_and_ends(book, place):
    order_id = place(quantity="260", price="100.5", validity="IOC")
    held = row(book, order_id)
    assert (held["status"], held["filled_quantity"], held["cancelled_quantity"]) == ("CANCELLED", 130, 130)


def test_ttl_ends_after_its_minutes(book, place, clock_ns):
    order_id = place(validity="TTL", validity_ttl="2")
    book.world.advance(clock_ns("09:16:59"))
    assert row(book, order_id)["status"] == "OPEN"
    book.world.advance(clock_ns("09:17:00"))
    assert row(book, order_id)["status"] == "CANCELLED"


def test_a_day_order_ends_at_the_close(book, place, clock_ns):
    order_id = place()
    book.world.advance(clock_ns("15:30:00"))
    held = row(book, order_id)
    assert (held["status"], held["status_message"]) == ("CANCELLED", "day order expired at the close")


def test_a_halt_rejects_in_the_book(book, place):
    book.world.exchange.halt()
    held = row(book, place())
    assert (held["status"], held["exchange_order_id"]) == ("REJECTED", None)
    assert "halted" in held["status_message"]
    assert updates(book) == [("REJECTED", 0)]
    book.world.exchange.resume()
    assert row(book, place())["status"] == "OPEN"


def test_closed_markets_take_only_after_market_orders(book, place, clock_ns):
    with pytest.raises(WireRefusal, match="cannot be placed during market hours"):
        place("amo")
    book.world.advance(clock_ns("15:31:00"))
    with pytest.raises(WireRefusal, match="Markets are closed right now"):
        place()
    assert states(book, place("amo")) == ["AMO REQ RECEIVED"]


def test_an_after_market_order_goes_out_at_the_open(make_world, clock_ns):
    world = make_world(
        [("09:10:00", "CE", 100.0, 650, 100.5, 130, 100.0, 65), ("09:15:30", "CE", 100.0, 650, 100.5, 130, 100.0, 65)],
        start="09:11:00",
    )
    book = KiteBook(world, "SIM001")
    order_id = book.place("amo", {**CE, "price": "101"})["order_id"]
    other = book.place("amo", CE)["order_id"]
    book.modify("amo", order_id, {"price": "102"})
    assert states(book, order_id)[-1] == "AMO REQ RECEIVED"
    book.cancel("amo", other)
    world.advance(clock_ns("09:15:10"))
    assert states(book, order_id)[-4:] == ["VALIDATION PENDING", "OPEN PENDING", "OPEN", "COMPLETE"]
    assert (row(book, order_id)["price"], row(book, order_id)["variety"]) == (102.0, "amo")
    assert states(book, other)[-1] == "CANCELLED"


def test_autoslice_makes_children_that_name_their_parent(book):
    made = book.place("regular", {**CE, "quantity": "4550", "autoslice": "true", "tag": "mine"})
    children = [child["order_id"] for child in made["children"]]
    assert [row(book, c)["quantity"] for c in children] == [1755, 1755, 1040]
    assert all(row(book, c)["tags"] == ["mine", "autoslice", f"autoslice:{made['order_id']}"] for c in children)
    assert made["order_id"] not in [r["order_id"] for r in book.rows()]


def test_autoslice_may_fail_in_part(quiet_world):
    def margin(form, replaced):
        if form.quantity == 1755:
            raise WireRefusal(400, "MarginException", "Insufficient funds.")

    made = KiteBook(quiet_world, "SIM001", margin).place("regular", {**CE, "quantity": "1820", "autoslice": "true"})
    assert made["children"][0] == {
        "error": {"code": 400, "error_type": "MarginException", "message": "Insufficient funds.", "data": None}
    }
    assert set(made["children"][1]) == {"order_id"}


def test_an_iceberg_shows_one_leg_at_a_time(book, place, clock_ns):
    first = place("iceberg", quantity="325", iceberg_legs="3", iceberg_quantity="130", price="100.5")
    assert [(r["quantity"], r["status"], r["meta"]["iceberg"]["leg"]) for r in book.rows()] == [
        (130, "COMPLETE", 1),
        (130, "OPEN", 2),
    ]
    assert book.rows()[0]["order_id"] == first
    assert book.rows()[0]["meta"]["iceberg"] == {
        "leg": 1,
        "legs": 3,
        "leg_quantity": 130,
        "total_quantity": 325,
        "remaining_quantity": 195,
    }
    book.world.advance(clock_ns("09:20:00"))
    assert [(r["quantity"], r["status"]) for r in book.rows()] == [
        (130, "COMPLETE"),
        (130, "COMPLETE"),
        (65, "COMPLETE"),
    ]


def test_a_cancelled_leg_ends_the_iceberg(book, place, clock_ns):
    place("iceberg", quantity="260", iceberg_legs="2", iceberg_quantity="130", price="90")
    book.cancel("iceberg", book.rows()[0]["order_id"])
    book.world.advance(clock_ns("10:00:00"))
    assert [r["status"] for r in book.rows()] == ["CANCELLED"]


def test_a_refused_order_is_not_in_the_book(book, place):
    with pytest.raises(WireRefusal):
        place(quantity="1")
    assert book.rows() == []
    assert book.events == []


def test_every_state_and_trade_is_an_event(book, place):
    order_id = place(price="101")
    assert [(e["kind"], e.get("status")) for e in book.events] == [("order", s) for s in NEW] + [
        ("trade", None),
        ("order", "COMPLETE"),
    ]
    assert all(e["order_id"] == order_id for e in book.events)


def test_the_same_day_gives_the_same_book(make_world, clock_ns):
    def run():
        world = make_world(
            [
                ("09:15:00", "CE", 100.0, 650, 100.5, 130, 100.0, 1300),
                ("09:20:00", "CE", 98.0, 650, 98.5, 650, 98.0, 2600),
            ]
        )
        book = KiteBook(world, "SIM001")
        for i in range(30):
            book.place(
                "regular",
                {
                    **CE,
                    "price": str(95 + i % 7),
                    "quantity": str(65 * (1 + i % 3)),
                    "transaction_type": "BUY" if i % 2 else "SELL",
                },
            )
        world.advance(clock_ns("15:30:00"))
        return book.rows(), book.trades, book.events, book.updates

    assert run() == run()


def test_better_prices_and_older_orders_go_first(book, place, clock_ns):
    late_good, old, young = place(price="99"), place(price="98.5", quantity="650"), place(price="98.5")
    best = place(price="99.5")
    book.world.advance(clock_ns("09:20:00"))
    assert [t["order_id"] for t in book.trades] == [best, late_good, old]
    assert row(book, young)["filled_quantity"] == 0


ACTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("place"),
            st.fixed_dictionaries(
                {
                    "transaction_type": st.sampled_from(["BUY", "SELL"]),
                    "quantity": st.integers(1, 60).map(lambda lots: str(65 * lots)),
                    "price": st.integers(90, 125).map(str),
                    "order_type": st.sampled_from(["LIMIT", "LIMIT", "SL", "MARKET"]),
                    "trigger_price": st.integers(90, 125).map(str),
                    "validity": st.sampled_from(["DAY", "DAY", "IOC", "TTL"]),
                    "validity_ttl": st.just("3"),
                    "market_protection": st.just("-1"),
                    "autoslice": st.sampled_from(["true", "false"]),
                }
            ),
        ),
        st.tuples(
            st.just("modify"),
            st.tuples(
                st.integers(0, 30),
                st.dictionaries(st.sampled_from(["price", "trigger_price"]), st.integers(90, 125).map(str)),
                st.sampled_from(
                    [{}, {"quantity": "195"}, {"order_type": "SL"}, {"order_type": "LIMIT"}, {"validity": "IOC"}]
                ),
            ),
        ),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.integers(1, 3000)),
        st.tuples(st.just("halt"), st.booleans()),
    ),
    max_size=25,
)
MOVES = [
    ("09:15:00", "CE", 100.0, 650, 100.5, 130, 100.0, 1300),
    ("09:20:00", "CE", 98.0, 650, 98.5, 650, 98.0, 2600),
    ("09:40:00", "CE", 110.0, 195, 110.5, 325, 110.0, 3250),
    ("10:00:00", "CE", 120.0, 650, 120.5, 650, 120.0, 3900),
]


def do(book, act, given_):
    ids = list(book.orders)
    if act == "place":
        book.place("regular", {**CE, **given_})
    elif act == "wait":
        book.world.advance(book.world.now_ns + given_ * 10**9)
    elif act == "halt":
        (book.world.exchange.halt if given_ else book.world.exchange.resume)()
    elif ids and act == "cancel":
        book.cancel("regular", ids[given_ % len(ids)])
    elif ids:
        number, prices, more = given_
        book.modify("regular", ids[number % len(ids)], {**prices, **more})


def consistent(book):
    for row in book.rows():
        trades = book.order_trades(row["order_id"])
        filled = sum(trade["quantity"] for trade in trades)
        value = sum(trade["quantity"] * trade["average_price"] for trade in trades)
        assert row["filled_quantity"] == filled
        assert row["average_price"] == pytest.approx(value / filled if filled else 0)
        assert (
            row["filled_quantity"] + row["pending_quantity"] + row["cancelled_quantity"] == row["quantity"]
            or row["status"] == "REJECTED"
        )
        assert (row["status"] == "COMPLETE") == (filled == row["quantity"])
        history = book.history(row["order_id"])
        assert {k: history[-1][k] for k in ("status", "quantity", "filled_quantity", "price")} == {
            k: row[k] for k in ("status", "quantity", "filled_quantity", "price")
        }
        done = [i for i, state in enumerate(history) if state["status"] in ("COMPLETE", "CANCELLED", "REJECTED")]
        assert done in ([], [len(history) - 1]), "nothing follows an end"
        steps = [state["filled_quantity"] for state in history]
        assert steps == sorted(steps)
        for trade in trades:
            sign = 1 if row["transaction_type"] == "BUY" else -1
            limits = [state["price"] for state in history]
            assert any(sign * (trade["average_price"] - limit) <= 1e-9 for limit in limits), (
                "never worse than a limit it had"
            )


@settings(max_examples=60, deadline=None)
@given(ACTS)
def test_whatever_a_user_does_the_book_adds_up(make_world, acts):
    book = KiteBook(make_world(MOVES, closes={"CE": 95.0}), "SIM001")
    for act, given_ in acts:
        with contextlib.suppress(WireRefusal):
            do(book, act, given_)
        consistent(book)
    book.world.advance(book.world.bounds[1])
    consistent(book)
    assert all(row["status"] in ("COMPLETE", "CANCELLED", "REJECTED") for row in book.rows())
    assert book.world.exchange.working() == ()
