"""The live engine: recovery, faults, halts and races, against a broker that keeps its own record."""

from __future__ import annotations

import asyncio
import random

import pytest

from toolkit.errors import BadData, Refused
from toolkit.orders.live import LiveEngine
from toolkit.risk.limits import TradingState
from toolkit.store.journal import verify_file
from toolkit.store.lease import Lease
from toolkit.types import ExecType, ExecutionReport, Modify, OrdStatus, Side

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


async def test_what_the_feed_said_before_an_engine_was_up_still_counts(pit):
    p = pit()
    engine = await p.open()
    await engine.place(p.buy("A1", 10100))
    await p.hours.calm()
    await p.crash()
    p.engine = LiveEngine(p.broker, "ACC", **p.fields())
    p.shown(120.0, 15000.0)  # a feed tells a contract when it is asked for it, and then may stay silent
    await p.engine.start()
    assert p.engine.core.book.mark(p.instruments[0]) == 120.0
    await p.engine.new_day()
    assert p.engine.core.book.mark(p.instruments[0]) == 120.0


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


async def test_a_hanging_call_is_unknown_after_its_time(pit):
    p = pit()
    p.settings["call_s"] = 0.05
    engine = await p.open()
    p.broker.faults["place"] = ["hang"]
    order = await engine.place(p.buy("A1"))
    assert order.ord_status is OrdStatus.UNKNOWN
    assert "did not answer" in order.text


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
