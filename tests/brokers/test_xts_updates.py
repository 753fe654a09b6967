"""The two sockets behind the port, against the simulated XTS: ticks by our keys, and reports as orders change."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from toolkit.brokers.tokens import TokenStore
from toolkit.brokers.xts import XtsBroker
from toolkit.brokers.xts_session import forget_sessions
from toolkit.brokers.xts_settings import XtsTerms, xts_settings
from toolkit.brokers.xts_updates import EIO_BY_HOST
from toolkit.config import Settings, share
from toolkit.errors import AuthExpired
from toolkit.market.feed import ThreadFeed
from toolkit.market.last_values import quotes
from toolkit.types import OrderRequest, Side

MANY = 10**6
LOTS = 65


class Sim:
    """A simulated install in this process, and brokers on it."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.brokers = []

    async def start(self, *settings, speed=20.0, **plan) -> Sim:
        from toolkit.sim.servers.xts_run import XtsPlan, make_xts, xts_ready

        made = XtsPlan(
            session=share("data", "sample"), at="11:00:30", seed=1, record=self.folder / "record.jsonl",
            speed=speed, settings=("rates=off", *settings), **plan,
        )  # fmt: skip
        self.server = make_xts(made)
        await self.server.start(0)
        self.ready = xts_ready(self.server, made)
        self.speed = speed
        return self

    def broker(self, terms=None, **options) -> XtsBroker:
        env = {k.rpartition("__")[2].lower(): v for k, v in self.ready["env"].items()}
        role = "client" if self.server.app.install.dealer else "pro"
        settings = xts_settings(Settings.load(environ={}), **(env | {"role": role} | options))
        quick = {f"{k}_per_s": MANY for k in ("orders", "books", "quotes", "subscribe", "others")}
        limits = XtsTerms(**(quick | {"login_every_s": 0.0, "poll_s": 0.05, "calm_s": 60.0} | (terms or {})))
        made = XtsBroker(settings, terms=limits, tokens=TokenStore(self.folder))
        made.follow_venue(self.speed)
        self.brokers.append(made)
        return made

    async def near(self, broker, count: int):
        """The index, the nearest future and options of the first expiry, nearest to the money first."""
        listed = [i for i in await broker.instruments() if i.underlying == "NIFTY" and i.exchange == "NSE"]
        expiry = min(i.expiry for i in listed if i.kind == "option")
        options = [i for i in listed if i.kind == "option" and i.expiry == expiry]
        options.sort(key=lambda i: abs(i.strike_p - 2_545_000))
        others = [i for i in listed if i.kind == "index"] + [i for i in listed if i.kind == "future"][:1]
        return others + options[:count]

    def sockets(self, api: str):
        return self.server.sockets.of(api)

    async def stop(self) -> None:
        for broker in self.brokers:
            await broker.close()
        await self.server.stop()


@pytest.fixture
async def sim(tmp_path):
    pytest.importorskip("websockets", reason="the sockets are in the extra xts")
    forget_sessions()
    EIO_BY_HOST.clear()
    made = Sim(tmp_path)
    yield made
    await made.stop()
    forget_sessions()


async def until(what, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.01)


INSTALLS = {
    "as most": ((), {}, {}, 3),
    "4 only": (("deflate=off",), {"eio": "4"}, {}, 4),
    "3 whatever is asked": ((), {"eio": "3"}, {"eio": "4"}, 4),
    "partial text": (("touchline=flat",), {}, {"md_mode": "Partial"}, 3),
    "packets": (("deflate=mixed", "packets=20", "layout=wide"), {}, {"md_format": "Binary"}, 3),
    "packets though JSON was asked": ((), {"format": "binary"}, {}, 3),
    "binary prefix": (("md=binary",), {}, {}, 3),
    "whole batches refused": (("batch=whole",), {}, {}, 3),
}


