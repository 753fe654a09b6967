"""What may stay when trading stops: never more than shrinks the position, stops before targets."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.orders.lifecycle import begin
from toolkit.orders.protection import adding
from toolkit.types import OrderRequest, OrdStatus, OrdType, Side

SYMBOL = "NIFTY 02SEP2025 24500 CE"


def order(name, side, qty, price_p=None, stop_px_p=None, status=OrdStatus.NEW, symbol=SYMBOL):
    kind = OrdType.LIMIT if stop_px_p is None else OrdType.STOP_LIMIT
    request = OrderRequest(
        cl_ord_id=name, symbol=symbol, side=side, order_qty=qty, ord_type=kind, price_p=price_p, stop_px_p=stop_px_p
    )
    return msgspec.structs.replace(begin(request, 0), ord_status=status)


def stay(orders, net):
    gone = {o.cl_ord_id for o in adding(orders, {SYMBOL: net})}
    return [o.cl_ord_id for o in orders if o.cl_ord_id not in gone]


LONG = [
    order("FAR", Side.SELL, 1040, 12100),
    order("NEAR", Side.SELL, 1040, 11800),
    order("STOP", Side.SELL, 1040, 6500, 7000),
    order("HIGH", Side.SELL, 520, 7500, 8000),
    order("BUY", Side.BUY, 65, 9000),
]
SHORT = [
    order("FAR", Side.BUY, 1040, 6000),
    order("NEAR", Side.BUY, 1040, 8000),
    order("STOP", Side.BUY, 1040, 12500, 12000),
    order("LOW", Side.BUY, 520, 11500, 11000),
    order("SELL", Side.SELL, 65, 9900),
]


@pytest.mark.parametrize(
    ("orders", "net", "kept"),
    [
        (LONG, 1040, ["HIGH"]),
        (LONG, 1560, ["STOP", "HIGH"]),
        (LONG, 2600, ["NEAR", "STOP", "HIGH"]),
        (LONG[:2], 1040, ["NEAR"]),
        (LONG[:3], 1040, ["STOP"]),
        (LONG, 0, []),
        (LONG, -65, ["BUY"]),
        (SHORT, -1040, ["LOW"]),
        (SHORT, -1560, ["STOP", "LOW"]),
        (SHORT[:2], -1040, ["NEAR"]),
    ],
)
def test_stops_stay_first_and_the_nearest_of_each(orders, net, kept):
    assert stay(orders, net) == kept


def test_an_order_that_is_leaving_takes_no_place_from_one_that_stays():
    leaving = order("STOP", Side.SELL, 65, 6500, 7000, OrdStatus.PENDING_CANCEL)
    assert stay([leaving, order("GOAL", Side.SELL, 65, 11800)], 65) == ["GOAL"]


def test_an_order_in_doubt_takes_its_place():
    unknown = order("A", Side.SELL, 65, 11800, status=OrdStatus.UNKNOWN)
    assert stay([unknown, order("B", Side.SELL, 65, 11900)], 65) == ["A"]


MADE = st.builds(
    lambda name, side, qty, price_p, stop: order(f"A{name}", side, qty, price_p, price_p if stop else None),
    st.integers(0, 10**6), st.sampled_from(Side), st.integers(1, 300), st.integers(5, 20000), st.booleans(),
)  # fmt: skip


@given(st.lists(MADE, max_size=7, unique_by=lambda o: o.cl_ord_id), st.integers(-400, 400))
def test_whatever_stays_can_only_shrink_the_position(orders, net):
    gone = {o.cl_ord_id for o in adding(orders, {SYMBOL: net})}
    kept = [o for o in orders if o.cl_ord_id not in gone]
    for n in range(len(kept) + 1):
        for some in itertools.combinations(kept, n):
            after = net + sum(o.request.side.sign * o.leaves_qty for o in some)
            assert abs(after) <= abs(net)
            assert after * net >= 0
