"""The shift itself: against the linear programme, the constraint, the identity, and the recorded day's figures."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolkit import oi
from toolkit.bench.oi_reference import linear_programme
from toolkit.errors import BadData
from toolkit.oi import transport


def case(draw):
    n = draw(st.integers(2, 14))
    gaps = draw(arrays(np.int64, n, elements=st.sampled_from([25, 50, 100, 500])))
    k = 20000.0 + np.cumsum(gaps).astype(float)
    units = arrays(np.int64, n, elements=st.integers(0, 60))
    reach = draw(st.sampled_from([10.0, 50.0, 100.0, 250.0, 500.0, 3000.0, 1e6]))
    return k, draw(units), draw(units), reach


cases = st.composite(case)()


def check(k, a, b, reach, found):
    """Constraint to the unit, cost from the flows, and the exact identity of the centroids."""
    x = found.flow
    assert (b - a == np.r_[0, x] - np.r_[x, 0] + found.created - found.destroyed).all()
    assert (np.minimum(found.created, found.destroyed) == 0).all()
    h = np.diff(k)
    cost = float((h * np.abs(x)).sum() + reach / 2 * (found.created.sum() + found.destroyed.sum()))
    assert found.cost == pytest.approx(cost, rel=1e-12)
    assert found.moved_right == pytest.approx(float((h * np.maximum(x, 0)).sum()))
    assert found.moved_left == pytest.approx(float((h * np.maximum(-x, 0)).sum()))
    if a.sum() and b.sum():
        c0, c1 = (a @ k) / a.sum(), (b @ k) / b.sum()
        left = b.sum() * (c1 - c0)
        right = found.created @ (k - c0) - found.destroyed @ (k - c0) + h @ x
        assert left == pytest.approx(right, rel=1e-9, abs=1e-6)


@settings(max_examples=150)
@given(cases)
def test_cost_is_the_linear_programmes_and_the_flows_are_consistent(given_case):
    k, a, b, reach = given_case
    found = oi.transport_shift(k, a, b, reach)
    check(k, a, b, reach, found)
    assert found.cost == pytest.approx(linear_programme(k, a, b, reach), rel=1e-9, abs=1e-6)


@settings(max_examples=60)
@given(cases)
def test_both_forward_passes_agree(given_case):
    k, a, b, reach = given_case
    cum = np.cumsum(b - a)
    clip = transport.TIE * 50.0 * min(reach, 4 * (k[-1] - k[0])) + 1.0
    out = [np.zeros(k.size, dtype=np.int64) for _ in range(4)]
    transport.clip_sorted(k, cum, clip, out[0], out[1])
    transport.clip_heaps(k, cum, clip, out[2], out[3])
    np.testing.assert_array_equal(out[0], out[2])
    np.testing.assert_array_equal(out[1], out[3])


def test_the_sorted_pass_moves_its_array_when_it_runs_out_of_room():
    n = 400
    k = 50.0 * np.arange(n) + 1000.0
    for direction in (1, -1):
        a = np.full(n, 1000 * n)
        b = a + direction * np.arange(1, n + 1) * 7
        check(k, a, b, 250.0, oi.transport_shift(k, a, b, 250.0))


@settings(max_examples=60)
@given(cases, st.integers(1, 75), st.integers(-20, 20))
def test_scaling_units_and_shifting_strikes(given_case, scale, shift):
    k, a, b, reach = given_case
    one = oi.transport_shift(k, a, b, reach)
    many = oi.transport_shift(k + 50.0 * shift, a * scale, b * scale, reach)
    np.testing.assert_array_equal(many.flow, one.flow * scale)
    np.testing.assert_array_equal(many.created, one.created * scale)
    assert many.cost == pytest.approx(one.cost * scale)


@settings(max_examples=60)
@given(cases)
def test_time_reversed_costs_the_same(given_case):
    k, a, b, reach = given_case
    assert oi.transport_shift(k, b, a, reach).cost == pytest.approx(oi.transport_shift(k, a, b, reach).cost)


def test_ties_create_least_then_lie_leftmost():
    k = np.array([100.0, 200.0, 300.0])
    # a trip of exactly the reach costs as much as destroying and creating: relocation is preferred
    moved = oi.transport_shift(k, [5, 0, 0], [0, 0, 5], reach=200.0)
    assert moved.created.sum() == 0
    assert moved.flow.tolist() == [5, 5]
    # either neighbour could send its contract: the flow that points left is taken
    left = oi.transport_shift(k, [1, 0, 1], [0, 1, 0], reach=500.0)
    assert left.flow.tolist() == [0, -1]
    assert left.destroyed.tolist() == [1, 0, 0]


def test_pure_transport_creates_only_the_difference():
    k = 50.0 * np.arange(30) + 1000.0
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 100, 30), rng.integers(0, 100, 30)
    for reach in (1e9, math.inf):
        found = oi.transport_shift(k, a, b, reach)
        assert min(found.created.sum(), found.destroyed.sum()) == 0
        assert found.created.sum() - found.destroyed.sum() == b.sum() - a.sum()
    assert oi.transport_shift(k, a, a, math.inf).cost == 0.0


def test_edge_cases():
    empty = oi.transport_shift([], [], [])
    assert empty.cost == 0.0
    assert empty.flow.size == 0
    single = oi.transport_shift([100.0], [3], [8])
    assert single.created.tolist() == [5]
    assert single.flow.size == 0
    unknown = oi.transport_shift([100.0, 150.0], [3.0, math.nan], [3.0, 900.0])
    assert unknown.cost == 0.0
    same = oi.transport_shift([100.0, 150.0], [3, 4], [3, 4])
    assert same.created.sum() == same.destroyed.sum() == 0


@pytest.mark.parametrize("reach", [0.0, -5.0, math.nan])
def test_a_reach_that_is_no_distance_is_refused(reach):
    with pytest.raises(BadData, match="reach must be above 0"):
        oi.transport_shift([1.0, 2.0], [1, 1], [1, 2], reach)


@pytest.mark.parametrize(
    ("k", "a", "text"),
    [
        ([2.0, 1.0], [1, 2], "ascend"),
        ([1.0, 2.0], [1, -2], "negative"),
        ([1.0, 2.0], [1, 2, 3], "one figure a strike"),
        ([1.0, 2.0], [1.5, 2.0], "whole units"),
    ],
)
def test_bad_arrays_are_refused(k, a, text):
    with pytest.raises(BadData, match=text):
        oi.transport_shift(np.array(k), np.array(a), np.array([1, 2]))


def test_wasserstein_is_scipys_and_its_signed_part_the_centroid_change():
    from scipy.stats import wasserstein_distance

    rng = np.random.default_rng(2)
    for _ in range(50):
        n = int(rng.integers(2, 40))
        k = np.cumsum(rng.choice([25.0, 50.0, 100.0], n)) + 1000.0
        a, b = rng.integers(0, 90, n) + 1, rng.integers(0, 90, n) + 1
        found = oi.wasserstein_shift(k, a, b)
        assert found.w1 == pytest.approx(wasserstein_distance(k, k, a, b), rel=1e-9)
        assert found.signed == pytest.approx((b @ k) / b.sum() - (a @ k) / a.sum(), rel=1e-9, abs=1e-9)
        assert abs(found.directionality) <= 1 + 1e-12


def test_wasserstein_of_nothing_is_unknown_and_of_one_strike_zero():
    assert math.isnan(oi.wasserstein_shift([1.0, 2.0], [0, 0], [1, 2]).w1)
    one = oi.wasserstein_shift([100.0], [5], [9])
    assert (one.w1, one.signed) == (0.0, 0.0)
    assert math.isnan(one.directionality)


def contracts(frame, expiry, stamp):
    """OI in contracts of one snapshot of the recorded day: strikes, calls, puts."""
    part = frame.filter((pl.col("expiry").cast(pl.String) == expiry) & (pl.col("ts").dt.strftime("%H:%M:%S") == stamp))
    part = part.filter(pl.col("recv_ts") == pl.col("recv_ts").min()).with_columns(pl.col("oi") // 75)
    wide = part.pivot("option_type", index="strike_p", values="oi").sort("strike_p")
    return wide["strike_p"].to_numpy() / 100.0, wide["CE"].to_numpy(), wide["PE"].to_numpy()


def test_the_example_of_the_recorded_day(day_frame):
    k, c0, p0 = contracts(day_frame, "2025-09-02", "09:22:45")
    _, c1, p1 = contracts(day_frame, "2025-09-02", "15:27:27")
    assert (c0.sum(), c1.sum(), p0.sum(), p1.sum()) == (1_797_488, 2_723_100, 1_136_704, 1_509_425)
    calls, puts = oi.wasserstein_shift(k, c0, c1), oi.wasserstein_shift(k, p0, p1)
    assert (round(calls.w1, 2), round(calls.signed, 2)) == (28.44, -25.78)
    assert (round(puts.w1, 2), round(puts.signed, 2)) == (137.76, -137.76)
    one, two = (oi.transport_shift(k, a, b, reach=500.0) for a, b in ((c0, c1), (p0, p1)))
    assert (one.created.sum(), one.destroyed.sum()) == (925_612, 0)
    assert (two.created.sum(), two.destroyed.sum()) == (378_974, 6_253)
    for a, b, found in ((c0, c1, one), (p0, p1, two)):
        check(k, a, b, 500.0, found)
        assert found.cost == pytest.approx(linear_programme(k, a, b, 500.0), rel=1e-9)


def test_support_lost_in_the_afternoon(day_frame):
    k, c0, p0 = contracts(day_frame, "2025-09-02", "12:36:21")
    _, c1, p1 = contracts(day_frame, "2025-09-02", "15:27:27")
    found = oi.transport_shift(k, p0, p1, reach=500.0)
    assert (p0.sum(), p1.sum()) == (2_031_427, 1_509_425)
    assert (found.destroyed.sum(), found.created.sum()) == (522_204, 202)
    assert (round(oi.pcr(c0, p0), 4), round(oi.pcr(c1, p1), 4)) == (0.7770, 0.5543)
    assert (oi.max_pain(k, c0, p0).strike, oi.max_pain(k, c1, p1).strike) == (24550.0, 24500.0)


def test_many_cases_in_one_call_are_the_single_ones(walk):
    bursts = walk(4, 12, 15)[:, 0] * 75
    k = 50.0 * np.arange(15) + 20000.0
    cost, created, destroyed, flow = transport.transport_cases(k, bursts[:-1], bursts[1:], 250.0)
    for j in range(11):
        one = oi.transport_shift(k, bursts[j], bursts[j + 1], 250.0)
        assert cost[j] == one.cost
        np.testing.assert_array_equal(created[j], one.created)
        np.testing.assert_array_equal(destroyed[j], one.destroyed)
        np.testing.assert_array_equal(flow[j], one.flow)
