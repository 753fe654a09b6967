"""A live engine at work for ``toolkit bench engine``: strategies that trade on quotes, at a pace or in a burst."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import itertools
import os
import resource
import socket
import tempfile
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.bench.engine_link import ACCOUNT, REST, Loopback, dial, encode, line_of
from toolkit.bench.risk import SPOT
from toolkit.brokers.port import Broker
from toolkit.calendar import ist_ns
from toolkit.market.quotes import Quote, key_of
from toolkit.orders.effects import Record
from toolkit.orders.live import LiveEngine
from toolkit.orders.monitor import Monitor
from toolkit.orders.settings import EngineSettings
from toolkit.risk.checks import check
from toolkit.risk.limits import Limits
from toolkit.risk.margin import default_params
from toolkit.strategies.protocol import Strategy
from toolkit.types import (
    ExecType,
    ExecutionReport,
    Instrument,
    Intent,
    Kind,
    OptionType,
    OrderRequest,
    OrdStatus,
    Place,
    Side,
)

__all__ = [
    "OPEN",
    "START_NS",
    "STRATEGIES",
    "Burst",
    "Commits",
    "Floor",
    "Pace",
    "Sight",
    "Trader",
    "burst",
    "columns",
    "contracts",
    "engine_on",
    "limits",
    "order_like",
    "paced",
    "session_clock",
    "until",
]

STRATEGIES: Final = 10
OPEN: Final = 500
_CONTRACTS: Final = 40
_DAY: Final = dt.date(2026, 2, 13)
START_NS: Final = ist_ns(_DAY, dt.time(10, 0))
_WIDE: Final = 1 << 60
Clock = Callable[[], int]
_AT_ONCE: Final = 50
_WARM: Final = 200


def contracts() -> list[Instrument]:
    """NIFTY options of one expiry around the money."""
    return [
        Instrument(
            instrument_id=number + 1,
            symbol=f"NIFTY 24FEB2026 {23_500 + 50 * number} CE",
            exchange="NSE",
            segment="NFO",
            underlying="NIFTY",
            kind=Kind.OPTION,
            lot=65,
            tick_p=5,
            expiry=dt.date(2026, 2, 24),
            strike_p=(23_500 + 50 * number) * 100,
            option_type=OptionType.CE,
            token=number + 1,
            freeze_qty=1800,
        )
        for number in range(_CONTRACTS)
    ]


def limits() -> Limits:
    """Every rule asked, none in the way."""
    return Limits(
        max_order_value_p=_WIDE,
        max_net_lots=10**9,
        max_gross_lots=10**9,
        max_capital_p=_WIDE,
        max_open_value_p=_WIDE,
        confirm_value_p=_WIDE,
        duplicate_window_s=0.0,
        max_messages_per_s=10**6,
        max_cancels_per_s=10**6,
    )


def quoted(now_ns: int) -> Quote:
    """What every contract quotes."""
    return Quote(now_ns, 9_995, 65_000, 10_005, 65_000, 10_000)


class Sight:
    """The little that a benchmark's strategy looks at: a view whose chain never changes."""

    class Chain(NamedTuple):
        """When it was made."""

        ts_ns: int = 1
        recv_ns: int = 1

    def __init__(self) -> None:
        self._chain = Sight.Chain()

    def chain(self) -> Chain:
        """Always the same."""
        return self._chain


