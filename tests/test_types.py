"""The nouns: exact conversions, frozen messages, derived properties."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import types
from toolkit.errors import BadData
from toolkit.types import (
    TERMINAL,
    Cancel,
    Denial,
    ExecType,
    ExecutionReport,
    Fill,
    Instrument,
    Intent,
    Kind,
    Modify,
    OptionType,
    Order,
    OrderRequest,
    OrdStatus,
    OrdType,
    Place,
    Product,
    Side,
    Target,
    TimeInForce,
    to_paise,
    to_rupees,
)

REQUEST = OrderRequest(cl_ord_id="A1", symbol="NIFTY 25NOV2025 24500 CE", side=Side.BUY, order_qty=75, price_p=10_005)
MESSAGES = [
    REQUEST,
    Order(request=REQUEST, ord_status=OrdStatus.NEW, cum_qty=0, leaves_qty=75, traded_value_p=0, created_ns=1, updated_ns=2),
    ExecutionReport(cl_ord_id="A1", exec_id="E1", exec_type=ExecType.TRADE, ts_ns=1, recv_ns=2, last_qty=75, last_px_p=10_000),
    Fill(exec_id="E1", cl_ord_id="A1", order_id="1", account="PAPER", broker="paper", symbol="NIFTY 25NOV2025 FUT",
         exchange="NSE", side=Side.SELL, last_qty=75, last_px_p=10_000, exec_ns=3),
    Instrument(instrument_id=1, symbol="RELIANCE EQ", exchange="NSE", segment="CM", underlying="RELIANCE", kind=Kind.EQUITY,
               lot=1, tick_p=5),
    Denial("max_order_qty", 1755, 1800, "order_qty must be at most 1755, was 1800"),
    Place(symbol="NIFTY 25NOV2025 FUT", side=Side.BUY, order_qty=75),
    Modify(cl_ord_id="A1", order_qty=75, price_p=10_000),
    Cancel(cl_ord_id="A1"),
    Target(symbol="NIFTY 25NOV2025 FUT", net_qty=-75),
]  # fmt: skip


def order(**changes: object) -> Order:
    return msgspec.structs.replace(MESSAGES[1], **changes)


def test_every_public_name_is_listed():
    here = {
        n for n, v in vars(types).items() if getattr(v, "__module__", "") == "toolkit.types" and not n.startswith("_")
    }
    assert here | {"BROKERS", "Intent", "TERMINAL"} == set(types.__all__)


@given(st.integers(-(10**11), 10**11))
def test_paise_survive_the_round_trip_through_rupees(paise):
    assert to_paise(to_rupees(paise)) == paise


@given(st.integers(-(10**9), 10**9), st.floats(0.02, 0.98))
def test_a_part_of_a_paisa_is_refused(paise, part):
    with pytest.raises(BadData, match="price must be a whole number of paise, was"):
        to_paise((paise + part) / 100)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.005, 100.001, 1e300 * 10])
def test_what_is_no_price_is_refused(bad):
    with pytest.raises(BadData, match="use two decimals"):
        to_paise(bad)


@pytest.mark.parametrize(
    ("rupees", "paise"), [(112.05, 11205), (0.05, 5), (0.0, 0), (24500, 2_450_000), (1.1 + 2.2, 330)]
)
def test_known_conversions(rupees, paise):
    assert to_paise(rupees) == paise
    assert isinstance(to_paise(rupees), int)


def test_signs():
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)
    assert (OptionType.CE.cp, OptionType.PE.cp) == (1, -1)


@pytest.mark.parametrize("kind", [Side, OrdType, TimeInForce, Product, Kind, OptionType, OrdStatus, ExecType])
def test_words_are_their_own_text(kind):
    for member in kind:
        assert str(member) == member.value
        assert kind(member.value) is member
        assert f"{member}" == member.value


def test_the_order_states_are_those_of_the_api():
    words = "pending_new new partially_filled filled pending_cancel pending_replace canceled rejected expired denied unknown"
    assert " ".join(OrdStatus) == words


@pytest.mark.parametrize("status", list(OrdStatus))
def test_an_order_is_open_until_it_is_terminal(status):
    assert order(ord_status=status).is_open == (status not in TERMINAL)


def test_an_unknown_order_is_still_open():
    assert order(ord_status=OrdStatus.UNKNOWN).is_open
    assert sorted(TERMINAL) == ["canceled", "denied", "expired", "filled", "rejected"]


def test_average_price_is_nan_before_the_first_fill():
    assert math.isnan(order().avg_px)


@given(st.lists(st.tuples(st.integers(1, 10**5), st.integers(1, 10**7)), min_size=1, max_size=10))
def test_average_price_lies_between_the_fills(fills):
    qty = sum(q for q, _ in fills)
    average = order(cum_qty=qty, traded_value_p=sum(q * p for q, p in fills)).avg_px
    assert min(p for _, p in fills) / 100 - 1e-9 <= average <= max(p for _, p in fills) / 100 + 1e-9


def test_an_order_shows_its_requests_id():
    assert order().cl_ord_id == "A1"


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_are_frozen_and_survive_json(message):
    field = message.__struct_fields__[0]
    with pytest.raises(AttributeError):
        setattr(message, field, None)
    assert msgspec.json.decode(msgspec.json.encode(message), type=type(message)) == message


def test_a_message_with_a_wrong_type_is_not_decoded():
    text = msgspec.json.encode(REQUEST).replace(b'"order_qty":75', b'"order_qty":75.5')
    with pytest.raises(msgspec.ValidationError, match="order_qty"):
        msgspec.json.decode(text, type=OrderRequest)


def test_the_four_intents():
    for message in (Place, Modify, Cancel, Target):
        assert any(isinstance(m, Intent) for m in MESSAGES if type(m) is message)
    assert not isinstance(REQUEST, Intent)


def test_defaults_are_a_days_limit_order_on_paper():
    assert (REQUEST.exchange, REQUEST.ord_type, REQUEST.time_in_force) == ("NSE", OrdType.LIMIT, TimeInForce.DAY)
    assert (REQUEST.product, REQUEST.broker, REQUEST.parent_id) == (Product.NRML, "paper", None)
