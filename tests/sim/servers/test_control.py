"""The control endpoints: loopback programs only, clear refusals, what each does."""

from __future__ import annotations

import pytest

from toolkit.sim.servers.faults import FAULTS


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.test:80"}, 403),
        ({"Host": "127.0.0.1:1"}, 200),
    ],
)
async def test_a_web_page_cannot_control_it(serve, headers, code):
    client = await serve()
    assert (await client.ask("GET", "/__sim/state", headers=headers)).status_code == code


@pytest.mark.parametrize(
    ("method", "name", "body", "says"),
    [
        ("GET", "nothing", None, "there is"),
        ("POST", "faults", {"text": "cut-befor"}, "did you mean 'cut-before'"),
        ("POST", "faults", {"name": "hang", "odd": [1], "count": "x"}, "count"),
        ("POST", "clock", {"at": "09:00"}, "forward only"),
        ("POST", "clock", {"at": "noon"}, "--at must be a time"),
        ("POST", "clock", {"speed": -1}, "speed must be"),
        ("POST", "clock", [1], "JSON object"),
        ("POST", "halt", {"symbols": ["NFO:NOPE"]}, "NOPE"),
        ("POST", "carry", {"exchange": "NFO"}, "tradingsymbol"),
        ("POST", "order", {"exchange": "NFO", "tradingsymbol": "NOPE"}, "does not exist"),
        ("POST", "redirect", {}, "url"),
    ],
)
async def test_wrong_calls_say_what_is_wrong(serve, method, name, body, says):
    client = await serve()
    reply = await client.http.request(method, f"/__sim/{name}", json=body)
    assert reply.status_code in (400, 404)
    assert says in reply.json()["error"]


async def test_faults_are_listed_added_and_cleared(serve):
    client = await serve("late:1")
    made = await client.fault("status:503@POST /orders#1")
    assert (made["number"], made["arg"], made["count"]) == (2, "503", 1)
    listed = await client.control("GET", "faults")
    assert listed["known"] == FAULTS
    assert [fault["name"] for fault in listed["faults"]] == ["late", "status"]
    assert await client.control("DELETE", "faults", query={"name": "late"}) == {"cleared": 1}
    assert await client.control("POST", "faults", {"name": "hang", "call": "GET /trades", "chance": 0.5})
    assert await client.control("DELETE", "faults") == {"cleared": 2}


async def test_the_clock_jumps_runs_and_stops(serve, clock_ns):
    client = await serve()
    assert (await client.control("POST", "clock", {"at": "09:16"}))["now_ns"] == clock_ns("09:16:00")
    assert (await client.control("POST", "clock", {"advance_s": 1.5}))["now_ns"] == clock_ns("09:16:01") + 500_000_000
    assert (await client.control("POST", "clock", {"at": clock_ns("09:17:00")}))["now_ns"] == clock_ns("09:17:00")
    assert (await client.control("POST", "clock", {"speed": 2.0}))["speed"] == 2.0
    later = await client.control("POST", "clock", {"speed": 0})
    assert later["now_ns"] > clock_ns("09:17:00")
    assert (await client.control("GET", "state"))["now_ns"] == later["now_ns"]


async def test_state(serve):
    client = await serve()
    await client.place(price="101")
    state = await client.control("GET", "state")
    assert (state["market"], state["orders"], state["trades"], state["speed"]) == ("open", 1, 1, 0.0)
    assert state["net"] == {"NIFTY2671425000CE": 65}
    assert state["tickers"] == []


async def test_the_record_by_kind_and_from_a_line_on(serve):
    client = await serve()
    await client.place()
    whole = (await client.control("GET", "record"))["records"]
    assert [row["seq"] for row in whole] == list(range(1, len(whole) + 1))
    tail = (await client.control("GET", "record", query={"after": str(len(whole) - 1)}))["records"]
    assert tail == whole[-1:]
    assert {row["kind"] for row in await client.record("order")} == {"order"}


async def test_a_halt_and_the_end_of_it(serve):
    client = await serve()
    await client.control("POST", "halt", {"symbols": ["NFO:NIFTY2671425000CE"]})
    await client.place(price="101")
    await client.place(price="101", tradingsymbol="NIFTY2671425000PE")
    assert [row["status"] for row in await client.data("GET", "/orders")] == ["REJECTED", "COMPLETE"]
    await client.control("POST", "halt")
    await client.place(tradingsymbol="NIFTY2671425000PE", price="101")
    await client.control("POST", "resume")
    await client.place(price="101")
    assert [row["status"] for row in await client.data("GET", "/orders")][2:] == ["REJECTED", "COMPLETE"]


async def test_what_was_there_before_us(serve):
    client = await serve()
    body = {"exchange": "NFO", "tradingsymbol": "NIFTY26JULFUT", "quantity": -65, "average_price": 25000.0}
    assert await client.control("POST", "carry", body) == {"net": -65}
    placed = await client.control("POST", "order", {**client.form, "tag": "elsewhere"})
    (row,) = await client.data("GET", "/orders")
    assert (row["order_id"], row["tag"]) == (placed["order_id"], "elsewhere")
    await client.control("POST", "cancel", {"order_id": placed["order_id"]})
    assert (await client.data("GET", "/orders"))[0]["status"] == "CANCELLED"
    (held,) = (await client.data("GET", "/portfolio/positions"))["net"]
    assert (held["overnight_quantity"], held["average_price"]) == (-65, 25000.0)
    assert len(await client.record("order")) == 6


async def test_an_order_from_elsewhere_passes_the_faults_by(serve):
    client = await serve("status:500", profile="production")
    for _ in range(15):
        await client.control("POST", "order", client.form)
    assert (await client.control("GET", "state"))["orders"] == 15


async def test_expiry_by_hand_or_as_a_fault(serve):
    client = await serve()
    for act in (client.control("POST", "expire"), client.fault("token-expiry")):
        old = client.auth
        await act
        assert (await client.ask("GET", "/orders", headers=old)).status_code == 403
