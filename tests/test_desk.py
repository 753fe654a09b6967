"""The desk: one object for paper in this process and for a running engine; interrupting it loses and doubles nothing."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import polars as pl
import pytest

import toolkit as tk
from toolkit.cli.app import run
from toolkit.config import Settings
from toolkit.desk_backends import Loop
from toolkit.errors import BadData, BadOrder, BadSetting, Refused, RiskDenied, ToolkitError, UnknownSymbol
from toolkit.serve.build import Plan, build
from toolkit.serve.client import encoded
from toolkit.serve.run import Server
from toolkit.types import OrdStatus

CE, PE = "NIFTY 14JUL2026 25450 CE", "NIFTY 14JUL2026 25450 PE"
QUICK = {
    "TOOLKIT_ENGINE__THROTTLE_PER_S": "500",
    "TOOLKIT_RISK__MAX_CANCELS_PER_S": "500",
    "TOOLKIT_RISK__DUPLICATE_WINDOW_S": "0",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    mark = pytest.MonkeyPatch()
    mark.setenv("TOOLKIT_HOME", str(tmp_path_factory.mktemp("desk-home")))
    for name, value in QUICK.items():
        mark.setenv(name, value)
    yield
    mark.undo()


@pytest.fixture(scope="module")
def local(home):
    """Paper in this process, with an account of its own."""
    with tk.desk(account="LOCAL") as desk:
        yield desk


@pytest.fixture(scope="module")
def remote(home):
    """The same on paper in an engine with an API."""
    loop, tree = Loop("test-engine"), Settings.load()

    async def start():
        server = Server(await build(Plan(), tree), tree, 0)
        await server.start()
        return server

    server = loop.wait(start)
    with tk.attach() as desk:
        desk.server = server
        yield desk
    loop.wait(server.stop)
    loop.stop()


@pytest.fixture(params=["local", "remote"])
def desk(request):
    return request.getfixturevalue(request.param)


def test_the_first_hour(desk):
    order = desk.place(tk.order(CE, "buy", lots=1, price=115))
    assert order.ord_status in (OrdStatus.NEW, OrdStatus.FILLED)
    next(
        e
        for e in desk.events(after=0)
        if e["cl_ord_id"] == order.cl_ord_id and e["payload"].get("exec_type") == "trade"
    )
    assert desk.order(order.cl_ord_id)["cum_qty"] == 65
    row = desk.positions().filter(pl.col("symbol") == CE).row(0, named=True)
    assert row["net_qty"] >= 65
    assert row["delta"] > 0
    assert desk.fills().height >= 1
    assert desk.pnl().row(0, named=True)["charges"] > 0
    assert desk.orders().filter(pl.col("cl_ord_id") == order.cl_ord_id)["ord_status"].to_list() == ["filled"]


def test_a_working_order_is_modified_and_cancelled(desk):
    order = desk.place(tk.order(CE, "buy", lots=1, price=70))
    assert desk.modify(order.cl_ord_id, price="71.05", order_qty=130).ord_status in (
        OrdStatus.NEW,
        OrdStatus.PENDING_REPLACE,
    )
    row = desk.orders().filter(pl.col("cl_ord_id") == order.cl_ord_id).row(0, named=True)
    assert (row["price"], row["order_qty"]) == (71.05, 130)
    assert desk.cancel(order.cl_ord_id).ord_status is OrdStatus.CANCELED
    events = desk.order(order.cl_ord_id)["events"]
    assert [e["kind"] for e in events][:1] == ["order"]


def test_the_same_id_is_the_same_order_and_never_a_second(desk):
    asked = tk.order(CE, "buy", lots=1, price=72, cl_ord_id=f"SAME{desk.accounts[0][:3]}")
    first = desk.place(asked)
    assert desk.place(asked).created_ns == first.created_ns
    with pytest.raises(BadOrder, match="is already another order"):
        desk.place(tk.order(CE, "buy", lots=2, price=72, cl_ord_id=asked.cl_ord_id))
    assert desk.orders().filter(pl.col("cl_ord_id") == asked.cl_ord_id).height == 1


def test_two_tabs_press_the_same_button(desk):
    presses = [f"TAB{desk.accounts[0][:3]}{n}" for n in range(20)]
    fields = [
        {"symbol": CE, "side": "BUY", "lots": 1, "price": f"{73 + n * 0.05:.2f}", "cl_ord_id": c}
        for n, c in enumerate(presses)
    ]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(desk.place, [f for f in fields for _ in range(2)]))
    assert len({(o.cl_ord_id, o.created_ns) for o in made}) == len(presses)
    held = desk.orders().filter(pl.col("cl_ord_id").is_in(presses))
    assert held.height == len(presses)


def test_every_book_is_a_polars_frame_also_when_empty(desk):
    for name in ("orders", "fills", "positions", "pnl", "greeks", "margin", "limits"):
        frame = getattr(desk, name)()
        assert isinstance(frame, pl.DataFrame), name
        assert frame.width > 3
    assert desk.reconcile().height == 0


def test_the_market_in_frames(desk):
    chain = desk.chain("NIFTY")
    assert {"strike", "ce_iv", "pe_delta", "forward", "expiry", "ce_theo"} <= set(chain.columns)
    assert chain["ce_iv"].drop_nulls().is_between(0.01, 2).all()
    view = desk.oi("NIFTY", base="15min")
    assert view.levels.height > 1
    assert view.levels["ts"].dtype.time_zone == "Asia/Kolkata"
    assert {"strike", "oi", "oi_change"} <= set(view.heat.columns)
    early = desk.oi("NIFTY", at="10:00")
    assert 0 < early.levels.height < view.levels.height


def test_scenarios_of_what_is_held(desk):
    desk.place(tk.order(CE, "buy", lots=1, price=115))
    grid = desk.scenarios(spot="-0.05,0,0.05", vol="0", days="0")
    assert grid.columns == ["move", "vol", "days", "pnl"]
    down, still, up = grid["pnl"].to_list()
    assert down < still < up
    assert abs(still) < 1.0
    with pytest.raises(BadData, match="numbers with commas"):
        desk.scenarios(spot="a lot")


def test_margin_of_an_order_and_a_preview(desk):
    asked = tk.order(PE, "sell", lots=1, price=90)
    assert desk.margin(asked)["total"][0] > 0
    found = desk.preview(asked)
    assert found["would_leave"] in (True, False)
    assert found["confirm"].startswith("SELL 65 ")
    assert found["expires_ns"] > 0
    assert desk.orders().filter(pl.col("symbol") == PE).height == 0


def test_the_plan_shows_the_orders_that_the_exchange_accepts(desk):
    (child,) = desk.plan(tk.order(CE, "buy", lots=30, price=70))["children"]
    assert (child["order_qty"], child["slices"], child["account"]) == (1950, [1755, 195], desk.accounts[0])
    assert desk.preview(tk.order(CE, "buy", lots=30, price=70))["plan"] == [1755, 195]
    (child,) = desk.plan(tk.order(CE, "buy", lots=1, price=70))["children"]
    assert child["slices"] == [65]


def test_the_plan_of_an_algorithm_and_of_legs(desk):
    plan = desk.plan(tk.order(CE, "buy", lots=4, price=70, algo="twap duration_s=60"))
    (child,) = plan["children"]
    assert (child["order_qty"], child["slices"], plan["algo"]) == (260, None, "twap duration_s=60")
    assert (plan["left_qty"], plan["ok"]) == (0, True)
    assert any(line.startswith(f"{desk.accounts[0]}@paper: 'twap'") for line in plan["why"])
    legs = [tk.order(CE, "buy", lots=30, price=70), tk.order(PE, "sell", lots=1, price=90)]
    plan = desk.plan(legs, policy={"fail": "unwind"})
    asked = [(c["symbol"], c["side"], c["order_qty"], c["account"]) for c in plan["children"]]
    assert asked == [(CE, "BUY", 1950, desk.accounts[0]), (PE, "SELL", 65, desk.accounts[0])]
    assert plan["algo"] == "legs"
    assert desk.orders().filter(pl.col("order_qty").is_in([1950, 260])).height == 0, "nothing is sent"
    with pytest.raises(BadOrder, match="takes 2 legs, was 1"):
        desk.plan(tk.order(CE, "buy", lots=1, price=70, algo="oco"))
    odd = desk.plan(tk.order(CE, "buy", 66, price=70, algo="twap duration_s=60"))
    assert (odd["children"], odd["left_qty"], odd["ok"]) == ([], 66, False)
    assert any("multiple of the lot 65, was 66" in line for line in odd["why"])


def test_events_are_gapless_and_iterate_both_ways(desk):
    events = desk.events(after=0)
    assert [next(events)["seq"] for _ in range(5)] == [1, 2, 3, 4, 5]

    async def some():
        found = []
        async for event in desk.events(after=2):
            found.append(event["seq"])
            if len(found) == 3:
                return found

    assert asyncio.run(some()) == [3, 4, 5]


def test_the_same_desk_for_asyncio(desk):
    async def both():
        return await asyncio.gather(desk.aio.positions(), desk.aio.place(tk.order(CE, "buy", lots=1, price=74)))

    positions, order = asyncio.run(both())
    assert positions.equals(desk.positions().select(positions.columns)) or positions.height
    assert order.ord_status is OrdStatus.NEW
    with pytest.raises(AttributeError):
        desk.aio.nothing  # noqa: B018


def test_halt_denies_and_resume_takes_orders_again(desk):
    desk.halt("a test")
    try:
        order = desk.place(tk.order(PE, "buy", lots=1, price=75))
        assert order.ord_status is OrdStatus.DENIED
        assert "a test" in order.text
    finally:
        desk.resume("the test is over")
    assert desk.place(tk.order(PE, "buy", lots=1, price=60)).ord_status is OrdStatus.NEW


def test_legs_become_a_parent_order(desk):
    parent = desk.place([tk.order(CE, "buy", lots=1, price=115), tk.order(PE, "buy", lots=1, price=115)])
    assert parent.request.order_qty == 130


def test_flatten_wants_the_account(desk):
    with pytest.raises(BadOrder, match="confirm="):
        desk.flatten(confirm="yes")


def test_the_mode_is_in_the_repr(local, remote):
    assert repr(local) == "Desk(PAPER, LOCAL, in this process)"
    assert repr(remote) == f"Desk(PAPER, PAPER, {remote.server.url})"
    assert "PAPER" in repr(remote.aio)


def test_a_cell_run_twice_is_the_same_engine(local):
    assert tk.desk(account="LOCAL") is local


def test_an_account_has_one_writer(remote):
    with pytest.raises(Refused, match="account PAPER at paper is held by process"):
        tk.desk()


NAN, INF = float("nan"), float("inf")
JUNK = {
    "symbol": ["", " ", "x" * 70, "A\x01B", "NIFTY 14JUL2026 25455 CE", "NIFTY 07JUL2020 25450 CE", 7, NAN, [CE]],
    "side": ["HOLD", "B", "buy sell", "", 1, True, NAN],
    "order_qty": [0, -1, 2.5, NAN, INF, 10**18, 10**30, "2.5", "1e30", "x", "", "1" * 400, True, [65], {}],
    "lots": [0, "-3", "NaN", "lots", -INF, 1.5, b"1"],
    "ord_type": ["MKT", "limited", "", 3],
    "price": [NAN, INF, -INF, 0, -1, 0.001, "NaN", "-inf", "1e400", "12x", "9" * 80, 10**18, True, [1], {}, b"85"],
    "stop_px": [NAN, -INF, "NaN", "0", "abc", {"a": 1}],
    "time_in_force": ["GTC", "", NAN],
    "product": ["XYZ", 5],
    "exchange": ["x" * 11, "MCX", "BSE", "", 4],
    "account": ["ZZ", "QQ", "x" * 41, "a\nb", 5],
    "broker": ["kyte", "", 5],
    "algo": ["twop", "zzz", "twap slice=3", "twap duration_s=0", "twap duration_s=nan", "twap x", "oco", "", 3],
    "order_source": ["x" * 21, "a\tb"],
    "cl_ord_id": ["a b", "ümlaut", "x" * 21, "../x", 7, ""],
    "note": ["two\nlines", "x" * 301, 5],
    "confirm": ["duplicat", 5, ["price"], ["duplicate"] * 3],
}
NUMBERS = ("order_qty", "lots", "price", "stop_px")
FLAGS = {"order_qty": "--qty", "ord_type": "--type"}


def refused(act) -> BadOrder:
    """What an act is refused with."""
    with pytest.raises(BadOrder) as caught:
        act()
    return caught.value


def alike(error, account: str = "PAPER") -> tuple[str, str, str, str]:
    """Rule, limit, value and text, one account's as another's."""
    told = (error.rule, error.limit, error.value, error) if isinstance(error, Exception) else error
    return tuple(str(one).replace(account, "PAPER") for one in told)


def answered(remote, method: str, path: str, body) -> tuple[str, str, str, str]:
    """The refusal as the API's body tells it, over HTTP."""
    error = json.loads(http(remote, method, path, body))["error"]
    return error["rule"], str(error["limit"]), str(error["value"]), error["text"]


