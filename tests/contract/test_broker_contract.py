"""What every broker behind the port must do. A new broker adds itself to MAKERS."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from toolkit.brokers.factory import NAMES, connect
from toolkit.brokers.port import CAPABILITIES, TICK, Broker, MarketFeed
from toolkit.calendar import ist_ns
from toolkit.errors import BadData, Refused
from toolkit.orders.lifecycle import apply, begin
from toolkit.portfolio.positions import PositionBook
from toolkit.risk.margin import default_params
from toolkit.types import (
    ExecType,
    Instrument,
    Kind,
    Modify,
    OptionType,
    OrderRequest,
    OrdStatus,
    OrdType,
    Product,
    Side,
)

DAY = dt.date(2025, 8, 29)
OPEN, CLOSE = ist_ns(DAY, dt.time(9, 15)), ist_ns(DAY, dt.time(15, 30))
CALL = Instrument(
    instrument_id=11, symbol="NIFTY 02SEP2025 24500 CE", exchange="NSE", segment="NFO", underlying="NIFTY",
    kind=Kind.OPTION, lot=75, tick_p=5, expiry=dt.date(2025, 9, 2), strike_p=2_450_000, option_type=OptionType.CE,
    token=1, freeze_qty=1800,
)  # fmt: skip


class PaperRig:
    """Paper under test: its clock and its market are moved by hand."""

    def __init__(self) -> None:
        self.now = OPEN + 3600 * 10**9
        self.broker = connect("paper", account="ACC", instruments=[CALL], funds_p=10**9, clock=lambda: self.now)
        self.broker.set_session(OPEN, CLOSE)
        self.broker.set_span({"NIFTY": default_params(24500.0, 0.12)})

    def show(self, bid=99.5, ask=100.5, qty=750.0) -> None:
        self.now += 10**9
        self.broker.on_quotes(self.now, [1], [bid], [qty], [ask], [qty], [(bid + ask) / 2])


MAKERS = {"paper": PaperRig}


@pytest.fixture(params=sorted(MAKERS))
def rig(request):
    made = MAKERS[request.param]()
    made.show()
    return made


def order(cl_ord_id="A1", **more):
    fields = {"symbol": CALL.symbol, "side": Side.BUY, "order_qty": 75, "price_p": 10050, "account": "ACC"}
    return OrderRequest(cl_ord_id=cl_ord_id, **{**fields, **more})


async def listen(broker):
    """Start to hear; gives the list that fills and the task that fills it."""
    heard = []

    async def run():
        async for report in broker.updates():
            heard.append(report)

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    return heard, task


def test_every_broker_that_can_be_made_is_under_contract():
    assert set(NAMES) == set(MAKERS) == set(CAPABILITIES)


async def test_it_is_a_broker(rig):
    assert isinstance(rig.broker, Broker)
    assert isinstance(rig.broker.feed(), MarketFeed)
    assert rig.broker.capabilities is CAPABILITIES[rig.broker.name]
    assert rig.broker.capabilities.tag_length >= 20
    profile = await rig.broker.profile()
    assert (profile.broker, profile.account) == (rig.broker.name, "ACC")
    await rig.broker.close()


async def test_reads(rig):
    assert await rig.broker.instruments() == (CALL,)
    quotes = await rig.broker.quote([CALL.symbol])
    assert (quotes[CALL.symbol].bid_p, quotes[CALL.symbol].ask_p) == (9950, 10050)
    with pytest.raises(BadData, match="did you mean"):
        await rig.broker.quote(["NIFTY 02SEP2025 24500 CX"])
    assert await rig.broker.orders() == ()
    assert await rig.broker.trades() == ()
    assert await rig.broker.positions() == ()
    assert await rig.broker.holdings() == ()


async def test_a_fill_is_told_once_and_all_books_agree(rig):
    heard, task = await listen(rig.broker)
    order_id = await rig.broker.place(order())
    rig.show()
    assert order_id
    (state,) = await rig.broker.orders()
    assert (state.ord_status, state.cum_qty) == (OrdStatus.FILLED, 75)
    (trade,) = await rig.broker.trades()
    (held,) = await rig.broker.positions()
    assert (trade.last_qty, trade.last_px_p) == (75, 10050)
    assert (held.net_qty, held.avg_px) == (75, 100.5)
    await rig.broker.close()
    await task
    assert [str(r.exec_type) for r in heard] == ["new", "trade"]
    assert tuple(heard) == tuple(await rig.broker.order_history("A1"))
    folded = begin(order(), 0)
    for report in heard:
        folded, anomaly = apply(folded, report)
        assert anomaly is None
    assert (folded.ord_status, folded.cum_qty) == (OrdStatus.FILLED, 75)
    book = PositionBook("average")
    book.apply(trade)
    assert book.position(CALL.symbol, "ACC").net_qty == 75


async def test_rest_modify_cancel(rig):
    heard, task = await listen(rig.broker)
    await rig.broker.place(order(price_p=9000))
    await rig.broker.modify(Modify(cl_ord_id="A1", order_qty=150, price_p=9100))
    await rig.broker.cancel("A1")
    rig.show()
    (state,) = await rig.broker.orders()
    assert (state.ord_status, state.request.order_qty, state.request.price_p) == (OrdStatus.CANCELED, 150, 9100)
    await rig.broker.close()
    await task
    assert [str(r.exec_type) for r in heard] == ["new", "replaced", "canceled"]


async def test_a_rejection_says_why(rig):
    await rig.broker.place(order(order_qty=76))
    rig.show()
    (report,) = await rig.broker.order_history("A1")
    assert report.exec_type is ExecType.REJECTED
    assert "lot" in report.text


async def test_certain_refusals_are_refused_and_leave_nothing(rig):
    await rig.broker.place(order(price_p=9000))
    with pytest.raises(Refused, match="used before"):
        await rig.broker.place(order(price_p=9000))
    with pytest.raises(Refused, match="takes no orders of OTHER"):
        await rig.broker.place(order("B1", account="OTHER"))
    with pytest.raises(Refused, match="paper takes"):
        await rig.broker.place(order("B2", ord_type=OrdType.STOP, stop_px_p=9000))
    with pytest.raises(Refused, match="no order 'A2' today; did you mean 'A1'"):
        await rig.broker.cancel("A2")
    with pytest.raises(Refused, match="no order"):
        await rig.broker.modify(Modify(cl_ord_id="Z9", order_qty=75))
    with pytest.raises(BadData, match="no order"):
        await rig.broker.order_history("Z9")
    await rig.broker.cancel("A1")
    rig.show()
    with pytest.raises(Refused, match="already canceled"):
        await rig.broker.cancel("A1")
    assert len(await rig.broker.orders()) == 1


async def test_money_and_margin(rig):
    before = await rig.broker.margins()
    assert (before.cash_p, before.used_p) == (10**9, 0)
    basket = await rig.broker.order_margins([order(side=Side.SELL)])
    assert basket.total > 100_000
    await rig.broker.place(order(side=Side.SELL, price_p=9950))
    rig.show()
    after = await rig.broker.margins()
    assert after.cash_p == 10**9 + 75 * 9950
    assert abs(after.used_p - basket.total * 100) <= 0.5
    assert after.available_p == after.cash_p - after.used_p
    with pytest.raises(BadData, match="no contract"):
        await rig.broker.order_margins([order(symbol="NOPE")])


async def test_what_it_cannot_do_is_refused(rig):
    if not rig.broker.capabilities.converts:
        with pytest.raises(Refused, match="does not convert"):
            await rig.broker.convert(CALL.symbol, 75, Product.NRML, Product.MIS)


async def test_the_feed_gives_what_is_wanted(rig):
    feed = rig.broker.feed()
    assert feed.state == "idle"
    with pytest.raises(BadData, match="must be one of ltp, quote, full"):
        feed.want({1: "deep"})
    rig.show()
    feed.want({1: "full"})
    assert feed.state == "live"
    rig.show(bid=98.0, ask=99.0)
    feed.want({2: "full"})
    rig.show()
    await rig.broker.close()
    batches = [batch async for batch in feed.ticks()]
    assert len(batches) == 1
    assert batches[0].dtype == TICK
    assert (batches[0]["key"][0], batches[0]["bid"][0], batches[0]["ask"][0]) == (1, 98.0, 99.0)
    assert dict(feed.stats) == {"batches": 1, "quotes": 1, "dropped": 0}
    assert feed.state == "closed"


async def test_closed_is_closed(rig):
    await rig.broker.close()
    await rig.broker.close()
    with pytest.raises(Refused, match="closed"):
        await rig.broker.place(order())
