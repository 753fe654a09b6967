"""A recorded session through the whole desk on paper: one call, frames back.

Session, cleaning, chain, levels, strategy, pre-trade checks, journal, simulated exchange,
positions, P&L net of dated charges: the pieces are those of a live day, driven by the
stamps of the data instead of a clock. Every decision sees only what had been received.
"""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from toolkit import __version__, tables
from toolkit.batch import frames
from toolkit.batch.day import DayRun, listener
from toolkit.batch.ledger import Ledger
from toolkit.batch.listing import final_level, listed
from toolkit.batch.load import make_strategy
from toolkit.batch.output import write_csv, write_parquet
from toolkit.batch.quality import QUALITY, day_quality, own_days, summed
from toolkit.batch.stopwatch import Stopwatch
from toolkit.batch.tape import read_tape
from toolkit.calendar import Calendar
from toolkit.errors import BadData
from toolkit.market.chain import DayChain, build_day
from toolkit.oi import OIConfig, prepare_chain
from toolkit.orders.core import Core
from toolkit.orders.effects import Record
from toolkit.orders.engine import Engine
from toolkit.portfolio.pnl import expiry_fills
from toolkit.portfolio.positions import fills_frame
from toolkit.risk.limits import Limits
from toolkit.sim.exchange import SimExchange
from toolkit.store.journal import GENESIS, Journal
from toolkit.store.session import Session, open_session
from toolkit.strategies.protocol import Strategy
from toolkit.types import ExecutionReport, Instrument, Intent, Order

__all__ = ["Replay", "replay"]

