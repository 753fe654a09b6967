"""Prices and Greeks: the 50-digit table, limits, identities, NumPy's manners."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import pricing
from toolkit.bench import reference
from toolkit.errors import BadData

ULP = 2.0**-53


@pytest.fixture(scope="module")
def table():
    return reference.load()


def inputs(table, n=None):
    return [table[name][:n] for name in reference.INPUTS]


def input_cost(t):
    by_strike = (t["price"] - t["forward"] * t["delta"]) / t["strike"]
    parts = (t["forward"] * t["delta"], t["strike"] * by_strike, t["vega"] * t["iv"], t["theta"] * t["tte"])
    return ULP * (sum(np.abs(p) for p in parts) + np.abs(t["rho"] * t["rate"]) + t["price"])


def figure(function, words):
    """The number that a docstring states before ``words``."""
    return float(re.search(r"([\d.]+(?:e-?\d+)?) " + words, " ".join(function.__doc__.split())).group(1))


def test_price_within_what_rounding_the_inputs_costs(table):
    error = np.abs(pricing.price(*inputs(table)) - table["price"]) / input_cost(table)
    worst = int(error.argmax())
    assert error.max() <= figure(pricing.price, "times what rounding"), {
        k: v[worst] for k, v in table.items() if worst < len(v)
    }
    assert len(error) >= 20_000
    assert table["price"].min() < 1e-250


def test_greeks_against_the_table(table):
    cp, f, k, t, v, r = inputs(table)
    df = np.exp(-r * t)
    scale = {
        "delta": df,
        "gamma": df / (f * v * np.sqrt(t)),
        "vega": df * f * np.sqrt(t),
        "theta": df * f * v / np.sqrt(t) + np.abs(r) * table["price"],
        "rho": t * table["price"] + t * df * np.maximum(f, k) * 1e-3,
    }
    got = pricing.greeks(cp, f, k, t, v, r)
    limit = figure(pricing.greeks, "of its natural scale")
    for name, unit in scale.items():
        error = np.abs(getattr(got, name) - table[name]) / unit
        assert error.max() <= limit, name


def test_greeks_keep_relative_precision_in_the_tails(table):
    got = pricing.greeks(*inputs(table))
    for name in reference.GREEKS:
        want = table[name]
        far = np.abs(want) > 1e-280
        error = np.abs(getattr(got, name)[far] / want[far] - 1.0)
        assert np.quantile(error, 0.99) < 1e-12, name
        assert error.max() < 1e-11, name


def test_higher_greeks_against_the_table(table):
    n = len(table["vanna"])
    got = pricing.greeks2(*inputs(table, n))
    for name in reference.GREEKS2:
        want = table[name]
        far = np.abs(want) > 1e-280
        error = np.abs(getattr(got, name)[far] / want[far] - 1.0)
        assert error.max() < figure(pricing.greeks2, "relative"), name


def test_price_greeks_is_price_and_greeks(table):
    rows = inputs(table, 3000)
    both = pricing.price_greeks(*rows)
    assert np.array_equal(both.price, pricing.price(*rows))
    for name, column in pricing.greeks(*rows)._asdict().items():
        assert np.array_equal(column, getattr(both, name))


def finite(name, row, model):
    """Central differences of a 60-digit price."""
    from mpmath import mp, mpf

    with mp.workdps(60):
        w, f, k, t, v, r, q = (mpf(x) for x in row)

        def value(f=f, t=t, v=v, r=r):
            forward = f * mp.exp((r - q) * t) if model == "bsm" else f
            s = v * mp.sqrt(t)
            d1 = mp.log(forward / k) / s + s / 2
            tail = lambda z: mp.erfc(z / mp.sqrt(2)) / 2  # noqa: E731
            return mp.exp(-r * t) * w * (forward * tail(-w * d1) - k * tail(-w * (d1 - s)))

        h = mpf(10) ** -12

        def d(f_, x):
            def slope(**at):
                centre, step = at.get(x, base[x]), base[x] * h
                return (f_(**{**at, x: centre + step}) - f_(**{**at, x: centre - step})) / (2 * step)

            return slope

        base = {"f": f, "t": t, "v": v, "r": r}
        delta = d(value, "f")
        gamma = d(delta, "f")
        chains = {
            "delta": delta, "gamma": gamma, "vega": d(value, "v"), "theta": d(value, "t"), "rho": d(value, "r"),
            "vanna": d(delta, "v"), "volga": d(d(value, "v"), "v"), "charm": d(delta, "t"),
            "speed": d(gamma, "f"), "zomma": d(gamma, "v"), "color": d(gamma, "t"),
        }  # fmt: skip
        sign = -1 if name in ("theta", "charm", "color") else 1
        return float(sign * chains[name]())


@pytest.mark.parametrize("model", ["black76", "bsm"])
@pytest.mark.parametrize("row", [
    (1.0, 24500.0, 24700.0, 0.02, 0.12, 0.06, 0.0),
    (-1.0, 24500.0, 23000.0, 0.3, 0.25, 0.05, 0.012),
    (1.0, 100.0, 100.0, 2.0, 0.8, -0.01, 0.03),
    (-1.0, 1.0, 3.0, 0.5, 0.4, 0.02, 0.0),
])  # fmt: skip
def test_greeks_are_derivatives_of_the_price(row, model):
    w, f, k, t, v, r, q = row
    q = q if model == "bsm" else 0.0
    got = pricing.greeks(w, f, k, t, v, r, model=model, dividend=q)._asdict()
    got |= pricing.greeks2(w, f, k, t, v, r, model=model, dividend=q)._asdict()
    for name, value in got.items():
        assert value == pytest.approx(finite(name, (w, f, k, t, v, r, q), model), rel=1e-9), name


ordinary = {
    "f": st.floats(1.0, 1e5),
    "ratio": st.floats(0.2, 5.0),
    "t": st.floats(1e-6, 5.0),
    "v": st.floats(0.01, 3.0),
    "r": st.floats(-0.05, 0.2),
}


@settings(max_examples=200, deadline=None)
@given(**ordinary)
def test_put_call_parity_and_bounds(f, ratio, t, v, r):
    k = f * ratio
    call, put = pricing.price([1, -1], f, k, t, v, r)
    df = math.exp(-r * t)
    assert call - put == pytest.approx(df * (f - k), abs=1e-12 * max(f, k))
    slack = 1e-14 * max(f, k)
    assert max(df * (f - k), 0.0) - slack <= call <= df * f + slack
    assert max(df * (k - f), 0.0) - slack <= put <= df * k + slack


@settings(max_examples=200, deadline=None)
@given(scale=st.floats(0.01, 100.0), **ordinary)
def test_homogeneity_and_monotonicity(f, ratio, t, v, r, scale):
    k = f * ratio
    value = pricing.price(1, f, k, t, v, r)
    assert pricing.price(1, f * scale, k * scale, t, v, r) == pytest.approx(scale * value, rel=1e-9, abs=1e-290)
    assert pricing.price(1, f * 1.001, k, t, v, r) >= value
    assert pricing.price(1, f, k * 1.001, t, v, r) <= value
    assert pricing.price(1, f, k, t, v * 1.001, r) >= value * (1 - 1e-14)


@pytest.mark.parametrize("cp", [1, -1])
@pytest.mark.parametrize("model", ["black76", "bsm"])
@pytest.mark.parametrize(("f", "k"), [(100, 90), (90, 100), (100, 100), (0, 100), (100, 0), (0, 0)])
@pytest.mark.parametrize(("t", "v"), [(0.0, 0.2), (0.5, 0.0), (0.0, 0.0)])
def test_limits_of_no_time_or_no_vol(cp, model, f, k, t, v):
    rate = 0.05
    got = pricing.price(cp, f, k, t, v, rate, model=model)
    forward = f * math.exp(rate * t) if model == "bsm" else f
    assert got == pytest.approx(max(cp * (forward - k), 0.0) * math.exp(-rate * t), rel=1e-15)
    assert not math.copysign(1.0, got) < 0.0
    delta, gamma, vega, theta, _ = pricing.greeks(cp, f, k, t, v, rate, model=model)
    if forward != k:
        carry = 1.0 if model == "bsm" else math.exp(-rate * t)
        assert delta == pytest.approx(cp * carry if cp * (forward - k) > 0 else 0.0)
        assert (gamma, vega) == (0.0, 0.0)
        assert math.isfinite(theta)
    elif f > 0:
        assert delta == pytest.approx(cp * 0.5 * math.exp(-rate * t))
        assert gamma == math.inf


@pytest.mark.parametrize(("f", "k"), [(0.0, 100.0), (100.0, 0.0)])
@pytest.mark.parametrize("cp", [1, -1])
def test_limits_of_no_forward_or_no_strike(cp, f, k):
    assert pricing.price(cp, f, k, 0.5, 0.2) == max(cp * (f - k), 0.0)
    got = pricing.greeks(cp, f, k, 0.5, 0.2)
    assert got.delta == (cp if cp * (f - k) > 0 else 0.0)
    assert (got.gamma, got.vega, got.theta) == (0.0, 0.0, 0.0)


def test_unbounded_vol_and_time_reach_the_bound():
    assert pricing.price(1, 100.0, 90.0, 1.0, math.inf) == 100.0
    assert pricing.price(-1, 100.0, 90.0, 1.0, math.inf) == 90.0
    assert pricing.price(1, 100.0, 90.0, math.inf, 0.2) == 100.0
    assert pricing.price(-1, 100.0, 90.0, 1.0, 50.0) == pytest.approx(90.0, rel=1e-15)


def test_nan_in_nan_out():
    row = [1.0, 100.0, 100.0, 0.1, 0.2, 0.05]
    for i in range(6):
        bad = list(row)
        bad[i] = math.nan
        assert math.isnan(pricing.price(*bad))
        assert all(math.isnan(x) for x in pricing.greeks(*bad))
        assert all(math.isnan(x) for x in pricing.greeks2(*bad))
        column = [np.array([x, y]) for x, y in zip(row, bad, strict=True)]
        assert np.isnan(pricing.price(*column)).tolist() == [False, True]


@pytest.mark.parametrize(("name", "place"), [("forward", 1), ("strike", 2), ("tte", 3), ("iv", 4)])
def test_negative_scalars_raise_and_array_rows_are_nan(name, place):
    row = [1.0, 100.0, 100.0, 0.1, 0.2]
    row[place] = -0.5
    with pytest.raises(BadData, match=rf"{name} must not be negative, was -0.5"):
        pricing.price(*row)
    with pytest.raises(BadData, match=name):
        pricing.greeks2(*row)
    row[place] = np.array([-0.5, 0.5])
    assert np.isnan(pricing.price(*row)).tolist() == [True, False]
    assert np.isnan(pricing.greeks(*row).delta).tolist() == [True, False]


def test_bsm_is_black76_on_its_forward():
    s, k, t, v, r, q = 24500.0, np.linspace(20000, 30000, 41), 0.25, 0.18, 0.065, 0.012
    forward = s * math.exp((r - q) * t)
    assert pricing.price(1, s, k, t, v, r, model="bsm", dividend=q) == pytest.approx(
        pricing.price(1, forward, k, t, v, r), rel=1e-13
    )


def test_model_and_dividend_are_checked():
    with pytest.raises(BadData, match="black76 or bsm, was 'heston'"):
        pricing.price(1, 100, 100, 1, 0.2, model="heston")
    with pytest.raises(BadData, match="dividend belongs to"):
        pricing.price(1, 100, 100, 1, 0.2, dividend=0.01)
    assert pricing.price(1, 100, 100, 1, 0.2, dividend=0.0) == pricing.price(1, 100, 100, 1, 0.2)


def test_named_tuples_and_types():
    got = pricing.greeks("CE", 100, 100, 0.1, 0.2)
    assert got._fields == ("delta", "gamma", "vega", "theta", "rho")
    assert all(type(x) is float for x in got)
    assert pricing.greeks2("ce", 100, 100, 0.1, 0.2)._fields == ("vanna", "volga", "charm", "speed", "zomma", "color")
    assert type(pricing.price(1, 100, 100, 0.1, 0.2)) is float


def test_a_row_does_not_depend_on_its_neighbours(table):
    rows = inputs(table, 2000)
    whole = pricing.price_greeks(*rows)
    for i in (0, 7, 500, 1999):
        alone = pricing.price_greeks(*(float(c[i]) for c in rows))
        assert alone == tuple(column[i] for column in whole)
    shifted = pricing.price(*(c[13:] for c in rows))
    assert np.array_equal(shifted, whole.price[13:])
