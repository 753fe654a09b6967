"""Where an account's journals lie, and the opening of a day: the day before is closed into it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final

from toolkit.config import home
from toolkit.orders.effects import Record
from toolkit.store.journal import Journal, count_path

__all__ = ["journal_path", "open_day"]

_AHEAD_NS: Final = 2 * 10**9


def journal_path(broker: str, account: str, day: dt.date, realm: str = "", folder: Path | None = None) -> Path:
    """The journal of one account and day under the toolkit's home."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{broker}-{account}-{realm}".rstrip("-"))
    return (folder or home() / "accounts") / safe[:100] / f"{day.isoformat()}.db"


def open_day(path: Path, account: str, now_ns: int, *, simulated: bool = False) -> tuple[Journal, list[Record]]:
    """Open the day's journal, and read the records of the day before when it is new.

    Parameters
    ----------
    path : Path
        What :func:`journal_path` gave.
    account : str
    now_ns : int
        Now: a simulated day whose journal lies ahead of it was started anew, and is put aside.
    simulated : bool
        Whether the broker is a simulated one or paper.

    Returns
    -------
    journal : Journal
        Open, its damaged tail cut; ``journal.damage`` says what it lost.
    before : list of Record
        The day before's, when the journal has no records and there was one.

    Raises
    ------
    BadData
        When a journal is damaged before its tail or emptied, or is another account's or day's.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if simulated:
        _set_aside(path, account, now_ns)
    earlier = sorted(p for p in path.parent.glob("????-??-??.db") if p.name < path.name)
    journal = Journal(path, account=account, day=path.stem, counted=True)
    if journal.last_seq or not earlier:
        return journal, []
    try:
        with Journal(earlier[-1], account=account, day=earlier[-1].stem, counted=True) as old:
            records = [entry.record for entry in old.records()]
            last = old.last_hash
        journal.follow(last)
        if old.damage:
            own = f", and {journal.damage}" if journal.damage else ""
            journal.damage = f"{old.damage} of {old.day}{own}"
    except BaseException:
        journal.close()
        raise
    return journal, records


def _set_aside(path: Path, account: str, now_ns: int) -> None:
    if not path.exists():
        return
    with Journal(path, account=account, day=path.stem, counted=True) as journal:
        newest = max((entry.ts_ns for entry in journal.records()), default=0)
    if newest > now_ns + _AHEAD_NS:
        number = len(list(path.parent.glob(f"{path.stem}.lived-*"))) + 1
        path.rename(path.with_name(f"{path.stem}.lived-{number}"))
        count_path(path).unlink(missing_ok=True)