@pytest.mark.parametrize("name", INSTALLS)
async def test_every_install_gives_the_same_rows(sim, name):
    settings, plan, mine, eio = INSTALLS[name]
    await sim.start(*settings, **plan)
    broker = sim.broker(
        terms={k: v for k, v in mine.items() if k.startswith("md_")},
        **{k: v for k, v in mine.items() if not k.startswith("md_")},
    )
    wanted = await sim.near(broker, 20)
    if name == "whole batches refused":
        option = next(i for i in wanted if i.kind == "option")
        await broker.market.subscribe([(option.token >> 32, option.token & 0xFFFFFFFF)], 1502)
        broker.market._have.clear()  # as another process on the same token
    feed = broker.feed()
    assert broker.feed() is feed
    feed.want(dict.fromkeys(wanted, "full"))
    await until(lambda: len(feed.last) == len(wanted) and feed.stats["quotes"] > 3 * len(wanted))
    await until(lambda: quotes(feed.last.rows())["oi"].null_count() == 1)  # the index alone has none
    assert feed.state == "live"
    assert feed.wire.eio == eio
    assert feed.stats["bad"] == 0
    assert feed.notices == []
    assert feed.stale() == set()
    rows = quotes(feed.last.rows())
    keys = {i.token: i for i in wanted}
    assert set(rows["token"]) == set(keys)
    assert rows["ltp"].null_count() == 0
    truth = await broker.quote([i.symbol for i in wanted if i.kind == "option"])
    last = {row["token"]: row for row in rows.to_dicts()}
    for i in wanted:
        if i.kind == "option":
            row, asked_p = last[i.token], truth[i.symbol].ltp_p
            assert row["bid"] is None or row["ask"] is None or row["bid"] <= row["ask"]
            assert abs(row["ltp"] * 100 - asked_p) <= max(1000, 0.4 * asked_p), "the market moves, but not that far"


async def test_a_reconnect_on_the_same_session_flows_on_with_snapshots(sim):
    await sim.start(speed=0.0)  # no tick comes by itself
    broker = sim.broker()
    wanted = await sim.near(broker, 4)
    feed = broker.feed()
    feed.want(dict.fromkeys(wanted, "full"))
    await until(lambda: len(feed.last) == len(wanted))
    await until(lambda: len(broker.market.subscribed) == 2 * len(wanted))
    count = len(broker.market.subscribed)
    before = feed.stats["quotes"]
    sim.server.sockets.drop("marketdata", 1001)
    await until(lambda: feed.stats["connects"] == 2 and feed.state == "live")
    await until(lambda: feed.stats["quotes"] >= before + len(wanted))
    await until(lambda: not feed.stale())
    assert len(sim.server.feed.wanted) == count, "nothing was lost or doubled"


async def test_a_feed_on_its_own_thread_shares_the_login_and_starts_again(sim):
    """As a notebook has it: the broker in one loop, its feed in another."""
    await sim.start()
    broker = sim.broker()
    wanted = await sim.near(broker, 4)
    feed = ThreadFeed(broker.feed)

    def lives(quotes_before):
        return feed.state == "live" and len(feed.rows()) == 5 and feed.stats["quotes"] > quotes_before + 20

    before = 0
    await asyncio.to_thread(feed.want, dict.fromkeys(wanted[:5], "full"))
    try:
        for _ in range(2):
            await asyncio.to_thread(feed.start)
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(lives, before):
                    assert set(await broker.quote([wanted[-1].symbol])) == {wanted[-1].symbol}
            await asyncio.to_thread(feed.stop)
            before = feed.stats["quotes"]
    finally:
        await asyncio.to_thread(feed.stop)
    assert await broker.orders() == ()


async def test_a_changed_wish_gives_up_what_is_gone_and_keeps_the_rest(sim):
    await sim.start()
    broker = sim.broker()
    wanted = await sim.near(broker, 6)
    feed = broker.feed()
    feed.want(dict.fromkeys(wanted, "full"))
    await until(lambda: len(sim.server.feed.wanted) == 2 * len(wanted))
    option = next(i for i in wanted if i.kind == "option")
    feed.want({option: "quote"})
    await until(lambda: [code for code, _ in sim.server.feed.wanted] == [1501])
    await until(lambda: feed.last.row(option.token) is not None and feed.last.row(option.token)["kind"] == 2)


