"""The server as a client meets it: every fault on the wire, the record before the reply, time in Date."""

from __future__ import annotations

import asyncio
import email.utils
import json

import httpx
import pytest

from toolkit.errors import BadData
from toolkit.sim.servers.record import read_record

NEW = ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN"]


async def raw(client, call=b"GET /user/profile", form=b""):
    """Everything that comes back on one connection, None when it was reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
    head = call + b" HTTP/1.1\r\nX-Kite-Version: 3\r\nConnection: close\r\n"
    head += f"Authorization: token simkey:{client.server.app.access_token}\r\n".encode()
    head += b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(form)
    writer.write(head + form)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return None
    finally:
        writer.close()


async def test_the_date_is_the_simulated_time(serve, clock_ns):
    client = await serve()
    reply = await client.ask("GET", "/user/profile")
    assert email.utils.parsedate_to_datetime(reply.headers["date"]).timestamp() * 1e9 == clock_ns("09:15:00")
    await client.control("POST", "clock", {"at": "10:00"})
    reply = await client.ask("GET", "/user/profile")
    assert reply.headers["date"] == "Mon, 13 Jul 2026 04:30:00 GMT"


async def test_one_connection_carries_many_calls(serve):
    client = await serve()
    for _ in range(3):
        assert (await client.ask("GET", "/orders")).json() == {"status": "success", "data": []}
    assert len(client.http._transport._pool.connections) == 1


async def test_what_is_no_request_ends_the_connection_and_nothing_else(serve):
    client = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
    writer.write(b"\x16\x03\x01 not http\r\n\r\n")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert (await client.ask("GET", "/orders")).status_code == 200


async def test_the_record_is_on_disk_before_the_reply(serve):
    client = await serve()
    order_id = await client.place(tag="mine")
    rows = read_record(client.server.record.path)
    call = next(row for row in rows if row["kind"] == "call")
    assert (call["call"], call["executed"], call["status"], call["fields"]["tag"]) == (
        "POST /orders/regular",
        True,
        200,
        "mine",
    )
    assert [row["status"] for row in rows if row["kind"] == "order" and row["order_id"] == order_id] == NEW
    assert all(row["now"].startswith("2026-07-13T09:15:00") for row in rows)


async def test_no_secret_is_on_record(serve):
    client = await serve()
    app = client.server.app
    request = (await client.control("POST", "login"))["request_token"]
    await client.ask("POST", "/session/token", form={"api_key": "simkey", "request_token": request, "checksum": "feed"})
    await client.ask("DELETE", "/session/token", query={"api_key": "simkey", "access_token": "cafe"})
    text = client.server.record.path.read_text()
    assert "/session/token" in text
    for secret in (app.access_token, app.api_secret, request, "feed", "cafe"):
        assert secret not in text


@pytest.mark.parametrize("code", [400, 401, 403, 429, 500, 502, 503, 504])
async def test_status_faults_do_not_execute(serve, code):
    client = await serve(f"status:{code},retry-after=2@POST /orders#1")
    reply = await client.ask("POST", "/orders/regular", form=client.form)
    assert (reply.status_code, reply.headers["retry-after"]) == (code, "2")
    assert reply.json()["status"] == "error"
    assert await client.data("GET", "/orders") == []
    assert (await client.record("call"))[0]["executed"] is False
    await client.place()


@pytest.mark.parametrize(
    "text",
    ["status:503,after", "html:502,after", "no-error-type:500,after", "failure-200:200,after", "redirect:302,after"],
)
async def test_after_places_the_order_and_then_fails(serve, text):
    client = await serve(f"{text}@POST /orders#1")
    reply = await client.ask("POST", "/orders/regular", form=client.form)
    assert reply.status_code in (200, 302, 500, 502, 503)
    assert "order_id" not in reply.text
    assert [row["status"] for row in await client.data("GET", "/orders")] == ["OPEN"]
    assert (await client.record("call"))[0]["executed"] is True


@pytest.mark.parametrize(("text", "placed"), [("cut-before", 0), ("cut-after", 1)])
async def test_cuts(serve, text, placed):
    client = await serve(f"{text}@POST /orders#1")
    with pytest.raises(httpx.TransportError):
        await client.ask("POST", "/orders/regular", form=client.form)
    assert len(await client.data("GET", "/orders")) == placed
    assert len([row for row in await client.record("call") if row["call"].startswith("POST")]) == placed


@pytest.mark.parametrize(("text", "placed"), [("hang", 0), ("no-reply", 1)])
async def test_no_answer_at_all(serve, text, placed):
    client = await serve(f"{text}@POST /orders#1")
    with pytest.raises(httpx.ReadTimeout):
        await client.http.post("/orders/regular", data=client.form, headers=client.auth, timeout=0.2)
    assert len(await client.data("GET", "/orders")) == placed


async def test_a_reset_is_a_reset(serve):
    client = await serve("cut-after@GET /user/profile")
    assert await raw(client) is None


async def test_delay(serve):
    client = await serve("delay:0.3@POST /orders#1")
    with pytest.raises(httpx.ReadTimeout):
        await client.http.post("/orders/regular", data=client.form, headers=client.auth, timeout=0.1)
    assert len(await client.data("GET", "/orders")) == 1
    await client.fault("delay:0.05@GET /trades")
    started = asyncio.get_running_loop().time()
    assert await client.data("GET", "/trades") == []
    assert asyncio.get_running_loop().time() - started >= 0.05


async def test_damaged_bodies(serve):
    client = await serve()
    for text, check in (
        ("empty#1", lambda r: r.content == b""),
        ("list#1", lambda r: isinstance(r.json(), list)),
        ("no-content-type#1", lambda r: "content-type" not in r.headers and r.json()["status"] == "success"),
        ("chunked#1", lambda r: r.headers["transfer-encoding"] == "chunked" and r.json()["status"] == "success"),
        ("big:10#1", lambda r: len(r.content) == 10_000_000 and r.json()["status"] == "success"),
        ("charset#1", lambda r: b"\xff" in r.content),
        ("truncated#1", lambda r: not r.text.endswith("}")),
    ):
        await client.fault(text)
        assert check(await client.ask("GET", "/user/profile")), text
    await client.fault("short#1")
    with pytest.raises(httpx.RemoteProtocolError):
        await client.ask("GET", "/user/profile")


async def test_a_redirect_leads_to_a_page(serve):
    client = await serve("redirect@GET /orders#1")
    reply = await client.http.get("/orders", headers=client.auth, follow_redirects=True)
    assert reply.history[0].status_code == 302
    assert reply.headers["content-type"].startswith("text/html")


async def test_late_orders_hide_from_every_book(serve):
    client = await serve("late:0.4@POST /orders#1")
    order_id = await client.place(price="101", tag="late1")
    assert await client.data("GET", "/orders") == []
    assert await client.data("GET", "/trades") == []
    assert (await client.ask("GET", f"/orders/{order_id}")).status_code == 404
    assert (await client.ask("GET", f"/orders/{order_id}/trades")).status_code == 404
    async with asyncio.timeout(5):
        while not (rows := await client.data("GET", "/orders")):
            await asyncio.sleep(0.02)
    assert rows[0]["order_id"] == order_id
    assert len(await client.data("GET", f"/orders/{order_id}/trades")) == 1
    assert len(await client.data("GET", "/orders")) == 1


async def test_an_empty_quote_map(serve):
    client = await serve("empty-quote#1")
    query = {"i": "NSE:NIFTY 50"}
    assert await client.data("GET", "/quote/ltp", query=query) == {}
    assert len(await client.data("GET", "/quote/ltp", query=query)) == 1


async def test_the_token_dies_in_the_middle_of_the_day(serve):
    client = await serve("token-expiry+2")
    old = client.auth
    replies = [await client.ask("GET", "/orders", headers=old) for _ in range(4)]
    assert [r.status_code for r in replies] == [200, 200, 403, 403]
    assert replies[2].json()["error_type"] == "TokenException"
    assert (await client.record("token"))[0]["what"] == "expired"
    request = (await client.control("POST", "login"))["request_token"]
    import hashlib

    proof = hashlib.sha256(f"simkey{request}{client.server.app.api_secret}".encode()).hexdigest()
    made = await client.data(
        "POST", "/session/token", form={"api_key": "simkey", "request_token": request, "checksum": proof}
    )
    fresh = {"X-Kite-Version": "3", "Authorization": f"token simkey:{made['access_token']}"}
    assert fresh != old
    assert (await client.ask("GET", "/orders", headers=fresh)).status_code == 200


async def test_a_fault_is_scoped_and_counted(serve):
    client = await serve("status:500@GET /trades#1")
    assert (await client.ask("GET", "/orders")).status_code == 200
    assert (await client.ask("GET", "/trades")).status_code == 500
    assert (await client.ask("GET", "/trades")).status_code == 200


async def test_the_same_seed_gives_the_same_faults(serve):
    async def run():
        client = await serve("status:500@GET /trades~0.5")
        return [(await client.ask("GET", "/trades")).status_code for _ in range(30)]

    assert await run() == await run()


async def test_time_that_runs_brings_quotes_by_itself(serve, clock_ns):
    client = await serve(speed=3000)
    async with asyncio.timeout(10):
        while (await client.control("GET", "state"))["now_ns"] < clock_ns("10:00:00"):
            await asyncio.sleep(0.02)
    quote = await client.data("GET", "/quote/ltp", query={"i": "NFO:NIFTY2671425000CE"})
    assert quote["NFO:NIFTY2671425000CE"]["last_price"] == 120.0


async def test_the_end_of_the_data_is_told_once_and_nothing_loops(serve):
    client = await serve()
    told = []
    client.server.on_end = lambda: told.append(1)
    for at in ("09:59", "10:00", "15:29", "15:31"):
        await client.control("POST", "clock", {"at": at})
    state = await client.control("GET", "state")
    assert (told, state["data_ended"], state["market"]) == ([1], True, "closed")
    assert len(await client.record("data")) == 1
    reply = await client.ask("POST", "/orders/regular", form=client.form)
    assert (reply.status_code, reply.json()["error_type"]) == (400, "OrderException")


async def test_a_taken_port_is_one_clear_line(serve):
    client = await serve()
    other = (await serve()).server
    with pytest.raises(BadData, match=f"port {client.server.port} of 127.0.0.1 cannot be used"):
        await other.start(client.server.port)


async def test_it_listens_on_loopback_only(serve):
    client = await serve()
    assert [s.getsockname()[0] for s in client.server._server.sockets] == ["127.0.0.1"]


async def test_orders_race_but_each_is_booked_once(serve):
    client = await serve()
    ids = await asyncio.gather(*(client.place(tag=f"t{i}") for i in range(40)))
    rows = await client.data("GET", "/orders")
    assert len(set(ids)) == len(rows) == 40
    assert sorted(row["tag"] for row in rows) == sorted(f"t{i}" for i in range(40))


async def test_stop_leaves_a_whole_record(serve):
    client = await serve()
    await client.place()
    path = client.server.record.path
    assert read_record(path)[-1]["kind"] in ("call", "order")
    assert json.loads(path.read_text().splitlines()[0])["seq"] == 1
