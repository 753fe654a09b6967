"""The pricing benchmark: arrays, errors, goals; every installed peer computes the same prices."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from toolkit.bench import pricing as bench
from toolkit.bench.pricing_peers import PEERS, installed
from toolkit.bench.runner import Row

FOUND, ABSENT = installed()


def test_every_peer_is_found_or_named():
    assert len(FOUND) + len(ABSENT) == len(PEERS)
    assert all("not measured here" in line for line in ABSENT)


def test_arrays_are_like_niftys():
    a = bench.nifty(5000)
    assert set(a.cp) == {-1.0, 1.0}
    assert 0.87 < (a.strike / a.forward).min() < (a.strike / a.forward).max() < 1.13
    out = bench.nifty(5000, out=True)
    assert (out.cp == np.where(out.strike >= out.forward, 1.0, -1.0)).all()
    assert np.array_equal(bench.nifty(5000).price, a.price)


@pytest.mark.parametrize(("peer", "module"), FOUND, ids=[p.name for p, _ in FOUND])
def test_peers_are_asked_for_the_same_thing(peer, module):
    a = bench.nifty(64, out=True)
    rough = 1e-2 if peer.name == "polars-vol" else 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if peer.price:
            assert np.asarray(peer.price(module, a)()) == pytest.approx(a.price, abs=rough)
        if peer.implied:
            sound = a.price > 1.0
            got = np.asarray(peer.implied(module, a)())
            assert got[sound] == pytest.approx(a.iv[sound], abs=1e-3)
        if peer.greeks:
            assert peer.greeks(module, a)() is not None


def test_our_own_errors_are_measured():
    errors = bench.accuracy([])["toolkit"]
    assert errors.price_wrong == 0.0
    assert errors.implied_wrong == 0.0
    assert "0.00 % of rows wrong" in errors.text


def test_goals_go_to_the_fastest_accurate_peer():
    def row(peer, ns, note=""):
        return Row("price", 200, peer, 10.0, ns, ns / 10.0, 1.0, 9.0, None, note)

    rows = list(bench._with_goals("price", 200, [row("a", 50.0), row("b", 40.0), row("c", 20.0, "not accurate")]))
    assert [r.goal for r in rows] == [None, 4.0, None]
    million = [Row("price", bench.MILLION, p, 10.0, 60.0, 6.0, 5.0, 7.0) for p in ("numpy + scipy", "plain numba")]
    assert [r.goal for r in bench._with_goals("price", bench.MILLION, million)] == [7.0, 6.0]


def test_goals_that_nobody_can_answer_are_misses():
    assert len(bench._unmeasured([])) == len(bench.GOALS)


def test_run_without_peers(monkeypatch):
    monkeypatch.setattr(bench, "MILLION", 20_000)
    result = bench.run(peers=False, check=False)
    threads = {f"{job} {what}" for job in ("price", "greeks", "implied") for what in ("limit", "two threads")}
    assert {r.job for r in result.rows} == {"price", "greeks", "greeks out=", "implied", "two threads"} | threads
    limits = {r.job.split()[0]: r.ratio for r in result.rows if r.job.endswith(" limit")}
    for row in result.rows:
        if row.job.endswith(" two threads"):
            assert row.goal == (bench.THREADS if limits[row.job.split()[0]] >= bench.THREADS else None)
            assert (row.goal is None) == ("no goal" in row.note)
    assert any("error of toolkit" in note for note in result.notes)


def test_the_limit_does_every_row_once(monkeypatch):
    arrays = bench.nifty(1001)
    seen = []
    monkeypatch.setattr(bench.pricing, "price", lambda *five, out: seen.append(five[2]))
    bench._both_at_once("price", arrays, arrays)()
    assert np.array_equal(np.concatenate(sorted(seen, key=len)), arrays.strike)
