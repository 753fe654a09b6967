"""XTS answers as records: every sample, every alias, text numbers, the time formats, odd envelopes."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.brokers import xts_records as xr
from toolkit.calendar import ist_ns
from toolkit.errors import BadData


def result(shared, name):
    body = json.loads(shared("fixtures", "xts", f"{name}.json").read_text())["body"]
    opened = xr.read_envelope(json.dumps(body).encode())
    assert opened.ok
    assert opened.typed
    return opened.result


def ist(y, mo, d, h, mi, s, us=0):
    return ist_ns(dt.date(y, mo, d), dt.time(h, mi, s, us))


# envelopes


def body(**fields):
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    "raw",
    [
        body(type="success", code="s-orders-0001", description="Request sent", result={"a": 1}),
        b'[{"type":"success","code":"s-orders-0001","description":"Request sent","result":{"a":1}}]',
        body(type=True, code="s-orders-0001", description="Request sent", result={"a": 1}),
        body(Type="Success", Code="s-orders-0001", Description="Request sent", Result={"a": 1}),
        body(
            status=1,
            data={"type": "success", "code": "s-orders-0001", "description": "Request sent", "result": {"a": 1}},
        ),
        body(data=[{"type": "success", "code": "s-orders-0001", "description": "Request sent", "result": {"a": 1}}]),
    ],
)
def test_an_envelope_in_any_wrapping(raw):
    assert xr.read_envelope(raw) == xr.Envelope(
        ok=True, code="s-orders-0001", text="Request sent", result={"a": 1}, typed=True
    )


def test_a_success_may_have_a_code_that_begins_with_e(shared):
    found = xr.read_envelope(
        json.dumps(json.loads(shared("fixtures", "xts", "md_login.json").read_text())["body"]).encode()
    )
    assert (found.ok, found.code) == (True, "e-response-0010")


@pytest.mark.parametrize("held", [{}, "", [], "words", None])
def test_a_result_may_be_anything_or_missing(held):
    assert xr.read_envelope(body(type="success", code="c", result=held)).result == held
    assert xr.read_envelope(body(type="success", code="c")).result is None


def test_an_error_without_words_is_still_an_error():
    found = xr.read_envelope(body(type="error", code="e-user-0001"))
    assert (found.ok, found.code, found.text, found.typed) == (False, "e-user-0001", "", True)
    assert not xr.read_envelope(body(type="error")).typed


def test_the_list_of_errors_is_kept_as_text():
    found = xr.read_envelope(
        body(type="error", code="e-x", description="Bad Request", result={"errors": [{"field": "qty"}]})
    )
    assert found.text == 'Bad Request: [{"field":"qty"}]'


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"7", b"[]", b"[1,2]", b'"x"', b"{}", b'{"a":1}', b"\xff", b"null", b"[" * 9000]
)
def test_what_is_no_envelope_says_so(raw):
    with pytest.raises(BadData, match="answer"):
        xr.read_envelope(raw)


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.text(max_size=4) | st.integers(),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(st.sampled_from(["type", "code", "data", "result", "description"]), x)
        ),
    ).map(lambda v: json.dumps(v).encode())
)
def test_any_body_is_opened_or_bad_data(raw):
    try:
        assert isinstance(xr.read_envelope(raw), xr.Envelope)
    except BadData:
        return


# cells


@pytest.mark.parametrize(
    ("value", "expected"),
    [("2,853.50", 2853.5), ("23.90", 23.9), ("", None), ("NaN", None), (None, None), ("1,00,000", 100000.0), (5, 5.0),
     ("inf", None), (float("inf"), None), ("1_0", None), (True, None), ([], None), ("-75", -75.0), (10**400, None), ("٣", None)],
)  # fmt: skip
def test_numbers(value, expected):
    assert xr.number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1110037830, "1110037830"), (1110037830.0, "1110037830"), ("1110037830", "1110037830"), ("1110037830.0", "1110037830"),
     ("1,110,037,830", "1110037830"), (2**53 + 1, str(2**53 + 1)), (str(2**53 + 1), str(2**53 + 1)), ("X_30698353", "X_30698353"), (None, ""), (1.5, ""), (True, "")],
)  # fmt: skip
def test_ids(value, expected):
    assert xr.identity(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-12-21T14:59:41.1535468", ist(2020, 12, 21, 14, 59, 41, 153546)),
        ("2020-12-21T14:59:41.350748", ist(2020, 12, 21, 14, 59, 41, 350748)),
        ("2020-12-21T14:59:42+05:30", ist(2020, 12, 21, 14, 59, 42)),
        ("2020-12-21T09:29:42Z", ist(2020, 12, 21, 14, 59, 42)),
        ("2025-01-01T10:00:15.237162+05:30", ist(2025, 1, 1, 10, 0, 15, 237162)),
        ("2024-12-27T11:22:47", ist(2024, 12, 27, 11, 22, 47)),
        ("2024-12-27 11:22:47", ist(2024, 12, 27, 11, 22, 47)),
        ("13-08-2026 10:33:28", ist(2026, 8, 13, 10, 33, 28)),
        ("13-08-2026 10:33:28.482", ist(2026, 8, 13, 10, 33, 28, 482000)),
        ("Jun 18 2026 09:20:15", ist(2026, 6, 18, 9, 20, 15)),
        ("Jun 18 2026 092015", ist(2026, 6, 18, 9, 20, 15)),
        ("1980-01-01T00:00:00", None), ("01-01-1980 00:00:00", None), ("2020-13-41T00:00:00", None),
        ("yesterday", None), ("", None), (None, None), (7, None), ("Foo 18 2026 09:20:15", None),
    ],
)  # fmt: skip
def test_times(text, expected):
    assert xr.stamp_ns(text) == expected


# rows


def test_the_order_book_sample(shared):
    first, second = xr.order_rows(result(shared, "order_book"))
    assert (first.app_order_id, first.exch_order_id, first.client_id, first.login_id) == (
        "10026335",
        "X_30698353",
        "CLI01",
        "CLI01",
    )
    assert (first.segment, first.instrument, first.side, first.ord_type) == ("NSEFO", 39972, "Buy", "Market")
    assert (first.qty, first.cum_qty, first.leaves_qty, first.avg_px) == (75, 75, 0, 23.9)
    assert (first.status, first.tag, first.sequence) == ("Filled", "tag0001", 307029544559178)
    assert first.updated_ns == ist(2020, 12, 21, 14, 59, 42, 127621)
    assert second.updated_ns == ist(2020, 12, 21, 14, 49, 16, 350748)


def test_the_history_and_dealer_samples(shared):
    history = xr.order_rows(result(shared, "order_history"))
    assert [row.status for row in history] == ["PendingNew", "New", "PartiallyFilled", "Filled"]
    assert [row.avg_px for row in history] == [None, None, 23.85, 23.9]
    dealer = xr.order_rows(result(shared, "dealer_order_book"))
    assert [(row.login_id, row.client_id, row.source) for row in dealer] == [
        ("DLR01", "CLI01", "WEBAPI"),
        ("DLR01", "CLI02", "WEBAPI"),
    ]
    assert dealer[1].reason == "OEMS:RMS : Margin Exceeds"


def test_the_trade_sample(shared):
    (trade,) = xr.trade_rows(result(shared, "trade_book"))
    assert (trade.exec_id, trade.exec_index, trade.last_px, trade.last_qty) == ("2177829", 4, 23.9, 75)
    assert trade.exec_ns == ist(2020, 12, 21, 14, 59, 42)


@pytest.mark.parametrize("name", ["order_place", "order_modify", "order_cancel"])
def test_the_answers_to_order_calls(shared, name):
    placed = xr.placed_of(result(shared, name))
    assert placed.app_order_id in ("10026325", "10026335")
    assert (placed.tag, placed.client_id) == ("tag0001", "CLI01")


@pytest.mark.parametrize(
    ("given", "order_id"),
    [
        ({"appOrderID": 5}, "5"),
        ({"AppOrderID": "5.0"}, "5"),
        ([{"AppOrderID": 5}], "5"),
        ({"EntryAppOrderID": 6, "ExitAppOrderID": 7}, "6"),
    ],
)
def test_an_order_id_under_any_spelling(given, order_id):
    assert xr.placed_of(given).app_order_id == order_id


@pytest.mark.parametrize("given", [{}, "", None, [], {"AppOrderID": ""}, 5])
def test_an_answer_without_an_order_id_is_none(given):
    with pytest.raises(BadData, match="AppOrderID"):
        xr.placed_of(given)


def test_both_position_forms_agree(shared):
    (day,) = xr.positions_of(result(shared, "positions_daywise"))
    assert (day.client_id, day.segment, day.instrument, day.net_qty, day.lot) == ("CLI01", "NSEFO", 41376, -75, 75)
    assert (day.sell_avg, day.sell_value, day.unrealized, day.realized) == (82.7, 6202.5, 1485.0, 0.0)
    first, second = xr.positions_of(result(shared, "dealer_positions"))
    assert (first.client_id, second.client_id, second.net_qty) == ("CLI01", "CLI02", 150)
    sample = json.loads(shared("fixtures", "xts", "ev_position.json").read_text())
    (event,) = xr.event_rows("position", sample["args"][0])
    assert (event.client_id, event.login_id, event.instrument, event.net_qty) == ("CLI01", "DLR01", 335, 3)
    assert (event.buy_qty, event.buy_value, event.net_value, event.kind, event.level) == (
        3,
        8560.5,
        -8560.5,
        "DayWise",
        "ParentLevel",
    )


def test_positions_as_a_bare_list_and_none():
    row = {
        "AccountID": "C",
        "ExchangeSegment": "NSEFO",
        "ExchangeInstrumentId": "7",
        "Quantity": "1,500",
        "BuyAveragePrice": "NaN",
    }
    (found,) = xr.positions_of([row])
    assert (found.net_qty, found.buy_avg) == (1500, None)
    for empty in ({"positionList": []}, [], "", {}, None):
        assert xr.positions_of(empty) == ()


def test_a_position_at_several_levels_counts_once():
    row = {
        "AccountID": "C",
        "ExchangeSegment": "NSEFO",
        "ExchangeInstrumentId": "7",
        "ProductType": "MIS",
        "Quantity": "75",
    }
    rows = [row | {"StatisticsLevel": level} for level in ("ParentLevel", "ChildLevel")]
    assert [r.level for r in xr.positions_of(rows)] == ["ParentLevel"]
    other = row | {"ExchangeInstrumentId": "8", "StatisticsLevel": "ChildLevel"}
    assert len(xr.positions_of([*rows, other])) == 2


def test_holdings_in_both_forms(shared):
    (held,) = xr.holdings_of(result(shared, "holdings"))
    assert (held.isin, held.qty, held.avg_px, held.nse_instrument, held.client_id) == (
        "INE002A01018",
        10,
        1378.9,
        2885,
        "CLI01",
    )
    (older,) = xr.holdings_of(
        {"RMSHoldingList": [{"ISIN": "INE002A01018", "HoldingQuantity": "10", "BuyAvgPrice": "1,378.90"}]}
    )
    assert (older.isin, older.qty, older.avg_px) == ("INE002A01018", 10, 1378.9)
    for empty in ({}, {"RMSHoldings": {"Holdings": {}}}, ""):
        assert xr.holdings_of(empty) == ()
    with pytest.raises(BadData, match="HoldingQuantity"):
        xr.holdings_of({"RMSHoldingList": [{"ISIN": "X"}]})


def test_the_balance_that_counts_comes_first(shared):
    first, second = xr.balances_of(result(shared, "balance"))
    assert (first.header, first.cash, first.used, first.available) == ("ALL|ALL|ALL", 1e6, 12345.75, 987654.25)
    assert (first.client_id, first.realized, second.header) == ("CLI01", None, "CASH|NSE|MTF")
    assert xr.balances_of({"BalanceList": [{"limitHeader": "X", "limitObject": {}}]})[0].cash is None


def test_logins(shared):
    investor = xr.login_of(result(shared, "interactive_login_investor"))
    assert (investor.user_id, investor.is_investor, investor.client_codes) == ("CLI01", True, ("CLI01",))
    assert investor.token.reveal() == "TEST.INTERACTIVE.TOKEN"
    assert "position" in investor.socket_events
    dealer = xr.login_of(result(shared, "interactive_login_dealer"))
    assert (dealer.user_id, dealer.is_investor, dealer.client_codes) == ("DLR01", False, ("CLI01", "CLI02"))
    market = xr.market_login_of(result(shared, "md_login"))
    assert (market.user_id, market.app_version, market.expires) == ("CLI01", "5.0.15", "30-10-2025")
    assert "TEST" not in repr(investor) + repr(market)
    old = xr.login_of({"token": "T", "userID": "U"})
    assert (old.is_investor, old.client_codes) == (None, ())
    for bad in ({}, {"token": ""}, {"token": "a\nb"}, "x", None):
        with pytest.raises(BadData, match="login"):
            xr.login_of(bad)


def test_profile_and_margin(shared):
    who = xr.profile_of(result(shared, "profile"))
    assert (who.client_id, who.name, who.is_investor, who.segments) == (
        "CLI01",
        "TEST CLIENT",
        True,
        ("NSECM", "NSEFO"),
    )
    off = xr.profile_of({"ClientExchangeDetailsList": {"NSECM": {"Enabled": "false"}, "NSEFO": {}}})
    assert (off.segments, off.is_investor) == (("NSEFO",), None)
    margin = xr.margin_of(result(shared, "margin_details"))
    assert (margin.required, margin.available, margin.shortfall, margin.valid) == (150.0, 9816624.5775, 0.0, True)
    assert xr.margin_of({"brokerageDetails": {"MarginRequired": "1,000", "IsValid": False}}).valid is False
    with pytest.raises(BadData, match="MarginRequired"):
        xr.margin_of({})


# events


def test_the_order_and_trade_events(shared):
    (order,) = xr.event_rows(
        "order", json.loads(shared("fixtures", "xts", "ev_order_pending_new.json").read_text())["args"][0]
    )
    assert (order.app_order_id, order.login_id, order.client_id, order.trading_symbol) == (
        "1110037830",
        "DLR01",
        "CLI01",
        "MUTHOOTFIN",
    )
    assert (order.side, order.stop_px, order.avg_px, order.status) == ("Sell", 2148.35, None, "PendingNew")
    (trade,) = xr.event_rows("trade", json.loads(shared("fixtures", "xts", "ev_trade.json").read_text())["args"][0])
    assert (trade.exec_id, trade.avg_px, trade.last_px, trade.last_qty) == ("2177829", 2853.5, 2853.5, 3)
    assert trade.exec_ns == ist(2024, 12, 27, 11, 22, 47)


ROW = {"AppOrderID": 7, "OrderStatus": "New"}


@pytest.mark.parametrize(
    "argument",
    [ROW, json.dumps(ROW), json.dumps(ROW).encode(), [ROW], [json.dumps(ROW)], {"Appended": json.dumps(ROW)}, json.dumps({"Appended": [ROW]}), json.dumps(json.dumps(ROW))],
)  # fmt: skip
def test_an_event_in_any_wrapping(argument):
    (row,) = xr.event_rows("order", argument)
    assert (row.app_order_id, row.status) == ("7", "New")


@pytest.mark.parametrize("argument", ["{", None, 7, "7", {}, {"AppOrderID": ""}, [[[[[[ROW]]]]]]])
def test_an_event_that_is_none_says_so(argument):
    with pytest.raises(BadData):
        xr.event_rows("order", argument)
    with pytest.raises(BadData, match="carries no row"):
        xr.event_rows("joined", ROW)


def test_plain_fields_win_over_their_copies_which_stand_in():
    row = ROW | {"OrderAverageTradedPrice": "2,853.50", "OrderAverageTradedPriceAPI": "NaN"}
    assert xr.order_rows([row])[0].avg_px == 2853.5
    copies = ROW | {"OrderAverageTradedPrice": "", "OrderAverageTradedPriceAPI": 2853.5, "OrderSideAPI": "SELL",
                    "LastUpdateDateTimeAPI": "27-12-2024 11:22:47"}  # fmt: skip
    (found,) = xr.order_rows([copies])
    assert (found.avg_px, found.side, found.updated_ns) == (2853.5, "SELL", ist(2024, 12, 27, 11, 22, 47))


def test_lists_that_are_none():
    for empty in ([], "", {}, None):
        assert xr.order_rows(empty) == ()
        assert xr.trade_rows(empty) == ()
    with pytest.raises(BadData, match="list of orders"):
        xr.order_rows("words")
    with pytest.raises(BadData, match="no AppOrderID"):
        xr.trade_rows([{"ExecutionID": 1}])
    assert xr.order_rows({"orderList": [ROW]})[0].app_order_id == "7"


@given(
    st.sampled_from(["order", "trade", "position"]),
    st.recursive(
        st.none() | st.text(max_size=6) | st.floats() | st.booleans(),
        lambda x: (
            st.lists(x, max_size=3) | st.dictionaries(st.sampled_from([*ROW, "Appended", "ExecutionID", "Quantity"]), x)
        ),
    ),
)
def test_any_event_is_rows_or_bad_data(name, argument):
    try:
        assert isinstance(xr.event_rows(name, argument), tuple)
    except BadData:
        return
