"""One option board, one day, one engine: what the tests of the orders room start from."""

from __future__ import annotations

import datetime as dt
import itertools

import msgspec
import pytest

from toolkit.calendar import ist_ns
from toolkit.config import Settings
from toolkit.desk_backends import Loop
from toolkit.market.quotes import Quote, key_of
from toolkit.orders.algos import make
from toolkit.orders.core import Core
from toolkit.orders.effects import Record, SendCancel, SendNew, SendReplace, Tell
from toolkit.orders.engine import Engine
from toolkit.orders.parents import Parents
from toolkit.orders.slicing import legal_max
from toolkit.risk.limits import Limits
from toolkit.risk.margin import default_params
from toolkit.serve.build import Plan, build
from toolkit.sim.exchange import SimExchange
from toolkit.types import (
    ExecType,
    ExecutionReport,
    Fill,
    Instrument,
    Kind,
    OptionType,
    Order,
    OrderRequest,
    OrdType,
    Side,
)

DAY = dt.date(2025, 8, 29)
OPEN_NS = ist_ns(DAY, dt.time(9, 15))
CLOSE_NS = ist_ns(DAY, dt.time(15, 30))
SECOND = 10**9


class ListSink:
    """A journal in memory that remembers its transactions, and what had been sent before each."""

    def __init__(self) -> None:
        self.bursts: list[list] = []
        self.broken = False

    def append(self, records) -> int:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.bursts.append(list(records))
        return len(self.records)

    @property
    def records(self) -> list:
        return [r for burst in self.bursts for r in burst]


