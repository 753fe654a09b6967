"""The one path of every effect: journal first, then send, then tell; and of every report back into the core.

What a step of it waits for (a commit) calls the next step; nothing here is a task, and a report is one commit away
from its strategy.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from toolkit.errors import AuthExpired, Refused, ToolkitError
from toolkit.orders.carry import carried_book
from toolkit.orders.effects import Effect, Record, SendCancel, SendNew, Tell
from toolkit.orders.live_journal import Pen
from toolkit.orders.live_wire import Send, name_of
from toolkit.risk.limits import TradingState
from toolkit.types import ExecType, ExecutionReport, Order, OrdStatus

if TYPE_CHECKING:
    from toolkit.orders.live import LiveEngine

__all__ = ["EffectPath", "Sends", "Then"]

Sends = list[asyncio.Task[ToolkitError | None]]
Then = Callable[[Sends | None], None]
"""Called once effects are durable and their messages under way; with None when the engine stopped before."""
_ALARMING: Final = frozenset({"overfill", "bust", "late_execution", "exec_id_reused", "impossible", "bad_bust"})
_REFUSED: Final = frozenset({OrdStatus.REJECTED, OrdStatus.DENIED})


def _nobody(sends: Sends | None) -> None:
    """Nothing waits."""


class EffectPath:
    """How the core's effects are carried out, and how news reaches the core.

    Parameters
    ----------
    engine : LiveEngine
    """

    def __init__(self, engine: LiveEngine) -> None:
        self._engine = engine
        self._stamp = ""
        self._counted = 0
        self._recount = False
        self._notes: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._coming = False

    def begin(self, seq: int) -> None:
        """A journal was opened that holds ``seq`` records: count its fills anew."""
        self._stamp = f"{seq}."
        self._engine.positions, self._counted = carried_book(self._engine.core), 0
        self.count_fills()

    def carry(self, effects: Sequence[Effect], then: Then = _nobody) -> None:
        """Journal the records; once they are durable send the messages, tell, and call ``then``."""
        if not effects:
            then([])
            return
        engine = self._engine
        pen = engine.pen
        if pen is None:
            raise Refused(f"the engine of {engine.account} is stopped; nothing was sent")
        if engine.monitor is not None:
            self._arrived(effects)
        records = [effect for effect in effects if isinstance(effect, Record)]
        pen.write(records, partial(self._carried, pen, effects, then))

    async def perform(self, effects: Sequence[Effect]) -> Sends:
        """Carry effects out and wait until they are durable; give the sends that are under way."""
        done: asyncio.Future[Sends | None] = asyncio.get_running_loop().create_future()
        self.carry(effects, partial(_settle, done))
        sends = await done
        if sends is None:
            raise Refused(f"the engine of {self._engine.account} is stopped; nothing was sent")
        return sends

    def take(self, reports: Iterable[ExecutionReport], *, own: bool = False, then: Then = _nobody) -> None:
        """Fold in what a broker says; repeats do nothing, an order of nobody's makes the books be read."""
        if self._engine.pen is None:
            then([])  # stopped: the next start reads the broker's book
            return
        effects: list[Effect] = []
        try:
            for report in reports:
                effects += self._heard(report, own)
        finally:
            self.count_fills()
            self.carry(effects, then)

    def count_fills(self) -> None:
        """Bring the positions' averages up to the fills."""
        engine = self._engine
        fills = engine.core.fills
        new = len(fills) - self._counted
        if new < 0 or self._recount:  # an execution was taken back
            engine.positions, self._recount = carried_book(engine.core), False
            new = len(fills)
        if new:
            for exec_id in reversed(list(itertools.islice(reversed(fills), new))):
                engine.positions.apply(fills[exec_id])
            self._counted = len(fills)

    async def answered(
        self, send: Send, kind: ExecType | None, text: str, order_id: str | None, error: ToolkitError | None
    ) -> None:
        """Take in what became of a message: definite, or unknown."""
        self._landed(send)
        if isinstance(error, AuthExpired):
            self._engine.watch.auth_expired(str(error))
        if kind is None:
            return
        name = name_of(send)
        stamp = f"{kind}{self._engine.core.orders[name].updated_ns}"
        report = self._own(name, kind, stamp, text, order_id)
        if kind is ExecType.PENDING_NEW:  # the broker's id of an order: nothing waits for it to be durable
            self.take((report,), own=True)
        else:
            await self._engine.take_reports([report], own=True)

    def stage(self, cl_ord_id: str, name: str) -> None:
        """Note that an order reached a stage."""
        monitor = self._engine.monitor
        if monitor is not None:
            self._note(monitor.on_stage, cl_ord_id, name, self._engine.mono())

    def decided(self, effects: Sequence[Effect], began_ns: int) -> None:
        """Note the stages of orders that were asked for at a monotonic time and passed the rules."""
        monitor = self._engine.monitor
        if monitor is not None:
            for effect in effects:
                if isinstance(effect, SendNew):
                    self._note(monitor.on_stage, effect.request.cl_ord_id, "signal", began_ns)
                    self.stage(effect.request.cl_ord_id, "risk")

    def noted(self) -> None:
        """Show the monitor now what is kept for it."""
        notes, self._notes = self._notes, []
        for what, words in notes:
            what(*words)

    def _note(self, what: Callable[..., None], *words: object) -> None:
        """Keep something for the monitor until the messages under way have left: nothing waits for its figures."""
        self._notes.append((what, words))
        self._aside()

    def _aside(self) -> None:
        """Come back in the turn of the loop after the next: what is decided now leaves in the next one."""
        if not self._coming:
            self._coming = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._catch_up)

    def _catch_up(self) -> None:
        """Do what no order waits for: the monitor's figures, and the margin as of the newest fill."""
        self._coming = False
        self.noted()
        core = self._engine.core
        if core.limits.check_margin:
            core.book.need.catch_up(self._engine.now_ns())

    def _carried(self, pen: Pen, effects: Sequence[Effect], then: Then, written: bool) -> None:
        """The disk has spoken: send and tell."""
        engine = self._engine
        if engine.pen is not pen:
            then(None)
            return
        if not written:
            self._journal_failed(pen)
        sends: Sends = []
        kept: list[ExecutionReport] = []
        for effect in effects:
            if isinstance(effect, Record):
                continue
            if isinstance(effect, Tell):
                engine.deciders.tell(effect.report)
                continue
            self.stage(name_of(effect), "journal")
            withheld = self._withheld(effect, written)
            if withheld is None:
                sends.append(engine.wire.send(effect))
            else:
                self._landed(effect)
                kept.append(withheld)
        if kept:
            self.take(kept, own=True, then=lambda _: then(sends))
        else:
            then(sends)

    def _heard(self, report: ExecutionReport, own: bool) -> Sequence[Effect]:
        """Fold in one report."""
        engine = self._engine
        core = engine.core
        before = core.orders.get(report.cl_ord_id)
        if before is None or (before.ord_status in _REFUSED and report.exec_type is ExecType.NEW and self._truth):
            engine.watch.poke()  # the book decides, and tells
            return ()
        if not own and engine.books.forgets:
            report = msgspec.structs.replace(report, exec_id=self._stamp + report.exec_id)
        odd = len(core.anomalies)
        effects = core.on_report(report)
        if not effects:
            return ()
        if own and report.exec_type is ExecType.PENDING_NEW and (pen := engine.pen) is not None:
            # no news for anybody
            pen.ride([effect for effect in effects if isinstance(effect, Record)], partial(self._journal_failed, pen))
            effects = []
        for anomaly in core.anomalies[odd:]:
            told = any((a.kind, a.cl_ord_id) == ("overfill", anomaly.cl_ord_id) for a in core.anomalies[:odd])
            if anomaly.kind in _ALARMING and not (anomaly.kind == "overfill" and told):
                effects += engine.alarm(anomaly.kind, anomaly.text, anomaly.cl_ord_id)
        self._noted(before, report)
        return effects

    @property
    def _truth(self) -> bool:
        """Whether the broker has a book that outlives this process."""
        return not self._engine.books.forgets

    def _noted(self, before: Order, report: ExecutionReport) -> None:
        """Tell guards and monitor of a report that was folded in; a reading under way is older than it."""
        engine, name, trade = self._engine, report.cl_ord_id, report.exec_type is ExecType.TRADE
        if not engine.books.forgets:
            engine.books.touched.add(name)
        after, now_ns = engine.core.orders[name], engine.now_ns()
        if report.exec_type is ExecType.TRADE_CANCEL:
            self._recount = True
        monitor = engine.monitor
        if monitor is not None:
            if trade and not before.execs:
                self._note(monitor.on_stage, name, "fill", engine.mono())
            market = engine.core.quote(after.request.symbol) if trade or not monitor.follows(name) else None
            self._note(monitor.on_order, before, after, now_ns, market)
        for guard in engine.guards:
            guard.on_report(report, after, now_ns)
        if trade:
            engine.watch.look_soon()
            self._aside()

    def _arrived(self, effects: Sequence[Effect]) -> None:
        """Show the monitor each new order with the market of its decision."""
        engine = self._engine
        for effect in effects:
            if isinstance(effect, SendNew) and engine.monitor is not None:
                request = effect.request
                order, market = engine.core.orders[request.cl_ord_id], engine.core.quote(request.symbol)
                self._note(engine.monitor.on_order, None, order, engine.now_ns(), market)

    def held(self, send: Send) -> str:
        """Why a message must not leave any more; empty where it may.

        Cancels always leave. What only shrinks a position leaves however trading stands now: the sweep of a halt
        would let it rest.
        """
        if isinstance(send, SendCancel):
            return ""
        book, request = self._engine.core.book, self._engine.core.orders[name_of(send)].request
        if book.state is TradingState.ACTIVE or book.reduces(request.symbol, request.side, 0):  # itself is open
            return ""
        if book.state is TradingState.HALTED:
            return f"trading was halted before it left: {book.state_reason}"
        return f"{book.state_reason}; it would add to a position and never left"

    def _withheld(self, send: Send, written: bool) -> ExecutionReport | None:
        """A report instead of a message that must not leave any more."""
        why = self.held(send)
        if not written and not isinstance(send, SendCancel):
            why = "the journal could not be written; it never left"
        if not why:
            return None
        kind = ExecType.DENIED if isinstance(send, SendNew) else ExecType.REPLACE_REJECTED
        return self._own(name_of(send), kind, "withheld", why)

    def _landed(self, send: Send) -> None:
        name, core = name_of(send), self._engine.core
        core.book.on_answer(self._engine.now_ns(), core.orders[name].request.exchange, name)

    def _own(
        self, cl_ord_id: str, kind: ExecType, what: str, text: str, order_id: str | None = None
    ) -> ExecutionReport:
        request, now_ns = self._engine.core.orders[cl_ord_id].request, self._engine.now_ns()
        return ExecutionReport(
            cl_ord_id=cl_ord_id,
            exec_id=f"{cl_ord_id}-{what}",
            exec_type=kind,
            ts_ns=now_ns,
            recv_ns=now_ns,
            order_id=order_id,
            account=self._engine.account,
            symbol=request.symbol,
            side=request.side,
            text=text,
        )

    def _journal_failed(self, pen: Pen) -> None:
        engine = self._engine
        if engine.state != "journal_failed":
            engine.state = "journal_failed"
            pen.add([e for e in engine.alarm("journal", pen.failed) if isinstance(e, Record)])


def _settle(done: asyncio.Future[Sends | None], sends: Sends | None) -> None:
    if not done.done():
        done.set_result(sends)
