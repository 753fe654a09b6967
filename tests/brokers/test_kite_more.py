from __future__ import annotations

import itertools

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.brokers import kite_more as more
from toolkit.brokers.kite_orders import KiteTerms
from toolkit.errors import BadData, Refused
from toolkit.types import Modify, OrderRequest, OrdType, Side

CE = "NIFTY 14JUL2026 25000 CE"
DAY_NS = 86_400 * 10**9


@pytest.fixture
async def broker(kite_sim):
    sim = await kite_sim()
    made = sim.broker()
    made.sim = sim
    yield made
    await made.close()


def order(**fields):
    return OrderRequest(**{"cl_ord_id": "A1", "symbol": CE, "side": Side.BUY, "order_qty": 65, "price_p": 9000, "account": "SIM001", **fields})  # fmt: skip


@given(st.integers(0, 10**18), st.integers(0, 900), st.sampled_from(sorted(more.INTERVALS.values())))
def test_chunks_cover_the_time_once_within_the_limit(start, days, most):
    start -= start % 10**9
    end = start + days * DAY_NS
    parts = list(more.chunks(start, end, most))
    assert (parts[0][0], parts[-1][1]) == (start, end)
    assert all(last - first < most * DAY_NS for first, last in parts)
    assert all(nxt[0] == before[1] + 10**9 for before, nxt in itertools.pairwise(parts))


async def test_candles_are_one_table_over_many_requests(broker):
    await broker.profile()
    now = broker.clock()
    frame = await more.candles(broker, CE, "minute", now - 150 * DAY_NS, now)
    asked = [row for row in broker.sim.record("call") if "historical" in row["call"]]
    assert len(asked) == 3
    assert dict(frame.schema) == dict(more.CANDLES)
    assert frame["ts"].is_sorted()
    assert frame["ts"].is_unique().all()
    assert frame.height > 0
    assert frame.filter(pl.col("high") < pl.col("low")).is_empty()
    bare = await more.candles(broker, CE, "5minute", now - 3600 * 10**9, now, oi=False)
    assert bare["oi"].is_null().all()


async def test_candles_say_what_is_wrong(broker):
    with pytest.raises(BadData, match=r"interval must be one of .*did you mean '5minute'"):
        await more.candles(broker, CE, "5minutes", 0, 1)
    with pytest.raises(BadData, match="end before they start"):
        await more.candles(broker, CE, "day", 2, 1)


def leg(**fields):
    return more.GttLeg(**{"side": Side.SELL, "qty": 65, "price_p": 9000, "trigger_p": 9100, **fields})


async def test_a_single_trigger_lives_and_dies(broker):
    number = await more.place_gtt(broker, CE, [leg()], 10000)
    found = await more.gtt(broker, number)
    assert (found.type, found.condition.trigger_values, found.orders[0].price) == ("single", (91.0,), 90.0)
    await more.modify_gtt(broker, number, CE, [leg(price_p=8900)], 10000)
    assert (await more.gtts(broker))[0].orders[0].price == 89.0
    await more.delete_gtt(broker, number)
    assert [g for g in await more.gtts(broker) if g.status == "active"] == []


async def test_one_cancels_the_other(broker):
    legs = [leg(price_p=12000, trigger_p=12000), leg()]
    number = await more.place_gtt(broker, CE, legs, 10000)
    found = await more.gtt(broker, number)
    assert (found.type, found.condition.trigger_values) == ("two-leg", (91.0, 120.0))
    assert [o.price for o in found.orders] == [90.0, 120.0]


@pytest.mark.parametrize(
    ("legs", "text"),
    [
        ([], "one leg or two, was 0"),
        ([leg(trigger_p=10000)], "at the last price is refused"),
        ([leg(), leg(trigger_p=9200)], "on both sides of the last price 100.00"),
        ([leg(qty=66)], "multiple of the lot 65, was 66"),
        ([leg(price_p=9001)], "price of .* multiple of the tick 0.05, was 90.01"),
        ([leg(trigger_p=9101)], "trigger of .* tick 0.05"),
    ],
)
async def test_bad_triggers(broker, legs, text):
    with pytest.raises(BadData, match=text):
        await more.place_gtt(broker, CE, legs, 10000)


