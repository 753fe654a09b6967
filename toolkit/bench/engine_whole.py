"""The whole engine on the work that its peer is given: one order a quote, filled by a simulated exchange in process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from toolkit.bench.engine_link import ACCOUNT
from toolkit.bench.engine_path import START_NS, Sight, Trader, columns, contracts, engine_on, limits, until
from toolkit.bench.risk import SPOT
from toolkit.brokers.paper import PaperBroker
from toolkit.market.quotes import key_of
from toolkit.orders.core import Core
from toolkit.orders.effects import Record
from toolkit.orders.engine import Engine
from toolkit.orders.monitor import Monitor
from toolkit.risk.margin import default_params
from toolkit.sim.exchange import SimExchange
from toolkit.types import ExecutionReport, Intent

__all__ = ["Lives", "live", "pure"]

_HOURS: Final = (START_NS - 10**9, START_NS + 5 * 3600 * 10**9)
_PAGES: Final = 1000
"""Pages after which SQLite folds its write-ahead log and starts at its beginning again."""


class Uncommitted:
    """In the place of a journal: counts records and keeps none."""

    def __init__(self) -> None:
        self.records = 0

    def append(self, records: Sequence[Record]) -> int:
        """Count."""
        self.records += len(records)
        return self.records


class Lives(NamedTuple):
    """Nanoseconds an order: from a strategy's decision to the fill in the book, and to the strategy's hearing of it."""

    filled: list[int]
    told: list[int]


def live(orders: int, *, journal: bool) -> Lives:
    """One strategy in the live engine on paper, with its journal or with none."""
    return asyncio.run(_live(orders, journal))


class _Ends(Monitor):
    """Notes when each order's fill was in the book."""

    def __init__(self) -> None:
        super().__init__()
        self.filled: dict[str, int] = {}

    def on_stage(self, cl_ord_id: str, stage: str, at_ns: int) -> None:
        super().on_stage(cl_ord_id, stage, at_ns)
        if stage == "fill":
            self.filled[cl_ord_id] = at_ns


async def _live(orders: int, journal: bool) -> Lives:
    now = [START_NS]
    clock: Callable[[], int] = lambda: now[0]  # noqa: E731
    listed = contracts()[:1]
    broker = PaperBroker(ACCOUNT, instruments=listed, clock=clock)
    broker.set_session(*_HOURS)
    keys = np.array([key_of(listed[0])], np.int64)
    ends = _Ends()
    async with engine_on(broker, clock, realm="paper", monitor=ends) as engine:
        if not journal:
            engine.journal.append = Uncommitted().append  # type: ignore[method-assign]
        for _ in range(_PAGES // 10 if journal else 0):  # the log reaches the size from which its room is used again
            await engine.perform(engine.core.note(clock(), "act", "", {"text": "x" * 40_000}))
        trader = Trader(0, [listed[0].symbol])
        sight: Any = Sight()
        engine.run_strategy(trader, "NIFTY", lambda: sight)
        for number in range(orders + 1):
            now[0] += 10**9
            trader.turn = number > 0  # the first quotes are a chain, not a tick
            broker.on_quotes(now[0], keys, *columns(keys))
            engine.on_quotes(now[0], keys, *columns(keys))
            for _ in range(1000):
                await asyncio.sleep(0)
                if len(trader.lives) >= number:
                    break
            else:
                await until(lambda n=number: len(trader.lives) >= n)  # type: ignore[misc]
        engine.path.noted()  # the monitor hears behind the strategy
        filled = [ends.filled[name] - decided for name, decided, _ in trader.lives]
        return Lives(filled, [told - decided for _, decided, told in trader.lives])


def pure(orders: int) -> list[int]:
    """The same in the engine of replays: no loop, no journal; the core, its rules and the exchange."""
    listed = contracts()[:1]
    core = Core(ACCOUNT, limits=limits(), instruments=listed, funds_p=10**13)
    core.book.span["NIFTY"] = default_params(SPOT, 0.15)
    trader = Trader(0, [listed[0].symbol])

    def heard(report: ExecutionReport, now_ns: int) -> Sequence[Intent]:
        return trader.on_report(report)

    engine = Engine(core, Uncommitted(), SimExchange(listed), heard)
    engine.start_day(START_NS, _HOURS)
    keys = np.array([key_of(listed[0])], np.int64)
    for number in range(orders):
        now_ns = START_NS + number * 10**9
        engine.on_quotes(now_ns, keys, *columns(keys))
        trader.turn = True
        engine.intents(now_ns, trader.on_tick(None), algo=trader.name)
        engine.run_until(now_ns)
    assert len(trader.lives) == orders, "every order is filled at its own quote"
    return [told - decided for _, decided, told in trader.lives]
