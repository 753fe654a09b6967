"""What every broker behind the port must do: paper in this process, the others over their wire to a simulated one."""

from __future__ import annotations

import asyncio
import datetime as dt
from types import SimpleNamespace

import pytest

from toolkit.brokers.factory import NAMES, connect
from toolkit.brokers.port import CAPABILITIES, TICK, Broker, MarketFeed
from toolkit.brokers.rate import LEAVING
from toolkit.calendar import ist_ns
from toolkit.errors import BadData, Refused, UnknownSymbol
from toolkit.market.hub import Hub, PolledFeed
from toolkit.orders.lifecycle import apply, begin
from toolkit.orders.lookout import Lookout, Sources
from toolkit.portfolio.positions import PositionBook
from toolkit.risk.book import RiskBook
from toolkit.risk.margin import default_params
from toolkit.risk.rulefile import parse
from toolkit.risk.rules import RuleBook
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

    account = "ACC"
    call = CALL

    def __init__(self) -> None:
        self.now = OPEN + 3600 * 10**9
        self.broker = connect("paper", account="ACC", instruments=[CALL], funds_p=10**9, clock=lambda: self.now)
        self.broker.set_session(OPEN, CLOSE)
        self.broker.set_span({"NIFTY": default_params(24500.0, 0.12)})
        self.show()

    def show(self, bid=99.5, ask=100.5, qty=750.0) -> None:
        self.now += 10**9
        self.broker.on_quotes(self.now, [1], [bid], [qty], [ask], [qty], [(bid + ask) / 2])

    async def told(self, heard, count) -> None:
        self.show()


class KiteRig:
    """Kite under test: the whole wire, to the simulated Kite. Its market is bid 100.00, ask 100.50."""

    account = "SIM001"

    def __init__(self, sim) -> None:
        self.sim = sim
        self.broker = sim.broker()

    async def start(self) -> KiteRig:
        self.call = await self.broker.resolve("NIFTY 14JUL2026 25000 CE")
        return self

    def show(self, **quotes) -> None:
        self.sim.advance(1)

    async def told(self, heard, count) -> None:
        """Wait until so many reports were heard: the book is polled."""
        self.sim.advance(1)
        async with asyncio.timeout(5):
            while len(heard) < count:
                await asyncio.sleep(0.005)


class XtsRig(KiteRig):
    """XTS under test: own account, or a dealer's first client. The market is that of Kite's rig."""

    def __init__(self, sim) -> None:
        super().__init__(sim)
        self.account = sim.app.clients[0]


@pytest.fixture(params=NAMES)
async def rig(request, kite_sim, xts_sim):
    if request.param == "paper":
        yield PaperRig()
        return
    if request.param == "kite":
        made = await KiteRig(await kite_sim()).start()
    else:
        profile = "investor" if request.param == "xts-pro" else "dealer_named"
        made = await XtsRig(await xts_sim(profile=profile)).start()
    yield made
    await made.broker.close()


with_a_market = pytest.mark.parametrize("rig", [name for name in NAMES if name != "paper"], indirect=True)


def order(rig, cl_ord_id="A1", **more):
    fields = {"symbol": rig.call.symbol, "side": Side.BUY, "order_qty": rig.call.lot, "price_p": 10050}
    return OrderRequest(cl_ord_id=cl_ord_id, **{**fields, "account": rig.account, **more})


async def listen(broker):
    """Start to hear; gives the list that fills and the task that fills it."""
    heard = []

    async def run():
        async for report in broker.updates():
            heard.append(report)

    task = asyncio.create_task(run())
    await asyncio.sleep(0 if broker.name == "paper" else 0.1)
    return heard, task


def test_every_broker_that_can_be_made_is_under_contract():
    assert set(NAMES) == set(CAPABILITIES) == {"kite", "paper", "xts-client", "xts-pro"}


async def test_it_is_a_broker(rig):
    assert isinstance(rig.broker, Broker)
    assert isinstance(rig.broker.feed(), MarketFeed)
    assert rig.broker.capabilities is CAPABILITIES[rig.broker.name]
    assert rig.broker.capabilities.tag_length >= 20
    profile = await rig.broker.profile()
    assert (profile.broker, profile.account) == (rig.broker.name, rig.account)
    assert set(profile.products) <= set(rig.broker.capabilities.products)
    await rig.broker.close()


