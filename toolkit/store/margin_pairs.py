"""Our margin beside the broker's, kept: one SQLite table in the toolkit's home, and how far apart they are."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from toolkit.config import home
from toolkit.errors import BadData

__all__ = ["MarginErrors", "MarginPair", "MarginPairs"]

_TABLE: Final = "margin_pairs"


class MarginPair(msgspec.Struct, frozen=True, kw_only=True):
    """One basket asked of both: totals in rupees, and whether ours was made from a file of the day."""

    at_ns: int
    broker: str
    exchange: str
    basket: str
    ours: float
    theirs: float
    span_ours: float
    span_theirs: float
    exposure_ours: float
    exposure_theirs: float
    calibrated: bool
    source: str

    @property
    def error(self) -> float:
        """Ours less theirs, a fraction of theirs; NaN where theirs is not above 0."""
        return (self.ours - self.theirs) / self.theirs if self.theirs > 0.0 else math.nan


class MarginErrors(msgspec.Struct, frozen=True):
    """How far apart the pairs are: absolute errors as fractions of the broker's figure; NaN without pairs."""

    pairs: int
    median: float
    p95: float
    worst: float

    @property
    def text(self) -> str:
        """One line for people."""
        if not self.pairs:
            return "no pair is kept yet"
        figures = f"median {self.median:.2%}, p95 {self.p95:.2%}, worst {self.worst:.2%}"
        return f"our margin against the broker's over {self.pairs} baskets: {figures}"


class MarginPairs:
    """The kept pairs.

    Parameters
    ----------
    path : Path, optional
        Default: ``margins.db`` in the toolkit's home.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home() / "margins.db"

    def keep(self, pair: MarginPair) -> None:
        """Add one pair; a broker's answer that is not a positive number is refused.

        Raises
        ------
        BadData
            A figure that is none, or a file that cannot be written.
        """
        if not (pair.theirs > 0.0 and math.isfinite(pair.ours) and math.isfinite(pair.theirs)):
            raise BadData(f"a pair needs two margins in rupees, was {pair.ours!r} and {pair.theirs!r}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._table() as table:
                table.insert(msgspec.to_builtins(pair), replace=True)
        except (sqlite3.Error, OSError) as error:
            raise BadData(f"cannot write {self.path}: {error}; check its rights and the free space") from None

    def frame(self, broker: str | None = None, exchange: str | None = None) -> pl.DataFrame:
        """The pairs, oldest first, with ``error`` (a fraction of the broker's figure)."""
        rows = [pair for pair in self._rows() if broker in (None, pair.broker) and exchange in (None, pair.exchange)]
        made = [msgspec.to_builtins(pair) | {"error": pair.error} for pair in rows]
        return pl.DataFrame(made, schema=_SCHEMA, orient="row")

    def errors(
        self, broker: str | None = None, exchange: str | None = None, *, calibrated: bool | None = None
    ) -> MarginErrors:
        """Median, 95th percentile and worst of the absolute errors."""
        frame = self.frame(broker, exchange)
        if calibrated is not None:
            frame = frame.filter(pl.col("calibrated") == calibrated)
        off = frame["error"].abs().drop_nans()
        if off.is_empty():
            return MarginErrors(0, math.nan, math.nan, math.nan)
        p95 = off.quantile(0.95, "linear")
        return MarginErrors(len(off), float(off.median() or 0.0), float(p95 or 0.0), float(off.max() or 0.0))  # type: ignore[arg-type]

    def _rows(self) -> list[MarginPair]:
        if not self.path.exists():
            return []
        try:
            with self._table() as table:
                found = list(table.rows_where(order_by="at_ns"))
        except sqlite3.Error as error:
            raise BadData(f"cannot read {self.path}: {error}; move it away to begin anew") from None
        return [msgspec.convert(row, MarginPair, strict=False) for row in found]

    @contextmanager
    def _table(self) -> Iterator[Any]:
        """The table for one block; the file is closed after it."""
        import sqlite_utils

        db = sqlite_utils.Database(self.path)
        try:
            yield db.table(_TABLE).create(_COLUMNS, pk=("at_ns", "broker", "basket"), if_not_exists=True)
        finally:
            db.close()


_COLUMNS: Final[dict[str, type]] = {
    "at_ns": int,
    "broker": str,
    "exchange": str,
    "basket": str,
    "ours": float,
    "theirs": float,
    "span_ours": float,
    "span_theirs": float,
    "exposure_ours": float,
    "exposure_theirs": float,
    "calibrated": bool,
    "source": str,
}
_TYPES: Final[dict[type, Any]] = {int: pl.Int64, str: pl.String, float: pl.Float64, bool: pl.Boolean}
_SCHEMA: Final[dict[str, Any]] = {name: _TYPES[kind] for name, kind in _COLUMNS.items()} | {"error": pl.Float64}
