"""Data quality of a session: what the importers refused or changed, and odd stamps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from toolkit import tables
from toolkit.errors import BadData

__all__ = ["import_quality", "stamp_quality"]

Rule = tuple[str, int, str]


def import_quality(files: Sequence[Mapping[str, Any]]) -> list[Rule]:
    """Sum the accounts of the imported files by reason."""
    counts: Counter[tuple[str, str]] = Counter()
    for record in files:
        for reason, count in record.get("refused", {}).items():
            counts["row refused", reason] += int(count)
        for reason, count in record.get("noted", {}).items():
            counts[reason, ""] += int(count)
    return [(rule, count, detail) for (rule, detail), count in sorted(counts.items()) if count]


def stamp_quality(stamps: pl.DataFrame, underlying: str) -> list[Rule]:
    """Count snapshots with repeated, backward or out-of-session stamps.

    Parameters
    ----------
    stamps : polars.DataFrame
        ``ts`` and ``recv_ts`` of one underlying's chain rows.
    underlying : str
        Its name, for the detail.
    """
    seen = stamps.unique().with_columns(known=pl.coalesce("recv_ts", "ts")).sort("known", "ts")
    seen = seen.with_columns(newest=pl.col("ts").cum_max().shift(1))
    repeated = seen.select(((pl.col("ts") == pl.col("newest")) | ~pl.col("ts").is_first_distinct()).sum()).item()
    backward = seen.select(((pl.col("ts") < pl.col("newest")) & pl.col("ts").is_first_distinct()).sum()).item()
    early = seen.select((pl.col("recv_ts") < pl.col("ts")).sum()).item()
    closed = [day for day in seen["known"].dt.date().unique().sort().to_list() if not _is_session(day)]
    stale = seen.filter(pl.col("known").dt.date().is_in(closed)).height
    days = ", ".join(str(day) for day in closed)
    found = [
        ("repeated stamp", int(repeated or 0), f"{underlying}: snapshots"),
        ("backward stamp", int(backward or 0), f"{underlying}: snapshots"),
        ("received before its own stamp", int(early or 0), f"{underlying}: snapshots"),
        ("received on a day that is no session", stale, f"{underlying}: snapshots on {days}"),
    ]
    return [rule for rule in found if rule[1]]


def _is_session(day: object) -> bool:
    try:
        return bool(tables.calendar().is_session(day))  # type: ignore[arg-type]
    except BadData:
        return True
