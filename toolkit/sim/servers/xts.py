"""XTS's REST routes over the simulated day: hosts, sessions, who may act for whom, orders and portfolio."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from toolkit.portfolio.charges import ChargeSchedule
from toolkit.sim.rates import Limit, RateBook
from toolkit.sim.roster import Listed
from toolkit.sim.servers.http import Call, Reply, json_reply
from toolkit.sim.world import World
from toolkit.sim.xts_account import XtsAccount
from toolkit.sim.xts_book import XtsBook
from toolkit.sim.xts_form import PRODUCTS, XtsRefusal, invalid, no_data, order_form
from toolkit.sim.xts_install import Install
from toolkit.sim.xts_names import SEGMENT_NUMBERS, Directory, stamp, whole
from toolkit.sim.xts_order import XtsOrder, app_id

__all__ = ["APP_KEY", "MASK", "Route", "XtsApp", "body_of", "envelope", "page_404", "refused", "token_of"]

APP_KEY: Final = "simxtsapp"
MASK: Final = "*****"
_SECOND: Final = 1_000_000_000
_LIMITS: Final = (
    Limit("orders", 10, _SECOND),
    Limit("books", 1, _SECOND),
    Limit("quotes", 10, _SECOND),
    Limit("subscribe", 2, _SECOND),
    Limit("ohlc", 1, _SECOND),
)
_CODES: Final = {
    "user": "s-user-0001",
    "portfolio": "s-portfolio-0005",
    "/orders/margindetails": "s-calculatemargin-0001",
}
_EVENTS: Final = (
    "joined error warning success order trade logout position tradeConversion marketStatusUpdate "
    "exchangeAdapterState gttOrder gttOrderRejection"
)
_ENUMS: Final = {
    "socketEvent": _EVENTS.split(),
    "orderSide": ["BUY", "SELL"],
    "orderType": ["Limit", "Market", "StopLimit", "StopMarket"],
    "productType": list(PRODUCTS),
    "timeInForce": ["DAY", "IOC"],
    "positionSqureOffMode": ["DayWise", "NetWise"],
    "positionSquareOffQuantityType": ["Percentage", "ExactQty"],
    "dayOrNet": ["DAY", "NET"],
}
_PAGE: Final = (
    b"<!DOCTYPE html><html><head><title>Error</title></head><body><pre>Cannot find that page</pre></body></html>"
)

Act = Callable[[Mapping[str, Any]], Any]
Route = tuple[str, Act]
"""The group of its limit (empty: none) and what answers it: result and description, as a pair."""


class XtsApp:
    """The interactive API of one login.

    Parameters
    ----------
    world : World
        The simulated day.
    login : str
        The user id: the investor, or the dealer.
    clients : tuple of str
        The accounts; an investor has its own only.
    funds_p : int
        Cash of each at the start, paise.
    schedule : ChargeSchedule
    install : Install
    """

    def __init__(
        self,
        world: World,
        login: str,
        clients: tuple[str, ...],
        funds_p: int,
        schedule: ChargeSchedule,
        install: Install,
    ) -> None:
        self.world = world
        self.login = login
        self.clients = clients
        self.install = install
        self.directory = Directory(world.roster)
        self.book = XtsBook(world, self.directory, login, clients, install)
        self.money = XtsAccount(world, self.book, funds_p, schedule)
        self.rates = RateBook(_LIMITS if install.rates == "on" else ())
        self.secret_key = secrets.token_hex(8)
        self.unique_key = ""
        self.token = ""
        self.base = ""
        self.lookup_word = "2021HostLookUpAccess"
        self.dropped: list[dict[str, Any]] = []
        self.hidden: Callable[[str], bool] = lambda order_id: False
        self.on_new_session: Callable[[str], None] = lambda text: None
        self._routes = self._make_routes()

    def serve(self, call: Call, path: str, real_ns: int) -> Reply:
        """Answer a call below the prefix; raises `XtsRefusal` for what XTS refuses."""
        if (call.method, path) == ("POST", "/user/session"):
            return envelope("s-user-0001", "Valid User.", self._log_in(body_of(call), call.path.startswith("/1")))
        route = self._routes.get((call.method, path))
        if route is None:
            return page_404()
        token_of(call, self.token, self.install)
        group, act = route
        self.limit(group, real_ns, f"{call.method} {path}")
        result, text = act(body_of(call))
        area = path.split("/")[1]
        return envelope(_CODES.get(path, _CODES.get(area, "s-orders-0001")), text, result)

    def limit(self, group: str, real_ns: int, name: str) -> None:
        """Count a call; raises `XtsRefusal` when there were too many. Books are counted one by one."""
        within = name if group == "books" else ""
        if group and self.rates.take(group, real_ns, within) is not None:
            raise XtsRefusal("e-apirl-0004", "Max limit for this API has been exceeded", 429)

    def look_up(self, call: Call) -> Reply:
        """Answer ``/hostlookup``: where the interactive API is, and the key that a login there needs."""
        body = {name.lower(): value for name, value in body_of(call).items()}
        if body.get("accesspassword") != self.lookup_word:
            raise XtsRefusal("e-hostlookup-0001", "Invalid access password")
        self.unique_key = secrets.token_hex(8)
        where = f"{self.base}/1interactive" if self.install.lookup == "plain" else f" `{self.base}/1hostlookup` "
        key = "uniqueKey" if self.install.lookup == "plain" else "UniqueKey"
        told = {"type": True, "code": "hostlookup", "description": "Hostlookup successful"}
        return json_reply({**told, "result": {"connectionString": where, key: self.unique_key}})

    def expire(self) -> None:
        """Let the token die."""
        self.token = ""

    def acting(self, given: Any) -> tuple[str, ...]:
        """The clients whose orders a call with this clientID may touch.

        Raises
        ------
        XtsRefusal
            When it may touch nobody's.
        """
        asked = "" if given is None else str(given)
        if not self.install.dealer:
            if asked in ("", self.login):
                return self.clients
        elif not asked:
            raise invalid("clientID is required")
        elif asked == MASK and self.install.profile == "dealer_masked":
            return self.clients
        elif asked in self.clients:
            return (asked,)
        raise XtsRefusal("e-trade-00002", "Supplied client not mapped under dealer")

    def _seen(self, given: Any) -> tuple[str, ...]:
        """The clients of a dealer's endpoint: one, or all."""
        if not self.install.dealer:
            raise XtsRefusal("e-trade-00002", "Supplied client not mapped under dealer")
        return self.acting(given) if given else self.clients

    def _make_routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("DELETE", "/user/session"): ("", self._log_out),
            ("GET", "/user/profile"): ("", self._profile),
            ("GET", "/user/balance"): ("books", self._balance),
            ("GET", "/user/enums"): ("", lambda body: (_ENUMS, "Enums found")),
            ("POST", "/orders"): ("orders", self._place),
            ("PUT", "/orders"): ("orders", self._modify),
            ("DELETE", "/orders"): ("orders", self._cancel),
            ("GET", "/orders"): ("books", self._orders),
            ("POST", "/orders/cancelall"): ("orders", self._cancel_all),
            ("GET", "/orders/trades"): ("books", lambda body: self._trades(self.acting(body.get("clientID")))),
            ("GET", "/orders/dealerorderbook"): ("books", lambda body: self._rows(self._seen(body.get("clientID")))),
            ("GET", "/orders/dealertradebook"): ("books", lambda body: self._trades(self._seen(body.get("clientID")))),
            ("POST", "/orders/margindetails"): ("", self._margins),
            ("GET", "/portfolio/positions"): ("books", self._positions),
            ("GET", "/portfolio/dealerpositions"): ("books", self._dealer_positions),
            ("GET", "/portfolio/holdings"): ("books", self._holdings),
            ("PUT", "/portfolio/positions/convert"): ("", self._convert),
            ("PUT", "/portfolio/squareoff"): ("orders", self._square_off),
            ("GET", "/status/exchange"): ("", self._status),
            ("GET", "/messages/exchange"): ("", self._messages),
            **{
                (method, f"/orders/{kind}"): ("orders", _switched_off)
                for method in ("POST", "PUT", "DELETE")
                for kind in ("bracket", "cover")
            },
        }

    def _log_in(self, body: Mapping[str, Any], looked_up: bool) -> dict[str, Any]:
        if body.get("appKey") != APP_KEY or not _same(body.get("secretKey"), self.secret_key):
            raise XtsRefusal("e-login-0001", "Invalid AppKey or SecretKey")
        if looked_up and (not self.unique_key or not _same(body.get("uniqueKey"), self.unique_key)):
            raise XtsRefusal("e-login-0002", "Invalid uniqueKey; look the host up first")
        if not body.get("source") and not body.get("accessToken"):
            raise invalid("source is required")
        self.on_new_session("logged in elsewhere")
        self.token = new_token(self.login, self.world.now_ns)
        return {
            "enums": _ENUMS,
            "clientCodes": list(self.clients),
            "exchangeSegmentArray": [],
            "token": self.token,
            "userID": self.login,
            "isInvestorClient": not self.install.dealer,
            "isOneTouchUser": False,
        }

    def _log_out(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        self.on_new_session("logged out")
        self.expire()
        return "", "successfully logout from all API."

    def _profile(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        client = (
            self.login if self.install.dealer and not body.get("clientID") else self.acting(body.get("clientID"))[0]
        )
        segments = {
            name: {"ClientId": client, "ExchangeSegNumber": number, "Enabled": True, "ParticipantCode": ""}
            for name, number in SEGMENT_NUMBERS.items()
        }
        mapped = [{"DealerID": self.login, "ClientId": code} for code in self.clients] if self.install.dealer else []
        return {
            "ClientId": client,
            "ClientName": "SIMULATED CLIENT",
            "IsInvestorClient": not self.install.dealer,
            "ClientExchangeDetailsList": segments,
            "ClientBankInfoList": [],
            "ClientDealerMappingList": mapped,
        }, "User profile found"

    def _balance(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        given = body.get("clientID")
        if self.install.dealer and given not in self.clients:
            raise XtsRefusal("e-user-0001", "No RMS Limit assign to user")
        return self.money.balance(self.acting(given)[0]), "Balance found"

    def _place(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        given = body.get("clientID")
        if self.install.profile == "dealer_named" and given == self.login:
            # The install says yes and does nothing, which is what a client must find out.
            form = order_form(body, self.directory, self.install)
            self.dropped.append({"kind": "dropped", "clientID": given, "tag": form.tag})
            fake = f"99{len(self.dropped):07d}"
            return self._named(fake, form.tag, self.login), "Request sent"
        client = self.acting(given)[0]
        order = self.book.place(client, order_form(body, self.directory, self.install))
        return self._answer(order), "Request sent"

    def _modify(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        order = self.book.find(body.get("appOrderID"), self.acting(body.get("clientID")))
        self.book.modify(order, body)
        return self._answer(order), "Request sent"

    def _cancel(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        order = self.book.find(body.get("appOrderID"), self.acting(body.get("clientID")))
        self.book.cancel(order)
        return self._answer(order), "Request sent"

    def _cancel_all(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        clients = self.acting(body.get("clientID"))
        wanted = self.directory.find(body.get("exchangeSegment"), body.get("exchangeInstrumentID"))
        everything = whole(body.get("exchangeInstrumentID")) in (None, 0)
        for order in self.book.working():
            if order.client in clients and (everything or (wanted is not None and order.listed.key == wanted.key)):
                self.book.cancel(order)
        return {}, "Cancel all request sent"

    def _orders(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        clients = self.acting(body.get("clientID"))
        if body.get("appOrderID") is None:
            return self._rows(clients)
        order = self.book.find(body["appOrderID"], clients)
        if self.hidden(order.order_id):
            raise XtsRefusal("e-orders-0001", "order not found")
        return self.book.history(order), "Success order history"

    def _rows(self, clients: tuple[str, ...]) -> tuple[Any, str]:
        """The newest order first, as the book has it."""
        held = [o for o in self.book.orders.values() if o.client in clients and not self.hidden(o.order_id)]
        if not held:
            raise no_data("orders")
        return [self.book.row(order) for order in reversed(held)], "Success order book"

    def _trades(self, clients: tuple[str, ...]) -> tuple[Any, str]:
        held = [t.row for t in self.book.trades if t.client in clients and not self.hidden(t.order_id)]
        if not held:
            raise no_data("tradeBook")
        return held, "Success trade book"

    def _positions(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        return self._position_rows(body, self.acting(body.get("clientID")))

    def _dealer_positions(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        clients = self._seen(body.get("clientID"))
        if self.install.profile == "dealer_empty_positions":
            return [], "Get Net Position successfully!"
        return self._position_rows(body, clients)

    def _position_rows(self, body: Mapping[str, Any], clients: tuple[str, ...]) -> tuple[Any, str]:
        kind = body.get("dayOrNet")
        if kind not in ("DayWise", "NetWise"):
            raise invalid("dayOrNet must be DayWise or NetWise")
        rows = self.money.positions(clients, kind == "DayWise")
        text = f"Get {'Day' if kind == 'DayWise' else 'Net'} Position successfully!"
        if not rows and self.install.empty != "list":
            raise no_data("portfolio") if self.install.empty == "no_data" else invalid("no positions")
        return rows if self.install.positions == "list" else {"positionList": rows}, text

    def _holdings(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        self.acting(body.get("clientID"))
        raise no_data("holdings")

    def _margins(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        given = body.get("clientID")
        client = self.clients[0] if self.install.dealer and not given else self.acting(given)[0]
        return self.money.need(client, body), "Request sent"

    def _convert(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        client = self.acting(body.get("clientID"))[0]
        return self.money.convert(client, self._listed(body), body), "Position conversion request sent"

    def _square_off(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        client = self.acting(body.get("clientID"))[0]
        order = self.money.flatten(client, self._listed(body), body)
        return self._answer(order), "Request sent"

    def _listed(self, body: Mapping[str, Any]) -> Listed:
        listed = self.directory.find(body.get("exchangeSegment"), body.get("exchangeInstrumentID"))
        if listed is None:
            raise XtsRefusal("e-instrument-0001", "Instrument not found")
        return listed

    def _status(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        is_open = self.world.bounds[0] <= self.world.now_ns < self.world.bounds[1]
        session = 2 if is_open else 0 if self.world.now_ns < self.world.bounds[0] else 4
        rows = [
            {"exchangeSegment": number, "exchangeMarketType": 1, "exchangeTradingSession": session}
            for number in sorted(SEGMENT_NUMBERS.values())
        ]
        return {"marketStatus": rows}, "Exchange status found"

    def _messages(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        number = SEGMENT_NUMBERS.get(str(body.get("exchangeSegment")), whole(body.get("exchangeSegment")))
        if number is None:
            raise invalid("exchangeSegment is required")
        opened = {
            "ExchangeSegment": number,
            "ExchangeTimeStamp": stamp(self.world.bounds[0], "zoned"),
            "BroadcastMessage": "Simulated market: orders trade against recorded quotes",
            "SequenceId": 1,
        }
        return {"messageList": [opened]}, "Exchange messages found"

    def _answer(self, order: XtsOrder) -> dict[str, Any]:
        return self._named(order.order_id, order.form.tag, order.client)

    def _named(self, order_id: str, tag: str, client: str) -> dict[str, Any]:
        return {"AppOrderID": app_id(order_id, self.install), "OrderUniqueIdentifier": tag, "ClientID": client}


def envelope(code: str, text: str, result: Any) -> Reply:
    """A success."""
    return json_reply({"type": "success", "code": code, "description": text, "result": result})


def refused(refusal: XtsRefusal, install: Install) -> Reply:
    """A refusal as the install words it; too many calls may stand one level down."""
    told = {"type": "error", "code": refusal.code, "description": str(refusal)}
    if refusal.status == 429 and install.limit_error == "nested":
        return json_reply({"status": 0, "data": told}, refusal.status)
    return json_reply({**told, "result": refusal.result}, refusal.status)


def page_404() -> Reply:
    """What an unknown path gets: a page, not JSON."""
    return Reply(status=404, headers={"Content-Type": "text/html; charset=utf-8"}, body=_PAGE)


def body_of(call: Call) -> dict[str, Any]:
    """The fields of a call: the query string, and the JSON object (or form) of POST and PUT.

    Raises
    ------
    XtsRefusal
        When the body is neither.
    """
    found: dict[str, Any] = dict(call.query)
    if call.method not in ("POST", "PUT") or not call.body:
        return found
    if "form-urlencoded" in call.headers.get("content-type", ""):
        return dict(call.form())
    try:
        body = msgspec.json.decode(call.body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise invalid(f"body must be a JSON object: {error}") from None
    return found | body


def token_of(call: Call, live: str, install: Install) -> None:
    """Check the bare token in the header; raises `XtsRefusal`."""
    given = call.headers.get("authorization", "")
    if not given:
        raise XtsRefusal("e-token-0002", "Please Provide token to Authenticate")
    if install.header == "strict" and b"\r\nAuthorization:" not in call.head:
        raise XtsRefusal("e-session-0005", "Authorization not found")
    if not live or not _same(given, live):
        raise XtsRefusal("e-session-0007", "Invalid Token")


def new_token(user: str, now_ns: int) -> str:
    """A token in the look of a JWT that lasts a day; its signature is chance."""
    issued = now_ns // _SECOND
    parts = (
        msgspec.json.encode({"alg": "HS256", "typ": "JWT"}),
        msgspec.json.encode({"userID": user, "iat": issued, "exp": issued + 86_400}),
        secrets.token_bytes(32),
    )
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def _switched_off(body: Mapping[str, Any]) -> tuple[Any, str]:
    raise XtsRefusal("e-orders-0011", "Cover and bracket orders are not enabled for this account")


def _same(given: Any, wanted: str) -> bool:
    return secrets.compare_digest(str(given).encode(), wanted.encode())
