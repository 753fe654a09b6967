"""Chain snapshots kept as they come, asked for as they were known, and merged into the session store.

A snapshot that arrives is one small Arrow file in a folder beside the store (written, flushed, renamed: whole or not
there). ``seal`` merges them into the store in one step. Queries see both, so that nothing waits for the seal and a
killed recorder loses at most the snapshot it was writing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from toolkit.errors import BadData
from toolkit.market.schema import CHAIN
from toolkit.store.session_files import KEYS, MANIFEST, SCHEMAS, StoreWriter, read_manifest

__all__ = ["SnapshotLog", "scan_table"]

KNOWN: Final = pl.coalesce("recv_ts", "ts")
DIGITS: Final = 8


class SnapshotLog:
    """The chain snapshots of a session store, those on their way into it among them.

    Parameters
    ----------
    path : str or Path
        The session store's folder; made at the first seal when it is not there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()
        self.pending = self.path.parent / f".{self.path.name}.snapshots"

    def append(self, frame: pl.DataFrame) -> bool:
        """Keep one snapshot (any rows of the chain table), flushed to the disk before this returns.

        Returns
        -------
        bool
            False when exactly these rows are waiting already: appending twice changes nothing.

        Raises
        ------
        BadData
            When the rows do not fit the chain table, or the folder cannot be written.
        """
        rows = _chain_rows(frame)
        blob = rows.write_ipc(None, compression="zstd").getvalue()
        digest = hashlib.sha256(blob).hexdigest()[:16]
        try:
            self.pending.mkdir(parents=True, exist_ok=True)
            names = self._names()
            if any(name.endswith(f"-{digest}.arrow") for name in names):
                return False
            number = int(names[-1][:DIGITS]) + 1 if names else 0
            _write_whole(self.pending / f"{number:0{DIGITS}d}-{digest}.arrow", blob)
        except OSError as error:
            raise BadData(
                f"cannot keep a snapshot in {self.pending}: {error.strerror}; check space and rights"
            ) from None
        return True

    def waiting(self) -> pl.DataFrame:
        """Rows that are not in the store yet, in the order they came."""
        frames = [_read(self.pending / name) for name in self._names()]
        return pl.concat(frames) if frames else CHAIN.to_frame()

    def as_of(
        self,
        at: dt.datetime,
        *,
        underlying: str | None = None,
        expiry: dt.date | None = None,
        known_by: str = "received",
    ) -> pl.DataFrame:
        """The chain as known at a moment: of each (underlying, expiry) its newest snapshot of that day by then.

        Parameters
        ----------
        at : datetime
            IST-aware (or of any zone).
        underlying, expiry : optional
            Only these.
        known_by : {"received", "stamped"}
            Whether a snapshot is known from its receipt (its stamp where none is recorded) or from the exchange's
            stamp: the feed is about a minute late, and a strategy may use only what it had received.

        Returns
        -------
        polars.DataFrame
            Rows of the chain table; empty when nothing was known.
        """
        if known_by not in ("received", "stamped"):
            raise BadData(f"known_by must be received or stamped, was {known_by!r}")
        if at.tzinfo is None:
            raise BadData(f"at must carry a time zone, was {at}; use Asia/Kolkata")
        since = KNOWN if known_by == "received" else pl.col("ts")
        day = pl.lit(at).dt.convert_time_zone("Asia/Kolkata").dt.date()
        rows = self.scan().filter((since <= at) & (since.dt.date() == day))
        if underlying is not None:
            rows = rows.filter(pl.col("underlying") == underlying)
        if expiry is not None:
            rows = rows.filter(pl.col("expiry") == expiry)
        key = ["underlying", "expiry"]
        newest = rows.filter(pl.col("ts") == pl.col("ts").max().over(key))
        # of a repeated stamp the first receipt counts
        first = newest.filter(since.is_null() | (since == since.min().over(key)))
        return first.sort("underlying", "expiry", "strike_p", "option_type").collect()

    def scan(self) -> pl.LazyFrame:
        """All chain rows, sealed and waiting, lazily; a row in both counts once."""
        frames = [_read(self.pending / name).lazy() for name in self._names()]
        if (self.path / MANIFEST).exists():
            frames.insert(0, scan_table(self.path, "chain"))
        if not frames:
            return CHAIN.to_frame().lazy()
        keys = ["underlying", *KEYS["chain"]]
        return pl.concat(frames).unique(keys, keep="first", maintain_order=True)

    def seal(self, meta: Mapping[str, Any] | None = None) -> int:
        """Merge what waits into the store, in one step.

        Returns
        -------
        int
            Rows merged; 0 when nothing waited.
        """
        names = self._names()
        if not names:
            return 0
        keys = ["underlying", *KEYS["chain"]]
        rows = self.waiting().unique(keys, keep="first", maintain_order=True)
        with StoreWriter(self.path) as writer:
            writer.add({"chain": rows})
            writer.commit({"name": self.path.name, **(meta or {})})
        for name in names:
            (self.pending / name).unlink(missing_ok=True)
        if not any(self.pending.iterdir()):
            self.pending.rmdir()
        return rows.height

    def _names(self) -> list[str]:
        if not self.pending.is_dir():
            return []
        return sorted(p.name for p in self.pending.iterdir() if p.suffix == ".arrow")


def scan_table(
    path: str | Path,
    table: str,
    *,
    underlying: str | None = None,
    start: dt.date | None = None,
    end: dt.date | None = None,
) -> pl.LazyFrame:
    """A table of a session store as a lazy frame: years of files, of which a query reads only what it needs.

    Parameters
    ----------
    path : str or Path
        The store.
    table : str
        ``chain futures spot eod ticks participants``.
    underlying, start, end : optional
        Parts of other underlyings and days (both ends included) are not even opened.

    Raises
    ------
    BadData
        For a folder that is no session store, or an unknown table.
    """
    if table not in SCHEMAS:
        raise BadData(f"no table {table!r} in a session store; tables are {', '.join(sorted(SCHEMAS))}")
    root = Path(path).expanduser().absolute()
    parts: Sequence[Mapping[str, Any]] = read_manifest(root)["parts"].get(table, [])
    wanted = [
        root / str(part["path"])
        for part in parts
        if (underlying is None or part["underlying"] == underlying)
        and (start is None or part["date"] >= start.isoformat())
        and (end is None or part["date"] <= end.isoformat())
    ]
    if not wanted:
        return pl.LazyFrame(schema=SCHEMAS[table])
    return pl.scan_parquet(wanted, hive_partitioning=False).select(list(SCHEMAS[table]))


def _chain_rows(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [c for c in ("ts", "underlying", "expiry", "strike_p", "option_type", "oi") if c not in frame.columns]
    if missing:
        raise BadData(f"a chain snapshot has no column {missing[0]!r}; see market/schema.py for the chain table")
    filled = frame.with_columns(
        pl.lit(None, dtype=kind).alias(c) for c, kind in CHAIN.items() if c not in frame.columns
    )
    try:
        return filled.select(pl.col(c).cast(kind) for c, kind in CHAIN.items())
    except pl.exceptions.PolarsError as error:
        raise BadData(f"a chain snapshot does not fit the chain table: {str(error).splitlines()[0]}") from None


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_ipc(path.read_bytes())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadData(f"snapshot {path} cannot be read ({str(error).splitlines()[0]}); remove it") from None


def _write_whole(target: Path, blob: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
