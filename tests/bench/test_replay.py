import json

import pytest

from toolkit.batch.stopwatch import STAGES
from toolkit.bench import replay as bench
from toolkit.bench.replay import LIMIT_NS_A_ROW, Timed, stages


def timed(total, rows=1000):
    share = total / (len(STAGES) + 1)
    return Timed(dict.fromkeys(STAGES, share), total, rows, 10, 4)


def test_every_stage_has_its_line_and_the_shares_add_up():
    result = stages([timed(0.010), timed(0.011), timed(0.012)], first=1.0)
    body = result.notes[1 : len(STAGES) + 2]
    assert [line[:20].strip() for line in body] == [*STAGES, "everything else"]
    assert sum(float(line.split("%")[0].split()[-1]) for line in body) == pytest.approx(100.0, abs=0.6)
    assert "median of 3 runs" in result.text()
    assert "0.01 to 0.01 s" in result.text()


def test_a_miss_is_judged_on_the_median():
    inside = LIMIT_NS_A_ROW * 1000 / 1e9 * 0.9
    assert stages([timed(inside), timed(inside), timed(99.0)], first=1.0).missed == []
    (line,) = stages([timed(inside * 2)] * 3, first=1.0).missed
    assert "the limit is 21400" in line


def test_the_document_is_json():
    found = json.loads(json.dumps(stages([timed(0.01)], first=1.0).document()))
    assert found["bench"] == "replay"
    assert any("OI levels" in note for note in found["notes"])


def test_the_limit_is_the_real_day_in_ten_seconds():
    assert pytest.approx(10.0, rel=1e-3) == LIMIT_NS_A_ROW * 467_524 / 1e9


def test_one_real_run_measures_every_stage(monkeypatch):
    monkeypatch.setattr(bench, "ROUNDS", 1)
    result = bench.run()
    text = result.text()
    for name in STAGES:
        assert name in text
    assert "84196 option rows, 314 snapshots" in text
    figures = {line[:20].strip(): float(line[20:30]) for line in result.notes[1 : len(STAGES) + 1]}
    assert all(value > 0 for value in figures.values())
