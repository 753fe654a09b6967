"""The account's risk in rows: Greeks by group, scenarios, pins, closing cost, limits with their use, locks. Pure.

Rupees and units; None is unknown, and ``unbounded`` says that a loss has no bound.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np

from toolkit.errors import BadData, nearest
from toolkit.risk.account import DayLoss, MaxDrawdown
from toolkit.risk.book import RiskBook
from toolkit.risk.breaker import ExchangeBreaker
from toolkit.risk.closing import Touch, close_out
from toolkit.risk.exposure import Columns, Position, columns, exposures, position_greeks
from toolkit.risk.guards import Greek
from toolkit.risk.limits import Limits
from toolkit.risk.pin import expiry_profile, pins
from toolkit.risk.rulefile import described
from toolkit.risk.rules import RuleBook
from toolkit.risk.scenarios import DAYS, MOVES, VOLS, ScenarioGrid, scenario_grid
from toolkit.risk.var import grid_pnl, parametric_var, var_of
from toolkit.types import Side

__all__ = [
    "GROUPS",
    "closing_view",
    "expiry_view",
    "figures_of",
    "greek_rows",
    "historical_view",
    "limit_rows",
    "lock_rows",
    "read_groups",
    "rule_rows",
    "scenario_view",
    "split_by_strategy",
    "underlying_greeks",
    "var_view",
]

GROUPS: Final = ("account", "strategy", "underlying", "expiry", "symbol")
_AXES: Final[tuple[tuple[str, Sequence[float]], ...]] = (("spot", MOVES), ("vol", VOLS), ("days", DAYS))
_MOST_STEPS: Final = 41
_ALERT_MOVES: Final = tuple(round(-0.10 + 0.02 * n, 2) for n in range(11))
_ALERT_VOLS: Final = (-0.05, 0.0, 0.05)
_VAR_MOVES: Final = tuple(round(-0.30 + 0.01 * n, 2) for n in range(61))
_TRADING_DAYS: Final = 252.0
_CONFIDENCE: Final = 0.99
_NODES: Final = 2001
_LEAST_DAYS: Final = 50
_HOLE_DAYS: Final = 5
_LEVELS: Final = 41
_SPAN: Final = 0.05


def read_groups(text: str | None) -> tuple[str, ...]:
    """What Greeks are grouped by, from words parted by commas; the usual is account, underlying and expiry."""
    if text is None:
        return ("account", "underlying", "expiry")
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for word in words:
        if word not in GROUPS:
            raise BadData(f"by takes {', '.join(GROUPS)}, was '{word[:40]}'{nearest(word, GROUPS)}")
    return words


def split_by_strategy(positions: Iterable[Position], mine: Mapping[str, Mapping[str, int]]) -> list[Position]:
    """Positions parted by whose they are: ``mine`` is net units by strategy and symbol, the rest is nobody's."""
    made = []
    for position in positions:
        left = position.qty
        for strategy, net in sorted(mine.items()):
            qty = net.get(position.symbol, 0)
            if qty:
                made.append(msgspec.structs.replace(position, qty=qty, strategy=strategy))
                left -= qty
        if left:
            made.append(msgspec.structs.replace(position, qty=left))
    return made


def greek_rows(positions: Sequence[Position], by: Sequence[str]) -> list[dict[str, Any]]:
    """Net Greeks by group: theta a calendar day, vega a volatility point; delta's bounds where some are unknown."""
    rows = []
    for row in exposures(positions, by).to_dicts():
        vega, theta, expiry = row.pop("vega"), row.pop("theta"), row.get("expiry")
        row["vega_pt"] = None if vega is None else vega / 100.0
        row["theta_day"] = None if theta is None else theta / 365.0
        if "expiry" in row:
            row["expiry"] = None if expiry is None else expiry.isoformat()
        rows.append({name: _real(v) if isinstance(v, float) else v for name, v in row.items()})
    return rows


