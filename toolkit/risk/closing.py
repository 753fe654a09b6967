"""What it costs to close a book now: the spread, and the walk beyond the quantity at the touch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from toolkit.risk.exposure import Position

__all__ = ["CloseOut", "Touch", "close_out"]


class Touch(msgspec.Struct, frozen=True):
    """The best quote of one contract, rupees and units; None is unknown or empty."""

    bid: float | None
    ask: float | None
    bid_qty: int | None = None
    ask_qty: int | None = None


class CloseOut(NamedTuple):
    """Rupees: half the spread, the walk beyond the touch, what cannot be sold at its whole value, their sum.

    ``unknown`` names positions without the side they need; a short one has no bound, so ``total`` is then inf.
    """

    spread: float
    impact: float
    lost: float
    total: float
    unknown: tuple[str, ...]


def close_out(positions: Sequence[Position], touches: Mapping[str, Touch], *, most_levels: int = 50) -> CloseOut:
    """Estimate the cost of closing every position at once, against the middle of the quote.

    Parameters
    ----------
    positions : sequence of Position
    touches : mapping
        Best quotes by symbol.
    most_levels : int
        A position of more than this many touch quantities cannot be closed at once: it counts as unknown.

    Notes
    -----
    An estimate: behind the touch each further level is taken to hold the touch's quantity, one spread
    away, so q units against a touch of n walk ceil(q / n) levels. Without a bid a long position loses its
    whole mark; without an ask a short one cannot be bought back and has no bound.
    """
    spread = impact = lost = 0.0
    unknown = []
    for p in positions:
        if not p.qty:
            continue
        touch = touches.get(p.symbol)
        price, size = _needed(p, touch)
        levels = math.inf if size is None or size <= 0 else math.ceil(abs(p.qty) / size)
        if touch is None or price is None or touch.bid is None or touch.ask is None or levels > most_levels:
            unknown.append(p.symbol)
            lost += p.qty * p.mark if p.qty > 0 and p.cp and math.isfinite(p.mark) else math.inf
            continue
        gap = touch.ask - touch.bid
        spread += abs(p.qty) * 0.5 * gap
        impact += _walk(abs(p.qty), size or abs(p.qty), gap)
    return CloseOut(spread, impact, lost, spread + impact + lost, tuple(unknown))


def _needed(p: Position, touch: Touch | None) -> tuple[float | None, int | None]:
    """The price and quantity on the side that closes a position."""
    if touch is None:
        return None, None
    return (touch.bid, touch.bid_qty) if p.qty > 0 else (touch.ask, touch.ask_qty)


def _walk(qty: int, size: int, gap: float) -> float:
    """Rupees beyond the touch: whole levels of ``size`` units, the last one in part."""
    full, rest = divmod(qty, size)
    return gap * (size * full * (full - 1) / 2.0 + rest * full)
