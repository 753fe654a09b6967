from __future__ import annotations

import datetime as dt

import pytest

from toolkit.brokers.act import Act, journal_path
from toolkit.cli.order import exit_code
from toolkit.errors import BadData, Refused
from toolkit.orders.live import LiveEngine
from toolkit.orders.settings import EngineSettings
from toolkit.orders.words import order_json
from toolkit.risk.limits import Limits
from toolkit.store.journal import Journal, verify_file
from toolkit.store.lease import Lease
from toolkit.types import Modify, OrderRequest, OrdStatus, OrdType, Side

CE = "NIFTY 14JUL2026 25000 CE"
QUICK = EngineSettings(poll_s=0.01, answer_s=0.1)


class Rig:
    """A simulated Kite and acts on it, one after the other, as from a shell."""

    def __init__(self, sim, folder):
        self.sim = sim
        self.folder = folder
        self.limits = Limits()
        self.engine = QUICK

    def open(self, account="SIM001", **more):
        self.broker = self.sim.broker(total_s=4.0, read_s=1.0)
        fields = {"limits": self.limits, "engine": self.engine, "clock": self.broker.clock, "folder": self.folder}
        return Act(LiveEngine(self.broker, account, realm=self.sim.root, **{**fields, **more}))

    async def place(self, **more):
        async with self.open() as act:
            fields = {
                "symbol": CE,
                "side": Side.BUY,
                "order_qty": 65,
                "price_p": 10050,
                "account": "SIM001",
                "broker": "kite",
            }
            fields = {"cl_ord_id": more.pop("cl_ord_id", None) or act.new_id(), **fields}
            return await act.place(OrderRequest(**{**fields, **more}))

    def sent(self):
        return [
            row
            for row in self.sim.record("call")
            if row["call"].startswith(("POST /orders", "PUT /orders", "DELETE /orders"))
        ]

    def journal(self):
        (path,) = self.folder.rglob("*.db")
        with Journal(path, account="SIM001", day="2026-07-13") as journal:
            return [entry.kind for entry in journal.records()]


@pytest.fixture
async def rig(kite_sim, tmp_path):
    return Rig(await kite_sim(), tmp_path / "accounts")


async def test_an_order_is_placed_and_its_fill_is_journaled(rig):
    order = await rig.place()
    assert (order.ord_status, order.cum_qty, order.avg_px) == (OrdStatus.FILLED, 65, 100.5)
    assert exit_code(order) == 0
    assert rig.journal()[:3] == ["open", "order", "report"]
    (path,) = rig.folder.rglob("*.db")
    assert verify_file(path).state == "sound"


async def test_the_record_is_durable_before_the_first_byte_leaves(rig, monkeypatch):
    seen = []
    async with rig.open() as act:
        place = rig.broker.place

        async def watched(request):
            seen.append([e.kind for e in act.engine.journal.records()])
            return await place(request)

        monkeypatch.setattr(rig.broker, "place", watched)
        await act.place(OrderRequest(cl_ord_id="A1", symbol=CE, side=Side.BUY, order_qty=65, price_p=9000, account="SIM001", broker="kite"))  # fmt: skip
    assert seen == [["open", "order"]]


async def test_the_same_id_is_the_same_order(rig):
    first = await rig.place(cl_ord_id="MINE1")
    again = await rig.place(cl_ord_id="MINE1")
    assert again == first
    assert len(rig.sent()) == 1
    with pytest.raises(BadData, match="already another order"):
        await rig.place(cl_ord_id="MINE1", order_qty=130)


async def test_ids_go_on_after_a_restart_and_pass_over_the_brokers(rig):
    first = await rig.place(price_p=9000)
    second = await rig.place(price_p=9005)
    assert int(second.cl_ord_id[-5:], 36) == int(first.cl_ord_id[-5:], 36) + 1
    for path in rig.folder.rglob("*.db*"):
        path.unlink()
    third = await rig.place(price_p=9010)
    assert int(third.cl_ord_id[-5:], 36) == int(second.cl_ord_id[-5:], 36) + 1


@pytest.mark.parametrize(
    ("fault", "status", "code", "visible"),
    [
        ("cut-after", OrdStatus.NEW, 0, True),
        ("html:502,after", OrdStatus.NEW, 0, True),
        ("cut-before", OrdStatus.UNKNOWN, 4, False),
        ("status:503", OrdStatus.UNKNOWN, 4, False),
        ("status:400", OrdStatus.REJECTED, 3, False),
        ("status:429", OrdStatus.REJECTED, 3, False),
        ("status:403", OrdStatus.REJECTED, 3, False),
    ],
)
async def test_silence_is_unknown_and_resolved_only_by_the_book(rig, fault, status, code, visible):
    rig.sim.fault(f"{fault}@POST /orders#1")
    order = await rig.place(price_p=9000)
    assert (order.ord_status, exit_code(order)) == (status, code)
    assert len(rig.sent()) <= 1
    assert (len(rig.sim.app.book.orders) == 1) is visible


