"""Orders without an account over two paper accounts of one process: planned, shown, journaled once, placed in both."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.config import Settings
from toolkit.desk import Desk
from toolkit.desk_backends import Local, Loop
from toolkit.errors import BadOrder, Refused
from toolkit.orders.routing import joined
from toolkit.serve.build import Plan, build
from toolkit.types import OrdStatus

CE, PE = "NIFTY 14JUL2026 25450 CE", "NIFTY 14JUL2026 25450 PE"
FAST = {"max_messages_per_s": 500, "max_cancels_per_s": 500, "duplicate_window_s": 0}
QUICK = {"engine": {"throttle_per_s": 500}, "risk": FAST}


class Two:
    """Two paper accounts, RICH and POOR, in one process; its desk can be closed and opened again."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.loop = Loop("test-two")
        self.desk: Desk | None = None
        self.open()

    def open(self, at: str = "11:05") -> Desk:
        async def start() -> Local:
            plan = Plan(accounts=("RICH", "POOR"), store=self.folder, at=at)
            built = await build(plan, Settings.load(options=QUICK))
            await built.station.start()

            async def close() -> None:
                await built.station.stop()
                await built.close()

            return Local(built.station, close)

        self.desk = Desk(self.loop.wait(start), self.loop)
        return self.desk

    @property
    def station(self):
        return self.desk._backend.station

    def fund(self, account: str, rupees: int) -> None:
        """What the account's money is, as its broker says."""
        broker = self.station.seats[account].engine.broker
        broker._funds_p = rupees * 100

    def shut(self) -> None:
        self.loop.wait(self.desk._backend.close)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    mark = pytest.MonkeyPatch()
    mark.setenv("TOOLKIT_HOME", str(tmp_path_factory.mktemp("two-home")))
    made = Two(tmp_path_factory.mktemp("two"))
    yield made
    made.shut()
    made.loop.stop()
    mark.undo()


@pytest.fixture
def desk(two):
    two.desk.cancel_all()
    for account in two.desk.accounts:
        two.desk.resume("a test begins", account)
    return two.desk


def parts(order_or_plan) -> dict[str, int]:
    found = order_or_plan["children"]
    return {child["account"]: child["order_qty"] for child in found}


def test_unequal_margin_splits_an_order_and_the_plan_says_why(desk, two):
    two.fund("RICH", 500_000)
    two.fund("POOR", 9_000)
    asked = {"symbol": CE, "side": "BUY", "lots": 10, "price": "80.00", "cl_ord_id": "SPLIT1"}
    before = desk.orders().height
    plan = desk.plan(asked)
    assert plan["ok"]
    assert sum(parts(plan).values()) == 650
    assert any("POOR" in line for line in plan["why"])
    assert any("RICH" in line for line in plan["why"])
    assert desk.orders().height == before, "a plan sends nothing"
    order = desk.place(asked)
    row = desk.order("SPLIT1")
    assert parts(row["route"]) == parts(plan)
    assert order.request.order_qty == 650
    assert {c["account"]: c["parent_id"] for c in row["children"]} == dict.fromkeys(parts(plan), "SPLIT1")


def test_what_one_account_cannot_carry_goes_to_the_other(desk, two):
    two.fund("RICH", 60_000)
    two.fund("POOR", 20_000)
    plan = desk.plan({"symbol": CE, "side": "BUY", "lots": 12, "price": "80.00"})
    assert plan["ok"], plan
    assert parts(plan)["RICH"] * 80 <= 60_000
    assert parts(plan)["POOR"] * 80 <= 20_000
    assert sum(parts(plan).values()) == 780


def test_an_unhealthy_account_takes_nothing(desk, two):
    two.fund("RICH", 500_000)
    two.fund("POOR", 500_000)
    desk.halt("a test", account="RICH")
    plan = desk.plan({"symbol": CE, "side": "BUY", "lots": 1, "price": "80.05"})
    assert parts(plan) == {"POOR": 65}
    assert any(line.startswith("RICH@") and "halted: a test" in line for line in plan["why"])
    desk.place({"symbol": CE, "side": "BUY", "lots": 1, "price": "80.05", "cl_ord_id": "HALF1"})
    (child,) = desk.order("HALF1")["children"]
    assert (child["account"], child["ord_status"]) == ("POOR", "new")


