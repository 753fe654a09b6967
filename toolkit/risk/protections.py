"""Rules that hold a trader to what he decided beforehand: stackable, each with its own look-back and lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from toolkit.calendar import to_ist
from toolkit.risk.history import RoundTrip, strategy_of
from toolkit.risk.limits import TradingState
from toolkit.risk.rules import ACCOUNT, Hold, Reason, Scene, lock_rule, order_rule
from toolkit.risk.units import Clock, Rupees, Span
from toolkit.types import Instrument, Kind, OptionType, Side

__all__ = [
    "cooldown",
    "expiry_gamma",
    "low_performer",
    "no_naked_shorts",
    "repeated_execution",
    "stoploss_guard",
    "time_window",
    "trade_count",
]

Scope = Literal["account", "underlying", "symbol", "strategy"]


class StoplossGuard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``stoploss_guard``: a loss counts from ``min_loss``; ``only_stops`` counts stop orders alone."""

    losses: int = 3
    window: Span = Span.parse("60 min")
    lock: Span = Span.parse("30 min")
    min_loss: Rupees = Rupees.parse("1 Rs")
    only_stops: bool = False
    scope: Scope = "account"


@lock_rule("stoploss_guard")
def stoploss_guard(s: Scene, p: StoplossGuard) -> Iterable[Hold]:
    """Lock after several losing round trips within a window."""
    for scope, trips in _by_scope(s.history.trips, p.scope):
        since = s.since_ns(scope, p.window)
        lost = [
            t for t in trips if t.closed_ns > since and t.profit_p <= -p.min_loss and (t.stopped or not p.only_stops)
        ]
        if len(lost) >= p.losses:
            total = sum(t.profit_p for t in lost) / 100
            yield Hold(scope, lost[-1].closed_ns + p.lock, f"{len(lost)} losing round trips, Rs {total:.2f} together")


class Cooldown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``cooldown``: how long after a round trip, and whether only after a losing one."""

    lock: Span = Span.parse("5 min")
    only_losses: bool = False
    scope: Scope = "symbol"


@lock_rule("cooldown")
def cooldown(s: Scene, p: Cooldown) -> Iterable[Hold]:
    """Lock for a while after a round trip closed."""
    for scope, trips in _by_scope(s.history.trips, p.scope):
        last = next((t for t in reversed(trips) if not p.only_losses or t.profit_p < 0), None)
        if last is not None and last.closed_ns > s.since_ns(scope, p.lock):
            yield Hold(scope, last.closed_ns + p.lock, f"a round trip closed at {to_ist(last.closed_ns):%H:%M:%S}")


class LowPerformer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``low_performer``: profit that ``trips`` round trips in the window must reach."""

    trips: int = 4
    window: Span = Span.parse("1 day")
    lock: Span = Span.parse("2 h")
    max_loss: Rupees = Rupees.parse("0 Rs")
    scope: Scope = "underlying"


@lock_rule("low_performer")
def low_performer(s: Scene, p: LowPerformer) -> Iterable[Hold]:
    """Lock what has lost money over enough round trips."""
    for scope, trips in _by_scope(s.history.trips, p.scope):
        recent = [t for t in trips if t.closed_ns > s.since_ns(scope, p.window)]
        profit = sum(t.profit_p for t in recent)
        if len(recent) >= p.trips and profit < -p.max_loss:
            text = f"{len(recent)} round trips brought Rs {profit / 100:.2f}"
            yield Hold(scope, recent[-1].closed_ns + p.lock, text)


class TradeCount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``trade_count``: entries a day, over all or by strategy."""

    entries: int = 20
    scope: Literal["account", "strategy"] = "account"


@order_rule("trade_count")
def trade_count(s: Scene, p: TradeCount) -> Reason | None:
    """Deny new positions after a number of entries today."""
    if s.reduces or s.order is None or s.added <= 0:
        return None
    mine = strategy_of(s.order.algo)
    made = s.history.entries.get(mine, 0) if p.scope == "strategy" else sum(s.history.entries.values())
    waiting = 0 if s.core is None else _waiting(s, mine if p.scope == "strategy" else None)
    if made + waiting < p.entries:
        return None
    return Reason(p.entries, made + waiting, f"at most {p.entries} entries a day, {made} made and {waiting} waiting")


def _waiting(s: Scene, strategy: str | None) -> int:
    """Open orders that would become entries and have not traded yet."""
    assert s.core is not None
    assert s.order is not None
    count = set()
    for symbol, mine in s.core.book.resting.items():
        net = s.core.book.net.get(symbol, 0)
        for cl_ord_id, rest in mine.items():
            order = s.core.orders.get(cl_ord_id)
            if order is None or order.cum_qty or cl_ord_id == s.order.cl_ord_id or net * rest.side.sign < 0:
                continue
            if strategy is None or strategy_of(order.request.algo) == strategy:
                count.add(order.request.parent_id or cl_ord_id)
    return len(count)


class TimeWindow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``time_window``: pairs of Indian times between which positions may be opened."""

    open: tuple[tuple[Clock, Clock], ...] = ((Clock.parse("09:20"), Clock.parse("15:15")),)


@order_rule("time_window")
def time_window(s: Scene, p: TimeWindow) -> Reason | None:
    """Deny new positions outside the hours that were set."""
    if s.reduces:
        return None
    now = to_ist(s.now_ns)
    second = now.hour * 3600 + now.minute * 60 + now.second
    if any(start <= second < end for start, end in p.open):
        return None
    hours = ", ".join(f"{_clock(start)} to {_clock(end)}" for start, end in p.open)
    return Reason(hours, f"{now:%H:%M:%S}", f"positions are opened {hours} only, it is {now:%H:%M:%S}")


