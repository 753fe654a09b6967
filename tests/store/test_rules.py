"""The rules of a running account: the configured file, its locks in a file, an unlock by a person's command."""

from __future__ import annotations

import datetime as dt
import os
import threading

import pytest

from toolkit.calendar import ist_date, ist_ns
from toolkit.errors import BadData
from toolkit.risk.guards import Facts
from toolkit.risk.rulefile import Shut
from toolkit.risk.rules import RuleBook
from toolkit.risk.settings import RiskSettings
from toolkit.store.rules import DeskRules, ask_unlock, guards_of, locks_in, rules_path, standing
from toolkit.types import OrderRequest, Side

DAY = dt.date(2026, 2, 13)
TEN = ist_ns(DAY, dt.time(10))
LOST = Facts(realized_p=-10_000_000, unrealized_p=0, charges_p=0)


@pytest.fixture
def written(tmp_path):
    """A rules file of the session's day."""
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\nkind = "day_loss"\nmax_loss = "1000 Rs"\n', encoding="utf-8")
    os.utime(path, ns=(TEN, TEN))
    return path


def test_the_configured_file_comes_first_then_the_home_s(tmp_path, written):
    assert rules_path(RiskSettings(), tmp_path) == written
    assert rules_path(RiskSettings(), tmp_path / "none") is None
    assert rules_path(RiskSettings(rules_file=str(tmp_path / "other.toml")), tmp_path) == tmp_path / "other.toml"


def test_a_file_of_the_day_guards_and_one_of_yesterday_or_none_shuts(tmp_path, written):
    configured = RiskSettings(rules_file=str(written))
    assert isinstance(standing(configured, "AB1234", DAY)[0], RuleBook)
    shut, _ = standing(configured, "AB1234", DAY + dt.timedelta(days=1))
    assert isinstance(shut, Shut)
    assert "is good until 2026-02-13, older than the session of 2026-02-14" in shut.text
    written.unlink()
    assert "cannot be read" in standing(configured, "AB1234", DAY)[0].text
    written.write_bytes(b"\xff\xfe")
    assert isinstance(standing(configured, "AB1234", DAY)[0], Shut)


def test_the_position_limit_is_that_of_the_day():
    def net(day):
        guard, _ = standing(RiskSettings(), "AB1234", day, None)
        return next(r.params.net for r in guard.rules if r.kind.name == "position_limit")

    assert net(DAY) == 5000 * 10**9
    assert net(dt.date(2025, 6, 2)) == 1500 * 10**9


def running(written, folder):
    (guard,), _ = guards_of(RiskSettings(rules_file=str(written)), "AB1234", DAY, folder)
    assert isinstance(guard, DeskRules)
    return guard


def test_locks_are_shown_and_lifted_by_a_file_that_names_the_account(tmp_path, written):
    folder = tmp_path / "account"
    guard = running(written, folder)
    assert guard.watch(TEN, Facts()) is None
    assert locks_in(folder) == ()
    assert guard.watch(TEN, LOST).rule == "day_loss"
    (lock,) = [x for x in locks_in(folder) if x.rule == "day_loss"]
    assert (folder / "locks.json").stat().st_mode & 0o777 == 0o600
    assert answered(guard, folder, lock.lock_id, "WRONG").startswith("unlocking needs the account's own id")
    assert guard.watch(TEN, LOST) is not None
    assert answered(guard, folder, lock.lock_id, "AB1234").startswith("account is unlocked: the day lost")
    assert "day_loss" not in [x.rule for x in locks_in(folder)]
    assert "day_loss|account" in guard.state()["cleared"]


def answered(guard, folder, lock_id, account):
    """Ask from another thread while the engine's beat runs here."""
    got = []

    def ask():
        try:
            got.append(ask_unlock(folder, lock_id, account, "test"))
        except BadData as error:
            got.append(str(error))

    person = threading.Thread(target=ask)
    person.start()
    while person.is_alive():
        guard.watch(TEN, LOST)
        person.join(0.01)
    return got[0]


def test_an_old_or_broken_wish_lifts_nothing(tmp_path, written):
    folder = tmp_path / "account"
    guard = running(written, folder)
    guard.watch(TEN, LOST)
    for raw in (b"{", b'{"lock_id": "day_loss-1", "account": "AB1234", "by": "x", "ts_ns": 5}'):
        (folder / "unlock.json").write_bytes(raw)
        assert guard.watch(TEN, LOST).rule == "day_loss"
        assert not (folder / "unlock.json").exists()


def test_without_a_running_engine_nothing_is_unlocked(tmp_path):
    with pytest.raises(BadData, match="no running engine of account 'AB1234' answered"):
        ask_unlock(tmp_path, "day_loss-1", "AB1234", "test", wait_s=0.05)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadData, match="no account keeps its journals"):
        ask_unlock(tmp_path / "none", "day_loss-1", "AB1234", "test")


def test_what_is_remembered_goes_through_a_restart(tmp_path, written):
    first = running(written, tmp_path / "a")
    first.watch(TEN, LOST)
    second = running(written, tmp_path / "b")
    second.restore(first.state())
    assert {x.rule for x in second.rules.locks(TEN)} >= {"day_loss"}
    assert ist_date(TEN) == DAY


def test_damaged_locks_are_said(tmp_path):
    (tmp_path / "locks.json").write_bytes(b"{")
    with pytest.raises(BadData, match="is damaged"):
        locks_in(tmp_path)


def test_a_new_day_reads_the_file_again(tmp_path, written, afternoon_of):
    guard = running(written, tmp_path / "account")
    guard.watch(TEN, LOST)
    tomorrow = TEN + 86_400 * 10**9
    assert guard.watch(tomorrow, Facts()).rule == "rules_file", "the file is of yesterday"
    assert [d.rule for d in guard.check(afternoon_of, None, tomorrow)] == ["rules_file"]
    os.utime(written, ns=(tomorrow, tomorrow))
    assert guard.watch(tomorrow + 86_400 * 10**9, Facts()).rule == "rules_file"
    written.write_text("valid_until = 2026-12-31\n" + written.read_text(encoding="utf-8"), encoding="utf-8")
    assert guard.watch(tomorrow + 2 * 86_400 * 10**9, Facts()) is None


@pytest.fixture
def afternoon_of():
    return OrderRequest(cl_ord_id="A", symbol="X", side=Side.BUY, order_qty=1)
