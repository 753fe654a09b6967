from __future__ import annotations

import typing

import pytest

from toolkit.orders import effects
from toolkit.orders.effects import Record


def test_effects_are_frozen_values():
    record = Record(1, "order", "A", b"{}")
    assert record == Record(1, "order", "A", b"{}")
    with pytest.raises(AttributeError):
        record.kind = "other"


def test_the_union_names_every_effect():
    named = {t.__name__ for t in typing.get_args(effects.Effect)}
    assert named == set(effects.__all__) - {"Effect"}
