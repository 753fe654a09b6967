"""A loopback exchange for the engine's benchmark: a process that acknowledges and fills, and the broker port to it.

Its wire is one line of JSON a message over a plain socket: the least that a broker can cost, so that
what is measured is the engine. The broker's port keeps a book of what it was told, so that the engine's
comparison with the broker's books does its real work.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec

from toolkit.bench.process import beside, serve
from toolkit.brokers.port import CAPABILITIES, Capability, DayTerms, Funds, Held, MarketFeed, Profile
from toolkit.errors import Refused
from toolkit.market.quotes import Quote
from toolkit.orders.lifecycle import apply, begin
from toolkit.risk.margin import Margin
from toolkit.types import ExecType, ExecutionReport, Fill, Instrument, Modify, Order, OrderRequest, Product

__all__ = ["ACCOUNT", "REST", "Line", "Loopback", "dial", "encode", "exchange", "line_of", "round_trip"]

ACCOUNT: Final = "BENCH"
REST: Final = "rest"
"""The note of an order that the exchange acknowledges and leaves in its book."""


class Line(msgspec.Struct, omit_defaults=True):
    """One message of the wire, either way. ``t`` is place, quiet, cancel; ack, new, fill, gone."""

    t: str
    id: str
    symbol: str = ""
    side: str = ""
    qty: int = 0
    px: int = 0
    fill: bool = False
    order_id: str = ""


_DECODE: Final = msgspec.json.Decoder(Line)
_ENCODER: Final = msgspec.json.Encoder()


def encode(line: Line) -> bytes:
    """A message as it goes over the wire."""
    return _ENCODER.encode(line) + b"\n"


def line_of(request: OrderRequest) -> Line:
    """The wire's form of an order."""
    fill = request.note != REST
    return Line(
        "place", request.cl_ord_id, request.symbol, str(request.side), request.order_qty, request.price_p or 0, fill
    )


class _Exchange(asyncio.Protocol):
    """Acknowledges every order, and fills at once what asks for it; a quiet one gets no answer."""

    def __init__(self) -> None:
        self._rest = b""
        self._count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        out = b"".join(self._answer(_DECODE.decode(raw)) for raw in lines)
        if out:
            self._transport.write(out)

    def _answer(self, line: Line) -> bytes:
        if line.t == "quiet":
            return b""
        if line.t != "place":
            return encode(Line("gone", line.id))
        self._count += 1
        order_id = f"X{self._count}"
        told = Line("fill" if line.fill else "new", line.id, line.symbol, line.side, line.qty, line.px)
        told.order_id = order_id
        return encode(Line("ack", line.id, order_id=order_id)) + encode(told)


def exchange() -> AbstractContextManager[int]:
    """The exchange in another process; gives its port."""
    return beside(serve, _Exchange, what="the benchmark's exchange")


def dial(port: int) -> socket.socket:
    """A plain socket to the exchange."""
    link = socket.create_connection(("127.0.0.1", port), timeout=10)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def round_trip(link: socket.socket, data: bytes) -> None:
    """Send a message and read its two answers."""
    link.sendall(data)
    lines = 0
    while lines < 2:
        lines += link.recv(4096).count(b"\n")


class _Socket(asyncio.Protocol):
    """The client's end: gives each line to ``heard`` with the time at which its bytes were here."""

    def __init__(self, heard: Callable[[Line, int], None], stamp: Callable[[], int]) -> None:
        self._heard = heard
        self._stamp = stamp
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        now_ns = self._stamp()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for raw in lines:
            self._heard(_DECODE.decode(raw), now_ns)


