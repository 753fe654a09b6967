"""Calls to XTS over a real socket: headers as sent, sessions, retries, every odd answer; no secret anywhere."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback

import msgspec
import pytest

from toolkit.brokers.tokens import TokenStore
from toolkit.brokers.xts_session import OPS, XtsLink, forget_sessions
from toolkit.brokers.xts_settings import XtsTerms, xts_settings
from toolkit.config import Settings
from toolkit.errors import AuthExpired, Refused, Retryable, ToolkitError, Unknown
from toolkit.sim.servers.http import Reply, json_reply, read_call, send

QUICK = XtsTerms(
    orders_per_s=1000, books_per_s=1000, quotes_per_s=1000, subscribe_per_s=1000, ohlc_per_s=1000, others_per_s=1000,
    backoff_s=0.0, connect_s=1.0, read_s=0.15, total_s=2.0,
)  # fmt: skip
CANARY = "canary-5ecret"
ORDER = {"exchangeSegment": "NSEFO", "orderQuantity": 75, "limitPrice": 31.8}


def ok(result, code="s-x-0001"):
    return json_reply({"type": "success", "code": code, "description": "done", "result": result})


def no(code, text="", status=400):
    return json_reply({"type": "error", "code": code, "description": text, "result": {}}, status)


class Door:
    """A loopback XTS whose answers a test scripts by (method, path); logins are answered by itself."""

    def __init__(self):
        self.calls = []
        self.script = {}
        self.tokens = 0
        self.writers = set()
        self.links = []

    async def open(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.root = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def say(self, method, path, *replies):
        self.script[method, path] = list(replies)

    def made(self, method, path):
        return [call for call in self.calls if (call.method, call.path) == (method, path)]

    def _answer(self, call):
        left = self.script.get((call.method, call.path))
        if left:
            return left.pop(0) if len(left) > 1 else left[0]
        if call.path.endswith(("/user/session", "/auth/login")) and call.method == "POST":
            self.tokens += 1
            result = {
                "token": f"{CANARY}-token-{self.tokens}",
                "userID": "CLI01",
                "isInvestorClient": True,
                "clientCodes": ["CLI01"],
            }
            return ok(result, "e-response-0010")
        return Reply(
            status=404,
            headers={"Content-Type": "text/html"},
            body=f"<pre>Cannot {call.method} {call.path}</pre>".encode(),
        )

    async def close(self):
        self.server.close()
        for writer in list(self.writers):
            writer.close()
        while self.writers:
            await asyncio.sleep(0)
        await self.server.wait_closed()

    async def _serve(self, reader, writer):
        self.writers.add(writer)
        try:
            await self._converse(reader, writer)
        finally:
            writer.close()
            self.writers.discard(writer)

    async def _converse(self, reader, writer):
        while (call := await read_call(reader)) is not None:
            self.calls.append(call)
            if not await send(reader, writer, self._answer(call), "Fri, 29 Aug 2025 04:00:00 GMT"):
                break


@pytest.fixture
async def door():
    forget_sessions()
    made = Door()
    await made.open()
    yield made
    for link in made.links:
        await link.close()
    await made.close()


@pytest.fixture
async def link(door, tmp_path):
    return make(door, tmp_path)


def make(door, tmp_path, api="interactive", terms=QUICK, mono=None, **options):
    keys = {
        "app_key": f"AK-{CANARY}",
        "secret_key": f"SK-{CANARY}",
        "md_app_key": f"MAK-{CANARY}",
        "md_secret_key": f"MSK-{CANARY}",
    }
    settings = xts_settings(Settings.load(environ={}), **({"root": door.root, **keys} | options))
    more = {} if mono is None else {"mono": mono}
    link = XtsLink(settings, api, terms=terms, tokens=TokenStore(tmp_path), **more)
    door.links.append(link)
    return link


# what leaves


async def test_a_call_as_it_is_on_the_wire(door, link):
    door.say("POST", "/interactive/orders", ok({"AppOrderID": 5}))
    assert await link.call("place", json=ORDER) == {"AppOrderID": 5}
    (call,) = door.made("POST", "/interactive/orders")
    assert f"\r\nAuthorization: {CANARY}-token-1\r\n".encode() in call.head  # capital A, no Bearer
    assert call.head.startswith(b"POST /interactive/orders HTTP/1.1\r\n")
    assert call.headers["content-type"] == "application/json"
    assert json.loads(call.body) == ORDER
    (login,) = door.made("POST", "/interactive/user/session")
    assert json.loads(login.body) == {"appKey": f"AK-{CANARY}", "secretKey": f"SK-{CANARY}", "source": "WEBAPI"}
    assert "authorization" not in login.headers


async def test_reads_and_deletes_use_the_query(door, link):
    door.say("DELETE", "/interactive/orders", ok({"AppOrderID": 5}))
    await link.call("cancel", params={"appOrderID": 5, "orderUniqueIdentifier": "A&1"})
    (call,) = door.made("DELETE", "/interactive/orders")
    assert (call.query, call.body) == ((("appOrderID", "5"), ("orderUniqueIdentifier", "A&1")), b"")


async def test_market_data_has_its_own_root_prefix_and_keys(door, tmp_path):
    link = make(door, tmp_path, "market", md_prefix="apibinarymarketdata")
    door.say("POST", "/apibinarymarketdata/instruments/quotes", ok({"listQuotes": []}))
    assert await link.call("quotes", json={}) == {"listQuotes": []}
    (login,) = door.made("POST", "/apibinarymarketdata/auth/login")
    assert json.loads(login.body)["appKey"] == f"MAK-{CANARY}"


async def test_every_call_has_its_route(door, link):
    for op, (_, _, method, path) in OPS.items():
        if not op.startswith(("login", "logout", "md_")):
            door.say(method, f"/interactive{path}", ok([]))
            assert await link.call(op) == []
            assert door.calls[-1].method == method


# sessions


async def test_one_login_serves_all_links_of_a_key_pair(door, tmp_path):
    door.say("GET", "/interactive/orders", ok([]))
    first, second = make(door, tmp_path), make(door, tmp_path)
    assert first.state == "no_token"
    await asyncio.gather(*(link.call("orders") for link in (first, second) for _ in range(5)))
    assert len(door.made("POST", "/interactive/user/session")) == 1
    assert first.state == second.state == "ready"
    assert (await first.session()).client_codes == ("CLI01",)
    await first.close()
    await second.close()
    assert first.state == "closed"
    with pytest.raises(Refused, match="closed"):
        await first.call("orders")


async def test_the_token_of_another_process_is_used(door, tmp_path):
    door.say("GET", "/interactive/orders", ok([]))
    first = make(door, tmp_path)
    await first.call("orders")
    forget_sessions()
    second = make(door, tmp_path)
    await second.call("orders")
    assert len(door.made("POST", "/interactive/user/session")) == 1
    assert (await second.session()).user_id == "CLI01"
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o077 == 0


async def test_a_dead_token_brings_one_login_and_the_read_again(door, tmp_path):
    now = [10**12]
    link = make(door, tmp_path, mono=lambda: now[0])
    await link.session()
    now[0] += 31 * 10**9
    door.say("GET", "/interactive/orders", no("e-session-0007", "Invalid Token"), ok([]))
    assert await link.call("orders") == []
    assert len(door.made("POST", "/interactive/user/session")) == 2
    assert f"{CANARY}-token-2".encode() in door.calls[-1].head


async def test_a_dead_token_never_resends_an_order(door, link):
    door.say("POST", "/interactive/orders", no("e-session-0007", "Invalid Token"), ok({"AppOrderID": 5}))
    with pytest.raises(AuthExpired, match="nothing was done"):
        await link.call("place", json=ORDER)
    assert len(door.made("POST", "/interactive/orders")) == 1
    assert link.state == "auth_expired"


async def test_at_most_one_login_in_thirty_seconds(door, tmp_path):
    now = [10**12]
    link = make(door, tmp_path, mono=lambda: now[0])
    door.say("GET", "/interactive/orders", no("e-session-0007", "Invalid Token"))
    with pytest.raises(AuthExpired, match="wait 30 s"):
        await link.call("orders")
    now[0] += 29 * 10**9
    with pytest.raises(AuthExpired, match="wait 1 s"):
        await link.call("orders")
    assert len(door.made("POST", "/interactive/user/session")) == 1
    now[0] += 2 * 10**9
    door.say("GET", "/interactive/orders", ok([]))
    assert await link.call("orders") == []
    assert len(door.made("POST", "/interactive/user/session")) == 2


async def test_no_login_where_that_is_not_wanted(door, tmp_path):
    link = make(door, tmp_path, terms=XtsTerms(relogin=False, backoff_s=0))
    door.say("GET", "/interactive/orders", ok([]))
    await link.call("orders")
    link.expire()  # as the logout event does
    with pytest.raises(AuthExpired, match="toolkit login xts-pro"):
        await link.call("orders")
    assert len(door.made("POST", "/interactive/user/session")) == 1


async def test_logout_forgets(door, link, tmp_path):
    await link.session()
    door.say("DELETE", "/interactive/user/session", ok("", "s-user-0001"))
    await link.logout()
    assert link.state == "no_token"
    assert list(tmp_path.iterdir()) == []
    await link.logout()
    assert len(door.made("DELETE", "/interactive/user/session")) == 1


async def test_without_keys_nothing_is_sent(door, tmp_path):
    link = make(door, tmp_path, app_key="")
    with pytest.raises(AuthExpired, match=r"set \[xts\] app_key and secret_key"):
        await link.call("orders")
    assert door.calls == []


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (no("e-user-0009", "bad key"), Refused),
        (Reply(how="close"), Retryable),
        (no("", "", 500), Retryable),
        (ok({}), ToolkitError),
    ],
)
async def test_a_login_that_fails(door, link, reply, kind):
    door.say("POST", "/interactive/user/session", reply)
    with pytest.raises(kind):
        await link.call("orders")
    with pytest.raises(Refused):  # an order then certainly was not sent
        await link.call("place", json=ORDER)
    assert door.made("POST", "/interactive/orders") == []


# host lookup


@pytest.mark.parametrize("unique", ["uniqueKey", "UniqueKey"])
@pytest.mark.parametrize("setting", ["", "/hostlookup", "/HostLookUp"])
@pytest.mark.parametrize("kind", [True, "success"])
async def test_host_lookup(door, tmp_path, unique, setting, kind):
    body = {
        "type": kind,
        "code": "hostlookup",
        "result": {"connectionString": f" `{door.root}/3hostlookup` ", unique: "UK-1"},
    }
    door.say("POST", setting or "/hostlookup", json_reply(body))
    door.say("GET", "/3interactive/orders", ok([]))
    link = make(
        door, tmp_path, root="", md_root=door.root, hostlookup=door.root + setting, accesspassword=f"PW-{CANARY}"
    )
    assert await link.call("orders") == []
    (login,) = door.made("POST", "/3interactive/user/session")
    assert json.loads(login.body)["uniqueKey"] == "UK-1"
    asked = json.loads(door.made("POST", setting or "/hostlookup")[0].body)
    assert asked == {"accesspassword": f"PW-{CANARY}", "version": "interactive_1.0.1"}


async def test_host_lookup_with_the_other_casing(door, tmp_path):
    good = ok({"connectionString": f"{door.root}/1interactive"}, "hostlookup")
    door.say("POST", "/hostlookup", no("e-1", "bad request"), good)
    link = make(door, tmp_path, hostlookup=door.root)
    assert (await link.session()).base == f"{door.root}/1interactive"
    assert "AccessPassword" in json.loads(door.made("POST", "/hostlookup")[1].body)


@pytest.mark.parametrize("where", ["http://evil.test/1interactive", "", None, 7])
async def test_a_host_lookup_that_leads_nowhere_good(door, tmp_path, where):
    door.say("POST", "/hostlookup", ok({"connectionString": where}))
    link = make(door, tmp_path, hostlookup=door.root)
    with pytest.raises(ToolkitError):
        await link.session()
    assert [call.path for call in door.calls if call.path != "/hostlookup"] == []


# what comes back

JSON = {"Content-Type": "application/json"}
FAULTS = {
    "429": no("e-apirl-0004", "Max limit for this API has been exceeded", 429),
    "429 nested": json_reply({"status": 0, "data": {"type": "error", "code": "e-apirl-0004", "description": "Max limit"}}, 429),
    "400": no("e-odd-0001", "no words known"),
    "401": Reply(status=401, headers=JSON, body=b"{}"),
    "403": Reply(status=403, headers={"Content-Type": "text/html"}, body=b"<h1>forbidden</h1>"),
    "500": no("e-server", "Internal", 500),
    "502": Reply(status=502, headers={"Content-Type": "text/html"}, body=b"<html>bad gateway</html>"),
    "503": Reply(status=503),
    "504": Reply(status=504, headers={"Content-Type": "text/html"}, body=b"<html>"),
    "empty": Reply(status=200, headers=JSON),
    "truncated": Reply(status=200, headers=JSON, body=b'{"type":"success","resu', how="send"),
    "short": Reply(status=200, headers=JSON, body=b'{"type":"success","code":"x","result":{"AppOrderID":1}}', how="short"),
    "no type": Reply(status=200, body=b'{"type":"success","code":"x","result":{"AppOrderID":1}}'),
    "list": Reply(status=200, headers=JSON, body=b"[1,2]"),
    "untyped": Reply(status=400, headers=JSON, body=b'{"type":"error"}'),
    "error in 200": no("e-orders-0002", "something failed", 200),
    "redirect": Reply(status=302, headers={"Location": "/interactive/elsewhere"}),
    "charset": Reply(status=200, headers=JSON, body=b'{"type":"success","code":"\xff\xfe"}'),
    "10 MB": Reply(status=200, headers=JSON, body=b'{"type":"success","code":"' + b"x" * 10_000_000 + b'"}'),
    "gzip bomb": Reply(status=200, headers=JSON | {"Content-Encoding": "gzip"}, body=b"\x1f\x8b\x08broken"),
    "reset": Reply(how="reset"),
    "close": Reply(how="close"),
    "hold": Reply(how="hold"),
}  # fmt: skip
PROVEN = {"429", "429 nested"}


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_an_order_lands_in_refused_when_proven_else_in_unknown_and_is_never_repeated(door, link, fault):
    door.say("POST", "/interactive/orders", FAULTS[fault])
    with pytest.raises(ToolkitError) as caught:
        await link.call("place", json=ORDER, what="order A1")
    assert type(caught.value) is (Refused if fault in PROVEN else Unknown)
    assert "order A1" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(door.made("POST", "/interactive/orders")) == 1
    assert not any("elsewhere" in call.path for call in door.calls)


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_a_read_is_repeated_at_most_three_times(door, link, fault):
    door.say("GET", "/interactive/user/profile", FAULTS[fault])
    with pytest.raises(ToolkitError) as caught:
        await link.call("profile")
    assert type(caught.value) in (Retryable, Refused)
    assert 1 <= len(door.made("GET", "/interactive/user/profile")) <= 4


@pytest.mark.parametrize("fault", ["500", "reset", "429", "short", "no type"])
async def test_a_read_that_fails_once_succeeds(door, link, fault):
    door.say("GET", "/interactive/user/profile", FAULTS[fault], ok({"ClientId": "C"}))
    assert await link.call("profile") == {"ClientId": "C"}


async def test_retry_after_is_obeyed_within_the_time_a_call_has(door, link):
    late = json_reply({"type": "error", "code": "e-apirl-0004"}, 429, Retry_After="60")
    door.say("GET", "/interactive/user/profile", late)
    with pytest.raises(Retryable, match="asks to wait 60 s"):
        await link.call("profile")
    assert len(door.made("GET", "/interactive/user/profile")) == 1
    with pytest.raises(Retryable, match="limit for others is used up"):  # and the whole bucket keeps away
        await link.call("margin", json={})


async def test_each_book_has_a_limit_of_its_own(door, tmp_path):
    link = make(door, tmp_path, terms=msgspec.structs.replace(QUICK, books_per_s=1, total_s=0.8))
    for path in ("orders", "orders/trades", "portfolio/positions", "user/balance"):
        door.say("GET", f"/interactive/{path}", ok([]))
    for op in ("orders", "trades", "positions", "balance"):
        await link.call(op)
    with pytest.raises(Retryable, match="limit for books /orders is used up"):
        await link.call("orders")


async def test_an_empty_book_comes_as_an_error(door, link):
    door.say("GET", "/interactive/orders", no("e-orders-0005", "Data Not Available"))
    door.say("GET", "/interactive/portfolio/positions", no("e-property-validation-failed", "Bad field"))
    assert await link.call("orders") == []
    assert await link.call("positions") == []
    door.say("POST", "/interactive/orders", no("e-orders-0005", "Data Not Available"))
    with pytest.raises(Unknown):
        await link.call("place", json=ORDER)


async def test_nothing_listens(door, tmp_path):
    link = make(door, tmp_path)
    await link.session()
    await door.close()
    with pytest.raises(Refused, match="nothing listens there"):
        await link.call("place", json=ORDER)
    with pytest.raises(Retryable):
        await link.call("orders")


async def test_tls_is_verified(door, tmp_path):
    link = make(door, tmp_path, root=door.root.replace("http:", "https:"))
    with pytest.raises((Refused, Retryable)):
        await link.call("orders")
    assert door.calls == []
    client = link._http()
    pool = client._transport._pool
    assert pool._ssl_context.verify_mode.name == "CERT_REQUIRED"
    assert pool._ssl_context.check_hostname
    assert (client.follow_redirects, client.trust_env) == (False, False)


async def test_no_secret_in_errors_logs_or_reprs(door, link, caplog):
    caplog.set_level(logging.DEBUG)
    said = [repr(link), repr(link.settings), repr(await link.session())]
    told = f"refused AK-{CANARY} SK-{CANARY} {CANARY}-token-1"
    plain = Reply(status=400, headers={"Content-Type": "text/plain"}, body=told.encode())
    for reply in (no("e-x", told), plain, Reply(how="reset"), no("e-session-0007", told)):
        door.say("POST", "/interactive/orders", reply)
        try:
            await link.call("place", json=ORDER)
        except ToolkitError as error:
            said += [str(error), repr(error), "".join(traceback.format_exception(error))]
    said += [record.getMessage() for record in caplog.records]
    assert len(said) > 12
    assert not [text for text in said if CANARY in text]
