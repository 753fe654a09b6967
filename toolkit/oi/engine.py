"""The same kernels, one burst at a time: for a live feed, a replay, or a day that is resumed."""

from __future__ import annotations

import datetime as dt
from typing import Final

import numpy as np
import polars as pl

from toolkit.oi.book import Book, OpenBurst, Record
from toolkit.oi.config import OIConfig
from toolkit.oi.events import Event, event_id, events_frame, thresholds_of
from toolkit.oi.futures import FuturesBook
from toolkit.oi.layout import Block, blocks
from toolkit.oi.memento import dump_engine, load_engine
from toolkit.oi.prepare import prepare_chain, quality_frame
from toolkit.oi.result import ShiftResult, levels_frame, run_counts, shifts_frame
from toolkit.oi.ticks import Tape

__all__ = ["OIShiftEngine"]

CHAIN_MARK: Final = "strike_p"


class OIShiftEngine:
    """Open-interest shift, streaming.

    Snapshots are evaluated as they come. Rows that arrive later with the same exchange stamp (a snapshot split over
    calls, in any order) are merged and the burst is evaluated again from the state before it; a contract already
    seen at that stamp is a repeat and is dropped. Ticks (``burst="quiet"``) form a burst when ``quiet_s`` of event
    time pass without one.

    Parameters
    ----------
    config : OIConfig, optional
    instruments : polars.DataFrame, optional
        ``token underlying expiry strike_p option_type`` and ``lot``: what the tokens of ticks mean.
    anchor : polars.DataFrame, optional
        Chain rows of the previous session's close.

    Examples
    --------
    >>> engine = OIShiftEngine(OIConfig())
    >>> engine.levels().height
    0
    """

    def __init__(
        self,
        config: OIConfig | None = None,
        *,
        instruments: pl.DataFrame | None = None,
        anchor: pl.DataFrame | None = None,
    ) -> None:
        self.config = OIConfig() if config is None else config
        self._limits = thresholds_of(self.config)
        self._books: dict[str, Book] = {}
        self._open: dict[str, OpenBurst] = {}
        self._records: dict[str, list[Record]] = {}
        self._events: list[Event] = []
        self._futures = FuturesBook(self._limits)
        self._counts: dict[str, int] = {}
        self._tape = Tape(self.config, instruments)
        if anchor is not None:
            frame = prepare_chain(anchor, self.config).frame
            for block in blocks(frame, self.config.calendar, self.config.rate):
                series, _ = self._book(block.underlying).find(block)
                series.run(block, self.config)

    def update(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Take rows: a chain snapshot, part of one, several, ticks, or futures rows.

        Parameters
        ----------
        rows : polars.DataFrame
            Chain rows (with ``strike_p``), ticks (``token`` without an expiry), or futures (an expiry, no strike).

        Returns
        -------
        polars.DataFrame
            The events that these rows brought, in the columns of ``ShiftResult.events``.

        Raises
        ------
        BadData
            For rows that are not what they must be; the state is as before.
        """
        if rows.height == 0:
            return events_frame([])
        if CHAIN_MARK not in rows.columns and "expiry" in rows.columns:
            fresh = self._futures.update(rows)
            self._events.extend(fresh)
            return events_frame(fresh)
        if self.config.burst == "quiet" or CHAIN_MARK not in rows.columns:
            snapshots = self._tape.update(rows)
        else:
            snapshots = [rows]
        return events_frame([event for frame in snapshots for event in self._snapshots(frame)])

    def consume(
        self, frame: pl.DataFrame, *, futures: pl.DataFrame | None = None, anchor: pl.DataFrame | None = None
    ) -> ShiftResult:
        """Run a whole frame through a fresh engine of these settings and give the result."""
        engine = OIShiftEngine(self.config, anchor=anchor)
        engine.update(frame)
        if futures is not None:
            engine.update(futures)
        engine.flush()
        return engine.result()

    def flush(self) -> pl.DataFrame:
        """Close the burst of ticks that is still open, as if its quiet time had passed."""
        return events_frame([event for frame in self._tape.flush() for event in self._snapshots(frame)])

    def levels(self) -> pl.DataFrame:
        """Level rows of all bursts so far."""
        return levels_frame(self._rows())

    def shifts(self) -> pl.DataFrame:
        """Shift rows of all bursts so far."""
        return shifts_frame(self._rows())

    def events(self) -> pl.DataFrame:
        """All events so far."""
        return events_frame([*self._events, *(e for open_ in self._open.values() for e in open_.events)])

    def quality(self) -> pl.DataFrame:
        """What each rule did (rule, count, detail)."""
        counts = {rule: (count, "") for rule, count in self._counts.items()}
        return quality_frame({**counts, **run_counts(self.levels(), self._rows())})

    def result(self) -> ShiftResult:
        """Everything so far."""
        return ShiftResult(self.levels(), self.shifts(), self.events(), self.quality())

    def live(self, underlying: str, expiry: dt.date) -> dict[str, float]:
        """Totals of the ticks so far, burst closed or not: exact integers kept per tick, O(log n) for the rest.

        Raises
        ------
        BadData
            When no tick of that expiry has come.
        """
        return self._tape.live(underlying, expiry)

    def state(self) -> bytes:
        """All that :meth:`restore` needs to go on from here, to the bit."""
        return dump_engine(self)

    def restore(self, state: bytes) -> OIShiftEngine:
        """Go on from ``state``; the settings must be those it was taken with.

        Raises
        ------
        BadData
            For bytes that are no state, or one of other settings.
        """
        load_engine(self, state)
        return self

    def _rows(self) -> list[tuple[str, list[Record]]]:
        names = sorted(set(self._records) | set(self._open))
        out = []
        for name in names:
            open_ = self._open.get(name)
            newest = [] if open_ is None else [open_.records[e] for e in sorted(open_.records)]
            out.append((name, [*self._records.get(name, []), *newest]))
        return out

    def _book(self, underlying: str) -> Book:
        return self._books.setdefault(underlying, Book(underlying, self.config, self._limits))

    def _count(self, rule: str, by: int) -> None:
        self._counts[rule] = self._counts.get(rule, 0) + by

    def _snapshots(self, rows: pl.DataFrame) -> list[Event]:
        prepared = prepare_chain(rows, self.config)
        for rule, count, _ in prepared.quality.iter_rows():
            self._count(rule, count)
        found: list[Event] = []
        for frame in prepared.frame.partition_by("ts", "underlying", maintain_order=True):
            found.extend(self._burst(frame))
        return found

    def _burst(self, frame: pl.DataFrame) -> list[Event]:
        """Take rows of one underlying and one stamp."""
        parts = blocks(frame, self.config.calendar, self.config.rate)
        underlying, ts_ns = parts[0].underlying, int(parts[0].ts_ns[0])
        book = self._book(underlying)
        open_ = self._open.setdefault(underlying, OpenBurst())
        if ts_ns < open_.ts_ns:
            self._count("backward_stamp", 1)
            return []
        if ts_ns > open_.ts_ns:
            self._close(underlying)
            open_ = self._open[underlying] = OpenBurst(ts_ns, roll=book.roll.copy())
        told = {event_id(e) for e in open_.events}
        came = [self._take(open_, part, frame) for part in parts]
        if not any(came):
            self._count("repeated_stamp", 1)
            self._count("duplicate_row", frame.height)
            return []
        open_.frames.append(frame)
        self._judge(book, open_)
        return [e for e in open_.events if event_id(e) not in told]

    def _take(self, open_: OpenBurst, part: Block, frame: pl.DataFrame) -> bool:
        """Put one expiry's rows into the open burst; False when they bring no contract."""
        held = open_.blocks.get(part.expiry)
        if held is None:
            open_.blocks[part.expiry] = part
            return True
        at = np.minimum(np.searchsorted(held.strikes_p, part.strikes_p), held.strikes_p.size - 1)
        known = (held.strikes_p[at] == part.strikes_p) & (held.token[:, at] != 0)
        if not ((part.token != 0) & ~known).any():
            return False
        rows = pl.concat([*open_.frames, frame]).filter(pl.col("expiry") == part.expiry)
        merged = rows.unique(["strike_p", "option_type"], keep="first").sort("strike_p", "option_type")
        self._count("duplicate_row", rows.height - merged.height)
        open_.blocks[part.expiry] = blocks(merged, self.config.calendar, self.config.rate)[0]
        return True

    def _judge(self, book: Book, open_: OpenBurst) -> None:
        """Evaluate the open burst from the state before it."""
        for expiry, series in open_.before.items():
            if series is None:
                book.series.pop(expiry, None)
        for expiry, series in open_.before.items():
            if series is not None:
                book.series.pop(open_.moved.get(expiry, expiry), None)
                book.series[series.expiry] = series
        open_.before, open_.moved, open_.records = {}, {}, {}
        open_.events, open_.pending = [], []
        book.roll = open_.roll.copy()
        seen = []
        for expiry in sorted(open_.blocks):
            block = open_.blocks[expiry]
            known = book.series.get(expiry)
            series, moved = book.find(block)
            if moved is not None:
                was = series.copy()
                was.expiry = moved
                open_.before[moved] = was
                open_.moved[moved] = expiry
            else:
                open_.before[expiry] = None if known is None else series.copy()
            record = series.run(block, self.config)[0]
            record.redated_from = moved
            found, now, metrics = book.step(series, record)
            open_.records[expiry] = record
            open_.events.extend(found)
            seen.append(now)
            if metrics is not None:
                open_.pending.append((now.day, now.dte, now.bucket, metrics))
        open_.events.extend(book.across(seen))

    def _close(self, underlying: str) -> None:
        """The open burst can change no more: its records, events and metrics become the past."""
        open_ = self._open.pop(underlying, None)
        if open_ is None or not open_.records:
            return
        book = self._book(underlying)
        self._records.setdefault(underlying, []).extend(open_.records[e] for e in sorted(open_.records))
        self._events.extend(open_.events)
        book.remember(open_.pending)
