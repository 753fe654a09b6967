"""Rules over the account's own figures, and over several accounts together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from toolkit.calendar import ist_date, ist_ns
from toolkit.risk.guards import CoreView, Facts, Greek, Trip, Watcher
from toolkit.risk.limits import TradingState
from toolkit.risk.rules import ACCOUNT, Hold, Reading, RuleBook, Scene, level_rule, lock_rule
from toolkit.risk.units import Percent, Rupees, Span
from toolkit.types import Denial, ExecutionReport, Order, OrderRequest

__all__ = ["Accounts", "Across", "end_of_day", "summed"]

_CLOSING: Final = "closing positions stays possible"


def end_of_day(now_ns: int) -> int:
    """The midnight that ends the Indian day, nanoseconds UTC."""
    return ist_ns(ist_date(now_ns) + dt.timedelta(days=1), dt.time(0))


class DayLoss(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``day_loss``: the most that a day may lose, and what of it counts.

    ``basis``: ``realized`` counts closed profit, ``marked`` also what open positions would bring;
    both after charges.
    """

    max_loss: Rupees = Rupees.parse("25000 Rs")
    basis: Literal["marked", "realized"] = "marked"
    state: Literal["reducing", "halted"] = "reducing"


@lock_rule("day_loss")
def day_loss(s: Scene, p: DayLoss) -> Iterable[Hold]:
    """Lock the account for the rest of the day once the day has lost too much."""
    profit = _profit_p(s.facts, p.basis)
    if profit is None:
        return
    lost = s.cleared_profit_p() - profit
    if lost > p.max_loss:
        text = f"the day lost Rs {lost / 100:.2f} {p.basis} after charges, at most Rs {p.max_loss / 100:.2f}"
        yield Hold(ACCOUNT, end_of_day(s.now_ns), text, TradingState(p.state))


class MaxDrawdown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``max_drawdown``: how far the day's profit may fall from its peak, and the lock.

    Without ``lock`` it is for the day; after it the peak is counted anew.
    """

    max_fall: Rupees = Rupees.parse("40000 Rs")
    lock: Span | None = None


@lock_rule("max_drawdown")
def max_drawdown(s: Scene, p: MaxDrawdown) -> Iterable[Hold]:
    """Lock the account once the day's profit fell too far from its peak."""
    profit, cleared = s.facts.profit_p, s.cleared.get(f"{s.rule}|{ACCOUNT}")
    if profit is None:
        return
    peak = s.history.peak_p
    if cleared is not None:
        peak = max([cleared[1], *(sample for ts_ns, sample in s.history.equity if ts_ns > cleared[0])])
    if peak - profit > p.max_fall:
        text = f"profit fell Rs {(peak - profit) / 100:.2f} from its peak, at most Rs {p.max_fall / 100:.2f}"
        until_ns = end_of_day(s.now_ns) if p.lock is None else s.now_ns + p.lock
        yield Hold(ACCOUNT, until_ns, text, anew=True)


class UnknownProfit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``unknown_profit``: how long the day's profit may be unknown."""

    after: Span = Span.parse("60 s")


@level_rule("unknown_profit")
def unknown_profit(s: Scene, p: UnknownProfit) -> Reading | None:
    """Reduce while the day's profit cannot be told: a position without a quote could be any loss."""
    if s.facts.profit_p is not None:
        s.memory.pop(s.rule, None)
        return None
    began = s.memory.setdefault(s.rule, float(s.now_ns))
    age = s.now_ns - began
    text = f"the day's profit is unknown for {age / 1e9:.0f} s"
    return Reading(age, p.after, -1, text, "every position has a quote again")


class OpenValue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``open_value``: value of all open orders, and where it re-arms."""

    max_value: Rupees = Rupees.parse("5 crore")
    rearm: Percent = Percent.parse("80 %")


@level_rule("open_value")
def open_value(s: Scene, p: OpenValue) -> Reading | None:
    """Reduce while open orders, placed elsewhere included, are worth too much."""
    back = p.max_value * p.rearm
    value = s.facts.open_value_p
    shown = "unknown" if value is None else f"Rs {value / 100:.2f}"
    text = f"open orders are worth {shown}, at most Rs {p.max_value / 100:.2f}"
    return Reading(value, p.max_value, back, text, f"open orders are worth at most Rs {back / 100:.2f}")


class MarginUsed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``margin_used``: share of the funds that margin may take, and where it re-arms."""

    max_share: Percent = Percent.parse("90 %")
    rearm: Percent = Percent.parse("80 %")


@level_rule("margin_used")
def margin_used(s: Scene, p: MarginUsed) -> Reading | None:
    """Reduce while margin takes too much of the funds."""
    used, funds = s.facts.margin_used_p, s.facts.funds_p
    share = None if used is None or funds is None else (used / funds if funds > 0 else float(used > 0) * 1e9)
    shown = "an unknown share" if share is None else f"{share:.1%}"
    text = f"margin takes {shown} of the funds, at most {p.max_share:.1%}"
    return Reading(share, p.max_share, p.rearm, text, f"margin takes at most {p.rearm:.1%}; {_CLOSING}")


