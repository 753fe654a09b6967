"""What an XTS answer proves: the samples, every row of the table, every shape of a body."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.brokers.errors_map import SHAPES, Answer
from toolkit.brokers.xts_errors import CALLS, ROWS, classify, shape_of, to_error
from toolkit.errors import AuthExpired, Refused, Retryable, ToolkitError, Unknown

JSON = "application/json; charset=utf-8"


def answer(shared, name):
    sample = json.loads(shared("fixtures", "xts", f"{name}.json").read_text())
    return shape_of(sample["http_status"], JSON, json.dumps(sample["body"]).encode())


def typed(code="", text="", status=400):
    return Answer(status=status, shape="typed", error_type=code, text=text)


def test_the_error_samples(shared):
    assert classify("read", answer(shared, "error_invalid_token")[0]) == "auth"
    assert classify("order", answer(shared, "error_invalid_token")[0]) == "auth"
    assert classify("list", answer(shared, "error_no_data_orders")[0]) == "empty"
    assert classify("list", answer(shared, "error_rate_limit")[0]) == "retryable"
    assert classify("list", answer(shared, "error_client_not_mapped")[0]) == "refused"
    already, held = answer(shared, "error_already_subscribed")
    assert classify("subscribe", already) == "done"
    assert held == {"Remaining_Subscription_Count": 48}


def test_a_success_is_ok_and_gives_its_result(shared):
    for name in ("md_login", "hostlookup", "order_book", "interactive_logout"):
        found, _ = answer(shared, name)
        assert (found.shape, classify("order", found)) == ("ok", "ok")


@pytest.mark.parametrize(
    ("call", "code", "text", "verdict"),
    [
        ("order", "e-session-0007", "Invalid Token", "auth"),
        ("order", "E-SESSION-0007", "", "auth"),
        ("read", "", "please provide token to authenticate", "auth"),
        ("read", "e-session-0005", "Authorization not found", "auth"),
        ("read", "e-token-0002", "", "auth"),
        ("login", "e-session-0007", "Invalid Token", "refused"),
        ("login", "e-user-0099", "wrong key", "refused"),
        ("subscribe", "e-session-0002", "Instrument Already Subscribed !", "done"),
        ("order", "e-session-0002", "Instrument Already Subscribed !", "unknown"),
        ("subscribe", "e-session-0004", "Subscription limit exceeded", "refused"),
        ("list", "e-apirl-0004", "Max limit for this API has been exceeded", "retryable"),
        ("read", "", "Rate Limit reached", "retryable"),
        ("order", "e-apirl-0004", "Max limit", "refused"),
        ("order", "", "max limit of the client exceeded", "unknown"),
        ("list", "e-orders-0005", "Data Not Available", "empty"),
        ("list", "e-tradeBook-0005", "data not available", "empty"),
        ("positions", "e-portfolio-0005", "Data Not Available", "empty"),
        ("read", "e-portfolio-0005", "Data Not Available", "refused"),
        ("order", "e-orders-0005", "Data Not Available", "unknown"),
        ("positions", "e-property-validation-failed", "Bad field", "empty"),
        ("list", "e-property-validation-failed", "Bad field", "refused"),
        ("order", "e-property-validation-failed", "Bad field", "refused"),
        ("history", "e-orders-0001", "Order not found", "retryable"),
        ("history", "e-orders-0005", "Data Not Available", "retryable"),
        ("order", "e-orders-0001", "Order not found", "refused"),
        ("order", "e-orders-0001", "something", "unknown"),
        ("order", "e-trade-00002", "Supplied client not mapped under dealer", "refused"),
        ("read", "e-user-0001", "No RMS Limit assign to user", "refused"),
        ("read", "e-quotes-0003", "too many", "split"),
        ("order", "e-instrument-0001", "unknown instrument", "refused"),
        ("order", "e-orders-0400", "Bad Request", "refused"),
        ("order", "e-odd-1", "request from unregistered IP", "refused"),
        ("order", "e-odd-1", "something new", "unknown"),
        ("read", "e-odd-1", "something new", "refused"),
    ],
)
def test_the_table(call, code, text, verdict):
    assert classify(call, typed(code, text)) == verdict


def test_every_row_can_decide():
    for row in ROWS:
        call = row.calls[0] if row.calls else "order"
        found = Answer(
            status=row.statuses[0] if row.statuses else 400,
            shape=row.shapes[0] if row.shapes else "broken",
            error_type=row.codes[0] if row.codes else "",
            text="" if row.codes or not row.texts else row.texts[0],
        )
        assert classify(call, found) == row.verdict, row
        assert row.why


def test_an_order_is_unknown_unless_something_proves_otherwise():
    for shape in SHAPES:
        for status in (0, 200, 400, 401, 403, 429, 500, 502, 503, 504):
            verdict = classify("order", Answer(status=status, shape=shape))
            assert verdict == {"ok": "ok", "no_link": "refused"}.get(shape, "unknown"), (shape, status)


def test_reads_never_are_unknown():
    for call in ("read", "list", "positions", "history", "subscribe"):
        for shape in SHAPES[1:]:
            for status in (0, 200, 400, 404, 429, 500):
                assert classify(call, Answer(status=status, shape=shape)) in ("refused", "retryable"), (call, shape)


@pytest.mark.parametrize(
    ("status", "kind", "body", "shape"),
    [
        (200, JSON, b'{"type":"success","code":"x","result":{}}', "ok"),
        (200, JSON, b'{"type":"error","code":"e-x","description":"no"}', "typed"),
        (400, JSON, b'{"type":"error","code":"e-x"}', "typed"),
        (400, JSON, b'{"type":"error"}', "untyped"),
        (500, JSON, b'{"type":"success","code":"x"}', "odd"),
        (200, JSON, b"[]", "odd"),
        (200, JSON, b'{"a":1}', "odd"),
        (200, JSON, b"{", "broken"),
        (200, JSON, b"", "broken"),
        (200, JSON, b'{"type":"success","code":"\xff"}', "broken"),
        (200, None, b'{"type":"success","code":"x"}', "broken"),
        (404, "text/html", b"<html>Cannot POST /interactive/orders</html>", "broken"),
        (302, "text/html", b"", "redirect"),
        (200, JSON, None, "broken"),
    ],
)
def test_shapes(status, kind, body, shape):
    assert shape_of(status, kind, body)[0].shape == shape


def test_a_missing_route_is_told_in_the_servers_words():
    found, _ = shape_of(404, "text/html; charset=utf-8", b"<html><pre>Cannot POST /interactive/orders</pre></html>")
    assert found.text == "an answer of type text/html: Cannot POST /interactive/orders"
    assert classify("order", found) == "refused"
    assert classify("order", shape_of(404, "text/html", b"<h1>gateway</h1>")[0]) == "unknown"
    assert classify("read", shape_of(404, "text/html", b"<h1>gateway</h1>")[0]) == "refused"


@pytest.mark.parametrize(
    ("call", "given", "kind", "exact"),
    [
        ("order", typed("e-session-0007", "Invalid Token"), AuthExpired, True),
        ("order", typed("e-trade-00002", "not mapped"), Refused, True),
        ("order", Answer(status=504, shape="broken"), Unknown, True),
        ("list", Answer(shape="cut"), Retryable, True),
        ("read", typed("e-quotes-0003", "many"), Refused, True),
    ],
)
def test_errors_of_our_tree_in_one_line(call, given, kind, exact):
    made = to_error("xts-pro", "the order", call, given)
    assert (type(made) is kind) is exact
    assert "\n" not in str(made)
    assert "xts-pro" in str(made)


def test_words_of_the_broker_become_one_short_line():
    found, _ = shape_of(
        400, JSON, json.dumps({"type": "error", "code": "e-x", "description": "a\n\x00b" + "c" * 999}).encode()
    )
    assert "\n" not in found.text
    assert len(found.text) <= 300


@given(
    st.integers(100, 599),
    st.none() | st.sampled_from([JSON, "text/html", "", "x"]),
    st.none() | st.binary(max_size=40),
    st.sampled_from(CALLS),
)
def test_anything_is_classified(status, kind, body, call):
    found, _ = shape_of(status, kind, body)
    assert found.shape in SHAPES
    if found.shape != "ok":
        assert isinstance(to_error("xts-pro", "it", call, found), ToolkitError)
