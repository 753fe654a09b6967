"""The official KiteConnect and KiteTicker, unchanged, against the simulated Kite: is our simulator honest?

The clients run in processes of their own: the official package installs Twisted's reactor when it
is imported, and a reactor cannot be started twice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import httpx
import pytest

SYMBOL = "NIFTY2671425500CE"
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("TOOLKIT_") or k == "TOOLKIT_HOME"}
PRELUDE = """
import datetime as dt, json, sys, threading
from kiteconnect import KiteConnect, KiteTicker
ready = json.loads(sys.argv[1])
env = ready["env"]
key, token, root = env["TOOLKIT_KITE__API_KEY"], env["TOOLKIT_KITE__ACCESS_TOKEN"], env["TOOLKIT_KITE__ROOT"]
kite = KiteConnect(key, token, root=root)
out = {}
def error(call, *args, **kwargs):
    try:
        return ["no error", call(*args, **kwargs)]
    except Exception as problem:
        return [type(problem).__name__, str(problem), getattr(problem, "code", None)]
def done():
    print(json.dumps(out, default=str))
"""


def start(tmp_path, *options):
    """A simulated Kite as a user starts it; gives the process and its ready line."""
    words = [
        sys.executable,
        "-m",
        "toolkit",
        "sim",
        "kite",
        "--at",
        "11:05",
        "--speed",
        "0",
        "--record",
        str(tmp_path / "record.jsonl"),
        *options,
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN)
    line = process.stdout.readline()
    if not line:
        pytest.fail(process.stderr.read())
    return process, json.loads(line)


def stop(process):
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    process, line = start(tmp_path_factory.mktemp("sim"), "--profile", "unlimited", "--funds", "1000000")
    yield line
    stop(process)


def client(line, script, timeout=60):
    """Run a script with the official client against a server; gives what it put into ``out``."""
    text = PRELUDE + textwrap.dedent(script) + "\ndone()\n"
    env = {**CLEAN, "NO_PROXY": "127.0.0.1,localhost", "TZ": "Asia/Kolkata"}
    done = subprocess.run(
        [sys.executable, "-c", text, json.dumps(line)], capture_output=True, text=True, timeout=timeout, env=env
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def control(line, method, name, body=None):
    reply = httpx.request(method, f"{line['url']}/__sim/{name}", json=body, timeout=10, trust_env=False)
    assert reply.status_code == 200, reply.text
    return reply.json()


def shapes(ours, mock, where="data"):
    """Every field of the mock is in ours, with the same kind of value where both know one."""
    if isinstance(mock, dict):
        assert isinstance(ours, dict), where
        missing = set(mock) - set(ours)
        assert not missing, f"{where}: {missing}"
        for name, value in mock.items():
            shapes(ours[name], value, f"{where}.{name}")
    elif isinstance(mock, list):
        assert isinstance(ours, list), where
        if mock and ours:
            shapes(ours[0], mock[0], f"{where}[0]")
    elif mock is not None and ours is not None:
        numbers = (int, float)
        same = type(ours) is type(mock) or (isinstance(ours, numbers) and isinstance(mock, numbers))
        assert same, f"{where}: {ours!r} against {mock!r}"


REST = f"""
out["profile"] = kite.profile()
instruments = kite.instruments()
out["count"], out["nfo"] = len(instruments), len(kite.instruments("NFO"))
out["option"] = next(i for i in instruments if i["tradingsymbol"] == "{SYMBOL}")
name = "NFO:{SYMBOL}"
out["quote"] = kite.quote(name, "NSE:NIFTY 50", "NFO:NOPE")
out["ohlc"], out["ltp"] = kite.ohlc(name), kite.ltp(name, "BSE:SENSEX")
out["range"] = kite.trigger_range("BUY", name)
token = out["option"]["instrument_token"]
day = dt.datetime(2026, 7, 13, 9, 15), dt.datetime(2026, 7, 13, 15, 30)
out["candles"] = kite.historical_data(token, *day, "15minute", oi=True)
ltp = out["quote"][name]["last_price"]
def place(side="BUY", price=ltp - 20, **more):
    return kite.place_order("regular", "NFO", "{SYMBOL}", side, 65, "NRML", "LIMIT", price=price, **more)
