"""The order-to-trade meter follows the journal: a restart counts on, a new day begins anew."""

from __future__ import annotations

import msgspec
import pytest

from toolkit.orders.live_journal import Event
from toolkit.orders.meters import Meters, verified
from toolkit.tables import order_to_trade


@pytest.fixture
def meters(process):
    return Meters(process.station.hub, order_to_trade())


def counted(meters, process):
    return meters.row(process.seat)["order_to_trade"]


def events(process, cl_ord_id):
    return [e for e in process.events() if e.cl_ord_id == cl_ord_id]


def test_nothing_is_counted_before_the_first_event(meters, process):
    row = meters.row(process.seat)
    assert (row["account"], row["order_to_trade"]) == ("PAPER", {})
    assert {"latency", "fill_ratio", "slippage"} <= set(row)


def test_each_message_counts_once_and_each_execution_is_a_trade(meters, process):
    process("place", process.body(cl_ord_id="METER1"))
    process("modify", "METER1", {"order_qty": 130, "price": "58.50"})
    process("cancel", "METER1")
    process("place", process.body(cl_ord_id="METER2", price="115"))
    told = [*events(process, "METER1"), *events(process, "METER2")]
    for event in told:
        meters.take(process.seat, event)
    nse = counted(meters, process)["NSE"]
    trades = sum(e.payload.get("exec_type") == "trade" for e in told)
    assert (nse["new"], nse["replace"], nse["cancel"], nse["trades"]) == (2, 1, 1, trades)
    assert trades > 0
    assert nse["counted"] == 4 - nse["exempt"]


def test_a_message_read_back_late_is_not_exempt(meters, process):
    process("place", process.body(cl_ord_id="METER3"))
    (event,) = [e for e in events(process, "METER3") if e.kind == "order"]
    meters.take(process.seat, msgspec.structs.replace(event, ts_ns=process.seat.engine.now_ns()))
    assert counted(meters, process)["NSE"]["exempt"] == 1
    meters.take(process.seat, msgspec.structs.replace(event, ts_ns=process.seat.engine.now_ns() - 3 * 10**9))
    assert (counted(meters, process)["NSE"]["new"], counted(meters, process)["NSE"]["exempt"]) == (2, 1)


def test_recalled_is_what_was_heard_and_an_opening_begins_anew(meters, process):
    before = process.station.last_seq("PAPER")
    newest = process.loop.wait(lambda: meters.recall(process.seat))
    assert newest >= before > 1
    kept = [e for e in process.events() if e.seq <= newest and e.kind in ("order", "modify", "cancel")]
    known = [e for e in kept if e.cl_ord_id in process.seat.engine.core.orders]
    nse = counted(meters, process)["NSE"]
    assert nse["new"] + nse["replace"] + nse["cancel"] == len(known) > 0
    meters.take(process.seat, Event(seq=newest + 1, ts_ns=0, kind="open", cl_ord_id="", payload={}))
    assert counted(meters, process) == {}


def test_alarms_of_this_process_are_told_and_those_of_earlier_ones_are_not(meters, process, monkeypatch):
    engine = process.seat.engine
    before = process.station.last_seq("PAPER")
    process.loop.wait(lambda: engine.perform(engine.alarm("test", "a start wrote it")))
    for opened, wanted in ((before, [("test", "a start wrote it")]), (10**9, [])):
        monkeypatch.setattr(engine, "opened_seq", opened)
        told = []
        process.loop.wait(lambda told=told: meters.recall(process.seat, lambda *words: told.append(words)))
        assert told == wanted


def test_the_journals_chain_is_checked_by_its_writer(process):
    before = process.station.last_seq("PAPER")
    (row,) = process.loop.wait(lambda: verified([process.seat]))
    assert (row["account"], row["broker"], row["state"]) == ("PAPER", "paper", "sound")
    assert before <= row["records"] == row["good"] <= process.station.last_seq("PAPER")
    assert len(row["last_hash"]) == 64