async def test_reads(rig):
    assert rig.call in await rig.broker.instruments()
    assert await rig.broker.resolve(rig.call.symbol) == rig.call
    assert await rig.broker.resolve(rig.call.symbol.lower(), rig.call.exchange) == rig.call
    quotes = await rig.broker.quote([rig.call.symbol])
    quote = quotes[rig.call.symbol]
    assert quote.two_sided
    assert quote.ask_p == 10050
    wrong = rig.call.symbol[:-1] + "X"
    with pytest.raises(BadData, match="did you mean"):
        await rig.broker.quote([wrong])
    with pytest.raises(UnknownSymbol, match="did you mean"):
        await rig.broker.resolve(wrong)
    assert await rig.broker.orders() == ()
    assert await rig.broker.trades() == ()
    assert await rig.broker.positions() == ()
    assert await rig.broker.holdings() == ()


async def test_paper_trades_on_anothers_market_which_knows_the_days_terms():
    assert await PaperRig().broker.day_terms([CALL.symbol]) == {}


@with_a_market
async def test_the_days_terms_are_a_close_and_a_band_around_the_market(rig):
    world = rig.sim.server.app.world
    for row in world.roster.rows:
        if row.instrument.kind is Kind.INDEX:
            world.row(row.key)["close"] = 24900.4
        elif row.instrument.symbol == rig.call.symbol:
            world.row(row.key)["close"] = 95.15
    future, wrong = "NIFTY 28JUL2026 FUT", rig.call.symbol[:-1] + "X"
    found = await rig.broker.day_terms([rig.call.symbol, "NIFTY", future, wrong])
    assert set(found) == {rig.call.symbol, "NIFTY", future}
    assert {symbol: terms.close_p for symbol, terms in found.items()} == {
        rig.call.symbol: 9515, "NIFTY": 2490040, future: None,  # nothing is known of its close
    }  # fmt: skip
    assert (found["NIFTY"].low_p, found["NIFTY"].high_p) == (None, None)
    for symbol in (rig.call.symbol, future):
        quote = (await rig.broker.quote([symbol]))[symbol]
        assert 0 < found[symbol].low_p < quote.bid_p < quote.ask_p < found[symbol].high_p


@with_a_market
async def test_the_breaker_sees_the_index_and_the_check_the_band_of_every_broker(rig):
    world = rig.sim.server.app.world
    for row in world.roster.rows:
        if row.instrument.kind is Kind.INDEX:
            world.row(row.key)["close"] = world.row(row.key)["ltp"] / 0.9
    rules = RuleBook(parse('[[rule]]\nkind = "exchange_breaker"', "rules.toml").rules)
    engine = SimpleNamespace(figures=SimpleNamespace(), guards=(rules,), core=SimpleNamespace(book=RiskBook()))
    listed = await rig.broker.instruments()
    names = {i.token: i.symbol for i in listed}
    hub = Hub(PolledFeed(rig.broker.quote, names.get), listed, clock=rig.broker.clock, quote=rig.broker.quote)
    sources = Sources(day_terms=rig.broker.day_terms)
    lookout = Lookout(
        hub, {rig.account: SimpleNamespace(account=rig.account, engine=engine)}, rig.broker.clock, sources
    )
    lookout.attach()
    assert [names[key] for key in hub.wanted] == ["NIFTY"]  # nobody asked for it but the rule
    await hub.ensure([rig.call.symbol, "NIFTY"])
    assert engine.figures.index_moves() == {"NIFTY": None}
    await lookout._ask_terms(sources.day_terms)
    assert engine.figures.index_moves() == {"NIFTY": pytest.approx(-0.1, abs=1e-6)}
    low_p, high_p = engine.core.book.bands[rig.call.symbol]
    assert low_p < 10050 < high_p


async def test_a_fill_is_told_once_and_all_books_agree(rig):
    heard, task = await listen(rig.broker)
    lot = rig.call.lot
    order_id = await rig.broker.place(order(rig))
    await rig.told(heard, 2)
    assert order_id
    (state,) = await rig.broker.orders()
    assert (state.ord_status, state.cum_qty) == (OrdStatus.FILLED, lot)
    (trade,) = await rig.broker.trades()
    (held,) = await rig.broker.positions()
    assert (trade.last_qty, trade.last_px_p, trade.cl_ord_id) == (lot, 10050, "A1")
    assert (held.net_qty, held.avg_px, held.realized) == (lot, 100.5, 0.0)
    history = await rig.broker.order_history("A1")
    await rig.broker.close()
    await task
    assert [str(r.exec_type) for r in heard] == ["new", "trade"]
    assert [r.exec_id for r in heard] == [r.exec_id for r in history]
    folded = begin(order(rig), 0)
    for report in heard:
        folded, anomaly = apply(folded, report)
        assert anomaly is None
    assert (folded.ord_status, folded.cum_qty) == (OrdStatus.FILLED, lot)
    book = PositionBook("average")
    book.apply(trade)
    assert book.position(rig.call.symbol, rig.account).net_qty == lot


