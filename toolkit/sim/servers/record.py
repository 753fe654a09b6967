"""The simulated exchange's own record: append-only JSON lines, on disk before a reply leaves.

It is the judge of the reliability tests: what it holds has happened, what it lacks has not.
A line that a crash cut short never had its reply sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from toolkit.errors import BadData

__all__ = ["Record", "read_record"]

_SECRETS: Final = frozenset(
    {"access_token", "api_key", "checksum", "enctoken", "public_token", "refresh_token", "request_token"}
)


class Record:
    """One file of one run, which must not exist before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seq = 0
        self.kept: list[dict[str, Any]] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            raise BadData(f"{path} exists; a record is never continued, give another place") from None

    def append(self, rows: Iterable[Mapping[str, Any]], now: str, real_ns: int) -> None:
        """Write rows and force them to the disk, in one act."""
        lines = []
        for row in rows:
            self.seq += 1
            made = {"seq": self.seq, "now": now, "real_ns": real_ns, **row}
            self.kept.append(made)
            lines.append(msgspec.json.encode(made) + b"\n")
        if lines:
            view = memoryview(b"".join(lines))
            while view:
                view = view[os.write(self._fd, view) :]
            os.fdatasync(self._fd) if hasattr(os, "fdatasync") else os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def read_record(path: Path) -> list[dict[str, Any]]:
    """Read a record back; a last line without its end is what a crash cut short and is left out.

    Raises
    ------
    BadData
        When any other line is damaged or one is missing.
    """
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise BadData(f"{path} line {number} is damaged: {error}") from None
        if row.get("seq") != number:
            raise BadData(f"{path} line {number} has sequence {row.get('seq')}; lines are missing")
        rows.append(row)
    return rows


def redacted(form: Mapping[str, str]) -> dict[str, str]:
    """The fields of a call without its secrets."""
    return {name: "***" if name in _SECRETS else value for name, value in form.items()}
