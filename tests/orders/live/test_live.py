"""The live engine: recovery, faults, halts and races, against a broker that keeps its own record."""

from __future__ import annotations

import asyncio
import random

import pytest

from toolkit.errors import BadData, Refused
from toolkit.orders.reconcile import Difference
from toolkit.risk.limits import TradingState
from toolkit.store.journal import verify_file
from toolkit.store.lease import Lease
from toolkit.types import ExecType, ExecutionReport, Modify, OrdStatus, OrdType, Side

SECOND = 10**9


async def test_an_order_is_journaled_sent_once_filled_and_told(pit):
    p = pit()
    engine = await p.open()
    order = await engine.place(p.buy("A1", 10100))
    await p.hours.calm()
    assert order.cl_ord_id == "A1"
    assert engine.core.orders["A1"].ord_status is OrdStatus.FILLED
    assert engine.positions.position(p.call, "ACC").avg_px == 100.5
    assert [e.seq for e in engine.events()] == list(range(1, engine.journal.last_seq + 1))
    assert p.broker.sent[0][:2] == ("place", "A1")
    p.verdict()


async def test_nothing_leaves_before_its_record_is_durable(pit, monkeypatch):
    p = pit()
    engine = await p.open()
    seen = []
    place = p.broker.place

    async def watched(request):
        seen.append([e.cl_ord_id for e in engine.journal.records() if e.kind == "order"])
        return await place(request)

    monkeypatch.setattr(p.broker, "place", watched)
    await asyncio.gather(*[engine.place(p.buy(f"A{n}", 9000 + 5 * n)) for n in range(5)])
    assert all(f"A{n}" in durable for n, durable in enumerate(seen))
    p.verdict()


async def test_orders_that_wait_together_share_one_transaction(pit):
    p = pit()
    engine = await p.open()
    before = engine.pen.commits
    done = await asyncio.gather(*[engine.place(p.buy(f"A{n}", 9000 + 5 * n)) for n in range(40)])
    assert {o.ord_status for o in done} <= {OrdStatus.NEW, OrdStatus.PENDING_NEW}
    assert engine.pen.commits - before < 20


async def test_the_same_id_is_the_same_order_also_at_once_and_after_a_restart(pit):
    p = pit()
    engine = await p.open()
    both = await asyncio.gather(engine.place(p.buy("A1")), engine.place(p.buy("A1")))
    assert both[0] == both[1]
    with pytest.raises(BadData, match="already another order"):
        await engine.place(p.buy("A1", 9005))
    await p.crash()
    engine = await p.open()
    assert (await engine.place(p.buy("A1"))).cl_ord_id == "A1"
    with pytest.raises(BadData, match="already another order"):
        await engine.place(p.buy("A1", order_qty=150))
    p.verdict()


async def test_an_interrupted_caller_neither_loses_nor_doubles_the_order(pit):
    p = pit()
    engine = await p.open()
    for n in range(20):
        task = asyncio.create_task(engine.place(p.buy(f"A{n}", 9000 + 5 * n)))
        for _ in range(n % 7):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await p.hours.calm()
        again = await engine.place(p.buy(f"A{n}", 9000 + 5 * n))
        assert again.ord_status is OrdStatus.NEW
    p.verdict()


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


async def test_a_start_gives_an_absent_order_up_after_three_readings_of_the_orders(pit, monkeypatch):
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
    assert len(readings) == 3
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


async def test_a_hanging_call_is_unknown_after_its_time(pit):
    p = pit()
    p.settings["call_s"] = 0.05
    engine = await p.open()
    p.broker.faults["place"] = ["hang"]
    order = await engine.place(p.buy("A1"))
    assert order.ord_status is OrdStatus.UNKNOWN
    assert "did not answer" in order.text


