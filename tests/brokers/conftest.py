"""A small XTS of our own, for what a broker behind the port does with each habit of an install."""

from __future__ import annotations

import datetime as dt
import itertools
import json

import httpx
import pytest

from toolkit.brokers.tokens import TokenStore
from toolkit.brokers.xts import XtsBroker
from toolkit.brokers.xts_session import forget_sessions
from toolkit.brokers.xts_settings import XtsTerms, xts_settings
from toolkit.calendar import ist_ns
from toolkit.config import Settings

NOW = ist_ns(dt.date(2026, 6, 15), dt.time(10, 0))
MASTER = """NSECM|2885|8|RELIANCE|RELIANCE-EQ|EQ|RELIANCE-EQ|1100100002885|1440.4|1178.6|67662|0.1|1|1
NSEFO|49543|2|NIFTY|NIFTY26JUN24500CE|OPTIDX|NIFTY-OPTIDX|1|1|1|1801|0.05|65|1|-1|Nifty 50|2026-06-30T14:30:00|24500|3"""
NUMBERS = itertools.count()
QUICK = XtsTerms(
    orders_per_s=10**6, books_per_s=10**6, quotes_per_s=10**6, subscribe_per_s=10**6, others_per_s=10**6,
    backoff_s=0.0, drop_s=0.05, poll_s=0.001, login_every_s=0.0,
)  # fmt: skip


def ok(result, code="s-x"):
    return httpx.Response(200, json={"type": "success", "code": code, "description": "done", "result": result})


def no(code, words, status=400):
    return httpx.Response(status, json={"type": "error", "code": code, "description": words, "result": {}})


