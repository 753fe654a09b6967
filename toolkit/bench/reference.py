"""Hard option cases and their 50-digit values: the table against which accuracy is stated.

``python -m toolkit.bench.reference`` computes the table again (minutes; needs mpmath) and
writes ``pricing_reference.npz`` beside this file; ``load()`` reads it. Inputs are exact doubles.
"""

from __future__ import annotations

import math
from importlib.resources import files
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["GREEKS", "GREEKS2", "ROWS", "draw", "exact", "iv_shift", "load", "write"]

Floats = npt.NDArray[np.float64]

ROWS: Final = 20_480
ROWS2: Final = 4_096
SEED: Final = 20250829
DIGITS: Final = 70
SECOND: Final = 1.0 / (365.0 * 86400.0)
INPUTS: Final = ("cp", "forward", "strike", "tte", "iv", "rate")
GREEKS: Final = ("delta", "gamma", "vega", "theta", "rho")
GREEKS2: Final = ("vanna", "volga", "charm", "speed", "zomma", "color")
NAME: Final = "pricing_reference.npz"


def draw(rows: int = ROWS, seed: int = SEED) -> dict[str, Floats]:
    """Draw hard cases: one second to ten years, 0.1 % to 1000 % vol, K/F from 1e-3 to 1e3, prices from 1e-300.

    The distance from the money is drawn in standard deviations, a quarter each: at most 1e-3, to 1, to 8, to 37.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    cases: dict[str, list[float]] = {name: [] for name in INPUTS}
    while len(cases["cp"]) < rows:
        forward = float(np.float32(10.0 ** rng.uniform(0.0, 5.0)))
        tte = float(np.float32(math.exp(rng.uniform(math.log(SECOND * 1.001), math.log(10.0)))))
        iv = float(np.float32(10.0 ** rng.uniform(-2.999, 1.0)))
        band = len(cases["cp"]) % 4
        h = (0.0, 1e-3, 1.0, 8.0, 36.9)
        distance = 10.0 ** rng.uniform(-8.0, -3.0) if band == 0 else rng.uniform(h[band], h[band + 1])
        s = iv * math.sqrt(tte)
        x = (distance + 0.5 * s) * s if band == 3 else distance * s
        if x > math.log(1e3) or (band == 3 and 0.5 * distance**2 > 650.0):
            continue
        strike = forward * math.exp(x if rng.random() < 0.5 else -x)
        if band == 0 and rng.random() < 0.1:
            strike = forward
        row = (
            1.0 if rng.random() < 0.5 else -1.0,
            forward,
            strike,
            tte,
            iv,
            0.0 if rng.random() < 0.6 else float(np.float32(rng.uniform(-0.02, 0.12))),
        )
        for name, value in zip(INPUTS, row, strict=True):
            cases[name].append(value)
    return {name: np.array(values) for name, values in cases.items()}


def exact(cp: float, forward: float, strike: float, tte: float, iv: float, rate: float) -> dict[str, Any]:
    """Price, Greeks and higher Greeks of one Black-76 row, as 70-digit mpmath numbers."""
    from mpmath import mp, mpf  # type: ignore[import-untyped, unused-ignore]

    with mp.workdps(DIGITS):
        f, k, t, v, r = (mpf(x) for x in (forward, strike, tte, iv, rate))
        w = mpf(cp)
        root = mp.sqrt(t)
        s = v * root
        d1 = mp.log(f / k) / s + s / 2
        d2 = d1 - s
        df = mp.exp(-r * t)
        n1 = mp.exp(-d1 * d1 / 2) / mp.sqrt(2 * mp.pi)
        out = mpf(1) if k >= f else mpf(-1)
        value = out * (f * _tail(-out * d1) - k * _tail(-out * d2))
        if w != out:
            value += abs(f - k)
        price = df * value
        gamma = df * n1 / (f * s)
        d1_t = -d2 / (2 * t)
        delta = df * w * _tail(-w * d1)
        return {
            "price": price,
            "delta": delta,
            "gamma": gamma,
            "vega": df * f * n1 * root,
            "theta": -df * f * n1 * v / (2 * root) + r * price,
            "rho": -t * price,
            "vanna": -df * n1 * d2 / v,
            "volga": df * f * n1 * root * d1 * d2 / v,
            "charm": r * delta - df * n1 * d1_t,
            "speed": -gamma / f * (d1 / s + 1),
            "zomma": gamma * (d1 * d2 - 1) / v,
            "color": gamma * (r + 1 / (2 * t) + d1 * d1_t),
        }


def _tail(z: Any) -> Any:
    from mpmath import mp  # type: ignore[import-untyped, unused-ignore]

    return mp.erfc(z / mp.sqrt(2)) / 2


def iv_shift(price: Any, vega: Any) -> float:
    """How far the vol of the price rounded to a double lies from the vol that made it (first order)."""
    from mpmath import mp, mpf  # type: ignore[import-untyped, unused-ignore]

    with mp.workdps(DIGITS):
        return float((mpf(float(price)) - price) / vega)


def write(rows: int = ROWS) -> None:
    """Compute every row and write the table."""
    cases = draw(rows)
    columns = ("price", *GREEKS)
    values = {name: np.empty(rows) for name in columns}
    values |= {name: np.empty(min(rows, ROWS2)) for name in GREEKS2}
    shift = np.empty(rows, dtype=np.float32)
    for i in range(rows):
        row = exact(*(float(cases[name][i]) for name in INPUTS))
        with np.errstate(over="ignore"):
            shift[i] = iv_shift(row["price"], row["vega"]) / cases["iv"][i] if row["vega"] > 1e-300 else np.nan
        for name, column in values.items():
            if i < len(column):
                column[i] = float(row[name])
    packed: dict[str, Any] = dict(values)
    for name in INPUTS:
        small = cases[name].astype(np.float32)
        packed[name] = small if np.array_equal(small, cases[name]) else cases[name]
    np.savez_compressed(_path(), iv_shift=shift, **packed)


def load() -> dict[str, Floats]:
    """Read the table: inputs, reference values, and ``implied``, the vol of the rounded price."""
    with np.load(_path(), allow_pickle=False) as table:
        found = {name: table[name].astype(np.float64) for name in table.files}
    found["implied"] = found["iv"] * (1.0 + found["iv_shift"])
    return found


def _path() -> Any:
    return files("toolkit.bench") / NAME


if __name__ == "__main__":
    write()
