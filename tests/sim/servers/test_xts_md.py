"""The market-data routes: login, quotes, look-ups, limits, prefixes."""

from __future__ import annotations

import json

import pytest

MD = "/apimarketdata"
QUOTES = f"{MD}/instruments/quotes"
CE = {"exchangeSegment": 2, "exchangeInstrumentID": 40001}


@pytest.fixture
def sample(shared):
    return lambda name: json.loads(shared("fixtures", "xts", f"{name}.json").read_text())["body"]


async def test_login_succeeds_with_a_code_that_looks_like_an_error(serve_xts, sample):
    client = await serve_xts()
    reply = (await client.md_log_in()).json()
    wanted = sample("md_login")
    assert {k: reply[k] for k in ("type", "code", "description")} == {
        k: wanted[k] for k in ("type", "code", "description")
    }
    assert set(reply["result"]) == set(wanted["result"])
    assert reply["result"]["application_expiry_date"] == "13-07-2027"
    assert (await client.md_log_in(secretKey="no")).json()["code"] == "e-login-0001"


async def test_the_two_apis_have_tokens_of_their_own(serve_xts):
    client = await serve_xts()
    orders = {"Authorization": client.server.app.token}
    reply = await client.ask("GET", f"{MD}/config/clientConfig", headers=orders)
    assert (reply.status_code, reply.json()["code"]) == (400, "e-session-0007")
    first = client.server.md.token
    await client.md_log_in("/apibinarymarketdata")
    assert (await client.ask("GET", f"{MD}/config/clientConfig", headers={"Authorization": first})).status_code == 400
    assert (await client.ask("GET", "/interactive/user/profile")).status_code == 200
    await client.result("DELETE", f"{MD}/auth/logout")
    assert (await client.ask("GET", f"{MD}/config/clientConfig", headers={"Authorization": "x"})).status_code == 400


@pytest.mark.parametrize(
    ("md", "served"), [("both", (True, True, True)), ("json", (True, False, True)), ("binary", (False, True, False))]
)
async def test_some_installs_have_one_prefix_only(serve_xts, md, served):
    client = await serve_xts(md=md)
    codes = [
        (await client.ask("GET", f"/{p}/config/clientConfig")).status_code
        for p in ("apimarketdata", "apibinarymarketdata", "marketdata")
    ]
    assert codes == [200 if one else 404 for one in served]


@pytest.mark.parametrize(("code", "name"), [(1502, "md_quotes_1502"), (1510, "md_quotes_1510")])
async def test_quotes_are_texts_inside_json(serve_xts, sample, code, name):
    client = await serve_xts()
    found = await client.result("POST", QUOTES, {"instruments": [CE], "xtsMessageCode": code, "publishFormat": "JSON"})
    wanted = sample(name)["result"]
    assert set(found) == set(wanted)
    assert set(json.loads(found["listQuotes"][0])) == set(json.loads(wanted["listQuotes"][0]))
    assert found["quotesList"] == [CE]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"publishFormat": None}, "e-property-validation-failed"),
        ({"xtsMessageCode": 1505}, "e-property-validation-failed"),
        ({"instruments": []}, "e-property-validation-failed"),
        ({"instruments": [5]}, "e-property-validation-failed"),
        ({"instruments": [CE] * 101}, "e-quotes-0003"),
    ],
)
async def test_wrong_quote_calls(serve_xts, changes, code):
    client = await serve_xts()
    body = {"instruments": [CE], "xtsMessageCode": 1501, "publishFormat": "JSON", **changes}
    assert (await client.refusal("POST", QUOTES, body))[:2] == (400, code)


