"""Paper beyond the contract: latency on a wall clock, slow readers of the feed."""

from __future__ import annotations

import asyncio
import datetime as dt
import time

from toolkit.brokers.paper import PaperBroker, PaperFeed
from toolkit.types import Instrument, Kind, OptionType, OrderRequest, Side

CALL = Instrument(
    instrument_id=11, symbol="C", exchange="NSE", segment="NFO", underlying="NIFTY", kind=Kind.OPTION, lot=75,
    tick_p=5, expiry=dt.date(2099, 9, 2), strike_p=2_450_000, option_type=OptionType.CE, token=1,
)  # fmt: skip


async def test_on_a_wall_clock_reports_come_by_themselves():
    broker = PaperBroker(instruments=[CALL], latency_ns=2_000_000)
    now = time.time_ns()
    broker.set_session(now - 10**12, now + 10**12)
    broker.on_quotes(now, [1], [99.5], [75.0], [100.5], [75.0], [100.0])
    heard = []

    async def run():
        async for report in broker.updates():
            heard.append(report)
            if len(heard) == 2:
                return

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    await broker.place(OrderRequest(cl_ord_id="A", symbol="C", side=Side.BUY, order_qty=75, price_p=10050))
    assert heard == []
    await asyncio.wait_for(task, 10)
    await broker.close()
    assert [str(r.exec_type) for r in heard] == ["new", "trade"]
    assert heard[0].recv_ns - heard[0].ts_ns == 2_000_000


async def test_every_reader_hears_everything():
    broker = PaperBroker(instruments=[CALL], clock=lambda: 10**12)
    broker.set_session(0, 10**15)

    async def run():
        return [r.cl_ord_id async for r in broker.updates()]

    tasks = [asyncio.create_task(run()) for _ in range(3)]
    await asyncio.sleep(0)
    await broker.place(OrderRequest(cl_ord_id="A", symbol="C", side=Side.BUY, order_qty=75, price_p=10050))
    await broker.close()
    assert await asyncio.gather(*tasks) == [["A"]] * 3


async def test_a_slow_reader_of_the_feed_loses_the_oldest_and_is_told():
    import numpy as np

    feed = PaperFeed()
    feed.want({1: "ltp"})
    column = {name: np.array([5.0]) for name in ("bid", "bid_qty", "ask", "ask_qty", "ltp")}
    for n in range(1500):
        feed.take(n, np.array([1]), column)
    feed.close()
    stamps = [int(batch["recv_ns"][0]) async for batch in feed.ticks()]
    assert len(stamps) == 1023
    assert stamps[-1] == 1499
    assert feed.stats["dropped"] == 477
