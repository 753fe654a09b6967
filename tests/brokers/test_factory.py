from __future__ import annotations

import pytest

from toolkit.brokers.factory import NAMES, PLANNED, connect
from toolkit.brokers.paper import PaperBroker
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
