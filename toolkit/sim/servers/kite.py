"""Kite Connect's REST routes over the simulated day; the official client works with them unchanged."""

from __future__ import annotations

import gzip
import hashlib
import re
import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec

from toolkit.portfolio.charges import ChargeSchedule
from toolkit.sim.kite_account import KiteAccount
from toolkit.sim.kite_book import KiteBook
from toolkit.sim.kite_form import OrderForm, WireRefusal, number, paise, read_form
from toolkit.sim.kite_gtt import KiteGtt
from toolkit.sim.kite_market import candles, find, instruments_csv, ltp_row, ohlc_row, quote_row, trigger_range
from toolkit.sim.kite_order import stamp
from toolkit.sim.rates import Limit, RateBook
from toolkit.sim.servers.http import Call, Reply, json_reply
from toolkit.sim.world import World

__all__ = ["API_KEY", "PROFILES", "KiteApp", "Profile"]

API_KEY: Final = "simkey"
_SECOND: Final = 1_000_000_000
_LIMITS: Final = (
    Limit("orders", 10, _SECOND),
    Limit("orders", 400, 60 * _SECOND),
    Limit("orders", 5000, 86_400 * _SECOND),
    Limit("quote", 1, _SECOND),
    Limit("historical", 3, _SECOND),
    Limit("other", 10, _SECOND),
)
_QUOTE_MOST: Final = {"/quote": 500, "/quote/ohlc": 1000, "/quote/ltp": 1000}
_EXCHANGES: Final = ["NSE", "BSE", "NFO", "BFO"]
_PRODUCTS: Final = ["CNC", "NRML", "MIS"]
_ASKED: Final[tuple[str, ...]] = ("exchange", "tradingsymbol", "transaction_type", "quantity", "product")
_ORDER_TYPES: Final = ["MARKET", "LIMIT", "SL", "SL-M"]


class Profile(msgspec.Struct, frozen=True):
    """A variant of the wire: route prefix, limits, whether only LIMIT orders are taken and the ticker wants
    user_id, and how far (a fraction) a price may be from the last."""

    prefix: str = ""
    limits: tuple[Limit, ...] = _LIMITS
    limit_only: bool = False
    ticker_user: bool = False
    near: float | None = None


PROFILES: Final = {
    "production": Profile(),
    "sandbox": Profile(prefix="/oms", limit_only=True, ticker_user=True, near=0.05),
    "unlimited": Profile(limits=()),
}

Route = tuple[str, re.Pattern[str], str, Callable[..., Any]]