class NetGreeks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``net_greeks``: the most of each Greek in one underlying; None does not limit it.

    ``delta`` and ``gamma`` in rupees for a move of the underlying by 1 %, ``vega`` for 1 vol point.
    """

    delta: Rupees | None = None
    gamma: Rupees | None = None
    vega: Rupees | None = None
    rearm: Percent = Percent.parse("80 %")


@level_rule("net_greeks")
def net_greeks(s: Scene, p: NetGreeks) -> Reading | None:
    """Reduce while a net Greek of an underlying is too large; one that cannot be valued counts as too large."""
    worst, what = 0.0, "no position"
    for underlying, greek in s.facts.greeks.items():
        for name in ("delta", "gamma", "vega"):
            limit = getattr(p, name)
            if limit is None:
                continue
            value = None if greek is None else _one_percent_p(greek, name)
            share = float("inf") if value is None else abs(value) / max(1, limit)
            if share > worst:
                shown = "unknown" if value is None else f"Rs {value / 100:.2f}"
                worst, what = share, f"{name} of {underlying} is {shown}, at most Rs {limit / 100:.2f}"
    return Reading(worst, 1.0, float(p.rearm), what, f"it is at most {p.rearm:.0%} of that; {_CLOSING}")


class PositionLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of ``position_limit``: the exchange's limits on delta-weighted positions in one underlying."""

    net: Rupees = Rupees.parse("1500 crore")
    gross: Rupees = Rupees.parse("10000 crore")
    rearm: Percent = Percent.parse("90 %")


@level_rule("position_limit")
def position_limit(s: Scene, p: PositionLimit) -> Reading | None:
    """Reduce near the exchange's limits on net and gross delta in rupees."""
    worst, what = 0.0, "no position"
    for underlying, greek in s.facts.greeks.items():
        level = None if greek is None else greek.level
        gross = None if greek is None else greek.gross_delta
        for name, delta, limit in (
            ("net", None if greek is None else abs(greek.delta), p.net),
            ("gross", gross, p.gross),
        ):
            share = float("inf") if delta is None or level is None else delta * level * 100.0 / max(1, limit)
            if share > worst:
                shown = "unknown, at most" if share == float("inf") else f"{share:.1%} of"
                worst, what = share, f"{name} delta of {underlying} is {shown} Rs {limit / 10**9:.0f} crore"
    return Reading(worst, 1.0, float(p.rearm), what, f"it is at most {p.rearm:.0%}; {_CLOSING}")


def _one_percent_p(greek: Greek, name: str) -> float | None:
    if name == "vega":
        return greek.vega  # rupees for 1.00 of vol are paise for 0.01
    if greek.level is None:
        return None
    step = greek.level * 0.01
    return (greek.delta * step if name == "delta" else greek.gamma * step * step) * 100.0


def _profit_p(facts: Facts, basis: str) -> int | None:
    if basis == "marked":
        return facts.profit_p
    if facts.realized_p is None or facts.charges_p is None:
        return None
    return facts.realized_p - facts.charges_p


def summed(facts: Iterable[Facts]) -> Facts:
    """The figures of several accounts together; one unknown makes the sum unknown."""
    every = list(facts)

    def total(name: str) -> int | None:
        parts = [getattr(one, name) for one in every]
        return None if any(part is None for part in parts) else sum(parts)

    names = ("realized_p", "unrealized_p", "charges_p", "margin_used_p", "funds_p", "open_value_p")
    sums: dict[str, Any] = {name: total(name) for name in names}
    return Facts(**sums, greeks=_greeks(every))


def _greeks(every: Iterable[Facts]) -> dict[str, Greek | None]:
    found: dict[str, Greek | None] = {}
    for one in every:
        for underlying, greek in one.greeks.items():
            before = found.get(underlying, Greek(0.0, 0.0, 0.0, 0.0, 0.0))
            if greek is None or before is None:
                found[underlying] = None
                continue
            gross = None if None in (before.gross_delta, greek.gross_delta) else 0.0
            if gross is not None:
                gross = (before.gross_delta or 0.0) + (greek.gross_delta or 0.0)
            found[underlying] = Greek(
                before.delta + greek.delta,
                before.gamma + greek.gamma,
                before.vega + greek.vega,
                before.theta + greek.theta,
                gross,
                greek.level,
            )
    return found


class Accounts:
    """The newest figures of every account of one owner, shared by their :class:`Across` guards.

    Parameters
    ----------
    names : iterable of str
        All accounts that count; one that has not reported, or not within ``max_age_ns``, makes the sum unknown.
    """

    def __init__(self, names: Iterable[str], max_age_ns: int = 10_000_000_000) -> None:
        self.names = tuple(names)
        self.max_age_ns = max_age_ns
        self._newest: dict[str, tuple[int, Facts]] = {}

    def put(self, account: str, now_ns: int, facts: Facts) -> None:
        """Take an account's figures."""
        self._newest[account] = (now_ns, facts)

    def facts(self, now_ns: int) -> Facts:
        """The sum as of now."""
        newest = [self._newest.get(name) for name in self.names]
        return summed(Facts() if one is None or now_ns - one[0] > self.max_age_ns else one[1] for one in newest)


class Across(Watcher):
    """Rules over the sum of several accounts: each account's engine holds one, all see the same sum."""

    name = "across"

    def __init__(self, accounts: Accounts, rules: RuleBook, account: str) -> None:
        self.accounts = accounts
        self.rules = rules
        self.account = account

    def check(self, order: OrderRequest, core: CoreView, now_ns: int) -> tuple[Denial, ...]:
        """What the shared rules say against an order."""
        return self.rules.check(order, core, now_ns)

    def on_report(self, report: ExecutionReport, order: Order, now_ns: int) -> None:
        """Take a report of this account."""
        self.rules.on_report(report, order, now_ns)

    def watch(self, now_ns: int, facts: Facts) -> Trip | None:
        """Put this account's figures in and look at the sum."""
        self.accounts.put(self.account, now_ns, facts)
        return self.rules.watch(now_ns, self.accounts.facts(now_ns))

    def state(self) -> dict[str, Any]:
        """What the rules remember."""
        return self.rules.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state` gave."""
        self.rules.restore(state)
