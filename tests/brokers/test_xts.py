"""XTS behind the port on a small install of its own: own account and dealer, each profile seen in the field."""

from __future__ import annotations

import asyncio
import datetime as dt
import json

import httpx
import msgspec
import pytest

from toolkit.brokers import xts_more
from toolkit.brokers.port import CAPABILITIES
from toolkit.calendar import ist_ns
from toolkit.errors import AuthExpired, BadData, Refused, Retryable, Unknown, UnknownSymbol
from toolkit.types import Modify, OrderRequest, OrdStatus, OrdType, Product, Side

NOW = ist_ns(dt.date(2026, 6, 15), dt.time(10, 0))
CALL = "NIFTY 30JUN2026 24500 CE"


def order(cl_ord_id="A1", **more):
    fields = {"symbol": CALL, "side": Side.BUY, "order_qty": 65, "price_p": 10000, "account": "CLI01"}
    return OrderRequest(cl_ord_id=cl_ord_id, **(fields | more))


# own account


async def test_reads_of_an_own_account(make_xts):
    broker, _ = make_xts()
    assert (broker.name, broker.capabilities) == ("xts-pro", CAPABILITIES["xts-pro"])
    assert broker.capabilities.tag_length == 20
    profile = await broker.profile()
    assert (profile.broker, profile.account, profile.name, profile.exchanges) == ("xts-pro", "CLI01", "TEST", ("NSE",))
    assert {i.symbol for i in await broker.instruments()} == {"RELIANCE EQ", CALL}
    quotes = await broker.quote([CALL])
    assert (quotes[CALL].bid_p, quotes[CALL].ask_p, quotes[CALL].ask_qty) == (9995, 10005, 130)
    assert await broker.orders() == () == await broker.trades()
    funds = await broker.margins()
    assert (funds.available_p, funds.used_p, funds.cash_p) == (98765425, 1234575, 100000000)
    (share,) = await broker.holdings()
    assert (share.symbol, share.net_qty, share.avg_px, share.product) == ("RELIANCE EQ", 10, 1378.9, Product.CNC)
    (held,) = await broker.positions()
    assert (held.symbol, held.net_qty, held.avg_px, held.realized) == (CALL, 1300, 1002.5, 1485.0)
    assert (await broker.order_margins([order()])).total == 150.5
    assert await xts_more.exchange_status(broker) == [{"exchangeSegment": "NSEFO"}]
    assert await xts_more.exchange_messages(broker, "NSEFO") == [{"BroadcastMessage": "hello"}]
    with pytest.raises(BadData, match="DayWise or NetWise"):
        await broker.position_rows("Daily")
    with pytest.raises(UnknownSymbol, match="did you mean"):
        await broker.quote([CALL.replace("CE", "PE")])


async def test_what_an_own_account_sends(make_xts):
    broker, install = make_xts()
    order_id = await broker.place(order())
    assert order_id == "1110037831"
    (sent,) = install.made("POST", "/orders")
    assert sent == {
        "exchangeSegment": "NSEFO", "exchangeInstrumentID": 49543, "productType": "NRML", "orderType": "LIMIT", "orderSide": "BUY", "timeInForce": "DAY",
        "disclosedQuantity": 0, "orderQuantity": 65, "limitPrice": 100.0, "stopPrice": 0, "orderUniqueIdentifier": "A1", "apiOrderSource": "WEBAPI",
    }  # fmt: skip
    await broker.modify(Modify(cl_ord_id="A1", order_qty=130, price_p=10100))
    await broker.cancel("A1")
    assert install.made("DELETE", "/orders") == [{"appOrderID": order_id, "orderUniqueIdentifier": "A1"}]
    (state,) = await broker.orders()
    assert (state.ord_status, state.request.order_qty, state.request.price_p) == (OrdStatus.CANCELED, 130, 10100)
    await broker.order_margins([order()])
    assert install.made("POST", "/orders/margindetails")[0]["portfolio"][0] == {
        "exchange": 2, "exchangeInstrumentId": 49543, "productType": "NRML", "orderType": "LIMIT", "orderSide": "BUY", "quantity": 65, "price": 100.0,
        "stopPrice": 0, "orderSessionType": 1,
    }  # fmt: skip
    assert not any("clientID" in body for _, _, body in install.calls)


