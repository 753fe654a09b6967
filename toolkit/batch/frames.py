"""What a run leaves behind, as polars frames with fixed schemas."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from toolkit.market.chain import DayChain
from toolkit.market.schema import IST, OPTION_TYPE, TS
from toolkit.oi.columns import LEVEL_INTS, LEVELS
from toolkit.types import ExecutionReport, Order, to_rupees

__all__ = [
    "EVENTS",
    "HEAT",
    "OI",
    "ORDERS",
    "PNL",
    "POSITIONS",
    "event_row",
    "heat_frame",
    "levels_frame",
    "orders_frame",
    "pnl_frame",
    "spot_frame",
]

ORDERS: Final[Any] = pl.Schema(
    {
        "cl_ord_id": pl.String,
        "order_id": pl.String,
        "exch_order_id": pl.String,
        "account": pl.String,
        "broker": pl.String,
        "symbol": pl.String,
        "exchange": pl.String,
        "side": pl.String,
        "order_qty": pl.Int64,
        "ord_type": pl.String,
        "price": pl.Float64,
        "stop_px": pl.Float64,
        "time_in_force": pl.String,
        "product": pl.String,
        "ord_status": pl.String,
        "cum_qty": pl.Int64,
        "leaves_qty": pl.Int64,
        "avg_px": pl.Float64,
        "text": pl.String,
        "parent_id": pl.String,
        "created_ns": pl.Int64,
        "updated_ns": pl.Int64,
        "note": pl.String,
    }
)
EVENTS: Final[Any] = pl.Schema(
    {
        "cl_ord_id": pl.String,
        "seq": pl.Int64,
        "ts_ns": pl.Int64,
        "exec_type": pl.String,
        "ord_status": pl.String,
        "last_qty": pl.Int64,
        "last_px": pl.Float64,
        "text": pl.String,
    }
)
PNL: Final[Any] = pl.Schema(
    {
        "ts": TS,
        **dict.fromkeys(
            ("realized", "unrealized", "gross", "charges", "net", "delta", "gamma", "vega", "theta", "margin"),
            pl.Float64,
        ),
    }
)
OI: Final[Any] = pl.Schema(
    {
        "ts": TS,
        "underlying": pl.String,
        "expiry": pl.Date,
        **{name: pl.Int64 if name in LEVEL_INTS else pl.Float64 for name in LEVELS},
    }
)
POSITIONS: Final[Any] = pl.Schema(
    {
        "symbol": pl.String,
        "exchange": pl.String,
        "underlying": pl.String,
        "expiry": pl.Date,
        "strike": pl.Float64,
        "option_type": pl.String,
        "net_qty": pl.Int64,
        "buy_qty": pl.Int64,
        "sell_qty": pl.Int64,
        "avg_px": pl.Float64,
        "ltp": pl.Float64,
        "realized": pl.Float64,
        "unrealized": pl.Float64,
    }
)
HEAT: Final[Any] = pl.Schema(
    {
        "ts": TS,
        "expiry": pl.Date,
        "strike": pl.Float64,
        "option_type": OPTION_TYPE,
        "oi": pl.Int64,
        "oi_change": pl.Int64,
    }
)


def orders_frame(orders: Iterable[Order]) -> pl.DataFrame:
    """One row an order, in the order of their creation; rupees, units."""
    rows = []
    for order in orders:
        asked = order.request
        rows.append(
            (
                asked.cl_ord_id,
                order.order_id,
                order.exch_order_id,
                asked.account,
                asked.broker,
                asked.symbol,
                asked.exchange,
                str(asked.side),
                asked.order_qty,
                str(asked.ord_type),
                _rupees(asked.price_p),
                _rupees(asked.stop_px_p),
                str(asked.time_in_force),
                str(asked.product),
                str(order.ord_status),
                order.cum_qty,
                order.leaves_qty,
                None if math.isnan(order.avg_px) else order.avg_px,
                order.text,
                asked.parent_id,
                order.created_ns,
                order.updated_ns,
                asked.note,
            )
        )
    return pl.DataFrame(rows, schema=ORDERS, orient="row")


def event_row(order: Order, report: ExecutionReport, seq: int) -> tuple[object, ...]:
    """One row of the order events: what was reported, when it was known here, what the order then was."""
    traded = report.last_qty > 0
    return (
        report.cl_ord_id,
        seq,
        report.recv_ns,
        str(report.exec_type),
        str(order.ord_status),
        report.last_qty,
        to_rupees(report.last_px_p) if traded else None,
        report.text,
    )


def levels_frame(
    underlying: str, rows: Sequence[tuple[int, dt.date, Mapping[str, float]]], names: Sequence[str] = LEVELS
) -> pl.DataFrame:
    """One row an expiry and fresh snapshot: ``ts underlying expiry`` and the levels; NaN becomes null."""
    values: dict[str, Any] = {
        "ts": pl.Series([ts // 1000 for ts, _, _ in rows], dtype=pl.Int64),
        "underlying": pl.Series([underlying] * len(rows), dtype=pl.String),
        "expiry": pl.Series([expiry for _, expiry, _ in rows], dtype=pl.Date),
    }
    for name in names:
        column = pl.Series(name, [levels.get(name, math.nan) for _, _, levels in rows], dtype=pl.Float64)
        values[name] = column.fill_nan(None).cast(OI[name])
    return pl.DataFrame(values).with_columns(_ist("ts")).select("ts", "underlying", "expiry", *names)


def pnl_frame(rows: Sequence[tuple[float, ...]]) -> pl.DataFrame:
    """One row a snapshot: receive time in ns, then rupees and Greeks; NaN becomes null."""
    schema = {name: pl.Int64 if name == "ts" else pl.Float64 for name in PNL}
    frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("ts") // 1000)
    return frame.with_columns(_ist("ts"), pl.col(pl.Float64).fill_nan(None))


def heat_frame(day: DayChain, live: Sequence[dt.date]) -> pl.DataFrame:
    """Open interest of the nearest live expiry by strike and exchange stamp, and its change
    since the contract's first figure of the day."""
    if not live:
        return pl.DataFrame(schema=HEAT)
    nearest = day.days[live[0]]
    oi = nearest.quotes["oi"]
    known = ~np.isnan(oi)
    base = np.full(oi.shape[1:], np.nan)
    for row in range(len(oi) - 1, -1, -1):
        base = np.where(known[row], oi[row], base)
    row_at, side_at, strike_at = np.nonzero(known)
    change = (oi - base)[row_at, side_at, strike_at]
    frame = pl.DataFrame(
        {
            "ts": nearest.ts_ns[row_at] // 1000,
            "expiry": pl.Series([live[0]], dtype=pl.Date).new_from_index(0, len(row_at)),
            "strike": nearest.strikes[strike_at],
            "option_type": pl.Series(np.array(["CE", "PE"])[side_at], dtype=pl.String).cast(OPTION_TYPE),
            "oi": oi[row_at, side_at, strike_at].astype(np.int64),
            "oi_change": change.astype(np.int64),
        }
    )
    return frame.with_columns(_ist("ts")).select(list(HEAT))


def spot_frame(rows: Sequence[tuple[int, float, float]]) -> pl.DataFrame:
    """Spot and nearest forward by exchange stamp; where no spot is recorded it is null."""
    frame = pl.DataFrame(rows, schema={"ts": pl.Int64, "spot": pl.Float64, "forward": pl.Float64}, orient="row")
    return frame.with_columns(pl.col("ts") // 1000).with_columns(_ist("ts"), pl.col(pl.Float64).fill_nan(None))


def _ist(name: str) -> pl.Expr:
    """Microseconds UTC as a time with the Indian offset."""
    return pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").dt.convert_time_zone(IST)


def _rupees(paise: int | None) -> float | None:
    return None if paise is None else to_rupees(paise)
