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


def test_an_account_has_its_own_limits(tmp_path):
    (tmp_path / "config.toml").write_text(
        "[risk]\nmax_order_lots = 5\n[risk.by_account.AB1234]\nmax_order_lots = 2\nmax_order_value_p = 100\n"
        "[risk.by_contract.NIFTY]\nmax_net_lots = 3\n",
        encoding="utf-8",
    )
    risk = Settings.load(environ={}, folder=tmp_path).section("risk", RiskSettings)
    assert [risk.limits(name).max_order_lots for name in ("", "XY", "AB1234")] == [5, 5, 2]
    assert risk.limits("AB1234").of("X", "NIFTY", "max_net_lots") == 3


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "max_order_lot = 2",
            r"\[risk.by_account.AB1234\] has no limit 'max_order_lot'; did you mean 'max_order_lots'",
        ),
        ("max_order_lots = 'x'", r"\[risk.by_account.AB1234\] max_order_lots: expected `int`, got `str`, was 'x'"),
        ("max_order_lots = -1", "max_order_lots must be a number from 0"),
    ],
)
def test_a_mistake_in_an_account_s_limits_is_one_line(tmp_path, line, text):
    (tmp_path / "config.toml").write_text(f"[risk.by_account.AB1234]\n{line}\n", encoding="utf-8")
    with pytest.raises(BadSetting, match=text):
        Settings.load(environ={}, folder=tmp_path).section("risk", RiskSettings).limits("AB1234")