def underlying_greeks(
    positions: Sequence[Position], levels: Mapping[str, float], *, new: frozenset[str] = frozenset()
) -> dict[str, Greek | None]:
    """Net Greeks by underlying for the guards; None where a position or the level is unknown.

    ``new`` names underlyings whose quotes may still be on their way: there an unknown option counts at the worse
    end of its delta.
    """
    c = columns(positions)
    greeks, known = position_greeks(c), c.known
    found: dict[str, Greek | None] = {}
    for name in sorted(set(c.underlyings) - {""}):
        rows = np.flatnonzero(np.array([u == name for u in c.underlyings]))
        level = levels.get(name, math.nan)
        blind = not bool(known[rows].all())
        if not math.isfinite(level) or (blind and name not in new):
            found[name] = None
            continue
        low, high = _bounds(c, greeks["delta"], rows)
        sums = {g: float(np.nansum(greeks[g][rows])) for g in ("gamma", "vega", "theta")}
        gross = float(np.where(known[rows], np.abs(greeks["delta"][rows]), np.abs(c.qty[rows])).sum())
        delta = low if abs(low) > abs(high) else high
        found[name] = Greek(delta, **sums, gross_delta=gross, level=level)
    return found


def _bounds(c: Columns, delta: Any, rows: Any) -> tuple[float, float]:
    """Least and largest delta of some rows, an unknown option between none and its whole quantity."""
    qty, cp = c.qty[rows], c.cp[rows]
    end = np.where(cp == 0.0, 1.0, cp) * qty
    start = np.where(cp == 0.0, end, 0.0)
    own, seen = delta[rows], c.known[rows]
    low = np.where(seen, own, np.minimum(start, end))
    high = np.where(seen, own, np.maximum(start, end))
    return float(low.sum()), float(high.sum())


def scenario_view(positions: Sequence[Position], query: Mapping[str, Any]) -> dict[str, Any]:
    """Profit of positions over moves of spot, volatility and days: one row a cell, and the worst.

    ``query``: ``spot``, ``vol`` and ``days`` as numbers with commas (fractions, 0.01 is 1 %).
    """
    moves, vols, days = (_numbers(word, query.get(word)) or usual for word, usual in _AXES)
    if not positions:
        return {"scenarios": [], "worst": None, "best": None, "unknown": []}
    grid = scenario_grid(positions, moves, vols, days)
    rows = [
        {"move": float(move), "vol": float(vol), "days": float(day), "pnl": _real(float(grid.pnl[m, v, d]))}
        for m, move in enumerate(grid.moves)
        for v, vol in enumerate(grid.vols)
        for d, day in enumerate(grid.days)
    ]
    ends = {name: _cell(grid, name) for name in ("worst", "best")}
    return {"scenarios": rows, **ends, "unknown": list(grid.unknown)}


def _cell(grid: ScenarioGrid, name: str) -> dict[str, Any]:
    cell = grid.worst if name == "worst" else grid.best
    return {
        "pnl": _real(cell.pnl),
        "unbounded": math.isinf(cell.pnl),
        "move": cell.move,
        "vol": cell.vol,
        "days": cell.days,
    }


def var_view(positions: Sequence[Position], vols: Mapping[str, float], days: float = 1.0) -> dict[str, Any] | None:
    """Value at risk over a trading day under a normal move of the largest volatility held; None where unknown."""
    used = [vols.get(name, math.nan) for name in {p.underlying for p in positions}]
    if not used or not all(math.isfinite(v) and v > 0 for v in used):
        return None
    sigma = max(used) * math.sqrt(days / _TRADING_DAYS)
    grid = scenario_grid(positions, _VAR_MOVES, (0.0,), (days,))
    try:
        found = parametric_var(grid, sigma, confidence=_CONFIDENCE, nodes=_NODES)
    except BadData:
        return None  # so large a volatility leaves the grid: a guess would be no figure
    kept = {name: _real(getattr(found, name)) for name in ("var", "shortfall", "worst")}
    return {"method": "parametric", "confidence": _CONFIDENCE, "days": days, "sigma": sigma, **kept}


