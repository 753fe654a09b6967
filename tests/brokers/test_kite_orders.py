from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.brokers.kite_master import KiteMaster, read_dump
from toolkit.brokers.kite_orders import (
    STATUSES,
    KiteTerms,
    check_terms,
    fill_of,
    held_of,
    modify_form,
    order_of,
    own_id,
    place_form,
    reports_of,
    states_between,
)
from toolkit.brokers.kite_records import OrderRow, Position, TradeRow, decode
from toolkit.brokers.kite_settings import KiteSettings
from toolkit.errors import BadData
from toolkit.orders.lifecycle import apply, begin
from toolkit.types import Modify, OrderRequest, OrdStatus, OrdType, Product, Side, TimeInForce

ON = dt.date(2026, 7, 13)
BODY = b"""instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange
10240258,40001,NIFTY2671425000CE,NIFTY,0,2026-07-14,25000.0,0.05,65,CE,NFO-OPT,NFO
10241026,40004,NIFTY26JULFUT,NIFTY,0,2026-07-28,0.0,0.1,65,FUT,NFO-FUT,NFO
215040261,840001,SENSEX26JULFUT,SENSEX,0,2026-07-30,0.0,0.05,20,FUT,BFO-FUT,BFO
408065,1594,INFY,INFOSYS,0,,0.0,0.05,1,EQ,NSE,NSE
256265,1001,NIFTY 50,NIFTY 50,0,,0.0,0.05,1,EQ,INDICES,NSE
"""
MASTER = KiteMaster(read_dump(BODY, ON), ON)
CE, FUT, BFUT = "NIFTY 14JUL2026 25000 CE", "NIFTY 28JUL2026 FUT", "SENSEX 30JUL2026 FUT"
PLAIN = KiteSettings()


def order(symbol=CE, **more):
    fields = {"cl_ord_id": "A1", "symbol": symbol, "side": Side.BUY, "order_qty": 65, "price_p": 10005}
    return OrderRequest(**{**fields, **more})


def check(request, terms=KiteTerms(), today=ON):  # noqa: B008 - a frozen value
    check_terms(request, MASTER.find(request.symbol), terms, today)


GOOD = [
    order(),
    order(ord_type=OrdType.MARKET, price_p=None),
    order(ord_type=OrdType.MARKET, price_p=10005),
    order(ord_type=OrdType.STOP_LIMIT, stop_px_p=10000),
    order(time_in_force=TimeInForce.IOC),
    order(FUT, price_p=2_500_010),
    order(FUT, ord_type=OrdType.STOP, price_p=None, stop_px_p=2_500_010),
    order("INFY EQ", order_qty=1, product=Product.CNC),
]


@pytest.mark.parametrize("request_", GOOD, ids=lambda r: f"{r.symbol}-{r.ord_type}")
def test_good_orders_pass(request_):
    check(request_)


BAD = {
    "quantity of NIFTY 14JUL2026 25000 CE must be a multiple of the lot 65, was 66": order(order_qty=66),
    "quantity must be a whole number of units from 1, was 0": order(order_qty=0),
    "quantity must be a whole number of units from 1, was True": order(order_qty=True),
    "positive multiple of the tick 0.05, was 100.03": order(price_p=10003),
    "stop_px of NIFTY 14JUL2026 25000 CE must be a positive multiple of the tick 0.05, was -1.00": order(ord_type=OrdType.STOP_LIMIT, stop_px_p=-100),
    "positive multiple of the tick 0.10, was 25000.05": order(FUT, price_p=2_500_005),
    "product CNC does not go with NFO; use NRML or MIS": order(product=Product.CNC),
    "product NRML does not go with NSE; use CNC or MIS": order("INFY EQ", order_qty=1),
    "stop-loss market orders are withdrawn for options; use STOP_LIMIT": order(ord_type=OrdType.STOP, price_p=None, stop_px_p=10000),
    "stop-loss market orders are withdrawn for BSE": order(BFUT, order_qty=20, ord_type=OrdType.STOP, price_p=None, stop_px_p=10000),
    "a LIMIT order needs a price": order(price_p=None),
    "a STOP_LIMIT order needs a stop_px": order(ord_type=OrdType.STOP_LIMIT),
    "a LIMIT order takes no stop_px": order(stop_px_p=10000),
    "cannot be IOC": order(ord_type=OrdType.STOP_LIMIT, stop_px_p=10000, time_in_force=TimeInForce.IOC),
    "NIFTY is an index and does not trade": order("NIFTY", order_qty=1),
}  # fmt: skip


