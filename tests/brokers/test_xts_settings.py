"""The settings section [xts]: exactly the promised keys, addresses that may be spoken to, no secret shown."""

from __future__ import annotations

import pytest

from toolkit.brokers.kite_settings import PlainHttp
from toolkit.brokers.xts_settings import XtsSettings, XtsTerms, id_mode, looked_up, xts_settings
from toolkit.config import Settings
from toolkit.errors import BadSetting

PROMISED = [
    "root",
    "md_root",
    "md_prefix",
    "app_key",
    "secret_key",
    "md_app_key",
    "md_secret_key",
    "source",
    "client_id",
    "client_id_mode",
    "api_order_source",
    "role",
    "eio",
    "market_as",
    "hostlookup",
    "accesspassword",
]


def made(**options):
    return xts_settings(Settings.load(environ={}), **({"root": "http://127.0.0.1:8802"} | options))


def test_the_keys_are_those_promised():
    assert sorted(XtsSettings.__struct_fields__) == sorted(PROMISED)


def test_defaults():
    found = made()
    assert (found.root, found.md_root, found.md_prefix) == ("http://127.0.0.1:8802",) * 2 + ("apimarketdata",)
    assert (found.role, found.eio, found.market_as, found.api_order_source) == (
        "pro",
        "auto",
        "limit_protect",
        "WEBAPI",
    )
    assert found.loopback
    assert not made(root="https://xts.example.test").loopback


def test_from_the_environment():
    env = {"TOOLKIT_XTS__ROOT": "https://x.test/", "TOOLKIT_XTS__ROLE": "client", "TOOLKIT_XTS__EIO": "4",
           "TOOLKIT_XTS__SECRET_KEY": "canary-1", "TOOLKIT_XTS__CLIENT_ID_MODE": "masked"}  # fmt: skip
    found = xts_settings(Settings.load(environ=env))
    assert (found.root, found.role, found.eio, found.client_id_mode) == ("https://x.test", "client", "4", "masked")
    assert found.secret_key.reveal() == "canary-1"
    assert "canary-1" not in repr(found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"root": ""}, "root is not set"),
        ({"root": "http://xts.example.test"}, r"\[xts\] root: plain http to xts.example.test is not allowed"),
        ({"md_root": "http://xts.example.test"}, r"\[xts\] md_root"),
        ({"hostlookup": "http://xts.example.test/hostlookup"}, r"\[xts\] hostlookup"),
        ({"root": "ftp://x"}, r"\[xts\] root must be https"),
        ({"root": "https://user:canary@x.test"}, "credentials"),
        ({"root": "https://x.test/interactive"}, "takes no path"),
        ({"md_prefix": "../x"}, "md_prefix"),
        ({"md_prefix": ""}, "md_prefix"),
        ({"role": "broker"}, "role"),
        ({"eio": "5"}, "eio"),
        ({"market_as": "market"}, "market_as"),
        ({"client_id_mode": "named"}, "client_id_mode"),
        ({"verify": False}, "no setting 'verify'"),
        ({"rot": "x"}, "did you mean 'root'"),
    ],
)
def test_what_is_wrong_is_named(options, words):
    with pytest.raises(BadSetting, match=words) as caught:
        made(**options)
    assert "canary" not in str(caught.value)


def test_plain_http_to_a_host_that_is_named():
    tree = Settings.load(environ={"TOOLKIT_RISK__ALLOW_PLAIN_HTTP": "xts.lan"})
    with pytest.warns(PlainHttp, match=r"no TLS to xts\.lan"):
        assert xts_settings(tree, root="http://xts.lan:3000").root == "http://xts.lan:3000"


def test_hostlookup_alone_is_enough_and_keeps_its_path():
    found = made(root="", hostlookup="https://x.test:4000/HostLookUp", md_root="https://m.test")
    assert (found.root, found.hostlookup, found.md_root) == ("", "https://x.test:4000/HostLookUp", "https://m.test")


@pytest.mark.parametrize(
    ("role", "mode", "expected"),
    [("pro", "", "omit"), ("client", "", "client_code"), ("pro", "user_id", "user_id"), ("client", "masked", "masked")],
)
def test_client_id_mode(role, mode, expected):
    assert id_mode(made(role=role, client_id_mode=mode)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://127.0.0.1:18100/1interactive", "http://127.0.0.1:18100/1interactive"),
        (" `https://x.test/12hostlookup` ", "https://x.test/12interactive"),
        ("https://x.test/2HostLookUp/", "https://x.test/2interactive"),
    ],
)
def test_what_a_host_lookup_names(given, expected):
    assert looked_up(given) == expected


def test_a_host_lookup_cannot_lead_away_from_tls():
    with pytest.raises(BadSetting, match="connectionString: plain http to evil"):
        looked_up("http://evil.test/1interactive")
    with pytest.warns(PlainHttp, match=r"no TLS to xts\.lan"):
        assert looked_up("http://xts.lan/1interactive", ("xts.lan",)) == "http://xts.lan/1interactive"


def test_terms_stay_within_ten_seconds():
    assert XtsTerms().total_s <= 10
    assert XtsTerms().login_every_s == 30