class ExpiryGamma(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``expiry_gamma``: short lots of options expiring today, from a time of day on."""

    after: Clock = Clock.parse("13:30")
    max_short_lots: int = 0


@order_rule("expiry_gamma")
def expiry_gamma(s: Scene, p: ExpiryGamma) -> Reason | None:
    """Deny more short options that expire today once the afternoon has begun."""
    terms = _terms(s)
    if s.order is None or s.core is None or s.order.side is not Side.SELL or terms is None:
        return None
    now = to_ist(s.now_ns)
    if (
        terms.kind is not Kind.OPTION
        or terms.expiry != now.date()
        or now.hour * 3600 + now.minute * 60 + now.second < p.after
    ):
        return None
    book, short = s.core.book, 0
    for symbol in {*book.net, *book.resting, s.order.symbol}:
        other = book.instruments.get(symbol)
        if other is not None and (other.underlying, other.kind, other.expiry) == (
            terms.underlying,
            Kind.OPTION,
            terms.expiry,
        ):
            net = book.net.get(symbol, 0) - book.open_qty(symbol, Side.SELL)
            short += max(0, -net + (max(0, s.added) if symbol == s.order.symbol else 0))
    most = p.max_short_lots * terms.lot
    if short <= most or s.reduces:
        return None
    lots = f"at most {p.max_short_lots} lots short of options expiring today"
    text = f"after {_clock(p.after)} {lots}, would be {short} units"
    return Reason(most, short, text)


class NoNakedShorts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``no_naked_shorts``: lots that may stand uncovered; whether futures cover."""

    max_naked_lots: int = 0
    futures_cover: bool = False


@order_rule("no_naked_shorts")
def no_naked_shorts(s: Scene, p: NoNakedShorts) -> Reason | None:
    """Deny what leaves short options without a bought option of the same kind and no earlier expiry.

    Open sells count as done and open buys do not: the hedge is bought first. Selling a hedge that
    still covers a short is denied as well.
    """
    terms = _terms(s)
    if s.order is None or s.core is None or terms is None:
        return None
    most = p.max_naked_lots * terms.lot
    for kind in OptionType:
        if not _touches(s.order.side, terms, kind, p.futures_cover):
            continue
        before, after = (_naked(s, terms.underlying, kind, extra, p.futures_cover) for extra in (0, max(0, s.added)))
        if after > most and after > before:
            short = f"{after} units short {kind} of {terms.underlying}"
            text = f"{short} would stand uncovered, at most {most}; buy the hedge first"
            return Reason(most, after, text)
    return None


def _touches(side: Side, terms: Instrument, kind: OptionType, futures: bool) -> bool:
    if terms.kind is Kind.OPTION:
        return side is Side.SELL and terms.option_type is kind
    return futures and terms.kind is Kind.FUTURE and (side is Side.SELL) == (kind is OptionType.CE)


def _naked(s: Scene, underlying: str, kind: OptionType, extra: int, futures: bool) -> int:
    """Uncovered short units of one kind: a hedge covers shorts of its own or an earlier expiry."""
    assert s.core is not None
    assert s.order is not None
    book = s.core.book
    by_expiry: dict[object, int] = {}
    for symbol in {*book.net, *book.resting, s.order.symbol}:
        terms = book.instruments.get(symbol)
        if terms is None or terms.underlying != underlying or terms.expiry is None:
            continue
        mine = terms.kind is Kind.OPTION and terms.option_type is kind
        hedge = futures and terms.kind is Kind.FUTURE
        if not (mine or hedge):
            continue
        sign = -1 if hedge and kind is OptionType.PE else 1
        against = Side.SELL if sign > 0 else Side.BUY
        qty = sign * book.net.get(symbol, 0) - book.open_qty(symbol, against)
        if symbol == s.order.symbol and s.order.side is against:
            qty -= extra
        by_expiry[terms.expiry] = by_expiry.get(terms.expiry, 0) + (qty if mine else max(0, qty))
    cover, worst = 0, 0
    for expiry in sorted(by_expiry, key=str, reverse=True):
        cover += by_expiry[expiry]
        worst = max(worst, -cover)
    return worst


class RepeatedExecution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``repeated_execution``: fills in one contract within a window that change nothing."""

    fills: int = 10
    window: Span = Span.parse("60 s")


@lock_rule("repeated_execution")
def repeated_execution(s: Scene, p: RepeatedExecution) -> Iterable[Hold]:
    """Halt when fills in one contract go round without changing the position."""
    since = s.since_ns(ACCOUNT, p.window)
    counts: dict[str, dict[int, int]] = {}
    totals: dict[str, tuple[int, int]] = {}
    for fill in s.history.fills:
        if fill.ts_ns <= since:
            continue
        n, net = totals.get(fill.symbol, (0, 0))
        first = counts.setdefault(fill.symbol, {0: 0})
        n, net = n + 1, net + fill.qty
        totals[fill.symbol] = (n, net)
        if n - first.setdefault(net, n) >= p.fills:
            text = f"{n - first[net]} fills in {fill.symbol} within {p.window / 1e9:g} s changed no position"
            yield Hold(ACCOUNT, None, text, TradingState.HALTED)
            return


def _by_scope(trips: Iterable[RoundTrip], scope: Scope) -> Iterable[tuple[str, Sequence[RoundTrip]]]:
    grouped: dict[str, list[RoundTrip]] = {}
    for trip in trips:
        key = ACCOUNT if scope == "account" else f"{scope} {getattr(trip, scope)}"
        grouped.setdefault(key, []).append(trip)
    return grouped.items()


def _terms(s: Scene) -> Instrument | None:
    if s.order is None or s.core is None:
        return None
    return s.core.book.instruments.get(s.order.symbol)


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"
