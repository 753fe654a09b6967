"""Kite's market data over REST, from the simulated day: master, quotes, candles."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from toolkit.calendar import IST, ist_ns, to_ist
from toolkit.sim.kite_form import WireRefusal
from toolkit.sim.kite_order import stamp
from toolkit.sim.roster import Listed
from toolkit.sim.world import World
from toolkit.types import Kind

__all__ = ["INTERVALS", "candles", "find", "instruments_csv", "ltp_row", "ohlc_row", "quote_row", "trigger_range"]

_HEADER: Final = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)
_MINUTE_NS: Final = 60_000_000_000
_DAY_NS: Final = 1440 * _MINUTE_NS
INTERVALS: Final = {
    "minute": (1, 60),
    "3minute": (3, 100),
    "5minute": (5, 100),
    "10minute": (10, 100),
    "15minute": (15, 200),
    "30minute": (30, 200),
    "60minute": (60, 400),
    "day": (1440, 2000),
}
"""Minutes of a candle and the most days one request may span."""


def instruments_csv(rows: Sequence[Listed]) -> str:
    """The instruments dump; last_price is 0, as in a dump of the morning."""
    lines = [_HEADER]
    for row in rows:
        instrument = row.instrument
        kind = instrument.option_type or {Kind.FUTURE: "FUT"}.get(instrument.kind, "EQ")
        segment = "INDICES" if instrument.kind is Kind.INDEX else row.venue
        if instrument.kind is Kind.OPTION:
            segment = f"{row.venue}-OPT"
        elif instrument.kind is Kind.FUTURE:
            segment = f"{row.venue}-FUT"
        name = instrument.underlying if instrument.expiry else row.name
        expiry = "" if instrument.expiry is None else instrument.expiry.isoformat()
        strike = (instrument.strike_p or 0) / 100
        # An index does not trade: no tick, no lot.
        tick, lot = (0.0, 0) if instrument.kind is Kind.INDEX else (instrument.tick_p / 100, instrument.lot)
        lines.append(
            f"{row.key},{row.exchange_token},{row.name},{name},0.0,{expiry},{strike},{tick},{lot},{kind},"
            f"{segment},{row.venue}"
        )
    return "\n".join(lines) + "\n"


def find(world: World, wanted: Sequence[str]) -> dict[str, Listed]:
    """The listed instruments among ``EXCHANGE:TRADINGSYMBOL`` or token texts; unknown ones are left out."""
    found = {}
    for text in wanted:
        venue, _, name = text.partition(":")
        row = world.roster.by_key.get(int(text)) if _digits(text) else world.roster.by_name.get((venue, name))
        if row is not None:
            found[text] = row
    return found


def ltp_row(world: World, row: Listed) -> dict[str, Any]:
    """One value of ``/quote/ltp``."""
    day = world.row(row.key)
    return {"instrument_token": row.key, "last_price": _number(day["ltp"])}


def ohlc_row(world: World, row: Listed) -> dict[str, Any]:
    """One value of ``/quote/ohlc``; close is the previous day's."""
    day = world.row(row.key)
    return {**ltp_row(world, row), "ohlc": {name: _number(day[name]) for name in ("open", "high", "low", "close")}}


def quote_row(world: World, row: Listed) -> dict[str, Any]:
    """One value of ``/quote``. Of the depth, only the best level is recorded; the others are empty."""
    day = world.row(row.key)
    band = world.bands.get(row.key, (0, 0))
    volume, value = day["volume"], day["value"]
    quote = {
        **ltp_row(world, row),
        "timestamp": stamp(int(day["exch_ns"])) if day["exch_ns"] else None,
        "last_trade_time": stamp(int(day["trade_ns"])) if day["trade_ns"] else None,
        "last_quantity": _units(day["last_qty"]),
        "buy_quantity": _units(day["bid_qty"]),
        "sell_quantity": _units(day["ask_qty"]),
        "volume": _units(volume),
        "average_price": _number(value / volume) if volume > 0 else 0,
        "oi": _units(day["oi"]),
        "oi_day_high": _units(day["oi_high"]),
        "oi_day_low": _units(day["oi_low"]),
        "net_change": _number(day["ltp"] - day["close"]),
        "lower_circuit_limit": band[0] / 100,
        "upper_circuit_limit": band[1] / 100,
        "ohlc": ohlc_row(world, row)["ohlc"],
        "depth": {
            "buy": _depth(day["bid"], day["bid_qty"]),
            "sell": _depth(day["ask"], day["ask_qty"]),
        },
    }
    if row.instrument.kind is Kind.INDEX:
        return {name: quote[name] for name in ("instrument_token", "timestamp", "last_price", "net_change", "ohlc")}
    return quote