class Install:
    """A small XTS: one option that never trades by itself, profiles as section 5.2 of the wire's notes has them."""

    ok, no = staticmethod(ok), staticmethod(no)

    def __init__(self, profile="investor"):
        self.profile = profile
        self.calls, self.script, self.rows, self.fills = [], {}, {}, []
        self.numbers = itertools.count(1110037831)
        self.live = None
        self.logins = 0
        self.user, self.codes = ("CLI01", ["CLI01"]) if profile == "investor" else ("DLR01", ["CLI01", "CLI02"])

    def __call__(self, request):
        path, query = request.url.path, dict(request.url.params)
        body = json.loads(request.content) if request.content else query
        self.calls.append((request.method, path, body))
        if (request.method, path) in self.script:
            return self.script[request.method, path](body)
        if path.startswith("/apimarketdata"):
            return self.market(path.removeprefix("/apimarketdata"), body)
        route = request.method.lower() + path.removeprefix("/interactive").replace("/", "_")
        if route == "post_user_session":
            self.logins += 1
            self.live = f"T{self.logins}"
            return ok(
                {
                    "token": self.live,
                    "userID": self.user,
                    "isInvestorClient": self.profile == "investor",
                    "clientCodes": self.codes,
                }
            )
        if request.headers.get("Authorization") != self.live:
            return no("e-session-0007", "Invalid Token")
        return getattr(self, route, self.missing)(body)

    def missing(self, body):
        return httpx.Response(404, headers={"Content-Type": "text/html"}, content=b"<pre>Cannot</pre>")

    def market(self, path, body):
        if path == "/instruments/master":
            return ok(MASTER)
        if path == "/instruments/quotes":
            quote = {"MessageCode": 1502, "ExchangeSegment": 2, "ExchangeInstrumentID": 49543, "LastTradedPrice": 100.0,
                     "Bids": [{"Size": 65, "Price": 99.95}], "Asks": [{"Size": 130, "Price": 100.05}]}  # fmt: skip
            return ok({"listQuotes": [json.dumps(quote)]})
        return ok({"token": "M", "userID": "U"}) if path == "/auth/login" else no("e-instrument-0001", "none")

    def client(self, body):
        """Whose call it is; None when this install refuses the client."""
        given = body.get("clientID")
        if self.profile == "investor":
            return self.user if given in (None, self.user) else None
        if self.profile == "dealer_masked" and given == "*****":
            return "CLI01"
        return given if given in (*self.codes, self.user) else None

    def post_orders(self, body):
        client = self.client(body)
        if client is None:
            return no("e-trade-00002", "Supplied client not mapped under dealer")
        number = next(self.numbers)
        if client == self.user or self.profile == "investor" or client in self.codes:
            dropped = self.profile == "dealer_drops" or (client == self.user and self.profile != "investor")
            if not dropped:
                self.rows[number] = self.row(number, client, body)
        return ok({"AppOrderID": number, "OrderUniqueIdentifier": body["orderUniqueIdentifier"], "ClientID": client})

    def row(self, number, client, body):
        self.sequence = getattr(self, "sequence", 0) + 1
        return {"LoginID": self.user, "ClientID": client, "AppOrderID": number, "ExchangeOrderID": f"X_{number}", "ExchangeSegment": body["exchangeSegment"],
                "ExchangeInstrumentID": body["exchangeInstrumentID"], "OrderSide": body["orderSide"].title(), "OrderType": body["orderType"].title(),
                "ProductType": body["productType"], "TimeInForce": body["timeInForce"], "OrderPrice": body["limitPrice"], "OrderQuantity": body["orderQuantity"],
                "OrderStopPrice": body["stopPrice"], "OrderStatus": "New", "OrderAverageTradedPrice": "", "LeavesQuantity": body["orderQuantity"],
                "CumulativeQuantity": 0, "OrderDisclosedQuantity": 0, "LastUpdateDateTime": f"2026-06-15T10:00:{self.sequence:02d}", "CancelRejectReason": "",
                "OrderUniqueIdentifier": body["orderUniqueIdentifier"], "SequenceNumber": self.sequence, "ApiOrderSource": body.get("apiOrderSource")}  # fmt: skip

    def change(self, number, **more):
        self.sequence += 1
        self.rows[number] |= {
            "SequenceNumber": self.sequence,
            "LastUpdateDateTime": f"2026-06-15T10:00:{self.sequence:02d}",
        } | more
        return self.rows[number]

    def fill(self, number, qty, price):
        row = self.rows[number]
        cum = row["CumulativeQuantity"] + qty
        status = "Filled" if cum == row["OrderQuantity"] else "PartiallyFilled"
        row = self.change(number, CumulativeQuantity=cum, LeavesQuantity=row["OrderQuantity"] - cum, OrderStatus=status, OrderAverageTradedPrice=f"{price:,.2f}")  # fmt: skip
        self.fills.append(row | {"ExecutionID": str(len(self.fills) + 1), "LastTradedPrice": price, "LastTradedQuantity": qty, "LastExecutionTransactTime": "2026-06-15T10:01:00"})  # fmt: skip
        return self.fills[-1]

    def put_orders(self, body):
        number = int(body["appOrderID"])
        if self.client(body) not in (self.rows[number]["ClientID"], self.user if self.profile == "investor" else None):
            return no("e-trade-00002", "not mapped")
        self.change(number, OrderStatus="Replaced", OrderQuantity=body["modifiedOrderQuantity"], OrderPrice=body["modifiedLimitPrice"], LeavesQuantity=body["modifiedOrderQuantity"])  # fmt: skip
        return ok({"appOrderID": number})  # fmt: skip

    def delete_orders(self, body):
        number = int(body["appOrderID"])
        if self.client(body) not in (self.rows[number]["ClientID"], self.user if self.profile == "investor" else None):
            return no("e-trade-00002", "not mapped")
        self.change(number, OrderStatus="Cancelled")
        return ok({"AppOrderID": number})

    def listed(self, rows, area="orders"):
        return ok(rows) if rows else no(f"e-{area}-0005", "Data Not Available")

    def get_orders(self, body):
        if "appOrderID" in body:
            row = self.rows.get(int(body["appOrderID"]))
            return ok([row]) if row else no("e-orders-0001", "Order not found")
        client = self.client(body)
        if client is None or (self.profile != "investor" and client == self.user):
            return no("e-trade-00002", "Supplied client not mapped under dealer")
        return self.listed([r for r in self.rows.values() if r["ClientID"] == client])

    def get_orders_trades(self, body):
        return self.listed([r for r in self.fills if r["ClientID"] == self.client(body)], "tradeBook")

    def get_orders_dealerorderbook(self, body):
        return self.listed(list(self.rows.values())) if self.profile != "investor" else no("e-trade-00002", "no dealer")

    def get_orders_dealertradebook(self, body):
        return self.listed(self.fills, "tradeBook")

    def held(self, client):
        return [{"AccountID": client, "ExchangeSegment": "NSEFO", "ExchangeInstrumentId": "49543", "ProductType": "NRML", "Quantity": "1,300" if client == "CLI01" else "-65",
                 "BuyAveragePrice": "1,002.50", "SellAveragePrice": "99.00", "RealizedMTM": "1,485.00"}]  # fmt: skip

    def get_portfolio_positions(self, body):
        return ok({"positionList": self.held(body.get("clientID", self.user))})

    def get_portfolio_dealerpositions(self, body):
        if self.profile == "dealer_empty_positions":
            return ok({"positionList": []})
        return ok({"positionList": [row for code in self.codes for row in self.held(code)]})

    def get_portfolio_holdings(self, body):
        return ok({"ClientId": "CLI01", "RMSHoldings": {"Holdings": {"INE002A01018": {"ISIN": "INE002A01018", "HoldingQuantity": 10, "BuyAvgPrice": 1378.9, "ExchangeNSEInstrumentId": 2885}}}})  # fmt: skip

    def get_user_balance(self, body):
        if self.profile != "investor" and body.get("clientID") not in self.codes:
            return no("e-user-0001", "No RMS Limit assign to user")
        return ok({"BalanceList": [{"limitHeader": "ALL|ALL|ALL", "limitObject": {"RMSSubLimits": {"cashAvailable": "1000000", "marginUtilized": "12,345.75", "netMarginAvailable": "987654.25"}}}]})  # fmt: skip

    def get_user_profile(self, body):
        return ok({"ClientId": "CLI01", "ClientName": "TEST", "ClientExchangeDetailsList": {"NSEFO": {"Enabled": True}, "NSECM": {"Enabled": True}}})  # fmt: skip

    def post_orders_margindetails(self, body):
        return ok({"brokerageDeatils": {"IsValid": True, "MarginRequired": 150.5, "ErrorMessage": ""}})

    def post_orders_cancelall(self, body):
        return ok("", "s-x") if self.client(body) else no("e-trade-00002", "not mapped")

    put_portfolio_squareoff = put_portfolio_positions_convert = post_orders_cancelall

    def get_status_exchange(self, body):
        return ok({"marketStatus": [{"exchangeSegment": "NSEFO"}]})

    def get_messages_exchange(self, body):
        return ok({"messageList": [{"BroadcastMessage": "hello"}]})

    def made(self, method, path):
        return [body for m, p, body in self.calls if (m, p) == (method, f"/interactive{path}")]


@pytest.fixture
async def make_xts(tmp_path):
    forget_sessions()
    made = []

    def one(profile="investor", allow=(), **options):
        install = Install(profile)
        role = "pro" if profile == "investor" else "client"
        number = next(NUMBERS)
        keys = {"app_key": f"A{number}", "secret_key": "S", "md_app_key": f"M{number}", "md_secret_key": "S"}
        settings = xts_settings(
            Settings.load(environ={"TOOLKIT_RISK__ALLOW_PLAIN_HTTP": ",".join(allow)} if allow else {}),
            **({"root": "http://127.0.0.1:9", "role": role, **keys} | options),
        )
        broker = XtsBroker(
            settings,
            terms=QUICK,
            clock=lambda: NOW,
            tokens=TokenStore(tmp_path / str(number)),
            transport=httpx.MockTransport(install),
        )
        made.append(broker)
        return broker, install

    yield one
    for broker in made:
        await broker.close()
