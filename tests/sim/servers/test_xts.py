"""The interactive routes as a client meets them: hosts, sessions, profiles, orders, portfolio."""

from __future__ import annotations

import json

import pytest

ORDERS = "/interactive/orders"
POSITIONS = "/interactive/portfolio/positions"


def shapes(ours, sample, where="result"):
    """Every field of a sample is in ours, with the same kind of value; a list is judged by its first row."""
    if isinstance(sample, dict):
        assert isinstance(ours, dict), where
        missing = set(sample) - set(ours)
        assert not missing, f"{where}: {missing}"
        for name, value in sample.items():
            shapes(ours[name], value, f"{where}.{name}")
    elif isinstance(sample, list):
        assert isinstance(ours, list), where
        if sample and ours:
            shapes(ours[0], sample[0], f"{where}[0]")
    elif isinstance(sample, (int, float)) and not isinstance(sample, bool):
        assert isinstance(ours, (int, float)), f"{where}: {ours!r}"
    else:
        assert type(ours) is type(sample), f"{where}: {ours!r} and {sample!r}"


@pytest.fixture
def sample(shared):
    return lambda name: json.loads(shared("fixtures", "xts", f"{name}.json").read_text())


async def test_login_has_the_shape_of_the_sample_and_the_next_kills_its_token(serve_xts, sample):
    client = await serve_xts()
    first = client.server.app.token
    reply = (await client.log_in()).json()
    shapes(reply, sample("interactive_login_investor")["body"])
    assert (reply["result"]["isInvestorClient"], reply["result"]["clientCodes"]) == (True, ["SIM001"])
    dead = await client.http.get("/interactive/user/profile", headers={"Authorization": first})
    assert (dead.status_code, dead.json()) == (400, sample("error_invalid_token")["body"])
    live = await client.http.get("/interactive/user/profile", headers={"Authorization": reply["result"]["token"]})
    assert live.status_code == 200


@pytest.mark.parametrize("profile", ["dealer_masked", "dealer_named", "dealer_empty_positions"])
async def test_a_dealers_login_names_its_clients(serve_xts, sample, profile):
    client = await serve_xts(profile=profile)
    result = (await client.log_in()).json()["result"]
    shapes(result, sample("interactive_login_dealer")["body"]["result"])
    assert (result["isInvestorClient"], result["clientCodes"], result["userID"]) == (False, ["CLI01", "CLI02"], "DLR01")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"appKey": "x"}, "e-login-0001"),
        ({"secretKey": "x"}, "e-login-0001"),
        ({"source": None}, "e-property-validation-failed"),
    ],
)
async def test_a_wrong_login_changes_nothing(serve_xts, body, says):
    client = await serve_xts()
    reply = await client.log_in(**body)
    assert (reply.status_code, reply.json()["code"]) == (400, says)
    assert await client.result("GET", "/interactive/user/profile")