def option(strike: int, option_type: str, token: int, **more) -> Instrument:
    fields = {
        "instrument_id": 10_000 + token,
        "symbol": f"NIFTY 02SEP2025 {strike} {option_type}",
        "exchange": "NSE",
        "segment": "NFO",
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


class Scene:
    """A core, its journal, its exchange, and short words to move them."""

    def __init__(self, latency_ns: int = 0, **limits) -> None:
        self.now = OPEN_NS + 60_000_000_000
        self.instruments = [option(24500, "CE", 1), option(24500, "PE", 2), option(24600, "CE", 3)]
        self.call, self.put, self.wing = (i.symbol for i in self.instruments)
        self.core = Core("PAPER", limits=Limits(**limits), instruments=self.instruments, funds_p=10**10)
        self.core.book.span["NIFTY"] = default_params(24500.0, 0.12)
        self.sink = ListSink()
        self.told: list = []
        self.exchange = SimExchange(self.instruments, latency_ns=latency_ns)
        self.engine = Engine(self.core, self.sink, self.exchange, self._hear)
        self.answers: list = []
        self.engine.start_day(OPEN_NS, (OPEN_NS, CLOSE_NS))
        self.quotes(100.0)

    def _hear(self, report, now_ns):
        self.told.append(report)
        return self.answers.pop(0) if self.answers else ()

    def quotes(self, middle: float, qty: float = 1500.0, after_s: float = 0.0) -> None:
        self.now += int(after_s * 1e9)
        n = len(self.instruments)
        keys = [key_of(i) for i in self.instruments]
        self.engine.on_quotes(
            self.now, keys, [middle - 0.5] * n, [qty] * n, [middle + 0.5] * n, [qty] * n, [middle] * n
        )

    def quote_one(self, symbol: str, quote: Quote) -> None:
        self.core.book.quotes.set(key_of(self.core.book.instruments[symbol]), quote)

    def rebuilt(self) -> Core:
        return Core.replay(self.sink.records, self.instruments)


# Reasons for which an algorithm must never be denied: it can see them coming.
OUGHT_TO_KNOW = {
    "duplicate",
    "freeze",
    "lot",
    "parent",
    "price",
    "quantity",
    "self_match",
    "session",
    "stop_px",
    "tick",
}


class Floor:
    """A core, its algorithms, its journal and its exchange; every message is held against the common rules."""

    def __init__(self, *, latency_ns: int = 0, features=("stop_limit", "ioc", "modify"), freeze: int = 1800, **limits):
        self.now = OPEN_NS + 60 * SECOND
        self.features = features
        self.instruments = [option(24500, "CE", 1), option(24500, "PE", 2), option(24600, "CE", 3)]
        self.instruments = [msgspec.structs.replace(i, freeze_qty=freeze) for i in self.instruments]
        future = {"kind": Kind.FUTURE, "strike_p": None, "option_type": None, "symbol": "NIFTY 30SEP2025 FUT"}
        self.instruments.append(msgspec.structs.replace(option(0, "CE", 4, tick_p=10), **future))
        self.call, self.put, self.wing, self.future = (i.symbol for i in self.instruments)
        self.limits = Limits(check_margin=False, **limits)
        self.core = Core("PAPER", limits=self.limits, instruments=self.instruments, funds_p=10**12)
        self.core.book.session = (OPEN_NS, CLOSE_NS)
        self.sink = ListSink()
        self.exchange = SimExchange(self.instruments, latency_ns=latency_ns)
        self.exchange.open_session(OPEN_NS, CLOSE_NS)
        self.parents = Parents(make, features)
        self.deltas: dict[str, float] = {}
        self.parents.delta = self.deltas.get
        self.sent: list = []
        self.lost: dict[int, str] = {}
        self.most: dict[tuple[str, Side], int] = {}
        self.ids = self.judged = 0
        self.perform(self.core.start_day(OPEN_NS))
        self.quotes(100.0)
        self.quote(self.future, 24500.0)

    # ---- the market

    def quotes(self, middle: float, *, half: float = 0.5, qty: float = 1500.0) -> None:
        for symbol in (self.call, self.put, self.wing):
            self.quote(symbol, middle, half=half, qty=qty)

    def quote(self, symbol: str, middle: float, *, half: float = 0.5, qty: float = 1500.0, ltp: float | None = None):
        """One contract's quote; NaN as ``qty`` is unknown, a NaN ``half`` takes both sides away."""
        key = key_of(self.core.book.instruments[symbol])
        row = ([key], [middle - half], [qty], [middle + half], [qty], [middle if ltp is None else ltp])
        self.settle(self.now - 1)
        self.core.book.quotes.update(self.now, *row)
        self.exchange.on_quotes(self.now, *row)
        self.settle(self.now)
        self.perform(self.parents.on_quotes(self.core, self.now, frozenset([key])))
        self.settle(self.now)

    def wait(self, seconds: float, *, fresh: bool = True) -> None:
        """Let time pass, a clock callback each second; ``fresh`` repeats the quotes so that they stay fresh."""
        end = self.now + round(seconds * SECOND)
        while self.now < end:
            self.now = min(end, self.now + SECOND)
            self.settle(self.now)
            if fresh:
                self.core.book.quotes._ts[:] = self.now
            self.perform(self.parents.on_clock(self.core, self.now))
            self.settle(self.now)

    def settle(self, now_ns: int) -> None:
        while (due := self.exchange.next_ns()) is not None and due <= now_ns:
            for report in self.exchange.advance(due):
                self.hear(report)
        for report in self.exchange.advance(now_ns):
            self.hear(report)

    def hear(self, report: ExecutionReport) -> None:
        self.perform(self.core.on_report(report))

    def elsewhere(self, symbol: str, qty: int, price: float = 100.0) -> None:
        """A trade of the account that this engine did not make, signed."""
        self.ids += 1
        fill = Fill(
            exec_id=f"A{self.ids}", cl_ord_id="", order_id="", account="PAPER", broker="paper", symbol=symbol,
            exchange="NSE", side=Side.BUY if qty > 0 else Side.SELL, last_qty=abs(qty), last_px_p=round(price * 100),
            exec_ns=self.now,
        )  # fmt: skip
        self.perform(self.core.align(self.now, fill, "made elsewhere"))

    # ---- the algorithm

    def leg(self, symbol: str, side: str, qty: int, price: float | None = None, stop: float | None = None):
        """A leg: a limit with a price, market without, a stop with ``stop``."""
        self.ids += 1
        kind = (OrdType.STOP if price is None else OrdType.STOP_LIMIT) if stop is not None else None
        return OrderRequest(
            cl_ord_id=f"P{self.ids}", symbol=symbol, side=Side(side), order_qty=qty,
            ord_type=kind or (OrdType.MARKET if price is None else OrdType.LIMIT),
            price_p=None if price is None else round(price * 100), stop_px_p=None if stop is None else round(stop * 100),
        )  # fmt: skip

    def run(self, text: str, *legs, policy=None) -> str:
        """Start an algorithm; its bound on each contract and side is what the legs ask, unless set before."""
        for leg in legs:
            self.most.setdefault((leg.symbol, leg.side), 0)
            self.most[leg.symbol, leg.side] += leg.order_qty
        request = msgspec.structs.replace(legs[0], algo=text, order_qty=sum(leg.order_qty for leg in legs))
        self.parent = request.cl_ord_id
        self.perform(self.parents.start(self.core, self.now, request, list(legs), policy))
        self.settle(self.now)
        return self.parent

    def cancel(self) -> None:
        self.perform(self.parents.cancel(self.core, self.now, self.parent))
        self.settle(self.now)

    def crash(self) -> None:
        """Lose everything but the journal and the exchange, and come back."""
        old = self.core.book
        self.core = Core.replay(self.sink.records, self.instruments)
        for name in ("session", "quotes", "span", "volumes"):
            setattr(self.core.book, name, getattr(old, name))
        self.parents = Parents(make, self.features)
        self.parents.delta = self.deltas.get
        self.parents.restore(self.core)

    @property
    def kids(self) -> list[Order]:
        return [self.core.orders[c] for c in self.core.children[self.parent]]

    @property
    def open(self) -> list[Order]:
        return [o for o in self.kids if o.is_open]

    @property
    def text(self) -> str:
        return self.core.algos[self.parent].text

    @property
    def done(self) -> bool:
        return self.core.algos[self.parent].done

    def net(self, symbol: str) -> int:
        return self.core.book.net.get(symbol, 0)

    def filled(self, symbol: str, side: str) -> int:
        return sum(o.cum_qty for o in self.kids if (o.request.symbol, o.request.side) == (symbol, Side(side)))

    # ---- the engine

    def perform(self, effects) -> None:
        while effects:
            records = [e for e in effects if isinstance(e, Record)]
            if records:
                self.sink.append(records)
            told = [e.report for e in effects if isinstance(e, Tell)]
            for effect in effects:
                told += self.send(effect)
            self.obey()
            effects = []
            for report in told:
                if report.exec_type is ExecType.UNKNOWN:
                    effects += self.core.on_report(report)
                else:
                    effects += self.parents.on_report(self.core, report, self.now)

    def send(self, effect) -> list[ExecutionReport]:
        if isinstance(effect, SendNew):
            self.sent.append(effect.request)
            self.obey_order(effect.request)
            fate = self.lost.get(len(self.sent), "")
            if fate != "drop":
                self.exchange.place(effect.request, self.now)
            if fate:
                ids = {"cl_ord_id": effect.request.cl_ord_id, "exec_id": f"U{len(self.sent)}"}
                return [ExecutionReport(**ids, exec_type=ExecType.UNKNOWN, ts_ns=self.now, recv_ns=self.now)]
        elif isinstance(effect, SendReplace):
            self.exchange.modify(effect.modify, self.now)
        elif isinstance(effect, SendCancel):
            self.exchange.cancel(effect.cl_ord_id, self.now)
        return []

    def obey_order(self, request: OrderRequest) -> None:
        """What holds of every order that leaves."""
        terms = self.core.book.instruments[request.symbol]
        assert OPEN_NS <= self.now < CLOSE_NS
        assert request.ord_type in (OrdType.LIMIT, OrdType.STOP_LIMIT), "no bare market order"
        assert request.price_p > 0
        assert request.price_p % terms.tick_p == 0
        assert request.order_qty % terms.lot == 0
        assert 0 < request.order_qty <= legal_max(terms.freeze_qty, terms.lot)

    def obey(self) -> None:
        """What holds at every moment: no more asked than the bound, unknown and open children in full."""
        asked: dict[tuple[str, Side], int] = {}
        for children in [self.core.children.get(p, ()) for p in self.core.algos]:
            for order in (self.core.orders[c] for c in children):
                key = (order.request.symbol, order.request.side)
                asked[key] = asked.get(key, 0) + order.cum_qty + (order.leaves_qty if order.is_open else 0)
        for key, qty in asked.items():
            assert qty <= self.most.get(key, 10**9), f"{qty} asked of {key}"
        for cl_ord_id in list(self.core.denials)[self.judged :]:
            if self.core.orders[cl_ord_id].request.parent_id is not None:
                rules = {d.rule for d in self.core.denials[cl_ord_id]}
                assert not rules & OUGHT_TO_KNOW, f"an algorithm asked for {self.core.orders[cl_ord_id].text}"
        self.judged = len(self.core.denials)


@pytest.fixture
def floor():
    return Floor


@pytest.fixture
def scene():
    return Scene


@pytest.fixture(scope="session")
def scene_class():
    return Scene


@pytest.fixture
def make_option():
    return option


@pytest.fixture
def hours():
    return OPEN_NS, CLOSE_NS


class Process:
    """A running station on a loop of its own, asked from here: ``process("place", body)``."""

    CALL = "NIFTY 14JUL2026 25450 CE"

    def __init__(self, built, loop) -> None:
        self.built, self.loop, self.station = built, loop, built.station
        self._prices = itertools.count(1)

    def __call__(self, name, *values, **fields):
        return self.loop.wait(lambda: getattr(self.station, name)(*values, **fields))

    def ask(self, act):
        """Do something of the engine's where the engine is: its journal is for one thread."""

        async def there():
            return act()

        return self.loop.wait(there)

    def events(self) -> list:
        """The journal's events."""
        return self.ask(lambda: self.seat.engine.events(0, 10_000))

    @property
    def seat(self):
        return self.station.seats["PAPER"]

    def body(self, **fields):
        """An order that rests, each at a price of its own."""
        price = f"{60 + next(self._prices) * 0.05:.2f}"
        return {"symbol": self.CALL, "side": "BUY", "lots": 1, "price": price, **fields}

    async def start(self) -> None:
        await self.station.start()

    async def stop(self) -> None:
        await self.station.stop()
        await self.built.close()


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """An engine process on paper over the shipped session."""
    mark = pytest.MonkeyPatch()
    mark.setenv("TOOLKIT_HOME", str(tmp_path_factory.mktemp("station-home")))
    free = {"engine": {"throttle_per_s": 500}, "risk": {"max_messages_per_s": 500, "max_cancels_per_s": 500}}
    loop = Loop("test-station")
    made = Process(loop.wait(lambda: build(Plan(), Settings.load(options=free))), loop)
    assert not made.station.up
    loop.wait(made.start)
    yield made
    loop.wait(made.stop)
    assert not made.station.up
    loop.stop()
    mark.undo()
