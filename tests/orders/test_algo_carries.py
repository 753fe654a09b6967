"""Every algorithm and every word of a leg: carried to the children, or refused before anything is journaled."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from toolkit.errors import BadOrder
from toolkit.orders.algo_carries import CARRIES, refuse
from toolkit.orders.algos import ALGOS, NAMES
from toolkit.types import OrderRequest, OrdType, Product, Side, TimeInForce

TEXTS = {
    "twap": "twap duration_s=5 slices=1",
    "vwap": "vwap duration_s=5 every_s=1",
    "pov": "pov every_s=1 rate_pct=50",
    "target": "target net_lots=1 step_s=1",
    "delta_hedge": "delta_hedge band=10 step_s=1",
    "legs": "legs kind=entry",
    "premium_stop": "premium_stop stop=50",
}
PRICES = {
    OrdType.LIMIT: {"price_p": 10040},
    OrdType.MARKET: {},
    OrdType.STOP: {"stop_px_p": 10500},
    OrdType.STOP_LIMIT: {"stop_px_p": 10500, "price_p": 10600},
}


def asked(f, name, kind, tif):
    """The leg in question, with what its algorithm needs beside it."""
    leg = msgspec.structs.replace(
        f.leg(f.call, "BUY", 75), ord_type=kind, time_in_force=tif, product=Product.MIS, **PRICES[kind]
    )
    return [leg, *([f.leg(f.put, "BUY", 75, price=95.0)] if ALGOS[name].least_legs == 2 else [])]


def work(f, name, legs):
    """Start it over a short call and let a few seconds of trade go by."""
    f.elsewhere(f.call, -75)
    f.deltas[f.call] = 0.5
    f.core.book.volumes[f.call] = 1000
    f.run(TEXTS.get(name, name), *legs)
    f.wait(1)
    f.quote(f.call, 99.8)
    for _ in range(12):
        f.core.book.volumes[f.call] += 500
        f.wait(1)
    return [request for request in f.sent if request.symbol == f.call]


def test_the_table_names_every_algorithm():
    assert tuple(CARRIES) == NAMES


@pytest.mark.parametrize(("name", "kind", "tif"), list(itertools.product(NAMES, OrdType, TimeInForce)))
def test_a_leg_is_carried_whole_or_refused_in_one_line(floor, name, kind, tif):
    f = floor()
    legs, can = asked(f, name, kind, tif), CARRIES[name]
    wrong = [("ord_type", kind, can.ord_types)] if kind not in can.ord_types else []
    wrong += [("time_in_force", tif, can.time_in_force)] if tif not in can.time_in_force else []
    if wrong:
        before = len(f.sink.records)
        with pytest.raises(BadOrder) as caught:
            f.run(TEXTS.get(name, name), *legs)
        rule, value, known = wrong[0]
        assert (caught.value.rule, caught.value.value) == (rule, str(value))
        assert caught.value.limit == ", ".join(known)
        assert str(value) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(f.sink.records) == before, "a refusal leaves no trace"
        return
    sent = work(f, name, legs)
    assert sent, f.text
    assert {request.product for request in sent} == {Product.MIS}
    for request in sent:
        if tif is TimeInForce.IOC:
            assert request.time_in_force is TimeInForce.IOC
        if kind is OrdType.LIMIT:
            assert request.price_p <= 10040
        if legs[0].stop_px_p is not None and name != "trailing_stop":
            assert (request.ord_type, request.stop_px_p) == (OrdType.STOP_LIMIT, 10500), "nothing but its stop leaves"
        if kind is OrdType.STOP_LIMIT:
            assert request.price_p - request.stop_px_p == 100, "the limit keeps its distance, trailing or not"


@pytest.mark.parametrize("name", [name for name in NAMES if OrdType.MARKET in CARRIES[name].ord_types])
def test_the_price_of_a_market_leg_bounds_its_children_or_is_refused(floor, name):
    f = floor()
    legs = [msgspec.structs.replace(leg, price_p=10020) for leg in asked(f, name, OrdType.MARKET, TimeInForce.DAY)[:1]]
    legs += asked(f, name, OrdType.MARKET, TimeInForce.DAY)[1:]
    if name in ("target", "delta_hedge", "trailing_stop"):
        with pytest.raises(BadOrder, match=r"leave the price out, was 100\.20"):
            f.run(TEXTS.get(name, name), *legs)
        return
    sent = work(f, name, legs)
    assert sent, f.text
    assert max(request.price_p for request in sent if request.side is Side.BUY) <= 10020


LEG = OrderRequest(cl_ord_id="A1", symbol="X", side=Side.BUY, order_qty=75)


@pytest.mark.parametrize(
    ("name", "fields", "rule", "match"),
    [
        ("twap", {}, "price", "a LIMIT leg in X needs a price"),
        ("stop", {"ord_type": OrdType.STOP}, "stop_px", "a STOP leg in X needs stop_px, was nothing"),
        ("trailing_stop", {"ord_type": OrdType.STOP_LIMIT, "price_p": 100}, "stop_px", "needs stop_px"),
        ("oco", {"ord_type": OrdType.STOP_LIMIT, "stop_px_p": 100}, "price", "needs a price"),
        ("bracket", {"ord_type": OrdType.STOP, "stop_px_p": 100, "price_p": 105}, "price", "leave the price out, was 1.05"),
        ("twap", {"ord_type": OrdType.MARKET, "stop_px_p": 100}, "stop_px", "takes no stop_px, was 1.00"),
        ("chase", {"price_p": 100, "stop_px_p": 90}, "stop_px", "takes no stop_px, was 0.90"),
        ("twap", {"ord_type": OrdType.MARKET, "stop_px_p": "x"}, "stop_px", "was 'x'"),
    ],
)  # fmt: skip
def test_a_price_or_a_trigger_is_given_where_it_is_kept_and_nowhere_else(name, fields, rule, match):
    with pytest.raises(BadOrder, match=match) as caught:
        refuse(name, [msgspec.structs.replace(LEG, **fields)])
    assert caught.value.rule == rule


def test_a_trailing_stop_may_find_its_first_trigger_itself():
    refuse("trailing_stop", [msgspec.structs.replace(LEG, ord_type=OrdType.STOP)])


def test_what_is_not_in_the_table_carries_a_limit_alone():
    refuse("of my own", [msgspec.structs.replace(LEG, price_p=100)])
    with pytest.raises(BadOrder, match="takes ord_type LIMIT, MARKET, was STOP"):
        refuse("of my own", [msgspec.structs.replace(LEG, ord_type=OrdType.STOP, stop_px_p=100)])