async def test_an_unknown_id_is_left_out_of_quotes_and_refused_at_subscription(serve_xts):
    client = await serve_xts()
    odd = {"exchangeSegment": 2, "exchangeInstrumentID": 1}
    body = {"instruments": [odd, CE], "xtsMessageCode": 1501, "publishFormat": "JSON"}
    assert len((await client.result("POST", QUOTES, body))["listQuotes"]) == 1
    assert (await client.subscribe(1501, 40001, 1)).json()["code"] == "e-instrument-0001"
    assert (await client.subscribe(1507, 40001)).json()["code"] == "e-property-validation-failed"


async def test_the_empty_quote_fault_is_scoped(serve_xts):
    client = await serve_xts("empty-quote@POST /apimarketdata#1")
    body = {"instruments": [CE], "xtsMessageCode": 1501, "publishFormat": "JSON"}
    assert (await client.result("POST", QUOTES, body))["listQuotes"] == []
    assert len((await client.result("POST", QUOTES, body))["listQuotes"]) == 1


@pytest.mark.parametrize(
    ("path", "query", "check"),
    [
        ("/config/clientConfig", {}, lambda r: r["exchangeSegments"]["NSEFO"] == 2),
        ("/instruments/indexlist", {"exchangeSegment": 1}, lambda r: r["indexList"] == ["NIFTY 50_26000"]),
        ("/instruments/instrument/series", {"exchangeSegment": 2}, lambda r: r == ["FUTIDX", "OPTIDX"]),
        (
            "/instruments/instrument/expiryDate",
            {"exchangeSegment": 2, "series": "OPTIDX", "symbol": "NIFTY"},
            lambda r: r == ["2026-07-14T14:30:00"],
        ),
        (
            "/instruments/instrument/optionsymbol",
            {"exchangeSegment": 2, "optionType": "CE"},
            lambda r: r[0]["StrikePrice"] == 25000,
        ),
        ("/instruments/instrument/futureSymbol", {"exchangeSegment": 2}, lambda r: len(r) == 1),
        (
            "/search/instruments",
            {"searchString": "nifty ce", "source": "WEBAPI"},
            lambda r: r[0]["ExchangeInstrumentID"] == 40001,
        ),
        (
            "/instruments/ohlc",
            {
                "exchangeSegment": 2,
                "exchangeInstrumentID": 40001,
                "startTime": "Jul 13 2026 091500",
                "endTime": "Jul 13 2026 153000",
                "compressionValue": 60,
            },
            lambda r: r["dataReponse"].endswith("|"),
        ),
    ],
)
async def test_reads(serve_xts, path, query, check):
    client = await serve_xts()
    assert check(await client.result("GET", f"{MD}{path}", query=query))


async def test_master_and_search_by_id(serve_xts, sample):
    client = await serve_xts()
    text = await client.result("POST", f"{MD}/instruments/master", {"exchangeSegmentList": ["NSEFO"]})
    assert len(text.split("\n")) == 3
    assert (await client.refusal("POST", f"{MD}/instruments/master", {"exchangeSegmentList": "NSEFO"}))[0] == 400
    rows = await client.result("POST", f"{MD}/search/instrumentsbyid", {"source": "WEBAPI", "instruments": [CE]})
    assert rows[0]["DisplayName"] == "NIFTY 14JUL2026 CE 25000"
    assert set(sample("md_search_by_id")["result"][0]) - set(rows[0]) <= {"ISIN", "Industry"}


@pytest.mark.parametrize(("group", "most"), [("quotes", 10), ("subscribe", 2), ("ohlc", 1)])
async def test_limits(serve_xts, group, most):
    client = await serve_xts(rates="on")
    codes = []
    for number in range(most + 1):
        if group == "quotes":
            reply = await client.ask(
                "POST", QUOTES, {"instruments": [CE], "xtsMessageCode": 1501, "publishFormat": "JSON"}
            )
        elif group == "subscribe":
            reply = await client.subscribe(1501, 40001 + number)
        else:
            reply = await client.ask("GET", f"{MD}/instruments/ohlc")
        codes.append(reply.status_code == 429)
    assert codes == [False] * most + [True]
