"""What the pre-trade checks look at, kept incrementally so that each check is O(1) in the day's orders."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import msgspec

from toolkit.calendar import ist_date
from toolkit.market.quotes import Quote, QuoteBoard, key_of
from toolkit.risk.limits import TradingState
from toolkit.risk.margin import Leg, SpanParams
from toolkit.types import Instrument, Kind, Order, OrderRequest, Side

__all__ = ["Resting", "RiskBook", "intent_key"]

_SECOND_NS = 1_000_000_000


class Resting(msgspec.Struct, frozen=True):
    """An open order as the checks see it: worst case still to trade, at its price."""

    side: Side
    leaves_qty: int
    price_p: int


class RiskBook:
    """Positions, open orders, cash, quotes and messages of one account.

    The owner (the engine's core) feeds it: :meth:`on_order` at every change of an order,
    :meth:`on_message` at every message sent, ``quotes`` with every batch of quotes,
    ``session``, ``funds_p`` and ``span`` when they change. None or a missing entry is
    unknown, and unknown denies.
    """

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self.instruments: dict[str, Instrument] = {}
        self.quotes = QuoteBoard()
        self.state = TradingState.ACTIVE
        self.state_reason = ""
        self.session: tuple[int, int] | None = None
        self.funds_p: int | None = None
        self.span: dict[str, SpanParams] = {}
        self.net: dict[str, int] = {}
        self.cash_p: int = 0
        self.open_value_p: int = 0
        self.resting: dict[str, dict[str, Resting]] = {}
        self._open_qty: dict[tuple[str, Side], int] = {}
        self._recent: deque[tuple[int, tuple[object, ...]]] = deque()
        self._sent: dict[str, deque[int]] = {}
        self.add(instruments)

    def add(self, instruments: Iterable[Instrument]) -> None:
        """List contracts, or replace their dated terms."""
        for instrument in instruments:
            self.instruments[instrument.symbol] = instrument

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
            self._forget(before)
        if after.is_open and after.leaves_qty > 0:
            self._remember(after)
        traded = after.cum_qty - (0 if before is None else before.cum_qty)
        value_p = after.traded_value_p - (0 if before is None else before.traded_value_p)
        if traded or value_p:
            self.carry(symbol, self.net.get(symbol, 0) + side.sign * traded, self.cash_p - side.sign * value_p)

    def carry(self, symbol: str, net_qty: int, cash_p: int) -> None:
        """Set a net position and the account's cash flow so far."""
        self.cash_p = cash_p
        if net_qty:
            self.net[symbol] = net_qty
        else:
            self.net.pop(symbol, None)

    def on_message(self, now_ns: int, exchange: str) -> None:
        """Count one message sent to an exchange."""
        sent = self._sent.setdefault(exchange, deque())
        sent.append(now_ns)
        while sent and sent[0] <= now_ns - _SECOND_NS:
            sent.popleft()

    def messages(self, now_ns: int, exchange: str) -> int:
        """Messages sent to an exchange within the sliding second up to ``now_ns``."""
        return sum(1 for ts_ns in self._sent.get(exchange, ()) if ts_ns > now_ns - _SECOND_NS)

    def on_intent(self, now_ns: int, request: OrderRequest) -> None:
        """Remember an accepted order for the repeat check."""
        self._recent.append((now_ns, intent_key(request)))
        while self._recent and self._recent[0][0] <= now_ns - 60 * _SECOND_NS:
            self._recent.popleft()

    def repeated_ns(self, request: OrderRequest) -> int | None:
        """When the same contract, side, quantity and price was last accepted."""
        key = intent_key(request)
        return max((ts_ns for ts_ns, seen in self._recent if seen == key), default=None)

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
        )

    def cash_and_marks_p(self) -> int:
        """Cash flow of the trades so far, with futures at their mark: premium, realized and marked."""
        marked = 0.0
        for symbol, qty in self.net.items():
            instrument = self.instruments.get(symbol)
            if instrument is not None and instrument.kind is Kind.FUTURE:
                mark = self.mark(instrument)
                if math.isnan(mark):
                    params = self.span.get(instrument.underlying)
                    mark = math.nan if params is None else params.spot
                marked += 0.0 if math.isnan(mark) else qty * mark
        return self.cash_p + round(marked * 100.0)

    def exposure(self) -> dict[str, object]:
        """Everything here that the day's orders determine, for comparison."""
        return {
            "net": dict(self.net),
            "cash_p": self.cash_p,
            "open_value_p": self.open_value_p,
            "resting": {symbol: dict(mine) for symbol, mine in self.resting.items()},
            "open_qty": dict(self._open_qty),
            "recent": list(self._recent),
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
        resting = Resting(request.side, order.leaves_qty, request.price_p or 0)
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


def intent_key(request: OrderRequest) -> tuple[object, ...]:
    """What makes two orders repeats of each other."""
    return (request.symbol, request.side, request.order_qty, request.ord_type, request.price_p, request.stop_px_p)