async def test_the_installs_limit_is_told_and_what_fits_lives(sim):
    await sim.start("subscriptions=9")
    broker = sim.broker(terms={"batch": 4})
    feed = broker.feed()
    feed.want(dict.fromkeys((await sim.near(broker, 20))[2:], "full"))
    await until(lambda: feed.notices)
    assert "limit of subscriptions is reached, 32 are left out" in feed.notices[0]
    await until(lambda: len(feed.last) == 8)
    assert len(feed.stale()) == 12
    assert feed.state == "live"
    feed.want(dict.fromkeys((await sim.near(broker, 4))[2:], "full"))
    await until(lambda: len(sim.server.feed.wanted) == 8)
    await until(lambda: feed.stale() == set())


async def test_a_new_login_subscribes_everything_again(sim):
    await sim.start()
    broker = sim.broker()
    wanted = await sim.near(broker, 6)
    feed = broker.feed()
    feed.want(dict.fromkeys(wanted, "full"))
    await until(lambda: len(sim.server.feed.wanted) == 2 * len(wanted))
    sim.server.expire("marketdata")
    assert len(sim.server.feed.wanted) == 0
    await until(lambda: feed.stats["connects"] == 2 and feed.state == "live")
    await until(lambda: len(sim.server.feed.wanted) == 2 * len(wanted))
    assert "logged in" in feed.reason or feed.reason == ""


async def test_without_relogin_a_dead_token_stops_the_feed_until_somebody_logs_in(sim):
    await sim.start()
    broker = sim.broker(terms={"relogin": False})
    wanted = await sim.near(broker, 2)
    feed = broker.feed()
    feed.want(dict.fromkeys(wanted, "full"))
    await until(lambda: feed.state == "live" and len(feed.last) == len(wanted))
    sim.server.expire("marketdata")
    await until(lambda: feed.state == "auth_expired", 2.0)
    assert feed.stale() == {i.token for i in wanted}
    assert "toolkit login xts-pro" in feed.reason
    await broker.market.link.login()
    await until(lambda: feed.state == "live" and not feed.stale(), 5.0)


def order(broker, symbol: str, name: str, price_p: int = 100, **more) -> OrderRequest:
    return OrderRequest(
        cl_ord_id=name, symbol=symbol, side=Side.BUY, order_qty=LOTS, price_p=price_p, broker=broker.name,
        account=broker.client, **more,
    )  # fmt: skip


async def listening(broker):
    """Reports as they come, once the order socket is live."""
    heard: list = []

    async def listen() -> None:
        async for report in broker.updates():
            heard.append(report)

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)  # it has begun to listen
    await until(lambda: broker._shared.live)
    return heard, task


@pytest.mark.parametrize("settings", [("args=text",), ("args=object", "ids=float"), ("args=list", "events=before")])
@pytest.mark.parametrize("eio", ["3", "4"])
async def test_reports_come_from_the_socket_once_each(sim, settings, eio):
    await sim.start(*settings, eio=eio)
    broker = sim.broker()
    option = next(i for i in await sim.near(broker, 1) if i.kind == "option")
    heard, task = await listening(broker)
    await until(lambda: broker._shared.gaps == 1)  # the books have been read after the connection
    reads = len(calls(sim, "GET /orders"))
    await broker.place(order(broker, option.symbol, "A1"))
    await until(lambda: [str(r.exec_type) for r in heard] == ["new"])
    await broker.cancel("A1")
    await until(lambda: [str(r.exec_type) for r in heard] == ["new", "canceled"])
    ask = (await broker.quote([option.symbol]))[option.symbol].ask_p
    await broker.place(order(broker, option.symbol, "A2", price_p=ask + 1000))
    await until(lambda: "trade" in [str(r.exec_type) for r in heard])
    assert [(r.cl_ord_id, str(r.exec_type)) for r in heard] == [
        ("A1", "new"), ("A1", "canceled"), ("A2", "new"), ("A2", "trade"),
    ]  # fmt: skip
    assert (heard[-1].last_qty, heard[-1].symbol) == (LOTS, option.symbol)
    assert len(calls(sim, "GET /orders")) - reads <= 2, "the socket tells; the books are not read for each event"
    task.cancel()


