"""The journal: what was decided and what was heard, durable, in order, chained by hash.

Standard ``sqlite3``, one file per account and day, WAL, ``synchronous=FULL``, one writer.
Every record carries a CRC of its own content and the hash of the record before it, so that
damage is found and its place is known: a broken *tail* is what a crash may leave, a broken
*middle* is not and stops the engine. A chain that merely ends early looks whole: SQLite goes back
without a word to the last commit that its log still holds. A count beside the file tells.
Content is a function of the events alone: no wall clock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
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

__all__ = ["GENESIS", "VERSION", "Entry", "Journal", "Verdict", "count_path", "entries_of", "judge", "verify_file"]

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

    ``state`` is ``sound``, ``short`` (of a file: the chain is whole, and its count knows of later records that are
    gone), ``broken_tail`` (the records after ``good`` are damaged and no later one is whole: what a crash may leave)
    or ``broken_middle`` (whole records follow a damaged one, or the file's structure is broken so that nobody can
    tell).
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
    counted : bool
        Keep beside the file how many records it holds (:func:`count_path`), so that records which are gone without
        a trace are known of too.

    Attributes
    ----------
    repaired, missing : int
        Records that were found damaged at the end and cut, and records that are gone from it, when it was opened.
    damage : str
        The same in words, empty when nothing is known to be lost. Whoever opens it is told until a record follows.

    Raises
    ------
    BadData
        When the file is not a journal, is another account's or day's, is of a newer version, or its middle is damaged;
        when a counted one was emptied.
    Refused
        When another writer holds the file.
    """

    def __init__(
        self, path: Path | str, *, account: str, day: str, prev_hash: str = GENESIS, counted: bool = False
    ) -> None:
        self.path = Path(path)
        self.account = account
        self.day = day
        self.repaired = 0
        self.missing = 0
        self.damage = ""
        self._untold = 0
        self._seq: int = 0
        self._hash: str = prev_hash
        self._prev_hash: str = prev_hash
        self._count = _Count(self.path) if counted else None
        self._db = _connect(self.path)
        try:
            self._lock()
            self._open(prev_hash)
            if self._count is not None:
                self._count.open()
                self.missing = max(0, self._count.known - self._seq - self.repaired)
            self.damage = self._lost()
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
        if not records:
            return seq
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
        if self._count is not None:
            self._count.write(seq)
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

    def follow(self, prev_hash: str) -> None:
        """Chain a journal without records to the last hash of the day before.

        Raises
        ------
        BadData
            When it has records, or the disk refuses.
        """
        if self._seq:
            raise BadData(f"journal {self.path} has {_records(self._seq)} and cannot be chained anew")
        try:
            with self._db:
                self._db.execute("UPDATE head SET prev_hash = ?", (prev_hash,))
        except sqlite3.Error as error:
            raise BadData(f"journal {self.path} could not be written: {error}; free the disk") from None
        self._prev_hash = self._hash = prev_hash

    def verify(self) -> Verdict:
        """Check every record's CRC, hash and link."""
        return _verify(self._db, self._prev_hash)

    def close(self) -> None:
        """Fold the write-ahead log into the file and let it go."""
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
        if self._count is not None:
            self._count.close()

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

    def _lost(self) -> str:
        found = []
        if self.repaired:
            found.append(f"{_records(self.repaired)} at the journal's end damaged and cut")
        if self.missing:
            found.append(f"{_records(self.missing)} gone from the journal's end")
        if self._count is not None and self._count.broken:
            found.append("the count of the journal's records is damaged, some may be gone from its end")
        return ", and ".join(found)

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


class _Count:
    """How many records a journal held when its writer last wrote: in a file of its own, after each commit.

    It is not flushed: a kill of the process loses nothing of it, and after a power cut it may lag behind the journal,
    which is flushed before. It never runs ahead, so what it knows of was durable.

    Raises
    ------
    BadData
        When the journal it counts was emptied, or is gone and has left its log.
    """

    def __init__(self, journal: Path) -> None:
        self.path = count_path(journal)
        self.known, self.broken = _counted(self.path)
        self._file = -1
        log, empty = journal.with_name(f"{journal.name}-wal"), _size(journal) == 0
        if empty and _size(log):
            raise BadData(f"journal {journal} is empty or gone, {log.name} is not; restore it, or move both away")
        if empty and journal.exists() and (self.known or self.broken):
            had = _records(self.known) if self.known else "records"
            raise BadData(f"journal {journal} is empty and had {had}; restore it, or move it away")

    def open(self) -> None:
        """Be ready to write; only who holds the journal may."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._file = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise BadData(f"{self.path} cannot be opened: {error.strerror}; check the folder and its rights") from None

    def write(self, count: int) -> None:
        """Write the count down; what cannot be written is only known less of."""
        text = b"%020d" % count
        with contextlib.suppress(OSError):
            os.pwrite(self._file, b"%s %08x\n" % (text, _crc32(text)), 0)

    def close(self) -> None:
        """Let the file go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _counted(path: Path) -> tuple[int, bool]:
    """The count in a file, and whether what is there is no count."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return 0, False
    except OSError:
        return 0, True
    text, _, crc = raw.partition(b" ")
    if not raw or (len(text) == 20 and text.isdigit() and crc == b"%08x\n" % _crc32(text)):
        return int(text or b"0"), False
    return 0, True


def count_path(journal: Path) -> Path:
    """Where the count of a journal's records lies."""
    return journal.with_name(f"{journal.name}-count")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"


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
            found = _verify(db, str(head[0]))
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise Refused(f"journal {place} is held by a running engine; ask that engine, or stop it first") from None
        raise BadData(f"{place} cannot be read as a journal: {error}; check the file and its rights") from None
    except _BROKEN as error:
        raise BadData(f"{place} is not a journal: {_line(error)}; restore the file") from None
    gone = _counted(count_path(place))[0] - found.good
    if found.state != "sound" or gone <= 0:
        return found
    return msgspec.structs.replace(found, state="short", text=f"{found.text}, and {_records(gone)} after them gone")


def entries_of(path: Path | str) -> list[Entry]:
    """Read every record of a journal file whose chain is whole, without changing it.

    Raises
    ------
    BadData
        When it is not a journal, or is broken.
    Refused
        When a running engine holds it.
    """
    found = verify_file(path)
    if found.state not in ("sound", "short"):
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
    # A damaged page may simply seem to hold fewer records: the file's own bookkeeping tells.
    try:
        structure = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    except _BROKEN as error:
        return Verdict("broken_middle", 0, 0, prev_hash, f"unreadable after record 0 ({_line(error)})")
    if structure != "ok":
        return Verdict("broken_middle", 0, 0, prev_hash, f"the file's structure is broken ({_line(structure)})")
    return judge(_read(db, 0), prev_hash)


def judge(entries: Iterable[Entry], prev_hash: str) -> Verdict:
    """Check a chain of records from its first one on: each whole, each linked to the one before it."""
    good, last, total, broken, whole_after, reason = 0, prev_hash, 0, False, False, ""
    try:
        for entry in entries:
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