def http(remote, method: str, path: str, body) -> bytes:
    server = remote.server
    headers = {"authorization": f"Bearer {server.tokens.path().read_text().strip()}"}
    kind = {"content-type": "application/json"}
    with httpx.Client(base_url=server.url, headers={**headers, **kind}, trust_env=False, timeout=20) as client:
        return client.request(method, path, content=encoded(body)).content


def typed(capsys, *words: str) -> tuple[int, str]:
    """Exit code and message of a command, which is one line."""
    code = run(["order", *words])
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1, said
    return code, said.removeprefix("toolkit: ")


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in JUNK.items() for v in values])
def test_every_field_is_refused_alike_through_every_door(local, remote, capsys, field, value):
    fields = {"symbol": CE, "side": "BUY", "order_qty": "65", "price": "70", field: value}
    if field == "lots":
        del fields["order_qty"]
    before = remote.orders().height
    there = alike(refused(lambda: remote.place(fields)))
    assert there[0].partition(".")[0] == field
    assert all(there), "rule, limit, value and text"
    assert alike(refused(lambda: local.place(fields)), "LOCAL") == there
    ticket = {"qty" if name == "order_qty" else name: one for name, one in fields.items()}
    assert alike(refused(lambda: local.place(tk.order(**ticket))), "LOCAL") == there
    assert alike(refused(lambda: remote.preview(fields if field == "algo" else [fields]))) == there, "or a leg of many"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(value, bytes) and (value == value or field in NUMBERS):  # which JSON can carry
        assert answered(remote, "POST", "/v1/orders", fields) == there
    if (isinstance(value, str) and field != "symbol") or (number and field in NUMBERS):
        words = [f"{FLAGS.get(k, '--' + k.replace('_', '-'))}={v}" for k, v in fields.items() if k != "symbol"]
        assert typed(capsys, "place", CE, *words) == (3, there[3])
    elif field == "symbol" and isinstance(value, str):
        assert typed(capsys, "place", value, "--side=BUY", "--qty=65", "--price=70") == (3, there[3])
    assert remote.orders().height == before, "nothing was placed"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbol", "NIFTY 14JUL2026 25455 CE"),
        ("exchange", "MCX"),
        ("account", "ZZ"),
        ("broker", "kite"),
        ("price", NAN),
    ],
)
def test_legs_and_algorithms_are_refused_as_one_order_is(local, remote, field, value):
    fields = {"symbol": CE, "side": "BUY", "lots": 1, "price": 70, field: value}
    for desk in (remote, local):
        before, own = desk.orders().height, desk.accounts[0]
        alone = alike(refused(lambda desk=desk: desk.place(fields)), own)
        assert alone[0] == field
        assert alike(refused(lambda desk=desk: desk.place({**fields, "algo": "iceberg show_lots=1"})), own) == alone
        legs = (
            [fields, {**fields, "symbol": PE}] if field in ("account", "broker") else [{**fields, field: None}, fields]
        )
        legs = [{"symbol": CE, **{k: v for k, v in leg.items() if v is not None}} for leg in legs]
        assert alike(refused(lambda desk=desk, legs=legs: desk.place(legs)), own) == alone
        assert desk.orders().height == before


