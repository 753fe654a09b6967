"""The process as one object, on paper over the shipped session: acts, books, market and alerts, all of it real."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from toolkit.config import Settings
from toolkit.errors import BadData, BadOrder, Refused, RiskDenied, ToolkitError
from toolkit.orders.station import Seat, Station
from toolkit.orders.words import NoOrder
from toolkit.serve.build import Plan, build


def test_it_is_up_and_says_so(process):
    state = process.station.state()
    assert process.station.up
    assert process.station.accounts == ("PAPER",)
    assert (state["mode"], [a["account"] for a in state["accounts"]]) == ("paper", ["PAPER"])
    assert {"NIFTY", "SENSEX"} <= set(state["underlyings"])
    assert msgspec.json.decode(msgspec.json.encode(state)) == state


def test_a_process_needs_accounts_that_differ(process):
    hub, clock = process.station.hub, process.station.clock
    with pytest.raises(BadData, match="at least one account"):
        Station([], hub, mode="paper", clock=clock)
    twice = [Seat(engine=process.seat.engine), Seat(engine=process.seat.engine)]
    with pytest.raises(BadData, match="two accounts of one process have the same id"):
        Station(twice, hub, mode="paper", clock=clock)


def test_an_order_lives_and_its_events_tell_it(process):
    body = process.body(cl_ord_id="LIFE1")
    placed = process("place", body)
    assert (placed["cl_ord_id"], placed["ord_status"], placed["order_qty"]) == ("LIFE1", "new", 65)
    again = process("place", body)
    assert (again["cl_ord_id"], again["order_id"]) == ("LIFE1", placed["order_id"])
    with pytest.raises(ToolkitError, match="LIFE1 is already another order; use a new id"):
        process("place", {**body, "lots": 2})
    changed = process("modify", "LIFE1", {"order_qty": 130, "price": "59.00"})
    assert (changed["order_qty"], changed["price"]) == (130, 59.0)
    process("cancel", "LIFE1")
    found = process("order", "LIFE1")
    assert (found["ord_status"], found["children"]) == ("canceled", [])
    kinds = [e["kind"] for e in found["events"]]
    assert [kind for kind in kinds if kind != "report"] == ["order", "modify", "cancel"]
    assert {e["cl_ord_id"] for e in found["events"]} == {"LIFE1"}
    assert process.station.order_row("PAPER", "LIFE1")["ord_status"] == "canceled"
    assert process.station.order_row("PAPER", "NOBODY") is None


def test_a_trade_moves_the_position_the_profit_and_the_fills(process):
    before = process("positions")["positions"]
    assert process("place", process.body(price="115"))["symbol"] == process.CALL
    fills = process("fills")["fills"]
    (row,) = process("positions")["positions"]
    assert before == []
    cost = sum(f["last_qty"] * f["last_px"] for f in fills)
    assert (row["net_qty"], row["account"]) == (sum(f["last_qty"] for f in fills), "PAPER")
    assert row["avg_px"] * row["net_qty"] == pytest.approx(cost)
    (pnl,) = process("pnl")["pnl"]
    assert pnl["charges"] > 0
    assert pnl["net"] == pnl["gross"] - pnl["charges"]
    chain = process("chain", "NIFTY")
    held = [r for r in chain["rows"] if r["ce_symbol"] == process.CALL]
    assert [r["ce_position"] for r in held] == [row["net_qty"]]
    assert row["net_qty"] > 0


def test_flatten_wants_the_account_in_full_and_shrinks_only_until_a_resume(process):
    with pytest.raises(BadOrder, match="confirmed by its id in full: confirm=PAPER"):
        process("flatten", "enough", None)
    process("place", process.body(price="114"))
    held, newest = process.seat.engine.core.book.net[process.CALL], process.station._alert_seq
    sent = process("flatten", "enough", "PAPER")["orders"]
    left = process.seat.engine.core.book.net.get(process.CALL, 0)
    assert {o["side"] for o in sent} == {"SELL"}
    assert left == held - sum(o["cum_qty"] for o in sent)
    told = [a["text"] for a in process.station.alerts_after(newest) if a["text"].startswith("not closed")]
    assert len(told) == (left > 0), "what the bids did not take is named"
    denied = process("place", process.body())
    assert (denied["ord_status"], denied["denials"][0]["rule"]) == ("denied", "reducing")
    assert process("resume", "looked")["trading"][0]["trading"] == "active"
    assert process("place", process.body())["ord_status"] == "new"


def test_a_halt_denies_and_tells_and_a_resume_ends_it(process):
    newest = process.station._alert_seq
    (seat,) = process("halt", "odd")["trading"]
    assert (seat["trading"], seat["reason"]) == ("halted", "odd")
    assert process("place", process.body())["denials"][0]["rule"] == "halted"
    process("resume", "fine")
    told = [(a["kind"], a["text"]) for a in process.station.alerts_after(newest)]
    assert told == [("halt", "trading halted: odd"), ("resume", "trading resumed: fine")]


def test_a_preview_sends_nothing(process):
    count = len(process("orders")["orders"])
    found = process("preview", process.body(cl_ord_id="P1", price="70"))
    assert (found["plan"], found["account"], found["mode"]) == ([65], "PAPER", "paper")
    assert found["confirm"] == f"BUY 65 {process.CALL} @ 70.00 on PAPER PAPER"
    assert found["charges"]["total"] > 0
    assert len(process("orders")["orders"]) == count


def test_an_account_that_is_not_armed_only_shrinks(process):
    process.seat.armed_until_ns = 0
    try:
        with pytest.raises(RiskDenied, match="live trading of PAPER is not armed: --live PAPER was not given"):
            process("place", process.body())
        process.seat.armed_until_ns = 1
        with pytest.raises(RiskDenied, match="has expired with the session"):
            process("place", process.body())
    finally:
        process.seat.armed_until_ns = None


def test_what_does_not_exist_is_named_with_the_nearest(process):
    process("place", process.body(cl_ord_id="NEAR1"))
    with pytest.raises(NoOrder, match="no order 'NEAR2' today; did you mean 'NEAR1'"):
        process("order", "NEAR2")
    with pytest.raises(BadOrder, match="account must be one of PAPER, was 'PAPR'; did you mean 'PAPER'"):
        process("place", process.body(account="PAPR"))
    with pytest.raises(BadData, match="NIFTY has no expiry 2026-07-15; listed are 2026-07-14"):
        process.station.check_topic("chain:NIFTY:2026-07-15")
    with pytest.raises(BadData, match="no options on 'NIFT'"):
        process.station.check_topic("oi:NIFT")
    with pytest.raises(Refused, match="NEAR1 is new, not unknown; there is nothing to resend"):
        process("resend", "NEAR1", "x")


def test_events_are_gapless_and_an_audit_is_one_of_them(process):
    process("audit", "login", who="tester")
    found = process("events", 0, 10_000)
    assert [e["seq"] for e in found["events"]] == list(range(1, found["last"] + 1))
    acts = [e["payload"] for e in found["events"] if e["kind"] == "act"]
    assert [a["who"] for a in acts if a["act"] == "login"] == ["tester"]


def test_topics_are_the_newest_values(process):
    assert process("topic", "state")["accounts"][0]["account"] == "PAPER"
    assert "ts_ns" not in process("topic", "pnl")
    assert process("topic", "chain:NIFTY:2026-07-14")["expiry"] == "2026-07-14"
    levels = process("topic", "oi:NIFTY")["levels"]
    assert len({row["ts"] for row in levels}) == 1
    key = process.station.hub.by_symbol[process.CALL]
    assert process.station.ticks([key, -1])[process.CALL]["ltp"] > 0
    assert len(process.station.ticks([key, -1])) == 1


def test_alerts_are_numbered_one_line_each_and_the_newest_thousand_are_kept(process):
    first = process.station._alert_seq
    for n in range(1001):
        process.station.alert("test", f"line\n {n}")
    kept = process.station.alerts_after(0)
    assert len(kept) == 1000
    assert kept[-1]["seq"] == first + 1001
    assert kept[-1]["text"] == "line 1000"
    assert process.station.alerts_after(first + 1001) == []


async def test_what_a_start_writes_is_told_once_and_so_is_the_file_flag(tmp_path, monkeypatch):
    """Start-up writes before anybody listens."""
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    told, halted = [], ("halt", "trading halted: the file flag HALT")

    async def until(true):
        async with asyncio.timeout(20):
            while not true():
                await asyncio.sleep(0.005)

    for life in (1, 2):
        built = await build(Plan(), Settings.load())
        station, engine = built.station, built.station.seats["PAPER"].engine
        station.tell = lambda alert: told.append((alert["kind"], alert["text"]))
        flag = engine.folder / "HALT"
        flag.parent.mkdir(parents=True, exist_ok=True)
        flag.touch()
        await station.start()
        await until(lambda station=station: station.meters._meters)
        assert told == [halted], "and the halt that stands at the second start is no news"
        if life == 2:
            flag.unlink()
            await engine.resume("looked")
            flag.touch()
            await until(lambda: len(told) > 1)
        await station.stop()
        await built.close()
    assert told == [halted, halted]
