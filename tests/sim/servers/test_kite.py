"""Kite's routes: who may call, what each answers, where profiles differ."""

from __future__ import annotations

import gzip
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

PROOF = "7b47a9239417310c273435e60a7118c2e05174b9883bd2d839f4d39bea555557"


async def refused(client, method, path, code, error_type, says, **more):
    reply = await client.ask(method, path, **more)
    body = reply.json()
    assert (reply.status_code, body["status"], body["error_type"], body["data"]) == (code, "error", error_type, None)
    assert says in body["message"]


def test_the_checksum_is_the_published_vector():
    assert hashlib.sha256(b"keyrtsec").hexdigest() == PROOF


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Kite-Version": "3"},
        {"X-Kite-Version": "3", "Authorization": "token simkey:wrong"},
        {"X-Kite-Version": "3", "Authorization": "token other:{}"},
        {"X-Kite-Version": "3", "Authorization": "Bearer simkey:{}"},
        {"X-Kite-Version": "3", "Authorization": "token simkey"},
    ],
)
async def test_without_the_token_nothing_is_told(serve, headers):
    client = await serve()
    sent = {k: v.format(client.server.app.access_token) for k, v in headers.items()}
    for method, path in (("GET", "/orders"), ("POST", "/orders/regular"), ("GET", "/quote"), ("GET", "/instruments")):
        await refused(client, method, path, 403, "TokenException", "Token is invalid or has expired.", headers=sent)


async def test_the_version_header_is_wanted(serve):
    client = await serve()
    headers = {"Authorization": client.auth["Authorization"]}
    await refused(client, "GET", "/orders", 400, "InputException", "X-Kite-Version", headers=headers)


async def test_unknown_routes_and_methods(serve):
    client = await serve()
    await refused(client, "GET", "/mf/orders", 404, "GeneralException", "Route not found")
    await refused(client, "PATCH", "/orders", 405, "GeneralException", "Method not allowed")
    await refused(client, "GET", "/orders/1/trades/2", 404, "GeneralException", "Route not found")


async def test_profiles(serve, shared):
    client = await serve()
    for path, name in (("/user/profile", "profile"), ("/user/profile/full", "full_profile")):
        mock = json.loads(shared("fixtures", "kite", f"{name}.json").read_text())["data"]
        assert set(mock) <= set(await client.data("GET", path))


async def test_margins_by_segment(serve):
    client = await serve()
    both = await client.data("GET", "/user/margins")
    assert await client.data("GET", "/user/margins/equity") == both["equity"]
    await refused(client, "GET", "/user/margins/gold", 400, "InputException", "segment")


async def test_login_gives_the_days_token_once_per_request_token(serve):
    client = await serve()
    page = await client.ask("GET", "/connect/login", query={"api_key": "simkey", "v": "3"})
    assert page.headers["content-type"].startswith("text/html")
    token = page.text.split("request_token=")[1].split("<")[0]
    proof = hashlib.sha256(f"simkey{token}{client.server.app.api_secret}".encode()).hexdigest()
    form = {"api_key": "simkey", "request_token": token, "checksum": proof}
    await refused(client, "POST", "/session/token", 403, "TokenException", "checksum", form={**form, "checksum": PROOF})
    await refused(client, "POST", "/session/token", 403, "TokenException", "invalid", form={**form, "api_key": "other"})
    made = await client.data("POST", "/session/token", form=form)
    assert made["access_token"] == client.server.app.access_token
    assert made["login_time"] == "2026-07-13 09:15:00"
    assert made["access_token"].isalnum()
    await refused(client, "POST", "/session/token", 403, "TokenException", "invalid", form=form)


async def test_login_goes_back_to_the_registered_address(serve):
    client = await serve()
    await client.control("POST", "redirect", {"url": "http://127.0.0.1:29999/back?x=1"})
    reply = await client.ask(
        "GET", "/connect/login", query={"api_key": "simkey", "v": "3", "redirect_params": "state=7"}
    )
    assert reply.status_code == 302
    target = reply.headers["location"]
    assert target.startswith("http://127.0.0.1:29999/back?x=1&action=login&status=success&request_token=")
    assert target.endswith("&state=7")
    await refused(client, "GET", "/connect/login", 400, "InputException", "api_key", query={"api_key": "no"})


