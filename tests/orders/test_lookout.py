"""What the market room asks of brokers by itself."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from toolkit.orders.lookout import Lookout, Sources


async def test_the_day_s_terms_are_asked_for_only_where_somebody_knows_them():
    asked = []

    async def ask(names):
        asked.append(list(names))
        return {}

    hub = SimpleNamespace(
        listed={7: SimpleNamespace(symbol="NIFTY", kind=None)}, wanted=[7], by_symbol={"NIFTY": 7}, silence_s=None
    )
    for day_terms, own, names in ((None, {}, []), (ask, {}, ["terms"]), (None, {"xts": ask}, ["terms xts"])):
        lookout = Lookout(hub, {}, lambda: 10**12, Sources(day_terms=day_terms, own_terms=own))
        await lookout.turn()
        await asyncio.gather(*lookout._running.values())
        assert [name for name in lookout._running if name.startswith("terms")] == names
        assert asked == [["NIFTY"]] * len(names)
        asked.clear()
