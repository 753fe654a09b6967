"""One order's whole life through the engine at installs that differ: every habit of the simulated XTS, each role."""

from __future__ import annotations

import asyncio

import pytest

from toolkit.brokers.act import Act
from toolkit.orders.live import LiveEngine
from toolkit.orders.settings import EngineSettings
from toolkit.risk.limits import Limits
from toolkit.types import Modify, OrderRequest, OrdStatus, Product, Side

CE = "NIFTY 14JUL2026 25000 CE"
QUICK = EngineSettings(poll_s=0.01, answer_s=2.0)
HABITS = [
    {"profile": "investor"},
    {"profile": "dealer_masked"},
    {"profile": "dealer_named"},
    {"profile": "dealer_empty_positions"},
    {"profile": "dealer_named", "events": "before", "ids": "float", "times": "zoned", "positions": "list"},
    {"profile": "dealer_empty_positions", "empty": "validation", "ids": "text", "times": "day_first", "args": "list"},
    {"profile": "investor", "empty": "list", "times": "day_first_ms", "args": "object", "order_source": "strict"},
    {
        "profile": "investor",
        "empty": "validation",
        "times": "month_first",
        "order_source": "ignore",
        "header": "strict",
    },
    {
        "profile": "dealer_masked",
        "md": "binary",
        "touchline": "flat",
        "stops": "Trigger Pending",
        "limit_error": "flat",
    },
    {"profile": "investor", "lookup": "odd"},
]


def settings_of(sim, habit):
    """What a user of that install configures."""
    if "lookup" not in habit:
        return {}
    return {"root": "", "hostlookup": f"{sim.root}/hostlookup", "accesspassword": sim.app.lookup_word}


@pytest.mark.parametrize("habit", HABITS, ids=lambda h: "-".join(h.values()))
async def test_an_order_lives_the_same_life_at_every_install(xts_sim, tmp_path, habit):
    sim = await xts_sim(**habit)
    broker, account = sim.broker(**settings_of(sim, habit)), sim.app.clients[0]
    made = {"symbol": CE, "side": Side.BUY, "order_qty": 65, "account": account, "broker": broker.name}
    fields = {"limits": Limits(), "engine": QUICK, "clock": broker.clock, "realm": sim.root, "folder": tmp_path}
    async with Act(LiveEngine(broker, account, **fields)) as act:
        filled = await act.place(OrderRequest(cl_ord_id="F1", price_p=10050, **made))
        assert (filled.ord_status, filled.cum_qty, filled.request.account) == (OrdStatus.FILLED, 65, account)
        working = await act.place(OrderRequest(cl_ord_id="W1", price_p=9000, **made))
        assert working.ord_status is OrdStatus.NEW
        sim.advance(1)
        changed = await act.modify(Modify(cl_ord_id="W1", order_qty=130, price_p=9100))
        assert (changed.request.order_qty, changed.request.price_p) == (130, 9100)
        sim.advance(1)
        assert (await act.cancel("W1")).ord_status is OrdStatus.CANCELED
        assert await act.place(OrderRequest(cl_ord_id="F1", price_p=10050, **made)) == act.core.orders["F1"]
    assert {o.cl_ord_id: o.ord_status for o in await broker.orders()} == {
        "F1": OrdStatus.FILLED,
        "W1": OrdStatus.CANCELED,
    }
    assert [(f.account, f.last_qty, f.last_px_p) for f in await broker.trades()] == [(account, 65, 10050)]
    assert [(h.net_qty, h.product) for h in await broker.positions()] == [(65, Product.NRML)]
    sent = [row["fields"] for row in sim.record("call") if row["call"] == "POST /interactive/orders"]
    told = {"investor": None, "dealer_masked": "*****"}.get(habit["profile"], account)
    if "lookup" not in habit:
        assert [(f.get("clientID"), f["apiOrderSource"]) for f in sent] == [(told, "WEBAPI")] * 2


async def test_several_accounts_and_both_brokers_at_once_each_with_its_own_limits(kite_sim, xts_sim, tmp_path):
    kite, dealer, own = await kite_sim(), await xts_sim(profile="dealer_named"), await xts_sim()
    at_kite, at_dealer, at_own = kite.broker(), dealer.broker(), own.broker()
    desks = {
        "kite": (at_kite, "SIM001", kite.root, Limits()),
        "one": (at_dealer, "CLI01", dealer.root, Limits(max_order_lots=1)),
        "two": (at_dealer.for_client("CLI02"), "CLI02", dealer.root, Limits(max_order_lots=2)),
        "own": (at_own, "SIM001", own.root, Limits(max_order_lots=1)),
    }

    async def trade(name):
        broker, account, realm, limits = desks[name]
        fields = {"limits": limits, "engine": QUICK, "clock": broker.clock, "realm": realm, "folder": tmp_path}
        async with Act(LiveEngine(broker, account, **fields)) as act:
            request = OrderRequest(
                cl_ord_id="SAME1", symbol=CE, side=Side.BUY, order_qty=130, price_p=10050, account=account, broker=broker.name
            )  # fmt: skip
            return name, await act.place(request)

    done = dict(await asyncio.gather(*map(trade, desks)))
    assert {name: str(order.ord_status) for name, order in done.items()} == {
        "kite": "filled",
        "one": "denied",
        "two": "filled",
        "own": "denied",
    }
    rows = await at_dealer.for_client("").dealer_orders()
    assert [(r.login_id, r.client_id, r.cum_qty) for r in rows] == [("DLR01", "CLI02", 130)]
    assert await at_own.orders() == ()
    assert len(list(tmp_path.rglob("2026-07-13.db"))) == 4
    await at_kite.close()
