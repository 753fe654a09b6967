"""The scenario grid: pricing's values to the last bit, exact sums, and the unknown at its worst."""

from __future__ import annotations

import datetime as dt
import math

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.risk.exposure import QUANTA, Position, columns
from toolkit.risk.scenarios import position_pnl, scenario_grid

MOVES = np.array([-1.0, -0.2, -0.03, 0.0, 0.01, 0.15])
VOLS = np.array([-0.5, -0.02, 0.0, 0.05, 2.5])
DAYS = np.array([0.0, 1.0, 10.0, 400.0])


def position(qty=65, strike=25500.0, cp=1, *, iv=0.12, tte=0.03, forward=25480.0, **more):
    return Position(
        symbol=f"{strike:g} {cp}", underlying=more.pop("underlying", "NIFTY"), cp=cp, qty=qty, strike=strike, tte=tte,
        iv=iv, forward=forward, expiry=dt.date(2026, 2, 24), **more,
    )  # fmt: skip


POSITIONS = st.builds(
    position,
    st.integers(-40, 40).filter(bool).map(lambda n: 65 * n),
    st.one_of(st.sampled_from([24000.0, 25480.0, 27000.0]), st.floats(1.0, 1e6)),
    st.sampled_from([1, -1, 0]),
    iv=st.one_of(st.floats(0.0, 3.0), st.just(0.12)),
    tte=st.one_of(st.floats(0.0, 3.0), st.sampled_from([0.0, 1 / 365])),
    forward=st.floats(1.0, 1e6),
    rate=st.sampled_from([0.0, 0.065]),
    underlying=st.sampled_from(["NIFTY", "SENSEX"]),
)


def plain(p, move, vol, days, beta=1.0):
    """One position in one cell by the pricing room alone."""
    if p.cp == 0:
        value = p.qty * p.forward * beta * move
    else:
        then = pricing.price(
            p.cp, max(0.0, p.forward * (1.0 + move * beta)), p.strike, max(p.tte - days / 365, 0.0),
            max(p.iv + vol, 0.0), p.rate,
        )  # fmt: skip
        now = pricing.price(p.cp, p.forward, p.strike, p.tte, p.iv, p.rate)
        value = p.qty * (then - now)
    return round(value / QUANTA["pnl"]) * QUANTA["pnl"]


@settings(max_examples=60, deadline=None)
@given(POSITIONS)
@example(position(65 * 40, 1.0, 1, iv=0.12, tte=0.5, forward=1e6, rate=0.0, underlying="NIFTY"))
def test_one_positions_cells_are_pricings_to_the_last_bit(p):
    grid = scenario_grid([p], MOVES, VOLS, DAYS)
    expected = [[[plain(p, m, v, d) for d in DAYS] for v in VOLS] for m in MOVES]
    assert np.array_equal(grid.pnl, np.array(expected))


@settings(max_examples=30, deadline=None)
@given(st.lists(POSITIONS, min_size=1, max_size=8), st.integers(0, 255))
def test_parts_of_a_book_add_up_to_the_whole_exactly(book, mask):
    book = [msgspec.structs.replace(p, forward=min(p.forward, 1e5)) for p in book]
    halves = [[p for i, p in enumerate(book) if mask >> i & 1 == side] for side in (0, 1)]
    parts = [scenario_grid(half, MOVES, VOLS, DAYS).pnl for half in halves if half]
    assert np.array_equal(sum(parts), scenario_grid(book, MOVES, VOLS, DAYS).pnl)


def test_a_book_of_more_than_a_block_is_its_sum():
    rng = np.random.default_rng(5)
    book = [
        position(int(rng.integers(-9, 10)) * 65 or 65, float(rng.integers(470, 550) * 50), int(rng.choice([1, -1])),
                 iv=float(rng.uniform(0.08, 0.4)), tte=float(rng.uniform(0.003, 0.3)))
        for _ in range(300)
    ]  # fmt: skip
    grid = scenario_grid(book, (-0.05, 0.0, 0.05), (0.0, 0.03), (0.0, 2.0))
    for i, move in enumerate(grid.moves):
        for j, vol in enumerate(grid.vols):
            for k, days in enumerate(grid.days):
                assert grid.pnl[i, j, k] == math.fsum(plain(p, move, vol, days) for p in book)


