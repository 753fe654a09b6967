"""Sending an order of unknown fate once more: a person's deliberate act, never the machine's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from toolkit.errors import Refused
from toolkit.types import Order, OrderRequest, OrdStatus

if TYPE_CHECKING:
    from toolkit.orders.live import LiveEngine

__all__ = ["Resends"]


class Resends:
    """What of one account may be sent again, and was.

    Only an order whose *placing* is unknown: one that the broker gave an id, or that traded, is certainly there, and
    what is unknown of it is a change. An order is sent again once; the same confirmation again is the same new order.
    One that was confirmed and did not leave is checked anew: the old order may have been found meanwhile.

    Parameters
    ----------
    engine : LiveEngine
    """

    def __init__(self, engine: LiveEngine) -> None:
        self._engine = engine

    async def resend(self, order: Order, confirm: str) -> Order:
        """Send an order again under a new id, or give the one that this confirmation made already."""
        engine, core, name = self._engine, self._engine.core, order.cl_ord_id
        made = core.resent.get(name)
        left = made is not None and made[0] in core.orders
        if made is not None and left and core.orders[made[0]].ord_status is not OrdStatus.DENIED:
            if confirm != made[1]:
                raise Refused(f"order {name} was sent again as {made[0]} already; look at that one")
            return await self._send(order, made[0])
        self._check(order)
        worst = self.worst_case(order)
        if confirm != worst:
            raise Refused(f"to send {name} again, confirm the worst case in these words: {worst}")
        again = engine.new_id() if made is None or left else made[0]  # an id whose order never left is still free
        if made != (again, worst):
            act = {"act": "resend", "of": name, "as": again, "confirmed": worst}
            await engine.perform(core.note(engine.now_ns(), "act", name, act))
        return await self._send(order, again)

    def worst_case(self, order: Order) -> str:
        """What happens if everything open on the order's side trades, the order itself too, and it is sent again."""
        request, book = order.request, self._engine.core.book
        units = book.open_qty(request.symbol, request.side) + order.leaves_qty
        net = book.net.get(request.symbol, 0) + request.side.sign * units
        return f"{request.side} {units} {request.symbol}, position {net}"

    def _check(self, order: Order) -> None:
        """Refuse what cannot be sent again."""
        core, name = self._engine.core, order.cl_ord_id
        kin = core.children.get(name)
        if kin is not None:
            unknown = [c for c in kin if core.orders[c].ord_status is OrdStatus.UNKNOWN]
            parts = f"its unknown parts: {', '.join(unknown)}" if unknown else "no part of it is unknown"
            raise Refused(f"order {name} is sent in parts and not as a whole; {parts}")
        if order.ord_status is not OrdStatus.UNKNOWN:
            raise Refused(f"order {name} is {order.ord_status}, not unknown; there is nothing to resend")
        if order.order_id is not None or order.execs:
            there = "it has traded" if order.order_id is None else f"it is order {order.order_id} there"
            text = "what is unknown is a change of it, not its placing; cancel it, or wait for the broker's book"
            raise Refused(f"order {name} is at the broker ({there}); {text}")

    async def _send(self, order: Order, name: str) -> Order:
        return await self._engine.place(self._engine.core.asked(name) or _again(order.request, name))


def _again(request: OrderRequest, name: str) -> OrderRequest:
    confirm = tuple(sorted({*request.confirm, "duplicate"}))
    return msgspec.structs.replace(request, cl_ord_id=name, parent_id=None, confirm=confirm)
