"""Whose order it is, and where a dealer reads: every habit of an install that the wire's notes leave open."""

from __future__ import annotations

import httpx
import pytest

from toolkit.brokers.xts_clients import client_id, first_allowed, is_mine, role_doubt
from toolkit.brokers.xts_session import XtsSession
from toolkit.brokers.xts_settings import XtsSettings
from toolkit.config import Secret
from toolkit.errors import AuthExpired, Refused, Retryable, Unknown
from toolkit.types import Modify, OrderRequest, OrdStatus, Side

CALL = "NIFTY 30JUN2026 24500 CE"


def session(user="DLR01", codes=("CLI01", "CLI02"), is_investor=False):
    return XtsSession(token=Secret("t"), user_id=user, client_codes=codes, is_investor=is_investor)


def order(cl_ord_id="A1", **more):
    fields = {"symbol": CALL, "side": Side.BUY, "order_qty": 130, "price_p": 10000, "account": "CLI01"}
    return OrderRequest(cl_ord_id=cl_ord_id, **(fields | more))


@pytest.mark.parametrize(
    ("role", "mode", "default", "account", "sent"),
    [
        ("pro", "", "", "SIM1", None),
        ("pro", "omit", "", "SIM1", None),
        ("pro", "user_id", "", "SIM1", "SIM1"),
        ("pro", "client_code", "C9", "C9", "C9"),
        ("pro", "masked", "", "SIM1", "*****"),
        ("client", "", "", "CLI02", "CLI02"),
        ("client", "client_code", "CLI01", "CLI02", "CLI02"),
        ("client", "masked", "", "ANYONE", "*****"),
        ("client", "user_id", "", "CLI01", "DLR01"),
        ("client", "omit", "", "CLI01", None),
    ],
)
def test_what_goes_out(role, mode, default, account, sent):
    settings = XtsSettings(role=role, client_id_mode=mode, client_id=default)
    who = session() if role == "client" else session("SIM1", ("SIM1",), True)
    assert client_id("xts", settings, who, account) == sent


@pytest.mark.parametrize(
    ("role", "mode", "codes", "account", "bound", "words"),
    [
        ("pro", "", ("SIM1",), "OTHER", "", "takes no orders of OTHER"),
        ("client", "", ("CLI01", "CLI02"), "CLI1", "", "not mapped to this login; did you mean 'CLI01'"),
        ("client", "", ("CLI01", "CLI02"), "ZZ", "", "not mapped to this login; it has CLI01, CLI02"),
        ("client", "", (), "DLR01", "", "the dealer's own id"),
        ("client", "masked", (), "DLR01", "", "the dealer's own id"),
        ("client", "masked", (), "CLI02", "CLI01", "for client CLI01 takes no orders of CLI02"),
    ],
)
def test_who_is_refused(role, mode, codes, account, bound, words):
    who = session("SIM1" if role == "pro" else "DLR01", codes, role == "pro")
    with pytest.raises(Refused, match=words):
        client_id("xts", XtsSettings(role=role, client_id_mode=mode), who, account, bound)


def test_rows_of_others_are_left_out_for_a_dealer_only():
    dealer, own = XtsSettings(role="client"), XtsSettings(role="pro")
    assert [is_mine(dealer, "A", found) for found in ("A", "B", "", "*****")] == [True, False, True, True]
    assert is_mine(dealer, "", "B")
    assert is_mine(own, "A", "B")


@pytest.mark.parametrize(
    ("role", "told", "default", "words"),
    [
        ("client", True, "", "use xts-pro"),
        ("client", False, "", ""),
        ("client", None, "", ""),
        ("pro", False, "", "use xts-client"),
        ("pro", False, "TERM1", ""),
        ("pro", None, "", ""),
        ("pro", True, "", ""),
    ],
)
def test_a_key_of_the_other_kind_is_named(role, told, default, words):
    found = role_doubt(XtsSettings(role=role, client_id=default), session(is_investor=told))
    assert words in found
    assert bool(found) == bool(words)


async def test_the_first_way_that_is_not_refused():
    def way(outcome):
        async def go():
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return go

    assert await first_allowed(way(Refused("no")), way(5)) == 5
    with pytest.raises(Refused, match="one"):
        await first_allowed(way(Refused("one")), way(Refused("two")))
    for stops in (AuthExpired("dead"), Retryable("later")):
        with pytest.raises(type(stops)):
            await first_allowed(way(stops), way(5))


# where a dealer reads

REFUSALS = {
    "not mapped": lambda install: install.no("e-trade-00002", "Supplied client not mapped under dealer"),
    "no route": lambda install: httpx.Response(404, headers={"Content-Type": "text/html"}, content=b"<p>Not found</p>"),
}


@pytest.mark.parametrize("why", sorted(REFUSALS))
async def test_a_client_is_read_from_the_dealers_books_where_the_plain_ones_are_refused(make_xts, why):
    broker, install = make_xts("dealer_named")
    one = broker.for_client("CLI01")
    for path in ("orders", "orders/trades", "portfolio/positions"):
        install.script["GET", f"/interactive/{path}"] = lambda body: REFUSALS[why](install)
    await one.place(order())
    await broker.for_client("CLI02").place(order("A2", account="CLI02"))
    install.fill(1110037831, 65, 100.0)
    install.fill(1110037832, 130, 100.0)
    (state,) = await one.orders()
    assert (state.cl_ord_id, state.cum_qty) == ("A1", 65)
    assert [t.account for t in await one.trades()] == ["CLI01"]
    assert [h.net_qty for h in await one.positions()] == [1300]
    history = await one.order_history("A1")
    assert [str(r.exec_type) for r in history] == ["new", "trade"]


