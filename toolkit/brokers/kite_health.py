"""Whether a Kite account is ready for reading, for paper on its feed, and for live orders."""

from __future__ import annotations

from typing import Any, cast

from toolkit.brokers.kite import KiteBroker
from toolkit.brokers.kite_records import Ltp, UserRow, read
from toolkit.brokers.port import Broker
from toolkit.errors import AuthExpired, Refused, ToolkitError

__all__ = ["health"]

_SKEW_S = 30.0
_INDEX = "NSE:NIFTY 50"


async def health(broker: Broker) -> list[dict[str, Any]]:
    """Ask the broker; one row a question: ``what``, ``ready``, ``needed``, ``text``."""
    kite = cast(KiteBroker, broker)
    settings = kite.settings
    rows = [_row("kite: address", True, settings.root + (" (this machine: simulated)" if settings.loopback else ""))]
    if not settings.api_key:
        return [*rows, _row("kite: token", False, "set [kite] api_key and api_secret, then: toolkit login kite")]
    try:
        user = await kite.user()
        rows += _account(kite, user)
        data = await _data(kite)
    except AuthExpired as error:
        return [*rows, _row("kite: token", False, str(error))]
    except ToolkitError as error:
        return [*rows, _row("kite: reachable", False, str(error))]
    finally:
        await kite.close()
    rows.append(data)
    skew = kite.clock_skew_s
    steady = skew is None or abs(skew) <= _SKEW_S
    rows.append(_row("kite: clock", steady, "follows the broker" if skew is None else f"{skew:+.1f} s off the broker"))
    types = user.order_types or ()
    live = steady and "LIMIT" in types
    text = f"read yes, paper on its feed {'yes' if data['ready'] else 'NO'}, live {'yes' if live else 'NO'}"
    return [*rows, _row("kite: ready", bool(data["ready"]) and live, text)]


def _account(kite: KiteBroker, user: UserRow) -> list[dict[str, Any]]:
    types = ", ".join(user.order_types or ()) or "none named"
    wanted = {"NFO", "BFO"}
    have = wanted & set(user.exchanges or ())
    address = "orders are taken only from the address registered at developers.kite.trade; data from any"
    return [
        _row("kite: token", True, f"good; account {user.user_id}"),
        _row("kite: segments", bool(have), ", ".join(sorted(have)) or "no derivatives segment is enabled"),
        _row("kite: order types", "LIMIT" in (user.order_types or ()), types),
        _row("kite: public address", True, "loopback" if kite.settings.loopback else address, needed=False),
    ]


async def _data(kite: KiteBroker) -> dict[str, Any]:
    """A key without the paid data subscription has orders but no quotes: refused with a good token."""
    try:
        found = await kite.link.call(
            "quote", lambda c: read(c._get("market.quote.ltp", params={"i": [_INDEX]}), dict[str, Ltp])
        )
    except AuthExpired:
        raise
    except Refused as error:
        return _row("kite: data subscription", False, f"no quotes for this key ({error}); subscribe at the broker")
    text = f"quotes come ({_INDEX} {found[_INDEX].last_price})" if _INDEX in found else "quotes are allowed, none came"
    return _row("kite: data subscription", True, text)


def _row(what: str, ready: bool, text: str, needed: bool = True) -> dict[str, Any]:
    return {"what": what, "ready": ready, "needed": needed, "text": text}
