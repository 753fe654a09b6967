"""A disk that takes seconds: what it held up stays here, new exposure is denied, what reduces and cancels leave."""

from __future__ import annotations

import pytest

from toolkit.errors import BadData
from toolkit.orders.core import Core
from toolkit.orders.effects import Record
from toolkit.orders.live_journal import Pen
from toolkit.risk.guards import Trip
from toolkit.risk.limits import TradingState
from toolkit.risk.rulefile import parse
from toolkit.risk.rules import KINDS, Rule, RuleBook
from toolkit.risk.units import Rupees
from toolkit.store.journal import Journal
from toolkit.types import OrdStatus, Side

TOOK = "the disk took 3.0 s to write, at most 2 s; only orders that reduce leave until it is fast again"


class Disk:
    """Every write of an engine's journal takes ``seconds`` of the time by hand; none while it is zero."""

    def __init__(self, p):
        self.hours, self.seconds = p.hours, 0.0
        self.append, self.writes = p.engine.journal.append, 0
        p.engine.journal.append = self.write

    def write(self, records):
        self.writes += 1
        self.hours._move(self.hours.mono_ns + round(self.seconds * 1e9))
        return self.append(records)


async def opened(pit, **more):
    p = pit(**more)
    engine = await p.open()
    return p, engine, Disk(p)


def trading(engine):
    return engine.core.book.state, engine.core.book.state_reason


def sound(p):
    """The journal alone says the same but for the second in which messages left: the disk held them up."""
    records = [e.record for e in p.engine.journal.records()]
    again, live = Core.replay(records).state(), p.engine.core.state()
    for one in (again, live):
        one["exposure"].pop("sent")
    assert again == live
    placed = [c for kind, c, _ in p.broker.sent if kind == "place"]
    assert len(placed) == len(set(placed))
    assert set(placed) <= {r.cl_ord_id for r in records if r.kind == "order"}
    assert p.engine.journal.verify().state == "sound"


async def run(p, seconds):
    """Let time pass with fresh quotes."""
    for _ in range(seconds):
        await p.hours.run(1)
        p.quotes()
    await p.hours.calm()


async def test_what_a_slow_write_held_up_stays_here_and_the_next_order_is_denied(pit):
    p, engine, disk = await opened(pit)
    disk.seconds = 3.0
    held = await engine.place(p.buy("A1", 9000))
    assert (held.ord_status, held.text.startswith(TOOK)) == (OrdStatus.DENIED, True)
    assert p.broker.sent == []
    disk.seconds = 0.0
    p.quotes()
    denied = await engine.place(p.buy("A2", 9005))
    assert denied.ord_status is OrdStatus.DENIED
    assert TOOK in denied.text
    assert "\n" not in denied.text
    assert trading(engine)[0] is TradingState.REDUCING
    assert p.alarms() == ["journal_stall"]
    assert engine.figures.facts().journal_ms == 3000.0
    sound(p)


async def test_the_state_comes_before_the_notice(pit):
    p, engine, disk = await opened(pit)
    disk.seconds = 3.0
    await engine.place(p.buy("A1", 9000))
    kinds = [(e.kind, e.payload.get("kind")) for e in engine.events() if e.kind in ("state", "alarm")]
    assert kinds[-2:] == [("state", None), ("alarm", "journal_stall")]


async def test_what_reduces_and_what_cancels_leaves_however_slow_the_disk_is(pit):
    p, engine, disk = await opened(pit)
    await engine.place(p.buy("A1", 10100))
    await engine.place(p.buy("A2", 9000))
    await p.hours.calm()
    assert engine.core.book.net == {p.call: 75}
    disk.seconds = 3.0
    await p.hours.during(engine.cancel("A2"))
    assert engine.core.orders["A2"].ord_status is OrdStatus.CANCELED
    p.quotes()
    sold = await p.hours.during(engine.place(p.buy("S1", 9900, side=Side.SELL)))
    await p.hours.calm()
    assert sold.ord_status is not OrdStatus.DENIED, sold.text
    assert engine.core.book.net == {}
    assert [c for kind, c, _ in p.broker.sent if kind == "cancel"] == ["A2"]
    assert p.alarms() == ["journal_stall"], "told once, however many writes are slow"
    sound(p)