async def test_a_person_may_resend_an_unknown_order_after_seeing_the_worst_case(pit):
    p = pit()
    engine = await p.open()
    p.broker.faults["place"] = ["cut-before"]
    await engine.place(p.buy("A1"))
    with pytest.raises(Refused, match=r"BUY 150 .*, position 150"):
        await engine.resend("A1", "yes")
    again = await engine.resend("A1", engine.worst_case("A1"))
    assert again.ord_status in (OrdStatus.NEW, OrdStatus.PENDING_NEW)
    assert again.cl_ord_id != "A1"
    assert engine.core.orders["A1"].ord_status is OrdStatus.UNKNOWN
    assert engine.core.book.open_qty(p.call, Side.BUY) == 150
    with pytest.raises(Refused, match="not unknown"):
        await engine.resend(again.cl_ord_id, "x")
    assert [e.payload["act"] for e in engine.events() if e.kind == "act"] == ["resend"]


@pytest.mark.parametrize("seed", range(3))
async def test_killed_at_any_moment_it_recovers_to_the_brokers_book(pit, seed):
    """R01: kills in a stream of orders, changes and cancels; the verdict is the judge's record."""
    await killed(pit(), random.Random(seed), 10)


@pytest.mark.parametrize("seed", [216, 228])
async def test_days_that_once_went_wrong(pit, seed):
    await killed(pit(), random.Random(seed), 20)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1050))
async def test_killed_a_thousand_times(pit, seed):
    """R01 in one process: 1,000 kills."""
    await killed(pit(), random.Random(seed), 20)


async def killed(p, chance, kills):
    p.settings["settle_s"] = 5.0
    await p.open()
    made = 0
    for _ in range(kills):
        work = []
        for _ in range(chance.randrange(1, 6)):
            made += 1
            work.append(asyncio.ensure_future(p.engine.place(any_order(p, chance, made))))
        for order in chance.sample(list(p.engine.core.open_orders()), k=min(3, len(p.engine.core.open_orders()))):
            price_p = 7000 + 5 * chance.randrange(400)
            change = Modify(cl_ord_id=order.cl_ord_id, order_qty=chance.choice([75, 150, 225]), price_p=price_p)
            cancel = chance.random() < 0.5
            work.append(asyncio.ensure_future(p.engine.cancel(order.cl_ord_id) if cancel else p.engine.modify(change)))
        for _ in range(chance.randrange(0, 40)):
            await asyncio.sleep(0)
        if chance.random() < 0.3:
            p.quotes(chance.choice([95.0, 100.0, 105.0]), chance.choice([75.0, 150.0, 15000.0]))
        await p.crash()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        p.broker.faults = {"place": [], "modify": [], "cancel": []}
        p.quotes()
        sent = len(p.broker.sent)
        await p.open()
        assert len(p.broker.sent) == sent, "recovery sent something"
        assert p.engine.state == "ready"
        await p.hours.run(chance.choice([0.5, 8.0]))
    await p.hours.run(20)
    p.verdict()


def any_order(p, chance, number):
    """An order at a price that rests or trades, and what happens to it and to the next change and cancel."""
    p.broker.faults["place"].append(chance.choice(["", "", "", "cut-after", "cut-before", "late:2", "refuse"]))
    p.broker.faults["cancel"].append(chance.choice(["", "", "cut-after", "cut-before", "refuse"]))
    p.broker.faults["modify"].append(chance.choice(["", "", "cut-after", "cut-before", "refuse"]))
    if chance.random() < 0.3:
        return p.buy(f"S{number}", 10100, side=chance.choice(list(Side)), confirm=("duplicate",))
    return p.buy(f"S{number}", 7000 + 5 * (number % 500), confirm=("duplicate",))


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


async def test_one_writer_an_account_and_a_dead_one_frees_it(pit):
    """R06."""
    p = pit()
    await p.open()
    other = pit()
    other.folder = p.folder
    with pytest.raises(Refused, match="is held by process"):
        await other.open()
    await p.crash()
    await other.open()
    assert other.engine.state == "ready"
    with pytest.raises(Refused, match="is held by process"):
        Lease("kite", "ACC", "")