async def test_logout_kills_the_token(serve, shared):
    client = await serve()
    mock = json.loads(shared("fixtures", "kite", "session_logout.json").read_text())
    old = client.auth
    query = {"api_key": "simkey", "access_token": client.server.app.access_token}
    assert (await client.ask("DELETE", "/session/token", query={**query, "access_token": "x"})).json() == mock
    assert (await client.ask("GET", "/orders", headers=old)).status_code == 200
    assert (await client.ask("DELETE", "/session/token", query=query)).json() == mock
    assert (await client.ask("GET", "/orders", headers=old)).status_code == 403


async def test_refresh_is_for_platforms(serve):
    client = await serve()
    await refused(client, "POST", "/session/refresh_token", 403, "PermissionException", "permission")


async def test_the_dump_by_exchange_and_in_gzip(serve):
    client = await serve()
    whole = await client.ask("GET", "/instruments")
    assert whole.headers["content-type"] == "text/csv"
    assert whole.headers["content-encoding"] == "gzip"
    assert len(whole.text.splitlines()) == 5
    nse = await client.ask("GET", "/instruments/NSE", headers={**client.auth, "Accept-Encoding": "identity"})
    assert "content-encoding" not in nse.headers
    assert [line.split(",")[2] for line in nse.text.splitlines()[1:]] == ["NIFTY 50"]
    await refused(client, "GET", "/instruments/NYSE", 400, "InputException", "exchange")
    assert gzip.compress(whole.content, mtime=0)


async def test_quotes_take_names_tokens_and_a_limited_number(serve):
    client = await serve()
    wanted = [("i", "NSE:NIFTY 50"), ("i", "256265"), ("i", "NFO:NOPE")]
    assert set(await client.data("GET", "/quote", query=wanted)) == {"NSE:NIFTY 50", "256265"}
    await refused(client, "GET", "/quote", 400, "InputException", "1 to 500")
    many = [("i", str(i)) for i in range(501)]
    await refused(client, "GET", "/quote", 400, "InputException", "was 501", query=many)
    assert await client.data("GET", "/quote/ltp", query=many) == {}
    more = [("i", str(i)) for i in range(1001)]
    await refused(client, "GET", "/quote/ohlc", 400, "InputException", "1 to 1000", query=more)


async def test_orders_over_the_wire(serve):
    client = await serve()
    order_id = await client.place()
    assert await client.data("PUT", f"/orders/regular/{order_id}", form={"price": "91"}) == {"order_id": order_id}
    assert await client.data("DELETE", f"/orders/regular/{order_id}") == {"order_id": order_id}
    states = [row["status"] for row in await client.data("GET", f"/orders/{order_id}")]
    assert (states[0], states[-1], len(states)) == ("PUT ORDER REQ RECEIVED", "CANCELLED", 10)
    await refused(client, "DELETE", f"/orders/regular/{order_id}", 400, "OrderException", "already CANCELLED")
    await refused(client, "GET", "/orders/123", 404, "GeneralException", "order_id")


async def test_a_body_that_is_no_form_is_refused(serve):
    client = await serve()
    await refused(client, "POST", "/orders/regular", 400, "InputException", "exchange", body={"exchange": "NFO"})
    await refused(client, "POST", "/margins/orders", 400, "InputException", "Invalid JSON body", form={"a": "b"})
    await refused(client, "POST", "/margins/orders", 400, "InputException", "Invalid JSON body", body={"a": "b"})
    await refused(client, "POST", "/margins/orders", 400, "InputException", "exchange", body=[{}])
    await refused(client, "POST", "/margins/orders", 400, "InputException", "price", body=[{"price": "x"}])