async def test_rest_modify_cancel(rig):
    heard, task = await listen(rig.broker)
    two = 2 * rig.call.lot
    await rig.broker.place(order(rig, price_p=9000))
    await rig.told(heard, 1)
    await rig.broker.modify(Modify(cl_ord_id="A1", order_qty=two, price_p=9100))
    await rig.told(heard, 2)
    await rig.broker.cancel("A1")
    await rig.told(heard, 3)
    (state,) = await rig.broker.orders()
    assert (state.ord_status, state.request.order_qty, state.request.price_p) == (OrdStatus.CANCELED, two, 9100)
    await rig.broker.close()
    await task
    assert [str(r.exec_type) for r in heard] == ["new", "replaced", "canceled"]


async def test_a_wrong_quantity_is_refused_or_rejected_and_says_the_lot(rig):
    """Paper's exchange rejects it; a real broker's connector knows before it sends."""
    text = ""
    try:
        await rig.broker.place(order(rig, order_qty=rig.call.lot + 1))
    except BadData as error:
        text = str(error)
        assert await rig.broker.orders() == ()
    else:
        rig.show()
        (report,) = await rig.broker.order_history("A1")
        assert report.exec_type is ExecType.REJECTED
        text = report.text
    assert "lot" in text


async def test_certain_refusals_are_refused_and_leave_nothing(rig):
    await rig.broker.place(order(rig, price_p=9000))
    with pytest.raises(Refused, match="used before"):
        await rig.broker.place(order(rig, price_p=9000))
    with pytest.raises(Refused, match="takes no orders of OTHER"):
        await rig.broker.place(order(rig, "B1", account="OTHER"))
    with pytest.raises((Refused, BadData), match="STOP"):
        await rig.broker.place(order(rig, "B2", ord_type=OrdType.STOP, stop_px_p=9000))
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


@with_a_market
async def test_an_order_message_asks_at_the_door_whether_it_may_leave(rig):
    await rig.broker.place(order(rig, price_p=9000))
    asked = []

    def hold():
        asked.append(1)
        raise Refused("trading was halted meanwhile")

    unset = LEAVING.set(hold)
    for act in (
        rig.broker.place(order(rig, "A2", price_p=9000)),
        rig.broker.modify(Modify(cl_ord_id="A1", price_p=9100, order_qty=rig.call.lot)),
        rig.broker.cancel("A1"),
    ):
        with pytest.raises(Refused, match="trading was halted meanwhile"):
            await act
    assert len(asked) == 3, "reads do not ask"
    await rig.broker.margins()
    LEAVING.reset(unset)
    (state,) = await rig.broker.orders()
    assert (state.request.cl_ord_id, state.request.price_p, state.ord_status) == ("A1", 9000, OrdStatus.NEW)


async def test_money_and_margin(rig):
    before = await rig.broker.margins()
    assert (before.cash_p, before.used_p, before.collateral_p) == (10**9, 0, 0)
    basket = await rig.broker.order_margins([order(rig, side=Side.SELL)])
    assert basket.total > 50_000
    await rig.broker.place(order(rig, side=Side.SELL, price_p=9950))
    rig.show()
    after = await rig.broker.margins()
    assert after.used_p > 0
    assert after.available_p == after.cash_p - after.used_p
    assert after.available_p < before.available_p
    with pytest.raises(BadData, match=r"no (contract|instrument)"):
        await rig.broker.order_margins([order(rig, symbol="NOPE")])


async def test_conversion_is_done_or_refused(rig):
    if not rig.broker.capabilities.converts:
        with pytest.raises(Refused, match="does not convert"):
            await rig.broker.convert(rig.call.symbol, 75, Product.NRML, Product.MIS)
        return
    with pytest.raises(Refused, match="to convert, there are 0"):
        await rig.broker.convert(rig.call.symbol, rig.call.lot, Product.NRML, Product.MIS)
    await rig.broker.place(order(rig))
    rig.show()
    await rig.broker.convert(rig.call.symbol, rig.call.lot, Product.NRML, Product.MIS)
    (held,) = await rig.broker.positions()
    assert (held.product, held.net_qty) == (Product.MIS, rig.call.lot)


async def test_the_feed_says_what_is_wrong_with_a_wish(rig):
    feed = rig.broker.feed()
    assert feed.state == "idle"
    with pytest.raises(BadData, match="ltp, quote"):
        feed.want({1: "deep"})
    await rig.broker.close()
    assert feed.state == "closed"


async def test_papers_feed_gives_what_is_wanted():
    rig = PaperRig()
    feed = rig.broker.feed()
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
        await rig.broker.place(order(rig))
