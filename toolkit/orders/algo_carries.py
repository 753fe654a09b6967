"""What each execution algorithm can carry of its legs to their children: anything else is refused, never dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from toolkit.errors import BadOrder
from toolkit.types import OrderRequest, OrdType, TimeInForce

__all__ = ["CARRIES", "PLAIN", "Carries", "refuse"]


class Carries(msgspec.Struct, frozen=True, kw_only=True):
    """What the children of one algorithm keep of a leg; the product and the exchange are always kept.

    Parameters
    ----------
    ord_types : tuple of OrdType
        LIMIT and a MARKET leg's price bound every child; a stop's trigger is what it waits for.
    time_in_force : tuple of TimeInForce
        DAY lives until the algorithm ends; IOC leaves nothing resting.
    priced : bool
        Whether a leg's price means anything; without, a price is refused.
    trails : bool
        Whether it makes the trigger itself: a STOP leg may leave it out, and a MARKET leg is a stop without a price.
    """

    ord_types: tuple[OrdType, ...]
    time_in_force: tuple[TimeInForce, ...] = (TimeInForce.DAY,)
    priced: bool = True
    trails: bool = False


_LIMIT: Final = (OrdType.LIMIT,)
_STOPS: Final = (OrdType.STOP, OrdType.STOP_LIMIT)
PLAIN: Final = Carries(ord_types=(OrdType.LIMIT, OrdType.MARKET))
"""A limit or none: what an algorithm carries that is not in the table."""

CARRIES: Final[Mapping[str, Carries]] = {
    "twap": PLAIN,
    "vwap": PLAIN,
    "pov": PLAIN,
    "iceberg": PLAIN,
    "sniper": Carries(ord_types=_LIMIT, time_in_force=(TimeInForce.DAY, TimeInForce.IOC)),
    "best_limit": PLAIN,
    "chase": PLAIN,
    "stop": Carries(ord_types=_STOPS),
    "trailing_stop": Carries(ord_types=(OrdType.MARKET, *_STOPS), trails=True),
    "bracket": Carries(ord_types=tuple(OrdType)),
    "oco": Carries(ord_types=tuple(OrdType)),
    "oto": Carries(ord_types=tuple(OrdType)),
    "ouo": Carries(ord_types=tuple(OrdType)),
    "target": Carries(ord_types=(OrdType.MARKET,), priced=False),
    "delta_hedge": Carries(ord_types=(OrdType.MARKET,), priced=False),
    "legs": PLAIN,
    "premium_stop": PLAIN,
}
"""What each shipped algorithm carries, by its name."""


def refuse(name: str, legs: Sequence[OrderRequest], features: frozenset[str] | None = None) -> None:
    """Refuse legs that ask of an algorithm what its children would not keep.

    ``features`` are what the broker can do (``ioc``...), None where that is not the question.

    Raises
    ------
    BadOrder
        With the field as ``rule``, what it may be and what it was.

    >>> refuse("twap", [])
    """
    can = CARRIES.get(name, PLAIN)
    for leg in legs:
        _one_of("ord_type", leg.ord_type, can.ord_types, f"algorithm '{name}'")
        _one_of("time_in_force", leg.time_in_force, can.time_in_force, f"algorithm '{name}'")
        if leg.time_in_force is TimeInForce.IOC and features is not None and "ioc" not in features:
            _one_of("time_in_force", leg.time_in_force, (TimeInForce.DAY,), "this broker")
        _prices(f"algorithm '{name}'", leg, can)


def _prices(who: str, leg: OrderRequest, can: Carries) -> None:
    """Refuse a price or a trigger that is missing, or that would be dropped."""
    kind, limited = leg.ord_type, leg.ord_type in (OrdType.LIMIT, OrdType.STOP_LIMIT)
    unpriced = kind is OrdType.STOP or not can.priced or (kind is OrdType.MARKET and can.trails)
    if limited and leg.price_p is None:
        text = f"{who}: a {kind} leg in {leg.symbol} needs a price; MARKET has no limit"
        raise BadOrder("price", "given", "nothing", text)
    if unpriced and leg.price_p is not None:
        text = f"{who} has no limit for a {kind} leg in {leg.symbol}; leave the price out, was {_rs(leg.price_p)}"
        raise BadOrder("price", "none", _rs(leg.price_p), text)
    stops = kind in _STOPS
    if stops and leg.stop_px_p is None and (not can.trails or limited):
        text = f"{who}: a {kind} leg in {leg.symbol} needs stop_px, was nothing"
        raise BadOrder("stop_px", "given", "nothing", text)
    if not stops and leg.stop_px_p is not None:
        text = f"{who}: a {kind} leg in {leg.symbol} takes no stop_px, was {_rs(leg.stop_px_p)}"
        raise BadOrder("stop_px", "none", _rs(leg.stop_px_p), text)


def _one_of(field: str, value: OrdType | TimeInForce, known: Sequence[OrdType | TimeInForce], who: str) -> None:
    if value in known:
        return
    limit = ", ".join(known)
    raise BadOrder(field, limit, str(value), f"{who} takes {field} {limit}, was {value}")


def _rs(paise: object) -> str:
    return f"{paise / 100:.2f}" if isinstance(paise, int) else repr(paise)
