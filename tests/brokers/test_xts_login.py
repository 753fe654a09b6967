"""One login for all: what it keeps, where, and that the brokers of the day take it up."""

from __future__ import annotations

import stat

import pytest

from toolkit.brokers import tokens as kept
from toolkit.brokers.tokens import TokenStore
from toolkit.brokers.xts_login import log_in
from toolkit.brokers.xts_session import forget_sessions
from toolkit.config import Secret
from toolkit.errors import BadData, Refused


async def test_both_tokens_are_kept_private_and_used_without_a_login(xts_sim, tmp_path):
    sim = await xts_sim(profile="dealer_named")
    store = TokenStore(tmp_path / "t")
    made = await log_in(sim.settings(), store)
    assert (made.account, made.clients) == ("DLR01", ("CLI01", "CLI02"))
    files = list((tmp_path / "t").iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {made.kept_in, made.data_kept_in} == {f"{path} (mode 0600)" for path in files}
    token = sim.app.token
    forget_sessions()  # as in another process
    broker = sim.broker(tokens=store)
    await broker.profile()
    await broker.quote(["NIFTY 14JUL2026 25000 CE"])
    assert sim.app.token == token
    calls = [row["call"] for row in sim.record("call")]
    assert calls.count("POST /interactive/user/session") == calls.count("POST /apimarketdata/auth/login") == 1
    await broker.close()


async def test_without_data_keys_the_orders_token_is_kept(xts_sim, tmp_path):
    sim = await xts_sim()
    made = await log_in(sim.settings(md_app_key=Secret("")), TokenStore(tmp_path / "t"))
    assert made.data_kept_in == ""
    assert len(list((tmp_path / "t").iterdir())) == 1


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ({"app_key": Secret("")}, BadData, r"set \[xts\] app_key and secret_key"),
        ({"secret_key": Secret("canary")}, Refused, "Invalid AppKey or SecretKey"),
    ],
)
async def test_a_login_that_fails_keeps_nothing(xts_sim, tmp_path, more, kind, words):
    sim = await xts_sim()
    with pytest.raises(kind, match=words) as caught:
        await log_in(sim.settings(**more), TokenStore(tmp_path / "t"))
    assert "canary" not in str(caught.value)
    assert not (tmp_path / "t").exists()


async def test_a_token_in_the_keyring_is_renewed_in_the_keyring(xts_sim, tmp_path, monkeypatch):
    ring = {}

    class Ring:
        def set_password(self, service, name, text):
            ring[service, name] = text

        def get_password(self, service, name):
            return ring.get((service, name))

        def delete_password(self, service, name):
            ring.pop((service, name), None)

    monkeypatch.setattr(kept, "_keyring", Ring)
    sim = await xts_sim()
    made = await log_in(sim.settings(), TokenStore(tmp_path / "t", use_keyring=True))
    assert made.kept_in == made.data_kept_in == "the system's keyring"
    assert len(ring) == 2
    before = dict(ring)
    sim.server.expire()
    broker = sim.broker(tokens=TokenStore(tmp_path / "t"))
    await broker.orders()  # the token died: one login, kept where the one before was
    assert ring != before
    assert [path.suffix for path in (tmp_path / "t").iterdir()] == [".keyring", ".keyring"]
    await broker.close()
