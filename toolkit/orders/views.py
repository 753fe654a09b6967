"""The account in rows: positions, profit, Greeks, a chain. Pure; rupees and units, None or NaN is unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from toolkit import oi, pricing
from toolkit.errors import BadData
from toolkit.market.view import ChainSlice
from toolkit.portfolio.positions import Position, PositionBook
from toolkit.types import Instrument, Kind

__all__ = ["chain_view", "heat_since", "leg_greeks", "pnl_row", "position_rows"]

_GREEKS: Final = ("delta", "gamma", "vega", "theta")
_SHOWN: Final = ("oi", "volume", "ltp", "bid", "ask", "bid_qty", "ask_qty", "iv", "delta", "gamma")

Slice = Callable[[Instrument], ChainSlice | None]


def leg_greeks(instrument: Instrument, chain: ChainSlice | None) -> dict[str, float]:
    """Greeks of one unit; NaN where the chain does not know them."""
    if instrument.kind is not Kind.OPTION:
        return {"delta": 1.0, "gamma": 0.0, "vega": 0.0, "theta": 0.0}
    if chain is None or instrument.strike_p is None:
        return dict.fromkeys(_GREEKS, math.nan)
    at = int(np.searchsorted(chain.strikes, instrument.strike_p / 100.0))
    if at >= len(chain.strikes) or round(float(chain.strikes[at]) * 100) != instrument.strike_p:
        return dict.fromkeys(_GREEKS, math.nan)
    side = chain.side(str(instrument.option_type))
    return {name: float(getattr(side, name)[at]) for name in _GREEKS}


def position_rows(
    account: str,
    broker: str,
    net: Mapping[str, int],
    book: PositionBook,
    instruments: Mapping[str, Instrument],
    mark: Callable[[str], float],
    slice_of: Slice,
) -> list[dict[str, Any]]:
    """Positions of one account: net quantity as the engine counts it, cost as the fills say.

    A share traded on both exchanges has a row for each, as brokers state it; where the fills do not add up to what
    the engine counts, one row has the whole and its cost is unknown.
    """
    lines: dict[str, list[Position]] = {}
    for line in book.all():
        if line.account == account:
            lines.setdefault(line.symbol, []).append(line)
    rows = []
    for symbol in sorted({*net, *lines}):
        mine, qty = lines.get(symbol, []), net.get(symbol, 0)
        if mine and sum(line.net_qty for line in mine) == qty:
            parts: list[tuple[int, list[Position], bool]] = [(line.net_qty, [line], True) for line in mine]
        else:
            parts = [(qty, mine, False)]
        for units, of, known in parts:
            row = _position_row(symbol, units, of, known, instruments.get(symbol), mark(symbol), slice_of)
            rows.append({"account": account, "broker": broker, **row})
    return rows


def _position_row(
    symbol: str,
    qty: int,
    lines: list[Position],
    known: bool,
    instrument: Instrument | None,
    last: float,
    slice_of: Slice,
) -> dict[str, Any]:
    """One row: ``lines`` are what the fills say of it, ``known`` whether they tell its cost."""
    cost_p = sum(line.open_cost_p for line in lines)
    unrealized = qty * last - cost_p / 100.0 if known and qty else math.nan
    greeks = dict.fromkeys(_GREEKS, math.nan)
    if instrument is not None and qty:
        greeks = {k: v * qty for k, v in leg_greeks(instrument, slice_of(instrument)).items()}
    exchange = lines[0].exchange if known else None
    expiry = None if instrument is None else instrument.expiry
    return {
        "symbol": symbol,
        "exchange": exchange or (instrument.exchange if instrument else lines[0].exchange if lines else None),
        "underlying": instrument.underlying if instrument else None,
        "expiry": None if expiry is None else expiry.isoformat(),
        "net_qty": qty,
        "lot": instrument.lot if instrument else None,
        "avg_px": _real(lines[0].avg_px) if known else None,
        "ltp": _real(last),
        "unrealized": 0.0 if not qty else _real(unrealized),
        "realized": None if not lines else sum(line.realized_p for line in lines) / 100.0,
        "delta": _real(greeks["delta"]) if qty else 0.0,
        "theta_day": _real(greeks["theta"] / 365.0) if qty else 0.0,
    }


def pnl_row(account: str, broker: str, rows: list[dict[str, Any]], charges: float | None) -> dict[str, Any]:
    """Profit of one account: a part that is unknown makes the whole unknown."""
    realized = math.fsum(r["realized"] or 0.0 for r in rows)
    open_parts = [r["unrealized"] for r in rows if r["net_qty"]]
    unrealized = None if any(v is None for v in open_parts) else math.fsum(open_parts)
    gross = None if unrealized is None else realized + unrealized
    return {
        "account": account,
        "broker": broker,
        "realized": realized,
        "unrealized": unrealized,
        "gross": gross,
        "charges": charges,
        "net": None if gross is None or charges is None else gross - charges,
    }


def chain_view(chain: ChainSlice, net: Mapping[str, int], *, stale: bool) -> dict[str, Any]:
    """A chain as a page shows it: one row a strike, calls and puts side by side, with what belongs to the whole."""
    theo, smile = _smile(chain)
    rows = []
    for at, strike in enumerate(chain.strikes.tolist()):
        row: dict[str, Any] = {"strike": strike}
        for side in ("CE", "PE"):
            leg, name = chain.side(side), side.lower()
            symbol = chain.symbol(at, side)
            row[f"{name}_symbol"] = symbol
            row |= {f"{name}_{column}": _real(float(getattr(leg, column)[at])) for column in _SHOWN}
            row[f"{name}_theta_day"] = _real(float(leg.theta[at]) / 365.0)
            row[f"{name}_vega_pt"] = _real(float(leg.vega[at]) / 100.0)
            row[f"{name}_theo"] = theo[side][at] if theo else None
            row[f"{name}_position"] = net.get(symbol, 0)
        rows.append(row)
    cost = oi.straddle(chain.strikes, chain.ce.mid, chain.pe.mid, chain.forward)
    pain = oi.max_pain(chain.strikes, chain.ce.oi, chain.pe.oi, chain.forward) if _whole(chain) else None
    return {
        "underlying": chain.underlying,
        "exchange": chain.exchange,
        "expiry": chain.expiry.isoformat(),
        "ts_ns": chain.ts_ns,
        "recv_ns": chain.recv_ns,
        "stale": stale,
        "lot": chain.lot,
        "spot": _real(chain.spot),
        "forward": _real(chain.forward),
        "tte": _real(chain.tte),
        "atm_iv": _real(float(chain.ce.iv[chain.atm])) if chain.atm >= 0 else None,
        "straddle": {"price": _real(cost.price), "strike": _real(cost.strike), "percent": _real(cost.percent)},
        "pcr": _real(oi.pcr(chain.ce.oi, chain.pe.oi)) if _whole(chain) else None,
        "max_pain": None if pain is None else _real(pain.strike),
        "smile": smile,
        "rows": rows,
    }


def _smile(chain: ChainSlice) -> tuple[dict[str, list[float | None]] | None, dict[str, Any] | None]:
    """Prices on the fitted smile by side, and the smile's points; nothing where too few volatilities are known."""
    iv = np.where(chain.strikes >= chain.forward, chain.ce.iv, chain.pe.iv)
    try:
        fit = pricing.smile(chain.strikes, iv, chain.forward, chain.tte, "svi")
    except BadData:
        return None, None
    vol = np.asarray(fit.iv(chain.strikes), np.float64)
    theo = {
        side: [_real(v) for v in np.asarray(pricing.price(side, chain.forward, chain.strikes, chain.tte, vol)).tolist()]
        for side in ("CE", "PE")
    }
    points = {"model": "svi", "strike": chain.strikes.tolist(), "iv": [_real(v) for v in vol.tolist()]}
    points["market_iv"] = [_real(v) for v in iv.tolist()]
    return theo, points