async def test_it_ends_once_the_disk_was_fast_for_a_while(pit):
    p, engine, disk = await opened(pit)
    disk.seconds = 3.0
    await engine.place(p.buy("A1", 9000))
    await p.hours.calm()
    disk.seconds = 0.0
    await run(p, 4)
    assert trading(engine)[0] is TradingState.REDUCING
    await run(p, 4)
    assert trading(engine) == (TradingState.ACTIVE, "the disk writes fast again")
    assert p.alarms() == ["journal_stall", "journal_restored"]
    assert (await engine.place(p.buy("A2", 9005))).ord_status is OrdStatus.NEW
    sound(p)


async def test_a_disk_that_stays_slow_keeps_it(pit):
    p, engine, disk = await opened(pit)
    disk.seconds = 3.0
    await engine.place(p.buy("A1", 9000))
    await run(p, 30)
    p.quotes()
    assert (await engine.place(p.buy("A2", 9005))).ord_status is OrdStatus.DENIED
    assert trading(engine)[0] is TradingState.REDUCING
    assert p.broker.sent == []
    assert disk.writes < 60, "the rule itself does not keep a slow disk busy"
    sound(p)


async def test_a_person_resumes(pit):
    p, engine, disk = await opened(pit)
    disk.seconds = 3.0
    await engine.place(p.buy("A1", 9000))
    await p.hours.calm()
    disk.seconds = 0.0
    await p.hours.during(engine.resume("the disk was looked at"))
    assert trading(engine) == (TradingState.ACTIVE, "the disk was looked at")
    await run(p, 1)
    assert (await engine.place(p.buy("A2", 9005))).ord_status is OrdStatus.NEW
    await run(p, 10)
    assert p.alarms() == ["journal_stall"]
    sound(p)


async def test_a_halt_stays_a_halt(pit):
    p, engine, disk = await opened(pit)
    await engine.halt("enough")
    disk.seconds = 3.0
    await engine.perform(engine.core.note(engine.now_ns(), "act", "", {"act": "look"}))
    disk.seconds = 0.0
    await run(p, 12)
    assert trading(engine) == (TradingState.HALTED, "enough")
    assert p.alarms() == ["journal_stall", "journal_restored"]


async def test_what_somebody_else_lifts_stays_reduced_while_the_disk_is_slow(pit):
    p, engine, disk = await opened(pit)
    disk.seconds = 3.0
    await engine.place(p.buy("A1", 9000))
    await p.hours.calm()
    disk.seconds = 0.0
    await p.hours.during(engine.brakes.set_state(TradingState.ACTIVE, "a guard lifted"))
    await p.hours.run(1)
    assert trading(engine)[0] is TradingState.REDUCING
    assert trading(engine)[1].startswith(TOOK)


async def test_the_account_s_own_rule_halts_on_top_and_each_ends_by_itself(pit):
    rules = RuleBook(parse('[[rule]]\nkind = "journal_stall"', "rules.toml").rules, "ACC")
    p, engine, disk = await opened(pit, guards=(rules,))
    disk.seconds = 3.0
    assert (await engine.place(p.buy("A1", 9000))).ord_status is OrdStatus.DENIED
    assert trading(engine)[0] is TradingState.REDUCING
    disk.seconds = 0.0
    await run(p, 2)
    state, reason = trading(engine)
    assert (state, reason.split(":")[0]) == (TradingState.HALTED, "journal_stall")
    await run(p, 70)
    assert trading(engine) == (TradingState.ACTIVE, "journal_stall lifted")
    assert not engine.stall.stands


