"""An order for several clients: the split is exact, and each client has a result and limits of its own."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolkit as tk
from toolkit.brokers.act import Act
from toolkit.brokers.allocation import allocate, place_each
from toolkit.brokers.ticket import order
from toolkit.errors import BadData, Unknown, UnknownSymbol
from toolkit.orders.live import LiveEngine
from toolkit.orders.settings import EngineSettings
from toolkit.risk.limits import Limits
from toolkit.types import OrdStatus

CE = "NIFTY 14JUL2026 25000 CE"
QUICK = EngineSettings(poll_s=0.01, answer_s=0.1)


def idea(lots=3, **more):
    return order(CE, "BUY", lots=lots, **{"price": 100.5, "broker": "xts-client", "cl_ord_id": "D1", **more})


def test_one_order_a_client():
    made = tk.allocate(idea(note="hedge", order_source="ALGO7"), {"CLI01": 1, "CLI02": 2})
    assert [(o.account, o.order_qty, o.cl_ord_id) for o in made] == [("CLI01", 65, "D101"), ("CLI02", 130, "D102")]
    assert {(o.symbol, o.price_p, o.note, o.order_source) for o in made} == {
        (CE, 10050, "hedge allocated from D1", "ALGO7")
    }
    assert allocate(idea(1), {"CLI01": 2})[0].order_qty == 130, "an order for one lot stands for each lot"


@given(st.dictionaries(st.text("ABC123", min_size=1, max_size=8), st.integers(1, 50), min_size=1, max_size=20))
def test_the_whole_is_the_sum_and_every_id_fits(lots):
    whole = idea(sum(lots.values()), cl_ord_id=None)
    made = allocate(whole, lots)
    assert {o.account: o.order_qty for o in made} == {client: 65 * count for client, count in lots.items()}
    assert sum(o.order_qty for o in made) == whole.order_qty
    assert len({o.cl_ord_id for o in made}) == len(lots)
    assert all(len(o.cl_ord_id) <= 20 and o.cl_ord_id.isalnum() for o in made)
    assert allocate(whole, lots) == made


@pytest.mark.parametrize(
    ("request_", "lots", "words"),
    [
        (idea(), {}, "names 1 to 99 clients, was 0"),
        (idea(), {"A": 0, "B": 3}, "lots of A must be a whole number from 1, was 0"),
        (idea(), {"A": True, "B": 2}, "was True"),
        (idea(), {"A": 1.5}, r"was 1\.5"),
        (idea(), {" ": 3}, "by their codes"),
        (idea(), {"A": 1, "B": 1}, r"are 130 units \(lot 65\), the order is for 195"),
        (idea(cl_ord_id="X" * 19), {"A": 3}, "at most 18 long"),
    ],
)
def test_what_is_no_allocation_is_said(request_, lots, words):
    with pytest.raises(BadData, match=words):
        allocate(request_, lots)


def test_only_our_own_symbols_have_a_lot_in_the_table():
    with pytest.raises(UnknownSymbol):
        allocate(msgspec.structs.replace(idea(), symbol="NIFTY2671425000CE"), {"A": 3})


@pytest.fixture
async def desk(xts_sim, tmp_path):
    """Opens the engine of one client; each has limits of its own."""
    sim = await xts_sim(profile="dealer_named")
    broker = sim.broker(terms={"drop_s": 0.1})
    limits = {"CLI02": Limits(max_order_lots=1)}

    def opened(account):
        bound = broker.for_client(account)
        fields = {"engine": QUICK, "clock": bound.clock, "realm": sim.root, "folder": tmp_path}
        return Act(LiveEngine(bound, account, limits=limits.get(account, Limits()), **fields))

    opened.sim, opened.broker, opened.folder = sim, broker, tmp_path
    yield opened
    await broker.close()


async def test_a_result_for_each_client_and_nobody_stops_the_others(desk):
    orders = allocate(idea(4), {"NOPE": 1, "CLI02": 2, "CLI01": 1})
    first, second, third = await place_each(orders, desk)
    assert (first.account, first.ord_status, first.order_id) == ("NOPE", OrdStatus.DENIED, None)
    assert "not mapped to this login" in first.text
    assert (second.account, second.ord_status, second.order_id) == ("CLI02", OrdStatus.DENIED, None)
    assert "lots" in second.text
    assert (third.account, third.ord_status, third.order_qty, third.text) == ("CLI01", OrdStatus.FILLED, 65, "")
    rows = await desk.broker.for_client("").dealer_orders()
    assert [(r.login_id, r.client_id, r.tag) for r in rows] == [("DLR01", "CLI01", "D103")]


async def test_each_client_has_a_journal_and_the_same_allocation_is_placed_once(desk):
    orders = allocate(idea(2), {"CLI01": 1, "CLI02": 1})
    made = await place_each(orders, desk)
    assert [m.ord_status for m in made] == [OrdStatus.FILLED, OrdStatus.FILLED]
    assert await place_each(orders, desk) == made
    assert len(desk.sim.app.book.orders) == 2
    assert len(list(desk.folder.rglob("2026-07-13.db"))) == 2


async def test_a_client_whose_answer_is_lost_is_unknown_and_the_next_is_placed(desk):
    desk.sim.fault("cut-before@POST /interactive/orders#1+1")
    first, second = await place_each(allocate(idea(2), {"CLI01": 1, "CLI02": 1}), desk)
    assert (first.ord_status, second.ord_status) == (OrdStatus.UNKNOWN, OrdStatus.FILLED)
    assert len(desk.sim.app.book.orders) == 1


async def test_an_engine_that_ends_without_a_word_about_the_order_is_unknown():
    class Silent:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *error):
            return None

        async def place(self, request):
            raise Unknown("the engine stopped")

    (made,) = await place_each(allocate(idea(1), {"A": 1}), lambda account: Silent())
    assert (made.ord_status, made.text) == (OrdStatus.UNKNOWN, "the engine stopped")
