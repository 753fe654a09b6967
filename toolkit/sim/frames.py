"""Arrays of a synthetic day as the frames of a session store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.market.schema import CHAIN, EOD, FUTURES, INSTRUMENTS, OPTION_TYPE, SPOT, TICKS
from toolkit.sim.flows import Board
from toolkit.sim.ticktape import TickRows

__all__ = ["chain_frame", "eod_frame", "futures_frame", "instruments_frame", "spot_frame", "ticks_frame"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_EPOCH: Final = dt.date(1970, 1, 1)


def _frame(schema: Any, columns: Mapping[str, Any], height: int) -> pl.DataFrame:
    """Build a frame in the schema's order and types; NaN is null, a missing column is unknown."""
    made = []
    for name, dtype in schema.items():
        values = columns.get(name)
        if values is None:
            made.append(pl.Series(name, [None] * height, dtype=dtype))
            continue
        series = values.alias(name) if isinstance(values, pl.Series) else pl.Series(name, values)
        if series.dtype == pl.Float64:
            series = series.fill_nan(None)
        made.append(series if series.dtype == dtype else series.cast(dtype))
    return pl.DataFrame(made)


def _stamps(ns: Ints) -> Ints:
    return ns // 1000


def _days(dates: Sequence[dt.date]) -> npt.NDArray[np.int32]:
    return np.array([(d - _EPOCH).days for d in dates], dtype=np.int32)


def _text(value: str, count: int) -> pl.Series:
    return pl.repeat(value, count, dtype=pl.String, eager=True)


def _side(cp: Ints) -> pl.Series:
    return pl.Series(np.where(cp > 0, 0, 1).astype(np.uint8)).cat.to(OPTION_TYPE)


def chain_frame(
    board: Board,
    name: str,
    token: Ints,
    step: Ints,
    contract: Ints,
    ts_ns: Ints,
    recv_ns: Ints,
    columns: Mapping[str, npt.NDArray[Any]],
    value_step: Ints,
) -> pl.DataFrame:
    """Chain rows picked from (steps, contracts) arrays.

    Parameters
    ----------
    board, name, token
        The contracts, the underlying and their tokens.
    step, contract : ndarray
        Position of each row in the arrays.
    ts_ns, recv_ns : ndarray
        Stamps of each row.
    columns : mapping
        ``oi volume ltp bid ask bid_qty ask_qty`` (steps, contracts), ``spot futures`` (steps,).
    value_step : ndarray
        Step whose volume and open interest each row shows: a repeat may show the next one's.
    """
    moving = ("oi", "volume")
    picked = {
        k: v[value_step if k in moving else step, contract] if v.ndim == 2 else v[step] for k, v in columns.items()
    }
    strike_p = np.array([key.strike_p for key in board.keys], dtype=np.int64)
    expiry = _days(board.expiries)[board.series]
    return _frame(
        CHAIN,
        {
            "ts": _stamps(ts_ns),
            "recv_ts": _stamps(recv_ns),
            "underlying": _text(name, len(step)),
            "expiry": expiry[contract],
            "strike_p": strike_p[contract],
            "option_type": _side(board.cp[contract]),
            "token": token[contract],
            "lot": board.lot[contract],
            **picked,
        },
        len(step),
    )


def futures_frame(
    name: str,
    expiries: Sequence[dt.date],
    token: Ints,
    lot: Ints,
    ts_ns: Ints,
    recv_ns: Ints,
    columns: Mapping[str, npt.NDArray[Any]],
) -> pl.DataFrame:
    """Futures rows, one an expiry a snapshot, of (snapshots, expiries) ``columns``."""
    steps, count = len(ts_ns), len(expiries)
    return _frame(
        FUTURES,
        {
            "ts": np.repeat(_stamps(ts_ns), count),
            "recv_ts": np.repeat(_stamps(recv_ns), count),
            "underlying": _text(name, steps * count),
            "expiry": np.tile(_days(expiries), steps),
            "token": np.tile(token, steps),
            "lot": np.tile(lot, steps),
            **{k: v.reshape(-1) for k, v in columns.items()},
        },
        steps * count,
    )


def spot_frame(name: str, ts_ns: Ints, recv_ns: Ints, columns: Mapping[str, Floats]) -> pl.DataFrame:
    """Index rows, one a snapshot: ``open high low ltp`` of the time since the snapshot before."""
    return _frame(
        SPOT,
        {"ts": _stamps(ts_ns), "recv_ts": _stamps(recv_ns), "underlying": _text(name, len(ts_ns)), **columns},
        len(ts_ns),
    )


def ticks_frame(name: str, token: Ints, rows: TickRows) -> pl.DataFrame:
    """Ticks in order of receipt."""
    count = len(rows.ts_ns)
    return _frame(
        TICKS,
        {
            "ts": _stamps(rows.ts_ns),
            "recv_ts": _stamps(rows.recv_ns),
            "underlying": _text(name, count),
            "token": token[rows.contract],
            "ltp": rows.ltp,
            "last_qty": rows.last_qty,
            "bid": rows.bid,
            "ask": rows.ask,
            "bid_qty": rows.bid_qty,
            "ask_qty": rows.ask_qty,
            "volume": rows.volume,
            "oi": rows.oi,
        },
        count,
    )


def eod_frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """End-of-day rows; a key that a row lacks is unknown."""
    columns = {name: pl.Series(name, [row.get(name) for row in rows], dtype=dtype) for name, dtype in EOD.items()}
    return pl.DataFrame(columns)


def instruments_frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Instrument rows; a key that a row lacks is unknown."""
    return pl.DataFrame(
        {name: pl.Series(name, [row.get(name) for row in rows], dtype=dtype) for name, dtype in INSTRUMENTS.items()}
    )
