"""How often a signal's reading held: forward returns, hit rates, permutation baselines, planted events.

Nothing here says that a signal works. A row states what followed, how often chance does as well, and on how many
events that rests.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from toolkit.errors import BadData
from toolkit.oi.arrays import Floats, Ints
from toolkit.oi.events import READINGS

__all__ = ["Recall", "adjusted", "event_study", "lead_lag", "reading", "recall", "wilson"]

DAY_NS: Final = 86_400_000_000_000
IST_NS: Final = 19_800_000_000_000
ENOUGH: Final = 2
_BY_SIDE: Final = {"WALL_BUILD": -1, "WALL_UNWIND": 1, "WALL_BREACH": 1, "BREACH_WITH_UNWIND": 1, "WALL_DEFENDED": -1}
_BY_MOVE: Final = ("CENTROID_SHIFT", "MAXPAIN_DRIFT")


def reading(kind: str, side: str | None, start: float | None, to: float | None) -> int:
    """The direction an event is usually read as: +1 up, -1 down, 0 none. A hypothesis, in Indian usage.

    >>> reading("WALL_UNWIND", "CE", 25000.0, 25000.0)
    1
    """
    if kind in _BY_SIDE:
        return _BY_SIDE[kind] * (1 if side == "CE" else -1)
    if kind in _BY_MOVE and start is not None and to is not None:
        return (to > start) - (to < start)
    return READINGS.get(kind, 0)


def wilson(hits: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson interval of a proportion (default 95 %); (NaN, NaN) for n = 0.

    >>> low, high = wilson(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    if n == 0:
        return math.nan, math.nan
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def adjusted(p_values: Sequence[float]) -> Floats:
    """Benjamini-Hochberg: the false discovery rate at which each test would pass; NaN stays NaN."""
    p = np.asarray(p_values, dtype=np.float64)
    out = np.full(p.size, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    if known.size:
        order = known[np.argsort(p[known], kind="stable")]
        raw = p[order] * known.size / np.arange(1, known.size + 1)
        out[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0)
    return out


class _Path(NamedTuple):
    """Forwards of one (underlying, expiry) by burst: stamps, prices, session day of each, first and end of each day."""

    ts_ns: Ints
    price: Floats
    day: Ints
    days: Ints


def event_study(
    events: pl.DataFrame,
    levels: pl.DataFrame,
    horizons_s: Sequence[float] = (300.0, 900.0, 1800.0),
    *,
    permutations: int = 500,
    seed: int = 0,
) -> pl.DataFrame:
    """Follow each event type and side over given horizons, against two permutation baselines.

    Parameters
    ----------
    events, levels : polars.DataFrame
        As :func:`toolkit.oi.oi_shift` gave them. Returns are of the levels' ``forward`` within the session.
    horizons_s : sequence of float
        Seconds ahead; the price is that of the first burst at or after.
    permutations : int
        Draws of each baseline: the same number of events at shuffled times of their days, and at their own times of
        shuffled days (null with one session).
    seed : int
        Seed of the draws.

    Returns
    -------
    polars.DataFrame
        One row a type, side and horizon: ``n``, ``mean_return_bp`` and ``range_bp`` (highest less lowest on the
        way), and, for types with a reading, ``hits``, ``hit_rate`` with its 95 % Wilson interval, ``baseline_times``
        and ``baseline_days`` (mean hit rate of the draws), ``p_times``, ``p_days`` (share of draws that do as well)
        and ``q_times`` (Benjamini-Hochberg over all rows). Types without a reading are tested on their range.
    """
    rng = np.random.default_rng(seed)
    paths = _paths(levels)
    rows: list[dict[str, Any]] = []
    data = events.filter(~pl.col("type").str.starts_with("DATA_")).with_columns(pl.col("side").cast(pl.String))
    ordered = data.sort("type", "side", "ts", "id", nulls_last=True)
    for part in ordered.partition_by("type", "side", maintain_order=True):
        for horizon in horizons_s:
            row = _study(part, paths, horizon, permutations, rng)
            rows.append({"type": part["type"][0], "side": part["side"][0], "horizon_s": horizon, **row})
    frame = pl.DataFrame(rows, schema=_STUDY)
    q = adjusted([math.nan if v is None else v for v in frame["p_times"].to_list()])
    return frame.with_columns(pl.Series("q_times", q).fill_nan(None))


_STUDY: Final = {
    "type": pl.String,
    "side": pl.String,
    "horizon_s": pl.Float64,
    "n": pl.Int64,
    "mean_return_bp": pl.Float64,
    "range_bp": pl.Float64,
    "hits": pl.Int64,
    "hit_rate": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "baseline_times": pl.Float64,
    "p_times": pl.Float64,
    "baseline_days": pl.Float64,
    "p_days": pl.Float64,
}


def _paths(levels: pl.DataFrame) -> dict[tuple[str, Any], _Path]:
    missing = [c for c in ("ts", "underlying", "expiry", "forward") if c not in levels.columns]
    if missing:
        raise BadData(f"levels frame has no column {missing[0]!r}; give the levels of oi_shift")
    out = {}
    known = levels.filter(pl.col("forward").is_not_null()).sort("ts")
    for part in known.partition_by("underlying", "expiry", maintain_order=True):
        ts = part["ts"].dt.epoch("us").to_numpy() * 1000
        day = (ts + IST_NS) // DAY_NS
        path = _Path(ts, part["forward"].to_numpy(), day, np.unique(day))
        out[(part["underlying"][0], part["expiry"][0])] = path
    return out


def _ahead(path: _Path, at: Ints, horizon_s: float) -> tuple[Floats, Floats]:
    """Return in basis points from each index to the burst ``horizon_s`` later that day, and the range on the way."""
    target = path.ts_ns[at] + int(horizon_s * 1e9)
    to = np.searchsorted(path.ts_ns, target)
    ok = (to < path.ts_ns.size) & (path.day[np.minimum(to, path.ts_ns.size - 1)] == path.day[at])
    end = np.where(ok, to, at)
    change = np.where(ok, (path.price[end] / path.price[at] - 1.0) * 1e4, np.nan)
    spread = np.full(at.size, np.nan)
    for j in np.flatnonzero(ok):
        way = path.price[at[j] : end[j] + 1]
        spread[j] = (way.max() - way.min()) / path.price[at[j]] * 1e4
    return change, spread


class _Sample(NamedTuple):
    change: Floats
    spread: Floats
    sign: Ints
    pools: list[tuple[Floats, Floats]]
    other: list[tuple[Floats, Floats]]


def _sample(part: pl.DataFrame, paths: dict[tuple[str, Any], _Path], horizon_s: float) -> _Sample:
    change, spread, sign = [], [], []
    pools: list[tuple[Floats, Floats]] = []
    other: list[tuple[Floats, Floats]] = []
    cache: dict[tuple[Any, int], tuple[Floats, Floats]] = {}
    for row in part.iter_rows(named=True):
        path = paths.get((row["underlying"], row["expiry"]))
        if path is None:
            continue
        ts = round(row["ts"].timestamp() * 1e6) * 1000
        at = int(np.searchsorted(path.ts_ns, ts))
        if at >= path.ts_ns.size or path.ts_ns[at] != ts:
            continue
        got = _ahead(path, np.array([at]), horizon_s)
        if math.isnan(got[0][0]):
            continue
        change.append(got[0][0])
        spread.append(got[1][0])
        sign.append(reading(row["type"], row["side"], row["from"], row["to"]))
        key = ((row["underlying"], row["expiry"]), int(path.day[at]))
        if key not in cache:
            found = _ahead(path, np.flatnonzero(path.day == path.day[at]), horizon_s)
            keep = np.isfinite(found[0])
            cache[key] = (found[0][keep], found[1][keep])
        pools.append(cache[key])
        other.append(_same_time(path, at, horizon_s))
    return _Sample(np.array(change), np.array(spread), np.array(sign, dtype=np.int64), pools, other)


def _same_time(path: _Path, at: int, horizon_s: float) -> tuple[Floats, Floats]:
    """What followed the same time of day on the other days."""
    tod = (path.ts_ns[at] + IST_NS) % DAY_NS
    days = path.days[path.days != path.day[at]]
    starts = np.searchsorted(path.ts_ns, days * DAY_NS - IST_NS + tod)
    starts = starts[starts < path.ts_ns.size]
    found = _ahead(path, starts, horizon_s) if starts.size else (np.empty(0), np.empty(0))
    keep = np.isfinite(found[0])
    return found[0][keep], found[1][keep]


def _study(
    part: pl.DataFrame, paths: dict[tuple[str, Any], _Path], horizon_s: float, draws: int, rng: np.random.Generator
) -> dict[str, Any]:
    s = _sample(part, paths, horizon_s)
    n = s.change.size
    out: dict[str, Any] = dict.fromkeys(list(_STUDY)[3:])
    out["n"] = n
    if n == 0:
        return out
    out["mean_return_bp"], out["range_bp"] = float(s.change.mean()), float(s.spread.mean())
    directed = bool((s.sign != 0).any())
    if directed:
        hits = int((np.sign(s.change) == s.sign)[s.sign != 0].sum())
        judged = int((s.sign != 0).sum())
        out["hits"], out["hit_rate"] = hits, hits / judged
        out["low"], out["high"] = wilson(hits, judged)
    for pools, name in ((s.pools, "times"), (s.other, "days")):
        if n >= ENOUGH and all(p[0].size for p in pools):
            base, p = _baseline(s, pools, directed, draws, rng)
            out[f"baseline_{name}"], out[f"p_{name}"] = base, p
    return out


def _baseline(
    s: _Sample, pools: list[tuple[Floats, Floats]], directed: bool, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Mean of the statistic over draws, and the share of draws (the sample among them) that do at least as well."""
    table = np.empty((s.change.size, draws))
    for j, (change, spread) in enumerate(pools):
        pick = rng.integers(0, change.size, draws)
        table[j] = np.sign(change[pick]) == s.sign[j] if directed else spread[pick]
    if directed:
        use = s.sign != 0
        drawn = table[use].mean(axis=0)
        seen = float((np.sign(s.change) == s.sign)[use].mean())
    else:
        drawn = table.mean(axis=0)
        seen = float(s.spread.mean())
    return float(drawn.mean()), float((1 + (drawn >= seen).sum()) / (1 + draws))


