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


async def run_beside(words):
    """A verb in a thread, so that the simulator of this loop can answer it."""
    import asyncio

    return await asyncio.to_thread(run, words)


async def test_xts_keeps_two_tokens_private_and_prints_none(env, xts_sim, capsys, monkeypatch):
    sim = await xts_sim(profile="dealer_named")
    settings = sim.settings()
    for name in ("root", "md_root"):
        monkeypatch.setenv(f"TOOLKIT_XTS__{name.upper()}", getattr(settings, name))
    for name in ("app_key", "secret_key", "md_app_key", "md_secret_key"):
        monkeypatch.setenv(f"TOOLKIT_XTS__{name.upper()}", getattr(settings, name).reveal())
    assert await run_beside(["login", "xts-client", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert (out["account"], out["clients"]) == ("DLR01", ["CLI01", "CLI02"])
    assert "0600" in out["kept_in"]
    assert "0600" in out["data_kept_in"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (env / "tokens").iterdir()} == {0o600}
    assert await run_beside(["login", "xts-client"]) == 3  # a second within the half minute would only end the first
    told = capsys.readouterr()
    assert "the last login was just now" in told.err
    for secret in (sim.app.token, sim.server.md.token, settings.secret_key.reveal(), settings.md_secret_key.reveal()):
        assert secret not in told.out + told.err + json.dumps(out)


async def test_xts_without_data_keys_says_so(env, xts_sim, capsys, monkeypatch):
    sim = await xts_sim()
    monkeypatch.setenv("TOOLKIT_XTS__ROOT", sim.root)
    assert await run_beside(["login", "xts-pro"]) == 1
    assert "set [xts] app_key and secret_key" in capsys.readouterr().err
    monkeypatch.setenv("TOOLKIT_XTS__APP_KEY", "simxtsapp")
    monkeypatch.setenv("TOOLKIT_XTS__SECRET_KEY", sim.app.secret_key)
    assert await run_beside(["login", "xts-pro"]) == 0
    told = capsys.readouterr()
    assert "logged in as SIM001; the token is kept in" in told.out
    assert "market data: no keys" in told.err


def test_xts_without_an_address_says_what_to_set(env, capsys):
    assert run(["login", "xts-pro"]) == 2
    assert "[xts] root is not set" in capsys.readouterr().err
