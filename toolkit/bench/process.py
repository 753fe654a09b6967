"""The other process of a benchmark: it starts, says one thing (its port, its figure), and ends with the block."""

from __future__ import annotations

import asyncio
import multiprocessing as mp
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

from toolkit.errors import BadData

__all__ = ["apart", "beside", "serve"]


@contextmanager
def beside(work: Callable[..., None], *arguments: Any, what: str, wait_s: float = 30) -> Iterator[Any]:
    """Run ``work(pipe, *arguments)`` in a fresh interpreter while the block lasts; gives what it sends first.

    Raises
    ------
    BadData
        When it sends nothing within ``wait_s`` seconds; ``what`` names it.
    """
    context = mp.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(there, *arguments), daemon=True)
    process.start()
    there.close()
    try:
        if not here.poll(wait_s):
            raise BadData(f"{what} said nothing within {wait_s:g} s")
        try:
            said = here.recv()
        except EOFError:
            raise BadData(f"{what} ended before it said anything") from None
        yield said
    finally:
        process.terminate()
        process.join(5)


def apart(work: Coroutine[Any, Any, None]) -> None:
    """Run a server's coroutine on the first core, so that the clients may have the others."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with suppress(KeyboardInterrupt):
        asyncio.run(work)


def serve(pipe: Connection, protocol: Callable[[], asyncio.Protocol]) -> None:
    """Serve a protocol on a free port of the loopback until the process is ended; sends the port."""
    apart(_listen(pipe, protocol))


async def _listen(pipe: Connection, protocol: Callable[[], asyncio.Protocol]) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()
