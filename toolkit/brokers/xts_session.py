"""One key pair's calls to XTS: login, limits, retries of reads, the state of the token.

XTS keeps one live session a key pair: a login ends the token of every other process. So the token is
shared (in this process and, through the token store, on this machine), nobody logs in to be
sure, and a dead token brings at most one login in ``login_every_s``. An order call is sent once, whatever
happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import httpx
import msgspec

from toolkit.brokers.clock import VenueClock, date_ns
from toolkit.brokers.errors_map import Answer
from toolkit.brokers.rate import SECOND_NS, Quota, Throttle, leave, shared_throttle
from toolkit.brokers.tokens import StoredToken, TokenStore, token_day
from toolkit.brokers.xts_errors import classify, shape_of, to_error
from toolkit.brokers.xts_records import login_of, market_login_of
from toolkit.brokers.xts_settings import XtsSettings, XtsTerms, looked_up
from toolkit.config import Secret
from toolkit.errors import AuthExpired, BadData, Refused, Retryable, ToolkitError

__all__ = ["OPS", "XtsLink", "XtsSession", "forget_sessions", "quotas"]

OPS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "login": ("login", "others", "POST", "/user/session"),
    "logout": ("login", "others", "DELETE", "/user/session"),
    "md_login": ("login", "others", "POST", "/auth/login"),
    "md_logout": ("login", "others", "DELETE", "/auth/logout"),
    "profile": ("read", "others", "GET", "/user/profile"),
    "balance": ("read", "books", "GET", "/user/balance"),
    "place": ("order", "orders", "POST", "/orders"),
    "modify": ("order", "orders", "PUT", "/orders"),
    "cancel": ("order", "orders", "DELETE", "/orders"),
    "cancel_all": ("order", "orders", "POST", "/orders/cancelall"),
    "orders": ("list", "books", "GET", "/orders"),
    "history": ("history", "books", "GET", "/orders"),
    "trades": ("list", "books", "GET", "/orders/trades"),
    "dealer_orders": ("list", "books", "GET", "/orders/dealerorderbook"),
    "dealer_trades": ("list", "books", "GET", "/orders/dealertradebook"),
    "margin": ("read", "others", "POST", "/orders/margindetails"),
    "positions": ("positions", "books", "GET", "/portfolio/positions"),
    "dealer_positions": ("positions", "books", "GET", "/portfolio/dealerpositions"),
    "holdings": ("list", "books", "GET", "/portfolio/holdings"),
    "convert": ("order", "others", "PUT", "/portfolio/positions/convert"),
    "squareoff": ("order", "orders", "PUT", "/portfolio/squareoff"),
    "exchange_status": ("read", "others", "GET", "/status/exchange"),
    "exchange_messages": ("list", "others", "GET", "/messages/exchange"),
    "md_config": ("read", "others", "GET", "/config/clientConfig"),
    "master": ("read", "others", "POST", "/instruments/master"),
    "indices": ("list", "others", "GET", "/instruments/indexlist"),
    "quotes": ("read", "quotes", "POST", "/instruments/quotes"),
    "subscribe": ("subscribe", "subscribe", "POST", "/instruments/subscription"),
    "unsubscribe": ("subscribe", "subscribe", "PUT", "/instruments/subscription"),
    "subscriptions": ("list", "subscribe", "GET", "/instruments/subscription"),
    "ohlc": ("read", "ohlc", "GET", "/instruments/ohlc"),
    "series": ("list", "others", "GET", "/instruments/instrument/series"),
    "expiries": ("list", "others", "GET", "/instruments/instrument/expiryDate"),
    "future_symbol": ("list", "others", "GET", "/instruments/instrument/futureSymbol"),
    "option_symbol": ("list", "others", "GET", "/instruments/instrument/optionSymbol"),
    "search_by_id": ("list", "others", "POST", "/search/instrumentsbyid"),
    "search": ("list", "others", "GET", "/search/instruments"),
}
"""Call -> (kind for the error table, bucket of the limits, method, path)."""

_RETRIES: Final = 3
_MOST_BYTES: Final = 8 << 20
_MOST_MASTER: Final = 160 << 20
_MANY: Final = 1 << 20  # from here on a body is read in a thread
_LONG_S: Final = {"master": 60.0}
_KEEP_ALIVE_S: Final = 2.0  # below the usual five seconds of these servers: no call meets a closing connection

Api = Literal["interactive", "market"]


class XtsSession(msgspec.Struct, frozen=True, kw_only=True):
    """What a login gave: the token, who it is, and where the API is."""

    token: Secret
    user_id: str = ""
    is_investor: bool | None = None
    client_codes: tuple[str, ...] = ()
    base: str = ""


class _Stored(msgspec.Struct):
    token: str
    user_id: str
    is_investor: bool | None
    client_codes: tuple[str, ...]
    base: str


class _Pair:
    """What this process knows of one key pair: shared by every link to it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.session: XtsSession | None = None
        self.dead: set[str] = set()
        self.tried_ns: int | None = None


