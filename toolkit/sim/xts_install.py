"""How one XTS install differs from the next: every broker runs its own version and settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from toolkit.errors import BadData, nearest

__all__ = ["Install", "make_install", "settings"]

Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Milliseconds = Annotated[int, msgspec.Meta(ge=20, le=600_000)]


class Install(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a simulated install; the first value of each is what is most often met.

    Attributes
    ----------
    profile : str
        Whose account is behind the key: an investor's own, or a dealer's in one of three habits.
    eio : str
        Engine.IO spoken: by the client's wish, 3 whatever it asks, or 4 with a refusal of 3.
    format : str
        ``binary`` sends 1501, 1502 and 1510 as packets even where JSON was asked for.
    layout, deflate, packets
        Of binary packets: width of quantities, compression, how many in one attachment.
    touchline : str
        Whether the fields of a touchline stand in an object of their own.
    batch : str
        A subscription of known and new instruments: answer the new ones, or refuse the whole.
    subscriptions : int
        The most of one session.
    events : str
        Order events after the answer of the call that caused them, or before it.
    order_source : str
        ``apiOrderSource``: echoed in rows, left out of them, or compulsory and echoed.
    times, ids, args, positions, empty, stops
        Spelling of time stamps, AppOrderIDs and event arguments; position lists as object or
        list; what an empty list of positions is; the status word of a waiting stop order.
    rates, limit_error
        Whether calls are limited, and where that error's code stands.
    md : str
        Which market-data prefixes are served.
    lookup : str
        How the host look-up spells its address.
    header : str
        ``strict`` refuses a lower-case header name.
    ping_ms, ping_timeout_ms : int
        The sockets' heartbeat.
    """

    profile: Literal["investor", "dealer_masked", "dealer_named", "dealer_empty_positions"] = "investor"
    eio: Literal["both", "3", "4"] = "both"
    format: Literal["json", "binary"] = "json"
    layout: Literal["narrow", "wide"] = "narrow"
    deflate: Literal["off", "on", "mixed"] = "off"
    packets: Count = 1
    touchline: Literal["nested", "flat"] = "nested"
    batch: Literal["new", "whole"] = "new"
    subscriptions: Count = 500
    events: Literal["after", "before"] = "after"
    order_source: Literal["echo", "ignore", "strict"] = "echo"
    times: Literal["iso", "zoned", "day_first", "day_first_ms", "month_first"] = "iso"
    ids: Literal["number", "text", "float"] = "number"
    args: Literal["text", "object", "list"] = "text"
    positions: Literal["object", "list"] = "object"
    empty: Literal["no_data", "validation", "list"] = "no_data"
    stops: Literal["New", "Trigger Pending"] = "New"
    rates: Literal["on", "off"] = "on"
    limit_error: Literal["nested", "flat"] = "nested"
    md: Literal["both", "json", "binary"] = "both"
    lookup: Literal["plain", "odd"] = "plain"
    header: Literal["any", "strict"] = "any"
    ping_ms: Milliseconds = 25_000
    ping_timeout_ms: Milliseconds = 5_000

    @property
    def dealer(self) -> bool:
        """Whether the account is a dealer's."""
        return self.profile != "investor"


def make_install(texts: Iterable[str] = (), **named: Any) -> Install:
    """Make an install of ``NAME=VALUE`` texts over named values.

    Raises
    ------
    BadData
        For an unknown name (naming the nearest) or a value that is not allowed.

    >>> make_install(["batch=whole"], profile="dealer_named").batch
    'whole'
    """
    values: dict[str, Any] = dict(named)
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not value:
            raise BadData(f"a setting of the install must read NAME=VALUE, was {text!r}")
        values[name.strip()] = value.strip()
    known = {field.name: field.type for field in msgspec.structs.fields(Install)}
    made: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise BadData(f"an install has no setting {name!r}{nearest(name, known)}; known: {', '.join(known)}")
        try:
            made[name] = msgspec.convert(value, known[name], strict=False)
        except msgspec.ValidationError as error:
            allowed: tuple[Any, ...] = known[name].__args__
            words = f"one of {', '.join(map(str, allowed))}" if isinstance(allowed[0], str) else f"a number ({error})"
            raise BadData(f"{name} must be {words}, was {value!r}{nearest(str(value), map(str, allowed))}") from None
    return Install(**made)


def settings() -> dict[str, str]:
    """Every setting with its values, the first the default; or a number's default."""
    found = {}
    for field in msgspec.structs.fields(Install):
        allowed: tuple[Any, ...] = field.type.__args__
        found[field.name] = ", ".join(allowed) if isinstance(allowed[0], str) else f"a number, {field.default}"
    return found
