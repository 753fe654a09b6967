"""Volume, open interest and planted flows of one day."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from toolkit.sim.flows import Board, oi_target, run_flows, traded_lots
from toolkit.sim.listing import Key, market
from toolkit.sim.paths import burst_times, stream
from toolkit.sim.planted import Window
from toolkit.sim.surface import session_share

NIFTY = market("NIFTY")
EXPIRIES = (dt.date(2026, 7, 14), dt.date(2026, 7, 21), dt.date(2026, 7, 28))
FORWARD = np.array([25000.0, 25020.0, 25050.0])
STEPS = 340
MINUTE = 60_000_000_000
STAMPS = (np.arange(STEPS) * 66 + 20).astype(np.int64) * 1_000_000_000
SHARE = np.diff(session_share((np.arange(STEPS) + 1) / STEPS), prepend=0.0)


def board(left=(1, 6, 11), each=20):
    strikes = [2500000 + i * 5000 for i in range(-each, each + 1)]
    keys = tuple(Key(e, s, cp) for e in EXPIRIES for s in strikes for cp in (1, -1))
    count = len(keys)
    return Board(
        keys,
        EXPIRIES,
        np.array([EXPIRIES.index(k.expiry) for k in keys]),
        np.array([k.strike_p / 100 for k in keys]),
        np.array([k.cp for k in keys]),
        np.full(count, 65),
        np.ones(count),
        np.zeros(count, dtype=np.int64),
        np.array(left),
        np.array([False, False, True]),
        50.0,
    )


BOARD = board()


def trade(seed=1, windows=(), on=BOARD):
    rng = stream(seed, "NIFTY", dt.date(2026, 7, 13), 4)
    target = oi_target(on, NIFTY, FORWARD, 0.12)
    start = np.rint(target * 0.9).astype(np.int64)
    traded = traded_lots(rng, on, NIFTY, np.tile(FORWARD, (STEPS, 1)), 0.12, SHARE)
    bursts = burst_times(rng, 0, int(STAMPS[-1]))
    return start, run_flows(rng, on, NIFTY, traded, start, target, SHARE, STAMPS, bursts, windows)


def window(kind, start=100, minutes=25):
    return Window(kind, int(STAMPS[start]), int(STAMPS[start]) + minutes * MINUTE)


def test_members_are_one_side_of_a_series_with_strikes_ascending():
    at = BOARD.member(1, -1)
    assert len(at) == 41
    assert (np.diff(BOARD.strike[at]) > 0).all()
    assert {BOARD.keys[i].expiry for i in at} == {EXPIRIES[1]}


def test_target_is_tall_out_of_the_money_and_at_round_strikes():
    target = oi_target(BOARD, NIFTY, FORWARD, 0.12)
    calls = BOARD.member(0, 1)
    wall = BOARD.strike[calls][np.argmax(target[calls])]
    assert wall in (25000.0, 25500.0)
    strike = dict(zip(BOARD.strike[calls], target[calls], strict=True))
    assert strike[25500.0] > 2 * strike[25450.0]
    assert strike[25300.0] > 5 * strike[24700.0]
    puts = BOARD.member(0, -1)
    assert (target[puts] * BOARD.strike[puts]).sum() / target[puts].sum() < 25000.0


def test_target_falls_with_time_to_expiry_and_monthlies_hold_more():
    target = oi_target(BOARD, NIFTY, FORWARD, 0.12)
    total = [target[BOARD.series == i].sum() for i in range(3)]
    assert total[0] == pytest.approx(2 * NIFTY.side_oi_lots)
    assert total[1] < 0.5 * total[0]
    weekly = oi_target(board(left=(1, 11, 11)), NIFTY, FORWARD, 0.12)
    assert weekly[BOARD.series == 2].sum() > 2 * weekly[BOARD.series == 1].sum()


def test_trading_is_near_the_money_early_and_late():
    rng = stream(1, "x", dt.date(2026, 7, 13), 0)
    traded = traded_lots(rng, BOARD, NIFTY, np.tile(FORWARD, (STEPS, 1)), 0.12, SHARE)
    calls = BOARD.member(0, 1)
    by_strike = traded[:, calls].sum(axis=0)
    assert abs(BOARD.strike[calls][np.argmax(by_strike)] - 25000.0) <= 100.0
    by_step = traded.sum(axis=1)
    assert by_step[:20].mean() > 1.4 * by_step[150:200].mean()
    assert (by_step > 0).all()
    assert traded[:, BOARD.series == 0].sum() > 3 * traded[:, BOARD.series == 1].sum()


def test_a_late_contract_does_not_trade_before_it_exists():
    late = replace(BOARD, listed_at=np.where(BOARD.strike == 26000.0, 200, 0))
    _, flows = trade(on=late)
    new = late.listed_at == 200
    assert flows.traded[:200, new].sum() == 0
    assert flows.traded[200:, new].sum() > 0


def test_no_contract_opens_or_closes_more_than_traded():
    start, flows = trade(windows=(window("WALL_SHIFT"), window("ROLL", 200)))
    steps = np.abs(np.diff(flows.oi, axis=0, prepend=start[None, :]))
    assert (steps <= flows.traded).all()
    assert (flows.oi >= 0).all()
    assert (np.abs(flows.published - start) <= np.cumsum(flows.traded, axis=0)).all()


def test_publication_lags_and_comes_in_bursts():
    start, flows = trade()
    changed = np.diff(flows.published, axis=0, prepend=start[None, :]) != 0
    near = changed[:, BOARD.series == 0]
    strikes = BOARD.strike[BOARD.series == 0]
    touched = np.array([len(set(strikes[row])) / 41 for row in near])
    assert 0.25 < (touched == 0).mean() < 0.45
    assert 0.30 < (touched > 0.25).mean() < 0.52
    assert ((flows.refresh_ns > 0) | ~changed.any(axis=1)).all()
    at = np.flatnonzero(flows.refresh_ns)
    assert (flows.refresh_ns[at] <= STAMPS[at]).all()
    assert (flows.refresh_ns[at[1:]] > STAMPS[at[1:] - 1]).all()
    lag = np.abs(np.diff(flows.published, axis=0)) > flows.traded[1:]
    assert lag.any()


@pytest.mark.parametrize("seed", range(6))
def test_a_wall_shift_makes_the_new_strike_the_largest(seed):
    start, flows = trade(seed, (window("WALL_SHIFT"),))
    (event,) = flows.events
    cp = 1 if event.side == "CE" else -1
    side = BOARD.member(0, cp)
    before, after = flows.oi[99, side], flows.oi[140, side]
    strikes = (BOARD.strike[side] * 100).astype(np.int64)
    assert strikes[np.argmax(before)] == event.from_p
    assert strikes[np.argmax(after)] == event.to_p
    assert event.type == ("WALL_SHIFT_UP" if event.to_p > event.from_p else "WALL_SHIFT_DOWN")
    move = np.abs(after - before)
    assert {int(strikes[i]) for i in np.argsort(move)[-2:]} == {event.from_p, event.to_p}
    assert event.size == pytest.approx((after - before)[strikes == event.to_p][0] * 65, rel=0.1)
    assert start.sum() > 0


@pytest.mark.parametrize("seed", range(4))
def test_an_unwind_takes_the_wall_down_and_nothing_else_up(seed):
    _, flows = trade(seed, (window("WALL_UNWIND", minutes=18),))
    (event,) = flows.events
    side = BOARD.member(0, 1 if event.side == "CE" else -1)
    change = flows.oi[130, side] - flows.oi[99, side]
    strikes = (BOARD.strike[side] * 100).astype(np.int64)
    assert strikes[np.argmin(change)] == event.from_p
    assert -change.min() > 5 * max(change.max(), 1)
    assert event.to_p is None
    assert event.size > 0.3 * flows.oi[99, side].max() * 65


def test_a_roll_moves_near_to_far():
    _, flows = trade(2, (window("ROLL"),))
    (event,) = flows.events
    cp = 1 if event.side == "CE" else -1
    near, far = BOARD.member(0, cp), BOARD.member(1, cp)
    change = flows.oi[140] - flows.oi[99]
    assert (event.expiry, event.to_expiry) == (EXPIRIES[0], EXPIRIES[1])
    assert change[near].sum() * 65 < -0.8 * event.size
    assert change[far].sum() * 65 > 0.8 * event.size
    assert event.size > 0.05 * flows.oi[99, near].sum() * 65


def test_without_windows_nothing_is_planted():
    _, flows = trade()
    assert flows.events == ()
    assert flows.refresh_ns.dtype == np.int64
