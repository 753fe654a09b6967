"""Legs held together: payoff, break-evens, limits of gain and loss, probabilities, expected P&L.

Money is in rupees, ``qty`` in signed units of the underlying (+ bought, - sold). A leg's ``price`` is
what was paid or received a unit. The horizon is the nearest expiry: legs that live longer are valued
there by Black-76 at their own vol with the remaining time, the forward equal to the spot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from toolkit.errors import BadData
from toolkit.pricing.arrays import Floats
from toolkit.pricing.black import greeks, price
from toolkit.pricing.smiles import Smile

__all__ = ["Extremes", "Leg", "LegSet"]

KINDS: Final = ("CE", "PE", "FUT", "CASH")
_GRID: Final = 4001
_NODES: Final = 20001


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg. ``CASH`` is ``qty`` rupees that do not move; a future's ``price`` is its entry price.

    ``tte`` (years, NaN for the nearest expiry) and ``iv`` (of its own, for valuing before expiry) are
    needed only where they matter.
    """

    kind: str
    qty: float
    strike: float = math.nan
    price: float = 0.0
    tte: float = math.nan
    iv: float = math.nan

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadData(f"leg kind must be one of {', '.join(KINDS)}, was {self.kind!r}")
        if self.kind in ("CE", "PE") and not self.strike > 0.0:
            raise BadData(f"an option leg needs a positive strike, was {self.strike!r}")
        if not (math.isfinite(self.qty) and math.isfinite(self.price)):
            raise BadData(f"a leg needs a finite qty and price, was qty {self.qty!r}, price {self.price!r}")

    @property
    def option(self) -> bool:
        """Whether the leg is an option."""
        return self.kind in ("CE", "PE")

    @property
    def cp(self) -> float:
        """+1 for a call, -1 for a put."""
        return 1.0 if self.kind == "CE" else -1.0


class Extremes(NamedTuple):
    """Largest gain and loss at the horizon; ``inf`` and ``-inf`` say unbounded. ``at``: a settlement that gives it."""

    gain: float
    loss: float
    gain_at: float
    loss_at: float


