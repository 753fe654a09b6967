"""Who decides in a live engine, strategies and algorithms, and how their decisions become orders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import ToolkitError
from toolkit.orders.effects import Effect
from toolkit.orders.parents import Make, Parents
from toolkit.orders.runners import Decision, Runner, Runners
from toolkit.types import Denial, ExecutionReport, Intent, OrderRequest, OrdType, Place, Target, TimeInForce

if TYPE_CHECKING:
    from toolkit.orders.live import LiveEngine

__all__ = ["AskOrder", "Deciders"]

AskOrder = Callable[[Sequence[OrderRequest], str], Awaitable[str]]
"""``ask(legs, kind)`` gives the stages of least peak margin as text; empty where the margin is unknown."""


async def _unknown(legs: Sequence[OrderRequest], kind: str) -> str:
    """Nobody knows the margin."""
    return ""


class Deciders:
    """The strategies and the parent orders of one account, asked in the engine's loop.

    Parameters
    ----------
    engine : LiveEngine
    make : callable
        Gives an algorithm for its text.

    Attributes
    ----------
    leg_order : callable
        Says the order of least margin; the process that knows the margin sets it.
    """

    def __init__(self, engine: LiveEngine, make: Make) -> None:
        known = engine.broker.capabilities
        features = {"modify"}
        features |= {"stop_limit"} if OrdType.STOP_LIMIT in known.ord_types else set()
        features |= {"ioc"} if TimeInForce.IOC in known.time_in_force else set()
        self.parents = Parents(make, features)
        self.runners = Runners()
        self.leg_order: AskOrder = _unknown
        self._engine = engine
        self._quoted: set[int] = set()
        self._pulsing = False

    async def ordered(
        self, text: str, legs: Sequence[OrderRequest], policy: Mapping[str, Any] | None
    ) -> Mapping[str, Any] | None:
        """The policy to be journaled, with the legs' order by margin where the algorithm asks for one.

        Raises
        ------
        BadData
            When the algorithm or a parameter is not one.
        """
        kind = self.parents.make(text, legs, policy).order_by_margin()
        found = await self.leg_order(legs, kind) if kind else ""
        return {**(policy or {}), "order": found} if found else policy

    def quoted(self, keys: npt.ArrayLike) -> None:
        """Quotes of these contracts changed: ask whom it concerns once the loop comes to it."""
        if self.parents.running:
            self._quoted.update(np.asarray(keys, np.int64).tolist())
        elif not self.runners:
            return
        if not self._pulsing and self._engine.state == "ready":
            self._pulsing = True
            asyncio.get_running_loop().call_soon(self._pulse)

    def tell(self, report: ExecutionReport) -> None:
        """Pass a durable report to whom it concerns: the algorithm or the strategy that asked."""
        engine = self._engine
        if self.parents.running:
            engine.later(self.parents.on_report(engine.core, report, engine.now_ns()))
        order = engine.core.orders.get(report.cl_ord_id)
        runner = None if order is None else self.runners.of(order.request.algo)
        if runner is None or runner.stopped:
            return
        if runner.busy:
            runner.waiting.append(report)
        else:
            self._ask(runner, lambda: runner.strategy.on_report(report))

    def second(self) -> None:
        """A second has passed: algorithms and strategies with a clock."""
        engine, now_ns = self._engine, self._engine.now_ns()
        engine.later(self.parents.on_clock(engine.core, now_ns))
        for runner in self.runners.idle():
            self._ask(runner, lambda r=runner: r.second(now_ns))  # type: ignore[misc]

    def _pulse(self) -> None:
        """Quotes changed since the last pass of the loop: ask whom it concerns once."""
        self._pulsing = False
        if self._engine.state == "ready" and self._engine.pen is not None:
            self._engine.pen.together(self._ask_all)  # every decision on these quotes is in one commit, and now
        else:
            self._quoted.clear()

    def _ask_all(self) -> None:
        """Ask everybody whom the changed quotes concern."""
        engine = self._engine
        changed, self._quoted = frozenset(self._quoted), set()
        if self.parents.running:
            engine.later(self.parents.on_quotes(engine.core, engine.now_ns(), changed))
        for runner in self.runners.idle():
            self._ask(runner, runner.market)

    def _ask(self, runner: Runner, what: Callable[[], Sequence[Intent]]) -> None:
        """Take one decision of a strategy and carry it out, at once where the broker need not be asked first."""
        engine, began_ns = self._engine, self._engine.mono()
        decision = self.runners.decide(runner, what)
        if decision is None:
            return
        if runner.stopped:
            engine.later(engine.alarm("strategy", runner.stopped, runner.name))
            return
        runner.busy = True
        places = [i for i in decision.intents if isinstance(i, Place | Target)]
        unlisted = engine.books.unlisted(place.symbol for place in places)
        if places and engine.state == "ready" and (unlisted or engine.checks.asks_margin):
            engine.task(self._prepared(decision, began_ns, places, unlisted))
        else:
            self._carry_out(decision, began_ns, ())

    async def _prepared(
        self, decision: Decision, began_ns: int, places: Sequence[Place | Target], unlisted: Sequence[str]
    ) -> None:
        """Learn terms, and ask the broker about margin, before a decision is carried out."""
        engine = self._engine
        short: tuple[Denial, ...] = ()
        try:
            await engine.books.list_terms(unlisted)
            if engine.checks.asks_margin:
                short = await engine.checks.margin(engine.core.requests(engine.now_ns(), places))
        except ToolkitError as error:
            self._failed(decision.runner, error)
            self._free(decision.runner)
        except BaseException:
            self._free(decision.runner)
            raise
        else:
            self._carry_out(decision, began_ns, short)

    def _carry_out(self, decision: Decision, began_ns: int, short: tuple[Denial, ...]) -> None:
        """Its state and its orders are one transaction; reports that come meanwhile are told afterwards."""
        engine, core, runner = self._engine, self._engine.core, decision.runner
        effects: list[Effect] = []
        now_ns = engine.now_ns()
        try:
            if decision.state is not None:
                effects += core.note(now_ns, "strategy", runner.name, decision.state)
            engine.checks.short = short
            try:
                effects += core.on_intents(now_ns, decision.intents, algo=runner.name)
            finally:
                engine.checks.short = ()
            engine.path.decided(effects, began_ns)
            engine.path.carry(effects, lambda _: self._free(runner))
        except ToolkitError as error:
            self._failed(runner, error)
            self._free(runner)
        except BaseException:
            self._free(runner)
            raise

    def _failed(self, runner: Runner, error: ToolkitError) -> None:
        engine = self._engine
        engine.later(engine.alarm("strategy", f"strategy '{runner.name}': {error}", runner.name))

    def _free(self, runner: Runner) -> None:
        """A decision is carried out: tell the strategy what came meanwhile."""
        runner.busy = False
        waiting, runner.waiting = runner.waiting, []
        for report in waiting:
            if runner.busy:
                runner.waiting.append(report)
            else:
                self._ask(runner, lambda r=report: runner.strategy.on_report(r))  # type: ignore[misc]
