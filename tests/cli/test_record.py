"""``toolkit record`` against the simulated exchange: what it chooses, Ctrl-C, kill -9, refusals."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from toolkit.cli.app import run
from toolkit.store.session import open_session

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("websockets", reason="the feed is in the extra kite")
pytest.importorskip("kiteconnect", reason="the broker is in the extra kite")


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    """A simulated Kite on the shipped sample, at a minute in which it ticks each second."""
    home = tmp_path_factory.mktemp("sim")
    env = {**os.environ, "TOOLKIT_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "toolkit", "sim", "kite", "--at", "11:00:30", "--profile", "unlimited"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        ready = json.loads(line)
        yield ready, {**env, **ready["env"], "TOOLKIT_ENGINE__CLOCK": "venue"}
        process.terminate()
        process.wait(10)


def control(ready: dict, method: str, name: str, body: dict | None = None) -> dict:
    data = json.dumps(body or {}).encode()
    request = urllib.request.Request(
        f"{ready['url']}/__sim/{name}", data=data, method=method, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def command(*words: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "toolkit",
        "record",
        "--every",
        "1",
        "--flush",
        "0.5",
        "--strikes",
        "5",
        "--expiries",
        "1",
        *words,
    ]


def wait_for_rows(path: Path, process: subprocess.Popen) -> None:
    while process.poll() is None:
        if (path / "session.json").exists() and open_session(path).frame("chain").height:
            return
        process_wait(process, 0.1)
    raise AssertionError(process.stderr.read())


def process_wait(process: subprocess.Popen, seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
def test_what_was_recorded_when_it_ended_is_a_session(sim, tmp_path, how) -> None:
    _, env = sim
    to = tmp_path / "rec"
    with subprocess.Popen(
        command("--to", str(to), "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        wait_for_rows(to, process)
        process.send_signal(how)
        out, err = process.communicate(timeout=30)
    session = open_session(to)
    assert session.underlyings() == ["NIFTY"]
    assert session.synthetic, "a loopback broker is a simulated market"
    chain = session.frame("chain")
    assert chain["expiry"].n_unique() == 1
    assert chain["strike_p"].n_unique() == 11
    assert chain["spot"].null_count() == 0
    assert session.dates() == [dt.date(2026, 7, 13)], "the day of the venue, not ours"
    if how is signal.SIGINT:
        assert process.returncode == 0
        found = json.loads(out)
        assert found["lost"] == 0
        assert found["snapshots"] >= 1
        assert found["instruments"] == 24
        assert err == ""
        later = ["oi", str(to), "--underlying", "NIFTY", "--out", str(tmp_path / "out")]
    else:
        later = ["replay", str(to), "--underlying", "NIFTY", "--strategy", "oi-wall", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", *later], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").stat().st_size > 0


@pytest.fixture
def here(monkeypatch, capsys):
    """Run the verb in this process; gives its exit code and what it said on stderr."""

    def act(env: dict[str, str], *words: str) -> tuple[int, str]:
        for name, value in env.items():
            if name.startswith("TOOLKIT_"):
                monkeypatch.setenv(name, value)
        code = run(command(*words)[3:])
        return code, capsys.readouterr().err

    return act


def test_an_unknown_underlying_names_the_nearest_and_leaves_nothing(sim, tmp_path, here) -> None:
    code, said = here(sim[1], "--to", str(tmp_path / "rec"), "--underlying", "NIFTI", "--seconds", "1")
    assert code == 1
    assert "no contract on 'NIFTI' is listed; did you mean 'NIFTY'" in said
    assert not (tmp_path / "rec").exists()


def test_a_dead_token_is_refused_in_one_line(sim, tmp_path, here) -> None:
    env = {**sim[1], "TOOLKIT_KITE__ACCESS_TOKEN": "expired"}
    code, said = here(env, "--to", str(tmp_path / "rec"), "--seconds", "5")
    assert code == 3
    assert "toolkit login kite" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "rec").exists()


def test_a_feed_without_a_data_subscription_says_so(sim, tmp_path, here) -> None:
    ready, env = sim
    control(ready, "POST", "faults", {"text": "handshake:403"})
    try:
        code, said = here(env, "--to", str(tmp_path / "rec"), "--seconds", "5")
    finally:
        control(ready, "DELETE", "faults")
    assert code == 3
    assert "no data subscription" in said


def test_paper_has_no_feed_of_its_own(tmp_path, here) -> None:
    code, said = here({}, "--to", str(tmp_path / "rec"), "--broker", "paper")
    assert code == 1
    assert "no live market feed to record" in said
