"""A live engine on a simulated exchange, in time by hand: no socket, no waiting, every fault on cue."""

from __future__ import annotations

import asyncio
import datetime as dt
import heapq
import os

import pytest

from toolkit.brokers.paper import PaperBroker
from toolkit.brokers.port import CAPABILITIES, Held
from toolkit.calendar import ist_ns
from toolkit.errors import AuthExpired, BadData, Refused, Retryable, Unknown
from toolkit.market.quotes import key_of
from toolkit.orders.core import Core
from toolkit.orders.live import LiveEngine
from toolkit.orders.settings import EngineSettings
from toolkit.risk.limits import Limits
from toolkit.types import Instrument, Kind, OptionType, OrderRequest, Product, Side

DAY = dt.date(2025, 8, 29)
OPEN_NS = ist_ns(DAY, dt.time(9, 15))
CLOSE_NS = ist_ns(DAY, dt.time(15, 30))


def option(strike: int, option_type: str, token: int, **more) -> Instrument:
    fields = {
        "instrument_id": 10_000 + token,
        "symbol": f"NIFTY 02SEP2025 {strike} {option_type}",
        "exchange": "NSE",
        "segment": "NSE_FO",
        "underlying": "NIFTY",
        "kind": Kind.OPTION,
        "lot": 75,
        "tick_p": 5,
        "expiry": dt.date(2025, 9, 2),
        "strike_p": strike * 100,
        "option_type": OptionType(option_type),
        "token": token,
        "freeze_qty": 1800,
    }
    return Instrument(**{**fields, **more})


class Hours:
    """Time by hand: a clock, a monotonic clock and a sleep that wake only when the test lets time pass."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.mono_ns = 10**12
        self._sleepers: list[tuple[int, int, asyncio.Future]] = []
        self._count = 0

    def wall(self) -> int:
        return self.now_ns

    def mono(self) -> int:
        return self.mono_ns

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.mono_ns + int(seconds * 1e9), self._count, future))
        await future

    async def calm(self) -> None:
        """Let everything that waits for no time run."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def run(self, seconds: float) -> None:
        """Let time pass, from sleeper to sleeper."""
        await self.calm()
        until = self.mono_ns + int(seconds * 1e9)
        while self._sleepers and self._sleepers[0][0] <= until:
            due, _, future = heapq.heappop(self._sleepers)
            self._move(due)
            if not future.done():
                future.set_result(None)
            await self.calm()
        self._move(until)

    async def during(self, work):
        """Let time pass until a piece of work is done, at most ten minutes."""
        task = asyncio.ensure_future(work)
        for _ in range(6000):
            await self.calm()
            if task.done():
                break
            await self.run(0.1)
        return await task

    def _move(self, mono_ns: int) -> None:
        if mono_ns > self.mono_ns:
            self.now_ns += mono_ns - self.mono_ns
            self.mono_ns = mono_ns


