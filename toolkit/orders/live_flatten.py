"""Closing every position of one account: reduce-only children, shorts first, until the broker says flat."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from toolkit.errors import AuthExpired, BadData, ToolkitError
from toolkit.orders.records import journalable
from toolkit.orders.slicing import legal_max
from toolkit.types import Instrument, Order, OrderRequest, OrdStatus, OrdType, Product, Side

if TYPE_CHECKING:
    from toolkit.brokers.port import Held
    from toolkit.orders.live import LiveEngine

__all__ = ["Flatten"]

_Key = tuple[str, str, Product]
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
    While a short that was given up is held, the longs of its underlying stay: they may be its hedge. The broker's net
    is read before each round of children, for at most ``patience_s``; what is left is told at the end, however it
    ends.

    Parameters
    ----------
    engine : LiveEngine
    reason : str
        Kept with each order.
    """

    def __init__(self, engine: LiveEngine, reason: str) -> None:
        self._engine = engine
        self._reason = reason
        self._closing: dict[_Key, _Closing] = {}
        self._fault = ""
        self._early = ""
        self._dead = False
        self.sent: list[str] = []

    async def run(self) -> None:
        """Clear the way, close, tell what is left: also when it ends early."""
        try:
            await self._close()
        except ToolkitError as error:
            self._fault, self._early = str(error), f"; it ended early: {error}"
        finally:
            if self._engine.pen is not None:
                await self._tell()

    async def _close(self) -> None:
        """Clear the way and send round after round, until nothing is left that is worth another child."""
        engine = self._engine
        await engine.brakes.stop_parents()
        held = await self._held()
        await self._clear({p.symbol for p in held or ()})
        for _ in range(_ROUNDS):
            held = await self._held()
            left = [] if held is None or engine.pen is None else self._next(held)
            if not left or self._dead:
                break
            await self._round(left)

    async def _clear(self, symbols: set[str]) -> None:
        """Cancel what is open in some contracts and wait for the answers: children are measured against it."""
        engine = self._engine
        names = {o.cl_ord_id for o in engine.core.open_orders() if o.request.symbol in symbols}
        await engine.brakes.sweep(lambda: [o for o in engine.core.open_orders() if o.cl_ord_id in names])
        await engine.settle(sorted(names))

    async def _held(self) -> list[Held] | None:
        """What the broker says is held; None, from then on, when it cannot be read for as long as patience lasts."""
        engine = self._engine
        until_ns = engine.mono() + round(engine.settings.patience_s * 1e9)
        while not self._dead:
            try:
                return await _positions(engine)
            except ToolkitError as error:
                self._fault = str(error)
                self._dead = isinstance(error, AuthExpired) or engine.mono() >= until_ns
            if not self._dead:
                await engine.sleep(_AGAIN_S)
        return None

    def _next(self, held: list[Held]) -> list[Held]:
        """Positions of the next round: shorts while one is worth it, then longs that hedge no short that stays."""
        left = self._left(held)
        shorts = [p for p in left if p.net_qty < 0]
        if shorts:
            return self._one_place(shorts)
        stays = {self._underlying(p.symbol) for p in held if p.net_qty < 0}
        for position in held:
            if position.net_qty > 0 and (name := self._underlying(position.symbol)) in stays:
                self._closing[_key(position)].why = f"kept: it may hedge the short of {name} that is left"
        return self._one_place([p for p in left if self._underlying(p.symbol) not in stays])

    def _one_place(self, positions: list[Held]) -> list[Held]:
        """Of what is held at several exchanges the first one: the rules know one exchange's terms at a time."""
        first: dict[str, str] = {}
        return [p for p in positions if first.setdefault(p.symbol, p.exchange) == p.exchange]

    def _underlying(self, symbol: str) -> str:
        """The underlying of a contract, from its name where it is not listed."""
        instrument = self._engine.core.book.instruments.get(symbol)
        return symbol.partition(" ")[0] if instrument is None else instrument.underlying

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
            if len(children) < len(positions):
                await self._look(positions)
            await engine.sleep(_AGAIN_S)

    async def _child(self, position: Held) -> str | None:
        """Send the next child of a position; None when none was sent now. One that fails leaves the others be."""
        engine, found = self._engine, self._closing[_key(position)]
        found.since_ns = engine.mono() if found.since_ns is None else found.since_ns
        request: OrderRequest | None = None
        try:
            instrument = await self._terms(position)
            if instrument is None:
                found.over, found.why = True, "it is not listed"
                return None
            async with engine.brakes.turn(instrument.exchange) as turn:
                room = self._room(position)  # what came while it waited counts
                if room <= 0:
                    found.why = "an order against it may still trade, or the books differ"
                    return None
                request = self._request(position, instrument, room)
                turn.cl_ord_id = request.cl_ord_id
                with engine.core.book.closing(request.cl_ord_id):
                    await engine.place(request)
        except ToolkitError as error:
            found.why = f"its next order could not be sent: {error}"
            self._fault = str(error)
            self._dead = self._dead or isinstance(error, AuthExpired)
        if request is None or engine.core.asked(request.cl_ord_id) != journalable(request):
            return None
        self.sent.append(request.cl_ord_id)
        return request.cl_ord_id

    async def _terms(self, position: Held) -> Instrument | None:
        """The contract's terms at the exchange where it is held; None when it is not listed there."""
        book = self._engine.core.book
        known = book.instruments.get(position.symbol)
        if known is None or position.exchange not in ("", known.exchange):
            try:
                known = await self._engine.broker.resolve(position.symbol, position.exchange or None)
            except BadData:
                return None
            book.add([known])
        return known

    def _room(self, position: Held) -> int:
        """Units that may be sent now: of those held here too, what no open order may still take."""
        book = self._engine.core.book
        side = Side.BUY if position.net_qty < 0 else Side.SELL
        ours = -side.sign * book.net.get(position.symbol, 0) - book.open_qty(position.symbol, side)
        return min(abs(position.net_qty) - self._working(position, side), ours)

    def _working(self, position: Held, side: Side) -> int:
        """Units that open orders may still take of a position, where it is held and as what it is held."""
        asked = [(order, order.request) for order in self._engine.core.open_orders()]
        return sum(
            order.leaves_qty
            for order, r in asked
            if (r.symbol, r.side, r.product) == (position.symbol, side, position.product)
            and position.exchange in ("", r.exchange)
        )

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

    async def _look(self, positions: list[Held]) -> None:
        """Read the broker's orders; its positions again only where ours are others."""
        engine, theirs = self._engine, dict[str, int]()
        for position in positions:
            theirs[position.symbol] = theirs.get(position.symbol, 0) + position.net_qty
        differ = any(engine.core.book.net.get(symbol, 0) != qty for symbol, qty in theirs.items())
        try:
            await engine.books.cycle(positions=differ)
        except ToolkitError as error:
            self._fault = str(error)

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
            names = [name for name in self.sent if engine.core.orders[name].is_open]
            still = f", {', '.join(names)} may still trade" if names else ""
            text = f"the broker's positions cannot be read ({self._fault}){still}; look at the broker for what is left"
            await engine.perform(engine.alarm("flatten", text))
            return
        left = []
        for position in sorted(held, key=lambda p: p.symbol):
            found = self._closing.get(_key(position))
            why = "" if found is None or not found.why else f" ({found.why})"
            left.append(f"{position.net_qty:+d} {position.symbol}{why}")
        if left:
            text = f"not closed: {'; '.join(left)}{self._early}; look at the last orders, or close at the broker"
            await engine.perform(engine.alarm("flatten", text))


def _key(position: Held) -> _Key:
    return (position.exchange, position.symbol, position.product)


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
