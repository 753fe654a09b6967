"""Bid, ask, sizes and last price of every contract at every step of a synthetic day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from toolkit import pricing
from toolkit.sim.flows import Board
from toolkit.sim.surface import VolCurve, business_time, quote, total_variance

__all__ = ["Quotes", "fair_values", "forwards", "half_spreads", "make_quotes", "to_paise_array"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SERIES_WIDTH: Final = np.array([1.0, 1.8, 3.0, 4.5])
_YEAR_NS: Final = 365 * 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Quotes:
    """(steps, contracts) arrays, rupees and units; ``ltp`` is NaN before the first trade of the day."""

    fair: Floats
    half: Floats
    bid: Floats
    ask: Floats
    bid_qty: Ints
    ask_qty: Ints
    ltp: Floats


def to_paise_array(rupees: Floats) -> Ints:
    """Round rupees to whole paise."""
    return np.rint(rupees * 100.0).astype(np.int64)


def forwards(spot: Floats, carry: float, now_ns: Ints, expiry_ns: Ints) -> Floats:
    """Forward of each expiry at each instant: ``spot * exp(carry * ACT/365 years)``; (steps, expiries)."""
    years = np.maximum(expiry_ns[None, :] - now_ns[:, None], 0) / _YEAR_NS
    return np.asarray(spot[:, None] * np.exp(carry * years), dtype=np.float64)


def fair_values(board: Board, forward: Floats, vol: Floats, fraction: Floats, curve: VolCurve) -> Floats:
    """Price every contract at every step with Black-76, undiscounted.

    Parameters
    ----------
    board : Board
    forward : ndarray
        (steps, series).
    vol, fraction : ndarray
        Present vol and fraction of the session gone, one a step.
    curve : VolCurve
    """
    left = business_time(fraction[:, None], board.sessions_left[None, :])
    of_contract = forward[:, board.series]
    variance = total_variance(np.log(board.strike / of_contract), left[:, board.series], vol[:, None], curve)
    prices = pricing.price(board.cp.astype(np.float64), of_contract, board.strike, 1.0, np.sqrt(variance))
    return np.asarray(prices, dtype=np.float64)


def half_spreads(board: Board, fair: Floats, forward: Floats) -> Floats:
    """Half the usual spread: a tick near the money, wider for dear, deep and far contracts."""
    width = _SERIES_WIDTH[np.minimum(board.series, len(_SERIES_WIDTH) - 1)]
    inside = np.maximum(board.cp * (forward[:, board.series] - board.strike), 0.0)
    return np.asarray(0.02 + (0.0004 * fair + 0.0015 * inside) * width, dtype=np.float64)


def make_quotes(
    rng: np.random.Generator,
    board: Board,
    traded: Ints,
    forward: Floats,
    vol: Floats,
    fraction: Floats,
    curve: VolCurve,
    tick: float,
) -> Quotes:
    """Quote a day.

    Parameters
    ----------
    rng : Generator
    board : Board
    traded : ndarray
        (steps, contracts) lots; a contract's last price moves only when it trades.
    forward, vol, fraction, curve
        As in `fair_values`.
    tick : float
        Price step in rupees.
    """
    fair = fair_values(board, forward, vol, fraction, curve)
    half = half_spreads(board, fair, forward) * rng.choice([0.7, 1.0, 1.6], size=fair.shape, p=[0.25, 0.6, 0.15])
    bid, ask = quote(fair, half, tick)
    scale = 1.0 + 60.0 / (2.0 + fair)
    bid_qty, ask_qty = (_sizes(rng, scale) * board.lot for _ in range(2))
    at_bid = rng.random(fair.shape) < 0.5
    ltp = last_traded(np.where(at_bid, bid, ask), traded > 0)
    return Quotes(fair, half, bid, ask, bid_qty, ask_qty, ltp)


def _sizes(rng: np.random.Generator, scale: Floats) -> Ints:
    lots = np.ceil(scale * rng.choice(np.array([0.25, 0.5, 1.0, 2.0, 5.0]), size=scale.shape))
    return np.asarray(np.maximum(lots, 1.0), dtype=np.int64)


def last_traded(price: Floats, traded: npt.NDArray[np.bool_]) -> Floats:
    """Carry each column's last traded price forward; NaN before its first trade."""
    steps = np.arange(len(price))[:, None]
    at = np.maximum.accumulate(np.where(traded, steps, -1), axis=0)
    values = np.take_along_axis(price, np.maximum(at, 0), axis=0)
    return np.asarray(np.where(at >= 0, values, np.nan), dtype=np.float64)