async def test_charges_and_margins_of_orders(broker):
    (note,) = await more.charges(broker, [order()])
    assert note.charges.total > note.charges.brokerage > 0
    (margin,) = await more.margins_of(broker, [order(side=Side.SELL)])
    assert margin.total > margin.span > 0


async def test_kite_slices_and_says_which_part_stands(broker):
    made = await more.place_sliced(broker, order(order_qty=65 * 40))
    assert len(made.children) == 2
    assert all(child.order_id and child.error is None for child in made.children)
    book = await broker.orders()
    assert sorted(o.request.order_qty for o in book) == [845, 1755]
    assert len({o.cl_ord_id for o in book}) == 2
    assert await more.auctions(broker) == ()


async def test_iceberg_and_after_market(broker):
    await broker.place(order(cl_ord_id="I1", order_qty=650), KiteTerms(variety="iceberg", iceberg_legs=5))
    legs = list(broker.sim.app.book.orders.values())
    assert legs[0].variety == "iceberg"
    assert legs[0].quantity == 130
    with pytest.raises(Refused, match="AMO"):
        await broker.place(order(cl_ord_id="M1"), KiteTerms(variety="amo"))
    broker.sim.advance(6 * 3600)
    await broker.place(order(cl_ord_id="M2"), KiteTerms(variety="amo"))
    assert {o.cl_ord_id: str(o.ord_status) for o in await broker.orders()}["M2"] == "new"


async def test_a_stop_order_rests(broker):
    await broker.place(order(ord_type=OrdType.STOP_LIMIT, stop_px_p=11000, price_p=11100))
    (state,) = await broker.orders()
    assert (state.ord_status, state.request.ord_type, state.request.stop_px_p) == ("new", OrdType.STOP_LIMIT, 11000)


async def test_a_triggered_stop_order_is_modified_as_the_working_order_it_has_become(broker):
    await broker.place(order(ord_type=OrdType.STOP_LIMIT, stop_px_p=10000, price_p=10000))
    (held,) = broker.sim.app.book.orders.values()
    assert (held.status, held.order_type, held.trigger_p) == ("OPEN", "SL", 10000), "it has not triggered"
    await broker.modify(Modify(cl_ord_id="A1", order_qty=130, price_p=9900, stop_px_p=9900))
    assert held.status == "OPEN"
    (state,) = await broker.orders()
    assert (state.ord_status, state.leaves_qty, state.request.price_p) == ("new", 130, 9900)
    await broker.modify(Modify(cl_ord_id="A1", order_qty=130, price_p=10050))
    (state,) = await broker.orders()
    assert (state.ord_status, state.cum_qty, state.avg_px) == ("filled", 130, 100.5)


async def test_closes_and_price_bands_come_with_kites_own_quote(broker):
    found = await broker.day_terms([CE, "NIFTY 28JUL2026 FUT"])
    for symbol, terms in found.items():
        last_p = (await broker.quote([symbol]))[symbol].ltp_p
        assert 0 < terms.low_p < last_p < terms.high_p
    assert len(found) == 2


async def test_more_than_five_hundred_quotes_are_asked_in_pieces(broker, monkeypatch):
    monkeypatch.setattr("toolkit.brokers.kite._QUOTES_A_CALL", 1)
    symbols = [CE, CE.replace("CE", "PE"), "NIFTY 28JUL2026 FUT"]
    found = await broker.quote(symbols)
    assert set(found) == set(symbols)
    assert len([r for r in broker.sim.record("call") if r["call"] == "GET /quote"]) == 3
    broker.sim.fault("empty-quote")
    assert await broker.quote([CE]) == {}


async def test_the_twenty_sixth_modification_is_refused_here(broker, monkeypatch):
    from toolkit.types import Modify

    monkeypatch.setattr("toolkit.brokers.kite._MODIFICATIONS", 2)
    await broker.place(order())
    for price_p in (9005, 9010):
        await broker.modify(Modify(cl_ord_id="A1", order_qty=65, price_p=price_p))
    with pytest.raises(Refused, match="was modified 2 times, kite's most; cancel and place anew"):
        await broker.modify(Modify(cl_ord_id="A1", order_qty=65, price_p=9015))
