"""The next day starts from the close of this one."""

from __future__ import annotations

from toolkit.orders.carry import carried_book, first_records
from toolkit.orders.core import Core
from toolkit.risk.limits import TradingState
from toolkit.types import Place, Side

DAY_NS = 86_400 * 10**9


def test_positions_averages_a_halt_and_memories_go_on_and_orders_end(scene):
    s = scene()
    s.engine.intents(s.now, [Place(symbol=s.call, side=Side.BUY, order_qty=150, price_p=10050)])
    s.engine.intents(s.now, [Place(symbol=s.put, side=Side.BUY, order_qty=75, price_p=9000)])
    s.engine.run_until(s.now)
    s.core.note(s.now, "strategy", "mine", {"seen": 3})
    s.engine.set_state(s.now, TradingState.HALTED, "overnight")
    note = s.core.note(s.now, "strategy", "mine", {"seen": 4})
    records = [*s.sink.records, *note]
    core = Core("PAPER", limits=s.core.limits)
    made = first_records(core, s.now + DAY_NS, records)
    assert [r.kind for r in made] == ["open", "strategy"]
    assert core.book.net == {s.call: 150}
    assert (core.book.state, core.book.state_reason) == (TradingState.HALTED, "overnight")
    assert core.orders == {}
    assert core.notes["strategy"] == {"mine": {"seen": 4}}
    line = carried_book(core).position(s.call, "PAPER")
    assert (line.net_qty, line.avg_px, line.realized_p) == (150, 100.5, 0)
    assert Core.replay(made).state() == core.state()


def test_what_stands_under_a_guards_halt_goes_on_under_it_overnight(scene):
    s = scene()
    s.engine.set_state(s.now, TradingState.REDUCING, "flatten")
    demand = s.core.set_state(s.now, TradingState.HALTED, "day_loss: lost", cancel=False, passing=True)
    core = Core("PAPER", limits=s.core.limits)
    made = first_records(core, s.now + DAY_NS, [*s.sink.records, *demand])
    assert core.taken == (TradingState.REDUCING, "flatten")
    assert Core.replay(made).state() == core.state()


def test_two_days_later_the_average_is_still_the_first_days(scene):
    s = scene()
    s.engine.intents(s.now, [Place(symbol=s.call, side=Side.BUY, order_qty=150, price_p=10050)])
    s.engine.run_until(s.now)
    second = Core("PAPER", limits=s.core.limits)
    records = first_records(second, s.now + DAY_NS, s.sink.records)
    third = Core("PAPER", limits=s.core.limits)
    first_records(third, s.now + 2 * DAY_NS, records)
    assert carried_book(third).position(s.call, "PAPER").avg_px == 100.5


def test_the_first_day_of_all_is_empty(scene):
    core = Core("PAPER")
    assert [r.kind for r in first_records(core, scene().now, [])] == ["open"]
    assert carried_book(core).all() == ()
