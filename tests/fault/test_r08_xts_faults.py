"""R08 for XTS, quick form: each call of the connector x each fault of the wire, own account and dealer.

Every outcome is a documented error; an order is refused only with proof, else unknown; reads are repeated at most
three times, orders never; a dead token brings one login; the caller is never held longer than ten seconds.
"""

from __future__ import annotations

import logging
import time

import httpx
import pytest

from toolkit.brokers import xts_more
from toolkit.errors import AuthExpired, Refused, Retryable, Unknown
from toolkit.types import Modify, OrderRequest, Product, Side

CE = "NIFTY 14JUL2026 25000 CE"
FAULTS = (
    "status:429", "status:429,retry-after=1", "status:400", "status:401", "status:403", "status:500", "html:502",
    "status:503", "status:504", "hang", "no-reply", "empty", "truncated", "no-content-type", "no-error-type",
    "failure-200", "redirect", "charset", "big:10", "cut-before", "cut-after", "short",
)  # fmt: skip
PROVEN = ("status:429", "status:429,retry-after=1")
AUTH = ("status:401", "status:403")
SILENT = ("hang", "no-reply")
TYPED = ("status:400", "failure-200")
I = "/interactive"  # noqa: E741


def order(cl_ord_id, account, **more):
    fields = {"symbol": CE, "side": Side.BUY, "order_qty": 65, "price_p": 9000, "account": account}
    return OrderRequest(cl_ord_id=cl_ord_id, **{**fields, **more})


async def history(b):
    return await b.order_history("W1")


READS = {
    "profile": (f"GET {I}/user/profile", lambda b: b.profile_row()),
    "quote": ("POST /apimarketdata/instruments/quotes", lambda b: b.quote([CE])),
    "orders": (f"GET {I}/orders", lambda b: b.orders()),
    "order_history": (f"GET {I}/orders", history),
    "trades": (f"GET {I}/orders/trades", lambda b: b.trades()),
    "positions": (f"GET {I}/portfolio/positions", lambda b: b.positions()),
    "holdings": (f"GET {I}/portfolio/holdings", lambda b: b.holding_rows()),
    "margins": (f"GET {I}/user/balance", lambda b: b.margins()),
    "order_margins": (f"POST {I}/orders/margindetails", lambda b: b.order_margins([order("X", "SIM001")])),
    "exchange_status": (f"GET {I}/status/exchange", xts_more.exchange_status),
    "exchange_messages": (f"GET {I}/messages/exchange", lambda b: xts_more.exchange_messages(b, "NSEFO")),
    "config": ("GET /apimarketdata/config/clientConfig", lambda b: b.market.config()),
}
DEALER_READS = {
    "dealer_orders": (f"GET {I}/orders/dealerorderbook", lambda b: b.dealer_orders()),
    "dealer_trades": (f"GET {I}/orders/dealertradebook", lambda b: b.dealer_trades()),
    "dealer_positions": (f"GET {I}/portfolio/dealerpositions", lambda b: b.dealer_positions()),
}
WRITES = {
    "place": (f"POST {I}/orders", lambda b, who, i: b.place(order(f"N{i}", who))),
    "modify": (
        f"PUT {I}/orders",
        lambda b, who, i: b.modify(Modify(cl_ord_id="W1", order_qty=65, price_p=9005 + 5 * i)),
    ),
    "cancel": (f"DELETE {I}/orders", lambda b, who, i: b.cancel("W1")),
    "cancel_all": (f"POST {I}/orders/cancelall", lambda b, who, i: xts_more.cancel_all(b, CE)),
    "convert": (f"PUT {I}/portfolio/positions/convert", lambda b, who, i: b.convert(CE, 65, Product.NRML, Product.MIS)),
    "square_off": (f"PUT {I}/portfolio/squareoff", lambda b, who, i: xts_more.square_off(b, CE, Product.NRML, 65)),
}


async def ready(xts_sim, profile="investor"):
    """A broker with a working order and a position, whose next call meets the fault."""
    sim = await xts_sim(profile=profile)
    broker = sim.broker(terms={"drop_s": 0.3})
    who = sim.app.clients[0]
    await broker.place(order("P1", who, price_p=10050))
    sim.advance(1)
    await broker.place(order("W1", who))
    sim.advance(1)
    await broker.orders()
    return sim, broker, who


