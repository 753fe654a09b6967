"""Fair values, spreads, sizes and last prices."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from toolkit.sim.flows import Board
from toolkit.sim.listing import Key, market
from toolkit.sim.paths import stream
from toolkit.sim.quotes import fair_values, forwards, half_spreads, last_traded, make_quotes, to_paise_array

CURVE = market("NIFTY").curve
EXPIRY = dt.date(2026, 7, 21)
KEYS = tuple(Key(EXPIRY, s, cp) for s in range(2450000, 2550001, 5000) for cp in (1, -1))
BOARD = Board(
    KEYS,
    (EXPIRY,),
    np.zeros(len(KEYS), dtype=np.int64),
    np.array([k.strike_p / 100 for k in KEYS]),
    np.array([k.cp for k in KEYS]),
    np.full(len(KEYS), 65),
    np.ones(len(KEYS)),
    np.zeros(len(KEYS), dtype=np.int64),
    np.array([6]),
    np.array([False]),
    50.0,
)
STEPS = 50
FORWARD = np.full((STEPS, 1), 25013.3)
VOL, FRACTION = np.full(STEPS, 0.12), np.linspace(0.1, 0.9, STEPS)


def quotes(traded=None):
    lots = np.ones((STEPS, len(KEYS)), dtype=np.int64) if traded is None else traded
    return make_quotes(stream(1, "x", EXPIRY, 5), BOARD, lots, FORWARD, VOL, FRACTION, CURVE, 0.05)


def test_the_forward_carries_the_spot_to_settlement():
    year = 365 * 86_400 * 1_000_000_000
    found = forwards(np.array([100.0, 100.0]), 0.05, np.array([0, 2 * year]), np.array([0, year]))
    assert found[0].tolist() == pytest.approx([100.0, 100.0 * np.exp(0.05)])
    assert found[1].tolist() == [100.0, 100.0]


def test_fair_values_obey_parity_and_decay():
    fair = fair_values(BOARD, FORWARD, VOL, FRACTION, CURVE)
    calls, puts = fair[:, BOARD.cp > 0], fair[:, BOARD.cp < 0]
    strike = BOARD.strike[BOARD.cp > 0]
    assert calls - puts == pytest.approx(25013.3 - np.tile(strike, (STEPS, 1)), abs=1e-8)
    assert (np.diff(calls, axis=0) < 0).all()


def test_quotes_surround_the_fair_value_within_a_tick():
    found = quotes()
    assert (found.bid < found.ask).all()
    assert np.abs((found.bid + found.ask) / 2 - found.fair).max() <= 0.0125 + 1e-9
    assert (to_paise_array(found.bid) % 5 == 0).all()


def test_deep_and_dear_contracts_have_wider_spreads():
    half = half_spreads(BOARD, quotes().fair, FORWARD)
    deep = (BOARD.cp > 0) & (BOARD.strike == 24500.0)
    near = (BOARD.cp > 0) & (BOARD.strike == 25000.0)
    assert half[:, deep].mean() > 3 * half[:, near].mean()


def test_sizes_are_whole_lots_and_larger_on_cheap_contracts():
    found = quotes()
    for size in (found.bid_qty, found.ask_qty):
        assert (size % 65 == 0).all()
        assert (size > 0).all()
    cheap = found.fair[0] < 60
    assert found.bid_qty[:, cheap].mean() > 1.3 * found.bid_qty[:, ~cheap].mean()


def test_the_last_price_is_a_quote_and_moves_only_with_a_trade():
    traded = np.zeros((STEPS, len(KEYS)), dtype=np.int64)
    traded[10::7] = 3
    found = quotes(traded)
    assert np.isnan(found.ltp[:10]).all()
    at_quote = (found.ltp == found.bid) | (found.ltp == found.ask)
    assert at_quote[10::7].all()
    still = np.delete(np.arange(11, STEPS), np.arange(17, STEPS, 7) - 11)
    assert (found.ltp[still] == found.ltp[still - 1]).all()


def test_last_traded_holds():
    price = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]])
    held = last_traded(price, np.array([[False, True], [True, False], [False, False]]))
    assert np.isnan(held[0, 0])
    assert held[1:, 0].tolist() == [2.0, 2.0]
    assert held[:, 1].tolist() == [5.0, 5.0, 5.0]


def test_paise_are_exact():
    assert to_paise_array(np.array([0.05, 112.35, 83450.2])).tolist() == [5, 11235, 8345020]