@pytest.mark.parametrize(
    ("mode", "client_id", "sent"),
    [("omit", "", None), ("user_id", "", "CLI01"), ("client_code", "CLI01", "CLI01"), ("masked", "", "*****")],
)
async def test_client_id_modes_of_an_own_account(make_xts, mode, client_id, sent):
    broker, install = make_xts(client_id_mode=mode, client_id=client_id)
    install.client = lambda body: "CLI01"
    await broker.place(order())
    await broker.cancel("A1")
    for method in ("POST", "DELETE"):
        assert install.made(method, "/orders")[0].get("clientID") == sent


async def test_certain_refusals_send_nothing(make_xts):
    broker, install = make_xts()
    await broker.place(order())
    with pytest.raises(Refused, match="used before"):
        await broker.place(order())
    with pytest.raises(Refused, match="takes no orders of OTHER"):
        await broker.place(order("B1", account="OTHER"))
    with pytest.raises(BadData, match="multiple of the lot 65"):
        await broker.place(order("B2", order_qty=66))
    with pytest.raises(BadData, match="tick"):
        await broker.place(order("B3", price_p=10001))
    with pytest.raises(BadData, match="needs a protection price"):
        await broker.place(order("B4", ord_type=OrdType.MARKET, price_p=None))
    with pytest.raises(BadData, match="cl_ord_id"):
        await broker.place(order("not good"))
    with pytest.raises(Refused, match="no order 'A2' today; did you mean 'A1'"):
        await broker.cancel("A2")
    with pytest.raises(BadData, match="no order 'Z9'"):
        await broker.order_history("Z9")
    await broker.cancel("A1")
    with pytest.raises(Refused, match="already canceled"):
        await broker.modify(Modify(cl_ord_id="A1", order_qty=130))
    with pytest.raises(Refused, match="a dealer's"):
        broker.for_client("CLI01")
    assert len(install.made("POST", "/orders")) == 1
    assert install.made("PUT", "/orders") == []


@pytest.mark.parametrize(
    "answer",
    [
        lambda install: install.ok({}),
        lambda install: install.ok(""),
        lambda install: httpx.Response(502),
        lambda install: httpx.Response(200, json=[1, 2]),
        lambda install: install.no("e-odd", "?"),
    ],
)
async def test_an_order_without_a_clear_answer_is_unknown_and_sent_once(make_xts, answer):
    broker, install = make_xts()
    install.script["POST", "/interactive/orders"] = lambda body: answer(install)
    with pytest.raises(Unknown, match="order A1"):
        await broker.place(order())
    with pytest.raises(Refused, match="used before"):
        await broker.place(order())
    assert len(install.made("POST", "/orders")) == 1


async def test_a_dead_token_denies_orders_and_reads_bring_it_back(make_xts):
    broker, install = make_xts()
    await broker.place(order())
    install.live = "another process"
    with pytest.raises(AuthExpired):
        await broker.place(order("A2"))
    assert broker.state == "auth_expired"
    assert [o.cl_ord_id for o in await broker.orders()] == ["A1"]
    assert (broker.state, install.logins) == ("ready", 2)
    await broker.place(order("A3"))
    broker.hear("logout", "session ended")
    assert broker.state == "auth_expired"


async def test_a_cancel_right_after_placing_reads_no_book(make_xts):
    broker, install = make_xts()
    await broker.place(order())
    await broker.cancel("A1")
    assert install.made("GET", "/orders") == []
    with pytest.raises(Refused, match="already canceled"):
        await broker.cancel("A1")
    assert len(install.made("GET", "/orders")) == 1


async def test_a_cancel_said_again_leaves_though_no_book_can_be_read(make_xts):
    broker, install = make_xts()
    await broker.place(order())
    install.script["DELETE", "/interactive/orders"] = lambda body: httpx.Response(503)
    with pytest.raises(Unknown):
        await broker.cancel("A1")
    assert install.made("GET", "/orders") == []
    install.script["GET", "/interactive/orders"] = lambda body: httpx.Response(503)
    with pytest.raises(Unknown):
        await broker.cancel("A1")
    assert install.made("GET", "/orders") == [], "the order is known by its id"
    del install.script["DELETE", "/interactive/orders"]
    await broker.cancel("A1")
    await broker.cancel("A1")
    assert len(install.made("DELETE", "/orders")) == 4, "one that was taken is said again though the book is not read"
    with pytest.raises(Refused, match="nothing was sent"):
        await broker.modify(Modify(cl_ord_id="A1", order_qty=130))


