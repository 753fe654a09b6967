"""Flattening when things go wrong on its way, on a simulated exchange."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import math

import msgspec
import pytest

from toolkit.brokers.port import Held
from toolkit.calendar import ist_date, ist_ns
from toolkit.errors import AuthExpired, Retryable
from toolkit.market.quotes import key_of
from toolkit.risk.limits import TradingState
from toolkit.types import OrdStatus, OrdType, Product, Side


async def bought(p, units):
    """A long position, bought at the offer."""
    p.quotes(qty=15000)
    await p.hours.during(p.engine.place(p.buy("L1", None, ord_type=OrdType.MARKET, order_qty=units)))
    await p.hours.calm()
    p.quotes(qty=15000)


async def sold(p, *symbols):
    for symbol in symbols:
        await p.engine.place(p.buy(f"S{symbol[-8:-3]}{symbol[-2:]}", 9900, symbol=symbol, side=Side.SELL))
    await p.hours.calm()


@contextlib.contextmanager
def every(p, seconds, work):
    """Do something again and again."""

    async def loop():
        while True:
            await p.hours.sleep(seconds)
            work()

    task = asyncio.ensure_future(loop())
    yield
    task.cancel()


def told(p):
    """The text of the last alarm."""
    return [e.payload["text"] for e in p.engine.events(most=10**6) if e.kind == "alarm"][-1]


def children(p):
    return [o for o in p.engine.core.orders.values() if o.request.order_source == "flatten"]


async def test_a_child_that_cannot_be_sent_leaves_the_others_be_and_is_sent_later(pit, monkeypatch):
    p = pit()
    engine = await p.open()
    await sold(p, p.wing, p.put)
    await p.hours.run(3)  # the quotes are stale: each child asks for one
    p.market(100.0, 15000.0)
    quote, failed = p.broker.quote, []

    async def busy(symbols):
        if symbols[0] == p.wing and len(failed) < 2:
            failed.append(symbols)
            raise Retryable("too many requests")
        await p.hours.sleep(0.05)
        return await quote(symbols)

    monkeypatch.setattr(p.broker, "quote", busy)
    orders = await p.hours.during(engine.flatten("end of day"))
    assert len(failed) == 2
    assert {(o.request.symbol, o.ord_status) for o in orders} == {
        (p.wing, OrdStatus.FILLED), (p.put, OrdStatus.FILLED)
    }  # fmt: skip
    assert engine.core.book.net == {}
    p.verdict()


async def test_a_child_that_can_never_be_sent_is_told_and_the_rest_is_closed(pit, monkeypatch):
    p = pit()
    engine = await p.open()
    await sold(p, p.wing, p.put)
    await p.hours.run(3)
    p.market(100.0, 15000.0)
    quote = p.broker.quote

    async def busy(symbols):
        if symbols[0] == p.wing:
            raise Retryable("too many requests")
        return await quote(symbols)

    monkeypatch.setattr(p.broker, "quote", busy)
    await p.hours.during(engine.flatten("end of day"))
    assert engine.core.book.net == {p.wing: -75}
    assert told(p).startswith(f"not closed: -75 {p.wing} (its next order could not be sent: too many requests)")


async def test_a_dead_token_ends_a_flatten_and_is_told(pit, monkeypatch):
    p = pit()
    engine = await p.open()
    await sold(p, p.wing, p.put)
    await p.hours.run(3)
    p.market(100.0, 0.0)
    quote = p.broker.quote

    async def dead(symbols):
        if symbols[0] == p.wing:
            raise AuthExpired("the token is dead")
        return await quote(symbols)

    monkeypatch.setattr(p.broker, "quote", dead)
    orders = await p.hours.during(engine.flatten("end of day"))
    assert [(o.request.symbol, o.is_open) for o in orders] == [(p.put, False)], "seen to its end"
    assert told(p).startswith("the broker's positions cannot be read (the token is dead)")


async def test_the_hedge_of_a_short_that_was_given_up_stays_and_is_named(pit):
    p = pit()
    engine = await p.open()
    await bought(p, 75)
    await sold(p, p.wing)

    def no_offer():
        """Nobody sells what is short."""
        keys, asks, sizes = [key_of(i) for i in p.instruments], [100.5, 100.5, math.nan], [15000.0, 15000.0, 0.0]
        columns = keys, [99.5] * 3, [15000.0] * 3, asks, sizes, [100.0] * 3
        p.broker.on_quotes(p.hours.now_ns, *columns)
        engine.on_quotes(p.hours.now_ns, *columns)

    no_offer()
    with every(p, 1.0, no_offer):
        await p.hours.during(engine.flatten("end of day"))
    assert engine.core.book.net == {p.call: 75, p.wing: -75}
    assert f"+75 {p.call} (kept: it may hedge the short of NIFTY that is left)" in told(p)
    assert f"-75 {p.wing} (its last order" in told(p)


async def test_what_is_held_at_two_exchanges_is_closed_at_each(pit, monkeypatch):
    p = pit()
    engine = await p.open()
    await bought(p, 150)
    terms = engine.core.book.instruments[p.call]
    place, resolve = p.broker.place, p.broker.resolve

    async def positions():
        gone = {e: sum(o.cum_qty for o in children(p) if o.request.exchange == e) for e in ("NSE", "BSE")}
        held = [Held(symbol=p.call, exchange=e, product=Product.NRML, net_qty=75 - gone[e], avg_px=100) for e in gone]
        return tuple(h for h in held if h.net_qty)

    async def either(symbol, exchange=None):
        return msgspec.structs.replace(terms, exchange=exchange) if exchange == "BSE" else await resolve(symbol)

    monkeypatch.setattr(p.broker, "positions", positions)
    monkeypatch.setattr(p.broker, "resolve", either)
    monkeypatch.setattr(p.broker, "place", lambda r: place(msgspec.structs.replace(r, exchange="NSE")))
    orders = await p.hours.during(engine.flatten("end of day"))
    assert [(o.request.exchange, o.request.order_qty, o.ord_status) for o in orders] == [
        ("NSE", 75, OrdStatus.FILLED), ("BSE", 75, OrdStatus.FILLED)
    ]  # fmt: skip
    assert "flatten" not in p.alarms()


async def test_flatten_closes_under_the_file_flag(pit):
    p = pit()
    engine = await p.open()
    await bought(p, 150)
    (engine.folder / "HALT").touch()
    await p.hours.run(0.3)
    p.quotes(qty=75)
    middle = itertools.cycle((99.0, 100.0))
    with every(p, 4.0, lambda: p.quotes(next(middle), qty=75)):
        orders = await p.hours.during(engine.flatten("end of day"))
    assert engine.core.book.net == {}
    assert OrdStatus.DENIED not in {o.ord_status for o in orders}
    assert engine.core.book.state is TradingState.HALTED
    p.verdict()


async def test_a_kill_in_the_middle_of_a_flatten_lifts_no_halt(pit):
    p = pit()
    engine = await p.open()
    await bought(p, 75)
    await engine.halt("enough")
    p.market(100.0, 0.0)
    task = asyncio.ensure_future(engine.flatten("end of day"))
    await p.hours.run(1)
    assert children(p)[0].is_open
    await p.crash()
    task.cancel()
    engine = await p.open()
    assert (engine.core.book.state, engine.core.book.state_reason) == (TradingState.HALTED, "enough")


async def test_an_order_that_calls_itself_a_flattens_meets_the_halt(pit):
    p = pit()
    engine = await p.open()
    await bought(p, 150)
    await engine.halt("enough")
    p.market(100.0, 0.0)
    task = asyncio.ensure_future(engine.flatten("end of day"))
    await p.hours.run(0.5)
    order = await engine.place(p.buy("A1", 10000, side=Side.SELL, order_source="flatten"))
    assert (order.ord_status, order.text[:17]) == (OrdStatus.DENIED, "trading is halted")
    p.quotes()
    await p.hours.during(task)
    assert engine.core.book.net == {}


@pytest.mark.parametrize("later", [0, 3])
async def test_a_dead_link_keeps_a_flatten_for_little_more_than_its_patience(pit, monkeypatch, later):
    """Each call takes ten seconds to fail."""
    p = pit()
    engine = await p.open()
    await bought(p, 150)
    p.market(100.0, 0.0)
    positions, dead = p.broker.positions, []

    async def slow():
        if not dead:
            return await positions()
        await p.hours.sleep(10.0)
        raise Retryable("the broker does not answer")

    monkeypatch.setattr(p.broker, "positions", slow)
    task = asyncio.ensure_future(engine.flatten("end of day"))
    await p.hours.run(later)
    dead.append(1)
    began = p.hours.mono_ns
    await p.hours.during(task)
    assert p.hours.mono_ns - began < 60 * 10**9
    assert told(p).startswith("the broker's positions cannot be read (the broker does not answer)")


async def test_thirty_shorts_leave_at_the_limit_and_none_is_denied(pit, monkeypatch):
    p = pit()
    base = p.instruments[1]
    for n in range(30):
        strike = 25_000 + 100 * n
        symbol = f"NIFTY 02SEP2025 {strike} PE"
        more = {"symbol": symbol, "strike_p": strike * 100, "token": 100 + n, "instrument_id": 20_000 + n}
        p.instruments.append(msgspec.structs.replace(base, **more))
    day = ist_date(p.hours.now_ns)
    p.broker = type(p.broker)(p.hours, p.instruments)
    p.broker.set_session(ist_ns(day, dt.time(9, 15)), ist_ns(day, dt.time(15, 30)))
    p.quotes()
    engine = await p.open()
    p.quotes(qty=15000)
    await sold(p, *[i.symbol for i in p.instruments[3:]])
    await p.hours.run(3)
    p.quotes(qty=15000)
    limits = msgspec.structs.replace(engine.core.limits, max_messages_per_s=8, max_cancels_per_s=10)
    await engine.perform(engine.core.set_limits(engine.now_ns(), limits))
    place = p.broker.place

    async def slow(request):
        await p.hours.sleep(0.2)
        return await place(request)

    monkeypatch.setattr(p.broker, "place", slow)
    began = p.hours.mono_ns
    with every(p, 0.5, lambda: p.quotes(qty=15000)):
        orders = await p.hours.during(engine.flatten("end of day"))
    assert [o.ord_status for o in orders] == [OrdStatus.FILLED] * 30
    assert engine.core.book.net == {}
    placed = sorted(at for kind, name, at in p.broker.sent if name in {o.cl_ord_id for o in orders})
    assert all(b - a >= 10**9 for a, b in zip(placed, placed[8:], strict=False)), "eight a second"
    assert p.hours.mono_ns - began < 10 * 10**9


async def test_positions_are_read_once_a_round_while_an_order_is_unknown(pit, monkeypatch):
    p = pit()
    p.settings["positions_s"] = 600.0
    engine = await p.open()
    await bought(p, 150)
    p.broker.muted = True
    p.broker.faults["place"] = ["late:8"]
    p.market(100.0, 0.0)
    positions, reads = p.broker.positions, []

    async def counted():
        reads.append(p.hours.mono_ns)
        return await positions()

    monkeypatch.setattr(p.broker, "positions", counted)
    task = asyncio.ensure_future(engine.flatten("end of day"))
    await p.hours.run(8)
    assert len(reads) > 2
    assert all(b - a >= 10**9 for a, b in itertools.pairwise(reads[1:]))
    p.quotes()
    await p.hours.during(task)
    await p.hours.run(6)  # the stream is mute: the next reading of the orders tells
    assert engine.core.book.net == {}