def trigger_range(world: World, row: Listed) -> dict[str, Any]:
    """One value of the (legacy) trigger range: the price band."""
    low, high = world.bands.get(row.key, (0, 0))
    return {"instrument_token": row.key, "lower": low / 100, "upper": high / 100}


def candles(world: World, token: str, interval: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Candles from the recorded last prices up to now; bounds inclusive.

    Raises
    ------
    WireRefusal
        For an unknown token, interval or date, or more days than Kite serves at once.
    """
    row = world.roster.by_key.get(int(token)) if _digits(token) else None
    if row is None:
        raise WireRefusal(400, "InputException", "invalid token")
    if interval not in INTERVALS:
        raise WireRefusal(400, "InputException", "invalid interval")
    minutes, days = INTERVALS[interval]
    start, end = _bound(query, "from"), _bound(query, "to")
    if end < start:
        raise WireRefusal(400, "InputException", "invalid from and to: from is after to")
    if end - start > days * _DAY_NS:
        raise WireRefusal(400, "InputException", f"interval exceeds max limit: {days} days")
    with_oi = query.get("oi") == "1"
    return {"candles": _candles(world, row.key, minutes, start, end, with_oi)}


def _candles(world: World, key: int, minutes: int, start: int, end: int, with_oi: bool) -> list[list[Any]]:
    rows = world.tape.rows
    rows = rows[(rows["key"] == key) & (rows["recv_ns"] <= world.now_ns) & ~np.isnan(rows["ltp"])]
    open_ns = world.bounds[0]
    width = minutes * _MINUTE_NS
    if minutes == 1440:
        starts = np.full(len(rows), ist_ns(to_ist(open_ns).date()))
    else:
        # A row just before the bell (a snapshot sent early) belongs to the first candle.
        starts = open_ns + np.maximum(rows["exch_ns"] - open_ns, 0) // width * width
    found = []
    volume_before = 0.0
    for at in np.unique(starts):
        part = rows[starts == at]
        ltp = part["ltp"]
        volume = float(np.nanmax(part["volume"], initial=volume_before))
        if start <= at <= end:
            candle = [
                f"{to_ist(int(at)):%Y-%m-%dT%H:%M:%S}+0530",
                *(_number(x) for x in (ltp[0], ltp.max(), ltp.min(), ltp[-1])),
                int(volume - volume_before),
            ]
            known = part["oi"][~np.isnan(part["oi"])]
            found.append([*candle, int(known[-1]) if len(known) else 0] if with_oi else candle)
        volume_before = volume
    return found


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12


def _bound(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise WireRefusal(400, "InputException", f"invalid {name} date") from None
    local = moment.replace(tzinfo=None) if moment.tzinfo is None else moment.astimezone(IST).replace(tzinfo=None)
    return ist_ns(local.date(), local.time())


def _depth(price: float, qty: float) -> list[dict[str, Any]]:
    empty = {"price": 0, "quantity": 0, "orders": 0}
    shown = price > 0 and qty > 0
    best = {"price": _number(price), "quantity": _units(qty), "orders": 1} if shown else empty
    return [best, empty, empty, empty, empty]


def _number(value: float) -> float:
    return 0 if math.isnan(value) else round(float(value), 2)


def _units(value: float) -> int:
    return 0 if math.isnan(value) else int(value)
