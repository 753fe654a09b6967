"""One option board, one day, one engine: what the tests of the orders room start from."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.calendar import ist_ns
from toolkit.market.quotes import Quote, key_of
from toolkit.orders.core import Core
from toolkit.orders.engine import Engine
from toolkit.risk.limits import Limits
from toolkit.risk.margin import default_params
from toolkit.sim.exchange import SimExchange
from toolkit.types import Instrument, Kind, OptionType

DAY = dt.date(2025, 8, 29)
OPEN_NS = ist_ns(DAY, dt.time(9, 15))
CLOSE_NS = ist_ns(DAY, dt.time(15, 30))


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
