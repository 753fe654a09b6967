from __future__ import annotations

import pytest

import toolkit as tk
from toolkit.brokers.ticket import order
from toolkit.errors import BadData, UnknownSymbol
from toolkit.types import OrdType, Product, Side, TimeInForce

CE = "NIFTY 14JUL2026 25000 CE"


def test_words_become_an_order():
    made = tk.order("nifty 14jul2026 25000 ce", "sell", 65, ord_type="stop_limit", price=100.05, stop_px=101, time_in_force="ioc",
                    product="mis", account="AB1234", broker="kite", algo="x", order_source="api", cl_ord_id="MINE1", note="why")  # fmt: skip
    assert (made.symbol, made.side, made.order_qty, made.exchange) == (CE, Side.SELL, 65, "NSE")
    assert (made.ord_type, made.price_p, made.stop_px_p) == (OrdType.STOP_LIMIT, 10005, 10100)
    assert (made.time_in_force, made.product) == (TimeInForce.IOC, Product.MIS)
    assert (made.account, made.broker, made.cl_ord_id, made.note) == ("AB1234", "kite", "MINE1", "why")


def test_lots_by_the_dated_table_and_the_exchange_by_the_underlying():
    assert order(CE, "BUY", lots=2, price=1).order_qty == 130
    assert order("NIFTY 25NOV2025 24500 CE", "BUY", lots=2, price=1).order_qty == 150
    bse = order("SENSEX 30JUL2026 80000 CE", "BUY", lots=1, price=1)
    assert (bse.order_qty, bse.exchange) == (20, "BSE")
    assert order("RELIANCE EQ", "BUY", 3, price=1, product="CNC").exchange == "NSE"


def test_ids_are_made_up_and_differ():
    one, other = (order(CE, "BUY", 65, price=1).cl_ord_id for _ in range(2))
    assert one != other
    assert one.isalnum()
    assert len(one) <= 20


def test_a_brokers_own_symbol_goes_through_with_its_exchange():
    assert order("NFO:NIFTY2671425000CE", "BUY", 65, price=1, exchange="NSE").symbol == "NFO:NIFTY2671425000CE"
    with pytest.raises(UnknownSymbol):
        order("NFO:NIFTY2671425000CE", "BUY", 65, price=1)


@pytest.mark.parametrize(
    ("args", "more", "text"),
    [
        ((CE, "BUY"), {}, "either qty or lots"),
        ((CE, "BUY", 1), {"lots": 1}, "either qty or lots"),
        ((CE, "BUY", 0), {}, "qty must be a whole number from 1, was 0"),
        ((CE, "BUY", 1.5), {}, "was 1.5"),
        ((CE, "BUY", True), {}, "was True"),
        ((CE, "BUI", 1), {}, "did you mean 'BUY'"),
        ((CE, "BUY", 1), {"ord_type": "LIMT"}, "did you mean 'LIMIT'"),
        ((CE, "BUY", 1), {"product": "X"}, "product must be one of NRML, MIS, CNC"),
        ((CE, "BUY", 1), {"price": 1.001}, "whole number of paise"),
        ((CE, "BUY", 1), {"cl_ord_id": "a b"}, "1 to 20 ASCII"),
        (("X", "BUY"), {"lots": 1}, "symbol must look like"),
    ],
)
def test_what_is_no_order(args, more, text):
    with pytest.raises(BadData, match=text):
        order(*args, **more)