def historical_view(
    positions: Sequence[Position], closes: Mapping[str, Mapping[dt.date, float]]
) -> dict[str, Any] | None:
    """Value at risk of past days: each day's moves of every underlying on the book as it is, at flat volatility.

    ``closes`` are by underlying and day. None where too few days are known of all underlyings together.
    """
    moves = {name: _day_moves(closes.get(name, {})) for name in {p.underlying for p in positions}}
    days = sorted(set.intersection(*(set(known) for known in moves.values()))) if moves else []
    if len(days) < _LEAST_DAYS:
        return None
    pnl = np.zeros(len(days))
    for name, known in moves.items():
        steps = np.array([known[day] for day in days])
        mine = [p for p in positions if p.underlying == name]
        pnl += grid_pnl(scenario_grid(mine, np.unique(steps), (0.0,), (1.0,)), steps, 0.0)
    found = var_of(pnl, _CONFIDENCE)
    kept = {name: _real(getattr(found, name)) for name in ("var", "shortfall", "worst")}
    about = {"points": found.points, "since": days[0].isoformat(), "until": days[-1].isoformat()}
    return {"method": "historical", "confidence": _CONFIDENCE, "days": 1.0, **about, **kept}


def _day_moves(closes: Mapping[dt.date, float]) -> dict[dt.date, float]:
    """Moves from close to close; over a longer hole than a long weekend there is no day's move."""
    pairs = pairwise(sorted(closes.items()))
    return {day: close / last - 1.0 for (before, last), (day, close) in pairs if (day - before).days <= _HOLE_DAYS}


def closing_view(positions: Sequence[Position], touches: Mapping[str, Touch]) -> dict[str, Any]:
    """What closing everything at once would cost against the middle of the quotes."""
    cost = close_out(positions, touches)
    names = ("spread", "impact", "lost", "total")
    figures = {name: _real(getattr(cost, name)) for name in names}
    return {**figures, "unbounded": math.isinf(cost.total), "unknown": list(cost.unknown)}


def expiry_view(positions: Sequence[Position], levels: Mapping[str, float], on: dt.date) -> list[dict[str, Any]]:
    """Pins, and worth, delta and gamma by settlement level, of each underlying with options that expire on a day."""
    made = []
    for name in sorted({p.underlying for p in positions if p.cp and p.qty and p.expiry == on}):
        level = levels.get(name, math.nan)
        row: dict[str, Any] = {"underlying": name, "expiry": on.isoformat(), "level": _real(level)}
        if math.isfinite(level):
            at = level * np.linspace(1.0 - _SPAN, 1.0 + _SPAN, _LEVELS)
            row["pins"] = pins(positions, name, on, level).to_dicts()
            row["profile"] = expiry_profile(positions, name, on, at).to_dicts()
        made.append(row)
    return made


def figures_of(
    positions: Sequence[Position], touches: Mapping[str, Touch], funds_p: int | None, used_p: int | None
) -> dict[str, float | None]:
    """The figures that an alert may watch, of one account; None is unknown, shares are of the funds."""
    if not positions:
        return dict.fromkeys(_FIGURES, 0.0) | {"margin_share": _share(used_p, funds_p)}
    c = columns(positions)
    greeks, whole = position_greeks(c), bool(c.known.all())
    sums = {name: float(greeks[name].sum()) if whole else None for name in ("delta_value", "gamma", "vega", "theta")}
    worst = scenario_grid(c, _ALERT_MOVES, _ALERT_VOLS, (0.0, 1.0)).worst.pnl
    cost = close_out(positions, touches).total
    funds = None if funds_p is None else funds_p / 100.0
    return {
        "unknown_positions": float((~c.known).sum()),
        "delta_value": sums["delta_value"],
        "gamma": sums["gamma"],
        "vega_pt": None if sums["vega"] is None else sums["vega"] / 100.0,
        "theta_day": None if sums["theta"] is None else sums["theta"] / 365.0,
        "worst_case": -worst,
        "worst_of_funds": _share(-worst, funds),
        "close_out": cost,
        "close_out_of_funds": _share(cost, funds),
        "margin_share": _share(used_p, funds_p),
    }


_FIGURES: Final = (
    "unknown_positions",
    "delta_value",
    "gamma",
    "vega_pt",
    "theta_day",
    "worst_case",
    "worst_of_funds",
    "close_out",
    "close_out_of_funds",
)


