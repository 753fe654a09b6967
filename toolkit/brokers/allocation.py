"""``tk.allocate``: one idea for several clients, an order each, and what came of every one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import msgspec

from toolkit.brokers.ticket import lot_of
from toolkit.errors import BadData, ToolkitError, Unknown
from toolkit.orders import ids
from toolkit.types import Order, OrderRequest, OrdStatus

__all__ = ["Allocated", "allocate", "place_each"]

_MOST: Final = 99


class Places(Protocol):
    """What an order is given to: an engine opened for one account."""

    async def place(self, request: OrderRequest) -> Order:
        """Place one order and wait for its answer."""
        ...


class Allocated(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one client's order; ``text`` says why where it was not placed.

    ``ord_status`` is ``denied`` or ``rejected`` when it certainly was not placed, ``unknown`` when it may be.
    """

    account: str
    cl_ord_id: str
    order_qty: int
    ord_status: OrdStatus
    order_id: str | None = None
    text: str = ""


def allocate(order: OrderRequest, lots: Mapping[str, int]) -> tuple[OrderRequest, ...]:
    """Split an order into one a client; nothing is sent.

    Parameters
    ----------
    order : OrderRequest
        Its quantity is what the lots add up to, or one lot, which then stands for each lot of each client.
    lots : mapping of str to int
        Lots by client.

    Returns
    -------
    tuple of OrderRequest
        In the order of ``lots``. Ids are the order's with two digits behind, so the same allocation twice is the
        same orders; the note of each names the order.

    Raises
    ------
    BadData
        For no client, lots that are none, lots that do not add up, or an id too long to be numbered.

    Example
    -------
    >>> from toolkit.brokers.ticket import order
    >>> made = allocate(order("NIFTY 14JUL2026 25000 CE", "buy", lots=3, price=90, cl_ord_id="D1"), {"A": 1, "B": 2})
    >>> [(o.account, o.order_qty, o.cl_ord_id) for o in made]
    [('A', 65, 'D101'), ('B', 130, 'D102')]
    """
    if not lots or len(lots) > _MOST:
        raise BadData(f"an allocation names 1 to {_MOST} clients, was {len(lots)}")
    for client, count in lots.items():
        if not isinstance(client, str) or not client.strip():
            raise BadData(f"an allocation names clients by their codes, was {client!r}")
        if not isinstance(count, int) or isinstance(count, bool) or count <= 0:
            raise BadData(f"lots of {client} must be a whole number from 1, was {count!r}")
    lot = lot_of(order.symbol)
    total = lot * sum(lots.values())
    if order.order_qty not in (total, lot):
        raise BadData(f"the lots of the allocation are {total} units (lot {lot}), the order is for {order.order_qty}")
    longest = ids.LONGEST - 2
    if len(order.cl_ord_id) > longest:
        raise BadData(f"cl_ord_id must be at most {longest} long to be allocated, was {order.cl_ord_id!r}")
    note = " ".join(filter(None, (order.note, f"allocated from {order.cl_ord_id}")))
    return tuple(
        msgspec.structs.replace(
            order, cl_ord_id=f"{order.cl_ord_id}{number:02d}", account=client, order_qty=lot * count, note=note
        )
        for number, (client, count) in enumerate(lots.items(), 1)
    )


async def place_each(
    orders: Sequence[OrderRequest], opened: Callable[[str], AbstractAsyncContextManager[Places]]
) -> tuple[Allocated, ...]:
    """Place each order through the engine of its own account; one that fails does not stop the others.

    Parameters
    ----------
    orders : sequence of OrderRequest
        As :func:`allocate` gives them.
    opened : callable
        Opens the engine of an account: its own lease, limits and journal.

    Returns
    -------
    tuple of Allocated
        One for each order, in their order.
    """
    return tuple([await _placed(request, opened) for request in orders])


async def _placed(request: OrderRequest, opened: Callable[[str], AbstractAsyncContextManager[Places]]) -> Allocated:
    status, order_id, text = OrdStatus.DENIED, None, ""
    try:
        async with opened(request.account) as engine:
            order = await engine.place(request)
            status, order_id, text = order.ord_status, order.order_id, order.text
    except Unknown as error:
        status, text = OrdStatus.UNKNOWN, str(error)
    except ToolkitError as error:
        text = text or str(error)
    return Allocated(
        account=request.account,
        cl_ord_id=request.cl_ord_id,
        order_qty=request.order_qty,
        ord_status=status,
        order_id=order_id,
        text=text,
    )