LEG = {
    "exchange": "NFO",
    "tradingsymbol": "NIFTY2671425000CE",
    "transaction_type": "SELL",
    "variety": "regular",
    "product": "NRML",
    "order_type": "MARKET",
    "quantity": 65,
    "price": 0,
}


async def test_margins_of_a_market_order_use_the_last_price(serve):
    client = await serve()
    (bought,) = await client.data("POST", "/margins/orders", body=[{**LEG, "transaction_type": "BUY"}])
    assert bought["option_premium"] == bought["total"] == 65 * 100.0
    basket = await client.data(
        "POST", "/margins/basket", body=[LEG], query={"consider_positions": "True", "mode": "compact"}
    )
    assert basket["final"]["total"] > 0
    (note,) = await client.data("POST", "/charges/orders", body=[{**LEG, "order_id": "1", "average_price": 101.0}])
    assert (note["price"], note["order_type"], note["charges"]["transaction_tax"]) == (101.0, "MARKET", 10.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"exchange": "XX"},
        {"tradingsymbol": "NOPE"},
        {"transaction_type": "HOLD"},
        {"position_type": "week"},
        {"new_product": "XX"},
        {"quantity": "6500"},
    ],
)
async def test_conversions_that_make_no_sense(serve, changes):
    client = await serve()
    await client.place(price="101")
    form = {
        "exchange": "NFO",
        "tradingsymbol": "NIFTY2671425000CE",
        "transaction_type": "BUY",
        "position_type": "day",
        "quantity": "65",
        "old_product": "NRML",
        "new_product": "MIS",
    }
    reply = await client.ask("PUT", "/portfolio/positions", form={**form, **changes})
    assert (reply.status_code, reply.json()["error_type"]) == (400, "InputException")
    assert await client.data("PUT", "/portfolio/positions", form=form) is True


async def test_holdings_are_empty_lists(serve):
    client = await serve()
    for path in ("", "/compact", "/auctions"):
        assert await client.data("GET", f"/portfolio/holdings{path}") == []
    assert (await client.data("GET", "/portfolio/holdings/summary"))["invested_amount"] == 0


async def test_the_sandbox_has_a_prefix_and_only_limit_orders(serve):
    client = await serve(profile="sandbox")
    assert await client.data("GET", "/oms/orders") == []
    await refused(client, "GET", "/orders", 404, "GeneralException", "Route not found")
    assert (await client.ask("GET", "/instruments")).status_code == 200
    form = {**client.form, "order_type": "MARKET", "market_protection": "-1"}
    await refused(client, "POST", "/oms/orders/regular", 400, "InputException", "Only LIMIT", form=form)
    await refused(client, "POST", "/oms/orders/regular", 400, "InputException", "within 5%", form=client.form)
    near = {**client.form, "price": "95"}
    assert len((await client.data("POST", "/oms/orders/regular", form=near))["order_id"]) == 19


async def test_production_counts_requests(serve):
    client = await serve(profile="production")
    replies = [await client.ask("POST", "/orders/regular", form={**client.form, "quantity": "1"}) for _ in range(12)]
    assert [r.status_code for r in replies] == [400] * 10 + [429] * 2
    assert replies[-1].json() == {
        "status": "error",
        "message": "Too many requests",
        "data": None,
        "error_type": "NetworkException",
    }
    query = {"i": "NSE:NIFTY 50"}
    assert [(await client.ask("GET", "/quote/ltp", query=query)).status_code for _ in range(2)] == [200, 429]
    assert (await client.ask("GET", "/orders")).status_code == 200


