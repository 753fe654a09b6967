"""The end of a synthetic day: closes, settlement, end-of-day rows, instruments, what is carried."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.contracts import Contract, contract_name
from toolkit.sim.flows import Board, Flows
from toolkit.sim.frames import eod_frame, instruments_frame
from toolkit.sim.futures import Futures
from toolkit.sim.listing import Carried, Key
from toolkit.sim.quotes import Quotes
from toolkit.sim.setting import Clock, Setting
from toolkit.types import Kind, OptionType

__all__ = ["carried_futures", "carried_options", "close_prices", "eod_rows", "index_row", "instrument_rows"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_VWAP_NS: Final = 1_800 * 1_000_000_000
_LOTS_A_TRADE: Final = 3
UNKNOWN: Final = -1


def close_prices(ltp: Floats, traded: Ints, clock: Clock, tick_p: int, previous_p: Ints) -> Ints:
    """Closing prices in paise: the last half hour's volume-weighted price on the tick.

    Without a trade in it the last price, without a trade today the previous close,
    `UNKNOWN` where there is none.
    """
    window = clock.stamps >= clock.close_ns - _VWAP_NS
    paise = np.rint(np.where(np.isnan(ltp), 0.0, ltp) * 100.0).astype(np.int64)
    lots = traded[window]
    value = (paise[window] * lots).sum(axis=0)
    mean = np.rint(value / np.maximum(lots.sum(axis=0), 1) / tick_p).astype(np.int64) * tick_p
    today = np.where(lots.sum(axis=0) > 0, mean, paise[-1])
    return np.where(traded.sum(axis=0) > 0, today, previous_p)


def _optional(paise: int) -> float | None:
    return None if paise == UNKNOWN else paise / 100.0


def _traded_range(ltp: Floats, column: int) -> dict[str, float | None]:
    """Open, high, low and last of one contract, None when it did not trade."""
    seen = ltp[:, column]
    seen = seen[~np.isnan(seen)]
    if not len(seen):
        return {"open": None, "high": None, "low": None, "last": None}
    return {"open": float(seen[0]), "high": float(seen.max()), "low": float(seen.min()), "last": float(seen[-1])}


def _common(setting: Setting, spot: float) -> dict[str, Any]:
    return {"date": setting.day, "underlying": setting.name, "exchange": setting.exchange, "spot": spot}


def eod_rows(
    setting: Setting,
    board: Board,
    token: Ints,
    start_lots: Ints,
    previous_p: Ints,
    close_p: Ints,
    flows: Flows,
    quotes: Quotes,
    spot: float,
) -> list[dict[str, Any]]:
    """End-of-day rows of the options; on expiry day the settlement is the index's closing value."""
    traded = flows.traded.sum(axis=0)
    paise = np.rint(np.where(np.isnan(quotes.ltp), 0.0, quotes.ltp) * 100.0).astype(np.int64)
    value_p = (paise * flows.traded).sum(axis=0)
    rows = []
    for i, key in enumerate(board.keys):
        lot, lots, oi = int(board.lot[i]), int(traded[i]), int(flows.oi[-1, i])
        expires = key.expiry == setting.day
        close = _optional(int(close_p[i]))
        rows.append(
            _common(setting, spot)
            | _traded_range(quotes.ltp, i)
            | {
                "kind": "option",
                "expiry": key.expiry,
                "strike_p": key.strike_p,
                "option_type": "CE" if key.cp > 0 else "PE",
                "token": int(token[i]),
                "lot": lot,
                "close": close,
                "prev_close": _optional(int(previous_p[i])),
                "settle": spot if expires else close,
                "final_settlement": spot if expires else None,
                "oi": oi * lot,
                "oi_change": (oi - int(start_lots[i])) * lot,
                "volume": lots * lot,
                "turnover": (lots * key.strike_p + int(value_p[i])) * lot / 100.0,
                "trades": -(-lots // _LOTS_A_TRADE),
            }
        )
    return rows


def future_rows(
    setting: Setting, futures: Futures, previous: Mapping[dt.date, Carried], close_p: Ints, spot: float
) -> list[dict[str, Any]]:
    """End-of-day rows of the futures."""
    traded = futures.traded.sum(axis=0)
    paise = np.rint(np.where(np.isnan(futures.ltp), 0.0, futures.ltp) * 100.0).astype(np.int64)
    value_p = (paise * futures.traded).sum(axis=0)
    rows = []
    for i, expiry in enumerate(futures.expiries):
        lot, lots, oi = int(futures.lot[i]), int(traded[i]), int(futures.oi[-1, i])
        expires = expiry == setting.day
        close = _optional(int(close_p[i]))
        carried = previous.get(expiry)
        rows.append(
            _common(setting, spot)
            | _traded_range(futures.ltp, i)
            | {
                "kind": "future",
                "expiry": expiry,
                "token": int(futures.token[i]),
                "lot": lot,
                "close": close,
                "prev_close": None if carried is None or carried.close_p is None else carried.close_p / 100.0,
                "settle": spot if expires else close,
                "final_settlement": spot if expires else None,
                "oi": oi * lot,
                "oi_change": (oi - int(futures.start_lots[i])) * lot,
                "volume": lots * lot,
                "turnover": int(value_p[i]) * lot / 100.0,
                "trades": -(-lots // _LOTS_A_TRADE),
            }
        )
    return rows


def index_row(setting: Setting, opening: float, high: float, low: float, close: float, before: float) -> dict[str, Any]:
    """The index's own end-of-day row."""
    return _common(setting, close) | {
        "kind": "index",
        "open": opening,
        "high": high,
        "low": low,
        "close": close,
        "last": close,
        "prev_close": before,
    }


def instrument_rows(setting: Setting, board: Board, token: Ints, futures: Futures) -> list[dict[str, Any]]:
    """Instruments of the day, options and futures."""
    found: list[tuple[Kind, dt.date, int | None, int, int, int]] = []
    for key, t, lot in zip(board.keys, token, board.lot, strict=True):
        found.append((Kind.OPTION, key.expiry, key.strike_p, key.cp, int(t), int(lot)))
    for expiry, t, lot in zip(futures.expiries, futures.token, futures.lot, strict=True):
        found.append((Kind.FUTURE, expiry, None, 0, int(t), int(lot)))
    monthly = {e: setting.rules.is_monthly(setting.name, e, on=setting.day) for e in sorted({row[1] for row in found})}
    option_tick = setting.rules.tick_p(setting.name, "option", setting.day)
    freeze = setting.rules.freeze_qty(setting.name, setting.day)
    rows = []
    for kind, expiry, strike_p, cp, number, lot in found:
        option_type = None if kind is Kind.FUTURE else OptionType.CE if cp > 0 else OptionType.PE
        contract = Contract(setting.name, kind, expiry, strike_p, option_type)
        rows.append(
            {
                "valid_on": setting.day,
                "token": number,
                "symbol": contract.symbol,
                "source_symbol": contract_name(contract, monthly=monthly[expiry]),
                "exchange": setting.exchange,
                "segment": setting.market.segment,
                "underlying": setting.name,
                "kind": str(kind),
                "expiry": expiry,
                "strike_p": strike_p,
                "option_type": None if option_type is None else str(option_type),
                "lot": lot,
                "tick_p": option_tick if kind is Kind.OPTION else futures.tick_p,
                "freeze_qty": freeze,
            }
        )
    return rows


def carried_options(setting: Setting, board: Board, token: Ints, close_p: Ints, flows: Flows) -> dict[Key, Carried]:
    """The options that live on after today."""
    return {
        key: Carried(
            int(token[i]), int(board.lot[i]), int(flows.oi[-1, i]), _or_none(int(close_p[i])), float(board.weight[i])
        )
        for i, key in enumerate(board.keys)
        if key.expiry > setting.day
    }


def carried_futures(setting: Setting, futures: Futures, close_p: Ints) -> dict[dt.date, Carried]:
    """The futures that live on after today."""
    return {
        expiry: Carried(
            int(futures.token[i]), int(futures.lot[i]), int(futures.oi[-1, i]), _or_none(int(close_p[i])), 1.0
        )
        for i, expiry in enumerate(futures.expiries)
        if expiry > setting.day
    }


def _or_none(paise: int) -> int | None:
    return None if paise == UNKNOWN else paise


def close_frames(rows: list[dict[str, Any]], instruments: list[dict[str, Any]]) -> dict[str, pl.DataFrame]:
    """The day's ``eod`` and ``instruments`` tables."""
    return {"eod": eod_frame(rows), "instruments": instruments_frame(instruments)}