@dataclass(frozen=True)
class LegSet:
    """Any set of options, futures and cash on one underlying."""

    legs: tuple[Leg, ...]
    name: str = ""

    def __init__(self, legs: Sequence[Leg], name: str = "") -> None:
        object.__setattr__(self, "legs", tuple(legs))
        object.__setattr__(self, "name", name)
        if not self.legs:
            raise BadData("a leg set needs at least one leg")
        for leg in self._later():
            if not leg.iv > 0.0:
                raise BadData(f"the {leg.kind} {leg.strike:g} leg outlives the horizon and needs an iv, was {leg.iv!r}")

    def __add__(self, other: LegSet) -> LegSet:
        return LegSet(self.legs + other.legs, " + ".join(n for n in (self.name, other.name) if n))

    def scaled(self, factor: float) -> LegSet:
        """The same legs, every quantity times ``factor``."""
        return LegSet([replace(leg, qty=leg.qty * factor) for leg in self.legs], self.name)

    @property
    def horizon(self) -> float:
        """Time to the nearest expiry in years; NaN when no leg states one."""
        known = [leg.tte for leg in self.legs if leg.option and not math.isnan(leg.tte)]
        return min(known) if known else math.nan

    @property
    def premium(self) -> float:
        """Rupees received (positive) or paid (negative) for the options at entry."""
        return -math.fsum(leg.qty * leg.price for leg in self.legs if leg.option)

    def _later(self) -> list[Leg]:
        return [leg for leg in self.legs if leg.option and leg.tte > self.horizon * (1.0 + 1e-12)]

    def payoff(self, spot: Any) -> Any:
        """P&L at the horizon for each settlement value, entry prices included."""
        at = np.asarray(spot, np.float64)
        total = np.zeros(at.shape)
        horizon = self.horizon
        later = self._later()
        for leg in self.legs:
            if leg.kind == "CASH":
                total = total + leg.qty
            elif leg.kind == "FUT":
                total = total + leg.qty * (at - leg.price)
            elif leg in later:
                total = total + leg.qty * (price(leg.cp, at, leg.strike, leg.tte - horizon, leg.iv) - leg.price)
            else:
                total = total + leg.qty * (np.maximum(leg.cp * (at - leg.strike), 0.0) - leg.price)
        return float(total) if total.ndim == 0 else total

    def value(self, spot: Any, elapsed: float = 0.0, vol_shift: float = 0.0, rate: float = 0.0) -> Any:
        """P&L ``elapsed`` years from now at each spot, vols moved by ``vol_shift``; each option needs tte and iv."""
        at = np.asarray(spot, np.float64)
        total = np.zeros(at.shape)
        for leg in self.legs:
            if leg.kind == "CASH":
                total = total + leg.qty
            elif leg.kind == "FUT":
                total = total + leg.qty * (at - leg.price)
            else:
                left, vol = self._state(leg, elapsed, vol_shift)
                total = total + leg.qty * (price(leg.cp, at, leg.strike, left, vol, rate) - leg.price)
        return float(total) if total.ndim == 0 else total

    def greeks(self, spot: float, elapsed: float = 0.0, vol_shift: float = 0.0, rate: float = 0.0) -> dict[str, float]:
        """Net delta, gamma, vega, theta and rho of the set, units as in :func:`toolkit.pricing.greeks`."""
        net = dict.fromkeys(("delta", "gamma", "vega", "theta", "rho"), 0.0)
        for leg in self.legs:
            if leg.kind == "FUT":
                net["delta"] += leg.qty
            elif leg.option:
                left, vol = self._state(leg, elapsed, vol_shift)
                for name, value in greeks(leg.cp, float(spot), leg.strike, left, vol, rate)._asdict().items():
                    net[name] += leg.qty * value
        return net

    def _state(self, leg: Leg, elapsed: float, vol_shift: float) -> tuple[float, float]:
        if math.isnan(leg.tte) or math.isnan(leg.iv):
            raise BadData(f"the {leg.kind} {leg.strike:g} leg needs tte and iv to be valued before expiry")
        return max(leg.tte - elapsed, 0.0), max(leg.iv + vol_shift, 0.0)

    def _kinks(self) -> Floats:
        later = self._later()
        return np.unique([leg.strike for leg in self.legs if leg.option and leg not in later])

    def _knots(self) -> Floats:
        """Settlement values that hold every turn of the payoff, 0 first and far above every strike last."""
        marks = [leg.strike for leg in self.legs if leg.option]
        marks += [leg.price for leg in self.legs if leg.kind == "FUT" and leg.price > 0.0]
        top = 4.0 * max(marks, default=1.0)
        kinks = self._kinks()
        if not self._later():
            return np.unique(np.concatenate([[0.0], kinks, [top]]))
        low = 0.25 * min(marks)
        return np.unique(np.concatenate([[0.0], np.linspace(low, top, _GRID), np.linspace(0.0, low, 101), kinks]))

    def _slope(self) -> float:
        """Rupees a point far above every strike."""
        return math.fsum(leg.qty for leg in self.legs if leg.kind in ("CE", "FUT"))

    def breakevens(self) -> Floats:
        """Settlement values at which the P&L crosses or touches zero, ascending; ends of a flat zero stretch count."""
        knots = self._knots()
        last = knots[-1]
        values = np.asarray(self.payoff(knots))
        tiny = 1e-9 * max(1.0, float(np.abs(values).max()))
        found = [float(k) for k, v in zip(knots, values, strict=True) if abs(v) <= tiny]
        for i in np.flatnonzero((np.abs(values[:-1]) > tiny) & (np.abs(values[1:]) > tiny)):
            if values[i] * values[i + 1] < 0.0:
                found.append(self._root(float(knots[i]), float(knots[i + 1])))
        slope = self._slope()
        if abs(values[-1]) > tiny and slope * values[-1] < 0.0 and not self._later():
            found.append(float(last - values[-1] / slope))
        inner = [x for x in found if x < last or abs(slope) > 0.0]
        return np.unique(np.array(inner, dtype=np.float64))

    def _root(self, low: float, high: float) -> float:
        if self._later():
            from scipy.optimize import brentq

            return float(brentq(self.payoff, low, high, xtol=1e-10, rtol=1e-14))
        a, b = float(self.payoff(low)), float(self.payoff(high))
        return low + (high - low) * a / (a - b)

    def extremes(self) -> Extremes:
        """Largest gain and loss at the horizon over settlements from 0 up; unbounded sides are infinite."""
        knots = self._knots()
        values = np.asarray(self.payoff(knots))
        top, bottom = int(np.argmax(values)), int(np.argmin(values))
        slope = self._slope()
        tiny = 1e-9 * max((abs(leg.qty) for leg in self.legs), default=1.0)
        gain, gain_at = float(values[top]), float(knots[top])
        loss, loss_at = float(values[bottom]), float(knots[bottom])
        if slope > tiny:
            gain, gain_at = math.inf, math.inf
        elif slope < -tiny:
            loss, loss_at = -math.inf, math.inf
        return Extremes(gain, loss, gain_at, loss_at)

    def pop(self, forward: float, tte: float, iv: float | Smile) -> float:
        """Probability that the P&L at the horizon is above zero, lognormal (an ``iv``) or by a fitted smile."""
        edges = np.unique(np.concatenate([[0.0], self.breakevens()]))
        top = max(4.0 * float(edges[-1]), float(self._knots()[-1]), 4.0 * forward)
        edges = np.append(edges[edges < top], top)
        middles = 0.5 * (edges[:-1] + edges[1:])
        below = np.concatenate([[0.0], _cdf(edges[1:-1], forward, tte, iv), [1.0]])
        return float(np.sum(np.diff(below)[np.asarray(self.payoff(middles)) > 0.0]))

    def expected(self, forward: float, tte: float, iv: float | Smile) -> float:
        """Expected P&L at the horizon: exact through option prices; legs that live longer by quadrature."""
        later = self._later()
        total = 0.0
        for leg in self.legs:
            if leg.kind == "CASH":
                total += leg.qty
            elif leg.kind == "FUT":
                total += leg.qty * (forward - leg.price)
            elif leg not in later:
                vol = iv.iv(leg.strike) if isinstance(iv, Smile) else iv
                total += leg.qty * (price(leg.cp, forward, leg.strike, tte, vol) - leg.price)
        if later:
            spots, mass = _masses(forward, tte, iv)
            for leg in later:
                worth = price(leg.cp, spots, leg.strike, leg.tte - self.horizon, leg.iv)
                total += leg.qty * (float(np.dot(worth, mass)) - leg.price)
        return float(total)

    @staticmethod
    def touch(level: float, forward: float, tte: float, iv: float | Smile) -> float:
        """Probability that the forward touches ``level`` before the horizon, as a driftless lognormal (reflection).

        With a smile, its vol at ``level`` is used: an approximation, exact for a flat smile.
        """
        from scipy.special import ndtr

        if not (level > 0.0 and forward > 0.0 and tte >= 0.0):
            raise BadData(f"touch needs positive level and forward, was {level:g} and {forward:g}")
        vol = iv.iv(level) if isinstance(iv, Smile) else iv
        s = vol * math.sqrt(tte)
        b = math.log(level / forward)
        if b == 0.0:
            return 1.0
        if s == 0.0:
            return 0.0
        side = 1.0 if b > 0.0 else -1.0
        drift = -0.5 * s * s
        first = ndtr(side * (drift - b) / s)
        return float(first + forward / level * ndtr(side * (-b - drift) / s))


