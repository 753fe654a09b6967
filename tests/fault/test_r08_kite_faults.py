"""R08 for Kite, quick form: each call of the connector x each fault of the wire.

Every outcome is a documented error; an order is refused only with proof, else unknown; reads are
repeated at most three times, orders never; the caller is never held longer than ten seconds.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from toolkit.brokers import kite_more
from toolkit.brokers.errors_map import Answer, classify
from toolkit.errors import AuthExpired, Refused, Retryable, Unknown
from toolkit.types import Modify, OrderRequest, Product, Side

CE = "NIFTY 14JUL2026 25000 CE"
FAULTS = (
    "status:429", "status:429,retry-after=1", "status:400", "status:401", "status:403", "status:500", "html:502", "status:503",
    "status:504", "hang", "no-reply", "empty", "truncated", "no-content-type", "list", "no-error-type", "failure-200", "redirect",
    "charset", "big:10", "cut-before", "cut-after", "short",
)  # fmt: skip
PROVEN = ("status:429", "status:429,retry-after=1", "status:400")
SILENT = ("hang", "no-reply")
AUTH = ("status:401", "status:403")


def order(cl_ord_id, **more):
    fields = {"symbol": CE, "side": Side.BUY, "order_qty": 65, "price_p": 9000, "account": "SIM001", "broker": "kite"}
    return OrderRequest(cl_ord_id=cl_ord_id, **{**fields, **more})


READS = {
    "profile": ("GET /user/profile", lambda b: b.profile()),
    "quote": ("GET /quote", lambda b: b.quote([CE])),
    "orders": ("GET /orders", lambda b: b.orders()),
    "order_history": ("GET /orders/", lambda b: b.order_history("W1")),
    "trades": ("GET /trades", lambda b: b.trades()),
    "positions": ("GET /portfolio/positions", lambda b: b.positions()),
    "holdings": ("GET /portfolio/holdings", lambda b: b.holdings()),
    "margins": ("GET /user/margins", lambda b: b.margins()),
    "order_margins": ("POST /margins/basket", lambda b: b.order_margins([order("X")])),
    "charges": ("POST /charges/orders", lambda b: kite_more.charges(b, [order("X")])),
    "gtts": ("GET /gtt/triggers", kite_more.gtts),
    "candles": ("GET /instruments/historical", lambda b: kite_more.candles(b, CE, "minute", b.clock(), b.clock())),
}
LEG = kite_more.GttLeg(side=Side.SELL, qty=65, price_p=9000, trigger_p=9100)
WRITES = {
    "place": ("POST /orders/regular", lambda b, i: b.place(order(f"N{i}"))),
    "modify": ("PUT /orders", lambda b, i: b.modify(Modify(cl_ord_id="W1", order_qty=65, price_p=9005 + 5 * i))),
    "cancel": ("DELETE /orders", lambda b, i: b.cancel("W1")),
    "convert": ("PUT /portfolio/positions", lambda b, i: b.convert(CE, 65, Product.NRML, Product.MIS)),
    "gtt": ("POST /gtt/triggers", lambda b, i: kite_more.place_gtt(b, CE, [LEG], 10000)),
}


async def ready(kite_sim):
    """A broker with a working order and a position, whose next call meets the fault."""
    sim = await kite_sim()
    broker = sim.broker()
    await broker.place(order("P1", price_p=10050))
    sim.advance(1)
    await broker.place(order("W1"))
    sim.advance(1)
    await broker.orders()
    return sim, broker


def patience(broker, fault):
    """A short wait where a silence is what is tested; else none ends because the machine was slow."""
    wire = broker.link._made[1]
    wire._settings = msgspec.structs.replace(wire._settings, read_s=0.5 if fault in SILENT else 7.0)


def calls(sim, route):
    """How often a call came, as the simulator's own record has it."""
    return sum(row["call"].startswith(route) for row in sim.record("call"))


def quick(monkeypatch):
    """Back-off at a hundredth of its length; a wait that the broker asks for stays as it is."""
    monkeypatch.setattr("toolkit.brokers.kite_link._BACKOFF_S", 0.002)
    monkeypatch.setattr("toolkit.brokers.kite_link.until_next_second", lambda now: 0.01)


@pytest.mark.parametrize("name", sorted(WRITES))
async def test_orders_are_refused_only_with_proof_and_never_sent_twice(kite_sim, monkeypatch, name):
    quick(monkeypatch)
    sim, broker = await ready(kite_sim)
    route, act = WRITES[name]
    for i, fault in enumerate(FAULTS):
        before = calls(sim, route)
        patience(broker, fault)
        sim.fault(f"{fault}@{route}#1")
        with pytest.raises((Refused, Unknown)) as caught:
            await act(broker, i)
        kind = type(caught.value)
        wanted = AuthExpired if fault in AUTH else Refused if fault in PROVEN else Unknown
        assert kind is wanted, f"{name} under {fault}: {caught.value}"
        recorded = 0 if fault == "cut-before" else 1
        assert calls(sim, route) - before == recorded, f"{name} under {fault}"
        assert "\n" not in str(caught.value)
        if fault in AUTH:
            broker.link._dead = None
        sim.server.faults.clear()
        patience(broker, None)
        if name == "cancel" and not [o for o in await broker.orders() if o.cl_ord_id == "W1" and o.is_open]:
            return  # a fault that carries the call out ended the order
        if name == "convert" and not [p for p in await broker.positions() if p.product is Product.NRML]:
            return
    await broker.close()