resting = place(tag="mine1")
kite.modify_order("regular", resting, price=ltp - 21, quantity=130)
out["modified"] = kite.order_history(resting)
out["cancelled"] = kite.cancel_order("regular", resting)
out["history"] = kite.order_history(resting)
filled = kite.place_order("regular", "NFO", "{SYMBOL}", "BUY", 65, "NRML", "MARKET", market_protection=-1)
out["filled"], out["orders"] = filled, kite.orders()
out["order_trades"], out["trades"] = kite.order_trades(filled), kite.trades()
out["positions"] = kite.positions()
out["converted"] = kite.convert_position("NFO", "{SYMBOL}", "BUY", "day", 65, "NRML", "MIS")
out["positions_after"] = kite.positions()
out["margins"], out["equity"] = kite.margins(), kite.margins("equity")
out["holdings"], out["auctions"] = kite.holdings(), kite.get_auction_instruments()
leg = dict(exchange="NFO", tradingsymbol="{SYMBOL}", transaction_type="SELL", variety="regular", product="NRML", order_type="MARKET", quantity=65, price=0, trigger_price=0)
out["order_margins"] = kite.order_margins([leg])
out["basket"] = kite.basket_order_margins([leg], mode="compact")
out["note"] = kite.get_virtual_contract_note([dict(leg, order_id="1", average_price=100.05)])
out["autoslice"] = kite.place_autoslice_order("regular", "NFO", "{SYMBOL}", "BUY", 65 * 60, "NRML", "LIMIT", price=1.0)
out["iceberg"] = kite.place_order("iceberg", "NFO", "{SYMBOL}", "BUY", 260, "NRML", "LIMIT", price=1.0, iceberg_legs=2, iceberg_quantity=130)
out["iceberg_row"] = kite.order_history(out["iceberg"])[-1]
gtt_leg = dict(exchange="NFO", tradingsymbol="{SYMBOL}", transaction_type="SELL", quantity=65, order_type="LIMIT", product="NRML", price=200.0)
single = kite.place_gtt(kite.GTT_TYPE_SINGLE, "{SYMBOL}", "NFO", [200.0], ltp, [gtt_leg])["trigger_id"]
oco = kite.place_gtt(kite.GTT_TYPE_OCO, "{SYMBOL}", "NFO", [1.0, 200.0], ltp, [gtt_leg, gtt_leg])["trigger_id"]
out["gtts"], out["gtt"] = kite.get_gtts(), kite.get_gtt(oco)
out["gtt_modified"] = kite.modify_gtt(single, kite.GTT_TYPE_SINGLE, "{SYMBOL}", "NFO", [210.0], ltp, [gtt_leg])
out["gtt_deleted"], out["gtts_left"] = kite.delete_gtt(single), kite.get_gtts()
out["errors"] = {{
    "lot": error(kite.place_order, "regular", "NFO", "{SYMBOL}", "BUY", 66, "NRML", "LIMIT", price=1.0),
    "tick": error(place, price=100.03),
    "freeze": error(kite.place_order, "regular", "NFO", "{SYMBOL}", "BUY", 1820, "NRML", "LIMIT", price=1.0),
    "market": error(kite.place_order, "regular", "NFO", "{SYMBOL}", "BUY", 65, "NRML", "MARKET"),
    "slm": error(kite.place_order, "regular", "NFO", "{SYMBOL}", "BUY", 65, "NRML", "SL-M", trigger_price=1.0, market_protection=1),
    "funds": error(kite.place_order, "regular", "NFO", "{SYMBOL}", "BUY", 1755, "NRML", "LIMIT", price=5000.0),
    "tag": error(place, tag="x" * 21),
    "cancel": error(kite.cancel_order, "regular", filled),
    "interval": error(kite.historical_data, token, *day, "2minute"),
    "route": error(kite.mf_orders),
}}
hooked = []
kite.set_session_expiry_hook(lambda: hooked.append(1))
bad = KiteConnect(key, "wrong", root=root)
bad.set_session_expiry_hook(lambda: hooked.append(1))
out["bad_token"] = error(bad.profile)
out["hooked"] = len(hooked)
"""


@pytest.fixture(scope="module")
def rest(ready):
    return client(ready, REST)


@pytest.fixture(scope="module")
def mock(shared):
    return lambda name: json.loads(shared("fixtures", "kite", f"{name}.json").read_text())["data"]


def test_profile(rest, mock):
    shapes(rest["profile"], mock("profile"))
    assert rest["profile"]["user_id"] == "SIM001"


def test_instruments(rest):
    assert rest["count"] == 490
    assert 0 < rest["nfo"] < rest["count"]
    option = rest["option"]
    assert option["instrument_token"] == int(option["exchange_token"]) * 256 + 2
    assert (option["expiry"], option["strike"], option["lot_size"], option["tick_size"]) == (
        "2026-07-14",
        25500.0,
        65,
        0.05,
    )


def test_quotes(rest, mock):
    name = f"NFO:{SYMBOL}"
    assert set(rest["quote"]) == {name, "NSE:NIFTY 50"}
    shapes(rest["quote"][name], mock("quote")["NSE:INFY"])
    shapes(rest["ohlc"][name], mock("ohlc")["NSE:INFY"])
    assert set(rest["ltp"]) == {name, "BSE:SENSEX"}
    assert rest["ltp"][name]["last_price"] == rest["quote"][name]["last_price"] > 0
    assert set(rest["range"][name]) == {"instrument_token", "lower", "upper"}


def test_candles(rest):
    made = rest["candles"]
    assert [c["date"] for c in made[:2]] == ["2026-07-13 09:15:00+05:30", "2026-07-13 09:30:00+05:30"]
    assert len(made) == 8
    assert all(c["low"] <= min(c["open"], c["close"]) <= max(c["open"], c["close"]) <= c["high"] for c in made)
    assert all(c["oi"] > 0 and c["volume"] > 0 for c in made)


def test_an_orders_life(rest, mock):
    new = ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN"]
    changed = ["MODIFY VALIDATION PENDING", "MODIFY PENDING", "MODIFIED", "OPEN"]
    assert [row["status"] for row in mock("order_info")] == new + changed
    assert [row["status"] for row in rest["modified"]] == new + changed
    assert [row["status"] for row in rest["history"]] == [*new, *changed, "CANCEL PENDING", "CANCELLED"]
    shapes(rest["history"], mock("order_info"))
    last = rest["history"][-1]
    assert (last["tag"], last["quantity"], last["cancelled_quantity"], last["modified"]) == ("mine1", 130, 130, True)
    assert last["order_timestamp"] == "2026-07-13 11:05:00"


def test_a_protected_market_order(rest, mock):
    shapes(rest["orders"], mock("orders"))
    row = next(row for row in rest["orders"] if row["order_id"] == rest["filled"])
    assert (row["status"], row["order_type"], row["market_protection"]) == ("COMPLETE", "LIMIT", 0)
    assert row["tags"][0] == "mktp"
    assert len(rest["filled"]) == 19
    assert rest["filled"].isdigit()


def test_trades(rest, mock):
    shapes(rest["trades"], mock("trades"))
    shapes(rest["order_trades"], mock("order_trades"))
    assert sum(trade["quantity"] for trade in rest["order_trades"]) == 65


def test_positions_and_conversion(rest):
    (row,) = rest["positions"]["net"]
    assert (row["quantity"], row["product"], row["tradingsymbol"]) == (65, "NRML", SYMBOL)
    assert row["value"] == pytest.approx(row["sell_value"] - row["buy_value"])
    assert rest["positions"]["day"] == rest["positions"]["net"]
    assert rest["converted"] is True
    assert [(r["product"], r["quantity"]) for r in rest["positions_after"]["net"]] == [("MIS", 65)]
    assert rest["holdings"] == rest["auctions"] == []


def test_funds(rest, mock):
    shapes(rest["margins"], mock("margins"))
    shapes(rest["equity"], mock("margins_equity"))
    spent = rest["order_trades"][0]["average_price"] * 65
    assert rest["equity"]["net"] == pytest.approx(1_000_000 - spent)


def test_order_and_basket_margins(rest, mock):
    shapes(rest["order_margins"], mock("order_margins"))
    assert rest["order_margins"][0]["span"] > 50_000
    assert set(rest["basket"]) == {"initial", "final", "orders", "charges"}
    assert rest["basket"]["final"]["total"] < rest["basket"]["orders"][0]["total"]
    assert rest["note"][0]["price"] == 100.05
    shapes(rest["note"][0]["charges"], mock("order_margins")[0]["charges"])


def test_slices_and_icebergs(rest, mock):
    shapes(rest["autoslice"], mock("autoslice_response"))
    assert len(rest["autoslice"]["children"]) == 3
    assert rest["iceberg_row"]["meta"]["iceberg"] == {
        "leg": 1,
        "legs": 2,
        "leg_quantity": 130,
        "total_quantity": 260,
        "remaining_quantity": 130,
    }


def test_triggers(rest, mock):
    shapes(rest["gtts"], mock("gtt_get_orders"))
    assert (rest["gtt"]["type"], len(rest["gtt"]["orders"])) == ("two-leg", 2)
    assert rest["gtt_modified"] == rest["gtt_deleted"]
    assert [row["id"] for row in rest["gtts_left"]] == [rest["gtt"]["id"]]


@pytest.mark.parametrize(
    ("name", "kind", "says", "code"),
    [
        ("lot", "InputException", "lot size", 400),
        ("tick", "InputException", "Tick size", 400),
        ("freeze", "InputException", "freeze quantity of 1800", 400),
        ("market", "InputException", "without market protection", 400),
        ("slm", "InputException", "SL-M", 400),
        ("funds", "GeneralException", "Insufficient funds. Required margin is", 400),
        ("tag", "InputException", "tag", 400),
        ("cancel", "OrderException", "already COMPLETE", 400),
        ("interval", "InputException", "invalid interval", 400),
        ("route", "GeneralException", "Route not found", 404),
    ],
)
def test_refusals_as_the_client_raises_them(rest, name, kind, says, code):
    found = rest["errors"][name]
    assert (found[0], found[2]) == (kind, code)
    assert says in found[1]


def test_a_wrong_token_calls_the_expiry_hook(rest):
    assert rest["bad_token"] == ["TokenException", "Token is invalid or has expired.", 403]
    assert rest["hooked"] == 1


def test_login_and_logout(ready):
    request = control(ready, "POST", "login")["request_token"]
    out = client(
        ready,
        f"""
        fresh = KiteConnect(key, root=root)
        out["wrong"] = error(fresh.generate_session, "{request}", "wrong secret")
        made = fresh.generate_session("{request}", ready["api_secret"])
        out["made"], out["user"] = made, fresh.profile()["user_id"]
        out["again"] = error(fresh.generate_session, "{request}", ready["api_secret"])
        out["login_url"] = fresh.login_url()
        out["renew"] = error(fresh.renew_access_token, "x", ready["api_secret"])
        """,
    )
    assert out["wrong"][:2] == ["TokenException", "Invalid `checksum`."]
    assert out["made"]["access_token"] == ready["env"]["TOOLKIT_KITE__ACCESS_TOKEN"]
    assert out["made"]["login_time"].startswith("2026-07-13")
    assert out["user"] == "SIM001"
    assert out["again"][0] == "TokenException"
    assert out["renew"][0] == "PermissionException"


TICKER = """
got = {"ticks": [], "orders": [], "errors": [], "closed": [], "reconnects": []}
first, updated, refused = threading.Event(), threading.Event(), threading.Event()
def on_ticks(ws, ticks):
    got["ticks"] += ticks
    modes = {(t["instrument_token"], t["mode"]) for t in got["ticks"]}
    if {(tokens[0], "full"), (256265, "full"), (tokens[1], "quote"), (tokens[2], "ltp")} <= modes:
        first.set()
