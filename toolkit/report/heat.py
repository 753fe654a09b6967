"""Open interest on a uniform mesh of time and strike, ready to be drawn as one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.errors import BadData

__all__ = ["GAP_MS", "HeatGrid", "grid"]

GAP_MS: Final = 5 * 60_000.0
LAKH: Final = 100_000.0
_MOST_COLUMNS: Final = 480
_MOST_ROWS: Final = 80


@dataclass(frozen=True, slots=True)
class HeatGrid:
    """One side of one expiry.

    ``values`` is (rows, columns) float32, lakh of units, NaN where nothing is known;
    ``left right bottom top`` are the outer edges (ms of Indian wall-clock time, points);
    ``missing`` lists the stretches of time without a snapshot, to be hatched; ``scale``
    is the value at which the colours end.
    """

    values: npt.NDArray[np.float32]
    strikes: npt.NDArray[np.float64]
    left: float
    right: float
    bottom: float
    top: float
    missing: tuple[tuple[float, float], ...]
    scale: float
    signed: bool


def grid(
    heat: pl.DataFrame, option_type: str, column: str, *, center: float, gap_ms: float = GAP_MS
) -> HeatGrid | None:
    """Lay one side of the heat frame on a mesh.

    Parameters
    ----------
    heat : polars.DataFrame
        Columns ``ts expiry strike option_type oi oi_change``; strikes in points, OI in units.
    option_type : str
        ``"CE"`` or ``"PE"``.
    column : str
        ``"oi"`` (levels) or ``"oi_change"`` (signed).
    center : float
        Strikes nearest to this level are kept when there are more than fit.
    gap_ms : float
        A snapshot is drawn until the next one, at most this long; the rest is missing.

    Returns
    -------
    HeatGrid or None
        None when the frame holds no figure of that side.

    Raises
    ------
    BadData
        When ``column`` is not one of the two.
    """
    if column not in ("oi", "oi_change"):
        raise BadData(f"a heatmap shows 'oi' or 'oi_change', was {column!r}")
    side = heat.filter((pl.col("option_type").cast(pl.String) == option_type) & pl.col(column).is_not_null())
    if side.is_empty():
        return None
    strikes = _near(side["strike"].cast(pl.Float64).unique().sort().to_numpy(), center)
    side = side.filter(pl.col("strike").cast(pl.Float64).is_between(strikes[0], strikes[-1]))
    if side.is_empty():
        return None
    stamps = _wall_ms(heat["ts"].unique().sort())
    step = _time_step(stamps)
    left, columns = float(stamps[0]), int(np.ceil((stamps[-1] - stamps[0]) / step)) + 1
    pitch = float(np.min(np.diff(strikes))) if len(strikes) > 1 else 1.0
    rows = round((strikes[-1] - strikes[0]) / pitch) + 1
    dense = np.full((rows, len(stamps)), np.nan, dtype=np.float32)
    at_row = np.rint((side["strike"].cast(pl.Float64).to_numpy() - strikes[0]) / pitch).astype(np.int64)
    at_column = np.searchsorted(stamps, _wall_ms(side["ts"]))
    dense[at_row, at_column] = side[column].cast(pl.Float64).to_numpy() / LAKH
    picked, missing = _spread(stamps, left, step, columns, gap_ms)
    values = np.where(picked >= 0, dense[:, np.maximum(picked, 0)], np.float32(np.nan)).astype(np.float32)
    finite = np.abs(values[np.isfinite(values)])
    scale = float(np.quantile(finite, 0.995)) if finite.size else 0.0
    return HeatGrid(
        values=values,
        strikes=strikes,
        left=left,
        right=left + columns * step,
        bottom=float(strikes[0]) - pitch / 2,
        top=float(strikes[0]) + (rows - 0.5) * pitch,
        missing=missing,
        scale=scale or 0.01,
        signed=column == "oi_change",
    )


def _wall_ms(stamps: pl.Series) -> npt.NDArray[np.float64]:
    wall = stamps.dt.convert_time_zone("Asia/Kolkata").dt.replace_time_zone(None)
    return wall.cast(pl.Datetime("ms")).cast(pl.Int64).to_numpy().astype(np.float64)


def _near(strikes: npt.NDArray[np.float64], center: float) -> npt.NDArray[np.float64]:
    """At most ``_MOST_ROWS`` strikes of the finest pitch around the center, ascending."""
    if not np.isfinite(center):
        center = float(np.median(strikes))
    if len(strikes) < 3:
        return strikes
    near = strikes[np.argsort(np.abs(strikes - center), kind="stable")[:_MOST_ROWS]]
    near.sort()
    pitch = float(np.min(np.diff(near)))
    return near[np.abs(near - center) <= pitch * _MOST_ROWS / 2] if pitch > 0 else near


def _time_step(stamps: npt.NDArray[np.float64]) -> float:
    """Width of a column: the usual distance of two snapshots, wider when the columns would be too many."""
    if len(stamps) < 2:
        return 60_000.0
    usual = float(np.median(np.diff(stamps)))
    return max(usual, float(stamps[-1] - stamps[0]) / _MOST_COLUMNS, 1_000.0)


def _spread(
    stamps: npt.NDArray[np.float64], left: float, step: float, columns: int, gap_ms: float
) -> tuple[npt.NDArray[np.int64], tuple[tuple[float, float], ...]]:
    """For each column the newest snapshot known at its right edge, -1 when that is older than the gap allows."""
    edges = left + step * np.arange(1, columns + 1)
    newest = np.searchsorted(stamps, edges - 0.5, side="right") - 1
    old = edges - step - stamps[newest] > gap_ms
    picked = np.where(old, -1, newest).astype(np.int64)
    missing = []
    for first, after in _runs(old):
        missing.append((left + first * step, left + after * step))
    return picked, tuple(missing)


def _runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    padded = np.concatenate(([False], flags, [False]))
    change = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(a), int(b)) for a, b in zip(change[::2], change[1::2], strict=True)]
