"""The journal's rows of ``toolkit bench engine``: a commit against a bare flush of the same bytes, and a burst's."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from toolkit.bench.engine_path import contracts
from toolkit.orders.effects import Record
from toolkit.store.journal import Journal
from toolkit.types import OrderRequest, Side

__all__ = ["GROUP", "Desk", "desk"]

GROUP: Final = 100
_ROOM: Final = 1 << 26
_PAGE: Final = 4096
_TABLE: Final = "CREATE TABLE r (seq INTEGER PRIMARY KEY, ts_ns INT, kind TEXT, cl_ord_id TEXT, payload BLOB)"


class Desk(NamedTuple):
    """Things to time: each call writes and flushes once, but ``plain`` and ``group``."""

    journal: Journal
    file: int
    plain: sqlite3.Connection
    records: list[Record]

    def commit(self) -> None:
        """One order's record, durable in the journal."""
        self.journal.append(self.records[:1])

    def flush(self) -> None:
        """The same bytes appended to a preallocated file, and flushed."""
        self._flush(self.records[:1])

    def group(self) -> None:
        """A hundred records in one commit."""
        self.journal.append(self.records)

    def flush_group(self) -> None:
        """The bytes of a hundred records appended and flushed once."""
        self._flush(self.records)

    def insert(self) -> None:
        """A hundred rows in one transaction of plain SQLite that waits for no disk: the floor of a row."""
        rows = [(r.ts_ns, r.kind, r.cl_ord_id, r.payload) for r in self.records]
        with self.plain:
            self.plain.executemany("INSERT INTO r (ts_ns, kind, cl_ord_id, payload) VALUES (?,?,?,?)", rows)

    def _flush(self, records: list[Record]) -> None:
        if os.lseek(self.file, 0, os.SEEK_CUR) > _ROOM - len(records) * _PAGE:
            os.lseek(self.file, 0, os.SEEK_SET)
        os.write(self.file, b"".join(r.payload for r in records))
        os.fdatasync(self.file)


@contextmanager
def desk(folder: Path | None = None) -> Iterator[Desk]:
    """A journal, a preallocated file and a plain database in one folder of one disk."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        place = Path(made)
        file = os.open(place / "flat", os.O_RDWR | os.O_CREAT)
        for _ in range(_ROOM >> 20):
            os.write(file, bytes(1 << 20))
        os.fsync(file)
        os.lseek(file, 0, os.SEEK_SET)
        plain = sqlite3.connect(place / "plain.db", isolation_level="IMMEDIATE")
        plain.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; {_TABLE}")
        journal = Journal(place / "journal.db", account="BENCH", day="2026-02-13")
        try:
            yield Desk(journal, file, plain, [_record(n) for n in range(GROUP)])
        finally:
            journal.close()
            plain.close()
            os.close(file)


def _record(number: int) -> Record:
    request = OrderRequest(
        cl_ord_id=f"B{number:07d}",
        symbol=contracts()[0].symbol,
        side=Side.BUY,
        order_qty=65,
        price_p=10_005,
        account="BENCH",
    )
    payload = msgspec.json.encode({"asked": request}, order="deterministic")
    return Record(1_770_000_000_000_000_000 + number, "order", request.cl_ord_id, payload)
