"""``toolkit dashboard`` and ``toolkit lab``: refusals in one line before any work, and what is started."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.cli import dashboard as verbs
from toolkit.cli.app import run
from toolkit.errors import BadData

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "sample"


@pytest.fixture
def taken():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def one_line(capsys) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("toolkit: ")
    return err


def test_a_port_in_use_is_one_line_before_any_work(taken, capsys, monkeypatch):
    monkeypatch.setattr(verbs, "_pages", lambda *_: pytest.fail("the session was replayed for nothing"))
    assert run(["dashboard", "--session", str(SAMPLE), "--port", str(taken)]) == 1
    assert f"port {taken} cannot be used (Address already in use); choose another with --port" in one_line(capsys)


def test_a_session_that_is_not_there_is_one_line(capsys, tmp_path):
    assert run(["dashboard", "--session", str(tmp_path / "none"), "--port", "0"]) == 1
    assert "none" in one_line(capsys)


def test_an_unknown_underlying_and_strategy_are_one_line_each(capsys):
    for options, word in ((["--strategy", "oi-wal"], "oi-wall"), (["--underlying", "NIFTI"], "NIFTY")):
        assert run(["dashboard", "--session", str(SAMPLE), "--port", "0", *options]) == 1
        assert word in one_line(capsys)


def test_an_extra_that_is_missing_names_the_command_that_adds_it(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(["dashboard", "--session", str(SAMPLE)]) == 1
    assert "pip install 'trading-toolkit[dashboards]'" in one_line(capsys)
    assert run(["lab"]) == 1
    assert "pip install 'trading-toolkit[notebook]'" in one_line(capsys)


def test_a_free_port_skips_those_in_use(monkeypatch):
    asked = []
    check = verbs.check_port

    def watched(port):
        asked.append(port)
        if len(asked) == 1:
            raise BadData("taken")
        check(port)

    monkeypatch.setattr(verbs, "check_port", watched)
    got = verbs.free_port()
    assert len(asked) >= 2
    assert got == asked[-1] != asked[0]
    assert set(asked) <= set(verbs.PORTS)


def test_programs_that_start_together_take_different_ports():
    assert len({verbs.free_port() for _ in range(20)}) > 15


def test_a_port_that_is_taken_is_refused():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(BadData, match="cannot be used"):
            verbs.check_port(holder.getsockname()[1])


def test_no_free_port_says_what_to_do(monkeypatch):
    def none(port):
        raise BadData(f"port {port} is taken")

    monkeypatch.setattr(verbs, "check_port", none)
    with pytest.raises(BadData, match="name one with --port"):
        verbs.free_port()


def test_the_pages_are_found_and_loaded_once():
    module = verbs.load_pages()
    assert module.__name__ == "dashboards.replay"
    assert verbs.load_pages() is module
    assert set(module.pages(None)) == {"/"}


def test_the_lab_is_started_on_loopback_in_place_of_this_process(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(os, "execv", lambda path, argv: started.append(argv))
    assert run(["lab", "--no-browser", "--port", "0", "--dir", str(tmp_path)]) == 0
    (argv,) = started
    assert argv[:3] == [sys.executable, "-m", "jupyterlab"]
    assert "--ip=127.0.0.1" in argv
    assert "--no-browser" in argv
    assert f"--notebook-dir={tmp_path}" in argv
    assert ("--allow-root" in argv) == (os.geteuid() == 0)


def test_the_lab_opens_the_checkouts_notebooks_and_refuses_a_folder_that_is_not_there(monkeypatch, tmp_path, capsys):
    started = []
    monkeypatch.setattr(os, "execv", lambda path, argv: started.append(argv))
    assert run(["lab", "--port", "0"]) == 0
    assert f"--notebook-dir={ROOT / 'notebooks'}" in started[0]
    assert run(["lab", "--port", "0", "--dir", str(tmp_path / "none")]) == 1
    assert "give an existing one with --dir" in one_line(capsys)


def test_an_installed_package_copies_its_notebooks_and_keeps_your_changes(monkeypatch, tmp_path):
    import toolkit

    packed = tmp_path / "site" / "toolkit"
    shipped = packed / "_share" / "notebooks"
    shipped.mkdir(parents=True)
    (shipped / "01.ipynb").write_text("shipped")
    (shipped / "02.ipynb").write_text("shipped")
    monkeypatch.setattr(toolkit, "__file__", str(packed / "__init__.py"))
    monkeypatch.setattr("toolkit.config.share", lambda *parts: shipped)
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "home"))
    place = verbs._notebooks()
    assert place == tmp_path / "home" / "notebooks"
    (place / "01.ipynb").write_text("mine")
    (place / "02.ipynb").unlink()
    verbs._notebooks()
    assert (place / "01.ipynb").read_text() == "mine"
    assert (place / "02.ipynb").read_text() == "shipped"


def test_one_ready_line_and_a_clean_end_on_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "toolkit", "dashboard", "--session", str(SAMPLE), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    try:
        ready, _, _ = select.select([process.stdout], [], [], 240)
        assert ready, "no ready line"
        line = process.stdout.readline()
        assert line, process.stderr.read().decode()
        said = json.loads(line)
        assert said["url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert out == b""
    assert b"Traceback" not in err
    assert process.returncode in (0, 130)