def calls(sim, call: str) -> list:
    import json

    rows = [json.loads(line) for line in sim.server.record.path.read_text().splitlines()]
    return [row for row in rows if row.get("kind") == "call" and str(row.get("call", "")).startswith(call)]


async def test_doubled_and_shuffled_events_are_said_once_and_never_reopen_an_order(sim):
    await sim.start(faults=("duplicate-updates", "shuffle-updates"))
    broker = sim.broker()
    option = next(i for i in await sim.near(broker, 1) if i.kind == "option")
    heard, task = await listening(broker)
    ask = (await broker.quote([option.symbol]))[option.symbol].ask_p
    for n in range(8):
        await broker.place(order(broker, option.symbol, f"B{n}", price_p=ask + 1000))
    await until(lambda: sum(str(r.exec_type) == "trade" for r in heard) == 8)
    await asyncio.sleep(0)
    assert len({r.exec_id for r in heard}) == len(heard)
    for n in range(8):
        mine = [str(r.exec_type) for r in heard if r.cl_ord_id == f"B{n}"]
        assert mine == ["new", "trade"]
    task.cancel()


async def test_what_happened_while_the_socket_was_down_is_read_from_the_books(sim):
    await sim.start()
    broker = sim.broker(terms={"poll_s": 60.0})
    option = next(i for i in await sim.near(broker, 1) if i.kind == "option")
    heard, task = await listening(broker)
    await until(lambda: broker._shared.gaps == 1)  # "connected" has been taken
    sim.server.sockets.drop("interactive")
    place = broker.market._master.place_of(option)
    form = {
        "exchangeSegment": place[0], "exchangeInstrumentID": place[1], "productType": "NRML", "orderType": "LIMIT",
        "orderSide": "BUY", "timeInForce": "DAY", "disclosedQuantity": 0, "orderQuantity": LOTS, "limitPrice": 1.0,
        "stopPrice": 0, "orderUniqueIdentifier": "elsewhere1",
    }  # fmt: skip
    sim.server.control._order(None, form)
    await until(lambda: [r.cl_ord_id for r in heard] == ["elsewhere1"])
    task.cancel()


async def test_logout_is_auth_expired_and_a_new_login_brings_updates_back(sim):
    await sim.start()
    broker = sim.broker(terms={"relogin": False})
    option = next(i for i in await sim.near(broker, 1) if i.kind == "option")
    heard, task = await listening(broker)
    sim.server.expire("interactive")
    await until(lambda: broker.state == "auth_expired", 2.0)
    with pytest.raises(AuthExpired):
        await broker.place(order(broker, option.symbol, "C1"))
    await until(lambda: not broker._shared.live, 5.0)
    await broker.link.login()
    await until(lambda: broker._shared.live, 5.0)
    await broker.place(order(broker, option.symbol, "C2"))
    await until(lambda: [r.cl_ord_id for r in heard] == ["C2"])
    task.cancel()


async def test_who_logged_out_on_purpose_is_not_logged_in_again(sim):
    await sim.start()
    broker = sim.broker()
    feed = broker.feed()
    feed.want(dict.fromkeys(await sim.near(broker, 2), "full"))
    _, task = await listening(broker)
    await until(lambda: len(sim.server.feed.wanted) == 8)
    await broker.market.link.logout()
    await until(lambda: feed.state == "auth_expired")
    assert "logged out" in feed.reason
    assert broker.market.link.state == "no_token"
    task.cancel()


