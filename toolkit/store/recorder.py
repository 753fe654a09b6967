"""A live feed into a session store, without ever holding up the feed.

The feed's side only lays arrays into a bounded queue (:meth:`Recorder.put`). A thread of the
recorder's own turns them into rows, takes chain snapshots from the last values, and appends
parts to the store. Whatever ends the process, the store holds everything up to the last
append. When the disk is slower than the market and the queue is full, ticks are lost from
the ticks table only, counted, and the count is kept in the store; the last values, and with
them the snapshots, stay exact.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.calendar import ist_date
from toolkit.errors import BadData, Halted, ToolkitError
from toolkit.market.last_values import LastValues, snapshot, tick_rows
from toolkit.market.quotes import key_of
from toolkit.market.schema import INSTRUMENTS
from toolkit.store.session_append import StoreAppender
from toolkit.types import Instrument, Kind

__all__ = ["Recorder", "instrument_rows"]

Ticks = npt.NDArray[Any]
_S: Final = 1_000_000_000
_POLL_S: Final = 0.2
_FIRST_S: Final = 1.0
_MOST_FAILURES: Final = 5


class Recorder:
    """Records the instruments of ``contracts`` into a store.

    Parameters
    ----------
    path : str or Path
        The store's folder.
    contracts : iterable of Instrument
        Options, futures, indices and shares to record, keyed as the feed keys them.
    clock : callable
        The feed's clock, nanoseconds UTC.
    synthetic : bool
        Whether the market behind the feed is a simulated one.
    source : str
        Where the ticks come from, for the store's meta.
    snapshot_s, flush_s : float
        Seconds between chain snapshots, and between appends to the store.
    ticks : bool
        Whether single ticks are kept beside the snapshots.
    most_ticks : int
        Ticks that may wait for the disk.
    """

    def __init__(
        self,
        path: str | Path,
        contracts: Iterable[Instrument],
        *,
        clock: Callable[[], int],
        synthetic: bool,
        source: str,
        snapshot_s: float = 5.0,
        flush_s: float = 5.0,
        ticks: bool = True,
        most_ticks: int = 1_000_000,
    ) -> None:
        for name, value in (("snapshot_s", snapshot_s), ("flush_s", flush_s), ("most_ticks", most_ticks)):
            if not value > 0:
                raise BadData(f"{name} must be above 0, was {value!r}")
        self.contracts = {key_of(c): c for c in contracts}
        if not any(c.kind is Kind.OPTION for c in self.contracts.values()):
            raise BadData("nothing to record: no option among the instruments; check the underlying")
        self.path = Path(path)
        self.clock = clock
        self.error: ToolkitError | None = None
        self._keep_ticks = ticks
        self._snapshot_ns, self._flush_ns = int(snapshot_s * _S), int(flush_s * _S)
        self._most = most_ticks
        table = instrument_rows(self.contracts.values(), ist_date(clock()))
        meta = {"name": self.path.name, "synthetic": synthetic, "source": source}
        self._store = StoreAppender(self.path, table, meta)
        self._names = pl.DataFrame(
            {"token": list(self.contracts), "underlying": [c.underlying for c in self.contracts.values()]},
            schema={"token": pl.Int64, "underlying": pl.String},
        )
        self._last: LastValues | None = None
        self._queue: deque[Ticks] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._wake, self._over = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._pending: dict[str, list[pl.DataFrame]] = {}
        self._fresh = False
        self._next_snapshot_ns: int | None = None
        self._next_flush_ns: int | None = None
        self._failures = 0
        self._counts = dict.fromkeys(("ticks", "lost", "snapshots", "rows", "appends"), 0)

    @property
    def counts(self) -> Mapping[str, int]:
        """``ticks`` taken, ``lost`` from the ticks table, ``snapshots``, ``rows`` in the store, ``appends``."""
        return dict(self._counts)

    def put(self, ticks: Ticks) -> None:
        """Take a batch from the feed; never waits for the disk.

        Parameters
        ----------
        ticks : array of ``kite_wire.TICK`` or ``xts_rows.ROW``
            Not changed by anybody afterwards; always the same type.
        """
        with self._lock:
            self._counts["ticks"] += len(ticks)
            if self._waiting + len(ticks) > self._most:
                self._conflate(ticks)
                return
            self._queue.append(ticks)
            self._waiting += len(ticks)

    def start(self) -> Recorder:
        """Start the thread; does nothing while it runs."""
        if self._thread is None:
            self._over.clear()
            self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
            self._thread.start()
        return self

    def stop(self) -> Mapping[str, int]:
        """Write what waits, take a last snapshot, end the thread; gives the counts.

        Raises
        ------
        ToolkitError
            What the last append failed with.
        """
        if self._thread is not None:
            self._over.set()
            self._wake.set()
            self._thread.join()
            self._thread = None
        self.step(self.clock(), last=True)
        if self.error is not None:
            raise self.error
        return self.counts

    def step(self, now_ns: int, *, last: bool = False) -> None:
        """One round of the thread: rows from what waits, a snapshot and an append when they are due."""
        self._drain(now_ns)
        if self._fresh and (last or self._due(now_ns)):
            self._snapshot(now_ns)
        if last or (self._next_flush_ns is not None and now_ns >= self._next_flush_ns):
            self._flush(now_ns)

    def _run(self) -> None:
        while not self._over.is_set():
            self._wake.wait(_POLL_S)
            try:
                self.step(self.clock())
            except Exception as error:
                self.error = Halted(f"recording stopped by a fault of the program: {type(error).__name__}: {error}")
                raise

    def _conflate(self, ticks: Ticks) -> None:
        """The queue is full: keep the newest of each instrument in place of all that waits."""
        newest = LastValues(self.contracts, ticks.dtype)
        for batch in [*self._queue, ticks]:
            newest.apply(batch)
        kept = newest.rows()
        self._counts["lost"] += self._waiting + len(ticks) - len(kept)
        self._queue.clear()
        self._queue.append(kept)
        self._waiting = len(kept)

    def _drain(self, now_ns: int) -> None:
        with self._lock:
            batches, self._waiting = list(self._queue), 0
            self._queue.clear()
        if not batches:
            return
        ticks = np.concatenate(batches)
        ticks = ticks[np.isin(ticks["token"], self._names["token"].to_numpy())]
        if not len(ticks):
            return
        if self._last is None:
            self._last = LastValues(self.contracts, ticks.dtype)
        self._last.apply(ticks)
        self._fresh = True
        if self._next_snapshot_ns is None:
            self._next_snapshot_ns = now_ns + int(_FIRST_S * _S)
        if self._next_flush_ns is None:
            self._next_flush_ns = now_ns + self._flush_ns
        if self._keep_ticks:
            self._pending.setdefault("ticks", []).append(tick_rows(ticks, self._names))

    def _due(self, now_ns: int) -> bool:
        return self._next_snapshot_ns is not None and now_ns >= self._next_snapshot_ns

    def _snapshot(self, now_ns: int) -> None:
        """A snapshot of every underlying; only of what has ticked since the last one is there anything to say."""
        assert self._last is not None
        rows = self._last.rows()
        self._fresh = False
        self._next_snapshot_ns = (now_ns // self._snapshot_ns + 1) * self._snapshot_ns
        for underlying in sorted({c.underlying for c in self.contracts.values()}):
            found = snapshot(rows, self.contracts, now_ns, underlying)
            for table, frame in found._asdict().items():
                self._keep(table, frame)
            self._counts["snapshots"] += bool(found.chain.height)

    def _keep(self, table: str, rows: pl.DataFrame) -> None:
        if rows.height:
            self._pending.setdefault(table, []).append(rows)

    def _flush(self, now_ns: int) -> None:
        self._next_flush_ns = None if not self._pending else now_ns + self._flush_ns
        if not self._pending:
            return
        tables = {name: pl.concat(frames) for name, frames in sorted(self._pending.items())}
        notes = {"recorded_ticks": self._counts["ticks"], "lost_ticks": self._counts["lost"]}
        try:
            self._counts["rows"] += self._store.append(tables, {"recording": notes})
        except ToolkitError as error:
            self._fail(error, tables)
            return
        self._counts["appends"] += 1
        self._pending.clear()
        self._failures = 0
        self.error = None

    def _fail(self, error: ToolkitError, tables: Mapping[str, pl.DataFrame]) -> None:
        """The store could not be written: try again at the next round; after some rounds give up single ticks."""
        self.error = error
        self._failures += 1
        if self._failures >= _MOST_FAILURES and "ticks" in self._pending:
            self._counts["lost"] += tables["ticks"].height
            del self._pending["ticks"]


def instrument_rows(contracts: Iterable[Instrument], on: dt.date) -> pl.DataFrame:
    """Instruments as rows of the table ``instruments``, valid on a day."""
    rows = [
        {
            "valid_on": on,
            "token": key_of(c),
            "symbol": c.symbol,
            "source_symbol": None,
            "exchange": c.exchange,
            "segment": c.segment,
            "underlying": c.underlying,
            "kind": str(c.kind),
            "expiry": c.expiry,
            "strike_p": c.strike_p,
            "option_type": None if c.option_type is None else str(c.option_type),
            "lot": c.lot,
            "tick_p": c.tick_p,
            "freeze_qty": c.freeze_qty,
        }
        for c in sorted(contracts, key=lambda c: (c.exchange, c.segment, c.symbol))
    ]
    return pl.DataFrame(rows, schema=INSTRUMENTS)
