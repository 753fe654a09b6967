"""A second XTS install, written from the protocol notes and the samples alone: it shares no line with the simulator.

One seed draws one install: its shapes, spellings, number forms, socket versions and packet layouts. The world is
one option at 100.00 / 100.05; what crosses trades at 100.05, the rest works.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import hashlib
import json
import random
import struct
import zlib
from urllib.parse import parse_qs, urlsplit

import pytest

CE, TOKEN, LOT, BID, ASK = "NIFTY 14JUL2026 25000 CE", 49543, 65, 100.0, 100.05
START = dt.datetime(2026, 7, 13, 10, 30)
CHOICES = {
    "role": ["investor", "dealer", "dealer_masked"],
    "tells": ["client", "mask", "nobody"],
    "plain": ["yes", "refused"],
    "dealer_books": ["yes", "empty", "refused"],
    "codes": ["listed", "empty"],
    "login": ["full", "old"],
    "lookup": ["none", "plain", "odd"],
    "md": ["apimarketdata", "marketdata", "apibinarymarketdata"],
    "wrap": ["object", "list", "data"],
    "case": ["as_is", "lower", "upper", "first_lower"],
    "numbers": ["number", "text", "commas"],
    "ids": ["int", "text", "float"],
    "times": ["iso7", "zoned", "day_first", "day_first_ms", "month_first"],
    "sparse": ["no", "yes"],
    "books": ["list", "object"],
    "empty": ["error", "list", "text", "object", "validation"],
    "history": ["oldest", "newest", "late"],
    "answer": ["object", "list", "camel"],
    "events": ["after", "before", "never"],
    "args": ["text", "object", "list", "appended"],
    "twice": ["no", "yes"],
    "source": ["echo", "strict", "silent"],
    "eio": ["3", "4", "both"],
    "refuses": ["before", "after"],
    "joined": ["early", "late", "never"],
    "format": ["full", "flat", "partial", "narrow", "wide", "deflated"],
    "prefix": ["yes", "no"],
    "packet": ["xts-binary-packet", "old"],
    "batch": ["new", "whole"],
    "count": ["yes", "no"],
    "quotes": ["listQuotes", "quotesList", "objects"],
    "master": ["full", "short"],
    "epoch": ["1980", "1970"],
}


class OtherInstall:
    """An install with the habits of ``habits``; ``root`` is its address."""

    def __init__(self, habits):
        # one of the two ways must answer a dealer
        self.habits = habits | ({"dealer_books": "yes"} if habits["plain"] == "refused" else {})
        self.calls, self.rows, self.trades, self.past = [], {}, [], {}
        self.token = self.md_token = ""
        self.sockets, self.subscribed = {"interactive": set(), "market": set()}, set()
        self.asked, self.numbers = [], iter(range(2_200_000_001, 2_200_001_000))
        self.seconds = 0
        self.login_id = "CLI01" if habits["role"] == "investor" else "DLR01"
        self.api = "/interactive" if habits["lookup"] == "none" else "/3interactive"

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.root = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        self.beat = asyncio.create_task(self.tick())
        return self

    async def stop(self):
        self.beat.cancel()
        self.server.close()
        for writers in self.sockets.values():
            for writer in list(writers):
                writer.close()
        await asyncio.gather(self.beat, return_exceptions=True)

    # HTTP

    async def serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                first, *lines = head.split("\r\n")
                method, target, _ = first.split(" ")
                headers = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
                low = {k.lower(): v for k, v in headers.items()}
                body = await reader.readexactly(int(low.get("content-length", 0)))
                if "socket.io" in target:
                    await self.speak(reader, writer, target, low)
                    break
                self.respond(writer, *self.answer(method, urlsplit(target), headers, body))
                await writer.drain()
        writer.close()

    def respond(self, writer, status, payload):
        kind = "text/html" if isinstance(payload, bytes) else "application/json; charset=utf-8"
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        now = (START - dt.timedelta(hours=5, minutes=30) + dt.timedelta(seconds=self.seconds)).strftime("%H:%M:%S")
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\nDate: Mon, 13 Jul 2026 {now} GMT\r\n\r\n"
        writer.write(head.encode() + raw)

    def answer(self, method, url, headers, raw):
        body = json.loads(raw) if raw else {k: v[0] for k, v in parse_qs(url.query).items()}
        self.calls.append((method, url.path, body))
        path = url.path
        if path == "/hostlookup":
            return 200, self.look_up(body)
        market, own = f"/{self.habits['md']}", self.api
        for base, serve in ((market, self.market), (own, self.interactive)):
            if path.startswith(base + "/"):
                found = serve(method, path[len(base) :], headers.get("Authorization"), body)
                return found if found is not None else (404, b"<pre>Cannot " + method.encode() + b"</pre>")
        return 404, b"<!DOCTYPE html><pre>Cannot GET</pre>"

    def look_up(self, body):
        odd = self.habits["lookup"] == "odd"
        if ("AccessPassword" if odd else "accesspassword") not in body:
            return {"type": "error", "code": "hostlookup", "description": "bad"}
        address = f"{self.root}/3hostlookup"
        result = {"connectionString": f" `{address}` " if odd else f"{self.root}/3interactive"}
        return {"type": True, "code": "hostlookup", "result": result | {"UniqueKey" if odd else "uniqueKey": "UK"}}

    def ok(self, result, code="s-orders-0001"):
        made = {"type": "success", "code": code, "description": "Request sent", "result": result}
        wrap = self.habits["wrap"]
        return 200, [made] if wrap == "list" else {"data": made} if wrap == "data" else made

    def no(self, code, words):
        made = {"type": "error", "code": code, "description": words}
        return 400, {"data": made} if self.habits["wrap"] == "data" else made

    def interactive(self, method, path, token, body):
        if (method, path) == ("POST", "/user/session"):
            assert ("uniqueKey" in body) is (self.habits["lookup"] != "none")
            self.token = f"I{len(self.calls)}.x.y"
            made = {"token": self.token, "userID": self.login_id}
            made["clientCodes"] = [] if self.habits["codes"] == "empty" else ["CLI01", "CLI02"][: 1 + self.dealer]
            return self.ok(made | ({} if self.habits["login"] == "old" else {"isInvestorClient": not self.dealer}))
        if token != self.token:
            return self.no("e-session-0007", "Invalid Token")
        route = method.lower() + path.replace("/", "_")
        return getattr(self, route, lambda body: None)(body)

    @property
    def dealer(self):
        return self.habits["role"] != "investor"

    def whose(self, body):
        given = body.get("clientID")
        if not self.dealer:
            return "CLI01" if given in (None, "CLI01") else None
        if given == "*****":
            return "CLI01" if self.habits["role"] == "dealer_masked" else None
        return given if given in ("CLI01", "CLI02") else None

    def get_user_profile(self, body):
        if self.whose(body) is None:
            return self.no("e-user-0001", "No RMS Limit assign to user")
        return self.ok(
            {"ClientId": "CLI01", "ClientName": "T", "ClientExchangeDetailsList": {"NSEFO": {"Enabled": True}}}
        )

    def get_user_balance(self, body):
        if self.whose(body) is None or self.dealer:
            return self.no("e-user-0001", "No RMS Limit assign to user")
        money = {"cashAvailable": "9,00,000", "netMarginAvailable": "9,00,000.00", "marginUtilized": "NaN"}
        return self.ok({"BalanceList": [{"limitHeader": "ALL|ALL|ALL", "limitObject": {"RMSSubLimits": money}}]})

    def post_orders_margindetails(self, body):
        return self.ok({"brokerageDeatils": {"IsValid": True, "MarginRequired": "1,234.50"}})

    def post_orders(self, body):
        client = self.whose(body)
        if client is None:
            return self.no("e-trade-00002", "Supplied client not mapped under dealer")
        if self.habits["source"] == "strict" and "apiOrderSource" not in body:
            return self.no("e-property-validation-failed", "Bad Request")
        number, qty = next(self.numbers), body["orderQuantity"]
        row = {"LoginID": self.login_id, "ClientID": client, "AppOrderID": number, "GeneratedBy": "TWSAPI", "ExchangeOrderID": "",
               "ExchangeSegment": "NSEFO", "ExchangeInstrumentID": body["exchangeInstrumentID"], "OrderSide": body["orderSide"].title(),
               "OrderType": "Limit", "ProductType": body["productType"], "TimeInForce": body["timeInForce"], "OrderPrice": body["limitPrice"],
               "OrderQuantity": qty, "OrderStopPrice": 0, "OrderStatus": "PendingNew", "OrderAverageTradedPrice": "", "LeavesQuantity": qty,
               "CumulativeQuantity": 0, "OrderDisclosedQuantity": 0, "CancelRejectReason": "", "SequenceNumber": 0,
               "OrderUniqueIdentifier": body["orderUniqueIdentifier"]}  # fmt: skip
        if self.habits["source"] == "echo":
            row["ApiOrderSource"] = body.get("apiOrderSource", "")
        self.past[number] = []
        self.move(number, row)
        self.move(number, {"OrderStatus": "New", "ExchangeOrderID": f"X_{number}"})
        if body["orderSide"] == "BUY" and body["limitPrice"] >= ASK:
            filled = {
                "OrderStatus": "Filled",
                "CumulativeQuantity": qty,
                "LeavesQuantity": 0,
                "OrderAverageTradedPrice": f"{ASK:,.2f}",
            }
            trade = {
                "LastTradedPrice": ASK,
                "LastTradedQuantity": qty,
                "ExecutionID": str(number % 1000),
                "ExecutionReportIndex": 3,
            }
            self.move(number, filled, trade)
        return self.placed(number, body["orderUniqueIdentifier"], client)

    def put_orders(self, body):
        number, client = int(body["appOrderID"]), self.whose(body)
        if client is None or number not in self.rows:
            return self.no("e-orders-0001", "Order not found")
        qty = body["modifiedOrderQuantity"]
        terms = {"OrderQuantity": qty, "LeavesQuantity": qty, "OrderPrice": body["modifiedLimitPrice"]}
        self.move(number, {"OrderStatus": "PendingReplace"})
        self.move(number, {**terms, "OrderStatus": "Replaced"})
        return self.placed(number, body["orderUniqueIdentifier"], client)

    def delete_orders(self, body):
        number = int(body["appOrderID"])
        if self.whose(body) is None or number not in self.rows:
            return self.no("e-orders-0001", "Order not found")
        self.move(number, {"OrderStatus": "Cancelled", "LeavesQuantity": 0})
        return self.placed(number, body["orderUniqueIdentifier"], "CLI01")

    def placed(self, number, tag, client):
        made = {"AppOrderID": self.id(number), "OrderUniqueIdentifier": tag, "ClientID": client}
        if self.habits["answer"] == "camel":
            made = {"appOrderID": self.id(number), "orderUniqueIdentifier": tag}
        return self.ok([made] if self.habits["answer"] == "list" else made)

    def get_orders(self, body):
        if self.dealer and self.whose(body) is None:
            return self.no("e-orders-0001", "Supplied client not mapped under dealer")
        if "appOrderID" in body:
            number = int(float(body["appOrderID"]))
            self.asked.append(number)
            if self.habits["history"] == "late" and self.asked.count(number) == 1:
                return self.no("e-orders-0001", "Order not found")
            past = self.past[number]
            return self.ok([self.shown(r) for r in (past if self.habits["history"] == "oldest" else past[::-1])])
        return self.plain(body, self.rows.values(), "orders")

    def get_orders_trades(self, body):
        return self.plain(body, self.trades, "tradeBook")

    def get_orders_dealerorderbook(self, body):
        return self.whole(self.rows.values(), "orders")

    def get_orders_dealertradebook(self, body):
        return self.whole(self.trades, "tradeBook")

    def get_portfolio_positions(self, body):
        rows = self.positions()
        empty = self.habits["empty"] == "validation" and not rows
        return self.no("e-property-validation-failed", "Bad Request") if empty else self.plain(body, rows, "portfolio")

    def get_portfolio_dealerpositions(self, body):
        return self.whole([] if self.habits["dealer_books"] == "empty" else self.positions(), "portfolio")

    def positions(self):
        made = []
        for client in ("CLI01", "CLI02"):
            net = sum(row["LastTradedQuantity"] for row in self.trades if row["ClientID"] == client)
            if net:
                made.append({"AccountID": client, "TradingSymbol": "NIFTY 14JUL2026 CE 25000", "ExchangeSegment": "NSEFO", "ProductType": "NRML",
                             "ExchangeInstrumentId": str(TOKEN), "Quantity": f"{net:,}", "BuyAveragePrice": f"{ASK:,.2f}", "SellAveragePrice": "NaN"})  # fmt: skip
        return made

    def plain(self, body, rows, area):
        if self.dealer and (self.habits["plain"] == "refused" or self.whose(body) is None):
            return self.no("e-trade-00002", "Supplied client not mapped under dealer")
        return self.listed([row for row in rows if row.get("ClientID", row.get("AccountID")) == self.whose(body)], area)

    def whole(self, rows, area):
        if not self.dealer or self.habits["dealer_books"] == "refused":
            return self.no("e-trade-00002", "Not a dealer")
        return self.listed(rows, area)

    def listed(self, rows, area):
        rows = [self.shown(row) for row in rows]
        if not rows:
            kinds = {"list": [], "text": "", "object": {}}
            kind = self.habits["empty"]
            return self.ok(kinds[kind]) if kind in kinds else self.no(f"e-{area}-0005", "Data Not Available")
        key = "positionList" if area == "portfolio" else "orderList"
        return self.ok({key: rows} if self.habits["books"] == "object" else rows)

    # rows and events

    def move(self, number, change, trade=None):
        self.seconds += 1
        stamp = {"LastUpdateDateTime": self.stamp(), "ExchangeTransactTime": self.stamp()}
        row = {
            **self.rows.get(number, {}),
            **change,
            **stamp,
            "SequenceNumber": 0 if number not in self.rows else self.seconds,
        }
        row.setdefault("OrderGeneratedDateTime", self.stamp())
        self.rows[number] = row
        self.past[number].append(row)
        events = [("order", row)]
        if trade is not None:
            self.trades.append({**row, **trade, "LastExecutionTransactTime": self.stamp()})
            events.insert(0, ("trade", self.trades[-1]))
        if self.habits["events"] == "never":
            return
        for name, what in events * (2 if self.habits["twice"] == "yes" else 1):
            argument = self.shown(what)
            as_text = json.dumps(argument)
            argument = {"text": as_text, "object": argument, "list": [argument], "appended": {"Appended": as_text}}[
                self.habits["args"]
            ]
            frame = "42" + json.dumps([name, argument])
            if self.habits["events"] == "before":
                self.send("interactive", frame)
            else:
                asyncio.get_running_loop().call_later(0.02, self.send, "interactive", frame)

    def stamp(self):
        at = START + dt.timedelta(seconds=self.seconds)
        forms = {"iso7": "%Y-%m-%dT%H:%M:%S.1535468", "zoned": "%Y-%m-%dT%H:%M:%S+05:30", "day_first": "%d-%m-%Y %H:%M:%S",
                 "day_first_ms": "%d-%m-%Y %H:%M:%S.482", "month_first": "%b %d %Y %H:%M:%S"}  # fmt: skip
        return at.strftime(forms[self.habits["times"]])

    def id(self, number):
        return {"int": number, "text": str(number), "float": float(number)}[self.habits["ids"]]

    def shown(self, row):
        made = {}
        for key, value in row.items():
            if self.habits["sparse"] == "yes" and key in (
                "GeneratedBy",
                "LeavesQuantity",
                "SequenceNumber",
                "ExchangeTransactTime",
                "LoginID",
            ):
                continue
            if key == "ClientID" and self.habits["tells"] != "client":
                if self.habits["tells"] == "nobody":
                    continue
                value = "*****"
            if key == "AppOrderID":
                value = self.id(value)
            elif isinstance(value, int | float) and self.habits["numbers"] != "number" and key != "SequenceNumber":
                value = f"{value:,}" if self.habits["numbers"] == "commas" else str(value)
            made[self.spelled(key)] = value
        return made

    def spelled(self, key):
        return {"as_is": key, "lower": key.lower(), "upper": key.upper(), "first_lower": key[0].lower() + key[1:]}[
            self.habits["case"]
        ]

    # market data

    def market(self, method, path, token, body):
        if (method, path) == ("POST", "/auth/login"):
            self.md_token, self.subscribed = f"M{len(self.calls)}.x.y", set()
            return self.ok({"token": self.md_token, "userID": "U"}, "e-response-0010")
        if token != self.md_token:
            return self.no("e-token-0002", "Please Provide token to Authenticate")
        if path == "/instruments/master":
            tail = "" if self.habits["master"] == "short" else "|NIFTY 14JUL2026 CE 25000|1|1|NIFTY2671425000CE"
            return self.ok(f"NSEFO|{TOKEN}|2|NIFTY|NIFTY2671425000CE|OPTIDX|NIFTY-OPTIDX|2619500049543|900|0.05|1801|0.05|65|1|-1|Nifty 50|2026-07-14T14:30:00|25000|3{tail}\n\nshort|line")  # fmt: skip
        if path == "/instruments/indexlist":
            return self.ok({"exchangeSegment": "1", "indexList": ["NIFTY 50_26000"]})
        if path == "/config/clientConfig":
            return self.ok({"exchangeSegments": {"NSEFO": 2}})
        if path == "/instruments/quotes":
            return self.ok(self.quoted(body, body["instruments"]))
        if path == "/instruments/subscription":
            return self.subscribe(method, body)
        return None

    def subscribe(self, method, body):
        wanted = [
            (int(i["exchangeSegment"]), int(i["exchangeInstrumentID"]), body["xtsMessageCode"])
            for i in body["instruments"]
        ]
        if method == "PUT":
            self.subscribed -= set(wanted)
            return self.ok({"unsubList": body["instruments"]})
        new = [(w, i) for w, i in zip(wanted, body["instruments"], strict=True) if w not in self.subscribed]
        if not new or (len(new) < len(wanted) and self.habits["batch"] == "whole"):
            return self.no("e-session-0002", "Instrument Already Subscribed !")
        self.subscribed |= {w for w, _ in new}
        left = {"Remaining_Subscription_Count": 50 - len(self.subscribed)} if self.habits["count"] == "yes" else {}
        return self.ok(self.quoted(body, [i for _, i in new]) | left, "s-session-0001")

    def quoted(self, body, instruments):
        rows = [self.full(body["xtsMessageCode"]) for i in instruments if int(i["exchangeInstrumentID"]) == TOKEN]
        texts = [None, *map(json.dumps, rows)]
        if self.habits["quotes"] == "quotesList":
            return {"mdp": body["xtsMessageCode"], "listQuotes": instruments, "quotesList": texts}
        return {"quotesList": instruments, "listQuotes": rows if self.habits["quotes"] == "objects" else texts}

    def full(self, code):
        unix = int((START - dt.datetime(1970, 1, 1)).total_seconds()) + self.seconds - 19_800
        at = unix - 315_532_800 + 19_800 if self.habits["epoch"] == "1980" else unix
        head = {
            "MessageCode": code,
            "MessageVersion": 4,
            "ExchangeSegment": 2,
            "ExchangeInstrumentID": TOKEN,
            "ExchangeTimeStamp": at,
        }
        if code == 1510:
            return head | {"XTSMarketType": 1, "OpenInterest": 650}
        bid, ask = {"Size": 650, "Price": BID, "TotalOrders": 2}, {"Size": 1300, "Price": ASK, "TotalOrders": 3}
        touch = {"BidInfo": bid, "AskInfo": ask, "LastTradedPrice": ASK, "LastTradedQuantity" if self.habits["sparse"] == "yes" else "LastTradedQunatity": 65,
                 "TotalTradedQuantity": 1300 + self.seconds, "Open": 99, "High": 101, "Low": 98, "Close": 97, "LastTradedTime": at, "LastUpdateTime": at,
                 "AverageTradedPrice": 100.0, "PercentChange": 1.0, "TotalBuyQuantity": 650, "TotalSellQuantity": 1300, "TotalValueTraded": None}  # fmt: skip
        head |= touch if self.habits["format"] == "flat" else {"Touchline": touch}
        return head | ({"Bids": [bid] * 5, "Asks": [ask] * 5} if code == 1502 else {})

    def packet(self, code):
        wide = self.habits["format"] != "narrow"
        full = self.full(code)
        at = full["ExchangeTimeStamp"]
        head = struct.pack("<HHHQQihiQ", code, 4, 0, 0, self.seconds, 0, 2, TOKEN, at)
        if code == 1510:
            body = struct.pack("<hihqbi", 1, 650, 0, 0, 0, 700)
        else:
            level = "<qdih" if wide else "<idih"
            bid, ask = struct.pack(level, 650, BID, 2, 0), struct.pack(level, 1300, ASK, 3, 0)
            counts = "<qqq" if wide else "<III"
            body = bid + ask + struct.pack("<Qd", at, ASK) + struct.pack("<q" if wide else "<i", 65)
            body += struct.pack(counts, 650, 1300, 1300 + self.seconds) + struct.pack("<dqd", 100.0, at, 1.0)
            body += struct.pack("<ddddd", 99.0, 101.0, 98.0, 97.0, 0.0) + struct.pack("<hh", 0, 0)
            if code == 1502:
                body = struct.pack("<i", 5) + bid * 5 + struct.pack("<i", 5) + ask * 5 + body
            body += struct.pack("<hh", 1, 1)
        payload = head + body
        top = struct.pack("<Hhihh", code, 2, TOKEN, 1, 1)
        if self.habits["format"] != "deflated":
            return b"\x00" + top + struct.pack("<H", len(payload)) + payload
        press = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = press.compress(payload) + press.flush()
        return b"\x01" + top + struct.pack("<HH", len(payload), len(packed)) + packed

    async def tick(self):
        while True:
            await asyncio.sleep(0.05)
            self.seconds += 1
            for segment, token, code in sorted(self.subscribed):
                if token != TOKEN:
                    continue
                kind = self.habits["format"]
                if kind in ("narrow", "wide", "deflated"):
                    name = "xts-binary-packet" if self.habits["packet"] != "old" else f"{code}-binary-full"
                    self.send(
                        "market", "451-" + json.dumps([name, {"_placeholder": True, "num": 0}]), self.packet(code) * 2
                    )
                elif kind == "partial" and code != 1510:
                    text = (
                        f"t:{segment}_{token},ltp:{ASK},v:{1300 + self.seconds},bi:0|650|{BID}|2|1,ai:0|1300|{ASK}|3|1"
                    )
                    self.send("market", "42" + json.dumps([f"{code}-json-partial", text]))
                else:
                    self.send("market", "42" + json.dumps([f"{code}-json-full", json.dumps(self.full(code))]))

    # sockets

    def send(self, api, text, blob=None):
        for writer in list(self.sockets[api]):
            writer.write(frame(1, text.encode()))
            if blob is not None:
                prefix = b"\x04" if writer.eio == "3" and self.habits["prefix"] == "yes" else b""
                writer.write(frame(2, prefix + blob))

    async def speak(self, reader, writer, target, headers):
        url = urlsplit(target)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        api = "interactive" if url.path == f"{self.api}/socket.io/" else "market"
        assert url.path == (f"{self.api}/socket.io/" if api == "interactive" else f"/{self.habits['md']}/socket.io/")
        assert query["transport"] == "websocket"
        wrong = self.habits["eio"] not in (query["EIO"], "both")
        if wrong and self.habits["refuses"] == "before":
            return self.respond(writer, 400, {"code": 5, "message": "Unsupported protocol version"})
        mark = hashlib.sha1(headers["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        up = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {base64.b64encode(mark).decode()}\r\n\r\n"
        writer.write(up.encode())
        if wrong:  # as socket.io 4 does: plain HTTP after the upgrade
            return self.respond(writer, 400, {"code": 5, "message": "Unsupported protocol version"})
        writer.eio = query["EIO"]
        opened = {"sid": "S1", "upgrades": [], "pingInterval": 25000, "pingTimeout": 5000}
        if writer.eio == "4":
            opened["maxPayload"] = 1_000_000
        writer.write(frame(1, b"0" + json.dumps(opened).encode()))
        if self.habits["joined"] == "early":
            writer.write(frame(1, b'42["joined","Connection is successful"]'))
        if query["token"] != (self.token if api == "interactive" else self.md_token):
            writer.write(frame(1, b'44{"message":"Invalid Token"}'))
            return None
        if writer.eio == "3":
            self.greet(api, writer)
        try:
            while (text := await read_frame(reader)) is not None:
                if text == "40" and writer.eio == "4":
                    self.greet(api, writer)
                elif text == "2":
                    writer.write(frame(1, b"3"))
        finally:
            self.sockets[api].discard(writer)

    def greet(self, api, writer):
        writer.write(frame(1, b'40{"sid":"N1"}' if writer.eio == "4" else b"40"))
        if self.habits["joined"] == "late":
            writer.write(frame(1, b'42["joined",{"status":"ok"}]'))
        self.sockets[api].add(writer)


def frame(kind, payload):
    size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + struct.pack(">H", len(payload))
    return bytes([0x80 | kind]) + size + payload


async def read_frame(reader):
    """One masked text frame; None at the end."""
    head = await reader.readexactly(2)
    size = head[1] & 127
    if size > 125:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    mask, data = await reader.readexactly(4), await reader.readexactly(size)
    return None if head[0] & 15 == 8 else bytes(b ^ mask[k % 4] for k, b in enumerate(data)).decode()


def drawn(seed):
    """The habits of a seed; each value of each habit comes up within as many seeds as the longest list has, times two."""
    rng = random.Random(seed // 6)
    turns = {name: rng.sample(values, len(values)) for name, values in CHOICES.items()}
    return {name: values[seed % 6 % len(values)] for name, values in turns.items()}


@pytest.fixture
async def other_install():
    """``await other_install(seed, **habits)`` gives a running :class:`OtherInstall`."""
    made = []

    async def start(seed, **habits):
        made.append(OtherInstall(drawn(seed) | habits))
        return await made[-1].start()

    start.choices, start.drawn = CHOICES, drawn
    yield start
    for install in made:
        await install.stop()
