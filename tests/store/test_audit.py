"""The audit log: whole, in order, harmless in a spreadsheet, never written over."""

from __future__ import annotations

import csv
import json

import pytest

from toolkit.errors import BadData, BadSetting
from toolkit.orders.effects import Record
from toolkit.store.audit import audit_row, write_audit
from toolkit.store.journal import Journal, entries_of

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


def test_another_ending_and_a_file_that_is_there_are_refused(path, tmp_path):
    with pytest.raises(BadSetting, match=r"\.jsonl or a \.csv file, was a\.xlsx"):
        write_audit(rows(path), tmp_path / "a.xlsx")
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(BadData, match="never written over"):
        write_audit(rows(path), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "mine"
