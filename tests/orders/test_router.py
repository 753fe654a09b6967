"""The smart order router: where an order goes, and why."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market.quotes import Quote
from toolkit.orders.router import Venue, route
from toolkit.types import OrderRequest, OrdType, Product, Side, TimeInForce

OPTION = "NIFTY 02SEP2025 24500 CE"


def order(qty=300, side=Side.BUY, **more) -> OrderRequest:
    fields = {"cl_ord_id": "A1", "symbol": OPTION, "side": side, "order_qty": qty, "price_p": 10_100}
    return OrderRequest(**{**fields, **more})


def venue(account="ONE", **more) -> Venue:
    fields = {
        "account": account, "broker": "kite", "exchange": "NSE",
        "ord_types": (OrdType.LIMIT,), "time_in_force": (TimeInForce.DAY,), "products": (Product.NRML, Product.CNC),
        "lot": 75, "tick_p": 5, "freeze_qty": 1800, "max_slices": 10, "healthy": True,
        "funds_p": 10**9, "margin_p": 10_000, "quote": Quote(ts_ns=0, bid_p=9_950, bid_qty=7500, ask_p=10_000, ask_qty=7500),
    }  # fmt: skip
    return Venue(**{**fields, **more})


def shares(plan) -> dict[str, int]:
    found: dict[str, int] = {}
    for child in plan.children:
        name = f"{child.account}/{child.exchange}"
        found[name] = found.get(name, 0) + child.order_qty
    return found


def test_two_accounts_of_unequal_margin_share_the_order_by_what_each_can_carry():
    poor = venue("ONE", funds_p=10_000 * 160, cost_p=1)
    rich = venue("TWO", funds_p=10**9, cost_p=2)
    plan = route(order(600), [rich, poor])
    assert plan.ok
    assert shares(plan) == {"ONE/NSE": 150, "TWO/NSE": 450}


def test_an_unhealthy_account_takes_nothing_and_says_why():
    sick = venue("ONE", healthy=False, reason="auth_expired: log in again", cost_p=0)
    plan = route(order(300), [sick, venue("TWO", cost_p=50)])
    assert shares(plan) == {"TWO/NSE": 300}
    assert "ONE@kite/NSE: not used, auth_expired: log in again" in plan.why


def test_all_unhealthy_leaves_the_order_without_a_place():
    plan = route(order(300), [venue(healthy=False, reason="halted")])
    assert not plan.ok
    assert (plan.left_qty, plan.children) == (300, ())
    assert plan.why[-1] == "300 of 300 units have no place: nothing is sent"


def share(exchange, ask_p, ask_qty, bid_p=None, bid_qty=None, **more) -> Venue:
    quote = Quote(ts_ns=0, ask_p=ask_p, ask_qty=ask_qty, bid_p=bid_p, bid_qty=bid_qty)
    return venue("ONE", exchange=exchange, lot=1, freeze_qty=None, quote=quote, **more)


def test_a_share_on_two_exchanges_sweeps_the_better_price_first():
    nse, bse = share("NSE", 150_010, 100), share("BSE", 150_000, 30)
    plan = route(order(80, symbol="RELIANCE EQ", price_p=150_050, product=Product.CNC), [nse, bse])
    assert shares(plan) == {"ONE/BSE": 30, "ONE/NSE": 50}


def test_charges_decide_between_equal_prices():
    nse, bse = share("NSE", 150_000, 100, cost_p=11), share("BSE", 150_000, 100, cost_p=10)
    plan = route(order(80, symbol="RELIANCE EQ", price_p=150_050, product=Product.CNC), [nse, bse])
    assert shares(plan) == {"ONE/BSE": 80}


def test_units_shown_beyond_the_limit_are_not_swept():
    nse, bse = share("NSE", 150_040, 100), share("BSE", 150_000, 30)
    plan = route(order(80, symbol="RELIANCE EQ", price_p=150_010, product=Product.CNC), [nse, bse])
    assert shares(plan) == {"ONE/BSE": 80}


def test_a_sale_goes_to_the_higher_bid_after_costs():
    nse = share("NSE", None, None, bid_p=150_000, bid_qty=100, cost_p=30)
    bse = share("BSE", None, None, bid_p=149_980, bid_qty=100, cost_p=5)
    plan = route(order(50, Side.SELL, symbol="RELIANCE EQ", price_p=149_900, product=Product.CNC), [nse, bse])
    assert shares(plan) == {"ONE/BSE": 50}


def test_both_exchanges_of_an_account_share_its_funds():
    nse = share("NSE", 150_000, 100, funds_p=1_000_000, margin_p=20_000)
    bse = share("BSE", 150_000, 100, funds_p=1_000_000, margin_p=20_000)
    plan = route(order(80, symbol="RELIANCE EQ", price_p=150_050, product=Product.CNC), [nse, bse])
    assert sum(shares(plan).values()) == 50
    assert plan.left_qty == 30


def test_a_position_is_closed_where_it_is():
    holder = venue("TWO", net_qty=-300, funds_p=None, margin_p=None, cost_p=100)
    plan = route(order(300), [venue("ONE"), holder])
    assert shares(plan) == {"TWO/NSE": 300}
    assert "TWO@kite/NSE: 300 units close its position of -300" in plan.why


def test_open_orders_on_the_side_count_before_a_position_is_closed():
    holder = venue("TWO", net_qty=-300, working_qty=225, funds_p=None)
    plan = route(order(300), [venue("ONE"), holder])
    assert shares(plan) == {"TWO/NSE": 75, "ONE/NSE": 225}


def test_unknown_funds_or_margin_open_nothing():
    for blind in (venue(funds_p=None), venue(margin_p=None)):
        plan = route(order(300), [blind])
        assert plan.left_qty == 300
        assert "its funds or the margin are unknown" in plan.why[0]


def test_an_unknown_quote_comes_last():
    plan = route(order(300), [venue("ONE", quote=None), venue("TWO")])
    assert shares(plan) == {"TWO/NSE": 300}


def test_unknown_costs_come_after_known_ones_and_are_not_told_as_none():
    plan = route(order(300), [venue("ONE", cost_p=None), venue("TWO", cost_p=900)])
    assert shares(plan) == {"TWO/NSE": 300}
    plan = route(order(300), [venue("ONE", quote=None), venue("TWO", cost_p=None)])
    assert shares(plan) == {"TWO/NSE": 300}
    assert "shown at 100.00 a unit without its costs, which are unknown" in plan.why[0]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"ord_types": (OrdType.STOP_LIMIT,)}, "it does not take LIMIT"),
        ({"time_in_force": (TimeInForce.IOC,)}, "it does not take DAY"),
        ({"products": (Product.MIS,)}, "it does not take NRML"),
        ({"messages_left": 0}, "its message budget of this second is used up"),
    ],
)
def test_what_a_broker_cannot_do_is_routed_round(more, fault):
    plan = route(order(300), [venue("ONE", **more), venue("TWO")])
    assert shares(plan) == {"TWO/NSE": 300}
    assert plan.why[0] == f"ONE@kite/NSE: not used, {fault}"


def test_pins_are_kept():
    plan = route(order(300), [venue("ONE"), venue("TWO", cost_p=99)], account="TWO")
    assert shares(plan) == {"TWO/NSE": 300}
    assert route(order(300), [venue("ONE")], broker="xts-pro").left_qty == 300


def test_slices_are_legal_and_leave_in_batches_of_the_message_budget():
    plan = route(order(6000), [venue(messages_left=2, freeze_qty=1801)])
    assert [(c.order_qty, c.batch) for c in plan.children] == [(1800, 0), (1800, 0), (1800, 1), (600, 1)]


def test_the_slice_cap_of_a_broker_bounds_its_share():
    plan = route(order(6000), [venue("ONE", max_slices=2), venue("TWO", cost_p=9)])
    assert shares(plan) == {"ONE/NSE": 3600, "TWO/NSE": 2400}


def test_two_venues_of_one_name_and_no_quantity_are_refused():
    with pytest.raises(BadData, match="named twice, was ONE@kite/NSE, ONE@kite/NSE"):
        route(order(), [venue(), venue()])
    with pytest.raises(BadData, match="positive quantity, was 0"):
        route(order(0), [venue()])


@st.composite
def worlds(draw):
    lot = draw(st.sampled_from([1, 75]))
    purses = {(a, b): draw(st.sampled_from([None, 0, 500_000, 10**9])) for a in ("A", "B") for b in ("kite", "xts-pro")}
    venues = [
        venue(
            account, broker=broker, exchange=exchange, lot=lot, freeze_qty=draw(st.sampled_from([None, 1800])),
            funds_p=purses[account, broker], margin_p=draw(st.sampled_from([None, 0, 10_000])),
            net_qty=lot * draw(st.integers(-5, 5)), working_qty=lot * draw(st.integers(0, 3)), healthy=draw(st.booleans()),
            messages_left=draw(st.integers(0, 8)), max_slices=draw(st.integers(1, 3)), cost_p=draw(st.integers(0, 50)),
            quote=draw(st.sampled_from([None, Quote(ts_ns=0, bid_p=9_900, bid_qty=150, ask_p=10_000, ask_qty=225)])),
        )
        for account in ("A", "B") for broker in ("kite", "xts-pro") for exchange in ("NSE", "BSE")
    ]  # fmt: skip
    return order(lot * draw(st.integers(1, 90)), draw(st.sampled_from(list(Side)))), venues, draw(st.integers(0, 99))


@given(worlds())
def test_whatever_the_venues_nothing_is_lost_doubled_or_beyond_a_limit(world):
    wanted, venues, seed = world
    plan = route(wanted, venues)
    shuffled = list(venues)
    random.Random(seed).shuffle(shuffled)
    assert route(wanted, shuffled) == plan
    assert sum(c.order_qty for c in plan.children) + plan.left_qty == wanted.order_qty
    assert len({line.split(":")[0] for line in plan.why} & {v.label for v in venues}) == len(venues)
    assert msgspec.json.encode(plan)
    by_label = {v.label: v for v in venues}
    opened: dict[tuple[str, str], int] = {}
    for label, found in by_label.items():
        mine = [c for c in plan.children if f"{c.account}@{c.broker}/{c.exchange}" == label]
        qty = sum(c.order_qty for c in mine)
        if not qty:
            continue
        assert found.healthy
        assert found.messages_left > 0
        assert all(c.order_qty % found.lot == 0 for c in mine)
        closing = max(0, abs(found.net_qty) - found.working_qty) if found.net_qty * wanted.side.sign < 0 else 0
        if qty > closing:
            assert found.funds_p is not None
            assert found.margin_p is not None
            purse = (found.account, found.broker)
            opened[purse] = opened.get(purse, 0) + (qty - closing) * found.margin_p
            assert opened[purse] <= found.funds_p
        if found.freeze_qty is not None:
            assert max(c.order_qty for c in mine) <= 1800
            assert len(mine) <= found.max_slices
        for batch in {c.batch for c in mine}:
            assert sum(c.batch == batch for c in mine) <= found.messages_left
