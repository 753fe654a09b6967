"""Index futures of a synthetic day: the forward itself, quoted on the futures' own tick."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from toolkit.sim.listing import Carried, future_expiries
from toolkit.sim.quotes import forwards, last_traded
from toolkit.sim.setting import Clock, Setting
from toolkit.sim.surface import quote

__all__ = ["Futures", "run_futures"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_BY_MONTH: Final = np.array([1.0, 0.12, 0.03])


@dataclass(frozen=True, slots=True)
class Futures:
    """(steps, expiries) arrays in rupees and units, and the tokens of the contracts."""

    expiries: tuple[dt.date, ...]
    token: Ints
    lot: Ints
    tick_p: int
    start_lots: Ints
    ltp: Floats
    bid: Floats
    ask: Floats
    bid_qty: Ints
    ask_qty: Ints
    traded: Ints
    oi: Ints
    published: Ints

    def columns(self, kept: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.generic]]:
        """The columns of the futures table at the kept steps."""
        volume = np.cumsum(self.traded, axis=0) * self.lot
        return {
            "oi": (self.published * self.lot)[kept],
            "volume": volume[kept],
            "ltp": self.ltp[kept],
            "bid": self.bid[kept],
            "ask": self.ask[kept],
            "bid_qty": self.bid_qty[kept],
            "ask_qty": self.ask_qty[kept],
        }


def run_futures(
    setting: Setting,
    clock: Clock,
    spot: Floats,
    carry: float,
    carried: Mapping[dt.date, Carried],
    next_token: int,
    first_day: bool,
) -> tuple[Futures, int]:
    """Trade the three nearest monthly futures through a day.

    Parameters
    ----------
    setting : Setting
    clock : Clock
    spot : ndarray
        Spot that options are priced on.
    carry : float
        Carry a year, the same as the options' forward has.
    carried : mapping
        Contracts alive last night.
    next_token : int
        First token free for a new contract.
    first_day : bool
        Whether history starts today, with open interest at its usual level.

    Returns
    -------
    Futures, int
        The day's futures and the next free token.
    """
    rng = setting.rng(6)
    expiries = future_expiries(setting.rules, setting.name, setting.day)
    new = [e for e in expiries if e not in carried]
    tokens = {e: next_token + i for i, e in enumerate(new)} | {e: c.token for e, c in carried.items()}
    settle = np.array([setting.calendar.settlement_ns(e) for e in expiries], dtype=np.int64)
    tick_p = setting.rules.tick_p(setting.name, "future", setting.day, level=float(spot[0]))
    fair = forwards(spot, carry, clock.stamps, settle)
    half = rng.choice([0.5, 1.0, 2.0], size=fair.shape) * tick_p / 100.0 * np.array([1.0, 4.0, 12.0])
    bid, ask = quote(fair, half, tick_p / 100.0)
    lot = np.array([setting.rules.lot(setting.name, e, setting.day) for e in expiries], dtype=np.int64)
    usual = setting.market.future_oi_lots * _BY_MONTH
    traded = rng.poisson(clock.share[:, None] * usual * 0.5 * rng.gamma(3.0, 1.0 / 3.0, fair.shape)).astype(np.int64)
    start = np.array([_start(carried.get(e), u, first_day) for e, u in zip(expiries, usual, strict=True)])
    oi = _walk(rng, traded, start, usual, clock.share)
    ltp = last_traded(np.where(rng.random(fair.shape) < 0.5, bid, ask), traded > 0)
    sizes = [rng.integers(1, 30, size=fair.shape) * lot for _ in range(2)]
    published = _published(oi, start, clock)
    token = np.array([tokens[e] for e in expiries], dtype=np.int64)
    done = Futures(tuple(expiries), token, lot, tick_p, start, ltp, bid, ask, sizes[0], sizes[1], traded, oi, published)
    return done, next_token + len(new)


def _start(carried: Carried | None, usual: float, first_day: bool) -> int:
    if carried is not None:
        return carried.oi_lots
    return round(usual) if first_day else 0


def _walk(rng: np.random.Generator, traded: Ints, start: Ints, usual: Floats, share: Floats) -> Ints:
    """Open interest step by step, never moving more than half of what traded."""
    now, out = start.copy(), np.empty_like(traded)
    noise = rng.standard_normal(traded.shape)
    for k in range(len(traded)):
        wish = 0.3 * share[k] * (usual - now) + 0.03 * np.sqrt(share[k]) * now * noise[k]
        cap = traded[k] // 2
        now = np.maximum(now + np.clip(np.rint(wish).astype(np.int64), -cap, cap), 0)
        out[k] = now
    return out


def _published(oi: Ints, start: Ints, clock: Clock) -> Ints:
    """Open interest as of the step before the last refresh."""
    edges = np.searchsorted(clock.bursts, clock.stamps, "right")
    steps = np.arange(len(oi))
    fresh = np.diff(edges, prepend=0) > 0
    at = np.maximum.accumulate(np.where(fresh, steps - 1, -1))
    return np.where((at >= 0)[:, None], oi[np.maximum(at, 0)], start)