def test_a_plan_with_something_left_is_denied_whole_with_the_reasons(desk, two):
    two.fund("RICH", 1_000)
    two.fund("POOR", 9_000)
    order = desk.place({"symbol": CE, "side": "BUY", "lots": 5, "price": "80.10", "cl_ord_id": "LEFT1"})
    assert order.ord_status is OrdStatus.DENIED
    assert "units have no place: nothing is sent" in order.text
    assert desk.order("LEFT1")["children"] == []
    preview = desk.preview({"symbol": CE, "side": "BUY", "lots": 5, "price": "80.10"})
    assert preview["would_leave"] is False
    assert preview["route"]["left_qty"] > 0


def test_a_routed_order_says_why_a_part_of_it_was_denied(desk, two):
    two.fund("RICH", 50_000_000)
    desk.halt("a test", account="POOR")
    order = desk.place({"symbol": CE, "side": "BUY", "lots": 1, "price": "900.00", "cl_ord_id": "WHY1"})
    (child,) = desk.order("WHY1")["children"]
    assert child["denials"]
    assert order.ord_status is OrdStatus.DENIED
    assert order.text.startswith(f"{child['cl_ord_id']} denied: {child['text']}; POOR@paper/NSE: not used")


def test_the_same_id_is_the_same_order_and_cancelling_reaches_every_account(desk, two):
    two.fund("RICH", 30_000)
    two.fund("POOR", 30_000)
    asked = {"symbol": CE, "side": "BUY", "lots": 8, "price": "80.15", "cl_ord_id": "AGAIN1"}
    desk.place(asked)
    before = desk.orders().height
    desk.place(asked)
    assert desk.orders().height == before
    with pytest.raises(BadOrder, match="already another order"):
        desk.place({**asked, "lots": 7})
    with pytest.raises(BadOrder, match="already another order"):
        desk.place({**asked, "account": "RICH"})
    with pytest.raises(BadOrder, match="cannot be modified as a whole"):
        desk.modify("AGAIN1", price="81.00")
    assert len(parts(desk.order("AGAIN1")["route"])) == 2
    assert desk.cancel("AGAIN1").ord_status is OrdStatus.CANCELED
    assert {c["ord_status"] for c in desk.order("AGAIN1")["children"]} == {"canceled"}
    with pytest.raises(Refused, match="nothing to cancel"):
        desk.cancel("AGAIN1")


def test_an_account_that_is_named_is_not_routed(desk, two):
    two.fund("POOR", 500_000)
    order = desk.place({"symbol": CE, "side": "BUY", "lots": 1, "price": "80.20", "account": "POOR"})
    assert order.request.account == "POOR"
    assert "route" not in desk.order(order.cl_ord_id)


TWAP = {"symbol": CE, "side": "BUY", "lots": 2, "price": "70.00", "algo": "iceberg"}


def test_an_algorithm_without_an_account_goes_whole_to_one_that_can_take_it(desk, two):
    two.fund("RICH", 500_000)
    two.fund("POOR", 500_000)
    desk.halt("a test", account="RICH")
    asked = {**TWAP, "cl_ord_id": "WHOLE1"}
    order = desk.place(asked)
    assert (order.request.account, order.request.order_qty, order.ord_status) == ("POOR", 130, OrdStatus.NEW)
    why = desk.order("WHOLE1")["route"]["why"]
    assert why[0].startswith("POOR@paper: takes it whole, charges of about Rs ")
    assert why[1].startswith("RICH@paper: not used, its trading is halted: a test")
    desk.resume("the test is over", "RICH")
    again = desk.place(asked)
    assert again.request.account == "POOR", "the same order stays where it is"
    with pytest.raises(BadOrder, match="already another order"):
        desk.place({**asked, "account": "RICH"})
    desk.cancel("WHOLE1")


def test_a_basket_without_an_account_stays_on_one(desk, two):
    two.fund("RICH", 5_000)
    two.fund("POOR", 500_000)
    legs = [
        {"symbol": CE, "side": "BUY", "lots": 1, "price": "70.05"},
        {"symbol": PE, "side": "BUY", "lots": 1, "price": "70.05"},
    ]
    plan = desk.preview({"legs": legs})
    assert plan["account"] == "POOR"
    assert plan["would_leave"]
    assert {child["account"] for child in plan["route"]["children"]} == {"POOR"}
    assert any(line.startswith("RICH@paper: not used, it needs Rs") for line in plan["route"]["why"])
    order = desk.place(legs)
    assert order.request.account == "POOR"
    assert any(
        line.startswith("RICH@paper: not used, it needs Rs") for line in desk.order(order.cl_ord_id)["route"]["why"]
    )
    desk.cancel(order.cl_ord_id)