async def test_tokens_are_bare_and_missing_ones_named(serve_xts):
    client = await serve_xts()
    for headers, code in (
        ({}, "e-token-0002"),
        ({"Authorization": f"Bearer {client.server.app.token}"}, "e-session-0007"),
    ):
        reply = await client.ask("GET", ORDERS, headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (400, code)


async def test_a_gateway_that_reads_only_capital_letters(serve_xts):
    client = await serve_xts(header="strict")
    reply = await client.ask("GET", "/interactive/user/profile", headers={"authorization": client.server.app.token})
    assert reply.json()["code"] == "e-session-0005"
    assert (await client.ask("GET", "/interactive/user/profile")).status_code == 200


async def test_logout_answers_with_an_empty_text(serve_xts, sample):
    client = await serve_xts()
    reply = await client.ask("DELETE", "/interactive/user/session")
    assert reply.json() == sample("interactive_logout")["body"]
    token = {"Authorization": "x.y.z"}
    assert (await client.ask("GET", ORDERS, headers=token)).json()["code"] == "e-session-0007"


@pytest.mark.parametrize("path", ["/", "/nowhere", "/interactive/nope", "/apimarketdata/nope", "/2interactive/orders"])
async def test_an_unknown_path_gets_a_page(serve_xts, path):
    client = await serve_xts()
    reply = await client.http.get(path)
    assert (reply.status_code, reply.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert reply.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(("lookup", "key"), [("plain", "uniqueKey"), ("odd", "UniqueKey")])
async def test_host_lookup_leads_to_the_prefix_that_wants_its_key(serve_xts, sample, lookup, key):
    client = await serve_xts(lookup=lookup)
    assert (await client.log_in("/1interactive")).json()["code"] == "e-login-0002"
    asked = {"AccessPassword": "2021HostLookUpAccess", "version": "interactive_1.0.1"}
    reply = (await client.http.post("/hostlookup", json=asked)).json()
    assert reply["type"] is True
    where = reply["result"]["connectionString"]
    if lookup == "plain":
        shapes(reply, sample("hostlookup")["body"])
        assert where == f"http://127.0.0.1:{client.server.port}/1interactive"
    else:
        assert where == f" `http://127.0.0.1:{client.server.port}/1hostlookup` "
    assert (await client.log_in("/1interactive", uniqueKey="nope")).status_code == 400
    made = await client.log_in("/1interactive", uniqueKey=reply["result"][key])
    assert made.status_code == 200
    assert (await client.ask("GET", "/1interactive/user/profile")).status_code == 200
    assert (await client.http.post("/HostLookUp", json={"accesspassword": "x"})).status_code == 400


async def test_profile_balance_and_the_rest_have_the_shapes_of_the_samples(serve_xts, sample):
    client = await serve_xts()
    shapes(await client.result("GET", "/interactive/user/profile"), sample("profile")["body"]["result"])
    balance = await client.result("GET", "/interactive/user/balance")
    shapes(balance, sample("balance")["body"]["result"])
    whole = {row["limitHeader"]: row["limitObject"]["RMSSubLimits"] for row in balance["BalanceList"]}["ALL|ALL|ALL"]
    assert (whole["cashAvailable"], whole["netMarginAvailable"]) == ("10000000", "10000000")
    portfolio = {
        "portfolio": [
            {
                "exchange": 2,
                "exchangeInstrumentId": 40001,
                "productType": "NRML",
                "orderType": "LIMIT",
                "orderSide": "BUY",
                "quantity": 65,
                "price": 100,
                "stopPrice": 0,
                "orderSessionType": 1,
            }
        ]
    }
    margin = await client.result("POST", "/interactive/orders/margindetails", portfolio)
    shapes(margin, sample("margin_details")["body"]["result"])
    assert margin["brokerageDeatils"]["MarginRequired"] == 6500
    status = await client.result("GET", "/interactive/status/exchange", query={"userID": "SIM001"})
    assert {row["exchangeTradingSession"] for row in status["marketStatus"]} == {2}
    messages = await client.result("GET", "/interactive/messages/exchange", query={"exchangeSegment": "NSEFO"})
    assert messages["messageList"][0]["ExchangeSegment"] == 2
    assert "order" in (await client.result("GET", "/interactive/user/enums"))["socketEvent"]


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        (ORDERS, {}, "e-orders-0005"),
        (f"{ORDERS}/trades", {}, "e-tradeBook-0005"),
        (POSITIONS, {"dayOrNet": "NetWise"}, "e-portfolio-0005"),
        ("/interactive/portfolio/holdings", {}, "e-holdings-0005"),
    ],
)
async def test_empty_lists_are_errors(serve_xts, path, query, code):
    client = await serve_xts()
    assert await client.refusal("GET", path, query=query) == (400, code, "Data Not Available")


@pytest.mark.parametrize(("empty", "code"), [("validation", 400), ("list", 200)])
async def test_empty_positions_differ_by_install(serve_xts, empty, code):
    client = await serve_xts(empty=empty, positions="list")
    reply = await client.ask("GET", POSITIONS, query={"dayOrNet": "DayWise"})
    assert reply.status_code == code
    assert reply.json()["result"] == [] if code == 200 else reply.json()["code"] == "e-property-validation-failed"


