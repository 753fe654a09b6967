"""The rule engine: small callables over one :class:`Scene`, stacked; what they demand becomes visible locks.

Three kinds of callables, each registered under a name with its typed parameters:

- an *order rule* looks at one order and answers why not;
- a *lock rule* looks back on the day and answers what must be locked, until when;
- a *level rule* measures one figure; :class:`RuleBook` trips at one level and re-arms at another.

Nothing here lifts a lock but its time, its level or :meth:`RuleBook.unlock`, a person's act that
names the account. No strategy, notebook or API call reaches it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar, get_type_hints

import msgspec

from toolkit.calendar import to_ist
from toolkit.errors import BadData
from toolkit.risk.guards import CoreView, Facts, Trip, Watcher
from toolkit.risk.history import History, strategy_of, underlying_of
from toolkit.risk.limits import TradingState
from toolkit.types import Denial, ExecutionReport, Order, OrderRequest

__all__ = [
    "KINDS",
    "Hold",
    "Kind",
    "Lock",
    "Reading",
    "Rule",
    "RuleBook",
    "Scene",
    "level_rule",
    "lock_rule",
    "order_rule",
]

_WORST: Final = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}
ACCOUNT: Final = "account"


class Reason(NamedTuple):
    """What an order rule answers: its limit, the value seen, one line."""

    limit: float | int | str
    value: float | int | str
    text: str


class Hold(msgspec.Struct, frozen=True):
    """What a lock rule demands.

    ``scope`` is ``account``, ``underlying NIFTY``, ``symbol ...`` or ``strategy NAME``; ``until_ns``
    None stands until a person unlocks it. ``anew``: once its time is over the rule counts from there
    (and a standing lock is not extended).
    """

    scope: str
    until_ns: int | None
    text: str
    state: TradingState = TradingState.REDUCING
    anew: bool = False


class Reading(msgspec.Struct, frozen=True):
    """What a level rule measures: trips when ``value`` is above ``trip``, re-arms at or below ``rearm``.

    ``value`` None is unknown: it neither re-arms nor, unless ``unknown_trips``, trips.
    """

    value: float | None
    trip: float
    rearm: float
    text: str
    back: str
    state: TradingState = TradingState.REDUCING
    unknown_trips: bool = False


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """A lock in force: what it stops, why, since when, until when, and what lifts it."""

    lock_id: str
    rule: str
    scope: str
    state: TradingState
    text: str
    rearm: str
    since_ns: int
    until_ns: int | None = None
    level: bool = False
    anew: bool = False

    def covers(self, order: OrderRequest) -> bool:
        """Whether an order is within its scope."""
        what, _, name = self.scope.partition(" ")
        if what == "underlying":
            return underlying_of(order.symbol) == name
        if what == "symbol":
            return order.symbol == name
        if what == "strategy":
            return strategy_of(order.algo) == name
        return True


class Scene:
    """The one state object that every rule looks at.

    Attributes
    ----------
    now_ns : int
        Now.
    facts : Facts
        The account's newest figures; unknown ones are None.
    history : History
        The day so far.
    order, core : the order in front of an order rule, and the engine's core; None elsewhere.
    added : int
        Units the order adds to what is open.
    reduces : bool
        Whether it only shrinks a position.
    rule : str
        Name of the rule that looks.
    memory : dict
        What a rule keeps for itself from look to look, under its own name.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self.facts = Facts()
        self.history = History()
        self.order: OrderRequest | None = None
        self.core: CoreView | None = None
        self.added = 0
        self.reduces = False
        self.rule = ""
        self.cleared: dict[str, tuple[int, int]] = {}
        self.memory: dict[str, float] = {}

    def since_ns(self, scope: str, window_ns: int | None) -> int:
        """From when a rule may count in a scope: its window, but not what a person unlocked already."""
        cleared = max(self.cleared.get(f"{self.rule}|{s}", (0, 0))[0] for s in (scope, ACCOUNT))
        return cleared if window_ns is None else max(cleared, self.now_ns - window_ns)

    def cleared_profit_p(self) -> int:
        """The day's profit when a person last unlocked this rule, 0 before."""
        return self.cleared.get(f"{self.rule}|{ACCOUNT}", (0, 0))[1]

    def look_at(self, order: OrderRequest, core: CoreView, now_ns: int) -> None:
        """Put an order in front of the rules."""
        self.now_ns, self.order, self.core = now_ns, order, core
        qty = order.order_qty if type(order.order_qty) is int else 0
        replaced = core.orders.get(order.cl_ord_id)
        if replaced is not None and replaced.is_open:
            qty -= replaced.cum_qty + replaced.leaves_qty
        self.added = qty
        self.reduces = core.book.reduces(order.symbol, order.side, max(0, qty))


class Kind(NamedTuple):
    """A kind of rule: its callable, its parameters, what it does in a line."""

    name: str
    phase: str
    call: Callable[[Scene, Any], Any]
    params: type[msgspec.Struct]
    does: str


