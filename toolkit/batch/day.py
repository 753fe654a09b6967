"""One session of one underlying through the engine, event by event in receive order."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from toolkit import tables
from toolkit.batch.stopwatch import Stopwatch
from toolkit.batch.tape import COLUMNS, Tape
from toolkit.calendar import ist_date, to_ist
from toolkit.errors import BadData, ToolkitError
from toolkit.market.book import MarketView, TickQuote
from toolkit.market.chain import DayChain, ExpiryDay
from toolkit.oi import LevelTracker, OIConfig
from toolkit.orders.engine import Engine
from toolkit.risk.margin import default_params
from toolkit.strategies.protocol import Strategy
from toolkit.types import ExecutionReport, Instrument, Intent

__all__ = ["DayRun", "ask", "listener"]

Floats = npt.NDArray[np.float64]
_SECOND_NS: Final = 1_000_000_000
_SETTLE_NS: Final = 120 * _SECOND_NS


class DayRun:
    """Drives a day: quotes, levels, strategy, engine, and what each snapshot leaves behind.

    Parameters
    ----------
    day : DayChain
        The session's chains.
    tape : Tape
        Quotes received between the snapshots.
    live : tuple of date
        Expiries that trade on this day, nearest first.
    engine : Engine
        With its day started.
    strategy : Strategy
        Decides.
    instruments : mapping
        Contract terms by symbol.
    config : OIConfig
        How levels are measured.
    watch : Stopwatch
        Where the time goes.

    Attributes
    ----------
    after : callable
        Told of each moment once its decisions are taken.
    """

    def __init__(
        self,
        day: DayChain,
        tape: Tape,
        live: tuple[dt.date, ...],
        engine: Engine,
        strategy: Strategy,
        instruments: Mapping[str, Instrument],
        config: OIConfig,
        watch: Stopwatch,
    ) -> None:
        self.day = day
        self.live = live
        self.engine = engine
        self.strategy = strategy
        self.levels: dict[dt.date, dict[str, float]] = {}
        self.level_rows: list[tuple[int, dt.date, dict[str, float]]] = []
        self._instruments = instruments
        self._trackers = {expiry: LevelTracker(config) for expiry in live}
        self._watch = watch
        self.after: Callable[[int], None] = lambda moment: None
        self._tape = tape
        self._at = 0
        self._moment_seen = -1
        self._on = ist_date(int(self.day.recv_ns[0])) if len(self.day.recv_ns) else None
        self._ticks: dict[int, TickQuote] = {}
        self._ticked = type(strategy).on_tick is not Strategy.on_tick
        self._clocked = type(strategy).on_clock is not Strategy.on_clock
        self._session = (0, 0)
        self._flat = {expiry: _flat(day.days[expiry]) for expiry in live}

    def run(self, start_ns: int, end_ns: int) -> None:
        """Run every moment in order. The strategy decides in [start, end); what arrives outside is only measured."""
        self._session = (start_ns, end_ns)
        now_ns = start_ns
        closed = False
        for moment, recv in enumerate(self.day.recv_ns.tolist()):
            if recv >= end_ns and not closed:
                self._pass_time(now_ns, end_ns)
                now_ns, closed = end_ns, True
            if recv > now_ns:
                self._pass_time(now_ns, recv)
                now_ns = recv
            self._moment(moment, recv)
        if not closed:
            self._pass_time(now_ns, end_ns)
        with self._watch.stage("exchange"):
            self.engine.run_until(max(end_ns, now_ns) + _SETTLE_NS)

    def view(self, moment: int, now_ns: int) -> MarketView:
        """What the strategy may see at a moment."""
        book = self.engine.core.book
        return MarketView(
            now_ns=now_ns,
            day=self.day,
            moment=moment,
            live=self.live,
            all_levels=dict(self.levels),
            find_instrument=self._instrument,
            net=dict(book.net),
            open_orders=self.engine.core.open_orders(),
            ticks=dict(self._ticks),
        )

    def _moment(self, moment: int, now_ns: int) -> None:
        fresh = [(expiry, row) for expiry, row in self.day.fresh(moment) if expiry in self._flat]
        with self._watch.stage("exchange"):
            self._quotes(now_ns, fresh)
        with self._watch.stage("chain, IV, Greeks"):
            self._margin_inputs(moment)
        with self._watch.stage("OI levels"):
            self._measure(fresh)
        self._moment_seen = moment
        if self._session[0] <= now_ns < self._session[1]:
            with self._watch.stage("strategy"):
                intents = ask(self.strategy, now_ns, self.strategy.on_chain, self.view(moment, now_ns))
            self._decide(now_ns, intents)
        self.after(moment)

    def _quotes(self, now_ns: int, fresh: Sequence[tuple[dt.date, int]]) -> None:
        if not fresh:
            return
        keys = np.concatenate([self._flat[expiry][0][row] for expiry, row in fresh])
        stamps = {int(self.day.days[expiry].ts_ns[row]) for expiry, row in fresh}
        for token, tick in self._ticks.items():
            if tick.ts_ns > max(stamps):  # the tick is newer than this snapshot, received late
                keys[keys == token] = -1
        columns = [np.concatenate([self._flat[e][1][name][row] for e, row in fresh]) for name in COLUMNS]
        self.engine.on_quotes(now_ns, keys, *columns)

    def _measure(self, fresh: Sequence[tuple[dt.date, int]]) -> None:
        for expiry, row in fresh:
            one = self.day.days[expiry]
            listed = one.present[row].any(axis=0)
            oi, volume = one.quotes["oi"][row][:, listed], one.quotes["volume"][row][:, listed]
            mid = (one.quotes["bid"][row] + one.quotes["ask"][row])[:, listed] / 2.0
            iv = one.greeks["iv"][row][:, listed]
            levels = self._trackers[expiry].update(
                int(one.ts_ns[row]),
                one.strikes[listed],
                oi[0],
                oi[1],
                volume[0],
                volume[1],
                float(one.spot[row]),
                float(one.forward[row]),
                ce_price=mid[0],
                pe_price=mid[1],
                ce_iv=iv[0],
                pe_iv=iv[1],
                tte=float(one.tte[row]),
            )
            self.levels[expiry] = levels
            self.level_rows.append((int(one.ts_ns[row]), expiry, levels))

    def _margin_inputs(self, moment: int) -> None:
        """Tell the margin estimate the level and volatility of the nearest expiry that has both."""
        for expiry in self.live:
            chain = self.day.slice_at(moment, expiry)
            if chain is None or chain.atm < 0:
                continue
            vol = float(chain.ce.iv[chain.atm])
            level = chain.forward if math.isnan(chain.spot) else chain.spot
            if vol > 0.0 and level > 0.0:
                self.engine.core.book.span[chain.underlying] = default_params(
                    level, vol, on=self._on, stock=tables.is_share(chain.underlying)
                )
                return

    def _pass_time(self, before_ns: int, until_ns: int) -> None:
        """Let the ticks and reports of (before, until] come in."""
        with self._watch.stage("exchange"):
            now_ns = before_ns
            end = self._tape.until(self._at, until_ns)
            while self._at < end:
                start, self._at = self._at, self._tape.instant(self._at)
                at_ns = max(now_ns, int(self._tape.recv_ns[start]))
                self._quiet(now_ns, at_ns)
                self._tick(slice(start, self._at), at_ns)
                now_ns = at_ns
            self._quiet(now_ns, until_ns)

    def _quiet(self, before_ns: int, until_ns: int) -> None:
        """Let reports arrive, and give a strategy with a clock every whole second in [before, until)."""
        if self._clocked:
            first = -(-before_ns // _SECOND_NS)
            for second in range(first, -(-until_ns // _SECOND_NS)):
                at_ns = second * _SECOND_NS
                self.engine.run_until(at_ns)
                with self._watch.stage("strategy"):
                    intents = ask(self.strategy, at_ns, self.strategy.on_clock, at_ns)
                self._decide(at_ns, intents)
        self.engine.run_until(until_ns - 1)

    def _tick(self, rows: slice, now_ns: int) -> None:
        """Take the quotes of one instant; a strategy that listens to ticks hears of it."""
        tape = self._tape
        columns = [tape.quotes[name][rows] for name in COLUMNS]
        self.engine.on_quotes(now_ns, tape.token[rows], *columns)
        values = zip(*(column.tolist() for column in columns), strict=True)
        for token, ts_ns, quote in zip(tape.token[rows].tolist(), tape.ts_ns[rows].tolist(), values, strict=True):
            self._ticks[token] = TickQuote(ts_ns, *quote)
        if self._ticked and self._moment_seen >= 0 and self._session[0] <= now_ns < self._session[1]:
            with self._watch.stage("strategy"):
                intents = ask(self.strategy, now_ns, self.strategy.on_tick, self.view(self._moment_seen, now_ns))
            self._decide(now_ns, intents)

    def _decide(self, now_ns: int, intents: Sequence[Intent]) -> None:
        with self._watch.stage("risk, journal"):
            self.engine.intents(now_ns, intents, algo=self.strategy.name or None)

    def _instrument(self, symbol: str) -> Instrument:
        found = self._instruments.get(symbol)
        if found is None:
            raise BadData(f"no contract {symbol} on this day; use the symbols of the chain")
        return found


def ask(strategy: Strategy, now_ns: int, method: Callable[[Any], Iterable[Intent]], what: object) -> list[Intent]:
    """Ask a strategy; what it raises becomes one line that names it and the time.

    Raises
    ------
    BadData
        When the strategy fails.
    """
    try:
        return list(method(what))
    except ToolkitError:
        raise
    except Exception as error:
        at = to_ist(now_ns).strftime("%Y-%m-%d %H:%M:%S")
        name = strategy.name or type(strategy).__name__
        raise BadData(f"strategy '{name}' failed at {at} IST: {type(error).__name__}: {error}") from error


def listener(strategy: Strategy) -> Callable[[ExecutionReport, int], Sequence[Intent]]:
    """The strategy's ear for reports, as the engine wants it."""
    return lambda report, now_ns: ask(strategy, now_ns, strategy.on_report, report)


def _flat(one: ExpiryDay) -> tuple[npt.NDArray[np.int64], dict[str, Floats]]:
    """Tokens and quotes of an expiry with both sides in one row."""
    n = len(one.ts_ns)
    return one.token.reshape(n, -1), {name: one.quotes[name].reshape(n, -1) for name in COLUMNS}
