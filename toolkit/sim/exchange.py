"""A simulated exchange: pure, deterministic, honest about what it cannot know.

Orders go in with :meth:`SimExchange.place`, ``modify`` and ``cancel``; quotes with
``on_quotes``; :meth:`SimExchange.advance` gives what has become known to the sender.

The rules of a fill:

- an order reaches the book at its decision time plus ``latency_ns`` (and a jitter drawn from
  ``seed``); it meets the newest quote received by then, never a later one;
- an order that crosses on arrival takes the displayed price, and while it still crosses goes on
  taking at each later quote's price, never worse than its limit;
- an order that rested fills at its own limit price once a later quote reaches it;
- a displayed quantity is consumed once, until price or quantity on that side changes; an unknown
  quantity counts as one lot; better limits come first, then older orders;
- MARKET must carry its protection price and is a limit at that price; the rest of an IOC is
  canceled at once; DAY orders expire at the close;
- bare stops (SL-M) are refused on options; STOP_LIMIT waits for the last traded price;
- while a contract is halted nothing of it trades and new orders are refused; cancels pass;
- at expiry a contract is worth its intrinsic value (a future, the final value) and leaves the list.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.calendar import ist_date
from toolkit.errors import BadData
from toolkit.market.quotes import Quote, QuoteBoard, key_of
from toolkit.orders.slicing import legal_max
from toolkit.types import (
    ExecType,
    ExecutionReport,
    Instrument,
    Kind,
    Modify,
    OrderRequest,
    OrdType,
    Side,
    TimeInForce,
)

__all__ = ["SimExchange"]


class _Working(msgspec.Struct):
    """One order in the book."""

    request: OrderRequest
    instrument: Instrument
    order_id: str
    seq: int
    price_p: int
    leaves: int
    cum: int = 0
    taking: bool = False
    triggered: bool = True


class _Side(msgspec.Struct):
    """What is displayed on one side and how much of it is left for us."""

    price_p: int | None = None
    shown: int | None = None
    left: int = 0


class SimExchange:
    """One exchange with its contracts, its book of our orders and its session.

    Parameters
    ----------
    instruments : iterable of Instrument
        Contracts listed; :meth:`add` adds more.
    latency_ns : int
        One way, from the decision to the book; reports take as long back.
    jitter_ns, seed : int
        Uniform extra delay up to ``jitter_ns`` each way, drawn from ``seed``.
    """

    def __init__(
        self, instruments: Iterable[Instrument] = (), *, latency_ns: int = 0, jitter_ns: int = 0, seed: int = 0
    ) -> None:
        if latency_ns < 0 or jitter_ns < 0:
            raise BadData(f"latency must not be negative, was {latency_ns} ns and jitter {jitter_ns} ns")
        self._latency_ns = latency_ns
        self._jitter_ns = jitter_ns
        self._random = random.Random(seed)  # noqa: S311 - a simulation's jitter, seeded on purpose
        self._listed: dict[str, Instrument] = {}
        self._by_key: dict[int, Instrument] = {}
        self._bands: dict[str, tuple[int, int]] = {}
        self._board = QuoteBoard()
        self._sides: dict[tuple[int, Side], _Side] = {}
        self._book: dict[str, _Working] = {}
        self._queues: dict[str, dict[str, _Working]] = {}
        self._seen: set[str] = set()
        self._inbox: list[tuple[int, int, str, OrderRequest | Modify | str]] = []
        self._outbox: list[tuple[int, int, ExecutionReport]] = []
        self._session: tuple[int, int] | None = None
        self._stamp = "000000"
        self._halted: set[str] = set()
        self._now_ns = 0
        self._heard_ns = 0
        self._seq = 0
        self._orders = 0
        self._execs = 0
        self.add(instruments)

    def add(self, instruments: Iterable[Instrument]) -> None:
        """List contracts; listing one again replaces its dated terms.

        Raises
        ------
        BadData
            When two contracts share a token.
        """
        for instrument in instruments:
            other = self._by_key.get(key_of(instrument))
            if other is not None and other.symbol != instrument.symbol:
                raise BadData(
                    f"token {key_of(instrument)} of {instrument.symbol} is already {other.symbol}; tokens must differ"
                )
            self._by_key[key_of(instrument)] = instrument
            self._listed[instrument.symbol] = instrument

    def open_session(self, open_ns: int, close_ns: int) -> None:
        """Set the day's trading hours; orders outside are refused, DAY orders expire at the close."""
        if close_ns <= open_ns:
            raise BadData(f"a session must close after it opens, was {open_ns} to {close_ns} ns")
        self._session = (open_ns, close_ns)
        self._stamp = f"{ist_date(open_ns):%y%m%d}"

    def band(self, bands: Mapping[str, tuple[int, int]]) -> None:
        """Set the exchange's own price bands, lowest and highest paise by symbol."""
        self._bands.update(bands)

    def halt(self, symbols: Iterable[str] | None = None) -> None:
        """Stop trading in some contracts, or (a circuit halt) in all: working orders rest, new ones are refused."""
        self._halted.update(self._listed if symbols is None else symbols)

    def resume(self, symbols: Iterable[str] | None = None) -> None:
        """Trade again; orders meet the book with the next quote."""
        self._halted.difference_update(list(self._halted) if symbols is None else symbols)

    def settle(self, finals: Mapping[str, int], at_ns: int) -> dict[str, int]:
        """Settle the contracts that expire on the day of ``at_ns`` and take them off the list.

        Parameters
        ----------
        finals : mapping of str to int
            Final value of each underlying in paise; contracts of others are left alone.
        at_ns : int

        Returns
        -------
        dict of str to int
            Settlement price in paise by symbol: intrinsic value of an option, final value of a future.
        """
        self._clock(at_ns)
        found = {}
        for symbol, instrument in sorted(self._listed.items()):
            final_p = finals.get(instrument.underlying)
            if instrument.expiry != ist_date(at_ns) or final_p is None:
                continue
            found[symbol] = _settlement_p(instrument, final_p)
            for working in list(self._queues.get(symbol, {}).values()):
                self._end(working, ExecType.EXPIRED, at_ns, "contract expired")
            del self._listed[symbol]
        return found

    def place(self, request: OrderRequest, now_ns: int) -> None:
        """Send a new order at ``now_ns``; it arrives after the latency."""
        self._send(now_ns, "place", request)

    def modify(self, modify: Modify, now_ns: int) -> None:
        """Send the full new statement of an order."""
        self._send(now_ns, "modify", modify)

    def cancel(self, cl_ord_id: str, now_ns: int) -> None:
        """Send a cancel."""
        self._send(now_ns, "cancel", cl_ord_id)

    def on_quotes(
        self,
        now_ns: int,
        keys: npt.ArrayLike,
        bid: npt.ArrayLike,
        bid_qty: npt.ArrayLike,
        ask: npt.ArrayLike,
        ask_qty: npt.ArrayLike,
        ltp: npt.ArrayLike,
    ) -> None:
        """Take a batch of quotes received at ``now_ns`` (arrays as in :meth:`QuoteBoard.update`).

        Orders that arrived before ``now_ns`` meet the earlier quotes first.
        """
        self._arrive(now_ns - 1)
        self._clock(now_ns)
        self._board.update(now_ns, keys, bid, bid_qty, ask, ask_qty, ltp)
        # A contract whose quote did not come has nothing new to trade against.
        came = frozenset(np.asarray(keys, np.int64).tolist())
        for symbol in sorted(self._queues):
            instrument = self._listed[symbol]
            if key_of(instrument) in came:
                self._match(instrument, now_ns)

    def advance(self, now_ns: int) -> list[ExecutionReport]:
        """Let time run to ``now_ns``: reports that have reached the sender by then, in order."""
        self._arrive(now_ns)
        self._clock(now_ns)
        known = []
        while self._outbox and self._outbox[0][0] <= now_ns:
            known.append(heapq.heappop(self._outbox)[2])
        return known

    def next_ns(self) -> int | None:
        """When the next message arrives on either side, None when nothing is under way."""
        due = [queue[0][0] for queue in (self._inbox, self._outbox) if queue]
        return min(due) if due else None

    def quote(self, symbol: str) -> Quote | None:
        """The newest quote of a contract."""
        instrument = self._listed.get(symbol)
        return None if instrument is None else self._board.quote(key_of(instrument))

    def working(self) -> tuple[str, ...]:
        """Ids of the orders in the book, oldest first."""
        return tuple(self._book)

    def _send(self, now_ns: int, verb: str, message: OrderRequest | Modify | str) -> None:
        self._seq += 1
        heapq.heappush(self._inbox, (now_ns + self._delay(), self._seq, verb, message))

    def _delay(self) -> int:
        return self._latency_ns + (self._random.randint(0, self._jitter_ns) if self._jitter_ns else 0)

    def _back(self, at_ns: int) -> int:
        """When a report reaches the sender: reports share one stream and never overtake each other."""
        self._heard_ns = max(self._heard_ns, at_ns + self._delay())
        return self._heard_ns

    def _arrive(self, until_ns: int) -> None:
        while self._inbox and self._inbox[0][0] <= until_ns:
            at_ns, _, _, message = heapq.heappop(self._inbox)
            self._clock(at_ns)
            if isinstance(message, OrderRequest):
                self._take(message, at_ns)
            elif isinstance(message, Modify):
                self._change(message, at_ns)
            else:
                self._withdraw(message, at_ns)

    def _clock(self, now_ns: int) -> None:
        self._now_ns = max(self._now_ns, now_ns)
        if self._session is None or self._now_ns < self._session[1]:
            return
        for working in list(self._book.values()):
            self._end(working, ExecType.EXPIRED, self._session[1], "day order expired at the close")

    def _take(self, request: OrderRequest, at_ns: int) -> None:
        self._orders += 1
        order_id = f"S{self._stamp}{self._orders:06d}"
        reason = self._refusal(request, at_ns)
        instrument = self._listed.get(request.symbol)
        if reason or instrument is None or request.price_p is None:
            self._report(request, order_id, ExecType.REJECTED, at_ns, text=reason or "order needs a price")
            return
        self._seen.add(request.cl_ord_id)
        self._seq += 1
        working = _Working(request, instrument, order_id, self._seq, request.price_p, request.order_qty)
        working.triggered = request.ord_type in (OrdType.LIMIT, OrdType.MARKET)
        self._book[request.cl_ord_id] = working
        self._queues.setdefault(request.symbol, {})[request.cl_ord_id] = working
        self._report(request, order_id, ExecType.NEW, at_ns)
        self._enter(working, at_ns)

    def _enter(self, working: _Working, at_ns: int) -> None:
        """Let an order that has just arrived, changed or been triggered meet the displayed quote."""
        working.taking = working.triggered and self._crosses(working)
        self._match(working.instrument, at_ns)
        if working.request.time_in_force is TimeInForce.IOC and working.leaves:
            self._end(working, ExecType.CANCELED, at_ns, "rest of an IOC order")

    def _refusal(self, request: OrderRequest, at_ns: int) -> str:
        instrument = self._listed.get(request.symbol)
        if instrument is None:
            return f"no contract {request.symbol} is listed"
        if request.cl_ord_id in self._seen:
            return f"order id {request.cl_ord_id} was used before"
        if self._session is None or not self._session[0] <= at_ns < self._session[1]:
            return "the market is closed"
        if request.symbol in self._halted:
            return f"trading in {request.symbol} is halted"
        if instrument.kind is Kind.INDEX:
            return f"{request.symbol} is an index and does not trade"
        if instrument.expiry is not None and instrument.expiry < ist_date(at_ns):
            return f"{request.symbol} expired on {instrument.expiry}"
        if request.ord_type is OrdType.STOP and (instrument.kind is Kind.OPTION or request.exchange == "BSE"):
            return "stop-loss market orders are withdrawn here; send STOP_LIMIT"
        if request.ord_type in (OrdType.STOP, OrdType.STOP_LIMIT) and request.stop_px_p is None:
            return f"{request.ord_type} needs stop_px"
        if request.ord_type in (OrdType.STOP, OrdType.STOP_LIMIT) and request.time_in_force is TimeInForce.IOC:
            return "a stop order must be DAY"
        if request.ord_type in (OrdType.MARKET, OrdType.STOP) and request.price_p is None:
            return "market order without protection"
        return self._wrong_numbers(instrument, request.order_qty, request.price_p, request.stop_px_p)

    def _wrong_numbers(self, instrument: Instrument, qty: int, price_p: int | None, stop_px_p: int | None) -> str:
        if qty <= 0 or qty % instrument.lot:
            return f"quantity must be a multiple of the lot {instrument.lot}, was {qty}"
        if instrument.freeze_qty is not None and qty > legal_max(instrument.freeze_qty, instrument.lot):
            return f"quantity {qty} is above the freeze quantity {instrument.freeze_qty}"
        for name, px_p in (("price", price_p), ("stop_px", stop_px_p)):
            if name == "price" and px_p is None:
                return "order needs a price"
            if px_p is not None and (px_p <= 0 or px_p % instrument.tick_p):
                return f"{name} must be a positive multiple of the tick {instrument.tick_p} paise, was {px_p}"
        low, high = self._bands.get(instrument.symbol, (0, 1 << 62))
        if price_p is not None and not low <= price_p <= high:
            return f"price {price_p} paise is outside the band {low} to {high}"
        return ""

    def _change(self, modify: Modify, at_ns: int) -> None:
        working = self._book.get(modify.cl_ord_id)
        if working is None:
            self._answer_unknown(modify.cl_ord_id, ExecType.REPLACE_REJECTED, at_ns)
            return
        price_p = working.price_p if modify.price_p is None else modify.price_p
        stop_px_p = working.request.stop_px_p if modify.stop_px_p is None else modify.stop_px_p
        reason = self._wrong_numbers(working.instrument, modify.order_qty, price_p, stop_px_p)
        if not reason and modify.order_qty <= working.cum:
            reason = f"quantity must stay above the {working.cum} already traded, was {modify.order_qty}"
        if reason:
            self._report(working.request, working.order_id, ExecType.REPLACE_REJECTED, at_ns, text=reason)
            return
        before = working.request
        working.request = msgspec.structs.replace(
            before, order_qty=modify.order_qty, price_p=price_p, stop_px_p=stop_px_p
        )
        if price_p != before.price_p or modify.order_qty > before.order_qty:
            self._seq += 1
            working.seq = self._seq
        working.price_p = price_p
        working.leaves = modify.order_qty - working.cum
        self._report(working.request, working.order_id, ExecType.REPLACED, at_ns)
        self._enter(working, at_ns)

    def _withdraw(self, cl_ord_id: str, at_ns: int) -> None:
        working = self._book.get(cl_ord_id)
        if working is None:
            self._answer_unknown(cl_ord_id, ExecType.CANCEL_REJECTED, at_ns)
        else:
            self._end(working, ExecType.CANCELED, at_ns, "")

    def _crosses(self, working: _Working) -> bool:
        opposite = self._opposite(working.instrument, working.request.side).price_p
        if opposite is None:
            return False
        return working.request.side.sign * (working.price_p - opposite) >= 0

    def _opposite(self, instrument: Instrument, side: Side) -> _Side:
        """The displayed quantity an order on ``side`` may take; a change of the quote refreshes it."""
        key = key_of(instrument)
        state = self._sides.setdefault((key, side), _Side())
        quote = self._board.quote(key)
        if quote is None:
            return state
        price_p, shown = (quote.ask_p, quote.ask_qty) if side is Side.BUY else (quote.bid_p, quote.bid_qty)
        if price_p != state.price_p or shown != state.shown:
            state.price_p, state.shown = price_p, shown
            state.left = instrument.lot if shown is None else shown
        return state

    def _match(self, instrument: Instrument, at_ns: int) -> None:
        if instrument.symbol in self._halted:
            return
        mine = list(self._queues.get(instrument.symbol, {}).values())
        for working in mine:
            self._trigger(working, at_ns)
        ready = [w for w in mine if w.triggered]
        for side in (Side.BUY, Side.SELL):
            queue = sorted((w for w in ready if w.request.side is side), key=lambda w: (-side.sign * w.price_p, w.seq))
            displayed = self._opposite(instrument, side)
            for working in queue:
                if displayed.price_p is None or side.sign * (working.price_p - displayed.price_p) < 0:
                    working.taking = False
                    continue
                self._fill(working, displayed, at_ns)

    def _trigger(self, working: _Working, at_ns: int) -> None:
        quote = self._board.quote(key_of(working.instrument))
        stop_p = working.request.stop_px_p
        if working.triggered or quote is None or quote.ltp_p is None or stop_p is None:
            return
        if working.request.side.sign * (quote.ltp_p - stop_p) >= 0:
            working.triggered = True
            working.taking = self._crosses(working)
            self._report(working.request, working.order_id, ExecType.NEW, at_ns, text="stop triggered")

    def _fill(self, working: _Working, displayed: _Side, at_ns: int) -> None:
        qty = min(working.leaves, displayed.left) // working.instrument.lot * working.instrument.lot
        if qty <= 0 or displayed.price_p is None:
            return
        displayed.left -= qty
        working.leaves -= qty
        working.cum += qty
        px_p = displayed.price_p if working.taking else working.price_p
        self._report(working.request, working.order_id, ExecType.TRADE, at_ns, last_qty=qty, last_px_p=px_p)
        if not working.leaves:
            self._leave(working)

    def _end(self, working: _Working, exec_type: ExecType, at_ns: int, text: str) -> None:
        self._leave(working)
        self._report(working.request, working.order_id, exec_type, at_ns, text=text)

    def _leave(self, working: _Working) -> None:
        """Take an order off the book."""
        del self._book[working.request.cl_ord_id]
        queue = self._queues[working.request.symbol]
        del queue[working.request.cl_ord_id]
        if not queue:
            del self._queues[working.request.symbol]

    def _answer_unknown(self, cl_ord_id: str, exec_type: ExecType, at_ns: int) -> None:
        self._execs += 1
        self._post(
            ExecutionReport(
                cl_ord_id=cl_ord_id,
                exec_id=f"X{self._stamp}{self._execs:06d}",
                exec_type=exec_type,
                ts_ns=at_ns,
                recv_ns=self._back(at_ns),
                text=f"the order is {'done and no longer' if cl_ord_id in self._seen else 'not'} in the book",
            )
        )

    def _report(
        self,
        request: OrderRequest,
        order_id: str,
        exec_type: ExecType,
        at_ns: int,
        *,
        last_qty: int = 0,
        last_px_p: int = 0,
        text: str = "",
    ) -> None:
        self._execs += 1
        self._post(
            ExecutionReport(
                cl_ord_id=request.cl_ord_id,
                exec_id=f"X{self._stamp}{self._execs:06d}",
                exec_type=exec_type,
                ts_ns=at_ns,
                recv_ns=self._back(at_ns),
                order_id=order_id,
                exch_order_id=None if exec_type is ExecType.REJECTED else f"E{order_id}",
                account=request.account,
                symbol=request.symbol,
                side=request.side,
                last_qty=last_qty,
                last_px_p=last_px_p,
                price_p=request.price_p,
                stop_px_p=request.stop_px_p,
                order_qty=request.order_qty,
                text=text,
            )
        )

    def _post(self, report: ExecutionReport) -> None:
        self._seq += 1
        heapq.heappush(self._outbox, (report.recv_ns, self._seq, report))


def _settlement_p(instrument: Instrument, final_p: int) -> int:
    if instrument.option_type is None or instrument.strike_p is None:
        return final_p
    return max(0, instrument.option_type.cp * (final_p - instrument.strike_p))
