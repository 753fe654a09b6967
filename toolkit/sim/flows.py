"""Volume and open interest of a synthetic session, and the events planted in them.

Contracts open and close inside each step, never more than were traded; the exchange
publishes the result late and in bursts. Planted events push open interest at chosen
strikes through the same accounts, so that what is listed is what the rows carry.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from toolkit.sim.listing import Key, Market
from toolkit.sim.planted import Planted, Window
from toolkit.sim.surface import SESSIONS_A_YEAR

__all__ = ["Board", "Flows", "oi_target", "run_flows", "traded_lots"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_REFRESH_SHARE: Final = 0.93
_PARTIAL_ODDS: Final = 0.39
_PARTIAL_STRIKES: Final = (0.02, 0.21)
_PULL_A_DAY: Final = 0.45
_NOISE_A_DAY: Final = 0.05
_MOST_OF_VOLUME: Final = 0.6
_UNWOUND: Final = 0.45
_SHIFTED: Final = 0.30
_LEAD: Final = 1.18
_ROLLED: Final = 0.28
_ROLLED_STRIKES: Final = 6


@dataclass(frozen=True, slots=True)
class Board:
    """The option contracts of one underlying on one day, ordered as the chain is.

    Arrays have one element a contract, except ``sessions_left`` and ``monthly`` (one a
    series). ``listed_at`` is the first step at which the contract exists.
    """

    keys: tuple[Key, ...]
    expiries: tuple[dt.date, ...]
    series: Ints
    strike: Floats
    cp: Ints
    lot: Ints
    weight: Floats
    listed_at: Ints
    sessions_left: Ints
    monthly: Flags
    step: float

    def member(self, series: int, cp: int) -> Ints:
        """Positions of one side of one series, strikes ascending."""
        return np.flatnonzero((self.series == series) & (self.cp == cp)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Flows:
    """What a day's trading left: (steps, contracts) arrays in lots and the listed events.

    ``refresh_ns`` is the instant inside each step at which ``published`` changed, 0 where
    nothing was refreshed.
    """

    traded: Ints
    oi: Ints
    published: Ints
    refresh_ns: Ints
    events: tuple[Planted, ...]


def _moneyness(board: Board, forward: Floats, vol: float) -> Floats:
    """Signed distance out of the money in standard deviations to expiry; (..., contracts)."""
    years = (board.sessions_left + 0.6) / SESSIONS_A_YEAR
    width = np.maximum(vol * np.sqrt(years), 0.005)[board.series]
    of_contract = forward[..., board.series]
    return np.asarray(board.cp * (board.strike - of_contract) / (of_contract * width), dtype=np.float64)


def _roundness(board: Board) -> Floats:
    steps = np.rint(board.strike / board.step).astype(np.int64)
    return np.where(steps % 10 == 0, 2.6, np.where(steps % 2 == 0, 1.25, 0.6))


def oi_target(board: Board, market: Market, forward: Floats, vol: float) -> Floats:
    """Open interest in lots to which each contract tends: a hump out of the money, tall at round strikes.

    Parameters
    ----------
    board : Board
    market : Market
    forward : ndarray
        Forward of each series.
    vol : float
        Present vol.
    """
    x = _moneyness(board, forward, vol)
    shape = np.exp(-0.5 * ((x - 1.1) / 1.1) ** 2) + 0.12 * np.exp(-np.abs(x) / 4.0) * (x > 0.0) + 1e-6
    shape = shape * _roundness(board)
    weekly = np.exp(-np.maximum(board.sessions_left - 1, 0) / 4.0) * np.where(board.sessions_left == 0, 0.8, 1.0)
    monthly = np.where(board.monthly, 0.45 * np.exp(-board.sessions_left / 18.0), 0.0)
    total = market.side_oi_lots * np.maximum(weekly, monthly)
    return np.asarray(_normalized(board, shape) * total[board.series] * board.weight, dtype=np.float64)


def _normalized(board: Board, shape: Floats) -> Floats:
    """Scale ``shape`` (..., contracts) to sum to 1 over each side of each series."""
    out = np.empty_like(shape)
    for series in range(len(board.expiries)):
        for cp in (1, -1):
            at = board.member(series, cp)
            out[..., at] = shape[..., at] / shape[..., at].sum(axis=-1, keepdims=True)
    return out


def traded_lots(
    rng: np.random.Generator, board: Board, market: Market, forward: Floats, vol: float, share: Floats
) -> Ints:
    """Draw lots traded in each step, near the money most, in the U shape of ``share``.

    Parameters
    ----------
    rng : Generator
    board : Board
    market : Market
    forward : ndarray
        (steps, series) forwards.
    vol : float
        Present vol.
    share : ndarray
        Share of the day's activity in each step.
    """
    x = _moneyness(board, forward, vol)
    decay = np.where(x > 0.0, 0.8, 0.35)
    shape = np.exp(-np.abs(x) / decay) + 0.012 * np.exp(-np.abs(x) / 4.0) * (x > 0.0) + 1e-7
    shape = shape * np.sqrt(_roundness(board) * board.weight)
    left = board.sessions_left
    weekly = np.where(left == 0, 2.2, np.exp(-np.maximum(left - 1, 0) / 2.2))
    monthly = np.where(board.monthly, 0.05 * np.exp(-left / 25.0), 0.0)
    total = market.side_day_lots * np.maximum(np.maximum(weekly, monthly), 0.004)
    pace = share * rng.lognormal(-0.03, 0.25, len(share))
    mean = _normalized(board, shape) * total[board.series] * pace[:, None]
    lots = rng.poisson(mean * rng.gamma(3.0, 1.0 / 3.0, mean.shape)).astype(np.int64)
    alive = np.arange(len(share))[:, None] >= board.listed_at
    return np.asarray(lots * alive, dtype=np.int64)


@dataclass(slots=True)
class _Push:
    """A resolved event: steps, contracts and the lots each must gain or lose."""

    kind: str
    first: int
    last: int
    side: int
    lose: Ints
    gain: Ints
    lots: Ints
    gained: Ints


def run_flows(
    rng: np.random.Generator,
    board: Board,
    market: Market,
    traded: Ints,
    start_lots: Ints,
    target: Floats,
    share: Floats,
    stamps: Ints,
    bursts: Ints,
    windows: Sequence[Window],
) -> Flows:
    """Walk open interest through the day and publish it in bursts.

    Parameters
    ----------
    rng : Generator
    board, market : Board, Market
    traded : ndarray
        (steps, contracts) lots; events add the trades that they need.
    start_lots, target : ndarray
        Open interest at the open and the level to which it tends, lots.
    share : ndarray
        Share of the day's activity in each step.
    stamps, bursts : ndarray
        Snapshot stamps and refresh instants, ns.
    windows : sequence of Window
        Events of open interest to plant.
    """
    traded = traded.copy()
    goal = target.copy()
    steps, count = traded.shape
    push = np.zeros((steps, count), dtype=np.int64)
    oi = np.empty((steps, count), dtype=np.int64)
    noise = rng.standard_normal((steps, count))
    resolved: list[tuple[Window, _Push]] = []
    pending = sorted((w for w in windows if w.kind in _RESOLVERS), key=lambda w: w.start_ns)
    now = start_lots.copy()
    for k in range(steps):
        while pending and stamps[k] >= pending[0].start_ns:
            window = pending.pop(0)
            last = max(int(np.searchsorted(stamps, window.end_ns, "right")), k + 1)
            found = _RESOLVERS[window.kind](rng, board, now, k, min(last, steps))
            if found is not None:
                _apply(found, push, traded, goal)
                resolved.append((window, found))
        drift = _PULL_A_DAY * share[k] * (goal - now) + _NOISE_A_DAY * np.sqrt(share[k]) * now * noise[k]
        cap = (_MOST_OF_VOLUME * traded[k]).astype(np.int64)
        flow = np.clip(np.rint(drift).astype(np.int64) + push[k], -cap, cap)
        now = np.maximum(now + flow, 0)
        oi[k] = now
    published, refresh = _publish(rng, board, oi, start_lots, stamps, bursts)
    events = [_listed(board, market, window, found, oi, start_lots) for window, found in resolved]
    return Flows(traded, oi, published, refresh, tuple(events))


def _apply(found: _Push, push: Ints, traded: Ints, goal: Floats) -> None:
    """Spread an event evenly over its steps, with the trades that carry it."""
    length = found.last - found.first
    for at, lots, sign in ((found.lose, found.lots, -1), (found.gain, found.gained, 1)):
        for i, total in zip(at, lots, strict=True):
            each = np.diff(np.rint(np.linspace(0.0, float(total), length + 1))).astype(np.int64)
            push[found.first : found.last, i] += sign * each
            traded[found.first : found.last, i] += 3 * each + 2
            goal[i] = max(goal[i] + sign * float(total), 0.0)


def _largest(board: Board, now: Ints, series: int, cp: int) -> tuple[Ints, int]:
    side = board.member(series, cp)
    return side, int(np.argmax(now[side]))


def _wall_shift(rng: np.random.Generator, board: Board, now: Ints, first: int, last: int) -> _Push | None:
    cp = 1 if rng.random() < 0.5 else -1
    distance, direction = int(rng.integers(2, 5)), 1 if rng.random() < 0.5 else -1
    side, wall = _largest(board, now, 0, cp)
    if not 0 <= wall + direction * distance < len(side):
        direction = -direction
    to = wall + direction * distance
    leaves = round(_SHIFTED * int(now[side[wall]]))
    after = now[side].copy()
    after[wall] -= leaves
    lead = int(_LEAD * np.delete(after, to).max()) - int(after[to])
    arrives = max(lead, leaves)
    one = np.ones(1, dtype=np.int64)
    return _Push("WALL_SHIFT", first, last, cp, one * side[wall], one * side[to], one * leaves, one * arrives)


def _wall_unwind(rng: np.random.Generator, board: Board, now: Ints, first: int, last: int) -> _Push | None:
    cp = 1 if rng.random() < 0.5 else -1
    side, wall = _largest(board, now, 0, cp)
    one, none = np.ones(1, dtype=np.int64), np.empty(0, dtype=np.int64)
    return _Push("WALL_UNWIND", first, last, cp, one * side[wall], none, one * round(_UNWOUND * now[side[wall]]), none)


def _roll(rng: np.random.Generator, board: Board, now: Ints, first: int, last: int) -> _Push | None:
    if len(board.expiries) < 2:
        return None
    cp = 1 if rng.random() < 0.5 else -1
    near, far = board.member(0, cp), board.member(1, cp)
    common = np.flatnonzero(np.isin(board.strike[near], board.strike[far]))
    if not len(common):
        return None
    top = common[np.argsort(-now[near[common]], kind="stable")[:_ROLLED_STRIKES]]
    lose = near[np.sort(top)]
    gain = far[np.searchsorted(board.strike[far], board.strike[lose])]
    lots = np.rint(_ROLLED * now[lose]).astype(np.int64)
    return _Push("ROLL", first, last, cp, lose, gain, lots, lots.copy())


_RESOLVERS: Final = {"WALL_SHIFT": _wall_shift, "WALL_UNWIND": _wall_unwind, "ROLL": _roll}


def _listed(board: Board, market: Market, window: Window, found: _Push, oi: Ints, start_lots: Ints) -> Planted:
    """Say what an event did, from the accounts and not from the plan."""
    before = oi[found.first - 1] if found.first else start_lots
    change = (oi[found.last - 1] - before) * board.lot
    side = "CE" if found.side > 0 else "PE"
    origin = board.keys[int(found.lose[0])]
    if found.kind == "ROLL":
        size = int(min(-change[found.lose].sum(), change[found.gain].sum()))
        return Planted(
            "ROLL",
            market.name,
            window.start_ns,
            window.end_ns,
            size,
            expiry=origin.expiry,
            side=side,
            to_expiry=board.keys[int(found.gain[0])].expiry,
        )
    if found.kind == "WALL_UNWIND":
        size = int(-change[found.lose[0]])
        return Planted(
            "WALL_UNWIND", market.name, window.start_ns, window.end_ns, size, origin.expiry, side, origin.strike_p
        )
    to = board.keys[int(found.gain[0])]
    name = "WALL_SHIFT_UP" if to.strike_p > origin.strike_p else "WALL_SHIFT_DOWN"
    size = int(change[found.gain[0]])
    return Planted(
        name, market.name, window.start_ns, window.end_ns, size, origin.expiry, side, origin.strike_p, to.strike_p
    )


def _publish(
    rng: np.random.Generator, board: Board, oi: Ints, start_lots: Ints, stamps: Ints, bursts: Ints
) -> tuple[Ints, Ints]:
    """Publish the state of a step before at each burst, and a few strikes in between."""
    steps, count = oi.shape
    published = np.empty_like(oi)
    refresh = np.zeros(steps, dtype=np.int64)
    strikes, strike_of = np.unique(board.strike, return_inverse=True)
    shown = start_lots.copy()
    edges = np.searchsorted(bursts, stamps, "right")
    for k in range(steps):
        before = oi[k - 1] if k else start_lots
        burst = edges[k] > (edges[k - 1] if k else 0)
        draw, partial = rng.random(count), rng.random()
        chosen = rng.random(len(strikes)) < rng.uniform(*_PARTIAL_STRIKES)
        if burst:
            shown = np.where(draw < _REFRESH_SHARE, before, shown)
            refresh[k] = bursts[edges[k] - 1]
        elif k and partial < _PARTIAL_ODDS:
            shown = np.where(chosen[strike_of], before, shown)
            refresh[k] = int(rng.integers(stamps[k - 1] // 1_000_000_000 + 1, stamps[k] // 1_000_000_000 + 1)) * (
                1_000_000_000
            )
        published[k] = shown
    return published, refresh