class Judge(PaperBroker):
    """A broker that outlives the engines that use it: its own book is the truth, its faults are scripted.

    ``faults`` are taken one by one by the calls of their kind: ``cut-before`` (nothing arrives, no answer),
    ``cut-after`` (arrives, no answer), ``refuse``, ``refuse-after`` (arrives all the same), ``auth``, ``hang``, ``late:SECONDS`` (arrives, no answer, and the
    book shows it that much later).
    """

    def __init__(self, hours: Hours, instruments) -> None:
        super().__init__("ACC", instruments=instruments, clock=hours.wall)
        self.hours = hours
        self.faults: dict[str, list[str]] = {"place": [], "modify": [], "cancel": []}
        self.sent: list[tuple[str, str, int]] = []
        self.hidden: dict[str, int] = {}
        self.overnight: dict[str, Held] = {}
        self.state = "ready"
        self.link = "ready"
        self.reads = 0
        self.muted = False
        self.hanging = asyncio.Event()

    @property
    def name(self) -> str:
        return "kite"

    @property
    def capabilities(self):
        return CAPABILITIES["kite"]

    async def _call(self, kind: str, cl_ord_id: str, act):
        self.sent.append((kind, cl_ord_id, self.hours.mono_ns))
        fault = self.faults[kind].pop(0) if self.faults[kind] else ""
        if self.state == "auth_expired" or fault == "auth":
            self.state = "auth_expired"
            raise AuthExpired("the token is dead; nothing was placed")
        if fault == "refuse":
            raise Refused("the broker says no")
        if fault == "cut-before":
            raise Unknown("the line was cut")
        if fault == "hang":
            await self.hanging.wait()
        if fault.startswith("late:"):
            self.hidden[cl_ord_id] = self.hours.now_ns + int(float(fault[5:]) * 1e9)
        found = await act()
        if fault == "refuse-after":
            raise Refused("the broker says no, and keeps it")
        if fault in ("cut-after",) or fault.startswith("late:"):
            raise Unknown("the line was cut")
        return found

    async def place(self, request):
        return await self._call("place", request.cl_ord_id, lambda: super(Judge, self).place(request))

    async def modify(self, modify):
        return await self._call("modify", modify.cl_ord_id, lambda: super(Judge, self).modify(modify))

    async def cancel(self, cl_ord_id):
        return await self._call("cancel", cl_ord_id, lambda: super(Judge, self).cancel(cl_ord_id))

    async def elsewhere(self, cl_ord_id, symbol, side, qty, price_p):
        """An order from the broker's own app."""
        request = OrderRequest(
            cl_ord_id=cl_ord_id, symbol=symbol, side=side, order_qty=qty, price_p=price_p, account="ACC", broker="kite"
        )
        await super().place(request)

    async def withdrawn_elsewhere(self, cl_ord_id):
        await super().cancel(cl_ord_id)

    def _seen(self, cl_ord_id: str) -> bool:
        return self.hidden.get(cl_ord_id, 0) <= self.hours.now_ns

    def _reach(self) -> None:
        self.reads += 1
        if self.state == "auth_expired":
            raise AuthExpired("the token is dead")
        if self.link != "ready":
            raise Retryable("the broker does not answer")

    async def orders(self):
        self._reach()
        return tuple(o for o in await super().orders() if self._seen(o.cl_ord_id))

    async def trades(self):
        self._reach()
        return tuple(f for f in await super().trades() if self._seen(f.cl_ord_id))

    async def order_history(self, cl_ord_id):
        self._reach()
        if not self._seen(cl_ord_id):
            raise BadData("no such order")
        return await super().order_history(cl_ord_id)

    async def quote(self, symbols):
        self._reach()
        return await super().quote(symbols)

    async def positions(self):
        self._reach()
        found = {}
        for fill in self._fills:
            if self._seen(fill.cl_ord_id):
                found[fill.symbol] = found.get(fill.symbol, 0) + fill.side.sign * fill.last_qty
        paid = {p.symbol: p.avg_px for p in await super().positions()}
        for symbol, held in self.overnight.items():
            found[symbol] = found.get(symbol, 0) + held.net_qty
        return tuple(
            Held(
                symbol=s,
                exchange="NSE",
                product=Product.NRML,
                net_qty=q,
                avg_px=self.overnight[s].avg_px if s in self.overnight else paid.get(s, 0.0),
            )
            for s, q in found.items()
            if q
        )

    async def updates(self):
        async for report in super().updates():
            if not self.muted and self._seen(report.cl_ord_id):
                yield report

    def held(self, symbol, qty, avg_px):
        """A position from elsewhere or from yesterday."""
        self.overnight[symbol] = Held(symbol=symbol, exchange="NSE", product=Product.NRML, net_qty=qty, avg_px=avg_px)

    def truth(self) -> dict:
        """What it holds, by our ids."""
        return dict(self._orders)


def die(engine) -> None:
    """End an engine as kill -9 does: nothing is flushed, tidied or said."""
    engine.watch.ended = True
    for task in [*engine.watch._loops, *engine._tasks, *engine.wire._last.values()]:
        task.cancel()
    engine._pen.backlog = []
    engine._pen.journal._db.close()
    os.close(engine._lease._file)
    engine._lease._file = -1
    engine._pen = None


