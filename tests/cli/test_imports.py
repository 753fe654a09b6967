"""The verb ``import``: what it prints, what it answers, and one line for each bad input."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from toolkit.cli.app import run
from toolkit.store import session_files
from toolkit.store.session import open_session

BARS = "ts,open,high,low,close,volume,oi\n2025-09-01 09:15:00,95.1,97.0,94.2,96.4,10,20\n"
PAGE = (
    "CALLS,,PUTS\n"
    ",OI,CHNG IN OI,VOLUME,IV,LTP,CHNG,BID QTY,BID,ASK,ASK QTY,STRIKE,"
    "BID QTY,BID,ASK,ASK QTY,CHNG,LTP,IV,VOLUME,CHNG IN OI,OI,\n"
    ',434,-13,860,10.69,"1,011.00",-68.30,75,"1,012.00","1,016.25",150,"24,000.00",-,-,-,-,-,-,-,-,-,-,\n'
)


@pytest.fixture
def bhavcopy(shared) -> Path:
    return shared("data", "nse", "BhavCopy_NSE_FO_0_0_0_20250206_F_0000.csv.zip")


def bytes_of(path: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(path.rglob("*")) if p.is_file()}


def said(capsys, *argv: object) -> tuple[int, str, str]:
    code = run([str(a) for a in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def one_line(capsys, *argv: object) -> str:
    code, out, err = said(capsys, *argv)
    assert code == 1
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("toolkit: ")
    return err


def test_the_whole_market_file_prints_its_account(capsys, tmp_path, bhavcopy):
    code, out, err = said(capsys, "import", "udiff", bhavcopy, "--to", tmp_path / "store")
    assert (code, err) == (0, "")
    assert "35,984" in out
    assert str(tmp_path / "store") in out.replace("\n", "")
    before = bytes_of(tmp_path / "store")
    code, out, _ = said(capsys, "import", "udiff", bhavcopy, "--to", tmp_path / "store")
    assert code == 0
    assert "imported before" in out
    assert bytes_of(tmp_path / "store") == before


def test_json_is_one_document_with_every_row_accounted_for(capsys, tmp_path, bhavcopy):
    argv = ("import", "udiff", bhavcopy, "--to", tmp_path / "store", "--underlying", "NIFTY", "--json")
    code, out, err = said(capsys, *argv)
    found = json.loads(out)
    (file,) = found["files"]
    assert (code, err, found["to"]) == (0, "", str(tmp_path / "store"))
    assert file["rows_read"] == 35984 == file["rows_kept"] + sum(file["refused"].values())
    assert file["format"] == "udiff"
    assert file["already"] is False
    assert open_session(tmp_path / "store").underlyings() == ["NIFTY"]


@pytest.mark.parametrize(
    ("verb", "parts", "options", "rows"),
    [
        ("legacy", ("data", "nse", "fo_legacy_20190801_partial.csv"), ["--underlying", "BANKNIFTY"], 1000),
        ("nse-chain", ("data", "nse", "chain_BANKNIFTY_20250827.parquet"), [], 3031),
        ("participant", ("data", "nse", "fao_participant_oi_28072026.csv"), [], 5),
        ("index-close", ("data", "nse", "index_close_2025.csv"), [], 652),
        ("instruments", ("fixtures", "kite", "instruments_all.csv"), ["--on", "2017-12-15"], 99),
        (
            "candles",
            ("data", "nse", "nifty_1min_iv_greeks_span_sample.parquet"),
            ["--volume-in", "units", "--map", "ts=timestamp_ist", "--map", "expiry=actual_expiry_date"],
            499,
        ),
    ],
)
def test_every_verb_imports_its_real_file(capsys, tmp_path, shared, verb, parts, options, rows):
    code, out, err = said(capsys, "import", verb, shared(*parts), "--to", tmp_path / "store", *options, "--json")
    assert (code, err) == (0, "")
    (file,) = json.loads(out)["files"]
    assert file["rows_read"] == rows == file["rows_kept"] + sum(file["refused"].values())
    assert open_session(tmp_path / "store").meta["files"][0]["sha256"] == file["sha256"]


def test_a_page_download_with_its_time(capsys, tmp_path):
    path = tmp_path / "chain.csv"
    path.write_text(PAGE)
    argv = ("import", "nse-chain", path, "--to", tmp_path / "store", "--at", "2025-11-21T15:29", "--spot", "25000.5")
    assert said(capsys, *argv, "--underlying", "NIFTY", "--expiry", "2025-11-25")[0] == 0
    frame = open_session(tmp_path / "store").chain(at="2025-11-21 15:29")
    assert frame.select("oi", "spot").row(0) == (434 * 75, 25000.5)
    assert "give --underlying and --expiry" in one_line(capsys, *argv)


def test_candles_need_their_unit_and_take_a_contract(capsys, tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text(BARS)
    argv = ["import", "candles", path, "--to", tmp_path / "store", "--contract", "NIFTY 30SEP2025 24500 CE"]
    code, _, err = said(capsys, *argv)
    assert code == 2
    assert "--volume-in" in err
    assert said(capsys, *argv, "--volume-in", "contracts", "--interval", "300")[0] == 0
    row = open_session(tmp_path / "store").frame("chain").row(0, named=True)
    assert (row["volume"], row["oi"], str(row["ts"])) == (750, 1500, "2025-09-01 09:20:00+05:30")


def test_refused_rows_are_shown_with_their_reason(capsys, tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text(BARS + "2025-08-31 09:15:00,1,1,1,1,1,1\n")
    argv = ("import", "candles", path, "--to", tmp_path / "store", "--volume-in", "units", "--contract", "NIFTY")
    out = " ".join(said(capsys, *argv)[1].replace("│", " ").split())
    assert "refused 1: bar outside the sessions" in out


def bad_inputs(folder: Path, bhavcopy: Path) -> dict[str, tuple[list[object], str]]:
    raw = bhavcopy.read_bytes()
    name = bhavcopy.name
    text = zipfile.ZipFile(bhavcopy).read(name.removesuffix(".zip")).decode()
    made: dict[str, tuple[list[object], str]] = {}

    def put(case: str, body: bytes, file: str, match: str, verb: str = "udiff", *options: object) -> None:
        path = folder / case / file
        path.parent.mkdir()
        path.write_bytes(body)
        made[case] = ([verb, path, *options], match)

    def two() -> bytes:
        path = folder / "two.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.csv", text[:100])
            archive.writestr("b.csv", text[:100])
        return path.read_bytes()

    lines = text.splitlines()[:200]
    small = "\n".join(lines)
    made["missing"] = (["udiff", folder / "nothing.zip"], "no file")
    made["folder"] = (["udiff", folder], "is not a file")
    put("not-zip", b"hello", name, "is not a zip file")
    put("truncated", raw[: len(raw) // 2], name, "damaged or truncated zip")
    put("members", two(), name, "holds 2 files")
    put("html", b"<!DOCTYPE html><html></html>", "x.csv", "web page")
    put("empty", b"", "x.csv", "is empty")
    put("columns", small.replace("OpnIntrst", "OI", 1).encode(), "x.csv", "missing column OpnIntrst")
    put(
        "holiday",
        small.replace("2025-02-06,2025-02-06,FO", "2025-02-26,2025-02-26,FO").encode(),
        "x.csv",
        "2025-02-26 is no session",
    )
    put(
        "date",
        small.encode(),
        "BhavCopy_NSE_FO_0_0_0_20250207_F_0000.csv",
        "the name says 2025-02-07, the rows say 2025-02-06",
    )
    put("binary", bytes(range(256)), "x.csv", "is not text")
    put("other", b"a,b\n1,2\n", "x.csv", "no header of a known format")
    put("verb", small.encode(), "x.csv", "is a UDiFF bhavcopy, not a legacy", "legacy")
    put("symbol", small.encode(), "x.csv", "no symbol 'NIFTTY'", "udiff", "--underlying", "NIFTTY")
    put("map", BARS.encode(), "x.csv", "--map must read OURS=THEIRS", "candles", "--volume-in", "units", "--map", "ts")
    put("unit", BARS.encode(), "x.csv", "volume-in must be units or contracts", "candles", "--volume-in", "lots")
    put("at", PAGE.encode(), "x.csv", "--at must be a time", "nse-chain", "--at", "noon")
    put("on", b"tradingsymbol\n", "x.csv", "--on must be a date", "instruments", "--on", "today")
    return made


def test_bad_input_is_one_line_and_writes_nothing(capsys, tmp_path, bhavcopy):
    (tmp_path / "in").mkdir()
    cases = bad_inputs(tmp_path / "in", bhavcopy)
    assert len(cases) == 18
    for case, (argv, match) in cases.items():
        assert match in one_line(capsys, "import", *argv, "--to", tmp_path / "out" / "store"), case
        assert not (tmp_path / "out").exists(), case


def test_a_wrong_folder_is_one_line(capsys, tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text(BARS)
    argv = ("import", "candles", path, "--volume-in", "units", "--contract", "NIFTY", "--to")
    assert "is a file; name a folder" in one_line(capsys, *argv, path)
    assert "cannot write" in one_line(capsys, *argv, path / "store")
    assert "holds other files" in one_line(capsys, *argv, tmp_path)
    assert path.read_text() == BARS


def test_a_full_disk_is_one_line_and_the_store_stays(capsys, tmp_path, monkeypatch):
    path = tmp_path / "bars.csv"
    path.write_text(BARS)
    argv = ("import", "candles", path, "--volume-in", "units", "--contract", "NIFTY", "--to", tmp_path / "store")
    assert said(capsys, *argv)[0] == 0
    before = bytes_of(tmp_path / "store")
    path.write_text(BARS.replace("96.4", "96.5"))

    def full(where: Path, blob: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(session_files, "_write", full)
    assert "disk full while writing" in one_line(capsys, *argv)
    assert bytes_of(tmp_path / "store") == before


def test_ctrl_c_is_one_line_and_the_store_stays(capsys, tmp_path, monkeypatch):
    path = tmp_path / "bars.csv"
    path.write_text(BARS)

    def stopped(where: Path, blob: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session_files, "_write", stopped)
    argv = ("import", "candles", path, "--volume-in", "units", "--contract", "NIFTY", "--to", tmp_path / "store")
    code, out, err = said(capsys, *argv)
    assert (code, out) == (130, "")
    assert err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bars.csv"]


@pytest.mark.parametrize(
    "verb", ["udiff", "legacy", "nse-chain", "participant", "index-close", "instruments", "candles"]
)
def test_help_has_a_runnable_example(capsys, verb):
    code, out, _ = said(capsys, "import", verb, "--help")
    assert code == 0
    assert f"Example: toolkit import {verb}" in " ".join(out.split())


def test_a_missing_option_is_usage(capsys, tmp_path):
    assert said(capsys, "import", "udiff", tmp_path)[0] == 2
    assert said(capsys, "import")[0] == 2