def test_what_is_missing_too_much_or_no_order_is_refused_alike(local, remote):
    good = {"symbol": CE, "side": "BUY", "lots": 1, "price": 70}
    for body, rule in (
        ({**good, "lots": None}, "order_qty"),
        ({**good, "order_qty": 65}, "order_qty"),
        ({**good, "symbol": None}, "symbol"),
        ({**good, "side": None}, "side"),
        ({**good, "stoppx": 3}, "field"),
        ({"legs": [good, {**good, "price": NAN}]}, "price"),
        ({"legs": [good], "policy": {"fial": "keep"}}, "algo"),
        ({"legs": [good], "policy": {"timeout_s": NAN}}, "algo.timeout_s"),
        ({"legs": []}, "legs"),
    ):
        there = alike(refused(lambda body=body: remote.place(body)))
        assert there[0] == rule
        assert alike(refused(lambda body=body: local.place(body)), "LOCAL") == there
        assert answered(remote, "POST", "/v1/orders", body)[:1] == there[:1]
    for none in (None, 5, "order", [5], [None]):
        assert alike(refused(lambda none=none: remote.place(none))) == alike(
            refused(lambda none=none: local.place(none))
        )


CHANGES = [
    ({"order_qty": 66}, "lot"),
    ({"order_qty": 0}, "order_qty"),
    ({"order_qty": NAN}, "order_qty"),
    ({"order_qty": 65 * 41}, "freeze"),
    ({"price": 70.02}, "tick"),
    ({"price": 900}, "collar"),
    ({"price": NAN}, "price"),
    ({"price": -INF}, "price"),
    ({"price": "abc"}, "price"),
    ({"stop_px": NAN}, "stop_px"),
    ({}, "order_qty"),
]


