"""What watches an account beside the pre-trade checks: the shapes of a guard, its facts and its trips.

A guard is pure and event fed: the engine asks it before each order, tells it each report, and
shows it the account's figures every second and on each fill. What a guard answers is a
statement, never an act; the engine changes its state first and notifies second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from toolkit.risk.book import RiskBook
from toolkit.risk.limits import Limits, TradingState
from toolkit.types import Denial, ExecutionReport, Order, OrderRequest

__all__ = ["CoreView", "Facts", "Greek", "Guard", "Trip", "Watcher"]


class CoreView(Protocol):
    """What a guard may read of the engine's core."""

    @property
    def account(self) -> str:
        """Whose orders these are."""
        ...

    @property
    def limits(self) -> Limits:
        """The pre-trade limits in force."""
        ...

    @property
    def book(self) -> RiskBook:
        """Positions, open orders, quotes and messages."""
        ...

    @property
    def orders(self) -> Mapping[str, Order]:
        """Every order of the day by ``cl_ord_id``; a modification is checked while its order is in here."""
        ...


class Greek(msgspec.Struct, frozen=True):
    """Net Greeks of one underlying: delta in units, gamma in units per rupee, vega and theta in rupees.

    ``gross_delta`` is the sum of the absolute deltas; ``level`` the underlying's in rupees.
    """

    delta: float
    gamma: float
    vega: float
    theta: float
    gross_delta: float | None = None
    level: float | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The account's figures at one moment, built by the engine. None is unknown, never 0.

    Parameters
    ----------
    realized_p, unrealized_p, charges_p : int or None
        The day's profit in paise: closed, marked, and what it cost.
    margin_used_p, funds_p, open_value_p : int or None
        Margin of positions and open orders, funds for it, value of open orders in paise.
    messages_1s, messages_60s, messages_day : int
        Messages sent to the broker in the sliding second and minute, and today.
    unknown_orders : int
        Orders whose fate is not known.
    feed_age_s : float or None
        Since the newest tick of the whole liquid watch-list; None when nothing came yet.
    clock_skew_s : float or None
        Our clock against the exchange's or the broker's, seconds; None before the first comparison.
    journal_ms : float or None
        The slowest journal write of the last minute, or the age of one still under way; None before the first.
    index_moves : mapping
        Move of each index against its previous close as a fraction (-0.10), None where unknown.
    greeks : mapping
        Net Greeks by underlying; None for an underlying with a position that cannot be valued.
    by_strategy_p : mapping
        The day's profit after charges by strategy in paise.
    session : tuple or None
        Trading hours of the day, (open_ns, close_ns).
    state : TradingState
        What the engine accepts now.
    """

    realized_p: int | None = None
    unrealized_p: int | None = None
    charges_p: int | None = None
    margin_used_p: int | None = None
    funds_p: int | None = None
    open_value_p: int | None = None
    messages_1s: int = 0
    messages_60s: int = 0
    messages_day: int = 0
    unknown_orders: int = 0
    feed_age_s: float | None = None
    clock_skew_s: float | None = None
    journal_ms: float | None = None
    index_moves: Mapping[str, float | None] = {}
    greeks: Mapping[str, Greek | None] = {}
    by_strategy_p: Mapping[str, int | None] = {}
    session: tuple[int, int] | None = None
    state: TradingState = TradingState.ACTIVE

    @property
    def profit_p(self) -> int | None:
        """Realized and marked profit after charges, None when a part of it is unknown."""
        if self.realized_p is None or self.unrealized_p is None or self.charges_p is None:
            return None
        return self.realized_p + self.unrealized_p - self.charges_p


class Trip(msgspec.Struct, frozen=True):
    """A guard's demand: at least this state, why, and what lifts it.

    It stands as long as :meth:`Guard.watch` answers it. ``until_ns`` is when it lifts by itself;
    None: when its condition ends, or by a person's act, as ``rearm`` says.
    """

    state: TradingState
    rule: str
    text: str
    rearm: str
    until_ns: int | None = None


class Guard(Protocol):
    """A stateful rule over the account."""

    name: str

    def check(self, order: OrderRequest, core: CoreView, now_ns: int) -> tuple[Denial, ...]:
        """Every reason of this guard against an order, beside those of ``risk.check``."""
        ...

    def on_report(self, report: ExecutionReport, order: Order, now_ns: int) -> None:
        """Take a report with the order as it stands after it."""
        ...

    def watch(self, now_ns: int, facts: Facts) -> Trip | None:
        """Look at the account, every second and on each fill."""
        ...

    def acts(self) -> tuple[Mapping[str, Any], ...]:
        """What a person had it do since the last call, for the journal."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything to remember, as JSON can carry it."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state` gave."""
        ...


class Watcher:
    """A guard that does nothing: each guard says only what it adds."""

    name = "watcher"

    def check(self, order: OrderRequest, core: CoreView, now_ns: int) -> tuple[Denial, ...]:
        """No reason."""
        return ()

    def on_report(self, report: ExecutionReport, order: Order, now_ns: int) -> None:
        """Nothing to learn."""

    def watch(self, now_ns: int, facts: Facts) -> Trip | None:
        """Nothing to demand."""
        return None

    def acts(self) -> tuple[Mapping[str, Any], ...]:
        """Nobody had it do anything."""
        return ()

    def state(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to take back."""
