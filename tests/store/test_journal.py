"""The journal: durable, chained, one writer; damage is found and its place is known."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData, Refused
from toolkit.orders.effects import Record
from toolkit.store.journal import GENESIS, VERSION, Journal, verify_file

DAY = "2025-08-29"


def records(count, start=0):
    return [Record(1000 + n, "order", f"ID{n}", b'{"n":%d}' % n) for n in range(start, start + count)]


def open_journal(path, **more):
    return Journal(path, account="PAPER", day=DAY, **more)


@pytest.fixture
def filled(tmp_path):
    path = tmp_path / "journal.db"
    with open_journal(path) as journal:
        journal.append(records(5))
        journal.append(records(3, 5))
    return path


def change(path, sql, *values):
    with sqlite3.connect(path) as db:
        db.execute(sql, values)
    db.close()


def test_records_come_back_as_they_were(filled):
    with open_journal(filled) as journal:
        assert [e.record for e in journal.records()] == records(8)
        assert [e.seq for e in journal.records(after=6)] == [7, 8]
        assert journal.last_seq == 8
        assert journal.verify().state == "sound"


def test_records_are_read_in_pages(filled):
    with open_journal(filled) as journal:
        assert [e.seq for e in journal.records(2, 3)] == [3, 4, 5]
        assert [e.seq for e in journal.records(6, 100)] == [7, 8]
        assert list(journal.records(8)) == []


def test_the_chain_links_every_record(filled):
    with open_journal(filled) as journal:
        entries = list(journal.records())
    assert entries[0].prev_hash == GENESIS
    assert [e.prev_hash for e in entries[1:]] == [e.hash for e in entries[:-1]]
    assert {e.version for e in entries} == {VERSION}


def test_content_is_the_same_in_every_run(tmp_path):
    hashes = []
    for name in ("a.db", "b.db"):
        with open_journal(tmp_path / name) as journal:
            journal.append(records(4))
            hashes.append(journal.last_hash)
    assert hashes[0] == hashes[1]


def test_it_is_wal_and_fully_synchronous(tmp_path):
    with open_journal(tmp_path / "j.db") as journal:
        assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_the_next_day_carries_the_last_hash(filled, tmp_path):
    with open_journal(filled) as journal:
        last = journal.last_hash
    with Journal(tmp_path / "next.db", account="PAPER", day="2025-09-01", prev_hash=last) as following:
        following.append(records(1))
        assert next(iter(following.records())).prev_hash == last
        assert following.verify().state == "sound"


def test_a_burst_is_one_transaction(tmp_path):
    with open_journal(tmp_path / "j.db") as journal:
        journal.append(records(2))
        broken = [*records(2, 2), Record("not a time", "order", "X", b"")]
        with pytest.raises(BadData, match="could not be written"):
            journal.append(broken)
        assert journal.last_seq == 2
        assert len(list(journal.records())) == 2
        assert journal.append(records(1, 2)) == 3
        assert journal.verify().state == "sound"


def test_an_empty_burst_changes_nothing(tmp_path):
    with open_journal(tmp_path / "j.db") as journal:
        assert journal.append([]) == 0


def test_a_full_disk_stops_orders_in_one_line_and_clears(tmp_path):
    with open_journal(tmp_path / "j.db") as journal:
        journal.append(records(1))
        pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
        journal._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(BadData, match="no order leaves, free the disk") as caught:
            journal.append([Record(1, "order", "BIG", b"x" * 100_000)])
        assert "\n" not in str(caught.value)
        journal._db.execute("PRAGMA max_page_count=100000")
        assert journal.append([Record(1, "order", "BIG", b"x" * 100_000)]) == 2


def test_a_second_writer_is_refused(filled):
    with open_journal(filled), pytest.raises(Refused, match="held by another writer"):
        open_journal(filled)


def test_the_lock_dies_with_its_process(tmp_path):
    path = tmp_path / "j.db"
    code = (
        "import os, sys; from toolkit.store.journal import Journal; from toolkit.orders.effects import Record\n"
        f"j = Journal(sys.argv[1], account='PAPER', day='{DAY}')\n"
        "j.append([Record(1, 'order', 'A', b'x')]); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, timeout=60)
    assert done.returncode == -9, done.stderr
    with open_journal(path) as journal:
        assert [e.cl_ord_id for e in journal.records()] == ["A"]


@pytest.mark.parametrize(
    ("account", "day", "words"),
    [("OTHER", DAY, "is of PAPER on"), ("PAPER", "2025-09-01", "was asked for PAPER on 2025-09-01")],
)
def test_another_account_or_day_is_refused(filled, account, day, words):
    with pytest.raises(BadData, match=words):
        Journal(filled, account=account, day=day)


def test_a_newer_version_is_refused(filled):
    change(filled, "UPDATE head SET version = ?", VERSION + 1)
    with pytest.raises(BadData, match="update it"):
        open_journal(filled)


def test_not_a_journal_is_refused(tmp_path):
    path = tmp_path / "j.db"
    path.write_bytes(b"hello " * 1000)
    with pytest.raises(BadData, match="is not a journal"):
        open_journal(path)
    assert path.read_bytes() == b"hello " * 1000
    with pytest.raises(BadData, match="is not a journal"):
        verify_file(path)


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(BadData, match="cannot be opened"):
        open_journal(tmp_path / "no" / "j.db")
    with pytest.raises(BadData, match="no journal at"):
        verify_file(tmp_path / "none.db")
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(BadData, match="cannot be read as a journal: no such table"):
        verify_file(tmp_path / "other.db")


TAMPER = {
    "payload": ("UPDATE records SET payload = CAST('x' AS BLOB) WHERE seq = ?", 1),
    "time": ("UPDATE records SET ts_ns = ts_ns + 1 WHERE seq = ?", 1),
    "kind": ("UPDATE records SET kind = 'cancel' WHERE seq = ?", 1),
    "crc": ("UPDATE records SET crc = crc + 1 WHERE seq = ?", 1),
    "hash": ("UPDATE records SET hash = prev_hash WHERE seq = ?", 1),
    "removed": ("DELETE FROM records WHERE seq = ?", 0),
}


@pytest.mark.parametrize("what", [k for k in TAMPER if k != "removed"])
def test_a_broken_tail_is_cut_and_reported(filled, what):
    change(filled, TAMPER[what][0], 8)
    verdict = verify_file(filled)
    assert (verdict.state, verdict.good, verdict.total) == ("broken_tail", 7, 8)
    with open_journal(filled) as journal:
        assert journal.repaired == 1
        assert journal.last_seq == 7
        journal.append(records(1, 7))
        assert journal.verify().state == "sound"


def test_that_a_tail_was_cut_is_told_to_everybody_who_opens_the_file_until_a_record_follows(filled):
    change(filled, TAMPER["crc"][0], 8)
    for _ in range(2):  # the first only looks, or is killed before it can tell
        with open_journal(filled) as journal:
            assert journal.repaired == 1
    with open_journal(filled) as journal:
        journal.append(records(1, 7))
    with open_journal(filled) as journal:
        assert journal.repaired == 0


@pytest.mark.parametrize("what", list(TAMPER))
def test_a_broken_middle_stops_and_nothing_is_cut(filled, what):
    change(filled, TAMPER[what][0], 4)
    verdict = verify_file(filled)
    assert (verdict.state, verdict.good) == ("broken_middle", 3)
    with pytest.raises(BadData, match="whole records follow it; no trading from it"):
        open_journal(filled)
    assert verify_file(filled).total == 8 - (what == "removed")


def test_a_rewritten_record_with_a_fresh_hash_breaks_the_chain(filled, tmp_path):
    """Someone who recomputes one record's CRC and hash cannot repair the links that follow."""
    forged = tmp_path / "forged.db"
    with open_journal(forged) as journal:
        journal.append([*records(3), Record(1003, "order", "ID3", b'{"n":999}'), *records(4, 4)])
        wrong = list(journal.records())[3]
    change(filled, "UPDATE records SET payload=?, crc=?, hash=? WHERE seq=4", wrong.payload, wrong.crc, wrong.hash)
    verdict = verify_file(filled)
    assert (verdict.state, verdict.good) == ("broken_middle", 4)


