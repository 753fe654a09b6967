from __future__ import annotations

import math

import pytest

import toolkit as tk
from toolkit.brokers.ticket import order
from toolkit.errors import BadOrder, UnknownSymbol
from toolkit.orders.words import asked_of
from toolkit.types import OrdType, Product, Side, TimeInForce

CE = "NIFTY 14JUL2026 25000 CE"


def test_words_become_an_order():
    made = tk.order("nifty 14jul2026 25000 ce", "sell", 65, ord_type="stop_limit", price=100.05, stop_px=101, time_in_force="ioc",
                    product="mis", account="AB1234", broker="kite", algo="twap slices=3", order_source="api", cl_ord_id="MINE1", note="why")  # fmt: skip
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
    ("args", "more", "rule", "text"),
    [
        ((CE, "BUY"), {}, "order_qty", "give either order_qty or lots, was neither"),
        ((CE, "BUY", 1), {"lots": 1}, "order_qty", "give either order_qty or lots, was both"),
        ((CE, "BUY", 0), {}, "order_qty", "order_qty must be a whole number from 1 to 1000000000, was 0"),
        ((CE, "BUY", 1.5), {}, "order_qty", "was 1.5"),
        ((CE, "BUY", True), {}, "order_qty", "was true"),
        ((CE, "BUY"), {"lots": "x"}, "lots", "lots must be a whole number from 1 to 1000000000, was 'x'"),
        ((CE, "BUI", 1), {}, "side", "did you mean 'BUY'"),
        ((CE, None, 1), {}, "side", "side is missing"),
        ((None, "BUY", 1), {}, "symbol", "symbol is missing"),
        ((7, "BUY", 1), {}, "symbol", "was 7"),
        ((CE, "BUY", 1), {"ord_type": "LIMT"}, "ord_type", "did you mean 'LIMIT'"),
        ((CE, "BUY", 1), {"time_in_force": 5}, "time_in_force", "was 5"),
        ((CE, "BUY", 1), {"product": "X"}, "product", "product must be one of NRML, MIS, CNC"),
        ((CE, "BUY", 1), {"price": 1.001}, "price", "in whole paise, was 1.001"),
        ((CE, "BUY", 1), {"price": "abc"}, "price", "was 'abc'"),
        ((CE, "BUY", 1), {"price": math.nan}, "price", "was NaN"),
        ((CE, "BUY", 1), {"stop_px": -math.inf}, "stop_px", "was -Infinity"),
        ((CE, "BUY", 1), {"cl_ord_id": "a b"}, "cl_ord_id", "cl_ord_id must be 1 to 20 letters and digits, was 'a b'"),
        ((CE, "BUY", 1), {"confirm": 5}, "confirm", "confirm names confirm_value and duplicate, was 5"),
        ((CE, "BUY", 1), {"algo": "twop"}, "algo", "did you mean 'twap'"),
        ((CE, "BUY", 1), {"broker": "kyte"}, "broker", "did you mean 'kite'"),
        ((CE, "BUY", 1), {"note": "x" * 301}, "note", "1 to 300 printable"),
        (("X", "BUY"), {"lots": 1}, "symbol", "symbol must look like"),
        (("RELIANCE 28JUL2026 FUT", "BUY"), {"lots": 1}, "symbol", "no lot of 'RELIANCE'"),
    ],
)
def test_what_is_no_order_is_refused_with_field_limit_and_value(args, more, rule, text):
    with pytest.raises(BadOrder, match=text) as caught:
        order(*args, **more)
    assert caught.value.rule == rule
    assert "" not in (caught.value.limit, caught.value.value)
    assert "\n" not in str(caught.value)


def test_what_the_caller_names_stays_named_and_the_rest_is_the_desks():
    named, unnamed = order(CE, "BUY", 65, price=1, account="PAPER", broker="paper"), order(CE, "BUY", 65, price=1)
    assert (named.account, named.broker) == (unnamed.account, unnamed.broker) == ("PAPER", "paper")
    assert {"account": "PAPER", "broker": "paper"}.items() <= asked_of(named).items()
    assert not {"account", "broker"} & set(asked_of(unnamed))
    assert "account" not in asked_of(order(CE, "BUY", 65, price=1, broker="kite"))