def _whole(chain: ChainSlice) -> bool:
    return bool(np.isfinite(chain.ce.oi).any() and np.isfinite(chain.pe.oi).any())


def _real(value: float) -> float | None:
    return value if math.isfinite(value) else None


def heat_since(snapshots: pl.DataFrame, base_ns: int) -> tuple[list[dict[str, Any]], int | None]:
    """Open interest by strike in the newest snapshot and its change since the first one at or after ``base_ns``.

    Returns
    -------
    rows, base_ns
        The stamp that changes are measured against, None without any snapshot.
    """
    if snapshots.is_empty():
        return [], None
    stamps = snapshots["ts"].dt.epoch("us") * 1000
    later = stamps.filter(stamps >= base_ns)
    base = int(later.min() if len(later) else stamps.min())  # type: ignore[arg-type]
    rows = snapshots.with_columns(stamp=stamps)
    keys = ["expiry", "strike_p", "option_type"]
    before = rows.filter(pl.col("stamp") == base).select(*keys, base_oi="oi")
    newest = rows.filter(pl.col("stamp") == pl.col("stamp").max())
    joined = newest.join(before, on=keys, how="left").sort(keys)
    made = joined.select(
        "expiry",
        strike=pl.col("strike_p") / 100.0,
        option_type=pl.col("option_type").cast(pl.String),
        oi="oi",
        oi_change=pl.col("oi") - pl.col("base_oi"),
    )
    return made.to_dicts(), base