def limit_rows(account: str, limits: Limits, book: RiskBook, now_ns: int) -> list[dict[str, Any]]:
    """Every pre-trade limit with its value, and how much of it is used where something uses it."""
    used = _uses(limits, book, now_ns)
    return [
        {"account": account, "limit": name, "value": value, "used": used.get(name)}
        for name, value in msgspec.to_builtins(limits).items()
    ]


def _uses(limits: Limits, book: RiskBook, now_ns: int) -> dict[str, float | int]:
    lots = [
        max(abs(qty + side.sign * book.open_qty(symbol, side)) for side in Side) / book.instruments[symbol].lot
        for symbol in {*book.net, *book.resting}
        if symbol in book.instruments
        for qty in (book.net.get(symbol, 0),)
    ]
    largest = {i.underlying: i.lot for i in book.instruments.values()}
    gross = [units / largest[name] for name, units in book.gross.items() if name in largest]
    messages = max((book.messages(now_ns, exchange) for exchange in ("NSE", "BSE")), default=0)
    used: dict[str, float | int] = {
        "max_open_value_p": book.open_value_p,
        "max_messages_per_s": messages,
        "max_cancels_per_s": messages,
        "max_net_lots": max(lots, default=0.0),
        "max_gross_lots": max(gross, default=0.0),
    }
    if limits.check_margin and book.need.shape().underlyings <= book.span.keys():
        used["max_capital_p"] = book.need.held_p(now_ns) + book.open_value_p
    return used


def rule_rows(account: str, rules: RuleBook, now_ns: int) -> list[dict[str, Any]]:
    """Each rule with its figure, where it trips and re-arms, and whether its lock stands."""
    standing = {lock.rule for lock in rules.locks(now_ns)}
    rows = []
    for rule in rules.rules:
        row: dict[str, Any] = {"account": account, "rule": rule.name, "kind": rule.kind.name}
        row |= {"does": rule.kind.does, "locked": rule.name in standing, "value": None, "trip": None, "rearm": None}
        reading = rules.readings.get(rule.name)
        if reading is not None:
            row |= {"value": None if reading.value is None else _real(float(reading.value))}
            row |= {"trip": float(reading.trip), "rearm": float(reading.rearm), "rearms_when": reading.back}
        elif rule.kind.phase == "lock":
            row |= _used(rules, rule.params)
        skip = ("name", "kind", "phase", "does")
        row["params"] = {name: value for name, value in described(rule).items() if name not in skip}
        rows.append(row)
    return rows


def _used(rules: RuleBook, params: msgspec.Struct) -> dict[str, float | None]:
    """The use of a rule that has no reading: over the day's profit in rupees, of the exchange's breaker as a move."""
    profit = rules.scene.facts.profit_p
    if isinstance(params, ExchangeBreaker):
        moves = [abs(m) for name in params.indices if (m := rules.scene.facts.index_moves.get(name)) is not None]
        return {"value": max(moves, default=None), "trip": min((r.move for r in params.table.rows), default=None)}
    if isinstance(params, DayLoss):
        lost = None if profit is None else max(0, -profit) / 100.0
        return {"value": lost, "trip": params.max_loss / 100.0}
    if isinstance(params, MaxDrawdown):
        fell = None if profit is None else max(0, rules.scene.history.peak_p - profit) / 100.0
        return {"value": fell, "trip": params.max_fall / 100.0}
    return {}


def lock_rows(account: str, rules: RuleBook, now_ns: int) -> list[dict[str, Any]]:
    """The locks in force: what they stop, why, since when, until when, and what lifts them."""
    return [{"account": account, **msgspec.to_builtins(lock)} for lock in rules.locks(now_ns)]


def _share(part: float | None, whole: float | None) -> float | None:
    if part is None or whole is None:
        return None
    return part / whole if whole > 0 else (math.inf if part > 0 else 0.0)


def _real(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _numbers(name: str, text: object) -> list[float]:
    if text is None:
        return []
    try:
        found = [float(part) for part in str(text).split(",")]
    except ValueError:
        found = [math.nan]
    if len(found) > _MOST_STEPS or not all(math.isfinite(v) and abs(v) <= 1000 for v in found):
        raise BadData(f"{name} must be up to {_MOST_STEPS} numbers with commas, was '{str(text)[:40]}'")
    return found
