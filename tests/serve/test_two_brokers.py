"""Two brokers in one process, over their wires: each account sees what its own broker says of the day."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from toolkit.brokers import closes as closes_of
from toolkit.brokers.closes import first_closes
from toolkit.config import Settings
from toolkit.errors import BadData, Refused
from toolkit.serve import build as building
from toolkit.serve.build import Plan, build
from toolkit.types import Kind, OrderRequest, OrdStatus, Side

CALL = "NIFTY 14JUL2026 25000 CE"
KITE, XTS = "SIM001", "CLI01"
CLOSES = {KITE: 25_100.0, XTS: 24_800.0}
BANDS = {KITE: (5_000, 30_000), XTS: (8_000, 11_000)}
FREE = {"risk": {"max_messages_per_s": 100, "duplicate_window_s": 0}, "engine": {"throttle_per_s": 100}}


class Two:
    """One process over a simulated Kite and a simulated XTS whose days differ; the feed is the first one's."""

    def __init__(self, sims, built) -> None:
        self.sims, self.built, self.station = sims, built, built.station
        self.lookout = built.station.lookout

    async def ask(self) -> None:
        """One look of the process, to its end."""
        for _ in range(2):
            await self.lookout.turn()
            await asyncio.gather(*self.lookout._running.values())

    def book(self, account):
        return self.station.seats[account].engine.core.book

    def moves(self, account):
        return self.station.seats[account].engine.figures.index_moves()


@pytest.fixture
async def two(kite_sim, xts_sim, tmp_path, monkeypatch):
    """``await two(feed)`` builds the process with one broker's feed and starts its engines without their loops."""
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    sims = {KITE: await kite_sim(), XTS: await xts_sim(profile="dealer_named")}
    for account, sim in sims.items():
        world = sim.server.app.world
        for row in world.roster.rows:
            if row.instrument.kind is Kind.INDEX:
                world.row(row.key)["close"] = CLOSES[account]
            elif row.instrument.symbol == CALL:
                world.bands[row.key] = BANDS[account]
    made = []

    async def start(broker="kite"):
        names = {"kite": sims[KITE], "xts-client": sims[XTS]}
        monkeypatch.setattr(building, "connect", lambda name: names[name].broker())
        own = {"kite": f"kite:{KITE}", "xts-client": f"xts-client:{XTS}"}
        accounts = [own.pop(broker), *own.values()]
        plan = Plan(broker=broker, accounts=tuple(accounts), live=(KITE, XTS))
        found = Two(sims, await build(plan, Settings.load(options=FREE)))
        made.append(found)
        for seat in found.station.seats.values():
            await seat.engine.start(watching=False)
        found.station.hub.want([CALL], "test")
        return found

    yield start
    for one in made:
        await one.lookout.stop()
        for seat in one.station.seats.values():
            await seat.engine.stop()
        await one.built.close()


@pytest.mark.parametrize("feed", ["kite", "xts-client"])
async def test_each_account_has_the_bands_and_closes_of_its_own_broker(two, feed):
    made = await two(feed)
    await made.ask()
    for account in (KITE, XTS):
        assert made.book(account).bands[CALL] == BANDS[account], account
        assert made.moves(account) == {"NIFTY": pytest.approx(25_010.0 / CLOSES[account] - 1.0)}, account


async def test_an_order_is_held_against_the_band_of_the_account_s_broker(two):
    made = await two()
    await made.ask()
    placed = {}
    for account, broker in ((KITE, "kite"), (XTS, "xts-client")):
        engine = made.station.seats[account].engine
        request = OrderRequest(
            cl_ord_id=engine.new_id(),
            symbol=CALL,
            side=Side.BUY,
            order_qty=65,
            price_p=7_000,
            account=account,
            broker=broker,
        )
        placed[account] = await engine.place(request)
    assert placed[KITE].ord_status is not OrdStatus.DENIED, placed[KITE].text
    assert placed[XTS].ord_status is OrdStatus.DENIED
    (denial,) = made.station.seats[XTS].engine.core.denials[placed[XTS].cl_ord_id]
    assert "80.00" in denial.text
    assert "110.00" in denial.text


async def test_where_the_own_broker_says_nothing_the_feed_s_counts(two):
    made = await two()

    async def refuses(symbols):
        raise Refused("no data subscription")

    terms = {**made.lookout.sources.own_terms, "xts-client": refuses}
    made.lookout.sources = msgspec.structs.replace(made.lookout.sources, own_terms=terms)
    await made.ask()
    for account in (KITE, XTS):
        assert made.book(account).bands[CALL] == BANDS[KITE]
        assert made.moves(account) == {"NIFTY": pytest.approx(25_010.0 / CLOSES[KITE] - 1.0)}


async def test_a_book_that_is_made_anew_is_shown_what_is_known(two):
    made = await two()
    await made.ask()
    engine = made.station.seats[XTS].engine
    await engine.new_day()
    assert CALL not in made.book(XTS).bands
    made.lookout.attach()
    assert made.book(XTS).bands[CALL] == BANDS[XTS]


async def test_past_closes_come_from_the_first_broker_that_tells_any(monkeypatch):
    said = {"a": Refused("no bars"), "b": {}, "c": {"day": 1.0}}

    async def past(broker, symbol, days):
        if isinstance(said[broker], Exception):
            raise said[broker]
        return said[broker]

    monkeypatch.setattr(closes_of, "past_closes", past)
    assert await first_closes(["a", "b", "c"], "NIFTY") == {"day": 1.0}
    assert await first_closes(["b"], "NIFTY") == {}
    with pytest.raises(Refused, match="no bars"):
        await first_closes(["b", "a"], "NIFTY")
    said["b"] = BadData("paper has none")
    with pytest.raises(Refused, match="no bars"):
        await first_closes(["a", "b"], "NIFTY")
