from __future__ import annotations

import json

import pytest

from toolkit.cli.app import run


@pytest.fixture
def env(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    monkeypatch.setenv("TOOLKIT_KITE__ROOT", "http://127.0.0.1:9")


def rows(capsys, *words):
    code = run(["doctor", *words, "--json"])
    found = json.loads(capsys.readouterr().out)
    return code, found["ready"], {row["what"]: row for row in found["checks"]}


def test_paper_is_ready(env, capsys):
    code, ready, found = rows(capsys, "--broker", "paper")
    assert (code, ready) == (0, True)
    assert found["broker: paper"]["text"] == "ready for read and paper"


def test_kite_without_a_key_or_token_is_not_ready_and_says_what_to_do(env, capsys, monkeypatch):
    code, ready, found = rows(capsys, "--broker", "kite")
    assert (code, ready) == (1, False)
    assert "api_key" in found["kite: token"]["text"]
    monkeypatch.setenv("TOOLKIT_KITE__API_KEY", "k")
    code, _, found = rows(capsys, "--broker", "kite")
    assert code == 1
    assert "toolkit login kite" in found["kite: token"]["text"]
    monkeypatch.setenv("TOOLKIT_KITE__ACCESS_TOKEN", "t")
    code, _, found = rows(capsys, "--broker", "kite")
    assert code == 1
    assert "nothing listens" in found["kite: reachable"]["text"]


def test_xts_without_keys_is_not_ready_and_says_what_to_do(env, capsys, monkeypatch):
    monkeypatch.setenv("TOOLKIT_XTS__ROOT", "http://127.0.0.1:9")
    for name in ("xts-pro", "xts-client"):
        code, ready, found = rows(capsys, "--broker", name)
        assert (code, ready) == (1, False)
        assert f"or run: toolkit login {name}" in found[f"{name}: token"]["text"]


def test_an_unknown_broker(env, capsys):
    assert run(["doctor", "--broker", "kyte"]) == 1
    assert "did you mean 'kite'" in capsys.readouterr().err
