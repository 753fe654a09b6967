"""Input arrays checked once: strikes as exact ticks, open interest as int64 units."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from toolkit.errors import BadData
from toolkit.oi.jit import kernel

__all__ = ["UNKNOWN", "Floats", "Ints", "as_floats", "as_strikes", "as_units", "modal_step", "modal_step_kernel"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

UNKNOWN: Final = -1  # an OI or volume that is not known, in int64 arrays


def as_strikes(strikes: Any) -> Floats:
    """Strikes as a contiguous float64 vector, strictly ascending and finite.

    Raises
    ------
    BadData
        When they are not.
    """
    k = np.ascontiguousarray(strikes, dtype=np.float64)
    if k.ndim != 1:
        raise BadData(f"strikes must be one-dimensional, had shape {k.shape}")
    if k.size and not (np.isfinite(k[0]) and np.isfinite(k[-1]) and bool((k[1:] > k[:-1]).all())):
        bad = int(np.argmin(np.append(np.diff(k), 1.0) > 0)) if k.size > 1 else 0
        raise BadData(
            f"strikes must ascend strictly and be finite, was {k[bad : bad + 2].tolist()} at {bad}; sort them"
        )
    return k


def as_units(oi: Any, n: int, what: str = "oi") -> Ints:
    """Open interest or volume as int64 units, one a strike; NaN becomes ``UNKNOWN``.

    Raises
    ------
    BadData
        For another length, a negative figure or a fraction of a unit.
    """
    raw = np.asarray(oi)
    if raw.shape != (n,):
        raise BadData(f"{what} must have one figure a strike ({n}), had shape {raw.shape}")
    if raw.dtype.kind in "iu":
        units = np.ascontiguousarray(raw, dtype=np.int64)
        if n and int(units.min()) < 0:
            raise BadData(f"{what} must not be negative, was {int(units.min())} at strike index {int(units.argmin())}")
        return units
    values = np.asarray(raw, dtype=np.float64)
    known = ~np.isnan(values)
    kept = np.where(known, values, 0.0)
    if (kept < 0).any() or np.isinf(kept).any():
        raise BadData(f"{what} must be finite and not negative, was {kept[(kept < 0) | np.isinf(kept)][0]:g}")
    if (kept != np.rint(kept)).any():
        part = kept[kept != np.rint(kept)][0]
        raise BadData(f"{what} must be whole units, was {part:g}; contracts must be multiplied by their lot first")
    return np.where(known, kept, UNKNOWN).astype(np.int64)


def as_floats(values: Any, n: int, what: str) -> Floats:
    """One float64 a strike, NaN where unknown; None gives all NaN."""
    if values is None:
        return np.full(n, np.nan)
    out = np.ascontiguousarray(values, dtype=np.float64)
    if out.shape != (n,):
        raise BadData(f"{what} must have one figure a strike ({n}), had shape {out.shape}")
    return out


def modal_step(strikes: Floats) -> float:
    """The commonest gap between neighbouring strikes in points (the smaller of equals); NaN for one strike."""
    return float(modal_step_kernel(strikes)) if strikes.size > 1 else float("nan")


@kernel
def modal_step_kernel(k: Floats) -> float:
    """Kernel of :func:`modal_step` for at least two strikes."""
    gaps = np.empty(k.size - 1)
    for i in range(gaps.size):
        gaps[i] = round((k[i + 1] - k[i]) * 1e6) / 1e6
    gaps.sort()
    best = gaps[0]
    most = 0
    run = 0
    for i in range(gaps.size):
        run = run + 1 if i > 0 and gaps[i] == gaps[i - 1] else 1
        if run > most:
            most = run
            best = gaps[i]
    return best
