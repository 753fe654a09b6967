"""Value at risk on the grid: past days, the normal distribution, and nothing outside the grid."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from toolkit.errors import BadData
from toolkit.risk.exposure import Position
from toolkit.risk.scenarios import scenario_grid
from toolkit.risk.var import grid_pnl, historical_var, parametric_var

FUTURE = Position(symbol="FUT", underlying="NIFTY", cp=0, qty=65, forward=25000.0)
CALL = Position(symbol="C", underlying="NIFTY", cp=1, qty=-65, strike=25000.0, forward=25000.0, iv=0.12, tte=0.05)
NOTIONAL = 65 * 25000.0
MOVES, VOLS = np.linspace(-0.1, 0.1, 81), np.linspace(-0.1, 0.1, 9)


def grid(*book, days=(0.0, 1.0)):
    return scenario_grid(book, MOVES, VOLS, days)


def test_between_points_a_straight_book_is_exact():
    made = grid_pnl(grid(FUTURE), [0.0123, -0.0999, 0.1], 0.01)
    assert made == pytest.approx(NOTIONAL * np.array([0.0123, -0.0999, 0.1]), abs=1e-5)


def test_the_interpolation_of_an_option_is_within_two_percent_of_its_loss():
    rng = np.random.default_rng(2)
    moves, vols = rng.uniform(-0.09, 0.09, 50), rng.uniform(-0.04, 0.09, 50)
    made = grid_pnl(grid(CALL), moves, vols)
    exact = np.array([scenario_grid([CALL], (m,), (v,), (0.0,)).pnl[0, 0, 0] for m, v in zip(moves, vols, strict=True)])
    assert np.abs(made - exact).max() < 0.02 * np.abs(exact).max()


def test_past_days_are_ordered_losses():
    moves = -np.arange(1, 101) / 2000.0
    found = historical_var(grid(FUTURE), moves, confidence=0.95)
    worst = NOTIONAL * np.arange(96, 101) / 2000.0
    assert found.var == pytest.approx(worst[0], rel=1e-9)
    assert found.shortfall == pytest.approx(worst.mean(), rel=1e-9)
    assert found.worst == pytest.approx(worst[-1], rel=1e-9)
    assert found.points == 100


def test_gains_only_are_no_risk():
    assert historical_var(grid(FUTURE), [0.01, 0.02]).var == 0.0


@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_a_straight_book_has_the_normals_quantile(confidence):
    found = parametric_var(grid(FUTURE), 0.01, confidence=confidence, nodes=2001)
    assert found.var == pytest.approx(-NOTIONAL * 0.01 * NormalDist().inv_cdf(1 - confidence), rel=0.01)


def test_vol_that_rises_in_a_fall_costs_a_short_straddle_more():
    put = Position(symbol="P", underlying="NIFTY", cp=-1, qty=-65, strike=25000.0, forward=25000.0, iv=0.12, tte=0.05)
    book = grid(CALL, put)
    alone = parametric_var(book, 0.01).var
    assert parametric_var(book, 0.01, 0.02).var > alone
    assert parametric_var(grid(put), 0.01, 0.02, -0.7).var > parametric_var(grid(put), 0.01, 0.02, 0.7).var


def test_a_day_of_decay_helps_a_seller():
    book = grid(CALL)
    assert parametric_var(book, 0.005, day=1).var < parametric_var(book, 0.005, day=0).var


def test_a_loss_without_bound_is_infinite():
    blind = Position(symbol="F", underlying="X", cp=0, qty=1)
    assert parametric_var(grid(FUTURE, blind), 0.01).var == math.inf
    assert historical_var(grid(FUTURE, blind), [0.0, 0.01]).var == math.inf


def test_points_outside_the_grid_are_refused():
    with pytest.raises(BadData, match=r"every move must lie in the grid, -0.1 to 0.1, was -0.2 to 0; widen"):
        historical_var(grid(FUTURE), [-0.2, 0.0])
    with pytest.raises(BadData, match="every vol shift must lie in the grid"):
        historical_var(grid(FUTURE), [0.0], [0.5])
    with pytest.raises(BadData, match="widen the grid"):
        parametric_var(grid(FUTURE), 0.05)
    with pytest.raises(BadData, match="sigma must be above 0"):
        parametric_var(grid(FUTURE), 0.0)
    with pytest.raises(BadData, match=r"confidence must lie between 0\.5 and 1"):
        historical_var(grid(FUTURE), [0.0], confidence=1.0)


def test_a_grid_of_one_vol_takes_no_vol_change():
    one = scenario_grid([FUTURE], MOVES, (0.0,), (0.0,))
    assert historical_var(one, [-0.01]).var == pytest.approx(NOTIONAL * 0.01)
    with pytest.raises(BadData, match="vol shift"):
        historical_var(one, [-0.01], [0.01])
