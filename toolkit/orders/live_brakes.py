"""The brakes: halting, sweeping open orders away, closing every position."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from toolkit.errors import Refused
from toolkit.orders.slicing import legal_max
from toolkit.risk.limits import TradingState
from toolkit.types import Order, OrderRequest, OrdStatus, OrdType, Product, Side

if TYPE_CHECKING:
    from toolkit.brokers.port import Held
    from toolkit.orders.live import LiveEngine

__all__ = ["Brakes"]

_ROUNDS: Final = 400
_PATIENCE: Final = 2000
_BEAT_S: Final = 0.1
_GIVE_UP: Final = 3


class Brakes:
    """What stops and unwinds: trading states, sweeps of open orders, the closing of every position.

    Parameters
    ----------
    engine : LiveEngine
    """

    def __init__(self, engine: LiveEngine) -> None:
        self._engine = engine

    async def set_state(self, state: TradingState, reason: str, *, sweep: bool = True) -> None:
        """Change what the engine accepts: at once in this process, durable next; then cancel what must go."""
        effects = self._engine.core.set_state(self._engine.now_ns(), state, reason, cancel=False)
        await self._engine.perform(effects)
        if sweep and state is not TradingState.ACTIVE:
            kept = await self.stop_parents(protective=False)
            if kept and state is TradingState.HALTED:
                text = f"halted: {', '.join(kept)} protect positions and stay; they may only reduce"
                await self._engine.perform(self._engine.alarm("protection", text))
            await self.sweep(self.increasing)

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

    async def pace(self, exchange: str) -> None:
        """Wait until an order message fits the exchange's limit."""
        for _ in range(_PATIENCE):
            if (
                self._engine.core.book.messages(self._engine.now_ns(), exchange)
                < self._engine.core.limits.max_messages_per_s
            ):
                return
            await self._engine.sleep(_BEAT_S)

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

    def increasing(self) -> list[Order]:
        """Open orders that could add to a position."""
        net = self._engine.core.book.net
        return [
            o
            for o in self._engine.core.open_orders()
            if not (
                net.get(o.request.symbol, 0) * o.request.side.sign < 0
                and o.leaves_qty <= abs(net.get(o.request.symbol, 0))
            )
        ]

    async def flatten(self, reason: str) -> tuple[Order, ...]:
        """Close what is held: reduce-only, shorts first, sliced, the broker's net read before each child.

        Trading is ``reducing`` meanwhile and afterwards; a halt is a halt again at the end.

        Returns
        -------
        tuple of Order
            Every order sent, in order.
        """
        engine, sent = self._engine, list[Order]()
        was, why = engine.core.book.state, engine.core.book.state_reason
        await self.set_state(TradingState.REDUCING, f"flatten: {reason}", sweep=False)
        try:
            held = {p.symbol for p in await _held(engine)}
            await self.stop_parents()
            await self.sweep(lambda: [o for o in engine.core.open_orders() if o.request.symbol in held])
            failed: dict[tuple[str, Product], int] = {}
            for _ in range(_ROUNDS):
                order = await _child(engine, reason, failed)
                if order is None:
                    break
                sent.append(order)
            left = sorted(p.symbol for p in await _held(engine))
            if left:
                text = f"not closed: {', '.join(left)}; look at the last orders, or close at the broker"
                await engine.perform(engine.alarm("flatten", text))
        finally:
            if was is TradingState.HALTED:
                await self.set_state(TradingState.HALTED, why, sweep=False)
        return tuple(engine.core.orders[order.cl_ord_id] for order in sent)


async def _held(engine: LiveEngine) -> list[Held]:
    """What the broker says is held now; where its book dies with the process, what ours says."""
    from toolkit.brokers.port import Held

    if not engine.books.forgets:
        return [p for p in await engine.broker.positions() if p.net_qty]
    terms = engine.core.book.instruments
    return [
        Held(
            symbol=symbol,
            exchange=terms[symbol].exchange if symbol in terms else "NSE",
            product=Product.NRML,
            net_qty=qty,
            avg_px=0.0,
        )
        for symbol, qty in engine.core.book.net.items()
    ]


async def _child(engine: LiveEngine, reason: str, failed: dict[tuple[str, Product], int]) -> Order | None:
    """Send the next child and see it to its end; None when nothing more can be done."""
    left = [p for p in await _held(engine) if failed.get((p.symbol, p.product), 0) < _GIVE_UP]
    if not left:
        return None
    position = min(left, key=lambda p: (p.net_qty > 0, p.symbol))
    await engine.books.list_terms([position.symbol])
    instrument = engine.core.book.instruments.get(position.symbol)
    key = (position.symbol, position.product)
    if instrument is None:
        failed[key] = _GIVE_UP
        engine.later(engine.alarm("flatten", f"{position.symbol} is held and not listed; close it at the broker"))
        return await _child(engine, reason, failed)
    most = abs(position.net_qty)
    if instrument.freeze_qty is not None and instrument.freeze_qty >= instrument.lot:
        most = min(most, legal_max(instrument.freeze_qty, instrument.lot))
    request = OrderRequest(
        cl_ord_id=engine.new_id(),
        symbol=position.symbol,
        side=Side.BUY if position.net_qty < 0 else Side.SELL,
        order_qty=most,
        exchange=instrument.exchange,
        ord_type=OrdType.MARKET,
        product=position.product,
        account=engine.account,
        broker=engine.broker.name,
        order_source="flatten",
        note=reason[:100] or None,
        confirm=("duplicate",),
    )
    await engine.brakes.pace(request.exchange)
    order = await engine.place(request)
    if order.is_open:
        await engine.settle([order.cl_ord_id])
        order = engine.core.orders[order.cl_ord_id]
    if order.is_open and order.ord_status is not OrdStatus.UNKNOWN:
        await engine.brakes.sweep(lambda: [o for o in engine.core.open_orders() if o.cl_ord_id == order.cl_ord_id])
        await engine.settle([order.cl_ord_id])
        order = engine.core.orders[order.cl_ord_id]
    failed[key] = 0 if order.cum_qty else failed.get(key, 0) + 1
    if order.ord_status is OrdStatus.UNKNOWN:
        failed[key] = _GIVE_UP  # it may still trade: nothing more is sent in this contract
    return order
