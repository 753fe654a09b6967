"""Closing every position of one account: reduce-only children, shorts first, until the broker says flat."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from toolkit.errors import AuthExpired, ToolkitError
from toolkit.orders.slicing import legal_max
from toolkit.types import Instrument, Order, OrderRequest, OrdStatus, OrdType, Product, Side

if TYPE_CHECKING:
    from toolkit.brokers.port import Held
    from toolkit.orders.live import LiveEngine

__all__ = ["Flatten"]

_ROUNDS: Final = 10_000
_AGAIN_S: Final = 1.0


class _Closing(msgspec.Struct):
    """How far the closing of one position is: the fewest units seen, and since when they are no fewer."""

    least: int
    since_ns: int | None = None
    over: bool = False
    why: str = ""


class Flatten:
    """One closing of everything.

    The orders in the way are cancelled first, and the cancels answered. Then every short position has a child at
    work at once, and every long one when no short is left. A child rests for ``[engine] rest_s`` before it is
    withdrawn and placed at the new price; a position that is no smaller after ``[engine] patience_s`` is given up.
    The broker's net is read before each round of children, and what is left is told at the end.

    Parameters
    ----------
    engine : LiveEngine
    reason : str
        Kept with each order.
    """

    def __init__(self, engine: LiveEngine, reason: str) -> None:
        self._engine = engine
        self._reason = reason
        self._closing: dict[tuple[str, Product], _Closing] = {}
        self._fault = ""
        self.sent: list[str] = []

    async def run(self) -> None:
        """Clear the way, close, tell what is left."""
        engine = self._engine
        await engine.brakes.stop_parents()
        await self._clear({p.symbol for p in await self._held() or ()})
        for _ in range(_ROUNDS):
            left = self._left(await self._held() or [])
            if not left:
                break
            await self._round([p for p in left if p.net_qty < 0] or left)
        await self._tell()

    async def _clear(self, symbols: set[str]) -> None:
        """Cancel what is open in some contracts and wait for the answers: children are measured against it."""
        engine = self._engine
        names = {o.cl_ord_id for o in engine.core.open_orders() if o.request.symbol in symbols}
        await engine.brakes.sweep(lambda: [o for o in engine.core.open_orders() if o.cl_ord_id in names])
        await engine.settle(sorted(names))

    async def _held(self) -> list[Held] | None:
        """What the broker says is held; None when that cannot be read for so long that it is given up."""
        engine, waited = self._engine, 0.0
        while True:
            try:
                return await _positions(engine)
            except ToolkitError as error:
                self._fault = str(error)
                if isinstance(error, AuthExpired) or waited >= engine.settings.patience_s:
                    return None
            await engine.sleep(_AGAIN_S)
            waited += _AGAIN_S

    def _left(self, held: list[Held]) -> list[Held]:
        """Positions that are worth another child."""
        now_ns, left = self._engine.mono(), []
        for position in held:
            units = abs(position.net_qty)
            found = self._closing.setdefault(_key(position), _Closing(units))
            if units < found.least:
                found.least, found.since_ns = units, now_ns
            waited_ns = 0 if found.since_ns is None else now_ns - found.since_ns
            found.over = found.over or waited_ns >= self._engine.settings.patience_s * 1e9
            if not found.over:
                left.append(position)
        return left

    async def _round(self, positions: list[Held]) -> None:
        """Send the next child of each position, all at once, and see them to their end."""
        engine = self._engine
        sent = await asyncio.gather(*[self._child(position) for position in positions])
        children = {_key(p): name for p, name in zip(positions, sent, strict=True) if name is not None}
        await self._rest([name for name in children.values() if engine.core.orders[name].is_open])
        for key, name in children.items():
            order = engine.core.orders[name]
            said = f": {order.text}" if order.text else ""
            self._closing[key].why = f"its last order {name} is {order.ord_status}{said}"
        if not any(engine.core.orders[name].cum_qty for name in children.values()):
            await self._look() if len(children) < len(positions) else await engine.sleep(_AGAIN_S)

    async def _child(self, position: Held) -> str | None:
        """Send the next child of a position; None when nothing may be sent now."""
        engine, found = self._engine, self._closing[_key(position)]
        found.since_ns = engine.mono() if found.since_ns is None else found.since_ns
        await engine.books.list_terms([position.symbol])
        instrument = engine.core.book.instruments.get(position.symbol)
        if instrument is None:
            found.over, found.why = True, "it is not listed"
            return None
        room = self._room(position)
        if room <= 0:
            found.why = "an order against it may still trade, or the books differ"
            return None
        await engine.brakes.pace(instrument.exchange)
        request = self._request(position, instrument, room)
        self.sent.append(request.cl_ord_id)
        await engine.place(request)
        return request.cl_ord_id

    def _room(self, position: Held) -> int:
        """Units that may be sent now: of those held here too, what no open order may still take."""
        book = self._engine.core.book
        side = Side.BUY if position.net_qty < 0 else Side.SELL
        ours = -side.sign * book.net.get(position.symbol, 0)
        return min(abs(position.net_qty), ours) - book.open_qty(position.symbol, side)

    def _request(self, position: Held, instrument: Instrument, room: int) -> OrderRequest:
        most = room
        if instrument.freeze_qty is not None and instrument.freeze_qty >= instrument.lot:
            most = min(most, legal_max(instrument.freeze_qty, instrument.lot))
        engine = self._engine
        return OrderRequest(
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
            note=self._reason[:100] or None,
            confirm=("duplicate",),
        )

    async def _look(self) -> None:
        """Read the books, and give an order under way time."""
        engine = self._engine
        try:
            await engine.books.cycle(positions=True)
        except ToolkitError as error:
            self._fault = str(error)
        await engine.sleep(_AGAIN_S)

    async def _rest(self, names: list[str]) -> None:
        """Let children trade for ``rest_s``, then withdraw what is left. An unknown one is left to the books."""
        engine, orders, rest_s = self._engine, self._engine.core.orders, self._engine.settings.rest_s
        until_ns = engine.mono() + round(rest_s * 1e9)
        await engine.settle(names)
        while (open_ones := [n for n in names if _resting(orders[n])]) and engine.mono() < until_ns:
            await engine.sleep(engine.settings.poll_s)
            await engine.books.ask(open_ones)
        for name in open_ones:
            text = f"{orders[name].leaves_qty} units not traded in {rest_s:g} s; withdrawn to be placed nearer"
            engine.later(engine.core.note(engine.now_ns(), "act", name, {"act": "flatten", "of": name, "text": text}))
        if open_ones:
            await engine.brakes.sweep(lambda: [o for o in engine.core.open_orders() if o.cl_ord_id in open_ones])
            await engine.settle(open_ones)

    async def _tell(self) -> None:
        """Say exactly what is left, and why."""
        engine, held = self._engine, await self._held()
        if held is None:
            text = f"the broker's positions cannot be read ({self._fault}); look at the broker for what is left"
            await engine.perform(engine.alarm("flatten", text))
            return
        left = []
        for position in sorted(held, key=lambda p: p.symbol):
            found = self._closing.get(_key(position))
            why = "" if found is None or not found.why else f" ({found.why})"
            left.append(f"{position.net_qty:+d} {position.symbol}{why}")
        if left:
            text = f"not closed: {'; '.join(left)}; look at the last orders, or close at the broker"
            await engine.perform(engine.alarm("flatten", text))


def _key(position: Held) -> tuple[str, Product]:
    return (position.symbol, position.product)


def _resting(order: Order) -> bool:
    return order.is_open and order.ord_status is not OrdStatus.UNKNOWN


async def _positions(engine: LiveEngine) -> list[Held]:
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
