"""Every XTS sample beside the checkout is read by what the toolkit reads that call or event with."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from toolkit.brokers import xts_records as xr
from toolkit.brokers.xts_errors import classify, shape_of
from toolkit.brokers.xts_market import candles_of, listed_quotes
from toolkit.brokers.xts_master import index_rows, read_listed, read_master
from toolkit.brokers.xts_settings import looked_up
from toolkit.market import xts_text as xt
from toolkit.market.socketio import ClientSession, Event
from toolkit.market.xts_wire import decode_binary

ON = dt.date(2026, 6, 15)


def quotes(result):
    return [xt.decode_full(entry) for entry in listed_quotes(result)]


RESULTS = {
    "hostlookup": lambda r: looked_up(r["connectionString"]),
    "interactive_login_investor": xr.login_of,
    "interactive_login_dealer": xr.login_of,
    "interactive_logout": lambda r: r == "",
    "profile": xr.profile_of,
    "balance": xr.balances_of,
    "order_place": xr.placed_of,
    "order_modify": xr.placed_of,
    "order_cancel": xr.placed_of,
    "order_book": xr.order_rows,
    "order_history": xr.order_rows,
    "trade_book": xr.trade_rows,
    "dealer_order_book": xr.order_rows,
    "positions_daywise": xr.positions_of,
    "dealer_positions": xr.positions_of,
    "holdings": xr.holdings_of,
    "margin_details": xr.margin_of,
    "md_login": xr.market_login_of,
    "md_client_config": lambda r: {name: xt.segment_number(name) for name in r["exchangeSegments"]} == r["exchangeSegments"],
    "md_quotes_1502": quotes,
    "md_quotes_1510": quotes,
    "md_subscribe": quotes,
    "md_unsubscribe": lambda r: r["unsubList"],
    "md_master_nse": lambda r: read_master(r, ON)[0].height == 3,
    "md_ohlc": lambda r: candles_of(r["dataReponse"], 60),
    "md_indexlist": lambda r: index_rows(r["indexList"], "NSECM", ON).height == 5,
    "md_expiry_dates": lambda r: [dt.date.fromisoformat(text[:10]) for text in r],
    "md_option_symbol": lambda r: read_listed(r, ON)[0].height == 1,
    "md_search_by_id": lambda r: read_listed(r, ON)[0].height == 1,
}  # fmt: skip
ERRORS = {
    "error_invalid_token": ("order", "auth"),
    "error_no_data_orders": ("list", "empty"),
    "error_rate_limit": ("list", "retryable"),
    "error_client_not_mapped": ("list", "refused"),
    "error_already_subscribed": ("subscribe", "done"),
}


def names(shared):
    return sorted(path.stem for path in shared("fixtures", "xts").glob("*.json"))


def load(shared, name):
    return json.loads(shared("fixtures", "xts", f"{name}.json").read_text())


def read(found, name):
    """What the toolkit makes of a sample; raises, or gives something that is not empty."""
    if name in ERRORS:
        call, verdict = ERRORS[name]
        answer, _ = shape_of(found["http_status"], "application/json", json.dumps(found["body"]).encode())
        return classify(call, answer) == verdict
    if "body" in found:
        answer, result = shape_of(found["http_status"], "application/json", json.dumps(found["body"]).encode())
        assert answer.shape == "ok"
        return RESULTS[name](result)
    if "hex" in found:
        decoded = decode_binary(bytes.fromhex(found["hex"]))
        assert (decoded.bad, decoded.fault) == (0, "")
        return len(decoded.ticks) == len(found["expect"])
    if "frames" in found:
        session = ClientSession(3)
        heard = [
            h
            for side, kind, text in found["frames"]
            if side == "<"
            for h in session.receive(bytes.fromhex(text) if kind == "binary" else text, 0)
        ]
        return sum(isinstance(h, Event) for h in heard) == 9 and session.odd == 0
    if found["socket"] == "interactive":
        return xr.event_rows(found["event"], found["args"][0])
    code, form = xt.event_code(found["event"])
    return xt.decode_full(found["args"][0], code) if form == "full" else xt.decode_partial(code, found["args"][0])


def test_every_sample_is_read(shared):
    found = names(shared)
    assert len(found) >= 54
    unread = []
    for name in found:
        sample = load(shared, name)
        if "body" in sample and name not in RESULTS and name not in ERRORS:
            unread.append(f"{name}: nothing reads it")
        elif not read(sample, name):
            unread.append(f"{name}: read as nothing")
    assert unread == []


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_results_in_any_wrapping_are_the_same(shared, name):
    body = load(shared, name)["body"]
    plain = shape_of(200, "application/json", json.dumps(body).encode())
    for wrapped in ([body], {"data": body}, {k.title(): v for k, v in body.items()}):
        assert shape_of(200, "application/json", json.dumps(wrapped).encode()) == plain
