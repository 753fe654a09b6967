"""One call at a time about an id, however the calls come."""

from __future__ import annotations

import asyncio

from toolkit.orders.turns import Turns


async def test_a_call_that_comes_while_another_is_woken_waits_its_turn_too():
    turns, inside, told = Turns(), [], []
    go = {name: asyncio.Event() for name in "ABC"}

    async def call(name):
        async with turns.take("X"):
            inside.append(name)
            told.append("".join(inside))
            await go[name].wait()
            inside.remove(name)

    tasks = [asyncio.ensure_future(call("A")), asyncio.ensure_future(call("B"))]
    await asyncio.sleep(0)
    go["A"].set()
    while not tasks[0].done():
        await asyncio.sleep(0)
    tasks.append(asyncio.ensure_future(call("C")))  # B was woken, and may not have run yet
    for _ in range(5):
        await asyncio.sleep(0)
    go["B"].set()
    go["C"].set()
    await asyncio.gather(*tasks)
    assert told == ["A", "B", "C"]
    assert len(turns) == 0, "nothing is kept of an id that nobody asks about"


async def test_a_call_that_is_given_up_leaves_the_others_their_turn():
    turns = Turns()
    async with turns.take("X"):
        waiting = asyncio.ensure_future(turns.take("X").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert len(turns) == 1
    assert len(turns) == 0