async def test_a_fill_is_told_after_its_order(make_xts):
    broker, install = make_xts()
    heard, task = await listen(broker)
    form = await broker.form(order("A2"))
    install.post_orders(form)
    install.fill(1110037831, 65, 99.0)
    await until(lambda: len(heard) == 2)
    await broker.close()
    await task
    assert [str(r.exec_type) for r in heard] == ["new", "trade"]


async def test_history_waits_until_the_order_shows(make_xts):
    broker, install = make_xts()
    order_id = await broker.place(order())
    answers = iter([install.no("e-orders-0001", "Order not found"), install.no("e-orders-0001", "Order not found")])
    install.script["GET", "/interactive/orders"] = lambda body: next(answers, None) or install.get_orders(body)
    (report,) = await broker.order_history("A1")
    assert (str(report.exec_type), report.order_id, report.symbol) == ("new", order_id, CALL)


@pytest.mark.parametrize("profile", ["investor", "dealer_named"])
async def test_an_order_that_a_book_showed_within_the_limits_second_is_not_read_again(make_xts, profile):
    """One look per second is all that installs allow: the look that found the order answers for it."""
    broker, install = make_xts(profile)
    broker.link.terms = msgspec.structs.replace(broker.link.terms, books_per_s=1)
    await broker.place(order())
    await broker.orders()
    before = len(install.made("GET", "/orders"))
    (new,) = await broker.order_history("A1")
    assert (str(new.exec_type), len(install.made("GET", "/orders"))) == ("new", before)
    install.fill(1110037831, 65, 99.0)
    broker._shared._shown.clear()  # the second is over
    told = [str(r.exec_type) for r in await broker.order_history("A1")]
    assert (told, len(install.made("GET", "/orders"))) == (["new", "trade"], before + 1)
    await broker.orders()
    broker._shared._shown.clear()  # an order that has ended stays as it was
    before = len(install.made("GET", "/orders"))
    told = [str(r.exec_type) for r in await broker.order_history("A1")]
    assert (told, len(install.made("GET", "/orders"))) == (["new", "trade"], before)


async def test_an_order_that_was_changed_is_always_read_whole(make_xts):
    broker, install = make_xts()
    broker.link.terms = msgspec.structs.replace(broker.link.terms, books_per_s=1)
    await broker.place(order())
    await broker.modify(Modify(cl_ord_id="A1", order_qty=130, price_p=10100))
    await broker.orders()
    before = len(install.made("GET", "/orders"))
    await broker.order_history("A1")
    assert len(install.made("GET", "/orders")) == before + 1


async def test_orders_from_elsewhere_are_named_after_their_id(make_xts):
    broker, install = make_xts()
    form = await broker.form(order("OTHER"))
    install.post_orders(form | {"orderUniqueIdentifier": ""})
    install.post_orders(form | {"orderUniqueIdentifier": "hand made"})
    assert [o.cl_ord_id for o in await broker.orders()] == ["X1110037831", "X1110037832"]


async def test_convert_square_off_and_cancel_all(make_xts):
    broker, install = make_xts()
    await broker.convert(CALL, 65, Product.NRML, Product.MIS)
    assert install.made("PUT", "/portfolio/positions/convert") == [
        {"exchangeSegment": "NSEFO", "exchangeInstrumentID": 49543, "targetQty": 65, "isDayWise": True, "oldProductType": "NRML", "newProductType": "MIS"}
    ]  # fmt: skip
    with pytest.raises(Refused, match="there are 1300"):
        await broker.convert(CALL, 1365, Product.NRML, Product.MIS)
    await xts_more.square_off(broker, CALL, Product.NRML, 65)
    (sent,) = install.made("PUT", "/portfolio/squareoff")
    assert (sent["squareoffMode"], sent["positionSquareOffQuantityType"], sent["squareOffQtyValue"]) == (
        "Netwise",
        "ExactQty",
        65,
    )
    await xts_more.cancel_all(broker, CALL)
    assert install.made("POST", "/orders/cancelall") == [{"exchangeSegment": "NSEFO", "exchangeInstrumentID": 49543}]