class Disk:
    """A journal's disk that refuses from the Nth write on, until it is mended."""

    def __init__(self, engine, after=0):
        self.journal, self.after, self.full = engine.journal, after, True
        self.append = engine.journal.append
        engine.journal.append = self.write

    def write(self, records):
        self.after -= 1
        if self.full and self.after < 0:
            raise BadData("journal j.db could not be written: database or disk is full; no order leaves")
        return self.append(records)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8])
async def test_a_full_disk_lets_nothing_out_but_cancels_and_clears_by_itself(pit, after):
    """R10."""
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("A0"))
    disk = Disk(engine, after)
    for n in range(1, 6):
        await engine.place(p.buy(f"A{n}", 9000 + 5 * n))
    assert engine.state == "journal_failed"
    journaled = {e.cl_ord_id for e in engine.journal.records() if e.kind == "order"}
    assert {c for kind, c, _ in p.broker.sent if kind == "place"} <= journaled
    refused = await engine.place(p.buy("A9"))
    assert refused.ord_status is OrdStatus.DENIED
    await engine.cancel("A0")
    assert ("cancel", "A0") in [row[:2] for row in p.broker.sent]
    disk.full = False
    await p.hours.run(3)
    assert engine.state == "ready"
    assert (await engine.place(p.buy("B1", 9100))).ord_status in (OrdStatus.NEW, OrdStatus.PENDING_NEW)
    await p.hours.run(10)
    assert "journal_restored" in p.alarms()
    p.verdict()


async def test_a_damaged_tail_is_cut_reported_and_reconciled(pit):
    """R11: the records of the last orders are gone; the broker's book brings the orders back."""
    p = pit()
    await p.open()
    for n in range(4):
        await p.engine.place(p.buy(f"A{n}", 9000 + 5 * n))
    path = p.engine.journal.path
    await p.engine.stop()
    import sqlite3

    with sqlite3.connect(path) as db:
        last = db.execute("SELECT max(seq) FROM records WHERE kind = 'order'").fetchone()[0]
        db.execute("UPDATE records SET payload = CAST('x' AS BLOB) WHERE seq >= ?", (last,))
    db.close()
    engine = await p.open()
    assert engine.core.orders["A3"].ord_status is OrdStatus.NEW
    assert "A3" in engine.core.external
    assert "journal" in p.alarms()
    truth = p.broker.truth()
    assert all(engine.core.orders[c].ord_status == truth[c].ord_status for c in truth)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA locking_mode")
    db.close()


async def test_a_damaged_middle_refuses_in_one_line(pit):
    p = pit()
    await p.open()
    for n in range(4):
        await p.engine.place(p.buy(f"A{n}", 9000 + 5 * n))
    path = p.engine.journal.path
    await p.engine.stop()
    import sqlite3

    with sqlite3.connect(path) as db:
        db.execute("UPDATE records SET payload = CAST('x' AS BLOB) WHERE seq = 2")
    db.close()
    with pytest.raises(BadData, match="no trading from it, restore the file"):
        await p.open()
    Lease("kite", "ACC", "").release()


async def test_a_halt_stops_new_exposure_at_once_keeps_protection_and_survives_a_kill(pit):
    """R21."""
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("S1", 9900, side=Side.SELL, symbol=p.put))
    await engine.place(p.buy("P1", 9000, symbol=p.put))
    await engine.place(p.buy("A1"))
    racing = asyncio.ensure_future(engine.place(p.buy("A2", 9005)))
    await engine.halt("enough")
    await p.hours.calm()
    assert (await racing).ord_status in (OrdStatus.CANCELED, OrdStatus.DENIED, OrdStatus.PENDING_CANCEL)
    assert engine.core.orders["A1"].ord_status is OrdStatus.CANCELED
    assert engine.core.orders["P1"].ord_status is OrdStatus.NEW
    assert (await engine.place(p.buy("A3", 9010))).ord_status is OrdStatus.DENIED
    await p.crash()
    engine = await p.open()
    assert engine.core.book.state is TradingState.HALTED
    assert (await engine.place(p.buy("A4", 9015))).ord_status is OrdStatus.DENIED
    await engine.resume("checked")
    assert (await engine.place(p.buy("A5", 9020))).is_open
    await engine.halt("all", cancel_all=True)
    await p.hours.calm()
    assert engine.core.open_orders() == ()
    p.verdict()


