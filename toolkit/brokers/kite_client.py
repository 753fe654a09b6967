"""The official client with another transport: the same calls and forms, our rules for what comes back.

``kiteconnect`` builds the requests. Its own transport follows redirects, trusts the
environment's proxies, reads without end and loses what an error was; so the one method through which
it sends (``_request``) is replaced by :meth:`Wire.request`. Imported on first use, in a worker
thread: ``import kiteconnect`` starts Twisted.
"""

from __future__ import annotations

import email.utils
import http.client
import http.cookiejar
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from toolkit.brokers.clock import date_ns
from toolkit.brokers.errors_map import Answer
from toolkit.brokers.kite_settings import KiteSettings
from toolkit.errors import BadData

if TYPE_CHECKING:
    import requests

__all__ = ["Wire", "WireError", "make_client", "shape_of"]

_MOST_BYTES: Final = 8 << 20
_MOST_DUMP: Final = 64 << 20
_CHUNK: Final = 1 << 16
_DUMPS: Final = ("market.instruments.all", "market.instruments")
_UNPREFIXED: Final = (*_DUMPS, "api.token", "api.token.invalidate", "api.token.renew")


class WireError(Exception):
    """An answer that is no success, as the table of :mod:`~toolkit.brokers.errors_map` knows it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.shape)
        self.answer = answer


def make_client(settings: KiteSettings, token: str, on_date: Callable[[str | None], None]) -> tuple[Any, Wire]:
    """Make the official client on our transport.

    Raises
    ------
    BadData
        When ``kiteconnect`` is not installed.
    """
    try:
        from kiteconnect import KiteConnect
    except ImportError as error:
        raise BadData(f"{error.name} is not installed; add it with: pip install 'trading-toolkit[kite]'") from None
    client = KiteConnect(api_key=settings.api_key, access_token=token, root=settings.root)
    client.reqsession.close()
    wire = Wire(client, settings, on_date)
    client.reqsession = wire.session
    client._request = wire.request
    return client, wire


class Wire:
    """The transport: no redirects, no environment, bounded time and size, TLS always verified.

    Parameters
    ----------
    client : KiteConnect
        Its routes, headers and token are used.
    settings : KiteSettings
    on_date : callable
        Gets the ``Date`` of every answer.
    """

    def __init__(self, client: Any, settings: KiteSettings, on_date: Callable[[str | None], None]) -> None:
        self._client = client
        self._settings = settings
        self._on_date = on_date
        self.session = _session(settings)

    def request(
        self,
        route: str,
        method: str,
        url_args: Mapping[str, object] | None = None,
        params: Any = None,
        is_json: bool = False,
        query_params: Mapping[str, object] | None = None,
    ) -> Any:
        """Send one request and give the ``data`` of its answer, or the bytes of an instrument dump.

        Raises
        ------
        WireError
            For everything else.
        """
        deadline = time.monotonic() + self._settings.total_s
        body_in = {"json" if is_json else "data": params} if method in ("POST", "PUT") else {}
        response = self._send(
            method,
            self._url(route, url_args),
            params=params if method in ("GET", "DELETE") else query_params,
            headers=self._headers(),
            **body_in,
        )
        try:
            self._on_date(response.headers.get("Date"))
            body = self._read(response, _MOST_DUMP if route in _DUMPS else _MOST_BYTES, deadline)
        finally:
            response.close()
        answer, data = shape_of(response.status_code, response.headers.get("Content-Type"), body, dump=route in _DUMPS)
        if answer.shape == "ok":
            return data
        wait = _retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))
        raise WireError(msgspec.structs.replace(answer, retry_after_s=wait, text=self._clean(answer.text)))

    def _url(self, route: str, url_args: Mapping[str, object] | None) -> str:
        given = {key: quote(str(value), safe="") for key, value in (url_args or {}).items()}
        prefix = "" if route in _UNPREFIXED else self._settings.route_prefix
        return self._settings.root + prefix + str(self._client._routes[route]).format(**given)

    def _headers(self) -> dict[str, str]:
        client = self._client
        headers = {"X-Kite-Version": client.kite_header_version, "User-Agent": client._user_agent()}
        if client.api_key and client.access_token:
            headers["Authorization"] = f"token {client.api_key}:{client.access_token}"
        return headers

    def _send(self, method: str, url: str, **parts: Any) -> requests.Response:
        import requests

        timeout = (self._settings.connect_s, self._settings.read_s)
        try:
            return self.session.request(method, url, stream=True, allow_redirects=False, timeout=timeout, **parts)
        except requests.RequestException as error:
            raise WireError(_failure(error)) from None
        except (UnicodeError, ValueError):
            text = "the request holds a character that a header or form cannot carry"
            raise WireError(Answer(shape="no_link", text=text)) from None

    def _read(self, response: requests.Response, most: int, deadline: float) -> bytes | None:
        """The body; None when it is larger than allowed or damaged in its compression."""
        from urllib3.exceptions import DecodeError, HTTPError

        parts: list[bytes] = []
        size = 0
        try:
            # read1 gives what has come: read and iter_content wait for a whole chunk, however slowly it trickles in.
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                size += len(chunk)
                if size > most:
                    return None
                if time.monotonic() > deadline:
                    raise WireError(Answer(status=response.status_code, shape="cut", text="the answer took too long"))
                parts.append(chunk)
        except DecodeError:
            return None
        except (HTTPError, OSError, http.client.HTTPException):
            raise WireError(Answer(status=response.status_code, shape="cut", text="the answer broke off")) from None
        return b"".join(parts)

    def _clean(self, text: str) -> str:
        """The broker's words as one short line, without what is ours."""
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]
        for secret in (self._client.access_token, self._client.api_key, self._settings.api_secret.reveal()):
            if secret and len(secret) > 3:
                line = line.replace(secret, "***")
        return line


