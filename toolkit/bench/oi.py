"""Benchmark of the open-interest room: against NumPy, polars and a linear programme, and its growth with strikes."""

from __future__ import annotations

import datetime as dt
import math
import time
from itertools import pairwise
from statistics import median
from typing import Any, Final

import numpy as np
import polars as pl

from toolkit import oi
from toolkit.bench.oi_reference import (
    linear_programme,
    loop_max_pain,
    numpy_expiry,
    numpy_snapshot,
    polars_day,
)
from toolkit.bench.runner import Result, interleave, machine, pinned, ratio_row
from toolkit.oi.config import OIConfig
from toolkit.oi.core import Bursts, ExpiryCore
from toolkit.oi.grid import METRIC_NAMES, cube, cube_metrics, snapshot_metrics
from toolkit.oi.measures import fill_prices
from toolkit.oi.transport import transport_cases

__all__ = ["day_frame", "run"]

SIZES: Final = (106, 96, 80, 72, 64, 60, 48, 44, 40, 36, 32, 30, 28, 24, 20, 18, 14, 12)
"""Strikes of the 18 expiries: what a NIFTY day looks like."""
SNAPSHOTS: Final = 306
GROWTH: Final = (50, 150, 500, 1500, 5000)
BURST_US: Final = 200.0
DAY_S: Final = 1.0
PASS_US: Final = 38.0
POLARS_S: Final = 0.17
"""What the two peers took on the quiet machine where the limits were set: elsewhere a limit in time is a ratio."""
START: Final = dt.datetime(2025, 8, 29, 9, 20, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))
FORWARD: Final = 24_500.0


def run(peers: bool, check: bool) -> Result:
    """Time every row; with ``peers`` also the loop that most tools use for max pain."""
    result = Result("oi", machine=machine(("numpy", "numba", "polars", "scipy")))
    frame = day_frame()
    with pinned():
        _snapshots(result, frame)
        _transport(result)
        _growth(result)
        _one_burst(result)
        if peers:
            _peers(result)
    _day(result, frame)
    return result


