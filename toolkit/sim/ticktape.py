"""An hour of ticks that agrees with the snapshots: same quotes, volume and OI at every stamp."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from toolkit.sim.flows import Board, Flows
from toolkit.sim.paths import DayPath, bridge
from toolkit.sim.quotes import Quotes, fair_values, forwards
from toolkit.sim.surface import INTRADAY_SHARE, SESSIONS_A_YEAR, VolCurve, quote, session_share

__all__ = ["TickRows", "TickScene", "liquid_contracts", "tick_rows"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SECOND: Final = 1_000_000_000
_BUSIEST: Final = 0.5
_LEAST: Final = 0.08


@dataclass(frozen=True, slots=True)
class TickScene:
    """What the ticks are drawn between: a day of snapshots of one underlying."""

    board: Board
    path: DayPath
    flows: Flows
    quotes: Quotes
    stamps: Ints
    kept: npt.NDArray[np.bool_]
    expiry_ns: Ints
    carry: float
    curve: VolCurve
    tick: float


@dataclass(frozen=True, slots=True)
class TickRows:
    """Columns of the ticks, in order of time; ``contract`` is a position on the board."""

    ts_ns: Ints
    recv_ns: Ints
    contract: Ints
    ltp: Floats
    last_qty: Ints
    bid: Floats
    ask: Floats
    bid_qty: Ints
    ask_qty: Ints
    volume: Ints
    oi: Ints


_COLUMNS: Final = tuple(field.name for field in fields(TickRows))


def liquid_contracts(board: Board, forward: float, each_side: int) -> Ints:
    """Positions of the nearest series' contracts, ``each_side`` strikes around the money."""
    calls = board.member(0, 1)
    middle = int(np.argmin(np.abs(board.strike[calls] - forward)))
    near = board.strike[calls][max(0, middle - each_side) : middle + each_side + 1]
    return np.flatnonzero((board.series == 0) & np.isin(board.strike, near) & (board.listed_at == 0)).astype(np.int64)


def tick_rows(rng: np.random.Generator, scene: TickScene, at: Ints, start_ns: int, end_ns: int) -> TickRows:
    """Draw ticks between the first and the last snapshot inside ``[start_ns, end_ns)``.

    Parameters
    ----------
    rng : Generator
    scene : TickScene
    at : ndarray
        Positions of the contracts to draw.
    start_ns, end_ns : int
        The hour.
    """
    inside = np.flatnonzero((scene.stamps >= start_ns) & (scene.stamps < end_ns))
    pieces = []
    last_qty = scene.board.lot[at].copy()
    for k in inside[1:]:
        if scene.kept[k] and scene.kept[k - 1]:
            rows, last_qty = _interval(rng, scene, at, int(k), last_qty)
            pieces.append(rows)
    if not pieces:
        return _no_rows()
    columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    return TickRows(**dict(zip(_COLUMNS, columns, strict=True)))


def _no_rows() -> TickRows:
    whole, real = np.empty(0, dtype=np.int64), np.empty(0)
    return TickRows(whole, whole, whole, real, whole, real, real, whole, whole, whole, whole)


