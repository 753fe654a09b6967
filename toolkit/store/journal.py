"""The journal: what was decided and what was heard, durable, in order, chained by hash.

Standard ``sqlite3``, one file per account and day, WAL, ``synchronous=FULL``, one writer.
Every record carries a CRC of its own content and the hash of the record before it, so that
damage is found and its place is known: a broken *tail* is what a crash may leave, a broken
*middle* is not and stops the engine. Content is a function of the events alone: no wall clock.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256 as _sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from zlib import crc32 as _crc32

import msgspec

from toolkit import __version__
from toolkit.errors import BadData, Refused
from toolkit.orders.effects import Record

__all__ = ["GENESIS", "VERSION", "Entry", "Journal", "Verdict", "entries_of", "verify_file"]

VERSION: Final = 1
GENESIS: Final = "0" * 64
_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    account TEXT NOT NULL, day TEXT NOT NULL, prev_hash TEXT NOT NULL, version INTEGER NOT NULL
) STRICT;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY, ts_ns INTEGER NOT NULL, kind TEXT NOT NULL, cl_ord_id TEXT NOT NULL,
    payload BLOB NOT NULL, crc INTEGER NOT NULL, prev_hash TEXT NOT NULL, hash TEXT NOT NULL,
    version INTEGER NOT NULL, software TEXT NOT NULL
) STRICT;
"""
_COLUMNS: Final = "seq, ts_ns, kind, cl_ord_id, payload, crc, prev_hash, hash, version, software"
_INSERT: Final = f"INSERT INTO records ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"  # noqa: S608


_BROKEN: Final = (sqlite3.DatabaseError, UnicodeDecodeError, TypeError)


class Entry(msgspec.Struct, frozen=True):
    """One record as it lies in the file."""

    seq: int
    ts_ns: int
    kind: str
    cl_ord_id: str
    payload: bytes
    crc: int
    prev_hash: str
    hash: str
    version: int
    software: str

    @property
    def record(self) -> Record:
        """What the core wrote."""
        return Record(self.ts_ns, self.kind, self.cl_ord_id, self.payload)


class Verdict(msgspec.Struct, frozen=True):
    """Outcome of :meth:`Journal.verify`.

    ``state`` is ``sound``, ``broken_tail`` (the records after ``good`` are damaged and no later one
    is whole: what a crash may leave) or ``broken_middle`` (whole records follow a damaged one, or the file's
    structure is broken so that nobody can tell).
    """

    state: str
    good: int
    total: int
    last_hash: str
    text: str