def _cdf(at: Floats, forward: float, tte: float, iv: float | Smile) -> Floats:
    from scipy.special import ndtr

    if isinstance(iv, Smile):
        return np.asarray(np.clip(iv.cdf(at), 0.0, 1.0))
    s = iv * math.sqrt(tte)
    if s == 0.0:
        return np.where(at >= forward, 1.0, 0.0)
    return np.asarray(ndtr((np.log(at / forward) + 0.5 * s * s) / s))


def _masses(forward: float, tte: float, iv: float | Smile) -> tuple[Floats, Floats]:
    """Settlement values and their probabilities: equal steps of a normal variable, or of a smile's distribution."""
    if not isinstance(iv, Smile):
        from scipy.special import ndtri

        s = iv * math.sqrt(tte)
        z = ndtri((np.arange(_NODES) + 0.5) / _NODES)
        spots = forward * np.exp(s * z - 0.5 * s * s)
        return spots * (forward / spots.mean()), np.full(_NODES, 1.0 / _NODES)
    s = iv.iv(forward) * math.sqrt(tte)
    edges = forward * np.exp(np.linspace(-12.0 * s, 12.0 * s, _NODES + 1))
    mass = np.diff(np.clip(iv.cdf(edges), 0.0, 1.0))
    mass = np.maximum(mass, 0.0) / np.maximum(mass, 0.0).sum()
    return 0.5 * (edges[:-1] + edges[1:]), mass