Progress = Callable[[int, int, str], None]
_ACCOUNT: Final = "PAPER"
_MS_NS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replayed session left behind: polars frames, rupees and units.

    ``orders order_events fills positions pnl charges oi heat quality spot`` and
    ``settings``; ``seconds`` says by stage where the time went and is no result, ``chains``
    are the days' chains that a page with a time slider looks back at.
    """

    orders: pl.DataFrame
    order_events: pl.DataFrame
    fills: pl.DataFrame
    positions: pl.DataFrame
    pnl: pl.DataFrame
    charges: pl.DataFrame
    oi: pl.DataFrame
    heat: pl.DataFrame
    quality: pl.DataFrame
    spot: pl.DataFrame
    settings: dict[str, str]
    seconds: dict[str, float] = field(compare=False, default_factory=dict)
    chains: tuple[DayChain, ...] = field(compare=False, default=(), repr=False)

    def report(self, path: Path | str) -> Path:
        """Write the report as one self-contained page and return its path."""
        from toolkit.report.day import write_day_report

        return write_day_report(self, path)

    def write(self, folder: Path | str) -> None:
        """Write report.html, the csv files and oi.parquet into an existing folder."""
        place = Path(folder)
        for name in ("orders", "fills", "positions", "pnl"):
            write_csv(getattr(self, name), place / f"{name}.csv")
        write_parquet(self.oi, place / "oi.parquet")
        self.report(place / "report.html")

    def summary(self) -> dict[str, Any]:
        """The figures of the run, JSON-able; rupees, None is unknown."""
        last = self.pnl.row(-1, named=True) if self.pnl.height else {}
        status = self.orders["ord_status"]
        return {
            "session": self.settings["session"],
            "synthetic": self.settings["synthetic"] == "yes",
            "underlying": self.settings["underlying"],
            "dates": self.settings["dates"].split(", "),
            "strategy": self.settings["strategy"],
            "net": last.get("net"),
            "gross": last.get("gross"),
            "charges": last.get("charges"),
            "max_drawdown": _drawdown(self.pnl["net"]),
            "orders": self.orders.height,
            "fills": self.fills.height,
            "denied": int((status == "denied").sum()),
            "rejected": int((status == "rejected").sum()),
            "open_positions": int((self.positions["net_qty"] != 0).sum()),
            "snapshots": self.pnl.height,
            "quality_count": int(self.quality.filter(~pl.col("rule").str.starts_with("rows_"))["count"].sum()),
        }


def replay(
    session: Session | Path | str,
    strategy: str | type[Strategy] | Strategy,
    *,
    underlying: str | None = None,
    date: dt.date | str | None = None,
    seed: int = 0,
    latency_ms: float = 250.0,
    jitter_ms: float = 50.0,
    capital: float = 2_000_000.0,
    limits: Limits | None = None,
    rate: float = 0.0,
    journal: Path | str | None = None,
    progress: Progress | None = None,
    **params: object,
) -> Replay:
    """Send a recorded session through the whole desk on paper.

    Parameters
    ----------
    session : Session or path
        An open session, a session store, or an official or recorded file.
    strategy : str, class or Strategy
        A shipped name, ``module:Class``, a ``.py`` file, a class, or one made already.
    underlying : str, optional
        Needed when the session holds several.
    date : date or str, optional
        Only this day; default every trading session in order, positions carried.
    seed : int
        Seed of the latency's jitter, the only thing drawn at random.
    latency_ms, jitter_ms : float
        One way between decision and exchange, and the most that is added to it.
    capital : float
        Funds of the paper account, rupees.
    limits : Limits, optional
        Pre-trade limits; default ``Limits()``.
    rate : float
        Continuous rate per ACT/365 year for forward, volatility and Greeks.
    journal : path, optional
        Where ``journal.db`` is written; without it records are kept in memory only. With
        several days the last one is there, earlier ones beside it as ``journal-DATE.db``.
    progress : callable, optional
        ``progress(done, total, stage)`` after each snapshot.
    **params
        Parameters of the strategy.

    Returns
    -------
    Replay

    Raises
    ------
    BadData
        For an unknown strategy, parameter, underlying or day, for a session without a single
        snapshot received on a trading day, and for a strategy that fails.
    """
    made = make_strategy(strategy, params)
    watch = Stopwatch()
    with watch.stage("load"):
        source = session if isinstance(session, Session) else open_session(session)
        name = _underlying(source, underlying)
        exchange = tables.contracts().exchange(name)
        calendar = tables.calendar(exchange)
        config = OIConfig(calendar=calendar, rate=rate)
    days = _days(source, name, date, calendar, config, watch)
    run = _Run(made, seed, latency_ms, jitter_ms, capital, limits or Limits(), rate, watch, progress)
    total = sum(len(clean.unique("recv_ts")) for _, clean in days.clean)
    for number, (day, clean) in enumerate(days.clean):
        last = number == len(days.clean) - 1
        with watch.stage("chain, IV, Greeks"):
            chain = build_day(clean, calendar.settlement_ns, exchange=exchange, rate=rate)
        run.day(source, day, chain, calendar, config, _journal_path(journal, day, last=last), total)
        with watch.stage("prepare"):
            days.quality.append(day_quality(chain, clean, day, config.gap_s))
    days.quality.append(pl.DataFrame(run.settled, schema=QUALITY, orient="row"))
    return run.result(_settings(source, name, made, run, [day for day, _ in days.clean]), summed(days.quality))


@dataclass(slots=True)
class _Days:
    """The clean rows of each day that is replayed, and what was found on the way."""

    clean: list[tuple[dt.date, pl.DataFrame]]
    quality: list[pl.DataFrame]


def _underlying(session: Session, underlying: str | None) -> str:
    known = session.underlyings()
    if underlying is None and len(known) == 1:
        return known[0]
    if underlying is None:
        raise BadData(f"session {session.name} holds {', '.join(known) or 'no underlying'}; name one (--underlying)")
    session.dates(underlying)
    return underlying


def _days(
    session: Session,
    underlying: str,
    date: dt.date | str | None,
    calendar: Calendar,
    config: OIConfig,
    watch: Stopwatch,
) -> _Days:
    """Clean every day that holds snapshots received on it; refuse when there is none."""
    found = _Days([], [session.quality()])
    wanted = session.dates(underlying) if date is None else [_date(date)]
    why = "no snapshot"
    for day in wanted:
        with watch.stage("load"):
            rows = session.frame("chain", underlying, day)
            if not rows.height:
                continue
            if session.kind(day, underlying) == "eod":
                why = "end-of-day figures only, which have no course of the day"
                continue
        with watch.stage("prepare"):
            prepared = prepare_chain(rows, config)
            clean, stale = own_days(prepared.frame, calendar.is_session)
            found.quality += [prepared.quality, stale]
        if clean.height:
            found.clean.append((day, clean))
        elif stale.height:
            why = f"only copies of {day} that were {stale['detail'][0]}"
    if not found.clean:
        days = ", ".join(map(str, wanted))
        raise BadData(f"nothing to replay for {underlying} on {days}: {why}; choose a recorded trading session")
    return found


class _Memory:
    """A journal that dies with the process."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, records: Sequence[Record]) -> int:
        self.records.extend(records)
        return len(self.records)


