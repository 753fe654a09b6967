"""Strategies at work in a live engine: one decision at a time, its state with its orders in one record. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from toolkit.errors import BadData
from toolkit.market.view import View
from toolkit.strategies.protocol import Strategy
from toolkit.types import ExecutionReport, Intent

__all__ = ["Decision", "Runner", "Runners"]

Look = Callable[[], View | None]


class Runner:
    """One strategy and what it has seen.

    While a decision is being carried out the strategy is not asked again; reports that come
    meanwhile wait, quotes are conflated.
    """

    def __init__(self, strategy: Strategy, underlying: str, view: Look) -> None:
        self.strategy = strategy
        self.underlying = underlying
        self.view = view
        self.busy = False
        self.stopped = ""
        self.waiting: list[ExecutionReport] = []
        self.state: dict[str, Any] | None = None
        self._seen: tuple[int, int] | None = None
        self._ticked = type(strategy).on_tick is not Strategy.on_tick
        self._clocked = type(strategy).on_clock is not Strategy.on_clock

    @property
    def name(self) -> str:
        """The strategy's name: its orders bear it in ``algo``."""
        return self.strategy.name or type(self.strategy).__name__

    def market(self) -> Sequence[Intent]:
        """Quotes changed: a new snapshot is a chain, anything else a tick."""
        view = self.view()
        if view is None:
            return ()
        newest = view.chain()
        mark = None if newest is None else (newest.ts_ns, newest.recv_ns)
        if mark is not None and mark != self._seen:
            self._seen = mark
            return self.strategy.on_chain(view)
        return self.strategy.on_tick(view) if self._ticked and self._seen is not None else ()

    def second(self, now_ns: int) -> Sequence[Intent]:
        """A second has passed."""
        return self.strategy.on_clock(now_ns) if self._clocked else ()


class Decision:
    """What one call of a strategy came to: its intents, and its state if that changed."""

    __slots__ = ("intents", "runner", "state")

    def __init__(self, runner: Runner, intents: Sequence[Intent], state: dict[str, Any] | None) -> None:
        self.runner = runner
        self.intents = intents
        self.state = state


class Runners:
    """The strategies of one account, by name."""

    def __init__(self) -> None:
        self._runners: dict[str, Runner] = {}

    def add(self, strategy: Strategy, underlying: str, view: Look, kept: Mapping[str, Any]) -> None:
        """Take a strategy; ``kept`` are the journaled states by name.

        Raises
        ------
        BadData
            When one of that name runs already.
        """
        runner = Runner(strategy, underlying, view)
        if runner.name in self._runners:
            raise BadData(f"strategy '{runner.name}' runs already on this account; give the second another name")
        if runner.name in kept:
            runner.state = dict(kept[runner.name])
            strategy.restore(dict(kept[runner.name]))
        self._runners[runner.name] = runner

    def __len__(self) -> int:
        """How many there are."""
        return len(self._runners)

    def names(self) -> tuple[str, ...]:
        """Names of the strategies."""
        return tuple(self._runners)

    def of(self, name: str | None) -> Runner | None:
        """The runner of a strategy."""
        return None if name is None else self._runners.get(name)

    def idle(self) -> list[Runner]:
        """Runners that may be asked now."""
        return [r for r in self._runners.values() if not r.busy and not r.stopped]

    def decide(self, runner: Runner, ask: Callable[[], Sequence[Intent]]) -> Decision | None:
        """Ask a strategy; None when it has nothing to say. One that fails is stopped, and its orders stay."""
        try:
            intents = list(ask())
            state = runner.strategy.state()
        except Exception as error:
            runner.stopped = f"strategy '{runner.name}' failed and was stopped: {type(error).__name__}: {error}"
            return Decision(runner, (), None)
        changed = state if state != runner.state and (state or runner.state is not None) else None
        if not intents and changed is None:
            return None
        runner.state = state
        return Decision(runner, intents, changed)
