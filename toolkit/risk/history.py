"""What the account did today, as the rules look back on it: fills, round trips, answers, profit."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from toolkit.calendar import ist_date
from toolkit.types import ExecType, ExecutionReport, Order, OrdType

__all__ = ["Answer", "FillSeen", "History", "RoundTrip", "strategy_of", "underlying_of"]

_SECOND_NS: Final = 1_000_000_000
_SHORT_NS: Final = 600 * _SECOND_NS
_MOST: Final = 500
_SAMPLES: Final = 1_800
_STEP_P: Final = 100_00


class FillSeen(msgspec.Struct, frozen=True, array_like=True):
    """One execution: signed units, price in paise."""

    ts_ns: int
    symbol: str
    strategy: str
    qty: int
    px_p: int


class RoundTrip(msgspec.Struct, frozen=True, array_like=True):
    """A position in one contract from flat to flat, its profit before charges in paise.

    ``stopped`` says that a stop order closed it.
    """

    symbol: str
    underlying: str
    strategy: str
    opened_ns: int
    closed_ns: int
    profit_p: int
    stopped: bool = False


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """The first answer to an order: accepted or rejected."""

    ts_ns: int
    rejected: bool


class _Standing(msgspec.Struct, array_like=True):
    """An open position of the day: signed units, cash flow of them, since when and whose."""

    net: int
    cash_p: int
    opened_ns: int
    strategy: str


def underlying_of(symbol: str) -> str:
    """The underlying of an exchange-neutral symbol: its first word."""
    return symbol.split(" ", 1)[0]


def strategy_of(algo: str | None) -> str:
    """Who gave the order: the strategy's or algorithm's name, ``manual`` for a person's."""
    return (algo or "manual").split(" ", 1)[0]


class _Seen(msgspec.Struct, array_like=True):
    """What was counted of one order: executions, busts, and when it last changed."""

    execs: int
    busts: int
    at_ns: int
    open: bool