async def test_an_order_rests_is_changed_and_cancelled(serve_xts, sample):
    client = await serve_xts()
    placed = await client.result("POST", ORDERS, client.form)
    shapes(placed, sample("order_place")["body"]["result"])
    row = (await client.orders())[0]
    shapes(row, sample("order_book")["body"]["result"][0])
    shapes(row, json.loads(sample("ev_order_pending_new")["args"][0]))
    assert (row["OrderStatus"], row["OrderSide"], row["OrderType"], row["OrderPrice"]) == ("New", "Buy", "Limit", 90)
    change = {
        "appOrderID": placed["AppOrderID"], "modifiedProductType": "NRML", "modifiedOrderType": "LIMIT",
        "modifiedOrderQuantity": 130, "modifiedDisclosedQuantity": 0, "modifiedLimitPrice": 91.5, "modifiedStopPrice": 0,
        "modifiedTimeInForce": "DAY", "orderUniqueIdentifier": "tag0001",
    }  # fmt: skip
    shapes(await client.result("PUT", ORDERS, change), sample("order_modify")["body"]["result"])
    row = (await client.orders())[0]
    assert (row["OrderStatus"], row["OrderPrice"], row["OrderQuantity"], row["LeavesQuantity"]) == (
        "Replaced",
        91.5,
        130,
        130,
    )
    del change["modifiedLimitPrice"]
    assert (await client.refusal("PUT", ORDERS, change))[1] == "e-property-validation-failed"
    query = {"appOrderID": placed["AppOrderID"], "orderUniqueIdentifier": "tag0001"}
    shapes(await client.result("DELETE", ORDERS, query=query), sample("order_cancel")["body"]["result"])
    history = await client.orders(appOrderID=placed["AppOrderID"])
    shapes(history, sample("order_history")["body"]["result"])
    assert [row["OrderStatus"] for row in history] == [
        "PendingNew",
        "New",
        "PendingReplace",
        "Replaced",
        "PendingCancel",
        "Cancelled",
    ]
    assert (await client.refusal("DELETE", ORDERS, query=query))[1] == "e-orders-0002"
    assert (await client.refusal("DELETE", ORDERS, query={"appOrderID": 1}))[1:] == ("e-orders-0001", "order not found")
    assert (await client.refusal("GET", ORDERS, query={"appOrderID": "x"}))[1] == "e-orders-0001"


async def test_fills_reach_books_trades_and_positions_as_text(serve_xts, sample):
    client = await serve_xts()
    await client.place(orderSide="SELL", orderQuantity=1300, limitPrice=80)
    row = (await client.orders())[0]
    assert (row["OrderStatus"], row["CumulativeQuantity"], row["LeavesQuantity"], row["OrderAverageTradedPrice"]) == (
        "PartiallyFilled",
        650,
        650,
        "100.00",
    )
    await client.result("POST", f"{ORDERS}/cancelall", {"exchangeSegment": "NSEFO", "exchangeInstrumentID": 40001})
    row = (await client.orders())[0]
    assert (row["OrderStatus"], row["CumulativeQuantity"], row["LeavesQuantity"]) == ("Cancelled", 650, 0)
    trades = await client.result("GET", f"{ORDERS}/trades")
    shapes(trades, sample("trade_book")["body"]["result"])
    assert [(t["LastTradedQuantity"], t["LastTradedPrice"], t["MessageCode"]) for t in trades] == [(650, 100, 9005)]
    for kind in ("DayWise", "NetWise"):
        rows = await client.result("GET", POSITIONS, query={"dayOrNet": kind})
        shapes(rows, sample("positions_daywise")["body"]["result"])
        held = rows["positionList"][0]
        assert (held["Quantity"], held["SellAmount"], held["SellAveragePrice"]) == ("-650", "65,000.00", "100.00")
        assert all(
            isinstance(held[k], str) for k in ("MTM", "BEP", "OpenBuyQuantity", "Marketlot", "ExchangeInstrumentId")
        )
    assert (await client.refusal("GET", POSITIONS))[1] == "e-property-validation-failed"


async def test_conversion_and_square_off(serve_xts):
    client = await serve_xts()
    await client.place(limitPrice=101, orderQuantity=130)
    where = {"exchangeSegment": "NSEFO", "exchangeInstrumentID": 40001}
    moved = await client.result(
        "PUT",
        f"{POSITIONS}/convert",
        {**where, "targetQty": 65, "isDayWise": True, "oldProductType": "NRML", "newProductType": "MIS"},
    )
    assert moved["CovertedQty"] == 65
    rows = (await client.result("GET", POSITIONS, query={"dayOrNet": "NetWise"}))["positionList"]
    assert {(row["ProductType"], row["Quantity"]) for row in rows} == {("NRML", "65"), ("MIS", "65")}
    more = {**where, "targetQty": 650, "isDayWise": False, "oldProductType": "NRML", "newProductType": "MIS"}
    assert (await client.refusal("PUT", f"{POSITIONS}/convert", more))[1] == "e-portfolio-0009"
    off = {
        **where,
        "productType": "NRML",
        "squareoffMode": "Netwise",
        "positionSquareOffQuantityType": "Percentage",
        "squareOffQtyValue": 100,
        "blockOrderSending": True,
        "cancelOrders": True,
    }
    await client.result("PUT", "/interactive/portfolio/squareoff", off)
    assert (await client.refusal("PUT", "/interactive/portfolio/squareoff", off))[1] == "e-portfolio-0010"
    assert (await client.control("GET", "state"))["net"] == {"SIM001": {"NIFTY2671425000CE": 65}}


