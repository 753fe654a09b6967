"""The reference table is what its generator computes."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.bench import reference


@pytest.fixture(scope="module")
def table():
    return reference.load()


def test_inputs_are_the_drawn_ones(table):
    drawn = reference.draw(256)
    for name in reference.INPUTS:
        assert np.array_equal(table[name][:256], drawn[name]), name


def test_a_sample_of_rows_is_recomputed(table):
    rng = np.random.default_rng(8)
    rows = len(table["price"])
    for i in [0, rows - 1, *rng.choice(rows, 120, replace=False).tolist()]:
        row = reference.exact(*(float(table[name][i]) for name in reference.INPUTS))
        for name in ("price", *reference.GREEKS):
            assert table[name][i] == float(row[name]), (i, name)
        if row["vega"] > 1e-300:
            shift = reference.iv_shift(row["price"], row["vega"]) / table["iv"][i]
            with np.errstate(over="ignore"):
                assert table["iv_shift"][i] == np.float64(np.float32(shift))
        if i < len(table["vanna"]):
            assert all(table[name][i] == float(row[name]) for name in reference.GREEKS2)


def test_regions_are_covered(table):
    ratio = table["strike"] / table["forward"]
    assert len(ratio) >= 20_000
    assert ratio.min() < 2e-3
    assert ratio.max() > 500.0
    assert table["tte"].min() < 5 * reference.SECOND
    assert table["tte"].max() > 9.0
    assert table["iv"].min() < 1.1e-3
    assert table["iv"].max() > 9.0
    assert table["price"].min() < 1e-250
    assert (table["price"] > 0.0).all()
    assert {-1.0, 1.0} == set(table["cp"])
    assert 0.2 < np.mean(table["rate"] != 0.0) < 0.6


def test_derivatives_by_difference_of_exact_prices(table):
    from mpmath import mp, mpf

    for i in (3, 77, 1234):
        row = [float(table[name][i]) for name in reference.INPUTS]
        with mp.workdps(70):
            h = mpf(10) ** -20
            for place, name in ((1, "delta"), (4, "vega")):
                up, down = list(row), list(row)
                up[place], down[place] = row[place] * (1 + h), row[place] * (1 - h)
                slope = (exact_price(up) - exact_price(down)) / (2 * h * row[place])
                assert table[name][i] == pytest.approx(float(slope), rel=1e-12)


def exact_price(row):
    from mpmath import mp

    w, f, k, t, v, r = row
    s = v * mp.sqrt(t)
    d1 = mp.log(f / mp.mpf(k)) / s + s / 2
    tail = lambda z: mp.erfc(z / mp.sqrt(2)) / 2  # noqa: E731
    return mp.exp(-mp.mpf(r) * t) * w * (f * tail(-w * d1) - k * tail(-w * (d1 - s)))


def test_writing_again_gives_the_same_file(tmp_path, monkeypatch, table):
    monkeypatch.setattr(reference, "_path", lambda: tmp_path / "t.npz")
    reference.write(64)
    again = reference.load()
    for name in (*reference.INPUTS, "price", *reference.GREEKS2):
        assert np.array_equal(again[name], table[name][:64]), name


def test_file_is_small():
    assert reference._path().stat().st_size < 2_000_000