def day_frame(seed: int = 7, snapshots: int = SNAPSHOTS) -> pl.DataFrame:
    """A generated day in the shape of a recorded one: 18 expiries, OI in bursts, two-sided quotes."""
    rng = np.random.default_rng(seed)
    first = START.date()
    parts = []
    for j, n in enumerate(SIZES):
        expiry = first + dt.timedelta(days=4 + 7 * j)
        k = FORWARD + 50.0 * (np.arange(n) - n // 2)
        oi_now = _walk(rng, k, snapshots)
        stamps = [START + dt.timedelta(seconds=60 * t) for t in range(snapshots)]
        years = (4 + 7 * j) / 365.0
        spread = FORWARD * 0.12 * math.sqrt(years)
        extra = 0.4 * spread * np.exp(-0.5 * ((k - FORWARD) / spread) ** 2) + 0.5
        value = np.stack([np.maximum(FORWARD - k, 0.0) + extra, np.maximum(k - FORWARD, 0.0) + extra])
        size = snapshots * n * 2
        t, i, s = np.unravel_index(np.arange(size), (snapshots, n, 2))
        parts.append(
            pl.DataFrame(
                {
                    "ts": pl.Series([stamps[0]] * 1).new_from_index(0, size).dt.convert_time_zone("Asia/Kolkata")
                    + pl.Series(t * 60_000_000).cast(pl.Duration("us")),
                    "underlying": pl.Series(["NIFTY"]).new_from_index(0, size),
                    "expiry": pl.Series([expiry]).new_from_index(0, size),
                    "strike_p": np.rint(k[i] * 100).astype(np.int64),
                    "option_type": pl.Series(np.array(["CE", "PE"])[s], dtype=pl.Enum(["CE", "PE"])),
                    "token": (1 + j * 1000 + 2 * i + s).astype(np.int64),
                    "oi": oi_now[t, s, i],
                    "volume": (t + 1) * 75 * 400,
                    "lot": pl.Series(np.full(size, 75), dtype=pl.Int32),
                    "bid": value[s, i] - 0.05,
                    "ask": value[s, i] + 0.05,
                    "spot": np.full(size, FORWARD),
                }
            )
        )
    return pl.concat(parts).sort("ts", "expiry", "strike_p", "option_type")


def _walk(rng: np.random.Generator, k: Any, snapshots: int) -> Any:
    """Open interest by (snapshot, side, strike): hills that move in bursts, still in a third of the steps."""
    n = k.size
    hill = np.stack([np.exp(-(((k - FORWARD - 400) / 700) ** 2)), np.exp(-(((k - FORWARD + 400) / 700) ** 2))])
    start = np.rint(hill * 40_000 + rng.integers(0, 2_000, (2, n)))
    # as measured: a third of the steps brings nothing, a third a few strikes, a third a refresh of all
    touched = rng.random((snapshots, 1, 1)) * np.ones((1, 2, n))
    moves = np.where(touched > 2 / 3, 1.0, np.where(touched > 1 / 3, rng.random((snapshots, 2, n)) < 0.1, 0.0))
    steps = rng.integers(-60, 70, (snapshots, 2, n)) * moves
    return np.maximum(start + np.cumsum(steps, axis=0), 0).astype(np.int64) * 75


def _padded(grid: Any, values: Any) -> Any:
    most = int(np.diff(grid.offsets).max())
    out = np.zeros((grid.offsets.size - 1, most), dtype=values.dtype)
    for e, (a, b) in enumerate(zip(grid.offsets[:-1], grid.offsets[1:], strict=True)):
        out[e, : b - a] = values[a:b]
        if values.dtype == np.float64:
            out[e, b - a :] = values[b - 1]
    return out


def _snapshots(result: Result, frame: pl.DataFrame) -> None:
    grid = cube(frame)
    ce, pe = grid.ce, grid.pe
    out = np.empty((grid.offsets.size - 1, len(METRIC_NAMES)))
    strikes = _padded(grid, grid.strikes)
    pads = [[_padded(grid, side[t]) for side in (ce, pe)] for t in (0, 100)]

    def ours_day() -> object:
        return cube_metrics(grid, transport=False)

    def ours_one() -> object:
        return snapshot_metrics(grid, ce[100], pe[100], ce[0], pe[0], out)

    def plain() -> object:
        bounds = list(pairwise(grid.offsets.tolist()))
        return [numpy_expiry(grid.strikes[a:b], ce[100, a:b], pe[100, a:b], ce[0, a:b], pe[0, a:b]) for a, b in bounds]

    def padded() -> object:
        return numpy_snapshot(strikes, pads[1][0], pads[1][1], pads[0][0], pads[0][1])

    times = interleave({"day": ours_day, "one": ours_one, "numpy": plain, "padded": padded})
    per = [t / ce.shape[0] for t in times["day"]]
    result.rows.append(ratio_row("metrics, cube ready", 1, "NumPy", per, times["numpy"], goal=30.0, note="a snapshot"))
    one = times["one"]
    result.rows.append(ratio_row("streaming, one call", 1, "NumPy", one, times["numpy"], goal=25.0, note="a snapshot"))
    note = "a snapshot, expiries padded into one array"
    result.rows.append(ratio_row("streaming, one call", 1, "NumPy, padded", one, times["padded"], note=note))

    def whole() -> object:
        return cube_metrics(cube(frame))

    def expressions() -> object:
        return polars_day(frame)

    day = interleave({"ours": whole, "polars": expressions})
    note = f"{frame.height} rows; ours with transport, theirs without"
    result.rows.append(
        ratio_row("frame to metrics", 1, "polars expressions", day["ours"], day["polars"], goal=10.0, note=note)
    )


def _transport(result: Result) -> None:
    rng = np.random.default_rng(3)
    for n in (42, 106):
        k = FORWARD + 50.0 * np.arange(n)
        before = rng.integers(0, 40_000, n) * 75
        after = np.maximum(before + rng.integers(-4_000, 4_000, n) * 75, 0)
        cost = oi.transport_shift(k, before, after, 250.0).cost
        expected = linear_programme(k, before, after, 250.0)
        if abs(cost - expected) > 1e-9 * expected:
            result.misses.append(f"transport of {n} strikes: cost {cost!r}, the linear programme's is {expected!r}")
        cases = 200
        befores, afters = np.tile(before, (cases, 1)), np.tile(after, (cases, 1))

        def many(k: Any = k, a: Any = befores, b: Any = afters) -> object:
            return transport_cases(k, a, b, 250.0)

        def single(k: Any = k, a: Any = before, b: Any = after) -> object:
            return oi.transport_shift(k, a, b, 250.0)

        def programme(k: Any = k, a: Any = before, b: Any = after) -> object:
            return linear_programme(k, a, b, 250.0)

        times = interleave({"many": many, "single": single, "programme": programme})
        each = [t / cases for t in times["many"]]
        peer, against = times["programme"], "linprog (HiGHS)"
        note = f"a case of {cases} in one call, flows included"
        result.rows.append(ratio_row(f"transport, {n} strikes", 1, against, each, peer, goal=1000.0, note=note))
        note = "one case a call from Python"
        result.rows.append(ratio_row(f"transport, {n} strikes", 1, against, times["single"], peer, note=note))


def _bursts(n: int, steps: int, seed: int = 5) -> tuple[Any, Bursts]:
    rng = np.random.default_rng(seed)
    k = FORWARD + 12_500.0 / n * (np.arange(n) - n // 2)
    k = np.rint(k * 20) / 20
    units = _walk(rng, k, steps)
    ts = np.arange(steps, dtype=np.int64) * 60_000_000_000 + int(START.timestamp()) * 1_000_000_000
    return k, Bursts(ts, units, units * 2, np.full(steps, FORWARD), np.full(steps, FORWARD))


def _cost(n: int, steps: int) -> Any:
    k, bursts = _bursts(n, steps)
    core = ExpiryCore.new(OIConfig())
    core.grow(np.rint(k * 100).astype(np.int64))

    def job() -> object:
        return core.copy().run(bursts)

    return job


def _growth(result: Result) -> None:
    steps = 8
    # processor time and the best round: growth is the kernel's own, not that of a neighbour's work
    times = interleave({str(n): _cost(n, steps) for n in GROWTH}, clock=time.process_time)
    best = {n: min(times[str(n)]) / steps for n in GROWTH}
    for n in GROWTH[1:]:
        allowed = best[GROWTH[0]] * n * math.log(n) / (GROWTH[0] * math.log(GROWTH[0]))
        against, note = f"n log n from {GROWTH[0]}", "levels, walls, both transports"
        row = ratio_row(f"burst of {n} strikes", 1, against, [best[n]], [allowed], goal=1.0, note=note)
        result.rows.append(row)


def _one_burst(result: Result) -> None:
    n, steps = 250, 40
    k, bursts = _bursts(n, steps)
    core = ExpiryCore.new(OIConfig())
    core.grow(np.rint(k * 100).astype(np.int64))
    distance = np.abs(k - FORWARD)
    price = np.broadcast_to(np.stack([distance / 2 + 50.0] * 2), (steps, 2, n)).copy()
    iv = np.full((steps, 2, n), 0.12)
    tte = np.full(steps, 5.0 / 365.0)
    config = OIConfig()

    def job() -> object:
        mine = core.copy()
        rows = mine.run(bursts)
        fill_prices(mine, bursts.ts_ns, rows, price, iv, tte, config)
        return rows

    def plain() -> object:
        return numpy_expiry(k, bursts.oi[5, 0], bursts.oi[5, 1], bursts.oi[0, 0], bursts.oi[0, 1])

    times = interleave({"ours": job, "numpy": plain})
    each = [t / steps for t in times["ours"]]
    note = f"goal: {BURST_US:.0f} us where that pass takes {PASS_US:.0f}"
    goal = PASS_US / BURST_US
    result.rows.append(
        ratio_row(f"burst, all but IV, {n}", 1, "NumPy pass, no flows", each, times["numpy"], goal=goal, note=note)
    )
    result.notes.append(
        f"one burst of {n} strikes, both sides, everything but IV: {1e6 * median(each):.0f} us "
        f"(best {1e6 * min(each):.0f})"
    )


def _day(result: Result, frame: pl.DataFrame) -> None:
    def job() -> object:
        return oi.oi_shift(frame)

    def expressions() -> object:
        return polars_day(frame)

    times = interleave({"ours": job, "polars": expressions}, rounds=5)
    note = f"goal: {DAY_S:.0f} s where those take {POLARS_S:.2f}"
    goal, against = POLARS_S / DAY_S, "polars, levels only"
    ours, theirs = times["ours"], times["polars"]
    result.rows.append(ratio_row("day with IV and events", 1, against, ours, theirs, goal=goal, note=note))
    shifted = oi.oi_shift(frame)
    result.notes.append(
        f"a day of {frame.height} rows, {len(SIZES)} expiries, IV and {shifted.events.height} events included: "
        f"{median(times['ours']):.2f} s (best {min(times['ours']):.2f})"
    )


def _peers(result: Result) -> None:
    k, bursts = _bursts(100, 2)
    ce, pe = bursts.oi[0, 0], bursts.oi[0, 1]
    lists = (k.tolist(), ce.tolist(), pe.tolist())

    def ours() -> object:
        return oi.max_pain(k, ce, pe)

    def loop() -> object:
        return loop_max_pain(*lists)

    times = interleave({"ours": ours, "loop": loop})
    note = "the quadratic loop of open-source terminals"
    result.rows.append(ratio_row("max pain, 100 strikes", 1, "Python loop", times["ours"], times["loop"], note=note))
