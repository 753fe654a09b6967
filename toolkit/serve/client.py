"""A running engine as its clients see it: the station's methods over HTTP, events over the stream."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from toolkit.errors import BadData, Refused, Retryable, ToolkitError, Unknown
from toolkit.serve.alerts import is_loopback
from toolkit.serve.codes import CLIENT, error_of

__all__ = ["Client", "encoded", "token_at"]

_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
_PATIENT: Final = httpx.Timeout(600.0, connect=5.0)
_LONG: Final = frozenset({"/v1/cancel_all", "/v1/flatten", "/v1/halt"})
"""Acts that answer when they are done: many cancels at the exchange's pace, children that rest before a chase."""
_MOST: Final = 64 * 1024 * 1024
_READ_TRIES: Final = 3


def token_at(path: Path | str) -> str:
    """The token in a file.

    Raises
    ------
    BadData
        When it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"token file {path} cannot be read: {type(error).__name__}; is the engine yours?") from None


def encoded(body: object) -> bytes:
    """A body as JSON; a number that is none goes as its text (NaN, Infinity), so that it is refused and not lost.

    Raises
    ------
    BadData
        For a value that JSON cannot carry.
    """
    try:
        return msgspec.json.encode(_said(body))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadData(f"a value cannot be sent: {' '.join(str(error).split())[:120]}") from None


def _said(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(Decimal(value))
    if isinstance(value, Mapping):
        return {key: _said(one) for key, one in value.items()}
    return [_said(one) for one in value] if isinstance(value, list | tuple) else value


class Client:
    """One engine's API.

    Parameters
    ----------
    url : str
        ``http://127.0.0.1:PORT``; any other machine needs https.
    token : str
        Bearer token; it is never shown.
    token_file : Path, optional
        Where to read the token anew when it has expired.
    via : str
        Who asks: ``cli python notebook dashboard``.
    """

    def __init__(self, url: str, token: str, token_file: Path | None = None, via: str = "python") -> None:
        if not (url.startswith("https://") or (url.startswith("http://") and is_loopback(url))):
            raise BadData(f"an engine's address is http on this machine or https elsewhere, was {url!r}")
        self.url = url.rstrip("/")
        self._token = token
        self._token_file = token_file
        self._http = httpx.AsyncClient(
            base_url=self.url,
            timeout=_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": f"{CLIENT}{via}"},
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str, **query: object) -> Any:
        """Read; tried again where that is safe."""
        for attempt in range(_READ_TRIES):
            try:
                return await self._call("GET", path, query=query)
            except Retryable:
                if attempt == _READ_TRIES - 1:
                    raise
        raise AssertionError("not reached")

    async def send(self, method: str, path: str, body: object | None = None) -> Any:
        """Change something: sent once."""
        return await self._call(method, path, body=body if body is not None else {})

    async def events(self, after: int | None, account: str | None) -> AsyncIterator[dict[str, Any]]:
        """Events of the journal after a number, then those to come."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed

        address = self.url.replace("http", "ws", 1) + "/v1/stream"
        wanted = {account: after} if account is not None and after is not None else after
        first = {"token": self._token, "topics": ["orders"], **({} if after is None else {"after": wanted})}
        async with connect(address, proxy=None, max_size=_MOST) as socket:
            await socket.send(msgspec.json.encode(first).decode())
            try:
                async for text in socket:
                    message = msgspec.json.decode(text)
                    if message.get("topic") == "orders" and account in (None, message.get("account")):
                        yield message["data"]["event"]
            except ConnectionClosed as error:
                reason = error.rcvd.reason if error.rcvd is not None else "the connection was cut"
                raise Retryable(f"the stream of {self.url} ended: {reason}; ask again after the last number") from None

    async def _call(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None, body: object | None = None
    ) -> Any:
        asked = {name: str(value) for name, value in (query or {}).items() if value is not None}
        response = await self._once(method, path, asked, body)
        if response.status_code == 401 and self._fresh_token():
            response = await self._once(method, path, asked, body)  # refused before it meant anything: safe
        try:
            found = msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            raise self._silent(method, path, f"an answer of status {response.status_code} that is not JSON") from None
        if response.is_success:
            return found
        raise error_of(found["error"] if isinstance(found, dict) and isinstance(found.get("error"), dict) else {})

    async def _once(self, method: str, path: str, query: Mapping[str, str], body: object | None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._token}"}
        content = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = encoded(body)
        try:
            waits = _PATIENT if path in _LONG else _TIMEOUT
            return await self._http.request(method, path, params=query, content=content, headers=headers, timeout=waits)
        except httpx.ConnectError:
            text = f"no engine answers at {self.url}; start it: toolkit serve"
            raise (Retryable(text) if method == "GET" else Refused(text)) from None
        except httpx.HTTPError as error:
            raise self._silent(method, path, type(error).__name__) from None

    def _silent(self, method: str, path: str, what: str) -> ToolkitError:
        if method == "GET":
            return Retryable(f"{self.url}{path} gave {what}; ask again")
        return Unknown(
            f"{method} {path} gave {what}: it may have been done; look before you repeat it with the same id"
        )

    def _fresh_token(self) -> bool:
        """Read the token anew; False when it is the same."""
        if self._token_file is None:
            return False
        with contextlib.suppress(BadData):
            found = token_at(self._token_file)
            if found != self._token:
                self._token = found
                return True
        return False