async def test_an_unknown_order_counts_in_risk_and_is_never_sent_again(rig):
    rig.sim.fault("cut-before@POST /orders#1")
    order = await rig.place(price_p=9000)
    async with rig.open() as act:
        assert act.core.orders[order.cl_ord_id].ord_status is OrdStatus.UNKNOWN
        assert act.core.book.open_value_p == 65 * 9000
    assert len(rig.sim.app.book.orders) == 0


async def test_absent_is_not_found_only_after_the_settling_time_and_two_readings(rig):
    rig.sim.fault("cut-before@POST /orders#1")
    order = await rig.place(price_p=9000)
    rig.sim.advance(61)
    before = len([r for r in rig.sim.record("call") if r["call"] == "GET /orders"])
    async with rig.open() as act:
        found = act.core.orders[order.cl_ord_id]
    assert found.ord_status is OrdStatus.REJECTED
    assert "in two readings and a search by its tag" in found.text
    assert len([r for r in rig.sim.record("call") if r["call"] == "GET /orders"]) - before == 2, (
        "the second is the search"
    )


async def test_a_late_order_is_found_by_the_next_act(rig):
    rig.sim.fault("late:0.4")
    rig.sim.fault("cut-after@POST /orders#1")
    order = await rig.place(price_p=9000)
    assert order.ord_status is OrdStatus.UNKNOWN
    rig.sim.server.faults.clear()
    async with rig.open() as act:
        await act.engine.settle([order.cl_ord_id])
        for _ in range(50):
            if act.core.orders[order.cl_ord_id].ord_status is OrdStatus.NEW:
                break
            await act.engine.settle([order.cl_ord_id])
        assert act.core.orders[order.cl_ord_id].ord_status is OrdStatus.NEW
    assert len(rig.sent()) == 1


DENIED = {
    "lot": {"order_qty": 66},
    "tick": {"price_p": 10003},
    "collar": {"price_p": 100},
    "max_order_lots": {"order_qty": 65 * 41},
    "quantity": {"order_qty": 0},
    "stop_px": {"ord_type": OrdType.STOP, "stop_px_p": 10000},
}


@pytest.mark.parametrize("rule", sorted(DENIED))
async def test_what_risk_denies_never_leaves(rig, rule):
    order = await rig.place(**DENIED[rule])
    assert (order.ord_status, exit_code(order)) == (OrdStatus.DENIED, 3)
    assert rig.sent() == []
    assert "denied" in rig.journal()


async def test_margin_is_asked_of_the_broker(rig):
    rig.limits = Limits(max_order_value_p=10**12, max_open_value_p=10**12)
    rig.sim.app.money.funds_p = 0
    order = await rig.place(price_p=10050, order_qty=65 * 20, side=Side.SELL)
    if order.ord_status is not OrdStatus.DENIED:
        pytest.fail(f"sold without margin: {order}")
    assert "margin Rs" in order.text
    assert rig.sent() == []


async def test_without_a_calculator_a_bought_option_needs_its_premium_and_a_sold_one_is_not_sent(rig):
    rig.sim.fault("status:404@POST /margins")
    assert (await rig.place()).ord_status is OrdStatus.FILLED
    with pytest.raises(Refused, match="order margins"):
        await rig.place(side=Side.SELL, order_qty=130, price_p=10000)
    assert len(rig.sent()) == 1


async def test_an_order_past_the_freeze_quantity_is_sliced(rig):
    rig.limits = Limits(max_order_value_p=10**12, max_open_value_p=10**12)
    order = await rig.place(order_qty=65 * 40, price_p=9000)
    assert order.ord_status is OrdStatus.NEW
    assert sorted(o.quantity for o in rig.sim.app.book.orders.values()) == [845, 1755]
    async with rig.open() as act:
        done = await act.cancel(order.cl_ord_id)
    assert done.ord_status is OrdStatus.CANCELED


async def test_a_market_order_leaves_with_protection(rig):
    order = await rig.place(ord_type=OrdType.MARKET, price_p=None)
    assert order.ord_status is OrdStatus.FILLED
    assert rig.sent()[0]["fields"]["market_protection"] == "-1"


async def test_modify_and_cancel(rig):
    order = await rig.place(price_p=9000)
    async with rig.open() as act:
        changed = await act.modify(Modify(cl_ord_id=order.cl_ord_id, order_qty=130, price_p=9100))
    assert (changed.ord_status, changed.request.order_qty, changed.request.price_p) == (OrdStatus.NEW, 130, 9100)
    async with rig.open() as act:
        assert (await act.cancel(order.cl_ord_id)).ord_status is OrdStatus.CANCELED
    async with rig.open() as act:
        with pytest.raises(Refused, match="already canceled"):
            await act.cancel(order.cl_ord_id)
        with pytest.raises(Refused, match="no order 'NOPE'"):
            await act.cancel("NOPE")
    assert [row["call"].split(" ")[0] for row in rig.sent()] == ["POST", "PUT", "DELETE"]


