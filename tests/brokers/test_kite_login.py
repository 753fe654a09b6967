from __future__ import annotations

import asyncio
import socket

import pytest

from toolkit.brokers.kite_login import exchange, login_url, receive, request_token_of
from toolkit.brokers.kite_settings import KiteSettings
from toolkit.brokers.tokens import TokenStore, token_day
from toolkit.config import Secret
from toolkit.errors import AuthExpired, BadData, Refused

NOW = 1_783_900_000_000_000_000


def test_the_address():
    assert login_url(KiteSettings(api_key="k&y")) == "https://kite.zerodha.com/connect/login?api_key=k%26y&v=3"
    assert login_url(KiteSettings(api_key="k", root="http://127.0.0.1:9"), "s-1").endswith(
        "127.0.0.1:9/connect/login?api_key=k&v=3&redirect_params=state%3Ds-1"
    )


@pytest.mark.parametrize(
    "text",
    ["abc123", " abc123\n", "https://x.test/?action=login&status=success&request_token=abc123&state=s", "request_token=abc123"],
)  # fmt: skip
def test_what_a_person_pastes(text):
    assert request_token_of(text, "s") == "abc123"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no request token"),
        ("two words", "holds no request token"),
        ("https://x.test/?status=failed&request_token=abc", "did not succeed"),
        ("https://x.test/?request_token=abc123&state=other", "answers another login"),
        ("https://x.test/?request_token=<b>", "holds no request token"),
    ],
)
def test_what_is_no_token(text, says):
    with pytest.raises(BadData, match=says):
        request_token_of(text, "s")


def settings(sim, **more):
    secret = more.pop("api_secret", sim.app.api_secret)
    return sim.settings(access_token=Secret(""), api_secret=Secret(secret), **more)


async def test_a_request_token_becomes_the_days_token(kite_sim, tmp_path):
    sim = await kite_sim()
    store = TokenStore(tmp_path)
    made, where = await exchange(settings(sim), sim.app.request_token(), NOW, store)
    assert (made.account, made.token.reveal()) == ("SIM001", sim.app.access_token)
    assert str(tmp_path) in where
    assert store.load("kite", "simkey", NOW).day == token_day(NOW)


async def test_a_used_token_a_wrong_secret_and_another_account(kite_sim, tmp_path):
    sim = await kite_sim()
    store = TokenStore(tmp_path / "tokens")
    with pytest.raises((AuthExpired, Refused)):
        await exchange(settings(sim), "deadbeef", NOW, store)
    with pytest.raises((AuthExpired, Refused)):
        await exchange(settings(sim, api_secret="wrong"), sim.app.request_token(), NOW, store)
    with pytest.raises(Refused, match="another account than AB1234"):
        await exchange(settings(sim, user_id="AB1234"), sim.app.request_token(), NOW, store)
    assert not (tmp_path / "tokens").exists()


async def test_key_and_secret_are_needed(kite_sim):
    with pytest.raises(BadData, match="set \\[kite\\] api_key and api_secret first"):
        await exchange(KiteSettings(api_key="k"), "abc", NOW)


async def get(port, path, method="GET"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    return text


async def test_the_redirect_is_received_once_and_only_the_right_one():
    ports = asyncio.Queue()
    task = asyncio.create_task(receive(0, "state1", 5, ports.put_nowait))
    port = await ports.get()
    good = "/?action=login&status=success&request_token=tok123"
    assert "400" in await get(port, good)
    assert "400" in await get(port, good + "&state=evil")
    assert "400" in await get(port, good.replace("tok123", "a<script>") + "&state=state1")
    assert "400" in await get(port, "/favicon.ico")
    assert "400" in await get(port, good + "&state=state1", method="POST")
    assert not task.done()
    answer = await get(port, good + "&state=state1")
    assert "200 OK" in answer
    assert "tok123" not in answer
    assert await task == "tok123"
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
        pass


async def test_nobody_logs_in():
    with pytest.raises(BadData, match="no login came within 0 s"):
        await receive(0, "s", 0.05, lambda port: None)


async def test_a_half_request_does_not_hold_the_receiver():
    ports = asyncio.Queue()
    task = asyncio.create_task(receive(0, "s", 5, ports.put_nowait))
    port = await ports.get()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HT")
    writer.close()
    assert "200" in await get(port, "/?status=success&request_token=tok&state=s")
    assert await task == "tok"
