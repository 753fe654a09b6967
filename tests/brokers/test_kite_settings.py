from __future__ import annotations

import pytest

from toolkit.brokers.kite_settings import ROOT, WS_ROOT, KiteSettings, PlainHttp, check_root, is_loopback, kite_settings
from toolkit.config import Secret, Settings
from toolkit.errors import BadSetting


def load(environ=None, **options):
    return kite_settings(Settings.load(environ=environ or {}), **options)


def test_defaults_are_the_brokers_own_with_tls():
    found = load()
    assert (found.root, found.ws_root) == (ROOT, WS_ROOT)
    assert not found.loopback


def test_secrets_are_never_shown():
    found = load({"TOOLKIT_KITE__API_SECRET": "canary1"}, access_token=Secret("canary2"))
    assert found.access_token.reveal() == "canary2"
    assert found.api_secret.reveal() == "canary1"
    assert "canary" not in repr(found)


@pytest.mark.parametrize("root", ["http://127.0.0.1:8801", "http://localhost:1", "http://[::1]:5", "https://x.test"])
def test_loopback_may_be_plain_and_others_have_tls(root):
    assert load(root=root + "/").root == root


@pytest.mark.parametrize("host", ["example.com", "10.0.0.1", "127.0.0.1.evil.test", "localhost.evil.test", "0.0.0.0"])
def test_plain_http_elsewhere_is_refused_unless_named(host):
    with pytest.raises(BadSetting, match=f"plain http to {host} is not allowed"):
        load(root=f"http://{host}:80")
    with pytest.raises(BadSetting, match="plain ws"):
        load(ws_root=f"ws://{host}")
    named = {"TOOLKIT_RISK__ALLOW_PLAIN_HTTP": f"other.test, {host}"}
    with pytest.warns(PlainHttp, match=f"no TLS to {host}"):
        assert load(named, root=f"http://{host}:80").root == f"http://{host}:80"


@pytest.mark.parametrize(
    ("root", "text"),
    [
        ("http://127.0.0.1:8/path", "takes no path"),
        ("ftp://127.0.0.1", "must be https://"),
        ("127.0.0.1:80", "must be https://"),
        ("http://user:canary@127.0.0.1", "no credentials"),
        ("http://127.0.0.1?token=canary", "no credentials, query"),
        ("http://127.0.0.1:99999", "not an address"),
        ("", "must be https://"),
    ],
)
def test_what_is_no_root(root, text):
    with pytest.raises(BadSetting, match=text) as caught:
        load(root=root)
    assert "canary" not in str(caught.value)


def test_the_ticker_keeps_its_path():
    assert check_root("ws_root", "ws://127.0.0.1:9/feed/", schemes=("ws", "wss")) == "ws://127.0.0.1:9/feed"


@pytest.mark.parametrize(
    "bad", [{"total_s": 11}, {"total_s": 0}, {"connect_s": 0}, {"market_protection": 0}, {"market_protection": 101}]
)
def test_figures_out_of_range(bad):
    with pytest.raises(BadSetting):
        load(**bad)


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(BadSetting, match="did you mean 'api_key'"):
        load(api_kye="x")


def test_nothing_switches_verification_off():
    words = set(KiteSettings.__struct_fields__)
    assert not [w for w in words if "ssl" in w or "verify" in w or "insecure" in w or "debug" in w]


@pytest.mark.parametrize(("host", "is_it"), [("localhost", True), ("127.9.9.9", True), ("::1", True), ("a.b", False)])
def test_loopback(host, is_it):
    assert is_loopback(host) is is_it