def test_records_of_another_day_do_not_fit(filled, tmp_path):
    other = tmp_path / "other.db"
    with open_journal(other, prev_hash="f" * 64) as journal:
        journal.append(records(8))
    shutil.copy(other, filled)
    change(filled, "UPDATE head SET prev_hash = ?", GENESIS)
    assert verify_file(filled).state == "broken_middle"


def test_verify_while_an_engine_runs_says_so(filled):
    with open_journal(filled), pytest.raises(Refused, match="held by a running engine"):
        verify_file(filled)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_in_the_file_is_never_silent(filled, tmp_path, data):
    """Flip bits or cut the file: it opens with every record that is left whole, or it refuses in one line."""
    path = tmp_path / "damaged.db"
    raw = bytearray(filled.read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    for _ in range(data.draw(st.integers(0, 16))):
        if raw:
            raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)
    for extra in ("-wal", "-shm"):
        path.with_name(path.name + extra).unlink(missing_ok=True)
    kept, refused = read_or_refuse(path)
    assert "\n" not in refused
    assert refused or kept == records(8)[: len(kept)]
    path.unlink(missing_ok=True)


def read_or_refuse(path):
    try:
        with open_journal(path) as journal:
            assert journal.verify().state == "sound"
            return [e.record for e in journal.records()], ""
    except (BadData, Refused) as error:
        return [], str(error)
