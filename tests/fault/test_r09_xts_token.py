"""R09 for XTS, quick form: the token dies in the middle of the day, with working orders.

XTS differs from Kite: a login with the keys is possible at any time, but it ends the session of every other process.
So a dead token brings at most one login, and where that is not wanted none.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from toolkit.brokers.tokens import TokenStore
from toolkit.brokers.xts_login import log_in
from toolkit.brokers.xts_session import forget_sessions
from toolkit.errors import AuthExpired
from toolkit.types import OrderRequest, Side

CE = "NIFTY 14JUL2026 25000 CE"
PROFILES = ("investor", "dealer_named")


def order(i, account):
    return OrderRequest(
        cl_ord_id=f"T{i}", symbol=CE, side=Side.BUY, order_qty=65, price_p=8000 + 5 * i, account=account
    )


def logins(sim):
    return sum(row["call"] == "POST /interactive/user/session" for row in sim.record("call"))


@pytest.mark.parametrize("profile", PROFILES)
async def test_expiry_is_a_state_and_not_a_storm(xts_sim, profile):
    """Without logins of its own: nothing is sent with the dead token, and a login elsewhere brings all back."""
    sim = await xts_sim(profile=profile)
    who = sim.app.clients[0]
    store = TokenStore(sim.server.record.path.parent / "shared")
    broker = sim.broker(terms={"relogin": False}, tokens=store)
    for i in range(8):
        await broker.place(order(i, who))
    heard = []

    async def listen():
        async for report in broker.updates():
            heard.append(report)

    task = asyncio.create_task(listen())
    await asyncio.sleep(0.1)
    sim.server.expire()
    async with asyncio.timeout(5):
        while broker.state != "auth_expired":
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)  # what was under way when it died
    before = [row["call"] for row in sim.record("call")]
    for i in range(20, 25):
        with pytest.raises(AuthExpired, match=r"nothing was (sent|done); run: toolkit login xts-"):
            await broker.place(order(i, who))
    with pytest.raises(AuthExpired):
        await broker.orders()
    await asyncio.sleep(0.2)
    after = [row["call"] for row in sim.record("call")][len(before) :]
    assert [call for call in after if call.startswith(("POST /interactive", "GET /interactive/orders"))] == []
    assert logins(sim) == 1
    assert not task.done()

    forget_sessions()  # another process knows nothing of this one
    await log_in(sim.settings(), store)
    assert {o.cl_ord_id for o in await broker.orders()} == {f"T{i}" for i in range(8)}
    assert broker.state == "ready"
    await broker.cancel("T3")
    async with asyncio.timeout(5):
        while not [r for r in heard if r.cl_ord_id == "T3"]:
            await asyncio.sleep(0.005)
    assert [str(r.exec_type) for r in heard] == ["canceled"]
    await broker.close()
    await task


@pytest.mark.parametrize("profile", PROFILES)
async def test_an_order_under_a_dead_token_is_not_placed_and_the_next_logs_in_once(xts_sim, profile):
    sim = await xts_sim(profile=profile)
    who = sim.app.clients[0]
    broker = sim.broker()
    await broker.place(order(1, who))
    sim.server.expire()
    with pytest.raises(AuthExpired):
        await broker.place(order(2, who))
    await broker.place(order(3, who))
    assert {o.cl_ord_id for o in await broker.orders()} == {"T1", "T3"}
    assert logins(sim) == 2


async def test_many_calls_that_meet_a_dead_token_bring_one_login(xts_sim):
    sim = await xts_sim()
    broker, other = sim.broker(), sim.broker()
    await asyncio.gather(broker.orders(), other.orders())
    sim.server.expire()
    await asyncio.gather(*(b.margins() for b in (broker, other) for _ in range(5)))
    assert logins(sim) == 2


async def test_a_key_used_elsewhere_is_not_fought_over(xts_sim):
    """Two machines with one key pair: each login ends the other's; within the pause the loser says so and waits."""
    sim = await xts_sim()
    broker = sim.broker(terms={"login_every_s": 30.0})
    await broker.orders()
    sim.server.expire()  # the other machine logged in
    with pytest.raises(AuthExpired, match="the last login was just now; nothing was sent; wait"):
        await broker.orders()
    count = logins(sim)
    for _ in range(5):
        with pytest.raises(AuthExpired):
            await broker.orders()
    assert logins(sim) == count == 1


async def test_a_login_in_another_process_is_taken_up(xts_sim, tmp_path):
    sim = await xts_sim(profile="dealer_named")
    store = TokenStore(tmp_path / "shared")
    broker = sim.broker(terms={"relogin": False}, tokens=store)
    await broker.profile()
    sim.server.expire()
    with pytest.raises(AuthExpired):
        await broker.orders()
    forget_sessions()  # another process knows nothing of this one
    await log_in(sim.settings(), store)
    assert await broker.orders() == ()
    assert logins(sim) == 2


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
async def test_full_form_expiry_at_a_random_moment(xts_sim, seed):
    """Whatever is under way: an order is placed or refused, never both, and none is sent twice."""
    rng = random.Random(seed)
    sim = await xts_sim()
    broker = sim.broker()
    await broker.orders()
    outcome = {}

    async def place(i):
        await asyncio.sleep(rng.random() * 0.3)
        try:
            outcome[f"T{i}"] = await broker.place(order(i, "SIM001"))
        except AuthExpired:
            outcome[f"T{i}"] = None

    async def kill():
        await asyncio.sleep(rng.random() * 0.3)
        sim.server.expire()

    await asyncio.gather(kill(), *(place(i) for i in range(20)))
    book = {o.cl_ord_id for o in await broker.orders()}
    assert book == {name for name, made in outcome.items() if made is not None}, f"seed {seed}"
    sent = [
        row["fields"]["orderUniqueIdentifier"]
        for row in sim.record("call")
        if row["call"] == "POST /interactive/orders"
    ]
    assert len(sent) == len(set(sent)) == 20
