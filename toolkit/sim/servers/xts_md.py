"""XTS's market-data routes: login, master, look-ups, quotes, candles, subscriptions."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from toolkit.sim.roster import Listed
from toolkit.sim.servers.faults import FaultBox
from toolkit.sim.servers.http import Call, Reply
from toolkit.sim.servers.xts import XtsApp, body_of, envelope, new_token, page_404, token_of
from toolkit.sim.servers.xts_feed import XtsFeed
from toolkit.sim.xts_form import XtsRefusal, invalid
from toolkit.sim.xts_market import CODES, XtsMarket
from toolkit.sim.xts_master import LOOKUPS, index_list, instrument_row, lookup, master, search
from toolkit.sim.xts_names import SEGMENT_NUMBERS, stamp, whole

__all__ = ["MD_APP_KEY", "XtsMarketApp"]

MD_APP_KEY: Final = "simxtsmdapp"
_MOST_QUOTED: Final = 100
_QUOTED: Final = (1501, 1502, 1504, 1510, 1512)
_CONFIG: Final = {
    "exchangeSegments": SEGMENT_NUMBERS,
    "xtsMessageCode": {
        "touchlineEvent": 1501,
        "marketDepthEvent": 1502,
        "indexDataEvent": 1504,
        "candleDataEvent": 1505,
        "openInterestEvent": 1510,
        "instrumentPropertyChangeEvent": 1105,
        "ltpEvent": 1512,
    },
    "instrumentType": {"1": "Futures", "2": "Options", "4": "Spread", "8": "Equity", "16": "Spot"},
    "publishFormat": ["Binary", "JSON"],
    "broadCastMode": ["Full", "Partial"],
}

Act = Callable[[Mapping[str, Any]], tuple[Any, str]]


class XtsMarketApp:
    """The market-data API beside an interactive one; its login and its keys are its own.

    Parameters
    ----------
    app : XtsApp
        Names, world and limits are shared.
    market : XtsMarket
    feed : XtsFeed
    faults : FaultBox
        ``empty-quote`` acts here.
    """

    def __init__(self, app: XtsApp, market: XtsMarket, feed: XtsFeed, faults: FaultBox) -> None:
        self.app = app
        self.market = market
        self.feed = feed
        self.faults = faults
        self.secret_key = secrets.token_hex(8)
        self.token = ""
        self.on_new_session: Callable[[str], None] = lambda text: None
        self._routes: dict[tuple[str, str], tuple[str, Act]] = {
            ("DELETE", "/auth/logout"): ("", self._log_out),
            ("GET", "/config/clientconfig"): ("", lambda body: (_CONFIG, "Fetched configurations successfully!")),
            ("POST", "/instruments/master"): ("", self._master),
            ("GET", "/instruments/indexlist"): ("", self._indices),
            ("POST", "/instruments/quotes"): ("quotes", self._quotes),
            ("POST", "/instruments/subscription"): ("subscribe", self._subscribe),
            ("PUT", "/instruments/subscription"): ("subscribe", self._unsubscribe),
            ("GET", "/instruments/subscription"): ("", self._subscriptions),
            ("GET", "/instruments/ohlc"): ("ohlc", lambda body: (market.ohlc(body), "Data found")),
            ("POST", "/search/instrumentsbyid"): ("", self._by_id),
            ("GET", "/search/instruments"): ("", self._search),
            **{("GET", f"/instruments/instrument/{what}"): ("", self._lookup(what)) for what in LOOKUPS},
        }

    def serve(self, call: Call, path: str, real_ns: int) -> Reply:
        """Answer a call below the prefix, whose case does not matter; raises `XtsRefusal`."""
        if (call.method, path.lower()) == ("POST", "/auth/login"):
            # The success that looks like an error.
            return envelope("e-response-0010", "Provided Valid Credentials", self._log_in(body_of(call)))
        route = self._routes.get((call.method, path.lower()))
        if route is None:
            return page_404()
        token_of(call, self.token, self.app.install)
        group, act = route
        self.app.limit(group, real_ns, f"{call.method} {path}")
        body = body_of(call)
        if path.lower() == "/instruments/quotes" and self.faults.draw(("empty-quote",), f"{call.method} {call.path}"):
            asked = body.get("instruments", [])
            return envelope("s-quotes-0001", "Get quotes successfully!", {"quotesList": asked, "listQuotes": []})
        result, text = act(body)
        code = (
            "s-quotes-0001" if group == "quotes" else "s-session-0001" if group == "subscribe" else "s-instrument-0004"
        )
        return envelope(code, text, result)

    def expire(self) -> None:
        """Let the token die, and the subscriptions with it."""
        self.token = ""
        self.feed.clear()

    def _log_in(self, body: Mapping[str, Any]) -> dict[str, Any]:
        same = secrets.compare_digest(str(body.get("secretKey")).encode(), self.secret_key.encode())
        if body.get("appKey") != MD_APP_KEY or not same:
            raise XtsRefusal("e-login-0001", "Invalid AppKey or SecretKey")
        self.on_new_session("logged in elsewhere")
        self.feed.clear()
        now_ns = self.app.world.now_ns
        self.token = new_token(self.app.login, now_ns)
        expiry = stamp(now_ns + 365 * 86_400 * 10**9, "day_first")[:10]
        return {
            "token": self.token,
            "userID": self.app.login,
            "appVersion": "5.0.15",
            "application_expiry_date": expiry,
        }

    def _log_out(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        self.on_new_session("logged out")
        self.expire()
        return {}, "User logged out successfully"

    def _master(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        segments = body.get("exchangeSegmentList")
        if not isinstance(segments, list):
            raise invalid("exchangeSegmentList must be a list")
        return master(self.app.world, self.app.directory, segments), "Data Fetched successfully"

    def _indices(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        return index_list(self.app.directory, body.get("exchangeSegment")), "Index List successfully"

    def _quotes(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        if body.get("publishFormat") not in ("JSON", "1"):
            raise invalid("publishFormat is required")
        code = self._code(body, _QUOTED)
        asked = self._asked(body)
        if len(asked) > _MOST_QUOTED:
            raise XtsRefusal("e-quotes-0003", f"At most {_MOST_QUOTED} instruments in one call")
        rows = [self.app.directory.find(one.get("exchangeSegment"), one.get("exchangeInstrumentID")) for one in asked]
        events = [self.market.full(code, row) for row in rows if row is not None]
        texts = [msgspec.json.encode(event).decode() for event in events if event is not None]
        return {"mdp": code, "quotesList": asked, "listQuotes": texts}, "Get quotes successfully!"

    def _subscribe(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        code = self._code(body, CODES)
        fresh, snapshots = self.feed.subscribe(code, self._rows(body))
        made = {"mdp": code, "quotesList": self._named(fresh), "listQuotes": snapshots}
        return {**made, "Remaining_Subscription_Count": self.feed.left}, "Instrument subscribed successfully!"

    def _unsubscribe(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        code = self._code(body, CODES)
        held = self.feed.unsubscribe(code, self._rows(body))
        if not held:
            raise XtsRefusal("e-session-0003", "Instrument not subscribed")
        return {"xtsMessageCode": code, "unsubList": self._named(held)}, "Instrument unsubscribed successfully!"

    def _subscriptions(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        code = self._code(body, CODES)
        held = [row for (of, _), row in self.feed.wanted.items() if of == code]
        return {"xtsMessageCode": code, "subscribedList": self._named(held)}, "Subscriptions found"

    def _by_id(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        world, names = self.app.world, self.app.directory
        return [instrument_row(world, names, row) for row in self._rows(body)], "Data found"

    def _search(self, body: Mapping[str, Any]) -> tuple[Any, str]:
        return search(self.app.world, self.app.directory, str(body.get("searchString", ""))), "Data found"

    def _lookup(self, what: str) -> Act:
        return lambda body: (lookup(self.app.world, self.app.directory, what, body), "Data found")

    def _code(self, body: Mapping[str, Any], allowed: Sequence[int]) -> int:
        code = whole(body.get("xtsMessageCode"))
        if code is None or code not in allowed:
            raise invalid(f"xtsMessageCode must be one of {', '.join(map(str, allowed))}")
        return code

    def _asked(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        asked = body.get("instruments")
        if not isinstance(asked, list) or not asked or not all(isinstance(one, dict) for one in asked):
            raise invalid("instruments must be a list of exchangeSegment and exchangeInstrumentID")
        return asked

    def _rows(self, body: Mapping[str, Any]) -> list[Listed]:
        asked = self._asked(body)
        rows = [self.app.directory.find(one.get("exchangeSegment"), one.get("exchangeInstrumentID")) for one in asked]
        found = [row for row in rows if row is not None]
        if len(found) < len(rows):
            raise XtsRefusal("e-instrument-0001", "Instrument not found")
        return found

    def _named(self, rows: Sequence[Listed]) -> list[dict[str, int]]:
        names = self.app.directory
        return [{"exchangeSegment": names.number(r), "exchangeInstrumentID": names.instrument(r)} for r in rows]
