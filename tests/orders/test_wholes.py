"""Algorithms and baskets at the station's door: the same basket again, ids of their own, the rules of a plain order."""

from __future__ import annotations

import asyncio
import datetime as dt
from types import SimpleNamespace

import pytest

from toolkit.errors import BadOrder, UnknownSymbol
from toolkit.orders.wholes import Wholes, _Look, named
from toolkit.orders.words import IdTaken, read_basket

PUT = "NIFTY 14JUL2026 25450 PE"


def basket(process, *ids, **more):
    """Two legs that rest, each at a price of its own; ``ids`` are theirs."""
    legs = [process.body(), process.body(symbol=PUT)]
    for leg, name in zip(legs, ids, strict=False):
        leg["cl_ord_id"] = name
    return {"legs": legs, "algo": "legs kind=entry step_s=3600", **more}


def test_a_basket_posted_again_is_the_same_basket(process):
    body = basket(process, "BASK1")
    first = process("place", body)
    assert (first["cl_ord_id"], first["order_qty"], first["ord_status"]) == ("BASK1", 130, "new")
    before = len(process("orders")["orders"])
    assert process("place", body)["cl_ord_id"] == "BASK1"
    assert len(process("orders")["orders"]) == before, "nothing is sent twice"
    other = {**body, "legs": [body["legs"][0], {**body["legs"][1], "lots": 2}]}
    for different in (other, {**body, "algo": "legs kind=exit"}, {**body, "policy": {"fail": "complete"}}):
        with pytest.raises(IdTaken, match="BASK1 is already another order; use a new id"):
            process("place", different)
    with pytest.raises(IdTaken):
        process("place", body["legs"][0])
    process("cancel", "BASK1")
    assert process("place", body)["ord_status"] == "canceled"


def test_two_posts_of_one_basket_at_once_are_one_basket(process):
    body = basket(process, "BASK2")

    async def both():
        return await asyncio.gather(process.station.place(body), process.station.place(body))

    assert {row["cl_ord_id"] for row in process.loop.wait(both)} == {"BASK2"}
    assert [o["cl_ord_id"] for o in process("orders")["orders"]].count("BASK2") == 1
    process("cancel", "BASK2")


def test_baskets_without_an_id_are_each_a_new_one(process):
    names = {process("place", basket(process))["cl_ord_id"] for _ in range(2)}
    assert len(names) == 2
    for name in names:
        process("cancel", name)


def test_a_denied_basket_posted_again_stays_denied(process):
    body = basket(process, "BASK3")
    process("halt", "a test")
    try:
        assert process("place", body)["ord_status"] == "denied"
    finally:
        process("resume", "the test is over")
    again = process("place", body)
    assert again["ord_status"] == "denied"
    assert [d["rule"] for d in again["denials"]] == ["halted"]


@pytest.mark.parametrize(
    ("change", "rule", "text"),
    [
        ({"cl_ord_id": "TWIN"}, "cl_ord_id", "leg 2 must have an id of its own, was TWIN again"),
        ({"algo": "twap"}, "algo", "leg 2 must leave algo to its basket, was 'twap'"),
        ({"account": "OTHER"}, "account", "every leg must be of one account, was PAPER and OTHER"),
        ({"broker": "kite"}, "broker", "every leg must be of one broker, was paper and kite"),
    ],
)
def test_legs_that_do_not_go_together_are_refused_in_one_line(process, change, rule, text):
    body = basket(process, "TWIN", "APART")
    body["legs"][0] |= {"account": "PAPER", "broker": "paper"}
    body["legs"][1] |= change
    for act in ("place", "preview"):
        with pytest.raises(BadOrder) as caught:
            process(act, body)
        assert (caught.value.rule, str(caught.value)) == (rule, text)


