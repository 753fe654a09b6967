import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from toolkit.batch.output import FILES, fresh_folder, write_csv, write_parquet
from toolkit.errors import BadData


def put(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def broken(out, error):
    with fresh_folder(out) as folder:
        put(folder, orders="half")
        raise error


def test_a_new_folder_appears_when_the_block_ends(tmp_path):
    out = tmp_path / "a" / "b" / "out"
    with fresh_folder(out) as folder:
        put(folder, orders="1")
        assert not out.exists()
        assert folder.parent == out.parent
    assert tree(tmp_path) == ["a", "a/b", "a/b/out", "a/b/out/orders.csv"]
    assert oct(out.stat().st_mode)[-3:] == "755"


def test_an_earlier_result_is_replaced_as_a_whole(tmp_path):
    out = tmp_path / "out"
    with fresh_folder(out) as folder:
        put(folder, orders="old", fills="old")
    with fresh_folder(out) as folder:
        put(folder, orders="new")
        assert (out / "orders.csv").read_text() == "old"
    assert tree(tmp_path) == ["out", "out/orders.csv"]
    assert (out / "orders.csv").read_text() == "new"


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "far", target_is_directory=True)
    with fresh_folder(tmp_path / "out") as folder:
        put(folder, orders="1")
    assert (tmp_path / "out").is_symlink()
    assert tree(tmp_path / "far") == ["orders.csv"]


def test_a_result_of_several_days_is_replaced_with_its_journals(tmp_path):
    out = tmp_path / "out"
    with fresh_folder(out) as folder:
        for name in ("journal-2026-07-27.db", "journal-2026-07-28.db", "journal.db"):
            (folder / name).write_text("old")
    with fresh_folder(out) as folder:
        (folder / "journal.db").write_text("new")
    assert tree(tmp_path) == ["out", "out/journal.db"]


@pytest.mark.parametrize("name", ["journal-mine.db", "journal-2026-07-27.txt", "orders.csv.bak", "notes"])
def test_a_name_that_only_resembles_ours_is_foreign(tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(BadData, match=f"holds other files \\({name}\\)"), fresh_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out" / name).read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_what_stood_before_stays_when_the_block_fails(tmp_path, error):
    out = tmp_path / "out"
    with fresh_folder(out) as folder:
        put(folder, orders="old")
    with pytest.raises(error):
        broken(out, error)
    assert tree(tmp_path) == ["out", "out/orders.csv"]
    assert (out / "orders.csv").read_text() == "old"


def test_nothing_is_left_when_the_first_run_fails(tmp_path):
    with pytest.raises(KeyboardInterrupt), fresh_folder(tmp_path / "deep" / "out"):
        raise KeyboardInterrupt
    assert tree(tmp_path) == []


def test_a_failing_move_brings_the_old_one_back(tmp_path, monkeypatch):
    out = tmp_path / "out"
    with fresh_folder(out) as folder:
        put(folder, orders="old")
    rename = type(out).rename

    def fail_for_the_new(self, target):
        if self.name.endswith(".partial"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(type(out), "rename", fail_for_the_new)
    with pytest.raises(OSError, match="No space left"), fresh_folder(out) as folder:
        put(folder, orders="new")
    assert tree(tmp_path) == ["out", "out/orders.csv"]
    assert (out / "orders.csv").read_text() == "old"


def test_a_folder_with_other_files_is_never_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadData, match=r"holds other files \(thesis.txt\)"), fresh_folder(tmp_path):
        raise AssertionError("the block must not run")
    assert tree(tmp_path) == ["thesis.txt"]


def test_a_journal_left_open_is_ours(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in (*FILES, "journal.db-wal", "journal.db-shm"):
        (out / name).write_text("x")
    with fresh_folder(out) as folder:
        put(folder, orders="new")
    assert tree(out) == ["orders.csv"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(BadData, match="is a file; --out must be a folder"), fresh_folder(tmp_path / "out"):
        raise AssertionError("the block must not run")


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit.batch.output.tempfile.mkdtemp", _denied)
    text = r"cannot write to .*out: Permission denied; choose another --out"
    with pytest.raises(BadData, match=text), fresh_folder(tmp_path / "out"):
        raise AssertionError("the block must not run")


def _denied(**_):
    raise PermissionError(13, "Permission denied")


def test_a_path_through_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadData, match="cannot write to"), fresh_folder(tmp_path / "file" / "out"):
        raise AssertionError("the block must not run")


def test_csv_is_exact_and_says_its_offset(tmp_path):
    when = (
        pl.Series("ts", [dt.datetime(2025, 8, 29, 3, 45)])
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone("Asia/Kolkata")
    )
    frame = pl.DataFrame({"ts": when, "price": [0.1 + 0.2], "qty": [2**53 + 1], "text": [None]})
    write_csv(frame, tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_bytes()
    assert text == b"ts,price,qty,text\n2025-08-29T09:15:00.000000+05:30,0.30000000000000004,9007199254740993,\n"


def test_parquet_reads_back_equal(tmp_path):
    frame = pl.DataFrame({"a": [1, None], "b": [0.5, float("nan")]})
    write_parquet(frame, tmp_path / "a.parquet")
    assert pl.read_parquet(tmp_path / "a.parquet").equals(frame)


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_full_disk_is_one_clear_line(write):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full to stand for a full disk")
    with pytest.raises(BadData, match=r"cannot write full: .*No space left.*free the disk") as caught:
        write(pl.DataFrame({"a": range(100_000)}), full)
    assert "\n" not in str(caught.value)
