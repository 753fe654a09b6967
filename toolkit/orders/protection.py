"""Which open orders may stay when trading stops: those that together only shrink a position. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from toolkit.types import Order, OrdStatus, OrdType, Side

__all__ = ["adding"]


def adding(orders: Iterable[Order], net: Mapping[str, int]) -> list[Order]:
    """Open orders that could add to a position, those of one contract and side judged together.

    The orders against a position keep their places while they fit into what is held: stops before limits, because a
    stop protects and a target earns; of each the one nearest to the market first. One that no longer fits is among the
    result. A cancel under way keeps its order's place only when others left room for it.

    Parameters
    ----------
    orders : iterable of Order
        Open ones.
    net : mapping
        Net units by symbol.

    Returns
    -------
    list of Order
        In the order in which they came.
    """
    given = [order for order in orders if order.is_open]
    room = {symbol: abs(qty) for symbol, qty in net.items()}
    kept: set[str] = set()
    for order in sorted(given, key=_rank):
        symbol, leaves = order.request.symbol, order.leaves_qty
        against = net.get(symbol, 0) * order.request.side.sign < 0
        if against and leaves <= room[symbol]:
            room[symbol] -= leaves
            kept.add(order.cl_ord_id)
    return [order for order in given if order.cl_ord_id not in kept]


def _rank(order: Order) -> tuple[bool, bool, int, int, str]:
    """Those that stay before those that are leaving, stops before limits, near before far, old before new."""
    request = order.request
    stop = request.ord_type in (OrdType.STOP, OrdType.STOP_LIMIT)
    price_p = (request.stop_px_p if stop else request.price_p) or 0
    # a sell stop waits below the market and a sell limit above it; buys the other way round
    below = stop is (request.side is Side.SELL)
    leaving = order.ord_status is OrdStatus.PENDING_CANCEL
    return (leaving, not stop, -price_p if below else price_p, order.created_ns, order.cl_ord_id)
