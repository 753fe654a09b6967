"""Whether an XTS account is ready: token, role, clients, data, clock; in words a person can act on."""

from __future__ import annotations

import contextlib
from typing import Any, Final, cast

from toolkit.brokers.kite_settings import plain_hosts
from toolkit.brokers.port import Broker
from toolkit.brokers.xts import XtsBroker
from toolkit.brokers.xts_clients import role_doubt
from toolkit.brokers.xts_settings import LEFT_OUT, id_mode
from toolkit.errors import AuthExpired, Refused, ToolkitError
from toolkit.market.xts_text import SEGMENTS

__all__ = ["health"]

_SKEW_S: Final = 30.0
_INDEX: Final = "NIFTY 50_26000"
_MARKET_AS: Final = {
    "native": "MARKET goes as it is: accounts under the algo rules may be refused",
    "limit_ioc": "MARKET goes as an IOC limit at its protection price",
    "limit_protect": "MARKET goes as a limit at its protection price",
}


async def health(broker: Broker) -> list[dict[str, Any]]:
    """Ask the broker; one row a question: ``what``, ``ready``, ``needed``, ``text``."""
    xts = cast(XtsBroker, broker)
    settings = xts.settings
    say = _Rows(xts.name)
    where = settings.root or settings.hostlookup
    say("address", True, where + (" (this machine: simulated)" if settings.loopback else ""))
    plain = plain_hosts(settings.root, settings.md_root, settings.hostlookup)
    if plain:
        say(
            "plain http", True, f"keys and orders to {', '.join(plain)} go without TLS, as [risk] allow_plain_http says"
        )
    try:
        live = await _account(xts, say)
        data = await _data(xts, say)
        live = _clock(xts, say) and live
    except AuthExpired as error:
        say("token", False, str(error))
        return say.rows
    except ToolkitError as error:
        say("reachable", False, str(error))
        return say.rows
    finally:
        with contextlib.suppress(ToolkitError):
            await xts.close()
    words = ["yes" if ok else "NO" for ok in (data, live)]
    say("ready", data and live, f"read yes, paper on its feed {words[0]}, live {words[1]}")
    return say.rows


class _Rows:
    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[dict[str, Any]] = []

    def __call__(self, what: str, ready: bool, text: str, needed: bool = True) -> None:
        self.rows.append({"what": f"{self.name}: {what}", "ready": ready, "needed": needed, "text": text})


async def _account(xts: XtsBroker, say: _Rows) -> bool:
    """Token, role, clients and order types; whether orders can go out."""
    settings, session = xts.settings, await xts.link.session()
    if settings.hostlookup:
        say("host lookup", True, f"{settings.hostlookup} leads to {session.base}")
    try:
        await xts.profile_row()  # a call that needs the token
    except AuthExpired:
        raise
    except Refused:
        pass  # some installs tell a dealer nothing of a client
    session = await xts.link.session()
    say("token", True, f"good; login {session.user_id}")
    doubt = role_doubt(settings, session)
    told = {True: "own account", False: "dealer", None: "the install does not say"}[session.is_investor]
    say("role", not doubt, doubt or f"{settings.role} (the key: {told}), clientID by {id_mode(settings)}")
    if xts.dealer and not _clients(xts, session.client_codes, say):
        return False
    profile = await xts.profile()
    say("account", True, profile.account)
    segments = ", ".join(profile.exchanges) or "no segment is enabled"
    say("segments", bool(profile.exchanges), segments)
    source = settings.api_order_source
    tag = "left out" if source == LEFT_OUT else f"'{source}'"
    say("order types", True, f"LIMIT, STOP_LIMIT, STOP, MARKET; {_MARKET_AS[settings.market_as]}; apiOrderSource {tag}")
    address = "loopback" if settings.loopback else "orders may be taken only from the address registered at the broker"
    say("public address", True, address, needed=False)
    return not doubt and bool(profile.exchanges)


def _clients(xts: XtsBroker, codes: tuple[str, ...], say: _Rows) -> bool:
    client = xts.client
    known = f"{len(codes)} mapped: {', '.join(codes[:8])}{', ...' if len(codes) > 8 else ''}" if codes else "none named"
    if client and codes and client not in codes and id_mode(xts.settings) != "masked":
        say("clients", False, f"[xts] client_id {client} is not mapped to this login; {known}")
        return False
    say("clients", True, known + (f"; default {client}" if client else "; an order must name one (--account)"))
    return True


async def _data(xts: XtsBroker, say: _Rows) -> bool:
    """Market data has keys and a token of its own."""
    settings = xts.settings
    try:
        await xts.market.login()
        listed = await xts.market.indices("NSECM")
        place = next((name for name in listed if name.upper().startswith("NIFTY 50_")), _INDEX)
        found = await xts.market.quotes([(SEGMENTS["NSECM"], int(place.rpartition("_")[2]))], 1501)
    except AuthExpired as error:
        say("market data", False, f"{error} (its own keys: [xts] md_app_key and md_secret_key)")
        return False
    except ToolkitError as error:
        say("market data", False, f"{error}; check [xts] md_root and md_prefix ({settings.md_prefix})")
        return False
    price = next((tick.touch.ltp for tick in found.values()), None)
    text = f"quotes come (NIFTY 50 {price})" if price is not None else "quotes are allowed, none came"
    say("market data", True, f"{settings.md_prefix}: {text}")
    return True


def _clock(xts: XtsBroker, say: _Rows) -> bool:
    skew = xts.clock_skew_s
    steady = skew is None or abs(skew) <= _SKEW_S
    say("clock", steady, "follows the broker" if skew is None else f"{skew:+.1f} s off the broker")
    return steady
