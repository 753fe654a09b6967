from __future__ import annotations

import pytest

from toolkit.brokers.factory import NAMES, PLANNED, connect
from toolkit.brokers.paper import PaperBroker
from toolkit.config import Secret
from toolkit.errors import BadData, BadSetting


def test_paper_is_made_with_its_settings():
    broker = connect("paper", account="ACC", funds_p=5)
    assert isinstance(broker, PaperBroker)
    assert broker.account == "ACC"


@pytest.mark.parametrize("name", PLANNED)
def test_planned_brokers_say_so(name):
    with pytest.raises(BadData, match=f"'{name}' is planned"):
        connect(name)


@pytest.mark.parametrize(("name", "near"), [("papr", "paper"), ("kyte", "kite"), ("xts", "xts-pro")])
def test_unknown_names_are_refused_with_the_nearest(name, near):
    with pytest.raises(BadData, match=f"no broker is called '{name}'.*did you mean.*{near}"):
        connect(name)


def test_unknown_settings_are_refused_with_the_nearest():
    with pytest.raises(BadSetting, match="no setting 'acount'; did you mean 'account'"):
        connect("paper", acount="A")


def test_no_name_is_both_made_and_planned():
    assert not set(NAMES) & set(PLANNED)


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