class Journal:
    """One account's journal of one day.

    Parameters
    ----------
    path : Path or str
        The file; made when it does not exist.
    account, day : str
        Whose it is, and the ISO date; an existing file must agree.
    prev_hash : str
        Last hash of the day before, for a new file.

    Raises
    ------
    BadData
        When the file is not a journal, is another account's or day's, is of a newer version, or its middle is damaged.
    Refused
        When another writer holds the file.
    """

    def __init__(self, path: Path | str, *, account: str, day: str, prev_hash: str = GENESIS) -> None:
        self.path = Path(path)
        self.account = account
        self.day = day
        self.repaired = 0
        self._untold = 0
        self._seq: int = 0
        self._hash: str = prev_hash
        self._prev_hash: str = prev_hash
        self._db = _connect(self.path)
        try:
            self._lock()
            self._open(prev_hash)
        except BaseException:
            self._db.close()
            raise

    def append(self, records: Sequence[Record]) -> int:
        """Make records durable in one transaction; all of them or none.

        Returns
        -------
        int
            ``seq`` of the last record.

        Raises
        ------
        BadData
            When the disk refuses (full, read-only, failing): nothing was written, nothing may be sent.
        """
        seq, last, rows = self._seq, self._hash, []
        for record in records:
            seq += 1
            row = _row(seq, record, last, VERSION, __version__)
            last = row[7]
            rows.append(row)
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(_INSERT, rows)
                if self._untold:
                    self._db.execute("PRAGMA user_version = 0")
        except sqlite3.Error as error:
            raise BadData(
                f"journal {self.path} could not be written: {error}; no order leaves, free the disk"
            ) from None
        self._seq, self._hash, self._untold = seq, last, 0
        return seq

    def records(self, after: int = 0, most: int = -1) -> Iterator[Entry]:
        """Entries with ``seq`` above ``after``, in order; at most ``most``, all by default."""
        try:
            yield from _read(self._db, after, most)
        except _BROKEN as error:
            raise BadData(f"journal {self.path} cannot be read: {_line(error)}; restore the file") from None

    @property
    def last_hash(self) -> str:
        """Hash of the newest record: the next day's ``prev_hash``."""
        return self._hash

    @property
    def last_seq(self) -> int:
        """``seq`` of the newest record, 0 before the first."""
        return self._seq

    def verify(self) -> Verdict:
        """Check every record's CRC, hash and link."""
        return _verify(self._db, self._prev_hash)

    def close(self) -> None:
        """Fold the write-ahead log into the file and let it go."""
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        """One writer: the lock is held for the life of the connection and dies with the process."""
        try:
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("BEGIN EXCLUSIVE")
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise Refused(f"journal {self.path} is held by another writer; stop that engine first") from None
            raise BadData(f"journal {self.path} cannot be opened: {error}; check the folder and its rights") from None
        except _BROKEN as error:
            raise BadData(f"{self.path} is not a journal: {_line(error)}; restore the file or move it away") from None

    def _open(self, prev_hash: str) -> None:
        try:
            fresh = self._db.execute("PRAGMA page_count").fetchone()[0] <= 1
            if fresh:
                self._db.executescript(_SCHEMA)
            head = self._db.execute("SELECT account, day, prev_hash, version FROM head").fetchone()
            if head is None and not fresh:
                raise BadData(f"{self.path} is not a journal: it has no head; restore the file or move it away")
            if head is None:
                head = (self.account, self.day, prev_hash, VERSION)
                self._db.execute("INSERT INTO head VALUES (1, ?, ?, ?, ?)", head)
                self._db.execute("COMMIT")
        except _BROKEN as error:
            raise BadData(f"{self.path} is not a journal: {_line(error)}; restore the file or move it away") from None
        account, day, self._prev_hash, version = head
        if (account, day) != (self.account, self.day):
            raise BadData(f"journal {self.path} is of {account} on {day}, was asked for {self.account} on {self.day}")
        if version > VERSION:
            raise BadData(f"journal {self.path} has version {version}, this software reads up to {VERSION}; update it")
        verdict = self.verify()
        if verdict.state == "broken_middle":
            raise BadData(f"journal {self.path}: {verdict.text}; no trading from it, restore the file")
        if verdict.state == "broken_tail":
            self._cut(verdict.good, verdict.total - verdict.good)
        self.repaired = self._untold = self._db.execute("PRAGMA user_version").fetchone()[0]
        self._seq, self._hash = verdict.good, verdict.last_hash

    def _cut(self, good: int, lost: int) -> None:
        """Remove the damaged tail; what cannot be removed cleanly is no tail.

        How many records were cut stays in the file until the next one is written: whoever opens it is told.
        """
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("DELETE FROM records WHERE seq > ? OR seq < 1", (good,))
                before = self._db.execute("PRAGMA user_version").fetchone()[0]
                self._db.execute(f"PRAGMA user_version = {before + lost}")
            after = self.verify()
        except _BROKEN as error:
            raise BadData(f"journal {self.path} cannot be mended: {_line(error)}; restore the file") from None
        if after.state != "sound" or after.good != good:
            raise BadData(f"journal {self.path}: {after.text}; no trading from it, restore the file")


def verify_file(path: Path | str) -> Verdict:
    """Check a journal file without changing it.

    Raises
    ------
    BadData
        When there is no such file, or it is not a journal.
    """
    place = Path(path)
    if not place.is_file():
        raise BadData(f"no journal at {place}; name the file")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True, timeout=0.2)) as db:
            head = _lenient(db).execute("SELECT prev_hash FROM head").fetchone()
            if head is None:
                raise BadData(f"{place} is not a journal: it has no head; restore the file")
            return _verify(db, str(head[0]))
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise Refused(f"journal {place} is held by a running engine; ask that engine, or stop it first") from None
        raise BadData(f"{place} cannot be read as a journal: {error}; check the file and its rights") from None
    except _BROKEN as error:
        raise BadData(f"{place} is not a journal: {_line(error)}; restore the file") from None