@pytest.mark.parametrize("text", sorted(BAD))
def test_bad_orders_say_what_is_right(text):
    with pytest.raises(BadData, match=text.replace(".", r"\.")):
        check(BAD[text])


def test_an_expired_contract():
    with pytest.raises(BadData, match="expired on 2026-07-14"):
        check(order(), today=dt.date(2026, 7, 15))


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (KiteTerms(variety="bo"), "variety must be one of"),
        (KiteTerms(variety="iceberg"), "2 to 50 legs, was None"),
        (KiteTerms(iceberg_legs=5), "2 to 50 legs, was 5 for variety regular"),
        (KiteTerms(variety="iceberg", iceberg_legs=51), "was 51"),
        (KiteTerms(validity_ttl=0), "1 to 180 minutes"),
    ],
)
def test_bad_terms(terms, text):
    with pytest.raises(BadData, match=text):
        check(order(), terms)


def form(request, terms=KiteTerms(), settings=PLAIN):  # noqa: B008 - a frozen value
    instrument = MASTER.find(request.symbol)
    return place_form(request, instrument, MASTER.kite_name(instrument), terms, settings)


def test_a_limit_order_as_a_form():
    assert form(order()) == {
        "variety": "regular", "exchange": "NFO", "tradingsymbol": "NIFTY2671425000CE", "transaction_type": "BUY", "quantity": 65,
        "product": "NRML", "order_type": "LIMIT", "validity": "DAY", "tag": "A1", "price": 100.05,
    }  # fmt: skip


@pytest.mark.parametrize("request_", [r for r in GOOD if r.ord_type in (OrdType.MARKET, OrdType.STOP)], ids=str)
def test_market_orders_always_carry_protection(request_):
    made = form(request_)
    assert made["market_protection"] == -1
    assert "price" not in made
    assert form(request_, settings=KiteSettings(market_protection=2.5))["market_protection"] == 2.5


def test_the_other_types():
    stop = form(order(ord_type=OrdType.STOP_LIMIT, stop_px_p=10000))
    assert (stop["order_type"], stop["price"], stop["trigger_price"]) == ("SL", 100.05, 100.0)
    assert form(order(), KiteTerms(variety="amo"))["variety"] == "amo"
    iceberg = form(order(order_qty=650), KiteTerms(variety="iceberg", iceberg_legs=4))
    assert (iceberg["iceberg_legs"], iceberg["iceberg_quantity"]) == (4, 195)
    ttl = form(order(), KiteTerms(validity_ttl=5))
    assert (ttl["validity"], ttl["validity_ttl"]) == ("TTL", 5)
    sandbox = form(order(ord_type=OrdType.MARKET), settings=KiteSettings(limit_only=True))
    assert (sandbox["order_type"], sandbox["price"], "market_protection" in sandbox) == ("LIMIT", 100.05, False)


def test_a_modification_is_the_full_statement():
    row = OrderRow(
        order_id="9", order_type="SL", variety="amo", quantity=65, price=10.0, trigger_price=9.0, validity="DAY"
    )
    made = modify_form(row, Modify(cl_ord_id="A1", order_qty=130, price_p=1100), PLAIN)
    assert made == {
        "variety": "amo", "order_id": "9", "quantity": 130, "order_type": "SL", "validity": "DAY", "price": 11.0, "trigger_price": 9.0,
    }  # fmt: skip
    market = modify_form(
        OrderRow(order_id="9", order_type="SL-M", trigger_price=9.0), Modify(cl_ord_id="A", order_qty=1), PLAIN
    )
    assert (market["market_protection"], "price" in market) == (-1, False)


def test_ids():
    assert own_id(OrderRow(order_id="1", tag="A1"), {}) == "A1"
    assert own_id(OrderRow(order_id="2", tag="A1"), {"A1": "1"}) == "K2"
    assert own_id(OrderRow(order_id="1", tag="A1"), {"A1": "1"}) == "A1"
    assert own_id(OrderRow(order_id="3"), {}) == "K3"
    assert own_id(OrderRow(order_id="3", tag="<script>"), {}) == "K3"
    assert own_id(OrderRow(order_id="3", tags=("mktp", "mktp:2.00", "B7")), {}) == "B7"
    assert len(own_id(OrderRow(order_id="1914227164488687616"), {})) == 20