_PAIRS: dict[tuple[str, ...], _Pair] = {}
_PAIRS_LOCK: Final = threading.Lock()


def forget_sessions() -> None:
    """Forget every session this process shares: what is stored on disk stays."""
    with _PAIRS_LOCK:
        _PAIRS.clear()


def quotas(terms: XtsTerms) -> tuple[Quota, ...]:
    """The limits of one key pair; every book has its own: the error says "max limit for this API"."""
    books = sorted({_bucket(op) for op, row in OPS.items() if row[1] == "books"})
    return (
        Quota("orders", terms.orders_per_s, SECOND_NS),
        *(Quota(book, terms.books_per_s, SECOND_NS) for book in books),
        Quota("quotes", terms.quotes_per_s, SECOND_NS),
        Quota("subscribe", terms.subscribe_per_s, SECOND_NS),
        Quota("ohlc", terms.ohlc_per_s, SECOND_NS),
        Quota("others", terms.others_per_s, SECOND_NS),
    )


def _bucket(op: str) -> str:
    _, bucket, _, path = OPS[op]
    return f"books {path}" if bucket == "books" else bucket


class XtsLink:
    """Every call of one key pair at one of the two APIs goes through here.

    Parameters
    ----------
    settings : XtsSettings
    api : str
        ``interactive`` or ``market``.
    terms : XtsTerms, optional
        Limits and patience.
    name : str
        What the broker is called in errors.
    wall : callable
        Nanoseconds UTC, for the day of the token.
    mono : callable
        Monotonic nanoseconds, for the pause between logins.
    tokens : TokenStore, optional
        Where ``toolkit login`` keeps the day's token.
    allow_plain_http : tuple of str
        Hosts that a host lookup may lead to without TLS.
    transport : httpx.AsyncBaseTransport, optional
        In the place of the network, for tests.
    """

    def __init__(
        self,
        settings: XtsSettings,
        api: Api = "interactive",
        *,
        terms: XtsTerms | None = None,
        name: str = "xts-pro",
        wall: Callable[[], int] = time.time_ns,
        mono: Callable[[], int] = time.monotonic_ns,
        tokens: TokenStore | None = None,
        allow_plain_http: tuple[str, ...] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self.api = api
        self.name = name
        self.terms = XtsTerms() if terms is None else terms
        self.venue = VenueClock()
        self.skew_s: float | None = None
        self.closed = False
        self.kept_in = ""
        self._wall = wall
        self._mono = mono
        self._allowed = allow_plain_http
        self._transport = transport
        self._tokens = TokenStore() if tokens is None else tokens
        home = (
            settings.root or settings.hostlookup if api == "interactive" else f"{settings.md_root}/{settings.md_prefix}"
        )
        self._keys = (
            (settings.app_key.reveal(), settings.secret_key)
            if api == "interactive"
            else (settings.md_app_key.reveal(), settings.md_secret_key)
        )
        mark = (api, home, self._keys[0])
        self._app = f"{api}-{hashlib.blake2b('|'.join(mark).encode(), digest_size=8).hexdigest()}"
        self._in_keyring = self._tokens.in_keyring("xts", self._app)
        with _PAIRS_LOCK:
            self._pair = _PAIRS.setdefault(mark, _Pair())
        self._throttle: Throttle = shared_throttle(("xts", *mark), quotas(self.terms))
        self._clients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}
        self._busy: dict[asyncio.AbstractEventLoop, int] = {}

    def __repr__(self) -> str:
        return f"XtsLink({self.api}, {self.state})"

    @property
    def state(self) -> str:
        """``ready``, ``no_token``, ``auth_expired`` or ``closed``."""
        if self.closed:
            return "closed"
        if self._live() is not None:
            return "ready"
        return "auth_expired" if self._pair.dead else "no_token"

    def _live(self) -> XtsSession | None:
        found = self._pair.session
        return None if found is None or found.token.reveal() in self._pair.dead else found

    async def session(self) -> XtsSession:
        """The session that is good now: of this process, of the token store, or by logging in.

        Raises
        ------
        AuthExpired
            When there is none and logging in is not possible or not allowed yet.
        Refused, Retryable
            When the login fails.
        """
        if self.closed:
            raise Refused(f"this {self.name} connection is closed; connect again")
        found = self._live()
        return found if found is not None else await self._renewed()

    async def login(self) -> XtsSession:
        """Log in anew; the old token dies for every process. At most once in ``login_every_s``."""
        return await self._renewed(fresh=True)

    async def logout(self) -> None:
        """End the session at the broker and forget its token, first here: what a socket then says of the end
        is no reason to log in again."""
        found = self._live()
        if found is None:
            return
        self._pair.session = None
        self._tokens.forget("xts", self._app)
        kind, bucket, method, path = OPS["logout" if self.api == "interactive" else "md_logout"]
        await self._throttle.enter(bucket, self.terms.total_s, order=True)
        answer, _ = await self._send(method, found.base + path, found, None, None, self.terms.total_s)
        if classify(kind, answer) not in ("ok", "auth"):
            raise self._error("the logout", kind, answer)

    def expire(self) -> None:
        """Take the token for dead: what the ``logout`` event means."""
        found = self._pair.session
        if found is not None:
            self._bury(found.token.reveal())

    async def call(
        self, op: str, *, params: Mapping[str, object] | None = None, json: object = None, what: str = ""
    ) -> Any:
        """Make one call and give its result; an empty list where the error says that there is nothing.

        Order calls are sent once. Reads are repeated at most three times with growing pauses, once more after
        a new login. The whole takes at most ``total_s`` seconds, waiting for the limits included.

        Raises
        ------
        Refused, Unknown, Retryable, AuthExpired
            What the error table makes of the answer.
        """
        verdict, answer, result = await self.ask(op, params=params, json=json)
        if verdict == "ok":
            return result
        if verdict == "empty":
            return []
        raise self._error(what or op.replace("_", " "), OPS[op][0], answer)

    async def ask(
        self, op: str, *, params: Mapping[str, object] | None = None, json: object = None
    ) -> tuple[str, Answer, Any]:
        """Make one call and give the verdict, the answer and the result, without raising for a refusal."""
        kind, _, method, path = OPS[op]
        bucket = _bucket(op)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _LONG_S.get(op, self.terms.total_s)
        renewed = False
        attempt = 0
        while True:
            session = await self._for(kind)
            await self._throttle.enter(bucket, max(0.0, deadline - loop.time()), order=kind in ("order", "login"))
            if kind == "order":
                leave()
            left = max(0.05, deadline - loop.time())
            answer, result = await self._send(method, session.base + path, session, params, json, left)
            verdict = classify(kind, answer)
            if verdict == "auth":
                self._bury(session.token.reveal())
                if kind == "order" or renewed or not self.terms.relogin:
                    return verdict, answer, result
                renewed = True
                await self._renewed()
                continue
            pause = self._heed(bucket, answer, attempt)
            if verdict != "retryable" or kind == "login" or attempt == _RETRIES:
                return verdict, answer, result
            if loop.time() + pause >= deadline:
                return verdict, answer, result
            attempt += 1
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Let the connections go; the session lives on."""
        self.closed = True
        made, self._clients = self._clients, {}
        for loop, client in made.items():
            if loop is asyncio.get_running_loop():
                await client.aclose()
            elif loop.is_running():  # a feed on a thread of its own
                asyncio.run_coroutine_threadsafe(client.aclose(), loop)

    async def leave(self) -> None:
        """Let this loop's idle connections go; a later call makes new ones."""
        loop = asyncio.get_running_loop()
        if not self._busy.get(loop) and (client := self._clients.pop(loop, None)) is not None:
            await client.aclose()

    async def _for(self, kind: str) -> XtsSession:
        try:
            return await self.session()
        except Retryable as error:
            if kind == "order":
                raise Refused(f"{error}; the order was not sent") from None
            raise

    def _heed(self, bucket: str, answer: Answer, attempt: int) -> float:
        """Seconds before a read is repeated: 1, 2, 4 with jitter, or what it asks for; a limit holds all callers."""
        pause: float = self.terms.backoff_s * 2.0**attempt * (0.75 + secrets.randbelow(500) / 1000)
        if answer.retry_after_s is not None:
            pause = answer.retry_after_s
        if answer.status == 429 or answer.retry_after_s is not None or answer.error_type.lower() == "e-apirl-0004":
            self._throttle.pause(bucket, pause)
        return pause

    def _error(self, what: str, kind: str, answer: Answer) -> ToolkitError:
        return to_error(self.name, what, kind, answer)

    def _bury(self, token: str) -> None:
        self._pair.dead.add(token)
        stored = self._load()
        if stored is not None and stored.token.reveal() == token:
            self._tokens.forget("xts", self._app)

    async def _renewed(self, *, fresh: bool = False) -> XtsSession:
        """A session that is not dead; one login at a time, of all threads and loops."""
        pair = self._pair
        before = pair.session
        while not pair.lock.acquire(blocking=False):
            await asyncio.sleep(0.02)
        try:
            found = self._live()
            if found is not None and (found is not before or not fresh):
                return found
            if not fresh and (stored := self._load()) is not None and stored.token.reveal() not in pair.dead:
                pair.session = stored
                return stored
            pair.session = await self._log_in(asked=fresh)
            self._save(pair.session)
            return pair.session
        finally:
            pair.lock.release()

    async def _log_in(self, *, asked: bool) -> XtsSession:
        key, secret = self._keys
        names = "app_key and secret_key" if self.api == "interactive" else "md_app_key and md_secret_key"
        if not key or not secret:
            raise AuthExpired(f"no session at {self.name}: set [xts] {names}, or run: toolkit login {self.name}")
        pair, now = self._pair, self._mono()
        if pair.dead and not self.terms.relogin and not asked:
            raise AuthExpired(f"the {self.name} session has ended; nothing was sent; run: toolkit login {self.name}")
        wait = 0.0 if pair.tried_ns is None else self.terms.login_every_s - (now - pair.tried_ns) / SECOND_NS
        if wait > 0:
            raise AuthExpired(
                f"the {self.name} token is dead and the last login was just now; nothing was sent; wait {wait:.0f} s"
            )
        pair.tried_ns = now
        if self.api == "market":
            return await self._market_login(key, secret)
        base, unique = await self._looked_up()
        body = {"appKey": key, "secretKey": secret.reveal(), "source": self.settings.source}
        if unique:
            body["uniqueKey"] = unique
        row = login_of(await self._enter(base, "login", body))
        return XtsSession(
            token=row.token,
            user_id=row.user_id,
            is_investor=row.is_investor,
            client_codes=row.client_codes,
            base=base,
        )

    async def _market_login(self, key: str, secret: Secret) -> XtsSession:
        base = f"{self.settings.md_root}/{self.settings.md_prefix}"
        body = {"appKey": key, "secretKey": secret.reveal(), "source": self.settings.source}
        row = market_login_of(await self._enter(base, "md_login", body))
        return XtsSession(token=row.token, user_id=row.user_id, base=base)

    async def _enter(self, base: str, op: str, body: Mapping[str, object]) -> Any:
        kind, bucket, method, path = OPS[op]
        await self._throttle.enter(bucket, self.terms.total_s, order=True)
        answer, result = await self._send(method, base + path, None, None, body, self.terms.total_s)
        if answer.shape != "ok":
            raise self._error("the login", kind, answer)
        return result

    async def _looked_up(self) -> tuple[str, str]:
        """Base of the interactive API and the unique key: fixed, or as the host lookup says."""
        if not self.settings.hostlookup:
            return f"{self.settings.root}/interactive", ""
        url = self.settings.hostlookup
        if not url.lower().endswith("hostlookup"):
            url += "/hostlookup"
        password = self.settings.accesspassword.reveal()
        answer = Answer(shape="odd")
        for key in ("accesspassword", "AccessPassword"):
            body = {key: password, "version": self.terms.lookup_version}
            answer, result = await self._send("POST", url, None, None, body, self.terms.total_s)
            cells = {str(k).lower(): v for k, v in result.items()} if isinstance(result, dict) else {}
            where, unique = cells.get("connectionstring"), cells.get("uniquekey")
            if isinstance(where, str) and where.strip():
                return looked_up(where, self._allowed), unique if isinstance(unique, str) else ""
        if answer.shape == "ok":
            answer = Answer(status=answer.status, shape="odd", text="the host lookup names no connectionString")
        raise self._error("the host lookup", "login", answer)

    def _load(self) -> XtsSession | None:
        try:
            found = self._tokens.load("xts", self._app, self._wall())
        except BadData as error:
            raise BadData(str(error).replace("toolkit login xts", f"toolkit login {self.name}")) from None
        if found is None:
            return None
        try:
            kept = msgspec.json.decode(found.token.reveal(), type=_Stored)
        except msgspec.MsgspecError:
            return None
        return XtsSession(
            token=Secret(kept.token),
            user_id=kept.user_id,
            is_investor=kept.is_investor,
            client_codes=kept.client_codes,
            base=kept.base,
        )

    def _save(self, made: XtsSession) -> None:
        kept = _Stored(made.token.reveal(), made.user_id, made.is_investor, made.client_codes, made.base)
        now_ns = self._wall()
        text = Secret(msgspec.json.encode(kept).decode())
        account = made.user_id
        stored = StoredToken(token=text, account=account, day=token_day(now_ns), stored_ns=now_ns)
        self.kept_in = self._tokens.renew("xts", self._app, stored, self._in_keyring)

    async def _send(
        self,
        method: str,
        url: str,
        session: XtsSession | None,
        params: Mapping[str, object] | None,
        json: object,
        seconds: float,
    ) -> tuple[Answer, Any]:
        """Send one request; an answer for everything that can come of it."""
        if self.closed:  # meanwhile: no client is made anew
            return Answer(shape="no_link", text="this connection is closed"), None
        headers = {"Accept": "application/json"}
        if session is not None:
            headers["Authorization"] = session.token.reveal()
        content = None
        if json is not None:
            headers["Content-Type"] = "application/json"
            content = msgspec.json.encode(json)
        most = _MOST_MASTER if url.endswith("/master") else _MOST_BYTES
        query = {key: str(value) for key, value in (params or {}).items()}
        loop = asyncio.get_running_loop()
        self._busy[loop] = self._busy.get(loop, 0) + 1
        try:
            async with asyncio.timeout(seconds):
                client = self._http()
                request = client.build_request(method, url, params=query or None, headers=headers, content=content)
                response = await client.send(request, stream=True)
                try:
                    self._stamped(response.headers.get("Date"))
                    body = await _body(response, most)
                finally:
                    with contextlib.suppress(httpx.HTTPError):
                        await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, UnicodeError) as error:
            return _failure(error), None
        finally:
            self._busy[loop] -= 1
            if not self._busy[loop]:
                del self._busy[loop]
        read = functools.partial(shape_of, response.status_code, response.headers.get("Content-Type"), body)
        answer, result = await asyncio.to_thread(read) if body is not None and len(body) > _MANY else read()
        wait = None if answer.shape == "ok" else _retry_after(response.headers)
        return msgspec.structs.replace(answer, text=self._hidden(answer.text, session), retry_after_s=wait), result

    def _stamped(self, header: str | None) -> None:
        self.venue.observe(header)
        stamp = date_ns(header)
        if stamp is not None:
            self.skew_s = (self._wall() - stamp) / 1e9 - 0.5

    def _hidden(self, text: str, session: XtsSession | None) -> str:
        """The broker's words without what is ours."""
        known = [self._keys[0], self._keys[1].reveal(), self.settings.accesspassword.reveal()]
        known += [] if session is None else [session.token.reveal()]
        for secret in known:
            if len(secret) > 3:
                text = text.replace(secret, "***")
        return text

    def _http(self) -> httpx.AsyncClient:
        """The client of this loop: HTTP/1.1, nothing from the environment, TLS verified, no redirects."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            patience = httpx.Timeout(self.terms.read_s, connect=self.terms.connect_s)
            verify: ssl.SSLContext | bool = True
            if self.terms.ca_file:
                verify = ssl.create_default_context(cafile=self.terms.ca_file)
            client = httpx.AsyncClient(
                verify=verify,
                http2=False,
                trust_env=False,
                transport=self._transport,
                follow_redirects=False,
                timeout=patience,
                limits=httpx.Limits(max_connections=16, keepalive_expiry=_KEEP_ALIVE_S),
                headers={"User-Agent": "toolkit", "Accept-Encoding": "identity"},
            )
            kept = {at: made for at, made in self._clients.items() if not at.is_closed()}
            self._clients = {**kept, loop: client}
        return client


async def _body(response: httpx.Response, most: int) -> bytes | None:
    """The body; None when it is larger than allowed or damaged in its compression."""
    parts: list[bytes] = []
    size = 0
    try:
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > most:
                return None
            parts.append(chunk)
    except httpx.DecodingError:
        return None
    return b"".join(parts)


def _failure(error: Exception) -> Answer:
    """What a failed request proves: only a connection that never stood proves that nothing was sent."""
    if isinstance(error, httpx.ConnectError):
        if "CERTIFICATE" in str(error).upper():
            return Answer(shape="no_link", text="the server's TLS certificate is not accepted")
        return Answer(shape="no_link", text="nothing listens there, or TLS failed")
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return Answer(shape="no_link", text="no connection in time")
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol | httpx.InvalidURL | UnicodeError):
        return Answer(shape="no_link", text="the request could not be formed; check root and token")
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return Answer(shape="cut", text="no answer in time")
    return Answer(shape="cut", text="the connection broke")


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds of a ``Retry-After``: a number, or a date against the answer's own."""
    told = (headers.get("Retry-After") or "").strip()
    if told.isascii() and told.isdigit():
        return min(float(told[:9]), 86_400.0)
    until, now = date_ns(told or None), date_ns(headers.get("Date"))
    return None if until is None or now is None else min(max(0.0, (until - now) / 1e9), 86_400.0)