def patience(broker, fault):
    """A short wait where a silence is what is tested; else none ends because the machine was slow."""
    for client in broker.link._clients.values():
        client.timeout = httpx.Timeout(0.4 if fault in SILENT else 7.0)


def calls(sim, route):
    """How often a call came, as the simulator's own record has it."""
    return sum(row["call"] == route for row in sim.record("call"))


@pytest.mark.parametrize(
    ("name", "profile"),
    [*((name, "investor") for name in sorted(WRITES)), ("place", "dealer_named"), ("cancel", "dealer_named")],
)
async def test_orders_are_refused_only_with_proof_and_never_sent_twice(xts_sim, name, profile):
    sim, broker, who = await ready(xts_sim, profile)
    route, act = WRITES[name]
    for i, fault in enumerate(FAULTS):
        before = calls(sim, route)
        patience(broker, fault)
        sim.fault(f"{fault}@{route}#1")
        with pytest.raises((Refused, Unknown)) as caught:
            await act(broker, who, i)
        kind = type(caught.value)
        wanted = AuthExpired if fault in AUTH else Refused if fault in PROVEN else Unknown
        assert kind is wanted, f"{name} under {fault}: {caught.value}"
        recorded = 0 if fault == "cut-before" else 1
        assert calls(sim, route) - before == recorded, f"{name} under {fault}"
        assert "\n" not in str(caught.value)
        sim.server.faults.clear()
        patience(broker, None)
        working = [o for o in await broker.orders() if o.cl_ord_id == "W1" and o.is_open]
        held = [p for p in await broker.positions() if p.product is Product.NRML]
        if not working and name in ("cancel", "cancel_all", "modify"):
            break  # a fault that carries the call out ended the order
        if not held and name in ("convert", "square_off"):
            break


async def each_fault_on_a_read(xts_sim, name, faults):
    sim, broker, _ = await ready(xts_sim, "dealer_named" if name in DEALER_READS else "investor")
    route, act = (READS | DEALER_READS)[name]
    await act(broker)
    for fault in faults:
        before = calls(sim, route)
        sim.fault(f"{fault}@{route}")
        if name in DEALER_READS and fault in TYPED:
            await act(broker)  # an install that refuses a dealer's books is asked for each client's
            assert calls(sim, route) - before == 1
        else:
            wanted = AuthExpired if fault in AUTH else Refused if fault in TYPED else Retryable
            with pytest.raises(wanted) as caught:
                await act(broker)
            again = 0 if fault == "cut-before" else 2 if fault in AUTH else 1 if fault in TYPED else 4
            assert calls(sim, route) - before == again, f"{name} under {fault}: {caught.value}"
        sim.server.faults.clear()
    await act(broker)


LONG = ("hang", "no-reply", "status:429,retry-after=1")  # each takes its full time four times; below


@pytest.mark.parametrize("name", sorted(READS | DEALER_READS))
async def test_reads_are_repeated_at_most_three_times(xts_sim, name):
    await each_fault_on_a_read(xts_sim, name, ("status:503", "status:401", "status:400", "cut-before", "truncated"))


async def test_every_fault_on_one_read(xts_sim):
    await each_fault_on_a_read(xts_sim, "margins", [fault for fault in FAULTS if fault not in LONG])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(READS | DEALER_READS))
async def test_full_form_every_fault_on_every_read(xts_sim, name):
    await each_fault_on_a_read(xts_sim, name, [fault for fault in FAULTS if fault not in LONG])


@pytest.mark.parametrize("fault", ["status:503", "html:502", "cut-before", "empty"])
async def test_a_read_that_fails_twice_succeeds(xts_sim, fault):
    sim, broker, _ = await ready(xts_sim)
    sim.fault(f"{fault}@GET {I}/user/balance#2")
    assert (await broker.margins()).cash_p > 0


async def test_an_answer_in_a_list_is_this_wires_own_wrapping(xts_sim):
    sim, broker, who = await ready(xts_sim)
    for route in (f"POST {I}/orders", f"GET {I}/orders", f"GET {I}/user/balance"):
        sim.fault(f"list@{route}")
    await broker.place(order("L1", who))
    assert "L1" in {o.cl_ord_id for o in await broker.orders()}
    assert (await broker.margins()).cash_p > 0