def lead_lag(levels: pl.DataFrame, column: str, lags: Sequence[int] = tuple(range(-10, 11))) -> pl.DataFrame:
    """Correlate burst changes of a level with burst returns of the forward, shifted.

    Parameters
    ----------
    levels : polars.DataFrame
        One (underlying, expiry) of the levels frame.
    column : str
        Which level, such as ``pe_centroid`` or ``pcr``.
    lags : sequence of int
        Bursts; positive: the level moves first, the price follows.

    Returns
    -------
    polars.DataFrame
        ``lag correlation n``; null under three pairs or without spread. Steps across days are left out.
    """
    if column not in levels.columns:
        raise BadData(f"levels frame has no column {column!r}")
    for name in ("underlying", "expiry"):
        if levels[name].n_unique() > 1:
            raise BadData(f"lead_lag takes one {name}, was {levels[name].n_unique()}; filter the levels first")
    known = levels.filter(pl.col("fresh") == 1).sort("ts") if "fresh" in levels.columns else levels.sort("ts")
    day = known["ts"].dt.date()
    value = known[column].cast(pl.Float64).to_numpy()
    price = known["forward"].to_numpy()
    same = (day[1:] == day[:-1]).to_numpy() if known.height > 1 else np.empty(0, dtype=bool)
    moved = np.where(same, np.diff(value), np.nan)
    returned = np.where(same, np.diff(price) / price[:-1], np.nan)
    rows = []
    for lag in lags:
        a, b = (moved[: moved.size - lag], returned[lag:]) if lag >= 0 else (moved[-lag:], returned[:lag])
        ok = np.isfinite(a) & np.isfinite(b)
        x, y = a[ok], b[ok]
        spread = x.size > 2 and float(x.std()) > 0 and float(y.std()) > 0
        rows.append((lag, float(np.corrcoef(x, y)[0, 1]) if spread else None, int(x.size)))
    return pl.DataFrame(rows, schema={"lag": pl.Int64, "correlation": pl.Float64, "n": pl.Int64}, orient="row")


