"""Where journals lie, and how a day opens on the one before."""

from __future__ import annotations

import datetime as dt
import sqlite3

import pytest

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.orders.core import Core
from toolkit.orders.effects import Record
from toolkit.store.daybook import journal_path, open_day
from toolkit.store.journal import GENESIS, Journal, count_path, entries_of, verify_file

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
    journal.append(Core("A").start_day(at(TUESDAY)))
    assert next(iter(journal.records())).prev_hash == verify_file(first).last_hash
    journal.close()
    journal, before = open_day(journal_path("kite", "A", TUESDAY, folder=tmp_path), "A", at(TUESDAY))
    assert before == []
    journal.close()


def test_a_day_whose_file_has_no_record_yet_still_starts_from_the_day_before(tmp_path):
    """Killed after the file was made and before its first record: nothing that was held may be forgotten."""
    first = journal_path("kite", "A", MONDAY, folder=tmp_path)
    journal, _ = open_day(first, "A", at(MONDAY))
    journal.append(Core("A").start_day(at(MONDAY)))
    journal.close()
    second = journal_path("kite", "A", TUESDAY, folder=tmp_path)
    with Journal(second, account="A", day="2026-07-14"):
        pass
    journal, before = open_day(second, "A", at(TUESDAY))
    assert [r.kind for r in before] == ["open"]
    assert (journal.last_seq, journal.last_hash) == (0, verify_file(first).last_hash)
    journal.close()
    with open_day(first, "A", at(MONDAY))[0] as full, pytest.raises(BadData, match="has 1 record and cannot"):
        full.follow(GENESIS)


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
    journal, _ = open_day(path, "A", at(MONDAY), simulated=True)
    assert (journal.last_seq, journal.damage) == (0, "")
    journal.close()


def open_monday(tmp_path, count=3):
    """A journal of some records, each its own commit, killed: its log is not folded in."""
    path = journal_path("kite", "A", MONDAY, folder=tmp_path)
    journal, _ = open_day(path, "A", at(MONDAY))
    for number in range(count):
        journal.append([Record(at(MONDAY) + number, "act", f"ID{number}", b"{}")])
    return path, journal


def test_records_that_are_gone_without_a_trace_are_told_until_a_record_follows(tmp_path):
    path, journal = open_monday(tmp_path)
    kept = {p: p.read_bytes() for p in path.parent.iterdir()}
    journal.append([Record(at(MONDAY) + 9, "act", "LAST", b"{}")])
    counted = count_path(path).read_bytes()
    journal.close()
    for place, raw in kept.items():
        place.write_bytes(raw)
    count_path(path).write_bytes(counted)
    seen = verify_file(path)
    assert (seen.state, seen.good, seen.text) == ("short", 3, "3 records, chain whole, and 1 record after them gone")
    assert [e.cl_ord_id for e in entries_of(path)] == ["ID0", "ID1", "ID2"]
    for _ in range(2):
        with open_day(path, "A", at(MONDAY))[0] as short:
            assert (short.last_seq, short.repaired, short.missing) == (3, 0, 1)
            assert short.damage == "1 record gone from the journal's end"
            short.append([])  # no record: whoever opens it next is told all the same
    with open_day(path, "A", at(MONDAY))[0] as short:
        short.append([Record(at(MONDAY) + 10, "alarm", "", b"{}")])
        assert short.verify().state == "sound"
    with open_day(path, "A", at(MONDAY))[0] as mended:
        assert (mended.last_seq, mended.damage) == (4, "")
    assert verify_file(path).state == "sound"


def test_what_the_day_before_lost_is_told_by_the_day_that_starts_from_it(tmp_path):
    path, journal = open_monday(tmp_path)
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM records WHERE seq = 3")
    db.close()
    second = journal_path("kite", "A", TUESDAY, folder=tmp_path)
    for _ in range(2):
        with open_day(second, "A", at(TUESDAY))[0] as journal:
            assert journal.damage == "1 record gone from the journal's end of 2026-07-13"
    with open_day(second, "A", at(TUESDAY))[0] as journal:
        journal.append([Record(at(TUESDAY), "open", "", b"{}")])
    with open_day(second, "A", at(TUESDAY))[0] as journal:
        assert journal.damage == ""


def test_a_cut_tail_is_not_counted_twice(tmp_path):
    path, journal = open_monday(tmp_path)
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE records SET crc = crc + 1 WHERE seq = 3")
    db.close()
    with open_day(path, "A", at(MONDAY))[0] as cut:
        assert (cut.repaired, cut.missing) == (1, 0)
        assert cut.damage == "1 record at the journal's end damaged and cut"


def test_a_damaged_count_is_told_and_an_absent_one_says_nothing(tmp_path):
    path, journal = open_monday(tmp_path)
    journal.close()
    count_path(path).write_bytes(b"9" + count_path(path).read_bytes()[1:])
    with open_day(path, "A", at(MONDAY))[0] as journal:
        assert journal.damage == "the count of the journal's records is damaged, some may be gone from its end"
        journal.append([Record(at(MONDAY) + 9, "alarm", "", b"{}")])
    with open_day(path, "A", at(MONDAY))[0] as journal:
        assert journal.damage == ""
    count_path(path).unlink()
    with open_day(path, "A", at(MONDAY))[0] as journal:
        assert journal.damage == ""


def test_an_emptied_journal_is_refused_and_one_moved_away_is_told(tmp_path):
    path, journal = open_monday(tmp_path)
    log = path.with_name(f"{path.name}-wal")
    written = log.read_bytes()
    journal.close()
    path.write_bytes(b"")
    with pytest.raises(BadData, match="is empty and had 3 records; restore it, or move it away"):
        open_day(path, "A", at(MONDAY))
    log.write_bytes(written)
    for place in (path, None):
        for simulated in (True, False):
            with pytest.raises(BadData, match=r"is empty or gone, 2026-07-13\.db-wal is not"):
                open_day(path, "A", at(MONDAY), simulated=simulated)
        if place is not None:
            place.unlink()
    assert log.read_bytes() == written, "what may still be read was touched"
    log.unlink()
    with open_day(path, "A", at(MONDAY))[0] as anew:
        assert (anew.last_seq, anew.damage) == (0, "3 records gone from the journal's end")
