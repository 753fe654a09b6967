"""What the broker's books decide: the fate of unknown orders, what was placed elsewhere, drift."""

from __future__ import annotations

import pytest

from toolkit.orders.reconcile import Difference
from toolkit.types import ExecType, ExecutionReport, Modify, OrdStatus, Side

CUTS = ["cut-before", "cut-after", "late:3"]


@pytest.mark.parametrize("fault", CUTS)
async def test_a_cut_around_the_answer_is_unknown_and_resolved_by_the_book_alone(pit, fault):
    """R02, R03: unknown at once, counted in full, found when visible, never sent again."""
    p = pit()
    engine = await p.open()
    p.broker.muted = True
    p.broker.faults["place"] = [fault] * 3
    orders = [await engine.place(p.buy(f"A{n}", 9000 + 5 * n)) for n in range(3)]
    assert {o.ord_status for o in orders} == {OrdStatus.UNKNOWN}
    assert engine.core.book.open_qty(p.call, Side.BUY) == 225
    if fault == "cut-before":
        await p.hours.run(58)
        assert {engine.core.orders[o.cl_ord_id].ord_status for o in orders} == {OrdStatus.UNKNOWN}
        await p.hours.run(8)
        assert {engine.core.orders[o.cl_ord_id].ord_status for o in orders} == {OrdStatus.REJECTED}
        assert "in two readings and a search" in engine.core.orders["A0"].text
        assert engine.core.book.open_qty(p.call, Side.BUY) == 0
    else:
        await p.hours.run(5)
        assert {engine.core.orders[o.cl_ord_id].ord_status for o in orders} == {OrdStatus.NEW}
    assert len(p.broker.sent) == 3
    p.verdict()


async def test_an_order_that_shows_up_after_it_was_given_up_counts_and_works(pit):
    p = pit()
    engine = await p.open()
    p.broker.muted = True
    p.broker.faults["place"] = ["late:100"]
    await engine.place(p.buy("A1"))
    await p.hours.run(70)
    assert engine.core.orders["A1"].ord_status is OrdStatus.REJECTED
    await p.hours.run(40)
    order = engine.core.orders["A1"]
    assert (order.ord_status, order.leaves_qty) == (OrdStatus.NEW, 75)
    assert engine.core.book.open_qty(p.call, Side.BUY) == 75
    assert "late_order" in p.alarms()
    assert (await p.hours.during(engine.cancel("A1"))).cl_ord_id == "A1"
    await p.hours.run(6)
    p.verdict()


async def test_a_fill_of_an_order_given_up_counts_too(pit):
    p = pit()
    engine = await p.open()
    p.broker.muted = True
    p.broker.faults["place"] = ["late:100"]
    await engine.place(p.buy("A1", 10100))
    await p.hours.run(110)
    assert engine.core.orders["A1"].ord_status is OrdStatus.FILLED
    assert engine.core.book.net == {p.call: 75}
    p.verdict()


async def refused(p, cl_ord_id="A1", price_p=9000):
    """An order that the broker took and answered with a refusal."""
    p.broker.faults["place"] = ["refuse-after"]
    order = await p.engine.place(p.buy(cl_ord_id, price_p))
    assert order.ord_status is OrdStatus.REJECTED
    return order


@pytest.mark.parametrize("muted", [True, False])
async def test_an_order_refused_by_an_answer_and_open_in_the_book_counts_and_can_be_canceled(pit, muted):
    p = pit()
    engine = await p.open()
    p.broker.muted = muted
    await refused(p)
    await p.hours.run(6)
    order = engine.core.orders["A1"]
    assert (order.ord_status, order.leaves_qty, order.text) == (OrdStatus.NEW, 75, "")
    assert engine.core.book.open_qty(p.call, Side.BUY) == 75
    await p.hours.run(12)
    assert p.alarms() == ["late_order"]
    await p.hours.during(engine.cancel("A1"))
    await p.hours.run(6)
    assert p.broker.truth()["A1"].ord_status is OrdStatus.CANCELED
    assert [e.kind for e in engine.events() if e.kind in ("revived", "lost")] == ["revived"]
    p.verdict()


async def test_a_refused_order_that_filled_is_a_position_and_one_alarm(pit):
    p = pit()
    engine = await p.open()
    p.broker.muted = True
    await refused(p, price_p=10100)
    await p.hours.run(12)
    assert engine.core.orders["A1"].ord_status is OrdStatus.FILLED
    assert engine.core.book.net == {p.call: 75}
    assert p.alarms() == ["late_order"]
    p.verdict()


@pytest.mark.parametrize("cancel_all", [True, False])
async def test_a_halt_sweeps_a_refused_order_once_the_book_shows_it(pit, cancel_all):
    p = pit()
    engine = await p.open()
    p.broker.muted = True
    await refused(p)
    await p.hours.during(engine.halt("enough", cancel_all=cancel_all))
    assert p.broker.truth()["A1"].is_open
    await p.hours.run(12)
    assert p.broker.truth()["A1"].ord_status is OrdStatus.CANCELED
    p.verdict()


