"""Paper: the simulated exchange behind the broker port.

Quotes come in through :meth:`PaperBroker.on_quotes`; orders fill against them by the rules of
:class:`~toolkit.sim.exchange.SimExchange`. The clock is an argument, so that a recorded day
runs in event time and a live feed in wall time.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from toolkit.brokers.port import CAPABILITIES, TICK, Capability, DayTerms, Funds, Held, Profile
from toolkit.calendar import Calendar, ist_date
from toolkit.contracts import SymbolBook
from toolkit.errors import BadData, Refused, nearest
from toolkit.market.quotes import Quote, key_of
from toolkit.orders.lifecycle import apply, begin
from toolkit.portfolio.positions import PositionBook
from toolkit.risk.book import RiskBook
from toolkit.risk.margin import Margin, SpanParams, span_margin
from toolkit.sim.exchange import SimExchange
from toolkit.types import (
    ExecType,
    ExecutionReport,
    Fill,
    Instrument,
    Modify,
    Order,
    OrderRequest,
    Product,
)

__all__ = ["PaperBroker", "PaperFeed"]

_MODES = ("ltp", "quote", "full")
_QUEUE = 1024


class PaperFeed:
    """Hands on the quotes that the paper exchange receives, as structured arrays of :data:`TICK`.

    At most 1 024 batches wait; when the reader is slower than that the oldest are dropped and counted.
    """

    def __init__(self) -> None:
        self._modes: dict[int, str] = {}
        self._batches: asyncio.Queue[npt.NDArray[np.void] | None] = asyncio.Queue(_QUEUE)
        self._stats = {"batches": 0, "quotes": 0, "dropped": 0}
        self._closed = False

    def want(self, modes: Mapping[int, str]) -> None:
        """State the keys wanted and each one's mode."""
        for key, mode in modes.items():
            if mode not in _MODES:
                raise BadData(f"feed mode of {key} must be one of {', '.join(_MODES)}, was {mode!r}")
        self._modes = dict(modes)

    async def ticks(self) -> AsyncIterator[npt.NDArray[np.void]]:
        """Batches as they come, until the broker is closed."""
        while (batch := await self._batches.get()) is not None:
            yield batch

    @property
    def state(self) -> str:
        """``idle`` before something is wanted, then ``live``, at last ``closed``."""
        if self._closed:
            return "closed"
        return "live" if self._modes else "idle"

    @property
    def stats(self) -> Mapping[str, int]:
        """Counters: batches, quotes, dropped."""
        return dict(self._stats)

    def take(self, now_ns: int, keys: npt.NDArray[np.int64], columns: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Take a batch of the exchange's quotes and keep the wanted ones."""
        if not self._modes or self._closed:
            return
        wanted = np.isin(keys, np.fromiter(self._modes, np.int64, len(self._modes)))
        batch = np.empty(int(wanted.sum()), TICK)
        batch["key"], batch["recv_ns"] = keys[wanted], now_ns
        for name, values in columns.items():
            batch[name] = values[wanted]
        if len(batch):
            self._stats["batches"] += 1
            self._stats["quotes"] += len(batch)
            self._put(batch)

    def close(self) -> None:
        """End the stream."""
        if not self._closed:
            self._closed = True
            self._put(None)

    def _put(self, batch: npt.NDArray[np.void] | None) -> None:
        if self._batches.full():
            self._batches.get_nowait()
            self._stats["dropped"] += 1
        self._batches.put_nowait(batch)


class PaperBroker:
    """One paper account on one simulated exchange.

    Parameters
    ----------
    account : str
        The account's name.
    instruments : iterable of Instrument
        Contracts listed.
    funds_p : int
        Money at the start, paise.
    latency_ns : int
        One way to the exchange.
    clock : callable
        Nanoseconds UTC; ``time.time_ns`` by default, event time in a replay.
    """

    def __init__(
        self,
        account: str = "PAPER",
        *,
        instruments: Iterable[Instrument] = (),
        funds_p: int = 1_00_00_000_00,
        latency_ns: int = 0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.account = account
        listed = tuple(instruments)
        self.exchange = SimExchange(listed, latency_ns=latency_ns)
        self._book = RiskBook(listed)
        self._funds_p = funds_p
        self.clock = clock
        self._orders: dict[str, Order] = {}
        self._history: dict[str, list[ExecutionReport]] = {}
        self._positions = PositionBook("average")
        self._fills: list[Fill] = []
        self._sent = 0
        self._readers: list[asyncio.Queue[ExecutionReport | None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._feed = PaperFeed()
        self._closed = False

    @property
    def name(self) -> str:
        """``paper``."""
        return "paper"

    @property
    def capabilities(self) -> Capability:
        """What paper can do."""
        return CAPABILITIES["paper"]

    def set_session(self, open_ns: int, close_ns: int) -> None:
        """Set the day's trading hours."""
        self.exchange.open_session(open_ns, close_ns)

    def set_day(self, day: dt.date, calendars: Mapping[str, Calendar]) -> None:
        """Set the day and the exchanges' calendars, from which the days to each expiry are counted."""
        self._book.count_sessions(day, calendars)

    def set_span(self, params: Mapping[str, SpanParams]) -> None:
        """Set the margin parameters by underlying."""
        self._book.span.update(params)

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
        """Take a batch of quotes received at ``now_ns``; fills follow from it."""
        self._book.quotes.update(now_ns, keys, bid, bid_qty, ask, ask_qty, ltp)
        self.exchange.on_quotes(now_ns, keys, bid, bid_qty, ask, ask_qty, ltp)
        columns = {"bid": bid, "bid_qty": bid_qty, "ask": ask, "ask_qty": ask_qty, "ltp": ltp}
        arrays = {name: np.asarray(values, np.float64) for name, values in columns.items()}
        self._feed.take(now_ns, np.asarray(keys, np.int64), arrays)
        self.pump(now_ns)

    def pump(self, now_ns: int) -> None:
        """Let the exchange run to ``now_ns`` and hand out what it reported."""
        for report in self.exchange.advance(now_ns):
            self._keep(report)
            for reader in self._readers:
                reader.put_nowait(report)

    async def profile(self) -> Profile:
        """The paper account."""
        known = self.capabilities
        return Profile(
            broker="paper",
            account=self.account,
            name="Paper account",
            products=known.products,
            exchanges=known.exchanges,
        )

    async def instruments(self) -> Sequence[Instrument]:
        """Contracts listed."""
        return tuple(self._book.instruments.values())

    async def resolve(self, symbol: str, exchange: str | None = None) -> Instrument:
        """The one live contract that a text names."""
        listed = self._book.instruments
        return SymbolBook(listed.values()).find(symbol, ist_date(self.clock()), exchange)

    async def quote(self, symbols: Sequence[str]) -> Mapping[str, Quote]:
        """Newest quotes of listed symbols."""
        found = {}
        for symbol in symbols:
            newest = self._book.quotes.quote(key_of(self._listed(symbol)))
            if newest is not None:
                found[symbol] = newest
        return found

    async def day_terms(self, symbols: Sequence[str]) -> Mapping[str, DayTerms]:
        """None: paper trades on another's market, which tells them."""
        return {}

    async def place(self, request: OrderRequest) -> str:
        """Send an order; its fate comes through :meth:`updates`.

        Raises
        ------
        Refused
            When the id was used before, the account is another's, or paper does not know the order type.
        """
        self._open()
        known = self.capabilities
        if request.account != self.account:
            raise Refused(f"paper account {self.account} takes no orders of {request.account}")
        if request.cl_ord_id in self._orders:
            raise Refused(f"order id {request.cl_ord_id} was used before; use a new one")
        if request.ord_type not in known.ord_types or request.product not in known.products:
            allowed = ", ".join((*known.ord_types, *known.products))
            raise Refused(f"paper takes {allowed}, was {request.ord_type} {request.product}")
        now_ns = self.clock()
        self._sent += 1
        self._orders[request.cl_ord_id] = begin(request, now_ns)
        self._history[request.cl_ord_id] = []
        self.exchange.place(request, now_ns)
        self._run(now_ns)
        return f"P{self._sent:08d}"

    async def modify(self, modify: Modify) -> None:
        """Send the full new statement of an order."""
        self._open()
        order = self._working(modify.cl_ord_id)
        now_ns = self.clock()
        pending = _own(order, ExecType.PENDING_REPLACE, now_ns, modify.order_qty)
        self._orders[modify.cl_ord_id] = apply(order, pending)[0]
        self.exchange.modify(modify, now_ns)
        self._run(now_ns)

    async def cancel(self, cl_ord_id: str) -> None:
        """Send a cancel."""
        self._open()
        order = self._working(cl_ord_id)
        now_ns = self.clock()
        self._orders[cl_ord_id] = apply(order, _own(order, ExecType.PENDING_CANCEL, now_ns, None))[0]
        self.exchange.cancel(cl_ord_id, now_ns)
        self._run(now_ns)

    async def orders(self) -> Sequence[Order]:
        """The day's orders."""
        self.pump(self.clock())
        return tuple(self._orders.values())

    async def order_history(self, cl_ord_id: str) -> Sequence[ExecutionReport]:
        """Everything the exchange said about one order."""
        self.pump(self.clock())
        if cl_ord_id not in self._history:
            raise BadData(f"no order {cl_ord_id!r} today{nearest(cl_ord_id, self._history)}")
        return tuple(self._history[cl_ord_id])

    async def trades(self) -> Sequence[Fill]:
        """The day's executions."""
        self.pump(self.clock())
        return tuple(self._fills)

    async def positions(self) -> Sequence[Held]:
        """Open positions at average cost."""
        self.pump(self.clock())
        return tuple(
            Held(
                symbol=p.symbol,
                exchange=p.exchange,
                product=Product.NRML,
                net_qty=p.net_qty,
                avg_px=p.avg_px,
                realized=p.realized_p / 100.0,
            )
            for p in self._positions.held()
        )

    async def holdings(self) -> Sequence[Held]:
        """None: paper trades derivatives."""
        return ()

    async def margins(self) -> Funds:
        """Money at the start with the cash of the trades, less the estimated margin of the positions."""
        self.pump(self.clock())
        cash_p = self._funds_p + self._book.cash_and_marks_p()
        used_p = round(self._margin_of(()).total * 100.0)
        return Funds(cash_p=cash_p, used_p=used_p, available_p=cash_p - used_p, collateral_p=0)

    async def order_margins(self, requests: Sequence[OrderRequest]) -> Margin:
        """Estimated margin of the positions with a basket on top."""
        return self._margin_of(requests)

    async def convert(self, symbol: str, qty: int, product: Product, to: Product) -> None:
        """Always refused: paper keeps one position a contract, whatever the product."""
        raise Refused(f"paper does not convert positions ({symbol} {product} to {to}); it keeps one a contract")

    async def updates(self) -> AsyncIterator[ExecutionReport]:
        """Reports from now on, until :meth:`close`."""
        self._open()
        queue: asyncio.Queue[ExecutionReport | None] = asyncio.Queue()
        self._readers.append(queue)
        try:
            while (report := await queue.get()) is not None:
                yield report
        finally:
            self._readers.remove(queue)

    def feed(self) -> PaperFeed:
        """The quotes that came in, handed on."""
        return self._feed

    async def close(self) -> None:
        """End every stream."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._feed.close()
        for reader in self._readers:
            reader.put_nowait(None)

    def _run(self, now_ns: int) -> None:
        """Hand out what is due, and wake up again when the next message arrives."""
        self.pump(now_ns)
        due_ns = self.exchange.next_ns()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_ns is not None and not self._closed:
            wait_s = max(0.001, (due_ns - self.clock()) / 1e9)
            self._timer = asyncio.get_running_loop().call_later(wait_s, lambda: self._run(self.clock()))

    def _keep(self, report: ExecutionReport) -> None:
        order = self._orders.get(report.cl_ord_id)
        if order is None:
            return
        self._history[report.cl_ord_id].append(report)
        after, _ = apply(order, report)
        self._orders[report.cl_ord_id] = after
        self._book.on_order(order, after)
        if report.exec_type is ExecType.TRADE:
            fill = Fill(
                exec_id=report.exec_id,
                cl_ord_id=report.cl_ord_id,
                order_id=report.order_id or "",
                account=self.account,
                broker="paper",
                symbol=order.request.symbol,
                exchange=order.request.exchange,
                side=order.request.side,
                last_qty=report.last_qty,
                last_px_p=report.last_px_p,
                exec_ns=report.ts_ns,
            )
            self._fills.append(fill)
            self._positions.apply(fill)

    def _margin_of(self, requests: Sequence[OrderRequest]) -> Margin:
        net = dict(self._book.net)
        for request in requests:
            self._listed(request.symbol)
            net[request.symbol] = net.get(request.symbol, 0) + request.side.sign * request.order_qty
        now_ns = self.clock()
        legs = [self._book.leg(self._listed(symbol), qty, now_ns) for symbol, qty in sorted(net.items()) if qty]
        return span_margin(legs, self._book.span)

    def _listed(self, symbol: str) -> Instrument:
        instrument = self._book.instruments.get(symbol)
        if instrument is None:
            raise BadData(f"no contract {symbol!r} is listed{nearest(symbol, self._book.instruments)}")
        return instrument

    def _working(self, cl_ord_id: str) -> Order:
        order = self._orders.get(cl_ord_id)
        if order is None:
            raise Refused(f"no order {cl_ord_id!r} today{nearest(cl_ord_id, self._orders)}")
        if not order.is_open:
            raise Refused(f"order {cl_ord_id} is already {order.ord_status}")
        return order

    def _open(self) -> None:
        if self._closed:
            raise Refused("this paper account is closed; connect again")


def _own(order: Order, exec_type: ExecType, now_ns: int, order_qty: int | None) -> ExecutionReport:
    return ExecutionReport(
        cl_ord_id=order.cl_ord_id, exec_id="", exec_type=exec_type, ts_ns=now_ns, recv_ns=now_ns, order_qty=order_qty
    )
