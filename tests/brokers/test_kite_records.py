from __future__ import annotations

import contextlib
import datetime as dt
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.brokers import kite_records as k
from toolkit.calendar import ist_ns
from toolkit.errors import BadData

FIXTURES = {
    "auctions_list": tuple[k.Auction, ...],
    "autoslice_response": k.AutosliceAnswer,
    "full_profile": k.UserRow,
    "gtt_delete_order": k.GttAnswer,
    "gtt_get_order": k.Gtt,
    "gtt_get_orders": tuple[k.Gtt, ...],
    "holdings_compact": tuple[k.CompactHolding, ...],
    "margins": k.UserMargins,
    "margins_equity": k.SegmentMargin,
    "ohlc": dict[str, k.Ohlc],
    "order_info": tuple[k.OrderRow, ...],
    "order_margins": tuple[k.OrderMargin, ...],
    "order_modify": k.OrderAnswer,
    "order_response": k.OrderAnswer,
    "order_trades": tuple[k.TradeRow, ...],
    "orders": tuple[k.OrderRow, ...],
    "profile": k.UserRow,
    "quote": dict[str, k.QuoteRow],
    "session_logout": bool,
    "trades": tuple[k.TradeRow, ...],
}


def same(made, given, where=""):
    """Every value of the file is in the record, under the same name."""
    if isinstance(made, msgspec.Struct):
        for name in set(given) & set(made.__struct_fields__):
            same(getattr(made, name), given[name], f"{where}.{name}")
        unknown = set(given) - set(made.__struct_fields__)
        assert not unknown, f"{where} drops {unknown}"
    elif isinstance(given, dict) and isinstance(made, dict):
        assert set(made) == set(given), where
        for name in given:
            same(made[name], given[name], f"{where}.{name}")
    elif isinstance(given, list):
        assert len(made) == len(given), where
        for i, (one, other) in enumerate(zip(made, given, strict=True)):
            same(one, other, f"{where}[{i}]")
    else:
        assert made == given, where


@pytest.mark.parametrize("name", sorted(FIXTURES))
def test_every_field_of_the_official_mock_is_in_its_record(shared, name):
    body = shared("fixtures", "kite", f"{name}.json").read_bytes()
    made = k.decode(body, FIXTURES[name])
    assert made is not None
    data = json.loads(body)["data"]
    if name == "autoslice_response":
        for child in data["children"]:
            child.get("error", {}).pop("data", None)  # always null
    same(made, data, name)


def test_order_ids_stay_text_and_past_two_to_the_53(shared):
    rows = k.decode(shared("fixtures", "kite", "orders.json").read_bytes(), tuple[k.OrderRow, ...])
    assert all(isinstance(row.order_id, str) for row in rows)
    sliced = k.decode(shared("fixtures", "kite", "autoslice_response.json").read_bytes(), k.AutosliceAnswer)
    assert sliced.order_id == "1914227164488687616"
    assert sliced.children[2].error.error_type == "MarginException"
    assert sliced.children[2].order_id is None


def test_unknown_fields_are_ignored_and_missing_ones_are_none():
    made = k.read({"order_id": "1", "new_word": {"a": 1}}, k.OrderRow)
    assert made.order_id == "1"
    assert (made.price, made.tag, made.exchange_order_id) == (None, None, None)


HELD_BACK = {
    "positions": ({"net": [{"tradingsymbol": "X", "quantity": -65, "multiplier": 1}], "day": []}, k.Positions),
    "holdings": ([{"tradingsymbol": "INFY", "mtf": {"quantity": 0}, "authorisation": {}}], tuple[k.Holding, ...]),
    "ltp": ({"NSE:INFY": {"instrument_token": 408065, "last_price": 1074.35}}, dict[str, k.Ltp]),
    "trigger_range": ({"NSE:INFY": {"instrument_token": 1, "lower": 1.5, "upper": 2}}, dict[str, k.TriggerRange]),
    "historical": ({"candles": [["2019-12-04T09:15:00+0530", 1, 2, 0.5, 1.5, 10, 20]]}, k.Candles),
    "basket": (
        {"initial": {"total": 1}, "final": {"total": 0.5}, "orders": [], "charges": {"total": 1}},
        k.BasketMargin,
    ),
    "note": ([{"quantity": 1, "charges": {"gst": {"total": 1}}}], tuple[k.ContractNote, ...]),
    "summary": ({"total_pnl": 1, "current_value": 2.5}, k.HoldingsSummary),
    "postback": ({"order_id": "1", "checksum": "", "unfilled_quantity": 0, "app_id": 3}, k.Postback),
}


@pytest.mark.parametrize("name", sorted(HELD_BACK))
def test_answers_that_the_documents_describe_are_read_as_well(name):
    data, kind = HELD_BACK[name]
    same(k.read(data, kind) if name != "historical" else k.read(data, kind).candles[0][0], data if name != "historical" else "2019-12-04T09:15:00+0530")  # fmt: skip


@given(st.binary(max_size=200) | st.from_regex(rb'\{"status":"success","data":[^"]{0,60}\}', fullmatch=True))
def test_any_bytes_are_read_or_bad_data(body):
    for kind in (k.OrderRow, tuple[k.TradeRow, ...], k.Positions, dict[str, k.QuoteRow]):
        with contextlib.suppress(BadData):
            k.decode(body, kind)


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=True) | st.text(max_size=9), lambda v: st.lists(v) | st.dictionaries(st.sampled_from(sorted(k.OrderRow.__struct_fields__)), v)))  # fmt: skip
def test_any_value_is_read_or_bad_data(value):
    for kind in (k.OrderRow, tuple[k.OrderRow, ...], k.Gtt, k.BasketMargin):
        with contextlib.suppress(BadData):
            k.read(value, kind)


def test_a_deep_body_is_bad_data():
    with pytest.raises(BadData, match="cannot be read"):
        k.decode(b'{"data":' + b"[" * 5000 + b"]" * 5000 + b"}", bool)


def test_an_error_body_is_no_success():
    with pytest.raises(BadData, match="no success"):
        k.decode(b'{"status":"error","data":null}', bool)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2021-05-31 09:16:39", ist_ns(dt.date(2021, 5, 31), dt.time(9, 16, 39))),
        ("2019-12-04T09:15:00+0530", ist_ns(dt.date(2019, 12, 4), dt.time(9, 15))),
        ("", None), (None, None), ("soon", None), ("0001-01-01 00:00:00", None), ("09:16:39", None),
    ],
)  # fmt: skip
def test_stamps(text, moment):
    assert k.stamp_ns(text) == moment


def test_a_time_alone_needs_its_day():
    day = dt.date(2021, 5, 31)
    assert k.stamp_ns("09:16:39", day) == ist_ns(day, dt.time(9, 16, 39))
