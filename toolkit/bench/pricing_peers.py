"""Other libraries' prices, Greeks and implied vols over one set of arrays.

Each peer is a class whose jobs take the arrays once (conversion is not timed) and give a function of
no arguments that computes every row. Black-76, rate 0, prices of out-of-the-money options.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["PEERS", "Arrays", "Peer", "installed"]

Floats = npt.NDArray[np.float64]
Job = Callable[[], Any]


class Arrays(NamedTuple):
    """Inputs of equal length; ``price`` is the value of each row."""

    cp: Floats
    forward: Floats
    strike: Floats
    tte: Floats
    iv: Floats
    price: Floats

    def head(self, n: int) -> Arrays:
        """The first ``n`` rows."""
        return Arrays(*(column[:n] for column in self))


class Peer(NamedTuple):
    """A library: its module, how many rows it is given at most, and its jobs."""

    name: str
    module: str
    most: int
    price: Callable[[Any, Arrays], Job] | None = None
    greeks: Callable[[Any, Arrays], Job] | None = None
    implied: Callable[[Any, Arrays], Job] | None = None


def _numpy_price(ndtr: Any, a: Arrays) -> Job:
    def job() -> Floats:
        s = a.iv * np.sqrt(a.tte)
        d1 = np.log(a.forward / a.strike) / s + 0.5 * s
        return np.asarray(a.cp * (a.forward * ndtr(a.cp * d1) - a.strike * ndtr(a.cp * (d1 - s))))

    return job


def _numpy_greeks(ndtr: Any, a: Arrays) -> Job:
    def job() -> tuple[Floats, ...]:
        root = np.sqrt(a.tte)
        s = a.iv * root
        d1 = np.log(a.forward / a.strike) / s + 0.5 * s
        tail = ndtr(a.cp * d1)
        price = a.cp * (a.forward * tail - a.strike * ndtr(a.cp * (d1 - s)))
        density = np.exp(-0.5 * d1 * d1) * 0.3989422804014327
        vega = a.forward * density * root
        return price, a.cp * tail, density / (a.forward * s), vega, -0.5 * vega * a.iv / a.tte, -a.tte * price

    return job


def _scipy(job: Callable[[Any, Arrays], Job]) -> Callable[[Any, Arrays], Job]:
    return lambda module, a: job(module.ndtr, a)


def _numba_price(numba: Any, a: Arrays) -> Job:
    @numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator, unused-ignore]
    def plain(cp: Any, f: Any, k: Any, t: Any, v: Any) -> Any:
        out = np.empty(f.size)
        for i in range(f.size):
            s = v[i] * math.sqrt(t[i])
            d1 = math.log(f[i] / k[i]) / s + 0.5 * s
            up = 0.5 * math.erfc(-cp[i] * d1 * 0.7071067811865476)
            down = 0.5 * math.erfc(-cp[i] * (d1 - s) * 0.7071067811865476)
            out[i] = cp[i] * (f[i] * up - k[i] * down)
        return out

    return lambda: plain(a.cp, a.forward, a.strike, a.tte, a.iv)


def _flags(a: Arrays) -> list[str]:
    return ["c" if w > 0 else "p" for w in a.cp]


def _quantlib_price(ql: Any, a: Arrays) -> Job:
    kinds = [ql.Option.Call if w > 0 else ql.Option.Put for w in a.cp]
    rows = list(zip(kinds, a.strike.tolist(), a.forward.tolist(), (a.iv * np.sqrt(a.tte)).tolist(), strict=True))
    return lambda: np.array([ql.blackFormula(w, k, f, s) for w, k, f, s in rows])


def _quantlib_greeks(ql: Any, a: Arrays) -> Job:
    kinds = [ql.Option.Call if w > 0 else ql.Option.Put for w in a.cp]
    columns = (a.strike.tolist(), a.forward.tolist(), (a.iv * np.sqrt(a.tte)).tolist(), a.tte.tolist())
    rows = list(zip(kinds, *columns, strict=True))

    def one(w: Any, k: float, f: float, s: float, t: float) -> tuple[float, ...]:
        c = ql.BlackCalculator(ql.PlainVanillaPayoff(w, k), f, s, 1.0)
        return c.value(), c.deltaForward(), c.gammaForward(), c.vega(t), c.theta(f, t), c.rho(t)

    return lambda: [one(*row) for row in rows]


def _quantlib_implied(ql: Any, a: Arrays) -> Job:
    kinds = [ql.Option.Call if w > 0 else ql.Option.Put for w in a.cp]
    rows = list(zip(kinds, a.strike.tolist(), a.forward.tolist(), a.price.tolist(), strict=True))
    root = np.sqrt(a.tte)

    def one(w: Any, k: float, f: float, p: float) -> float:
        try:
            return float(ql.blackFormulaImpliedStdDevLiRS(w, k, f, p, 1.0, 0.0))
        except RuntimeError:
            return math.nan

    return lambda: np.array([one(*row) for row in rows]) / root


def _vollib_price(vollib: Any, a: Arrays) -> Job:
    black = importlib.import_module("vollib.black").black
    rows = list(zip(_flags(a), *(c.tolist() for c in (a.forward, a.strike, a.tte, a.iv)), strict=True))
    return lambda: np.array([black(w, f, k, t, 0.0, v) for w, f, k, t, v in rows])


def _vollib_implied(vollib: Any, a: Arrays) -> Job:
    solve = importlib.import_module("vollib.black.implied_volatility").implied_volatility
    rows = list(zip(_flags(a), *(c.tolist() for c in (a.price, a.forward, a.strike, a.tte)), strict=True))

    def one(w: str, p: float, f: float, k: float, t: float) -> float:
        try:
            return float(solve(p, f, k, 0.0, t, w))
        except Exception:
            return math.nan

    return lambda: np.array([one(*row) for row in rows])


def _lbriv_implied(lbriv: Any, a: Arrays) -> Job:
    root = np.sqrt(a.tte)
    if np.ptp(a.forward) != 0.0:
        columns = (a.price.tolist(), a.forward.tolist(), a.strike.tolist(), a.cp.astype(int).tolist())
        rows = list(zip(*columns, strict=True))
        return lambda: np.array([lbriv.implied_vol(*row) for row in rows]) / root
    forward = float(a.forward[0])
    sides = [(side, np.flatnonzero(a.cp == side)) for side in (1, -1)]
    parts = [(side, at, a.price[at], a.strike[at]) for side, at in sides if len(at)]

    def job() -> Floats:
        out = np.empty(len(root))
        for side, at, price, strike in parts:
            out[at] = lbriv.vectorized_implied_vol_strikes(price, forward, strike, side)
        return np.asarray(out / root)

    return job


def _lbp_implied(lbp: Any, a: Arrays) -> Job:
    low = np.minimum(a.forward, a.strike)
    share, away = (a.price / low).tolist(), (-np.abs(np.log(a.forward / a.strike))).tolist()
    root = np.sqrt(a.tte)
    solve = lbp.black_iv
    return lambda: np.array([solve(c, x) for c, x in zip(share, away, strict=True)]) / root


def _fast_price(fast: Any, a: Arrays) -> Job:
    flags = np.array(_flags(a))
    return lambda: fast.fast_black(flags, a.forward, a.strike, a.tte, 0.0, a.iv, return_as="numpy")


def _fast_greeks(fast: Any, a: Arrays) -> Job:
    flags = np.array(_flags(a))

    def job() -> Any:
        price = fast.fast_black(flags, a.forward, a.strike, a.tte, 0.0, a.iv, return_as="numpy")
        rest = fast.get_all_greeks(flags, a.forward, a.strike, a.tte, 0.0, a.iv, model="black", return_as="dict")
        return price, rest

    return job


def _fast_implied(fast: Any, a: Arrays) -> Job:
    flags = np.array(_flags(a))
    solve = fast.fast_implied_volatility_black
    return lambda: solve(a.price, a.forward, a.strike, 0.0, a.tte, flags, return_as="numpy", on_error="ignore")


def _open_price(og: Any, a: Arrays) -> Job:
    black = og.black76
    flags = _flags(a)
    return lambda: black.black_array(flags, a.forward, a.strike, a.tte, 0.0, a.iv)


def _open_implied(og: Any, a: Arrays) -> Job:
    black = og.black76
    flags = _flags(a)
    return lambda: black.implied_volatility_array(a.price, a.forward, a.strike, 0.0, a.tte, flags)


def _pyvolr_price(pyvolr: Any, a: Arrays) -> Job:
    flags = np.array(_flags(a))
    return lambda: pyvolr.black76.price(flags, a.forward, a.strike, a.tte, 0.0, a.iv)


def _pyvolr_greeks(pyvolr: Any, a: Arrays) -> Job:
    flags = np.array(_flags(a))

    def job() -> Any:
        price = pyvolr.black76.price(flags, a.forward, a.strike, a.tte, 0.0, a.iv)
        return price, pyvolr.black76.greeks(flags, a.forward, a.strike, a.tte, 0.0, a.iv)

    return job


def _pyvolr_implied(pyvolr: Any, a: Arrays) -> Job:
    flags = np.array(_flags(a))
    return lambda: pyvolr.black76.implied_vol(a.price, flags, a.forward, a.strike, a.tte, 0.0, on_error="ignore")


def _polars_frame(a: Arrays) -> Any:
    import polars as pl

    columns = {"k": a.strike, "f": a.forward, "v": a.iv, "t": a.tte, "p": a.price, "r": np.zeros(len(a.cp))}
    return pl.DataFrame(columns).with_columns(call=pl.Series(a.cp > 0))


def _polars_price(pv: Any, a: Arrays) -> Job:
    frame = _polars_frame(a)
    return lambda: frame.select(x=pv.black_scholes("k", "f", "v", "t", "r", "call"))["x"].to_numpy()


def _polars_greeks(pv: Any, a: Arrays) -> Job:
    frame = _polars_frame(a)
    return lambda: frame.select(x=pv.black_scholes_with_greeks("k", "f", "v", "t", "r", "call")).unnest("x")


def _polars_implied(pv: Any, a: Arrays) -> Job:
    frame = _polars_frame(a)
    return lambda: frame.select(x=pv.implied_vol("p", "k", "f", "t", "r", "call", method="halley"))["x"].to_numpy()


def _engine_price(engine: Any, a: Arrays) -> Job:
    up = a.cp > 0
    parts = [(up, True), (~up, False)]
    columns = [
        (side, [np.ascontiguousarray(c[mask]) for c in (a.forward, a.strike, a.tte, a.iv)])
        for mask, side in parts
        if mask.any()
    ]
    where = np.concatenate([np.flatnonzero(mask) for mask, _ in parts])

    def job() -> Floats:
        values = np.concatenate([engine.batch.black_prices(*c, is_call=side, parallel=False) for side, c in columns])
        out = np.empty(len(where))
        out[where] = values
        return out

    return job


def _engine_implied(engine: Any, a: Arrays) -> Job:
    up = a.cp > 0
    parts = [(up, True), (~up, False)]
    columns = [
        (side, [np.ascontiguousarray(c[mask]) for c in (a.price, a.forward, a.strike, a.tte)])
        for mask, side in parts
        if mask.any()
    ]
    where = np.concatenate([np.flatnonzero(mask) for mask, _ in parts])

    def job() -> Floats:
        solve = engine.implied_volatilities
        values = np.concatenate([solve(*c, is_call=side, parallel=False) for side, c in columns])
        out = np.empty(len(where))
        out[where] = values
        return out

    return job


PEERS: tuple[Peer, ...] = (
    Peer("numpy + scipy", "scipy.special", 1_000_000, _scipy(_numpy_price), _scipy(_numpy_greeks)),
    Peer("plain numba", "numba", 1_000_000, _numba_price),
    Peer("polars-vol", "polars_vol", 1_000_000, _polars_price, _polars_greeks, _polars_implied),
    Peer("iv-engine", "iv_engine", 1_000_000, _engine_price, None, _engine_implied),
    Peer("pyvolr", "pyvolr", 1_000_000, _pyvolr_price, _pyvolr_greeks, _pyvolr_implied),
    Peer("fast-vollib", "fast_vollib", 200_000, _fast_price, _fast_greeks, _fast_implied),
    Peer("opengreeks", "opengreeks", 200_000, _open_price, None, _open_implied),
    Peer("lets-be-precise", "lbp", 20_000, None, None, _lbp_implied),
    Peer("lbriv", "lbriv", 200_000, None, None, _lbriv_implied),
    Peer("QuantLib", "QuantLib", 5_000, _quantlib_price, _quantlib_greeks, _quantlib_implied),
    Peer("vollib", "vollib", 500, _vollib_price, None, _vollib_implied),
)


def installed() -> tuple[list[tuple[Peer, Any]], list[str]]:
    """The peers that can be imported here with their modules, and one line for each that cannot."""
    found, absent = [], []
    for peer in PEERS:
        try:
            found.append((peer, importlib.import_module(peer.module)))
        except Exception as error:
            reason = str(error).split(": ")[-1]
            absent.append(f"{peer.name}: not measured here ({type(error).__name__}: {reason})".splitlines()[0])
    return found, absent
