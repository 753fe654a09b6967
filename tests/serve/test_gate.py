"""R22 and R23 in their quick forms: who may speak, and what hostile input does, on a real socket."""

from __future__ import annotations

import json
import socket
import time
from urllib.parse import quote

import pytest

from toolkit.serve.gate import Bucket, needed_scope

WRITES = [
    ("POST", "/v1/orders"),
    ("PATCH", "/v1/orders/X1"),
    ("DELETE", "/v1/orders/X1"),
    ("POST", "/v1/preview"),
    ("POST", "/v1/halt"),
    ("POST", "/v1/resume"),
    ("POST", "/v1/flatten"),
    ("POST", "/v1/reconcile"),
    ("POST", "/v1/cancel_all"),
]
READS = [
    f"/v1/{name}"
    for name in (
        "orders",
        "fills",
        "positions",
        "pnl",
        "greeks",
        "margin",
        "limits",
        "events",
        "scenarios",
        "execution",
        "runs",
        "state",
    )
]
READS += ["/v1/orders/X1", "/v1/chain/NIFTY/2026-07-14", "/v1/oi/NIFTY", "/metrics"]
ROUTES = [*WRITES, *(("GET", path) for path in READS)]


@pytest.fixture(autouse=True)
def _no_side_effect(served):
    """Whatever a refused request tried: the journal holds no order of it, and trading goes on."""
    served.server.gate.guesses._most = 10**6  # the delay has a test of its own
    before, trading = served.ids(), served.server.station.state()["accounts"][0]["trading"]
    yield
    assert served.ids() == before
    assert served.server.station.state()["accounts"][0]["trading"] == trading


def ask(served, method, path, *, scope=None, body=None, **headers):
    with served.client(scope) as client:
        given = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return client.request(method, path, content=json.dumps(served.order() if body is None else body), headers=given)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_without_the_right_token(served, method, path):
    good = served.token()
    answers = [
        ask(served, method, path),
        ask(served, method, path, authorization="Bearer " + "A" * 43),
        ask(served, method, path, authorization=f"Bearer {good[:-2]}"),
        ask(served, method, path, authorization=f"Basic {good}"),
        ask(served, method, f"{path}?token={good}&access_token={good}"),
    ]
    assert {a.status_code for a in answers} == {401}
    assert len({len(a.content) for a in answers}) == 1
    assert len({a.json()["error"]["text"] for a in answers}) == 1
    assert not any("access-control" in name for a in answers for name in a.headers)


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_read_token_changes_nothing(served, method, path):
    answer = ask(served, method, path, scope="read")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope")


def test_only_admin_resumes(served):
    assert ask(served, "POST", "/v1/resume", scope="trade", body={}).status_code == 403
    assert needed_scope("POST", "/v1/halt") == needed_scope("DELETE", "/v1/orders/X") == "trade"


@pytest.mark.parametrize(
    "host",
    [
        "engine.evil.test:{port}",
        "0.0.0.0:{port}",
        "10.0.0.5:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.evil.test:{port}",
        "localhost.evil.test",
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/orders"), ("GET", "/v1/orders"), ("GET", "/health")])
def test_only_by_its_own_name(served, host, method, path):
    answer = ask(served, method, path, scope="admin", host=host.format(port=served.server.port))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host")


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://127.0.0.1:1",
        "http://127.0.0.1.evil.test:{port}",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:{port}.evil.test",
        "http://evil.test",
        "http://127.0.0.1:{port}/",
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/orders"), ("GET", "/v1/orders"), ("OPTIONS", "/v1/orders")])
def test_no_page_of_another_origin(served, origin, method, path):
    answer = ask(served, method, path, scope="admin", origin=origin.format(port=served.server.port))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin")
    assert not any("access-control" in name for name in answer.headers)


def test_a_form_of_another_origin_and_a_preflight_are_refused(served):
    form = ask(
        served,
        "POST",
        "/v1/orders",
        scope="admin",
        origin="http://evil.test",
        content_type="application/x-www-form-urlencoded",
    )
    plain = ask(served, "POST", "/v1/orders", scope="admin", content_type="text/plain")
    preflight = ask(served, "OPTIONS", "/v1/orders", access_control_request_method="POST")
    assert [a.status_code for a in (form, plain, preflight)] == [403, 415, 401]


@pytest.mark.parametrize("header", ["x-http-method-override", "x-http-method", "x-method-override"])
def test_a_method_cannot_be_overridden(served, header):
    assert ask(served, "GET", "/v1/orders/X1", scope="admin", **{header.replace("-", "_"): "DELETE"}).status_code == 403


def test_health_says_up_to_anybody_and_nothing_else(served):
    with served.client(None) as client:
        answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "up"})


