"""A day of frames as a replay gives them, made here so that the report is tested alone."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

IST = dt.timezone(dt.timedelta(hours=5, minutes=30))
OPEN = dt.datetime(2025, 11, 24, 9, 16, tzinfo=IST)
EXPIRY = dt.date(2025, 11, 25)
ZONED = pl.Datetime("us", "Asia/Kolkata")
EVIL = "<img src=x onerror=alert(1)> & margin > 1"


def _stamps() -> list[dt.datetime]:
    minutes = [m for m in range(360) if not 180 <= m < 198]
    return [OPEN + dt.timedelta(minutes=m) for m in minutes]


def _heat(stamps, rng) -> pl.DataFrame:
    strikes = np.arange(23500.0, 25501.0, 50.0)
    rows = []
    for side, peak in (("CE", 24800.0), ("PE", 24200.0)):
        base = 4e6 * np.exp(-(((strikes - peak) / 350.0) ** 2)) + 2e5
        drift = np.cumsum(rng.normal(0, 9000, (len(stamps), len(strikes))), axis=0)
        oi = np.maximum(base + drift, 0).astype(np.int64) // 75 * 75
        for i, ts in enumerate(stamps):
            rows.append(
                pl.DataFrame({"strike": strikes, "oi": oi[i], "oi_change": oi[i] - oi[0]}).with_columns(
                    ts=pl.lit(ts).cast(ZONED), expiry=pl.lit(EXPIRY), option_type=pl.lit(side)
                )
            )
    return pl.concat(rows).select("ts", "expiry", "strike", "option_type", "oi", "oi_change")


def _orders(stamps) -> tuple[pl.DataFrame, pl.DataFrame]:
    orders, events = [], []
    shapes = [
        ("filled", 75, ""),
        ("canceled", 0, ""),
        ("rejected", 0, EVIL),
        ("denied", 0, "lot: 80 is no multiple of 75"),
    ]
    for i in range(24):
        status, filled, text = shapes[i % 4]
        at = int(stamps[10 + 12 * i].timestamp() * 1e9)
        name = f"A{i:04d}"
        orders.append(
            {
                "cl_ord_id": name, "order_id": f"P{i}", "exch_order_id": f"X{i}", "account": "PAPER", "broker": "paper",
                "symbol": f"NIFTY 25NOV2025 {24000 + 50 * (i % 8)} {'CE' if i % 2 else 'PE'}", "exchange": "NSE",
                "side": "SELL" if i % 3 else "BUY", "order_qty": 75, "ord_type": "LIMIT", "price": 101.5 + i,
                "stop_px": None, "time_in_force": "DAY", "product": "NRML", "ord_status": status, "cum_qty": filled,
                "leaves_qty": 0, "avg_px": 101.5 + i if filled else float("nan"), "text": text, "parent_id": None,
                "created_ns": at, "updated_ns": at + 10**9, "note": "sell the wall" if i % 2 else "",
            }
        )  # fmt: skip
        steps = [("pending_new", "pending_new", 0), ("new", "new", 0)]
        steps.append(("trade" if filled else status, status, filled))
        for seq, (kind, then, qty) in enumerate(steps, 1):
            events.append(
                {
                    "cl_ord_id": name, "seq": seq, "ts_ns": at + seq * 250_000_000, "exec_type": kind,
                    "ord_status": then, "last_qty": qty, "last_px": 101.5 + i if qty else 0.0,
                    "text": text if seq == 3 else "",
                }
            )  # fmt: skip
    return pl.DataFrame(orders, infer_schema_length=None), pl.DataFrame(events, infer_schema_length=None)


def make_day(synthetic: str = "yes") -> SimpleNamespace:
    rng = np.random.default_rng(11)
    stamps = _stamps()
    n = len(stamps)
    times = pl.Series("ts", stamps, dtype=ZONED)
    spot = 24500 + np.cumsum(rng.normal(0, 5, n))
    gross = np.cumsum(rng.normal(12, 160, n))
    paid = np.linspace(0, 412.37, n)
    orders, events = _orders(stamps)
    greeks = {
        name: rng.normal(0, size, n) for name, size in (("delta", 40), ("gamma", 0.4), ("vega", 9e4), ("theta", 9e5))
    }
    return SimpleNamespace(
        orders=orders,
        order_events=events,
        fills=pl.DataFrame({"exec_id": ["1"]}),
        positions=pl.DataFrame(
            {
                "symbol": ["NIFTY 25NOV2025 24800 CE", "NIFTY 25NOV2025 24200 PE"], "exchange": ["NSE"] * 2,
                "underlying": ["NIFTY"] * 2, "expiry": [EXPIRY] * 2, "strike": [24800.0, 24200.0],
                "option_type": ["CE", "PE"], "net_qty": [-75, 0], "buy_qty": [0, 75], "sell_qty": [75, 75],
                "avg_px": [101.5, None], "ltp": [88.25, 12.0], "realized": [0.0, 1250.5], "unrealized": [993.75, 0.0],
            }
        ),
        pnl=pl.DataFrame(
            {
                "ts": times, "realized": gross * 0.6, "unrealized": gross * 0.4, "gross": gross, "charges": paid,
                "net": gross - paid, **greeks, "margin": np.full(n, 184_250.0),
            }
        ),
        charges=pl.DataFrame(
            {
                "account": ["PAPER"], "exchange": ["NSE"], "date": [OPEN.date()], "brokerage": [240.0], "stt": [61.2],
                "exchange_charge": [43.05], "sebi_fee": [0.12], "stamp_duty": [3.0], "gst": [65.0], "total": [412.37],
            }
        ),
        oi=pl.DataFrame(
            {
                "ts": times, "underlying": ["NIFTY"] * n, "expiry": [EXPIRY] * n, "spot": spot, "forward": spot + 20,
                "pcr": 0.9 + np.cumsum(rng.normal(0, 0.004, n)), "max_pain": np.where(np.arange(n) < 200, 24500.0, 24550.0),
                "ce_wall": np.where(np.arange(n) < 120, 24800.0, 25000.0), "pe_wall": np.full(n, 24200.0),
            }
        ),
        heat=_heat(stamps, rng),
        quality=pl.DataFrame(
            {
                "rule": ["repeated stamp", "gap", "new strike"], "count": [14, 1, 3],
                "detail": ["kept the first", "12:16 to 12:34", EVIL],
            }
        ),
        spot=pl.DataFrame({"ts": times, "spot": spot, "forward": spot + 20}),
        settings={
            "session": "sample", "underlying": "NIFTY", "strategy": "oi-wall", "synthetic": synthetic, "seed": "7",
            "toolkit": "0.1.0",
        },
    )  # fmt: skip


@pytest.fixture(scope="session")
def make_frames():
    """``make_frames(synthetic="yes")`` gives the frames of one day."""
    return make_day


@pytest.fixture(scope="session")
def frames():
    """The frames of one generated day."""
    return make_day()