async def test_a_lock_taken_while_the_disk_is_slow_is_enforced_and_outlives_it(pit):
    loss = KINDS["day_loss"]
    rule = Rule("day_loss", loss, loss.params(max_loss=Rupees.parse("1000 Rs")))
    p, engine, disk = await opened(pit, guards=(RuleBook([rule], "ACC"),))
    await engine.place(p.buy("L1", 10050))
    await engine.place(p.buy("W1", 8000, symbol=p.put))
    await p.hours.run(0.3)
    disk.seconds = 3.0
    await engine.perform(engine.core.note(engine.now_ns(), "act", "", {"act": "look"}))
    disk.seconds = 0.0
    assert trading(engine)[0] is TradingState.REDUCING
    p.quotes(82.0)
    await p.hours.run(1.2)
    assert engine.core.orders["W1"].ord_status is OrdStatus.CANCELED
    for _ in range(10):
        p.quotes(82.0)
        await p.hours.run(1)
    assert not engine.stall.stands
    assert trading(engine)[0] is TradingState.REDUCING
    assert trading(engine)[1].startswith("day_loss: the day lost")
    assert p.alarms() == ["journal_stall", "guard:day_loss", "journal_restored"]
    sound(p)


async def test_its_end_goes_no_higher_than_what_a_guard_demands(pit):
    p, engine, disk = await opened(pit)
    disk.seconds = 3.0
    await engine.place(p.buy("A1", 9000))
    await p.hours.calm()
    disk.seconds = 0.0
    engine.watch._trips["mine"] = Trip(TradingState.REDUCING, "mine", "not yet in force", "by a person")
    await run(p, 8)
    assert not engine.stall.stands
    assert trading(engine) == (TradingState.REDUCING, "mine: not yet in force")


async def test_a_restart_takes_it_over_and_ends_it_too(pit):
    p, engine, disk = await opened(pit)
    disk.seconds = 3.0
    await engine.place(p.buy("A1", 9000))
    await p.hours.calm()
    await p.crash()
    p.quotes()
    engine = await p.open()
    assert trading(engine)[0] is TradingState.REDUCING
    assert engine.stall.stands
    await run(p, 8)
    assert trading(engine)[0] is TradingState.ACTIVE
    sound(p)


async def test_the_limit_is_a_setting_and_a_write_within_it_is_nothing(pit):
    p = pit()
    p.settings["stall_s"] = 5.0
    engine = await p.open()
    disk = Disk(p)
    disk.seconds = 4.9
    assert (await engine.place(p.buy("A1", 9000))).ord_status is OrdStatus.NEW
    assert not engine.stall.stands
    disk.seconds = 5.1
    p.quotes()
    assert (await engine.place(p.buy("A2", 9005))).ord_status is OrdStatus.DENIED
    assert "at most 5 s" in engine.stall.text


async def test_a_slow_last_write_does_not_keep_an_engine_from_stopping(pit):
    p, engine, disk = await opened(pit)
    disk.seconds = 3.0
    engine.later(engine.alarm("test", "the last words"))
    await p.hours.during(engine.stop())
    assert engine.state == "stopped"


@pytest.mark.parametrize("refuses", [False, True])
def test_the_pen_tells_of_a_slow_write_before_what_waited_and_not_of_one_that_failed(tmp_path, refuses):
    now, told = [0], []
    journal = Journal(tmp_path / "j.db", account="A", day="2026-07-13")
    append = journal.append

    def write(records):
        now[0] += 3 * 10**9
        if refuses:
            raise BadData("disk full")
        return append(records)

    journal.append = write
    pen = Pen(journal, lambda: now[0], 2 * 10**9, lambda took_ns: told.append(took_ns))
    pen.add([Record(1, "act", "A1", b"{}")])
    pen._waiting.append(lambda done: told.append(done))
    pen.flush()
    assert told == ([False] if refuses else [3 * 10**9, True])
    pen.close()