def on_connect(ws, response):
    ws.subscribe(tokens + [256265])
    ws.set_mode(ws.MODE_FULL, [tokens[0], 256265])
    ws.set_mode(ws.MODE_LTP, [tokens[2]])
def on_order(ws, data):
    got["orders"].append(data)
    if len(got["orders"]) == 3:
        updated.set()
def on_error(ws, code, reason):
    got["errors"].append([code, str(reason)])
    if "limit" in str(reason):
        refused.set()
options = [i for i in kite.instruments("NFO") if i["instrument_type"] in ("CE", "PE") and i["name"] == "NIFTY"]
name = options[40]["tradingsymbol"]
tokens = [options[40]["instrument_token"], options[41]["instrument_token"], options[42]["instrument_token"]]
ticker = KiteTicker(key, token, root=env["TOOLKIT_KITE__WS_ROOT"])
ticker.on_ticks, ticker.on_connect, ticker.on_order_update, ticker.on_error = on_ticks, on_connect, on_order, on_error
ticker.connect(threaded=True)
out["first"] = first.wait(20)
out["quote"] = kite.quote(f"NFO:{name}")[f"NFO:{name}"]
order = kite.place_order("regular", "NFO", name, "BUY", 65, "NRML", "LIMIT", price=1.0)
kite.modify_order("regular", order, price=2.0)
kite.cancel_order("regular", order)
kite.place_order("regular", "NFO", name, "BUY", 65, "NRML", "MARKET", market_protection=-1)
out["updated"] = updated.wait(20)
from twisted.internet import reactor
reactor.callFromThread(ticker.subscribe, list(range(1_000_000, 1_003_001)))
out["refused"] = refused.wait(20)
out["connected"] = ticker.is_connected()
ticker.close()
got["ticks"] = got["ticks"][:50]
out["got"], out["tokens"], out["order"] = got, tokens, order
"""


@pytest.fixture(scope="module")
def ticker(ready):
    return client(ready, TICKER)


def test_the_ticker_gets_every_mode(ticker):
    assert ticker["first"]
    by_mode = {(t["instrument_token"], t["mode"]): t for t in ticker["got"]["ticks"]}
    full, quote = by_mode[ticker["tokens"][0], "full"], ticker["quote"]
    for theirs, ours in (
        ("last_price", "last_price"),
        ("volume_traded", "volume"),
        ("average_traded_price", "average_price"),
        ("oi", "oi"),
        ("ohlc", "ohlc"),
        ("depth", "depth"),
        ("total_buy_quantity", "buy_quantity"),
    ):
        assert full[theirs] == quote[ours], theirs
    assert full["exchange_timestamp"] == quote["timestamp"]
    index = by_mode[256265, "full"]
    assert index["tradable"] is False
    assert index["exchange_timestamp"].startswith("2026-07-13 11:0")
    assert set(by_mode[ticker["tokens"][2], "ltp"]) == {"tradable", "mode", "instrument_token", "last_price"}
    assert "depth" not in by_mode[ticker["tokens"][1], "quote"]


def test_the_ticker_hears_of_orders(ticker):
    assert ticker["updated"]
    told = [(u["status"], u["order_id"] == ticker["order"]) for u in ticker["got"]["orders"]]
    assert told[:3] == [("UPDATE", True), ("CANCELLED", True), ("COMPLETE", False)]
    assert {"user_id", "app_id", "unfilled_quantity", "checksum"} <= set(ticker["got"]["orders"][0])


def test_too_many_tokens_are_an_error_not_a_drop(ticker):
    assert ticker["refused"]
    assert ticker["connected"]
    assert any("3000" in reason for _, reason in ticker["got"]["errors"])


def test_the_ticker_comes_back_after_a_reset_and_subscribes_again(ready):
    out = client(
        ready,
        """
        import urllib.request
        opened, ticks = [], []
        again = threading.Event()
        def on_connect(ws, response):
            opened.append(1)
            if len(opened) == 1:
                ws.subscribe([256265])
        def on_ticks(ws, made):
            if len(opened) == 2:
                again.set()
        ticker = KiteTicker(key, token, root=env["TOOLKIT_KITE__WS_ROOT"])
        first = threading.Event()
        ticker.on_connect, ticker.on_ticks = on_connect, lambda ws, made: (first.set(), on_ticks(ws, made))
        ticker.connect(threaded=True)
        out["first"] = first.wait(20)
        call = urllib.request.Request(root + "/__sim/drop", data=b"{}", method="POST")
        out["dropped"] = json.loads(urllib.request.urlopen(call).read())["dropped"]
        out["again"] = again.wait(20)
        ticker.close()
        """,
    )
    assert out == {"first": True, "dropped": 1, "again": True}


def test_a_dead_token_is_refused_at_the_handshake(ready):
    out = client(
        ready,
        """
        closed, told = threading.Event(), []
        ticker = KiteTicker(key, "wrong", root=env["TOOLKIT_KITE__WS_ROOT"])
        ticker.on_close = lambda ws, code, reason: (told.append([code, str(reason)]), closed.set())
        ticker.on_error = lambda ws, code, reason: None
        ticker.connect(threaded=True)
        out["closed"] = closed.wait(20)
        ticker.stop_retry()
        out["told"] = told[0]
        """,
    )
    assert out["closed"]
    assert out["told"][0] == 1006
    assert "403" in out["told"][1]


def test_limits_of_production(tmp_path):
    process, line = start(tmp_path)
    try:
        out = client(
            line,
            f"""
            out["quotes"] = [error(kite.ltp, "NSE:NIFTY 50") for _ in range(2)]
            orders = [error(kite.place_order, "regular", "NFO", "{SYMBOL}", "BUY", 66, "NRML", "LIMIT", price=1.0) for _ in range(14)]
            out["orders"] = orders
            """,
        )
    finally:
        stop(process)
    assert out["quotes"][0][0] == "no error"
    assert out["quotes"][1] == ["NetworkException", "Too many requests", 429]
    kinds = [found[0] for found in out["orders"]]
    assert kinds == ["InputException"] * 10 + ["NetworkException"] * 4


FAULTS = """
import urllib.request
quick = KiteConnect(key, token, root=root, timeout=0.5)
def control(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    urllib.request.urlopen(urllib.request.Request(f"{root}/__sim/{path}", data=data, method=method)).read()
def under(fault, call, *args, **kwargs):
    control("POST", "faults", {"text": fault})
    found = error(call, *args, **kwargs)
    control("DELETE", "faults")
    return [*found[:1], found[2] if len(found) > 2 else None, type(found[1]).__name__]
def chosen(fault):
    return quick if fault.startswith(("hang", "no-reply", "delay")) else kite
out["reads"] = {fault: under(fault, chosen(fault).profile) for fault in READS}
def place(client):
    return client.place_order("regular", "NFO", SYMBOL, "BUY", 65, "NRML", "LIMIT", price=1.0)
out["orders"] = {}
for fault in ORDERS:
    before = len(kite.orders())
    outcome = under(fault, place, chosen(fault))
    out["orders"][fault] = [outcome[0], len(kite.orders()) - before]
out["empty quote"] = (control("POST", "faults", {"text": "empty-quote#1"}), kite.quote("NSE:NIFTY 50"))[1]
"""
READS = {
    "status:400": ("InputException", 400),
    "status:401": ("TokenException", 401),
    "status:403": ("TokenException", 403),
    "status:429,retry-after=1": ("NetworkException", 429),
    "status:500": ("GeneralException", 500),
    "status:503": ("NetworkException", 503),
    "status:504": ("NetworkException", 504),
    "html:502": ("DataException", 502),
    "failure-200": ("GeneralException", 200),
    "no-error-type": ("TypeError", None),
    "redirect": ("DataException", 502),
    "empty": ("DataException", 502),
    "truncated": ("DataException", 502),
    "charset": ("no error", None),
    "no-content-type": ("KeyError", None),
    "list": ("AttributeError", None),
    "short": ("ChunkedEncodingError", None),
    "cut-before": ("ConnectionError", None),
    "cut-after": ("ConnectionError", None),
    "hang": ("ReadTimeout", None),
    "no-reply": ("ReadTimeout", None),
    "delay:1": ("ReadTimeout", None),
    "chunked": ("no error", None),
    "big:10": ("no error", None),
}
ORDERS = {
    "cut-before": ("ConnectionError", 0),
    "cut-after": ("ConnectionError", 1),
    "hang": ("ReadTimeout", 0),
    "no-reply": ("ReadTimeout", 1),
    "delay:1": ("ReadTimeout", 1),
    "html:502": ("DataException", 0),
    "html:502,after": ("DataException", 1),
    "status:503,after": ("NetworkException", 1),
    "truncated": ("DataException", 1),
    "no-content-type": ("KeyError", 1),
    "status:429": ("NetworkException", 0),
    "chunked": ("no error", 1),
}


@pytest.fixture(scope="module")
def faults(ready):
    return client(ready, f"SYMBOL, READS, ORDERS = {SYMBOL!r}, {list(READS)!r}, {list(ORDERS)!r}\n" + FAULTS)


@pytest.mark.parametrize("fault", READS)
def test_what_the_official_client_makes_of_each_fault(faults, fault):
    kind, code, _ = faults["reads"][fault]
    assert (kind, code) == READS[fault]


@pytest.mark.parametrize("fault", ORDERS)
def test_an_error_at_the_client_does_not_tell_whether_the_order_stands(faults, fault):
    assert tuple(faults["orders"][fault]) == ORDERS[fault]


def test_quotes_may_come_back_empty(faults):
    assert faults["empty quote"] == {}
