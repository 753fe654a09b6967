"""The verb ``generate``."""

from __future__ import annotations

import json

import pytest

from toolkit.cli.app import run
from toolkit.store.session import open_session


def test_it_writes_a_session_and_says_so(tmp_path, capsys):
    assert run(["generate", "--to", str(tmp_path / "s"), "--seed", "7", "--underlyings", "nifty"]) == 0
    out = capsys.readouterr().out
    session = open_session(tmp_path / "s")
    assert "synthetic NIFTY from 2026-07-13" in out
    assert "planted events" in out
    assert session.underlyings() == ["NIFTY"]
    assert session.meta["generator"]["seed"] == 7


def test_json_is_one_document(tmp_path, capsys):
    words = ["--days", "2", "--start", "2026-07-15", "--underlyings", "SENSEX", "--json"]
    assert run(["generate", "--to", str(tmp_path / "s"), *words]) == 0
    told = json.loads(capsys.readouterr().out)
    session = open_session(tmp_path / "s")
    assert told["synthetic"] is True
    assert told["rows"]["chain"] == session.frame("chain").height
    assert told["generator"]["start"] == "2026-07-15"
    assert {e["type"] for e in told["planted"]} >= {"EXPIRY_DAY", "DATA_REPEAT"}


def test_the_seed_decides(tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert run(["generate", "--to", str(tmp_path / name), "--seed", seed, "--underlyings", "NIFTY"]) == 0
    a, b, c = ((tmp_path / n / "session.json").read_bytes() for n in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--start", "13-07-2026"], "start must be a date such as 2026-07-13, was '13-07-2026'"),
        (["--start", "2026-07-12"], "no session of NSE; the next one is 2026-07-13"),
        (["--underlyings", "NIFTTY"], "did you mean 'NIFTY'"),
        (["--underlyings", ","], "at least one index"),
        (["--days", "0"], "days must be at least 1, was 0"),
        (["--seed", "-3"], "seed must not be negative, was -3"),
        (["--sample", "--days", "2"], "--sample fixes days"),
    ],
)
def test_bad_words_are_one_line_and_nothing_is_written(tmp_path, capsys, words, text):
    assert run(["generate", "--to", str(tmp_path / "s"), *words]) == 1
    err = capsys.readouterr().err
    assert text in err
    assert err.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_help_has_an_example(capsys):
    assert run(["generate", "--help"]) == 0
    assert "toolkit generate --to" in capsys.readouterr().out
