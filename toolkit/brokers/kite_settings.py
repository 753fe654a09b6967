"""The settings section ``[kite]`` and what a root address may be.

TLS is the default and its verification cannot be switched off; plain HTTP goes to loopback, or
to a host that ``[risk] allow_plain_http`` names, which is shown at every start.
"""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from toolkit.config import Secret, Settings
from toolkit.errors import BadSetting
from toolkit.risk.settings import RiskSettings

__all__ = [
    "ROOT",
    "WS_ROOT",
    "KiteSettings",
    "PlainHttp",
    "check_root",
    "is_loopback",
    "kite_settings",
    "plain_hosts",
    "warn_plain",
]

ROOT: Final = "https://api.kite.trade"
WS_ROOT: Final = "wss://ws.kite.trade"
_PLAIN: Final = {"http": "https", "ws": "wss"}


class PlainHttp(UserWarning):
    """Orders and tokens go over an open line to a host that the settings name."""


class KiteSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one Kite account.

    Parameters
    ----------
    api_key, api_secret, access_token
        From the broker's developer page; ``access_token`` is usually left out and taken from ``toolkit login kite``.
    root, ws_root : str
        REST address as scheme://host:port, ticker address (a path is kept).
    login_root : str
        Where a person logs in.
    user_id : str
        The account; learned at the first call when left out.
    route_prefix : str
        Put before every route but the instrument dumps (the broker's sandbox wants ``/oms``).
    ticker_user : bool
        Whether the ticker address also carries ``user_id`` (sandbox).
    limit_only : bool
        Whether only LIMIT orders are taken (sandbox): MARKET goes as a limit at its protection price.
    market_protection : float
        Percent for MARKET and SL-M, -1 lets the broker choose; 0 is refused.
    orders_per_s, orders_per_min, orders_per_day, quotes_per_s, candles_per_s, others_per_s : int
        The broker's limits.
    connect_s, read_s, total_s : float
        Longest wait for the connection, for the next bytes, and for a whole call with its retries (at most 10).
    poll_s : float
        How often the order book is read for :meth:`updates`.
    ca_file, proxy : str
        An own certificate authority; a proxy. Nothing is taken from the environment.
    """

    api_key: str = ""
    api_secret: Secret = Secret("")
    access_token: Secret = Secret("")
    root: str = ROOT
    ws_root: str = WS_ROOT
    login_root: str = "https://kite.zerodha.com"
    user_id: str = ""
    route_prefix: str = ""
    ticker_user: bool = False
    limit_only: bool = False
    market_protection: float = -1.0
    orders_per_s: int = 10
    orders_per_min: int = 400
    orders_per_day: int = 5000
    quotes_per_s: int = 1
    candles_per_s: int = 3
    others_per_s: int = 10
    connect_s: float = 3.0
    read_s: float = 7.0
    total_s: float = 9.5
    poll_s: float = 1.0
    ca_file: str = ""
    proxy: str = ""

    def __repr__(self) -> str:
        return f"KiteSettings({self.root}, {self.ws_root})"

    @property
    def loopback(self) -> bool:
        """Whether the broker is on this machine: a simulated one."""
        return is_loopback(urlsplit(self.root).hostname or "")


def kite_settings(settings: Settings | None = None, **options: object) -> KiteSettings:
    """Read ``[kite]``, with ``options`` on top, and check its addresses.

    Raises
    ------
    BadSetting
        For an unknown or ill-typed setting, or an address that is not allowed.
    """
    tree = Settings.load() if settings is None else settings
    plain = {k: v.reveal() if isinstance(v, Secret) else v for k, v in options.items()}
    found = tree.with_options({"kite": plain}).section("kite", KiteSettings)
    allowed = tree.section("risk", RiskSettings).allow_plain_http
    root = check_root("root", found.root, allowed, path=False)
    ws_root = check_root("ws_root", found.ws_root, allowed, schemes=("ws", "wss"))
    if not 0 < found.total_s <= 10:
        raise BadSetting(f"[kite] total_s must be above 0 and at most 10 seconds, was {found.total_s}")
    if found.connect_s <= 0 or found.read_s <= 0:
        raise BadSetting("[kite] connect_s and read_s must be above 0 seconds")
    if found.market_protection != -1 and not 0 < found.market_protection <= 100:
        raise BadSetting(f"[kite] market_protection must be -1 or above 0 to 100, was {found.market_protection}")
    warn_plain(root, ws_root)
    return msgspec.structs.replace(found, root=root, ws_root=ws_root)


def check_root(
    name: str,
    root: str,
    allow_plain_http: Iterable[str] = (),
    *,
    schemes: tuple[str, str] = ("http", "https"),
    path: bool = True,
    section: str = "kite",
) -> str:
    """Check a broker's address and give it without its last slash.

    >>> check_root("root", "http://127.0.0.1:8801/")
    'http://127.0.0.1:8801'

    Raises
    ------
    BadSetting
        When it is no address, carries credentials, a query or (unless ``path``) a path, or is plain HTTP to a
        host that is neither loopback nor named in ``allow_plain_http``.
    """
    try:
        parts = urlsplit(root.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise BadSetting(f"[{section}] {name} is not an address; give scheme://host:port") from None
    if parts.scheme not in schemes or not host:
        raise BadSetting(f"[{section}] {name} must be {schemes[1]}://host:port, was {_shown(root)!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadSetting(f"[{section}] {name} must carry no credentials, query or fragment, was {_shown(root)!r}")
    if not path and parts.path.strip("/"):
        raise BadSetting(f"[{section}] {name} takes no path (use route_prefix), was {_shown(root)!r}")
    if parts.scheme in _PLAIN and not is_loopback(host) and host not in set(allow_plain_http):
        raise BadSetting(
            f"[{section}] {name}: plain {parts.scheme} to {host} is not allowed; use {_PLAIN[parts.scheme]}, "
            f"or name the host in [risk] allow_plain_http"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def plain_hosts(*addresses: str) -> tuple[str, ...]:
    """Hosts outside this machine that would be spoken to without TLS.

    >>> plain_hosts("http://a.test/x", "https://b.test", "http://127.0.0.1:1", "", "ws://a.test")
    ('a.test',)
    """
    parts = [urlsplit(address) for address in addresses if address]
    hosts = [p.hostname or "" for p in parts if p.scheme in _PLAIN and not is_loopback(p.hostname or "")]
    return tuple(dict.fromkeys(hosts))


def warn_plain(*addresses: str) -> None:
    """Warn of every host that is spoken to without TLS."""
    for host in plain_hosts(*addresses):
        warnings.warn(f"no TLS to {host}: [risk] allow_plain_http names it", PlainHttp, stacklevel=3)


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine: ``localhost`` or a loopback address, nothing that only resolves to it."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(root: str) -> str:
    """An address without what may be a secret in it."""
    return root.split("@")[-1].split("?")[0][:60]