def test_an_algorithm_that_no_account_takes_is_denied_with_every_reason(desk, two):
    two.fund("RICH", 10)
    two.fund("POOR", 20)
    order = desk.place({**TWAP, "cl_ord_id": "NOWHERE"})
    assert order.ord_status is OrdStatus.DENIED
    (denial,) = desk.order("NOWHERE")["denials"]
    assert denial["rule"] == "route"
    assert "RICH@paper: not used, it needs Rs" in denial["text"]
    assert "POOR@paper: not used, it needs Rs" in denial["text"]
    preview = desk.preview(TWAP)
    assert not preview["would_leave"]
    assert (preview["route"]["ok"], preview["route"]["left_qty"]) == (False, 130)


def test_an_algorithm_goes_where_its_position_is(desk, two):
    two.fund("RICH", 500_000)
    two.fund("POOR", 500_000)
    desk.place({"symbol": CE, "side": "BUY", "lots": 1, "price": "115.00", "account": "POOR"})
    assert desk.positions().filter(desk.positions()["account"] == "POOR")["net_qty"].to_list() == [65]
    asked = {"symbol": CE, "side": "SELL", "lots": 1, "price": "115.00", "algo": "iceberg"}
    order = desk.place(asked)
    assert order.request.account == "POOR"
    assert "closes 65 units there" in desk.order(order.cl_ord_id)["route"]["why"][0]
    desk.cancel(order.cl_ord_id)


def test_the_parent_is_in_the_home_journal_and_comes_back_after_a_restart(two):
    two.fund("RICH", 30_000)
    two.fund("POOR", 30_000)
    two.desk.cancel_all()
    asked = {"symbol": CE, "side": "BUY", "lots": 8, "price": "80.25", "cl_ord_id": "HOME1"}
    two.desk.place(asked)
    two.desk.place({**TWAP, "price": "70.10", "lots": 1, "cl_ord_id": "HOME2"})
    before, whole = two.desk.order("HOME1"), two.desk.order("HOME2")
    assert whole["route"]["why"]
    noted = next(
        e for e in two.desk.events(after=0, account="RICH") if (e["kind"], e["cl_ord_id"]) == ("route", "HOME1")
    )
    assert {c["account"] for c in noted["payload"]["children"]} == {"RICH", "POOR"}
    two.shut()
    desk = two.open("11:35")  # later than all that was journaled: a day begun again before it is another day
    after = desk.order("HOME1")
    assert after["route"] == before["route"]
    assert desk.order("HOME2")["route"] == whole["route"]
    assert desk.place(asked).cl_ord_id == "HOME1"
    assert len([o for o in desk.orders()["cl_ord_id"] if o == "HOME1"]) == 1


def test_a_margin_that_one_account_does_not_say_makes_the_sum_unknown():
    one = {"plan": [1], "lot": 1, "margin": {"total": 1.0}, "failed": [], "passed": [], "quote_age_s": 0.0}
    both = joined([{**one, "would_leave": True}, {**one, "margin": None, "would_leave": False}])
    assert both["margin"] is None
    assert both["would_leave"] is False


def test_a_new_day_forgets_the_routed_orders_of_the_day_before(desk, two, monkeypatch):
    two.fund("RICH", 500_000)
    two.fund("POOR", 500_000)
    desk.place({"symbol": CE, "side": "BUY", "lots": 1, "price": "80.20", "cl_ord_id": "DAY1"})
    routes, core = two.station.routes, two.station.seats["RICH"].engine.core
    child = desk.order("DAY1")["children"][0]["cl_ord_id"]
    assert ("DAY1" in routes, routes.parent_of(child)) == (True, "DAY1")
    monkeypatch.setattr(core, "day", core.day + dt.timedelta(days=1))
    assert ("DAY1" in routes, routes.parent_of(child), routes.rows()) == (False, None, [])
