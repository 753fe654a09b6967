"""Parent orders at work: each algorithm sees its world and answers with intents. Pure.

One decision of an algorithm is its new state and its children in one transaction: after a crash it
is restored to where its last durable decision left it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from toolkit.errors import BadData
from toolkit.market.quotes import Quote
from toolkit.orders.algo import Algo
from toolkit.orders.algo_carries import refuse
from toolkit.orders.core import Core
from toolkit.orders.effects import Effect
from toolkit.orders.parent_rules import denials
from toolkit.types import Denial, ExecutionReport, Instrument, Intent, Kind, Order, OrderRequest, Side

__all__ = ["Make", "Parents", "Sight"]

Make = Callable[[str, Sequence[OrderRequest], Mapping[str, Any] | None], Algo]
"""``make(text, legs, policy)`` gives an algorithm."""
_FEATURES: Final = ("stop_limit", "ioc", "modify")


class Sight:
    """What one algorithm may look at: a :class:`~toolkit.orders.algo.World` over the core."""

    def __init__(
        self, core: Core, parent: str, now_ns: int, features: frozenset[str], delta: Callable[[str], float | None]
    ) -> None:
        self._core = core
        self._parent = parent
        self._features = features
        self._delta = delta
        self.now_ns = now_ns

    @property
    def session(self) -> tuple[int, int]:
        """Open and close of today's session."""
        return self._core.book.session or (0, 0)

    def quote(self, symbol: str) -> Quote | None:
        """The newest fresh quote, None when there is none or it is stale."""
        found = self._core.quote(symbol)
        if found is None or not 0 <= self.now_ns - found.ts_ns <= self._core.limits.max_quote_age_s * 1e9:
            return None
        return found

    def volume(self, symbol: str) -> int | None:
        """Units traded in the market today, None when the feed does not say."""
        return self._core.book.volumes.get(symbol)

    def instrument(self, symbol: str) -> Instrument:
        """Contract terms as of today."""
        found = self._core.book.instruments.get(symbol)
        if found is None:
            raise BadData(f"no contract {symbol!r} is listed today")
        return found

    def net(self, symbol: str) -> int:
        """The account's net position in units."""
        return self._core.book.net.get(symbol, 0)

    def open_qty(self, symbol: str, side: Side) -> int:
        """Units that the account's open orders on one side may still trade."""
        return self._core.book.open_qty(symbol, side)

    def delta(self, symbol: str) -> float:
        """Black-76 delta of one unit; 1 for a future or a share, NaN when unknown."""
        if self.instrument(symbol).kind is not Kind.OPTION:
            return 1.0
        found = self._delta(symbol)
        return math.nan if found is None else found

    def children(self) -> Mapping[str, Order]:
        """The algorithm's child orders by ref, oldest first."""
        found: dict[str, Order] = {}
        for cl_ord_id in self._core.children.get(self._parent, ()):
            order = self._core.orders[cl_ord_id]
            found[order.request.note or cl_ord_id] = order
        return found

    def can(self, what: str) -> bool:
        """Whether the broker can: ``stop_limit``, ``ioc``, ``modify``."""
        if what not in _FEATURES:
            raise BadData(f"a feature is one of {', '.join(_FEATURES)}, was {what!r}")
        return what in self._features