def test_a_leg_may_not_bear_the_id_of_an_order(process):
    process("place", process.body(cl_ord_id="PLAIN9"))
    with pytest.raises(IdTaken, match="PLAIN9 is already another order"):
        process("place", basket(process, "BASK4", "PLAIN9"))
    process("cancel", "PLAIN9")


def test_what_no_account_serves_is_refused(process):
    for field, value in (("account", "ZZ"), ("broker", "kite")):
        with pytest.raises(BadOrder, match=f"{field} must be one of (PAPER|paper), was '{value}'"):
            process("place", process.body(algo="twap", **{field: value}))
    with pytest.raises(UnknownSymbol):
        process("place", process.body(algo="twap", symbol="NIFTY 14JUL2026 99999 CE"))


def test_a_lone_account_needs_no_route(process):
    row = process("place", process.body(algo="iceberg", cl_ord_id="LONE1"))
    assert row["ord_status"] == "new"
    assert "route" not in row
    process("cancel", "LONE1")


def test_a_stop_that_the_algorithm_would_drop_is_refused_at_the_door(process):
    stop = {"ord_type": "STOP_LIMIT", "stop_px": "118", "price": "120", "algo": "iceberg"}
    before = len(process("orders")["orders"])
    for act in ("place", "preview"):
        with pytest.raises(
            BadOrder, match="algorithm 'iceberg' takes ord_type LIMIT, MARKET, was STOP_LIMIT"
        ) as caught:
            process(act, {**process.body(), **stop})
        assert (caught.value.rule, caught.value.value) == ("ord_type", "STOP_LIMIT")
    assert len(process("orders")["orders"]) == before


def test_legs_have_ids_of_their_own_that_follow_from_the_first():
    price = {"symbol": "X", "side": "BUY", "lots": 1, "price": 1}
    asked = read_basket({"legs": [price, {**price, "cl_ord_id": "MINE"}, price]})
    names = [name for _, name in named(asked, "FIRST")]
    assert names[:2] == ["FIRST", "MINE"]
    assert names == [name for _, name in named(asked, "FIRST")]
    assert names[2] != named(asked, "SECOND")[2][1]
    assert len(set(names)) == 3
    assert all(name.isalnum() and len(name) <= 20 for name in names)


class Pair:
    """Two accounts of one process, without engines; the first is the home account."""

    def __init__(self):
        self.core = SimpleNamespace(day=dt.date(2026, 7, 13), orders={})
        self.told = []
        events = lambda after, most: [] if after else self.told  # noqa: E731
        engine = SimpleNamespace(core=self.core, events=events)
        self.seats = {n: SimpleNamespace(account=n, broker="paper", engine=engine) for n in ("ONE", "TWO")}


async def test_unknown_charges_come_last_and_are_not_told_as_a_number(monkeypatch):
    pair = Pair()
    costs = {"ONE": None, "TWO": 12.5}

    async def look(self, seat, legs):
        return _Look(seat, cost=costs[seat.account])

    monkeypatch.setattr(Wholes, "_look", look)
    asked = read_basket({"legs": [{"symbol": PUT, "side": "BUY", "lots": 1, "price": "80"}] * 2, "algo": "legs"})
    plan = await Wholes(pair).plan(asked)
    assert plan.seat.account == "TWO"
    assert "charges of about Rs 12.50" in plan.why[0]
    costs["TWO"] = None
    plan = await Wholes(pair).plan(asked)
    assert plan.seat.account == "ONE"
    assert "its charges are unknown" in plan.why[0]


def test_a_new_day_forgets_why_an_order_went_where_it_went():
    pair = Pair()
    pair.told = [SimpleNamespace(kind="act", cl_ord_id="B1", seq=1, payload={"act": "route", "why": ["ONE takes it"]})]
    wholes = Wholes(pair)
    wholes.recall()
    assert wholes.shown("B1") == {"route": {"why": ["ONE takes it"]}}
    pair.core.day = dt.date(2026, 7, 14)
    assert wholes.shown("B1") == {}
