"""Orders in the words of the surface: every way to write one is read alike, and refused alike."""

from __future__ import annotations

import contextlib
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BadOrder
from toolkit.orders.words import (
    FIELDS,
    NoOrder,
    Unnamed,
    asked_of,
    order_from_json,
    order_json,
    read_basket,
    read_change,
    read_named,
    read_order,
    read_price_p,
    read_qty,
)
from toolkit.types import Denial, Order, OrderRequest, OrdStatus, OrdType, Side

GOOD = {"symbol": "NIFTY 25NOV2025 24500 CE", "side": "BUY", "order_qty": 75, "price": "112.05"}


def test_an_order_is_read_whole():
    asked = read_order(
        {**GOOD, "side": "sell", "ord_type": "limit", "cl_ord_id": "A1", "note": "first", "algo": "twap duration_s=60"}
    )
    assert (asked.symbol, asked.side, asked.order_qty, asked.price_p) == (GOOD["symbol"], Side.SELL, 75, 11205)
    assert (asked.cl_ord_id, asked.note, asked.algo, asked.ord_type) == (
        "A1",
        "first",
        "twap duration_s=60",
        OrdType.LIMIT,
    )


def test_a_field_of_null_is_a_field_left_out():
    assert read_order({**GOOD, "stop_px": None, "note": None}) == read_order(GOOD)


@pytest.mark.parametrize(
    ("change", "rule", "says"),
    [
        ({"order_qty": 0}, "order_qty", "order_qty must be a whole number from 1 to 1000000000, was 0"),
        ({"order_qty": -5}, "order_qty", "was -5"),
        ({"order_qty": "1e30"}, "order_qty", "was 1E+30"),
        ({"order_qty": True}, "order_qty", "was true"),
        ({"order_qty": [75]}, "order_qty", "was a value of type list"),
        ({"order_qty": 10**400}, "order_qty", "was a number of 1329 bits"),
        ({"order_qty": "9" * 500}, "order_qty", "was '9999"),
        ({"price": "NaN"}, "price", "price must be rupees above 0 to 10000000, in whole paise, was NaN"),
        ({"price": math.inf}, "price", "was Infinity"),
        ({"price": "-inf"}, "price", "was -Infinity"),
        ({"price": -1}, "price", "was -1"),
        ({"price": 0}, "price", "was 0"),
        ({"price": "112.055"}, "price", "was 112.055"),
        ({"price": "1e-400"}, "price", "was 1E-400"),
        ({"price": {}}, "price", "was a value of type dict"),
        ({"stop_px": "abc"}, "stop_px", "was 'abc'"),
        ({"side": "BUUY"}, "side", "side must be one of BUY, SELL, was 'BUUY'; did you mean 'BUY'?"),
        ({"side": 1}, "side", "was 1"),
        ({"ord_type": "MKT"}, "ord_type", "was 'MKT'"),
        ({"cl_ord_id": "a b"}, "cl_ord_id", "cl_ord_id must be 1 to 20 letters and digits, was 'a b'"),
        ({"cl_ord_id": 7}, "cl_ord_id", "was 7"),
        ({"symbol": "A\x00B"}, "symbol", "was 'A\\x00B'"),
        ({"symbol": "x" * 65}, "symbol", "symbol must be 1 to 64 printable characters"),
        ({"note": "line\nline"}, "note", "was 'line\\x0aline'"),
        ({"lots": 1}, "order_qty", "give either order_qty or lots, was both"),
        ({"order_qty": None}, "order_qty", "was neither"),
        ({"stoppx": 1}, "field", "an order has no field 'stoppx'; did you mean 'stop_px'?"),
        ({"algo": "twop"}, "algo", "no algorithm 'twop'; did you mean 'twap'"),
        ({"algo": "zzz"}, "algo", "no algorithm 'zzz'; known: best_limit, bracket"),
        ({"algo": "twap slices"}, "algo", "a parameter of algorithm 'twap' is key=value, was 'slices'"),
        ({"algo": "twap slice=3"}, "algo", "algorithm 'twap' has no parameter 'slice'; did you mean 'slices' or"),
        ({"algo": "twap parent=3"}, "algo", "algorithm 'twap' has no parameter 'parent'"),
        ({"algo": "twap duration_s=nan"}, "algo.duration_s", "parameter 'duration_s' of algorithm 'twap' must lie in"),
        ({"algo": "twap duration_s=60 duration_s=6"}, "algo.duration_s", "is given twice; keep one"),
        ({"algo": 3}, "algo", "algo must be 1 to 300 printable characters, was 3"),
        ({"broker": "kyte"}, "broker", "broker must be one of kite, paper, xts-client, xts-pro, was 'kyte'; did you"),
    ],
)
def test_what_cannot_be_part_of_an_order_is_refused_with_field_limit_and_value(change, rule, says):
    with pytest.raises(BadOrder) as caught:
        read_order({**GOOD, **change})
    assert caught.value.rule == rule
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "nan", "inf", "1e10", "75x", "", " ", "0x10", "१२", "1_000"])
def test_text_that_is_no_quantity_is_refused(text):
    with pytest.raises(BadOrder, match="order_qty must be a whole number"):
        read_qty("order_qty", text)


@pytest.mark.parametrize("value", [0, -1, 2.5, math.nan, math.inf, 10**10, 1e18])
def test_a_number_and_its_text_are_refused_with_the_same_words(value):
    said = set()
    for given_as in (value, str(value)):
        with pytest.raises(BadOrder) as caught:
            read_qty("order_qty", given_as)
        said.add(str(caught.value))
    assert len(said) == 1


@given(st.integers(1, 10**9))
def test_every_quantity_in_range_is_read_from_number_and_text(qty):
    assert read_qty("order_qty", qty) == read_qty("order_qty", str(qty)) == qty


