import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import toolkit
from toolkit.batch.output import FILES
from toolkit.cli.app import run
from toolkit.config import share

ROOT = Path(toolkit.__file__).parents[1]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """One replay of the sample by the command, with what it printed."""
    folder = tmp_path_factory.mktemp("replay") / "day"
    command = [sys.executable, "-m", "toolkit", "replay", str(share("data", "sample"))]
    command += ["--underlying", "NIFTY", "--strategy", "oi-wall", "--param", "lots=1", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return folder, done


def lines(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line]


def test_every_file_is_written_and_readable(out):
    folder, done = out
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    orders = pl.read_csv(folder / "orders.csv")
    fills = pl.read_csv(folder / "fills.csv")
    assert orders.height >= 4
    assert set(fills["cl_ord_id"]) <= set(orders["cl_ord_id"])
    assert (orders["order_qty"] == 65).all()
    assert pl.read_csv(folder / "pnl.csv").height == 314
    assert pl.read_parquet(folder / "oi.parquet").height == 4 * 314
    page = (folder / "report.html").read_text()
    assert "SYNTHETIC" in page
    assert done.stderr == ""


def test_the_table_says_the_result_and_where_it_is(out):
    folder, done = out
    assert "net P&L after charges" in done.stdout
    assert "max drawdown" in done.stdout
    assert "data: gap 1" in done.stdout
    assert done.stdout.rstrip().endswith(f"report: {folder / 'report.html'}")


def test_json_is_one_document(tmp_path, capsys):
    session = str(share("data", "sample"))
    code = run(
        [
            "replay",
            session,
            "--underlying",
            "SENSEX",
            "--strategy",
            "iron-condor",
            "--json",
            "--out",
            str(tmp_path / "o"),
        ]
    )
    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert found["underlying"] == "SENSEX"
    assert found["synthetic"] is True
    assert sorted(found["files"]) == sorted(FILES)
    assert all(Path(path).is_file() for path in found["files"].values())
    assert found["net"] == pytest.approx(found["gross"] - found["charges"])


def test_a_missing_session_is_one_line(capsys):
    assert run(["replay", "nothing.parquet"]) == 1
    assert lines(capsys) == [
        "toolkit: no session nothing.parquet; give a session store, or an official or recorded file"
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--param", "stopp=1"], "no parameter 'stopp'; did you mean 'stop'?"),
        (["--param", "stop"], "--param must be key=value, was 'stop'"),
        (["--param", "stop=1", "--param", "stop=2"], "--param stop is given twice"),
        (["--strategy", "oi-wal"], "did you mean 'oi-wall'?"),
        (["--underlying", "NIFTI"], "did you mean 'NIFTY'?"),
        ([], "holds NIFTY, SENSEX; name one"),
        (["--underlying", "NIFTY", "--date", "2026-07-12"], "is no trading day"),
        (["--underlying", "NIFTY", "--latency-ms", "-5"], "latency must lie in"),
    ],
)
def test_wrong_requests_are_one_line_and_write_nothing(tmp_path, capsys, options, text):
    assert run(["replay", str(share("data", "sample")), "--out", str(tmp_path / "deep" / "out"), *options]) == 1
    (line,) = lines(capsys)
    assert text in line
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_told_before_any_work(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr("toolkit.store.session.open_session", _never)
    assert run(["replay", str(share("data", "sample")), "--out", str(tmp_path / "file" / "out")]) == 1
    (line,) = lines(capsys)
    assert line.startswith("toolkit: cannot write to")


def _never(path):
    raise AssertionError("the session must not be read")


def test_a_folder_of_other_files_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert run(["replay", str(share("data", "sample")), "--underlying", "NIFTY", "--out", str(tmp_path)]) == 1
    assert "holds other files (thesis.txt)" in lines(capsys)[0]
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


STOP = """
import os, signal, sys
from toolkit.batch import replay as module
from toolkit.cli import main
real = module.frames.pnl_frame
def strike(rows):
    os.kill(os.getpid(), signal.SIGINT)
    return real(rows)
module.frames.pnl_frame = strike
sys.argv = ["toolkit", *sys.argv[1:]]
main()
"""


def test_ctrl_c_keeps_the_earlier_result(tmp_path, out):
    folder, _ = out
    target = tmp_path / "day"
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    command = [sys.executable, "-c", STOP, "replay", str(share("data", "sample")), "--underlying", "NIFTY"]
    done = subprocess.run([*command, "--out", str(target)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 130
    assert done.stderr.strip().count("\n") == 0
    assert "Ctrl-C" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["day"]
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    assert signal.SIGINT == 2


def test_demo_replays_the_sample_into_the_folder_it_names(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["demo"]) == 0
    printed = capsys.readouterr().out
    assert printed.rstrip().endswith(f"report: {tmp_path / 'out' / 'demo' / 'report.html'}")
    assert sorted(path.name for path in (tmp_path / "out" / "demo").iterdir()) == sorted(FILES)
    assert "synthetic data" in printed


def test_demo_falls_back_to_the_home_where_the_folder_cannot_be_written(tmp_path, monkeypatch):
    from toolkit.cli.replay import _demo_folder
    from toolkit.config import home

    monkeypatch.chdir(tmp_path)
    assert _demo_folder() == tmp_path / "out" / "demo"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert _demo_folder() == home() / "demo"


def test_progress_is_drawn_only_on_a_terminal(monkeypatch, capsys):
    from toolkit.cli.replay import progress_bar

    with progress_bar() as progress:
        progress(1, 2, "replaying")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar() as progress:
        progress(1, 2, "replaying")
    assert "replaying" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["replay", "demo"])
def test_help_has_a_runnable_example(verb, capsys):
    assert run([verb, "--help"]) == 0
    assert f"Example: toolkit {verb}" in " ".join(capsys.readouterr().out.split())