# dealer


async def test_a_dealer_sees_every_client_and_one(make_xts):
    broker, install = make_xts("dealer_named")
    one, two = broker.for_client("CLI01"), broker.for_client("CLI02")
    await one.place(order())
    await two.place(order("A2", account="CLI02"))
    assert [b["clientID"] for b in install.made("POST", "/orders")] == ["CLI01", "CLI02"]
    assert [(o.cl_ord_id, o.request.account, o.request.broker) for o in await broker.orders()] == [
        ("A1", "CLI01", "xts-client"),
        ("A2", "CLI02", "xts-client"),
    ]
    assert [(r.login_id, r.client_id) for r in await broker.dealer_orders()] == [("DLR01", "CLI01"), ("DLR01", "CLI02")]
    assert [o.cl_ord_id for o in await one.orders()] == ["A1"]
    assert [r.client_id for r in await two.dealer_orders()] == ["CLI02"]
    install.fill(1110037832, 65, 1100.5)
    assert [(f.account, f.last_px_p) for f in await broker.trades()] == [("CLI02", 110050)]
    assert await one.trades() == ()
    assert [r.client_id for r in await two.dealer_trades()] == ["CLI02"]
    assert install.logins == 1


async def test_a_default_client_is_for_plain_calls_only(make_xts):
    broker, install = make_xts("dealer_named", client_id="CLI01")
    await broker.place(order("A1"))
    await broker.place(order("A2", account="CLI02"))
    assert await broker.account() == "CLI01"
    assert [o.cl_ord_id for o in await broker.orders()] == ["A1"]
    assert [r.client_id for r in await broker.dealer_orders()] == ["CLI01", "CLI02"]
    assert [h.net_qty for h in await broker.positions()] == [1300]
    assert [r.client_id for r in await broker.dealer_positions()] == ["CLI01", "CLI02"]
    assert (await broker.margins()).available_p == 98765425
    await broker.cancel("A2")
    with pytest.raises(Refused, match="already canceled"):
        await broker.cancel("A2")
    assert install.made("DELETE", "/orders")[0]["clientID"] == "CLI02"


async def test_a_change_names_the_client_of_its_row_never_the_login(make_xts):
    broker, install = make_xts("dealer_named", client_id="CLI01")
    await broker.for_client("CLI02").place(order("A2", account="CLI02"))
    await broker.for_client("").modify(Modify(cl_ord_id="A2", order_qty=130))
    await broker.for_client("").cancel("A2")
    assert [install.made(m, "/orders")[0]["clientID"] for m in ("PUT", "DELETE")] == ["CLI02", "CLI02"]


async def test_a_client_that_is_not_mapped_is_refused_before_anything_is_sent(make_xts):
    broker, install = make_xts("dealer_named")
    with pytest.raises(Refused, match="'CLI03' is not mapped to this login; did you mean"):
        await broker.place(order(account="CLI03"))
    with pytest.raises(Refused, match="the dealer's own id"):
        await broker.place(order(account="DLR01"))
    with pytest.raises(Refused, match="for client CLI01 takes no orders of CLI02"):
        await broker.for_client("CLI01").place(order(account="CLI02"))
    assert install.made("POST", "/orders") == []


async def test_an_empty_list_of_clients_stops_nobody_but_the_dealer(make_xts):
    broker, install = make_xts("dealer_named")
    install.codes, install.client = [], lambda body: body.get("clientID")
    install.post_orders = lambda body: (
        install.ok({"AppOrderID": 5})
        if install.rows.update({5: install.row(5, body["clientID"], body)}) is None
        else None
    )
    with pytest.raises(Refused, match="own id"):
        await broker.place(order(account="DLR01"))
    assert await broker.place(order("A2", account="ANYONE")) == "5"


