"""How long a message is waited for: one timer for all calls, with the words of ``asyncio.timeout``."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from toolkit.orders.effects import SendCancel, SendNew
from toolkit.orders.live_wire import Wire, _Patience
from toolkit.types import ExecType, OrderRequest, Side

REQUEST = OrderRequest(cl_ord_id="A1", symbol="X", side=Side.BUY, order_qty=65, price_p=9000)


class Heard:
    """What a wire said became of its messages."""

    def __init__(self):
        self.answers = []

    async def answer(self, send, kind, text, order_id, error):
        self.answers.append((type(send).__name__, kind, text, order_id))


def made(place, call_s, cancel=None):
    """A wire to a broker of two functions."""
    heard = Heard()
    broker = SimpleNamespace(place=place, cancel=cancel)
    return Wire(broker, call_s, heard.answer, lambda name, stage: None, lambda send: ""), heard


async def forever(*words):
    await asyncio.get_running_loop().create_future()


def test_a_silent_broker_makes_an_order_unknown_and_nothing_is_sent_again():
    async def run():
        calls = []

        async def silent(request):
            calls.append(request)
            await forever()

        wire, heard = made(silent, 0.0)
        assert await wire.send(SendNew(REQUEST)) is None
        assert heard.answers == [("SendNew", ExecType.UNKNOWN, "the broker did not answer within 0 s", None)]
        assert calls == [REQUEST]
        await asyncio.sleep(0)
        assert wire.in_flight() == frozenset()

    asyncio.run(run())


def test_an_answer_in_time_is_taken_and_leaves_nothing_to_give_up():
    async def run():
        async def place(request):
            return "X1"

        wire, heard = made(place, 60.0)
        await wire.send(SendNew(REQUEST))
        assert heard.answers == [("SendNew", ExecType.PENDING_NEW, "", "X1")]
        assert not wire._patience._open

    asyncio.run(run())


def test_messages_of_one_order_leave_one_after_the_other_also_past_a_silent_one():
    async def run():
        order = []

        async def silent(request):
            order.append("place")
            await forever()

        async def cancel(name):
            order.append("cancel")

        wire, heard = made(silent, 0.0, cancel)
        await asyncio.gather(wire.send(SendNew(REQUEST)), wire.send(SendCancel("A1", "NSE")))
        assert order == ["place", "cancel"]
        assert [kind for _, kind, _, _ in heard.answers] == [ExecType.UNKNOWN, None]

    asyncio.run(run())


def test_only_what_is_due_is_given_up_and_the_timer_stands_at_the_next():
    async def run():
        loop, patience = asyncio.get_running_loop(), _Patience(60.0)

        async def wait():
            with patience.call():
                await forever()

        first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0)
        one, two = patience._open
        timer = patience._timer
        one.due = loop.time() - 1.0
        patience._sweep()
        with pytest.raises(TimeoutError):
            await first
        assert not second.done()
        assert list(patience._open) == [two]
        assert patience._timer is not timer
        assert patience._timer.when() == two.due
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        patience._sweep()
        assert patience._timer is None
        timer.cancel()

    asyncio.run(run())


def test_a_task_that_is_ended_from_outside_is_ended_though_its_time_is_up_too():
    async def run():
        patience = _Patience(60.0)

        async def wait():
            with patience.call():
                await forever()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        (call,) = patience._open
        call.give_up()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