@given(st.text(max_size=30), st.integers(0, 500), st.integers(0, 500))
def test_any_status_is_a_state(status, qty, filled):
    row = OrderRow(order_id="1", status=status, quantity=qty, filled_quantity=filled)
    found = order_of(row, "K1", MASTER, "ME", 7)
    assert found.ord_status in OrdStatus
    assert found.cum_qty == filled
    assert found.leaves_qty >= 0


def test_the_official_book(shared):
    rows = decode(shared("fixtures", "kite", "orders.json").read_bytes(), tuple[OrderRow, ...])
    found = [order_of(row, own_id(row, {}), MASTER, "ME", 0) for row in rows]
    assert all(row.status in STATUSES for row in rows)
    for row, made in zip(rows, found, strict=True):
        assert made.cum_qty == row.filled_quantity
        assert (made.leaves_qty == 0) == (made.ord_status in ("filled", "canceled", "rejected"))
    first = found[0]
    assert (first.ord_status, first.leaves_qty) == (OrdStatus.CANCELED, 0)  # although pending_quantity says 1


def test_the_official_history_folds_into_a_finished_order(shared):
    rows = decode(shared("fixtures", "kite", "order_info.json").read_bytes(), tuple[OrderRow, ...])
    reports = reports_of("A1", rows, (), "ME", "SBIN EQ", 0)
    assert [str(r.exec_type) for r in reports][:2] == ["new", "replaced"]
    state = begin(order("INFY EQ"), 0)
    for report in (*reports, *reports):
        state, anomaly = apply(state, report)
        assert anomaly is None
    assert state.order_id == rows[0].order_id


def test_executions_count_once_and_before_the_end():
    rows = [OrderRow(order_id="1", status=s, quantity=130, filled_quantity=f, average_price=100.0) for s, f in (("OPEN", 0), ("OPEN", 65), ("CANCELLED", 65))]  # fmt: skip
    trades = [TradeRow(trade_id="7", order_id="1", quantity=65, average_price=100.0)]
    reports = reports_of("A1", rows, trades, "ME", CE, 5)
    assert [str(r.exec_type) for r in reports] == ["new", "trade", "canceled"]
    state = begin(order(order_qty=130), 0)
    for report in (*reports, *reports):
        state, anomaly = apply(state, report)
        assert anomaly is None
    assert (state.ord_status, state.cum_qty, state.traded_value_p) == (OrdStatus.CANCELED, 65, 650_000)


def test_a_refused_cancel_is_told():
    rows = [OrderRow(order_id="1", status=s) for s in ("OPEN", "CANCEL PENDING", "OPEN")]
    assert [str(r.exec_type) for r in reports_of("A1", rows, (), "ME", CE, 5)] == ["new", "cancel_rejected"]


def test_states_between_two_readings():
    before = OrderRow(order_id="1", status="OPEN", quantity=65, price=100.0)
    after = msgspec.structs.replace(before, price=101.0)
    assert [r.status for r in states_between(None, after)] == ["OPEN"]
    assert [r.status for r in states_between(before, after)] == ["OPEN", "MODIFY PENDING", "OPEN"]
    assert [r.status for r in states_between(before, before)] == ["OPEN", "OPEN"]


def test_fills_and_foreign_symbols(shared):
    trades = decode(shared("fixtures", "kite", "trades.json").read_bytes(), tuple[TradeRow, ...])
    made = [fill_of(t, "K1", MASTER, "ME", 0) for t in trades]
    assert made[0].last_px_p == 42065
    assert made[0].symbol == "SBIN"  # not listed here: the broker's own word stays
    assert len({f.exec_id for f in made}) == len(made)


@pytest.mark.parametrize(
    ("bought", "paid", "sold", "got", "net", "realized"),
    [(100, 1000.0, 40, 480.0, 60, 80.0), (40, 320.0, 100, 1000.0, -60, 80.0), (50, 500.0, 50, 450.0, 0, -50.0)],
)
def test_realized_profit_is_computed(bought, paid, sold, got, net, realized):
    row = Position(exchange="NFO", tradingsymbol="NIFTY26JULFUT", product="NRML", quantity=net, buy_quantity=bought,
                   buy_value=paid, sell_quantity=sold, sell_value=got, realised=0.0)  # fmt: skip
    made = held_of(row, MASTER)
    assert (made.symbol, made.net_qty, made.realized) == (FUT, net, realized)