def shape_of(status: int, content_type: str | None, body: bytes | None, *, dump: bool = False) -> tuple[Answer, Any]:
    """Tell what an answer looks like, and give its data when it is in order.

    Total: any status, header and bytes give an :class:`~toolkit.brokers.errors_map.Answer`.
    """
    if 300 <= status < 400:
        return Answer(status=status, shape="redirect"), None
    kind = (content_type or "").lower()
    if body is None:
        return Answer(status=status, shape="broken", text="the answer is larger than allowed"), None
    if dump and "csv" in kind and 200 <= status < 300 and body:
        return Answer(status=status, shape="ok"), body
    if "json" not in kind:
        text = "an answer without a content type" if not kind else f"an answer of type {kind.split(';')[0][:40]}"
        return Answer(status=status, shape="broken", text=text), None
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Answer(status=status, shape="broken", text="an answer that is not JSON"), None
    if not isinstance(found, dict):
        return Answer(status=status, shape="odd"), None
    return _envelope(status, found, dump)


def _envelope(status: int, found: dict[str, Any], dump: bool) -> tuple[Answer, Any]:
    told, error_type = found.get("message"), found.get("error_type")
    text = told if isinstance(told, str) else ""
    if found.get("status") == "error" or error_type:
        if isinstance(error_type, str) and error_type:
            return Answer(status=status, shape="typed", error_type=error_type[:60], text=text), None
        return Answer(status=status, shape="untyped", text=text), None
    good = found.get("status", "success") == "success" and "data" in found
    if not good or dump or not 200 <= status < 300:
        return Answer(status=status, shape="odd", text=text), None
    return Answer(status=status, shape="ok"), found["data"]


def _session(settings: KiteSettings) -> requests.Session:
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.trust_env = False  # no proxy, no .netrc password, no other certificates from the environment
    session.verify = settings.ca_file or True
    if settings.proxy:
        session.proxies = {"http": settings.proxy, "https": settings.proxy}
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=2, pool_maxsize=8, max_retries=0))
    return session


def _failure(error: Exception) -> Answer:
    """What a failed request proves: only a connection that never stood proves that nothing was sent."""
    import requests
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(error) or "match" in str(error):
            return Answer(shape="no_link", text="the server's TLS certificate is not accepted")
        return Answer(shape="cut", text="TLS failed")
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError):
        return Answer(shape="no_link", text="no connection in time")
    if isinstance(error, requests.exceptions.InvalidHeader | requests.exceptions.InvalidURL):
        return Answer(shape="no_link", text="the request could not be formed; check api_key and token")
    inner = error.args[0] if error.args else None
    if isinstance(getattr(inner, "reason", None), NewConnectionError):
        return Answer(shape="no_link", text="nothing listens there")
    return Answer(shape="cut", text="no answer in time" if isinstance(error, requests.Timeout) else "")


def _retry_after(header: str | None, date: str | None) -> float | None:
    """Seconds of a ``Retry-After``: a number, or a date against the answer's own."""
    if not header:
        return None
    if header.strip().isdigit():
        return min(float(header), 86_400.0)
    until, now = date_ns(header), date_ns(date) or date_ns(email.utils.formatdate(usegmt=True))
    if until is None or now is None:
        return None
    return min(max(0.0, (until - now) / 1e9), 86_400.0)
