"""One synthetic session of one underlying, from last night's state to tonight's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.calendar import ist_ns
from toolkit.market.schema import TICKS
from toolkit.sim import closing, frames
from toolkit.sim.flows import Board, Flows, oi_target, run_flows, traded_lots
from toolkit.sim.futures import Futures, run_futures
from toolkit.sim.listing import (
    Carried,
    Key,
    Overnight,
    check_unchanged,
    option_expiries,
    sessions_left,
    strikes_around,
)
from toolkit.sim.paths import DayPath, day_path
from toolkit.sim.planted import Planted, Window, draw_windows
from toolkit.sim.quotes import Quotes, fair_values, forwards, make_quotes, to_paise_array
from toolkit.sim.setting import Clock, Setting, day_clock
from toolkit.sim.ticktape import TickScene, liquid_contracts, tick_rows

__all__ = ["Day", "generate_day"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_HOUR_NS: Final = 3_600 * 1_000_000_000
_CARRY_NOISE: Final = 0.002
_WEIGHT_SPREAD: Final = 0.3


@dataclass(frozen=True, slots=True)
class Day:
    """A generated day: tables of the store, planted events, state for the next day."""

    tables: dict[str, pl.DataFrame]
    events: tuple[Planted, ...]
    state: Overnight


@dataclass(frozen=True, slots=True)
class _Start:
    """What each contract on the board starts the day with."""

    token: Ints
    oi_lots: Ints
    previous_p: Ints
    next_token: int


def generate_day(setting: Setting, before: Overnight | None) -> Day:
    """Generate one session.

    Parameters
    ----------
    setting : Setting
        The day, which must be a session of ordinary length.
    before : Overnight or None
        State after the session before; None starts a history.
    """
    market, clock = setting.market, day_clock(setting)
    state = before or Overnight(market.level, market.vol, market.carry, market.first_token, {}, {})
    board, windows = _board(setting, clock, state)
    start = _start(setting, board, state, first_day=before is None)
    path = day_path(
        setting.shared_rng(1),
        setting.rng(1),
        market.path,
        clock.fraction,
        (state.spot, state.vol),
        market.curve.long_run,
    )
    carry = market.carry + 0.8 * (state.carry - market.carry) + _CARRY_NOISE * float(setting.rng(3).standard_normal())
    settle = np.array([setting.calendar.settlement_ns(e) for e in board.expiries], dtype=np.int64)
    forward = forwards(path.spot, carry, clock.stamps, settle)
    flows = _flows(setting, board, clock, forward, state.vol, start, windows)
    tick_p = setting.rules.tick_p(setting.name, "option", setting.day)
    quotes = make_quotes(
        setting.rng(5), board, flows.traded, forward, path.vol, clock.fraction, market.curve, tick_p / 100.0
    )
    futures, next_token = run_futures(setting, clock, path.spot, carry, state.futures, start.next_token, before is None)
    kept, gap = _outage(setting, clock, windows)
    shown = clock.index_at(path.spot)
    chain, repeats = _chain(setting, board, start, clock, flows, quotes, futures, shown, kept)
    scene = TickScene(board, path, flows, quotes, clock.stamps, kept, settle, carry, market.curve, tick_p / 100.0)
    tables = {
        "chain": chain,
        "futures": frames.futures_frame(
            setting.name,
            futures.expiries,
            futures.token,
            futures.lot,
            clock.stamps[kept],
            clock.recv[kept],
            futures.columns(kept),
        ),
        "spot": _spot(setting, clock, path, shown, kept),
        "ticks": _ticks(setting, scene, start.token, float(forward[0, 0])),
    }
    closes, after = _close(setting, board, start, clock, flows, quotes, futures, shown, path, state)
    events = (*flows.events, *gap, *repeats, *_listing_events(setting, board, clock, flows))
    tonight = Overnight(float(shown[-1]), float(path.vol[-1]), carry, next_token, *after)
    return Day(tables | closes, events, tonight)


def _board(setting: Setting, clock: Clock, state: Overnight) -> tuple[Board, tuple[Window, ...]]:
    """List the day's contracts, and draw which events it has."""
    plan, rules, day = setting.plan, setting.rules, setting.day
    expiries = option_expiries(rules, setting.name, day, plan.weeklies, plan.monthlies)
    near = expiries[0] <= setting.calendar.next(day)
    windows = draw_windows(setting.rng(2), day, every=plan.every_event, near_expiry=near)
    step_p = rules.strike_step_p(setting.name)
    strikes: dict[dt.date, set[int]] = {e: set() for e in expiries}
    for key in state.options:
        if key.expiry in strikes:
            strikes[key.expiry].add(key.strike_p)
    for i, expiry in enumerate(expiries):
        each = plan.each_side[min(i, len(plan.each_side) - 1)]
        strikes[expiry] |= set(strikes_around(state.spot, step_p, each))
    late: dict[tuple[dt.date, int], int] = {}
    for window in windows:
        if window.kind == "DATA_NEW_STRIKE":
            expiry = expiries[int(setting.rng(7).integers(0, min(2, len(expiries))))]
            edge = max(strikes[expiry]) + step_p
            late[expiry, edge] = int(np.searchsorted(clock.stamps, window.start_ns))
            strikes[expiry].add(edge)
    keys = [Key(e, s, cp) for e in expiries for s in sorted(strikes[e]) for cp in (1, -1)]
    series = {e: i for i, e in enumerate(expiries)}
    lots = {e: rules.lot(setting.name, e, day) for e in expiries}
    held = {key.expiry: c.lot for key, c in state.options.items()}
    check_unchanged(held, expiries, lots, setting.name, day)
    sessions = [sessions_left(setting.calendar, day, e) for e in expiries]
    board = Board(
        keys=tuple(keys),
        expiries=tuple(expiries),
        series=np.array([series[k.expiry] for k in keys], dtype=np.int64),
        strike=np.array([k.strike_p for k in keys], dtype=np.float64) / 100.0,
        cp=np.array([k.cp for k in keys], dtype=np.int64),
        lot=np.array([lots[k.expiry] for k in keys], dtype=np.int64),
        weight=_weights(setting, keys, state),
        listed_at=np.array([late.get((k.expiry, k.strike_p), 0) for k in keys], dtype=np.int64),
        sessions_left=np.array(sessions, dtype=np.int64),
        monthly=np.array([rules.is_monthly(setting.name, e, on=day) for e in expiries]),
        step=step_p / 100.0,
    )
    return board, windows