async def test_a_silent_broker_holds_a_read_no_longer_than_the_whole_time(xts_sim):
    sim = await xts_sim()
    broker = sim.broker(terms={"read_s": 0.3, "total_s": 0.7})
    await broker.profile()
    sim.fault(f"hang@GET {I}/user/balance")
    before = calls(sim, f"GET {I}/user/balance")
    with pytest.raises(Retryable):
        await broker.margins()
    assert 1 <= calls(sim, f"GET {I}/user/balance") - before <= 3  # four tries of 0.3 s do not fit


async def test_a_limit_hit_by_one_user_of_the_key_holds_the_others(xts_sim):
    sim, broker, who = await ready(xts_sim)
    other = sim.broker(terms={"total_s": 0.3})
    await other.profile()
    sim.fault(f"status:429,retry-after=60@POST {I}/orders#1")
    with pytest.raises(Refused, match="wait 60 s"):
        await broker.place(order("R1", who))
    count = calls(sim, f"POST {I}/orders")
    with pytest.raises(Refused, match="nothing was sent"):
        await other.place(order("R2", who))
    assert calls(sim, f"POST {I}/orders") == count


async def test_an_unknown_order_is_found_by_its_tag(xts_sim):
    sim, broker, who = await ready(xts_sim, "dealer_named")
    for i, (fault, placed) in enumerate({"cut-after": True, "html:502,after": True, "cut-before": False}.items()):
        sim.fault(f"{fault}@POST {I}/orders#1")
        with pytest.raises(Unknown):
            await broker.place(order(f"U{i}", who, price_p=8000 + 5 * i))
        assert (f"U{i}" in {o.cl_ord_id for o in await broker.orders()}) is placed


async def test_no_token_key_or_password_is_in_an_error_a_log_or_on_the_screen(xts_sim, caplog, capfd):
    """The official client prints answers and logs the token of its socket's address."""
    caplog.set_level(logging.DEBUG)
    sim, broker, who = await ready(xts_sim)
    told = [repr(broker), repr(broker.settings), repr(broker.link), repr(broker.market.link)]
    for i, fault in enumerate(fault for fault in FAULTS if fault not in LONG):
        for route, act in ((f"POST {I}/orders", WRITES["place"][1]), (f"POST {I}/user/session", None)):
            sim.fault(f"{fault}@{route}#1")
            if act is None:
                sim.server.expire()
            try:
                await (broker.orders() if act is None else act(broker, who, i))
            except (Refused, Unknown, Retryable) as error:
                told += [str(error), repr(error), str(error.__context__), str(error.__cause__)]
            told.append(sim.app.token)
            sim.server.faults.clear()
    secrets = {text for text in told if text.count(".") == 2 and " " not in text}
    secrets |= {sim.app.secret_key, sim.server.md.secret_key, sim.server.md.token}
    told = [text for text in told if text not in secrets]
    shown = "\n".join([*told, caplog.text, *capfd.readouterr()])
    assert len(secrets) > 5
    assert [secret for secret in secrets if secret and secret in shown] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["hang", "no-reply"])
@pytest.mark.parametrize("name", sorted(READS))
async def test_full_form_a_silent_read_with_the_shipped_times(xts_sim, name, fault):
    sim, broker, _ = await ready(xts_sim)
    slow = sim.broker(terms={"read_s": 7.0, "total_s": 9.5, "backoff_s": 1.0})
    route, act = READS[name]
    await broker.orders()
    await slow.orders()
    await act(slow)
    sim.fault(f"{fault}@{route}")
    start = time.monotonic()
    with pytest.raises(Retryable):
        await act(slow)
    assert time.monotonic() - start <= 10.2


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(WRITES))
async def test_full_form_a_silent_order_with_the_shipped_times(xts_sim, name):
    sim, _, who = await ready(xts_sim)
    slow = sim.broker(terms={"read_s": 7.0, "total_s": 9.5})
    await slow.orders()
    route, act = WRITES[name]
    sim.fault(f"no-reply@{route}")
    start = time.monotonic()
    with pytest.raises(Unknown):
        await act(slow, who, 1)
    assert time.monotonic() - start <= 10.2