@pytest.mark.parametrize("why", sorted(REFUSALS))
async def test_each_client_is_asked_for_where_the_dealers_books_are_refused(make_xts, why):
    broker, install = make_xts("dealer_named")
    for path in ("orders/dealerorderbook", "orders/dealertradebook", "portfolio/dealerpositions"):
        install.script["GET", f"/interactive/{path}"] = lambda body: REFUSALS[why](install)
    for code, name in (("CLI01", "A1"), ("CLI02", "A2")):
        await broker.place(order(name, account=code))
    install.fill(1110037832, 130, 100.0)
    assert [(r.login_id, r.client_id) for r in await broker.dealer_orders()] == [("DLR01", "CLI01"), ("DLR01", "CLI02")]
    assert [r.client_id for r in await broker.dealer_trades()] == ["CLI02"]
    assert [r.client_id for r in await broker.dealer_positions()] == ["CLI01", "CLI02"]


async def test_a_dealer_who_may_read_nothing_hears_the_first_refusal(make_xts):
    broker, install = make_xts("dealer_named")
    install.script["GET", "/interactive/orders"] = lambda body: install.no("e-trade-00002", "not mapped, plain")
    install.script["GET", "/interactive/orders/dealerorderbook"] = lambda body: install.no("e-x-1", "nor this")
    with pytest.raises(Refused, match="not mapped, plain"):
        await broker.for_client("CLI01").orders()


async def test_money_that_a_dealer_is_not_told_is_unknown_and_not_zero(make_xts):
    broker, install = make_xts("dealer_named")
    one = broker.for_client("CLI01")
    install.script["GET", "/interactive/user/balance"] = lambda body: install.no("e-user-0001", "No RMS Limit assign")
    funds = await one.margins()
    assert (funds.cash_p, funds.used_p, funds.available_p) == (None, None, None)
    own, alone = make_xts()
    alone.script["GET", "/interactive/user/balance"] = lambda body: alone.no("e-user-0001", "No RMS Limit assign")
    with pytest.raises(Refused, match="No RMS Limit"):
        await own.margins()


async def test_a_client_without_a_profile_is_still_that_client(make_xts):
    broker, install = make_xts("dealer_named")
    install.script["GET", "/interactive/user/profile"] = lambda body: install.no("e-trade-00002", "not mapped")
    profile = await broker.for_client("CLI02").profile()
    assert (profile.account, profile.exchanges) == ("CLI02", ("BSE", "NSE"))
    with pytest.raises(Refused, match="not mapped to this login"):
        await broker.for_client("NOPE").profile()


async def test_a_profile_that_ignores_the_client_is_the_clients(make_xts):
    broker, _ = make_xts("dealer_named")  # this install says CLI01 whoever is asked for
    assert (await broker.for_client("CLI02").profile()).account == "CLI02"


async def test_a_margin_that_is_short_is_a_margin(make_xts):
    broker, install = make_xts()
    short = {"IsValid": False, "MarginRequired": 250.5, "MarginShortfall": 100.0, "ErrorMessage": "Margin Exceeds"}
    install.script["POST", "/interactive/orders/margindetails"] = lambda body: install.ok({"brokerageDeatils": short})
    assert (await broker.order_margins([order()])).total == 250.5
    none = {"IsValid": False, "MarginRequired": 0, "ErrorMessage": "no file of today"}
    install.script["POST", "/interactive/orders/margindetails"] = lambda body: install.ok({"brokerageDeatils": none})
    with pytest.raises(Refused, match="cannot tell the margin: no file of today"):
        await broker.order_margins([order()])


@pytest.mark.parametrize("takes", ["total", "remaining"])
async def test_a_modified_quantity_is_looked_at_when_some_has_traded(make_xts, takes):
    broker, install = make_xts()
    await broker.place(order(order_qty=195))
    install.fill(1110037831, 65, 100.0)
    await broker.orders()

    def put(body):
        qty = body["modifiedOrderQuantity"] + (65 if takes == "remaining" else 0)
        install.change(1110037831, OrderQuantity=qty, LeavesQuantity=qty - 65, OrderStatus="Replaced")
        return install.ok({"AppOrderID": 1110037831})

    install.script["PUT", "/interactive/orders"] = put
    if takes == "total":
        await broker.modify(Modify(cl_ord_id="A1", order_qty=130))
    else:
        with pytest.raises(Unknown, match="for what remains: it is now for 195 units in all, was to be 130"):
            await broker.modify(Modify(cl_ord_id="A1", order_qty=130))
    (state,) = await broker.orders()
    assert (state.ord_status, state.cum_qty) == (OrdStatus.PARTIALLY_FILLED, 65)
    assert len(install.made("PUT", "/orders")) == 1