@pytest.mark.parametrize(("change", "rule"), CHANGES)
def test_a_modification_is_refused_with_rule_limit_and_value_alike(local, remote, capsys, change, rule):
    def told_of(error, desk) -> tuple[str, ...]:
        """Without the market's figures, which differ from moment to moment."""
        told = alike(error, desk.accounts[0])
        return tuple(re.sub(r"\d[\d.]*", "N", one) for one in told) if rule == "collar" else told

    there = None
    for desk in (remote, local):
        order = desk.place(tk.order(CE, "buy", lots=1, price=70))
        with pytest.raises((BadOrder, RiskDenied)) as caught:
            desk.modify(order.cl_ord_id, **change)
        told = told_of(caught.value, desk)
        assert all(told)
        assert told == (there or told), "in this process as through the engine"
        there = there or told
        if desk is remote:
            path = f"/v1/orders/{order.cl_ord_id}"
            assert told_of(answered(remote, "PATCH", path, change), desk) == told
            words = [f"{FLAGS.get(k, '--' + k.replace('_', '-'))}={v}" for k, v in change.items()]
            code, said = typed(capsys, "modify", order.cl_ord_id, *words)
            assert (code, told_of(("", "", "", said), desk)[3]) == (3, told[3])
        assert desk.order(order.cl_ord_id)["price"] == 70.0
        desk.cancel(order.cl_ord_id)
        over = alike(denied(lambda desk=desk, name=order.cl_ord_id: desk.modify(name, price=71)), desk.accounts[0])
        assert over[0] == "ord_status"
        assert "was canceled" in over[3]
    assert there[0] == rule