class History:
    """The day so far. Bounded: fills and answers of ten minutes, the newest round trips.

    What :meth:`state` gives changes with events only, never with the mere passing of time, so that
    it can be journaled whenever it changed; the samples of the profit are not in it.

    Attributes
    ----------
    fills, trips, answers : sequences
        Oldest first.
    entries : dict
        Orders that opened or enlarged a position today, by strategy.
    equity : sequence of (ts_ns, profit_p)
        The day's profit after charges, a sample a second.
    peak_p : int
        The highest of it, at least 0: what the day began with.
    """

    def __init__(self) -> None:
        self.fills: deque[FillSeen] = deque(maxlen=_MOST)
        self.trips: deque[RoundTrip] = deque(maxlen=_MOST)
        self.answers: deque[Answer] = deque(maxlen=_MOST)
        self.equity: deque[tuple[int, int]] = deque(maxlen=_SAMPLES)
        self.entries: dict[str, int] = {}
        self.peak_p = 0
        self._day = ""
        self._standing: dict[str, _Standing] = {}
        self._seen: dict[str, _Seen] = {}
        self._entered: dict[str, None] = {}

    def turn(self, now_ns: int) -> bool:
        """Begin a new day when the Indian date changed; open positions stay. Answers whether it did."""
        day = ist_date(now_ns).isoformat()
        if day == self._day:
            return False
        began, self._day = bool(self._day), day
        if began:
            for past in (self.fills, self.trips, self.answers, self.equity):
                past.clear()
            self.entries.clear()
            self._entered.clear()
            self._seen.clear()
            self.peak_p = 0
        return began

    def open_at_start(self, net: Mapping[str, int], marks_p: Mapping[str, int], now_ns: int) -> None:
        """Take over positions carried into the day, at their marks."""
        for symbol, qty in net.items():
            if qty and symbol in marks_p:
                self._standing[symbol] = _Standing(qty, -qty * marks_p[symbol], now_ns, "carried")

    def on_report(self, report: ExecutionReport, order: Order, now_ns: int) -> None:
        """Take a report with the order as it stands after it; what was seen before counts once."""
        cl_ord_id = order.cl_ord_id
        seen = self._seen.get(cl_ord_id)
        if seen is None:
            if report.exec_type in (ExecType.NEW, ExecType.TRADE, ExecType.REJECTED):
                self.answers.append(Answer(now_ns, report.exec_type is ExecType.REJECTED))
            new = (report.exec_type is ExecType.TRADE, report.exec_type is ExecType.TRADE_CANCEL)
            seen = _Seen(max(0, len(order.execs) - new[0]), max(0, len(order.busts) - new[1]), now_ns, True)
            self._seen[cl_ord_id] = seen
        sign = order.request.side.sign
        for _, qty, px_p in order.execs[seen.execs :]:
            self._fill(order, sign * qty, px_p, now_ns)
        for exec_id in order.busts[seen.busts :]:
            for known, qty, px_p in order.execs:
                if known == exec_id:
                    self._fill(order, -sign * qty, px_p, now_ns)
        seen.execs, seen.busts, seen.at_ns, seen.open = len(order.execs), len(order.busts), now_ns, order.is_open
        self._prune(now_ns)

    def on_profit(self, now_ns: int, profit_p: int) -> None:
        """Take the day's profit after charges, once a second."""
        self.peak_p = max(self.peak_p, profit_p)
        if self.equity and now_ns - self.equity[-1][0] < _SECOND_NS:
            self.equity[-1] = (self.equity[-1][0], profit_p)
        else:
            self.equity.append((now_ns, profit_p))

    def state(self) -> dict[str, Any]:
        """Everything to remember, as JSON can carry it; the peak is rounded up, so that it rests."""
        step = max(_STEP_P, 10 ** max(0, len(str(self.peak_p)) - 2))
        made: dict[str, Any] = msgspec.to_builtins(
            {
                "day": self._day,
                "fills": list(self.fills),
                "trips": list(self.trips),
                "answers": list(self.answers),
                "entries": self.entries,
                "peak_p": -(-self.peak_p // step) * step,
                "standing": self._standing,
                "seen": self._seen,
                "entered": list(self._entered),
            }
        )
        return made

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state` gave."""
        self._day = str(state["day"])
        self.fills = deque(msgspec.convert(state["fills"], list[FillSeen]), _MOST)
        self.trips = deque(msgspec.convert(state["trips"], list[RoundTrip]), _MOST)
        self.answers = deque(msgspec.convert(state["answers"], list[Answer]), _MOST)
        self.equity = deque(maxlen=_SAMPLES)
        self.entries = dict(state["entries"])
        self.peak_p = int(state["peak_p"])
        self._standing = msgspec.convert(state["standing"], dict[str, _Standing])
        self._seen = msgspec.convert(state["seen"], dict[str, _Seen])
        self._entered = dict.fromkeys(state["entered"])

    def _prune(self, now_ns: int) -> None:
        """Drop what no rule looks at any more."""
        for past in (self.fills, self.answers):
            while past and past[0].ts_ns <= now_ns - _SHORT_NS:
                past.popleft()
        if len(self._seen) > _MOST:
            old = [k for k, one in self._seen.items() if not one.open and one.at_ns <= now_ns - _SHORT_NS]
            for cl_ord_id in old:
                del self._seen[cl_ord_id]

    def _fill(self, order: Order, qty: int, px_p: int, now_ns: int) -> None:
        symbol, strategy = order.request.symbol, strategy_of(order.request.algo)
        self.fills.append(FillSeen(now_ns, symbol, strategy, qty, px_p))
        standing = self._standing.get(symbol)
        net = 0 if standing is None else standing.net
        closing = min(abs(net), abs(qty)) if net * qty < 0 else 0
        sign = 1 if qty > 0 else -1
        if standing is not None and closing:
            standing.net += sign * closing
            standing.cash_p -= sign * closing * px_p
            if standing.net == 0:
                self._close(symbol, standing, order, now_ns)
        opening = abs(qty) - closing
        if opening:
            self._enter(order, strategy)
            standing = self._standing.setdefault(symbol, _Standing(0, 0, now_ns, strategy))
            standing.net += sign * opening
            standing.cash_p -= sign * opening * px_p

    def _close(self, symbol: str, standing: _Standing, order: Order, now_ns: int) -> None:
        del self._standing[symbol]
        stopped = order.request.ord_type in (OrdType.STOP, OrdType.STOP_LIMIT)
        self.trips.append(
            RoundTrip(
                symbol=symbol,
                underlying=underlying_of(symbol),
                strategy=standing.strategy,
                opened_ns=standing.opened_ns,
                closed_ns=now_ns,
                profit_p=standing.cash_p,
                stopped=stopped,
            )
        )

    def _enter(self, order: Order, strategy: str) -> None:
        """Count an order that enlarged a position once; the slices of one order are one entry."""
        whole = order.request.parent_id or order.cl_ord_id
        if whole not in self._entered:
            self._entered[whole] = None
            self.entries[strategy] = self.entries.get(strategy, 0) + 1