def _interval(
    rng: np.random.Generator, scene: TickScene, at: Ints, k: int, last_qty: Ints
) -> tuple[tuple[npt.NDArray[np.generic], ...], Ints]:
    """Ticks of one step: seconds chosen by activity, the last of them the snapshot itself."""
    seconds = int((scene.stamps[k] - scene.stamps[k - 1]) // SECOND)
    second_ns = scene.stamps[k - 1] + np.arange(1, seconds + 1) * SECOND
    bid, ask = _quotes_between(rng, scene, at, k, second_ns)
    lots = scene.flows.traded[k, at]
    busy = np.clip(lots / (lots.max() + 1.0) * _BUSIEST, _LEAST, _BUSIEST)
    shown = rng.random((seconds, len(at))) < busy
    shown[-1] = True
    done = _spread_lots(rng, lots, shown)
    sizes = np.minimum(done, rng.integers(1, 12, size=done.shape)) * scene.board.lot[at]
    quantity = _carried(sizes, done > 0, last_qty)
    trade = np.where(rng.random(done.shape) < 0.5, bid, ask)
    trade[-1] = scene.quotes.ltp[k, at]
    ltp = _carried(trade, done > 0, scene.quotes.ltp[k - 1, at])
    volume = (scene.flows.traded[:k, at].sum(axis=0) + np.cumsum(done, axis=0)) * scene.board.lot[at]
    fresh = second_ns[:, None] >= scene.flows.refresh_ns[k]
    oi = np.where(fresh, scene.flows.published[k, at], scene.flows.published[k - 1, at]) * scene.board.lot[at]
    pick = rng.random(done.shape) < 0.5
    bid_qty = np.where(pick, scene.quotes.bid_qty[k - 1, at], scene.quotes.bid_qty[k, at])
    ask_qty = np.where(pick, scene.quotes.ask_qty[k, at], scene.quotes.ask_qty[k - 1, at])
    bid_qty[-1], ask_qty[-1] = scene.quotes.bid_qty[k, at], scene.quotes.ask_qty[k, at]
    recv = second_ns + rng.integers(80, 700, size=seconds) * 1_000_000
    row, column = np.nonzero(shown)
    grids = (ltp, quantity, bid, ask, bid_qty, ask_qty, volume, oi)
    rows = (second_ns[row], recv[row], at[column], *[grid[row, column] for grid in grids])
    return rows, np.asarray(quantity[-1], dtype=np.int64)


def _quotes_between(
    rng: np.random.Generator, scene: TickScene, at: Ints, k: int, second_ns: Ints
) -> tuple[Floats, Floats]:
    """Quote each second on a bridge between two snapshots; the last second is the snapshot."""
    path, count = scene.path, len(second_ns)
    ends = path.fraction[k - 1 : k + 1]
    years = float(np.diff(session_share(ends))[0]) * INTRADAY_SHARE / SESSIONS_A_YEAR
    scale = float(path.spot[k - 1] * path.vol[k]) * years**0.5
    spot = np.clip(bridge(rng, path.spot[k - 1], path.spot[k], count, scale), path.low[k], path.high[k])
    way = np.arange(1, count + 1) / count
    vol = path.vol[k - 1] + way * (path.vol[k] - path.vol[k - 1])
    fraction = ends[0] + way * (ends[1] - ends[0])
    board = _part(scene.board, at)
    forward = forwards(spot, scene.carry, second_ns, scene.expiry_ns)
    fair = fair_values(board, forward, vol, fraction, scene.curve)
    bid, ask = quote(fair, np.broadcast_to(scene.quotes.half[k, at], fair.shape), scene.tick)
    bid[-1], ask[-1] = scene.quotes.bid[k, at], scene.quotes.ask[k, at]
    return bid, ask


def _part(board: Board, at: Ints) -> Board:
    return Board(
        tuple(board.keys[i] for i in at),
        board.expiries,
        board.series[at],
        board.strike[at],
        board.cp[at],
        board.lot[at],
        board.weight[at],
        board.listed_at[at],
        board.sessions_left,
        board.monthly,
        board.step,
    )


def _spread_lots(rng: np.random.Generator, lots: Ints, shown: npt.NDArray[np.bool_]) -> Ints:
    """Deal each contract's lots over its shown seconds, at least one to the last when any traded."""
    last = np.minimum(lots, 1)
    weight = rng.random(shown.shape) * shown
    share = np.cumsum(weight, axis=0) / weight.sum(axis=0)
    dealt = np.diff(np.rint(share * (lots - last)), axis=0, prepend=0.0).astype(np.int64)
    dealt[-1] += last
    return np.asarray(dealt, dtype=np.int64)


def _carried(
    values: npt.NDArray[np.generic], new: npt.NDArray[np.bool_], before: npt.NDArray[np.generic]
) -> npt.NDArray[np.generic]:
    """Hold each column's value until the next ``new`` one, starting from ``before``."""
    steps = np.arange(len(values))[:, None]
    at = np.maximum.accumulate(np.where(new, steps, -1), axis=0)
    return np.where(at >= 0, np.take_along_axis(values, np.maximum(at, 0), axis=0), before)
