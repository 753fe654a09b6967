"""The audit log as a file for others: every record of the journals, as JSON lines or as a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from toolkit.errors import BadData, BadSetting
from toolkit.store.journal import Entry

__all__ = ["COLUMNS", "audit_row", "neutral", "write_audit"]

COLUMNS: Final = ("journal", "seq", "ts_ns", "kind", "cl_ord_id", "payload")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def audit_row(journal: str, entry: Entry) -> dict[str, Any]:
    """One record in the columns of the audit log."""
    payload = json.loads(entry.payload)
    head = {"journal": journal, "seq": entry.seq, "ts_ns": entry.ts_ns, "kind": entry.kind}
    return {**head, "cl_ord_id": entry.cl_ord_id, "payload": payload}


def neutral(text: str) -> str:
    """Text that a spreadsheet does not take for a formula.

    >>> neutral("=1+1"), neutral("BUY 65")
    ("'=1+1", 'BUY 65')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_audit(rows: Iterable[Mapping[str, Any]], path: Path | str) -> int:
    """Write rows of :data:`COLUMNS`: ``.jsonl`` is one JSON object a line, ``.csv`` a table with harmless cells.

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
                    file.write(json.dumps({name: row[name] for name in COLUMNS}, sort_keys=False) + "\n")
                    continue
                cells = (row[n] if n != "payload" else json.dumps(row[n]) for n in COLUMNS)
                table.writerow([neutral(c) if isinstance(c, str) else c for c in cells])
    except FileExistsError:
        raise BadData(f"{place} is there already; an audit log is never written over, name a new file") from None
    except OSError as error:
        raise BadData(f"{place} cannot be written: {error.strerror}") from None
    return len(held)