class _Run:
    """The state that goes from one day to the next."""

    def __init__(
        self,
        strategy: Strategy,
        seed: int,
        latency_ms: float,
        jitter_ms: float,
        capital: float,
        limits: Limits,
        rate: float,
        watch: Stopwatch,
        progress: Progress | None,
    ) -> None:
        if not (0 <= latency_ms <= 60_000 and 0 <= jitter_ms <= 60_000):
            raise BadData(f"latency must lie in 0 to 60000 ms, was {latency_ms:g} (jitter {jitter_ms:g})")
        if not 0 < capital < 1e12:
            raise BadData(f"capital must be above 0 rupees, was {capital:g}")
        self.strategy = strategy
        self.options = {
            "seed": str(seed),
            "latency_ms": f"{latency_ms:g}",
            "jitter_ms": f"{jitter_ms:g}",
            "capital": f"{capital:.2f}",
            "rate": f"{rate:g}",
        }
        self.limits = limits
        self.funds_p = round(capital * 100)
        self.watch = watch
        self.progress = progress
        self.seed, self.latency_ns, self.jitter_ns = seed, round(latency_ms * _MS_NS), round(jitter_ms * _MS_NS)
        self.ledger = Ledger(tables.charges())
        self.core: Core | None = None
        self.instruments: dict[str, Instrument] = {}
        self.orders: list[Order] = []
        self.events: list[tuple[object, ...]] = []
        self.levels: list[pl.DataFrame] = []
        self.heat: list[pl.DataFrame] = []
        self.chains: list[DayChain] = []
        self.spot: list[tuple[int, float, float]] = []
        self.settled: list[tuple[str, int, str]] = []
        self.done = 0
        self.last_hash = GENESIS

    def day(
        self,
        session: Session,
        day: dt.date,
        chain: DayChain,
        calendar: Calendar,
        config: OIConfig,
        journal: Path | None,
        total: int,
    ) -> None:
        """Run one day and keep what it leaves."""
        with self.watch.stage("load"):
            instruments = listed(session, chain, day)
        self.instruments |= instruments
        core = Core(_ACCOUNT, limits=self.limits, instruments=instruments.values(), funds_p=self.funds_p)
        carried = self._carry(core)
        exchange = SimExchange(
            instruments.values(), latency_ns=self.latency_ns, jitter_ns=self.jitter_ns, seed=self.seed + day.toordinal()
        )
        book = None if journal is None else Journal(journal, account=_ACCOUNT, day=str(day), prev_hash=self.last_hash)
        try:
            engine = Engine(core, _Memory() if book is None else book, exchange, self._hear(core))
            live = tuple(e for e in chain.expiries if e >= day)
            tape = read_tape(session, chain.underlying, day)
            run = DayRun(chain, tape, live, engine, self.strategy, instruments, config, self.watch)
            run.after = self._after(run, total)
            start_ns, end_ns = calendar.bounds_ns(day)
            engine.start_day(start_ns, (start_ns, end_ns), carried)
            run.run(start_ns, end_ns)
            self._settle(session, chain, day, engine, max(end_ns, calendar.settlement_ns(day)))
            if book is not None:
                self.last_hash = book.last_hash
        finally:
            if book is not None:
                book.close()
        self.core = core
        self.orders += core.orders.values()
        with self.watch.stage("OI levels"):
            self.levels.append(frames.levels_frame(chain.underlying, run.level_rows))
            self.heat.append(frames.heat_frame(chain, live))
        self.chains.append(chain)

    def _carry(self, core: Core) -> dict[str, Any]:
        """Give a new day the positions and cash of the day before."""
        self.ledger.new_day()
        if self.core is not None:
            core.book.net = dict(self.core.book.net)
            core.book.cash_p = self.core.book.cash_p
        return self.ledger.book.carried()

    def _settle(self, session: Session, chain: DayChain, day: dt.date, engine: Engine, at_ns: int) -> None:
        """Close what expires today at its settlement value, and value the book once more."""
        with self.watch.stage("portfolio"):
            self.ledger.take(engine.core)
            terms = engine.core.book.instruments
            expired = [p for p in self.ledger.book.held() if p.symbol in terms and terms[p.symbol].expiry == day]
            if not expired:
                return
            level, source = final_level(session, chain, day)
            if level is None:
                raise BadData(f"positions in {chain.underlying} {day} expire and no level is known to settle them")
            engine.settle(at_ns, expiry_fills(expired, terms, round(level * 100), at_ns))
            self.settled.append(("settled_at_expiry", len(expired), f"{day}: at {level:.2f}, {source}"))
            self.ledger.value(at_ns, engine.core, None)

    def _hear(self, core: Core) -> Callable[[ExecutionReport, int], Sequence[Intent]]:
        told = listener(self.strategy)
        seen: dict[str, int] = {}

        def hear(report: ExecutionReport, now_ns: int) -> Sequence[Intent]:
            seq = seen[report.cl_ord_id] = seen.get(report.cl_ord_id, 0) + 1
            order = core.orders.get(report.cl_ord_id)
            if order is not None:
                self.events.append(frames.event_row(order, report, seq))
            return told(report, now_ns)

        return hear

    def _after(self, run: DayRun, total: int) -> Callable[[int], None]:
        def after(moment: int) -> None:
            with self.watch.stage("portfolio"):
                now_ns = int(run.day.recv_ns[moment])
                self.ledger.value(now_ns, run.engine.core, run.view(moment, now_ns))
                nearest = next((c for e in run.live if (c := run.day.slice_at(moment, e)) is not None), None)
                forward = float("nan") if nearest is None else nearest.forward
                self.spot.append((int(run.day.ts_ns[moment]), float(run.day.spot[moment]), forward))
            self.done += 1
            if self.progress is not None:
                self.progress(self.done, total, "replaying")

        return after

    def result(self, settings: dict[str, str], quality: pl.DataFrame) -> Replay:
        """Everything as frames."""
        assert self.core is not None
        with self.watch.stage("portfolio"):
            self.ledger.take(self.core)
            return Replay(
                orders=frames.orders_frame(self.orders),
                order_events=pl.DataFrame(self.events, schema=frames.EVENTS, orient="row"),
                fills=fills_frame(self.ledger.fills),
                positions=self.ledger.positions(self.core, self.instruments),
                pnl=frames.pnl_frame(self.ledger.rows),
                charges=self.ledger.charges(),
                oi=pl.concat(self.levels),
                heat=pl.concat(self.heat),
                quality=quality,
                spot=frames.spot_frame(self.spot),
                settings=settings,
                seconds=self.watch.seconds,
                chains=tuple(self.chains),
            )


