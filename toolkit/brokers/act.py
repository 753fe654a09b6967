"""The engine for one act: lease, recovery, one order, a definite answer or ``unknown``, stop."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from toolkit.brokers.port import Broker
from toolkit.orders.core import Core
from toolkit.orders.live import LiveEngine
from toolkit.store.daybook import journal_path
from toolkit.types import Modify, Order, OrderRequest

__all__ = ["Act", "journal_path"]


class Act:
    """One account at one broker, opened for a single act: a live engine whose loops do not run.

    Parameters
    ----------
    engine : LiveEngine
        Not started; it is started and stopped with the block.

    Example
    -------
    ``async with Act(LiveEngine(broker, "AB1234", limits=Limits(), engine=settings, clock=broker.clock)) as act: ...``
    """

    def __init__(self, engine: LiveEngine) -> None:
        self.engine = engine

    @property
    def broker(self) -> Broker:
        """The broker."""
        return self.engine.broker

    @property
    def account(self) -> str:
        """The account."""
        return self.engine.account

    @property
    def core(self) -> Core:
        """Orders, positions and limits."""
        return self.engine.core

    async def __aenter__(self) -> Self:
        await self.engine.start(watching=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.engine.stop()

    def new_id(self) -> str:
        """The next free order id."""
        return self.engine.new_id()

    async def place(self, request: OrderRequest) -> Order:
        """Place one order and wait for its fate. The same id again gives the same order and sends nothing.

        Returns
        -------
        Order
            In any state: ``denied`` and ``rejected`` say why in ``text``, ``unknown`` means look again.
        """
        repeat = request.cl_ord_id in self.core.orders
        order = await self.engine.place(request)
        return order if repeat else await self._settled(order)

    async def modify(self, modify: Modify) -> Order:
        """Modify a working order of this account's journal."""
        return await self._settled(await self.engine.modify(modify))

    async def cancel(self, cl_ord_id: str) -> Order:
        """Cancel a working order; a sliced one with all its children."""
        return await self._settled(await self.engine.cancel(cl_ord_id))

    async def preview(self, request: OrderRequest) -> dict[str, Any]:
        """What an order would do: its exchange orders, margin, rules passed and failed, age of the quote."""
        return await self.engine.preview(request)

    async def _settled(self, order: Order) -> Order:
        name = order.cl_ord_id
        await self.engine.settle(self.core.children.get(name, (name,)))
        return self.core.orders[name]
