"""Where journals lie, and how a day opens on the one before."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.orders.core import Core
from toolkit.store.daybook import journal_path, open_day
from toolkit.store.journal import GENESIS, verify_file

MONDAY, TUESDAY = dt.date(2026, 7, 13), dt.date(2026, 7, 14)


def at(day):
    return ist_ns(day, dt.time(10))


def test_each_broker_account_realm_and_day_has_its_own_place(tmp_path):
    assert journal_path("kite", "AB1234", MONDAY, folder=tmp_path) == tmp_path / "kite-AB1234" / "2026-07-13.db"
    odd = journal_path("kite", "../../x", MONDAY, "127.0.0.1:1", tmp_path)
    assert odd.resolve().parent.parent == tmp_path.resolve()


def test_a_new_day_is_chained_to_the_last_one_there_is(tmp_path):
    first = journal_path("kite", "A", MONDAY, folder=tmp_path)
    journal, before = open_day(first, "A", at(MONDAY))
    assert (before, journal.last_hash) == ([], GENESIS)
    journal.append(Core("A").start_day(at(MONDAY)))
    journal.close()
    journal, before = open_day(journal_path("kite", "A", TUESDAY, folder=tmp_path), "A", at(TUESDAY))
    assert [r.kind for r in before] == ["open"]
    assert journal.last_hash == verify_file(first).last_hash
    journal.close()
    journal, before = open_day(journal_path("kite", "A", TUESDAY, folder=tmp_path), "A", at(TUESDAY))
    assert before == []
    journal.close()


def test_yesterdays_file_under_todays_name_is_refused(tmp_path):
    """R11: the wrong day swapped in."""
    first = journal_path("kite", "A", MONDAY, folder=tmp_path)
    journal, _ = open_day(first, "A", at(MONDAY))
    journal.close()
    second = journal_path("kite", "A", TUESDAY, folder=tmp_path)
    first.rename(second)
    with pytest.raises(BadData, match="is of A on 2026-07-13, was asked for A on 2026-07-14"):
        open_day(second, "A", at(TUESDAY))


def test_another_accounts_file_is_refused(tmp_path):
    path = journal_path("kite", "A", MONDAY, folder=tmp_path)
    open_day(path, "A", at(MONDAY))[0].close()
    with pytest.raises(BadData, match="is of A on 2026-07-13, was asked for B"):
        open_day(path, "B", at(MONDAY))


def test_a_simulated_day_started_anew_is_put_aside_and_a_real_one_never(tmp_path):
    path = journal_path("kite", "A", MONDAY, folder=tmp_path)
    journal, _ = open_day(path, "A", at(MONDAY))
    journal.append(Core("A").start_day(at(MONDAY) + 600 * 10**9))
    journal.close()
    journal, _ = open_day(path, "A", at(MONDAY))
    assert journal.last_seq == 1
    journal.close()
    journal, _ = open_day(path, "A", at(MONDAY), simulated=True)
    assert journal.last_seq == 0
    journal.close()
    assert [p.name for p in path.parent.glob("*.lived-*")] == ["2026-07-13.lived-1"]
