"""A start that fails late leaves nothing running: the process ends with its one line."""

from __future__ import annotations

import asyncio
import gc
import os
import signal

import pytest

from toolkit.config import Settings
from toolkit.errors import BadData
from toolkit.serve.build import Plan, build
from toolkit.serve.run import Server, serve
from toolkit.store.lease import Lease


@pytest.mark.parametrize("late", ["lookout.attach", "listener.start"])
async def test_a_start_that_fails_late_stops_what_was_started(tmp_path, monkeypatch, late):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    built = await build(Plan(), Settings.load())
    server = Server(built, Settings.load(), 0)
    (seat,) = built.station.seats.values()
    owner, name = late.split(".")
    places = {"lookout": built.station.lookout, "listener": server.listener}

    def fails():
        raise BadData("it fails late")

    monkeypatch.setattr(places[owner], name, fails)
    with pytest.raises(BadData, match="it fails late"):
        await server.start()
    await built.close()
    assert seat.engine.state == "stopped"
    assert asyncio.all_tasks() == {asyncio.current_task()}
    Lease(seat.broker, seat.account, seat.engine._realm).release()


async def test_what_start_up_made_is_not_looked_through_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    said = asyncio.Queue()
    before = gc.get_freeze_count()
    serving = asyncio.ensure_future(serve(Plan(), 0, said.put_nowait, lambda note: None))
    try:
        await asyncio.wait_for(said.get(), 60)
        assert gc.get_freeze_count() > before
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 60)
        gc.unfreeze()
