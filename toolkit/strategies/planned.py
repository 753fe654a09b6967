"""What the shipped strategies share: a plan of net positions, and steering towards it.

A strategy decides what it wants to hold (``plan``, units by symbol). Steering compares
the plan with the positions and the open orders and returns the intents that close the
gap: buys before sells, so that a spread is never short its hedge, one working order a
symbol, a limit at the touch with a little slack, re-priced when it has not filled.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np

from toolkit.calendar import ist_date, read_clock, to_ist
from toolkit.errors import BadData
from toolkit.market.view import ChainSlice, View
from toolkit.strategies.protocol import Param, Strategy
from toolkit.types import Cancel, ExecType, ExecutionReport, Intent, OptionType, Order, OrdStatus, Place, Side

__all__ = ["COMMON", "Planned", "clock", "located", "mark", "net_delta", "steer"]

COMMON: Final[dict[str, Param]] = {
    "lots": Param(default=2, unit="lots", doc="size of each short leg", low=1, high=20),
    "min_days": Param(
        default=0, unit="calendar days", doc="nearest expiry at least this far away is used", low=0, high=400
    ),
    "enter_from": Param(default="09:30", unit="HH:MM IST", doc="no entry before this time"),
    "enter_until": Param(default="13:00", unit="HH:MM IST", doc="no entry after this time"),
    "exit_at": Param(default="15:10", unit="HH:MM IST", doc="everything is closed from this time on"),
    "slack": Param(
        default=1.0, unit="percent of price", doc="how far a limit may stand beyond the touch", low=0.0, high=20.0
    ),
    "patience": Param(
        default=100.0, unit="seconds", doc="age at which an unfilled order is re-priced", low=1, high=3600
    ),
}


_CANCELLABLE: Final = (OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED)


class Planned(Strategy):
    """A strategy that holds a plan: choose, hold, leave, once or several times a day.

    A subclass says what to hold (:meth:`choose`) and when to leave (:meth:`leave`), and
    may adjust while it holds (:meth:`adjust`). A denied or rejected order ends the day:
    what is open is closed and nothing new is opened.
    """

    trades_a_day: ClassVar[int] = 1

    def __init__(self, **values: object) -> None:
        super().__init__(**values)
        self._enter_from = clock(self.name, "enter_from", self.p["enter_from"])
        self._enter_until = clock(self.name, "enter_until", self.p["enter_until"])
        self._exit_at = clock(self.name, "exit_at", self.p["exit_at"])
        if not self._enter_from <= self._enter_until < self._exit_at:
            raise BadData(
                f"parameters of strategy '{self.name}' must stand in the order enter_from, enter_until, exit_at,"
                f" were {self.p['enter_from']}, {self.p['enter_until']}, {self.p['exit_at']}"
            )
        self._new_day("")

    def _new_day(self, day: str) -> None:
        self.day = day
        self.stage = "waiting"
        self.plan: dict[str, int] = {}
        self.expiry: str = ""
        self.cash_p = 0
        self.credit_p = 0
        self.trades = 0
        self.reason = ""
        self.entered_ns = 0
        self.stopped = False

    def choose(self, view: View, chain: ChainSlice) -> dict[str, int]:
        """Say what to hold, units by symbol; empty for nothing yet."""
        raise BadData(f"strategy '{self.name}' does not say what to hold")

    def leave(self, view: View, chain: ChainSlice, pnl: float) -> str:
        """Give the reason to close everything, '' to stay."""
        return ""

    def adjust(self, view: View, chain: ChainSlice) -> None:
        """Change the plan while holding it."""

    def watch(self, view: View) -> None:
        """See every snapshot, before any decision."""

    def on_chain(self, view: View) -> Sequence[Intent]:
        """Decide on a new snapshot and steer towards the plan."""
        moment = to_ist(view.now_ns)
        if str(ist_date(view.now_ns)) != self.day:
            self._new_day(str(ist_date(view.now_ns)))
            self.plan = dict(view.positions())
            if self.plan:
                self._leave("carried over from the day before")
        self.watch(view)
        seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
        if seconds >= self._exit_at and self.stage in ("entering", "holding"):
            self._leave("exit time")
        elif self.stage == "waiting" and self._enter_from <= seconds <= self._enter_until:
            self._enter(view)
        elif self.stage in ("entering", "holding"):
            self._hold(view)
        elif self.stage == "leaving":
            self._left(view)
        return steer(view, self.plan, self.reason, self.p["slack"], self.p["patience"])

    def on_report(self, report: ExecutionReport) -> Sequence[Intent]:
        """Count the cash of fills; stand down when an order is denied or rejected."""
        if report.exec_type is ExecType.TRADE and report.side is not None:
            self.cash_p -= report.side.sign * report.last_qty * report.last_px_p
        elif report.exec_type in (ExecType.DENIED, ExecType.REJECTED):
            self.stopped = True
            if self.stage in ("entering", "holding"):
                self._leave(f"order {report.exec_type}: {report.text}"[:80])
        return ()

    def _enter(self, view: View) -> None:
        if self.stopped or self.trades >= self.trades_a_day:
            return
        chain = self._chain(view)
        if chain is None or chain.atm < 0:
            return
        plan = {symbol: net for symbol, net in self.choose(view, chain).items() if net}
        if plan:
            self.plan, self.expiry, self.stage = plan, str(chain.expiry), "entering"
            self.cash_p, self.credit_p, self.entered_ns = 0, 0, view.now_ns
            self.trades += 1
            self.reason = "entry"

    def _hold(self, view: View) -> None:
        chain = view.chain(dt.date.fromisoformat(self.expiry))
        if chain is None:
            return
        if self.stage == "entering":
            if dict(view.positions()) != self.plan:
                if view.now_ns - self.entered_ns > 10 * self.p["patience"] * 1_000_000_000:
                    self._leave("entry not filled in time")
                return
            self.stage, self.credit_p = "holding", self.cash_p
        pnl = self.cash_p / 100.0 + mark(view)
        reason = self.leave(view, chain, pnl)
        if reason:
            self._leave(reason)
        else:
            self.adjust(view, chain)

    def _leave(self, reason: str) -> None:
        self.stage, self.reason = "leaving", reason
        self.plan = dict.fromkeys(sorted(self.plan), 0)

    def _left(self, view: View) -> None:
        if not view.positions() and not view.orders():
            self.stage, self.plan, self.reason = "waiting", {}, ""

    def _chain(self, view: View) -> ChainSlice | None:
        today = ist_date(view.now_ns)
        for expiry in view.expiries():
            if (expiry - today).days >= self.p["min_days"]:
                return view.chain(expiry)
        return None

    def state(self) -> dict[str, Any]:
        """Everything the next decision depends on, as JSON-able values."""
        return {name: _plain(getattr(self, name)) for name in self._kept()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""
        for name in self._kept():
            setattr(self, name, _plain(state[name]))

    def _kept(self) -> tuple[str, ...]:
        return ("day", "stage", "plan", "expiry", "cash_p", "credit_p", "trades", "reason", "entered_ns", "stopped")


def steer(view: View, plan: dict[str, int], reason: str, slack: float, patience_s: float) -> list[Intent]:
    """Give the intents that bring the positions to the plan.

    Parameters
    ----------
    view : View
        Positions, open orders and quotes as known now.
    plan : dict
        Net units wanted by symbol; a held symbol that is absent is left alone.
    reason : str
        The note of each order.
    slack : float
        Percent of the price by which a limit stands beyond the touch (at least one tick).
    patience_s : float
        Seconds after which a working order is cancelled, to be priced anew.

    Returns
    -------
    list of Intent
        Cancels; or buys; or, when no buy is wanted or working, sells.
    """
    intents: list[Intent] = []
    working: dict[str, list[Order]] = {}
    for order in view.orders():
        working.setdefault(order.request.symbol, []).append(order)
    gaps = {s: net - view.position(s) for s, net in sorted(plan.items()) if net != view.position(s)}
    for symbol, mine in sorted(working.items()):
        asked = sum(order.request.side.sign * order.leaves_qty for order in mine)
        gap = gaps.get(symbol, 0)
        unwanted = symbol in plan and (asked * gap <= 0 or abs(asked) > abs(gap))
        for order in mine:
            late = view.now_ns - order.created_ns > patience_s * 1_000_000_000
            if order.ord_status in _CANCELLABLE and (late or unwanted):
                intents.append(Cancel(cl_ord_id=order.cl_ord_id))
    buying = any(gap > 0 for gap in gaps.values()) or any(o.request.side is Side.BUY for o in view.orders())
    for symbol, gap in gaps.items():
        if symbol in working or (gap < 0 and buying):
            continue
        side = Side.BUY if gap > 0 else Side.SELL
        price_p = _limit_p(view, symbol, side, slack)
        if price_p is not None:
            intents.append(Place(symbol=symbol, side=side, order_qty=abs(gap), price_p=price_p, note=reason))
    return intents


def mark(view: View) -> float:
    """Value the held positions at mid (last price where unquoted), rupees; NaN when one has neither."""
    total = 0.0
    for symbol, net in view.positions().items():
        chain, index, kind = located(view, symbol)
        if chain is None:
            return math.nan
        leg = chain.side(kind)
        price = float(leg.bid[index] + leg.ask[index]) / 2.0
        total += net * (float(leg.ltp[index]) if math.isnan(price) else price)
    return total


def net_delta(view: View) -> float:
    """Net delta of the held positions, in units of the underlying; NaN when a delta is unknown."""
    total = 0.0
    for symbol, net in view.positions().items():
        chain, index, kind = located(view, symbol)
        if chain is None:
            return math.nan
        total += net * float(chain.side(kind).delta[index])
    return total


def located(view: View, symbol: str) -> tuple[ChainSlice | None, int, OptionType]:
    """Find an option in the newest chains: slice, strike index, side; None and -1 when it is not listed."""
    instrument = view.instrument(symbol)
    chain = view.chain(instrument.expiry)
    if chain is None or instrument.strike_p is None or instrument.option_type is None:
        return None, -1, OptionType.CE
    index = int(np.searchsorted(chain.strikes, instrument.strike_p / 100.0))
    if index == len(chain.strikes) or round(float(chain.strikes[index]) * 100) != instrument.strike_p:
        return None, -1, instrument.option_type
    return chain, index, instrument.option_type


def clock(strategy: str, name: str, text: str) -> int:
    """Read HH:MM as seconds since midnight IST.

    >>> clock("x", "exit_at", "15:10")
    54600
    """
    try:
        time = read_clock(text)
    except ValueError:
        raise BadData(f"parameter '{name}' of strategy '{strategy}' must be HH:MM, was {text!r}") from None
    return time.hour * 3600 + time.minute * 60 + time.second


def _limit_p(view: View, symbol: str, side: Side, slack: float) -> int | None:
    chain, index, kind = located(view, symbol)
    if chain is None:
        return None
    leg = chain.side(kind)
    touch = float(leg.ask[index] if side is Side.BUY else leg.bid[index])
    if not math.isfinite(touch):
        return None
    tick = view.instrument(symbol).tick_p
    raw = touch * 100.0 + side.sign * max(tick, touch * slack)
    ticks = math.floor(raw / tick + 1e-9) if side is Side.BUY else math.ceil(raw / tick - 1e-9)
    return max(ticks, 1) * tick


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value