class Trader(Strategy):
    """Sends one order when it is its turn, and notes when it decided and when it heard of the fill."""

    params: ClassVar = {}

    def __init__(self, number: int, symbols: Sequence[str], stamp: Clock = time.perf_counter_ns) -> None:
        super().__init__()
        self._stamp = stamp
        self.name = f"trader{number}"  # type: ignore[misc]
        self.turn = False
        self.decided_ns = 0
        self.lives: list[tuple[str, int, int]] = []
        self._symbols = itertools.cycle(symbols)
        self._sides = itertools.cycle((Side.BUY, Side.SELL))
        self._next = (next(self._symbols), next(self._sides))

    def on_tick(self, view: Any) -> Sequence[Intent]:
        """Buy and sell in turn."""
        if not self.turn:
            return ()
        self.turn = False
        self.decided_ns = self._stamp()
        symbol, side = self._next
        self._next = (symbol, Side.SELL) if side is Side.BUY else (next(self._symbols), Side.BUY)
        return (Place(symbol=symbol, side=side, order_qty=65, price_p=10_005 if side is Side.BUY else 9_995),)

    def on_report(self, report: ExecutionReport) -> Sequence[Intent]:
        """Note the end of a life."""
        if report.exec_type is ExecType.TRADE:
            self.lives.append((report.cl_ord_id, self.decided_ns, self._stamp()))
        return ()


class Commits:
    """The journal of an engine, timed: when each commit began and ended."""

    def __init__(self, engine: LiveEngine, stamp: Clock = time.perf_counter_ns) -> None:
        self._stamp = stamp
        self.began: list[int] = []
        self.ended: list[int] = []
        self.records = 0
        self.count = 0
        self._append = engine.journal.append
        engine.journal.append = self.append  # type: ignore[method-assign]

    def append(self, records: Sequence[Record]) -> int:
        """Append, and note how long it took."""
        self.began.append(self._stamp())
        try:
            return self._append(records)
        finally:
            self.ended.append(self._stamp())
            self.records += len(records)
            self.count += 1

    def trim(self) -> None:
        """Forget the times, keep the counts."""
        self.began.clear()
        self.ended.clear()

    def within(self, from_ns: int, to_ns: int) -> int:
        """Nanoseconds of commits between two moments."""
        total = 0
        at = max(0, bisect_left(self.began, from_ns) - 1)
        while at < len(self.began) and self.began[at] < to_ns:
            total += max(0, min(to_ns, self.ended[at]) - max(from_ns, self.began[at]))
            at += 1
        return total


def order_like() -> OrderRequest:
    """An order as the strategies send them, at a price that meets none of theirs."""
    symbol = contracts()[3].symbol
    return OrderRequest(cl_ord_id="FLOOR", symbol=symbol, side=Side.BUY, order_qty=65, price_p=9_990, account=ACCOUNT)


class Floor:
    """The least that an order can cost: the rules asked, its bytes made and handed to a socket."""

    def __init__(self, engine: LiveEngine, link: socket.socket, stamp: Clock) -> None:
        self._stamp = stamp
        self.took: list[int] = []
        self._engine = engine
        self._link = link
        self._order = order_like()

    def once(self) -> None:
        """One order."""
        core = self._engine.core
        began_ns = self._stamp()
        denied = check(self._order, core.book, core.limits, self._engine.now_ns())
        line = line_of(self._order)
        line.t = "quiet"
        self._link.send(encode(line))
        self.took.append(self._stamp() - began_ns)
        assert not denied, denied


class Pace(NamedTuple):
    """What a paced run saw, nanoseconds an order: the whole, the engine's own part, commits on its way, the wire;
    and between the orders the floor, which is asking the rules, encoding and handing the bytes to a socket. ``warm``
    is the same floor asked again and again: what lies between the two are caches gone cold and a processor woken."""

    whole: npt.NDArray[np.int64]
    own: npt.NDArray[np.int64]
    commit: npt.NDArray[np.int64]
    wire: npt.NDArray[np.int64]
    floor: npt.NDArray[np.int64]
    warm: npt.NDArray[np.int64]
    monitor: Monitor
    late: int
    open_orders: int


def session_clock() -> Callable[[], int]:
    """A clock that starts at ten in the morning of a trading day and runs at the pace of this machine's."""
    offset_ns = START_NS - time.perf_counter_ns()
    return lambda: time.perf_counter_ns() + offset_ns