class KiteApp:
    """Everything behind the routes: one user's session, book, account and triggers.

    Parameters
    ----------
    world : World
        The simulated day.
    account : str
        Kite's user id.
    funds_p : int
        Cash at the start, paise.
    schedule : ChargeSchedule
        For contract notes.
    profile : Profile
        Which variant of the wire.
    """

    def __init__(
        self,
        world: World,
        account: str,
        funds_p: int,
        schedule: ChargeSchedule,
        profile: Profile = PROFILES["production"],
    ) -> None:
        self.world = world
        self.account = account
        self.profile = profile
        self.book = KiteBook(world, account)
        self.money = KiteAccount(world, self.book, funds_p, schedule)
        self.gtt = KiteGtt(self.book)
        self.rates = RateBook(profile.limits)
        self.api_secret = secrets.token_hex(16)
        self.access_token = secrets.token_hex(16)
        self.redirect_url = ""
        self.hidden: Callable[[str], bool] = lambda order_id: False
        self._requests: set[str] = set()
        self._routes = self._make_routes()

    def serve(self, call: Call, real_ns: int) -> Reply:
        """Answer one call; raises `WireRefusal` for everything Kite refuses."""
        path = call.path
        dump = path == "/instruments" or (path.startswith("/instruments/") and "historical" not in path)
        if self.profile.prefix and not dump and not path.startswith(("/session", "/connect")):
            if not path.startswith(self.profile.prefix + "/"):
                raise WireRefusal(404, "GeneralException", "Route not found")
            path = path.removeprefix(self.profile.prefix)
        allowed = [route for route in self._routes if route[1].fullmatch(path)]
        if not allowed:
            raise WireRefusal(404, "GeneralException", "Route not found")
        found = next((route for route in allowed if route[0] == call.method), None)
        if found is None:
            raise WireRefusal(405, "GeneralException", "Method not allowed")
        _, pattern, group, act = found
        if group != "open":
            self._authorise(call)
            # What has no limit of its own is limited endpoint by endpoint.
            broken = self.rates.take(group, real_ns, f"{call.method} {pattern.pattern}" if group == "other" else "")
            if broken is not None:
                raise WireRefusal(429, "NetworkException", "Too many requests")
        match = pattern.fullmatch(path)
        made = act(call, *(match.groups() if match else ()))
        return made if isinstance(made, Reply) else json_reply({"status": "success", "data": made})

    def knows(self, key: str, token: str, user: str = "") -> bool:
        """Whether a ticker handshake may pass."""
        if self.profile.ticker_user and user != self.account:
            return False
        return key == API_KEY and secrets.compare_digest(token.encode(), self.access_token.encode())

    def expire(self) -> None:
        """Let the access token die, as at 6 in the morning or on a logout elsewhere."""
        self.access_token = secrets.token_hex(16)

    def request_token(self) -> str:
        """A fresh single-use request token, as after a login in the browser."""
        token = secrets.token_hex(16)
        self._requests.add(token)
        return token

    def _make_routes(self) -> list[Route]:
        name = r"([^/]+)"
        table: list[tuple[str, str, str, Callable[..., Any]]] = [
            ("GET", "/connect/login", "open", self._login_page),
            ("GET", "/login", "open", lambda call: _LOGIN_AGAIN),
            ("POST", "/session/token", "open", self._session),
            ("DELETE", "/session/token", "open", self._logout),
            ("POST", "/session/refresh_token", "open", self._refresh),
            ("GET", "/user/profile", "other", lambda call: self._profile()),
            ("GET", "/user/profile/full", "other", lambda call: self._full_profile()),
            ("GET", "/user/margins", "other", lambda call: self.money.margins()),
            ("GET", f"/user/margins/{name}", "other", self._margins),
            ("GET", "/orders", "other", lambda call: self._visible(self.book.rows())),
            ("GET", f"/orders/{name}", "other", self._history),
            ("GET", f"/orders/{name}/trades", "other", self._order_trades),
            ("POST", f"/orders/{name}", "orders", self._place),
            ("PUT", f"/orders/{name}/{name}", "orders", lambda c, v, i: self.book.modify(v, i, c.form())),
            ("DELETE", f"/orders/{name}/{name}", "other", lambda c, v, i: self.book.cancel(v, i)),
            ("GET", "/trades", "other", lambda call: self._visible(self.book.trades)),
            ("GET", "/portfolio/positions", "other", lambda call: self.money.positions()),
            ("PUT", "/portfolio/positions", "other", self._convert),
            ("GET", "/portfolio/holdings", "other", lambda call: []),
            ("GET", "/portfolio/holdings/compact", "other", lambda call: []),
            ("GET", "/portfolio/holdings/summary", "other", lambda call: _NO_HOLDINGS),
            ("GET", "/portfolio/holdings/auctions", "other", lambda call: []),
            ("GET", "/instruments", "other", lambda call: self._dump(call, None)),
            ("GET", f"/instruments/historical/{name}/{name}", "historical", self._candles),
            ("GET", "/instruments/trigger_range/(buy|sell)", "other", self._trigger_range),
            ("GET", f"/instruments/{name}", "other", self._dump),
            ("GET", "/quote", "quote", lambda call: self._quotes(call, quote_row)),
            ("GET", "/quote/ohlc", "quote", lambda call: self._quotes(call, ohlc_row)),
            ("GET", "/quote/ltp", "quote", lambda call: self._quotes(call, ltp_row)),
            ("POST", "/margins/orders", "other", lambda call: self.money.order_margins(self._basket(call))),
            ("POST", "/margins/basket", "other", self._basket_margins),
            ("POST", "/charges/orders", "other", lambda call: self.money.contract_note(self._basket(call))),
            ("GET", "/gtt/triggers", "other", lambda call: self.gtt.rows()),
            ("POST", "/gtt/triggers", "orders", lambda call: self.gtt.place(call.form())),
            ("GET", f"/gtt/triggers/{name}", "other", lambda call, i: self.gtt.row(i)),
            ("PUT", f"/gtt/triggers/{name}", "orders", lambda call, i: self.gtt.modify(i, call.form())),
            ("DELETE", f"/gtt/triggers/{name}", "other", lambda call, i: self.gtt.delete(i)),
        ]
        return [(method, re.compile(pattern), group, act) for method, pattern, group, act in table]

    def _authorise(self, call: Call) -> None:
        if call.headers.get("x-kite-version") != "3":
            raise WireRefusal(400, "InputException", "Missing or invalid `X-Kite-Version` header.")
        scheme, _, pair = call.headers.get("authorization", "").partition(" ")
        key, _, token = pair.partition(":")
        same = secrets.compare_digest(token.encode(), self.access_token.encode())
        if scheme != "token" or key != API_KEY or not same:
            raise _token("Token is invalid or has expired.")

    def _login_page(self, call: Call) -> Reply:
        query = dict(call.query)
        if query.get("api_key") != API_KEY:
            raise WireRefusal(400, "InputException", "Invalid `api_key`.")
        extra = query.get("redirect_params", "")
        tail = f"action=login&status=success&request_token={self.request_token()}" + (f"&{extra}" if extra else "")
        if self.redirect_url:
            joint = "&" if "?" in self.redirect_url else "?"
            return Reply(status=302, headers={"Location": f"{self.redirect_url}{joint}{tail}"})
        page = f"<html><title>Simulated Kite login</title><p>No redirect address is registered. {tail}</p></html>"
        return Reply(headers={"Content-Type": "text/html; charset=utf-8"}, body=page.encode())

    def _session(self, call: Call) -> dict[str, Any]:
        form = call.form()
        given = form.get("request_token", "")
        if form.get("api_key") != API_KEY or given not in self._requests:
            raise _token("Token is invalid or has expired.")
        proof = hashlib.sha256(f"{API_KEY}{given}{self.api_secret}".encode()).hexdigest()
        if not secrets.compare_digest(proof, form.get("checksum", "").encode("ascii", "replace").decode()):
            raise _token("Invalid `checksum`.")
        self._requests.discard(given)
        return {
            **self._profile(),
            "api_key": API_KEY,
            "access_token": self.access_token,
            "public_token": secrets.token_hex(16),
            "enctoken": secrets.token_hex(32),
            "refresh_token": "",
            "silo": "",
            "login_time": stamp(self.world.now_ns),
        }

    def _logout(self, call: Call) -> bool:
        query = dict(call.query)
        if query.get("access_token") == self.access_token and query.get("api_key") == API_KEY:
            self.expire()
        return True

    def _refresh(self, call: Call) -> dict[str, Any]:
        raise WireRefusal(403, "PermissionException", "Insufficient permission for that call.")

    def _profile(self) -> dict[str, Any]:
        return {
            "user_id": self.account,
            "user_type": "individual",
            "email": "simulated@example.invalid",
            "user_name": "Simulated User",
            "user_shortname": "Simulated",
            "broker": "ZERODHA",
            "exchanges": _EXCHANGES,
            "products": _PRODUCTS,
            "order_types": _ORDER_TYPES,
            "avatar_url": None,
            "meta": {"demat_consent": "physical"},
        }

    def _full_profile(self) -> dict[str, Any]:
        return {
            **self._profile(),
            "twofa_type": "totp",
            "phone": "*0000",
            "bank_accounts": [],
            "dp_ids": [],
            "pan": "*000X",
            "tags": [],
            "password_timestamp": "1970-01-01 00:00:00",
            "twofa_timestamp": "1970-01-01 00:00:00",
            "meta": {"poa": "physical", "silo": "", "account_blocks": []},
        }

    def _margins(self, call: Call, segment: str) -> dict[str, Any]:
        margins = self.money.margins()
        if segment not in margins:
            raise WireRefusal(400, "InputException", "Invalid `segment`.")
        found: dict[str, Any] = margins[segment]
        return found

    def _place(self, call: Call, variety: str) -> dict[str, Any]:
        form = call.form()
        if self.profile.limit_only and form.get("order_type") != "LIMIT":
            raise WireRefusal(400, "InputException", "Only LIMIT orders are allowed here.")
        if self.profile.near is not None:
            self._check_near(form, self.profile.near)
        return self.book.place(variety, form)

    def _check_near(self, form: dict[str, str], near: float) -> None:
        """Refuse a price far from the last one, as the sandbox does."""
        listed = self.world.roster.by_name.get((form.get("exchange", ""), form.get("tradingsymbol", "")))
        last_p = None if listed is None else self.world.last_p(listed.key)
        price_p = paise(form, "price")
        if last_p is not None and price_p is not None and abs(price_p - last_p) > near * last_p:
            raise WireRefusal(400, "InputException", f"Price must be within {near:.0%} of the last price.")

    def _visible(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row for row in rows if not self.hidden(row["order_id"])]

    def _history(self, call: Call, order_id: str) -> list[dict[str, Any]]:
        return self.book.history("" if self.hidden(order_id) else order_id)

    def _order_trades(self, call: Call, order_id: str) -> list[dict[str, Any]]:
        return self.book.order_trades("" if self.hidden(order_id) else order_id)

    def _convert(self, call: Call) -> bool:
        form = call.form()
        listed = self.world.roster.by_name.get((form.get("exchange", ""), form.get("tradingsymbol", "")))
        if listed is None:
            raise WireRefusal(400, "InputException", "Invalid `tradingsymbol`.")
        names = ("old_product", "new_product", "transaction_type", "position_type")
        old, new, side, kind = (form.get(name, "") for name in names)
        if side not in ("BUY", "SELL") or kind not in ("day", "overnight") or new not in _PRODUCTS:
            raise WireRefusal(400, "InputException", "Invalid position to convert.")
        self.money.convert(listed, old, new, side, number(form, "quantity") or 0, kind)
        return True

    def _dump(self, call: Call, venue: str | None) -> Reply:
        if venue is not None and venue not in _EXCHANGES:
            raise WireRefusal(400, "InputException", "Invalid `exchange`.")
        rows = [row for row in self.world.roster.rows if venue in (None, row.venue)]
        body = instruments_csv(rows).encode()
        headers = {"Content-Type": "text/csv"}
        if "gzip" in call.headers.get("accept-encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body, mtime=0), "gzip"
        return Reply(headers=headers, body=body)

    def _candles(self, call: Call, token: str, interval: str) -> dict[str, Any]:
        return candles(self.world, token, interval, dict(call.query))

    def _trigger_range(self, call: Call, side: str) -> dict[str, Any]:
        return {text: trigger_range(self.world, row) for text, row in find(self.world, call.every("i")).items()}

    def _quotes(self, call: Call, row_of: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        wanted = call.every("i")
        most = next((n for path, n in sorted(_QUOTE_MOST.items(), reverse=True) if call.path.endswith(path)), 500)
        if not wanted or len(wanted) > most:
            raise WireRefusal(400, "InputException", f"Invalid `i`: 1 to {most} instruments, was {len(wanted)}.")
        return {text: row_of(self.world, row) for text, row in find(self.world, wanted).items()}

    def _basket(self, call: Call) -> list[tuple[OrderForm, float]]:
        try:
            rows = msgspec.json.decode(call.body, type=list[dict[str, Any]])
        except msgspec.DecodeError as error:
            raise WireRefusal(400, "InputException", f"Invalid JSON body: {error}.") from None
        return [self._asked(row) for row in rows]

    def _asked(self, row: dict[str, Any]) -> tuple[OrderForm, float]:
        """An order of a margin or charges call: a market order is priced at the last price."""
        form = {name: str(value) for name, value in row.items() if value is not None}
        price = (paise(form, "average_price") or paise(form, "price") or 0) / 100
        listed = self.world.roster.by_name.get((form.get("exchange", ""), form.get("tradingsymbol", "")))
        if not price and listed is not None:
            price = (self.world.last_p(listed.key) or 0) / 100
        tick = 5 if listed is None else listed.instrument.tick_p
        on_tick = max(tick, round(price * 100 / tick) * tick) / 100
        asked = {name: form[name] for name in _ASKED if name in form}
        asked |= {"order_type": "LIMIT", "price": f"{on_tick:.2f}", "autoslice": "true"}
        made = read_form("regular", asked, self.world.roster)
        shown = {"variety": form.get("variety", "regular"), "order_type": form.get("order_type", "LIMIT")}
        return msgspec.structs.replace(made, **shown), price

    def _basket_margins(self, call: Call) -> dict[str, Any]:
        with_positions = dict(call.query).get("consider_positions", "").lower() == "true"
        return self.money.basket(self._basket(call), with_positions=with_positions)


_LOGIN_AGAIN: Final = Reply(
    headers={"Content-Type": "text/html; charset=utf-8"}, body=b"<html><title>Log in</title>Please log in.</html>"
)
_NO_HOLDINGS: Final = {
    "total_pnl": 0,
    "total_pnl_percent": 0,
    "today_pnl": 0,
    "today_pnl_percent": 0,
    "invested_amount": 0,
    "current_value": 0,
}


def _token(text: str) -> WireRefusal:
    return WireRefusal(403, "TokenException", text)
