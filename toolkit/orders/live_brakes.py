"""The brakes: halting, sweeping open orders away, closing every position."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from typing import TYPE_CHECKING, Final

import msgspec

from toolkit.errors import Refused
from toolkit.orders.live_flatten import Flatten
from toolkit.orders.protection import adding
from toolkit.risk.limits import TradingState
from toolkit.types import Order, OrdStatus

if TYPE_CHECKING:
    from toolkit.orders.live import LiveEngine

__all__ = ["Brakes"]

_PATIENCE: Final = 2000
_BEAT_S: Final = 0.1


class Turn(msgspec.Struct, eq=False):
    """An order message that may leave now: it counts until the order of that id is asked for and counts itself."""

    exchange: str
    cl_ord_id: str = ""


class Brakes:
    """What stops and unwinds: trading states, sweeps of open orders, the closing of every position.

    Parameters
    ----------
    engine : LiveEngine
    """

    def __init__(self, engine: LiveEngine) -> None:
        self._engine = engine
        self._closing = asyncio.Lock()
        self._turns: list[Turn] = []

    async def set_state(self, state: TradingState, reason: str, *, sweep: bool = True, passing: bool = False) -> None:
        """Change what the engine accepts: at once in this process, durable next; then cancel what must go."""
        core = self._engine.core
        await self._engine.perform(core.set_state(self._engine.now_ns(), state, reason, cancel=False, passing=passing))
        if sweep and state is not TradingState.ACTIVE:
            kept = await self.stop_parents(protective=False)
            await self.sweep(self.increasing)
            leaving = {order.cl_ord_id for order in self.increasing()}
            kept += [o.cl_ord_id for o in self._engine.core.open_orders() if o.cl_ord_id not in leaving]
            if kept and state is TradingState.HALTED:
                text = f"halted: {', '.join(kept)} protect positions and stay; they may only reduce"
                await self._engine.perform(self._engine.alarm("protection", text))

    async def resume(self, reason: str) -> None:
        """Accept everything again, unless the file flag or a guard's lock on the account stands."""
        engine = self._engine
        if (engine.folder / "HALT").exists():
            raise Refused(f"the flag {engine.folder / 'HALT'} is set; remove it first")
        await engine.watch.look()
        standing = engine.watch.standing
        if standing:
            locks = "; ".join(f"{trip.rule}: {trip.text} ({trip.rearm})" for trip in standing)
            raise Refused(f"account {engine.account} is locked and resuming does not lift a lock: {locks}")
        engine.stall.resumed()
        await self.set_state(TradingState.ACTIVE, reason)

    async def stop_parents(self, *, protective: bool = True) -> list[str]:
        """Cancel the algorithms at work, or only those that could still add to a position; give those that stay."""
        parents, kept = self._engine.deciders.parents, []
        for parent in list(parents.running):
            if not protective and parents.protects(self._engine.core, parent):
                kept.append(parent)
            else:
                await self._engine.perform(parents.cancel(self._engine.core, self._engine.now_ns(), parent))
        return kept

    @contextlib.asynccontextmanager
    async def turn(self, exchange: str) -> AsyncIterator[Turn]:
        """Wait until an order message fits the exchange's limit, with those whose turn it is and that did not leave."""
        engine, turn = self._engine, Turn(exchange)
        for _ in range(_PATIENCE):
            core = engine.core
            coming = sum(t.exchange == exchange and core.asked(t.cl_ord_id) is None for t in self._turns)
            if core.book.messages(engine.now_ns(), exchange) + coming < core.limits.max_messages_per_s:
                break
            await engine.sleep(_BEAT_S)
        self._turns.append(turn)
        try:
            yield turn
        finally:
            self._turns.remove(turn)

    async def sweep(self, choose: Callable[[], list[Order]]) -> None:
        """Cancel what ``choose`` names, as fast as the exchange's limit allows; what it refuses stays and is told."""
        engine, core, tried = self._engine, self._engine.core, set[str]()
        for _ in range(_PATIENCE):
            left = [o for o in choose() if o.cl_ord_id not in tried and o.ord_status is not OrdStatus.PENDING_CANCEL]
            if not left:
                return
            order, now_ns = left[0], engine.now_ns()
            if core.book.messages(now_ns, order.request.exchange) >= core.limits.max_cancels_per_s:
                await engine.sleep(_BEAT_S)
                continue
            tried.add(order.cl_ord_id)
            await engine.perform(core.cancel(now_ns, order.cl_ord_id))

    def sweep_again(self, names: Collection[str]) -> None:
        """While trading is stopped, cancel those of some orders (taken up again by a reading) that could add."""
        if names and self._engine.core.book.state is not TradingState.ACTIVE:
            self._engine.task(self.sweep(lambda: [o for o in self.increasing() if o.cl_ord_id in names]))

    def increasing(self) -> list[Order]:
        """Open orders that could add to a position, those of one side judged together."""
        return adding(self._engine.core.open_orders(), self._engine.core.book.net)

    async def flatten(self, reason: str) -> tuple[Order, ...]:
        """Close what is held, see :class:`~toolkit.orders.live_flatten.Flatten`; a second call waits for the first.

        Trading is ``reducing`` meanwhile and afterwards; a halt stays one all the while, and lets only this through. A
        guard's halt comes to ``reducing`` when it ends.

        Returns
        -------
        tuple of Order
            Every order sent, in order.
        """
        engine, core = self._engine, self._engine.core
        async with self._closing:
            work, stands = Flatten(engine, reason), (TradingState.REDUCING, f"flatten: {reason}")
            if core.book.state is not TradingState.HALTED:
                await self.set_state(*stands, sweep=False)
            elif core.taken[0] is not TradingState.HALTED:
                await engine.perform(core.set_taken(engine.now_ns(), *stands))
            await work.run()
        return tuple(engine.core.orders[name] for name in work.sent)
