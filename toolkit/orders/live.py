"""The one writer of one account: journal, risk, route, send, in one asyncio loop.

The pure :class:`~toolkit.orders.core.Core` decides; here its effects are performed against a real
broker. Nothing leaves before its record is durable. Start-up and recovery are the same path: the
journal is replayed, the broker's book is read, a plan is made and applied, and only then orders
flow. A silent broker makes an order ``unknown``: it is looked for, and never sent again by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy.typing as npt

from toolkit.brokers.port import Broker
from toolkit.calendar import ist_date
from toolkit.errors import BadData, Refused, RiskDenied, ToolkitError
from toolkit.market.view import View
from toolkit.orders.algo import Algo
from toolkit.orders.carry import first_records
from toolkit.orders.core import Core
from toolkit.orders.effects import Effect, SendCancel, SendNew, SendReplace, Tell
from toolkit.orders.live_books import Books
from toolkit.orders.live_brakes import Brakes
from toolkit.orders.live_checks import Checks
from toolkit.orders.live_deciders import Deciders
from toolkit.orders.live_figures import Figures
from toolkit.orders.live_journal import Event, Pen
from toolkit.orders.live_path import EffectPath, Sends
from toolkit.orders.live_resend import Resends
from toolkit.orders.live_stall import Stall
from toolkit.orders.live_watch import FLAG, Watch
from toolkit.orders.live_wire import Wire
from toolkit.orders.monitor import Monitor
from toolkit.orders.parents import Make
from toolkit.orders.reconcile import Difference, unjournaled
from toolkit.orders.settings import EngineSettings
from toolkit.orders.steady import SteadyClock
from toolkit.orders.words import taken
from toolkit.portfolio.positions import PositionBook
from toolkit.risk.guards import Guard
from toolkit.risk.limits import Limits, TradingState
from toolkit.store.daybook import journal_path, open_day
from toolkit.store.journal import Journal
from toolkit.store.lease import Lease
from toolkit.strategies.protocol import Strategy
from toolkit.types import ExecType, ExecutionReport, Modify, Order, OrderRequest, OrdStatus

__all__ = ["Event", "LiveEngine"]

T = TypeVar("T")
_STOP_S: Final = 2.0
_BEAT_S: Final = 0.1
_LOCAL: Final = frozenset({ExecType.CANCEL_REJECTED, ExecType.REPLACE_REJECTED})
_WAITING: Final = frozenset(
    {OrdStatus.PENDING_NEW, OrdStatus.UNKNOWN, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE}
)


class LiveEngine:
    """One account at one broker.

    Parameters
    ----------
    broker : Broker
        Connected; only this object sends orders through it.
    account : str
        Typed by the user; must be the broker's own.
    limits : Limits
        Pre-trade limits.
    engine : EngineSettings
    clock : callable
        Nanoseconds UTC: the broker's clock.
    realm : str
        Where the broker is, for simulated ones and paper; empty for the real one.
    folder : Path, optional
        Where the journals lie; default: under the toolkit's home.
    sleep, mono : callable
        ``await sleep(seconds)``; monotonic nanoseconds.
    guards : sequence of Guard
        Rules over the account, asked before each order and shown its figures each second.
    monitor : Monitor, optional
        Told of each stage and each change of an order.

    Example
    -------
    ``engine = LiveEngine(broker, "AB1234", limits=Limits(), engine=EngineSettings(), clock=broker.clock)``
    """

    def __init__(
        self,
        broker: Broker,
        account: str,
        *,
        limits: Limits,
        engine: EngineSettings,
        clock: Callable[[], int],
        realm: str = "",
        folder: Path | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        mono: Callable[[], int] = time.monotonic_ns,
        guards: Sequence[Guard] = (),
        monitor: Monitor | None = None,
        algos: Make | None = None,
    ) -> None:
        self.broker = broker
        self.account = account
        self.settings = engine
        ask = limits.check_margin and engine.margin == "broker"
        self.limits = msgspec.structs.replace(limits, check_margin=False) if ask else limits
        self.core = Core(account, broker=broker.name, limits=self.limits)
        self.monitor = monitor
        self.guards = tuple(guards)
        self.state = "starting"
        self.opened_seq = 0
        self.positions = PositionBook("average")
        self.path = EffectPath(self)
        self.wire = Wire(broker, engine.call_s, self.path.answered, self.path.stage, self.path.held, mono)
        self.books = Books(self)
        self.checks = Checks(self, ask_margin=ask)
        self.watch = Watch(self)
        self.stall = Stall(self)
        self.figures = Figures(self)
        self.brakes = Brakes(self)
        self.resends = Resends(self)
        self.deciders = Deciders(self, algos or _make_algo)
        self._clock: Callable[[], int] = SteadyClock(clock, mono) if clock is time.time_ns else clock
        self.mono = mono
        self.sleep = sleep
        self._realm = realm
        self._folder = folder
        self._lease: Lease | None = None
        self._pen: Pen | None = None
        self._placing: dict[str, tuple[object, asyncio.Task[Order]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- life -------------------------------------------------------------------------------------------------

    async def start(self, *, watching: bool = True) -> None:
        """Take the lease, replay the journal, read the broker's book, bring ours up to it; then be ready.

        ``watching`` False runs no loops afterwards: for a single act.

        Raises
        ------
        Refused
            When the account is not the broker's, or somebody else holds it.
        BadData
            When the journal is damaged before its tail, or is another's.
        """
        profile = await self.broker.profile()
        if profile.account != self.account:
            raise Refused(f"the account at {self.broker.name} is not '{self.account}'; type your own account in full")
        self._lease = Lease(self.broker.name, self.account, self._realm)
        try:
            await self._open()
            self.state = "reconciling"
            found = await self.books.recover()
            if self.journal.damage and (text := unjournaled(found)):
                await self.perform(self.alarm("journal", text))
            self.deciders.parents.restore(self.core)
            self.state = "ready"
        except BaseException:
            self._let_go()
            raise
        if watching:
            self.watch.start()

    async def stop(self) -> None:
        """End the loops, wait briefly for answers under way, let the journal and the lease go."""
        if self.state == "stopped":
            return
        await self.watch.stop()
        await self._land()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=_STOP_S)
        self._let_go()

    async def new_day(self) -> None:
        """Close the day into the next one: its journal, then the same path as a start."""
        self.state = "reconciling"
        await self._land()
        pen, self._pen = self._pen, None
        if pen is not None:
            pen.flush()
            pen.close()
        self.deciders.parents.running.clear()
        await self._open()
        await self.books.recover()
        self.state = "ready"

    @property
    def journal(self) -> Journal:
        """The day's journal, while the engine runs."""
        if self._pen is None:
            raise Refused(f"the engine of {self.account} is not running; start it")
        return self._pen.journal

    def announce(self, url: str, token_file: Path, mode: str) -> None:
        """Write beside the lease where this engine answers, so that clients on this machine find it."""
        if self._lease is not None:
            self._lease.announce(url, token_file, mode)

    @property
    def folder(self) -> Path:
        """The account's own folder; a file ``HALT`` in it halts trading."""
        day = self.core.day or ist_date(self.now_ns())
        return journal_path(self.broker.name, self.account, day, self._realm, self._folder).parent

    def now_ns(self) -> int:
        """Now, nanoseconds UTC: never backwards."""
        return self._clock()

    @property
    def clock_step_s(self) -> float:
        """Seconds by which this machine's time was moved while the engine ran."""
        return self._clock.step_s if isinstance(self._clock, SteadyClock) else 0.0

    @property
    def pen(self) -> Pen | None:
        """The journal's writer, None while the engine does not run."""
        return self._pen

    # -- acts -------------------------------------------------------------------------------------------------

    def new_id(self) -> str:
        """The next free order id, kept for the caller."""
        return self.core.new_id(self.now_ns(), self.books.taken)

    async def place(self, request: OrderRequest) -> Order:
        """Place one order: journaled, then sent once. The same id again is the same order and sends nothing.

        Returns
        -------
        Order
            As it stands once the broker answered the call: ``denied`` and ``rejected`` say why in ``text``,
            ``unknown`` means that it may be placed.

        Raises
        ------
        BadData
            When the id was used for another order, or the contract is not known.
        """
        return await self._once(request.cl_ord_id, request, lambda: self._place(request))

    async def place_algo(
        self, legs: Sequence[OrderRequest], algo: str, policy: Mapping[str, Any] | None = None
    ) -> Order:
        """Hand legs to an execution algorithm (``twap duration_s=600``); the parent order comes back at once.

        The parent bears the first leg's id. Its children are sent by the algorithm, each checked and journaled.
        """
        if not legs:
            raise BadData("an algorithm needs at least one leg")
        whole = sum(leg.order_qty for leg in legs)
        parent = msgspec.structs.replace(legs[0], algo=algo, order_qty=whole)
        return await self._once(
            parent.cl_ord_id, (tuple(legs), algo, policy), lambda: self._place_algo(parent, tuple(legs), policy)
        )

    async def modify(self, modify: Modify) -> Order:
        """Modify a working order: the full new statement.

        Raises
        ------
        RiskDenied
            When our own rules refuse it, with rule, limit and value; the order stays as it is.
        Refused
            When the broker does.
        """
        order = self._known(modify.cl_ord_id)
        await self.checks.prepare(order.request)
        return await self.act(modify.cl_ord_id, lambda: self.core.modify(self.now_ns(), modify))

    async def cancel(self, cl_ord_id: str) -> Order:
        """Cancel a working order, a sliced one with all its children, an algorithm with what it has working."""
        self._known(cl_ord_id)
        if cl_ord_id in self.deciders.parents.running:
            return await self.act(cl_ord_id, lambda: self.deciders.parents.cancel(self.core, self.now_ns(), cl_ord_id))
        return await self.act(cl_ord_id, lambda: self.core.cancel(self.now_ns(), cl_ord_id))

    async def cancel_all(self) -> tuple[Order, ...]:
        """Cancel every open order, protective ones too, as fast as the exchange's limit allows."""
        await self.brakes.stop_parents()
        names = [order.cl_ord_id for order in self.core.open_orders()]
        await self.spawn(self.brakes.sweep(lambda: [o for o in self.core.open_orders() if o.cl_ord_id in set(names)]))
        return tuple(self.core.orders[name] for name in names)

    async def halt(self, reason: str, *, cancel_all: bool = False) -> None:
        """Stop new exposure at once and cancel what would increase it; protective orders stay unless ``cancel_all``."""
        await self.spawn(self.brakes.set_state(TradingState.HALTED, reason))
        if cancel_all:
            await self.cancel_all()

    async def resume(self, reason: str) -> None:
        """Take orders again: a deliberate act of its own.

        Raises
        ------
        Refused
            While the file flag is there, or a lock stands on the account; the error says what lifts it.
        """
        await self.spawn(self.brakes.resume(reason))

    async def flatten(self, reason: str) -> tuple[Order, ...]:
        """Close every position: reduce-only, shorts bought back first, sliced; the net is read before each round."""
        return await self.spawn(self.brakes.flatten(reason))

    async def reconcile(self) -> tuple[Difference, ...]:
        """Compare with the broker now; what differs is taken over, journaled and returned."""
        return await self.spawn(self.books.cycle(positions=True))

    async def settle(self, cl_ord_ids: Iterable[str], seconds: float | None = None) -> None:
        """Ask after orders until each has a definite state or the time is up."""
        until_ns = self.mono() + round((self.settings.answer_s if seconds is None else seconds) * 1e9)
        left = self._waiting(cl_ord_ids)
        while left:
            await self.books.ask(left)
            left = self._waiting(left)
            if not left or self.mono() >= until_ns:
                return
            await self.sleep(self.settings.poll_s)

    async def resend(self, cl_ord_id: str, confirm: str) -> Order:
        """Send an unknown order again under a new id: a person's deliberate act, never the machine's.

        ``confirm`` must be the text that :meth:`worst_case` gives. The old order stays unknown and counts. The same
        confirmation again is the same new order.

        Raises
        ------
        Refused
            When the placing of the order is not unknown, or ``confirm`` is not the worst case; the error shows it.
        """
        return await self.resends.resend(self._known(cl_ord_id), confirm)

    def worst_case(self, cl_ord_id: str) -> str:
        """What happens if everything open on an unknown order's side trades, itself too, and it is sent again."""
        return self.resends.worst_case(self._known(cl_ord_id))

    async def preview(
        self, what: OrderRequest | Sequence[OrderRequest], algo: str = "", policy: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What an order or legs would do: exchange orders, margin, rules passed and failed, age of the quote."""
        return await self.checks.preview((what,) if isinstance(what, OrderRequest) else tuple(what), algo, policy)

    # -- market and strategies --------------------------------------------------------------------------------

    def run_strategy(self, strategy: Strategy, underlying: str, view: Callable[[], View | None]) -> None:
        """Let a strategy decide on what its view shows; its state comes back from the journal."""
        self.deciders.runners.add(strategy, underlying, view, self.core.notes.get("strategy", {}))

    def on_quotes(
        self,
        now_ns: int,
        keys: npt.ArrayLike,
        bid: npt.ArrayLike,
        bid_qty: npt.ArrayLike,
        ask: npt.ArrayLike,
        ask_qty: npt.ArrayLike,
        ltp: npt.ArrayLike,
    ) -> None:
        """Take a batch of quotes in rupees; strategies and algorithms hear of it once the loop comes to it.

        ``now_ns`` is by the feed's clock: where that runs ahead of the account's, they count as received now.
        """
        ts_ns = min(now_ns, self.now_ns())
        self.core.book.quotes.update(ts_ns, keys, bid, bid_qty, ask, ask_qty, ltp)
        self.deciders.quoted(keys)

    def wanted(self) -> frozenset[str]:
        """Symbols whose quotes are needed: positions, open orders, algorithms."""
        book = self.core.book
        return frozenset(book.net) | frozenset(book.resting) | self.deciders.parents.wants()

    # -- news -------------------------------------------------------------------------------------------------

    def events(self, after: int = 0, most: int = 256) -> list[Event]:
        """The day's journal as public events, without a gap."""
        return [] if self._pen is None else self._pen.events(after, most)

    def listen(self, after: int | None = None) -> AsyncIterator[Event]:
        """Events from now on; a slow reader falls behind and misses none."""
        if self._pen is None:
            raise Refused(f"the engine of {self.account} is not running; start it")
        return self._listen(self._pen.journal.last_seq if after is None else after)

    def alarm(self, kind: str, text: str, name: str = "") -> list[Effect]:
        """The effects that journal an alarm; the state has changed before."""
        return self.core.note(self.now_ns(), "alarm", name, {"kind": kind, "text": text})

    # -- the one path of every effect -------------------------------------------------------------------------

    async def perform(self, effects: Sequence[Effect]) -> Sends:
        """Journal the records, then send the messages, then tell; give the sends that are under way."""
        return await self.path.perform(effects)

    def later(self, effects: Sequence[Effect]) -> None:
        """Perform effects without waiting for them."""
        if effects and self._pen is not None:
            self.path.carry(effects)

    async def take_reports(self, reports: Iterable[ExecutionReport], *, own: bool = False) -> None:
        """Fold in what a broker says and wait until it is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.path.take(reports, own=own, then=lambda _: None if done.done() else done.set_result(None))
        await done

    async def _listen(self, after: int) -> AsyncIterator[Event]:
        """One day's events, and then the next day's from its first."""
        while True:
            if self._pen is not None:
                async for event in self._pen.listen(after):
                    yield event
                after = 0
            if self.state == "stopped":
                return
            await self.sleep(_BEAT_S)

    # -- inside -----------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Open the day's journal and rebuild the core from it, or from the close of the day before."""
        now_ns, heard = self.now_ns(), self.core.book.quotes
        path = journal_path(self.broker.name, self.account, ist_date(now_ns), self._realm, self._folder)
        journal, before = open_day(path, self.account, now_ns, simulated=bool(self._realm))
        self._pen = Pen(journal, self.mono, round(self.settings.stall_s * 1e9), self.stall.slow)
        records = [entry.record for entry in journal.records()]
        effects: list[Effect] = []
        if records:
            self.core = Core.replay(records)
            if self.core.limits != self.limits:
                effects += self.core.set_limits(now_ns, self.limits)
        else:
            self.core = Core(self.account, broker=self.broker.name, limits=self.limits)
            effects += first_records(self.core, now_ns, before)
        self.core.book.quotes = heard  # the feed spoke before: it may say nothing more of a contract for long
        self.core.gate = self.checks.gate
        self.core.book.answered = True
        self.opened_seq = journal.last_seq
        self.path.begin(journal.last_seq)
        self.stall.begin()
        self.checks.set_session("NSE")
        for guard in self.guards:
            kept = self.core.notes.get("guard", {}).get(guard.name)
            if kept is not None:
                guard.restore(kept)
        if journal.damage:
            effects += self.alarm("journal", f"{journal.damage}; the broker's book decides")
        if (path.parent / "HALT").exists() and self.core.taken[0] is not TradingState.HALTED:
            effects += self.core.set_state(now_ns, TradingState.HALTED, FLAG, cancel=False)
            effects += self.alarm("halt", f"trading halted: {FLAG}")
        await self.perform(effects)

    def _waiting(self, cl_ord_ids: Iterable[str]) -> list[str]:
        return [name for name in cl_ord_ids if self.core.orders[name].ord_status in _WAITING]

    async def _land(self) -> None:
        """Let what was decided leave, and wait briefly for the answers."""
        if self._pen is not None:
            self._pen.flush()
        await self.wire.close(_STOP_S)

    def _let_go(self) -> None:
        self.state = "stopped"
        self.path.noted()
        pen, self._pen = self._pen, None
        if pen is not None:
            pen.flush()
            pen.close()
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    async def _once(self, cl_ord_id: str, body: object, act: Callable[[], Coroutine[Any, Any, Order]]) -> Order:
        """Run an act in a task of the engine's own: the caller's end does not end it, and a repeat joins it."""
        known = self._placing.get(cl_ord_id)
        if known is None:
            self.core.reserve(cl_ord_id)
            task = self.task(act())
            known = self._placing[cl_ord_id] = (body, task)
            task.add_done_callback(lambda _: self._placing.pop(cl_ord_id, None))
        elif known[0] != body:
            raise taken(cl_ord_id)
        return await asyncio.shield(known[1])

    def task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work of the engine's own; stopping waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def spawn(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work of the engine's own that the caller's end does not end."""
        return await asyncio.shield(self.task(work))

    async def _place(self, request: OrderRequest) -> Order:
        cl_ord_id, began_ns = request.cl_ord_id, self.mono()
        if cl_ord_id not in self.core.orders and self.state == "ready":
            await self.checks.prepare(request)
            self.checks.short = await self.checks.margin_unless_denied(request)
        try:
            effects = self.core.submit(self.now_ns(), request)
        finally:
            self.checks.short = ()
        self.path.decided(effects, began_ns)
        await self._finish(cl_ord_id, effects)
        return self.core.orders[cl_ord_id]

    async def _place_algo(
        self, parent: OrderRequest, legs: tuple[OrderRequest, ...], policy: Mapping[str, Any] | None
    ) -> Order:
        core, parents = self.core, self.deciders.parents
        if core.asked(parent.cl_ord_id) is None and self.state == "ready":
            parents.make(parent.algo or "", legs, policy)  # what is none is refused before anybody is asked
            for leg in legs:
                await self.checks.prepare(leg)
            policy = await self.deciders.ordered(parent.algo or "", legs, policy)
            if not parents.denials(core, self.now_ns(), parent.algo or "", legs, policy):
                self.checks.short = await self.checks.margin(legs)
        try:
            effects = parents.start(core, self.now_ns(), parent, legs, policy)
        finally:
            self.checks.short = ()
        await self.perform(effects)
        return core.orders[parent.cl_ord_id]

    async def _finish(self, cl_ord_id: str, effects: Sequence[Effect]) -> ToolkitError | None:
        """Perform an act's effects and wait for the broker's answers to its messages."""
        sends = await self.perform(effects)
        if not effects and (under_way := self.wire.task(cl_ord_id)) is not None:
            sends = [under_way]
        answers = await asyncio.gather(*sends)
        return next((answer for answer in answers if answer is not None), None)

    async def act(self, cl_ord_id: str, decide: Callable[[], list[Effect]]) -> Order:
        """Modify or cancel: what our own rules or the broker refuse is raised, the order stays as it is."""

        async def work() -> Order:
            effects = decide()
            failed = await self._finish(cl_ord_id, effects)
            refused = [e for e in effects if isinstance(e, Tell) and e.report.exec_type in _LOCAL]
            if refused and not any(isinstance(e, SendNew | SendReplace | SendCancel) for e in effects):
                raise _refusal(refused[0])
            if failed is not None:
                raise failed
            return self.core.orders[cl_ord_id]

        return await self.spawn(work())

    def _known(self, cl_ord_id: str) -> Order:
        order = self.core.orders.get(cl_ord_id)
        if order is None:
            raise Refused(f"no order {cl_ord_id!r} of this engine today; see: toolkit order list")
        return order


def _refusal(told: Tell) -> ToolkitError:
    """What a refused act raises: the first of our rules with every reason, or the reason alone."""
    if not told.denials:
        return Refused(told.report.text)
    first = told.denials[0]
    return RiskDenied(first.rule, first.limit, first.value, told.report.text)


def _make_algo(text: str, legs: Sequence[OrderRequest], policy: Mapping[str, Any] | None) -> Algo:
    from toolkit.orders.algos import make

    return make(text, legs, policy)