@pytest.mark.parametrize("name", sorted(READS))
async def test_reads_are_repeated_at_most_three_times(kite_sim, monkeypatch, name):
    quick(monkeypatch)
    sim, broker = await ready(kite_sim)
    route, act = READS[name]
    for fault in FAULTS:
        if fault in ("hang", "no-reply", "status:429,retry-after=1"):
            continue  # each takes its full time four times; below
        before = calls(sim, route)
        sim.fault(f"{fault}@{route}")
        wanted = AuthExpired if fault in AUTH else Refused if fault == "status:400" else Retryable
        with pytest.raises(wanted):
            await act(broker)
        again = 0 if fault == "cut-before" else 1 if wanted is not Retryable else 4
        assert calls(sim, route) - before == again, f"{name} under {fault}"
        broker.link._dead = None
        sim.server.faults.clear()
    await act(broker)
    await broker.close()


@pytest.mark.parametrize("fault", ["status:503", "html:502", "cut-before", "empty"])
async def test_a_read_that_fails_twice_succeeds(kite_sim, monkeypatch, fault):
    quick(monkeypatch)
    sim, broker = await ready(kite_sim)
    sim.fault(f"{fault}@GET /user/margins#2")
    assert (await broker.margins()).cash_p > 0
    await broker.close()


async def test_a_silent_broker_holds_a_read_no_longer_than_the_whole_time(kite_sim):
    sim = await kite_sim()
    broker = sim.broker(read_s=0.3, total_s=0.7)
    await broker.profile()
    sim.fault("hang@GET /user/margins")
    before = calls(sim, "GET /user/margins")
    with pytest.raises(Retryable):
        await broker.margins()
    assert 1 <= calls(sim, "GET /user/margins") - before <= 3  # four tries of 0.3 s do not fit
    await broker.close()


async def told_to_wait(kite_sim):
    """Seconds a read took whose first answer said: again after one."""
    sim, broker = await ready(kite_sim)
    sim.fault("status:429,retry-after=1@GET /user/margins#1")
    start = time.monotonic()
    await broker.margins()
    waited = time.monotonic() - start
    await broker.close()
    return waited


async def test_retry_after_is_waited_for(kite_sim):
    assert await told_to_wait(kite_sim) >= 1.0


@pytest.mark.soak
async def test_full_form_retry_after_is_obeyed_within_a_tenth(kite_sim):
    assert min([await told_to_wait(kite_sim) for _ in range(5)]) < 1.1


async def test_a_limit_hit_by_one_user_of_the_account_holds_the_others(kite_sim):
    sim, broker = await ready(kite_sim)
    other = sim.broker(total_s=0.3)
    await other.profile()
    sim.fault("status:429,retry-after=60@POST /orders#1")
    with pytest.raises(Refused, match="wait 60 s"):
        await broker.place(order("R1"))
    count = calls(sim, "POST /orders/regular")
    with pytest.raises(Refused, match=r"used up for .* s; nothing was sent"):
        await other.place(order("R2"))
    assert calls(sim, "POST /orders/regular") == count
    await asyncio.gather(broker.close(), other.close())


async def test_an_unknown_order_is_found_by_its_tag(kite_sim):
    sim, broker = await ready(kite_sim)
    for i, (fault, placed) in enumerate({"cut-after": True, "html:502,after": True, "cut-before": False}.items()):
        sim.fault(f"{fault}@POST /orders#1")
        with pytest.raises(Unknown):
            await broker.place(order(f"U{i}", price_p=8000 + 5 * i))
        assert (f"U{i}" in {o.cl_ord_id for o in await broker.orders()}) is placed
    await broker.close()


def test_the_faults_and_the_table_agree():
    """What the test above expects of each fault is what the table says of its shape."""
    shapes = {
        "status:500": ("typed", 500),
        "html:502": ("broken", 502),
        "redirect": ("redirect", 302),
        "hang": ("cut", 0),
    }
    for shape, status in shapes.values():
        assert classify("kite", "order", Answer(status=status, shape=shape, error_type="GeneralException")) == "unknown"


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["hang", "no-reply"])
@pytest.mark.parametrize("name", sorted(READS))
async def test_full_form_a_silent_read_with_the_shipped_times(kite_sim, name, fault):
    sim = await kite_sim()
    broker = sim.broker()
    await broker.place(order("W1"))
    await broker.orders()
    route, act = READS[name]
    sim.fault(f"{fault}@{route}")
    start = time.monotonic()
    with pytest.raises(Retryable):
        await act(broker)
    assert time.monotonic() - start <= 10.2
    await broker.close()


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(WRITES))
async def test_full_form_a_silent_order_with_the_shipped_times(kite_sim, name):
    sim, quick_broker = await ready(kite_sim)
    await quick_broker.close()
    broker = sim.broker()
    await broker.orders()
    route, act = WRITES[name]
    sim.fault(f"no-reply@{route}")
    start = time.monotonic()
    with pytest.raises(Unknown):
        await act(broker, 1)
    assert time.monotonic() - start <= 10.2
    await broker.close()
