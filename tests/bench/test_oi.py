"""The open-interest benchmark's parts: the generated day has the shape it claims, costs are those of the programme."""

from __future__ import annotations

import numpy as np

from toolkit import oi
from toolkit.bench import oi as bench
from toolkit.bench.oi_reference import linear_programme
from toolkit.bench.runner import Result


def test_the_generated_day_has_the_shape_of_a_recorded_one():
    frame = bench.day_frame(snapshots=12)
    assert frame["expiry"].n_unique() == 18
    assert frame.height == 12 * 2 * sum(bench.SIZES)
    assert frame["ts"].n_unique() == 12
    assert (frame["oi"] % 75 == 0).all()
    assert frame.equals(bench.day_frame(snapshots=12))
    result = oi.oi_shift(frame)
    assert result.levels.height == 12 * 18
    assert result.levels["gex"].null_count() == 0
    assert 0.2 < (result.levels["fresh"] == 0).mean() < 0.7


def test_the_programme_solves_what_it_should():
    k = np.array([0.0, 50.0, 100.0])
    assert linear_programme(k, [10, 0, 0], [0, 0, 10], 250.0) == 1000.0
    assert linear_programme(k, [10, 0, 0], [0, 0, 10], 60.0) == 600.0


def test_a_row_of_every_kind_is_measured(monkeypatch):
    monkeypatch.setattr(bench, "GROWTH", (50, 150))
    result = Result("oi")
    bench._growth(result)
    bench._one_burst(result)
    bench._peers(result)
    assert [r.job for r in result.rows] == ["burst of 150 strikes", "burst, all but IV, 250", "max pain, 100 strikes"]
    assert result.rows[1].goal == bench.PASS_US / bench.BURST_US
    assert result.rows[0].goal == 1.0
    assert "one burst of 250 strikes" in result.notes[0]
