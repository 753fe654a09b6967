"""What the pre-trade checks look at, kept incrementally so that each check is O(1) in the day's orders."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.calendar import Calendar, ist_date
from toolkit.errors import BadData
from toolkit.market.quotes import Quote, QuoteBoard, key_of
from toolkit.risk.limits import Limits, TradingState
from toolkit.risk.margin import Leg, SpanParams
from toolkit.risk.need import Need
from toolkit.types import Instrument, Kind, Order, OrderRequest, Side

__all__ = ["NO_LIMIT", "Resting", "RiskBook", "Terms", "intent_key", "reference_p"]

_SECOND_NS: Final = 1_000_000_000
_NEAR_DAYS: Final = 15  # more than the sessions of delivery margin can span with holidays
_REMEMBER_NS: Final = 60 * _SECOND_NS
_LOST_NS: Final = 60 * _SECOND_NS
NO_LIMIT: Final = 1 << 62
WORDS: Final = 29
"""Whole numbers that describe one order to the kernel of the checks."""


class Resting(msgspec.Struct, frozen=True):
    """An open order as the checks see it: worst case still to trade, at its price.

    ``stop_p`` is the trigger of a stop that may not have been reached; None rests at its price.
    """

    side: Side
    leaves_qty: int
    price_p: int
    stop_p: int | None = None


class Terms(msgspec.Struct, frozen=True):
    """What a contract and its limits say, in the places that ``risk.screen`` names."""

    limits: Limits
    words: npt.NDArray[np.int64]
    collar_pct: float
    key: int
    underlying: str


class RiskBook:
    """Positions, open orders, cash, quotes and messages of one account.

    The owner (the engine's core) feeds it: :meth:`on_order` at every change of an order,
    :meth:`on_message` at every message sent, ``quotes`` with every batch of quotes,
    ``session``, ``funds_p`` and ``span`` when they change; :meth:`on_parent` before the first
    child of an execution algorithm. None or a missing entry is unknown, and unknown denies.

    Attributes
    ----------
    armed_until_ns : int or None
        Until when live trading is armed; None where arming is not needed (paper).
    premium_due_p : int
        What open buys of options still have to pay, in paise.
    need : Need
        The margin of positions and open orders.
    answered : bool
        Whether :meth:`on_answer` follows each message; otherwise a message counts from its sending.
    unpriced : int
        Open orders without any price (placed elsewhere): their value is unknown.
    bands : dict
        The exchange's price band of the day by symbol, (low_p, high_p), where it is known.
    volumes : dict
        Units traded today by symbol, where the feed says it.
    sessions_left : dict
        Trading days to the next expiries by (exchange, expiry), once :meth:`count_sessions` counted them.
    """

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self.instruments: dict[str, Instrument] = {}
        self.quotes = QuoteBoard()
        self.state = TradingState.ACTIVE
        self.state_reason = ""
        self.session: tuple[int, int] | None = None
        self.funds_p: int | None = None
        self.span: dict[str, SpanParams] = {}
        self.armed_until_ns: int | None = None
        self.bands: dict[str, tuple[int, int]] = {}
        self.volumes: dict[str, int] = {}
        self.stocks: set[str] = set()
        self.sessions_left: dict[tuple[str, dt.date | None], int] = {}
        self.gross: dict[str, int] = {}
        self.packed: dict[str, Terms] = {}
        self.words = np.zeros(WORDS, np.int64)
        self.pack = partial(struct.Struct(f"{WORDS}q").pack_into, self.words.data, 0)
        self._net: dict[str, int] = {}
        self.cash_p: int = 0
        self.open_value_p: int = 0
        self.unpriced = 0
        self.resting: dict[str, dict[str, Resting]] = {}
        self._open_qty: dict[tuple[str, Side], int] = {}
        self._parents: dict[str, dict[str, tuple[int, int]]] = {}
        self._family: dict[tuple[str, str], tuple[int, int, int]] = {}
        self._closing: set[str] = set()
        self._recent: deque[tuple[int, tuple[object, ...]]] = deque()
        self._newest: dict[tuple[object, ...], int] = {}
        self.answered = False
        self._sent: dict[str, deque[int]] = {}
        self._flying: dict[str, dict[str, deque[int]]] = {}
        self.premium_due_p = 0
        self.need = Need(self)
        self.add(instruments)

    def add(self, instruments: Iterable[Instrument]) -> None:
        """List contracts, or replace their dated terms."""
        for instrument in instruments:
            self.instruments[instrument.symbol] = instrument
            if instrument.kind is Kind.EQUITY:
                self.stocks.add(instrument.underlying)
        self.packed.clear()
        self._count_again()

    @property
    def net(self) -> dict[str, int]:
        """Net position in units by symbol, without the flat ones; change it by :meth:`carry`."""
        return self._net

    @net.setter
    def net(self, net: Mapping[str, int]) -> None:
        self._net = {symbol: qty for symbol, qty in net.items() if qty}
        self._count_again()

    def quote(self, instrument: Instrument) -> Quote | None:
        """The newest quote of a contract, None before the first."""
        return self.quotes.quote(key_of(instrument))

    def open_qty(self, symbol: str, side: Side) -> int:
        """Units that open orders on one side may still trade; unknown orders count in full."""
        return self._open_qty.get((symbol, side), 0)

    def on_order(self, before: Order | None, after: Order) -> None:
        """Fold one change of an order into positions, cash and open exposure."""
        symbol, side = after.request.symbol, after.request.side
        if before is not None and before.is_open:
            if after.is_open and before.request is after.request and _same(before, after):
                return
            self._forget(before)
        if after.is_open and after.leaves_qty > 0:
            self._remember(after)
        if after.request.parent_id is not None:
            self._follow(before, after)
        traded = after.cum_qty - (0 if before is None else before.cum_qty)
        value_p = after.traded_value_p - (0 if before is None else before.traded_value_p)
        if traded or value_p:
            self.carry(symbol, self.net.get(symbol, 0) + side.sign * traded, self.cash_p - side.sign * value_p)

    def carry(self, symbol: str, net_qty: int, cash_p: int) -> None:
        """Set a net position and the account's cash flow so far."""
        self.cash_p = cash_p
        self._gross(symbol, abs(net_qty) - abs(self._net.get(symbol, 0)))
        self.need.touch(symbol)
        if net_qty:
            self._net[symbol] = net_qty
        else:
            self._net.pop(symbol, None)

    @contextlib.contextmanager
    def supposing(self) -> Iterator[Callable[[OrderRequest], None]]:
        """Give ``suppose(order)``, which counts an order as traded at its price; all is taken back at the end."""
        net, cash_p, open_value_p = dict(self._net), self.cash_p, self.open_value_p
        touched: set[str] = set()

        def suppose(order: OrderRequest) -> None:
            value_p, symbol = order.order_qty * (order.price_p or 0), order.symbol
            touched.add(symbol)
            qty = self._net.get(symbol, 0) + order.side.sign * order.order_qty
            self.carry(symbol, qty, self.cash_p - order.side.sign * value_p)
            self.open_value_p += value_p

        try:
            yield suppose
        finally:
            for symbol in touched:
                self.carry(symbol, net.get(symbol, 0), cash_p)
            self.open_value_p = open_value_p

    def on_parent(self, cl_ord_id: str, bounds: Mapping[str, tuple[int, int]]) -> None:
        """Register the lowest and highest net units, by symbol, that the children of an order may reach together."""
        self._parents[cl_ord_id] = dict(bounds)

    def parent_room(self, cl_ord_id: str, symbol: str, side: Side) -> int | None:
        """Units that further children may still trade on a side, counted from the orders themselves.

        Open children count as done; children on the other side count only once they traded.
        None when no such parent is registered.
        """
        bounds = self._parents.get(cl_ord_id)
        if bounds is None:
            return None
        low, high = bounds.get(symbol, (0, 0))
        done, buys, sells = self._family.get((cl_ord_id, symbol), (0, 0, 0))
        return high - done - buys if side is Side.BUY else done - low - sells

    @contextlib.contextmanager
    def closing(self, cl_ord_id: str) -> Iterator[None]:
        """Count an id as that of a flatten's order while it is placed: the id, as anybody may write its source."""
        self._closing.add(cl_ord_id)
        try:
            yield
        finally:
            self._closing.discard(cl_ord_id)

    def state_for(self, order: OrderRequest) -> TradingState:
        """The trading state as it binds one order.

        A halt keeps the algorithms that protect positions: their children may still leave while they only reduce.
        So may the orders of a flatten; they may do nothing else in any state.
        """
        if order.cl_ord_id in self._closing:
            return TradingState.REDUCING
        if self.state is TradingState.HALTED and order.parent_id in self._parents:
            return TradingState.REDUCING
        return self.state

    def on_message(self, now_ns: int, exchange: str, cl_ord_id: str) -> None:
        """Count one message sent to an exchange.

        Where :attr:`answered` is set, its place in the sliding second is kept until a second after its answer
        (:meth:`on_answer`): it reached the exchange before that, so that no second of the exchange's own clock
        sees more than the limit, however late it came in.
        """
        if self.answered:
            self._flying.setdefault(exchange, {}).setdefault(cl_ord_id, deque()).append(now_ns)
        else:
            self._land(now_ns, exchange)

    def on_answer(self, now_ns: int, exchange: str, cl_ord_id: str) -> None:
        """The oldest message of an order that is under way was answered, given up or never left."""
        flying = self._flying.get(exchange, {})
        if cl_ord_id in flying:
            flying[cl_ord_id].popleft()
            if not flying[cl_ord_id]:
                del flying[cl_ord_id]
            self._land(now_ns, exchange)

    def _land(self, now_ns: int, exchange: str) -> None:
        sent = self._sent.setdefault(exchange, deque())
        sent.append(now_ns)
        while sent and sent[0] <= now_ns - _SECOND_NS:
            sent.popleft()

    def messages(self, now_ns: int, exchange: str) -> int:
        """Messages sent to an exchange within the sliding second up to ``now_ns``, with those under way."""
        sent, flying = self._sent.get(exchange), self._flying.get(exchange)
        count = 0
        if sent:
            oldest, count = now_ns - _SECOND_NS, len(sent)
            for ts_ns in sent:  # in the order of their landing, so that what is too old comes first
                if ts_ns > oldest:
                    break
                count -= 1
        if flying:
            count += sum(1 for stamps in flying.values() for ts_ns in stamps if ts_ns > now_ns - _LOST_NS)
        return count

    def on_intent(self, now_ns: int, request: OrderRequest, algo: str = "") -> None:
        """Remember an accepted order for the repeat check; a leg handed to an algorithm with the algorithm's text."""
        key = intent_key(request, algo)
        self._recent.append((now_ns, key))
        self._newest[key] = max(now_ns, self._newest.get(key, now_ns))
        while self._recent and self._recent[0][0] <= now_ns - _REMEMBER_NS:
            ts_ns, old = self._recent.popleft()
            if self._newest.get(old) == ts_ns:
                del self._newest[old]

    def repeated_ns(self, request: OrderRequest, algo: str = "") -> int | None:
        """When the same contract, side, quantity and price was last accepted, for the same algorithm."""
        return self._newest.get(intent_key(request, algo)) if self._newest else None

    def own_touch_p(self, symbol: str, side: Side) -> int | None:
        """The best price of an own resting order that one on ``side`` could meet, None without one.

        A resting order without a price meets every price; a stop whose trigger was not reached rests at none.
        """
        mine = self.resting.get(symbol)
        if not mine:
            return None
        prices = [r.price_p for r in mine.values() if r.side is not side and self.rests(symbol, r)]
        if not prices:
            return None
        if side is Side.BUY or 0 not in prices:
            return min(prices) if side is Side.BUY else max(prices)
        return NO_LIMIT

    def rests(self, symbol: str, order: Resting) -> bool:
        """Whether an open order could trade now: no stop, or one whose trigger the market has reached or may have."""
        if order.stop_p is None:
            return True
        quote = self.quote(self.instruments[symbol]) if symbol in self.instruments else None
        last_p = None if quote is None else reference_p(quote)
        return last_p is None or order.side.sign * (last_p - order.stop_p) >= 0

    def reduces(self, symbol: str, side: Side, qty: int) -> bool:
        """Whether a new order, with all open ones on its side, only shrinks the position."""
        net = self.net.get(symbol, 0)
        return net * side.sign < 0 and self.open_qty(symbol, side) + qty <= abs(net)

    def legs(self, underlying: str, now_ns: int, extra: tuple[str, Side, int] | None, *, buys: bool) -> list[Leg]:
        """Worst-case legs of an underlying for margin.

        Open sells count as done, open option buys give no benefit before they trade; futures
        count with their open buys (``buys``) or with their open sells.
        """
        symbols = {s for s in self.net if self._of(s, underlying)} | {
            s for s in self.resting if self._of(s, underlying)
        }
        if extra is not None:
            symbols.add(extra[0])
        found = []
        for symbol in sorted(symbols):
            instrument = self.instruments[symbol]
            side = Side.BUY if buys and instrument.kind is Kind.FUTURE else Side.SELL
            qty = self.net.get(symbol, 0) + side.sign * self.open_qty(symbol, side)
            if extra is not None and extra[0] == symbol and extra[1] is side:
                qty += side.sign * extra[2]
            if qty:
                found.append(self.leg(instrument, qty, now_ns))
        return found

    def leg(self, instrument: Instrument, qty: int, now_ns: int) -> Leg:
        """A position in the words of the margin room, at the file rule's time to expiry."""
        days = 0 if instrument.expiry is None else (instrument.expiry - ist_date(now_ns)).days
        return Leg(
            underlying=instrument.underlying,
            cp=0 if instrument.option_type is None else instrument.option_type.cp,
            qty=qty,
            tte=(days + 1) / 365.0,
            strike=(instrument.strike_p or 0) / 100.0,
            mark=self.mark(instrument),
            expiry=instrument.expiry,
            sessions_left=self.sessions_left.get((instrument.exchange, instrument.expiry)),
        )

    def count_sessions(self, day: dt.date, calendars: Mapping[str, Calendar]) -> None:
        """Count the trading days to the next expiries: a share's contracts ask for delivery margin by them."""
        self.sessions_left = {}
        for exchange, expiry in {(i.exchange, i.expiry) for i in self.instruments.values()}:
            if expiry is not None and exchange in calendars and 0 <= (expiry - day).days <= _NEAR_DAYS:
                with contextlib.suppress(BadData):  # past the calendar's end: days are counted instead
                    self.sessions_left[exchange, expiry] = len(calendars[exchange].sessions(day, expiry)) - 1
        self.need.reset()

    def cash_and_marks_p(self) -> int:
        """Cash flow of the trades so far, with futures at their mark: premium, realized and marked."""
        marked = 0.0
        for symbol in self.need.shape().futures:
            instrument = self.instruments[symbol]
            mark = self.mark(instrument)
            if math.isnan(mark):
                params = self.span.get(instrument.underlying)
                mark = math.nan if params is None else params.spot
            marked += 0.0 if math.isnan(mark) else self._net[symbol] * mark
        return self.cash_p + round(marked * 100.0)

    def have_p(self, due_p: int) -> int | None:
        """Funds in paise with the cash of the day's trades, less premium to pay: of open buys, and ``due_p`` more."""
        if self.funds_p is None:
            return None
        return self.funds_p + self.cash_and_marks_p() - self.premium_due_p - due_p

    def exposure(self) -> dict[str, object]:
        """Everything here that the day's orders determine, for comparison."""
        return {
            "net": dict(self.net),
            "cash_p": self.cash_p,
            "open_value_p": self.open_value_p,
            "resting": {symbol: dict(mine) for symbol, mine in self.resting.items()},
            "open_qty": dict(self._open_qty),
            "recent": list(self._recent),
            "families": dict(self._family),
            "sent": {exchange: list(sent) for exchange, sent in self._sent.items()},
        }

    def mark(self, instrument: Instrument) -> float:
        """Rupees: the middle of a two-sided quote, else the last price, else NaN."""
        quote = self.quote(instrument)
        if quote is None:
            return math.nan
        if quote.two_sided and quote.bid_p is not None and quote.ask_p is not None:
            return (quote.bid_p + quote.ask_p) / 200.0
        return math.nan if quote.ltp_p is None else quote.ltp_p / 100.0

    def _of(self, symbol: str, underlying: str) -> bool:
        instrument = self.instruments.get(symbol)
        return instrument is not None and instrument.underlying == underlying

    def _remember(self, order: Order) -> None:
        request = order.request
        price_p, stop_p = request.price_p or request.stop_px_p or 0, request.stop_px_p
        if stop_p is not None and (order.cum_qty or request.side.sign * (price_p - stop_p) < 0):
            stop_p = None  # it was triggered, or may stay unfilled when it is and the market turns back
        resting = Resting(request.side, order.leaves_qty, price_p, stop_p)
        self.resting.setdefault(request.symbol, {})[request.cl_ord_id] = resting
        self._shift(request.symbol, resting, 1)

    def _forget(self, order: Order) -> None:
        request = order.request
        mine = self.resting.get(request.symbol, {})
        resting = mine.pop(request.cl_ord_id, None)
        if not mine:
            self.resting.pop(request.symbol, None)
        if resting is not None:
            self._shift(request.symbol, resting, -1)

    def _shift(self, symbol: str, resting: Resting, sign: int) -> None:
        key = (symbol, resting.side)
        left = self._open_qty.get(key, 0) + sign * resting.leaves_qty
        if left:
            self._open_qty[key] = left
        else:
            self._open_qty.pop(key, None)
        self.open_value_p += sign * resting.leaves_qty * resting.price_p
        self.unpriced += sign if resting.price_p == 0 else 0
        self._gross(symbol, sign * resting.leaves_qty)
        self._due(symbol, resting, sign)
        self.need.touch(symbol)

    def _gross(self, symbol: str, units: int) -> None:
        instrument = self.instruments.get(symbol)
        if instrument is not None and units:
            self.gross[instrument.underlying] = self.gross.get(instrument.underlying, 0) + units

    def _count_again(self) -> None:
        """Count what depends on the terms of contracts, after they or the positions were replaced."""
        self.need.reset()
        self.gross = {}
        self.premium_due_p = 0
        for symbol, qty in self._net.items():
            self._gross(symbol, abs(qty))
        for symbol, mine in self.resting.items():
            for resting in mine.values():
                self._gross(symbol, resting.leaves_qty)
                self._due(symbol, resting, 1)

    def _due(self, symbol: str, resting: Resting, sign: int) -> None:
        instrument = self.instruments.get(symbol)
        if resting.side is Side.BUY and instrument is not None and instrument.kind is Kind.OPTION:
            self.premium_due_p += sign * resting.leaves_qty * resting.price_p

    def _follow(self, before: Order | None, after: Order) -> None:
        """Count what the children of one parent did and may still do."""
        request = after.request
        key = (request.parent_id or "", request.symbol)
        done, buys, sells = self._family.get(key, (0, 0, 0))
        old_leaves = 0 if before is None or not before.is_open else before.leaves_qty
        leaves = (after.leaves_qty if after.is_open else 0) - old_leaves
        done += request.side.sign * (after.cum_qty - (0 if before is None else before.cum_qty))
        if request.side is Side.BUY:
            buys += leaves
        else:
            sells += leaves
        self._family[key] = (done, buys, sells)


def _same(before: Order, after: Order) -> bool:
    """Whether an order counts as before: only words were exchanged."""
    return (
        before.leaves_qty == after.leaves_qty
        and before.cum_qty == after.cum_qty
        and before.traded_value_p == after.traded_value_p
    )


def reference_p(quote: Quote) -> int | None:
    """The last price in paise, the middle of both sides without one, None without either."""
    if quote.ltp_p is not None:
        return quote.ltp_p
    if quote.bid_p is not None and quote.ask_p is not None:
        return (quote.bid_p + quote.ask_p) // 2
    return None


def intent_key(request: OrderRequest, algo: str = "") -> tuple[object, ...]:
    """What makes two orders repeats of each other; an algorithm's child is no repeat of what it is part of."""
    key = (request.symbol, request.side, request.order_qty, request.ord_type, request.price_p, request.stop_px_p)
    return (*key, algo) if algo else key