@pytest.mark.parametrize(
    ("mode", "sent"), [("client_code", "CLI02"), ("masked", "*****"), ("user_id", "DLR01"), ("omit", None)]
)
async def test_client_id_modes_of_a_dealer(make_xts, mode, sent):
    broker, install = make_xts("dealer_masked", client_id_mode=mode)
    install.client = lambda body: "CLI02"
    await broker.place(order(account="CLI02"))
    await broker.cancel("A1")
    assert install.made("POST", "/orders")[0].get("clientID") == sent
    assert install.made("DELETE", "/orders")[0].get("clientID") == {"user_id": "CLI02"}.get(mode, sent)


async def test_a_masked_install_tells_whose_order_it_was(make_xts):
    broker, _ = make_xts("dealer_masked", client_id_mode="masked")
    await broker.place(order(account="CLI01"))
    (state,) = await broker.orders()
    assert state.request.account == "CLI01"


async def test_an_order_dropped_in_silence_is_unknown(make_xts):
    broker, install = make_xts("dealer_drops")
    with pytest.raises(Unknown, match="may have been dropped: check client_id"):
        await broker.place(order())
    assert len(install.made("POST", "/orders")) == 1


async def test_an_event_is_enough_to_know_an_order_was_not_dropped(make_xts):
    broker, install = make_xts("dealer_drops")
    install.script["GET", "/interactive/orders/dealerorderbook"] = lambda body: httpx.Response(503)

    def post(body):
        broker.hear("order", json.dumps(install.row(5, "CLI01", body)))  # the event comes before the answer
        return install.ok({"AppOrderID": 5})

    install.script["POST", "/interactive/orders"] = post
    assert await broker.place(order()) == "5"


@pytest.mark.parametrize("profile", ["dealer_named", "dealer_empty_positions"])
async def test_dealer_positions_by_client(make_xts, profile):
    broker, install = make_xts(profile)
    rows = await broker.dealer_positions()
    assert [(r.client_id, r.net_qty) for r in rows] == [("CLI01", 1300), ("CLI02", -65)]
    assert [h.net_qty for h in await broker.positions()] == [1300, -65]
    assert [r.client_id for r in await broker.for_client("CLI02").dealer_positions("DayWise")] == ["CLI02"]
    asked = [b.get("clientID") for b in install.made("GET", "/portfolio/positions")]
    assert asked == ([] if profile == "dealer_named" else ["CLI01", "CLI02"] * 2 + ["CLI02"])


async def test_a_dealer_without_positions_where_only_the_dealers_call_answers(make_xts):
    broker, install = make_xts("dealer_named")
    install.script["GET", "/interactive/portfolio/dealerpositions"] = lambda body: install.listed([], "portfolio")
    refusal = install.no("e-trade-00002", "Supplied client not mapped under dealer")
    install.script["GET", "/interactive/portfolio/positions"] = lambda body: refusal
    assert await broker.positions() == () == await broker.dealer_positions()
    install.script["GET", "/interactive/portfolio/dealerpositions"] = lambda body: refusal
    with pytest.raises(Refused, match="not mapped"):
        await broker.positions()


async def test_a_login_that_names_no_clients_asks_for_those_that_are_known(make_xts):
    broker, install = make_xts("dealer_named")
    codes, install.codes = install.codes, []
    await broker.login()
    install.codes = codes
    refusal = install.no("e-trade-00002", "not a dealer")
    for book in ("orders/dealerorderbook", "orders/dealertradebook", "portfolio/dealerpositions"):
        install.script["GET", f"/interactive/{book}"] = lambda body: refusal
    with pytest.raises(Refused, match="not a dealer"):  # an unread book is not an empty one
        await broker.dealer_orders()
    await broker.place(order())
    broker._shared.rows.clear()
    await broker.cancel("A1")
    assert [row.client_id for row in await broker.dealer_orders()] == ["CLI01"]


async def test_money_and_position_changes_are_a_clients(make_xts):
    broker, install = make_xts("dealer_named")
    with pytest.raises(Refused, match="for_client"):
        await broker.margins()
    with pytest.raises(Refused, match="for_client"):
        await xts_more.cancel_all(broker, CALL)
    one = broker.for_client("CLI01")
    assert (await one.margins()).available_p == 98765425
    assert install.made("GET", "/user/balance") == [{"clientID": "CLI01"}]
    await xts_more.cancel_all(one, CALL)
    assert install.made("POST", "/orders/cancelall")[0]["clientID"] == "CLI01"
    await one.convert(CALL, 65, Product.NRML, Product.MIS)
    assert install.made("PUT", "/portfolio/positions/convert")[0]["clientID"] == "CLI01"


