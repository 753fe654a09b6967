"""The circuit breaker: levels that stop or reduce trading, say why, and say what re-arms them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from toolkit.calendar import to_ist
from toolkit.risk.account import end_of_day
from toolkit.risk.bands import BreakerRow, Breakers
from toolkit.risk.limits import TradingState
from toolkit.risk.rules import ACCOUNT, Hold, Reading, Reason, Scene, level_rule, lock_rule, order_rule
from toolkit.risk.units import Percent, Rupees, Span
from toolkit.types import Kind

__all__ = [
    "ExchangeBreaker",
    "clock_skew",
    "exchange_breaker",
    "feed_stale",
    "journal_stall",
    "loss_speed",
    "message_rate",
    "near_band",
    "reject_ratio",
    "unknown_orders",
]

_MS: Final = 1e6


class ExchangeBreaker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``exchange_breaker``: the indices it watches and its table (from ``data/tables``)."""

    indices: tuple[str, ...] = ("NIFTY", "SENSEX")
    table: Breakers = Breakers()


@lock_rule("exchange_breaker")
def exchange_breaker(s: Scene, p: ExchangeBreaker) -> Iterable[Hold]:
    """Halt with the exchange when an index moved 10, 15 or 20 % from its previous close."""
    known = [(abs(m), name, m) for name in p.indices if (m := s.facts.index_moves.get(name)) is not None]
    if not known:
        return
    move, name, signed = max(known)
    row = p.table.row(move, s.now_ns)
    if row is None or row.halt_min == 0 or row.move <= _served(s, row):
        return
    until = end_of_day(s.now_ns)
    wait = "for the rest of the day"
    if row.halt_min is not None:
        until = min(until, s.now_ns + (row.halt_min + row.auction_min) * 60 * 10**9)
        wait = f"for {row.halt_min} minutes and a call auction of {row.auction_min}"
    s.memory[f"{s.rule}|{to_ist(s.now_ns):%Y-%m-%d}"] = row.move
    yield Hold(ACCOUNT, until, f"{name} moved {signed:+.2%}: the exchange stops {wait}", TradingState.HALTED)


def _served(s: Scene, row: BreakerRow) -> float:
    """The highest level of the day that stopped trading already: a level stops once."""
    return s.memory.get(f"{s.rule}|{to_ist(s.now_ns):%Y-%m-%d}", 0.0)


class PriceBand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``price_band``: how near the last price may be to the exchange's band."""

    near: Percent = Percent.parse("1 %")


@order_rule("price_band")
def near_band(s: Scene, p: PriceBand) -> Reason | None:
    """Deny new positions in a contract whose last price is at the edge of its band: it may not be closed again."""
    if s.reduces or s.order is None or s.core is None:
        return None
    terms = s.core.book.instruments.get(s.order.symbol)
    band = s.core.book.bands.get(s.order.symbol)
    quote = None if terms is None else s.core.book.quote(terms)
    if band is None or quote is None or quote.ltp_p is None:
        return None
    low, high = band[0] * (1.0 + p.near), band[1] * (1.0 - p.near)
    if low < quote.ltp_p < high or (
        band[0] == 0 and quote.ltp_p < high and terms is not None and terms.kind is Kind.OPTION
    ):
        return None
    edge = band[0] if quote.ltp_p <= low else band[1]
    text = f"{s.order.symbol} last traded at {quote.ltp_p / 100:.2f}, at the band's edge of {edge / 100:.2f}"
    return Reason(edge, quote.ltp_p, text)