async def test_triggers_over_the_wire(serve):
    client = await serve()
    condition = {"exchange": "NFO", "tradingsymbol": "NIFTY2671425000CE", "trigger_values": [98.0], "last_price": 100.0}
    leg = {
        "exchange": "NFO",
        "tradingsymbol": "NIFTY2671425000CE",
        "transaction_type": "BUY",
        "quantity": 65,
        "order_type": "LIMIT",
        "product": "NRML",
        "price": 99.0,
    }
    form = {"type": "single", "condition": json.dumps(condition), "orders": json.dumps([leg])}
    trigger = (await client.data("POST", "/gtt/triggers", form=form))["trigger_id"]
    assert (await client.data("GET", f"/gtt/triggers/{trigger}"))["status"] == "active"
    await client.control("POST", "clock", {"at": "09:21"})
    (row,) = await client.data("GET", "/gtt/triggers")
    assert row["status"] == "triggered"
    assert (await client.data("GET", "/trades"))[0]["average_price"] == 98.5
    await refused(client, "DELETE", f"/gtt/triggers/{trigger}", 400, "InputException", "is triggered")
    await refused(client, "GET", "/gtt/triggers/9", 404, "GeneralException", "find")


async def test_every_endpoint_in_scope_answers(serve):
    client = await serve()
    day = {"from": "2026-07-13 09:15:00", "to": "2026-07-13 15:30:00"}
    for path, query in (
        ("/user/profile", None), ("/user/margins", None), ("/orders", None), ("/trades", None), ("/portfolio/positions", None),
        ("/portfolio/holdings", None), ("/gtt/triggers", None), ("/instruments/historical/256265/minute", day),
        ("/instruments/trigger_range/buy", {"i": "NFO:NIFTY26JULFUT"}), ("/quote/ohlc", {"i": "NFO:NIFTY26JULFUT"}),
    ):  # fmt: skip
        reply = await client.ask("GET", path, query=query)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json"), path
        assert set(reply.json()) == {"status", "data"}
        assert int(reply.headers["content-length"]) == len(reply.content)


@pytest.fixture(scope="module")
def any_app(make_world):
    from toolkit import tables
    from toolkit.sim.servers.kite import PROFILES, KiteApp

    world = make_world(
        [
            ("09:15:00", "CE", 100.0, 650, 100.5, 130, 100.0, 1300),
            ("09:15:00", "SPOT", None, None, None, None, 25010.0, None),
        ]
    )
    return KiteApp(world, "SIM001", 10_000_000_00, tables.charges(), PROFILES["unlimited"])


_PARTS = st.sampled_from(
    ["orders", "regular", "iceberg", "amo", "trades", "quote", "ltp", "instruments", "historical", "256265", "10240258", "minute", "gtt", "triggers",
     "100001", "user", "margins", "equity", "portfolio", "positions", "charges", "basket", "session", "token", "2607130000046137344", "²", "%00", ""]
)  # fmt: skip
_FORM = st.dictionaries(
    st.sampled_from(["exchange", "tradingsymbol", "transaction_type", "quantity", "product", "order_type", "price", "trigger_price", "validity", "validity_ttl",
                     "tag", "autoslice", "iceberg_legs", "iceberg_quantity", "market_protection", "type", "condition", "orders", "i", "from", "to", "old_product"]),
    st.one_of(st.sampled_from(["NFO", "NIFTY2671425000CE", "BUY", "SELL", "65", "130", "1e9", "NRML", "LIMIT", "MARKET", "SL", "90", "101", "-1", "nan", "true", "TTL", "5", "²", "2026-07-13"]), st.text(max_size=8)),
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    st.lists(_PARTS, max_size=4),
    _FORM,
    st.one_of(st.none(), st.binary(max_size=40)),
)
def test_any_call_is_answered_or_refused(any_app, method, parts, form, body):
    from toolkit.sim.kite_form import WireRefusal
    from toolkit.sim.servers.http import Call, Reply

    headers = {
        "x-kite-version": "3",
        "authorization": f"token simkey:{any_app.access_token}",
        "content-type": "application/x-www-form-urlencoded",
    }
    call = Call(
        method=method,
        path="/" + "/".join(parts),
        query=tuple(form.items()),
        headers=headers,
        body=body or b"",
        head=b"",
    )
    try:
        assert isinstance(any_app.serve(call, 0), Reply)
    except WireRefusal as refusal:
        assert refusal.code in (400, 403, 404, 405, 429)  # noqa: PT017 - both outcomes are right