class Rule(NamedTuple):
    """A rule as declared: a kind with its parameters under a name."""

    name: str
    kind: Kind
    params: msgspec.Struct


KINDS: Final[dict[str, Kind]] = {}
"""Every kind of rule by name; a rules file uses these words."""

P = TypeVar("P", bound=msgspec.Struct)


def _register(name: str, phase: str, call: Callable[[Scene, Any], Any]) -> None:
    params = list(get_type_hints(call).values())[1]
    KINDS[name] = Kind(name, phase, call, params, (inspect.getdoc(call) or "").split("\n")[0])


def order_rule(name: str) -> Callable[[Callable[[Scene, P], Reason | None]], Callable[[Scene, P], Reason | None]]:
    """Register a callable that answers why an order must not leave, or None."""

    def register(call: Callable[[Scene, P], Reason | None]) -> Callable[[Scene, P], Reason | None]:
        _register(name, "order", call)
        return call

    return register


def lock_rule(name: str) -> Callable[[Callable[[Scene, P], Iterable[Hold]]], Callable[[Scene, P], Iterable[Hold]]]:
    """Register a callable that answers what must be locked now."""

    def register(call: Callable[[Scene, P], Iterable[Hold]]) -> Callable[[Scene, P], Iterable[Hold]]:
        _register(name, "lock", call)
        return call

    return register


def level_rule(name: str) -> Callable[[Callable[[Scene, P], Reading | None]], Callable[[Scene, P], Reading | None]]:
    """Register a callable that measures one figure against its levels."""

    def register(call: Callable[[Scene, P], Reading | None]) -> Callable[[Scene, P], Reading | None]:
        _register(name, "level", call)
        return call

    return register


