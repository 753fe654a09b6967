"""The rules file of a running account: read at the start, its locks shown in a file, an unlock asked for by one.

A lock is lifted by :func:`ask_unlock`: a file in the account's own folder, written by a person's
command that names the account. The engine's guard reads it within a second, and the changed
state of the guard is journaled as every other. There is no call in the API that does it.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from toolkit import tables
from toolkit.calendar import ist_date
from toolkit.config import home
from toolkit.errors import BadData
from toolkit.risk.account import Accounts, Across
from toolkit.risk.bands import position_row
from toolkit.risk.guards import CoreView, Facts, Guard, Trip, Watcher
from toolkit.risk.rulefile import RuleFile, Shut, stand
from toolkit.risk.rules import Lock, RuleBook
from toolkit.risk.settings import RiskSettings
from toolkit.types import Denial, ExecutionReport, Order, OrderRequest

__all__ = ["DeskRules", "ask_unlock", "guards_of", "locks_in", "rules_path", "standing"]

_ASK: Final = "unlock.json"
_ANSWER: Final = "unlocked.json"
_LOCKS: Final = "locks.json"
_FRESH_NS: Final = 60 * 10**9


Renew = Callable[[dt.date], RuleBook | Shut]


class _Ask(msgspec.Struct):
    lock_id: str
    account: str
    by: str
    ts_ns: int


class _Answer(msgspec.Struct):
    lock_id: str
    text: str
    lifted: bool


def rules_path(risk: RiskSettings, folder: Path | None = None) -> Path | None:
    """The configured rules file: the setting's, else ``rules.toml`` of the toolkit's home if there is one."""
    if risk.rules_file:
        return Path(risk.rules_file).expanduser()
    path = (folder or home()) / "rules.toml"
    return path if path.exists() else None


def standing(
    risk: RiskSettings, account: str, session: dt.date, path: Path | None = None
) -> tuple[RuleBook | Shut, RuleFile]:
    """What guards an account on a session's day, from the configured file or the standard rules.

    A file that is broken, missing or older than the session gives a guard that denies everything.
    """
    path = path or rules_path(risk)
    text, written = (None, None) if path is None else _read(path)
    row = position_row(tables.position_limits(), "index", "intraday", session)
    limits: Mapping[str, Mapping[str, Any]] = {}
    if row is not None:
        from toolkit.risk.units import Rupees

        limits = {"position_limit": {"net": Rupees(row.net_p), "gross": Rupees(row.gross_p)}}
    return stand(
        text,
        "" if path is None else str(path),
        account=account,
        session=session,
        file_date=written,
        breakers=tables.breakers(),
        standard_params=limits,
    )


def guards_of(
    risk: RiskSettings, account: str, session: dt.date, folder: Path, together: Accounts | None = None
) -> tuple[tuple[Guard, ...], RuleFile]:
    """The guards of an account's engine, with its locks and unlocks in the account's folder.

    ``together`` are the accounts of one process: with more than one, the file's ``[[across]]`` rules (else the
    standard ones) guard their sum in each of them.
    """
    rules, file = standing(risk, account, session)
    if isinstance(rules, Shut):
        return (rules,), file
    shared: tuple[Across, ...] = ()
    if together is not None and len(together.names) > 1:
        shared = (Across(together, RuleBook(file.across, account), account),)
    desk = DeskRules(
        rules, folder, lambda day: standing(risk, account, day)[0], also=tuple(one.rules for one in shared)
    )
    return (desk, *shared), file


class DeskRules(Watcher):
    """A rule book whose locks lie in a file, and which takes unlocks from one.

    Parameters
    ----------
    rules : RuleBook
        The rules of the account.
    folder : Path
        The account's own folder, where its journals are.
    renew : callable, optional
        ``renew(day)`` reads the file again for a new day: one that is older than that day shuts it.
    also : sequence of RuleBook
        Other rules of this account (over several accounts' sum), whose locks are shown and lifted here too.
    """

    name = "rules"

    def __init__(
        self, rules: RuleBook, folder: Path, renew: Renew | None = None, also: Sequence[RuleBook] = ()
    ) -> None:
        self.rules = rules
        self.also = tuple(also)
        self._acts: list[dict[str, Any]] = []
        self._folder = folder
        self._renew = renew
        self._day: dt.date | None = None
        self._shut: Shut | None = None
        self._shown: tuple[Lock, ...] | None = None

    def check(self, order: OrderRequest, core: CoreView, now_ns: int) -> tuple[Denial, ...]:
        """What the rules say."""
        if self._shut is not None:
            return self._shut.check(order, core, now_ns)
        return self.rules.check(order, core, now_ns)

    def on_report(self, report: ExecutionReport, order: Order, now_ns: int) -> None:
        """Tell the rules."""
        self.rules.on_report(report, order, now_ns)

    def watch(self, now_ns: int, facts: Facts) -> Trip | None:
        """Take an unlock that a person asked for, look, and show the locks in force."""
        self._take(now_ns)
        self._turn(ist_date(now_ns))
        trip = self.rules.watch(now_ns, facts)
        if self._shut is not None:
            trip = self._shut.watch(now_ns, facts)
        locks = tuple(lock for book in (self.rules, *self.also) for lock in book.locks(now_ns))
        if locks != self._shown:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(self._folder / _LOCKS, msgspec.json.encode(locks))
            self._shown = locks
        return trip

    def acts(self) -> tuple[dict[str, Any], ...]:
        """The unlocks that were asked for since the last call."""
        found, self._acts = tuple(self._acts), []
        return found

    def state(self) -> dict[str, Any]:
        """What the rules remember."""
        return self.rules.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state` gave."""
        self.rules.restore(state)

    def _turn(self, day: dt.date) -> None:
        """Read the file again when the day changed: what is locked stays locked."""
        before, self._day = self._day, day
        if before in (None, day) or self._renew is None:
            return
        made = self._renew(day)
        if isinstance(made, Shut):
            self._shut = made
            return
        self._shut = None
        made.restore(self.rules.state())
        self.rules = made

    def _take(self, now_ns: int) -> None:
        path = self._folder / _ASK
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return
        path.unlink(missing_ok=True)
        try:
            ask = msgspec.json.decode(raw, type=_Ask)
        except msgspec.DecodeError:
            return
        if abs(time.time_ns() - ask.ts_ns) > _FRESH_NS:
            return  # an old file never lifts a new lock
        book = next((b for b in self.also if any(x.lock_id == ask.lock_id for x in b.locks(now_ns))), self.rules)
        try:
            lock = book.unlock(ask.lock_id, account=ask.account, now_ns=now_ns)
            answer = _Answer(ask.lock_id, f"{lock.scope} is unlocked: {lock.text}", True)
        except BadData as error:
            answer = _Answer(ask.lock_id, str(error), False)
        said = {"act": "unlock", "lock_id": ask.lock_id[:80], "by": ask.by[:80], "lifted": answer.lifted}
        self._acts.append(said | {"text": answer.text[:300]})
        _write(self._folder / _ANSWER, msgspec.json.encode(answer))


def locks_in(folder: Path) -> tuple[Lock, ...]:
    """The locks that an account's engine last showed."""
    try:
        raw = (folder / _LOCKS).read_bytes()
        return msgspec.json.decode(raw, type=tuple[Lock, ...])
    except FileNotFoundError:
        return ()
    except msgspec.DecodeError:
        raise BadData(f"{folder / _LOCKS} is damaged; the engine writes it anew at its next change") from None


def ask_unlock(folder: Path, lock_id: str, account: str, by: str, *, wait_s: float = 5.0) -> str:
    """Ask the running engine of a folder to lift a lock, and wait for its answer.

    Raises
    ------
    BadData
        When the engine refuses, or none answers.
    """
    if not folder.is_dir():
        raise BadData(f"no account keeps its journals in {folder}; check --broker and --account")
    answered = folder / _ANSWER
    answered.unlink(missing_ok=True)
    _write(folder / _ASK, msgspec.json.encode(_Ask(lock_id, account, by, time.time_ns())))
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        if answered.exists():
            answer = msgspec.json.decode(answered.read_bytes(), type=_Answer)
            answered.unlink(missing_ok=True)
            if not answer.lifted:
                raise BadData(answer.text)
            return answer.text
        time.sleep(0.05)
    (folder / _ASK).unlink(missing_ok=True)
    raise BadData(f"no running engine of account '{account}' answered within {wait_s:g} s; nothing was unlocked")


def _read(path: Path) -> tuple[str | None, dt.date | None]:
    try:
        return path.read_text(encoding="utf-8"), ist_date(path.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError):
        return None, None


def _write(path: Path, raw: bytes) -> None:
    """Replace a file whole, for its owner alone."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(raw)
    fresh.replace(path)