@asynccontextmanager
async def engine_on(
    broker: Broker, clock: Callable[[], int], *, realm: str, monitor: Monitor | None = None
) -> AsyncIterator[LiveEngine]:
    """A ready engine, its contracts quoted and its margin estimated."""
    with tempfile.TemporaryDirectory() as folder:
        engine = LiveEngine(
            broker,
            ACCOUNT,
            limits=limits(),
            engine=EngineSettings(margin="local", throttle_per_s=10**6),
            clock=clock,
            realm=f"bench-{realm}-{os.getpid()}",
            folder=Path(folder),
            monitor=monitor,
        )
        await engine.start()
        book = engine.core.book
        book.add(await broker.instruments())
        book.funds_p = 10**13
        book.span["NIFTY"] = default_params(SPOT, 0.15)
        try:
            yield engine
        finally:
            await engine.stop()
            await broker.close()


@asynccontextmanager
async def looped(
    port: int, *, keeps_book: bool = True, monitor: Monitor | None = None, stamp: Clock = time.perf_counter_ns
) -> AsyncIterator[tuple[LiveEngine, Loopback]]:
    """A ready engine on the loopback exchange."""
    clock = session_clock()
    broker = Loopback(port, contracts(), clock, lambda symbol: quoted(clock()), keeps_book=keeps_book, stamp=stamp)
    await broker.connect()
    async with engine_on(broker, clock, realm=str(port), monitor=monitor) as engine:
        yield engine, broker


def columns(keys: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], ...]:
    """What every contract quotes, as arrays in rupees."""
    return tuple(np.full(len(keys), value) for value in (99.95, 65e3, 100.05, 65e3, 100.0))


def tick(engine: LiveEngine, keys: npt.NDArray[np.int64]) -> None:
    """Quotes of every contract."""
    engine.on_quotes(engine.now_ns(), keys, *columns(keys))


async def rest(engine: LiveEngine, count: int) -> None:
    """Put orders into the exchange's book that stay there."""
    symbols = [i.symbol for i in contracts()]
    for start in range(0, count, _AT_ONCE):
        made = []
        for number in range(start, min(count, start + _AT_ONCE)):
            request = OrderRequest(
                cl_ord_id=f"R{number:05d}",
                symbol=symbols[number % len(symbols)],
                side=Side.BUY,
                order_qty=65,
                price_p=8_000 + 5 * (number % 300),
                account=ACCOUNT,
                note=REST,
            )
            made.append(engine.place(request))
        await asyncio.gather(*made)
    await until(lambda: all(o.ord_status is OrdStatus.NEW for o in engine.core.open_orders()))


async def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        await asyncio.sleep(0.005)


async def paced(port: int, *, orders: int, per_s: float, warm: int = 100, stamp: Clock = time.perf_counter_ns) -> Pace:
    """Let strategies send orders at a pace, each filled at once, with :data:`OPEN` orders resting beside them.

    The own part is the time from a strategy's decision to its hearing of the fill, without the journal's
    commits and without the socket: what lies between having the bytes ready and having the fill's bytes back.
    With ``time.thread_time_ns`` as ``stamp`` it is in processor time, which no neighbour lengthens.
    """
    async with looped(port, monitor=Monitor(), stamp=stamp) as (engine, broker):
        keys = np.array([key_of(i) for i in contracts()], np.int64)
        symbols = [i.symbol for i in contracts()]
        tick(engine, keys)
        traders = [Trader(number, symbols[number::STRATEGIES], stamp) for number in range(STRATEGIES)]
        sight: Any = Sight()
        for trader in traders:
            engine.run_strategy(trader, "NIFTY", lambda: sight)
        await rest(engine, OPEN)
        commits = Commits(engine, stamp)
        gc.collect()
        gc.freeze()  # as the desk does once it has started
        with dial(port) as link:
            floor = Floor(engine, link, stamp)
            await _drive(engine, traders, keys, warm, per_s, floor)
            engine.monitor = monitor = Monitor()
            floor.took.clear()
            for trader in traders:
                trader.lives.clear()
            late = await _drive(engine, traders, keys, orders, per_s, floor)
            cold, floor.took = floor.took, []
            tick(engine, keys)
            for _ in range(_WARM):
                floor.once()
        lives = [life for trader in traders for life in trader.lives]
        whole, own, commit, wire = _parts(lives, broker, commits)
        least, warm_least = np.array(cold, np.int64), np.array(floor.took, np.int64)
        return Pace(whole, own, commit, wire, least, warm_least, monitor, late, len(engine.core.open_orders()))


