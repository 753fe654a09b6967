"""A person's resend of an order whose placing is unknown: once, and only after the true worst case."""

from __future__ import annotations

import asyncio

import pytest

from toolkit.errors import Refused, Retryable
from toolkit.types import Modify, OrdStatus, OrdType, Side


async def unknown(p, cl_ord_id="A1", **more):
    """An order that never arrived and was not answered; the market stays as it is."""
    p.broker.faults["place"] = ["cut-before"]
    order = await p.engine.place(p.buy(cl_ord_id, **more))
    assert order.ord_status is OrdStatus.UNKNOWN


def placed(p):
    return [name for kind, name, _ in p.broker.sent if kind == "place"]


def acts(engine):
    return [e.payload["act"] for e in engine.events() if e.kind == "act"]


async def test_it_needs_the_worst_case_in_its_own_words(pit):
    p = pit()
    engine = await p.open()
    await unknown(p)
    with pytest.raises(Refused, match=r"BUY 150 .*, position 150"):
        await engine.resend("A1", "yes")
    again = await engine.resend("A1", engine.worst_case("A1"))
    assert again.ord_status in (OrdStatus.NEW, OrdStatus.PENDING_NEW)
    assert again.cl_ord_id != "A1"
    assert engine.core.orders["A1"].ord_status is OrdStatus.UNKNOWN
    assert engine.core.book.open_qty(p.call, Side.BUY) == 150
    await p.hours.calm()
    with pytest.raises(Refused, match="not unknown"):
        await engine.resend(again.cl_ord_id, "x")
    assert acts(engine) == ["resend"]


async def test_the_same_confirmation_twice_is_the_same_new_order(pit):
    p = pit()
    engine = await p.open()
    await unknown(p)
    worst = engine.worst_case("A1")
    one, two = await asyncio.gather(engine.resend("A1", worst), engine.resend("A1", worst))
    three = await engine.resend("A1", worst)
    assert one.cl_ord_id == two.cl_ord_id == three.cl_ord_id
    assert placed(p) == ["A1", one.cl_ord_id]
    with pytest.raises(Refused, match=f"order A1 was sent again as {one.cl_ord_id} already"):
        await engine.resend("A1", engine.worst_case("A1"))
    assert acts(engine) == ["resend"]
    p.verdict()


async def test_it_is_the_same_new_order_after_a_restart_and_after_it_was_found(pit):
    p = pit()
    engine = await p.open()
    p.broker.muted = True
    p.broker.faults["place"] = ["late:20"]
    await engine.place(p.buy("A1"))
    worst = engine.worst_case("A1")
    made = await engine.resend("A1", worst)
    await p.crash()
    engine = await p.open()
    assert (await engine.resend("A1", worst)).cl_ord_id == made.cl_ord_id
    await p.hours.run(25)
    assert engine.core.orders["A1"].ord_status is OrdStatus.NEW
    assert (await engine.resend("A1", worst)).cl_ord_id == made.cl_ord_id
    assert placed(p) == ["A1", made.cl_ord_id]
    p.verdict()


async def test_a_crash_between_the_act_and_its_order_sends_it_once_and_under_the_id_that_was_written(pit):
    p = pit()
    engine = await p.open()
    await unknown(p)
    worst = engine.worst_case("A1")
    act = {"act": "resend", "of": "A1", "as": engine.new_id(), "confirmed": worst}
    await engine.perform(engine.core.note(engine.now_ns(), "act", "A1", act))
    await p.crash()
    engine = await p.open()
    assert engine.new_id() != act["as"]
    assert (await engine.resend("A1", worst)).cl_ord_id == act["as"]
    assert placed(p) == ["A1", act["as"]]
    p.verdict()


async def test_the_worst_case_counts_every_open_order_of_its_side_and_earlier_resends(pit):
    p = pit()
    engine = await p.open()
    await p.hours.during(engine.place(p.buy("H1", None, ord_type=OrdType.MARKET, order_qty=150)))
    await p.hours.calm()
    await engine.place(p.buy("W1", 8000, order_qty=300))
    await unknown(p)
    assert engine.worst_case("A1") == f"BUY 450 {p.call}, position 600"
    p.broker.faults["place"] = ["cut-before"]
    made = await engine.resend("A1", engine.worst_case("A1"))
    assert made.ord_status is OrdStatus.UNKNOWN
    assert engine.worst_case(made.cl_ord_id) == f"BUY 525 {p.call}, position 675"
    third = await engine.resend(made.cl_ord_id, engine.worst_case(made.cl_ord_id))
    assert third.cl_ord_id not in ("A1", made.cl_ord_id)
    assert engine.core.book.open_qty(p.call, Side.BUY) == 525


