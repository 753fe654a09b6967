"""R09 for XTS with both sockets up: what a dead token does to the feed, and what a login brings back."""

from __future__ import annotations

import asyncio

import pytest

from toolkit.errors import AuthExpired
from toolkit.types import OrderRequest, Side

CE = "NIFTY 14JUL2026 25000 CE"


def order(i: int, account: str) -> OrderRequest:
    return OrderRequest(
        cl_ord_id=f"T{i}", symbol=CE, side=Side.BUY, order_qty=65, price_p=8000 + 5 * i, account=account
    )


async def until(what, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("profile", ["investor", "dealer_named"])
async def test_feed_books_and_orders_stop_in_two_seconds_and_are_back_in_five(xts_sim, profile, caplog):
    sim = await xts_sim(profile=profile)
    who = sim.app.clients[0]
    broker = sim.broker(terms={"relogin": False, "calm_s": 60.0})
    listed = [i for i in await broker.instruments() if i.underlying == "NIFTY" and i.kind == "option"][:30]
    feed = broker.feed()
    feed.want(dict.fromkeys(listed, "full"))
    heard: list = []

    async def listen() -> None:
        async for report in broker.updates():
            heard.append(report)

    task = asyncio.create_task(listen())
    await until(lambda: broker._shared.live, 20)
    for i in range(20):
        await broker.place(order(i, who))
    await until(lambda: len([r for r in heard if str(r.exec_type) == "new"]) == 20, 20)
    await until(lambda: len(broker.market.subscribed) == 2 * len(listed), 20)

    sim.server.expire()
    await until(lambda: feed.state == broker.state == "auth_expired", 2)
    assert feed.stale() == {i.token for i in listed}
    assert "toolkit login" in feed.reason
    assert "feed refused" in caplog.text, "the user is told"
    placed = len(sim.app.book.orders)
    for i in range(30, 35):
        with pytest.raises(AuthExpired):
            await broker.place(order(i, who))
    assert len(sim.app.book.orders) == placed

    await broker.link.login()
    await broker.market.link.login()
    await until(lambda: feed.state == broker._shared.socket.feed.state == "live", 5)
    await until(lambda: len(sim.server.feed.wanted) == 2 * len(listed), 5)
    assert {o.cl_ord_id for o in await broker.orders()} == {f"T{i}" for i in range(20)}
    await broker.cancel("T3")
    await until(lambda: heard[-1].cl_ord_id == "T3", 5)
    assert [str(r.exec_type) for r in heard] == ["new"] * 20 + ["canceled"]
    task.cancel()
    await broker.close()