def _weights(setting: Setting, keys: Sequence[Key], state: Overnight) -> Floats:
    """Each contract's own popularity, drawn when it is listed and kept for life."""
    drawn = setting.rng(8).lognormal(-0.5 * _WEIGHT_SPREAD**2, _WEIGHT_SPREAD, len(keys))
    held = [state.options.get(k) for k in keys]
    return np.array([d if c is None else c.weight for d, c in zip(drawn, held, strict=True)])


def _start(setting: Setting, board: Board, state: Overnight, *, first_day: bool) -> _Start:
    """Take over last night's contracts; give new ones a token and, on the first day, a past."""
    next_token = state.next_token
    token, oi, previous = [], [], []
    usual, fair_p = _past(setting, board, state) if first_day else (None, None)
    for i, key in enumerate(board.keys):
        held = state.options.get(key)
        if held is None:
            token.append(next_token)
            next_token += 1
            old = board.listed_at[i] == 0
            oi.append(int(usual[i]) if usual is not None and old else 0)
            previous.append(int(fair_p[i]) if fair_p is not None and old else closing.UNKNOWN)
        else:
            token.append(held.token)
            oi.append(held.oi_lots)
            previous.append(closing.UNKNOWN if held.close_p is None else held.close_p)
    return _Start(_whole(token), _whole(oi), _whole(previous), next_token)


