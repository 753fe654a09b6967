"""The whole order life and the feed against a second install that speaks the wire from its documents alone."""

from __future__ import annotations

import asyncio

import pytest

from toolkit.brokers.act import Act
from toolkit.brokers.tokens import TokenStore
from toolkit.brokers.xts import XtsBroker
from toolkit.brokers.xts_session import forget_sessions
from toolkit.brokers.xts_settings import XtsTerms, xts_settings
from toolkit.brokers.xts_updates import EIO_BY_HOST
from toolkit.config import Settings
from toolkit.market.last_values import quotes
from toolkit.orders.live import LiveEngine
from toolkit.orders.settings import EngineSettings
from toolkit.risk.limits import Limits
from toolkit.types import Modify, OrderRequest, OrdStatus, Product, Side

CE, LOT = "NIFTY 14JUL2026 25000 CE", 65
MANY = 10**6
QUICK = EngineSettings(poll_s=0.02, answer_s=5.0)


async def until(what, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.01)


@pytest.fixture
async def connect(tmp_path):
    """``connect(install)`` gives a broker as a user of that install configures it."""
    pytest.importorskip("websockets", reason="the sockets are in the extra xts")
    forget_sessions()
    EIO_BY_HOST.clear()
    made = []

    def go(install):
        habits = install.habits
        own = {"root": install.root} if habits["lookup"] == "none" else {"hostlookup": install.root}
        role = {"investor": "pro"}.get(habits["role"], "client")
        found = xts_settings(
            Settings.load(environ={}), **own, role=role, md_root=install.root, md_prefix=habits["md"], app_key="A",
            secret_key="B", md_app_key="C", md_secret_key="D", accesspassword="E", client_id="CLI01",
            client_id_mode="masked" if habits["role"] == "dealer_masked" else "",
        )  # fmt: skip
        fast = {f"{k}_per_s": MANY for k in ("orders", "books", "quotes", "subscribe", "ohlc", "others")}
        mode = "Partial" if habits["format"] == "partial" else "Full"
        terms = XtsTerms(**fast, backoff_s=0.01, poll_s=0.05, calm_s=1.0, login_every_s=0.0, md_mode=mode)
        made.append(XtsBroker(found, terms=terms, tokens=TokenStore(tmp_path)))
        made[-1].follow_venue(1.0)
        return made[-1]

    yield go
    for broker in made:
        await broker.close()
    forget_sessions()


async def a_day(install, connect, folder):
    broker = connect(install)
    heard = []

    async def listen():
        async for report in broker.updates():
            heard.append(report)

    await broker.login()
    await broker.profile()
    listening = asyncio.create_task(listen())
    made = {"symbol": CE, "side": Side.BUY, "order_qty": LOT, "account": "CLI01", "broker": broker.name}
    realm = {"clock": broker.clock, "realm": install.root, "folder": folder}
    if install.habits["events"] != "never":
        await until(lambda: install.sockets["interactive"])
    async with Act(LiveEngine(broker, "CLI01", limits=Limits(), engine=QUICK, **realm)) as act:
        filled = await act.place(OrderRequest(cl_ord_id="F1", price_p=10010, **made))
        assert (filled.ord_status, filled.cum_qty, filled.traded_value_p) == (OrdStatus.FILLED, LOT, 10005 * LOT)
        working = await act.place(OrderRequest(cl_ord_id="W1", price_p=9000, **made))
        assert working.ord_status is OrdStatus.NEW
        changed = await act.modify(Modify(cl_ord_id="W1", order_qty=2 * LOT, price_p=9100))
        assert (changed.request.order_qty, changed.request.price_p) == (2 * LOT, 9100)
        assert (await act.cancel("W1")).ord_status is OrdStatus.CANCELED
    assert [(o.cl_ord_id, str(o.ord_status)) for o in await broker.orders()] == [("F1", "filled"), ("W1", "canceled")]
    assert [(f.account, f.last_qty, f.last_px_p) for f in await broker.trades()] == [("CLI01", LOT, 10005)]
    assert [(h.symbol, h.net_qty, h.avg_px, h.product) for h in await broker.positions()] == [
        (CE, LOT, 100.05, Product.NRML)
    ]
    sent = [body for method, path, body in install.calls if (method, path) == ("POST", f"{install.api}/orders")]
    told = {"investor": None, "dealer": "CLI01", "dealer_masked": "*****"}[install.habits["role"]]
    assert [body.get("clientID") for body in sent] == [told] * 2
    await until(lambda: any(str(r.exec_type) == "canceled" for r in heard))
    await broker._shared.close()
    await listening
    by_order = {name: [str(r.exec_type) for r in heard if r.cl_ord_id == name] for name in ("F1", "W1")}
    assert by_order["F1"].count("trade") == 1, by_order
    assert by_order["F1"][0] == "new"
    assert by_order["W1"][0] == "new"
    assert by_order["W1"][-1] == "canceled"
    assert by_order["W1"].count("canceled") == 1, by_order
    assert broker._shared.odd_events == 0


async def a_feed(install, connect):
    broker = connect(install)
    contract = await broker.resolve(CE)
    feed = broker.feed()
    feed.want({contract: "full"})
    await until(lambda: len(feed.last) == 1 and feed.stats["quotes"] > 6)
    await until(lambda: quotes(feed.last.rows())["oi"].null_count() == 0)
    (row,) = quotes(feed.last.rows()).to_dicts()
    assert (row["bid"], row["ask"], row["bid_qty"], row["ask_qty"], row["ltp"], row["oi"]) == (
        100.0, 100.05, 650, 1300, 100.05, 650,
    )  # fmt: skip
    assert (feed.state, feed.stats["bad"], feed.notices) == ("live", 0, [])
    spoken = install.habits["eio"]
    assert str(feed.wire.eio) == ("3" if spoken == "both" else spoken)
    assert (await broker.quote([CE]))[CE].ask_p == 10005


@pytest.mark.parametrize("seed", range(6))
async def test_one_day_at_an_install_drawn_by_its_seed(other_install, connect, tmp_path, seed):
    install = await other_install(seed)
    await a_day(install, connect, tmp_path)
    await a_feed(install, connect)


async def test_a_dealer_whose_login_names_no_clients_and_whose_own_books_are_refused(other_install, connect, tmp_path):
    install = await other_install(0, role="dealer", plain="yes", dealer_books="refused", codes="empty", events="never")
    await a_day(install, connect, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 246))
async def test_full_form_many_installs(other_install, connect, tmp_path, seed):
    install = await other_install(seed)
    await a_day(install, connect, tmp_path)
    await a_feed(install, connect)


def test_six_seeds_meet_every_habit_once(other_install):
    for group in range(0, 246, 6):
        drawn = [other_install.drawn(seed) for seed in range(group, group + 6)]
        assert {name: {d[name] for d in drawn} for name in drawn[0]} == {
            name: set(values) for name, values in other_install.choices.items()
        }
