"""PCR, max pain, pain curve and moments: against brute force, plain NumPy and the published figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolkit import oi
from toolkit.errors import BadData

UNITS = st.integers(0, 5000)


def books(least=1, most=25):
    return st.integers(least, most).flatmap(
        lambda n: st.tuples(arrays(np.int64, n, elements=UNITS), arrays(np.int64, n, elements=UNITS))
    )


def brute(strikes, ce, pe):
    """Pay-out at every strike in exact integers."""
    return [
        sum(int(c) * max(int(x - k), 0) + int(p) * max(int(k - x), 0) for k, c, p in zip(strikes, ce, pe, strict=True))
        for x in strikes
    ]


def test_pcr_is_a_ratio_and_unknown_without_calls():
    assert oi.pcr([100, 300], [150, 50]) == 0.5
    assert math.isnan(oi.pcr([0, 0], [10, 20]))
    assert math.isnan(oi.pcr([], []))
    assert oi.pcr([100.0, math.nan], [math.nan, 50.0]) == 0.5


@given(books())
def test_max_pain_is_the_brute_force_minimum_with_its_ties(book):
    ce, pe = book
    k = 1000.0 + 50.0 * np.arange(ce.size)
    found = oi.max_pain(k, ce, pe)
    if ce.sum() + pe.sum() == 0:
        assert all(math.isnan(v) for v in found)
        return
    paid = brute(k, ce, pe)
    least = [x for x, p in zip(k, paid, strict=True) if p == min(paid)]
    assert (found.lo, found.hi) == (least[0], least[-1])
    assert found.strike == least[0]


@given(books(), st.floats(900.0, 2500.0))
def test_the_strike_of_a_tie_is_the_one_nearest_the_forward(book, forward):
    ce, pe = book
    k = 1000.0 + 50.0 * np.arange(ce.size)
    found = oi.max_pain(k, ce, pe, forward)
    if math.isnan(found.lo):
        return
    inside = k[(k >= found.lo) & (k <= found.hi)]
    assert found.strike in inside
    assert abs(found.strike - forward) == pytest.approx(np.abs(inside - forward).min())


@given(books())
def test_the_pain_curve_is_the_pay_out_in_rupees(book):
    ce, pe = book
    k = 1000.0 + 50.0 * np.arange(ce.size)
    np.testing.assert_allclose(oi.pain_curve(k, ce, pe), brute(k, ce, pe), rtol=1e-12)


@given(books(), st.integers(1, 50), st.integers(-10, 10))
def test_scaling_and_shifting(book, scale, shift):
    ce, pe = book
    k = 5000.0 + 50.0 * np.arange(ce.size)
    moved = k + 100.0 * shift
    a, b = oi.max_pain(k, ce, pe), oi.max_pain(moved, ce * scale, pe * scale)
    if math.isnan(a.lo):
        assert math.isnan(b.lo)
        return
    assert (b.lo, b.hi) == (a.lo + 100.0 * shift, a.hi + 100.0 * shift)
    x, y = oi.oi_moments(k, ce), oi.oi_moments(moved, ce * scale)
    assert y.total == scale * x.total
    if x.total:
        assert y.centroid == pytest.approx(x.centroid + 100.0 * shift, rel=1e-12)
        assert (y.q10, y.q50, y.q90) == tuple(q + 100.0 * shift for q in (x.q10, x.q50, x.q90))
        assert y.hhi == pytest.approx(x.hhi)


@given(books())
def test_swapping_the_sides_mirrors(book):
    ce, pe = book
    k = 1000.0 + 50.0 * np.arange(ce.size)
    a = oi.max_pain(k, ce, pe)
    b = oi.max_pain(k, pe[::-1].copy(), ce[::-1].copy())
    if not math.isnan(a.lo):
        assert (b.lo, b.hi) == (k[0] + k[-1] - a.hi, k[0] + k[-1] - a.lo)
    if ce.sum() and pe.sum():
        assert oi.pcr(ce, pe) == pytest.approx(1 / oi.pcr(pe, ce))


@given(arrays(np.int64, 12, elements=UNITS))
def test_moments_are_numpys(units):
    k = 1000.0 + 50.0 * np.arange(12)
    m = oi.oi_moments(k, units)
    total = units.sum()
    assert m.total == total
    if total == 0:
        assert all(math.isnan(v) for v in m[1:])
        return
    w = units / total
    centroid = float((w * k).sum())
    assert m.centroid == pytest.approx(centroid, rel=1e-12)
    assert m.spread == pytest.approx(math.sqrt((w * (k - centroid) ** 2).sum()), abs=1e-6)
    assert m.hhi == pytest.approx((w**2).sum())
    assert m.top3_share == pytest.approx(np.sort(w)[-3:].sum())
    cum = np.cumsum(units)
    for q, got in ((1, m.q10), (5, m.q50), (9, m.q90)):
        assert got == k[np.argmax(cum * 10 >= q * total)]


def test_a_window_leaves_deep_hedges_out():
    k = np.array([10000.0, 24000.0, 24500.0, 25000.0])
    units = np.array([9000, 10, 20, 10])
    assert oi.oi_moments(k, units).centroid < 12000
    near = oi.oi_moments(k, units, forward=24500.0, window=0.10)
    assert (near.total, near.centroid) == (40, 24500.0)
    assert oi.oi_moments(k, units, forward=math.nan, window=0.10).total == 9040


@pytest.mark.parametrize(
    ("strikes", "ce", "text"),
    [
        ([100.0, 100.0], [1, 2], "ascend"),
        ([100.0, 90.0], [1, 2], "ascend"),
        ([100.0, math.nan], [1, 2], "ascend"),
        ([100.0, 110.0], [1], "one figure a strike"),
        ([100.0, 110.0], [1, -2], "negative"),
        ([100.0, 110.0], [1.0, 46100.333], "whole units"),
        ([100.0, 110.0], [1.0, math.inf], "finite"),
    ],
)
def test_bad_arrays_are_refused_in_one_line(strikes, ce, text):
    with pytest.raises(BadData, match=text) as caught:
        oi.max_pain(strikes, ce, np.ones(len(strikes), dtype=np.int64))
    assert "\n" not in str(caught.value)


def test_max_pain_is_brute_force_on_every_chain_of_the_end_of_day_files(real):
    for name in (
        "fo_udiff_eod_202501.parquet",
        "fo_udiff_eod_202502a.parquet",
        "fo_udiff_eod_20260101_20260213.parquet",
    ):
        chains = ties = 0
        for part in real(name).frame("chain").partition_by("ts", "underlying", "expiry"):
            wide = part.pivot("option_type", index="strike_p", values="oi", aggregate_function="first").sort("strike_p")
            ce, pe = (wide[s].fill_null(0).to_numpy() for s in ("CE", "PE"))
            k = wide["strike_p"].to_numpy() / 100.0
            found = oi.max_pain(k, ce, pe)
            if ce.sum() + pe.sum() == 0:
                assert math.isnan(found.lo)
                continue
            gaps = np.maximum(k[:, None] - k[None, :], 0.0)
            paid = gaps @ ce + gaps.T @ pe
            least = k[paid <= paid.min() * (1 + 1e-12)]
            assert (found.lo, found.hi) == (least[0], least[-1]), (name, part["ts"][0], part["expiry"][0])
            chains += 1
            ties += found.lo != found.hi
        assert chains > 200
        assert ties > 10


def test_max_pain_is_brute_force_on_every_snapshot_of_the_recorded_day(day_frame, day_result):
    levels = day_result.levels.sort("ts", "expiry")
    rows = day_frame.sort("recv_ts").unique(
        ["ts", "expiry", "strike_p", "option_type"], keep="first", maintain_order=True
    )
    wide = rows.pivot("option_type", index=["ts", "expiry", "strike_p"], values="oi").sort("ts", "expiry", "strike_p")
    checked = 0
    for part, row in zip(
        wide.partition_by("ts", "expiry", maintain_order=True), levels.iter_rows(named=True), strict=True
    ):
        assert (part["ts"][0], part["expiry"][0]) == (row["ts"], row["expiry"])
        if row["carried"] or row["excluded"]:
            continue
        k = part["strike_p"].to_numpy() / 100.0
        gaps = np.maximum(k[:, None] - k[None, :], 0.0)
        paid = gaps @ part["CE"].to_numpy() + gaps.T @ part["PE"].to_numpy()
        least = k[paid == paid.min()]
        if part["CE"].sum() + part["PE"].sum():
            assert (row["max_pain_lo"], row["max_pain_hi"]) == (least[0], least[-1])
            checked += 1
    assert checked > 4500
