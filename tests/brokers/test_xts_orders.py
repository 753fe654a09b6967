"""Rows and events to orders and reports: the samples, every status word, any order of arrival; the forms sent."""

from __future__ import annotations

import itertools
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.brokers.xts_orders import (
    STATUSES,
    Names,
    Trail,
    fill_of,
    held_of,
    history_of,
    modify_form,
    order_of,
    place_form,
    status_of,
)
from toolkit.brokers.xts_records import (
    OrderRow,
    PositionRow,
    TradeRow,
    event_rows,
    order_rows,
    positions_of,
    trade_rows,
)
from toolkit.brokers.xts_settings import XtsSettings
from toolkit.errors import BadData
from toolkit.orders.lifecycle import apply, begin
from toolkit.types import ExecType, Modify, OrderRequest, OrdStatus, OrdType, Product, Side, TimeInForce

NOW = 2 * 10**18
MINUTE = 60 * 10**9


def nothing(segment, instrument):
    return None


def result(shared, name):
    return json.loads(shared("fixtures", "xts", f"{name}.json").read_text())["body"]["result"]


def row(status="New", seq=1, cum=0, **more):
    fields = {"app_order_id": "7", "client_id": "C1", "segment": "NSEFO", "instrument": 5, "trading_symbol": "S", "side": "Buy",
              "ord_type": "Limit", "product": "NRML", "time_in_force": "DAY", "price": 100.0, "qty": 75, "status": status,
              "cum_qty": cum, "leaves_qty": 75 - cum, "updated_ns": 10**18 + seq * MINUTE, "sequence": seq, "tag": "A1",
              "exch_order_id": "X1"}  # fmt: skip
    return OrderRow(**(fields | more))


def trade(qty=75, exec_id="9", cum=75, status="Filled", seq=1, **more):
    own = {"exec_id": exec_id, "last_px": 100.5, "last_qty": qty, "exec_ns": 10**18}
    own |= {k: more.pop(k) for k in list(more) if k not in OrderRow.__struct_fields__}
    return TradeRow(**msgspec.structs.asdict(row(status, seq, cum, **more)), **own)


def trail():
    return Trail(Names(), nothing, "ACC")


def kinds(reports):
    return [str(report.exec_type) for report in reports]


# status


@pytest.mark.parametrize(
    ("word", "cum", "expected"),
    [
        ("PendingNew", 0, "pending_new"), ("New", 0, "new"), ("Open", 0, "new"), ("Replaced", 0, "new"), ("Trigger Pending", 0, "new"),
        ("triggerpending", 0, "new"), ("PartiallyFilled", 25, "partially_filled"), ("New", 25, "partially_filled"),
        ("PartiallyFilled", 0, "new"), ("PendingReplace", 0, "pending_replace"), ("PendingCancel", 25, "pending_cancel"),
        ("Filled", 75, "filled"), ("PartiallyFilled", 75, "filled"), ("Filled", 25, "partially_filled"), ("Filled", None, "filled"),
        ("Cancelled", 0, "canceled"), ("Cancelled", 25, "canceled"), ("CANCELED", 0, "canceled"), ("Expired", 25, "expired"),
        ("Rejected", 0, "rejected"), ("Something New", 0, "unknown"), ("", 0, "unknown"),
    ],
)  # fmt: skip
def test_quantities_decide_over_the_word(word, cum, expected):
    assert (
        status_of(row(word, cum=cum)) == expected if cum is not None else status_of(row(word, cum_qty=None)) == expected
    )


def test_every_word_has_a_status():
    assert set(STATUSES.values()) == set(OrdStatus) - {OrdStatus.DENIED, OrdStatus.UNKNOWN}


# reports


def test_the_history_sample(shared):
    rows, trades = order_rows(result(shared, "order_history")), trade_rows(result(shared, "trade_book"))
    made = history_of(rows, trades, Names(), nothing, "ACC", NOW)
    assert kinds(made) == ["new", "trade"]
    assert (made[1].exec_id, made[1].last_qty, made[1].last_px_p, made[1].side) == (
        "10026335-2177829",
        75,
        2390,
        Side.BUY,
    )
    assert (made[0].cl_ord_id, made[0].order_id, made[0].account) == ("tag0001", "10026335", "CLI01")
    for mixed in itertools.permutations(rows):
        assert history_of(mixed, trades, Names(), nothing, "ACC", NOW) == made


