"""Frames for pictures and reruns: the heatmap of changes, and events from saved levels."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import numpy as np
import polars as pl

from toolkit.errors import BadData
from toolkit.oi.batch import walk
from toolkit.oi.book import Book, Record, Series
from toolkit.oi.columns import LEVELS
from toolkit.oi.config import OIConfig
from toolkit.oi.core import Bursts, ExpiryCore
from toolkit.oi.detect import ExpiryEvents
from toolkit.oi.events import Event, events_frame, thresholds_of
from toolkit.oi.futures import FuturesBook
from toolkit.oi.layout import YEAR_NS, Block, blocks, settlement_ns
from toolkit.oi.prepare import prepare_chain

__all__ = ["detect_events", "heatmap", "term_structure"]

IST: Final = "Asia/Kolkata"
SIDES: Final[Any] = pl.Enum(["CE", "PE"])


def heatmap(
    frame: pl.DataFrame,
    underlying: str | None = None,
    expiry: dt.date | None = None,
    config: OIConfig | None = None,
) -> pl.DataFrame:
    """Lay out OI and its change since the base by strike and fresh exchange stamp.

    Parameters
    ----------
    frame : polars.DataFrame
        Chain rows.
    underlying, expiry : optional
        Only these; default all.
    config : OIConfig, optional
        Its baseline is what changes are measured against.

    Returns
    -------
    polars.DataFrame
        ``ts underlying expiry strike option_type oi oi_change``: strike in points, units; ``oi_change`` null where
        the base does not know the contract. Bursts in which nothing moved are left out.
    """
    chosen = OIConfig() if config is None else config
    if underlying is not None:
        frame = frame.filter(pl.col("underlying").cast(pl.String) == underlying)
    if expiry is not None:
        frame = frame.filter(pl.col("expiry") == expiry)
    if frame.height == 0:
        raise BadData(f"no chain rows of {underlying or 'any underlying'} {expiry or ''}; check the names".strip())
    prepared = prepare_chain(frame, chosen).frame
    parts = [_heat(block, chosen) for block in blocks(prepared, chosen.calendar, chosen.rate)]
    return pl.concat(parts).sort("ts", "underlying", "expiry", "strike", "option_type")


def _heat(block: Block, config: OIConfig) -> pl.DataFrame:
    core = ExpiryCore.new(config)
    core.grow(block.strikes_p)
    bursts = Bursts(block.ts_ns, block.oi, block.volume, block.spot, block.forward)
    rows = core.run(bursts, keep_base=True)
    fresh = rows.levels[:, LEVELS.index("fresh")] == 1.0
    oi, base = rows.effective, rows.compared
    t, s, i = np.nonzero((oi >= 0) & fresh[:, None, None])
    change = np.where(base[t, s, i] >= 0, oi[t, s, i] - base[t, s, i], np.iinfo(np.int64).min)
    made = pl.DataFrame(
        {
            "ts": pl.Series(block.ts_ns[t] // 1000).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(IST),
            "underlying": pl.Series([block.underlying], dtype=pl.String).new_from_index(0, t.size),
            "expiry": pl.Series([block.expiry], dtype=pl.Date).new_from_index(0, t.size),
            "strike": block.strikes_p[i] / 100.0,
            "option_type": pl.Series(np.array(["CE", "PE"])[s], dtype=pl.String).cast(SIDES),
            "oi": oi[t, s, i],
            "oi_change": change,
        }
    )
    unknown = np.iinfo(np.int64).min
    return made.with_columns(pl.when(pl.col("oi_change") != unknown).then(pl.col("oi_change")).alias("oi_change"))


def detect_events(
    levels: pl.DataFrame, config: OIConfig | None = None, *, futures: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Detect events again from a levels frame, for instance under other thresholds.

    Parameters
    ----------
    levels : polars.DataFrame
        As :func:`toolkit.oi.oi_shift` gave it, whole sessions.
    config : OIConfig, optional
        Thresholds and history settings.
    futures : polars.DataFrame, optional
        Futures rows, for the FUT_* events.

    Returns
    -------
    polars.DataFrame
        The events frame. Only DATA_REDATED and DATA_RESTATED need the contracts themselves and are absent.
    """
    chosen = OIConfig() if config is None else config
    missing = [c for c in ("ts", "underlying", "expiry", *LEVELS) if c not in levels.columns]
    if missing:
        raise BadData(f"levels frame has no column {missing[0]!r}; give the levels of oi_shift whole")
    limits = thresholds_of(chosen)
    events: list[Event] = []
    for part in levels.sort("underlying", "ts", "expiry").partition_by("underlying", maintain_order=True):
        name = str(part["underlying"][0])
        book = Book(name, chosen, limits)
        table = part.select(pl.col(c).cast(pl.Float64).fill_null(float("nan")) for c in LEVELS).to_numpy()
        stamps = part["ts"].dt.epoch("us").to_list()
        work = []
        for us, expiry, row in zip(stamps, part["expiry"].to_list(), table, strict=True):
            series = book.series.setdefault(
                expiry, Series(expiry, ExpiryCore.new(chosen), ExpiryEvents(chosen, limits))
            )
            work.append((series, Record(us * 1000, expiry, row, None, -1)))
        events.extend(walk(book, work))
    if futures is not None:
        events.extend(FuturesBook(limits).update(futures))
    return events_frame(events)


def term_structure(levels: pl.DataFrame, config: OIConfig | None = None) -> pl.DataFrame:
    """Put the at-the-money volatilities of each stamp in order of expiry, with the forward variance between them.

    Parameters
    ----------
    levels : polars.DataFrame
        The levels frame.
    config : OIConfig, optional
        Its calendar says when an expiry settles (default 15:30 IST).

    Returns
    -------
    polars.DataFrame
        ``ts underlying expiry tte atm_iv forward_variance arbitrage``: years, fraction, and (s2^2 T2 - s1^2 T1) /
        (T2 - T1) from the expiry before, null for the first; ``arbitrage`` where that is negative: a calendar
        spread below its worth, or stale quotes.
    """
    missing = [c for c in ("ts", "underlying", "expiry", "atm_iv") if c not in levels.columns]
    if missing:
        raise BadData(f"levels frame has no column {missing[0]!r}; give the levels of oi_shift")
    chosen = OIConfig() if config is None else config
    ends = {e: settlement_ns(e, chosen.calendar) for e in sorted(set(levels["expiry"].to_list()))}
    settles = pl.col("expiry").replace_strict(ends, return_dtype=pl.Int64)
    over = ["underlying", "ts"]
    years = ((settles - pl.col("ts").dt.epoch("us") * 1000) / YEAR_NS).alias("tte")
    known = levels.filter(pl.col("atm_iv").is_not_null()).with_columns(years).filter(pl.col("tte") > 0)
    total = (pl.col("atm_iv") ** 2 * pl.col("tte")).alias("total")
    ordered = known.sort("underlying", "ts", "expiry").with_columns(total)
    step = (pl.col("total") - pl.col("total").shift(1).over(over)) / (pl.col("tte") - pl.col("tte").shift(1).over(over))
    made = ordered.with_columns(step.alias("forward_variance"))
    return made.select(
        "ts",
        "underlying",
        "expiry",
        "tte",
        "atm_iv",
        "forward_variance",
        (pl.col("forward_variance") < 0).alias("arbitrage"),
    )
