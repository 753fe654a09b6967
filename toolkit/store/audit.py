"""The audit log as a file for others: every record of the journals, as JSON lines or as a table.

A record carries what its chain is checked by, so that the file is verified by itself: the same CRC and the same hash
over the same bytes as in the journal. What it cannot show is that its own end was cut off: compare its last hash with
the journal's.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from toolkit.errors import BadData, BadSetting
from toolkit.store.journal import Entry, Verdict, judge

__all__ = ["COLUMNS", "audit_row", "neutral", "verify_audit", "write_audit"]

_HEAD: Final = ("journal", "seq", "ts_ns", "kind", "cl_ord_id")
_CHAIN: Final = ("crc", "prev_hash", "hash", "version", "software")
COLUMNS: Final = (*_HEAD, "payload", *_CHAIN)
_QUOTED: Final = ("=", "+", "-", "@", "\t", "\r", "'")


class _Line(msgspec.Struct):
    """One line of an audit log, its payload as the bytes that the hash covers."""

    journal: str
    seq: int
    ts_ns: int
    kind: str
    cl_ord_id: str
    payload: msgspec.Raw
    crc: int
    prev_hash: str
    hash: str
    version: int
    software: str


def audit_row(journal: str, entry: Entry) -> dict[str, Any]:
    """One record in the columns of the audit log; ``payload`` is the JSON text as it lies in the journal."""
    named = {name: getattr(entry, name) for name in (*_HEAD[1:], *_CHAIN)}
    return {"journal": journal, **named, "payload": entry.payload.decode("utf-8", "replace")}


def neutral(text: str) -> str:
    """Text that a spreadsheet does not take for a formula; one leading apostrophe less is what it was.

    >>> neutral("=1+1"), neutral("BUY 65")
    ("'=1+1", 'BUY 65')
    """
    return f"'{text}" if text.startswith(_QUOTED) else text


def write_audit(rows: Iterable[Mapping[str, Any]], path: Path | str) -> int:
    """Write rows of :func:`audit_row`: ``.jsonl`` is one JSON object a line, ``.csv`` a table with harmless cells.

    Returns
    -------
    int
        How many rows were written.

    Raises
    ------
    BadSetting
        For another ending.
    BadData
        When the file is there already, or cannot be written.
    """
    place = Path(path)
    if place.suffix not in (".jsonl", ".csv"):
        raise BadSetting(f"an audit log is a .jsonl or a .csv file, was {place.name}")
    held = list(rows)  # a fault while reading leaves no half-written file
    try:
        with place.open("x", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n") if place.suffix == ".csv" else None
            if table is not None:
                table.writerow(COLUMNS)
            for row in held:
                if table is None:
                    cells = {n: row[n] if n == "payload" else json.dumps(row[n]) for n in COLUMNS}
                    file.write("{" + ", ".join(f'"{name}": {cell}' for name, cell in cells.items()) + "}\n")
                    continue
                given = (row[name] for name in COLUMNS)
                table.writerow([neutral(cell) if isinstance(cell, str) else cell for cell in given])
    except FileExistsError:
        raise BadData(f"{place} is there already; an audit log is never written over, name a new file") from None
    except OSError as error:
        raise BadData(f"{place} cannot be written: {error.strerror}") from None
    return len(held)


def verify_audit(path: Path | str) -> dict[str, Verdict]:
    """Check an audit log by itself: every record whole, every link in place, journal by journal.

    Raises
    ------
    BadSetting
        For another ending.
    BadData
        When it cannot be read, or has not the columns of an audit log.
    """
    place = Path(path)
    if place.suffix not in (".jsonl", ".csv"):
        raise BadSetting(f"an audit log is a .jsonl or a .csv file, was {place.name}")
    found: dict[str, list[Entry]] = {}
    try:
        with place.open(encoding="utf-8", newline="") as file:
            for line in _lines(file) if place.suffix == ".jsonl" else _cells(file):
                names = (*_HEAD[1:], *_CHAIN)
                entry = Entry(**{name: getattr(line, name) for name in names}, payload=bytes(line.payload))
                found.setdefault(line.journal, []).append(entry)
    except OSError as error:
        raise BadData(f"{place} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{place} is not an audit log: {' '.join(str(error).split())}") from None
    return {name: judge(entries, entries[0].prev_hash) for name, entries in found.items()}


def _lines(file: Iterable[str]) -> Iterator[_Line]:
    decode = msgspec.json.Decoder(_Line).decode
    return (decode(line) for line in file)


def _cells(file: Iterable[str]) -> Iterator[_Line]:
    for row in csv.DictReader(file):
        plain = {name: (cell or "")[1:] if (cell or "").startswith("'") else cell for name, cell in row.items() if name}
        payload = msgspec.Raw((plain.pop("payload", None) or "").encode())
        yield msgspec.convert({**plain, "payload": payload}, _Line, strict=False)
