from __future__ import annotations

import io
import json
import stat

import pytest

from toolkit.cli.app import run


@pytest.fixture
def env(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    monkeypatch.setenv("TOOLKIT_KITE__API_KEY", "simkey")
    monkeypatch.setenv("TOOLKIT_KITE__API_SECRET", "canarysecret")
    return tmp_path


@pytest.fixture
def answered(raw, env, monkeypatch):
    """Kite's login answers."""
    monkeypatch.setenv("TOOLKIT_KITE__ROOT", raw.root)
    data = {"user_id": "AB1234", "access_token": "canarytoken", "login_time": "2026-07-13 08:00:00"}
    raw.say(raw.answer(json.dumps({"status": "success", "data": data}).encode()))
    return raw


def test_a_request_token_given_or_read_is_exchanged_and_kept_private(answered, env, capsys, monkeypatch):
    assert run(["login", "kite", "--request-token", "rt123", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["account"] == "AB1234"
    assert "0600" in out["kept_in"]
    (path,) = (env / "tokens").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    monkeypatch.setattr("sys.stdin", io.StringIO("https://x.test/?status=success&request_token=rt456\n"))
    assert run(["login", "kite"]) == 0
    captured = capsys.readouterr()
    assert "/connect/login?api_key=simkey&v=3" in captured.err
    assert "canary" not in captured.out + captured.err
    bodies = [body for _, body in answered.seen]
    assert "request_token=rt123" in bodies[0]
    assert "request_token=rt456" in bodies[1]
    assert all("canarysecret" not in body for body in bodies)


def test_a_refused_login_is_one_line(answered, env, capsys):
    error = b'{"status":"error","error_type":"TokenException","message":"Token is invalid or has expired."}'
    answered.say(answered.answer(error, "403 Forbidden"))
    assert run(["login", "kite", "--request-token", "rt123"]) == 3
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (env / "tokens").exists()


def test_without_a_key_it_says_what_to_set(env, monkeypatch, capsys):
    monkeypatch.delenv("TOOLKIT_KITE__API_KEY")
    assert run(["login", "kite", "--request-token", "x1"]) == 1
    assert "set [kite] api_key" in capsys.readouterr().err


def test_nothing_pasted(env, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(["login", "kite", "--request-token", "-"]) == 1
    assert "holds no request token" in capsys.readouterr().err