class Pit:
    """A live engine on a judge, in time by hand; ``crash`` and ``open`` again as often as wanted."""

    def __init__(self, folder, **more) -> None:
        self.hours = Hours(OPEN_NS + 60_000_000_000)
        self.instruments = [option(24500, "CE", 1), option(24500, "PE", 2), option(24600, "CE", 3)]
        self.call, self.put, self.wing = (i.symbol for i in self.instruments)
        self.broker = Judge(self.hours, self.instruments)
        self.broker.set_session(OPEN_NS, CLOSE_NS)
        self.folder = folder
        self.limits = Limits(check_margin=False, max_messages_per_s=1000, max_cancels_per_s=1000)
        self.more = more
        self.settings = {"settle_s": 60.0, "book_s": 5.0, "positions_s": 15.0}
        self.engine = None
        self.quotes()

    def quotes(self, middle: float = 100.0, qty: float = 15000.0) -> None:
        """New quotes of every contract, at the exchange first and then here."""
        self.market(middle, qty)
        if self.engine is not None:
            self.shown(middle, qty)

    def market(self, middle: float, qty: float) -> None:
        self.broker.on_quotes(self.hours.now_ns, *self._columns(middle, qty))

    def shown(self, middle: float, qty: float) -> None:
        self.engine.on_quotes(self.hours.now_ns, *self._columns(middle, qty))

    def _columns(self, middle, qty):
        n = len(self.instruments)
        keys = [key_of(i) for i in self.instruments]
        return keys, [middle - 0.5] * n, [qty] * n, [middle + 0.5] * n, [qty] * n, [middle] * n

    def fields(self, **more) -> dict:
        fields = {"limits": self.limits, "clock": self.hours.wall, "mono": self.hours.mono, "sleep": self.hours.sleep}
        return fields | {"engine": EngineSettings(**self.settings), "folder": self.folder} | self.more | more

    async def open(self, *, watching=True, **more):
        self.engine = LiveEngine(self.broker, "ACC", **self.fields(**more))
        await self.engine.start(watching=watching)
        await self.hours.calm()
        return self.engine

    async def crash(self) -> None:
        die(self.engine)
        await self.hours.calm()

    def buy(self, cl_ord_id, price_p=9000, **more) -> OrderRequest:
        fields = {"symbol": self.call, "side": Side.BUY, "order_qty": 75, "price_p": price_p, "account": "ACC"}
        return OrderRequest(**{"cl_ord_id": cl_ord_id, "broker": "kite", **fields, **more})

    def alarms(self) -> list[str]:
        """Kinds of the alarms journaled so far."""
        return [e.payload["kind"] for e in self.engine.events(most=10**6) if e.kind == "alarm"]

    def verdict(self) -> None:
        """V: nothing lost, nothing twice, nothing different, and the journal alone says the same."""
        core, truth = self.engine.core, self.broker.truth()
        ours = {c: o for c, o in core.orders.items() if c not in core.children}
        for cl_ord_id, theirs in truth.items():
            assert cl_ord_id in ours, f"{cl_ord_id} is lost"
            mine = ours[cl_ord_id]
            assert (mine.cum_qty, mine.traded_value_p) == (theirs.cum_qty, theirs.traded_value_p), cl_ord_id
            assert mine.is_open == theirs.is_open, (mine.ord_status, theirs.ord_status)
        for cl_ord_id, mine in ours.items():
            assert cl_ord_id in truth or mine.ord_status in ("denied", "rejected", "unknown"), cl_ord_id
        placed = [c for kind, c, _ in self.broker.sent if kind == "place"]
        assert len(placed) == len(set(placed)), "an order was sent twice"
        journaled = {e.cl_ord_id for e in self.engine.events(most=10**6) if e.kind in ("order", "parent")}
        children = {c for kin in core.children.values() for c in kin}
        assert set(placed) <= journaled | children, "an order left without its record"
        records = [e.record for e in self.engine.journal.records()]
        assert Core.replay(records).state() == core.state()
        assert self.engine.journal.verify().state == "sound"


@pytest.fixture
async def pit(tmp_path):
    """``pit(**more)`` makes a :class:`Pit`; its engine is stopped at the end."""
    made: list[Pit] = []

    def make(**more) -> Pit:
        made.append(Pit(tmp_path / f"accounts{len(made)}", **more))
        return made[-1]

    yield make
    for one in made:
        if one.engine is not None and one.engine._pen is not None:
            one.broker.hanging.set()
            await one.engine.stop()
        await one.broker.close()


@pytest.fixture
def kill():
    """``kill(engine)``: end it as kill -9 does."""
    return die