def denied(act) -> RiskDenied:
    """What an act is denied with."""
    with pytest.raises(RiskDenied) as caught:
        act()
    return caught.value


@pytest.mark.parametrize("name", ["NOPE", "a/b", "..", "../halt", "a b", "x" * 70, "", NAN])
def test_an_id_that_no_order_has_is_refused_alike(local, remote, capsys, name):
    there = alike(refused(lambda: remote.cancel(name)))
    assert there[0] == "cl_ord_id"
    for desk in (remote, local):
        assert alike(refused(partial(desk.cancel, name))) == there
        assert alike(refused(partial(desk.order, name))) == there
        assert alike(refused(partial(desk.modify, name, price=71))) == there
        assert alike(refused(partial(desk.resend, name, confirm="x"))) == there
    if isinstance(name, str):
        assert typed(capsys, "cancel", name) == (3, there[3])


@pytest.mark.parametrize("qty", [66, 65 * 41, 1_700_000])
def test_what_the_rules_deny_says_rule_limit_and_value_alike(remote, capsys, qty):
    fields = {"symbol": CE, "side": "BUY", "order_qty": qty, "price": "70"}
    row = json.loads(http(remote, "POST", "/v1/orders", fields))
    order = remote.place(fields)
    code = run(["order", "place", CE, "--side", "BUY", "--qty", str(qty), "--price", "70", "--json"])
    said, typed_row = (out := capsys.readouterr()).err, json.loads(out.out)
    assert typed_row["denials"] == row["denials"]
    assert (row["ord_status"], order.ord_status, code) == ("denied", OrdStatus.DENIED, 3)
    assert row["text"] == order.text
    assert order.text in said
    assert all({"rule", "limit", "value", "text"} == set(d) for d in row["denials"])


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (
            lambda d: d.place({"symbol": "NIFTY 14JUL2026 25455 CE", "side": "BUY", "lots": 1, "price": 1}),
            UnknownSymbol,
        ),
        (lambda d: d.place({"symbol": CE, "side": "BUY", "lots": 1, "price": 70, "account": "OTHER"}), BadOrder),
        (lambda d: d.place({"symbol": CE, "side": "BUY", "lots": 1, "price": 70, "broker": "kite"}), BadOrder),
        (lambda d: d.cancel("NOPE"), BadData),
        (lambda d: d.order("NOPE"), BadData),
        (lambda d: d.chain("NIFTI"), UnknownSymbol),
        (lambda d: d.chain("NIFTY", "2020-01-01"), BadData),
        (lambda d: d.oi("NIFTY", at="noon"), BadData),
    ],
)
def test_errors_are_the_same_classes_here_and_there(local, remote, what, kind):
    said = []
    for one in (local, remote):
        with pytest.raises(kind) as caught:
            what(one)
        said.append(str(caught.value).replace("LOCAL", "PAPER"))
        assert isinstance(caught.value, ToolkitError)
    assert said[0] == said[1]


def test_what_does_not_go_together_is_refused():
    for words in ({"live": "X"}, {"broker": "kite", "session": "x"}):
        with pytest.raises(BadSetting):
            tk.desk(**words)
    with pytest.raises(Refused, match="live=ACCOUNT, typed in full, starts one"):
        tk.desk("kite")
    with pytest.raises(BadData, match="http on this machine or https elsewhere"):
        tk.attach("http://10.0.0.1:8700", token="x")


def test_waiting_may_be_interrupted_and_the_call_goes_on():
    loop, began, go, done = Loop("test"), threading.Event(), threading.Event(), threading.Event()

    async def work():
        began.set()
        await asyncio.to_thread(go.wait, 10)
        done.set()
        return 7

    future = loop.submit(work)
    assert began.wait(10)
    with pytest.raises(TimeoutError):
        future.result(0)  # as a Ctrl-C would: the waiter is gone
    go.set()
    assert done.wait(10)
    assert future.result(10) == 7
    loop.stop()
    loop.stop()


def test_denied_is_not_an_exception_but_a_refused_act_is(desk):
    with pytest.raises((Refused, RiskDenied, BadData)):
        desk.modify("NOPE", price=1)