async def test_a_dealer_hears_its_clients_apart(sim):
    await sim.start(profile="dealer_named")
    broker = sim.broker()
    first, second = (broker.for_client(code) for code in ("CLI01", "CLI02"))
    option = next(i for i in await sim.near(broker, 1) if i.kind == "option")
    one, task = await listening(first)
    two, other = await listening(second)
    assert len(sim.sockets("interactive")) == 1, "one socket a login"
    await second.place(order(second, option.symbol, "D2"))
    await until(lambda: [r.cl_ord_id for r in two] == ["D2"])
    await first.place(order(first, option.symbol, "D1"))
    await until(lambda: [r.cl_ord_id for r in one] == ["D1"])
    assert [r.cl_ord_id for r in two] == ["D2"]
    task.cancel()
    other.cancel()


async def test_after_a_host_lookup_the_socket_is_where_the_answer_says(sim):
    await sim.start()
    ready = sim.ready
    broker = sim.broker(hostlookup=ready["hostlookup"], accesspassword=ready["accesspassword"], root="")
    _, task = await listening(broker)
    (peer,) = sim.sockets("interactive")
    assert peer.path == "/1interactive/socket.io"
    task.cancel()


async def test_no_log_no_error_and_no_repr_shows_a_token(sim, caplog):
    for name in ("toolkit", "asyncio", "websockets.client", "websockets.protocol", "httpx", "httpcore"):
        caplog.set_level("DEBUG", name)
    await sim.start(faults=("handshake:503@WS /apimarketdata#1",))
    broker = sim.broker()
    feed = broker.feed()
    feed.want(dict.fromkeys(await sim.near(broker, 2), "full"))
    _, task = await listening(broker)
    await until(lambda: feed.state == "live")
    links = {"marketdata": broker.market.link, "interactive": broker.link}
    tokens = {link._live().token.reveal() for link in links.values()}
    for api, link in links.items():
        sim.server.sockets.emit(api, "error", f"bad token {link._live().token.reveal()}")
    await until(lambda: feed.notices and broker._shared.socket.feed.notices)
    sim.server.expire()
    await until(lambda: feed.stats["connects"] == 2)
    tokens.add(broker.market.link._live().token.reveal())
    assert len(tokens) == 3
    shown = [caplog.text, repr(feed.wire), repr(feed.wire._door), str(feed.notices), feed.reason, repr(broker)]
    assert not [text for text in shown for token in tokens if token in text]
    assert "error: bad token ***" in caplog.text
    task.cancel()


async def test_rows_have_the_names_of_kites_ticks(sim):
    from toolkit.market.kite_wire import TICK
    from toolkit.market.xts_rows import ROW

    assert set(TICK.names) == set(ROW.names)
    await sim.start()
    broker = sim.broker()
    feed = broker.feed()
    stream = feed.ticks()
    feed.want(dict.fromkeys((await sim.near(broker, 2))[2:], "full"))
    batch = await asyncio.wait_for(anext(stream), 10)
    assert batch.dtype == ROW
    assert not batch.flags.writeable
    assert np.all(batch["recv_ns"] > 0)
    await feed.close()
    async with asyncio.timeout(5):
        assert all([len(batch) async for batch in stream]), "what waits is given, then it ends"


async def test_the_recorder_takes_the_feed_as_it_takes_any_other(sim, tmp_path):
    from toolkit.store.recorder import Recorder
    from toolkit.store.session import open_session

    await sim.start()
    broker = sim.broker()
    wanted = await sim.near(broker, 6)
    store = tmp_path / "recorded"
    recorder = Recorder(store, wanted, clock=broker.clock, synthetic=True, source="test", flush_s=1.0)
    feed = broker.feed()
    stream = feed.ticks()
    feed.want(dict.fromkeys(recorder.contracts, "full"))
    while len(feed.last) < len(wanted) or feed.stats["quotes"] < 40:
        recorder.put(await asyncio.wait_for(anext(stream), 10))
    await asyncio.to_thread(recorder.stop)
    chain = open_session(store).chain(underlying="NIFTY")
    assert set(chain["token"].to_list()) == {i.token for i in wanted if i.kind == "option"}
    assert chain["oi"].null_count() == chain["ltp"].null_count() == 0
    assert chain["spot"].null_count() == 0
