from __future__ import annotations

import datetime as dt
import os
import stat

import pytest

from toolkit.brokers import tokens
from toolkit.brokers.tokens import StoredToken, TokenStore, token_day
from toolkit.calendar import ist_ns
from toolkit.config import Secret
from toolkit.errors import BadData

DAY = dt.date(2026, 7, 13)
NOON = ist_ns(DAY, dt.time(12))
MADE = StoredToken(token=Secret("canary"), account="AB1234", day=DAY, stored_ns=NOON)


def test_a_token_is_good_until_six_the_next_morning():
    assert token_day(ist_ns(DAY, dt.time(6))) == DAY
    assert token_day(ist_ns(DAY + dt.timedelta(1), dt.time(5, 59))) == DAY
    assert token_day(ist_ns(DAY, dt.time(5, 59))) == DAY - dt.timedelta(1)


def test_saved_private_and_loaded_the_same_day(tmp_path):
    store = TokenStore(tmp_path / "new")
    where = store.save("kite", "key/../x", MADE)
    path = store.path("kite", "key/../x")
    assert str(path) in where
    assert path.parent == tmp_path / "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = store.load("kite", "key/../x", NOON)
    assert (found.token.reveal(), found.account, found.day) == ("canary", "AB1234", DAY)
    assert "canary" not in repr(found)


def test_yesterdays_token_is_none(tmp_path):
    store = TokenStore(tmp_path)
    store.save("kite", "k", MADE)
    assert store.load("kite", "k", NOON + 86_400 * 10**9) is None
    assert store.load("kite", "other", NOON) is None


def test_a_file_that_others_may_read_is_refused(tmp_path):
    store = TokenStore(tmp_path)
    store.save("kite", "k", MADE)
    os.chmod(store.path("kite", "k"), 0o644)
    with pytest.raises(BadData, match=r"mode 644\); run: chmod 600"):
        store.load("kite", "k", NOON)


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xfe", b'{"token": 3}', b"[1]"])
def test_a_damaged_file_says_log_in_again(tmp_path, body):
    store = TokenStore(tmp_path)
    store.save("kite", "k", MADE)
    store.path("kite", "k").write_bytes(body)
    with pytest.raises(BadData, match="damaged; log in again: toolkit login kite"):
        store.load("kite", "k", NOON)


def test_forgotten_is_gone(tmp_path):
    store = TokenStore(tmp_path)
    store.save("kite", "k", MADE)
    store.forget("kite", "k")
    assert store.load("kite", "k", NOON) is None
    store.forget("kite", "k")


class Ring:
    """A keyring that works."""

    priority = 5

    def __init__(self):
        self.kept = {}

    def set_password(self, service, name, text):
        self.kept[service, name] = text

    def get_password(self, service, name):
        return self.kept.get((service, name))

    def delete_password(self, service, name):
        del self.kept[service, name]


def test_the_keyring_holds_it_and_only_a_marker_is_on_disk(tmp_path, monkeypatch):
    ring = Ring()
    monkeypatch.setattr(tokens, "_keyring", lambda: ring)
    assert TokenStore(tmp_path, use_keyring=True).save("kite", "k", MADE) == "the system's keyring"
    assert all(b"canary" not in p.read_bytes() for p in tmp_path.iterdir())
    assert TokenStore(tmp_path).load("kite", "k", NOON).token.reveal() == "canary"
    TokenStore(tmp_path).forget("kite", "k")
    assert ring.kept == {}
    assert TokenStore(tmp_path).load("kite", "k", NOON) is None


def test_without_a_keyring_the_file_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "_keyring", lambda: None)
    assert "0600" in TokenStore(tmp_path, use_keyring=True).save("kite", "k", MADE)


def test_reading_wakes_no_keyring(tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "_keyring", lambda: pytest.fail("asked"))
    store = TokenStore(tmp_path)
    store.save("kite", "k", MADE)
    assert store.load("kite", "k", NOON).account == "AB1234"
