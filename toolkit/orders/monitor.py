"""The execution monitor: how long orders stay where they are, what they cost, and how fast each stage is.

Pure: the engine says what happened and when. Memory is bounded: a closed order becomes one
:class:`Outcome`, and the newest :data:`KEPT` of them are kept beside running totals.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from toolkit.market.quotes import Quote
from toolkit.types import Order, OrdStatus

__all__ = ["KEPT", "STAGES", "Alarm", "Histogram", "Monitor", "Outcome"]

STAGES: Final = ("signal", "risk", "journal", "wire", "ack", "fill")
_PLACES: Final = {name: place for place, name in enumerate(STAGES)}
KEPT: Final = 10_000
_S: Final = 1_000_000_000
_SUB: Final = 32
"""Buckets between two powers of two: a quantile is at most 1/32 above the value it stands for."""
_PATIENCE_NS: Final = {
    OrdStatus.UNKNOWN: 2 * _S,
    OrdStatus.PENDING_NEW: 5 * _S,
    OrdStatus.PENDING_CANCEL: 5 * _S,
    OrdStatus.PENDING_REPLACE: 5 * _S,
}
_ADVICE: Final = {
    OrdStatus.UNKNOWN: "its placing was not answered, it may be placed: {asked}; do not send it again",
    OrdStatus.PENDING_NEW: "the broker has not acknowledged it; look into the order book",
    OrdStatus.PENDING_CANCEL: "the cancel is not answered; it may still trade",
    OrdStatus.PENDING_REPLACE: "the modification is not answered; either form may trade",
}
_ASKED: Final = "the broker's book is asked each second"
_UNSURE: Final = {
    OrdStatus.PENDING_CANCEL: "its cancel was not answered; it is at the broker and may still trade: {asked}",
    OrdStatus.PENDING_REPLACE: "its modification was not answered; either form may trade: {asked}",
    None: "a change of it was not answered; it is at the broker and may still trade: {asked}",
}
"""What is unknown of an order that is at the broker, by the request that was not answered."""


class Traded(Protocol):
    """Who counts what the market trades: the hub."""

    def follow(self, symbol: str, since_ns: int) -> None:
        """Begin to count a contract, from a time that is just over."""
        ...

    def leave(self, symbol: str) -> None:
        """One follower of a contract fewer."""
        ...

    def vwap(self, symbol: str, from_ns: int, to_ns: int) -> float | None:
        """The market's average price in rupees between two times, None when unknown."""
        ...


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person must know."""

    kind: str
    cl_ord_id: str
    since_ns: int
    text: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A closed order in figures. Slippage in rupees, positive is a cost, None where a price was unknown.

    ``arrival``: against the middle when the order was made. ``mid``: against the middle at each fill,
    weighted by quantity. ``vwap``: against the market's average over the order's life.
    """

    cl_ord_id: str
    symbol: str
    side: str
    ord_status: str
    algo: str | None
    order_qty: int
    cum_qty: int
    life_s: float
    arrival: float | None
    mid: float | None
    vwap: float | None


