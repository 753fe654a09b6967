"""The verbs ``sim kite`` and ``sim xts``: options, one-line refusals, the list of faults."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def run(*words, broker="kite", **more):
    return subprocess.run(
        [sys.executable, "-m", "toolkit", "sim", broker, *words], capture_output=True, text=True, timeout=60, **more
    )


@pytest.mark.parametrize("broker", ["kite", "xts"])
def test_faults_are_listed_with_what_they_do(broker):
    from toolkit.sim.servers.faults import FAULTS

    done = run("--fault", "list", broker=broker)
    assert done.returncode == 0
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert lines == FAULTS


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--fault", "cut-befor"), 1, "did you mean 'cut-before'"),
        (("--profile", "sandbx"), 1, "did you mean 'sandbox'"),
        (("--at", "noon"), 1, "--at must be a time"),
        (("--session", "nowhere"), 1, "nowhere"),
        (("--port", "99999"), 2, "--port"),
        (("--spede", "2"), 2, "--speed"),
    ],
)
def test_a_wrong_option_gets_one_clear_line(words, code, says, tmp_path):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert says in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_says_what_to_install(tmp_path):
    (tmp_path / "websockets").mkdir()
    (tmp_path / "websockets" / "__init__.py").write_text(
        "raise ModuleNotFoundError('no websockets', name='websockets')\n"
    )
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from toolkit.cli import main; sys.argv = ['toolkit', 'sim', 'kite']; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "websockets is not installed; add it with: pip install 'trading-toolkit[kite]'" in done.stderr


def test_the_ready_line_is_one_line_of_json(tmp_path):
    words = [
        sys.executable,
        "-m",
        "toolkit",
        "sim",
        "kite",
        "--record",
        str(tmp_path / "r.jsonl"),
        "--fault",
        "late:1@POST /orders",
        "--speed",
        "0",
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = json.loads(process.stdout.readline())
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert (line["state"], out, err, process.returncode) == ("ready", "", "", 0)
    assert line["now"].startswith("2026-07-13T11:01")


def test_settings_of_an_xts_install_are_listed():
    from toolkit.sim.xts_install import settings

    done = run("--set", "list", broker="xts")
    assert dict(line.split(None, 1) for line in done.stdout.splitlines()) == settings()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--profile", "dealer"), "profile must be one of investor, dealer_masked"),
        (("--set", "batch"), "must read NAME=VALUE"),
        (("--eio", "5"), "eio must be one of both, 3, 4"),
        (("--format", "xml"), "format must be one of json, binary"),
    ],
)
def test_a_wrong_option_of_xts_gets_one_clear_line(words, says, tmp_path):
    done = run(*words, broker="xts", cwd=tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.strip().splitlines())) == (1, "", 1), done.stderr
    assert says in done.stderr
