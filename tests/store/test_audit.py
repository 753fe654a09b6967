"""The audit log: whole, in order, harmless in a spreadsheet, never written over."""

from __future__ import annotations

import csv
import json

import pytest

from toolkit.errors import BadData, BadSetting
from toolkit.orders.effects import Record
from toolkit.store.audit import audit_row, verify_audit, write_audit
from toolkit.store.journal import Journal, entries_of, verify_file

TEXTS = ("plain", '=HYPERLINK("x")', "+1", "-1", "@a", "with, comma", 'with "quotes"')


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "journal.db"
    with Journal(made, account="A", day="2025-11-21") as journal:
        journal.append(
            [
                Record(ts_ns=n, kind="act", cl_ord_id=text, payload=json.dumps({"n": n}).encode())
                for n, text in enumerate(TEXTS)
            ]
        )
    return made


def rows(path):
    return [audit_row("j", entry) for entry in entries_of(path)]


def test_json_lines_hold_every_record_in_order(path, tmp_path):
    assert write_audit(rows(path), tmp_path / "a.jsonl") == len(TEXTS)
    found = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["seq"] for row in found] == list(range(1, len(TEXTS) + 1))
    assert [row["cl_ord_id"] for row in found] == list(TEXTS)
    assert [row["payload"] for row in found] == [{"n": n} for n in range(len(TEXTS))]


def test_a_table_has_no_cell_that_is_a_formula(path, tmp_path):
    write_audit(rows(path), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["cl_ord_id"].removeprefix("'") for row in found] == list(TEXTS)
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in found for cell in row.values())


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_it_is_verified_by_itself_with_the_journals_own_hash(path, tmp_path, ending):
    made = tmp_path / f"a.{ending}"
    write_audit([*rows(path), *(row | {"journal": "k"} for row in rows(path))], made)
    journal = verify_file(path)
    assert verify_audit(made) == {"j": journal, "k": journal}
    assert journal.state == "sound"


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
@pytest.mark.parametrize(
    "name", ["ts_ns", "kind", "cl_ord_id", "payload", "crc", "prev_hash", "hash", "version", "software"]
)
def test_whatever_is_changed_in_it_is_found(path, tmp_path, ending, name):
    made, held = tmp_path / f"a.{ending}", rows(path)
    other = {"payload": '{"n": 77}', "kind": "alarm", "cl_ord_id": "B", "software": "9"}.get(name)
    other = other or ("0" * 64 if "hash" in name else held[3][name] + 1)
    write_audit([*held[:3], held[3] | {name: other}, *held[4:]], made)
    found = verify_audit(made)["j"]
    assert (found.state, found.good) == ("broken_middle", 3)


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_record_that_is_gone_or_moved_breaks_its_chain(path, tmp_path, ending):
    held = rows(path)
    for n, some in enumerate(([*held[:2], *held[3:]], [held[1], held[0], *held[2:]], held[1:])):
        made = tmp_path / f"{n}.{ending}"
        write_audit(some, made)
        assert verify_audit(made)["j"].state == "broken_middle"


def test_what_is_no_audit_log_is_refused_in_one_line(tmp_path):
    with pytest.raises(BadSetting, match=r"\.jsonl or a \.csv file, was a\.db"):
        verify_audit(tmp_path / "a.db")
    with pytest.raises(BadData, match="cannot be read"):
        verify_audit(tmp_path / "a.csv")
    for ending, text in (
        ("jsonl", "{}\n"),
        ("jsonl", "nonsense\n"),
        ("csv", "journal,seq\nj,1\n"),
        ("csv", "a,b\n1,2,3\n"),
    ):
        (tmp_path / f"b.{ending}").write_text(text)
        with pytest.raises(BadData, match="is not an audit log"):
            verify_audit(tmp_path / f"b.{ending}")


def test_another_ending_and_a_file_that_is_there_are_refused(path, tmp_path):
    with pytest.raises(BadSetting, match=r"\.jsonl or a \.csv file, was a\.xlsx"):
        write_audit(rows(path), tmp_path / "a.xlsx")
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(BadData, match="never written over"):
        write_audit(rows(path), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "mine"