async def test_a_file_flag_halts_within_a_beat_and_blocks_the_way_back(pit):
    p = pit()
    engine = await p.open()
    (engine.folder / "HALT").touch()
    await p.hours.run(0.1)
    assert engine.core.book.state is TradingState.HALTED
    with pytest.raises(Refused, match="remove it first"):
        await engine.resume("now")
    await p.crash()
    engine = await p.open()
    assert engine.core.book.state is TradingState.HALTED
    (engine.folder / "HALT").unlink()
    await engine.resume("now")
    assert engine.core.book.state is TradingState.ACTIVE


async def test_an_order_on_its_way_when_the_halt_comes_does_not_leave(pit, monkeypatch):
    p = pit()
    engine = await p.open()
    task = asyncio.ensure_future(engine.place(p.buy("A1")))
    while "A1" not in engine.core.orders:
        await asyncio.sleep(0)
    engine.later(engine.core.set_state(p.hours.now_ns, TradingState.HALTED, "now", cancel=False))
    order = await task
    assert (order.ord_status, order.text) == (OrdStatus.DENIED, "trading was halted before it left")
    assert p.broker.sent == []


async def test_a_dead_token_denies_locally_and_the_return_reads_everything_again(pit):
    """R09's part of the engine."""
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("A1"))
    p.broker.state = "auth_expired"
    await p.hours.run(0.2)
    assert engine.state == "auth_expired"
    denied = await engine.place(p.buy("A2", 9005))
    assert (denied.ord_status, [c for _, c, _ in p.broker.sent]) == (OrdStatus.DENIED, ["A1"])
    assert "log in again" in denied.text
    p.broker.state = "ready"
    await p.broker.withdrawn_elsewhere("A1")
    await p.hours.run(3)
    assert engine.state == "ready"
    assert engine.core.orders["A1"].ord_status is OrdStatus.CANCELED
    assert (await engine.place(p.buy("A3", 9010))).is_open
    assert p.alarms()[:1] == ["auth_expired"]
    assert "auth_restored" in p.alarms()
    p.verdict()


async def test_a_clock_that_is_off_alarms_and_then_stops_orders(pit):
    """R18."""
    p = pit()
    engine = await p.open()
    p.broker.clock_skew_s = 3.0
    await p.hours.run(1.1)
    assert p.alarms() == ["clock"]
    assert (await engine.place(p.buy("A1"))).is_open
    p.broker.clock_skew_s = -31.0
    with pytest.raises(Refused, match="31 s off the broker's"):
        await engine.place(p.buy("A2", 9005))
    p.broker.clock_skew_s = 0.0
    assert (await engine.place(p.buy("A2", 9005))).is_open


async def test_messy_updates_come_to_the_same_book_in_any_order(pit):
    """R04: repeated, shuffled, fills before acks, an overfill and a bust: one alarm each, no exception."""
    found = set()
    for seed in range(6):
        chance = random.Random(seed)
        p = pit()
        engine = await p.open(watching=False)
        for n in range(4):
            await engine.place(p.buy(f"A{n}", 9000 + 5 * n))
        now = p.hours.now_ns
        reports = []
        for n in range(4):
            ids = {"cl_ord_id": f"A{n}", "recv_ns": now, "order_id": f"X{n}"}
            reports.append(ExecutionReport(**ids, exec_id=f"n{n}", exec_type=ExecType.NEW, ts_ns=now))
            for part in range(3):
                trade = {"exec_type": ExecType.TRADE, "last_qty": 25, "last_px_p": 9000, "ts_ns": now + part}
                reports.append(ExecutionReport(**ids, exec_id=f"t{n}{part}", **trade))
        extra = {"cl_ord_id": "A0", "recv_ns": now, "ts_ns": now + 9, "order_id": "X0"}
        reports.append(ExecutionReport(**extra, exec_id="over", exec_type=ExecType.TRADE, last_qty=75, last_px_p=9000))
        reports.append(ExecutionReport(**extra, exec_id="b", exec_type=ExecType.TRADE_CANCEL, exec_ref_id="over"))
        messy = [r for r in reports for _ in range(chance.randrange(1, 4))]
        chance.shuffle(messy)
        for report in messy:
            await engine.take_reports([report])
        book = {c: (o.ord_status, o.cum_qty, o.traded_value_p) for c, o in engine.core.orders.items()}
        found.add((tuple(sorted(book.items())), tuple(sorted(engine.core.book.net.items()))))
        assert p.alarms().count("bust") == 1
        assert p.alarms().count("overfill") == 1
        assert engine.positions.position(p.call, "ACC").net_qty == engine.core.book.net[p.call]
        await engine.stop()
    assert len(found) == 1


