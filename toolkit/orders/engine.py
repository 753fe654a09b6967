"""The edge that performs the core's effects: journal first, then send, then tell.

Synchronous and driven by event time, for replay and paper on the simulated exchange; the
live engine wraps the same :class:`~toolkit.orders.core.Core` in one asyncio loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy.typing as npt

from toolkit.orders.core import Core
from toolkit.orders.effects import Effect, Record, SendCancel, SendNew, SendReplace, Tell
from toolkit.risk.limits import TradingState
from toolkit.sim.exchange import SimExchange
from toolkit.types import ExecutionReport, Fill, Intent, OrderRequest

__all__ = ["Engine", "Sink"]

OnReport = Callable[[ExecutionReport, int], Sequence[Intent]]
_ROUNDS = 64


class Sink(Protocol):
    """Where records become durable: the journal."""

    def append(self, records: Sequence[Record]) -> int:
        """Make records durable, all or none; raise when they are not."""
        ...


class Engine:
    """One account, its journal and a simulated exchange.

    Parameters
    ----------
    core : Core
        Decides.
    journal : Sink
        Every record of one burst is durable before its first message leaves.
    exchange : SimExchange
        Where orders go.
    on_report : callable
        ``on_report(report, now_ns) -> intents``: the strategy hears of everything, denials included.
    """

    def __init__(self, core: Core, journal: Sink, exchange: SimExchange, on_report: OnReport | None = None) -> None:
        self.core = core
        self.journal = journal
        self.exchange = exchange
        self._on_report: OnReport = on_report or (lambda report, now_ns: ())

    def start_day(self, now_ns: int, session: tuple[int, int], carried: dict[str, object] | None = None) -> None:
        """Open a day with its trading hours (open_ns, close_ns)."""
        self.core.book.session = session
        self.exchange.open_session(*session)
        self._perform(now_ns, self.core.start_day(now_ns, carried))

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
        """Let time run to ``now_ns``, then take the quotes received then, on both sides of the wire."""
        self.run_until(now_ns - 1)
        self.core.book.quotes.update(now_ns, keys, bid, bid_qty, ask, ask_qty, ltp)
        self.exchange.on_quotes(now_ns, keys, bid, bid_qty, ask, ask_qty, ltp)
        self.run_until(now_ns)

    def intents(self, now_ns: int, intents: Sequence[Intent], *, algo: str | None = None) -> None:
        """Take one decision of a strategy: one journal transaction, then its messages."""
        self._perform(now_ns, self.core.on_intents(now_ns, intents, algo=algo))

    def submit(self, now_ns: int, request: OrderRequest) -> None:
        """Take one order of a person."""
        self._perform(now_ns, self.core.submit(now_ns, request))

    def set_state(self, now_ns: int, state: TradingState, reason: str) -> None:
        """Halt, reduce or re-arm."""
        self._perform(now_ns, self.core.set_state(now_ns, state, reason))

    def settle(self, now_ns: int, fills: Iterable[Fill]) -> None:
        """Book the settlement of expired positions."""
        self._perform(now_ns, self.core.on_settlement(now_ns, fills))

    def run_until(self, now_ns: int) -> None:
        """Let messages under way arrive, one instant after the other, up to ``now_ns``."""
        while (due_ns := self.exchange.next_ns()) is not None and due_ns <= now_ns:
            for report in self.exchange.advance(due_ns):
                self._perform(due_ns, self.core.on_report(report))
        for report in self.exchange.advance(now_ns):
            self._perform(now_ns, self.core.on_report(report))

    def end_day(self) -> None:
        """Let the session close: DAY orders expire, and everything still under way arrives."""
        if self.core.book.session is None:
            return
        self.run_until(self.core.book.session[1])
        while (due_ns := self.exchange.next_ns()) is not None:
            self.run_until(due_ns)

    def _perform(self, now_ns: int, effects: Sequence[Effect]) -> None:
        """Journal the burst in one transaction, send it, tell the strategy, and so on with its answers.

        A strategy that answers each answer without end is cut off after a bounded number of rounds:
        its further intents are dropped and trading is halted, which is journaled.
        """
        for _ in range(_ROUNDS):
            if not effects:
                return
            records = [e for e in effects if isinstance(e, Record)]
            if records:
                self.journal.append(records)
            for effect in effects:
                self._send(now_ns, effect)
            effects = [answer for e in effects if isinstance(e, Tell) for answer in self._answer(now_ns, e.report)]
        reason = f"the strategy answered its own reports {_ROUNDS} times at one instant"
        halted = self.core.set_state(now_ns, TradingState.HALTED, reason)
        self.journal.append([e for e in (*effects, *halted) if isinstance(e, Record)])
        for effect in (*effects, *halted):
            self._send(now_ns, effect)

    def _answer(self, now_ns: int, report: ExecutionReport) -> list[Effect]:
        """What the strategy makes of a report; its answer bears the name that the order bears."""
        intents = self._on_report(report, now_ns)
        order = self.core.orders.get(report.cl_ord_id)
        return self.core.on_intents(now_ns, intents, algo=None if order is None else order.request.algo)

    def _send(self, now_ns: int, effect: Effect) -> None:
        if isinstance(effect, SendNew):
            self.exchange.place(effect.request, now_ns)
        elif isinstance(effect, SendReplace):
            self.exchange.modify(effect.modify, now_ns)
        elif isinstance(effect, SendCancel):
            self.exchange.cancel(effect.cl_ord_id, now_ns)