class Loopback:
    """The broker port over one socket to the loopback exchange.

    Parameters
    ----------
    port : int
    instruments : sequence of Instrument
    clock : callable
        Nanoseconds UTC.
    quote : callable
        ``quote(symbol)``: what a contract quotes.
    keeps_book : bool
        Whether it keeps the day's orders, as a real broker does. Otherwise the engine's book is the truth.

    Attributes
    ----------
    sent_ns, heard_ns : dict of str to int
        When each order's bytes were ready for the socket, and when the bytes of its fill were back, by ``stamp``.
    """

    name = "paper"

    def __init__(
        self,
        port: int,
        instruments: Sequence[Instrument],
        clock: Callable[[], int],
        quote: Callable[[str], Quote],
        *,
        keeps_book: bool = True,
        stamp: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.clock = clock
        self._stamp = stamp
        self._port = port
        self._by_symbol = {i.symbol: i for i in instruments}
        self._quote = quote
        self._keeps_book = keeps_book
        self._calls: dict[str, asyncio.Future[Line]] = {}
        self._told: asyncio.Queue[ExecutionReport | None] = asyncio.Queue()
        self._socket: _Socket | None = None
        self._book: dict[str, Order] = {}
        self._asked: list[tuple[OrderRequest, int]] = []
        self._news: list[ExecutionReport] = []
        self.sent_ns: dict[str, int] = {}
        self.heard_ns: dict[str, int] = {}

    async def connect(self) -> None:
        """Open the socket."""
        loop = asyncio.get_running_loop()
        _, self._socket = await loop.create_connection(
            lambda: _Socket(self._hear, self._stamp), "127.0.0.1", self._port
        )

    @property
    def capabilities(self) -> Capability:
        """Those of Kite, or of paper when no book is kept."""
        return CAPABILITIES["kite" if self._keeps_book else "paper"]

    async def profile(self) -> Profile:
        """Who is logged in."""
        return Profile(broker=self.name, account=ACCOUNT, name="bench", products=(Product.NRML,), exchanges=("NSE",))

    async def instruments(self) -> Sequence[Instrument]:
        """Contracts listed."""
        return tuple(self._by_symbol.values())

    async def resolve(self, symbol: str, exchange: str | None = None) -> Instrument:
        """The contract of a symbol."""
        return self._by_symbol[symbol]

    async def quote(self, symbols: Sequence[str]) -> Mapping[str, Quote]:
        """Newest quotes."""
        return {symbol: self._quote(symbol) for symbol in symbols}

    async def day_terms(self, symbols: Sequence[str]) -> Mapping[str, DayTerms]:
        """None: nothing here measures a day."""
        return {}

    async def place(self, request: OrderRequest) -> str:
        """Send an order and wait for its acknowledgement."""
        if self._keeps_book:
            self._asked.append((request, self.clock()))
        return (await self._call(line_of(request))).order_id

    async def modify(self, modify: Modify) -> None:
        """Send a modification."""
        await self._call(Line("modify", modify.cl_ord_id))

    async def cancel(self, cl_ord_id: str) -> None:
        """Send a cancel."""
        await self._call(Line("cancel", cl_ord_id))

    async def _call(self, line: Line) -> Line:
        if self._socket is None:
            raise Refused("the loopback exchange is not connected; nothing was sent")
        future: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        self._calls[line.id] = future
        data = encode(line)
        self.sent_ns[line.id] = self._stamp()
        self._socket.transport.write(data)
        return await future

    def _hear(self, line: Line, now_ns: int) -> None:
        if line.t in ("ack", "gone"):
            self._calls.pop(line.id).set_result(line)
            return
        if line.t == "fill":
            self.heard_ns[line.id] = now_ns
        report = _report(line, self.clock())
        if self._keeps_book:
            self._news.append(report)
        self._told.put_nowait(report)

    def _kept(self) -> dict[str, Order]:
        """The broker's own book. A broker keeps it elsewhere, so that here it is made when it is read."""
        asked, self._asked = self._asked, []
        news, self._news = self._news, []
        for request, at_ns in asked:
            self._book[request.cl_ord_id] = begin(request, at_ns)
        for report in news:
            self._book[report.cl_ord_id] = apply(self._book[report.cl_ord_id], report)[0]
        return self._book

    async def updates(self) -> AsyncIterator[ExecutionReport]:
        """News as it comes."""
        while (report := await self._told.get()) is not None:
            yield report

    async def orders(self) -> Sequence[Order]:
        """The day's orders."""
        return tuple(self._kept().values())

    async def order_history(self, cl_ord_id: str) -> Sequence[ExecutionReport]:
        """Nothing beyond what was told."""
        return ()

    async def trades(self) -> Sequence[Fill]:
        """The day's executions."""
        return tuple(_fill(order) for order in self._kept().values() if order.cum_qty)

    async def positions(self) -> Sequence[Held]:
        """What the executions come to."""
        net: dict[str, int] = {}
        for order in self._kept().values():
            symbol = order.request.symbol
            net[symbol] = net.get(symbol, 0) + order.request.side.sign * order.cum_qty
        return tuple(
            Held(symbol=s, exchange="NSE", product=Product.NRML, net_qty=qty, avg_px=100.0)
            for s, qty in net.items()
            if qty
        )

    async def holdings(self) -> Sequence[Held]:
        """None."""
        return ()

    async def margins(self) -> Funds:
        """Plenty."""
        return Funds(cash_p=10**13, used_p=0, available_p=10**13)

    async def order_margins(self, requests: Sequence[OrderRequest]) -> Margin:
        """Not offered: the benchmark's engine estimates margin itself."""
        raise Refused("the loopback exchange has no margin calculator")

    async def convert(self, symbol: str, qty: int, product: Product, to: Product) -> None:
        """Not offered."""
        raise Refused("the loopback exchange converts nothing")

    def feed(self) -> MarketFeed:
        """Not offered."""
        raise Refused("the loopback exchange has no feed")

    async def close(self) -> None:
        """Let the socket go; :meth:`updates` ends."""
        self._told.put_nowait(None)
        if self._socket is not None:
            self._socket.transport.close()


def _report(line: Line, now_ns: int) -> ExecutionReport:
    filled = line.t == "fill"
    return ExecutionReport(
        cl_ord_id=line.id,
        exec_id=f"{line.id}-{line.t}",
        exec_type=ExecType.TRADE if filled else ExecType.NEW,
        ts_ns=now_ns,
        recv_ns=now_ns,
        order_id=line.order_id,
        account=ACCOUNT,
        symbol=line.symbol,
        last_qty=line.qty if filled else 0,
        last_px_p=line.px if filled else 0,
    )


def _fill(order: Order) -> Fill:
    request, (exec_id, qty, px_p) = order.request, order.execs[0]
    return Fill(
        exec_id=exec_id,
        cl_ord_id=request.cl_ord_id,
        order_id=order.order_id or "",
        account=request.account,
        broker=request.broker,
        symbol=request.symbol,
        exchange=request.exchange,
        side=request.side,
        last_qty=qty,
        last_px_p=px_p,
        exec_ns=order.updated_ns,
    )
