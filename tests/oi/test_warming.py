"""Warming runs every kernel over a chain that every rule accepts."""

from __future__ import annotations

from toolkit import oi
from toolkit.oi.warming import STEPS, small_chain


def test_the_small_chain_is_clean_and_prices_its_levels():
    frame = small_chain()
    result = oi.oi_shift(frame)
    assert result.levels.height == STEPS
    assert result.levels["gex"].null_count() == 0
    assert result.levels["fresh"].sum() == STEPS
    kept = dict(result.quality.select("rule", "count").iter_rows())
    assert kept["rows_kept"] == kept["rows_read"] == frame.height


def test_warm_runs_and_changes_nothing():
    assert oi.warm() is None
    assert small_chain().equals(small_chain())