def test_the_event_samples(shared):
    def event(name):
        found = json.loads(shared("fixtures", "xts", f"{name}.json").read_text())
        return event_rows(found["event"], found["args"][0])[0]

    heard = trail()
    assert heard.order(event("ev_order_pending_new"), NOW) == []
    made = heard.trade(event("ev_trade"), NOW)
    assert kinds(made) == ["new", "trade"]
    assert (made[1].last_qty, made[1].last_px_p, made[1].account) == (3, 285350, "CLI01")
    assert heard.trade(event("ev_trade"), NOW) == []


def test_a_rejected_order_of_the_dealer_sample(shared):
    heard = trail()
    reports = [r for o in order_rows(result(shared, "dealer_order_book")) for r in heard.order(o, NOW)]
    assert kinds(reports) == ["new", "rejected"]
    assert (reports[1].account, reports[1].text) == ("CLI02", "OEMS:RMS : Margin Exceeds")
    assert heard.lacks_trades()


def test_rows_that_come_again_say_nothing():
    heard = trail()
    assert kinds(heard.order(row(), NOW)) == ["new"]
    for _ in range(3):
        assert heard.order(row(), NOW) == []
    assert heard.order(row("PendingNew", seq=0), NOW) == []


def test_an_execution_counts_once_and_tells_the_order_first():
    heard = trail()
    assert kinds(heard.trade(trade(25, "1", 25, "PartiallyFilled"), NOW)) == ["new", "trade"]
    assert heard.trade(trade(25, "1", 25, "PartiallyFilled"), NOW) == []
    assert not heard.lacks_trades()
    assert heard.order(row("Filled", seq=3, cum=75), NOW) == []
    assert heard.lacks_trades()
    assert kinds(heard.trade(trade(50, "2", 75), NOW)) == ["trade"]
    assert not heard.lacks_trades()


def test_executions_without_an_id_are_told_apart_by_what_had_traded():
    heard = trail()
    for cum in (25, 50):
        assert kinds(heard.trade(trade(25, "", cum, "PartiallyFilled"), NOW))[-1] == "trade"
        assert heard.trade(trade(25, "", cum, "PartiallyFilled"), NOW) == []


def test_a_terminal_order_never_opens_again():
    for end in ("Cancelled", "Rejected", "Expired"):
        heard = trail()
        heard.order(row(), NOW)
        assert len(heard.order(row(end, seq=2), NOW)) == 1
        for late in ("New", "PartiallyFilled", "PendingNew", "Replaced", "Something"):
            assert heard.order(row(late, seq=9, cum=25), NOW) == []
        assert heard.order(row(end, seq=10), NOW) == []


def test_a_cancel_after_a_partial_fill_keeps_the_fill():
    heard = trail()
    heard.order(row(), NOW)
    made = heard.order(row("Cancelled", seq=3, cum=25), NOW)
    assert kinds(made) == ["canceled"]
    assert heard.lacks_trades()
    assert kinds(heard.trade(trade(25, "1", 25, "Cancelled", seq=3), NOW)) == ["trade"]


def test_a_replacement_by_word_or_by_its_terms():
    by_word = trail()
    by_word.order(row(), NOW)
    (said,) = by_word.order(row("Replaced", seq=2, price=101.0), NOW)
    assert (said.exec_type, said.price_p, said.order_qty) == (ExecType.REPLACED, 10100, 75)
    assert by_word.order(row("Replaced", seq=2, price=101.0), NOW) == []
    by_terms = trail()
    by_terms.order(row(), NOW)
    assert kinds(by_terms.order(row("PendingReplace", seq=2), NOW)) == []
    (seen,) = by_terms.order(row("Open", seq=3, qty=150), NOW)
    assert (seen.exec_type, seen.order_qty) == (ExecType.REPLACED, 150)


def test_there_and_back_again_is_two_replacements():
    heard = trail()
    heard.order(row(), NOW)
    prices = [101.0, 100.0, 101.0]
    made = [
        r for k, p in enumerate(prices) for r in heard.order(row("Replaced" if k else "Open", seq=k + 2, price=p), NOW)
    ]
    assert kinds(made) == ["replaced"] * 3
    assert len({r.exec_id for r in made}) == 3


@pytest.mark.parametrize(
    ("pending", "expected"), [("PendingReplace", "replace_rejected"), ("PendingCancel", "cancel_rejected")]
)
@pytest.mark.parametrize("seq", [2, 3])
def test_a_request_that_was_refused(pending, expected, seq):
    heard = trail()
    heard.order(row(), NOW)
    assert heard.order(row(pending, seq=2), NOW) == []
    assert kinds(heard.order(row("New", seq=seq, reason="17071"), NOW)) == [expected]