@given(st.integers(1, 10**9))
def test_every_price_is_read_to_the_paisa(price_p):
    assert read_price_p("price", f"{price_p // 100}.{price_p % 100:02d}") == price_p
    assert read_price_p("price", price_p / 100.0) == price_p


junk = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers()))


@given(st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text()), junk))
def test_no_body_raises_anything_but_a_one_line_refusal(body):
    error = None
    with contextlib.suppress(BadOrder):
        try:
            read_basket(body)
        except BadOrder as caught:
            error = caught
            raise
    assert error is None or (error.rule and "\n" not in str(error) and len(str(error)) < 600)


@given(junk)
def test_nothing_but_an_object_is_an_order(body):
    with pytest.raises(BadOrder):
        read_basket(body)


def test_a_request_becomes_the_same_fields_again():
    request = OrderRequest(
        cl_ord_id="A1", symbol="X", side=Side.SELL, order_qty=75, price_p=11205, note="n", algo="twap"
    )
    again = read_order(asked_of(request))
    assert (again.cl_ord_id, again.price_p, again.order_qty, again.side, again.algo) == (
        "A1",
        11205,
        75,
        Side.SELL,
        "twap",
    )


def test_a_request_with_nonsense_is_refused_like_any_body():
    request = OrderRequest(cl_ord_id="A1", symbol="X", side=Side.BUY, order_qty=1, price_p=math.nan)
    with pytest.raises(BadOrder, match="was NaN"):
        read_order(asked_of(request))


def test_legs_are_read_with_their_policy():
    basket = read_basket({"legs": [GOOD, {**GOOD, "side": "SELL"}], "policy": {"fail": "unwind"}})
    assert ([leg.side for leg in basket.legs], basket.policy) == ([Side.BUY, Side.SELL], {"fail": "unwind"})


@pytest.mark.parametrize(
    ("more", "rule", "says"),
    [
        ({"policy": {"fial": "unwind"}}, "algo", "algorithm 'legs' has no parameter 'fial'; did you mean 'fail'"),
        ({"policy": "retry"}, "algo.fail", "parameter 'fail' of algorithm 'legs' must be one of"),
        ({"policy": {"timeout_s": math.nan}}, "algo.timeout_s", "was nan"),
        ({"policy": {"timeout_s": [1]}}, "algo.timeout_s", "must be float (s), was [1]"),
        ({"policy": {"fail": "unwind"}, "algo": "legs fail=keep"}, "algo.fail", "stands in text and policy; keep one"),
        ({"algo": "legz"}, "algo", "no algorithm 'legz'; did you mean 'legs'"),
    ],
)
def test_a_policy_is_checked_as_the_algorithm_is(more, rule, says):
    with pytest.raises(BadOrder) as caught:
        read_basket({"legs": [GOOD, {**GOOD, "side": "SELL"}], **more})
    assert caught.value.rule == rule
    assert says in str(caught.value)
    assert "" not in (caught.value.limit, caught.value.value)


def test_the_id_of_an_order_there_is_may_be_anybodys():
    assert read_named("other-system:7") == "other-system:7"
    for value, kind in (
        (math.nan, BadOrder),
        ("", BadOrder),
        ("a\nb", BadOrder),
        ("../halt", NoOrder),
        ("..", NoOrder),
    ):
        with pytest.raises(kind) as caught:
            read_named(value)
        assert caught.value.rule == "cl_ord_id"


def test_a_ticket_that_names_no_account_leaves_it_to_the_desk():
    request = OrderRequest(cl_ord_id="A1", symbol="X", side=Side.BUY, order_qty=1)
    assert {"account": "PAPER", "broker": "paper"}.items() <= asked_of(request).items()
    unnamed = msgspec.structs.replace(request, account=Unnamed.ACCOUNT, broker=Unnamed.BROKER)
    assert not {"account", "broker"} & set(asked_of(unnamed))
    assert unnamed == request == msgspec.json.decode(msgspec.json.encode(unnamed), type=OrderRequest)


@pytest.mark.parametrize("body", [{"legs": []}, {"legs": "no"}, {"legs": [GOOD] * 21}, {"legs": [GOOD], "policy": 3}])
def test_legs_that_are_none_are_refused(body):
    with pytest.raises(BadOrder):
        read_basket(body)


def test_a_change_needs_something_to_change():
    assert read_change({"price": 1}).price_p == 100
    with pytest.raises(BadOrder, match="was empty"):
        read_change({})


def test_an_order_goes_out_and_comes_back():
    request = OrderRequest(cl_ord_id="A1", symbol="X", side=Side.BUY, order_qty=75, price_p=11205)
    order = Order(
        request=request,
        ord_status=OrdStatus.FILLED,
        cum_qty=75,
        leaves_qty=0,
        traded_value_p=840375,
        created_ns=1,
        updated_ns=2,
        order_id="9",
    )
    row = order_json(order)
    assert (row["price"], row["avg_px"], row["ord_status"]) == (112.05, 112.05, "filled")
    assert "denials" not in row
    assert order_from_json(row) == order


def test_a_denied_order_says_every_rule():
    request = OrderRequest(cl_ord_id="A1", symbol="X", side=Side.BUY, order_qty=76)
    order = Order(
        request=request,
        ord_status=OrdStatus.DENIED,
        cum_qty=0,
        leaves_qty=0,
        traded_value_p=0,
        created_ns=1,
        updated_ns=1,
    )
    row = order_json(order, [Denial("lot", 75, 76, "not a multiple")])
    assert row["denials"] == [{"rule": "lot", "limit": 75, "value": 76, "text": "not a multiple"}]
    assert row["avg_px"] is None
