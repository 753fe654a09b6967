"""The one-call grid against the plain versions and the room's own functions."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest

from toolkit import oi
from toolkit.bench.oi_reference import loop_max_pain, numpy_expiry, numpy_snapshot, polars_day
from toolkit.errors import BadData
from toolkit.oi.grid import METRIC_NAMES, cube, cube_metrics, snapshot_metrics


def frame(chain, walk, steps=12):
    return pl.concat([chain(walk(1, steps, 9)), chain(walk(2, steps, 5), expiry=dt.date(2025, 9, 9), token=100)]).sort(
        "ts", "expiry", "strike_p", "option_type"
    )


def test_the_cube_holds_every_row_in_any_order(chain, walk):
    rows = frame(chain, walk)
    made = cube(rows)
    assert made.offsets.tolist() == [0, 9, 14]
    assert made.ce.shape == (12, 14)
    matrix = oi.chain_matrix(rows, expiry=dt.date(2025, 9, 9))
    np.testing.assert_array_equal(made.ce[:, 9:], matrix.ce_oi)
    np.testing.assert_array_equal(made.pe[:, 9:], matrix.pe_oi)
    np.testing.assert_array_equal(made.strikes[9:], matrix.strikes)
    np.testing.assert_array_equal(made.ts_ns, matrix.ts_ns)
    for seed in range(5):
        mixed = cube(rows.sample(fraction=1.0, shuffle=True, seed=seed))
        for a, b in zip(made, mixed, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_contract_that_comes_and_goes_is_unknown_between(chain, walk):
    units = walk(1, 6, 4)
    units[2:4, 0, 1] = -1
    units[:3, 1, 3] = -1
    made = cube(chain(units))
    np.testing.assert_array_equal(made.ce, np.where(units[:, 0] < 0, -1, units[:, 0] * 75))
    np.testing.assert_array_equal(made.pe, np.where(units[:, 1] < 0, -1, units[:, 1] * 75))


def test_metrics_are_the_rooms_own_and_numpys(chain, walk):
    made = cube(frame(chain, walk))
    out, moved = cube_metrics(made)
    for e, (a, b) in enumerate(zip(made.offsets[:-1], made.offsets[1:], strict=True)):
        k = made.strikes[a:b]
        for t in range(12):
            ce, pe, c0, p0 = made.ce[t, a:b], made.pe[t, a:b], made.ce[0, a:b], made.pe[0, a:b]
            pain = oi.max_pain(k, ce, pe)
            calls, puts = oi.wasserstein_shift(k, c0, ce), oi.wasserstein_shift(k, p0, pe)
            want = [
                ce.sum(),
                pe.sum(),
                oi.pcr(ce, pe),
                pain.lo,
                pain.hi,
                oi.oi_moments(k, ce).centroid,
                oi.oi_moments(k, pe).centroid,
                calls.w1,
                puts.w1,
                calls.signed,
                puts.signed,
            ]
            np.testing.assert_allclose(out[t, e], want, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(numpy_expiry(k, ce, pe, c0, p0), want, rtol=1e-9, atol=1e-9)
            assert loop_max_pain(k, ce, pe) == pain.lo
            before = made.ce[max(t - 1, 0), a:b]
            one = oi.transport_shift(k, before, ce)
            got = moved[t, e, 0]
            assert got.tolist() == pytest.approx(
                [one.created.sum(), one.destroyed.sum(), one.moved_right, one.moved_left]
            )


def test_one_snapshot_a_call_is_the_day_row_by_row(chain, walk):
    made = cube(frame(chain, walk))
    day, _ = cube_metrics(made, transport=False)
    out = np.empty((2, len(METRIC_NAMES)))
    for t in range(12):
        snapshot_metrics(made, made.ce[t], made.pe[t], made.ce[0], made.pe[0], out)
        np.testing.assert_array_equal(out, day[t])


def test_the_padded_and_the_expression_versions_agree(chain, walk):
    rows = frame(chain, walk)
    made = cube(rows)
    out, _ = cube_metrics(made, transport=False)
    table = polars_day(rows)
    for name in ("ce_oi", "pe_oi", "pcr", "max_pain_lo", "ce_centroid", "pe_centroid", "ce_w1", "pe_w1"):
        column = out[:, :, METRIC_NAMES.index(name)].ravel()
        np.testing.assert_allclose(table[name].to_numpy(), column, rtol=1e-9, atol=1e-9)
    k = np.stack([made.strikes[:5], made.strikes[9:]])
    ce, pe = (np.stack([side[3, :5], side[3, 9:]]) for side in (made.ce, made.pe))
    c0, p0 = (np.stack([side[0, :5], side[0, 9:]]) for side in (made.ce, made.pe))
    padded = numpy_snapshot(k, ce, pe, c0, p0)
    np.testing.assert_allclose(padded[1], out[3, 1], rtol=1e-9, atol=1e-9)


def test_nothing_is_unknown_not_zero(chain):
    units = np.zeros((2, 2, 3), dtype=int)
    units[:, 0] = 10
    out, _ = cube_metrics(cube(chain(units)))
    row = dict(zip(METRIC_NAMES, out[1, 0], strict=True))
    assert row["pcr"] == 0.0
    assert math.isnan(row["pe_centroid"])
    assert math.isnan(row["pe_w1"])
    assert row["ce_w1"] == 0.0
    units[:] = 0
    empty, _ = cube_metrics(cube(chain(units)))
    assert np.isnan(empty[0, 0, 2:]).all()
    with pytest.raises(BadData, match="one underlying"):
        cube(pl.concat([chain(units), chain(units, underlying="BANKNIFTY")]))
    with pytest.raises(BadData, match="one underlying"):
        cube(chain(units).head(0))