def entries_of(path: Path | str) -> list[Entry]:
    """Read every record of a sound journal file without changing it.

    Raises
    ------
    BadData
        When it is not a journal, or not sound.
    Refused
        When a running engine holds it.
    """
    found = verify_file(path)
    if found.state != "sound":
        raise BadData(f"journal {path} is {found.state}: {found.text}; restore the file")
    with contextlib.closing(sqlite3.connect(f"file:{Path(path)}?mode=ro", uri=True, timeout=0.2)) as db:
        return list(_read(_lenient(db), 0))


def _lenient(db: sqlite3.Connection) -> sqlite3.Connection:
    """Let damaged text come through, so that the record is seen to be damaged and those after it are read."""
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return db


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return _lenient(sqlite3.connect(path, isolation_level=None, timeout=0.5))
    except sqlite3.Error as error:
        raise BadData(f"journal {path} cannot be opened: {error}; check the folder and its rights") from None


_Row = tuple[int, int, str, str, bytes, int, str, str, int, str]


def _row(seq: int, record: Record, prev_hash: str, version: int, software: str) -> _Row:
    """One record as it goes into the file. CRC and hash cover every field; lengths keep the fields apart."""
    ts_ns, kind, cl_ord_id, payload = record.ts_ns, record.kind, record.cl_ord_id, record.payload
    number, stamp = str(seq), str(ts_ns)
    head = f"{len(number)}:{number}{len(stamp)}:{stamp}{len(kind)}:{kind}{len(cl_ord_id)}:{cl_ord_id}"
    body = (head + _edition(version, software)).encode() + payload
    digest = _sha256(prev_hash.encode() + body).hexdigest()
    return seq, ts_ns, kind, cl_ord_id, payload, _crc32(body), prev_hash, digest, version, software


@lru_cache(maxsize=16)
def _edition(version: int, software: str) -> str:
    """What the records of one writer have in common in their heads."""
    edition = f"{version}"
    return f"{len(edition)}:{edition}{len(software)}:{software}"


def _read(db: sqlite3.Connection, after: int, most: int = -1) -> Iterator[Entry]:
    for row in db.execute(f"SELECT {_COLUMNS} FROM records WHERE seq > ? ORDER BY seq LIMIT ?", (after, most)):  # noqa: S608
        yield Entry(*row)


def _line(error: BaseException | str) -> str:
    """An error of SQLite as one line: a damaged schema may carry any text."""
    return " ".join(str(error).split())


def _verify(db: sqlite3.Connection, prev_hash: str) -> Verdict:
    good, last, total, broken, whole_after, reason = 0, prev_hash, 0, False, False, ""
    try:
        # A damaged page may simply seem to hold fewer records: the file's own bookkeeping tells.
        structure = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if structure != "ok":
            return Verdict("broken_middle", 0, 0, prev_hash, f"the file's structure is broken ({_line(structure)})")
        for entry in _read(db, 0):
            total += 1
            own = _whole(entry)
            if broken:
                whole_after = whole_after or own
            elif own and entry.seq == good + 1 and entry.prev_hash == last:
                good, last = entry.seq, entry.hash
            else:
                broken = True
                whole_after = own
                reason = f"record {good + 1} is {'out of chain' if own else 'damaged'}"
    except _BROKEN as error:
        return Verdict("broken_middle", good, total, last, f"unreadable after record {good} ({_line(error)})")
    if not broken:
        return Verdict("sound", good, total, last, f"{good} records, chain whole")
    if whole_after:
        return Verdict("broken_middle", good, total, last, f"{reason}, and whole records follow it")
    return Verdict("broken_tail", good, total, last, f"{reason}; {max(0, total - good)} records at the tail are lost")


def _whole(entry: Entry) -> bool:
    """Whether a record's own content, hash and link agree with each other."""
    try:
        again = _row(entry.seq, entry.record, entry.prev_hash, entry.version, entry.software)
    except (TypeError, AttributeError):
        return False
    return (again[5], again[7]) == (entry.crc, entry.hash)
