"""Index futures follow the forward."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from toolkit.sim.futures import run_futures
from toolkit.sim.listing import Carried
from toolkit.sim.quotes import forwards, to_paise_array
from toolkit.sim.setting import day_clock

JULY, AUGUST = dt.date(2026, 7, 28), dt.date(2026, 8, 25)


def run(setting, carried=None, first=True):
    clock = day_clock(setting)
    spot = setting.market.level * (1 + 0.002 * np.sin(np.arange(len(clock.stamps)) / 40))
    found, token = run_futures(setting, clock, spot, 0.05, carried or {}, 900, first)
    return clock, spot, found, token


@pytest.mark.parametrize(("name", "tick_p"), [("NIFTY", 10), ("SENSEX", 20)])
def test_the_mid_is_the_forward_on_the_dated_tick(make_setting, name, tick_p):
    setting = make_setting(name)
    clock, spot, found, _ = run(setting)
    settle = np.array([setting.calendar.settlement_ns(e) for e in found.expiries])
    fair = forwards(spot, 0.05, clock.stamps, settle)
    assert found.tick_p == tick_p
    assert (to_paise_array(found.bid) % tick_p == 0).all()
    assert (found.bid < found.ask).all()
    assert np.abs((found.bid + found.ask) / 2 - fair).max() <= tick_p / 400 + 1e-6
    assert (np.diff(fair, axis=1) > 0).all()


def test_new_contracts_take_the_next_tokens_and_old_ones_keep_theirs(make_setting):
    held = {JULY: Carried(7, 65, 1000, 2_500_000, 1.0)}
    _, _, found, token = run(make_setting(), held, first=False)
    assert found.expiries[0] == JULY
    assert found.token.tolist() == [7, 900, 901]
    assert token == 902
    assert found.start_lots.tolist() == [1000, 0, 0]


def test_open_interest_never_moves_more_than_traded(make_setting):
    _, _, found, _ = run(make_setting())
    steps = np.abs(np.diff(found.oi, axis=0, prepend=found.start_lots[None, :]))
    assert (steps <= found.traded).all()
    assert (found.oi >= 0).all()
    assert found.published[0].tolist() == found.start_lots.tolist()
    assert (np.diff(found.published, axis=0) != 0).any(axis=1).mean() < 0.6


def test_the_near_month_is_the_busy_one(make_setting):
    _, _, found, _ = run(make_setting())
    day = found.traded.sum(axis=0)
    assert day[0] > 4 * day[1] > 0
    assert found.start_lots[0] > found.start_lots[1] > found.start_lots[2] > 0


def test_columns_are_units_of_the_kept_steps(make_setting):
    clock, _, found, _ = run(make_setting())
    kept = np.zeros(len(clock.stamps), dtype=bool)
    kept[::2] = True
    columns = found.columns(kept)
    assert {v.shape for v in columns.values()} == {(kept.sum(), 3)}
    assert (columns["volume"] % 65 == 0).all()
    assert (np.diff(columns["volume"], axis=0) >= 0).all()
    assert columns["oi"][0].tolist() == (found.start_lots * 65).tolist()
