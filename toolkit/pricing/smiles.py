"""The smile of one expiry, its density and arbitrage flags; the term structure across expiries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from toolkit.errors import BadData
from toolkit.pricing.arrays import Floats
from toolkit.pricing.black import greeks
from toolkit.pricing.black import price as black_price
from toolkit.pricing.svi import SVI, butterfly, fit_svi, svi_slopes

__all__ = ["Smile", "TermStructure", "calendar_arbitrage", "smile", "term_structure"]

_LEE: Final = 2.0
_LEAST: Final = 5
_GRID: Final = 201

Slopes = Callable[[Floats], tuple[Floats, Floats, Floats]]


@dataclass(frozen=True)
class Smile:
    """A fitted smile.

    Attributes
    ----------
    forward, tte : float
    model : str
    strike, source_iv, weight : ndarray
        What it was fitted to.
    params : SVI or None
        The SVI parameters; a warm start for the next moment.
    residuals : ndarray
        Fitted minus given iv at each strike.
    flags : tuple of str
        ``butterfly`` (negative density between the wings), ``negative_variance``, ``steep_wing`` (a wing
        slope above Lee's bound of 2); empty when sound.
    """

    forward: float
    tte: float
    model: str
    strike: Floats
    source_iv: Floats
    weight: Floats
    params: SVI | None
    slopes: Slopes
    residuals: Floats
    flags: tuple[str, ...]

    @property
    def rmse(self) -> float:
        """Weighted root mean square residual, in vol."""
        w2 = self.weight**2
        return float(np.sqrt(np.sum(w2 * self.residuals**2) / np.sum(w2)))

    def total_variance(self, strike: Any) -> Any:
        """iv squared times tte at ``strike``."""
        k = np.log(np.asarray(strike, np.float64) / self.forward)
        return self.slopes(k)[0]

    def iv(self, strike: Any) -> Any:
        """Volatility at ``strike``; NaN where the fitted variance is negative."""
        w = self.total_variance(strike)
        with np.errstate(invalid="ignore"):
            value = np.sqrt(w / self.tte)
        return float(value) if np.ndim(strike) == 0 else value

    def density(self, strike: Any) -> Any:
        """Risk-neutral density of the settlement value, per point (Breeden and Litzenberger)."""
        at = np.asarray(strike, np.float64)
        k = np.log(at / self.forward)
        w, slope, curve = self.slopes(k)
        with np.errstate(invalid="ignore", divide="ignore"):
            root = np.sqrt(w)
            d2 = -k / root - 0.5 * root
            value = butterfly(k, w, slope, curve) * np.exp(-0.5 * d2 * d2) / (at * root * np.sqrt(2.0 * np.pi))
        return float(value) if np.ndim(strike) == 0 else value

    def cdf(self, strike: Any) -> Any:
        """Risk-neutral probability of settling at or below ``strike``."""
        at = np.asarray(strike, np.float64)
        k = np.log(at / self.forward)
        w, slope, _ = self.slopes(k)
        from scipy.special import ndtr

        with np.errstate(invalid="ignore", divide="ignore"):
            root = np.sqrt(w)
            d2 = -k / root - 0.5 * root
            bell = np.exp(-0.5 * d2 * d2) / np.sqrt(2.0 * np.pi)
            value = ndtr(-d2) + bell * slope / (2.0 * root)
        return float(value) if np.ndim(strike) == 0 else value

    def price(self, cp: Any, strike: Any) -> Any:
        """Undiscounted option price at the fitted vol."""
        return black_price(cp, self.forward, strike, self.tte, self.iv(strike))


def smile(
    strike: Any,
    iv: Any,
    forward: float,
    tte: float,
    model: str = "svi",
    *,
    spread: Any = None,
    start: Smile | None = None,
) -> Smile:
    """Fit the smile of one expiry.

    Parameters
    ----------
    strike, iv : array, shape (n,)
        Rupees and fractions; NaN rows are left out; at least five must remain.
    forward, tte : float
    model : {"svi", "spline"}
        Raw SVI within no-arbitrage bounds, or a cubic smoothing spline of total variance whose
        smoothing is raised until its density is nowhere negative between the outer strikes.
    spread : array, optional
        Bid-ask spread of each price in rupees: errors are weighted by vega / spread (by vega without).
    start : Smile, optional
        An earlier SVI smile: the search starts from it.

    Raises
    ------
    BadData
        For too few strikes, a forward or tte that is not positive, or an unknown model.
    """
    if model not in ("svi", "spline"):
        raise BadData(f"smile model must be svi or spline, was {model!r}")
    if not (forward > 0.0 and tte > 0.0 and np.isfinite(forward) and np.isfinite(tte)):
        raise BadData(f"smile needs a positive forward and tte, was forward {forward:g}, tte {tte:g}")
    at, vol, weight = _points(strike, iv, forward, tte, spread)
    k = np.log(at / forward)
    w = vol * vol * tte
    by_variance = weight / (2.0 * vol * tte)
    params = None
    if model == "svi":
        params = fit_svi(k, w, by_variance, start.params if start is not None else None)
        slopes = _svi(params)
    else:
        slopes = _spline(k, w, by_variance)
    with np.errstate(invalid="ignore"):
        residuals = np.sqrt(slopes(k)[0] / tte) - vol
    return Smile(forward, tte, model, at, vol, weight, params, slopes, residuals, _flags(k, slopes))


def _points(strike: Any, iv: Any, forward: float, tte: float, spread: Any) -> tuple[Floats, Floats, Floats]:
    at, vol = np.broadcast_arrays(np.asarray(strike, np.float64), np.asarray(iv, np.float64))
    wide = np.ones(at.shape) if spread is None else np.broadcast_to(np.asarray(spread, np.float64), at.shape)
    with np.errstate(invalid="ignore"):
        sound = (at > 0.0) & (vol > 0.0) & np.isfinite(at) & np.isfinite(vol) & np.isfinite(wide) & (wide >= 0.0)
    at, vol, wide = at[sound], vol[sound], wide[sound]
    if len(np.unique(at)) < _LEAST:
        raise BadData(f"smile needs at least {_LEAST} strikes with an iv, was {len(np.unique(at))}")
    order = np.argsort(at, kind="stable")
    at, vol, wide = at[order], vol[order], wide[order]
    vega = np.asarray(greeks(1, forward, at, tte, vol).vega)
    least = float(np.median(wide[wide > 0.0])) * 0.05 if (wide > 0.0).any() else 1.0
    weight = vega / np.maximum(wide, least)
    if not weight.max() > 0.0:
        raise BadData("smile: no strike has any vega; the strikes lie too far from the forward for this tte")
    return at, vol, np.maximum(weight / weight.max(), 1e-6)


def _svi(params: SVI) -> Slopes:
    return lambda k: svi_slopes(params, k)


def _spline(k: Floats, w: Floats, weight: Floats) -> Slopes:
    from scipy.interpolate import make_smoothing_spline

    x, first = np.unique(k, return_index=True)
    shares = np.add.reduceat(weight, first)
    y = np.add.reduceat(weight * w, first) / shares
    width = float(np.ptp(x))
    strength = (shares / shares.max()) ** 2
    slopes: Slopes = lambda z: (z, z, z)  # noqa: E731 - replaced in the loop's first round
    for power in range(-9, 4):
        lam = 10.0**power * width**3
        slopes = _wings(make_smoothing_spline(x, y, strength, lam=lam), float(x[0]), float(x[-1]))
        if not _flags(x, slopes):
            break
    return slopes


def _wings(spline: Any, left: float, right: float) -> Slopes:
    one, two = spline.derivative(1), spline.derivative(2)
    low, high = float(spline(left)), float(spline(right))
    low_slope = float(np.clip(one(left), -_LEE, 0.0))
    high_slope = float(np.clip(one(right), 0.0, _LEE))

    def slopes(k: Floats) -> tuple[Floats, Floats, Floats]:
        inside = np.clip(k, left, right)
        below, above = k < left, k > right
        w = np.where(
            below, low + low_slope * (k - left), np.where(above, high + high_slope * (k - right), spline(inside))
        )
        slope = np.where(below, low_slope, np.where(above, high_slope, one(inside)))
        return w, slope, np.where(below | above, 0.0, two(inside))

    return slopes


def _flags(k: Floats, slopes: Slopes) -> tuple[str, ...]:
    inside = np.linspace(k.min(), k.max(), _GRID)
    w, slope, curve = slopes(inside)
    found = []
    if not (w > 0.0).all():
        found.append("negative_variance")
    elif not (butterfly(inside, w, slope, curve) > -1e-9).all():
        found.append("butterfly")
    far = slopes(np.array([k.min() - 10.0, k.max() + 10.0]))[1]
    if np.abs(far).max() > _LEE * (1.0 + 1e-9):
        found.append("steep_wing")
    return tuple(found)


def calendar_arbitrage(near: Smile, far: Smile, moneyness: Any = None) -> Floats:
    """Log-moneyness points at which the farther expiry has less total variance than the nearer.

    Empty means no calendar arbitrage on the grid (by default 201 points between the outer strikes of both).
    """
    if far.tte < near.tte:
        raise BadData(f"calendar_arbitrage takes the nearer smile first, was tte {near.tte:g} before {far.tte:g}")
    if moneyness is None:
        low = max(np.log(s.strike[0] / s.forward) for s in (near, far))
        high = min(np.log(s.strike[-1] / s.forward) for s in (near, far))
        moneyness = np.linspace(low, high, _GRID)
    k = np.asarray(moneyness, np.float64)
    return np.asarray(k[far.slopes(k)[0] < near.slopes(k)[0] * (1.0 - 1e-12)])


@dataclass(frozen=True)
class TermStructure:
    """At-the-money total variance through time, linear between expiries: forward variance constant on each step."""

    tte: Floats
    variance: Floats
    flags: tuple[str, ...]

    def total_variance(self, tte: Any) -> Any:
        """Total variance to ``tte``; beyond the last expiry the last forward variance goes on."""
        t = np.asarray(tte, np.float64)
        last = self.forward_variance[-1]
        inside = np.interp(t, np.concatenate([[0.0], self.tte]), np.concatenate([[0.0], self.variance]))
        return np.where(t > self.tte[-1], self.variance[-1] + last * (t - self.tte[-1]), inside)

    @property
    def forward_variance(self) -> Floats:
        """Variance per year between each expiry and the one before it."""
        return np.asarray(np.diff(self.variance, prepend=0.0) / np.diff(self.tte, prepend=0.0))

    def iv(self, tte: Any) -> Any:
        """At-the-money vol to ``tte``."""
        value = np.sqrt(self.total_variance(tte) / np.asarray(tte, np.float64))
        return float(value) if np.ndim(tte) == 0 else value

    def forward_iv(self, start: float, end: float) -> float:
        """Vol between two times; NaN where total variance falls."""
        spread = float(self.total_variance(end) - self.total_variance(start))
        return float(np.sqrt(spread / (end - start))) if spread >= 0.0 and end > start else float("nan")


def term_structure(tte: Sequence[float] | Floats, iv: Sequence[float] | Floats) -> TermStructure:
    """Build the term structure from at-the-money vols; the flag ``calendar`` says that total variance falls.

    Raises
    ------
    BadData
        When the times are not ascending and positive, or the lengths differ.
    """
    t, v = np.asarray(tte, np.float64), np.asarray(iv, np.float64)
    if t.ndim != 1 or t.shape != v.shape or not len(t) or not (np.diff(t, prepend=0.0) > 0.0).all():
        raise BadData("term_structure needs ascending positive times and as many vols; sort and drop repeats")
    if not (v >= 0.0).all():
        raise BadData("term_structure needs vols that are not negative or unknown; drop those expiries")
    variance = v * v * t
    flags = ("calendar",) if (np.diff(variance) < 0.0).any() else ()
    return TermStructure(t, variance, flags)