@pytest.mark.parametrize("kind", ["cancel", "modify"])
async def test_an_unknown_change_of_an_order_that_is_there_is_no_reason_to_send_it_again(pit, kind):
    p = pit()
    engine = await p.open()
    p.broker.muted = True
    await engine.place(p.buy("A1"))
    await p.hours.run(6)
    p.broker.faults[kind] = ["cut-before"]
    if kind == "cancel":
        await engine.cancel("A1")
    else:
        await engine.modify(Modify(cl_ord_id="A1", order_qty=75, price_p=8900))
    assert engine.core.orders["A1"].ord_status is OrdStatus.UNKNOWN
    with pytest.raises(
        Refused, match=r"order A1 is at the broker \(it is order .* there\); what is unknown is a change"
    ):
        await engine.resend("A1", engine.worst_case("A1"))
    assert placed(p) == ["A1"]


async def test_a_sliced_order_names_its_unknown_parts(pit):
    p = pit()
    engine = await p.open()
    p.broker.faults["place"] = ["", "cut-before"]
    await engine.place(p.buy("A1", order_qty=2700))
    kin = engine.core.children["A1"]
    unknown = [c for c in kin if engine.core.orders[c].ord_status is OrdStatus.UNKNOWN]
    assert len(unknown) == 1
    with pytest.raises(Refused, match=f"its unknown parts: {unknown[0]}"):
        await engine.resend("A1", engine.worst_case("A1"))
    again = await engine.resend(unknown[0], engine.worst_case(unknown[0]))
    assert (again.request.order_qty, again.request.parent_id) == (900, None)


async def test_one_that_our_rules_denied_may_be_confirmed_again(pit):
    p = pit()
    engine = await p.open()
    await unknown(p)
    await engine.halt("enough")
    worst = engine.worst_case("A1")
    assert (await engine.resend("A1", worst)).ord_status is OrdStatus.DENIED
    await engine.resume("looked")
    assert (await engine.resend("A1", worst)).is_open
    assert len(placed(p)) == 2


async def unsent(p, engine):
    """A resend that was confirmed and journaled, and whose order did not leave: the quote could not be read."""
    p.broker.muted = True
    p.broker.faults["place"] = ["late:8"]
    await engine.place(p.buy("A1", 10100))
    worst = engine.worst_case("A1")
    await p.hours.run(3)  # the quotes are too old: the broker is asked for one
    p.broker.link = "down"
    with pytest.raises(Retryable):
        await engine.resend("A1", worst)
    p.broker.link = "ready"
    return worst


@pytest.mark.parametrize("killed", [False, True])
async def test_a_confirmation_whose_order_did_not_leave_is_checked_anew(pit, killed):
    p = pit()
    engine = await p.open()
    worst = await unsent(p, engine)
    if killed:
        await p.crash()
        engine = await p.open()
    await p.hours.run(12)
    assert engine.core.orders["A1"].ord_status is OrdStatus.FILLED
    p.quotes()
    with pytest.raises(Refused, match="order A1 is filled, not unknown; there is nothing to resend"):
        await engine.resend("A1", worst)
    assert engine.core.book.net == {p.call: 75}
    assert placed(p) == ["A1"]
    p.verdict()


async def test_a_confirmation_whose_order_did_not_leave_is_not_that_of_another_worst_case(pit):
    p = pit()
    engine = await p.open()
    worst = await unsent(p, engine)
    p.quotes()
    await engine.place(p.buy("W1", 8000))
    with pytest.raises(Refused, match=r"BUY 225 .*, position 225"):
        await engine.resend("A1", worst)
    made, _ = engine.core.resent["A1"]
    assert (await engine.resend("A1", engine.worst_case("A1"))).cl_ord_id == made, "the id of the act that was written"
    assert placed(p) == ["A1", "W1", made]
    assert acts(engine) == ["resend", "resend"]
