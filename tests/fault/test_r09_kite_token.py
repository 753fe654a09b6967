"""R09 for Kite, quick form: the token dies in the middle of the day, with working orders."""

from __future__ import annotations

import asyncio
import random

import pytest

from toolkit.brokers.tokens import StoredToken, TokenStore, token_day
from toolkit.config import Secret
from toolkit.errors import AuthExpired
from toolkit.types import OrderRequest, Side

CE = "NIFTY 14JUL2026 25000 CE"


def order(i):
    return OrderRequest(
        cl_ord_id=f"T{i}", symbol=CE, side=Side.BUY, order_qty=65, price_p=8000 + 5 * i, account="SIM001", broker="kite"
    )


async def test_expiry_is_a_state_and_not_a_storm(kite_sim):
    sim = await kite_sim()
    broker = sim.broker()
    for i in range(20):
        await broker.place(order(i))
    heard = []

    async def listen():
        async for report in broker.updates():
            heard.append(report)

    task = asyncio.create_task(listen())
    await asyncio.sleep(0.1)
    sim.app.expire()
    async with asyncio.timeout(2):
        while broker.state != "auth_expired":
            await asyncio.sleep(0.005)
    sent = len(sim.record("call"))
    for i in range(20, 30):
        with pytest.raises(AuthExpired, match="no longer valid; nothing was sent; run: toolkit login kite"):
            await broker.place(order(i))
    with pytest.raises(AuthExpired):
        await broker.orders()
    await asyncio.sleep(0.2)
    assert len(sim.record("call")) == sent, "a dead token was used again"
    assert not task.done()

    broker.link.renew(Secret(sim.app.access_token))
    assert broker.state == "ready"
    book = {o.cl_ord_id for o in await broker.orders()}
    assert book == {f"T{i}" for i in range(20)}
    await broker.cancel("T3")
    async with asyncio.timeout(5):
        while not [r for r in heard if r.cl_ord_id == "T3"]:
            await asyncio.sleep(0.005)
    assert [str(r.exec_type) for r in heard] == ["canceled"]
    await broker.close()
    await task


async def test_a_login_in_another_process_is_taken_up(kite_sim, tmp_path):
    import time

    from toolkit.brokers.kite import KiteBroker

    sim = await kite_sim()
    store = TokenStore(tmp_path)
    broker = KiteBroker(sim.settings(access_token=Secret("")), tokens=store)
    broker.follow_venue(0.0)
    assert broker.state == "no_token"
    with pytest.raises(AuthExpired, match="no token of today"):
        await broker.profile()

    def log_in():
        now = time.time_ns()
        token = Secret(sim.app.access_token)
        store.save("kite", "simkey", StoredToken(token=token, account="SIM001", day=token_day(now), stored_ns=now))

    log_in()
    assert (await broker.profile()).account == "SIM001"
    sim.app.expire()
    with pytest.raises(AuthExpired):
        await broker.orders()
    assert broker.state == "auth_expired"
    log_in()
    assert broker.state == "ready"
    assert await broker.orders() == ()
    await broker.close()


async def test_an_order_under_a_dead_token_is_not_placed(kite_sim):
    sim = await kite_sim()
    broker = sim.broker()
    await broker.place(order(1))
    sim.app.expire()
    with pytest.raises(AuthExpired):
        await broker.place(order(2))
    broker.link.renew(Secret(sim.app.access_token))
    assert [o.cl_ord_id for o in await broker.orders()] == ["T1"]
    await broker.close()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
async def test_full_form_expiry_at_a_random_moment(kite_sim, seed):
    """Whatever is under way: an order is placed or refused, never both, and nothing is sent with a dead token again."""
    rng = random.Random(seed)
    sim = await kite_sim()
    broker = sim.broker()
    await broker.orders()
    outcome = {}

    async def place(i):
        await asyncio.sleep(rng.random() * 0.3)
        try:
            outcome[f"T{i}"] = await broker.place(order(i))
        except AuthExpired:
            outcome[f"T{i}"] = None

    async def kill():
        await asyncio.sleep(rng.random() * 0.3)
        sim.app.expire()

    await asyncio.gather(kill(), *(place(i) for i in range(20)))
    dead = sum(row["status"] == 403 for row in sim.record("call"))
    assert dead <= 20
    broker.link.renew(Secret(sim.app.access_token))
    book = {o.cl_ord_id for o in await broker.orders()}
    assert book == {name for name, made in outcome.items() if made is not None}, f"seed {seed}"
    await broker.close()