async def test_an_install_that_ignores_the_client_is_filtered_here(make_xts):
    broker, install = make_xts("dealer_named")
    await broker.place(order())
    await broker.place(order("A2", account="CLI02"))
    install.script["GET", "/interactive/orders"] = lambda body: install.ok(list(install.rows.values()))
    assert [o.cl_ord_id for o in await broker.for_client("CLI02").orders()] == ["A2"]


# updates


async def listen(broker):
    heard, started = [], asyncio.Event()

    async def run():
        stream = broker.updates()
        started.set()
        async for report in stream:
            heard.append(report)

    task = asyncio.create_task(run())
    await started.wait()
    while not broker._shared.boxes:
        await asyncio.sleep(0)
    return heard, task


async def until(test):
    async with asyncio.timeout(5):
        while not test():
            await asyncio.sleep(0.001)


async def test_updates_say_each_thing_once_from_events_and_books(make_xts):
    broker, install = make_xts()
    heard, task = await listen(broker)
    await broker.place(order())
    await until(lambda: len(heard) == 1)
    broker.hear("order", json.dumps(install.rows[1110037831]))
    fill = install.fill(1110037831, 65, 1100.5)
    for _ in range(3):
        broker.hear("trade", [json.dumps(fill)])
    await until(lambda: len(heard) == 2)
    history = await broker.order_history("A1")
    await broker.close()
    await task
    assert [str(r.exec_type) for r in heard] == ["new", "trade"]
    assert [r.exec_id for r in heard] == [r.exec_id for r in history]
    assert (heard[1].last_qty, heard[1].last_px_p, heard[1].symbol) == (65, 110050, CALL)


async def test_updates_find_in_the_books_what_no_event_said(make_xts):
    broker, install = make_xts()
    heard, task = await listen(broker)
    await broker.place(order(order_qty=130))
    install.fill(1110037831, 65, 99.0)
    await broker.modify(Modify(cl_ord_id="A1", order_qty=130, price_p=10100))
    await until(lambda: len(heard) >= 3)
    await broker.cancel("A1")
    await until(lambda: len(heard) == 4)
    await broker.close()
    await task
    assert sorted(str(r.exec_type) for r in heard) == ["canceled", "new", "replaced", "trade"]
    assert str(heard[-1].exec_type) == "canceled"


async def test_what_happened_before_is_not_said(make_xts):
    broker, install = make_xts()
    await broker.place(order())
    install.fill(1110037831, 65, 99.0)
    heard, task = await listen(broker)
    await broker.place(order("A2"))
    await until(lambda: heard)
    await broker.close()
    await task
    assert [(r.cl_ord_id, str(r.exec_type)) for r in heard] == [("A2", "new")]


async def test_a_client_hears_only_its_own(make_xts):
    broker, _ = make_xts("dealer_named")
    heard, task = await listen(broker.for_client("CLI02"))
    await broker.place(order())
    await broker.place(order("A2", account="CLI02"))
    await until(lambda: heard)
    await broker.close()
    await task
    assert {r.account for r in heard} == {"CLI02"}


async def test_updates_survive_what_cannot_be_read(make_xts):
    broker, install = make_xts()
    heard, task = await listen(broker)
    install.script["GET", "/interactive/orders"] = lambda body: httpx.Response(503)
    broker.hear("order", "{broken")
    broker.hear("position", "{}")
    broker.hear("joined", "hello")
    await broker.place(order())
    broker.hear("order", install.rows[1110037831])
    await until(lambda: heard)
    assert broker._shared.odd_events == 1
    install.script["GET", "/interactive/orders"] = lambda body: install.ok([{"OrderStatus": "New"}])
    await until(lambda: broker._shared.odd_events > 1)
    assert not task.done()
    await broker.close()
    await task
    with pytest.raises(Refused, match="closed"):
        await broker.place(order("A2"))
    with pytest.raises((Refused, Retryable)):
        await broker.orders()
    assert repr(broker) == "XtsBroker(xts-pro, closed)"