def _whole(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def _past(setting: Setting, board: Board, state: Overnight) -> tuple[Ints, Ints]:
    """Open interest in lots and closes in paise of the night before history starts."""
    last = setting.calendar.previous(setting.day)
    close_ns = np.array([setting.calendar.bounds_ns(last)[1]], dtype=np.int64)
    settle = np.array([setting.calendar.settlement_ns(e) for e in board.expiries], dtype=np.int64)
    forward = forwards(np.array([state.spot]), state.carry, close_ns, settle)
    eve = Board(
        board.keys,
        board.expiries,
        board.series,
        board.strike,
        board.cp,
        board.lot,
        board.weight,
        board.listed_at,
        board.sessions_left + 1,
        board.monthly,
        board.step,
    )
    usual = np.rint(oi_target(eve, setting.market, forward[0], state.vol)).astype(np.int64)
    fair = fair_values(eve, forward, np.array([state.vol]), np.array([1.0]), setting.market.curve)[0]
    return usual, np.maximum(to_paise_array(fair) // 5 * 5, 5)


def _flows(
    setting: Setting,
    board: Board,
    clock: Clock,
    forward: Floats,
    vol: float,
    start: _Start,
    windows: Sequence[Window],
) -> Flows:
    rng = setting.rng(4)
    traded = traded_lots(rng, board, setting.market, forward, vol, clock.share)
    target = oi_target(board, setting.market, forward[0], vol)
    return run_flows(
        rng,
        board,
        setting.market,
        traded,
        start.oi_lots,
        target,
        clock.share,
        clock.stamps,
        clock.bursts,
        windows,
    )


def _outage(setting: Setting, clock: Clock, windows: Sequence[Window]) -> tuple[Flags, list[Planted]]:
    """Drop the snapshots of an outage of the feed."""
    kept = np.ones(len(clock.stamps), dtype=np.bool_)
    events = []
    for window in windows:
        if window.kind == "DATA_GAP":
            lost = (clock.stamps >= window.start_ns) & (clock.stamps < window.end_ns)
            kept &= ~lost
            events.append(Planted("DATA_GAP", setting.name, window.start_ns, window.end_ns, int(lost.sum())))
    return kept, events


def _chain(
    setting: Setting,
    board: Board,
    start: _Start,
    clock: Clock,
    flows: Flows,
    quotes: Quotes,
    futures: Futures,
    shown: Floats,
    kept: Flags,
) -> tuple[pl.DataFrame, list[Planted]]:
    """Chain rows in order of receipt, some snapshots received twice under one stamp."""
    rng = setting.rng(9)
    steps = np.arange(len(clock.stamps))
    columns = {
        "oi": flows.published * board.lot,
        "volume": np.cumsum(flows.traded, axis=0) * board.lot,
        "ltp": quotes.ltp,
        "bid": quotes.bid,
        "ask": quotes.ask,
        "bid_qty": quotes.bid_qty,
        "ask_qty": quotes.ask_qty,
        "spot": shown,
        "futures": futures.ltp[:, 0],
    }
    again = _repeated(rng, clock, kept)
    order = np.sort(np.concatenate([steps[kept], again]), kind="stable")
    alive = steps[order][:, None] >= board.listed_at
    row, contract = np.nonzero(alive)
    step = order[row]
    second = np.zeros(len(order), dtype=np.bool_)
    second[1:] = order[1:] == order[:-1]
    recv = clock.recv[order] + second * 25_000_000_000
    value_step = step + (second[row] & (rng.random(len(row)) < 0.01))
    frame = frames.chain_frame(
        board, setting.name, start.token, step, contract, clock.stamps[step], recv[row], columns, value_step
    )
    size = [int((order[row] == k).sum()) // 2 for k in again]
    events = [
        Planted("DATA_REPEAT", setting.name, int(clock.stamps[k]), int(clock.stamps[k]), rows)
        for k, rows in zip(again, size, strict=True)
    ]
    return frame, events


def _repeated(rng: np.random.Generator, clock: Clock, kept: Flags) -> Ints:
    """Steps whose stamp is received a second time before the next one comes."""
    roomy = np.flatnonzero(kept[:-1] & kept[1:] & (np.diff(clock.stamps) >= 60_000_000_000))
    count = min(int(rng.integers(1, 5)), len(roomy))
    return np.sort(rng.choice(roomy, size=count, replace=False)).astype(np.int64)


def _spot(setting: Setting, clock: Clock, path: DayPath, shown: Floats, kept: Flags) -> pl.DataFrame:
    high, low = _shown_range(clock, path, shown)
    opening = np.concatenate([[_index(path.open)], shown[:-1]])
    columns = {"open": opening[kept], "high": high[kept], "low": low[kept], "ltp": shown[kept]}
    return frames.spot_frame(setting.name, clock.stamps[kept], clock.recv[kept], columns)


def _index(value: float) -> float:
    return round(value * 20.0) / 20.0


def _shown_range(clock: Clock, path: DayPath, shown: Floats) -> tuple[Floats, Floats]:
    """High and low of the published index since the stamp before; its ends when it stands still."""
    before = np.concatenate([[_index(path.open)], shown[:-1]])
    moving = np.isclose(shown, np.rint(path.spot * 20.0) / 20.0)
    high, low = np.rint(path.high * 20.0) / 20.0, np.rint(path.low * 20.0) / 20.0
    top, bottom = np.maximum(before, shown), np.minimum(before, shown)
    return np.where(moving, np.maximum(high, top), top), np.where(moving, np.minimum(low, bottom), bottom)


def _ticks(setting: Setting, scene: TickScene, token: Ints, forward: float) -> pl.DataFrame:
    begin = setting.plan.tick_start
    if begin is None:
        return TICKS.to_frame()
    start_ns = ist_ns(setting.day, begin)
    at = liquid_contracts(scene.board, forward, setting.plan.tick_strikes)
    rows = tick_rows(setting.rng(10), scene, at, start_ns, start_ns + _HOUR_NS)
    return frames.ticks_frame(setting.name, token, rows)


def _close(
    setting: Setting,
    board: Board,
    start: _Start,
    clock: Clock,
    flows: Flows,
    quotes: Quotes,
    futures: Futures,
    shown: Floats,
    path: DayPath,
    state: Overnight,
) -> tuple[dict[str, pl.DataFrame], tuple[dict[Key, Carried], dict[dt.date, Carried]]]:
    """End-of-day tables and what lives on."""
    tick_p = setting.rules.tick_p(setting.name, "option", setting.day)
    close_p = closing.close_prices(quotes.ltp, flows.traded, clock, tick_p, start.previous_p)
    unknown = [closing.UNKNOWN] * len(futures.expiries)
    held = [state.futures.get(e) for e in futures.expiries]
    last = [u if c is None or c.close_p is None else c.close_p for u, c in zip(unknown, held, strict=True)]
    future_p = closing.close_prices(futures.ltp, futures.traded, clock, futures.tick_p, np.array(last, dtype=np.int64))
    spot = float(shown[-1])
    high, low = _shown_range(clock, path, shown)
    rows = [
        *closing.eod_rows(setting, board, start.token, start.oi_lots, start.previous_p, close_p, flows, quotes, spot),
        *closing.future_rows(setting, futures, state.futures, future_p, spot),
        closing.index_row(setting, _index(path.open), float(high.max()), float(low.min()), spot, state.spot),
    ]
    tables = closing.close_frames(rows, closing.instrument_rows(setting, board, start.token, futures))
    options = closing.carried_options(setting, board, start.token, close_p, flows)
    return tables, (options, closing.carried_futures(setting, futures, future_p))


def _listing_events(setting: Setting, board: Board, clock: Clock, flows: Flows) -> list[Planted]:
    """Strikes listed in the day, and the series that expires today."""
    events = []
    for i in np.flatnonzero((board.listed_at > 0) & (board.cp > 0)):
        at, key = int(clock.stamps[board.listed_at[i]]), board.keys[i]
        events.append(Planted("DATA_NEW_STRIKE", setting.name, at, at, 2, expiry=key.expiry, to_p=key.strike_p))
    if board.expiries[0] == setting.day:
        dying = board.series == 0
        size = int((flows.oi[-1] * board.lot)[dying].sum())
        events.append(Planted("EXPIRY_DAY", setting.name, clock.open_ns, clock.settle_ns, size, expiry=setting.day))
    return events
