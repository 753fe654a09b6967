from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.orders.slicing import legal_max, slices


@pytest.mark.parametrize(
    ("freeze", "lot", "most"), [(1800, 65, 1755), (1800, 75, 1800), (600, 30, 600), (900, 35, 875)]
)
def test_legal_maximum_is_whole_lots(freeze, lot, most):
    assert legal_max(freeze, lot) == most


@pytest.mark.parametrize(("freeze", "lot"), [(50, 75), (1800, 0), (0, 1), (1800, -75)])
def test_freeze_below_one_lot_is_refused(freeze, lot):
    with pytest.raises(BadData, match="at least one lot"):
        legal_max(freeze, lot)


@given(st.integers(1, 400), st.integers(1, 100), st.integers(1, 40))
def test_slices_sum_to_the_order_and_are_legal(lots, lot, most_lots):
    parts = slices(lots * lot, most_lots * lot)
    assert sum(parts) == lots * lot
    assert all(0 < part <= most_lots * lot and part % lot == 0 for part in parts)
    assert len(parts) == -(-lots // most_lots)
    assert list(parts) == sorted(parts, reverse=True)


@pytest.mark.parametrize(("qty", "most"), [(0, 10), (-1, 10), (10, 0)])
def test_nothing_to_slice_is_refused(qty, most):
    with pytest.raises(BadData, match="must be positive"):
        slices(qty, most)
