"""R09, quick form: the token dies in the middle of the day, with working orders.

At Kite a human logs in again. At XTS the keys log in at any time, but that ends the session of every other process,
so a dead token brings at most one login, and where that is not wanted none.
"""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from toolkit.brokers.kite import KiteBroker
from toolkit.brokers.tokens import StoredToken, TokenStore, token_day
from toolkit.brokers.xts_login import log_in
from toolkit.brokers.xts_session import forget_sessions
from toolkit.config import Secret
from toolkit.errors import AuthExpired
from toolkit.types import OrderRequest, Side

CE = "NIFTY 14JUL2026 25000 CE"
LOGIN = "POST /interactive/user/session"


class Install:
    """A simulated broker, its calls, and how its sessions end and begin."""

    def __init__(self, sim, name, account, folder):
        self.sim, self.name, self.account = sim, name, account
        self.tokens = TokenStore(folder / "shared")

    def waiting(self):
        """A broker that does not log in by itself."""
        if self.name == "kite":
            return self.sim.broker()
        return self.sim.broker(terms={"relogin": False}, tokens=self.tokens)

    def order(self, i):
        fields = {"symbol": CE, "side": Side.BUY, "order_qty": 65, "price_p": 8000 + 5 * i, "account": self.account}
        return OrderRequest(cl_ord_id=f"T{i}", **({"broker": "kite"} if self.name == "kite" else {}), **fields)

    def expire(self):
        self.sim.server.expire()

    async def log_in(self, broker):
        """A login elsewhere, that this process hears of."""
        if self.name == "kite":
            broker.link.renew(Secret(self.sim.app.access_token))
            return
        forget_sessions()  # another process knows nothing of this one
        await log_in(self.sim.settings(), self.tokens)

    def calls(self, *starts):
        return [row["call"] for row in self.sim.record("call") if row["call"].startswith(starts or "")]

    def logins(self):
        return len(self.calls(LOGIN))


@pytest.fixture
def at(kite_sim, xts_sim, tmp_path):
    """``await at("kite")``, or at an XTS of some profile."""

    async def start(name):
        sim = await (kite_sim() if name == "kite" else xts_sim(profile=name))
        return Install(sim, name, "SIM001" if name == "kite" else sim.app.clients[0], tmp_path)

    return start


@pytest.mark.parametrize("name", ["kite", "investor", "dealer_named"])
async def test_expiry_is_a_state_and_not_a_storm(at, name):
    """Nothing is sent with the dead token, and a login elsewhere brings all back."""
    install = await at(name)
    broker = install.waiting()
    for i in range(20):
        await broker.place(install.order(i))
    heard = []

    async def listen():
        async for report in broker.updates():
            heard.append(report)

    task = asyncio.create_task(listen())
    await asyncio.sleep(0.1)
    install.expire()
    async with asyncio.timeout(2 if name == "kite" else 5):
        while broker.state != "auth_expired":
            await asyncio.sleep(0.005)
    if name != "kite":
        await asyncio.sleep(0.1)  # what was under way when it died
    before = len(install.calls())
    for i in range(20, 30):
        with pytest.raises(AuthExpired, match=r"nothing was (sent|done); run: toolkit login (kite|xts-)"):
            await broker.place(install.order(i))
    with pytest.raises(AuthExpired):
        await broker.orders()
    await asyncio.sleep(0.2)
    after = install.calls()[before:]
    if name == "kite":
        assert after == [], "a dead token was used again"
    assert [c for c in after if c.startswith(("POST /interactive", "GET /interactive/orders"))] == []
    assert install.logins() == (0 if name == "kite" else 1)
    assert not task.done()

    await install.log_in(broker)
    assert {o.cl_ord_id for o in await broker.orders()} == {f"T{i}" for i in range(20)}
    assert broker.state == "ready"
    await broker.cancel("T3")
    async with asyncio.timeout(5):
        while not [r for r in heard if r.cl_ord_id == "T3"]:
            await asyncio.sleep(0.005)
    assert [str(r.exec_type) for r in heard] == ["canceled"]
    await broker.close()
    await task