class Parents:
    """The algorithms at work in one account.

    Parameters
    ----------
    make : callable
        Gives an algorithm for its text.
    features : set of str
        What the broker can do.
    """

    def __init__(self, make: Make, features: Iterable[str]) -> None:
        self._make = make
        self._features = frozenset(features)
        self.running: dict[str, Algo] = {}
        self.delta: Callable[[str], float | None] = lambda symbol: None

    def make(self, text: str, legs: Sequence[OrderRequest], policy: Mapping[str, Any] | None) -> Algo:
        """The algorithm that a parent to come would be.

        Raises
        ------
        BadData
            For a text or policy that is none, or a leg that asks for what the children would not keep.
        """
        algo = self._make(text, legs, policy)
        refuse(algo.name, legs, self._features)
        return algo

    def denials(
        self, core: Core, now_ns: int, text: str, legs: Sequence[OrderRequest], policy: Mapping[str, Any] | None
    ) -> tuple[Denial, ...]:
        """Every reason against a parent to come, of the rules that hold for a plain order."""
        world = Sight(core, "", now_ns, self._features, self.delta)
        return denials(core, self.make(text, legs, policy), text, world, now_ns)

    def restore(self, core: Core) -> None:
        """Continue every algorithm that was not done."""
        for cl_ord_id, kept in core.algos.items():
            if kept.done or cl_ord_id in self.running:
                continue
            algo = self._make(kept.asked.algo or "", kept.legs, kept.policy)
            if kept.state:
                algo.restore(kept.state)
            self.running[cl_ord_id] = algo
            core.book.on_parent(cl_ord_id, algo.bounds())

    def start(
        self,
        core: Core,
        now_ns: int,
        request: OrderRequest,
        legs: Sequence[OrderRequest],
        policy: Mapping[str, Any] | None,
    ) -> list[Effect]:
        """Accept a parent and take its first decision, or deny it; the same again does nothing."""
        if core.asked(request.cl_ord_id) is not None:
            return core.start_algo(now_ns, request, legs, policy)
        text = request.algo or ""
        algo = self.make(text, legs, policy)
        against = self.denials(core, now_ns, text, legs, policy)
        if against:
            return core.deny_algo(now_ns, request, legs, against)
        effects = core.start_algo(now_ns, request, legs, policy)
        self.running[request.cl_ord_id] = algo
        core.book.on_parent(request.cl_ord_id, algo.bounds())
        return effects + self._decide(core, now_ns, request.cl_ord_id, algo.on_start)

    def on_report(self, core: Core, report: ExecutionReport, now_ns: int) -> list[Effect]:
        """Tell the algorithm of a child, or of a slice of a child."""
        parent = self.of(core, report.cl_ord_id)
        algo = None if parent is None else self.running.get(parent)
        if parent is None or algo is None:
            return []
        return self._decide(core, now_ns, parent, lambda world: algo.on_report(report, world))

    def on_quotes(self, core: Core, now_ns: int, changed: frozenset[int] | None) -> list[Effect]:
        """Quotes changed: ``changed`` are their keys, None is all."""
        effects: list[Effect] = []
        for parent, algo in list(self.running.items()):
            if changed is None or any(_key(core, symbol) in changed for symbol in algo.wants()):
                effects += self._decide(core, now_ns, parent, algo.on_quote)
        return effects

    def on_clock(self, core: Core, now_ns: int) -> list[Effect]:
        """A second has passed."""
        effects: list[Effect] = []
        for parent, algo in list(self.running.items()):
            effects += self._decide(core, now_ns, parent, algo.on_clock)
        return effects

    def cancel(self, core: Core, now_ns: int, parent: str) -> list[Effect]:
        """A person cancels a parent."""
        algo = self.running.get(parent)
        if algo is None:
            return core.cancel(now_ns, parent)
        return self._decide(core, now_ns, parent, algo.on_cancel)

    def protects(self, core: Core, parent: str) -> bool:
        """Whether nothing that an algorithm may still do by its legs adds to a position."""
        kin = [core.orders[c] for c in core.children.get(parent, ())]
        for leg in core.algos[parent].legs:
            done = sum(o.cum_qty for o in kin if (o.request.symbol, o.request.side) == (leg.symbol, leg.side))
            left, net = leg.order_qty - done, core.book.net.get(leg.symbol, 0)
            if left > 0 and not (net * leg.side.sign < 0 and left <= abs(net)):
                return False
        return True

    def of(self, core: Core, cl_ord_id: str) -> str | None:
        """The running parent of an order, through its slices."""
        order = core.orders.get(cl_ord_id)
        while order is not None:
            parent = order.request.parent_id
            if parent is None or parent in self.running:
                return parent
            order = core.orders.get(parent)
        return None

    def wants(self) -> frozenset[str]:
        """Symbols whose quotes the algorithms need."""
        return frozenset(symbol for algo in self.running.values() for symbol in algo.wants())

    def _decide(self, core: Core, now_ns: int, parent: str, ask: Callable[[Sight], Sequence[Intent]]) -> list[Effect]:
        """One decision: the algorithm's state first, then its children, in the same transaction."""
        algo, kept = self.running[parent], core.algos[parent]
        try:
            intents = list(ask(Sight(core, parent, now_ns, self._features, self.delta)))
        except Exception as error:  # an algorithm that fails stops; what it has working stays and is named
            algo.done, algo.text = True, f"stopped by a fault: {type(error).__name__}: {error}"
            intents = []
        effects: list[Effect] = []
        state = algo.state()
        if intents or state != kept.state or algo.done != kept.done or algo.text != kept.text:
            effects += core.keep_algo(now_ns, parent, state, done=algo.done, text=algo.text)
        name = (kept.asked.algo or "").partition(" ")[0] or None
        effects += core.on_intents(now_ns, intents, algo=name, parent=parent)
        for told in algo.alarms:
            effects += core.note(now_ns, "alarm", parent, {"kind": "stop_held", "text": f"{parent}: {told}"})
        algo.alarms.clear()
        if algo.done:
            del self.running[parent]
        return effects


def _key(core: Core, symbol: str) -> int | None:
    instrument = core.book.instruments.get(symbol)
    if instrument is None:
        return None
    return instrument.instrument_id if instrument.token is None else instrument.token
