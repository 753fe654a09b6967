"""What a preview says beside the engine's answer, and the times that callers name."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl
import pytest

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.orders.previews import charges_of, confirm_text, read_base, read_date, read_instant, request_words, summary
from toolkit.portfolio import charges
from toolkit.types import OrderRequest, OrdType, Side

DAY = dt.date(2025, 8, 29)
NOW = ist_ns(DAY, dt.time(11, 5))
CALL = "NIFTY 02SEP2025 24500 CE"


def order(side=Side.SELL, price_p=10_000, **more):
    fields = {"cl_ord_id": "A", "symbol": CALL, "order_qty": 75, "account": "ACC", "broker": "paper"}
    return OrderRequest(**fields | {"side": side, "price_p": price_p} | more)


def no_mark(symbol):
    return math.nan


def test_charges_are_those_of_the_same_trade():
    found = charges_of([order()], no_mark, NOW)
    trade = pl.DataFrame(
        {
            "exec_id": ["x"], "cl_ord_id": [""], "order_id": [""], "account": ["ACC"], "broker": ["paper"],
            "symbol": [CALL], "exchange": ["NSE"], "side": ["SELL"], "last_qty": [75], "last_px": [100.0],
            "exec_ns": [NOW], "product": ["NRML"],
        }
    )  # fmt: skip
    assert found["total"] == pytest.approx(charges(trade, DAY)["total"].sum())
    assert found["total"] > 0


def test_an_order_without_a_price_trades_at_the_mark_and_charges_add_up():
    market = order(price_p=None, ord_type=OrdType.MARKET)
    assert charges_of([market], lambda symbol: 100.0, NOW) == charges_of([order()], no_mark, NOW)
    buy, sell = charges_of([order(Side.BUY)], no_mark, NOW), charges_of([order()], no_mark, NOW)
    both = charges_of([order(Side.BUY), order()], no_mark, NOW)
    assert both["stt"] == buy["stt"] + sell["stt"]
    assert buy["stt"] == 0 < sell["stt"]


def test_without_a_price_or_a_known_contract_nothing_is_said():
    assert charges_of([order(price_p=None, ord_type=OrdType.MARKET)], no_mark, NOW) == {}
    assert charges_of([order(symbol="WHAT IS THIS")], no_mark, NOW) == {}


def test_a_request_is_in_rupees_and_leaves_out_what_is_unknown():
    words = request_words(order(stop_px_p=9_950, ord_type=OrdType.STOP_LIMIT))
    assert (words["price"], words["stop_px"], words["side"], words["ord_type"]) == (100.0, 99.5, "SELL", "STOP_LIMIT")
    assert "price_p" not in words
    market = request_words(order(price_p=None, ord_type=OrdType.MARKET))
    assert not {"price", "price_p", "stop_px", "stop_px_p"} & set(market)
    assert None not in market.values()


def test_what_a_person_confirms():
    assert confirm_text(order(), "ACC", "live") == f"SELL 75 {CALL} @ 100.00 on ACC LIVE"
    market = order(price_p=None, ord_type=OrdType.MARKET)
    assert confirm_text(market, "ACC", "paper") == f"SELL 75 {CALL} MARKET on ACC PAPER"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("11:05", dt.time(11, 5)),
        ("09:15:30", dt.time(9, 15, 30)),
        ("2025-08-29T10:00", dt.time(10)),
        ("2025-08-29T04:30:00+00:00", dt.time(10)),
        ("2025-08-29T04:30:00.000250Z", dt.time(10, 0, 0, 250)),
    ],
)
def test_a_time_is_of_the_indian_day_or_a_whole_moment(text, time):
    assert read_instant("at", text, NOW) == ist_ns(DAY, time)


@pytest.mark.parametrize("text", ["", "eleven", "25:00", "11.05", "1105", "11", "2025-08-29T99:00", "x" * 500])
def test_no_time_is_one_line(text):
    with pytest.raises(BadData, match=r"^at must be a time such as 11:05 or an ISO moment, was '") as caught:
        read_instant("at", text, NOW)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("base", "time"),
    [
        (None, dt.time(9, 20)),
        ("open", dt.time(9, 20)),
        (" OPEN ", dt.time(9, 20)),
        ("15 min", dt.time(10, 45)),
        ("15min", dt.time(10, 45)),
        ("0 min", dt.time(11)),
        ("10:30", dt.time(10, 30)),
    ],
)
def test_a_base_is_the_open_some_minutes_before_or_a_time(base, time):
    assert read_base(base, ist_ns(DAY, dt.time(11)), NOW) == ist_ns(DAY, time)


@pytest.mark.parametrize("base", ["min", "-5 min", "5 minutes", "1.5 min", "yesterday"])
def test_no_base_is_said(base):
    with pytest.raises(BadData, match="base must be a time"):
        read_base(base, NOW, NOW)


def test_a_date_is_iso_or_said():
    assert read_date("2025-11-25") == dt.date(2025, 11, 25)
    with pytest.raises(BadData, match="a date looks like 2025-11-25, was '25NOV2025'"):
        read_date("25NOV2025")


def test_a_summary_is_the_orders_their_charges_and_what_a_person_confirms():
    both = (order(side=Side.BUY), order(cl_ord_id="B", price_p=None, account="ACC2"))
    found = summary(both, lambda symbol: 101.0, NOW, "live")
    assert [(row["cl_ord_id"], row.get("price")) for row in found["orders"]] == [("A", 100.0), ("B", None)]
    assert found["charges"] == charges_of(both, lambda symbol: 101.0, NOW)
    assert found["charges"]["total"] > 0
    assert found["confirm"] == f"BUY 75 {CALL} @ 100.00 on ACC LIVE; SELL 75 {CALL} LIMIT on ACC2 LIVE"
