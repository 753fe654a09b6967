import datetime as dt
import math

import numpy as np
import polars as pl

from toolkit.batch import frames
from toolkit.calendar import ist_ns
from toolkit.market.chain import DayChain, ExpiryDay
from toolkit.types import (
    ExecType,
    ExecutionReport,
    Order,
    OrderRequest,
    OrdStatus,
    Side,
)

DAY = dt.date(2025, 8, 29)
NEAR = dt.date(2025, 9, 2)
OPEN = ist_ns(DAY, dt.time(9, 15))


def order(**changes):
    request = OrderRequest(cl_ord_id="A1", symbol="X", side=Side.SELL, order_qty=150, price_p=10_005, note="entry")
    values = {
        "request": request,
        "ord_status": OrdStatus.PARTIALLY_FILLED,
        "cum_qty": 75,
        "leaves_qty": 75,
        "traded_value_p": 75 * 10_010,
        "created_ns": OPEN,
        "updated_ns": OPEN + 5,
    }
    return Order(**{**values, **changes})


def test_orders_are_in_rupees_and_unknown_is_null():
    frame = frames.orders_frame([order(), order(cum_qty=0, traded_value_p=0, order_id="S1")])
    assert frame.schema == frames.ORDERS
    first, second = frame.iter_rows(named=True)
    assert (first["price"], first["avg_px"], first["stop_px"], first["order_id"]) == (100.05, 100.1, None, None)
    assert (first["side"], first["ord_status"], first["note"]) == ("SELL", "partially_filled", "entry")
    assert (second["avg_px"], second["order_id"]) == (None, "S1")


def test_events_carry_prices_of_trades_only():
    report = ExecutionReport(
        cl_ord_id="A1", exec_id="X1", exec_type=ExecType.TRADE, ts_ns=1, recv_ns=2, last_qty=75, last_px_p=10_010
    )
    quiet = ExecutionReport(cl_ord_id="A1", exec_id="X2", exec_type=ExecType.NEW, ts_ns=1, recv_ns=2)
    rows = [frames.event_row(order(), report, 1), frames.event_row(order(), quiet, 2)]
    frame = pl.DataFrame(rows, schema=frames.EVENTS, orient="row")
    assert frame["last_px"].to_list() == [100.1, None]
    assert frame["seq"].to_list() == [1, 2]


def test_levels_are_typed_and_nan_is_null():
    rows = [(OPEN, NEAR, {"pcr": 0.5, "ce_oi": 75.0, "ce_wall": math.nan})]
    frame = frames.levels_frame("NIFTY", rows)
    assert frame.schema == frames.OI
    row = frame.row(0, named=True)
    assert (row["pcr"], row["ce_oi"], row["ce_wall"], row["gex"]) == (0.5, 75, None, None)
    assert str(row["ts"].isoformat()) == "2025-08-29T09:15:00+05:30"
    assert frames.levels_frame("NIFTY", []).schema == frames.OI


def test_pnl_has_a_row_a_snapshot():
    frame = frames.pnl_frame([(OPEN, 1.0, 2.0, 3.0, 0.5, 2.5, math.nan, 0.0, 0.0, 0.0, 0.0)])
    assert frame.schema == frames.PNL
    assert frame["net"].to_list() == [2.5]
    assert frame["delta"].to_list() == [None]
    assert frames.pnl_frame([]).schema == frames.PNL


def test_spot_keeps_unknown_as_null():
    frame = frames.spot_frame([(OPEN, math.nan, 24576.0)])
    assert frame["spot"].to_list() == [None]
    assert frame["forward"].to_list() == [24576.0]


def day(oi):
    n, _, m = oi.shape
    quotes = dict.fromkeys(("oi", "volume", "ltp", "bid", "ask", "bid_qty", "ask_qty"), oi)
    at = OPEN + np.arange(n) * 60 * 10**9
    one = ExpiryDay(
        underlying="NIFTY",
        exchange="NSE",
        expiry=NEAR,
        lot=75,
        strikes=24_000.0 + 50 * np.arange(m),
        ts_ns=at,
        recv_ns=at + 70 * 10**9,
        row_of=np.arange(n),
        spot=np.full(n, math.nan),
        forward=np.full(n, math.nan),
        tte=np.zeros(n),
        token=np.zeros((n, 2, m), dtype=np.int64),
        present=~np.isnan(oi),
        quotes=quotes,
    )
    return DayChain(
        underlying="NIFTY",
        exchange="NSE",
        ts_ns=at,
        recv_ns=at,
        spot=one.spot,
        expiries=(NEAR,),
        days={NEAR: one},
    )


def test_heat_counts_change_from_the_first_figure_of_a_contract():
    oi = np.array([[[75.0, np.nan], [150.0, 0.0]], [[150.0, 300.0], [75.0, 0.0]], [[np.nan, 375.0], [75.0, 75.0]]])
    frame = frames.heat_frame(day(oi), (NEAR,))
    assert frame.schema == frames.HEAT
    assert len(frame) == 10
    late = frame.filter(option_type="CE", strike=24_050.0)
    assert late["oi_change"].to_list() == [0, 75]
    assert late["ts"].dt.minute().to_list() == [16, 17]
    assert frame.filter(option_type="PE", strike=24_000.0)["oi_change"].to_list() == [0, -75, -75]


def test_heat_of_no_live_expiry_is_empty():
    assert frames.heat_frame(day(np.zeros((1, 2, 1))), ()).schema == frames.HEAT