async def test_a_start_takes_up_a_refused_order_that_the_book_shows(pit):
    p = pit()
    await p.open()
    p.broker.muted = True
    await refused(p)
    await p.crash()
    engine = await p.open()
    assert engine.core.orders["A1"].ord_status is OrdStatus.NEW
    assert p.alarms() == ["late_order"]
    await p.crash()
    engine = await p.open()
    assert engine.core.orders["A1"].ord_status is OrdStatus.NEW
    assert p.alarms() == ["late_order"]
    p.verdict()


async def test_a_start_under_a_halt_sweeps_what_it_takes_up_again(pit):
    p = pit()
    engine = await p.open()
    p.broker.muted = True
    await refused(p)
    await p.hours.during(engine.halt("enough"))
    await p.crash()
    await p.open()
    await p.hours.run(6)
    assert p.broker.truth()["A1"].ord_status is OrdStatus.CANCELED
    p.verdict()


@pytest.mark.parametrize("kind", [ExecType.CANCELED, ExecType.EXPIRED])
async def test_an_order_said_to_be_over_that_the_book_still_works_is_taken_up_once_that_word_is_old(pit, kind):
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("A1"))
    await p.hours.run(1)
    now_ns = engine.now_ns()
    wrong = ExecutionReport(cl_ord_id="A1", exec_id="X", exec_type=kind, ts_ns=now_ns, recv_ns=now_ns)
    await engine.take_reports([wrong])
    assert not engine.core.orders["A1"].is_open
    await engine.reconcile()
    assert not engine.core.orders["A1"].is_open, "the book may lag"
    await p.hours.run(12)
    assert engine.core.orders["A1"].ord_status is OrdStatus.NEW
    assert p.alarms() == ["late_order"]
    await p.hours.during(engine.cancel("A1"))
    await p.hours.run(6)
    assert p.broker.truth()["A1"].ord_status is OrdStatus.CANCELED
    p.verdict()


async def test_one_reading_of_the_book_serves_every_absent_order(pit):
    """The calls that settle absent orders do not grow with their number."""

    async def calls(count: int) -> int:
        p = pit()
        engine = await p.open()
        p.broker.muted = True
        p.broker.faults["place"] = ["cut-before"] * count
        for n in range(count):
            await engine.place(p.buy(f"A{n}", 9000 + 5 * n))
        await p.hours.run(58)
        before = p.broker.reads
        await p.hours.run(8)
        assert {order.ord_status for order in engine.core.orders.values()} == {OrdStatus.REJECTED}
        p.verdict()
        await engine.stop()
        return p.broker.reads - before

    assert await calls(20) == await calls(1)


async def test_a_start_reads_each_book_once_though_positions_moved_while_it_was_down(pit):
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("A1", 9000))
    await p.crash()
    await p.broker.elsewhere("K1", p.put, Side.BUY, 150, 10100)
    before = p.broker.reads
    engine = await p.open(watching=False)
    assert p.broker.reads - before == 3, "orders, trades and positions"
    assert engine.core.book.net == {p.put: 150}
    p.verdict()


async def test_a_start_gives_an_absent_order_up_after_two_readings_of_which_one_is_the_search(pit, monkeypatch):
    p = pit()
    engine = await p.open()
    p.broker.faults["place"] = ["cut-before"]
    await engine.place(p.buy("A1", 9000))
    await p.crash()
    p.hours._move(p.hours.mono_ns + 61 * 10**9)
    readings, book = [], p.broker.orders

    async def counted():
        readings.append(1)
        return await book()

    monkeypatch.setattr(p.broker, "orders", counted)
    engine = await p.open(watching=False)
    assert engine.core.orders["A1"].ord_status is OrdStatus.REJECTED
    assert len(readings) == 2
    p.verdict()


async def test_settling_many_orders_reads_the_book_once(pit):
    p = pit()
    engine = await p.open(watching=False)
    p.broker.muted = True
    for name in ("A1", "A2", "A3"):
        await engine.place(p.buy(name, 9000 + 5 * int(name[1])))
    before = p.broker.reads
    await engine.settle(["A1", "A2", "A3"])
    assert {engine.core.orders[name].ord_status for name in ("A1", "A2", "A3")} == {OrdStatus.NEW}
    assert p.broker.reads - before == 1
    p.verdict()


async def test_an_order_that_shows_up_in_the_search_itself_is_not_given_up(pit, monkeypatch):
    p = pit()
    engine = await p.open()
    p.broker.muted = True
    p.broker.faults["place"] = ["late:1000000", "cut-before"]
    for n, name in enumerate(("A1", "A2")):
        await engine.place(p.buy(name, 9000 + 5 * n))
    whole, search = p.broker.orders, engine.books._search

    async def seen_now(names):
        p.broker.hidden.clear()
        return await search(names)

    monkeypatch.setattr(engine.books, "_search", lambda names: seen_now(names) if names else search(names))
    await p.hours.run(70)
    assert [o.cl_ord_id for o in await whole()] == ["A1"]
    assert {n: engine.core.orders[n].ord_status for n in ("A1", "A2")} == {
        "A1": OrdStatus.NEW,
        "A2": OrdStatus.REJECTED,
    }
    assert [e.cl_ord_id for e in engine.events() if e.kind == "lost"] == ["A2"]
    p.verdict()