class Recall(NamedTuple):
    """``by_type`` one row a planted type; ``found`` the planted rows with the event that found each, if any."""

    by_type: pl.DataFrame
    found: pl.DataFrame


_FOUND_BY: Final = {
    "WALL_SHIFT_UP": ("WALL_SHIFT_UP",),
    "WALL_SHIFT_DOWN": ("WALL_SHIFT_DOWN",),
    "WALL_UNWIND": ("WALL_UNWIND",),
    "ROLL": ("ROLL",),
    "DATA_GAP": ("DATA_GAP",),
    "DATA_NEW_STRIKE": ("DATA_NEW_STRIKE",),
}


def recall(events: pl.DataFrame, planted: pl.DataFrame, sessions: int, slack_s: float = 600.0) -> Recall:
    """Compare detected events with planted ones.

    Parameters
    ----------
    events : polars.DataFrame
        Detected events.
    planted : polars.DataFrame
        ``ts end_ts underlying expiry side type`` of a generated session.
    sessions : int
        Days studied: false alarms are counted a day.
    slack_s : float
        How long after its end a planted event may still be found: open interest is published late.

    Returns
    -------
    Recall
        By type: ``planted found recall low high delay_s alarms false_alarms false_per_day``. A planted event is
        found by an event of its type, underlying, and (where it names them) expiry and side, between its start and
        its end plus the slack.
    """
    used: set[str] = set()
    rows = []
    for want in planted.filter(pl.col("type").is_in(list(_FOUND_BY))).iter_rows(named=True):
        near = events.filter(
            pl.col("type").is_in(_FOUND_BY[want["type"]])
            & (pl.col("underlying") == want["underlying"])
            & pl.col("ts").is_between(want["ts"], want["end_ts"] + dt.timedelta(seconds=slack_s))
        )
        for name in ("expiry", "side"):
            if want[name] is not None:
                near = near.filter((pl.col(name).cast(pl.String) == str(want[name])) | pl.col(name).is_null())
        used.update(near["id"].to_list())
        first = near.sort("ts").head(1)
        delay = (first["ts"][0] - want["ts"]).total_seconds() if first.height else None
        rows.append((want["ts"], want["underlying"], want["type"], first["id"][0] if first.height else None, delay))
    text = pl.String
    schema: Any = {"ts": planted.schema["ts"], "underlying": text, "type": text, "id": text, "delay_s": pl.Float64}
    found = pl.DataFrame(rows, schema=schema, orient="row")
    table = []
    for kind in sorted(set(found["type"].to_list())):
        mine = found.filter(pl.col("type") == kind)
        hit = mine.filter(pl.col("id").is_not_null())
        alarms = events.filter(pl.col("type").is_in(_FOUND_BY[kind]))
        false = alarms.filter(~pl.col("id").is_in(sorted(used))).height
        low, high = wilson(hit.height, mine.height)
        delay = hit["delay_s"].median()
        table.append((kind, mine.height, hit.height, hit.height / mine.height, low, high, delay, alarms.height, false))
    names = ("type", "planted", "found", "recall", "low", "high", "delay_s", "alarms", "false_alarms")
    types = (pl.String, pl.Int64, pl.Int64, pl.Float64, pl.Float64, pl.Float64, pl.Float64, pl.Int64, pl.Int64)
    by_type = pl.DataFrame(table, schema=dict(zip(names, types, strict=True)), orient="row")
    return Recall(by_type.with_columns((pl.col("false_alarms") / max(sessions, 1)).alias("false_per_day")), found)
