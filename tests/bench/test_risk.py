"""The risk benchmark: its references compute the same figures, and every promised row is there."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit import pricing
from toolkit.bench import risk as bench
from toolkit.risk.checks import check, reference
from toolkit.risk.limits import Limits
from toolkit.risk.margin import default_params, span_margin
from toolkit.risk.scenarios import scenario_grid
from toolkit.risk.span import risk_array


def test_numpys_grid_is_ours():
    book = bench.book_of(60)
    theirs = bench.numpy_grid(book)
    assert scenario_grid(book).pnl == pytest.approx(theirs, rel=1e-9, abs=1e-3)


def test_numpys_arrays_and_margin_are_ours():
    p = default_params(bench.SPOT, 0.15, 0.06)
    cp, k, t = np.array([1.0, -1.0, 1.0]), np.array([24000.0, 24500.0, 26000.0]), np.array([8.0, 15.0, 36.0]) / 365
    price = pricing.price(cp, bench.SPOT, k, t, 0.15, 0.06, model="bsm")
    ours = risk_array(cp, k, t, p.spot, p.vol, p.rate, p.price_scan, p.vol_scan, price)
    assert ours == pytest.approx(bench.numpy_arrays(cp, k, t, price, p), abs=1e-8)
    legs = bench.legs_of()
    assert len({leg.strike for leg in legs}) == 50
    assert bench._numpy_margin(legs, p) == pytest.approx(span_margin(legs, p).total, rel=1e-9)


def test_the_account_at_work_lets_its_order_leave():
    book, asked, now = bench.account()
    assert len(book.net) == 30
    assert sum(len(mine) for mine in book.resting.values()) == 60
    for limits in (Limits(), Limits(check_margin=False)):
        assert check(asked, book, limits, now) == reference(asked, book, limits, now) == ()


def test_the_bare_rules_find_what_ours_find():
    import msgspec

    book, asked, now = bench.account()
    instrument = book.instruments[asked.symbol]
    limits = Limits(check_margin=False)
    for change in ({"order_qty": 66}, {"price_p": 10_001}, {"price_p": 90_000}, {"order_qty": 65 * 41}):
        wrong = msgspec.structs.replace(asked, **change)
        assert check(wrong, book, limits, now)
        assert bench.bare_rules(wrong, instrument, book.quote(instrument), book, limits, now)


def test_every_promised_row_is_measured(monkeypatch):
    monkeypatch.setattr(bench, "POSITIONS", 40)
    monkeypatch.setattr(
        bench, "interleave", lambda jobs, **_: {name: [1.0, (job(), 2.0)[1]] for name, job in jobs.items()}
    )
    monkeypatch.setattr(bench, "_spread", lambda job: (2.0, 500.0))
    result = bench.run(peers=False, check=True)
    assert [(row.job, row.peer) for row in result.rows] == [
        ("scenario grid", "numpy + scipy"),
        ("scenario grid", "pricing's floor"),
        ("risk array", "numpy + scipy"),
        ("margin of a book", "numpy + scipy"),
        ("margin, one order more", "the whole anew"),
        ("decision", "every rule in Python"),
        ("decision with margin", "every rule in Python"),
        ("decision", "25 bare comparisons"),
    ]
    assert all(row.goal is not None for row in result.rows[:-1])
    assert "p50 2.0 us, p99 500.0 us" in result.rows[-2].note


def test_a_slow_tail_is_a_miss(monkeypatch):
    monkeypatch.setattr(bench, "interleave", lambda jobs, **_: {name: [10e-6] for name in jobs})
    monkeypatch.setattr(bench, "_spread", lambda job: (2.0, 101.0))
    result = bench.Result("risk")
    bench._decisions(result)
    assert result.misses[0] == "decision: p99 101.0 us, the limit here is 100 us"