async def test_flatten_buys_shorts_back_first_in_slices_and_reads_the_net_before_each_child(pit):
    p = pit()
    engine = await p.open()
    await p.hours.during(engine.place(p.buy("L1", None, ord_type=OrdType.MARKET, order_qty=150)))
    await engine.place(p.buy("S1", None, ord_type=OrdType.MARKET, symbol=p.put, side=Side.SELL, order_qty=3000))
    await p.hours.calm()
    await engine.place(p.buy("W1", 9000, symbol=p.put))
    p.quotes()
    reads = p.broker.reads
    orders = await p.hours.during(engine.flatten("end of day"))
    assert [(o.request.symbol, str(o.request.side), o.request.order_qty) for o in orders] == [
        (p.put, "BUY", 1800), (p.put, "BUY", 1200), (p.call, "SELL", 150)
    ]  # fmt: skip
    assert {o.ord_status for o in orders} == {OrdStatus.FILLED}
    assert p.broker.reads - reads >= 3
    assert engine.core.book.net == {}
    assert engine.core.orders["W1"].ord_status is OrdStatus.CANCELED
    assert engine.core.book.state is TradingState.REDUCING
    p.verdict()


async def test_flatten_never_reverses_a_position_that_was_closed_elsewhere(pit):
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("S1", 9900, symbol=p.put, side=Side.SELL, order_qty=75))
    await p.broker.elsewhere("K1", p.put, Side.BUY, 75, 10100)
    await engine.halt("first")
    orders = await p.hours.during(engine.flatten("late"))
    assert orders == ()
    assert engine.core.book.state is TradingState.HALTED


async def test_the_day_after_opens_with_the_close_of_the_day_before(pit):
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("A1", 10100))
    await engine.place(p.buy("A2", 9000))
    await engine.halt("overnight")
    path = engine.journal.path
    await engine.stop()
    last = verify_file(path).last_hash
    p.hours._move(p.hours.mono_ns + 86_400 * 3 * SECOND)
    p.broker._orders.clear()
    engine = await p.open()
    assert engine.journal._prev_hash == last
    assert engine.core.book.net == {p.call: 75}
    assert engine.core.book.state is TradingState.HALTED
    assert engine.core.orders == {}
    assert engine.positions.position(p.call, "ACC").avg_px == 100.5


async def test_listeners_get_every_event_from_then_on_and_those_they_missed(pit):
    p = pit()
    engine = await p.open()
    heard = []

    async def listen():
        async for event in engine.listen(after=0):
            heard.append(event.seq)

    task = asyncio.ensure_future(listen())
    for n in range(5):
        await engine.place(p.buy(f"A{n}", 9000 + 5 * n))
    await p.hours.calm()
    assert heard == [e.seq for e in engine.events()]
    await engine.stop()
    await asyncio.wait_for(task, 1)


async def test_an_engine_that_stopped_takes_nothing(pit):
    p = pit()
    engine = await p.open()
    await engine.stop()
    assert engine.state == "stopped"
    with pytest.raises(Refused, match="nothing was sent"):
        await engine.place(p.buy("A1"))
    assert p.broker.sent == []


async def test_the_account_must_be_the_brokers(pit):
    p = pit()
    p.broker.account = "OTHER"
    with pytest.raises(Refused, match="type your own account in full"):
        await p.open()
