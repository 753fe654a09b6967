from __future__ import annotations

import msgspec
import pytest

from toolkit.errors import BadSetting
from toolkit.risk.limits import ContractLimits, Limits, TradingState


def test_defaults_fit_together():
    limits = Limits()
    assert limits.max_slices <= limits.max_messages_per_s <= limits.max_cancels_per_s <= 10
    assert limits.max_order_value_p <= limits.max_open_value_p
    assert limits.max_order_lots <= limits.max_net_lots
    assert limits.option_protection_pct < limits.option_collar_pct
    assert limits.future_protection_pct < limits.future_collar_pct


def test_limits_are_frozen_and_strict():
    with pytest.raises(AttributeError):
        Limits().max_order_lots = 99
    with pytest.raises(msgspec.ValidationError, match="max_order_lot"):
        msgspec.json.decode(b'{"max_order_lot": 5}', type=Limits)


def test_every_field_is_documented():
    for name in Limits.__struct_fields__:
        assert name in (Limits.__doc__ or ""), name


def test_states_have_words():
    assert [str(s) for s in TradingState] == ["active", "reducing", "halted"]


def test_limits_survive_json():
    limits = Limits(max_order_lots=3, allowed_underlyings=("NIFTY",))
    assert msgspec.json.decode(msgspec.json.encode(limits), type=Limits) == limits


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 1 << 62])
def test_a_figure_that_limits_nothing_is_refused(value):
    for name in ("max_order_lots", "max_quote_age_s", "option_collar_pct"):
        with pytest.raises(BadSetting, match=f"risk limit {name} must be a number from 0"):
            Limits(**{name: value})
    with pytest.raises(BadSetting, match="max_net_lots"):
        ContractLimits(max_net_lots=value)


def test_the_contract_s_own_limit_wins_over_its_underlying_s():
    own = {"NIFTY": ContractLimits(max_order_lots=2, max_net_lots=7), "X": ContractLimits(max_order_lots=1)}
    limits = Limits(by_contract=own)
    assert [limits.of(s, u, "max_order_lots") for s, u in (("X", "NIFTY"), ("Y", "NIFTY"), ("Y", "Z"))] == [1, 2, 40]
    assert limits.of("X", "NIFTY", "max_net_lots") == 7
    assert msgspec.json.decode(msgspec.json.encode(limits), type=Limits) == limits
