"""Locks on a running engine: what cannot be resumed, how a person lifts one, what is told meanwhile."""

from __future__ import annotations

import threading

import pytest

from toolkit import tables
from toolkit.errors import Refused
from toolkit.orders.live_figures import Figures
from toolkit.risk.account import Accounts, Across
from toolkit.risk.guards import Facts
from toolkit.risk.limits import TradingState
from toolkit.risk.rulefile import parse
from toolkit.risk.rules import KINDS, Rule, RuleBook
from toolkit.risk.units import Rupees
from toolkit.store.rules import DeskRules, ask_unlock
from toolkit.types import OrdStatus, Place, Side

LOSS = KINDS["day_loss"]


def day_loss(rupees: str, name: str = "day_loss") -> Rule:
    return Rule(name, LOSS, LOSS.params(max_loss=Rupees.parse(rupees)))


async def lost(p, engine, middle=50.0):
    """Buy one lot and let its price fall."""
    await engine.place(p.buy("L1", 10050))
    await p.hours.run(0.3)
    assert engine.core.book.net == {p.call: 75}
    p.quotes(middle)
    await p.hours.run(1.2)


async def locked(p, tmp_path, **more):
    rules = DeskRules(RuleBook([day_loss("1000 Rs")], "ACC"), tmp_path, **more)
    engine = await p.open(guards=[rules])
    await lost(p, engine)
    assert engine.core.book.state is TradingState.REDUCING
    return engine


async def unlocked(p, folder, lock_id):
    """A person's command in another thread, answered by the engine's next look."""
    answer: list[str] = []
    person = threading.Thread(target=lambda: answer.append(ask_unlock(folder, lock_id, "ACC", "cli", wait_s=20)))
    person.start()
    while person.is_alive():
        await p.hours.run(0.2)
        person.join(0.02)
    await p.hours.calm()
    return answer[0]


async def test_a_lock_is_not_resumed_away_and_the_refusal_names_what_lifts_it(pit, tmp_path):
    p = pit()
    engine = await locked(p, tmp_path)
    with pytest.raises(Refused, match=r"day_loss: the day lost Rs .*lifts at 30-Aug 00:00:00 .*unlock day_loss-1"):
        await engine.resume("go on")
    assert engine.core.book.state is TradingState.REDUCING
    order = await engine.place(p.buy("A1", 4950))
    assert order.ord_status is OrdStatus.DENIED
    closing = await engine.place(p.buy("A2", 4950, side=Side.SELL))
    assert closing.ord_status is not OrdStatus.DENIED


async def test_an_unlock_is_an_act_of_its_own_in_the_journal(pit, tmp_path):
    p = pit()
    engine = await locked(p, tmp_path)
    assert "is unlocked" in await unlocked(p, tmp_path, "day_loss-1")
    assert engine.core.book.state is TradingState.ACTIVE
    acts = [e.payload for e in engine.events(most=10**6) if e.kind == "act"]
    assert [(a["act"], a["lock_id"], a["by"], a["lifted"]) for a in acts] == [("unlock", "day_loss-1", "cli", True)]
    await engine.resume("already")  # nothing stands: the act passes


async def test_a_lock_stands_after_a_crash_and_before_the_first_look(pit, tmp_path):
    p = pit()
    await locked(p, tmp_path)
    await p.crash()
    rules = DeskRules(RuleBook([day_loss("1000 Rs")], "ACC"), tmp_path)
    engine = await p.open(guards=[rules], watching=False)
    with pytest.raises(Refused, match="is locked and resuming does not lift a lock: day_loss"):
        await engine.resume("again")


async def test_an_order_from_elsewhere_during_a_lock_is_an_alarm(pit, tmp_path):
    p = pit()
    engine = await locked(p, tmp_path)
    await p.broker.elsewhere("PHONE1", p.put, Side.BUY, 75, 4000)
    await p.hours.run(8)
    told = [e.payload for e in engine.events(most=10**6) if e.kind == "alarm" and e.payload["kind"] == "foreign_order"]
    assert len(told) == 1
    assert "while trading is reducing, an order came from elsewhere" in told[0]["text"]


async def test_a_loss_of_another_account_locks_this_one_and_is_unlocked_here(pit, tmp_path):
    p = pit()
    together = Accounts(["ACC", "OTHER"])
    shared = Across(together, RuleBook([day_loss("1000 Rs", "across-day_loss")], "ACC"), "ACC")
    rules = DeskRules(RuleBook([], "ACC"), tmp_path, also=[shared.rules])
    engine = await p.open(guards=[rules, shared])
    p.quotes()
    together.put("OTHER", p.hours.now_ns, Facts(realized_p=-200_000, unrealized_p=0, charges_p=0))
    await p.hours.run(1.2)
    assert engine.core.book.state is TradingState.REDUCING
    assert "across-day_loss" in engine.core.book.state_reason
    together.put("OTHER", p.hours.now_ns, Facts(realized_p=0, unrealized_p=0, charges_p=0))
    await unlocked(p, tmp_path, "across-day_loss-1")
    assert engine.core.book.state is TradingState.ACTIVE


def test_a_rules_file_declares_rules_of_the_sum():
    file = parse('valid_until = 2030-01-01\n[[across]]\nkind = "day_loss"\nmax_loss = "50000 Rs"\n', "r.toml")
    assert [(rule.name, rule.params.max_loss) for rule in file.across] == [("across-day_loss", 5_000_000)]
    with pytest.raises(Exception, match=r"r.toml line 2: cooldown looks at one account"):
        parse('[[across]]\nkind = "cooldown"\n', "r.toml")


async def test_a_repeat_passes_when_a_person_says_it_is_meant_and_a_strategy_cannot(pit):
    p = pit()
    engine = await p.open()
    assert (await engine.place(p.buy("A1"))).ord_status is OrdStatus.NEW
    assert [d.rule for d in engine.core.denials.get((await engine.place(p.buy("A2"))).cl_ord_id, ())] == ["duplicate"]
    assert (await engine.place(p.buy("A3", confirm=("duplicate",)))).ord_status is OrdStatus.NEW
    assert "confirm" not in Place.__struct_fields__


async def test_the_guards_see_a_silent_feed_and_an_index_that_fell(pit):
    p = pit()
    kinds = ("feed_stale", "exchange_breaker")
    params = {"exchange_breaker": {"table": tables.breakers()}}
    rules = RuleBook([Rule(k, KINDS[k], KINDS[k].params(**params.get(k, {}))) for k in kinds], "ACC")
    engine = await p.open(guards=[rules])
    figures: Figures = engine.figures
    figures.feed_age_s = lambda: 6.0
    await p.hours.run(1.2)
    assert engine.core.book.state is TradingState.HALTED
    with pytest.raises(Refused, match="ticks younger than 1 s"):
        await engine.resume("anyway")
    figures.feed_age_s = lambda: 0.2
    await p.hours.run(1.2)
    assert engine.core.book.state is TradingState.ACTIVE
    figures.index_moves = lambda: {"NIFTY": -0.151}
    await p.hours.run(1.2)
    assert "NIFTY moved -15.10%" in engine.core.book.state_reason