class Burst(NamedTuple):
    """What a burst saw: seconds an order of every stretch of a thousand, commits and records, memory an order."""

    seconds: list[float]
    commits: int
    records: int
    bytes_an_order: float


_STRETCH: Final = 1000


async def burst(port: int, *, orders: int, at_once: int, warm: int = 2000) -> Burst:
    """Place orders as fast as they go, ``at_once`` of them under way: commits are shared by those that wait."""
    async with looped(port, keeps_book=False) as (engine, broker):
        tick(engine, np.array([key_of(i) for i in contracts()], np.int64))
        symbols = [i.symbol for i in contracts()]
        commits = Commits(engine)
        await _place(engine, symbols, range(warm), at_once)
        gc.collect()
        before, made, written = resident(), commits.count, commits.records
        seconds = []
        for first in range(warm, warm + orders, _STRETCH):
            start = time.perf_counter()
            await _place(engine, symbols, range(first, first + _STRETCH), at_once)
            seconds.append((time.perf_counter() - start) / _STRETCH)
            broker.sent_ns.clear()
            broker.heard_ns.clear()
            commits.trim()
        gc.collect()
        grown = (resident() - before) / orders
        return Burst(seconds, commits.count - made, commits.records - written, grown)


async def _place(engine: LiveEngine, symbols: Sequence[str], numbers: range, at_once: int) -> None:
    """Place orders with numbers, ``at_once`` under way, and wait for their fills."""
    left = iter(numbers)

    async def worker() -> None:
        for number in left:
            side = Side.BUY if number % 2 else Side.SELL
            await engine.place(
                OrderRequest(
                    cl_ord_id=f"B{number:07d}",
                    symbol=symbols[number // 2 % len(symbols)],
                    side=side,
                    order_qty=65,
                    price_p=10_005 if side is Side.BUY else 9_995,
                    account=ACCOUNT,
                )
            )

    await asyncio.gather(*(worker() for _ in range(at_once)))
    await until(lambda: not engine.core.open_orders())


def resident() -> int:
    """Bytes of memory this process holds; the most it ever held, where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def _drive(
    engine: LiveEngine,
    traders: Sequence[Trader],
    keys: npt.NDArray[np.int64],
    orders: int,
    per_s: float,
    floor: Floor,
) -> int:
    """Give one trader after the other its turn at equal times, the floor between; how many turns came late by one."""
    start, done, late = time.monotonic(), sum(len(t.lives) for t in traders), 0
    for number in range(orders):
        wait = start + number / per_s - time.monotonic()
        late += wait < -1.0 / per_s
        await asyncio.sleep(max(0.0, wait))
        traders[number % len(traders)].turn = True
        tick(engine, keys)
        await asyncio.sleep(max(0.0, start + (number + 0.5) / per_s - time.monotonic()))
        floor.once()
    await until(lambda: sum(len(t.lives) for t in traders) >= done + orders)
    return late


def _parts(lives: Sequence[tuple[str, int, int]], broker: Loopback, commits: Commits) -> npt.NDArray[np.int64]:
    """The whole, own part, commits and wire of each order."""
    rows = []
    for cl_ord_id, decided, told in lives:
        sent, heard = broker.sent_ns[cl_ord_id], broker.heard_ns[cl_ord_id]
        commit = commits.within(decided, sent) + commits.within(heard, told)
        rows.append((told - decided, (sent - decided) + (told - heard) - commit, commit, heard - sent))
    return np.array(rows, np.int64).T