async def test_what_risk_and_the_exchange_refuse_is_an_order_that_ends_rejected(serve_xts):
    client = await serve_xts(funds_p=1_000_00)
    for changes, says in (
        ({}, "OEMS:RMS : Margin Exceeds"),
        (
            {"orderQuantity": 66, "orderSide": "SELL", "orderType": "LIMIT", "limitPrice": 1},
            "OEMS:RMS : Margin Exceeds",
        ),
    ):
        await client.place(**changes)
        row = (await client.orders())[0]
        assert (row["OrderStatus"], row["CancelRejectReason"]) == ("Rejected", says)
    rich = await serve_xts()
    for changes, says in (
        ({"orderQuantity": 66}, "16388 : quantity must be a multiple of the lot 65, was 66"),
        ({"limitPrice": 90.03}, "16388 : price must be a positive multiple of the tick 5 paise, was 9003"),
        ({"orderType": "STOPMARKET", "stopPrice": 120}, "16388 : stop-loss market orders are withdrawn here"),
    ):
        await rich.place(**changes)
        row = (await rich.orders())[0]
        assert row["OrderStatus"] == "Rejected"
        assert row["CancelRejectReason"].startswith(says)


@pytest.mark.parametrize(
    ("mode", "source", "status", "echoed"),
    [
        ("echo", "ALGO", 200, "ALGO"),
        ("echo", None, 200, None),
        ("ignore", "ALGO", 200, None),
        ("strict", "ALGO", 200, "ALGO"),
        ("strict", None, 400, None),
        ("strict", "", 400, None),
    ],
)
async def test_the_order_source(serve_xts, mode, source, status, echoed):
    client = await serve_xts(order_source=mode)
    form = {k: v for k, v in client.form.items() if k != "apiOrderSource"} | (
        {} if source is None else {"apiOrderSource": source}
    )
    reply = await client.ask("POST", ORDERS, form)
    assert reply.status_code == status
    if status == 400:
        assert reply.json()["code"] == "e-property-validation-failed"
    else:
        assert (await client.orders())[0].get("ApiOrderSource") == echoed


@pytest.mark.parametrize("kind", ["cover", "bracket"])
async def test_cover_and_bracket_are_switched_off(serve_xts, kind):
    client = await serve_xts()
    assert (await client.refusal("POST", f"{ORDERS}/{kind}", client.form))[1] == "e-orders-0011"


