"""The settings section ``[xts]``, and the limits and patience of a connection.

Every broker runs its own XTS: roots, prefixes and habits are settings. TLS is always verified; plain HTTP
goes to loopback, or to a host that ``[risk] allow_plain_http`` names.
"""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from toolkit.brokers.kite_settings import check_root, is_loopback, warn_plain
from toolkit.config import Secret, Settings
from toolkit.errors import BadSetting
from toolkit.risk.settings import RiskSettings

__all__ = ["LEFT_OUT", "MASK", "XtsSettings", "XtsTerms", "id_mode", "looked_up", "xts_settings"]

MASK: Final = "*****"
"""What some dealer installs want in the place of a client's code."""

LEFT_OUT: Final = "-"
"""An order source of this text leaves the key out of the order."""

IdMode = Literal["", "omit", "user_id", "client_code", "masked"]


class XtsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one XTS account.

    Parameters
    ----------
    root, md_root : str
        Addresses of the two APIs as scheme://host:port; market data is at ``root`` when left out.
    md_prefix : str
        ``apimarketdata``, or ``apibinarymarketdata`` or ``marketdata`` where the install has that.
    app_key, secret_key, md_app_key, md_secret_key
        The two key pairs.
    source : str
        Sent at login.
    client_id : str
        A dealer's default client; for an own account its code, where the install wants one.
    client_id_mode : str
        What goes out as ``clientID``: ``omit``, ``user_id``, ``client_code`` or ``masked``; left out, ``omit`` for
        ``pro`` and ``client_code`` for ``client``.
    api_order_source : str
        ``apiOrderSource`` of new orders; ``-`` leaves the key out. An order may name its own.
    role : str
        ``pro`` (own account) or ``client`` (dealer).
    eio : str
        Engine.IO version of the sockets: ``auto`` tries 3, then 4.
    market_as : str
        How a MARKET order is sent: ``limit_protect`` (a DAY limit at its protection price), ``limit_ioc``,
        or ``native``.
    hostlookup : str
        Address of the host lookup, for installs that have one.
    accesspassword : Secret
        Its password.
    """

    root: str = ""
    md_root: str = ""
    md_prefix: str = "apimarketdata"
    app_key: Secret = Secret("")
    secret_key: Secret = Secret("")
    md_app_key: Secret = Secret("")
    md_secret_key: Secret = Secret("")
    source: str = "WEBAPI"
    client_id: str = ""
    client_id_mode: IdMode = ""
    api_order_source: str = "WEBAPI"
    role: Literal["pro", "client"] = "pro"
    eio: Literal["auto", "3", "4"] = "auto"
    market_as: Literal["native", "limit_ioc", "limit_protect"] = "limit_protect"
    hostlookup: str = ""
    accesspassword: Secret = Secret("")

    @property
    def loopback(self) -> bool:
        """Whether the broker is on this machine: a simulated one."""
        return is_loopback(urlsplit(self.root or self.hostlookup).hostname or "")


class XtsTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and patience: what is reported of installs; a broker may set others.

    Parameters
    ----------
    orders_per_s, books_per_s, quotes_per_s, subscribe_per_s, ohlc_per_s, others_per_s : int
        Calls a second by class; orders count place, modify and cancel together, of the books each counts alone.
    connect_s, read_s, total_s : float
        Longest wait for the connection, for the next bytes, and for a whole call with its retries (at most 10).
    backoff_s : float
        First pause before a read is repeated; doubled each time.
    login_every_s : float
        At most one login of a key pair in this time.
    relogin : bool
        Whether a dead token is replaced by logging in anew.
    drop_s : float
        How long a dealer's order may stay invisible before that is an error.
    poll_s : float
        How often the book is read for updates without a live order socket, and while a dealer's order is waited for.
    calm_s : float
        How often it is read although the socket is live.
    batch : int
        Instruments in one quote or subscribe call.
    md_format : str
        ``JSON`` or ``Binary`` for the market-data socket; left out, what the prefix says.
    md_mode : str
        ``Full`` events or ``Partial`` ones.
    lookup_version : str
        Sent to the host lookup.
    ca_file : str
        An own certificate authority; verification itself cannot be switched off.
    """

    orders_per_s: int = 10
    books_per_s: int = 1
    quotes_per_s: int = 10
    subscribe_per_s: int = 2
    ohlc_per_s: int = 1
    others_per_s: int = 5
    connect_s: float = 3.0
    read_s: float = 7.0
    total_s: float = 9.5
    backoff_s: float = 1.0
    login_every_s: float = 30.0
    relogin: bool = True
    drop_s: float = 4.0
    poll_s: float = 1.0
    calm_s: float = 5.0
    batch: int = 50
    md_format: Literal["", "JSON", "Binary"] = ""
    md_mode: Literal["Full", "Partial"] = "Full"
    lookup_version: str = "interactive_1.0.1"
    ca_file: str = ""


def xts_settings(settings: Settings | None = None, **options: object) -> XtsSettings:
    """Read ``[xts]``, with ``options`` on top, and check its addresses.

    Raises
    ------
    BadSetting
        For an unknown or ill-typed setting, or an address that is not allowed.
    """
    tree = Settings.load() if settings is None else settings
    plain = {k: v.reveal() if isinstance(v, Secret) else v for k, v in options.items()}
    found = tree.with_options({"xts": plain}).section("xts", XtsSettings)
    allowed = tree.section("risk", RiskSettings).allow_plain_http
    if not found.root and not found.hostlookup:
        raise BadSetting("[xts] root is not set; give the broker's XTS address as https://host:port")
    checked = {
        name: check_root(name, address, allowed, path=name == "hostlookup", section="xts")
        for name in ("root", "md_root", "hostlookup")
        if (address := str(getattr(found, name)))
    }
    prefix = found.md_prefix.strip("/")
    if not prefix or not all(part.isascii() and part.isalnum() for part in prefix.split("/")):
        raise BadSetting(f"[xts] md_prefix must be a path such as apimarketdata, was {found.md_prefix!r}")
    warn_plain(*checked.values())
    if not checked.get("md_root"):
        checked["md_root"] = checked.get("root", "")
    return msgspec.structs.replace(found, md_prefix=prefix, **checked)


def id_mode(settings: XtsSettings) -> str:
    """What goes out as ``clientID``: the setting, or the role's usual."""
    return settings.client_id_mode or ("omit" if settings.role == "pro" else "client_code")


def looked_up(address: str, allowed: tuple[str, ...] = ()) -> str:
    """The base of the interactive API from a host lookup's ``connectionString``.

    >>> looked_up(" `http://127.0.0.1:18100/1hostlookup` ")
    'http://127.0.0.1:18100/1interactive'

    Raises
    ------
    BadSetting
        When it is no address that may be spoken to.
    """
    text = address.replace("`", " ").strip().rstrip("/")
    if text.lower().endswith("hostlookup"):
        text = text[: -len("hostlookup")] + "interactive"
    found = check_root("connectionString", text, allowed, section="xts")
    warn_plain(found)
    return found
