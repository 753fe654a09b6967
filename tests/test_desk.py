"""The desk: one object for paper in this process and for a running engine; interrupting it loses and doubles nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

import toolkit as tk
from toolkit.cli.app import run
from toolkit.config import Settings
from toolkit.desk_backends import Loop
from toolkit.errors import BadData, BadOrder, BadSetting, Refused, RiskDenied, ToolkitError, UnknownSymbol
from toolkit.serve.build import Plan, build
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


JUNK = [
    ("order_qty", [0, -1, "2.5", "NaN", "inf", "1e30", "x", "", "1" * 400]),
    ("lots", [0, "-3", "NaN", "lots"]),
    ("price", ["NaN", "-inf", 0, "-1", "0.001", "1e400", "12x", "9" * 80]),
    ("stop_px", ["NaN", "0", "abc"]),
    ("side", ["HOLD", "B", "buy sell"]),
    ("ord_type", ["MKT", "limited"]),
    ("time_in_force", ["GTC"]),
    ("product", ["XYZ"]),
    ("cl_ord_id", ["a b", "ümlaut", "x" * 21, "../x"]),
    ("symbol", ["x" * 70, "A\x01B"]),
    ("exchange", ["x" * 11]),
    ("note", ["two\nlines", "x" * 301]),
]


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in JUNK for v in values])
def test_every_field_is_refused_alike_through_python_api_and_cli(remote, capsys, field, value):
    fields = {"symbol": CE, "side": "BUY", "order_qty": "65", "price": "70", field: value}
    if field == "lots":
        del fields["order_qty"]
    before = remote.orders().height
    with pytest.raises(BadOrder) as caught:
        remote.place(fields)
    python = caught.value
    server = remote.server
    answer = json.loads(_post(server, fields))["error"]
    flags = {"order_qty": "--qty", "ord_type": "--type"}
    words = [
        w for k, v in fields.items() if k != "symbol" for w in (f"{flags.get(k, '--' + k.replace('_', '-'))}={v}",)
    ]
    code = run(["order", "place", fields["symbol"], *words])
    said = capsys.readouterr().err.strip()
    assert (answer["rule"], answer["limit"], answer["value"]) == (python.rule, python.limit, python.value)
    assert python.rule == field
    assert said == f"toolkit: {python}" == f"toolkit: {answer['text']}"
    assert code == 3
    assert remote.orders().height == before


def _post(server, fields) -> bytes:
    import httpx

    headers = {"authorization": f"Bearer {server.tokens.path().read_text().strip()}"}
    return httpx.post(f"{server.url}/v1/orders", json=fields, headers=headers, trust_env=False, timeout=20).content


@pytest.mark.parametrize("qty", [66, 65 * 41, 1_700_000])
def test_what_the_rules_deny_says_rule_limit_and_value_alike(remote, capsys, qty):
    fields = {"symbol": CE, "side": "BUY", "order_qty": qty, "price": "70"}
    row = json.loads(_post(remote.server, fields))
    order = remote.place(fields)
    code = run(["order", "place", CE, "--side", "BUY", "--qty", str(qty), "--price", "70"])
    said = capsys.readouterr().err
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