def test_an_older_row_is_no_answer_to_a_request():
    heard = trail()
    heard.order(row(), NOW)
    heard.order(row("PendingCancel", seq=2), NOW)
    assert heard.order(row("New", seq=1), NOW) == []


def test_odd_words_are_kept_and_move_nothing():
    heard = trail()
    heard.order(row(), NOW)
    assert heard.order(row("Frozen Solid", seq=2), NOW) == []
    assert heard.odd_words == {"Frozen Solid"}


LIFE = [
    row("PendingNew", 0, exch_order_id=""), row("New", 1), row("PendingReplace", 2), row("Replaced", 3, price=101.0),
    row("PartiallyFilled", 4, 25, price=101.0), row("Filled", 5, 75, price=101.0),
]  # fmt: skip
TRADES = [trade(25, "1", 25, "PartiallyFilled", seq=4, price=101.0), trade(50, "2", 75, "Filled", seq=5, price=101.0)]


@settings(max_examples=200)
@given(st.data())
def test_any_order_of_arrival_ends_in_the_same_order(data):
    arrivals = data.draw(
        st.permutations(LIFE + TRADES + data.draw(st.lists(st.sampled_from(LIFE + TRADES), max_size=5)))
    )
    heard = trail()
    order = begin(OrderRequest(cl_ord_id="A1", symbol="S", side=Side.BUY, order_qty=75, price_p=10000), 0)
    seen = set()
    for arrival in arrivals:
        made = heard.trade(arrival, NOW) if isinstance(arrival, TradeRow) else heard.order(arrival, NOW)
        for report in made:
            assert report.exec_id not in seen
            seen.add(report.exec_id)
            was_open = order.is_open
            order, anomaly = apply(order, report)
            assert anomaly is None
            assert was_open or not order.is_open
    assert (order.ord_status, order.cum_qty, order.traded_value_p) == (OrdStatus.FILLED, 75, 75 * 10050)
    assert not heard.lacks_trades()


# names


def test_a_tag_is_ours_and_the_first_has_it():
    names = Names()
    assert names.of(row()) == "A1"
    assert names.of(row(app_order_id="8")) == "X8"
    assert names.of(row(app_order_id="8")) == "X8"
    for odd in ("", "has blank", "a" * 21, "ümlaut", "a-b"):
        assert Names().of(row(tag=odd)) == "X7"
    assert (names.app_id("A1"), names.app_id("Z"), list(names.known())) == ("7", None, ["A1", "X8"])


def test_an_event_before_the_answer_is_the_same_order():
    names = Names()
    assert names.of(row()) == "A1"
    names.note("A1", "7")
    assert names.of(row(tag="")) == "A1"


# books


def test_the_book_sample_as_orders(shared):
    made = [order_of(r, Names(), nothing, "ACC", "xts-pro", NOW) for r in order_rows(result(shared, "order_book"))]
    assert [(o.ord_status, o.cum_qty, o.leaves_qty, o.traded_value_p) for o in made] == [
        (OrdStatus.FILLED, 75, 0, 75 * 2390),
        (OrdStatus.FILLED, 75, 0, 75 * 3180),
    ]
    first = made[0].request
    assert (first.cl_ord_id, first.side, first.ord_type, first.product, first.account) == (
        "tag0001",
        Side.BUY,
        OrdType.MARKET,
        Product.MIS,
        "CLI01",
    )
    assert (made[0].order_id, made[0].exch_order_id) == ("10026335", "X_30698353")


def test_an_order_that_works(shared):
    made = order_of(
        row("PartiallyFilled", cum=25, ord_type="StopLimit", stop_px=99.0, time_in_force="IOC", source="ALGO"),
        Names(),
        nothing,
        "ACC",
        "xts-client",
        NOW,
    )
    assert (made.ord_status, made.leaves_qty, made.request.ord_type, made.request.stop_px_p) == (
        OrdStatus.PARTIALLY_FILLED,
        50,
        OrdType.STOP_LIMIT,
        9900,
    )
    assert (made.request.time_in_force, made.request.order_source, made.request.account) == (
        TimeInForce.IOC,
        "ALGO",
        "C1",
    )


