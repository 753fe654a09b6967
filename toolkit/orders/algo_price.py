"""Prices of child orders: on the tick, within the limit, never through the protection."""

from __future__ import annotations

import math

from toolkit.market.quotes import Quote
from toolkit.types import Side

__all__ = ["cap_p", "chase_p", "far_p", "far_qty", "on_tick", "own_p", "styled_p", "within", "worse"]


def on_tick(price_p: float, side: Side, tick_p: int, *, passive: bool = True) -> int:
    """Round to the tick, away from the market (passive) or toward it; never below one tick.

    >>> on_tick(10052, Side.BUY, 5), on_tick(10052, Side.BUY, 5, passive=False), on_tick(10052, Side.SELL, 5)
    (10050, 10055, 10055)
    """
    down = (side is Side.BUY) == passive
    steps = math.floor(price_p / tick_p) if down else math.ceil(price_p / tick_p)
    return max(steps * tick_p, tick_p)


def own_p(quote: Quote, side: Side) -> int | None:
    """Best price on the order's own side."""
    return quote.bid_p if side is Side.BUY else quote.ask_p


def far_p(quote: Quote, side: Side) -> int | None:
    """Best price on the other side."""
    return quote.ask_p if side is Side.BUY else quote.bid_p


def far_qty(quote: Quote, side: Side) -> int | None:
    """Units displayed at the best price on the other side."""
    return quote.ask_qty if side is Side.BUY else quote.bid_qty


def worse(a_p: int, b_p: int, side: Side) -> bool:
    """Whether ``a_p`` is the worse price for the trader: higher for a buyer, lower for a seller."""
    return side.sign * (a_p - b_p) > 0


def within(price_p: int, bound_p: int | None, side: Side) -> int:
    """The price, or the bound where the price is worse."""
    return bound_p if bound_p is not None and worse(price_p, bound_p, side) else price_p


def cap_p(anchor_p: int, side: Side, tick_p: int, give_pct: float, give_ticks: int) -> int:
    """Protection price: ``give_pct`` percent, and at least ``give_ticks`` ticks, worse than the anchor.

    >>> cap_p(10000, Side.BUY, 5, 5.0, 10), cap_p(100, Side.SELL, 5, 5.0, 10)
    (10500, 50)
    """
    room = max(anchor_p * give_pct / 100.0, float(give_ticks * tick_p))
    return on_tick(anchor_p + side.sign * room, side, tick_p)


def styled_p(quote: Quote, side: Side, tick_p: int, style: str, through_ticks: int) -> int | None:
    """Price of a style: ``join`` the own touch, ``mid``, or ``cross`` through the far touch.

    None when the quote lacks what the style needs, or is crossed.
    """
    own, far = own_p(quote, side), far_p(quote, side)
    if own is not None and far is not None and not quote.two_sided:
        return None
    if style == "join":
        return None if own is None else on_tick(own, side, tick_p)
    if far is None:
        return None
    if style == "mid":
        return None if own is None else on_tick((own + far) / 2, side, tick_p)
    return on_tick(far + side.sign * through_ticks * tick_p, side, tick_p, passive=False)


def chase_p(quote: Quote, side: Side, tick_p: int, stepped_p: int, through_ticks: int) -> int | None:
    """Price of a chase: the stepped price or the own touch, whichever is nearer, up to just past the far touch.

    None when a side is missing or the quote is crossed.
    """
    most = styled_p(quote, side, tick_p, "cross", through_ticks)
    own = styled_p(quote, side, tick_p, "join", 0)
    if most is None or own is None:
        return None
    return within(own if worse(own, stepped_p, side) else stepped_p, most, side)