def test_nothing_moved_is_nothing_gained():
    grid = scenario_grid([position(), position(-65, cp=0)], (0.0,), (0.0,), (0.0,))
    assert grid.pnl[0, 0, 0] == 0.0


def test_worst_and_best_name_their_cell():
    grid = scenario_grid([position(-65)])
    assert grid.pnl.shape == (21, 11, 5)
    assert (grid.worst.move, grid.worst.vol, grid.worst.days) == (0.10, 0.05, 0.0)
    assert grid.worst.pnl == grid.pnl.min()
    assert grid.best.pnl == grid.pnl.max() > 0
    frame = grid.frame()
    assert frame.height == 21 * 11 * 5
    assert frame["pnl"].min() == grid.worst.pnl
    worst = frame.row(frame["pnl"].arg_min(), named=True)
    assert (worst["move"], worst["vol"], worst["days"]) == grid.worst[1:]


def test_betas_move_an_underlying_farther():
    book = [position(65, cp=0), position(20, cp=0, underlying="SENSEX")]
    grid = scenario_grid(book, (0.01,), (0.0,), (0.0,), betas={"SENSEX": 1.5})
    assert grid.pnl[0, 0, 0] == pytest.approx(25480.0 * (0.65 + 0.30), rel=1e-9)


@pytest.mark.parametrize("qty", [65, -65])
@pytest.mark.parametrize("cp", [1, -1])
def test_a_missing_quote_counts_at_its_worst(qty, cp):
    blind = position(qty, cp=cp, iv=math.nan)
    grid = scenario_grid([blind], MOVES, (0.0,), (0.0, 5.0))
    assert grid.unknown == (blind.symbol,)
    for iv in (0.05, 0.12, 0.4, 1.0):
        seen = scenario_grid([msgspec.structs.replace(blind, iv=iv)], MOVES, (0.0,), (0.0, 5.0)).pnl
        assert (grid.pnl <= seen + 1e-6).all()
    assert (grid.pnl < 0.0).any()
    assert grid.pnl[3, 0, 0] < 0.0  # even where nothing moves: it is not known what it is worth


def test_a_known_mark_is_its_value_now():
    blind = position(65, 25000.0, iv=math.nan, mark=1.0)  # below intrinsic value: no vol solves it
    grid = scenario_grid([blind], (0.0,), (0.0,), (0.0,))
    assert grid.unknown == (blind.symbol,)
    assert grid.pnl[0, 0, 0] == pytest.approx(65 * (pricing.price(1, 25480.0, 25000.0, 0.03, 0.05) - 1.0), abs=1e-5)


@pytest.mark.parametrize(
    ("p", "bound"),
    [
        (position(65, mark=90.0, forward=math.nan), -65 * 90.0),
        (position(65, forward=math.nan), -math.inf),
        (position(-65, mark=90.0, forward=math.nan), -math.inf),
        (position(65, cp=-1, forward=math.nan), -65 * 25500.0),
        (position(65, cp=-1, mark=80.0, forward=math.nan), -65 * 80.0),
        (position(-65, cp=-1, mark=80.0, forward=math.nan), -65 * (25500.0 - 80.0)),
        (position(65, cp=0, forward=math.nan), -math.inf),
        (position(0, cp=0, forward=math.nan), 0.0),
    ],
)
def test_without_a_forward_a_position_counts_at_its_bound(p, bound):
    grid = scenario_grid([p, position(65)], (0.0,), (0.0,), (0.0,))
    assert grid.pnl[0, 0, 0] == bound
    assert grid.unknown == (p.symbol,)


def test_who_makes_the_worst_case():
    book = [position(-650), position(65, 26000.0), position(10, cp=0), position(5, iv=math.nan)]
    grid = scenario_grid(book)
    parts = position_pnl(book, *grid.worst[1:])
    assert parts.sum() == grid.worst.pnl
    assert parts.argmin() == 0


def test_columns_are_made_once_for_many_questions():
    book = [position(-65), position(65, 26000.0)]
    assert np.array_equal(scenario_grid(columns(book)).pnl, scenario_grid(book).pnl)


@pytest.mark.parametrize("bad", [{"moves": (-1.1,)}, {"days": (-1.0,)}, {"vols": ()}, {"moves": (math.nan,)}])
def test_unusable_axes_are_refused(bad):
    with pytest.raises(BadData, match="must be"):
        scenario_grid([position()], **bad)
