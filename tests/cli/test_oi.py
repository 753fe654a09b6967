"""The verb oi: frames and one page, whole or not at all; one clear line for what is wrong."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest

from toolkit.cli.app import run
from toolkit.config import share

SAMPLE = str(share("data", "sample"))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("oi") / "out"
    assert run(["oi", SAMPLE, "--underlying", "NIFTY", "--out", str(out)]) == 0
    return out


def test_it_writes_frames_twice_and_one_page(done):
    names = {f"{n}.{k}" for n in ("levels", "shifts", "events", "quality") for k in ("parquet", "csv")}
    assert {p.name for p in done.iterdir()} == names | {"report.html"}
    levels = pl.read_parquet(done / "levels.parquet")
    assert levels.columns[:6] == ["ts", "underlying", "expiry", "spot", "forward", "ce_oi"]
    assert levels["expiry"].n_unique() == 1
    assert levels.height == pl.read_csv(done / "levels.csv").height
    shifts = pl.read_parquet(done / "shifts.parquet")
    assert shifts.columns[:11] == [
        "ts", "underlying", "expiry", "side", "w1", "signed", "directionality", "created", "destroyed", "moved_right",
        "moved_left",
    ]  # fmt: skip
    assert shifts.height == 2 * levels.height


def test_the_page_is_self_contained_and_says_that_the_data_is_generated(done):
    page = (done / "report.html").read_text(encoding="utf-8")
    assert "SYNTHETIC" in page
    assert "hypothesis" in page
    assert "default-src 'none'" in page
    assert re.search(r'<(script|link|img|iframe)[^>]*(src|href)="(?!data:)', page) is None
    for heading in ("Strike by time", "What changed, against the base", "Events", "Data quality"):
        assert heading in page


def test_it_is_deterministic(done, tmp_path):
    again = tmp_path / "again"
    assert run(["oi", SAMPLE, "--underlying", "NIFTY", "--out", str(again)]) == 0
    for path in sorted(done.iterdir()):
        if path.suffix == ".csv":
            assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_json_is_one_document(tmp_path, capsys):
    assert (
        run(["oi", SAMPLE, "--underlying", "SENSEX", "--expiry", "next", "--out", str(tmp_path / "o"), "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["underlying"] == "SENSEX"
    assert found["bursts"] > 100
    assert found["last"]["pcr"] > 0
    assert found["out"].endswith("/o")


@pytest.mark.parametrize("base", ["open", "prev-close", "15min", "expiry"])
def test_every_base(tmp_path, base):
    assert run(["oi", SAMPLE, "--underlying", "NIFTY", "--base", base, "--out", str(tmp_path / "o")]) == 0
    shifts = pl.read_parquet(tmp_path / "o" / "shifts.parquet")
    known = shifts["base_ts"].drop_nulls()
    assert (known <= shifts.filter(pl.col("base_ts").is_not_null())["ts"]).all()


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["nothing.parquet"], "no file nothing.parquet"),
        ([SAMPLE], "--underlying is needed: the files hold NIFTY, SENSEX"),
        ([SAMPLE, "--underlying", "NIFTI"], "did you mean 'NIFTY'"),
        ([SAMPLE, "--underlying", "NIFTY", "--base", "opn"], "did you mean 'open'"),
        ([SAMPLE, "--underlying", "NIFTY", "--expiry", "2030-01-01"], "no expiry 2030-01-01"),
        ([SAMPLE, "--underlying", "NIFTY", "--expiry", "tuesday"], "must be YYYY-MM-DD"),
        ([SAMPLE, "--underlying", "NIFTY", "--date", "2026-07-14"], "no chain rows of NIFTY on 2026-07-14"),
    ],
)
def test_one_line_for_what_is_wrong_and_nothing_half_written(argv, text, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["oi", *argv, "--out", str(out)]) == 1
    error = capsys.readouterr().err.strip()
    assert text in error
    assert "\n" not in error
    assert not out.exists()


def test_help_has_a_runnable_example(capsys):
    assert run(["oi", "--help"]) == 0
    assert "toolkit oi data/sample --underlying NIFTY" in capsys.readouterr().out


def test_the_recorded_day(shared, tmp_path, capsys):
    path = shared("data", "nse", "chain_NIFTY_20250827_20250829.parquet")
    assert run(["oi", str(path), "--underlying", "NIFTY", "--out", str(tmp_path / "o"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["expiries"] == ["2025-08-28", "2025-09-02"]
    assert found["last"]["max_pain"] == 24500.0
    assert (found["last"]["ce_max"], found["last"]["pe_max"]) == (25000.0, 23500.0)
    assert round(found["last"]["pcr"], 4) == 0.5543


def test_end_of_day_files_take_the_nearest_expiry_of_each_day(shared, tmp_path, capsys):
    path = shared("data", "nse", "fo_udiff_eod_20260101_20260213.parquet")
    assert run(["oi", str(path), "--underlying", "NIFTY", "--out", str(tmp_path / "o"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bursts"] == 30
    assert round(found["last"]["pcr"], 6) == 0.454107
    events = pl.read_parquet(tmp_path / "o" / "events.parquet")
    assert "DATA_RESTATED" in events["type"].to_list()
