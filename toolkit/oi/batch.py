"""Open-interest shift of a whole frame at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from toolkit.oi.book import Book, Record, Series
from toolkit.oi.config import OIConfig
from toolkit.oi.engine import OIShiftEngine
from toolkit.oi.events import Event, events_frame, thresholds_of
from toolkit.oi.futures import FuturesBook
from toolkit.oi.layout import blocks
from toolkit.oi.prepare import prepare_chain, quality_frame
from toolkit.oi.result import ShiftResult, levels_frame, run_counts, shifts_frame

__all__ = ["oi_shift", "walk"]


def oi_shift(
    frame: pl.DataFrame,
    config: OIConfig | None = None,
    *,
    futures: pl.DataFrame | None = None,
    anchor: pl.DataFrame | None = None,
) -> ShiftResult:
    """Measure levels, shifts and events of open interest, burst by burst.

    The same kernels over the same bursts as :class:`toolkit.oi.OIShiftEngine`: equal to the bit in integers and
    equal in floats.

    Parameters
    ----------
    frame : polars.DataFrame
        Chain rows; see :func:`toolkit.oi.prepare_chain`.
    config : OIConfig, optional
        What changes are measured against, thresholds, calendar.
    futures : polars.DataFrame, optional
        Futures rows (``ts underlying expiry oi`` and ``ltp`` or ``settle``), for the FUT_* events.
    anchor : polars.DataFrame, optional
        Chain rows of the previous session's close (a bhavcopy): what the first day is compared with.

    Returns
    -------
    ShiftResult

    Raises
    ------
    BadData
        For a frame that is not what it must be.
    """
    chosen = OIConfig() if config is None else config
    if chosen.burst == "quiet":
        return OIShiftEngine(chosen).consume(frame, futures=futures, anchor=anchor)
    limits = thresholds_of(chosen)
    prepared = prepare_chain(frame, chosen)
    books: dict[str, Book] = {}
    if anchor is not None:
        _measure(books, prepare_chain(anchor, chosen).frame, chosen, limits)
    ready = _measure(books, prepared.frame, chosen, limits)
    events: list[Event] = []
    rows: list[tuple[str, list[Record]]] = []
    for underlying, work in sorted(ready.items()):
        events.extend(walk(books[underlying], work))
        rows.append((underlying, [record for _, record in work]))
    if futures is not None:
        events.extend(FuturesBook(limits).update(futures))
    levels = levels_frame(rows)
    counts = run_counts(levels, rows)
    quality = pl.concat([prepared.quality, quality_frame(counts)])
    return ShiftResult(levels, shifts_frame(rows), events_frame(events), quality)


def _measure(
    books: dict[str, Book], frame: pl.DataFrame, config: OIConfig, limits: Any
) -> dict[str, list[tuple[Series, Record]]]:
    """Run all blocks through the shared kernel: the records of each underlying with their series."""
    ready: dict[str, list[tuple[Series, Record]]] = {}
    for block in blocks(frame, config.calendar, config.rate):
        book = books.setdefault(block.underlying, Book(block.underlying, config, limits))
        series, moved = book.find(block)
        records = series.run(block, config)
        records[0].redated_from = moved
        ready.setdefault(block.underlying, []).extend((series, record) for record in records)
    return ready


def walk(book: Book, work: list[tuple[Series, Record]]) -> list[Event]:
    """Run the detectors over records in the order of their stamps, expiries ascending within one."""
    order = np.lexsort(([r.expiry.toordinal() for _, r in work], [r.ts_ns for _, r in work]))
    work[:] = [work[j] for j in order.tolist()]
    events: list[Event] = []
    seen: list[Any] = []
    pending: list[tuple[int, int, int, Any]] = []
    for j, (series, record) in enumerate(work):
        found, now, metrics = book.step(series, record)
        events.extend(found)
        seen.append(now)
        if metrics is not None:
            pending.append((now.day, now.dte, now.bucket, metrics))
        if j + 1 == len(work) or work[j + 1][1].ts_ns != record.ts_ns:
            events.extend(book.across(seen))
            book.remember(pending)
            seen, pending = [], []
    return events
