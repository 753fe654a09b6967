"""Reading the broker's books and doing what the plan says: the one path of start-up, recovery and every cycle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from toolkit.errors import BadData, Refused, Retryable, ToolkitError
from toolkit.orders import ids
from toolkit.orders.carry import ALIGNED
from toolkit.orders.effects import Effect
from toolkit.orders.reconcile import (
    Adopt,
    Align,
    Difference,
    Differs,
    Hear,
    Holding,
    Lose,
    Missing,
    Reading,
    Revive,
    Search,
    Step,
    Suspect,
    plan,
)
from toolkit.risk.limits import TradingState
from toolkit.types import ExecutionReport, Fill, Order, OrdStatus, Side

if TYPE_CHECKING:
    from toolkit.orders.live import LiveEngine

__all__ = ["Books"]

_UNSEEN: Final = frozenset({OrdStatus.PENDING_NEW, OrdStatus.UNKNOWN})
_ROUNDS: Final = 4


class Books:
    """The engine's view of the broker's books.

    Parameters
    ----------
    engine : LiveEngine
        Whose core is compared.
    """

    def __init__(self, engine: LiveEngine) -> None:
        self._engine = engine
        self.taken: set[str] = set()
        self.touched: set[str] = set()
        self._turn = asyncio.Lock()
        self._missed: dict[str, int] = {}
        self._searched: set[str] = set()
        self._suspects: dict[str, tuple[int, int]] = {}
        self._standing: dict[tuple[str, str, str], str] = {}

    @property
    def forgets(self) -> bool:
        """Whether the broker's book dies with this process (paper): then ours is the truth."""
        return self._engine.broker.capabilities.loopback_only

    async def recover(self) -> tuple[Difference, ...]:
        """Bring the core up to the broker after a start or a new login.

        Raises
        ------
        ToolkitError
            When a book cannot be read: nothing is ready.
        """
        if self.forgets:
            await self._restore()
            return ()
        return await self.cycle(positions=True, starting=True)

    async def cycle(self, *, positions: bool = True, starting: bool = False) -> tuple[Difference, ...]:
        """Read the books, plan, apply; again at once while a position is in doubt.

        A start looks again at once for the orders that its first reading lacks after their settling time: the
        search's reading is their second one. What comes of age meanwhile is left to the cycles.

        Returns
        -------
        tuple of Difference
            What differed and is new since the last cycle.
        """
        if self.forgets:
            return ()
        async with self._turn:
            told: list[Difference] = []
            searched: dict[str, Order] | None = None
            for number in range(_ROUNDS):
                reading = await self._read(positions, searched)
                steps = self._plan(reading)
                told += await self._apply(steps, starting=starting)
                self._still_differ(reading)
                sought = [step.cl_ord_id for step in steps if isinstance(step, Search)]
                if starting and not number:
                    sought += [step.name for step in steps if isinstance(step, Missing) and self._unseen(step)]
                searched = await self._search(sought)
                if not sought and not self._suspects:
                    break
            return tuple(told)

    async def ask(self, cl_ord_ids: Sequence[str]) -> None:
        """Take in what the broker says about some orders: one reading of its book, of a single one its history."""
        if self.forgets or len(cl_ord_ids) == 1:
            for name in cl_ord_ids:
                await self.hear(name)
            return
        try:
            await self.cycle(positions=False)
        except (Retryable, Refused, BadData):
            return  # a book that cannot be read now says nothing

    async def hear(self, cl_ord_id: str) -> bool:
        """Take in what the broker says about one order; False when it knows no such order."""
        engine = self._engine
        try:
            history = await engine.broker.order_history(cl_ord_id)
        except (Retryable, Refused):
            return True  # a book that cannot be read now says nothing
        except BadData:
            return False
        await engine.take_reports(history)
        return bool(history)

    def in_doubt(self) -> list[str]:
        """Orders whose state waits for an answer that no call of ours is waiting for."""
        busy = self._engine.wire.in_flight()
        return [
            order.cl_ord_id
            for order in self._engine.core.open_orders()
            if order.ord_status in _UNSEEN and order.cl_ord_id not in busy
        ]

    async def _orders(self) -> dict[str, Order]:
        """The broker's order book; what is heard from now on is newer than it."""
        self.touched.clear()
        orders = {order.cl_ord_id: order for order in await self._engine.broker.orders()}
        self.taken |= set(orders)
        return orders

    async def _read(self, positions: bool, searched: dict[str, Order] | None) -> Reading:
        """Read the books; a search has just read the orders."""
        broker = self._engine.broker
        orders = await self._orders() if searched is None else searched
        trades: dict[str, list[Fill]] = {}
        if any(order.cum_qty for order in orders.values()):
            for fill in await broker.trades():
                trades.setdefault(fill.cl_ord_id, []).append(fill)
        held: dict[str, Holding] | None = None
        if positions:
            held = {}
            for p in await broker.positions():
                before = held.get(p.symbol)
                qty = p.net_qty + (0 if before is None else before.net_qty)
                cost = p.net_qty * p.avg_px + (0.0 if before is None else before.net_qty * before.avg_px)
                held[p.symbol] = Holding(p.symbol, p.exchange, qty, cost / qty if qty else 0.0)
        symbols = {order.request.symbol for order in orders.values() if order.is_open} | set(held or ())
        await self.list_terms(symbols)
        return Reading(orders, trades, held)

    def _plan(self, reading: Reading) -> tuple[Step, ...]:
        engine = self._engine
        core = engine.core
        positions: dict[str, tuple[int, int]] = {}
        for p in engine.positions.held():  # a share of two exchanges has two lines
            units, cost_p = positions.get(p.symbol, (0, 0))
            positions[p.symbol] = (units + p.net_qty, cost_p + p.open_cost_p)
        return plan(
            core,
            reading,
            core.book.net,
            engine.now_ns(),
            engine.settings.settle_s,
            inflight_s=engine.settings.inflight_s,
            in_flight=engine.wire.in_flight() | self.touched,
            missed=self._missed,
            searched=self._searched,
            suspects=self._suspects,
            averages=positions,
            own="" if core.day is None else ids.make(core.day, engine.account, 0)[:-5],
        )

    async def _apply(self, steps: Sequence[Step], *, starting: bool) -> list[Difference]:
        engine, core = self._engine, self._engine.core
        now_ns = engine.now_ns()
        effects: list[Effect] = []
        told: list[Difference] = []
        standing: dict[tuple[str, str, str], str] = {}
        missed = {s.name: self._missed.get(s.name, 0) + 1 for s in steps if isinstance(s, Missing)}
        suspects = {step.symbol: (step.ours, step.theirs) for step in steps if isinstance(step, Suspect)}
        reports: list[ExecutionReport] = []
        for step in steps:
            if isinstance(step, Adopt):
                effects += core.external_order(now_ns, step.request)
                reports += step.reports
            elif isinstance(step, Hear):
                reports.append(step.report)
            elif isinstance(step, Revive):
                effects += core.revive(now_ns, step.cl_ord_id, step.text, step.order_qty)
            elif isinstance(step, Lose):
                effects += core.lose(now_ns, step.cl_ord_id, step.text)
            elif isinstance(step, Align):
                effects += core.align(now_ns, self._fill(step, now_ns), step.text)
            elif isinstance(step, Differs):
                key = (step.difference.kind, step.difference.cl_ord_id, step.difference.symbol)
                standing[key] = step.difference.text
                if self._standing.get(key) != step.difference.text:
                    told.append(step.difference)
        self._missed, self._suspects, self._standing = missed, suspects, standing
        for difference in told:
            effects += self._tell(now_ns, difference, starting=starting)
        engine.path.count_fills()
        await engine.perform(effects)
        await engine.take_reports(reports)
        engine.brakes.sweep_again({step.cl_ord_id for step in steps if isinstance(step, Revive)})
        return told

    def _still_differ(self, reading: Reading) -> None:
        """Forget the doubt about positions that agree with the reading now that all of it was taken in."""
        net, held = self._engine.core.book.net, reading.held or {}
        theirs = {symbol: held[symbol].net_qty if symbol in held else 0 for symbol in self._suspects}
        self._suspects = {s: pair for s, pair in self._suspects.items() if net.get(s, 0) != theirs[s]}

    async def _search(self, names: Sequence[str]) -> dict[str, Order] | None:
        """Look for absent orders by their tags: one more reading of the order book serves all of them.

        It is given to the next round, which takes up what it shows. One that it lacks although the broker gave it
        an id is asked for by that id: a history may know what the book does not list yet.
        """
        if not names:
            return None
        engine = self._engine
        try:
            there = await self._orders()
        except (Retryable, Refused):
            return None  # a book that cannot be read now says nothing
        for name in names:
            if name in there:
                continue
            if engine.core.orders[name].order_id is None or not await self.hear(name):
                self._searched.add(name)
        return there

    def _tell(self, now_ns: int, difference: Difference, *, starting: bool) -> list[Effect]:
        """A difference is journaled; one that nobody here asked for while trading is also an alarm."""
        core = self._engine.core
        name = difference.cl_ord_id or difference.symbol
        effects = core.note(now_ns, "difference", name, msgspec.to_builtins(difference))
        locked = core.book.state is not TradingState.ACTIVE
        if difference.kind == "external_order" and locked and not starting:
            text = f"while trading is {core.book.state}, an order came from elsewhere: {difference.text}"
            return effects + self._engine.alarm("foreign_order", text, name)
        if starting and difference.kind in ("external_order", "position", "not_found"):
            return effects
        return effects + self._engine.alarm(difference.kind, difference.text, name)

    def _fill(self, step: Align, now_ns: int) -> Fill:
        instrument = self._engine.core.book.instruments.get(step.symbol)
        return Fill(
            exec_id=f"{ALIGNED}{now_ns}-{step.symbol}",
            cl_ord_id="",
            order_id="",
            account=self._engine.account,
            broker=self._engine.broker.name,
            symbol=step.symbol,
            exchange=step.exchange or ("NSE" if instrument is None else instrument.exchange),
            side=Side.BUY if step.qty > 0 else Side.SELL,
            last_qty=abs(step.qty),
            last_px_p=step.price_p,
            exec_ns=now_ns,
        )

    def _unseen(self, step: Missing) -> bool:
        order = self._engine.core.orders.get(step.name)
        return order is not None and order.ord_status in _UNSEEN

    def unlisted(self, symbols: Iterable[str]) -> list[str]:
        """Those of some contracts whose terms are not known yet."""
        known = self._engine.core.book.instruments
        return sorted({symbol for symbol in symbols if symbol not in known})

    async def list_terms(self, symbols: Iterable[str]) -> None:
        """Learn the terms of contracts that are held or open; one that is expired or foreign counts without."""
        book = self._engine.core.book
        for symbol in self.unlisted(symbols):
            try:
                book.add([await self._engine.broker.resolve(symbol)])
            except BadData:
                continue

    async def _restore(self) -> None:
        """Paper forgets between processes: put a working order back on its exchange with what is left of it."""
        engine = self._engine
        for order in engine.core.open_orders():
            left = msgspec.structs.replace(order.request, order_qty=order.leaves_qty)
            try:
                await engine.broker.place(left)
            except ToolkitError:
                continue  # used before in this process: the exchange still has it
        await self.list_terms({o.request.symbol for o in engine.core.open_orders()} | set(engine.core.book.net))
