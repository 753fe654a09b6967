from __future__ import annotations

import pytest

from toolkit.config import Settings
from toolkit.errors import BadSetting
from toolkit.orders.settings import EngineSettings
from toolkit.risk.limits import Limits
from toolkit.risk.settings import RiskSettings


def load(**environ):
    return Settings.load(environ={f"TOOLKIT_{k}": v for k, v in environ.items()})


def test_the_defaults_are_those_of_the_limits():
    found = load().section("risk", RiskSettings)
    assert found.limits() == Limits()
    assert type(found.limits()) is Limits
    assert (found.allow_plain_http, found.compliance) == ((), "client")


def test_limits_and_lists_from_the_environment():
    found = load(
        RISK__MAX_ORDER_LOTS="3", RISK__ALLOW_PLAIN_HTTP="a.test, b.test", RISK__ALLOWED_UNDERLYINGS="NIFTY"
    ).section("risk", RiskSettings)
    assert found.limits().max_order_lots == 3
    assert found.allow_plain_http == ("a.test", "b.test")


@pytest.mark.parametrize(("key", "value"), [("RISK__COMPLIANCE", "dealer"), ("RISK__MAX_ORDER_LOT", "3"), ("RISK__CHECK_MARGIN", "perhaps")])  # fmt: skip
def test_bad_values_are_refused(key, value):
    with pytest.raises(BadSetting):
        load(**{key: value}).section("risk", RiskSettings)


def test_the_engine():
    found = load(ENGINE__CLOCK="venue", ENGINE__SPEED="10", ENGINE__SETTLE_S="0.6").section("engine", EngineSettings)
    assert (found.clock, found.speed, found.settle_s, found.throttle_per_s) == ("venue", 10.0, 0.6, 8)
    with pytest.raises(BadSetting, match="clock"):
        load(ENGINE__CLOCK="atomic").section("engine", EngineSettings)


def test_options_go_on_top():
    tree = load(ENGINE__POLL_S="1").with_options({"engine": {"poll_s": 2}})
    assert tree.section("engine", EngineSettings).poll_s == 2.0
    with pytest.raises(BadSetting, match="no section 'engin'"):
        tree.with_options({"engin": {}})