class Histogram:
    """Counts of durations in buckets of equal relative width, from 1 ns up; memory is bounded.

    >>> h = Histogram()
    >>> for ns in (1_000, 2_000, 1_000_000): h.add(ns)
    >>> h.quantile(0.5) / 2_000 <= 1 + 1 / 32
    True
    """

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.n = 0
        self.max_ns = 0

    def add(self, ns: int) -> None:
        """Count one duration; a negative one counts as 0."""
        if ns < 0:
            ns = 0
        index = _index(ns)
        self._counts[index] = self._counts.get(index, 0) + 1
        self.n += 1
        if ns > self.max_ns:
            self.max_ns = ns

    def quantile(self, q: float) -> int | None:
        """Upper edge of the bucket that holds the ``q`` quantile, at most the maximum; None when empty."""
        if not self.n:
            return None
        rank = max(1, math.ceil(q * self.n))
        seen = 0
        for index in sorted(self._counts):
            seen += self._counts[index]
            if seen >= rank:
                return min(_edge(index), self.max_ns)
        return self.max_ns

    def summary(self) -> dict[str, float | int | None]:
        """Count and quantiles in microseconds."""
        found: dict[str, float | int | None] = {"n": self.n}
        for name, q in (("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)):
            ns = self.quantile(q)
            found[name] = None if ns is None else ns / 1000.0
        found["max_us"] = self.max_ns / 1000.0 if self.n else None
        return found


class _Life:
    """One open order: when it came into each state and what the market was."""

    __slots__ = ("alarmed", "arrival", "fills", "followed", "since_ns", "status", "unsure")

    def __init__(self, status: OrdStatus, now_ns: int, arrival: float | None) -> None:
        self.status = status
        self.since_ns = now_ns
        self.arrival = arrival
        self.fills: list[tuple[int, float | None]] = []
        self.alarmed = False
        self.followed = False
        self.unsure = ""


class Monitor:
    """What the orders of one account did.

    Parameters
    ----------
    patience_ns : mapping of OrdStatus to int, optional
        How long an order may stay in a state before that is an alarm.
    traded : Traded, optional
        Counts a contract's trades from an order's beginning to its end; may be set later.
    """

    def __init__(self, patience_ns: Mapping[OrdStatus, int] = _PATIENCE_NS, traded: Traded | None = None) -> None:
        self._patience = dict(patience_ns)
        self.traded = traded
        self._marks: dict[str, list[int | None]] = {}
        self._stages = {name: Histogram() for name in (*STAGES[1:], "total")}
        self._lives: dict[str, _Life] = {}
        self._states: dict[str, Histogram] = {}
        self._counts: dict[str, int] = {}
        self.outcomes: deque[Outcome] = deque(maxlen=KEPT)
        self._ordered = 0
        self._filled = 0

    def on_stage(self, cl_ord_id: str, stage: str, at_ns: int) -> None:
        """Note that an order reached a stage, at monotonic nanoseconds; a repeat of a stage is passed over.

        The time since the stage before it goes into that stage's histogram; ``total`` is signal to fill.
        What comes after the fill belongs to no life any more.
        """
        place, marks = _PLACES[stage], self._marks.get(cl_ord_id)
        if marks is None:
            if stage == STAGES[-1] or (place > 1 and cl_ord_id not in self._lives):
                return
            marks = self._marks[cl_ord_id] = [None] * len(STAGES)
        elif marks[place] is not None:
            return
        marks[place] = at_ns
        for earlier in range(place - 1, -1, -1):
            before = marks[earlier]
            if before is not None:
                self._stages[stage].add(at_ns - before)
                break
        if stage == STAGES[-1]:
            if (began := marks[0]) is not None:
                self._stages["total"].add(at_ns - began)
            del self._marks[cl_ord_id]

    def follows(self, cl_ord_id: str) -> bool:
        """Whether an order is known and open: then only an execution needs the market's quote."""
        return cl_ord_id in self._lives

    def on_order(self, before: Order | None, after: Order, now_ns: int, quote: Quote | None) -> None:
        """Take one change of an order, with the market as it is now."""
        cl_ord_id = after.cl_ord_id
        life = self._lives.get(cl_ord_id)
        if life is None:
            if not after.is_open and before is not None:
                return
            life = self._lives[cl_ord_id] = _Life(after.ord_status, now_ns, _mid(quote))
            self._count("orders")
            if self.traded is not None and after.is_open:
                self.traded.follow(after.request.symbol, after.created_ns)
                life.followed = True
        if after.ord_status is OrdStatus.UNKNOWN and (before is None or before.ord_status is not OrdStatus.UNKNOWN):
            life.unsure = _unsure(before, after)
        traded = after.cum_qty - (0 if before is None else before.cum_qty)
        if traded > 0:
            life.fills.append((traded, _mid(quote)))
        if after.ord_status is not life.status:
            self._states.setdefault(str(life.status), Histogram()).add(now_ns - life.since_ns)
            life.status, life.since_ns, life.alarmed = after.ord_status, now_ns, False
        if not after.is_open:
            self._close(after, life, now_ns)

    def alarms(self, now_ns: int) -> tuple[Alarm, ...]:
        """Orders that have stayed too long in a state; each stay is told once."""
        found = []
        for cl_ord_id, life in self._lives.items():
            patience = self._patience.get(life.status)
            if patience is None or life.alarmed or now_ns - life.since_ns <= patience:
                continue
            life.alarmed = True
            seconds = (now_ns - life.since_ns) / _S
            kind = "unknown_order" if life.status is OrdStatus.UNKNOWN else "stuck_order"
            advice = (life.unsure if life.status is OrdStatus.UNKNOWN else "") or _ADVICE[life.status]
            text = f"order {cl_ord_id} is {life.status} for {seconds:.1f} s: {advice.format(asked=_ASKED)}"
            found.append(Alarm(kind=kind, cl_ord_id=cl_ord_id, since_ns=life.since_ns, text=text))
        return tuple(found)

    def latency(self) -> Mapping[str, Histogram]:
        """A histogram a stage: the time from the stage before it; ``total`` is signal to fill."""
        return self._stages

    def execution(self) -> dict[str, Any]:
        """Figures of the day: latency by stage, time by state, ratios, slippage of closed orders.

        Ratios are None before there is anything to divide by; ``fill_ratio`` is units filled of units
        ordered, ``reject_ratio`` orders rejected of orders that left.
        """
        closed = list(self.outcomes)
        orders = self._counts.get("orders", 0)
        reached = orders - self._counts.get("denied", 0)
        return {
            "latency": {name: h.summary() for name, h in self._stages.items()},
            "states": {name: h.summary() for name, h in sorted(self._states.items())},
            "orders": orders,
            "open": len(self._lives),
            "by_status": {k: v for k, v in sorted(self._counts.items()) if k != "orders"},
            "fill_ratio": self._filled / self._ordered if self._ordered else None,
            "reject_ratio": self._counts.get("rejected", 0) / reached if reached else None,
            "slippage": {name: _slippage(closed, name) for name in ("arrival", "mid", "vwap")},
        }

    def _close(self, order: Order, life: _Life, now_ns: int) -> None:
        request = order.request
        self._count(str(order.ord_status))
        if order.ord_status is not OrdStatus.DENIED:
            self._ordered += request.order_qty
            self._filled += order.cum_qty
        market = None
        if self.traded is not None and life.followed:
            if order.cum_qty:
                market = self.traded.vwap(request.symbol, order.created_ns, now_ns)
            self.traded.leave(request.symbol)
        self.outcomes.append(
            Outcome(
                cl_ord_id=order.cl_ord_id,
                symbol=request.symbol,
                side=str(request.side),
                ord_status=str(order.ord_status),
                algo=request.algo,
                order_qty=request.order_qty,
                cum_qty=order.cum_qty,
                life_s=(now_ns - order.created_ns) / _S,
                arrival=_cost(order, life.arrival),
                mid=_cost(order, _weighted(life.fills)),
                vwap=_cost(order, market),
            )
        )
        del self._lives[order.cl_ord_id]
        self._marks.pop(order.cl_ord_id, None)

    def _count(self, what: str) -> None:
        self._counts[what] = self._counts.get(what, 0) + 1


def _unsure(before: Order | None, after: Order) -> str:
    """What is unknown of an order that is unknown now: empty for its placing."""
    if after.order_id is None and not after.execs:
        return ""
    return _UNSURE.get(None if before is None else before.ord_status, _UNSURE[None])


def _index(ns: int) -> int:
    """Bucket of a duration: exact below :data:`_SUB`, then :data:`_SUB` buckets to each power of two."""
    if ns < _SUB:
        return ns
    power = ns.bit_length() - _SUB.bit_length()
    return power * _SUB + (ns >> power)


def _edge(index: int) -> int:
    """The largest duration in a bucket."""
    if index < _SUB:
        return index
    power = index // _SUB - 1
    return (((index % _SUB) + _SUB + 1) << power) - 1


def _mid(quote: Quote | None) -> float | None:
    """Middle of a two-sided quote in rupees, None otherwise."""
    if quote is None or not quote.two_sided or quote.bid_p is None or quote.ask_p is None:
        return None
    return (quote.bid_p + quote.ask_p) / 200.0


def _weighted(fills: Sequence[tuple[int, float | None]]) -> float | None:
    """Average of the middles at the fills, None when one of them was unknown."""
    total = 0.0
    for qty, mid in fills:
        if mid is None:
            return None
        total += qty * mid
    units = sum(qty for qty, _ in fills)
    return total / units if units else None


def _cost(order: Order, reference: float | None) -> float | None:
    """Rupees paid beyond a reference price, or received below it."""
    if reference is None or not order.cum_qty:
        return None
    return order.request.side.sign * (order.traded_value_p / 100.0 - reference * order.cum_qty)


def _slippage(closed: Sequence[Outcome], name: str) -> dict[str, float | int | None]:
    """Sum over the orders with a known reference, per unit beside it, and how many had none."""
    known = [(o.cum_qty, cost) for o in closed if (cost := getattr(o, name)) is not None]
    units = sum(qty for qty, _ in known)
    total = math.fsum(cost for _, cost in known)
    return {
        "rupees": total if known else None,
        "per_unit": total / units if units else None,
        "orders": len(known),
        "unmeasured": sum(1 for o in closed if o.cum_qty) - len(known),
    }