class FeedStale(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``feed_stale``: age of the newest tick of the liquid watch-list, and where it re-arms.

    ``required`` counts from the session's start while no tick came at all: for an account that has a feed.
    """

    max_age: Span = Span.parse("5 s")
    rearm: Span = Span.parse("1 s")
    required: bool = False


@level_rule("feed_stale")
def feed_stale(s: Scene, p: FeedStale) -> Reading | None:
    """Halt while the market feed is silent within the session."""
    if not _in_session(s):
        return None
    session = s.facts.session
    age = s.facts.feed_age_s
    if age is None and p.required and session is not None:  # nothing came yet: the session's own age
        age = (s.now_ns - session[0]) / 1e9
    text = f"no tick for {0.0 if age is None else age:.1f} s, at most {p.max_age / 1e9:g} s"
    return Reading(
        age, p.max_age / 1e9, p.rearm / 1e9, text, f"ticks younger than {p.rearm / 1e9:g} s", TradingState.HALTED
    )


class RejectRatio(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``reject_ratio``: share of rejected orders in a window, from a number of answers on."""

    max_share: Percent = Percent.parse("50 %")
    answers: int = 8
    window: Span = Span.parse("60 s")
    lock: Span = Span.parse("5 min")


@lock_rule("reject_ratio")
def reject_ratio(s: Scene, p: RejectRatio) -> Iterable[Hold]:
    """Reduce for a while when the broker or the exchange rejects too many orders."""
    since = s.since_ns(ACCOUNT, p.window)
    recent = [a for a in s.history.answers if a.ts_ns > since]
    rejected = sum(a.rejected for a in recent)
    if len(recent) >= p.answers and rejected / len(recent) > p.max_share:
        text = f"{rejected} of {len(recent)} orders rejected within {p.window / 1e9:g} s"
        yield Hold(ACCOUNT, recent[-1].ts_ns + p.lock, text)


class MessageRate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``message_rate``: messages a minute and a day to the broker, and the lock."""

    per_minute: int = 200
    per_day: int = 3000
    lock: Span = Span.parse("5 min")


@lock_rule("message_rate")
def message_rate(s: Scene, p: MessageRate) -> Iterable[Hold]:
    """Reduce when the account sends more messages than its broker takes in a minute or a day."""
    facts = s.facts
    if facts.messages_day > p.per_day:
        yield Hold(ACCOUNT, end_of_day(s.now_ns), f"{facts.messages_day} messages today, at most {p.per_day}")
    elif facts.messages_60s > p.per_minute and s.now_ns > s.since_ns(ACCOUNT, None):
        text = f"{facts.messages_60s} messages within a minute, at most {p.per_minute}"
        yield Hold(ACCOUNT, s.now_ns + p.lock, text)


class LossSpeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``loss_speed``: the most that may be lost within a window, and the lock."""

    max_loss: Rupees = Rupees.parse("10000 Rs")
    window: Span = Span.parse("60 s")
    lock: Span = Span.parse("15 min")


@lock_rule("loss_speed")
def loss_speed(s: Scene, p: LossSpeed) -> Iterable[Hold]:
    """Reduce when the account loses too fast."""
    profit = s.facts.profit_p
    since = s.since_ns(ACCOUNT, p.window)
    recent = [sample for ts_ns, sample in s.history.equity if ts_ns >= since]
    if profit is None or not recent or max(recent) - profit <= p.max_loss:
        return
    text = f"Rs {(max(recent) - profit) / 100:.2f} lost within {p.window / 1e9:g} s, at most Rs {p.max_loss / 100:.2f}"
    yield Hold(ACCOUNT, s.now_ns + p.lock, text)


class ClockSkew(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``clock_skew``: seconds between our clock and the exchange's; ``required`` halts while unknown."""

    max_skew: Span = Span.parse("30 s")
    rearm: Span = Span.parse("2 s")
    required: bool = False


@level_rule("clock_skew")
def clock_skew(s: Scene, p: ClockSkew) -> Reading | None:
    """Halt while our clock is too far from the exchange's."""
    skew = s.facts.clock_skew_s
    value = None if skew is None else abs(skew)
    shown = "not compared yet" if skew is None else f"{skew:+.1f} s off"
    text = f"the clock is {shown}, at most {p.max_skew / 1e9:g} s"
    back = f"the clock is within {p.rearm / 1e9:g} s"
    return Reading(value, p.max_skew / 1e9, p.rearm / 1e9, text, back, TradingState.HALTED, p.required)


class JournalStall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``journal_stall``: how long a journal write may take, and where it re-arms."""

    max_write: Span = Span.parse("1 s")
    rearm: Span = Span.parse("250 ms")


@level_rule("journal_stall")
def journal_stall(s: Scene, p: JournalStall) -> Reading | None:
    """Halt while the journal is too slow: nothing leaves before it is written."""
    ms = s.facts.journal_ms
    if ms is None:
        return None  # no write within a minute: nothing is slow
    text = f"a journal write took {ms:.0f} ms, at most {p.max_write / _MS:g} ms"
    back = f"writes under {p.rearm / _MS:g} ms for a minute"
    return Reading(ms, p.max_write / _MS, p.rearm / _MS, text, back, TradingState.HALTED)


class UnknownOrders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``unknown_orders``: orders whose fate may be unknown at one time."""

    most: int = 3


@level_rule("unknown_orders")
def unknown_orders(s: Scene, p: UnknownOrders) -> Reading | None:
    """Reduce while the fate of too many orders is unknown."""
    count = s.facts.unknown_orders
    text = f"the fate of {count} orders is unknown, at most {p.most}"
    return Reading(count, p.most, 0, text, "reconciliation settles every one of them")


def _in_session(s: Scene) -> bool:
    session = s.facts.session
    return session is not None and session[0] <= s.now_ns < session[1]
