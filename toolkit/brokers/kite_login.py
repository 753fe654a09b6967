"""The daily login: where a person goes, what comes back, and the token that it gives."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from toolkit.brokers.kite_link import KiteLink
from toolkit.brokers.kite_records import SessionRow, read
from toolkit.brokers.kite_settings import KiteSettings
from toolkit.brokers.tokens import StoredToken, TokenStore, token_day
from toolkit.config import Secret
from toolkit.errors import BadData, Refused

__all__ = ["exchange", "login_url", "receive", "request_token_of"]

_HEAD_BYTES: Final = 8192
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{2,128}")
_PAGE: Final = "<html><title>Logged in</title><p>{}</p></html>"


def login_url(settings: KiteSettings, state: str = "") -> str:
    """Where the person logs in; ``state`` comes back with the redirect, and proves that it answers this login."""
    root = settings.root if settings.loopback else settings.login_root
    url = f"{root}/connect/login?api_key={quote(settings.api_key, safe='')}&v=3"
    return url + (f"&redirect_params={quote(urlencode({'state': state}), safe='')}" if state else "")


def request_token_of(text: str, state: str = "") -> str:
    """The request token in what a person pasted: itself, or the whole address that the browser ended on.

    Raises
    ------
    BadData
        When there is none, the login failed, or it answers another login.
    """
    given = text.strip()
    if "request_token=" in given:
        query = parse_qs(urlsplit(given).query or given)
        if query.get("status", ["success"])[0] != "success":
            raise BadData("the broker says that the login did not succeed; try again")
        if state and query.get("state", [state])[0] != state:
            raise BadData("this redirect answers another login; open the address printed here")
        given = query["request_token"][0]
    if not _TOKEN.fullmatch(given):
        raise BadData("that holds no request token; paste the token, or the address that the browser ended on")
    return given


async def exchange(
    settings: KiteSettings, request_token: str, now_ns: int, store: TokenStore | None = None
) -> tuple[StoredToken, str]:
    """Exchange a request token for the day's access token and keep it; gives it and where it is kept.

    Raises
    ------
    BadData
        When key or secret are not set.
    Refused, AuthExpired
        When the broker refuses: the token was used, is minutes old, or the secret is wrong.
    """
    secret = settings.api_secret.reveal()
    if not settings.api_key or not secret:
        raise BadData("set [kite] api_key and api_secret first (or TOOLKIT_KITE__API_KEY and TOOLKIT_KITE__API_SECRET)")
    proof = hashlib.sha256(f"{settings.api_key}{request_token}{secret}".encode()).hexdigest()
    form = {"api_key": settings.api_key, "request_token": request_token, "checksum": proof}
    link = KiteLink(settings)

    def ask(client: Any) -> tuple[str, SessionRow]:
        client.access_token = None
        found = client._post("api.token", params=form)
        token = found.get("access_token") if isinstance(found, dict) else None
        if not isinstance(token, str) or not token:
            raise BadData("the login answered without a token")
        return token, read(found, SessionRow)

    try:
        token, row = await link.call("login", ask, "the login")
    finally:
        link.close()
    if settings.user_id and row.user_id != settings.user_id:
        raise Refused(f"another account than {settings.user_id} logged in; log out in the browser and try again")
    made = StoredToken(token=Secret(token), account=row.user_id or "", day=token_day(now_ns), stored_ns=now_ns)
    where = (store or TokenStore()).save("kite", settings.api_key, made)
    return made, where


async def receive(port: int, state: str, wait_s: float, ready: Callable[[int], None]) -> str:
    """Wait for the browser's redirect on ``http://127.0.0.1:port/``, once; gives the request token.

    Parameters
    ----------
    port : int
        As registered at the broker; 0 takes a free one.
    state : str
        Only a redirect that carries it counts.
    wait_s : float
        Longest wait.
    ready : callable
        Called with the port when it listens.

    Raises
    ------
    BadData
        When nothing came in time.
    """
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            text, code = _judge(head, state)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            writer.close()
            return
        told = "You may close this page and go back." if code == 200 else text
        body = _PAGE.format(told).encode()
        writer.write(
            f"HTTP/1.1 {code} {'OK' if code == 200 else 'Bad Request'}\r\nContent-Type: text/html; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()
        if code == 200 and not found.done():
            found.set_result(text)

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=_HEAD_BYTES)
    try:
        ready(server.sockets[0].getsockname()[1])
        return await asyncio.wait_for(found, wait_s)
    except TimeoutError:
        raise BadData(f"no login came within {wait_s:.0f} s; run the command again") from None
    finally:
        server.close()


def _judge(head: bytes, state: str) -> tuple[str, int]:
    """The token of a redirect and 200, or why not and 400."""
    first = head.split(b"\r\n", 1)[0].decode("ascii", "replace").split(" ")
    if len(first) != 3 or first[0] != "GET":
        return "Only the broker's redirect is taken here.", 400
    query = parse_qs(urlsplit(first[1]).query)
    if query.get("state") != [state] or query.get("status") != ["success"]:
        return "This is not the redirect of the login that waits.", 400
    token = query.get("request_token", [""])[0]
    return (token, 200) if _TOKEN.fullmatch(token) else ("The redirect holds no token.", 400)
