"""What client and engine say to each other: no number is lost on the way, and every error comes back as it was."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import httpx
import pytest

from toolkit.errors import BadData, BadOrder, RiskDenied, ToolkitError, UnknownSymbol
from toolkit.orders.words import IdTaken, NoOrder, NotListed
from toolkit.serve.client import Client, encoded
from toolkit.serve.codes import ERRORS, code_of, error_of

NAN, INF = float("nan"), float("inf")


def test_a_number_that_is_none_never_becomes_null():
    body = {"price": NAN, "legs": [{"stop_px": -INF}, (INF, 1.5, 3)], "policy": {"a": {"b": NAN}}, "note": None}
    said = json.loads(encoded(body))
    assert said == {
        "price": "NaN",
        "legs": [{"stop_px": "-Infinity"}, ["Infinity", 1.5, 3]],
        "policy": {"a": {"b": "NaN"}},
        "note": None,
    }
    assert json.loads(encoded({"price": Decimal("NaN")})) == {"price": "NaN"}
    assert json.loads(encoded({"price": 112.05})) == {"price": 112.05}


@pytest.mark.parametrize("value", [object(), 1 + 2j, {("a", "b"): 1}, "\ud800"])
def test_what_json_cannot_carry_is_refused_in_one_line(value):
    with pytest.raises(BadData, match=r"^a value cannot be sent: [^\n]+$"):
        encoded({"note": value})


def test_days_go_as_their_text():
    assert json.loads(encoded({"on": dt.date(2026, 7, 13)})) == {"on": "2026-07-13"}


@pytest.mark.parametrize("kind", [*(kind for kind, _, _ in ERRORS), NotListed])
def test_every_error_comes_back_as_it_was(kind):
    ruled = issubclass(kind, BadOrder | RiskDenied)
    error = kind("price", 1, 2, "price must be 1, was 2") if ruled else kind("in one line")
    told = {"code": code_of(error)[1], "text": str(error)}
    told |= {name: getattr(error, name) for name in ("rule", "limit", "value") if ruled}
    back = error_of(told)
    assert type(back) is kind
    assert (str(back), back.exit_code) == (str(error), error.exit_code)
    assert [getattr(back, name, None) for name in ("rule", "limit", "value")] == (
        ["price", 1, 2] if ruled else [None] * 3
    )


def test_the_refusals_of_an_order_are_of_one_kind():
    for kind in (IdTaken, NoOrder, NotListed):
        assert issubclass(kind, BadOrder)
        assert kind.exit_code == 3
    assert issubclass(NotListed, UnknownSymbol)
    assert issubclass(BadOrder, ToolkitError)


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999"])
def test_a_number_that_is_no_json_is_refused_with_its_field(api, served, literal):
    for field in ("price", "note", "cl_ord_id", "order_qty"):
        fields = {"symbol": "NIFTY 14JUL2026 25450 CE", "side": "BUY", "order_qty": 65, "price": 70, field: "HERE"}
        body = json.dumps(fields).replace('"HERE"', literal)
        before = served.ids()
        answer = api.post("/v1/orders", content=body, headers={"content-type": "application/json"})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["rule"]) == (422, "bad_order", field)
        assert error["value"].lstrip("-") in ("NaN", "Infinity")
        assert served.ids() == before


@pytest.mark.parametrize("body", ["{'a': 1}", "{", "[NaN", '{"symbol": "\\ud800"}', "nan", "[" * 60_000])
def test_what_is_no_json_stays_none(api, body):
    answer = api.post("/v1/orders", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["rule"]) == (422, "body")


@pytest.mark.parametrize(("path", "least_s"), [("/v1/orders", 30), ("/v1/flatten", 600), ("/v1/halt", 600)])
async def test_an_act_that_answers_when_it_is_done_is_waited_for(path, least_s):
    """Flattening may be patient for half a minute with each position."""
    waits = []

    def answer(request):
        waits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json={})

    client = Client("http://127.0.0.1:9", "token")
    await client.close()
    client._http = httpx.AsyncClient(base_url=client.url, transport=httpx.MockTransport(answer))
    await client.send("POST", path)
    await client.close()
    assert waits == [least_s]
