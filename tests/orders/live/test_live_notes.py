"""What no order waits for comes behind the messages: the monitor's figures and the margin as of the newest fill."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from toolkit.orders.live_path import EffectPath


class Heard:
    """A monitor that keeps what it is told, and a book that keeps when it caught up."""

    def __init__(self):
        self.said = []
        need = SimpleNamespace(catch_up=lambda now_ns: self.said.append("margin"))
        self.core = SimpleNamespace(limits=SimpleNamespace(check_margin=True), book=SimpleNamespace(need=need))
        self.monitor = SimpleNamespace(on_stage=lambda *words: self.said.append(words))

    def path(self):
        clock = iter(range(100))
        return EffectPath(
            SimpleNamespace(monitor=self.monitor, core=self.core, mono=lambda: next(clock), now_ns=lambda: 0)
        )


def test_a_stage_is_told_behind_what_is_ready_with_the_time_it_had():
    async def run():
        heard = Heard()
        path = heard.path()
        path.stage("A1", "journal")
        asyncio.get_running_loop().call_soon(heard.said.append, "sent")
        path.stage("A1", "wire")
        assert heard.said == []
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard.said == ["sent", ("A1", "journal", 0), ("A1", "wire", 1), "margin"]
        path.stage("A1", "ack")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard.said[4:] == [("A1", "ack", 2), "margin"]

    asyncio.run(run())


def test_what_is_kept_can_be_asked_for_at_once_and_is_told_once():
    async def run():
        heard = Heard()
        path = heard.path()
        path.stage("A1", "journal")
        path.noted()
        assert heard.said == [("A1", "journal", 0)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert heard.said == [("A1", "journal", 0), "margin"]

    asyncio.run(run())
