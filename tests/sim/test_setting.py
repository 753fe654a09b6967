"""The day's clock, before and after the closing auction came."""

from __future__ import annotations

import datetime as dt

import numpy as np

from toolkit.calendar import ist_ns
from toolkit.sim.setting import day_clock

OLD, NEW = dt.date(2026, 7, 31), dt.date(2026, 8, 3)


def test_streams_belong_to_the_day_and_the_underlying(make_setting):
    nifty, sensex = make_setting("NIFTY"), make_setting("SENSEX")
    assert nifty.rng(1).random() == make_setting("NIFTY").rng(1).random()
    assert nifty.rng(1).random() != sensex.rng(1).random()
    assert nifty.shared_rng(1).random() == sensex.shared_rng(1).random()
    assert nifty.rng(1).random() != make_setting("NIFTY", OLD).rng(1).random()
    assert nifty.rng(1).random() != make_setting("NIFTY", seed=5).rng(1).random()
    assert (nifty.exchange, sensex.exchange) == ("NSE", "BSE")


def test_the_old_session_ends_at_half_past_three(make_setting):
    clock = day_clock(make_setting(day=OLD))
    assert clock.close_ns == clock.settle_ns == ist_ns(OLD, dt.time(15, 30))
    assert clock.stamps[0] > clock.open_ns == ist_ns(OLD, dt.time(9, 15))
    assert clock.stamps[-1] < clock.close_ns
    assert clock.fraction[-1] < 1.0


def test_the_new_session_outlasts_the_settlement(make_setting):
    clock = day_clock(make_setting(day=NEW))
    assert clock.close_ns == ist_ns(NEW, dt.time(15, 40))
    assert clock.settle_ns == ist_ns(NEW, dt.time(15, 35))
    late = clock.stamps >= clock.settle_ns
    assert late.any()
    assert (clock.fraction[late] == 1.0).all()


def test_shares_sum_to_the_day_and_receipts_follow_stamps(make_setting):
    clock = day_clock(make_setting())
    assert 0.97 < clock.share.sum() <= 1.0
    assert (clock.share > 0).all()
    assert (clock.recv > clock.stamps).all()
    assert (np.diff(clock.recv) > 0).all()


def test_the_index_is_frozen_in_the_auction_and_settles_after(make_setting):
    clock = day_clock(make_setting(day=NEW))
    spot = np.linspace(25000.0, 25100.0, len(clock.stamps))
    shown = clock.index_at(spot)
    still = (clock.stamps >= ist_ns(NEW, dt.time(15, 15))) & (clock.stamps < clock.settle_ns)
    before = clock.stamps < ist_ns(NEW, dt.time(15, 15))
    assert still.sum() > 10
    assert len(set(shown[still].tolist())) == 1
    assert shown[still][0] == shown[before][-1]
    assert abs(shown[-1] - 25100.0) < 0.026


def test_the_index_moves_to_the_close_before_the_auction_came(make_setting):
    clock = day_clock(make_setting(day=OLD))
    spot = np.linspace(25000.0, 25100.0, len(clock.stamps))
    assert np.abs(clock.index_at(spot) - spot).max() < 0.026
    assert (np.rint(clock.index_at(spot) * 100).astype(int) % 5 == 0).all()