def test_the_trade_sample_as_a_fill(shared):
    (found,) = trade_rows(result(shared, "trade_book"))
    fill = fill_of(found, Names(), nothing, "ACC", "xts-pro", NOW)
    assert (fill.exec_id, fill.cl_ord_id, fill.last_qty, fill.last_px_p) == ("10026335-2177829", "tag0001", 75, 2390)
    with pytest.raises(BadData, match="no quantity or no price"):
        fill_of(trade(last_px=None), Names(), nothing, "ACC", "xts-pro", NOW)


def test_positions_take_the_average_of_the_open_side(shared):
    (found,) = positions_of(result(shared, "positions_daywise"))
    held = held_of(found, nothing)
    assert (held.net_qty, held.avg_px, held.product, held.symbol) == (
        -75,
        82.7,
        Product.MIS,
        "NIFTY 31DEC2020 CE 13900",
    )
    flat = held_of(PositionRow(net_qty=0, product="odd", realized=5.5), nothing)
    assert (flat.avg_px, flat.realized, flat.product) == (0.0, 5.5, Product.NRML)


# forms


def request(**more):
    fields = {"cl_ord_id": "tag0001", "symbol": "S", "side": Side.SELL, "order_qty": 75, "price_p": 3180}
    return OrderRequest(**(fields | more))


def test_the_place_sample_is_what_is_sent(shared):
    wanted = json.loads(shared("fixtures", "xts", "order_place.json").read_text())["request"]["json"]
    assert place_form(request(), ("NSEFO", 39972), None, XtsSettings()) == wanted


@pytest.mark.parametrize(
    ("setting", "own", "sent"),
    [
        ("WEBAPI", None, "WEBAPI"),
        ("WEBAPI", "ALGO", "ALGO"),
        ("", None, ""),
        ("-", None, None),
        ("WEBAPI", "-", None),
        ("-", "X", "X"),
        ("WEBAPI", "", ""),
    ],
)
def test_the_order_source_by_configuration_by_order_or_left_out(setting, own, sent):
    form = place_form(request(order_source=own), ("NSEFO", 1), None, XtsSettings(api_order_source=setting))
    assert form.get("apiOrderSource") == sent
    assert ("apiOrderSource" in form) == (sent is not None)


@pytest.mark.parametrize(
    ("market_as", "kind", "tif", "price"),
    [("native", "MARKET", "DAY", 0), ("limit_protect", "LIMIT", "DAY", 31.8), ("limit_ioc", "LIMIT", "IOC", 31.8)],
)
def test_a_market_order_goes_as_the_setting_says(market_as, kind, tif, price):
    form = place_form(request(ord_type=OrdType.MARKET), ("NSEFO", 1), "C1", XtsSettings(market_as=market_as))
    assert (form["orderType"], form["timeInForce"], form["limitPrice"], form["clientID"]) == (kind, tif, price, "C1")
    if market_as != "native":
        with pytest.raises(BadData, match="needs a protection price"):
            place_form(
                request(ord_type=OrdType.MARKET, price_p=None), ("NSEFO", 1), None, XtsSettings(market_as=market_as)
            )


def test_a_stop_carries_both_prices():
    form = place_form(request(ord_type=OrdType.STOP_LIMIT, stop_px_p=3200), ("NSEFO", 1), None, XtsSettings())
    assert (form["orderType"], form["limitPrice"], form["stopPrice"]) == ("STOPLIMIT", 31.8, 32.0)
    form = place_form(request(ord_type=OrdType.STOP, stop_px_p=3200, price_p=None), ("NSEFO", 1), None, XtsSettings())
    assert (form["orderType"], form["limitPrice"], form["stopPrice"]) == ("STOPMARKET", 0, 32.0)


def test_the_modify_sample_is_what_is_sent(shared):
    wanted = json.loads(shared("fixtures", "xts", "order_modify.json").read_text())["request"]["json"]
    found = row(app_order_id="10026335", tag="tag0001")
    assert modify_form(found, Modify(cl_ord_id="tag0001", order_qty=75, price_p=2410), None) == wanted
    kept = modify_form(found, Modify(cl_ord_id="tag0001", order_qty=150), "C1")
    assert (kept["modifiedLimitPrice"], kept["modifiedOrderQuantity"], kept["clientID"]) == (100.0, 150, "C1")
    stop = modify_form(
        row(ord_type="StopMarket", stop_px=99.0, price=0.0), Modify(cl_ord_id="A1", order_qty=75, stop_px_p=9800), None
    )
    assert (stop["modifiedOrderType"], stop["modifiedStopPrice"], stop["modifiedLimitPrice"]) == ("STOPMARKET", 98.0, 0)
