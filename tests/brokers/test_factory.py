from __future__ import annotations

import time

import pytest

from toolkit.brokers.factory import connect
from toolkit.brokers.kite_settings import PlainHttp
from toolkit.brokers.paper import PaperBroker
from toolkit.brokers.xts_settings import XtsTerms
from toolkit.config import Secret
from toolkit.errors import BadData, BadSetting


def test_paper_is_made_with_its_settings():
    broker = connect("paper", account="ACC", funds_p=5)
    assert isinstance(broker, PaperBroker)
    assert broker.account == "ACC"


@pytest.mark.parametrize(
    ("name", "near"), [("papr", "paper"), ("kyte", "kite"), ("xts-por", "xts-pro"), ("xts-clinet", "xts-client")]
)
def test_unknown_names_are_refused_with_the_nearest(name, near):
    with pytest.raises(BadData, match=f"no broker is called '{name}'.*did you mean.*{near}"):
        connect(name)


def test_unknown_settings_are_refused_with_the_nearest():
    with pytest.raises(BadSetting, match="no setting 'acount'; did you mean 'account'"):
        connect("paper", acount="A")


def test_kite_is_made_from_the_settings_tree_and_sends_nothing(monkeypatch):
    monkeypatch.setenv("TOOLKIT_KITE__ROOT", "http://127.0.0.1:9")
    broker = connect("kite", api_key="k", access_token=Secret("canary"))
    assert (broker.name, broker.settings.root, broker.state) == ("kite", "http://127.0.0.1:9", "ready")
    assert broker.settings.access_token.reveal() == "canary"
    assert "canary" not in repr(broker)


def test_kites_settings_are_known():
    with pytest.raises(BadSetting, match="broker 'kite' has no setting 'api_kee'; did you mean 'api_key'"):
        connect("kite", api_kee="x")
    with pytest.raises(BadSetting, match="clock must give"):
        connect("kite", clock=3)


def test_the_venues_clock_is_for_loopback_only(monkeypatch):
    monkeypatch.setenv("TOOLKIT_ENGINE__CLOCK", "venue")
    with pytest.raises(BadSetting, match="this machine only"):
        connect("kite")
    broker = connect("kite", root="http://127.0.0.1:9")
    assert broker.clock == broker.link.venue.now_ns
    own = connect("kite", root="http://127.0.0.1:9", clock=lambda: 5)
    assert own.clock() == 5


@pytest.mark.parametrize(("name", "role", "mode"), [("xts-pro", "pro", False), ("xts-client", "client", True)])
def test_the_name_of_an_xts_broker_is_its_role(monkeypatch, name, role, mode):
    monkeypatch.setenv("TOOLKIT_XTS__ROLE", "client" if role == "pro" else "pro")
    monkeypatch.setenv("TOOLKIT_XTS__APP_KEY", "canary")
    broker = connect(name, root="http://127.0.0.1:9", client_id="C1")
    assert (broker.name, broker.settings.role, broker.dealer, broker.client) == (name, role, mode, "C1")
    assert "canary" not in repr(broker) + repr(broker.settings)
    with pytest.raises(BadSetting, match=f"broker '{name}' has no setting 'role'"):
        connect(name, root="http://127.0.0.1:9", role="pro")


def test_xts_keeps_to_tls_but_for_loopback_and_hosts_that_are_named(monkeypatch):
    with pytest.raises(BadSetting, match=r"plain http to xts\.test is not allowed"):
        connect("xts-pro", root="http://xts.test")
    monkeypatch.setenv("TOOLKIT_RISK__ALLOW_PLAIN_HTTP", "xts.test")
    with pytest.warns(PlainHttp, match=r"no TLS to xts\.test"):
        assert connect("xts-pro", root="http://xts.test").settings.root == "http://xts.test"
    with pytest.raises(BadSetting, match=r"\[xts\] root is not set"):
        connect("xts-client")


def test_xts_follows_the_venue_on_loopback_only(monkeypatch):
    monkeypatch.setenv("TOOLKIT_ENGINE__CLOCK", "venue")
    with pytest.raises(BadSetting, match="this machine only"):
        connect("xts-pro", root="https://xts.test")
    broker = connect("xts-client", root="http://127.0.0.1:9")
    assert broker.clock == broker.link.venue.now_ns == broker.market.clock
    assert broker.market.link.venue is broker.link.venue
    assert connect("xts-client", root="http://127.0.0.1:9", clock=lambda: 5).clock() == 5
    monkeypatch.delenv("TOOLKIT_ENGINE__CLOCK")
    plain = connect("xts-client", hostlookup="http://127.0.0.1:9")
    assert plain.clock is time.time_ns
    assert plain.clock_skew_s is None


def test_the_terms_of_a_connection_are_terms():
    quick = XtsTerms(books_per_s=100)
    assert connect("xts-pro", root="http://127.0.0.1:9", terms=quick).link.terms is quick
    with pytest.raises(BadSetting, match="terms must be XtsTerms"):
        connect("xts-pro", root="http://127.0.0.1:9", terms={"books_per_s": 9})