def test_errors_are_one_line_with_code_and_id_and_no_stack(api):
    for answer in (
        api.get("/v1/nothing"),
        api.get("/v1/orders/NOPE"),
        api.put("/v1/orders", json={}),
        api.get("/v1/orders?x=1"),
    ):
        error = answer.json()["error"]
        assert answer.status_code in (404, 405, 422)
        assert set(error) >= {"code", "text", "request_id"}
        assert "\n" not in error["text"]
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"\xff\xfe",
        b"NaN",
        b"[" * 20_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"order_qty": ' + b"9" * 30_000 + b"}",
    ],
)
def test_a_body_that_is_no_order_is_refused_in_one_line(served, api, body):
    answer = api.post("/v1/orders", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "bad_order"


HOSTILE = [
    "../../etc/passwd",
    "..%2f..%2fetc",
    "/etc/passwd",
    "a\x00b",
    "\\\\host\\share",
    "'; drop table records; --",
    "=cmd()",
    "<script>alert(1)</script>",
    "x" * 5000,
    "٣",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["symbol", "cl_ord_id", "exchange", "account", "broker", "side"])
def test_hostile_text_in_a_field_is_refused(served, api, field, value):
    answer = api.post("/v1/orders", json=served.order(**{field: value}))
    assert answer.status_code == 422, answer.text
    assert "\n" not in answer.json()["error"]["text"]


@pytest.mark.parametrize("value", HOSTILE[:-1])
def test_hostile_text_in_a_path_is_not_found(served, api, value):
    for path in ("/v1/orders/", "/v1/chain/NIFTY/", "/v1/oi/"):
        answer = api.get(path + quote(value, safe=""))
        assert answer.status_code in (400, 403, 404, 422), (path, answer.text)
        assert "root:" not in answer.text


def test_a_body_has_its_bounds(served, api):
    answer = api.post("/v1/orders", content=b"x" * 70_000, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body")

    def endless():
        yield b"{" + b" " * 70_000

    answer = api.post("/v1/orders", content=endless(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


def raw(served, data: bytes, seconds: float = 8.0) -> bytes:
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=seconds) as link:
        link.sendall(data)
        got = b""
        try:
            while more := link.recv(65536):
                got += more
        except ConnectionResetError:
            pass
        return got


def test_too_many_headers_end_the_connection(served):
    head = b"GET /health HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(10_000)) + b"\r\n"
    answer = raw(served, head)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_a_socket_that_asks_for_nothing_is_closed(served, monkeypatch):
    monkeypatch.setattr("toolkit.serve.listen._FIRST_S", 0.2)
    assert raw(served, b"") == b""


def test_a_body_that_drips_is_given_up(served, monkeypatch):
    monkeypatch.setattr("toolkit.serve.gate._BODY_S", 0.2)
    head = (
        f"POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1:{served.server.port}\r\nAuthorization: Bearer {served.token()}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    assert raw(served, head.encode()).startswith(b"HTTP/1.1 408")


def test_more_sockets_than_allowed_are_cut_and_the_engine_answers_on(served, monkeypatch):
    monkeypatch.setattr("toolkit.serve.listen.MOST_CONNECTIONS", 10)
    links = [socket.create_connection(("127.0.0.1", served.server.port), timeout=5) for _ in range(40)]
    try:
        cut = 0
        for link in links[15:]:
            try:
                cut += link.recv(1) == b""
            except ConnectionResetError:
                cut += 1
        assert cut >= 20
    finally:
        for link in links:
            link.close()
    end = time.monotonic() + 5
    while served.server.listener.connections > 5 and time.monotonic() < end:
        served.loop.wait(_breath)
    with served.client(None) as client:
        assert client.get("/health").status_code == 200


async def _breath() -> None:
    import asyncio

    await asyncio.sleep(0.01)


def test_the_sixth_wrong_token_waits(served):
    waits = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    gate = served.server.gate
    gate.guesses._most, gate.guesses._at, real = 5, type(gate.guesses._at)(maxlen=100), gate._sleep
    gate._sleep = note
    try:
        for _ in range(8):
            ask(served, "GET", "/v1/orders")
    finally:
        gate._sleep = real
    assert waits == [1.0] * 3


def test_wrong_tokens_are_in_the_journal(served, api):
    before = served.seq()
    ask(served, "GET", "/v1/orders")
    end = time.monotonic() + 5
    found = []
    while not found and time.monotonic() < end:
        events = api.get(f"/v1/events?after={0}&most=1000").json()["events"]
        found = [e for e in events if e["kind"] == "act" and e["payload"].get("act") == "wrong_token"]
    assert found
    assert served.seq() >= before


def test_a_bucket_makes_wait_and_then_refuses():
    bucket = Bucket(10.0, patience_s=0.5)
    assert [bucket.take(0) for _ in range(10)] == [0.0] * 10
    waits = [bucket.take(0) for _ in range(7)]
    assert waits[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert waits[5:] == [None, None]
    assert bucket.take(10**9) == 0.0