async def test_a_refused_modification_leaves_the_order_as_it_is(rig):
    order = await rig.place(price_p=9000)
    rig.sim.fault("status:400@PUT /orders#1")
    async with rig.open() as act:
        with pytest.raises(Refused, match="refused modification"):
            await act.modify(Modify(cl_ord_id=order.cl_ord_id, order_qty=130))
        assert act.core.orders[order.cl_ord_id].ord_status is OrdStatus.NEW
        assert act.core.orders[order.cl_ord_id].request.order_qty == 65


async def test_the_account_must_be_typed_in_full(rig):
    for wrong in ("SIM00", "sim001", "", "SIM001 "):
        with pytest.raises(Refused, match="type your own account in full"):
            await rig.open(account=wrong).__aenter__()
    assert rig.sent() == []


async def test_one_writer_an_account(rig):
    with Lease("kite", "SIM001", rig.sim.root), pytest.raises(Refused, match="is held by process"):
        await rig.place()
    assert rig.sent() == []
    assert (await rig.place()).ord_status is OrdStatus.FILLED


async def test_positions_and_orders_from_elsewhere_count(rig):
    other = rig.sim.broker()
    for cl_ord_id, price_p in (("X1", 10050), ("X2", 9900)):
        await other.place(OrderRequest(cl_ord_id=cl_ord_id, symbol=CE, side=Side.BUY, order_qty=65, price_p=price_p, account="SIM001", broker="kite"))  # fmt: skip
    async with rig.open() as act:
        assert act.core.book.net == {CE: 65}
        assert act.core.book.open_value_p == 65 * 9900
    sold = await rig.place(side=Side.SELL, price_p=9900)
    assert sold.ord_status is OrdStatus.DENIED  # it would trade against the resting buy
    assert "own order X2" in sold.text
    await other.close()


async def test_a_simulated_day_lived_again_starts_a_new_journal(kite_sim, tmp_path):
    rig = Rig(await kite_sim(), tmp_path)
    rig.sim.advance(600)
    await rig.place()
    again = Rig(await kite_sim(), tmp_path)
    async with again.open() as act:
        act._realm = rig.sim.root
    fields = {"limits": Limits(), "engine": QUICK, "clock": again.broker.clock, "folder": tmp_path}
    async with Act(LiveEngine(again.sim.broker(), "SIM001", realm=rig.sim.root, **fields)) as act:
        assert act.core.orders == {}
    assert len(list(tmp_path.rglob("*.lived-1"))) == 1


async def test_a_clock_that_is_off_stops_orders(rig):
    async with rig.open() as act:
        rig.broker.clock = __import__("time").time_ns
        with pytest.raises(Refused, match=r"clock is .* s off the broker's"):
            await act.engine.checks.prepare(OrderRequest(cl_ord_id="A", symbol=CE, side=Side.BUY, order_qty=65))


async def test_a_preview_sends_nothing_and_names_every_rule(rig):
    async with rig.open() as act:
        found = await act.preview(OrderRequest(cl_ord_id="A1", symbol=CE, side=Side.BUY, order_qty=65, price_p=10050, account="SIM001"))  # fmt: skip
        poor = await act.preview(OrderRequest(cl_ord_id="A1", symbol=CE, side=Side.BUY, order_qty=66, price_p=10050, account="SIM001"))  # fmt: skip
    assert (found["plan"], found["would_leave"], found["failed"]) == ([65], True, [])
    assert found["margin"]["total"] > 0
    assert {"lot", "collar", "duplicate"} <= set(found["passed"])
    assert [d["rule"] for d in poor["failed"]] == ["lot"]
    assert (poor["would_leave"], poor["margin"]) == (False, None)
    assert rig.sent() == []


async def test_an_order_in_the_words_of_the_surface(rig):
    row = order_json(await rig.place())
    assert list(row) == [
        "cl_ord_id", "order_id", "exch_order_id", "account", "broker", "symbol", "exchange", "side", "order_qty", "ord_type", "price",
        "stop_px", "time_in_force", "product", "ord_status", "cum_qty", "leaves_qty", "avg_px", "text", "parent_id", "created_ns",
        "updated_ns",
    ]  # fmt: skip
    assert (row["price"], row["avg_px"], row["stop_px"], row["ord_status"]) == (100.5, 100.5, None, "filled")


def test_the_journals_place(tmp_path):
    day = dt.date(2026, 7, 13)
    assert journal_path("kite", "AB1234", day, folder=tmp_path) == tmp_path / "kite-AB1234" / "2026-07-13.db"
    odd = journal_path("kite", "../../x", day, "127.0.0.1:1", tmp_path)
    assert odd.resolve().parent.parent == tmp_path.resolve()