@pytest.mark.parametrize("name", ["investor", "dealer_named"])
async def test_an_order_under_a_dead_token_is_not_placed_and_the_next_logs_in_once(at, name):
    install = await at(name)
    broker = install.sim.broker()
    await broker.place(install.order(1))
    install.expire()
    with pytest.raises(AuthExpired):
        await broker.place(install.order(2))
    await broker.place(install.order(3))
    assert {o.cl_ord_id for o in await broker.orders()} == {"T1", "T3"}
    assert install.logins() == 2


async def test_an_order_under_a_dead_token_is_not_placed_at_kite(at):
    install = await at("kite")
    broker = install.sim.broker()
    await broker.place(install.order(1))
    install.expire()
    with pytest.raises(AuthExpired):
        await broker.place(install.order(2))
    await install.log_in(broker)
    assert [o.cl_ord_id for o in await broker.orders()] == ["T1"]
    await broker.close()


async def test_many_calls_that_meet_a_dead_token_bring_one_login(at):
    install = await at("investor")
    broker, other = install.sim.broker(), install.sim.broker()
    await asyncio.gather(broker.orders(), other.orders())
    install.expire()
    await asyncio.gather(*(b.margins() for b in (broker, other) for _ in range(5)))
    assert install.logins() == 2


async def test_a_key_used_elsewhere_is_not_fought_over(at):
    """Two machines with one key pair: each login ends the other's; within the pause the loser says so and waits."""
    install = await at("investor")
    broker = install.sim.broker(terms={"login_every_s": 30.0})
    await broker.orders()
    install.expire()  # the other machine logged in
    with pytest.raises(AuthExpired, match="the last login was just now; nothing was sent; wait"):
        await broker.orders()
    count = install.logins()
    for _ in range(5):
        with pytest.raises(AuthExpired):
            await broker.orders()
    assert install.logins() == count == 1


async def test_a_login_in_another_process_is_taken_up_at_xts(at):
    install = await at("dealer_named")
    broker = install.waiting()
    await broker.profile()
    install.expire()
    with pytest.raises(AuthExpired):
        await broker.orders()
    await install.log_in(broker)
    assert await broker.orders() == ()
    assert install.logins() == 2


async def test_a_login_in_another_process_is_taken_up_at_kite(at):
    install = await at("kite")
    broker = KiteBroker(install.sim.settings(access_token=Secret("")), tokens=install.tokens)
    broker.follow_venue(0.0)
    assert broker.state == "no_token"
    with pytest.raises(AuthExpired, match="no token of today"):
        await broker.profile()

    def keep():
        now = time.time_ns()
        token = Secret(install.sim.app.access_token)
        found = StoredToken(token=token, account="SIM001", day=token_day(now), stored_ns=now)
        install.tokens.save("kite", "simkey", found)

    keep()
    assert (await broker.profile()).account == "SIM001"
    install.expire()
    with pytest.raises(AuthExpired):
        await broker.orders()
    assert broker.state == "auth_expired"
    keep()
    assert broker.state == "ready"
    assert await broker.orders() == ()
    await broker.close()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("name", ["kite", "investor"])
async def test_full_form_expiry_at_a_random_moment(at, name, seed):
    """Whatever is under way: an order is placed or refused, never both, and none is sent twice."""
    rng = random.Random(seed)
    install = await at(name)
    broker = install.sim.broker()
    await broker.orders()
    outcome = {}

    async def place(i):
        await asyncio.sleep(rng.random() * 0.3)
        try:
            outcome[f"T{i}"] = await broker.place(install.order(i))
        except AuthExpired:
            outcome[f"T{i}"] = None

    async def kill():
        await asyncio.sleep(rng.random() * 0.3)
        install.expire()

    await asyncio.gather(kill(), *(place(i) for i in range(20)))
    call, key = ("/orders", "tag") if name == "kite" else ("/interactive/orders", "orderUniqueIdentifier")
    rows = [row for row in install.sim.record("call") if row["call"].startswith(f"POST {call}")]
    sent = [row["fields"][key] for row in rows]
    if name == "kite":
        assert sum(row["status"] == 403 for row in install.sim.record("call")) <= 20
        await install.log_in(broker)
    else:
        assert len(sent) == 20
    assert len(sent) == len(set(sent)) <= 20
    book = {o.cl_ord_id for o in await broker.orders()}
    assert book == {tag for tag, made in outcome.items() if made is not None}, f"seed {seed}"
    await broker.close()
