"""A rules file against a recorded day: which of its orders it would have denied, and when it would have locked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import polars as pl

from toolkit.batch.listing import listed
from toolkit.calendar import ist_date, to_ist
from toolkit.errors import BadData
from toolkit.orders.effects import Record
from toolkit.orders.projection import Projection
from toolkit.orders.records import Placed
from toolkit.risk.guards import Facts
from toolkit.risk.limits import TradingState
from toolkit.risk.rules import Lock, Rule, RuleBook
from toolkit.store.journal import Journal
from toolkit.store.session import open_session
from toolkit.types import Denial, ExecutionReport, Instrument, Modify, OrderRequest

__all__ = ["DryRun", "Stopped", "dry_run", "dry_run_session"]


class Stopped(msgspec.Struct, frozen=True):
    """An order of the recorded day that the rules would have stopped, with every reason."""

    ts_ns: int
    order: OrderRequest
    denials: tuple[Denial, ...]


class DryRun(msgspec.Struct, frozen=True):
    """What the rules would have done.

    The day itself stays as it was recorded: an order that would have been denied still fills in the
    record, and later orders are judged beside it.
    """

    orders: int
    stopped: tuple[Stopped, ...]
    locks: tuple[Lock, ...]
    halts: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """What a person reads."""
        yield f"would have denied {len(self.stopped)} of {self.orders} orders and made {len(self.locks)} locks"
        for one in self.stopped:
            why = "; ".join(d.text for d in one.denials)
            yield f"{to_ist(one.ts_ns):%d-%b %H:%M:%S} {one.order.side} {one.order.order_qty} {one.order.symbol}: {why}"
        for lock in self.locks:
            yield f"{to_ist(lock.since_ns):%d-%b %H:%M:%S} lock of {lock.scope} by {lock.rule}: {lock.text}"


def dry_run(
    rules: RuleBook,
    records: Iterable[Record],
    instruments: Iterable[Instrument] = (),
    profits: Iterable[tuple[int, Facts]] = (),
) -> DryRun:
    """Step through the journal of a recorded day as if the rules had watched it.

    Parameters
    ----------
    rules : RuleBook
        Fresh; it learns of the day as it goes.
    records : iterable of Record
        The day's journal, from its opening record.
    instruments : iterable of Instrument
        Terms of the contracts, for the rules that look at them.
    profits : iterable of (ts_ns, Facts)
        The account's figures over the day, oldest first.

    Raises
    ------
    BadData
        When the journal is empty or does not begin with a day's opening.
    """
    look = _Look(rules)
    samples = iter(sorted(profits, key=lambda one: one[0]))
    sample = next(samples, None)
    core: Projection | None = None
    for record in records:
        while sample is not None and sample[0] < record.ts_ns:
            look.watch(*sample)
            sample = next(samples, None)
        if core is None:
            core = Projection.replay([record], instruments)
            continue
        look.before(core, record)
        core.fold(record)
        look.after(core, record)
    if core is None:
        raise BadData("the journal is empty; nothing to look back at")
    while sample is not None:
        look.watch(*sample)
        sample = next(samples, None)
    return DryRun(look.orders, tuple(look.stopped), tuple(look.locks.values()), tuple(look.halts))


class _Look:
    """The rules beside a day that goes by."""

    def __init__(self, rules: RuleBook) -> None:
        self._rules = rules
        self.orders = 0
        self.stopped: list[Stopped] = []
        self.locks: dict[str, Lock] = {}
        self.halts: list[str] = []

    def watch(self, now_ns: int, facts: Facts) -> None:
        trip = self._rules.watch(now_ns, facts)
        if trip is not None and trip.state is TradingState.HALTED and trip.text not in self.halts:
            self.halts.append(trip.text)
        self._keep(now_ns)

    def before(self, core: Projection, record: Record) -> None:
        """Ask the rules about an order before it is folded in."""
        request = _request(core, record)
        if request is None:
            return
        self.orders += 1
        denials = self._rules.check(request, core, record.ts_ns)
        if denials:
            self.stopped.append(Stopped(record.ts_ns, request, denials))

    def after(self, core: Projection, record: Record) -> None:
        """Tell the rules what a report changed."""
        if record.kind == "report":
            report = msgspec.json.decode(record.payload, type=ExecutionReport)
            order = core.orders.get(report.cl_ord_id)
            if order is not None:
                self._rules.on_report(report, order, record.ts_ns)
        self._keep(record.ts_ns)

    def _keep(self, now_ns: int) -> None:
        for lock in self._rules.locks(now_ns):
            self.locks[lock.lock_id] = lock


def _request(core: Projection, record: Record) -> OrderRequest | None:
    if record.kind in ("order", "parent"):
        return msgspec.json.decode(record.payload, type=Placed).order
    if record.kind == "modify":
        changed = msgspec.json.decode(record.payload, type=Modify)
        before = core.orders[changed.cl_ord_id].request
        return msgspec.structs.replace(
            before, order_qty=changed.order_qty, price_p=changed.price_p, stop_px_p=changed.stop_px_p
        )
    return None


def dry_run_session(
    rules: Iterable[Rule],
    session: Path | str,
    strategy: str,
    *,
    underlying: str | None = None,
    date: dt.date | str | None = None,
    account: str = "PAPER",
    **params: Any,
) -> DryRun:
    """Replay a recorded session with a strategy, then look at every order of it with the rules.

    Parameters
    ----------
    rules : iterable of Rule
        As a rules file declares them.
    session, strategy, underlying, date, params
        As :func:`toolkit.batch.replay.replay` takes them.
    """
    from toolkit.batch.replay import replay

    source = open_session(session)
    book = RuleBook(tuple(rules), account)
    with TemporaryDirectory(prefix="toolkit-dry-run-") as folder:
        newest = Path(folder) / "journal.db"
        result = replay(source, strategy, underlying=underlying, date=date, journal=newest, **params)
        terms: dict[str, Instrument] = {}
        days = []
        for chain in result.chains:
            day = ist_date(int(chain.recv_ns[0]))
            terms |= listed(source, chain, day)
            last = chain is result.chains[-1]
            days.append((day, newest if last else newest.with_name(f"journal-{day}.db")))
        found = [dry_run(book, _records(path, day), terms.values(), _facts(result.pnl, day)) for day, path in days]
    return DryRun(
        sum(one.orders for one in found),
        tuple(x for one in found for x in one.stopped),
        tuple({lock.lock_id: lock for one in found for lock in one.locks}.values()),
        tuple(dict.fromkeys(x for one in found for x in one.halts)),
    )


def _records(path: Path, day: dt.date) -> Iterator[Record]:
    with Journal(path, account="PAPER", day=str(day)) as journal:
        for entry in journal.records():
            yield Record(entry.ts_ns, entry.kind, entry.cl_ord_id, entry.payload)


def _facts(pnl: pl.DataFrame, day: dt.date) -> Iterator[tuple[int, Facts]]:
    """The day's figures at each snapshot; what the frame does not know stays unknown."""
    for row in pnl.iter_rows(named=True):
        ts_ns = round(row["ts"].timestamp() * 1_000_000) * 1000
        if ist_date(ts_ns) == day:
            yield ts_ns, Facts(**_paise(row))


def _paise(row: Mapping[str, Any]) -> dict[str, Any]:
    names = {"realized": "realized_p", "unrealized": "unrealized_p", "charges": "charges_p", "margin": "margin_used_p"}
    values = {ours: row.get(theirs) for theirs, ours in names.items()}
    return {name: None if v is None or v != v else round(v * 100.0) for name, v in values.items()}
