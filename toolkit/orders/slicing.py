"""Cut an order into the largest orders the exchange accepts."""

from __future__ import annotations

from toolkit.errors import BadData

__all__ = ["legal_max", "slices"]


def legal_max(freeze_qty: int, lot: int) -> int:
    """Largest order in units: the freeze quantity rounded down to whole lots.

    >>> legal_max(1800, 65)
    1755

    Raises
    ------
    BadData
        When not even one lot is allowed, or a number is not positive.
    """
    if lot <= 0 or freeze_qty < lot:
        raise BadData(f"freeze quantity must hold at least one lot of {lot}, was {freeze_qty}")
    return freeze_qty // lot * lot


def slices(order_qty: int, max_qty: int) -> tuple[int, ...]:
    """Quantities of the child orders, largest first; they sum to ``order_qty`` exactly.

    >>> slices(4000, 1755)
    (1755, 1755, 490)

    Raises
    ------
    BadData
        When a quantity is not positive.
    """
    if order_qty <= 0 or max_qty <= 0:
        raise BadData(f"order and slice quantity must be positive, was {order_qty} and {max_qty}")
    whole, rest = divmod(order_qty, max_qty)
    return (max_qty,) * whole + ((rest,) if rest else ())
