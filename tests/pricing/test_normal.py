"""The special functions against 80-digit values: the figures here are what the kernels rest on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mpmath import mp, mpf

from toolkit.pricing import normal

ULP = 2.0**-53
rng = np.random.default_rng(11)


def worst(function, exact, points):
    """Largest relative error in units of 2**-53."""
    most = 0.0
    with mp.workdps(80):
        for point in points:
            args = tuple(float(x) for x in np.atleast_1d(point))
            want = exact(*(mpf(x) for x in args))
            most = max(most, float(abs((mpf(function(*args)) - want) / want)) / ULP)
    return most


def exact_mills(z):
    return mp.sqrt(mp.pi / 2) * mp.exp(z * z / 2) * mp.erfc(z / mp.sqrt(2))


def gap(h, t):
    return (exact_mills(h - t) - exact_mills(h + t)) / (2 * t)


def test_exp():
    assert (
        worst(
            normal.exp_poly, mp.exp, np.concatenate([-(10.0 ** rng.uniform(-8, 2.84, 600)), rng.uniform(0, 700, 100)])
        )
        < 2.0
    )
    assert normal.exp_poly(0.0) == 1.0


def test_density():
    phi = lambda z: mp.exp(z) / mp.sqrt(2 * mp.pi)  # noqa: E731
    assert worst(normal.density_poly, phi, -(10.0 ** rng.uniform(-8, 2.84, 600))) < 3.0
    assert normal.density_poly(0.0) == 1.0 / math.sqrt(2.0 * math.pi)


def test_expm1():
    points = np.concatenate([rng.uniform(-1e-3, 1e-3, 300), rng.uniform(-3, 3, 300)])
    assert worst(normal.expm1_poly, mp.expm1, points) < 8.0
    assert normal.expm1_poly(0.0) == 0.0


def test_log():
    points = np.concatenate(
        [10.0 ** rng.uniform(-300, 300, 300), 1 + rng.normal(0, 1e-6, 200), rng.uniform(0.5, 2, 300)]
    )
    assert worst(normal.log_poly, mp.log, points) < 2.0
    assert normal.log_poly(1.0) == 0.0


def test_log_ratio_keeps_relative_precision_near_one():
    f = 10.0 ** rng.uniform(-3, 5, 600)
    far = f * np.exp(rng.uniform(-6.9, 6.9, 600))
    near = f * (1.0 + 10.0 ** rng.uniform(-15, -1, 600))
    near = np.where(near == f, np.nextafter(f, np.inf), near)
    log = lambda a, b: mp.log(a / b)  # noqa: E731
    assert worst(normal.log_ratio, log, np.stack([f, far], 1)) < 4.0
    assert worst(normal.log_ratio, log, np.stack([f, near], 1)) < 4.0
    assert normal.log_ratio(24500.0, 24500.0) == 0.0


def test_mills_ratio():
    assert worst(normal.mills, exact_mills, rng.uniform(0, 4, 400)) < 6.0
    assert worst(normal.mills, exact_mills, rng.uniform(4, 42, 400)) < 10.0
    assert normal.mills(0.0) == pytest.approx(math.sqrt(math.pi / 2), rel=1e-15)


def test_bracket():
    exact = lambda z: 1 - z * exact_mills(z)  # noqa: E731
    assert worst(normal.bracket, exact, rng.uniform(0, 4, 400)) < 6.0
    assert worst(normal.bracket, exact, rng.uniform(4, 40, 300)) < 16.0


def middle(h, t):
    return (exact_mills(h - t) + exact_mills(h + t)) / 2


def test_series_of_mills_means():
    for _ in range(300):
        h = rng.uniform(0, 10)
        t = 10.0 ** rng.uniform(-6, math.log10(0.125))
        with mp.workdps(80):
            want = float(middle(mpf(h), mpf(t)))
        m, g = normal.mills_slope(h)
        short = normal.middle_short(m, g, h, h * h, t * t)
        assert abs(short - want) < 8 * ULP * want
        assert normal.middle_long(m, g, h, h * h, t * t) == short


def test_long_series_of_mills_means():
    for _ in range(300):
        t = rng.uniform(0.125, 0.75)
        h = rng.uniform(0, min(8.0, 3.45 / t))
        with mp.workdps(80):
            want = float(middle(mpf(h), mpf(t)))
        m, g = normal.mills_slope(h)
        assert abs(normal.middle_long(m, g, h, h * h, t * t) - want) < 32 * ULP * want


def test_series_of_mills_differences():
    for _ in range(300):
        h = rng.uniform(0, 10)
        t = 10.0 ** rng.uniform(-6, math.log10(0.125))
        with mp.workdps(80):
            want = float(gap(mpf(h), mpf(t)))
        g = normal.bracket(h)
        short = normal.series_short(g, h * h, t * t)
        assert abs(short - want) < 8 * ULP * max(want, 0.02)
        assert normal.series_long(g, h * h, t * t) == short


def test_long_series():
    for _ in range(300):
        t = rng.uniform(0.125, 0.75)
        h = rng.uniform(0, min(8.0, 3.45 / t))
        with mp.workdps(80):
            want = float(gap(mpf(h), mpf(t)))
        assert abs(normal.series_long(normal.bracket(h), h * h, t * t) - want) < 16 * ULP * max(want, 0.1)


def test_fma_rounds_once():
    a = 1.0 + 2.0**-30
    assert normal_fma(a, a, -(a * a)) == 2.0**-60
    assert bits_of(1.0) == 0x3FF0000000000000
    assert float_of(0x4000000000000000) == 2.0


def compiled(text):
    from numba import njit

    return njit(text)


def normal_fma(a, b, c):
    return compiled(lambda x, y, z: normal.fma(x, y, z))(a, b, c)


def bits_of(x):
    return compiled(lambda v: normal.bits(v))(x)


def float_of(i):
    return compiled(lambda v: normal.from_bits(v))(i)
