"""The server as a whole: order events around the answer, faults in XTS's words, the record, control."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from toolkit.sim.servers.record import read_record

ORDERS = "/interactive/orders"


async def events(wire, count):
    """The next order, trade and position events."""
    found = []
    while len(found) < count:
        frame = await wire.take(lambda f: f.startswith(('42["order"', '42["trade"', '42["position"')))
        name, arg = json.loads(frame[2:])
        found.append((name, json.loads(arg) if isinstance(arg, str) else arg))
    return found


@pytest.mark.parametrize("when", ["before", "after"])
async def test_events_come_before_or_after_the_answer(serve_xts, when):
    client = await serve_xts(events=when)
    log = []
    emit = client.server.sockets.emit
    client.server.sockets.emit = lambda api, name, *args: (log.append(name), emit(api, name, *args))
    answer = client.server.answer
    client.server.answer = lambda call: (answer(call), log.append("answer"))[0]
    await client.place()
    async with asyncio.timeout(5):
        while len(log) < 3:
            await asyncio.sleep(0)
    assert log == (["order", "order", "answer"] if when == "before" else ["answer", "order", "order"])


async def test_a_trade_brings_order_trade_and_both_positions(serve_xts, dial_xts, shared):
    client = await serve_xts()
    wire = await dial_xts(client, "interactive")
    await client.place(limitPrice=101)
    found = await events(wire, 6)
    assert [name for name, _ in found] == ["order", "order", "order", "trade", "position", "position"]
    assert [row["OrderStatus"] for name, row in found if name == "order"] == ["PendingNew", "New", "Filled"]
    for index, name in ((0, "ev_order_pending_new"), (3, "ev_trade"), (4, "ev_position")):
        sample = json.loads(json.loads(shared("fixtures", "xts", f"{name}.json").read_text())["args"][0])
        assert not set(sample) - set(found[index][1]), name
    assert [row["IsDayWiseNetWise"] for _, row in found[4:]] == ["DayWise", "NetWise"]
    assert found[4][1]["NetPosition"] == 65


@pytest.mark.parametrize(("shape", "kind"), [("text", str), ("object", dict), ("list", list)])
async def test_the_argument_comes_in_several_shapes(serve_xts, dial_xts, shape, kind):
    client = await serve_xts(args=shape)
    wire = await dial_xts(client, "interactive")
    await client.place()
    frame = await wire.take(lambda f: f.startswith('42["order"'))
    assert type(json.loads(frame[2:])[1]) is kind


async def test_duplicates_and_shuffles(serve_xts, dial_xts):
    client = await serve_xts("duplicate-updates@WS /interactive#1", "shuffle-updates#1+1")
    wire = await dial_xts(client, "interactive")
    await client.place(limitPrice=101)
    doubled = await events(wire, 12)
    assert doubled[::2] == doubled[1::2]
    await client.place(limitPrice=101)
    names = [(name, row.get("OrderStatus")) for name, row in await events(wire, 6)]
    assert names != sorted(names, key=lambda pair: ["order", "trade", "position"].index(pair[0]))


async def test_another_login_ends_the_sockets_of_the_first(serve_xts, dial_xts):
    client = await serve_xts()
    wire, feed = await dial_xts(client, "interactive"), await dial_xts(client)
    await client.log_in()
    assert await wire.event("logout") == "logged in elsewhere"
    assert await wire.take() == "41"
    await feed.ws.send("2")
    assert await feed.take(lambda f: f == "3")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("status:429", 429, "e-apirl-0004"),
        ("status:401", 401, "e-session-0007"),
        ("status:503", 503, "e-server-0002"),
        ("failure-200", 200, "e-server-0002"),
        ("no-error-type:500", 500, None),
    ],
)
async def test_stand_ins_speak_xts(serve_xts, fault, status, code):
    client = await serve_xts(f"{fault}@POST /interactive/orders#1")
    assert (await client.ask("GET", f"{ORDERS}/trades")).json()["code"] == "e-tradeBook-0005"  # not this one
    reply = await client.ask("POST", ORDERS, client.form)
    assert (reply.status_code, reply.json().get("code")) == (status, code)
    assert (await client.refusal("GET", ORDERS))[1] == "e-orders-0005"
    await client.place()


@pytest.mark.parametrize(
    ("fault", "placed"),
    [
        ("cut-before", 0),
        ("cut-after", 1),
        ("html:502", 0),
        ("html:502,after", 1),
        ("truncated", 1),
        ("empty", 1),
        ("list", 1),
    ],
)
async def test_lost_answers_are_on_record_as_what_they_were(serve_xts, fault, placed):
    client = await serve_xts(f"{fault}@POST /interactive/orders#1")
    try:
        reply = await client.ask("POST", ORDERS, client.form)
    except httpx.TransportError:
        reply = None
    assert (reply is None) == fault.startswith("cut")
    if fault == "list":
        assert reply.json()[0]["type"] == "success"
    assert (await client.ask("GET", ORDERS)).status_code == (200 if placed else 400)
    assert [row["executed"] for row in await client.record("call") if row.get("fault")] == (
        [] if fault == "cut-before" else [bool(placed)]
    )


async def test_late_orders_are_hidden_from_books_and_history(serve_xts):
    client = await serve_xts("late:60#1")
    order = await client.place()
    assert (await client.refusal("GET", ORDERS))[1] == "e-orders-0005"
    assert (await client.refusal("GET", ORDERS, query={"appOrderID": order}))[1:] == (
        "e-orders-0001",
        "order not found",
    )
    await client.place()
    assert len(await client.orders()) == 1


async def test_a_token_dies_on_request_and_by_control(serve_xts, dial_xts):
    client = await serve_xts("token-expiry@GET /interactive/user#1")
    token, md = client.server.app.token, client.server.md.token
    reply = await client.http.get("/interactive/user/profile", headers={"Authorization": token})
    assert reply.json()["code"] == "e-session-0007"
    await client.log_in()
    await client.md_log_in()
    assert client.server.md.token != md
    wire = await dial_xts(client, "interactive")
    assert await client.control("POST", "expire", {"api": "interactive"}) == {"expired": "interactive"}
    assert await wire.event("logout") == "session ended"
    assert client.server.md.token
    bad = await client.http.post("/__sim/expire", json={"api": "other"})
    assert (bad.status_code, "api must be" in bad.json()["error"]) == (400, True)


async def test_no_secret_is_on_record(serve_xts):
    client = await serve_xts()
    asked = {"accesspassword": client.server.app.lookup_word, "version": "interactive_1.0.1"}
    key = (await client.http.post("/hostlookup", json=asked)).json()["result"]["uniqueKey"]
    await client.log_in("/1interactive", uniqueKey=key)
    await client.place()
    text = client.server.record.path.read_text()
    server = client.server
    assert "tag0001" in text
    for secret in (
        server.app.token,
        server.app.secret_key,
        server.md.token,
        server.md.secret_key,
        key,
        asked["accesspassword"],
    ):
        assert secret not in text


async def test_the_record_has_orders_and_trades_before_the_reply(serve_xts):
    client = await serve_xts()
    order = str(await client.place(limitPrice=101))
    rows = read_record(client.server.record.path)
    assert [row["OrderStatus"] for row in rows if row["kind"] == "order" and row["order_id"] == order] == [
        "PendingNew",
        "New",
        "Filled",
    ]
    assert [row["LastTradedQuantity"] for row in rows if row["kind"] == "trade"] == [65]


async def test_control_places_carries_halts_and_counts(serve_xts):
    client = await serve_xts(profile="dealer_masked")
    where = {"exchangeSegment": "NSEFO", "exchangeInstrumentID": 40001}
    assert await client.control(
        "POST", "carry", {**where, "clientID": "CLI02", "quantity": -65, "average_price": 90}
    ) == {"net": -65}
    made = await client.control("POST", "order", {**client.form, "clientID": "CLI01"})
    assert made["OrderStatus"] == "New"
    assert (await client.orders())[0]["GeneratedBy"] == "TWS"
    assert await client.control("POST", "cancel", {"appOrderID": made["AppOrderID"]}) == {"OrderStatus": "Cancelled"}
    await client.control("POST", "halt", {"symbols": ["NFO:NIFTY2671425000CE"]})
    await client.place()
    assert "is halted" in (await client.orders())[0]["CancelRejectReason"]
    state = await client.control("GET", "state")
    assert (state["orders"], state["net"]) == (2, {"CLI01": {}, "CLI02": {"NIFTY2671425000CE": -65}})
    for name, body, says in (
        ("order", {**client.form, "clientID": "NOPE"}, "clientID must be one of CLI01, CLI02"),
        ("carry", {**where, "exchangeInstrumentID": 1, "quantity": 1, "average_price": 1}, "no contract 1"),
        ("cancel", {"appOrderID": 1}, "order not found"),
    ):
        reply = await client.http.post(f"/__sim/{name}", json=body)
        assert (reply.status_code, says in reply.json()["error"]) == (400, True), reply.text