def _settings(session: Session, underlying: str, strategy: Strategy, run: _Run, days: list[dt.date]) -> dict[str, str]:
    parameters = {f"param {key}": str(value) for key, value in sorted(strategy.p.items())}
    return {
        "session": session.name,
        "synthetic": "yes" if session.synthetic else "no",
        "underlying": underlying,
        "dates": ", ".join(map(str, days)),
        "strategy": strategy.name or type(strategy).__name__,
        "hypothesis": strategy.hypothesis,
        **parameters,
        **run.options,
        "toolkit": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "polars": pl.__version__,
    }


def _journal_path(journal: Path | str | None, day: dt.date, *, last: bool) -> Path | None:
    if journal is None:
        return None
    path = Path(journal)
    return path if last else path.with_name(f"{path.stem}-{day}{path.suffix}")


def _date(date: dt.date | str) -> dt.date:
    if isinstance(date, dt.date):
        return date
    try:
        return dt.date.fromisoformat(date)
    except ValueError:
        raise BadData(f"date must be YYYY-MM-DD, was {date!r}") from None


def _drawdown(net: pl.Series) -> float | None:
    """Deepest fall of the net P&L below its highest point so far (which starts at 0); 0 or negative."""
    known = net.drop_nulls()
    if not len(known):
        return None
    falls: list[float] = (known - known.cum_max().clip(0.0)).to_list()
    return min([0.0, *falls])