class TestWhoMayActForWhom:
    @pytest.mark.parametrize(
        ("profile", "given", "says"),
        [
            ("investor", None, None),
            ("investor", "SIM001", None),
            ("investor", "OTHER", "e-trade-00002"),
            ("dealer_named", "CLI02", None),
            ("dealer_named", None, "e-property-validation-failed"),
            ("dealer_named", "*****", "e-trade-00002"),
            ("dealer_named", "CLI99", "e-trade-00002"),
            ("dealer_masked", "*****", None),
            ("dealer_masked", "CLI01", None),
            ("dealer_masked", "DLR01", "e-trade-00002"),
            ("dealer_empty_positions", "CLI01", None),
        ],
    )
    async def test_orders(self, serve_xts, profile, given, says):
        client = await serve_xts(profile=profile)
        form = client.form if given is None else {**client.form, "clientID": given}
        reply = await client.ask("POST", ORDERS, form)
        assert (reply.json()["code"] if reply.status_code == 400 else None) == says
        if says is None:
            owner = reply.json()["result"]["ClientID"]
            assert owner == ("CLI01" if given == "*****" else given or "SIM001")

    async def test_a_named_install_says_yes_to_the_dealers_own_id_and_drops_the_order(self, serve_xts):
        client = await serve_xts(profile="dealer_named")
        reply = await client.ask("POST", ORDERS, {**client.form, "clientID": "DLR01"})
        assert (reply.status_code, reply.json()["type"]) == (200, "success")
        assert (await client.refusal("GET", f"{ORDERS}/dealerorderbook"))[1] == "e-orders-0005"
        assert [row["tag"] for row in await client.record("dropped")] == ["tag0001"]

    async def test_dealer_books_hold_every_client_and_plain_ones_want_a_client(self, serve_xts, sample):
        client = await serve_xts(profile="dealer_named")
        await client.place(clientID="CLI01", limitPrice=101)
        await client.place(clientID="CLI02", limitPrice=101)
        rows = await client.result("GET", f"{ORDERS}/dealerorderbook")
        shapes(rows, sample("dealer_order_book")["body"]["result"])
        assert [(row["LoginID"], row["ClientID"]) for row in rows] == [("DLR01", "CLI02"), ("DLR01", "CLI01")]
        assert len(await client.result("GET", f"{ORDERS}/dealertradebook")) == 2
        one = await client.result("GET", f"{ORDERS}/dealertradebook", query={"clientID": "CLI02"})
        assert [row["ClientID"] for row in one] == ["CLI02"]
        assert [row["ClientID"] for row in await client.orders(clientID="CLI02")] == ["CLI02"]
        told = await client.refusal("GET", f"{ORDERS}/trades", query={"clientID": "DLR01"})
        assert told == (400, *(sample("error_client_not_mapped")["body"][k] for k in ("code", "description")))
        rows = await client.result("GET", "/interactive/portfolio/dealerpositions", query={"dayOrNet": "NetWise"})
        shapes(rows, sample("dealer_positions")["body"]["result"])
        assert [row["AccountID"] for row in rows["positionList"]] == ["CLI01", "CLI02"]

    async def test_an_order_is_touched_with_its_own_client_only(self, serve_xts):
        client = await serve_xts(profile="dealer_named")
        order = await client.place()
        other = {"appOrderID": order, "clientID": "CLI02"}
        assert (await client.refusal("DELETE", ORDERS, query=other))[1] == "e-orders-0001"
        await client.result("DELETE", ORDERS, query={"appOrderID": order, "clientID": "CLI01"})

    async def test_where_dealer_positions_stay_empty_each_clients_are_there(self, serve_xts):
        client = await serve_xts(profile="dealer_empty_positions")
        await client.place(limitPrice=101)
        query = {"dayOrNet": "NetWise"}
        assert await client.result("GET", "/interactive/portfolio/dealerpositions", query=query) == []
        held = await client.result("GET", POSITIONS, query={**query, "clientID": "CLI01"})
        assert held["positionList"][0]["Quantity"] == "65"
        assert (await client.refusal("GET", POSITIONS, query={**query, "clientID": "CLI02"}))[1] == "e-portfolio-0005"

    @pytest.mark.parametrize("given", [None, "*****", "DLR01"])
    async def test_a_balance_wants_a_real_client(self, serve_xts, given):
        client = await serve_xts(profile="dealer_masked")
        query = {} if given is None else {"clientID": given}
        assert (await client.refusal("GET", "/interactive/user/balance", query=query))[1] == "e-user-0001"
        found = await client.result("GET", "/interactive/user/balance", query={"clientID": "CLI02"})
        assert found["BalanceList"][1]["limitObject"]["AccountID"] == "CLI02"

    async def test_an_investor_has_no_dealer_books(self, serve_xts):
        client = await serve_xts()
        for path in (
            f"{ORDERS}/dealerorderbook",
            f"{ORDERS}/dealertradebook",
            "/interactive/portfolio/dealerpositions",
        ):
            assert (await client.refusal("GET", path, query={"dayOrNet": "NetWise"}))[1] == "e-trade-00002"


@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        ({"times": "iso"}, "OrderGeneratedDateTime", "2026-07-13T09:15:00.0000000"),
        ({"times": "zoned"}, "LastUpdateDateTime", "2026-07-13T09:15:00+05:30"),
        ({"times": "day_first"}, "OrderGeneratedDateTime", "13-07-2026 09:15:00"),
        ({"times": "day_first_ms"}, "OrderGeneratedDateTime", "13-07-2026 09:15:00.000"),
        ({"times": "month_first"}, "ExchangeTransactTime", "Jul 13 2026 09:15:00"),
        ({"ids": "text"}, "AppOrderID", "1310000010"),
        ({"ids": "float"}, "AppOrderID", 1310000010.0),
    ],
)
async def test_installs_spell_rows_in_their_own_way(serve_xts, settings, field, value):
    client = await serve_xts(**settings)
    await client.place()
    assert (await client.orders())[0][field] == value


@pytest.mark.parametrize(("form", "path"), [("nested", ("data", "code")), ("flat", ("code",))])
async def test_too_many_calls(serve_xts, form, path):
    client = await serve_xts(rates="on", limit_error=form)
    await client.ask("GET", ORDERS)
    reply = await client.ask("GET", ORDERS)
    found = reply.json()
    for name in path:
        found = found[name]
    assert (reply.status_code, found) == (429, "e-apirl-0004")
    assert (await client.ask("GET", f"{ORDERS}/trades")).status_code == 400  # another book has a limit of its own
    codes = [(await client.ask("POST", ORDERS, client.form)).status_code for _ in range(11)]
    assert codes == [200] * 10 + [429]