class RuleBook(Watcher):
    """Rules stacked over one account: a guard of the engine.

    Parameters
    ----------
    rules : sequence of Rule
        All apply; each says its own reasons.
    account : str
        The account whose id a person types to unlock.

    Attributes
    ----------
    readings : dict
        What each level rule measured last, by its name.
    """

    name = "rules"

    def __init__(self, rules: Sequence[Rule], account: str = "") -> None:
        names = [rule.name for rule in rules]
        for name in names:
            if names.count(name) > 1:
                raise BadData(f"two rules are named '{name}'; name one of them otherwise")
        self.rules = tuple(rules)
        self.account = account
        self.scene = Scene()
        self.readings: dict[str, Reading] = {}
        self._locks: dict[str, Lock] = {}
        self._numbered = 0

    def check(self, order: OrderRequest, core: CoreView, now_ns: int) -> tuple[Denial, ...]:
        """Every reason of every rule and lock against an order; what only reduces passes a reducing lock."""
        self._turn(now_ns)
        self.scene.look_at(order, core, now_ns)
        found = []
        for lock in self.locks(now_ns):
            if lock.covers(order) and not (lock.state is TradingState.REDUCING and self.scene.reduces):
                until = "unlocked" if lock.until_ns is None else f"{to_ist(lock.until_ns):%H:%M:%S}"
                found.append(
                    Denial(
                        "lock", until, lock.rule, f"{lock.scope} is locked by {lock.rule}: {lock.text}; {lock.rearm}"
                    )
                )
        for rule in self.rules:
            if rule.kind.phase == "order":
                self.scene.rule = rule.name
                reason = rule.kind.call(self.scene, rule.params)
                if reason is not None:
                    found.append(Denial(rule.name, *reason))
        return tuple(found)

    def on_report(self, report: ExecutionReport, order: Order, now_ns: int) -> None:
        """Take a report into the day's history, and look back at once."""
        self._turn(now_ns)
        self.scene.now_ns = now_ns
        self.scene.history.on_report(report, order, now_ns)
        self._look_back(now_ns)

    def watch(self, now_ns: int, facts: Facts) -> Trip | None:
        """Measure every level, look back, and answer the worst that is locked for the whole account."""
        self._turn(now_ns)
        self.scene.now_ns, self.scene.facts = now_ns, facts
        if facts.profit_p is not None:
            self.scene.history.on_profit(now_ns, facts.profit_p)
        self._look_back(now_ns)
        self._measure(now_ns)
        standing = [lock for lock in self.locks(now_ns) if lock.scope == ACCOUNT]
        if not standing:
            return None
        worst = max(standing, key=lambda lock: (_WORST[lock.state], lock.until_ns is None, lock.until_ns or 0))
        return Trip(worst.state, worst.rule, worst.text, worst.rearm, worst.until_ns)

    def locks(self, now_ns: int) -> tuple[Lock, ...]:
        """The locks in force, oldest first; those whose time has come are lifted."""
        for lock in list(self._locks.values()):
            if lock.until_ns is not None and now_ns >= lock.until_ns:
                del self._locks[lock.lock_id]
                if lock.anew:
                    self._forget(lock, now_ns)
        return tuple(self._locks.values())

    def unlock(self, lock_id: str, *, account: str, now_ns: int) -> Lock:
        """Lift a lock: a person's act, journaled by the caller, that names the account.

        What the rule counted until now is not held against the account again. A lock whose level
        still stands cannot be lifted.

        Raises
        ------
        BadData
            For a wrong account, an unknown lock, or a level that still stands.
        """
        if not self.account or account != self.account:
            raise BadData(f"unlocking needs the account's own id, was '{account}'; nothing was unlocked")
        lock = self._locks.get(lock_id)
        if lock is None:
            known = ", ".join(self._locks) or "none"
            raise BadData(f"no lock '{lock_id}' stands (standing: {known}); list them with 'toolkit rules locks'")
        if lock.level:
            raise BadData(f"lock {lock_id} cannot be lifted while its cause stands: {lock.text}; {lock.rearm}")
        del self._locks[lock_id]
        self._forget(lock, now_ns)
        return lock

    def state(self) -> dict[str, Any]:
        """Everything to remember, as JSON can carry it."""
        made: dict[str, Any] = msgspec.to_builtins(
            {
                "account": self.account,
                "history": self.scene.history.state(),
                "locks": list(self._locks.values()),
                "numbered": self._numbered,
                "cleared": self.scene.cleared,
                "memory": self.scene.memory,
            }
        )
        return made

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state` gave; locks stand again until their time."""
        self.scene.history.restore(state["history"])
        self._locks = {lock.lock_id: lock for lock in msgspec.convert(state["locks"], list[Lock])}
        self._numbered = int(state["numbered"])
        self.scene.cleared = msgspec.convert(state["cleared"], dict[str, tuple[int, int]])
        self.scene.memory = msgspec.convert(state["memory"], dict[str, float])

    def _turn(self, now_ns: int) -> None:
        """On a new day what was unlocked or remembered of the old one is gone; locks stand until their time."""
        if self.scene.history.turn(now_ns):
            self.scene.cleared.clear()
            self.scene.memory.clear()

    def _forget(self, lock: Lock, now_ns: int) -> None:
        """Let a rule count from now on, and from the profit known now."""
        profit = self.scene.facts.profit_p
        if profit is None:
            profit = self.scene.history.equity[-1][1] if self.scene.history.equity else 0
        self.scene.cleared[f"{lock.rule}|{lock.scope}"] = (now_ns, profit)

    def _look_back(self, now_ns: int) -> None:
        """Let every lock rule look; the same rule locks the same scope once."""
        for rule in self.rules:
            if rule.kind.phase == "lock":
                self.scene.rule = rule.name
                for hold in rule.kind.call(self.scene, rule.params):
                    self._lock(rule.name, hold, now_ns)

    def _measure(self, now_ns: int) -> None:
        for rule in self.rules:
            if rule.kind.phase != "level":
                continue
            self.scene.rule = rule.name
            reading = rule.kind.call(self.scene, rule.params)
            if reading is None:
                self.readings.pop(rule.name, None)
            else:
                self.readings[rule.name] = reading
            standing = next((x for x in self._locks.values() if x.rule == rule.name and x.level), None)
            if standing is None:
                if reading is not None and _trips(reading):
                    self._lock(rule.name, Hold(ACCOUNT, None, reading.text, reading.state), now_ns, reading.back)
            elif reading is None or (reading.value is not None and reading.value <= reading.rearm):
                del self._locks[standing.lock_id]

    def _lock(self, rule: str, hold: Hold, now_ns: int, back: str = "") -> None:
        """Make a lock, or extend the one of this rule and scope; ``back`` is what re-arms a level."""
        if hold.until_ns is not None and hold.until_ns <= now_ns:
            return
        standing = next((x for x in self._locks.values() if x.rule == rule and x.scope == hold.scope), None)
        if standing is not None and not _longer(hold, standing):
            return
        if standing is None:
            self._numbered += 1
        lock_id = f"{rule}-{self._numbered}" if standing is None else standing.lock_id
        until = "" if hold.until_ns is None else f"lifts at {to_ist(hold.until_ns):%d-%b %H:%M:%S} or "
        self._locks[lock_id] = Lock(
            lock_id=lock_id,
            rule=rule,
            scope=hold.scope,
            state=hold.state,
            text=hold.text,
            rearm=back or f"{until}by 'toolkit rules unlock {lock_id}' with the account's id",
            since_ns=now_ns if standing is None else standing.since_ns,
            until_ns=hold.until_ns,
            level=bool(back),
            anew=hold.anew,
        )


def _longer(hold: Hold, lock: Lock) -> bool:
    if lock.until_ns is None or hold.anew:
        return False
    return hold.until_ns is None or hold.until_ns > lock.until_ns


def _trips(reading: Reading) -> bool:
    return reading.unknown_trips if reading.value is None else reading.value > reading.trip
