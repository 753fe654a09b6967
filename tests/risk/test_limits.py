from __future__ import annotations

import msgspec
import pytest

from toolkit.risk.limits import Limits, TradingState


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