async def test_an_order_with_the_brokers_id_is_asked_for_by_it_before_it_is_given_up(pit, monkeypatch):
    p = pit()
    engine = await p.open()
    p.broker.muted = True
    asked, known = [], []
    history, book = p.broker.order_history, p.broker.orders

    async def heard(cl_ord_id):
        asked.append(cl_ord_id)
        return await history(cl_ord_id)

    async def without():
        return tuple(order for order in await book() if order.cl_ord_id in known)

    monkeypatch.setattr(p.broker, "order_history", heard)
    monkeypatch.setattr(p.broker, "orders", without)
    await engine.place(p.buy("A1"))
    assert engine.core.orders["A1"].order_id is not None
    await p.hours.run(70)
    assert set(asked) == {"A1"}
    assert engine.core.orders["A1"].ord_status is OrdStatus.NEW
    known.append("A1")
    p.verdict()


async def test_what_was_placed_elsewhere_is_taken_in(pit):
    """R05: orders, fills and positions from elsewhere; averages of the broker kept."""
    p = pit()
    p.broker.held(p.put, -150, 88.4)
    for n in range(5):
        await p.broker.elsewhere(f"K{n}", p.call, Side.BUY, 75, 9000 + 5 * n)
    await p.broker.elsewhere("K9", p.call, Side.BUY, 75, 10100)
    engine = await p.open()
    assert engine.core.external == {*(f"K{n}" for n in range(5)), "K9"}
    assert engine.core.book.net == {p.call: 75, p.put: -150}
    assert engine.core.book.open_qty(p.call, Side.BUY) == 375
    assert engine.positions.position(p.put, "ACC").avg_px == pytest.approx(88.4)
    assert p.broker.sent == []
    done = await engine.cancel("K0")
    await p.hours.calm()
    assert engine.core.orders["K0"].ord_status is OrdStatus.CANCELED
    assert done.cl_ord_id == "K0"
    p.verdict()


async def test_averages_are_kept_over_restarts_and_fills_during_an_outage_are_found(pit):
    p = pit()
    p.broker.held(p.put, 300, 50.0)
    await p.open()
    await p.crash()
    await p.broker.elsewhere("K1", p.put, Side.SELL, 150, 9900)
    engine = await p.open()
    line = engine.positions.position(p.put, "ACC")
    assert (line.net_qty, line.avg_px, line.realized_p) == (150, 50.0, 150 * (9950 - 5000))
    p.verdict()


async def test_drift_is_reported_within_a_cycle_and_opens_no_order(pit):
    p = pit()
    engine = await p.open()
    p.broker.held(p.wing, 75, 31.25)
    await p.hours.run(30)
    assert p.alarms() == ["position"]
    difference = [e for e in engine.events() if e.kind == "difference"]
    assert [(d.payload["ours"], d.payload["theirs"]) for d in difference] == [("0", "75")]
    assert engine.core.book.net == {p.wing: 75}
    assert p.broker.sent == []
    assert isinstance((await engine.reconcile()), tuple)


async def test_reconcile_now_gives_the_differences(pit):
    p = pit()
    engine = await p.open()
    p.broker.held(p.wing, 75, 31.25)
    found = await engine.reconcile()
    assert [type(d) for d in found] == [Difference]
    assert found[0].text == f"{p.wing}: 0 units here, 75 at the broker; taken over from the broker"
    assert await engine.reconcile() == ()


async def test_a_square_off_at_the_broker_is_recognised_and_an_order_during_a_halt_alarms(pit):
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("A1", 10100))
    await engine.halt("test")
    await p.broker.elsewhere("K1", p.call, Side.SELL, 75, 9900)
    await p.hours.run(6)
    assert engine.core.book.net == {}
    assert "foreign_order" in p.alarms()
    p.verdict()


async def test_a_cancel_and_a_change_made_elsewhere_are_followed(pit):
    p = pit()
    engine = await p.open()
    p.broker.muted = True
    await engine.place(p.buy("A1"))
    await engine.place(p.buy("A2", 9005))
    await p.hours.run(6)
    await p.broker.withdrawn_elsewhere("A1")
    await super(type(p.broker), p.broker).modify(Modify(cl_ord_id="A2", order_qty=150, price_p=9010))
    await p.hours.run(6)
    assert engine.core.orders["A1"].ord_status is OrdStatus.CANCELED
    assert (engine.core.orders["A2"].request.order_qty, engine.core.orders["A2"].request.price_p) == (150, 9010)
    p.verdict()
